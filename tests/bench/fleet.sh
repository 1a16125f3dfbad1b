#!/bin/sh
# SPDX-License-Identifier: MIT
# What a fleet costs those who store it: series and bytes of one host in each front end, bytes of
# a sample on the disks of Prometheus and VictoriaMetrics, and what HOSTS hosts, whose recorded
# texts one small server plays back, cost these two in CPU time and memory:
#
#   sh tests/bench/fleet.sh [HOSTS [SAMPLES [STEP_S [MEASURE_S]]]]        (1000 40 15 150)
#
# SAMPLES texts of a made-up host with 41 groups are recorded, one each STEP_S seconds. Needs
# root, and what it installs with apt: prometheus, victoria-metrics, collectd-core. 1,000 hosts
# need 10 GB of memory and some 25 minutes. No service is started or touched.
set -eu
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || {
    echo "needs root: the processes that are measured run as a user of their own" >&2
    exit 77
}
for tool in prometheus=prometheus victoria-metrics=victoria-metrics collectd=collectd-core; do
    command -v "${tool%%=*}" >/dev/null 2>&1 || missing="${missing-} ${tool#*=}"
done
if [ -n "${missing-}" ] && command -v apt-get >/dev/null 2>&1; then
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086 # a list of words
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing \
        >"$work/apt.log" 2>&1 </dev/null || tail -n 5 "$work/apt.log" >&2
fi
make_build
python3 "$bench/fleet.py" "$build" "$work" "${1-1000}" "${2-40}" "${3-15}" "${4-150}"
