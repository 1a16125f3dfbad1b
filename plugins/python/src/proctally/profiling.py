# SPDX-License-Identifier: MIT
"""What this process uses while some of its code runs, with all that it starts.

One collector of the core follows this process, in a thread that sleeps between samples and
for good while nothing is profiled. Totals do not come from samples: they are the kernel's
account of this process and of the children that it has waited for, and the core's of those
that are alive. What the measuring itself takes is taken off, to the byte.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from ._native import ffi, lib
from .collecting import Collector, Snapshot, log
from .files import save_metrics
from .metrics import Metrics, Value
from .summaries import Summary
from .watching import Output, StrPath

P = ParamSpec("P")
R = TypeVar("R")
Sample = dict[str, Any]

# Counters in samples, what the catalogue calls them, and their keys in summaries
_COUNTERS = (
    ("cpu_user_s", "cpu_user", "cpu_user_s"),
    ("cpu_system_s", "cpu_system", "cpu_system_s"),
    ("disk_read_bytes", "disk_read", "total_disk_read_bytes"),
    ("disk_write_bytes", "disk_written", "total_disk_write_bytes"),
    ("syscall_read_bytes", "io_read", "total_syscall_read_bytes"),
    ("syscall_write_bytes", "io_written", "total_syscall_write_bytes"),
    ("page_faults_cached", "page_faults_minor", "page_faults_minor"),
    ("page_faults_disk", "page_faults_major", "page_faults_major"),
)
_NEEDED = Metrics([*(metric for _, metric, _ in _COUNTERS), "memory_rss", "memory_vms", "threads"])
_CPU = ("cpu_user", "cpu_system")
_IO_KEYS = {
    b"rchar": "io_read",
    b"wchar": "io_written",
    b"read_bytes": "disk_read",
    b"write_bytes": "disk_written",
}
# The core's CPU time of a process is in ticks where it has no right to more.
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_DENSE_S, _RARE_S = 1.0, 10.0

Counters = dict[str, Value]


def _read_io(whose: str) -> tuple[Counters, int]:
    """/proc/WHOSE/io by the catalogue's ids, and how many bytes that took; ({}, 0) where the
    kernel does not count."""
    try:
        fd = os.open(f"/proc/{whose}/io", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return {}, 0
    try:
        text = os.read(fd, 4096)
    except OSError:
        return {}, 0
    finally:
        os.close(fd)
    found: Counters = {}
    for line in text.splitlines():
        key, _, value = line.partition(b": ")
        if key in _IO_KEYS:
            found[_IO_KEYS[key]] = int(value)
    return found, len(text)


def _read_waited(pid: int) -> Counters:
    """What the children have used that a process has waited for; {} if it has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read(4096).rpartition(b")")[2].split()
    except OSError:
        return {}
    # from the state on, which is field 3 of proc_pid_stat(5)
    minor, major, user, system = (int(fields[i - 3]) for i in (11, 13, 16, 17))
    return {
        "cpu_user": user * _TICK_S,
        "cpu_system": system * _TICK_S,
        "page_faults_minor": minor,
        "page_faults_major": major,
    }


def _counters_of(usage: resource.struct_rusage) -> Counters:
    return {
        "cpu_user": usage.ru_utime,
        "cpu_system": usage.ru_stime,
        "page_faults_minor": usage.ru_minflt,
        "page_faults_major": usage.ru_majflt,
    }


def _add(to: Counters, other: Mapping[str, Value], sign: int = 1) -> Counters:
    """What is known of both."""
    return {key: value + sign * other[key] for key, value in to.items() if key in other}


@dataclass(frozen=True)
class _Alive:
    name: str
    values: Mapping[str, Value]
    #: with the children that it has waited for, which comes to us when it is waited for
    whole: Mapping[str, Value]


@dataclass(frozen=True)
class _Reading:
    """All that is known at one instant. Counters are without what the measuring took."""

    at_s: float  # monotonic
    unix_ms: int
    #: of this process itself, and of it and the children that it has waited for
    own: Counters
    waited: Counters
    #: the kernel's own account of the children, whatever we make of it
    children: tuple[float, ...]
    #: the kernel forgets children that nobody has to wait for
    forgets: bool
    #: the core's tally of the whole tree
    tally: Counters
    #: descendants, by pid and start
    alive: Mapping[tuple[int, float], _Alive]
    #: of this process, as the core has it
    self_values: Mapping[str, Value]
    #: of descendants that have ended, as the core has it
    ended: Counters
    max_rss_kb: int
    #: what the measuring has taken so far
    cost: Counters


