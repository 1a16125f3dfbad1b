# SPDX-License-Identifier: MIT
"""overhead.py BUILD STEPS DIRECTORY PROCESSES ROUNDS: called by overhead.sh."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time

BUILD, STEPS, DIRECTORY = sys.argv[1:4]
PROCESSES, ROUNDS = map(int, sys.argv[4:6])
RULES = os.path.join(DIRECTORY, "rules.yaml")
with open(RULES, "w") as f:
    f.write("children: true\ngroup-by: [user, unit]\n"
            "process_names: [{name: rare, cmdline: ['as:[a-z]+-rare$']}]\n")

WATCHERS = {
    "nobody": None,
    "procfs": ["--source", "procfs"],
    "bpf, by name": ["--source", "bpf"],
    "bpf, by user and unit, rules on command lines": ["--source", "bpf", "--config", RULES],
}


def watch(options):
    """Starts a watcher; when it has collected for the first time."""
    output = os.path.join(DIRECTORY, "out.prom")
    watcher = subprocess.Popen([f"{BUILD}/plugins/textfile/proctally-textfile", "--interval", "1s",
                                "--output", output, *options])
    while not os.path.exists(output):
        if watcher.poll() is not None:
            sys.exit(f"overhead: status {watcher.returncode} of {watcher.args}")
        time.sleep(0.01)
    os.unlink(output)
    return watcher


def work(argv):
    """Seconds per process, of this CPU's time and by the clock."""
    begun = time.monotonic()
    out = subprocess.run([STEPS, f"spawn:{PROCESSES}:{os.cpu_count()}", *argv], check=True,
                         stdout=subprocess.PIPE).stdout
    return (time.monotonic() - begun) / PROCESSES, json.loads(out)["cpu"] / PROCESSES


def main():
    works = {"start, do nothing, end": [STEPS],
             "the same, a new command line each": [STEPS, "as:%d"],
             "4 threads each": [STEPS, "threads:4:0"]}
    samples = {(w, n): [] for w in works for n in WATCHERS}
    for _ in range(ROUNDS):
        for name, options in WATCHERS.items():
            watcher = watch(options) if options else None
            for what, argv in works.items():
                samples[what, name].append(work(argv))
            if watcher:
                watcher.send_signal(signal.SIGTERM)
                watcher.wait()
    print(f"{PROCESSES} processes, medians of {ROUNDS} rounds; µs per process")
    print(f"{'':34} {'watched by':46} {'CPU':>7} {'ratio':>6} {'clock':>7} {'ratio':>6}")
    for what in works:
        alone = [statistics.median(s[i] for s in samples[what, "nobody"]) for i in (0, 1)]
        for name in WATCHERS:
            clock, cpu = (statistics.median(s[i] for s in samples[what, name]) for i in (0, 1))
            print(f"{what:34} {name:46} {cpu * 1e6:7.0f} {cpu / alone[1]:6.3f} "
                  f"{clock * 1e6:7.0f} {clock / alone[0]:6.3f}")


main()
