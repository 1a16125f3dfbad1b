#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proctally top: on a terminal, driven through tmux, whose screens are printed; in a batch;
as JSON."""
import sys

from common import *

ME = "pt%d" % (os.getpid() % 100000)
ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def top(*arguments, **more):
    return run([COMMAND, "top", *arguments], **more)


def as_name(name, work):
    """A process of this name, which does the work (a Python expression)."""
    code = ("import sys, ctypes, time, os\n"
            "ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)\n"
            "print(flush=True)\n" + work)
    process = start([PYTHON, "-c", code, os.fsencode(name).hex()], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def burner(name):
    return as_name(name, "import socket\nlistens = socket.create_server(('127.0.0.1', 0))\n"
                         "while True: pass")


def sleeper(name):
    return as_name(name, "time.sleep(600)")


def short_children(name):
    """Starts children that use some 50 ms each and end, and sleeps in between."""
    return as_name(name, "while True:\n"
                         "    if os.fork() == 0:\n"
                         "        end = time.process_time() + 0.05\n"
                         "        while time.process_time() < end: pass\n"
                         "        os._exit(0)\n"
                         "    os.wait()\n"
                         "    time.sleep(0.02)\n")


# ---- A terminal ---------------------------------------------------------------------

class Terminal:
    """A tmux server of its own, with one window that ends as the command does."""

    def __init__(self, command, width=80, height=24, term=None):
        self.tmux = need_program("tmux")
        self.place = temp_dir()
        self.socket = os.path.join(self.place, "socket")
        self.status = os.path.join(self.place, "status")
        self.errors = os.path.join(self.place, "errors")
        self.ran = os.path.join(self.place, "ran")
        script = write_text(os.path.join(self.place, "script"),
                            "stty -a >%s.before\n%s%s 2>%s\necho $? >%s.new\nstty -a >%s.after\n"
                            "mv %s.new %s\nexec sleep 600\n" %
                            (self.ran, "TERM=%s " % term if term is not None else "", command,
                             self.errors, self.status, self.ran, self.status, self.status))
        self.call("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height),
                  "-s", "top", "sh " + script)
        later(self.call, "kill-server")

    def call(self, *arguments):
        environment = dict(os.environ, LC_ALL="C.UTF-8")
        environment.pop("TMUX", None)
        done = subprocess.run([self.tmux, "-u", "-S", self.socket, *arguments], env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        check_equal(done.returncode, 0, "tmux %s: %r" % (arguments[0], done.stderr))
        return done.stdout.decode("utf-8")

    def screen(self):
        return self.call("capture-pane", "-p", "-t", "top")

    def keys(self, *keys):
        self.call("send-keys", "-t", "top", *keys)

    def type(self, text):
        self.call("send-keys", "-t", "top", "-l", text)

    def resize(self, width, height):
        self.call("resize-window", "-t", "top", "-x", str(width), "-y", str(height))

    def pid(self):
        """Of the command: the shell's child."""
        shell = self.call("display-message", "-p", "-t", "top", "#{pane_pid}").strip()
        children = read_text("/proc/%s/task/%s/children" % (shell, shell)).split()
        return int(children[0])

    def wait(self, condition, what):
        """A screen of which condition(screen) is true; it is printed."""
        last = [""]

        def look():
            last[0] = self.screen()
            return condition(last[0])

        try:
            wait_for(look, what)
        finally:
            print("---- %s" % what)
            print(last[0].rstrip("\n"))
        return last[0]

    def wait_status(self):
        return int(wait_for(lambda: os.path.exists(self.status) and read_text(self.status),
                            "the command has ended"))

    def check_restored(self):
        before, after = (read_text(self.ran + when) for when in (".before", ".after"))
        check_equal(after, before, "the terminal's settings afterwards")
        shown = self.call("display-message", "-p", "-t", "top", "#{alternate_on} #{cursor_flag}")
        check_equal(shown.strip(), "0 1", "the terminal's own screen, and its cursor")


