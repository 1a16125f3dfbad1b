#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""proctally-telegraf as inputs.execd runs it: every signal mode, its end in every
way, and a configuration file that changes. test_telegraf_real.py does it with
Telegraf itself."""
import contextlib
import os
import re
import select
import signal
import sys
import time

from common import *


class Plugin(Driver):
    """As Telegraf starts it; nothing is asked for by itself."""

    def __init__(self, *flags):
        super().__init__(*flags, first=False)

    def cycles_within(self, seconds):
        """How many cycles come in that time."""
        count, end = 0, time.monotonic() + seconds
        while True:
            try:
                self.read_cycle(max(0.01, end - time.monotonic()))
                count += 1
            except Failed:
                if self.process.poll() is not None:
                    raise
                return count

    def newlines(self, count=1):
        self.process.stdin.write(b"\n" * count)
        self.process.stdin.flush()

    def check_quiet(self):
        """On stderr there is nothing but what Telegraf takes for no error."""
        for line in self.errors().split("\n"):
            check(line == "" or line.startswith(("W! ", "I! ", "D! ")), "on stderr", line)
            check(len(line) < 600, "a long line on stderr", line)


def ready(p):
    """It takes signals: before, they would end it, and Telegraf would start it again."""
    wait_for(lambda: handles(p.process.pid), "it takes signals", every=0.01)


def handles(pid):
    with open("/proc/%d/status" % pid) as f:
        mask = re.search(r"^SigBlk:\s*([0-9a-f]+)", f.read(), re.M).group(1)
    return int(mask, 16) >> (signal.SIGUSR2 - 1) & 1


def case_none():
    """Without a signal it prints by itself, every interval."""
    for flags in (["--interval", "200ms"], ["-poll_interval", "200ms"],
                  ["-poll-interval=200ms"], ["-interval", "200ms"]):
        p = Driver(*flags, first=False)
        begun = time.monotonic()
        for _ in range(4):
            p.read_cycle(30)
        took = time.monotonic() - begun
        check(took > 0.4, "four cycles within %.2f s" % took)
        p.end()


def case_stdin():
    p = Plugin()
    for _ in range(3):
        p.newlines()
        p.read_cycle(30)
    check_equal(p.cycles_within(1), 0, "cycles that nobody asked for")
    p.check_quiet()
    p.end()


def signal_case(number):
    p = Plugin()
    ready(p)
    for _ in range(3):
        p.process.send_signal(number)
        p.read_cycle(30)
    check_equal(p.cycles_within(1), 0, "cycles that nobody asked for")
    p.check_quiet()
    p.end()


def case_sighup():
    signal_case(signal.SIGHUP)


def case_sigusr1():
    signal_case(signal.SIGUSR1)


def case_sigusr2():
    signal_case(signal.SIGUSR2)


def case_signals_at_the_start():
    """A signal that comes before the first collection is done is not lost."""
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        p = Plugin()
        ready(p)
        p.process.send_signal(number)
        p.read_cycle(30)
        p.end()


def case_interval_stops_when_driven():
    """As soon as somebody asks, it does not print by itself any more."""
    p = Driver("--interval", "500ms", first=False)
    p.process.stdin.write(b"\n")
    p.process.stdin.flush()
    p.read_cycle(30)
    time.sleep(1.5)
    check(not select.select([p.process.stdout], [], [], 0)[0], "it prints by itself")
    p.end()


def case_pending_requests():
    """Many requests at once are few cycles; none is lost for good."""
    p = Plugin()
    p.newlines()
    p.read_cycle()
    p.process.send_signal(signal.SIGSTOP)
    p.newlines(1000)
    time.sleep(0.2)
    p.process.send_signal(signal.SIGCONT)
    count = p.cycles_within(2)
    check(1 <= count <= 3, "%d cycles for 1000 newlines at once" % count)
    p.newlines()
    check_equal(p.cycles_within(2), 1, "cycles for one newline after them")
    # the end comes together with a request: it is answered
    p.newlines()
    p.end()
    check(p.read_cycle(5), "no answer to the last request")


def case_text_without_newline():
    """Only a newline asks; and the end of input ends it at any place."""
    p = Plugin()
    p.process.stdin.write(b"abc")
    p.process.stdin.flush()
    check_equal(p.cycles_within(1), 0, "cycles")
    p.process.stdin.write(b"def\r\n")
    p.process.stdin.flush()
    check_equal(p.cycles_within(2), 1, "cycles")
    p.process.stdin.write(b"ghi")
    p.end()


def case_input_ends_at_once():
    for flags in ([], ["--interval", "100ms"]):
        status, out, err = run([TELEGRAF, *flags])
        check_equal((status, out), (0, ""), "with /dev/null as input (%s)" % err)
        status, out, err = run(["sh", "-c", '"$@" <&-', "-", TELEGRAF, *flags])
        check_equal(status, 0, "with a closed input (%s)" % err)


def case_once():
    status, out, err = run([TELEGRAF, "--once"])
    check_equal(status, 0, "status (%s)" % err)
    points = Points(out)
    check(len(points) > 3, "few groups")


def case_reader_gone():
    """Telegraf is gone: no process is left, whoever drives it."""
    for flags, drive in (([], True), (["--interval", "200ms"], False), ([], False)):
        p = Driver(*flags, first=drive)
        p.process.stdout.close()
        if drive:
            with contextlib.suppress(BrokenPipeError):  # it may have left already
                p.process.stdin.write(b"\n")
                p.process.stdin.flush()
        status = wait_for(lambda: p.process.poll() is not None and [p.process.returncode],
                          "its end", 20)
        check_equal(status, [0], "status (%s)" % p.errors())
        check("E! " not in p.errors(), "an error", p.errors())


def fill(p):
    """Asks until the pipe is full; now it waits in the middle of its output."""
    for _ in range(200):
        p.process.stdin.write(b"\n")
        p.process.stdin.flush()
        time.sleep(0.02)
    time.sleep(0.3)


def case_terminated_while_blocked():
    """Nobody reads, the pipe is full: SIGTERM ends it all the same."""
    p = Driver("--group-by", "name,pid")
    fill(p)
    p.process.send_signal(signal.SIGTERM)
    check_equal(p.process.wait(20), 0, "status (%s)" % p.errors())


def case_slow_reader():
    """A reader that was away gets all of every line."""
    p = Driver("--group-by", "name,pid")
    fill(p)
    before = p.read_cycle()
    while select.select([p.process.stdout], [], [], 2)[0]:
        points = p.read_cycle()
        check_never_falls(before.counters(), points.counters(), "a slow reader")
        before = points
    p.end()


def case_terminated():
    for number in (signal.SIGTERM, signal.SIGINT):
        p = Plugin()
        ready(p)
        p.process.send_signal(number)
        check_equal(p.process.wait(20), 0, "status")


def case_config_changes():
    """A changed file is picked up, a broken one is said once; what was counted stays."""
    path = write_text(os.path.join(temp_dir(), "c.yaml"), "labels: {site: one}\n")
    w = Workload("say(ready=True)\nwhile wait():\n    burn(0.2)\n    say(ready=True)\n")
    w.hear()
    p = Driver("-config", path)

    def sites(points):
        return {q.tags.get("site") for q in points.all}
    check_equal(sites(p.points), {"one"}, "labels")
    w.go_on()
    w.hear()
    cpu = p.collect().cpu(w.name)
    check(cpu > 0.15, "no CPU time")
    counters = {k[1]: v for k, v in p.points.counters().items() if k[0][0] == "proctally"}
    write_config(path, "labels: {site: two}\n")
    p.points = None
    check_equal(sites(p.collect()), {"two"}, "labels after the change")
    check(p.points.cpu(w.name) >= cpu, "what was counted is lost")
    p.points = None
    write_config(path, "labels: {site: three}\ngroup-by: [nonsense]\n")
    for _ in range(3):
        check_equal(sites(p.collect()), {"two"}, "labels with a broken file")
    errors = [l for l in p.errors().split("\n") if l.startswith("E! ")]
    check_equal(len(errors), 1, "errors: %r" % errors)
    check(path in errors[0] and ":2" in errors[0] and "nonsense" in errors[0], "the message",
          errors[0])
    write_config(path, "labels: {site: four}\n")
    p.points = None
    check_equal(sites(p.collect()), {"four"}, "labels after repair")
    check(p.points.cpu(w.name) >= cpu, "what was counted is lost")
    w.go_on()
    w.hear()
    check(p.collect().cpu(w.name) >= cpu + 0.15, "it does not count on")
    for line in p.errors().split("\n"):
        check(line == "" or line[:3] in ("E! ", "W! ", "I! "), "a line without a mark", line)
    p.end()
    w.end()


def case_config_changes_groups():
    """Other rules: the processes are in other groups, and nothing is counted twice."""
    path = write_text(os.path.join(temp_dir(), "c.yaml"), "group-by: [name]\n")
    w = Workload("say(cpu=cpu())\nwhile wait():\n    burn(0.3)\n    say(cpu=cpu())\n")
    p = Driver("--config", path)
    base = p.points.cpu(w.name)
    w.hear()
    p.collect()
    w.go_on()
    w.hear()
    first = p.collect().cpu(w.name)
    write_config(path, 'process_names: [{name: "named", comm: [%s]}]\n' % w.name)
    p.points = None
    w.go_on()
    end = w.hear()["cpu"]
    points = p.collect()
    check_equal(points["named"].fields["num_procs"], 1, "processes in the new group")
    total = points.cpu("named", w.name) - base
    check_near(total, end, "CPU seconds over both groups", absolute=0.1)
    w.go_on()
    w.hear()
    check(p.collect().cpu("named") > 0.15 and first > 0.2, "CPU seconds of the new group")
    p.end()
    w.end()


def case_config_being_written():
    """A file is taken up when it has been left alone, never empty or by halves."""
    path = write_text(os.path.join(temp_dir(), "c.yaml"),
                      'group-by: []\nprocess_names: [{name: python, cmdline: [python]}]\n')
    p = Driver("--config", path)
    check_equal(set(p.points), {"python"}, "groups")
    write_text(path, "")
    stamp = time.time() - 10
    os.utime(path, (stamp, stamp))
    p.points = None
    check_equal(set(p.collect()), {"python"}, "groups with an empty file")
    write_text(path, "group-by: []\n")  # the first half
    p.points = None
    check_equal(set(p.collect()), {"python"}, "groups with half a file")
    check("again" not in p.errors(), "it was read", p.errors())
    write_text(path, 'group-by: []\nprocess_names: [{name: snake, cmdline: [python]}]\n')
    p.points = None
    check_equal(set(p.collect()), {"python"}, "groups with a file just written")

    def is_new():
        p.points = None
        return "snake" in p.collect()
    wait_for(is_new, "the file is taken up", 20, every=0.5)
    check_equal(p.errors().count("E! "), 0, "errors: %s" % p.errors())
    p.end()


def case_config_is_a_pipe():
    """It is said and waited for by nobody, at the start and later."""
    directory = temp_dir()
    pipe = os.path.join(directory, "pipe")
    os.mkfifo(pipe)
    begun = time.monotonic()
    status, out, err = run([TELEGRAF, "--config", pipe], seconds=20)
    check_equal((status, out), (2, ""), "status and output (%s)" % err)
    check("pipe" in err and err.count("\n") == 1, "the message", err)
    check(time.monotonic() - begun < 5, "it waited")
    held = os.open(pipe, os.O_RDWR)  # somebody could write, and does not
    later(os.close, held)
    status, out, err = run([TELEGRAF, "--config", pipe], seconds=20)
    check_equal((status, out), (2, ""), "status and output with a silent writer (%s)" % err)
    # what a shell's <(command) is
    status, out, err = run(["bash", "-c", "exec %s --check-config --config <(sleep 0.3; "
                            "echo 'group-by: [user]')" % TELEGRAF], seconds=20)
    check_equal((status, err), (0, ""), "a pipe that is written to")
    path = write_text(os.path.join(directory, "c.yaml"), "group-by: [user]\n")
    p = Driver("--config", path)
    stamp = time.time() - 10
    os.utime(pipe, (stamp, stamp))
    os.rename(pipe, path)
    p.points = None
    check(len(p.collect()) > 0, "no groups")
    check("the old configuration stays" in p.errors(), "nothing is said", p.errors())
    p.process.send_signal(signal.SIGTERM)
    check_equal(p.process.wait(10), 0, "status")


def case_mistakes():
    """Status 2 and one E! line."""
    directory = temp_dir()
    bad = write_text(os.path.join(directory, "bad.yaml"), "interval: 1s\ncpu-mode: turbo\n")
    for flags in (["--config", bad], ["-config", bad], ["--nonsense"], ["-cpu-mode", "x"],
                  ["-config", directory + "/none"], ["word"], ["-poll_interval", "soon"]):
        status, out, err = run([TELEGRAF, *flags])
        check_equal((status, out), (2, ""), "status and output of %r (%s)" % (flags, err))
        check(err.startswith("E! ") and err.count("\n") == 1, "the message of %r" % flags, err)
    status, out, err = run([TELEGRAF, "--config", bad])
    check(bad in err and ":2" in err and "cpu-mode" in err, "the message", err)
    for flags in (["-version"], ["--help"], ["-list_metrics"], ["-check-config"]):
        status, out, err = run([TELEGRAF, *flags])
        check_equal((status, err), (0, ""), "%r" % flags)


def case_proc_missing():
    """No /proc yet: said once, and it works as soon as it is there."""
    proc = os.path.join(temp_dir(), "proc")
    p = Driver("--procfs", proc, first=False)
    for _ in range(3):
        p.process.stdin.write(b"\n")
        p.process.stdin.flush()
        time.sleep(0.1)
    wait_for(lambda: "E! " in p.errors(), "a complaint")
    check(p.process.poll() is None, "it has ended")
    os.symlink("/proc", proc)
    p.collect()
    check_equal(p.errors().count("E! "), 1, "complaints: " + p.errors())
    p.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
