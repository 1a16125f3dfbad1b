#!/bin/sh
# Every file that is to be built, run or distributed is listed in Makefile.am: a
# test that is not built, or a file missing in the tarball, shows here. So does an
# include against the order of the folders.
LC_ALL=C
export LC_ALL
cd "${SRC:-$(dirname "$0")/..}" || exit 99

missing=$(
    {
        find core plugins tests -name '*.[ch]'
        find core plugins -name '*.[1-9]' ! -path '*/.libs/*'
        find plugins/python -type f ! -name '*.py[co]' ! -name '*.so' ! -name '*.whl' ! -name wheel.stamp \
            ! -path '*/bin/*' ! -path '*.egg-info/*' ! -path '*/.*' ! -path '*/package/*'
        find . -name '*.md' ! -path '*/.*' ! -path './build*' ! -path './proctally-*' | sed 's|^\./||'
        find examples tests/integration tests/kernels tests/fixtures -type f \
            ! -name '*.[cho]' ! -name '*.l[oa]' ! -name '*.gc*' ! -name '*.py[co]' ! -path '*/.*' ! -name '*~' ! -name embed ! -name embed_http ! -name ownstats ! -name processes \
            2>/dev/null
    } | sort | while IFS= read -r file; do
        name=$file
        case $file in
            tests/fixtures/*/*) # whole folders are listed
                name=${file#tests/fixtures/}
                name=tests/fixtures/${name%%/*}
                ;;
            examples/*.c | tests/unit/*.c | tests/fuzz/*.c) name=${file%.c} ;;
        esac
        awk -v name="$name" '{ for (i = 1; i <= NF; i++) if ($i == name || $i == name ".c") found = 1 }
            END { exit !found }' Makefile.am || echo "$file"
    done
)
[ -z "$missing" ] || printf 'not listed in Makefile.am:\n%s\n' "$missing" >&2

# A folder of core/ uses those that stand before it here, and itself. What runs in the
# kernel uses its own folder and source/turns.h, and the front ends nothing but the public
# header; the library in plugins/fs is none, and has base inside.
order='base settings source count group config collector output'
against=$(
    rank() {
        at=0
        for room in $order; do
            at=$((at + 1))
            [ "$room" = "$1" ] && break
        done
        echo "$at"
    }
    grep -rEn --include='*.[ch]' '^#include "[a-z_/]+\.h"' core |
        grep -v -e ':#include "proctally\.h"' -e '"build-config\.h"' |
        sed -E 's,^core/([^:]*):([0-9]+):#include "([^"]*)".*,\1 \2 \3,' |
        while read -r file line header; do
            case $file in source/linux/kernel/*) continue ;; esac
            from=${file%%/*} to=${header%%/*}
            [ "$(rank "${from%.[ch]}")" -ge "$(rank "${to%.h}")" ] && [ -e "core/$header" ] ||
                case $header in *.skel.h) ;; *) echo "core/$file:$line: $header" ;; esac
        done
    grep -rEn --include='*.[ch]' '^#include "(base|settings|source|count|group|config|collector|output)[/.]' plugins |
        grep -v '^plugins/fs/.*#include "base/'
)
[ -z "$against" ] || printf 'included against the order of the folders (%s):\n%s\n' "$order" "$against" >&2
[ -z "$missing$against" ]
