#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""Workloads whose use is known from getrusage(2) and wait4(2), and what the
groups' counters say about them afterwards. PROCESSES in the environment: how many
are short-lived in the case of that name, 1000 if not given; in others a part of it."""
import os
import shutil
import subprocess
import sys
import time

from common import *

PROCESSES = int(os.environ.get("PROCESSES") or 1000)
FEWER = PROCESSES * 3 // 10 # of those that take longer

# This process is the reaper of the workloads: a name of its own keeps what the
# kernel folds into it apart from everything else on the machine.
ME = unique("me")
set_name(ME)
LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

BURNER = """
say(cpu=cpu())
while wait():
    burn(float(sys.argv[1]))
    say(cpu=cpu())
"""


def check_cpu(found, wanted, live, what):
    """2 %, or 2 ticks per live process."""
    check_near(found, wanted, what, relative=2 * CPU_ROOM,
               absolute=2 * TICK * live + 2 * TICK)


def case_burner():
    """CPU of a living process, over several collections."""
    d = Driver()
    w = Workload(BURNER, args=["0.4"])
    w.hear()
    for _ in range(4):
        w.go_on()
        used = w.hear()["cpu"]
        points = d.collect()
        check_cpu(points.cpu(w.name), used, 1, "CPU seconds of the living burner")
    check_near(points[w.name].fields["starts"], 1, "starts")
    check_near(points[w.name].fields["num_procs"], 1, "processes")
    w.end()
    points = d.collect()
    check_cpu(points.cpu(w.name), used, 1, "CPU seconds of the burner that ended")
    check_near(points[w.name].fields["exits"], 1, "exits")
    check_near(points[w.name].fields["num_procs"], 0, "processes")


def case_running_before():
    """What was used before the first collection is history, and not counted."""
    w = Workload(BURNER, args=["0.7"])
    w.hear()
    w.go_on()
    before = w.hear()["cpu"]
    d = Driver()
    check_near(d.points.cpu(w.name), 0, "CPU seconds at first sight", absolute=2 * TICK)
    w.go_on()
    after = w.hear()["cpu"]
    check_cpu(d.collect().cpu(w.name), after - before, 1, "CPU seconds since the first collection")
    w.end()


def case_ended_between():
    """The end of a process that is seen for the last time long before it ends."""
    d = Driver()
    w = Workload(BURNER, args=["1"])
    w.hear()
    w.go_on()
    w.hear()
    d.collect()
    w.go_on()
    used = w.hear()["cpu"]
    w.end()
    check_cpu(d.collect().cpu(w.name), used, 1, "CPU seconds of the ended process's group")
    check_cpu(d.collect().cpu(w.name), used, 1, "CPU seconds one collection later")


CHILDREN = """
import subprocess
say(ready=True)
wait()
total = 0.0
for i in range(int(sys.argv[2])):
    pid = os.posix_spawn(sys.argv[1], [sys.argv[1], "-c", sys.argv[3]], {})
    _, status, used = os.wait4(pid, 0)
    assert status == 0
    total += used.ru_utime + used.ru_stime
