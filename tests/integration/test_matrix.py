#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Both sources look at the same live processes at the same moment: what they say of each
has to be the same, metric by metric. Two tables, to which a line is added for each new
condition that a process can be in, and for each new metric of the catalogue."""
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time

from common import *

MS = 1000 * 1000

# ---- The metrics: how near is the same ---------------------------------------------------
#
# A number is how far the two may be apart, in the metric's unit. NEITHER: no process has it
# by itself. BPF: that source alone has it.

NEITHER, ANY, BPF = "neither", "any", "bpf"
EXACT = 0
METRICS = {
    "processes": EXACT,
    "threads": EXACT,
    "threads_running": EXACT,
    "states_running": EXACT,
    "states_sleeping": EXACT,
    "states_disk_sleep": EXACT,
    "states_zombie": EXACT,
    "states_other": EXACT,
    "states_stopped": EXACT,
    "states_idle": EXACT,
    # /proc/PID/stat shows clock ticks, each rounded down; and the parts are shares of them
    "cpu_user": 20 * MS,
    "cpu_system": 20 * MS,
    # two ticks in the second between two collections
    "cpu_usage": 40 * MS,
    "memory_rss": EXACT,
    "memory_resident": EXACT,
    "memory_rss_peak": EXACT,
    "memory_usage": EXACT,
    "memory_shared": EXACT,
    "memory_shmem": EXACT,
    "memory_locked": EXACT,
    "memory_page_tables": EXACT,
    "worst_mappings": BPF,
    # the kernel rounds, and its own sum of pages lacks what each CPU keeps to itself
    "worst_oom_score": 2,
    "memory_vms": EXACT,
    "memory_swap": EXACT,
    # its shares of pages depend on who else maps them: others start and end meanwhile
    "memory_pss": 2 << 20,
    "memory_swap_pss": 2 << 20,
    # it is read as far as a budget of time goes, by each collector at its own times
    "memory_pss_age": 60 * 1000 * MS,
    "memory_footprint": EXACT,
    "memory_data": EXACT,
    "memory_stack": EXACT,
    "memory_code": EXACT,
    "open_fds": EXACT,
    "worst_fd_ratio": EXACT,
    "tcp_established": EXACT,
    "tcp_syn_sent": EXACT,
    "tcp_fin_wait1": EXACT,
    "tcp_fin_wait2": EXACT,
    "tcp_close": ANY, # in no table of the kernel's that procfs could ask
    "tcp_close_wait": EXACT,
    "tcp_last_ack": EXACT,
    "tcp_listen": EXACT,
    "tcp_closing": EXACT,
    "udp_sockets": EXACT,
    "unix_sockets": EXACT,
    "disk_read": EXACT,
    "disk_written": EXACT,
    "io_read": EXACT,
    "io_written": EXACT,
    "io_reads": EXACT,
    "io_writes": EXACT,
    "context_switches": EXACT,
    "context_switches_voluntary": EXACT,
    "context_switches_involuntary": EXACT,
    "page_faults": EXACT,
    "page_faults_minor": EXACT,
    "page_faults_major": EXACT,
    "run_queue_wait": EXACT,
    "blkio_delay": EXACT,
    "network_receive_bytes_tcp": NEITHER,
    "network_receive_bytes_udp": NEITHER,
    "network_receive_packets_tcp": NEITHER,
    "network_receive_packets_udp": NEITHER,
    "network_transmit_bytes_tcp": NEITHER,
    "network_transmit_bytes_udp": NEITHER,
    "network_transmit_packets_tcp": NEITHER,
    "network_transmit_packets_udp": NEITHER,
    "network_receive_bytes": NEITHER,
    "network_receive_packets": NEITHER,
    "network_transmit_bytes": NEITHER,
    "network_transmit_packets": NEITHER,
    "cgroup_cpu_periods": NEITHER,
    "cgroup_cpu_throttled_periods": NEITHER,
    "cgroup_cpu_throttled": NEITHER,
    "cgroup_cpu_pressure_some": NEITHER,
    "cgroup_cpu_pressure_full": NEITHER,
    "cgroup_memory_pressure_some": NEITHER,
    "cgroup_memory_pressure_full": NEITHER,
    "cgroup_io_pressure_some": NEITHER,
    "cgroup_io_pressure_full": NEITHER,
    "cgroup_memory_events_high": NEITHER,
    "cgroup_memory_events_max": NEITHER,
    "cgroup_memory_events_oom": NEITHER,
    "cgroup_memory_events_oom_kill": NEITHER,
    "cgroup_memory": NEITHER,
    "cgroup_swap": NEITHER,
    "cgroup_pids": NEITHER,
    "cgroup_memory_peak": NEITHER,
    "cgroup_memory_limit": NEITHER,
    "cgroup_cpu_limit": NEITHER,
    "cgroup_pids_limit": NEITHER,
    "context_switches_unsplit": NEITHER,
    "syscalls_unix": NEITHER,
    "syscalls_mach": NEITHER,
    "messages_sent": NEITHER,
    "messages_received": NEITHER,
    "cow_faults": NEITHER,
    "instructions": NEITHER,
    "cycles": NEITHER,
    "energy": NEITHER,
    "start_time": 10 * MS, # a clock tick
    "priority": EXACT,
    "nice": EXACT,
    "starts": NEITHER,
    "exits": NEITHER,
    "exits_ok": NEITHER,
    "exits_error": NEITHER,
    "exits_signal": NEITHER,
    "exits_core": NEITHER,
    "exits_oom": NEITHER,
    "unreadable": NEITHER,
    "unreadable_status": NEITHER,
    "unreadable_io": NEITHER,
    "unreadable_fd": NEITHER,
    "unreadable_limits": NEITHER,
    "unreadable_sched": NEITHER,
    "unreadable_smaps_rollup": NEITHER,
    "unreadable_identity": NEITHER,
    "unreadable_sockets": NEITHER,
}
WITHIN_A_BUDGET = ("memory_pss", "memory_swap_pss", "memory_pss_age") # may not be known yet
# what a process is, beside its metrics
IS = {"name": EXACT, "user": EXACT, "uid": EXACT, "group": EXACT, "ppid": EXACT, "state": EXACT,
      "terminal": EXACT, "start": 10 * MS}
CPU = ("cpu_user", "cpu_system", "cpu_usage")
IO = ("disk_read", "disk_written", "io_read", "io_written", "io_reads", "io_writes")
SWITCHES = ("context_switches", "context_switches_voluntary", "context_switches_involuntary")
FAULTS = ("page_faults", "page_faults_minor", "page_faults_major")
COUNTERS = ("cpu_user", "cpu_system", *IO, *SWITCHES, *FAULTS, "run_queue_wait", "blkio_delay")
MEMORY = ("memory_rss", "memory_vms", "memory_swap", "memory_footprint", "memory_data",
          "memory_stack", "memory_code")

# What both have to say, as that is how the process was made: from … to
MIB = 1 << 20
OWN = os.nice(0) # what it was started with
KNOWN = {
    "sleeping": {"states_sleeping": (1, 1), "threads": (1, 1), "nice": (OWN, OWN),
                 "priority": (20 + OWN, 20 + OWN), "memory_swap": (0, 0)},
    "stopped": {"states_stopped": (1, 1)},
    "traced": {"states_stopped": (1, 1)},
    "zombie": {"states_zombie": (1, 1), "cpu": (10 * MS, 100 * MS)},
    "frozen": {"states_sleeping": (1, 1)},
    "frozen by cgroup v1": {"states_disk_sleep": (1, 1)},
    "uninterruptible": {"states_disk_sleep": (1, 1)},
    "many threads": {"threads": (41, 41), "threads_running": (0, 0)},
    "threads that ended": {"threads": (1, 1), "cpu": (80 * MS, 300 * MS)},
    "niced": {"nice": (7, 7), "priority": (27, 27)},
    "favoured": {"nice": (-11, -11), "priority": (9, 9)},
    "fifo": {"nice": (OWN, OWN), "priority": (-6, -6)},
    "descriptors": {"open_fds": (303, 310)},
    "sockets": {"tcp_listen": (1, 1), "tcp_established": (2, 2), "udp_sockets": (1, 1),
                "unix_sockets": (2, 2)},
    "anonymous memory": {"memory_footprint": (24 * MIB, 26 * MIB),
                         "memory_rss": (24 * MIB, 30 * MIB), "memory_shmem": (0, 0),
                         "memory_shared": (MIB // 2, 6 * MIB),
                         "memory_page_tables": (48 << 10, 256 << 10)},
    "shared memory": {"memory_footprint": (0, 2 * MIB), "memory_rss": (24 * MIB, 30 * MIB),
                      "memory_shmem": (24 * MIB, 25 * MIB), "memory_shared": (24 * MIB, 29 * MIB),
                      "memory_locked": (0, 0)},
    "memory of a file": {"memory_footprint": (0, 2 * MIB), "memory_rss": (24 * MIB, 30 * MIB),
                         "memory_shmem": (0, 0), "memory_shared": (24 * MIB, 29 * MIB)},
    "locked memory": {"memory_locked": (24 * MIB, 25 * MIB)},
    # the kernel shows it of 2,000 thirds
    "OOM adjusted": {"worst_oom_score": (1000, 1010)},
    "kernel thread": {"worst_oom_score": (0, 0), "memory_page_tables": (0, 0)},
    "executed": {"memory_footprint": (0, 2 * MIB), "cpu": (180 * MS, 500 * MS),
                 "io_written": (MIB, MIB + 65536)},
    "work": {"cpu": (180 * MS, 500 * MS), "io_written": (MIB, MIB + 65536), "io_read": (MIB, MIB + 65536),
             "io_writes": (256, 300), "io_reads": (256, 300),
             "context_switches_voluntary": (50, 1000)},
}

# ---- Where they differ -----------------------------------------------------------------

# For good, and documented: (condition, metrics, how far apart they may be, why).
DIFFER = [
    ("running", (*COUNTERS, "cpu_usage"), ANY, "it goes on between the two collections"),
    ("running", ("states_running", "states_sleeping", "threads_running", "state"), ANY,
     "the collector may have its CPU"),
    ("parent", IO, ANY,
     "Linux adds what reaped children read and wrote to /proc/PID/io of the parent"),
    # one switch or two for each of the 20 threads
    (("threads that ended", "later ended-threads"), SWITCHES, 40,
     "a thread's last switches, when it has been added up, are in nobody's sum but source bpf's"),
    (("threads that ended", "later ended-threads"), ("run_queue_wait",), 100 * MS,
     "the same for how long it waited until then"),
    ("kernel thread", (*COUNTERS, "cpu_usage"), ANY, "it ran before source bpf was opened"),
]
# Faults: (condition, metrics, what is wrong). When it is mended the test says so, and the
# line has to go. What follows from it need not differ.
WRONG = []
FOLLOWS = []


# ---- The conditions ----------------------------------------------------------------------

def program():
    """matrix.c, with the library."""
    library = [os.path.join(BUILD, "core/libproctally.a")]
    for line in read_text(os.path.join(BUILD, "Makefile")).splitlines():
        if re.match(r"(YAML|PCRE2|MNL|BPF)_LIBS = ", line):
            library += line.split(" = ", 1)[1].split()
    path = os.path.join(temp_dir(), unique("m"))
    cc = need_program(os.environ.get("CC", "cc"), "gcc", "clang")
    status, out, err = run([cc, "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror",
                            "-I", os.path.join(SRC, "core"),
                            os.path.join(SRC, "tests/integration/matrix.c"), *library,
                            "-pthread", "-o", path], seconds=250)
    check_equal(status, 0, "building matrix.c (%s)" % err[-2000:])
    return path


class Watcher:
    def __init__(self, path, *options):
        self.process = start([path, "watch", *options], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.answer() is None:
            why = self.process.stderr.read().decode()
            if self.process.wait(60) == 77 or not is_root():
                raise Skipped("no source bpf: " + why.strip())
            raise Failed("matrix watch: " + why)

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def look(self, pids):
        self.process.stdin.write((" ".join(map(str, pids)) + "\n").encode())
        self.process.stdin.flush()
        answer = self.answer()
        check(answer is not None, "matrix watch has ended")
        return answer


class Subject:
    """A process in a condition."""

    def __init__(self, path, word, **how):
        how.setdefault("stdin", subprocess.PIPE)
        self.process = start([path, "be", word], stdout=subprocess.PIPE, **how)
        self.pid = self.hear()

    def hear(self):
        check(select.select([self.process.stdout], [], [], 60)[0], "the subject says nothing")
        line = self.process.stdout.readline()
        check(line, "the subject has ended")
        return int(line)


def in_terminal(path):
    master, slave = os.openpty()
    later(os.close, master)
    before = lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    s = Subject(path, "sleeping", stdin=slave, preexec_fn=before)
    os.close(slave)
    return s.pid


def thaw_and_remove(directory, file, thawed):
    with contextlib.suppress(OSError):
        if os.path.exists(os.path.join(directory, file)):
            write_text(os.path.join(directory, file), thawed)
    for _ in range(100):
        try:
            return os.rmdir(directory)
        except OSError:
            time.sleep(0.05)


def freeze(path, roots, file, word, thawed):
    roots = [r for r in roots if os.path.exists(os.path.join(r, "cgroup.procs"))]
    if not roots or not os.access(roots[0], os.W_OK):
        raise Skipped("no cgroup can be made there")
    directory = os.path.join(roots[0], unique("frozen"))
    try:
        os.mkdir(directory)
    except OSError as e:
        raise Skipped(str(e))
    later(thaw_and_remove, directory, file, thawed)
    if not os.path.exists(os.path.join(directory, file)):
        raise Skipped("no cgroup there that freezes")
    s = Subject(path, "sleeping")
    later(thaw_and_remove, directory, file, thawed) # before the process is to end
    write_text(os.path.join(directory, "cgroup.procs"), str(s.pid))
    write_text(os.path.join(directory, file), word)
    time.sleep(0.2)
    return s.pid


def frozen(path):
    return freeze(path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"), "cgroup.freeze", "1", "0")


def frozen_by_v1(path):
    return freeze(path, ("/sys/fs/cgroup/freezer",), "freezer.state", "FROZEN", "THAWED")


def kernel_thread(path):
    # the first descends from nobody in the list
    if not os.path.exists("/proc/2") or read_text("/proc/2/comm") != "kthreadd\n":
        raise Skipped("no kernel threads to be seen")
    return 2


def swapped(path):
    if len(read_text("/proc/swaps").splitlines()) < 2:
        raise Skipped("no swap space")
    return Subject(path, "memory-swapped").pid


def being(word):
    return lambda path: Subject(path, word).pid


CONDITIONS = {
    "sleeping": being("sleeping"),
    "running": being("running"),
    "stopped": being("stopped"),
    "traced": being("traced"),
    "zombie": being("zombie"),
    "frozen": frozen,
    "frozen by cgroup v1": frozen_by_v1,
    "uninterruptible": being("vforking"),
    "many threads": being("threads"),
    "threads that ended": being("ended-threads"),
    "kernel thread": kernel_thread,
    "niced": being("niced"),
    "favoured": being("favoured"),
    "fifo": being("fifo"),
    "idle class": being("idle-class"),
    "descriptors": being("descriptors"),
    "sockets": being("sockets"),
    "anonymous memory": being("memory-anonymous"),
    "shared memory": being("memory-shared"),
    "memory of a file": being("memory-file"),
    "locked memory": being("memory-locked"),
    "OOM adjusted": being("oom-adjusted"),
    "swapped memory": swapped,
    "executed": being("executed"),
    "orphan": being("orphan"),
    "terminal": in_terminal,
    "another user": being("another-user"),
    "another name": being("named"),
    "work": being("work"),
    "parent": being("parent"),
}


# ---- Comparing -------------------------------------------------------------------------------

class Verdict:
    def __init__(self):
        self.bad, self.differed, self.cells = [], set(), 0

    def compare(self, condition, answer, pid):
        sides = [answer[source].get(str(pid)) for source in ("procfs", "bpf")]
        if None in sides:
            self.bad.append("%s: only one source has process %d: %s" % (condition, pid, sides))
            return
        for part, table in ("has", METRICS), ("is", IS):
            for key in sides[0][part].keys() | sides[1][part].keys():
                self.cell(condition, key, table.get(key), *(s[part].get(key) for s in sides))

        if condition in ("sleeping", "many threads"): # the rest may be about to have others
            with open("/proc/%d/maps" % pid) as maps:
                mapped = sum("[vsyscall]" not in line for line in maps)
            self.cell(condition, "mappings", EXACT, mapped, sides[1]["has"].get("worst_mappings"))
        for key, (least, most) in KNOWN.get(condition, {}).items():
            for source, side in zip(("procfs", "bpf"), sides):
                value = side["has"].get(key)
                if key == "cpu": # both parts of it
                    value = side["has"]["cpu_user"] + side["has"]["cpu_system"]
                if value is None or not least <= value <= most:
                    self.bad.append("%s, %s: %s says %r, expected %d to %d"
                                    % (condition, key, source, value, least, most))

    def cell(self, condition, key, tolerance, procfs, bpf):
        self.cells += 1
        text = "%s, %s: procfs %r, bpf %r" % (condition, key, procfs, bpf)
        if tolerance is None:
            self.bad.append("%s: no line in the table says how near is the same" % key)
            return
        if tolerance == NEITHER:
            if procfs is not None or bpf is not None:
                self.bad.append(text + ", expected neither")
            return
        for c, keys, apart, _ in DIFFER:
            if key in keys and (condition == c or condition in c and isinstance(c, tuple)):
                tolerance = apart
        if tolerance == ANY or (tolerance == BPF and procfs is None and bpf is not None):
            return
        same = procfs == bpf or (key in WITHIN_A_BUDGET and None in (procfs, bpf))
        if not same and tolerance and procfs is not None and bpf is not None:
            same = abs(procfs - bpf) <= tolerance
        if same:
            return
        for at, (c, keys, _) in enumerate(WRONG):
            if c in (condition, "*") and key in keys:
                self.differed.add((at, key))
                return
        if any(condition == c and key in keys for c, keys in FOLLOWS):
            return
        self.bad.append(text)

    def finish(self, conditions):
        for at, (condition, keys, why) in enumerate(WRONG):
            for key in keys:
                if (at, key) not in self.differed and condition in (*conditions, "*"):
                    self.bad.append("%s, %s: expected to differ (%s), but agrees: the line has to go"
                                    % (condition, key, why))
        check(not self.bad, "%d of %d cells are wrong" % (len(set(self.bad)), self.cells),
              "\n      ".join(sorted(set(self.bad))))


def start_all(path):
    pids = {}
    for condition, make in CONDITIONS.items():
        try:
            pids[condition] = make(path)
        except Skipped as e:
            print("      without %s: %s" % (condition, e))
    return pids


def case_matrix():
    """Every metric in every condition: at first sight, and as sleepers are remembered."""
    path = program()
    watcher = Watcher(path, "collect=pss,memory-details,sockets")
    pids = start_all(path)
    time.sleep(1)
    verdict = Verdict()
    for _ in range(4):
        answer = watcher.look(pids.values())
        for condition, pid in pids.items():
            verdict.compare(condition, answer, pid)
        time.sleep(1)
    verdict.finish(pids)
    print("      %d cells of %d conditions" % (verdict.cells, len(pids)))


# What becomes of a process that both know, and that has slept until then.
CHANGES = ["dying", "niced", "favoured", "fifo", "descriptors", "sockets", "memory-anonymous",
           "memory-file", "memory-locked", "oom-adjusted",
           "another-user", "session", "named", "threads", "ended-threads", "executed", "work",
           "stopped", "traced"]


def case_changes():
    """What was remembered of sleepers is not shown when it is not so any more."""
    path = program()
    watcher = Watcher(path, "collect=memory-details,sockets")
    subjects = {w: Subject(path, w if w == "dying" else "later-" + w) for w in CHANGES}
    by_signal = Subject(path, "sleeping")
    verdict = Verdict()

    def compare(state=None):
        pids = {"later " + w: s.pid for w, s in subjects.items()}
        pids["by signal"] = by_signal.pid
        answer = watcher.look(pids.values())
        for condition, pid in pids.items():
            verdict.compare(condition, answer, pid)
        if state:
            for source in "procfs", "bpf":
                check_equal(answer[source][str(by_signal.pid)]["is"]["state"], state,
                            "state with " + source)

    time.sleep(0.5)
    for _ in range(4):
        compare("S")
        time.sleep(0.3)
    os.kill(by_signal.pid, signal.SIGSTOP)
    for s in subjects.values():
        s.process.stdin.write(b"x")
        s.process.stdin.flush()
        s.pid = s.hear()
    time.sleep(0.5)
    compare("T")
    os.kill(by_signal.pid, signal.SIGCONT)
    time.sleep(0.3)
    for _ in range(3):
        compare("S")
        time.sleep(0.3)
    verdict.finish({"later " + w for w in subjects})


def case_pid_used_again():
    """Nothing of the first is left in the second."""
    path = program()
    watcher = Watcher(path)
    s = Subject(path, "reused")
    time.sleep(0.5)
    watcher.look([s.pid])
    s.process.stdin.write(b"x")
    s.process.stdin.flush()
    second = s.hear()
    if second == 0:
        raise Skipped("a pid can't be chosen here")
    check_equal(second, s.pid, "the number of the second")
    time.sleep(0.5)
    verdict = Verdict()
    for _ in range(3):
        answer = watcher.look([second])
        verdict.compare("reused", answer, second)
        for source in "procfs", "bpf":
            has = answer[source][str(second)]["has"]
            check_near(has["cpu_user"] + has["cpu_system"], 30 * MS, "CPU time with " + source,
                       absolute=25 * MS)
        time.sleep(0.3)
    check(not verdict.bad, "cells are wrong", "\n      ".join(verdict.bad))


def case_full_tables():
    """More processes than source bpf has room for: what has none is not known to it by its
    counters, but its gauges are as in /proc."""
    path = program()
    watcher = Watcher(path, "max-processes=256")
    pids = [Subject(path, "sleeping").pid for _ in range(300)]
    time.sleep(1)
    verdict = Verdict()
    answer = watcher.look(pids)
    for pid in pids:
        verdict.compare("full", answer, pid)
    check(not verdict.bad, "cells are wrong", "\n      ".join(verdict.bad[:40]))


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
