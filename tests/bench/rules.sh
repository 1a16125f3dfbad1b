#!/bin/sh
# SPDX-License-Identifier: MIT
# The cost of many regular expressions: sh tests/bench/rules.sh [RULES [PROCESSES]]
set -eu
. "$(dirname "$0")/lib.sh"
make_build
BENCH_LDFLAGS=$wrap
compile rules rules.c bench.c memory.c
"$bin/rules" "$@"
