#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Threads by name: counts against /proc/PID/task, CPU time against what each thread's own
clock says, in both sources."""
import collections
import os
import sys
import threading
import time

from common import *

NAMES = ("--collect", "thread-names")

# Commands are lines: what each thread is called is said with what its clock says.
WORK = """
lock, threads, left = threading.Lock(), {}, {}
go = threading.Condition(lock)
def tell():
    say(cpu={n: c for n, c in threads.items()})
def life(name):
    set_name(name)
    while True:
        with lock:
            while left.get(name, 0) == 0:
                go.wait()
            todo, left[name] = left[name], 0
        if todo == -1:
            return
        if todo == -2:
            set_name(b"renamed")
            todo = 0.1
        end = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) + todo
        while time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) < end:
            pass
        with lock:
            threads[name.decode()] = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
            go.notify_all()
def work(shares):
    with lock:
        for name, todo in shares.items():
            threads[name] = None
            left[name.encode()] = todo
        go.notify_all()
        while any(threads[n] is None for n, todo in shares.items() if todo > 0):
            go.wait()
all = [threading.Thread(target=life, args=(n,), daemon=True) for n in
       (b"busy-1", b"busy-2", b"idle-1")]
for t in all:
    t.start()
work({"busy-1": 0.001, "busy-2": 0.001, "idle-1": 0.001})
tell()
wait()
work({"busy-1": 0.4, "busy-2": 0.2})
tell()
wait()
with lock:
    left[b"busy-2"] = -1
    go.notify_all()
all[1].join()
with lock:
    left[b"idle-1"], threads["idle-1"] = -2, None
    go.notify_all()
    while threads["idle-1"] is None:
        go.wait()
say(ended=True)
wait()
os._exit(0)
"""


def in_task(pid):
    """Names of the threads that there are."""
    names = collections.Counter()
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, tid)) as f:
            names[f.read()[:-1]] += 1
    return names


def alive(points, group):
    return {name: p.fields["num_threads"] for name, p in points.threads[group].items()
            if p.fields["num_threads"]}


def truth(source):
    if source == "bpf" and not is_root():
        raise Skipped("source bpf needs root")
    work = Workload(WORK, unique("t"))
    before = work.hear()["cpu"]
    # (a collector that has not seen it begin shows what comes from here on)
    driver = Driver(*NAMES, "--include", work.name, source=source)
    points = driver.points
    check_equal(alive(points, work.name), in_task(work.pid), "threads by name")
    work.go_on()
    after = work.hear()["cpu"]
    points = driver.collect()
    threads = points.threads[work.name]
    check_equal(alive(points, work.name), in_task(work.pid), "threads by name")
    slack = 0.03 if source == "procfs" else 0.002 # ticks, each time and mode rounded down
    for name in ("busy-1", "busy-2"):
        check_near(threads[name].cpu(), after[name] - before[name],
                   "CPU time of %s" % name, absolute=slack)
    check(threads["idle-1"].cpu() <= slack, "CPU time of idle-1: %r" % threads["idle-1"].cpu())
    check(threads["busy-1"].fields["voluntary_context_switches"] > 0, "no switches of busy-1",
          threads["busy-1"].fields)
    total = points[work.name].cpu()
    check_near(sum(t.cpu() for t in threads.values()), total, "the sum over the names",
               absolute=len(threads) * slack)
    work.go_on()
    work.hear()
    ended = driver.collect().threads[work.name]
    check_equal(alive(driver.points, work.name), in_task(work.pid), "threads by name, later")
    check("renamed" in ended and "busy-2" in ended, "no such names", sorted(ended))
    check_equal(ended["busy-2"].fields["num_threads"], 0, "threads called busy-2")
    check(ended["busy-2"].cpu() >= threads["busy-2"].cpu(), "busy-2 fell")
    check_near(ended["renamed"].cpu(), 0.1, "CPU time under the new name", absolute=slack)
    check_equal(ended["idle-1"].cpu(), threads["idle-1"].cpu(), "CPU time under the old name")
    work.go_on()
    work.process.wait(20)
    wait_for(lambda: driver.collect()[work.name].fields["num_procs"] == 0, "its end")
    check_equal(alive(driver.points, work.name), {}, "threads of nobody")
    driver.end()


def case_truth_procfs():
    truth("procfs")


def case_truth_bpf():
    truth("bpf")


SHORT = """
lock, used, written = threading.Lock(), {}, {}
with open(%r, "wb", 0) as file:
    def life(name, pages, at):
        set_name(name)
        burn(0.001)
        for i in range(pages):
            os.pwrite(file.fileno(), b"x" * 4096, 4096 * (at + i))
        cpu = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
        with lock:
            used[name.decode()] = used.get(name.decode(), 0) + cpu
            written[name.decode()] = written.get(name.decode(), 0) + 4096 * pages
    def work(first, count):
        for i in range(first, first + count, 10):
            some = [threading.Thread(target=life, args=(b"short-%%d" %% (k %% 5), k %% 5, 4 * k))
                    for k in range(i, i + 10)]
            for t in some:
                t.start()
            for t in some:
                t.join()
    say(ready=True)
    wait()
    work(0, 500)
    say(cpu=used, written=written)
    wait()
    work(500, 500)
    last = [threading.Thread(target=life, args=(b"short-1", 0, 0), daemon=True) for i in range(5)]
    stay = threading.Event()
    for i in range(5):
        threading.Thread(target=lambda: (life(b"short-2", 0, 0), stay.wait()), daemon=True).start()
    while len(used) < 5:
        time.sleep(0.01)
    time.sleep(0.2)
    say(cpu=used, written=written)
    wait()
    for t in last:
        t.start()
        t.join()
    say(cpu=used, written=written)
    os._exit(0)
