#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""The plugin in a real collectd: values read back through csv and unixsock, and
compared with proctally-textfile's for the same processes."""
import contextlib
import glob
import grp
import hashlib
import math
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import time

from common import *

try:
    COLLECTD = need_program("collectd")
except Skipped as e:
    skip_all(str(e))
if not os.path.exists(COLLECTD_SO):
    skip_all("the plugin was not built: no headers of collectd")
PLUGINS = next((d for d in ("/usr/lib/collectd", "/usr/lib64/collectd",
                            "/usr/lib/x86_64-linux-gnu/collectd")
                if os.path.exists(os.path.join(d, "csv.so"))), None)
if not PLUGINS:
    skip_all("collectd's own plugins (csv, unixsock) were not found")
TYPES = next((f for f in ("/usr/share/collectd/types.db", "/usr/lib/collectd/types.db")
              if os.path.exists(f)), None)


class Collectd:
    """collectd in the foreground with a configuration of its own."""

    def __init__(self, block, interval=1, directory=None, loads="", ready=True):
        self.directory = directory or temp_dir()
        plugins = os.path.join(self.directory, "plugins")
        os.makedirs(plugins, exist_ok=True)
        shutil.copy(COLLECTD_SO, plugins)
        for name in ("csv.so", "unixsock.so", "logfile.so", "processes.so"):
            if os.path.exists(os.path.join(PLUGINS, name)):
                shutil.copy(os.path.join(PLUGINS, name), plugins)
        self.csv = os.path.join(self.directory, "csv")
        self.socket = os.path.join(self.directory, "socket")
        self.log = os.path.join(self.directory, "log")
        self.output = os.path.join(self.directory, "output")
        for path in (self.log, self.socket):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        shutil.rmtree(self.csv, True)
        d = self.directory
        config = write_text(os.path.join(d, "collectd.conf"), f"""
Hostname "here"
FQDNLookup false
BaseDir "{d}"
PIDFile "{d}/pid"
PluginDir "{plugins}"
TypesDB "{TYPES}"
Interval {interval}
ReadThreads 2
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{self.log}"
  PrintSeverity true
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{self.csv}"
  StoreRates false
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{self.socket}"
  SocketGroup "{grp.getgrgid(os.getegid()).gr_name}"
  DeleteSocket true
</Plugin>
{loads}
LoadPlugin proctally
{block}
""")
        with open(self.output, "wb") as output:
            self.process = start([COLLECTD, "-f", "-C", config], stdout=output, stderr=output)
        if ready:
            wait_for(lambda: self.alive() and glob.glob(self.csv + "/here/proctally/*"),
                     "the first values", 60)

    def alive(self):
        if self.process.poll() is not None:
            raise RuntimeError("collectd ended with status %d: %s %s" % (
                self.process.returncode, self.said(), read_text(self.output)))
        return True

    def said(self):
        return read_text(self.log) if os.path.exists(self.log) else ""

    def ask(self, line):
        """What the plugin unixsock answers: the lines behind the first."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.socket)
            f = s.makefile("rw", encoding="utf-8", newline="\n")
            f.write(line + "\n")
            f.flush()
            first = f.readline()
            number = int(first.split(" ", 1)[0])
            check(number >= 0, "collectd answers %r to %r" % (first, line))
            return [f.readline().rstrip("\n") for _ in range(number)]

    def identifiers(self):
        return [line.split(" ", 1)[1] for line in self.ask("LISTVAL")]

    def rows(self, identifier):
        """All that csv wrote of one value list: {data source: value} each."""
        rows = []
        for path in sorted(glob.glob(glob.escape(self.csv + "/" + identifier) + "-20*")):
            lines = read_text(path).split("\n")
            names = lines[0].split(",")
            for line in lines[1:]:
                # the last line may be half written
                if line.count(",") == len(names) - 1 and line != lines[-1]:
                    rows.append(dict(zip(names, map(float, line.split(",")))))
        return rows

    def last(self, identifier):
        rows = self.rows(identifier)
        check(rows, "no value of %s" % identifier)
        return rows[-1]

    def wait_rows(self, identifier, count):
        return wait_for(lambda: (lambda r: r if len(r) >= count else None)(self.rows(identifier)),
                        "%d values of %s" % (count, identifier), 60)

    def check_log(self, *allowed):
        """Nothing in the log that a user would wonder about."""
        allowed += ("above its read interval",)  # the machine is busy, and the interval short
        for line in self.said().split("\n"):
            if re.search(r"too old|unknown type|NaN|\[(error|err|warning)\]|double", line, re.I):
                check(any(a in line for a in (*allowed, "can't be read fully")),
                      "in collectd's log", line)

    def stop(self):
        status = stop(self.process, 60)
        check_equal(status, 0, "collectd's status after SIGTERM: " + self.said()[-2000:])
        check("exit" in self.said().lower(), "no word about the end in the log")


SLEEP_AND_BURN = """
keep = bytearray(8 << 20)
for i in range(0, len(keep), 4096): keep[i] = 1
files = [open('/dev/null') for i in range(20)]
threads = [threading.Thread(target=time.sleep, args=(600,), daemon=True) for i in range(3)]
for t in threads: t.start()
burn(0.3)
say(cpu=cpu())
while wait():
    burn(0.3)
    say(cpu=cpu())
