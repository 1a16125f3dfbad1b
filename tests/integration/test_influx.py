#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""Line protocol that a real InfluxDB 1.x takes and gives back."""
import json
import os
import sys
import tempfile
import urllib.parse

from common import *

try:
    INFLUXD = need_program("influxd")
except Skipped as e:
    skip_all(str(e))


class Influx:
    def __init__(self):
        directory = temp_dir()
        self.port, backup = free_port(), free_port()
        config = write_text(os.path.join(directory, "influxdb.conf"), f"""
reporting-disabled = true
bind-address = "127.0.0.1:{backup}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
  index-version = "inmem"
[http]
  enabled = true
  bind-address = "127.0.0.1:{self.port}"
  log-enabled = false
[monitor]
  store-enabled = false
[continuous_queries]
  enabled = false
""")
        self.log = tempfile.TemporaryFile()
        start([INFLUXD, "-config", config], stdout=self.log, stderr=self.log,
              env={**os.environ, "HOME": directory})
        wait_for(lambda: http("http://127.0.0.1:%d/ping" % self.port)[0] == 204, "influxd's answer")
        self.query("CREATE DATABASE pt", db=None)

    def query(self, text, db="pt"):
        arguments = {"q": text, "epoch": "ns"}
        if db:
            arguments["db"] = db
        status, body = http("http://127.0.0.1:%d/query" % self.port,
                            urllib.parse.urlencode(arguments))
        check_equal(status, 200, "status of the query %s (%s)" % (text, body[:500]))
        result = json.loads(body)["results"][0]
        check("error" not in result, "the query %s" % text, result)
        return result.get("series", [])

    def write(self, text, db="pt"):
        status, body = http("http://127.0.0.1:%d/write?db=%s&precision=ns" % (self.port, db), text)
        check_equal((status, body), (204, ""), "influxd's answer to a cycle")


def compare(influx, cycles):
    """Everything that was sent is there, with its value."""
    for measurement in ("proctally", "proctally_self"):
        fields = {}
        for series in influx.query('SHOW FIELD KEYS FROM "%s"' % measurement):
            for name, kind in series["values"]:
                check(name not in fields, "field %s has two types" % name)
                fields[name] = kind
        sent = {}
        for points in cycles:
            for p in points.all:
                if p.measurement == measurement:
                    for name, kind in p.types.items():
                        check(sent.setdefault(name, kind) == kind, "type of %s changed" % name)
        check_equal(fields, sent, "types of the fields of " + measurement)
        found = {}
        for series in influx.query('SELECT * FROM "%s" GROUP BY *' % measurement):
            # a tag that others have and this one has not is shown as empty
            tags = frozenset((k, v) for k, v in (series.get("tags") or {}).items() if v)
            for row in series["values"]:
                values = dict(zip(series["columns"], row))
                time_ns = values.pop("time")
                found[tags, time_ns] = {k: v for k, v in values.items() if v is not None}
        wanted = {}
        for points in cycles:
            for p in points.all:
                if p.measurement == measurement:
                    wanted[frozenset(p.tags.items()), p.time_ns] = p.fields
        check_equal(len(found), len(wanted), "points of " + measurement)
        for key, values in wanted.items():
            check(key in found, "this point is not there", key,
                  sorted(map(repr, (k for k in found if k not in wanted)))[:5])
            check_equal(found[key], values, "values of %r" % (key,))


def case_round_trip():
    """Several cycles, hostile names, several keys and labels."""
    start_hostile()
    influx = Influx()
    cycles = []
    d = Driver("--collect", "pss")
    w = Workload("say(ready=True)\nwhile wait():\n    burn(0.1)\n    say(cpu=cpu())\n")
    w.hear()
    for _ in range(5):
        points = d.collect()
        cycles.append(points)
        influx.write(points.text)
        w.go_on()
        w.hear()
    d.end()
    compare(influx, cycles)
    names = {t for points in cycles for t in points}
    for name in ('a"b', "a,b=c d", "a{b}#c", "né€", "a/b", "a_b", "%s%n%d"):
        check(name in names, "%r is not there" % name, sorted(names))
        rows = influx.query("SELECT num_procs FROM proctally WHERE groupname = '%s'" % name)
        check_equal([r[1] for r in rows[0]["values"]], [c[name].fields["num_procs"] for c in cycles],
                    "rows of %r" % name)


