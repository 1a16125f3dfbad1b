/* SPDX-License-Identifier: MIT */
#include "source/linux/host_root.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int host_path(const char *procfs, const char *name, char *to, size_t size) {
    size_t len = strlen(procfs);
    while (len && procfs[len - 1] == '/')
        len--;
    const size_t proc_end = len;
    while (len && procfs[len - 1] != '/')
        len--;
    const size_t root_len = len ? len - 1 : 0;
    /* "proc" stands in the working directory, "/" in itself */
    const char *root = len == 0 && proc_end ? "." : procfs;
    int n = snprintf(to, size, "%.*s%s", (int)(len == 0 && proc_end ? 1 : root_len), root, name);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}
