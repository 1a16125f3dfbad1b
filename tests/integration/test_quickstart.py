#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/quickstart.sh where all has been built: what it shows people, and what it leaves."""
import shutil
import sys

from common import *


def checkout():
    """A directory like a checkout, in which nothing is left to do."""
    place = temp_dir()
    os.chmod(place, 0o777)
    for folder in ("examples", "tests", "plugins/textfile", "plugins/command"):
        os.makedirs(os.path.join(place, folder))
    shutil.copy(os.path.join(SRC, "examples/quickstart.sh"), os.path.join(place, "examples"))
    for program in (TEXTFILE, COMMAND):
        shutil.copy(program, os.path.join(place, os.path.relpath(program, BUILD)))
    write_text(os.path.join(place, "tests/install-deps.sh"), "[ $1 = build ]\n")
    write_text(os.path.join(place, "configure"), "")
    write_text(os.path.join(place, "Makefile"), "all:\n")
    return place


def quickstart(place, *prefix):
    status, out, err = run([*prefix, "sh", os.path.join(place, "examples/quickstart.sh")])
    check_equal(status, 0, "status (%s)" % err)
    print(out)
    check_equal(err, "proctally: looking for two seconds\n", "what happens")
    return out


def case_screenful():
    """Ten groups, source and coverage, and the file that has all."""
    place = checkout()
    out = quickstart(place)
    lines = out.splitlines()
    check(len(lines) <= 24, "%d lines are more than a screen" % len(lines))
    check(all(len(line) <= 80 or place in line or "metric" in line for line in lines),
          "a line is too long")
    titles = next(i for i, line in enumerate(lines) if line.startswith("PROCS "))
    rows = [line.split() for line in lines[titles + 1:lines.index("", titles)]]
    check(0 < len(rows) <= 10, "%d groups" % len(rows))
    cpu = [float(row[2]) for row in rows]
    check_equal(cpu, sorted(cpu, reverse=True), "those that use most first")
    found = re.search(r"^Found: ([\d.]+|-)%? of CPU time, .*source (procfs|bpf),", out, re.M)
    check(found, "source and coverage")
    count, path = re.search(r"^All of it, (\d+) series .*: (.*)$", out, re.M).groups()
    check_equal(os.path.realpath(path), os.path.realpath(os.path.join(place, "quickstart.prom")),
                "the file")
    series = re.findall(r"^proctally_.*$", read_text(path), re.M)
    check_equal(len(series), int(count), "series in it")
    check(len(series) > 100, "too few series")
    for command in re.findall(r"^  (plugins/\S+)", out, re.M):
        check(os.access(os.path.join(place, command), os.X_OK), "no such program", command)


def case_missing_right():
    """The rights that an ordinary user lacks are told, and nothing that an option would give."""
    out = quickstart(checkout(), *as_nobody())
    missing = out.partition("Missing, or not whole")[2].partition("All of it")[0]
    check(re.search(r"^ +\d+ metrics: .*CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", missing, re.M),
          "the right to read what others' processes do")
    check("collect:" not in missing and "macOS" not in missing, "an option is no right")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
