#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""A local user who wants to do harm: a crowd with names made of what breaks formats,
pids that are used again at once, a process that renames itself all the time, and others
that do so to be matched again, which takes long.
PROCESSES in the environment: how many are in the crowd, 1500 if not given."""
import contextlib
import os
import re
import subprocess
import sys
import time

from common import *

PROCESSES = int(os.environ.get("PROCESSES") or 1500)
ROOM = 60 # for groups, besides those that there are without the hostile ones
NOBODY = 65534
# Neither control characters nor what changes the direction or the lines of text
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
# What does not change of a process that sleeps
STEADY = ("num_procs", "num_threads", "num_fds", "sleeping", "memory_vms", "memory_data",
          "memory_stack", "memory_code", "created_at", "starts", "exits", "priority", "nice",
          "cpu_time_user", "cpu_time_system", "read_bytes", "write_bytes", "minor_faults",
          "voluntary_context_switches")

BURNER = """
say(cpu=cpu())
while wait():
    burn(0.2)
    say(cpu=cpu())
"""


def helper():
    """The program that does it, under a name of its own."""
    cc = need_program(os.environ.get("CC", "cc"), "gcc", "clang")
    path = os.path.join(temp_dir(), unique("h"))
    status, out, err = run([cc, "-O1", "-o", path, os.path.join(
        SRC, "tests/integration/hostile.c")])
    check_equal(status, 0, "status of the compiler (%s)" % err)
    return path


class Hostile(Workload):
    """It and all that it starts are one pid namespace, which ends with its init; where
    there is no right to have one, the kernel ends its children with it."""

    def __init__(self, mode, prefix, *more, separate=True):
        path = helper()
        self.name = os.path.basename(path)
        alone = ["unshare", "--pid", "--fork", "--kill-child"] if is_root() and separate else []
        self.process = start([*alone, path, mode, str(NOBODY), prefix, *map(str, more)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        later(self.close) # unshare is deaf to SIGTERM

    def close(self):
        """Ends it, and all that it has started."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(300)

    def hear(self, seconds=300):
        try:
            return super().hear(seconds)
        except Failed:
            if self.process.poll() == 77:
                raise Skipped("no right to choose the number of a process")
            raise


def crowd(prefix):
    h = Hostile("crowd", prefix, PROCESSES, "x" * 4096)
    made = h.hear()["processes"]
    check(made >= PROCESSES * 0.9, "only %d processes could be started" % made)
    return h, made


class Victims:
    """Somebody else's processes: one of a rule, one of group-by, one that works."""

    def __init__(self):
        self.rule, self.plain = Workload(SLEEPER, unique("v")), Workload(SLEEPER, unique("v"))
        self.burner = Workload(BURNER)
        self.rule.hear()
        self.plain.hear()
        self.used = self.burner.hear()["cpu"]
        rules = '[{name: shop, comm: [%s], user: ["%d"]}]' % (self.rule.name, os.geteuid())
        status, out, err = run([TEXTFILE, "--group-by", "user,name", "--max-groups", "100000"])
        check_equal(status, 0, "status (%s)" % err)
        self.max_groups = len(Metrics(out).labels_of()) + ROOM
        self.flags = ["--max-groups", str(self.max_groups), "--process_names", rules]
        self.before = None

    def groups(self, points):
        """The three points; the groups have the user's name in front."""
        found = {g: p for g, p in points.items() if p.tags.get("name") in (
            self.plain.name, self.burner.name) and not g.startswith("nobody:")}
        found["shop"] = points["shop"]
        check_equal(len(found), 3, "groups of the victims: %r" % sorted(found))
        return found

    def check(self, points):
        """The same series with the same values as before."""
        now = self.groups(points)
        steady = {g: (p.key(), {f: p.fields.get(f) for f in STEADY}) for g, p in now.items()
                  if p.tags.get("name") != self.burner.name}
        if self.before:
            check_equal(steady, self.before, "what others' groups show")
        self.before = steady

    def check_working(self, driver):
        """What one of them uses is counted, all of it and in its own group."""
        def cpu():
            return sum(p.cpu() for p in self.groups(driver.collect()).values()
                       if p.tags.get("name") == self.burner.name)
        before = cpu()
        self.burner.go_on()
        used = self.burner.hear()["cpu"]
        check_near(cpu() - before, used - self.used, "CPU seconds of the victim",
                   absolute=4 * TICK)
        self.used = used


