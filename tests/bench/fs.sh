#!/bin/sh
# SPDX-License-Identifier: MIT
# What the library in plugins/fs costs: adding to values, and reading them as files.
#
#   sh tests/bench/fs.sh [PROCSTAT]
#
# PROCSTAT is a directory with a build of solganik/procstat (its libprocstat.so or .a, and
# procstat.h), the library whose idea this is: then both are read, in turn.
# As root, or where an ordinary user may mount.
set -eu
. "$(dirname "$0")/lib.sh"
procstat=${1-}
if [ ! -w /dev/fuse ]; then
    echo "no /dev/fuse, or no right to it"
    exit 77
fi
make_build
if [ ! -e "$build/plugins/fs/libproctally-fs.a" ]; then
    echo "libproctally-fs was not built: libfuse 3 is missing (Debian: libfuse3-dev)"
    exit 77
fi
# shellcheck disable=SC2046 # a list of words
cc -O2 -g -I"$SRC/core" -I"$SRC/plugins/fs" -o "$bin/fs" "$bench/fs.c" \
    "$build/plugins/fs/libproctally-fs.a" $(pkg-config --libs fuse3) -lm -pthread
cc -O2 -g -o "$bin/fs_read" "$bench/fs_read.c"
if [ -n "$procstat" ]; then
    header=$(find "$procstat" -name procstat.h | head -n 1)
    library=$(find "$procstat" -name 'libprocstat.so' -o -name 'libprocstat.a' | head -n 1)
    # shellcheck disable=SC2046
    cc -O2 -g -D_FILE_OFFSET_BITS=64 -I"$(dirname "$header")" -o "$bin/fs_procstat" \
        "$bench/fs_procstat.c" "$library" $(pkg-config --libs fuse) -lm -pthread \
        -Wl,-rpath,"$(dirname "$library")"
fi

"$bin/fs" add "$work/add"

# NAME SERVER...: with 10,000 values
read_values() {
    name=$1
    shift
    mkdir "$work/$name"
    mkfifo "$work/$name.in"
    "$@" <"$work/$name.in" >"$work/$name.out" &
    server=$!
    exec 9>"$work/$name.in"
    tries=0
    while [ ! -e "$work/$name/value09999" ] || [ ! -s "$work/$name.out" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 200 ]; then
            echo "$name does not serve" >&2
            exit 1
        fi
        sleep 0.05
    done
    echo "-- $name: $(cat "$work/$name.out"), $(awk '/VmRSS/ { print $2, $3 }' "/proc/$server/status")"
    "$bin/fs_read" "$work/$name" 10000
    exec 9>&-
    wait "$server"
}
for round in 1 2 3; do
    read_values "proctally$round" "$bin/fs" serve "$work/proctally$round" 10000
    if [ -n "$procstat" ]; then
        read_values "procstat$round" "$bin/fs_procstat" "$work/procstat$round" 10000
    fi
done
