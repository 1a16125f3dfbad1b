#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""What each right buys, what its lack costs, that this is said once, and that the
programs keep no right that they do not need."""
import errno
import os
import re
import shutil
import signal
import sys
import tempfile

from common import *

CAPABILITIES = {"dac_override": 1, "dac_read_search": 2, "fowner": 3, "setpcap": 8,
                "net_admin": 12, "sys_ptrace": 19, "sys_admin": 21, "perfmon": 38,
                "bpf": 39}
NEEDED = ("sys_ptrace", "dac_read_search", "net_admin", "bpf", "perfmon")
NOBODY = 65534


def bits(*names):
    return sum(1 << CAPABILITIES[n] for n in names)


def status_of(pid):
    """The lines of /proc/PID/status about rights: sets of capabilities as numbers."""
    found = dict(re.findall(r"^(Cap\w+|NoNewPrivs|Seccomp):\s+(\w+)$",
                            read_text("/proc/%d/status" % pid), re.M))
    return {k: int(v, 16 if k.startswith("Cap") else 10) for k, v in found.items()}


def need_capabilities(*names):
    if not is_root():
        raise Skipped("not root")
    missing = [n for n in names if not status_of(os.getpid())["CapPrm"] & bits(n)]
    if missing:
        raise Skipped("root has no %s here" % ", ".join(missing))


def without(*names):
    """The beginning of a command that root runs without these capabilities."""
    need_capabilities("setpcap", *names)
    return [need_program("setpriv"), "--bounding-set=" + ",".join("-" + n for n in names), "--"]


def once(*argv):
    """Runs to the end, must succeed: what it printed, and what it had to say."""
    status, out, err = run(argv)
    check_equal(status, 0, "status of %s (%s)" % (" ".join(argv[-4:]), err))
    return Metrics(out), err.splitlines()


def of_nobody(code=SLEEPER):
    """A workload of another user than the one who looks."""
    w = Workload(code, prefix=as_nobody())
    w.hear()
    return w


# ---- What the programs keep ----------------------------------------------------------------

class Service:
    """proctally-textfile that stays, and writes into a directory."""

    def __init__(self, directory, *flags, prefix=(), **how):
        self.output, self.state = directory + "/out.prom", directory + "/state"
        self.config = write_text(os.path.join(temp_dir(), "config.yaml"), "group-by: [user]\n")
        self.log = tempfile.TemporaryFile()
        self.process = start([*prefix, TEXTFILE, "--config", self.config, "--interval", "50ms",
                              "--output", self.output, "--state-file", self.state, *flags],
                             stderr=self.log, **how)
        wait_for(lambda: Metrics(read_text(self.output)), "an output")

    def said(self):
        return written_to(self.log).splitlines()

    def check_reload(self):
        """A changed configuration with all that needs something new from the kernel."""
        write_text(self.config, "group-by: [unit, exe, user]\ncollect: [pss]\n"
                   "process_names: [{name: me, cmdline: ['(?P<x>%s)']}]\n"
                   % os.path.basename(TEXTFILE))
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: Metrics(read_text(self.output)).get(
            "proctally_memory_pss_bytes", groupname="me"), "the new groups")
        check(not [l for l in self.said() if "read again" not in l], "it complains", self.said())

    def check_state(self):
        before = os.stat(self.state)
        check_equal(before.st_mode & 0o777, 0o600, "mode of the state file")
        wait_for(lambda: os.stat(self.state).st_ino != before.st_ino, "a new state file")


def check_rights(pid, *more):
    mine = status_of(os.getpid())
    wanted = bits(*NEEDED, *more)
    # there may be an output of an earlier one while it is still starting
    wait_for(lambda: status_of(pid)["Seccomp"] == 2, "the filter")
    found = status_of(pid)
    check_equal("%x" % found["CapPrm"], "%x" % (mine["CapPrm"] & wanted), "permitted")
    check_equal(found["CapEff"], found["CapPrm"], "effective")
    check_equal((found["CapInh"], found["CapAmb"]), (0, 0), "inheritable and ambient")
    if mine["CapPrm"] & bits("setpcap"):
        check_equal("%x" % found["CapBnd"], "%x" % (mine["CapBnd"] & wanted), "bounding")
    check_equal(found["NoNewPrivs"], 1, "no new privileges")
    check_equal(found["Seccomp"], 2, "seccomp")


def case_given_up():
    """Started by root, both programs keep three capabilities, and go on working."""
    need_capabilities()
    s = Service(temp_dir())
    check_rights(s.process.pid)
    s.check_reload()
    s.check_state()
    check_rights(s.process.pid)
    check_equal(stop(s.process), 0, "status")

    config = write_text(os.path.join(temp_dir(), "config.yaml"), "group-by: [user]\n")
    state = os.path.join(temp_dir(), "state")
    d = Driver("--config", config, "--state-file", state)
    check_rights(d.process.pid)
    write_text(config, "group-by: [name, user]\nexclude: ['/^kworker/']\n")
    check("read again" in wait_for(lambda: d.collect() and d.errors(), "the new configuration"),
          "what it says", d.errors())
    check(len(d.collect()) > 3, "groups")
    check_equal(os.stat(state).st_mode & 0o777, 0o600, "mode of the state file")
    d.end()
    check_equal(len(d.errors().splitlines()), 1, "lines that it said")


def case_given_up_by_others():
    """A user who has more than is needed, as from a unit file, gives it up too."""
    need_capabilities("setpcap", *NEEDED)
    directory = temp_dir()
    os.chown(directory, NOBODY, NOBODY)
    names = ",".join("+" + n for n in (*NEEDED, "fowner"))
    s = Service(directory, prefix=[
        need_program("setpriv"), "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups",
        "--inh-caps=" + names, "--ambient-caps=" + names, "--bounding-set=-all," + names, "--"])
    found = status_of(s.process.pid)
    check_equal("%x" % found["CapEff"], "%x" % bits(*NEEDED), "effective")
    check_equal((found["CapInh"], found["CapAmb"]), (0, 0), "inheritable and ambient")
    s.check_reload()
    check_equal(stop(s.process), 0, "status")


def case_others_directories():
    """To write where only another user may takes one capability more."""
    need_capabilities("dac_override", "fowner")
    theirs = temp_dir()
    os.chown(theirs, NOBODY, NOBODY)
    s = Service(theirs)
    check_rights(s.process.pid, "dac_override")
    s.check_reload()
    s.check_state()
    check_equal(stop(s.process), 0, "status")
    # what another user left there is replaced; the sticky bit takes one more
    for mode, more in ((0o755, ()), (0o1777, ("fowner",))):
        os.chmod(theirs, mode)
        left_behind = write_text(os.path.join(theirs, ".out.prom.tmp"), "half of it")
        os.chown(left_behind, NOBODY - 1, NOBODY)
        for name in ("out.prom", "state"):
            os.chown(os.path.join(theirs, name), NOBODY - 1, NOBODY)
        status, out, err = run([TEXTFILE, "--output", s.output, "--state-file", s.state])
        check_equal((status, err), (0, ""), "once, into a directory of mode %o" % mode)
        check_equal(os.stat(s.output).st_uid, 0, "owner")
        os.chown(s.output, NOBODY - 1, NOBODY)
        again = Service(theirs)
        check_rights(again.process.pid, *(("dac_override",) if mode == 0o755 else more))
        stop(again.process)


# ---- Under systemd ---------------------------------------------------------------------------

UNITS = ["proctally-textfile.service", "proctally-textfile-once.service",
         "proctally-exporter.service", "proctally-fs.service", "proctally-textfile-once.timer",
         "proctally-exporter.socket"]


def unit_text(name):
    return read_text(os.path.join(SRC, "examples/systemd", name))


def case_units():
    """systemd takes the units as they are, and finds little to object to."""
    analyze = need_program("systemd-analyze")
    directory = temp_dir()
    for name in UNITS:
        text = re.sub("ExecStart=proctally-[a-z]+", "ExecStart=" + TEXTFILE, unit_text(name))
        write_text(os.path.join(directory, name), re.sub("(?m)^Documentation=.*\n", "", text))
    status, out, err = run([analyze, "verify", *(os.path.join(directory, n) for n in UNITS)])
    check_equal((status, out + err), (0, ""), "systemd-analyze verify")
    for name in (*UNITS, "../collectd/systemd-drop-in.conf"):
        text = unit_text(name)
        check_equal("CAP_BPF" in text, "LimitMEMLOCK=infinity" in text, name + ": locked memory")
    # one that anybody may connect to is a little more exposed, and more so one that mounts
    for name, threshold in zip(UNITS[:4], (25, 25, 30, 40)):
        status, out, err = run([analyze, "security", "--offline=true",
                                "--threshold=%d" % threshold, os.path.join(directory, name)])
        if "unrecognized option" in err:
            raise Skipped("this systemd-analyze looks at no files")
        check_equal(status, 0, "systemd-analyze security (%s)" % out[-200:])


def case_units_beside_each_other():
    """Whichever of the service and the timer is there first keeps the other out, which says
    why; a reload is a SIGHUP."""
    shell = need_program("sh")
    bin_dir = temp_dir()
    for name, other in (("proctally-textfile.service", "proctally-textfile-once.timer"),
                        ("proctally-textfile-once.service", "proctally-textfile.service")):
        text = unit_text(name).replace("\\\n", "")
        command = re.search(r"(?m)^ExecCondition=/bin/sh -c '(.*)'$", text).group(1)
        for active, status in ((other, 1), ("something else", 0)):
            fake = write_text(os.path.join(bin_dir, "systemctl"), """#!/bin/sh
