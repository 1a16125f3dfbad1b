#!/bin/sh
# SPDX-License-Identifier: MIT
# What proctally ps costs beside ps aux: sh tests/bench/ps.sh [PROCESSES [ROUNDS]]
#
# In turns, so that what else the machine does hits both alike.
set -eu
. "$(dirname "$0")/lib.sh"
command -v ps >/dev/null || sh "$SRC/tests/install-deps.sh" tests
make_build
compile load load.c
python3 "$bench/ps.py" "$build/plugins/command/proctally" "$bin/load" "${1-5000}" "${2-9}"
