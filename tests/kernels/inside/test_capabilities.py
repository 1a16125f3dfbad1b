#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Source bpf with exactly the capabilities that proctally-metrics(7) names: root and
another user, with traffic and without, pinned and not; and each one that is missing."""
from machine import *

UID = 61000


def rights(names, uid):
    """The beginning of a command that has these capabilities and no other."""
    all_of_them = ",".join("+" + n for n in names)
    argv = [need_program("setpriv")]
    if uid:
        argv += ["--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups",
                 "--ambient-caps=-all," + all_of_them]
    return [*argv, "--inh-caps=-all," + all_of_them, "--bounding-set=-all," + all_of_them, "--"]


def check_counts(collect, program):
    """Short processes, to the last."""
    used = spawn(program)

    def is_right():
        check_spawned(*collect(os.path.basename(program)), used)
        return True
    wait_for(is_right, "short processes", 20)


def each():
    for uid in 0, UID:
        for names, traffic in ((tuple(CAPABILITIES), True),
                               (tuple(CAPABILITIES), False),
                               (tuple(n for n in CAPABILITIES if n != "net_admin"), False)):
            yield uid, names, traffic


def case_living():
    for uid, names, traffic in each():
        what = "user %d, %s%s: " % (uid, ",".join(names), "" if traffic else ", no traffic")
        flags = [] if traffic else ["--collect", "no-network"]
        d = Driver(*flags, source="bpf", prefix=rights(names, uid))

        def collect(group):
            points = d.collect()
            return points.cpu(group), points[group].fields["exits"]
        check_counts(collect, steps("c"))
        check_equal(d.points.self_point.fields["source_bpf"], 1, what + "source bpf")
        found = {"net_recv_bytes_tcp" in p.fields for p in d.points.values()}
        check_equal(found, {traffic}, what + "traffic")
        d.end()
        check_equal(unusual(d.errors()), "", what + "what it says")
        print("      " + what + "counts")


def case_pinned():
    for uid, names, traffic in each():
        what = "user %d, %s%s: " % (uid, ",".join(names), "" if traffic else ", no traffic")
        mount, state = mount_bpf(), os.path.join(temp_dir(), "state")
        directory = os.path.join(mount, "pt")
        for path in directory, os.path.dirname(state):
            os.makedirs(path, exist_ok=True)
            os.chown(path, uid, uid)
        os.chmod(os.path.dirname(mount), 0o755)
        argv = [*rights(names, uid), TEXTFILE, "--once", "--pin", directory, "--state-file", state,
                "--source", "bpf", *([] if traffic else ["--collect", "no-network"])]
        said = []

        def collect(group):
            status, out, err = run(argv)
            check_equal(status, 0, what + "status (%s)" % err)
            said.append(unusual(err))
            m = Metrics(out)
            has = "proctally_network_receive_bytes_total" in m.families()
            check_equal(has, traffic, what + "traffic")
            return (m.sum("proctally_cpu_seconds_total", groupname=group),
                    m.get("proctally_process_exits_total", groupname=group))
        collect("none")
        check(os.listdir(directory), what + "nothing is pinned")
        check_counts(collect, steps("c"))
        check_equal(set(said), {""}, what + "what it says")
        status, out, err = run([*rights(names, uid), TEXTFILE, "--unpin", directory])
        check_equal((status, err), (0, ""), what + "--unpin")
        print("      " + what + "counts")


def case_missing():
    """Each that is missing is named, and no other."""
    for missing in "bpf", "perfmon":
        names = [n for n in CAPABILITIES if n != missing]
        status, out, err = run([*rights(names, UID), TELEGRAF, "--once", "--source", "bpf"])
        check(status != 0 and "CAP_" + missing.upper() in err and err.count("\n") == 1,
              "without %s: expected one line that names it" % missing, err)
    names = [n for n in CAPABILITIES if n != "net_admin"]
    d = Driver(source="bpf", prefix=rights(names, UID))
    d.end()
    check("CAP_NET_ADMIN" in d.errors() and d.errors().count("\n") == 1,
          "expected one line that names CAP_NET_ADMIN", d.errors())


def case_locked_memory():
    """Little of it is no matter from Linux 5.11 on; before, that is what is said."""
    prefix = [need_program("prlimit"), "--memlock=65536:65536", *rights(CAPABILITIES, UID)]
    status, out, err = run([*prefix, TELEGRAF, "--once", "--source", "bpf"])
    if KERNEL >= (5, 11):
        check_equal((status, err), (0, ""), "with little locked memory")
    else:
        check(status != 0 and "RLIMIT_MEMLOCK" in err and "CAP_BPF" not in err,
              "expected a word about locked memory", err)
    # root may raise it
    status, out, err = run(["prlimit", "--memlock=65536:65536", TELEGRAF, "--once", "--source",
                            "bpf"])
    check_equal((status, unusual(err)), (0, ""), "as root")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
