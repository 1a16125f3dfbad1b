# SPDX-License-Identifier: MIT
# For the benchmarks' scripts, which read it with "." after setting -eu.
#
#   $SRC    the sources
#   $work   an empty directory, removed at the end; in memory if there is room
#   $build  a build of proctally: $BENCH_BUILD if it is set, else made by make_build
#   $bin    where compile puts its programs
LC_ALL=C.UTF-8
PYTHONDONTWRITEBYTECODE=1
export LC_ALL PYTHONDONTWRITEBYTECODE

SRC=$(cd "$(dirname "$0")/../.." && pwd)
bench=$SRC/tests/bench
work=
leave() {
    status=$?
    trap - EXIT
    if [ -n "${policy-}" ]; then rm -f "$policy"; fi
    if [ "${mounted-}" = yes ]; then umount "$memory" || :; fi
    if [ -n "$work" ]; then rm -rf "$work"; fi
    exit $status
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d "${TMPDIR:-/tmp}/proctally-bench.XXXXXX")
bin=$work/bin
mkdir "$bin"
build=${BENCH_BUILD-}

# run LOG COMMAND...: shows the end of the log if the command fails
run() {
    log=$1
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        echo "$0: failed: $*" >&2
        exit 1
    fi
}

configure_and_make() {
    mkdir "$work/source" "$work/build" || return 1
    (cd "$SRC" && tar -cf - --exclude='./.git' --exclude='./build*' --exclude='*.o' \
        --exclude='*.lo' --exclude='*.la' --exclude='.libs' --exclude='.deps' \
        --exclude='./Makefile' \
        --exclude='./config.status' --exclude='./build-config.h' --exclude='core/proctally.pc' \
        --exclude='plugins/fs/proctally-fs.pc' .) |
        tar -C "$work/source" -xf - || return 1
    "$work/source/autogen.sh" || return 1
    cd "$work/build" && "$work/source/configure" "$@" && make -j"$(getconf _NPROCESSORS_ONLN)"
}
# make_build [CONFIGURE-ARGUMENT...]
make_build() {
    if [ -z "$build" ]; then
        echo "building" >&2
        run "$work/build.log" configure_and_make "$@"
        build=$work/build
    fi
    # the headers that it was made with
    core=$(sed -n 's/^abs_top_srcdir = //p' "$build/Makefile")/core
}

# compile PROGRAM FILE.c...: with the core, and the warnings that the project has
compile() {
    program=$1
    shift
    files=
    for file; do files="$files $bench/$file"; done
    # shellcheck disable=SC2046,SC2086 # lists of words
    run "$work/compile.log" ${CC:-cc} -std=gnu11 -D_GNU_SOURCE= -D_FILE_OFFSET_BITS=64 \
        ${BENCH_CFLAGS:--O2 -g} -Wall -Wextra -Wformat=2 -Wshadow -Wconversion \
        -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wimplicit-fallthrough \
        -Wwrite-strings -Wcast-qual \
        -iquote "$core" -idirafter "$core" -iquote "$build" -o "$bin/$program" $files \
        ${BENCH_LDFLAGS-} "$build/core/.libs/libcore.a" \
        $(needed_libs) -pthread
    if [ -s "$work/compile.log" ]; then cat "$work/compile.log" >&2; fi
}
needed_libs() {
    sed -n 's/^\(YAML\|PCRE2\|MNL\|BPF\)_LIBS = //p' "$build/Makefile" | tr '\n' ' '
}
wrap='-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc'

# An empty directory on a tmpfs, without a limit on files if we may mount one
# ($0 is then started again in a mount namespace of its own, so that it goes away
# in any case). Sets $memory.
memory_directory() {
    memory=$work/memory
    mkdir "$memory"
    if [ "${BENCH_MOUNTS-}" = yes ]; then
        mount -t tmpfs -o size=90%,nr_inodes=0,mode=700 proctally-bench "$memory"
        mounted=yes
    elif [ -w /dev/shm ]; then
        rm -r "$memory"
        memory=$(mktemp -d /dev/shm/proctally-bench.XXXXXX)
        trap 'rm -rf "$memory"; leave' EXIT
    fi
}
# own_mounts "$@": call it first
own_mounts() {
    if [ "${BENCH_MOUNTS-}" != yes ] && [ "$(id -u)" = 0 ] &&
        unshare -m true 2>/dev/null; then
        rm -rf "$work"
        work=
        BENCH_MOUNTS=yes
        export BENCH_MOUNTS
        exec unshare -m sh "$0" "$@"
    fi
}
