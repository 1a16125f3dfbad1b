#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
# aside
"""proctally-fs: the same values in every file, whatever reads them, and mounts that come and
go well. Whoever reads a mount whose server does not answer hangs, also through SIGKILL: each
reader has its time, after which it is the server that is ended."""
import collections
import contextlib
import hashlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from common import *

FS = os.path.join(BUILD, "plugins/fs/proctally-fs")
TYPE = "fuse.tally"

# The files of a group, and where textfile has their values
FILES = {
    "process_count": ("processes",),
    "threads": ("threads",),
    "threads_running": ("threads_running",),
    **{"states_" + s: ("states", "state", s) for s in (
        "running", "sleeping", "disk_sleep", "zombie", "stopped", "idle")},
    "cpu_user_seconds": ("cpu_seconds_total", "mode", "user"),
    "cpu_system_seconds": ("cpu_seconds_total", "mode", "system"),
    "cpu_usage_ratio": ("cpu_usage_ratio",),
    "memory_rss_bytes": ("memory_rss_bytes",),
    "memory_vms_bytes": ("memory_vms_bytes",),
    "memory_swap_bytes": ("memory_swap_bytes",),
    "memory_pss_bytes": ("memory_pss_bytes",),
    "memory_swap_pss_bytes": ("memory_swap_pss_bytes",),
    "memory_pss_age_seconds": ("memory_pss_age_seconds",),
    "memory_footprint_bytes": ("memory_footprint_bytes",),
    "memory_data_bytes": ("memory_data_bytes",),
    "memory_stack_bytes": ("memory_stack_bytes",),
    "memory_code_bytes": ("memory_code_bytes",),
    "open_fds": ("open_fds",),
    "worst_fd_ratio": ("worst_fd_ratio",),
    "disk_read_bytes": ("disk_read_bytes_total",),
    "disk_written_bytes": ("disk_written_bytes_total",),
    "io_read_bytes": ("io_read_bytes_total",),
    "io_written_bytes": ("io_written_bytes_total",),
    "io_reads": ("io_syscalls_total", "op", "read"),
    "io_writes": ("io_syscalls_total", "op", "write"),
    "context_switches_voluntary": ("context_switches_total", "type", "voluntary"),
    "context_switches_involuntary": ("context_switches_total", "type", "involuntary"),
    "page_faults_minor": ("page_faults_total", "type", "minor"),
    "page_faults_major": ("page_faults_total", "type", "major"),
    "run_queue_wait_seconds": ("run_queue_wait_seconds_total",),
    "blkio_delay_seconds": ("blkio_delay_seconds_total",),
    **{"network_%s_%s_%s" % (way, what, p): ("network_%s_%s_total" % (way, what), "protocol", p)
       for way in ("receive", "transmit") for what in ("bytes", "packets") for p in ("tcp", "udp")},
    "start_time_seconds": ("start_time_seconds",),
    "priority": ("priority",),
    "nice": ("nice",),
    "starts": ("process_starts_total",),
    "exits": ("process_exits_total",),
    **{"unreadable_" + f: ("unreadable_processes", "file", f) for f in (
        "status", "io", "fd", "limits", "sched", "smaps_rollup", "identity")},
}
# Those that stand in no series of their own
SUMS = {"states_other": ("states_stopped", "states_idle"),
        "context_switches": ("context_switches_voluntary", "context_switches_involuntary"),
        "page_faults": ("page_faults_minor", "page_faults_major"),
        "memory_resident_bytes": ("memory_rss_bytes",),
        **{name: (name + "_tcp", name + "_udp") for name in (
            "network_receive_bytes", "network_receive_packets",
            "network_transmit_bytes", "network_transmit_packets")}}
UNREADABLE = "unreadable"  # processes of which anything is

SELF = {
    "collection_duration_seconds": ("collection_duration_seconds",),
    "collection_cpu_seconds": ("collection_cpu_seconds",),
    "processes_seen": ("processes_seen",),
    "processes_hidden": ("processes_hidden",),
    "processes_vanished": ("processes_vanished_total",),
    "partial_visibility": ("partial_visibility",),
    "groups": ("groups",),
    "groups_overflowed": ("groups_overflowed_total",),
    "cpu_coverage_ratio": ("cpu_coverage_ratio",),
    "lost_events": ("lost_events_total",),
    "threads_skipped": ("threads_skipped_total",),
    "pattern_limits": ("pattern_limits_total",),
    "cmdlines_cut": ("cmdlines_cut_total",),
    "state_failures": ("state_failures_total",),
    "source_procfs": ("source", "source", "procfs"),
    "source_bpf": ("source", "source", "bpf"),
}


def mounts(pid="self"):
    """Where there are trees of ours, in the eyes of a process."""
    return [re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), line.split()[1])
            for line in read_text("/proc/%s/mounts" % pid).splitlines() if line.split()[2] == TYPE]


def take_away(path):
    """What a test that failed may have left: never another's mount."""
    if path in mounts():
        run(["umount", "-l", path])


