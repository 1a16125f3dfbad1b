#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Sockets of groups (collect: [sockets]), on sockets that the test has made and holds in
their states, from both sources; and beside what /proc/net and the descriptors say."""
import os
import resource
import sys
import time

from common import *

# by the kernel's numbers
TCP_STATES = {1: "established", 2: "syn_sent", 4: "fin_wait1", 5: "fin_wait2", 8: "close_wait",
              9: "last_ack", 10: "listen", 11: "closing"}
TCP = tuple("tcp_" + state for state in TCP_STATES.values())
FIELDS = (*TCP, "udp_socket", "unix_socket")
BY_BPF = ("tcp_close",)

HEAD = """
import socket
four, six = socket.AF_INET, socket.AF_INET6
stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
kept = []
def make(family, kind, *more):
    s = socket.socket(family, kind, *more)
    kept.append(s)
    return s
def listen(family=four, backlog=64, protocol=0):
    s = make(family, stream, protocol)
    s.bind(("::1" if family == six else "127.0.0.1", 0))
    s.listen(backlog)
    return s
def connect(to, family=four):
    s = make(family, stream)
    s.connect(to.getsockname())
    kept.append(to.accept()[0])
    return s, kept[-1]
def fill(s):
    s.setblocking(False)
    try:
        while True:
            s.send(b"x" * 65536)
    except BlockingIOError:
        pass
"""

# A known number of each. Segments take their time also on loopback: each socket is waited for
# until it is in its state.
STATES = HEAD + """
import select, time
listener = listen()
has = dict.fromkeys(%r, 0)
has["tcp_listen"] = 1
states = %r
reaching = []
def expect(s, state):
    has["tcp_" + state] += 1
    reaching.append((s, state))
