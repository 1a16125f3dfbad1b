/* SPDX-License-Identifier: MIT */
/* Is one word likely to be meant for another? */
#ifndef NEAR_H
#define NEAR_H

#include <stdbool.h>
#include <stddef.h>

/* One letter in four is wrong, missing or too much, but at least one. */
bool is_near(const char *word, size_t len, const char *meant);

#endif
