#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
# aside
"""The plugin, built with ThreadSanitizer, in a real collectd with several threads
that read, write, list and flush: no data race in it, up to and into the end."""
import glob
import grp
import os
import shutil
import socket
import sys
import threading
import time

from common import *

SECONDS = 10


def build(directory):
    """proctally.so of the same sources; it is not what is installed."""
    if not shutil.which("gcc"):
        raise Skipped("no gcc")
    library = run(["gcc", "-print-file-name=libtsan.so"])[1].strip()
    if not os.path.isabs(library):
        raise Skipped("gcc has no libtsan")
    headers = make_variable("COLLECTD_CPPFLAGS")
    if not headers:
        raise Skipped("no headers of collectd")
    path = os.path.join(directory, "proctally.so")
    core = os.path.join(SRC, "core")
    sources = [file for part in (core, os.path.join(SRC, "plugins/collectd"))
               for file in sorted(glob.glob(glob.escape(part) + "/**/*.c", recursive=True))
               if not file.endswith(".bpf.c") and "/source/darwin/" not in file]
    common = os.path.join(SRC, "plugins/common")
    sources += [os.path.join(common, name) for name in ("instance.c", "sha256.c")]
    status, out, err = run(
        ["gcc", "-g", "-O1", "-fsanitize=thread", "-fPIC", "-shared", "-std=gnu11",
         "-D_GNU_SOURCE=", "-D_FILE_OFFSET_BITS=64", "-I" + BUILD, "-iquote",
         BUILD + "/core", "-iquote", core, "-iquote", common,
         "-idirafter", core, *headers, *sources, "-o", path,
         *(w for name in ("YAML_LIBS", "PCRE2_LIBS", "MNL_LIBS", "BPF_LIBS")
           for w in make_variable(name))],
        seconds=200)
    check_equal(status, 0, "building with -fsanitize=thread (%s)" % err[-2000:])
    with open(path, "rb") as f:
        check(b"__tsan_write8" in f.read(), "the plugin is built without ThreadSanitizer")
    return os.path.realpath(library)


CONFIG = """
Hostname "here"
FQDNLookup false
BaseDir "{d}"
PIDFile "{d}/pid"
PluginDir "{d}"
TypesDB "{types}"
Interval 0.1
ReadThreads 5
WriteThreads 3
LoadPlugin logfile
<Plugin logfile>
  File "{d}/log"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{d}/csv"
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{d}/socket"
  SocketGroup "{group}"
</Plugin>
LoadPlugin proctally
<Plugin proctally>
  StateFile "{d}/state"
  GroupBy "name" "user"
  <Group "{{{{.ExeBase}}}}">
    Cmdline "^(?P<All>/.*)"
  </Group>
</Plugin>
"""


def pester(path, stop_it):
    """Asks collectd for its values, and to write them, again and again."""
    while not stop_it.is_set():
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(path)
                # The file is one more hold on the connection. While that is open a thread of
                # collectd reads from it, and since glibc 2.41 exit() waits for that thread.
                with s.makefile("rwb") as f:
                    for line in (b"LISTVAL\n", b"FLUSH plugin=csv\n"):
                        f.write(line)
                        f.flush()
                        count = int(f.readline().split()[0])
                        for _ in range(max(0, count) if line.startswith(b"LIST") else 0):
                            f.readline()
        except (OSError, ValueError, IndexError):
            time.sleep(0.05)


def case_no_races():
    collectd = need_program("collectd")
    plugins = next((d for d in ("/usr/lib/collectd", "/usr/lib64/collectd")
                    if os.path.exists(d + "/csv.so")), None)
    types = "/usr/share/collectd/types.db"
    if not plugins or not os.path.exists(types):
        raise Skipped("collectd's own plugins (csv, unixsock) were not found")
    d = temp_dir()
    library = build(d)
    for name in ("csv.so", "unixsock.so", "logfile.so"):
        shutil.copy(os.path.join(plugins, name), d)
    config = write_text(d + "/collectd.conf", CONFIG.format(
        d=d, types=types, group=grp.getgrgid(os.getegid()).gr_name))
    command = [collectd, "-f", "-C", config]
    # of addresses at random the sanitizer can't bear all
    if shutil.which("setarch") and run(["setarch", "-R", "true"])[0] == 0:
        command = ["setarch", "-R", *command]
    with open(d + "/output", "wb") as output:
        process = start(command, stdout=output, stderr=output, env=dict(
            os.environ, LD_PRELOAD=library, TSAN_OPTIONS="log_path=%s/report exitcode=0" % d))

    def works():
        if process.poll() is not None:
            said = read_text(d + "/output") + "".join(
                read_text(f) for f in glob.glob(glob.escape(d) + "/report*"))
            if "unexpected memory mapping" in said:
                raise Skipped("ThreadSanitizer does not run on this kernel")
            raise RuntimeError("collectd ended with status %d: %s" % (process.returncode, said))
        return glob.glob(glob.escape(d) + "/csv/here/proctally/*")

    wait_for(works, "the first values", 90)
    check("libtsan" in read_text("/proc/%d/maps" % process.pid), "the sanitizer is not loaded")
    stop_it = threading.Event()
    threads = [threading.Thread(target=pester, args=(d + "/socket", stop_it)) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        time.sleep(SECONDS)
        check_equal(process.poll(), None, "status of collectd")
        process.terminate()  # while it reads, and is asked
        status = process.wait(60)
    finally:
        stop_it.set()
        for t in threads:
            t.join()
    check_equal(status, 0, "status of collectd (%s)" % read_text(d + "/log")[-1000:])
    reports = "".join(read_text(f) for f in glob.glob(glob.escape(d) + "/report*"))
    # collectd itself is not built for this: only what has a part in the plugin counts
    ours = [r for r in reports.split("==================") if "proctally.so" in r]
    check(not ours, "%d reports" % len(ours), *ours[:3])


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
