# SPDX-License-Identifier: MIT
"""A page about a run, with matplotlib (``pip install 'proctally[plot]'``)."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .analysis import resource_utilization
from .plots import (
    PANELS,
    TITLES,
    Timeline,
    bytes_text,
    draw,
    matplotlib_module,
    shown,
    timeline_of,
    title_of,
)
from .records import Path, Record, Source, number

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em;
  color: #222; background: #fff }
h1 { font-size: 1.3em; overflow-wrap: anywhere } h2 { font-size: 1.1em; margin-top: 1.8em }
table { border-collapse: collapse } td, th { padding: .15em 1em .15em 0; text-align: right;
  border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }
td:first-child, th:first-child { text-align: left } img { max-width: 100% } .note { color: #555 }
"""


def _kb(amount: float) -> str:
    return bytes_text(1024 * amount)


def _seconds(amount: float) -> str:
    return f"{amount:.3f} s" if amount < 100 else f"{amount:.0f} s"


def _plain(amount: float) -> str:
    return f"{amount:.15g}"


_PERCENT = "{:.1f} % of a core".format
_MIB = "{:.4g} MiB".format

_SUMMARY_ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("exit_code", "exit status", _plain),
    ("signal", "ended by signal", _plain),
    ("wall_s", "wall time", _seconds),
    ("cpu_user_s", "CPU time, user", _seconds),
    ("cpu_system_s", "CPU time, system", _seconds),
    ("max_rss_largest_process_kb", "memory, largest process", _kb),
    ("peak_memory_kb", "memory, peak", _kb),
    ("total_disk_read_bytes", "read from disks", bytes_text),
    ("total_disk_write_bytes", "written to disks", bytes_text),
    ("total_syscall_read_bytes", "read by calls", bytes_text),
    ("total_syscall_write_bytes", "written by calls", bytes_text),
    ("processes_started", "processes started", _plain),
    ("max_processes", "processes at a time", _plain),
    ("orphans_left", "processes left behind", _plain),
    ("samples", "samples", _plain),
)
_PEAKS = {
    "memory.peak": "control group",
    "pss_sampled": "sum of PSS",
    "rss_sum_sampled": "sum of RSS",
}
_CERTAIN = ("exit_code", "signal", "wall_s", "orphans_left", "samples")
_SAMPLED_ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("total_time_sec", "time from first to last sample", _seconds),
    ("avg_cpu", "CPU, mean over time", _PERCENT),
    ("median_cpu", "CPU, median over time", _PERCENT),
    ("max_cpu", "CPU, most in a sample", _PERCENT),
    ("avg_mem_mb", "resident memory, mean over time", _MIB),
    ("max_mem_mb", "resident memory, most in a sample", _MIB),
    ("total_read_mb", "read from disks", _MIB),
    ("total_write_mb", "written to disks", _MIB),
    ("avg_threads", "threads, mean over time", "{:.1f}".format),
    ("max_threads", "threads, most in a sample", _plain),
)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>\n"

    head = row(heads, "th") if heads else ""
    return f"<table>\n{head}{''.join(row(cells, 'td') for cells in rows)}</table>\n"


def _summary_table(summary: Mapping[str, Any]) -> str:
    exact = summary.get("exact") or ()
    rows = []
    for key, name, text in _SUMMARY_ROWS:
        value = number(summary, key)
        if value is None:
            continue
        if key == "peak_memory_kb":
            source = str(summary.get("peak_memory_source"))
            name += f", {_PEAKS.get(source, source)}"
            is_exact = source == "memory.peak"
        else:
            is_exact = key in exact or key in _CERTAIN
        rows.append((name, ("" if is_exact else "~") + text(value)))
    return (
        "<h2>The whole run</h2>\n"
        + _table((), rows)
        + '<p class="note">~ may lack what no sample saw.</p>\n'
    )


def _program_table(timeline: Timeline, summary: Mapping[str, Any] | None) -> str:
    """By the summary, which has what ended between samples, else by samples."""
    if summary is not None and isinstance(summary.get("programs"), list):
        found = [
            (
                str(p.get("name")),
                number(p, "count"),
                number(p, "cpu_s"),
                number(p, "max_rss_kb"),
            )
            for p in summary["programs"]
        ]
        mark = "" if "programs" in (summary.get("exact") or ()) else "~"
    else:
        found = [
            (name, len(p.pids), p.cpu_s, p.largest_rss_kb)
            for name, p in sorted(timeline.programs.items(), key=lambda item: -item[1].cpu_s)
        ]
        mark = "~"
    whole_s = sum(cpu_s or 0 for _, _, cpu_s, _ in found)
    rows = [
        (
            shown(name),
            "" if count is None else f"~{count:g}",
            "" if cpu_s is None else mark + _seconds(cpu_s),
            "" if cpu_s is None or not whole_s else f"{mark}{100 * cpu_s / whole_s:.1f} %",
            "" if rss_kb is None else "~" + _kb(rss_kb),
        )
        for name, count, cpu_s, rss_kb in found
    ]
    return "<h2>By program</h2>\n" + _table(
        ("program", "processes", "CPU time", "share", "largest process"), rows
    )


def _summary_of(metrics: Source, records: Iterable[Record]) -> Mapping[str, Any] | None:
    found = [r for r in records if r.get("kind") == "summary"]
    get_summary = getattr(metrics, "get_summary", None)
    if not found and get_summary is not None:
        text = get_summary()
        found = [json.loads(text) if isinstance(text, str) else text]
    return found[-1] if found else None


def report(metrics: Source, path: Path, *, title: str | None = None) -> None:
    """Write a page about samples: the figures, the pictures of :func:`plot`, the programs.

    metrics are as in :func:`plot`. The page is one file of HTML that needs nothing else, no
    network and no script, so that it can be mailed, kept with a build, and searched. What a
    summary knows exactly is taken from it, where the file or the monitor has one; of several
    runs, from the last. What may lack something is marked with ~.

    Raises the errors of :func:`plot`, and OSError if the file can't be written.
    """
    matplotlib_module("matplotlib.figure")
    records, timeline = timeline_of(metrics)
    title = title_of(records) if title is None else title
    summary = _summary_of(metrics, records)
    picture = io.BytesIO()
    draw(timeline, PANELS, None).savefig(picture, format="png", dpi=144)
    image = base64.b64encode(picture.getvalue()).decode()
    figures = resource_utilization(records)
    if summary:  # which knows these better
        figures.pop("total_read_mb", None)
        figures.pop("total_write_mb", None)
    sampled = [(name, text(figures[key])) for key, name, text in _SAMPLED_ROWS if key in figures]
    drawn = "; ".join(TITLES[panel] for panel in PANELS)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title or 'proctally')}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{html.escape(title or 'Samples')}</h1>\n"
        + (_summary_table(summary) if summary else "")
        + "<h2>As samples saw it</h2>\n"
        + _table((), sampled)
        + f'<h2>Over time</h2>\n<img alt="{drawn}" src="data:image/png;base64,{image}">\n'
        + _program_table(timeline, summary)
        + "</body>\n</html>\n"
    )
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(page)
