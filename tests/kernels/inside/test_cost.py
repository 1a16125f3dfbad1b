#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a collection of 2,000 sleeping processes takes, in instructions: in a machine whose
clock goes on by a nanosecond for each."""
from machine import *

PROCESSES = 2000

SLEEPERS = """
import signal
for i in range(%d):
    if os.fork() == 0:
        signal.pause()
say(ready=True)
wait()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.killpg(0, signal.SIGTERM)
""" % PROCESSES


def case_cost():
    w = Workload(SLEEPERS)
    w.hear(600)
    for source in "bpf", "procfs":
        d = Driver(source=source)
        cpu = []
        for _ in range(10):
            time.sleep(1)
            fields = d.collect().self_point.fields
            check(fields["processes_seen"] > PROCESSES, "processes", fields)
            cpu.append(fields["collection_cpu_seconds"])
        d.end()
        # the first ones look at each process
        print("## says %s: %d instructions a collection, %d at least, of %d processes" % (
            source, sorted(cpu)[len(cpu) // 2] * 1e9, min(cpu) * 1e9, fields["processes_seen"]))
    w.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
