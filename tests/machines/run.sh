#!/bin/sh
# SPDX-License-Identifier: MIT
# Other machines, C libraries and distributions than this one:
#
#     tests/machines/run.sh [NAME...]
#
#   s390x arm64      cross-built with Debian's compilers; unit tests under qemu-user
#   armhf            32 bits: configure says no, in one sentence
#   musl-x86_64      examples/static-musl.sh; what the programs find is what those of BUILD
#   musl-aarch64     (this machine's C library) find, the latter under qemu-user
#   distributions    bookworm, trixie and sid, each by its own name as well: the two commands
#                    of README in a bare root, which takes a quarter of an hour or more each
#   packages         Debian packages, packages-bookworm and packages-trixie by themselves: built
#                    in a root, then installed in place of a version before, removed and purged
#                    in one that was bare
#
# Without a name: all but the distributions and the packages. Roots are made by debootstrap, as root, and
# kept in ROOTS (build-tests/roots); nothing is installed on this machine. MIRROR says
# where Debian is, COMMAND what is run in a distribution in place of the second command.
# A line for each, then the sum; 1: one failed, 77: none could run.
set -u
LC_ALL=C.UTF-8
export LC_ALL
SRC=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$SRC/build-tests}
ROOTS=${ROOTS:-$SRC/build-tests/roots}
COMMAND=${COMMAND:-sh tests/run.sh}
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 '/debian/*$' ||
    true)}
export MIRROR

