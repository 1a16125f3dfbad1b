#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proctally run on a terminal, started by a shell that controls jobs: what is typed, and what the
terminal tells, is the command's as without us."""
import fcntl
import pty
import select
import struct
import sys
import termios

from common import *

PROMPT = "ready> "
PATIENCE_S = 60


class Shell:
    """An interactive one on a terminal of its own."""

    def __init__(self):
        shell = need_program("bash")
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(shell, [shell, "--norc", "--noprofile", "--noediting", "-i"],
                       dict(os.environ, PS1=PROMPT, PROCTALLY=COMMAND, TERM="xterm"))
        later(self.end)
        self.resize(24, 80)
        self.heard = ""
        self.expect(PROMPT)
        self.type("stty -echo\n")
        self.expect(PROMPT)

    def end(self):
        os.close(self.terminal) # which hangs up all that still runs there
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def resize(self, rows, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern):
        """The text up to the first that matches, which is taken away."""
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.heard)):
            check(time.monotonic() < end, "no %r on the terminal" % pattern, self.heard)
            if select.select([self.terminal], [], [], 1)[0]:
                self.heard += os.read(self.terminal, 65536).decode("utf-8", "replace")
        before = self.heard[:found.start()]
        self.heard = self.heard[found.end():]
        return before, found

    def run(self, line):
        """What it says until the next prompt."""
        self.type(line + "\n")
        return self.expect(PROMPT)[0]


# Tells each signal that it gets, and what it reads; "end" ends it with status 5.
TELL = r"""
import os, signal, sys
def tell(number, _):
    print("got", signal.Signals(number).name, *os.get_terminal_size(0), flush=True)
for number in (signal.SIGWINCH, signal.SIGINT, signal.SIGQUIT, signal.SIGCONT):
    signal.signal(number, tell)
print("pid", os.getpid(), os.getppid(), flush=True)
for line in sys.stdin:
    print("read", line, end="", flush=True)
    if line == "end\n":
        sys.exit(5)
"""


def start_telling(shell):
    """The pids of the command and of proctally."""
    path = os.path.join(temp_dir(), "tell.py")
    write_text(path, TELL)
    shell.type('"$PROCTALLY" run -q %s %s\n' % (PYTHON, path))
    pids = shell.expect(r"pid (\d+) (\d+)")[1]
    return int(pids[1]), int(pids[2])


def end_telling(shell):
    shell.type("end\n")
    shell.expect("read end")
    shell.expect(PROMPT)
    check_equal(shell.run("echo status $?").strip(), "status 5", "its exit status")


def state_of(pid):
    return read_text("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()[0]


def wait_until_stopped(*pids):
    wait_for(lambda: all(state_of(pid) == "T" for pid in pids), "all are stopped")


def once(shell, what):
    """It is told of that, and once."""
    shell.expect(what)
    shell.type("next\n")
    more = shell.expect("read next")[0]
    check("got" not in more, "told again", more)


def case_signals_of_the_terminal():
    """A new size, Ctrl-C and Ctrl-\\ come to the command by the terminal, and not again by us."""
    shell = Shell()
    start_telling(shell)
    shell.resize(40, 100)
    once(shell, "got SIGWINCH 100 40")
    shell.type("\x03")
    once(shell, "got SIGINT")
    shell.type("\x1c")
    once(shell, "got SIGQUIT")
    end_telling(shell)


def case_stop_and_go_on():
    """Ctrl-Z gives the shell its prompt back, and fg lets both go on."""
    shell = Shell()
    pids = start_telling(shell)
    for how in "\x1a", None:
        if how:
            shell.type(how)
        else: # by somebody who knows us only
            os.kill(pids[1], signal.SIGTSTP)
        shell.expect(r"Stopped +")
        shell.expect(PROMPT)
        wait_until_stopped(*pids)
        shell.type("fg\n")
        shell.expect("got SIGCONT")
        shell.type("next\n")
        shell.expect("read next")
        check("T" not in (state_of(pids[0]), state_of(pids[1])), "one of them is still stopped")
    end_telling(shell)


def case_stopped_in_the_background():
    """What reads the terminal from the background is stopped by it, and so are we."""
    shell = Shell()
    path = os.path.join(temp_dir(), "tell.py")
    write_text(path, TELL)
    shell.type('"$PROCTALLY" run -q %s %s &\n' % (PYTHON, path))
    pids = [int(pid) for pid in shell.expect(r"pid (\d+) (\d+)")[1].groups()]
    wait_until_stopped(*pids)
    shell.type("fg\n")
    shell.expect("got SIGCONT")
    end_telling(shell)


def case_colours():
    """--live colours a terminal only, and none that does not want it."""
    shell = Shell()
    coloured = shell.run('"$PROCTALLY" run -q --live sleep 0.3')
    check("cpu" in coloured and "\x1b[" in coloured, "on a terminal", coloured)
    plain = shell.run('NO_COLOR=1 "$PROCTALLY" run -q --live sleep 0.3')
    check("cpu" in plain and "\x1b" not in plain, "with NO_COLOR", plain)
    coloured = shell.run('NO_COLOR= "$PROCTALLY" run -q --live sleep 0.3')
    check("\x1b[" in coloured, "an empty NO_COLOR is none", coloured)
    plain = shell.run('"$PROCTALLY" run -q --live sleep 0.3 2>&1 | cat')
    check("cpu" in plain and "\x1b" not in plain, "into a pipe", plain)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
