#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes ROOT the / of the mount namespace that it is started in (unshare --mount), and runs a
# command there:
#
#     sh tests/machines/enter.sh container|boot ROOT COMMAND [ARGUMENT...]
#
# After a mere chroot it would not be a mount, and the kernel would show paths as from outside.
# container: with this machine's /sys, but a bpf file system of its own: what this machine has
# pinned is none of its business. boot: with what systemd as process 1 expects to find, in
# namespaces of its own for network and control groups.
set -eu
kind=$1 root=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
if [ "$kind" = boot ]; then
    mount -t sysfs -o ro sys "$root/sys"
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
    mount -t bpf bpf "$root/sys/fs/bpf" || :
    mount -t tmpfs -o mode=0755 run "$root/run"
else
    mount --rbind /sys "$root/sys"
    mount -t bpf bpf "$root/sys/fs/bpf" || :
fi
# nodes of its own: what is installed there sets their modes
mount -t tmpfs -o mode=0755 dev "$root/dev"
for node in null zero full random urandom tty fuse; do
    [ ! -e /dev/$node ] || cp -a /dev/$node "$root/dev/"
done
[ ! -e "$root/dev/fuse" ] || chmod 0666 "$root/dev/fuse" # as udev has it; not every machine's is
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
exec "$@"