os._exit(0)
"""


def workloads(count=2):
    """Several processes of one name."""
    directory, name = temp_dir(), unique("w")
    first = Workload(SLEEP_AND_BURN, name, directory)
    all_of_them = [first]
    for _ in range(count - 1):
        w = Workload.__new__(Workload)
        w.name = name
        w.process = start([os.path.join(directory, name), *first.process.args[1:]],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        w.pid = w.process.pid
        all_of_them.append(w)
    for w in all_of_them:
        w.hear()
    return all_of_them


def case_values():
    """All values of a group, against those of the textfile program."""
    ws = workloads()
    name = ws[0].name
    c = Collectd("<Plugin proctally>\n GroupBy \"name\"\n</Plugin>")
    base = "here/proctally-%s/" % name
    c.wait_rows(base + "ps_cputime", 1)
    for w in ws:
        w.go_on()
        w.hear()
    rows = len(c.rows(base + "ps_cputime"))
    c.wait_rows(base + "ps_cputime", rows + 3)
    status, out, err = run([TEXTFILE])
    m = Metrics(out)

    def ours(metric, **labels):
        return m.get("proctally_" + metric, groupname=name, **labels)

    def theirs(identifier, source="value"):
        return c.last(base + identifier)[source]
    check_equal(theirs("ps_count", "processes"), 2, "processes")
    check_equal(theirs("ps_count", "threads"), 8, "threads")
    check_equal(ours("threads"), 8, "threads (textfile)")
    for identifier, metric, labels, relative in (
            ("ps_rss", "memory_rss_bytes", {}, 0.02), ("ps_vm", "memory_vms_bytes", {}, 0),
            ("ps_data", "memory_data_bytes", {}, 0), ("ps_code", "memory_code_bytes", {}, 0),
            ("ps_stacksize", "memory_stack_bytes", {}, 0), ("file_handles", "open_fds", {}, 0),
            ("memory-swap", "memory_swap_bytes", {}, 0),
            ("memory-footprint", "memory_footprint_bytes", {}, 0.02),
            ("gauge-priority", "priority", {}, 0), ("gauge-nice", "nice", {}, 0),
            ("ps_state-sleeping", "states", {"state": "sleeping"}, 0),
            ("ps_state-zombie", "states", {"state": "zombie"}, 0),
            ("gauge-unreadable_io", "unreadable_processes", {"file": "io"}, 0)):
        check_near(theirs(identifier), ours(metric, **labels), identifier, relative=relative)
    check_near(theirs("uptime"), time.time() - ours("start_time_seconds"), "uptime", absolute=10)
    # both burnt while collectd counted
    cpu = sum(theirs("ps_cputime", s) for s in ("user", "syst")) / 1e6
    check_near(cpu, 0.6, "CPU seconds since the first collection", absolute=0.15)
    check(theirs("ps_pagefaults", "minflt") >= 0, "page faults")
    check(theirs("contextswitch-voluntary") >= 0, "context switches")
    percent = [r["value"] for r in c.rows(base + "percent-cpu")]
    check(max(percent) > 5 and all(0 <= p <= 100 for p in percent), "CPU usage", percent)
    # whatever there is of it reads as numbers
    for identifier in c.identifiers():
        if identifier.startswith("here/proctally"):
            row = c.last(identifier) if c.rows(identifier) else {}
            check(not any(math.isnan(v) for v in row.values()), "NaN in %s" % identifier, row)
    check(c.last("here/proctally/gauge-groups")["value"] > 3, "number of groups")
    # counters never fall
    for identifier in c.identifiers():
        if re.match(r"here/proctally(-[^/]*)?/(ps_cputime|derive|contextswitch|io_|disk_|ps_page)",
                    identifier):
            previous = {}
            for row in c.rows(identifier):
                check_never_falls(previous, row, identifier)
                previous = row
    c.check_log()
    c.stop()


def case_groups_and_verbs():
    """Group blocks, Process, ProcessMatch and the Collect switches."""
    ws = workloads()
    name = ws[0].name
    other = Workload(SLEEPER, unique("o"))
    third = Workload(SLEEPER, unique("t"), args=["--marker=blue"])
    other.hear()
    third.hear()
    dropped, below = Workload(SLEEPER, unique("d")), Workload(SLEEPER, unique("b"))
    dropped.hear()
    below.hear()
    c = Collectd(f"""<Plugin proctally>
  GroupBy ""
  <Drop>
    Comm "{dropped.name}"
  </Drop>
  <Group "below">
    Comm "glob:{below.name[:-2]}*"
    Gid {os.getgid()}
    Kernel false
    <Parent>
      Cmdline "test_collectd"
    </Parent>
    <Not>
      User "nobody"
      <Parent>
        Comm "no such name"
      </Parent>
    </Not>
  </Group>
  Process "{dropped.name}"
  CollectFileDescriptor true
  CollectContextSwitch false
  CollectDelayAccounting false
  <Group "group-one">
    Comm "{name}" "nothing"
    User "root" "0" "{os.getuid()}"
  </Group>
  <Group "match:{{{{.Matches.Colour}}}}">
    Cmdline "--marker=(?P<Colour>[a-z]+)"
  </Group>
  <Group "nobody at all">
    Exe "/no/such/program"
  </Group>
  Process "{other.name}"
  ProcessMatch "absent" "no such command line"
