# SPDX-License-Identifier: MIT
"""Commands that are watched: what they have used, how they end, and the faults that denet has."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import proctally as denet  # programs for it are to run
import pytest
from conftest import TICK_S, is_alive, wait_for

BPF = os.geteuid() == 0 and (
    subprocess.run(
        [denet._program.path(), "run", "-q", "--source", "bpf", "true"], stderr=subprocess.DEVNULL
    ).returncode
    == 0
)
SPIKE = "import time; a = b'x' * 300_000_000; time.sleep(0.05); del a; time.sleep(0.3)"


def shell(script, **options):
    return denet.execute_with_monitoring(["sh", "-c", script], **options)


# ---- What was used ----------------------------------------------------------------------


@pytest.mark.parametrize("enable_ebpf", [False, pytest.param(True, marks=pytest.mark.skipif(
    not BPF, reason="source bpf can't be used here"))])
def test_500_short_children(truth, enable_ebpf):
    command = truth("sh", "-c", "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done")
    code, monitor = denet.execute_with_monitoring(command.argv, enable_ebpf=enable_ebpf)
    cpu_s, rchar, _, rss_kb = command.read()
    summary = monitor.summary
    assert code == 0
    assert summary.cpu_s == pytest.approx(cpu_s, rel=0.01, abs=2 * TICK_S)
    assert {"cpu_user_s", "cpu_system_s", "total_syscall_read_bytes"} <= summary.exact
    assert summary.total_syscall_read_bytes == pytest.approx(rchar, abs=4096)
    assert rss_kb <= summary.max_rss_largest_process_kb <= rss_kb + 2048
    if enable_ebpf and "processes_started" in summary.exact:
        assert summary.processes_started == 502


def test_daemonised_grandchild(tmp_path):
    """Its parent has gone, and it burns 0.5 s before the command ends."""
    burn = "import time; e = time.process_time() + 0.5\nwhile time.process_time() < e: pass"
    code, monitor = shell(
        f"(setsid sh -c '{sys.executable} -S -c \"{burn}\"; echo >{tmp_path}/done' &); "
        f"until [ -e {tmp_path}/done ]; do sleep 0.1; done"
    )
    assert code == 0
    assert monitor.summary.cpu_s == pytest.approx(0.5, abs=0.2)
    assert monitor.summary.cpu_s >= 0.5


def test_spike_of_memory():
    """300 MB for 50 ms, between two samples."""
    code, monitor = denet.execute_with_monitoring(
        [sys.executable, "-S", "-c", SPIKE], base_interval_ms=1000)
    assert code == 0
    assert 300_000_000 / 1024 <= monitor.summary.max_rss_largest_process_kb < 340_000
    assert "max_rss_largest_process_kb" in monitor.summary.exact


def test_memory_of_this_process_is_not_the_commands():
    """ru_maxrss is inherited by whoever is started."""
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    _, monitor = denet.execute_with_monitoring(["true"])
    assert monitor.summary.max_rss_largest_process_kb < 10_000
    del ballast


def test_io_of_children(tmp_path):
    code, monitor = shell(
        f"head -c 3000000 /dev/zero | cat >{tmp_path}/file; sh -c 'cat {tmp_path}/file >/dev/null'")
    summary = monitor.summary
    assert code == 0
    assert summary.total_syscall_write_bytes == pytest.approx(9_000_000, abs=100_000)
    assert summary.total_syscall_read_bytes == pytest.approx(9_000_000, abs=100_000)


def test_average_by_time():
    """1 s of work and 3 s of sleep."""
    _, monitor = denet.execute_with_monitoring(
        [sys.executable, "-S", "-c", "import time\ne = time.process_time() + 1\n"
         "while time.process_time() < e: pass\ntime.sleep(3)"])
    summary = json.loads(monitor.get_summary())
    assert summary["avg_cpu_usage"] == pytest.approx(
        100 * monitor.summary.cpu_s / monitor.summary.wall_s, rel=1e-4)
    assert summary["avg_cpu_usage"] < 35


def test_max_processes():
    _, monitor = shell("sleep 0.5 & sleep 0.5 & wait", base_interval_ms=50)
    assert monitor.summary.max_processes == 3


# ---- The API that people know --------------------------------------------------------------


def test_monitor_as_denet_has_it():
    monitor = denet.ProcessMonitor(["sh", "-c", "sleep 0.6; exit 3"], 50, 100, quiet=True)
    assert monitor.is_running()
    metadata = json.loads(monitor.get_metadata())
    assert metadata["pid"] == monitor.get_pid()
    assert metadata["cmd"] == ["sh", "-c", "sleep 0.6; exit 3"]
    assert os.path.isabs(metadata["executable"])
    sample = json.loads(monitor.sample_once())
    assert sample["kind"] == "tree"
    assert sample["aggregated"]["process_count"] >= 1
    assert {"ts_ms", "cpu_usage", "mem_rss_kb", "mem_vms_kb", "disk_read_bytes",
            "disk_write_bytes", "syscall_read_bytes", "syscall_write_bytes", "page_faults_cached",
            "page_faults_disk", "thread_count", "uptime_secs"} <= sample["parent"].keys()
    assert monitor.returncode is None
    assert json.loads(monitor.get_summary())["sample_count"] == 1  # so far
    assert monitor.run() is None
    assert not monitor.is_running()
    assert monitor.sample_once() is None
    assert monitor.returncode == 3
    samples = monitor.get_samples()
    assert len(samples) > 3 and all(isinstance(one, str) for one in samples)
    assert "cmd" in json.loads(monitor.get_children()[0])
    assert json.loads(monitor.get_env())["kind"] == "env"
    summary = json.loads(monitor.get_summary())
    assert {"total_time_secs", "sample_count", "max_processes", "max_threads",
            "total_disk_read_bytes", "total_disk_write_bytes", "total_syscall_read_bytes",
            "total_syscall_write_bytes", "peak_mem_rss_kb", "avg_cpu_usage"} <= summary.keys()
    assert summary["sample_count"] == len(samples)
    monitor.clear_samples()
    assert monitor.get_samples() == []
    assert json.loads(monitor.get_summary()) == summary


def test_positional_arguments():
    monitor = denet.ProcessMonitor(["true"], 100, 1000)
    assert monitor.get_pid() > 0
    code, monitor = denet.ProcessMonitor.execute_with_monitoring("sh -c 'exit 4'")
    assert (code, monitor.returncode) == (4, 4)


def test_from_pid(sleeper):
    with denet.ProcessMonitor.from_pid(sleeper.pid, 50, 100) as monitor:
        assert monitor.get_pid() == sleeper.pid
        assert json.loads(monitor.get_metadata())["cmd"] == ["sleep", "60"]
        assert json.loads(monitor.sample_once())["parent"]["mem_rss_kb"] > 0
        assert monitor.is_running()
    assert sleeper.poll() is None, "the process is not the monitor's"
    assert monitor.summary.wall_s > 0 and monitor.returncode is None
    assert len(monitor.get_samples()) >= 2


def test_from_pid_until_it_ends(sleeper):
    monitor = denet.ProcessMonitor.from_pid(sleeper.pid, 50, 100, quiet=True)
    threading.Timer(0.3, sleeper.kill).start()
    monitor.run()
    assert not monitor.is_running() and monitor.sample_once() is None


def test_this_process():
    """What watches it is none of its children."""
    done = subprocess.run([sys.executable, "-c", "import proctally, os\n"
                           "with proctally.ProcessMonitor.from_pid(os.getpid()) as m:\n"
                           "    print(m.sample_once())\n"], capture_output=True, text=True)
    sample = json.loads(done.stdout)
    assert sample["children"] == [] and sample["aggregated"]["process_count"] == 1


def test_summary_without_samples():
    with denet.ProcessMonitor(["sleep", "60"], store_in_memory=False) as monitor:
        assert json.loads(monitor.get_summary())["sample_count"] == 1
        assert monitor.summary.wall_s > 0


def test_since_process_start(sleeper):
    time.sleep(1.1)
    with denet.ProcessMonitor.from_pid(sleeper.pid, since_process_start=True) as monitor:
        sample = json.loads(monitor.sample_once())
    assert sample["parent"]["page_faults_cached"] > 0
    with denet.ProcessMonitor.from_pid(sleeper.pid) as monitor:
        sample = json.loads(monitor.sample_once())
    assert sample["parent"]["page_faults_cached"] == 0


def test_without_children():
    _, monitor = shell("sleep 0.3 & sleep 0.3; wait", include_children=False, base_interval_ms=50)
    samples = [json.loads(text) for text in monitor.get_samples()]
    assert {sample["kind"] for sample in samples} == {"sample"}
    assert monitor.summary.processes_seen >= 1


def test_not_in_memory(tmp_path):
    _, monitor = shell("sleep 0.2", store_in_memory=False, output_file=tmp_path / "out.jsonl")
    assert monitor.get_samples() == []
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) > 3


@pytest.mark.parametrize("format", [None, "jsonl", "json", "csv"])
def test_save_samples(tmp_path, format):
    _, monitor = shell("sleep 0.2", base_interval_ms=50)
    path = tmp_path / "samples"
    monitor.save_samples(path, format)
    text = path.read_text()
    count = len(monitor.get_samples())
    if format == "csv":
        assert text.startswith("ts_ms,cpu_usage,mem_rss_kb,mem_vms_kb")
        assert "{" not in text
    else:
        rows = json.loads(text) if format == "json" else [json.loads(r) for r in text.splitlines()]
        assert len(rows) == count and all(row["kind"] == "tree" for row in rows)
    with pytest.raises(ValueError, match="xml.*expected"):
        monitor.save_samples(path, "xml")


def test_summary_from_file(tmp_path):
    path = tmp_path / "run.jsonl"
    _, monitor = shell("exit 2", output_file=path)
    assert denet.generate_summary_from_file(str(path)) == monitor.get_summary()
    assert denet.Summary.from_json(denet.generate_summary_from_file(path)).exit_code == 2
    with pytest.raises(FileNotFoundError):
        denet.generate_summary_from_file(str(tmp_path / "nonesuch"))
    empty = tmp_path / "empty"
    empty.write_text("")
    with pytest.raises(OSError, match="has no record of a run"):
        denet.generate_summary_from_file(empty)


def test_summary_from_metrics():
    _, monitor = shell("sleep 0.3", base_interval_ms=50)
    text = denet.generate_summary_from_metrics_json(monitor.get_samples(), 1.5)
    summary = json.loads(text)
    assert summary["total_time_secs"] == 1.5
    assert summary["sample_count"] == len(monitor.get_samples())
    with pytest.raises(OSError):
        denet.generate_summary_from_metrics_json([], 1.0)


def test_stream():
    async def watch():
        ticks, samples = 0, []

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with denet.ProcessMonitor(["sleep", "0.7"], 50, 50) as monitor:
            async for sample in monitor.stream():
                samples.append(sample)
        ticking.cancel()
        assert monitor.returncode == 0
        return ticks, samples

    ticks, samples = asyncio.run(watch())
    assert len(samples) > 5 and isinstance(samples[0]["aggregated"]["mem_rss_kb"], int)
    assert ticks > 10, "the loop went on"


def test_stream_is_left_early():
    async def watch():
        with denet.ProcessMonitor(["sleep", "60"], 20, 20) as monitor:
            async for _ in monitor.stream():
                break
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(everything(monitor), 0.3)
            assert json.loads(monitor.sample_once())["kind"] == "tree"
        return monitor

    async def everything(monitor):
        async for _ in monitor.stream():
            pass

    assert asyncio.run(watch()).returncode == -signal.SIGTERM


def test_path_objects(tmp_path):
    program = tmp_path / "a program"
    program.write_text("#!/bin/sh\necho \"$1\"\necho err >&2\n")
    program.chmod(0o755)
    code, _ = denet.execute_with_monitoring(
        [program, Path("word")], tmp_path / "out", tmp_path / "err", output_file=tmp_path / "run")
    assert code == 0
    assert (tmp_path / "out").read_text() == "word\n"
    assert (tmp_path / "err").read_text() == "err\n"


# ---- The end ---------------------------------------------------------------------------------


def test_returncodes():
    assert shell("exit 0")[0] == 0
    assert shell("exit 255")[0] == 255
    code, monitor = shell("kill -KILL $$")
    assert (code, monitor.returncode) == (-9, -9)
    assert (monitor.summary.exit_code, monitor.summary.signal) == (137, 9)


def test_timeout_ends_all_of_it(tmp_path):
    """Also what ignores SIGTERM, and what has left the session."""
    script = (f"trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ >{tmp_path}/pid; sleep 60' & "
              "sleep 60; sleep 60")
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        shell(script, timeout=0.7, base_interval_ms=50)
    assert caught.value.timeout == 0.7
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_alive(pid), "the end of what has left the session")


def test_session_of_its_own():
    monitor_pid = None

    def look():
        nonlocal monitor_pid
        found = wait_for(lambda: (subprocess.run(["pgrep", "-x", "-f", "sleep 1.125"], text=True,
                                                 capture_output=True).stdout.split()), "it")
        monitor_pid = int(found[0])
        assert os.getsid(monitor_pid) == monitor_pid == os.getpgid(monitor_pid)
        os.killpg(monitor_pid, signal.SIGTERM)

    thread = threading.Thread(target=look)
    thread.start()
    code, monitor = denet.execute_with_monitoring(["sleep", "1.125"])
    thread.join()
    assert (code, monitor.get_pid()) == (-15, monitor_pid)


def test_close_ends_the_command(tmp_path):
    monitor = denet.ProcessMonitor(["sleep", "60"])
    pid = monitor.get_pid()
    monitor.close()
    assert not is_alive(pid) and monitor.returncode == -15
    monitor.close()
    with pytest.raises(KeyError):
        with denet.ProcessMonitor(["sleep", "60"]) as monitor:
            raise KeyError
    assert not is_alive(monitor.get_pid())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_forgotten_monitor_lets_the_command_run(tmp_path):
    monitor = denet.ProcessMonitor(["sh", "-c", f"sleep 0.5; echo yes >{tmp_path}/done"])
    del monitor
    wait_for(lambda: (tmp_path / "done").exists() and (tmp_path / "done").read_text(), "its end")


CTRL_C = """
import os, sys, time, threading, signal, proctally
monitor = proctally.ProcessMonitor(["sleep", "60"], quiet=True)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
begun = time.monotonic()
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", monitor.get_pid())
    monitor.close()
