#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""What is done to processes that sleep, on this kernel: it shows as soon as
proctally-metrics(7) says. What may take five minutes is tried out in
tests/unit/collector/test_sleepers.c, where a clock can be put forward."""
import os
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


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
