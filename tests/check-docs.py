#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
r"""Compares the documents with the programs, the catalogues and the examples.

Needs SRC (the sources) and BUILD (where the programs were built) in the
environment. Comments in the documents say what is compared. In a manual page:

  .\" table: options      a list of .TP paragraphs, up to .\" end table: the options
  .\" table: metrics      ... the metrics of groups
  .\" table: self         ... the metrics about the collector
  .\" table: process-exporter and .\" table: process: the other schemas
  .\" list: NAME          words that the programs know, up to .\" end list
  .\" yaml                before .nf: a configuration that must be taken
  .\" examples/FILE       before .nf: the block is this file
  .\" verbs: NAME...      the verbs of the command whose flags the page tells

and in Markdown:

  <!-- list: telegraf -->   before the list of Telegraf's fields
  <!-- examples/FILE -->    before a code block that is this file
"""
import glob
import os
import plistlib
import re
import subprocess
import sys
import tempfile

SRC, BUILD = os.environ.get("SRC", "."), os.environ.get("BUILD", ".")
TEXTFILE = os.path.join(BUILD, "plugins/textfile/proctally-textfile")
TELEGRAF = os.path.join(BUILD, "plugins/telegraf/proctally-telegraf")
PROGRAMS = {"proctally-textfile": TEXTFILE, "proctally-telegraf": TELEGRAF}
for _name, _path in (("proctally-exporter", "plugins/exporter/proctally-exporter"),
                     ("proctally-fs", "plugins/fs/proctally-fs")):
    if os.path.exists(os.path.join(BUILD, _path)): # not in each build
        PROGRAMS[_name] = os.path.join(BUILD, _path)

COMMAND = os.path.join(BUILD, "plugins/command/proctally")

README, TELEGRAF_README = "README.md", "plugins/telegraf/README.md"
DOCUMENTS = (README, "NEWS.md", "SECURITY.md", "examples/alerts/README.md",
             "examples/dashboards/README.md", TELEGRAF_README, "tests/bench/README.md")
README_LINES = 200
CONFIGURATION, METRICS = "core/proctally.yaml.5", "core/proctally-metrics.7"
COLLECTD = "plugins/collectd/proctally-collectd.5"
# Stock types of collectd that have two values.
PAIRS = {
    "ps_count": ("processes", "threads"),
    "ps_cputime": ("user", "syst"),
    "ps_pagefaults": ("minflt", "majflt"),
    "disk_octets": ("read", "write"),
    "io_octets": ("rx", "tx"),
    "io_ops": ("read", "write"),
    "if_octets": ("rx", "tx"),
    "if_packets": ("rx", "tx"),
}
# Examples that are programs, or are installed as they are: documents only name them.
NOT_SHOWN = ("examples/quickstart.sh", "examples/embed.c", "examples/embed_http.c",
             "examples/ownstats.c", "examples/cloud-init/", "examples/packaging/",
             "examples/systemd/")

problems = []


def wrong(where, what):
    problems.append(f"{where}: {what}")


def read(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as file:
        return file.read()


def find(pattern):
    """Paths of the sources that match, the middle of which may be any folders."""
    found = glob.glob(os.path.join(glob.escape(SRC), pattern), recursive=True)
    return sorted(os.path.relpath(path, SRC) for path in found)


def run(*command):
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       encoding="utf-8", check=False)
    return r.returncode, r.stdout, r.stderr


def output(*command):
    status, text, error = run(*command)
    if status != 0:
        sys.exit(f"{' '.join(command)}: status {status}: {error.strip()}")
    return text


