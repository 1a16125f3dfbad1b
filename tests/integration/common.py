# SPDX-License-Identifier: MIT
"""What the integration tests share: starting and ending programs, workloads
whose use is known, and strict parsers of the text formats.

A test file is a row of functions case_*(); run_cases() calls them, prints how
each went, cleans up whatever was started, and leaves with the right status.
"""
import atexit
import contextlib
import ctypes
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

SRC = os.environ.get("SRC") or os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("BUILD") or os.path.join(SRC, "build-tests")
TEXTFILE = os.path.join(BUILD, "plugins/textfile/proctally-textfile")
TELEGRAF = os.path.join(BUILD, "plugins/telegraf/proctally-telegraf")
COMMAND = os.path.join(BUILD, "plugins/command/proctally")
COLLECTD_SO = os.path.join(BUILD, "plugins/collectd/.libs/proctally.so")

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER, PR_SET_THP_DISABLE = 1, 15, 36, 41
CLONE_NEWNS = 0x20000
PYTHON = os.path.realpath(sys.executable)
KERNEL = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
# Kernels before leave out the context switches of ended threads: see proctally-metrics(7).
TASKSTATS_IS_WHOLE = (6, 12)


# How far CPU time may be from what wait4(2) says. An emulated machine takes so long for the
# start of a program and the end of a process that what wait4() or the workload miss of it
# shows.
CPU_ROOM = float(os.environ.get("CPU_ROOM") or 0.01)
# How many times as long as a machine of its own an emulated or a busy one may take for what is
# waited for.
PATIENCE = float(os.environ.get("PATIENCE") or 1)


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(condition, message, *details):
    if not condition:
        text = message
        for one in details:
            one = one if isinstance(one, str) else repr(one)
            text += "\n      " + (one if len(one) < 3000 else one[:3000] + " …")
        raise Failed(text)


def check_equal(found, wanted, what):
    check(found == wanted, "%s: found %r, expected %r" % (what, found, wanted))


def check_near(found, wanted, what, relative=0.0, absolute=0.0):
    room = max(abs(wanted) * relative, absolute)
    check(abs(found - wanted) <= room,
          "%s: found %s, expected %s, give or take %s" % (what, found, wanted, room))


def wait_for(condition, what, seconds=60, every=0.1):
    """The first true result of condition(); whatever it raises is 'not yet'."""
    end = time.monotonic() + seconds * PATIENCE
    why = ""
    while True:
        try:
            result = condition()
            if result:
                return result
        except (OSError, ValueError, KeyError, Failed) as e:
            why = ": %s" % e
        if time.monotonic() > end:
            raise Failed("not within %d seconds: %s%s" % (seconds * PATIENCE, what, why))
        time.sleep(every)


# ---- Cleaning up -----------------------------------------------------------------

_cleanups = []


def later(function, *args):
    """Calls it when the running case (or the test) ends, last one first."""
    _cleanups.append((function, args))


def _clean_up(down_to=0):
    while len(_cleanups) > down_to:
        function, args = _cleanups.pop()
        try:
            function(*args)
        except Exception:
            traceback.print_exc()


def _on_signal(number, frame):
    sys.exit(128 + number)


for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, _on_signal)
atexit.register(_clean_up)


def temp_dir(many_files=False):
    """A new directory that goes away again; for many files one in memory if there is."""
    memory = "/dev/shm" if many_files and os.access("/dev/shm", os.W_OK) else None
    path = tempfile.mkdtemp(prefix="pt-", dir=memory)
    os.chmod(path, 0o755)
    later(shutil.rmtree, path, True)
    return path


def free_port():
    """One that the kernel gives to nobody who does not ask for it: by the time that a server
    asks, a client of another test could have it."""
    low, high = map(int, read_text("/proc/sys/net/ipv4/ip_local_port_range").split())
    ports = [*range(10000, low), *range(high + 1, 65536)] or [0]
    for _ in range(100):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", random.choice(ports)))
            return s.getsockname()[1]
    raise Failed("no port of 127.0.0.1 is free")


# ---- Programs ---------------------------------------------------------------------