class Mount:
    """A running proctally-fs, which shows one moment if nothing else is said."""

    def __init__(self, *flags, prefix=(), path=None, binary=FS, **how):
        self.path = path or os.path.join(temp_dir(), "m")
        self.log = tempfile.TemporaryFile()
        if not any(f.startswith(("--interval", "--min-age")) for f in flags):
            flags += ("--interval", "1h")
        self.binary = binary
        later(take_away, self.path)
        self.process = start([*prefix, binary, "--foreground", *flags, self.path],
                             stderr=self.log, **how)
        self.wait()

    def wait(self):
        def there():
            if self.process.poll() is not None:
                raise RuntimeError("it has ended: " + self.said())
            fds = "/proc/%d/fd/" % self.process.pid  # a dead mount may be there before
            return "/dev/fuse" in [os.readlink(fds + n) for n in os.listdir(fds)] and \
                self.path in mounts(self.process.pid)
        wait_for(there, "the mount", every=0.01)

    def said(self):
        return written_to(self.log)

    def run(self, argv, seconds=30, **how):
        """A reader: (status, stdout, stderr) as bytes. It starts in the mount."""
        how.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.Popen([*IN, how.pop("cwd", self.path), *argv], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, **how)
        try:
            out, err = p.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()  # which lets the reader go
            p.kill()
            p.communicate()
            raise Failed("a reader gets no answer: %s" % argv)
        return p.returncode, out, err

    def sh(self, script, *args, **how):
        """What a shell prints there; it must succeed, and complain of nothing."""
        status, out, err = self.run(["sh", "-euc", script, "-", *args], **how)
        check_equal((status, err), (0, b""), "sh -c '%s'" % script)
        return out

    def python(self, script, *args, **how):
        status, out, err = self.run([PYTHON, "-I", "-S", "-c", "import os, sys\n" + script, *args],
                                    **how)
        check(status == 0, "python: " + script, err.decode())
        return out.decode()

    def read(self, name):
        return self.sh('cat -- "$1"', name).decode("utf-8")

    def values(self, directory):
        """The lines of its file `all`."""
        return dict(line.split(" ") for line in self.read(directory + "/all").splitlines())

    def files(self):
        """All files but those of processes, read one by one: path -> text."""
        text = self.python(r"""
for at, directories, files in os.walk("."):
    if at.count("/") == 2:
        directories.clear() # processes
    for f in files:
        with open(at + "/" + f, "rb") as one:
            sys.stdout.write("%r\n" % ((at + "/" + f)[2:],))
            sys.stdout.write("%r\n" % (one.read(),))
""").splitlines()
        import ast
        return {ast.literal_eval(a): ast.literal_eval(b).decode()
                for a, b in zip(text[::2], text[1::2])}

    def is_mounted(self):
        return self.path in mounts()

    def stop(self):
        check_equal(stop(self.process), 0, "status of proctally-fs (%s)" % self.said())
        check(not self.is_mounted(), "the mount is still there")


# Popen()'s own cwd would be entered while it waits
IN = ["sh", "-c", 'cd -- "$0" && exec "$@"']


def labels(text):
    return dict(line.split("=", 1) for line in text.splitlines())


def need_fuse():
    if not os.path.exists(FS):
        skip_all("built without libfuse")
    if not os.path.exists("/dev/fuse"):
        skip_all("this kernel has no FUSE")
    if not is_root():
        skip_all("not root")
    directory = tempfile.mkdtemp(prefix="pt-")
    try:
        status, _, err = run([FS, "--foreground", "--once", directory])
        check_equal(status, 2, "status with --once (%s)" % err)
        p = subprocess.Popen([FS, directory], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             start_new_session=True)
        err = p.communicate()[1].decode()
        if p.returncode != 0:
            skip_all("nothing can be mounted: " + err.strip())
        end_background(directory)
    finally:
        os.rmdir(directory)


