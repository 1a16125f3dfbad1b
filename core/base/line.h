/* SPDX-License-Identifier: MIT */
/* Text line by line, without a copy. */
#ifndef LINE_H
#define LINE_H

#include <stddef.h>
#include <string.h>

/* Returns the line at *cursor and moves the cursor behind it; the last one need
 * not end in a newline. NULL at the end. */
static inline const char *take_line(const char **cursor, const char *end, const char **ret_eol) {
    const char *line = *cursor, *eol;

    if (line >= end)
        return NULL;
    eol = memchr(line, '\n', (size_t)(end - line));
    *ret_eol = eol ? eol : end;
    *cursor = eol ? eol + 1 : end;
    return line;
}

#endif
