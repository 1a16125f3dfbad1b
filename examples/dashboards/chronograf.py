# SPDX-License-Identifier: MIT
"""The dashboards of make.py for Chronograf: what their panels ask Prometheus for, in InfluxQL
and about what proctally-telegraf writes through Telegraf to InfluxDB 1.x. What there are no
words for there is left out, and of the most that uses something all is shown over time.
"""
import re

# What Telegraf calls it: a field, or a label and a field for each of its values.
FIELDS = {
    "processes": "num_procs",
    "threads": "num_threads",
    "threads_running": "num_threads_running",
    "states": ("state", {s: s for s in ("running", "sleeping", "disk_sleep", "stopped", "zombie",
                                        "idle")}),
    "cpu": ("mode", {"user": "cpu_time_user", "system": "cpu_time_system"}),
    "rss": "memory_rss",
    "swap": "memory_swap",
    "pss": "memory_pss",
    "footprint": "memory_footprint",
    "fds": "num_fds",
    "fd_ratio": "worst_fd_ratio",
    "disk_read": "disk_read_bytes",
    "disk_written": "disk_write_bytes",
    "io_read": "read_bytes",
    "io_written": "write_bytes",
    "received": ("protocol", {"tcp": "net_recv_bytes_tcp", "udp": "net_recv_bytes_udp"}),
    "sent": ("protocol", {"tcp": "net_sent_bytes_tcp", "udp": "net_sent_bytes_udp"}),
    "tcp": ("state", {s: "tcp_" + s for s in ("established", "syn_sent", "fin_wait1", "fin_wait2",
                                              "close_wait", "last_ack", "listen", "closing")}),
    "udp": "udp_socket",
    "unix": "unix_socket",
    "voluntary": "voluntary_context_switches",
    "involuntary": "involuntary_context_switches",
    "minor": "minor_faults",
    "major": "major_faults",
    "queue_wait": "run_queue_wait",
    "blkio_delay": "blkio_delay",
    "starts": "starts",
    "exits": "exits",
    "exits_by_reason": ("reason", {r: "exits_" + r for r in ("ok", "error", "signal", "core",
                                                             "oom")}),
    "unreadable": "unreadable",
    "cgroup_memory": "cgroup_memory",
    "cgroup_memory_limit": "cgroup_memory_limit",
    "cgroup_throttled": "cgroup_cpu_throttled",
    "cgroup_cpu_pressure": "cgroup_cpu_pressure_some",
    "cgroup_memory_pressure": "cgroup_memory_pressure_some",
    "cgroup_io_pressure": "cgroup_io_pressure_some",
    "cgroup_oom_kills": "cgroup_memory_events_oom_kill",
    "thread_cpu": ("mode", {"user": "cpu_time_user", "system": "cpu_time_system"}),
    "self:source": ("source", {"procfs": "source_procfs", "bpf": "source_bpf"}),
}


class Wordless(Exception):
    pass


# ---- InfluxQL ----------------------------------------------------------------------------

# Tags by their names as labels. Everything else that is grouped by is a field for each value.
TAGS = {"instance": "host", "groupname": "groupname", "threadname": "thread_name"}
TERM = re.compile(r"(sum|avg|min|max)(?: by \(([a-z, ]+)\) )?\("
                  r"(?:(rate|increase|avg_over_time)\()?<([a-z_:]+)>(?:\{([^}]*)\})?"
                  r"(?:\[([^]]+)\]\))?\)")
COUNT = re.compile(r"count\(count by \(([a-z, ]+)\) \(<([a-z_:]+)>\)\)")
TOP = re.compile(r"topk\((\d+), (.*)\)")
# Over time, in Chronograf's words; and what is the case now.
SHOWN = "time > :dashboardTime:"
NOW = "time > now() - 2m"


def quoted(name):
    return '"%s"' % name.replace('"', "'")


def measurement_of(figure):
    """Its measurement, and the tags that a series of it has."""
    if figure.startswith("self:"):
        return "proctally_self", ["host"]
    if figure.startswith("thread_"):
        return "proctally_threads", ["host", "groupname", "thread_name"]
    return "proctally", ["host", "groupname"]


