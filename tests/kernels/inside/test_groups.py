#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real units and real containers as groups, of what goes on and of what was over before
anybody looked."""
import shutil

from machine import *


def driver(key, source):
    return Driver("--group-by", key, source=source)


def case_units():
    """Services, slices and scopes as systemd makes them."""
    program = steps_program()
    name = unique("unit")
    d = {s: driver("unit", s) for s in ("bpf", "procfs")}
    long = name + "-long.service"
    done("systemd-run", "-q", "--unit=" + long, "--slice=%s.slice" % name, program, "burn:1000",
         "exec", shutil.which("sleep"), "600")
    done("systemd-run", "-q", "--scope", "--unit=%s-scope" % name, program, "burn:200")
    used = {}
    for one, argv in (("-short", ("spawn:5:1", program, "burn:100")),
                      ("@a-b\\x2dc", ("burn:500",))):
        unit = name + one + ".service"
        used[unit] = run_unit(unit, program, *argv)

    def is_right():
        truth = int(shown(long, "CPUUsageNSec")) / 1e9
        for source, one in d.items():
            check_unit_cpu(one.collect().cpu(long), truth, "a service, by " + source)
        points = d["bpf"].points
        check_equal(points[long].fields["num_procs"], 1, "processes")
        for group, exits in ((name + "-short.service", 6), (name + "-scope.scope", 1),
                             (name + "@a-b\\x2dc.service", 1)):
            check(group in points, "no group " + group, sorted(points))
            check_equal(points[group].fields["exits"], exits, "exits of " + group)
            if group in used:
                check_unit_cpu(points.cpu(group), used[group], group)
        for unit in "dbus.service", "systemd-journald.service", "proctally-tests.service", \
                    "init.scope":
            for one in d.values():
                check(one.points[unit].fields["num_procs"] >= 1, "no processes of " + unit)
        return True
    wait_for(is_right, "the groups", 30, every=0.5)
    systemctl("stop", long)
    for one in d.values():
        one.end()


def case_figures_of_units():
    """Of the unit's own control group, though its processes are in two inside of that; the
    same from both sources, and as systemd and the kernel have them. It is ended and started
    again: counters go on."""
    unit = unique("lim") + ".service"
    d = [Driver("--group-by", "unit", "--collect", "cgroup", source=s) for s in ("procfs", "bpf")]
    script = ('cg=/sys/fs/cgroup$(sed s/^0::// /proc/self/cgroup); mkdir $cg/a $cg/b; '
              '(echo 0 >$cg/b/cgroup.procs; exec sleep 600) & echo 0 >$cg/a/cgroup.procs; '
              'timeout 2 sh -c "while :; do :; done"; exec sleep 600')

    def begin():
        done("systemd-run", "-q", "--unit=" + unit, "-p", "MemoryMax=64M", "-p", "CPUQuota=25%",
             "-p", "TasksMax=12", "-p", "Delegate=yes", "sh", "-c", script)
        return "/sys/fs/cgroup" + shown(unit, "ControlGroup")

    def of_file(text, key, scale=1):
        return int(next(l.split()[1] for l in text.splitlines() if l.startswith(key + " "))) / scale

    def is_right(path, before):
        for one, was in zip(d, before):
            p = one.collect()[unit]
            stat = read_text(path + "/cpu.stat")
            check_equal([p.fields[k] for k in ("cgroup_memory_limit", "cgroup_cpu_limit",
                                               "cgroup_pids_limit", "num_procs", "cgroup_pids")],
                        [64 << 20, 0.25, 12, 2, 2], "limits and processes")
            check_near(p.fields["cgroup_memory"], int(read_text(path + "/memory.current")),
                       "memory", absolute=256 << 10)
            check_equal("cgroup_memory_peak" in p.fields, os.path.exists(path + "/memory.peak"),
                        "is there a peak")
            for field, key, scale in (("cgroup_cpu_periods", "nr_periods", 1),
                                      ("cgroup_cpu_throttled_periods", "nr_throttled", 1),
                                      ("cgroup_cpu_throttled", "throttled_usec", 1e6)):
                wanted = of_file(stat, key, scale) + was.get(field, 0)
                check(of_file(stat, key, scale) > 0, "%s is 0" % key)
                check_near(p.fields[field], wanted, field, absolute=0.01)
            events = read_text(path + "/memory.events")
            check_equal(p.fields["cgroup_memory_events_oom_kill"], of_file(events, "oom_kill"),
                        "kills")
            if os.path.exists(path + "/cpu.pressure"):
                check(p.fields["cgroup_cpu_pressure_some"] > 0, "no pressure", p.fields)
        return True
    path = begin()
    wait_for(lambda: is_right(path, [{}, {}]), "the figures", 60, every=0.5)
    before = [dict(one.points[unit].fields) for one in d]
    systemctl("stop", unit)
    for one, was in zip(d, before):
        p = one.collect()[unit]
        check("cgroup_memory" not in p.fields, "memory after its end", p.fields)
        check_equal(p.fields["cgroup_cpu_periods"], was["cgroup_cpu_periods"],
                    "periods after its end")
    path = begin()
    wait_for(lambda: is_right(path, before), "the figures of the next one", 60, every=0.5)
    systemctl("stop", unit)
    for one in d:
        one.end()


def tiny_root():
    """All that a container needs."""
    root = os.path.join(temp_dir(), "root")
    for name in "bin", "etc", "usr", "proc", "sys", "dev", "run", "tmp":
        os.makedirs(os.path.join(root, name))
    shutil.copy(shutil.which("busybox"), os.path.join(root, "bin/busybox"))
    os.symlink("busybox", os.path.join(root, "bin/sh"))
    write_text(os.path.join(root, "etc/os-release"), "ID=tiny\n")
    write_text(os.path.join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\n")
    return root


def case_containers():
    """systemd-nspawn: by name, though the processes are numbered anew inside, and with the
    unit of the host that they are in."""
    machine = unique("box").replace("_", "-")
    name = machine.replace("-", "\\x2d") # as systemd writes it where there are paths
    d = [driver(k, s) for k in ("container", "unit") for s in ("bpf", "procfs")]
    w = start(["systemd-nspawn", "-q", "-a", "--register=yes", "-M", machine, "-D", tiny_root(),
               "/bin/sh", "-c",
               "busybox true; i=0; while [ $i -lt 20 ]; do busybox true; i=$((i+1)); done; "
               "busybox sleep 600; :"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def is_right():
        check(w.poll() is None, "nspawn has ended")
        for one in d:
            one.collect()
        bpf, procfs, units = d[0].points, d[1].points, d[2].points
        for points in bpf, procfs:
            check(name in points, "no group of the container", sorted(points))
        for field in "num_procs", "num_threads":
            check_equal(bpf[name].fields[field], procfs[name].fields[field], field)
        check_equal(bpf[name].fields["num_procs"], 3, "processes: init's stub, sh, sleep")
        check(bpf[name].fields["exits"] >= 21, "exits of what was short", bpf[name].fields)
        check("machine-%s.scope" % name in units, "no unit of the container",
              sorted(units))
        return True
    try:
        wait_for(is_right, "the container", 60, every=0.5)
    except Failed as e:
        w.kill()
        raise Failed("%s; nspawn said: %s" % (e, w.stdout.read().decode()))
    run(["machinectl", "terminate", machine])
    for one in d:
        one.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
