#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command proctally: its verbs, and what they share."""
import sys

from common import *


def proctally(*arguments, **more):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60,
                          **more)


def verbs():
    return re.findall(r"^  proctally (\w+)", proctally("help").stdout, re.M)


def case_help():
    for verb in verbs():
        shown = proctally("help", verb)
        check_equal((shown.returncode, shown.stderr), (0, ""), "help " + verb)
        check(shown.stdout.startswith("Usage: proctally %s " % verb), "help " + verb, shown.stdout)
        check_equal(proctally(verb, "--help").stdout, shown.stdout, verb + " --help")
    check_equal(proctally("--version").stdout, proctally("metrics", "--version").stdout.replace(
        "proctally metrics", "proctally"), "the version")


def case_mistakes():
    for arguments, said in (
            ((), "Usage: proctally VERB"),
            (("nothing",), 'proctally: "nothing" is no verb; expected one that proctally help shows\n'),
            (("help", "nothing"), 'proctally: there is no verb "nothing"; expected one that '
                                  "proctally help shows\n"),
            (("--nothing=1", "explain", "1"), "proctally: explain has no flag --nothing; expected "
                                              "one that proctally help explain shows\n"),
            (("--",), 'proctally: "--" is no verb; expected one that proctally help shows\n'),
            (("explain", "--nothing"), "proctally explain: unknown flag --nothing; expected one "
                                       "that --help shows\n"),
            (("explain",), "proctally explain: expected the number of one process, as in proctally "
                           "explain 1\n"),
            (("explain", "1", "2"), "proctally explain: expected the number of one process, as in "
                                    "proctally explain 1\n"),
            (("explain", "x"), 'proctally explain: got "x"; expected the number of a process, or other\n'),
            (("config",), "proctally config: expected proctally config check --config FILE\n")):
        done = proctally(*arguments)
        check_equal(done.returncode, 2, repr(arguments))
        check(done.stderr == said or (not arguments and done.stdout.startswith(said)),
              repr(arguments), done.stdout, done.stderr)
    with open("/dev/full", "w") as full:
        done = subprocess.run([COMMAND, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
    check_equal((done.returncode, done.stderr),
                (1, "proctally: cannot write to standard output: No space left on device\n"),
                "no room for the output")


def case_answers():
    """Verbs and the agents' flags are the same."""
    pid = str(os.getpid())
    for verb, flag in ((["explain", pid], ["--explain", pid]),
                       (["--group-by", "user", "explain", pid],
                        ["--group-by", "user", "--explain", pid]),
                       (["explain", "other"], ["--explain", "other"]),
                       (["--group-by", "user", "--", "explain", pid],
                        ["--group-by", "user", "--explain", pid]),
                       (["--", "explain", "--group-by", "user", pid],
                        ["--group-by", "user", "--explain", pid]),
                       (["metrics"], ["--list-metrics"]),
                       (["config", "check", "--group-by=unit"],
                        ["--check-config", "--group-by=unit"])):
        one = proctally(*verb)
        other = subprocess.run([TEXTFILE, *flag], capture_output=True, text=True, timeout=60)
        check_equal((one.returncode, one.stdout), (0, other.stdout), repr(verb))
    check("METRIC" in proctally("metrics", "--here").stdout, "metrics --here")
    few = proctally("explain", "other", "--max-groups", "1").stdout.splitlines()
    check(few[1].startswith("max-groups: 1, and ") and len(few) > 2, "what did not fit", few)
    # what an agent is sent is not what a person sees
    for verb in (["ps"], ["top", "--json", "-n", "1", "--source", "procfs"]):
        done = proctally(*verb, "--metrics", "cpu_*", "--top", "1 by io")
        check_equal((done.returncode, done.stderr), (0, ""), "a choice for agents")
        check("memory_rss" in done.stdout or "RSS" in done.stdout, "memory", done.stdout[:500])
    done = proctally("config", "check", "--metrics", "!*")
    check(done.returncode == 2 and "leaves no metric" in done.stderr, "nothing", done.stderr)
    path = os.path.join(tempfile.mkdtemp(dir=os.environ.get("TMP")), "bad.yaml")
    with open(path, "w") as file:
        file.write("interval: soon\n")
    done = proctally("config", "check", "--config", path)
    check_equal(done.returncode, 2, "a bad configuration")
    check(path in done.stderr, "the file is named", done.stderr)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
