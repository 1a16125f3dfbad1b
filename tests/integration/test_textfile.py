#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""proctally-textfile: one-shot and service, the state file, what is left in the
directory in every case, rights, messages and exit statuses."""
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

from common import *

BURNER = """
say(cpu=cpu())
while wait():
    burn(0.2)
    say(cpu=cpu())
"""


def textfile(*flags, **how):
    return run([TEXTFILE, *flags], **how)


def good(*flags, **how):
    """Runs once, must succeed; the parsed output."""
    status, out, err = textfile(*flags, **how)
    check_equal(status, 0, "status of proctally-textfile %s (%s)" % (" ".join(flags), err))
    return Metrics(out)


def cpu_of(metrics, name):
    return metrics.sum("proctally_cpu_seconds_total", groupname=name)


def of_groups(metrics):
    return {k: v for k, v in metrics.counters().items() if any(l == "groupname" for l, _ in k[1])}


def listing(directory):
    return sorted(os.listdir(directory))


# ---- Once --------------------------------------------------------------------------

def case_cron_with_state():
    """Runs from cron: counters rise from one to the next, and never fall."""
    directory = temp_dir()
    state, prom = os.path.join(directory, "state"), os.path.join(directory, "out.prom")
    w = Workload(BURNER)
    used = w.hear()["cpu"]
    before = None
    for i in range(4):
        status, out, err = textfile("--state-file", state, "--output", prom)
        check_equal((status, out), (0, ""), "status and output (%s)" % err)
        m = Metrics(read_text(prom))
        check(not m.comments, "a run with state has a comment", m.comments)
        if before:
            check_never_falls(of_groups(before), of_groups(m), "cron run %d" % i)
            now = w.hear()["cpu"]
            check_near(cpu_of(m, w.name) - cpu_of(before, w.name), now - used,
                       "CPU seconds between two runs", absolute=4 * TICK)
            used = now
        before = m
        # what happens before the next run
        w.go_on()
        wait_for(w.ready, "the burner")
    check_equal(listing(directory), ["out.prom", "state"], "files")
    check_equal(stat.S_IMODE(os.stat(state).st_mode) & 0o077, 0, "others' rights to the state")


def case_top_with_state():
    """A top by CPU from run to run: no counter falls, however groups come and go, and what
    two burners used by turns is in their groups and other together."""
    state = os.path.join(temp_dir(), "state")
    workloads = [Workload(BURNER) for _ in range(3)]
    for w in workloads:
        w.hear()
    last, shown, begin = {}, set(), None

    def total():
        return sum(v for k, v in last.items() if k[0] == "proctally_cpu_seconds_total")
    for i in range(6):
        m = good("--state-file", state, "--top", "1 by cpu", "--include", "/_w$/", "--source",
                 "procfs")
        groups = {dict(k[1])["groupname"] for k in m.counters() if k[0] ==
                  "proctally_cpu_seconds_total"}
        check("other" in groups and len(groups) <= 3, "groups shown", groups)
        for key, value in of_groups(m).items():
            check(value >= last.get(key, 0), "%s fell" % (key,), value, last.get(key))
            last[key] = value
        shown |= groups
        begin = total() if begin is None else begin
        w = workloads[i % 3]
        for _ in range(1 + i // 3):
            w.go_on()
            w.hear()
    check_near(total() - begin, 0.2 * 3 + 0.4 * 2, "CPU seconds of all that was shown", absolute=0.3)
    check(len(shown) > 2, "nobody came or went", shown)


def case_without_state():
    """Without state: lifetime values, and a comment that says so."""
    w = Workload(BURNER)
    w.hear()
    w.go_on()
    used = w.hear()["cpu"]
    m = good()
    check_equal(len(m.comments), 1, "comments")
    check("lifetime" in m.comments[0], "the comment does not say it", m.comments)
    check_near(cpu_of(m, w.name), used, "CPU seconds of its life", absolute=4 * TICK)
    check_near(cpu_of(good(), w.name), used, "CPU seconds of its life, again", absolute=4 * TICK)
    w.end()


def case_schemas():
    for schema, prefix in (("native", "proctally_"), ("process", "process_"),
                           ("process-exporter", "namedprocess_namegroup_")):
        m = good("--schema", schema, "--group-by", "name")
        names = {f for f in m.families() if f.startswith(prefix)}
        check(len(names) > 8, "few families in schema %s" % schema, sorted(m.families()))
        check(all(f.startswith((prefix, "proctally_")) for f in m.families()),
              "families of another schema", sorted(m.families()))
    m = good("--prefix", "my_", "--labels", 'site="x\\y', "--group-by", "user,exe")
    check(all(f.startswith("my_") for f in m.families()), "a prefix is not used",
          sorted(m.families()))
    check(m.get("my_processes_seen", site='"x\\y') > 0, "no label on its own metrics")


def case_process_schema():
    """Each process by itself, by the names and labels of the exporters for macOS."""
    w = Workload(BURNER)
    w.hear()
    w.go_on()
    used = w.hear()["cpu"]
    m = good("--schema", "process", "--group-by", "pid")
    who = {"pid": str(w.pid), "ppid": str(os.getpid()), "uid": str(os.getuid()),
           "gid": str(os.getgid()), "path": os.readlink("/proc/%d/exe" % w.pid)}
    cpu = [m.get("process_cpu_seconds_total", mode=mode, **who) for mode in ("user", "system")]
    check(None not in cpu, "no series of that process with these labels", who)
    check_near(sum(cpu), used, "CPU seconds, not cut to whole ones", absolute=4 * TICK)
    check(m.get("process_resident_memory_bytes", **who) > 1 << 20, "resident memory")
    check_equal(m.get("process_resident_memory_bytes", **who),
                m.get("process_memory_rss_bytes", **who), "one value by two names")
    check(m.get("proctally_source", source="darwin") is None, "the source of macOS has a row")
    w.end()


# ---- The service --------------------------------------------------------------------

def start_service(*flags, **how):
    log = tempfile.TemporaryFile()
    how.setdefault("stderr", log)
    process = start([TEXTFILE, *flags], **how)
    process.log = log
    return process


def said(process):
    return written_to(process.log)


def case_atomic():
    """A reader never sees half a file, and the file is readable for all."""
    directory = temp_dir()
    prom = os.path.join(directory, "out.prom")
    start_hostile()
    p = start(["sh", "-c", 'umask 077; exec "$@"', "-", TEXTFILE, "--interval", "20ms",
               "--output", prom], stderr=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(prom), "the first file")
    check_equal(stat.S_IMODE(os.stat(prom).st_mode), 0o644, "mode under umask 077")
    inodes, before = set(), None
    end = time.monotonic() + 6
    while time.monotonic() < end:
        with open(prom, "rb") as f:
            inodes.add(os.fstat(f.fileno()).st_ino)
            text = f.read().decode("utf-8")
        m = Metrics(text)
        check(any(l == ("source", "procfs") for _, labels in m.series for l in labels),
              "the last family is missing")
        if before:
            check_never_falls(before, m.counters(), "reading")
        before = m.counters()
        check(all(n == "out.prom" or (n.startswith(".") and not n.endswith(".prom"))
                  for n in os.listdir(directory)), "strange files", listing(directory))
    check(len(inodes) > 1, "the file was not replaced")
    check_equal(stop(p), 0, "status after SIGTERM")
    check_equal(listing(directory), ["out.prom"], "files after SIGTERM")


def case_terminated():
    """SIGTERM and SIGINT at any moment: status 0, and nothing is left over."""
    directory = temp_dir()
    prom, state = os.path.join(directory, "out.prom"), os.path.join(directory, "state")
    p = start_service("--interval", "1h", "--output", prom)
    wait_for(lambda: os.path.exists(prom), "the first file")
    stop(p)
    rng = random.Random(1)
    for i in range(25):
        p = start_service("--interval", "10ms", "--output", prom, "--state-file", state)
        wait_for(lambda: blocked(p.pid, signal.SIGTERM), "the program is ready", every=0.001)
        time.sleep(rng.random() * 0.05)
        p.send_signal(rng.choice([signal.SIGTERM, signal.SIGINT]))
        check_equal(p.wait(20), 0, "status after a signal")
        check(set(listing(directory)) <= {"out.prom", "state"}, "left over", listing(directory))
        Metrics(read_text(prom))


def blocked(pid, number):
    with open("/proc/%d/status" % pid) as f:
        mask = re.search(r"^SigBlk:\s*([0-9a-f]+)", f.read(), re.M).group(1)
    return int(mask, 16) >> (number - 1) & 1


def case_killed():
    """What a killed run leaves is no obstacle for the next, and is used up."""
    directory = temp_dir()
    prom = os.path.join(directory, "out.prom")
    for _ in range(10):
        p = start_service("--interval", "10ms", "--output", prom)
        time.sleep(random.random() * 0.1)
        p.kill()
        p.wait()
    status, out, err = textfile("--output", prom)
    check_equal(status, 0, "status (%s)" % err)
    check_equal(listing(directory), ["out.prom"], "files after the next run")


def case_output_directory_removed():
    """The service says so once, goes on, and writes again when it is there."""
    directory = temp_dir()
    inner = os.path.join(directory, "inner")
    prom = os.path.join(inner, "out.prom")
    os.mkdir(inner)
    p = start_service("--interval", "100ms", "--output", prom)
    wait_for(lambda: os.path.exists(prom), "the first file")
    before = Metrics(read_text(prom)).counters()
    os.rename(inner, inner + ".gone")  # at once: it may be writing
    shutil.rmtree(inner + ".gone")
    wait_for(lambda: "cannot write" in said(p), "a complaint")
    time.sleep(1)
    check_equal(said(p).count("cannot write"), 1, "complaints")
    check(p.poll() is None, "the service has ended")
    os.mkdir(inner)
    wait_for(lambda: os.path.exists(prom), "writing goes on")
    check_never_falls(before, Metrics(read_text(prom)).counters(), "after a failure")
    check_equal(stop(p), 0, "status")
    status, out, err = textfile("--output", os.path.join(directory, "no", "out.prom"))
    check_equal(status, 1, "status of a run that cannot write")
    check("No such file" in err and "out.prom" in err, "the message", err)
    check_equal(listing(directory), ["inner"], "files")


def case_full():
    """A full file system: the old file stays, nothing is left, status 1."""
    need_mounts()
    directory = temp_dir()
    script = r"""
