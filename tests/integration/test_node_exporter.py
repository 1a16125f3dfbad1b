#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""What proctally-textfile writes goes through promtool, node_exporter and
Prometheus, with process names that were chosen to break it."""
import json
import os
import subprocess
import sys
import tempfile
import urllib.parse

from common import *

BURNER = "say(ready=True)\nwhile True: burn(1)\n"


def check_metrics(text):
    promtool = need_program("promtool")
    p = subprocess.run([promtool, "check", "metrics"], input=text.encode("utf-8"),
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    check_equal((p.returncode, p.stdout.decode()), (0, ""), "promtool check metrics")


def case_promtool():
    """No remark of any kind, with every metric on, and with labels."""
    start_hostile()
    for flags in ([], ["--collect", "pss"], ["--group-by", "user,exe"],
                  ["--labels", 'site=a"b\\c', "--prefix", "my_"], ["--group-by", "pid"]):
        status, out, err = run([TEXTFILE, *flags])
        check_equal(status, 0, "status of %r (%s)" % (flags, err))
        Metrics(out)
        check_metrics(out)


class NodeExporter:
    def __init__(self, directory):
        program = need_program("prometheus-node-exporter", "node_exporter")
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        self.process = start([program, "--web.listen-address=127.0.0.1:%d" % self.port,
                              "--collector.disable-defaults", "--collector.textfile",
                              "--collector.textfile.directory=" + directory],
                             stdout=self.log, stderr=self.log)
        wait_for(self.scrape, "node_exporter's answer")

    def scrape(self):
        status, text = http("http://127.0.0.1:%d/metrics" % self.port)
        check_equal(status, 200, "status of node_exporter (%s)" % text[:500])
        return text


def families_of(text):
    return {line.split(" ")[2] for line in text.split("\n") if line.startswith("# TYPE ")}


def samples_of(text, prefix):
    """(name, labels) of each series whose name has the prefix."""
    found = {}
    for line in text.split("\n"):
        if line.startswith(prefix):
            name = line.split("{")[0].split(" ")[0]
            labels, value = "", line[len(name) + 1:]
            if line[len(name)] == "{":
                labels, value = line[len(name) + 1:].rsplit("} ", 1)
            found[name, frozenset(parse_labels(labels).items())] = float(value)
    return found


def case_served():
    """node_exporter serves all of it, in spite of the names."""
    directory = temp_dir()
    prom = os.path.join(directory, "proctally.prom")
    start_hostile()
    names = HOSTILE_NAMES
    # a static file: so that both can be compared to the last series
    status, out, err = run([TEXTFILE, "--output", prom])
    check_equal(status, 0, "status (%s)" % err)
    ours = Metrics(read_text(prom))
    check(len(ours.labels_of()) > len(names), "groups are missing")
    node = NodeExporter(directory)
    text = node.scrape()
    check("node_textfile_scrape_error 0" in text, "a scrape error",
          [l for l in text.split("\n") if "scrape_error" in l], log_of(node.log))
    check_equal(families_of(text) & ours.families(), ours.families(), "families that are served")
    served = samples_of(text, "proctally_")
    check_equal(set(served), set(ours.series), "series that are served")
    for key, value in ours.series.items():
        check_near(served[key], value, "value of %r" % (key,), relative=1e-12)
    for kind in ours.type:
        check("# TYPE %s %s\n" % (kind, ours.type[kind]) in text, "the type of %s" % kind)


def log_of(f):
    return written_to(f)[-2000:]


def case_prometheus():
    """A real Prometheus scrapes it and answers."""
    prometheus = need_program("prometheus")
    directory, data = temp_dir(), temp_dir()
    start_hostile()
    w = Workload(BURNER)
    start([TEXTFILE, "--interval", "1s", "--output", os.path.join(directory, "p.prom")],
          stderr=subprocess.DEVNULL)
    node = NodeExporter(directory)
    port = free_port()
    config = write_text(os.path.join(data, "prometheus.yml"), """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["127.0.0.1:%d"]
""" % node.port)
    log = tempfile.TemporaryFile()
    start([prometheus, "--config.file=" + config, "--storage.tsdb.path=" + data + "/tsdb",
           "--web.listen-address=127.0.0.1:%d" % port], stdout=log, stderr=log)

    def query(text):
        status, body = http("http://127.0.0.1:%d/api/v1/query?%s" % (
            port, urllib.parse.urlencode({"query": text})))
        check_equal(status, 200, "status of Prometheus (%s)" % body[:500])
        return json.loads(body)["data"]["result"]
    rate = 'sum by (groupname) (rate(proctally_cpu_seconds_total{groupname="%s"}[30s])) > 0' % w.name
    result = wait_for(lambda: query(rate), "a rate of CPU seconds; " + log_of(log), 90, every=0.5)
    check_equal(result[0]["metric"], {"groupname": w.name}, "the group in the answer")
    check(0 < float(result[0]["value"][1]) < 1.5, "the rate", result)
    check_equal(query("up")[0]["value"][1], "1", "up")
    check_equal(query("node_textfile_scrape_error")[0]["value"][1], "0", "scrape errors")
    found = {r["metric"]["groupname"] for r in query("proctally_processes")}
    check({'a"b', "a,b=c d", "a{b}#c", "né€"} <= found, "hostile names", sorted(found))
    check(any(g.startswith("a\\") for g in found), "the backslash is gone", sorted(found))


def case_default_names_of_process_are_not_default():
    """node_exporter drops process_* of a textfile: the default must not be that."""
    status, out, err = run([TEXTFILE])
    for family in Metrics(out).families():
        check(not family.startswith(("process_", "node_", "go_", "scrape_")), "a bad name", family)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
