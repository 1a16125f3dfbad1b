#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proctally ps beside ps(1), on processes that the test made."""
import pty
import struct
import sys

from common import *

TREE = """
child = os.fork()
if child == 0:
    if os.fork() == 0:
        set_name(b"grandchild")
    else:
        set_name(b"child")
    time.sleep(1000)
say(child=child)
wait()
"""


def ps(*arguments, prefix=(), **more):
    return run([*prefix, COMMAND, "ps", *arguments], **more)


def rows_of(text):
    """The table as dictionaries; only the last column may hold blanks."""
    lines = text.splitlines()
    heads = lines[0].split()
    return [dict(zip(heads, line.split(None, len(heads) - 1))) for line in lines[1:]]


def start_zoo():
    """Processes of several kinds: {what: pid}."""
    sleeper = Workload(SLEEPER)
    sleeper.hear()
    busy = Workload("burn(0.5)\nsay(x=1)\nwait()\n", prefix=["nice", "-n", "7"])
    busy.hear()
    many = Workload("for i in range(3):\n    threading.Thread(target=wait, daemon=True).start()\n"
                    "say(x=1)\nwait()\n")
    many.hear()
    zombie = Workload("pid = os.fork()\nif pid == 0:\n    os._exit(0)\n"
                      "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\nsay(pid=pid)\nwait()\n")
    stopped = Workload("say(x=1)\nos.kill(os.getpid(), 19)\n")
    stopped.hear()
    later(os.kill, stopped.pid, signal.SIGCONT)
    zoo = {"sleeper": sleeper.pid, "busy": busy.pid, "many": many.pid,
           "zombie": zombie.hear()["pid"], "stopped": stopped.pid}
    wait_for(lambda: "T" in read_text("/proc/%d/stat" % stopped.pid).split()[2], "a stop")
    if is_root():
        other = Workload(SLEEPER, prefix=as_nobody(), directory="/tmp")
        later(os.unlink, os.path.join("/tmp", other.name))
        other.hear()
        zoo["other user"] = other.pid
    if os.path.exists("/proc/2/comm"):
        zoo["kernel"] = 2
    return zoo


def ours_of(pids, prefix):
    status, out, err = ps("-p", pids, "-o", "user,pid,ppid,uid,%cpu,%mem,vsz,rss,tty,stat,start,time,"
                          "command", prefix=prefix)
    check_equal((status, err), (0, ""), "proctally ps")
    return {int(r["PID"]): r for r in rows_of(out)}


def compare(zoo, prefix=()):
    """Before and after: what the kernel takes of a sleeper's memory changes at any time."""
    pids = ",".join(str(p) for p in zoo.values())
    before = ours_of(pids, prefix)
    status, out, err = run([*prefix, need_program("ps"), "-ww", "-p", pids, "-o",
                            "user:40,pid,ppid,uid,pcpu,pmem,vsz,rss,tty=TTY", "-o",
                            "stat,start_time,bsdtime,args"])
    check_equal(status, 0, "ps")
    theirs = {int(r["PID"]): r for r in rows_of(out)}
    after = ours_of(pids, prefix)
    check_equal(set(before), set(zoo.values()), "the processes shown")
    check_equal(set(theirs), set(before), "the processes of ps")
    for what, pid in zoo.items():
        our, their = before[pid], theirs[pid]
        for field in ("USER", "PPID", "UID", "VSZ", "RSS", "TTY", "START", "TIME", "COMMAND"):
            check(their[field] in (our[field], after[pid][field]), "%s of the process that is %s: found %r, "
                  "expected %r" % (field, what, our[field], their[field]))
        check_equal(our["STAT"], their["STAT"].replace("L", ""), "STAT of " + what)
        check_near(float(our["%MEM"]), float(their["%MEM"]), "%MEM of " + what, absolute=0.1001)
        # theirs is by whole seconds
        check_near(float(our["%CPU"]), float(their["%CPU"]), "%CPU of " + what, relative=0.5,
                   absolute=0.2)


