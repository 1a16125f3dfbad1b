#!/bin/sh
# sh tests/install-deps.sh build|tests: installs what is missing to build proctally,
# or to build and test it, with apt or dnf. Nothing is missing: nothing is done.
# No service that comes with a package is started.
set -eu
LC_ALL=C
export LC_ALL

case ${1-} in
    build | tests) want=$1 ;;
    *)
        echo "usage: $0 build|tests" >&2
        exit 2
        ;;
esac

# COMMAND=PACKAGE: not needed if the command is there, from wherever.
# ?PACKAGE: what needs it is left out where the distribution does not have it.
if command -v apt-get >/dev/null 2>&1; then
    needed="cc=gcc make=make autoconf=autoconf automake=automake libtoolize=libtool
        pkg-config=pkg-config libc6-dev libyaml-dev libpcre2-dev libmnl-dev uthash-dev
        libcap-dev libseccomp-dev ?collectd-dev ?libbpf-dev clang=?clang bpftool=?bpftool
        ?libmicrohttpd-dev ?libgnutls28-dev ?zlib1g-dev ?libcrypt-dev ?libjansson-dev
        ?libncurses-dev ?libfuse3-dev fusermount3=?fuse3"
    if [ "$want" = tests ]; then
        needed="$needed check ?collectd-core ?prometheus ?prometheus-node-exporter
            ?prometheus-process-exporter ?prometheus-alertmanager ?victoria-metrics ?libfaketime
            ?influxdb ?influxdb-client valgrind=valgrind
            strace=strace qemu-system-x86_64=?qemu-system-x86 busybox=?busybox-static
            cpio=?cpio xz=?xz-utils pip3=?python3-pip
            chromium=?chromium chromedriver=?chromium-driver
            ?python3-dev ?python3-venv
            openssl=openssl ?python3-prometheus-client fish=?fish zsh=?zsh
            curl=curl python3=python3 ps=procps systemd-analyze=systemd ip=iproute2 lsof=?lsof
            slowhttptest=?slowhttptest testssl=?testssl.sh tmux=?tmux
            clang=clang clang-tidy=clang-tidy cppcheck=cppcheck g++=g++ ?locales"
    fi
elif command -v dnf >/dev/null 2>&1; then
    needed="cc=gcc make=make autoconf=autoconf automake=automake libtoolize=libtool
        pkg-config=pkgconf-pkg-config libyaml-devel pcre2-devel libmnl-devel uthash-devel
        libcap-devel libseccomp-devel diffutils findutils ?libbpf-devel clang=?clang bpftool=?bpftool
        ?libmicrohttpd-devel ?gnutls-devel ?zlib-devel ?libxcrypt-devel ?jansson-devel
        ?ncurses-devel ?fuse3-devel fusermount3=?fuse3"
    if [ "$want" = tests ]; then
        needed="$needed check-devel ?collectd ?golang-github-prometheus
            ?golang-github-prometheus-node-exporter ?influxdb valgrind=valgrind strace=strace
            curl=curl lsof=?lsof tmux=?tmux ?python3-devel
            python3=python3 ps=procps-ng ip=iproute libasan libubsan clang=clang
            clang-tidy=clang-tools-extra cppcheck=cppcheck g++=gcc-c++ ?glibc-locale-source"
    fi
else
    echo "neither apt nor dnf here: a C compiler, make, autoconf, automake, libtool, pkg-config," \
        "libyaml, PCRE2, libmnl and uthash must be there already" >&2
    exit 0
fi

installed() {
    if command -v apt-get >/dev/null 2>&1; then
        dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
    else
        rpm -q --quiet --whatprovides "$1"
    fi
}

required=
optional=
for item in $needed; do
    package=${item#*=}
    package=${package#\?}
    case $item in
        *=*) command -v "${item%%=*}" >/dev/null 2>&1 && continue ;;
    esac
    installed "$package" && continue
    case $item in
        \?* | *=\?*) optional="$optional $package" ;;
        *) required="$required $package" ;;
    esac
done
[ -n "$required$optional" ] || exit 0

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
    else
        echo "not root, and there is no sudo: please install:$required$optional" >&2
        exit 1
    fi
}

log=$(mktemp "${TMPDIR:-/tmp}/proctally-install.XXXXXX")
policy=/usr/sbin/policy-rc.d
policy_is_ours=no
leave() {
    status=$?
    trap - EXIT
    if [ $policy_is_ours = yes ]; then as_root rm -f "$policy"; fi
    rm -f "$log"
    exit $status
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

apt() {
    as_root apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null
}
# apt's lists know a package that could be installed
known() {
    apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

if command -v apt-get >/dev/null 2>&1; then
    # An optional package that the distribution lacks is no reason to fetch the
    # lists again each time.
    if [ -n "$required" ] || ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
        echo "fetching the lists of packages" >&2
        apt update || { tail -n 5 "$log" >&2; }
    fi
    for package in $optional; do
        if known "$package"; then
            required="$required $package"
        else
            echo "not to be had here, left out: $package" >&2
        fi
    done
    [ -n "$required" ] || exit 0
    echo "installing$required" >&2
    if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
        policy_is_ours=yes
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    fi
    # shellcheck disable=SC2086 # a list of words
    if ! apt install --no-install-recommends $required; then
        # The lists may be old.
        apt update || :
        # shellcheck disable=SC2086
        if ! apt install --no-install-recommends $required; then
            tail -n 30 "$log" >&2
            echo "apt-get could not install$required" >&2
            exit 1
        fi
    fi
else
    if [ -n "$required" ]; then
        echo "installing$required" >&2
        # shellcheck disable=SC2086
        if ! as_root dnf -q -y install --setopt=install_weak_deps=False $required \
            >"$log" 2>&1 </dev/null; then
            tail -n 30 "$log" >&2
            echo "dnf could not install$required" >&2
            exit 1
        fi
    fi
    if [ "$want" = tests ]; then
        for package in $optional; do
            as_root dnf -q -y install --setopt=install_weak_deps=False "$package" \
                >"$log" 2>&1 </dev/null || echo "not to be had here, left out: $package" >&2
        done
    fi
fi