def fields_of(figure, condition, labels):
    """{value of the label that it is grouped by, or None: fields}"""
    if figure.startswith("self:") and figure not in FIELDS:
        found = figure[5:].removesuffix("_total")
    elif figure in FIELDS:
        found = FIELDS[figure]
    else:
        raise Wordless(figure)
    label, values = (None, {None: found}) if isinstance(found, str) else found
    if condition:
        value = re.fullmatch(r'(\w+)!="(\w+)"', condition).group(2)
        values = {v: f for v, f in values.items() if v != value}
    if labels:
        if labels != [label]:
            raise Wordless(labels)
        return {v: [f] for v, f in values.items()}
    return {None: list(values.values())}


def parsed(query):
    """(function over series, labels, function over time, window, measurement, its tags,
    {value: fields}, how many); all terms of a sum have the same but for the fields."""
    most = TOP.fullmatch(query)
    parts, columns = set(), {}
    for term in (most.group(2) if most else query).split(" + "):
        match = TERM.fullmatch(term)
        if not match:
            raise Wordless(term)
        function, by, over, figure, condition, window = match.groups()
        labels = [label for label in (by or "").split(", ") if label not in ("", "job")]
        measurement, tags = measurement_of(figure)
        parts.add((function, tuple(labels), over, window, measurement, tuple(tags)))
        more = fields_of(figure, condition, [label for label in labels if label not in TAGS])
        for value, fields in more.items():
            columns.setdefault(value, []).extend(fields)
    if len(parts) > 1:
        raise Wordless(query)
    return (*parts.pop(), columns, int(most.group(1)) if most else None)


def where(selector, measurement, window):
    if measurement == "proctally_self":
        selector = {tag: variable for tag, variable in selector.items() if tag == "host"}
    return " AND ".join([window, *('"%s" = %s' % item for item in selector.items())])


def select(columns, measurement, condition, tags):
    """Of each series; columns: {name: expression}."""
    return 'SELECT %s FROM "telegraf".."%s" WHERE %s GROUP BY %s' % (
        ", ".join("%s AS %s" % (e, quoted(n)) for n, e in columns.items()), measurement, condition,
        ", ".join(tags))


def over_series(function, number, factor, name):
    return '%s("c%d")%s AS %s' % ({"avg": "mean"}.get(function, function), number, factor,
                                  quoted(name))


def added_up(template, fields):
    return " + ".join(template % f for f in fields)


def over_time(query, names, factor, selector):
    """One line for each series that the query has. Counters are added up by the program and
    never fall: a derivative is taken of each series first, and then the sum over series."""
    function, labels, over, _, measurement, tags, columns, _ = parsed(query)
    template = {None: '%s("%%s")' % {"min": "min", "max": "max"}.get(function, "mean"),
                "rate": 'non_negative_derivative(max("%s"), 1s)',
                "increase": 'non_negative_difference(max("%s"))'}[over]
    each = select({"c%d" % i: added_up(template, f) for i, f in enumerate(columns.values())},
                  measurement, where(selector, measurement, SHOWN),
                  ["time(:interval:)"] + [quoted(t) for t in tags])
    by = [quoted(TAGS[label]) for label in labels if label in TAGS]
    return "SELECT %s FROM (%s) WHERE %s GROUP BY %s" % (
        ", ".join(over_series(function, i, factor, names(v)) for i, v in enumerate(columns)),
        each, SHOWN, ", ".join(["time(:interval:)"] + by))


def now_of_each(number, over, window, measurement, tags, fields, selector):
    """What each series has now, as the column c<number>. It is a float in any case (the mean of
    one value is that): integers InfluxDB shows of the first of several sources only."""
    tags = [quoted(t) for t in tags]
    function, template, window = {
        None: ('mean("v")', 'last("%s")', NOW),
        "avg_over_time": ('mean("v")', 'mean("%s")', "time > now() - %s" % window),
        "rate": ('mean("v")', 'non_negative_derivative("%s", 1s)', NOW),
        "increase": ('sum("v") * 1.0', 'non_negative_difference("%s")', SHOWN)}[over]
    each = select({"v": added_up(template, fields)}, measurement,
                  where(selector, measurement, window), tags)
    return 'SELECT %s AS "c%d" FROM (%s) GROUP BY %s' % (function, number, each, ", ".join(tags))


