#!/bin/sh
# SPDX-License-Identifier: MIT
# What `proctally top` costs, beside top(1) and htop(1) where they are:
# sh tests/bench/top.sh [PROCESSES [SECONDS]]
#
# Of the processes nearly all sleep, a twentieth wakes up each second. Each program is alone
# on a terminal of 80 columns and 24 lines, and looks once a second.
set -eu
. "$(dirname "$0")/lib.sh"
make_build
run "$work/compile.log" "${CC:-cc}" -O2 -pthread -o "$bin/load" "$bench/load.c"
python3 "$bench/top.py" "$build" "$bin/load" "${1-5000}" "${2-30}"
