/* SPDX-License-Identifier: MIT */
/* Files that are read again when they change, by what stat(2) says of them. */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <sys/stat.h>

/* All zero if there is none. */
struct stat watch_look(const char *path);

/* The same version of the same file, or none both times? */
bool watch_is_same(const struct stat *a, const struct stat *b);

/* Is somebody likely to be in the middle of writing it? It is empty, as whoever writes a file in
 * its place empties it first, or has not been left alone for two seconds. */
bool watch_is_being_written(const struct stat *file);

/* Empty, and it was not before: no version to take up, whoever asks for it. */
bool watch_is_emptied(const struct stat *file, const struct stat *before);

#endif
