# SPDX-License-Identifier: MIT
"""Watching a command, or a process that runs already, with all that it starts.

The work is done by a small program, ``proctally run`` or ``proctally attach``: it starts the
command (what this process has in memory is no part of its figures), takes the samples, waits
for what has ended, and writes its records to a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import select
import shlex
import socket
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Union

from . import _program
from .collecting import log
from .files import save_metrics
from .summaries import Summary, generate_summary_from_metrics_json

Command = Union[str, Sequence[Union[str, "os.PathLike[str]"]]]
StrPath = Union[str, "os.PathLike[str]"]

# of a command that is to end, from SIGTERM to SIGKILL
_GRACE_S = 1.0
# what the program takes at least
_LEAST_MS = 10


def _arguments_of(cmd: Command) -> list[str]:
    words = shlex.split(cmd) if isinstance(cmd, str) else [os.fspath(word) for word in cmd]
    if not words:
        raise ValueError("the command is empty; expected a program and its arguments")
    return words


# ---- The program and the socket to it ---------------------------------------------------


class _Watcher:
    """The program that watches. Records come as lines; a request is a byte."""

    def __init__(self, arguments: list[str], is_run: bool, **popen: Any) -> None:
        self.owner = os.getpid()
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        verb, *rest = arguments
        with theirs:
            argv = [_program.path(), verb, "--control", str(theirs.fileno()), *rest]
            self.process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], **popen)
        if not is_run:
            self.process.wait()  # it goes on in the background
        self._pieces: list[bytes] = []  # of a line that is not complete
        self._lines: list[str] = []  # that nobody has taken yet, the next one last
        self.at_end = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        # a run goes on without us, and so does what watches it
        self.close = weakref.finalize(self, self.socket.close)

    def ask(self, request: bytes) -> None:
        if not self.close.alive:
            return
        if os.getpid() != self.owner:
            raise RuntimeError("this monitor belongs to the process that made it, before a fork")
        try:
            self.socket.send(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, which its last records tell

    def _receive(self) -> bool:
        """Takes what is there; False: nothing yet."""
        try:
            data = self.socket.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.at_end = True
            self.process.wait()
        elif b"\n" in data:
            # a character may be cut anywhere, a line is whole
            *lines, rest = b"".join([*self._pieces, data]).split(b"\n")
            self._lines[:0] = [line.decode(errors="replace") for line in reversed(lines)]
            self._pieces = [rest] if rest else []
        else:
            self._pieces.append(data)
        return True

    def next_now(self) -> str | None:
        """The next record, if it is there already."""
        while not self._lines and not self.at_end and self._receive():
            pass
        return self._lines.pop() if self._lines else None

    def next(self, until: float | None = None) -> str | None:
        """The next record; None at the end. TimeoutError, by the monotonic clock."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while True:
            line = self.next_now()
            if line is not None or self.at_end:
                return line
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            poll.poll(None if left is None else left * 1000 + 1)

    async def wait_async(self) -> None:
        """Until there is something to receive, or wake() is called."""
        loop = asyncio.get_running_loop()
        fd, waiter = self.socket.fileno(), (loop, asyncio.Event())
        self._waiting.append(waiter)
        loop.add_reader(fd, self.wake)  # one a loop: it is for all who wait
        try:
            await waiter[1].wait()
        finally:
            self._waiting.remove(waiter)
            if loop not in (other for other, _ in self._waiting):
                loop.remove_reader(fd)

    def wake(self) -> None:
        for loop, ready in list(self._waiting):
            loop.call_soon_threadsafe(ready.set)


# ---- Records in a file --------------------------------------------------------------------

# as proctally run --csv has them
_COLUMNS = (
    "ts_ms cpu_usage mem_rss_kb mem_vms_kb max_rss_kb disk_read_bytes disk_write_bytes "
    "syscall_read_bytes syscall_write_bytes page_faults_cached page_faults_disk thread_count "
    "cpu_user_s cpu_system_s memory_pss_kb uptime_secs process_count pid command"
).split()


