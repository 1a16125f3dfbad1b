#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 600
# aside
"""libproctally-fs in a program that does as it is told: what readers see, and all that has
gone wrong with such file systems. Whoever reads has a time limit; if it is over, the program
is killed, since nothing else frees a reader of a file system that does not answer."""
import ctypes
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time

from common import *

FS = os.path.join(SRC, "plugins/fs")
ARCHIVE = os.path.join(BUILD, "plugins/fs/libproctally-fs.a")
SHARED = os.path.join(BUILD, "plugins/fs/.libs/libproctally-fs.so")
SOURCES = [os.path.join(SRC, f) for f in (
    "plugins/fs/decimal.c", "plugins/fs/files.c", "plugins/fs/items.c", "plugins/fs/library.c",
    "plugins/fs/metrics.c", "plugins/fs/mountpoint.c", "plugins/fs/series.c",
    "plugins/fs/tree.c", "plugins/common/utf8_text.c", "core/base/buf.c", "core/base/number.c")]
PROGRAM = os.path.join(SRC, "tests/integration/fs_program.c")
MISUSE = os.path.join(SRC, "tests/integration/fs_misuse.c")
INCLUDES = ["-I", FS, "-I", os.path.join(SRC, "core")]
INSIDE = ["-std=gnu11", "-D_GNU_SOURCE=", "-D_FILE_OFFSET_BITS=64", "-iquote", FS, "-iquote",
          os.path.join(SRC, "core"), "-iquote", os.path.join(SRC, "plugins/common"),
          *make_variable("FUSE_CFLAGS")]
LIBRARIES = [*make_variable("FUSE_LIBS"), "-lm", "-pthread"]
NOBODY = 65534
_built = {}


def compiled(name, *arguments, compiler="cc"):
    """A program, built once for all cases."""
    if name not in _built:
        path = os.path.join(os.environ["TMP"], name)
        status, out, err = run([compiler, "-g", "-O1", "-Wall", "-Wextra", "-Werror", *arguments,
                                "-o", path], seconds=200)
        check_equal(status, 0, "building %s (%s)" % (name, err[-2000:]))
        _built[name] = path
    return _built[name]


def plain():
    return compiled("program", *INCLUDES, PROGRAM, ARCHIVE, *LIBRARIES)


def mounted(path):
    """The lines of mountinfo with a mount of ours there."""
    escaped = path.replace(" ", "\\040")
    return [line for line in read_text("/proc/self/mountinfo").splitlines()
            if line.split()[4] == escaped and " fuse.tally " in line]


class Program:
    """It has a mount point of its own, which is not mounted yet."""

    def __init__(self, command=None, directory=None, others=False, **how):
        self.mount = os.path.join(directory or temp_dir(), "mount")
        self.process = start(command or [plain()], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, **how)
        # before the process is stopped: it may be what holds up whoever unmounts
        later(self.clean_up)
        self.others = ["others"] if others else []

    def clean_up(self):
        self.kill()
        if mounted(self.mount):
            run(["umount", "-l", self.mount])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def say(self, *words):
        line = " ".join(str(w) or "''" for w in words)
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, seconds=30):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.kill()
            raise Failed("no answer within %d seconds" % seconds)
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                raise Failed("the program ended with status %s" % self.process.wait(20))
            line += byte
        return line.decode().rstrip("\n")

    def tell(self, *words):
        """What the library returned, and what else the answer says."""
        self.say(*words)
        rest, _, number = self.answer().rpartition(" ")
        self.said = rest
        return int(number)

    def must(self, *words):
        r = self.tell(*words)
        check_equal(r, 0, "%s (%s)" % (" ".join(map(str, words)), self.said))

    def ready(self):
        self.must("new", self.mount, *self.others)
        self.must("start")
        return self

    def path(self, *names):
        return os.path.join(self.mount, *names)

    def run(self, *argv, seconds=20, data=None, **how):
        """(status, output as bytes, errors) of a program that may hang."""
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **how) as p:
            try:
                out, err = p.communicate(data, seconds)
            except subprocess.TimeoutExpired:
                p.kill()
                self.kill()  # now the reader can end
                p.wait(20)
                raise Failed("hangs: %s" % " ".join(argv)) from None
        return p.returncode, out, err.decode("utf-8", "replace")

    def python(self, code, *arguments, **how):
        """What a little program prints; the mount point is its first argument."""
        status, out, err = self.run(PYTHON, "-c", textwrap.dedent(code), self.mount,
                                    *map(str, arguments), **how)
        check_equal(status, 0, "status of a reader (%s)" % err)
        return out.decode()

    def cat(self, *names):
        status, out, err = self.run("cat", self.path(*names))
        check_equal(status, 0, "cat %s (%s)" % ("/".join(names), err))
        return out.decode()

    def write(self, text, *names):
        """The error, or None."""
        got = self.python("""
            import os, sys, errno
            fd = os.open(sys.argv[2], os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(fd, sys.argv[3].encode())
                print("")
            except OSError as e:
                print(errno.errorcode[e.errno])
            """, self.path(*names), text).strip()
        return got or None

    def end(self):
        """By the end of its input; the status."""
        self.process.stdin.close()
        status = self.process.wait(30)
        check_equal(mounted(self.mount), [], "still mounted")
        return status


def program(**how):
    return Program(**how).ready()


# ---- What readers see ------------------------------------------------------------------

def case_values():
    p = program()
    p.must("u64", "/", "hits", 18446744073709551615)
    p.must("text", "/", "version", "1.2+beta")
    p.must("real", "ratio", 25)
    p.must("dir", "/", "disk")
    p.must("dir", "disk", "sda", "device")
    p.must("u64", "disk/sda", "read", 42, "Bytes+read", "bytes")
    p.must("pair", "jobs", 5, 3)
    check_equal(p.cat("hits"), "18446744073709551615\n", "hits")
    check_equal(p.cat("version"), "1.2 beta\n", "version")
    check_equal(p.cat("ratio"), "2.5\n", "ratio")
    check_equal(p.cat("disk/sda/read"), "42\n", "read")
    p.must("set", "read", 43)
    check_equal(p.cat("disk/sda/read"), "43\n", "read")
    check_equal(p.cat("all"), "hits 18446744073709551615\nversion 1.2 beta\nratio 2.5\n"
                "disk/sda/read 43\njobs/end 3\njobs/start 5\n", "all")
    check_equal(p.cat("disk/all"), "sda/read 43\n", "disk/all")
    listed = p.python("import os, sys; print(*sorted(os.listdir(sys.argv[1])))").split()
    check_equal(listed, ["all", "disk", "hits", "influx", "jobs", "metrics", "ratio", "version"],
                "names at the top")
    check_equal(p.end(), 0, "status")


