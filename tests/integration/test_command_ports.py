#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proctally ports beside ss(8), on sockets that the test made."""
import sys

from common import *

SOCKETS = """
import socket
def make(family, kind, address):
    s = socket.socket(family, kind)
    s.bind((address, 0))
    return s
four, six = socket.AF_INET, socket.AF_INET6
kept = [make(four, socket.SOCK_STREAM, "127.0.0.1"), make(four, socket.SOCK_DGRAM, "127.0.0.1")]
kept[0].listen(7)
with_six = True
try:
    kept += [make(six, socket.SOCK_STREAM, "::1"), make(six, socket.SOCK_DGRAM, "::1")]
    kept[2].listen(7)
except OSError:
    with_six = False
client = socket.create_connection(kept[0].getsockname())
server = kept[0].accept()[0]
server.sendall(b"x" * 1234)
waiting = socket.create_connection(kept[0].getsockname())
connected = socket.socket(four, socket.SOCK_DGRAM)
connected.connect(kept[1].getsockname())
connected.send(b"y" * 10)
ports = [s.getsockname()[1] for s in kept]
say(ports=ports, client=client.getsockname()[1], waiting=waiting.getsockname()[1],
    connected=connected.getsockname()[1], server=server.fileno())
wait()
"""


def ports(*arguments, prefix=(), **more):
    return run([*prefix, COMMAND, "ports", *arguments], **more)


def rows_of(text):
    heads = text.splitlines()[0].split()
    return [dict(zip(heads, line.split())) for line in text.splitlines()[1:]]


def key_of(address):
    """ss: a link-local address and "*"."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]").split("%")[0].replace("*", "::"), port)


def of_ss(pid, *flags):
    """{(protocol, local, remote): (state, receive queue, send queue, descriptor)}"""
    status, out, err = run([need_program("ss"), "-tunpHO", *flags])
    check_equal((status, err), (0, ""), "ss")
    found = {}
    for line in out.splitlines():
        words = line.split()
        for holder in re.findall(r"pid=(\d+),fd=(\d+)", line):
            if int(holder[0]) == pid:
                found[words[0], key_of(words[4]), key_of(words[5])] = (
                    words[1], words[2], words[3], holder[1])
    return found


def of_ours(pid, *flags, prefix=()):
    status, out, err = ports(*flags, prefix=prefix)
    check_equal(status, 0, "ports: " + err)
    return {(r["PROTO"][:3], key_of(r["LOCAL"]), key_of(r["REMOTE"])):
            (r["STATE"], r["RECV-Q"], r["SEND-Q"], r["FD"])
            for r in rows_of(out) if r["PID"] == str(pid)}


def case_same_as_ss():
    w = Workload(SOCKETS)
    w.hear()
    for ours, theirs in (((), ("-a",)), (("--listening",), ("-l",)), (("-l",), ("-l",))):
        found, wanted = of_ours(w.pid, *ours), of_ss(w.pid, *theirs)
        check(len(wanted) >= 2, "ss sees them", wanted)
        check_equal(found, wanted, "ports " + " ".join(ours))


def case_whose():
    w = Workload(SOCKETS)
    what = w.hear()
    sockets = json.loads(ports("--json", "--group-by", "user")[1])["sockets"]
    mine = [s for s in sockets if any(p["pid"] == w.pid for p in s["processes"])]
    with_port = {s["local"].rpartition(":")[2]: s for s in mine if s["protocol"] == "tcp"
                 and s["state"] == "ESTAB"}
    client = with_port[str(what["client"])]
    check_equal((client["receive_queue"], client["remote"], client["uid"]),
                (1234, "127.0.0.1:%d" % what["ports"][0], os.getuid()), "the client's end")
    process = client["processes"][0]
    check_equal((process["name"], len(client["processes"])), (w.name, 1), "the process")
    check_equal(process["group"], process["user"], "the group by user")
    row = [r for r in rows_of(ports()[1]) if r["LOCAL"].endswith(":%d" % what["client"])][0]
    check_equal((row["NAME"], row["GROUP"], row["PID"]), (w.name, w.name, str(w.pid)), "the row")


def case_several_have_it():
    w = Workload("import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\n"
                 "child = os.fork()\nif child:\n    say(child=child, port=s.getsockname()[1])\nwait()\n")
    said = w.hear()
    rows = [r for r in rows_of(ports("-l")[1]) if r["LOCAL"] == "127.0.0.1:%d" % said["port"]]
    check_equal({int(r["PID"]) for r in rows}, {w.pid, said["child"]}, "a row for each")


def case_no_right():
    prefix = as_nobody()
    w = Workload(SOCKETS)
    what = w.hear()
    status, out, err = ports(prefix=prefix)
    check_equal(status, 0, "status")
    check(re.match(r"proctally ports: \d+ of \d+ processes could not be looked into: Permission "
                   r"denied; what they have open is not known\n$", err), "what is not known is said", err)
    rows = [r for r in rows_of(out) if r["LOCAL"] == "127.0.0.1:%d" % what["ports"][0]]
    listening = [r for r in rows if r["STATE"] == "LISTEN"][0]
    check_equal((listening["PID"], listening["USER"], listening["NAME"]), ("-", "0", "-"),
                "another user's socket")
    own = Workload(SOCKETS, prefix=prefix, directory="/tmp")
    later(os.unlink, os.path.join("/tmp", own.name))
    own.hear()
    check_equal(of_ours(own.pid, prefix=prefix), of_ss(own.pid, "-a"), "its own sockets")


def case_without_sock_diag():
    """From /proc/PID/net, which a kernel without sock_diag has."""
    w = Workload(SOCKETS)
    w.hear()
    prefix = [need_program("strace"), "-f", "-o", "/dev/null", "-e", "trace=socket", "-e",
              "inject=socket:error=EPROTONOSUPPORT"]
    status, out, err = ports("-l", prefix=prefix)
    if "ptrace" in err:
        raise Skipped("no right to trace")
    wanted = of_ss(w.pid, "-l")
    found = of_ours(w.pid, "-l", prefix=prefix)
    check_equal({k: (v[0], v[1], v[3]) for k, v in found.items()},
                {k: (v[0], v[1], v[3]) for k, v in wanted.items()}, "without sock_diag")
    check_equal({v[2] for v in found.values() if v[0] == "LISTEN"}, {"-"}, "not known is not 0")


def case_other_namespace():
    if not is_root() or subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode:
        raise Skipped("no right to make a network namespace")
    w = Workload(SOCKETS.replace('"127.0.0.1"', '"0.0.0.0"').replace(
        "client =", "import sys; say(ports=[s.getsockname()[1] for s in kept]); wait(); client ="),
        prefix=["unshare", "-n"])
    port = w.hear()["ports"][0]
    rows = [r for r in rows_of(ports("-l")[1]) if r["LOCAL"] == "0.0.0.0:%d" % port]
    check_equal([r["PID"] for r in rows if r["PROTO"] == "tcp"], [str(w.pid)], "of another namespace")


def case_bad_cases():
    status, out, err = ports("--procfs", "/nonexistent")
    check_equal((status, out), (1, ""), "no /proc")
    check("/nonexistent" in err and err.count("\n") == 1, err)
    status, out, err = ports("argument")
    check_equal((status, out), (2, ""), "an argument")
    with open("/dev/full", "w") as full:
        done = subprocess.run([COMMAND, "ports"], stdout=full, stderr=subprocess.PIPE, text=True)
    check_equal((done.returncode, done.stderr),
                (1, "proctally ports: cannot write to standard output: No space left on device\n"),
                "no room for the output")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
