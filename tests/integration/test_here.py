#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""--list-metrics --here: what it says of each metric is what a run then shows."""
import glob
import os
import shutil
import sys

from common import *


class MetricRow(ctypes.Structure):
    _fields_ = [("id", ctypes.c_char_p), ("help", ctypes.c_char_p), ("kind", ctypes.c_int),
                ("unit", ctypes.c_int), ("scope", ctypes.c_int)]


class InfluxName(ctypes.Structure):
    _fields_ = [("field", ctypes.c_char_p), ("form", ctypes.c_int)]


def catalogue():
    """{id: (its field in line protocol or None, is it about proctally itself)}, of groups: those
    of their threads are in lines of their own"""
    found = glob.glob(os.path.join(BUILD, "core/.libs/libproctally.so"))
    if not found:
        raise Skipped("there is no libproctally.so to read the catalogue from")
    library = ctypes.CDLL(found[0])
    library.tally_metric.restype = ctypes.POINTER(MetricRow)
    library.tally_metric_influx.restype = ctypes.POINTER(InfluxName)
    rows, number = {}, 0
    while library.tally_metric(ctypes.c_size_t(number)):
        row = library.tally_metric(ctypes.c_size_t(number)).contents
        influx = library.tally_metric_influx(ctypes.c_size_t(number))
        if row.scope != 2:  # the host's
            has_field = influx and row.scope <= 1
            rows[row.id.decode()] = (influx.contents.field.decode() if has_field else None,
                                     row.scope == 1)
        number += 1
    return rows


class Table:
    def __init__(self, *flags, prefix=(), program=TEXTFILE):
        status, out, self.said = run([*prefix, program, "--list-metrics", "--here", *flags])
        check_equal((status, self.said), (0, ""), "status and messages")
        head, *lines = out.splitlines()
        check_equal(head.split(), ["METRIC", "HERE", "SOURCE", "MISSING"], "the first line")
        ends = [head.index(word) for word in head.split()]
        self.rows = {}
        for line in lines:
            name, here, source, missing = (line[a:b].rstrip() for a, b in
                                           zip(ends, ends[1:] + [None]))
            check(name not in self.rows, "%s twice" % name)
            check(here in ("yes", "no") and name and source, "a line out of its columns: " + line)
            check(here == "yes" or (source == "-" and missing), "no reason: " + line)
            check(line == line.rstrip(), "spaces at the end of %r" % line)
            self.rows[name] = (here == "yes", source, missing)

    def here(self, name):
        return self.rows[name][0]

    def source(self, name):
        return self.rows[name][1]

    def missing(self, name):
        return self.rows[name][2]


def check_true(*flags, prefix=(), source):
    """What it says is there is in what Telegraf gets, and nothing else is."""
    rows, directory = catalogue(), temp_dir()
    # where anybody may start them
    textfile, telegraf = (shutil.copy(p, directory) for p in (TEXTFILE, TELEGRAF))
    table = Table("--interval", "1h", "--source", source, *flags, prefix=prefix, program=textfile)
    check_equal(sorted(table.rows), sorted(rows), "metrics in the table")
    driver = Driver(*flags, prefix=prefix, source=source, binary=telegraf)
    # the coverage needs a tick of the clock to have been used by anybody
    points = wait_for(lambda: "cpu_coverage_ratio" in driver.collect().self_point.fields and
                      driver.points, "a coverage")
    shown = {f for p in points.values() for f in p.fields}
    of_itself = set(points.self_point.fields)
    for name, (field, about_self) in rows.items():
        if field:
            check_equal(table.here(name), field in (of_itself if about_self else shown),
                        "whether there is %s, %r" % (name, table.rows[name]))
    for name in ("thread_count", "threads_wchan"):
        check_equal(table.rows[name], (False, "-", "collect: [thread-names]"), name)
    driver.end()
    return table


def case_procfs():
    table = check_true(source="procfs")
    check_equal(table.rows["cpu_user"], (True, "procfs", ""), "cpu_user")
    check_equal(table.rows["collection_cpu"], (True, "proctally", ""), "collection_cpu")
    check_equal(table.missing("network_receive_bytes_tcp"), "source: bpf", "network")
    check_equal(table.missing("memory_pss"), "collect: [pss]", "memory_pss")
    check_equal(table.missing("state_failures"), "state-file", "state_failures")
    if is_root():
        check(table.source("context_switches_voluntary") in ("taskstats", "procfs"),
              "context switches", table.rows["context_switches_voluntary"])
    delays = read_text("/proc/sys/kernel/task_delayacct").strip()
    check_equal(table.missing("blkio_delay"),
                "" if delays == "1" else "the sysctl kernel.task_delayacct=1", "blkio_delay")


def need_bpf():
    status, out, err = run([TEXTFILE, "--source", "bpf"])
    if status:
        raise Skipped(err.strip())


def case_bpf():
    need_bpf()
    table = check_true("--collect", "pss", source="bpf")
    for name in ("cpu_user", "io_read", "open_fds", "run_queue_wait", "starts"):
        check_equal(table.rows[name], (True, "bpf", ""), name)
    check_equal(table.source("memory_pss"), "procfs", "where the PSS is from")
    # auto is bpf in a run that stays, and not in one that collects once
    check_equal(Table("--interval", "1h").source("cpu_user"), "bpf", "source of a run that stays")
    check_equal(Table().source("cpu_user"), "procfs", "source of a run that collects once")
    check_equal(Table(program=TELEGRAF).source("cpu_user"), "bpf", "source with Telegraf")
    check_equal(Table("--once", program=TELEGRAF).source("cpu_user"), "procfs",
                "source of one run with Telegraf")