def background_pids(directory):
    """Of programs that show their files there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                arguments = f.read().split(b"\0")
            if arguments[0].endswith(b"proctally-fs") and directory.encode() in arguments:
                found.append(int(pid))
    return found


def end_background(directory, number=signal.SIGTERM):
    pids = background_pids(directory)
    check_equal(len(pids), 1, "programs in the background")
    os.kill(pids[0], number)
    wait_for(lambda: directory not in mounts() and not background_pids(directory), "its end",
             every=0.01)


# ---- What is there ------------------------------------------------------------------------------

def check_value(text, wanted, what):
    check(re.match(r"-?\d+(\.\d+)?\n\Z", text), "%s is no number: %r" % (what, text))
    check(abs(float(text) - wanted) <= 1e-9 * abs(wanted), "%s: %r, in metrics %r" % (
        what, text, wanted))


def check_same(files, metrics, prefix="proctally_"):
    """Each file has what `metrics` has, and all of it is in a file."""
    used = set()
    groups = {}
    for path, text in files.items():
        part = path.split("/")
        if part[-1] == "labels":
            groups[part[1]] = labels(text)["groupname"]
    check_equal(set(groups.values()), metrics.labels_of(), "groups")

    def series_of(row, **more):
        name, rest = prefix + row[0], dict(zip(row[1::2], row[2::2]))
        found = [k for k in metrics.series if k[0] == name and set({**rest, **more}.items()) <= k[1]]
        check(len(found) <= 1, "%s is not unique" % name)
        used.update(found)
        return metrics.series[found[0]] if found else None

    def check_directory(at, names, **more):
        here = {p[len(at) + 1:]: t for p, t in files.items()
                if p.startswith(at + "/") and "/" not in p[len(at) + 1:]}
        everything = here.pop("all")
        here.pop("labels", None)
        check_equal(everything.replace(" ", "=").splitlines(),
                    sorted(["%s=%s" % (n, t.strip()) for n, t in here.items()],
                           key=lambda l: everything.find(l.replace("=", " "))), at + "/all")
        for name, row in names.items():
            wanted = series_of(row, **more)
            check_equal(name in here, wanted is not None, "is there %s/%s" % (at, name))
            if wanted is not None:
                check_value(here.pop(name), wanted, at + "/" + name)
        for name, parts in SUMS.items():
            if at != "self" and name in here:
                check_value(here.pop(name), sum(
                    float(files["%s/%s" % (at, p)]) for p in parts), at + "/" + name)
        here.pop(UNREADABLE, None)
        check_equal(here, {}, "other files in " + at)

    check_directory("self", SELF)
    for directory, group in groups.items():
        check_directory("groups/" + directory, FILES, groupname=group)
    check_equal(set(metrics.series) - used, set(), "series without a file")


def case_values():
    """Every file, `metrics`, `influx` and `time` are of one moment, and nothing is missing."""
    start_hostile()
    m = Mount("--group-by", "name,user", "--collect", "pss")
    check_equal(sorted(m.sh("ls").decode().split()),
                ["groups", "host", "influx", "metrics", "self", "time"], "what is at the top")
    files = m.files()
    metrics = Metrics(files["metrics"])
    check_same(files, metrics)
    points = Points(files["influx"])
    check_equal(files["time"], "%d.%09d\n" % divmod(points.self_point.time_ns, 10**9), "time")
    check_equal(set(points), metrics.labels_of(), "groups in line protocol")
    # labels
    for path, text in files.items():
        if path.endswith("/labels"):
            found = labels(text)
            if "user" in found:  # it has none if its processes are the kernel's
                check(found["groupname"].endswith(":" + found["user"]), path, text)
    # the host, of which no agent is told
    host = m.values("host")
    check_near(float(host["memory_total_bytes"]), 1024 * int(
        re.search(r"MemTotal:\s+(\d+)", read_text("/proc/meminfo")).group(1)), "memory",
        absolute=1 << 26)
    check_equal(int(host["cpus"]), os.cpu_count(), "CPUs")
    check({"uptime_seconds", "load_1", "load_15", "cpu_user_seconds", "tasks", "threads"} <=
          set(host), "what is told of the host", sorted(host))
    # the moment stands in the files' times
    stamp = m.sh("stat -c %.9Y metrics groups/*/threads").decode().split()
    check_equal(set(stamp), {files["time"].strip()}, "times of files")
    m.stop()


def case_same_as_textfile():
    """A recorded /proc, counted on from the same state by both."""
    tree = Tree()
    directory = temp_dir()

    def put(cpu):
        for i in range(40):
            tree.process(100 + i, "name%d" % (i % 7), cpu=(cpu + i, 2 * cpu), start=1000 + i)

    put(5)
    flags = ["--procfs", tree.path, "--source", "procfs"]
    state = os.path.join(directory, "state")
    check_equal(run([TEXTFILE, *flags, "--state-file", state])[0], 0, "status of the first run")
    shutil.copy(state, state + ".fs")
    put(40)
    status, out, err = run([TEXTFILE, *flags, "--state-file", state])
    check_equal(status, 0, "status (%s)" % err)
    m = Mount(*flags, "--state-file", state + ".fs")
    text, files = Metrics(out), m.files()
    check_same(files, Metrics(files["metrics"]))
    # but what is measured in time that went on
    for metrics in (text, Metrics(files["metrics"])):
        for key in list(metrics.series):
            if "usage" in key[0] or "coverage" in key[0] or "collection" in key[0]:
                del metrics.series[key]
        check(len(metrics.series) > 200, "hardly any series")
        check_near(metrics.get("proctally_cpu_seconds_total", groupname="name3", mode="system"),
                   6 * 70 * TICK, "what was counted", absolute=1e-6)
        wanted = metrics
    check_equal(text.series, wanted.series, "textfile's series")
    m.stop()


NAMED_THREADS = """
import threading
def life(name):
    set_name(name)
    ready.wait()
    threading.Event().wait()
ready = threading.Barrier(4)
for name in b"to the disk", b"to the disk", b"x 1":
    threading.Thread(target=life, args=(name,), daemon=True).start()