</Plugin>""")
    wait_for(lambda: len(c.rows("here/proctally-group-one/ps_count")) > 1, "values")
    groups = {re.match(r"here/proctally-([^/]*)/", i).group(1) for i in c.identifiers()
              if i.startswith("here/proctally-")}
    check_equal(groups, {"group-one", "match:blue", "nobody at all", other.name, "absent", "below",
                         dropped.name},
                "groups")
    for group, count in (("group-one", 2), ("match:blue", 1), ("nobody at all", 0),
                         (other.name, 1), ("absent", 0), ("below", 1), (dropped.name, 0)):
        check_equal(c.last("here/proctally-%s/ps_count" % group)["processes"], count,
                    "processes in %s" % group)
    kinds = {i.split("/")[-1] for i in c.identifiers() if i.startswith("here/proctally-group-one")}
    check("file_handles" in kinds, "file descriptors are off", sorted(kinds))
    check(not any(k.startswith("contextswitch") for k in kinds), "context switches are on")
    check(not any("run_queue" in k for k in kinds), "delays are on", sorted(kinds))
    c.check_log("the rule never matches")
    c.stop()


def case_chosen_metrics():
    """Only the values that Metrics asks for, also if it names one of a pair."""
    ws = workloads(1)
    c = Collectd("""<Plugin proctally>
  Metrics "cpu_*" "memory_rss" "processes"
  Metrics "io_read" "!cpu_coverage"