def check_names(names):
    for name in names:
        check(name and not UNFIT.search(name), "in a name: %r" % name)
        # 512, and in line protocol a backslash more before each that a quote follows
        check(len(name.encode()) <= 768, "a long name: %r" % name)


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s*([0-9]+) kB", read_text("/proc/%d/status" % pid)).group(1))


def case_crowd():
    """Line protocol and Prometheus text, before, while and after they are there."""
    victims = Victims()
    state = os.path.join(temp_dir(), "state")
    most = victims.max_groups + 2 # and `other` and `kernel`
    driver = Driver(*victims.flags, "--group-by", "user,name")
    idle_kib = resident_kib(driver.process.pid)
    victims.check(driver.points)
    victims.check_working(driver)
    others = driver.points.self_point.fields["processes_seen"]
    h, made = crowd(victims.plain.name)
    for _ in range(3):
        points = driver.collect()
        victims.check(points)
        check_names([v for p in points.values() for v in p.tags.values()])
        check(len(points) <= most, "%d groups" % len(points))
    victims.check_working(driver)
    check(points.self_point.fields["processes_seen"] >= made, "processes seen")
    check_equal(points.self_point.fields["groups"], len(points), "number of groups")
    check(points.self_point.fields["groups_overflowed"] > 0, "all of the groups fitted")
    check("other" in points, "there is no group other")
    # one of them calls itself like a victim: that is another group, or none
    impostors = [p for p in points.values() if p.tags.get("name") == victims.plain.name]
    check(len(impostors) <= 2, "groups of that name", [p.tags for p in impostors])
    check(len(points.text) < 4096 * (most + 1), "%d bytes of output" % len(points.text))
    # a command line of 4 KiB is a name, too
    for keys in ("user,name", "cmdline", "name,cmdline,exe"):
        flags = [*victims.flags, "--group-by", keys]
        for schema in ("native", "process-exporter", "process"):
            if keys != "user,name" and schema != "native":
                continue
            status, out, err = run([TEXTFILE, *flags, "--schema", schema, "--state-file",
                                    state + keys], seconds=120)
            check_equal(status, 0, "status with %s, %s (%s)" % (keys, schema, err[-500:]))
            check(not UNFIT.search(err.replace("\n", "")), "unfit for a terminal", err)
            m = Metrics(out)
            check_names(m.labels_of())
            check("shop" in m.labels_of(), "the victim's group with " + keys)
            check(len(m.labels_of()) <= most, "%d groups" % len(m.labels_of()))
        status, out, err = run([TELEGRAF, "--once", *flags], seconds=120)
        check_equal(status, 0, "status of proctally-telegraf with " + keys)
        check_names([v for p in Points(out).values() for v in p.tags.values()])
    own = [driver.collect().self_point.fields["collection_cpu_seconds"] for _ in range(5)]
    kib = resident_kib(driver.process.pid)
    print("      %d processes (%d others): %.1f ms of CPU for each collection, %d KiB resident, %d "
          "before; %d groups, %d did not fit" % (
              made, others, min(own) * 1000, kib, idle_kib, len(points),
              points.self_point.fields["groups_overflowed"]))
    # a record for each, room for the table to double, and the set of refused names
    check(kib <= idle_kib + 4096 + 2 * made, "resident memory: %d KiB" % kib)
    h.close()
    wait_for(lambda: driver.collect().self_point.fields["processes_seen"] < made / 2 + others,
             "the end of the crowd")
    victims.check(driver.points)
    victims.check_working(driver)
    check(len(driver.points) <= most, "groups afterwards")
    driver.end()


def case_collectd():
    """What collectd is given: names of files, and lines of the plugin unixsock."""
    try:
        from test_collectd import Collectd
    except SystemExit:
        raise Skipped("no collectd, or no plugin for it")
    victims = Victims()
    h, made = crowd(victims.plain.name)
    # the oldest are read first, and have their groups
    c = Collectd("<Plugin proctally>\n GroupBy \"user\" \"name\"\n MaxGroups %d\n <Group \"shop\">"
                 "\n Comm \"%s\"\n </Group>\n</Plugin>" % (ROOM, victims.rule.name))
    c.wait_rows("here/proctally-shop/ps_count", 3)
    identifiers = c.identifiers()
    check_equal(len(identifiers), len(set(identifiers)), "identifiers")
    groups = set()
    for identifier in identifiers:
        m = re.match(r"here/proctally(?:-([^/]*))?/([a-z_]+)(?:-([^/]+))?\Z", identifier)
        if not m:
            check("proctally" not in identifier, "an identifier", identifier)
            continue
        groups.add(m.group(1))
        check(len((m.group(1) or "").encode()) < 128, "a long name", identifier)
    groups.discard(None)
    check_names(groups)
    check(len(groups) <= ROOM + 2, "%d groups" % len(groups))
    check("other" in groups, "there is no group other", sorted(groups))
    rows = c.rows("here/proctally-shop/ps_count")
    check(all(r["processes"] == 1 and r["threads"] == 1 for r in rows), "the victim", rows)
    check(c.last("here/proctally/gauge-processes_seen")["value"] >= made, "processes seen")
    c.check_log("max-groups")
    check(not UNFIT.search(c.said().replace("\n", "")), "unfit for a terminal", c.said())
    c.stop()


