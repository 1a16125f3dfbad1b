# SPDX-License-Identifier: MIT
"""threads.py BUILD BIN DIRECTORY: what processes with many threads cost. Called by threads.sh."""

import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

from contestants import Telegraf, process_exporter

BUILD, BIN, DIRECTORY = sys.argv[1:4]
ROUNDS = 7


def number_in(path):
    with open(path) as f:
        return int(f.read())


def threads_here():
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                total += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                pass
    return total


def room():
    """Threads that may be started without coming near a limit."""
    limits = [number_in("/proc/sys/kernel/pid_max"), number_in("/proc/sys/kernel/threads-max")]
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    for place in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
        try:
            limits.append(number_in(place))
        except (OSError, ValueError):
            pass
    return int(max(0, min(limits) - threads_here()) * 0.8)


def report(what, source, wake):
    telegraf = Telegraf("telegraf", f"{BUILD}/plugins/telegraf/proctally-telegraf", "--source",
                        "procfs", *source)
    try:
        first = telegraf.collect()
        samples, skipped = [], []
        for _ in range(ROUNDS):
            wake()
            before = telegraf.own("threads_skipped") or 0
            samples.append(telegraf.collect())
            skipped.append((telegraf.own("threads_skipped") or 0) - before)
        print(f"{what:52} {first / 1e6:9.1f} {statistics.median(samples) / 1e6:9.1f} "
              f"{max(samples) / 1e6:9.1f} {statistics.median(skipped):9.0f}", flush=True)
    finally:
        telegraf.close()


def made_up(processes, threads):
    root = f"{DIRECTORY}/tree"
    os.mkdir(root)
    run = 0

    def wake():
        """All of them have run; their CPU time has grown by a tick too."""
        nonlocal run
        run += 1
        with open(f"{root}/.shared/schedstat", "r+") as f:
            f.write(f"{1873645362 + run * 50000:012} {18374645 + run * 1000:012} 15510\n")
        for pid in range(1000, 1000 + processes):
            with open(f"{root}/{pid}/stat", "r+") as f:
                words = f.read().split()
                words[13] = str(int(words[13]) + 1)
                f.seek(0)
                f.write(" ".join(words) + "\n")

    try:
        subprocess.run([f"{BIN}/synthetic", root, str(processes), str(threads)], check=True)
        report(f"made up, no taskstats: {processes} with {threads} threads",
               ("--procfs", root), wake)
    except subprocess.CalledProcessError:
        print(f"left out: {processes} made-up processes with {threads} threads")
    finally:
        shutil.rmtree(root)


def real(processes, threads):
    load = subprocess.Popen([f"{BIN}/load", str(processes), "0", str(threads)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def wake():
        load.stdin.write(b"\n")
        load.stdin.flush()
        load.stdout.readline()

    try:
        if load.stdout.readline() != b"ready\n":
            print(f"left out: {processes} real processes with {threads} threads")
            return
        report(f"real, all of /proc: {processes} with {threads} threads", (), wake)
    finally:
        load.stdin.close()
        load.wait()


def by_name(processes, threads):
    """Threads by name, beside process-exporter: each collects in turn, after all processes have
    run and while they sleep."""
    load = subprocess.Popen([f"{BIN}/load", str(processes), "0", str(threads)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found = []
    try:
        if load.stdout.readline() != b"ready\n":
            print(f"left out: {processes} processes with {threads} threads by name")
            return
        for source in "procfs", "bpf":
            for word in "no-thread-names", "thread-names":
                found.append(Telegraf(f"source {source}, {word}",
                                      f"{BUILD}/plugins/telegraf/proctally-telegraf",
                                      "--source", source, "--collect", word))
        theirs = process_exporter(DIRECTORY, "-gather-smaps=false")
        if theirs:
            found.append(theirs)
        for contestant in found:
            # ours read where each thread waits once, of 1,000 in a collection
            for _ in range(0 if contestant.name == "process-exporter"
                           else processes * threads // 1000 + 4):
                contestant.collect()
        for mode in None, "awake", "awake", "awake", "awake", "awake":
            load.stdin.write(b"\n")
            load.stdin.flush()
            load.stdout.readline()
            for contestant in found:
                contestant.measure(mode)
        for mode in None, "asleep", "asleep", "asleep", "asleep", "asleep":
            for contestant in found:
                contestant.measure(mode)
        print(f"\n{f'by name: {processes} with {threads} threads':52} {'awake':>9} {'asleep':>9}")
        for contestant in found:
            costs = [statistics.median(contestant.samples[mode]) for mode in ("awake", "asleep")]
            print(f"{contestant.name:52} {costs[0] / 1e6:9.1f} {costs[1] / 1e6:9.1f}", flush=True)
    except RuntimeError as e:
        print(f"left out: {e}")
    finally:
        for contestant in found:
            contestant.close()
        load.stdin.close()
        load.wait()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is ended
print(f"{'CPU per collection, ms; threads skipped':52} {'first':>9} {'median':>9} {'most':>9} "
      f"{'skipped':>9}")
made_up(1, 50000)
made_up(2000, 50)
real(1, min(50000, room()))
real(min(2000, room() // 50), 50)
by_name(min(200, room() // 50), 50)
