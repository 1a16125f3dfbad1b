#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the dashboards beside it: python3 make.py [DIRECTORY]

What they show is in the tables below, once for Grafana with Prometheus in both schemas, and
for Chronograf with InfluxDB. In a query <NAME> is a figure of FIGURES with the dashboard's
selectors, and <self:NAME> a metric that proctally has about itself. A query that asks for what
a schema does not have is left out there, and so is a panel that has none left. chronograf.py
says in InfluxQL what they ask for.
"""
import json
import os
import re
import sys

sys.dont_write_bytecode = True # what is beside this file is not to be more
import chronograf

NATIVE, DROP_IN = 0, 1
PREFIX = ("proctally_", "namedprocess_namegroup_")
FILE = ("proctally", "process-exporter")
UID = ("proctally", "proctally-drop-in")
TITLE = ("proctally", "proctally (process-exporter's names)")

# What a group has: its name in either schema, with the labels that choose it.
FIGURES = {
    "processes": ("processes", "num_procs"),
    "threads": ("threads", "num_threads"),
    "threads_running": ("threads_running", None),
    "states": ("states", "states"),
    "cpu": ("cpu_seconds_total", "cpu_seconds_total"),
    "rss": ("memory_rss_bytes", 'memory_bytes{memtype="resident"}'),
    "swap": ("memory_swap_bytes", 'memory_bytes{memtype="swapped"}'),
    "pss": ("memory_pss_bytes", 'memory_bytes{memtype="proportionalResident"}'),
    "footprint": ("memory_footprint_bytes", None),
    "fds": ("open_fds", "open_filedesc"),
    "fd_ratio": ("worst_fd_ratio", "worst_fd_ratio"),
    "disk_read": ("disk_read_bytes_total", "read_bytes_total"),
    "disk_written": ("disk_written_bytes_total", "write_bytes_total"),
    "io_read": ("io_read_bytes_total", None),
    "io_written": ("io_written_bytes_total", None),
    "received": ("network_receive_bytes_total", None),
    "sent": ("network_transmit_bytes_total", None),
    "tcp": ("tcp_sockets", None),
    "udp": ("udp_sockets", None),
    "unix": ("unix_sockets", None),
    "voluntary": ('context_switches_total{type="voluntary"}',
                  'context_switches_total{ctxswitchtype="voluntary"}'),
    "involuntary": ('context_switches_total{type="involuntary"}',
                    'context_switches_total{ctxswitchtype="nonvoluntary"}'),
    "minor": ('page_faults_total{type="minor"}', "minor_page_faults_total"),
    "major": ('page_faults_total{type="major"}', "major_page_faults_total"),
    "queue_wait": ("run_queue_wait_seconds_total", None),
    "blkio_delay": ("blkio_delay_seconds_total", None),
    "start_time": ("start_time_seconds", "oldest_start_time_seconds"),
    "starts": ("process_starts_total", None),
    "exits": ("process_exits_total", None),
    "exits_by_reason": ("process_exits_by_reason_total", None),
    "unreadable": ("unreadable_processes", None),
    "thread_cpu": ("thread_cpu_seconds_total", "thread_cpu_seconds_total"),
    "cgroup_memory": ("cgroup_memory_bytes", None),
    "cgroup_memory_limit": ("cgroup_memory_limit_bytes", None),
    "cgroup_throttled": ("cgroup_cpu_throttled_seconds_total", None),
    "cgroup_cpu_pressure": ('cgroup_cpu_pressure_seconds_total{type="some"}', None),
    "cgroup_memory_pressure": ('cgroup_memory_pressure_seconds_total{type="some"}', None),
    "cgroup_io_pressure": ('cgroup_io_pressure_seconds_total{type="some"}', None),
    "cgroup_oom_kills": ('cgroup_memory_events_total{type="oom_kill"}', None),
}

# Of which host and of which group, as the variables of the dashboard say.
SOME_HOSTS = 'job=~"$job",instance=~"$instance"'
ONE_HOST = 'job=~"$job",instance="$instance"'
GROUPS = 'groupname=~"$groupname"'

CPUS = "suffix: CPUs"
OPT_IN = " Needs the word %s in the option collect."
BPF = " Only from hosts with source bpf."


def rate(figure, by):
    return f"sum by ({by}) (rate(<{figure}>[$__rate_interval]))"


def total(figure, by):
    return f"sum by ({by}) (<{figure}>)"


def both(first, second, by):
    """Two counters together, as one rate."""
    return f"{rate(first, by)} + {rate(second, by)}"


def most(query, legend, count=10):
    """The groups that have most of it."""
    return [(f"topk({count}, {query})", legend)]


def whole(query, by, count=10):
    """The groups that have most of it, and the rest, so that a stack has the right height."""
    top = f"topk({count}, {query})"
    return [(top, "{{%s}}" % by), (f"sum({query}) - sum({top})", "the rest")]


def graph(title, unit, description, targets, stack=False, width=12):
    return dict(type="timeseries", title=title, unit=unit, description=description,
                targets=targets, stack=stack, width=width, height=8)


def stat(title, unit, description, query, legend="", width=4):
    return dict(type="stat", title=title, unit=unit, description=description,
                targets=[(query, legend)], width=width, height=4)


def bars(title, unit, description, targets, width=12):
    return dict(type="bargauge", title=title, unit=unit, description=description,
                targets=targets, width=width, height=8)


def table(title, description, key, columns, link, width=24):
    """columns: (heading, unit, query). A click on the key leads to the dashboard `link`."""
    return dict(type="table", title=title, unit="short", description=description, key=key,
                columns=columns, link=link, targets=[(query, "") for _, _, query in columns],
                width=width, height=10)


def row(title):
    return dict(type="row", title=title)


# ---- What there is to see ----------------------------------------------------------------

RSS = "Resident memory; a page that several processes share counts once for each."
IO = "Bytes fetched from storage plus bytes to be written to it."
FD = "Open descriptors divided by the soft limit, for the process closest to it."
SILENT = "count(count_over_time({0}[1h]) unless on (job, instance) {0}) or vector(0)"
TOLD = "<build_info>"
VERSIONS = f"count by (version) ({TOLD}) or count by (version) (label_replace(" \
    f"<self:groups> unless on (job, instance) {TOLD}, " \
    '"version", "not told", "", ""))'
INCOMPLETE = [("sum(increase(<self:%s>[$__range]))" % name, text) for name, text in (
    ("lost_events_total", "events lost in the kernel"),
    ("groups_overflowed_total", "groups that did not fit"),
    ("threads_skipped_total", "threads not read"),
    ("pattern_limits_total", "matches given up"),
    ("cmdlines_cut_total", "command lines cut"))]


def fleet():
    return [
        row("Hosts"),
        stat("Hosts", "short", "Hosts that report now.",
             "count(count by (job, instance) (<self:groups>))"),
        stat("Gone silent", "short", "Hosts that reported within the last hour and no longer do.",
             SILENT.format("<self:groups>")),
        stat("Groups", "short", "Different names of groups.",
             "count(count by (groupname) (<processes>))"),
        stat("Processes", "short", "Processes in all groups.", "sum(<processes>)"),
        stat("Lowest coverage", "percentunit",
             "CPU time found in processes divided by what the host used, on the host where that is "
             "lowest. The mean of an hour: it jumps around on an idle host.",
             "min(avg_over_time(<self:cpu_coverage_ratio>[1h]))"),
        stat("Events lost", "short", "Starts and ends of processes that the kernel dropped in the "
             "time shown. One in a hundred is normal on a busy host." + BPF,
             "sum(increase(<self:lost_events_total>[$__range]))"),
        table("Hosts", "Each host now. Click one to see it alone.", "instance", [
            ("CPUs in use", CPUS, rate("cpu", "instance")),
            ("Memory", "bytes", total("rss", "instance")),
            ("Processes", "short", total("processes", "instance")),
            ("Groups", "short", "sum by (instance) (<self:groups>)"),
            ("Coverage", "percentunit",
             "min by (instance) (avg_over_time(<self:cpu_coverage_ratio>[1h]))"),
            ("Events lost", "short",
             "sum by (instance) (increase(<self:lost_events_total>[$__range]))"),
            ("A collection takes", "s", "max by (instance) (<self:collection_cpu_seconds>)"),
        ], "host"),
        bars("Versions", "short", "Hosts by the version of their exporter. A text file that "
             "node_exporter serves does not tell its version.", [(VERSIONS, "{{version}}")], 8),
        bars("Sources", "short", "Hosts by where their figures come from: programs in the kernel "
             "(bpf) or /proc (procfs).", [("sum by (source) (<self:source>)", "{{source}}")], 8),
        bars("Left out", "short", "What could not be counted in the time shown.",
             INCOMPLETE, 8),
        row("Groups of all these hosts: the ten that use most"),
        graph("CPUs in use", CPUS, "CPU seconds per second: 1 is one CPU kept busy.",
              whole(rate("cpu", "groupname"), "groupname"), stack=True),
        graph("Memory", "bytes", RSS, whole(total("rss", "groupname"), "groupname"), stack=True),
        graph("Storage", "Bps", IO,
              most(both("disk_read", "disk_written", "groupname"), "{{groupname}}")),
        graph("Network", "Bps", "TCP and UDP, received and sent, from the IP header on." + BPF,
              most(both("received", "sent", "groupname"), "{{groupname}}")),
        graph("Processes", "short", "Processes of the group on all these hosts.",
              most(total("processes", "groupname"), "{{groupname}}")),
        bars("Closest to the descriptor limit", "percentunit", FD,
             most("max by (instance, groupname) (<fd_ratio>)", "{{groupname}} on {{instance}}")),
        graph("Starts", "cps", "Processes started per second. Many can mean scripts, or a "
              "program that fails and is restarted.",
              most(rate("starts", "groupname"), "{{groupname}}")),
        graph("Bad ends", "cps", "Processes per second that ended by a signal, with a core dump, "
              "for want of memory, or with a nonzero status." + BPF + OPT_IN % "exits",
              most('sum by (groupname, reason) (rate(<exits_by_reason>{reason!="ok"}'
                   "[$__rate_interval]))", "{{groupname}}: {{reason}}")),
        table("Groups", "Each group now, over all these hosts. Click one to see it alone.",
              "groupname", [
                  ("Hosts", "short", "sum by (groupname) (<processes> > bool 0)"),
                  ("Processes", "short", total("processes", "groupname")),
                  ("CPUs in use", CPUS, rate("cpu", "groupname")),
                  ("Memory", "bytes", total("rss", "groupname")),
                  ("Read", "Bps", rate("disk_read", "groupname")),
                  ("Written", "Bps", rate("disk_written", "groupname")),
                  ("Descriptors", "short", total("fds", "groupname")),
              ], "group"),
    ]


def group():
    on = "{{instance}}"
    return [
        row("Now"),
        stat("Hosts", "short", "Hosts on which the group has processes.",
             "sum(max by (job, instance) (<processes> > bool 0))"),
        stat("Processes", "short", "Processes of the group.", "sum(<processes>)"),
        stat("CPUs in use", CPUS, "CPU seconds per second: 1 is one CPU kept busy.",
             "sum(rate(<cpu>[$__rate_interval]))"),
        stat("Memory", "bytes", RSS, "sum(<rss>)"),
        stat("Closest to the descriptor limit", "percentunit", FD, "max(<fd_ratio>)"),
        stat("Since the last restart", "s", "Age of the oldest process of the group, on the host "
             "where that is lowest.",
             "min(time() - <start_time>)"),
        row("By host: the ten that use most"),
        graph("CPUs in use", CPUS, "CPU seconds per second: 1 is one CPU kept busy.",
              whole(rate("cpu", "instance"), "instance"), stack=True),
        graph("Memory", "bytes", RSS, whole(total("rss", "instance"), "instance"), stack=True),
        graph("Processes", "short", "Processes of the group.",
              most(total("processes", "instance"), on)),
        graph("Closest to the descriptor limit", "percentunit", FD,
              most("max by (instance) (<fd_ratio>)", on)),
        graph("Storage", "Bps", IO, most(both("disk_read", "disk_written", "instance"), on)),
        graph("Network", "Bps", "TCP and UDP, received and sent, from the IP header on." + BPF,
              most(both("received", "sent", "instance"), on)),
        row("By kind, over all these hosts"),
        graph("CPU time by mode", CPUS, "In user mode, and in the kernel on the processes' behalf.",
              [(rate("cpu", "mode"), "{{mode}}")], stack=True),
        graph("Memory by kind", "bytes", "Resident: shared pages included. Private: anonymous "
              "pages, resident or swapped out. Proportional: each shared page divided among those "
              "who share it; needs the word pss in the option collect.", [
                  ("sum(<rss>)", "resident"), ("sum(<footprint>)", "private"),
                  ("sum(<pss>)", "proportional"), ("sum(<swap>)", "swapped")]),
        graph("Storage and calls", "Bps", "Storage: fetched from it, and to be written to it. "
              "Calls: what read and write calls moved, cache, pipes and sockets included.", [
                  ("sum(rate(<disk_read>[$__rate_interval]))", "read from storage"),
                  ("sum(rate(<disk_written>[$__rate_interval]))", "written to storage"),
                  ("sum(rate(<io_read>[$__rate_interval]))", "read calls"),
                  ("sum(rate(<io_written>[$__rate_interval]))", "write calls")]),
        graph("Network by protocol", "Bps", "From the IP header on, loopback included." + BPF, [
            (rate("received", "protocol"), "{{protocol}} received"),
            (rate("sent", "protocol"), "{{protocol}} sent")]),
        graph("States", "short", "Processes by the state of their main thread.",
              [(total("states", "state"), "{{state}}")], stack=True),
        graph("Threads", "short", "Threads of these processes, and how many of them run or wait "
              "for a CPU.", [("sum(<threads>)", "threads"),
                             ("sum(<threads_running>)", "running")]),
        graph("Waiting", "short", "Threads waiting on average: for a CPU, and for block I/O. "
              "The second needs the sysctl kernel.task_delayacct.", [
                  ("sum(rate(<queue_wait>[$__rate_interval]))", "for a CPU"),
                  ("sum(rate(<blkio_delay>[$__rate_interval]))", "for block I/O")]),
        graph("Context switches", "cps", "Voluntary: a thread waited for something. "
              "Involuntary: it had to make room for another.", [
                  ("sum(rate(<voluntary>[$__rate_interval]))", "voluntary"),
                  ("sum(rate(<involuntary>[$__rate_interval]))", "involuntary")]),
        graph("Page faults", "cps", "Major ones had to wait for I/O.", [
            ("sum(rate(<minor>[$__rate_interval]))", "minor"),
            ("sum(rate(<major>[$__rate_interval]))", "major")]),
        graph("Descriptors", "short", "Open file descriptors.", [("sum(<fds>)", "open")]),
        graph("Starts and ends", "cps", "Processes that started and ended, per second.", [
            ("sum(rate(<starts>[$__rate_interval]))", "starts"),
            ("sum(rate(<exits>[$__rate_interval]))", "ends")]),
        graph("Ends by reason", "cps", "ok: with status 0. error: with another. signal: killed by "
              "one. core: with a core dump. oom: by the kernel, for want of memory." + BPF +
              OPT_IN % "exits", [(rate("exits_by_reason", "reason"), "{{reason}}")]),
        graph("Sockets", "short", "TCP by state, UDP and local ones. Many in close_wait mean that "
              "the program forgets to close them." + OPT_IN % "sockets", [
                  (total("tcp", "state"), "tcp {{state}}"), ("sum(<udp>)", "udp"),
                  ("sum(<unix>)", "unix")]),
        graph("CPU time by thread", CPUS, "The ten thread names that use most. With source bpf "
              "a thread is counted up to its last instruction. With procfs it is sampled: what it "
              "used right before its end is missing. Processes that began and ended between two "
              "collections are in neither." + OPT_IN % "thread-names",
              most(rate("thread_cpu", "threadname"), "{{threadname}}")),
        graph("Not readable", "short", "Processes whose file in /proc could not be read, for want "
              "of a right: they are missing in the sums above.",
              [("sum by (file) (<unreadable>)", "{{file}}")]),
        row("The control group itself: where group-by has only unit, container or cgroup, and "
            "collect has cgroup"),
        graph("Memory of the control group", "bytes", "What is charged to it, page cache included, "
              "and the lowest limit among these hosts.", [
                  ("max(<cgroup_memory>)", "charged, of the host with most"),
                  ("min(<cgroup_memory_limit>)", "limit")]),
        graph("Held up", "short", "CPUs that its CPU limit kept from it, and the share of time in "
              "which tasks waited (1 is always), which needs version 2.", [
                  ("sum(rate(<cgroup_throttled>[$__rate_interval]))", "by the CPU limit"),
                  ("max(rate(<cgroup_cpu_pressure>[$__rate_interval]))", "for a CPU"),
                  ("max(rate(<cgroup_memory_pressure>[$__rate_interval]))", "for memory"),
                  ("max(rate(<cgroup_io_pressure>[$__rate_interval]))", "for I/O")]),
        graph("Killed for want of memory", "short", "Processes of the control group that the "
              "kernel killed, over each interval.",
              [("sum by (instance) (increase(<cgroup_oom_kills>[$__rate_interval]))", on)]),
    ]


def host():
    return [
        row("Now"),
        stat("Processes", "short", "Processes in the groups.", "sum(<processes>)"),
        stat("CPUs in use", CPUS, "CPU seconds per second: 1 is one CPU kept busy.",
             "sum(rate(<cpu>[$__rate_interval]))"),
        stat("Memory", "bytes", RSS, "sum(<rss>)"),
        stat("Coverage", "percentunit", "CPU time found in processes divided by what the host "
             "used. The mean of an hour: it jumps around on an idle host.",
             "avg(avg_over_time(<self:cpu_coverage_ratio>[1h]))"),
        stat("Events lost", "short", "Starts and ends of processes that the kernel dropped in the "
             "time shown. One in a hundred is normal on a busy host." + BPF,
             "sum(increase(<self:lost_events_total>[$__range]))"),
        stat("Source", "none", "bpf: programs in the kernel, which see every process. procfs: "
             "/proc, at intervals.", "<self:source> == 1", "{{source}}"),
        row("Groups"),
        graph("CPUs in use", CPUS, "CPU seconds per second: 1 is one CPU kept busy.",
              whole(rate("cpu", "groupname"), "groupname"), stack=True),
        graph("Memory", "bytes", RSS, whole(total("rss", "groupname"), "groupname"), stack=True),
        graph("Read from storage", "Bps", "What was fetched from storage.",
              most(rate("disk_read", "groupname"), "{{groupname}}")),
        graph("Written to storage", "Bps", "What is to be written to storage.",
              most(rate("disk_written", "groupname"), "{{groupname}}")),
        graph("Received", "Bps", "TCP and UDP, from the IP header on." + BPF,
              most(rate("received", "groupname"), "{{groupname}}")),
        graph("Sent", "Bps", "TCP and UDP, from the IP header on." + BPF,
              most(rate("sent", "groupname"), "{{groupname}}")),
        graph("Threads", "short", "Threads of the group's processes.",
              most(total("threads", "groupname"), "{{groupname}}")),
        bars("Closest to the descriptor limit", "percentunit", FD,
             most("max by (groupname) (<fd_ratio>)", "{{groupname}}")),
        graph("Waiting for a CPU", "short", "Threads that could run but had no CPU, on "
              "average.", most(rate("queue_wait", "groupname"), "{{groupname}}")),
        graph("Starts", "cps", "Processes started per second.",
              most(rate("starts", "groupname"), "{{groupname}}")),
        table("Groups", "Each group now. Click one to see it on all hosts.", "groupname", [
            ("Processes", "short", total("processes", "groupname")),
            ("Threads", "short", total("threads", "groupname")),
            ("CPUs in use", CPUS, rate("cpu", "groupname")),
            ("Memory", "bytes", total("rss", "groupname")),
            ("Swapped", "bytes", total("swap", "groupname")),
            ("Read", "Bps", rate("disk_read", "groupname")),
            ("Written", "Bps", rate("disk_written", "groupname")),
            ("Descriptors", "short", total("fds", "groupname")),
            ("Closest to the limit", "percentunit", "max by (groupname) (<fd_ratio>)"),
            ("Oldest", "s", "max by (groupname) (time() - <start_time>)"),
        ], "group"),
        row("proctally itself"),
        graph("Coverage", "percentunit", "CPU time found in processes divided by what the host "
              "used, since the previous collection. It jumps around on an idle host.",
              [("avg(<self:cpu_coverage_ratio>)", "coverage")]),
        graph("A collection", "s", "How long the last collection took, and how much CPU time.", [
            ("max(<self:collection_duration_seconds>)", "elapsed"),
            ("max(<self:collection_cpu_seconds>)", "CPU time")]),
        graph("Seen", "short", "Processes seen, including those that a filter leaves out; "
              "hidden ones can't be read at all (hidepid).", [
                  ("sum(<self:processes_seen>)", "seen"),
                  ("sum(<self:processes_hidden>)", "hidden"),
                  ("sum(<processes>)", "in groups")]),
        bars("Left out", "short", "What could not be counted in the time shown.",
             INCOMPLETE),
    ]


# name, title, what it is about, the panels, its selector of hosts, whether a group is chosen
DASHBOARDS = (
    ("fleet", "fleet", "Which groups of which hosts use what.", fleet, SOME_HOSTS, "all"),
    ("group", "one group", "One group across hosts.", group, SOME_HOSTS, "some"),
    ("host", "one host", "The groups of one host.", host, ONE_HOST, "all"),
)


# ---- Queries -----------------------------------------------------------------------------

class Lacking(Exception):
    pass


def with_labels(text, selector):
    """NAME or NAME{LABELS} with more labels."""
    name, _, labels = text.rstrip("}").partition("{")
    return "%s{%s}" % (name, ",".join(filter(None, (selector, labels))))


def expand(query, schema, hosts):
    """The query of a schema; raises Lacking."""
    def figure(match):
        name, more = match.group(1), (match.group(2) or "")[1:-1]
        if name == "build_info":
            metric = ("proctally_exporter_build_info", "process_exporter_build_info")[schema]
            return with_labels(metric, hosts)
        if name.startswith("self:"):
            return with_labels("proctally_" + name[5:], hosts)
        if FIGURES[name][schema] is None:
            raise Lacking(name)
        return with_labels(PREFIX[schema] + FIGURES[name][schema],
                           ",".join(filter(None, (hosts, GROUPS, more))))
    return re.sub(r"<([a-z_:]+)>(\{[^}]*\})?", figure, query)


# ---- Grafana's format --------------------------------------------------------------------

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variable(name, label, query, multi, everything, description=""):
    # all jobs are those with these metrics, all hosts and groups are those of such jobs
    pattern = ".*" if everything and name != "job" else None
    return {
        "type": "query", "name": name, "label": label, "description": description,
        "datasource": SOURCE, "definition": query,
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "multi": multi, "includeAll": everything, "allValue": pattern,
        "refresh": 2, "sort": 1, "hide": 0, "regex": "", "skipUrlSync": False, "options": [],
        **({"current": {"selected": True, "text": ["All"], "value": ["$__all"]}} if everything
           else {}),
    }


def variables(schema, hosts, groups):
    processes = PREFIX[schema] + FIGURES["processes"][schema]
    several = hosts == SOME_HOSTS
    return [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
         "hide": 0, "includeAll": False, "multi": False, "options": [],
         "refresh": 1, "regex": "", "skipUrlSync": False},
        variable("job", "Job", f"label_values({processes}, job)", True, True,
                 "A host that two jobs scrape counts twice: choose one of them."),
        variable("instance", "Host", f'label_values({processes}{{job=~"$job"}}, instance)',
                 several, several),
        variable("groupname", "Group", f"label_values({processes}{{{hosts}}}, groupname)", True,
                 groups == "all"),
    ]


def target(number, query, legend, instant, of_table):
    return {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query,
            "legendFormat": legend or "__auto", "instant": instant, "range": not instant,
            "format": "table" if of_table else "time_series"}


def matcher(column, *properties):
    return {"matcher": {"id": "byName", "options": column},
            "properties": [{"id": i, "value": v} for i, v in properties]}


def options_of(panel, schema):
    """What is particular to a type of panel: (defaults of fields, overrides, the rest)."""
    latest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel["type"] == "timeseries":
        custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel["stack"] else 5,
                  "showPoints": "never", "spanNulls": False,
                  "stacking": {"mode": "normal" if panel["stack"] else "none", "group": "A"}}
        return {"custom": custom}, [], {"options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True,
                       "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"}}}
    if panel["type"] == "stat":
        named = bool(panel["targets"][0][1])
        return {}, [], {"options": {
            "reduceOptions": latest, "orientation": "auto", "colorMode": "none",
            "graphMode": "none" if named else "area", "justifyMode": "auto",
            "textMode": "name" if named else "auto"}}
    if panel["type"] == "bargauge":
        top = {"max": 1} if panel["unit"] == "percentunit" else {}
        return top, [], {"options": {
            "reduceOptions": latest, "orientation": "horizontal", "displayMode": "basic",
            "showUnfilled": True}}
    to = "/d/%s-%s?${datasource:queryparam}&${job:queryparam}&var-%s=${__value.text}" \
        "&${__url_time_range}" % (UID[schema], panel["link"], panel["key"])
    key = matcher(panel["key"], ("links", [{"title": "See it alone", "url": to}]))
    names = {"Value #%c" % (ord("A") + i): c[0] for i, c in enumerate(panel["columns"])}
    return {"custom": {"align": "auto", "filterable": True}}, \
        [key] + [matcher(heading, ("unit", unit)) for heading, unit, _ in panel["columns"]], \
        {"options": {"showHeader": True,
                     "sortBy": [{"displayName": "CPUs in use", "desc": True}]},
         "transformations": [
             {"id": "merge", "options": {}},
             {"id": "organize", "options": {"excludeByName": {"Time": True},
                                            "indexByName": {}, "renameByName": names}}]}


def panel_of(panel, number, place, schema, hosts):
    """Grafana's object; None if the schema has nothing to show in it."""
    if panel["type"] == "row":
        return {"id": number, "type": "row", "title": panel["title"], "collapsed": False,
                "gridPos": place, "panels": []}
    targets, columns = [], []
    for i, (query, legend) in enumerate(panel["targets"]):
        try:
            targets.append((expand(query, schema, hosts), legend))
            columns += panel.get("columns", [])[i:i + 1]
        except Lacking:
            continue
    if not targets:
        return None
    panel = dict(panel, columns=columns)
    defaults, overrides, rest = options_of(panel, schema)
    defaults = {"unit": panel["unit"], "min": 0, "color": {"mode": "palette-classic"}, **defaults}
    # what is not drawn over time is asked for once
    instant = panel["type"] in ("table", "bargauge") or "$__range]" in targets[0][0]
    return {"id": number, "type": panel["type"], "title": panel["title"],
            "description": panel["description"], "datasource": SOURCE, "gridPos": place,
            "fieldConfig": {"defaults": defaults, "overrides": overrides},
            "targets": [target(i, query, legend, instant, panel["type"] == "table")
                        for i, (query, legend) in enumerate(targets)], **rest}


