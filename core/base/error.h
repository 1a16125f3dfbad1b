/* SPDX-License-Identifier: MIT */
#ifndef ERROR_H
#define ERROR_H

#include "proctally.h"

/* Fills the sentence for the user, which stays one line whatever the arguments hold.
 * `error` may be NULL. */
__attribute__((format(printf, 2, 3))) void error_set(struct tally_error *error, const char *format,
                                                     ...);
/* Puts what the sentence is about in front of it: "WHAT: …". */
void error_about(struct tally_error *error, const char *what);

#endif
