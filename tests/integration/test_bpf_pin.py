#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""The programs of source bpf, pinned: runs by cron miss nothing between them, what is
damaged is replaced, and what was pinned goes away again. KILLS in the environment: how many
runs are killed in the case killed, 20 if not given."""
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time

from common import *

KILLS = int(os.environ.get("KILLS") or 20)
seed = int(os.environ.get("SEED") or random.randrange(1 << 32))


class Cron:
    """A directory to pin in, on a file system of its own, and a state file: what cron
    would run each minute."""

    def __init__(self, *flags):
        mount = mount_bpf()
        directory = os.path.dirname(mount)
        self.dir, self.state = os.path.join(mount, "pt"), os.path.join(directory, "state")
        self.output = os.path.join(directory, "out.prom")
        self.flags, self.metrics, self.errors = list(flags), None, ""

    def argv(self, *more):
        return [TEXTFILE, "--pin", self.dir, "--state-file", self.state, "--source", "bpf",
                *self.flags, *more]

    def take(self, metrics):
        """No counter may fall from one to the next."""
        check_equal(metrics.get("proctally_source", source="bpf"), 1, "source bpf")
        if self.metrics:
            check_never_falls(of_groups(self.metrics), of_groups(metrics), "runs with pin")
        self.metrics = metrics
        return metrics

    def run(self):
        status, out, self.errors = run(self.argv("--once"))
        check_equal(status, 0, "status (%s)" % self.errors)
        return self.take(Metrics(out))

    def settled(self, condition, what, again=None):
        """Runs until the condition holds; up to 15 seconds, since the kernel drops an
        event now and then that is made up for after five."""
        def look():
            (again or self.run)()
            condition()
            return True
        wait_for(look, what, seconds=15, every=0.3)

    def files(self):
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self.dir))
        return []

    def ids(self):
        """(kind, id) of all that is pinned, and of the programs of the links."""
        found = set()
        for name in self.files():
            path = os.path.join(self.dir, name)
            fd = ctypes.CDLL("libbpf.so.1").bpf_obj_get(path.encode())
            check(fd >= 0, "%s can't be opened" % path)
            for line in read_text("/proc/self/fdinfo/%d" % fd).splitlines():
                kind, _, value = line.partition(":")
                if kind in ("prog_id", "map_id", "link_id"):
                    found.add((kind[:-3], int(value)))
            os.close(fd)
        return found

    def unpin(self):
        return run([TEXTFILE, "--unpin", self.dir])


def of_groups(metrics):
    return {k: v for k, v in metrics.counters().items() if any(l == "groupname" for l, _ in k[1])}


def existing(ids):
    """Those of them that are in the kernel."""
    there = set()
    for kind in {k for k, _ in ids}:
        there |= {(kind, one["id"]) for one in bpftool(kind, "show") or []}
    return ids & there


# ---- Processes whose use is known -----------------------------------------------------------

SHORT = """
name, count, seconds = sys.argv[1].encode(), int(sys.argv[2]), float(sys.argv[3])
used = 0
for i in range(count):
    if os.fork() == 0:
        set_name(name)
        burn(seconds)
        os._exit(0)
    u = os.wait4(-1, 0)[2]
    used += u.ru_utime + u.ru_stime