"""

COUNTERS = ("disk_write_bytes", "minor_faults", "voluntary_context_switches",
            "involuntary_context_switches")


def top(source):
    if source == "bpf" and not is_root():
        raise Skipped("source bpf needs root")
    works = [Workload(WORK, unique("t")) for _ in range(3)]
    before = [w.hear()["cpu"]["busy-1"] for w in works]
    driver = Driver(*NAMES, "--top", "1 by cpu", *(o for w in works for o in ("--include", w.name)),
                    source=source)
    used, own = [0, 0, 0], {} # what a group had when it was shown last stays its own
    for i, work in enumerate(works): # one after the other comes to the top
        work.go_on()
        used[i] = work.hear()["cpu"]["busy-1"] - before[i]
        shown = {group: names["busy-1"] for group, names in driver.collect().threads.items()
                 if "busy-1" in names}
        own.update({group: thread.cpu() for group, thread in shown.items()})
        check("other" in shown and work.name in shown, "who is shown", list(shown))
        check_near(sum(own.values()), sum(used), "CPU time of busy-1",
                   absolute=0.09 if source == "procfs" else 0.006)
        check_equal(sum(t.fields["num_threads"] for t in shown.values()), 3, "threads")
    for work in works:
        work.end()


def case_top_procfs():
    """What threads of groups use that are not at the top is in the same names of other."""
    top("procfs")


def case_top_bpf():
    """The same with source bpf."""
    top("bpf")


def case_short_lived():
    """1,000 threads that end between two looks, or just after one: each counts under its name to
    its last moment, so that the names add up to the process."""
    if not is_root():
        raise Skipped("source bpf needs root")
    work = Workload(SHORT % os.path.join(temp_dir(), "written"), unique("q"))
    work.hear()
    driver = Driver(*NAMES, "--include", work.name, source="bpf")
    first = driver.points[work.name].fields
    time.sleep(0.3) # what ends within 100 ms after a process was found is in doubt (on_free)

    def check_sums(points, what):
        """Exact, but for a few threads whose exits the kernel has dropped on a busy host: what was
        told of these before, their process has to make up for."""
        names, own = points.threads[work.name].values(), points[work.name]
        check_near(sum(t.cpu() for t in names), own.cpu(), "CPU time of all names, " + what,
                   absolute=0.02 * own.cpu())
        for field in COUNTERS:
            used = own.fields[field] - first[field]
            check_near(sum(t.fields[field] for t in names), used,
                       "%s of all names, %s" % (field, what), absolute=0.02 * used)

    def is_told():
        """Threads are told of as ended a little after they have."""
        points = driver.collect()
        return abs(sum(t.cpu() for t in points.threads[work.name].values()) -
                   points[work.name].cpu()) < 0.0001

    def wait_until_told():
        for i in range(50):
            if is_told():
                break
            time.sleep(0.1)

    def check_names(truth, what):
        wait_until_told()
        points = driver.points
        check_sums(points, what)
        threads = points.threads[work.name]
        accounted = points[work.name].fields["disk_write_bytes"] > first["disk_write_bytes"]
        for name, cpu in truth["cpu"].items():
            # what starting and ending a thread takes is in no clock of its own; on a busy host
            # the kernel drops some events, which the process lacks too
            check(0.9 * cpu <= threads[name].cpu() <= 1.25 * cpu + 0.005,
                  "CPU time of %s: %r, %r by its clocks" % (name, threads[name].cpu(), cpu))
            if accounted: # by the file system that the file is on
                written = truth["written"][name]
                check_near(threads[name].fields["disk_write_bytes"], written,
                           "bytes written by " + name, absolute=0.1 * written)

    work.go_on() # all of them between two looks
    check_names(work.hear(), "unseen")
    work.go_on() # some are seen
    seen, done = set(), []
    hearing = threading.Thread(target=lambda: done.append(work.hear()))
    hearing.start()
    while hearing.is_alive():
        seen |= set(alive(driver.collect(), work.name))
    hearing.join()
    check(len(seen) > 2, "no short-lived thread was ever seen", seen)
    check_names(done[0], "seen and unseen")
    check_equal(alive(driver.points, work.name), in_task(work.pid), "threads by name")
    work.go_on() # and the process with its threads
    truth = work.hear()
    work.process.wait(20)
    wait_for(lambda: driver.collect()[work.name].fields["num_procs"] == 0, "its end")
    check_names(truth, "at its end")
    driver.end()


ENDING = """
gone = threading.Event()
def life():
    set_name(b"ending")
    gone.wait()
    burn(0.0005)
