# SPDX-License-Identifier: MIT
"""Real programs of a monitoring system, on free ports of the loopback: node_exporter with
text files, proctally-exporter as it is scraped, Prometheus, Alertmanager."""
import json
import os
import tempfile
import urllib.parse
from http.client import HTTPConnection, HTTPException

from common import *

EXPORTER = os.path.join(BUILD, "plugins/exporter/proctally-exporter")


class Program:
    """One that answers over HTTP, with what it says in a file."""

    def __init__(self, argv, path, **how):
        self.log = tempfile.TemporaryFile()
        self.process = start(argv, stdout=self.log, stderr=self.log, **how)
        wait_for(lambda: self.process.poll() is not None or self.ask(path)[0] == 200,
                 "the answer of " + argv[0])
        check(self.process.poll() is None, "%s has ended" % argv[0], self.said())

    def said(self):
        return written_to(self.log)[-3000:]

    def ask(self, path, data=None):
        return http_request(self.port, path, data)

    def stop(self):
        stop(self.process)


_connections = {}


def http_request(port, path, data=None):
    """(status, body): thousands of queries over one connection."""
    for attempt in (1, 2):
        connection = _connections.get(port) or HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if data else {}
            connection.request("POST" if data else "GET", path, body=data, headers=headers)
            answer = connection.getresponse()
            body = answer.read().decode("utf-8")
        except (OSError, HTTPException) as e:
            connection.close()
            if not _connections.pop(port, None):
                raise OSError("port %d: %s" % (port, e)) from e
            continue
        _connections[port] = connection
        return answer.status, body


class Exporter(Program):
    def __init__(self, *flags):
        if not os.path.exists(EXPORTER):
            raise Skipped("proctally-exporter was not built")
        self.port = free_port()
        self.target = "127.0.0.1:%d" % self.port
        super().__init__([EXPORTER, "--web.listen-address", self.target, *flags], "/metrics")


class NodeExporter(Program):
    """With the text files of a directory, and nothing else."""

    def __init__(self, directory):
        program = need_program("prometheus-node-exporter", "node_exporter")
        self.port = free_port()
        self.target = "127.0.0.1:%d" % self.port
        super().__init__([program, "--web.listen-address=" + self.target,
                          "--collector.disable-defaults", "--collector.textfile",
                          "--collector.textfile.directory=" + directory], "/metrics")


class Alertmanager(Program):
    """Hands on what it gets to a URL."""

    def __init__(self, url):
        program = need_program("prometheus-alertmanager", "alertmanager")
        directory = temp_dir()
        self.port = free_port()
        self.target = "127.0.0.1:%d" % self.port
        config = write_text(os.path.join(directory, "alertmanager.yml"), """
route: {receiver: test, group_by: [alertname, instance, groupname], group_wait: 0s,
        group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: test
    webhook_configs: [{url: "%s", send_resolved: true}]
""" % url)
        super().__init__([program, "--config.file=" + config,
                          "--storage.path=" + directory + "/data",
                          "--web.listen-address=" + self.target, "--cluster.listen-address="],
                         "/-/ready")


def scrape_configs(jobs):
    text = "scrape_configs:\n"
    for name, targets in jobs.items():
        text += "  - job_name: %s\n    static_configs: [{targets: %s}]\n" % (
            name, json.dumps(targets))
    return text


class Prometheus(Program):
    def __init__(self, jobs, rules=(), alertmanager=None):
        """jobs: {name: [target, ...]}. Scrapes and evaluates once a second."""
        program = need_program("prometheus")
        directory = temp_dir()
        self.port = free_port()
        text = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n" + scrape_configs(jobs)
        text += "rule_files: %s\n" % json.dumps(list(rules))
        if alertmanager:
            text += "alerting: {alertmanagers: [{static_configs: [{targets: [\"%s\"]}]}]}\n" % (
                alertmanager.target)
        config = write_text(os.path.join(directory, "prometheus.yml"), text)
        super().__init__([program, "--config.file=" + config,
                          "--storage.tsdb.path=" + directory + "/data",
                          "--web.listen-address=127.0.0.1:%d" % self.port,
                          "--rules.alert.resend-delay=1s"], "/-/ready")

    def get(self, path, **arguments):
        status, body = self.ask("/api/v1/" + path, urllib.parse.urlencode(arguments, doseq=True))
        if status == 405: # not all of it can be posted
            status, body = self.ask("/api/v1/%s?%s" % (path, urllib.parse.urlencode(
                arguments, doseq=True)))
        check(status == 200, "Prometheus refuses %s: %s" % (arguments, body[:500]))
        return json.loads(body)["data"]

    def query(self, text, at=None):
        """[(labels, value)]"""
        found = self.get("query", query=text, **({"time": at} if at else {}))["result"]
        return [(r["metric"], float(r["value"][1])) for r in found]

    def lines(self, text, seconds):
        """[(labels, [value, ...])] of the last seconds, one a second."""
        now = int(time.time())
        found = self.get("query_range", query=text, start=now - seconds, end=now, step=1)["result"]
        return [(r["metric"], [float(v) for _, v in r["values"]]) for r in found]

    def value(self, text):
        """That of a query that has one answer, or None."""
        found = self.query(text)
        check(len(found) <= 1, "%s has several answers" % text, found)
        return found[0][1] if found else None

    def targets_up(self):
        return self.query("up == 1")

    def ask_alerts(self):
        """Those that are pending or firing."""
        status, body = self.ask("/api/v1/alerts")
        check_equal(status, 200, "status of the alerts")
        return json.loads(body)["data"]["alerts"]


class VictoriaMetrics(Prometheus):
    """Answers the same questions."""

    def __init__(self, jobs):
        program = need_program("victoria-metrics")
        directory = temp_dir()
        self.port = free_port()
        config = write_text(os.path.join(directory, "scrape.yml"),
                            "global: {scrape_interval: 1s}\n" + scrape_configs(jobs))
        Program.__init__(self, [program, "-promscrape.config=" + config,
                                "-storageDataPath=" + directory + "/data",
                                "-httpListenAddr=127.0.0.1:%d" % self.port,
                                "-search.latencyOffset=0s"], "/health")
