/* SPDX-License-Identifier: MIT */
#include "number_text.h"

#include <inttypes.h>
#include <stdio.h>

size_t number_text(struct tally_number number, char ret[static NUMBER_TEXT_SIZE]) {
    int len = snprintf(ret, NUMBER_TEXT_SIZE, "%s%" PRIu64, number.negative ? "-" : "",
                       number.whole);
    if (number.billionths == 0)
        return (size_t)len;
    len += snprintf(ret + len, NUMBER_TEXT_SIZE - (size_t)len, ".%09" PRIu32, number.billionths);
    while (ret[len - 1] == '0')
        len--;
    ret[len] = '\0';
    return (size_t)len;
}
