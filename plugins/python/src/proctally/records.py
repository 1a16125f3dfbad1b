# SPDX-License-Identifier: MIT
"""What a record is, whoever wrote it.

A sample is either *flat*, ``{"ts_ms": 0, "cpu_usage": 99.5, "mem_rss_kb": 1024, ...}``, or a
*tree*, ``{"kind": "tree", "ts_ms": 0, "parent": M, "children": [{"pid": 7, "command": "cc",
"metrics": M}], "aggregated": M}`` with such flat ones inside. Both come from
``proctally run --json``, from this package and from denet. A figure that is not there is not
known; nothing here takes it for 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Record = dict[str, Any]


class HasSamples(Protocol):
    """A monitor: what it has seen so far, as dicts or as JSON texts."""

    def get_samples(self) -> Iterable[Any]: ...


Path = str | os.PathLike[str]
Records = Iterable[Mapping[str, Any] | str]
Source = Path | HasSamples | Records
"""Where samples come from: a file, a monitor, or dicts or JSON texts."""

COUNTERS = (
    "cpu_user_s",
    "cpu_system_s",
    "disk_read_bytes",
    "disk_write_bytes",
    "syscall_read_bytes",
    "syscall_write_bytes",
    "page_faults_cached",
    "page_faults_disk",
    "sys_net_rx_bytes",
    "sys_net_tx_bytes",
)
"""They grow from the beginning of a run on. ``uptime_secs`` does too, but is not summed."""
GAUGES = (
    "mem_rss_kb",
    "mem_vms_kb",
    "memory_pss_kb",
    "thread_count",
    "process_count",
)
"""True at the instant of the sample. ``cpu_usage`` is of the time since the sample before.
``max_rss_kb``, the most that one process ever had, is neither averaged nor summed."""


_BEYOND = 1e20  # no 64 bits of the kernel reach it


def number(of: Mapping[str, Any], key: str) -> float | None:
    """The value of a figure, or None if it is not known.

    >>> number({"cpu_usage": 12.5}, "cpu_usage"), number({}, "cpu_usage")
    (12.5, None)
    """
    value = of.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < _BEYOND else None  # nor is nan, or infinity


def is_metadata(record: Mapping[str, Any]) -> bool:
    """Does it tell what is watched? denet's first versions wrote that without a kind."""
    kind = record.get("kind")
    return kind == "metadata" or (kind is None and "ts_ms" not in record and "t0_ms" in record)


def is_sample(record: Mapping[str, Any]) -> bool:
    return record.get("kind") in (None, "sample", "tree") and not is_metadata(record)


def tree_of(record: Mapping[str, Any]) -> Record | None:
    """A tree with all of its parts but for a parent that is not known; None for a flat sample.

    Where a sample has no sums, as the trees of denet's first versions, they are made; there
    the process itself is around its ``child_processes``.
    """
    children = record.get("children", record.get("child_processes"))
    parent, whole = record.get("parent"), record.get("aggregated")
    if not isinstance(children, list) and not isinstance(whole, dict):
        return None
    inner = ("parent", "children", "child_processes", "aggregated")
    outer = {k: v for k, v in record.items() if k not in inner}
    if not isinstance(parent, dict):
        parent = None if isinstance(whole, dict) else outer
    parts = []
    for child in children if isinstance(children, list) else ():
        if isinstance(child, dict):
            who = {k: child[k] for k in ("pid", "command") if k in child}
            metrics = {k: v for k, v in child.items() if k not in who}
            parts.append(
                child if isinstance(child.get("metrics"), dict) else {**who, "metrics": metrics}
            )
    if not isinstance(whole, dict):
        main = parent or {}
        members = [main, *(part["metrics"] for part in parts)]
        whole = {k: main[k] for k in ("ts_ms", "uptime_secs") if k in main}
        for key in ("cpu_usage", *GAUGES, *COUNTERS):
            known = [v for v in (number(member, key) for member in members) if v is not None]
            if known:
                whole[key] = sum(known)
        whole["process_count"] = len(members)
    tree = {"kind": "tree", **(outer if parent is not outer else {})}
    if "ts_ms" in record:
        tree["ts_ms"] = record["ts_ms"]
    if parent is not None:
        tree["parent"] = parent
    return {**tree, "children": parts, "aggregated": whole}


