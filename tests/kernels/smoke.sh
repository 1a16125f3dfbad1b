# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of run.sh: a machine that consists of some programs of this one, in memory. It is
# there in some ten seconds. `init` is its only program.

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
    cp -r "$SRC/tests/integration" "$SRC/tests/kernels" "$root/src/tests/"
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

# IMAGE REPORT TESTS SECONDS [ARGUMENT...]: the machine's console goes to the file REPORT
boot_smoke() {
    local module image=$1 report=$2 tests=$3 seconds=$4
    shift 4
    cp "$work/root.cpio" "$work/initrd"
    # the tests of traffic need one module
    module=$(find "$(modules_of "$image")" -name 'veth.ko*' 2>/dev/null)
    if [ -n "$module" ]; then
        unpacked "$module" >"$work/veth.ko"
        # a kernel takes one archive after another
        (cd "$work" && echo veth.ko | cpio -o -H newc 2>/dev/null >>initrd)
    fi
    machine "$image" "$work/initrd" "$seconds" "TESTS=$tests delayacct" \
        -serial stdio "$@" >"$report" 2>&1
}
