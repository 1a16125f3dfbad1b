#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Processes and configurations that do harm, through the real binaries."""
import contextlib
import glob
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import time

from common import *


def once(*flags, seconds=60):
    status, out, err = run([TEXTFILE, *flags], seconds=seconds)
    check_equal(status, 0, "status of proctally-textfile %s (%s)" % (flags, err[-500:]))
    return Metrics(out)


def case_names():
    """Each hostile name is in every format, valid, and its process is in one group."""
    word = unique("n")[:8]
    names = HOSTILE_NAMES + [b"", (word + "\xff").encode("latin-1"), (word + "\xfe").encode(
        "latin-1"), (word + "\ufffd").encode()]
    start_hostile(names)
    m = once()
    # invalid bytes become the same character: merged, or told apart, never twice
    found = sum(v for (n, l), v in m.series.items() if n == "proctally_processes" and
                any(k == "groupname" and x.startswith(word) for k, x in l))
    check_equal(found, 3, "processes whose names become equal")
    labels = m.labels_of()
    check("" not in labels, "an empty group name")
    for wanted in ('a"b', "a,b=c d", "a{b}#c", "né€", "a) S 1 (b", "fifteen_bytes__", "%s%n%d"):
        check(wanted in labels, "no group %r" % wanted, sorted(labels))
    for group in labels:
        check(not re.search(r"[\x00-\x1f\x7f]", group), "a control character in %r" % group)
    status, out, err = run([TELEGRAF, "--once"])
    check_equal(status, 0, "status (%s)" % err)
    points = Points(out)
    check({'a"b', "a,b=c d", "né€", "a) S 1 (b"} <= set(points), "line protocol", sorted(points))

    def as_many():
        """Others come and go: once, and soon, they are the same in all formats."""
        counted = sum(p.fields["num_procs"] for p in Points(run([TELEGRAF, "--once"])[1]).values())
        check_near(once().sum("proctally_processes"), counted, "processes", absolute=30)
        for schema, name in (("process", "process_num_procs"),
                             ("process-exporter", "namedprocess_namegroup_num_procs")):
            check_near(once("--schema", schema, "--group-by", "name").sum(name), counted, schema,
                       absolute=30)
        return True
    wait_for(as_many, "as many processes in each format")