def _rows_of(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if record["kind"] == "sample":
        yield record
        return
    yield record["aggregated"]
    if "parent" in record:
        yield record["parent"]
    for child in record["children"]:
        yield {**child["metrics"], "pid": child["pid"], "command": child["command"]}


class Output:
    """The records of a run in a file, as they come."""

    def __init__(self, path: StrPath, format: str) -> None:
        if format not in ("jsonl", "json", "csv"):
            raise ValueError(f"the output format is {format!r}; expected jsonl, json or csv")
        self._format = format
        self._file: IO[str] = open(path, "w", encoding="utf-8", newline="\n")
        self._is_first = True
        self._csv = csv.DictWriter(
            self._file, _COLUMNS, extrasaction="ignore", lineterminator="\n"
        )
        if format == "csv":
            self._csv.writeheader()
        if format == "json":
            self._file.write("[")

    def write(self, kind: str, line: str) -> None:
        if self._format == "jsonl":
            self._file.write(line + "\n")
        elif self._format == "json":
            self._file.write(("\n" if self._is_first else ",\n") + line)
        elif kind in _SAMPLES:
            self._csv.writerows(_rows_of(json.loads(line)))
        self._is_first = False
        self._file.flush()  # who looks in the meantime sees whole lines

    def close(self) -> None:
        if not self._file.closed:
            with self._file:
                if self._format == "json":
                    self._file.write("\n]\n")

    def abandon(self) -> None:
        """Closes what can't be written: no more is tried."""
        with contextlib.suppress(OSError):
            self._file.close()


_SAMPLES = ("tree", "sample")


def _kind_of(line: str) -> str:
    # {"kind":"tree",…
    return line[9 : line.index('"', 9)]


# ---- The monitor -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Options:
    base_interval_ms: int
    max_interval_ms: int
    since_process_start: bool
    output_file: StrPath | None
    output_format: str
    store_in_memory: bool
    quiet: bool
    include_children: bool
    write_metadata: bool
    write_env: bool
    enable_ebpf: bool
    enable_gpu: bool

    def flags(self, is_run: bool) -> list[str]:
        """For the program."""
        return [
            "--quiet",
            "--env",
            f"--interval={max(self.base_interval_ms, _LEAST_MS)}ms",
            f"--max-interval={max(self.max_interval_ms, _LEAST_MS)}ms",
            f"--source={'auto' if self.enable_ebpf else 'procfs'}",
            *([] if self.include_children else ["--exclude-children"]),
            *(["--since-process-start"] if self.since_process_start and not is_run else []),
        ]


class ProcessMonitor:
    """Starts a command and watches it with all that it starts, daemons and children of a
    millisecond included.

    >>> with ProcessMonitor(["sh", "-c", "exit 3"], quiet=True) as monitor:
    ...     monitor.run()
    >>> monitor.returncode
    3

    cmd: the program and its arguments, or a text that is split as a shell would. Its input
    and output are ours.
    base_interval_ms, max_interval_ms: between two samples in the first second, and from the
    tenth on; at least 10.
    since_process_start: with from_pid, figures are those of the whole life.
    output_file, output_format: records go there as they come: "jsonl", "json" (one array) or
    "csv". The file begins anew.
    store_in_memory: False: get_samples() has nothing.
    quiet: False: run() prints the records, if there is no output_file; then what the command
    writes to its standard output goes to standard error.
    include_children: False: samples are of the process alone. The summary is of all.
    write_metadata, write_env: output_file and what run() prints begin with these records.
    enable_ebpf: as root, count by programs in the kernel: network traffic, how many processes
    were started, and which programs the time went to are exact then. They take 0.3 s to load.
    CPU time, I/O and memory are exact without. enable_gpu: nothing here measures that.

    Raises FileNotFoundError, PermissionError and what else execve(2) says; ValueError for an
    empty command.

    A sample is a JSON text; see RECORDS in proctally-run(1) for its shape and units. Between
    samples the program that watches sleeps, and this process does nothing.

    close(), and the end of a with block, end the watching, and the command if it still runs
    (SIGTERM, and SIGKILL a second later). A monitor that is only forgotten lets it run on.
    """

    def __init__(
        self,
        cmd: Command,
        base_interval_ms: int = 100,
        max_interval_ms: int = 1000,
        since_process_start: bool = False,
        output_file: StrPath | None = None,
        output_format: str = "jsonl",
        store_in_memory: bool = True,
        quiet: bool = False,
        include_children: bool = True,
        write_metadata: bool = False,
        write_env: bool = False,
        enable_ebpf: bool = False,
        enable_gpu: bool = False,
    ) -> None:
        words = _arguments_of(cmd)
        prints = not quiet and output_file is None
        self._start(
            ["run"],
            words,
            {"stdout": sys.__stderr__} if prints and sys.__stderr__ else {},
            _Options(
                base_interval_ms,
                max_interval_ms,
                since_process_start,
                output_file,
                output_format,
                store_in_memory,
                quiet,
                include_children,
                write_metadata,
                write_env,
                enable_ebpf,
                enable_gpu,
            ),
        )

    @classmethod
    def from_pid(
        cls,
        pid: int,
        base_interval_ms: int = 100,
        max_interval_ms: int = 1000,
        since_process_start: bool = False,
        output_file: StrPath | None = None,
        output_format: str = "jsonl",
        store_in_memory: bool = True,
        quiet: bool = False,
        include_children: bool = True,
        write_metadata: bool = False,
        write_env: bool = False,
        enable_ebpf: bool = False,
        enable_gpu: bool = False,
    ) -> ProcessMonitor:
        """Watches a process that runs already, from now on. It is never ended by the monitor.
        ProcessLookupError if there is none."""
        if pid <= 0:
            raise ProcessLookupError(f"there is no process {pid}")
        monitor = cls.__new__(cls)
        # a Ctrl-C in the terminal is not meant for it
        monitor._start(
            ["attach"],
            [str(pid)],
            {"start_new_session": True, "stdin": subprocess.DEVNULL},
            _Options(
                base_interval_ms,
                max_interval_ms,
                since_process_start,
                output_file,
                output_format,
                store_in_memory,
                quiet,
                include_children,
                write_metadata,
                write_env,
                enable_ebpf,
                enable_gpu,
            ),
        )
        return monitor

    @staticmethod
    def execute_with_monitoring(
        cmd: Command,
        stdout_file: StrPath | None = None,
        stderr_file: StrPath | None = None,
        timeout: float | None = None,
        base_interval_ms: int = 100,
        max_interval_ms: int = 1000,
        store_in_memory: bool = True,
        output_file: StrPath | None = None,
        output_format: str = "jsonl",
        since_process_start: bool = False,
        pause_for_attachment: bool = True,
        quiet: bool = False,
        include_children: bool = True,
        write_metadata: bool = False,
        enable_ebpf: bool = False,
        enable_gpu: bool = False,
    ) -> tuple[int, ProcessMonitor]:
        """The function of the same name."""
        return execute_with_monitoring(
            cmd,
            stdout_file,
            stderr_file,
            timeout,
            base_interval_ms,
            max_interval_ms,
            store_in_memory,
            output_file,
            output_format,
            since_process_start,
            pause_for_attachment,
            quiet,
            include_children,
            write_metadata,
            enable_ebpf,
            enable_gpu,
        )

    def _start(
        self, verb: list[str], words: list[str], popen: dict[str, Any], options: _Options
    ) -> None:
        if options.enable_gpu:
            warnings.warn("enable_gpu: nothing here measures GPUs", RuntimeWarning, stacklevel=3)
        self._cmd = words
        self._is_run = verb[0] == "run"
        self._options = options
        self._reading = threading.Lock()
        self._streams: list[deque[str]] = []  # what each has not given yet
        self._latest: str | None = None
        self._env = self._metadata = ""
        self._exit: dict[str, Any] | None = None
        self._summary: str | None = None
        self._samples: list[str] = []
        self._children: list[str] = []
        self._ended: list[str] = []
        self._begun = time.monotonic()
        self._output: Output | None = None
        if options.output_file is not None:
            self._output = Output(options.output_file, options.output_format)
        try:
            self._watcher = _Watcher(
                [*verb, *options.flags(self._is_run), "--", *words], self._is_run, **popen
            )
        except BaseException:
            self._abandon_output()
            raise
        try:
            self._begin()
        except BaseException:
            self._abandon_output()
            self.close()  # and with it the command
            raise

    def _begin(self) -> None:
        while not self._metadata:
            line = self._watcher.next()
            if line is None:
                status = self._watcher.process.returncode
                raise RuntimeError(f"{_program.path()} ended with status {status}")
            kind = _kind_of(line)
            if kind == "error":
                record = json.loads(line)
                # FileNotFoundError, ProcessLookupError and so on
                raise OSError(
                    record["errno"],
                    os.strerror(record["errno"]) if self._is_run else record["error"],
                    *(self._cmd[:1] if self._is_run else ()),
                )
            if kind == "env":
                self._env = line
            if kind == "metadata":
                self._metadata = line
        for line, is_wanted in self._preface():
            if is_wanted and self._output:
                self._output.write("", line)

    def _preface(self) -> Iterator[tuple[str, bool]]:
        yield self._env, self._options.write_env
        yield self._metadata, self._options.write_metadata

    # ---- Records as they come ----

    def _keep(self, line: str) -> str:
        kind = _kind_of(line)
        if kind in _SAMPLES:
            self._latest = line
            if self._options.store_in_memory:
                self._samples.append(line)
            for stream in self._streams:
                stream.append(line)
            self._watcher.wake()
        elif kind == "child":
            self._children.append(line)
        elif kind == "end":
            if self._options.store_in_memory:
                self._ended.append(line)
        elif kind == "exit":
            self._exit = json.loads(line)
        elif kind == "summary":
            self._summary = line
        return kind

    def _take(self, line: str) -> str:
        kind = self._keep(line)
        self._write(kind, line)
        return kind

    def _write(self, kind: str, line: str) -> None:
        if self._output is None:
            return
        try:
            self._output.write(kind, line)
            if kind == "summary":
                self._output.close()
        except BaseException:
            self._abandon_output()  # it is said once
            raise

    def _abandon_output(self) -> None:
        if self._output:
            self._output.abandon()
            self._output = None

    def _drain(self) -> None:
        # somebody else who reads takes it in as well
        if self._streams or not self._reading.acquire(blocking=False):
            return
        try:
            while (line := self._watcher.next_now()) is not None:
                self._take(line)
        finally:
            self._reading.release()

    def _end(self) -> list[str]:
        """The command is to end, and the watching with it. The last records: nothing is
        written before the end, which an output that is full or slow must not keep off."""
        self._watcher.ask(b"e")  # whoever reads in another thread is at the end with it
        until: float | None = time.monotonic() + _GRACE_S
        lines: list[str] = []
        if not self._reading.acquire(timeout=_GRACE_S):
            self._watcher.ask(b"e")
            self._reading.acquire()
        try:
            while True:
                try:
                    line = self._watcher.next(until)
                except TimeoutError:
                    self._watcher.ask(b"e")
                    until = None
                    continue
                if line is None:
                    return lines
                self._keep(line)
                lines.append(line)
        finally:
            self._reading.release()

    # ---- What people call ----

    def run(self) -> None:
        """Samples at intervals until the end of the process. Ctrl-C is a KeyboardInterrupt at
        once; the command goes on unless the terminal sent it to the command too."""
        prints = not self._options.quiet and self._output is None
        with self._reading:
            if prints and self._exit is None:
                for line, is_wanted in self._preface():
                    if is_wanted:
                        print(line)
            self._watch(None, prints)

    def _watch(self, until: float | None, prints: bool = False) -> None:
        self._watcher.ask(b"r")
        try:
            while (line := self._watcher.next(until)) is not None:
                self._take(line)
                if prints:
                    print(line, flush=True)
        except BaseException:
            self._watcher.ask(b"p")
            raise

    async def stream(self) -> AsyncIterator[dict[str, Any]]:
        """Samples at intervals, as dicts, until the end of the process. Each of several streams
        has all samples, and those of sample_once().

        >>> async for sample in monitor.stream():  # doctest: +SKIP
        ...     print(sample["aggregated"]["mem_rss_kb"])
        """
        # No lock: a loop that is left early lets go of this some time later.
        mine: deque[str] = deque()
        self._streams.append(mine)
        self._watcher.ask(b"r")
        try:
            while True:
                if mine:
                    yield json.loads(mine.popleft())
                elif (line := self._watcher.next_now()) is not None:
                    self._take(line)
                elif self._watcher.at_end:
                    return
                else:
                    await self._watcher.wait_async()
        finally:
            # by identity: another's may hold the same
            self._streams = [stream for stream in self._streams if stream is not mine]
            if not self._streams:
                self._watcher.ask(b"p")

    def sample_once(self) -> str | None:
        """One sample now, as JSON text; None: the process has ended. Its cpu_usage is of the
        time since the sample before, or since the beginning."""
        with self._reading:
            if self._exit is not None:
                return None
            self._watcher.ask(b"s")
            while (line := self._watcher.next()) is not None:
                if self._take(line) in _SAMPLES:
                    return line
            return None

    def is_running(self) -> bool:
        """Has it not ended yet?"""
        self._drain()
        return self._exit is None

    @property
    def returncode(self) -> int | None:
        """As subprocess has it: the exit status, or -n if signal n ended it. None: it runs, or
        it is not ours."""
        self._drain()
        if self._exit is None:
            return None
        if "signal" in self._exit:
            return -int(self._exit["signal"])
        code = self._exit.get("exit_code")
        return None if code is None else int(code)

    def get_pid(self) -> int:
        """The number of the process that is watched."""
        return int(json.loads(self._metadata)["pid"])

    def get_metadata(self) -> str:
        """JSON text: pid, cmd (a list), executable, t0_ms (milliseconds since 1970)."""
        return self._metadata

    def get_env(self) -> str:
        """JSON text: host, kernel, cpus, memory_kb, numa_nodes, affinity, cgroup."""
        return self._env

    def get_samples(self) -> list[str]:
        """The samples so far, as JSON texts."""
        self._drain()
        return list(self._samples)

    def get_children(self) -> list[str]:
        """A JSON text for each process that a sample saw for the first time, or with another
        program than before: ts_ms, pid, ppid, cmd, exe."""
        self._drain()
        return list(self._children)

    def get_ended(self) -> list[str]:
        """With enable_ebpf, a JSON text for each process that has ended, however short it was:
        ts_ms, pid, command and metrics, what it has used; ppid, if a sample saw it. Nothing is
        there with store_in_memory=False, or where the programs in the kernel can't be used."""
        self._drain()
        return list(self._ended)

    def clear_samples(self) -> None:
        """Forgets them, and what has ended. The summary at the end is not changed by that; one
        before it has the peaks and averages of the samples since then, and the totals of all."""
        self._drain()
        self._samples.clear()
        self._ended.clear()

    def save_samples(self, path: StrPath, format: str | None = None) -> None:
        """Writes the samples that are in memory: jsonl (the default), json, csv or, with
        pyarrow, parquet. OSError, ValueError for another format."""
        records = [json.loads(text) for text in self.get_samples()]
        save_metrics(records, path, format or "jsonl", include_metadata=False)

    def get_summary(self) -> str:
        """JSON text: what it has used. Exact at the end; before, what the samples in memory
        tell, else the latest, else one that is taken now, unless another thread waits in run()
        for the first. Keys are those of proctally-run(1)."""
        self._drain()
        if self._summary is not None:
            return self._summary
        samples = list(self._samples)
        if not samples and self._latest is None and not self._reading.locked():
            self.sample_once()
        if not samples and self._latest is not None:
            samples.append(self._latest)
        if self._summary is not None:  # it has just ended
            return self._summary
        wall_s = time.monotonic() - self._begun
        if not samples:
            return json.dumps({"kind": "summary", "command": shlex.join(self._cmd),
                               "wall_s": wall_s, "total_time_secs": wall_s, "samples": 0,
                               "sample_count": 0, "exact": [], "programs": []})
        return generate_summary_from_metrics_json([self._metadata, *samples], wall_s)

    @property
    def summary(self) -> Summary:
        """The same as an object."""
        return Summary.from_json(self.get_summary())

    def close(self) -> None:
        """Ends the watching, and a command that still runs; what is known stays. In another
        thread run() comes back then. OSError, after that, if output_file can't be written."""
        if os.getpid() != self._watcher.owner or not self._watcher.close.alive:
            return
        lines = self._end()
        self._watcher.close()
        self._watcher.wake()
        for line in lines:
            self._write(_kind_of(line), line)
        if self._output:
            self._output.close()

    def __enter__(self) -> ProcessMonitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except OSError as failure:  # of the output
            if kind is None:
                raise
            log.warning("%s: %s", self._options.output_file, failure)  # the block's own goes on

    def __repr__(self) -> str:
        return f"<ProcessMonitor of {self.get_pid()}: {shlex.join(self._cmd)}>"


def execute_with_monitoring(
    cmd: Command,
    stdout_file: StrPath | None = None,
    stderr_file: StrPath | None = None,
    timeout: float | None = None,
    base_interval_ms: int = 100,
    max_interval_ms: int = 1000,
    store_in_memory: bool = True,
    output_file: StrPath | None = None,
    output_format: str = "jsonl",
    since_process_start: bool = False,
    pause_for_attachment: bool = True,
    quiet: bool = False,
    include_children: bool = True,
    write_metadata: bool = False,
    enable_ebpf: bool = False,
    enable_gpu: bool = False,
) -> tuple[int, ProcessMonitor]:
    """Runs a command to its end, watched from its first instruction on. Returns its exit
    status (-n if signal n ended it) and the monitor, which has the samples and the summary.

    >>> code, monitor = execute_with_monitoring(["sh", "-c", "exit 3"])
    >>> code, monitor.summary.exit_code
    (3, 3)

    The command has a session of its own. stdout_file, stderr_file: where its output goes,
    else to ours. timeout: in seconds; then it is ended with all that it has started (SIGTERM,
    and SIGKILL a second later), and subprocess.TimeoutExpired is raised. So it is ended
    before any other exception, such as a KeyboardInterrupt, goes on. pause_for_attachment is
    taken for the sake of denet's users: a command never runs before it is watched. The others
    are those of ProcessMonitor; nothing is printed, whatever quiet says.
    """
    words = _arguments_of(cmd)
    files: list[IO[bytes]] = []
    popen: dict[str, Any] = {}
    try:
        for name, path in (("stdout", stdout_file), ("stderr", stderr_file)):
            if path is not None:
                files.append(open(Path(path), "wb"))
                popen[name] = files[-1]
        monitor = ProcessMonitor.__new__(ProcessMonitor)
        monitor._start(
            ["run", "--session"],
            words,
            popen,
            _Options(
                base_interval_ms,
                max_interval_ms,
                since_process_start,
                output_file,
                output_format,
                store_in_memory,
                True,
                include_children,
                write_metadata,
                False,
                enable_ebpf,
                enable_gpu,
            ),
        )
    finally:
        for file in files:
            file.close()
    until = None if timeout is None else time.monotonic() + timeout
    try:
        with monitor._reading:
            monitor._watch(until)
    except TimeoutError:
        monitor.__exit__(TimeoutError, None, None)
        raise subprocess.TimeoutExpired(words, timeout or 0) from None
    except BaseException as error:
        monitor.__exit__(type(error), error, None)
        raise
    code = monitor.returncode
    if code is None:
        raise RuntimeError(f"{_program.path()} has ended before the command")
    monitor.close()
    return code, monitor