def case_labels():
    """Labels of the user, group-by of several keys, another measurement."""
    start_hostile()
    influx = Influx()
    d = Driver("--group-by", "user,cmdline,exe", "--labels", "site=a b,c=d\\e", "--labels",
               "empty=", "--prefix", "proctally_")
    influx.write(d.points.text)
    compare(influx, [d.points])
    for p in d.points.all:
        check("empty" not in p.tags, "an empty tag value")
    d.end()


def case_by_pid():
    influx = Influx()
    d = Driver("--group-by", "pid", "--top", "5")
    cycles = [d.points, d.collect(), d.collect()]
    for points in cycles:
        check(len(points) <= 5, "more than the top 5")
        influx.write(points.text)
    compare(influx, cycles)
    d.end()


def case_examples():
    """Each query of the examples answers about two hosts' figures, and one of them rightly."""
    text = read_text(os.path.join(SRC, "examples/dashboards/proctally.influxql"))
    queries = re.findall(r"^-- ([^\n]+)\n((?:SELECT|SHOW)[^;]*);\n", text, re.M)
    check_equal(len(queries), len(re.findall("^(?:SELECT|SHOW)", text, re.M)), "queries with a title")
    check(len(queries) > 15, "that is not many", len(queries))
    influx = Influx()
    influx.query("CREATE DATABASE telegraf", db=None)
    source = "bpf" if is_root() else "procfs"
    hosts, w = {}, Workload("say(ready=True)\nwhile wait():\n    burn(0.1)\n    say(cpu=cpu())\n")
    w.hear()
    for host in "web1", "web2":
        try:
            hosts[host] = Driver("--labels", "host=" + host, "--collect", "exits", source=source)
        except Failed: # there is no source bpf here
            source = "procfs"
            hosts[host] = Driver("--labels", "host=" + host)
    first = {}
    for _ in range(8):
        for host, d in hosts.items():
            points = d.points if host not in first else d.collect()
            first.setdefault(host, points)
            influx.write(points.text, "telegraf")
        w.go_on()
        w.hear()
        time.sleep(0.5)
    variables = {"dashboardTime": "now() - 5m", "interval": "1s", "host": "'web1'",
                 "groupname": "'%s'" % w.name}
    # what others do in the meantime decides how much it is, but not whether it is known
    for title, query in queries:
        query = re.sub(r":(\w+):", lambda m: variables[m.group(1)], query)
        found = influx.query(query)
        if source == "procfs" and "with source bpf" in title:
            continue
        check(found, "%s: no series" % title, query)
        columns = {c for s in found for c in s["columns"][1:]}
        for column in columns:
            known = [r for s in found for r in s["values"]
                     if column in s["columns"] and r[s["columns"].index(column)] is not None]
            check(known, "%s: no values of %s" % (title, column), query)
        if title.startswith(("Fleet: CPUs in use, by host", "Group: ")):
            check_equal({s["tags"]["host"] for s in found}, {"web1", "web2"}, "hosts: " + title)
    # a derivative of each second, added up, is what the workload used
    title, query = next(q for q in queries if q[0] == "Group: CPUs in use, by host")
    for s in influx.query(re.sub(r":(\w+):", lambda m: variables[m.group(1)], query)):
        last = hosts[s["tags"]["host"]].points
        used = last.cpu(w.name) - first[s["tags"]["host"]].cpu(w.name)
        found = sum(r[1] for r in s["values"] if r[1] is not None)
        check(0.5 * used < found <= used * 1.01 + 0.01, "CPU seconds on %s" % s["tags"]["host"],
              found, used)
    for d in hosts.values():
        d.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
