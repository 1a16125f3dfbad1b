# SPDX-License-Identifier: MIT
"""fleet.py BUILD WORK HOSTS SAMPLES STEP_S MEASURE_S: the figures of fleet.sh."""

import asyncio
import ctypes
import gzip
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

BUILD, WORK = sys.argv[1:3]
HOSTS, SAMPLES, STEP_S, MEASURE_S = map(int, sys.argv[3:7])
STORED_HOURS = 6
SETTLE_S = min(60, MEASURE_S)
UID = 61234
EXPORTER = f"{BUILD}/plugins/exporter/proctally-exporter"
TEXTFILE = f"{BUILD}/plugins/textfile/proctally-textfile"
TELEGRAF = f"{BUILD}/plugins/telegraf/proctally-telegraf"
RULE = f'process_names: [{{name: "{{{{.Comm}}}}", user: ["{UID}"]}}]\ngroup-by: []\n'
FEW = "metrics: [processes, cpu_user, cpu_system, memory_rss, worst_fd_ratio]\n"
TOP = "top: 10 by cpu\n"
# (name, how many processes)
GROUPS = [(name, count) for count, names in (
    (1, "acpid atd auditd chronyd containerd cron dbus-daemon dockerd irqbalance login lldpd "
        "mdadm node_exporter polkitd rsyslogd smartd snmpd systemd-journal"),
    (2, "exim4 fail2ban-server haproxy keepalived memcached named ntpd redis-server"),
    (4, "rabbitmq-server beam.smp dovecot php-fpm8.2 sshd varnishd"),
    (8, "apache2 nginx postgres java uwsgi"),
    (16, "celery gunicorn puma")) for name in names.split()]
# and the one that starts them
GROUP_COUNT = len(GROUPS) + 1
running = []


# ---- Processes that do something ---------------------------------------------------------

def worker(name, seed):
    """Wakes up now and then, computes, reads, writes, keeps memory and lets it go."""
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0) # PR_SET_NAME
    chance = random.Random(seed)
    between_s = chance.choice((2, 4, 8, 30, 120))
    kept, box = [], socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    box.bind(("127.0.0.1", 0))
    path = f"{WORK}/workers/{seed}"
    while True:
        time.sleep(chance.expovariate(1 / between_s))
        end = time.process_time() + chance.expovariate(1 / 0.002)
        while time.process_time() < end:
            pass
        what = chance.random()
        if what < 0.3:
            with open(path, "wb") as file:
                file.write(b"x" * chance.randrange(100, 60000))
        elif what < 0.5 and os.path.exists(path):
            with open(path, "rb") as file:
                file.read()
        elif what < 0.7:
            kept.append(bytearray(chance.randrange(4096, 1 << 18)))
        elif what < 0.85 and kept:
            kept.pop(chance.randrange(len(kept)))
        elif what < 0.95:
            box.sendto(b"x" * chance.randrange(50, 1400), box.getsockname())
            box.recv(2000)
        elif os.fork() == 0:
            os._exit(0)
        else:
            os.wait()


def start_workers():
    """One process that starts all of them; they end with it."""
    os.mkdir(f"{WORK}/workers")
    os.chmod(WORK, 0o711)
    os.chown(f"{WORK}/workers", UID, UID)
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent:
        os.close(write_end)
        os.read(read_end, 1) # until all are there
        os.close(read_end)
        return parent
    os.setgid(UID)
    os.setuid(UID)
    libc, seed = ctypes.CDLL(None), 0
    libc.prctl(15, b"init", 0, 0, 0)
    libc.prctl(1, signal.SIGKILL, 0, 0, 0) # PR_SET_PDEATHSIG, which a change of user undoes
    for name, count in GROUPS:
        for _ in range(count):
            seed += 1
            if os.fork() == 0:
                os.close(write_end)
                libc.prctl(1, signal.SIGKILL, 0, 0, 0)
                worker(name, seed)
    os.close(write_end)
    while True:
        signal.pause()


