#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 200
"""Rules by every selector, on processes that are there, from each source; and on those that
were over before anybody looked."""
import os
import shutil
import subprocess
import sys
import time

from common import *

GID = 61000 + os.getpid() % 4000 # of nobody else


def sources():
    """procfs, and bpf where that works."""
    if not is_root():
        return ["procfs"]
    status, _, err = run([TEXTFILE, "--once", "--source", "bpf", "--output", "-"])
    return ["procfs", "bpf"] if status == 0 else ["procfs"]


def configured(directory, text):
    return "--config", write_text(os.path.join(directory, unique("conf")), text)


def members(points, group):
    return points[group].fields["num_procs"] if group in points else None


def soon(d, wanted):
    """The numbers of processes of groups, within some seconds."""
    found = None
    for _ in range(20):
        points = d.collect()
        found = {g: members(points, g) for g in wanted}
        if found == wanted:
            return
        time.sleep(0.5)
    check_equal(found, wanted, "processes")


def explained(flags, pid):
    status, out, err = run([TEXTFILE, *flags, "--explain", str(pid)])
    check_equal(status, 0, "status of --explain (%s)" % err)
    return out


STARTER = """
import subprocess
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
say(pid=child.pid)
wait()
child.stdin.close()
child.wait()
"""


def case_live():
    """Each selector, the same from both sources, and why."""
    directory = temp_dir()
    cat = linked(directory, unique("cat"), shutil.which("cat"))
    top = Workload(STARTER, unique("top"), args=[cat])
    below = top.hear()["pid"]
    dropped, kept, other = (Workload(SLEEPER, unique(w), args=["--rules-test"])
                            for w in ("gd", "gk", "o"))
    for w in dropped, kept, other:
        w.hear()
    group = ["setpriv", "--regid", str(GID), "--clear-groups", cat]
    ours = start(group, stdin=subprocess.PIPE) if is_root() and shutil.which("setpriv") else None
    wait_for(lambda: os.path.basename(cat) in read_text("/proc/%d/comm" % below), "the child")
    if ours:
        wait_for(lambda: os.path.basename(cat) in read_text("/proc/%d/comm" % ours.pid), "the group")
    pid_file = write_text(os.path.join(directory, "x.pid"), "%d\n" % other.pid)
    rules = """
group-by: []
process_names:
  - {drop: true, comm: ['%s']}
  - {name: by-gid, gid: [%d]}
  - {name: below, parent: {exe: ['glob:*/%s*']}, not: {comm: [nobody]}}
  - {name: by-file, pid_file: [%s]}
  - {name: globbed, comm: ['glob:%s*'], kernel: false}
  - {name: literal, comm: ['%s*']}
  - {name: not-test, cmdline: ['rules-test'], not: {comm: ['glob:*gk']}}
  - {name: kernel, kernel: true}
""" % (dropped.name, GID, top.name[:-1], pid_file, kept.name[:-1], kept.name[:-1])
    flags = configured(directory, rules)
    # in a container there are none to see
    has_kernel_threads = os.path.exists("/proc/2/comm") and read_text("/proc/2/comm") == "kthreadd\n"
    for source in sources():
        d = Driver(*flags, source=source)
        wanted = {"by-gid": int(ours is not None), "below": 1, "by-file": 1, "globbed": 1,
                  "literal": 0, "not-test": 0}
        soon(d, wanted)
        check_equal(members(d.points, "kernel") > 0, has_kernel_threads, "threads of the kernel's own")
        # another one, while both sleep
        write_text(pid_file, "%d\n" % kept.pid)
        soon(d, {"by-file": 1, "globbed": 0, "not-test": 1})
        os.unlink(pid_file)
        soon(d, {"by-file": 0, "globbed": 1, "not-test": 1})
        write_text(pid_file, "%d\n" % other.pid)
        soon(d, wanted)
        d.end()
    out = explained(flags, dropped.pid)
    check("rule 1 (line 4): matches: left out" in out and "in no group" in out, "explained", out)
    out = explained(flags, below)
    check("rule 2 (line 5): gid does not match" in out and "group: below" in out, "explained", out)
    out = explained(flags, kept.pid)
    for line in ("rule 3 (line 6): parent does not match (no ancestor", "rule 4 (line 7): pid_file",
                 "group: globbed"):
        check(line in out, "explained", out)


def case_pid_files_of_others():
    """Of a file that another user wrote only his own processes are meant; and nothing but a
    file is read."""
    if not is_root():
        raise Skipped("not root")
    directory = temp_dir()
    os.chmod(directory, 0o755)
    w = Workload(SLEEPER)
    w.hear()
    path = write_text(os.path.join(directory, "x.pid"), "%d\n" % w.pid)
    d = Driver(*configured(directory, "group-by: []\nprocess_names:\n- {name: x, pid_file: [%s]}\n"
                           % path))
    check_equal(members(d.points, "x"), 1, "processes")
    os.chown(path, GID, GID)
    check_equal(members(d.collect(), "x"), 0, "processes, with another's file")
    os.chown(path, 0, 0)
    check_equal(members(d.collect(), "x"), 1, "processes, with root's again")
    os.utime(path, (1, 1))
    check_equal(members(d.collect(), "x"), 0, "processes, with a file from before it began")
    os.unlink(path)
    os.mkfifo(path)
    begun = time.monotonic()
    check_equal(members(d.collect(), "x"), 0, "processes, with a pipe")
    check(time.monotonic() - begun < 5, "it waits for the pipe")
    os.unlink(path)
    os.symlink("/etc/shadow", path)
    check_equal(members(d.collect(), "x"), 0, "processes, with a link to something else")
    d.end()
    said = [line for line in d.errors().splitlines() if "pid file" in line]
    check_equal(len(said), 1, "messages (%s)" % said)
    check("means nobody: it is no regular file" in said[0], "the message", said)
    shadow = read_text("/etc/shadow").split(":")[0]
    check(shadow not in said[0].replace(path, ""), "what the file holds is told", said)


def case_unlisted():
    """What came and went between two collections: by group, by ancestor, and left out."""
    if "bpf" not in sources():
        raise Skipped("source bpf does not work here")
    need_own_root()
    directory = temp_dir()
    true = shutil.which("true")
    a, b, left = (linked(directory, unique(w), true) for w in ("a", "b", "l"))
    sh = linked(directory, unique("sh"), shutil.which("sh"))
    need_program("setpriv")
    d = Driver(*configured(directory, """
group-by: []
process_names:
  - {drop: true, exe: ['%s']}
  - {name: by-gid, exe: ['%s'], gid: [%d]}
  - {name: below, exe: ['%s'], parent: {exe: ['%s']}}
  - {name: elsewhere, exe: ['%s'], not: {parent: {exe: ['%s']}}}
  - {name: never, exe: ['%s']}
""" % (left, a, GID, b, sh, b, sh, left)), source="bpf")
    for _ in range(3):
        run(["setpriv", "--regid", str(GID), "--clear-groups", a])
        run([a])
        run([sh, "-c", "%s; sh -c '%s; :'; :" % (b, b)])
        run([b])
        run([left])
    wanted = {"by-gid": 3, "below": 6, "elsewhere": 3, "never": 0}
    for _ in range(30):
        points = d.collect()
        found = {g: points[g].fields["exits"] for g in wanted}
        if found == wanted:
            break
        time.sleep(0.5)
    check_equal(found, wanted, "exits")
    d.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
