#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""Traffic per group with source bpf, against what the interfaces counted: whose it
is when sockets are handed on, what is sent after an end, and that nothing stays
behind or gets in the way of others on the same control group."""
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

from common import *

# Beside which a group's traffic is compared. Connections in TIME_WAIT have no socket
# any more, so the last two packets of some belong to nobody.
NEAR = 0.01
ETHERNET_HEADER = 14

FIELDS = ["net_%s_%s_%s" % (way, unit, protocol) for protocol in ("tcp", "udp")
          for way in ("recv", "sent") for unit in ("bytes", "packets")]

# What the workloads share. The reader of a stream says what it got.
NET = """
import socket, struct
V4, V6 = socket.AF_INET, socket.AF_INET6
def stream_to(address, family=V4):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.connect(tuple(address))
    return s
def listen(family=V4, host=None, backlog=128):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.bind((host or ("::1" if family == V6 else "127.0.0.1"), 0))
    s.listen(backlog)
    return s
def take(s, count):
    left = count
    while left:
        data = s.recv(min(left, 65536))
        if not data:
            break
        left -= len(data)
    return count - left
def take_all(s):
    return take(s, 1 << 40)
"""


class Net:
    """Two network namespaces and a cable between them."""

    def __init__(self):
        base = "pt%d" % os.getpid()
        self.names = [base + "a", base + "b"]
        for name in self.names:
            self.ip("netns", "add", name)
            later(self.ip, "netns", "del", name)
            # nobody else's packets: no reports of listeners, no router solicitations
            self.ip("-n", name, "link", "set", "lo", "up")
        self.ip("link", "add", base + "a", "netns", self.names[0], "type", "veth", "peer", "name",
                base + "b", "netns", self.names[1])
        for i, name in enumerate(self.names):
            self.ip("-n", name, "addr", "add", "192.0.2.%d/24" % (i + 1), "dev", name)
            self.ip("-n", name, "addr", "add", "2001:db8::%d/64" % (i + 1), "dev", name, "nodad")
            self.ip("-n", name, "link", "set", name, "up")

    @staticmethod
    def ip(*args):
        status, out, err = run([need_program("ip"), *args])
        check_equal(status, 0, "status of ip %s (%s)" % (" ".join(args), err))
        return out

    def inside(self, i):
        """The beginning of a command that runs the rest in one of them."""
        return ["nsenter", "--net=/run/netns/" + self.names[i], "--"]

    def counted(self, i, device):
        """(bytes from the IP header on, packets) that the interface has sent."""
        device = self.names[i] if device == "veth" else device
        stats = json.loads(self.ip("-n", self.names[i], "-s", "-j", "link", "show", device))
        tx = stats[0]["stats64"]["tx"]
        header = 0 if device == "lo" else ETHERNET_HEADER
        return tx["bytes"] - header * tx["packets"], tx["packets"]

    def segments(self, i):
        """What the kernel's TCP has sent there: an interface takes what it is to cut into
        several for one."""
        text = run([*self.inside(i), "cat", "/proc/net/snmp"])[1]
        names, values = [l.split() for l in text.split("\n") if l.startswith("Tcp:")]
        return sum(int(values[names.index(n)]) for n in ("OutSegs", "RetransSegs"))


net = None
driver = None


def in_net(code, name=None, at=0, **how):
    return Workload(NET + code, name=name, prefix=net.inside(at), **how)


def traffic(name):
    point = driver.points.get(name)
    return {f: point.fields.get(f) for f in FIELDS} if point else None


def settled(condition, what, using=None):
    """Collects until the condition holds; up to 15 seconds, since the kernel drops an
    event now and then that is made up for after five."""
    def look():
        (using or driver).collect()
        result = condition()
        return True if result is None else result
    return wait_for(look, what, seconds=15, every=0.3)


def of(name, *fields):
    """The sum of fields of a group, all of which must be there."""
    found = traffic(name)
    check(found, "there is no group %s" % name)
    check(None not in found.values(), "traffic of %s is not complete" % name, found)
    return sum(found["net_" + f] for f in fields)


def check_carries(found, payload, what):
    """The payload and its headers; on a busy host some of it is sent twice."""
    check(payload <= found <= payload * 1.4 + 5000,
          "%s: found %d bytes, the payload was %d" % (what, found, payload))


# ---- Amounts ---------------------------------------------------------------------------

TCP_SERVER = """
family = V6 if sys.argv[1] == "6" else V4
l = listen(family, sys.argv[2])
say(address=l.getsockname())
s = l.accept()[0]
got = take(s, 4000000)
s.sendall(bytes(1000000))
s.shutdown(socket.SHUT_WR)
take_all(s)
say(got=got)
"""
TCP_CLIENT = """
family = V6 if sys.argv[1] == "6" else V4
s = stream_to(json.loads(sys.argv[2]), family)
s.sendall(bytes(4000000))
got = take(s, 1000000)
take_all(s)
s.close()
say(got=got)
"""
# never more under way than the receiver has room for
UDP_SERVER = """
family = V6 if sys.argv[1] == "6" else V4
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[2], 0))
say(address=s.getsockname())
for i in range(100):
    for j in range(10):
        data, peer = s.recvfrom(65536)
    s.sendto(bytes(500), peer)
