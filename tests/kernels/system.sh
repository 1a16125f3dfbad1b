# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of run.sh: a Debian on a disk of its own, with systemd as process 1 and proctally
# installed. What it needs is fetched once and kept in KERNELS.

# the packages, beside what is essential: what the units are for, what proctally was linked
# with, and what the tests use
PACKAGES=systemd-sysv,systemd-container,dbus,kmod,udev,collectd-core,prometheus-node-exporter
PACKAGES=$PACKAGES,libyaml-0-2,libpcre2-8-0,libmnl0,libbpf1,libcap2,libseccomp2
# the library itself is called otherwise in the next suite
# debootstrap does not find what only provides a package, as libselinux1-dev does for libfuse3-dev
PACKAGES=$PACKAGES,libmicrohttpd-dev,libfuse3-dev,libselinux1-dev,fuse3
# what libproctally-dev depends on
PACKAGES=$PACKAGES,libbpf-dev,libmnl-dev,libpcre2-dev,libyaml-dev
PACKAGES=$PACKAGES,libsubunit0,python3,iproute2,procps,bpftool,strace,busybox-static,curl,gcc,libc6-dev

# The suite is this machine's: what was built here runs there.
make_system() {
    local suite base=$KERNELS/system
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    if [ ! -e "$base.made" ] || [ "$(cat "$base.made")" != "$suite $PACKAGES" ]; then
        rm -rf "$base" "$base.made"
        echo "fetching a root of $suite" >&2
        debootstrap --variant=minbase --include="$PACKAGES" "$suite" "$base" "$MIRROR" \
            >"$KERNELS/debootstrap.log" 2>&1 || {
            echo "debootstrap failed: $(tail -n 1 "$KERNELS/debootstrap.log")"
            exit 1
        }
        rm -rf "$base"/var/cache/apt/* "$base"/var/lib/apt/lists/* "$base"/usr/share/locale
        echo "$suite $PACKAGES" >"$base.made"
    fi
    system=$work/system
    cp -a "$base" "$system"
    if [ "$form" = packages ]; then
        # the tests install them
        mkdir "$system/root/debs"
        find "$DEBS" -name '*.deb' ! -name '*-dbgsym_*' -exec cp {} "$system/root/debs" \;
    else
        make -s -C "$BUILD" install DESTDIR="$system" >"$work/install.log" 2>&1 || {
            tail -n 5 "$work/install.log"
            exit 1
        }
        chroot "$system" ldconfig
    fi
    mkdir -p "$system/src" "$system/build"
    (cd "$SRC" && tar cf - --exclude='*.o' --exclude=corpus core plugins tests examples) |
        tar xf - -C "$system/src"
    # the programs as built, and the unit tests
    (cd "$BUILD" && find . -path ./source -prune -o -type f -perm -u+x \
        \( -path './plugins/*' -o -path './tests/unit/*' \) ! -name '*.lo' -print0 -o \
        -path './plugins/collectd/.libs/*.so' -print0 -o -path './units/*' -print0 \
        -o -path ./Makefile -print0) |
        tar -C "$BUILD" --null -T - -cf - | tar xf - -C "$system/build"
    chown -R 0:0 "$system/src" "$system/build"
    cp "$SRC/tests/kernels/inside/proctally-tests.service" "$system/etc/systemd/system/"
    chroot "$system" systemctl -q enable proctally-tests.service
    # only the tests start what they are about
    chroot "$system" systemctl -q disable prometheus-node-exporter.service collectd.service \
        >/dev/null 2>&1 || :
    # nothing of its own accord while something is measured
    chroot "$system" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer fstrim.timer systemd-timesyncd.service getty@tty1.service \
        systemd-journal-flush.service >/dev/null 2>&1 || :
    echo proctally-kernel >"$system/etc/hostname"
    echo '/dev/vda / ext4 defaults 0 0' >"$system/etc/fstab"
    : >"$system/etc/machine-id"
}

# IMAGE: an initial root that finds the disk
make_initrd() {
    local dir=$work/initrd.d version=${1##*/vmlinuz-} module
    rm -rf "$dir"
    mkdir -p "$dir/bin" "$dir/dev" "$dir/proc" "$dir/sys" "$dir/root" "$dir/modules"
    cp "$system/bin/busybox" "$dir/bin/busybox"
    cp "$SRC/tests/kernels/initrd" "$dir/init"
    chmod 755 "$dir/init"
    # in the order in which they are needed
    for module in $(for m in virtio_pci virtio_blk ext4; do
        # what is not there as a module is in the kernel
        chroot "$system" modprobe -S "$version" --show-depends "$m" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++'); do
        unpacked "$system$module" >"$dir/modules/$(basename "$module" | sed 's/[.]ko.*/.ko/')"
        basename "$module" | sed 's/[.]ko.*/.ko/' >>"$dir/modules/order"
    done
    (cd "$dir" && find . | cpio -o -H newc 2>/dev/null) >"$work/initrd"
}

# IMAGE REPORT TESTS SECONDS: in two boots of one disk
boot_system() {
    local modules status=0 image=$1 report=$2 tests=$3 seconds=$4
    modules=$(modules_of "$image")
    rm -rf "$system/lib/modules"
    mkdir -p "$system/lib/modules"
    cp -a "$modules" "$system/lib/modules/"
    chroot "$system" depmod "${image##*/vmlinuz-}" 2>"$work/depmod.log"
    make_initrd "$image"
    # as plain as the oldest kernel wants it; an older mkfs does not know what it is to leave out
    rm -f "$work/disk"
    truncate -s 3G "$work/disk"
    mkfs.ext4 -q -F -O ^metadata_csum_seed,^orphan_file -d "$system" "$work/disk" \
        2>/dev/null || mkfs.ext4 -q -F -d "$system" "$work/disk"
    : >"$report"
    for boot in first second; do
        : >"$work/report"
        # there is something to see after a boot only if the units were there before
        case $boot:,$tests, in
        second:*,all,* | second:*,units,* | first:*) ;;
        *) break ;;
        esac
        machine "$image" "$work/initrd" "$seconds" \
            "root=/dev/vda systemd.show_status=no BOOT=$boot TESTS=$tests" \
            -drive "file=$work/disk,if=virtio,format=raw,cache=unsafe" \
            -serial "file:$report.console" -serial "file:$work/report" >>"$report" 2>&1 || status=$?
        cat "$work/report" >>"$report"
        # a kernel that panics ends the machine just as well
        [ $status != 0 ] || grep -q '^## done' "$work/report" || status=1
        [ $status = 0 ] || return $status
    done
}