# ---- Programs ------------------------------------------------------------------------------

def start(*argv, **more):
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=open(f"{WORK}/errors", "ab"), **more)
    running.append(process)
    return process


def stop(process, how=signal.SIGTERM):
    process.send_signal(how)
    process.wait(120)
    running.remove(process)


def fail(what):
    with open(f"{WORK}/errors", "a+", encoding="utf-8", errors="replace") as file:
        file.seek(0)
        sys.stderr.write("".join(file.readlines()[-20:]))
    sys.exit(f"fleet: {what}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url, body=None, encoding="identity", timeout_s=300):
    request = urllib.request.Request(url, body, headers={"Accept-Encoding": encoding})
    with OPENER.open(request, timeout=timeout_s) as answer:
        return answer.read()


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)
    fail(f"no {what} in {seconds} s")


def cpu_s(process):
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(process):
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1000


def size_of(*paths):
    """Bytes of all files below."""
    return sum(os.path.getsize(os.path.join(at, name)) for path in paths
               for at, _, names in os.walk(path) for name in names)


def write(name, text):
    with open(f"{WORK}/{name}", "w", encoding="utf-8") as file:
        file.write(text)
    return f"{WORK}/{name}"


# ---- One host ------------------------------------------------------------------------------

class Exporter:
    def __init__(self, options, name):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/metrics"
        self.process = start(EXPORTER, "--config", write(name, RULE + options),
                             "--web.listen-address", f"127.0.0.1:{self.port}", "--min-age", "0s")
        wait_for(self.text, "answer of the exporter")

    def text(self):
        return get(self.url).decode()


def series_in(text):
    return [line for line in text.splitlines() if line and line[0] != "#"]


def row(name, values, size, zipped, what="series"):
    print(f"{name:46} {values:6} {values / GROUP_COUNT:6.1f} {size:9} {size / values:6.0f} "
          f"{zipped or '':>8}  {what}", flush=True)


def measure_texts():
    print(f"one host: {sum(count for _, count in GROUPS) + 1} processes in {GROUP_COUNT} groups")
    print(f"{'':46} {'values':>6} {'/group':>6} {'bytes':>9} {'each':>6} {'gzip':>8}")
    ours = [("exporter, native, source bpf", "source: bpf\n"),
            ("exporter, native, source procfs", "source: procfs\n"),
            ("exporter, native, bpf, five metrics", "source: bpf\n" + FEW),
            ("exporter, native, bpf, top: 10 by cpu", "source: bpf\n" + TOP),
            ("exporter, native, bpf, five metrics, top: 10", "source: bpf\n" + FEW + TOP),
            ("exporter, schema process-exporter", "source: bpf\nschema: process-exporter\n"),
            ("exporter, schema process-exporter, no threads",
             "source: bpf\nschema: process-exporter\ncollect: [no-thread-names]\n")]
    found = {}
    for name, options in ours:
        exporter = Exporter(options, "one.yaml")
        time.sleep(12)
        exporter.text()
        time.sleep(3)
        text = exporter.text()
        zipped = len(get(exporter.url, encoding="gzip"))
        stop(exporter.process)
        found[name] = len(series_in(text))
        row(name, found[name], len(text), zipped)
        if options.endswith(": bpf\n") and 'source="bpf"} 1' not in text:
            print("    (no source bpf here: it was procfs)")
    measure_process_exporter()
    output = f"{WORK}/one.prom"
    process = start(TEXTFILE, "--config", write("one.yaml", RULE), "--interval", "3s",
                    "--output", output)
    time.sleep(13)
    stop(process)
    with open(output, encoding="utf-8") as file:
        text = file.read()
    row("textfile", len(series_in(text)), len(text), None)
    measure_telegraf()
    measure_collectd()
    return found


