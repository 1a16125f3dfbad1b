#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proctally files beside lsof(8), on processes that the test made."""
import sys

from common import *

OPEN = """
import socket, select
directory = sys.argv[1]
path = lambda name: os.path.join(directory, name)
def make(name, text):
    with open(path(name), "wb") as file:
        file.write(text)
    return path(name)
fds = {}
fds["read"] = os.open(make("read", b"x" * 1000), os.O_RDONLY)
os.lseek(fds["read"], 17, 0)
fds["write"] = os.open(make("write", b""), os.O_WRONLY | os.O_APPEND)
os.write(fds["write"], b"four")
fds["both"] = os.open(make("both", b"12"), os.O_RDWR)
fds["dir"] = os.open(directory, os.O_RDONLY)
fds["char"] = os.open("/dev/null", os.O_WRONLY)
os.mkfifo(path("a fifo"))
fds["fifo"] = os.open(path("a fifo"), os.O_RDWR)
fds["gone"] = os.open(make("gone", b"text"), os.O_RDONLY)
os.unlink(path("gone"))
fds["called so"] = os.open(make("here (deleted)", b"text"), os.O_RDONLY)
fds["linked"] = os.open(make("first", b"text"), os.O_RDONLY)
os.link(path("first"), path("second"))
os.unlink(path("first"))
fds["memfd"] = os.memfd_create("a memfd")
fds["event"] = os.eventfd(0) if hasattr(os, "eventfd") else select.epoll().fileno()
fds["path"] = os.open(directory, os.O_PATH)
fds["evil"] = os.open(make("a\\nb\\x1b[31m\\xff".encode("latin-1").decode("latin-1"), b""), os.O_RDONLY)
kept = {}
kept["tcp"] = socket.create_server(("127.0.0.1", 0))
kept["client"] = socket.create_connection(kept["tcp"].getsockname())
kept["udp"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
kept["udp"].bind(("127.0.0.1", 0))
kept["unix"] = socket.socket(socket.AF_UNIX)
kept["unix"].bind(path("listening"))
kept["unix"].listen()
kept["abstract"] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
kept["abstract"].bind("\\0abstract-%d" % os.getpid())
kept["netlink"] = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
kept["pair"], theirs = socket.socketpair()
fds["pipe"], write = os.pipe()
child = os.fork()
if child == 0:
    for fd in list(fds.values()) + [s.fileno() for s in kept.values()]:
        if fd >= 0:
            os.close(fd)
    time.sleep(1000)
os.close(write)
other = theirs.fileno()
theirs.detach()
os.close(other)
fds.update((name, s.fileno()) for name, s in kept.items())
say(fds=fds, child=child, write=write, theirs=other,
    client=kept["client"].getsockname()[1], server=kept["tcp"].getsockname()[1])
wait()
"""


def files(*arguments, prefix=(), **more):
    more.setdefault("env", dict(os.environ, LC_ALL="C.UTF-8"))
    return run([*prefix, COMMAND, "files", *map(str, arguments)], **more)


def start_open(**how):
    directory = temp_dir()
    os.chmod(directory, 0o777)
    w = Workload(OPEN, args=[directory], directory="/tmp", **how)
    later(os.unlink, os.path.join("/tmp", w.name))
    said = w.hear()
    later(os.kill, said["child"], signal.SIGKILL)
    return w, said, directory


def of_json(*arguments, prefix=()):
    status, out, err = files("--json", *arguments, prefix=prefix)
    check_equal(status, 0, "files --json: " + err)
    def key(file):
        return next((k for k in ("cwd", "root") if k in file), file.get("fd", file.get("path")))
    return {p["pid"]: {key(f): f for f in p["files"]}
            for p in json.loads(out)["processes"]}