class _Engine:
    """The collector that follows this process, and the thread that samples."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._changed = threading.Condition()  # its lock, which may be taken twice, is for all
        self._active: list[Profile] = []
        self._cost: Counters = {**dict.fromkeys(_IO_KEYS.values(), 0), "cpu_user": 0.0,
                                "cpu_system": 0.0, "page_faults_minor": 0, "page_faults_major": 0}
        self._section: tuple[Counters, Counters] | None = None
        self._usage: Counters = {}  # of the thread that measured last
        self._sampler = 0
        self._sampler_usage: Counters = {}
        with self._costs():
            self._collector = Collector(
                source="procfs",
                follow=[self.pid],
                host=False,
                collect=["no-fds", "no-states", "no-threads", "no-network"],
                cpu_mode="core",
                expire_after="876000h",
            )
        self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._sample, name="proctally", daemon=True)
        self._thread.start()

    @contextmanager
    def _costs(self) -> Iterator[None]:
        """What this thread uses inside is the measuring's."""
        with self._changed:
            if self._section is not None:
                yield
                return
            io, _ = _read_io("thread-self")
            usage = _counters_of(resource.getrusage(resource.RUSAGE_THREAD))
            is_sampler = threading.get_ident() == self._sampler
            # it does nothing else: what was between the sections is the measuring's too
            self._section = io, self._sampler_usage if is_sampler else usage
            try:
                yield
            finally:
                self._cost = self._cost_now(True)
                if is_sampler:
                    self._sampler_usage = self._usage
                self._section = None

    def _cost_now(self, is_end: bool) -> Counters:
        """What the measuring has taken until now."""
        assert self._section is not None
        io_before, usage_before = self._section
        io, size = _read_io("thread-self")
        if is_end and io:
            io["io_read"] += size  # of this reading, which the kernel counts when it is done
        self._usage = usage = _counters_of(resource.getrusage(resource.RUSAGE_THREAD))
        cost = dict(self._cost)
        for now, before in ((io, io_before), (usage, usage_before)):
            for key, value in now.items():
                cost[key] += max(value - before.get(key, 0), 0)
        return cost

    def read(self, is_begin: bool = False) -> _Reading:
        with self._costs():
            snapshot = self._collector.collect()
            alive, self_values = _processes_of(snapshot, self.pid)
            for who, one in alive.items():
                if is_begin or any(who in profile._there_before for profile in self._active):
                    io, _ = _read_io(str(who[0]))
                    waited = _read_waited(who[0])
                    whole = {key: value + waited.get(key, 0) for key, value in one.values.items()}
                    alive[who] = _Alive(one.name, one.values, {**whole, **io})
            io, size = _read_io("self")
            usage = resource.getrusage(resource.RUSAGE_SELF)
            children = resource.getrusage(resource.RUSAGE_CHILDREN)
            at_s, unix_ms = time.monotonic(), int(time.time() * 1000)
            cost = self._cost_now(False)
            cost["io_read"] -= size  # of the look at our own I/O, which is not in what it saw
            own = _add(_counters_of(usage), cost, -1)
            tally = _tally_of(snapshot)
            ended = _add(tally, self_values, -1)
            for one in alive.values():
                ended = _add(ended, one.values, -1)
            return _Reading(
                at_s,
                unix_ms,
                own,
                # a child's I/O is added to ours when it was waited for
                {**_add(own, _counters_of(children)), **_add(io, cost, -1)},
                tuple(children),
                # None: a handler that was not set in Python
                signal.getsignal(signal.SIGCHLD) in (signal.SIG_IGN, None),
                _add(tally, cost, -1),
                alive,
                self_values,
                ended,
                max(usage.ru_maxrss, children.ru_maxrss),
                cost,
            )

    def begin(self, profile: Profile) -> _Reading:
        with self._changed:
            reading = self.read(True)
            if not self._thread.is_alive():
                self._start()
            self._active.append(profile)
        return reading

    def end(self, profile: Profile) -> _Reading:
        with self._changed:
            if profile in self._active:
                self._active.remove(profile)
            return self.read()

    def _sample(self) -> None:
        self._sampler = threading.get_ident()
        while True:
            with self._changed:
                due = [profile._due_s for profile in self._active]
                wait_s = min(due) - time.monotonic() if due else None
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                with self._costs():
                    self._sample_now()

    def _sample_now(self) -> None:
        now_s = time.monotonic()
        due = [profile for profile in self._active if profile._due_s <= now_s + 0.001]
        try:
            reading = self.read()
        except Exception as error:  # of /proc, or there is no descriptor or memory left
            log.warning("a sample is lost: %s", error)
            for profile in due:
                profile._due_s = now_s + profile._base_s
            return
        for profile in due:
            try:
                profile._take(reading)
            except Exception as error:  # of one file, say; the others are not concerned
                profile._fail(error)
                profile._due_s = now_s + profile._base_s


