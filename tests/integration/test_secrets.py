#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Command lines can hold passwords: they reach no output, message or file unless a
template asks for them, and nobody through proctally who could not read them anyway."""
import os
import shutil
import struct
import sys

from common import *

SECRET = "hunter2" + "".join(chr(ord("a") + int(c)) for c in str(os.getpid()))
NOBODY = 65534


def with_password(**how):
    w = Workload(SLEEPER, args=["--password=" + SECRET, SECRET, "a" * 40 + "!"], **how)
    w.hear()
    return w


def search(what, *texts):
    for text in texts:
        text = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        at = text.find(SECRET.encode())
        check(at < 0, "the password is in %s" % what, repr(text[max(0, at - 200):at + 200]))


def rules_of(w):
    """Rules that look at the command line, and one that stumbles over it."""
    return ('[{name: one, comm: [nobody-has-this], cmdline: ["%s"]}, '
            '{name: two, comm: [%s], cmdline: ["(a+)+$"]}, '
            '{comm: [%s], cmdline: ["--password=(?P<P>\\\\S+)"], name: "by {{.Comm}}"}]'
            % (SECRET[:4], w.name, w.name))


def case_in_no_output():
    """Whatever the grouping and the dialect; nor in messages, nor in the state."""
    prefix = as_nobody() if is_root() else ()
    w = with_password(prefix=prefix)
    state = os.path.join(temp_dir(), "state")
    for flags in ([], ["--group-by", "cmdline"], ["--group-by", "pid"],
                  ["--group-by", "name,user,cmdline,exe,cgroup,unit,container"],
                  ["--max-groups", "3"], ["--process_names", rules_of(w)],
                  ["--process_names", rules_of(w), "--children", "--group-by", ""],
                  ["--schema", "process"], ["--schema", "process-exporter"]):
        for program in (TEXTFILE, TELEGRAF):
            what = "%s %s" % (os.path.basename(program), " ".join(flags))
            if os.path.exists(state):
                os.unlink(state)
            status, out, err = run([program, "--once", "--state-file", state, *flags])
            check_equal(status, 0, "status of %s (%s)" % (what, err))
            # the rules themselves hold no more than a piece of it
            search("what %s prints" % what, out, err)
            with open(state, "rb") as f:
                search("the state file of %s" % what, f.read())
            status, out, err = run([program, *flags, "--explain", str(w.pid)])
            check_equal(status, 0, "status of --explain (%s)" % err)
            search("what %s explains" % what, out, err)
    m = Metrics(run([TEXTFILE, "--process_names", rules_of(w)])[1])
    check_equal(m.get("proctally_processes", groupname="by " + w.name), 1, "the rule's group")


def case_asked_for():
    """What a template takes is in the outputs and in the state file, which is closed to
    others; so is one that is set aside."""
    w = with_password()
    directory = temp_dir()
    state = os.path.join(directory, "state")
    flags = ["--process_names", '[{name: "{{.Matches.P}}", comm: [%s], '
             'cmdline: ["password=(?P<P>\\\\S+)"]}]' % w.name, "--state-file", state]
    os.umask(0)
    try:
        status, out, err = run([TEXTFILE, *flags])
        check(SECRET in out, "it was asked for and is not there")
        check_equal(os.stat(state).st_mode & 0o777, 0o600, "mode of the state file")
        with open(state, "ab") as f:
            f.write(b"x")
        status, out, err = run([TEXTFILE, *flags])
        check("is kept as" in err, "the damaged state was taken", err)
    finally:
        os.umask(0o022)
    search("what it says of a damaged state", err)
    for name in os.listdir(directory):
        check_equal(os.stat(os.path.join(directory, name)).st_mode & 0o777, 0o600,
                    "mode of " + name)


def case_laid_out_file():
    """A file that somebody else has opened is not what the state is written into."""
    if not is_root():
        raise Skipped("not root: no file can be given to another user")
    w = with_password()
    for mode in (0o755, 0o1777):
        directory = temp_dir()
        state, trap = directory + "/state", directory + "/.state.tmp"
        os.chmod(directory, mode)
        with open(trap, "w+b") as f:
            os.chown(trap, NOBODY, NOBODY)
            os.chmod(trap, 0o666)
            status, out, err = run([TEXTFILE, "--state-file", state, "--process_names",
                                    '[{name: "{{.Matches.P}}", comm: [%s], '
                                    'cmdline: ["password=(?P<P>\\\\S+)"]}]' % w.name])
            check_equal((status, err), (0, ""), "status, and what it says")
            check(SECRET in out, "it was asked for and is not there")
            check_equal(f.read(), b"", "what the other user reads")
        st = os.stat(state)
        check_equal((st.st_uid, st.st_mode & 0o777), (0, 0o600), "owner and mode of the state")
        check_equal(os.listdir(directory), ["state"], "files")


def give_capabilities(path, bits):
    """As setcap(8) does, with +ep."""
    try:
        os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000001, bits, 0, 0, 0))
    except OSError as e:
        raise Skipped("files can't be given capabilities here: %s" % e)


def with_file_capabilities(prefix):
    """A copy of the program that may read everything, whoever starts it, and the
    beginning of a command that starts it as somebody else."""
    binary = shutil.copy(TEXTFILE, temp_dir())
    give_capabilities(binary, 1 << 19 | 1 << 2 | 1 << 12)
    # --bounding-set=-all would take them away again
    return [p for p in prefix if not p.startswith("--bounding-set")], binary


def case_files_of_others():
    """Capabilities of the program's file do not read files for whoever starts it: not
    by a tree with links in the places of what a process shows, nor by error messages."""
    prefix, binary = with_file_capabilities(as_nobody())
    tree, secret = temp_dir(), os.path.join(temp_dir(), "secret")
    write_text(secret, "password=%s:\n" % SECRET)
    os.chmod(secret, 0o600)
    os.mkdir(tree + "/77")
    stat = read_text("/proc/self/stat")
    write_text(tree + "/77/stat", "77" + stat[stat.index(" "):])
    for name in ("status", "io", "limits", "cgroup"):
        write_text(tree + "/77/" + name, read_text("/proc/self/" + name))
    write_text(tree + "/stat", read_text("/proc/stat"))
    os.symlink(secret, tree + "/77/cmdline")
    rules = ["--process_names", '[{name: "found {{.Matches.P}}", cmdline: ["(?P<P>.*)"]}]']
    # root may; else this proves nothing
    status, out, err = run([TEXTFILE, "--procfs", tree, *rules])
    check("found password=" + SECRET in out, "root's view", out[:1000], err)
    status, out, err = run([*prefix, binary, "--procfs", tree, *rules])
    search("what is printed", out, err)
    check_equal(status, 2, "status (%s)" % err)
    status, out, err = run([*prefix, binary, "--procfs", tree, "--explain", "77", *rules])
    search("what is explained", out, err)
    status, out, err = run([*prefix, binary, "--check-config", "--config", secret])
    search("what is wrong with a configuration", out, err)
    check_equal(status, 2, "status (%s)" % err)
    status, out, err = run([*prefix, binary])
    check_equal(status, 0, "status with /proc (%s)" % err)


def case_explain_with_file_capabilities():
    """--explain shows what whoever asks could see, even if the program can see more."""
    prefix = as_nobody()
    need_mounts()
    prefix, binary = with_file_capabilities(prefix)
    name = unique("s")
    path = linked(temp_dir(), name, "/bin/sh")
    script = ('mount -t proc -o hidepid=2 proc /proc || exit 99; '
              '"$1" -c "while :; do sleep 1; done" "$2" & pid=$!; '
              'until grep -qx "${1##*/}" "/proc/$pid/comm"; do sleep 0.05; done; shift 2; "$@" $pid')
    inside = ["unshare", "-m", "-p", "-f", "sh", "-c", script, "-", path, "password=" + SECRET]
    ask = [binary, "--process_names",
           '[{name: "found {{.Matches.P}}", comm: [%s], cmdline: ["password=(?P<P>\\\\S+)"]}]'
           % name]
    # the pid is the last word, and here a harmless one
    status, out, err = run([*inside, *prefix, *ask, "--max-groups"])
    if status == 99:
        raise Skipped("no right to mount proc")
    # as a collector it sees everything, by its capabilities; else this proves nothing
    if "found " + SECRET not in out:
        raise Skipped("capabilities of files do not count here")
    status, out, err = run([*inside, *prefix, *ask, "--explain"])
    check_equal(status, 1, "status of --explain (%s)" % out)
    search("what is explained", out, err)
    check("no process" in err or "cannot explain" in err, "what it says", err)
    # root may see it
    status, out, err = run([*inside, *ask, "--explain"])
    check("found " + SECRET in out, "root's view", out, err)
    # and everybody may, where nothing is hidden
    w = with_password()
    status, out, err = run([*prefix, binary, "--explain", str(w.pid), "--process_names",
                            '[{name: "found {{.Matches.P}}", comm: [%s], '
                            'cmdline: ["password=(?P<P>\\\\S+)"]}]' % w.name])
    check("found " + SECRET in out, "a process that everybody sees", out, err)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
