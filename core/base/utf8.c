/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdbool.h>

size_t utf8_char(const char *text, size_t len, uint32_t *ret_code) {
    const unsigned char *b = (const unsigned char *)text;
    if (len == 0)
        return 0;
    if (b[0] < 0x80) {
        *ret_code = b[0];
        return 1;
    }
    size_t need = b[0] >= 0xc2 && b[0] <= 0xdf   ? 2
                  : b[0] >= 0xe0 && b[0] <= 0xef ? 3
                  : b[0] >= 0xf0 && b[0] <= 0xf4 ? 4
                                                 : 0;
    if (need == 0 || len < need)
        return 0;
    uint32_t code = b[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (b[i] & 0x3f);
    }
    /* overlong forms, surrogates, beyond Unicode */
    if ((need == 3 && code < 0x800) || (need == 4 && code < 0x10000) || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return need;
}

static bool is_unfit(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || /* C0, DEL, C1 */
           code == 0x061c || code == 0x200e || code == 0x200f || /* direction marks */
           (code >= 0x2028 && code <= 0x202e) || /* line, paragraph, embeddings */
           (code >= 0x2066 && code <= 0x2069) || /* isolates */
           code == 0xfeff;
}

void utf8_clean(const char *text, size_t len, size_t max, struct buf *to) {
    size_t start = to->len;
    for (size_t at = 0; at < len;) {
        uint32_t code;
        size_t n = utf8_char(text + at, len - at, &code);
        const char *out = text + at;
        size_t out_len = n;
        if (n == 0) {
            out = "\xef\xbf\xbd";
            out_len = 3;
            n = 1;
        } else if (is_unfit(code)) {
            out = "?";
            out_len = 1;
        }
        if (to->len - start + out_len > max)
            break;
        buf_add(to, out, out_len);
        at += n;
    }
    for (size_t i = to->len; i > start && to->data[i - 1] == '\\'; i--)
        to->data[i - 1] = '?';
}
