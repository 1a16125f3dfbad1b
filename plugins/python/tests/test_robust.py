# SPDX-License-Identifier: MIT
"""Many threads, many samples, forks, interpreters within an interpreter."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time

import proctally
import pytest


def resident_kb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


def in_threads(count, work):
    failed = []

    def guarded(i):
        try:
            work(i)
        except BaseException as e:
            failed.append(e)
            raise

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_24_threads_sample_at_once():
    def work(i):
        with proctally.ProcessMonitor(["sleep", "60"], 10, 10) as monitor:
            for _ in range(20):
                assert json.loads(monitor.sample_once())["parent"]["mem_rss_kb"] > 0
            pid = monitor.get_pid()
        assert monitor.returncode == -15
        assert not os.path.exists(f"/proc/{pid}")

    in_threads(24, work)


def test_24_threads_share_a_collector():
    with proctally.Collector(source="procfs") as c:
        def work(i):
            for _ in range(5):
                assert c.collect().to_dict()["groups"]

        in_threads(24, work)


def test_24_threads_run_commands():
    def work(i):
        code, monitor = proctally.execute_with_monitoring(["sh", "-c", f"sleep 0.2; exit {i}"])
        assert code == i == monitor.summary.exit_code

    in_threads(24, work)


def test_the_gil_is_free():
    """Others go on while a monitor waits for its command."""
    count = 0

    def counter():
        nonlocal count
        while not done.is_set():
            count += 1
            time.sleep(0.001)

    done = threading.Event()
    thread = threading.Thread(target=counter)
    thread.start()
    proctally.execute_with_monitoring(["sleep", "1"])
    done.set()
    thread.join()
    assert count > 50


def test_10000_samples_without_growth():
    fds = len(os.listdir("/proc/self/fd"))
    with proctally.ProcessMonitor(["sleep", "600"], store_in_memory=False) as monitor:
        program = monitor._watcher.process.pid

        def sizes():
            gc.collect()
            with open(f"/proc/{program}/statm") as file:
                return resident_kb(), int(file.read().split()[1]) * 4

        for _ in range(1000):
            monitor.sample_once()
        before = sizes()
        for _ in range(9000):
            monitor.sample_once()
        after = sizes()
    assert after[0] - before[0] < 1024 and after[1] - before[1] < 512
    assert len(os.listdir("/proc/self/fd")) == fds


def test_10000_snapshots_without_growth():
    with proctally.Collector(source="procfs", follow=[os.getpid()]) as c:
        for _ in range(1000):
            c.collect().to_dict()
        gc.collect()
        before = resident_kb()
        for i in range(9000):
            snapshot = c.collect()
            if i % 10 == 0:
                snapshot.to_dict()
        gc.collect()
        assert resident_kb() - before < 1024


def test_2500_profiles_without_growth():
    def block():
        with proctally.monitor() as m:
            pass
        return m

    for _ in range(500):
        block()
    gc.collect()
    before = resident_kb()
    for _ in range(2000):
        block()
    gc.collect()
    assert resident_kb() - before < 1024


def test_collector_after_fork():
    with proctally.Collector(source="procfs") as c:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                try:
                    c.collect()
                except RuntimeError as e:
                    status = 0 if "fork" in str(e) else 2
                if status == 0:
                    with proctally.Collector(source="procfs") as own:
                        status = 0 if own.collect().groups else 3
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert c.collect().groups


def test_monitor_after_fork():
    monitor = proctally.ProcessMonitor(["sleep", "60"])
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            try:
                monitor.sample_once()
            except RuntimeError:
                status = 0
            monitor.close()  # the parent's
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert monitor.is_running() and monitor.sample_once()
    monitor.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_multiprocessing():
    code = """
import multiprocessing, proctally
def work(i):
    result, samples = proctally.profile(lambda: sum(range(i)))()
    return len(samples), proctally.execute_with_monitoring(["true"])[0]
if __name__ == "__main__":
    with proctally.monitor():
        for how in ("fork", "spawn"):
            with multiprocessing.get_context(how).Pool(2) as pool:
                assert pool.map(work, range(8)) == [(1, 0)] * 8
"""
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"proctally-test-{os.getpid()}.py")
    try:
        with open(path, "w") as file:
            file.write(code)
        subprocess.run([sys.executable, path], check=True, timeout=120)
    finally:
        os.unlink(path)


def test_other_interpreters():
    """Works, or is refused in a sentence."""
    try:
        import _interpreters as interpreters
    except ImportError:
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            pytest.skip("this Python has no interpreters within an interpreter")
    done = subprocess.run([sys.executable, "-c", f"""
import sys
sys.path[:] = {sys.path!r}
import {interpreters.__name__} as interpreters
one = interpreters.create()
code = '''
import sys
sys.path[:] = {sys.path!r}
try:
    import proctally
    print("works", len(proctally.Collector(source="procfs").collect().groups) > 0)
except ImportError as e:
    print("refused", e)
'''
print(interpreters.run_string(one, code) or "")
"""], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(("works True", "refused ")), (done.stdout, done.stderr)
    if done.stdout.startswith("refused"):
        assert "import it in the main interpreter" in done.stdout
