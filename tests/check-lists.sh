#!/bin/sh
# Every file that is to be built, run or distributed is listed in Makefile.am: a
# test that is not built, or a file missing in the tarball, shows here.
LC_ALL=C
export LC_ALL
cd "${SRC:-$(dirname "$0")/..}" || exit 99

missing=$(
    {
        find core plugins tests -name '*.[ch]'
        find plugins -name '*.1'
        find examples tests/integration tests/fixtures -type f \
            ! -name '*.[cho]' ! -name '*.l[oa]' ! -name '*.gc*' ! -name '*.py[co]' ! -path '*/.*' ! -name '*~' ! -name embed \
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
[ -z "$missing" ] && exit 0
printf 'not listed in Makefile.am:\n%s\n' "$missing" >&2
exit 1
