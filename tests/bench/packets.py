# SPDX-License-Identifier: MIT
"""packets.py BUILD DIRECTORY ROUNDS: called by packets.sh."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time

BUILD, DIRECTORY, ROUNDS = *sys.argv[1:3], int(sys.argv[3])

WATCHERS = {"nobody": None, "bpf": [], "bpf, no-network": ["--collect", "no-network"]}


def watch(options):
    """Starts a watcher; when it has collected for the first time."""
    output = os.path.join(DIRECTORY, "out.prom")
    watcher = subprocess.Popen([f"{BUILD}/plugins/textfile/proctally-textfile", "--source", "bpf",
                                "--interval", "10s", "--output", output, *options])
    while not os.path.exists(output):
        if watcher.poll() is not None:
            sys.exit(f"packets: status {watcher.returncode} of {watcher.args}")
        time.sleep(0.01)
    os.unlink(output)
    return watcher


def udp_pair(count=3000):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.connect(s.getsockname())
        begun = time.thread_time()
        for _ in range(count):
            s.send(bytes(64))
            s.recv(64)
        return (time.thread_time() - begun) / count


def connected():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client, server.accept()[0]


def tcp_pair(count=2000):
    a, b = connected()
    with a, b:
        begun = time.thread_time()
        for _ in range(count):
            a.send(bytes(64))
            b.recv(64)
        return (time.thread_time() - begun) / count


def tcp_megabyte(count=20):
    a, b = connected()
    block = bytes(16384)
    with a, b:
        begun = time.thread_time()
        for _ in range(count * 64):
            a.sendall(block)
            left = len(block)
            while left:
                left -= len(b.recv(left))
        return (time.thread_time() - begun) / count


def connections(count=200):
    with socket.create_server(("127.0.0.1", 0)) as server:
        begun = time.thread_time()
        for _ in range(count):
            client = socket.create_connection(server.getsockname())
            other = server.accept()[0]
            client.send(b"x")
            other.recv(1)
            client.close()
            other.close()
        return (time.thread_time() - begun) / count


WORKS = {"UDP, 64 bytes: one send, one receive": udp_pair,
         "TCP, the same": tcp_pair,
         "1 MB of TCP in writes of 16 KB": tcp_megabyte,
         "connect, one byte, close": connections}


def main():
    samples = {(w, n): [] for w in WORKS for n in WATCHERS}
    for _ in range(ROUNDS):
        for name, options in WATCHERS.items():
            watcher = watch(options) if options is not None else None
            for what, work in WORKS.items():
                samples[what, name].append(min(work() for _ in range(3)))
            if watcher:
                watcher.send_signal(signal.SIGTERM)
                watcher.wait()
    print(f"medians of {ROUNDS} rounds in turn; µs of CPU, and the ratio to nobody watching")
    print(f"{'':38}" + "".join(f" {name:>22}" for name in WATCHERS))
    for what in WORKS:
        alone = statistics.median(samples[what, "nobody"])
        each = [statistics.median(samples[what, name]) for name in WATCHERS]
        print(f"{what:38}" + "".join(f" {m * 1e6:13.2f} ({m / alone:.3f})" for m in each))


main()
