# SPDX-License-Identifier: MIT
"""load_metrics, save_metrics, convert_format: every format there and back, and what can be
wrong with a file. The files in data/ are real ones, of proctally and of denet 0.10.3."""

from __future__ import annotations

import csv
import io
import json
import pathlib
import sys
import tempfile
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

import proctally
from proctally import records

DATA = pathlib.Path(__file__).parent / "data"
REAL = ("run.jsonl", "run.csv", "denet-tree.jsonl", "denet-flat.jsonl", "work-and-sleep.jsonl")
FORMATS = ("jsonl", "json", "csv", "parquet")


def needs(format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")


# ---- Real files --------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("format", FORMATS)
def test_real_file_survives_each_format(name: str, format: str, tmp_path: pathlib.Path) -> None:
    needs(format)
    samples = proctally.load_metrics(DATA / name)
    assert len(samples) > 3
    proctally.save_metrics(samples, tmp_path / "copy", format=format)
    if format in ("csv", "parquet"):  # where null, as denet has it, and absent are the same
        samples = [{k: v for k, v in sample.items() if v is not None} for sample in samples]
    assert proctally.load_metrics(tmp_path / "copy") == samples


@pytest.mark.parametrize("name", ["run.jsonl", "denet-tree.jsonl"])
def test_metadata_comes_first_and_the_rest_are_samples(name: str) -> None:
    metadata, *samples = proctally.load_metrics(str(DATA / name), include_metadata=True)
    assert metadata["executable"] in ("/bin/sh", "/usr/bin/dash") and metadata["pid"] > 1
    assert samples == proctally.load_metrics(DATA / name)
    assert {sample["kind"] for sample in samples} == {"tree"}


def test_rows_of_the_programs_csv_become_trees() -> None:
    samples = proctally.load_metrics(DATA / "run.csv")
    text = (DATA / "run.csv").read_text()
    assert len(samples) == sum(row["pid"] == "" for row in csv.DictReader(io.StringIO(text)))
    commands = {child["command"] for sample in samples for child in sample["children"]}
    assert {"sh", "dd", "sleep"} <= commands
    assert "cpu_usage" not in samples[0]["aggregated"]  # an empty cell is not known


def test_csv_of_trees_has_a_row_for_each_process_and_no_dicts() -> None:
    samples = proctally.load_metrics(DATA / "denet-tree.jsonl")
    text = proctally.convert_format(DATA / "denet-tree.jsonl", "csv")
    assert text.startswith("ts_ms,cpu_usage,mem_rss_kb,mem_vms_kb,")
    assert "{" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == sum(2 + len(sample["children"]) for sample in samples)
    whole = [row for row in rows if row["kind"] == "tree"]
    assert [int(row["mem_rss_kb"]) for row in whole] == [
        sample["aggregated"]["mem_rss_kb"] for sample in samples
    ]


def test_json_of_a_file_keeps_all_of_its_records() -> None:
    lines = (DATA / "run.jsonl").read_text().splitlines()
    assert json.loads(proctally.convert_format(DATA / "run.jsonl", "json", indent=2)) == [
        json.loads(line) for line in lines
    ]
    kinds = [json.loads(line)["kind"] for line in lines]
    assert {"metadata", "child", "tree", "exit", "summary"} <= set(kinds)


def test_two_runs_in_one_file() -> None:
    text = (DATA / "run.jsonl").read_text()
    once = proctally.load_metrics(DATA / "run.jsonl")
    runs = records.runs_of([json.loads(line) for line in (text + text).splitlines()])
    assert [run.samples for run in runs] == [once, once]


def test_a_monitor_and_json_texts_are_samples_too(tmp_path: pathlib.Path) -> None:
    class Monitor:
        def get_metadata(self) -> str:
            return '{"pid": 7, "cmd": ["x"], "executable": "x", "t0_ms": 1}'

        def get_samples(self) -> list[str]:
            return ['{"ts_ms": 2, "cpu_usage": 3.5}']

    proctally.save_metrics(Monitor(), tmp_path / "m.jsonl")
    metadata, sample = proctally.load_metrics(tmp_path / "m.jsonl", include_metadata=True)
    assert metadata["pid"] == 7 and sample == {"ts_ms": 2, "cpu_usage": 3.5}
    assert proctally.convert_format(Monitor().get_samples(), "json") == (
        '[{"ts_ms": 2, "cpu_usage": 3.5}]'
    )


# ---- Any samples -------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(0, 2**62), st.floats(0, 1e15, allow_nan=False, allow_infinity=False)
)
FIGURES = st.dictionaries(
    st.sampled_from(["cpu_usage", "cpu_user_s", *records.GAUGES, *records.COUNTERS]), NUMBERS
)
NAMES = st.text(  # as the kernel has them, which may be anything but for NUL
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=15
)