def need_screen():
    if not make_variable("NCURSES_LIBS"):
        raise Skipped("this build has no ncurses")


def table(screen):
    """The titles, and the rows as lists of words."""
    lines = screen.split("\n")
    at = next((i for i, line in enumerate(lines) if "CPU%" in line and "NAME" in line or
               "CPU%" in line and line.rstrip().endswith(("GROUP", "GROUP*", "GROUP^"))), None)
    check(at is not None, "no titles", screen)
    titles = [word.rstrip("*^") for word in lines[at].split()]
    return titles, [line.split() for line in lines[at + 1:-2] if line.strip()]


def row_of(screen, name):
    """{title: word} of the first row with this name, which is one word and the last."""
    titles, rows = table(screen)
    for words in rows:
        if words[-1] == name:
            return dict(zip(titles, words))
    return None


def names_of(screen):
    return [words[-1] for words in table(screen)[1]]


# ---- On the screen -------------------------------------------------------------------------

def case_screen():
    need_screen()
    burning = burner(ME + "-burn")
    sleeper(ME + "-idle")
    terminal = Terminal("%s top --source procfs" % COMMAND)

    def burns(screen):
        row = row_of(screen, ME + "-burn")
        # wide: other work runs on the same CPUs
        return row and 10 <= float(row["CPU%"]) <= 130

    screen = terminal.wait(burns, "groups, a burner among the first")
    head = screen.split("\n")
    for line, begin in enumerate(("proctally - ", "Tasks: ", "%CPU: ", "Memory: ", "Found: ")):
        check(head[line].startswith(begin), "line %d begins with %s" % (line, begin), screen)
    check(re.search(r"Found: [0-9.]+% of CPU time, ended [0-9.]+%, source procfs, lost -; "
                    r"[0-9]+ groups by name", screen), "the line about what was found", screen)
    check_equal(row_of(screen, ME + "-burn")["PROCS"], "1", "processes of the group")

    terminal.keys("/")
    terminal.type((ME + "-").upper())
    screen = terminal.wait(lambda s: sorted(names_of(s)) == [ME + "-burn", ME + "-idle"],
                           "the filter")
    terminal.keys("Enter")
    terminal.keys("R")
    terminal.wait(lambda s: names_of(s) == [ME + "-idle", ME + "-burn"], "the other way round")
    terminal.keys("R", "Tab")
    screen = terminal.wait(lambda s: "PID" in table(s)[0] and len(names_of(s)) == 2, "processes")
    row = row_of(screen, ME + "-burn")
    check_equal(row["PID"], str(burning.pid), "the burner's PID")
    check_equal(names_of(screen)[0], ME + "-burn", "it stands first")
    terminal.keys("c")
    terminal.wait(lambda s: PYTHON[:12] in s, "command lines")
    terminal.keys("c", "Enter")
    screen = terminal.wait(lambda s: s.startswith("process %d " % burning.pid), "one process")
    check("open files: " in screen and "pipe:[" in screen, "what it has open", screen)
    check(re.search(r"^ +\d+  tcp 127\.0\.0\.1:\d+ LISTEN$", screen, re.M), "its socket", screen)
    burning.kill()
    burning.wait()
    terminal.wait(lambda s: s.startswith("process %d has ended" % burning.pid),
                  "a process that has ended")
    terminal.keys("Escape")
    terminal.wait(lambda s: names_of(s) == [ME + "-idle"], "back in the list")
    terminal.keys("Escape")
    terminal.wait(lambda s: len(names_of(s)) > 2, "without the filter")
    terminal.keys("h")
    terminal.wait(lambda s: s.startswith("Tab  "), "help")
    terminal.keys("h", "Space")
    terminal.wait(lambda s: "PAUSED" in s, "paused")
    stands = terminal.screen()
    time.sleep(2.5)
    check_equal(terminal.screen(), stands, "a paused screen")
    terminal.keys("Space", "q")
    check_equal(terminal.wait_status(), 0, "status after q")
    check_equal(read_text(terminal.errors), "", "standard error")
    terminal.check_restored()


