/* SPDX-License-Identifier: MIT */
#ifndef PRESENT_H
#define PRESENT_H

#include "base/buf.h"
#include "collector/snapshot.h"

/* Room for what an encoder writes, and for what it prepares before. */
struct tally_text {
    struct buf data;
    struct buf labels; /* of all groups, as the dialect writes them */
    size_t *label_ends;
    size_t label_size;
};

/* A number without the locale: all digits that it has, no more. */
void add_number(struct buf *to, struct tally_number n);

/* What tally_present() does. */
struct tally_number present(const tally_snapshot *s, const struct tally_metric *metric,
                            enum tally_form form, uint64_t value);

/* The text as the public functions return it. */
int text_finish(tally_text *text, const char **ret_data, size_t *ret_len);

#endif
