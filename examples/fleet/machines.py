# SPDX-License-Identifier: MIT
"""Hosts, what runs on them, and how each is set up. Wherever there is a file for it in
examples/ that one is taken as it is, but for the intervals: see each class."""
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.dirname(HERE)
BUILD = os.path.abspath(os.environ.get("BUILD") or os.path.dirname(EXAMPLES))
PROGRAMS = {  # where the build leaves them; else what is installed
    "proctally-exporter": "plugins/exporter", "proctally-textfile": "plugins/textfile",
    "proctally-telegraf": "plugins/telegraf", "proctally.so": "plugins/collectd/.libs"}
PYTHON = os.path.realpath(sys.executable)
INTERVAL = 1  # seconds, everywhere: a fleet of your own has 10 to 60
SERVER = "10.77.0.1"
PORTS = {"prometheus": 9090, "victoria": 8428, "influx": 8086}


class Wrong(Exception):
    """An answer that is not the truth."""


def wait_for(condition, what, seconds=30):
    """The first true answer of condition(); an exception is 'not yet'."""
    end, why = time.monotonic() + seconds, ""
    while True:
        try:
            answer = condition()
            if answer:
                return answer
        except (OSError, ValueError, KeyError, IndexError, Wrong) as e:
            why = ": %s" % e
        if time.monotonic() > end:
            raise Wrong("not within %d seconds: %s%s" % (seconds, what, why))
        time.sleep(0.1)


def built(name):
    path = os.path.join(BUILD, PROGRAMS[name], name)
    return path if os.path.exists(path) else shutil.which(name)


def example(path):
    with open(os.path.join(EXAMPLES, path)) as f:
        return f.read()


def with_interval(text, found):
    """An example with our interval in the place of its own."""
    assert found in text, (found, text)
    return text.replace(found, "%ds" % INTERVAL)


def exec_start(unit):
    """The command of a service of examples/systemd."""
    text = example("systemd/" + unit).replace("\\\n", " ")
    return shlex.split(re.search(r"^ExecStart=(.*)$", text, re.M).group(1))


