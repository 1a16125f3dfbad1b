# SPDX-License-Identifier: MIT
"""http_rates.py BUILD BIN WORK SLEEPING SECONDS: the figures of http.sh."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

BUILD, BIN, WORK = sys.argv[1:4]
SLEEPING, SECONDS = int(sys.argv[4]), int(sys.argv[5])
EXPORTER = f"{BUILD}/plugins/exporter/proctally-exporter"
TEXTFILE = f"{BUILD}/plugins/textfile/proctally-textfile"
running = []


def start(*argv):
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    running.append(process)
    return process


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port, path="/metrics"):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60).read()


def serve(*argv):
    """Starts it, with its port for @; (process, port) once it answers."""
    port = free_port()
    process = start(*(a.replace("@", str(port)) for a in argv))
    for _ in range(600):
        try:
            get(port)
            return process, port
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{argv[0]} does not answer")


def hammer(name, port, connections=40, *headers):
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--timeout", "60",
                          *headers, f"http://127.0.0.1:{port}/metrics"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec: *([\d.]+)", out).group(1))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    print(f"{name:42} {rate:10.1f} requests/s  {re.search('Transfer/sec: *(.*)', out).group(1)}/s"
          + (f"  ({refused.group(1)} refused)" if refused else ""))
    return rate


def cpu_s(process):
    """Of all its threads, to the nanosecond."""
    total_ns = 0
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/schedstat") as f:
            total_ns += int(f.read().split()[0])
    return total_ns / 1e9


def resident_mb(process):
    with open(f"/proc/{process.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024


def main():
    load = subprocess.Popen([f"{BIN}/load", str(SLEEPING), "0"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    running.append(load)
    load.stdout.readline()
    ours, port = serve(EXPORTER, "--source", "procfs", "--web.listen-address", "127.0.0.1:@")
    text = get(port)
    with open(f"{WORK}/text", "wb") as f:
        f.write(text)
    print(f"{SLEEPING} processes, {len(text)} bytes")
    _, bare = serve(f"{BIN}/bare", "@", f"{WORK}/text")
    rates = [(hammer("proctally-exporter", port), hammer("the same bytes from libmicrohttpd", bare))
             for _ in range(3)]
    print(f"{'ratio, median of 3':42} {sorted(a / b for a, b in rates)[1]:10.2f}")
    hammer("proctally-exporter, gzip", port, 40, "-H", "Accept-Encoding: gzip")

    best = max(a for a, _ in rates)
    for name, *argv in (
            ("process-exporter", "prometheus-process-exporter", "-config.path", f"{WORK}/c.yaml",
             "-threads=false", "-gather-smaps=false", "-web.listen-address", "127.0.0.1:@"),
            ("node_exporter", "prometheus-node-exporter", "--web.listen-address", "127.0.0.1:@")):
        if not shutil.which(argv[0]):
            print(f"left out: {name}")
            continue
        with open(f"{WORK}/c.yaml", "w") as f:
            f.write("process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n")
        _, theirs = serve(*argv)
        rate = hammer(name, theirs, 2)
        print(f"{'':42} {best / rate if rate else float('inf'):10.0f} times fewer")

    # a scrape each second, beside the same collections written to a file
    writer = start(TEXTFILE, "--source", "procfs", "--interval", "1050ms", "--output",
                   f"{WORK}/file.prom")
    time.sleep(5)
    before = cpu_s(ours), cpu_s(writer)
    for _ in range(30):
        get(port)
        time.sleep(1.05)
    used = cpu_s(ours) - before[0], cpu_s(writer) - before[1]
    print(f"CPU for 30 scrapes {used[0]:.2f} s, for 30 files {used[1]:.2f} s: "
          f"{used[0] / used[1]:.2f}")

    idle = []
    for _ in range(200):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(1000)
        idle.append(s)
    print(f"resident with 200 idle connections {resident_mb(ours):.1f} MB")


try:
    main()
finally:
    for process in reversed(running):
        process.kill()
        process.wait()