# ---- metrics.c: tokens, macros, designated initializers ---------------------------

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
    sys.exit("metrics.c: a bracket is not closed")


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
        self.id = row[".metric.id"]
        self.kind = "counter" if row[".metric.kind"] == "TALLY_KIND_COUNTER" else "gauge"
        self.unit = row[".metric.unit"]
        self.about_self = row.get(".metric.scope") == "TALLY_SCOPE_SELF"
        self.prometheus = {}
        for schema in ("NATIVE", "PROCESS_EXPORTER", "PROCESS"):
            name = row.get(f".prometheus[TALLY_SCHEMA_{schema}]")
            if name:
                label = f'{{{name[1]}="{name[2]}"}}' if 2 in name else ""
                self.prometheus[schema] = name[0] + label
        influx = row.get(".influx")
        self.field = influx[0] if influx else None
        self.measurement = {"TALLY_SCOPE_THREAD_NAME": "threads: ",
                            "TALLY_SCOPE_WAIT_CHANNEL": "wait_channels: "}.get(
                                row.get(".metric.scope"), "")
        self.field_type = None
        if influx:
            form = influx.get(1, influx.get(".form", "TALLY_FORM_NATURAL"))
            whole = form in ("TALLY_FORM_WHOLE_NS", "TALLY_FORM_MICROSECONDS", "TALLY_FORM_UPTIME")
            whole = whole or (form == "TALLY_FORM_NATURAL" and
                              self.unit in ("TALLY_UNIT_COUNT", "TALLY_UNIT_SIGNED",
                                            "TALLY_UNIT_BYTES"))
            self.field_type = "integer" if whole else "float"
        collectd = row.get(".collectd")
        self.collectd, self.data_source = None, None
        if collectd:
            self.collectd = collectd[0] + ("-" + collectd[1] if collectd[1] else "")
            if collectd[0] in PAIRS:
                self.data_source = PAIRS[collectd[0]][int(collectd.get(2, "0"))]


def catalogue():
    files = find("core/**/metrics.c")
    if len(files) != 1:
        sys.exit(f"expected one metrics.c below core, found {len(files)}")
    path = files[0]
    text = read(path)
    found = re.search(r"metric_table\[\w+\] = (\{.*?^\});", text, re.S | re.M)
    if not found:
        sys.exit(f"{path}: metric_table is not where this test looks for it")
    rows = value(expand(tokens(found.group(1)), find_macros(text)))
    # what the host has is shown by no agent
    metrics = [Metric(row) for row in rows.values()
               if row.get(".metric.scope") != "TALLY_SCOPE_HOST"]
    listed = [line.split()[:2] for line in output(TEXTFILE, "--list-metrics").splitlines()[1:]]
    if sorted(listed) != sorted([m.id, m.kind] for m in metrics):
        sys.exit(f"{path}, as this test reads it, is not what --list-metrics shows")
    return metrics


def flags(program):
    """What --help says: {name: (argument, default)}, and which of them are options."""
    text = output(*program, "--help") if isinstance(program, tuple) else output(program, "--help")
    found, own, is_option = {}, [], False
    for block in re.split(r"\n(?=  -)|\n\n", text):
        is_option = is_option or block.startswith("Options, also in the file")
        head = re.match(r"  --?(\w\S*)(?: (\S+))?(?:  |\n|$)", block)
        if not head:
            continue
        default = re.search(r" Default: (\S+)$", " ".join(block.split()))
        argument = head.group(2).replace("…", "...") if head.group(2) else None
        found[head.group(1)] = (argument, default.group(1) if default else "")
        if not is_option:
            own.append(head.group(1))
    return found, own


def verbs():
    """Those of the command: {"proctally VERB": what its --help is asked of}."""
    names = re.findall(r"^  proctally (\w+)", output(COMMAND, "help"), re.M)
    return {f"proctally {name}": (COMMAND, name) for name in names}


def program_of(path):
    """Whose flags a page tells: of the program or the verb that it is called after, or of the
    verbs that it lists as .\\" verbs: NAME..."""
    name, _, section = os.path.basename(path).rpartition(".")
    if section != "1":
        return None
    listed = re.search(r'^\.\\" verbs: (.*)$', read(path), re.M)
    if listed:
        return [verbs()["proctally " + verb] for verb in listed.group(1).split()]
    return PROGRAMS.get(name) or verbs().get(name.replace("-", " ", 1))


def check_pages_of_verbs(pages):
    told = [one for page in pages for one in [program_of(page)] if one]
    told = {one for of in told for one in (of if isinstance(of, list) else [of])}
    for name, program in verbs().items():
        if program not in told:
            wrong(name, "has no manual page")


# ---- Manual pages: what stands in the source ------------------------------------------

ESCAPES = {r"\-": "-", r"\e": "\\", r"\&": "", r"\(dq": '"', r"\(aq": "'",
           r"\(bu": "•"}