def panels_of(panels, schema, hosts):
    """From left to right, then down; a row that has nothing in it is left out."""
    made, x, y, height = [], 0, 0, 0
    for panel in panels:
        wide, high = panel.get("width", 24), panel.get("height", 1)
        if x + wide > 24 or panel["type"] == "row":
            x, y, height = 0, y + height, 0
        one = panel_of(panel, len(made) + 1, {"h": high, "w": wide, "x": x, "y": y}, schema, hosts)
        if one is None:
            continue
        if one["type"] == "row" and made and made[-1]["type"] == "row":
            y -= made.pop()["gridPos"]["h"]
            one["gridPos"]["y"], one["id"] = y, len(made) + 1
        made.append(one)
        x, height = x + wide, max(height, high)
    while made and made[-1]["type"] == "row":
        made.pop()
    return made


def dashboard(schema, name, title, about, panels, hosts, groups):
    return {
        "uid": "%s-%s" % (UID[schema], name), "title": "%s: %s" % (TITLE[schema], title),
        "description": about, "tags": [UID[schema]], "schemaVersion": 36, "version": 1,
        "editable": True, "graphTooltip": 1, "refresh": "1m", "timezone": "",
        "time": {"from": "now-6h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0,
        "weekStart": "", "liveNow": False, "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "", "tags": [UID[schema]], "keepTime": True,
                   "includeVars": False, "asDropdown": False, "targetBlank": False, "icon": "",
                   "tooltip": ""}],
        "templating": {"list": variables(schema, hosts, groups)},
        "panels": panels_of(panels(), schema, hosts),
    }


def text_of(value, indent=0):
    """JSON that people can compare: what fits into a line is one."""
    line = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, (dict, list)) or indent + len(line) <= 100:
        return line
    inner = " " * (indent + 1)
    if isinstance(value, list):
        parts = [text_of(v, indent + 1) for v in value]
        return "[\n" + ",\n".join(inner + p for p in parts) + "\n" + " " * indent + "]"
    parts = ["%s: %s" % (json.dumps(k), text_of(v, indent + 1)) for k, v in value.items()]
    return "{\n" + ",\n".join(inner + p for p in parts) + "\n" + " " * indent + "}"


def write(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
        file.write(text)


def main(directory):
    for schema in (NATIVE, DROP_IN):
        for name, *rest in DASHBOARDS:
            write(directory, "%s-%s.json" % (FILE[schema], name),
                  text_of(dashboard(schema, name, *rest)) + "\n")
    for name, title, _, panels, _, _ in DASHBOARDS:
        write(directory, "chronograf-%s.json" % name,
              text_of(chronograf.dashboard(name, title, panels())) + "\n")
    write(directory, "proctally.influxql",
          chronograf.queries({name: panels() for name, _, _, panels, _, _ in DASHBOARDS}))


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else os.path.dirname(os.path.abspath(__file__)))