"""


@pytest.mark.parametrize("call", [
    "monitor.run()",
    "proctally.execute_with_monitoring(['sleep', '60.25'])",
])
def test_ctrl_c_at_once(call):
    done = subprocess.run([sys.executable, "-c", CTRL_C.format(call=call)], text=True,
                          capture_output=True, timeout=30)
    assert done.stdout.startswith("interrupted"), done.stderr
    assert not is_alive(int(done.stdout.split()[1]))
    assert subprocess.run(["pgrep", "-f", "^sleep 60.25"]).returncode == 1


# ---- Each fault of denet ----------------------------------------------------------------------


def test_more_output_than_a_pipe_holds(tmp_path):
    code, _ = shell("head -c 5000000 /dev/zero", stdout_file=str(tmp_path / "out"), timeout=60)
    assert code == 0 and (tmp_path / "out").stat().st_size == 5_000_000


def test_output_is_untouched():
    done = subprocess.run(
        [sys.executable, "-c", "import proctally\n"
         "proctally.execute_with_monitoring('sh -c \"cat; echo err >&2\"')"],
        input="in\n", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("in\n", "err\n")


def test_analysis_of_own_samples():
    _, monitor = denet.execute_with_monitoring(
        [sys.executable, "-S", "-c", "import time\ne = time.process_time() + 0.5\n"
         "while time.process_time() < e: pass"], base_interval_ms=50)
    found = denet.resource_utilization(monitor.get_samples())
    assert found["avg_cpu"] > 20 and found["max_mem_mb"] > 1
    assert "{" not in denet.convert_format(monitor.get_samples(), "csv")


def test_json_is_json(tmp_path):
    path = tmp_path / "run.json"
    shell("sleep 0.2", output_file=path, output_format="json", write_metadata=True)
    kinds = [record["kind"] for record in json.loads(path.read_text())]
    assert kinds[0] == "metadata" and kinds[-1] == "summary" and "tree" in kinds


def test_csv_while_it_runs(tmp_path):
    path = tmp_path / "run.csv"
    shell("sh -c ': \"a,b\"; sleep 0.2'", output_file=path, output_format="csv")
    lines = path.read_text().splitlines()
    assert lines[0].startswith("ts_ms,cpu_usage,mem_rss_kb,mem_vms_kb")
    assert {line.count(",") for line in lines} == {lines[0].count(",")}
    assert denet.resource_utilization(denet.load_metrics(path))["max_mem_mb"] > 0
    with pytest.raises(ValueError, match="expected jsonl, json or csv"):
        shell("true", output_file=path, output_format="xml")


def test_run_writes_metadata(tmp_path):
    path = tmp_path / "run.jsonl"
    denet.ProcessMonitor(["true"], output_file=path, write_metadata=True, write_env=True).run()
    kinds = [json.loads(line)["kind"] for line in path.read_text().splitlines()]
    assert kinds[:2] == ["env", "metadata"] and kinds[-2:] == ["exit", "summary"]


def test_run_prints_records_and_nothing_else():
    """What the command says goes to standard error then."""
    script = ("import proctally\n"
              "m = proctally.ProcessMonitor(['sh', '-c', 'echo out; sleep 0.2'], {})\nm.run()")
    done = subprocess.run([sys.executable, "-c", script.format("50")], capture_output=True, text=True)
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()][-1] == "summary"
    assert done.stderr == "out\n"
    done = subprocess.run([sys.executable, "-c", script.format("50, quiet=True")],
                          capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("out\n", "")


def test_exit_code_after_run():
    monitor = denet.ProcessMonitor(["sh", "-c", "exit 7"], quiet=True)
    monitor.run()
    assert monitor.returncode == 7 and monitor.summary.exit_code == 7


def test_missing():
    with pytest.raises(FileNotFoundError) as caught:
        denet.ProcessMonitor(["/nonesuch/program"])
    assert caught.value.filename == "/nonesuch/program"
    with pytest.raises(FileNotFoundError):
        denet.execute_with_monitoring("nonesuch-program")
    with pytest.raises(PermissionError):
        denet.execute_with_monitoring(["/etc/passwd"])
    with pytest.raises(ProcessLookupError):
        denet.ProcessMonitor.from_pid(4194305)
    for nothing in ([], "", ()):
        with pytest.raises(ValueError):
            denet.ProcessMonitor(nothing)
        with pytest.raises(ValueError):
            denet.execute_with_monitoring(nothing)


def test_gpu_is_said_not_to_be_measured():
    with pytest.warns(RuntimeWarning, match="GPU"):
        denet.ProcessMonitor(["true"], enable_gpu=True).close()


def test_command_on_path():
    """The program is installed with the package."""
    program = Path(sys.executable).parent / "proctally"
    if not program.exists():
        pytest.skip("the package is not installed")
    done = subprocess.run([program, "run", "--json", "-q", "--", "sh", "-c", "exit 5"],
                          capture_output=True, text=True)
    assert done.returncode == 5 and json.loads(done.stdout.splitlines()[-1])["exit_code"] == 5


def test_character_in_two_pieces():
    """A name in a record may be any text, and a read of the socket ends anywhere."""
    with denet.ProcessMonitor(["sleep", "60"]) as monitor:
        text = '{"kind":"child","cmd":["čeština"]}\n' * 2
        cut = text.encode().rindex("č".encode()) + 1
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            watcher = monitor._watcher
            real, watcher.socket = watcher.socket, ours
            found = []
            for piece in (text.encode()[:cut], text.encode()[cut:]):
                theirs.sendall(piece)
                while (line := watcher.next_now()) is not None:
                    found.append(line)
            watcher.socket = real
    assert found == text.splitlines()


STUBBORN = "trap '' TERM; echo $$ >{}; while :; do sleep 0.1; done"


@pytest.mark.parametrize("metadata", [True, False])
def test_output_that_is_full_ends_the_command(tmp_path, metadata):
    """Also one that ignores SIGTERM; with the metadata in the constructor, else at a sample."""
    pid = tmp_path / "pid"
    with pytest.raises(OSError) as caught:
        shell(STUBBORN.format(pid), output_file="/dev/full", base_interval_ms=500,
              write_metadata=metadata)
    assert caught.value.errno == errno.ENOSPC
    if pid.exists() and (text := pid.read_text()):
        assert not is_alive(int(text))
    assert subprocess.run(["pgrep", "-f", str(pid)]).returncode == 1
    assert "/dev/full" not in {os.path.realpath(f"/proc/self/fd/{fd}")
                               for fd in os.listdir("/proc/self/fd")}


def test_output_that_is_full_and_an_exception():
    with pytest.raises(KeyError):
        with denet.ProcessMonitor(["sleep", "60"], output_file="/dev/full") as monitor:
            raise KeyError
    assert monitor.returncode == -15 and monitor.summary.signal == 15
    monitor = denet.ProcessMonitor(["sleep", "60"], output_file="/dev/full")
    with pytest.raises(OSError):
        monitor.close()
    assert not is_alive(monitor.get_pid())


def test_close_beside_run(tmp_path):
    """In another thread, of a command that ignores SIGTERM."""
    monitor = denet.ProcessMonitor(["sh", "-c", STUBBORN.format(tmp_path / "pid")], quiet=True,
                                   output_file=tmp_path / "run.jsonl")
    wait_for(lambda: (tmp_path / "pid").exists(), "the trap")
    thread = threading.Thread(target=monitor.run, daemon=True)
    thread.start()
    wait_for(monitor._reading.locked, "run()")
    closing = threading.Thread(target=monitor.close, daemon=True)
    closing.start()
    closing.join(60)
    thread.join(60)
    assert not closing.is_alive() and not thread.is_alive()
    assert monitor.returncode == -9
    kinds = [json.loads(line)["kind"]
             for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert kinds[-2:] == ["exit", "summary"]


def test_two_streams():
    """Both have all samples, and what is asked beside them takes none away."""
    async def watch():
        with denet.ProcessMonitor(["sleep", "1.2"], 50, 50) as monitor:
            async def everything():
                return [sample["ts_ms"] async for sample in monitor.stream()]

            tasks = [asyncio.create_task(everything()) for _ in range(2)]
            await asyncio.sleep(0.3)
            asked = json.loads(monitor.sample_once())["ts_ms"]
            assert json.loads(monitor.get_summary())["sample_count"] > 0
            first, second = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        stored = [json.loads(text)["ts_ms"] for text in monitor.get_samples()]
        return first, second, stored, asked

    first, second, stored, asked = asyncio.run(watch())
    # each has those since it began
    assert first == stored[-len(first):] and second == first[-len(second):]
    assert len(second) > 3 and asked in second


def test_close_ends_streams():
    async def watch():
        monitor = denet.ProcessMonitor(["sleep", "60"], 50, 50)

        async def everything():
            return [sample async for sample in monitor.stream()]

        task = asyncio.create_task(everything())
        await asyncio.sleep(0.3)
        monitor.close()
        return await asyncio.wait_for(task, 60)

    assert asyncio.run(watch())


def test_summary_beside_run():
    """It does not wait for the end, though no sample is there to tell anything."""
    with denet.ProcessMonitor(["sleep", "60"], 60_000, 60_000, quiet=True) as monitor:
        with monitor._reading:  # as run() has it
            record = json.loads(monitor.get_summary())
        assert record["sample_count"] == 0 and "cpu_user_s" not in record
        assert denet.Summary.from_json(json.dumps(record)).wall_s > 0


def test_columns_are_those_of_the_program(tmp_path):
    program = denet._program.path()
    done = subprocess.run([program, "run", "--csv", "-q", "true"], capture_output=True, text=True)
    shell("true", output_file=tmp_path / "run.csv", output_format="csv")
    assert (tmp_path / "run.csv").read_text().splitlines()[0] == done.stdout.splitlines()[0]


def test_summary_of_samples_that_are_left():
    """Before the end: totals do not fall, peaks are those since then."""
    with denet.ProcessMonitor(["sh", "-c", "sleep 60 & sleep 60"]) as monitor:
        wait_for(lambda: json.loads(monitor.sample_once())["aggregated"]["process_count"] == 3,
                 "two children")
        before = json.loads(monitor.get_summary())
        count = before["sample_count"]
        monitor.clear_samples()
        after = json.loads(monitor.get_summary())
        assert after["sample_count"] == 1
        assert after["cpu_user_s"] >= before["cpu_user_s"]
    assert monitor.summary.record["sample_count"] >= count


@pytest.mark.skipif(not BPF, reason="source bpf can't be used here")
def test_what_has_ended():
    """Also between two samples."""
    _, monitor = shell("/bin/true; /bin/true; exit 0", enable_ebpf=True)
    ended = [json.loads(text) for text in monitor.get_ended()]
    assert len(ended) == len({one["pid"] for one in ended}) == 3
    assert {one["command"] for one in ended} <= {"sh", "true"}
    assert all(one["kind"] == "end" and one["metrics"]["page_faults_cached"] > 0 for one in ended)
    assert sum(one["metrics"]["page_faults_cached"] for one in ended) \
        <= monitor.summary.page_faults_minor
    monitor.clear_samples()
    assert monitor.get_ended() == []


def test_what_has_ended_is_not_known():
    assert shell("/bin/true; exit 0")[1].get_ended() == []
