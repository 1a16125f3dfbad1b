# SPDX-License-Identifier: MIT
"""What samples say: averages, peaks, totals, and who it was.

The functions take samples as dicts or JSON texts, flat or as trees (of these they look at all
processes together), a monitor, or the path of a file. Averages are over time, not over
samples: a second of work and 20 seconds of sleep make 4.8 % of a core, however often each of
them was looked at. A figure that is not known is not in the results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .files import convert_format as convert_format
from .files import load_metrics as load_metrics
from .files import records_of
from .files import save_metrics as save_metrics
from .records import (
    COUNTERS,
    GAUGES,
    Point,
    Record,
    Source,
    Stretch,
    Weighted,
    number,
    over_time,
    runs_of,
    tree_of,
    whole_of,
)

MIB = 1024 * 1024


def _stretches(metrics: Source) -> list[Stretch]:
    return [Stretch(run.points) for run in runs_of(records_of(metrics))]


def _all_over_time(stretches: Iterable[Stretch], field: str) -> list[Weighted]:
    """Where no time at all is known, each value weighs the same."""
    values = [value for stretch in stretches for value in over_time(stretch, field)]
    if any(v.weight_ms > 0 for v in values):
        return values
    return [Weighted(v.value, 1, v.index) for v in values]


def _average(values: Sequence[Weighted]) -> float:
    return sum(v.value * v.weight_ms for v in values) / sum(v.weight_ms for v in values)


def _median(values: Sequence[Weighted]) -> float:
    """The value below which it was half of the time."""
    ordered = sorted((v for v in values if v.weight_ms > 0), key=lambda v: v.value)
    half = sum(v.weight_ms for v in ordered) / 2
    passed: float = 0
    for i, value in enumerate(ordered):
        passed += value.weight_ms
        if math.isclose(passed, half) and i + 1 < len(ordered):
            return (value.value + ordered[i + 1].value) / 2
        if passed >= half:
            return value.value
    raise AssertionError("no value has a weight")


def _deviation(values: Sequence[Weighted]) -> float:
    mean = _average(values)
    whole = sum(v.weight_ms for v in values)
    return math.sqrt(sum(v.weight_ms * (v.value - mean) ** 2 for v in values) / whole)


def _measured(stretches: Iterable[Stretch], field: str) -> list[float]:
    """The values as they stand in the samples."""
    points = (point for stretch in stretches for point in stretch.points)
    return [v for v in (number(point.values, field) for point in points) if v is not None]


def _total(stretches: Iterable[Stretch], field: str) -> float | None:
    """Of a counter: its largest value in each run, so that sums over living processes, which
    fall when one ends (denet), do not hide what was there."""
    of_runs = [_measured([stretch], field) for stretch in stretches]
    known = [max(values) for values in of_runs if values]
    return sum(known) if known else None


# ---- aggregate_metrics -------------------------------------------------------------------


def aggregate_metrics(metrics: Source, window_size: int = 10, method: str = "mean") -> list[Record]:
    """Make a flat sample of each window_size samples that follow one another.

    In it cpu_usage, memory, threads and the number of processes are the mean over the time of
    the window, or the max or min of its samples; any other method is taken for the mean.
    Counters and ts_ms are those at the window's end, so that totals stay as they are. Added
    are _aggregated (True), _window_size (how many samples it was made of) and
    _aggregation_method. A window does not reach from one run into the next. Of a window_size
    of 1 or less, the samples come back without any of that.

    >>> rows = [{"ts_ms": t, "cpu_usage": cpu} for t, cpu in ((0, 0), (1000, 90), (4000, 10))]
    >>> aggregate_metrics(rows, window_size=3)[0]["cpu_usage"]
    30.0
    """
    method = method if method in ("max", "min") else "mean"
    result = []
    for stretch in _stretches(metrics):
        if window_size <= 1:
            result += [dict(point.values) for point in stretch.points]
            continue
        by_field = {field: over_time(stretch, field) for field in ("cpu_usage", *GAUGES)}
        for begin in range(0, len(stretch.points), window_size):
            window = stretch.points[begin : begin + window_size]
            inside = range(begin, begin + len(window))
            row = dict(window[-1].values)
            for field, of_stretch in by_field.items():
                values = [v for v in of_stretch if v.index in inside]
                measured = _measured([Stretch(window)], field)
                if method != "mean" and measured:
                    row[field] = max(measured) if method == "max" else min(measured)
                elif values:
                    if not any(v.weight_ms > 0 for v in values):
                        values = [Weighted(v.value, 1, v.index) for v in values]
                    row[field] = _average(values)
            for field in COUNTERS:
                measured = _measured([Stretch(window)], field)
                if measured:
                    row[field] = measured[-1]
            row["_aggregated"] = True
            row["_window_size"] = len(window)
            row["_aggregation_method"] = method
            result.append(row)
    return result


# ---- find_peaks --------------------------------------------------------------------------


def find_peaks(
    metrics: Source, field: str = "cpu_usage", threshold: float = 0.8, window_size: int = 5
) -> list[Record]:
    """The samples in which a figure peaks: those that reach the threshold, while none of the
    window_size samples around has more.

    A threshold of up to 1 is a share of the largest value, one above it is a value: 50 is 50 %
    of one core, or 50 kB of memory. Of equal ones the first is taken. Samples that lack the
    figure are passed over, and a constant 0 has no peaks.

    Each result is the sample with the figures of all processes together at its top, so that
    ``peak["cpu_usage"]`` works, and ``peak["children"]`` tells who it was.

    >>> samples = [{"ts_ms": t, "cpu_usage": cpu} for t, cpu in enumerate((0, 9, 1, 0, 0, 10, 2))]
    >>> [peak["ts_ms"] for peak in find_peaks(samples, window_size=3)]
    [1, 5]
    """
    samples = [sample for run in runs_of(records_of(metrics)) for sample in run.samples]
    known = [
        (value, {**sample, **whole})
        for sample, whole in ((sample, whole_of(sample)) for sample in samples)
        if (value := number(whole, field)) is not None
    ]
    if not known:
        return []
    values = [value for value, _ in known]
    least = threshold if threshold > 1 else threshold * max(values)
    reach = max(window_size // 2, 1)
    return [
        sample
        for i, (value, sample) in enumerate(known)
        if value >= least
        and value > 0
        and all(value > other for other in values[max(0, i - reach) : i])
        and all(value >= other for other in values[i + 1 : i + 1 + reach])
    ]


# ---- resource_utilization ----------------------------------------------------------------


def resource_utilization(metrics: Source) -> dict[str, float]:
    """The figures of all processes together, over the whole time.

    ===================  =============================================================
    avg_cpu              percent of one core, over time; also max_, min_, median_ and
                         stdev_cpu
    avg_mem_mb           resident memory, MiB, over time; also max_, min_, median_ and
                         stdev_mem_mb
    total_read_mb        MiB read from disks
    total_write_mb       MiB written to disks
    total_io_bytes       bytes, both together
    avg_threads          over time; also max_ and min_threads
    total_time_sec       from the first sample to the last; of several runs, all of them
    ===================  =============================================================

    The median is the value below which it was half of the time, and stdev is over time too.
    max and min are those of samples. A figure that no sample knows is left out, and so is
    stdev where there are not two values.

    >>> work = {"ts_ms": 1000, "cpu_usage": 100, "mem_rss_kb": 2048}
    >>> sleep = {"ts_ms": 21000, "cpu_usage": 0, "mem_rss_kb": 2048}
    >>> figures = resource_utilization([{"ts_ms": 0, "mem_rss_kb": 2048}, work, sleep])
    >>> round(figures["avg_cpu"], 1), figures["avg_mem_mb"], figures["total_time_sec"]
    (4.8, 2.0, 21.0)
    """
    stretches = _stretches(metrics)
    result: dict[str, float] = {}
    for name, field, unit in (("cpu", "cpu_usage", 1), ("mem_mb", "mem_rss_kb", 1024)):
        values = _all_over_time(stretches, field)
        if not values:
            continue
        measured = _measured(stretches, field) or [v.value for v in values]
        result[f"avg_{name}"] = _average(values) / unit
        result[f"max_{name}"] = max(measured) / unit
        result[f"min_{name}"] = min(measured) / unit
        result[f"median_{name}"] = _median(values) / unit
        if len(values) > 1:
            result[f"stdev_{name}"] = _deviation(values) / unit
    read, written = (_total(stretches, f"disk_{way}_bytes") for way in ("read", "write"))
    if read is not None:
        result["total_read_mb"] = read / MIB
    if written is not None:
        result["total_write_mb"] = written / MIB
    if read is not None and written is not None:
        result["total_io_bytes"] = read + written
    threads = _all_over_time(stretches, "thread_count")
    if threads:
        result["avg_threads"] = _average(threads)
        result["max_threads"] = max(v.value for v in threads)
        result["min_threads"] = min(v.value for v in threads)
    times = [[p.at_ms for p in stretch.points if p.at_ms is not None] for stretch in stretches]
    if any(times):
        result["total_time_sec"] = sum(t[-1] - t[0] for t in times if t) / 1000
    return result


# ---- process_tree_analysis ---------------------------------------------------------------


def _figures(stretches: Sequence[Stretch]) -> Record:
    result: Record = {}
    for name, field, unit in (
        ("cpu", "cpu_usage", 1),
        ("memory_mb", "mem_rss_kb", 1024),
        ("threads", "thread_count", 1),
    ):
        values = _all_over_time(stretches, field)
        if values:
            result[f"avg_{name}"] = _average(values) / unit
            largest = max(_measured(stretches, field) or [v.value for v in values])
            result[f"max_{name}"] = largest if unit == 1 else largest / unit
    return result


class _Series:
    """The samples of one process, in stretches without a hole."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.last: tuple[int, int] | None = None
        self.commands: list[str] = []

    def add(self, at: tuple[int, int], point: Point, before_ms: float | None) -> None:
        """at: which run, and which sample of it."""
        if self.last != (at[0], at[1] - 1):
            self.stretches.append(Stretch([], before_ms))
        self.last = at
        self.stretches[-1].points.append(point)