say(children=total, own=cpu())
wait()
"""
SHORT = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); done"


def children_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(word) for word in f.read().split()]


def collect_until(d, w, seconds=1.0):
    """Collects again and again until the workload says something."""
    while not w.ready(seconds):
        d.collect()
    return w.hear()


def case_short_lived():
    """Many children of some milliseconds, collected once a second: nothing of
    their time is lost, and none of it is counted twice."""
    directory = temp_dir()
    child = linked(directory, unique("c"), "/bin/sh")
    d = Driver()
    w = Workload(CHILDREN, args=[child, str(PROCESSES), SHORT])
    w.hear()
    d.collect()
    w.go_on()
    truth = collect_until(d, w)
    points = d.collect()
    names = (w.name, os.path.basename(child))
    check(truth["children"] > 0.0005 * PROCESSES, "the children are too short: %r" % truth)
    check_cpu(points.cpu(*names), truth["children"] + truth["own"], 1,
              "CPU seconds of the parent and its children")
    w.end()
    check_cpu(d.collect().cpu(*names), truth["children"] + truth["own"], 1,
              "CPU seconds after the parent has ended")


def case_short_lived_shell():
    """The same under a shell; the shell ends together with its last child."""
    directory = temp_dir()
    child = linked(directory, unique("c"), "/bin/sh")
    parent = linked(directory, unique("s"), "/bin/sh")
    d = Driver()
    script = "read x; i=0; while [ $i -lt %d ]; do i=$((i+1)); %s -c '%s'; done" % (
        FEWER, child, SHORT.replace("4000", "20000"))
    process = start([parent, "-c", script], stdin=subprocess.PIPE)
    d.collect()
    process.stdin.write(b"\n")
    process.stdin.flush()
    names = (os.path.basename(parent), os.path.basename(child))
    while True:
        # the truth comes with the process's end, so it is not reaped before
        # WNOWAIT has said that it ended
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended:
            break
        d.collect()
        time.sleep(0.5)
    d.collect()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    check_equal(status, 0, "status of the shell")
    points = d.collect()
    check_cpu(points.cpu(*names), used.ru_utime + used.ru_stime, 2,
              "CPU seconds of a shell and its children")


def case_service_short_lived():
    """The same with the textfile service, which collects by itself."""
    directory = temp_dir()
    child = linked(directory, unique("c"), "/bin/sh")
    prom = os.path.join(directory, "out.prom")
    start([TEXTFILE, "--interval", "1s", "--source", "procfs", "--output", prom])
    wait_for(lambda: os.path.exists(prom), "the first file")
    w = Workload(CHILDREN, args=[child, str(FEWER), SHORT.replace("4000", "20000")])
    w.hear()
    w.go_on()
    truth = w.hear()
    names = (w.name, os.path.basename(child))
    wanted = truth["children"] + truth["own"]

    def total():
        m = Metrics(read_text(prom))
        return sum(m.sum("proctally_cpu_seconds_total", groupname=n) for n in names)
    begun = os.stat(prom).st_mtime
    wait_for(lambda: os.stat(prom).st_mtime > begun + 1.5, "two more collections")
    check_cpu(total(), wanted, 1, "CPU seconds of the parent and its children")
    w.end()


ZOMBIE = """
import subprocess
child = subprocess.Popen([sys.argv[1], "-c", sys.argv[2]])
say(pid=child.pid)
wait()
child.wait()
say(children=cpu(resource.RUSAGE_CHILDREN))
wait()
"""


def case_zombie():
    """A child that is not waited for keeps its group, and takes its exit there."""
    directory = temp_dir()
    child = os.path.join(directory, unique("c"))
    shutil.copy("/bin/sh", child)
    d = Driver("--group-by", "exe")
    w = Workload(ZOMBIE, args=[child, SHORT.replace("4000", "1500000")])
    pid = w.hear()["pid"]
    while read_text("/proc/%d/stat" % pid).rpartition(")")[2].split()[0] != "Z":
        d.collect()
        time.sleep(0.3)
    points = d.collect()
    check_near(points[child].fields["num_procs"], 1, "processes while it is a zombie")
    check_near(points[child].fields["zombie"], 1, "zombies")
    w.go_on()
    truth = w.hear()
    points = d.collect()
    check_cpu(points.cpu(child), truth["children"], 1, "CPU seconds of the zombie")
    check_near(points[child].fields["starts"], 1, "starts")
    check_near(points[child].fields["exits"], 1, "exits")
    check("[%s]" % os.path.basename(child) not in points, "a group of those without a program")
    w.end()


EXECUTIONS = """
load = bytearray(150 << 20)
for i in range(0, len(load), 4096):
    load[i] = 1
say()
wait()
for i in range(40):
    pid = os.fork()
    if pid == 0:
        os.execv(sys.argv[1], [sys.argv[1], "2"])
    time.sleep(0.03)
for i in range(40):
    os.wait()
