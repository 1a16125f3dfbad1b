/* SPDX-License-Identifier: MIT */
/* process_names: which group a rule gives a process. */
#ifndef RULES_H
#define RULES_H

#include "source/identity.h"
#include "group/pattern.h"
#include "group/pid_files.h"
#include "settings.h"
#include "group/template.h"

/* Begins a text of comm, exe, user or gid that is a glob. */
#define RULE_GLOB "glob:"

/* A selection, ready to use. */
struct condition {
    const struct selection *text; /* in the settings */
    struct pattern **cmdline;
    size_t cmdline_count;
    const struct pid_file **pid_files; /* as many as there are texts */
    struct condition *unless; /* NULL: none */
    struct condition *parent; /* NULL: none; it is one of rules.parents */
    uint32_t parent_bit;      /* of that, in a process's parents; 0: none */
};

struct rule {
    const struct rule_text *text; /* in the settings */
    struct template *name;        /* NULL: what it takes is left out */
    struct condition when;
};

struct rules {
    struct rule *items;
    size_t count;
    unsigned needs; /* parts of the identity that some rule looks at */
    /* What rules ask of ancestors. Each process hands on to its children which of these it
     * has all of, or has such an ancestor: in a mask, by their places in this list. */
    const struct condition *parents[RULE_PARENTS_MOST];
    uint32_t parent_count;
    struct pid_files pid_files;
};

/* The settings stay the caller's, and have to live as long. */
int rules_new(const struct settings *settings, struct rules *ret);
void rules_free(struct rules *r);

/* Why a rule does not take a process. */
struct mismatch {
    enum selector selector;
    bool is_unless; /* it does match, and must not */
    bool gave_up;   /* a pattern took too long: so it neither matches, nor can it be told that it
                     * does not */
};

/* Does the rule take the process? `above` is the mask that it has from its ancestors. The
 * patterns keep their captures. */
bool rule_matches(const struct rule *rule, const struct identity *id, uint32_t above,
                  struct match_time *time, struct mismatch *ret_why);

/* The mask that its children have. *ret_gave_up: how many expressions took too long. */
uint32_t rules_parents(const struct rules *rules, const struct identity *id, uint32_t above,
                       struct match_time *time, unsigned *ret_gave_up);
/* A number for what the i-th of these asks, the same in each run. */
uint64_t rules_parent_key(const struct rules *rules, uint32_t i);

#endif
