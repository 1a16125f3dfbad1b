#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The unit of proctally-fs under systemd as process 1, set up as its first lines say: everybody
who may look sees the files, and they come and go with the service, however that ends."""
import shutil

from machine import *

SERVICE, MOUNTPOINT = "proctally-fs.service", "/run/proctally/fs"
USER = ["setpriv", "--reuid=65534", "--regid=65534"]


def is_mounted():
    return " %s fuse.tally " % MOUNTPOINT in read_text("/proc/mounts")


def look(*argv):
    """A reader has its time: (status, stdout, stderr)."""
    return run(["timeout", "-s", "KILL", "60", *argv], seconds=90)


def look_well(*argv):
    status, out, err = look(*argv)
    check_equal(status, 0, "status of %s (%s)" % (argv, err))
    return out


def of_groups_there():
    return of_groups(Metrics(look_well("cat", MOUNTPOINT + "/metrics")))


def said():
    return [l for l in journal(SERVICE, "proctally-fs").splitlines() if "collecting" not in l]


def case_start():
    done("install", "-D", "-m", "0644", UNITS + "/proctally.sysusers.conf",
         "/etc/sysusers.d/proctally.conf")
    done("systemd-sysusers")
    shutil.copy(os.path.join(SRC, "examples/proctally.yaml"), CONFIG)
    done("install", "-D", "-m", "0644", UNITS + "/" + SERVICE, "/etc/systemd/system/" + SERVICE)
    systemctl("daemon-reload")
    systemctl("enable", "--now", SERVICE)
    wait_for(is_mounted, "the mount, as process 1's children see it", 120)
    m = Metrics(look_well("cat", MOUNTPOINT + "/metrics"))
    check_equal(m.get("proctally_processes", groupname=SERVICE), 2, "processes of its unit")
    check_equal(look_well("cat", "%s/groups/%s/process_count" % (MOUNTPOINT, SERVICE)), "2\n",
                "the same as a file")
    pid = int(shown(SERVICE, "MainPID"))
    status = dict(re.findall(r"^(\w+):\s+(\S+)", read_text("/proc/%d/status" % pid), re.M))
    wanted = "%016x" % sum(1 << n for n in CAPABILITIES.values())
    check_equal((status["CapPrm"], status["CapEff"], int(status["CapAmb"], 16)),
                (wanted, wanted, 0), "its capabilities")
    check_equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "its filter")
    check(int(status["Uid"]) != 0, "its user", status)
    check_equal(m.get("proctally_source", source="bpf"), 1, "source bpf")
    check_equal(said(), [], "what it says")


def case_who_may_look():
    """Root and the group proctally."""
    gid = os.stat("/run/proctally").st_gid
    check(gid != 0, "the group of /run/proctally")
    status, out, err = look(*USER, "--clear-groups", "cat", MOUNTPOINT + "/time")
    check(status != 0 and "Permission denied" in err, "somebody else's look", out + err)
    check(float(look_well(*USER, "--groups=%d" % gid, "cat", MOUNTPOINT + "/time")) > 1e9, "time")


def case_reload():
    before, pid = of_groups_there(), shown(SERVICE, "MainPID")
    write_text(CONFIG, read_text(CONFIG).replace("group-by: [unit]", "group-by: [name]"))
    systemctl("reload", SERVICE)
    wait_for(lambda: look("cat", MOUNTPOINT + "/groups/dbus-daemon/process_count")[1] == "1\n",
             "groups by name", 60)
    check_equal(shown(SERVICE, "MainPID"), pid, "its pid")
    check_never_falls(before, of_groups_there(), "a reload")


def comes_back(meanwhile):
    before, pid = of_groups_there(), shown(SERVICE, "MainPID")
    meanwhile()
    wait_for(lambda: shown(SERVICE, "MainPID") not in ("0", pid) and is_mounted(),
             "another process, and its mount", 120)
    check_never_falls(before, of_groups_there(), "what happened")
    check_equal(read_text("/proc/mounts").count(MOUNTPOINT + " "), 1, "mounts")


def case_restart():
    comes_back(lambda: systemctl("restart", SERVICE))


def case_killed():
    comes_back(lambda: os.kill(int(shown(SERVICE, "MainPID")), signal.SIGKILL))


def case_all_killed():
    """Also what would have unmounted."""
    comes_back(lambda: systemctl("kill", "-s", "KILL", SERVICE))


def case_stop():
    systemctl("disable", "--now", SERVICE)
    check_equal((shown(SERVICE, "ActiveState"), shown(SERVICE, "Result")), ("inactive", "success"),
                "its state")
    check(not is_mounted(), "the mount is still there")
    check(not os.path.exists("/run/proctally"), "its directory is still there")
    check_equal([l for l in said() if "read again" not in l], [], "what it says")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
