# SPDX-License-Identifier: MIT
"""The collector: what did each group of processes on this host use?"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Union, overload

from ._native import ffi, lib
from .errors import ConfigError, raise_error
from .metrics import COLLECTOR, GROUP, HOST, Metrics, Value

if TYPE_CHECKING:
    import pandas as _pandas

Option = Union[str, int, float, bool, Sequence[str], Mapping[str, str]]
Rule = Mapping[str, Any]
log = logging.getLogger("proctally")


class Values(Mapping[str, Value]):
    """Values by the ids of the catalogue (``proctally.METRICS`` tells units and meanings).

    What is not known is not there: ``values["io_read"]`` raises KeyError and
    ``values.get("io_read")`` is None, which is not 0.
    """

    _values: Mapping[str, Value]

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self._values)!r})"


class Group(Values):
    """The tally of one group."""

    #: Unique in its snapshot.
    name: str
    #: "user", "unit" and so on, as group_by asks for them, and those of the option labels.
    labels: Mapping[str, str]

    def __init__(self, name: str, labels: Mapping[str, str], values: Mapping[str, Value]) -> None:
        super().__init__(values)
        self.name = name
        self.labels = labels

    def __repr__(self) -> str:
        return f"Group({self.name!r}, {dict(self._values)!r})"

    def to_dict(self) -> dict[str, Any]:
        """{"name": …, "labels": {…}, "metrics": {…}}"""
        return {"name": self.name, "labels": dict(self.labels), "metrics": dict(self)}


class Process(Values):
    """One process that was alive, with what it has used in its whole life."""

    pid: int
    ppid: int
    #: comm, cleaned as names of groups are
    name: str
    #: of the effective user; None: not known
    user: str | None
    #: seconds since 1970; with the pid it is one incarnation
    start_time: float
    #: as in /proc/PID/stat: "R", "S", "D", "Z" …
    state: str
    #: the name of its group; None: it is left out
    group: str | None

    def __init__(self, snapshot: Snapshot, index: int) -> None:
        row = lib.tally_snapshot_process(snapshot._ptr, index)
        self._snapshot = snapshot
        self._index = index
        self.pid = row.pid
        self.ppid = row.ppid
        self.name = ffi.string(row.name).decode()
        self.user = ffi.string(row.user).decode() if row.user else None
        self.start_time = row.start_ns / 1e9
        self.state = row.state.decode(errors="replace")
        self.group = None if row.group == lib.TALLY_NO_GROUP else snapshot._names[row.group]

    @cached_property
    def _values(self) -> Mapping[str, Value]:  # type: ignore[override]
        return self._snapshot._process_values[self._index]

    def _text(self, which: int) -> bytes | None:
        room = ffi.new("char[]", 65536)
        size = lib.tally_snapshot_process_text(self._snapshot._ptr, self._index, which, room, 65536)
        if size < 0 and -size not in (errno.ESRCH, errno.EACCES, errno.EPERM, errno.ENOENT):
            raise OSError(-size, os.strerror(-size))
        return bytes(ffi.buffer(room, size)) if size >= 0 else None

    @property
    def cmdline(self) -> list[str] | None:
        """Its arguments; None: it has ended, or they may not be read. Read now, unless the
        collector keeps them (cmdlines=True)."""
        text = self._text(lib.TALLY_PROCESS_CMDLINE)
        if text is None:
            return None
        return [os.fsdecode(word) for word in text.rstrip(b"\0").split(b"\0")] if text else []

    @property
    def exe(self) -> str | None:
        """The path of the program file, read now."""
        text = self._text(lib.TALLY_PROCESS_EXE)
        return os.fsdecode(text) if text else None

    @property
    def cgroup(self) -> str | None:
        """The path of its control group, read now."""
        text = self._text(lib.TALLY_PROCESS_CGROUP)
        return os.fsdecode(text) if text else None

    def __repr__(self) -> str:
        return f"Process({self.pid}, {self.name!r})"

    def to_dict(self) -> dict[str, Any]:
        """The attributes, and under "metrics" the values."""
        return {
            "pid": self.pid,
            "ppid": self.ppid,
            "name": self.name,
            "user": self.user,
            "start_time": self.start_time,
            "state": self.state,
            "group": self.group,
            "metrics": self._values,
        }


class _Processes(Sequence[Process]):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._count: int = lib.tally_snapshot_processes(snapshot._ptr)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Process: ...
    @overload
    def __getitem__(self, index: slice) -> list[Process]: ...
    def __getitem__(self, index: int | slice) -> Process | list[Process]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            raise IndexError(index)
        return Process(self._snapshot, index)


class Snapshot:
    """The result of one collection. It never changes, may be read by any number of threads,
    and outlives its collector."""

    def __init__(self, ptr: Any) -> None:
        self._ptr = ffi.gc(lib.tally_snapshot_ref(ptr), lib.tally_snapshot_unref)

    @property
    def time(self) -> float:
        """When it was taken, in seconds since 1970."""
        return float(lib.tally_snapshot_time(self._ptr)) / 1e9

    @property
    def interval(self) -> float | None:
        """The seconds since the one before; None: it is the first."""
        return float(lib.tally_snapshot_interval(self._ptr)) / 1e9 or None

    @cached_property
    def _names(self) -> list[str]:
        count = lib.tally_snapshot_groups(self._ptr)
        return [
            ffi.string(lib.tally_snapshot_group_name(self._ptr, i)).decode() for i in range(count)
        ]

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """The groups by name, in the order of their names."""
        return {
            name: Group(name, self._labels(i), GROUP.of_group(self._ptr, i))
            for i, name in enumerate(self._names)
        }

    def _labels(self, group: int) -> dict[str, str]:
        key, value = ffi.new("const char **"), ffi.new("const char **")
        labels: dict[str, str] = {}
        while lib.tally_snapshot_label(self._ptr, group, len(labels), key, value):
            labels[ffi.string(key[0]).decode()] = ffi.string(value[0]).decode()
        return labels

    @cached_property
    def _process_values(self) -> list[dict[str, Value]]:
        return GROUP.of_processes(self._ptr, 0, lib.tally_snapshot_processes(self._ptr))

    @cached_property
    def _attributes(self) -> dict[str, list[Any]]:
        count = lib.tally_snapshot_processes(self._ptr)
        pids, ppids = ffi.new("int64_t[]", count), ffi.new("int64_t[]", count)
        starts, groups = ffi.new("uint64_t[]", count), ffi.new("size_t[]", count)
        states = ffi.new("char[]", count)
        size = 64 * count
        while True:
            room = ffi.new("char[]", size)
            needed = lib.process_columns(
                self._ptr, pids, ppids, starts, states, groups, room, size
            )
            if needed <= size:
                break
            size = needed
        texts = bytes(ffi.buffer(room, needed)).decode().split("\0")
        names = [*self._names, None]
        none = len(self._names)
        return {
            "pid": ffi.unpack(pids, count),
            "ppid": ffi.unpack(ppids, count),
            "name": texts[0:-1:2],
            "user": [None if user == "\1" else user for user in texts[1::2]],
            "start_time": [ns / 1e9 for ns in ffi.unpack(starts, count)],
            "state": list(bytes(ffi.buffer(states)).decode(errors="replace")),
            "group": [names[min(group, none)] for group in ffi.unpack(groups, count)],
        }

    def columns(self, *names: str) -> dict[str, list[Any]]:
        """Attributes of processes ("pid", "ppid", "name", "user", "start_time", "state",
        "group") and metrics by id, each as a list in the order of the processes, with None
        where it is not known: the fastest way to all of them. KeyError for another name.

        >>> snapshot = Collector(source="procfs").collect()
        >>> found = snapshot.columns("pid", "memory_rss")
        >>> len(found["pid"]) == len(found["memory_rss"]) == len(snapshot.processes)
        True
        """
        metrics = Metrics(name for name in names if name not in self._attributes)
        found = {**self._attributes, **metrics.columns(self._ptr)}
        return {name: found[name] for name in names}

    @property
    def processes(self) -> Sequence[Process]:
        """The processes that were alive, by ascending pid."""
        # not kept: each refers to the snapshot, whose memory would wait for the garbage collector
        return _Processes(self)

    @cached_property
    def host(self) -> Values:
        """Uptime, load, users, tasks, CPU time by mode, memory and swap of the host."""
        return Values(HOST.of_group(self._ptr, 0))

    @cached_property
    def collector(self) -> Values:
        """The metrics about the collector: cost, coverage, losses."""
        return Values(COLLECTOR.of_group(self._ptr, 0))

    def to_dict(self) -> dict[str, Any]:
        """{"time", "interval", "groups": [{"name", "labels", "metrics"}], "processes": [{"pid",
        …, "metrics"}], "host": {…}, "collector": {…}}, of plain objects that json can write."""
        return {
            "time": self.time,
            "interval": self.interval,
            "groups": [group.to_dict() for group in self.groups.values()],
            "processes": [process.to_dict() for process in self.processes],
            "host": dict(self.host),
            "collector": dict(self.collector),
        }

    def to_pandas(self, what: Literal["groups", "processes"] = "groups") -> _pandas.DataFrame:
        """A row for each group (the index is its name) or process (its pid), a column for
        each label or attribute and each metric; NaN where it is not known. ImportError
        without pandas."""
        import pandas

        if what == "processes":
            columns = {
                name: values
                for name, values in self.columns(*self._attributes, *GROUP.ids).items()
                if any(value is not None for value in values)
            }
            return pandas.DataFrame(columns).set_index("pid")
        if what != "groups":
            raise ValueError(f'what is {what!r}; expected "groups" or "processes"')
        rows = [{"name": g.name, **g.labels, **g} for g in self.groups.values()]
        return pandas.DataFrame(rows, columns=None if rows else ["name"]).set_index("name")

    def encode(self, dialect: Literal["prometheus", "openmetrics", "influx", "json"]) -> str:
        """The text that the agents get, with the names of the option schema."""
        if dialect not in ("prometheus", "openmetrics", "influx", "json"):
            raise ValueError(
                f'the dialect is {dialect!r}; expected "prometheus", "openmetrics", "influx" or "json"'
            )
        encode = getattr(lib, "tally_encode_" + dialect)
        return _text_of(lambda text, data, size: encode(self._ptr, text, data, size))

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self._names)} groups, {len(self.processes)} processes>"


def _text_of(write: Any) -> str:
    room = ffi.new("tally_text **")
    if (r := lib.tally_text_new(room)) < 0:
        raise_error(r)
    text = ffi.gc(room[0], lib.tally_text_free)
    data, size = ffi.new("const char **"), ffi.new("size_t *")
    if (r := write(text, data, size)) < 0:
        raise_error(r)
    return bytes(ffi.buffer(data[0], size[0])).decode()


def _written(value: str | int | float | bool, is_duration: bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_duration and isinstance(value, (int, float)):
        return f"{value * 1000:.0f}ms"
    return str(value)


_SELECTORS = ("comm", "exe", "cmdline", "user", "cgroup", "unit", "gid", "pid_file", "kernel")


def _rule(rule: Mapping[str, Any], kept: list[Any]) -> Any:
    """The same in C; what it refers to lives as long as what is added to kept."""
    new = ffi.new("struct tally_rule *")
    kept.append(new)
    new.size = ffi.sizeof("struct tally_rule")
    for key, value in rule.items():
        if key == "name" and isinstance(value, str):
            kept.append(ffi.new("char[]", value.encode()))
            new.name = kept[-1]
        elif key == "drop" and isinstance(value, bool):
            new.drop = value
        elif key in ("parent", "not") and isinstance(value, Mapping):
            setattr(new, "unless" if key == "not" else key, _rule(value, kept))
        elif key in _SELECTORS and not isinstance(value, str):
            values = [value] if isinstance(value, bool) else value
            texts = [ffi.new("char[]", _written_selector(one).encode()) for one in values]
            kept += [texts, ffi.new("const char *[]", texts)]
            strings = getattr(new, key)
            strings.items, strings.count = kept[-1], len(texts)
        else:
            raise ConfigError(
                f'"{key}" in a rule is wrong, expected name (a text), drop (True or False), '
                "parent or not (a dict), or as a list " + ", ".join(_SELECTORS)
            )
    return new


def _written_selector(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Collector:
    """Sorts the processes of this host into groups and counts what each has used.

    >>> with Collector(group_by=["user"]) as collector:
    ...     groups = collector.collect().groups
    >>> sum(group["memory_rss"] for group in groups.values()) > 0
    True

    group_by: any of "name", "user", "cmdline", "exe", "cgroup", "unit", "container", "pid".
    rules: what is asked first, as in process_names of proctally.yaml(5); a list of dicts with
    "name", "comm", "exe", "cmdline", "user", "cgroup", "unit", "gid", "pid_file", "kernel",
    "parent" and "not" (dicts of these), "drop".
    source: "auto" (bpf where it can be, which counts what is over too soon for a look into
    /proc; it takes some 0.3 s to load), "procfs" or "bpf".
    config: a file with options and rules; what is given here wins.
    processes, host, cmdlines: what snapshots hold besides groups.
    brief: read less of each process, for half the price (see proctally.h).
    lifetimes: the first snapshot counts what processes have used in their whole lives, and
    not from then on.
    follow: count these processes and all that descends from them, and nothing else.
    options: the other options of proctally.yaml(5), with _ for -: collect=["pss"],
    max_groups=100, interval=2.5 (seconds, or text as in the file).

    Raises ConfigError, ProcessLookupError (no such process to follow), and other OSErrors
    for files. What the programs would say as a warning goes to the logger "proctally".

    A collector may be used by several threads; they take turns. In the child of a fork it
    can't be used. The GIL is free while it collects.
    """

    def __init__(
        self,
        group_by: Iterable[str] | None = None,
        rules: Iterable[Rule] | None = None,
        source: str = "auto",
        *,
        config: str | os.PathLike[str] | None = None,
        processes: bool = True,
        host: bool = True,
        cmdlines: bool = False,
        brief: bool = False,
        lifetimes: bool = False,
        follow: Iterable[int] = (),
        **options: Option,
    ) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._error = ffi.new("struct tally_error *")
        self._ptr: Any = None
        new = ffi.new("tally_config **")
        if (r := lib.tally_config_new(new)) < 0:
            raise_error(r)
        self._config = ffi.gc(new[0], lib.tally_config_free)
        if group_by is not None:
            # a text is an iterable of its letters
            options["group-by"] = group_by if isinstance(group_by, str) else list(group_by)
        if source != "auto" or config is None:
            options["source"] = source
        for name, value in options.items():
            self._set(name, value)
        if rules is not None:
            self._set_rules([dict(rule) for rule in rules])
        if config is not None:
            path = os.fspath(config)
            r = lib.tally_config_load(self._config, os.fsencode(path), self._error)
            if r < 0:
                raise_error(r, self._error, path)
        number = 0
        while lib.tally_config_warning(self._config, number, self._error):
            log.warning("%s", self._said())
            number += 1
        self._open(processes, host, cmdlines, brief, lifetimes, list(follow))

    def _said(self) -> str:
        text: bytes = ffi.string(self._error.text)
        return text.decode(errors="replace")

    def _set(self, name: str, value: Option) -> None:
        row = lib.tally_option_find(name.encode())
        is_duration = bool(row) and row.type == lib.TALLY_OPTION_DURATION
        if isinstance(value, Mapping):
            items = [f"{key}={text}" for key, text in value.items()]
        elif isinstance(value, (str, int, float)):
            items = [_written(value, is_duration)]
        else:
            items = [_written(one, is_duration) for one in value] or [""]
        for item in items:
            r = lib.tally_config_set(self._config, name.encode(), item.encode(), self._error)
            if r < 0:
                raise_error(r, self._error)

    def _set_rules(self, rules: list[dict[str, Any]]) -> None:
        text = json.dumps(rules).encode()
        r = lib.tally_config_set(self._config, b"process_names", text, self._error)
        if r == -errno.ENOTSUP:
            for rule in rules:  # one by one, in a build that can't read YAML
                self._add_rule(rule)
        elif r < 0:
            raise_error(r, self._error)

    def _add_rule(self, rule: dict[str, Any]) -> None:
        kept: list[Any] = []  # memory that the rule refers to
        r = lib.tally_config_add_rule(self._config, _rule(rule, kept), self._error)
        if r < 0:
            raise_error(r, self._error)

    def _open(
        self,
        processes: bool,
        host: bool,
        cmdlines: bool,
        brief: bool,
        lifetimes: bool,
        follow: list[int],
    ) -> None:
        opts = ffi.new("struct tally_new_opts *")
        opts.size = ffi.sizeof("struct tally_new_opts")
        opts.count_lifetimes = lifetimes
        opts.brief = brief
        opts.keep = (
            (lib.TALLY_KEEP_PROCESSES if processes else 0)
            | (lib.TALLY_KEEP_HOST if host else 0)
            | (lib.TALLY_KEEP_CMDLINES if cmdlines else 0)
        )
        pids = ffi.new("pid_t[]", follow)
        if follow:
            opts.follow, opts.follow_count = pids, len(follow)
        new = ffi.new("tally **")
        r = lib.tally_new(self._config, opts, new, self._error)
        if r < 0:
            raise_error(r, self._error)
        self._ptr = ffi.gc(new[0], lib.tally_free)

    def _usable(self) -> Any:
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this collector was made before a fork, and its files belong to the parent; "
                "make one in the child"
            )
        if self._ptr is None:
            raise ValueError("the collector is closed")
        return self._ptr

    def collect(self) -> Snapshot:
        """Collects once. OSError if /proc can't be read; nothing that was counted is lost
        then."""
        with self._lock:
            ptr = self._usable()
            found = ffi.new("const tally_snapshot **")
            r = lib.tally_collect(ptr, found)
            while lib.tally_notice(ptr, self._error):
                log.warning("%s", self._said())
            if r < 0:
                raise_error(r)
            return Snapshot(found[0])

    def explain(self, pid: int) -> str:
        """In plain words, which filter, rule or ancestor decides about a process, and why the
        others do not. ProcessLookupError."""
        with self._lock:
            ptr = self._usable()
            return _text_of(lambda text, data, size: lib.tally_explain(ptr, pid, text, data, size))

    def _interval_s(self) -> float:
        found = ffi.new("uint64_t *")
        lib.tally_config_interval(self._config, found)
        return float(found[0]) / 1e9

    def __iter__(self) -> Iterator[Snapshot]:
        """A snapshot now, and one after each interval (the option ``interval``, 10 s by
        default), without end. One that would be late is left out."""
        every, at = self._interval_s(), time.monotonic()
        while True:
            yield self.collect()
            at = max(at + every, time.monotonic())
            time.sleep(max(0.0, at - time.monotonic()))

    async def __aiter__(self) -> AsyncIterator[Snapshot]:
        """The same for asyncio, whose loop goes on meanwhile."""
        every, at = self._interval_s(), time.monotonic()
        while True:
            yield await asyncio.to_thread(self.collect)
            at = max(at + every, time.monotonic())
            await asyncio.sleep(max(0.0, at - time.monotonic()))

    def close(self) -> None:
        """Lets go of files and memory now; snapshots stay."""
        with self._lock:
            if self._ptr is not None:
                ffi.release(self._ptr)
            self._ptr = None

    def __enter__(self) -> Collector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
