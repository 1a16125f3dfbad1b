# SPDX-License-Identifier: MIT
"""The collector: groups, processes, the host."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import subprocess
import time

import proctally
import pytest
from conftest import burn


def collector(**options):
    return proctally.Collector(**{"source": "procfs", **options})


def test_groups_in_three_lines():
    with collector(group_by=["user", "name"]) as c:
        snapshot = c.collect()
    for name, group in snapshot.groups.items():
        assert group.name == name and group["processes"] >= 0
    mine = [g for g in snapshot.groups.values() if g.labels.get("user") and "python" in g.name]
    assert mine and mine[0]["memory_rss"] > 0
    assert list(snapshot.groups) == sorted(snapshot.groups)


def test_catalogue():
    cpu = proctally.METRICS["cpu_user"]
    assert (cpu.kind, cpu.unit, cpu.scope) == ("counter", "seconds", "group")
    assert proctally.METRICS["memory_rss"].unit == "bytes"
    assert {m.scope for m in proctally.METRICS.values()} == {
        "group", "host", "collector", "thread name", "wait channel"}


def test_values_are_those_of_the_kernel(sleeper):
    burn(0.05)
    snapshot = collector(follow=[os.getpid()]).collect()
    [me] = [p for p in snapshot.processes if p.pid == os.getpid()]
    [other] = [p for p in snapshot.processes if p.pid == sleeper.pid]
    assert other.ppid == me.pid and other.name == "sleep" and other.state == "S"
    assert other.cmdline == ["sleep", "60"] and other.exe.endswith(("/sleep", "/coreutils"))
    assert other.cgroup.startswith("/")
    assert isinstance(me["memory_rss"], int) and isinstance(me["cpu_user"], float)
    assert me["cpu_user"] + me["cpu_system"] == pytest.approx(sum(os.times()[:2]), abs=0.1)
    assert me["priority"] == 20 + os.nice(0) and me["nice"] == os.nice(0)
    assert abs(me.start_time - me["start_time"]) < 1e-6
    assert me.user == subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
    assert me.group in snapshot.groups


def test_negative_values(sleeper):
    if os.geteuid() != 0:
        pytest.skip("lowering the nice value takes root")
    os.setpriority(os.PRIO_PROCESS, sleeper.pid, -5)
    snapshot = collector(follow=[sleeper.pid]).collect()
    assert snapshot.processes[0]["nice"] == -5


def test_absent_is_not_zero():
    group = next(iter(collector(collect=["no-io"]).collect().groups.values()))
    assert "io_read" not in group and group.get("io_read") is None
    with pytest.raises(KeyError):
        group["io_read"]


def test_counters_grow():
    with collector(follow=[os.getpid()]) as c:
        first = c.collect()
        burn(0.2)
        second = c.collect()
    [name] = [p.group for p in second.processes if p.pid == os.getpid()]
    used = second.groups[name]["cpu_user"] + second.groups[name]["cpu_system"]
    assert used == pytest.approx(0.2, abs=0.06)
    assert first.interval is None and second.interval == pytest.approx(0.2, abs=2)
    assert second.time == pytest.approx(time.time(), abs=60)
    assert first.groups[name].get("cpu_user", 0) == 0, "a snapshot never changes"


def test_rules():
    rules = [{"name": "pythons:{{.Matches.V}}", "cmdline": ["(?P<V>python)"]},
             {"name": "mine", "user": ["root"]}]
    snapshot = collector(rules=rules, group_by=[]).collect()
    assert snapshot.groups["pythons:python"]["processes"] >= 1
    assert set(snapshot.groups) <= {"pythons:python", "mine"}
    rules = [{"drop": True, "not": {"cmdline": ["python"]}}, {"name": "mine", "gid": [os.getgid()],
                                                            "kernel": False}]
    snapshot = collector(rules=rules, group_by=[]).collect()
    assert snapshot.groups["mine"]["processes"] >= 1


def test_rules_without_yaml():
    """In a build that can't read it they are added one by one."""
    c = collector(group_by=[])
    with pytest.raises(proctally.ConfigError, match='"nme" in a rule is wrong'):
        c._add_rule({"nme": "x"})
    with pytest.raises(proctally.ConfigError, match="as a list"):
        c._add_rule({"comm": "x"})
    with pytest.raises(proctally.ConfigError, match="regular expression"):
        c._add_rule({"name": "x", "cmdline": ["("]})
    with pytest.raises(proctally.ConfigError, match="drop \\(True or False\\)"):
        c._add_rule({"comm": ["x"], "drop": "yes"})
    with pytest.raises(proctally.ConfigError, match="expected a path"):
        c._add_rule({"name": "x", "not": {"pid_file": ["x"]}})
    c._add_rule({"name": "{{.Comm}}", "comm": ["a", "b"], "user": ["root"]})
    c._add_rule({"drop": True, "comm": ["a"], "kernel": False, "gid": [0],
                 "parent": {"comm": ["b"], "not": {"user": ["root"]}}})


