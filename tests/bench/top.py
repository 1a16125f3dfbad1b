# SPDX-License-Identifier: MIT
"""top.py BUILD LOAD PROCESSES SECONDS: called by top.sh."""

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

BUILD, LOAD = sys.argv[1:3]
PROCESSES, SECONDS = map(int, sys.argv[3:5])
COMMAND = f"{BUILD}/plugins/command/proctally"
SETTLE_S = 5
CONTESTANTS = {
    "proctally top, bpf, groups": [COMMAND, "top", "--source", "bpf"],
    "proctally top, bpf, processes": [COMMAND, "top", "--source", "bpf", "--view", "processes"],
    "proctally top, bpf, tree of processes":
        [COMMAND, "top", "--source", "bpf", "--view", "processes", "--tree"],
    "proctally top, procfs, groups": [COMMAND, "top", "--source", "procfs"],
    "proctally top, procfs, processes":
        [COMMAND, "top", "--source", "procfs", "--view", "processes"],
    "top": ["top", "-d", "1"],
    "htop": ["htop", "-d", "10"],
}


def read_for(terminal, seconds):
    """Takes what the program writes, as a terminal does. How many bytes."""
    end, taken = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            taken += len(os.read(terminal, 65536))
    return taken


def cpu_s(pid):
    """Of all its threads, from the kernel's own count in nanoseconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def measure(argv):
    """(share of a core, bytes to the terminal in a second)"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", LC_ALL="C.UTF-8")
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execvp(argv[0], argv)
    try:
        read_for(terminal, SETTLE_S)
        began, before = time.monotonic(), cpu_s(pid)
        taken = read_for(terminal, SECONDS)
        return (cpu_s(pid) - before) / (time.monotonic() - began), taken / SECONDS
    finally:
        os.kill(pid, signal.SIGTERM)
        try:
            read_for(terminal, 10)
        except OSError: # it has left, and its terminal with it
            pass
        os.close(terminal)
        os.waitpid(pid, 0)


def main():
    busy = PROCESSES // 20
    load = subprocess.Popen([LOAD, str(PROCESSES - busy), str(busy)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    if load.stdout.readline() != "ready\n":
        sys.exit("top: the load did not start")
    processes = sum(name.isdigit() for name in os.listdir("/proc"))
    print(f"{processes} processes, {SECONDS} s each, 80x24, a look each second")
    print(f"{'':40} {'% of a core':>11} {'bytes/s':>8}")
    for name, argv in CONTESTANTS.items():
        if not shutil.which(argv[0]):
            print(f"{name:40} left out: not installed")
            continue
        try:
            share, sent = measure(argv)
        except OSError as error:
            print(f"{name:40} left out: it did not stay ({error})")
            continue
        print(f"{name:40} {share * 100:11.2f} {sent:8.0f}", flush=True)
    load.stdin.close()
    load.wait()


main()
