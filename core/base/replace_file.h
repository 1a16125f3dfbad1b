/* SPDX-License-Identifier: MIT */
#ifndef REPLACE_FILE_H
#define REPLACE_FILE_H

#include "base/io.h"

#include <stdbool.h>

/* tally_replace_file() with the calls as a parameter. */
int replace_file(const struct io *io, const char *path, const void *data, size_t len, mode_t mode,
                 bool durable);

#endif
