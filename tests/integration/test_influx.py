#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""Line protocol that a real InfluxDB 1.x takes and gives back, and what the dashboards for
Chronograf ask it for."""
import glob
import json
import os
import sys
import tempfile
import urllib.parse

from common import *
from test_cgroups import Cgroup
from test_dashboards import FOLDER, WORK

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


# ---- Dashboards and queries of the examples -----------------------------------------------

CHRONOGRAF = sorted(glob.glob(os.path.join(FOLDER, "chronograf-*.json")))


def dashboards():
    return {os.path.basename(f): json.loads(read_text(f))["dashboard"] for f in CHRONOGRAF}


def queries_of(dashboard):
    return [(c, q["query"]) for c in dashboard["cells"] for q in c["queries"]]


def case_chronograf_form():
    """What Chronograf's server refuses, by its ValidDashboardRequest and what that calls, and
    what its page needs to show a dashboard that is imported."""
    check_equal([os.path.basename(f) for f in CHRONOGRAF],
                ["chronograf-fleet.json", "chronograf-group.json", "chronograf-host.json"], "files")
    for path in CHRONOGRAF:
        check_equal(set(json.loads(read_text(path))), {"meta", "dashboard"}, "an exported file")
    for name, d in dashboards().items():
        check_equal(set(d), {"id", "name", "organization", "cells", "templates"}, name)
        check(len(d["name"]) <= 50, "%s: Chronograf takes no longer name" % name, d["name"])
        taken, variables = set(), {t["tempVar"] for t in d["templates"]}
        for kind, ids in (("cells", [c["i"] for c in d["cells"]]),
                          ("variables", [t["id"] for t in d["templates"]])):
            check(len(set(ids)) == len(ids), "%s: two %s of one id" % (name, kind), ids)
        for c in d["cells"]:
            where = "%s: %s" % (name, c["name"])
            check(c["type"] in ("line", "line-stacked", "single-stat", "table"), where, c["type"])
            cells = {(x, y) for x in range(c["x"], c["x"] + c["w"])
                     for y in range(c["y"], c["y"] + c["h"])}
            check(not cells & taken, "%s lies on another cell" % where)
            check(c["w"] >= 1 and c["h"] >= 1 and c["x"] + c["w"] <= 12, "%s: its place" % where)
            taken |= cells
            check_equal(set(c["axes"]), {"x", "y", "y2"}, "axes of " + where)
            for axis in c["axes"].values():
                check_equal(set(axis), {"bounds", "label", "prefix", "suffix", "base", "scale"},
                            "an axis of " + where)
                check(axis["base"] in ("10", "2") and axis["scale"] == "linear", where, axis)
                check_equal(axis["bounds"], ["", ""], "bounds of " + where)
            check(c["legend"] == {} and c["colors"] == [] and c["noteVisibility"] == "default", where)
            check(c["note"].endswith(".") and "<" not in c["note"], "%s: no description" % where)
            check(c["queries"], "%s: no query" % where)
            for q in c["queries"]:
                check((q["type"], q["source"]) == ("influxql", ""), where, q)
                check_equal(q["queryConfig"]["rawText"], q["query"], "the query's text in " + where)
                check_equal(set(re.findall(r":\w+:", q["query"])) - {":dashboardTime:", ":interval:"},
                            variables, "variables in " + where)
        for t in d["templates"]:
            check(t["type"] == "tagValues" and t["values"] == [], "%s: a variable" % name, t)
            check(not t["tempVar"].strip(":") in ("dashboardTime", "interval"), "a name that is taken")


def case_queries_as_text():
    """The text has the queries of the dashboards, each with a title."""
    text = read_text(os.path.join(FOLDER, "proctally.influxql"))
    queries = re.findall(r"^-- [^\n]+\n((?:SELECT|SHOW)[^;]*);\n", text, re.M)
    check_equal(len(queries), len(re.findall("^(?:SELECT|SHOW)", text, re.M)), "queries with a title")
    check_equal([q for q in queries if q.startswith("SELECT")],
                [q for d in dashboards().values() for _, q in queries_of(d)], "queries")
    influx = Influx()
    influx.query("CREATE DATABASE telegraf", db=None)
    influx.write("proctally,host=web1,groupname=a num_procs=1i 1", "telegraf")
    for q in queries:
        if q.startswith("SHOW"):
            check_equal(len(influx.query(q)[0]["values"]), 1, q)


def rendered(query, values):
    """As Chronograf puts in values: tags in quotes, the rest as it is."""
    known = {"dashboardTime": "now() - 5m", "interval": "1000ms",
             **{k: "'%s'" % v for k, v in values.items()}}
    return re.sub(r":(\w+):", lambda m: known[m.group(1)], query)


def values_of(influx, template):
    """What Chronograf offers for a variable."""
    q = template["query"]
    text = q["influxql"].replace(":database:", '"%s"' % q["db"])
    text = text.replace(":measurement:", '"%s"' % q["measurement"])
    found = influx.query(text.replace(":tagKey:", '"%s"' % q["tagKey"]))
    return [value for _, value in found[0]["values"]]


def write_hosts(influx, w):
    """Some seconds of three hosts, one of which tells of its control groups: (drivers of the
    other two, their first points, why some fields can't be there)."""
    names = ["--include", w.name, "--collect", "exits,sockets,pss,thread-names"]
    source = "bpf" if is_root() else "procfs"
    hosts, first, others, lacking = {}, {}, [], {}
    for host in "web1", "web2":
        try:
            hosts[host] = Driver("--labels", "host=" + host, *names, source=source)
        except Failed: # there is no source bpf here
            source = "procfs"
            hosts[host] = Driver("--labels", "host=" + host, *names)
    if source == "procfs":
        lacking["net_|exits_|lost_events"] = "no source bpf"
    if read_text("/proc/sys/kernel/task_delayacct").strip() == "0":
        lacking["blkio_delay"] = "sysctl kernel.task_delayacct is 0"
    try:
        cgroup = Cgroup()
        cgroup.limit(64 << 20, 90)
        if not cgroup.v2:
            lacking["cgroup_.*pressure"] = "control groups of version 1"
        member = Workload("while True: time.sleep(0.1)", preexec_fn=cgroup.enter)
        others.append(Driver("--labels", "host=web3", "--group-by", "cgroup", "--collect", "cgroup",
                             "--include", member.name))
    except (Skipped, OSError, KeyError) as e:
        lacking["cgroup_"] = "no control group: %s" % e
    for _ in range(8):
        for host, d in hosts.items():
            points = d.points if host not in first else d.collect()
            first.setdefault(host, points)
            influx.write(points.text, "telegraf")
        for d in others:
            influx.write(d.collect().text, "telegraf")
        time.sleep(0.6)
    for d in others:
        d.end()
    return hosts, first, lacking


def case_dashboards():
    """Each query of each dashboard, with all values of its variables, about three hosts'
    figures; and some of the answers."""
    influx = Influx()
    influx.query("CREATE DATABASE telegraf", db=None)
    w = Workload(WORK)
    w.hear()
    hosts, first, lacking = write_hosts(influx, w)
    for name, d in dashboards().items():
        chosen = [{}]
        for t in d["templates"]:
            found = values_of(influx, t)
            check(found, "%s: the variable %s has no values" % (name, t["tempVar"]))
            chosen = [{**c, t["tempVar"].strip(":"): v} for c in chosen for v in found]
        for cell, query in queries_of(d):
            where = "%s, %s" % (name, cell["name"])
            columns = set(re.findall(r' AS "([^"]+)"', query.partition(" FROM ")[0]))
            known = set()
            for values in chosen:
                for s in influx.query(rendered(query, values)):
                    check(columns <= set(s["columns"]), "%s: other columns" % where, query, s)
                    for i, column in enumerate(s["columns"][1:], 1):
                        if any(r[i] is not None for r in s["values"]):
                            known.add(column)
            why = [reason for fields, reason in lacking.items() if re.search(fields, query)]
            if columns - known and why:
                print("      %s: no %s, %s" % (where, sorted(columns - known), why[0]))
                continue
            check_equal(columns - known, set(), "columns without a value in any case: %s (%s)" % (
                where, query))
    check_answers(influx, hosts, first, w)
    for d in hosts.values():
        d.end()


def check_answers(influx, hosts, first, w):
    """What they say that the workload has used is what it has used."""
    def answer(name, title, kind, **values):
        query, = [q for c, q in queries_of(dashboards()["chronograf-%s.json" % name])
                  if (c["name"], c["type"]) == (title, kind)]
        return influx.query(rendered(query, values))
    # the derivatives of each second, added up
    for s in answer("group", "CPUs in use", "line-stacked", groupname=w.name):
        host = s["tags"]["host"]
        used = hosts[host].points.cpu(w.name) - first[host].cpu(w.name)
        found = sum(r[1] for r in s["values"] if r[1] is not None)
        check(0.5 * used < found <= used * 1.01 + 0.01, "CPU seconds on %s" % host, found, used)
    use = 0
    for host, d in hosts.items():
        seconds = (d.points.self_point.time_ns - first[host].self_point.time_ns) / 1e9
        use += (d.points.cpu(w.name) - first[host].cpu(w.name)) / seconds
    found = answer("group", "CPUs in use", "single-stat", groupname=w.name)[0]["values"][0][1]
    check_near(found, use, "CPUs in use", relative=0.4, absolute=0.02)
    now = {host: d.points[w.name].fields for host, d in hosts.items()}
    for s in answer("fleet", "Hosts", "table"):
        if s["tags"]["host"] in now:
            values = dict(zip(s["columns"], s["values"][0]))
            fields = now[s["tags"]["host"]]
            check_equal((values["Memory"], values["Processes"]),
                        (fields["memory_rss"], fields["num_procs"]), "the last values of a host")
    rows = {s["tags"]["groupname"]: dict(zip(s["columns"], s["values"][0]))
            for s in answer("fleet", "Groups", "table")}
    check_equal(rows[w.name]["Memory"], sum(f["memory_rss"] for f in now.values()),
                "memory of the group on all hosts")
    ratios = {s[2]: s[1] for s in answer("host", "Closest to the descriptor limit", "table",
                                        host="web1")[0]["values"]}
    check_near(ratios[w.name], 100 * now["web1"]["worst_fd_ratio"], "percent of the descriptors",
               relative=1e-9)
    wanted = 3 if "web3" in [v for v in values_of(influx, dashboards()["chronograf-host.json"]
                                                  ["templates"][0])] else 2
    check_equal(answer("fleet", "Hosts", "single-stat")[0]["values"][0][1], wanted, "hosts")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