def at(ts_ms: int, figures: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ts_ms": ts_ms, **figures, **more}


TREES = st.builds(
    lambda ts, parent, children, whole: {
        "kind": "tree",
        "ts_ms": ts,
        **({} if parent is None else {"parent": at(ts, parent)}),
        "children": [
            {"pid": pid, "command": name, "metrics": at(ts, figures)}
            for pid, name, figures in children
        ],
        "aggregated": at(ts, whole),
    },
    st.integers(0, 2**48),
    st.none() | FIGURES,
    st.lists(st.tuples(st.integers(1, 2**22), NAMES, FIGURES), max_size=4),
    FIGURES,
)
FLAT = st.builds(lambda ts, figures: at(ts, figures, kind="sample"), st.integers(0, 2**48), FIGURES)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_saved_is_what_is_loaded(
    format: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    needs(format)
    path = tmp_path_factory.mktemp("any") / "metrics"

    @hypothesis.settings(deadline=None, max_examples=150, database=None)
    @hypothesis.given(st.lists(TREES | FLAT, min_size=1, max_size=5))
    def check(samples: list[dict[str, Any]]) -> None:
        if format == "parquet":  # a column is of one type, so a whole number may become 1.0
            samples = json.loads(json.dumps(samples), parse_int=lambda t: int(t) % 2**50)
        proctally.save_metrics(samples, path, format=format)
        assert proctally.load_metrics(path) == samples

    check()


def test_cut_off_at_any_byte_loses_no_more_than_the_last_sample(tmp_path: pathlib.Path) -> None:
    for format in ("jsonl", "csv"):
        samples = proctally.load_metrics(DATA / "run.jsonl")[:3]
        samples[1]["children"].append(
            {"pid": 7, "command": 'ü "a",\nb', "metrics": {"ts_ms": 1, "cpu_usage": 12345}}
        )
        proctally.save_metrics(samples, tmp_path / "all", format=format, include_metadata=False)
        content = (tmp_path / "all").read_bytes()
        header = content.index(b"\n") + 1 if format == "csv" else 2
        for size in range(header, len(content) + 1):
            (tmp_path / "cut").write_bytes(content[:size])
            found = proctally.load_metrics(tmp_path / "cut")
            complete = [*found[:-1]] if format == "csv" else found
            assert complete == samples[: len(complete)], size
            for child in found[-1]["children"] if found else ():
                assert child in samples[len(found) - 1]["children"], size


# ---- Mistakes ----------------------------------------------------------------------------


def test_missing_and_empty_files(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        proctally.load_metrics(tmp_path / "none")
    for content in ("", "\n\n"):
        (tmp_path / "empty").write_text(content)
        with pytest.raises(OSError, match="empty; expected JSON records"):
            proctally.load_metrics(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"ts_ms": 1}\n{"ts_ms": \n{"ts_ms": 3}\n', 2),
        ('{"ts_ms": 1}\n[1]\n', 2),
        ('[{"ts_ms": 1},\n {"ts_ms": }]', 2),
        ("hello\n", 1),
        ("ts_ms,cpu_usage\n1,2\n1,2,3\n", 3),
        ("ts_ms,cpu_usage\n1,2\nsoon,3\n", 3),
        ('ts_ms,command\n1,"a"b\n2,c\n3,d\n', 2),
        (b"ts_ms,command\n1,\xff\n", 2),
        (b"\x00\x01\x02", 1),
    ],
)
def test_mistakes_name_file_line_and_what_was_expected(
    content: str | bytes, line: int, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "wrong"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match="expected") as caught:
        proctally.load_metrics(path)
    assert f"{path}, line {line}: " in str(caught.value)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000 + b"\n", b"[1" * 9])
