#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Figures of control groups themselves: recorded ones of both versions, and real ones against
the files that they come from."""
import os
import sys

from common import *

MIB = 1 << 20
V2 = {
    "memory.current": "1000\n", "memory.peak": "2000\n", "memory.max": "3000\n",
    "memory.swap.current": "400\n", "memory.events": "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n",
    "cpu.max": "250000 100000\n",
    "cpu.stat": "usage_usec 1\nnr_periods 5\nnr_throttled 6\nthrottled_usec 7000\n",
    "pids.current": "8\n", "pids.max": "9\n",
    "cpu.pressure": "some avg10=0.00 total=1000\nfull avg10=0.00 total=0\n",
    "memory.pressure": "some avg10=0.00 total=2000\nfull avg10=0.00 total=0\n",
    "io.pressure": "some avg10=0.00 total=3000\nfull avg10=0.00 total=4000\n",
}
V1 = {
    "memory": {"memory.usage_in_bytes": "1000\n", "memory.max_usage_in_bytes": "2000\n",
               "memory.limit_in_bytes": "3000\n", "memory.failcnt": "2\n",
               "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"},
    "cpu,cpuacct": {"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n",
                    "cpu.stat": "nr_periods 5\nnr_throttled 6\nthrottled_time 7000000\n"},
    "pids": {"pids.current": "8\n", "pids.max": "max\n"},
}
PLAIN = {"cgroup_memory": 1000, "cgroup_memory_peak": 2000, "cgroup_memory_limit": 3000,
         "cgroup_cpu_limit": 2.5, "cgroup_pids": 8}


# ---- Recorded -----------------------------------------------------------------------------------

class Host(Tree):
    """A recorded host: proc, and beside it sys and whatever else."""

    def __init__(self):
        super().__init__()
        self.root, inner = self.path, self.path + "/proc"
        os.mkdir(inner)
        for name in os.listdir(self.root):
            if name != "proc":
                os.rename(os.path.join(self.root, name), os.path.join(inner, name))
        self.path = inner

    def put(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return write_text(path, text)

    def member(self, pid, cgroup, **how):
        self.process(pid, how.pop("comm", "prog%d" % pid), **how)
        write_text("%s/%d/cgroup" % (self.path, pid), cgroup)

    def v2(self, path, files=None, root="sys/fs/cgroup"):
        self.put(root + "/cgroup.controllers", "cpu io memory pids\n")
        for name, text in (files or V2).items():
            self.put("%s%s/%s" % (root, path, name), text)

    def v1(self, path):
        for hierarchy, files in V1.items():
            for name, text in files.items():
                self.put("sys/fs/cgroup/%s%s/%s" % (hierarchy, path, name), text)


def fields_of(point):
    return {k: v for k, v in point.fields.items() if k.startswith("cgroup_")}


COUNTERS = {"cgroup_cpu_periods", "cgroup_cpu_throttled_periods", "cgroup_cpu_throttled",
            "cgroup_memory_events_max", "cgroup_memory_events_oom_kill"}
PRESSURES = {"cgroup_%s_pressure_%s" % (r, k)
             for r in ("cpu", "memory", "io") for k in ("some", "full")}


def case_unified():
    h = Host()
    h.v2("/system.slice/web.service")
    for pid, below in (10, "/a"), (11, "/b"):
        h.member(pid, "0::/system.slice/web.service%s\n" % below)
    d = Driver("--procfs", h.path, "--group-by", "unit", "--collect", "cgroup")
    web = fields_of(d.points["web.service"])
    gauges = {k: v for k, v in web.items() if k in (*PLAIN, "cgroup_swap", "cgroup_pids_limit")}
    check_equal(gauges, {**PLAIN, "cgroup_swap": 400, "cgroup_pids_limit": 9}, "gauges")
    counters = {k: v for k, v in web.items() if k not in gauges}
    check_equal(set(counters), COUNTERS | PRESSURES |
                {"cgroup_memory_events_high", "cgroup_memory_events_oom"}, "counters")
    check_equal(set(counters.values()), {0}, "what was before the first collection")
    more = {**V2, "memory.events": "low 0\nhigh 11\nmax 22\noom 33\noom_kill 44\n",
            "cpu.stat": "nr_periods 105\nnr_throttled 16\nthrottled_usec 1507000\n",
            "io.pressure": "some avg10=0.00 total=503000\nfull avg10=0.00 total=254000\n"}
    h.v2("/system.slice/web.service", more)
    web = fields_of(d.collect()["web.service"])
    for name, wanted in (("cpu_periods", 100), ("cpu_throttled_periods", 10),
                         ("cpu_throttled", 1.5), ("memory_events_high", 10),
                         ("memory_events_max", 20), ("memory_events_oom", 30),
                         ("memory_events_oom_kill", 40), ("io_pressure_some", 0.5),
                         ("io_pressure_full", 0.25), ("cpu_pressure_some", 0)):
        check_equal(web["cgroup_" + name], wanted, name)
    d.end()


def case_version_1():
    h = Host()
    h.v1("/docker/" + "ab" * 32)
    h.member(10, "4:memory:/docker/{0}\n3:cpu,cpuacct:/docker/{0}\n1:name=systemd:/docker/{0}\n"
             .format("ab" * 32))
    d = Driver("--procfs", h.path, "--group-by", "container", "--collect", "cgroup")
    web = fields_of(d.points["abababababab"])
    check_equal({k: v for k, v in web.items() if k in PLAIN}, PLAIN, "gauges")
    check_equal(set(web) - set(PLAIN), COUNTERS, "the rest")
    h.v2("/docker/" + "ab" * 32, {k: v for k, v in V2.items() if k.endswith("pressure")},
         "sys/fs/cgroup/unified")
    write_text(h.root + "/sys/fs/cgroup/unified/cgroup.controllers", "\n")
    d.end()
    d = Driver("--procfs", h.path, "--group-by", "container", "--collect", "cgroup")
    web = fields_of(d.points["abababababab"])
    check_equal(set(web) - set(PLAIN), COUNTERS | PRESSURES, "with the unified one beside it")
    d.end()


def case_families():
    """In Prometheus' words; and nothing of it unless it is asked for."""
    h = Host()
    h.v2("/system.slice/web.service")
    h.member(10, "0::/system.slice/web.service\n")
    flags = ["--procfs", h.path, "--group-by", "unit", "--output", "-"]
    status, out, err = run([TEXTFILE, *flags, "--collect", "cgroup"])
    check_equal(status, 0, "status (%s)" % err)
    m = Metrics(out)
    for name, labels, value in (("memory_bytes", {}, 1000), ("cpu_limit_ratio", {}, 2.5),
                                # a single run without a state shows whole lives
                                ("memory_events_total", {"type": "oom_kill"}, 4),
                                ("io_pressure_seconds_total", {"type": "full"}, 0.004)):
        check_equal(m.get("proctally_cgroup_" + name, unit="web.service", **labels), value, name)
    status, out, err = run([TEXTFILE, *flags])
    check(status == 0 and "cgroup_" not in out, "without being asked for", out, err)