say()
wait()
"""


def case_executions():
    """Processes that are seen in the middle of execve(2): each has the group of what it was
    or of what it became, and no other group appears."""
    directory = temp_dir()
    child = os.path.join(directory, unique("c"))
    shutil.copy("/bin/sleep", child)
    d = Driver("--group-by", "exe")
    w = Workload(EXECUTIONS, args=[child])
    parent = os.readlink("/proc/%d/exe" % w.pid)
    w.hear()
    before = d.collect()
    w.go_on()
    while not w.ready(0.05):
        d.collect()
    w.hear()
    points = d.collect()
    check_near(points[child].fields["exits"], 40, "exits")
    for name in (os.path.basename(child), w.name):
        check("[%s]" % name not in points, "a group of those without a program: %s" % name)
    forked = points[parent].fields["starts"] - before[parent].fields["starts"]
    starts = points[child].fields["starts"]
    check(starts <= 40 and starts + forked >= 40, "starts", "%d here, %d as the parent's copy" % (
        starts, forked))
    w.end()


THREADS = """
def work():
    for i in range(int(sys.argv[1])):
        time.sleep(0.0005)
def truth():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return dict(voluntary=u.ru_nvcsw, involuntary=u.ru_nivcsw, cpu=u.ru_utime + u.ru_stime)
say(**truth())
while wait():
    for i in range(5):
        threads = [threading.Thread(target=work) for j in range(6)]
        for t in threads: t.start()
        for t in threads: t.join()
    stay = [threading.Thread(target=time.sleep, args=(600,), daemon=True) for j in range(3)]
    for t in stay: t.start()
    time.sleep(0.05)
    say(**truth())
os._exit(0)
"""


def threads_case(*prefix):
    binary = TELEGRAF
    if prefix:
        directory = temp_dir()
        binary = shutil.copy(TELEGRAF, directory)
    d = Driver(prefix=prefix, binary=binary)
    w = Workload(THREADS, args=["40"])
    before = w.hear()
    for i in range(1, 4):
        w.go_on()
        truth = collect_until(d, w, 0.15)
        points = d.collect()
        fields = points[w.name].fields
        check_equal(fields["num_threads"], 1 + 3 * i, "threads")
        check("voluntary_context_switches" in fields, "no context switches", fields)
        check(fields["voluntary_context_switches"] <= truth["voluntary"] + 5,
              "more voluntary context switches than there were", fields, truth)
        check_cpu(points.cpu(w.name), truth["cpu"], 1, "CPU seconds of the threads")
        yield fields, truth
    w.end()
    d.collect()
    d.end()


def case_threads():
    """Threads come and go: their context switches stay counted."""
    if not is_root():
        raise Skipped("not root: ended threads can't be counted in full")
    for fields, truth in threads_case():
        # what ended threads did since the last look is lost there, unless the fix was added
        # to that kernel
        if KERNEL < TASKSTATS_IS_WHOLE and \
                fields["voluntary_context_switches"] < 0.98 * truth["voluntary"] - 10:
            check(fields["voluntary_context_switches"] > 0, "no context switch was seen", fields)
            continue
        check_near(fields["voluntary_context_switches"], truth["voluntary"],
                   "voluntary context switches", relative=0.02, absolute=10)
        check_near(fields["involuntary_context_switches"], truth["involuntary"],
                   "involuntary context switches", relative=0.02, absolute=10)


def case_threads_without_rights():
    """The same read thread by thread: some are missed, but the sum never falls."""
    for fields, truth in threads_case(*as_nobody()):
        check(fields["voluntary_context_switches"] > 0, "no context switch was seen", fields)


MIB = 1 << 20
IO_ROOM = 0.02 * 50 * MIB


def head_of(directory):
    head = shutil.which("head")
    if os.path.basename(os.path.realpath(head)) != "head":
        raise Skipped("head is part of a program with many names here")
    return linked(directory, unique("h"), head)


class Shell:
    """sh that runs a command when told to, and then waits."""

    def __init__(self, directory, command, stay=True):
        self.name = unique("s")
        shell = linked(directory, self.name, "/bin/sh")
        self.process = start([shell, "-c", "read x; %s; echo done; %s" % (
            command, "read x" if stay else ":")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def done(self):
        check_equal(self.process.stdout.readline(), b"done\n", "what the shell says")


def io_case(stay, seen):
    directory = temp_dir()
    head = head_of(directory)
    fifo = os.path.join(directory, "fifo")
    os.mkfifo(fifo)
    d = Driver()
    s = Shell(directory, "%s -c 50M <%s >/dev/null" % (head, fifo), stay)
    names = (ME, s.name, os.path.basename(head))
    before = d.collect()
    s.go_on()
    # a writer of another name, so that what it does is not in the sum
    writer = Workload("""