def case_tree_and_sort():
    need_screen()
    parent = as_name(ME + "-up", "os.fork() or ctypes.CDLL(None).prctl(15, b'%s-down', 0, 0, 0)\n"
                                 "while True: time.sleep(600)" % ME)
    terminal = Terminal("%s top --source procfs --view processes --tree" % COMMAND, 160)
    terminal.wait(lambda s: "PID" in table(s)[0], "a tree")
    terminal.keys("/")
    terminal.type(ME + "-down")
    terminal.keys("Enter")

    def is_below(screen):
        lines = [line for line in screen.split("\n") if ME + "-" in line and "rows" not in line]
        return (len(lines) == 2 and lines[0].endswith(ME + "-up") and
                lines[1].endswith(ME + "-down") and
                lines[1].rindex(ME) == lines[0].rindex(ME) + 2)

    terminal.wait(is_below, "the child below its parent, which leads to it")
    terminal.keys("t")
    terminal.wait(lambda s: names_of(s) == [ME + "-down"], "no tree")
    for key, title in (("M", "RSS*"), ("T", "TIME*"), ("N", "PID*"), ("P", "CPU%*"),
                       (">", "TIME*"), ("<", "CPU%*"), ("R", "CPU%^")):
        terminal.keys(key)
        terminal.wait(lambda s: title in s.split(), "sorted after the key %s" % key)
    terminal.keys("Escape", "Tab", "t", "/")
    terminal.type(ME + "-up")
    terminal.keys("Enter")
    screen = terminal.wait(lambda s: "%d %s-up" % (parent.pid, ME) in s, "a group's process below it")
    check(names_of(screen)[:2] == [ME + "-up", ME + "-up"], "the group stands above", screen)


def case_group_by():
    need_screen()
    terminal = Terminal("%s top --source procfs" % COMMAND, 132)
    terminal.wait(lambda s: "groups by name" in s, "by name")
    terminal.keys("g")
    screen = terminal.wait(lambda s: "groups by user" in s and row_of(s, "root") and
                           row_of(s, "root")["CPU%"] != "-", "by user")
    # those of before are gone
    check(not row_of(screen, "tmux:"), "no groups by name any more", screen)
    terminal.keys("G")
    for _ in "user":
        terminal.keys("BSpace")
    terminal.type("user,name")
    terminal.keys("Enter")
    terminal.wait(lambda s: "groups by user,name" in s and
                  any(name.startswith("root:") for name in names_of(s)), "by user and name")
    terminal.keys("G")
    terminal.type(",colour")
    terminal.keys("Enter")
    terminal.wait(lambda s: "colour" in s.split("\n")[-2] and "groups by user,name" in s,
                  "keys that there are not")
    terminal.keys("d")
    terminal.type("soon")
    terminal.keys("Enter")
    terminal.wait(lambda s: "interval" in s.split("\n")[-2] and "soon" in s.split("\n")[-2],
                  "no interval")
    terminal.keys("d")
    terminal.type("100ms")
    terminal.keys("Enter")
    before = terminal.wait(lambda s: "rows" in s.split("\n")[-2], "another interval")
    terminal.wait(lambda s: s != before, "it goes on")
    # what a group holds, and back
    terminal.keys("Home", "Enter")
    terminal.wait(lambda s: s.split("\n")[-2].startswith("group ") and "PID" in table(s)[0],
                  "the processes of a group")
    terminal.keys("Escape")
    terminal.wait(lambda s: "PROCS" in table(s)[0], "the groups again")


def case_ended():
    """What children used that no list of processes shows."""
    need_screen()
    short_children(ME + "-forks")
    terminal = Terminal("%s top --source procfs" % COMMAND, 132)

    def is_ended(screen):
        row = row_of(screen, ME + "-forks")
        return row and float(row["ENDED%"]) > 5 and float(row["CPU%"]) >= float(row["ENDED%"])

    terminal.wait(is_ended, "the work of ended children in their group")
    terminal.keys("E", "Tab")
    terminal.wait(lambda s: any(words[-2:] == [ME + "-forks", "(ended)"] and float(words[0]) > 5
                                for words in table(s)[1]), "and in a row of its own")


