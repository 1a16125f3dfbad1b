# SPDX-License-Identifier: MIT
"""What samples say, of real files of proctally and of denet, and of made ones.

work-and-sleep.jsonl (proctally) and denet-flat.jsonl are both of a program that uses 1 s of
CPU time and then sleeps for 20 s; run.jsonl and denet-tree.jsonl of a shell that counts, and
starts a dd and a sleep."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

import proctally
from proctally import records

DATA = pathlib.Path(__file__).parent / "data"


def summary_of(name: str) -> dict[str, Any]:
    lines = (DATA / name).read_text().splitlines()
    found: dict[str, Any] = next(r for r in map(json.loads, lines) if r["kind"] == "summary")
    return found


# ---- Averages are over time --------------------------------------------------------------


@pytest.mark.parametrize("name", ["work-and-sleep.jsonl", "denet-flat.jsonl"])
def test_a_second_of_work_and_twenty_of_sleep(name: str) -> None:
    samples = proctally.load_metrics(DATA / name)
    figures = proctally.resource_utilization(samples)
    by_count = [s["cpu_usage"] for s in map(records.whole_of, samples) if "cpu_usage" in s]
    assert 21 < figures["total_time_sec"] < 24
    assert figures["avg_cpu"] == pytest.approx(100 / figures["total_time_sec"], rel=0.04)
    assert sum(by_count) / len(by_count) > 1.5 * figures["avg_cpu"]  # what denet gives
    assert figures["median_cpu"] == 0.0  # it slept more than half of the time
    aggregated = proctally.aggregate_metrics(samples, window_size=7)
    assert len(aggregated) == -(-len(samples) // 7)
    assert records.whole_of(samples[-1])["ts_ms"] == aggregated[-1]["ts_ms"]


def test_average_is_that_of_the_programs_summary() -> None:
    summary = summary_of("work-and-sleep.jsonl")
    figures = proctally.resource_utilization(DATA / "work-and-sleep.jsonl")
    assert figures["avg_cpu"] == pytest.approx(summary["avg_cpu_usage"], rel=0.02)
    assert figures["avg_mem_mb"] == pytest.approx(summary["avg_mem_rss_kb"] / 1024, rel=0.02)
    assert figures["max_mem_mb"] == summary["peak_mem_rss_kb"] / 1024
    assert figures["total_time_sec"] == pytest.approx(summary["wall_s"], rel=0.02)


def test_program_agrees(tmp_path: pathlib.Path) -> None:
    program = shutil.which("proctally")
    if program is None:
        pytest.skip("the program proctally is not on PATH")
    work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 1"
    path = tmp_path / "run.jsonl"
    subprocess.run([program, "run", "-q", "--out", str(path), "sh", "-c", work], check=True)
    text = subprocess.run(
        [program, "summary", "--json", str(path)], check=True, capture_output=True, text=True
    ).stdout
    summary = json.loads(text)
    figures = proctally.resource_utilization(path)
    sampled_s = figures["avg_cpu"] / 100 * figures["total_time_sec"]
    whole_s = summary["cpu_user_s"] + summary["cpu_system_s"]
    assert 0 < sampled_s <= whole_s * 1.01 + 0.02
    assert figures["max_mem_mb"] == summary["peak_mem_rss_kb"] / 1024


def rows(*values: tuple[float, float | None]) -> list[dict[str, Any]]:
    return [
        {"ts_ms": ts, **({} if cpu is None else {"cpu_usage": cpu, "mem_rss_kb": cpu * 1024})}
        for ts, cpu in values
    ]


def test_unequal_intervals() -> None:
    figures = proctally.resource_utilization(rows((0, 0), (1000, 100), (21000, 0)))
    assert figures["avg_cpu"] == pytest.approx(100 / 21)
    assert figures["avg_mem_mb"] == pytest.approx((50 * 1 + 50 * 20) / 21)  # a line between two
    assert (figures["max_cpu"], figures["min_cpu"], figures["median_cpu"]) == (100, 0, 0)
    mostly = rows((0, None), (1500, 10), (3500, 20), (4000, 30))
    assert proctally.resource_utilization(mostly)["median_cpu"] == 20
    halves = rows((0, None), (1000, 10), (2000, 20))
    assert proctally.resource_utilization(halves)["median_cpu"] == 15
    assert figures["stdev_cpu"] == pytest.approx((100 / 21 * (100 - 100 / 21)) ** 0.5)


def test_cpu_time_counts_where_samples_were_left_out() -> None:
    samples = proctally.load_metrics(DATA / "work-and-sleep.jsonl")
    thinned = samples[:1] + samples[5:-1:7] + samples[-1:]
    all_of_them = proctally.resource_utilization(samples)["avg_cpu"]
    assert proctally.resource_utilization(thinned)["avg_cpu"] == pytest.approx(all_of_them)


SAMPLES = st.lists(
    st.tuples(st.integers(1, 60_000), st.none() | st.integers(0, 6400)), min_size=1, max_size=40
).map(
    lambda steps: rows(
        *((sum(ms for ms, _ in steps[: i + 1]), cpu) for i, (_, cpu) in enumerate(steps))
    )
)


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(SAMPLES, st.integers(2, 12))
def test_averages_lie_between_and_aggregation_keeps_them(
    samples: list[dict[str, Any]], window_size: int
) -> None:
    figures = proctally.resource_utilization(samples)
    for name in ("cpu", "mem_mb"):
        if f"avg_{name}" in figures:
            least, most = figures[f"min_{name}"], figures[f"max_{name}"]
            slack = 1e-9 * most
            assert least - slack <= figures[f"avg_{name}"] <= most + slack
            assert least <= figures[f"median_{name}"] <= most
            assert figures.get(f"stdev_{name}", 0) <= (most - least) / 2 + slack
    for method in ("mean", "max", "min"):
        windows = proctally.aggregate_metrics(samples, window_size, method)
        assert sum(w["_window_size"] for w in windows) == len(samples)
        assert {w["_aggregation_method"] for w in windows} == {method}
        assert [w["ts_ms"] for w in windows] == [
            samples[min(i + window_size, len(samples)) - 1]["ts_ms"]
            for i in range(0, len(samples), window_size)
        ]
        for i, window in enumerate(windows):
            inside = samples[i * window_size : (i + 1) * window_size]
            known = [s["cpu_usage"] for s in inside if "cpu_usage" in s]
            assert ("cpu_usage" in window) == bool(known)
            if known and method != "mean":
                assert window["cpu_usage"] == (max if method == "max" else min)(known)


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(
    st.lists(st.tuples(st.integers(1, 9000), st.integers(0, 400)), min_size=3, max_size=40),
    st.integers(2, 12),
)
def test_the_mean_of_windows_keeps_the_cpu_time(
    steps: list[tuple[int, int]], window_size: int
) -> None:
    at, samples = 0, [{"ts_ms": 0}]
    for ms, cpu in steps:
        at += ms
        samples.append({"ts_ms": at, "cpu_usage": cpu})
    windows = proctally.aggregate_metrics(samples, window_size)
    ends = [w["ts_ms"] for w in windows]
    used = sum(
        w.get("cpu_usage", 0) * (end - begin)
        for w, begin, end in zip(windows, [0, *ends], ends, strict=False)
    )
    assert used == pytest.approx(sum(ms * cpu for ms, cpu in steps))


# ---- What is not known -------------------------------------------------------------------


def test_unknown_is_not_zero() -> None:
    assert proctally.resource_utilization([]) == {}
    assert proctally.process_tree_analysis([]) == {}
    assert proctally.aggregate_metrics([]) == []
    assert proctally.find_peaks([]) == []
    samples: list[dict[str, Any]] = [
        {"ts_ms": 0},
        {"ts_ms": 1000, "mem_rss_kb": None},
        {"ts_ms": 2000},
    ]
    assert proctally.resource_utilization(samples) == {"total_time_sec": 2.0}
    assert proctally.find_peaks(samples) == []
    assert "cpu_usage" not in proctally.aggregate_metrics(samples)[0]
    tree = proctally.process_tree_analysis(samples)
    assert tree == {"main_process": {}, "child_processes": {}, "total": {}}


def test_what_is_no_number_is_not_known(tmp_path: pathlib.Path) -> None:
    (tmp_path / "odd").write_text(
        '{"ts_ms": 0, "cpu_usage": 7}\n'
        '{"ts_ms": 1000, "cpu_usage": NaN}\n{"ts_ms": 2000, "cpu_usage": Infinity}\n'
        '{"ts_ms": 3000, "cpu_usage": "12"}\n{"ts_ms": 4000, "cpu_usage": true}\n'
        '{"ts_ms": 4500, "cpu_usage": ' + "9" * 400 + "}\n"
        '{"ts_ms": 5000, "cpu_usage": 9}\n'
    )
    figures = proctally.resource_utilization(tmp_path / "odd")
    assert (figures["avg_cpu"], figures["max_cpu"], figures["min_cpu"]) == (9, 9, 7)


def test_a_stretch_that_nobody_saw_weighs_nothing() -> None:
    figures = proctally.resource_utilization(rows((0, 0), (1000, 50), (9000, None), (10000, 50)))
    assert figures["avg_cpu"] == 50
    assert figures["total_time_sec"] == 10


def test_only_half_of_io_is_no_total() -> None:
    figures = proctally.resource_utilization([{"ts_ms": 0, "disk_read_bytes": 1 << 20}])
    assert figures["total_read_mb"] == 1
    assert "total_write_mb" not in figures and "total_io_bytes" not in figures


def test_samples_without_times_weigh_the_same() -> None:
    figures = proctally.resource_utilization([{"cpu_usage": 10}, {"cpu_usage": 30}])
    assert figures["avg_cpu"] == 20 and "total_time_sec" not in figures


# ---- Nested samples: denet gives {} or nothing for its own --------------------------------


@pytest.mark.parametrize("name", ["run.jsonl", "run.csv", "denet-tree.jsonl"])
def test_nested_samples_are_looked_into(name: str) -> None:
    samples = proctally.load_metrics(DATA / name)
    whole = [sample["aggregated"] for sample in samples]
    figures = proctally.resource_utilization(samples)
    assert figures["max_cpu"] == max(w["cpu_usage"] for w in whole if "cpu_usage" in w) > 10
    assert figures["max_mem_mb"] == max(w["mem_rss_kb"] for w in whole) / 1024 > 1
    assert figures["max_threads"] >= 2
    peaks = proctally.find_peaks(samples)
    assert max(peak["cpu_usage"] for peak in peaks) == figures["max_cpu"]
    assert all("children" in peak for peak in peaks)
    tree = proctally.process_tree_analysis(samples)
    commands = {child.get("command") for child in tree["child_processes"].values()}
    assert {"dd", "sleep"} <= commands
    sleep = next(c for c in tree["child_processes"].values() if c.get("command") == "sleep")
    dd = next(c for c in tree["child_processes"].values() if c.get("command") == "dd")
    assert sleep["avg_cpu"] < 5
    assert dd["max_cpu"] > 5 or name == "denet-tree.jsonl"  # it takes a first sight for 0 %
    assert tree["total"]["avg_cpu"] == figures["avg_cpu"]
    if name != "run.csv":  # where no row tells which process was started
        assert tree["main_process"]["max_cpu"] > 10
    aggregated = proctally.aggregate_metrics(samples, window_size=3)
    assert aggregated[-1]["disk_write_bytes"] == whole[-1]["disk_write_bytes"]
    assert all("children" not in window for window in aggregated)


def test_a_process_is_averaged_over_the_time_that_it_was_seen() -> None:
    def tree(ts: int, main: float, *children: tuple[int, float]) -> dict[str, Any]:
        return {
            "ts_ms": ts,
            "parent": {"cpu_usage": main},
            "children": [
                {"pid": p, "command": "c", "metrics": {"cpu_usage": c}} for p, c in children
            ],
            "aggregated": {"ts_ms": ts, "cpu_usage": main + sum(c for _, c in children)},
        }

    figures = proctally.process_tree_analysis(
        [
            tree(0, 0),
            tree(1000, 10, (7, 80)),
            tree(4000, 10, (7, 40)),
            tree(9000, 0),
            tree(9500, 0, (7, 100)),
        ]
    )
    assert figures["main_process"]["avg_cpu"] == pytest.approx((10 * 1 + 10 * 3) / 9.5)
    assert figures["child_processes"][7]["avg_cpu"] == pytest.approx(
        (80 + 40 * 3 + 100 * 0.5) / 4.5
    )
    assert figures["child_processes"][7]["command"] == "c"


def test_a_number_that_went_to_another_process_is_no_fall_of_its_cpu_time() -> None:
    def tree(ts: int, cpu_s: float, cpu: float) -> dict[str, Any]:
        metrics = {"cpu_user_s": cpu_s, "cpu_system_s": 0, "cpu_usage": cpu}
        return {
            "ts_ms": ts,
            "children": [{"pid": 7, "metrics": metrics}],
            "aggregated": {"ts_ms": ts, "cpu_usage": cpu},
        }

    samples = [tree(0, 50, 0), tree(1000, 51, 100), tree(2000, 0.25, 25)]
    child = proctally.process_tree_analysis(samples)["child_processes"][7]
    assert child["avg_cpu"] == pytest.approx((100 + 25) / 2)


def test_trees_of_denets_first_versions() -> None:
    sample = {
        "ts_ms": 1, "pid": 5, "cpu_usage": 10.0, "mem_rss_kb": 1024, "thread_count": 1,
        "child_processes": [{"pid": 6, "cpu_usage": 30.0, "mem_rss_kb": 2048}],
    }  # fmt: skip
    tree = proctally.process_tree_analysis([sample])
    assert tree["main_process"]["max_cpu"] == 10
    assert tree["child_processes"][6] == {
        "avg_cpu": 30.0, "max_cpu": 30.0, "avg_memory_mb": 2.0, "max_memory_mb": 2.0
    }  # fmt: skip
    assert proctally.resource_utilization([sample])["max_mem_mb"] == 3


def test_flat_samples_are_the_process_itself() -> None:
    tree = proctally.process_tree_analysis(DATA / "denet-flat.jsonl")
    assert tree["main_process"] == tree["total"] and tree["child_processes"] == {}
    assert tree["total"]["max_cpu"] > 50


KEYS = st.sampled_from(
    ["kind", "ts_ms", "parent", "children", "child_processes", "aggregated", "metrics", "pid"]
    + ["command", "cmd", "executable", "t0_ms", "cpu_usage", "mem_rss_kb", "cpu_user_s", "x.y"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["tree", "sample"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(st.lists(st.dictionaries(KEYS, ANYTHING, max_size=8), max_size=4))
def test_records_of_any_shape_are_taken(odd: list[dict[str, Any]]) -> None:
    proctally.resource_utilization(odd)
    proctally.process_tree_analysis(odd)
    proctally.aggregate_metrics(odd, window_size=2)
    proctally.find_peaks(odd)
    proctally.convert_format(odd, "csv")


# ---- Runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("with_metadata", [True, False])
def test_two_runs_in_one_file_do_not_run_into_each_other(
    with_metadata: bool, tmp_path: pathlib.Path
) -> None:
    lines = (DATA / "work-and-sleep.jsonl").read_text()
    hour_ms = 3_600_000
    later = []
    for record in map(json.loads, lines.splitlines()):
        for part in (record, record.get("aggregated", {}), record.get("parent", {})):
            if "ts_ms" in part:
                part["ts_ms"] += hour_ms
        later.append(json.dumps(record) + "\n")
    (tmp_path / "two").write_text(lines + "".join(later))
    once = proctally.resource_utilization(DATA / "work-and-sleep.jsonl")
    source: Any = tmp_path / "two"
    twice = proctally.resource_utilization(
        source if with_metadata else proctally.load_metrics(source)
    )
    assert twice["total_time_sec"] == pytest.approx(2 * once["total_time_sec"])
    for name in ("avg_cpu", "avg_mem_mb", "max_mem_mb", "median_mem_mb"):
        assert twice[name] == pytest.approx(once[name])
    assert twice["total_io_bytes"] == 2 * once["total_io_bytes"]


# ---- Peaks and windows -------------------------------------------------------------------


def test_threshold_is_a_share_or_above_one_a_value() -> None:
    samples = rows((0, 10), (1, 60), (2, 10), (3, 10), (4, 10), (5, 100), (6, 20), (7, 20), (8, 30))

    def times(peaks: list[dict[str, Any]]) -> list[float]:
        return [peak["ts_ms"] for peak in peaks]

    assert times(proctally.find_peaks(samples)) == [5]
    assert times(proctally.find_peaks(samples, threshold=50)) == [1, 5]
    assert times(proctally.find_peaks(samples, threshold=0.5)) == [1, 5]
    assert times(proctally.find_peaks(samples, threshold=0.25)) == [1, 5, 8]
    assert times(proctally.find_peaks(samples, threshold=50, window_size=9)) == [5]
    assert times(proctally.find_peaks(samples, field="mem_rss_kb", threshold=70 * 1024)) == [5]
    assert times(proctally.find_peaks(rows((0, 10), (1, 60), (2, 60), (3, 10)))) == [1]
    assert proctally.find_peaks(samples, threshold=101) == []
    assert proctally.find_peaks(samples, field="no_such_field") == []
    assert proctally.find_peaks(rows((0, 0), (1, 0))) == []


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(SAMPLES, st.integers(0, 9))
def test_the_largest_sample_is_a_peak(samples: list[dict[str, Any]], window_size: int) -> None:
    known = [s["cpu_usage"] for s in samples if "cpu_usage" in s]
    peaks = proctally.find_peaks(samples, threshold=1, window_size=window_size)
    if known and max(known) > 0:
        assert peaks and {peak["cpu_usage"] for peak in peaks} == {max(known)}
    else:
        assert peaks == []


def test_windows() -> None:
    samples = rows((0, 10), (1000, 20), (2000, 60))
    for i, sample in enumerate(samples):
        sample["disk_read_bytes"] = 100 * i
    assert proctally.aggregate_metrics(samples, window_size=1) == samples
    (window,) = proctally.aggregate_metrics(samples, window_size=10)
    assert window["cpu_usage"] == 40 and window["mem_rss_kb"] == 27.5 * 1024
    assert window["disk_read_bytes"] == 200 and window["ts_ms"] == 2000
    assert (window["_aggregated"], window["_window_size"]) == (True, 3)
    (unknown,) = proctally.aggregate_metrics(samples, method="no such method")
    assert unknown == window and unknown["_aggregation_method"] == "mean"


def test_json_texts_and_files_are_taken_too() -> None:
    samples = proctally.load_metrics(DATA / "run.jsonl")
    expected = proctally.resource_utilization(samples)
    assert proctally.resource_utilization([json.dumps(s) for s in samples]) == expected
    assert proctally.resource_utilization(str(DATA / "run.jsonl")) == expected
    with pytest.raises(ValueError, match="item 0: .*; expected a JSON object"):
        proctally.resource_utilization(["{"])


def test_as_denet_has_it(tmp_path):
    """convert_format and the like are in its analysis, and elapsed_time is a keyword."""
    from proctally.analysis import convert_format, load_metrics, save_metrics

    samples = [json.dumps(one) for one in load_metrics(DATA / "work-and-sleep.jsonl")]
    save_metrics(samples, tmp_path / "s.jsonl")
    assert len(load_metrics(tmp_path / "s.jsonl")) == len(samples) > 2
    assert convert_format(samples, "csv").startswith("ts_ms,cpu_usage")
    text = proctally.generate_summary_from_metrics_json(samples, elapsed_time=2.0)
    assert json.loads(text)["wall_s"] == 2.0
