# SPDX-License-Identifier: MIT
"""What the tests share: commands of known use, and waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Runs a command as its child and writes down what it and the child have used.
TRUTH = r"""
import os, resource, sys
pid = os.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
io = dict(l.split(": ") for l in open("/proc/self/io").read().splitlines())
own = resource.getrusage(resource.RUSAGE_SELF)
open(sys.argv[1], "w").write("%f %d %d %d" % (
    usage.ru_utime + usage.ru_stime + own.ru_utime + own.ru_stime,
    int(io["rchar"]), int(io["wchar"]), max(usage.ru_maxrss, own.ru_maxrss)))
"""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Truth:
    """A command that tells what it has used, by the kernel's own account."""

    def __init__(self, path: str, *command: str) -> None:
        self._path = path
        self.argv = [sys.executable, "-S", "-c", TRUTH, path, *command]

    def read(self) -> tuple[float, int, int, int]:
        """CPU seconds, bytes read and written, largest resident memory in kB."""
        cpu_s, rchar, wchar, rss_kb = open(self._path).read().split()
        return float(cpu_s), int(rchar), int(wchar), int(rss_kb)


@pytest.fixture
def truth(tmp_path: Any) -> Callable[..., Truth]:
    return lambda *command: Truth(str(tmp_path / "truth"), *command)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
