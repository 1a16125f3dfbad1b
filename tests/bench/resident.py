# SPDX-License-Identifier: MIT
"""resident.py BUILD BIN WORK PROCESSES ROUNDS: the tables of resident.sh."""

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

from contestants import end_with_parent, resident

BUILD, BIN, WORK = sys.argv[1:4]
PROCESSES, ROUNDS = int(sys.argv[4]), int(sys.argv[5])
TEXTFILE = f"{BUILD}/plugins/textfile/proctally-textfile"
MODULE = f"{BUILD}/plugins/collectd/.libs"
GROUPS = 100
SETTLED_S = 6  # after some collections, one a second
FIVE = ["cpu_usage", "memory_rss", "memory_footprint", "open_fds", "worst_fd_ratio"]


def start(*argv, **how):
    return subprocess.Popen(argv, preexec_fn=end_with_parent, **how)


def stop(process):
    process.terminate()
    process.wait()


class Load:
    """Processes that sleep, and 250 that wake up each second; as many as the host has else."""

    def __init__(self, sleeping, busy):
        self.process = start(f"{BIN}/load", str(sleeping), str(busy), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def parts(pid):
    """Kilobytes by what they are: heap, other memory of its own, program, libraries, maps of
    the programs in the kernel."""
    sizes, part = dict.fromkeys(("heap", "other", "program", "libraries", "maps"), 0), ""
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            area = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)", line)
            if area:
                name = area.group(1)
                part = ("heap" if name == "[heap]" else "maps" if "bpf-map" in name else
                        "program" if name == TEXTFILE else
                        "libraries" if name.startswith("/") else "other")
            elif line.startswith("Rss:"):
                sizes[part] += int(line.split()[1])
    return sizes


def textfile(source):
    out = f"{WORK}/out.prom"
    process = start(TEXTFILE, "--source", source, "--interval", "1s", "--output", out)
    time.sleep(SETTLED_S)
    found = dict(parts(process.pid))
    found["all"], found["own"] = (size >> 10 for size in resident(process.pid))
    with open(f"/proc/{process.pid}/status") as f:
        found["peak"] = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
    with open(out) as f:
        found["processes"] = next(int(float(line.split()[1])) for line in f
                                  if line.startswith("proctally_processes_seen "))
    stop(process)
    return found


def show_textfile():
    columns = ["all", "own", "heap", "other", "maps", "program", "libraries", "peak"]
    print("\nproctally-textfile, KB resident (own: what is not files)")
    print("%-8s %9s " % ("source", "processes") + " ".join("%9s" % c for c in columns))
    with Load(PROCESSES, 250):
        rounds = {source: [] for source in ("bpf", "procfs")}
        for _ in range(ROUNDS):
            for source, found in rounds.items():
                found.append(textfile(source))
    for source, found in rounds.items():
        medians = {key: statistics.median(one[key] for one in found) for key in found[0]}
        print("%-8s %9d " % (source, medians["processes"]) +
              " ".join("%9d" % medians[c] for c in columns))


def values_in(path):
    """How many values collectd keeps a record of."""
    while not os.path.exists(path):
        time.sleep(0.1)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"LISTVAL\n")
        with s.makefile() as f:
            return int(f.readline().split()[0])


def collectd(name, options):
    """(resident, not files, values) of collectd with the plugin; options None: without."""
    directory = f"{WORK}/{name}"
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory)
    plugin = "" if options is None else f"""
PluginDir "{MODULE}"
LoadPlugin proctally
<Plugin proctally>
Source procfs
Include "resident-"
{options}
</Plugin>"""
    with open(f"{directory}/conf", "w") as f:
        f.write(f"""
BaseDir "{directory}"
PIDFile "{directory}/pid"
Interval 1
ReadThreads 1
WriteThreads 1
LoadPlugin csv
<Plugin csv>
DataDir "{directory}/csv"
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
SocketFile "{directory}/socket"
</Plugin>{plugin}
""")
    process = start(COLLECTD, "-f", "-C", f"{directory}/conf", stderr=subprocess.DEVNULL)
    time.sleep(SETTLED_S)
    values = values_in(f"{directory}/socket")
    while True: # all are there
        time.sleep(3)
        before, values = values, values_in(f"{directory}/socket")
        if values == before:
            break
    found = (*resident(process.pid), values)
    stop(process)
    return found


def show_collectd():
    only = "".join(f'Metrics "{name}"\n' for name in FIVE)
    variants = [("no plugin", None), ("one group", "GroupBy user"),
                ("one group, five metrics", "GroupBy user\n" + only),
                (f"{GROUPS} groups", ""),
                (f"{GROUPS} groups, five metrics", only)]
    rounds = {name: [] for name, _ in variants}
    sleepers = []
    for i in range(GROUPS): # each under a name of its own
        os.symlink(shutil.which("sleep"), f"{WORK}/resident-{i:03}")
        sleepers.append(start(f"{WORK}/resident-{i:03}", "infinity"))
    for _ in range(ROUNDS):
        for name, options in variants:
            rounds[name].append(collectd(name.replace(" ", "-").replace(",", ""), options))
    for sleeper in sleepers:
        stop(sleeper)
    print("\ncollectd, KB resident (own: what is not files), and the values it keeps a record of")
    medians = {name: [statistics.median(column) for column in zip(*found)]
               for name, found in rounds.items()}
    for name, (everything, own, values) in medians.items():
        print("%-28s %8d %8d %8d" % (name, everything / 1024, own / 1024, values))
    for what in "", ", five metrics":
        one, many = medians["one group" + what], medians[f"{GROUPS} groups{what}"]
        more = many[1] - one[1]
        print("a group%s: %.1f KB, %.1f values, %.2f KB each" % (
            what, more / 1024 / (GROUPS - 1), (many[2] - one[2]) / (GROUPS - 1),
            more / 1024 / (many[2] - one[2])))


COLLECTD = shutil.which("collectd", path=os.environ["PATH"] + ":/usr/sbin")
show_textfile()
if COLLECTD and os.path.exists(f"{MODULE}/proctally.so") and \
        os.path.exists("/usr/lib/collectd/unixsock.so"):
    show_collectd()
else:
    print("collectd: left out, it or the plugin is not there")
