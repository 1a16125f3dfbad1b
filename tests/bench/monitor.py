# SPDX-License-Identifier: MIT
"""monitor.py PROCTALLY VENV_BIN SECONDS: what monitors of one command cost and find. Called by
monitor.sh."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

PROCTALLY, VENV, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3])
TICKS = os.sysconf("SC_CLK_TCK")
OUT = tempfile.mkdtemp()

DENET = """
import denet, sys
code, monitor = denet.execute_with_monitoring(sys.argv[2:], output_file=sys.argv[1], quiet=True,
                                              stdout_file=None, stderr_file=None)
"""


def monitors():
    yield "proctally, bpf", lambda out, cmd: [PROCTALLY, "run", "-q", "--source", "bpf", "--out",
                                              out, "--", *cmd]
    yield "proctally, procfs", lambda out, cmd: [PROCTALLY, "run", "-q", "--source", "procfs",
                                                 "--out", out, "--", *cmd]
    if os.path.exists(VENV + "/denet-crate"):
        yield "denet, crate", lambda out, cmd: [VENV + "/denet-crate", "--quiet", "--out", out,
                                                "run", *cmd]
    if os.path.exists(VENV + "/psrecord"):
        yield "denet", lambda out, cmd: [VENV + "/python", "-c", DENET, out, *cmd]
        yield "psrecord", lambda out, cmd: [VENV + "/psrecord", " ".join(
            "'%s'" % c for c in cmd), "--include-children", "--log", out]
    if shutil.which("time"):
        yield "GNU time", lambda out, cmd: [shutil.which("time"), "-v", "-o", out, *cmd]


def due(seconds):
    """How many samples proctally run takes in that time: each 100 ms in the first second, each
    second from 10 s on, and one at the end."""
    at, count = 0, 1
    while at < seconds:
        count += 1
        at += 0.1 if at < 1 else min(1, 0.1 + 0.9 * (at - 1) / 9)
    return count


def own_cpu_s(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def watch(argv):
    """The monitor's own CPU time, without what it waited for, and how long it took."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    begun, own = time.monotonic(), 0.0
    while True:
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        own = max(own, own_cpu_s(child.pid))
        if ended:
            child.wait()
            return own, time.monotonic() - begun
        time.sleep(0.02)


def found(name, out):
    """(CPU seconds, largest resident memory in MB, samples), as the monitor tells it."""
    if not os.path.exists(out):
        return None, None, 0
    text = open(out).read()
    if name == "GNU time":
        value = dict(l.strip().rsplit(": ", 1) for l in text.splitlines() if ": " in l)
        return (float(value["User time (seconds)"]) + float(value["System time (seconds)"]),
                int(value["Maximum resident set size (kbytes)"]) / 1024, 0)
    if name == "psrecord":
        rows = [[float(n) for n in l.split()] for l in text.splitlines()
                if l.strip() and not l.startswith("#")]
        cpu = sum((b[0] - a[0]) * b[1] / 100 for a, b in zip(rows, rows[1:]))
        return cpu, max((r[2] for r in rows), default=0), len(rows)
    records = [json.loads(l) for l in text.splitlines() if l.startswith("{")]
    if name.startswith("proctally"):
        summary = records[-1]
        return (summary["cpu_user_s"] + summary["cpu_system_s"],
                summary["max_rss_largest_process_kb"] / 1024, summary["samples"])
    samples = [r.get("aggregated", r) for r in records
               if "cpu_usage" in r.get("aggregated", r)]
    cpu = sum((b["ts_ms"] - a["ts_ms"]) / 1000 * b["cpu_usage"] / 100
              for a, b in zip(samples, samples[1:]))
    return cpu, max((s["mem_rss_kb"] for s in samples), default=0) / 1024, len(samples)


def run(name, make, command):
    out = os.path.join(OUT, "out")
    if os.path.exists(out):
        os.unlink(out)
    own, wall = watch(make(out, command))
    return (own, wall) + found(name, out)


def truth(command):
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    # a child is said to have been as large as whoever started it: then it is not known
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024 if usage.ru_maxrss > 1.1 * own else None)


def show(value, form):
    return form % value if value is not None else "-"


SLEEPERS = "i=1; while [ $i -lt %d ]; do sleep %d & i=$((i+1)); done; sleep %d; wait"
SPIKE = ("import mmap, time\nm = mmap.mmap(-1, 300 << 20)\n"
         "for i in range(0, 300 << 20, 4096): m[i] = 1\ntime.sleep(0.05)\nm.close()\n"
         "time.sleep(1)")
WORK = (("a burner of 3 s", [sys.executable, "-c", "import time\nwhile time.process_time() < 3: pass"]),
        ("500 x true", ["sh", "-c", "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"]),
        ("300 MB for 50 ms", [sys.executable, "-c", SPIKE]))

try:
    print("own CPU in %% of a core, and samples, over %d s" % SECONDS)
    for children in (1, 50, 500):
        for name, make in monitors():
            own, wall, _, _, samples = run(
                name, make, ["sh", "-c", SLEEPERS % (children, SECONDS, SECONDS)])
            of = " of %d" % due(SECONDS) if name.startswith("proctally") else ""
            print("%4d sleepers  %-18s %6.2f %%  %4d%s" % (children, name, 100 * own / wall, samples,
                                                         of))
    print("\nfound: CPU seconds, largest resident memory in MB")
    for what, command in WORK:
        cpu, rss = truth(command)
        print("%-18s  %-18s %7.3f  %6s" % (what, "truth (wait4)", cpu, show(rss, "%.1f")))
        for name, make in monitors():
            _, _, found_cpu, found_rss, _ = run(name, make, command)
            print("%-18s  %-18s %7s  %6s" % ("", name, show(found_cpu, "%.3f"),
                                             show(found_rss, "%.1f")))
finally:
    shutil.rmtree(OUT)
