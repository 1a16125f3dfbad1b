#!/bin/sh
# Installs what the tests need, builds, runs all tests, and says how it went:
#
#   sh tests/run.sh           everything
#   sh tests/run.sh NAME...   only these integration tests (tests/integration/test_NAME.*)
#
# The builds are in build-tests/ and build-asan/, made from a clean copy of the
# sources, so that a build inside the source tree does not matter. Every test
# leaves its output in build-tests/logs/.
# CONFIGURE_ARGS, if it is set, goes to configure.
#
# An integration test is an executable tests/integration/test_*.{sh,py}. It finds
# the sources in $SRC, the build in $BUILD, an empty directory of its own in $TMP,
# and leaves with 0 (passed), 77 (skipped; its last line says why) or else (failed).
# "# timeout: SECONDS" in its first lines sets another limit than 300. Tests with "# aside" there
# need nothing of the host for themselves: they run one after another beside the others, and the
# build with sanitizers is made and tested there, too.
set -u
LC_ALL=C.UTF-8
PYTHONDONTWRITEBYTECODE=1
export LC_ALL PYTHONDONTWRITEBYTECODE

SRC=$(cd "$(dirname "$0")/.." && pwd) || exit 1
BUILD=$SRC/build-tests
CONFIGURE_ARGS=${CONFIGURE_ARGS-}
export SRC BUILD
copy=$BUILD/source
logs=$BUILD/logs
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
passed=0 failed=0 skipped=0

say() {
    printf '%s\n' "$*"
}
# result pass|fail|skip NAME [REMARK]
result() {
    case $1 in
        pass) passed=$((passed + 1)) ;;
        fail) failed=$((failed + 1)) ;;
        skip) skipped=$((skipped + 1)) ;;
    esac
    if [ -n "${3-}" ]; then say "$1  $2: $3"; else say "$1  $2"; fi
}
total() {
    say "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}
# step NAME COMMAND...: part of getting ready; if it fails, that is the end
step() {
    name=$1
    shift
    say "----  $name"
    if ! "$@" >"$logs/$name.log" 2>&1 </dev/null; then
        tail -n 40 "$logs/$name.log"
        result fail "$name" "see $logs/$name.log"
        total
    fi
}

mkdir -p "$logs" || exit 1
if ! sh "$SRC/tests/install-deps.sh" tests; then
    result fail "install-deps"
    total
fi

# ---- build ------------------------------------------------------------------

configure_in() {
    mkdir -p "$1" && cd "$1" && shift && "$copy/configure" "$@"
}

step copy sh "$SRC/tests/copy-sources.sh" "$copy"
step configure configure_in "$BUILD" $CONFIGURE_ARGS --enable-tests=yes
step build make -C "$BUILD" -j"$jobs"

# ---- unit tests ----------------------------------------------------------------

# DIRECTORY ACTION: on each test's result there, without those of other machines (tests/machines)
results_in() {
    dir=$1
    shift
    find "$dir" \( -path "$copy" -o -path "$BUILD/roots" \) -prune -o -name '*.trs' "$@"
}
# unit_tests DIRECTORY: runs them; afterwards each has DIRECTORY/**/NAME.trs
unit_tests() {
    results_in "$1" -exec rm -f {} +
    timeout -k 10 900 make -C "$1" -j"$jobs" check VERBOSE=1
}

if [ $# = 0 ]; then
    say "----  unit tests"
    unit_tests "$BUILD" >"$logs/check.log" 2>&1 </dev/null
    check_status=$?
    before=$failed
    results_in "$BUILD" -print | sort >"$logs/check.list"
    while IFS= read -r trs; do
        name=${trs#"$BUILD"/}
        name=${name%.trs}
        case $(sed -n 's/^:global-test-result: //p' "$trs") in
            PASS | XFAIL) result pass "$name" ;;
            SKIP) result skip "$name" "$(tail -n 2 "${trs%.trs}.log" | head -n 1)" ;;
            *)
                tail -n 40 "${trs%.trs}.log"
                result fail "$name"
                ;;
        esac
    done <"$logs/check.list"
    if [ ! -s "$logs/check.list" ] || { [ $check_status != 0 ] && [ "$failed" = "$before" ]; }; then
        tail -n 40 "$logs/check.log"
        result fail "make check" "see $logs/check.log"
    fi
