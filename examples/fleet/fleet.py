#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The story: hosts start and work, agents, databases and hosts are killed and come back, and
after each act the databases have to tell what the kernel told who waited for the work.
See README.md; started by run.sh."""
import argparse
import concurrent.futures
import contextlib
import ctypes
import glob
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import databases
import machines
from machines import (INTERVAL, PORTS, Collectd, Exporter, Host, Server, Telegraf, Textfile,
                      Wrong, wait_for)

PROGRAMS = ("nginx", "java", "cron")  # of the work
PATIENCE = 5 * INTERVAL  # without a value for longer than that is a gap
ROOM = 0.01              # how far a sum over hosts may be from the truth,
TICKS = 2 / os.sysconf("SC_CLK_TCK")  # or so many seconds a host: /proc has whole ticks of
                                      # user and of system time

_act = threading.local()  # some acts are played at the same time: what they said is kept


def say(text):
    if hasattr(_act, "said"):
        _act.said.append(text)
    else:
        print(text, flush=True)


class Skipped(Exception):
    pass


class Fleet:
    def __init__(self, size):
        self.server = Server()
        self.server.boot()
        self.server.start_databases()
        self.influx = databases.Influx()
        self.prometheus, self.victoria = databases.Prometheus(), databases.Victoria()
        self.collectd = databases.Collectd(self.server)
        self.databases = [self.prometheus, self.victoria, self.influx, self.collectd]
        self.added, self.excuses, self.lock = [], [], threading.Lock()
        for database in (self.prometheus, self.victoria):
            wait_for(lambda: database.query("vector(1)"), database.name, 60)
        wait_for(lambda: self.influx.query("SHOW DATABASES"), "InfluxDB", 60)
        self.hosts = [self.add("host-%d" % (i + 1), machines.KINDS[i % len(machines.KINDS)])
                      for i in range(size)]  # others come and go with an act

    # ---- Hosts and what they do ----

    def add(self, name, *kinds, start=True, files=(), **environment):
        host = Host(name)
        for path in files:
            host.put(path, files[path])
        for kind in kinds:
            kind(host, **environment)
        host.boot()
        if start:
            for agent in host.agents:
                agent.start()
        self.scrape(self.added + [host])
        return host

    def remove(self, hosts):
        for host in hosts:
            host.kill()
        self.scrape([host for host in self.added if host not in hosts])

    def scrape(self, hosts):
        with self.lock:
            self.added = hosts
            self.server.targets(hosts)

    def end(self):
        for host in [*self.added, self.server]:
            host.kill()

    def begin(self, hosts, programs):
        """Each host does a little more than the one before, so that there is an order."""
        self.wait_seen(hosts)
        for i, host in enumerate(hosts):
            by_collectd = isinstance(host.agents[0], Collectd)
            if "nginx" in programs:
                host.begin("nginx", 2, SECONDS * (1 + 0.2 * i) / 2,
                           "web" if by_collectd else "nginx")
            if "java" in programs:
                host.begin("java", 1, SECONDS * (0.65 + 0.1 * i), "java:shop", "-jar", "shop.jar")
            if "cron" in programs and not by_collectd:  # of which its example has no group
                host.begin("cron", 3 + i % 3, SECONDS * 0.1)

    def wait_seen(self, hosts):
        """A process that is there before the first look counts from then on only."""
        for host in hosts:
            for agent in host.agents:
                wait_for(agent.has_looked, "the first look of %s on %s" % (
                    type(agent).__name__, host.name))

    def work(self, hosts, meanwhile=None, databases=None, programs=("nginx",)):
        """Work on these hosts, and the questions about it; what happens meanwhile must not
        change the answers."""
        self.begin(hosts, programs)
        if meanwhile:
            meanwhile()
        for host in hosts:
            host.work_is_done()
        self.check("processes", hosts, databases)
        self.end_work(hosts)
        self.check("cpu", hosts, databases)
        self.check("starts", hosts, databases)

    def end_work(self, hosts):
        """/proc tells a parent what its ended children used, but not which of them: where
        several end between two looks, that is guessed. So one program ends at a time."""
        for program in [p for p in PROGRAMS if any(p in host.work for host in hosts)]:
            time.sleep(2 * INTERVAL)
            for host in hosts:
                if program in host.work:
                    host.end_work(program)
        time.sleep(3 * INTERVAL)  # until the last look at it is everywhere

    # ---- Questions ----

    def answers(self, question, hosts, database):
        names = {host.name for host in hosts}
        return {key: value for key, value in getattr(database, question)().items()
                if key[0] in names}

    @staticmethod
    def tells(host, database):
        """How many agents of the host tell this database."""
        return sum(agent.sends_to in database.takes for agent in host.agents)

    def truth(self, question, hosts, database):
        found = {}
        for host in hosts:
            if not self.tells(host, database):
                continue
            if question == "processes":
                values = host.processes()
            else:
                values = {group: use[question] for group, use in host.groups.items()}
            for group, value in values.items():
                found[host.name, group] = found.get((host.name, group), 0) + value
        return found

    def check(self, question, hosts, databases=None):
        """Sums over hosts, of each group and of all, in each database that has any."""
        for database in databases or self.databases:
            truth = self.truth(question, hosts, database)
            if not truth:
                continue
            wanted = sums(truth)
            begun = sums(self.truth("begun", hosts, database))
            room = TICKS * sum(self.tells(host, database) for host in hosts)

            def right():
                answers = {k: v for k, v in self.answers(question, hosts, database).items()
                           if k in truth}
                found = sums(answers)
                for group, value in wanted.items():
                    more = max(ROOM * value, room) if question == "cpu" else 0
                    # looked at between fork and execve it was its parent's copy still, and
                    # has started in the parent's group
                    less = begun[group] if question == "starts" else more
                    if not -less <= found.get(group, 0) - value <= more:
                        raise Wrong("%s of %s: %s tells %.3f, the truth is %.3f: %s" % (
                            question, group, database.name, found.get(group, 0), value,
                            {k: (answers.get(k), round(truth[k], 3)) for k in truth}))
                return found
            found = wait_for(right, "the truth", 15)
            say("      %-10s %-10s %s" % (question, database.name, "  ".join(
                "%s %.10g of %.10g" % (g, round(found[g], 3), round(wanted[g], 3))
                for g in sorted(wanted))))

    def check_top(self, hosts, count=3):
        for database in self.databases:
            truth = self.truth("cpu", hosts, database)
            wanted = sorted(truth, key=lambda key: -truth[key])[:count]
            if not wanted:
                continue
            found = wait_for(lambda: database.top(count), "the top")
            if found != wanted:
                raise Wrong("the top %d by CPU: %s tells %s, the truth is %s" % (
                    count, database.name, found, wanted))
            say("      %-10s %-10s %s" % ("top", database.name, "  ".join(
                "%s on %s" % (group, host) for host, group in found)))

    # ---- What may be missing ----

    @contextlib.contextmanager
    def excuse(self, who, why):
        """A gap of this host or database is explained, if it is of this time."""
        begun = time.time()
        yield
        self.excuses.append((who, begun - PATIENCE, time.time() + PATIENCE, why))

    def check_history(self, hosts, databases=None):
        """No counter fell but when its host started anew (what an agent tells of itself
        alone: when it did), and no gap is unexplained."""
        for database in databases or self.databases:
            # the last values may be on their way still
            counters, seen, gaps = wait_for(lambda: self.history(hosts, database), "the history")
            say("      %-10s %-10s %d counters of %d hosts, %d gaps, all explained" % (
                "history", database.name, counters, seen, gaps))

    def history(self, hosts, database):
        """How many counters, hosts, gaps."""
        known = {host.name for host in hosts if self.tells(host, database)}
        counters = gaps = 0
        seen, late = {name: set() for name in known}, set(database.late()) if overloaded() else set()
        for host, what, values in database.counters():
            if host not in known:
                continue
            counters += 1
            resets = [t for h in hosts if h.name == host
                      for t in h.boots + ([] if "groupname" in what else h.starts)]
            for (t0, v0), (t1, v1) in itertools.pairwise(values):
                # VictoriaMetrics keeps some 15 digits of a value
                if v1 < v0 * (1 - 1e-12) and not any(t0 < t <= t1 for t in resets):
                    raise Wrong("%s: a counter fell from %s to %s at %s: %s" % (
                        database.name, v0, v1, t1, what))
            seen[host].update(t for t, _ in values)
        latest = max((t for times in seen.values() for t in times), default=0)
        for host, times in seen.items():
            if not times:
                raise Wrong("%s has nothing of %s" % (database.name, host))
            for t0, t1 in itertools.pairwise(sorted({*times, latest})):
                if t1 - t0 <= PATIENCE:
                    continue
                gaps += 1
                if not any(who in (host, database.name) and t0 < end and t1 > begin
                           for who, begin, end, _ in self.excuses) and \
                        not any(who == host and t0 < t < t1 for who, t in late):
                    raise Wrong("%s has nothing of %s from %s to %s; late: %s" % (
                        database.name, host, t0, t1, database.late()))
        return counters, len(seen), gaps


def overloaded():
    """Then a scrape may take longer than it has time for, whatever is scraped."""
    return os.getloadavg()[0] > 2 * os.cpu_count()


def sums(values):
    """Over hosts: of each group, and of all."""
    found = {}
    for (_, group), value in values.items():
        for name in (group, "all"):
            found[name] = found.get(name, 0) + value
    return found


# ---- Acts -----------------------------------------------------------------------------

def act_questions(fleet):
    """The fleet works, and the databases are asked."""
    fleet.work(fleet.hosts, programs=PROGRAMS)
    fleet.check_top(fleet.hosts)


def act_agents(fleet):
    """Each agent is killed in the middle of counting, and started again."""
    def kill():
        time.sleep(2 * INTERVAL)
        for host in fleet.hosts:
            with fleet.excuse(host.name, "its agent was killed"):
                host.agents[0].kill()
                time.sleep(INTERVAL)
                host.agents[0].start()
    fleet.work(fleet.hosts, kill)
    fleet.check_history(fleet.hosts)


def act_databases(fleet):
    """All databases are killed and come back after a while. Agents go on without; Telegraf
    keeps what it can't send, so that InfluxDB has no gap at all."""
    def kill():
        fleet.check("processes", fleet.hosts)  # so that there is something on both sides
        with contextlib.ExitStack() as stack:
            for name in fleet.server.COMMANDS:
                if name != "influx":
                    stack.enter_context(fleet.excuse(name, "it was down"))
                fleet.server.end(name, signal.SIGKILL)
            time.sleep(OUTAGE)
            fleet.server.start_databases()
    fleet.work(fleet.hosts, kill)
    fleet.check_history(fleet.hosts)


