/* SPDX-License-Identifier: MIT */
/* Setting options from a program. Rules may be given as YAML text, so this stands above
 * both the options and the reader of YAML. */
#define _GNU_SOURCE
#include "config/config_yaml.h"
#include "base/error.h"
#include "base/sized.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int tally_config_set(tally_config *c, const char *name, const char *value,
                     struct tally_error *error) {
    int option = option_find(name, strlen(name));
    if (option < 0) {
        error_set(error, "there is no option \"%.200s\", expected one that --help lists", name);
        return -ENOENT;
    }
    if (option == OPTION_PROCESS_NAMES)
        return config_load_text(c, LAYER_CALLER, tally_option((size_t)option)->name, value,
                                strlen(value), true, error);
    return config_set(c, LAYER_CALLER, (enum option)option, value, error);
}

/* What this library knows of it. -EINVAL, -E2BIG. */
static int take_known(const struct tally_rule *rule, struct tally_rule *ret,
                      struct tally_error *error) {
    int r = struct_copy(ret, sizeof(*ret), rule, rule->size);
    if (r == -EINVAL)
        error_set(error, "a rule has a size of %zu, expected %zu: sizeof(struct tally_rule)",
                  rule->size, sizeof(*ret));
    if (r == -E2BIG)
        error_set(error, "a rule has a selector that is not known to this library, proctally %s",
                  tally_version());
    return r;
}

static int take_selectors(const struct tally_rule *rule, unsigned depth, struct selection *to,
                          struct tally_error *error);

/* The selectors of a rule within another. */
static int take_inner(const struct tally_rule *rule, unsigned depth, struct selection **to,
                      struct tally_error *error) {
    struct tally_rule known;
    if (!rule)
        return 0;
    int r = take_known(rule, &known, error);
    if (r < 0)
        return r;
    if (depth == 0 || known.name || known.drop) {
        error_set(error, "a rule within a rule has more than selectors, expected only these, at "
                         "most %d deep",
                  CONFIG_SELECTION_DEPTH);
        return -EINVAL;
    }
    *to = calloc(1, sizeof(**to));
    return *to ? take_selectors(&known, depth - 1, *to, error) : -ENOMEM;
}

/* What was taken so far is in *to also on failure. */
static int take_selectors(const struct tally_rule *rule, unsigned depth, struct selection *to,
                          struct tally_error *error) {
    const struct tally_strings *from[SELECTORS] = {
        [SELECTOR_COMM] = &rule->comm,       [SELECTOR_EXE] = &rule->exe,
        [SELECTOR_CMDLINE] = &rule->cmdline, [SELECTOR_USER] = &rule->user,
        [SELECTOR_CGROUP] = &rule->cgroup,   [SELECTOR_UNIT] = &rule->unit,
        [SELECTOR_GID] = &rule->gid,         [SELECTOR_PID_FILE] = &rule->pid_file,
        [SELECTOR_KERNEL] = &rule->kernel};
    int r = 0;
    for (size_t s = 0; r == 0 && s < SELECTORS; s++)
        for (size_t i = 0; r == 0 && i < from[s]->count; i++)
            r = string_list_add(&to->selectors[s], from[s]->items[i], strlen(from[s]->items[i]));
    if (r == 0)
        r = take_inner(rule->unless, depth, &to->unless, error);
    return r < 0 ? r : take_inner(rule->parent, depth, &to->parent, error);
}

int tally_config_add_rule(tally_config *c, const struct tally_rule *rule,
                          struct tally_error *error) {
    struct tally_rule known;
    int r = take_known(rule, &known, error);
    if (r < 0)
        return r;
    struct rule_text text = {.drop = known.drop};
    r = take_selectors(&known, CONFIG_SELECTION_DEPTH, &text.when, error);
    if (r == 0 && known.name && known.name[0]) {
        text.name = strdup(known.name);
        r = text.name ? 0 : -ENOMEM;
    }
    if (r == 0)
        return config_take_rule(c, LAYER_CALLER, &text, error);
    if (r == -ENOMEM)
        error_set(error, "out of memory");
    rule_text_free(&text);
    return r;
}
