#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds for macOS, on any machine, and looks at what comes out; nothing of it can be run here.
#
#     sh tests/darwin/run.sh [DIRECTORY]
#
# For Apple's processors (from macOS 11 on) and Intel's (from 10.15 on), with all warnings as
# errors: DIRECTORY/CPU/bin, and for both in one file DIRECTORY/universal (build-darwin/...).
# Each program is held against the list of what the system has (tests/darwin/macho.py). With
# configuration files, regular expressions, recorded runs and the exporter where apt-get has the
# sources of the libraries, LIBRARIES=no goes without.
#
# GnuTLS would take longer to build than all the rest, libxcrypt wants more to build it than
# others do, and ncurses is a part of macOS: programs are linked against lists of what this
# machine's export, by the names that Homebrew and macOS have for them.
#
# What it needs: what tests/install-deps.sh build installs, and zig: $ZIG, or zig in PATH, or
# else ziglang from PyPI by python3 -m pip. 77: one of them is not to be had.
set -eu
LC_ALL=C
export LC_ALL

SRC=$(cd "$(dirname "$0")/../.." && pwd)
top=${1:-$SRC/build-darwin}
mkdir -p "$top"
top=$(cd "$top" && pwd)
log=$top/build.log
: >"$log"

missing() {
    echo "skipped: $1"
    exit 77
}
. "$SRC/examples/cross.sh"

for program in autoreconf libtoolize make patch pkg-config python3; do
    command -v $program >/dev/null 2>&1 || missing "$program is missing"
done
system_pkg_config=$(command -v pkg-config)
[ -f /usr/include/uthash.h ] || missing "uthash.h is missing (Debian: uthash-dev)"

# ---- The compiler ---------------------------------------------------------------------