all = [threading.Thread(target=life, daemon=True) for i in range(400)]
for t in all:
    t.start()
say(ready=True)
wait()
gone.set()
for t in all:
    t.join()
say(ready=True)
wait()
os._exit(0)
"""


SLEEPERS = """
gone = threading.Event()
ended = threading.Event()
def life(event):
    set_name(b"sleeper")
    event.wait()
all = [threading.Thread(target=life, args=(ended if i == 5 else gone,), daemon=True)
       for i in range(20)]
for t in all:
    t.start()
say(ready=True)
for i in range(2):
    wait()
    burn(0.02)
    say(ready=True)
wait()
burn(0.02)
with open("/proc/self/task/%d/comm" % all[3].native_id, "w") as f:
    f.write("renamed")
say(ready=True)
wait()
ended.set()
all[5].join()
burn(0.02)
say(ready=True)
wait()
os._exit(0)
"""


def case_sleepers_of_one_that_runs():
    """They are told of again with it, and what others do to them shows: another name, the end."""
    if not is_root():
        raise Skipped("source bpf needs root")
    work = Workload(SLEEPERS, unique("l"))
    work.hear()
    driver = Driver(*NAMES, "--include", work.name, source="bpf")
    check_equal(alive(driver.points, work.name), in_task(work.pid), "threads at first")
    for what in "that sleep", "that slept", "renamed", "ended":
        work.go_on()
        work.hear()
        for again in range(2):
            check_equal(alive(driver.collect(), work.name), in_task(work.pid),
                        "threads, one " + what)
    work.go_on()
    work.process.wait(20)
    driver.end()


def case_no_room_for_ends():
    """More threads end between two looks than there is room for: what is lost is in no name, and
    they are counted."""
    if not is_root():
        raise Skipped("source bpf needs root")
    work = Workload(ENDING, unique("n"))
    work.hear()
    driver = Driver(*NAMES, "--include", work.name, "--max-processes", "256", source="bpf")
    work.go_on()
    work.hear()

    def is_told():
        points = driver.collect()
        return points.self_point.fields["threads_skipped"] > 0
    time.sleep(0.5) # they are told of a little later
    wait_for(is_told, "some of them are lost")
    points = driver.points
    threads = points.threads[work.name]
    check_equal(alive(points, work.name), in_task(work.pid), "threads by name")
    check(0 < threads["ending"].cpu() < points[work.name].cpu(), "CPU time of those that ended",
          (threads["ending"].cpu(), points[work.name].cpu()))
    lost, cpu = points.self_point.fields["threads_skipped"], threads["ending"].cpu()
    check(lost >= 100, "so many are lost: %d" % lost)
    work.go_on()
    work.process.wait(20)
    wait_for(lambda: driver.collect()[work.name].fields["num_procs"] == 0, "its end")
    check(driver.points.threads[work.name]["ending"].cpu() >= cpu, "it fell")
    driver.end()


MANY = """
names = [%s]
gone = threading.Event()
def life(name):
    set_name(name)
    gone.wait()