def measure_process_exporter():
    program = shutil.which("prometheus-process-exporter") or shutil.which("process-exporter")
    if not program:
        return
    port = free_port()
    names = ", ".join(f'"{name[:15]}"' for name, _ in GROUPS)
    config = write("theirs.yaml",
                   f'process_names: [{{name: "{{{{.Comm}}}}", comm: [{names}]}}]\n')
    process = start(program, "--config.path", config, "--web.listen-address", f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}/metrics"
    wait_for(lambda: get(url), "answer of process-exporter")
    time.sleep(3)
    text = get(url).decode()
    row("process-exporter itself", len(series_in(text)), len(text),
        len(get(url, encoding="gzip")))
    stop(process)


def measure_telegraf():
    with subprocess.Popen([TELEGRAF, "--config", write("one.yaml", RULE)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        parts = []
        for _ in range(3):
            process.stdin.write(b"\n")
            process.stdin.flush()
            time.sleep(3)
            parts.append(os.read(process.stdout.fileno(), 1 << 20))
        process.stdin.close()
    text = parts[-1].decode()
    # a space or comma inside of a name is escaped
    fields = sum(len(re.split(r"(?<!\\),", re.split(r"(?<!\\) ", line)[1]))
                 for line in text.splitlines())
    row("telegraf, fields in influx lines", fields, len(text), None,
        f"fields, in {text.count(chr(10))} lines")


def measure_collectd():
    """What collectd sends to a server for one interval, by its own protocol."""
    program = shutil.which("collectd") or shutil.which("collectd", path="/usr/sbin")
    plugins = "/usr/lib/collectd"
    ours = f"{BUILD}/plugins/collectd/.libs"
    if not program or not os.path.exists(f"{ours}/proctally.so") or \
            not os.path.exists(f"{plugins}/network.so"):
        print("collectd: left out, it or the plugin is not there")
        return
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    server.bind(("127.0.0.1", 0))
    config = write("collectd.conf", f"""
Hostname "host0001"
BaseDir "{WORK}"
PIDFile "{WORK}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
Interval 5
PluginDir "{plugins}"
LoadPlugin network
<Plugin network>
  Server "127.0.0.1" "{server.getsockname()[1]}"
</Plugin>
PluginDir "{ours}"
LoadPlugin proctally
<Plugin proctally>
  Config "{write("one.yaml", RULE)}"
</Plugin>
""")
    process = start(program, "-f", "-C", config)
    time.sleep(18)
    stop(process)
    server.setblocking(False)
    by_time = {}
    while True:
        try:
            packet = server.recv(65536)
        except BlockingIOError:
            break
        at, when = 0, 0
        while at + 4 <= len(packet):
            kind, size = struct.unpack_from("!HH", packet, at)
            if kind == 8: # a time, in 2^-30 s
                when = struct.unpack_from("!Q", packet, at + 4)[0] >> 30
            elif kind == 6:
                of = by_time.setdefault(when, [0, 0])
                of[0] += struct.unpack_from("!H", packet, at + 4)[0]
            by_time.setdefault(when, [0, 0])[1] += size
            at += max(size, 4)
    server.close()
    if not by_time:
        fail("collectd sent nothing")
    values, size = max(by_time.values())
    row("collectd, values, over its network", values, size, None, "values")


# ---- What was recorded, and more of its kind --------------------------------------------------

def record(exporters):
    """SAMPLES texts of each, all at the same times."""
    texts = [[] for _ in exporters]
    due = time.monotonic()
    for _ in range(SAMPLES):
        time.sleep(max(0, due - time.monotonic()))
        due += STEP_S
        for of, exporter in zip(texts, exporters):
            of.append(exporter.text())
    return texts


class Recorded:
    """A host's life from its record: each further sample has the steps that the counters made
    between two of the recorded ones, and the gauges of the second, in another order each time
    round. Steps, and gauges that are no whole numbers, are up to 0.3 of them larger or smaller:
    a compressor must not find again what was recorded once."""

    def __init__(self, texts):
        kinds, samples = {}, []
        for text in texts:
            sample = {}
            for line in text.splitlines():
                if line.startswith("# TYPE "):
                    _, _, name, kind = line.split()
                    kinds[name] = kind
                elif line and line[0] != "#":
                    series, _, value = line.rpartition(" ")
                    sample[series] = value
            samples.append(sample)
        self.series = [s for s in samples[0] if all(s in sample for sample in samples)]
        self.left_out = len(samples[-1]) - len(self.series)
        self.lines = texts[0].splitlines()
        self.columns = []
        for series in self.series:
            texts_of = [sample[series] for sample in samples]
            is_counter = kinds.get(series.partition("{")[0]) == "counter"
            if not is_counter or any(re.search(r"[^\d.]", v) for v in texts_of):
                self.columns.append((None, texts_of))
                continue
            digits = max(len(v.partition(".")[2]) for v in texts_of)
            numbers = [round(float(v) * 10 ** digits) for v in texts_of]
            self.columns.append((digits, numbers))

    def life(self, count, seed=1):
        """count samples: lists of values as texts, in the order of series"""
        chance, steps = random.Random(seed), len(self.columns[0][1]) - 1
        sums = [c[1][0] if c[0] is not None else None for c in self.columns]
        order = []
        for _ in range(count):
            if not order:
                order = chance.sample(range(1, steps + 1), steps)
            step, values = order.pop(), []
            for i, (digits, of) in enumerate(self.columns):
                if digits is None:
                    values.append(of[step] if re.fullmatch(r"-?\d+|[^\d.]+", of[step]) else
                                  repr(float(of[step]) * chance.uniform(0.7, 1.3)))
                    continue
                grown = max(0, of[step] - of[step - 1])
                if grown:
                    sums[i] += round(grown * chance.uniform(0.7, 1.3))
                text = str(sums[i])
                if digits:
                    text = text.zfill(digits + 1)
                    text = (text[:-digits] + "." + text[-digits:]).rstrip("0").rstrip(".")
                values.append(text)
            yield values

    def bodies(self, count):
        """The texts that the exporter would answer with, in gzip."""
        for values in self.life(count):
            of, lines = dict(zip(self.series, values)), []
            for line in self.lines:
                series = line.rpartition(" ")[0]
                if line.startswith("#"):
                    lines.append(line)
                elif series in of:
                    lines.append(f"{series} {of[series]}")
            yield gzip.compress(("\n".join(lines) + "\n").encode(), 6)


# ---- On disk -------------------------------------------------------------------------------

def label(series):
    name, brace, labels = series.partition("{")
    own = 'instance="host0001:9256",job="proctally"'
    return f"{name}{{{own}," + labels if brace else f"{name}{{{own}}}"


def store(name, recorded):
    count = STORED_HOURS * 3600 // STEP_S
    first_s = int(time.time()) // 7200 * 7200 - 12 * 3600
    heads = [label(series) for series in recorded.series]
    samples = count * len(heads)
    metrics_path = f"{WORK}/stored.om"
    with open(metrics_path, "w", encoding="utf-8") as file:
        for i, values in enumerate(recorded.life(count)):
            at = first_s + i * STEP_S
            file.write("".join(f"{h} {v} {at}\n" for h, v in zip(heads, values)))
        file.write("# EOF\n")
    store_prometheus(name, metrics_path, samples)
    store_victoria(name, metrics_path, samples)
    os.unlink(metrics_path)


def store_prometheus(name, path, samples):
    if not shutil.which("promtool"):
        return
    blocks = f"{WORK}/blocks"
    r = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", path, blocks],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if r.returncode != 0:
        fail("promtool: " + r.stdout[-500:])
    metas = []
    for block in os.listdir(blocks):
        with open(f"{blocks}/{block}/meta.json", encoding="utf-8") as file:
            metas.append(json.load(file)["stats"])
    stored = sum(meta["numSamples"] for meta in metas)
    if stored != samples:
        fail(f"Prometheus has {stored} samples of {samples}")
    chunks = size_of(*(f"{blocks}/{b}/chunks" for b in os.listdir(blocks)))
    total = size_of(blocks)
    print(f"{name:30} Prometheus       {samples:9} samples, bytes each: {chunks / samples:5.2f} "
          f"in chunks, {total / samples:5.2f} with the index of {len(metas)} blocks", flush=True)
    shutil.rmtree(blocks)


def start_victoria(data, *more):
    program = shutil.which("victoria-metrics")
    if not program:
        return None, None
    port = free_port()
    process = start(program, f"-storageDataPath={data}", f"-httpListenAddr=127.0.0.1:{port}",
                    "-retentionPeriod=1", "-loggerLevel=ERROR", *more)
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: get(url + "/health"), "answer of VictoriaMetrics")
    return process, url


def store_victoria(name, path, samples):
    data = f"{WORK}/victoria"
    process, url = start_victoria(data)
    if not process:
        return
    with open(path, encoding="utf-8") as file:
        while True:
            lines = file.readlines(16 << 20)
            if not lines:
                break
            # the exposition format has milliseconds
            get(url + "/api/v1/import/prometheus",
                "".join(line[:-1] + "000\n" for line in lines if line[0] != "#").encode())
    get(url + "/internal/force_flush")
    get(url + "/internal/force_merge")
    wait_for(lambda: b"vm_active_force_merges 0" in get(url + "/metrics") or
             b"vm_active_force_merges" not in get(url + "/metrics"), "end of merging", 120)
    stored = own_metric(url, "vm_rows", 'type="storage/')
    if stored != samples:
        fail(f"VictoriaMetrics has {stored:.0f} samples of {samples}")
    stop(process)
    rows = size_of(f"{data}/data")
    index = size_of(f"{data}/indexdb")
    print(f"{name:30} VictoriaMetrics  {samples:9} samples, bytes each: {rows / samples:5.2f} "
          f"in data, {(rows + index) / samples:5.2f} with the index of the first day", flush=True)
    shutil.rmtree(data)


# ---- A thousand hosts ------------------------------------------------------------------------

class Replay:
    """One server, in a thread: /h/NUMBER is a host, whose answers are the recorded ones, one
    after the other. /write takes what is written remotely, and counts it."""

    def __init__(self, bodies):
        self.bodies, self.next = bodies, {}
        self.answers, self.written, self.requests = 0, 0, 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self.run, args=[ready], daemon=True).start()
        ready.wait()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20, backlog=2000))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1]
                if path.startswith(b"/write"):
                    size = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
                    await reader.readexactly(size)
                    self.written += size
                    self.requests += 1
                    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                    continue
                at = self.next.get(path, 0)
                self.next[path] = at + 1
                body = self.bodies[min(at, len(self.bodies) - 1)]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                             b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body))
                writer.write(body)
                self.answers += 1
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def scrape_config(replay, hosts, name, more=""):
    targets = [{"targets": [f"127.0.0.1:{replay.port}"],
                "labels": {"__metrics_path__": f"/h/{i}", "instance": f"host{i:04}:9256"}}
               for i in range(hosts)]
    path = write(f"{name}.targets.json", json.dumps(targets))
    return write(f"{name}.yml", f"""global:
  scrape_interval: 15s
  scrape_timeout: 15s
scrape_configs:
- job_name: proctally
  file_sd_configs: [{{files: [{path}]}}]
{more}""")