say(used=used)
"""


class Shorts:
    """Short processes of one name, and what wait4() says they used."""

    def __init__(self, word="short"):
        self.name, self.count, self.used = unique(word), 0, 0.0

    def run(self, count=20, seconds=0.01, **how):
        w = Workload(SHORT, args=[self.name, str(count), str(seconds)], **how)
        self.used += w.hear()["used"]
        self.count += count
        w.end()

    def check_exact(self, metrics, name=None):
        name = name or self.name
        found = [metrics.get("proctally_process_%s_total" % way, groupname=name)
                 for way in ("starts", "exits")]
        check_equal(found, [self.count] * 2, "starts and exits of %s (%r events lost)" % (
            name, metrics.get("proctally_lost_events_total")))
        check_near(metrics.sum("proctally_cpu_seconds_total", groupname=name), self.used,
                   "CPU seconds of " + name, relative=CPU_ROOM)


# ---- Runs ----------------------------------------------------------------------------------------

def case_between_runs():
    """What lived between two runs is counted exactly, from run to run."""
    cron = Cron()
    times = []
    begun = time.monotonic()
    cron.run()
    times.append(time.monotonic() - begun)
    check(cron.files(), "nothing is pinned")
    ids = cron.ids()
    shorts, trues = Shorts(), unique("true")
    program = linked(temp_dir(), trues, "/bin/true")
    for i in range(5):
        shorts.run()
        for j in range(10):
            check_equal(run([program])[0], 0, "status of " + program)
        begun = time.monotonic()
        cron.run()
        times.append(time.monotonic() - begun)

    def all_there():
        shorts.check_exact(cron.metrics)
        for way in ("starts", "exits"):
            check_equal(cron.metrics.get("proctally_process_%s_total" % way, groupname=trues), 50,
                        way + " of programs that were executed")
    cron.settled(all_there, "all short processes")
    check_equal(cron.ids(), ids, "what is pinned after more runs")
    print("      CPU seconds: wait4 %.6f, found %.6f; the runs took %s s" % (
        shorts.used, cron.metrics.sum("proctally_cpu_seconds_total", groupname=shorts.name),
        " ".join("%.2f" % t for t in times)))


def case_long_lived():
    """A process that lives on is neither lost nor counted twice."""
    cron = Cron()
    w = Workload("""
say(cpu=cpu())
while wait():
    burn(0.1)
    say(cpu=cpu())
""", unique("long"))
    used = w.hear()["cpu"]
    cron.run()
    before = cron.metrics.sum("proctally_cpu_seconds_total", groupname=w.name)
    for i in range(5):
        w.go_on()
        now = w.hear()["cpu"]
        cron.run()
        check_near(cron.metrics.sum("proctally_cpu_seconds_total", groupname=w.name) - before,
                   now - used, "CPU seconds after %d runs" % i, relative=CPU_ROOM, absolute=0.01)
    w.end()

    def ended():
        check_equal(cron.metrics.get("proctally_process_exits_total", groupname=w.name), 1, "exits")
    cron.settled(ended, "its end")


def case_traffic_between_runs():
    """Packets are counted while nobody runs, and each run has those since the one before: of a
    process that goes on, and of one that was killed."""
    cron = Cron()
    if KERNEL < (6, 3):
        cron.run() # a socket of before it belongs to nobody there
    code = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
s.connect(s.getsockname())
say(begun=True)
while wait():
    for i in range(4):
        s.send(bytes(100))
        s.recv(200)
    say(done=True)
"""
    w = Workload(code, unique("goes-on"))
    w.hear()

    def check_packets(name, count):
        check_equal([cron.metrics.get("proctally_network_%s_packets_total" % way, groupname=name,
                                      protocol="udp") for way in ("transmit", "receive")],
                    [count] * 2, "packets of " + name)
    cron.run()
    if cron.metrics.get("proctally_network_transmit_packets_total", groupname=w.name,
                        protocol="udp") is None:
        raise Skipped("traffic is not counted here")
    for i in range(1, 5):
        short = Workload(code, unique("killed"))
        for process in (w, short):
            process.go_on()
            process.hear()
        short.hear()
        short.process.kill()
        short.process.wait()
        cron.run()
        check_packets(w.name, 4 * i)
        check_packets(short.name, 4)
    w.end()
    cron.run()
    check_packets(w.name, 16)


