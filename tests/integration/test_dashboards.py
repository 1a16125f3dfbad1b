#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 600
# aside
"""Each query of each dashboard, with all values that its variables can have, is put to a
real Prometheus that scrapes all that serves our figures."""
import glob
import itertools
import sys

from monitoring import *
from test_cgroups import Cgroup

FOLDER = os.path.join(SRC, "examples/dashboards")
FILES = sorted(glob.glob(os.path.join(FOLDER, "pro*.json")))
TYPES = {"timeseries", "stat", "table", "bargauge", "row"}
# what Grafana puts in itself
BUILT_IN = {"__rate_interval": "10s", "__range": "60s"}
ODD_NAMES = [b"a.b+c(d)", b"a\\b|c", b"it's {x}", "né€".encode()]

# A workload that makes what the queries ask for: CPU time, I/O, traffic, sockets, threads,
# children that end in one way and another.
WORK = """
import signal, socket, threading, tempfile
def wait_often():
    set_name(b"waiter")
    while True: time.sleep(0.01)
threading.Thread(target=wait_often, daemon=True).start()
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer = server.accept()[0]
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
local = socket.socketpair()
file = tempfile.TemporaryFile()
say(ready=True)
while True:
    burn(0.05)
    file.write(b"x" * 65536); file.flush()
    client.send(b"x" * 1000); peer.recv(1000)
    datagrams.sendto(b"y" * 100, datagrams.getsockname()); datagrams.recv(1000)
    for how in (0, 1, signal.SIGKILL):
        child = os.fork()
        if child == 0:
            if how > 1: os.kill(os.getpid(), how)
            os._exit(how)
        os.waitpid(child, 0)
    time.sleep(0.2)
"""


def load(path):
    return json.loads(read_text(path))


def name_of(path):
    return os.path.basename(path)


def targets_of(dashboard):
    return [(p, t) for p in dashboard["panels"] for t in p.get("targets", ())]


# ---- Without Prometheus ------------------------------------------------------------------

def case_generated():
    """The files are what make.py makes of its tables."""
    directory = temp_dir()
    status, out, err = run([PYTHON, os.path.join(FOLDER, "make.py"), directory])
    check_equal((status, out, err), (0, "", ""), "make.py")
    # those for Chronograf are tried in test_influx.py
    files = sorted(glob.glob(os.path.join(FOLDER, "*.json")) +
                   glob.glob(os.path.join(FOLDER, "*.influxql")))
    check_equal(sorted(os.listdir(directory)), [name_of(f) for f in files], "files")
    for path in files:
        check(read_text(os.path.join(directory, name_of(path))) == read_text(path),
              "%s is not what make.py writes: run it, and commit both" % name_of(path))