ready.wait()
say()
wait()
"""


def case_threads_by_name():
    """Those of each name, which may have blanks, as metrics has them; only where it is asked for."""
    w = Workload(NAMED_THREADS)
    w.hear()
    m = Mount("--collect", "thread-names")
    metrics = Metrics(m.read("metrics"))
    found = collections.defaultdict(dict)
    for line in m.read("groups/%s/thread_names" % w.name).splitlines():
        metric, value, name = line.split(" ", 2)
        found[name][metric] = value
    check_equal({name: values["thread_count"] for name, values in found.items()},
                {w.name: "1", "to the disk": "2", "x 1": "1"}, "threads by name")
    for name, values in found.items():
        check_equal(float(values["thread_cpu_user_seconds"]),
                    metrics.get("proctally_thread_cpu_seconds_total", groupname=w.name,
                                threadname=name, mode="user"), "user time of " + name)
    waiting = [line.split(" ", 2) for line in
               m.read("groups/%s/wait_channels" % w.name).splitlines()]
    check_equal({(metric, channel): float(value) for metric, value, channel in waiting},
                {("threads_wchan", dict(labels)["wchan"]): value
                 for (name, labels), value in metrics.series.items()
                 if name == "proctally_threads_wchan" and dict(labels)["groupname"] == w.name},
                "where they wait")
    m.stop()
    m = Mount()
    check(not {"thread_names", "wait_channels"} & set(m.sh("ls groups/" + w.name).decode().split()),
          "files that nobody has asked for")


def case_processes():
    """The processes of a group, with the files of groups; they come and go."""
    w = Workload("burn(0.2)\n" + SLEEPER)
    w.hear()
    m = Mount("--min-age", "0s")
    base = "groups/%s/processes" % w.name
    check_equal(m.sh("ls " + base).decode().split(), [str(w.pid)], "processes")
    here = m.values("%s/%d" % (base, w.pid))
    whole = m.values("groups/" + w.name)
    check(set(whole) - set(here) <= {"cpu_usage_ratio", "starts", "exits"} |
          {n for n in whole if n.startswith(("unreadable", "network"))}, "files that a process lacks",
          set(whole) - set(here))
    check_equal(here["memory_rss_bytes"], whole["memory_rss_bytes"], "memory")
    check(float(here["cpu_user_seconds"]) + float(here["cpu_system_seconds"]) > 0.15,
          "CPU time of its life", here)
    found = labels(m.read("%s/%d/labels" % (base, w.pid)))
    check_equal((found["pid"], found["ppid"], found["name"], found["groupname"], found["state"]),
                (str(w.pid), str(os.getpid()), w.name, w.name, "S"), "labels")
    # by other numbers it is not there
    for name in ("0", "1", "0%d" % w.pid, "-1", "x", "99999999999"):
        check_equal(m.run(["ls", "%s/%s" % (base, name)])[0], 2, "status of ls " + name)
    # with its directory open
    p = subprocess.Popen([*IN, "%s/%s/%d" % (m.path, base, w.pid), "sh", "-c",
                          "cat threads; read x; cat threads; read x"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    later(p.wait, 20)
    later(p.kill)
    check_equal(p.stdout.readline(), b"1\n", "threads")
    w.end()
    p.stdin.write(b"\n")
    p.stdin.flush()
    check(b"No such file" in p.stderr.readline(), "the file of a process that ended")
    p.stdin.close()
    check_equal(p.wait(20), 1, "status")
    p.stdout.close()
    p.stderr.close()
    check_equal(m.sh("ls " + base), b"", "processes when it has ended")
    check_equal(m.read("groups/%s/process_count" % w.name), "0\n", "their number")
    m.stop()


def case_unknown():
    """What could not be read has no file, and is not 0."""
    others = Workload(SLEEPER)
    others.hear()
    m = of_user()
    status, out, err = m.run([*inside(m), *USER, "sh", "-c", "cd \"$1\"; ls groups/$2; "
                              "cat groups/$2/unreadable_io", "-", m.path, others.name], cwd="/")
    names = out.decode().split()
    check_equal((status, err, names[-1]), (0, b"", "1"), "what is told")
    check("io_read_bytes" not in names and "threads" in names, "files", names)
    stop(m.process)


def case_hostile_names():
    """Names that cannot be a directory's, and some that could be another group's."""
    long, wide = "x" * 300, "\u20ac" * 120
    names = [".", "..", ".hidden", "a/b", "a_b", "/", "a_b~c14cddc033f64b9d", long, long + "y",
             wide, " ", "-rf", "*", "$(touch x)", "processes", 'q"', "x\tz", "y\nz"]
    rules = "[%s]" % ", ".join("{name: %s, comm: [nobody%d]}" % (json.dumps(n), i)
                              for i, n in enumerate(names))
    start_hostile()
    m = Mount("--process_names", rules)
    files = m.files()
    metrics = Metrics(files["metrics"])
    check_same(files, metrics)  # each group has one directory
    found = {labels(t)["groupname"]: p.split("/")[1] for p, t in files.items()
             if p.endswith("/labels")}
    for name, wanted in ((".", "_~"), ("..", "_.~"), (".hidden", "_hidden~"), ("a/b", "a_b~"),
                         ("/", "_~"), ("a_b~c14cddc033f64b9d",) * 2, (long, "x" * 238 + "~"),
                         (long + "y", "x" * 238 + "~"), (wide, "\u20ac" * 79 + "~")):
        if name == "a_b~c14cddc033f64b9d":
            wanted += "~"
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        check_equal(found[name], wanted + digest, "directory of %r" % name)
    for name in ("a_b", " ", "-rf", "*", "$(touch x)", "processes", 'q"'):
        check_equal(found[name], name, "directory")
    check(not any(re.search(r"[\0-\x1f/]", d) or len(d.encode()) > 255 for d in found.values()),
          "directories", found)
    # tools that go everywhere
    count = len(m.sh("find . -print0").split(b"\0")) - 1
    check(count > 40 * len(found), "what find sees", count)
    status, out, err = m.run(["grep", "-rc", "", "groups"])
    check_equal((status, err), (0, b""), "grep -r")
    # tools see hidden groups, too
    check_equal(len(m.sh('for i in groups/*/threads; do echo; done')), len(found), "groups by *")
    m.stop()


def case_missing_procfs():
    """Nobody knows: that is an error, and no empty directory."""
    tree = Tree()
    tree.process(7, "seven")
    missing = os.path.join(temp_dir(), "proc")
    m = Mount("--procfs", missing, "--min-age", "0s")
    wait_for(lambda: missing in m.said(), "a complaint")
    check_equal(len(m.sh("ls").split()), 6, "what is at the top")
    for path in ("metrics", "time", "groups", "self", "groups/seven"):
        status, out, err = m.run(["ls", path])
        check(status == 2 and b"Input/output error" in err, "ls " + path, err)
    os.symlink(tree.path, missing)
    check_equal(m.read("groups/seven/process_count"), "1\n", "when it is there")
    check_equal(m.said().count(missing), 1, "complaints (%s)" % m.said())
    m.stop()


# ---- How it is read -------------------------------------------------------------------------------

def case_readers():
    """Whatever reads gets the whole text."""
    start_hostile()
    m = Mount()
    out = temp_dir()
    for path in ("metrics", "self/all", "self/groups"):
        whole = m.read(path).encode()
        if path == "metrics":
            check(len(whole) > 1 << 15, "length of metrics", len(whole))
        check_equal(int(m.sh("stat -Lc %s " + path)), len(whole), "size of " + path)
        ways = {
            "cp": 'cp "$1" "$2/x"; cat "$2/x"',
            "cp by ranges": 'cp --reflink=never --sparse=never "$1" "$2/x"; cat "$2/x"',
            "tar": 'tar cf - "$1" | tar xf - -O',
            "dd bs=1": 'dd if="$1" bs=1 status=none',
            "dd bs=777": 'dd if="$1" bs=777 status=none',
            "dd bs=1M": 'dd if="$1" bs=1M status=none',
            "tail": 'tail -n +1 "$1"',
            "tail -c": 'tail -c 1000000000 "$1"',
            "head": 'head -n 1000000000 "$1"',
            "sed": 'sed "" "$1"',
            "awk": "awk '{ print }' \"$1\"",
            "grep": 'grep "" "$1"',
            "find": 'find . -path "./$1" -exec cat {} +',
            "sh": 'while IFS= read -r line; do printf "%s\\n" "$line"; done <"$1"',
        }
        slow = ("dd bs=1", "sh", "a byte at a time", "backwards")
        for name, script in ways.items():
            if path != "metrics" or name not in slow:
                check(m.sh(script, path, out) == whole, "%s of %s" % (name, path))
        for name, script in {
                "read": 'open(sys.argv[1], "rb").read()',
                "lines": 'b"".join(open(sys.argv[1], "rb"))',
                "a byte at a time": 'b"".join(iter(lambda f=os.open(sys.argv[1], 0): '
                                    'os.read(f, 1), b""))',
                "backwards": '(lambda f, n: b"".join([os.pread(f, 1, 0)] + [os.pread(f, 1, i) '
                             'for i in range(n - 1, 0, -1)][::-1]))'
                             '(os.open(sys.argv[1], 0), os.stat(sys.argv[1]).st_size)',
                "mmap": '(lambda f: __import__("mmap").mmap(f, 0, 2, 1)[:])'
                        '(os.open(sys.argv[1], 0))',
                "shutil": '(lambda t: (__import__("shutil").copyfile(sys.argv[1], t), '
                          'open(t, "rb").read())[1])(sys.argv[2] + "/y")',
        }.items():
            if path == "metrics" and name in slow:
                continue
            found = m.python("sys.stdout.buffer.write(%s)" % script, path, out)
            check(found.encode() == whole, "python: %s of %s" % (name, path), len(found))
        found = m.python("""
