#!/bin/sh
# SPDX-License-Identifier: MIT
# What each part of `collect`, top and metrics cost by themselves: sh tests/bench/parts.sh
#
# As root: 1,000 processes in 50 control groups that look like Docker's containers, each with
# and without the part in turn, and process-exporter with the same thing on.
set -eu
. "$(dirname "$0")/lib.sh"
own_mounts "$@"
make_build
compile load load.c
# where the containers' names are looked for, in our own mount namespace
mount -t tmpfs proctally-bench /var/lib
python3 "$bench/parts.py" "$build" "$bin" "$work"
