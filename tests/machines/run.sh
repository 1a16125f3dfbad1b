#!/bin/sh
# SPDX-License-Identifier: MIT
# Other machines, C libraries and distributions than this one:
#
#     tests/machines/run.sh [NAME...]
#
#   s390x arm64      cross-built with Debian's compilers; unit tests under qemu-user
#   armhf            32 bits: configure says no, in one sentence
#   musl-x86_64      static archives: what is in them, and their bill of materials; what the
#   musl-aarch64     programs find is what those of BUILD (this machine's C library) find, the
#                    latter under qemu-user
#   distributions    bookworm, trixie and sid, each by its own name as well: the two commands
#                    of README in a bare root, which takes a quarter of an hour or more each
#   packages         packages-bookworm, packages-trixie: Debian packages, built in a root, then
#                    installed in place of a version before, removed and purged in one that was
#                    bare; packages-rpm: RPM packages, the same way, where rpm is a guest
#   services         Debian packages (those in DEBS, if it is set) in a Debian 12 with systemd, in
#                    namespaces: each service; ansible, cloud-init: what is in the examples
#                    installs, configures and starts it there
#   reproducible     reproducible-tarball, reproducible-deb, reproducible-static-x86_64,
#                    reproducible-static-aarch64: built twice, in two places
#
# Without a name: the first five lines. Roots are made by debootstrap, as root, and
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