def set_name(name):
    """The name of this process, as bytes or text: at most 15 bytes."""
    if isinstance(name, str):
        name = name.encode()
    LIBC.prctl(PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start(argv, **how):
    """Starts a program in a session of its own, and ends it (and what it
    started) when the case ends."""
    how.setdefault("stdin", subprocess.DEVNULL)
    prepare = how.pop("preexec_fn", None)

    def before():
        _die_with_parent()
        if prepare:
            prepare()

    process = subprocess.Popen(argv, start_new_session=True, preexec_fn=before, **how)
    later(stop, process)
    return process


def _has_ended(process):
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def stop(process, seconds=20):
    """SIGTERM, then SIGKILL for it and what is left of its session's first process
    group; its exit status."""
    if process.returncode is None:
        # not reaped before the group is gone: until then its number stays its own
        if not _has_ended(process):
            process.terminate()
        end = time.monotonic() + seconds * PATIENCE
        while not _has_ended(process) and time.monotonic() < end:
            time.sleep(0.01)
        if not _has_ended(process):
            print("      had to kill %s" % process.args)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
    return process.returncode


def run(argv, seconds=60, **how):
    """Runs to the end: (status, stdout, stderr), the outputs as text."""
    how.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.run(argv, timeout=seconds * PATIENCE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, **how)
    return (process.returncode, process.stdout.decode("utf-8", "surrogateescape"),
            process.stderr.decode("utf-8", "surrogateescape"))


def need_program(*names):
    for name in names:
        found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found:
            return found
    raise Skipped("%s is not installed" % " or ".join(names))


def inject(pid, call, how, *flags):
    """Lets a system call of this process fail, as `inject` of strace(1) says how; the tracer, to
    be stopped."""
    tracer = start([need_program("strace"), "-p", str(pid), "-o", "/dev/null", "-e",
                    "trace=" + call, "-e", "inject=%s:%s" % (call, how), *flags],
                   stderr=subprocess.PIPE)
    wait_for(lambda: "TracerPid:\t0\n" not in read_text("/proc/%d/status" % pid),
             "strace to attach")
    return tracer


def make_variable(name):
    """The words of a variable of the build's Makefile; [] if there is none."""
    for line in read_text(os.path.join(BUILD, "Makefile")).splitlines():
        if re.match(name + " *= ", line):
            return line.split("=", 1)[1].split()
    return []


def bpftool(*args):
    status, out, err = run([need_program("bpftool"), "-j", *args])
    check_equal(status, 0, "status of bpftool %s (%s)" % (" ".join(args), out + err))
    return json.loads(out) if out.strip() else None


def mount_bpf():
    """A bpf file system of the case's own."""
    directory = os.path.join(temp_dir(), "bpf")
    os.mkdir(directory)
    if run(["mount", "-t", "bpf", "bpf", directory])[0] != 0:
        raise Skipped("no bpf file system can be mounted")
    later(run, ["umount", directory])
    return directory


def http(url, data=None, seconds=20):
    """(status, body as text); an error status is no exception."""
    if isinstance(data, str):
        data = data.encode("utf-8")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, data, seconds * PATIENCE) as answer:
            return answer.status, answer.read().decode("utf-8")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode("utf-8", "replace")


def read_text(path):
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as f:
        return f.read()


def write_text(path, text):
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    return path


def write_config(path, text):
    """A configuration that a running program takes up at once: whole from the start, and
    not just written."""
    write_text(path + ".new", text)
    stamp = time.time() - 10
    os.utime(path + ".new", (stamp, stamp))
    os.rename(path + ".new", path)
    return path


# ---- Prometheus text ------------------------------------------------------------------

_sample = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (\S+)\Z', re.S)
_label = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        m = _label.match(text, at)
        check(m, "bad labels: %r" % text)
        check(m.group(1) not in labels, "label twice: %r" % text)
        labels[m.group(1)] = re.sub(r'\\(.)', lambda e: "\n" if e.group(1) == "n" else e.group(1),
                                    m.group(2))
        at = m.end()
    return labels


