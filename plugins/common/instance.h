/* SPDX-License-Identifier: MIT */
/* Names of groups where not every text can be a name. */
#ifndef INSTANCE_H
#define INSTANCE_H

#include <stddef.h>
#include <stdint.h>

/* "~0123456789abcdef": the first 64 bits of the SHA-256 of the group's name */
#define INSTANCE_SUFFIX 17

/* The same number as in the suffix, whether the name gets one or not; never 0. */
uint64_t instance_number(const char *name);

/* The plugin instance of the group of this name, of which collectd's field holds
 * `size` bytes. It depends on nothing but the name: other groups, which anybody can
 * make, change neither whose a series is nor what it is called. What collectd can't
 * have (a '/', too many bytes) or already ends like a suffix is changed and gets one;
 * the suffix is returned as a number, 0 if the name is taken as it is. Two names have
 * the same instance only where the number is the same. */
uint64_t instance_of(const char *name, char *to, size_t size);

/* The same for a directory: of those that begin with a dot, ls and * show none, and two are
 * taken. There the dot is changed, too. */
uint64_t instance_of_directory(const char *name, char *to, size_t size);

#endif
