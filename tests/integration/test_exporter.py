#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""proctally-exporter, asked by Python, curl, a strict parser and a real Prometheus."""
import gzip
import re
import resource
import ssl
import threading

from common import *
from common import http as http_get
import http.client

EXPORTER = os.path.join(BUILD, "plugins/exporter/proctally-exporter")
if not os.path.exists(EXPORTER):
    skip_all("proctally-exporter is not built")

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Exporter:
    """One that listens on a free port of the loopback, and reads /proc."""

    def __init__(self, *flags, source="procfs", address="127.0.0.1:%d", wait=True, **how):
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        listen = ["--web.listen-address", address % self.port] if address else []
        self.process = start([EXPORTER, *listen, *(["--source", source] if source else []), *flags],
                             stderr=self.log, **how)
        if wait:
            wait_for(lambda: "listening on" in self.said() or self.process.poll() is not None,
                     "that it listens")
            check(self.process.poll() is None, "it has ended", self.said())

    def said(self):
        return written_to(self.log)

    def ask(self, path="/metrics", method="GET", headers=None, body=None, connection=None):
        """(status, headers with names in small letters, body as bytes)"""
        c = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path, body=body, headers=headers or {})
        answer = c.getresponse()
        data = answer.read()
        if not connection:
            c.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, data

    def metrics(self):
        status, headers, data = self.ask()
        check_equal(status, 200, "status (%r)" % data[:200])
        return Metrics(data.decode("utf-8"))

    def groups(self):
        status, headers, data = self.ask("/groups.json")
        check_equal(status, 200, "status (%r)" % data[:200])
        return json.loads(data)

    def raw(self, data, shut=False):
        """What comes back for these bytes, up to the end of the connection or 5 s without more."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            with contextlib.suppress(OSError): # it may have closed already
                s.sendall(data)
                if shut:
                    s.shutdown(socket.SHUT_WR)
            found = b""
            with contextlib.suppress(OSError):
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    found += part
            return found

    def resident(self):
        return int(re.search(r"VmRSS:\s+(\d+)", read_text("/proc/%d/status" % self.process.pid))
                   .group(1)) * 1024

    def end(self):
        check_equal(stop(self.process), 0, "its status (%s)" % self.said())


# ---- What it says ------------------------------------------------------------------------

def case_formats():
    """Each by its content type; the strict parsers of others take them."""
    e = Exporter()
    w = Workload(SLEEPER)
    w.hear()
    start_hostile()
    status, headers, text = e.ask()
    check_equal((status, headers["content-type"]), (200, TEXT_TYPE), "the text format")
    check_equal(int(headers["content-length"]), len(text), "its length")
    time.sleep(1.1)
    metrics = e.metrics()
    check_equal(metrics.series["proctally_processes", frozenset({("groupname", w.name)})], 1,
                "processes of a group")
    check(metrics.series["process_resident_memory_bytes", frozenset()] > 1 << 20,
          "its own memory")
    promtool = shutil.which("promtool")
    if promtool:
        done = subprocess.run([promtool, "check", "metrics"], input=e.ask()[2],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # its remarks about process_* are those that it has for each client library
        check_equal(done.returncode, 0, "promtool: %r" % done.stdout[:2000])

    status, headers, text = e.ask(headers={"Accept": "application/openmetrics-text"})
    check_equal((status, headers["content-type"]), (200, OPENMETRICS_TYPE), "OpenMetrics")
    check(text.endswith(b"\n# EOF\n"), "its end", text[-100:])

    status, headers, text = e.ask("/groups.json")
    check_equal((status, headers["content-type"]), (200, JSON_TYPE), "JSON")
    found = json.loads(text)
    names = [g["name"] for g in found["groups"]]
    check(names == sorted(names, key=lambda n: n.encode()) and w.name in names, "groups", names)
    check('a"b' in names, "a name that has to be escaped", names)
    check_equal(found["self"]["source_procfs"], 1, "the source")
    group = next(g for g in found["groups"] if g["name"] == w.name)
    check_equal(group["metrics"]["processes"], 1, "processes of a group")
    e.end()


STRICT_PARSER = """
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
print(json.dumps({f.name: [f.type, f.unit, sorted({s.name for s in f.samples})] for f in families}))
"""


def case_openmetrics_by_its_own_parser():
    python = next((p for p in (PYTHON, "/usr/bin/python3")
                   if run([p, "-c", "import prometheus_client.openmetrics.parser"])[0] == 0), None)
    if not python:
        raise Skipped("prometheus_client is not installed")
    start_hostile()
    for schema in "native", "process-exporter", "process":
        e = Exporter("--schema", schema, "--group-by", "name,user", "--min-age", "1h")
        text = e.ask(headers={"Accept": "application/openmetrics-text"})[2]
        done = subprocess.run([python, "-c", STRICT_PARSER], input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        check_equal(done.returncode, 0, "the parser's status (%r)" % done.stderr[-1000:])
        families = json.loads(done.stdout)
        samples = {name for f in families.values() for name in f[2]}
        if schema == "native":
            check_equal(families["proctally_cpu_seconds"][:2], ["counter", "seconds"], "CPU time")
            check_equal(families["proctally_memory_rss_bytes"][:2], ["gauge", "bytes"], "memory")
        check_equal(samples, {n for n, _ in e.metrics().series}, "names in schema %s" % schema)
        e.end()


def case_what_is_accepted():
    e = Exporter()
    for accept, wanted in (
            (None, TEXT_TYPE), ("*/*", TEXT_TYPE), ("text/html,*/*;q=0.8", TEXT_TYPE),
            ("application/json", TEXT_TYPE), ("application/openmetrics-text", OPENMETRICS_TYPE),
            ("application/openmetrics-text; version=1.0.0; q=0.3, text/plain;q=0.2",
             OPENMETRICS_TYPE),
            ("application/openmetrics-text;version=0.0.1, text/plain;q=0.2", TEXT_TYPE),
            ("application/openmetrics-text;q=0.1,text/plain;version=0.0.4;q=0.5", TEXT_TYPE),
            # of Prometheus 3
            ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
             "encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;"
             "escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
             "text/plain;version=0.0.4;q=0.2,*/*;q=0.1", OPENMETRICS_TYPE),
            (";;;q=,,\"", TEXT_TYPE)):
        status, headers, text = e.ask(headers={"Accept": accept} if accept is not None else {})
        check_equal((status, headers["content-type"]), (200, wanted), "for Accept: %s" % accept)
    plain = e.ask()[2]
    for accept, wanted in ((None, None), ("gzip", "gzip"), ("gzip;q=0", None), ("*", "gzip"),
                           ("deflate, gzip;q=1.0, *;q=0.5", "gzip"), ("zstd", None),
                           ("identity", None), ("GZIP", "gzip")):
        status, headers, text = e.ask(headers={"Accept-Encoding": accept} if accept else {})
        check_equal((status, headers.get("content-encoding")), (200, wanted),
                    "for Accept-Encoding: %s" % accept)
        if wanted:
            text = gzip.decompress(text)
        check(text.startswith(b"# HELP proctally_processes "), "the text", text[:100])
    check(len(e.ask(headers={"Accept-Encoding": "gzip"})[2]) < len(plain) / 4, "it is large")


def case_methods_and_places():
    e = Exporter("--web.enable-lifecycle")
    wait_for(lambda: e.ask("/-/ready")[0] == 200, "the first collection")
    for method, path, wanted in (
            ("GET", "/", 200), ("GET", "/nothing", 404), ("GET", "/metrics/", 404),
            ("POST", "/metrics", 405), ("DELETE", "/", 405), ("GET", "/-/reload", 405),
            ("POST", "/-/reload", 200), ("GET", "/-/healthy", 200), ("GET", "/-/ready", 200),
            ("GET", "/favicon.ico", 204), ("GET", "/metrics?x=y", 200),
            ("GET", "/../../etc/passwd", 404), ("GET", "http://elsewhere/metrics", 200),
            ("GET", "/%2e%2e/metrics", 404), ("GET", "/metrics%20", 404)):
        status, headers, text = e.ask(path, method)
        check_equal(status, wanted, "%s %s (%r)" % (method, path, text[:100]))
        check("content-length" in headers or status == 204, "no length", headers)
        check_equal("allow" in headers, status == 405, "the header Allow of %s" % path)
    status, headers, text = e.ask(method="HEAD")
    check_equal((status, text), (200, b""), "HEAD")
    check(int(headers["content-length"]) > 1000, "the length that HEAD tells", headers)
    check_equal(e.ask("/metrics", "POST", body=b"x" * 100)[0], 405, "a small body")
    check_equal(e.ask("/metrics", "POST", body=b"x" * 200000)[0], 413, "a large body")
    plain = Exporter("--web.telemetry-path", "/m")
    check_equal([plain.ask(p)[0] for p in ("/m", "/metrics", "/-/reload")], [200, 404, 404],
                "with another path, and no lifecycle")


def case_rubbish():
    """Whatever comes, the next honest scrape is answered."""
    e = Exporter()
    for data, wanted in (
            (b"GET /metrics HTTP/1.0\r\n\r\n", b" 200 "),
            (b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b" 200 "),
            # no more than it reads: with a rest to read the kernel resets the connection
            (b"GET /" + b"a" * 12288, b"HTTP/1.1 414 "),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 12288, b"HTTP/1.1 431 "),
            (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", None),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100000 + b"\r\n\r\n", None),
            (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10000 + b"\r\n", None),
            (b"\0" * 1000, None), (bytes(range(256)) * 40, None), (b"GET /metrics\0 HTTP/1.1\r\n\r\n", b""),
            (b"GET / HTTP/9.9\r\n\r\n", None), (b"GET\r\n\r\n", None),
            (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", None),
            (b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
            # two at once, of which the second one ends the connection
            (b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
             b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"ready\n")):
        found = e.raw(data, shut=wanted is None)
        check(wanted is None or wanted in found, "%r" % data[:60], found[:300])
        check(wanted is not None or not found.startswith(b"HTTP/1.1 200"),
              "%r is answered" % data[:60])
    found = e.raw(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", shut=True)
    check(b" 200 " in found, "a connection that is half closed", found[:200])
    check_equal(e.ask()[0], 200, "status afterwards")
    e.end()


# ---- When it collects ------------------------------------------------------------------------

def case_one_collection_for_all():
    """Who asks at the same time, or within min-age, gets the same snapshot."""
    e = Exporter("--min-age", "1h")
    e.ask("/groups.json")
    times = []
    threads = [threading.Thread(target=lambda: times.append(e.groups()["time"]))
               for _ in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check_equal((len(times), len(set(times))), (30, 1), "snapshots")
    now = Exporter("--min-age", "1ms")
    wait_for(lambda: "source procfs, collecting when asked, and looking 15 s after" in now.said(),
             "that it says what was chosen")
    times = set()
    for _ in range(5):
        times.add(now.groups()["time"])
        time.sleep(0.05)
    check_equal(len(times), 5, "snapshots with a small min-age")


def case_too_many_wait():
    """More than --web.max-requests that wait for a collection are told to come again."""
    e = Exporter("--min-age", "0", "--web.max-requests", "1")
    answers = []

    def ask():
        answers.append(e.ask())

    def all_at_once():
        threads = [threading.Thread(target=ask) for _ in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return {status for status, _, _ in answers} == {200, 503}
    wait_for(all_at_once, "one that had to wait beside another")
    for status, headers, data in answers:
        check(status == 200 or (headers.get("retry-after"), data) ==
              ("1", b"too many requests wait already\n"), "status %d" % status, headers, data[:100])
    check_equal(e.ask()[0], 200, "alone")
    e.end()


def case_background():
    """With an interval scrapes get the last one."""
    e = Exporter("--interval", "300ms")
    first = e.groups()
    check_equal(len({e.groups()["time"] for _ in range(3)} | {first["time"]}) <= 2, True,
                "more snapshots than intervals")
    later_one = wait_for(lambda: e.groups() if e.groups()["time"] > first["time"] else None,
                         "the next one")
    check_near(later_one["interval"], 0.3, "the interval", absolute=2)


def case_two_scrapers():
    """At different intervals: counters that never fall, and add up; short lives are counted."""
    e = Exporter("--min-age", "50ms")
    w = Workload("""
