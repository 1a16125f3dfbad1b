#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""process-exporter and proctally-textfile with the same configuration file, side
by side: the same groups and the same numbers."""
import os
import pwd
import subprocess
import sys

from common import *

try:
    EXPORTER = need_program("prometheus-process-exporter", "process-exporter")
except Skipped as e:
    skip_all(str(e))

N = "namedprocess_namegroup_"

WORK = """
keep = bytearray(16 << 20)
for i in range(0, len(keep), 4096): keep[i] = 1
files = [open('/dev/null') for i in range(10)]
threads = [threading.Thread(target=time.sleep, args=(600,), daemon=True) for i in range(2)]
for t in threads: t.start()
f = open('/dev/zero', 'rb', buffering=0)
say(ready=True)
while wait():
    for i in range(50): f.read(1 << 16)
    burn(0.3)
    say(ready=True)
os._exit(0)
"""


class Exporter:
    def __init__(self, config):
        self.port = free_port()
        self.process = start([EXPORTER, "-config.path", config, "-web.listen-address",
                              "127.0.0.1:%d" % self.port], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        wait_for(lambda: http("http://127.0.0.1:%d/metrics" % self.port)[0] == 200,
                 "process-exporter's answer")

    def read(self):
        status, text = http("http://127.0.0.1:%d/metrics" % self.port)
        check_equal(status, 200, "status of process-exporter (%s)" % text[:500])
        found = {}
        for line in text.split("\n"):
            if line.startswith(N) and "{" in line:
                name, rest = line.split("{", 1)
                labels, value = rest.rsplit("} ", 1)
                found[name[len(N):], frozenset(parse_labels(labels).items())] = float(value)
        return found


class Ours:
    def __init__(self, config):
        directory = temp_dir()
        self.argv = [TEXTFILE, "--config", config, "--schema", "process-exporter",
                     "--state-file", os.path.join(directory, "state"), "--once"]

    def read(self):
        status, out, err = run(self.argv)
        check_equal(status, 0, "status (%s)" % err)
        return {(name[len(N):], labels): value for (name, labels), value in
                Metrics(out).series.items() if name.startswith(N)}

# Three kinds of pages, of each up to 32 (or twice the CPUs) for each CPU
RSS_LAG = 3 * max(32, 2 * os.cpu_count()) * os.cpu_count() * os.sysconf("SC_PAGE_SIZE")


def groups_of(series):
    return {dict(l)["groupname"]: v for (n, l), v in series.items() if n == "num_procs" and v > 0}


def get(series, group, name, **labels):
    return series.get((name, frozenset({"groupname": group, **labels}.items())))


def of_threads(series, group):
    """{name of a series: {the rest of its labels: value}}"""
    found = {}
    for (name, labels), value in series.items():
        labels = dict(labels)
        if name.startswith("thread") and labels.pop("groupname") == group:
            found.setdefault(name, {})[frozenset(labels.items())] = value
    return found


def threads_side_by_side(group, theirs, ours, count):
    """At two moments each. (Theirs has no counters of a thread that it has not seen work.)"""
    a1, a2, b1, b2 = (of_threads(s, group) for s in (*theirs, *ours))
    if "thread_count" not in a2: # it leaves out processes with a single thread, here they are
        check_equal(sum(b2["thread_count"].values()), count, "threads of %s" % group)
        return
    check_equal(b2["thread_count"], a2["thread_count"], "threads by name of %s" % group)
    check(set(a2) - {"threads_wchan"} <= set(b2), "series of threads that are missing",
          set(a2) - set(b2))
    for name in a2:
        if name == "threads_wchan":
            # process-exporter counts main threads again, as their processes
            check_equal(set(b2.get(name, ())), set(a2[name]), "wait channels of %s" % group)
            for labels, value in a2[name].items():
                check(b2[name][labels] <= value <= b2[name][labels] + count,
                      "threads in %r: %r there, %r here" % (dict(labels), value, b2[name][labels]))
            continue
        check_equal(set(b2[name]), set(a2[name]), "labels of %s" % name)
        slack = {"thread_cpu_seconds_total": 4 * TICK * count, "thread_io_bytes_total": 65536,
                 "thread_minor_page_faults_total": 100, "thread_major_page_faults_total": 5,
                 "thread_context_switches_total": 100}.get(name)
        for labels, value in a2[name].items() if slack else ():
            check_near(b2[name][labels] - b1[name][labels], value - a1[name][labels],
                       "increase of %s%r of %s" % (name, dict(labels), group), 0.1, slack)


def side_by_side(config_text, workers, groups):
    """`groups` must be there with these numbers of processes."""
    path = write_text(os.path.join(temp_dir(), "config.yaml"), config_text)
    status, out, err = run([TEXTFILE, "--config", path, "--check-config"])
    check_equal(status, 0, "its configuration file (%s)" % err)
    theirs, ours = Exporter(path), Ours(path)
    # its counters are about what happens after it has seen a process
    theirs.read(), ours.read()
    a1, b1 = theirs.read(), ours.read()
    for w in workers:
        w.go_on()
        w.hear()
    # twice around: groups that change meanwhile are not compared
    for attempt in range(5):
        a2, b2, a3, b3 = theirs.read(), ours.read(), theirs.read(), ours.read()
        stable = {g for g in groups_of(a2) if groups_of(a2)[g] == groups_of(a3).get(g)}
        stable_ours = {g for g in groups_of(b2) if groups_of(b2)[g] == groups_of(b3).get(g)}
        # nor while a worker is on its way to where it waits
        waiting = [[set(of_threads(x, g).get("threads_wchan", ())) for g in groups]
                   for x in (a2, a3)]
        if all(g in stable and g in stable_ours for g in groups) and waiting[0] == waiting[1]:
            break
    everywhere = set(groups_of(a2)) | set(groups_of(b3))
    for group in sorted(everywhere):
        pa, pb, pc = (groups_of(s).get(group) for s in (a2, b2, a3))
        if pa != pc or pa is None and pb != groups_of(b3).get(group):
            continue
        # they are two of the processes themselves
        if any(word in group for word in ("proctally", "process-exp", "prometheus-proc")):
            continue
        if group in groups:
            check_equal((pa, pb), (groups[group], groups[group]), "processes of %s" % group)
        elif group in stable and group in stable_ours:
            # children join their ancestor's group, proctally-textfile too while it runs
            check_near(pb, pa, "processes of the group %s" % group, absolute=1)
    for group, count in groups.items():
        check(group in stable and group in stable_ours, "no group %s" % group,
              sorted(groups_of(a2)), sorted(groups_of(b2)))
        for name, labels, relative, absolute in (
                # theirs lacks what each CPU has counted but not added to the sum yet
                ("memory_bytes", {"memtype": "resident"}, 0.02, RSS_LAG * count),
                ("memory_bytes", {"memtype": "virtual"}, 0, 0),
                ("memory_bytes", {"memtype": "swapped"}, 0, 65536),
                ("open_filedesc", {}, 0, 0), ("num_threads", {}, 0, 0),
                ("worst_fd_ratio", {}, 1e-6, 0), ("oldest_start_time_seconds", {}, 0, 2)):
            x, y = get(a2, group, name, **labels), get(b2, group, name, **labels)
            check(x is not None and y is not None, "%s%r of %s: %r there, %r here" % (
                name, labels, group, x, y))
            check_near(y, x, "%s%r of %s" % (name, labels, group), relative, absolute)
        # process-exporter adds each thread's state to its process's; as its help
        # says that these are processes, here they are
        states = {s: get(b2, group, "states", state=s) for s in
                  ("Running", "Sleeping", "Waiting", "Zombie", "Other")}
        check_equal(sum(states.values()), count, "sum of the states of %s" % group)
        for state in states:
            check(get(a2, group, "states", state=state) is not None, "no state %s there" % state)
        for name, labels, relative, absolute in (
                ("cpu_seconds_total", {"mode": "user"}, 0.05, 4 * TICK * count),
                ("cpu_seconds_total", {"mode": "system"}, 0.05, 4 * TICK * count),
                ("read_bytes_total", {}, 0, 65536), ("write_bytes_total", {}, 0, 65536),
                ("major_page_faults_total", {}, 0, 5), ("minor_page_faults_total", {}, 0.1, 100)):
            xs = [get(s, group, name, **labels) for s in (a1, a2)]
            ys = [get(s, group, name, **labels) for s in (b1, b2)]
            check(None not in xs + ys, "%s%r of %s: %r there, %r here" % (
                name, labels, group, xs, ys))
            check_near(ys[1] - ys[0], xs[1] - xs[0], "increase of %s%r of %s" % (
                name, labels, group), relative, absolute)
        threads_side_by_side(group, (a1, a2), (b1, b2), count)
    # a dashboard's names: every family of theirs that counts groups is here
    missing = {n for n, _ in a2} - {n for n, _ in b2}
    check(missing <= {"context_switches_total", "threads_wchan"}, "families that are missing",
          sorted(missing))


def workers():
    """Two of one name, one of another; each with marks on the command line."""
    directory, name = temp_dir(), unique("w")
    first = Workload(WORK, name, directory, args=["--app=blue", "-jar", "/x/one.jar"])
    second = Workload.__new__(Workload)
    second.name, second.process = name, start(
        [*first.process.args[:5], "--app=blue", "-jar", "/x/one.jar"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    second.pid = second.process.pid
    third = Workload(WORK, unique("v"), args=["--app=red"])
    for w in (first, second, third):
        w.hear()
    return [first, second, third]


def case_all_by_comm():
    ws = workers()
    side_by_side("process_names:\n  - name: \"{{.Comm}}\"\n    cmdline:\n    - '.+'\n", ws,
                 {ws[0].name: 2, ws[2].name: 1})


def case_exe_rules():
    ws = workers()
    path = ws[2].process.args[0]
    side_by_side("""process_names:
  - exe:
    - %s
    - %s
    name: both
  - comm:
    - bash
    - sh