def case_configuration_changes():
    """Another configuration takes effect from the run on that brings it, on what ends
    before the next one."""
    cron = Cron("--group-by", "name")
    cron.run()
    by_name = Shorts()
    by_name.run()
    cron.settled(lambda: by_name.check_exact(cron.metrics), "groups by name")

    directory = temp_dir()
    config = os.path.join(directory, "rules.yaml")
    word = unique("word")

    def exec_all(program, *args, before=""):
        status, _, err = run(["/bin/sh", "-c", before + 'for i in 1 2 3 4 5 6 7; do "$@"; done',
                              "sh", program, *args])
        check_equal(status, 0, "status of the shell (%s)" % err)

    def grouped(rule, name, *args, **how):
        write_text(config, "process_names:\n  - name: %s\n    %s\n" % (name, rule))
        cron.flags = ["--config", config]
        cron.run()
        exec_all(*args, **how)

        def all_there():
            for way in ("starts", "exits"):
                check_equal(cron.metrics.get("proctally_process_%s_total" % way, groupname=name),
                            7, "%s of the rule's group" % way)
        cron.settled(all_there, "the group of a rule on " + rule)

    grouped("cmdline: ['^/bin/echo %s']" % word, unique("bycmd"), "/bin/echo", word)
    program = linked(directory, unique("echo"), "/bin/echo")
    # what is executed is the file that the link stands for
    exe = os.path.join(directory, "copy")
    with open(program, "rb") as f, open(exe, "wb") as to:
        to.write(f.read())
    os.chmod(exe, 0o755)
    grouped("exe: [%s]" % exe, unique("byexe"), exe, "x")

    for line in read_text("/proc/self/mountinfo").split("\n"):
        words = line.split(" ")
        if "-" in words and words[words.index("-") + 1] == "cgroup2" and words[3] == "/":
            path = "/" + unique("cg")
            os.mkdir(words[4] + path)
            # it can be removed as soon as the last process in it is gone for good
            later(wait_for, lambda: os.rmdir(words[4] + path) or True, "its control group is empty")
            # the shell itself is in there as well, so it is the one that ends too
            rule, name = "cgroup: [%s]" % path, unique("bycg")
            write_text(config, "process_names:\n  - name: %s\n    %s\n    exe: [%s]\n" % (name, rule, exe))
            cron.run()
            exec_all(exe, "x", before="echo $$ >%s%s/cgroup.procs; " % (words[4], path))
            cron.settled(lambda: check_equal(
                cron.metrics.get("proctally_process_exits_total", groupname=name), 7,
                "exits of the rule's group"), "the group of a rule on " + rule)
            return
    print("      no unified hierarchy: no rule on cgroup")


# Its children have its name from the start: were they seen before they took one of
# their own, they would rightly be of their parent's group.
SERVED = """
def used():
    return cpu() + cpu(resource.RUSAGE_CHILDREN)
say(used=used())
while wait():
    for i in range(20):
        if os.fork() == 0:
            burn(0.01)
            os._exit(0)
        os.wait()
    say(used=used())
"""


def case_service_restarts():
    """A service that keeps its programs misses nothing while it is restarted."""
    config = write_text(os.path.join(temp_dir(), "config.yaml"), "group-by: [name]\n")
    cron = Cron("--interval", "300ms", "--config", config)
    w = Workload(SERVED, unique("srv"))
    used_before = w.hear()["used"]

    def service():
        p = start(cron.argv("--output", cron.output))
        wait_for(lambda: os.path.exists(cron.output), "the first output")
        return p

    def look():
        return cron.take(Metrics(read_text(cron.output)))

    def figures(group):
        return [cron.metrics.sum("proctally_%s_total" % n, groupname=group)
                for n in ("process_starts", "process_exits", "cpu_seconds")]

    def seen_in(group):
        wait_for(lambda: look().get("proctally_processes", groupname=group) == 1,
                 "%s in the group %s" % (w.name, group))
        return figures(group)

    def children():
        w.go_on()
        return w.hear()["used"]

    def check_more(group, before, count, used):
        more = [a - b for a, b in zip(figures(group), before)]
        check_equal(more[:2], [count, count], "starts and exits (%r events lost)" % (
            cron.metrics.get("proctally_lost_events_total")))
        check_near(more[2], used, "CPU seconds", relative=CPU_ROOM, absolute=0.005)

    p = service()
    before = seen_in(w.name)
    for i in range(2):
        children()
        check_equal(stop(p), 0, "status after SIGTERM")
        children()
        os.unlink(cron.output)
        p = service()
        used = children()
    cron.settled(lambda: check_more(w.name, before, 120, used - used_before),
                 "what ran before, between and after", look)

    # a changed configuration is taken up behind the sandbox
    group = unique("rule")
    write_text(config, "process_names:\n  - name: %s\n    comm: [%s]\n"
               "group-by: [user]\n" % (group, w.name))
    os.kill(p.pid, signal.SIGHUP)
    before, used_before = seen_in(group), used
    used = children()
    cron.settled(lambda: check_more(group, before, 20, used - used_before),
                 "what ran after the change", look)
    check_equal(stop(p), 0, "status after SIGTERM")


