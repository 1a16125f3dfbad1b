/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions (PCRE2, on bytes), and the filters' substrings.
 *
 * Any user can choose a command line that takes a careless expression minutes to match.
 * So matching has a time budget, which the caller shares out (struct match_time), and a
 * match that exceeds it is given up: it then does not match.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include "proctally.h"

struct pattern;

/* A budget of CPU time for slow matches. What an ordinary expression needs for the length
 * of its text is free. */
struct match_time {
    uint64_t left_ns;
    bool may_defer; /* the answer can wait: once the budget is used up nothing is free either */
    bool ran_out;   /* a match was given up that a larger budget might have decided */
};

/* A regular expression. -EINVAL with the place of the mistake, -ENOTSUP. */
int pattern_new(const char *regex, struct pattern **ret, struct tally_error *error);
/* A filter: a substring, or a regular expression written /REGEX/. */
int pattern_new_filter(const char *text, struct pattern **ret, struct tally_error *error);
void pattern_free(struct pattern *p);

/* 1 if it matches, 0 if not, -E2BIG if it was given up (no match). The captures of
 * the last match stay in the pattern. */
int pattern_match(struct pattern *p, const char *text, size_t len, struct match_time *time);

/* The named captures of the last match: 0 once, false past the last. */
bool pattern_capture(const struct pattern *p, size_t i, const char **ret_name, const char **ret_at,
                     size_t *ret_len);

/* Is there a group of this name? */
bool pattern_has_capture(const struct pattern *p, const char *name, size_t len);

/* What the last group without a name matched the last time; without any the whole match. */
void pattern_unnamed(const struct pattern *p, const char **ret_at, size_t *ret_len);

/* As the user wrote it. */
const char *pattern_text(const struct pattern *p);

#endif
