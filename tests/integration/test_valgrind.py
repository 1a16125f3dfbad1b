#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
# aside
"""Both programs, whole, and unit tests under valgrind: nothing is used that was not
set, which AddressSanitizer does not see, and nothing is lost."""
import os
import re
import signal
import sys

from common import *

RULES = ('[{name: "{{.Comm}}:{{.Matches.x}}", cmdline: ["(?P<x>^[^ ]+)"]}, '
         '{name: none, user: [nobody-has-this], cgroup: [/none], unit: ["none*"]}]')


# libbpf looks whether the kernel takes a map, with a structure that it did not fill
# to its end.
KNOWN = "".join("""{
   libbpf
   Memcheck:Param
   bpf(%s)
   fun:syscall
   obj:*/libbpf.so*
}
""" % field for field in ("attr->expected_attach_type", "attr->prog_ifindex"))


def memcheck(*leaks):
    """The beginning of a command that runs the rest under valgrind, and what it says."""
    directory = temp_dir()
    log = os.path.join(directory, "valgrind.log")
    known = write_text(os.path.join(directory, "known"), KNOWN)
    return [need_program("valgrind"), "--error-exitcode=99", "--log-file=" + log,
            "--suppressions=" + known, *leaks, "--"], log


LEAKS = ("--leak-check=full", "--errors-for-leak-kinds=definite")


def check_clean(status, log, what):
    text = read_text(log)
    check(status == 0 and re.search("ERROR SUMMARY: 0 errors", text),
          "%s: status %d" % (what, status), text[-3000:])


def case_once():
    for program in (TEXTFILE, TELEGRAF):
        state = os.path.join(temp_dir(), "state")
        for flags in (["--group-by", "user,exe,cgroup,unit,container", "--collect", "pss"],
                      ["--process_names", RULES, "--children", "--exclude", "/^kworker/"],
                      ["--schema", "process-exporter", "--max-groups", "3"]):
            prefix, log = memcheck(*LEAKS)
            status, out, err = run([*prefix, program, "--once", "--state-file", state, *flags],
                                   seconds=120)
            check_clean(status, log, "%s %s (%s)" % (os.path.basename(program), flags, err))
        prefix, log = memcheck(*LEAKS)
        status, out, err = run([*prefix, program, "--explain", str(os.getpid())], seconds=120)
        check_clean(status, log, "--explain")


def case_service():
    """Reading again, taking over what was counted, a broken file, the end."""
    directory = temp_dir()
    config = write_text(directory + "/config.yaml", "group-by: [name]\n")
    prefix, log = memcheck(*LEAKS)
    with open(directory + "/said", "wb") as said:
        p = start([*prefix, TEXTFILE, "--config", config, "--interval", "100ms", "--output",
                   directory + "/out.prom", "--state-file", directory + "/state"], stderr=said)
    for text, wanted in (("group-by: [user]\nprocess_names: %s\n" % RULES, "read again"),
                         ("group-by: [no-such-key]\n", "old configuration stays")):
        wait_for(lambda: os.path.exists(directory + "/out.prom"), "an output", 120)
        write_text(config, text)
        p.send_signal(signal.SIGHUP)
        wait_for(lambda: wanted in read_text(directory + "/said"), wanted, 120)
    p.terminate()
    check_clean(p.wait(60), log, "the service")


def case_unit_tests():
    """Those that are not too slow for it. What check itself keeps is no leak of ours."""
    for name in ("parse", "state", "collect"):
        test = os.path.join(BUILD, "tests/unit/test_" + name)
        status, out, err = run(["make", "-C", BUILD, "tests/unit/test_" + name], seconds=120)
        if status != 0 and "No rule" in err:
            raise Skipped("there are no unit tests in this build")
        check_equal(status, 0, "building %s (%s)" % (test, err))
        prefix, log = memcheck()
        status, out, err = run([*prefix, test], seconds=250,
                               env=dict(os.environ, CK_FORK="no", CK_TIMEOUT_MULTIPLIER="100"))
        check_clean(status, log, "test_%s (%s)" % (name, out[-1000:]))


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
