#!/bin/sh
# SPDX-License-Identifier: MIT
# What being watched costs those who start many short processes:
# sh tests/bench/overhead.sh [PROCESSES [ROUNDS]]
#
# The same work with nobody watching, and beside proctally with each of its sources,
# in turns, so that what else the machine does hits all alike.
set -eu
. "$(dirname "$0")/lib.sh"
make_build
run "$work/compile.log" "${CC:-cc}" -O2 -pthread -o "$bin/steps" "$SRC/tests/integration/steps.c"
python3 "$bench/overhead.py" "$build" "$bin/steps" "$work" "${1-2000}" "${2-15}"