[ "$1 $2" = "-q is-active" ] && [ "$3" = "%s" ]
""" % active)
            os.chmod(fake, 0o755)
            found, out, err = run([shell, "-c", command], env={"PATH": bin_dir})
            check_equal((found, err), (status, ""), "%s beside %s" % (name, active))
            check_equal(other in out, status == 1, "what %s says (%s)" % (name, out))
    check("ExecReload=/bin/kill -HUP $MAINPID\n" in unit_text("proctally-textfile.service"),
          "no reload")


def case_installed_units():
    """They name the program where it is installed, and are else as among the examples."""
    prefix = make_variable("prefix")[0]
    for name in UNITS:
        if name.endswith(".service"):
            check_equal(read_text(os.path.join(BUILD, "units", name)),
                        unit_text(name).replace("ExecStart=proctally",
                                                "ExecStart=%s/bin/proctally" % prefix), name)


def case_drop_in_for_pin():
    """With it the timer's unit is right, and may what source bpf needs."""
    analyze = need_program("systemd-analyze")
    directory = temp_dir()
    name = "proctally-textfile-once.service"
    for unit, path in ((name, name), ("proctally-pin.conf", name + ".d/pin.conf")):
        text = unit_text(unit).replace("ExecStart=proctally-textfile", "ExecStart=" + TEXTFILE)
        os.makedirs(os.path.dirname(os.path.join(directory, path)), exist_ok=True)
        write_text(os.path.join(directory, path), re.sub("(?m)^Documentation=.*\n", "", text))
    status, out, err = run([analyze, "verify", os.path.join(directory, name)])
    check_equal((status, out + err), (0, ""), "systemd-analyze verify")
    text = unit_text(name) + unit_text("proctally-pin.conf")
    check("bpf" in calls_of_unit(text), "bpf(2) is refused")
    pin = re.search(r"--pin (\S+)", text).group(1)
    check("ReadWritePaths=%s\n" % pin in text, "the directory is read-only")
    check("d %s 0700 proctally" % pin in unit_text("proctally.tmpfiles.conf"), "nobody makes it")


