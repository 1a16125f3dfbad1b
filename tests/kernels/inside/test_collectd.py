#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""collectd by its own unit, with the plugin where it was installed."""
from machine import *

CONF = """
Hostname "here"
Interval 2
TypesDB "/usr/share/collectd/types.db"
LoadPlugin syslog
LoadPlugin csv
<Plugin csv>
  DataDir "/var/lib/collectd/csv"
</Plugin>
Include "/etc/collectd/collectd.conf.d"
"""
DATA = "/var/lib/collectd/csv/here"


def last(instance, kind):
    """The numbers of the newest row."""
    directory = os.path.join(DATA, "proctally-" + instance)
    files = sorted(n for n in os.listdir(directory) if n.startswith(kind + "-20"))
    check(files, "no values %s of %s" % (kind, instance))
    rows = read_text(os.path.join(directory, files[-1])).splitlines()
    check(rows[1:], "no row below the names of %s of %s" % (kind, instance))
    return [float(v) for v in rows[-1].split(",")[1:]]


def said():
    return unusual(done("journalctl", "-q", "-b", "-o", "cat", "-t", "collectd"))


def case_values():
    os.makedirs("/etc/collectd/collectd.conf.d", exist_ok=True)
    write_text("/etc/collectd/collectd.conf", CONF)
    write_text("/etc/collectd/collectd.conf.d/proctally.conf",
               read_text(os.path.join(SRC, "examples/collectd/proctally.conf")))
    os.makedirs("/etc/systemd/system/collectd.service.d", exist_ok=True)
    write_text("/etc/systemd/system/collectd.service.d/proctally.conf",
               read_text(os.path.join(SRC, "examples/collectd/systemd-drop-in.conf")))
    systemctl("daemon-reload")
    systemctl("restart", "collectd.service")
    wait_for(lambda: last("dbus.service", "ps_count")[0] == 1, "values of a unit", 90)
    program = steps_program()
    name = unique("job")
    used = run_unit(name, program, "spawn:5:1", program, "burn:100")

    def is_right():
        user, system = last(name + ".service", "ps_cputime")
        check_unit_cpu((user + system) / 1e6, used, name)
        return True
    wait_for(is_right, "what was short", 60)
    check("proctally" not in "\n".join(l for l in said().splitlines() if "rror" in l or
                                       "arn" in l), "what it says", said())


def case_restart():
    """The plugin's state file goes on."""
    before = last("dbus.service", "ps_cputime")
    systemctl("restart", "collectd.service")
    files = os.path.join(DATA, "proctally-collectd.service")

    def goes_on():
        check(sum(last("collectd.service", "ps_cputime")) > 0, "nothing of itself")
        after = last("dbus.service", "ps_cputime")
        check(all(a >= b for a, b in zip(after, before)), "a counter fell", before, after)
        return os.path.isdir(files)
    wait_for(goes_on, "values after a restart", 60)
    systemctl("stop", "collectd.service")
    check_equal(shown("collectd.service", "Result"), "success", "its end")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