f = open(sys.argv[1], "wb", buffering=0)
for i in range(2):
    wait()
    for j in range(25):
        n = 0
        while n < 1 << 20:
            n += f.write(bytes((1 << 20) - n))
    say(half=i)
""", args=[fifo])
    writer.go_on()
    writer.hear()
    if seen:
        time.sleep(0.2)
        d.collect()
        time.sleep(0.1)
        d.collect()
    writer.go_on()
    writer.hear()
    s.done()
    if stay:
        points = d.collect()
    else:
        check_equal(s.process.wait(30), 0, "status of the shell")
        points = d.collect()

    def read(points):
        return points.total(names, "read_bytes") - before.total(names, "read_bytes")
    room = IO_ROOM + 200000
    check_near(read(points), 50 * MIB, "bytes read", absolute=room)
    check_near(points.total(names, "write_bytes") - before.total(names, "write_bytes"), 50 * MIB,
               "bytes written", absolute=room)
    d.collect()
    if stay:
        s.go_on()
        check_equal(s.process.wait(30), 0, "status of the shell")
    d.collect()
    points = d.collect()
    check_near(read(points), 50 * MIB, "bytes read, after all have ended", absolute=room)


def case_io_unseen():
    """head -c 50M under a shell, between two collections."""
    io_case(stay=True, seen=False)


def case_io_seen():
    """head -c 50M under a shell, collected while it runs."""
    io_case(stay=True, seen=True)


def case_io_all_gone():
    """The same, and the shell has ended too before the next collection."""
    io_case(stay=False, seen=False)


def case_io_seen_all_gone():
    io_case(stay=False, seen=True)


DOUBLE_FORK = """
say(ready=True)
wait()
if os.fork() == 0:
    if os.fork() == 0:
        set_name(sys.argv[1].encode())
        burn(0.5)
        say(half=True)
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.01)
        burn(0.5)
        say(cpu=cpu(), pid=os.getpid())
        os._exit(0)
    os._exit(0)
os.wait()
wait()
"""


def case_double_fork():
    """A daemon: its parent has ended, and another one reaps it."""
    d = Driver()
    name = unique("daemon")
    go_on = os.path.join(temp_dir(), "go-on")
    w = Workload(DOUBLE_FORK, args=[name, go_on])
    w.hear()
    d.collect()
    w.go_on()
    w.hear()
    points = d.collect()
    check(name in points, "no group of the daemon")
    write_text(go_on, "")
    truth = w.hear()
    # it is our child now
    wait_for(lambda: os.waitpid(truth["pid"], os.WNOHANG)[0], "the daemon's end", 20)
    points = d.collect()
    check_cpu(points.cpu(name), truth["cpu"], 1, "CPU seconds of the daemon")
    d.collect()
    check_cpu(d.collect().cpu(name), truth["cpu"], 1, "CPU seconds of the daemon, later")
    w.end()


NANNY = """
wait()
pid = os.fork()
if pid == 0:
    set_name(sys.argv[1].encode())
    burn(0.5)
    say(half=True)
    wait()
    burn(0.5)
    os._exit(0)
