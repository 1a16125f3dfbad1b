#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
# aside
"""The library as others have it inside: what the archive and the shared library show,
programs with names of their own, and snapshots that several threads read."""
import glob
import json
import os
import re
import sys

from common import *

ARCHIVE = os.path.join(BUILD, "core/libproctally.a")
SHARED = os.path.join(BUILD, "core/.libs/libproctally.so")


def symbols(*command):
    status, out, err = run(["nm", *command])
    check_equal(status, 0, "nm (%s)" % err)
    return [line.split()[-2:] for line in out.splitlines() if len(line.split()) >= 2]


def needs():
    return [w for name in ("YAML_LIBS", "PCRE2_LIBS", "MNL_LIBS", "BPF_LIBS")
            for w in make_variable(name)]


def build(program, *arguments, source="tests/integration/embedder.c"):
    status, out, err = run(
        ["cc", "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror",
         "-I", os.path.join(SRC, "core"), os.path.join(SRC, source), *arguments, "-pthread",
         "-o", program], seconds=250)
    check_equal(status, 0, "building with %s (%s)" % (arguments, err[-2000:]))
    return program


def case_symbols():
    """Nothing but tally_* can be linked with, or be in the way."""
    shown = [name for kind, name in symbols("-g", "--defined-only", ARCHIVE)]
    check("tally_collect" in shown, "the archive has no tally_collect")
    check_equal([n for n in shown if not n.startswith("tally_")], [], "symbols of the archive")
    if not os.path.exists(SHARED):
        raise Skipped("no shared library was built")
    exported = [name.split("@")[0] for kind, name in symbols("-D", "--defined-only", SHARED)
                if kind != "A"]
    check_equal(sorted(exported), sorted(set(shown)), "symbols of the shared library")
    status, out, err = run(["objdump", "-p", SHARED])
    check("libproctally.so.1" in out.split(), "the soname is another", out)


def case_declared():
    """All that is exported is declared, and the other way round."""
    header = read_text(os.path.join(SRC, "core/proctally.h"))
    declared = set(re.findall(r"\b(tally_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S)))
    declared -= {"tally_grouper"} # a type
    shown = {name for kind, name in symbols("-g", "--defined-only", ARCHIVE)}
    check_equal(sorted(shown ^ declared), [], "exported or declared, not both")


def case_names_of_its_own():
    directory = temp_dir()
    ways = {"archive": [ARCHIVE, *needs()]}
    if os.path.exists(SHARED):
        ways["shared"] = [SHARED, "-Wl,-rpath," + os.path.dirname(SHARED)]
    for name, arguments in ways.items():
        program = build(os.path.join(directory, name), *arguments)
        for how in "own", "threads", "keep":
            status, out, err = run([program, how])
            check_equal((status, err), (0, ""), "%s %s" % (name, how))
            check(out.strip(), "%s %s says nothing" % (name, how))


def case_threads():
    """The same with ThreadSanitizer in all of the core."""
    status, out, err = run(["cc", "-print-file-name=libtsan.so"])
    if status != 0 or not os.path.isabs(out.strip()):
        raise Skipped("no libtsan")
    core = os.path.join(SRC, "core")
    sources = [f for f in sorted(glob.glob(glob.escape(core) + "/**/*.c", recursive=True))
               if not f.endswith(".bpf.c") and "/source/darwin/" not in f]
    program = build(os.path.join(temp_dir(), "embedder"), "-fsanitize=thread",
                    "-DCORE_IS_VISIBLE", "-D_GNU_SOURCE=",
                    "-Wno-error", "-w", "-I" + BUILD, "-iquote", BUILD + "/core", "-iquote", core,
                    *sources, *needs())
    for how in "threads", "keep":
        status, out, err = run([program, how], seconds=120)
        check_equal((status, err), (0, ""), "embedder %s" % how)


def embedder():
    return build(os.path.join(temp_dir(), unique("e")), ARCHIVE, *needs())


def need_bpf(program):
    status, out, err = run([program, "group", "bpf"])
    if status != 0 and ("bpf" in err or not is_root()):
        raise Skipped("no source bpf: " + err.strip())


def follow(program, source):
    status, out, err = run([program, "follow", source], seconds=100)
    check_equal((status, err), (0, ""), "embedder follow " + source)
    truth = json.loads(out)
    # each tree: 0.72 s, and 150 processes of 2 ms
    check(truth["used"] > 1000 * 1000 and truth["beside"] > 1000 * 1000, "nothing was used", truth)
    print("      %s: %.3f of %.3f CPU seconds" % (source, truth["found"] / 1e6, truth["used"] / 1e6))
    return truth


def case_follow_procfs():
    """What was seen alive or was waited for by who was; never what is not the tree's."""
    truth = follow(embedder(), "procfs")
    # ticks that are rounded up where they are taken from a parent
    check(truth["found"] <= truth["used"] + 20000, "more than it used", truth)
    check(truth["found"] >= truth["used"] * 0.8, "too little", truth)


def case_follow_bpf():
    """Exactly the tree's."""
    program = embedder()
    need_bpf(program)
    truth = follow(program, "bpf")
    check_near(truth["found"], truth["used"], "CPU of the tree", relative=0.01, absolute=5000)


def case_follow_nobody():
    status, out, err = run([embedder(), "nobody", "procfs"])
    check_equal(status, 1, "status")
    check(re.match(r"can't follow process [0-9]+: there is none in /proc\n\Z", err), "says", err)


def case_grouper_bpf():
    """It is told who a process was that is gone, but not its number."""
    need_own_root()
    program = embedder()
    need_bpf(program)
    status, out, err = run([program, "group", "bpf"])
    check_equal((status, err), (0, ""), "embedder group")
    told = json.loads(out)
    print("      " + out.strip())
    check_equal(told["pid"], 0, "pid")
    check_equal(told["uid"], 0, "uid")
    check_equal(told["name"], os.path.basename(program), "name")
    check_equal(told["exe"], program, "program file")
    check_equal(told["cmdline"].rstrip(), program + " nothing a mark", "command line")
    check_equal(told["user"], "root", "user")
    lines = read_text("/proc/self/cgroup").splitlines()
    check(told["cgroup"] and any(l.endswith(":" + told["cgroup"]) for l in lines), "cgroup", told, lines)
    check_equal(told["starts"], 1, "starts")


def case_behind_a_server_of_ones_own():
    """The example of that."""
    program = os.path.join(BUILD, "examples/embed_http")
    if not os.path.exists(program):
        raise Skipped("this build has no libmicrohttpd")
    port = free_port()
    process = start([program, str(port)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_for(lambda: http("http://127.0.0.1:%d/metrics" % port)[0] == 200, "an answer")
    status, text = http("http://127.0.0.1:%d/metrics" % port)
    check_equal(Metrics(text).type["proctally_processes"], "gauge", "the type of a family")
    check_equal(http("http://127.0.0.1:%d/" % port), (404, "see /metrics\n"), "another place")
    process.stdin.close()
    check_equal(process.wait(20), 0, "its status")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