def case_sizes():
    need_screen()
    sleeper(ME + "-漢字")
    terminal = Terminal("LC_ALL=C.UTF-8 %s top --source procfs" % COMMAND)
    terminal.wait(lambda s: "CPU%" in s, "80x24")
    for width, height in ((20, 5), (7, 3), (2, 1), (1, 1), (132, 40), (300, 10), (80, 24)):
        terminal.resize(width, height)
        for key in ("Tab", "h", "PageDown", "h", "End", "Home", "Enter", "Escape"):
            terminal.keys(key)
        time.sleep(0.3)
        screen = terminal.screen()
        print("---- %dx%d" % (width, height))
        print(screen.rstrip("\n"))
        check(not os.path.exists(terminal.status), "it goes on", read_text(terminal.errors))
    terminal.resize(20, 5)
    terminal.wait(lambda s: all(len(line) <= 20 for line in s.split("\n")) and "CPU%" in s, "20x5")
    terminal.resize(132, 40)
    screen = terminal.wait(lambda s: "SENT/s" in s, "more columns where there is room")
    terminal.keys("Escape", "/")
    terminal.type("漢")
    screen = terminal.wait(lambda s: "filter: 漢_" in s and ME + "-漢字" in names_of(s),
                           "letters of two columns")
    terminal.keys("BSpace")
    terminal.wait(lambda s: "filter: _" in s, "one letter less")


def case_signals():
    need_screen()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        terminal = Terminal("%s top --source procfs" % COMMAND)
        terminal.wait(lambda s: "CPU%" in s, "before %s" % number.name)
        os.kill(terminal.pid(), number)
        check_equal(terminal.wait_status(), 0, "status after %s" % number.name)
        terminal.check_restored()
    stopped = os.path.join(temp_dir(), "stopped")
    terminal = Terminal("bash -ic '%s top --source procfs; echo >%s; fg; true'" % (COMMAND, stopped))
    before = terminal.wait(lambda s: "CPU%" in s, "before ^Z")
    terminal.keys("C-z")
    # the shell brings it back at once
    wait_for(lambda: os.path.exists(stopped), "it has stopped")
    terminal.wait(lambda s: s.startswith("proctally - ") and s.split("\n")[0] !=
                  before.split("\n")[0] and "rows" in s.split("\n")[-2], "after ^Z and fg")
    terminal.keys("q")
    terminal.wait_status()
    terminal.check_restored()


def case_terminals():
    need_screen()
    said = ("proctally top: cannot draw on a terminal of the type \"%s\"; expected one in TERM "
            "that terminfo knows, or -b for plain text\n")
    for term in ("", "unknown-to-all", "dumb"):
        terminal = Terminal("%s top" % COMMAND, term=term)
        check_equal((terminal.wait_status(), read_text(terminal.errors)), (2, said % term),
                    "a terminal %r" % term)
    status, out, err = top()
    check_equal((status, out, err), (2, "", "proctally top: standard input and output are not both "
                                            "a terminal; expected one, or -b for plain text\n"),
                "no terminal")
    for command, term in (("NO_COLOR=1 %s top", None), ("%s top", "vt100"), ("%s top", "linux")):
        terminal = Terminal(command % COMMAND, term=term)
        terminal.wait(lambda s: "CPU%" in s, "%s, TERM=%s" % (command % "proctally", term))
        colours = terminal.call("capture-pane", "-p", "-e", "-t", "top")
        check(term == "linux" or not re.search(r"\x1b\[[0-9;]*3[1-7]m", colours), "no colours",
              repr(colours))
        terminal.keys("q")
        check_equal(terminal.wait_status(), 0, "status")


