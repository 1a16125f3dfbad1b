# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# What it takes to build for other systems on any machine: zig's C compiler, and the sources of
# libraries. Read in by static-musl.sh beside it and by tests/darwin/run.sh, which have set
#
#     top       what is fetched is kept there
#     log       where the output of commands goes
#     missing   a function that says what is missing, and ends with 77
#
# ZIG names zig; without it, it is taken from PATH, or ziglang is fetched from PyPI by python3
# -m pip. The sources are Debian's with Debian's patches (some of them mend what an attacker
# could use), which apt fetches and verifies; no root is needed, and nothing of this machine
# changes. SUITE is the Debian that they are of, MIRROR where it is, SOURCES where they are kept
# (top/sources). POOLS are other mirrors, of Debian or of who takes archives over from it, for
# what MIRROR lacks though its index has it.
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
sources=${SOURCES:-$top/sources}
mkdir -p "$sources"
sources=$(cd "$sources" && pwd)

# COMMAND...: with its output in the log; what it says last is shown if it fails
run() {
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        echo "failed: $* (all of its output: $log)" >&2
        exit 1
    fi
}

# ---- The compiler ---------------------------------------------------------------------

# Sets ZIG.
find_zig() {
    ZIG=${ZIG:-$(command -v zig || true)}
    [ -z "$ZIG" ] || return 0
    ZIG=$top/zig/ziglang/zig
    [ ! -x "$ZIG" ] || return 0
    python3 -m pip --version >/dev/null 2>&1 || missing "zig is missing, and pip to fetch it"
    python3 -m pip install -q --target "$top/zig" ziglang >>"$log" 2>&1 ||
        missing "zig is missing, and pip can't fetch it: $(tail -n 1 "$log")"
}

# TOOL ARGUMENTS: configure and libtool want one word
tool() {
    printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$ZIG" "$2" >"$dir/tools/$1"
    chmod 755 "$dir/tools/$1"
}
# TARGET: sets CC, AR and RANLIB, in $dir/tools
tools() {
    mkdir -p "$dir/tools"
    tool cc "cc -target $1"
    tool ar ar
    tool ranlib ranlib
    CC=$dir/tools/cc AR=$dir/tools/ar RANLIB=$dir/tools/ranlib
    export CC AR RANLIB
}

# ---- The libraries ----------------------------------------------------------------------

# PACKAGE: the archives of its sources that are there, Debian's changes last
archives() {
    ls "$sources/$1"_*.orig.tar.?z* 2>/dev/null | head -n 1
    ls "$sources/$1"_*.debian.tar.xz "$sources/$1"_*.diff.gz 2>/dev/null | head -n 1
}

apt() {
    apt-get -q -o Dir::State="$sources/apt" -o Dir::State::status="$sources/apt/status" \
        -o Dir::Cache="$sources/apt/cache" -o Dir::Etc::sourcelist="$sources/apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root \
        -o Acquire::Languages=none "$@" 2>>"$log" </dev/null
}
# what can be had is known from here on
update_apt() {
    MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>>"$log" |
        grep -m 1 '/debian/*$' || true)}
    if [ -z "$MIRROR" ]; then
        echo "E: no mirror of Debian is known; MIRROR can name one" >>"$log"
        return 1
    fi
    mkdir -p "$sources/apt/lists/partial" "$sources/apt/cache/archives/partial"
    : >>"$sources/apt/status"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR" \
        "${SUITE:-stable} main" >"$sources/apt/sources.list"
    apt update >>"$log"
}

# PACKAGE tar|diff: this archive of it, in the current directory. One from POOLS has to be what
# MIRROR's signed index says.
fetch_archive() {
    ! apt source --download-only "--$2-only" "$1" >>"$log" || return 0
    apt source --print-uris "--$2-only" "$1" |
        sed -n "s,^'.*/\(pool/.*\)' \([^ ]*\) [0-9]* \(SHA256:.*\)$,\1 \2 \3,p" >uris
    read -r path name sum <uris || return 1
    for pool in ${POOLS-}; do
        ! /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "${pool%/}/$path" \
            "$name" "$sum" >>"$log" 2>&1 </dev/null || return 0
    done
    return 1
}

# PACKAGE: its archives, unless they are there. 1: they are not to be had, and the last line
# with E: in the log says why.
is_updated=no
fetch() {
    [ "$(archives "$1" | wc -l)" != 2 ] || return 0
    if [ $is_updated = no ]; then
        update_apt || return 1
        is_updated=yes
    fi
    # Elsewhere first: apt leaves what was cut off, or is not what the index says, where it is.
    # Not all at once: some mirrors lack signatures, which apt does not need.
    rm -rf "$sources/apt/got"
    mkdir "$sources/apt/got"
    (cd "$sources/apt/got" && fetch_archive "$1" tar && fetch_archive "$1" diff &&
        rm -f ./*.FAILED && mv "$1"_* "$sources") && [ "$(archives "$1" | wc -l)" = 2 ]
}

# Debian's changes in the current directory, by the archive that has them
patch_by() {
    case $1 in
    *.diff.gz)
        gzip -dc "$1" | patch -p1 -s
        return
        ;;
    esac
    tar xf "$1" || return 1
    [ -e debian/patches/series ] || return 0
    sed 's/#.*//; s/ -p1//' debian/patches/series | while read -r name; do
        [ -z "$name" ] || patch -p1 -s <"debian/patches/$name" || return 1
    done
}
# PACKAGE DIRECTORY: what fetch has fetched, patched, there
unpack() (
    rm -rf "$2" && mkdir -p "$2" && cd "$2" &&
        tar xf "$(archives "$1" | head -n 1)" --strip-components=1 &&
        patch_by "$(archives "$1" | tail -n 1)" &&
        # what is made of configure.ac and Makefile.am is there, and is not to be made again
        find . -exec touch -h -d @0 {} +
)
