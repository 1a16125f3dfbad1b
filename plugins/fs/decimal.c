/* SPDX-License-Identifier: MIT */
#include "decimal.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* For this thread, printf(3) and strtod(3) have a point, whatever another sets for the process
 * meanwhile. */
static locale_t enter_c(locale_t *ret_c) {
    *ret_c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return uselocale(*ret_c);
}

static void leave_c(locale_t c, locale_t before) {
    uselocale(before);
    if (c)
        freelocale(c);
}

void decimal_add_i64(struct buf *to, int64_t value) {
    if (value < 0)
        buf_add_char(to, '-');
    buf_add_u64(to, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void decimal_add_u128(struct buf *to, unsigned __int128 value) {
    const uint64_t part = UINT64_C(10000000000000000000);
    if (value <= UINT64_MAX) {
        buf_add_u64(to, (uint64_t)value);
        return;
    }
    decimal_add_u128(to, value / part);
    char digits[20];
    const size_t len = format_u64(digits, (uint64_t)(value % part));
    for (size_t i = len; i < 19; i++)
        buf_add_char(to, '0');
    buf_add(to, digits, len);
}

void decimal_add_double(struct buf *to, double value) {
    if (isnan(value)) {
        buf_add_str(to, "NaN");
        return;
    }
    if (isinf(value)) {
        buf_add_str(to, value > 0 ? "+Inf" : "-Inf");
        return;
    }
    char text[64];
    locale_t c, before = enter_c(&c);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    leave_c(c, before);
    buf_add_str(to, text);
}

static size_t without_end(const char *text, size_t len) {
    while (len && (text[len - 1] == '\n' || text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    return len;
}

int decimal_parse_u64(const char *text, size_t len, uint64_t *ret) {
    const char *cursor = text, *end = text + without_end(text, len);
    uint64_t value;
    int r = parse_u64(&cursor, end, &value);
    if (r == -ERANGE)
        return r;
    if (r < 0 || cursor != end)
        return -EINVAL;
    *ret = value;
    return 0;
}

int decimal_parse_i64(const char *text, size_t len, int64_t *ret) {
    const bool negative = len && text[0] == '-';
    uint64_t value;
    int r = decimal_parse_u64(text + negative, len - negative, &value);
    if (r < 0)
        return r;
    if (value > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *ret = (int64_t)(negative ? -value : value);
    return 0;
}

int decimal_parse_double(const char *text, size_t len, double *ret) {
    char copy[301];
    len = without_end(text, len);
    if (len == 0 || len > 300)
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (strspn(copy, "0123456789+-.eE") != len || copy[0] == '+')
        return -EINVAL;
    char *end;
    locale_t c, before = enter_c(&c);
    const double value = strtod(copy, &end);
    leave_c(c, before);
    if (*end)
        return -EINVAL;
    if (!isfinite(value))
        return -ERANGE;
    *ret = value;
    return 0;
}