def test_host_and_collector():
    snapshot = collector().collect()
    assert snapshot.host["host_cpus"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert snapshot.host["host_memory_total"] > 1 << 20
    assert snapshot.collector["source_procfs"] == 1
    assert len(collector(host=False).collect().host) == 0
    assert len(collector(processes=False).collect().processes) == 0


def test_to_dict_is_json():
    snapshot = collector().collect()
    found = json.loads(json.dumps(snapshot.to_dict()))
    assert {"time", "interval", "groups", "processes", "host", "collector"} == found.keys()
    assert {"pid", "name", "user", "group", "metrics"} <= found["processes"][0].keys()
    assert "memory_rss" in found["groups"][0]["metrics"]


def test_to_pandas():
    pandas = pytest.importorskip("pandas")
    snapshot = collector(group_by=["user"]).collect()
    frame = snapshot.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    name = next(iter(snapshot.groups))
    assert frame.loc[name, "memory_rss"] == snapshot.groups[name]["memory_rss"]
    frame = snapshot.to_pandas("processes")
    assert frame.loc[os.getpid(), "memory_rss"] > 0
    assert not math.isnan(frame["memory_rss"].sum())
    with pytest.raises(ValueError):
        snapshot.to_pandas("nothing")


def test_columns():
    with collector(collect=["no-io"]) as c:
        snapshot = c.collect()
    found = snapshot.columns("pid", "ppid", "name", "user", "start_time", "state", "group",
                             "memory_rss", "cpu_user", "nice", "io_read")
    assert found.pop("io_read") == [None] * len(snapshot.processes)
    for i, process in enumerate(snapshot.processes):
        for name, column in found.items():
            value = getattr(process, name) if hasattr(process, name) else process.get(name)
            assert column[i] == value, (name, process)
    with pytest.raises(KeyError):
        snapshot.columns("nonesuch")
    with collector(processes=False) as c:
        assert c.collect().columns("pid", "memory_rss") == {"pid": [], "memory_rss": []}


def test_texts_of_the_agents():
    snapshot = collector().collect()
    assert "# TYPE proctally_processes gauge" in snapshot.encode("prometheus")
    assert snapshot.encode("openmetrics").endswith("# EOF\n")
    assert snapshot.encode("influx").startswith("proctally")
    assert "groups" in json.loads(snapshot.encode("json"))
    with pytest.raises(ValueError):
        snapshot.encode("xml")


def test_configuration_errors(tmp_path):
    with pytest.raises(proctally.ConfigError, match='is "x", expected any of name, user'):
        collector(group_by=["x"])
    with pytest.raises(proctally.ConfigError, match="there is no option"):
        collector(grup_by=["name"])
    with pytest.raises(proctally.ConfigError, match="expected a duration"):
        collector(interval="soon")
    with pytest.raises(proctally.ConfigError) as caught:
        collector(rules=[{"nme": "x"}])
    assert (caught.value.file, caught.value.line) == ("process_names", 1)
    path = tmp_path / "proctally.yaml"
    path.write_text("interval: 3s\ngroup-by: [name]\nmax-groups: many\n")
    with pytest.raises(proctally.ConfigError, match="expected") as caught:
        collector(config=path)
    assert (caught.value.file, caught.value.line) == (str(path), 3)
    with pytest.raises(FileNotFoundError) as caught:
        collector(config=tmp_path / "nonesuch")
    assert caught.value.filename == str(tmp_path / "nonesuch")
    with pytest.raises(ProcessLookupError):
        collector(follow=[4194305])
    assert issubclass(proctally.ConfigError, ValueError)


def test_configuration_file(tmp_path):
    path = tmp_path / "proctally.yaml"
    path.write_text("group-by: [user]\nsource: procfs\nmax-groups: 100\n")
    snapshot = proctally.Collector(config=path).collect()
    assert all("user" in g.labels for g in snapshot.groups.values() if g.name != "kernel")
    snapshot = proctally.Collector(["name"], config=path).collect()
    assert not any("user" in g.labels for g in snapshot.groups.values())


def test_warnings_are_logged(caplog):
    with caplog.at_level(logging.WARNING, "proctally"):
        collector(rules=[{"name": "x", "comm": ["a-name-of-more-than-15-bytes"]}])
    assert "a-name-of-more" in caplog.text


def test_over_time():
    seen = []
    for snapshot in collector(interval=0.05):
        seen.append(snapshot)
        if len(seen) == 4:
            break
    assert [s.interval is None for s in seen] == [True, False, False, False]

    async def watch():
        found = []
        async for snapshot in collector(interval="50ms"):
            found.append(snapshot)
            if len(found) == 3:
                return found

    assert len(asyncio.run(watch())) == 3


def test_explain():
    with collector() as c:
        assert "\ngroup: " in c.explain(os.getpid())
        with pytest.raises(ProcessLookupError):
            c.explain(4194305)


def test_closed():
    c = collector()
    snapshot = c.collect()
    c.close()
    c.close()
    with pytest.raises(ValueError, match="closed"):
        c.collect()
    assert snapshot.groups and snapshot.processes[0].name


def test_slices_of_processes():
    processes = collector().collect().processes
    assert processes[-1].pid == processes[len(processes) - 1].pid
    assert [p.pid for p in processes[:2]] == [processes[0].pid, processes[1].pid]
    with pytest.raises(IndexError):
        processes[len(processes)]