def case_form():
    """What Grafana wants of each, and people of each panel."""
    dashboards = {name_of(f): load(f) for f in FILES}
    uids = [d["uid"] for d in dashboards.values()]
    check_equal(len(set(uids)), 6, "different uids")
    for name, d in dashboards.items():
        check(d["schemaVersion"] <= 36, "%s: Grafana 9 does not know its schema" % name)
        check(all(len(u) <= 40 for u in uids), "Grafana takes no longer uid", uids)
        variables = {v["name"] for v in d["templating"]["list"]}
        check_equal(variables, {"datasource", "job", "instance", "groupname"}, "variables")
        taken = set()
        check_equal(len({p["id"] for p in d["panels"]}), len(d["panels"]), "ids in " + name)
        for p in d["panels"]:
            where = "%s: %s" % (name, p["title"])
            check(p["type"] in TYPES, "%s: the type %s" % (where, p["type"]))
            place = p["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            check(not cells & taken, "%s lies on another panel" % where)
            check(max(x for x, _ in cells) < 24, "%s is too far right" % where)
            taken |= cells
            if p["type"] == "row":
                continue
            check(p["title"] and p["description"].endswith("."), "%s: no description" % where)
            check(p["fieldConfig"]["defaults"]["unit"], "%s: no unit" % where)
            check(p["targets"], "%s: no query" % where)
            check_equal(len({t["refId"] for t in p["targets"]}), len(p["targets"]), "refIds")
            for o in p["fieldConfig"]["overrides"]:
                for link in (l for q in o["properties"] if q["id"] == "links" for l in q["value"]):
                    to = re.match(r"/d/([^?]+)\?", link["url"]).group(1)
                    check(to in uids, "%s: a link to %s" % (where, to), uids)
        text = read_text(os.path.join(FOLDER, name))
        used = set(re.findall(r"\$\{?(\w+)", text)) - {"__all", "__value", "__url_time_range"}
        check(used <= variables | set(BUILT_IN), "%s: variables that are not there" % name,
              used - variables)
        for p, t in targets_of(d):
            check_equal(t["datasource"], {"type": "prometheus", "uid": "${datasource}"}, "source")


# ---- What Grafana does with variables ----------------------------------------------------

def escaped(value):
    """As Grafana does for Prometheus where several values can be chosen."""
    value = value.replace("\\", "\\\\\\\\")
    return re.sub(r"[$^*{}\[\]'+?.()|]", lambda m: "\\\\" + m.group(0), value)


def as_text(variable, chosen, found):
    """The text that Grafana puts for a variable: `chosen` is "all", or a list of what it
    has found."""
    if chosen == "all" and variable["allValue"]:
        return variable["allValue"]
    chosen = found if chosen == "all" else chosen
    if not variable["multi"] and not variable["includeAll"]:
        return chosen[0].replace("\\", "\\\\").replace("'", "\\\\'")
    texts = [escaped(v) for v in chosen]
    return texts[0] if len(texts) == 1 else "(%s)" % "|".join(texts)


def put_in(text, values):
    return re.sub(r"\$(\w+)", lambda m: values[m.group(1)], text)


def values_of(prometheus, variable, values):
    """What Grafana offers for a variable: its own query, which has to answer."""
    query = put_in(variable["query"]["query"], values)
    selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
    status, body = prometheus.ask("/api/v1/label/%s/values?%s" % (
        label, urllib.parse.urlencode({"match[]": selector})))
    check_equal(status, 200, "status of %s (%s)" % (query, body[:300]))
    return sorted(json.loads(body)["data"])


def choices(variable, found):
    """What can be chosen of them: each, all, and two together."""
    if variable["includeAll"]:
        yield "all"
    for one in found:
        yield [one]
    if variable["multi"] and len(found) > 1:
        yield found[:2]


def combinations(prometheus, dashboard):
    """All that a user can choose: texts of the variables."""
    by_name = {v["name"]: v for v in dashboard["templating"]["list"]}

    def texts(names, values):
        if not names:
            yield values
            return
        variable = by_name[names[0]]
        found = values_of(prometheus, variable, values)
        check(found, "the variable %s has no values" % names[0], values)
        for chosen in choices(variable, found):
            text = as_text(variable, chosen, found)
            yield from texts(names[1:], {**values, names[0]: text})
    yield from texts(["job", "instance", "groupname"], dict(BUILT_IN))


SELECTOR = re.compile(r'(?<![\w:])([a-z_]+)\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\}')


def selectors_of(query):
    return ["%s{%s}" % m.groups() for m in SELECTOR.finditer(query)]


# ---- With a real one ---------------------------------------------------------------------

def scene():
    """Two exporters of our own names, one of process-exporter's, and both kinds of text files,
    all of the same few groups: (jobs to scrape, why some metrics can't be here, the exporters
    of our own names, the workload)."""
    need_program("prometheus-node-exporter", "node_exporter")
    lacking = {"proctally_blkio_delay": "sysctl kernel.task_delayacct is 0"}
    if read_text("/proc/sys/kernel/task_delayacct").strip() != "0":
        lacking = {}
    w = Workload(WORK, name="pt_work")
    w.hear()
    start_hostile(ODD_NAMES)
    names = ["--include", "pt_work"]
    for n in ODD_NAMES:
        names += ["--include", n.decode()]
    # and a group that nobody is in
    config = write_text(os.path.join(temp_dir(), "native.yaml"),
                        "process_names: [{name: nobody, comm: [pt_nobody]}]\n")
    exporters = [Exporter("--config", config, "--collect", "exits,sockets,pss,thread-names",
                          *names)]
    cgroup = None
    if is_root():
        try:
            cgroup = Cgroup()
            cgroup.limit(64 << 20, 90)
        except (Skipped, OSError, KeyError) as e:
            print("      no control group: %s" % e)
            cgroup = None
    if cgroup:
        member = Workload("while True: time.sleep(0.1)", preexec_fn=cgroup.enter)
        exporters.append(Exporter("--source", "procfs", "--group-by", "cgroup", "--collect",
                                  "cgroup", "--include", member.name))
        if not cgroup.v2:
            lacking["proctally_cgroup_.*pressure"] = "control groups of version 1"
    else:
        lacking["proctally_cgroup"] = "no control group"
    config = write_text(os.path.join(temp_dir(), "drop-in.yaml"),
                        "process_names:\n- {name: \"{{.Comm}}\", comm: %s}\n" % json.dumps(
                            ["pt_work"] + [n.decode() for n in ODD_NAMES]))
    drop_in = Exporter("--schema", "process-exporter", "--gather-smaps", "--config.path", config)
    nodes = []
    for flags in (["--collect", "exits", *names],
                  ["--schema", "process-exporter", "--collect", "pss", "--config", config]):
        directory = temp_dir()
        start([TEXTFILE, "--interval", "1s", "--output", os.path.join(directory, "proctally.prom"),
               *flags], stderr=subprocess.DEVNULL)
        wait_for(lambda: os.listdir(directory), "a text file")
        nodes.append(NodeExporter(directory))
    if "proctally_source{source=\"bpf\"} 1" not in exporters[0].ask("/metrics")[1]:
        lacking["proctally_(network|process_exits_by|lost_events)"] = "no source bpf"
    return {"proctally": [e.target for e in exporters], "drop-in": [drop_in.target],
            "node": [nodes[0].target], "drop-in-node": [nodes[1].target]}, lacking, exporters, w


def after_some_scrapes(server, jobs):
    wait_for(lambda: len(server.targets_up()) == sum(map(len, jobs.values())), "all targets", 30)
    wait_for(lambda: (server.value("min(count_over_time(up[1m]))") or 0) >= 12,
             "some scrapes of each", 60, every=0.5)
    return server


def ask(prometheus, dashboard, name, lacking):
    """Puts all queries with all values, all of them about the same moment: a query answers
    where all that it selects is there."""
    seen, asked, answered, exists, now = set(), 0, {}, {}, time.time()
    for values in combinations(prometheus, dashboard):
        for panel, t in targets_of(dashboard):
            query = put_in(t["expr"], values)
            for selector in selectors_of(query):
                if selector not in exists:
                    exists[selector] = bool(prometheus.query(selector, now))
            if query in seen:
                continue
            seen.add(query)
            asked += 1
            result = prometheus.query(query, now)
            where = "%s, panel %s" % (name, panel["title"])
            if all(exists[s] for s in selectors_of(query)):
                check(result, "%s: no series" % where, query)
            if result:
                answered.setdefault(t["expr"], query)
                for labels, value in result:
                    check(value == value, "%s: not a number" % where, query, labels)
                if panel["type"] != "table":
                    wanted = set(re.findall(r"\{\{(\w+)\}\}", t["legendFormat"]))
                    check(all(wanted <= set(labels) for labels, _ in result),
                          "%s: a label of the legend is missing" % where, query, result[:3])
                else:
                    keys = {frozenset(labels) for labels, _ in result}
                    check(all(len(k) == 1 for k in keys), "%s: rows of a table would not merge"
                          % where, query, keys)
    # and over time, as graphs ask
    for panel, t in targets_of(dashboard):
        if t["expr"] in answered and t["range"]:
            lines = prometheus.lines(answered[t["expr"]], 5)
            check(lines and max(len(line) for _, line in lines) > 1,
                  "%s, panel %s: no line" % (name, panel["title"]), t["expr"], lines[:3])
    for panel, t in targets_of(dashboard):
        if t["expr"] in answered:
            continue
        why = [w for pattern, w in lacking.items() if re.search(pattern, t["expr"])]
        check(why, "%s, panel %s: has never answered" % (name, panel["title"]), t["expr"])
        print("      %s, panel %s: no series, %s" % (name, panel["title"], why[0]))
    print("      %s: %d queries" % (name, asked))
    check(asked > 100, "that is not many", asked)


def cpu_of(process):
    """CPU seconds of a process and of its children that it has waited for."""
    fields = read_text("/proc/%d/stat" % process.pid).rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) * TICK


