#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs for any Linux of one kind of machine, whatever its C library: static, with musl,
# by zig's C compiler.
#
#     sh examples/static-musl.sh [x86_64|aarch64] [DIRECTORY]
#
# They are DIRECTORY/MACHINE/bin/proctally* (build-musl/...), and made for /usr/local. The
# libraries are built from Debian's sources (see cross.sh): libyaml, PCRE2, libmnl, libcap,
# libseccomp, and for proctally-exporter zlib, GMP, Nettle, GnuTLS and libmicrohttpd, which take
# most of the time (EXPORTER=no leaves them and it out). All but the first two are left out
# where they are not to be had. Source bpf is not built, as libelf is not. Users are looked up
# in /etc/passwd only, as musl has no nsswitch. What was linked is told in
# DIRECTORY/MACHINE/sources.list, a line an archive: package, version, SHA-256, name; what the
# programs lack in lacks.list.
#
# The same sources give the same bytes, wherever they are built
# (tests/machines/reproducible.sh). examples/packaging/build.sh static makes archives of them.
#
# What it needs: what tests/install-deps.sh build installs, dpkg's apt-get, patch, and zig. 77:
# one of them is missing. ZIG, SUITE, MIRROR, POOLS and SOURCES say where things are, see cross.sh.
set -eu
LC_ALL=C
export LC_ALL

machine=${1:-x86_64}
SRC=$(cd "$(dirname "$0")/.." && pwd)
case $machine in
x86_64 | aarch64) ;;
*)
    echo "usage: $0 [x86_64|aarch64] [DIRECTORY]" >&2
    exit 2
    ;;
esac
target=$machine-linux-musl
top=${2:-$SRC/build-musl}
mkdir -p "$top/$machine"
top=$(cd "$top" && pwd)
dir=$top/$machine
# The libraries are made for /usr/local, too: what they look for at run time (GnuTLS: its
# system's configuration) is not to be where somebody has built them.
root=$dir/libraries
prefix=$root/usr/local
log=$dir/build.log
: >"$log"

missing() {
    echo "$1" >&2
    exit 77
}
. "$SRC/examples/cross.sh"

for program in apt-get autoreconf libtoolize make pkg-config cc patch; do
    command -v $program >/dev/null 2>&1 || missing "$program is missing"
done
[ -f /usr/include/uthash.h ] || missing "uthash.h is missing (Debian: uthash-dev)"

# ---- The compiler ---------------------------------------------------------------------

find_zig
tools "$target"
# For static PIEs; zig adds UndefinedBehaviorSanitizer where nothing is said about it; and no
# name of a source file is to tell where this was built.
CFLAGS="-O2 -fPIC -fno-sanitize=undefined -ffile-prefix-map=$dir=."
PKG_CONFIG="pkg-config --static" PKG_CONFIG_LIBDIR=$prefix/lib/pkgconfig PKG_CONFIG_PATH=
PKG_CONFIG_SYSROOT_DIR=$root
export CFLAGS PKG_CONFIG PKG_CONFIG_LIBDIR PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR

# ---- The libraries ----------------------------------------------------------------------

