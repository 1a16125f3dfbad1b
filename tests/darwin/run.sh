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
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
: >"$log"

missing() {
    echo "skipped: $1"
    exit 77
}
# COMMAND...: with its output in the log; what it says last is shown if it fails
run() {
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        echo "failed: $* (all of its output: $log)" >&2
        exit 1
    fi
}

for program in autoreconf libtoolize make pkg-config python3; do
    command -v $program >/dev/null 2>&1 || missing "$program is missing"
done
system_pkg_config=$(command -v pkg-config)
[ -f /usr/include/uthash.h ] || missing "uthash.h is missing (Debian: uthash-dev)"

# ---- The compiler ---------------------------------------------------------------------

if [ -z "${ZIG-}" ]; then
    ZIG=$(command -v zig || true)
fi
if [ -z "$ZIG" ]; then
    ZIG=$top/zig/ziglang/zig
    if [ ! -x "$ZIG" ]; then
        python3 -m pip --version >/dev/null 2>&1 || missing "zig is not there, nor pip to fetch it"
        python3 -m pip install -q --target "$top/zig" ziglang >>"$log" 2>&1 ||
            missing "zig is not there, and pip can't fetch it: $(tail -n 1 "$log")"
    fi
fi
# from $top: zig names its directory relative to where it is called, and this goes elsewhere below
stubs=$(cd "$top" && "$ZIG" env 2>>"$log" | sed -n 's/.*lib_dir"*[ =:]*"\([^"]*\)".*/\1/p')/libc/darwin/libSystem.tbd
case $stubs in
/*) ;;
*) stubs=$top/$stubs ;;
esac
[ -f "$stubs" ] || missing "$ZIG has no list of what macOS has"

# ---- The libraries ----------------------------------------------------------------------

# PACKAGE: its sources in DIRECTORY/sources/PACKAGE. 1: they are not to be had.
sources() {
    [ "${LIBRARIES-}" != no ] && command -v apt-get >/dev/null 2>&1 || return 1
    [ ! -f "$top/sources/$1/configure.ac" ] || return 0
    mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null |
        grep -m 1 '/debian/*$' || true)}
    [ -n "$mirror" ] || return 1
    apt=$top/sources/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >>"$apt/status"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror" \
        "${SUITE:-stable} main" >"$apt/sources.list"
    set -- "$1" -q -o Dir::State="$apt" -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
    package=$1
    shift
    (cd "$top/sources" && apt-get "$@" update && apt-get "$@" source --download-only --tar-only \
        "$package") >>"$log" 2>&1 </dev/null || return 1
    mkdir -p "$top/sources/$package"
    tar xf "$(ls "$top/sources/${package}"_*.orig.tar.?z* | head -n 1)" \
        -C "$top/sources/$package" --strip-components=1
}

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
    rm -rf "$dir/$package"
    cp -a "$top/sources/$package" "$dir/$package"
    cd "$dir/$package"
    [ -x configure ] || run autoreconf -fi
    run ./configure --host="$host" --prefix="$prefix" --disable-shared --enable-static "$@"
    run make -j"$jobs" install
}
# zlib's configure is another one, which looks at the building machine
zlib() {
    rm -rf "$dir/zlib"
    cp -a "$top/sources/zlib" "$dir/zlib"
    cd "$dir/zlib"
    CHOST=$host run ./configure --static --prefix="$prefix"
    run make -j"$jobs" AR="$AR" ARFLAGS=rcs libz.a
    run make AR="$AR" ARFLAGS=rcs install
}

# ---- The programs -------------------------------------------------------------------------

with_libraries=yes with_exporter=yes
for package in libyaml pcre2 jansson; do
    sources $package || with_libraries=no
done
[ $with_libraries = yes ] || echo "without configuration files and regular expressions: no sources"
for package in zlib libmicrohttpd; do
    [ $with_libraries = yes ] && sources $package || with_exporter=no
done
run sh "$SRC/tests/copy-sources.sh" "$top/source"

# where this machine's own libraries are
here=$(${CC:-cc} -print-file-name=libc.so.6)
here=${here%/*}

# TOOL ARGUMENTS: configure and libtool want one word
tool() {
    printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$ZIG" "$2" >"$dir/tools/$1"
    chmod 755 "$dir/tools/$1"
}

# CPU, its name for zig and for configure, the first system
build() {
    dir=$top/$1 host=$3
    prefix=$dir/libraries
    lists=
    mkdir -p "$dir/tools" "$prefix/include" "$prefix/lib/pkgconfig"
    cp /usr/include/uthash.h "$prefix/include"
    tool cc "cc -target $2-macos.$4"
    tool ar ar
    tool ranlib ranlib
    CC=$dir/tools/cc AR=$dir/tools/ar RANLIB=$dir/tools/ranlib
    # zig adds UndefinedBehaviorSanitizer where nothing is said about it
    CFLAGS="-O2 -g -fno-sanitize=undefined"
    PKG_CONFIG="pkg-config --static" PKG_CONFIG_LIBDIR=$prefix/lib/pkgconfig PKG_CONFIG_PATH=
    export CC AR RANLIB CFLAGS PKG_CONFIG PKG_CONFIG_LIBDIR PKG_CONFIG_PATH
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