FONTS = ("B", "I", "BR", "BI", "IR", "RB", "RI", "IB")


def unescape(text):
    text = re.sub(r"\\f[BIRP]", "", text)
    return re.sub(r"\\(?:\(..|.)", lambda m: ESCAPES.get(m.group(), m.group()), text)


def plain_line(line):
    """A line of text, with or without a font macro, as a reader sees it."""
    macro = re.match(r"\.(\w+) (.*)", line)
    if not macro or macro.group(1) not in FONTS:
        return unescape(line)
    words = [w[1:-1] if w[0] == '"' else w for w in re.findall(r'"[^"]*"|\S+', macro.group(2))]
    return unescape((" " if len(macro.group(1)) == 1 else "").join(words))


def plain(text):
    """The page without its macros; .br and paragraphs begin a new line."""
    lines, ends = [""], True
    is_literal = False
    for line in text.splitlines():
        name = re.match(r"\.(\w+)", line)
        if line.startswith('.\\"'):
            continue
        if name and name.group(1) not in FONTS:
            is_literal = name.group(1) == "nf" or (is_literal and name.group(1) != "fi")
            if name.group(1) in ("SH", "SS"):
                lines.append(unescape(line[4:].strip('"')))
            ends = True
            continue
        one = line if is_literal and not name else plain_line(line)
        one = unescape(one) if is_literal else one
        if ends or is_literal:
            lines.append(one)
        else:
            lines[-1] += " " + one
        ends = is_literal
    return "\n".join(lines) + "\n"


def region(path, name):
    """What stands between .\" table: NAME and .\" end table, or the same with list."""
    end = f'.\\" end {name.partition(":")[0]}'
    found = re.search(rf'^\.\\" {name}\n(.*?)^{re.escape(end)}$', read(path), re.S | re.M)
    if not found:
        wrong(path, f'has nothing between .\\" {name} and {end}')
    return found.group(1) if found else ""


def entries(text):
    """The .TP paragraphs: (tag, [the lines that .br makes])."""
    result = []
    for paragraph in re.split(r"^\.TP.*\n", text, flags=re.M)[1:]:
        tag, _, body = re.split(r"^\.(?:SS|SH|PP|IP).*\n", paragraph, flags=re.M)[0].partition("\n")
        parts = [" ".join(plain_line(line) for line in part.splitlines()
                          if not line.startswith((".PD", '.\\"')))
                 for part in re.split(r"^\.br\n", body, flags=re.M)]
        result.append((plain_line(tag), parts))
    return result


def blocks(path):
    """The .nf blocks that a comment stands before: (comment, text)."""
    found = re.findall(r'^\.\\" (\S+)\n\.nf\n(.*?)^\.fi$', read(path), re.S | re.M)
    return [(what, "".join(unescape(line) + "\n" for line in text.splitlines()))
            for what, text in found]


def names_of(entry_list):
    return [tag for tag, _ in entry_list]


# ---- Tables and lists --------------------------------------------------------------------

def same_set(where, what, expected, given):
    for one in sorted(set(expected) - set(given)):
        wrong(where, f"{what} {one} is missing")
    for one in sorted(set(given) - set(expected)):
        wrong(where, f"there is no {what} {one}")
    for one in sorted({g for g in given if given.count(g) > 1}):
        wrong(where, f"{what} {one} is there twice")


def verb_of(option):
    return "".join(part.capitalize() for part in re.split("[-_]", option))


def check_options():
    where = f"{CONFIGURATION}, options"
    known, own = flags(TEXTFILE)
    found = {tag.split(":")[0]: parts for tag, parts in
             entries(region(CONFIGURATION, "table: options"))}
    same_set(where, "option", [k for k in known if k not in own], list(found))
    for name, parts in found.items():
        if name not in known:
            continue
        argument, default = known[name]
        verb = verb_of(name) if name != "interval" else "Interval"
        last = re.fullmatch(r"Default: (.*); flag: (.*); collectd: (\w+).*", parts[-1])
        expected = (default or "none", f"--{name} {argument}", verb)
        if not last:
            wrong(where, f"{name} does not end with \"Default: …; flag: …; collectd: …\"")
        elif last.groups() != expected:
            wrong(where, f"{name} says {last.groups()}, expected {expected}")