def case_same_as_ps():
    zoo = start_zoo()
    time.sleep(2.1)  # of a young process CPU by whole seconds says little
    compare(zoo)
    if is_root():
        compare(zoo, as_nobody())


def case_all_processes():
    """Everybody that ps aux shows, but for those that came and went."""
    before = {int(r["PID"]) for r in rows_of(run([need_program("ps"), "aux"])[1])}
    status, out, err = ps()
    check_equal((status, err), (0, ""), "ps")
    check_equal(out.split("\n")[0].split(), ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT",
                                             "START", "TIME", "COMMAND"], "the columns")
    ours = {int(r["PID"]) for r in rows_of(out)}
    after = {int(r["PID"]) for r in rows_of(run(["ps", "aux"])[1])}
    check(before & after <= ours, "missing", before & after - ours)


def case_columns():
    w = Workload(SLEEPER)
    w.hear()
    pid = str(w.pid)
    status, out, err = ps("-p", pid, "-o", "+group,threads,memory_rss,open_fds", "-o", "nice")
    check_equal((status, err), (0, ""), "ps -o")
    row = rows_of(out)[0]
    check_equal(out.split("\n")[0].split()[10:],
                ["GROUP", "THREADS", "MEMORY_RSS", "OPEN_FDS", "NICE", "COMMAND"], "the columns")
    check_equal((row["GROUP"], row["THREADS"], row["OPEN_FDS"], row["NICE"]),
                (w.name, "1", str(len(os.listdir("/proc/%s/fd" % pid))), "0"), "their values")
    unit = ps("-p", pid, "-o", "pid,unit,container,cgroup,exe,started,elapsed")[1]
    check_equal(rows_of(unit)[0]["EXE"], os.readlink("/proc/%s/exe" % pid), "EXE")
    check(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}$", rows_of(unit)[0]["STARTED"]), unit)
    grouped = ps("-p", pid, "-o", "group", "--group-by", "user")[1]
    check_equal(grouped.split()[1], rows_of(out)[0]["USER"], "grouped by user")
    with_sockets = Workload("import socket\nkept = socket.socketpair()\n" + SLEEPER)
    with_sockets.hear()
    for how in (), ("--sort", "udp_sockets"):
        status, out, err = ps("-p", str(with_sockets.pid), "-o", "unix_sockets,tcp_listen", *how)
        check_equal((status, err, out.split()), (0, "", ["UNIX_SOCKETS", "TCP_LISTEN", "2", "0"]),
                    "sockets")
    for arguments, said in ((("-o", "nothing"), '-o got "nothing"'),
                            (("-o", "host_cpus"), '-o got "host_cpus"'),
                            (("--sort", "nothing"), '--sort got "nothing"'),
                            (("-o", "pid", "--json"), "--json and -o"),
                            (("--over", "soon"), "soon")):
        status, out, err = ps(*arguments)
        check_equal((status, out), (2, ""), repr(arguments))
        check(said in err and err.count("\n") == 1, repr(arguments), err)


def case_choosing():
    w = Workload(TREE)
    child = w.hear()["child"]
    wait_for(lambda: len(rows_of(ps("-C", "child,grandchild")[1])) >= 2, "both children")
    by_name = rows_of(ps("-C", "child", "-C", "grandchild")[1])
    check(str(child) in [r["PID"] for r in by_name], "by name", by_name)
    check_equal([r["PID"] for r in rows_of(ps("--group", w.name)[1])], [str(w.pid)], "by group")
    user = rows_of(ps("-p", str(w.pid))[1])[0]["USER"]
    for name in (user, str(os.getuid())):
        check(str(w.pid) in [r["PID"] for r in rows_of(ps("-u", name)[1])], "by user " + name)
    check_equal(rows_of(ps("-u", "daemon", "-p", str(w.pid))[1]), [], "all have to fit")
    sorted_by = [int(r["RSS"]) for r in rows_of(ps("--sort", "-rss")[1])]
    check_equal(sorted_by, sorted(sorted_by, reverse=True), "--sort -rss")
    names = [r["NAME"] for r in rows_of(ps("--sort", "name", "-o", "pid,name")[1])]
    check_equal([n.encode() for n in names], sorted(n.encode() for n in names), "--sort name")
    lines = ps("--tree", "-o", "pid,command")[1].splitlines()
    at = [i for i, line in enumerate(lines) if line.split()[0] == str(w.pid)][0]
    check_equal(lines[at + 1].split()[0], str(child), "the child stands behind its parent")
    depths = [re.match(r" *\d+ ( *)", line).end() for line in lines[at:at + 3]]
    check(depths[0] < depths[1] < depths[2], "the tree", *lines[at:at + 3])
    check_equal(len(lines), len(set(line.split()[0] for line in lines)), "each of them once")


