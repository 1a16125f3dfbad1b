/* SPDX-License-Identifier: MIT */
#include "utf8_text.h"

size_t utf8_text_next(const char *text, size_t len, uint32_t *ret) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char first = (unsigned char)text[0];
    size_t size = first < 0x80             ? 1
                  : (first & 0xe0) == 0xc0 ? 2
                  : (first & 0xf0) == 0xe0 ? 3
                  : (first & 0xf8) == 0xf0 ? 4
                                           : 0;
    uint32_t character = size == 1 ? first : first & (0x7fu >> size);
    *ret = UTF8_INVALID;
    if (size == 0 || size > len)
        return 1;
    for (size_t i = 1; i < size; i++) {
        const unsigned char next = (unsigned char)text[i];
        if ((next & 0xc0) != 0x80)
            return 1;
        character = character << 6 | (next & 0x3f);
    }
    /* longer than it has to be, half of a UTF-16 pair, past the end of Unicode */
    if (character < smallest[size] || (character >= 0xd800 && character < 0xe000) ||
        character > 0x10ffff)
        return 1;
    *ret = character;
    return size;
}
