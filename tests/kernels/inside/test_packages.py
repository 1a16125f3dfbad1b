#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's packages under systemd as process 1: installing starts nothing; each service is
enabled, started, gives metrics and stops; an upgrade restarts what runs, and counters go on;
purging while a service runs leaves nothing."""
import glob

from machine import *

DEBS = "/root/debs"
EXAMPLES = "/usr/share/doc/proctally/examples"
EXPORTER, SOCKET = "proctally-exporter.service", "proctally-exporter.socket"
TEXTFILE_SERVICE, TIMER = "proctally-textfile.service", "proctally-textfile-once.timer"
FS, FILES = "proctally-fs.service", "/run/proctally/fs"
ALL = EXPORTER, SOCKET, TEXTFILE_SERVICE, TIMER, FS


def dpkg(*argv):
    """(not apt, as nothing is to be fetched here)"""
    return done("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *argv)


def debs():
    return sorted(glob.glob(DEBS + "/*.deb"))


def names():
    return [done("dpkg-deb", "-f", deb, "Package").strip() for deb in debs()]


def scrape():
    status, text = http("http://127.0.0.1:9256/metrics", seconds=120)
    check_equal(status, 200, "status of a scrape (%s)" % text)
    return Metrics(text)


def on(unit):
    systemctl("enable", "--now", unit)
    check_equal(shown(unit, "UnitFileState"), "enabled", unit)
    check_equal(shown(unit, "ActiveState"), "active", unit)


def off(unit):
    systemctl("disable", "--now", unit)
    check_equal((shown(unit, "ActiveState"), shown(unit, "Result"), shown(unit, "UnitFileState")),
                ("inactive", "success", "disabled"), unit + ", stopped")


# In a pid namespace of its own (tests/machines/run.sh services) source bpf is not for it.
HAS_BPF = os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"


def check_metrics(m):
    check_equal(m.get("proctally_source", source="bpf"), HAS_BPF, "source bpf")
    check(m.get("proctally_processes", groupname="dbus.service") >= 1, "no group dbus.service")


def case_installed():
    dpkg("-i", *debs())
    for unit in ALL:
        check_equal((shown(unit, "ActiveState"), shown(unit, "UnitFileState")),
                    ("inactive", "disabled"), unit + ", installed")
    check_equal(done("getent", "passwd", "proctally").split(":")[0], "proctally", "the user")
    check(os.path.exists(CONFIG), "no " + CONFIG)


def case_exporter():
    on(EXPORTER)
    check_metrics(wait_for(scrape, "an answer", 90))
    check_rights(int(shown(EXPORTER, "MainPID")))
    off(EXPORTER)


def case_socket():
    """With the drop-in that is among the examples; the unit is the package's."""
    done("install", "-D", "-m", "0644", EXAMPLES + "/systemd/proctally-exporter-socket.conf",
         "/etc/systemd/system/%s.d/socket.conf" % EXPORTER)
    systemctl("daemon-reload")
    on(SOCKET)
    check_equal(shown(EXPORTER, "ActiveState"), "inactive", "the service before anybody asks")
    check_metrics(scrape())
    systemctl("stop", SOCKET, EXPORTER)
    off(SOCKET)
    done("rm", "-r", "/etc/systemd/system/%s.d" % EXPORTER)
    systemctl("daemon-reload")


def case_textfile():
    on(TEXTFILE_SERVICE)
    check_metrics(new_metrics())
    check_rights(int(shown(TEXTFILE_SERVICE, "MainPID")))
    off(TEXTFILE_SERVICE)


def case_timer():
    before = of_groups(metrics())
    on(TIMER)
    after = new_metrics()
    check(after.get("proctally_processes", groupname="dbus.service") >= 1, "no group dbus.service")
    check_never_falls(before, of_groups(after), "from the service to the timer")
    wait_for(lambda: shown("proctally-textfile-once.service", "ActiveState") == "inactive",
             "the end of the run", 60)
    off(TIMER)


def case_files():
    on(FS)

    def processes():
        return int(read_text(FILES + "/groups/dbus.service/process_count"))
    wait_for(processes, "processes of a group", 60)
    off(FS)
    check(" %s " % FILES not in read_text("/proc/mounts"), "it is still mounted")


def case_upgraded():
    """The same again, which is an upgrade to dpkg: what runs is restarted, what does not is
    not started, what is enabled stays enabled, a changed configuration stays."""
    on(EXPORTER)
    before = of_groups(wait_for(scrape, "an answer", 90))
    pid = shown(EXPORTER, "MainPID")
    with open(CONFIG, "a", encoding="utf-8") as f:
        f.write("# mine\n")
    dpkg("--force-confold", "-i", *debs())
    wait_for(lambda: shown(EXPORTER, "ActiveState") == "active" and
             shown(EXPORTER, "MainPID") not in ("0", pid), "a restart by the upgrade", 60)
    after = of_groups(wait_for(scrape, "an answer", 90))
    check_never_falls(before, after, "an upgrade")
    check(sum(after.values()) >= sum(before.values()) > 0, "nothing is counted")
    check_equal(shown(EXPORTER, "UnitFileState"), "enabled", "the service")
    for unit in SOCKET, TEXTFILE_SERVICE, TIMER, FS:
        check_equal(shown(unit, "ActiveState"), "inactive", unit)
    check(read_text(CONFIG).endswith("# mine\n"), "its configuration has changed")


def case_purged():
    """While it runs."""
    pid = int(shown(EXPORTER, "MainPID"))
    check(pid > 0, "it does not run")
    dpkg("--purge", *names())
    check(not os.path.exists("/proc/%d" % pid), "it still runs")
    systemctl("daemon-reload")
    check_equal(done("sh", "-c", "systemctl list-unit-files --no-legend 'proctally-*' | "
                     "grep -v proctally-tests || :"), "", "units")
    left = done("find", "/etc", "/usr/lib", "/lib/systemd", "/usr/bin", "/usr/share", "/var/lib",
                "/run", "-xdev", "-name", "*proctally*", "!", "-name", "*proctally-tests.service")
    check_equal(left, "", "what is left")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
