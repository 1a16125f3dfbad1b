#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How much of the CPU time of short processes is found: a shell starts 1,000 of
some milliseconds or less, collected once a second, and its own account is compared
with the counters of their group. As root, for source bpf."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

SRC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
TEXTFILE = os.path.join(os.environ.get("BENCH_BUILD", SRC), "plugins/textfile/proctally-textfile")
EXPORTER = shutil.which("prometheus-process-exporter") or shutil.which("process-exporter")
PORT = 19256
RULES = "process_names:\n  - name: short\n    comm: [shortsh, shortawk]\n"
WORK = """read x; i=0
while [ $i -lt 1000 ]; do ./shortawk 'BEGIN { for (i = 0; i < 20000; i++) s += i }'; i=$((i + 1)); done
read x"""


def scrape():
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics") as answer:
        return answer.read().decode()


def show_file():
    with open("groups.prom", encoding="utf-8") as file:
        return file.read()


def measure(name, command, look):
    collector = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        shell = subprocess.Popen(["./shortsh", "-c", WORK], stdin=subprocess.PIPE)
        for seconds in (2, 8): # known before it works; all seen after it did
            for _ in range(seconds):
                time.sleep(1)
                text = look()
            shell.stdin.write(b"\n")
            shell.stdin.flush()
        shell.stdin.close()
        _, _, used = os.wait4(shell.pid, 0)
    finally:
        collector.terminate()
        collector.wait()
    found = re.findall(r'_cpu_seconds_total\{groupname="short".*\} (\S+)$', text, re.M)
    print(f"{name:18} {sum(map(float, found)):6.3f} s of {used.ru_utime + used.ru_stime:6.3f} s",
          flush=True)


def main():
    if not os.access(TEXTFILE, os.X_OK):
        sys.exit(f"{TEXTFILE} is not there: build first, or name the build in BENCH_BUILD")
    with tempfile.TemporaryDirectory() as directory:
        textfile = os.path.abspath(TEXTFILE)
        os.chdir(directory)
        shutil.copy(os.path.realpath(shutil.which("sh")), "shortsh")
        shutil.copy(os.path.realpath(shutil.which("awk")), "shortawk")
        with open("rules.yaml", "w", encoding="utf-8") as file:
            file.write(RULES)
        for source in ("bpf", "procfs"):
            measure(f"source {source}",
                    [textfile, "--source", source, "--interval", "1s", "--group-by", "",
                     "--config", "rules.yaml", "--output", "groups.prom"], show_file)
        if EXPORTER:
            measure("process-exporter",
                    [EXPORTER, "-config.path", "rules.yaml", "-web.listen-address",
                     f"127.0.0.1:{PORT}"], scrape)


if __name__ == "__main__":
    main()