def calls_of_unit(text):
    """The names of all system calls that its lines SystemCallFilter= let pass."""
    analyze = need_program("systemd-analyze")

    def expand(word):
        if not word.startswith("@"):
            return {word}
        status, out, err = run([analyze, "syscall-filter", word])
        check_equal(status, 0, "systemd-analyze syscall-filter %s" % word)
        return set().union(*(expand(line.strip()) for line in out.splitlines()[1:]
                             if line.strip() and not line.strip().startswith("#")))

    calls = expand("@default")
    for line in re.findall("(?m)^SystemCallFilter=(.*)$", text):
        words = set().union(*(expand(w) for w in line.lstrip("~").split()))
        calls = calls - words if line.startswith("~") else calls | words
    return calls


KILL, NO_SUCH_CALL = 0x80000000, 0x00050000 | errno.ENOSYS


def refuse_other_calls(names, how=KILL):
    """What a child does before it starts a program: of all calls it has but these."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p

    def prepare():
        context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(how)))
        for name in names:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:
                library.seccomp_rule_add_array(context, ctypes.c_uint32(0x7fff0000), number, 0,
                                               None)
        if library.seccomp_load(context) != 0:
            os._exit(99)
    return prepare


def case_filter_of_unit():
    """The filter in the unit lets them work, and one that kills whoever sets a filter
    by seccomp(2), as in an administrator's own unit, does too."""
    need_capabilities()
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise Skipped("no libseccomp")
    ours = calls_of_unit(unit_text(UNITS[0]))
    for calls in (ours, ours - {"seccomp"}):
        how = {"preexec_fn": refuse_other_calls(sorted(calls))}
        output = os.path.join(temp_dir(), "out.prom")
        status, out, err = run([TEXTFILE, "--output", output, "--state-file", output + ".state"],
                               **how)
        check_equal((status, err), (0, ""), "once")
        s = Service(temp_dir(), **how)
        check_rights(s.process.pid)
        filters = re.search(r"Seccomp_filters:\s+(\d+)", read_text(
            "/proc/%d/status" % s.process.pid))  # Linux 5.9
        mine = re.search(r"Seccomp_filters:\s+(\d+)", read_text("/proc/self/status"))
        check(not filters or int(filters.group(1)) == int(mine.group(1)) + 2,
              "the program's own filter is missing beside the unit's")
        s.check_reload()
        s.check_state()
        check_equal(stop(s.process), 0, "status")


