/* SPDX-License-Identifier: MIT */
/* process_names: which group a rule gives a process. */
#ifndef RULES_H
#define RULES_H

#include "source/identity.h"
#include "group/pattern.h"
#include "settings.h"
#include "group/template.h"

struct rule {
    const struct rule_text *text; /* in the settings */
    struct template *name;
    struct pattern **cmdline;
    size_t cmdline_count;
};

struct rules {
    struct rule *items;
    size_t count;
    unsigned needs; /* parts of the identity that some rule looks at */
};

/* The settings stay the caller's, and have to live as long. */
int rules_new(const struct settings *settings, struct rules *ret);
void rules_free(struct rules *r);

/* Does the rule take the process? The selector that does not match, if not, and
 * whether a pattern gave up. The patterns keep their captures. */
bool rule_matches(const struct rule *rule, const struct identity *id, struct match_time *time,
                  enum selector *ret_failed, bool *ret_gave_up);

#endif