set -e
mount -t tmpfs -o size=16k none "$1"
cd "$1"
echo old >out.prom
set +e
"$2" --output out.prom 2>err.log; echo "once $?"
ls -A | tr '\n' ' '; cat out.prom
"$2" --interval 20ms --output out.prom 2>/dev/null & p=$!
sleep 1; kill $p; wait $p; echo "service $?"
ls -A | tr '\n' ' '; cat out.prom
"$2" --output x.prom --state-file state 2>&1 | grep -c 'state file'
ls -A | tr '\n' ' '
"""
    # the message goes to the full file system: that must not matter either
    status, out, err = run(["unshare", "-m", "sh", "-c", script, "-", directory, TEXTFILE])
    check_equal(out.split("\n")[:4],
                ["once 1", "err.log out.prom old", "service 0", "err.log out.prom old"],
                "what is left (%s)" % err)
    check("x.prom" not in out and ".tmp" not in out, "left over", out)


def case_standard_output_closed():
    for script in ('"$@" >&-', '"$@" --interval 50ms >&-'):
        status, out, err = run(["sh", "-c", script, "-", TEXTFILE])
        check_equal(status, 1, "status of %s" % script)
        check("standard output" in err, "no message", err)
    for flag in ("--help", "--version", "--list-metrics", "--check-config", "--explain=1"):
        status, out, err = run(["sh", "-c", '"$@" >&-', "-", TEXTFILE, flag])
        check_equal(status, 1, "status of %s >&-" % flag)
        status, out, err = run(["sh", "-c", '"$@" >/dev/full', "-", TEXTFILE, flag])
        check_equal(status, 1, "status of %s >/dev/full" % flag)
    for flags in ([], ["--interval", "50ms"]):
        read_end, write_end = os.pipe()
        os.close(read_end)
        p = start([TEXTFILE, *flags], stdout=write_end, stderr=subprocess.PIPE)
        os.close(write_end)
        check(p.wait(30) == 1, "status on a closed pipe %r: %r" % (flags, p.returncode))
        check(b"standard output" in p.stderr.read(), "no message on a closed pipe")
    status, out, err = run(["sh", "-c", '"$@" 2>&- | head -c 100 >/dev/null; echo ok', "-",
                            TEXTFILE])
    check_equal(out, "ok\n", "a closed stderr")
    # descriptors that are closed must not be given to /proc or the output file
    directory = temp_dir()
    prom = os.path.join(directory, "o.prom")
    status, out, err = run(["sh", "-c", '"$@" <&- >&- 2>&-', "-", TEXTFILE, "--output", prom])
    check_equal(status, 0, "status with all three closed")
    Metrics(read_text(prom))


def case_service_to_pipe():
    p = start([TEXTFILE, "--interval", "100ms"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = b""
    last = rb'proctally_source\{source="bpf"\} [01]\n'
    while len(re.findall(last, text)) < 3:
        data = os.read(p.stdout.fileno(), 65536)
        check(data, "the output has ended")
        text += data
    ends = [m.end() for m in re.finditer(last, text)]
    for begin, end in zip([0] + ends, ends):
        Metrics(text[begin:end].decode())
    # nobody reads any more, and the pipe fills up
    time.sleep(2)
    check_equal(stop(p), 0, "status after SIGTERM with a full pipe")


# ---- The state file ----------------------------------------------------------------------

def case_bad_states():
    """Damaged, cut, newer, foreign: set aside, said, and never fatal."""
    directory = temp_dir()
    state = os.path.join(directory, "state")
    m = good("--state-file", state)
    with open(state, "rb") as f:
        data = f.read()
    bad = {
        "empty": b"", "random": random.Random(3).randbytes(5000),
        "cut": data[:len(data) // 2], "one byte less": data[:-1],
        "one bit": data[:300] + bytes([data[300] ^ 4]) + data[301:],
        "longer": data + b"x", "newer": data.replace(b"state 2\n", b"state 3\n", 1),
        "text": b"proctally state 2\n" * 10, "zeros": bytes(10000),
    }
    for what, content in bad.items():
        check(content != data, "not changed: %s" % what)
        with open(state, "wb") as f:
            f.write(content)
        status, out, err = textfile("--state-file", state)
        check_equal(status, 0, "status with a state that is %s (%s)" % (what, err))
        Metrics(out)
        check("state file" in err and "was not used" in err, "no word about %s" % what, err)
        check_equal(listing(directory), ["state", "state.rejected"], "files (%s)" % what)
        with open(state + ".rejected", "rb") as f:
            check(f.read() == content, "what was set aside is something else: %s" % what)
        status, out, err = textfile("--state-file", state)
        check_equal(status, 0, "status of the run after it")
        check("state file" not in err, "a good state is complained about", err)
        os.unlink(state + ".rejected")


def check_unsaved(status, out, err, what):
    """All is shown, and told; status 1, as the next run can't count on."""
    check_equal(status, 1, "status with a state that can't be saved, %s (%s)" % (what, err))
    check("can't be saved" in err, "no word about %s" % what, err)
    Metrics(out)