def case_arguments():
    """Of command lines nothing is kept in the kernel unless somebody asks for them."""
    for keys, wanted in (("name,user,unit", False), ("exe", False), ("cmdline", True)):
        cron = Cron("--group-by", keys)
        cron.run()
        secret = unique("secret")
        check_equal(run(["/bin/true", "--password=" + secret])[0], 0, "status")
        kept = "".join(json.dumps(bpftool("map", "dump", "pinned", os.path.join(cron.dir, name)))
                       for name in ("programs", "ancestors", "unlisted", "processes"))
        pattern = json.dumps(["0x%02x" % c for c in secret.encode()])[1:-1]
        check_equal(pattern in kept, wanted, "an argument is kept with group-by " + keys)
        cron.unpin()


# ---- Taking away -----------------------------------------------------------------------------------

def case_dropped_events():
    """A kernel that drops every event of one kind, from one moment on: what processes use is
    counted all the same, and so are the events."""
    # Without on_free it is as of the exit, when what was used since the last tick is not in the
    # kernel's account yet, and is estimated: up to 10 ms of the 100 of each.
    rooms = {"on_free": 0.1 + CPU_ROOM, "on_exit": CPU_ROOM, "on_fork": CPU_ROOM}
    for program, room in rooms.items():
        cron, shorts = Cron(), Shorts()
        cron.run()
        # it takes what is pinned as it is, and holds none of these links itself
        d = Driver("--pin", cron.dir, "--state-file", cron.state, source="bpf")
        d.collect()
        lost = d.points.self_point.fields["lost_events"]
        before = cron.ids()
        os.unlink(os.path.join(cron.dir, program))
        link = before - cron.ids()
        wait_for(lambda: not existing(link), "the end of the link of " + program)
        shorts.run(10, 0.1)

        def all_there():
            points = d.collect()
            check_equal(points.total([shorts.name], "exits"), shorts.count, "exits")
            check_near(points.cpu(shorts.name), shorts.used, "CPU seconds without " + program,
                       relative=room)
            return True
        wait_for(all_there, "all of them, without " + program, seconds=30, every=0.5)
        check_equal(d.points.total([shorts.name], "exits"), shorts.count, "exits, still")
        if program != "on_exit": # on_free alone knows as much
            check(d.points.self_point.fields["lost_events"] >= lost + shorts.count,
                  "events lost without %s: %r" % (program, d.points.self_point.fields))
        d.end()
        cron.unpin()


def case_unpin():
    cron = Cron()
    cron.run()
    cron.run()
    ids = cron.ids()
    check({k for k, _ in ids} == {"link", "map", "prog"}, "not all kinds are pinned", sorted(ids))
    check_equal(existing(ids), ids, "what is in the kernel of what is pinned")
    check_equal(cron.unpin(), (0, "", ""), "status and output of --unpin")
    check(not os.path.exists(cron.dir), "the directory is still there")
    wait_for(lambda: not existing(ids), "all of it is gone from the kernel")
    status, out, err = cron.unpin()
    check_equal((status, out), (1, ""), "status and output of a second --unpin")
    check_equal(len(err.splitlines()), 1, "lines of a second --unpin (%s)" % err)
    check("nothing" in err and cron.dir in err, "it does not say why", err)
    cron.run()
    check(cron.files(), "nothing is pinned again")


def case_damaged():
    """Whatever is missing or something else: all is replaced, and counting goes on."""
    cron = Cron()
    cron.run()
    shorts = Shorts()
    files = cron.files()
    some = {"list_tasks", "on_fork", "on_free", "processes", "data"} | set(
        random.Random(seed).sample(files, 3))
    print("      SEED=%d: %s" % (seed, " ".join(sorted(some))))

    def damage(name, what):
        path = os.path.join(cron.dir, name)
        ids = cron.ids()
        os.unlink(path)
        if what == "another":
            bpftool("map", "create", path, "type", "hash", "key", "4", "value", "12", "entries",
                    "3", "name", "other")
        cron.run()
        check_equal(cron.files(), files, "what is pinned after %s was %s" % (name, what))
        check(not ids & cron.ids(), "%s was %s and not all was replaced" % (name, what))
        wait_for(lambda: not existing(ids), "what was there before is gone")

    for name in sorted(some):
        damage(name, "missing")
    for name in ("ended", "bss"):
        damage(name, "another")
    shorts.run()
    cron.settled(lambda: shorts.check_exact(cron.metrics), "counting after all that")


