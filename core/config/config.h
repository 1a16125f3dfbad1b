/* SPDX-License-Identifier: MIT */
/* What the user asked for: texts as given, checked one by one. */
#ifndef CONFIG_H
#define CONFIG_H

#include "config/options.h"
#include "proctally.h"
#include "base/string_list.h"

/* Who said it; a higher layer wins whatever the order. */
enum layer { LAYER_DEFAULT, LAYER_FILE, LAYER_CALLER };

struct config_value {
    struct string_list items;
    enum layer layer;
};

struct tally_config {
    struct config_value values[OPTIONS];
    struct rule_text *rules;
    size_t rule_count;
    enum layer rule_layer;
    char *rules_from; /* what the lines of rules count in; NULL: nothing */
    struct string_list remarks;  /* that were made while it was read */
    struct string_list warnings; /* those, and what only the whole tells */
};

/* The same as the public functions, saying who speaks. Errors have no place
 * ("file:line") in them: the caller puts it in front. */
int config_set(tally_config *c, enum layer layer, enum option option, const char *value,
               struct tally_error *error);
/* Takes what the rule holds, also on failure. A name of NULL is the default. */
int config_take_rule(tally_config *c, enum layer layer, struct rule_text *rule,
                     struct tally_error *error);

/* Rules of lower layers are gone, also if none is added. */
void config_clear_rules(tally_config *c, enum layer layer);

/* What a rule can look for, as it is written. */
#define CONFIG_SELECTORS "comm, exe, cmdline, user, cgroup, unit, gid, pid_file, kernel, parent or not"
/* How deep selections may stand in each other. */
#define CONFIG_SELECTION_DEPTH 3

/* The parts of a rule that can be wrong in themselves. */
int config_check_cmdline(const char *regex, struct tally_error *error);
int config_check_name(const char *template, struct tally_error *error);

/* Something that is taken, but hardly meant. -ENOMEM. */
int config_remark(tally_config *c, const struct tally_error *text);

/* What was asked for, ready to use; it is the caller's, who frees it. -ENOMEM, and is
 * empty then. */
int config_settings(const tally_config *c, struct settings *ret);

#endif
