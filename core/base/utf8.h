/* SPDX-License-Identifier: MIT */
#ifndef UTF8_H
#define UTF8_H

#include "base/buf.h"

/* Appends text that is fit to be a name: invalid UTF-8 becomes U+FFFD, and
 * control characters, line and direction marks (with which a process could
 * break a line or disguise itself in somebody's terminal) become '?'. At most
 * `max` bytes, cut between characters. Trailing backslashes, which line
 * protocol can't carry, become '?' too. */
void utf8_clean(const char *text, size_t len, size_t max, struct buf *to);

/* Bytes of the character at `text`, 0 if it is none. RFC 3629. */
size_t utf8_char(const char *text, size_t len, uint32_t *ret_code);

#endif