def check_metrics(metrics, name):
    where = f"{METRICS}, {name}"
    by_id = {m.id: m for m in metrics}
    found = entries(region(METRICS, f"table: {name}"))
    same_set(where, "metric", list(by_id), [tag.split()[0] for tag, _ in found])
    for tag, parts in found:
        one, _, kind = tag.partition(" ")
        m = by_id.get(one)
        if not m:
            continue
        native = m.prometheus.get("NATIVE")
        expected = {
            "Prometheus": f"proctally_{native}" if native else None,
            "Telegraf": f"{m.field} ({m.field_type})" if m.field else None,
            "collectd": m.collectd,
        }
        if m.data_source:
            expected["collectd"] += f" ({m.data_source})"
        given = dict(part.partition(": ")[::2] for part in parts[1:])
        if kind != f"({m.kind})":
            wrong(where, f"{one} is {kind}, expected ({m.kind})")
        if not parts[0]:
            wrong(where, f"{one} has no meaning")
        for dialect in sorted(set(expected) | set(given)):
            if given.get(dialect) != expected.get(dialect):
                wrong(where, f"the name of {one} in {dialect} is {given.get(dialect)}, "
                             f"expected {expected.get(dialect)}")


def check_schema(metrics, name, schema):
    where = f"{METRICS}, {name}"
    expected = {m.prometheus[schema]: f"{m.kind}, {m.id}" for m in metrics
                if schema in m.prometheus and not m.about_self}
    found = entries(region(METRICS, f"table: {name}"))
    same_set(where, "series", list(expected), names_of(found))
    for tag, parts in found:
        if tag in expected and parts != [expected[tag]]:
            wrong(where, f"{tag} is \"{parts[0]}\", expected \"{expected[tag]}\"")


def check_fields(metrics):
    where = f"{TELEGRAF_README}, list of fields"
    found = re.search(r"<!-- list: telegraf -->\n+((?:(?:- |  ).*\n|\n(?=- |  ))+)",
                      read(TELEGRAF_README))
    if not found:
        wrong(TELEGRAF_README, "there is no list behind <!-- list: telegraf -->")
        return
    # those of threads are in a measurement of their own
    given = []
    for item in re.split(r"^- ", found.group(1), flags=re.M):
        of = re.match(r"`proctally_(threads|wait_channels)`", item)
        of = of.group(1) + ": " if of else ""
        given += [(of + field, kind) for field, kind in
                  re.findall(r"^\s+- `(\w+)` \((\w+)", item, re.M)]
    expected = {m.measurement + m.field: m.field_type for m in metrics if m.field}
    same_set(where, "field", list(expected), [field for field, _ in given])
    for field, kind in given:
        if expected.get(field, kind) != kind:
            wrong(where, f"the field {field} is {kind}, expected {expected[field]}")


def expected_words(*arguments):
    """What the program says that it expected, as a list of words; None without YAML."""
    _, _, error = run(TEXTFILE, "--check-config", *arguments)
    if "no libyaml" in error:
        return None
    found = re.search(r"expected (?:any of |at least one of )?(.*?)(?:, or one of them.*)?$",
                      error.strip())
    return re.split(r", | or ", found.group(1)) if found else []


def check_words():
    """Lists of words that an option takes: the programs name them in their messages."""
    rule = "[{comm: [x], name: \"{{.?}}\"}]"
    for name, what, words in (
            ("list: keys", "key", expected_words("--group-by", "?")),
            ("list: collect", "word", expected_words("--collect", "?")),
            ("list: selectors", "selector", expected_words("--process_names", "[{}]")),
            ("list: template", "variable", expected_words("--process_names", rule))):
        text = region(CONFIGURATION, name)
        if words is None:
            continue
        if name == "list: collect":
            given = [plain_line(line).rstrip(" ,.") for line in text.splitlines()
                     if line.startswith(".B")]
        else:
            given = names_of(entries(text))
        if name == "list: template":
            words = ["{{%s}}" % w for w in words]
        same_set(f"{CONFIGURATION}, {name}", what, words, given)