def state_of(s):
    return states.get(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
def expect_pair(to, family=four):
    for s in connect(to, family):
        expect(s, "established")
for i in range(3):
    expect_pair(listener)
try:
    expect_pair(listen(six), six)
    has["tcp_listen"] += 1
except OSError:
    pass
try:
    expect_pair(listen(protocol=262)) # MPTCP, to which one of TCP has come
    has["tcp_listen"] += 1
except OSError:
    pass
for i in range(2):
    client, server = connect(listener)
    client.shutdown(socket.SHUT_WR)
    expect(client, "fin_wait2")
    expect(server, "close_wait")
# data that nobody takes stands before the end
client, server = connect(listener)
fill(client)
client.shutdown(socket.SHUT_WR)
expect(client, "fin_wait1")
expect(server, "established")
client, server = connect(listener)
fill(client)
client.shutdown(socket.SHUT_WR)
server.shutdown(socket.SHUT_WR)
expect(client, "closing")
expect(server, "fin_wait2")
client, server = connect(listener)
client.shutdown(socket.SHUT_WR)
fill(server)
server.shutdown(socket.SHUT_WR)
expect(client, "fin_wait2")
expect(server, "last_ack")
# the first fills the queue of connections that are to be accepted, once it has come there; the
# others get no answer; this and its first client are seen established by the client alone
full = listen(backlog=0)
expect(full, "listen")
first = make(four, stream)
first.connect(full.getsockname())
expect(first, "established")
select.select([full], [], [])
for i in range(2):
    s = make(four, stream)
    s.setblocking(False)
    s.connect_ex(full.getsockname())
    expect(s, "syn_sent")
# nobody's: over, and not accepted
client, server = connect(listener)
for s in client, server:
    kept.remove(s)
    s.close()
# in no connection
make(four, stream)
refused = make(four, stream)
refused.bind(("127.0.0.1", 0))
has["tcp_close"] = 2
# UDP: with a port, and one without
for family, host in (four, "127.0.0.1"), (six, "::1"):
    try:
        make(family, datagram).bind((host, 0))
        has["udp_socket"] += 1
    except OSError:
        pass
s = make(four, datagram)
s.connect(("127.0.0.1", 9))
has["udp_socket"] += 1
make(four, datagram)
# local, and some that are not counted
kept += socket.socketpair()
make(socket.AF_UNIX, datagram)
make(socket.AF_UNIX, stream).bind("\\0proctally-test-%%d" %% os.getpid())
has["unix_socket"] += 4
make(socket.AF_NETLINK, socket.SOCK_RAW)
# the same by other descriptors
again = [os.dup(s.fileno()) for s in kept]
until = time.monotonic() + 30
while (late := [w for s, w in reaching if state_of(s) != w]) and time.monotonic() < until:
    time.sleep(0.01)
say(has=has, late=late)
while wait():
    say()
""" % (FIELDS, TCP_STATES)


def sources():
    """Each source that there is; or that SOURCE in the environment names."""
    only = os.environ.get("SOURCE")
    if only in (None, "procfs"):
        yield "procfs"
    if only == "procfs":
        return
    d = Driver("--source", "bpf", first=False, source="auto")
    d.process.stdin.close()
    if d.process.wait(60) == 0:
        yield "bpf"
    elif is_root():
        print("no source bpf: " + d.errors().strip())


def watch(source, *flags, **how):
    return Driver("--collect", "sockets", *flags, source=source, **how)


def fields_of(point, source, names=FIELDS):
    names = (*names, *BY_BPF) if source == "bpf" else names
    return {f: point.fields.get(f) for f in names}


def of_kernel(pid):
    """What /proc/net says of the inodes that the process has."""
    inodes = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        m = re.match(r"socket:\[(\d+)\]\Z", os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        if m:
            inodes.add(m.group(1))
    found = dict.fromkeys(FIELDS, 0)
    for table, at in ("tcp", 9), ("tcp6", 9), ("udp", 9), ("udp6", 9), ("unix", 6):
        path = "/proc/%d/net/%s" % (pid, table)
        for line in read_text(path).splitlines()[1:] if os.path.exists(path) else ():
            words = line.split()
            if words[at] in inodes:
                found["tcp_" + TCP_STATES[int(words[3], 16)] if table.startswith("tcp") else
                      table.rstrip("6") + "_socket"] += 1
    return found


def case_states():
    """Those of each state, counted once however many descriptors lead to them."""
    w = Workload(STATES)
    told = w.hear()
    check_equal(told["late"], [], "states that were not reached")
    has = told["has"]
    wanted = {f: n for f, n in has.items() if f not in BY_BPF}
    check(all(n > 0 for n in has.values()), "the workload has some of each", has)
    for source in sources():
        found = fields_of(watch(source).collect()[w.name], source)
        check_equal(found, {f: has[f] for f in found}, "sockets, by source " + source)
    found = of_kernel(w.pid)
    found["tcp_listen"] = wanted["tcp_listen"] # MPTCP is in no table of /proc/net
    check_equal(found, wanted, "sockets, by /proc/net")


SHARING = HEAD + """
listener = listen()
connect(listener)
kept += socket.socketpair()
for name in sys.argv[1:]:
    if os.fork() == 0:
        if name != "-":
            set_name(name.encode())
        break
else:
    say()
wait()
"""


def case_shared():
    """A socket that several processes have counts once for each group."""
    other = unique("s")
    w = Workload(SHARING, args=["-", "-", other])
    w.hear()
    time.sleep(0.3)
    for source in sources():
        points = watch(source).collect()
        for name, members in (w.name, 3), (other, 1):
            point = points[name]
            check_equal(point.fields["num_procs"], members, "processes")
            check_equal([point.fields[f] for f in ("tcp_listen", "tcp_established", "unix_socket")],
                        [1, 2, 2], "sockets of %d processes, by source %s" % (members, source))


PEER = HEAD + """
s = make(four, stream)
s.connect(("127.0.0.1", int(sys.argv[1])))
say()
wait()
s.shutdown(socket.SHUT_WR)
say()
wait()
"""
SERVER = HEAD + """
listener = listen()
say(port=listener.getsockname()[1])
wait()
kept.append(listener.accept()[0])
say()
wait()
kept.append(listener.accept()[0])
say()
wait()
"""


def case_asleep():
    """The sockets of a process that sleeps change by what others do; and new ones are seen."""
    for source in sources():
        server = Workload(SERVER)
        port = server.hear()["port"]
        peers = []
        for _ in range(2): # one after another: they are accepted in this order
            peers.append(Workload(PEER, args=[str(port)]))
            peers[-1].hear()
        d = watch(source)

        def check_server(what, listening, established, close_wait):
            for _ in range(3): # it is asleep in the later ones
                fields = d.collect()[server.name].fields
                check_equal((fields["tcp_listen"], fields["tcp_established"],
                             fields["tcp_close_wait"]), (listening, established, close_wait),
                            "%s, by source %s" % (what, source))

        check_server("not accepted yet", 1, 0, 0)
        server.go_on()
        server.hear()
        check_server("one accepted", 1, 1, 0)
        peers[0].go_on()
        peers[0].hear()
        wait_for(lambda: of_kernel(server.pid)["tcp_close_wait"] == 1, "the peer's end")
        check_server("it has ended", 1, 0, 1)
        server.go_on()
        server.hear()
        check_server("another accepted", 1, 1, 1)
        server.end()
        fields = d.collect()[server.name].fields
        check_equal((fields["tcp_listen"], fields["tcp_established"], fields["num_procs"]),
                    (0, 0, 0), "when it is gone, by source " + source)


IN_A_NAMESPACE = HEAD + """
import fcntl, struct
s = make(four, datagram)
fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 1 | 64)) # up
kept.clear()
s.close()
say()
wait()
connect(listen())
say()
wait()
"""


def case_other_namespace():
    """In another network namespace: source bpf sees into all. For procfs they are not known,
    which is not 0, as long as there are any."""
    unshare = [need_program("unshare"), "-n", "--"]
    if run([*unshare, "true"])[0] != 0:
        raise Skipped("no network namespaces can be made")
    for source in sources():
        w = Workload(IN_A_NAMESPACE, prefix=unshare)
        w.hear()
        d = watch(source)
        d.collect()
        check_equal(d.points[w.name].fields["tcp_established"], 0,
                    "of one without sockets, by source " + source)
        w.go_on()
        w.hear()
        time.sleep(0.2)
        point = d.collect()[w.name]
        if source == "bpf":
            check_equal((point.fields["tcp_established"], point.fields["tcp_listen"]), (2, 1),
                        "in the other namespace, by source bpf")
            check("other network namespaces" not in d.errors(), "no notice", d.errors())
            continue
        check_equal(fields_of(point, source), dict.fromkeys(FIELDS), "not known to procfs")
        check_equal(point.fields["unreadable"], 1, "the process is unreadable")
        said = d.errors().count("other network namespaces")
        check_equal(said, 1, "notices (%s)" % d.errors())
        d.collect()
        check_equal(d.errors().count("other network namespaces"), 1, "told once")
        inside = watch(source, prefix=["nsenter", "--net=/proc/%d/ns/net" % w.pid, "--"])
        fields = inside.collect()[w.name].fields
        check_equal((fields["tcp_established"], fields["tcp_listen"]), (2, 1),
                    "by procfs inside of it")


def case_without_rights():
    """Those of other users are not known; one's own are."""
    if not is_root():
        raise Skipped("not root")
    os.chmod(temp_dir(), 0o755)
    w = Workload(SHARING)
    w.hear()
    own = Workload(SHARING, prefix=as_nobody())
    own.hear()
    d = watch("procfs", prefix=as_nobody())
    d.collect()
    point = d.points[w.name]
    check_equal(fields_of(point, "procfs"), dict.fromkeys(FIELDS), "of another user")
    check_equal(point.fields["unreadable"], 1, "unreadable")
    fields = d.points[own.name].fields
    check_equal((fields.get("tcp_listen"), fields.get("tcp_established"),
                 fields.get("unix_socket")), (1, 2, 2), "one's own")


