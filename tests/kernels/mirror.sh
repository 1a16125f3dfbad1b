# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of run.sh: kernels and packages of Debian, without anything of this machine being
# changed. Uses $KERNELS and $work; what went wrong is in $work/apt.log.

# VERSION SUITE PACKAGE, where VERSION and what may follow it stand for @
known='
5.10 bullseye          linux-image-@-cloud-amd64
6.1  bookworm          linux-image-@-cloud-amd64
6.12 trixie            linux-image-@-cloud-amd64
6.16 trixie-backports  linux-image-@-cloud-amd64
6.18 trixie-backports  linux-image-@-cloud-amd64
7    sid               linux-binary-@-cloud-amd64
'

# the mirror that this machine gets Debian from
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 '/debian/*$' ||
    true)}

# SUITE COMMAND...: apt with lists of its own
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

# VERSION: the path of its image, fetched if it is not there yet. Its modules are where a
# system has them beside its /boot.
kernel_image() {
    local found suite pattern package
    if [ -f "$1" ]; then
        echo "$1"
        return
    fi
    found=$(ls "$KERNELS/$1"/boot/vmlinuz-* 2>/dev/null | tail -n 1)
    if [ -n "$found" ] && [ -d "$(modules_of "$found")" ]; then
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
    rm -rf "${KERNELS:?}/$1"
    # newer ones keep their modules in a package of their own
    for package in "$package" "$(echo "$package" | sed -n 's/linux-binary/linux-modules/p')"; do
        [ -n "$package" ] || continue
        (cd "$work" && apt_of "$suite" apt-get -q download "$package") >>"$work/apt.log" 2>&1 ||
            return 1
        dpkg-deb -x "$work/$package"_*.deb "$work/kernel"
        rm "$work/$package"_*.deb
    done
    mkdir -p "$KERNELS/$1/boot" "$KERNELS/$1/lib"
    find "$work/kernel" -name 'vmlinuz*' -type f -exec cp {} "$work/vmlinuz" \;
    # in /lib or in /usr/lib
    find "$work/kernel" -path '*lib/modules' -type d -exec cp -r {} "$KERNELS/$1/lib/" \;
    mv "$work/vmlinuz" "$KERNELS/$1/boot/vmlinuz-$(ls "$KERNELS/$1/lib/modules")"
    rm -rf "$work/kernel"
    ls "$KERNELS/$1"/boot/vmlinuz-* 2>/dev/null
}

# IMAGE: where its modules are
modules_of() {
    echo "${1%/boot/*}/lib/modules/${1##*/vmlinuz-}"
}

# FILE: a module as the kernel takes it without help
unpacked() {
    case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) zstd -dc "$1" ;;
    *) cat "$1" ;;
    esac
}
