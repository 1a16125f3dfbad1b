# SPDX-License-Identifier: MIT
"""What a run has used, said at its end."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _program


@dataclass(frozen=True)
class Program:
    """One line of the table by program."""

    name: str
    count: int
    cpu_s: float
    #: of the largest process, as samples saw it
    max_rss_kb: int | None = None


@dataclass(frozen=True)
class Summary:
    """A summary record, as in proctally-run(1). None: not known, which is not 0.

    Times are in seconds, sizes in kB (1024 bytes) or bytes as the name says.
    """

    #: what lacks nothing; what is not here is at least what samples saw
    exact: frozenset[str]
    programs: tuple[Program, ...]
    #: all keys of the record
    record: Mapping[str, Any] = field(repr=False)
    command: str | None = None
    source: str | None = None
    #: 128 + n if signal n ended it
    exit_code: int | None = None
    signal: int | None = None
    wall_s: float | None = None
    cpu_user_s: float | None = None
    cpu_system_s: float | None = None
    #: over the time that it took; 1 is one core
    cpu_avg: float | None = None
    max_rss_largest_process_kb: int | None = None
    #: of all together, and how that is known: memory.peak, pss_sampled or rss_sum_sampled
    peak_memory_kb: int | None = None
    peak_memory_source: str | None = None
    #: the sum of PSS as samples saw it, with collect: [pss]
    peak_mem_pss_kb: int | None = None
    #: the sum of RSS as samples saw it: shared pages count in each process
    peak_mem_rss_kb: int | None = None
    avg_mem_rss_kb: int | None = None
    total_disk_read_bytes: int | None = None
    total_disk_write_bytes: int | None = None
    #: by system calls, whatever the file
    total_syscall_read_bytes: int | None = None
    total_syscall_write_bytes: int | None = None
    page_faults_minor: int | None = None
    page_faults_major: int | None = None
    context_switches_voluntary: int | None = None
    context_switches_involuntary: int | None = None
    network_receive_bytes_tcp: int | None = None
    network_receive_bytes_udp: int | None = None
    network_transmit_bytes_tcp: int | None = None
    network_transmit_bytes_udp: int | None = None
    processes_started: int | None = None
    processes_seen: int | None = None
    #: at a time
    max_processes: int | None = None
    max_threads: int | None = None
    #: what the command started and left behind
    orphans_left: int | None = None
    samples: int | None = None
    #: what the watching took
    own_cpu_s: float | None = None

    @classmethod
    def from_json(cls, text: str) -> Summary:
        """Of a summary record; ValueError if it is none."""
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError(f"got {text[:60]!r}; expected a JSON object")
        fields = {one.name for one in dataclasses.fields(cls)} - {"exact", "programs", "record"}
        return cls(
            exact=frozenset(record.get("exact", ())),
            programs=tuple(
                Program(p["name"], p["count"], p["cpu_s"], p.get("max_rss_kb"))
                for p in record.get("programs", ())
            ),
            record=record,
            **{key: value for key, value in record.items() if key in fields},
        )

    @property
    def cpu_s(self) -> float | None:
        """User and system time together."""
        if self.cpu_user_s is None or self.cpu_system_s is None:
            return None
        return self.cpu_user_s + self.cpu_system_s


def _summarize(path: str) -> str:
    # no signal of the terminal is for it, and nothing that it says is for the terminal
    done = subprocess.run(
        [_program.path(), "summary", "--json", "--", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
    )
    if done.returncode != 0 or not done.stdout:
        raise OSError(done.stderr.strip().removeprefix("proctally summary: "))
    return done.stdout.splitlines()[-1]


def generate_summary_from_file(path: str | os.PathLike[str]) -> str:
    """The summary of the last run in a file of JSON lines, as JSON text: the one that stands
    there, or one made of its samples if the run was cut off or recorded by denet.

    OSError: the file can't be read (FileNotFoundError …), or has no record of a run.
    """
    with open(path, "rb"):  # for the right exception
        return _summarize(os.fspath(path))


def generate_summary_from_metrics_json(
    metrics: Iterable[str], elapsed_time: float | None = None
) -> str:
    """The same of records that are JSON texts already; elapsed_time is how long it took in
    seconds, else the time from the first sample to the last counts.

    OSError: there is no sample among them.
    """
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".jsonl") as file:
        file.writelines(record.rstrip("\n") + "\n" for record in metrics)
        file.flush()
        text = _summarize(file.name)
    if elapsed_time is None:
        return text
    record = json.loads(text)
    cpu_s = record.get("cpu_user_s", 0) + record.get("cpu_system_s", 0)
    record.update(wall_s=elapsed_time, total_time_secs=elapsed_time)
    if elapsed_time > 0 and "cpu_user_s" in record:
        record.update(cpu_avg=cpu_s / elapsed_time, avg_cpu_usage=100 * cpu_s / elapsed_time)
    return json.dumps(record, separators=(",", ":"))