def case_unit_that_mounts():
    """As in its unit, as a user with capabilities and behind its filter, proctally-fs mounts,
    and what waits for its end unmounts."""
    fs = os.path.join(BUILD, "plugins/fs/proctally-fs")
    if not os.path.exists(fs):
        raise Skipped("built without libfuse")
    need_program("fusermount3")
    names = ("sys_admin", *NEEDED)
    need_capabilities("setpcap", *names)
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise Skipped("no libseccomp")
    text = unit_text("proctally-fs.service")
    for line in ("AmbientCapabilities", "CapabilityBoundingSet"):
        check_equal(sorted(re.search("(?m)^%s=(.*)$" % line, text).group(1).split()),
                    sorted("CAP_" + n.upper() for n in names), line)
    # systemd becomes the user before it sets the filter
    calls = sorted(calls_of_unit(text) | {"setresuid", "setresgid", "setgroups"})
    directory = temp_dir()
    os.chown(directory, NOBODY, NOBODY)
    path, log = directory + "/fs", tempfile.TemporaryFile()
    caps = ",".join("+" + n for n in names)
    prefix = [need_program("setpriv"), "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY,
              "--clear-groups", "--inh-caps=" + caps, "--ambient-caps=" + caps,
              "--bounding-set=-all," + caps, "--no-new-privs", "--"]

    def is_mounted():
        return " %s fuse.tally " % path in read_text("/proc/mounts")

    need_fuse_for_all()
    for end in (signal.SIGTERM, signal.SIGKILL):
        p = start([*prefix, fs, "--foreground", "--allow-other", path], stderr=log,
                  preexec_fn=refuse_other_calls(calls, NO_SUCH_CALL))
        later(lambda: is_mounted() and run(["umount", "-l", path]))
        wait_for(is_mounted, "the mount")
        status, out, err = run(["timeout", "-s", "KILL", "20", "cat", path + "/time"])
        check(status == 0 and float(out) > 1e9, "another user's look", err)
        wait_for(lambda: status_of(p.pid)["Seccomp"] == 2, "the filter")
        found = status_of(p.pid)
        check_equal(["%x" % found[n] for n in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
                    ["%x" % bits(*NEEDED)] * 2 + ["0"] * 2, "its capabilities")
        p.send_signal(end)
        check_equal(p.wait(20), 0 if end == signal.SIGTERM else -end, "status")
        wait_for(lambda: not is_mounted(), "the end of the mount")
    check_equal([l for l in written_to(log).splitlines() if "collecting" not in l], [],
                "what it says")


# ---- What a missing one costs -----------------------------------------------------------------

IO = ("io_read_bytes_total", "io_written_bytes_total", "disk_read_bytes_total",
      "disk_written_bytes_total", "io_syscalls_total")


def has_io(m, group):
    found = {m.sum("proctally_" + n, groupname=group) for n in IO
             if any(k[0] == "proctally_" + n and ("groupname", group) in k[1] for k in m.series)}
    return bool(found)


def unreadable(m, group):
    return {dict(l)["file"] for (n, l), v in m.series.items()
            if n == "proctally_unreadable_processes" and ("groupname", group) in l and v}


def check_said_once(prefix, *words, flags=(), binary=TELEGRAF):
    """It goes on, and complains in one line."""
    d = Driver(*flags, prefix=prefix, binary=binary)
    for _ in range(3):
        d.collect()
    d.end()
    lines = d.errors().splitlines()
    check_equal(len(lines), 1, "lines that it said (%s)" % lines)
    check(lines[0].startswith("W! "), "no warning", lines)
    for word in words:
        check(word in lines[0], "no %s in what it says" % word, lines)


def case_all_there():
    """With all three there is nothing to complain about."""
    need_capabilities(*NEEDED)
    w = of_nobody()
    # only this one: there is a limit to the time for PSS
    m, said = once(TEXTFILE, "--include", w.name, "--collect", "pss")
    check_equal(said, [], "what it says")
    check_equal(unreadable(m, w.name), set(), "unreadable")
    check(has_io(m, w.name), "no I/O")
    m, said = once(TEXTFILE, "--group-by", "exe")
    check(m.get("proctally_processes", groupname=PYTHON), "no group of %s" % PYTHON)


def case_without_sys_ptrace():
    # late kernels let CAP_PERFMON read proportional set sizes as well
    prefix, w = without("sys_ptrace", "perfmon"), of_nobody()
    m, said = once(*prefix, TEXTFILE, "--include", w.name, "--collect", "pss")
    check_equal(len(said), 1, "lines that it said (%s)" % said)
    check({"io", "smaps_rollup"} <= unreadable(m, w.name), "unreadable", unreadable(m, w.name))
    check(not has_io(m, w.name), "there is I/O")
    check(m.get("proctally_memory_pss_bytes", groupname=w.name) is None, "there is a PSS")
    check(m.get("proctally_memory_rss_bytes", groupname=w.name) > 1 << 20, "no memory")
    m, said = once(*prefix, TEXTFILE, "--group-by", "exe")
    check_equal(m.get("proctally_processes", groupname="[%s]" % w.name), 1, "its group")
    check_said_once(prefix, "can't be read fully", "CAP_SYS_PTRACE")


def case_without_dac_read_search():
    prefix, w = without("dac_read_search", "dac_override"), of_nobody()
    m, said = once(*prefix, TEXTFILE, "--include", w.name, "--collect", "pss")
    check_equal(len(said), 1, "lines that it said (%s)" % said)
    check("io" in unreadable(m, w.name), "unreadable", unreadable(m, w.name))
    check("smaps_rollup" not in unreadable(m, w.name), "PSS is unreadable")
    check(not has_io(m, w.name), "there is I/O")
    m, said = once(*prefix, TEXTFILE, "--group-by", "exe")
    check(m.get("proctally_processes", groupname="[%s]" % w.name) is None, "exe is unreadable")
    check_said_once(prefix, "can't be read fully", "CAP_DAC_READ_SEARCH")


THREADS = """
def work():
    for _ in range(50):
        time.sleep(0.001)
say(ready=True)
wait()
for _ in range(2):
    t = threading.Thread(target=work)
    t.start()
    t.join()
say(done=True)
wait()
"""


def case_without_net_admin():
    """Switches of threads that ended are missing, and nothing else."""
    prefix, w = without("net_admin"), of_nobody(THREADS)
    everything, poorer = Driver(), Driver(prefix=prefix)
    before = [d.points[w.name].fields for d in (everything, poorer)]
    w.go_on()
    w.hear()
    after = [d.collect()[w.name].fields for d in (everything, poorer)]
    check_equal(set(after[1]), set(after[0]), "what is measured")
    all_of_it, part = (a["voluntary_context_switches"] - b["voluntary_context_switches"]
                       for a, b in zip(after, before))
    check(all_of_it >= 100, "switches: %d" % all_of_it)
    check(part < all_of_it - 50, "switches without the right: %d of %d" % (part, all_of_it))
    check_equal(after[1]["unreadable"], 0, "unreadable")
    everything.end()
    check_equal(everything.errors(), "", "what it says with all rights")
    poorer.end()
    check_said_once(prefix, "thread by thread", "CAP_NET_ADMIN")
    # who does not want to know is not told
    m, said = once(*prefix, TEXTFILE, "--collect", "no-context-switches,no-delays")
    check_equal(said, [], "what it says")


def case_unprivileged():
    """What could not be read is not 0: it is missing, and counted."""
    prefix = as_nobody()
    w = Workload("data = open('/dev/zero', 'rb').read(1 << 20)\nburn(0.1)\n" + SLEEPER)
    w.hear()
    all_of_it, _ = once(TEXTFILE)
    m, said = once(*prefix, shutil.copy(TEXTFILE, temp_dir()))
    check_equal(len(said), 1, "lines that it said (%s)" % said)
    check_equal(m.get("proctally_processes", groupname=w.name), 1, "processes")
    check("io" in unreadable(m, w.name), "unreadable", unreadable(m, w.name))
    check(m.get("proctally_processes_seen") > 5, "hardly any process")
    check(not has_io(m, w.name), "there is I/O")
    check(has_io(all_of_it, w.name), "no I/O with all rights")
    check(m.sum("proctally_cpu_seconds_total", groupname=w.name) > 0.05, "no CPU time")
    check(m.get("proctally_memory_rss_bytes", groupname=w.name) > 1 << 20, "no memory")
    # whatever is shown must be the truth, or near it
    for name in ("open_fds", "worst_fd_ratio", "threads", "memory_swap_bytes", "memory_vms_bytes",
                 "memory_footprint_bytes", "start_time_seconds", "priority", "nice"):
        value = m.get("proctally_" + name, groupname=w.name)
        if value is not None:
            check_near(value, all_of_it.get("proctally_" + name, groupname=w.name), name,
                       relative=0.01, absolute=0.02)
    check_said_once(prefix, "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN")


# ---- Other views of /proc ----------------------------------------------------------------------

# In a pid namespace of its own: older kernels know one set of mount options for all
# proc file systems of a namespace. Everything in it ends with the shell, its process 1.
NAMESPACE = ["unshare", "-m", "-p", "-f", "sh", "-c"]


def case_hidepid():
    """proc mounted with hidepid: shown as partial, and no made up numbers."""
    prefix = as_nobody()
    need_mounts()
    directory, name = temp_dir(), unique("h")
    proc = os.path.join(directory, "proc")
    os.mkdir(proc)
    binary = shutil.copy(TEXTFILE, directory)
    driven = shutil.copy(TELEGRAF, directory)
    # not with exec: this is process 1, and its end is that of all
    script = ('mount -t proc -o hidepid=%s proc "$1" || exit 99; '
              '"$2" 1000 & until grep -qx "$3" "$1/$!/comm"; do sleep 0.05; done; '
              'shift 3; "$@"')
    for hidepid in ("1", "2"):
        inside = [*NAMESPACE, script % hidepid, "-", proc, linked(temp_dir(), name, "/bin/sleep"),
                  name]
        status, out, err = run([*inside, *prefix, binary, "--procfs", proc])
        if status == 99:
            raise Skipped("no right to mount proc")
        check_equal(status, 0, "status with hidepid=%s (%s)" % (hidepid, err))
        m = Metrics(out)
        check_equal(m.get("proctally_partial_visibility"), 1, "partial visibility")
        check_equal(len(err.splitlines()), 1, "lines that it said (%s)" % err)
        check("hidepid" in err, "no word about it", err)
        check(m.get("proctally_processes", groupname=name) is None, "a hidden process is shown")
        check_equal(m.get("proctally_processes", groupname="proctally-textf"), 1, "itself")
        hidden = m.get("proctally_processes_hidden")
        check(hidden >= 2 if hidepid == "1" else hidden == 0, "hidden processes: %r" % hidden)
        check_said_once([*inside, *prefix], "hidepid", flags=["--procfs", proc], binary=driven)
        # CAP_SYS_PTRACE sees all
        m, said = once(*inside, TEXTFILE, "--procfs", proc)
        check_equal((m.get("proctally_partial_visibility"), said), (0, []), "root's view")
        check_equal(m.get("proctally_processes", groupname=name), 1, "root's view of a process")
        # a literal group that can't be seen is there, with 0 processes
        m, said = once(*inside, *prefix, binary, "--procfs", proc, "--group-by", "",
                       "--process_names", "[{name: wanted, comm: [%s]}]" % name)
        check_equal(m.get("proctally_processes", groupname="wanted"), 0, "a literal group")
        check(m.get("proctally_memory_rss_bytes", groupname="wanted") in (None, 0), "its memory")
    check_equal(os.listdir(proc), [], "the mount is gone")


def case_container():
    """A container with the host's /proc in another place, and the usual capabilities."""
    need_mounts()
    need_capabilities("setpcap", *NEEDED)
    directory = temp_dir()
    host = os.path.join(directory, "host")
    os.mkdir(host)
    w = of_nobody()
    script = ('mount --bind /proc "$1" || exit 99; shift; '
              'exec unshare -p -f --mount-proc "$@"')
    inside = ["unshare", "-m", "sh", "-c", script, "-", host]
    status, out, err = run([*inside, TEXTFILE, "--procfs", host])
    if status == 99:
        raise Skipped("no right to mount proc")
    check_equal((status, err), (0, ""), "status, and what it says")
    m = Metrics(out)
    check_equal(m.get("proctally_processes", groupname=w.name), 1, "the host's process")
    check(has_io(m, w.name), "no I/O")
    check_equal(m.get("proctally_partial_visibility"), 0, "partial visibility")
    # not told of the namespace it measures processes of other numbers, and few
    m, said = once(*inside, TEXTFILE)
    check(m.get("proctally_processes", groupname=w.name) is None, "the host's process is shown")
    check(m.get("proctally_processes_seen") < 10, "processes seen")
    poor = [*inside, *without("sys_ptrace", "net_admin")]
    m, said = once(*poor, TEXTFILE, "--procfs", host)
    check_equal(len(said), 1, "lines that it said (%s)" % said)
    check("io" in unreadable(m, w.name) and not has_io(m, w.name), "I/O of the host's process")
    check(m.get("proctally_memory_rss_bytes", groupname=w.name) > 1 << 20, "no memory")
    check_said_once(poor, "can't be read fully", flags=["--procfs", host])


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
