#!/bin/sh
# sh tests/fuzz/run.sh SECONDS [TARGET...]: builds the fuzz targets with
# AddressSanitizer and UndefinedBehaviorSanitizer in build-fuzz and runs them, two at
# a time, for SECONDS together. What they find new is kept in build-fuzz/corpus and
# used again next time. Installs clang with apt where it is missing.
# Exit status 1: something was found; its input is named. 77: none of these can be built here.
set -eu
LC_ALL=C
export LC_ALL

case ${1-} in
    '' | *[!0-9]*)
        echo "usage: $0 SECONDS [TARGET...]" >&2
        exit 2
        ;;
esac
seconds=$1
shift
SRC=$(cd "$(dirname "$0")/../.." && pwd)
build=${FUZZ_BUILD:-$SRC/build-fuzz}
jobs=2
sanitizers=address,undefined,float-cast-overflow

# ---- The compiler ----------------------------------------------------------------

has_fuzzer() {
    command -v "$1" >/dev/null 2>&1 &&
        echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n);
              int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n)
              { (void)d; (void)n; return 0; }' |
        "$1" -fsanitize=fuzzer,$sanitizers -x c - -o /dev/null >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        echo "not root, and there is no sudo: please install clang and its fuzzer runtime" >&2
        return 1
    fi
}

apt() {
    as_root apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

clang=${CLANG:-clang}
if ! has_fuzzer "$clang" && command -v apt-get >/dev/null 2>&1; then
    ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || apt update
    apt install --no-install-recommends "$clang" || {
        apt update
        apt install --no-install-recommends "$clang"
    }
    # The runtime is a package of its own in some releases, and part of it in others.
    major=$("$clang" -dumpversion | cut -d. -f1)
    has_fuzzer "$clang" || apt install --no-install-recommends "libclang-rt-$major-dev" ||
        apt install --no-install-recommends "libclang-common-$major-dev"
fi
has_fuzzer "$clang" || {
    echo "$clang can't link with -fsanitize=fuzzer: install clang and its compiler-rt" >&2
    exit 1
}

# ---- Building ----------------------------------------------------------------------

mkdir -p "$build/corpus" "$build/finds" "$build/logs"
names=
programs=
for file in "$SRC"/tests/fuzz/fuzz_*.c; do
    name=$(basename "$file" .c)
    name=${name#fuzz_}
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    names="$names $name"
    programs="$programs tests/fuzz/fuzz_$name"
done
[ -n "$names" ] || {
    echo "there is no target called $*" >&2
    exit 2
}

[ -x "$SRC/configure" ] || (cd "$SRC" && ./autogen.sh >"$build/logs/autogen.log" 2>&1)
if [ ! -f "$build/Makefile" ] || [ "$SRC/configure" -nt "$build/Makefile" ]; then
    (cd "$build" && "$SRC/configure" -q CC="$clang" CFLAGS='-g -O1' --enable-fuzzer \
        --enable-sanitizers=$sanitizers --disable-hardening --without-collectd \
        --disable-tests) >"$build/logs/configure.log" 2>&1 || {
        tail -n 20 "$build/logs/configure.log" >&2
        exit 1
    }
fi
# The exporter's are built where the exporter is.
if ! grep -qx 'S\["EXPORTER_TRUE"\]=""' "$build/config.status"; then
    for name in dropin http web; do
        case "$names " in
            *" $name "*) echo "left out: $name, as this build has no proctally-exporter" >&2 ;;
        esac
        names=$(echo "$names " | sed "s/ $name / /")
        programs=$(echo "$programs " | sed "s, tests/fuzz/fuzz_$name , ,")
    done
    [ -n "${names# }" ] || exit 77
fi
# shellcheck disable=SC2086 # a list of words
make -s -C "$build" -j$jobs $programs >"$build/logs/make.log" 2>&1 || {
    tail -n 40 "$build/logs/make.log" >&2
    exit 1
}

# ---- Running ------------------------------------------------------------------------

# shellcheck disable=SC2086
set -- $names
share=$((seconds * jobs / $#))
[ $share -ge 1 ] || share=1
[ $share -le "$seconds" ] || share=$seconds

# A run that takes over ten seconds, or 2 GiB, is a find, too.
run_target() {
    finds=$build/finds/$1
    log=$build/logs/$1.log
    mkdir -p "$build/corpus/$1" "$finds"
    find "$finds" -type f -exec rm -f {} +
    rm -f "$build/logs/$1.status"
    set -- "$1" "$build/corpus/$1"
    [ ! -d "$SRC/tests/fuzz/corpus/$1" ] || set -- "$@" "$SRC/tests/fuzz/corpus/$1"
    dict=$SRC/tests/fuzz/$1.dict
    name=$1
    shift
    [ ! -f "$dict" ] || set -- "-dict=$dict" "$@"
    status=0
    ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=0} \
    UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1} \
        "$build/tests/fuzz/fuzz_$name" -max_total_time=$share -timeout=10 -rss_limit_mb=2048 \
        -max_len=8192 -print_final_stats=1 -artifact_prefix="$finds/" "$@" \
        >"$log" 2>&1 </dev/null &
    child=$!
    wait $child || status=$?
    echo $status >"$build/logs/$name.status"
}

report() {
    log=$build/logs/$1.log
    status=$(cat "$build/logs/$1.status" 2>/dev/null) || status="(it did not end)"
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    cover=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    found=$(find "$build/finds/$1" -type f | sort)
    printf '%-10s %10s executions  %6s edges  %s inputs  ' "$1" "${runs:-?}" "${cover:-?}" \
        "$(find "$build/corpus/$1" -type f | wc -l | tr -d ' ')"
    if [ "$status" = 0 ] && [ -z "$found" ]; then
        echo "nothing found"
        return 0
    fi
    failed=1
    echo "FOUND"
    grep -a -m1 -E 'runtime error: |Sanitizer: |^[^ ]+\.c:[0-9]+: ' "$log" | sed 's/^/    /' || :
    if [ -n "$found" ]; then
        printf '%s\n' "$found" | sed 's/^/    /'
    else
        echo "    exit status $status; see $log"
    fi
}

pids=
stop() {
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill $pids 2>/dev/null || :
    exit 130
}
trap stop INT TERM

# as many lanes as jobs, each taking every second target
lane=0
while [ $lane -lt $jobs ]; do
    (
        child=
        trap '[ -z "$child" ] || kill $child 2>/dev/null; exit 130' INT TERM
        at=0
        for name; do
            if [ $((at % jobs)) = $lane ]; then
                run_target "$name"
            fi
            at=$((at + 1))
        done
    ) &
    pids="$pids $!"
    lane=$((lane + 1))
done
wait

failed=0
for name; do
    report "$name"
done
exit $failed
