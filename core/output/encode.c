/* SPDX-License-Identifier: MIT */
#include "output/encode.h"

void encode_number(struct buf *to, struct tally_number n) {
    if (buf_reserve(to, 32) < 0)
        return;
    char *at = to->data + to->len;
    if (n.negative && (n.whole || n.billionths))
        *at++ = '-';
    at += format_u64(at, n.whole);
    if (n.billionths) {
        uint32_t digits = n.billionths;
        int count = 9;
        while (digits % 10 == 0) {
            digits /= 10;
            count--;
        }
        *at = '.';
        for (int i = count; i > 0; i--) {
            at[i] = (char)('0' + digits % 10);
            digits /= 10;
        }
        at += count + 1;
    }
    to->len = (size_t)(at - to->data);
}
