#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""After a boot: the service is there, and counts anew, of which it makes no words."""
from machine import *

SERVICE = "proctally-textfile.service"


def case_counts_anew():
    if not os.path.exists("/var/lib/counters"):
        raise Failed("the first boot did not come to its end")
    wait_for(lambda: shown(SERVICE, "ActiveState") == "active", "the service", 120)
    m = new_metrics()
    check_equal(m.get("proctally_source", source="bpf"), 1, "source bpf")
    check_equal(m.sum("proctally_cpu_seconds_total", groupname="before-boot"), 0,
                "the use of a process of the last boot")
    before = {(n, frozenset(map(tuple, l))): v for n, l, v in
              json.loads(read_text("/var/lib/counters"))}
    own = [k for k in before if k[0] == "proctally_cpu_seconds_total"
           and ("groupname", "proctally-textf") in k[1]]
    check(own, "it did not count itself")
    after = of_groups(m)
    check(sum(after.get(k, 0) for k in own) < sum(before[k] for k in own), "it counted on",
          own, after)
    check_equal(journal(SERVICE), "", "what it says")
    check_equal([n for n in os.listdir("/var/lib/proctally") if "rejected" in n], [], "rejected states")
    check(os.stat("/sys/fs/bpf/proctally").st_uid == os.stat("/var/lib/proctally").st_uid,
          "the directory to pin in")
    check_never_falls(after, of_groups(new_metrics()), "after a boot")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