class Metrics:
    """A whole text in Prometheus format, refused if anything is irregular."""

    def __init__(self, text):
        text.encode("utf-8")  # surrogates: it was not UTF-8
        check(text.endswith("\n"), "the text does not end with a newline: %r" % text[-80:])
        self.type, self.help, self.comments, self.series = {}, {}, [], {}
        family = None
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                name, text = line[7:].split(" ", 1)
                check(name not in self.help, "HELP twice: %s" % name)
                self.help[name] = text
                family = name
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ", 1)
                check(name == family, "TYPE without its HELP: %s" % line)
                check(kind in ("gauge", "counter"), "bad TYPE: %s" % line)
                self.type[name] = kind
            elif line.startswith("#"):
                self.comments.append(line)
            else:
                m = _sample.match(line)
                check(m, "bad line: %r" % line)
                name = m.group(1)
                check(name == family and name in self.type, "sample outside of its family: " + line)
                key = (name, frozenset(parse_labels(m.group(3) or "").items()))
                check(key not in self.series, "series twice: " + line)
                value = float(m.group(4))
                check(value == value and abs(value) != float("inf"), "NaN or Inf: " + line)
                self.series[key] = value
        check(set(self.type) == set(self.help), "HELP without TYPE")

    def families(self):
        return set(self.type)

    def labels_of(self, label="groupname"):
        return {v for _, labels in self.series for k, v in labels if k == label}

    def get(self, name, **labels):
        """The one series that has these labels among its own; None."""
        wanted = set(labels.items())
        found = [v for (n, l), v in self.series.items() if n == name and wanted <= l]
        check(len(found) <= 1, "%s%r is not unique" % (name, labels))
        return found[0] if found else None

    def sum(self, name, **labels):
        wanted = set(labels.items())
        return sum(v for (n, l), v in self.series.items() if n == name and wanted <= l)

    def counters(self):
        return {k: v for k, v in self.series.items() if self.type[k[0]] == "counter"}


def check_never_falls(before, after, what):
    """Two mappings of counters: those in both must not have decreased."""
    for key, value in before.items():
        if key in after:
            check(after[key] >= value,
                  "%s: the counter %r fell from %r to %r" % (what, key, value, after[key]))


# ---- Line protocol --------------------------------------------------------------------

# the same in every dialect; the rest of the fields are gauges
INFLUX_COUNTERS = {
    "cpu_time_user", "cpu_time_system", "disk_read_bytes", "disk_write_bytes", "read_bytes",
    "write_bytes", "read_count", "write_count", "voluntary_context_switches",
    "involuntary_context_switches", "minor_faults", "major_faults", "run_queue_wait",
    "blkio_delay", "starts", "exits", "processes_vanished", "groups_overflowed", "lost_events",
    "threads_skipped", "pattern_limits", "cmdlines_cut", "state_failures", "cgroup_cpu_periods",
    "cgroup_cpu_throttled_periods", "cgroup_cpu_throttled", "cgroup_cpu_pressure_some",
    "cgroup_cpu_pressure_full", "cgroup_memory_pressure_some", "cgroup_memory_pressure_full",
    "cgroup_io_pressure_some", "cgroup_io_pressure_full", "cgroup_memory_events_high",
    "cgroup_memory_events_max", "cgroup_memory_events_oom", "cgroup_memory_events_oom_kill"}


def _split(text, separator):
    """At separators that no backslash stands right before, be it escaped or not; what
    the parsers of InfluxDB and Telegraf do."""
    return re.split(r"(?<!\\)" + separator, text)


def _unescape(text):
    return re.sub(r'\\([,= ])', r'\1', text)


class Point:
    def __init__(self, line):
        head, fields, stamp = (_split(line, " ") + ["", ""])[:3]
        check(len(_split(line, " ")) == 3, "bad line: %r" % line)
        series = _split(head, ",")
        self.measurement = _unescape(series[0])
        self.tags, self.fields, self.types = {}, {}, {}
        for tag in series[1:]:
            check(len(_split(tag, "=")) == 2, "bad tag %r in %r" % (tag, line))
            key, value = _split(tag, "=")
            check(value != "", "empty tag value: %r" % line)
            check(not value.endswith("\\") or value.endswith("\\\\"), "tag ends in \\: %r" % line)
            check(_unescape(key) not in self.tags, "tag twice: %r" % line)
            self.tags[_unescape(key)] = _unescape(value)
        for field in fields.split(","):
            m = re.match(r'([a-z_][a-z0-9_]*)=(-?[0-9]+i|-?[0-9]+(?:\.[0-9]+)?)\Z', field)
            check(m, "bad field %r in %r" % (field, line))
            check(m.group(1) not in self.fields, "field twice: %r" % line)
            whole = m.group(2).endswith("i")
            self.types[m.group(1)] = "integer" if whole else "float"
            self.fields[m.group(1)] = int(m.group(2)[:-1]) if whole else float(m.group(2))
        check(re.match(r'[0-9]{19}\Z', stamp), "bad time: %r" % line)
        self.time_ns = int(stamp)

    def key(self):
        return (self.measurement, frozenset(self.tags.items()))

    def cpu(self):
        return self.fields.get("cpu_time_user", 0) + self.fields.get("cpu_time_system", 0)


