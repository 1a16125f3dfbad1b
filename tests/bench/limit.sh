#!/bin/sh
# SPDX-License-Identifier: MIT
# The source bpf beside a bare iterator, in one run, as root:
#
#   sh tests/bench/limit.sh [SLEEPING [BUSY [INTERVAL_MS [ROUNDS [OPTION VALUE]...]]]]
#                            (5000      250   10000        12)
set -eu
. "$(dirname "$0")/lib.sh"
sleeping=${1-5000} busy=${2-250} interval_ms=${3-10000} rounds=${4-12}
[ $# -lt 4 ] && set -- || shift 4
make_build
variable() { sed -n "s/^$1 = //p" "$build/Makefile"; }
run "$work/clang.log" "$(variable CLANG)" -O2 -g -target "$(variable BPF_TARGET)" -mcpu=v3 \
    $(variable BPF_CFLAGS) \
    -I"$core/source/linux/kernel" -c "$bench/limit.bpf.c" -o "$work/limit.bpf.o"
"$(variable BPFTOOL)" gen skeleton "$work/limit.bpf.o" name limit_bpf >"$work/limit.skel.h"
BENCH_CFLAGS="-O2 -g -isystem $work" BENCH_LDFLAGS=$wrap
compile limit limit.c bench.c
BENCH_LDFLAGS=
compile load load.c
mkfifo "$work/to_load"
"$bin/load" "$sleeping" "$busy" ${LOAD_THREADS-} <"$work/to_load" >"$work/load.log" &
exec 3>"$work/to_load"
until grep -q ready "$work/load.log"; do sleep 0.2; done
"$bin/limit" "$interval_ms" "$rounds" "$@"
exec 3>&-
wait
