/* SPDX-License-Identifier: MIT */
#include "base/near.h"

#include <string.h>

#define LONGEST 64

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The edits from one to the other, row by row of the table of Wagner and Fischer. */
bool is_near(const char *word, size_t len, const char *meant) {
    size_t row[LONGEST + 1];
    const size_t meant_len = strlen(meant);
    if (len > LONGEST || meant_len > LONGEST || len == 0)
        return false;
    for (size_t i = 0; i <= meant_len; i++)
        row[i] = i;
    for (size_t w = 0; w < len; w++) {
        size_t diagonal = row[0];
        row[0] = w + 1;
        for (size_t i = 0; i < meant_len; i++) {
            const size_t changed = diagonal + (word[w] != meant[i]);
            diagonal = row[i + 1];
            row[i + 1] = least(changed, least(row[i], row[i + 1]) + 1);
        }
    }
    const size_t most = meant_len / 4 ? meant_len / 4 : 1;
    return row[meant_len] <= most;
}
