# SPDX-License-Identifier: MIT
"""plot() and report(): what is known is drawn, what is not is a gap, and names of any kind
do no harm. Pictures are looked at pixel by pixel where that tells something."""

from __future__ import annotations

import base64
import html.parser
import io
import itertools
import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

import proctally
from proctally import plots

pytest.importorskip("matplotlib")
import matplotlib.image  # noqa: E402
import numpy  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

DATA = pathlib.Path(__file__).parent / "data"
EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "python_analysis.py"
REAL = ("run.jsonl", "run.csv", "denet-tree.jsonl", "denet-flat.jsonl", "work-and-sleep.jsonl")


def plot(*arguments: Any, **named: Any) -> Any:
    """Any, as matplotlib's types are too wide for what is looked at here."""
    return proctally.plot(*arguments, **named)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def colours_of(pixels: Any) -> dict[tuple[int, ...], int]:
    """How many pixels there are of each colour."""
    counts: dict[tuple[int, ...], int] = {}
    for row in pixels:
        for r, g, b in row[:, :3].tolist():
            counts[r, g, b] = counts.get((r, g, b), 0) + 1
    return counts


def is_picture(content: bytes | pathlib.Path) -> bool:
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    pixels = (matplotlib.image.imread(file)[:, :, :3] * 255).round().astype(int)
    counts = colours_of(pixels[::2, ::2])
    drawn = sum(counts.get(rgb(colour), 0) for colour in plots.COLOURS)
    return drawn > 500 and counts.get((255, 255, 255), 0) > 1000 and len(counts) > 20


class Drawn:
    """A figure as it is on paper."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        self.pixels = numpy.asarray(canvas.buffer_rgba())

    def colours_at(self, axes: Any, x: float) -> set[tuple[int, ...]]:
        """Of the column of a panel at that time."""
        left, bottom = axes.transData.transform((x, axes.get_ylim()[0]))
        top = axes.transData.transform((x, axes.get_ylim()[1]))[1]
        height = self.pixels.shape[0]
        column = self.pixels[height - int(top) + 3 : height - int(bottom) - 3, int(left)]
        return {(r, g, b) for r, g, b in column[:, :3].tolist()}


def tree(ts: int, whole: dict[str, Any], *children: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "kind": "tree",
        "ts_ms": ts,
        "children": [
            {"pid": i, "command": name, "metrics": metrics}
            for i, (name, metrics) in enumerate(children, 10)
        ],
        "aggregated": {"ts_ms": ts, **whole},
    }


def labels_of(axes: Any) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


# ---- Real files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suffix"), [*((name, "png") for name in REAL), (REAL[0], "svg"), (REAL[0], "pdf")]
)
def test_real_files(name: str, suffix: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / f"plot.{suffix}"
    figure = plot(DATA / name, path)
    assert path.stat().st_size > 5000
    assert suffix != "png" or is_picture(path)
    assert len(figure.axes) == len(plots.PANELS)
    for axes in figure.axes:
        assert axes.get_ylabel() and axes.get_title(loc="left")
        assert labels_of(axes)
    assert figure.axes[-1].get_xlabel() == "time (s)"


def test_units_and_names_are_on_it() -> None:
    figure = plot(DATA / "run.jsonl")
    by_title = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert by_title["CPU by program"].get_ylabel() == "CPU (cores)"
    assert by_title["Memory by program"].get_ylabel() == "resident (MiB)"
    Drawn(figure)
    ticks = [label.get_text() for label in by_title["Memory by kind"].get_yticklabels()]
    assert "4 MiB" in ticks and by_title["Memory by kind"].get_ylabel() == "memory (log scale)"
    assert by_title["I/O by calls, which caches may answer"].get_ylabel() == "GiB/s"
    assert {"sh", "dd", "all"} <= set(labels_of(by_title["CPU by program"]))
    assert labels_of(by_title["Memory by kind"]) == ["virtual", "resident (sum of RSS)"]
    assert [text.get_text()[:15] for text in figure.texts] == ["/bin/sh -c i=0;"]


def test_the_height_of_a_panel_is_the_figure() -> None:
    samples = proctally.load_metrics(DATA / "run.jsonl")
    (cpu, kinds) = plot(samples, panels=["cpu", "kinds"]).axes
    whole = [sample["aggregated"] for sample in samples]
    drawn = [y for y in cpu.lines[0].get_ydata() if y == y]
    assert max(drawn) == pytest.approx(max(w.get("cpu_usage", 0) for w in whole) / 100, rel=0.02)
    rss = kinds.lines[2].get_ydata()
    assert max(rss) == max(w["mem_rss_kb"] for w in whole) * 1024


# ---- What is not known -------------------------------------------------------------------


def test_a_stretch_that_is_not_known_is_a_gap() -> None:
    figures = {"cpu_usage": 50, "mem_rss_kb": 4096}
    samples = [tree(1000 * t, {} if 4 <= t <= 6 else figures, ("cc", figures)) for t in range(11)]
    drawn = Drawn(plot(samples, panels=["cpu", "memory"]))
    blue = rgb(plots.COLOURS[0])
    for axes in drawn.figure.axes:
        assert blue in drawn.colours_at(axes, 2.5)
        assert blue in drawn.colours_at(axes, 8.5)
        assert not {blue, (0, 0, 0)} & drawn.colours_at(axes, 5.5)


def test_nothing_known_says_so_and_zero_is_drawn() -> None:
    figure = plot([{"ts_ms": 0}, {"ts_ms": 1000, "disk_read_bytes": 0}])
    texts = {
        axes.get_title(loc="left"): [text.get_text() for text in axes.texts] for axes in figure.axes
    }
    assert all(t == ["not measured"] for name, t in texts.items() if "Processes" not in name)
    nought = [{"ts_ms": t, "cpu_usage": 0, "disk_read_bytes": 0} for t in (0, 1000)]
    cpu, disks = plot(nought, panels=["cpu", "disks"]).axes
    assert not cpu.texts and not disks.texts
    assert labels_of(disks) == ["read"] and disks.get_ylim() == (0, 1)


def test_a_lone_sample_is_a_dot() -> None:
    (memory,) = plot([{"ts_ms": 5, "mem_rss_kb": 2048}], panels=["memory"]).axes
    dots = [line for line in memory.lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in dots] == [[2.0]]


def test_no_memory_at_all_is_drawn_too() -> None:
    """A zombie has 0, which is no place on a logarithmic scale."""
    (kinds,) = plot([{"ts_ms": t, "mem_rss_kb": 0} for t in (0, 9)], panels=["kinds"]).axes
    assert kinds.get_yscale() == "linear" and list(kinds.lines[0].get_ydata()) == [0, 0]


def test_what_ended_between_samples_is_apart() -> None:
    samples = [tree(1000 * t, {"cpu_usage": 90}, ("cc", {"cpu_usage": 10})) for t in range(4)]
    drawn = Drawn(plot(samples, panels=["cpu"]))
    (axes,) = drawn.figure.axes
    assert labels_of(axes) == ["cc", "ended, or not read", "all"]
    assert {rgb(plots.COLOURS[0]), rgb("#D9D9D9")} <= drawn.colours_at(axes, 1.5)


def test_counters_that_fall_are_no_rate() -> None:
    """denet's sums over living processes fall when one ends."""
    values = (0, 1 << 20, 1 << 10, 1 << 11)
    samples = [{"ts_ms": 1000 * i, "disk_read_bytes": v} for i, v in enumerate(values)]
    (axes,) = plot(samples, panels=["disks"]).axes
    assert [y for y in axes.lines[0].get_ydata() if y == y] == [1.0, 1.0, 2**-10, 2**-10]