def act_hosts(fleet):
    """Some hosts lose their power and start again: their counters start at 0, as those of
    any host that was started, and the others' do not care."""
    victims = fleet.hosts[::3]
    for host in victims:
        with fleet.excuse(host.name, "it had no power"):
            host.kill()
            time.sleep(INTERVAL)
            host.boot()
            for agent in host.agents:
                agent.start()
    fleet.work(fleet.hosts)
    fleet.check_history(fleet.hosts)


# ---- Bad cases ---------------------------------------------------------------------------

def act_clock(fleet):
    """A host's clock is a day fast, and is then set back to three hours slow. Counters do not
    care; Prometheus neither, which has times of its own. Telegraf's points bear the host's
    time: who asks for the last ones until now finds them once the clock is right enough."""
    library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not library:
        raise Skipped("libfaketime is not installed: no wrong clock")
    clock = "/var/lib/clock"
    environment = {"LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": clock,
                   "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    pulled = fleet.add("clock-1", Exporter, files={clock: "+1d"}, **environment)
    pushed = fleet.add("clock-2", Telegraf, files={clock: "+1d"}, **environment)
    fleet.work([pulled, pushed], databases=[fleet.prometheus, fleet.influx])
    ahead = fleet.influx.query("SELECT last(starts) FROM proctally WHERE host = 'clock-2' "
                               "AND time > now() + 23h")
    if not ahead:
        raise Wrong("the clock of clock-2 is not wrong")
    for host in (pulled, pushed):
        host.put(clock, "-3h")
    fleet.work([pulled, pushed], databases=[fleet.prometheus, databases.InfluxUntilNow()])
    usage = fleet.prometheus.query('max(max_over_time(proctally_cpu_usage_ratio'
                                   '{host="clock-1"}[10m]))')
    if not 0 < float(usage[0]["value"][1]) < 1.1:
        raise Wrong("CPU usage over the change of the clock: %s" % usage)
    fleet.check_history([pulled], [fleet.prometheus, fleet.victoria])
    fleet.remove([pulled, pushed])


def act_names(fleet):
    """Two hosts have one name. Prometheus tells them apart by address, and sums are right.
    In InfluxDB they are one series, whose counters jump from one host's to the other's, until
    each Telegraf has a tag of its own."""
    pulled = [fleet.add("twin", Exporter), fleet.add("twin", Exporter)]
    pushed = [fleet.add("twins", Telegraf), fleet.add("twins", Telegraf)]
    for pair in (pulled, pushed):  # each pair differs in what it does
        fleet.begin(pair, ["nginx"])
    for host in pulled + pushed:
        host.work_is_done()
    wait_for(lambda: any(v1 < v0 for host, what, values in fleet.influx.counters()
                         if host == "twins" for (_, v0), (_, v1) in itertools.pairwise(values)),
             "the sight of two hosts in one series")
    for i, host in enumerate(pushed):
        agent = host.agents[0]
        agent.kill(signal.SIGTERM)
        agent.tags = {"machine": "machine-%d" % i}
        agent.set_up()
        agent.start()
    fleet.end_work(pulled + pushed)
    for pair, asked in ((pulled, [fleet.prometheus, fleet.victoria]),
                        (pushed, [databases.InfluxByMachine()])):
        fleet.check("cpu", pair, asked)
        fleet.check("starts", pair, asked)
        fleet.check_history(pair, asked)
    fleet.remove(pulled + pushed)


def act_twice(fleet):
    """A host is scraped twice, by exporter and by textfile: a sum counts it twice unless it
    chooses a job, and there is a question that finds such hosts."""
    host = fleet.add("twice", Exporter, Textfile)
    fleet.begin([host], ["nginx"])
    host.work_is_done()
    for database in (fleet.prometheus, fleet.victoria):
        found = wait_for(lambda: database.query(
            "count by (host) (count by (host, job) (proctally_groups)) > 1"), "the finding")
        if [r["metric"]["host"] for r in found] != ["twice"]:
            raise Wrong("%s finds as scraped twice: %s" % (database.name, found))
    fleet.end_work([host])
    for job in ("proctally", "node"):
        fleet.check("cpu", [host], [databases.Prometheus(job), databases.Victoria(job)])
    host.groups = {group: {what: 2 * value for what, value in use.items()}
                   for group, use in host.groups.items()}
    fleet.check("cpu", [host], [fleet.prometheus, fleet.victoria])
    fleet.remove([host])


def act_disk(fleet):
    """The disk of the databases is full for a while. Agents go on, and Telegraf keeps what
    InfluxDB does not take; a database that ended is started again."""
    server, path = fleet.server, "/var/lib/databases"

    def shrink():
        """To what is used, if that has not just become more."""
        used = os.statvfs(server.path(path))
        server.run("mount", "-o", "remount,size=%d" % (
            (used.f_blocks - used.f_bfree) * used.f_frsize), path)
        return True

    def refused():
        return [name for name in server.COMMANDS if "no space left" in server.said(name).lower()]

    def fill():
        time.sleep(2 * INTERVAL)
        with contextlib.ExitStack() as stack:
            for name in server.COMMANDS:
                if name != "influx":
                    stack.enter_context(fleet.excuse(name, "its disk was full"))
            wait_for(shrink, "a full disk")
            end = time.monotonic() + OUTAGE
            wait_for(refused, "a database that could not write", OUTAGE + 30)
            time.sleep(max(0, end - time.monotonic()))
            server.run("mount", "-o", "remount,size=%d" % server.BYTES, path)
            ended = [name for name in server.COMMANDS if not server.order(do="runs", name=name)]
            say("      could not write: %s; ended: %s" % (
                ", ".join(refused()), ", ".join(ended) or "none"))
            if ended:
                server.start_databases(*ended)
    fleet.work(fleet.hosts, fill)
    fleet.check_history(fleet.hosts)


def act_upgrade(fleet):
    """Agents of version 0.1.0 are replaced in the middle of counting: this one takes up their
    state file. OLD is the directory of that build."""
    old = os.environ.get("OLD")
    if not old:
        raise Skipped("OLD names no build of an older version")
    hosts = [fleet.add("old-%d" % (i + 1), kind, start=False)
             for i, kind in enumerate((Textfile, Telegraf, Collectd))]
    configuration = machines.example("proctally.yaml")

    def install(build, configuration):
        for host in hosts:
            host.put("/etc/proctally.yaml", configuration)
            for name in host.agents[0].programs:
                host.install(name, build)
            host.agents[0].start()

    def version(host):
        with open(host.path(host.agents[0].state), "rb") as f:
            return f.readline()

    def upgrade():
        time.sleep(2 * INTERVAL)
        before = [version(host) for host in hosts]
        for host in hosts:
            host.agents[0].kill(signal.SIGTERM)
        install(None, configuration)
        for host, was in zip(hosts, before):
            wait_for(lambda: version(host) != was, "a state file of the new version")
        say("      state files: %s became %s" % (before[0], version(hosts[0])))
    # an option that version does not know
    install(old, configuration.replace("\nkernel-threads: one\n", "\n"))
    fleet.work(hosts, upgrade)
    fleet.check_history(hosts)
    fleet.remove(hosts)


ACTS = {name[4:]: function for name, function in list(globals().items())
        if name.startswith("act_")}
# one after the other, but for those that do not disturb each other
TOGETHER = (["questions"], ["agents", "clock", "names", "twice", "upgrade"], ["databases"],
            ["disk"], ["hosts"])
SECONDS = OUTAGE = None  # of CPU time, of the clock


# ---- The world of the fleet ---------------------------------------------------------------

def relay(listener, address):
    """What comes to a port of the machine's loopback goes to a server of the fleet."""
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(address, 5)
        except OSError:
            client.close()
            continue
        for pair in ((client, server), (server, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def world(options):
    """All in namespaces that end with this process, the first of its own."""
    work = options.directory
    subprocess.run(["mount", "-t", "tmpfs", "fleet", work], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "link", "add", "name", "fleet0", "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "10.77.255.254/16", "dev", "fleet0"], check=True)
    subprocess.run(["ip", "link", "set", "fleet0", "up"], check=True)
    Host.directory = work
    machines.COPY_OF_PYTHON = shutil.copy(machines.PYTHON, work)

    begun = time.monotonic()
    fleet = Fleet(options.hosts)
    say("%d hosts are up (%.1f s)" % (options.hosts, time.monotonic() - begun))
    failed = 0
    for names in TOGETHER:
        wanted = [name for name in names if name in (options.act or names)]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            failures = sum(pool.map(lambda name: play(fleet, name, options.verbose), wanted))
        if failures:
            # what was not counted to the end would disturb what follows
            failed += failures
            fleet.end()
            fleet = Fleet(options.hosts)
    if options.keep:
        keep(fleet, options)
    return 1 if failed else 0


def play(fleet, name, verbose):
    """One act: 1 if it failed."""
    begun, _act.said = time.monotonic(), []
    try:
        ACTS[name](fleet)
        how = "ok    %s (%.1f s)" % (name, time.monotonic() - begun)
    except Skipped as e:
        how = "SKIP  %s: %s" % (name, e)
    except Exception as e:
        if not isinstance(e, Wrong):
            say(traceback.format_exc())
        how = "FAIL  %s: %s" % (name, e)
        if verbose:
            for path in sorted(glob.glob(Host.directory + "/*/log/*")):
                with open(path, errors="replace") as f:
                    say("---- %s: %s" % (path, f.read()[-3000:]))
    print("\n".join([*_act.said, how]), flush=True)
    return how.startswith("FAIL")


def keep(fleet, options):
    say("\nThe fleet stays until ^C. From this machine:")
    addresses = [(name, (machines.SERVER, port)) for name, port in PORTS.items()]
    addresses += [("%s, %s" % (host.name, type(agent).__name__.lower()),
                   (host.address, agent.port))
                  for host in fleet.hosts for agent in host.agents if agent.sends_to == "pull"]
    for fd, (what, address) in zip(options.listen, addresses):
        listener = socket.socket(fileno=fd)
        threading.Thread(target=relay, args=(listener, address), daemon=True).start()
        say("  http://127.0.0.1:%d/  %s" % (listener.getsockname()[1], what))
    say("A shell on a host: nsenter -a -t $(pgrep -nf 'host.py host-1 ')")
    while True:
        fleet.work(fleet.hosts)


def main():
    parser = argparse.ArgumentParser(prog="run.sh", description="A fleet on this machine; see "
                                     "README.md.")
    parser.add_argument("hosts", nargs="?", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="leave it running in the end")
    parser.add_argument("--act", action="append", choices=ACTS, help="only this one (several)")
    parser.add_argument("--work", type=float, metavar="SECONDS",
                        help="of CPU time for the first host, each time (1.5); the others do more")
    parser.add_argument("--outage", type=float, metavar="SECONDS",
                        help="for which databases are down, or their disk is full (10)")
    parser.add_argument("--short", action="store_true", help="less work, shorter outages")
    parser.add_argument("--verbose", action="store_true", help="show logs if an act fails")
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    parser.add_argument("--listen", type=int, action="append", default=[],
                        help=argparse.SUPPRESS)
    options = parser.parse_args()
    global SECONDS, OUTAGE
    SECONDS = options.work or (0.6 if options.short else 1.5)
    OUTAGE = options.outage or (7 if options.short else 10)
    if options.directory:
        sys.exit(world(options))
    if machines.missing():
        print("not here: %s" % ", ".join(machines.missing()))
        sys.exit(77)

    directory = tempfile.mkdtemp(prefix="fleet-")
    # This process stays where it was started; all others are in namespaces, which end with
    # the first in them.
    inside = ["unshare", "--net", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child",
              "--mount-proc"]
    attempt = subprocess.run([*inside, "sh", "-ec", """
        mount -t tmpfs fleet "$1"
        mkdir "$1/upper" "$1/work"
        mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" fleet /etc
        mount --bind /etc/hostname /proc/sys/kernel/random/boot_id
        ip link add name fleet0 type bridge
    """, "sh", directory], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if attempt.returncode:
        os.rmdir(directory)
        print("no hosts can be made here: " + attempt.stderr.decode().strip().replace("\n", " "))
        sys.exit(77)
    listeners = []
    if options.keep:
        kinds = itertools.islice(itertools.cycle(machines.KINDS), options.hosts)
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS] + [
            socket.create_server(("127.0.0.1", 0)) for kind in kinds if kind.sends_to == "pull"]
    argv = [*inside, machines.PYTHON, "-B", os.path.abspath(__file__), *sys.argv[1:],
            "--directory", directory]
    for listener in listeners:
        argv += ["--listen", str(listener.fileno())]
    libc, set_parent_death_signal = ctypes.CDLL(None), 1
    process = subprocess.Popen(
        argv, pass_fds=[s.fileno() for s in listeners], start_new_session=True,
        preexec_fn=lambda: libc.prctl(set_parent_death_signal, signal.SIGKILL))
    told_to_end = []

    def end(number, _):
        told_to_end.append(number)
        process.kill()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    status = process.wait()
    os.rmdir(directory)
    if told_to_end:
        sys.exit(0 if options.keep else 128 + told_to_end[0])
    sys.exit(min(abs(status), 1))


if __name__ == "__main__":
    main()
