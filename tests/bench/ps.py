# SPDX-License-Identifier: MIT
"""ps.py PROCTALLY LOAD PROCESSES ROUNDS: CPU of one look. Called by ps.sh."""

import os
import statistics
import subprocess
import sys

PROCTALLY, LOAD, PROCESSES, ROUNDS = sys.argv[1:3] + [int(n) for n in sys.argv[3:5]]
CONTESTANTS = {
    "ps aux": ["ps", "aux"],
    "proctally ps": [PROCTALLY, "ps"],
    "proctally ps -o +group,unit": [PROCTALLY, "ps", "-o", "+group,unit"],
    "proctally ps --json": [PROCTALLY, "ps", "--json"],
    "proctally ports": [PROCTALLY, "ports"],
}


def cpu_ms(argv):
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"ps.py: {' '.join(argv)}: status {child.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000


load = subprocess.Popen([LOAD, str(PROCESSES), "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
try:
    if load.stdout.readline() != b"ready\n":
        sys.exit("ps.py: load did not start")
    samples = {name: [] for name in CONTESTANTS}
    for _ in range(ROUNDS):
        for name, argv in CONTESTANTS.items():
            samples[name].append(cpu_ms(argv))
    count = sum(name.isdigit() for name in os.listdir("/proc"))
finally:
    load.stdin.close()
    load.wait()

print(f"{count} processes, {ROUNDS} rounds; CPU in ms: median, least, by that of ps aux")
theirs = statistics.median(samples["ps aux"])
for name, values in samples.items():
    median = statistics.median(values)
    print(f"{name:30} {median:8.1f} {min(values):8.1f} {median / theirs:6.2f}")
