/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

void error_set(struct tally_error *error, const char *format, ...) {
    if (!error)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    /* it is promised to be one line, whatever the user's text holds */
    for (char *c = error->text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

void error_about(struct tally_error *error, const char *what) {
    struct tally_error inner = {{0}};
    if (error)
        inner = *error;
    error_set(error, "%s: %.480s", what, inner.text);
}
