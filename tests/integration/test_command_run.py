#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 400
"""proctally run and attach: what commands of known use have used, and that they are not
disturbed."""
import csv
import ctypes
import errno
import fcntl
import glob
import io
import itertools
import select
import struct
import sys

from common import *
from test_sleepers import start_with_pid

TMP = os.environ.get("TMP") or temp_dir()
NOBODY = 65534
ROOM_S = 2 * TICK
# a user may not have ours
PYTHON = PYTHON if not PYTHON.startswith("/root") else "/usr/bin/python3"

# Runs a command as its child and writes down what it and the child have used.
TRUTH = r"""
import os, resource, sys
pid = os.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
io = dict(l.split(": ") for l in open("/proc/self/io").read().splitlines())
own = resource.getrusage(resource.RUSAGE_SELF)
open(sys.argv[1], "w").write("%f %d %d" % (
    usage.ru_utime + usage.ru_stime + own.ru_utime + own.ru_stime,
    int(io["rchar"]), max(usage.ru_maxrss, own.ru_maxrss)))
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Tier:
    def __init__(self, name, flags, as_user=False):
        self.name, self.flags, self.as_user = name, flags, as_user

    def command(self, *arguments):
        own = ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"]
        return (own if self.as_user else []) + [COMMAND, "run", *self.flags, *arguments]


def tiers():
    found = [Tier("a user", [], as_user=True)] if os.geteuid() == 0 else [Tier("a user", [])]
    if os.geteuid() == 0:
        found.append(Tier("root, procfs", ["--source", "procfs"]))
        if COMMAND_HAS_BPF():
            found.append(Tier("root, bpf", ["--source", "bpf"]))
    return found


def COMMAND_HAS_BPF():
    return subprocess.run([COMMAND, "run", "--source", "bpf", "-q", "true"],
                          capture_output=True).returncode == 0


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def run(tier, *command, flags=(), **more):
    """The process, its records and the summary among them."""
    done = subprocess.run(tier.command("--json", "--quiet", *flags, "--", *command),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=200,
                          cwd=TMP, **more)
    rows = records(done.stdout)
    check(rows, "records of " + tier.name, done.stderr)
    return done, rows, rows[-1]


def truth_of(tier, *command):
    """What the command used by its own account, and by proctally's."""
    path = os.path.join(tempfile.mkdtemp(dir=TMP), "truth")
    os.chmod(os.path.dirname(path), 0o777)
    done, rows, summary = run(tier, PYTHON, "-c", TRUTH, path, *command)
    check_equal(done.returncode, 0, "status with " + tier.name)
    cpu_s, rchar, rss_kb = open(path).read().split()
    return float(cpu_s), int(rchar), int(rss_kb), summary


def cpu_of(summary):
    return summary["cpu_user_s"] + summary["cpu_system_s"]


def check_cpu(tier, cpu_s, summary, what):
    check_near(cpu_of(summary), cpu_s, "%s, %s: CPU" % (tier.name, what), CPU_ROOM, ROOM_S)
    check("cpu_user_s" in summary["exact"], tier.name + ": CPU time is said to be exact", summary)


def case_short_children():
    """500 of a millisecond, which no sample sees."""
    for tier in tiers():
        for _ in range(3): # a kernel that drops events makes it say that it has not all
            cpu_s, rchar, rss_kb, summary = truth_of(
                tier, "sh", "-c", "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done")
            if summary["source"] != "bpf" or "processes_started" in summary["exact"]:
                break
            check(summary["processes_started"] <= 502, "too many", summary)
        check_cpu(tier, cpu_s, summary, "500 children")
        # the wrapper reads and writes on after it has looked
        check_near(summary["total_syscall_read_bytes"], rchar, tier.name + ": bytes read",
                   absolute=4096)
        check(rss_kb <= summary["max_rss_largest_process_kb"] <= rss_kb + 2048,
              tier.name + ": largest process", rss_kb, summary)
        started = summary["processes_started"]
        if summary["source"] == "bpf":
            check_equal(started, 502, "processes started")
            check("processes_started" in summary["exact"], "starts are exact")
            programs = {p["name"]: p for p in summary["programs"]}
            check_near(programs["true"]["count"], 500, "by program", absolute=25)
        else:
            check(started <= 502, tier.name + ": at most those that there were", summary)
            check("processes_started" not in summary["exact"], "starts are not exact")


def case_build():
    source = tempfile.mkdtemp(dir=TMP)
    for i in range(8):
        with open("%s/f%d.c" % (source, i), "w") as file:
            file.write("#include <stdio.h>\n#include <stdlib.h>\n" +
                       "".join("int f%d_%d(int a) { return printf(\"%%d\", a * %d); }\n"
                               % (i, k, k) for k in range(300)))
    with open(source + "/Makefile", "w") as file:
        file.write("o = %s\nall: $o\n%%.o: %%.c\n\tcc -O1 -c $< -o $@\n"
                   % " ".join("f%d.o" % i for i in range(8)))
    for name in [source] + [os.path.join(source, n) for n in os.listdir(source)]:
        os.chown(name, NOBODY, NOBODY) if os.geteuid() == 0 else None
    for tier in tiers():
        cpu_s, _, rss_kb, summary = truth_of(tier, "make", "-B", "-s", "-j2", "-C", source)
        check_cpu(tier, cpu_s, summary, "a build")
        check_equal(summary["max_rss_largest_process_kb"], rss_kb, tier.name + ": largest process")
        if summary["source"] == "bpf":
            names = [p["name"] for p in summary["programs"]]
            check("cc1" in names and "as" in names, "the compiler and the assembler", names)
            check_near(sum(p["cpu_s"] for p in summary["programs"]), cpu_of(summary),
                       "the programs together", 0.01, ROOM_S)


def case_pipe_of_shells():
    for tier in tiers():
        cpu_s, _, _, summary = truth_of(
            tier, "sh", "-c", "(for i in $(seq 60); do echo $i; done) | (while read n; do "
                              "expr $n + 1; done) | sort | (sh -c 'cat; cat' >/dev/null)")
        check_cpu(tier, cpu_s, summary, "a pipe of shells")


def case_threads():
    burn = ("import hashlib, threading\ndef f():\n for _ in range(40): hashlib.sha256(b'x' * "
            "4000000).digest()\nt = [threading.Thread(target=f) for _ in range(3)]\n"
            "[x.start() for x in t]\n[x.join() for x in t]")
    for tier in tiers():
        cpu_s, _, _, summary = truth_of(tier, PYTHON, "-c", burn)
        check_cpu(tier, cpu_s, summary, "threads")


# 300 MB for 50 ms
SPIKE = """
import mmap, time
m = mmap.mmap(-1, 300 << 20)
for i in range(0, 300 << 20, 4096): m[i] = 1
time.sleep(0.05)
m.close()
"""