def _tally_of(snapshot: Snapshot) -> Counters:
    tally: Counters = {}
    for group in range(lib.tally_snapshot_groups(snapshot._ptr)):
        for key, value in _NEEDED.of_group(snapshot._ptr, group).items():
            tally[key] = tally.get(key, 0) + value
    return tally


def _processes_of(
    snapshot: Snapshot, pid: int
) -> tuple[dict[tuple[int, float], _Alive], Mapping[str, Value]]:
    """The descendants, and the values of the process itself."""
    alive: dict[tuple[int, float], _Alive] = {}
    own: Mapping[str, Value] = {}
    count = lib.tally_snapshot_processes(snapshot._ptr)
    for i, values in enumerate(_NEEDED.of_processes(snapshot._ptr, 0, count)):
        row = lib.tally_snapshot_process(snapshot._ptr, i)
        if row.pid == pid:
            own = values
        elif row.group != lib.TALLY_NO_GROUP:
            name = ffi.string(row.name).decode()
            alive[row.pid, row.start_ns / 1e9] = _Alive(name, values, values)
    return alive, own


_engine: _Engine | None = None
_engine_lock = threading.Lock()


def _get_engine() -> _Engine:
    global _engine
    with _engine_lock:
        if _engine is None or _engine.pid != os.getpid():
            _engine = _Engine()
        return _engine


def _after_fork() -> None:
    # threads do not come along, and locks may be held by one of them
    global _engine, _engine_lock
    _engine = None
    _engine_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _gauges(values: Mapping[str, Value]) -> Sample:
    found: Sample = {}
    for key, metric, unit in (
        ("mem_rss_kb", "memory_rss", 1024),
        ("mem_vms_kb", "memory_vms", 1024),
        ("thread_count", "threads", 1),
    ):
        if metric in values:
            found[key] = int(values[metric]) // unit
    return found