</Plugin>""")
    base = "here/proctally-%s/" % ws[0].name
    c.wait_rows(base + "percent-cpu", 1)
    kinds = {i[len(base):] for i in c.identifiers() if i.startswith(base)}
    check_equal(kinds, {"ps_cputime", "percent-cpu", "ps_rss", "ps_count"}, "values of a group")
    count = c.last(base + "ps_count")
    check(count["processes"] == 1 and math.isnan(count["threads"]), "a half of a pair", count)
    about = {i for i in c.identifiers() if i.startswith("here/proctally/")}
    check("here/proctally/gauge-groups" in about, "nothing about the collector", about)
    check("here/proctally/gauge-cpu_coverage" not in about, "what was taken away")
    c.check_log("io_read is not sent: the type io_octets has io_written as well")
    c.stop()


def case_file_and_verbs():
    """group-by of the file is not undone by a Process verb, which otherwise leaves the rest
    out."""
    config = write_text(os.path.join(temp_dir(), "c.yaml"), "group-by: [user]\n")
    c = Collectd("<Plugin proctally>\n Config \"%s\"\n Process \"nobody\"\n</Plugin>" % config)
    user = pwd.getpwuid(os.geteuid()).pw_name
    wait_for(lambda: c.rows("here/proctally-%s/ps_count" % user), "values of the user's group")
    check(c.rows("here/proctally-nobody/ps_count"), "no values of the rule's group")
    c.check_log()
    c.stop()


def case_words_and_overlaps():
    """GNU's word borders match as in `processes`; lines that overlap are said."""
    w = Workload(SLEEPER, unique("w"), args=["--colour=dark-blue"])
    w.hear()
    c = Collectd(f"""<Plugin proctally>
  Process "{w.name}x"
  ProcessMatch "word" "\\\\<dark\\\\>"
  ProcessMatch "part" "\\\\<dar\\\\>"
  ProcessMatch "all" ".*"
  Process "{w.name}"
</Plugin>""")
    wait_for(lambda: c.rows("here/proctally-all/ps_count"), "values")
    for group, count in (("word", 1), ("part", 0), (w.name, 0)):
        check_equal(c.last("here/proctally-%s/ps_count" % group)["processes"], count,
                    "processes in %s" % group)
    overlaps = [l for l in c.said().split("\n") if "can match the same process" in l]
    pairs = [tuple(re.findall(r'"([^"]*)"', l)) for l in overlaps]
    check((("all", w.name) in pairs) and ((w.name + "x", "all") in pairs) and
          ("word", "all") in pairs, "overlaps", pairs)
    check((w.name + "x", w.name) not in pairs, "names that are different", pairs)
    c.check_log("can match the same process", "the rule never matches")
    c.stop()


def case_beside_processes():
    """The blocks of the `processes` plugin as they are, beside the plugin itself:
    the same numbers, and only the groups that are named."""
    ws = workloads()
    name = ws[0].name
    verbs = f"""
  CollectFileDescriptor true
  CollectContextSwitch true
  Process "{name}"
  <ProcessMatch "python-like" "{name}">
    CollectFileDescriptor true
  </ProcessMatch>
"""
    c = Collectd("<Plugin proctally>%s</Plugin>" % verbs, loads="LoadPlugin processes\n"
                 "<Plugin processes>%s</Plugin>" % verbs)
    mine, theirs = "here/proctally-%s/" % name, "here/processes-%s/" % name
    c.wait_rows(mine + "ps_rss", 2)
    c.wait_rows(theirs + "ps_rss", 2)
    groups = {re.match(r"here/proctally-([^/]*)/", i).group(1) for i in c.identifiers()
              if i.startswith("here/proctally-")}
    check_equal(groups, {name, "python-like"}, "groups")
    for kind, source, relative in (("ps_count", "processes", 0), ("ps_count", "threads", 0),
                                   ("ps_rss", "value", 0.02), ("ps_vm", "value", 0),
                                   ("ps_data", "value", 0), ("ps_code", "value", 0.02),
                                   ("file_handles", "value", 0)):
        if c.rows(theirs + kind):
            check_near(c.last(mine + kind)[source], c.last(theirs + kind)[source],
                       "%s %s beside the processes plugin" % (kind, source), relative=relative)
    c.check_log("can match the same process")
    c.stop()


def instance(name):
    """What a group is called whose name collectd can't have."""
    clean = name.replace("/", "_")[:110]
    return clean + "~" + hashlib.sha256(name.encode()).hexdigest()[:16]


def called(name, prefix=()):
    """A process whose first word of the command line is this."""
    return start([*prefix, "bash", "-c", 'exec -a "$0" sleep 600', name])


def case_hostile_names():
    """Names that collectd can't have, and two that would become equal: each process
    is in one value list, the same one each time."""
    start_hostile()
    unicode = ["x" * 10 + "/" + "y", "x" * 10 + "_" + "y"]
    start_hostile([u.encode() for u in unicode])
    c = Collectd("<Plugin proctally>\n GroupBy \"name\"\n</Plugin>")
    wait_for(lambda: len(c.rows("here/proctally/gauge-groups")) >= 5, "five collections")
    identifiers = c.identifiers()
    check_equal(len(identifiers), len(set(identifiers)), "identifiers")
    groups = {re.match(r"here/proctally-(.*)/[^/]*\Z", i, re.S).group(1) for i in identifiers
              if i.startswith("here/proctally-")}
    for name in ("a_b", instance("a/b"), unicode[1], instance(unicode[0]), 'a"b'):
        check(name in groups, "%s is not there" % name, sorted(groups))
        check_equal(c.last("here/proctally-%s/ps_count" % name)["processes"], 1, name)
    text = c.said()
    check("too old" not in text, "values refused", text)
    c.check_log()
    c.stop()


