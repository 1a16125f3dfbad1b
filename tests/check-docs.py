#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares README.md and the manual pages with the program and the examples.

Needs SRC (the sources) and BUILD (where the programs were built) in the
environment. What it looks for in README.md are HTML comments:

  <!-- table: options -->         before a table of the options
  <!-- table: metrics -->         ... of the metrics of groups
  <!-- table: self -->            ... of the metrics about the collector
  <!-- table: process-exporter --> and <!-- table: process -->: the other schemas
  <!-- list: telegraf -->         before the list of Telegraf's fields
  <!-- examples/FILE -->          before a code block that is this file
"""
import os
import re
import subprocess
import sys
import tempfile

SRC, BUILD = os.environ.get("SRC", "."), os.environ.get("BUILD", ".")
TEXTFILE = os.path.join(BUILD, "plugins/textfile/proctally-textfile")
TELEGRAF = os.path.join(BUILD, "plugins/telegraf/proctally-telegraf")
MANUALS = {
    "plugins/textfile/proctally-textfile.1": TEXTFILE,
    "plugins/telegraf/proctally-telegraf.1": TELEGRAF,
}
# Stock types of collectd that have two values.
PAIRS = {
    "ps_count": ("processes", "threads"),
    "ps_cputime": ("user", "syst"),
    "ps_pagefaults": ("minflt", "majflt"),
    "disk_octets": ("read", "write"),
    "io_octets": ("rx", "tx"),
    "io_ops": ("read", "write"),
}
# Examples that are programs, or are installed as they are: README only names them.
NOT_SHOWN = ("examples/quickstart.sh", "examples/embed.c", "examples/systemd/")

problems = []


def wrong(where, what):
    problems.append(f"{where}: {what}")


def read(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as file:
        return file.read()


def run(*command):
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       encoding="utf-8", check=False)
    return r.returncode, r.stdout, r.stderr


def output(*command):
    status, text, error = run(*command)
    if status != 0:
        sys.exit(f"{' '.join(command)}: status {status}: {error.strip()}")
    return text


# ---- core/count/metrics.c: tokens, macros, designated initializers ---------------------------

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|\d+|\.\.\.|\S')


def tokens(text):
    return TOKEN.findall(re.sub(r"/\*.*?\*/", " ", text, flags=re.S))


def group_end(items, at):
    """The index behind the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(items)):
        depth += (items[i] in "([{") - (items[i] in ")]}")
        if depth == 0:
            return i + 1
    sys.exit("core/count/metrics.c: a bracket is not closed")


def split(items):
    """Splits at the commas that stand in no bracket."""
    parts, at = [[]], 0
    while at < len(items):
        if items[at] in ("(", "[", "{"):
            end = group_end(items, at)
            parts[-1] += items[at:end]
            at = end
        elif items[at] == ",":
            parts.append([])
            at += 1
        else:
            parts[-1].append(items[at])
            at += 1
    return parts


def find_macros(text):
    macros = {}
    for head in re.finditer(r"^#define (\w+)(\([^)]*\))?((?:.*\\\n)*.*)$", text, re.M):
        name, params, body = head.groups()
        macros[name] = (None if params is None else [p.strip() for p in params[1:-1].split(",")],
                        tokens(body.replace("\\\n", " ")))
    return macros


def substitute(body, values, rest):
    result, at = [], 0
    while at < len(body):
        if body[at] == "__VA_OPT__":
            end = group_end(body, at + 1)
            if rest:
                result += substitute(body[at + 2:end - 1], values, rest)
            at = end
            continue
        result += rest if body[at] == "__VA_ARGS__" else values.get(body[at], [body[at]])
        at += 1
    return result