def case_without_effect():
    h = Host()
    status, out, err = run([TEXTFILE, "--procfs", h.path, "--collect", "cgroup", "--check-config"])
    check_equal(status, 0, "status")
    check("collect has cgroup" in out + err, "no warning", out, err)


# ---- Containers by name ---------------------------------------------------------------------------

IDS = {name: format(i, "x") * 64 for i, name in enumerate(
    ("containerd", "docker", "podman", "kubelet", "nobody", "hostile"), 10)}
TASKS = "run/containerd/io.containerd.runtime.v2.task/k8s.io/%s/config.json"


def named_host():
    h = Host()
    h.put(TASKS % IDS["containerd"], json.dumps({"annotations": {
        "io.kubernetes.cri.container-name": "nginx", "io.kubernetes.cri.sandbox-name": "web-1",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.image-name": "docker.io/nginx:1.25"}}))
    h.put("var/lib/docker/containers/%s/config.v2.json" % IDS["docker"],
          json.dumps({"Name": "/cache", "Config": {"Image": "redis:7", "Labels": {}}}))
    h.put("var/lib/containers/storage/overlay-containers/containers.json", json.dumps([
        {"id": IDS["podman"], "names": ["db"],
         "metadata": json.dumps({"name": "db", "image-name": "postgres:16"})}]))
    h.put("var/log/containers/job-x_batch_main-%s.log" % IDS["kubelet"], "")
    h.put(TASKS % IDS["hostile"], json.dumps({"annotations": {
        "io.kubernetes.cri.sandbox-name": "a\"} 1\n# b\u202e\x1b[2J\\",
        "io.kubernetes.cri.container-name": "x" * 5000}}))
    for i, digits in enumerate(IDS.values()):
        h.member(10 + i, "0::/kubepods/pod%d/%s\n" % (i, digits))
    return h


def case_container_names():
    """All runtimes on one host; what is hostile in them does no harm in any dialect."""
    h = named_host()
    flags = ["--procfs", h.path, "--group-by", "container", "--container-names"]
    wanted = {
        "containerd": {"pod": "web-1", "namespace": "shop", "container_name": "nginx",
                       "image": "docker.io/nginx:1.25"},
        "docker": {"container_name": "cache", "image": "redis:7"},
        "podman": {"container_name": "db", "image": "postgres:16"},
        "kubelet": {"pod": "job-x", "namespace": "batch", "container_name": "main"},
        "nobody": {},
        "hostile": {"pod": 'a"} 1?# b??[2J?', "container_name": "x" * 512},
    }
    d = Driver(*flags)
    status, out, err = run([TEXTFILE, *flags, "--output", "-"])
    check_equal(status, 0, "status of textfile (%s)" % err)
    m = Metrics(out)
    for name, labels in wanted.items():
        short = IDS[name][:12]
        tags = {k: v for k, v in d.points[short].tags.items() if k not in ("groupname", "container")}
        check_equal(tags, labels, "tags of " + name)
        check_equal(m.get("proctally_processes", container=short, **labels), 1, "series of " + name)
    check_equal(m.labels_of("pod"), {"web-1", "job-x", wanted["hostile"]["pod"]}, "pods")
    d.end()
    status, out, err = run([TEXTFILE, "--procfs", h.path, "--group-by", "container", "--output", "-"])
    check(status == 0 and "web-1" not in out, "without being asked for", out, err)
    status, out, err = run([TEXTFILE, *flags, "--labels", "pod=mine", "--output", "-"])
    check(status == 2 and 'labels has "pod"' in err, "a label twice", (status, err))


# ---- Real ------------------------------------------------------------------------------------------

class Cgroup:
    """A control group of one name in the hierarchies of this host that have its parts."""

    def __init__(self):
        self.path = "/" + unique("cg")
        base = "/sys/fs/cgroup"
        self.v2 = os.path.exists(base + "/cgroup.controllers")
        if self.v2:
            self.dirs = {part: base + self.path for part in ("memory", "cpu", "pids")}
        else:
            self.dirs = {part: "%s/%s%s" % (base, part, self.path)
                         for part in ("memory", "cpu", "pids")
                         if os.path.isdir("%s/%s" % (base, part))}
        if not self.dirs:
            raise Skipped("no control groups are mounted")
        try:
            if self.v2:
                for part in self.dirs:
                    write_text(base + "/cgroup.subtree_control", "+" + part)
            for d in sorted(set(self.dirs.values())):
                os.mkdir(d)
                later(self.remove, d)
        except OSError as e:
            raise Skipped("no right to make a control group: %s" % e)

    @staticmethod
    def remove(path):
        def removed():
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass
            return True
        wait_for(removed, "the removal of %s" % path)

    def set(self, part, v2, v1):
        """Writes {file: text}, of the version that there is."""
        for name, text in (v2 if self.v2 else v1).items():
            write_text(os.path.join(self.dirs[part], name), text)

    def limit(self, memory_bytes, cpu_ms):
        """Its memory, and its CPU time in each 100 ms."""
        memory, cpu_us = str(memory_bytes), str(cpu_ms * 1000)
        self.set("memory", {"memory.max": memory}, {"memory.limit_in_bytes": memory})
        self.set("cpu", {"cpu.max": cpu_us + " 100000"},
                 {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": cpu_us})

    def read(self, part, v2, v1, key=None):
        text = read_text(os.path.join(self.dirs[part], v2 if self.v2 else v1))
        if key:
            return int(next(l.split()[1] for l in text.splitlines() if l.split()[0] == key))
        return int(text)

    def enter(self):
        for d in set(self.dirs.values()):
            write_text(d + "/cgroup.procs", "0")


USE = """
import os, sys, time
os.write(1, b".")
os.read(0, 1)
begun = time.process_time()
while time.process_time() < begun + 0.15:
    pass
child = os.fork()
if child == 0:
    parts = []
    while True:
        parts.append(b"x" * (1 << 20))
os.waitpid(child, 0)
os.write(1, b".")
time.sleep(600)
"""


def case_real():
    """A CPU limit that holds up, and a memory limit that kills, against the kernel's files."""
    if not is_root():
        raise Skipped("only root makes control groups")
    cg = Cgroup()
    for part in ("memory", "cpu", "pids"):
        if part not in cg.dirs:
            raise Skipped("the %s controller is not there" % part)
    cg.limit(48 * MIB, 5)
    for name in "memory.swap.max", "memory.memsw.limit_in_bytes":
        path = os.path.join(cg.dirs["memory"], name)
        if os.path.exists(path):
            write_text(path, "0" if "swap.max" in name else str(48 * MIB))
    cg.set("pids", {"pids.max": "7"}, {"pids.max": "7"})
    process = start([PYTHON, "-S", "-c", USE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    preexec_fn=cg.enter)
    check_equal(process.stdout.read(1), b".", "what the process says when it is ready")
    d = Driver("--group-by", "cgroup", "--collect", "cgroup")
    before = fields_of(d.points[cg.path])
    check_equal([before[k] for k in ("cgroup_cpu_limit", "cgroup_memory_limit",
                                     "cgroup_pids_limit", "cgroup_pids")],
                [0.05, 48 * MIB, 7, 1], "limits")
    # its own start counts as history
    begun = {n: cg.read("cpu", "cpu.stat", "cpu.stat", n) for n in ("nr_periods", "nr_throttled")}
    waited = "throttled_usec" if cg.v2 else "throttled_time"
    begun[waited] = cg.read("cpu", "cpu.stat", "cpu.stat", waited)
    process.stdin.write(b".")
    process.stdin.flush()
    check_equal(process.stdout.read(1), b".", "what the process says at its end")

    def is_right():
        f = fields_of(d.collect()[cg.path])
        since = {n: cg.read("cpu", "cpu.stat", "cpu.stat", n) - begun[n] for n in begun}
        files = {
            "cgroup_cpu_periods": since["nr_periods"],
            "cgroup_cpu_throttled_periods": since["nr_throttled"],
            "cgroup_cpu_throttled": since[waited] / (1e6 if cg.v2 else 1e9),
            "cgroup_memory_events_oom_kill": cg.read("memory", "memory.events",
                                                     "memory.oom_control", "oom_kill"),
            "cgroup_memory": cg.read("memory", "memory.current", "memory.usage_in_bytes"),
            "cgroup_pids": cg.read("pids", "pids.current", "pids.current"),
        }
        if cg.v2:
            files["cgroup_memory_events_max"] = cg.read("memory", "memory.events", "", "max")
        peak = os.path.join(cg.dirs["memory"],
                            "memory.peak" if cg.v2 else "memory.max_usage_in_bytes")
        check_equal("cgroup_memory_peak" in f, os.path.exists(peak), "is there a peak")
        if os.path.exists(peak):
            files["cgroup_memory_peak"] = int(read_text(peak))
        for name, value in files.items():
            room = 2 if name.startswith("cgroup_cpu") else 256 << 10 if name == "cgroup_memory" else 0
            check_near(f[name], value, name, absolute=room)
        check(f["cgroup_cpu_throttled_periods"] >= 3 and f["cgroup_cpu_throttled"] > 0.2,
              "it was not held up", f)
        check(f["cgroup_memory_events_oom_kill"] >= 1, "nothing was killed", f)
        return True
    wait_for(is_right, "the figures", 30, every=0.5)
    d.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