def how_many(match, name, selector):
    """How many different hosts, or groups, there are."""
    labels, figure = match.groups()
    measurement, _ = measurement_of(figure)
    tags = [TAGS[label] for label in labels.split(", ") if label in TAGS]
    fields = fields_of(figure, None, [])[None]
    return 'SELECT count("c0") AS %s FROM (%s)' % (
        quoted(name), now_of_each(0, None, None, measurement, tags, fields, selector))


def now(targets, selector):
    """One query for all that are of the first one's measurement and grouped like it, a column
    for each; targets: (query, names of columns, factor)."""
    match = COUNT.fullmatch(targets[0][0])
    if match:
        return how_many(match, targets[0][1](None), selector)
    kind, sources, columns, most = None, [], [], None
    for query, names, factor in targets:
        try:
            function, labels, over, window, measurement, tags, values, most = parsed(query)
        except Wordless:
            continue
        by = [quoted(TAGS[label]) for label in labels if label in TAGS]
        kind = kind or (measurement, by)
        if kind != (measurement, by):
            continue
        for value, fields in values.items():
            number = len(columns)
            sources.append("(%s)" % now_of_each(number, over, window, measurement, tags, fields,
                                                selector))
            columns.append(over_series(function, number, factor, names(value)))
    if not kind:
        raise Wordless(targets[0][0])
    by = ", ".join(kind[1])
    query = "SELECT %s FROM %s" % (", ".join(columns), ", ".join(sources))
    query += by and " GROUP BY " + by
    if most:
        name = columns[0].rpartition(" AS ")[2]
        query = "SELECT top(%s, %s, %d) AS %s FROM (%s)" % (name, by, most, name, query)
    return query


# ---- Chronograf's format -----------------------------------------------------------------

# Of which host and of which group: tags and Chronograf's variables.
SELECTORS = {"fleet": {}, "group": {"groupname": ":groupname:"}, "host": {"host": ":host:"}}
# A unit: how it is written, and in steps of 1000 or 1024.
AXES = {"bytes": ("B", "2"), "Bps": ("B/s", "2"), "percentunit": ("%", "10"), "s": ("s", "10"),
        "cps": ("/s", "10"), "suffix: CPUs": ("CPUs", "10"), "short": ("", "10"), "none": ("", "10")}
# Grafana's width is 24, Chronograf's 12, and its rows are higher.
CELL_TYPES = {"timeseries": "line", "stat": "single-stat", "bargauge": "table", "table": "table"}
CELL_HEIGHTS = {"timeseries": 4, "stat": 2, "bargauge": 4, "table": 5}


def names_of(panel, legend):
    """What a column is called: value -> name. A legend that has only tags tells nothing more
    than Chronograf, which shows tags by itself."""
    plain = re.sub(r"\{\{(%s)\}\}" % "|".join(TAGS), "", legend)
    plain = re.sub(r"^( on |: )|( on |: )$", "", plain)
    return lambda value: re.sub(r"\{\{\w+\}\}", value or "", plain) or panel["title"]


def queries_of(panel, selector):
    """What a panel asks for, as far as there are words for it: (what of it, query)."""
    def factor(unit):
        return " * 100" if unit == "percentunit" else ""
    if panel["type"] == "table":
        targets = [(query, lambda _, heading=heading: heading, factor(unit))
                   for heading, unit, query in panel["columns"]]
    else:
        targets = [(query, names_of(panel, legend), factor(panel["unit"]))
                   for query, legend in panel["targets"]]
    found = []
    for target in targets if panel["type"] == "timeseries" else [targets]:
        try:
            if panel["type"] == "timeseries":
                found.append((target[1]("..."), over_time(*target, selector)))
            else:
                found.append((panel["title"], now(target, selector)))
        except Wordless:
            continue
    return found


def told(panel):
    """Its description, without what Chronograf can't do."""
    return re.sub(r" Click one [^.]*\.", "", panel["description"])