def expand(items, macros):
    result, at = [], 0
    while at < len(items):
        params, body = macros.get(items[at], (0, None))
        is_call = at + 1 < len(items) and items[at + 1] == "("
        if body is None or (params is not None and not is_call):
            result.append(items[at])
            at += 1
            continue
        end, values, rest = at + 1, {}, []
        if params is not None:
            end = group_end(items, at + 1)
            args = split(items[at + 2:end - 1])
            for i, param in enumerate(params):
                if param == "...":
                    rest = [t for arg in args[i:] for t in arg + [","]][:-1]
                else:
                    values[param] = args[i]
        result += expand(substitute(body, values, rest), macros)
        at = end
    return result


def value(items):
    if items and items[0] == "{":
        fields, position = {}, 0
        for part in split(items[1:-1]):
            if not part:
                continue
            key = position
            if "=" in part and part[0] in (".", "["):
                equals = part.index("=")
                key, part = "".join(part[:equals]), part[equals + 1:]
            else:
                position += 1
            fields[key] = value(part)
        return fields
    if all(t.startswith('"') for t in items):
        return "".join(t[1:-1] for t in items)
    return "".join(items)


class Metric:
    def __init__(self, row):
        self.id = row[".id"]
        self.kind = "counter" if row[".kind"] == "TALLY_COUNTER" else "gauge"
        self.unit = row[".unit"]
        self.about_self = row.get(".about_self") == "true"
        self.prometheus = {}
        for schema in ("NATIVE", "PROCESS_EXPORTER", "PROCESS"):
            name = row.get(f".prometheus[TALLY_SCHEMA_{schema}]")
            if name:
                label = f'{{{name[1]}="{name[2]}"}}' if 2 in name else ""
                self.prometheus[schema] = name[0] + label
        influx = row.get(".influx")
        self.field = influx[0] if influx else None
        self.field_type = None
        if influx:
            form = influx.get(1, influx.get(".form", "TALLY_NATURAL"))
            whole = form in ("TALLY_WHOLE_NS", "TALLY_MICROSECONDS", "TALLY_UPTIME")
            whole = whole or (form == "TALLY_NATURAL" and
                              self.unit in ("TALLY_COUNT", "TALLY_SIGNED", "TALLY_BYTES"))
            self.field_type = "integer" if whole else "float"
        collectd = row.get(".collectd")
        self.collectd, self.data_source = None, None
        if collectd:
            self.collectd = collectd[0] + ("-" + collectd[1] if collectd[1] else "")
            if collectd[0] in PAIRS:
                self.data_source = PAIRS[collectd[0]][int(collectd.get(2, "0"))]


def catalogue():
    text = read("core/count/metrics.c")
    found = re.search(r"metric_table\[METRICS\] = (\{.*?^\});", text, re.S | re.M)
    if not found:
        sys.exit("core/count/metrics.c: metric_table is not where this test looks for it")
    rows = value(expand(tokens(found.group(1)), find_macros(text)))
    metrics = [Metric(row) for row in rows.values()]
    listed = [line.split()[:2] for line in output(TEXTFILE, "--list-metrics").splitlines()[1:]]
    if sorted(listed) != sorted([m.id, m.kind] for m in metrics):
        sys.exit("core/count/metrics.c, as this test reads it, is not what --list-metrics shows")
    return metrics


def flags(program):
    """What --help says: {name: (argument, default)}, and which of them are options."""
    text = output(program, "--help")
    found, own, is_option = {}, [], False
    for block in re.split(r"\n(?=  --)|\n\n", text):
        is_option = is_option or block.startswith("Options, also in the file")
        head = re.match(r"  --(\S+)(?: (\S+))?(?:  |\n|$)", block)
        if not head:
            continue
        default = re.search(r" Default: (\S+)$", " ".join(block.split()))
        found[head.group(1)] = (head.group(2), default.group(1) if default else "")
        if not is_option:
            own.append(head.group(1))
    return found, own


# ---- README.md ---------------------------------------------------------------------------

def words(cell):
    """What stands in backticks."""
    return re.findall(r"`([^`]*)`", cell.replace("\\|", "|"))