def own_metric(url, name, label=""):
    """What a server says of itself, summed up."""
    found = re.findall(rf"^{name}(?:{{{label}[^}}]*}})? (\S+)$", get(url + "/metrics").decode(),
                       re.M)
    return sum(map(float, found))


def watch(name, process, replay, hosts, series, taken, extra=lambda: ""):
    """CPU time over a while, once all hosts have been scraped, for what taken() says has been
    taken up in it."""
    wait_for(lambda: len(replay.next) >= hosts, "scrape of each host", 180)
    time.sleep(SETTLE_S)
    before, samples, began = cpu_s(process), taken(), time.monotonic()
    largest = 0
    while time.monotonic() < began + MEASURE_S:
        time.sleep(5)
        largest = max(largest, rss_mb(process))
    used, samples = cpu_s(process) - before, taken() - samples
    rate, due = samples / (time.monotonic() - began), hosts * series / 15
    print(f"{name:32} {hosts:5} hosts {hosts * series:8} series {rate:8.0f} samples/s "
          f"({rate / due * 100:.0f} % of those due): {used / samples * 1e6:5.2f} µs of CPU time "
          f"a sample, so {used / samples * due * 100:.1f} % of a core when all come; "
          f"{largest:.0f} MB, {largest / hosts / series * 1e3:4.2f} kB a series{extra()}",
          flush=True)