# ---- Many, long, hostile -----------------------------------------------------------------

HOSTILE = ["_hidden", "$x^$", "a\nb\t\x1b[31m", "<b>&\"'</b>", "日本語", "x" * 400, "\\frac{", " "]


@pytest.mark.filterwarnings("ignore:Glyph")  # the font may lack them, and shows boxes
def test_names_of_any_kind(tmp_path: pathlib.Path) -> None:
    children = [(name, {"cpu_usage": 5.0, "mem_rss_kb": 99}) for name in HOSTILE]
    samples = [tree(1000 * t, {"cpu_usage": 60, "mem_rss_kb": 999}, *children) for t in range(3)]
    metadata = {"kind": "metadata", "cmd": ["<script>alert(1)</script>", "$\\frac{$"], "t0_ms": 0}
    figure = plot([metadata, *samples], tmp_path / "x.png")
    assert is_picture(tmp_path / "x.png")
    labels = labels_of(figure.axes[0])
    assert labels[:4] == [" _hidden", "$x^$", "a?b??[31m", HOSTILE[3]]
    assert labels[6:] == ["other programs", "ended, or not read", "all"]
    proctally.report([metadata, *samples], tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    assert "<script" not in page and "<b>" not in page and "&lt;script&gt;" in page


def test_many_programs_and_samples(tmp_path: pathlib.Path) -> None:
    samples = [
        tree(100 * t, {"cpu_usage": 100, "mem_rss_kb": 999}, (f"p{t % 300}", {"cpu_usage": 99}))
        for t in range(10_000)
    ]
    figure = plot(samples, tmp_path / "x.png")
    assert len(labels_of(figure.axes[0])) == len(plots.COLOURS) + 2
    assert figure.axes[-1].get_xlabel() == "time (min)"
    assert is_picture(tmp_path / "x.png")


def test_runs_stand_side_by_side() -> None:
    run = [{"ts_ms": 1000 * t, "uptime_secs": t, "cpu_usage": 50.0} for t in range(5)]
    later = [{**sample, "ts_ms": sample["ts_ms"] + 86_400_000} for sample in run]
    (axes,) = plot(run + later, panels=["cpu"]).axes
    assert axes.get_xlim()[1] < 9
    assert any(list(line.get_xdata()) == [4.0, 4.0] for line in axes.lines)


def test_colours_can_be_told_apart_by_anybody() -> None:
    """After Machado, Oliveira and Fernandes (2009), for those who lack one kind of cones."""
    lacking = {
        "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
        "green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
        "blue": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
    }

    def seen(colour: str, matrix: Any) -> list[float]:
        linear = [(c / 255) ** 2.2 for c in rgb(colour)]
        mixed = [sum(m * c for m, c in zip(row, linear, strict=True)) for row in matrix]
        return [max(c, 0) ** (1 / 2.2) for c in mixed]

    for name, matrix in lacking.items():
        for one, other in itertools.combinations(plots.COLOURS, 2):
            pair = zip(seen(one, matrix), seen(other, matrix), strict=True)
            assert sum((a - b) ** 2 for a, b in pair) ** 0.5 > 0.15, (name, one, other)


# ---- Mistakes ----------------------------------------------------------------------------


def test_mistakes(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"panels \['cpus'\]; expected some of cpu, memory"):
        proctally.plot(DATA / "run.jsonl", panels=["cpus"])
    with pytest.raises(ValueError, match="expected some of"):
        proctally.plot(DATA / "run.jsonl", panels=[])
    for samples in ([], [{"kind": "exit", "ts_ms": 1}], [{"cpu_usage": 1}]):
        with pytest.raises(ValueError, match="no sample; expected at least one with ts_ms"):
            proctally.report(samples, tmp_path / "x.html")
    with pytest.raises(FileNotFoundError):
        proctally.plot(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        proctally.report(DATA / "run.jsonl", tmp_path / "none" / "x.html")


def test_without_matplotlib_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (proctally.plot, lambda m: proctally.report(m, "x")):
        with pytest.raises(ImportError, match=r"pip install 'proctally\[plot\]'"):
            call(DATA / "run.jsonl")


def test_import_does_not_need_matplotlib() -> None:
    code = "import proctally, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- The report --------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for k, v in attributes if k in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def page_of(metrics: Any, path: pathlib.Path) -> Page:
    proctally.report(metrics, path)
    page = Page(path.read_text())
    assert page.open == []
    (link,) = page.links
    head, picture = link.split(",")
    assert head == "data:image/png;base64"
    assert is_picture(base64.b64decode(picture))
    return page


def test_report_has_what_the_summary_knows(tmp_path: pathlib.Path) -> None:
    page = page_of(DATA / "run.jsonl", tmp_path / "x.html")
    rows = {row[0]: row[1:] for row in page.rows}
    lines = (DATA / "run.jsonl").read_text().splitlines()
    summary = next(r for r in map(json.loads, lines) if r["kind"] == "summary")
    assert rows["exit status"] == ["0"]
    assert rows["CPU time, user"] == [f"{summary['cpu_user_s']:.3f} s"]
    assert rows["processes at a time"] == [f"~{summary['max_processes']}"]
    for program in summary["programs"]:
        count, cpu, _, _ = rows[program["name"]]
        assert (count, cpu) == (f"~{program['count']}", f"{program['cpu_s']:.3f} s")


def test_report_of_samples_alone(tmp_path: pathlib.Path) -> None:
    page = page_of(DATA / "denet-tree.jsonl", tmp_path / "x.html")
    rows = {row[0]: row[1:] for row in page.rows}
    assert "exit status" not in rows
    assert rows["dash"][1].startswith("~") and rows["sleep"][0] == "~1"
    figures = proctally.resource_utilization(DATA / "denet-tree.jsonl")
    assert rows["CPU, mean over time"] == [f"{figures['avg_cpu']:.1f} % of a core"]


def test_report_of_a_monitor(tmp_path: pathlib.Path) -> None:
    class Monitor:
        def get_metadata(self) -> dict[str, Any]:
            return {"pid": 1, "cmd": ["x", "y z"], "executable": "/bin/x", "t0_ms": 0}

        def get_samples(self) -> list[dict[str, Any]]:
            return [{"ts_ms": 1000 * t, "cpu_usage": 99.0, "mem_rss_kb": 9} for t in range(3)]

        def get_summary(self) -> str:
            return '{"exit_code": 3, "wall_s": 2.5, "exact": ["cpu_user_s"], "cpu_user_s": 1.5}'

    page = page_of(Monitor(), tmp_path / "x.html")
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["exit status"] == ["3"] and rows["CPU time, user"] == ["1.500 s"]
    assert rows["x"] == ["~1", "~1.980 s", "~100.0 %", "~9 KiB"]


# ---- The example -------------------------------------------------------------------------


def test_example_makes_its_pictures(tmp_path: pathlib.Path) -> None:
    if not EXAMPLE.exists():
        pytest.skip("examples/ is not here: this is not the source tree")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "proctally-analysis"
    for name in ("run.png", "cpu.png"):
        assert is_picture(folder / name)
    page = Page((folder / "report.html").read_text())
    assert is_picture(base64.b64decode(page.links[0].split(",")[1]))
    assert (folder / "run.csv").read_text().startswith("ts_ms,cpu_usage,mem_rss_kb,mem_vms_kb,")
    assert "gzip" in done.stdout
