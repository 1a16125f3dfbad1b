# SPDX-License-Identifier: MIT
"""parts.py BUILD BIN WORK: what each part costs by itself. Called by parts.sh."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time

from contestants import Telegraf, process_exporter

BUILD, BIN, WORK = sys.argv[1:4]
PROCESSES, CONTAINERS = 1000, 50
ROUNDS = 2  # in which each has each place once
OWN = "proctally-bench-%d" % os.getpid()

# (part, options with it, options without it); both beside `--group-by container`
OPT_IN = ("pss", "thread-names", "sockets", "exits", "cgroup")
DEFAULT = ("fds", "io", "threads", "memory-details")
PARTS = [(f"`{part}`", [], ["--collect", "no-" + part]) for part in DEFAULT] + \
        [(f"`{part}`", ["--collect", part], []) for part in OPT_IN] + \
        [("`container-names`", ["--container-names", "true"], []),
         ("`top: 10 by cpu`", ["--top", "10 by cpu"], []),
         ("`metrics: [cpu_*]`", ["--metrics", "cpu_*"], [])]
# The same things of process-exporter, beside "-threads=false -gather-smaps=false".
THEIRS = {"`pss`": "-gather-smaps=true", "`thread-names`": "-threads=true"}


def hierarchies():
    """Where control groups can be made: version 2, and memory of version 1."""
    with open("/proc/mounts") as f:
        for line in f:
            _, place, kind, options, *_ = line.split()
            if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
                yield place


class Containers:
    """Control groups, and what Docker would have written of them."""

    def __init__(self, pids):
        self.made = []
        ids = ["%064x" % (0xabc0000 + i) for i in range(CONTAINERS)]
        for top in hierarchies():
            self.make(f"{top}/{OWN}")
            for i, name in enumerate(ids):
                self.make(f"{top}/{OWN}/docker-{name}.scope")
                for pid in pids[i::CONTAINERS]:
                    with open(f"{self.made[-1]}/cgroup.procs", "w") as f:
                        f.write(str(pid))
        for i, name in enumerate(ids):
            os.makedirs(f"/var/lib/docker/containers/{name}")
            with open(f"/var/lib/docker/containers/{name}/config.v2.json", "w") as f:
                json.dump({"Name": f"/shop-{i}", "Config": {"Image": "shop:1", "Labels": {}}}, f)

    def make(self, path):
        os.mkdir(path)
        self.made.append(path)

    def close(self):
        for path in reversed(self.made):
            for _ in range(100):
                try:
                    os.rmdir(path)
                    break
                except OSError:
                    time.sleep(0.05)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(child) for child in f.read().split()]


def contestants():
    """(who, *options), each once: parts share what they are compared with."""
    ours = [(source, *options) for source in ("procfs", "bpf") for _, on, off in PARTS
            for options in (on, off)]
    theirs = [("process-exporter", *flags) for flags in ((), *([f] for f in THEIRS.values()))]
    return list(dict.fromkeys(ours + theirs))


def start(key):
    who, *options = key
    if who == "process-exporter":
        return process_exporter(WORK, "-threads=false", "-gather-smaps=false", *options)
    return Telegraf(who, f"{BUILD}/plugins/telegraf/proctally-telegraf", "--source", who,
                    "--group-by", "container", *options)


def measure(load, running):
    """{key: {"awake": [ns], "asleep": [ns]}}: each in turn, who was first in one round is last in
    the next; after all processes have run, then while they sleep."""
    costs = {key: {"awake": [], "asleep": []} for key in running}
    order = list(running)
    for mode in "awake", "asleep":
        for turn in range(-2, ROUNDS * len(order)):
            if mode == "awake":
                load.stdin.write(b"\n")
                load.stdin.flush()
                load.stdout.readline()
            for key in order:
                cost = running[key].collect()
                if turn >= 0:  # it has settled
                    costs[key][mode].append(cost)
            order = order[1:] + order[:1]
    return costs


def main():
    load = subprocess.Popen([f"{BIN}/load", str(PROCESSES), "0"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    containers, running = None, {}
    try:
        if load.stdout.readline() != b"ready\n":
            raise SystemExit("the processes to be measured could not be started")
        containers = Containers(children_of(load.pid))
        for key in contestants():
            one = start(key)
            if one:
                running[key] = one
        costs = measure(load, running)
    finally:
        for one in running.values():
            one.close()
        load.stdin.close()
        load.wait()
        if containers:
            containers.close()

    def us(key, mode):
        """Of CPU for each of the processes."""
        return statistics.median(costs[key][mode]) / 1000 / PROCESSES if key in costs else 0

    def cell(with_it, without, mode):
        """The median of what it is more in each round."""
        if with_it not in costs:
            return ""
        more = [a - b for a, b in zip(costs[with_it][mode], costs[without][mode])]
        return f"{statistics.median(more) / 1000 / PROCESSES:.1f}"

    print("| | procfs, awake | asleep | bpf, awake | asleep | process-exporter, awake |")
    print("|---|---|---|---|---|---|")
    print("| default |", " | ".join(f"{us((source,), mode):.1f}" for source in ("procfs", "bpf")
                                   for mode in ("awake", "asleep")),
          f"| {us(('process-exporter',), 'awake'):.1f} |")
    for part, on, off in PARTS:
        row = [cell((source, *on), (source, *off), mode) for source in ("procfs", "bpf")
               for mode in ("awake", "asleep")]
        theirs = THEIRS.get(part)
        row.append(cell(("process-exporter", theirs), ("process-exporter",), "awake")
                   if theirs else "")
        print(f"| {part} |", " | ".join(row), "|")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is ended
main()
