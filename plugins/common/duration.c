/* SPDX-License-Identifier: MIT */
#include "duration.h"

#include <stddef.h>
#include <string.h>

bool parse_duration(const char *text, uint64_t *ret_ns) {
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"ns", 1},           {"us", 1000},         {"\u00b5s", 1000},         {"\u03bcs", 1000},
        {"ms", 1000000},     {"s", 1000000000},    {"m", 60 * 1000000000ULL}, {"h", 3600 * 1000000000ULL},
    };
    const size_t unit_count = sizeof(units) / sizeof(units[0]);
    uint64_t sum_ns = 0;
    text += *text == '+';
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return true;
    }
    if (!*text)
        return false;
    while (*text) {
        uint64_t whole = 0, part_ns;
        const size_t digits = strspn(text, "0123456789");
        const char *fraction = text + digits + (text[digits] == '.');
        const size_t places = text[digits] == '.' ? strspn(fraction, "0123456789") : 0;
        if (digits + places == 0)
            return false;
        for (size_t i = 0; i < digits; i++)
            if (__builtin_mul_overflow(whole, 10, &whole) ||
                __builtin_add_overflow(whole, (uint64_t)(text[i] - '0'), &whole))
                return false;
        text = fraction + places;
        const size_t len = strcspn(text, "+-.0123456789");
        size_t u = 0;
        while (u < unit_count &&
               (strlen(units[u].name) != len || memcmp(units[u].name, text, len) != 0))
            u++;
        if (u == unit_count || __builtin_mul_overflow(whole, units[u].ns, &part_ns) ||
            part_ns > INT64_MAX)
            return false;
        uint64_t place_ns = units[u].ns;
        for (size_t i = 0; i < places && place_ns; i++) {
            part_ns += (uint64_t)(fraction[i] - '0') * place_ns / 10;
            place_ns /= 10;
        }
        if (__builtin_add_overflow(sum_ns, part_ns, &sum_ns) || sum_ns > INT64_MAX)
            return false;
        text += len;
    }
    *ret_ns = sum_ns;
    return true;
}