# ROOT COMMAND...: in ROOT, as in a container
inside() {
    local root="$1"
    shift
    unshare --mount --propagation private sh "$SRC/tests/machines/enter.sh" container "$root" \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@" </dev/null
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

# MACHINE: what was packed is what was built
static_archive() (
    # (set -e has no effect where the caller asks for the status)
    cd "$ROOTS/musl/archives" && sha256sum -c SHA256SUMS &&
        [ "$(sed 's/^[^ ]*  //' SHA256SUMS | sort)" = "$(printf '%s\n' ./*-linux-musl.* |
            sed 's,^./,,' | sort)" ] && rm -rf "$work/archive" &&
        mkdir "$work/archive" &&
        tar -C "$work/archive" --strip-components=1 -xf ./proctally-*-"$1"-linux-musl.tar.gz &&
        diff -r "$work/archive/bin" "$ROOTS/musl/$1/bin" || exit 1
    for file in bin/proctally-textfile share/man/man1/proctally.1 share/doc/proctally/LICENSE \
        share/doc/proctally/examples/proctally.yaml share/doc/proctally/licenses/musl/COPYRIGHT; do
        [ -s "$work/archive/$file" ] || { echo "no $file in it"; exit 1; }
    done
    ! grep -q -r -F -e "$ROOTS" "$work/archive" || { echo "it tells where it was built"; exit 1; }
)
# MACHINE: its bill of materials is valid; 77: there is no validator to tell
bill_of_materials() {
    if [ ! -e "$ROOTS/sbom/bin/python3" ] && ! { python3 -m venv "$ROOTS/sbom" &&
        "$ROOTS/sbom/bin/python3" -m pip install -q 'cyclonedx-python-lib[json-validation]'; }; then
        rm -rf "$ROOTS/sbom"
        return 77
    fi
    "$ROOTS/sbom/bin/python3" -c '
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
with open(sys.argv[1], encoding="utf-8") as f:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(f.read())
sys.exit(str(error)[:500] if error else 0)' "$ROOTS"/musl/archives/proctally-*-"$1"-linux-musl.cdx.json
}

# MACHINE [QEMU]
musl() {
    local status=0 dir="$ROOTS/musl" emulator= bill="its bill of materials is valid"
    if [ ! -x "$BUILD/plugins/textfile/proctally-textfile" ]; then
        because "nothing is built at $BUILD to compare with"
        return 77
    fi
    if [ "$1" != "$(uname -m)" ]; then
        cross_root && cross_install qemu-user-static || return
        emulator=$ROOTS/cross/usr/bin/qemu-$1-static
    fi
    STATIC=$dir OUTPUT=$dir/archives sh "$SRC/examples/packaging/build.sh" static "$1" >"$log" 2>&1 || {
        status=$?
        because "$(grep -v -e '^total' -e '^-' "$log" | tail -n 1)"
        return $status
    }
    static_archive "$1" >>"$log" 2>&1 || {
        because "its archive: $(tail -n 1 "$log"), see $log"
        return 1
    }
    bill_of_materials "$1" >>"$log" 2>&1 || {
        status=$?
        if [ $status != 77 ]; then
            because "its bill of materials: $(tail -n 1 "$log"), see $log"
            return 1
        fi
        bill="its bill of materials was not looked at, as pip gives no validator"
    }
    BUILD=$BUILD python3 "$SRC/tests/machines/same.py" "$dir/$1/bin" $emulator >>"$log" 2>&1 || {
        status=$?
        because "$(tail -n 1 "$log"), see $log"
        return $status
    }
    because "$(tail -n 1 "$log"); $bill"
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

# SUITE: Debian packages in $debs
build_debs() {
    local build="$ROOTS/$1.packaging"
    debs=$build/root/proctally/build-packages
    packaging_root "$1" || return
    rm -rf "$build/root/proctally"
    sh "$SRC/tests/copy-sources.sh" "$build/root/proctally" >>"$log" 2>&1 || return 1
    if ! inside "$build" sh /root/proctally/examples/packaging/build.sh deb >>"$log" 2>&1; then
        because "they are not built, or lintian has something to say: see $log"
        return 1
    fi
}

packages() {
    local root="$ROOTS/$1.work"
    : >"$log"
    build_debs "$1" || return
    rm -rf "$root"
    cp -a "$ROOTS/$1.bare" "$root"
    mkdir "$root/root/new"
    cp "$debs"/*.deb "$root/root/new"
    cp "$SRC/tests/machines/packages.sh" "$SRC/tests/machines/packages-common.sh" "$root/root"
    if ! inside "$root" sh /root/packages.sh >>"$log" 2>&1; then
        because "$(tail -n 1 "$log"), see $log and $root"
        return 1
    fi
    because "$(tail -n 1 "$log")"
    rm -rf "$root"
}

# RPM packages in a root of Debian, as no other distribution is at hand: what they say, what
# their scripts do, and what comes and goes with them; not the dependencies on others' packages.
packages_rpm() {
    local build="$ROOTS/bookworm.packaging" root="$ROOTS/rpm.work" needed
    : >"$log"
    packaging_root bookworm || return
    if ! inside "$build" sh -ec 'command -v rpmlint ccache >/dev/null || {
            apt-get -q update
            apt-get -q -y install --no-install-recommends rpm rpmlint ccache systemd
        }' >>"$log" 2>&1; then
        because "rpm is not to be had: $(grep -m 1 '^E:' "$log")"
        return 77
    fi
    rm -rf "$build/root/proctally" "$root"
    sh "$SRC/tests/copy-sources.sh" "$build/root/proctally" >>"$log" 2>&1 || return 1
    # the version before: the same, called older
    if ! inside "$build" sh -ec '
        cd /root/proctally
        export CC="ccache gcc" CCACHE_DIR=/root/ccache CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=/tmp
        OUTPUT=/root/proctally/before sh examples/packaging/build.sh rpm --nocheck \
            --define "dist ~before"
        OUTPUT=/root/proctally/new sh examples/packaging/build.sh rpm' >>"$log" 2>&1; then
        because "they are not built, or rpmlint has something to say: see $log"
        return 1
    fi
    cp -a "$ROOTS/bookworm.bare" "$root"
    mkdir "$root/root/before" "$root/root/new"
    cp "$build/root/proctally/before"/*.x86_64.rpm "$root/root/before"
    cp "$build/root/proctally/new"/*.x86_64.rpm "$root/root/new"
    cp "$SRC/tests/machines/packages-rpm.sh" "$SRC/tests/machines/packages-common.sh" "$root/root"
    # Debian's names of the libraries, and of their development files, that they want
    needed=$(inside "$build" sh -c 'cd /root/proctally/new
        rpm -qp --requires ./*.rpm 2>/dev/null | sed -n -e "s/^\(lib[^(]*[.]so[.][^(]*\)(.*/\1/p" \
            -e "s/^pkgconfig(\(.*\))$/\1.pc/p" |
            sort -u | while read -r name; do dpkg -S "*/$name"; done 2>/dev/null |
            sed "s/:.*//" | sort -u | paste -s -d " "')
    if ! inside "$root" sh -ec 'apt-get -q update
        apt-get -q -y install --no-install-recommends rpm systemd procps fuse3 collectd-core \
            gcc libc6-dev pkgconf "$@"' \
        sh $needed >>"$log" 2>&1; then
        because "what they need is not to be had: $(grep -m 1 '^E:' "$log")"
        return 77
    fi
    if ! inside "$root" sh /root/packages-rpm.sh >>"$log" 2>&1; then
        because "$(tail -n 1 "$log"), see $log and $root"
        return 1
    fi
    because "$(tail -n 1 "$log")"
    rm -rf "$root"
}

# ---- Packages under systemd ------------------------------------------------------------------------

# ROOT COMMAND...: with systemd as process 1 there, in namespaces and a control group of its
# own, without a network; when the command has ended it is shut down.
booted() {
    local root="$1" group first unshared status=0
    shift
    group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    if [ -z "$group" ] || ! mkdir "$group/proctally-machines.$$" 2>/dev/null; then
        because "there are no control groups (version 2)"
        return 77
    fi
    group=$group/proctally-machines.$$
    sh -ec '
        echo $$ >"$1/cgroup.procs"
        exec unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net \
            --cgroup sh "$2" boot "$3" \
            env -i container=machines PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init' \
        sh "$group" "$SRC/tests/machines/enter.sh" "$root" </dev/null >>"$log" 2>&1 &
    unshared=$!
    first=
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 1
        first=$(cat "/proc/$unshared/task/$unshared/children" 2>/dev/null | tr -d ' ')
        [ -z "$first" ] || [ "$(cat "/proc/$first/comm")" != systemd ] || break
    done
    there="nsenter -t ${first:-0} -m -u -i -n -p -C --wd=/root env -i HOME=/root LC_ALL=C.UTF-8
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    # shellcheck disable=SC2086 # words
    for _ in $(seq 60); do
        case $(timeout 300 $there systemctl is-system-running --wait 2>/dev/null </dev/null) in
        running | degraded) break ;;
        esac
        sleep 1
    done
    # shellcheck disable=SC2086
    (cd / && timeout 1800 $there "$@") </dev/null || status=$?
    # shellcheck disable=SC2086
    timeout 60 $there systemctl poweroff </dev/null >/dev/null 2>&1 || :
    for _ in $(seq 60); do
        [ -e "/proc/$first" ] || break
        sleep 1
    done
    [ -z "$first" ] || [ ! -e "/proc/$first" ] || kill -KILL "$first"
    wait "$unshared" 2>/dev/null
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
    return $status
}

# ROOTS/systemd: bookworm with systemd, Ansible, cloud-init, and what the packages need; they are
# in ROOTS/systemd/root/debs, and, as a repository, in ROOTS/systemd/srv/debs
systemd_root() {
    local root="$ROOTS/systemd"
    if [ -n "${DEBS-}" ]; then
        bare_root bookworm || return
        debs=$DEBS
    else
        build_debs bookworm || return
    fi
    if [ ! -e "$root/root/has-all" ]; then
        rm -rf "$root"
        cp -a "$ROOTS/bookworm.bare" "$root" || return 1
    fi
    cp "$ROOTS/bookworm.bare/etc/apt/sources.list" "$root/root/" || return 1
    rm -rf "$root/root/debs" "$root/srv/debs"
    mkdir -p "$root/root/debs" "$root/srv/debs"
    cp "$debs"/*.deb "$root/root/debs" && rm -f "$root"/root/debs/*-dbgsym_*
    if ! inside "$root" sh -ec '
        cd /root/debs
        apt_get() {
            apt-get -q -y -o Dir::Etc::SourceList=/root/sources.list "$@"
        }
        if [ ! -e /root/has-all ]; then
            apt_get update
            apt_get install --no-install-recommends systemd-sysv dbus procps curl python3 \
                python3-apt ansible-core cloud-init fuse3 dpkg-dev
            systemctl -q mask apt-daily.timer apt-daily-upgrade.timer getty@.service console-getty
            : >/etc/apt/sources.list
        fi
        # what they need comes with them, and stays; packages of later sources may need more
        depends=$(for deb in *.deb; do dpkg-deb -f "$deb" Depends; done)
        if [ ! -e /root/has-all ] || [ "$(cat /root/has-all)" != "$depends" ]; then
            apt_get update
            apt_get install --no-install-recommends ./*.deb
            dpkg --purge $(for deb in *.deb; do dpkg-deb -f "$deb" Package; done)
            echo "$depends" >/root/has-all
        fi
        cp *.deb /srv/debs
        cd /srv/debs
        dpkg-scanpackages . >Packages' >>"$log" 2>&1; then
        because "a root with systemd is not to be had: $(grep -m 1 -e '^E:' -e ' error' "$log"), see $log"
        return 77
    fi
    rm -rf "$ROOTS/systemd.work"
    cp -a "$root" "$ROOTS/systemd.work"
}

# services | ansible | cloud-init
under_systemd() {
    local root="$ROOTS/systemd.work" status=0
    : >"$log"
    systemd_root || return
    case $1 in
    services)
        mkdir -p "$root/src/tests" "$root/build"
        cp -R "$SRC/tests/integration" "$SRC/tests/kernels" "$root/src/tests"
        booted "$root" SRC=/src BUILD=/build python3 -B \
            /src/tests/kernels/inside/test_packages.py >>"$log" 2>&1 || status=$?
        ;;
    ansible)
        cp -R "$SRC/examples/ansible" "$root/root/ansible"
        cp "$SRC/tests/machines/ansible.sh" "$root/root"
        booted "$root" sh /root/ansible.sh >>"$log" 2>&1 || status=$?
        ;;
    cloud-init)
        mkdir -p "$root/var/lib/cloud/seed/nocloud"
        sed 's,https://packages.example.org/debian ,file:/srv/debs ,' \
            "$SRC/examples/cloud-init/proctally.yaml" >"$root/var/lib/cloud/seed/nocloud/user-data"
        # (this bare root has no locales to choose from)
        echo 'locale: false' >>"$root/var/lib/cloud/seed/nocloud/user-data"
        echo 'instance-id: first' >"$root/var/lib/cloud/seed/nocloud/meta-data"
        cp "$SRC/tests/machines/cloud-init.sh" "$SRC/examples/cloud-init/proctally.yaml" "$root/root"
        inside "$root" cloud-init schema --config-file /root/proctally.yaml >>"$log" 2>&1 || {
            because "the user data are not valid, see $log"
            return 1
        }
        booted "$root" sh /root/cloud-init.sh >>"$log" 2>&1 || status=$?
        ;;
    esac
    [ -s "$work/why" ] || because "$(tail -n 1 "$log")"
    [ $status != 0 ] || rm -rf "$root"
    return $status
}

# ---- The same bytes ------------------------------------------------------------------------------

# WHAT [MACHINE]: Debian's packages in a root, where what they need is
reproducible() {
    local status=0 build="$ROOTS/bookworm.packaging"
    : >"$log"
    if [ "$1" = deb ]; then
        packaging_root bookworm || return
        rm -rf "$build/root/proctally"
        sh "$SRC/tests/copy-sources.sh" "$build/root/proctally" >>"$log" 2>&1 || return 1
        inside "$build" sh /root/proctally/tests/machines/reproducible.sh deb >>"$log" 2>&1 ||
            status=$?
    else
        sh "$SRC/tests/machines/reproducible.sh" "$@" >>"$log" 2>&1 || status=$?
    fi
    because "$(tail -n 1 "$log")"
    return $status
}

# ---- One after the other -----------------------------------------------------------------------

for name; do
    case $name in
    distributions) set -- "$@" bookworm trixie sid ;;
    reproducible)
        set -- "$@" reproducible-tarball reproducible-deb reproducible-static-x86_64 \
            reproducible-static-aarch64
        ;;
    packages) set -- "$@" packages-bookworm packages-trixie packages-rpm ;;
    esac
done
for name; do
    log=$ROOTS/$name.log
    rm -f "$work/why"
    status=0
    case $name in
    distributions | packages | reproducible) continue ;;
    s390x) cross s390x s390x-linux-gnu s390x || status=$? ;;
    arm64) cross arm64 aarch64-linux-gnu aarch64 || status=$? ;;
    armhf) refused armhf arm-linux-gnueabihf || status=$? ;;
    musl-x86_64 | musl-aarch64) musl "${name#musl-}" || status=$? ;;
    bookworm | trixie | sid) distribution "$name" || status=$? ;;
    services | ansible | cloud-init) under_systemd "$name" || status=$? ;;
    packages-rpm) packages_rpm || status=$? ;;
    reproducible-static-x86_64 | reproducible-static-aarch64)
        reproducible static "${name#reproducible-static-}" || status=$?
        ;;
    reproducible-tarball | reproducible-deb) reproducible "${name#reproducible-}" || status=$? ;;
    packages-bookworm | packages-trixie) packages "${name#packages-}" || status=$? ;;
    *)
        echo "what is $name? expected s390x, arm64, armhf, musl-x86_64, musl-aarch64, distributions," \
            "bookworm, trixie, sid, packages, packages-bookworm, packages-trixie," \
            "packages-rpm, services, ansible, cloud-init, reproducible, reproducible-tarball, reproducible-deb," \
            "reproducible-static-x86_64 or reproducible-static-aarch64" >&2
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
