/* SPDX-License-Identifier: MIT */
/* Setting options from a program. Rules may be given as YAML text, so this stands above
 * both the options and the reader of YAML. */
#include "config/config_yaml.h"
#include "base/error.h"
#include "base/sized.h"

#include <errno.h>
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

int tally_config_add_rule(tally_config *c, const struct tally_rule *rule,
                          struct tally_error *error) {
    struct tally_rule known;
    int r = struct_copy(&known, sizeof(known), rule, rule->size);
    if (r == -EINVAL)
        error_set(error, "a rule has a size of %zu, expected %zu: sizeof(struct tally_rule)",
                  rule->size, sizeof(known));
    if (r == -E2BIG)
        error_set(error, "a rule has a selector that is not known to this library, proctally %s",
                  tally_version());
    if (r < 0)
        return r;
    return config_add_rule(c, LAYER_CALLER, 0, &known, error);
}
