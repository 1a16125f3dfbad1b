/* SPDX-License-Identifier: MIT */
/* Numbers as text and back, whatever the program's locale is. */
#ifndef DECIMAL_H
#define DECIMAL_H

#include "base/buf.h"

void decimal_add_i64(struct buf *to, int64_t value);
void decimal_add_u128(struct buf *to, unsigned __int128 value);
/* As many digits as it takes to get the same number back; NaN, +Inf, -Inf. */
void decimal_add_double(struct buf *to, double value);

/* The whole text must be one number; blanks and newlines may follow. -EINVAL; -ERANGE: it
 * does not fit. */
int decimal_parse_u64(const char *text, size_t len, uint64_t *ret);
int decimal_parse_i64(const char *text, size_t len, int64_t *ret);
/* A finite one, in decimal. */
int decimal_parse_double(const char *text, size_t len, double *ret);

#endif