def case_tools():
    """Whatever reads files reads these."""
    p = program()
    p.must("dir", "/", "many")
    p.must("fill", "many", 0, 20000)
    p.must("text", "/", "word", "word")
    whole = p.cat("metrics")
    check(len(whole) > 500000, "metrics have only %d bytes" % len(whole))
    copy = os.path.join(temp_dir(), "copy")
    metrics = p.path("metrics")
    for name, command in (
            ("cp", ["cp", metrics, copy]),
            ("dd", ["dd", "if=" + metrics, "of=" + copy, "bs=1234", "status=none"]),
            ("head", ["sh", "-c", 'head -c 100000000 "$0" >"$1"', metrics, copy]),
            ("tail", ["sh", "-c", 'tail -c +1 "$0" >"$1"', metrics, copy]),
            ("tar", ["sh", "-c", 'tar -C "$(dirname "$0")" -cf - metrics | tar -xOf - >"$1"',
                     metrics, copy]),
            ("copyfile", [PYTHON, "-c", "import shutil, sys; shutil.copyfile(*sys.argv[1:])",
                          metrics, copy]),
            ("sendfile", [PYTHON, "-c", """if True:
                import os, sys
                i, o = os.open(sys.argv[1], 0), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
                at = 0
                while n := os.sendfile(o, i, at, 1 << 16):
                    at += n
                """, metrics, copy]),
            ("mmap", [PYTHON, "-c", """if True:
                import mmap, sys
                with open(sys.argv[1]) as f, open(sys.argv[2], "wb") as o:
                    o.write(mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ))
                """, metrics, copy])):
        status, out, err = p.run(*command)
        check_equal((name, status), (name, 0), err)
        check(read_text(copy) == whole, "%s: %d bytes of %d" % (name, os.path.getsize(copy),
                                                                len(whole)))
        os.unlink(copy)
    # GNU tar's, if it takes what it reads for changing
    status, out, err = p.run("tar", "-C", p.mount, "-cf", copy, "metrics", "word", "all")
    check_equal((status, err), (0, ""), "tar")
    os.unlink(copy)
    check_equal(p.run("wc", "-l", metrics)[1].split()[0], b"40002", "wc -l")
    out = p.run("grep", "-r", ".", p.path("word"), p.path("all"))[1].decode().splitlines()
    check_equal(out[0].rpartition("/")[2], "word:word", "grep -r")
    check_equal(len(out), 20002, "lines of grep -r")
    out = p.run("find", p.mount, "-type", "f", seconds=60)[1].decode().splitlines()
    check_equal(len(out), 3 + 1 + 20000 + 1, "files that find finds")
    out = p.run("awk", "{print $2}", p.path("many/all"))[1].split()
    check_equal(out, [b"0"] * 20000, "awk")
    check_equal(p.end(), 0, "status")


def case_small_reads():
    """Fault 5: reads smaller than the text."""
    p = program()
    p.must("u64", "/", "n", 1234567)
    for size in (1, 2, 3, 7, 8, 9):
        status, out, err = p.run("dd", "if=" + p.path("n"), "bs=%d" % size, "status=none")
        check_equal((status, out), (0, b"1234567\n"), "dd bs=%d (%s)" % (size, err))
    status, out, err = p.run("dd", "if=" + p.path("n"), "bs=1", "skip=3", "count=2",
                             "status=none")
    check_equal((status, out), (0, b"45"), "dd skip=3")


def case_odd_offsets():
    """Fault 3: the first read of a descriptor is anywhere."""
    p = program()
    p.must("u64", "/", "n", 1234567)
    got = p.python("""
        import os, sys
        for offset in (1, 7, 8, 9, 100, 4096, 1 << 40, 1 << 62):
            for _ in range(50):
                fd = os.open(sys.argv[1] + "/n", os.O_RDONLY)
                print(offset, os.pread(fd, 100, offset), os.pread(fd, 100, 0))
                os.close(fd)
        """)
    lines = set(got.splitlines())
    text = b"1234567\n"
    check_equal(lines, {"%d %r %r" % (at, text[at:], text)
                        for at in (1, 7, 8, 9, 100, 4096, 1 << 40, 1 << 62)}, "reads")
    check_equal(p.end(), 0, "status")