def whole_of(record: Mapping[str, Any]) -> Record:
    """All processes of a sample together, as a flat sample.

    >>> whole_of({"ts_ms": 5, "parent": {"mem_rss_kb": 1}, "children": [
    ...     {"pid": 2, "metrics": {"mem_rss_kb": 3, "thread_count": 1}}]})
    {'ts_ms': 5, 'mem_rss_kb': 4, 'thread_count': 1, 'process_count': 2}
    """
    tree = tree_of(record)
    if tree is None:
        return dict(record)
    return {**({"ts_ms": tree["ts_ms"]} if "ts_ms" in tree else {}), **tree["aggregated"]}


def parse_records(source: Records) -> list[Record]:
    """Dicts of what may be dicts or JSON texts. ValueError, with the number of the item."""
    result = []
    for i, item in enumerate(source):
        record = item
        if isinstance(item, str):
            try:
                record = json.loads(item)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"item {i}: {error}; expected a JSON object") from None
        if not isinstance(record, Mapping):
            raise ValueError(f"item {i} is {record!r:.60}; expected a dict or a JSON object")
        result.append(dict(record))
    return result


# ---- Runs --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A flat sample of something; at_ms is None in data without times."""

    at_ms: float | None
    values: Mapping[str, Any]


@dataclass
class Stretch:
    """Samples that follow one another.

    before_ms is the time of the last sample that lacked the thing, if there was one: the
    first cpu_usage is of the time since then.
    """

    points: list[Point]
    before_ms: float | None = None


@dataclass
class Run:
    """One execution of a command: a file to which two runs were written has two."""

    metadata: Record
    samples: list[Record]
    points: list[Point]

    @property
    def stretch(self) -> Stretch:
        return Stretch(self.points)


def cpu_time_s(of: Mapping[str, Any]) -> float | None:
    """User and system time since the beginning; None if either is not known (denet)."""
    user, system = number(of, "cpu_user_s"), number(of, "cpu_system_s")
    return None if user is None or system is None else user + system


def _follows(before: Point, after: Point) -> bool:
    if before.at_ms is not None and after.at_ms is not None and after.at_ms < before.at_ms:
        return False
    for key in ("uptime_secs", "cpu_user_s"):
        old, new = number(before.values, key), number(after.values, key)
        if old is not None and new is not None and new < old:
            return False
    return True


def runs_of(records: Iterable[Record]) -> list[Run]:
    """The samples among them, by runs: each begins with its metadata, or where the time of a
    run begins anew. Runs without a sample are left out."""
    runs: list[Run] = []
    metadata: Record | None = None
    for record in records:
        if is_metadata(record):
            metadata = record
        if not is_sample(record):
            continue
        whole = whole_of(record)
        point = Point(number(whole, "ts_ms"), whole)
        if metadata is not None or not runs or not _follows(runs[-1].points[-1], point):
            runs.append(Run(metadata or {}, [], []))
            metadata = None
        runs[-1].samples.append(record)
        runs[-1].points.append(point)
    return runs


# ---- Over time ---------------------------------------------------------------------------


def cpu_between(before: Point | None, after: Point) -> float | None:
    """Percent of one core between two samples: by the CPU time if both know it, which holds
    also where samples between them were left out."""
    if before is not None and before.at_ms is not None and after.at_ms is not None:
        old, new = cpu_time_s(before.values), cpu_time_s(after.values)
        if old is not None and new is not None and new >= old and after.at_ms > before.at_ms:
            return 100_000 * (new - old) / (after.at_ms - before.at_ms)
    return number(after.values, "cpu_usage")


@dataclass(frozen=True)
class Weighted:
    """A value and the time, in ms, that it stands for. 0: the time is not known."""

    value: float
    weight_ms: float
    index: int
    """Of the sample in its stretch."""


def over_time(stretch: Stretch, field: str) -> list[Weighted]:
    """The known values of a figure, each with its time.

    cpu_usage is of the time since the sample before; a gauge stands for the time half-way to
    its neighbours, which adds up to the trapezoidal rule.
    """
    points = stretch.points
    times = [point.at_ms for point in points]
    spans = [
        max(b - a, 0) if a is not None and b is not None else 0
        for a, b in zip([stretch.before_ms, *times[:-1]], times, strict=True)
    ]
    result = []
    for i, point in enumerate(points):
        if field == "cpu_usage":
            value = cpu_between(points[i - 1] if i else None, point)
            weight_ms = spans[i]
        else:
            value = number(point.values, field)
            around = (spans[i] if i else 0, spans[i + 1] if i + 1 < len(spans) else 0)
            weight_ms = sum(around) / 2
        if value is not None:
            result.append(Weighted(value, weight_ms, i))
    return result