say(got=1000)
"""
UDP_CLIENT = """
family = V6 if sys.argv[1] == "6" else V4
address = tuple(json.loads(sys.argv[2]))
s = socket.socket(family, socket.SOCK_DGRAM)
is_connected = family == V4
if is_connected:
    s.connect(address)
for i in range(100):
    for j in range(10):
        if is_connected:
            s.send(bytes(1000))
        else:
            s.sendto(bytes(1000), address)
    s.recv(65536)
say(got=100)
"""


def case_amounts():
    """Known flows over both protocols and both versions of IP, on loopback and between
    two namespaces; connected and unconnected UDP."""
    flows = []
    for device in ("lo", "veth"):
        for version in ("4", "6"):
            for protocol in ("tcp", "udp"):
                at = 1 if device == "veth" else 0
                host = {"lo4": "127.0.0.1", "lo6": "::1", "veth4": "192.0.2.2",
                        "veth6": "2001:db8::2"}[device + version]
                server = in_net(TCP_SERVER if protocol == "tcp" else UDP_SERVER,
                                unique("srv"), at, args=[version, host])
                address = json.dumps(server.hear()["address"])
                before = [net.counted(0, device), net.counted(at, device)]
                segments = [net.segments(0), net.segments(at)]
                client = in_net(TCP_CLIENT if protocol == "tcp" else UDP_CLIENT,
                                unique("cli"), args=[version, address])
                client.hear()
                server.hear()
                client.end()
                server.end()
                sent = [tuple(a - b for a, b in zip(net.counted(i, device), was))
                        for i, was in zip((0, at), before)]
                if protocol == "tcp":
                    sent = [(s[0], net.segments(i) - was)
                            for s, i, was in zip(sent, (0, at), segments)]
                flows.append((device, version, protocol, client.name, server.name, sent))

    def all_near():
        for device, version, protocol, client, server, sent in flows:
            what = "%s, IPv%s, %s" % (device, version, protocol)
            for i, unit in enumerate(("bytes", "packets")):
                found = {(n, way): of(n, "%s_%s_%s" % (way, unit, protocol))
                         for n in (client, server) for way in ("recv", "sent")}
                if device == "lo":  # both are sent by the one interface
                    pairs = [(found[client, "sent"] + found[server, "sent"], sent[0][i])]
                else:
                    pairs = [(found[client, "sent"], sent[0][i]),
                             (found[server, "sent"], sent[1][i])]
                pairs += [(found[client, "sent"], found[server, "recv"]),
                          (found[server, "sent"], found[client, "recv"])]
                for a, b in pairs:
                    check_near(a, b, "%s %s" % (what, unit), relative=NEAR, absolute=5 * (i == 1))
            other = "udp" if protocol == "tcp" else "tcp"
            for name in (client, server):
                check_equal(of(name, *["%s_%s_%s" % (way, unit, other) for way in ("recv", "sent")
                                       for unit in ("bytes", "packets")]), 0,
                            "%s: traffic over %s" % (what, other))

    try:
        settled(all_near, "the amounts")
    finally:
        for device, version, protocol, client, server, sent in flows:
            print("      %s IPv%s %s: counted %s, found %s / %s" % (
                device, version, protocol, sent,
                [(of(n, "sent_bytes_" + protocol), of(n, "sent_packets_" + protocol))
                 for n in (client, server)],
                [(of(n, "recv_bytes_" + protocol), of(n, "recv_packets_" + protocol))
                 for n in (client, server)]))


def case_short_connections():
    """Many short processes, each with a connection of its own, all between two
    collections."""
    count = 100
    server = in_net("""
l = listen()
say(address=l.getsockname())
for i in range(int(sys.argv[1])):
    s = l.accept()[0]
    take(s, 20000)
    s.sendall(bytes(5000))
    s.close()
say(done=True)
""", unique("srv"), args=[str(count)])
    address = server.hear()["address"]
    name = unique("short")
    before = net.counted(0, "lo")
    client = in_net("""
for i in range(int(sys.argv[1])):
    if os.fork() == 0:
        set_name(sys.argv[2].encode())
        s = stream_to(json.loads(sys.argv[3]))
        s.sendall(bytes(20000))
        take(s, 5000)
        os._exit(0)
    if i % 5 == 4:
        for j in range(5):
            os.wait()