def table(readme, name):
    found = re.search(rf"<!-- table: {name} -->\n+((?:\|.*\n)+)", readme)
    if not found:
        wrong("README.md", f"there is no table behind <!-- table: {name} -->")
        return []
    lines = found.group(1).splitlines()[2:]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def same_set(where, what, expected, given):
    for one in sorted(set(expected) - set(given)):
        wrong(where, f"{what} {one} is missing")
    for one in sorted(set(given) - set(expected)):
        wrong(where, f"there is no {what} {one}")
    for one in sorted({g for g in given if given.count(g) > 1}):
        wrong(where, f"{what} {one} is there twice")


def check_options(readme):
    where = "README.md, table of options"
    known, own = flags(TEXTFILE)
    rows = {}
    for cells in table(readme, "options"):
        if len(cells) != 5:
            wrong(where, f"a row has {len(cells)} cells, expected 5: {cells}")
            continue
        rows[(words(cells[0]) or ["?"])[0]] = cells
    same_set(where, "option", [k for k in known if k not in own], list(rows))
    for name, cells in rows.items():
        if name not in known:
            continue
        argument, default = known[name]
        if f"--{name} {argument}" not in words(cells[1]):
            wrong(where, f"the flag of {name} is {cells[1]}, expected `--{name} {argument}`")
        verb = "".join(part.capitalize() for part in re.split("[-_]", name))
        if verb not in words(cells[2]):
            wrong(where, f"the collectd verb of {name} is {cells[2]}, expected `{verb}`")
        if (words(cells[3]) or [""])[0] != default:
            wrong(where, f"the default of {name} is {cells[3]}, expected `{default}`")


def check_metrics(readme, metrics, name, prefix):
    where = f"README.md, table {name}"
    by_id = {m.id: m for m in metrics}
    rows = {}
    for cells in table(readme, name):
        if len(cells) != 6:
            wrong(where, f"a row has {len(cells)} cells, expected 6: {cells}")
            continue
        rows[(words(cells[0]) or ["?"])[0]] = cells
    same_set(where, "metric", list(by_id), list(rows))
    for one, cells in rows.items():
        if one not in by_id:
            continue
        m = by_id[one]
        native = m.prometheus.get("NATIVE")
        expected = {
            "kind": (cells[1], m.kind),
            "Prometheus name": (words(cells[3]), [prefix + native] if native else []),
            "Telegraf field": (words(cells[4]), [m.field] if m.field else []),
            "collectd type": (words(cells[5])[:1], [m.collectd] if m.collectd else []),
        }
        if m.data_source:
            expected["collectd data source"] = (words(cells[5])[1:], [m.data_source])
        for what, (given, right) in expected.items():
            if given != right:
                right = right if isinstance(right, str) else " ".join(right) or "nothing"
                wrong(where, f"the {what} of {one} is {given}, expected {right}")


def check_schema(readme, metrics, name, schema, prefix):
    where = f"README.md, table {name}"
    expected = {prefix + m.prometheus[schema]: m.kind for m in metrics if schema in m.prometheus
                and not m.about_self}
    rows = {(words(cells[0]) or ["?"])[0]: cells for cells in table(readme, name)}
    same_set(where, "series", list(expected), list(rows))
    for one, cells in rows.items():
        if one in expected and cells[1] != expected[one]:
            wrong(where, f"{one} is a {cells[1]}, expected {expected[one]}")


def check_fields(readme, metrics):
    where = "README.md, list of Telegraf's fields"
    found = re.search(r"<!-- list: telegraf -->\n+((?:(?:- |  ).*\n|\n(?=- |  ))+)", readme)
    if not found:
        wrong("README.md", "there is no list behind <!-- list: telegraf -->")
        return
    given = re.findall(r"^\s+- `(\w+)` \((\w+)", found.group(1), re.M)
    expected = {m.field: m.field_type for m in metrics if m.field}
    same_set(where, "field", list(expected), [field for field, _ in given])
    for field, kind in given:
        if expected.get(field, kind) != kind:
            wrong(where, f"the field {field} is {kind}, expected {expected[field]}")