def test_nested_too_deeply(content: bytes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "deep").write_bytes(content)
    with pytest.raises(ValueError, match="deep, line 1: .*; expected a"):
        proctally.load_metrics(tmp_path / "deep")


def test_half_a_parquet_file(tmp_path: pathlib.Path) -> None:
    needs("parquet")
    proctally.save_metrics([{"ts_ms": 1}], tmp_path / "whole", format="parquet")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:200])
    with pytest.raises(ValueError, match="half: .*; expected a whole Parquet file"):
        proctally.load_metrics(tmp_path / "half")


def test_marks_of_editors_and_names_with_dots(tmp_path: pathlib.Path) -> None:
    for content in ('{"ts_ms": 1, "a": 2, "a.b": 3}', "ts_ms,a,a.b\r\n1,2,3\r\n"):
        (tmp_path / "odd").write_bytes(b"\xef\xbb\xbf" + content.encode())
        assert proctally.load_metrics(tmp_path / "odd") == [{"ts_ms": 1, "a": 2, "a.b": 3}]


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"{", b'[{"ts_ms":1},', b'{"ts_ms":1}\n', b"ts_ms,a.b,a\n1,", b'ts_ms\n"']
    ),
)
def test_no_bytes_raise_anything_else(content: bytes, before: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(before + content)
        file.flush()
        try:
            samples = proctally.load_metrics(file.name)
        except (OSError, ValueError) as error:
            assert file.name in str(error) and "expected" in str(error)
        else:
            assert all(isinstance(sample, dict) for sample in samples)


def test_items_that_are_no_objects(tmp_path: pathlib.Path) -> None:
    (tmp_path / "wrong").write_text('[{"ts_ms": 1}, 2]')
    with pytest.raises(ValueError, match="item 1 of the array is 2; expected a JSON object"):
        proctally.load_metrics(tmp_path / "wrong")
    wrong: list[Any] = [{"ts_ms": 1}, 2]
    with pytest.raises(ValueError, match="item 1 is 2; expected a dict"):
        proctally.convert_format(wrong, "json")


def test_unknown_formats(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="'xml'; expected csv, json or jsonl"):
        proctally.convert_format([], "xml")
    with pytest.raises(ValueError, match="save_metrics"):
        proctally.convert_format([], "parquet")
    with pytest.raises(ValueError, match="'xml'; expected jsonl, json, csv, parquet"):
        proctally.save_metrics([], tmp_path / "x", format="xml")
    assert not (tmp_path / "x").exists()


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'proctally\[parquet\]'"):
        proctally.save_metrics([{"ts_ms": 1}], tmp_path / "x", format="parquet")


def test_saved_lines_begin_with_what_is_known_of_the_run(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.jsonl"
    proctally.save_metrics([{"ts_ms": 5}], path)
    assert path.read_text() == '{"kind":"metadata","t0_ms":5}\n{"ts_ms":5}\n'
    proctally.save_metrics([{"ts_ms": 5}], path, include_metadata=False)
    assert path.read_text() == '{"ts_ms":5}\n'
    both: list[dict[str, Any]] = [
        {"pid": 1, "cmd": ["a"], "executable": "a", "t0_ms": 4},
        {"ts_ms": 5},
    ]
    proctally.save_metrics(both, path)  # as denet's first versions wrote it
    assert proctally.load_metrics(path, include_metadata=True) == both
    assert proctally.load_metrics(path) == both[1:]