def case_threads_by_name():
    """A value list for each name, with what collectd can't have in one changed."""
    w = Workload("""
def life(name):
    set_name(name)
    if name == b"busy":
        end = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) + 0.3
        while time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) < end: pass
    time.sleep(600)
wait()
for name in b"a/b", b"busy", b"idle", b"idle":
    threading.Thread(target=life, args=(name,), daemon=True).start()
wait()
os._exit(0)
""")
    c = Collectd("<Plugin proctally>\n GroupBy \"name\"\n Collect \"thread-names\"\n</Plugin>")
    base = "here/proctally-%s/" % w.name
    c.wait_rows(base + "threads-thread-%s" % w.name, 1)
    w.go_on()
    c.wait_rows(base + "ps_cputime-thread-busy", 4)
    c.wait_rows(base + "threads-thread-%s" % instance("a/b"), 1)
    check_equal(c.last(base + "threads-thread-idle")["value"], 2, "threads called idle")
    cpu = c.last(base + "ps_cputime-thread-busy")
    check_near((cpu["user"] + cpu["syst"]) / 1e6, 0.3, "CPU time of the busy one", absolute=0.05)
    types = {i.rsplit("/", 1)[1] for i in c.identifiers() if i.startswith(base)}
    wanted = {"contextswitch-voluntary_thread-busy", "contextswitch-involuntary_thread-busy",
              "disk_octets-thread-busy", "ps_pagefaults-thread-busy"}
    check(wanted <= types, "values of threads", sorted(types))
    channels = {t for t in types if t.startswith("threads-wchan-")}
    check(channels, "no wait channels", sorted(types))
    c.check_log()
    c.stop()


def case_taken_over():
    """What another user's processes are called changes nothing about a series: not
    those called like what collectd makes of the name, nor like the series itself."""
    other_user = as_nobody() if is_root() else []
    victim = "/usr/sbin/" + unique("victim")
    mine = instance(victim)
    called(victim)
    c = Collectd("<Plugin proctally>\n GroupBy \"cmdline\"\n</Plugin>")
    identifier = "here/proctally-%s/ps_count" % mine
    c.wait_rows(identifier, 2)
    hostile = {victim.replace("/", "_"): 2, mine: 3, victim.replace("/", "_", 1): 4}
    for name, count in hostile.items():
        for _ in range(count):
            called(name, other_user)
    theirs = {victim.replace("/", "_"): 2, instance(mine): 3,
              instance(victim.replace("/", "_", 1)): 4}
    for name, count in theirs.items():
        wait_for(lambda: c.last("here/proctally-%s/ps_count" % name)["processes"] == count, name)
    rows = c.wait_rows(identifier, len(c.rows(identifier)) + 2)
    check_equal({r["processes"] for r in rows}, {1}, "processes of the victim")
    found = {re.match(r"here/proctally-([^/]*)/", i).group(1) for i in c.identifiers()
             if "_" + os.path.basename(victim) in i}
    check_equal(found, {mine, *theirs}, "groups")
    c.check_log()
    c.stop()


def case_same_instance():
    """Of two groups that are called the same one is left out: no identifier gets
    the values of both."""
    same = "/collision" * 10
    one, two = same + "_/////__/_yrndCMY32", same + "__/_______ca2tW3Quy"
    check_equal(instance(one), instance(two), "the two names")
    called(one)
    called(two)
    called(two)
    c = Collectd("<Plugin proctally>\n GroupBy \"cmdline\"\n</Plugin>")
    rows = c.wait_rows("here/proctally-%s/ps_count" % instance(one), 4)
    check_equal({r["processes"] for r in rows}, {1}, "processes of the first")
    check_equal(c.said().count("is already called"), 1, "warnings: " + c.said())
    check(two in c.said(), "the one that is left out", c.said())
    c.check_log("is already called")
    c.stop()