fi

# ---- integration tests -----------------------------------------------------------

wanted() {
    [ $# = 1 ] && return 0
    name=$(basename "$1")
    name=${name#test_}
    shift
    for one; do
        [ "$one" = "${name%.*}" ] && return 0
    done
    return 1
}

# TEST: runs it; what came of it stands in its log, and in DIRECTORY/logs/NAME.status
run_one() {
    name=$(basename "$1")
    limit=$(sed -n '1,20s/^# timeout: *\([0-9][0-9]*\).*/\1/p' "$1" | head -n 1)
    TMP=$(mktemp -d "${TMPDIR:-/tmp}/proctally-test.XXXXXX")
    chmod 0755 "$TMP" # tests become other users
    export TMP
    started=$(date +%s)
    (cd "$TMP" && timeout -k 15 "${limit:-300}" "$1") >"$logs/$name.log" 2>&1 </dev/null
    echo "$? $(($(date +%s) - started)) ${limit:-300}" >"$logs/$name.status"
    rm -rf "$TMP"
}
judge() {
    name=$(basename "$1")
    log=$logs/$name.log
    read -r status took limit <"$logs/$name.status" || status=unknown took=? limit=?
    case $status in
        0) result pass "$name" "${took}s" ;;
        77) result skip "$name" "$(tail -n 1 "$log")" ;;
        *)
            tail -n 60 "$log"
            if [ "$status" = 124 ] || [ "$status" = 137 ]; then
                result fail "$name" "not done after ${limit}s; see $log"
            else
                result fail "$name" "exit status $status after ${took}s; see $log"
            fi
            ;;
    esac
}

aside=
[ $# = 0 ] && aside=$(cd "$SRC" && grep -l '^# aside$' tests/integration/test_*)
# TEST
is_aside() {
    printf '%s\n' "$aside" | grep -qx "${1#"$SRC"/}"
}

sanitized() {
    (configure_in "$SRC/build-asan" $CONFIGURE_ARGS --enable-tests=yes --without-collectd \
        --enable-sanitizers=address,undefined CFLAGS='-g -O1') &&
        unit_tests "$SRC/build-asan"
}
run_aside() {
    for test in $aside; do
        kill -0 $$ 2>/dev/null || exit 1 # the others were interrupted
        run_one "$SRC/$test"
    done
    sanitized >"$logs/sanitizers.log" 2>&1 </dev/null
    echo $? >"$logs/sanitizers.status"
}

say "----  integration tests"
rm -f "$logs"/*.status
if [ $# = 0 ]; then run_aside & fi
count=0
for test in "$SRC"/tests/integration/test_*.sh "$SRC"/tests/integration/test_*.py; do
    [ -e "$test" ] || continue
    wanted "$test" "$@" || continue
    count=$((count + 1))
    if [ ! -x "$test" ]; then
        result fail "$(basename "$test")" "is not executable"
        continue
    fi
    is_aside "$test" && continue
    run_one "$test"
    judge "$test"
done
if [ $count = 0 ]; then
    result fail "integration tests" "there are none${1+ named $*}"
fi

if [ $# = 0 ]; then
    say "----  beside them, and unit tests with AddressSanitizer and UndefinedBehaviorSanitizer"
    wait
    for test in $aside; do
        judge "$test"
    done
    if grep -qx 0 "$logs/sanitizers.status"; then
        result pass "sanitizers"
    else
        tail -n 60 "$logs/sanitizers.log"
        result fail "sanitizers" "see $logs/sanitizers.log"
    fi
fi

total