find_zig
# from $top: zig names its directory relative to where it is called, and this goes elsewhere below
stubs=$(cd "$top" && "$ZIG" env 2>>"$log" | sed -n 's/.*lib_dir"*[ =:]*"\([^"]*\)".*/\1/p')/libc/darwin/libSystem.tbd
case $stubs in
/*) ;;
*) stubs=$top/$stubs ;;
esac
[ -f "$stubs" ] || missing "$ZIG has no list of what macOS has"

# ---- The libraries ----------------------------------------------------------------------

# MODULE NAME HEADERS LIBRARIES...: as if this library were there, for as much as linking takes
listed() {
    module=$1 name=$2 headers=$3
    shift 3
    for library in $headers "$@"; do
        [ -e "$library" ] || return 1
    done
    # shellcheck disable=SC2086 # a list
    cp -R $headers "$prefix/include"
    run python3 "$SRC/tests/darwin/macho.py" stub "$prefix/lib/lib$module.tbd" "$name" "$@"
    cat >"$prefix/lib/pkgconfig/$module.pc" <<EOF
Name: $module
Description: a list of what it exports
Version: $(unset PKG_CONFIG_LIBDIR PKG_CONFIG_PATH; "$system_pkg_config" --modversion "$module")
Cflags: -isystem $prefix/include
Libs: -L$prefix/lib -l$module
EOF
    lists="$lists $prefix/lib/lib$module.tbd"
}

# PACKAGE ARGUMENTS...: for this CPU
library() {
    package=$1
    shift
    run unpack "$package" "$dir/$package"
    cd "$dir/$package"
    [ -x configure ] || run autoreconf -fi
    run ./configure --host="$host" --prefix="$prefix" --disable-shared --enable-static "$@"
    run make -j"$jobs" install
}
# zlib's configure is another one, which looks at the building machine
zlib() {
    run unpack zlib "$dir/zlib"
    cd "$dir/zlib"
    CHOST=$host run ./configure --static --prefix="$prefix"
    run make -j"$jobs" AR="$AR" ARFLAGS=rcs libz.a
    run make AR="$AR" ARFLAGS=rcs install
}

# ---- The programs -------------------------------------------------------------------------

with_libraries=${LIBRARIES:-yes} with_exporter=yes
for package in libyaml pcre2 jansson; do
    [ "$with_libraries" = no ] || fetch $package || with_libraries=no
done
[ $with_libraries = yes ] || echo "without configuration files and regular expressions: no sources"
for package in zlib libmicrohttpd; do
    [ "$with_libraries" = yes ] && fetch $package || with_exporter=no
done
run sh "$SRC/tests/copy-sources.sh" "$top/source"

# where this machine's own libraries are
here=$(${CC:-cc} -print-file-name=libc.so.6)
here=${here%/*}

# CPU, its name for zig and for configure, the first system
build() {
    dir=$top/$1 host=$3
    prefix=$dir/libraries
    lists=
    mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
    cp /usr/include/uthash.h "$prefix/include"
    tools "$2-macos.$4"
    # zig adds UndefinedBehaviorSanitizer where nothing is said about it
    CFLAGS="-O2 -g -fno-sanitize=undefined"
    PKG_CONFIG="pkg-config --static" PKG_CONFIG_LIBDIR=$prefix/lib/pkgconfig PKG_CONFIG_PATH=
    export CFLAGS PKG_CONFIG PKG_CONFIG_LIBDIR PKG_CONFIG_PATH
    brew=/usr/local/opt
    [ "$1" = x86_64 ] || brew=/opt/homebrew/opt
    set -- "$1" "$4" --without-yaml --without-pcre2 --without-jansson --without-ncurses \
        --without-exporter
    if [ $with_libraries = yes ]; then
        set -- "$@" --with-yaml --with-pcre2 --with-jansson
        [ -f "$prefix/lib/pkgconfig/yaml-0.1.pc" ] || library libyaml
        # no compiler at run time: a program that makes code must say so to Apple's kernel
        [ -f "$prefix/lib/pkgconfig/libpcre2-8.pc" ] || library pcre2 --disable-jit
        [ -f "$prefix/lib/pkgconfig/jansson.pc" ] || library jansson
    fi
    if listed ncursesw /usr/lib/libncurses.5.4.dylib \
        "/usr/include/curses.h /usr/include/ncurses_dll.h /usr/include/term.h /usr/include/unctrl.h" \
        "$here/libncursesw.so.6" "$here/libtinfo.so.6"; then
        set -- "$@" --with-ncurses
    else
        echo "$1: without the screen of top: no ncurses here"
    fi
    if [ $with_exporter = yes ] && listed gnutls "$brew/gnutls/lib/libgnutls.30.dylib" \
        /usr/include/gnutls "$here/libgnutls.so" &&
        listed libcrypt "$brew/libxcrypt/lib/libcrypt.2.dylib" /usr/include/crypt.h \
            "$here/libcrypt.so"; then
        sed 's/__THROW//; s/__nonnull *((.*))//' /usr/include/crypt.h >"$prefix/include/crypt.h"
        set -- "$@" --with-exporter
        [ -f "$prefix/lib/pkgconfig/zlib.pc" ] || (zlib)
        [ -f "$prefix/lib/pkgconfig/libmicrohttpd.pc" ] || (library libmicrohttpd --enable-https \
            --disable-doc --disable-examples --disable-tools --disable-curl)
    else
        echo "$1: without the exporter: no sources of its libraries, or no GnuTLS here"
    fi
    cpu=$1 system=$2
    shift 2
    rm -rf "$dir/proctally" "$dir/bin"
    mkdir "$dir/proctally"
    cd "$dir/proctally"
    run "$top/source/configure" --host="$host" --enable-werror --disable-shared "$@" \
        CPPFLAGS="-isystem $prefix/include"
    run make -j"$jobs" all
    run make install-binPROGRAMS bindir="$dir/bin"
    for program in "$dir"/bin/proctally*; do
        # shellcheck disable=SC2086 # a list
        found=$(python3 "$SRC/tests/darwin/macho.py" check "$program" "$cpu" "$system" "$stubs" \
            $lists) || {
            echo "$found" >&2
            exit 1
        }
        echo "$cpu/$(basename "$program"): macOS $system, $found imports, all of them there"
    done
}

build arm64 aarch64 aarch64-apple-darwin20 11.0
build x86_64 x86_64 x86_64-apple-darwin19 10.15

mkdir -p "$top/universal"
for program in "$top"/arm64/bin/proctally*; do
    name=$(basename "$program")
    python3 "$SRC/tests/darwin/macho.py" universal "$top/universal/$name" \
        "$top/x86_64/bin/$name" "$program"
    chmod 755 "$top/universal/$name"
    if command -v file >/dev/null 2>&1; then
        file -b "$top/universal/$name" | head -n 1 | grep -q 'universal binary with 2 arch' || {
            echo "$top/universal/$name is no universal binary" >&2
            exit 1
        }
    fi
    echo "universal/$name"
done
