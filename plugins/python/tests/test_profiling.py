# SPDX-License-Identifier: MIT
"""The decorator and the context manager: what this process uses while some code runs."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import proctally
import pytest
from conftest import TICK_S, burn


def test_decorated_burner():
    """denet's seed said 0."""

    @proctally.profile
    def work(a, *, b):
        """What it does."""
        burn(1.0)
        return a + b

    (result, samples) = work(1, b=2)
    assert result == 3 and work.__doc__ == "What it does." and work.__name__ == "work"
    assert isinstance(samples, list) and all(isinstance(one, dict) for one in samples)
    last = samples[-1]["aggregated"]
    assert last["cpu_user_s"] + last["cpu_system_s"] == pytest.approx(1.0, abs=0.1)
    assert max(one["aggregated"]["cpu_usage"] for one in samples) > 20


def test_decorator_with_arguments(tmp_path):
    @proctally.profile(base_interval_ms=20, max_interval_ms=20, include_children=False,
                       output_file=tmp_path / "out.jsonl")
    def work():
        time.sleep(0.3)

    _, samples = work()
    assert len(samples) > 5 and {one["kind"] for one in samples} == {"sample"}
    assert samples[0]["mem_rss_kb"] > 1000
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert kinds.count("sample") == len(samples) and kinds[-1] == "summary"

    @proctally.profile(store_in_memory=False)
    def forgets():
        pass

    assert forgets() == (None, [])


def test_exception_passes():
    @proctally.profile
    def fails():
        raise KeyError("x")

    with pytest.raises(KeyError):
        fails()


def test_monitor_as_it_is_known(tmp_path):
    with proctally.monitor(base_interval_ms=20, max_interval_ms=20) as m:
        burn(0.3)
        assert m.get_samples()
        assert json.loads(m.get_summary())["cpu_user_s"] >= 0
    samples = m.get_samples()
    assert isinstance(samples[0], dict) and isinstance(m.get_summary(), str)
    assert m.get_metadata()["pid"] == os.getpid()
    m.save_samples(tmp_path / "s.csv", "csv")
    assert (tmp_path / "s.csv").read_text().startswith("ts_ms,cpu_usage,mem_rss_kb,mem_vms_kb")
    summary = m.get_summary()
    m.clear_samples()
    assert m.get_samples() == [] and m.get_summary() == summary
    with pytest.raises(RuntimeError):
        m.__enter__()
    with pytest.raises(RuntimeError):
        proctally.monitor().get_summary()


def test_io_to_the_byte(tmp_path):
    """What the measuring reads is not in it."""
    path = tmp_path / "file"
    with proctally.monitor(base_interval_ms=10, max_interval_ms=10) as m:
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(fd, b"x" * 1_234_567)
        time.sleep(0.3)
        os.pread(fd, 1_000_003, 0)
        os.close(fd)
    assert m.summary.samples > 10
    assert m.summary.total_syscall_write_bytes == 1_234_567
    assert m.summary.total_syscall_read_bytes == 1_000_003
    assert {"total_syscall_read_bytes", "cpu_user_s"} <= m.summary.exact
    last = m.get_samples()[-1]["parent"]
    assert last["syscall_read_bytes"] == 1_000_003


def test_children_are_in_it(truth):
    """500 of them, which no sample sees."""
    command = truth("sh", "-c", "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done; "
                                "head -c 3000000 /dev/zero | cat >/dev/null")
    with proctally.monitor() as m:
        subprocess.run(command.argv, check=True)
    cpu_s, rchar, wchar, _ = command.read()
    # and what starting it took
    assert cpu_s - 2 * TICK_S <= m.summary.cpu_s <= cpu_s * 1.05 + 0.05
    assert rchar <= m.summary.total_syscall_read_bytes <= rchar + 100_000
    assert wchar <= m.summary.total_syscall_write_bytes <= wchar + 4096
    assert m.summary.max_processes >= 2


