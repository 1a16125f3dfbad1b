/* SPDX-License-Identifier: MIT */
/* Text for a terminal. Processes and files are called as whoever made them likes, so of what
 * a name holds only printable characters get there. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* How many columns it takes up. */
size_t text_width(const char *text, size_t len);
/* Writes as much as `width` columns hold, with '?' for each byte or character that can't be
 * shown. Returns how many columns that took. */
size_t text_write(FILE *to, const char *text, size_t len, size_t width);

/* False: whoever started us wants none, by NO_COLOR (no-color.org). */
bool text_may_be_coloured(void);

/* ---- Amounts, as they stand in tables ------------------------------------------------- */

#define AMOUNT_SIZE 24
/* At most five columns: "0", "999", "1.0K", "1023M", "12.3G" */
const char *amount_bytes(uint64_t bytes, char ret[AMOUNT_SIZE]);
/* "0.003s", "9.99s", "1:02.3", "1:02:03", "3d04h" */
const char *amount_time(uint64_t ns, char ret[AMOUNT_SIZE]);

/* A duration as the option interval takes it: a plain number is of units of so many
 * milliseconds. False: there is no room for it, or it is no number after all. */
bool text_duration(const char *value, unsigned unit_ms, char *ret, size_t size);

#endif