def of_lsof(pid, prefix=()):
    """{descriptor: {field: text}}, by lsof's letters for its fields."""
    status, out, err = run([*prefix, need_program("lsof"), "-nPwoo15", "-p", str(pid), "-F0ftaisoTnl"])
    found = {}
    for line in out.replace("\0\n", "\n").split("\n"):
        fields = {}
        for part in line.split("\0"):
            if part.startswith("T"):
                fields.setdefault("T" + part[1:3], part[4:])
            elif part:
                fields[part[0]] = part[1:]
        if "f" in fields:
            found[fields["f"]] = fields
    return found


def sizes_of_lsof(pid, prefix=()):
    out = run([*prefix, need_program("lsof"), "-nPws", "-p", str(pid), "-F0fs"])[1]
    return dict(re.findall(r"f(\d+)\0s(\d+)\0", out))


TYPES = {"REG": "file", "DIR": "dir", "CHR": "char", "FIFO": ("pipe", "fifo"), "a_inode": "anon",
         "IPv4": "socket", "IPv6": "socket", "unix": "socket", "netlink": "socket", "sock": "socket"}
STATES = {"ESTABLISHED": "ESTAB"}


def compare(pid, prefix=()):
    found, wanted = of_json(pid, prefix=prefix)[pid], of_lsof(pid, prefix)
    sizes = sizes_of_lsof(pid, prefix)
    descriptors = {int(fd): fields for fd, fields in wanted.items() if fd.isdigit()}
    check_equal(set(found) - {"cwd"}, set(descriptors), "the descriptors")
    check_equal(found["cwd"]["path"], wanted["cwd"]["n"], "where it is")
    for fd, theirs in descriptors.items():
        ours, what = found[fd], "of descriptor %d (%r)" % (fd, theirs)
        types = TYPES[theirs["t"]]
        check(ours["type"] in (types if isinstance(types, tuple) else (types,)), "type " + what, ours)
        access = theirs.get("a", " ").strip()
        if ours["access" if "access" in ours else "fd"] != fd:
            check_equal({"u": "rw"}.get(access, access), ours["access"], "access " + what)
        if "position" in ours and "o" in theirs:
            check_equal(ours["position"], int(theirs["o"][2:], 0 if theirs["o"][1] == "x" else 10),
                        "position " + what)
        if "size" in ours and str(fd) in sizes:
            check_equal(ours["size"], int(sizes[str(fd)]), "size " + what)
        if ours["type"] in ("file", "dir", "char", "fifo") and "\\" not in theirs["n"]:
            check_equal(ours["path"] + (" (deleted)" if ours.get("deleted") else ""), theirs["n"],
                        "path " + what)
        if theirs["t"] in ("IPv4", "IPv6"):
            name = ours["local"] + ("->" + ours["remote"] if "remote" in ours else "")
            check_equal(name, theirs["n"].replace("*:", "0.0.0.0:"), "addresses " + what)
            if "TST" in theirs:
                state = theirs["TST"]
                check_equal(ours["state"], STATES.get(state, state), "state " + what)
        if theirs["t"] == "unix" and "path" in ours:
            check_equal(theirs["n"].split(" type=")[0], ours["path"], "path " + what)


def case_same_as_lsof():
    w, _, _ = start_open()
    compare(w.pid)


def case_same_as_lsof_as_nobody():
    prefix = as_nobody()
    w, _, _ = start_open(prefix=prefix)
    compare(w.pid, prefix)
    compare(w.pid)


