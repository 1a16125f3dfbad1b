#!/bin/sh
# sh tests/soak/run.sh [--short | SECONDS]: many collections over a recorded /proc that
# changes all the time, then SECONDS (3600 if not given) of the two programs on this
# machine, under processes that come and go. Resident memory and descriptors have to
# stay flat, counters must not fall, coverage must stay in bounds. Prints the figures.
# --short takes less than a minute. Uses the build in $BUILD, or else in build-tests,
# which `sh tests/run.sh` makes.
set -eu
LC_ALL=C.UTF-8
export LC_ALL

SRC=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$SRC/build-tests}
export SRC BUILD

collections=20000 seconds=3600
case ${1-} in
    '') ;;
    --short) collections=1000 seconds=20 ;;
    *[!0-9]*)
        echo "usage: $0 [--short | SECONDS]" >&2
        exit 2
        ;;
    *) seconds=$1 ;;
esac
if [ ! -f "$BUILD/Makefile" ]; then
    echo "there is no build in $BUILD: sh tests/run.sh makes one" >&2
    exit 2
fi

make -s -C "$BUILD" tests/soak/soak
# the tree is made of files: in memory, where that can be
memory=${TMPDIR:-/tmp}
[ ! -w /dev/shm ] || memory=/dev/shm
memory=$(mktemp -d "$memory/pt-XXXXXX")
trap 'rm -rf "$memory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
TMPDIR=$memory "$BUILD/tests/soak/soak" "$collections"
"$SRC/tests/soak/live.py" "$seconds"
