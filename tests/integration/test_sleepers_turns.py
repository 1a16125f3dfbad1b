#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 600
# aside
"""What is done to processes that sleep, and shows after a minute or after five, as
proctally-metrics(7) says: with both sources, a collection each second, against /proc, for as
long as it takes. It may not be late, and once the truth shows it may not go away again.

What shows sooner than that is in test_sleepers.py."""
import ctypes
import os
import resource
import sys
import time

from common import *
from test_sleepers import LATE_S, Unified, can_use_bpf

MB = 1 << 20
SIZE = 32 * MB
# a collection that begins so long after the change shows it
AT_ONCE_S, SOON_S, TURN_S = 0, LATE_S, 315

SYS_process_madvise = 440
MADV_PAGEOUT, MADV_COLLAPSE = 21, 25

# Each of these says where its memory is, and sleeps.
ANONYMOUS = """
import mmap
m = mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(15) # MADV_NOHUGEPAGE
for at in range(0, len(m), 4096): m[at] = 1 + at % 255
say(at=ctypes.addressof(ctypes.c_char.from_buffer(m)))
wait()
"""

MAPPED = """
import mmap
f = open(sys.argv[1], "w+b")
for _ in range(32): f.write(os.urandom(1 << 20))
f.flush()
os.fsync(f.fileno()) # or it could not be dropped
m = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
sum(m[at] for at in range(0, len(m), 4096))
say(at=ctypes.addressof(ctypes.c_char.from_buffer(m)))
wait()
"""

# One page of each two megabytes. The kernel's thread that makes huge pages of such looks for
# some every ten seconds.
SPARSE = """
import mmap
m = mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(15) # MADV_NOHUGEPAGE
for at in range(0, len(m), 2 << 20): m[at] = 1
m.madvise(14) # MADV_HUGEPAGE
say(at=ctypes.addressof(ctypes.c_char.from_buffer(m)))
wait()
"""


def status_of(pid, key):
    for line in read_text("/proc/%d/status" % pid).splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise Failed("no %s of %d" % (key, pid))


def advise(topic, advice):
    """process_madvise(2) on another's memory."""
    part = (ctypes.c_uint64 * 2)(topic.at, SIZE) # struct iovec
    fd = os.pidfd_open(topic.pid)
    done = LIBC.syscall(SYS_process_madvise, fd, ctypes.byref(part), ctypes.c_size_t(1), advice,
                        ctypes.c_uint(0))
    error = os.strerror(ctypes.get_errno())
    os.close(fd)
    if done < 0:
        raise Skipped("process_madvise(2): " + error)


def add_swap():
    """Some room to swap to, for as long as the case runs."""
    path = os.path.join(temp_dir(), "swap")
    with open(path, "wb") as f:
        for _ in range(64):
            f.write(bytes(MB))
    os.chmod(path, 0o600)
    for program in "mkswap", "swapon":
        if run([need_program(program), path])[0] != 0:
            raise Skipped("%s: no file here can be swapped to" % program)
    later(run, [need_program("swapoff"), path])


class Topic:
    """One process that sleeps, what is done to it, where that shows, and how late at most."""
    code, args, field = SLEEPER, (), "memory_rss"
    room = 2 * MB # a difference of less is none
    late_s = {"procfs": SOON_S, "bpf": SOON_S}

    def __init__(self, **how):
        self.workload = Workload(self.code, args=self.args, **how)
        said = self.workload.hear()
        self.pid, self.at = self.workload.pid, said.get("at")
        self.before = self.value = self.truth() # value: what is true since since_s
        self.since_s, self.shown_s = 0, {} # how long it took until it showed, by source

    def truth(self):
        return status_of(self.pid, "VmRSS")

    def shown(self, source, points):
        return points[self.workload.name].fields[self.field]

    def is_same(self, one, other):
        return abs(one - other) <= self.room

    def look(self, now_s):
        value = self.truth()
        if not self.is_same(value, self.value):
            self.value, self.since_s, self.shown_s = value, now_s, {}

    def is_done(self, drivers):
        return not self.is_same(self.value, self.before) and len(self.shown_s) == len(drivers)

    def check(self, source, points, now_s):
        shown = self.shown(source, points)
        what = "%s, %s, %.0f s after: shows %r, not %r" % (
            type(self).__name__, source, now_s - self.since_s, shown, self.value)
        if self.is_same(shown, self.value):
            self.shown_s.setdefault(source, now_s - self.since_s)
        elif self.is_same(self.truth(), self.value): # else it has just changed again
            check(source not in self.shown_s, what + " any more")
            check(now_s - self.since_s <= self.late_s[source], what)