f, to = os.open(sys.argv[1], 0), os.open(sys.argv[2] + "/z", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
while os.sendfile(to, f, None, 65536):
    pass
sys.stdout.buffer.write(os.pread(to, 1 << 30, 0))
""", path, out)
        check(found.encode() == whole, "sendfile of " + path, len(found))
        # in the middle, and past the end
        check_equal(m.sh('dd if="$1" bs=1 skip=1 count=1 status=none', path), whole[1:2], "skip")
        check_equal(m.python("print(len(os.pread(os.open(sys.argv[1], 0), 99, 1 << 40)))", path),
                    "0\n", "past the end")
    check_equal(m.sh("tar cf - host self | tar xf - -C \"$1\"; cat \"$1/self/groups\"", out).decode(),
                m.read("self/groups"), "a tree through tar")
    m.stop()


def case_refused():
    """Nobody changes anything, and trying does no harm."""
    m = Mount()
    group = m.sh("ls groups").decode().split("\n")[0]
    for script in ("echo 1 >time", "echo 1 >>time", "touch time", "touch .", "touch groups self",
                   "touch new", "chmod 777 time", "chmod 777 groups", "chown 1 self",
                   "mkdir groups/x", "rmdir self", "rm -f time", "rm -rf groups/'%s'" % group,
                   "mv time x", "ln -s a b", "ln time b", "mkfifo f", "truncate -s 0 metrics",
                   "setfattr -n user.x -v y time" if shutil.which("setfattr") else "touch a"):
        status, out, err = m.run(["sh", "-c", script])
        check(status != 0 and err, "it was possible: %s" % script)
    check(float(m.read("time")) > 1e9, "time")
    check_equal(m.sh("ls groups").decode().split("\n")[0], group, "groups")
    for path in ("nothing", "groups/no such group", "self/nothing", "time/x",
                 "groups/%s/processes/1/processes" % group):
        check_equal(m.run(["ls", path])[0], 2, "status of ls " + path)
    m.stop()


def case_one_moment():
    """A text is of one moment however it is read; from the beginning it is of a new one."""
    start_hostile()
    m = Mount("--min-age", "0s")
    lines = m.python(r"""
f = os.open("metrics", os.O_RDONLY)
texts = []
for i in range(5):
    at, text = 0, b""
    while True:
        part = os.pread(f, 4096, at)
        if not part:
            break
        at, text = at + len(part), text + part
        open("time").read()  # collects
    sys.stdout.write("%r\n" % text)
""").splitlines()
    import ast
    stamps = set()
    for line in lines:
        metrics = Metrics(ast.literal_eval(line).decode())
        stamps.add(metrics.get("proctally_collection_duration_seconds"))
        check_equal(metrics.sum("proctally_states"), metrics.sum("proctally_processes"), "states")
    check_equal(len(stamps), 5, "different moments")
    times = [float(m.read("time")) for _ in range(3)]
    check(times[0] < times[1] < times[2], "times", times)
    m.stop()


def case_min_age():
    """What is young enough is shown again."""
    m = Mount("--min-age", "1h")
    first = m.read("time")
    m.sh("cat metrics groups/*/all >/dev/null")
    check_equal(m.read("time"), first, "time")
    check_equal(m.sh("stat -c %.9Y metrics").decode(), first, "time of a file")
    m.stop()


def case_poll():
    """poll(2) waits for the next collection."""
    m = Mount("--interval", "200ms")
    text = m.python(r"""
import select
f = os.open("time", os.O_RDONLY)
p = select.poll()
p.register(f, select.POLLIN | select.POLLPRI)
seen = []
for i in range(6):
    if not p.poll(20000):
        sys.exit("nothing for 20 s")
    seen.append(os.pread(f, 99, 0))
    if i == 0 and p.poll(0):
        seen.append(os.pread(f, 99, 0)) # it happened in between
print(len(seen) - len(set(seen)))
""")
    check(int(text) <= 1, "moments that were seen twice: " + text)
    # and once nothing happens any more, nobody is woken
    still = Mount("--interval", "1h")
    check_equal(still.python(r"""
import select
f = os.open("time", os.O_RDONLY)
p = select.poll()
p.register(f, select.POLLIN)
print(len(p.poll(0)), len(os.read(f, 99)) > 9, len(p.poll(300)))
"""), "1 True 0\n", "poll without news")
    still.stop()
    m.stop()


def case_concurrent():
    """Many readers at a time while collections go on."""
    start_hostile()
    m = Mount("--interval", "10ms")
    script = r"""
end = __import__("time").monotonic() + 3
n = 0
while __import__("time").monotonic() < end:
    for at, directories, files in os.walk("groups"):
        if at.count("/") == 2:
            directories[:] = directories[:1] # of the processes one
        for f in files:
            if __import__("time").monotonic() > end:
                break
            try:
                text = open(at + "/" + f).read()
                assert text.endswith("\n"), (at, f, text)
                n += 1
            except FileNotFoundError:
                pass # a process ended
print(n)
"""
    readers = [subprocess.Popen([*IN, m.path, PYTHON, "-I", "-S", "-c", "import os\n" + script],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    # some leave in the middle
    for _ in range(20):
        p = subprocess.Popen([*IN, m.path, "cat", "metrics", "influx"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(0.02)
        p.kill()
        p.wait()
    for p in readers:
        try:
            out, err = p.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            m.process.kill()
            p.kill()
            raise Failed("a reader gets no answer")
        check_equal(p.returncode, 0, "status of a reader (%s)" % err.decode())
        check(int(out) > 100, "files read", out)
    m.stop()


def case_many_groups():
    """10,000 groups, each with a process."""
    tree = Tree()
    count = 10000
    for i in range(count):
        tree.process(i + 1, "name%d" % i)
    m = Mount("--procfs", tree.path, "--max-groups", "20000", "--source", "procfs")
    check_equal(int(m.sh("ls groups | wc -l")), count, "groups")
    check_equal(m.read("self/groups"), "%d\n" % count, "groups")
    names = m.python(r"""
d = os.listdir("groups")
print(len(d), len(set(d)))
n = 0
for g in d:
    with open("groups/%s/process_count" % g) as f:
        n += int(f.read())
print(n)
""", seconds=120).split()
    check_equal(names, [str(count)] * 3, "groups, and processes in them")
    check_equal(int(m.sh("find groups -maxdepth 2 -name threads | wc -l", seconds=120)), count,
                "what find sees")
    check_equal(m.sh("cat groups/name9999/processes/*/labels").decode().splitlines()[0],
                "pid=10000", "the last one")
    check_equal(len(Metrics(m.read("metrics")).labels_of()), count, "groups in metrics")
    m.stop()


# ---- Mounts that come and go -----------------------------------------------------------------------

def case_ends():
    """SIGTERM and SIGINT, also while files are open: gone, and status 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        m = Mount()
        reader = subprocess.Popen([*IN, m.path, "sh", "-c",
                                   "exec 9<metrics; echo; read x; cat <&9"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        reader.stdout.read(1)
        m.process.send_signal(number)
        check_equal(m.process.wait(20), 0, "status (%s)" % m.said())
        wait_for(lambda: not m.is_mounted(), "the end of the mount", every=0.01)
        out, err = reader.communicate(b"\n", timeout=20)
        check((out, b"not connected" in err) == (b"", True), "a file that was open", out + err)
        check_equal(os.listdir(m.path), [], "what is left")


def case_killed():
    """After SIGKILL the mount goes by itself, or is cleared away at the next start."""
    path = os.path.join(temp_dir(), "m")
    for _ in range(3):
        m = Mount(path=path)
        m.process.kill()
        m.process.wait()
        wait_for(lambda: not m.is_mounted(), "the end of the mount", every=0.01)
        check_equal(os.listdir(path), [], "what is left")
    m = Mount(path=path)
    for pid in watchers(path):
        os.kill(pid, signal.SIGKILL)
    m.process.kill()
    m.process.wait()
    status, out, err = run(["timeout", "-s", "KILL", "10", "ls", path])
    check("not connected" in err, "a dead mount (%s)" % err)
    m = Mount(path=path)
    check(float(m.read("time")) > 1e9, "time")
    m.stop()
    check_equal(os.listdir(path), [], "what is left")


def watchers(path):
    """The processes that unmount when the program has ended."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if f.read().split(b"\0")[-3:] == [b"proctally-unmount", path.encode(), b""]:
                    found.append(int(pid))
    check(found, "nobody waits to unmount")
    return found


def case_unmounted():
    """From outside, with files open: refused while it is in use, and then the end."""
    m = Mount()
    reader = subprocess.Popen([*IN, m.path, "sh", "-c", "exec 9<metrics; echo; read x; cat <&9"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reader.stdout.read(1)
    status, out, err = run(["umount", m.path])
    check(status != 0 and "busy" in err, "umount in use", err)
    status, out, err = run(["umount", "-l", m.path])
    check_equal((status, err), (0, ""), "umount -l")
    out, _ = reader.communicate(b"\n", timeout=20)
    Metrics(out.decode())  # who had it open can still read
    check_equal(m.process.wait(20), 0, "status (%s)" % m.said())
    check("unmounted" in m.said(), "what it says", m.said())
    m = Mount()
    status, out, err = run(["umount", m.path])
    check_equal((status, err), (0, ""), "umount")
    check_equal(m.process.wait(20), 0, "status (%s)" % m.said())


def case_aborted():
    """The end of the mount while the kernel hands over a request, which is no failure."""
    m = Mount()
    tracer = inject(m.process.pid, "read,readv,splice", "error=ECONNABORTED", "-P", "/dev/fuse")
    run(["umount", m.path])  # if nobody on this host has looked into all mounts, and met the end
    check_equal(m.process.wait(20), 0, "status (%s)" % m.said())
    check("unmounted" in m.said(), "what it says", m.said())
    stop(tracer)


def case_background():
    """Without --foreground it is back when the files are there, and what it has to say of the
    start is heard."""
    path = os.path.join(temp_dir(), "m")
    later(take_away, path)
    status, out, err = run([FS, path, "--group-by", "user"])
    check_equal((status, out), (0, ""), "status (%s)" % err)
    check("collecting when asked" in err, "what it says", err)
    pid = background_pids(path)[0]
    check_equal(os.readlink("/proc/%d/fd/2" % pid), "/dev/null", "its stderr")
    check_equal(os.getsid(pid), pid, "its session")
    status, out, err = run(["timeout", "-s", "KILL", "20", "cat", path + "/groups/root/threads"])
    check(status == 0 and int(out) > 0, "threads of root (%s)" % err)
    # another one there is refused, and does no harm
    status, out, err = run([FS, path])
    check_equal(status, 1, "status of a second one")
    check(path in err, "what it says", err)
    status, out, err = run(["timeout", "-s", "KILL", "20", "cat", path + "/time"])
    check_equal(status, 0, "status of cat (%s)" % err)
    end_background(path)
    for flags, wanted in ((["--min-age", "x"], 2), (["--group-by", "x"], 2),
                          (["/dev/null"], 2)):
        status, out, err = run([FS, path, *flags])
        check_equal(status, wanted, "status with %s (%s)" % (flags, err))
    check_equal(background_pids(path), [], "left over")
    # whoever does not wait for the files gets none: here the first collection takes long
    tree = Tree()
    tree.process(7, "seven")
    stat = tree.path + "/7/stat"
    os.unlink(stat)
    os.mkfifo(stat)
    p = start([FS, path, "--procfs", tree.path, "--source", "procfs"], stderr=subprocess.DEVNULL)
    wait_for(lambda: path in mounts(), "the mount", every=0.01)
    p.terminate()
    check_equal(p.wait(20), -signal.SIGTERM, "status of the one who waits")
    pid = background_pids(path)[0]
    later(lambda: background_pids(path) == [pid] and os.kill(pid, signal.SIGKILL))
    with open(stat, "w") as f:
        f.write("rubbish")
    wait_for(lambda: not background_pids(path) and path not in mounts(), "its end", every=0.01)


def case_command_line():
    directory = temp_dir()
    full = temp_dir()
    write_text(full + "/file", "x")
    for argv, wanted, word in (
            ([], 2, "got 0 directories"), ([directory, directory], 2, "got 2 directories"),
            ([directory, "--once"], 2, "--once"), ([directory, "--interval", "1"], 2, "interval"),
            ([directory, "--min-age", "1 s"], 2, "--min-age"), ([directory, "--nothing"], 2, "--nothing"),
            ([full], 1, "not empty"), ([full + "/file"], 1, "not a directory"),
            ([directory + "/a/b"], 1, "directory")):
        for more in ([], ["--foreground"]):
            status, out, err = run([FS, *argv, *more])
            check_equal(status, wanted, "status of %s (%s)" % (argv, err))
            check(word in err, "what it says of %s" % argv, err)
            check_equal(err.count("\n"), 1, "lines (%s)" % err)
    for flag in ("--help", "--version", "--list-metrics", "--check-config"):
        status, out, err = run([FS, flag])
        check_equal((status, err), (0, ""), "status of " + flag)
    check_equal(os.listdir(directory), [], "left over")
    check_equal([p for p in mounts() if p.startswith(directory)], [], "mounts")


def case_reload():
    """Another configuration, by SIGHUP or by itself: counters go on, and numbers of groups."""
    config = write_config(os.path.join(temp_dir(), "config.yaml"), "group-by: [name]\n")
    w = Workload("while wait():\n    burn(0.1)\n    say(ok=1)\n")
    m = Mount("--config", config, "--min-age", "0s")
    w.go_on()
    w.hear()
    cpu = "groups/%s/cpu_user_seconds" % w.name
    before = float(m.read(cpu))
    inode = m.sh("stat -c %i groups/" + w.name)
    write_config(config, "group-by: [name, user]\nlabels: {site: x}\n")
    m.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "read again" in m.said(), "the new configuration", every=0.01)
    both = w.name + ":root"
    check_equal(labels(m.read("groups/%s/labels" % both)), {
        "groupname": both, "name": w.name, "user": "root"}, "labels")
    write_config(config, "group-by: [name]\n")
    m.process.send_signal(signal.SIGHUP)
    wait_for(lambda: m.said().count("read again") == 2, "the configuration before", every=0.01)
    w.go_on()
    w.hear()
    check(float(m.read(cpu)) > before, "CPU time")
    write_config(config, "group-by: [nothing]\n")
    m.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "old configuration stays" in m.said(), "a complaint", every=0.01)
    check(float(m.read(cpu)) > before, "CPU time")
    check_equal(len(m.sh("stat -c %i groups/" + w.name)), len(inode), "numbers")
    m.stop()
    w.end()


def case_rights():
    """What the start took is given up, and the end works without."""
    m = Mount()
    text = read_text("/proc/%d/status" % m.process.pid)
    found = dict(re.findall(r"^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):\s+(\w+)$", text,
                            re.M))
    if "HAVE_SECCOMP 1" in read_text(os.path.join(BUILD, "build-config.h")):
        check_equal(found["Seccomp"], "2", "seccomp")
    check_equal(found["NoNewPrivs"], "1", "no new privileges")
    needed = sum(1 << n for n in (2, 12, 19, 38, 39))
    for name in ("CapPrm", "CapEff", "CapAmb"):
        check_equal(int(found[name], 16) & ~needed, 0, name)
    m.stop()


# ---- As other users ----------------------------------------------------------------------------------

USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def user_with_fuse():
    """The beginning of a command that runs the rest as an ordinary user, in a namespace of its
    own in which everybody may use /dev/fuse."""
    for program in ("fusermount3", "nsenter", "setpriv"):
        need_program(program)
    need_own_root()
    script = ('d=$(mktemp -d) && mount -t tmpfs none "$d" && mknod -m 666 "$d/fuse" c 10 229 && '
              'mount --bind "$d/fuse" /dev/fuse && umount -l "$d" && rmdir "$d" && exec "$@"')
    return ["unshare", "-m", "sh", "-c", script, "-", *USER]


def of_user():
    """A mount of an ordinary user's, in a namespace that is the program's."""
    directory = temp_dir()
    os.chmod(directory, 0o777)
    return Mount(prefix=user_with_fuse(), path=directory + "/m",
                 binary=shutil.copy(FS, directory))


def inside(m):
    return ["nsenter", "-t", str(m.process.pid), "-m"]


def case_user():
    """An ordinary user mounts with fusermount3, sees it alone, and leaves nothing."""
    for end in (signal.SIGTERM, signal.SIGKILL):
        m = of_user()
        status, out, err = m.run([*inside(m), *USER, "cat", m.path + "/time"], cwd="/")
        check(status == 0 and float(out) > 1e9, "the user's own look", err)
        check_equal(os.stat(m.path).st_uid, 65534, "whose directory it is")
        check(not m.is_mounted(), "a mount in the test's own namespace")
        for other in ([], ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--"]):
            status, out, err = m.run([*inside(m), *other, "cat", m.path + "/time"], cwd="/")
            check(status == 1 and b"Permission denied" in err, "others' look", out + err)
        # the namespace stays while the program ends
        stay = start([*inside(m), "sleep", "600"])
        wait_for(lambda: m.path in mounts(stay.pid), "the namespace", every=0.01)
        m.process.send_signal(end)
        check_equal(m.process.wait(20), 0 if end == signal.SIGTERM else -end,
                    "status (%s)" % m.said())
        wait_for(lambda: m.path not in mounts(stay.pid), "its end", every=0.01)
        stop(stay)
    # allow_other is the administrator's to allow
    if not os.path.exists("/etc/fuse.conf") or not re.search("(?m)^user_allow_other",
                                                            read_text("/etc/fuse.conf")):
        status, out, err = run([*user_with_fuse(), m.binary, "--foreground", "--allow-other",
                                m.path])
        check_equal(status, 1, "status (%s)" % err)
        check("user_allow_other" in err, "what it says", err)


def case_user_namespace():
    """And without fusermount3, where a user has a namespace of users."""
    directory = temp_dir()
    os.chmod(directory, 0o777)
    os.mkdir(directory + "/m")
    os.chmod(directory + "/m", 0o777)
    binary = shutil.copy(FS, directory)
    there = [*user_with_fuse(), "unshare", "-Urm", "sh", "-c"]
    if run([*there, "true"])[0] != 0:
        raise Skipped("users may have no namespaces")
    status, out, err = run([*there, """
"$1" --foreground --interval 1h "$2" 2>"$2.log" & p=$!
until grep -q collecting "$2.log"; do sleep 0.05; kill -0 $p || break; done
timeout -s KILL 10 cat "$2/time"
kill $p; wait $p; echo "status $?"
grep -c " $2 fuse.tally " /proc/self/mounts
""", "-", binary, directory + "/m"], seconds=60)
    log = read_text(directory + "/m.log")
    lines = out.split()
    check(len(lines) == 4 and float(lines[0]) > 1e9, "time (%s)" % (err + log), out)
    check_equal(lines[1:], ["status", "0", "0"], "the end (%s)" % log)


def case_allow_other():
    """Root's files are root's alone, if nothing else is said."""
    for flags, wanted in (([], 1), (["--allow-other"], 0)):
        m = Mount(*flags)
        os.chmod(os.path.dirname(m.path), 0o755)
        status, out, err = m.run([*as_nobody(), "cat", m.path + "/time"], cwd="/")
        check_equal(status, wanted, "status of another user's look (%s)" % err)
        m.stop()


if __name__ == "__main__":
    need_fuse()
    run_cases(sys.modules[__name__])