# PACKAGE: its sources in DIRECTORY/MACHINE/PACKAGE, and what they are in PACKAGE.list. 1: there
# are none.
sources_of() {
    fetch "$1" || {
        echo "the sources of $1 are not to be had: $(grep '^E:' "$log" | tail -n 2 | head -n 1)" >&2
        return 1
    }
    echo "building $1" >&2
    run unpack "$1" "$dir/$1"
    version=$(archives "$1" | tail -n 1)
    version=${version##*/*_}
    version=${version%.debian.tar.xz}
    version=${version%.diff.gz}
    archives "$1" | while IFS= read -r file; do
        printf '%s\t%s\t%s\t%s\n' "$1" "$version" "$(sha256sum <"$file" | cut -d ' ' -f 1)" \
            "${file##*/}"
    done >"$dir/$1.list"
}
# into where the libraries are; libtool's notes would tell their place in another root
installed() {
    run make "$@" install DESTDIR="$root"
    rm -f "$prefix"/lib/*.la
}
# LIBRARY PACKAGE ARGUMENTS...: by configure and make. 1: there are no sources.
library() {
    [ ! -f "$prefix/lib/pkgconfig/$1.pc" ] || return 0
    pc=$1 package=$2
    shift 2
    sources_of "$package" || return 1
    cd "$dir/$package"
    [ -x configure ] || run autoreconf -fi
    # Debian takes out what is not free, and configure wants its place all the same
    [ "$package" != gmp ] || {
        mkdir -p doc
        echo 'all install install-am:' >doc/Makefile.in
    }
    run ./configure --host="$target" --prefix=/usr/local --sysconfdir=/etc --disable-shared \
        --enable-static "$@"
    run make -j"$jobs"
    installed
    [ -f "$prefix/lib/pkgconfig/$pc.pc" ]
}

mkdir -p "$prefix/include"
cp /usr/include/uthash.h /usr/include/utlist.h "$prefix/include"
# there is not much use without configuration files and regular expressions
library yaml-0.1 libyaml || missing "no libyaml: $(grep '^E:' "$log" | tail -n 1)"
library libpcre2-8 pcre2 --enable-jit || missing "no PCRE2: $(grep '^E:' "$log" | tail -n 1)"
library libmnl libmnl || echo "left out: context switches of ended threads, and sockets" >&2
# what gperf would make is among its sources
library libseccomp libseccomp GPERF=false || echo "left out: the filter for system calls" >&2
if [ ! -f "$prefix/lib/pkgconfig/libcap.pc" ]; then
    if sources_of libcap2; then
        run make -C "$dir/libcap2/libcap" install-static-cap CC="$CC" BUILD_CC=cc AR="$AR" \
            RANLIB="$RANLIB" COPTS="$CFLAGS" prefix=/usr/local DESTDIR="$root" lib=lib \
            SHARED=no GOLANG=no PTHREADS=no USE_GPERF=no
    else
        echo "left out: giving up capabilities" >&2
    fi
fi
# of zlib only configure is its own
zlib() {
    [ ! -f "$prefix/lib/pkgconfig/zlib.pc" ] || return 0
    sources_of zlib || return 1
    cd "$dir/zlib"
    run ./configure --static --prefix=/usr/local
    run make -j"$jobs"
    installed
}
# No tools, no documentation, and of other libraries only what they can't do without. musl has
# crypt_r(3), with bcrypt, in itself.
exporter_libraries() {
    printf 'Name: libcrypt\nDescription: part of musl\nVersion: 1\nLibs: -lcrypt\n' \
        >"$prefix/lib/pkgconfig/libcrypt.pc"
    zlib &&
        library gmp gmp CC_FOR_BUILD=cc &&
        library nettle nettle --libdir=/usr/local/lib --disable-documentation --disable-openssl \
            CC_FOR_BUILD=cc CPPFLAGS="-I$prefix/include" LDFLAGS="-L$prefix/lib" &&
        library gnutls gnutls28 --with-included-libtasn1 --with-included-unistring --without-p11-kit \
            --without-idn --without-tpm --without-tpm2 --without-brotli --without-zstd \
            --without-zlib --disable-libdane --disable-cxx --disable-doc --disable-tests \
            --disable-tools --disable-nls CPPFLAGS="-I$prefix/include" LDFLAGS="-L$prefix/lib" &&
        library libmicrohttpd libmicrohttpd --enable-https --disable-doc --disable-examples \
            --disable-tools --disable-curl
}
exporter=--without-exporter
if [ "${EXPORTER-}" != no ] && exporter_libraries; then
    exporter=--with-exporter
else
    echo "left out: proctally-exporter" >&2
fi

# ---- The programs -------------------------------------------------------------------------

echo "building proctally" >&2
# a source tree that is built in can't be configured for another build
run sh "$SRC/tests/copy-sources.sh" "$dir/source"
rm -rf "$dir/proctally"
mkdir "$dir/proctally"
cd "$dir/proctally"
run "$dir/source/configure" --host="$target" --prefix=/usr/local --disable-shared --without-bpf \
    --without-collectd --disable-tests $exporter CPPFLAGS="-I$prefix/include" LDFLAGS=-s
# what configure says at its end that this build lacks
sed -n '/^This build will lack:/,/^$/s/^  - \(.*\) (.*/\1/p' "$log" >"$dir/lacks.list"
rm -rf "$dir/bin" # of another time
# the library for embedders would need a linker for that machine
run make -j"$jobs" install-binPROGRAMS bindir="$dir/bin"
for program in "$dir"/bin/proctally*; do
    if readelf -l "$program" | grep -q INTERP; then
        echo "$program is not static" >&2
        exit 1
    fi
    echo "$program"
done
# what was built earlier and is not linked this time is not told
for pc in yaml-0.1:libyaml libpcre2-8:pcre2 libmnl:libmnl libcap:libcap2 libseccomp:libseccomp \
    zlib:zlib gmp:gmp nettle:nettle gnutls:gnutls28 libmicrohttpd:libmicrohttpd; do
    case $exporter:$pc in
    --without-exporter:zlib:* | --without-exporter:gmp:* | --without-exporter:nettle:* | \
        --without-exporter:gnutls:* | --without-exporter:libmicrohttpd:*) continue ;;
    esac
    [ ! -f "$prefix/lib/pkgconfig/${pc%:*}.pc" ] || cat "$dir/${pc#*:}.list"
done >"$dir/sources.list"