while wait():
    for i in range(20):
        if os.fork() == 0:
            burn(0.01)
            os._exit(0)
        os.wait()
    say(used=cpu() + cpu(resource.RUSAGE_CHILDREN))
""")
    seen, done = [], threading.Event()

    def other():
        while not done.wait(0.11):
            seen.append(e.groups())
    thread = threading.Thread(target=other)
    e.metrics()
    thread.start()
    try:
        for _ in range(4):
            w.go_on()
            used = w.hear()["used"]
            time.sleep(0.3)
            seen.append(e.groups())
    finally:
        done.set()
        thread.join()
    time.sleep(0.1)
    last = e.metrics()
    group = frozenset({("groupname", w.name)})
    cpu = sum(last.series["proctally_cpu_seconds_total", group | {("mode", mode)}]
              for mode in ("user", "system"))
    check_near(cpu, used, "CPU time of 80 short processes and their parent", relative=0.05, absolute=4 * TICK)
    # one snapshot after the other, whoever has asked for it
    snapshots = {s["time"]: s for s in seen}
    rows = [(s["interval"], next(g["metrics"] for g in s["groups"] if g["name"] == w.name))
            for s in (snapshots[t] for t in sorted(snapshots))]
    for name in "starts", "exits", "cpu_user", "cpu_system":
        values = [metrics[name] for _, metrics in rows]
        check_equal(values, sorted(values), name + ", as it was scraped")
    cpu = [metrics["cpu_user"] + metrics["cpu_system"] for _, metrics in rows]
    usage = sum(interval * metrics["cpu_usage"] * os.cpu_count() for interval, metrics in rows[1:])
    print("      %d snapshots: %.3f s by CPU usage, %.3f s by counters" % (
        len(rows), usage, cpu[-1] - cpu[0]))
    check_near(usage, cpu[-1] - cpu[0], "CPU usage, of the time since the snapshot before",
               relative=0.01, absolute=0.001)


def case_reload():
    directory = temp_dir()
    config = write_text(os.path.join(directory, "c.yaml"), "group-by: [name]\n")
    e = Exporter("--config", config, "--min-age", "1ms", "--web.enable-lifecycle")
    w = Workload(SLEEPER)
    w.hear()
    names = lambda: [g["name"] for g in e.groups()["groups"]]
    wait_for(lambda: w.name in names(), "the group")
    write_text(config, "process_names:\n- {name: renamed, comm: [%s]}\n" % w.name)
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "renamed" in names(), "the new group")
    write_text(config, "group-by: [nonsense]\n")
    check_equal(e.ask("/-/reload", "POST")[0], 200, "POST /-/reload")
    wait_for(lambda: "the old configuration stays" in e.said(), "the mistake in the log")
    check("renamed" in names(), "the old rules are gone", names())
    e.end()


def case_one_slow_collection():
    """A scrape that can't wait for as long as the last one took is refused, and not for ever."""
    e = Exporter("--min-age", "0", "--web.enable-lifecycle")
    patient = {"X-Prometheus-Scrape-Timeout-Seconds": "60"}
    hurried = {"X-Prometheus-Scrape-Timeout-Seconds": "1"}
    check_equal(e.ask(headers=hurried)[0], 200, "at first")
    answers = []
    for _ in range(10): # the stop has to come while it collects
        t = threading.Thread(target=lambda: answers.append(e.ask(headers=patient)[0]))
        t.start()
        e.process.send_signal(signal.SIGSTOP)
        time.sleep(1.3)
        e.process.send_signal(signal.SIGCONT)
        t.join()
        if e.ask(headers=hurried)[0] == 503:
            break
    wait_for(lambda: e.ask(headers=hurried)[0] == 200, "that it is answered again", 40, every=1)
    check_equal(set(answers), {200}, "who has time")


