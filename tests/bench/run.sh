#!/bin/sh
# SPDX-License-Identifier: MIT
# Measures proctally beside the programs that do the same, on this host:
#
#   sh tests/bench/run.sh [SLEEPING [BUSY [ROUNDS]]]        (5000 250 12)
#
# Installs what it can of them (Debian; no service is started), builds, starts
# SLEEPING processes that sleep and BUSY ones that wake up each second, lets all
# collect in turn, and prints a table. It takes some six minutes, and is best run
# as root on a host that does nothing else.
set -eu
. "$(dirname "$0")/lib.sh"
sleeping=${1-5000} busy=${2-250} rounds=${3-12}

install_peers() {
    command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 0
    missing=
    for pair in collectd=collectd-core prometheus-process-exporter=prometheus-process-exporter \
        /usr/lib/netdata/plugins.d/apps.plugin=netdata-core atop=atop strace=strace; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
    done
    [ -n "$missing" ] || return 0
    echo "installing$missing" >&2
    # what a package would start is refused while it is installed
    if [ ! -e /usr/sbin/policy-rc.d ] && [ ! -L /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d # ours: leave() removes it
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    for package in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install \
            --no-install-recommends "$package" >"$work/apt.log" 2>&1 </dev/null ||
            echo "not installed, left out: $package" >&2
    done
    if [ -n "${policy-}" ]; then rm -f "$policy"; fi
    policy=
}

install_peers
make_build
compile floor floor.c
compile load load.c
python3 "$bench/measure.py" "$build" "$bin" "$work" "$sleeping" "$busy" "$rounds"
