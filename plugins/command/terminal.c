/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Takes a candidate if it is that device. */
static bool is_device(const char *name, dev_t device, char ret[TERMINAL_NAME_SIZE]) {
    char path[TERMINAL_NAME_SIZE + 5];
    struct stat st;
    snprintf(path, sizeof(path), "/dev/%s", name);
    if (stat(path, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != device)
        return false;
    snprintf(ret, TERMINAL_NAME_SIZE, "%s", name);
    return true;
}

/* A driver's line: its name, the beginning of the nodes' names, the major number, the
 * minor one or their range, its kind. */
static bool find_in(char *line, dev_t device, char ret[TERMINAL_NAME_SIZE]) {
    char *rest, *end, name[TERMINAL_NAME_SIZE];
    const char *node = strtok_r(line, " \n", &rest) ? strtok_r(NULL, " \n", &rest) : NULL;
    const char *major_word = strtok_r(NULL, " \n", &rest), *range = strtok_r(NULL, " \n", &rest);
    if (!node || !major_word || !range || strncmp(node, "/dev/", 5) != 0 ||
        strtoul(major_word, NULL, 10) != major(device))
        return false;
    node += 5;
    const unsigned long first = strtoul(range, &end, 10);
    const unsigned long last = *end == '-' ? strtoul(end + 1, NULL, 10) : first;
    const unsigned number = minor(device);
    if (number < first || number > last)
        return false;
    if (*end != '-' && is_device(node, device, ret))
        return true;
    const unsigned long numbers[] = {number, number - first};
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%.40s/%lu", node, numbers[i]);
        if (is_device(name, device, ret))
            return true;
        snprintf(name, sizeof(name), "%.40s%lu", node, numbers[i]);
        if (is_device(name, device, ret))
            return true;
    }
    return false;
}

void terminal_name(const char *procfs, uint32_t number, char ret[TERMINAL_NAME_SIZE]) {
    /* as the kernel prints it: the lower byte of the minor number, the major one, the rest */
    const dev_t device =
        makedev((number & 0xfff00) >> 8, (number & 0xff) | (number >> 12 & 0xfff00));
    char path[4096], line[512];
    snprintf(path, sizeof(path), "%s/tty/drivers", procfs);
    FILE *drivers = fopen(path, "re");
    bool found = false;
    while (drivers && !found && fgets(line, sizeof(line), drivers))
        found = find_in(line, device, ret);
    if (drivers)
        fclose(drivers);
    if (!found)
        snprintf(ret, TERMINAL_NAME_SIZE, "%u:%u", major(device), minor(device));
}
