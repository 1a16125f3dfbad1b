#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live.py SECONDS: the two programs on this machine, under processes that come and go.

After every collection: no counter of any series has fallen. At the end: resident
memory and descriptors are what they were after warming up, and the groups explain
the CPU time of the host. The figures are printed.
"""
import contextlib
import os
import re
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))
from common import *

MAX_GROUPS = 100
ALL_GROUPS = MAX_GROUPS + 2 # other and kernel, which take no slot
# What may be added after warming up: the set of names that did not fit, 1 MiB, fills
# page by page; and malloc's holes are not the same each time.
RSS_ROOM_KIB = 1024 + 256
# ... and what more processes need than there were before: tables double when full.
KIB_PER_PROCESS = 1
# glibc: what is freed goes back at once, so that what stays is what is held. (Else a
# reload can leave some MiB behind, once.)
ENVIRONMENT = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
# Nothing is counted twice, and the scheduler's clock tells what is used; the host's
# time is found at clock ticks, which see some loads too seldom or too often, by a
# few percent. What is missing is children that nobody waits for, and orphans' use
# between the last look and their end where init does not wait like a parent.
COVERAGE = (0.8, 1.15)
# ... of which over ten minutes less is left.
LONG_COVERAGE = 1.05
# Below this the ticks of the host are too few to divide by.
BUSY_SECONDS = 5

# Names: more than max-groups, all seen at once in the beginning. Births by fork, exec
# and as orphans; renames; reading and writing; threads; some live through many
# collections, most through none.
CHURN = """
import random, signal
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
random.seed(int(sys.argv[1]))
names = [("so-%d-%d" % (random.randrange(10 ** 6), i)).encode()[:15] for i in range(100)]
def use():
    burn(random.choice((0, 0, 0.002, 0.01, 0.03)))
    if random.random() < 0.3:
        with open("/dev/null", "wb") as out, open(__import__("sys").executable, "rb") as f:
            out.write(f.read(1 << 20))
def live():
    set_name(random.choice(names))
    use()
    what = random.random()
    if what < 0.3:
        os.execv("/bin/sleep", [random.choice(names).decode(), str(random.choice((0, 0.1, 3, 20)))])
    if what < 0.4:
        if os.fork():
            os._exit(0) # its child is an orphan
    elif what < 0.5:
        for _ in range(20):
            set_name(random.choice(names))
            time.sleep(0.05)
    elif what < 0.6:
        ts = [threading.Thread(target=use) for _ in range(4)]
        for t in ts: t.start()
        for t in ts: t.join()
    elif what < 0.7: # a parent that waits for its own
        for _ in range(3):
            if os.fork() == 0:
                use()
                os._exit(0)
        for _ in range(3): os.wait()
    use()
    time.sleep(random.choice((0, 0, 0.2, 1, 5)))
for name in names:
    if os.fork() == 0:
        set_name(name)
        time.sleep(3)
        os._exit(0)
count = len(names)
say(pid=os.getpid())
while True:
    if count < 100:
        if os.fork() == 0:
            try:
                random.seed()
                live()
            finally:
                os._exit(0)
        count += 1
    try:
        while count and os.waitpid(-1, os.WNOHANG)[0]:
            count -= 1
    except ChildProcessError:
        count = 0
    time.sleep(0.1)
