/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t ceiling) {
    *b = (struct buf){.ceiling = ceiling};
}

void buf_free(struct buf *b) {
    free(b->data);
    *b = (struct buf){.ceiling = b->ceiling};
}

void buf_reset(struct buf *b) {
    b->len = 0;
    b->error = 0;
}

int buf_grow(struct buf *b, size_t more) {
    if (b->error)
        return b->error;
    if (more > b->ceiling || b->len > b->ceiling - more)
        return b->error = -E2BIG;
    size_t size = b->size ? b->size : 256;
    while (size < b->len + more)
        size *= 2;
    if (size > b->ceiling)
        size = b->ceiling;
    char *data = realloc(b->data, size);
    if (!data)
        return b->error = -ENOMEM;
    b->data = data;
    b->size = size;
    return 0;
}

void buf_add_u64(struct buf *b, uint64_t value) {
    if (buf_reserve(b, 20) == 0)
        b->len += format_u64(b->data + b->len, value);
}

const char *buf_text(struct buf *b) {
    if (buf_reserve(b, 1) < 0)
        return "";
    b->data[b->len] = '\0';
    return b->data;
}

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || buf_reserve(b, (size_t)len + 1) < 0)
        return;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}
