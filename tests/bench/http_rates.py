# SPDX-License-Identifier: MIT
"""http_rates.py BUILD BIN WORK SLEEPING SECONDS: the figures of http.sh."""

import os
import re
import shutil
import socket
import ssl
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


def anybody():
    """Who looks at no certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def get(port, path="/metrics", scheme="http", encoding="identity"):
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}",
                                     headers={"Accept-Encoding": encoding})
    return urllib.request.urlopen(request, timeout=60, context=anybody()).read()


def scrape_until(end, port, zipped_port):
    """Both each 1.05 s, as often as the writer writes; how many times that was."""
    count, due = 0, time.monotonic()
    while due < end:
        time.sleep(max(0, due - time.monotonic()))
        get(port)
        get(zipped_port, encoding="gzip")
        count, due = count + 1, due + 1.05
    return count


def serve(*argv, scheme="http"):
    """Starts it, with its port for @; (process, port) once it answers."""
    port = free_port()
    process = start(*(a.replace("@", str(port)) for a in argv))
    for _ in range(600):
        try:
            get(port, scheme=scheme)
            return process, port
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{argv[0]} does not answer")


def hammer(name, process, port, connections=40, *headers):
    before = cpu_s(process)
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--timeout", "60",
                          *headers, f"http://127.0.0.1:{port}/metrics"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    used = cpu_s(process) - before
    rate = float(re.search(r"Requests/sec: *([\d.]+)", out).group(1))
    sent = read_size(re.search(r"Transfer/sec: *(\S+)", out).group(1)) * SECONDS
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    print(f"{name:42} {rate:10.1f} requests/s  {sent / SECONDS / 1e9:6.2f} GB/s  "
          f"{sent / used / 1e9:6.2f} GB a second of its CPU time" + (f"  ({refused.group(1)} refused)" if refused else ""), flush=True)
    return rate


def side_by_side(text, ours, port):
    """Three times the exporter, and in turn a bare server that sends the same bytes."""
    with open(f"{WORK}/text", "wb") as f:
        f.write(text)
    process, bare = serve(f"{BIN}/bare", "@", f"{WORK}/text")
    rates = [(hammer("proctally-exporter", ours, port),
              hammer("the same bytes from libmicrohttpd", process, bare)) for _ in range(3)]
    print(f"{'ratio, median of 3':42} {sorted(a / b for a, b in rates)[1]:10.2f}")
    process.kill()
    hammer("proctally-exporter, gzip", ours, port, 40, "-H", "Accept-Encoding: gzip")
    return rates


def read_size(text):
    """Of wrk, whose units are of 1024."""
    number, unit = re.fullmatch(r"([\d.]+)([KMG]?)B", text).groups()
    return float(number) * 1024 ** "_KMG".index(unit or "_")


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


def idle_connections(name, process, port, wrap=lambda s: s):
    """What is resident when 200 have asked for something, and stay."""
    before = resident_mb(process)
    idle = []
    for _ in range(200):
        s = wrap(socket.create_connection(("127.0.0.1", port)))
        s.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(1000)
        idle.append(s)
    print(f"{name}: {before:.1f} MB resident, {resident_mb(process):.1f} MB with 200 idle connections",
          flush=True)


def idle_with_tls():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                    f"{WORK}/key.pem", "-out", f"{WORK}/cert.pem", "-subj", "/CN=bench"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    with open(f"{WORK}/web.yml", "w") as f:
        f.write("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    process, port = serve(EXPORTER, "--source", "procfs", "--web.listen-address", "127.0.0.1:@",
                          "--web.config.file", f"{WORK}/web.yml", scheme="https")
    idle_connections("with TLS", process, port, anybody().wrap_socket)


def many_groups(count):
    process, port = serve(EXPORTER, "--source", "procfs", "--web.listen-address", "127.0.0.1:@",
                          "--group-by", "pid", "--max-groups", str(2 * SLEEPING + 1000),
                          "--top", str(count))
    text = get(port)
    print(f"{count} groups of a process each, {len(text)} bytes")
    side_by_side(text, process, port)
    print(f"{resident_mb(process):.1f} MB resident")
    process.kill()


def main():
    load = subprocess.Popen([f"{BIN}/load", str(SLEEPING), "0"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    running.append(load)
    load.stdout.readline()
    ours, port = serve(EXPORTER, "--source", "procfs", "--web.listen-address", "127.0.0.1:@")
    # from now on, so that all have seen the same: sleepers are read again half a minute after they
    # were, and who begins later is spared that for a while
    zipped, zipped_port = serve(EXPORTER, "--source", "procfs", "--web.listen-address",
                                "127.0.0.1:@")
    writer = start(TEXTFILE, "--source", "procfs", "--interval", "1050ms", "--output",
                   f"{WORK}/file.prom")
    begun = time.monotonic()
    text = get(port)
    print(f"{SLEEPING} processes, {len(text)} bytes")
    rates = side_by_side(text, ours, port)

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
        process, theirs = serve(*argv)
        rate = hammer(name, process, theirs, 2)
        print(f"{'':42} {best / rate if rate else float('inf'):10.0f} times fewer")

    # a scrape each second, beside the same collections written to a file
    scrape_until(begun + 60, port, zipped_port)
    for _ in range(3):
        before = [cpu_s(p) for p in (ours, zipped, writer)]
        scrapes = scrape_until(time.monotonic() + 30, port, zipped_port)
        used = [cpu_s(p) - b for p, b in zip((ours, zipped, writer), before)]
        print(f"CPU in 30 s: {scrapes} scrapes {used[0]:.2f} s, by that of as many files "
              f"{used[0] / used[2]:.2f}; with gzip {used[1] / used[2]:.2f}", flush=True)

    idle_connections("plain", ours, port)
    idle_with_tls()
    many_groups(min(1800, SLEEPING)) # 10 MB
    many_groups(SLEEPING)


try:
    main()
finally:
    for process in reversed(running):
        process.kill()
        process.wait()
