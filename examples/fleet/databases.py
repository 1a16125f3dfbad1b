# SPDX-License-Identifier: MIT
"""The questions that one asks of a fleet, in each database's language."""
import glob
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request

from machines import PORTS, SERVER, Wrong

GROUPS = "nginx|java:shop|cron|web"  # of the work; of the other groups there is no truth


def http(url, **arguments):
    """A POST: no cache answers it."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = urllib.parse.urlencode(arguments).encode()
    try:
        with opener.open(url, data, 20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as e:
        raise Wrong("%s: %s" % (url, e.read().decode(errors="replace")[:500])) from e


class Prometheus:
    name, takes = "prometheus", ("pull",)
    CPU, STARTS = "proctally_cpu_seconds_total", "proctally_process_starts_total"
    PROCESSES = "proctally_processes"
    COUNTERS = "proctally_.*_total"

    def __init__(self, job=None):
        self.url = "http://%s:%d/api/v1/" % (SERVER, PORTS[self.name])
        self.only = ', job="%s"' % job if job else ""

    def query(self, text):
        return json.loads(http(self.url + "query", query=text, nocache=1))["data"]["result"]

    def by_group(self, values):
        return {(r["metric"]["host"], r["metric"]["groupname"]): float(r["value"][1])
                for r in self.query("sum by (host, groupname) (%s)" % values)}

    def now(self, names):
        return '{__name__=~"%s", groupname=~"%s"%s}' % (names, GROUPS, self.only)

    def last(self, names):
        """Also of groups that are not there any more: without processes they go after a while."""
        return "last_over_time(%s[1h])" % self.now(names)

    def cpu(self):
        return self.by_group(self.last(self.CPU))

    def starts(self):
        return self.by_group(self.last(self.STARTS))

    def processes(self):
        return self.by_group(self.now(self.PROCESSES))

    def top(self, count):
        """The groups of the whole fleet that used most CPU time, most first."""
        found = self.query("topk(%d, sum by (host, groupname) (%s))" % (
            count, self.last(self.CPU)))
        found.sort(key=lambda r: -float(r["value"][1]))
        return [(r["metric"]["host"], r["metric"]["groupname"]) for r in found]

    def late(self):
        """(host, time) of each scrape that failed."""
        return [(r["metric"]["host"], float(t)) for r in self.query("up[30m]")
                for t, v in r["values"] if float(v) == 0]

    def counters(self):
        """(host, what, [(time, value), …]) of each counter there is."""
        for r in self.query('{__name__=~"%s"}[30m]' % self.COUNTERS):
            labels = r["metric"]
            yield labels["host"], repr(sorted(labels.items())), [
                (float(t), float(v)) for t, v in r["values"]]


class Victoria(Prometheus):
    """Speaks Prometheus' language, and takes InfluxDB's, of which it makes such names."""
    name, takes = "victoria", ("pull", "influx")
    CPU = Prometheus.CPU + "|proctally_cpu_time_(user|system)"
    STARTS = Prometheus.STARTS + "|proctally_starts"
    PROCESSES = Prometheus.PROCESSES + "|proctally_num_procs"
    COUNTERS = Prometheus.COUNTERS + "|proctally_(cpu_time_.*|starts|exits)"


class Influx:
    name, takes = "influx", ("influx",)
    url = "http://%s:%d/query" % (SERVER, PORTS["influx"])
    COUNTERS = ("cpu_time_user", "cpu_time_system", "starts", "exits", "minor_faults",
                "read_bytes", "write_bytes", "voluntary_context_switches")

    def query(self, text):
        result = json.loads(http(self.url, db="telegraf", epoch="ms", q=text))["results"][0]
        if "error" in result:
            raise Wrong("influx: " + result["error"])
        return result.get("series", [])

    WHERE = "", ""

    def late(self):
        return []

    def by_group(self, what):
        found = {}
        for r in self.query("SELECT %s FROM proctally WHERE groupname =~ /^(%s)$/ %s "
                            "GROUP BY host, groupname %s" % (what, GROUPS, *self.WHERE)):
            key = r["tags"]["host"], r["tags"]["groupname"]
            found[key] = found.get(key, 0) + float(r["values"][0][1])
        return found

    def cpu(self):
        return self.by_group("last(cpu_time_user) + last(cpu_time_system)")

    def starts(self):
        return self.by_group("last(starts)")

    def processes(self):
        return self.by_group("last(num_procs)")

    def top(self, count):
        """Its own top() takes no sums."""
        found = self.cpu()
        return sorted(found, key=lambda key: -found[key])[:count]

    def counters(self):
        for r in self.query("SELECT %s FROM proctally WHERE time > 0 %s GROUP BY *" % (
                ", ".join(self.COUNTERS), self.WHERE[0])):
            for i, name in enumerate(self.COUNTERS, 1):
                yield r["tags"]["host"], "%s of %s" % (name, r["tags"]), [
                    (row[0] / 1e3, row[i]) for row in r["values"] if row[i] is not None]


class InfluxUntilNow(Influx):
    WHERE = "AND time <= now()", ""


class InfluxByMachine(Influx):
    """Where hosts that have one name have a tag that they do not share."""
    WHERE = "AND machine != ''", ", machine"


class Collectd:
    """Its server writes CSV: HOST/proctally-GROUP/TYPE-INSTANCE-DATE."""
    name, takes = "collectd", ("collectd",)

    def __init__(self, server):
        self.server = server

    def late(self):
        return []

    def files(self, pattern):
        directory = self.server.path("/var/lib/databases/collectd/")
        for path in sorted(glob.glob(directory + pattern)):
            host, group, name = path[len(directory):].split("/")
            if re.fullmatch(GROUPS, group.partition("-")[2]):
                with open(path) as f:
                    # the last may not be whole yet
                    head, *lines = f.read().split("\n")[:-1] or [""]
                # a full disk has left halves of others
                row = r"\d{10}\.\d+" + r",[^,]+" * head.count(",")
                yield host, group.partition("-")[2], name[:-len("-2026-11-26")], [
                    [float(v) for v in line.split(",")] for line in lines
                    if re.fullmatch(row, line)]

    def by_group(self, kind, unit=1.0):
        return {(host, group): sum(rows[-1][1:]) * unit
                for host, group, _, rows in self.files("*/proctally-*/%s-20*" % kind) if rows}

    def cpu(self):
        return self.by_group("ps_cputime", 1e-6)

    def starts(self):
        return self.by_group("derive-starts")

    def processes(self):
        return {(host, group): rows[-1][1]
                for host, group, _, rows in self.files("*/proctally-*/ps_count-20*") if rows}

    def top(self, count):
        found = self.cpu()
        return sorted(found, key=lambda key: -found[key])[:count]

    def counters(self):
        for kind in ("ps_cputime", "derive-*", "ps_pagefaults"):
            for host, group, name, rows in self.files("*/proctally-*/%s-20*" % kind):
                for i in range(1, len(rows[0]) if rows else 0):
                    yield host, "%s %s %d" % (group, name, i), [(r[0], r[i]) for r in rows]