def check_examples(readme):
    shown = []
    for path, block in re.findall(r"<!-- (examples/\S+) -->\n+```\w*\n(.*?)^```", readme,
                                  re.S | re.M):
        shown.append(path)
        if not os.path.exists(os.path.join(SRC, path)):
            wrong("README.md", f"shows {path}, which does not exist")
        elif block != read(path):
            wrong("README.md", f"the block behind <!-- {path} --> is not what the file holds")
    for folder, _, names in os.walk(os.path.join(SRC, "examples")):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), SRC)
            is_text = os.path.splitext(name)[1] in (".yaml", ".conf", "") and \
                not os.access(os.path.join(folder, name), os.X_OK)
            if is_text and not path.startswith(NOT_SHOWN) and path not in shown:
                wrong("README.md", f"does not show {path}")
    for path in sorted(set(re.findall(r"(?:examples|tests|core)/[\w./-]*\w", readme))):
        if not os.path.exists(os.path.join(SRC, path)):
            wrong("README.md", f"names {path}, which does not exist")


def check_yaml(readme):
    """Each configuration that README shows is one that the program takes."""
    for block in re.findall(r"^```yaml\n(.*?)^```", readme, re.S | re.M):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(block)
            file.flush()
            status, _, error = run(TEXTFILE, "--check-config", "--config", file.name)
        if status != 0 and "no libyaml" not in error and "no PCRE2" not in error:
            wrong("README.md", f"a configuration is refused: {error.strip()}\n{block}")


# ---- Manual pages --------------------------------------------------------------------------

def check_manual(path, program):
    if not os.path.exists(os.path.join(SRC, path)):
        wrong(path, "does not exist")
        return
    text = read(path)
    sections = re.findall(r'^\.SH "?([^"\n]*)', text, re.M)
    for name in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES", "EXIT STATUS", "SIGNALS",
                 "EXAMPLES", "SEE ALSO"):
        if name not in sections:
            wrong(path, f"has no section {name}")
    # each flag has a paragraph of its own: .TP, then its name, then what it does
    plain = re.sub(r"\\f.|^\.(?:B|I|BR|BI|IR) ", "", text, flags=re.M).replace("\\-", "-")
    paragraphs = {}
    for paragraph in re.split(r"^\.(?:TP|PP|SH|SS).*\n", plain, flags=re.M):
        head = re.match(r'"?--(\w[\w-]*)', paragraph)
        if head:
            paragraphs[head.group(1)] = " ".join(paragraph.split())
    known, _ = flags(program)
    same_set(path, "flag", [f"--{k}" for k in known], [f"--{p}" for p in paragraphs])
    for name, (_, default) in known.items():
        if default and name in paragraphs and f"Default: {default}" not in paragraphs[name]:
            wrong(path, f"--{name} does not say \"Default: {default}\"")
    if f'"proctally {output(program, "--version").split()[1]}"' not in text:
        wrong(path, "is of another version than the program")
    try:
        _, out, error = run("groff", "-man", "-ww", "-z", "-Kutf8", os.path.join(SRC, path))
    except FileNotFoundError:
        return
    if out or error:
        wrong(path, f"groff says: {(out + error).strip()}")


def main():
    metrics = catalogue()
    readme = read("README.md")
    groups = [m for m in metrics if not m.about_self]
    check_options(readme)
    check_metrics(readme, groups, "metrics", "proctally_")
    check_metrics(readme, [m for m in metrics if m.about_self], "self", "proctally_")
    check_schema(readme, metrics, "process-exporter", "PROCESS_EXPORTER",
                 "namedprocess_namegroup_")
    check_schema(readme, metrics, "process", "PROCESS", "process_")
    check_fields(readme, metrics)
    check_examples(readme)
    check_yaml(readme)
    for path, program in MANUALS.items():
        check_manual(path, program)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} mistakes in the documentation" if problems else "documentation ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
