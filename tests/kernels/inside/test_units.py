#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The units that are installed among the examples, under systemd as process 1, set up as
their first lines say. The last case leaves the service to the next boot (test_reboot.py)."""
import shutil

from machine import *

SERVICE, ONCE = "proctally-textfile.service", "proctally-textfile-once.service"
TIMER = "proctally-textfile-once.timer"
PIN = "/sys/fs/bpf/proctally"


def case_start():
    """Set up as the unit says, it runs as a user of its own with five capabilities, and
    takes source bpf."""
    install("proctally.sysusers.conf", "/etc/sysusers.d/proctally.conf")
    done("systemd-sysusers")
    shutil.copy(os.path.join(SRC, "examples/proctally.yaml"), CONFIG)
    for unit in SERVICE, ONCE, TIMER:
        install(unit, "/etc/systemd/system/" + unit)
    systemctl("daemon-reload")
    systemctl("enable", "--now", SERVICE)
    m = new_metrics()
    check_rights(int(shown(SERVICE, "MainPID")))
    check_equal(m.get("proctally_source", source="bpf"), 1, "source bpf (%s)" % journal(SERVICE))
    check_equal(journal(SERVICE), "", "what it says")
    for unit in SERVICE, "dbus.service", "proctally-tests.service":
        check(m.get("proctally_processes", groupname=unit) >= 1, "no group " + unit)
    check("proctally_network_receive_bytes_total" in m.families(), "no traffic")


def burnt(group):
    return metrics().sum("proctally_cpu_seconds_total", groupname=group)


def case_reload():
    """Another configuration, the same process, and no counter falls."""
    before, pid = of_groups(metrics()), shown(SERVICE, "MainPID")
    write_text(CONFIG, "group-by: [name]\n" + read_text(CONFIG).replace("group-by: [unit]", ""))
    systemctl("reload", SERVICE)
    m = new_metrics()
    wait_for(lambda: metrics().get("proctally_processes", groupname="dbus-daemon") == 1,
             "groups by name", 60)
    check_equal(shown(SERVICE, "MainPID"), pid, "its pid")
    check_never_falls(before, of_groups(m), "a reload")


def spawned(m, program):
    group = os.path.basename(program)
    return (m.sum("proctally_cpu_seconds_total", groupname=group),
            m.get("proctally_process_exits_total", groupname=group))


def counts_on(what, meanwhile):
    """Something is done to the service, and counting goes on: what a process uses before
    and after is all there, and a short one too."""
    program = steps("long")
    w = start([program, "burn:300", "wait:/run/%s.go" % unique("go")])
    name = os.path.basename(program)
    wait_for(lambda: burnt(name) >= 0.29, "its first use", 60)
    before = of_groups(metrics())
    meanwhile()
    short = steps("short")
    wait_for(lambda: shown(SERVICE, "ActiveState") == "active", "it to be active", 60)
    after = of_groups(new_metrics())
    check_never_falls(before, after, what)
    used = spawn(short)

    def all_there():
        check_spawned(*spawned(metrics(), short), used)
        return True
    wait_for(all_there, "short processes after it", 90)
    check_never_falls(after, of_groups(metrics()), what)
    check_equal(metrics().get("proctally_source", source="bpf"), 1, "source bpf")
    check_equal([l for l in journal(SERVICE).splitlines() if "read again" not in l], [],
                "what it says")
    stop(w)


def case_restart():
    counts_on("a restart", lambda: systemctl("restart", SERVICE))


def case_killed():
    """systemd starts it again after ten seconds."""
    pid = shown(SERVICE, "MainPID")

    def kill():
        systemctl("kill", "-s", "KILL", SERVICE)
        wait_for(lambda: shown(SERVICE, "MainPID") not in ("0", pid), "another process", 60)
    counts_on("SIGKILL", kill)


def ours():
    return [p["name"] for p in bpftool("prog", "show") if p.get("name", "").startswith("on_")]


def case_stop():
    """It ends with status 0, and nothing of it stays in the kernel."""
    check(ours(), "no programs in the kernel")
    systemctl("stop", SERVICE)
    check_equal((shown(SERVICE, "ActiveState"), shown(SERVICE, "Result")), ("inactive", "success"),
                "its state")
    wait_for(lambda: not ours(), "the end of its programs in the kernel", 20)
    check(os.stat(STATE).st_size > 0, "no state")
    before = of_groups(metrics())
    systemctl("start", SERVICE)
    check_never_falls(before, of_groups(new_metrics()), "stop and start")


def case_timer():
    """The service's place is not taken from it; then, from tick to tick, counters go on."""
    systemctl("start", ONCE)
    check_equal(shown(SERVICE, "ActiveState"), "active", "the service")
    check("left out" in done("journalctl", "-q", "-o", "cat", "-u", ONCE), "nobody says why")
    systemctl("disable", "--now", SERVICE)
    before = of_groups(metrics())
    systemctl("enable", "--now", TIMER)
    for _ in range(2):
        m = new_metrics()
        check_never_falls(before, of_groups(m), "the timer")
        before = of_groups(m)
    wait_for(lambda: shown(ONCE, "ActiveState") == "inactive", "the end of the run")
    check_equal(shown(ONCE, "Result"), "success", "its result")


def case_pin():
    """With the drop-in nothing is missed between two runs."""
    systemctl("stop", TIMER)
    install("proctally.tmpfiles.conf", "/etc/tmpfiles.d/proctally.conf")
    done("systemd-tmpfiles", "--create", "proctally.conf")
    install("proctally-pin.conf", "/etc/systemd/system/%s.d/pin.conf" % ONCE)
    systemctl("daemon-reload")
    systemctl("start", ONCE)
    m = metrics()
    check_equal(m.get("proctally_source", source="bpf"), 1, "source bpf (%s)" % journal(ONCE))
    check(os.listdir(PIN), "nothing is pinned")
    short = steps("pinned")
    used = spawn(short)

    def all_there():
        systemctl("start", ONCE)
        found = metrics()
        check_never_falls(of_groups(m), of_groups(found), "runs with pin")
        check_spawned(*spawned(found, short), used)
        return True
    wait_for(all_there, "what was between two runs", 90)
    # as its last lines say; but the directory is left for the boot to come
    done(INSTALLED, "--unpin", PIN)


def case_node_exporter():
    """It shows what the service writes."""
    systemctl("disable", "--now", TIMER)
    systemctl("enable", "--now", SERVICE)
    new_metrics()
    systemctl("start", "prometheus-node-exporter.service")
    text = wait_for(lambda: http("http://127.0.0.1:9100/metrics")[1], "node_exporter", 90)
    lines = [l for l in text.splitlines() if re.match("node_textfile|proctally_processes{", l)]
    check("node_textfile_scrape_error 0" in lines, "it complains", lines)
    # it adds an empty unit while there are still groups with one, of before the reload
    check([l for l in lines if re.fullmatch(
        r'proctally_processes\{groupname="dbus-daemon"(,unit="")?\} 1', l)], "no dbus-daemon", lines)
    systemctl("stop", "prometheus-node-exporter.service")


def case_left_for_the_next_boot():
    """A process that will not come again, with much use, and a state that is of this boot."""
    program = linked(PROGRAMS, "before-boot", steps_program())
    spawn(program, 400)
    wait_for(lambda: metrics().sum("proctally_cpu_seconds_total", groupname="before-boot") > 1.9,
             "its use", 90)
    check_equal(shown(SERVICE, "UnitFileState"), "enabled", "the service")
    write_text("/var/lib/counters", json.dumps([[n, sorted(l), v] for (n, l), v in
                                                of_groups(metrics()).items()]))


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
