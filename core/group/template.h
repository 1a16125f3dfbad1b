/* SPDX-License-Identifier: MIT */
/* Group name templates: text with {{.Comm}}, {{.Matches.NAME}} and the like,
 * the part of Go's text/template that process-exporter's users need. */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "base/buf.h"
#include "source/identity.h"
#include "group/pattern.h"
#include "proctally.h"

struct template;

/* -EINVAL with a sentence about what is wrong. */
int template_new(const char *text, struct template **ret, struct tally_error *error);
void template_free(struct template *t);

/* Without variables: the name of one group that is known beforehand. */
bool template_is_literal(const struct template *t);
/* Which parts of the identity it uses (enum identity_part). */
unsigned template_needs(const struct template *t);

/* The i-th NAME that it has as {{.Matches.NAME}}, or false. */
bool template_match_name(const struct template *t, size_t i, struct text *ret);

/* Appends the text for a process. The patterns just matched its command line;
 * their captures are {{.Matches.…}} (of two alike, the later one). */
void template_expand(const struct template *t, const struct identity *id,
                     struct pattern *const *patterns, size_t pattern_count, struct buf *to);

#endif
