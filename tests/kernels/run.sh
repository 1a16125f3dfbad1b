#!/bin/bash
# SPDX-License-Identifier: MIT
# The source bpf on other kernels: boots each in a virtual machine (qemu, by emulation if
# need be), runs tests of it there, and says what passed.
#
#     tests/kernels/run.sh [--smoke] [VERSION...]
#
# VERSION: what Debian has, as in `known` below; without one, all of them. --smoke: only
# that it loads, counts a storm of short processes and traffic, and pins. SRC and BUILD are
# the sources and where they were built (a build made here: the programs run with this
# machine's libraries). Kernels are fetched by apt into KERNELS (BUILD/kernels). A file
# /boot/vmlinuz-* can be given in place of a version as well. 77: something is missing here.
set -eu
LC_ALL=C
export LC_ALL
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=$(cd "${BUILD:-$SRC/build-tests}" && pwd)
KERNELS=${KERNELS:-$BUILD/kernels}
# of one machine; emulation is some ten times slower than the real thing
LIMIT=${LIMIT:-1500}

# VERSION SUITE PACKAGE, where VERSION and what may follow it stand for @
known='
5.10 bullseye linux-image-@-cloud-amd64
6.1  bookworm linux-image-@-cloud-amd64
6.12 trixie   linux-image-@-cloud-amd64
7    sid      linux-binary-@-cloud-amd64
'

smoke=no
if [ "${1-}" = --smoke ]; then
    smoke=yes
    shift
fi
[ $# -gt 0 ] || eval "set -- $(echo "$known" | awk 'NF { printf "%s ", $1 }')"

missing() {
    echo "$1" >&2
    exit 77
}
for program in qemu-system-x86_64 busybox cpio python3 cc; do
    command -v $program >/dev/null 2>&1 || missing "$program is missing"
done
[ -x "$BUILD/plugins/telegraf/proctally-telegraf" ] || missing "nothing is built at $BUILD"
[ "$(uname -m)" = x86_64 ] || missing "this is for x86_64"
mkdir -p "$KERNELS"
work=$(mktemp -d "${TMPDIR:-/tmp}/proctally-kernels.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- Kernels ------------------------------------------------------------------------

# the mirror that this machine gets Debian from
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 '/debian/*$' ||
    true)}

# SUITE COMMAND...: apt with lists of its own, so that nothing of this machine changes
apt_of() {
    local dir=$KERNELS/apt-$1 suite=$1
    shift
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    : >>"$dir/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "$MIRROR $suite main" >"$dir/sources.list"
    "$@" -o Dir::State="$dir" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
        -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Architecture=amd64 -o APT::Sandbox::User=root -o Acquire::Languages=none
}

# VERSION: the path of its image, fetched if it is not there yet
kernel_image() {
    local found suite pattern package
    if [ -f "$1" ]; then
        echo "$1"
        return
    fi
    found=$(ls "$KERNELS/$1"/boot/vmlinuz-* 2>/dev/null | tail -n 1)
    if [ -n "$found" ]; then
        echo "$found"
        return
    fi
    set -- "$1" $(echo "$known" | awk -v v="$1" '$1 == v { print $2, $3 }')
    [ $# = 3 ] || return 1
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ -z "$MIRROR" ]; then
        echo "no mirror of Debian is known; MIRROR can name one" >"$work/apt.log"
        return 1
    fi
    suite=$2 pattern=$(echo "$3" | sed "s/@/$1[.][0-9.+a-z-]*/")
    apt_of "$suite" apt-get -q update >"$work/apt.log" 2>&1 || return 1
    package=$(apt_of "$suite" apt-cache search --names-only "^$pattern\$" |
        awk '{ print $1 }' | sort -V | tail -n 1)
    [ -n "$package" ] || return 1
    # newer ones keep their modules in a package of their own
    for package in "$package" "$(echo "$package" | sed -n 's/linux-binary/linux-modules/p')"; do
        [ -n "$package" ] || continue
        (cd "$work" && apt_of "$suite" apt-get -q download "$package") >>"$work/apt.log" 2>&1 ||
            return 1
        dpkg-deb -x "$work/$package"_*.deb "$work/kernel"
        rm "$work/$package"_*.deb
    done
    mkdir -p "$KERNELS/$1/boot"
    find "$work/kernel" -name 'vmlinuz*' -exec cp {} "$KERNELS/$1/boot/vmlinuz-$1" \;
    # the tests of traffic need one module
    find "$work/kernel" -name 'veth.ko*' -exec cp {} "$KERNELS/$1/" \;
    rm -rf "$work/kernel"
    ls "$KERNELS/$1"/boot/vmlinuz-* 2>/dev/null
}

