#!/bin/sh
# SPDX-License-Identifier: MIT
# Processes with many threads: sh tests/bench/threads.sh
#
# Made-up ones read thread by thread (there is no taskstats for them), and real
# ones, as many as the limits allow.
set -eu
. "$(dirname "$0")/lib.sh"
own_mounts "$@"
make_build
compile synthetic synthetic.c
compile load load.c
memory_directory
python3 "$bench/threads.py" "$build" "$bin" "$memory"