QUERIES = (("all hosts by group", "sum by (groupname) (rate(proctally_cpu_seconds_total[2m]))"),
           ("ten groups of all hosts",
            "topk(10, sum by (instance, groupname) (rate(proctally_cpu_seconds_total[2m])))"),
           ("one host by group",
            'sum by (groupname) (rate(proctally_cpu_seconds_total{instance="host0001:9256"}[2m]))'),
           ("all hosts by group, recorded", "groupname:proctally_cpu_seconds:rate2m"))


def ask(process, url, hosts, queries):
    for name, query in queries:
        costs = []
        for _ in range(3):
            before, began = cpu_s(process), time.monotonic()
            try:
                text = get(url + "/api/v1/query?" + urllib.parse.urlencode({"query": query,
                                                                            "nocache": 1}),
                           timeout_s=60)
            except OSError as error: # it has more to do than the CPUs can: taking up comes first
                print(f"    {name}: no answer within a minute ({error})", flush=True)
                return
            costs.append((time.monotonic() - began, cpu_s(process) - before))
        rows, (wall, cpu) = len(json.loads(text)["data"]["result"]), min(costs)
        print(f"    {name}: {wall:.3f} s ({cpu:.2f} s of CPU time with what was scraped "
              f"meanwhile), {rows} rows, {hosts} hosts", flush=True)