def check_verbs():
    known, own = flags(TEXTFILE)
    verbs = [verb_of(k) for k in known if k not in own and k != "interval"]
    given = re.findall(r"\w+", plain(region(COLLECTD, "list: verbs")))
    same_set(f"{COLLECTD}, list: verbs", "verb", verbs, given)
    plugin = read("plugins/collectd/plugin.c")
    verbs = re.findall(r'\{"(Collect\w+)", (?:NULL|")', plugin)
    verbs += re.findall(r'is_key\(item, "(Process\w*)"\)', plugin)
    given = [tag.split()[0] for tag, _ in entries(region(COLLECTD, "list: switches"))]
    same_set(f"{COLLECTD}, list: switches", "verb", verbs, given)


# ---- What documents show and name --------------------------------------------------------

def fenced(path):
    """The code blocks of a Markdown document: (language, text)."""
    return re.findall(r"^```(\w*)\n(.*?)^```", read(path), re.S | re.M)


def check_examples(pages):
    shown = []
    for where in DOCUMENTS:
        for path, block in re.findall(r"<!-- (examples/\S+) -->\n+```\w*\n(.*?)^```", read(where),
                                      re.S | re.M):
            shown.append((where, path, block))
    for where in pages:
        shown += [(where, path, block) for path, block in blocks(where)
                  if path.startswith("examples/")]
    for where, path, block in shown:
        if not os.path.exists(os.path.join(SRC, path)):
            wrong(where, f"shows {path}, which does not exist")
        elif block != read(path):
            wrong(where, f"the block behind {path} is not what the file holds")
    for path in find("examples/**/*"):
        name = os.path.join(SRC, path)
        is_text = os.path.isfile(name) and not os.access(name, os.X_OK) and \
            os.path.splitext(path)[1] in (".yaml", ".conf", "")
        if is_text and not path.startswith(NOT_SHOWN) and path not in [p for _, p, _ in shown]:
            wrong(path, "is shown in no document")


def check_launchd():
    """What launchd is told to start takes the arguments that it gets."""
    for path in find("examples/launchd/*.plist"):
        with open(os.path.join(SRC, path), "rb") as file:
            job = plistlib.load(file)
        program, *arguments = job["ProgramArguments"]
        name = os.path.basename(program)
        if job["Label"] != os.path.splitext(os.path.basename(path))[0]:
            wrong(path, f"its label is {job['Label']!r}, not its name")
        if name not in PROGRAMS:
            wrong(path, f"starts {program}, which is none of ours")
            continue
        status, _, error = run(PROGRAMS[name], *arguments, "--check-config")
        if status != 0:
            wrong(path, f"{name} refuses its arguments: {error.strip()}")


def check_yaml(pages):
    """Each configuration that a document shows is one that the program takes."""
    found = [(where, text) for where in DOCUMENTS for language, text in fenced(where)
             if language == "yaml"]
    found += [(where, text) for where in pages for what, text in blocks(where)
              if what == "yaml" or what.endswith(".yaml")]
    for where, text in found:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            status, _, error = run(TEXTFILE, "--check-config", "--config", file.name)
        if status != 0 and "no libyaml" not in error and "no PCRE2" not in error:
            wrong(where, f"a configuration is refused: {error.strip()}\n{text}")


def check_names(where, text, pages):
    """Files, manual pages and flags that a document names are there."""
    for path in sorted(set(re.findall(r"(?<![\w./-])(?:examples|tests|core|plugins)/[\w./-]*\w",
                                      text))):
        if not os.path.exists(os.path.join(SRC, path)) and \
                not os.path.exists(os.path.join(BUILD, path)):
            wrong(where, f"names {path}, which does not exist")
    known = {os.path.basename(page) for page in pages}
    for name, section in sorted(set(re.findall(r"(proctally[\w.-]*)\((\d)\)", text))):
        if f"{name}.{section}" not in known:
            wrong(where, f"names {name}({section}), which does not exist")
    for name, program in PROGRAMS.items() | verbs().items():
        known = flags(program)[0]
        if isinstance(program, tuple): # a verb has the options without showing them
            known = known | flags(TEXTFILE)[0]
        for line in re.sub(r"\\\n", " ", text).splitlines():
            for command in re.findall(rf"{name}((?: +[^\s|`]+)+)", line):
                for flag in re.findall(r"(?<=\s)--([a-z][\w.-]*\w)", command):
                    if flag.replace("_", "-") not in [k.replace("_", "-") for k in known]:
                        wrong(where, f"gives {name} the flag --{flag}, which it does not have")