def case_reused_pid():
    """Another process with the same number, often within the same clock tick: no counter
    falls, and the sum is what was used."""
    if not is_root():
        raise Skipped("not root: the number of a process can't be chosen")
    prefix = unique("r")
    driver = Driver()
    # in this namespace: the numbers of another are not those that proctally sees
    h = Hostile("reuse", prefix, separate=False)
    h.hear()
    collections = 0
    end = time.monotonic() + 5
    while time.monotonic() < end or collections < 20:
        driver.collect()
        collections += 1
        time.sleep(0.003 * (collections % 10))
    h.go_on()
    reused, used = h.hear()["reused"], h.hear()["used"]
    points = driver.collect()
    groups = [g for g in points if g.startswith((prefix[:12], h.name))]
    check(reused > 5, "only %d reused numbers" % reused)
    found = points.cpu(*groups)
    print("      %d times the same number, %d collections, %.3f CPU seconds found, %.3f used" % (
        reused, collections, found, used))
    # One that began in the same tick as the one before can't be told from it: what was
    # seen of the first is a tick at most, and may be found again in the parent.
    check_near(found, used, "CPU seconds", absolute=(collections + 4) * TICK, relative=0.02)
    driver.end()


def case_renames():
    """1,000 names a second: a group for each that is seen, then no more of them."""
    victims = Victims()
    prefix = unique("n")
    driver = Driver(*victims.flags, "--group-by", "user,name")
    victims.check(driver.points)
    h = Hostile("rename", prefix)
    h.hear()
    for _ in range(ROOM * 2):
        points = driver.collect()
        victims.check(points)
        members = sum(p.fields["num_procs"] for p in points.values())
        check_equal(members, points.self_point.fields["processes_seen"], "processes in groups")
    h.go_on()
    renames = h.hear()["renames"]
    check(renames > ROOM, "only %d renames" % renames)
    names = [p.tags["name"] for p in points.values()
             if p.tags.get("name", "").startswith(prefix[:7])]
    check(len(names) > 5, "few of its names were seen", names)
    check(len(points) <= victims.max_groups + 2, "%d groups" % len(points))
    check_names([v for p in points.values() for v in p.tags.values()])
    victims.check_working(driver)
    driver.end()


def case_endless_matches():
    """A crowd whose every name has a long command line matched anew, without end: there is a
    limit for all of them together, and others do not notice."""
    victims = Victims()
    rules = ('[{name: shop, comm: [%s], user: ["%d"]}, {name: never, cmdline: ["(a+)+a{40}$"]}]' % (
        victims.rule.name, os.geteuid()))
    driver = Driver(*victims.flags, "--process_names", rules, "--group-by", "user,name")
    victims.check(driver.points)
    # where there is no right to become somebody else, they are their victims' user
    h = Hostile("restless", unique("m"), 100, "a" * 60000 + "b")
    made = h.hear()["processes"]
    own, given_up = [], [driver.points.self_point.fields["pattern_limits"]]
    for _ in range(5):
        time.sleep(0.2)
        points = driver.collect()
        victims.check(points)
        members = sum(p.fields["num_procs"] for p in points.values())
        check_equal(members, points.self_point.fields["processes_seen"], "processes in groups")
        check_equal(points["never"].fields["num_procs"], 0, "processes that match")
        own.append(points.self_point.fields["collection_cpu_seconds"])
        given_up.append(points.self_point.fields["pattern_limits"])
    print("      %d restless processes: %s ms of CPU for the collections" % (
        made, ", ".join("%.0f" % (s * 1000) for s in own)))
    check(all(a + made / 2 < b for a, b in zip(given_up, given_up[1:])), "given up", given_up)
    # 20 ms each would be 2 s; the first time 1 ms of each is free, then 50 ms are for all
    check(min(own) < 1, "CPU seconds: %r" % own)
    victims.check_working(driver)
    driver.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