RULES = """groups:
- name: proctally
  interval: 15s
  rules:
  - record: groupname:proctally_cpu_seconds:rate2m
    expr: sum by (groupname) (rate(proctally_cpu_seconds_total[2m]))
"""


def serve_prometheus(bodies, hosts, series, name):
    program, replay = shutil.which("prometheus"), Replay(bodies)
    config = scrape_config(replay, hosts, "prometheus")
    data, port = f"{WORK}/prometheus", free_port()
    process = start(program, f"--config.file={config}", f"--storage.tsdb.path={data}",
                    f"--web.listen-address=127.0.0.1:{port}", "--log.level=error")
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: get(url + "/-/ready"), "answer of Prometheus")
    watch(f"Prometheus, {name}", process, replay, hosts, series,
          lambda: own_metric(url, "prometheus_tsdb_head_samples_appended_total"))
    # rules only now: what they cost shows in what they ask
    rules = write("rules.yml", RULES)
    with open(config, "a", encoding="utf-8") as file:
        file.write(f"rule_files: [{rules}]\n")
    process.send_signal(signal.SIGHUP)
    time.sleep(35)
    ask(process, url, hosts, QUERIES)
    up = own_metric(url, "prometheus_tsdb_head_series")
    print(f"    series in the head: {up:.0f}; WAL: "
          f"{size_of(f'{data}/wal') / 1e6 / (SETTLE_S + MEASURE_S + 50):.2f} MB a second")
    stop(process)
    shutil.rmtree(data)