def case_what_is_open():
    w, said, directory = start_open()
    fds, found = said["fds"], of_json(w.pid)[w.pid]

    def file(name):
        return found[fds[name]]

    wanted = {
        "read": ("file", "r", 17, 1000, "read"), "write": ("file", "w", 4, 4, "write"),
        "both": ("file", "rw", 0, 2, "both"), "gone": ("file", "r", 0, 4, "gone"),
        "called so": ("file", "r", 0, 4, "here (deleted)"), "linked": ("file", "r", 0, 4, "first"),
    }
    for name, values in wanted.items():
        f = file(name)
        check_equal((f["type"], f["access"], f["position"], f["size"], f["path"]),
                    values[:4] + (os.path.join(directory, values[4]),), name)
        check_equal(f.get("deleted", False), name in ("gone", "linked"), name + " is deleted")
    check_equal((file("memfd")["path"], file("memfd")["deleted"]), ("/memfd:a memfd", True), "memfd")
    check("access" not in file("path"), "a descriptor that is only for the path", file("path"))
    check_equal(file("event")["type"], "anon", "eventfd")
    check_equal([(p["pid"], p["fd"]) for p in file("pipe")["peers"]], [(said["child"], said["write"])],
                "who writes to the pipe")
    check_equal([(p["pid"], p["fd"]) for p in file("pair")["peers"]], [(said["child"], said["theirs"])],
                "who has the other socket")
    check_equal((file("unix")["state"], file("unix")["path"]),
                ("LISTEN", os.path.join(directory, "listening")), "a socket with a path")
    check_equal(file("abstract")["path"], "@abstract-%d" % w.pid, "an abstract one")
    check_equal((file("client")["local"], file("client")["remote"]),
                ("127.0.0.1:%d" % said["client"], "127.0.0.1:%d" % said["server"]), "a connection")
    check_equal(file("netlink")["type"], "socket", "netlink")
    table = files(w.pid)[1]
    check(re.search(r" pipe +r +- +- pipe:\[\d+\] -> %s\[%d\]:%d$" % (w.name, said["child"], said["write"]),
                    table, re.M), "the pipe in the table", table)
    check("%s/gone (deleted)\n" % directory in table, "the deleted one in the table", table)
    check("127.0.0.1:%d -> 127.0.0.1:%d ESTAB\n" % (said["client"], said["server"]) in table, table)
    check("\x1b" not in table and "a?b?[31m" in table, "a hostile name", table)
    by_name = of_json(w.name)
    check_equal(set(by_name), {w.pid, said["child"]}, "by name")
    check(set(of_json()) >= set(by_name), "all processes")


# What leads from one process to another.
CONNECTED = """
import socket
fifo = os.path.join(sys.argv[1], "fifo")
os.mkfifo(fifo)
ours, theirs = {}, {}
for name, family, address in (("tcp", socket.AF_INET, "127.0.0.1"), ("mapped", socket.AF_INET6, "::")):
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        ours[name] = socket.create_connection(("127.0.0.1", server.getsockname()[1]))
        theirs[name] = server.accept()[0]
ours["udp"], theirs["udp"] = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
for one in ours["udp"], theirs["udp"]:
    one.bind(("127.0.0.1", 0))
ours["udp"].connect(theirs["udp"].getsockname())
theirs["udp"].connect(ours["udp"].getsockname())
ours["fifo"], theirs["fifo"] = open(fifo, "rb+", 0), open(fifo, "wb", 0)
child = os.fork()
mine, others = (theirs, ours) if child == 0 else (ours, theirs)
for one in others.values():
    one.close()
if child == 0:
    os.chdir(sys.argv[1])
    if os.geteuid() == 0:
        os.chroot(".")
say(child=child, fds={name: one.fileno() for name, one in mine.items()})
wait()
"""


def case_other_ends():
    """Of TCP and UDP, of IPv4 inside IPv6, and of a FIFO; and where a process is."""
    directory = temp_dir()
    w = Workload(CONNECTED, args=[directory])
    both = {said["child"]: said["fds"] for said in (w.hear(), w.hear())}
    child = max(both)
    found = of_json(w.name)
    for one, own, other, others in ((w.pid, both[child], child, both[0]),
                                    (child, both[0], w.pid, both[child])):
        for name, fd in own.items():
            check_equal([(p["pid"], p["fd"]) for p in found[one][fd]["peers"]],
                        [(other, others[name])], "the other end of %s" % name)
        check_equal(found[one]["cwd"]["path"], directory if one == child else os.getcwd(), "where it is")
        is_moved = one == child and is_root()
        check_equal(found[one].get("root", {}).get("path"), directory if is_moved else None,
                    "where its paths begin")
    check(re.search(r"127.0.0.1:\d+ -> 127.0.0.1:\d+ ESTAB -> %s\[%d\]:%d$" % (
        w.name, child, both[0]["tcp"]), files(w.pid)[1], re.M), "in the table")


