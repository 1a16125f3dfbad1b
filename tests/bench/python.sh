#!/bin/sh
# SPDX-License-Identifier: MIT
# What the Python package costs beside denet and psutil: sh tests/bench/python.sh [PROCESSES]
#
# One sample of a process with 50 children, and one snapshot of a host with 5,000 processes, in
# turns, in CPU seconds of all processes that take part. denet and psutil come from PyPI into an
# environment of their own below the build.
set -eu
. "$(dirname "$0")/lib.sh"
make_build
venv=$build/python-venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q 'setuptools>=77' 'cffi>=1.17'
    "$venv/bin/pip" install -q psutil denet || echo "no psutil or denet to be had: left out" >&2
fi
cp -R "$SRC/plugins/python" "$work/package"
run "$work/wheel.log" env PROCTALLY_SOURCE="$SRC" PROCTALLY_BUILD="$build" "$venv/bin/pip" install \
--force-reinstall --no-deps --no-build-isolation "$work/package"
compile load load.c
"$venv/bin/python" "$bench/python.py" "$bin/load" "${1-5000}"
