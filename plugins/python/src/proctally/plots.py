# SPDX-License-Identifier: MIT
"""Pictures of samples, with matplotlib (``pip install 'proctally[plot]'``).

A stretch in which a figure is not known is a gap, and a panel of which nothing is known says
so. Colours are those of Okabe and Ito with a darker blue, which people with any sight can tell
apart; a program has the same one in all panels.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .files import records_of
from .records import Path, Record, Run, Source, cpu_between, number, runs_of, tree_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as _Axes  # type: ignore[import-not-found, unused-ignore]
    from matplotlib.figure import Figure as _Figure  # type: ignore[import-not-found, unused-ignore]

COLOURS = ("#004488", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_OTHERS, _ENDED = "other programs", "ended, or not read"
_GREYS = {_OTHERS: "#999999", _ENDED: "#D9D9D9"}
_NOT_KNOWN = math.nan


def matplotlib_module(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "plot() and report() need matplotlib, which is not there: pip install 'proctally[plot]'"
        ) from error


# ---- What is drawn -----------------------------------------------------------------------


def shown(name: str) -> str:
    """A program may have any name."""
    text = "".join(c if c.isprintable() else "?" for c in name) or "?"
    text = " " + text if text.startswith("_") else text  # which keeps it out of legends
    return text if len(text) <= 24 else text[:23] + "…"


@dataclass
class _Program:
    """What samples saw of a program."""

    pids: set[int | None] = field(default_factory=set)
    cpu_s: float = 0
    rss_kb_s: float = 0
    largest_rss_kb: float | None = None


@dataclass
class _Sample:
    at_s: float
    """Runs follow one another, whatever the time between them was."""
    begins_s: float | None
    """The time of the sample before; None in the first one of a run."""
    whole: Mapping[str, Any]
    before: Mapping[str, Any] | None
    cpu_percent: float | None
    programs: dict[str, list[Mapping[str, Any]]]


def _main_name(run: Run) -> str:
    command = run.metadata.get("cmd")
    name = run.metadata.get("executable") or (command[0] if command else None)
    return os.path.basename(str(name)) if name else "main process"


def _time_unit(last_s: float) -> tuple[str, float]:
    for name, size, least in (("h", 3600, 3 * 3600), ("min", 60, 180)):
        if last_s >= least:
            return name, size
    return "s", 1


Values = list[float]
Line = tuple[Values, Values]
"""x and y; nan makes a gap."""
Known = Callable[[_Sample], "float | None"]


class Timeline:
    def __init__(self, runs: Iterable[Run]) -> None:
        self.samples: list[_Sample] = []
        self.begins_s: list[float] = []
        """Of the runs."""
        self.programs: dict[str, _Program] = {}
        for run in runs:
            self._add(run)
        self.unit, self.unit_s = _time_unit(self.samples[-1].at_s if self.samples else 0)
        of_cpu = sum(p.cpu_s for p in self.programs.values()) or 1
        of_rss = sum(p.rss_kb_s for p in self.programs.values()) or 1
        shares = {n: p.cpu_s / of_cpu + p.rss_kb_s / of_rss for n, p in self.programs.items()}
        self.ranked = sorted(shares, key=shares.__getitem__, reverse=True)

    def _add(self, run: Run) -> None:
        begin_s = self.samples[-1].at_s if self.samples else 0
        self.begins_s.append(begin_s)
        first_ms: float | None = None
        before: _Sample | None = None
        for i, (record, point) in enumerate(zip(run.samples, run.points, strict=True)):
            if point.at_ms is None:
                continue
            first_ms = point.at_ms if first_ms is None else first_ms
            sample = _Sample(
                at_s=begin_s + (point.at_ms - first_ms) / 1000,
                begins_s=before.at_s if before else None,
                whole=point.values,
                before=before.whole if before else None,
                cpu_percent=cpu_between(run.points[i - 1] if i else None, point),
                programs={},
            )
            tree = tree_of(record)
            processes: list[Mapping[str, Any]] = []
            if tree is None:
                processes = [{"metrics": record}]
            else:
                processes = [{"metrics": tree["parent"]}] if "parent" in tree else []
                processes += tree["children"]
            for process in processes:
                self._note(sample, process, str(process.get("command") or _main_name(run)))
            self.samples.append(sample)
            before = sample

    def _note(self, sample: _Sample, process: Mapping[str, Any], name: str) -> None:
        metrics: Mapping[str, Any] = process["metrics"]
        sample.programs.setdefault(name, []).append(metrics)
        program = self.programs.setdefault(name, _Program())
        program.pids.add(process.get("pid"))
        lasted_s = 0 if sample.begins_s is None else sample.at_s - sample.begins_s
        program.cpu_s += (number(metrics, "cpu_usage") or 0) / 100 * lasted_s
        rss_kb = number(metrics, "mem_rss_kb")
        if rss_kb is not None:
            program.rss_kb_s += rss_kb * lasted_s
            program.largest_rss_kb = max(rss_kb, program.largest_rss_kb or 0)

    def instants(self, figure: Known) -> Line:
        """Straight from sample to sample."""
        x: Values = []
        y: Values = []
        for sample in self.samples:
            if sample.begins_s is None and x:
                x.append(sample.at_s)
                y.append(_NOT_KNOWN)
            x.append(sample.at_s)
            known = figure(sample)
            y.append(_NOT_KNOWN if known is None else known)
        return [at_s / self.unit_s for at_s in x], y

    def intervals(self, figure: Known) -> Line:
        """Level over the time between two samples."""
        x: Values = []
        y: Values = []
        for sample in self.samples:
            known = None if sample.begins_s is None else figure(sample)
            level = _NOT_KNOWN if known is None else known
            x += [sample.at_s if sample.begins_s is None else sample.begins_s, sample.at_s]
            y += [level, level]
        return [at_s / self.unit_s for at_s in x], y

    def counts(self, figure: Known) -> Line:
        """Level as far as half-way to the samples around."""
        x: Values = []
        y: Values = []
        for sample, after in zip(self.samples, [*self.samples[1:], None], strict=True):
            ends = after is None or after.begins_s is None
            begin_s = (
                sample.at_s if sample.begins_s is None else (sample.begins_s + sample.at_s) / 2
            )
            end_s = sample.at_s if after is None or ends else (sample.at_s + after.at_s) / 2
            known = figure(sample)
            x += [begin_s, end_s] + ([end_s] if ends else [])
            y += [_NOT_KNOWN if known is None else known] * 2 + ([_NOT_KNOWN] if ends else [])
        return [at_s / self.unit_s for at_s in x], y


# ---- Panels ------------------------------------------------------------------------------


def unit_of(values: Iterable[float]) -> tuple[str, float]:
    """A unit in which the largest of these bytes is at least 1."""
    largest = _largest(values)
    for name, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if largest >= size:
            return name, size
    return "bytes", 1


def bytes_text(amount: float) -> str:
    unit, size = unit_of([amount])
    return f"{amount / size:.4g} {unit}"


def _figure(sample: _Sample, key: str) -> float | None:
    return number(sample.whole, key)


def _is_known(values: Iterable[float]) -> bool:
    return any(not math.isnan(v) for v in values)


def _largest(values: Iterable[float]) -> float:
    return max((v for v in values if not math.isnan(v)), default=0)


def _nothing(axes: _Axes) -> None:
    axes.set_yticks([])
    axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center")


def _legend(axes: _Axes) -> None:
    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(1.005, 1.03), frameon=False, fontsize="small"
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _line(axes: _Axes, x: Sequence[float], y: Sequence[float], label: str, **style: Any) -> None:
    """With dots where a point has no neighbour, and no line would be seen."""
    around = [_NOT_KNOWN, *y, _NOT_KNOWN]
    lone = [
        i
        for i, value in enumerate(y)
        if not math.isnan(value) and math.isnan(around[i]) and math.isnan(around[i + 2])
    ]
    axes.plot(x, y, label=label, **style)
    axes.plot([x[i] for i in lone], [y[i] for i in lone], "o", color=style["color"], markersize=4)


@dataclass
class _Painter:
    timeline: Timeline

    def _stack(
        self,
        axes: _Axes,
        label: str,
        over_time: Callable[[Known], Line],
        of_whole: Known,
        of_processes: Callable[[Sequence[Mapping[str, Any]]], float],
        rest_name: str | None = None,
        size: float = 1,
    ) -> None:
        """Areas by program under the line of the whole, all divided by size."""
        x, whole = over_time(of_whole)
        axes.set_ylabel(label)
        if not _is_known(whole):
            return _nothing(axes)

        def layer(programs: Callable[[_Sample], Iterable[Sequence[Mapping[str, Any]]]]) -> Values:
            _, values = over_time(lambda s: sum(map(of_processes, programs(s))))
            return [0.0 if math.isnan(value) else value / size for value in values]

        total = [value / size for value in whole]
        named = self.timeline.ranked[: len(COLOURS)]
        layers = {
            name: layer(lambda s, name=name: [s.programs.get(name, ())])  # type: ignore[misc]
            for name in named
        }
        if len(self.timeline.ranked) > len(named):
            layers[_OTHERS] = layer(lambda s: [p for n, p in s.programs.items() if n not in layers])
        if rest_name:
            seen = [sum(values) for values in zip(*layers.values(), strict=True)]
            rest = [max(t - s, 0) for t, s in zip(total, seen or [0.0] * len(x), strict=True)]
            if _largest(rest) > 0.02 * _largest(total):
                layers[rest_name] = rest
        floor = [0.0] * len(x)
        for name, values in layers.items():
            if not any(values):
                continue
            top = [
                _NOT_KNOWN if math.isnan(t) else f + v
                for t, f, v in zip(total, floor, values, strict=True)
            ]
            colour = _GREYS.get(name) or COLOURS[named.index(name)]
            axes.fill_between(x, floor, top, label=shown(name), color=colour, linewidth=0)
            floor = [f if math.isnan(t) else t for f, t in zip(floor, top, strict=True)]
        thin = min(0.8, max(0.25, 150 / len(x)))  # so that it does not hide what is under it
        _line(axes, x, total, "all", color="black", linewidth=thin)
        axes.set_ylim(0, 1.08 * _largest(total) or 1)
        _legend(axes)

    def cpu(self, axes: _Axes) -> None:
        self._stack(
            axes,
            "CPU (cores)",
            self.timeline.intervals,
            lambda s: None if s.cpu_percent is None else s.cpu_percent / 100,
            lambda processes: sum(number(p, "cpu_usage") or 0 for p in processes) / 100,
            rest_name=_ENDED,
        )

    def memory(self, axes: _Axes) -> None:
        of_whole = functools.partial(_figure, key="mem_rss_kb")
        unit, size = unit_of(1024 * kb for kb in self.timeline.instants(of_whole)[1])
        self._stack(
            axes,
            f"resident ({unit})",
            self.timeline.instants,
            of_whole,
            lambda processes: sum(number(p, "mem_rss_kb") or 0 for p in processes),
            size=size / 1024,
        )

    def kinds(self, axes: _Axes) -> None:
        lines = []
        for key, name, colour, style in (
            ("mem_vms_kb", "virtual", COLOURS[5], ":"),
            ("mem_rss_kb", "resident (sum of RSS)", COLOURS[0], "-"),
            ("memory_pss_kb", "proportional (PSS)", COLOURS[2], "--"),
        ):
            x, kb = self.timeline.instants(functools.partial(_figure, key=key))
            if _is_known(kb):
                lines.append((x, [1024 * v for v in kb], name, colour, style))
        axes.set_ylabel("memory (log scale)")
        if not lines:
            return _nothing(axes)
        for x, values, name, colour, style in lines:
            _line(axes, x, values, name, color=colour, linestyle=style)
        ticker = matplotlib_module("matplotlib.ticker")
        doublings = [math.log2(v) for line in lines for v in line[1] if v > 0]
        if doublings:
            axes.set_yscale("log", base=2, nonpositive="mask")
            axes.set_ylim(2 ** math.floor(min(doublings)), 2 ** (math.floor(max(doublings)) + 1))
            axes.yaxis.set_major_locator(ticker.LogLocator(base=2, numticks=8))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: bytes_text(v)))
        _legend(axes)

    def disks(self, axes: _Axes) -> None:
        self._rates(axes, (("read", "disk_read_bytes"), ("written", "disk_write_bytes")))

    def calls(self, axes: _Axes) -> None:
        self._rates(axes, (("read", "syscall_read_bytes"), ("written", "syscall_write_bytes")))

    def _rates(self, axes: _Axes, of: Iterable[tuple[str, str]]) -> None:
        def rate(sample: _Sample, key: str) -> float | None:
            new = number(sample.whole, key)
            old = number(sample.before or {}, key)
            lasted_s = sample.at_s - (sample.begins_s or 0)
            if new is None or old is None or new < old or lasted_s <= 0:
                return None
            return (new - old) / lasted_s

        # the second lies on the first where they are equal, and leaves its rim to be seen
        styles = ({"color": COLOURS[4], "linewidth": 3.5}, {"color": COLOURS[5], "linewidth": 1.2})
        lines = [
            (name, *self.timeline.intervals(functools.partial(rate, key=key)), style)
            for (name, key), style in zip(of, styles, strict=True)
        ]
        lines = [line for line in lines if _is_known(line[2])]
        unit, size = unit_of(v for line in lines for v in line[2])
        axes.set_ylabel(f"{unit}/s")
        if not lines:
            return _nothing(axes)
        for name, x, rates, style in lines:
            _line(axes, x, [v / size for v in rates], name, **style)
        axes.set_ylim(0, 1.08 * _largest(v for line in lines for v in line[2]) / size or 1)
        _legend(axes)

    def processes(self, axes: _Axes) -> None:
        def count(sample: _Sample) -> float | None:
            seen = sum(map(len, sample.programs.values()))
            return number(sample.whole, "process_count") or seen or None

        self._stack(axes, "processes", self.timeline.counts, count, len)
        ticker = matplotlib_module("matplotlib.ticker")
        axes.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))


PANELS = ("cpu", "memory", "kinds", "disks", "calls", "processes")
TITLES = {
    "cpu": "CPU by program",
    "memory": "Memory by program",
    "kinds": "Memory by kind",
    "disks": "Disks",
    "calls": "I/O by calls, which caches may answer",
    "processes": "Processes by program",
}


def draw(timeline: Timeline, panels: Sequence[str], title: str | None) -> _Figure:
    figure: _Figure = matplotlib_module("matplotlib.figure").Figure(
        figsize=(10, 0.5 + 1.9 * len(panels)), layout="constrained"
    )
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    painter = _Painter(timeline)
    for axes, panel in zip(all_axes, panels, strict=True):
        axes.set_title(TITLES[panel], loc="left", fontsize="medium")
        getattr(painter, panel)(axes)
        axes.grid(axis="y", alpha=0.3)
        axes.margins(x=0.01)
        for begin_s in timeline.begins_s[1:]:
            axes.axvline(begin_s / timeline.unit_s, color="black", linestyle=":", linewidth=0.8)
    all_axes[-1].set_xlabel(f"time ({timeline.unit})")
    if title:
        figure.suptitle(title, x=0.01, ha="left").set_parse_math(False)
    return figure


def timeline_of(metrics: Source) -> tuple[list[Record], Timeline]:
    records = records_of(metrics)
    timeline = Timeline(runs_of(records))
    if not timeline.samples:
        raise ValueError("there is no sample; expected at least one with ts_ms")
    return records, timeline


def title_of(records: Iterable[Record]) -> str:
    for record in records:
        if isinstance(record.get("cmd"), list):
            return _shown_command(" ".join(map(str, record["cmd"])))
    return ""


def _shown_command(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= 90 else text[:89] + "…"


def plot(
    metrics: Source,
    path: Path | None = None,
    *,
    panels: Sequence[str] = PANELS,
    title: str | None = None,
) -> _Figure:
    """Draw samples over time, and write the picture to path if that is given.

    metrics are dicts, JSON texts, a monitor or the path of a file. The panels, from top to
    bottom:

    ==========  ======================================================================
    cpu         cores in use, by program; what had ended before it was seen is apart
    memory      resident memory by program: the sum of RSS
    kinds       virtual, resident and, if it was collected, proportional memory
    disks       bytes read from disks and written to them, per second
    calls       bytes read and written by system calls, per second
    processes   how many there were, by program
    ==========  ======================================================================

    title is the command by default. The suffix of path says what it is: png, svg, pdf. Several
    runs stand side by side. The figure that is returned is of no window of pyplot, so that
    there is nothing to close.

    Raises ImportError without matplotlib, ValueError for an unknown panel and where there is
    no sample, and what :func:`load_metrics` raises.
    """
    matplotlib_module("matplotlib.figure")
    wrong = [panel for panel in panels if panel not in PANELS]
    if wrong or not panels:
        raise ValueError(f"got the panels {list(panels)}; expected some of {', '.join(PANELS)}")
    records, timeline = timeline_of(metrics)
    figure = draw(timeline, panels, title_of(records) if title is None else title)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