# Its main thread ends; another one stays, with a socket that listens.
OUTLIVED = """
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
static void *stay(void *unused) {
    pause();
    return unused;
}
int main(void) {
    pthread_t thread;
    if (listen(socket(AF_INET, SOCK_STREAM, 0), 1) < 0 || pthread_create(&thread, 0, stay, 0))
        return 1;
    pthread_exit(0);
}
"""


def case_outlived_its_main_thread():
    """The kernel leads to sockets, descriptors and memory by the main thread alone: without it
    they are not known, and not 0."""
    cc = need_program(os.environ.get("CC", "cc"), "gcc", "clang")
    name = unique("out")
    path = os.path.join(temp_dir(), name)
    status, out, err = run([cc, "-pthread", "-o", path, write_text(path + ".c", OUTLIVED)])
    check_equal(status, 0, "status of the compiler (%s)" % err)
    process = start([path])
    later(stop, process)
    wait_for(lambda: "State:\tZ" in read_text("/proc/%d/status" % process.pid), "the thread's end")
    for source in sources():
        d = watch(source)
        for _ in range(3):
            fields = d.collect()[name].fields
            check_equal((fields["num_threads"], fields["unreadable"]), (2, 0),
                        "threads and unreadable, by source " + source)
            check_equal([f for f in fields if f in FIELDS or "memory" in f or "num_fds" in f], [],
                        "what nobody knows, by source " + source)