_, status, used = os.wait4(pid, 0)
say(cpu=used.ru_utime + used.ru_stime)
wait()
"""


def case_restart():
    """The collector is not there for a while; with its state nothing is lost."""
    directory = temp_dir()
    state = os.path.join(directory, "state")
    child = linked(directory, unique("c"), "/bin/sh")
    d = Driver("--state-file", state)
    burner = Workload(BURNER, args=["0.5"])
    parent = Workload(CHILDREN, args=[child, str(FEWER // 3), SHORT.replace("4000", "20000")])
    name = unique("ends")
    ends = Workload(NANNY, args=[name])
    for w in (burner, parent):
        w.hear()
    for w in (burner, ends):
        w.go_on()
        w.hear()
    first = d.collect()
    d.end()
    check(os.stat(state).st_size > 0, "there is no state")

    # while nobody looks
    burner.go_on()
    parent.go_on()
    ends.go_on()
    used, truth, ended = burner.hear()["cpu"], parent.hear(), ends.hear()["cpu"]

    d = Driver("--state-file", state, first=False)
    points = d.collect()
    check_never_falls(first.counters(), points.counters(), "restarting")
    check_cpu(points.cpu(burner.name), used, 1, "CPU seconds of the burner")
    check_cpu(points.cpu(parent.name, os.path.basename(child)), truth["own"] + truth["children"],
              1, "CPU seconds of the parent and its children")
    check_cpu(points.cpu(name), ended, 1, "CPU seconds of the process that ended")
    check_equal(points[name].fields["exits"], 1, "exits")
    check_equal(points[burner.name].fields["starts"], 1, "starts, seen once only")
    burner.go_on()
    used = burner.hear()["cpu"]
    # killed, not ended: what was published is not forgotten
    d.process.kill()
    d.process.wait()
    d = Driver("--state-file", state)
    check_cpu(d.points.cpu(burner.name), used, 1, "CPU seconds after a crash")
    check_never_falls(points.counters(), d.points.counters(), "after a crash")
    for w in (burner, parent, ends):
        w.end()
    d.end()


NOISE = """
import random, select
random.seed(int(sys.argv[2]))
names = [("%s%d" % (sys.argv[1], i))[:15].encode() for i in range(4)]
def child():
    set_name(random.choice(names))
    kind = random.randrange(6)
    if kind == 0: burn(random.random() * 0.05)
    elif kind == 1: os.execv("/bin/sh", ["sh", "-c", "cat /proc/self/maps >/dev/null; :"])
    elif kind == 2:
        t = [threading.Thread(target=time.sleep, args=(random.random() * 0.2,)) for i in range(4)]
        for x in t: x.start()
        for x in t: x.join()
    elif kind == 3:
        if os.fork() == 0:
            open("/proc/self/smaps").read()
            time.sleep(random.random() * 0.3)
            os._exit(0)
    elif kind == 4:
        time.sleep(random.random() * 0.5)
        set_name(random.choice(names))
        burn(0.01)
    else:
        open("/dev/zero", "rb").read(1 << 20)
    os._exit(0)
say(ready=True)
alive = 0
while not select.select([0], [], [], 0)[0]:
    if alive < 12:
        if os.fork() == 0: child()
        alive += 1
    while alive:
        pid, status = os.waitpid(-1, os.WNOHANG if alive < 12 else 0)
        if not pid: break
        alive -= 1
    time.sleep(random.random() * 0.01)
wait()
while alive:
    os.wait(); alive -= 1
say(cpu=cpu() + cpu(resource.RUSAGE_CHILDREN))
wait()
"""


def case_never_falls():
    """Dozens of collections over processes that fork, exec, change their names,
    start threads and end: no counter of any group ever falls, and the sum of
    all is what the workload used."""
    others = children_of(os.getpid())
    d = Driver()
    word = unique("n")[:-1] + "z"
    w = Workload(NOISE, name=word, args=[word[:13], "7"])
    w.hear()
    for _ in range(50):
        check(not w.ready(0.15), "the workload has ended")
        d.collect()  # compares
    w.go_on()
    used = collect_until(d, w, 0.15)["cpu"]
    # orphans that came to us end by themselves, and wait for us to look at them
    for pid in children_of(os.getpid()):
        if pid not in (w.pid, d.process.pid, *others):
            orphan = os.wait4(pid, 0)[2]
            used += orphan.ru_utime + orphan.ru_stime
    points = d.collect()
    names = [g for g in points if g.startswith(word[:13])] + [word]
    # those that were orphaned ended up here, and "sh" has a group of its own
    check(points.cpu(*set(names)) <= used * 1.05 + 0.5, "more CPU time than there was",
          "%s of %s" % (points.cpu(*set(names)), used))
    check(points.cpu(*set(names)) >= used * 0.5, "less than half of the CPU time",
          "%s of %s" % (points.cpu(*set(names)), used))
    w.end()
    for _ in range(3):
        d.collect()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
