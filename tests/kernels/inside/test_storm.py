#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A storm of 10,000 short processes, or STORM, with source bpf: CPU time as wait4(2) says, and each
start and end, or lost_events says how many not."""
from machine import *

COUNT = int(os.environ.get("STORM", 10000))
SOON = 30 # seconds


def case_storm():
    program = steps("storm")
    name = os.path.basename(program)
    d = Driver(source="bpf")
    process = start([program, "spawn:%d:2" % COUNT, program, "burn:1"], stdout=subprocess.PIPE)
    while not select.select([process.stdout], [], [], 1)[0]:
        d.collect()
    truth = json.loads(process.stdout.read())
    check_equal((process.wait(60), truth["failed"]), (0, 0), "the storm")

    def figures():
        fields = d.points[name].fields
        return "CPU seconds: wait4 %.3f, found %.3f (%+.2f %%); of %d processes %d starts, " \
               "%d exits; lost_events %d" % (
                   truth["cpu"], d.points.cpu(name),
                   100 * (d.points.cpu(name) / truth["cpu"] - 1), COUNT + 1, fields["starts"],
                   fields["exits"], d.points.self_point.fields["lost_events"])

    def is_right():
        fields = d.collect()[name].fields
        lost = d.points.self_point.fields["lost_events"]
        for what in "starts", "exits":
            check(COUNT + 1 - lost <= fields[what] <= COUNT + 1, what)
        check_near(d.points.cpu(name), truth["cpu"], "CPU seconds", relative=CPU_ROOM)
        return True
    try:
        wait_for(is_right, "the storm's figures", SOON)
    finally:
        print("## says storm: " + figures())
    d.end()


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
