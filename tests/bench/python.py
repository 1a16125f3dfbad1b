# SPDX-License-Identifier: MIT
"""python.py LOAD PROCESSES: CPU of one sample and of one snapshot. Called by python.sh."""

import os
import resource
import statistics
import subprocess
import sys
import time

import proctally

try:
    import denet
except ImportError:
    denet = None
try:
    import psutil
except ImportError:
    psutil = None

LOAD, PROCESSES = sys.argv[1], int(sys.argv[2])
CHILDREN, SAMPLES, ROUNDS = 50, 100, 5
KEYS = ("cpu_user", "cpu_system", "memory_rss", "memory_vms", "threads", "nice")
ATTRIBUTES = ("pid", "ppid", "name", "username", "status", "create_time", "cpu_times",
              "memory_info", "num_threads", "nice")


def own_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_of(pid):
    with open("/proc/%d/schedstat" % pid) as file:
        return int(file.read().split()[0]) / 1e9


def helpers():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as file:
                if file.read() == "proctally\n":
                    yield int(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass


class Proctally:
    name = "proctally"

    def __init__(self, pid):
        before = set(helpers())
        self.monitor = proctally.ProcessMonitor.from_pid(pid, 100, 1000)
        [self.helper] = set(helpers()) - before

    def cpu_s(self):
        return own_cpu_s() + cpu_of(self.helper)


class Denet:
    name = "denet"

    def __init__(self, pid):
        self.monitor = denet.ProcessMonitor.from_pid(pid, 100, 1000)

    def cpu_s(self):
        return own_cpu_s()


def table(title, found):
    print(title)
    first = statistics.median(found[next(iter(found))])
    for name, values in found.items():
        median = statistics.median(values)
        print("  %-28s %10.3f ms  %6.1f" % (name, median * 1000, median / first))


def samples():
    command = "for i in $(seq %d); do sleep 600 & done; echo; wait" % CHILDREN
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE,
                          start_new_session=True) as shell:
        shell.stdout.readline()
        time.sleep(0.5)
        contestants = [kind(shell.pid) for kind in (Proctally, denet and Denet) if kind]
        found = {one.name: [] for one in contestants}
        for _ in range(ROUNDS):
            for one in contestants:
                before = one.cpu_s()
                for _ in range(SAMPLES):
                    assert one.monitor.sample_once()
                found[one.name].append((one.cpu_s() - before) / SAMPLES)
        os.killpg(shell.pid, 9)
    table("one sample_once() of a process with %d children, CPU, and by that of proctally"
          % CHILDREN, found)


def by_proctally(collector):
    return collector.collect().columns("pid", "ppid", "name", "user", "state", "start_time", *KEYS)


def by_psutil():
    return [p.info for p in psutil.process_iter(ATTRIBUTES)]


def snapshots():
    load = subprocess.Popen([LOAD, str(PROCESSES), "0"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    try:
        if load.stdout.readline() != b"ready\n":
            sys.exit("python.py: load did not start")
        procfs = proctally.Collector(source="procfs", host=False)
        contestants = {"proctally": lambda: by_proctally(procfs)}
        if os.geteuid() == 0:
            bpf = proctally.Collector(host=False)
            contestants["proctally, as root (bpf)"] = lambda: by_proctally(bpf)
        contestants["proctally, dicts of all"] = lambda: procfs.collect().to_dict()
        if psutil:
            contestants["psutil"] = by_psutil
        found = {name: [] for name in contestants}
        for one in contestants.values():
            one()
        for _ in range(ROUNDS):
            for name, one in contestants.items():
                before = own_cpu_s()
                one()
                found[name].append(own_cpu_s() - before)
        count = len(by_proctally(procfs)["pid"])
    finally:
        load.stdin.close()
        load.wait()
    table("one snapshot of %d processes, CPU, and by that of proctally" % count, found)


samples()
snapshots()
