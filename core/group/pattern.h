/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions (PCRE2, on bytes), with limits on their work so that no
 * pattern can stall the agent, and the filters' substrings.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include "proctally.h"

struct pattern;

/* The CPU time that matches may take which take long; they use it up together. What a
 * match of an honest pattern takes, for the length of its text, is not counted. */
struct match_time {
    uint64_t left_ns;
    bool can_wait; /* with nothing left, there is nothing free either */
    bool ran_out;  /* a match was given up that more of it could have decided */
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

/* As the user wrote it. */
const char *pattern_text(const struct pattern *p);

#endif
