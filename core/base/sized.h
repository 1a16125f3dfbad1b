/* SPDX-License-Identifier: MIT */
/* Structs that a program fills, which may have been built against an older or a newer
 * version of this library. They begin with their size. */
#ifndef SIZED_H
#define SIZED_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* No struct of any version is that large: the size was not set. */
#define STRUCT_MOST 4096

/* A copy in the size that we know: what the program does not know is 0. -EINVAL: it has no
 * size, or none that can be; -E2BIG: there is something in it that we do not know, and it is
 * not 0. */
static inline int struct_copy(void *to, size_t to_size, const void *from, size_t from_size) {
    const char *bytes = from;
    if (from_size < sizeof(size_t) || from_size > STRUCT_MOST)
        return -EINVAL;
    for (size_t at = to_size; at < from_size; at++)
        if (bytes[at])
            return -E2BIG;
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    return 0;
}

#endif