def case_mapped():
    w = Workload(SLEEPER)
    w.hear()
    found = of_json("--mapped", w.pid)[w.pid]
    mapped = {path for path, f in found.items() if f.get("mapped")}
    maps = read_text("/proc/%d/maps" % w.pid)
    check_equal(mapped, set(re.findall(r" (/.*)$", maps, re.M)), "the files of maps")
    exe = os.readlink("/proc/%d/exe" % w.pid)
    check_equal(found[exe]["size"], os.path.getsize(exe), "the program's size")
    check("x" in found[exe]["access"] and "r" in found[exe]["access"], "its access", found[exe])
    listed = of_lsof(w.pid)
    rows = run([need_program("lsof"), "-nPwa", "-p", str(w.pid), "-d", "mem,txt", "-Fn"])[1]
    check_equal(mapped, set(re.findall(r"^n(/.*)$", rows, re.M)), "lsof's")
    check(listed, "lsof sees it")


def case_bad_cases():
    gone = subprocess.Popen(["true"])
    gone.wait()
    status, out, err = files(gone.pid, "nobody_has_this")
    check_equal((status, err), (1, "proctally files: there is no process %d\nproctally files: there is no "
                                   'process of the name "nobody_has_this"\n' % gone.pid), "nobody")
    check_equal(json.loads(files("--json", gone.pid)[1]), {"processes": []}, "nobody in JSON")
    zombie = Workload("pid = os.fork()\nif pid == 0:\n    os._exit(0)\n"
                      "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\nsay(pid=pid)\nwait()\n")
    nothing = [zombie.hear()["pid"]] + ([2] if os.path.exists("/proc/2/comm") else [])
    for pid in nothing:
        status, out, err = files(pid)
        check_equal((status, out.count("\n"), err), (0, 1, ""), "a zombie, a kernel thread")
    status, out, err = files("--procfs", "/nonexistent")
    check_equal((status, out), (1, ""), "no /proc")
    check("/nonexistent" in err and err.count("\n") == 1, err)
    with open("/dev/full", "w") as full:
        done = subprocess.run([COMMAND, "files"], stdout=full, stderr=subprocess.PIPE, text=True)
    check_equal(done.returncode, 1, "no room for the output")
    check(done.stderr.startswith("proctally files: cannot write to standard output: No space"), done)


def case_many_end_meanwhile():
    """Processes that come and go while all are looked into are no error."""
    w = Workload("say(x=1)\nwhile not select.select([0], [], [], 0)[0]:\n    os.waitpid(os.posix_spawn("
                 "'/bin/true', ['true'], {}), 0)\n".replace("say", "import select\nsay", 1))
    w.hear()
    for _ in range(5):
        status, out, err = files("--json")
        check_equal(status, 0, "status: " + err)
        json.loads(out)
    w.process.stdin.close()


def case_no_right():
    prefix = as_nobody()
    w = Workload(SLEEPER)
    w.hear()
    status, out, err = files(w.pid, prefix=prefix)
    check_equal((status, out.count("\n"), err),
                (1, 1, "proctally files: 1 of 1 processes could not be looked into: Permission denied\n"),
                "another user's process")
    status, out, err = files(prefix=prefix)
    check_equal(status, 0, "all processes")
    check(re.match(r"proctally files: \d+ of \d+ processes could not be looked into: Permission denied\n$",
                   err), "what is not known is said", err)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
