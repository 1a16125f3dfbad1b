#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 400
"""The recording rules and alerts of the examples: promtool's checks and unit tests, and real
figures that a real Prometheus evaluates them on, sixty times as fast, and that reach a
receiver behind a real Alertmanager."""
import http.server as http_server
import resource
import sys
import threading

from monitoring import *
from test_exits import Memory, each, program

FOLDER = os.path.join(SRC, "examples/alerts")
RULES = os.path.join(FOLDER, "proctally.rules.yml")
TESTS = os.path.join(FOLDER, "proctally.test.yml")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def names(kind):
    return re.findall(r"^ *- %s: (\S+)$" % kind, read_text(RULES), re.M)


def case_promtool():
    promtool = need_program("promtool")
    status, out, err = run([promtool, "check", "rules", "--lint-fatal", RULES])
    check_equal(status, 0, "status of promtool check rules (%s)" % (out + err))
    status, out, err = run([promtool, "test", "rules", TESTS], 180)
    check_equal(status, 0, "status of promtool test rules (%s)" % (out + err))


def case_vmalert():
    """VictoriaMetrics' takes them, too."""
    status, out, err = run([need_program("vmalert"), "-dryRun", "-rule=" + RULES])
    check_equal(status, 0, "status of vmalert (%s)" % (out + err)[-1000:])
    broken = write_text(os.path.join(temp_dir(), "broken.yml"),
                        read_text(RULES).replace("count by (host)", "count by host)"))
    check(run([need_program("vmalert"), "-dryRun", "-rule=" + broken])[0] != 0, "it takes anything")


def case_each_is_tested():
    """Each record has a value in the unit tests, each alert fires there; and they say what
    can be told to a person."""
    text, rules = read_text(TESTS), read_text(RULES)
    for name in names("record"):
        check("- expr: %s\n" % name in text, "%s is not tested" % name)
    for name in names("alert"):
        check("alertname: %s\n        exp_alerts:" % name in text, "%s never fires" % name)
        body = rules.split("- alert: %s\n" % name)[1].split("- alert: ")[0]
        check(all(w in body for w in ("severity:", "summary:", "description:")), name + " is mute")
    check(len(names("alert")) >= 12 and len(names("record")) >= 10, "they are not found")


# ---- Real --------------------------------------------------------------------------------

