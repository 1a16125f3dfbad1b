#!/bin/sh
# SPDX-License-Identifier: MIT
# Series per second of both encoders: sh tests/bench/encode.sh [GROUPS [ROUNDS]]
set -eu
. "$(dirname "$0")/lib.sh"
make_build
BENCH_LDFLAGS=$wrap
compile encode encode.c bench.c memory.c
"$bin/encode" "$@"
