#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 900
# aside
"""The plugin under Telegraf itself: inputs.execd with each signal, restart and end.
Takes telegraf from PATH, or builds a trimmed one from its Go module and keeps it."""
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from common import *

MODULE, VERSION = "github.com/influxdata/telegraf", "v1.37.2"
TAGS = "custom,inputs.execd,outputs.file,outputs.influxdb,parsers.influx,serializers.influx"


def build(go, directory):
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    p = subprocess.run([go, "mod", "download", "-json", "%s@%s" % (MODULE, VERSION)],
                       cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=300, env=environment)
    try:
        answer = json.loads(p.stdout or b"{}")
    except ValueError:
        answer = {}
    if p.returncode or "Dir" not in answer:
        skip_all("telegraf is not installed, and its Go module can't be fetched: %s" % (
            answer.get("Error") or p.stderr.decode("utf-8", "replace")).strip().split("\n")[-1])
    source = os.path.join(directory, "source")
    if os.path.exists(source):
        subprocess.run(["chmod", "-R", "u+w", source])
        shutil.rmtree(source)
    shutil.copytree(answer["Dir"], source)
    subprocess.run(["chmod", "-R", "u+w", source], check=True)
    environment["GOFLAGS"] = ""
    p = subprocess.run([go, "build", "-tags", TAGS, "-o", os.path.join(directory, "new"),
                        "./cmd/telegraf"], cwd=source, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=780,
                       env=environment)
    if p.returncode:
        skip_all("telegraf is not installed, and can't be built with %s: %s" % (
            subprocess.run([go, "version"], stdout=subprocess.PIPE).stdout.decode().strip(),
            p.stdout.decode("utf-8", "replace").strip().split("\n")[-1][:300]))
    os.rename(os.path.join(directory, "new"), os.path.join(directory, "telegraf"))
    shutil.rmtree(source, True)


def find_telegraf():
    found = shutil.which("telegraf")
    if found:
        return found
    cache = os.environ.get("PROCTALLY_TEST_CACHE") or os.path.join(
        os.path.expanduser("~"), ".cache", "proctally-tests")
    directory = os.path.join(cache, "telegraf-%s-influxdb" % VERSION[1:])
    binary = os.path.join(directory, "telegraf")
    if os.path.exists(binary):
        return binary
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if not go:
        skip_all("telegraf is not installed, and there is no Go to build it with")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(binary):
            build(go, directory)
    return binary


class Telegraf:
    def __init__(self, signal, *flags, restart="1s", interval="500ms"):
        self.directory = temp_dir()
        self.out = os.path.join(self.directory, "metrics")
        self.log = os.path.join(self.directory, "log")
        self.console = tempfile.TemporaryFile()
        command = ", ".join(json.dumps(a) for a in (TELEGRAF, *flags))
        config = write_text(os.path.join(self.directory, "telegraf.conf"), f"""
[agent]
  interval = "{interval}"
  flush_interval = "{interval}"
  logfile = "{self.log}"
  omit_hostname = true
[[inputs.execd]]
  command = [{command}]
  signal = "{signal}"
  restart_delay = "{restart}"
  data_format = "influx"
[[outputs.file]]
  files = ["{self.out}"]
  data_format = "influx"
""")
        self.process = start([PROGRAM, "--config", config], stdout=self.console,
                             stderr=self.console)

    def said(self):
        return read_text(self.log) if os.path.exists(self.log) else ""

    def points(self):
        """Those that are whole; its times may be rounded, and fields are in another order."""
        if not os.path.exists(self.out):
            return []
        lines = read_text(self.out).split("\n")[:-1]
        return [Point(l) for l in lines]

    def times(self):
        return sorted({p.time_ns for p in self.points() if p.measurement == "proctally_self"})

    def wait_cycles(self, count, seconds=60):
        return wait_for(lambda: len(self.times()) >= count and self.times(),
                        "%d cycles; log: %s" % (count, self.said()[-1500:]), seconds)

    def plugins(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            found = f.read().split()
        for task in os.listdir("/proc/%d/task" % self.process.pid):
            with contextlib.suppress(OSError):
                with open("/proc/%d/task/%s/children" % (self.process.pid, task)) as f:
                    found += f.read().split()
        return sorted({int(p) for p in found})

    def check_log(self):
        # Telegraf closes the plugin's output when it ends, and may be reading it
        errors = [l for l in self.said().split("\n") if " E! " in l and
                  not ("file already closed" in l and self.process.poll() is not None)]
        check(not errors, "errors in Telegraf's log", *errors[:5])

    def end(self, seconds=30):
        """Stops Telegraf; the plugin must have ended by itself, in time."""
        plugins = self.plugins()
        check_equal(len(plugins), 1, "plugins that run")
        begun = time.monotonic()
        status = stop(self.process, seconds)
        check_equal(status, 0, "Telegraf's status")
        # 5 seconds later it would get SIGTERM
        check(time.monotonic() - begun < 5, "the plugin did not leave when its input ended")
        check(not os.path.exists("/proc/%d" % plugins[0]), "the plugin is still there")
        self.check_log()


def signal_case(signal, *flags):
    start_hostile()
    t = Telegraf(signal, *flags)
    t.wait_cycles(4)
    groups = {p.tags.get("groupname") for p in t.points()}
    check('a"b' in groups and "a,b=c d" in groups, "hostile names", sorted(map(str, groups)))
    check_equal({p.measurement for p in t.points()}, {"proctally", "proctally_self"},
                "measurements")
    t.check_log()
    t.end()


def case_none():
    signal_case("none", "--interval", "500ms")


def case_stdin():
    signal_case("STDIN")


def case_sighup():
    signal_case("SIGHUP")


def case_sigusr1():
    signal_case("SIGUSR1")


def case_sigusr2():
    signal_case("SIGUSR2")


def case_restart():
    """The plugin is killed: Telegraf starts it again, and with its state it counts on."""
    state = os.path.join(temp_dir(), "state")
    w = Workload("say(ready=True)\nwhile wait():\n    burn(0.3)\n    say(ready=True)\n")
    w.hear()
    t = Telegraf("STDIN", "--state-file", state)
    n = len(t.wait_cycles(3))
    w.go_on()
    w.hear()

    def cpu():
        mine = [p for p in t.points() if p.tags.get("groupname") == w.name]
        return max(p.cpu() for p in mine) if mine else 0
    wait_for(lambda: cpu() > 0.25, "the CPU time")
    plugin = t.plugins()[0]
    os.kill(plugin, 9)
    w.go_on()
    w.hear()
    wait_for(lambda: t.plugins() and t.plugins() != [plugin], "another plugin", 30)
    n = len(t.times())
    t.wait_cycles(n + 3)
    check_near(cpu(), 0.6, "CPU seconds over the restart", absolute=0.1)
    last = {}
    for p in sorted(t.points(), key=lambda p: p.time_ns):
        if p.tags.get("groupname") == w.name:
            now = {f: v for f, v in p.fields.items() if f in INFLUX_COUNTERS}
            check_never_falls(last, now, "over a restart")
            last = now
    t.process.terminate()
    check_equal(t.process.wait(30), 0, "Telegraf's status")


def case_default_measurement_and_types():
    t = Telegraf("STDIN")
    t.wait_cycles(3)
    types = {}
    for p in t.points():
        for field, kind in p.types.items():
            check_equal(types.setdefault((p.measurement, field), kind), kind, "type of " + field)
    t.end()


if __name__ == "__main__":
    PROGRAM = find_telegraf()
    print("with", subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT).stdout.decode().strip())
    run_cases(sys.modules[__name__])
