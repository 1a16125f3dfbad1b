#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 400
"""proctally-exporter among thousands of connections, slow clients and what others test servers
with: slowhttptest and testssl.sh."""
import re
import resource

from common import *
from test_exporter import Exporter, make_certificates

# What testssl.sh says of any such server, with the reason why it does not count here
NOT_OURS = {
    # it needs a secret and something of the request in what is compressed: here is neither
    "BREACH",
    # about the OpenSSL of this host, which it looks with
    "engine_problem",
    # it does not wait for the answer: case_renegotiation does
    "secure_client_renego",
}
BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN")


def allow_descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise Skipped("no more than %d descriptors are allowed, and %d are needed" % (hard, count))
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    later(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def connect(e, sent=b"", answered=b""):
    s = socket.create_connection(("127.0.0.1", e.port), 30)
    later(s.close)
    s.sendall(sent)
    found = b""
    while answered not in found:
        part = s.recv(4096)
        check(part, "the connection ends", found)
        found += part
    return s


def descriptors(e):
    return len(os.listdir("/proc/%d/fd" % e.process.pid))


HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"


def case_idle_connections():
    """2,000 that are kept open stay, if they may, and are still answered."""
    allow_descriptors(5000)
    e = Exporter("--web.max-connections", "2100")
    before = e.resident()
    idle = [connect(e, HEALTHY, b"\r\n\r\nhealthy\n") for _ in range(2000)]
    check_equal(e.ask()[0], 200, "status among 2,000 others")
    check(descriptors(e) > 2000, "%d descriptors" % descriptors(e))
    grown = e.resident() - before
    print("      2,000 idle connections take %.1f MiB" % (grown / (1 << 20)))
    check(grown < 100 << 20, "it grew by %d MiB" % (grown >> 20))
    for s in idle:
        s.sendall(HEALTHY)
    for s in idle:
        check(b" 200 " in s.recv(4096), "one that was idle is not answered")
    for s in idle:
        s.close()
    wait_for(lambda: descriptors(e) < 100, "that they are gone")
    e.end()


def case_more_than_there_is_room_for():
    """Of 2,000 the idlest have to leave, and memory is that of those who may stay."""
    allow_descriptors(5000)
    e = Exporter()
    before = e.resident()
    for _ in range(2000):
        connect(e)
    check_equal(e.ask()[0], 200, "status among 2,000 others")
    check(descriptors(e) < 500, "%d descriptors" % descriptors(e))
    check(e.resident() - before < 32 << 20, "it grew by %d MiB" % ((e.resident() - before) >> 20))
    e.end()


def case_slow_clients():
    """A scrape beside 1,000 that have begun to ask, or do not read the answer."""
    allow_descriptors(5000)
    e = Exporter("--web.max-connections", "1100", "--min-age", "0")
    for i in range(1000):
        if i % 2:
            connect(e, b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: ")
        else:
            s = socket.socket()
            later(s.close)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.connect(("127.0.0.1", e.port))
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    times = []
    for _ in range(5):
        begun = time.monotonic()
        check_equal(e.ask()[0], 200, "status")
        times.append(time.monotonic() - begun)
    print("      a scrape beside 1,000 slow clients takes %.0f ms" % (min(times) * 1000))
    # the only case about time: who waits for a slow client waits for minutes
    check(min(times) < 1, "scrapes take %s s" % times)
    check(descriptors(e) > 1000, "%d descriptors" % descriptors(e))
    e.end()


def case_slowhttptest():
    """Slow headers, bodies, ranges and reads: the probe is answered all the time."""
    slow = need_program("slowhttptest")
    allow_descriptors(5000)
    e = Exporter()
    for mode in "-H", "-B", "-R", "-X":
        status, out, err = run([slow, mode, "-c", "1000", "-r", "500", "-l", "8", "-i", "2", "-p", "5",
                                "-u", "http://127.0.0.1:%d/metrics" % e.port], seconds=60)
        said = re.sub(r"\x1b\[[0-9;]*m", "", out + err)
        available = re.findall(r"service available: *(\w+)", said)
        check(available, "slowhttptest %s does not say" % mode, said[-2000:])
        check_equal(set(available), {"YES"}, "slowhttptest %s: the service is available" % mode)
        check_equal(e.ask()[0], 200, "status after slowhttptest %s" % mode)
    e.end()


def serve_tls(directory):
    make_certificates(directory, days=90, crl="http://127.0.0.1/none.crl")
    web = write_config(os.path.join(directory, "web.yml"), "tls_server_config:\n"
                       "  cert_file: server.pem\n  key_file: server.key\n")
    return Exporter("--web.config.file", web)


def case_renegotiation():
    """Who wants another handshake on the same connection, which costs us more, is cut off."""
    e = serve_tls(temp_dir())
    client = start([need_program("openssl"), "s_client", "-tls1_2", "-connect",
                    "127.0.0.1:%d" % e.port], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                   stderr=subprocess.STDOUT)
    client.stdin.write(b"R\n")
    client.stdin.flush()
    # to the end of the connection, as its input stays open
    said = client.stdout.read().decode("utf-8", "replace")
    check("RENEGOTIATING" in said, "it has not asked for one", said)
    handshakes = said.partition("RENEGOTIATING")[2].count("verify return")
    check_equal(handshakes, 0, "handshakes after the first one (%s)" % said)
    e.end()


def case_testssl():
    """Nothing that testssl.sh finds is above "low"."""
    testssl = need_program("testssl", "testssl.sh")
    directory = temp_dir()
    e = serve_tls(directory)
    found = os.path.join(directory, "found.json")
    # all it has but the handshakes of a hundred browsers
    status, out, err = run([testssl, "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none",
                            "--add-ca", os.path.join(directory, "ca.pem"), "--jsonfile", found, "-p",
                            "-s", "-f", "-S", "-h", "-U", "https://127.0.0.1:%d/metrics" % e.port],
                           seconds=300)
    findings = json.loads(read_text(found))
    check(len(findings) > 50, "%d findings" % len(findings), out[-2000:])
    bad = ["%s %s: %s" % (f["severity"], f["id"], f["finding"]) for f in findings
           if f["severity"] in BAD and f["id"] not in NOT_OURS]
    check_equal(bad, [], "what testssl.sh finds above low")
    e.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
