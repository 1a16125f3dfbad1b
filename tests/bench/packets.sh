#!/bin/sh
# SPDX-License-Identifier: MIT
# What counting traffic costs those who send and receive: sh tests/bench/packets.sh [ROUNDS]
#
# One process talks to itself over loopback, with nobody watching and beside proctally with
# source bpf, with network traffic and without. Real programs do more for each packet. As root.
set -eu
. "$(dirname "$0")/lib.sh"
make_build
python3 "$bench/packets.py" "$build" "$work" "${1-15}"
