/* SPDX-License-Identifier: MIT */
/* process_names: which group a rule gives a process. */
#ifndef RULES_H
#define RULES_H

#include "config.h"
#include "identity.h"
#include "pattern.h"
#include "template.h"

struct rule {
    struct template *name;
    struct string_list selectors[SELECTORS];
    struct pattern **cmdline;
    size_t cmdline_count;
    unsigned line; /* in the configuration file; 0: unknown */
};

struct rules {
    struct rule *items;
    size_t count;
    unsigned needs; /* parts of the identity that some rule looks at */
};

int rules_new(const tally_config *config, struct rules *ret);
void rules_free(struct rules *r);

/* Does the rule take the process? The selector that does not match, if not, and
 * whether a pattern gave up. The patterns keep their captures. */
bool rule_matches(const struct rule *rule, const struct identity *id, struct match_time *time,
                  enum selector *ret_failed, bool *ret_gave_up);

#endif
