#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A run of a command: recorded, summed up, drawn.

Cell by cell in an editor that knows # %%, or as a whole: python3 python_analysis.py. It needs
pip install 'proctally[plot]', and writes to the folder proctally-analysis."""

import json
import pathlib

import proctally

folder = pathlib.Path("proctally-analysis")
folder.mkdir(exist_ok=True)

# %% Run a command, with all that it starts. It could be yours.

command = """
    head -c 20000000 /dev/urandom >data
    gzip -1 -c data >data.gz &
    sort data >sorted 2>&1
    wait
    for i in $(seq 30); do cksum data.gz >sum.$i; done
    rm data data.gz sorted sum.*
"""
code, monitor = proctally.execute_with_monitoring(
    ["sh", "-c", f"cd {folder}; {command}"], base_interval_ms=50
)
summary = monitor.summary
print(f"exit status {code}, {summary.wall_s:.1f} s, {summary.cpu_s:.1f} s of CPU")

# %% Who was it? Exact if "programs" is in summary.exact, else as far as samples saw it.

for program in summary.programs:
    print(f"{program.name:12} {program.count:4} processes {program.cpu_s:8.2f} s")

# %% Averages are over time, peaks are samples with their processes.

figures = proctally.resource_utilization(monitor)
print(f"{figures['avg_cpu']:.0f} % of a core on average, {figures['max_cpu']:.0f} % at most")
for peak in proctally.find_peaks(monitor, field="mem_rss_kb", threshold=0.9):
    children = ", ".join(child["command"] for child in peak["children"])
    print(f"{peak['mem_rss_kb'] / 1024:.0f} MiB with {children or 'the shell alone'}")

# %% Pictures, and a page to keep.

proctally.plot(monitor, folder / "run.png", title="Compress and sort")
proctally.plot(monitor, folder / "cpu.png", panels=["cpu"])
proctally.report(monitor, folder / "report.html")

# %% Files for other programs.

proctally.save_metrics(monitor, folder / "run.jsonl")
proctally.save_metrics(monitor, folder / "run.csv", format="csv")
print(len(proctally.load_metrics(folder / "run.csv")), "samples in", folder / "run.csv")
print(json.dumps(proctally.aggregate_metrics(folder / "run.jsonl", window_size=20)[0], indent=2))
