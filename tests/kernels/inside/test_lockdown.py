#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A kernel that is locked down, which stays so until the next boot."""
from machine import *

LOCKDOWN = "/sys/kernel/security/lockdown"


def lock_down(level):
    write_text(LOCKDOWN, level)
    check("[%s]" % level in read_text(LOCKDOWN), "it is not locked down")


def check_right(d, source, program):
    """What is short is all there, and what lives has its name, memory and files."""
    used = spawn(program)
    lives = steps("lives")
    w = start([lives, "wait:/run/%s.go" % unique("go")])

    def is_right():
        points = d.collect()
        check_equal(points.self_point.fields["source_bpf"], int(source == "bpf"), "source bpf")
        if source == "bpf":
            name = os.path.basename(program)
            check_spawned(points.cpu(name), points[name].fields["exits"], used)
        fields = points[os.path.basename(lives)].fields
        for field in "memory_rss", "memory_vms", "num_fds":
            check(fields[field] > 0, field, fields)
        return True
    wait_for(is_right, "processes by source " + source, 20)
    stop(w)


def case_integrity():
    """That is no matter: nothing of the kernel's is written."""
    lock_down("integrity")
    d = Driver(source="bpf")
    check_right(d, "bpf", steps("i"))
    d.end()
    check_equal(unusual(d.errors()), "", "what it says")


def case_confidentiality():
    """No program may read the kernel's memory: that is what it says, and reads /proc."""
    before = Driver(source="bpf")
    lock_down("confidentiality")
    status, out, err = run([TELEGRAF, "--once", "--source", "bpf"])
    check(status != 0 and "the kernel is locked down (confidentiality)" in err and
          err.count("\n") == 1, "expected one line that names it (status %d)" % status, err + out)
    d = Driver(source="auto")
    check_right(d, "procfs", steps("p"))
    d.end()
    check("the kernel is locked down (confidentiality)" in d.errors() and
          d.errors().count("\n") == 1, "expected one line that names it", d.errors())
    # what was there already goes on
    check_right(before, "bpf", steps("b"))
    before.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