def case_bpf_without_net_admin():
    need_bpf()
    prefix = [need_program("setpriv"), "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-all",
              "--"]
    table = check_true(prefix=prefix, source="bpf")
    for name in table.rows:
        if name.startswith("network_"):
            check_equal(table.rows[name], (False, "-", "it needs CAP_NET_ADMIN"), name)
    check_equal(table.rows["io_read"], (True, "bpf", ""), "io_read")


def case_unprivileged():
    prefix = as_nobody()
    table = check_true(prefix=prefix, source="procfs")
    check("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, for " in table.missing("io_read"),
          "io_read", table.rows["io_read"])
    check("CAP_NET_ADMIN" in table.missing("context_switches_voluntary"), "context switches",
          table.rows["context_switches_voluntary"])
    check_equal(table.missing("cpu_user"), "", "cpu_user")
    # why it is not the other source
    table = check_true(prefix=prefix, source="auto")
    for name in ("network_receive_bytes_tcp", "lost_events"):
        check_equal(table.missing(name), "source: bpf, which can't be used: it needs root, or "
                    "CAP_BPF and CAP_PERFMON", name)


def case_switched_off():
    """Each option is named where it is what is missing."""
    off = ["context-switches", "delays", "fds", "io", "network", "states", "threads"]
    table = check_true("--collect", ",".join("no-" + o for o in off), source="procfs")
    for name, option in (("context_switches", "context-switches"), ("run_queue_wait", "delays"),
                         ("open_fds", "fds"), ("worst_fd_ratio", "fds"), ("io_writes", "io"),
                         ("disk_read", "io"), ("network_transmit_packets_udp", "network"),
                         ("states_zombie", "states"), ("threads_running", "threads"),
                         ("unreadable_fd", "fds")):
        check_equal(table.rows[name], (False, "-", "collect: [%s]" % option), name)
    check_equal(table.missing("unreadable_sched"), "collect: [context-switches] or "
                "collect: [delays]", "unreadable_sched")


def case_leaves_nothing():
    """It counts nothing, saves nothing and pins nothing."""
    directory = temp_dir()
    state, pin = os.path.join(directory, "state"), "/sys/fs/bpf/pt-here-%d" % os.getpid()
    table = Table("--interval", "1h", "--state-file", state, "--pin", pin)
    check_equal(os.listdir(directory), [], "files")
    check(not os.path.exists(pin), "it has pinned something")
    check(table.here("state_failures"), "state_failures", table.rows["state_failures"])
    # one that is there stays as it is, also if it can't be used
    write_text(state, "damaged")
    Table("--state-file", state)
    check_equal((os.listdir(directory), read_text(state)), (["state"], "damaged"), "the state")


def case_left_out():
    """What metrics leaves out is said to be left out."""
    t = Table("--source", "procfs", "--metrics", "cpu_*,!cpu_coverage")
    check(t.here("cpu_user") and t.here("groups"), "what was asked for")
    for name in ("memory_rss", "io_read", "unreadable_io", "cpu_coverage"):
        check_equal((t.here(name), t.rows[name][2]), (False, "metrics, which leaves it out"), name)


def case_cost():
    """--explain-cost: a row for each word of collect, that says whether it is on; and nothing
    is left behind."""
    state = os.path.join(temp_dir(), "state")
    status, out, err = run([TEXTFILE, "--explain-cost", "--source", "procfs", "--once",
                            "--collect", "no-io", "--state-file", state, "--metrics",
                            "cpu_*,open_fds", "--top", "3 by memory"], seconds=150)
    check_equal((status, err), (0, ""), "status and messages")
    head, *rows = out.split("\n\n")[1].splitlines()
    check_equal(head.split(), ["PART", "ON", "us/PROCESS", "ms/COLLECTION", "ms/LATER"], "head")
    costs = {row[:18].strip(): row[18:].split() for row in rows}
    check_equal({name: cells[0] for name, cells in costs.items() if len(cells) == 4},
                {"cgroup": "no", "context-switches": "no", "delays": "no", "exits": "no",
                 "fds": "yes", "io": "no", "memory-details": "no", "network": "no", "pss": "no",
                 "sockets": "no", "states": "no", "thread-names": "no", "threads": "no"},
                "what is on")
    each, whole, later = (float(cell) for cell in costs["as configured"])
    check(each > 0 and whole > 0 and later >= 0, "the whole", out)
    # what costs a file for each process shows, whether it is on or not
    check(float(costs["fds"][1]) > 0 and float(costs["io"][1]) > 0, "files", out)
    check(not os.path.exists(state), "a state file was left behind")


def case_mistakes():
    for flags in (["--here"], ["--here", "--once"], ["--list-metrics", "--here=1"]):
        status, out, err = run([TEXTFILE, *flags])
        check_equal((status, out), (2, ""), "status and output of %r" % flags)
        check(err.count("\n") == 1 and "--here" in err, "the message of %r" % flags, err)
    status, out, err = run([TEXTFILE, "--list-metrics", "--here", "--procfs", "/nowhere"])
    check_equal((status, out), (1, ""), "status and output without /proc (%s)" % err)
    with open("/dev/full", "w") as full:
        status = subprocess.run([TEXTFILE, "--list-metrics", "--here"], stdout=full,
                                stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode
    check_equal(status, 1, "status when nothing can be written")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