say(done=True)
""", args=[str(count), name, json.dumps(address)])
    client.hear()
    server.hear()
    client.end()
    server.end()
    sent = net.counted(0, "lo")[0] - before[0]

    def all_there():
        check_carries(of(name, "sent_bytes_tcp"), count * 20000, "sent by the short ones")
        check_carries(of(name, "recv_bytes_tcp"), count * 5000, "received by the short ones")
        check_near(of(name, "sent_bytes_tcp") + of(server.name, "sent_bytes_tcp"), sent,
                   "bytes of short connections", relative=NEAR)
        check_equal(of(client.name, "sent_bytes_tcp"), 0, "bytes of their parent")
    settled(all_there, "the short connections")
    print("      counted %d, found %d" % (
        sent, of(name, "sent_bytes_tcp") + of(server.name, "sent_bytes_tcp")))


# ---- Whose it is ----------------------------------------------------------------------------

SENDER = """
s = stream_to(json.loads(sys.argv[1]))
s.sendall(bytes(int(sys.argv[2])))
say(sent=True)
wait()
take_all(s)
"""


def sender(address, count):
    w = in_net(SENDER, unique("snd"), args=[json.dumps(address), str(count)])
    w.hear()
    return w


def check_handed_on(maker, users, way):
    """Whose are the bytes that the users, name -> payload, had on sockets that the maker
    made: theirs, but before Linux 6.3, which does not tell who uses a socket, all of them are
    the maker's."""
    field = "%s_bytes_tcp" % way
    if KERNEL < (6, 3):
        check_carries(of(maker, field), sum(users.values()), "%s by who made the socket" % way)
        users = dict.fromkeys((n for n in users if n in driver.points), 0)
    else:
        check(of(maker, field) < 2000, "%s by who made the socket" % way)
    for name, payload in users.items():
        if payload:
            check_carries(of(name, field), payload, "%s by %s" % (way, name))
        else:
            check(of(name, field) < 2000, "%s by %s, which nobody told" % (way, name))


def case_forked_children():
    """A parent listens; its children, under other names, accept or are given what the
    parent has accepted."""
    names = [unique("c1"), unique("c2")]
    parent = in_net("""
l = listen()
say(address=l.getsockname())
for i, name in enumerate(sys.argv[1:]):
    accepted = l.accept()[0] if i else None   # the second is accepted before the fork
    if os.fork() == 0:
        set_name(name.encode())
        s = accepted or l.accept()[0]
        say(got=take(s, 1000000 * (i + 1)))
        s.sendall(bytes(100000))
        s.close()
        os._exit(0)
    if accepted:
        accepted.close()
    os.wait()
say(done=True)
wait()
""", unique("par"), args=names)
    address = parent.hear()["address"]
    for i in range(2):
        s = sender(address, 1000000 * (i + 1))
        check_equal(parent.hear()["got"], 1000000 * (i + 1), "received")
        s.end()
    parent.hear()

    def all_there():
        check_handed_on(parent.name, {names[0]: 1000000, names[1]: 2000000}, "recv")
        # what acknowledges it is sent too, before anybody has read
        check_handed_on(parent.name, dict.fromkeys(names, 100000), "sent")
    settled(all_there, "the children's traffic")


def case_another_user():
    """The child that serves a connection is another user's."""
    by_user = Driver("--group-by", "name,user", source="bpf")
    parent = in_net("""
l = listen()
say(address=l.getsockname())
s = l.accept()[0]
if os.fork() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    say(got=take(s, 1000000))
    os._exit(0)
s.close()
os.wait()
wait()
""", unique("usr"))
    s = sender(parent.hear()["address"], 1000000)
    parent.hear()
    s.end()

    def all_there():
        own = [p for n, p in by_user.points.items() if p.tags.get("name") == parent.name
               or n.startswith(parent.name)]
        amounts = sorted(p.fields["net_recv_bytes_tcp"] for p in own)
        check(len(own) == 2, "not two groups", [p.tags for p in own])
        check(amounts[0] < 2000, "both received something", amounts)
        check_carries(amounts[1], 1000000, "received")
        maker = [p.fields["net_recv_bytes_tcp"] for p in own if p.tags.get("user") == "root"]
        check_equal(maker, [amounts[0 if KERNEL >= (6, 3) else 1]], "received by who accepts")
    settled(all_there, "the traffic of both users", by_user)
    by_user.end()


def case_handed_on():
    """One process listens and accepts, another one reads and writes: it is handed the
    descriptor over a socket, or executed with it. What came before its first read is its
    own too."""
    names = [unique("scm"), unique("exe")]
    directory = temp_dir()
    worker = linked(directory, names[1], PYTHON)
    acceptor = in_net("""
import array
l = listen()
say(address=l.getsockname())
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
if os.fork() == 0:
    set_name(sys.argv[1].encode())
    l.close()
    ours.close()
    _, control, _, _ = theirs.recvmsg(1, 64)
    fd = struct.unpack("i", control[0][2][:4])[0]
    s = socket.socket(fileno=fd)
    os.read(0, 1)
    say(got=take(s, 50000))
    s.sendall(bytes(50000))
    os._exit(0)
s = l.accept()[0]
ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", s.fileno()))])
s.close()
os.wait()
s = l.accept()[0]
if os.fork() == 0:
    os.dup2(s.fileno(), 3)
    os.execv(sys.argv[2], [sys.argv[2], "-I", "-S", "-c", sys.argv[3]])
s.close()
os.wait()
say(done=True)
wait()
""", unique("acc"), args=[names[0], worker, """
import os, socket
s = socket.socket(fileno=3)
os.read(0, 1)
got = 0
while got < 50000:
    got += len(s.recv(65536))
s.sendall(bytes(50000))
os.write(1, b'{"got": %d}\\n' % got)
"""])
    address = acceptor.hear()["address"]
    for name in names:
        # fits into the buffers of the kernel, so that it is there before anyone reads
        s = sender(address, 50000)
        acceptor.go_on()
        check_equal(acceptor.hear()["got"], 50000, "received")
        s.end()
    acceptor.hear()

    def all_there():
        for way in "recv", "sent":
            check_handed_on(acceptor.name, dict.fromkeys(names, 50000), way)
    settled(all_there, "the traffic of handed on connections")


