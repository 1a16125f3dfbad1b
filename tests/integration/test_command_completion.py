#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What bash, zsh and fish complete after proctally."""
import sys

from common import *

PLACE = os.path.join(SRC, "plugins/command/completion")
PATH = os.path.dirname(COMMAND) + ":" + os.environ["PATH"]


def verbs():
    shown = subprocess.run([COMMAND, "help"], capture_output=True, text=True).stdout
    return set(re.findall(r"^  proctally (\w+)", shown, re.M))


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, PATH=PATH, HOME=TMP, TERM="xterm"), **more)
    check_equal(done.returncode, 0, "%s: %s" % (command[0], done.stderr))
    return done.stdout


TMP = os.environ.get("TMP") or tempfile.mkdtemp()


def in_bash(*words):
    script = ('. "$0"; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _proctally proctally; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    return set(run("bash", "-c", script, PLACE + "/bash/proctally", *words).split())


def in_fish(line):
    need_program("fish")
    return {l.split("\t")[0] for l in
            run("fish", "--no-config", "-c", "source %s/fish/proctally.fish; complete -C %r"
                % (PLACE, line)).splitlines()}


def check_both(complete, pid):
    check_equal(complete("proctally", "") - {"help"}, verbs(), "verbs")
    check_equal(complete("proctally", "att"), {"attach"}, "a verb that was begun")
    flags = complete("proctally", "ps", "--so")
    check("--sort" in flags and "--source" not in flags, "flags of a verb", flags)
    check("--json" in complete("proctally", "--json", "top", "--js"), "a flag before the verb")
    check(str(pid) in complete("proctally", "attach", str(pid)), "a process")
    check_equal(complete("proctally", "config", "ch"), {"check"}, "config check")
    check("sleep" in complete("proctally", "run", "slee"), "a command")


def case_bash():
    check_both(in_bash, os.getpid())


def case_fish():
    check_both(lambda *words: in_fish(" ".join(words)), os.getpid())


def case_zsh():
    """Through a terminal of zsh's own, as only its line editor completes."""
    need_program("zsh")
    script = r"""
zmodload zsh/zpty
zpty shell 'zsh -f -i'
say() { zpty -w shell "$1" }
say "PS1= PS2=; fpath=(%s/zsh \$fpath); autoload -Uz compinit; compinit -u -d %s/dump; echo ready"
zpty -r -m shell got '*ready*ready*'
for line in 'proctally att' 'proctally config ch' 'proctally ps --sor'; do
    zpty -w -n shell "$line"$'\t'
    sleep 2
    while zpty -r -t shell got; do print -rn -- "$got"; done
    zpty -w -n shell $'\x15'
done
zpty -d shell
""" % (PLACE, TMP)
    shown = run("zsh", "-f", "-c", script)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\x08\x07]", "", shown)
    for wanted in ("attach", "config check", "--sort"):
        check(wanted in shown, wanted, shown)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