"""


def busy_seconds():
    user, nice, system = read_text("/proc/stat").split("\n", 1)[0].split()[1:4]
    return (int(user) + int(nice) + int(system)) * TICK


def sees_all_processes():
    """In a pid namespace of its own a container has the whole host's times, but not its
    processes. The first namespace always has this number."""
    return os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"


class Watched:
    """Resident memory and descriptors of a process, a reading after each cycle."""

    def __init__(self, name, pid):
        self.name, self.pid = name, pid
        self.rss, self.fds, self.open, self.processes = [], [], [], []

    def look(self, processes):
        text = read_text("/proc/%d/status" % self.pid)
        self.rss.append(int(re.search(r"VmRSS:\s*([0-9]+) kB", text).group(1)))
        targets = []
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            with contextlib.suppress(OSError): # just closed
                targets.append(os.readlink("/proc/%d/fd/%s" % (self.pid, fd)))
        self.open.append(len(targets))
        # without what is open in the middle of a collection: files of processes, and
        # the file that is going to replace another
        self.fds.append(sum(not re.search(r"^/proc/[^/]|\.tmp\Z", t) for t in targets))
        self.processes.append(processes)

    def verdict(self):
        """Prints the figures, and checks that they are flat after the first quarter."""
        n = len(self.rss)
        warm = n // 4
        quarters = [slice(i * n // 4, (i + 1) * n // 4) for i in range(4)]
        print("%s, in four quarters: resident KiB at most %s; descriptors at rest %s; processes "
              "at most %s" % (self.name, *(" ".join(str(which(values[q])) for q in quarters)
                                           for which, values in ((max, self.rss), (min, self.fds),
                                                                 (max, self.processes)))))
        peak = max(self.processes)
        room = RSS_ROOM_KIB + (KIB_PER_PROCESS * peak if peak > max(self.processes[:warm]) else 0)
        # where a reading falls into a reload, it has 6 MiB more: what the kernel says of itself
        at_rest = max(statistics.median(self.rss[q]) for q in quarters[1:])
        check(at_rest <= max(self.rss[:warm]) + room,
              "%s: resident memory grew by more than %d KiB" % (self.name, room), self.rss)
        check_equal(min(self.fds[-warm:]), min(self.fds[:warm]), "descriptors of " + self.name)
        # a new configuration is opened before the old one is closed
        check(max(self.open) <= 2 * min(self.fds) + 8, "descriptors of " + self.name, self.open)


class Service:
    """proctally-textfile as a service, whose file is looked at when it has changed."""

    def __init__(self, directory, interval):
        self.output = os.path.join(directory, "out.prom")
        self.config = os.path.join(directory, "config.yaml")
        self.flips, self.seen, self.before = 0, None, None
        self.reconfigure()
        self.log = open(os.path.join(directory, "log"), "w+b")
        # a group that ended and began anew between two readings would look like a fall
        self.process = start([TEXTFILE, "--config", self.config, "--output", self.output,
                              "--state-file", os.path.join(directory, "state"), "--max-groups",
                              str(MAX_GROUPS), "--interval", interval, "--expire-after", "30d"],
                             stderr=self.log, env=ENVIRONMENT)

    def reconfigure(self):
        """Another rule that decides nothing: groups, and with them series, stay."""
        self.flips += 1
        new = self.config + ".new"
        write_text(new, "process_names: [{name: nobody, comm: [nobody-%d]}]\n" % (self.flips % 2))
        os.rename(new, self.config)

    def look(self):
        """True if there was something new."""
        status = os.stat(self.output)
        if (status.st_ino, status.st_mtime_ns) == self.seen:
            return False
        self.seen = (status.st_ino, status.st_mtime_ns)
        m = Metrics(read_text(self.output))
        if self.before:
            check_never_falls(self.before.counters(), m.counters(), "proctally-textfile")
        check(len(m.labels_of()) <= ALL_GROUPS, "%d groups" % len(m.labels_of()))
        self.before = m
        return True

    def end(self):
        check_equal(stop(self.process), 0, "status of proctally-textfile")
        self.log.seek(0)
        said = self.log.read().decode("utf-8", "surrogateescape")
        for line in said.splitlines():
            check(re.search(r"max-groups|read again|can't be read fully", line),
                  "proctally-textfile said", line)


def soak(seconds):
    pace = 1.0 if seconds > 120 else 0.25
    directory = temp_dir()
    for i in range(2):
        Workload(CHURN, args=[str(i)]).hear()
    driver = Driver("--max-groups", str(MAX_GROUPS), "--expire-after", "20s",
                    "--state-file", os.path.join(directory, "telegraf.state"), env=ENVIRONMENT)
    service = Service(directory, "%dms" % (pace * 1000))
    wait_for(lambda: os.path.exists(service.output), "the first file")
    watched = [Watched("proctally-telegraf", driver.process.pid),
               Watched("proctally-textfile", service.process.pid)]
    print("%d seconds, a collection each %g s" % (seconds, pace))

    begun = time.monotonic()
    at = begun
    # what was explained of how much, in all and in each minute
    busy, minute, minutes, collections, files = busy_seconds(), [0, 0], [], 0, 0
    # a machine that is busy with other things needs longer
    while at < begun + seconds or collections < 16 or files < 8:
        points = driver.collect() # checks that no counter fell
        now_busy = busy_seconds()
        own = points.self_point.fields
        collections += 1
        if "cpu_coverage_ratio" in own:
            minute[0] += own["cpu_coverage_ratio"] * (now_busy - busy)
            minute[1] += now_busy - busy
        busy = now_busy
        if minute[1] >= BUSY_SECONDS and at - begun >= 60 * (len(minutes) + 1):
            minutes.append(minute)
            minute = [0, 0]
        check(len(points) <= ALL_GROUPS, "%d groups" % len(points))
        files += service.look()
        for one in watched:
            one.look(own["processes_seen"])
        if collections % 20 == 5: # the first one while warming up
            service.reconfigure()
        at += pace
        time.sleep(max(0, at - time.monotonic()))
        at = max(at, time.monotonic() - pace)

    if minute[1] >= BUSY_SECONDS:
        minutes.append(minute)
    check(minutes, "the machine was not busy, nothing can be said about coverage")
    ratios = [part / whole for part, whole in minutes]
    whole = sum(p for p, _ in minutes) / sum(w for _, w in minutes)
    print("%d collections, %d files read, %d processes at most, %d groups overflowed" % (
        collections, files, max(watched[0].processes), own["groups_overflowed"]))
    print("coverage %.3f in all, %.3f to %.3f in %d stretches of a minute" % (
        whole, min(ratios), max(ratios), len(ratios)))
    check(own["groups_overflowed"] > 0, "the load is too small: all groups fitted")
    for one in watched:
        one.verdict()
    check(max(ratios) <= COVERAGE[1] and (len(ratios) < 10 or whole <= LONG_COVERAGE),
          "more is explained than was used", whole, ratios)
    if sees_all_processes():
        check(min(ratios) >= COVERAGE[0], "coverage is too low", ratios)
    driver.end()
    service.end()


def case_live():
    soak(float(SECONDS))


if __name__ == "__main__":
    SECONDS = sys.argv.pop(1)
    run_cases(sys.modules[__name__])