[ $# -gt 0 ] || set -- s390x arm64 armhf musl-x86_64 musl-aarch64
passed=0 failed=0 skipped=0
mkdir -p "$ROOTS"
ROOTS=$(cd "$ROOTS" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/proctally-machines.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# why NAME has failed or was skipped, for its line
because() {
    echo "$*" >"$work/why"
}

# ---- Roots -----------------------------------------------------------------------------

# SUITE: ROOTS/SUITE.bare
bare_root() {
    [ ! -d "$ROOTS/$1.bare" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        because "debootstrap needs root"
        return 77
    fi
    if ! command -v debootstrap >/dev/null 2>&1; then
        because "debootstrap is missing"
        return 77
    fi
    rm -rf "$ROOTS/$1.new"
    if ! debootstrap --variant=minbase "$1" "$ROOTS/$1.new" $MIRROR >"$ROOTS/$1.debootstrap.log" 2>&1; then
        because "debootstrap: $(tail -n 1 "$ROOTS/$1.debootstrap.log")"
        return 77
    fi
    # a mirror may be older than what it says of itself allows
    echo 'Acquire::Check-Valid-Until "false";' >"$ROOTS/$1.new/etc/apt/apt.conf.d/mirror"
    mv "$ROOTS/$1.new" "$ROOTS/$1.bare"
}

# ROOT COMMAND...: with ROOT as / of a mount namespace, as in a container. After a mere
# chroot it would not be a mount, and the kernel would show paths as from outside.
inside() {
    unshare --mount --propagation private sh -ec '
        root=$1
        shift
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        # nodes of its own: what is installed there sets their modes
        mount -t tmpfs -o mode=0755 dev "$root/dev"
        for node in null zero full random urandom tty fuse; do
            [ ! -e /dev/$node ] || cp -a /dev/$node "$root/dev/"
        done
        mkdir "$root/dev/pts" "$root/dev/shm"
        mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
        mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
        ln -s pts/ptmx "$root/dev/ptmx"
        ln -s /proc/self/fd "$root/dev/fd"
        for number in 0:stdin 1:stdout 2:stderr; do
            ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"
        done
        mount -t tmpfs tmp "$root/tmp"
        cd "$root"
        pivot_root . mnt
        umount -l /mnt
        cd /
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' sh "$@" </dev/null
}

# ---- Cross-built ---------------------------------------------------------------------------

# ROOTS/cross: whatever is needed for the architectures asked for so far
cross_root() {
    bare_root bookworm || return
    [ -d "$ROOTS/cross" ] || cp -a "$ROOTS/bookworm.bare" "$ROOTS/cross" || return 1
}
# PACKAGE...: into it
cross_install() {
    [ ! -e "$ROOTS/cross/var/lib/proctally-has-$1" ] || return 0
    if ! inside "$ROOTS/cross" sh -ec '
        for arch in s390x arm64 armhf; do dpkg --add-architecture $arch; done
        apt-get -q update
        apt-get -q -y install --no-install-recommends "$@"
        touch "/var/lib/proctally-has-$1"' sh "$@" >"$ROOTS/cross.log" 2>&1; then
        because "packages are not to be had: $(grep -m 1 '^E:' "$ROOTS/cross.log")"
        return 77
    fi
}

# What fails because of qemu-user and not of the machine that it plays: TEST CASE REASON
of_qemu='
test_parse live_stat /proc/self/stat is made up
test_parse live_other_files /proc/self/stat is made up
'
# LOG: the reasons, if nothing failed but what is known; status 1 if there is more
known_failures() {
    sed -n 's/^[^ ]*:\([EF]\):[^:]*:\([^:]*\):[0-9]*: .*/\2/p' "$1" | sort -u >"$work/cases"
    [ -s "$work/cases" ] || return 1
    while IFS= read -r case; do
        echo "$of_qemu" | sed -n "s/^$(basename "$1" .log) $case /$case: /p" | grep . || return 1
    done <"$work/cases"
}

# ARCH TRIPLET QEMU
cross_configure() {
    local arch=$1 triplet=$2
    cross_root && cross_install "gcc-$triplet" qemu-user-static make autoconf automake libtool \
        pkg-config python3 uthash-dev clang bpftool libc6-dev:"$arch" libyaml-dev:"$arch" \
        libpcre2-dev:"$arch" libmnl-dev:"$arch" libcap-dev:"$arch" libseccomp-dev:"$arch" \
        libbpf-dev:"$arch" check:"$arch" || return
    if ! sh "$SRC/tests/copy-sources.sh" "$work/source" >"$log" 2>&1; then
        because "no sources, see $log"
        return 1
    fi
    rm -rf "$ROOTS/cross/root/source"
    cp -a "$work/source" "$ROOTS/cross/root/source"
    mkdir -p "$ROOTS/cross/root/$arch"
    inside "$ROOTS/cross" sh -ec '
        cd "/root/$1"
        PKG_CONFIG_LIBDIR="/usr/lib/$2/pkgconfig:/usr/share/pkgconfig" \
            ../source/configure --host="$2" --enable-tests=yes --enable-werror' \
        sh "$arch" "$triplet" >>"$log" 2>&1
}

cross() {
    local arch=$1 status=0 trs name ran=0 skipped=
    cross_configure "$arch" "$2" || {
        status=$?
        [ -s "$work/why" ] || because "configure: $(grep -m 1 error: "$log"), see $log"
        return $status
    }
    if ! inside "$ROOTS/cross" make -C "/root/$arch" -j"$(nproc)" >>"$log" 2>&1; then
        because "it does not build: $(grep -m 1 ' error: ' "$log"), see $log"
        return 1
    fi
    find "$ROOTS/cross/root/$arch" -name '*.trs' -exec rm -f {} +
    # without the scripts, which look at the sources
    inside "$ROOTS/cross" make -C "/root/$arch" -k -j"$(nproc)" check dist_check_SCRIPTS= \
        LOG_COMPILER="qemu-$3-static" \
        >>"$log" 2>&1
    find "$ROOTS/cross/root/$arch" -name '*.trs' | sort >"$work/trs"
    while IFS= read -r trs; do
        name=${trs#"$ROOTS/cross/root/$arch/"}
        name=${name%.trs}
        ran=$((ran + 1))
        case $(sed -n 's/^:global-test-result: //p' "$trs") in
        PASS) ;;
        SKIP) skipped="$skipped; $(basename "$name"): $(tail -n 2 "${trs%.trs}.log" | head -n 1)" ;;
        *)
            if known_failures "${trs%.trs}.log" >"$work/known"; then
                skipped="$skipped; $(basename "$name"): $(paste -s -d , "$work/known")"
            else
                echo "---- $name"
                tail -n 30 "${trs%.trs}.log"
                because "$name failed, see $log"
                status=1
            fi
            ;;
        esac
    done <"$work/trs"
    if [ $ran -lt 30 ]; then
        because "only $ran tests ran, see $log"
        return 1
    fi
    [ $status = 0 ] || return 1
    because "$ran tests, not held against it: ${skipped#; }"
}

refused() {
    local status=0
    cross_configure "$1" "$2" || status=$?
    if [ $status = 77 ]; then
        return 77
    elif [ $status = 0 ]; then
        because "configure does not say no to 32 bits"
        return 1
    elif ! grep -q '^configure: error: proctally needs a 64-bit machine' "$log"; then
        because "configure: $(grep -m 1 error: "$log")"
        return 1
    fi
    because "$(sed -n 's/^configure: error: \([^:]*\).*/\1/p' "$log")"
}

# ---- musl ------------------------------------------------------------------------------------

# MACHINE [QEMU]
musl() {
    local status=0 dir="$ROOTS/musl" emulator=
    if [ ! -x "$BUILD/plugins/textfile/proctally-textfile" ]; then
        because "nothing is built at $BUILD to compare with"
        return 77
    fi
    if [ "$1" != "$(uname -m)" ]; then
        cross_root && cross_install qemu-user-static || return
        emulator=$ROOTS/cross/usr/bin/qemu-$1-static
    fi
    sh "$SRC/examples/static-musl.sh" "$1" "$dir" >"$log" 2>&1 || {
        status=$?
        because "$(tail -n 1 "$log")"
        return $status
    }
    BUILD=$BUILD python3 "$SRC/tests/machines/same.py" "$dir/$1/bin" $emulator >>"$log" 2>&1 || {
        status=$?
        because "$(tail -n 1 "$log"), see $log"
        return $status
    }
    because "$(tail -n 1 "$log")"
}

# ---- Distributions -----------------------------------------------------------------------------

# SUITE: a root that was bare, kept for a look at it if something failed
distribution() {
    local root="$ROOTS/$1.work" status=0
    bare_root "$1" || return
    rm -rf "$root"
    cp -a "$ROOTS/$1.bare" "$root" && mkdir -p "$root/root/proctally" &&
        sh "$SRC/tests/copy-sources.sh" "$work/source" >"$log" 2>&1 || return 1
    # a fresh checkout has no configure
    rm -rf "$work/source/configure" "$work/source/autom4te.cache"
    cp -a "$work/source/." "$root/root/proctally/"
    # what was fetched once need not be fetched again
    mkdir -p "$ROOTS/$1.packages"
    cp "$ROOTS/$1.packages"/*.deb "$root/var/cache/apt/archives/" 2>/dev/null
    inside "$root" sh -c 'cd /root/proctally && sh examples/quickstart.sh &&
        grep -c "^proctally_" quickstart.prom' >"$log" 2>&1 || status=$?
    if [ $status = 0 ]; then
        inside "$root" sh -c "cd /root/proctally && $COMMAND" >>"$log" 2>&1 || status=$?
    fi
    cp -n "$root/var/cache/apt/archives"/*.deb "$ROOTS/$1.packages/" 2>/dev/null
    if [ $status != 0 ]; then
        grep -e '^fail ' "$log"
        because "$(tail -n 1 "$log"), see $log and $root"
        return 1
    fi
    because "$(tail -n 1 "$log")"
    rm -rf "$root"
}

# ---- Packages ------------------------------------------------------------------------------------

# SUITE: ROOTS/SUITE.packaging, with what the build of the packages needs
packaging_root() {
    local root="$ROOTS/$1.packaging"
    bare_root "$1" || return
    [ -d "$root" ] || cp -a "$ROOTS/$1.bare" "$root" || return 1
    [ ! -e "$root/var/lib/proctally-has-all" ] || return 0
    mkdir -p "$root/root/debian"
    cp "$SRC/examples/packaging/debian/control" "$root/root/debian/"
    if ! inside "$root" sh -ec '
        apt-get -q update
        apt-get -q -y install --no-install-recommends build-essential debhelper lintian \
            autoconf automake libtool
        # the Python package needs more than Debian 12 has
        profile=
        apt-cache madison python3-setuptools | grep -q "| *\(7[7-9]\|[89][0-9]\)" ||
            profile=-Ppkg.proctally.nopython
        apt-get -q -y build-dep --no-install-recommends $profile /root
        touch /var/lib/proctally-has-all' >>"$log" 2>&1; then
        because "packages are not to be had: $(grep -m 1 '^E:' "$log")"
        return 77
    fi
}

packages() {
    local build="$ROOTS/$1.packaging" root="$ROOTS/$1.work"
    : >"$log"
    packaging_root "$1" || return
    rm -rf "$build/root/proctally" "$root"
    sh "$SRC/tests/copy-sources.sh" "$build/root/proctally" >>"$log" 2>&1 || return 1
    if ! inside "$build" sh /root/proctally/examples/packaging/build.sh deb >>"$log" 2>&1; then
        because "they are not built, or lintian has something to say: see $log"
        return 1
    fi
    cp -a "$ROOTS/$1.bare" "$root"
    mkdir "$root/root/new"
    cp "$build/root/proctally/build-packages"/*.deb "$root/root/new"
    cp "$SRC/tests/machines/packages.sh" "$root/root"
    if ! inside "$root" sh /root/packages.sh >>"$log" 2>&1; then
        because "$(tail -n 1 "$log"), see $log and $root"
        return 1
    fi
    because "$(tail -n 1 "$log")"
    rm -rf "$root"
}

# ---- One after the other -----------------------------------------------------------------------

for name; do
    case $name in
    distributions) set -- "$@" bookworm trixie sid ;;
    packages) set -- "$@" packages-bookworm packages-trixie ;;
    esac
done
for name; do
    log=$ROOTS/$name.log
    rm -f "$work/why"
    status=0
    case $name in
    distributions | packages) continue ;;
    s390x) cross s390x s390x-linux-gnu s390x || status=$? ;;
    arm64) cross arm64 aarch64-linux-gnu aarch64 || status=$? ;;
    armhf) refused armhf arm-linux-gnueabihf || status=$? ;;
    musl-x86_64 | musl-aarch64) musl "${name#musl-}" || status=$? ;;
    bookworm | trixie | sid) distribution "$name" || status=$? ;;
    packages-bookworm | packages-trixie) packages "${name#packages-}" || status=$? ;;
    *)
        echo "what is $name? expected s390x, arm64, armhf, musl-x86_64, musl-aarch64, distributions," \
            "bookworm, trixie, sid, packages, packages-bookworm or packages-trixie" >&2
        exit 2
        ;;
    esac
    case $status in
    0) passed=$((passed + 1)) word=pass ;;
    77) skipped=$((skipped + 1)) word=skip ;;
    *) failed=$((failed + 1)) word=fail ;;
    esac
    echo "$word  $name: $(cat "$work/why" 2>/dev/null)"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] || exit 1
[ $passed -gt 0 ] || exit 77
