/* SPDX-License-Identifier: MIT */
/* Other files of ours in the directory of the output. */
#ifndef BESIDE_H
#define BESIDE_H

#include "proctally.h"

/* Does another *.prom file there have a series of this name and these labels? `series` is as
 * in the text, with what stands in front of the value. Then its path is in `to`. */
bool beside_find(const char *output, const char *series, size_t len, char *to, size_t size);

/* The collector's own series in a text, of which each file has one: up to its value. False if
 * it is not there. */
bool beside_own_series(const char *text, size_t len, const char *prefix, const char **ret_series,
                       size_t *ret_len);

#endif