def faster():
    """The rules with all times of the past divided by sixty."""
    def seconds(match):
        return "%s%ds" % (match.group(1), int(match.group(2)) * SECONDS[match.group(3)] // 60)
    text = re.sub(r"(\[|offset |for: )(\d+)([mhd])", seconds, read_text(RULES))
    return write_text(os.path.join(temp_dir(), "fast.rules.yml"),
                      re.sub(r"> 900$", "> 15", text, flags=re.M))


class Receiver:
    """What Alertmanager has sent to it."""

    def __init__(self):
        self.alerts = []
        receiver = self

        class Handler(http_server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.alerts += json.loads(body)["alerts"]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass
        server = http_server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        later(server.server_close)
        later(server.shutdown)
        self.url = "http://127.0.0.1:%d/" % server.server_port

    def find(self, name, status):
        return [a for a in self.alerts
                if a["labels"]["alertname"] == name and a["status"] == status]


OPENS = """
files = [open("/dev/null") for i in range(14)]
say(ready=True)
while wait():
    for f in files: f.close()
    say(closed=True)
"""


def case_real():
    need_program("prometheus")
    receiver = Receiver()
    alertmanager = Alertmanager(receiver.url)
    stays, goes = Workload("say(ready=True)\nwhile True:\n    burn(0.1)\n    time.sleep(0.1)\n"), \
        Workload(SLEEPER)
    stays.hear()
    goes.hear()
    opens = Workload(OPENS, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)))
    opens.hear()
    fails = unique("f")
    killed = program("o") if is_root() else None
    include = ["--include", stays.name, "--include", goes.name, "--include", opens.name,
               "--include", fails]
    if killed:
        include += ["--include", os.path.basename(killed)]
    directory = temp_dir()
    native = Exporter("--collect", "exits", "--state-file", os.path.join(directory, "state"),
                      *include)
    bpf = 'proctally_source{source="bpf"} 1' in native.ask("/metrics")[1]
    drop_in = Exporter("--schema", "process-exporter", "--procnames", stays.name)
    files = temp_dir()
    writer = start([TEXTFILE, "--interval", "1s", "--output", os.path.join(files, "proctally.prom"),
                    "--include", stays.name], stderr=subprocess.DEVNULL)
    wait_for(lambda: os.listdir(files), "a text file")
    node = NodeExporter(files)
    prometheus = Prometheus({"native": [native.target], "drop-in": [drop_in.target],
                             "node": [node.target]}, [faster()], alertmanager)
    begun = time.monotonic()
    wait_for(lambda: len(prometheus.targets_up()) == 3, "all targets", 30)

    def firing(name, **labels):
        return [a for a in prometheus.ask_alerts() if a["state"] == "firing" and
                a["labels"]["alertname"] == name and labels.items() <= a["labels"].items()]

    def fires(name, seconds=40, **labels):
        found = wait_for(lambda: firing(name, **labels), "the alert " + name, seconds, every=0.5)
        print("      %s: %s" % (name, found[0]["annotations"]["summary"]))
        return found[0]

    # a process with 17 of 20 descriptors; it reaches people, and so does its end
    fires("ProctallyFewDescriptorsLeft", groupname=opens.name, instance=native.target)
    got = wait_for(lambda: receiver.find("ProctallyFewDescriptorsLeft", "firing"),
                   "Alertmanager's message; " + alertmanager.said(), 30)[0]
    check_equal(got["annotations"]["summary"], "%s has few file descriptors left on %s" % (
        opens.name, native.target), "what the message says")
    check("85%" in got["annotations"]["description"], "the share", got)
    check_equal(got["labels"]["severity"], "warning", "its severity")
    opens.go_on()
    opens.hear()
    wait_for(lambda: receiver.find("ProctallyFewDescriptorsLeft", "resolved"), "its end", 40)
    # one host that has three targets is found by itself, and nothing else fires
    fires("ProctallyHostTwice", host="127.0.0.1")
    others = {a["labels"]["alertname"] for a in prometheus.ask_alerts()
              if a["state"] == "firing"} - {"ProctallyHostTwice", "ProctallyCoverageLow"}
    check(not others, "alerts without a reason", others, prometheus.ask_alerts())
    # sums: the worker's group is on three targets, and burns half a CPU or less on each
    for name in names("record"):
        found = prometheus.query(name)
        check(found or "network" in name and not bpf, "the record %s has no values" % name)
    for job in "native", "drop-in", "node":
        mine = '{job="%s",groupname="%s"}' % (job, stays.name)
        check_equal(prometheus.value("groupname:proctally_processes:sum" + mine), 1, "sum, " + job)
        check_equal(prometheus.value("groupname:proctally_hosts:count" + mine), 1, "hosts, " + job)
        cpus = prometheus.value("groupname:proctally_cpu_seconds:rate5m" + mine)
        check(0.05 < cpus < 0.8, "CPUs of the worker, " + job, cpus)
        total = prometheus.value('instance:proctally_cpu_seconds:rate5m{job="%s"}' % job)
        check(total >= cpus, "CPUs of the host, " + job, total, cpus)
    # what they ask for is there
    known = json.loads(prometheus.ask("/api/v1/label/__name__/values")[1])["data"]
    used = set(re.findall(r"\b(?:proctally|namedprocess|node|process)_\w+\b(?!:)",
                          re.sub(r"^ *#.*|\S+:proctally_\S+", "", read_text(RULES), flags=re.M)))
    used = {u for u in used if u != "node_exporter" and not u.startswith("proctally_cgroup")}
    check(bpf or "proctally_process_exits_by_reason_total" in used, "no names", used)
    if bpf:
        check(used <= set(known), "metrics that nobody has", used - set(known))
        check(len(used) > 15, "that is not many", used)
    # who fails again and again, and who is killed for want of memory
    if bpf:
        path = linked(temp_dir(), fails, "/bin/sh")
        start(["/bin/sh", "-c", "while :; do %s -c 'kill -9 $$'; sleep 0.3; done" % path],
              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        fires("ProctallyCrashLoop", groupname=fails)
        try:
            each(killed, 1, ["oom"], cgroup=Memory().procs, at_once=1)
            fires("ProctallyOutOfMemory", groupname=os.path.basename(killed))
        except Skipped as e:
            print("      nobody is killed for want of memory: %s" % e)
    else:
        print("      no source bpf: nobody knows how processes end")
    # an exporter and a writer that are there no more
    drop_in.stop()
    stop(writer)
    fires("ProctallyExporterDown", instance=drop_in.target)
    fires("ProctallyTextfileStale", instance=node.target)
    # a group that was there for the whole "hour" before the last one
    time.sleep(max(0, begun + 65 - time.monotonic()))
    check(not firing("ProctallyGroupGone", groupname=goes.name), "gone too early")
    goes.end()
    fires("ProctallyGroupGone", groupname=goes.name)
    check(not firing("ProctallyGroupGone", groupname=stays.name), "one that is there is gone")
    wait_for(lambda: {"ProctallyExporterDown", "ProctallyGroupGone"} <= {
        a["labels"]["alertname"] for a in receiver.alerts}, "Alertmanager's messages", 30)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
