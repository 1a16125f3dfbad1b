#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
# aside
"""SIGKILL at random moments: what is published is whole, the state can be read, and
no counter goes back. KILLS in the environment: how many in each mode; without it 40,
or fewer on a machine that is so busy that they take longer than a minute."""
import os
import random
import shutil
import sys
import time

from common import *

KILLS = int(os.environ.get("KILLS") or 40)
SECONDS = float("inf") if os.environ.get("KILLS") else 60

# It runs all the time, so that counters rise between any two looks.
BURNER = """
say(pid=os.getpid())
while True:
    burn(0.002)
    time.sleep(0.005)
"""


def used_by(pid):
    """CPU seconds of a process as the kernel tells."""
    fields = read_text("/proc/%d/stat" % pid).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def times():
    """KILLS numbers from 0 on, if there is time for all of them."""
    end = time.monotonic() + SECONDS
    for i in range(KILLS):
        if i < 5 or time.monotonic() < end:
            yield i


class Scene:
    """An output and a state in a directory of their own, and what was seen of them."""

    def __init__(self, source="procfs"):
        self.directory = temp_dir()
        self.output = os.path.join(self.directory, "out.prom")
        self.state = os.path.join(self.directory, "state")
        self.copy = os.path.join(temp_dir(), "state")
        self.burner = Workload(BURNER)
        self.burner.hear()
        self.before, self.last_family, self.left_behind, self.errors = {}, None, 0, temp_dir()
        # the same groups in all runs, however long they have been empty
        self.flags = ["--group-by", "name,user", "--expire-after", "30d", "--source", source]

    def command(self, *more):
        return [TEXTFILE, *self.flags, "--state-file", self.state, "--output", self.output, *more]

    def begin(self):
        """The first run, which is left in peace."""
        used = used_by(self.burner.pid)
        status, out, err = run(self.command("--once"))
        check_equal((status, out), (0, ""), "the first run (%s)" % err)
        self.first = (self.look(), used, used_by(self.burner.pid))

    def cpu(self, metrics):
        return metrics.sum("proctally_cpu_seconds_total", groupname=self.group(metrics))

    def group(self, metrics):
        found = [g for g in metrics.labels_of() if g.startswith(self.burner.name)]
        check_equal(len(found), 1, "groups of the burner")
        return found[0]

    def check_whole(self, text, what):
        """All of the families, and all of the groups; the last line is there, too."""
        m = Metrics(text)
        self.last_family = self.last_family or list(m.type)[-1]
        check_equal(list(m.type)[-1], self.last_family, "the last family in " + what)
        groups = {dict(labels)["groupname"] for name, labels in m.series
                  if name == "proctally_processes"}
        check_equal(len(groups), m.get("proctally_groups"), "groups in " + what)
        check(not m.comments, "counting began anew: " + what, m.comments)
        check_never_falls(self.before, m.counters(), what)
        self.before = {**self.before, **m.counters()}
        return m

    def look(self):
        """Everything that a kill could have damaged."""
        names = set(os.listdir(self.directory))
        # one temporary file for each, always of the same name, which the next run takes
        check(names <= {"out.prom", "state", ".out.prom.tmp", ".state.tmp"}, "files", sorted(names))
        self.left_behind += len(names) > 2
        published = self.check_whole(read_text(self.output), "what was published")
        # the state, read by another run that leaves the scene as it is
        shutil.copy(self.state, self.copy)
        status, out, err = run([TEXTFILE, *self.flags, "--once", "--state-file", self.copy])
        check_equal(status, 0, "status with the state that was left (%s)" % err)
        self.check_silence(err)
        # it knows all that was published: counting goes on from there
        after = Metrics(out)
        check_never_falls(published.counters(), after.counters(), "a run with the state")
        missing = set(published.counters()) - set(after.counters())
        check(not missing, "the state has lost counters", sorted(map(repr, missing)))
        check(not os.path.exists(self.copy + ".rejected"), "the state was rejected")
        return published

    def check_silence(self, said):
        for line in said.splitlines():
            check("can't be read fully" in line, "it complains", line)

    def start(self, *more):
        path = os.path.join(self.errors, "stderr")
        with open(path, "wb") as errors:
            return start(self.command(*more), stderr=errors)

    def kill(self, process):
        """True if it had not ended by itself."""
        ended = process.poll() is not None
        process.kill()
        process.wait()
        self.check_silence(read_text(os.path.join(self.errors, "stderr")))
        return not ended

    def end(self):
        """Neither lost nor counted twice: what the burner used from the first run on."""
        metrics, least, most = self.first
        used = used_by(self.burner.pid)
        status, out, err = run(self.command("--once"))
        check_equal(status, 0, "the last run (%s)" % err)
        found = self.cpu(self.look()) - self.cpu(metrics)
        # user and system time are cut to ticks, each by itself
        check(used - most - 4 * TICK <= found <= used_by(self.burner.pid) - least + 4 * TICK,
              "CPU seconds of the burner", found, used - most)
        check_equal(set(os.listdir(self.directory)), {"out.prom", "state"}, "files in the end")


def case_cron():
    scene = Scene()
    scene.begin()
    took = []
    for _ in range(5):
        process = scene.start("--once")
        begun = time.monotonic()
        check_equal(process.wait(), 0, "status") # with a limit it would be polled for
        took.append(time.monotonic() - begun)
        scene.look()
    runs = hits = 0
    for _ in times():
        hit = False
        while not hit and runs < 3 * hits + 20:
            # the later half is where files are written
            process = scene.start("--once")
            time.sleep(random.triangular(0, 1.1, 0.9) * sorted(took)[2])
            hit = scene.kill(process)
            runs += 1
            scene.look()
        hits += hit
    scene.end()
    print("      %d runs, %d of them killed before they ended; %d times a temporary file was left"
          % (runs, hits, scene.left_behind))


def kill_services(source):
    scene = Scene(source)
    scene.begin()
    kills = 0
    for _ in times():
        seen = os.stat(scene.output).st_ino, os.stat(scene.output).st_mtime_ns
        process = scene.start("--interval", "10ms")
        if random.random() < 0.8: # else it may not have come so far
            wait_for(lambda: (os.stat(scene.output).st_ino,
                              os.stat(scene.output).st_mtime_ns) != seen,
                     "a new file", every=0.001)
        time.sleep(random.uniform(0, 0.05))
        check(scene.kill(process), "the service ended by itself",
              read_text(os.path.join(scene.errors, "stderr")))
        kills += 1
        scene.look()
    scene.end()
    print("      killed %d times; %d times a temporary file was left" % (kills, scene.left_behind))


def case_service():
    kill_services("procfs")


def case_service_bpf():
    status, out, err = run([TEXTFILE, "--once", "--source", "bpf"])
    if status != 0:
        raise Skipped(err.strip())
    kill_services("bpf")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