def case_never_read():
    """Nobody reads from a connection, accepted or not: it is the listener's."""
    listener = in_net("""
l = listen()
say(address=l.getsockname())
wait()
if sys.argv[1] == "accept":
    l.accept()[0].close()
l.close()
say(done=True)
wait()
""", args=["accept"])
    deaf = in_net("""
l = listen()
say(address=l.getsockname())
wait()
l.close()
say(done=True)
wait()
""")
    for w in (listener, deaf):
        s = sender(w.hear()["address"], 50000)
        w.go_on()
        w.hear()
        s.process.kill()

    def all_there():
        for w in (listener, deaf):
            check_carries(of(w.name, "recv_bytes_tcp"), 50000, "received by nobody")
    settled(all_there, "what nobody read")


def case_sent_after_the_end():
    """The kernel still sends what a process has left behind that has ended."""
    size = 1000000
    reader = in_net("""
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
l.bind(("127.0.0.1", 0))
l.listen(1)
say(address=l.getsockname())
s = l.accept()[0]
wait()
say(got=take_all(s))
""", unique("slow"))
    writer = in_net("""
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, 32, %d)   # SO_SNDBUFFORCE
s.connect(tuple(json.loads(sys.argv[1])))
s.setblocking(False)
say(sent=s.send(bytes(%d)))
s.close()
""" % (4 * size, size), unique("gone"), args=[json.dumps(reader.hear()["address"])])
    check_equal(writer.hear()["sent"], size, "taken by the kernel at once")
    writer.end()
    settled(lambda: driver.points[writer.name].fields["num_procs"] == 0, "the end of the writer")
    check(of(writer.name, "sent_bytes_tcp") < size / 2, "the reader was not slow")
    reader.go_on()
    check_equal(reader.hear()["got"], size, "received")

    def all_there():
        check_carries(of(writer.name, "sent_bytes_tcp"), size, "sent after the end")
        check_carries(of(reader.name, "recv_bytes_tcp"), size, "received after the end")
    settled(all_there, "what was sent after the end")


def case_mptcp():
    """Programs in Go listen with MPTCP, whose sockets of TCP the kernel makes by itself: to
    plain TCP, which most clients speak, and to MPTCP."""
    if KERNEL < (5, 11):
        raise Skipped("there they belong to nobody")
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
    except OSError as e:
        raise Skipped("no MPTCP: %s" % e)
    for protocol in 0, 262:
        server = in_net("""
l = socket.socket(V4, socket.SOCK_STREAM, 262)
l.bind(("127.0.0.1", 0))
l.listen()
say(address=l.getsockname())
s = l.accept()[0]
say(got=take(s, 200000))
s.sendall(bytes(100000))
wait()
""", unique("mps"))
        client = in_net("""
s = socket.socket(V4, socket.SOCK_STREAM, int(sys.argv[2]))
s.connect(tuple(json.loads(sys.argv[1])))
s.sendall(bytes(200000))
say(got=take(s, 100000))
s.close()
wait()
""", unique("mpc"), args=[json.dumps(server.hear()["address"]), str(protocol)])
        check_equal(server.hear()["got"], 200000, "received by the server")
        check_equal(client.hear()["got"], 100000, "received by the client")
        client.end()
        server.end()

        def all_there():
            for name, received, sent in ((server.name, 200000, 100000),
                                         (client.name, 100000, 200000)):
                check_carries(of(name, "recv_bytes_tcp"), received, "received by " + name)
                check_carries(of(name, "sent_bytes_tcp"), sent, "sent by " + name)
        settled(all_there, "traffic of clients with protocol %d" % protocol)
    # many: what one brings counts once
    server = in_net("""
l = socket.socket(V4, socket.SOCK_STREAM, 262)
l.bind(("127.0.0.1", 0))
l.listen()
say(address=l.getsockname())
for _ in range(200):
    take(l.accept()[0], 1000)
say(done=True)
wait()
""", unique("mpm"))
    client = in_net("""
for _ in range(200):
    s = socket.socket(V4, socket.SOCK_STREAM, 262)
    s.connect(tuple(json.loads(sys.argv[1])))
    s.sendall(bytes(1000))
    s.close()
say(done=True)
wait()
""", unique("mpn"), args=[json.dumps(server.hear()["address"])])
    client.hear()
    server.hear()

    def near():
        sent, received = of(client.name, "sent_bytes_tcp"), of(server.name, "recv_bytes_tcp")
        check(sent > 200000, "sent", sent)
        check_near(received, sent, "received of what was sent", relative=0.05)
    settled(near, "many connections")
    # plain TCP is the child's that uses it
    name = unique("mpk")
    parent = in_net("""
l = socket.socket(V4, socket.SOCK_STREAM, 262)
l.bind(("127.0.0.1", 0))
l.listen()
say(address=l.getsockname())
if os.fork() == 0:
    set_name(sys.argv[1].encode())
    os.read(0, 1)
    say(got=take(l.accept()[0], 200000))
    os._exit(0)
os.wait()
wait()
""", unique("mpp"), args=[name])
    s = sender(parent.hear()["address"], 200000)
    parent.go_on()
    check_equal(parent.hear()["got"], 200000, "received by the child")
    s.end()
    settled(lambda: check_handed_on(parent.name, {name: 200000}, "recv"), "the child's traffic")


