/* SPDX-License-Identifier: MIT */
/* JSON (RFC 8259) for what the core does not encode itself. */
#ifndef JSON_H
#define JSON_H

#include "proctally.h"

#include <stdio.h>

/* jansson has a function of that name, too, which it would call in place of its own, or which
 * could not be linked beside this one: who uses both does not include both headers. */
#define json_string proctally_json_string

/* A string with its quotes. What is no valid UTF-8 becomes U+FFFD, byte by byte. */
void json_string(FILE *to, const char *text, size_t len);
void json_text(FILE *to, const char *text); /* the same of a whole one */
void json_number(FILE *to, struct tally_number number);
/* ,"key": but for the first member of an object, which has no comma */
void json_key(FILE *to, bool *is_first, const char *key);

#endif