def check_use(prometheus, workload):
    """What the panels say that the workload uses is what it uses, in either schema."""
    before, begun = cpu_of(workload.process), time.time()
    time.sleep(int(BUILT_IN["__rate_interval"][:-1]))
    used = (cpu_of(workload.process) - before) / (time.time() - begun)
    for name, job in (("proctally-group.json", "node"), ("process-exporter-group.json", "drop-in")):
        values = {**BUILT_IN, "job": job, "instance": ".*", "groupname": "pt_work"}
        for panel, t in targets_of(load(os.path.join(FOLDER, name))):
            if panel["title"] == "CPUs in use" and t["legendFormat"] != "the rest":
                found = prometheus.query(put_in(t["expr"], values))
                check_equal(len(found), 1, "hosts with the workload")
                check_near(found[0][1], used, "CPUs in use, " + name, relative=0.3, absolute=0.05)


def fleet_says(prometheus, name):
    """{title: {legend: value}} of the panels of a fleet's dashboard that have no table, with
    all hosts and groups."""
    dashboard, found = load(os.path.join(FOLDER, name)), {}
    values = next(combinations(prometheus, dashboard))
    for panel, t in targets_of(dashboard):
        if panel["type"] != "table":
            for labels, value in prometheus.query(put_in(t["expr"], values)):
                legend = re.sub(r"\{\{(\w+)\}\}", lambda m: labels[m.group(1)], t["legendFormat"])
                found.setdefault(panel["title"], {})[legend] = value
    return found