class Profile:
    """What ``monitor()`` makes: a block of code that is watched."""

    def __init__(
        self,
        name: str,
        base_interval_ms: int,
        max_interval_ms: int,
        output_file: StrPath | None,
        output_format: str,
        store_in_memory: bool,
        include_children: bool,
    ) -> None:
        self._name = name
        self._base_s = max(base_interval_ms, 1) / 1000
        self._most_s = max(max_interval_ms / 1000, self._base_s)
        self._stores = store_in_memory
        self._includes_children = include_children
        self._output_to = (output_file, output_format)
        self._output: Output | None = None
        self._samples: list[Sample] = []
        self._begin: _Reading | None = None
        self._last: _Reading | None = None
        self._end: _Reading | None = None
        self._engine: _Engine | None = None
        self._error: Exception | None = None
        self._due_s = 0.0
        self._thread = 0
        self._thread_s = 0.0
        self._totals: Counters = {}
        self._seen: set[tuple[int, float]] = set()
        self._count = 0
        self._most: dict[str, int] = {}
        self._rss_kb_s = 0.0
        self._rss_kb: int | None = None
        self._rss_s = 0.0

    # ---- Readings ----

    @property
    def _there_before(self) -> Mapping[tuple[int, float], _Alive]:
        return self._begin.alive if self._begin else {}

    def _total(self, now: _Reading) -> Counters:
        """What was used since the beginning.

        The kernel's account of this process and what it has waited for, and of what is alive
        what it has used so far; without what those had used that were there before."""
        begin = self._begin
        assert begin is not None
        total: Counters = {}
        # what the core has of a process that is there is cut off to ticks
        processes = 1 + len(begin.alive) + len(now.alive)
        for _, metric, _ in _COUNTERS:
            if metric not in now.waited or metric not in begin.waited:
                continue
            value = now.waited[metric] - begin.waited[metric]
            for who, one in now.alive.items():
                before = begin.alive.get(who)
                value += one.whole.get(metric, 0) - (before.whole.get(metric, 0) if before else 0)
            for who, one in begin.alive.items():
                if who not in now.alive:
                    value -= one.whole.get(metric, 0)
            # of what nobody waited for only the core knows
            counted = now.tally.get(metric, 0) - begin.tally.get(metric, 0)
            room = 2 * _TICK_S * processes if metric in _CPU else 4096
            if metric in begin.tally and counted > value + room:
                value = counted
            total[metric] = max(value, self._totals.get(metric, 0))
        return total

    def _is_alone(self, now: _Reading) -> bool:
        """Has there been no other process at all? Of one whose parent ended first, the kernel
        gives the account to init, and no sample may have seen it."""
        begin = self._begin
        assert begin is not None
        return (
            not (begin.alive or now.alive or self._seen)
            and begin.children == now.children
            and not (begin.forgets or now.forgets)
        )

    def _take(self, now: _Reading) -> None:
        """One sample."""
        begin, last = self._begin, self._last
        assert begin is not None and last is not None
        since_s = now.at_s - begin.at_s
        interval_s = self._base_s
        if since_s >= _DENSE_S:
            share = min((since_s - _DENSE_S) / (_RARE_S - _DENSE_S), 1.0)
            interval_s += (self._most_s - self._base_s) * share
        self._due_s = max(self._due_s + interval_s, now.at_s)
        self._seen.update(now.alive)
        before = self._totals
        self._totals = self._total(now)
        passed_s = now.at_s - last.at_s

        def percent(new: Mapping[str, Value], old: Mapping[str, Value]) -> Sample:
            if passed_s <= 0:
                return {}
            used = sum(
                new[key] - old.get(key, 0) for key in _CPU if key in new
            )
            return {"cpu_usage": round(max(100 * used / passed_s, 0.0), 2)}

        def counters(values: Mapping[str, Value], base: Mapping[str, Value]) -> Sample:
            return {
                key: round(value, 6) if isinstance(value, float) else value
                for key, metric, _ in _COUNTERS
                if metric in values
                for value in [max(values[metric] - base.get(metric, 0), 0)]
            }

        at = {"ts_ms": now.unix_ms}
        uptime = {"uptime_secs": int(since_s)}
        # The kernel's account of I/O is of this process and what it has waited for together: what
        # others have used is taken off, as far as the core knows it.
        own = dict(now.own)
        for _, metric, _ in _COUNTERS:
            if metric in own or metric not in self._totals or metric not in now.ended:
                continue
            others = now.ended[metric] - begin.ended.get(metric, 0)
            for who, one in now.alive.items():
                was = begin.alive.get(who)
                others += one.values.get(metric, 0) - (was.values.get(metric, 0) if was else 0)
            own[metric] = max(self._totals[metric] - max(others, 0), 0)
        parent: Sample = {**at, **percent(now.own, last.own), **_gauges(now.self_values),
                          **counters(own, begin.own), **uptime}
        children: list[Sample] = []
        for who, one in now.alive.items():
            old, first = last.alive.get(who), begin.alive.get(who)
            metrics: Sample = {
                **at,
                **percent(one.values, old.values if old else {}),
                **_gauges(one.values),
                **counters(one.values, first.values if first else {}),
                "uptime_secs": max(int(now.unix_ms / 1000 - who[1]), 0),
            }
            children.append({"pid": who[0], "command": one.name, "metrics": metrics})
        members = [parent, *(child["metrics"] for child in children)]
        sums: Sample = {}  # of what is known
        for key in ("mem_rss_kb", "mem_vms_kb", "thread_count"):
            if known := [one[key] for one in members if key in one]:
                sums[key] = sum(known)
                if key == "mem_rss_kb":
                    self._raise_most("largest_kb", max(known))
        self._raise_most("processes", len(members))
        self._raise_most("threads", sums.get("thread_count"))
        rss_kb = sums.get("mem_rss_kb")
        self._raise_most("rss_kb", rss_kb)
        if rss_kb is not None:
            since_kb = rss_kb if self._rss_kb is None else self._rss_kb
            self._rss_kb_s += (rss_kb + since_kb) / 2 * passed_s
            self._rss_s += passed_s
        self._rss_kb = rss_kb
        self._count += 1
        self._last = now
        sample: Sample
        if self._includes_children:
            aggregated = {
                **at,
                **percent(self._totals, before),
                **sums,
                **counters(self._totals, {}),
                **uptime,
                "process_count": 1 + len(children),
            }
            sample = {"kind": "tree", **at, "parent": parent, "children": children,
                      "aggregated": aggregated}
        else:
            sample = {"kind": "sample", **parent}
        if self._stores:
            self._samples.append(sample)
        if self._output:
            self._output.write(sample["kind"], json.dumps(sample, separators=(",", ":")))

    def _fail(self, error: Exception) -> None:
        """The first error is raised at the end of the block; nothing more is written."""
        self._error = self._error or error
        if self._output:
            self._output.abandon()
            self._output = None

    def _raise_most(self, key: str, value: int | None) -> None:
        if value is not None:
            self._most[key] = max(self._most.get(key, value), value)

    # ---- The block ----

    def __enter__(self) -> Profile:
        if self._begin is not None:
            raise RuntimeError("this monitor has been used; make another one for another block")
        file, format = self._output_to
        self._engine = engine = _get_engine()
        self._output = Output(file, format) if file is not None else None
        self._thread, self._thread_s = threading.get_ident(), time.thread_time()
        with engine._changed:
            self._begin = self._last = engine.begin(self)
            self._due_s = self._begin.at_s + self._base_s
            engine._changed.notify()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        engine = self._engine
        if engine is None or engine.pid != os.getpid():
            return  # the child of a fork inside the block leaves it too
        try:
            with engine._costs():
                self._end = engine.end(self)
                self._take(self._end)
        except Exception as failure:
            self._end = self._end or self._last  # what the last sample saw
            self._fail(failure)
        if threading.get_ident() == self._thread:
            self._thread_s = time.thread_time() - self._thread_s
        else:
            self._thread = 0
        try:
            if self._output:
                self._output.write("summary", self.get_summary())
                self._output.close()
        except Exception as failure:
            self._fail(failure)
        if self._error is not None:
            if kind is None:
                raise self._error
            log.warning("%s: %s", self._name, self._error)  # the block's own goes on

    # ---- What people call ----

    def get_samples(self) -> list[Sample]:
        """The samples so far: trees, or flat ones with include_children=False, as in
        proctally-run(1). The last one is of the end of the block."""
        return list(self._samples)

    def clear_samples(self) -> None:
        """Forgets them. The summary stays what it is."""
        self._samples.clear()

    def save_samples(self, path: StrPath, format: str | None = None) -> None:
        """Writes the samples that are in memory: jsonl (the default), json, csv or, with
        pyarrow, parquet. OSError, ValueError for another format."""
        save_metrics(self.get_samples(), path, format or "jsonl", include_metadata=False)

    def get_metadata(self) -> dict[str, Any]:
        """pid, cmd (a list), executable, t0_ms (milliseconds since 1970)."""
        return {
            "kind": "metadata",
            "pid": os.getpid(),
            "cmd": list(sys.orig_argv),
            "executable": sys.executable,
            "t0_ms": self._begin.unix_ms if self._begin else int(time.time() * 1000),
        }

    def get_summary(self) -> str:
        """JSON text, with the keys of a summary record in proctally-run(1): what was used in
        the block, or so far. cpu_thread_s is what the thread used that ran it, where it began
        and ended in one. RuntimeError before the block, or in the child of a fork."""
        engine = self._engine
        if self._begin is None or engine is None:
            raise RuntimeError("nothing was measured yet; use it in a with block first")
        if engine.pid != os.getpid():
            raise RuntimeError("this block belongs to the process that began it, before a fork")
        now = self._end or engine.read()
        begin = self._begin
        totals = self._totals if self._end else self._total(now)
        wall_s = now.at_s - begin.at_s
        cpu_s = totals.get("cpu_user", 0) + totals.get("cpu_system", 0)
        figures = {key: totals[metric] for _, metric, key in _COUNTERS if metric in totals}
        most = dict(self._most)
        is_exact = now.max_rss_kb > begin.max_rss_kb  # it was reached in the meantime
        if is_exact:
            most["largest_kb"] = now.max_rss_kb
        peaks: dict[str, Any] = {
            name: most[key]
            for name, key in (
                ("max_rss_largest_process_kb", "largest_kb"),
                ("peak_memory_kb", "rss_kb"),
                ("peak_mem_rss_kb", "rss_kb"),
                ("max_processes", "processes"),
                ("max_threads", "threads"),
            )
            if key in most  # nothing is, before the first sample
        }
        if "peak_memory_kb" in peaks:
            peaks["peak_memory_source"] = "rss_sum_sampled"
        if self._rss_s > 0:
            peaks["avg_mem_rss_kb"] = int(self._rss_kb_s / self._rss_s)
        record: dict[str, Any] = {
            "kind": "summary",
            "command": self._name,
            "source": "procfs",
            "wall_s": wall_s,
            "total_time_secs": wall_s,
            **figures,
            **({"cpu_avg": cpu_s / wall_s, "avg_cpu_usage": 100 * cpu_s / wall_s}
               if wall_s and "cpu_user" in totals else {}),
            **peaks,
            "processes_seen": 1 + len(self._seen),
            "samples": self._count,
            "sample_count": self._count,
            "own_cpu_s": sum(now.cost[key] - begin.cost[key] for key in _CPU),
            "exact": [
                *(figures if self._is_alone(now) else ()),
                *(["max_rss_largest_process_kb"] if is_exact else []),
            ],
            "programs": [],
        }
        if self._end and self._thread:
            record["cpu_thread_s"] = self._thread_s
        return json.dumps(record, separators=(",", ":"))

    @property
    def summary(self) -> Summary:
        """The same as an object."""
        return Summary.from_json(self.get_summary())


