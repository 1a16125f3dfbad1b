#!/bin/sh
# SPDX-License-Identifier: MIT
# Has the core become more costly? Counts the instructions of a fixed piece of
# work: 12 collections of 500 made-up processes, each encoded twice.
#
#   sh tests/bench/instructions.sh [FILE]     against FILE, or instructions.budget
#
# Only the program's own code counts, not the C library's or the kernel's, so that
# neither the machine nor its load plays a part; the compiler does: there is a
# budget for each. Leaves with 0, with 1 if it is more than a tenth over the budget,
# with 77 if there is no valgrind or no budget for this compiler.
set -eu
. "$(dirname "$0")/lib.sh"
budget=${1-$bench/instructions.budget}

command -v valgrind >/dev/null 2>&1 || {
    echo "skipped: no valgrind"
    exit 77
}
# always the same flags, whatever the build at hand was made with
build=
unset BENCH_BUILD
CFLAGS='-O2 -gdwarf-4' # older valgrinds stumble over version 5
BENCH_CFLAGS=$CFLAGS
export CFLAGS
make_build --disable-hardening --without-collectd --disable-tests
compile synthetic synthetic.c
compile drive drive.c
mkdir "$work/tree"
"$bin/synthetic" "$work/tree" 500 1 40
run "$work/valgrind.log" valgrind --tool=callgrind --callgrind-out-file="$work/callgrind.out" \
    "$bin/drive" "$work/tree" 12

# What each object file used itself: a line of costs is of the object and function
# named last; the line after "calls=" is what the called ones used.
count=$(awk -v program="$bin/drive" '
    /^ob=/ {
        name = substr($0, 4)
        id = name
        sub(/ .*/, "", id)
        if (name ~ / /) {
            sub(/^[^ ]* /, "", name)
            names[id] = name
        }
        ours = names[id] == program
        next
    }
    /^cob=/ && / / { # a name may be given here first
        name = substr($0, 5)
        id = name
        sub(/ .*/, "", id)
        sub(/^[^ ]* /, "", name)
        names[id] = name
        next
    }
    /^calls=/ { skip = 1; next }
    /^[0-9+*-]/ {
        if (!skip && ours)
            total += $NF
        skip = 0
    }
    END { printf "%.0f\n", total }' "$work/callgrind.out")
[ "$count" -gt 0 ] || {
    echo "nothing was counted" >&2
    exit 1
}

compiler=gcc
if ${CC:-cc} --version | grep -q clang; then compiler=clang; fi
key="$compiler-$(${CC:-cc} -dumpversion | sed 's/\..*//')-$(uname -m)"
allowed=$(sed -n "s/^$key[[:space:]]\{1,\}\([0-9][0-9]*\).*/\1/p" "$budget")
if [ -z "$allowed" ]; then
    echo "skipped: $(basename "$budget") has no line for this compiler; it would be: $key $count"
    exit 77
fi
percent=$(awk "BEGIN { printf \"%+.1f\", ($count / $allowed - 1) * 100 }")
echo "instructions: $count, budget: $allowed ($key): $percent %"
if awk "BEGIN { exit !($count > $allowed * 1.1) }"; then
    echo "more than a tenth over the budget; where they went:"
    callgrind_annotate "$work/callgrind.out" 2>/dev/null | grep -E '^ *[0-9,]+ \(' | head -n 25
    exit 1
fi
if awk "BEGIN { exit !($count < $allowed * 0.9) }"; then
    echo "more than a tenth below: lower it to $count in $(basename "$budget")"
fi