class Points(dict):
    """One cycle of line protocol: group -> point, and what it says about itself."""

    def __init__(self, text):
        super().__init__()
        self.text, self.self_point, self.all = text, None, []
        self.threads, self.channels = {}, {}  # of a group: name -> point
        text.encode("utf-8")
        check(text.endswith("\n"), "the cycle does not end with a newline")
        for line in text[:-1].split("\n"):
            p = Point(line)
            self.all.append(p)
            if "thread_name" in p.tags:
                self.threads.setdefault(p.tags["groupname"], {})[p.tags["thread_name"]] = p
            elif "wchan" in p.tags:
                self.channels.setdefault(p.tags["groupname"], {})[p.tags["wchan"]] = p
            elif "groupname" in p.tags:
                check(p.tags["groupname"] not in self, "group twice: %r" % line)
                self[p.tags["groupname"]] = p
            else:
                self.self_point = p
        check(self.self_point, "no line about proctally itself")
        check(len({p.key() for p in self.all}) == len(self.all), "a series is there twice")
        check_equal(len({p.time_ns for p in self.all}), 1, "times in one cycle")

    def counters(self):
        return {(p.key(), f): v for p in self.all for f, v in p.fields.items()
                if f in INFLUX_COUNTERS}

    def total(self, names, *fields):
        """The sum of fields over the groups that there are."""
        return sum(self[n].fields.get(f, 0) for n in names if n in self for f in fields)

    def cpu(self, *names):
        return self.total(names, "cpu_time_user", "cpu_time_system")


def written_to(file):
    """What a program has written to a file so far. Where it writes next is not changed, as it
    would be by seeking: that place is ours as well."""
    fd = file.fileno()
    return os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "surrogateescape")


class Driver:
    """proctally-telegraf that collects exactly when it is told to. It reads /proc if
    nothing else is said: the other source learns of an end a little later."""

    def __init__(self, *flags, prefix=(), first=True, source="procfs", **how):
        self.stderr = tempfile.TemporaryFile()
        self.process = start([*prefix, how.pop("binary", TELEGRAF), "--interval", "1h", "--source", source,
                              *flags],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
                             **how)
        self.points, self.rest = None, b""
        if first:
            self.collect()

    def errors(self):
        return written_to(self.stderr)

    def read_cycle(self, seconds=180):
        end = time.monotonic() + seconds * PATIENCE
        fd = self.process.stdout.fileno()
        while True:
            # the line about itself is the last
            m = re.search(rb'(?:^|\n)proctally_self[ ,][^\n]*\n', self.rest)
            if m:
                text, self.rest = self.rest[:m.end()], self.rest[m.end():]
                return Points(text.decode("utf-8"))
            ready = select.select([fd], [], [], max(0, min(1, end - time.monotonic())))[0]
            # without a source it stays, tries again when it is asked, and answers nothing
            has_source = self.points or "E! source " not in self.errors()
            if not ready and has_source and time.monotonic() < end:
                continue
            data = os.read(fd, 1 << 16) if ready else b""
            if not data:
                raise Failed("proctally-telegraf %s; it said: %s" % (
                    "ended its output" if ready else "does not answer", self.errors()))
            self.rest += data

    def collect(self):
        """One collection; checks that no counter of any group fell."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        points = self.read_cycle()
        if self.points:
            check_never_falls(self.points.counters(), points.counters(), "collecting")
        self.points = points
        return points

    def end(self):
        """Ends its input; it must leave with status 0."""
        self.process.stdin.close()
        # where there are many groups a last cycle is more than a pipe holds
        end = time.monotonic() + 30 * PATIENCE
        fd = self.process.stdout.fileno()
        while select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            data = os.read(fd, 1 << 16)
            if not data:
                break
            self.rest += data
        try:
            status = self.process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed("proctally-telegraf goes on after the end of its input")
        check_equal(status, 0, "status of proctally-telegraf (%s)" % self.errors())


# ---- Workloads ----------------------------------------------------------------------------

_serial = [0]


def unique(word):
    """A process name of at most 15 bytes that nobody else has."""
    _serial[0] += 1
    return ("pt%s%d_%s" % (str(os.getpid())[-6:], _serial[0], word))[:15]


def linked(directory, name, program):
    """The program under another name: the kernel names a process after the link."""
    path = os.path.join(directory, name)
    os.symlink(os.path.realpath(program), path)
    return path


_WORKLOAD_HEAD = """
import ctypes, json, os, resource, sys, time, threading
def say(**what):
    os.write(1, json.dumps(what).encode() + b"\\n")
