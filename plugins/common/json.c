/* SPDX-License-Identifier: MIT */
#include "json.h"

#include "utf8_text.h"

#include <inttypes.h>
#include <string.h>

void json_string(FILE *to, const char *text, size_t len) {
    putc('"', to);
    for (size_t at = 0; at < len;) {
        uint32_t character;
        const size_t size = utf8_text_next(text + at, len - at, &character);
        if (character == UTF8_INVALID)
            fputs("\\ufffd", to);
        else if (character == '"' || character == '\\')
            fprintf(to, "\\%c", (int)character);
        else if (character < ' ' || character == 0x7f)
            fprintf(to, "\\u%04" PRIx32, character);
        else
            fwrite(text + at, 1, size, to);
        at += size;
    }
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