# ---- The root ----------------------------------------------------------------------

root=$work/root
# FILE...: to the same place, with the libraries that it needs
take() {
    local file lib
    for file; do
        for lib in "$file" $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
            [ ! -e "$root$lib" ] || continue
            mkdir -p "$root$(dirname "$lib")"
            cp -L "$lib" "$root$lib"
        done
    done
}

make_root() {
    local dir program path
    for dir in bin dev proc sys tmp etc run root mnt; do mkdir -p "$root/$dir"; done
    take "$(command -v busybox)"
    path=$(command -v busybox)
    [ "$path" = /bin/busybox ] || ln -s "$path" "$root/bin/busybox"
    # busybox has its own form of most of them; these are what the tests are about
    for program in sh awk true sleep cat unshare setpriv bpftool ip strace; do
        path=$(type -P $program) || continue
        take "$path"
        [ -e "$root/bin/$program" ] || ln -s "$path" "$root/bin/$program"
    done
    path=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
    take "$path"
    ln -s "$path" "$root/bin/python3"
    dir=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    mkdir -p "$root$dir"
    tar cf - -C "$dir" --exclude=test --exclude=__pycache__ --exclude=dist-packages \
        --exclude=site-packages --exclude=idlelib --exclude=tkinter --exclude=lib2to3 \
        --exclude='config-*' --exclude=ensurepip . | tar xf - -C "$root$dir"
    for path in "$root$dir"/lib-dynload/*.so; do take "${path#"$root"}"; done
    mkdir -p "$root/src/tests" "$root/build/plugins/textfile" "$root/build/plugins/telegraf"
    cp -r "$SRC/tests/integration" "$root/src/tests/"
    for program in textfile telegraf; do
        path=plugins/$program/proctally-$program
        cp "$BUILD/$path" "$root/build/$path"
        take $(ldd "$BUILD/$path" | grep -o '/[^ ]*')
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    cc -O1 -pthread -o "$root/bin/steps" "$SRC/tests/integration/steps.c"
    take $(ldd "$root/bin/steps" | grep -o '/[^ ]*')
    # the tests compile nothing else
    cat >"$root/bin/gcc" <<'END'
#!/bin/sh
while [ "$1" != -o ]; do shift; done
cp /bin/steps "$2"
END
    cp "$SRC/tests/kernels/init" "$root/init"
    chmod 755 "$root/init" "$root/bin/gcc"
    (cd "$root" && find . | cpio -o -H newc 2>/dev/null) >"$work/root.cpio"
}

# ---- A machine ----------------------------------------------------------------------

# VERSION IMAGE: its console goes to KERNELS/VERSION.log
boot() {
    local module
    cp "$work/root.cpio" "$work/initrd"
    for module in "$(dirname "$2")"/../veth.ko*; do
        [ -f "$module" ] || continue
        case $module in
        *.xz) xz -dc "$module" >"$work/veth.ko" ;;
        *) cp "$module" "$work/veth.ko" ;;
        esac
        # a kernel takes one archive after another
        (cd "$work" && echo veth.ko | cpio -o -H newc 2>/dev/null >>initrd)
    done
    timeout --foreground "$LIMIT" qemu-system-x86_64 -accel tcg,thread=multi \
        -cpu max,la57=off -smp 2 -m 1536 -nographic -no-reboot -nodefaults -serial stdio \
        -kernel "$2" -initrd "$work/initrd" \
        -append "console=ttyS0 quiet panic=-1 delayacct TESTS=$tests" \
        </dev/null >"$KERNELS/$(basename "$1").log" 2>&1
}

tests=all
[ $smoke = no ] || tests=smoke
make_root
failed=0
for version; do
    image=$(kernel_image "$version") || {
        echo "$version: not to be had: $(tail -n 1 "$work/apt.log" 2>/dev/null)"
        [ $failed = 1 ] || failed=77
        continue
    }
    begun=$(date +%s)
    status=0
    boot "$version" "$image" || status=$?
    log=$KERNELS/$(basename "$version").log
    tr -d '\r' <"$log" | sed -n 's/^## /'"$version: "'/p'
    if ! grep -q '^## all passed' "$log"; then
        failed=1
        echo "$version: FAILED (status $status of the machine), see $log"
        tr -d '\r' <"$log" | grep -A 3 '^FAIL' || tail -n 5 "$log"
    fi
    echo "$version: $(($(date +%s) - begun)) s"
done
exit $failed