def check_links(where):
    for link in re.findall(r"\]\(([^)#\s]+)", read(where)):
        path = os.path.join(SRC, os.path.dirname(where), link)
        if "://" not in link and not os.path.exists(path):
            wrong(where, f"has a link to {link}, which does not exist")


def check_readme(pages):
    text = read(README)
    lines = text.count("\n")
    if lines > README_LINES:
        wrong(README, f"has {lines} lines, expected at most {README_LINES}")
    for command in ("sh examples/quickstart.sh", "sh tests/run.sh"):
        if f"```sh\n{command}\n```" not in text:
            wrong(README, f"does not show the command {command}")
    for page in pages:
        if f"]({page})" not in text:
            wrong(README, f"does not name {page}")


# ---- Manual pages as such -----------------------------------------------------------------

def check_flags(path, program):
    """Each flag has a paragraph of its own, with its default."""
    options = re.search(r"^\.SH OPTIONS\n(.*?)^\.SH", read(path), re.S | re.M)
    found = {}
    for tag, parts in entries(options.group(1) if options else ""):
        head = re.match(r"--?(\w[\w.-]*)", tag)
        if head:
            found[head.group(1)] = parts[-1]
    known = {}
    for one in program if isinstance(program, list) else [program]:
        known.update(flags(one)[0])
    same_set(path, "flag", [f"--{k}" for k in known], [f"--{f}" for f in found])
    for name, (_, default) in known.items():
        if default and name in found and not found[name].endswith(f"Default: {default}"):
            wrong(path, f"--{name} does not end with \"Default: {default}\"")


def check_manual(path, program):
    text = read(path)
    name, section = re.fullmatch(r"(.*)\.(\d)", os.path.basename(path)).groups()
    version = output(TEXTFILE, "--version").split()[1]
    title = re.search(r'^\.TH "([^"]*)" "(\d)" "" "proctally ([^"]*)" "[^"]*"$', text, re.M)
    expected = (name.upper(), section, version)
    given = (unescape(title.group(1)),) + title.groups()[1:] if title else None
    if given != expected:
        wrong(path, f"its .TH says {given}, expected {expected}")
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"]
    if section == "1":
        wanted += ["OPTIONS", "EXIT STATUS", "EXAMPLES"]
        if name in PROGRAMS:
            wanted += ["FILES", "SIGNALS"]
    if section == "7":
        wanted.remove("SYNOPSIS")
    sections = re.findall(r'^\.SH "?([^"\n]*)', text, re.M)
    for one in wanted:
        if one not in sections:
            wrong(path, f"has no section {one}")
    if program:
        check_flags(path, program)
    try:
        # a long name in a narrow column is no mistake
        _, out, error = run("groff", "-man", "-Tutf8", "-ww", "-Wbreak", "-z", "-Kutf8",
                            os.path.join(SRC, path))
    except FileNotFoundError:
        return
    if out or error:
        wrong(path, f"groff says: {(out + error).strip()}")


def main():
    metrics = catalogue()
    pages = find("core/**/*.[1-9]") + find("plugins/**/*.[1-9]")
    check_options()
    check_metrics([m for m in metrics if not m.about_self], "metrics")
    check_metrics([m for m in metrics if m.about_self], "self")
    check_schema(metrics, "process-exporter", "PROCESS_EXPORTER")
    check_schema(metrics, "process", "PROCESS")
    check_fields(metrics)
    check_words()
    check_verbs()
    check_examples(pages)
    check_launchd()
    check_yaml(pages)
    check_readme(pages)
    check_pages_of_verbs(pages)
    for path in DOCUMENTS:
        check_names(path, read(path), pages)
        check_links(path)
    for path in pages:
        check_names(path, plain(read(path)), pages)
        check_manual(path, program_of(path))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} mistakes in the documentation" if problems else "documentation ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