def case_state_cannot_be_saved():
    """Missing directory, directory in its place: said and counted."""
    directory = temp_dir()
    os.mkdir(os.path.join(directory, "d"))
    for path in (os.path.join(directory, "no", "state"), os.path.join(directory, "d"),
                 "/proc/self/nothing"):
        check_unsaved(*textfile("--state-file", path), path)
    check_equal(listing(directory), ["d"], "files")
    # a service shows the count from its second collection on
    p = start([TEXTFILE, "--interval", "100ms", "--state-file", directory + "/no/state"],
              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = b""
    while not re.search(rb"state_failures_total [1-9]", text):
        data = os.read(p.stdout.fileno(), 65536)
        check(data, "no failure is counted", text[-500:].decode())
        text += data
    stop(p)


def case_state_read_only():
    """Without the right to write it: what was counted is used, and stays."""
    directory = temp_dir()
    state = os.path.join(directory, "state")
    binary = shutil.copy(TEXTFILE, directory)
    good("--state-file", state)
    os.chmod(state, 0o444)
    with open(state, "rb") as f:
        data = f.read()
    status, out, err = run([*as_nobody(), binary, "--state-file", state])
    check_unsaved(status, out, err, "read-only")
    check("was not used" not in err, "the state was not used", err)
    with open(state, "rb") as f:
        check(f.read() == data, "the state has changed")
    check_equal(listing(directory), ["proctally-textfile", "state"], "files")
    os.chmod(state, 0)
    status, out, err = run([*as_nobody(), binary, "--state-file", state])
    check_unsaved(status, out, err, "not readable")
    with open(state, "rb") as f:
        check(f.read() == data, "the state that can't be read has changed")


def case_counters_about_itself():
    """They go on from run to run as the groups' do."""
    directory = temp_dir()
    w = Workload(SLEEPER, args=["x" * 90000])
    w.hear()
    flags = ["--state-file", os.path.join(directory, "state"), "--group-by", "cmdline"]
    a = good(*flags)
    check(a.get("proctally_cmdlines_cut_total") >= 1, "no command line was cut")
    w.end()
    check_never_falls(a.counters(), good(*flags).counters(), "the second run")


# ---- Other views of /proc ------------------------------------------------------------------

def case_subset_pid():
    """proc mounted with subset=pid has no /proc/stat and no boot id."""
    need_mounts()
    directory = temp_dir()
    proc, state = os.path.join(directory, "proc"), os.path.join(directory, "state")
    os.mkdir(proc)
    script = 'mount -t proc -o subset=pid proc "$1" || exit 99; shift; "$@" && exec "$@"'
    status, out, err = run(["unshare", "-m", "sh", "-c", script, "-", proc, TEXTFILE, "--procfs",
                            proc, "--state-file", state, "--output", directory + "/o.prom"])
    if status == 99:
        raise Skipped("proc can't be mounted with subset=pid")
    check_equal(status, 0, "status (%s)" % err)
    check("was not used" not in err, "the state was refused", err)
    m = Metrics(read_text(directory + "/o.prom"))
    check(m.get("proctally_processes_seen") > 5, "hardly any process")
    check(m.get("proctally_cpu_coverage_ratio") is None, "coverage of an unknown host")
    oldest = min(v for (n, _), v in m.series.items() if n == "proctally_start_time_seconds") \
        if "proctally_start_time_seconds" in m.families() else None
    check(oldest is None or oldest > 946684800, "a start time before 2000: %r" % oldest)


def case_missing_procfs():
    directory = temp_dir()
    missing = os.path.join(directory, "no")
    status, out, err = textfile("--procfs", missing)
    check_equal((status, out), (1, ""), "status and output")
    check(missing in err, "the message does not name it", err)
    check_equal(err.count("\n"), 1, "lines of the message (%s)" % err)
    # a service waits for it
    prom = os.path.join(directory, "o.prom")
    p = start_service("--procfs", missing, "--interval", "100ms", "--output", prom)
    wait_for(lambda: missing in said(p), "a complaint")
    time.sleep(0.5)
    check(p.poll() is None, "the service has ended", said(p))
    check(not os.path.exists(prom), "there is a file about nothing")
    os.symlink("/proc", missing)
    wait_for(lambda: os.path.exists(prom), "it goes on when it is there")
    check_equal(said(p).count("no: "), 1, "complaints (%s)" % said(p))
    check_equal(stop(p), 0, "status")
    # not proc at all
    empty = os.path.join(directory, "empty")
    os.mkdir(empty)
    status, out, err = textfile("--procfs", empty)
    check(status in (0, 1), "status %d on an empty directory" % status, err)
    if status == 0:
        check_equal(Metrics(out).get("proctally_processes_seen"), 0, "processes")


# ---- Configuration and the rest ------------------------------------------------------------

MISTAKES = {
    "interval: soon\n": (1, "interval"),
    "group-by: [name]\n\ncpu-mode: turbo\n": (3, "cpu-mode"),
    "top: 1\nintervall: 1s\n": (2, "intervall"),
    "max-groups: -1\n": (1, "max-groups"),
    "metrics: [cpu_usr]\n": (1, "cpu_user"),
    "# remark\nprocess_names:\n  - name: x\n    cmdline: ['(']\n": (4, "("),
    "process_names:\n  - name: '{{.Nope}}'\n    comm: [a]\n": (2, "Nope"),
    "process_names:\n  - nmae: x\n    comm: [a]\n": (2, "nmae"),
    "process_names:\n  - name: x\n": (2, ""),
    "group-by: [nonsense]\n": (1, "nonsense"),
    "labels:\n  a-b: c\n": (2, "a-b"),
    "a: [\n": (None, ""),
    "top: many\ninterval: 1s\n": (1, "top"),
}


def case_configuration_mistakes():
    directory = temp_dir()
    path = os.path.join(directory, "bad file.yaml")
    for text, (line, word) in MISTAKES.items():
        write_text(path, text)
        for flags in (["--check-config"], [], ["--interval", "1s"], ["--explain", "1"]):
            status, out, err = textfile("--config", path, *flags, seconds=20)
            check_equal((status, out), (2, ""), "status and output for %r %r (%s)" % (
                text, flags, err))
            check(path in err, "the message for %r does not name the file" % text, err)
            if line:
                check(re.search(r"bad file\.yaml:%d\b|line %d\b" % (line, line), err),
                      "the message for %r does not name line %d" % (text, line), err)
            check(word in err, "the message for %r does not name %s" % (text, word), err)
            check_equal(err.count("\n"), 1, "lines of the message (%s)" % err)
    for flags in (["--config", directory + "/none.yaml"], ["--config", directory],
                  ["--interval", "x"], ["--interval"], ["--nonsense"], ["word"],
                  ["--explain", "x"], ["--explain", "0"], ["--config="], ["--top", "0"],
                  ["--once=yes"], ["--schema", "other"], ["--prefix", "1-"], ["--labels", "x"]):
        status, out, err = textfile(*flags, seconds=20)
        check_equal((status, out), (2, ""), "status and output for %r (%s)" % (flags, err))
        check_equal(err.count("\n"), 1, "lines of the message for %r" % flags)


def case_reload():
    """A changed file is taken up, a broken one is not; SIGHUP reads at once."""
    directory = temp_dir()
    config, prom = os.path.join(directory, "c.yaml"), os.path.join(directory, "o.prom")
    w = Workload(BURNER)
    w.hear()
    write_text(config, "group-by: [name]\n")
    p = start_service("--config", config, "--interval", "100ms", "--output", prom)
    wait_for(lambda: os.path.exists(prom), "the first file")
    w.go_on()
    w.hear()
    wait_for(lambda: cpu_of(Metrics(read_text(prom)), w.name) > 0.1, "CPU seconds")
    before = Metrics(read_text(prom)).counters()
    write_text(config, "group-by: [name]\nlabels: {site: lab}\n")
    m = wait_for(lambda: (lambda x: x if "lab" in x.labels_of("site") else None)(
        Metrics(read_text(prom))), "the new label")
    check(cpu_of(m, w.name) > 0.1, "counters were lost in the change")
    write_text(config, "group-by: [nonsense]\n")
    wait_for(lambda: "the old configuration stays" in said(p), "a complaint")
    time.sleep(0.5)
    check_equal(said(p).count("the old configuration stays"), 1, "complaints")
    check("lab" in Metrics(read_text(prom)).labels_of("site"), "the old configuration is gone")
    write_text(config, "group-by: [name]\nlabels: {site: pub}\n")
    wait_for(lambda: "pub" in Metrics(read_text(prom)).labels_of("site"), "the repaired one")
    check(cpu_of(Metrics(read_text(prom)), w.name) > 0.1, "counters were lost")
    p.send_signal(signal.SIGHUP)
    wait_for(lambda: said(p).count("has been read again") > 2, "SIGHUP reads it again")
    write_text(config, "")
    p.send_signal(signal.SIGHUP)
    wait_for(lambda: "is empty" in said(p), "an empty file is said")
    time.sleep(0.5)
    check("pub" in Metrics(read_text(prom)).labels_of("site"), "an empty file was taken up")
    check_equal(said(p).count("is empty"), 1, "complaints")
    write_text(config, "group-by: [name]\nlabels: {site: now}\n")
    p.send_signal(signal.SIGHUP)

    def is_taken_up():
        os.utime(config)  # it is not left alone, which a change without SIGHUP waits for
        return "now" in Metrics(read_text(prom)).labels_of("site")
    wait_for(is_taken_up, "SIGHUP does not wait")
    os.unlink(config)
    wait_for(lambda: said(p).count("the old configuration stays") > 2, "a missing file is said")
    check(p.poll() is None, "it has ended")
    check_equal(stop(p), 0, "status")
    w.end()


def case_two_files_in_one_directory():
    """With the same series about the collector they make node_exporter fail: said, until
    labels tell them apart."""
    directory = temp_dir()
    one, two = (os.path.join(directory, n) for n in ("one.prom", "two.prom"))
    textfile("--output", one)
    for flags, collides in (([], True), (["--labels", "part=b c"], False), (["--prefix", "x_"], False),
                            (["--schema", "process-exporter"], True)):
        status, out, err = textfile("--output", two, *flags)
        check_equal(status, 0, "status with %r (%s)" % (flags, err))
        check_equal("same series" in err and one in err and "labels" in err, collides,
                    "what %r says (%s)" % (flags, err))
    textfile("--output", one, "--labels", "part=b c")
    for file, collides in ((two, True), (os.path.join(directory, "o.txt"), False)):
        status, out, err = textfile("--output", file, "--labels", "part=b c")
        check_equal("same series" in err, collides, "what it says of %s (%s)" % (file, err))
    p = start_service("--interval", "100ms", "--output", two, "--labels", "part=b c")
    wait_for(lambda: "same series" in said(p), "the service says so")
    time.sleep(0.5)
    check_equal(said(p).count("same series"), 1, "how often")
    check_equal(stop(p), 0, "status")


def case_hardly_meant():
    """What is taken but hardly meant is said once, with its line."""
    directory = temp_dir()
    config, prom = os.path.join(directory, "c.yaml"), os.path.join(directory, "o.prom")
    long = "process_names:\n- comm: [gnome-terminal-server]\n"
    write_config(config, "enabled: true\n" + long)
    status, out, err = textfile("--config", config, "--check-config")
    check_equal((status, out), (0, "configuration ok\n"), "status and output")
    check(config + ":1: " in err and "enabled" in err, "no word about the key", err)
    check(config + ":3: " in err and "gnome-terminal-" in err, "no word about the name", err)
    check_equal(err.count("\n"), 2, "lines (%s)" % err)
    p = start_service("--config", config, "--interval", "100ms", "--output", prom)
    wait_for(lambda: os.path.exists(prom), "the first file")
    check_equal(said(p).count("gnome-terminal-server"), 1, "how often it is said")
    write_config(config, "enabled: true\n" + long + "- unit: [nginx]\n")
    wait_for(lambda: "nginx.service" in said(p), "the new warning")
    check_equal((said(p).count("gnome-terminal-server"), said(p).count("enabled")), (1, 1),
                "how often the old ones are said")
    check_equal(stop(p), 0, "status")


def case_two_writers():
    """Two services and one file: it is whole all the time."""
    directory = temp_dir()
    prom = os.path.join(directory, "o.prom")
    both = [start_service("--interval", "10ms", "--output", prom) for _ in range(2)]
    wait_for(lambda: os.path.exists(prom), "the first file")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        Metrics(read_text(prom))
    for p in both:
        check_equal(stop(p), 0, "status")
    check_equal(listing(directory), ["o.prom"], "files")


def case_for_people():
    w = Workload(SLEEPER)
    w.hear()
    status, out, err = textfile("--check-config")
    check_equal((status, err), (0, ""), "--check-config")
    status, out, err = textfile("--explain", str(w.pid))
    check_equal(status, 0, "--explain (%s)" % err)
    check(w.name in out, "--explain does not name the group", out)
    rules = '[{name: other, comm: [nobody]}, {name: "mine:{{.Comm}}", comm: [%s]}]' % w.name
    status, out, err = textfile("--explain", str(w.pid), "--process_names", rules)
    check("mine:" + w.name in out and "rule 1" in out and "rule 2" in out, "--explain", out)
    status, out, err = textfile("--explain", str(w.pid), "--exclude", w.name)
    check_equal(status, 0, "--explain of a process that is left out")
    check("exclude" in out, "--explain does not say exclude", out)
    w.end()
    status, out, err = textfile("--explain", str(w.pid))
    check_equal((status, out), (1, ""), "--explain of no process")
    status, out, err = textfile("--list-metrics")
    check_equal((status, err), (0, ""), "--list-metrics")
    check(out.count("\n") > 50 and "cpu_user" in out, "--list-metrics", out)
    status, out, err = textfile("--help")
    check_equal((status, err), (0, ""), "--help")
    for word in ("--config", "--output", "--group-by", "--state-file", "--explain", "--once"):
        check(word in out, "--help has no %s" % word)
    check(max(len(line) for line in out.split("\n")) <= 100, "--help is too wide")
    status, out, err = textfile("--version")
    check_equal((status, err), (0, ""), "--version")
    check(re.match(r"proctally-textfile [0-9]+\.[0-9]+", out), "--version", out)
    status, out, err = textfile("--interval", "1s", "--once")
    check_equal(status, 0, "--once")
    Metrics(out)
    for pid in start_hostile_pids():
        status, out, err = textfile("--explain", str(pid))
        check_equal(status, 0, "--explain of a hostile name (%s)" % err)
        out.encode("utf-8")
        check(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out), "--explain is not safe to print",
              out)


def start_hostile_pids():
    w = start_hostile()
    with open("/proc/%d/task/%d/children" % (w.pid, w.pid)) as f:
        return [int(word) for word in f.read().split()]


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