class Host:
    """A machine with an address and a name; its disk outlives it."""
    directory = None  # where the disks are
    _made = 0

    def __init__(self, name, address=None):
        Host._made += 1
        self.number, self.name = Host._made, name
        self.boots, self.starts = [], []  # when: of the host, and of its agents
        self.address = address or "10.77.%d.%d" % (1 + self.number // 250, self.number % 250)
        self.disk = os.path.join(Host.directory, "%d-%s" % (self.number, name))
        self.agents, self.groups, self.work, self.process = [], {}, {}, None
        os.makedirs(self.disk + "/log")

    def put(self, path, text):
        """A file of the host, whether it runs or not."""
        path = self.path(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def install(self, name, build=None):
        """A program or plugin, of another build if one is named. What runs goes on with what
        was there before."""
        directory = self.path("/usr/local/lib/collectd" if name.endswith(".so")
                              else "/usr/local/bin")
        os.makedirs(directory, exist_ok=True)
        new = os.path.join(directory, "new")
        shutil.copy(os.path.join(build, PROGRAMS[name], name) if build else built(name), new)
        os.rename(new, os.path.join(directory, name))

    def boot(self):
        self.boots.append(time.time())
        self.process = subprocess.Popen(
            ["unshare", "--net", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child",
             "--mount-proc", PYTHON, "-I", os.path.join(HERE, "host.py"), self.name, self.disk],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if json.loads(self.process.stdout.readline() or "null") != "up":
            raise Wrong("the host %s does not start" % self.name)
        # A link of the same name may still be about to go with a host that was killed; the
        # network card is the same again, which the others have in their tables.
        link = "v%d.%d" % (self.number, len(self.boots))
        subprocess.run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0",
                        "address", "02:00:%02x:%02x:%02x:%02x" % tuple(
                            int(part) for part in self.address.split(".")),
                        "netns", str(self.process.pid)], check=True)
        subprocess.run(["ip", "link", "set", link, "master", "fleet0", "up"], check=True)
        self.run("ip", "addr", "add", self.address + "/16", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "link", "set", "lo", "up")

    def kill(self):
        """As if somebody had pulled the plug."""
        self.process.kill()
        self.process.wait()
        self.groups, self.work = {}, {}

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def order(self, **order):
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if isinstance(answer, dict):
            raise Wrong("%s: %s: %s" % (self.name, order, answer["error"]))
        return answer

    def run(self, *argv):
        status, said = self.order(do="run", argv=argv)
        if status:
            raise Wrong("%s: %s: status %d: %s" % (self.name, " ".join(argv), status, said))
        return said

    def start(self, name, argv, **environment):
        self.order(do="start", name=name, argv=argv, log=self.log(name), environment=environment)

    def send(self, name, number):
        self.order(do="signal", name=name, signal=number)

    def end(self, name, number=signal.SIGTERM):
        """(status, seconds of CPU time)"""
        self.send(name, number)
        return wait_for(lambda: self.order(do="ended", name=name),
                        "the end of %s on %s" % (name, self.name), 60)

    def log(self, name):
        return "%s/log/%s" % (self.disk, name)

    def said(self, name):
        with open(self.log(name), errors="replace") as f:
            return f.read()

    def path(self, path):
        """A file of the host, whether it runs or not, as seen from here."""
        return "/proc/%d/root%s" % (self.process.pid, path) if self.runs() else self.disk + path

    # ---- Work, of which we know what it uses ----

    def begin(self, program, workers, seconds, group=None, *arguments):
        """Processes called so, workers and one master; the group is what the rules make of it."""
        path = os.path.join(self.disk, "bin", program)
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.link(COPY_OF_PYTHON, path)
        log = self.log(program)
        if os.path.exists(log):
            os.unlink(log)
        self.start(program, [path, "-I", "-S", os.path.join(HERE, "workload.py"), str(workers),
                             str(seconds), *arguments])
        self.work[program] = group or program, workers + 1

    def work_is_done(self):
        for program in self.work:
            wait_for(lambda: "done" in self.said(program),
                     "the work of %s on %s" % (program, self.name), 120)

    def end_work(self, program):
        """What it used is what the kernel told who waited for it."""
        group, processes = self.work.pop(program)
        status, cpu = self.end(program)
        if status:
            raise Wrong("%s: %s ended with %d: %s" % (
                self.name, program, status, self.said(program)))
        use = self.groups.setdefault(group, {"cpu": 0, "starts": 0, "begun": 0})
        use["cpu"] += cpu
        use["starts"] += processes
        use["begun"] += 1  # by execve, all others by fork alone

    def processes(self):
        found = {}
        for group, processes in self.work.values():
            found[group] = found.get(group, 0) + processes
        return found


COPY_OF_PYTHON = None  # on the disks' file system, so that it can have more names


# ---- Agents ---------------------------------------------------------------------------

class Agent:
    """Something that runs on a host and tells the databases of its groups."""
    programs, sends_to, state = (), None, None

    def __init__(self, host, **environment):
        self.host, self.environment = host, environment
        host.agents.append(self)
        for name in self.programs:
            host.install(name)
        host.put("/etc/proctally.yaml", example("proctally.yaml"))
        # StateDirectory= of the services
        os.makedirs(host.disk + "/var/lib/proctally", exist_ok=True)
        self.set_up()

    def start(self):
        self.host.starts.append(time.time())
        for name, argv in self.commands().items():
            if not self.host.order(do="runs", name=name):
                self.host.start(name, argv, **self.environment)

    def kill(self, number=signal.SIGKILL):
        for name in self.commands():
            self.host.end(name, number)

    def has_looked(self):
        """Since the host was started. It keeps its counters after each look."""
        return os.stat(self.host.path(self.state)).st_mtime > self.host.boots[-1]


class Exporter(Agent):
    """proctally-exporter, scraped. The service is examples/systemd/proctally-exporter.service,
    as root, of which it gives up what it does not need."""
    programs, sends_to, job, port = ("proctally-exporter",), "pull", "proctally", 9256
    state = "/var/lib/proctally/exporter.state"

    def set_up(self):
        pass

    def commands(self):
        return {"proctally-exporter": exec_start("proctally-exporter.service")}


class Textfile(Agent):
    """proctally-textfile writes a file, node_exporter shows it; the service is
    examples/systemd/proctally-textfile.service, node_exporter is as Debian starts it."""
    programs, sends_to, job, port = ("proctally-textfile",), "pull", "node", 9100
    state = "/var/lib/proctally/textfile.state"
    directory = "/var/lib/prometheus/node-exporter"

    def set_up(self):
        os.makedirs(self.host.disk + self.directory, exist_ok=True)

    def commands(self):
        node = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
        textfile = with_interval(shlex.join(exec_start("proctally-textfile.service")), "15s")
        return {"proctally-textfile": shlex.split(textfile),
                "node_exporter": [node, "--collector.textfile.directory=" + self.directory]}

    def kill(self, number=signal.SIGKILL):
        """node_exporter goes on, and shows what was written last."""
        self.host.end("proctally-textfile", number)


class Telegraf(Agent):
    """Telegraf with examples/telegraf/proctally.conf and a state file, as its README has it;
    sends to InfluxDB, and to VictoriaMetrics, which takes the same protocol."""
    programs, sends_to = ("proctally-telegraf",), "influx"
    state = "/var/lib/proctally-telegraf/state"
    tags = {}

    def set_up(self):
        plugin = with_interval(example("telegraf/proctally.conf"), "10s")
        self.host.put("/etc/telegraf/telegraf.d/proctally.conf", plugin.replace(
            '"/etc/proctally.yaml"]', '"/etc/proctally.yaml", "--state-file", "%s"]' % self.state))
        os.makedirs(self.host.disk + os.path.dirname(self.state), exist_ok=True)
        self.host.put("/etc/telegraf/telegraf.conf", """
[global_tags]
%s
[agent]
  interval = "%ds"
  flush_interval = "%ds"
  logfile = ""
[[outputs.influxdb]]
  urls = ["http://%s:%d"]
  database = "telegraf"
[[outputs.influxdb]]
  urls = ["http://%s:%d"]
  skip_database_creation = true
""" % ("\n".join('  %s = "%s"' % t for t in self.tags.items()), INTERVAL, INTERVAL,
            SERVER, PORTS["influx"], SERVER, PORTS["victoria"]))

    def commands(self):
        return {"telegraf": [find_telegraf(), "--config", "/etc/telegraf/telegraf.conf",
                             "--config-directory", "/etc/telegraf/telegraf.d"]}


class Collectd(Agent):
    """collectd with examples/collectd/proctally.conf; sends to collectd's server. Its example
    calls the group of nginx web."""
    programs, sends_to = ("proctally.so",), "collectd"
    state = "/var/lib/collectd/proctally.state"

    def set_up(self):
        self.host.put("/etc/collectd/collectd.conf", """
FQDNLookup false
Interval %d
TypesDB "/usr/share/collectd/types.db"
Include "/etc/collectd/collectd.conf.d/*.conf"
LoadPlugin network
<Plugin network>
  Server "%s" "25826"
</Plugin>
""" % (INTERVAL, SERVER))
        os.makedirs(self.host.disk + "/var/lib/collectd", exist_ok=True)
        self.host.put("/etc/collectd/collectd.conf.d/proctally.conf",
                      example("collectd/proctally.conf"))

    def commands(self):
        return {"collectd": [find_collectd(), "-f", "-C", "/etc/collectd/collectd.conf"]}


KINDS = [Exporter, Telegraf, Textfile, Collectd]


def find_telegraf():
    return os.environ.get("TELEGRAF") or shutil.which("telegraf")


def find_collectd():
    return shutil.which("collectd", path=os.environ.get("PATH", "") + ":/usr/sbin")


def missing():
    """What is not here of what the fleet needs."""
    needed = {name: built(name) for name in PROGRAMS}
    needed.update({name: shutil.which(name) for name in (
        "prometheus", "victoria-metrics", "influxd", "unshare", "ip")})
    needed["node_exporter"] = shutil.which("prometheus-node-exporter") or \
        shutil.which("node_exporter")
    needed["telegraf"], needed["collectd"] = find_telegraf(), find_collectd()
    return [name for name, found in needed.items() if not found]


# ---- The server ------------------------------------------------------------------------

class Server(Host):
    """One machine with all four databases, on a disk of its own: /var/lib/databases."""
    BYTES = 1 << 30

    def __init__(self):
        super().__init__("server", SERVER)
        with open(os.path.join(HERE, "prometheus.yml")) as f:
            self.put("/etc/prometheus/prometheus.yml", f.read())
        self.targets([])
        self.put("/etc/influxdb/influxdb.conf", """
reporting-disabled = true
[meta]
  dir = "/var/lib/databases/influxdb/meta"
[data]
  dir = "/var/lib/databases/influxdb/data"
  wal-dir = "/var/lib/databases/influxdb/wal"
[http]
  bind-address = ":%d"
  log-enabled = false
[monitor]
  store-enabled = false
""" % PORTS["influx"])
        self.put("/etc/collectd/collectd.conf", """
FQDNLookup false
Interval %d
TypesDB "/usr/share/collectd/types.db"
LoadPlugin network
<Plugin network>
  Listen "0.0.0.0" "25826"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "/var/lib/databases/collectd"
  StoreRates false
</Plugin>
""" % INTERVAL)

    def targets(self, hosts):
        """Who is to be scraped; both servers look at the file."""
        self.put("/etc/prometheus/targets.json", json.dumps([
            {"targets": ["%s:%d" % (host.address, agent.port)],
             "labels": {"job": agent.job, "host": host.name}}
            for host in hosts for agent in host.agents if agent.sends_to == "pull"]))

    def boot(self):
        super().boot()
        self.run("mkdir", "-p", "/var/lib/databases")
        self.run("mount", "-t", "tmpfs", "-o", "size=%d" % self.BYTES, "disk",
                 "/var/lib/databases")

    COMMANDS = {
        "prometheus": ["prometheus", "--config.file=/etc/prometheus/prometheus.yml",
                       "--storage.tsdb.path=/var/lib/databases/prometheus"],
        "victoria": ["victoria-metrics", "-storageDataPath=/var/lib/databases/victoria",
                     "-promscrape.config=/etc/prometheus/prometheus.yml",
                     "-promscrape.config.strictParse=false",
                     "-promscrape.fileSDCheckInterval=1s", "-search.latencyOffset=1s"],
        "influx": ["influxd", "-config", "/etc/influxdb/influxdb.conf"],
        "collectd": [find_collectd(), "-f", "-C", "/etc/collectd/collectd.conf"],
    }

    def start_databases(self, *names):
        for name in names or self.COMMANDS:
            self.start(name, self.COMMANDS[name], HOME="/var/lib/databases")
