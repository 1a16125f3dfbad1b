/* SPDX-License-Identifier: MIT */
/* The host's own figures, for those who show them beside the groups. Needs no source. */
#include "source/linux/parse_host.h"
#include "source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* /proc/stat has a number for each interrupt. */
#define FILE_SIZE (1u << 20)

static ssize_t read_file(const struct io *io, const char *dir, const char *file, char *to) {
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (len < 0 || (size_t)len >= sizeof(path))
        return -ENAMETOOLONG;
    return io_read_file(io, AT_FDCWD, path, to, FILE_SIZE, NULL);
}

/* utmp, where the distribution keeps one; else what systemd-logind has. */
static void count_users(const struct io *io, char *text, struct host_details *ret) {
    ssize_t n = read_file(io, "/run", "utmp", text);
    if (n >= 0) {
        ret->users = parse_utmp_users(text, (size_t)n);
        ret->has_users = true;
    }
}

int source_host_details(const struct io *io, const char *root, struct host_details *ret) {
    static const struct {
        const char *file;
        int (*parse)(const char *buf, size_t len, struct host_details *ret);
    } files[] = {{"stat", parse_host_times},
                 {"meminfo", parse_meminfo},
                 {"loadavg", parse_loadavg},
                 {"uptime", parse_uptime}};
    char *text = malloc(FILE_SIZE);
    if (!text)
        return -ENOMEM;
    *ret = (struct host_details){.tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        ssize_t n = read_file(io, root, files[i].file, text);
        if (n > 0) /* what can't be read or understood is not known */
            (void)files[i].parse(text, (size_t)n, ret);
    }
    count_users(io, text, ret);
    free(text);
    return 0;
}
