/* SPDX-License-Identifier: MIT */
/* What macOS hands out as bytes. No calls, no memory of its own. */
#ifndef DARWIN_PARSE_H
#define DARWIN_PARSE_H

#include <stdbool.h>
#include <stddef.h>

/* Most that the kernel lets anybody hand to execve(2), and so the size for sysctl
 * kern.procargs2: a smaller buffer gets the end, which is the environment. */
#define DARWIN_ARGUMENTS_SIZE (1u << 20)

struct darwin_arguments {
    const char *path; /* as it was given to execve(2) */
    size_t path_len;
    const char *at; /* the arguments, with a NUL byte between them, none at the end */
    size_t len;
};

/* An answer of sysctl kern.procargs2: how many arguments there are, the path, NUL bytes up to
 * a multiple of eight, the arguments, and the environment, of which nothing is told.
 * -EBADMSG. */
int darwin_parse_arguments(const char *buf, size_t len, struct darwin_arguments *ret);

#endif