OLD_SERVER = """
l = listen()
u = socket.socket(V4, socket.SOCK_DGRAM)
u.bind(("127.0.0.1", 0))
say(tcp=l.getsockname(), udp=u.getsockname())
s = l.accept()[0]
say(accepted=True)
wait()
take(s, 50000)
take(l.accept()[0], 30000)
say(got=len(u.recv(2000)))
wait()
"""
OLD_CLIENT = """
s = stream_to(json.loads(sys.argv[1]))
u = socket.socket(V4, socket.SOCK_DGRAM)
u.connect(tuple(json.loads(sys.argv[2])))
wait()
s.sendall(bytes(50000))
stream_to(json.loads(sys.argv[1])).sendall(bytes(30000))
u.send(bytes(1000))
say(done=True)
wait()
"""


def case_older_sockets():
    """Sockets that are older than the programs: a connection, the socket that it came in on,
    which goes on accepting, and two of UDP. (Before Linux 5.11 they belong to nobody.)"""
    server = in_net(OLD_SERVER, unique("oserv"))
    at = server.hear()
    client = in_net(OLD_CLIENT, unique("ocli"), args=[json.dumps(at["tcp"]), json.dumps(at["udp"])])
    server.hear()
    later_driver = Driver(source="bpf")
    server.go_on()
    client.go_on()
    client.hear()
    check_equal(server.hear()["got"], 1000, "received over UDP")

    def all_there():
        for name, way, connections in ((server.name, "recv", (50000, 30000)),
                                       (client.name, "sent", (50000, 30000))):
            point = later_driver.points.get(name)
            check(point, "there is no group %s" % name)
            tcp = point.fields.get("net_%s_bytes_tcp" % way)
            udp = point.fields.get("net_%s_bytes_udp" % way)
            if KERNEL < (5, 11):
                # the client's second connection is a new one
                new = 30000 if name == client.name else 0
                check(new <= tcp < new + 10000, "bytes of TCP of old sockets of " + name, tcp)
                check_equal(udp, 0, "bytes of UDP of old sockets of " + name)
            else:
                check_carries(tcp, sum(connections), "TCP of " + name)
                check_equal(udp, 1000 + UDP_HEADERS, "bytes of UDP of " + name)
    settled(all_there, "the traffic of old sockets", later_driver)
    later_driver.end()
    client.end()
    server.end()


def case_older_listener():
    """It speaks first on what it accepts, a hundred times: the handshakes of one connection,
    which the kernel has with the listener, do not count for all that follow."""
    if KERNEL < (5, 11):
        raise Skipped("there they belong to nobody")
    server = in_net("""
l = listen()
say(address=l.getsockname())
wait()
for _ in range(100):
    s = l.accept()[0]
    s.sendall(bytes(1000))
    take_all(s)
say(done=True)
wait()
""", unique("ols"))
    address = server.hear()["address"]
    later_driver = Driver(source="bpf")
    server.go_on()
    client = in_net("""
for _ in range(100):
    s = stream_to(json.loads(sys.argv[1]))
    take(s, 1000)
    s.close()
say(done=True)
wait()
""", unique("olc"), args=[json.dumps(address)])
    client.hear()
    server.hear()

    def near():
        points = later_driver.points
        check({client.name, server.name} <= set(points), "the groups are not there")
        for way, other in ("sent", "recv"), ("recv", "sent"):
            field = "net_%s_bytes_tcp"
            of_client = points[client.name].fields[field % other]
            # its listener's part of the handshakes is nobody's, from Linux 6.3 on
            check(0.9 * of_client - 100 * 200 <= points[server.name].fields[field % way] <=
                  1.05 * of_client, "the server's part", way, of_client,
                  points[server.name].fields)
    settled(near, "the connections", later_driver)
    later_driver.end()
    client.end()
    server.end()