def cell_of(panel, name, number, place, selector):
    """Chronograf's object; None if there is nothing to show in it."""
    asked = queries_of(panel, selector)
    if not asked:
        return None
    suffix, base = AXES[panel["unit"]]
    axis = {"bounds": ["", ""], "label": suffix, "prefix": "", "suffix": "", "base": "10",
            "scale": "linear"}
    kind = CELL_TYPES[panel["type"]]
    if kind == "single-stat":
        axis["suffix"] = suffix and " " + suffix
    is_shown = {"internalName": "time", "displayName": "", "visible": kind != "table"}
    return {
        "i": "%s-%d" % (name, number), **place, "name": panel["title"],
        "type": "line-stacked" if panel.get("stack") else kind,
        "queries": [{"query": q, "queryConfig": {
            "database": "", "measurement": "", "retentionPolicy": "", "fields": [], "tags": {},
            "groupBy": {"time": "", "tags": []}, "areTagsAccepted": False, "rawText": q,
            "range": None, "shifts": None}, "source": "", "type": "influxql"} for _, q in asked],
        "axes": {"x": {**axis, "label": "", "suffix": ""}, "y": {**axis, "base": base},
                 "y2": {**axis, "label": "", "suffix": ""}},
        "colors": [], "legend": {}, "fieldOptions": [is_shown],
        "tableOptions": {"verticalTimeAxis": True, "sortBy": is_shown, "wrapping": "truncate",
                         "fixFirstColumn": True},
        "timeFormat": "MM/DD/YYYY HH:mm:ss", "decimalPlaces": {"isEnforced": True, "digits": 2},
        "note": told(panel), "noteVisibility": "default",
    }


def cells_of(panels, name, selector):
    cells, x, y, height = [], 0, 0, 0
    for panel in panels:
        if panel["type"] == "row":
            continue
        wide, high = panel["width"] // 2, CELL_HEIGHTS[panel["type"]]
        if x + wide > 12:
            x, y, height = 0, y + height, 0
        cell = cell_of(panel, name, len(cells) + 1, {"x": x, "y": y, "w": wide, "h": high},
                       selector)
        if cell:
            cells.append(cell)
            x, height = x + wide, max(height, high)
    return cells


def dashboard(name, title, panels):
    """What Chronograf's Import Dashboard takes."""
    selector = SELECTORS[name]
    return {
        "meta": {"chronografVersion": "1.8.0", "sources": {}},
        "dashboard": {
            "id": 0, "name": "proctally: " + title, "organization": "default",
            "cells": cells_of(panels, name, selector),
            "templates": [{
                "id": tag, "tempVar": variable, "type": "tagValues", "label": "", "values": [],
                "sourceID": "dynamic",
                "query": {"influxql": "SHOW TAG VALUES ON :database: FROM :measurement: "
                                      "WITH KEY=:tagKey:", "db": "telegraf", "rp": "",
                          "measurement": "proctally", "tagKey": tag, "fieldKey": ""}}
                for tag, variable in selector.items()],
        },
    }


INFLUXQL = """\
-- Queries for what proctally-telegraf writes through Telegraf to InfluxDB 1.x, those of the
-- dashboards for Chronograf beside this file. :dashboardTime: and :interval: are Chronograf's
-- own; define :host: and :groupname: as variables of type Tag Values: database telegraf,
-- measurement proctally, tag keys host and groupname. Each query has its title before it, and
-- ends with a semicolon. make.py writes this file.
--
-- Counters are added up by the program and never fall, so a derivative is taken of each
-- series first, and then the sum over series. What has less than two points in an interval
-- has no derivative: choose intervals of at least twice Telegraf's. What is so now is looked up
-- in the last two minutes.

-- Values of the variable host
SHOW TAG VALUES ON "telegraf" FROM "proctally" WITH KEY = "host";

-- Values of the variable groupname
SHOW TAG VALUES ON "telegraf" FROM "proctally" WITH KEY = "groupname";
"""


def queries(dashboards):
    """All of them as a text for people; dashboards: {name: panels}."""
    parts = [INFLUXQL]
    for name, panels in dashboards.items():
        for panel in panels:
            if panel["type"] == "row":
                continue
            for what, query in queries_of(panel, SELECTORS[name]):
                title = "%s: %s" % (name.capitalize(), panel["title"])
                if what != panel["title"]:
                    title += " (%s)" % what
                parts.append("-- %s. %s\n%s;\n" % (title, told(panel), query))
    return "\n".join(parts)
