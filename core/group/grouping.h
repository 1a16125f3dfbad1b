/* SPDX-License-Identifier: MIT */
/*
 * Which group a process belongs to: filters, the embedder's grouper, rules, ancestors,
 * group-by, in this order. Deciding makes no group; decision_group() does.
 */
#ifndef GROUPING_H
#define GROUPING_H

#include "base/buf.h"
#include "count/tallies.h"
#include "group/rules.h"
#include "settings.h"
#include "source/identity.h"
#include "source/source.h"

struct grouping {
    struct pattern **include, **exclude;
    size_t include_count, exclude_count;
    struct rules rules;
    bool children;
    enum group_key group_by[GROUP_KEYS];
    size_t group_by_count;
    enum kernel_threads kernel_threads;
    bool by_pid;             /* group-by has pid */
    bool representative;     /* labels name and user of the first member (schema process) */
    tally_grouper *grouper;  /* NULL: none */
    void *grouper_data;
    struct followed followed;
    unsigned needs;          /* parts of the identity to read */
    uint64_t pattern_limits; /* matches given up so far */
    struct buf name, value;  /* scratch */
};

/* The settings stay the caller's, and have to live as long. -EINVAL, -ENOTSUP, -ENOMEM. */
int grouping_new(const struct settings *settings, tally_grouper *grouper, void *grouper_data,
                 struct grouping *ret, struct tally_error *error);
void grouping_free(struct grouping *g);

/* Creates the groups that are named literally, so that they are shown even
 * before they have a process. */
int grouping_add_literals(const struct grouping *g, struct tallies *tallies);

/* The path of the control group that the keys of group-by mean by this process: the one that
 * is furthest down. Empty: none. */
struct text grouping_cgroup(const struct grouping *g, const struct identity *id);

/* What a process has from its ancestors. */
struct lineage {
    uint32_t group;   /* rule group of the nearest one that has one; 0: none */
    bool is_followed; /* one of them is followed */
    uint32_t parents; /* what rules ask of ancestors, and one of them has: rules.parents */
};
static inline bool grouping_needs_lineage(const struct grouping *g) {
    return g->children || g->followed.count || g->rules.parent_count;
}

/* Is it followed by itself, whoever its ancestors were? */
static inline bool grouping_begins_with(const struct grouping *g, uint32_t pid, uint32_t ppid,
                                        uint64_t start_ticks) {
    return is_followed_root(&g->followed, pid, start_ticks) ||
           (g->followed.adopter && ppid == g->followed.adopter);
}

struct decision {
    enum decided_by {
        BY_NOBODY,   /* it is left out */
        BY_GROUPER,
        BY_RULE,
        BY_ANCESTOR, /* the group is lineage.group */
        BY_KEYS,     /* of group-by */
        BY_KERNEL,   /* it is one of the kernel's own */
        BY_OVERFLOW  /* it has no pid to be called by, with group-by pid */
    } by;
    bool is_followed;
    uint32_t ancestors_group;
    uint32_t parents; /* as its children have it */
    struct text name; /* raw; valid until the next decision */
    struct group_labels labels;
    struct group_owner owner; /* tallies_group() */
    char numbers[4][20]; /* pid, ppid, uid, gid, for the labels */
};

/* With `why`, tells there how it was decided. -ENOMEM; -EAGAIN: there was not enough time,
 * and the process can wait (else what was given up does not match). */
int grouping_decide(struct grouping *g, const struct identity *id, struct lineage ancestors,
                    struct match_time *time, struct decision *ret, struct buf *why);
/* The group that was decided on, made if there is none. -ENOMEM. */
int decision_group(const struct decision *d, struct tallies *tallies, uint32_t *ret_group);
/* What children of a process in this group have from it and its ancestors. */
struct lineage decision_lineage(const struct grouping *g, const struct decision *d,
                                struct lineage ancestors, uint32_t group);

#endif
