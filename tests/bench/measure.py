# SPDX-License-Identifier: MIT
"""measure.py BUILD BIN WORK SLEEPING BUSY ROUNDS: the table of run.sh."""

import os
import shutil
import signal
import subprocess
import sys
import time

from contestants import (Exporter, Floor, FreeRunner, Telegraf, free_port, resident,
                         system_calls)

BUILD, BIN, WORK = sys.argv[1:4]
SLEEPING, BUSY, ROUNDS = (int(word) for word in sys.argv[4:7])
PACE_S = 10  # between two rounds: the default interval of proctally
WARM_UP = 7  # rounds: a minute, after which proctally has read all sleepers again
TELEGRAF = f"{BUILD}/plugins/telegraf/proctally-telegraf"
TEXTFILE = f"{BUILD}/plugins/textfile/proctally-textfile"
APPS = "/usr/lib/netdata/plugins.d/apps.plugin"

started = []


def start(kind, name, *arguments, **keywords):
    try:
        contestant = kind(name, *arguments, **keywords)
    except OSError as error:
        print(f"left out: {name}: {error}", file=sys.stderr)
        return None
    if contestant.process.poll() is not None:
        print(f"left out: {name}: it did not stay", file=sys.stderr)
        contestant.close()
        return None
    started.append(contestant)
    return contestant


