# SPDX-License-Identifier: MIT
"""What the tests of a whole machine share beside the integration tests' own frame. The
machine is theirs alone: systemd is process 1, and it is thrown away afterwards."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integration"))
from common import *  # noqa: E402

INSTALLED = "/usr/local/bin/proctally-textfile"
UNITS = "/usr/local/share/doc/proctally/examples/systemd"
PROM = "/var/lib/prometheus/node-exporter/proctally.prom"
CONFIG = "/etc/proctally.yaml"
STATE = "/var/lib/proctally/textfile.state"
CAPABILITIES = {"dac_read_search": 2, "net_admin": 12, "sys_ptrace": 19, "perfmon": 38, "bpf": 39}


def done(*argv):
    """Runs a command that must succeed: what it printed."""
    status, out, err = run(argv, seconds=180)
    check_equal(status, 0, "status of %s (%s)" % (" ".join(argv), out + err))
    return out


def systemctl(*args):
    return done("systemctl", *args)


def shown(unit, what):
    return systemctl("show", "-P", what, unit).strip()


def run_unit(name, *argv):
    """Runs a command as a service of that name: what it used, as its control group says."""
    status, out, err = run(["systemd-run", "--wait", "--unit=" + name, *argv], seconds=180)
    check_equal(status, 0, "status of systemd-run (%s)" % err)
    text = re.search(r"CPU time consumed: (.*)", err).group(1)
    return sum(float(n) * {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60}[unit]
               for n, unit in re.findall(r"([\d.]+)([a-z]+)", text))


def check_unit_cpu(cpu, used, what):
    """What systemd does in the unit's control group before it executes the command counts for
    systemd; in emulation that is not little."""
    check(0.8 * used - 0.05 <= cpu <= 1.02 * used + 0.05, "CPU seconds of %s: %.3f, the control "
          "group says %.3f" % (what, cpu, used))


def install(name, to):
    """A unit, or what belongs to it, from among the installed examples."""
    done("install", "-D", "-m", "0644", os.path.join(UNITS, name), to)


def unusual(text):
    """What was said without what is said of such a kernel at each start."""
    return "".join(line for line in text.splitlines(True) if KERNEL >= (5, 11) or
                   "of sockets that were there before proctally" not in line)


def journal(unit, comm="proctally-textf"):
    """What the service itself has said since the machine is up."""
    return unusual(done("journalctl", "-q", "-b", "-o", "cat", "-u", unit, "_COMM=" + comm))


def check_rights(pid):
    """As its unit says: a user of its own, with five capabilities, under a filter."""
    status = dict(re.findall(r"^(\w+):\s+(\S+)", read_text("/proc/%d/status" % pid), re.M))
    wanted = "%016x" % sum(1 << n for n in CAPABILITIES.values())
    check_equal((status["CapEff"], status["CapBnd"]), (wanted, wanted), "its capabilities")
    check_equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "its filter")
    check(int(status["Uid"]) == os.stat("/var/lib/proctally").st_uid != 0, "its user", status)


def metrics():
    return Metrics(read_text(PROM))


def new_metrics():
    """Those of the next time that the file is written."""
    before = os.stat(PROM).st_ino if os.path.exists(PROM) else None
    wait_for(lambda: os.stat(PROM).st_ino != before, "a new file", 90)
    return metrics()


def of_groups(m):
    return {k: v for k, v in m.counters().items() if any(l == "groupname" for l, _ in k[1])}


# where a service may look too
PROGRAMS = "/usr/local/bin"


def steps_program():
    """steps.c, compiled once for all."""
    path = os.path.join(PROGRAMS, "steps")
    if not os.path.exists(path):
        os.makedirs(PROGRAMS, exist_ok=True)
        done("gcc", "-O1", "-pthread", "-o", path, os.path.join(SRC, "tests/integration/steps.c"))
    return path


def steps(word="p"):
    """The path of it under a name of its own."""
    return linked(PROGRAMS, unique(word), steps_program())


CHILDREN = 5


def spawn(program, ms=200):
    """Children one after another, and who starts them is of the same group: what all of them
    used, as wait4(2) says."""
    process = subprocess.Popen([program, "spawn:%d:1" % CHILDREN, program, "burn:%d" % ms],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, process.returncode, used = os.wait4(process.pid, 0)
    check_equal(process.returncode, 0, "status of " + program)
    return used.ru_utime + used.ru_stime


def check_spawned(cpu, exits, used):
    """What a group has of them. How exact it is, test_storm.py shows: in emulation the start
    of a program takes long, which is its parent's until it is executed."""
    check_equal(exits, CHILDREN + 1, "exits")
    check_near(cpu, used, "CPU seconds", relative=CPU_ROOM, absolute=0.05)