class Swapped(Topic):
    """Pages that another process has the kernel swap out."""
    code, field = ANONYMOUS, "memory_swap"

    def truth(self):
        return status_of(self.pid, "VmSwap")

    def change(self):
        add_swap()
        advise(self, MADV_PAGEOUT)


class Dropped(Topic):
    """Pages of a file that it has the kernel drop, of which /proc/vmstat does not tell."""
    code, late_s = MAPPED, {"procfs": TURN_S, "bpf": TURN_S}

    def __init__(self):
        self.args = [os.path.join(temp_dir(), "mapped")]
        super().__init__()

    def change(self):
        advise(self, MADV_PAGEOUT)


class Collapsed(Topic):
    """Memory that it has the kernel make huge pages of."""
    code = SPARSE

    def change(self):
        advise(self, MADV_COLLAPSE)


class Grown(Topic):
    """The same, by the kernel itself."""
    code = SPARSE

    def change(self):
        if "[never]" in read_text("/sys/kernel/mm/transparent_hugepage/enabled"):
            raise Skipped("it makes no huge pages")


class Limited(Topic):
    """Another limit on descriptors."""
    field, room, late_s = "worst_fd_ratio", 0.001, {"procfs": TURN_S, "bpf": TURN_S}

    def truth(self):
        limit = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)[0]
        return len(os.listdir("/proc/%d/fd" % self.pid)) / limit

    def change(self):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (25, 50))


class Adjusted(Topic):
    """Another oom_score_adj."""
    field, room, late_s = "worst_oom_score", 10, {"procfs": TURN_S, "bpf": TURN_S}

    def truth(self):
        return int(read_text("/proc/%d/oom_score" % self.pid))

    def change(self):
        write_text("/proc/%d/oom_score_adj" % self.pid, "500")


class Reniced(Topic):
    field, room, late_s = "nice", 0, {"procfs": TURN_S, "bpf": AT_ONCE_S}

    def truth(self):
        return os.getpriority(os.PRIO_PROCESS, self.pid)

    def change(self):
        os.setpriority(os.PRIO_PROCESS, self.pid, 7)


class Moved(Topic):
    """Another control group, where groups are told by it."""
    late_s = {"procfs": SOON_S, "bpf": AT_ONCE_S}

    def __init__(self, sources):
        self.cgroups = Unified(), Unified()
        super().__init__(preexec_fn=lambda: self.cgroups[0].put(os.getpid()))
        self.drivers = {s: Driver("--group-by", "cgroup", source=s) for s in sources}

    def truth(self):
        for line in read_text("/proc/%d/cgroup" % self.pid).splitlines():
            if line.startswith("0::"):
                return line[3:]
        raise Failed("it is in no unified control group")

    def is_same(self, one, other):
        return one == other

    def shown(self, source, points):
        points = self.drivers[source].collect()
        return [c.name for c in self.cgroups
                if c.name in points and points[c.name].fields["num_procs"] == 1][0]

    def change(self):
        self.cgroups[1].put(self.pid)


def watch(drivers, topics):
    begun, more = time.monotonic(), 5
    while more: # some collections more than until all of it shows
        now_s = time.monotonic() - begun
        for topic in topics:
            topic.look(now_s)
        for source, d in drivers.items():
            d.collect()
            for topic in topics:
                topic.check(source, d.points, now_s)
        is_late = now_s > TURN_S
        more -= is_late or all(topic.is_done(drivers) for topic in topics)
        time.sleep(1)


def case_all_at_once():
    """Swapping, huge pages, limits and the like, by other processes and by the kernel."""
    if not is_root():
        raise Skipped("only root may do all of it")
    sources = ["procfs"]
    try:
        can_use_bpf()
        sources.append("bpf")
    except Skipped as e:
        print("      without source bpf: %s" % e)
    drivers = {s: Driver("--collect", "memory-details", source=s) for s in sources}
    topics = [Grown()] # which may begin at any time
    for kind in Swapped, Dropped, Collapsed, Limited, Adjusted, Reniced:
        topics.append(kind())
    try:
        topics.append(Moved(sources))
    except Skipped as e:
        print("      without Moved: %s" % e)
    for _ in range(4): # now they are known to sleep
        time.sleep(1)
        for d in [*drivers.values(), *getattr(topics[-1], "drivers", {}).values()]:
            d.collect()
    for topic in list(topics):
        try:
            topic.change()
        except (Skipped, OSError) as e:
            print("      without %s: %s" % (type(topic).__name__, e))
            topics.remove(topic)
    watch(drivers, topics)
    for topic in topics:
        print("      %-9s %s" % (type(topic).__name__, ", ".join(
            "%s: %.0f s" % one for one in topic.shown_s.items())))
        check(topic.is_done(drivers) or isinstance(topic, Grown), "nothing has been done to it")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
