/* SPDX-License-Identifier: MIT */
/* Escaping in InfluxDB's line protocol. */
#ifndef LINE_PROTOCOL_H
#define LINE_PROTOCOL_H

#include "base/buf.h"

/* In tag keys and values comma, '=' and space are escaped, and a backslash can't
 * stand at the end; tab, newline and CR have no escape and are written as two
 * characters. */
static inline void line_protocol_add_tag(struct buf *to, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        switch (text[i]) {
        case ',':
        case '=':
        case ' ':
            buf_add_char(to, '\\');
            buf_add_char(to, text[i]);
            break;
        case '"': /* Telegraf takes a backslash before it off */
            if (i > 0 && text[i - 1] == '\\')
                buf_add_char(to, '\\');
            buf_add_char(to, '"');
            break;
        case '\n':
            buf_add(to, "\\n", 2);
            break;
        case '\r':
            buf_add(to, "\\r", 2);
            break;
        case '\t':
            buf_add(to, "\\t", 2);
            break;
        case '\\':
            buf_add_char(to, i + 1 < len ? '\\' : '?');
            break;
        default:
            buf_add_char(to, text[i]);
        }
    }
}

#endif