def process_tree_analysis(metrics: Source) -> Record:
    """Who it was: figures of each process that samples saw.

    Returns ``{"main_process": F, "child_processes": {pid: F}, "total": F}``. F has avg_cpu and
    max_cpu (percent of one core), avg_memory_mb and max_memory_mb (resident, MiB), avg_threads
    and max_threads, and for a child its command. Averages are over the time that the process
    was seen, those of total over the whole; total also has what those used that lived between
    two samples. Figures that are not known are left out. Without samples the result is ``{}``.

    >>> sample = {"parent": {"cpu_usage": 10.0}, "aggregated": {"ts_ms": 9, "cpu_usage": 40.0},
    ...     "children": [{"pid": 7, "command": "cc", "metrics": {"cpu_usage": 30.0}}]}
    >>> tree = process_tree_analysis([sample])
    >>> tree["child_processes"]
    {7: {'avg_cpu': 30.0, 'max_cpu': 30.0, 'command': 'cc'}}
    """
    main, children = _Series(), dict[int, _Series]()
    runs = runs_of(records_of(metrics))
    for which, run in enumerate(runs):
        for i, (sample, whole) in enumerate(zip(run.samples, run.points, strict=True)):
            at, before_ms = (which, i), run.points[i - 1].at_ms if i else None
            tree = tree_of(sample)
            if tree is None:
                main.add(at, whole, before_ms)
                continue
            if "parent" in tree:
                main.add(at, Point(whole.at_ms, tree["parent"]), before_ms)
            for child in tree["children"]:
                if not isinstance(child.get("pid"), int):
                    continue
                series = children.setdefault(child["pid"], _Series())
                series.add(at, Point(whole.at_ms, child["metrics"]), before_ms)
                if child.get("command"):
                    series.commands.append(child["command"])
    if not runs:
        return {}
    return {
        "main_process": _figures(main.stretches),
        "child_processes": {
            pid: {**_figures(s.stretches), **({"command": s.commands[-1]} if s.commands else {})}
            for pid, s in children.items()
        },
        "total": _figures([run.stretch for run in runs]),
    }
