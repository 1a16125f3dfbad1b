/* SPDX-License-Identifier: MIT */
/* What a file of unit tests has in common with the others, whatever it tests. */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>
#include <stddef.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* A case of a suite, with time enough for a sanitizer or valgrind. */
TCase *add_case(Suite *suite, const char *name);
/* Runs and frees it. The exit status of the program. */
int run_suite(Suite *suite);

/* NUL bytes and all; shows both if they differ. */
void assert_bytes(const char *got, size_t got_len, const char *want, size_t want_len);

#endif