def case_long_command_line():
    """2 MB of arguments: cut, counted, and still matched at the front."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    name, directory = unique("long"), temp_dir()
    path = linked(directory, name, "/bin/sh")
    arguments = ["x" * 100000] * 20
    try:
        # arguments may take a quarter of the stack
        resource.setrlimit(resource.RLIMIT_STACK, (16 << 20 if hard == resource.RLIM_INFINITY
                                                   or hard >= 16 << 20 else hard, hard))
        p = start([path, "-c", "read x; :", "first-word", *arguments], stdin=subprocess.PIPE)
    except OSError as e:
        raise Skipped("this kernel starts no program with 2 MB of arguments: %s" % e)
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))
    rules = '[{name: "long:{{.Matches.Word}}", cmdline: ["(?P<Word>first-word) x+"]}]'
    m = once("--process_names", rules)
    check_equal(m.get("proctally_processes", groupname="long:first-word"), 1, "processes")
    check(m.get("proctally_cmdlines_cut_total") >= 1, "it is not counted as cut")
    m = once("--group-by", "cmdline")
    check_equal(m.get("proctally_processes", groupname=path), 1, "grouped by its first word")
    m = once("--process_names", '[{name: "{{.Matches.All}}", cmdline: ["(?P<All>^%s.*)"]}]' % path)
    longest = max(len(g.encode()) for g in m.labels_of())
    check(longest <= 4096, "a group name of %d bytes" % longest)
    p.stdin.close()
    p.wait(30)


def case_backtracking():
    """A regular expression without end is given up, counted and said."""
    name = unique("re")
    w = Workload(SLEEPER, name, args=["a" * 40000 + "!", "a" * 28 + "!"])
    w.hear()
    for pattern in ("(a+)+$", "(a|aa)+$", r"^.*?(?:a|a?)+(a|ab)*\\1{3}c$", "(.*)*x{5}z",
                    "((a*)*)*~~"):
        begun = time.monotonic()
        status, out, err = run([TEXTFILE, "--process_names",
                                '[{name: slow, comm: [%s], cmdline: ["%s"]}]' % (name, pattern)])
        took = time.monotonic() - begun
        check_equal(status, 0, "status with %s (%s)" % (pattern, err))
        m = Metrics(out)
        check(took < 20, "%s took %.1f s" % (pattern, took))
        check_equal(m.get("proctally_processes", groupname="slow"), 0, "matched by " + pattern)
        check_equal(m.get("proctally_processes", groupname=name), 1, "group-by takes it")
    m = once("--process_names", '[{name: slow, comm: [%s], cmdline: ["(a+)+$"]}]' % name)
    check(m.get("proctally_pattern_limits_total") >= 1, "it is not counted")
    status, out, err = run([TEXTFILE, "--process_names",
                            '[{name: slow, comm: [%s], cmdline: ["(a+)+$"]}]' % name])
    check("too many steps" in err, "it is not said", err)
    # in a filter, on a name
    start_hostile([b"aaaaaaaaaaaaaa!"])
    m = once("--include", "/(a|a)*(a|a)*(a|a)*(a|a)*b$/")
    check(m.get("proctally_processes_seen") > 3, "processes seen")
    # a second collection does not ask again
    d = Driver("--process_names", '[{name: slow, comm: [%s], cmdline: ["(a+)+$"]}]' % name)
    count = d.points.self_point.fields["pattern_limits"]
    for _ in range(5):
        d.collect()
    check_equal(d.points.self_point.fields["pattern_limits"], count, "matches given up, later")
    d.end()
    w.end()


# ---- A recorded tree ---------------------------------------------------------------------

def case_many_names():
    """10,000 names with max-groups 100: the rest is in `other`, and nothing is lost."""
    tree = Tree()
    count = 10000
    for i in range(count):
        tree.process(i + 1, "name%d" % i, cpu=(5, 3))
    m = once("--procfs", tree.path, "--max-groups", "100", seconds=120)
    groups = m.labels_of()
    check(100 <= len(groups) <= 101, "%d groups" % len(groups))
    check("other" in groups, "there is no group other")
    check_equal(m.sum("proctally_processes"), count, "processes in all groups")
    check_near(m.sum("proctally_cpu_seconds_total"), count * 8 * TICK, "CPU seconds in all groups",
               absolute=0.01)
    left_out = m.get("proctally_groups_overflowed_total")
    check(count - 101 <= left_out <= count - 99, "names that did not fit: %r" % left_out)
    check(m.get("proctally_processes", groupname="other") == count - len(groups) + 1, "other")
    # the same twice with state: still there, still in bounds, never falling
    state = os.path.join(temp_dir(), "state")
    flags = ["--procfs", tree.path, "--max-groups", "100", "--state-file", state]
    a, b = once(*flags, seconds=120), once(*flags, seconds=120)
    check_never_falls(a.counters(), b.counters(), "two runs")
    check_equal(len(b.labels_of()), len(groups), "groups in the second run")
    status, out, err = run([TELEGRAF, "--once", "--procfs", tree.path, "--max-groups", "100"])
    check_equal(status, 0, "status")
    check_equal(len(Points(out)), len(groups), "groups in line protocol")
    check("max-groups" in err, "it is not said", err)


def case_nothing_mounted():
    """A directory that /proc is not mounted on shows no processes, and is no host without any."""
    empty = temp_dir()
    for program in ([TEXTFILE, "--output", "-"], [TELEGRAF], [COMMAND, "ps"], [COMMAND, "files"]):
        once_only = [] if program[0] == COMMAND else ["--once"]
        status, out, err = run([*program, *once_only, "--procfs", empty])
        check_equal((status, out), (1, ""), "%s: status and output" % program)
        check(err.endswith("can't open %s: No such file or directory, expected a mounted proc file "
                           "system\n" % empty), program, err)


def case_recorded_names():
    """Names as no kernel lets one see them any more, in stat itself."""
    tree = Tree()
    names = ["", "a) S 1 (b", "x\ny", ")", "((", ") R 2 3", b"\xff\xfe", b"\xc3", "a b", "\t"]
    for i, name in enumerate(names):
        tree.process(i + 1, name)
    m = once("--procfs", tree.path)
    check_equal(m.sum("proctally_processes"), len(names), "processes")
    check("" not in m.labels_of(), "an empty group name")
    check("a) S 1 (b" in m.labels_of(), "the name like a line", sorted(m.labels_of()))
    status, out, err = run([TELEGRAF, "--once", "--procfs", tree.path])
    check_equal(sum(p.fields["num_procs"] for p in Points(out).values()), len(names), "processes")


def case_damaged_tree():
    """Files that are cut, empty, of other types: no number is made up, no crash."""
    tree = Tree()
    tree.process(1, "init")
    for i, (name, content) in enumerate([
            ("stat", b""), ("stat", b"2 (x"), ("stat", b"\0" * 5000), ("stat", b"9" * 70000),
            ("status", b""), ("status", b"Uid:\t-1\n"), ("status", b"x" * 200000),
            ("io", b""), ("io", b"rchar: 99999999999999999999999999\n"), ("io", b"rchar: -5\n"),
            ("schedstat", b"a b c\n"), ("limits", b""), ("cgroup", b"\n\n:::::\n0::"),
            ("cmdline", b"\0" * 100000), ("cmdline", b"")]):
        pid = i + 2
        tree.process(pid, "n%d%s" % (pid, name))
        with open("%s/%d/%s" % (tree.path, pid, name), "wb") as f:
            f.write(content)
    os.makedirs(tree.path + "/50")
    write_text(tree.path + "/51", "a file\n")
    os.makedirs(tree.path + "/4294967296")
    for flags in ([], ["--group-by", "user,cgroup,unit,container,cmdline,exe"],
                  ["--collect", "pss"], ["--group-by", "pid"]):
        m = once("--procfs", tree.path, *flags)
        check(m.sum("proctally_processes") >= 11, "processes", m.sum("proctally_processes"))
    m = once("--procfs", tree.path)
    check(m.get("proctally_io_read_bytes_total", groupname="n9io") is None, "I/O of an empty file")
    check_equal(m.get("proctally_unreadable_processes", groupname="n9io", file="io"), 1,
                "unreadable")


def case_falling_values():
    """The kernel's numbers fall, clocks step back: no counter does."""
    tree = Tree()
    state = os.path.join(temp_dir(), "state")
    before = {}
    for i, cpu in enumerate([(100, 50), (110, 60), (90, 55), (105, 61), (120, 70)]):
        tree.process(1, "init")
        tree.process(7, "falls", cpu=cpu, start=10)
        m = once("--procfs", tree.path, "--state-file", state)
        check_never_falls(before, m.counters(), "reading %d" % i)
        before = m.counters()
    check_near(m.sum("proctally_cpu_seconds_total", groupname="falls"), 40 * TICK,
               "CPU seconds that were used", absolute=1e-9)
    # the pid is used again: another process, with less
    tree.process(7, "falls", cpu=(3, 1), start=20)
    m = once("--procfs", tree.path, "--state-file", state)
    check_never_falls(before, m.counters(), "another process with that pid")
    # another boot: counting starts afresh, and there is nothing to say
    write_text(tree.path + "/sys/kernel/random/boot_id", "99999999-2222-3333-4444-555555555555\n")
    status, out, err = run([TEXTFILE, "--procfs", tree.path, "--state-file", state])
    check_equal((status, err), (0, ""), "status and errors after a boot")
    check_equal(Metrics(out).get("proctally_cpu_seconds_total", groupname="falls", mode="user"),
                0, "CPU seconds after a boot")
    check_equal(glob.glob(state + "*"), [state], "files of the state")


def case_special_files():
    """Devices and pipes are no state file and no output to be renamed away."""
    if not is_root():
        raise Skipped("not root: no devices can be made")
    directory = temp_dir()
    null, fifo, d = (os.path.join(directory, n) for n in ("null", "fifo", "dir"))
    try:
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError as e:
        raise Skipped("no devices can be made here: %s" % e)
    os.mkfifo(fifo)
    os.mkdir(d)
    bad = []
    for flag in ("--state-file", "--output"):
        for path, is_it in ((null, stat.S_ISCHR), (d, stat.S_ISDIR), (fifo, stat.S_ISFIFO)):
            p = start([TEXTFILE, flag, path], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                bad.append("%s %s: waits without end" % (flag, os.path.basename(path)))
            if not (os.path.exists(path) and is_it(os.lstat(path).st_mode)):
                bad.append("%s %s: it was renamed or replaced" % (flag, os.path.basename(path)))
                if os.path.isdir(path):
                    shutil.rmtree(path)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                if path == null:
                    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
                elif path == fifo:
                    os.mkfifo(fifo)
                else:
                    os.mkdir(d)
    check(not bad, "special files", *bad)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