def monitor(
    base_interval_ms: int = 100,
    max_interval_ms: int = 1000,
    output_file: StrPath | None = None,
    output_format: str = "jsonl",
    store_in_memory: bool = True,
    include_children: bool = True,
) -> Profile:
    """Measures a block of code: this process and all that it starts in the meantime.

    >>> with monitor() as m:
    ...     _ = sum(i * i for i in range(100_000))
    >>> m.summary.cpu_s > 0
    True

    A file that can't be written is an OSError at the end of the block, unless the block itself
    ended with an exception; what was measured stays.

    Blocks may be nested, and open in several threads and coroutines at once: each is of the
    whole process. The parameters are those of ProcessMonitor. Measuring takes less than 1 % of
    a core, which is not counted; a block itself costs about a millisecond.
    """
    return Profile(
        "this process", base_interval_ms, max_interval_ms, output_file, output_format,
        store_in_memory, include_children,
    )


@overload
def profile(  # type: ignore[overload-overlap]  # a coroutine function is a function as well
    func: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, tuple[R, list[Sample]]]]: ...
@overload
def profile(func: Callable[P, R]) -> Callable[P, tuple[R, list[Sample]]]: ...
@overload
def profile(
    func: None = None,
    *,
    base_interval_ms: int = 100,
    max_interval_ms: int = 1000,
    output_file: StrPath | None = None,
    output_format: str = "jsonl",
    store_in_memory: bool = True,
    include_children: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, Any]]: ...