MISTAKES = {
    "GroupBy \"nonsense\"": "nonsense",
    "NoSuchThing 1": "NoSuchThing",
    "<Group \"x\">\n Cmdline \"(\"\n </Group>": "(",
    "<Group \"x\">\n Colour \"red\"\n </Group>": "Colour",
    "<Group>\n Comm \"x\"\n </Group>": "Group",
    "<Drop \"x\">\n Comm \"x\"\n </Drop>": "expected <Drop>",
    "<Group \"x\">\n <Not>\n Colour \"red\"\n </Not>\n </Group>": "Not has Colour",
    "<Group \"x\">\n <Not>\n <Not>\n Comm \"x\"\n </Not>\n </Not>\n </Group>": "expected it once",
    "<Group \"x\">\n <Parent \"x\">\n Comm \"x\"\n </Parent>\n </Group>": "one block <Parent>",
    "<Group \"x\">\n PidFile \"x\"\n </Group>": "expected a path",
    "<Group \"{{.Nope}}\">\n Comm \"x\"\n </Group>": "Nope",
    "ProcessMatch \"x\"": "ProcessMatch",
    "CollectFileDescriptor \"maybe\"": "CollectFileDescriptor",
    "MaxGroups -3": "MaxGroups",
    "Interval 5": "Interval",
    "CpuMode \"turbo\"": "CpuMode",
    "Metrics \"cpu_usr\"": "expected the id cpu_user",
    "Metrics \"!*\"": "leaves no metric",
}


def case_mistakes():
    """Each mistake is refused with a sentence; collectd says so and ends, or goes
    on without the plugin."""
    for text, word in MISTAKES.items():
        c = Collectd("<Plugin proctally>\n %s\n</Plugin>" % text, ready=False)

        def whole():
            return c.said() + "\n" + read_text(c.output)
        wait_for(lambda: "[error] proctally plugin:" in whole(), "an error about %r" % text, 30)
        wait_for(lambda: c.process.poll() is not None or "nitialization" in whole(),
                 "collectd takes %r" % text, 30)
        mine = [l for l in whole().split("\n") if "[error] proctally plugin:" in l]
        check_equal(len(mine), 1, "messages of the plugin for %r (%s)" % (text, whole()))
        check(word in mine[0], "the message for %r" % text, mine[0])
        # the daemon tells that something failed
        check(re.search(r"fail", whole().replace(mine[0], ""), re.I), "no word of collectd",
              whole())
        status = stop(c.process, 60)
        check(status >= 0, "collectd crashed with %r" % text, whole())
        check(not glob.glob(c.csv + "/here/proctally*"), "values in spite of a mistake")


def case_state():
    """With StateFile the counters go on where they were."""
    ws = workloads(1)
    name = ws[0].name
    directory = temp_dir()
    block = "<Plugin proctally>\n Source procfs\n StateFile \"%s/state\"\n</Plugin>" % directory
    identifier = "here/proctally-%s/ps_cputime" % name

    def cpu(row):
        return (row["user"] + row["syst"]) / 1e6
    c = Collectd(block, directory=directory)
    c.wait_rows(identifier, 1)
    ws[0].go_on()
    first = ws[0].hear()["cpu"]
    n = len(c.rows(identifier))
    rows = c.wait_rows(identifier, n + 2)
    check_near(cpu(rows[-1]), 0.3, "CPU seconds in the first run", absolute=0.1)
    c.check_log()
    c.stop()
    last = c.rows(identifier)[-1]
    ws[0].go_on()
    second = ws[0].hear()["cpu"]
    c = Collectd(block, directory=directory)
    rows = c.wait_rows(identifier, 2)
    check_near(cpu(rows[0]) - cpu(last), second - first, "CPU seconds between the runs",
               relative=0.05, absolute=4 * TICK)
    c.check_log()
    c.stop()


def case_slow_interval_and_stop():
    """Stopping does not wait for the interval; an interval of LoadPlugin is used."""
    c = Collectd("", interval=300, loads="<LoadPlugin proctally>\n Interval 1\n</LoadPlugin>")
    c.wait_rows("here/proctally/gauge-groups", 3)
    begun = time.monotonic()
    c.stop()
    check(time.monotonic() - begun < 30, "stopping took long")


def case_unreadable_proc():
    """No /proc there: said once, and the daemon keeps its interval."""
    directory = temp_dir()
    proc = os.path.join(directory, "later")
    c = Collectd("<Plugin proctally>\n Procfs \"%s\"\n</Plugin>" % proc, ready=False)
    wait_for(lambda: c.alive() and "later" in c.said(), "a complaint", 30)
    time.sleep(3)
    check_equal(len([l for l in c.said().split("\n") if "later" in l and "[error]" in l]), 1,
                "complaints: " + c.said())
    os.symlink("/proc", proc)
    c.wait_rows("here/proctally/gauge-groups", 2)
    check("suspended" not in c.said() and "double" not in c.said(), "the interval", c.said())
    c.stop()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