def case_spike():
    for tier in tiers():
        _, _, rss_kb, summary = truth_of(tier, PYTHON, "-c", SPIKE)
        check(rss_kb > 300 << 10, "the spike was that large", rss_kb)
        check_equal(summary["max_rss_largest_process_kb"], rss_kb, tier.name)
        check("max_rss_largest_process_kb" in summary["exact"], "the largest process is exact")
        if summary["source"] == "bpf":
            programs = {p["name"]: p for p in summary["programs"]}
            # a sample adds up what the kernel keeps by CPU, and ru_maxrss leaves that out
            check_near(programs[os.path.basename(PYTHON)]["max_rss_kb"], rss_kb,
                       "the largest of this program", absolute=2048)


CHILD = """
import os, resource, sys
x = bytearray(int(sys.argv[1]) << 20)
for i in range(0, len(x), 4096): x[i] = 1
usage = resource.getrusage(resource.RUSAGE_SELF)
print(os.getpid(), usage.ru_maxrss, usage.ru_utime + usage.ru_stime, file=sys.stderr)
"""


def case_last_samples():
    """Each process is shown at its end, however short it was."""
    for tier in tiers():
        for _ in range(3):  # a kernel may drop an event, seldom so that nobody can tell
            done, rows, summary = run(tier, "sh", "-c", "for mb in 40 42 44 46 48 50 52 54; do "
                                      "%s -S -c '%s' $mb; done" % (PYTHON, CHILD))
            ends = {r["pid"]: r for r in rows if r["kind"] == "end"}
            if summary["source"] != "bpf" or ("processes_started" in summary["exact"] and
                                              len(ends) == summary["processes_started"]):
                break
        if summary["source"] != "bpf":
            check_equal(ends, {}, "ends that nobody has told")
            continue
        check_equal(len(ends), summary["processes_started"], "ends")
        of_children = [line.split() for line in done.stderr.splitlines()]
        check_equal(len(of_children), 8, "children")
        # A sample may come between fork and execve: then the end is told of what it was by then.
        caught = {c["pid"] for r in rows if r["kind"] == "tree" for c in r["children"]
                  if c["command"] == "sh"}
        whole = [child for child in of_children if int(child[0]) not in caught]
        check(len(whole) >= 4, "children that no sample has caught", len(whole))
        for pid, rss_kb, cpu_s in whole:
            end = ends[int(pid)]
            check_equal(end["command"], os.path.basename(PYTHON), "its name")
            # it goes on for a while after it has looked
            check_near(end["metrics"]["max_rss_kb"], int(rss_kb), "the highest memory of a child",
                       absolute=512)
            check_near(end["metrics"]["cpu_user_s"] + end["metrics"]["cpu_system_s"],
                       float(cpu_s), "CPU of a child", 0.3, ROOM_S)
        check_equal(ends[rows[0]["pid"]]["command"], "sh", "the command itself")


def case_more_ends_than_room():
    """Those that are not told one by one are counted all the same."""
    for tier in tiers():
        if "bpf" not in tier.name:
            continue
        for _ in range(3):  # a kernel that drops events makes it say that it has not all
            done, rows, summary = run(tier, "sh", "-c", "i=0; while [ $i -lt 1000 ]; do "
                                      "/bin/true; i=$((i+1)); done",
                                      flags=["--max-processes", "1024", "--interval", "60s",
                                             "--max-interval", "60s"])
            if summary["source"] != "bpf" or "processes_started" in summary["exact"]:
                break
        if summary["source"] != "bpf":
            continue
        check_near(summary["processes_started"], 1001, "processes started", absolute=10)
        ends = [r for r in rows if r["kind"] == "end"]
        check(300 < len(ends) < 900, "ends that are told one by one", len(ends))
        check_near(sum(p["cpu_s"] for p in summary["programs"]), cpu_of(summary),
                   "the programs together", 0.02, ROOM_S)


def case_sigchld_ignored():
    """As whoever starts it may have it: it is told of the end, and the command has it so."""
    for tier in tiers():
        command = tier.command("-q", "--", PYTHON, "-c", "import signal, sys\n"
                               "sys.exit(3 if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN else 4)")
        done = subprocess.run(command, timeout=100, stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        check_equal((done.returncode, done.stderr), (3, ""), tier.name)


def case_attach_counts_from_now():
    """Memory that a process had before it was attached to is not its largest."""
    child = start([PYTHON, "-c", "import sys, time\nx = bytearray(200 << 20)\n"
                   "for i in range(0, len(x), 4096): x[i] = 1\ndel x\nprint(flush=True)\ntime.sleep(600)"],
                  stdout=subprocess.PIPE)
    child.stdout.readline()
    for flags, is_larger in (([], False), (["--since-process-start"], True)):
        done = subprocess.run([COMMAND, "attach", "--json", "-q", "--duration", "1s", *flags,
                               str(child.pid)], stdout=subprocess.PIPE, text=True, timeout=100)
        summary = records(done.stdout)[-1]
        check_equal(summary["max_rss_largest_process_kb"] > 200 << 10, is_larger, flags)


def case_many_short_children():
    """10,000."""
    for tier in tiers():
        cpu_s, _, _, summary = truth_of(
            tier, "sh", "-c", "i=0; while [ $i -lt 10000 ]; do /bin/true; i=$((i+1)); done")
        if "bpf" in tier.name and "processes_started" not in summary["exact"]:
            # the kernel has dropped events, of starts or of execs alone, and that is said
            check_near(cpu_of(summary), cpu_s, "CPU of 10,000 children", CPU_ROOM, ROOM_S)
            check_near(summary["processes_started"], 10002, "processes started", 0.01)
            check(summary["processes_started"] <= 10002, "too many", summary)
            continue
        check_cpu(tier, cpu_s, summary, "10,000 children")
        if "processes_started" in summary["exact"]:
            check_equal(summary["processes_started"], 10002, "processes started")
        else:
            check(summary["processes_started"] <= 10002, "too many", summary)


DAEMON = r"""
import os, sys, time
def note(who):
    open(sys.argv[1] + who, "w").write("%f" % time.process_time())
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        end = time.process_time() + 0.5
        while time.process_time() < end: pass
        note("")
        if sys.argv[2] == "stays": time.sleep(3)
        os._exit(0)
    note(".between")
    os._exit(0)
os.wait()
if sys.argv[2] == "stays":
    while not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read(): time.sleep(0.01)
note(".first")
"""


def case_daemon():
    """A grandchild whose parents have gone: waited for, or left behind."""
    for tier in tiers():
        for how in ("ends", "stays"):
            path = os.path.join(tempfile.mkdtemp(dir=TMP), "cpu")
            os.chmod(os.path.dirname(path), 0o777)
            done, rows, summary = run(tier, PYTHON, "-c", DAEMON, path, how,
                                      flags=["--wait"] if how == "ends" else [])
            check_equal(done.returncode, 0, tier.name)
            # what each of the three had used when it was about to end
            cpu_s = sum(float(read_text(name)) for name in glob.glob(path + "*"))
            check(cpu_s - ROOM_S <= cpu_of(summary) <= cpu_s + 0.1 * PATIENCE,
                  "%s, %s: the daemon's CPU time is among it once" % (tier.name, how), cpu_s, summary)
            check_equal(summary["orphans_left"], 1 if how == "stays" else 0, tier.name)


def case_status():
    for tier in tiers():
        for command, status in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137),
                                (["sh", "-c", "kill -TERM $$"], 143), (["/nonexistent"], 127),
                                (["/etc/passwd"], 126), (["/etc"], 126), ([""], 127)):
            done = subprocess.run(tier.command("--quiet", *command), capture_output=True,
                                  text=True, timeout=60)
            check_equal(done.returncode, status, "%s: %r" % (tier.name, command))
            check_equal(done.stderr != "", command[0] != "sh", "%r says why" % command)
    for arguments, said in ((["--cgroup", "maybe", "true"], "expected auto, yes or no"),
                            ([], "expected a command"), (["--nothing", "true"], "unknown flag"),
                            (["--interval", "soon", "true"], "expected a duration"),
                            (["--json", "--csv", "true"], "expected one of them"),
                            (["--out", "/nonexistent/x", "true"], "cannot open")):
        done = subprocess.run([COMMAND, "run", *arguments], capture_output=True, text=True)
        check(said in done.stderr, repr(arguments), done.stderr)
        check_equal(done.returncode, 2 if arguments[:1] == ["--nothing"] else 125, repr(arguments))


