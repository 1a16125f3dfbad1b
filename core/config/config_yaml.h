/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "config/config.h"

/* YAML text with options; `what` names it in messages. With only_rules the text is the
 * value of process_names. -EINVAL, -ENOTSUP in a build without libyaml, -ENOMEM. */
int config_load_text(tally_config *c, enum layer layer, const char *what, const char *text,
                     size_t len, bool only_rules, struct tally_error *error);

#endif
