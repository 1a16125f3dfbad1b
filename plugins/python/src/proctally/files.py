# SPDX-License-Identifier: MIT
"""Files of samples: read, written, and turned into each other.

========  ==================================================================================
jsonl     a JSON record a line, as ``proctally run --out`` and denet write it
json      an array of them
csv       a row for each process in each sample, and one for all of them (RFC 4180, but for LF)
parquet   the same rows, if pyarrow is there
========  ==================================================================================
"""

from __future__ import annotations

import csv
import errno
import importlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .records import (
    HasSamples,
    Path,
    Record,
    Source,
    is_metadata,
    is_sample,
    number,
    parse_records,
    tree_of,
)

FORMATS = ("jsonl", "json", "csv", "parquet")
_FIRST_COLUMNS = ("ts_ms", "cpu_usage", "mem_rss_kb", "mem_vms_kb")
_LAST_COLUMNS = ("kind", "pid", "command")
_TEXT_COLUMNS = frozenset({"kind", "command"})
_EXPECTED = (
    "expected JSON records as proctally run --out writes them, a JSON array of them, "
    "or CSV whose first row names ts_ms"
)


def _bad(path: Path, line: int, what: str, expected: str) -> ValueError:
    return ValueError(f"{os.fspath(path)}, line {line}: {what}; expected {expected}")


# ---- JSON --------------------------------------------------------------------------------


def _read_lines(path: Path, content: bytes) -> list[Record]:
    records = []
    lines = content.split(b"\n")
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if i == len(lines):  # no newline: whoever wrote it was stopped there
                break
            raise _bad(path, i, str(error), "a JSON object") from None
        if not isinstance(record, dict):
            raise _bad(path, i, f"found {line[:40].decode(errors='replace')}", "a JSON object")
        records.append(record)
    return records


def _read_array(path: Path, content: bytes) -> list[Record]:
    try:
        records = json.loads(content)
    except json.JSONDecodeError as error:
        raise _bad(path, error.lineno, error.msg, "an array of JSON objects") from None
    except (ValueError, RecursionError) as error:
        raise _bad(path, 1, str(error), "an array of JSON objects") from None
    for i, record in enumerate(records):
        if not isinstance(record, dict):
            raise ValueError(
                f"{os.fspath(path)}, item {i} of the array is {record!r:.40}; "
                "expected a JSON object"
            )
    return records  # type: ignore[no-any-return]