def profile(
    func: Callable[..., Any] | None = None,
    *,
    base_interval_ms: int = 100,
    max_interval_ms: int = 1000,
    output_file: StrPath | None = None,
    output_format: str = "jsonl",
    store_in_memory: bool = True,
    include_children: bool = True,
) -> Any:
    """A decorator, with or without arguments: the call returns (result, samples), where
    samples are dicts as Profile.get_samples() has them. Of an exception there are none.

    >>> @profile
    ... def work():
    ...     return sum(range(1_000_000))
    >>> result, samples = work()
    >>> result, samples[-1]["aggregated"]["cpu_user_s"] > 0
    (499999500000, True)

    A coroutine function stays one; a generator function is a TypeError. The parameters are those
    of monitor().
    """

    def decorate(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(wrapped) or inspect.isasyncgenfunction(wrapped):
            # its call only makes the generator; the work is done where others iterate
            name = getattr(wrapped, "__qualname__", repr(wrapped))
            raise TypeError(
                f"{name} is a generator function, whose call does no work; "
                "use monitor() around the loop over it"
            )

        def block() -> Profile:
            return Profile(
                getattr(wrapped, "__qualname__", repr(wrapped)), base_interval_ms,
                max_interval_ms, output_file, output_format, store_in_memory, include_children,
            )

        if inspect.iscoroutinefunction(wrapped):

            @functools.wraps(wrapped)
            async def run_async(*args: Any, **kwargs: Any) -> tuple[Any, list[Sample]]:
                with block() as measured:
                    result = await wrapped(*args, **kwargs)
                return result, measured.get_samples()

            return run_async

        @functools.wraps(wrapped)
        def run(*args: Any, **kwargs: Any) -> tuple[Any, list[Sample]]:
            with block() as measured:
                result = wrapped(*args, **kwargs)
            return result, measured.get_samples()

        return run

    return decorate if func is None else decorate(func)
