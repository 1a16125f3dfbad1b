#!/bin/sh
# SPDX-License-Identifier: MIT
# Are packages the same bytes wherever and whenever they are built?
#
#     sh tests/machines/reproducible.sh deb|static|tarball [ARGUMENT...]
#
# Builds them twice by examples/packaging/build.sh, in two directories, with another umask,
# time zone, language and temporary directory, nothing of the first taken by the second, and
# compares. KEEP names a directory that is kept (not deleted, and not looked at) in place of a
# temporary one. 1: they differ, or are not built. 77: something is missing.
set -eu
SRC=$(cd "$(dirname "$0")/../.." && pwd)
what=$1
shift
if [ -n "${KEEP-}" ]; then
    mkdir -p "$KEEP"
    work=$(cd "$KEEP" && pwd)
else
    work=$(mktemp -d "${TMPDIR:-/tmp}/proctally-reproducible.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi
# what is fetched is the same by its checksums
SOURCES=${SOURCES:-$work/sources}
export SOURCES

# PLACE UMASK ZONE LANGUAGE
build() (
    place=$work/$1
    umask "$2"
    export TZ="$3" LC_ALL="$4" LANG="$4"
    shift 4
    mkdir -p "$place/tmp"
    sh "$SRC/tests/copy-sources.sh" "$place/proctally" >"$place/log" 2>&1
    export TMPDIR="$place/tmp" OUTPUT="$place/packages" ZIG_GLOBAL_CACHE_DIR="$place/zig"
    CCACHE_DISABLE=1 sh "$place/proctally/examples/packaging/build.sh" "$what" "$@" \
        >>"$place/log" 2>&1 || {
        status=$?
        tail -n 5 "$place/log" >&2
        exit $status
    }
)

build a 022 UTC C.UTF-8 "$@"
build another/place/further-down 002 Pacific/Auckland C "$@"

# The names that a build gives are its own (.buildinfo tells the directory, .changes has
# .buildinfo's checksum); all else is to be the same.
cd "$work/a/packages"
count=0 differ=
for file in *; do
    case $file in
    *.buildinfo | *.changes) continue ;;
    esac
    count=$((count + 1))
    cmp "$file" "$work/another/place/further-down/packages/$file" || differ="$differ $file"
done
[ "$(ls)" = "$(ls "$work/another/place/further-down/packages")" ] || differ="$differ (other files)"
if [ -n "$differ" ]; then
    echo "not the same:$differ"
    exit 1
fi
[ $count -gt 0 ] || exit 1
echo "$count files, the same from two places"
