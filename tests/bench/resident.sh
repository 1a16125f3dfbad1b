#!/bin/sh
# SPDX-License-Identifier: MIT
# Resident memory by part, with both sources, and what a group costs in collectd; as root:
#
#   sh tests/bench/resident.sh [PROCESSES [ROUNDS]]       (5000 3)
set -eu
. "$(dirname "$0")/lib.sh"
make_build
compile load load.c
python3 "$bench/resident.py" "$build" "$bin" "$work" "${1-5000}" "${2-3}"