def case_over():
    w = Workload("say(x=1)\nwhile True:\n    pass\n")
    w.hear()
    idle = Workload("burn(0.3)\nsay(x=1)\nwait()\n")
    idle.hear()
    rows = rows_of(ps("--over", "500ms", "-p", "%d,%d" % (w.pid, idle.pid))[1])
    percent = {int(r["PID"]): float(r["%CPU"]) for r in rows}
    check(percent[w.pid] > 5 and percent[idle.pid] == 0, "CPU of now", percent)
    for plain in ("0.5", "1"):  # seconds
        begun = time.monotonic()
        status, _, err = ps("--over", plain, "-p", str(w.pid))
        check_equal((status, err), (0, ""), "--over " + plain)
        check(time.monotonic() - begun >= float(plain), "so long apart")


def case_json():
    zoo = start_zoo()
    status, out, err = ps("--json")
    check_equal((status, err), (0, ""), "ps --json")
    document = json.loads(out)
    found = {p["pid"]: p for p in document["processes"]}
    check_near(document["time"], time.time(), "time", absolute=30)
    sleeper, zombie = found[zoo["sleeper"]], found[zoo["zombie"]]
    with open("/proc/%d/cmdline" % zoo["sleeper"], "rb") as file:
        check_equal([a.encode() for a in sleeper["command"]], file.read().split(b"\0")[:-1], "command")
    check_equal((sleeper["ppid"], sleeper["uid"]), (os.getpid(), os.getuid()), "who it is")
    check_equal(sleeper["metrics"]["open_fds"], len(os.listdir("/proc/%d/fd" % zoo["sleeper"])), "fds")
    check_equal(zombie["stat"][0], "Z", "the zombie")
    check("command" not in zombie and "exe" not in zombie, "what a zombie has not", zombie)
    if is_root():
        other = json.loads(ps("--json", "-p", str(zoo["sleeper"]), prefix=as_nobody())[1])
        check("io_read" not in other["processes"][0]["metrics"], "what is not known is absent",
              other)


def case_hostile_names():
    w = start_hostile()
    names = json.loads(ps("--json")[1])["processes"]
    check(sum(p["ppid"] == w.pid for p in names) == len(HOSTILE_NAMES), "all are there", names)
    for locale in ("C", "C.UTF-8"):
        out = subprocess.run([COMMAND, "ps", "-o", "+name,group", "--tree"], capture_output=True,
                             env=dict(os.environ, LC_ALL=locale)).stdout
        text = out.decode("utf-8" if locale != "C" else "ascii")
        check(all(c >= " " and c != "\x7f" or c == "\n" for c in text), "only text in " + locale)
        check_equal(len(text.splitlines()[0].split()), 13, "columns")
    evil = start(["sh", "-c", "read x; :", "\x1b[31mred\x1b[0m", "a\nb", "né€"], stdin=subprocess.PIPE)
    out = ps("-p", str(evil.pid), "-o", "command", env=dict(os.environ, LC_ALL="C.UTF-8"))[1]
    check_equal(out, "COMMAND\nsh -c read x; : ?[31mred?[0m a b né€\n", "the command line")