def case_not_all_of_it_can_go():
    """Files of others in the directory stay."""
    cron = Cron()
    cron.run()
    path = os.path.join(cron.dir, "other")
    bpftool("map", "create", path, "type", "hash", "key", "4", "value", "4", "entries", "1",
            "name", "other")
    check_equal(cron.unpin()[0], 0, "status of --unpin")
    check_equal(cron.files(), ["other"], "what is left")


def case_unpin_elsewhere():
    """What only has the names of what is pinned is not touched."""
    directory = temp_dir()
    names = ["bss", "data", "list_tasks", "processes"]
    for name in names:
        write_text(os.path.join(directory, name), "somebody's")
    for path in (directory, os.path.join(directory, "none")):
        status, out, err = run([TEXTFILE, "--unpin", path])
        check_equal((status, out), (1, ""), "status and output of --unpin %s" % path)
        check("nothing" in err and path in err, "it does not say why", err)
    check_equal(sorted(os.listdir(directory)), names, "files")


def case_killed():
    """SIGKILL while all is loaded and pinned: the next run gets over what is left."""
    rng = random.Random(seed)
    print("      SEED=%d" % seed)
    cron = Cron()
    begun = time.monotonic()
    cron.run()
    whole = time.monotonic() - begun
    cron.unpin()
    counts = []
    for i in range(KILLS):
        p = start(cron.argv("--once"), stdout=subprocess.DEVNULL)
        # the pinning is at the end, and short: half of them are killed about there
        if i % 2:
            end = time.monotonic() + 10 + 5 * whole
            while not cron.files() and time.monotonic() < end and p.poll() is None:
                pass
            time.sleep(rng.uniform(0, whole / 50))
        else:
            time.sleep(rng.uniform(0, whole))
        with contextlib.suppress(ProcessLookupError):
            p.kill()
        p.wait()
        counts.append(len(cron.files()))
        cron.run()
        if i < KILLS - 1:
            check_equal(cron.unpin()[0], 0, "status of --unpin")
            check(not os.path.exists(cron.dir), "something is left", cron.files())
    shorts = Shorts()
    shorts.run()
    cron.settled(lambda: shorts.check_exact(cron.metrics), "counting after SIGKILL")
    ids = cron.ids()
    check_equal(cron.unpin()[0], 0, "status of --unpin")
    wait_for(lambda: not existing(ids), "all of it is gone from the kernel")
    print("      files that were there after SIGKILL: %s" % counts)
    check(any(counts), "none was killed where something was pinned")


# ---- Mistakes -------------------------------------------------------------------------------------------

def case_not_a_bpf_file_system():
    directory = temp_dir()
    empty = temp_dir()
    for pin in (os.path.join(directory, "pin"), directory, empty):
        argv = [TEXTFILE, "--once", "--pin", pin, "--state-file", os.path.join(directory, "state")]
        status, out, err = run(argv)
        check_equal(status, 0, "status with source auto (%s)" % err)
        check_equal(Metrics(out).get("proctally_source", source="procfs"), 1, "source procfs")
        check_equal(len(err.splitlines()), 1, "lines in %r" % err)
        check("bpf file system" in err, "it does not say why", err)
        status, out, err = run(argv + ["--source", "bpf"])
        check(status != 0 and out == "", "source bpf is no error", status, out)
        check("bpf file system" in err, "it does not say why", err)
    check_equal(os.listdir(directory), ["state"], "files")
    check(os.path.isdir(empty), "an empty directory is removed that was there before")


def case_without_state():
    status, out, err = run([TEXTFILE, "--once", "--pin", "/sys/fs/bpf/" + unique("none")])
    check_equal((status, out), (2, ""), "status and output without a state file")
    check("state-file" in err, "it does not say what is missing", err)


if __name__ == "__main__":
    if not is_root():
        skip_all("not root: no programs in the kernel")
    try:
        need_program("bpftool")
    except Skipped as e:
        skip_all(str(e))
    status, _, err = run([TEXTFILE, "--once", "--source", "bpf", "--collect", "no-network"])
    if status != 0:
        skip_all(err.strip().split("\n")[-1])
    run_cases(sys.modules[__name__])