def serve_victoria(bodies, hosts, series, name):
    replay = Replay(bodies)
    config = scrape_config(replay, hosts, "victoria")
    data = f"{WORK}/victoria"
    process, url = start_victoria(data, f"-promscrape.config={config}")
    watch(f"VictoriaMetrics, {name}", process, replay, hosts, series,
          lambda: own_metric(url, "vm_rows_inserted_total", 'type="promscrape"'))
    ask(process, url, hosts, QUERIES[:-1]) # rules are vmalert's
    stop(process)
    shutil.rmtree(data)


def write_remotely(bodies, hosts, series, name):
    """An agent that scrapes, and hands on all of it."""
    program, replay = shutil.which("prometheus"), Replay(bodies)
    config = scrape_config(replay, hosts, "agent",
                           f"remote_write: [{{url: 'http://127.0.0.1:{replay.port}/write'}}]\n")
    data, port = f"{WORK}/agent", free_port()
    process = start(program, "--enable-feature=agent", f"--config.file={config}",
                    f"--storage.agent.path={data}", f"--web.listen-address=127.0.0.1:{port}",
                    "--log.level=error")
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: get(url + "/-/ready"), "answer of the agent")

    def sent():
        samples = own_metric(url, "prometheus_remote_storage_samples_total")
        return (f"; written: {replay.written / samples:.1f} bytes a sample, "
                f"{replay.requests} requests")

    watch(f"Prometheus agent, {name}", process, replay, hosts, series,
          lambda: own_metric(url, "prometheus_remote_storage_samples_total"), sent)
    stop(process)
    shutil.rmtree(data)


def can_hold(hosts, series):
    """As many of the hosts as have room: Prometheus needs some 4 kB for a series."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        free = int(re.search(r"MemAvailable:\s+(\d+)", file.read()).group(1)) * 1024
    fits = int(free * 0.7 / 4500 / series)
    if fits < hosts:
        print(f"    room for {fits} hosts only, not {hosts}")
    return min(hosts, max(1, fits))


def main():
    if os.environ.get("FLEET_RECORD"): # for a look at one part of it: texts of an earlier run
        with open(os.environ["FLEET_RECORD"], encoding="utf-8") as file:
            texts = json.load(file)
    else:
        workers = start_workers()
        try:
            measure_texts()
            exporters = [Exporter("source: bpf\n", "native.yaml"),
                         Exporter("source: bpf\nschema: process-exporter\n", "theirs.yaml"),
                         Exporter("source: bpf\n" + FEW, "few.yaml")]
            time.sleep(10)
            texts = record(exporters)
            for exporter in exporters:
                stop(exporter.process)
        finally:
            os.kill(workers, signal.SIGKILL)
            os.waitpid(workers, 0)
        if os.environ.get("FLEET_KEEP"):
            with open(os.environ["FLEET_KEEP"], "w", encoding="utf-8") as file:
                json.dump(texts, file)
    native, theirs, few = map(Recorded, texts)
    print(f"recorded: {SAMPLES} samples, {STEP_S} s apart; played back: {len(native.series)}, "
          f"{len(theirs.series)} and {len(few.series)} series (left out, as they came later: "
          f"{native.left_out}, {theirs.left_out}, {few.left_out})")
    for name, recorded in (("native", native), ("schema process-exporter", theirs),
                           ("native, five metrics", few)):
        store(name, recorded)
    count = (SETTLE_S + MEASURE_S + 240) // 15
    for name, recorded in (("native", native), ("five metrics", few)):
        bodies, series = list(recorded.bodies(count)), len(recorded.series)
        hosts = can_hold(HOSTS, series)
        if shutil.which("prometheus"):
            serve_prometheus(bodies, hosts, series, name)
        if shutil.which("victoria-metrics"):
            serve_victoria(bodies, hosts, series, name)
        if shutil.which("prometheus"):
            write_remotely(bodies, hosts, series, name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    finally:
        for left in running:
            left.kill()
            left.wait()