def case_bad_cases():
    gone = subprocess.Popen(["true"])
    gone.wait()
    status, out, err = ps("-p", "%d,%d" % (gone.pid, os.getpid()))
    check_equal((status, err), (1, "proctally ps: there is no process %d\n" % gone.pid), "no such")
    check_equal([r["PID"] for r in rows_of(out)], [str(os.getpid())], "the one that is there")
    check_equal(ps("-C", "nobody_has_this")[0], 1, "nothing found")
    status, out, err = ps("--procfs", "/nonexistent")
    check_equal((status, out), (1, ""), "no /proc")
    check("/nonexistent" in err and err.count("\n") == 1, err)
    with open("/dev/full", "w") as full:
        done = subprocess.run([COMMAND, "ps"], stdout=full, stderr=subprocess.PIPE, text=True)
    check_equal((done.returncode, done.stderr),
                (1, "proctally ps: cannot write to standard output: No space left on device\n"), "full")
    status, _, err = run(["sh", "-c", "'%s' ps >&-" % COMMAND])
    check_equal((status, err.count("\n")), (1, 1), "stdout is closed")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([COMMAND, "ps"], stdout=writer, stderr=subprocess.PIPE,
                          restore_signals=False)
    os.close(writer)
    check_equal((done.returncode, done.stderr), (1, b""), "nobody reads")


def case_hidden():
    """What the mount options of /proc hide is said to be missing."""
    need_mounts()
    prefix = ["unshare", "-m", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh"]
    status, out, err = ps(prefix=prefix + as_nobody())
    check_equal(status, 0, "status: " + err)
    check_equal({r["USER"] for r in rows_of(out)}, {"nobody"}, "who is shown")
    check_equal(err, "proctally ps: the options that /proc is mounted with (hidepid) hide processes of other "
                     "users, which are missing here\n", "what is said")


def case_long_command_line():
    w = Workload(SLEEPER, args=["x" * 50000, "y" * 20000])
    w.hear()
    document = json.loads(ps("--json", "-p", str(w.pid))[1])
    check_equal(document["processes"][0]["command"][-2:], ["x" * 50000, "y" * 20000], "in JSON")
    line = ps("-p", str(w.pid), "-o", "command")[1].splitlines()[1]
    check(line.endswith(" " + "x" * 50000 + " " + "y" * 20000), "in the table", line[-100:])


def case_terminal():
    """On a terminal, lines are as wide as that."""
    import fcntl
    import termios
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        os.execv(COMMAND, [COMMAND, "ps"])
    later(os.close, fd)
    out = b""
    with contextlib.suppress(OSError):
        while True:
            data = os.read(fd, 65536)
            if not data:
                break
            out += data
    check_equal(os.waitpid(pid, 0)[1], 0, "status")
    lines = out.decode().split("\r\n")
    check_equal(max(len(line) for line in lines), 60, "the longest line")
    own = [line for line in lines if re.search(r"\b%d\b" % pid, line)]
    check(own and re.search(r" pts/\d+ +\ws\+", own[0]), "its own line", own)


def case_terminals_by_bpf():
    """What the kernel's programs tell of it is what /proc says."""
    if ps("--source", "bpf")[0] != 0:
        raise Skipped("source bpf can't be used")
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("bash", ["bash", "--norc", "-i"])
    later(os.close, fd)
    later(os.kill, pid, signal.SIGKILL)
    os.write(fd, b"sleep 600.25 & sleep 600.5\n")

    def rows(source):
        out = ps("--source", source, "-o", "pid,ppid,tty,stat")[1]
        found = [line.split() for line in out.splitlines()[1:]]
        return {row[0]: row[2:] for row in found if str(pid) in row[:2]}

    wait_for(lambda: sorted(stat for _, stat in rows("procfs").values()) == ["S", "S+", "Ss"],
             "a job in the foreground and one behind it")
    check_equal(rows("bpf"), rows("procfs"), "terminals and states")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
