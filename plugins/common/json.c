/* SPDX-License-Identifier: MIT */
#include "json.h"

#include "utf8_text.h"

#include <inttypes.h>
#include <string.h>

void json_string(FILE *to, const char *text, size_t len) {
    size_t written = 0;
    putc('"', to);
    for (size_t at = 0; at < len;) {
        uint32_t character;
        const size_t size = utf8_text_next(text + at, len - at, &character);
        const bool is_plain = character != UTF8_INVALID && character != '"' && character != '\\' &&
                              character >= ' ' && character != 0x7f;
        if (!is_plain) {
            fwrite(text + written, 1, at - written, to);
            written = at + size;
        }
        if (character == UTF8_INVALID)
            fputs("\\ufffd", to);
        else if (character == '"' || character == '\\')
            fprintf(to, "\\%c", (int)character);
        else if (!is_plain)
            fprintf(to, "\\u%04" PRIx32, character);
        at += size;
    }
    fwrite(text + written, 1, len - written, to);
    putc('"', to);
}

void json_text(FILE *to, const char *text) {
    json_string(to, text, strlen(text));
}

void json_number(FILE *to, struct tally_number number) {
    char text[TALLY_NUMBER_SIZE];
    const size_t len = tally_number_text(number, text);
    fwrite(text, 1, len, to);
}

void json_key(FILE *to, bool *is_first, const char *key) {
    if (!*is_first)
        putc(',', to);
    *is_first = false;
    json_text(to, key);
    putc(':', to);
}