def _lines_of(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


# ---- Rows --------------------------------------------------------------------------------


def _flatten(of: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in of.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif value is not None:
            yield prefix + key, value


def _unflatten(row: Iterable[tuple[str, Any]]) -> Record:
    result: Record = {}
    for name, value in row:
        *outer, key = name.split(".")
        at = result
        for part in outer:
            at = at.setdefault(part, {}) if isinstance(at, dict) else at
        if isinstance(at, dict):
            at[key] = value
        else:  # there is a figure whose name is the first half of this one
            result[name] = value
    return result


def rows_of(records: Iterable[Record]) -> list[Record]:
    """The samples as rows of a table.

    A flat sample is a row. A tree is a row with the kind ``tree`` for all processes together,
    one with the kind ``parent`` for the process that was started, and one with the kind
    ``child``, a pid and a command for each of the others. What is not known is not there.
    """
    rows = []
    for record in records:
        if not is_sample(record):
            continue
        tree = tree_of(record)
        if tree is None:
            rows.append(dict(_flatten(record)))
            continue
        inner = ("parent", "children", "aggregated")
        outer = {k: v for k, v in tree.items() if k not in inner}
        at = {"ts_ms": tree["ts_ms"]} if "ts_ms" in tree else {}
        parts = [("tree", {**outer, **tree["aggregated"]})]
        if "parent" in tree:
            parts.append(("parent", {**at, **tree["parent"]}))
        for child in tree["children"]:
            who = {k: v for k, v in child.items() if k != "metrics"}
            parts.append(("child", {**at, **who, **child["metrics"]}))
        rows += [{**dict(_flatten(values)), "kind": kind} for kind, values in parts]
    return rows


def _records_of(rows: Iterable[Record], columns: Iterable[str]) -> list[Record]:
    """The opposite. In what ``proctally run --csv`` writes there are no kinds: a row without a
    pid is the whole tree, and the rows that come next with one are its processes."""
    records: list[Record] = []
    has_kinds = "kind" in columns or "pid" not in columns
    for flat in rows:
        row: Record = _unflatten(flat.items())
        tree = records[-1] if records and records[-1].get("kind") == "tree" else None
        kind = row.get("kind")
        if not has_kinds and "pid" not in row:
            kind = "tree"
        elif not has_kinds and tree and tree["ts_ms"] == row.get("ts_ms"):
            kind = "child"
        values = {k: v for k, v in row.items() if k != "kind"}
        if kind == "tree":
            at = {"ts_ms": row["ts_ms"]} if "ts_ms" in row else {}
            records.append({"kind": "tree", **at, "children": [], "aggregated": values})
        elif kind == "parent" and tree is not None:
            tree["parent"] = values
        elif kind == "child" and tree is not None:
            who: Record = {k: values.pop(k) for k in ("pid", "command") if k in values}
            tree["children"].append({**who, "metrics": values})
        else:
            records.append(row)
    return records


def _columns_of(rows: Iterable[Record]) -> list[str]:
    names = {name for row in rows for name in row}
    between = sorted(names.difference(_FIRST_COLUMNS, _LAST_COLUMNS))
    return [*_FIRST_COLUMNS, *between, *(name for name in _LAST_COLUMNS if name in names)]


# ---- CSV ---------------------------------------------------------------------------------


# csv.writer would leave a CR bare where lines end in LF
_needs_quotes = re.compile('[",\r\n]').search


def _cell_of(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return '"' + text.replace('"', '""') + '"' if _needs_quotes(text) else text


def _value_of(name: str, cell: str) -> Any:
    if name in _TEXT_COLUMNS:
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _csv_of(records: Iterable[Record]) -> str:
    rows = rows_of(records)
    if not rows:
        return ""
    columns = _columns_of(rows)
    lines = [columns]
    lines += ([row.get(name, "") for name in columns] for row in rows)
    return "".join(",".join(map(_cell_of, line)) + "\n" for line in lines)


def _read_csv(path: Path, content: bytes) -> list[Record]:
    whole = content[: content.rfind(b"\n") + 1]  # a last line without its end was cut off
    try:
        text = whole.decode()
    except UnicodeDecodeError as error:
        line = whole.count(b"\n", 0, error.start) + 1
        raise _bad(path, line, "the text is not UTF-8", "CSV or JSON") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Record] = []
    columns: list[str] = []
    try:
        for cells in reader:
            if not columns:
                columns = cells
                if "ts_ms" not in columns:
                    raise ValueError(f"{os.fspath(path)}, line 1: {_EXPECTED}")
                continue
            if not cells:
                continue
            if len(cells) != len(columns):
                raise _bad(path, reader.line_num, f"{len(cells)} cells", f"{len(columns)}")
            named = zip(columns, cells, strict=True)
            row = {name: _value_of(name, cell) for name, cell in named if cell != ""}
            if "ts_ms" in row and number(row, "ts_ms") is None:
                raise _bad(path, reader.line_num, f"ts_ms is {row['ts_ms']!r}", "milliseconds")
            rows.append(row)
    except csv.Error as error:
        if reader.line_num < text.count("\n"):
            raise _bad(path, reader.line_num, str(error), "CSV") from None
        # else a quoted cell that a cut left open, and its newline was part of it
    if not columns:
        raise ValueError(f"{os.fspath(path)}, line 1: {_EXPECTED}")
    return _records_of(rows, columns)


# ---- Parquet -----------------------------------------------------------------------------


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "Parquet needs pyarrow, which is not there: pip install 'proctally[parquet]'"
        ) from error


def _write_parquet(records: Iterable[Record], path: Path) -> None:
    arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    rows = rows_of(records)
    columns = {
        name: [json.dumps(v) if isinstance(v := row.get(name), list) else v for row in rows]
        for name in _columns_of(rows)
    }
    try:
        table = arrow.table(columns)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{error}; expected one kind of values a column") from None
    parquet.write_table(table, os.fspath(path))


def _read_parquet(path: Path) -> list[Record]:
    arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    try:
        table = parquet.read_table(os.fspath(path))
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{os.fspath(path)}: {error}; expected a whole Parquet file") from None
    rows = ({k: v for k, v in row.items() if v is not None} for row in table.to_pylist())
    return _records_of(rows, table.column_names)


# ---- Any of them -------------------------------------------------------------------------


def read_records(path: Path) -> list[Record]:
    """All records of a file: samples and the rest. Errors as with :func:`load_metrics`."""
    with open(path, "rb") as file:
        content = file.read()
    if not content.strip():
        raise OSError(errno.ENODATA, f"the file is empty; {_EXPECTED}", os.fspath(path))
    if content.startswith(b"PAR1"):
        return _read_parquet(path)
    content = content.removeprefix(b"\xef\xbb\xbf")  # some editors' mark of UTF-8
    begin = content.lstrip()[:1]
    if begin == b"{":
        return _read_lines(path, content)
    if begin == b"[":
        return _read_array(path, content)
    return _read_csv(path, content)


def records_of(source: Source) -> list[Record]:
    """All records of a file, of a monitor, or of a list of dicts or JSON texts."""
    if isinstance(source, (str, os.PathLike)):
        return read_records(source)
    get_samples = getattr(source, "get_samples", None)
    if get_samples is None:
        return parse_records(source)  # type: ignore[arg-type]
    metadata = getattr(source, "get_metadata", lambda: None)()
    records = parse_records([metadata] if metadata else [])
    for record in records:
        record["kind"] = "metadata"
    return records + parse_records(get_samples())


def load_metrics(path: Path, include_metadata: bool = False) -> list[Record]:
    """Read the samples of a file, whatever its format is: see the table above.

    Files of ``proctally run --out``, ``--json`` and ``--csv``, of :func:`save_metrics` and of
    denet are read. A last line that was cut off is left out. Rows of a table become trees
    again. With include_metadata the first item is the record that tells what was watched
    (pid, cmd, executable, t0_ms), if the file has one.

    Raises OSError if there is no such file or if it is empty, ValueError with the file, the
    line and what was expected if it is something else, ImportError for a Parquet file
    without pyarrow.
    """
    records = read_records(path)
    metadata = [r for r in records if is_metadata(r)][:1] if include_metadata else []
    return metadata + [r for r in records if is_sample(r)]


def convert_format(metrics: Source, to_format: str = "csv", indent: int | None = None) -> str:
    r"""Turn samples into text: ``csv``, ``json`` or ``jsonl``.

    metrics are dicts, JSON texts, a monitor or the path of a file. JSON keeps all records of
    a file; CSV has the samples, one row for each process and one for all of them (see
    :func:`rows_of`), and begins with ts_ms, cpu_usage, mem_rss_kb and mem_vms_kb. A figure
    that is not known is an empty cell. indent is for ``json``.

    >>> print(convert_format([{"ts_ms": 1, "cpu_usage": 50.0, "command": 'a "b", c'}]), end="")
    ts_ms,cpu_usage,mem_rss_kb,mem_vms_kb,command
    1,50.0,,,"a ""b"", c"
    """
    if to_format not in ("csv", "json", "jsonl"):
        raise ValueError(
            f"got the format {to_format!r}; expected csv, json or jsonl"
            + (", or save_metrics(), as Parquet is no text" if to_format == "parquet" else "")
        )
    records = records_of(metrics)
    if to_format == "csv":
        return _csv_of(records)
    return _lines_of(records) if to_format == "jsonl" else json.dumps(records, indent=indent)


def save_metrics(
    metrics: HasSamples | Iterable[Mapping[str, Any] | str],
    path: Path,
    format: str = "jsonl",
    include_metadata: bool = True,
) -> None:
    """Write samples to a file: ``jsonl``, ``json``, ``csv`` or, with pyarrow, ``parquet``.

    With include_metadata a JSON Lines file begins with a record that tells what was watched:
    the one that is among the metrics or that the monitor knows, else one that has only
    t0_ms, the time of the first sample.

    Raises OSError if the file can't be written, ValueError for an unknown format, ImportError
    for Parquet without pyarrow.
    """
    if format not in FORMATS:
        raise ValueError(f"got the format {format!r}; expected {', '.join(FORMATS)}")
    records = records_of(metrics)
    if not include_metadata:
        records = [r for r in records if not is_metadata(r)]
    elif format == "jsonl" and not any(is_metadata(r) for r in records):
        times = (number(r, "ts_ms") for r in records if is_sample(r))
        t0_ms = next((t for t in times if t is not None), None)
        records.insert(0, {"kind": "metadata", **({} if t0_ms is None else {"t0_ms": t0_ms})})
    if format == "parquet":
        return _write_parquet(records, path)
    text = convert_format(records, format, indent=2 if format == "json" else None)
    with open(path, "w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(text)