def case_off():
    """By default nothing of it is there."""
    w = Workload(SHARING)
    w.hear()
    for source in sources():
        d = Driver(source=source)
        check_equal([f for f in d.points.text.split() if "tcp_" in f or "unreadable_so" in f], [],
                    "fields, by source " + source)


# Linux: seccomp(2) with a filter that refuses sockets of one family.
REFUSING = """
import ctypes, os, struct, sys
# load the number of the call; is it socket(2)? load its first argument; AF_NETLINK?
number, arch_argument = %d, 16
code = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, arch_argument), (0x15, 0, 1, 16),
        (0x06, 0, 0, 0x00050000 | 1), (0x06, 0, 0, 0x7fff0000)]
text = b"".join(struct.pack("HBBI", *c) for c in code)
buffer = ctypes.create_string_buffer(text)
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def case_refused():
    """Where sock_diag may not be asked nothing is known, and that is said once."""
    number = {"x86_64": 41, "aarch64": 198, "riscv64": 198}.get(os.uname().machine)
    if number is None:
        raise Skipped("the number of socket(2) is not known here")
    prefix = [PYTHON, "-I", "-S", "-c", REFUSING % number]
    w = Workload(SHARING)
    w.hear()
    d = watch("procfs", prefix=prefix)
    for _ in range(2):
        point = d.collect()[w.name]
    check_equal(fields_of(point, "procfs"), dict.fromkeys(FIELDS), "sockets")
    check_equal(point.fields["unreadable"], 0, "that is no fault of the process")
    check_equal(d.errors().count("sockets are missing: sock_diag"), 1, d.errors())


MANY = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]) + 100,) * 2)
kept = socket.socketpair()
for i in range(int(sys.argv[1])):
    os.dup(0)
say()
while wait():
    say()
"""


def case_many():
    """More descriptors than procfs looks at in one collection: the processes take turns."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    each = 18000 # for 9 of them it takes three collections, of which the first is not shown
    if limit < each + 200:
        raise Skipped("only %d descriptors are allowed" % limit)
    parts = [Workload(MANY, args=[str(each)]) for _ in range(9)]
    for w in parts:
        w.hear()
    for source in sources():
        d = watch(source, first=False)
        seen = []
        for _ in range(5):
            for w in parts: # awake
                w.go_on()
                w.hear()
            points = d.collect()
            seen.append([points[w.name].fields.get("unix_socket") for w in parts])
            unreadable = [points[w.name].fields["unreadable"] for w in parts]
            check_equal([u == 0 for u in unreadable], [s is not None for s in seen[-1]],
                        "what is not known is unreadable")
        check_equal(set(sum(seen, [])) - {None}, {2}, "all of a process, or not known")
        check_equal(seen[-1], [2] * len(parts), "in the end, by source " + source)
        check_equal(None in seen[0], source == "procfs", "not all at first, by source " + source)


run_cases(sys.modules[__name__])