def case_splice():
    """Bytes that never pass through a process are its own all the same, even if it does
    nothing else with the connection."""
    data = tempfile.NamedTemporaryFile(dir=temp_dir())
    data.write(bytes(1000000))
    data.flush()
    name = unique("spl")
    server = in_net("""
l = listen()
say(address=l.getsockname())
s = l.accept()[0]
if os.fork() == 0:
    set_name(sys.argv[1].encode())
    null = os.open("/dev/null", os.O_WRONLY)
    r, w = os.pipe()
    splice = ctypes.CDLL(None).splice
    got = 0
    while True:
        n = splice(s.fileno(), None, w, None, ctypes.c_size_t(65536), 0)
        if n <= 0:
            break
        got += n
        while n > 0:
            n -= splice(r, None, null, None, ctypes.c_size_t(n), 0)
    say(got=got)
    os._exit(0)
s.close()
os.wait()
wait()
""", unique("lst"), args=[name])
    client = in_net("""
s = stream_to(json.loads(sys.argv[1]))
f = os.open(sys.argv[2], os.O_RDONLY)
at = 0
while at < 1000000:
    at += os.sendfile(s.fileno(), f, at, 1000000 - at)
s.close()
say(done=True)
wait()
""", unique("sfl"), args=[json.dumps(server.hear()["address"]), data.name])
    client.hear()
    check_equal(server.hear()["got"], 1000000, "spliced")

    def all_there():
        check_carries(of(client.name, "sent_bytes_tcp"), 1000000, "sent with sendfile()")
        check_handed_on(server.name, {name: 1000000}, "recv")
    settled(all_there, "sendfile() and splice()")


def case_first_send():
    """A child sends on a connection that its parent has made: what the first call sends
    is the child's already, however long that call takes. (From Linux 6.3 to 6.15 that is
    still the parent's, until the call, or a part of it, has returned.)"""
    names = [unique("wr"), unique("sf")]
    data = tempfile.NamedTemporaryFile(dir=temp_dir())
    data.write(bytes(3000000))
    data.flush()
    for name in names:
        server = in_net("""
l = listen()
say(address=l.getsockname())
say(got=take_all(l.accept()[0]))
""")
        client = in_net("""
s = stream_to(json.loads(sys.argv[1]))
if os.fork() == 0:
    set_name(sys.argv[2].encode())
    if sys.argv[3]:
        left = 3000000
        f = os.open(sys.argv[3], os.O_RDONLY)
        while left:
            left -= os.sendfile(s.fileno(), f, None, left)
    else:
        s.sendall(bytes(3000000))
    os._exit(0)
os.wait()
s.close()
say(done=True)
wait()
""", unique("opn"), args=[json.dumps(server.hear()["address"]), name,
                          data.name if name == names[1] else ""])
        check_equal(server.hear()["got"], 3000000, "received")

        def all_there():
            if (6, 3) <= KERNEL < (6, 16):
                by_parent = of(client.name, "sent_bytes_tcp")
                check(by_parent > 2000, "nothing that the first call sent is the parent's")
                check_carries(by_parent + of(name, "sent_bytes_tcp"), 3000000, "sent by both")
            else:
                check_handed_on(client.name, {name: 3000000}, "sent")
        settled(all_there, "what the child sent")


# ---- To the packet -----------------------------------------------------------------------------

UDP_HEADERS = 28

# Sends datagrams of 100 bytes to itself.
SELF_SENDER = """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
s.connect(s.getsockname())
def exchange(count):
    for i in range(count):
        s.send(bytes(100))
    for i in range(count):
        s.recv(200)
"""
# … so many whenever it may go on.
SENDS_ON = SELF_SENDER + """
say(begun=True)
while wait():
    exchange(int(sys.argv[1]))
    say(done=True)
"""


def datagrams(name):
    """(sent, received), if their bytes are those of so many."""
    found = traffic(name) or dict.fromkeys(FIELDS, 0)
    packets = [found["net_%s_packets_udp" % way] for way in ("sent", "recv")]
    check_equal([found["net_%s_bytes_udp" % way] for way in ("sent", "recv")],
                [n * (100 + UDP_HEADERS) for n in packets], "bytes of %s in UDP" % name)
    return tuple(packets)


def case_few_packets():
    """Three packets, and then none: the next collection has them, however many there were
    since those before, and the one after that adds nothing."""
    w = in_net(SENDS_ON, unique("few"), args=["3"])
    w.hear()
    driver.collect()
    for i in range(1, 10):
        w.go_on()
        w.hear()
        for j in range(1 + i % 4):
            driver.collect()
            check_equal(datagrams(w.name), (3 * i, 3 * i), "packets after %d times" % i)
    w.end()
    driver.collect()
    check_equal(datagrams(w.name), (27, 27), "packets in the end")


def case_killed():
    """Ten packets, and SIGKILL before any collection; and the same after one."""
    for is_listed in (False, True):
        w = in_net(SENDS_ON, unique("kill"), args=["10"])
        w.hear()
        if is_listed:
            driver.collect()
        w.go_on()
        w.hear()
        w.process.kill()
        w.process.wait()
        driver.collect()
        check_equal(datagrams(w.name), (10, 10), "packets of a killed process, %s" % (
            "listed" if is_listed else "not listed"))