def wait():
    return os.read(0, 1)
def cpu(who=resource.RUSAGE_SELF):
    u = resource.getrusage(who)
    return u.ru_utime + u.ru_stime
def burn(seconds):
    end = cpu() + seconds
    while cpu() < end:
        for i in range(2000):
            pass
def set_name(name):
    ctypes.CDLL(None).prctl(15, ctypes.c_char_p(name), 0, 0, 0)
"""


class Workload:
    """A Python program under a name of its own. It says things as lines of JSON,
    and goes on when it gets a byte."""

    heard = b""

    def __init__(self, code, name=None, directory=None, args=(), prefix=(), **how):
        self.name = name or unique("w")
        directory = directory or temp_dir()
        self.process = start([*prefix, linked(directory, self.name, PYTHON), "-I", "-S", "-c",
                              _WORKLOAD_HEAD + code, *args],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, **how)
        self.pid = self.process.pid

    def ready(self, seconds=0):
        """Is there something to hear, or an end?"""
        if b"\n" in self.heard:
            return True
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def hear(self, seconds=120):
        while b"\n" not in self.heard:
            data = b""
            if self.ready(seconds * PATIENCE):
                data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise Failed("the workload %s says nothing" % self.name)
            self.heard += data
        line, self.heard = self.heard.split(b"\n", 1)
        return json.loads(line)

    def go_on(self):
        self.process.stdin.write(b"x")
        self.process.stdin.flush()

    def end(self):
        """Lets it end; it must do so properly."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        check_equal(self.process.wait(60 * PATIENCE), 0, "status of the workload %s" % self.name)


SLEEPER = "say(pid=os.getpid())\nwait()\n"

# names that do harm where they are not escaped: quotes, newlines, backslashes,
# line protocol's and Prometheus's special characters, no UTF-8, a lone prefix
# of a character, what looks like a stat line
HOSTILE_NAMES = [b'a"b', b"a\nb", b"a\\b", b"a\\", b"x\xff\xfey", b"\xe2\x82", b"a) S 1 (b",
                 b"a,b=c d", b"a{b}#c", b"tab\tcr\r", b" ", b"a\x7fb\x01", "né\u20ac".encode(),
                 b"a/b", b"a_b", b"%s%n%d", b"fifteen_bytes__"]

HOSTILE = """
import base64
names = [base64.b64decode(a) for a in sys.argv[1:]]
for name in names:
    if os.fork() == 0:
        set_name(name)
        os.write(1, b"{}\\n")
        os.close(1)
        while os.read(0, 1):
            pass
        os._exit(0)
say(done=True)
wait()
os.close(0)
for _ in names:
    os.wait()
"""


def start_hostile(names=HOSTILE_NAMES):
    """Processes with these names, which stay until the case ends."""
    import base64
    w = Workload(HOSTILE, args=[base64.b64encode(n).decode() for n in names])
    for _ in range(len(names) + 1):
        w.hear()
    return w


def is_root():
    return os.geteuid() == 0


def as_nobody():
    """The beginning of a command that runs the rest without any rights."""
    if not is_root():
        raise Skipped("not root, so nothing can be run as another user")
    return [need_program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
            "--inh-caps=-all", "--bounding-set=-all", "--"]


def can_mount():
    if not is_root():
        return False
    status = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL).returncode
    return status == 0


def need_mounts():
    if not can_mount():
        raise Skipped("no right to mount file systems in a namespace of its own")


def need_fuse_for_all():
    """/dev/fuse for other users than root, as udev has it."""
    if os.stat("/dev/fuse").st_mode & 0o6 != 0o6:
        raise Skipped("/dev/fuse is not everybody's here")