all = [threading.Thread(target=life, args=(n,), daemon=True) for n in names]
for t in all:
    t.start()
say(ready=True)
wait()
os._exit(0)
"""


def each_source():
    return ("procfs", "bpf") if is_root() else ("procfs",)


def case_names_are_bounded_and_folded():
    work = Workload(MANY % "b'pool-%d-thread' % i for i in range(200)", unique("m"))
    work.hear()
    for source in each_source():
        flags = (*NAMES, "--include", work.name)
        driver = Driver(*flags, "--max-thread-names", "10", source=source)
        counts = alive(driver.points, work.name)
        check_equal(len(counts), 11, "names, with 10 allowed")
        check_equal(sum(counts.values()), 201, "threads")
        check_equal(counts["other"], 191, "threads that are called other")
        driver.end()
        driver = Driver(*flags, "--fold-thread-names", "true", source=source)
        check_equal(alive(driver.points, work.name),
                    {work.name: 1, "pool-N-thread": 200} if not any(map(str.isdigit, work.name))
                    else {re.sub(r"\d+", "N", work.name): 1, "pool-N-thread": 200}, "folded names")
        driver.end()


CROWD = """
gone = threading.Event()
def life():
    set_name(b"crowd")
    gone.wait()
threading.stack_size(65536)
for i in range(%d):
    threading.Thread(target=life, daemon=True).start()
while True:
    say(ready=True)
    wait()
    burn(0.02)