def case_outlived_by_its_socket():
    """A process hands its socket to another one and is killed, with traffic that no
    collection has seen: each has its own, and all is there."""
    heir = unique("heir")
    w = in_net(SELF_SENDER + """
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
if os.fork():
    exchange(5)
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", s.fileno()))])
    say(handed_on=True)
    s.close()
    time.sleep(1000)
set_name(sys.argv[1].encode())
s.close()
_, control, _, _ = theirs.recvmsg(1, 64)
s = socket.socket(fileno=struct.unpack("i", control[0][2][:4])[0])
say(has_it=True)
while wait():
    exchange(7)
    say(done=True)
""", unique("gone"), args=[heir])
    w.hear()
    w.hear()
    w.process.kill()
    w.process.wait()
    w.go_on()
    w.hear()
    driver.collect()
    maker, user = datagrams(w.name), datagrams(heir)
    check_equal([a + b for a, b in zip(maker, user)], [12, 12], "packets of both")
    # who sends is known when the call is at its end, and before Linux 6.3 not even then
    check_equal((maker[0], user[0]), (12, 0) if KERNEL < (6, 3) else (6, 6), "sent by each")
    w.go_on()
    w.hear()
    driver.collect()
    check_equal([a + b for a, b in zip(datagrams(w.name), datagrams(heir))], [19, 19],
                "packets of both in the end")
    w.process.stdin.close()


def case_more_than_places():
    """Many processes, each with traffic over both protocols, more than there is room for beside
    the table: all of it is there, each time."""
    few = Driver("--max-processes", "2000", source="bpf")
    processes, rounds = 120, 4
    w = in_net("""
gate, go = os.pipe()
for i in range(int(sys.argv[1])):
    ready, done = os.pipe()
    if os.fork() == 0:
        os.close(go)
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.bind(("127.0.0.1", 0))
        u.connect(u.getsockname())
        l = listen()
        a = stream_to(l.getsockname())
        b = l.accept()[0]
        os.write(done, b"x")
        while os.read(gate, 1):
            u.send(bytes(100))
            u.recv(200)
            a.sendall(bytes(1000))
            take(b, 1000)
            say(done=True)
            time.sleep(0.05) # others want a turn
        os._exit(0)
    os.read(ready, 1)
say(begun=True)
while wait():
    os.write(go, bytes(int(sys.argv[1])))
""", unique("many"), args=[str(processes)])
    w.hear()
    few.collect()

    def udp():
        fields = few.points[w.name].fields
        return [fields["net_%s_%s_udp" % f] for f in
                (("sent", "packets"), ("recv", "packets"), ("sent", "bytes"), ("recv", "bytes"))]

    def tcp():
        return few.points[w.name].fields["net_sent_bytes_tcp"]
    before = tcp()
    for i in range(1, rounds + 1):
        w.go_on()
        for j in range(processes):
            w.hear()
        few.collect()
        count = i * processes
        check_equal(udp(), [count, count, count * 128, count * 128], "in round %d" % i)
        check_carries(tcp() - before, count * 1000, "sent in round %d" % i)
    w.end()
    few.end()


# ---- Absent is not zero ------------------------------------------------------------------------

def case_nothing_is_zero():
    """No traffic is 0; where it cannot be counted it is absent."""
    idle = Workload(SLEEPER, unique("idle"))
    idle.hear()
    settled(lambda: idle.name in driver.points, "the idle group")
    check_equal(traffic(idle.name), dict.fromkeys(FIELDS, 0), "traffic of an idle process")
    procfs = Driver()
    check(idle.name in procfs.points, "the idle group is not there")
    for point in procfs.points.values():
        check(not set(FIELDS) & set(point.fields), "traffic with source procfs", point.fields)
    procfs.end()


# ---- What is in the kernel ------------------------------------------------------------------------

def ids_of(pid, kind):
    """Of the programs (prog), maps or links that a process holds."""
    ids = set()
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(OSError):
            for line in read_text("/proc/%d/fdinfo/%s" % (pid, fd)).split("\n"):
                if line.startswith(kind + "_id:"):
                    ids.add(int(line.split()[1]))
    return ids


def exists(kind, number):
    return run([need_program("bpftool"), "-j", kind, "show", "id", str(number)])[0] == 0


def cgroup_root():
    for line in read_text("/proc/self/mountinfo").split("\n"):
        words = line.split(" ")
        if "-" in words and words[words.index("-") + 1] == "cgroup2" and words[3] == "/":
            return words[4]
    raise Skipped("the root of the unified hierarchy is not mounted")


def attached():
    """Ids of the programs on the root, of the kinds that ours are of. (bpftool asks for all
    kinds that it knows, and fails where an older kernel does not have one of them.)"""
    libbpf, found = ctypes.CDLL("libbpf.so.1"), set()
    root = os.open(cgroup_root(), os.O_RDONLY)
    for kind in range(3):  # BPF_CGROUP_INET_INGRESS, _INET_EGRESS, _INET_SOCK_CREATE
        ids, count = (ctypes.c_uint32 * 64)(), ctypes.c_uint32(64)
        result = libbpf.bpf_prog_query(root, kind, 0, None, ids, ctypes.byref(count))
        check_equal(result, 0, "the kernel's answer")
        found |= set(ids[:count.value])
    os.close(root)
    return found


def case_without():
    """collect: no-network puts nothing on the control group."""
    d = Driver("--collect", "no-network", source="bpf")
    for point in d.points.values():
        check(not set(FIELDS) & set(point.fields), "traffic, which was not wanted", point.fields)
    own = ids_of(d.process.pid, "prog")
    check(own, "it holds no programs")
    check(not own & attached(), "programs on the control group")
    for number in own:
        kind = bpftool("prog", "show", "id", str(number))["type"]
        check(not kind.startswith("cgroup"), "a program of type %s" % kind)
    names = {bpftool("map", "show", "id", str(n)).get("name") for n in ids_of(d.process.pid, "map")}
    check("sockets" not in names, "a map of sockets")
    d.end()