def need_own_root():
    """/ as the kernel sees it: in a chroot it names files as from outside, and / need not
    be a mount, without which there are no namespaces with mounts of their own."""
    before = os.stat("/")
    child = os.fork()
    if child == 0:
        # entering the namespace where one is leads to its root
        with open("/proc/self/ns/mnt") as namespace:
            entered = LIBC.setns(namespace.fileno(), CLONE_NEWNS) == 0
        after = os.stat("/")
        os._exit(entered and (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino))
    if os.waitpid(child, 0)[1] != 0:
        raise Skipped("in a chroot, not in a container or a machine of its own")


# ---- A recorded tree ---------------------------------------------------------------------

STAT = ("%d (%s) S %d %d %d 0 -1 4194304 100 0 0 0 %d %d 0 0 20 0 1 0 %d 10000000 500 "
        "18446744073709551615 1 1 1 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 1 2 3 4 5 6 7 0\n")
STATUS = """Name:\t%s
Umask:\t0022
State:\tS (sleeping)
Tgid:\t%d
Pid:\t%d
PPid:\t1
Uid:\t0\t0\t0\t0
Gid:\t0\t0\t0\t0
VmPeak:\t   10000 kB
VmSize:\t   10000 kB
VmRSS:\t    2000 kB
RssAnon:\t    1000 kB
VmData:\t     300 kB
VmStk:\t     132 kB
VmExe:\t      20 kB
VmLib:\t    1500 kB
VmSwap:\t       0 kB
Threads:\t1
voluntary_ctxt_switches:\t10
nonvoluntary_ctxt_switches:\t5
"""


class Tree:
    """A directory that looks like /proc."""

    def __init__(self):
        self.path = temp_dir(many_files=True)
        write_text(self.path + "/stat", "cpu  1000 0 1000 100000 0 0 0 0 0 0\n"
                   "cpu0 1000 0 1000 100000 0 0 0 0 0 0\nbtime 1700000000\n")
        os.makedirs(self.path + "/sys/kernel/random")
        write_text(self.path + "/sys/kernel/random/boot_id",
                   "11111111-2222-3333-4444-555555555555\n")

    def process(self, pid, comm, cpu=(5, 3), start=1000, ppid=1, cmdline=b"prog\0"):
        d = "%s/%d" % (self.path, pid)
        os.makedirs(d + "/fd", exist_ok=True)
        if isinstance(comm, str):
            comm = comm.encode()
        comm = comm.decode("latin-1")
        for name, text in (("stat", STAT % (pid, comm, ppid, pid, pid, *cpu, start)),
                           ("status", STATUS % (comm.replace("\n", "\\n"), pid, pid)),
                           ("schedstat", "1000 2000 3\n"), ("cgroup", "0::/\n"),
                           ("io", "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 0\n"
                                  "write_bytes: 0\ncancelled_write_bytes: 0\n"),
                           ("limits", "Limit  Soft Limit Hard Limit Units\n"
                            "Max open files            1024                 4096"
                            "                 files     \n")):
            with open(d + "/" + name, "wb") as f:
                f.write(text.encode("latin-1"))
        with open(d + "/cmdline", "wb") as f:
            f.write(cmdline)


# ---- The frame -----------------------------------------------------------------------------

def run_cases(module):
    """Runs all case_* functions (or those named on the command line)."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    cases = [(n, f) for n, f in vars(module).items() if n.startswith("case_") and callable(f)]
    if sys.argv[1:]:
        cases = [(n, f) for n, f in cases if n[5:] in sys.argv[1:]]
    failed, skipped, why = 0, 0, ""
    for name, function in cases:
        mark, begun = len(_cleanups), time.monotonic()
        try:
            function()
            print("ok    %s (%.1f s)" % (name[5:], time.monotonic() - begun))
        except Skipped as e:
            skipped += 1
            why = str(e)
            print("SKIP  %s: %s" % (name[5:], e))
        except Failed as e:
            failed += 1
            print("FAIL  %s: %s" % (name[5:], e))
        except Exception:
            failed += 1
            print("FAIL  %s" % name[5:])
            traceback.print_exc(file=sys.stdout)
        finally:
            _clean_up(mark)
    print("%d cases, %d failed, %d skipped" % (len(cases), failed, skipped))
    if failed or not cases:
        sys.exit(1)
    if skipped == len(cases):
        print(why)
        sys.exit(77)
    sys.exit(0)


def skip_all(why):
    print(why)
    sys.exit(77)