def write(name, text):
    path = os.path.join(WORK, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def collectd(name, plugins):
    """collectd with these lines of configuration and no place to write to."""
    if not shutil.which("collectd"):
        print(f"left out: {name}: no collectd", file=sys.stderr)
        return None
    directory = os.path.join(WORK, name.replace(" ", "-"))
    os.mkdir(directory)
    config = write(name.replace(" ", "-") + ".conf", f"""
BaseDir "{directory}"
PIDFile "{directory}/pid"
Interval {PACE_S}
ReadThreads 1
WriteThreads 1
{plugins}
""")
    return start(FreeRunner, name, ["collectd", "-f", "-C", config], interval_s=PACE_S)


def start_all():
    keep = {}
    keep["floor"] = start(Floor, "floor", [f"{BIN}/floor", "-i"])
    if os.geteuid() == 0:
        keep["floor and taskstats"] = start(Floor, "floor and taskstats",
                                            [f"{BIN}/floor", "-i", "-t"])
    keep["telegraf"] = start(Telegraf, "proctally-telegraf", TELEGRAF, "--source", "procfs")
    if os.geteuid() == 0:
        keep["bpf"] = start(Telegraf, "proctally-telegraf, bpf", TELEGRAF, "--source", "bpf")
    keep["textfile"] = start(FreeRunner, "proctally-textfile",
                             [TEXTFILE, "--interval", f"{PACE_S}s", "--source", "procfs",
                              "--output", f"{WORK}/out.prom"],
                             interval_s=PACE_S)
    module = f"{BUILD}/plugins/collectd/.libs"
    keep["collectd"] = collectd("collectd, no plugin", "")
    if os.path.exists(f"{module}/proctally.so"):
        keep["collectd-proctally"] = collectd("collectd, proctally", f"""
PluginDir "{module}"
LoadPlugin proctally
<Plugin proctally>
Source procfs
</Plugin>
""")
    names = "".join(f'Process "load-{i:02}"\n' for i in range(50))
    keep["collectd-processes"] = collectd("collectd, processes", f"""
LoadPlugin processes
<Plugin processes>
CollectFileDescriptor true
CollectContextSwitch true
{names}</Plugin>
""")
    if shutil.which("prometheus-process-exporter"):
        config = write("exporter.yaml", "process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n")
        for name, flags in (("process-exporter", []),
                            ("process-exporter, least", ["-threads=false", "-gather-smaps=false"])):
            port = free_port()
            keep[name] = start(Exporter, name,
                               ["prometheus-process-exporter",
                                f"-web.listen-address=127.0.0.1:{port}",
                                f"-config.path={config}", *flags],
                               url=f"http://127.0.0.1:{port}/metrics")
    if os.path.exists(APPS):
        for name, flags in (("netdata apps.plugin", []),
                            ("netdata apps.plugin, no files", ["without-files"])):
            keep[name] = start(FreeRunner, name, [APPS, str(PACE_S), *flags], interval_s=PACE_S)
    if shutil.which("atop"):
        # no process accounting: that would change the whole host
        keep["atop"] = start(FreeRunner, "atop", ["atop", "-w", f"{WORK}/atop.raw", str(PACE_S)],
                             interval_s=PACE_S, env={**os.environ, "ATOPACCT": ""})
    return [c for c in keep.values() if c]


class Load:
    def __init__(self):
        self.process = subprocess.Popen([f"{BIN}/load", str(SLEEPING), str(BUSY)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            raise SystemExit("the processes to be measured could not be started")

    def wake(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rounds(contestants, mode, load, warm_up):
    """Each collects in turn. Awake: all processes run before each one's turn."""
    for number in range(warm_up + ROUNDS):
        begun = time.monotonic()
        for contestant in contestants:
            if mode == "awake":
                load.wake()
            contestant.measure(mode if number >= warm_up else None)
        left = begun + PACE_S - time.monotonic()
        if mode == "idle" and left > 0:
            time.sleep(left)
        print(f"{mode}: round {number + 1} of {warm_up + ROUNDS}, "
              f"{time.monotonic() - begun:.1f} s", file=sys.stderr)


def table(head, lines):
    widths = [max(len(str(line[i])) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, *lines]:
        print("  ".join(str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def describe(contestants, calls, sizes):
    by_name = {c.name: c for c in contestants}
    floor = by_name["floor"]
    count = floor.processes
    ms = {}
    for mode in ("awake", "idle"):
        for c in contestants:
            if mode in c.samples:
                ms[c.name, mode] = c.cost_ns(mode) / 1e6
    if "collectd, no plugin" in by_name:
        base = ms["collectd, no plugin", "idle"]
        for name in ("collectd, proctally", "collectd, processes"):
            if (name, "idle") in ms:
                ms[name, "idle"] -= base
    ours = {"awake": ms["proctally-telegraf", "awake"], "idle": ms["proctally-telegraf", "idle"]}

    print(f"\n{count} processes, {BUSY} of them wake up each second; {ROUNDS} rounds\n")
    print("proctally's whole cycle (scan, group, tally, encode), source procfs : the floor")
    for mode, words in (("awake", "all have run since the last collection"),
                        ("idle", f"{BUSY} of {count} wake up each second")):
        print(f"  {ours[mode] / ms['floor', mode]:5.2f}   {words}")
    print()
    lines = []
    for c in contestants:
        for mode in ("awake", "idle"):
            if (c.name, mode) not in ms:
                continue
            value = ms[c.name, mode]
            memory = sizes.get(c.name)
            system = calls.get((c.name, mode))
            lines.append((
                c.name + (", all awake" if mode == "awake" else ""),
                f"{value / ms['floor', mode]:.2f}",
                f"{value / ours['idle']:.1f}" if mode == "idle" else "",
                f"{value:.1f}", f"{value * 1000 / count:.2f}",
                f"{memory[0] / 1e6:.1f}" if memory else "",
                f"{memory[1] / 1e6:.1f}" if memory else "",
                f"{system / count:.2f}" if system else ""))
    table(("", ": floor", ": proctally", "ms", "us/process", "RSS MB", "anon MB", "calls/process"),
          lines)
    for c in contestants:
        if c.ends:
            print(f"\n{c.name} ended by itself {c.ends} times, and was started again")
    print("\n\": proctally\" is the ratio to proctally-telegraf where few are awake. The lines of "
          "collectd's\nplugins are what they add to collectd.")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is ended
    load = Load()
    try:
        contestants = start_all()
        alone = [c for c in contestants if isinstance(c, (Floor, Telegraf))]
        rounds(alone, "awake", load, 1)
        calls = {}
        if shutil.which("strace"):
            for c in alone:
                load.wake()
                calls[c.name, "awake"] = system_calls(c)
        rounds(contestants, "idle", load, WARM_UP)
        sizes = {c.name: resident(c.pid) for c in contestants}
        if shutil.which("strace"):
            for c in contestants:
                c.measure(None)
                time.sleep(1)
                calls[c.name, "idle"] = system_calls(c)
        describe(contestants, calls, sizes)
    finally:
        for c in started:
            c.close()
        load.close()


if __name__ == "__main__":
    main()
