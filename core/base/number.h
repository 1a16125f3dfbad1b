/* SPDX-License-Identifier: MIT */
/* Numbers as text, without the locale, and the few constants that all stages use. */
#ifndef NUMBER_H
#define NUMBER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S UINT64_C(1000000000)
#define BIT(n) (UINT64_C(1) << (n))

/* Decimal digits at `to` (up to 20), returns how many. */
size_t format_u64(char *to, uint64_t value);

/* Of 20 digits or more; any 19 fit into 64 bits. False: these do not. */
bool parse_long_u64(const char *digits, const char *end, uint64_t *ret);

/* Digits from *cursor on; advances it. -EBADMSG without a digit, -ERANGE past
 * 64 bits (the cursor then stands behind the digits). */
static inline int parse_u64(const char **cursor, const char *end, uint64_t *ret) {
    const char *first = *cursor, *p = first;
    uint64_t n = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        n = n * 10 + (uint64_t)(*p - '0'); /* may wrap; then there are over 19 digits */
    if (p == first)
        return -EBADMSG;
    *cursor = p;
    if (p - first > 19 && !parse_long_u64(first, p, &n))
        return -ERANGE;
    *ret = n;
    return 0;
}

#endif
