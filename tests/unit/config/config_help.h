/* SPDX-License-Identifier: MIT */
/* Configurations, for their tests. */
#ifndef CONFIG_HELP_H
#define CONFIG_HELP_H

#include "config/config.h"

tally_config *new_config(void);
/* The test fails if it is refused. */
void set(tally_config *c, const char *name, const char *value);

uint64_t interval_of(const tally_config *c);
/* What of the settings is no text, which is freed already. */
struct settings plain_settings_of(const tally_config *c);

/* The values of a list, with '|' between them. */
void assert_items(const tally_config *c, enum option option, const char *joined);
/* A message for a user: there is one, on one line, without a full stop. */
void assert_one_line(const char *text);
void assert_mentions(const char *text, const char *part);

#endif
