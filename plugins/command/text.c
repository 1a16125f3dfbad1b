/* SPDX-License-Identifier: MIT */
#include "text.h"

#include "utf8_text.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Can the terminal show more than ASCII? */
static bool shows_utf8(void) {
    static int known;
    if (!known)
        known = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? 1 : -1;
    return known > 0;
}

/* The columns of a character; -1: it can't be shown. */
static int width_of(uint32_t character) {
    if (character < 0x80)
        return character >= ' ' && character < 0x7f ? 1 : -1;
    return character == UTF8_INVALID || !shows_utf8() ? -1 : wcwidth((wchar_t)character);
}

size_t text_width(const char *text, size_t len) {
    size_t width = 0;
    for (size_t at = 0; at < len;) {
        uint32_t character;
        at += utf8_text_next(text + at, len - at, &character);
        const int columns = width_of(character);
        width += columns < 0 ? 1 : (size_t)columns;
    }
    return width;
}

size_t text_write(FILE *to, const char *text, size_t len, size_t width) {
    size_t written = 0;
    for (size_t at = 0; at < len;) {
        uint32_t character;
        const size_t size = utf8_text_next(text + at, len - at, &character);
        const int columns = width_of(character);
        const size_t more = columns < 0 ? 1 : (size_t)columns;
        if (more > width - written)
            break;
        if (columns < 0)
            putc('?', to);
        else
            fwrite(text + at, 1, size, to);
        written += more;
        at += size;
    }
    return written;
}

bool text_may_be_coloured(void) {
    const char *no_color = getenv("NO_COLOR");
    return !no_color || !*no_color;
}

const char *amount_bytes(uint64_t bytes, char ret[AMOUNT_SIZE]) {
    static const char units[] = "KMGTPE";
    if (bytes < 1000) {
        snprintf(ret, AMOUNT_SIZE, "%" PRIu64, bytes);
        return ret;
    }
    double amount = (double)bytes;
    size_t unit = 0;
    /* as rounded below: never "1000.0K" */
    for (amount /= 1024; amount >= 1023.5 && units[unit + 1]; unit++)
        amount /= 1024;
    snprintf(ret, AMOUNT_SIZE, amount < 99.95 ? "%.1f%c" : "%.0f%c", amount, units[unit]);
    return ret;
}

const char *amount_time(uint64_t ns, char ret[AMOUNT_SIZE]) {
    const uint64_t ms = ns / 1000000, s = ms / 1000;
    if (s < 1)
        snprintf(ret, AMOUNT_SIZE, "0.%03" PRIu64 "s", ms);
    else if (s < 10)
        snprintf(ret, AMOUNT_SIZE, "%" PRIu64 ".%02" PRIu64 "s", s, ms % 1000 / 10);
    else if (s < 3600)
        snprintf(ret, AMOUNT_SIZE, "%" PRIu64 ":%02" PRIu64 ".%" PRIu64, s / 60, s % 60,
                 ms % 1000 / 100);
    else if (s < 86400)
        snprintf(ret, AMOUNT_SIZE, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60,
                 s % 60);
    else
        snprintf(ret, AMOUNT_SIZE, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
    return ret;
}

bool text_duration(const char *value, unsigned unit_ms, char *ret, size_t size) {
    const bool is_plain = value[strspn(value, "0123456789.")] == '\0';
    char *end = NULL;
    const int len = is_plain ? snprintf(ret, size, "%.0fms", strtod(value, &end) * unit_ms)
                             : snprintf(ret, size, "%s", value);
    return len >= 0 && (size_t)len < size && !(end && (*end || end == value));
}
