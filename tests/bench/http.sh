#!/bin/sh
# SPDX-License-Identifier: MIT
# proctally-exporter beside a bare libmicrohttpd that sends the same bytes,
# process-exporter and node_exporter, on this host, with SLEEPING processes in 50 groups:
#
#   sh tests/bench/http.sh [SLEEPING [SECONDS]]        (5000 5)
#
# Needs wrk, which it installs with apt if it can. It takes some two minutes, and is best
# run as root on a host that does nothing else.
set -eu
. "$(dirname "$0")/lib.sh"
command -v wrk >/dev/null 2>&1 || {
    [ "$(id -u)" = 0 ] && run "$work/apt.log" apt-get -q -y -o DPkg::Lock::Timeout=300 install \
        --no-install-recommends wrk
}
make_build
[ -x "$build/plugins/exporter/proctally-exporter" ] || {
    echo "this build has no proctally-exporter" >&2
    exit 77
}
compile load load.c
run "$work/compile.log" ${CC:-cc} -O2 -Wall -Wextra -o "$bin/bare" "$bench/bare.c" -lmicrohttpd
python3 "$bench/http_rates.py" "$build" "$bin" "$work" "${1-5000}" "${2-5}"