def case_queries():
    """And some of the answers, with all there, and after one has ended."""
    need_program("prometheus")
    jobs, lacking, exporters, workload = scene()
    prometheus = after_some_scrapes(Prometheus(jobs), jobs)
    for path in FILES:
        ask(prometheus, load(path), name_of(path), lacking)
    check_use(prometheus, workload)
    says = fleet_says(prometheus, "proctally-fleet.json")
    hosts = len(exporters) + 1 # a file's version is not known
    check_equal(says["Hosts"], {"__auto": hosts}, "hosts")
    check_equal(says["Gone silent"], {"__auto": 0}, "silent hosts")
    check_equal(says["Versions"].pop("not told"), 1, "hosts with a text file")
    check_equal(sum(says["Versions"].values()), hosts - 1, "hosts with an exporter")
    check_equal(sum(says["Sources"].values()), hosts, "hosts by source")
    check("pt_work" in says["CPUs in use"] and "the rest" in says["CPUs in use"], "groups", says)
    exporters[0].stop()

    def is_silent():
        says = fleet_says(prometheus, "proctally-fleet.json")
        return (says["Hosts"], says["Gone silent"]) == ({"__auto": hosts - 1}, {"__auto": 1})
    wait_for(is_silent, "that one is silent", 20)
    says = fleet_says(prometheus, "process-exporter-fleet.json")
    check_equal((says["Hosts"], says["Gone silent"]), ({"__auto": 2}, {"__auto": 0}),
                "hosts with process-exporter's names")


def case_victoria_metrics():
    """It has a dialect of its own."""
    need_program("victoria-metrics")
    jobs, lacking, exporters, workload = scene()
    server = after_some_scrapes(VictoriaMetrics(jobs), jobs)
    for path in FILES:
        ask(server, load(path), name_of(path), lacking)
    check_use(server, workload)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
