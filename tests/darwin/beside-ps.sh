#!/bin/sh
# SPDX-License-Identifier: MIT
# Are CPU time and resident memory of a process what ps says? It is stopped, so that both stand
# still; ps of macOS tells hundredths of a second, that of Linux whole ones.
#
#     sh tests/darwin/beside-ps.sh PROCTALLY-TEXTFILE
set -eu
LC_ALL=C
export LC_ALL
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -KILL $pid 2>/dev/null || true; rm -rf "$dir"' EXIT

yes >/dev/null &
pid=$!
sleep 6
kill -STOP $pid
sleep 1
"$1" --once --group-by pid --top 1000000 --output "$dir/prom"
ps -o time=,rss= -p $pid >"$dir/ps"

awk -v pid=$pid '
function off(a, b) { return a > b ? a - b : b - a }
NR == FNR { n = split($1, part, ":"); for (i = 1; i <= n; i++) cpu = cpu * 60 + part[i]; rss = $2 * 1024; next }
index($0, "proctally_cpu_seconds_total{groupname=\"" pid "\"") == 1 { our_cpu += $NF; found++ }
index($0, "proctally_memory_rss_bytes{groupname=\"" pid "\"") == 1 { our_rss = $NF; found++ }
END {
    printf "CPU time %.2f s, ps says %.2f s; resident %d, ps says %d bytes\n", our_cpu, cpu, our_rss, rss
    if (found != 3 || cpu < 1.5 || off(our_cpu, cpu) > 1 || rss == 0 || off(our_rss, rss) > rss / 10) {
        print "these differ, or are missing"
        exit 1
    }
}' "$dir/ps" "$dir/prom"