HOSTILE = [b"\x1b[31m\x1b]0;%s" % ME[-4:].encode(), b"a\nb\r%s" % ME[-4:].encode(),
           b"\xff\xfe%s" % ME[-4:].encode(), "\u009b31m".encode() + ME[-4:].encode()]


def case_hostile_names():
    for name in HOSTILE:
        sleeper(name)
    status, out, err = top("-b", "-n", "1", "--source", "procfs", "--view", "processes")
    check_equal((status, err), (0, ""), "batch")
    check(not ESCAPES.search(out), "no control characters", repr(ESCAPES.findall(out)))
    check_equal(len([line for line in out.split("\n") if line.split(" ")[-1].endswith(ME[-4:]) and
                     not line.endswith("(ended)")]), len(HOSTILE), "each has a line of its own")
    need_screen()
    terminal = Terminal("%s top --source procfs --view processes" % COMMAND)
    terminal.wait(lambda s: "CPU%" in s, "processes")
    terminal.keys("/")
    terminal.type(ME[-4:])
    terminal.keys("Enter")
    screen = terminal.wait(lambda s: len([n for n in table(s)[1] if n[-1].endswith(ME[-4:])]) ==
                           len(HOSTILE), "hostile names")
    check(not ESCAPES.search(screen), "no control characters", repr(screen))
    for key in ("c", "Enter"):
        terminal.keys(key)
        time.sleep(0.3)
        print(terminal.screen().rstrip("\n"))
    title = terminal.call("display-message", "-p", "-t", "top", "#{pane_title}")
    check(ME[-4:] not in title, "the title of the window", title)


# ---- Batch and JSON ----------------------------------------------------------------------------

def case_plain_seconds():
    """As top(1) takes them."""
    for flags in (["-d", "1"], ["--interval=1.0"]):
        begun = time.monotonic()
        status, _, err = top("-b", "-n", "2", "--source", "procfs", *flags)
        check_equal((status, err), (0, ""), repr(flags))
        check(2 <= time.monotonic() - begun < 60, "the second refresh comes after two intervals")


def case_batch():
    burner(ME + "-burn")
    status, out, err = top("-b", "-n", "5", "-d", "500ms", "--source", "procfs")
    check_equal((status, err), (0, ""), "batch")
    parts = out.split("\n\n")
    check_equal(len(parts), 10, "heads and tables")
    found = []
    for head, rows in zip(parts[::2], parts[1::2]):
        check(head.startswith("proctally - "), "a head", head)
        row = row_of(rows + "\n\n", ME + "-burn")
        check(row, "the burner", rows)
        found.append(float(row["CPU%"]))
    check(10 <= max(found) <= 130, "CPU usage of the burner", found)
    status, out, err = top("-b", "-n", "1", "--view", "processes", "--sort", "-pid",
                           "--source", "procfs")
    pids = [int(line.split()[0]) for line in out.split("\n\n")[1].split("\n")[1:]
            if line and not line.endswith("(ended)")]
    check_equal(pids, sorted(pids, reverse=True), "sorted by PID, the other way round")
    check(len(pids) > 2, "all rows", out)


