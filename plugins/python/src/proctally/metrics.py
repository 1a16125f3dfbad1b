# SPDX-License-Identifier: MIT
"""The catalogue: every metric with its kind, unit and meaning. See proctally-metrics(7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, Union

from ._native import ffi, lib

Value = Union[int, float]


@dataclass(frozen=True)
class Metric:
    """One metric, as the programs show it with ``proctally metrics``."""

    id: str
    #: What it is, in a sentence without a full stop.
    help: str
    #: A counter never falls while its group exists.
    kind: Literal["gauge", "counter"]
    #: "count" and "bytes" are int; "seconds" (of moments: since 1970) and "ratio"
    #: (1 is the whole) are float.
    unit: Literal["count", "bytes", "seconds", "ratio"]
    #: What has it: groups, and most of these single processes too; the host; the collector.
    scope: Literal["group", "host", "collector", "thread name", "wait channel"]


def _text(of: Any) -> str:
    text: bytes = ffi.string(of)
    return text.decode()


_KINDS: Final = {lib.TALLY_KIND_GAUGE: "gauge", lib.TALLY_KIND_COUNTER: "counter"}
_UNITS: Final = {
    lib.TALLY_UNIT_COUNT: "count",
    lib.TALLY_UNIT_SIGNED: "count",
    lib.TALLY_UNIT_BYTES: "bytes",
    lib.TALLY_UNIT_NS: "seconds",
    lib.TALLY_UNIT_UNIX_NS: "seconds",
    lib.TALLY_UNIT_RATIO: "ratio",
}
_SCOPES: Final = {
    lib.TALLY_SCOPE_GROUP: "group",
    lib.TALLY_SCOPE_HOST: "host",
    lib.TALLY_SCOPE_SELF: "collector",
    lib.TALLY_SCOPE_THREAD_NAME: "thread name",
    lib.TALLY_SCOPE_WAIT_CHANNEL: "wait channel",
}


def _number_of(name: str) -> int:
    number = ffi.new("size_t *")
    if lib.tally_metric_find(name.encode(), number) < 0:
        raise KeyError(name)
    return int(number[0])


class Metrics:
    """Some metrics, and how their raw values become ours."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = list(ids)
        self.count = len(self.ids)
        self._numbers = ffi.new("size_t[]", [_number_of(name) for name in self.ids])
        self._units = [lib.tally_metric(number).unit for number in self._numbers]

    def columns(self, snapshot: Any) -> dict[str, list[Value | None]]:
        """A list for each metric, of the processes in their order."""
        count = self.count
        processes = lib.tally_snapshot_processes(snapshot)
        raw = ffi.new("uint64_t[]", count * processes)
        known = ffi.new("bool[]", count * processes)
        lib.process_values(snapshot, 0, processes, self._numbers, count, raw, known)
        flat, flags = ffi.unpack(raw, count * processes), ffi.buffer(known)[:]
        found: dict[str, list[Value | None]] = {}
        for i, (name, unit) in enumerate(zip(self.ids, self._units)):
            column = flat[i::count]
            if unit == lib.TALLY_UNIT_SIGNED:
                column = [value - (value >> 63 << 64) for value in column]
            elif unit not in (lib.TALLY_UNIT_COUNT, lib.TALLY_UNIT_BYTES):
                column = [value / 1e9 for value in column]
            is_known = flags[i::count]
            if 0 in is_known:
                column = [value if ok else None for value, ok in zip(column, is_known)]
            found[name] = column
        return found

    def values(self, raw: list[int], known: bytes) -> dict[str, Value]:
        """What is known, by id."""
        return {
            name: value
            if unit == lib.TALLY_UNIT_COUNT or unit == lib.TALLY_UNIT_BYTES
            else value / 1e9
            if unit != lib.TALLY_UNIT_SIGNED
            else value - (value >> 63 << 64)
            for name, unit, value, is_known in zip(self.ids, self._units, raw, known)
            if is_known
        }

    def of_group(self, snapshot: Any, group: int) -> dict[str, Value]:
        """Of a group; of the host or the collector, where the group does not matter."""
        raw = ffi.new("uint64_t[]", self.count)
        known = ffi.new("bool[]", self.count)
        lib.group_values(snapshot, group, self._numbers, self.count, raw, known)
        return self.values(ffi.unpack(raw, self.count), ffi.buffer(known)[:])

    def of_processes(self, snapshot: Any, first: int, processes: int) -> list[dict[str, Value]]:
        """Of each of so many processes."""
        count = self.count
        raw = ffi.new("uint64_t[]", count * processes)
        known = ffi.new("bool[]", count * processes)
        lib.process_values(snapshot, first, processes, self._numbers, count, raw, known)
        flat, flags = ffi.unpack(raw, count * processes), ffi.buffer(known)[:]
        return [
            self.values(flat[at : at + count], flags[at : at + count])
            for at in range(0, count * processes, count)
        ]


def _catalogue() -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    number = 0
    while row := lib.tally_metric(number):
        number += 1
        name = _text(row.id)
        found[name] = Metric(
            name,
            _text(row.help),
            _KINDS[row.kind],  # type: ignore[arg-type]
            _UNITS[row.unit],  # type: ignore[arg-type]
            _SCOPES[row.scope],  # type: ignore[arg-type]
        )
    return found


#: All metrics by id.
METRICS: Final[Mapping[str, Metric]] = MappingProxyType(_catalogue())
GROUP: Final = Metrics(name for name, metric in METRICS.items() if metric.scope == "group")
HOST: Final = Metrics(name for name, metric in METRICS.items() if metric.scope == "host")
COLLECTOR: Final = Metrics(name for name, metric in METRICS.items() if metric.scope == "collector")
