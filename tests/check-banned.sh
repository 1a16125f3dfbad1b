#!/bin/sh
# Calls of functions that this project does not use: most can't be used safely,
# some depend on the locale. Prints file:line of each; comments and strings may
# name them. The command for people asks the locale for the width of characters.
LC_ALL=C
export LC_ALL
cd "${SRC:-$(dirname "$0")/..}" || exit 99

found=$(
    find core plugins -name '*.[ch]' -print | sort | while IFS= read -r file; do
        awk -v file="$file" '
        {
            line = $0
            code = ""
            while (line != "") {
                if (comment) {
                    end = index(line, "*/")
                    if (!end)
                        break
                    line = substr(line, end + 2)
                    comment = 0
                    code = code " "
                } else if (match(line, /\/\*|\/\/|"|\047/)) {
                    code = code substr(line, 1, RSTART - 1)
                    mark = substr(line, RSTART, RLENGTH)
                    line = substr(line, RSTART + RLENGTH)
                    if (mark == "//")
                        break
                    if (mark == "/*") {
                        comment = 1
                    } else {
                        while (line != "" && substr(line, 1, 1) != mark)
                            line = substr(line, substr(line, 1, 1) == "\\" ? 3 : 2)
                        line = substr(line, 2)
                        code = code mark mark
                    }
                } else {
                    code = code line
                    break
                }
            }
            if (match(code, /(^|[^A-Za-z0-9_])(atoi|sscanf|strtok|strcpy|strcat|v?sprintf|alloca|localtime|setlocale)[ \t]*\(/))
                if (file != "plugins/command/main.c" || code !~ /setlocale\(LC_CTYPE, ""\)/)
                    print file ":" FNR ": " $0
        }' "$file"
    done
)
[ -z "$found" ] && exit 0
printf 'banned functions are called:\n%s\n' "$found" >&2
exit 1
