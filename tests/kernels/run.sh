#!/bin/bash
# SPDX-License-Identifier: MIT
# proctally on other kernels: boots each in a virtual machine (qemu, by emulation if need
# be), runs tests there, and prints a table of what passed.
#
#     sh tests/kernels/run.sh [--smoke | --cost | --packages] [VERSION...]
#
# VERSION: what Debian has, as in `known` of mirror.sh; without one, all of them. A file
# /boot/vmlinuz-* can be given in its place.
#
# Without an option each kernel boots a Debian of this machine's suite with systemd as
# process 1 and proctally installed, and runs what inside/run says: unit tests, source bpf,
# its traffic and pins, truth, the units, a socket that systemd opens, collectd, units and
# containers as groups, a command in a control group, each set of rights, files by FUSE, a
# lockdown, a storm of short processes; then it boots again. Half an hour to one each;
# TESTS=NAME,NAME... in the environment takes some of them only.
# --smoke: does source bpf load, count and pin, with no more rights than it needs? A minute or
# two, and needs no right to anything.
# --cost: the instructions of a collection, and a storm of short processes, in a machine of
# one CPU whose clock goes on by a nanosecond for each instruction: the same however busy
# this machine is. Five minutes.
# --packages: Debian's packages, as examples/packaging/build.sh deb has left them in DEBS
# (build-packages), under systemd: each service. Five minutes.
#
# SRC and BUILD are the sources and where they were built (on this machine: the programs
# run with its libraries). What is fetched is kept in KERNELS (BUILD/kernels), and so is
# what each machine said. 1: something failed. 77: something is missing here.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
set -eu
LC_ALL=C
export LC_ALL
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=$(cd "${BUILD:-$SRC/build-tests}" && pwd)
KERNELS=${KERNELS:-$BUILD/kernels}
# of one boot; emulation is some ten times slower than the real thing
LIMIT=${LIMIT:-7200}

form=system
case ${1-} in
--smoke | --cost | --packages)
    form=${1#--}
    shift
    ;;
esac

missing() {
    echo "$1" >&2
    exit 77
}
programs="qemu-system-x86_64 cpio xz debootstrap mkfs.ext4 make"
case $form in
smoke | cost) programs="qemu-system-x86_64 busybox cpio xz python3 cc" ;;
packages)
    DEBS=${DEBS:-$SRC/build-packages}
    ls "$DEBS"/*.deb >/dev/null 2>&1 || missing "no packages in $DEBS"
    ;;
esac
PATH=$PATH:/usr/sbin:/sbin
for program in $programs; do
    command -v "$program" >/dev/null 2>&1 || missing "$program is missing"
done
[ -x "$BUILD/plugins/telegraf/proctally-telegraf" ] || missing "nothing is built at $BUILD"
[ "$(uname -m)" = x86_64 ] || missing "this is for x86_64"
[ $form = smoke ] || [ $form = cost ] || [ "$(id -u)" = 0 ] || missing "only root can make a root of Debian"
mkdir -p "$KERNELS"
work=$(mktemp -d "${TMPDIR:-/tmp}/proctally-kernels.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

. "$SRC/tests/kernels/mirror.sh"
[ $# -gt 0 ] || eval "set -- $(echo "$known" | awk 'NF { printf "%s ", $1 }')"

# IMAGE INITRD SECONDS WORDS [ARGUMENT...]: runs until it turns itself off; WORDS are for
# the kernel's command line. (Where this machine is busy, the kernel would miss its timer's
# first ticks, and panic.)
#
# The emulator translates what it runs once for each address that it is mapped at. If those were
# random, it would do so for each process anew, and keep thousands of translations for a page of
# libc; to fill such a page with zeroes byte by byte, each of which is looked for in all of them,
# then takes minutes, in which the kernel says that a processor is stuck.
machine() {
    local image=$1 initrd=$2 seconds=$3 words=$4
    shift 4
    timeout --foreground "$seconds" qemu-system-x86_64 $accelerator \
        -cpu max,la57=off,erms=off,fsrm=off -m $memory -display none -no-reboot -nodefaults "$@" \
        -kernel "$image" -initrd "$initrd" -append \
        "console=ttyS0 quiet panic=-1 no_timer_check norandmaps $words" \
        </dev/null
}
accelerator="-accel tcg,thread=multi -smp 2,maxcpus=4" memory=1536

case $form in
system | packages)
    . "$SRC/tests/kernels/system.sh"
    make_system
    ;;
*)
    . "$SRC/tests/kernels/smoke.sh"
    make_root
    ;;
esac

failed=0
reports=
for version; do
    image=$(kernel_image "$version") || {
        echo "$version: not to be had: $(tail -n 1 "$work/apt.log" 2>/dev/null)"
        [ $failed = 1 ] || failed=77
        continue
    }
    begun=$(date +%s)
    status=0
    report=$KERNELS/$(basename "$version").$form.log
    case $form in
    system) boot_system "$image" "$report" "${TESTS:-all}" "$LIMIT" || status=$? ;;
    packages) boot_system "$image" "$report" packages "$LIMIT" || status=$? ;;
    smoke) boot_smoke "$image" "$report" smoke "$LIMIT" || status=$? ;;
    cost)
        # one instruction is one nanosecond of the machine's time
        accelerator="-accel tcg,thread=single -icount shift=0,sleep=off -smp 1" memory=3072
        boot_smoke "$image" "$report" cost "$LIMIT" || status=$?
        ;;
    esac
    tr -d '\r' <"$report" >"$work/report" && mv "$work/report" "$report"
    sed -n 's/^## /'"$(basename "$version"): "'/p' "$report"
    if [ $status != 0 ] || ! grep -q '^## done' "$report" || grep -q '^## FAIL' "$report"; then
        failed=1
        echo "$version: FAILED (status $status of the machine), see $report"
        grep -A 3 '^FAIL' "$report" || tail -n 5 "$report"
    fi
    echo "$version: $(($(date +%s) - begun)) s"
    reports="$reports $report"
done
# shellcheck disable=SC2086 # a list of words
[ -z "$reports" ] || awk -f "$SRC/tests/kernels/table.awk" $reports
exit $failed