"""


def case_crowds():
    """More threads than one call of a program has room for (NAMED_MOST), in several processes
    and in one; those that sleep are not told of again."""
    if not is_root():
        raise Skipped("source bpf needs root")
    several = [Workload(CROWD % 900, unique("s%d" % i)) for i in range(5)]
    one = Workload(CROWD % 2500, unique("o"))
    for work in (*several, one):
        work.hear()
    wanted = {w.name: {w.name: 1, "crowd": 2500 if w is one else 900} for w in (*several, one)}
    driver = Driver(*NAMES, "--include", *[n for w in wanted for n in ("--include", w)][1:],
                    source="bpf")
    # asleep; awake, where a survey is possible; all of them, where one gives up
    for awake in (), several, several[1:], (*several, one), ():
        for work in awake:
            work.go_on()
            work.hear()
        points = driver.collect()
        check_equal({w: alive(points, w) for w in wanted}, wanted, "threads by name")
    for name in wanted:
        check_near(sum(t.cpu() for t in points.threads[name].values()), points[name].cpu(),
                   "the sum over the names of " + name, absolute=0.002)
    driver.end()


def case_hostile_names():
    """What a thread may be called: line feeds, quotes, no UTF-8."""
    work = Workload(MANY % r"b'a\nb', b'q\"\\', b'\xff\xfe', b'x=y, z', b'\x1b[31m'", unique("h"))
    work.hear()
    wanted = {work.name: 1, "a?b": 1, 'q"?': 1, "\ufffd\ufffd": 1, "x=y, z": 1, "?[31m": 1}
    for source in each_source():
        driver = Driver(*NAMES, "--include", work.name, source=source)
        check_equal(alive(driver.points, work.name), wanted, "names in line protocol")
        driver.end()
        status, out, err = run([TEXTFILE, *NAMES, "--include", work.name, "--source", source,
                                "--once", "--output", "-"])
        check_equal(status, 0, "status (%s)" % err)
        check_equal({t for n, l in Metrics(out).series if n == "proctally_thread_count"
                     for t in [dict(l)["threadname"]]}, set(wanted), "names in Prometheus' format")


def in_wchan(pid):
    """Where its threads wait."""
    found = collections.Counter()
    for tid in os.listdir("/proc/%d/task" % pid):
        found[read_text("/proc/%d/task/%s/wchan" % (pid, tid))] += 1
    del found["0"]
    return found


def case_wait_channels():
    """Against /proc, and as threads come to wait elsewhere."""
    work = Workload("""
gone, reader = threading.Event(), os.pipe()[0]
for t in [threading.Thread(target=time.sleep, args=(600,), daemon=True) for i in range(3)] + \\
         [threading.Thread(target=os.read, args=(reader, 1), daemon=True) for i in range(2)]:
    t.start()
say(ready=True)
wait()
burn(0.05)
say(ready=True)
time.sleep(600)
""", unique("c"))
    work.hear()
    if not in_wchan(work.pid):
        raise Skipped("this kernel shows no wait channels, or not to us")
    drivers = [Driver(*NAMES, "--include", work.name, source=s) for s in each_source()]
    for step in range(2):
        wait_for(lambda: sum(in_wchan(work.pid).values()) == 6, "all of them wait")
        wanted = in_wchan(work.pid)
        for driver in drivers:
            found = {c: p.fields["num_threads"] for c, p in
                     driver.collect().channels[work.name].items() if p.fields["num_threads"]}
            check_equal(found, wanted, "wait channels")
        if step == 0:
            work.go_on()
            work.hear()
    for driver in drivers: # where nobody waits any more
        gone = set(driver.points.channels[work.name]) - set(wanted)
        check(not gone & set(driver.collect().channels[work.name]), "what is left", gone)
        driver.end()


def case_over_restarts():
    """Each run by cron goes on from the state."""
    work = Workload(WORK, unique("r"))
    before = work.hear()["cpu"]
    for source in each_source():
        state = os.path.join(temp_dir(), "state")
        argv = [TEXTFILE, *NAMES, "--include", work.name, "--source", source, "--state-file",
                state, "--once", "--output", "-"]
        found = []
        for i in range(3):
            status, out, err = run(argv)
            check_equal(status, 0, "status (%s)" % err)
            found.append(Metrics(out))
            if i == 0 and source == "procfs":
                work.go_on()
                after = work.hear()["cpu"]
        check_never_falls(found[0].counters(), found[1].counters(), "over a restart")
        if source == "procfs":
            cpu = found[2].sum("proctally_thread_cpu_seconds_total", threadname="busy-1") - \
                  found[0].sum("proctally_thread_cpu_seconds_total", threadname="busy-1")
            check_near(cpu, after["busy-1"] - before["busy-1"], "CPU time over a restart",
                       absolute=0.03)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