""" % (ws[0].name, path), ws, {"both": 3})


def case_exe_default_name():
    ws = workers()
    side_by_side("""process_names:
  - exe: [%s]
  - name: "{{.ExeFull}}"
    exe: [%s]
""" % (ws[0].name, ws[2].process.args[0]), ws,
                 {ws[0].name: 2, ws[2].process.args[0]: 1})


def case_cmdline_captures():
    ws = workers()
    side_by_side(r"""process_names:
  - name: "{{.ExeBase}}:{{.Matches.Jar}}"
    cmdline:
    - --app=(?P<App>\w+)
    - -jar\s+\S+/(?P<Jar>[^/\s]+)\.jar
  - name: "app:{{.Matches.App}}"
    comm: [%s]
    cmdline:
    - --app=(?P<App>\w+)
""" % ws[2].name, ws, {ws[0].name + ":one": 2, "app:red": 1})


def case_username_and_children():
    """{{.Username}}, and children that join their parent's group."""
    ws = workers()
    user = pwd.getpwuid(os.geteuid()).pw_name
    parent = Workload("""
for i in range(2):
    if os.fork() == 0:
        os.close(1)
        time.sleep(600)
        os._exit(0)
say(ready=True)
while wait():
    burn(0.1)
    say(ready=True)
os.kill(0, 15)
""", unique("p"))
    parent.hear()
    side_by_side("""process_names:
  - name: "{{.Comm}}:{{.Username}}"
    comm: [%s, %s]
  - name: parent
    cmdline: ["%s "]
    comm: [%s]
""" % (ws[0].name, ws[2].name, parent.name, parent.name), ws + [parent],
                 {"%s:%s" % (ws[0].name, user): 2, "%s:%s" % (ws[2].name, user): 1, "parent": 3})


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
