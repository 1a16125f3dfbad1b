/* SPDX-License-Identifier: MIT */
/* Which group a process belongs to: filters, the embedder's grouper, rules,
 * ancestors, group-by, in this order. */
#ifndef GROUPING_H
#define GROUPING_H

#include "base/buf.h"
#include "source/identity.h"
#include "group/rules.h"
#include "settings.h"
#include "count/tallies.h"

struct grouping {
    struct pattern **include, **exclude;
    size_t include_count, exclude_count;
    struct rules rules;
    bool children;
    enum group_key group_by[GROUP_KEYS];
    size_t group_by_count;
    bool by_pid;             /* group-by has pid */
    bool representative;     /* labels name and user of the first member (schema process) */
    tally_grouper *grouper;  /* NULL: none */
    void *grouper_data;
    unsigned needs;          /* parts of the identity to read */
    uint64_t pattern_limits; /* matches given up so far */
    struct buf name, value;  /* scratch */
};

/* The settings stay the caller's, and have to live as long. -EINVAL, -ENOTSUP, -ENOMEM. */
int grouping_new(const struct settings *settings, struct grouping *ret,
                 struct tally_error *error);
void grouping_free(struct grouping *g);
void grouping_set_grouper(struct grouping *g, tally_grouper *grouper, void *data);

/* Creates the groups that are named literally, so that they are shown even
 * before they have a process. */
int grouping_add_literals(const struct grouping *g, struct tallies *tallies);

/* The group of a process. `inherited` is the rule group of its nearest ancestor
 * that has one (0: none). *ret_lineage is what its own children inherit. With
 * `why`, tells there how it was decided. -ENOMEM; -EAGAIN: there was not enough time,
 * and the process can wait (else what was given up does not match). */
int grouping_classify(struct grouping *g, const struct identity *id, uint32_t inherited,
                      struct match_time *time, struct tallies *tallies, uint32_t *ret_group,
                      uint32_t *ret_lineage, struct buf *why);

#endif