def case_changes_show():
    """What a reload, or a collection that fails, makes wrong is not served any more."""
    directory = temp_dir()
    config = write_config(os.path.join(directory, "c.yaml"), "interval: 1h\n")
    e = Exporter("--config", config)
    check(b"\nproctally_processes{" in e.ask()[2], "its own names")
    write_config(config, "interval: 1h\nschema: process-exporter\ngroup-by: [name]\n")
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: b"\nnamedprocess_namegroup_num_procs{" in e.ask()[2], "the new names")
    # from now on when it is asked
    write_config(config, "group-by: [name]\n")
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: b"\nproctally_processes{" in e.ask()[2], "its own names again")
    first = e.groups()["time"]
    time.sleep(1.1)
    check(e.groups()["time"] > first, "the same snapshot for ever")

    none = Exporter("--procfs", os.path.join(directory, "none"))
    check_equal([none.ask(p)[0] for p in ("/metrics", "/groups.json", "/-/ready", "/-/healthy")],
                [503, 503, 503, 200], "without /proc")
    before = cpu_of(none.process.pid)
    time.sleep(1)
    check(cpu_of(none.process.pid) - before < 0.5, "it runs and runs without /proc")


def case_ready():
    """It is ready when the last collection worked, or the last look that nobody asked for."""
    directory = temp_dir()
    procfs = os.path.join(directory, "proc")
    config = write_config(os.path.join(directory, "c.yaml"), "procfs: %s\n" % procfs)
    e = Exporter("--config", config)
    ready = lambda: e.ask("/-/ready")[0]
    check_equal(ready(), 503, "without /proc")
    os.symlink("/proc", procfs)
    wait_for(lambda: ready() == 200, "that a look finds /proc", 25, every=0.5)
    check("collecting works again" in e.said(), "what it says", e.said())

    # no descriptors: neither for collecting nor for another connection
    c = http.client.HTTPConnection("127.0.0.1", e.port, timeout=30)
    ready = lambda: e.ask("/-/ready", connection=c)[0]
    check_equal(ready(), 200, "on a connection that stays")
    soft, hard = resource.prlimit(e.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(e.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    wait_for(lambda: ready() == 503, "that a look fails", 25, every=0.5)
    check_equal(e.said().count("cannot collect"), 1, "how often it says so")
    resource.prlimit(e.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    check_equal(e.ask(connection=c)[0], 200, "a scrape")
    check_equal(ready(), 200, "after a scrape that worked")
    resource.prlimit(e.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    time.sleep(1.1) # --min-age
    check_equal(e.ask(connection=c)[0], 503, "a scrape")
    check_equal(ready(), 503, "after a scrape that failed")
    c.close()


def case_ready_after_reload():
    """Another configuration is looked at with at once; it is not ready before that worked."""
    directory = temp_dir()
    config = write_config(os.path.join(directory, "c.yaml"),
                          "procfs: %s\n" % os.path.join(directory, "none"))
    e = Exporter("--config", config)
    check_equal(e.ask("/-/ready")[0], 503, "without /proc")
    write_config(config, "group-by: [name]\n")
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "has been read again" in e.said(), "the reload")
    wait_for(lambda: e.ask("/-/ready")[0] == 200, "that it is ready")
    check("collecting works again" in e.said(), "nothing was looked at", e.said())


def cpu_of(pid):
    fields = read_text("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK


# ---- Where it listens -------------------------------------------------------------------------

def case_addresses():
    path = os.path.join(temp_dir(), "socket")
    other = free_port()
    e = Exporter("--web.listen-address", "[::1]:%d" % other, "--web.listen-address",
                 "unix:" + path)
    check_equal(e.ask()[0], 200, "IPv4")
    check_equal(http_get("http://[::1]:%d/metrics" % other)[0], 200, "IPv6")
    curl = need_program("curl")
    ask_unix = [curl, "-sf", "--unix-socket", path, "http://x/-/healthy"]
    check_equal(run(ask_unix)[1], "healthy\n", "a socket in the file system")
    e.process.kill()
    e.process.wait()
    # what it left behind is taken over, and what is in use is not
    again = Exporter("--web.listen-address", "unix:" + path)
    check_equal(run(ask_unix)[1], "healthy\n", "the socket that was left behind")
    for address in "unix:" + path, "127.0.0.1:%d" % again.port:
        status, out, err = run([EXPORTER, "--source", "procfs", "--web.listen-address", address])
        check(status == 1 and "Address already in use; another program listens there" in err,
              "a second one: status %d" % status, err)
    for address in "nonsense", "::1:9256", "127.0.0.1:99999", "unix:", "127.0.0.1:":
        status, out, err = run([EXPORTER, "--source", "procfs", "--web.listen-address", address])
        check(status == 1 and "expected" in err, "%s: status %d" % (address, status), err)
    if is_root() and int(read_text("/proc/sys/net/ipv4/ip_unprivileged_port_start")) > 1:
        status, out, err = run([*as_nobody(), EXPORTER, "--source", "procfs",
                                "--web.listen-address", "127.0.0.1:1"])
        check(status == 1 and "127.0.0.1:1: Permission denied" in err,
              "a port below 1024, without the right: status %d" % status, err)
    # one of two fails: none listens
    port = free_port()
    status, out, err = run([EXPORTER, "--source", "procfs", "--web.listen-address",
                            "127.0.0.1:%d" % port, "--web.listen-address",
                            "127.0.0.1:%d" % again.port])
    check_equal(status, 1, "status with one address of two in use")


def case_wildcards_and_names():
    """[::] is both families, 0.0.0.0 is IPv4; of a name IPv4 comes first, then what can be had."""
    four, six = "127.0.0.1", "[::1]"

    def reached(port):
        found = []
        for host in four, six:
            with contextlib.suppress(OSError), \
                 socket.create_connection((host.strip("[]"), port), 5):
                found.append(host)
        return found

    for host, expected in ("[::]", [four, six]), ("", [four, six]), ("0.0.0.0", [four]), \
                          ("[::1]", [six]), (four, [four]):
        e = Exporter(address=host + ":%d")
        check_equal(reached(e.port), expected, "who answers at \"%s\"" % host)
        e.end()

    need_mounts() # for names of its own
    hosts = write_text(os.path.join(temp_dir(), "hosts"),
                       "::1 both.test\n127.0.0.1 both.test\n"
                       "192.0.2.1 moved.test\n::1 moved.test\n192.0.2.1 gone.test\n")
    def begin(address):
        log = tempfile.TemporaryFile()
        return log, start(["unshare", "-m", "sh", "-c", "mount --bind %s /etc/hosts && exec \"$@\"" %
                           hosts, "sh", EXPORTER, "--source", "procfs", "--web.listen-address",
                           address], stderr=log)

    for name, expected in ("both.test", [four]), ("moved.test", [six]):
        port = free_port()
        log, process = begin("%s:%d" % (name, port))
        wait_for(lambda: reached(port) or process.poll() is not None, "an answer at " + name)
        check_equal(reached(port), expected, "who answers at %s (%s)" % (name, written_to(log)))
        if name == "both.test":
            # taken by another one: that is an error, not a reason to listen at ::1
            log, process = begin("%s:%d" % (name, port))
            wait_for(lambda: process.poll() is not None, "its end")
            check("another program listens there" in written_to(log), "what it says",
                  written_to(log))
    log, process = begin("gone.test:%d" % free_port())
    wait_for(lambda: process.poll() is not None, "its end")
    check("Cannot assign requested address" in written_to(log), "what it says", written_to(log))


def start_by_systemd(listening):
    """One that has got this socket as systemd hands it over."""
    script = "import os,sys\nos.environ['LISTEN_PID']=str(os.getpid())\n" \
             "os.environ['LISTEN_FDS']='1'\nos.dup2(%d,3)\nos.set_inheritable(3,True)\n" \
             "os.execv(sys.argv[1],sys.argv[1:])\n" % listening.fileno()
    return start([PYTHON, "-c", script, EXPORTER, "--web.systemd-socket", "--source", "procfs"],
                 pass_fds=[listening.fileno()], stderr=tempfile.TemporaryFile())


def case_socket_of_systemd():
    """Descriptors as systemd hands them over."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]

        start_by_systemd(s)
        wait_for(lambda: http_get("http://127.0.0.1:%d/-/ready" % port)[0] == 200, "an answer")
    status, out, err = run([EXPORTER, "--web.systemd-socket", "--source", "procfs"])
    check(status == 1 and "systemd has handed over 0 sockets" in err, "without any", err)


# ---- Who may ask --------------------------------------------------------------------------------

def make_hash(password):
    """bcrypt of least cost, by the C library."""
    crypt = ctypes.CDLL("libcrypt.so.1")
    crypt.crypt.restype = ctypes.c_char_p
    return crypt.crypt(password.encode(), b"$2b$04$abcdefghijklmnopqrstuu").decode()


def basic(user, password):
    import base64
    return {"Authorization": "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode())
            .decode()}


def case_passwords():
    directory = temp_dir()
    web = write_config(os.path.join(directory, "web.yml"),
                       "basic_auth_users:\n  ann: %s\n" % make_hash("hunter2"))
    e = Exporter("--web.config.file", web)
    check_equal(e.ask(headers=basic("ann", "hunter2"))[0], 200, "with the password")
    status, headers, text = e.ask()
    check_equal((status, headers.get("www-authenticate")), (401, "Basic"), "without")
    for user, password in ("ann", "hunter3"), ("bob", "hunter2"), ("", ""), ("ann", ""):
        check_equal(e.ask(headers=basic(user, password))[0], 401, "%s:%s" % (user, password))
    for path in "/", "/groups.json", "/-/healthy", "/nothing":
        check_equal(e.ask(path)[0], 401, path)
    # another password: those who are connected have to know it as well
    c = http.client.HTTPConnection("127.0.0.1", e.port, timeout=30)
    check_equal(e.ask(headers=basic("ann", "hunter2"), connection=c)[0], 200, "kept alive")
    write_config(web, "basic_auth_users:\n  ann: %s\n" % make_hash("other"))
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: e.ask(headers=basic("ann", "other"))[0] == 200, "the new password")
    with contextlib.suppress(http.client.HTTPException, OSError):
        check_equal(e.ask(headers=basic("ann", "hunter2"), connection=c)[0], 401,
                    "the old password on an old connection")
    check_equal(e.ask(headers=basic("ann", "hunter2"))[0], 401, "the old password")
    # an empty one does not open the door
    write_config(web, "")
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "is empty, expected a web configuration" in e.said(), "the word about it")
    check_equal(e.ask()[0], 401, "status with an empty file")
    # a broken file changes nothing
    write_config(web, "basic_auth_users:\n  ann: plain\n")
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: e.said().count("the old web configuration stays") == 2,
             "the mistake in the log")
    check("plain" not in e.said(), "the password is in the log", e.said())
    check_equal(e.ask(headers=basic("ann", "other"))[0], 200, "status afterwards")
    e.end()


def case_rate_and_headers():
    web = write_config(os.path.join(temp_dir(), "web.yml"), """
http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=60
rate_limit:
  interval: 1h
  burst: 3
""")
    e = Exporter("--web.config.file", web)
    answers = [e.ask() for _ in range(5)]
    check_equal([a[0] for a in answers], [200, 200, 200, 429, 429], "statuses")
    for status, headers, text in answers:
        check_equal((headers.get("x-frame-options"), headers.get("strict-transport-security")),
                    ("deny", "max-age=60"), "headers of status %d" % status)


def make_certificates(directory, days=2, crl=None):
    """An authority, a certificate for the loopback, and one of a client."""
    openssl = need_program("openssl")

    def call(*argv):
        status, out, err = run([openssl, *argv], cwd=directory)
        check_equal(status, 0, "openssl (%s)" % err)
    call("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
         "-subj", "/CN=authority", "-days", str(days))
    for name, san in ("server", "IP:127.0.0.1,IP:::1"), ("client", "DNS:prometheus.example"):
        call("req", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out", name + ".csr",
             "-subj", "/CN=" + name)
        write_text(os.path.join(directory, "extensions"), "subjectAltName=%s\n%s" % (
            san, "crlDistributionPoints=URI:%s\n" % crl if crl else ""))
        call("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key",
             "-CAcreateserial", "-out", name + ".pem", "-days", str(days), "-extfile", "extensions")
        os.chmod(os.path.join(directory, name + ".key"), 0o600)


def ask_tls(port, directory, client=False, **versions):
    context = ssl.create_default_context(cafile=os.path.join(directory, "ca.pem"))
    if client:
        context.load_cert_chain(os.path.join(directory, "client.pem"),
                                os.path.join(directory, "client.key"))
    for key, value in versions.items():
        setattr(context, key, value)
    c = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
    c.request("GET", "/metrics")
    answer = c.getresponse()
    text = answer.read()
    c.close()
    return answer.status, text


def case_tls():
    directory = temp_dir()
    make_certificates(directory)
    web = write_config(os.path.join(directory, "web.yml"), """
tls_server_config:
  cert_file: server.pem
  key_file: server.key
""")
    e = Exporter("--web.config.file", web)
    status, text = ask_tls(e.port, directory)
    check(status == 200 and b"proctally_processes" in text, "over TLS: %d" % status)
    check_equal(ask_tls(e.port, directory, maximum_version=ssl.TLSVersion.TLSv1_2)[0], 200,
                "over TLS 1.2")
    check(b"HTTP/1.1 200" not in e.raw(b"GET /metrics HTTP/1.0\r\n\r\n"), "without TLS")
    # a new certificate is taken up, and who has connected keeps his answer
    make_certificates(directory)
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: ask_tls(e.port, directory)[0] == 200, "the new certificate")
    write_config(web, """
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example]
""")
    e.process.send_signal(signal.SIGHUP)

    def is_refused(client):
        try:
            return ask_tls(e.port, directory, client=client)[0] == 403
        except (OSError, http.client.HTTPException):
            return True
    wait_for(lambda: is_refused(False), "that a client without a certificate is refused")
    check_equal(ask_tls(e.port, directory, client=True)[0], 200, "with a certificate")
    write_config(web, read_text(web).replace("prometheus.example", "another.example"))
    e.process.send_signal(signal.SIGHUP)
    wait_for(lambda: is_refused(True), "that another name is refused")
    e.end()
    os.remove(os.path.join(directory, "server.key"))
    status, out, err = run([EXPORTER, "--web.config.file", web])
    check(status == 2 and "server.key" in err, "without the key: status %d" % status, err)


# ---- Too many -----------------------------------------------------------------------------------

def case_crowd():
    """Hundreds of connections that say nothing, or half a word, keep nobody out."""
    e = Exporter("--web.max-connections", "100")
    before = e.resident()
    idle = []
    for i in range(400):
        s = socket.create_connection(("127.0.0.1", e.port), 10)
        later(s.close)
        if i % 2:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        idle.append(s)
        if i % 50 == 0:
            check_equal(e.ask()[0], 200, "status with %d others" % i)
    check_equal(e.ask()[0], 200, "status with 400 others")
    # who does not read what it asked for
    for s in idle[-90:]:
        with contextlib.suppress(OSError):
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
    check_equal(e.ask()[0], 200, "status with 90 that do not read")
    check(e.resident() - before < 16 << 20, "it grew by %d MiB" % ((e.resident() - before) >> 20))
    open_now = len(os.listdir("/proc/%d/fd" % e.process.pid))
    check(open_now < 250, "%d descriptors" % open_now)
    e.end()


def case_few_descriptors():
    """Fewer connections, and no process that vanishes for want of a descriptor."""
    import resource

    def limit(count):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    e = Exporter("--min-age", "0", preexec_fn=limit(200))
    check("connections at a time: only 200 descriptors" in e.said(), "no word about it", e.said())
    before = len([g for g in e.groups()["groups"] if g["metrics"]["processes"]])
    for _ in range(300):
        s = socket.create_connection(("127.0.0.1", e.port), 10)
        later(s.close)
    after = len([g for g in e.groups()["groups"] if g["metrics"]["processes"]])
    check(after > before * 0.8, "%d groups, and %d before" % (after, before))
    status, out, err = run([EXPORTER, "--source", "procfs", "--web.listen-address",
                            "127.0.0.1:%d" % free_port()], preexec_fn=limit(50))
    check(status == 1 and "only 50 descriptors" in err, "far too few: status %d" % status, err)


def case_end_of_service():
    """SIGTERM: what is being sent is sent, and the status is 0."""
    e = Exporter("--min-age", "1ms")
    results = []

    def hammer():
        try:
            while True:
                results.append(e.ask()[0])
        except (OSError, http.client.HTTPException) as error:
            results.append(error)
    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for t in threads:
        t.start()
    wait_for(lambda: len(results) > 20, "some answers")
    e.process.terminate()
    check_equal(e.process.wait(20), 0, "its status")
    for t in threads:
        t.join()
    statuses = {r for r in results if isinstance(r, int)}
    check(statuses <= {200, 503}, "statuses", sorted(statuses))


def ask_anew(connect, pause):
    """The status of an answer on a new connection, which says nothing at first for so many
    seconds; None if nobody lets it in."""
    with contextlib.closing(connect()) as s:
        s.settimeout(20)
        time.sleep(pause)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while True:
            part = s.recv(1 << 16)
            if not part:
                break
            answer += part
    check(answer, "no answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    status, length = re.match(rb"HTTP/1.1 (\d+) (?:.|\s)*Content-Length: (\d+)", head).groups()
    check_equal(len(body), int(length), "length of the answer")
    return int(status)


def ask_while_restarting(connect, start_anew, restarts=8):
    """Whoever was let in gets an answer, however often the exporter ends meanwhile."""
    answers, failures, go_on = [], [], True

    def visit(pause):
        while go_on:
            try:
                answers.append(ask_anew(connect, pause))
            except (ConnectionRefusedError, FileNotFoundError):
                time.sleep(0.005)
            except Exception as error:
                failures.append(repr(error))
    threads = [threading.Thread(target=visit, args=(i % 4 * 0.01,)) for i in range(24)]
    for t in threads:
        t.start()
    try:
        for _ in range(restarts):
            process = start_anew()
            mark = len(answers)
            wait_for(lambda: len(answers) >= mark + 30, "some answers")
            check_equal(stop(process), 0, "its status")
        process = start_anew() # for those that are still to come in
    finally:
        go_on = False
        for t in threads:
            t.join()
    check_equal(failures, [], "of %d on new connections failed" % len(answers))
    check(len(answers) >= 200 and set(answers) <= {200, 503}, "answers", sorted(set(answers)))
    check_equal(stop(process), 0, "its status")


def case_end_and_new_connections():
    """SIGTERM: who has connected by then gets an answer, by TCP and in the file system."""
    port, path = free_port(), os.path.join(temp_dir(), "socket")

    def start_at(address):
        return Exporter("--web.listen-address", address, "--min-age", "1ms", address=None).process

    def connect_unix():
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
        except OSError:
            s.close()
            raise
        return s
    ask_while_restarting(lambda: socket.create_connection(("127.0.0.1", port), 20),
                         lambda: start_at("127.0.0.1:%d" % port))
    ask_while_restarting(connect_unix, lambda: start_at("unix:" + path))
    # systemd keeps its sockets, and those who wait there
    with socket.create_server(("127.0.0.1", port)) as s:
        ask_while_restarting(lambda: socket.create_connection(("127.0.0.1", port), 20),
                             lambda: start_by_systemd(s))


SLOW_ACCEPT = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>
int accept4(int fd, struct sockaddr *from, socklen_t *len, int flags) {
    static int (*next)(int, struct sockaddr *, socklen_t *, int);
    if (!next)
        next = (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
    const int got = next(fd, from, len, flags);
    if (got >= 0 && gettid() != getpid())
        usleep(%d);
    return got;
}
"""


def case_end_while_a_server_is_held_up():
    """SIGTERM while a thread has accepted a connection and not come to tell of it: a busy host
    can hold it up there."""
    held_up_s = 0.3
    directory = temp_dir()
    source, library = (os.path.join(directory, n) for n in ("slow.c", "slow.so"))
    write_text(source, SLOW_ACCEPT % int(held_up_s * 1e6))
    check_equal(run([need_program("cc", "gcc", "clang"), "-shared", "-fPIC", "-o", library, source,
                     "-ldl"])[0], 0, "compiling")
    e = Exporter(env=dict(os.environ, LD_PRELOAD=library))
    with socket.create_connection(("127.0.0.1", e.port), 20) as s:
        s.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(held_up_s / 3)
        e.process.terminate()
        check_equal(s.recv(1000).partition(b"\r\n")[0], b"HTTP/1.1 200 OK", "answer")
    check_equal(e.process.wait(20), 0, "its status")


def case_end_with_all_connections():
    """SIGTERM when there is room for nobody else: who is about to ask gets his answer."""
    e = Exporter("--web.max-connections", "1")
    with socket.create_connection(("127.0.0.1", e.port), 20) as s:
        s.sendall(b"GET /-/healthy HTTP/1.1\r\n")
        time.sleep(0.1)
        e.process.terminate()
        time.sleep(0.2)
        s.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        check_equal(s.recv(1000).partition(b"\r\n")[0], b"HTTP/1.1 200 OK", "answer")
    check_equal(e.process.wait(20), 0, "its status")


def case_end_without_waiting():
    """SIGTERM: who has connected and asks for what is there gets it, if there is still time."""
    e = Exporter()
    begun = time.monotonic() # after a second who has not asked has to leave
    there = [socket.create_connection(("127.0.0.1", e.port), 20) for _ in range(20)]
    check_equal(e.ask()[0], 200, "status")
    e.process.terminate()
    answers = []
    for s in there:
        time.sleep(0.01)
        with contextlib.closing(s), contextlib.suppress(OSError):
            s.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append(s.recv(1000).partition(b"\r\n")[0])
    check_equal(e.process.wait(20), 0, "its status")
    check(set(answers) <= {b"HTTP/1.1 200 OK", b""}, "answers", set(answers))
    check(b"HTTP/1.1 200 OK" in answers or time.monotonic() - begun > 1, "nobody got any")


def tasks_of(pid):
    return len(os.listdir("/proc/%d/task" % pid))


def case_another_configuration_and_new_connections():
    """Whoever came in before the web configuration changed is answered as well."""
    form = "http_server_config: {headers: {X-Frame-Options: %s}}\n"
    web = write_config(os.path.join(temp_dir(), "web.yml"), form % "deny")
    e = Exporter("--web.config.file", web, "--min-age", "1ms")
    before = tasks_of(e.process.pid)
    answers, failures, go_on = [], [], True

    def visit(pause):
        while go_on:
            try:
                answers.append(ask_anew(
                    lambda: socket.create_connection(("127.0.0.1", e.port), 20), pause))
            except Exception as error:
                failures.append(repr(error))
    threads = [threading.Thread(target=visit, args=(i % 4 * 0.01,)) for i in range(16)]
    for t in threads:
        t.start()
    try:
        for i in range(8):
            mark, said = len(answers), e.said().count("has been read again")
            write_config(web, form % ("sameorigin" if i % 2 == 0 else "deny"))
            e.process.send_signal(signal.SIGHUP)
            wait_for(lambda: e.said().count("has been read again") > said and
                     len(answers) > mark + 25, "the new configuration")
    except Failed:
        print("      %d answers since, %d failures, the last %s; it said:\n%s" % (
            len(answers) - mark, len(failures), failures[-3:], e.said()))
        raise
    finally:
        go_on = False
        for t in threads:
            t.join()
    check_equal(failures, [], "of %d on new connections failed" % len(answers))
    check_equal(set(answers), {200}, "statuses")
    wait_for(lambda: tasks_of(e.process.pid) == before, "that who served by the old ones leaves")
    e.end()


def case_end_without_a_word():
    """SIGTERM is not held up for long by who has connected and asks for nothing."""
    e = Exporter()
    silent = [socket.create_connection(("127.0.0.1", e.port), 10) for _ in range(20)]
    half = socket.create_connection(("127.0.0.1", e.port), 10)
    half.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
    idle = http.client.HTTPConnection("127.0.0.1", e.port, timeout=10)
    check_equal(e.ask(connection=idle)[0], 200, "status")
    begun = time.monotonic()
    e.end()
    # after 5 s it would leave in any case
    check(time.monotonic() - begun < 4.5, "it took %.1f s" % (time.monotonic() - begun))
    for s in silent + [half]:
        check_equal(s.recv(1), b"", "what it said to one who said nothing")
        s.close()


# ---- In place of process-exporter ------------------------------------------------------------

def case_command_line_of_process_exporter():
    """Its flags, with one dash or two; groups, names of series, and what is missing is said."""
    w = Workload(SLEEPER)
    w.hear()
    config = write_text(os.path.join(temp_dir(), "c.yaml"),
                        "process_names:\n- comm: [%s]\n" % w.name)
    port = free_port()
    e = Exporter("-config.path", config, "-web.listen-address=127.0.0.1:%d" % port, "-threads",
                 "-recheck", "-web.telemetry-path=/m", "-children=false", "--remove-empty-groups",
                 "-debug=false", "-gather-smaps=false", address=None)
    e.port = port
    check("-threads has no" not in e.said() and "-recheck has no" in e.said(),
          "what has no meaning is said", e.said())
    metrics = Metrics(e.ask("/m")[2].decode())
    groups = {dict(labels)["groupname"] for name, labels in metrics.series
              if name == "namedprocess_namegroup_num_procs"}
    check_equal(groups, {w.name}, "groups")
    check_equal(metrics.sum("namedprocess_namegroup_thread_count"), 1, "threads by name")
    without = Exporter("-config.path", config, "-threads=false").metrics()
    check(not any("_thread_" in name for name, _ in without.series), "with -threads=false",
          sorted({name for name, _ in without.series}))
    for name in ("namedprocess_scrape_errors", "namedprocess_scrape_partial_errors",
                 "namedprocess_scrape_procread_errors"):
        check((name, frozenset()) in metrics.series, "no " + name)
    check(any(n == "process_exporter_build_info" for n, _ in metrics.series), "no build_info")
    for flags in ["-procnames", "a,%s,b" % w.name], ["-namemapping", r"%s,(say)\(" % w.name]:
        e = Exporter(*flags)
        groups = {dict(labels)["groupname"] for (name, labels), value in e.metrics().series.items()
                  if name == "namedprocess_namegroup_num_procs" and value}
        check_equal(groups, {w.name if flags[0] == "-procnames" else w.name + ":say"},
                    "groups with %s" % flags[0])
    # a name with what means something in YAML, and with what it would fold
    odd = Workload(SLEEPER, '"a\\: \n\t')
    odd.hear()
    e = Exporter("-procnames", odd.name)
    check_equal([v for (name, labels), v in e.metrics().series.items()
                 if name == "namedprocess_namegroup_num_procs"], [1], "processes of an odd name")
    status, out, err = run([EXPORTER, "-config.path", config, "-once-to-stdout-delay", "0.1s"])
    check_equal(status, 0, "status with -once-to-stdout-delay (%s)" % err)
    check("namedprocess_namegroup_num_procs" in out, "its output", out[:500])
    status, out, err = run([EXPORTER, "-namemapping", "a,(b),c"])
    check(status == 2 and "in turn" in err, "an odd number of words", err)


PARENT = """
child = os.fork()
if child == 0:
    os.close(1)
    set_name(b"a child")
    time.sleep(600)
    os._exit(0)
time.sleep(0.1)
say(ready=True)
wait()
os.kill(child, 9)
os._exit(0)
"""


def case_command_line_of_newer_process_exporter():
    """Of the versions whose flags are kingpin's: no- in front of switches, and log.*."""
    parent = Workload(PARENT)
    parent.hear()
    config = write_text(os.path.join(temp_dir(), "c.yaml"),
                        "process_names:\n- comm: [%s]\n" % parent.name)
    with_children = Exporter("--config.path", config, "--children", "--threads").metrics()
    e = Exporter("--config.path", config, "--no-children", "--no-threads", "--no-gather-smaps",
                 "--no-recheck", "--no-remove-empty-groups", "--no-debug",
                 "--no-web.systemd-socket", "--log.level=info", "--log.format", "logfmt")
    metrics = e.metrics()
    group = {"groupname": parent.name}
    procs = "namedprocess_namegroup_num_procs"
    check_equal((with_children.get(procs, **group), metrics.get(procs, **group)), (2, 1),
                "processes with and without children")
    check(any("_thread_" in n for n, _ in with_children.series), "no threads by name")
    names = {n for n, _ in metrics.series}
    check(not any("_thread_" in n for n in names), "with --no-threads", sorted(names))
    check("namedprocess_namegroup_num_threads" in names, "how many threads there are",
          sorted(names))
    for flag in "log.level", "log.format":
        check_equal(e.said().count("-%s has no meaning here" % flag), 1, "remarks on " + flag)
    check("-recheck" not in e.said() and "-debug" not in e.said(),
          "what is off needs no remark", e.said())
    names = {n for n, _ in Exporter("--schema", "process-exporter", "--no-threads", "--group-by",
                                    "name").metrics().series}
    check("namedprocess_namegroup_num_threads" in names and
          not any("_thread_" in n for n in names), "with the schema", sorted(names))
    status, out, err = run([EXPORTER, "-h"])
    check(status == 0 and out.startswith("Usage: proctally-exporter"), "-h", status, out, err)
    for flags in (["--threads", "--no-threads"], ["--no-children", "--children=true"],
                  ["--no-recheck", "--recheck"]):
        status, out, err = run([EXPORTER, *flags])
        check(status == 2 and "expected one of them" in err, " ".join(flags), status, err)


def case_values_as_of_go():
    """Words for switches, values that are empty, no delay."""
    parent = Workload(PARENT)
    parent.hear()
    config = write_text(os.path.join(temp_dir(), "c.yaml"),
                        "process_names:\n- comm: [%s]\n" % parent.name)
    processes = lambda metrics: metrics.get("namedprocess_namegroup_num_procs",
                                            groupname=parent.name)
    has_threads = lambda metrics: any("_thread_" in n for n, _ in metrics.series)
    for on, off in ("1", "0"), ("t", "f"), ("T", "F"), ("TRUE", "FALSE"), ("True", "False"):
        for word in on, off:
            e = Exporter("-config.path", config, "-children=" + word, "-threads=" + word,
                         "-web.config.file=", "-procnames=", "-namemapping=",
                         "-once-to-stdout-delay=0s", "-gather-smaps=" + off)
            metrics = e.metrics()
            check_equal((processes(metrics), has_threads(metrics)),
                        (2, True) if word == on else (1, False), "with the word " + word)
            e.end()
    # an empty one is no first of two
    e = Exporter("-procnames", parent.name, "-config.path=")
    check_equal(processes(e.metrics()), 2, "with an empty -config.path")
    for flags in ["-threads=2"], ["-children=tRUE"], ["-once-to-stdout-delay=1"], ["-procfs="]:
        status, out, err = run([EXPORTER, *flags, "--once"])
        check(status == 2 and "expected" in err, " ".join(flags), status, err)


# Expressions of -namemapping, and what they make of the command line "... --app=blue -jar x.jar";
# None: the process is in no group.
MAPPINGS = [
    (r"--app=(\w+)", "blue"),
    (r"--app=(?P<App>\w+)", "blue"),
    (r"(?:--app=red|-jar) (\S+)\.jar", "x"),
    # the first that captures anything
    (r"--none=(\w+)|--app=(\w+)", "blue"),
    (r"--app=(red)?(\w+)", "blue"),
    (r"--app=(q*)(b)(lue)", "b"),
    (r"-jar (\S+)\.jar|--app=(\w+)", "blue"), # of the first match, not of the first bracket
    (r"--app=(?P<a>q*)(?:b)(?P<b>lue)", "lue"),
    # of a match that captures nothing nothing else is tried
    (r"--app=(q*)", None),
    (r"--(q*)", None),
    # brackets that are none
    (r"--app=[(](\w+)|[[:punct:](]app=(\w+)", "blue"),
    (r"--app=[^](](l)", "l"),
    (r"\Q(-\E(\w)|--app=(?i)(BLUE)", "blue"),
    (r"\(-(\w)|(?s)^.*--app=([a-d])", "b"),
]


def mapped(e, name):
    return {g for g, v in re.findall(r'^namedprocess_namegroup_num_procs{groupname="(.*)"} (\S+)$',
                                     e.ask()[2].decode(), re.M)
            if float(v) and g.startswith(name)}


def case_name_mapping():
    w = Workload(SLEEPER, args=["--app=blue", "-jar", "x.jar"])
    w.hear()
    for regex, text in MAPPINGS:
        e = Exporter("-namemapping", "%s,%s" % (w.name, regex))
        check_equal(mapped(e, w.name), {w.name + ":" + text} if text else set(),
                    "groups of " + regex)
        e.end()
    for regex in "app", r"\(app", "[(]app", "(?:app)", r"\Q(app)\E", "[[:alpha:](]", "[](]":
        status, out, err = run([EXPORTER, "-namemapping", "a," + regex, "--check-config"])
        check(status == 2 and "which names the group" in err, regex, status, err)


def case_name_mapping_beside_process_exporter():
    """The same expressions, the same groups."""
    theirs = need_program("prometheus-process-exporter", "process-exporter")
    w = Workload(SLEEPER, args=["--app=blue", "-jar", "x.jar"])
    w.hear()
    for regex, text in MAPPINGS:
        e = Exporter.__new__(Exporter)
        e.port = free_port()
        process = start([theirs, "-namemapping", "%s,%s" % (w.name, regex), "-web.listen-address",
                         "127.0.0.1:%d" % e.port], stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
        wait_for(lambda: http_get("http://127.0.0.1:%d/metrics" % e.port)[0] == 200, "an answer")
        check_equal(mapped(e, w.name), {w.name + ":" + text} if text else set(),
                    "their groups of " + regex)
        stop(process)


def case_empty_groups_of_process_exporter():
    """Without -remove-empty-groups they stay at 0, with it they are not there."""
    mine = unique("w")
    rules = "process_names:\n- name: literal\n  comm: [%s]\n  cmdline: [literal]\n" \
            "- name: '{{.Comm}}'\n  comm: [%s]\n" % (mine, mine)
    config = write_text(os.path.join(temp_dir(), "c.yaml"), rules)
    procs = lambda e: {dict(l)["groupname"]: v for (n, l), v in e.metrics().series.items()
                       if n == "namedprocess_namegroup_num_procs"}
    flags = "-config.path", config, "--min-age", "0"
    keeping = Exporter(*flags)
    false = Exporter(*flags, "-remove-empty-groups=false")
    removing = Exporter(*flags, "-remove-empty-groups")
    check_equal((procs(keeping), procs(false), procs(removing)),
                ({"literal": 0}, {"literal": 0}, {}), "before there are processes")
    w = Workload(SLEEPER, mine)
    w.hear()
    literal = Workload(SLEEPER, mine, args=["literal"])
    literal.hear()
    for e in keeping, false, removing:
        check_equal(procs(e), {"literal": 1, mine: 1}, "with them")
    for worker in w, literal:
        worker.process.kill()
        worker.process.wait()
    check(set(procs(removing).values()) <= {0}, "shown once more") # what they used up to their end
    for e in keeping, false:
        check_equal(procs(e), {"literal": 0, mine: 0}, "after them")
    wait_for(lambda: not procs(removing), "that they are gone")


def case_errors_of_scrapes():
    """They are counted from metrics, and not 0 where these are left out."""
    names = ["namedprocess_scrape_errors", "namedprocess_scrape_partial_errors",
             "namedprocess_scrape_procread_errors"]
    of = lambda e: [m.series.get((n, frozenset())) for m in [e.metrics()] for n in names]
    unprivileged = as_nobody()
    w = Workload(SLEEPER) # one that the exporter may not read
    w.hear()
    log = tempfile.TemporaryFile()
    flags = ["--schema", "process-exporter", "--group-by", "name", "--min-age", "0",
             "--source", "procfs"]
    for metrics, known in (None, (True, True)), ("processes,unreadable", (True, True)), \
                          ("!unreadable", (False, True)), ("!processes_hidden", (True, False)), \
                          ("cpu*", (False, True)):
        port = free_port()
        start([*unprivileged, EXPORTER, "--web.listen-address", "127.0.0.1:%d" % port, *flags,
               *(["--metrics", metrics] if metrics else [])], stderr=log)
        e = Exporter.__new__(Exporter)
        e.port, e.log = port, log
        wait_for(lambda: http_get("http://127.0.0.1:%d/metrics" % port)[0] == 200, "an answer")
        errors, partial, unread = of(e)
        check_equal(errors, 0, "collections that failed")
        check_equal((partial is not None, unread is not None), known,
                    "are they there with --metrics %s" % metrics)
        if metrics in (None, "!processes_hidden"): # else nothing is read that is refused
            check(partial > 0, "partial errors", partial)


def case_threads_in_json():
    """The same as in the text."""
    w = Workload("""
def life(): set_name(b'a "name"'); time.sleep(600)
threading.Thread(target=life, daemon=True).start()
time.sleep(0.1)
say(ready=True)
wait()
os._exit(0)
""")
    w.hear()
    e = Exporter("--include", w.name, "--collect", "thread-names")
    metrics = e.metrics()
    group, = [g for g in json.loads(e.ask("/groups.json")[2])["groups"] if g["name"] == w.name]
    check_equal({t["name"]: t["metrics"]["thread_count"] for t in group["threads"]},
                {w.name: 1, 'a "name"': 1}, "threads")
    for t in group["threads"]:
        check_equal(t["metrics"]["thread_cpu_user"],
                    metrics.get("proctally_thread_cpu_seconds_total", threadname=t["name"],
                                mode="user"), "CPU time of %s" % t["name"])
    check_equal({c["name"]: c["metrics"]["threads_wchan"] for c in group["wait_channels"]},
                {dict(l)["wchan"]: v for (n, l), v in metrics.series.items()
                 if n == "proctally_threads_wchan"}, "wait channels")
    group, = [g for g in json.loads(Exporter("--include", w.name).ask("/groups.json")[2])["groups"]
              if g["name"] == w.name]
    check("threads" not in group and "wait_channels" not in group, "without the word", group)


def case_members_in_the_manual():
    """All members of groups.json are told of in its section."""
    manual = read_text(os.path.join(SRC, "plugins/exporter/proctally-exporter.1"))
    section = manual.split('.SH GROUPS.JSON')[1].split(".SH ")[0].replace("\\-", "-")
    told = set(re.findall(r"^\.B (\w+)$", section, re.M))
    e = Exporter("--collect", "thread-names")
    e.groups()
    time.sleep(1.1)
    answer = e.groups() # the second one has an interval
    members = set(answer) | {m for g in answer["groups"] for m in g}
    members |= {m for g in answer["groups"] for part in ("threads", "wait_channels")
                for t in g.get(part, []) for m in t}
    check({"threads", "wait_channels", "interval"} <= members, "what it has", members)
    check_equal(members - told, set(), "members that the manual does not tell of")


def case_command_line_of_the_seed():
    """The exporter for macOS that proctally grew from."""
    w = Workload(SLEEPER)
    w.hear()
    port = free_port()
    e = Exporter("--port", str(port), "--bind", "127.0.0.1", "--path", "/m", "--include-pattern",
                 "^%s$" % w.name, "--no-threads", "--no-fd", address=None)
    e.port = port
    metrics = Metrics(e.ask("/m")[2].decode())
    names = {n for n, _ in metrics.series}
    check_equal({dict(labels)["groupname"] for n, labels in metrics.series
                 if n == "proctally_processes"}, {w.name}, "groups")
    check(not names & {"proctally_open_fds", "proctally_threads_running"}, "what is left out", names)


def case_beside_process_exporter():
    """The same file and flags: the same series."""
    theirs = need_program("prometheus-process-exporter", "process-exporter")
    w = Workload(SLEEPER)
    w.hear()
    config = write_text(os.path.join(temp_dir(), "c.yaml"),
                        "process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n")
    ports = [free_port(), free_port()]
    flags = lambda port: ["-config.path", config, "-web.listen-address", "127.0.0.1:%d" % port]
    start([theirs, *flags(ports[0])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start([EXPORTER, *flags(ports[1]), "-gather-smaps"], stderr=subprocess.DEVNULL)
    found = []
    for port in ports:
        wait_for(lambda: http_get("http://127.0.0.1:%d/metrics" % port)[0] == 200, "an answer")
        time.sleep(1.1)
        text = http_get("http://127.0.0.1:%d/metrics" % port)[1]
        found.append({(m.group(1), re.sub(r'groupname="[^"]*",?|,$', "", m.group(2) or ""))
                      for m in re.finditer(r"^(namedprocess_\w+)(?:\{(.*?)\})? \S+$", text, re.M)})
    # which threads there are differs from moment to moment
    by_name = [{(n, frozenset(filter(None, (re.sub('^(threadname|wchan)=.*', r'\\1', p) for p in
                                            l.split(","))))) for n, l in f} for f in found]
    check_equal(sorted((n, *sorted(l)) for n, l in by_name[0] - by_name[1]), [],
                "series that are missing")


# ---- A real Prometheus ------------------------------------------------------------------------

def forward_to(path):
    """A port of the loopback from which all bytes go to this socket, and back."""
    listener = socket.create_server(("127.0.0.1", 0))
    later(listener.close)

    def pump(source, to):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                to.sendall(data)
        for s in source, to:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect(path)
                for pair in (client, server), (server, client):
                    threading.Thread(target=pump, args=pair, daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def case_prometheus():
    """Plain, over IPv6, with TLS and a password, with certificates of both, and by a proxy that
    has a socket in the file system behind it."""
    prometheus = need_program("prometheus")
    directory = temp_dir()
    make_certificates(directory)
    write_config(os.path.join(directory, "web.yml"), """
tls_server_config: {cert_file: server.pem, key_file: server.key}
basic_auth_users: {ann: %s}
""" % make_hash("hunter2"))
    write_config(os.path.join(directory, "mtls.yml"), """
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example]
""")
    unix = os.path.join(directory, "socket")
    plain = Exporter()
    secure = Exporter("--web.config.file", os.path.join(directory, "web.yml"))
    mutual = Exporter("--web.config.file", os.path.join(directory, "mtls.yml"))
    six = Exporter(address="[::1]:%d")
    start([EXPORTER, "--source", "procfs", "--web.listen-address", "unix:" + unix],
          stderr=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(unix), "the socket in the file system")
    w = Workload("while True:\n    burn(0.05)\n    time.sleep(0.05)\n")
    port = free_port()
    write_text(os.path.join(directory, "prometheus.yml"), """
global: {scrape_interval: 1s}
scrape_configs:
- job_name: plain
  static_configs: [{targets: ["127.0.0.1:%d"]}]
- job_name: secure
  scheme: https
  tls_config: {ca_file: ca.pem}
  basic_auth: {username: ann, password: hunter2}
  static_configs: [{targets: ["127.0.0.1:%d"]}]
- job_name: mutual
  scheme: https
  tls_config: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}
  static_configs: [{targets: ["127.0.0.1:%d"]}]
- job_name: stranger
  scheme: https
  tls_config: {ca_file: ca.pem}
  static_configs: [{targets: ["127.0.0.1:%d"]}]
- job_name: six
  static_configs: [{targets: ["[::1]:%d"]}]
- job_name: proxy
  proxy_url: http://127.0.0.1:%d
  static_configs: [{targets: ["host.example"]}]
""" % (plain.port, secure.port, mutual.port, mutual.port, six.port, forward_to(unix)))
    start([prometheus, "--config.file=" + directory + "/prometheus.yml",
           "--storage.tsdb.path=" + directory + "/tsdb",
           "--web.listen-address=127.0.0.1:%d" % port],
          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def query(text):
        status, body = http_get("http://127.0.0.1:%d/api/v1/query?%s" % (
            port, urllib.parse.urlencode({"query": text})))
        check_equal(status, 200, "status of Prometheus (%s)" % body[:500])
        return {r["metric"].get("job"): float(r["value"][1])
                for r in json.loads(body)["data"]["result"]}
    up = {"plain": 1, "secure": 1, "mutual": 1, "stranger": 0, "six": 1, "proxy": 1}
    wait_for(lambda: query("up") == up, "that all are up but the one without a certificate", 90)
    rates = wait_for(lambda: (lambda r: r if len(r) == 5 and min(r.values()) > 0.05 else None)(query(
        'sum by (job) (rate(proctally_cpu_seconds_total{groupname="%s"}[20s]))' % w.name)),
        "rates", 90)
    for job, rate in rates.items():
        check(rate < 1.1, "the rate of %s: %s" % (job, rate))
    usage = query('proctally_cpu_usage_ratio{groupname="%s"}' % w.name)
    for job, value in usage.items():
        check(0 < value * os.cpu_count() < 1.1, "the usage of %s: %s" % (job, value))


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