def case_without_right():
    """Without CAP_NET_ADMIN all but the traffic is there, and one line says so."""
    d = Driver(source="bpf", prefix=[
        # CAP_SYS_ADMIN includes it where programs are loaded
        "setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-all", "--"])
    said = wait_for(lambda: [l for l in d.errors().split("\n") if "traffic" in l], "a line about it")
    check_equal(len(said), 1, "lines about traffic in %r" % d.errors())
    check("CAP_NET_ADMIN" in said[0], "the line does not say why", said)
    check_equal(d.points.self_point.fields["source_bpf"], 1, "source bpf")
    burner = Workload("burn(0.3)\nsay(cpu=cpu())\n", unique("burn"))
    used = burner.hear()["cpu"]
    burner.end()
    settled(lambda: check_near(d.points.cpu(burner.name), used, "CPU seconds", absolute=0.1),
            "the use of a process", d)
    for point in d.points.values():
        check(not set(FIELDS) & set(point.fields), "traffic, without the right to", point.fields)
    check_equal(len([l for l in d.errors().split("\n") if "traffic" in l]), 1,
                "lines about traffic in the end")
    d.end()


NEIGHBOUR = """
unsigned long long seen;
int pass(void *packet) __attribute__((section("cgroup_skb/%s")));
int pass(void *packet)
{
    __sync_fetch_and_add(&seen, 1);
    return 1;
}
"""


class Neighbour:
    """Another program on the root, which counts what passes."""

    def __init__(self, mount, way, *flags):
        self.pin = os.path.join(mount, way)
        source = write_text(os.path.join(temp_dir(), way + ".c"), NEIGHBOUR % way)
        status, out, err = run([need_program("clang"), "-O2", "-g", "-target", "bpf", "-c", source,
                                "-o", source + ".o"])
        check_equal(status, 0, "status of clang (%s)" % err)
        bpftool("prog", "load", source + ".o", self.pin)
        shown = bpftool("prog", "show", "pinned", self.pin)
        self.id, self.map = shown["id"], shown["map_ids"][0]
        args = [cgroup_root(), way, "id", str(self.id)]
        status, out, err = run(["bpftool", "cgroup", "attach", *args, *flags])
        if status != 0 and not flags:
            raise Skipped("another program is on the root control group already")
        check_equal(status, 0, "status of bpftool cgroup attach (%s)" % (out + err))
        later(bpftool, "cgroup", "detach", *args)

    def seen(self):
        value = bpftool("map", "dump", "id", str(self.map))[0]
        return value["formatted"]["value"][".bss"][0]["seen"]


def send_something():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        for _ in range(20):
            s.sendto(b"x", s.getsockname())
            s.recv(10)


def case_neighbours():
    """Programs of others stay on the control group and go on working; ours go with us,
    even after SIGKILL."""
    mount = mount_bpf()
    before = Neighbour(mount, "ingress", "multi")
    d = Driver(source="bpf")
    after = Neighbour(mount, "egress", "multi")
    own = ids_of(d.process.pid, "prog")
    check_equal(len(own & attached()), 3, "programs of ours on the control group")

    def check_neighbours(when):
        check({before.id, after.id} <= attached(), "a neighbour is gone " + when)
        seen = before.seen(), after.seen()
        send_something()
        check(before.seen() >= seen[0] + 20 and after.seen() >= seen[1] + 20,
              "a neighbour sees nothing " + when)
    check_neighbours("while we are there")
    d.process.kill()
    d.process.wait()
    wait_for(lambda: not own & attached(), "our programs leave the control group")
    wait_for(lambda: not any(exists("prog", n) for n in own), "our programs are gone")
    check_neighbours("after we were killed")


def case_no_room_beside():
    """A neighbour that lets no program beside it: all but the traffic is there, and a
    line says why. (The last case.)"""
    driver.end() # its own are there
    Neighbour(mount_bpf(), "ingress")
    d = Driver(source="bpf")
    said = wait_for(lambda: [l for l in d.errors().split("\n") if "traffic" in l], "a line about it")
    check("lets none beside it" in said[0], "the line does not say why", said)
    check_equal(d.points.self_point.fields["source_bpf"], 1, "source bpf")
    d.end()


if __name__ == "__main__":
    if not is_root():
        skip_all("not root: no network namespaces, and no programs in the kernel")
    try:
        need_program("ip")
        need_program("nsenter")
        need_own_root()
        driver = Driver(source="bpf")
        check("net_recv_bytes_tcp" in next(iter(driver.points.values())).fields, driver.errors())
        net = Net()
    except Skipped as e:
        skip_all(str(e))
    except Failed as e:
        # the source is the one thing that may be missing; the rest are mistakes
        if driver or "source bpf can't be used" not in str(e):
            if "is not counted" not in str(e):
                raise
        skip_all(str(e).split("\n")[0])
    run_cases(sys.modules[__name__])