def test_child_that_is_alive(tmp_path):
    """From before the block, until after it."""
    burner = "import time\nprint(flush=True)\nwhile True: time.process_time()"
    with subprocess.Popen(["python3", "-S", "-c", burner], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        time.sleep(0.5)
        before = cpu_of(child.pid)
        with proctally.monitor() as m:
            time.sleep(1)
        used = cpu_of(child.pid) - before
        assert m.summary.cpu_s == pytest.approx(used, rel=0.1, abs=0.1)
        assert "cpu_user_s" not in m.summary.exact
        child.kill()


def test_child_that_was_there_before_and_ends():
    burner = "import time\ne = time.process_time() + 0.5\nwhile time.process_time() < e: pass\n" \
             "print(flush=True)\ninput()"
    with subprocess.Popen(["python3", "-S", "-c", burner], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        with proctally.monitor() as m:
            child.communicate(b"\n")
        assert m.summary.cpu_s < 0.3, "what it had used before is not ours"


def cpu_of(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def test_nested():
    with proctally.monitor(base_interval_ms=20) as outer:
        burn(0.3)
        with proctally.monitor(base_interval_ms=50) as inner:
            burn(0.3)
    assert inner.summary.cpu_s == pytest.approx(0.3, abs=0.05)
    assert outer.summary.cpu_s == pytest.approx(0.6, abs=0.05)
    assert len(outer.get_samples()) > len(inner.get_samples()) > 1


def test_threads():
    """Each block is of the whole process; cpu_thread_s is the thread's own."""
    found = {}

    def work(seconds):
        with proctally.monitor() as m:
            burn(seconds)
        found[seconds] = m

    threads = [threading.Thread(target=work, args=(s,)) for s in (0.1, 0.2, 0.3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seconds, m in found.items():
        assert m.summary.record["cpu_thread_s"] == pytest.approx(seconds, abs=0.05)
        assert m.summary.cpu_s >= seconds - 0.01
    assert sum(1 for t in threading.enumerate() if t.name == "proctally") == 1


def test_coroutines():
    @proctally.profile
    async def work(seconds):
        burn(seconds)
        await asyncio.sleep(0.1)
        return seconds

    async def both():
        return await asyncio.gather(work(0.2), work(0.1))

    (a, samples), (b, _) = asyncio.run(both())
    assert (a, b) == (0.2, 0.1)
    assert samples[-1]["aggregated"]["cpu_user_s"] > 0


def test_peak_of_memory():
    with proctally.monitor(base_interval_ms=20) as m:
        ballast = b"x" * 200_000_000
        time.sleep(0.1)
        del ballast
    assert m.summary.peak_mem_rss_kb > 200_000_000 / 1024
    assert m.summary.max_rss_largest_process_kb > 200_000_000 / 1024


def test_sample_is_lost(monkeypatch, caplog):
    """The next one is not."""
    with proctally.monitor(base_interval_ms=20, max_interval_ms=20) as m:
        engine, real = m._engine, m._engine.read

        def fails():
            monkeypatch.setattr(engine, "read", real)
            raise OSError("nothing to be had")

        monkeypatch.setattr(engine, "read", fails)
        time.sleep(0.3)
    assert "a sample is lost: nothing to be had" in caplog.text
    assert m.summary.samples > 3


def test_fork_inside():
    """The child measures by itself, and leaves the parent's block without harm."""
    read, write = os.pipe()
    with proctally.monitor() as m:
        pid = os.fork()
        if pid == 0:
            try:
                with proctally.monitor() as own:
                    burn(0.1)
                ok = 0.05 < own.summary.cpu_s < 0.3
                try:
                    m.get_summary()
                    ok = False
                except RuntimeError:
                    m.__exit__(None, None, None)
                os.write(write, b"ok" if ok else b"no")
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    assert os.read(read, 10) == b"ok"
    assert m.summary.cpu_s >= 0.1
    os.close(read)
    os.close(write)


def test_nothing_runs_when_nothing_is_profiled():
    with proctally.monitor():
        pass
    [thread] = [t for t in threading.enumerate() if t.name == "proctally"]
    path = f"/proc/self/task/{thread.native_id}/schedstat"
    time.sleep(0.1)
    before = open(path).read().split()[2]
    time.sleep(1)
    assert open(path).read().split()[2] == before, "how often it ran"


# An init of its own, that waits for orphans at once, and a program
REAPED = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
if os.fork() == 0:
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
try:
    while True: os.wait()
except ChildProcessError:
    pass
"""
MANY = """
import os, subprocess, time, proctally
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
with proctally.monitor(base_interval_ms=20, max_interval_ms=20) as m:
    for child in [subprocess.Popen(["sleep", "0.3"]) for _ in range(50)]:
        child.wait()
    before_s = m.summary.cpu_s
    read, write = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            burn(0.5)
        else:
            time.sleep(0.4)
        os._exit(0)
    os.close(write)
    os.wait()
    os.read(read, 1)  # both have ended
    time.sleep(0.1)
    burn(0.5)
print(m.summary.cpu_s - before_s)
"""


def test_daemon_after_many_children():
    """Only samples know what it used, and 50 others do not hide it."""
    done = subprocess.run([sys.executable, "-c", REAPED, MANY], capture_output=True, text=True)
    assert float(done.stdout) > 0.8, done.stderr


EXACT = """
import os, signal, time, proctally
def orphan():
    if os.fork() == 0:
        if os.fork() == 0:
            end = time.process_time() + 0.05
            while time.process_time() < end: pass
        os._exit(0)
    os.wait()
    time.sleep(0.2)
def told(work):
    with proctally.monitor(base_interval_ms=1000) as m:
        work()
    return "cpu_user_s" in m.summary.exact
print(told(lambda: None))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print(told(lambda: None))
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
print(told(orphan))
"""


def test_exact_is_said_only_of_what_is():
    """Not where children leave no trace, nor of one that init got before a sample saw it."""
    done = subprocess.run([sys.executable, "-c", EXACT], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "False"], done.stderr


def test_children_that_a_child_had_waited_for_before():
    code = ("import subprocess, sys\n"
            "subprocess.run([sys.executable, '-S', '-c', 'import time\\n"
            "while time.process_time() < 0.6: pass\\n"
            "open(\"/dev/null\", \"wb\").write(bytes(3_000_000))'])\n"
            "print(flush=True)\ninput()")
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        with proctally.monitor() as m:
            child.communicate(b"\n")
    assert m.summary.cpu_s < 0.3
    assert m.summary.total_syscall_write_bytes < 1_000_000


def test_output_that_is_full():
    """Its error comes at the end of the block, and others are sampled on."""
    with proctally.monitor(base_interval_ms=20, max_interval_ms=20) as other:
        with pytest.raises(OSError) as caught:
            with proctally.monitor(20, 20, output_file="/dev/full") as m:
                time.sleep(0.2)
        count = len(other.get_samples())
        time.sleep(0.3)
    assert caught.value.errno == errno.ENOSPC
    assert m.summary.samples > 1 and len(m.get_samples()) == m.summary.samples
    assert len(other.get_samples()) > count + 1
    with pytest.raises(KeyError):  # ours does not take its place
        with proctally.monitor(output_file="/dev/full"):
            raise KeyError
    assert "/dev/full" not in {os.path.realpath(f"/proc/self/fd/{fd}")
                               for fd in os.listdir("/proc/self/fd")}


def test_the_sampler_survives(monkeypatch, caplog):
    def fails(self, now):
        monkeypatch.undo()
        raise ZeroDivisionError("for once")

    with pytest.raises(ZeroDivisionError):
        with proctally.monitor(base_interval_ms=20, max_interval_ms=20) as m:
            monkeypatch.setattr(proctally.Profile, "_take", fails)
            time.sleep(0.3)
    assert m.summary.samples > 3


def test_nothing_is_known_before_the_first_sample(monkeypatch):
    sampled = {"peak_memory_kb", "peak_mem_rss_kb", "avg_mem_rss_kb", "max_processes",
               "max_threads"}
    with proctally.monitor(base_interval_ms=60_000) as m:
        record = json.loads(m.get_summary())
        assert record["cpu_user_s"] >= 0 and not sampled & record.keys()
        assert record.get("max_rss_largest_process_kb") != 0
        # nor is the memory, where the core does not have it
        monkeypatch.setattr(proctally.profiling, "_gauges", lambda values: {})
    record = json.loads(m.get_summary())
    assert record["max_processes"] == 1 and "peak_memory_kb" not in record
    assert "mem_rss_kb" not in m.get_samples()[-1]["aggregated"]


def test_generator_functions_are_refused():
    def numbers():
        yield 1

    async def more():
        yield 1

    for function in (numbers, more):
        with pytest.raises(TypeError, match="use monitor"):
            proctally.profile(function)
