# SPDX-License-Identifier: MIT
"""Programs that collect, one collection at a time, and what that cost them."""

import ctypes
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time
import urllib.request


PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def end_with_parent():
    """For a child before it turns into a program: it does not outlive us."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def cpu_ns(pid):
    """CPU time of a process with all its threads, ended ones too."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def resident(pid):
    """Bytes of resident memory: all of it, and what is not files."""
    sizes = {}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key in ("VmRSS", "RssAnon"):
                sizes[key] = int(value.split()[0]) * 1024
    return sizes.get("VmRSS", 0), sizes.get("RssAnon", 0)


class Contestant:
    """A program that was started; collect() makes it collect once."""

    def __init__(self, name, command, **popen):
        self.name = name
        popen.setdefault("stdin", subprocess.PIPE)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.DEVNULL)
        self.command, self.popen = command, popen
        self.samples = {}
        self.ends = 0  # how often it ended by itself
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, preexec_fn=end_with_parent, **self.popen)
        self.pid = self.process.pid

    def ask(self):
        raise NotImplementedError

    def collect(self):
        before = cpu_ns(self.pid)
        self.ask()
        return cpu_ns(self.pid) - before

    def measure(self, mode):
        """Collects; mode None: without keeping what it cost."""
        try:
            cost = self.collect()
        except OSError:
            if self.process.poll() is None:
                raise
            self.ends += 1
            self.start()
            return
        if mode:
            self.samples.setdefault(mode, []).append(cost)

    def cost_ns(self, mode):
        """The median where each collection does the same work. Where few processes
        run, the mean: proctally reads the others again each minute, some in this
        collection and more in that."""
        middle = statistics.median if mode == "awake" else statistics.mean
        return middle(self.samples[mode])

    def close(self):
        for end in (self.process.stdin, self.process.stdout):
            if end:
                try:
                    end.close()
                except OSError:
                    pass
        try:
            self.process.terminate()
        except OSError:
            pass
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Floor(Contestant):
    def ask(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self.processes = int(self.process.stdout.readline().split()[0])


class Telegraf(Contestant):
    """proctally-telegraf, which collects for each line that it gets."""

    def __init__(self, name, program, *arguments):
        super().__init__(name, [program, "--interval", "1h", *arguments])
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = b""
        time.sleep(1) # source bpf takes a while to be set up

    def ask(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        text = b""
        deadline = time.monotonic() + 120
        # the line about the collector is the last
        while b"\nproctally_self" not in text or not text.endswith(b"\n"):
            piece = self.process.stdout.read()
            if piece:
                text += piece
            elif self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer")
            else:
                time.sleep(0.001)
        self.text = text

    def own(self, field):
        """A field of the line about the collector, or None."""
        found = re.search(rb"[ ,]" + field.encode() + rb"=([0-9.]+)",
                          self.text[self.text.rindex(b"\nproctally_self"):])
        return float(found.group(1)) if found else None


class Exporter(Contestant):
    """Something that is scraped."""

    def __init__(self, name, command, url, **popen):
        super().__init__(name, command, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, **popen)
        self.url = url

    def start(self):
        super().start()
        time.sleep(1)

    def ask(self):
        try:
            with urllib.request.urlopen(self.url, timeout=60) as answer:
                answer.read()
        except OSError:
            time.sleep(0.5)  # it may be about to end
            raise


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def process_exporter(directory, *flags):
    """Each program's processes a group, once all have been read; None: it is not installed."""
    program = shutil.which("prometheus-process-exporter") or shutil.which("process-exporter")
    if not program:
        return None
    config = f"{directory}/process-exporter.yaml"
    with open(config, "w") as f:
        f.write("process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n")
    address = f"127.0.0.1:{free_port()}"
    found = Exporter("process-exporter", [program, "-config.path", config,
                                          "-web.listen-address", address, *flags],
                     f"http://{address}/metrics")
    for _ in range(120):
        try:
            found.ask()
            break
        except OSError:
            time.sleep(0.5)
    return found


class FreeRunner(Contestant):
    """Collects by itself every interval, the same as that of the rounds. What it used
    since it was asked last is what one collection costs, wherever in between it was."""

    def __init__(self, name, command, interval_s, **popen):
        popen.setdefault("stdout", subprocess.DEVNULL)
        super().__init__(name, command, **popen)
        self.interval_s = interval_s

    def start(self):
        super().start()
        self.used_ns = cpu_ns(self.pid)

    def ask(self):
        time.sleep(self.interval_s)

    def collect(self):
        before, self.used_ns = self.used_ns, cpu_ns(self.pid)
        return self.used_ns - before


def system_calls(contestant):
    """How many system calls one collection makes, counted by strace."""
    read, write = os.pipe()
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", f"/proc/self/fd/{write}",
                               "-p", str(contestant.pid)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, pass_fds=(write,))
    os.close(write)
    try:
        line = tracer.stderr.readline()
        if b"attached" not in line:
            return None
        contestant.ask()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.stderr.read()
        tracer.wait()
        with os.fdopen(read) as f:
            text = f.read()
    for line in text.splitlines():
        words = line.split()
        if len(words) > 4 and words[-1] == "total":
            return int(words[3])
    return None
