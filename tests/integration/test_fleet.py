#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 1200
"""examples/fleet in its short form: four hosts, one with each agent, and the bad cases. One
run is what all cases look at; without telegraf and an old version here they are built first."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import test_telegraf_real
from common import *

# The last revision that wrote the state file of version 0.1.0.
OLD = "f74e528fda7316b16c3c5b0f1e483e2541c0ff8d"


def find_old():
    """The directory of a build of that revision; None without the repository."""
    if not shutil.which("git") or run(["git", "-C", SRC, "cat-file", "-e", OLD + "^{commit}"])[0]:
        return None
    cache = os.environ.get("PROCTALLY_TEST_CACHE") or os.path.join(
        os.path.expanduser("~"), ".cache", "proctally-tests")
    directory = os.path.join(cache, "proctally-" + OLD[:12])
    build = os.path.join(directory, "build")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(build, "plugins/collectd/proctally.la")):
            return build
        for name in ("build", "new"):
            shutil.rmtree(os.path.join(directory, name), True)
        os.mkdir(os.path.join(directory, "new"))
        p = subprocess.run(
            ["sh", "-euc", """
                git -C "$1" archive "$2" | tar -x
                ./autogen.sh
                ./configure
                make -j2 plugins/textfile/proctally-textfile plugins/telegraf/proctally-telegraf \\
                    plugins/collectd/proctally.la
            """, "sh", SRC, OLD], cwd=os.path.join(directory, "new"), timeout=600,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check_equal(p.returncode, 0, "status of the build of an older version (%s)" %
                    p.stdout.decode(errors="replace")[-2000:])
        os.rename(os.path.join(directory, "new"), build)
        return build


class Story:
    """The acts that are wanted, played once: {name: (word, remark)}"""
    outcome, why = None, None

    def __init__(self):
        self.directory = temp_dir()  # where the fleet has what it has

    def start(self, *arguments):
        environment = {**os.environ, "BUILD": BUILD, "TMPDIR": self.directory,
                       "TELEGRAF": test_telegraf_real.find_telegraf()}
        old = find_old() if "upgrade" in arguments else None
        if old:
            environment["OLD"] = old
        process = start(["sh", os.path.join(SRC, "examples/fleet/run.sh"), "--short", *arguments],
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        first = process.stdout.readline().decode()
        if "hosts are up" not in first:
            status = process.wait()
            check_equal(status, 77, "status of what could not begin (%s)" % first)
            raise Skipped(first.strip())
        return process

    def play(self, acts):
        if not is_root():
            raise Skipped("not root: no hosts can be made")
        need_own_root()
        process = self.start("4", *(word for act in acts for word in ("--act", act)))
        text = process.stdout.read().decode("utf-8", "replace")
        status = process.wait()
        print(text, end="")
        found = {m.group(2): (m.group(1), m.group(3)) for m in
                 re.finditer(r"^(ok|FAIL|SKIP) +(\w+):? ?(.*)$", text, re.M)}
        check_equal(set(found), set(acts), "acts that were played (status %d)" % status)
        check_equal(status, int(any(word == "FAIL" for word, _ in found.values())), "status")
        self.outcome = found

    def look(self, act):
        if self.why:
            raise self.why
        if not self.outcome:
            try:
                self.play([a for a in ACTS if a in (sys.argv[1:] or ACTS)])
            except (Failed, Skipped) as e:
                self.why = e
                raise
        word, remark = self.outcome[act]
        if word == "SKIP":
            raise Skipped(remark)
        check(word == "ok", remark)

    def processes(self):
        """Those of the fleet, by the directory in their command lines."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = read_text("/proc/%s/cmdline" % pid)
                if self.directory in words:
                    found.append(words.replace("\0", " "))
        return found


def case_killed():
    """Whatever kills it, nothing stays: no process, no mount."""
    if not is_root():
        raise Skipped("not root: no hosts can be made")
    story = Story()
    process = story.start("1", "--act", "questions")
    check(len(story.processes()) > 2, "processes of the fleet", story.processes())
    process.kill()
    wait_for(lambda: not story.processes(), "the end of all that it started", 20)
    check(story.directory not in read_text("/proc/mounts"), "a mount is left")


def case_keep():
    """It stays, can be looked at from here, and ends as a whole when it is told to."""
    if not is_root():
        raise Skipped("not root: no hosts can be made")
    story = Story()
    process = story.start("1", "--keep", "--act", "questions")
    addresses = {}
    for line in process.stdout:
        m = re.match(r"  (http://\S+)  (.+)\n", line.decode())
        if m:
            addresses[m.group(2)] = m.group(1)
        elif b"nsenter" in line:
            break
    check_equal(set(addresses), {"prometheus", "victoria", "influx", "host-1, exporter"},
                "addresses")
    check("proctally_processes" in http(addresses["host-1, exporter"] + "metrics")[1],
          "the page of the exporter")
    for name in ("prometheus", "victoria"):
        answer = json.loads(http(addresses[name] + "api/v1/query?query=proctally_groups")[1])
        check_equal([r["metric"]["host"] for r in answer["data"]["result"]], ["host-1"],
                    "hosts in " + name)
    check_equal(http(addresses["influx"] + "ping")[0], 204, "InfluxDB's answer")
    process.send_signal(signal.SIGINT)
    check_equal(process.wait(20), 0, "status")
    wait_for(lambda: not story.processes(), "the end of all that it started", 20)
    check_equal(os.listdir(story.directory), [], "files that are left")


if __name__ == "__main__":
    with open(os.path.join(SRC, "examples/fleet/fleet.py")) as f:
        ACTS = re.findall(r"^def act_(\w+)", f.read(), re.M)
    _story = Story()
    for _act in ACTS:
        globals()["case_" + _act] = lambda act=_act: _story.look(act)

    def case_leaves_nothing():
        if _story.outcome is None:
            raise Skipped("nothing was played")
        check_equal(_story.processes(), [], "processes that are left")
        check_equal(os.listdir(_story.directory), [], "files that are left")

    run_cases(sys.modules[__name__])
