#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""What is done to processes that sleep, on this kernel: it shows as soon as
proctally-metrics(7) says. What may take a minute or five is in test_sleepers_turns.py, and in
tests/unit/collector/test_sleepers.c, where a clock can be put forward."""
import ctypes
import os
import signal
import sys
import time

from common import *
from test_exits import Memory

MB = 1 << 20
LATE_S = 65 # after this and one interval, what has become of memory is there

SIZE = 32 * MB
LIMIT = SIZE // 2 # less than that and what a Python program has

# has written a file, reads all of it where it is mapped, and sleeps
MAPPER = """
import mmap
f = open(sys.argv[1], "w+b")
for _ in range(int(sys.argv[2]) >> 20): f.write(os.urandom(1 << 20))
f.flush()
os.fsync(f.fileno()) # or it could not be taken away
m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
sum(m[at] for at in range(0, len(m), 4096))
say(pid=os.getpid())
wait()
"""

THREADS = """
import threading
go = threading.Event()
def other(): go.wait()
threads = [threading.Thread(target=other) for _ in range(3)]
for t in threads: t.start()
say(threads=4)
wait()
go.set()
for t in threads: t.join()
say(threads=1)
wait()
"""


def resident(pid):
    for line in read_text("/proc/%d/status" % pid).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failed("the process %d is gone" % pid)


def memory_is_taken(source):
    path, group = os.path.join(temp_dir(), "mapped"), Memory(None, v2="memory.high")
    mapper = Workload(MAPPER, args=[path, str(SIZE)],
                      preexec_fn=lambda: write_text(group.procs, str(os.getpid())))
    pid = mapper.hear()["pid"]
    d = Driver(source=source)
    for _ in range(3): # now it is known to sleep
        time.sleep(1)
        d.collect()
    before = resident(pid)
    check_near(d.points[mapper.name].fields["memory_rss"], before, "resident before",
               relative=0.02)
    write_text(group.limit, str(LIMIT))
    wait_for(lambda: resident(pid) < before - SIZE // 4, "the kernel takes its memory")
    time.sleep(1)
    now, begun = resident(pid), time.monotonic()
    while True:
        shown = d.collect()[mapper.name].fields["memory_rss"]
        if abs(shown - now) <= 0.02 * before:
            break
        check(time.monotonic() - begun <= LATE_S + 1, "what the kernel took still shows",
              "%d of %d" % (shown, now))
        time.sleep(1)
    check_equal(resident(pid), now, "resident memory of a process that sleeps")
    print("      after %.0f s" % (time.monotonic() - begun))
    mapper.end()


def case_memory_is_taken():
    """The kernel takes pages of a sleeper whose control group is at its limit."""
    memory_is_taken("procfs")


def can_use_bpf():
    status, _, err = run([TELEGRAF, "--once", "--source", "bpf"])
    if status != 0:
        raise Skipped(err.strip() or "no source bpf")


def case_memory_is_taken_bpf():
    """The same with source bpf."""
    can_use_bpf()
    memory_is_taken("bpf")


def threads_end(source):
    d = Driver(source=source)
    w = Workload(THREADS)
    w.hear()
    for _ in range(4):
        time.sleep(0.3)
        check_equal(d.collect()[w.name].fields["num_threads"], 4, "threads")
    w.go_on()
    w.hear()
    check_equal(d.collect()[w.name].fields["num_threads"], 1, "threads after three ended")
    w.end()


def case_threads_end():
    """A thread that ends takes its time from a process that slept."""
    threads_end("procfs")


def case_threads_end_bpf():
    """The same with source bpf."""
    can_use_bpf()
    threads_end("bpf")


# The main thread never wakes up. The second does for each byte, and starts one that ends by
# itself while the others sleep.
BRIEF_THREADS = """
import signal, threading
def brief():
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
def starter():
    while wait():
        threading.Thread(target=brief).start()
    os._exit(0)
threading.Thread(target=starter).start()
say(pid=os.getpid())
while True: signal.pause()
"""
BRIEF = 40


def cpu_of(pid):
    """What all threads that it ever had have used, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2) # CPUCLOCK_SCHED


def threads_end_late(source):
    d = Driver(source=source)
    w = Workload(BRIEF_THREADS)
    pid = w.hear()["pid"]
    # what it used before it executed its program is another group's
    before = wait_for(lambda: len(os.listdir("/proc/%d/task" % pid)) == 2 and
                      d.collect()[w.name].cpu() - cpu_of(pid), "the threads are there")
    for i in range(BRIEF):
        w.go_on()
        time.sleep(i % 8 * 0.002) # it has not begun, runs, ends, has ended
        d.collect()
    wait_for(lambda: len(os.listdir("/proc/%d/task" % pid)) == 2, "the threads to end")
    used = cpu_of(pid)
    check(used >= BRIEF * 0.005, "the workload does not work", used)
    # Source bpf learns of it when the kernel frees a thread, which can be late; nobody has to
    # wake up for that. It also counts the instructions after which the kernel's own clock of
    # the process has left the thread out.
    less, more = (0.0001, BRIEF * 0.0001) if source == "bpf" else (2 * TICK, 2 * TICK)
    wait_for(lambda: -less <= d.collect()[w.name].cpu() - used - before <= more,
             "all that was used shows", seconds=20, every=0.5)
    check_equal(d.points[w.name].fields["num_threads"], 2, "threads")
    check_equal(cpu_of(pid), used, "the use of a process that sleeps")
    w.end()


