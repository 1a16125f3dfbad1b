/* SPDX-License-Identifier: MIT */
/* The option `metrics`: which metrics are sent, by globs over their ids. */
#ifndef CHOICE_H
#define CHOICE_H

#include "base/string_list.h"
#include "proctally.h"
#include "settings.h"

/* One word: a glob that at least one metric matches, after '!' one that takes them away.
 * -EINVAL, with a text in error if it is known what was meant. */
int choice_check(const char *word, size_t len, struct tally_error *error);

/* What all words choose, one after the other; without any word all that there is. */
struct choice {
    metric_set groups;
    uint64_t self;      /* 1 << number, from METRIC_SELF_FIRST on */
    unsigned parts;     /* the same, from METRIC_THREAD_FIRST on */
    unsigned named;     /* bits of enum collect: of metrics that are written out, and chosen */
};
void choice_make(const struct string_list *words, struct choice *ret);

/* What a word without '!' stands for. */
metric_set choice_of_word(const char *word);
unsigned choice_parts_of_word(const char *word);

#endif
