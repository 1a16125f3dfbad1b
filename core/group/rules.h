/* SPDX-License-Identifier: MIT */
/* process_names: which group a rule gives a process. */
#ifndef RULES_H
#define RULES_H

#include "source/identity.h"
#include "group/pattern.h"
#include "settings.h"
#include "group/template.h"

/* Begins a text of comm, exe, user or gid that is a glob. */
#define RULE_GLOB "glob:"

/* A selection, ready to use. */
struct condition {
    const struct selection *text; /* in the settings */
    struct pattern **cmdline;
    size_t cmdline_count;
    struct condition *unless; /* NULL: none */
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

/* Does the rule take the process? The patterns keep their captures. */
bool rule_matches(const struct rule *rule, const struct identity *id, struct match_time *time,
                  struct mismatch *ret_why);

#endif
