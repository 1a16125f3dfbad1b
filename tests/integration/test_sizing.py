#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What proctally-fleet(7) shows is taken by Prometheus, its rules tell the truth of several
hosts, and the lives that tests/bench/fleet.py makes of a record are those of counters."""
import importlib.util
import sys
from decimal import Decimal

from common import *

PAGE = "plugins/common/proctally-fleet.7"


def load(path, *arguments):
    """A script as a module; with these arguments."""
    spec = importlib.util.spec_from_file_location("loaded", os.path.join(SRC, path))
    module = importlib.util.module_from_spec(spec)
    before, sys.argv = sys.argv, [path, *arguments]
    try:
        spec.loader.exec_module(module)
    finally:
        sys.argv = before
    return module


def shown(kind):
    found = [text for what, text in load("tests/check-docs.py").blocks(PAGE) if what == kind]
    check(found, "the page shows no " + kind)
    return found


def promtool(*arguments):
    status, out, err = run([need_program("promtool"), *arguments])
    check_equal(status, 0, "promtool %s: %s%s" % (arguments[0], out, err))
    return out


def case_configurations():
    """promtool takes each configuration of the page, with the rules beside it."""
    place = temp_dir()
    rules, = shown("rules")
    promtool("check", "rules", write_text(os.path.join(place, "proctally-cell.yml"), rules))
    for i, text in enumerate(shown("prometheus")):
        promtool("check", "config", write_text(os.path.join(place, "%d.yml" % i), text))


def case_rules():
    """Sums over two hosts, one of which has been restarted."""
    place = temp_dir()
    write_text(os.path.join(place, "rules.yml"), shown("rules")[0])
    # 0.1 CPUs on one, 0.2 on the other, which begins anew in the middle
    test = write_text(os.path.join(place, "test.yml"), """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- interval: 15s
  input_series:
  - series: proctally_cpu_seconds_total{instance="a",groupname="web",mode="user"}
    values: 100+1.5x60
  - series: proctally_cpu_seconds_total{instance="b",groupname="web",mode="user"}
    values: 0+3x39 3+3x20
  - series: proctally_memory_rss_bytes{instance="a",groupname="web"}
    values: 10x60
  - series: proctally_memory_rss_bytes{instance="b",groupname="web"}
    values: 20x60
  - series: proctally_processes{instance="a",groupname="web"}
    values: 3x60
  promql_expr_test:
  - expr: round(cell_groupname:proctally_cpu_seconds:rate5m, 0.001)
    eval_time: 14m
    exp_samples: [{labels: '{groupname="web"}', value: 0.3}]
  - expr: cell_groupname:proctally_memory_rss_bytes:sum
    eval_time: 14m
    exp_samples: [{labels: 'cell_groupname:proctally_memory_rss_bytes:sum{groupname="web"}', value: 30}]
  - expr: cell_groupname:proctally_processes:sum
    eval_time: 14m
    exp_samples: [{labels: 'cell_groupname:proctally_processes:sum{groupname="web"}', value: 3}]
""")
    promtool("test", "rules", test)


def case_lives():
    """Counters go on from the record and never fall, with no more digits than they had."""
    fleet = load("tests/bench/fleet.py", BUILD, "", "1", "1", "15", "1")
    texts = ["# TYPE c_total counter\n# TYPE g gauge\nc_total{a=\"x\"} %s\ng %s\ngone 1\n" % pair
             for pair in (("0.5", 7), ("0.75", 9), ("3", 2))]
    texts[1] = texts[1].replace("gone 1\n", "")
    recorded = fleet.Recorded(texts)
    check_equal(recorded.series, ['c_total{a="x"}', "g"], "those that were always there")
    life = list(recorded.life(100))
    counter = [Decimal(c) for c, _ in life]
    check(counter[0] > Decimal("0.5"), "the first step")
    check(all(a < b for a, b in zip(counter, counter[1:])), "a counter falls or stands still")
    check(all(-c.as_tuple().exponent <= 2 for c in counter), "digits that nobody measured")
    # steps of 0.25 and 2.25, each in turn, up to 0.3 of them more or less
    check_near(float(counter[-1]), 0.5 + 50 * 2.5, "what it has come to", relative=0.1)
    check_equal({g for _, g in life}, {"9", "2"}, "gauges are those of the record")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