def case_json():
    burning = burner(ME + "-burn")
    process = short_children(ME + "-forks")
    status, out, err = top("--json", "-n", "3", "--source", "procfs")
    check_equal((status, err), (0, ""), "JSON")
    found = [json.loads(line) for line in out.split("\n")[:-1]]
    check_equal(len(found), 3, "objects")
    listed = {line.split()[0] for line in
              run([COMMAND, "metrics"])[1].split("\n")[1:] if line}
    for one in found:
        check(one["interval"] > 0 and abs(one["time"] - time.time()) < 600, "times", one["interval"])
        check_equal(one["host"]["host_cpus"], os.cpu_count(), "CPUs")
        with open("/proc/meminfo") as meminfo:
            check_equal(one["host"]["host_memory_total"], int(meminfo.readline().split()[1]) * 1024,
                        "memory")
        group = next(g for g in one["groups"] if g["name"] == ME + "-forks")
        check(0 <= group["cpu_usage_ended"] <= group["cpu_usage"], "the part of what has ended", group)
        check(set(group) - listed == {"name", "labels", "cpu_usage_ended"}, "names", set(group))
        shown = next(p for p in one["processes"] if p["pid"] == process.pid)
        check_equal((shown["ppid"], shown["name"], shown["group"]),
                    (os.getpid(), ME + "-forks", ME + "-forks"), "the process")
        check("open_fds" in shown, "all metrics are collected", shown)
    for one, other in zip(found, found[1:]):
        a, b = (next(p for p in each["processes"] if p["pid"] == burning.pid)
                for each in (one, other))
        used = b["cpu_user"] + b["cpu_system"] - a["cpu_user"] - a["cpu_system"]
        check_near(b["cpu_usage"] * other["interval"], used, "CPU usage, and the time that it is of",
                   absolute=0.001)
    check(any(next(g for g in one["groups"] if g["name"] == ME + "-forks")["cpu_usage_ended"] > 0.05
              for one in found), "work of ended children")


def check_ended(source):
    """500 children of 2 ms each: what they used is all there, and nearly all of it is shown as
    work of what has ended."""
    place = temp_dir()
    go, done = os.path.join(place, "go"), os.path.join(place, "done")
    parent = as_name(ME + "-short", "import resource\n"
                                    "while not os.path.exists(%r): time.sleep(0.01)\n"
                                    "for _ in range(500):\n"
                                    "    if os.fork() == 0:\n"
                                    "        end = time.process_time() + 0.002\n"
                                    "        while time.process_time() < end: pass\n"
                                    "        os._exit(0)\n"
                                    "    os.wait()\n"
                                    "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
                                    "open(%r, 'w').write(str(used.ru_utime + used.ru_stime))\n"
                                    "time.sleep(600)\n" % (go, done))
    output = os.path.join(place, "output")
    with open(output, "w") as to:
        top_itself = start([COMMAND, "top", "--json", "-d", "200ms", "--source", source], stdout=to)

    def objects():
        return [json.loads(line) for line in read_text(output).split("\n")[:-1]]

    wait_for(objects, "the first object")
    write_text(go, "")
    truth = float(wait_for(lambda: os.path.exists(done) and read_text(done), "500 children"))
    count = len(objects())
    wait_for(lambda: len(objects()) >= count + 3, "the last of them are counted")
    check_equal(stop(top_itself), 0, "status")
    used, ended, own = 0, 0, 0
    for one in objects():
        group = next(g for g in one["groups"] if g["name"] == ME + "-short")
        used += group["cpu_usage"] * one["interval"]
        ended += group.get("cpu_usage_ended", 0) * one["interval"]
        own += next(p for p in one["processes"] if p["pid"] == parent.pid)["cpu_usage"] * \
            one["interval"]
    print("      %s: 500 children used %.3f s; found %.3f s, %.3f s of it as ended; %d looks" %
          (source, truth, used - own, ended, len(objects())))
    check_near(used - own, truth, "CPU time of the children", relative=CPU_ROOM,
               absolute=2 * TICK)
    # one that lives at a look is not of the ended
    check(ended <= used - own + TICK and ended >= truth * 0.8, "work of what has ended",
          (ended, truth))


def case_truth_procfs():
    check_ended("procfs")


def case_truth_bpf():
    status, out, err = top("--json", "-n", "1", "--source", "bpf")
    if status != 0:
        raise Skipped(err.strip())
    check_ended("bpf")


