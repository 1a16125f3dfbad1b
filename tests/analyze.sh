#!/bin/sh
# SPDX-License-Identifier: MIT
# Looks at core/ and plugins/ with what finds mistakes without running anything: all
# warnings of clang, gcc -fanalyzer, clang-tidy and cppcheck.
#
#   sh tests/analyze.sh [clang|gcc|clang-tidy|cppcheck]...      all of them if none is named
#
# It needs a build that tests/run.sh left, or another one in $BUILD. What is found and
# is no mistake stands in tests/analyze.known, with the reason. Leaves with 0 if there
# is nothing else, 77 if a tool is not there.
set -u
LC_ALL=C
export LC_ALL
SRC=$(cd "$(dirname "$0")/.." && pwd) || exit 1
BUILD=${BUILD:-$SRC/build-tests}
known=$SRC/tests/analyze.known
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
cd "$SRC" || exit 1
[ -f "$BUILD/build-config.h" ] || {
    echo "there is no build in $BUILD; sh tests/run.sh leaves one" >&2
    exit 2
}
[ $# -gt 0 ] || set -- clang gcc clang-tidy cppcheck

work=$(mktemp -d "${TMPDIR:-/tmp}/proctally-analyze.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# what only macOS can compile stands below darwin/, or is called so
for_here() {
    ls "$@" | grep -v -e _darwin -e darwin/calls -e darwin/open
}
files=$(for_here core/*.c core/*/*.c core/*/linux/*.c core/source/darwin/*.c plugins/common/*.c \
    plugins/command/*.c plugins/textfile/*.c plugins/telegraf/*.c)
of_make() {
    sed -n "s/^$1 = *//p" "$BUILD/Makefile"
}
collectd=$(of_make COLLECTD_CPPFLAGS)
[ -z "$collectd" ] || files="$files $(ls plugins/collectd/*.c)"
# the page is there if the exporter is built
[ ! -f "$BUILD/plugins/exporter/page.inc" ] || files="$files $(for_here plugins/exporter/*.c)"
fuse=$(of_make FUSE_CFLAGS)
[ -z "$(of_make FUSE_LIBS)" ] || files="$files $(ls plugins/fs/*.c)"
# made when the source bpf is built
if [ ! -f "$BUILD/core/source/linux/kernel/proctally.skel.h" ]; then
    files=$(printf '%s\n' $files | grep -v bpf)
fi
flags="-std=gnu11 -D_GNU_SOURCE= -D_FILE_OFFSET_BITS=64 -I$BUILD -iquote $BUILD/core -iquote core -idirafter core
    -iquote plugins/common -iquote plugins/exporter -iquote $BUILD/plugins/exporter -DHAVE_CONFIG_H $collectd $fuse"

# Left out of clang-tidy's checks, and why:
#   easily-swappable-parameters      a matter of taste
#   reserved-identifier, dcl37, dcl51  _GNU_SOURCE
#   narrowing-conversions            gcc's -Wconversion looks at that, with fewer mistakes
#   macro-parentheses                the tables are made of parts of initialisers
#   sizeof-expression                takes each array of pointers for a slip
#   err33                            what is printed is checked once, when it is flushed
#   insecureAPI.DeprecatedOrUnsafe…  wants memcpy_s(), which no C library here has
#   optin.performance                bytes of padding
checks='-*,bugprone-*,cert-*,clang-analyzer-*,concurrency-*,misc-redundant-expression,
misc-misplaced-const,performance-*,portability-*,-bugprone-easily-swappable-parameters,
-bugprone-reserved-identifier,-cert-dcl37-c,-cert-dcl51-cpp,-bugprone-narrowing-conversions,
-bugprone-macro-parentheses,-bugprone-sizeof-expression,-cert-err33-c,
-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,
-clang-analyzer-optin.performance.*'
checks=$(printf %s "$checks" | tr -d '\n')

# each COMMAND...: runs it for each file, several at a time. Those that it could not
# look at, a header being missing or the tool itself at fault, are in $work/broken.
each() {
    printf '%s\n' $files | xargs -P "$jobs" -I '{}' sh -c '
        file=$1; work=$2; log=$2/$(printf %s "$file" | tr / _); shift 2
        "$@" "$file" >"$log" 2>&1 ||
            { echo "  $file: status $?"; tail -n 5 "$log"; } >>"$work/broken"' \
        - '{}' "$work" "$@"
}
# What a tool says becomes FILE:LINE: TEXT [CHECK]
findings() {
    cat "$work"/*.c | sed -n "s,^$SRC/,,; s,^\([a-z][^ :]*:[0-9]*\):[0-9]*: \(warning\|error\): ,\1: ,p" |
        grep -v '/proctally\.skel\.h:' | sort -u # bpftool's own code
}
# The source line goes along: what is known is known of a line, not of its number
unknown() {
    while IFS= read -r finding; do
        file=${finding%%:*}
        line=${finding#*:}
        printf '%s\t%s\n' "$finding" "$(sed -n "${line%%:*}p" "$file")"
    done | awk -F '\t' -v known="$known" '
        BEGIN {
            while ((getline entry < known) > 0)
                if (entry !~ /^(#|[ \t]*$)/) {
                    split(entry, part, " ")
                    check[++count] = part[1]
                    place[count] = part[2]
                    text[count] = substr(entry, length(part[1]) + length(part[2]) + 3)
                }
        }
        {
            for (i = 1; i <= count; i++)
                if (index($1, check[i]) && (place[i] == "*" || index($1, place[i] ":") == 1) &&
                    (text[i] == "" || index($2, text[i])))
                    next
            print "  " $1
        }'
}

status=0
for tool; do
    program=$tool
    command -v "$program" >/dev/null 2>&1 || {
        echo "skipped: no $program"
        [ $status = 0 ] && status=77
        continue
    }
    rm -f "$work"/*.c "$work/broken"
    # shellcheck disable=SC2086 # lists of words
    case $tool in
        clang)
            each clang $flags -Wall -Wextra -Wformat=2 -Wshadow -Wconversion -Wstrict-prototypes \
                -Wmissing-prototypes -Wvla -Wundef -Wwrite-strings -Wcast-qual \
                -Wno-missing-field-initializers -fsyntax-only
            ;;
        gcc) each gcc $flags -O2 -fanalyzer -c -o /dev/null ;;
        clang-tidy)
            # the file stands before the flags
            each sh -c 'checks=$1; flags=$2; shift 2
                exec clang-tidy --quiet --checks="$checks" "$1" -- $flags' - "$checks" "$flags"
            ;;
        cppcheck)
            # of the system's headers only the one whose macros have loops in them
            mkdir "$work/include"
            printf '#include <uthash.h>\n' | cc -E -xc - 2>/dev/null |
                sed -n 's/^# 1 "\(.*uthash.h\)".*/\1/p' | head -n 1 |
                xargs -I '{}' ln -s '{}' "$work/include/uthash.h"
            each cppcheck --quiet --enable=warning,performance,portability --inline-suppr \
                --std=c11 -DHAVE_YAML -DHAVE_PCRE2 -DHAVE_MNL -DHAVE_CAP -DHAVE_SECCOMP \
                -D__linux__ -D__GNUC__=12 -I core -I plugins/common -I "$work/include" \
                --template='{file}:{line}:{column}: warning: {message} [{id}]' \
                --template-location=
            ;;
        *)
            echo "$0: there is no $tool here, expected clang, gcc, clang-tidy or cppcheck" >&2
            exit 2
            ;;
    esac
    findings | unknown >"$work/unknown"
    if [ -s "$work/unknown" ] || [ -s "$work/broken" ]; then
        echo "fail  $tool"
        cat "$work/unknown"
        [ ! -s "$work/broken" ] || cat "$work/broken"
        status=1
    else
        echo "pass  $tool: $(findings | wc -l) findings, all of them known"
    fi
done
exit $status
