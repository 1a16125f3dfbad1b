#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""How processes end: what source bpf says of them, against what wait4(2) told the process
that started them. PROCESSES in the environment: how many there are in the case truth, 1000
if not given."""
import collections
import json
import os
import subprocess
import sys
import time

from common import *

PROCESSES = int(os.environ.get("PROCESSES") or 1000)
SOON = 20 # seconds
REASONS = ("ok", "error", "signal", "core", "oom")
WORDS = ("ok", "ok-256", "error", "kill", "term", "no-core", "thread-ok", "thread-error",
         "thread-term", "leader-first", "leader-first-alone", "thread-exec", "forked")
_programs = []


def program(word):
    """endings.c, compiled once, by a name of its own."""
    if not _programs or not os.path.exists(_programs[-1]):
        cc = need_program(os.environ.get("CC", "cc"), "gcc", "clang")
        path = os.path.join(temp_dir(), "endings")
        status, out, err = run([cc, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread",
                                "-o", path, os.path.join(SRC, "tests/integration/endings.c")])
        check_equal(status, 0, "status of the compiler (%s)" % err)
        _programs.append(path)
    return linked(temp_dir(), unique(word), _programs[-1])


def exits_of(points, group):
    """All, and by reason; what is absent is None."""
    fields = points[group].fields if group in points else {}
    return fields.get("exits"), {r: fields.get("exits_" + r) for r in REASONS}


def driver(*flags):
    return Driver("--collect", "exits", *flags, source="bpf")


def soon(d, group, truth):
    """The reasons have to become just these, and stay so. Where the kernel has dropped what it
    had to tell of an end, all that may be missing is the reason."""
    end, right = time.monotonic() + SOON, 0
    wanted = {r: truth.get(r, 0) for r in REASONS}
    while right < 3:
        points = d.collect()
        found = exits_of(points, group)
        right = right + 1 if found == (sum(wanted.values()), wanted) else 0
        if not right and time.monotonic() > end:
            lost = points.self_point.fields["lost_events"]
            missing = [wanted[r] - (found[1][r] or 0) for r in REASONS]
            if found[0] == sum(wanted.values()) and min(missing) >= 0 and sum(missing) <= lost:
                print("      %d reasons are missing of %d" % (sum(missing), found[0]))
                break
            check_equal(found, (sum(wanted.values()), wanted), "exits of %s (%d events lost)"
                        % (group, lost))
        time.sleep(0.5)
    return points


def each(path, count, words, at_once=8, cgroup="-", cwd=None):
    status, out, err = run([path, "each", str(count), str(at_once), cgroup, *words], seconds=120,
                           cwd=cwd)
    check_equal(status, 0, "status of endings (%s)" % err)
    truth = json.loads(out)
    check_equal(truth.pop("failed"), 0, "processes that failed (%s)" % err)
    return truth


def dumps_core():
    return read_text("/proc/sys/kernel/core_pattern").strip() == "core"


class Memory:
    """A control group for memory. Who has more than the limit (None: for now there is none) is
    killed; with v2="memory.high" the second version only takes it away, as the first tries to
    before."""

    def __init__(self, limit=16 << 20, v2="memory.max"):
        v1 = "/sys/fs/cgroup/memory"
        roots = [v1, "/sys/fs/cgroup"]
        root = next((r for r in roots if os.path.exists(r + "/cgroup.procs")), None)
        if root is None:
            raise Skipped("no control group for memory")
        self.path, self.is_v1 = os.path.join(root, unique("memory")), root == v1
        self.limit = os.path.join(self.path, "memory.limit_in_bytes" if self.is_v1 else v2)
        try:
            os.mkdir(self.path)
            later(self.remove)
            write_text(self.limit, str(limit) if limit is not None else read_text(self.limit))
        except OSError as e:
            raise Skipped("no control group for memory: %s" % e)
        self.procs = os.path.join(self.path, "cgroup.procs")

    def remove(self):
        for _ in range(100):
            try:
                return os.rmdir(self.path)
            except OSError:
                time.sleep(0.05)

    def kills(self):
        name = "memory.oom_control" if self.is_v1 else "memory.events"
        for line in read_text(os.path.join(self.path, name)).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        raise Skipped("the kernel does not count whom it has killed")


def truth_of(path, count, words, memory=None, **how):
    """How they end, those that the kernel kills for want of memory by its own count."""
    truth = collections.Counter(each(path, count, words, **how))
    if memory:
        before = memory.kills()
        killed = each(path, count, ["oom"], cgroup=memory.procs, at_once=1)
        check_equal((memory.kills() - before, killed["signal"]), (count, count),
                    "processes that were killed for want of memory")
        truth["oom"] = count
    return truth


def case_truth():
    """Many that no list has shown."""
    path, memory = program("t"), Memory()
    d = driver("--include", os.path.basename(path))
    each_count = max(1, PROCESSES // (len(WORDS) + 3))
    truth = truth_of(path, each_count, WORDS, memory)
    # the children of `forked`, and those that ran the others
    truth["error"] += each_count
    truth["ok"] += 2
    if dumps_core(): # to the same file
        truth["core"] = each(path, each_count, ["core"], at_once=1, cwd=temp_dir())["core"]
        truth["ok"] += 1
        check_equal(truth["core"], each_count, "cores")
    points = soon(d, os.path.basename(path), truth)
    print("      %s, %d events lost" % (dict(truth), points.self_point.fields["lost_events"]))


def case_listed():
    """The same of those that were listed while they lived."""
    path = program("l")
    words = [*WORDS, *(["core"] if dumps_core() else []), "oom"]
    memory = Memory()
    d = driver("--include", os.path.basename(path))
    directory, processes, truth = temp_dir(), [], collections.Counter()
    for word in words:
        cgroup = memory.procs if word == "oom" else "-"
        processes += [(word, start([path, "later", word, cgroup], stdin=subprocess.PIPE,
                                   cwd=directory, stderr=subprocess.DEVNULL)) for _ in range(3)]
    wait_for(lambda: d.collect()[os.path.basename(path)].fields["num_procs"] == len(processes),
             "all processes to be listed")
    exits, found = exits_of(d.points, os.path.basename(path))
    check_equal(found, dict.fromkeys(REASONS, 0), "reasons before anything has ended")
    for word, p in processes:
        p.stdin.write(b"\n")
        p.stdin.flush()
        if word in ("oom", "core"): # one at a time: the room is small
            os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
    for word, p in processes:
        info = os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
        p.wait()
        if info.si_code == os.CLD_EXITED:
            truth["ok" if info.si_status == 0 else "error"] += 1
        elif info.si_code == os.CLD_DUMPED:
            truth["core"] += 1
        else:
            truth["oom" if word == "oom" else "signal"] += 1
    check_equal((memory.kills(), truth["oom"]), (3, 3), "killed for want of memory")
    truth["error"] += 3 # the children of `forked`
    soon(d, os.path.basename(path), truth)


def case_killed_in_the_group_of_another():
    """A signal from elsewhere is none for want of memory, whatever happens nearby."""
    path, memory = program("k"), Memory()
    d = driver("--include", os.path.basename(path))
    truth = truth_of(path, 5, ["kill"], memory, cgroup=memory.procs)
    check_equal(truth["signal"], 5, "signals")
    soon(d, os.path.basename(path), {**truth, "ok": truth["ok"] + 2})


def case_executed_since():
    """One that was listed, and has executed another program since: its end counts where it
    was listed, as in `exits`. Nothing of it counts where nobody has seen it."""
    path, other = program("x"), program("y")
    name, other_name = os.path.basename(path), os.path.basename(other)
    d = driver("--include", name, "--include", other_name)
    p = start([path, "later", "thread-exec"], stdin=subprocess.PIPE,
              env={**os.environ, "OTHER": other})
    wait_for(lambda: d.collect().get(name) is not None, "the list")
    p.stdin.write(b"\n")
    p.stdin.flush()
    check_equal(p.wait(60), 3, "status")
    points = soon(d, name, {"error": 1})
    check(other_name in points, "the program that it executed is not there")
    check_equal(exits_of(points, other_name), (0, dict.fromkeys(REASONS, 0)), "exits of the other")


def case_full():
    """More processes than the programs have room for. Of some the end is lost, which is said,
    and counts at most as one that nobody knows the reason of."""
    path = program("f")
    d = driver("--max-processes", "256", "--include", os.path.basename(path))
    sleepers = [start([path, "later", "ok"], stdin=subprocess.PIPE) for _ in range(300)]
    d.collect()
    truth = collections.Counter(each(path, 5, ["ok", "error", "kill", "thread-error"], at_once=1))
    for p in sleepers:
        p.stdin.write(b"\n")
        p.stdin.flush()
        check_equal(p.wait(60), 0, "status")
    truth["ok"] += 1 + len(sleepers)
    time.sleep(2)
    points = d.collect()
    exits, found = exits_of(points, os.path.basename(path))
    check(all(found[r] <= truth[r] for r in REASONS) and sum(found.values()) <= exits,
          "more ended so than did: %s of %s" % (found, dict(truth)))
    check(sum(found.values()) >= 100, "most are lost: %s of %s" % (found, dict(truth)))
    check(points.self_point.fields["lost_events"] > 0, "nothing was lost")


def case_pinned():
    """What ends while nobody reads has ended the same way."""
    path, pins = program("p"), os.path.join(mount_bpf(), "pt")
    flags = ("--collect", "exits", "--source", "bpf", "--pin", pins, "--include",
             os.path.basename(path), "--state-file", os.path.join(temp_dir(), "state"))
    status, out, err = run([TEXTFILE, "--once", "--output", "-", *flags])
    check_equal(status, 0, "status (%s)" % err)
    later(run, [TEXTFILE, "--unpin", pins])
    truth = each(path, 10, ["ok", "error", "kill"])
    truth["ok"] += 1

    def is_told():
        status, out, err = run([TEXTFILE, "--once", "--output", "-", *flags])
        check_equal(status, 0, "status (%s)" % err)
        metrics = Metrics(out)
        return all(metrics.get("proctally_process_exits_by_reason_total",
                               groupname=os.path.basename(path), reason=r) == truth.get(r, 0)
                   for r in REASONS)
    wait_for(is_told, "the reasons", seconds=SOON, every=0.5)


def case_absent():
    """Unknown is not 0: not with source procfs, and not if it was not asked for."""
    path = program("a")
    for source, flags in (("procfs", ("--collect", "exits")), ("bpf", ())):
        d = Driver("--include", os.path.basename(path), *flags, source=source)
        p = start([path, "later", "error"], stdin=subprocess.PIPE)
        wait_for(lambda: d.collect().get(os.path.basename(path)) is not None, "the list")
        p.stdin.write(b"\n")
        p.stdin.flush()
        p.wait(60)
        end = time.monotonic() + SOON
        while exits_of(d.collect(), os.path.basename(path))[0] != 1:
            check(time.monotonic() < end, "the exit is not counted with source " + source)
            time.sleep(0.5)
        check_equal(exits_of(d.points, os.path.basename(path)), (1, dict.fromkeys(REASONS)),
                    "exits with source " + source)


def can_be_used():
    status, out, err = run([TELEGRAF, "--once", "--source", "bpf"])
    if status != 0:
        skip_all("source bpf can't be used here: " + err.strip())


if __name__ == "__main__":
    can_be_used()
    run_cases(sys.modules[__name__])
