#!/bin/sh
# SPDX-License-Identifier: MIT
# What watching one command costs, and what it finds, beside denet, psrecord and GNU time:
#
#   sh tests/bench/monitor.sh [SECONDS]
#
# denet and psrecord come from PyPI into an environment of their own below the build, and, where
# cargo is, denet's own program from crates.io.
set -eu
. "$(dirname "$0")/lib.sh"
make_build
venv=$build/monitor-venv
if [ ! -x "$venv/bin/psrecord" ]; then
    python3 -m venv "$venv" && "$venv/bin/pip" install -q denet psrecord ||
        echo "no denet or psrecord to be had: they are left out" >&2
fi
if [ ! -x "$venv/bin/denet-crate" ]; then
    if command -v cargo >/dev/null && cargo install -q denet --root "$venv/crate"; then
        ln -s "$venv/crate/bin/denet" "$venv/bin/denet-crate"
    else
        echo "no denet of crates.io to be had: it is left out" >&2
    fi
fi
python3 "$bench/monitor.py" "$build/plugins/command/proctally" "$venv/bin" "${1-20}"