def case_threads_end_late():
    """The use of threads that end while the rest of their process sleeps, and goes on
    sleeping."""
    threads_end_late("procfs")


def case_threads_end_late_bpf():
    """The same with source bpf."""
    can_use_bpf()
    threads_end_late("bpf")


# A reaper whose child is a parent of a child of its own; each under another name.
FAMILY = """
names, out = sys.argv[1:], os.pipe()
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) # PR_SET_CHILD_SUBREAPER
to_parent, to_child = os.pipe(), os.pipe()
parent = os.fork()
if parent == 0:
    set_name(names[0].encode())
    if os.fork() == 0:
        set_name(names[1].encode())
        burn(0.1)
        os.write(out[1], b"%d " % os.getpid())
        os.read(to_child[0], 1)
        burn(0.3)
        os.write(out[1], b"%r" % cpu())
        os._exit(0)
    os.read(to_parent[0], 1)
    os._exit(0)
say(parent=parent, child=int(os.read(out[0], 100)))
wait()
os.write(to_parent[1], b"x")
os.waitpid(parent, 0)
say()
wait()
os.write(to_child[1], b"x")
os.wait()
say(child=float(os.read(out[0], 100)), reaper=cpu())
wait()
"""


def parent_of(pid):
    return int(read_text("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()[1])


def parent_ends(source):
    names = unique("p"), unique("c")
    d = Driver(source=source)
    w = Workload(FAMILY, args=names)
    pids = w.hear()
    for _ in range(3):
        time.sleep(0.3)
        d.collect()
    check_equal(parent_of(pids["child"]), pids["parent"], "the parent")
    w.go_on()
    w.hear()
    for _ in range(3): # of all the child sleeps
        time.sleep(0.3)
        check_equal(d.collect()[names[1]].fields["num_procs"], 1, "the child is there")
    check_equal(parent_of(pids["child"]), w.pid, "the parent after the former has ended")
    w.go_on()
    used = w.hear()
    # its last use is read when it is freed, or found in what its new parent has reaped: there
    # only by the clock tick
    room = 0.01 if source == "bpf" else 4 * TICK
    wait_for(lambda: d.collect()[names[1]].fields["num_procs"] == 0 and
             d.points[names[1]].cpu() >= used["child"] - room, "all use of the child", seconds=20)
    check_near(d.points[names[1]].cpu(), used["child"], "use of the child", absolute=room)
    check_near(d.points[w.name].cpu(), used["reaper"], "use of who has reaped it", absolute=room)
    check(names[0] not in d.points or d.points[names[0]].cpu() < 0.05, "use of its first parent",
          d.points[names[0]].fields if names[0] in d.points else "")
    w.end()


def case_parent_ends():
    """A sleeper gets another parent. What it uses later is counted once, and as its own."""
    parent_ends("procfs")


def case_parent_ends_bpf():
    """The same with source bpf."""
    can_use_bpf()
    parent_ends("bpf")


def case_reniced_bpf():
    """Source bpf shows another nice value, and a real-time priority, at the next collection."""
    can_use_bpf()
    d = Driver(source="bpf")
    w = Workload(SLEEPER)
    pid = w.hear()["pid"]
    for _ in range(4):
        time.sleep(0.2)
        check_equal(d.collect()[w.name].fields["nice"], 0, "nice value at first")
    os.setpriority(os.PRIO_PROCESS, pid, 7)
    check_equal(d.collect()[w.name].fields["nice"], 7, "nice value")
    d.collect()
    before = d.points[w.name].fields["priority"]
    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(9))
    check_equal(d.collect()[w.name].fields["priority"], -10, "priority (before: %d)" % before)
    w.end()


class Unified:
    """A control group of the unified hierarchy, which source bpf sees."""

    def __init__(self):
        roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        root = next((r for r in roots if os.path.exists(r + "/cgroup.controllers")), None)
        if root is None:
            raise Skipped("no unified control group hierarchy")
        self.name = "/" + unique("cg")
        self.path = root + self.name
        try:
            os.mkdir(self.path)
        except OSError as e:
            raise Skipped("no right to make a control group: %s" % e)
        later(wait_for, self.removed, "the removal of %s" % self.path)

    def removed(self):
        os.rmdir(self.path)
        return True

    def put(self, pid):
        write_text(self.path + "/cgroup.procs", str(pid))


# It runs between two collections, until the end of its input.
RESTLESS = """
import select
say(pid=os.getpid())
while not select.select([sys.stdin], [], [], 0.05)[0]: pass
"""


def case_moved_bpf():
    """Source bpf shows another control group at the next collection, of who sleeps and of who
    does not."""
    can_use_bpf()
    one, two = Unified(), Unified()
    d = Driver("--group-by", "cgroup", source="bpf")
    into_one = {"preexec_fn": lambda: one.put(os.getpid())}
    both = Workload(SLEEPER, **into_one), Workload(RESTLESS, **into_one)
    pids = [w.hear()["pid"] for w in both]
    for _ in range(4):
        time.sleep(0.2)
        check_equal(d.collect()[one.name].fields["num_procs"], 2, "where they were started")
    for left, pid in (1, pids[0]), (0, pids[1]):
        two.put(pid)
        d.collect()
        check_equal(d.points[one.name].fields["num_procs"], left, "where they were")
        check_equal(d.points[two.name].fields["num_procs"], 2 - left, "where they are now")
    for w in both:
        w.end()


# ---- Pids ----------------------------------------------------------------------------------

def end_of_input(child, write_end):
    os.close(write_end)
    with contextlib.suppress(ChildProcessError): # whoever started it has waited
        os.waitpid(child, 0)


def start_with_pid(pid, name):
    """A process that sleeps, and that a byte to what is returned lets use 50 ms. It ends with
    that. Only who may restore processes may choose a pid."""
    read_end, write_end = os.pipe()
    wanted = ctypes.c_int(pid)
    # struct clone_args: set_tid and its size come after seven others
    args = (ctypes.c_uint64 * 11)()
    args[4], args[8], args[9] = signal.SIGCHLD, ctypes.addressof(wanted), 1
    child = LIBC.syscall(435, args, ctypes.sizeof(args)) # clone3
    if child < 0:
        raise Skipped("no process with a certain pid: %s" % os.strerror(ctypes.get_errno()))
    if child == 0:
        try:
            os.dup2(read_end, 0)
            os.closerange(3, 1024) # of what keeps others from their ends
            set_name(name)
            while os.read(0, 1):
                end = time.process_time() + 0.05
                while time.process_time() < end:
                    pass
        finally:
            os._exit(0)
    os.close(read_end)
    later(end_of_input, child, write_end)
    return write_end


def sleep_and_wake(d, sleepers):
    """`sleepers`: name -> (pid, what to write to). One after the other is woken and reniced;
    what all of them show has to be so each time."""
    unseen = {name: cpu_of(pid) - d.points[name].cpu() for name, (pid, _) in sleepers.items()}
    nice = dict.fromkeys(sleepers, 0)
    for turn in range(3):
        for name, (pid, to) in sleepers.items():
            before = cpu_of(pid)
            os.write(to, b"x")
            wait_for(lambda: cpu_of(pid) >= before + 0.05 and
                     read_text("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()[0] == "S",
                     "the sleeper has run and sleeps again", every=0.02)
            nice[name] += 1
            os.setpriority(os.PRIO_PROCESS, pid, nice[name])
            for _ in range(3):
                d.collect()
                for other, (other_pid, _) in sleepers.items():
                    check_near(d.points[other].cpu() + unseen[other], cpu_of(other_pid),
                               "use of " + other, absolute=0.0001)
                    check_equal(d.points[other].fields["nice"], nice[other], "nice of " + other)
                    check_equal(d.points[other].fields["num_procs"], 1, "processes of " + other)
    check_equal(d.points.self_point.fields["lost_events"], 0, "lost events")


def free_pids(first, apart):
    """Three pids nobody has, so far from each other."""
    for at in range(first, first + apart):
        pids = [at, at + apart, at + 2 * apart]
        if not any(os.path.exists("/proc/%d" % pid) for pid in pids):
            return pids
    raise Skipped("no free pids")


def pids_of_sleepers(pids, *flags):
    d = Driver(*flags, source="bpf")
    sleepers = {}
    for pid in pids:
        name = unique("s")
        sleepers[name] = pid, start_with_pid(pid, name)
    wait_for(lambda: all(name in d.collect() for name in sleepers), "all are seen")
    sleep_and_wake(d, sleepers)
    d.end()


def case_one_slot_bpf():
    """Pids that share a place where the programs note who has slept: figures stay those of
    each, and what is done to one shows."""
    can_use_bpf()
    pids_of_sleepers(free_pids(20000, 1024), "--max-processes", "1024")


PID_MAX = "/proc/sys/kernel/pid_max"


def case_pid_max_bpf():
    """The highest pids that there can be, and some that share a place with others."""
    can_use_bpf()
    before = read_text(PID_MAX)
    if int(before) < 4194304:
        try:
            write_text(PID_MAX, "4194304")
        except OSError as e:
            raise Skipped("kernel.pid_max can't be set: %s" % e)
        later(write_text, PID_MAX, before)
    pids_of_sleepers([4194303, *free_pids(4000000, 65536)])


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