def case_moments():
    """A descriptor keeps the text of a moment, and gets a new one at its beginning."""
    p = program()
    p.must("u64", "/", "n", 1)
    p.process.stdin.flush()
    with subprocess.Popen([PYTHON, "-c", textwrap.dedent("""
            import os, sys
            fd = os.open(sys.argv[1] + "/n", os.O_RDONLY)
            for line in sys.stdin:
                offset, size = map(int, line.split())
                got = os.pread(fd, size, offset).decode().strip()
                print(repr(got), flush=True)
            """), p.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        later(reader.kill)

        def pread(offset, size):
            reader.stdin.write("%d %d\n" % (offset, size))
            reader.stdin.flush()
            check(select.select([reader.stdout], [], [], 20)[0], "a reader hangs")
            return reader.stdout.readline().strip()

        p.must("set", "n", 123456)  # open, and not read yet
        check_equal(pread(0, 3), "'123'", "the beginning")
        p.must("set", "n", 999)
        check_equal(pread(3, 100), "'456'", "the rest of the same text")
        check_equal(pread(0, 100), "'999'", "the beginning again")
        reader.stdin.close()


def case_no_addresses():
    """Fault 7: inode numbers tell nothing of our memory, and are never given twice."""
    p = program()
    p.must("u64", "/", "a", 1)
    p.must("dir", "/", "d")
    code = """
        import os, sys
        for path, directories, files in os.walk(sys.argv[1]):
            for name in directories + files:
                print(os.lstat(os.path.join(path, name)).st_ino)
        """
    seen = set()
    for _ in range(5):
        numbers = [int(n) for n in p.python(code).split()]
        check_equal(len(set(numbers)), len(numbers), "inode numbers of %r" % numbers)
        check(max(numbers) < 1 << 20, "inode numbers look like addresses: %r" % numbers)
        p.must("u64", "d", "b", 1)
        new = {int(n) for n in p.python(code).split()} - set(numbers)
        check_equal(len(new), 1, "new inode numbers")
        check(not new & seen, "inode number given again: %r" % new)
        seen |= new
        p.must("remove", "d/b")


def case_times_and_modes():
    p = program()
    p.must("u64", "/", "n", 1)
    p.must("param", "p", 1, 0, 9)
    got = p.python("""
        import os, stat, sys, time
        for name in ("", "n", "p"):
            s = os.stat(os.path.join(sys.argv[1], name))
            print(stat.filemode(s.st_mode), s.st_size, s.st_uid, abs(time.time() - s.st_mtime) < 60)
        s = os.statvfs(sys.argv[1])
        print(s.f_namemax, s.f_flag & os.ST_NOSUID > 0, s.f_flag & os.ST_NOEXEC > 0)
        print(*(os.access(sys.argv[1] + "/" + n, m) for n in "np" for m in (os.R_OK, os.W_OK)))
        """).splitlines()
    check_equal(got, ["dr-xr-xr-x 0 %d True" % os.geteuid(), "-r--r--r-- 2 %d True" % os.geteuid(),
                      "-rw-r--r-- 2 %d True" % os.geteuid(), "255 True True",
                      "True False True True"], "stat")


# ---- What readers must not do ---------------------------------------------------------------

def case_changing():
    """Fault 1: touch and chmod of whatever there is; nothing changes, and we live."""
    p = program()
    p.must("u64", "/", "n", 1)
    p.must("dir", "/", "d")
    p.must("series", "/", "s")
    p.must("param", "p", 1, 0, 9)
    got = p.python("""
        import errno, os, sys
        os.chdir(sys.argv[1])
        def tried(what, *arguments):
            try:
                what(*arguments)
                print(what.__name__, arguments, "worked")
            except OSError as e:
                print(errno.errorcode[e.errno])
        for name in (".", "d", "n", "s", "s/reset", "p", "metrics", "all"):
            tried(os.utime, name)
            tried(os.chmod, name, 0o700)
            tried(os.chown, name, 0, 0)
            tried(os.rename, name, "other") if name != "." else None
            tried(os.truncate, name, 5) if name not in (".", "d", "s") else None
            tried(os.link, name, "link") if name not in (".", "d", "s") else None
        tried(os.mkdir, "new")
        tried(os.mknod, "new")
        tried(os.symlink, "n", "new")
        tried(os.open, "new", os.O_CREAT | os.O_WRONLY)
        tried(os.unlink, "n")
        tried(os.rmdir, "d")
        tried(os.open, "n", os.O_WRONLY)
        tried(os.open, "s/count", os.O_RDWR)
        """)
    check(set(got.split()) == {"EROFS"}, "other errors", got)
    check_equal(p.cat("n"), "1\n", "n")
    check_equal(p.end(), 0, "status")


def case_removed():
    """A file that is open when its item is removed: an error, and nothing stale."""
    p = program()
    p.must("u64", "/", "n", 1)
    p.must("dir", "/", "d")
    p.must("series", "d", "s")
    with subprocess.Popen([PYTHON, "-c", textwrap.dedent("""
            import errno, os, sys
            fds = [os.open(sys.argv[1] + n, os.O_RDONLY) for n in ("/n", "/d/s/count", "/d/all")]
            print("open", flush=True)
            sys.stdin.readline()
            for fd in fds:
                try:
                    print(os.pread(fd, 100, 0))
                except OSError as e:
                    print(errno.errorcode[e.errno])
            print([os.path.exists(sys.argv[1] + n) for n in ("/n", "/d", "/metrics")], flush=True)
            """), p.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        later(reader.kill)
        check_equal(reader.stdout.readline(), "open\n", "the reader")
        p.must("remove", "n")
        p.must("remove", "d")
        check_equal(p.tell("remove", "d"), -2, "removing it again")
        reader.stdin.write("\n")
        reader.stdin.close()
        check_equal(reader.stdout.read(), "ENOENT\nENOENT\nENOENT\n[False, False, True]\n",
                    "reads afterwards")
    p.must("u64", "/", "n", 2)
    check_equal(p.cat("n"), "2\n", "the same name again")
    p.must("clear", "/")
    check_equal(p.cat("all"), "", "all, of nothing")


def case_long_texts():
    """Fault 4: texts of any length; what a formatter says of its length is not believed."""
    p = program()
    for i, length in enumerate((0, 99, 100, 101, 300, 4096, 70000, 1000000)):
        p.must("call", "call%d" % i, length)
        check_equal(p.cat("call%d" % i), "x" * length, "a formatter's text")
        p.must("long", "text%d" % i, length)
        check_equal(p.cat("text%d" % i), "y" * length + "\n", "a text")
    p.must("call", "huge", 1 << 30)
    status, out, err = p.run("cat", p.path("huge"))
    check_equal((status, out), (1, b""), "a text of 1 GiB")
    check("too long" in err, "another error: " + err)
    check_equal(p.end(), 0, "status")


def case_names():
    """Fault 6, and one rule for the names of all kinds."""
    p = program()
    for kind in ("u64", "dir", "text", "series"):
        for name in ("", ".", "..", "a/b", "/", "a\tb", "x" * 256):
            check_equal(p.tell(kind, "/", name), -22, "%s %r" % (kind, name))
    for name in ("%s%n", "-n", "*", "größe", "a+b", "x" * 255):
        p.must("u64", "/", name, 5)
    listed = p.python("import os, sys; print(*sorted(os.listdir(sys.argv[1])), sep='|')")
    check_equal(sorted(listed.strip().split("|")),
                sorted(["%s%n", "-n", "*", "größe", "a b", "x" * 255, "all", "metrics", "influx"]),
                "names")
    check_equal(p.cat("a b"), "5\n", "a name with a blank")
    p.must("u64", "/", "back\\slash", 5)
    check({"a\\040b 5", "back\\134slash 5"} <= set(p.cat("all").splitlines()), p.cat("all"))
    check_equal(p.end(), 0, "status")


def case_parameters():
    """Fault 8: the whole text is one number within the bounds, or nothing happens."""
    p = program()
    p.must("param", "p", 7, 1, 1000)
    p.must("param", "large", 0, 0, 18446744073709551615)
    p.must("keep", "own")
    for text, error in (("5", None), ("12\n", None), ("  7", "EINVAL"), ("12xyz", "EINVAL"),
                        ("-1", "EINVAL"), ("", None), ("abc", "EINVAL"), ("0", "ERANGE"),
                        ("1001", "ERANGE"), ("10000000000000000000000", "ERANGE"),
                        ("1 2", "EINVAL"), ("5\n6\n", "EINVAL"), ("x" * 100000, "EINVAL")):
        before = p.cat("p")
        check_equal(p.write(text, "p"), error, "writing %r" % text[:20])
        after = p.cat("p")
        check_equal(after, before if error or not text else text.strip() + "\n",
                    "the value after %r" % text[:20])
    check_equal(p.write("18446744073709551615", "large"), None, "the largest")
    check_equal(p.cat("large"), "18446744073709551615\n", "the largest")
    check_equal(p.write("18446744073709551616", "large"), "ERANGE", "one more")
    p.must("get", "p")
    check_equal(p.said, "12", "what the program sees")
    for command, wanted in (('echo 77 >"$0"', "77\n"), ('echo 78 >>"$0"', "78\n"),
                            ('printf 79 | tee "$0"', "79\n"), ('printf 80 | dd of="$0"', "80\n"),
                            ('printf 81 >"$0".x; printf 82 | cp /dev/stdin "$0"', "82\n")):
        p.run("sh", "-c", command, p.path("p"))
        check_equal(p.cat("p"), wanted, command)
    # in pieces it would be two numbers
    status, out, err = p.run("dd", "of=" + p.path("p"), "bs=1", "conv=notrunc", data=b"12")
    check(status != 0 and "nvalid" in err, "a number in pieces: %s" % err)
    check_equal(p.cat("p"), "1\n", "the first piece")
    check_equal(p.write("some text", "own"), None, "its own writer")
    check_equal(p.cat("own"), "<some text>\n", "what it kept")
    check_equal(p.write("a" * 200, "own"), "E2BIG", "its own error")
    check_equal(p.end(), 0, "status")


def case_comes_back():
    """A formatter that registers or removes is told so; it does not hang."""
    p = program()
    p.must("back")
    check_equal(p.cat("back"), "-35\n", "EDEADLK")
    check_equal(p.cat("back"), "-35\n", "again")
    p.must("remove", "back")


def misused(case, expected, seconds=60):
    """What a case of fs_misuse.c prints; then nothing of it is mounted, and nothing hangs."""
    directory = temp_dir()
    mount = os.path.join(directory, "mount")
    program_of_it = compiled("misuse", "-D_GNU_SOURCE", *INCLUDES, MISUSE, ARCHIVE, *LIBRARIES)
    p = start([program_of_it, mount, case], stdout=subprocess.PIPE, text=True)
    later(lambda: mounted(mount) and run(["umount", "-l", mount]))
    later(lambda: p.poll() is None and p.kill())
    try:
        out = p.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        raise Failed("it hangs") from None
    check_equal((p.returncode, out), (0, expected), "the program")
    wait_for(lambda: not mounted(mount), "the unmount", 10)


def case_two_threads_serve():
    """They take turns."""
    misused("two_serve", "    600 5\n" * 4)


def case_free_in_a_child():
    """The parent's mount is there as before."""
    misused("free_in_a_child", "child 0\n5\n")


def case_in_the_background():
    """After daemon(3) the child starts a thread of its own, and unmounts."""
    misused("in_the_background", "start 0\n5\nstop 0\nend\n")


def case_stop_by_a_formatter():
    misused("stop_by_a_formatter", "-35\n5\nstart 0\n5\n")


def case_nothing_given():
    misused("nothing_given", "new -22 the options lack their size, or a mount point\n"
            "find 0\nadd_calls -22\n")


def case_odd_paths():
    """An empty path is not the directory itself, of which all would be removed."""
    misused("odd_paths", "-22 -22\n" * 3 + "children of a value -20\nstill there 0\n")


def case_odd_writes():
    """A NUL byte is refused: a program would take the text before it for the whole."""
    misused("odd_writes", "refused\n" * 3 + "written 5 plain\nwritten 65536 aaaaaaaaaa\n")


def case_odd_errors():
    """What is no error of a system call is EIO, and not a reader who waits for ever."""
    error = lambda text: "cat: own: %s\ndd: error writing 'own': %s\n" % (text, text)
    misused("odd_errors", error("Operation not permitted") + error("Unknown error 511") +
            error("Input/output error") * 5)


def case_broken_connection():
    """Without memory for a request it comes later; if no more come, readers are told."""
    misused("broken_connection", "5\ntold\nstart -107\n")


# ---- Numbers ---------------------------------------------------------------------------------

def case_numbers():
    """Fault 9."""
    p = program()
    p.must("series", "/", "s")
    check_equal(p.cat("s/all"), "count 0\nsum 0\nreset_interval_seconds 0\n", "an empty series")
    for value in (1, 3, 10):
        p.must("add", "s", value)
    all_of = dict(line.split() for line in p.cat("s/all").splitlines())
    check_near(float(all_of["variance"]), 22 + 1 / 3, "variance", 1e-9)
    check_near(float(all_of["stddev"]), 4.7258, "stddev", 1e-4)
    check_near(float(all_of["mean"]), 14 / 3, "mean", 1e-9)
    p.must("series", "/", "wide")
    for _ in range(500):
        p.must("add", "wide", 10**9)
        p.must("add", "wide", 3 * 10**9)
    check_near(float(p.cat("wide/variance")), 1e18 * 1000 / 999, "variance", 1e-9)
    p.must("series", "/", "h", "99+50+99.999+99.9999")
    p.must("add", "h", 17000000, 99)
    p.must("add", "h", 4000000000, 1)
    listed = p.python("import os, sys; print(*sorted(os.listdir(sys.argv[1] + '/h')))").split()
    check({"p99", "p50", "p99.999", "p99.9999"} <= set(listed), "percentiles: %r" % listed)
    for name, value in (("p50", 17000000), ("p99", 17000000), ("p99.999", 4000000000)):
        check_near(int(p.cat("h", name)), value, name, 1 / 64)
    check_equal(p.write("1\n", "h/reset"), None, "reset")
    check_equal(p.cat("h/count"), "0\n", "count after the reset")
    check("prog_h_count 100\n" in p.cat("metrics"), "a reset is in metrics")
    check_equal(p.write("1\n", "h/reset_interval_seconds"), None, "an interval")
    p.must("add", "h", 5)
    wait_for(lambda: p.cat("h/count") == "0\n", "the end of the interval", 10)
    p.must("interval", "h", 0)
    check_equal(p.cat("h/reset_interval_seconds"), "0\n", "no interval")
    check_equal(p.end(), 0, "status")


def case_pairs():
    """What has ended has begun, in each text."""
    p = program()
    p.must("pair", "jobs", 0, 0)
    p.say("jobs", "jobs", 40)
    check_equal(p.answer(), "running", "the answer")
    got = p.python("""
        import os, re, sys, time
        end, readings, wrong = time.monotonic() + 3, 0, 0
        fds = [os.open(sys.argv[1] + n, os.O_RDONLY) for n in ("/all", "/metrics", "/influx")]
        while time.monotonic() < end:
            for fd in fds:
                v = dict(re.findall(r"jobs[/_](start|end)[ =](\\d+)", os.pread(fd, 4096, 0).decode()))
                wrong += int(v["end"]) > int(v["start"])
                readings += 1
        print(readings, wrong)
        """, seconds=60).split()
    check(int(got[0]) > 300, "only %s readings" % got[0])
    check_equal(got[1], "0", "wrong ones of %s readings" % got[0])
    check_equal(p.answer(), "0", "the counting")


def case_consistent():
    """Fault 10: many threads add sevens; sum and count of one reading belong together."""
    p = program()
    p.say("threads", 50)
    check_equal(p.answer(), "running", "the answer")
    got = p.python("""
        import os, sys, time
        end, readings, wrong, last = time.monotonic() + 4, 0, 0, 0
        fd = os.open(sys.argv[1] + "/shared/all", os.O_RDONLY)
        prom = os.open(sys.argv[1] + "/metrics", os.O_RDONLY)
        while time.monotonic() < end:
            v = dict(l.split() for l in os.pread(fd, 4096, 0).decode().splitlines())
            wrong += int(v["sum"]) != 7 * int(v["count"]) or int(v["count"]) < last
            last = int(v["count"])
            v = dict(l.rsplit(" ", 1) for l in os.pread(prom, 1 << 16, 0).decode().splitlines())
            wrong += int(v["prog_shared_sum"]) != 7 * int(v["prog_shared_count"])
            wrong += v['prog_shared_bucket{le="10"}'] != v["prog_shared_count"]
            wrong += int(v["prog_shared_count"]) < last
            last = int(v["prog_shared_count"])
            readings += 1
        print(readings, wrong)
        """, seconds=60).split()
    check(int(got[0]) > 100, "only %s readings" % got[0])
    check_equal(got[1], "0", "inconsistent ones of %s readings" % got[0])
    rest, _, r = p.answer().rpartition(" ")
    check_equal(r, "0", "the sum of all threads")
    check_equal(p.cat("counter"), rest + "\n", "counter")
    check_equal(p.cat("shared/count"), rest + "\n", "count")
    check_equal(p.end(), 0, "status")


# ---- Directories --------------------------------------------------------------------------------

def case_many_open():
    """Whoever may read can't have the program keep as much as it likes."""
    p = program()
    p.must("long", "text", 1000000)
    got = p.python("""
        import errno, os, sys
        fds = [os.open(sys.argv[1] + "/text", os.O_RDONLY) for _ in range(80)]
        def read(fd):
            try:
                return len(os.pread(fd, 1, 0))
            except OSError as e:
                return errno.errorcode[e.errno]
        got = [read(fd) for fd in fds]
        print(got.index("ENOMEM"), set(got[:67]), set(got[67:]))
        print(read(fds[0]))
        for fd in fds[:20]:
            os.close(fd)
        print({read(fd) for fd in fds[20:]})
        """, seconds=60)
    check_equal(got, "67 {1} {'ENOMEM'}\n1\n{1}\n", "readings")
    check_equal(p.end(), 0, "status")


def case_shrinking_directory():
    """Fault 11: 500 of 3000 files go between two reads of the directory; all that stay are
    listed, once."""
    p = program()
    p.must("dir", "/", "d")
    p.must("fill", "d", 0, 3000)
    with subprocess.Popen([PYTHON, "-c", textwrap.dedent("""
            import ctypes, os, struct, sys
            libc = ctypes.CDLL(None, use_errno=True)
            fd = os.open(sys.argv[1] + "/d", os.O_RDONLY | os.O_DIRECTORY)
            room = ctypes.create_string_buffer(8192)
            number = {"x86_64": 217, "aarch64": 61}[os.uname().machine]
            def some():
                n, at, names = libc.syscall(number, fd, room, len(room)), 0, []
                assert n >= 0, ctypes.get_errno()
                while at < n:
                    size = struct.unpack_from("H", room, at + 16)[0]
                    names.append(room.raw[at + 19:at + size].split(b"\\0")[0].decode())
                    at += size
                return names
            names = some()
            print(len(names), flush=True)
            sys.stdin.readline()
            while more := some():
                names += more
            print(*names)
            os.lseek(fd, 0, os.SEEK_SET)
            names = []
            while more := some():
                names += more
            print(*names)
            """), p.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        later(reader.kill)
        first = int(reader.stdout.readline())
        check(10 < first < 2000, "the first part has %d names" % first)
        p.must("empty", "d", 0, 250)
        p.must("empty", "d", 2000, 2250)
        reader.stdin.write("\n")
        reader.stdin.close()
        listed, again = [line.split() for line in reader.stdout.read().splitlines()]
    live = {"f%05d" % i for i in range(3000) if not (i < 250 or 2000 <= i < 2250)}
    check_equal(len(listed), len(set(listed)), "names")
    check_equal(sorted(live - set(listed)), [], "live files that were not listed")
    check_equal(set(again), live | {".", "..", "all"}, "after rewinding")


def case_many():
    p = program()
    p.must("dir", "/", "d")
    p.must("fill", "d", 0, 10000)
    got = p.python("""
        import os, sys
        d = sys.argv[1] + "/d"
        names = os.listdir(d)
        print(len(names), sum(open(d + "/" + n).read() == "0\\n" for n in names))
        """, seconds=60)
    check_equal(got.split(), ["10001", "10000"], "names, and files that are right")
    check_equal(len(p.cat("d/all").splitlines()), 10000, "lines of all")
    p.must("empty", "d", 0, 10000)
    check_equal(p.cat("all"), "", "all")
    check_equal(p.end(), 0, "status")


# ---- Mounting and unmounting ------------------------------------------------------------------------

def case_killed():
    """Fault 12: after SIGKILL it is unmounted, and whoever has a file open is told."""
    p = program()
    p.must("u64", "/", "n", 1)
    with subprocess.Popen([PYTHON, "-c", textwrap.dedent("""
            import errno, os, sys
            fd = os.open(sys.argv[1] + "/n", os.O_RDONLY)
            print("open", flush=True)
            sys.stdin.readline()
            try:
                print(os.pread(fd, 10, 0))
            except OSError as e:
                print(errno.errorcode[e.errno])
            """), p.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        later(reader.kill)
        check_equal(reader.stdout.readline(), "open\n", "the reader")
        p.kill()
        wait_for(lambda: not mounted(p.mount), "the unmount", 10)
        reader.stdin.write("\n")
        reader.stdin.close()
        check_equal(reader.stdout.read(), "ENOTCONN\n", "a read afterwards")
    check_equal(os.listdir(p.mount), [], "the directory")


def watchers(p):
    """The shells that wait for the end of a program."""
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and
            (lambda args: args[:2] == ["/bin/sh", "-c"] and args[3:5] == [
                "proctally-unmount", os.path.realpath(p.mount)])(cmdline(pid))]


def cmdline(pid):
    try:
        return read_text("/proc/%s/cmdline" % pid).split("\0")
    except OSError:
        return []


def case_killed_with_all_its_helpers():
    """Nobody was left to unmount: the next one does it."""
    p = program()
    for pid in watchers(p):
        os.kill(pid, signal.SIGKILL)
    p.kill()
    time.sleep(0.2)
    check(mounted(p.mount), "somebody else unmounts")
    status, out, err = p.run("ls", p.mount)
    check("not connected" in err, "a dead mount: %s" % err)
    again = Program(directory=os.path.dirname(p.mount)).ready()
    again.must("u64", "/", "n", 5)
    check_equal(again.cat("n"), "5\n", "after the restart")
    check_equal(len(mounted(p.mount)), 1, "mounts")
    check_equal(again.end(), 0, "status")
    check_equal(watchers(p), [], "shells that are left")


def case_late_helper():
    """A shell that did not get to run leaves alone what has been mounted since."""
    p = program()
    late = watchers(p)
    for pid in late:
        os.kill(pid, signal.SIGSTOP)
        later(resume, pid)
    p.must("free")
    p.must("new", p.mount)
    p.must("start")
    p.must("u64", "/", "n", 1)
    for pid in late:
        resume(pid)
    wait_for(lambda: not set(late) & set(watchers(p)), "the end of the shell", 10)
    check_equal(p.cat("n"), "1\n", "the new one")
    check_equal(p.end(), 0, "status")


def resume(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def case_no_answer():
    """Somebody mounted there and does not serve: that is told, and is not waited for."""
    p = Program()
    p.must("new", p.mount)
    other = Program(directory=os.path.dirname(p.mount))
    check_equal(other.tell("new", p.mount), -16, "a second one there")
    check("another process" in other.said, other.said)
    p.must("start")
    p.must("u64", "/", "n", 1)
    check_equal(p.cat("n"), "1\n", "the first one")
    other.must("free")
    check_equal(p.end(), 0, "status")


def case_link_of_another():
    """In a directory for all, root does not follow a link that somebody else has put there."""
    if os.geteuid() != 0:
        raise Skipped("not root")
    p = Program()
    directory = os.path.dirname(p.mount)
    target = os.path.join(directory, "target")
    os.mkdir(target)
    os.chmod(directory, 0o1777)
    os.symlink("target", p.mount)
    os.chown(p.mount, NOBODY, NOBODY, follow_symlinks=False)
    for name in p.mount, p.mount + "/":
        check_equal(p.tell("new", name), -13, "mounting on the link")
        check_equal(mounted(target), [], "mounted behind the link")
    os.chown(p.mount, 0, 0, follow_symlinks=False)
    p.must("new", p.mount)
    check(mounted(target), "not mounted behind a link of root's")
    p.must("free")
    check_equal(p.end(), 0, "status")


def case_no_trace():
    """After a clean end there is neither a mount nor a process; a directory that was made
    stays."""
    p = program()
    check_equal(len(watchers(p)), 1, "shells that wait")
    # it has nothing of the program's that another could miss
    fds = os.listdir("/proc/%d/fd" % watchers(p)[0])
    check_equal(sorted(fds), ["0", "1", "2"], "descriptors of the shell")
    check_equal(p.end(), 0, "status")
    wait_for(lambda: not watchers(p), "the end of the shell", 10)
    check(os.path.isdir(p.mount), "the directory is gone")


def case_rights_of_the_shell():
    """Of root's and of a service's it keeps that to unmount, and to find what is below a
    directory of a user."""
    if os.geteuid() != 0:
        raise Skipped("not root")
    need_program("setpriv")
    rights = "+sys_admin,+net_admin,+dac_read_search,+sys_ptrace"
    directory = temp_dir()
    os.chmod(os.environ["TMP"], 0o755)
    os.chmod(directory, 0o777)
    service = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
               "--inh-caps", rights, "--ambient-caps", rights, plain()]
    for how in {}, {"command": service, "directory": directory}:
        if how:
            need_fuse_for_all()
        p = Program(**how)
        p.ready()
        status = read_text("/proc/%d/status" % watchers(p)[0])
        kept = int(re.search(r"CapEff:\s*(\w+)", status).group(1), 16)
        check_equal("%x" % kept, "%x" % (1 << 21 | 1 << 2), "rights of the shell")
        p.kill()
        wait_for(lambda mount=p.mount: not mounted(mount), "the unmount", 10)


def case_ignores_children():
    """Some programs ignore SIGCHLD, and then nobody can wait for a process."""
    p = program(preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    p.must("u64", "/", "n", 1)
    check_equal(p.cat("n"), "1\n", "n")
    children = read_text("/proc/%d/task/%d/children" % (p.process.pid, p.process.pid))
    check_equal(children, "", "children of the program")
    check_equal(p.end(), 0, "status")


def case_bad_mount_points():
    """Fault 13, and one sentence each."""
    p = Program()
    directory = os.path.dirname(p.mount)
    file = write_text(os.path.join(directory, "file"), "text")
    full = os.path.join(directory, "full")
    os.mkdir(full)
    write_text(full + "/something", "")
    for path, error, words in ((file, -20, "is not a directory"), (full, -39, "is not empty"),
                               (directory + "/a/b", -2, "can't make the directory"),
                               ("/proc/sys/kernel", -39, "is not empty")):
        check_equal(p.tell("new", path), error, "mounting on %s" % path)
        check(words in p.said, "%s: %r" % (path, p.said))
        check("\n" not in p.said and not p.said.endswith("."), "no sentence: %r" % p.said)
    check_equal(read_text(file), "text", "the file")
    p.ready()
    other = Program(directory=directory)
    check_equal(other.tell("new", p.mount), -16, "a second one there")
    check("another process" in other.said, other.said)
    link = os.path.join(directory, "link")
    target = os.path.join(directory, "with blank")
    os.mkdir(target)
    os.symlink("with blank", link)
    other.must("new", link.replace(" ", "+"))
    other.must("start")
    check(mounted(target), "not mounted behind the link")
    other.must("free")
    check(not mounted(target), "still mounted behind the link")
    check_equal(p.end(), 0, "status")


def case_unmounted_outside():
    """With files open: busy, then lazily; the loop ends, and the end is clean."""
    if os.geteuid() != 0:
        raise Skipped("not root")
    p = program()
    p.must("u64", "/", "n", 1)
    reader = start([PYTHON, "-c", textwrap.dedent("""
        import os, sys
        fd = os.open(sys.argv[1] + "/n", os.O_RDONLY)
        print(os.pread(fd, 10, 0), flush=True)
        sys.stdin.readline()
        print(os.pread(fd, 10, 0), flush=True)
        """), p.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check_equal(reader.stdout.readline(), "b'1\\n'\n", "the reader")
    status, out, err = p.run("umount", p.mount)
    check(status != 0 and "busy" in err, "umount while a file is open: %s" % err)
    check_equal(p.cat("n"), "1\n", "afterwards")
    check_equal(p.run("umount", "-l", p.mount)[0], 0, "status of umount -l")
    reader.stdin.write("\n")
    reader.stdin.flush()
    check_equal(reader.stdout.readline(), "b'1\\n'\n", "who has it open reads on")
    check_equal(reader.wait(20), 0, "the reader")
    # now nobody has: the thread has ended
    wait_for(lambda: p.tell("stop") == 0 and p.tell("start") == -107, "the end of the loop", 10)
    p.must("u64", "/", "m", 1)
    # somebody else's mount there is left alone
    check_equal(run(["mount", "-t", "tmpfs", "none", p.mount])[0], 0, "a tmpfs")
    later(run, ["umount", p.mount])
    p.must("free")
    check(os.path.ismount(p.mount), "another's mount was unmounted")
    check_equal(p.end(), 0, "status")


def case_without_a_loop():
    """Ending works whether somebody serves or not; the values outlive it."""
    p = Program()
    for _ in range(3):
        p.must("new", p.mount)
        p.must("stop")
        p.must("free")
        check_equal(mounted(p.mount), [], "mounted")
    p.must("new", p.mount)
    p.must("u64", "/", "n", 1)
    for i in range(5):
        p.must("start")
        p.must("start")
        check_equal(p.cat("n"), "1\n", "n")
        p.must("stop")
        p.must("stop")
    reader = start(["cat", p.path("n")], stdout=subprocess.PIPE)
    time.sleep(0.3)
    check_equal(reader.poll(), None, "a reader while nobody serves")
    p.must("start")
    check_equal(reader.communicate(timeout=20)[0], b"1\n", "the reader when somebody serves")
    p.must("stop")
    # a reader that waits gets an error when it is over
    reader = start(["cat", p.path("n")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.3)
    p.must("free")
    check_equal(reader.communicate(timeout=20)[0], b"", "a reader at the end")
    check(reader.returncode != 0, "a reader at the end read something")
    check_equal(p.end(), 0, "status")


def case_own_loop():
    p = Program()
    p.must("new", p.mount)
    p.must("u64", "/", "n", 1)
    p.must("series", "/", "s")
    p.must("interval", "s", 1)
    p.must("add", "s", 1)
    p.say("loop")
    check_equal(p.answer(), "running", "the answer")
    check_equal(p.cat("n"), "1\n", "n")
    wait_for(lambda: p.cat("s/count") == "0\n", "the end of the interval", 10)
    p.say("set", "n", 2)
    check_equal(p.answer(), "0", "the loop")
    check_equal(p.answer(), "0", "set")
    check_equal(p.end(), 0, "status")


# ---- Users ---------------------------------------------------------------------------------------------

def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def case_other_users():
    """Others see nothing, unless asked for; and then they can't write."""
    if os.geteuid() != 0:
        raise Skipped("not root")
    p = program()
    p.must("u64", "/", "n", 1)
    status, out, err = p.run("cat", p.path("n"), preexec_fn=as_nobody)
    check("Permission denied" in err, "another user: %r %r" % (out, err))
    p.end()
    p = program(others=True)
    p.must("u64", "/", "n", 1)
    p.must("param", "p", 1, 0, 9)
    check_equal(p.run("cat", p.path("n"), preexec_fn=as_nobody)[1], b"1\n", "another user")
    status, out, err = p.run("sh", "-c", 'echo 2 >"$0"', p.path("p"), preexec_fn=as_nobody)
    check("Permission denied" in err, "another user writes: %r %r" % (status, err))
    check_equal(p.run("test", "-w", p.path("p"), preexec_fn=as_nobody)[0], 1, "test -w")
    check_equal(p.cat("p"), "1\n", "p")


def in_own_namespace(directory):
    """A command's first words, with which it is an ordinary user's, who has /dev/fuse."""
    for name in ("unshare", "setpriv", "nsenter", "fusermount3"):
        need_program(name)
    if os.geteuid() != 0:
        raise Skipped("not root")
    script = ('mkdir "$0/dev" && mount -t tmpfs -o dev none "$0/dev" && '
              'mknod "$0/dev/fuse" c 10 229 && chmod 666 "$0/dev/fuse" && '
              'mount --bind "$0/dev/fuse" /dev/fuse && '
              'exec setpriv --reuid %d --regid %d --clear-groups "$@"' % (NOBODY, NOBODY))
    return ["unshare", "-m", "sh", "-c", script, directory]


def case_ordinary_user():
    """In a mount namespace of its own, by fusermount3; also a clean end after SIGKILL."""
    directory = temp_dir()
    os.chmod(directory, 0o777)
    os.chmod(os.environ["TMP"], 0o755)
    command = [*in_own_namespace(directory), plain()]
    p = Program(command=command, directory=directory)
    if p.tell("new", p.mount) < 0:
        raise Skipped("an ordinary user can't mount here: %s" % p.said)
    p.must("start")
    p.must("u64", "/", "n", 1)
    inside = ["nsenter", "-m", "-t", str(p.process.pid), "setpriv", "--reuid", str(NOBODY),
              "--regid", str(NOBODY), "--clear-groups"]
    check_equal(p.run(*inside, "cat", p.path("n"))[1], b"1\n", "the same user")
    # not even root
    status, out, err = p.run(*inside[:4], "cat", p.path("n"))
    check("Permission denied" in err, "root reads: %r %r" % (out, err))

    def here():
        mounts = p.run(*inside, "cat", "/proc/self/mountinfo")[1].decode()
        return [line for line in mounts.splitlines() if line.split()[4] == p.mount]

    check(here(), "not mounted")
    p.must("free")
    check(not here(), "still mounted")
    # with a shell that does not get to run, the mount stays, and the next one clears it away
    p.must("new", p.mount)
    late = watchers(p)
    for pid in late:
        os.kill(pid, signal.SIGSTOP)
        later(resume, pid)
    p.must("free")
    check(here(), "who unmounted?")
    p.must("new", p.mount)
    p.must("start")
    for pid in late:
        resume(pid)
    wait_for(lambda: not set(late) & set(watchers(p)), "the end of the shell", 10)
    check_equal(len(here()), 1, "mounts")
    keeper = start([*inside, "sleep", "60"])  # keeps the namespace
    inside[3] = str(keeper.pid)
    time.sleep(0.2)
    check(here(), "not mounted")
    p.process.kill()
    wait_for(lambda: not here(), "the unmount after SIGKILL", 10)


# ---- For agents ------------------------------------------------------------------------------------------

def case_metrics():
    p = program()
    p.must("u64", "/", "hits", 5, "Hits+so+far")
    p.must("dir", "/", "clients")
    for name in ("ann", "bob"):
        p.must("dir", "clients", name, "client")
        p.must("u64", "clients/" + name, "read", 7, "Bytes", "bytes")
    p.must("series", "/", "size")
    p.must("series", "/", "latency", "50")
    for value in (1, 50, 1000):
        p.must("add", "size", value)
        p.must("add", "latency", value)
    text = p.cat("metrics")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    for name, value in (("prog_hits_total", "5"), ('prog_clients_read_bytes_total{client="ann"}', "7"),
                        ("prog_size_sum", "1051"), ("prog_size_max", "1000"),
                        ('prog_latency_bucket{le="100"}', "2"),
                        ('prog_latency_bucket{le="+Inf"}', "3"), ("prog_latency_count", "3")):
        check_equal(samples.get(name), value, name)
    promtool = shutil.which("promtool")
    if promtool:
        done = subprocess.run([promtool, "check", "metrics"], input=text.encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        check_equal((done.returncode, done.stdout.decode()), (0, ""), "promtool check metrics")
    lines = p.cat("influx").splitlines()
    check_equal(len(lines), 3, "lines of influx")
    for line in lines:
        check(re.match(r"prog(,client=(ann|bob))? ([a-z_0-9.]+=[0-9.]+i?,?)+ [0-9]{19}\Z", line),
              "line protocol: %r" % line)
    check("hits=5i" in lines[0] and "latency_p50=50i" in lines[0], lines[0])
    check("clients_read_bytes=7i" in lines[1], lines[1])


def case_locale():
    """Numbers have a point, whatever the program's locale."""
    localedef = need_program("localedef")
    directory = temp_dir()
    if run([localedef, "-i", "de_DE", "-f", "UTF-8", directory + "/de_DE.UTF-8"])[0] > 1 or \
            not os.path.exists(directory + "/de_DE.UTF-8/LC_NUMERIC"):
        raise Skipped("no source of a locale with a decimal comma (Debian: locales)")
    environment = dict(os.environ, LOCPATH=directory, LC_ALL="de_DE.UTF-8")
    status, out, err = run(["sh", "-c", "printf %.1f 1,5"], env=environment)
    p = program(env=environment)
    p.must("real", "ratio", 25)
    check_equal(p.cat("ratio"), "2.5\n", "ratio")
    check("prog_ratio 2.5\n" in p.cat("metrics"), "metrics")


# ---- For those who build with it -------------------------------------------------------------------------

def symbols(*command):
    status, out, err = run(["nm", *command])
    check_equal(status, 0, "nm (%s)" % err)
    return [line.split()[-2:] for line in out.splitlines() if len(line.split()) >= 2]


def case_symbols():
    """Nothing but tally_fs_* can be linked with, or be in the way; and all of it is
    declared."""
    shown = {name for kind, name in symbols("-g", "--defined-only", ARCHIVE)}
    header = read_text(os.path.join(FS, "proctally_fs.h"))
    declared = set(re.findall(r"\b(tally_fs_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S)))
    check_equal(sorted(shown ^ (declared - {"tally_fs_count"})), [], "exported or declared, not both")
    manual = read_text(os.path.join(FS, "proctally_fs.3"))
    check_equal(sorted(f for f in declared if f + "()" not in manual), [],
                "not in the manual page")
    if not os.path.exists(SHARED):
        raise Skipped("no shared library was built")
    exported = {name.split("@")[0] for kind, name in symbols("-D", "--defined-only", SHARED)
                if kind != "A"}
    check_equal(sorted(exported ^ shown), [], "symbols of the shared library")
    status, out, err = run(["objdump", "-p", SHARED])
    check("libproctally-fs.so.1" in out.split(), "the soname is another", out)
    check("libproctally.so" not in out, "it needs the core", out)


def case_cpp():
    """A C++ program can use it, and it has the shared library of the core beside it."""
    compiler = need_program("g++", "clang++")
    directory = temp_dir()
    source = write_text(directory + "/p.cpp", """
        #include <proctally_fs.h>
        #include <cstdio>
        #include <string>
        int main(int, char **argv) {
            tally_fs_options options = {};
            options.size = sizeof(options);
            options.mountpoint = argv[1];
            tally_fs *fs = nullptr;
            tally_fs_series *series = nullptr;
            tally_error error = {};
            if (tally_fs_new(&options, &fs, &error) < 0) {
                std::puts(error.text);
                return 1;
            }
            tally_fs_about about = {};
            about.size = sizeof(about);
            about.kind = TALLY_KIND_COUNTER;
            uint64_t hits = 41;
            tally_fs_count(&hits, 1);
            int r = tally_fs_add_u64(fs, TALLY_FS_ROOT, "hits", &hits, &about, nullptr);
            if (r == 0) r = tally_fs_series_new(nullptr, &series);
            if (r == 0) r = tally_fs_add_series(fs, TALLY_FS_ROOT, "s", series, &about, nullptr);
            if (r == 0) r = tally_fs_start(fs);
            tally_fs_series_add(series, 3);
            std::printf("%s %d\\n", tally_version(), r);
            std::fflush(stdout);
            std::getchar();
            tally_fs_free(fs);
            tally_fs_series_free(series);
        }
        """)
    needs = [w for name in ("YAML_LIBS", "PCRE2_LIBS", "MNL_LIBS", "BPF_LIBS")
             for w in make_variable(name)]
    built = directory + "/p"
    status, out, err = run([compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", *INCLUDES,
                            source, ARCHIVE, os.path.join(BUILD, "core/libproctally.a"),
                            *LIBRARIES, *needs, "-o", built], seconds=100)
    check_equal(status, 0, "building (%s)" % err[-2000:])
    mount = os.path.join(directory, "mount")
    p = Program(command=[built, mount], directory=directory)
    check(p.answer().endswith(" 0"), "the program")
    check_equal(p.cat("hits"), "42\n", "hits")
    check_equal(p.cat("s/sum"), "3\n", "sum")
    check_equal(p.end(), 0, "status")


def case_example():
    """examples/ownstats.c does what it says."""
    port = free_port()
    ownstats = compiled("ownstats", *INCLUDES, os.path.join(SRC, "examples/ownstats.c"), ARCHIVE,
                        *LIBRARIES)
    directory = temp_dir()
    p = Program(command=[ownstats, os.path.join(directory, "mount"), str(port)],
                directory=directory)

    def ask(text):
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(text)
            return s.recv(100)

    check_equal(wait_for(lambda: ask(b"hello\n"), "an answer", 20), b"6\n", "the answer")
    check_equal(p.cat("requests/read"), "6\n", "read")
    check_equal(p.cat("connections"), "1\n", "connections")
    check_equal(p.write("3\n", "line_limit"), None, "the parameter")
    check_equal(ask(b"hello\n"), b"3\n", "the answer after it")
    wait_for(lambda: p.cat("requests/latency/count") == "2\n", "two latencies", 10)
    check("ownstats_requests_latency_seconds_count 2\n" in p.cat("metrics"), "metrics")
    p.process.terminate()
    p.process.wait(20)
    wait_for(lambda: not mounted(p.mount), "the unmount", 10)


# ---- Sanitizers ---------------------------------------------------------------------------------------------

def hammer(p, seconds):
    """Readers of all that comes and goes."""
    p.say("threads", int(seconds * 10), "churn")
    check_equal(p.answer(60), "running", "the answer")
    readers = [subprocess.Popen([PYTHON, "-c", textwrap.dedent("""
        import os, random, sys, time
        end, times = time.monotonic() + float(sys.argv[2]) - 1, 0
        names = ["metrics", "influx", "all", "shared/all", "shared/reset"]
        for i in range(4):
            names += ["churn%d" % i] + ["nested%d/%s" % (i, n) for n in (
                "call", "call", "call", "text", "all", "series/all", "series/sum", "series/max")]
        while time.monotonic() < end:
            name = random.choice(names)
            try:
                if not random.randrange(20):
                    os.listdir(os.path.dirname(os.path.join(sys.argv[1], name)))
                fd = os.open(os.path.join(sys.argv[1], name), os.O_RDONLY)
            except OSError:
                continue
            try:
                for offset in (0, random.randrange(100), 0):
                    os.pread(fd, 100000, offset)
                times += 1
            except OSError:
                pass
            finally:
                os.close(fd)
        print(times)
        """), p.mount, str(seconds)], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        total = sum(int(r.communicate(timeout=seconds + 60)[0]) for r in readers)
    except subprocess.TimeoutExpired:
        p.kill()
        raise Failed("a reader hangs") from None
    finally:
        for r in readers:
            r.kill()
    if p.process.poll() is not None:
        raise Failed("the program ended: %s" % p.process.stderr.read().decode()[:3000])
    check(total > 100, "only %d readings" % total)
    check_equal(p.answer(60).rpartition(" ")[2], "0", "the counter after all that")


def sanitized(name):
    library = run(["gcc", "-print-file-name=lib%s.so" % {"address": "asan", "thread": "tsan"}[
        name.split(",")[0]]])[1].strip() if shutil.which("gcc") else ""
    if not os.path.isabs(library):
        raise Skipped("gcc has no such sanitizer")
    return compiled("program-" + name, "-fsanitize=" + name, *INSIDE, *INCLUDES, PROGRAM, *SOURCES,
                    *LIBRARIES, compiler="gcc")


def case_address_sanitizer():
    """Fault 2: writers, readers and removers; nothing freed is read, and nothing leaks."""
    p = Program(command=[sanitized("address,undefined")], stderr=subprocess.PIPE,
                env=dict(os.environ, ASAN_OPTIONS="detect_leaks=1",
                         UBSAN_OPTIONS="halt_on_error=1")).ready()
    p.must("dir", "/", "d")
    p.must("fill", "d", 0, 100)
    p.must("param", "p", 1, 0, 9)
    check_equal(p.write("12xyz", "p"), "EINVAL", "writing")
    hammer(p, 6)
    status = p.end()
    check_equal((status, p.process.stderr.read().decode()[-3000:]), (0, ""), "the end")


def case_thread_sanitizer():
    command = [sanitized("thread")]
    # of addresses at random the sanitizer can't bear all
    if shutil.which("setarch") and run(["setarch", "-R", "true"])[0] == 0:
        command = ["setarch", "-R", *command]
    if "unexpected memory mapping" in run(command)[2]:
        raise Skipped("ThreadSanitizer does not run on this kernel")
    p = Program(command=command, stderr=subprocess.PIPE,
                env=dict(os.environ, TSAN_OPTIONS="halt_on_error=0"))
    p.ready()
    p.must("series", "/", "s", "50+99")
    p.must("interval", "s", 1)
    hammer(p, 6)
    status = p.end()
    check_equal((status, p.process.stderr.read().decode()[-3000:]), (0, ""), "the end")


if __name__ == "__main__":
    if not os.path.exists(ARCHIVE):
        skip_all("libproctally-fs was not built (no libfuse 3)")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        skip_all("no /dev/fuse, or no right to it")
    if os.geteuid() != 0 and not shutil.which("fusermount3"):
        skip_all("neither root nor fusermount3")
    run_cases(sys.modules[__name__])
