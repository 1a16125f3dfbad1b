#!/bin/sh
# sh tests/copy-sources.sh DIRECTORY: the sources without what a build leaves among them,
# and with a configure. Times are kept, so that what has not changed is not built again.
set -eu
SRC=$(cd "$(dirname "$0")/.." && pwd)
copy=$1
rm -rf "$copy"
mkdir -p "$copy"
cd "$SRC"
find . \
    \( -path ./.git -o -path './build*' -o -path ./m4 -o -path ./autom4te.cache -o -path ./units \
    -o -path './proctally-*' -o -name .libs -o -name .deps -o -name __pycache__ \) -prune \
    -o \( -type f -o -type l \) \
    ! -name '*.so' ! -name '*.whl' ! -name '*.o' ! -name '*.lo' ! -name '*.la' ! -name '*.a' ! -name '*.log' ! -name '*.trs' \
    ! -name '*.gcda' ! -name '*.gcno' ! -name .dirstamp ! -name Makefile.in \
    ! -path ./Makefile ! -path ./configure ! -path ./aclocal.m4 ! -path './build-config.h*' \
    ! -path './config.status' ! -path ./libtool ! -path ./stamp-h1 ! -path ./core/proctally.pc \
    ! -path ./plugins/fs/proctally-fs.pc \
    -print0 | tar --null -T - -cf - | tar -C "$copy" -xf -
"$copy/autogen.sh"