def case_bpf():
    """The same with programs in the kernel, exact: children that a list never shows."""
    status, out, err = top("--json", "-n", "1", "--source", "bpf")
    if status != 0:
        raise Skipped(err.strip())
    short_children(ME + "-forks")
    status, out, err = top("--json", "-n", "3", "--source", "bpf")
    check_equal(status, 0, "status: " + err)
    found = [json.loads(line) for line in out.split("\n")[:-1]]
    check(all(one["self"]["source_bpf"] == 1 and "lost_events" in one["self"] for one in found),
          "the source", found[0]["self"])
    ended = [next(g for g in one["groups"] if g["name"] == ME + "-forks")["cpu_usage_ended"]
             for one in found]
    check(max(ended) > 0.05, "work of ended children", ended)
    need_screen()
    terminal = Terminal("%s top --source bpf" % COMMAND)
    terminal.wait(lambda s: "source bpf, lost 0" in s and row_of(s, ME + "-forks") and
                  float(row_of(s, ME + "-forks")["ENDED%"]) > 5, "with source bpf")
    terminal.keys("g")
    terminal.wait(lambda s: "groups by user" in s and row_of(s, "root") and
                  row_of(s, "root")["CPU%"] != "-", "by user, with source bpf")


def case_mistakes():
    for arguments, said in (
            (("-n", "0"), '--iterations got "0"; expected a count from 1 on'),
            (("-n", "2x"), '--iterations got "2x"; expected a count from 1 on'),
            (("--view", "all"), '--view got "all"; expected groups or processes'),
            (("--sort", "pid"), '--sort got "pid"; expected the title of a column, such as rss'),
            (("something",), 'unexpected argument "something"; expected flags as --help shows')):
        check_equal(top("-b", *arguments), (2, "", "proctally top: %s\n" % said), repr(arguments))
    status, out, err = top("-b", "-n", "1", "--procfs", "/nowhere", "--source", "procfs")
    check_equal((status, out), (1, ""), "no /proc")
    check("/nowhere" in err and err.count("\n") == 1, "no /proc", err)
    for where, why in (("/dev/full", "No space left on device"), (None, "Bad file descriptor")):
        for form in ("-b", "--json"):
            close = (lambda: os.close(1)) if where is None else None
            with open(where or "/dev/null", "w") as out:
                done = subprocess.run([COMMAND, "top", form, "--source", "procfs", "-d", "100ms"],
                                      stdout=out, stderr=subprocess.PIPE, text=True, timeout=60,
                                      preexec_fn=close)
            check_equal((done.returncode, done.stderr),
                        (1, "proctally top: cannot write to standard output: %s\n" % why),
                        "%s, %s" % (form, where))


def case_reader_leaves():
    """Valid lines so far, one sentence, and no hanging where nobody reads."""
    process = start([COMMAND, "top", "--json", "-d", "50ms", "--source", "procfs"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    json.loads(process.stdout.readline())
    process.stdout.close()
    check_equal(process.wait(timeout=30), 1, "status without a reader")
    check_equal(process.stderr.read(), b"proctally top: cannot write to standard output: Broken "
                                       b"pipe\n", "what it says")
    process = start([COMMAND, "top", "--json", "-d", "10ms", "--source", "procfs"],
                    stdout=subprocess.PIPE)
    json.loads(process.stdout.readline())
    time.sleep(1) # the pipe is full by now
    process.terminate()
    check_equal(process.wait(timeout=30), 0, "status of one that nobody reads, after SIGTERM")
    process = start([COMMAND, "top", "--json", "-d", "10ms", "--source", "procfs"],
                    stdout=subprocess.PIPE)
    json.loads(process.stdout.readline())
    process.terminate()
    for line in process.stdout.read().split(b"\n")[:-1]:
        json.loads(line)
    check_equal(process.wait(timeout=30), 0, "status after SIGTERM")


def case_ordinary_user():
    """Sees its own, and knows what it does not see."""
    if os.getuid() != 0:
        raise Skipped("not root")

    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    sleeper(ME + "-root")
    status, out, err = top("--json", "-n", "1", preexec_fn=become_nobody)
    check_equal(status, 0, "status: " + err)
    shown = next(p for p in json.loads(out)["processes"] if p["name"] == ME + "-root")
    check("disk_read" not in shown, "what it may not read", shown)
    check("cpu_user" in shown and shown["user"] == "root", "what it may read", shown)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
