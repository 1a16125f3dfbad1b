/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>

void terminal_name(const char *procfs, uint32_t number, char ret[TERMINAL_NAME_SIZE]) {
    const dev_t device = (dev_t)number;
    char name[TERMINAL_NAME_SIZE];
    (void)procfs;
    const char *found = devname_r(device, S_IFCHR, name, sizeof(name));
    if (found)
        snprintf(ret, TERMINAL_NAME_SIZE, "%s", found);
    else
        snprintf(ret, TERMINAL_NAME_SIZE, "%u:%u", number >> 24, number & 0xffffff);
}
