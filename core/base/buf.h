/* SPDX-License-Identifier: MIT */
/*
 * A byte buffer that grows up to a ceiling and is reset, not freed, between
 * uses. A failure sticks: writers need not look at each step, the one who uses
 * the result checks buf_error() once.
 */
#ifndef BUF_H
#define BUF_H

#include "base/number.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data; /* not ended by a NUL byte, unless buf_text() was called */
    size_t len, size, ceiling;
    int error; /* 0, -ENOMEM, -E2BIG */
};

void buf_init(struct buf *b, size_t ceiling);
void buf_free(struct buf *b);
void buf_reset(struct buf *b);

/* buf_reserve() where there is no room. */
int buf_grow(struct buf *b, size_t more);

/* Makes room for `more` bytes behind len. Returns 0 or the sticking error. */
static inline int buf_reserve(struct buf *b, size_t more) {
    return b->error == 0 && b->size - b->len >= more ? 0 : buf_grow(b, more);
}

static inline void buf_add(struct buf *b, const void *data, size_t len) {
    if (len == 0 || buf_reserve(b, len) < 0)
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static inline void buf_add_str(struct buf *b, const char *text) {
    buf_add(b, text, strlen(text));
}

static inline void buf_add_char(struct buf *b, char c) {
    if (buf_reserve(b, 1) == 0)
        b->data[b->len++] = c;
}

void buf_add_u64(struct buf *b, uint64_t value);
/* Ends the content with a NUL byte that len does not count. */
const char *buf_text(struct buf *b);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *format, ...);

#endif
