#!/bin/sh
# SPDX-License-Identifier: MIT
# Cost and memory per process for more and more of them:
#
#   sh tests/bench/scale.sh [PROCESSES...]      (1000 10000 100000 1000000)
#
# First on a tree in memory (the core without the kernel), then on a tree of files
# on tmpfs, as far as there is memory for it (some 8 KiB for each process).
set -eu
. "$(dirname "$0")/lib.sh"
own_mounts "$@"
[ $# -gt 0 ] || set -- 1000 10000 100000 1000000
make_build
BENCH_LDFLAGS=$wrap
compile scale scale.c bench.c memory.c
BENCH_LDFLAGS=
compile synthetic synthetic.c
memory_directory

line='%9s  %8s %8s %8s  %8s %8s %8s  %8s %8s  %6s\n'
head() {
    echo
    echo "$1; us of CPU and bytes of memory per process"
    # shellcheck disable=SC2059
    printf "$line" processes 'all ran' 'calls' 'core' 'few ran' 'calls' 'core' \
        'B, slept' 'B, ran' 'allocs'
}
show() {
    # shellcheck disable=SC2046,SC2059
    printf "$line" $(echo "$1" | awk '{
        printf "%d %.2f %.2f %.2f %.2f %.2f %.2f %d %d %d",
            $1, $2, $3, $2 - $3, $4, $5, $4 - $5, $6, $7, $8
    }')
}

head "in memory"
for count; do
    show "$("$bin/scale" memory "$count")"
done
head "on tmpfs (few ran: none)"
for count; do
    mkdir "$memory/$count"
    if "$bin/synthetic" "$memory/$count" "$count" 1 50 1; then
        show "$("$bin/scale" tree "$memory/$count")"
    fi
    rm -rf "${memory:?}/$count"
done