def case_end_in_time():
    tier = tiers()[0]
    for arguments, at_most in ((["-d", "0.3", "sleep", "30.5"], 20),
                               (["--timeout=300ms", "sh", "-c", "kill -STOP $$; sleep 30.5"], 20),
                               (["-d", "0.5", "sh", "-c", "sleep 30.5; echo never"], 20),
                               (["--wait", "-d", "0.5", "sh", "-c",
                                 "sleep 30.5 </dev/null >/dev/null 2>&1 &"], 20)):
        begun = time.monotonic()
        done = subprocess.run(tier.command("-q", *arguments), capture_output=True, timeout=100)
        check_equal(done.returncode, 124, repr(arguments))
        check("sleep 30.5" not in subprocess.run(["ps", "-eo", "args"], capture_output=True,
                                                 text=True).stdout, "what it started has ended")
        check(time.monotonic() - begun < at_most, "it ended long before the command would")


def case_command_is_not_disturbed():
    """Its input, its output, its signals and its process group are as without us."""
    tier = tiers()[0]
    show = ("import os, signal, sys; blocked = signal.pthread_sigmask(signal.SIG_BLOCK, []); "
            "print(sys.stdin.read(), blocked, signal.getsignal(signal.SIGINT), "
            "[l for l in open('/proc/self/status') if l[:3] in ('Sig', 'Shd') and l[:4] != 'SigQ'], "
            "sorted(os.listdir('/proc/self/fd')), os.getpgrp() == int(sys.argv[1]))")
    inside = subprocess.Popen(tier.command("-q", PYTHON, "-c", show, "0"), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    with_us = inside.communicate("hello\n")[0]
    alone = subprocess.run([PYTHON, "-c", show, "0"], input="hello\n", capture_output=True,
                           text=True).stdout
    check_equal(with_us, alone, "what the command sees")
    done = subprocess.run(tier.command("--json", "-q", "sh", "-c", "echo out; echo err >&2"),
                          capture_output=True, text=True)
    check_equal(sorted(done.stderr.split()), ["err", "out"], "both go to standard error")
    records(done.stdout)


def case_signals():
    tier = tiers()[0]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        child = subprocess.Popen(
            tier.command("sh", "-c", "trap 'echo got; exit 5' %d; echo ready; while :; do sleep "
                                     "0.1; done" % number), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)
        check_equal(child.stdout.readline(), "ready\n", "it runs")
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        check_equal((out, child.returncode), ("got\n", 5), "signal %d" % number)
        check("exit status 5" in err, "the summary is still said", err)
    child = subprocess.Popen(tier.command("sh", "-c", "trap '' TERM; echo ready; sleep 1; exit 3"),
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    child.stdout.readline()
    child.terminate()
    check_equal(child.wait(60), 3, "a command that ignores SIGTERM")


def case_reader_goes():
    """The records end then, and not the command."""
    tier = tiers()[0]
    path = os.path.join(tempfile.mkdtemp(dir=TMP), "done")
    os.chmod(os.path.dirname(path), 0o777)
    child = subprocess.Popen(tier.command("--json", "-q", "-i", "20", "-m", "20", "sh", "-c",
                                          "sleep 1; echo yes >%s; exit 4" % path),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = child.stdout.readline()
    check_equal(json.loads(line)["kind"], "metadata", "the first record")
    child.stdout.close()
    err = child.stderr.read()
    check_equal((child.wait(60), open(path).read(), err), (4, "yes\n", ""), "the command ran on")
    with open("/dev/full", "w") as full:
        done = subprocess.run(tier.command("--json", "-q", "sh", "-c", "exit 4"), stdout=full,
                              stderr=subprocess.PIPE, text=True)
    check_equal(done.returncode, 4, "no room for records")
    check_equal(done.stderr, "proctally run: cannot write to standard output: No space left on "
                             "device; going on without\n", "no room for records")
    done = subprocess.run(tier.command("-q", "--", "sh", "-c", "exec >&-; head -c 100000000 "
                                       "/dev/zero | wc -c >&2"), stderr=subprocess.PIPE,
                          text=True)
    check_equal((done.returncode, done.stderr), (0, "100000000\n"), "a command without output")


class Controlled:
    """proctally with a control socket."""

    def __init__(self, *arguments):
        self.socket, theirs = socket.socketpair()
        self.process = subprocess.Popen([COMMAND, *arguments[:1], "-q", "--source", "procfs",
                                         "--control", str(theirs.fileno()), *arguments[1:]],
                                        pass_fds=[theirs.fileno()], stderr=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        theirs.close()
        self.lines = self.socket.makefile()
        later(self.process.kill)

    def ask(self, request):
        self.socket.send(request)

    def next(self, *kinds):
        """The next record of these kinds."""
        for line in self.lines:
            record = json.loads(line)
            if record["kind"] in kinds:
                return record
        raise Failed("no %s" % (kinds,))

    def end(self):
        out, err = self.process.communicate(timeout=60)
        check_equal((out, err), ("", ""), "nothing is said but to the socket")
        return self.process.returncode


def case_output_is_closed():
    """Whoever has no standard output gets no records, and the command runs."""
    path = os.path.join(tempfile.mkdtemp(dir=TMP), "ran")
    for flag in "--json", "--jsonl", "--csv":
        done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", COMMAND, "run", "-q", flag, "sh",
                               "-c", "echo >>%s; exit 3" % path], stderr=subprocess.PIPE, text=True)
        check_equal((done.returncode, done.stderr),
                    (3, "proctally run: cannot write to standard output: Bad file descriptor; going "
                        "on without\n"), flag)
    check_equal(read_text(path), "\n" * 3, "the command ran")


def case_gigabyte():
    """The command writes it to where we would, and past our records."""
    tier, size = tiers()[-1], 1 << 30
    for flags in ["-q"], ["-q", "--json"]:
        with subprocess.Popen(tier.command(*flags, "head", "-c", str(size), "/dev/zero"),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            command_writes = child.stdout if flags == ["-q"] else child.stderr
            others = child.stderr if flags == ["-q"] else child.stdout
            count = 0
            while data := os.read(command_writes.fileno(), 1 << 20):
                count += len(data)
            said = others.read().decode()
        check_equal((child.returncode, count), (0, size), "what it wrote")
        if flags == ["-q"]:
            check_equal(said, "", "what we say")
        else:
            written = records(said)[-1]["total_syscall_write_bytes"]
            check(size <= written <= size + 100000, "bytes that were written", written)


def case_without_proc():
    """Nothing can be told then; the command does not run unseen."""
    path = os.path.join(tempfile.mkdtemp(dir=TMP), "ran")
    script = 'mount -t tmpfs none /proc 2>/dev/null || exit 77; exec "$@"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", COMMAND, "run", "--source",
                           "procfs", "touch", path], capture_output=True, text=True)
    if done.returncode in (1, 77):
        raise Skipped("no file system can be mounted on /proc here")
    check_equal(done.returncode, 125, "status")
    check(re.match(r"proctally run: can't follow process \d+: there is none in /proc\n$",
                   done.stderr), "why", done.stderr)
    check(not os.path.exists(path), "the command ran")


def case_control():
    """Another program asks for samples, and for the end."""
    run = Controlled("run", "--env", "--", "sh", "-c", "sleep 60; sleep 60")
    check_equal(run.next("env", "metadata", "error")["kind"], "env", "the first record")
    metadata = run.next("metadata")
    check_equal(metadata["executable"], os.path.realpath(shutil.which("sh")), "the program")
    check_equal(os.listdir("/proc/%d/fd" % metadata["pid"]), ["0", "1", "2"], "descriptors")
    time.sleep(0.5)
    for _ in range(3):
        run.ask(b"s")
        sample = run.next("tree")
        check("cpu_usage" in sample["aggregated"], "the first has a time to be of", sample)
    run.ask(b"r")
    for _ in range(3):
        run.next("tree")
    run.ask(b"p")
    run.ask(b"e")
    check_equal(run.next("exit")["signal"], signal.SIGTERM, "how it ended")
    summary = run.next("summary")
    check(summary["samples"] >= 7, "samples and the last one", summary)
    check_equal((run.lines.read(), run.end()), ("", 124), "that is all")

    stubborn = Controlled("run", "--session", "--", "sh", "-c",
                          "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 60'); sleep 60")
    pid = stubborn.next("metadata")["pid"]
    wait_for(lambda: stubborn.ask(b"s") or len(stubborn.next("tree")["children"]) > 1, "setsid")
    check_equal((os.getsid(pid), os.getpgid(pid)), (pid, pid), "its own session")
    stubborn.ask(b"e")
    stubborn.ask(b"e")
    check_equal(stubborn.next("exit")["signal"], signal.SIGKILL, "how it ended")
    check_equal(stubborn.end(), 124, "status")

    for command, errno_, status in (("/nonesuch", errno.ENOENT, 127), ("/etc", errno.EACCES, 126)):
        failed = Controlled("run", "--", command)
        record = failed.next("error")
        check_equal(record["errno"], errno_, "why not")
        check_equal(record["error"], "cannot run %s: %s" % (command, os.strerror(errno_)), "in words")
        check_equal((failed.lines.read(), failed.end()), ("", status), "that is all")
    nobody = Controlled("attach", "4194305")
    check_equal(nobody.next("error")["errno"], errno.ESRCH, "no such process")
    nobody.end()

    path = os.path.join(temp_dir(), "done")
    left = Controlled("run", "--", "sh", "-c", "sleep 1; echo yes >" + path)
    left.next("metadata")
    left.lines.close()
    left.socket.close()
    check_equal((left.end(), open(path).read()), (0, "yes\n"), "the command runs on")
    sleeper = subprocess.Popen(["sleep", "60"])
    later(sleeper.kill)
    watch = Controlled("attach", str(sleeper.pid))
    check_equal(watch.next("metadata")["cmd"], ["sleep", "60"], "the command of a process")
    watch.socket.shutdown(socket.SHUT_WR)
    watch.next("summary")
    check_equal((watch.end(), sleeper.poll()), (0, None), "the watching has ended")
    done = subprocess.run([COMMAND, "run", "--control", "77", "true"], capture_output=True, text=True)
    check_equal((done.returncode, done.stderr), (125, "proctally run: --control got \"77\"; expected "
                "the number of an open socket\n"), "no socket")


def case_records():
    for tier in tiers():
        path = os.path.join(tempfile.mkdtemp(dir=TMP), "records")
        os.chmod(os.path.dirname(path), 0o777)
        done, rows, summary = run(tier, "sh", "-c", "sleep 1.25; exec sleep 0.75",
                                  flags=["--env", "--out", path, "--interval", "50"])
        check_equal(records(open(path).read()), rows, "the file has the same")
        kinds = [r["kind"] for r in rows]
        check_equal(kinds[:2] + kinds[-2:], ["env", "metadata", "exit", "summary"], "kinds")
        check_equal(set(kinds[2:-2]) - {"end"}, {"tree", "child"}, "kinds between")
        check_equal("end" in kinds, summary["source"] == "bpf", "ends are told")
        metadata = rows[1]
        check_equal(metadata["cmd"][0], "sh", "the command")
        trees = [r for r in rows if r["kind"] == "tree"]
        check(len(trees) >= 3, "samples", kinds)
        children = [(r["ppid"], r.get("cmd")) for r in rows if r["kind"] == "child"]
        check((metadata["pid"], ["sleep", "1.25"]) in children, "child", children)
        seen = [c for t in trees for c in t["children"]]
        check({c["command"] for c in seen} <= {"sh", "sleep"}, "children", seen)
        for tree in trees:
            check_equal(tree["aggregated"]["process_count"],
                        len(tree["children"]) + ("parent" in tree), "process_count")
        cpu = [t["aggregated"]["cpu_user_s"] + t["aggregated"]["cpu_system_s"] for t in trees]
        check_equal(cpu, sorted(cpu), "the whole tree's CPU time never falls")
        check_equal(summary["sample_count"], len(trees), "samples")
        check("nothing known is 0" and "network_receive_bytes_tcp" not in summary or
              summary["source"] == "bpf", "no network traffic without bpf", summary)
    done, rows, _ = run(tiers()[0], "sleep", "0.2", flags=["--exclude-children"])
    check({r["kind"] for r in rows} == {"metadata", "sample", "exit", "summary"}, "kinds", rows)


def case_exec_of_same_program():
    """An interpreter that executes itself with another script is recorded again."""
    again = "exec(\"import os, sys, time\\ntime.sleep(0.7)\\nif len(sys.argv) < 2: " \
            "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(0.7)', 'again'])\")"
    for tier in tiers():
        _, rows, _ = run(tier, "sh", "-c", '"$@"; :', "sh", PYTHON, "-c", again)
        commands = [r.get("cmd", []) for r in rows if r["kind"] == "child"]
        check([c for c in commands if c[-1:] == ["again"]] and
              [c for c in commands if c[-1:] == [again]], tier.name + ": both are told", commands)


def case_csv():
    done = subprocess.run(tiers()[0].command("--csv", "-q", "sh", "-c", "sleep 1; :"),
                          capture_output=True, text=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    check_equal(list(rows[0])[:4], ["ts_ms", "cpu_usage", "mem_rss_kb", "mem_vms_kb"], "columns")
    check({r["command"] for r in rows} == {"", "sh", "sleep"}, "rows", rows)
    check(all(None not in r and None not in r.values() for r in rows), "cells", rows)


def case_summary_for_people():
    for tier in tiers():
        done = subprocess.run(tier.command("sh", "-c", ": '\033[31m'; sleep 0.1; exit 3"), capture_output=True, text=True)
        check_equal((done.returncode, done.stdout), (3, ""), tier.name)
        check(re.search(r"^processes  .*~[1-9]\d* at a time", done.stderr, re.M),
              tier.name + ": samples may have missed some", done.stderr)
        for word in ("wall", "exit status 3", "cpu", "memory", "largest process", "processes"):
            check(word in done.stderr, "%s: %s" % (tier.name, word), done.stderr)
        check(not re.search(r"^proctally run:", done.stderr, re.M), "no notices", done.stderr)


def case_live():
    done = subprocess.run(tiers()[0].command("-q", "--live", "sleep", "0.3"), capture_output=True,
                          text=True)
    lines = done.stderr.splitlines()
    check(len(lines) >= 2 and all("cpu" in l and "\033" not in l for l in lines), "lines", lines)


def attach(pid, *flags):
    return subprocess.run([COMMAND, "attach", "--json", "-q", *flags, str(pid)],
                          capture_output=True, text=True, timeout=60)


def case_attach():
    child = subprocess.Popen([PYTHON, "-c", "import time\nend = time.process_time() + 1\n"
                                            "while time.process_time() < end: pass"])
    done = attach(child.pid)
    check_equal(done.returncode, 0, "attach")
    rows = records(done.stdout)
    check(0 < cpu_of(rows[-1]) < 1 + ROOM_S, "CPU time from then on", rows[-1])
    check(any("parent" in r for r in rows), "it is shown", rows)
    check("exit_code" not in rows[-1], "nobody but its parent knows its status", rows[-1])
    child.wait()
    child = subprocess.Popen(["sleep", "60"])
    done = attach(child.pid, "--duration", "0.5")
    check_equal(done.returncode, 0, "attach for a time")
    check(child.poll() is None, "the process runs on")
    watcher = subprocess.Popen([COMMAND, "attach", str(child.pid)], stderr=subprocess.PIPE,
                               text=True)
    time.sleep(1)
    watcher.send_signal(signal.SIGINT)
    check("wall" in watcher.communicate(timeout=60)[1], "Ctrl-C ends with a summary")
    check_equal(watcher.returncode, 0, "Ctrl-C")
    check(child.poll() is None, "the process runs on")
    child.kill()
    check_equal(attach(child.pid, "--duration", "0.3").returncode, 0, "a zombie")
    child.wait()
    done = attach(child.pid)
    check_equal(done.returncode, 1, "one that has ended")
    check("there is none" in done.stderr, "one that has ended", done.stderr)
    check_equal(attach("x").returncode, 2, "no number")
    if os.geteuid() == 0:
        check_equal(attach(2, "--duration", "0.2").returncode, 0, "a kernel thread")


def forbid_pidfds():
    """As with a kernel that has none, by seccomp(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    # pidfd_open has the same number everywhere: 434
    code = b"".join(struct.pack("HBBI", *i) for i in (
        (0x20, 0, 0, 0), (0x15, 0, 1, 434), (0x06, 0, 0, 0x00050000 | errno.ENOSYS),
        (0x06, 0, 0, 0x7fff0000)))
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        os._exit(99)


def case_attach_without_pidfds():
    for flags in ([], ["--exclude-children"]):
        children = [subprocess.Popen(["sleep", n]) for n in ("0.5", "1.2")]
        begun = time.monotonic()
        done = subprocess.run([COMMAND, "attach", "--json", "-q", "--source", "procfs", *flags,
                               *(str(c.pid) for c in children)], capture_output=True, text=True,
                              timeout=60, preexec_fn=forbid_pidfds)
        check_equal((done.returncode, done.stderr), (0, ""), "attach")
        check(1 <= records(done.stdout)[-1]["wall_s"] <= 20, "until the last of them has ended",
              done.stdout[-300:])
        check(time.monotonic() - begun < 20, "and no longer")
        [c.wait() for c in children]


def case_attach_to_thread():
    child = start([PYTHON, "-c", "import threading, time\n"
                   "threading.Thread(target=time.sleep, args=(60,)).start()\nprint(flush=True)"],
                  stdout=subprocess.PIPE)
    child.stdout.readline()
    tid = max(map(int, os.listdir("/proc/%d/task" % child.pid)))
    check(tid != child.pid, "a thread")
    done = attach(tid, "--duration", "0.3")
    check_equal((done.returncode, done.stdout, done.stderr),
                (1, "", "proctally attach: %d is a thread of process %d; expected a process\n"
                 % (tid, child.pid)), "attach to a thread")


def case_attach_to_what_is_not_ours():
    if os.geteuid() != 0:
        raise Skipped("only root has two users")
    child = start([PYTHON, "-c", "import time\nprint(1, flush=True)\ntime.sleep(100)"],
                  stdout=subprocess.PIPE)
    child.stdout.readline()
    done = subprocess.run([*as_nobody(), COMMAND, "attach", "--json", "-q", "--duration", "0.3",
                           str(child.pid)], capture_output=True, text=True, timeout=60)
    check_equal(done.returncode, 0, "attach to another user's process: " + done.stderr)
    summary = records(done.stdout)[-1]
    check("cpu_user_s" in summary, "CPU time is told to everybody", summary)
    check("total_disk_read_bytes" not in summary, "I/O is not, and is not 0", summary)


def case_attach_to_a_pid_that_is_used_again():
    """The next process with that number is another one."""
    pid = int(read_text("/proc/sys/kernel/pid_max")) - 1
    while os.path.exists("/proc/%d" % pid):
        pid -= 1
    sources = ["procfs"] + ["bpf"] * COMMAND_HAS_BPF()
    for source, flags in itertools.product(sources, ({}, {"preexec_fn": forbid_pidfds})):
        first = start_with_pid(pid, b"first")
        watcher = subprocess.Popen([COMMAND, "attach", "--json", "-q", "--source", source,
                                    "--interval", "200ms", str(pid)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, **flags)
        watcher.stdout.readline()
        time.sleep(0.05) # a pid within the same clock tick is the same process in /proc
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        second = start_with_pid(pid, b"second")
        for _ in range(4): # 50 ms each
            os.write(second, b"x")
        out, err = watcher.communicate(timeout=60)
        check_equal((watcher.returncode, err), (0, ""), "it ends")
        check(cpu_of(records(out)[-1]) < 0.05, "what the second has used", out[-300:])
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def case_several():
    """Two processes at a time."""
    children = [subprocess.Popen(["sleep", n]) for n in ("1", "1.5")]
    done = subprocess.run([COMMAND, "attach", "--json", "-q"] + [str(c.pid) for c in children],
                          capture_output=True, text=True, timeout=60)
    rows = records(done.stdout)
    check_equal((done.returncode, done.stderr, rows[-1]["max_processes"]), (0, "", 2), "both")
    [c.wait() for c in children]


def has_v2():
    return "cgroup2" in open("/proc/self/mountinfo").read()


def case_nobody_waits():
    """Where SIGCHLD is ignored the kernel adds a child to nobody; a control group has it."""
    ignore = ("import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
              "for i in range(3):\n if os.fork() == 0:\n  end = time.process_time() + 0.1\n"
              "  while time.process_time() < end: pass\n  os._exit(0)\n"
              "try: os.wait()\nexcept ChildProcessError: pass")
    if os.geteuid() != 0 or not has_v2():
        raise Skipped("no right to make a control group")
    for tier in tiers()[1:]:
        before = set(glob.glob("/sys/fs/cgroup/**/proctally-*", recursive=True))
        _, _, summary = run(tier, PYTHON, "-c", ignore, flags=["--cgroup", "yes"])
        check(cpu_of(summary) >= 0.3, tier.name, summary)
        check("cpu_user_s" in summary["exact"], tier.name + ": it is exact", summary)
        left = set(glob.glob("/sys/fs/cgroup/**/proctally-*", recursive=True)) - before
        check_equal(left, set(), "control groups that are left")
    _, _, summary = run(tiers()[0], PYTHON, "-c", ignore, flags=["--cgroup", "no"])
    check("cpu_user_s" not in summary["exact"] or cpu_of(summary) >= 0.3,
          "without one it is not said to be all", summary)
    done = subprocess.run(tiers()[0].command("--cgroup", "yes", "-q", "true"), capture_output=True,
                          text=True)
    check_equal(done.returncode, 125, "no right to make one")
    check("cannot make a control group" in done.stderr, "no right to make one", done.stderr)


def case_nobody_waits_for_short_children():
    """Of 100 of 2 ms samples see a few, and they are not said to be all."""
    ignore = ("import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
              "for i in range(100):\n if os.fork() == 0:\n"
              "  end = time.process_time() + 0.002\n"
              "  while time.process_time() < end: pass\n  os._exit(0)\n"
              "try: os.wait()\nexcept ChildProcessError: pass")
    for tier in tiers():
        _, _, summary = run(tier, "sh", "-c", '"$@"; :', "sh", PYTHON, "-c", ignore,
                            flags=["--cgroup", "no"])
        if summary["source"] == "bpf":
            check("cpu_user_s" not in summary["exact"] or cpu_of(summary) >= 0.2, tier.name, summary)
        else:
            check_equal(summary["exact"], [], tier.name + ": what is exact")
    if os.geteuid() == 0 and has_v2():
        _, _, summary = run(tiers()[1], "sh", "-c", '"$@"; :', "sh", PYTHON, "-c", ignore,
                            flags=["--cgroup", "yes"])
        check_equal(summary["exact"], ["cpu_user_s", "cpu_system_s"], "what a control group has")
        check(cpu_of(summary) >= 0.2, "what a control group has", summary)


# A spike, and then what the command's own control group says of it.
IN_CONTROL_GROUP = SPIKE + r"""
import sys
own = sys.argv[1] + [l for l in open("/proc/self/cgroup") if l[:3] == "0::"][0][3:].strip()
cpu = dict(l.split() for l in open(own + "/cpu.stat"))
try: peak = int(open(own + "/memory.peak").read())
except FileNotFoundError: peak = 0
open(sys.argv[2], "w").write("%d %d" % (int(cpu["usage_usec"]), peak))
"""


def case_control_group():
    """The kernel's own account of one, with the memory controller on. That is so below the
    topmost group only: any other has no such children while it has processes itself."""
    at = next((l.split()[4] for l in open("/proc/self/mountinfo") if " - cgroup2 " in l), "")
    if os.geteuid() != 0 or not at or "memory" not in open(at + "/cgroup.subtree_control").read():
        raise Skipped("no control groups of version 2 with the memory controller")

    def to_the_top():
        write_text(at + "/cgroup.procs", "0")
    for tier in tiers()[1:]:
        path = os.path.join(tempfile.mkdtemp(dir=TMP), "usage")
        done, _, summary = run(tier, PYTHON, "-c", IN_CONTROL_GROUP, at, path,
                               flags=["--cgroup", "yes"], preexec_fn=to_the_top)
        check_equal(done.returncode, 0, tier.name + ": status (%s)" % done.stderr)
        cpu_us, peak = map(int, read_text(path).split())
        # the kernel has it since Linux 5.19
        if KERNEL >= (5, 19):
            check_equal((summary["peak_memory_source"], summary["peak_memory_kb"]),
                        ("memory.peak", peak // 1024), tier.name + ": the peak")
            check(300 << 20 < peak < 340 << 20, "the spike and little else", peak)
        else:
            check(summary["peak_memory_source"] != "memory.peak", "a peak from nowhere", summary)
        # it goes on to its end after it has looked
        check(cpu_us / 1e6 - 0.001 <= cpu_of(summary), "CPU time fell", cpu_us, summary)
        check_cpu(tier, cpu_us / 1e6, summary, "what its control group has")
        check_equal(glob.glob(at + "/proctally-*"), [], "control groups that are left")


def command(*arguments):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=100)


def case_recorded_runs():
    """summary and compare tell what the runs themselves did."""
    directory = tempfile.mkdtemp(dir=TMP)
    path, cut = directory + "/runs", directory + "/cut"
    first = command("run", "--out", path, "sh", "-c", "sleep 0.3; exit 3")
    second = command("run", "--out", path, "sleep", "0.2")
    again = command("summary", path)
    if "without jansson" in again.stderr:
        raise Skipped("this build reads no JSON")
    check_equal(again.stdout, first.stderr + second.stderr, "the same summaries")
    of_file = records(command("summary", "--json", path).stdout)
    recorded = [r for r in records(open(path).read()) if r["kind"] == "summary"]
    for one, other in zip(of_file, recorded):
        check_equal(list(one), list(other), "the same keys")
        for key, value in other.items():
            if isinstance(value, float):
                check_near(one[key], value, key, 1e-5)
            else:
                check_equal(one[key], value, key)
    with open(cut, "w") as file: # 7168 * 0.1 / 0.1 is less than 7168
        file.write('{"kind":"summary","command":"a","wall_s":0.1,"samples":1,"exact":[],'
                   '"avg_mem_rss_kb":7,"peak_mem_rss_kb":7}\n')
    check_equal(records(command("summary", "--json", cut).stdout)[0]["avg_mem_rss_kb"], 7, "average")
    with open(cut, "w") as file: # each of the peaks, and the traffic
        file.write('{"kind":"summary","command":"a","wall_s":1,"samples":1,"exact":[],'
                   '"peak_memory_kb":9,"peak_memory_source":"memory.peak","peak_mem_pss_kb":8,'
                   '"peak_mem_rss_kb":12,"network_receive_bytes_tcp":5,'
                   '"network_receive_bytes_udp":6,"network_transmit_bytes_tcp":7}\n')
    row, = records(command("summary", "--json", cut).stdout)
    check_equal((row["peak_memory_kb"], row["peak_memory_source"], row["peak_mem_pss_kb"],
                 row["peak_mem_rss_kb"]), (9, "memory.peak", 8, 12), "the peaks")
    both = json.loads(command("compare", "--json", cut, cut).stdout)
    check_equal([both[key]["a"]["mean"] for key in (
        "cgroup_peak_memory_bytes", "peak_mem_pss_bytes", "peak_mem_rss_bytes",
        "network_receive_bytes")], [9 << 10, 8 << 10, 12 << 10, 11], "what is compared")
    check_equal(both["network_transmit_bytes"], {}, "half is not known")
    lines = open(path).read().splitlines()
    with open(cut, "w") as file: # a run that was killed in the middle of a line
        file.write("\n".join(lines[:3]) + "\n" + lines[3][:40])
    rows = records(command("summary", "--json", cut).stdout)
    check_equal(len(rows), 1, "a run that was cut off")
    check_equal((rows[0]["command"], rows[0]["exact"]), ("sh -c sleep 0.3; exit 3", []), "cut off")
    check("exit_code" not in rows[0], "how it ended is not known", rows[0])
    table = command("compare", path, cut)
    check_equal(table.returncode, 0, "compare")
    check(re.search(r"^A: .* \(2 runs\)\nB: .* \(1 run\)$", table.stdout, re.M), "compare", table.stdout)
    with open(cut, "w") as file: # without its beginning, and with numbers of any size
        file.write('{"kind":"tree","aggregated":{"ts_ms":1,"mem_rss_kb":1e300}}\n'
                   '{"kind":"exit","exit_code":1e99,"signal":1e99}\n')
    rows = records(command("summary", "--json", cut).stdout)
    check_equal((len(rows), rows[0]["command"]), (1, ""), "a run without a beginning")
    for arguments in (["/etc/passwd"], ["/nonexistent"], ["/"]):
        done = command("summary", *arguments)
        check_equal((done.returncode, done.stdout), (1, ""), repr(arguments))
        check(arguments[0] in done.stderr, "it is named", done.stderr)


def case_denet_records():
    """What denet 0.10 writes, shortened."""
    path = os.path.join(tempfile.mkdtemp(dir=TMP), "denet")
    def metrics(ts, cpu, rss):
        return {"ts_ms": ts, "cpu_usage": cpu, "mem_rss_kb": rss, "mem_vms_kb": 2 * rss,
                "disk_read_bytes": 1, "disk_write_bytes": 2, "syscall_read_bytes": 30,
                "syscall_write_bytes": 40, "page_faults_cached": 5, "page_faults_disk": 6,
                "thread_count": 7, "uptime_secs": 0, "cpu_core": 1}
    rows = [{"kind": "metadata", "pid": 7, "cmd": ["a", "b"], "executable": "/bin/a", "t0_ms": 1000}]
    for ts, cpu, rss in ((1000, 0.0, 100), (2000, 50.0, 300), (4000, 100.0, 200)):
        rows.append({"kind": "tree", "ts_ms": ts, "parent": metrics(ts, cpu, rss), "children": [],
                     "aggregated": dict(metrics(ts, cpu, rss), process_count=2)})
    with open(path, "w") as file:
        file.writelines(json.dumps(r) + "\n" for r in rows)
    done = command("summary", "--json", path)
    if "without jansson" in done.stderr:
        raise Skipped("this build reads no JSON")
    summary = json.loads(done.stdout)
    for key, wanted in (("command", "a b"), ("wall_s", 3), ("cpu_user_s", 2.5), ("samples", 3),
                        ("peak_mem_rss_kb", 300), ("max_processes", 2), ("max_threads", 7),
                        ("total_syscall_read_bytes", 30), ("exact", [])):
        check_equal(summary[key], wanted, key)


def case_denet_flags():
    """Command lines for denet are understood."""
    sleeper = start(["sleep", "60"])
    flags = ["-j", "-q", "-n", "-i", "50", "-m", "100", "-d", "1", "--no-polling",
             "--since-process-start", "--exclude-children", "--write-env"]
    for last, status in ((["run", "sleep", "0.3"], 0), (["attach", str(sleeper.pid)], 0)):
        done = command(*flags, *last)
        check_equal((done.returncode, done.stderr), (status, ""), repr(last))
        kinds = [r["kind"] for r in records(done.stdout)]
        check_equal((kinds[0], kinds[-1]), ("env", "summary"), repr(last))
        check("sample" in kinds, repr(last), kinds)


def case_compare_commands():
    done = command("compare", "--json", "--runs", "3", "seq 10000 >/dev/null", "seq 50000 >/dev/null")
    check_equal((done.returncode, done.stderr), (0, ""), "compare")
    figures = json.loads(done.stdout)
    written = figures["syscall_write_bytes"]
    check_equal(written["a"], {"runs": 3, "mean": 48894, "deviation": 0}, "bytes of A")
    check_equal(written["b"], {"runs": 3, "mean": 288894, "deviation": 0}, "bytes of B")
    for flags in (["--json"], []):
        done = command("compare", *flags, "--runs", "2", "echo one", "echo two >&2; echo three")
        check_equal((done.returncode, done.stderr), (0, "one\ntwo\nthree\n" * 2), "what they write")
        check(re.match(r"\{.*\}\n$" if flags else r"A: echo one \(2 runs\)\n", done.stdout) and
              "\none\n" not in done.stdout, "what compare writes", done.stdout)
    done = command("compare", "--runs", "2", "true", "exit 4")
    check_equal(done.returncode, 1, "a command that fails")
    check("exit 4 left with 4" in done.stderr, "a command that fails", done.stderr)
    for arguments in ([], ["a"], ["--runs", "0", "true", "true"], ["--runs", "x", "true", "true"]):
        check_equal(command("compare", *arguments).returncode, 2, repr(arguments))


def case_children_from_before():
    """What a shell had started before it became proctally is none of its business."""
    tier = tiers()[0]
    for flags, status in (([], 0), (["--timeout", "1"], 124)):
        script = "sleep 41.7 </dev/null >/dev/null 2>&1 & echo $!; exec \"$@\""
        command = tier.command("-q", "--json", *flags, "sleep", "0.3" if not flags else "30.5")
        done = subprocess.run(["sh", "-c", script, "sh", *command], capture_output=True, text=True,
                              timeout=60)
        pid, _, rest = done.stdout.partition("\n")
        check_equal(done.returncode, status, "status")
        os.kill(int(pid), signal.SIGKILL)  # it is still there
        check_equal(records(rest)[-1]["orphans_left"], 0, "orphans")


def case_reader_that_reads_nothing():
    """Neither the time nor signals wait for it."""
    sleeper = subprocess.Popen(["sleep", "60"])
    for arguments, status in ((["run", "--timeout", "1", "sleep", "50"], 124),
                              (["attach", "--duration", "1", str(sleeper.pid)], 0)):
        child = subprocess.Popen([COMMAND, arguments[0], "--json", "-q", "--interval", "10ms",
                                  "--max-interval", "10ms", *arguments[1:]],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        fcntl.fcntl(child.stdout, 1031, 4096)  # F_SETPIPE_SZ
        check_equal(child.wait(60), status, repr(arguments))
        child.stdout.close()
    sleeper.kill()
    sleeper.wait()


def case_source_is_said():
    if os.geteuid() != 0 or not COMMAND_HAS_BPF():
        raise Skipped("no source bpf")
    for _ in range(10):
        done = subprocess.run([COMMAND, "run", "--json", "-q", "true"], capture_output=True, text=True)
        check_equal(records(done.stdout)[-1]["source"], "bpf", "of a command that ends at once")


def case_fork_without_end():
    """Each child starts the next and ends, until the time is up."""
    tier = tiers()[-1]
    chain = ("import os, time\nend = time.time() + 1\nn = 0\nwhile time.time() < end:\n"
             " n += 1\n if os.fork(): os._exit(0)\nopen('%s', 'w').write(str(n))")
    path = os.path.join(tempfile.mkdtemp(dir=TMP), "n")
    os.chmod(os.path.dirname(path), 0o777)
    done, rows, summary = run(tier, PYTHON, "-c", chain % path, flags=["--wait"])
    check_equal(done.returncode, 0, "the first of them")
    started = int(open(path).read())
    check(started > 10, "there were many", started)
    if "processes_started" in summary["exact"]:
        check_equal(summary["processes_started"], started + 1, "all were counted")
    else:
        check(summary["processes_started"] <= started + 1, "not more than there were", summary)


# Four of those; SIGTERM does not matter to them.
CHAIN = ("import os, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
         "end = time.time() + float(sys.argv[1])\nos.fork()\nos.fork()\n"
         "while time.time() < end:\n if os.fork(): os._exit(0)")


class Chain:
    """The command, for so many seconds, with a pipe that is open as long as anything of it is
    left: whoever lists processes finds each of those too late."""

    def __init__(self, seconds):
        self.command = [PYTHON, "-c", CHAIN, str(seconds)]
        self.fd, self.inherited = os.pipe()
        later(os.close, self.fd)

    def run(self, command):
        """Status and what was said. (A pipe for that would be open as long.)"""
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run([*command, *self.command], stdout=subprocess.DEVNULL, stderr=said,
                                  timeout=100, pass_fds=[self.inherited])
            os.close(self.inherited)
            said.seek(0)
            return done.returncode, said.read()

    def is_left(self):
        return not select.select([self.fd], [], [], 0)[0]


def case_end_of_fork_without_end():
    """When the time is up nothing of it is left."""
    tested = [(tiers()[0], "no")] + [(tier, "auto") for tier in tiers()[1:2]]
    for tier, cgroup in tested:
        chain = Chain(60)
        begun = time.monotonic()
        done = chain.run(tier.command("-q", "--cgroup", cgroup, "--wait", "-d", "0.3"))
        check_equal(done, (124, ""), tier.name)
        check(time.monotonic() - begun < 45, tier.name + ": it was ended")
        check(not chain.is_left(), "%s, --cgroup %s: something is left" % (tier.name, cgroup))


def case_control_group_of_fork_without_end():
    """It goes, and who was in it goes on."""
    if os.geteuid() != 0 or not has_v2():
        raise Skipped("no right to make a control group")
    for _ in range(3):
        before = set(glob.glob("/sys/fs/cgroup/**/proctally-*", recursive=True))
        chain = Chain(3)
        done = chain.run([COMMAND, "run", "-q", "--source", "procfs", "--cgroup", "yes"])
        left = set(glob.glob("/sys/fs/cgroup/**/proctally-*", recursive=True)) - before
        check(chain.is_left(), "they go on")
        for path in left:  # none is to stay behind if this fails
            wait_for(lambda: not chain.is_left(), "the end of the chain")
            os.rmdir(path)
        check_equal((*done, left), (0, "", set()), "the control group")
        wait_for(lambda: not chain.is_left(), "the end of the chain")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
