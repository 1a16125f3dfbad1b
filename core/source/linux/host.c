/* SPDX-License-Identifier: MIT */
/* The host's own figures, for those who show them beside the groups. Needs no source. */
#include "source/linux/parse_host.h"
#include "source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utmp.h>

/* Enough for the first line of /proc/stat, which goes on with a number for each interrupt,
 * and for all of the others. */
#define FILE_SIZE 16384

static int open_file(const struct io *io, const char *dir, const char *file) {
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (len < 0 || (size_t)len >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = io->openat(io->data, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* The beginning of a file of /proc. */
static ssize_t read_file(const struct io *io, const char *dir, const char *file, char *to) {
    int fd = open_file(io, dir, file);
    if (fd < 0)
        return fd;
    ssize_t n = io_read_all(io, fd, to, FILE_SIZE, NULL);
    io->close(io->data, fd);
    return n;
}

/* From utmp, where the distribution keeps one. */
static void count_users(const struct io *io, struct host_details *ret) {
    const size_t entry = sizeof(struct utmp);
    char entries[32 * sizeof(struct utmp)];
    size_t len = 0;
    ssize_t n;
    int fd = open_file(io, "/run", "utmp");
    if (fd < 0)
        return;
    while ((n = io->read(io->data, fd, entries + len, sizeof(entries) - len)) > 0 ||
           (n < 0 && errno == EINTR)) {
        len += n > 0 ? (size_t)n : 0;
        ret->users += parse_utmp_users(entries, len);
        memmove(entries, entries + len / entry * entry, len % entry);
        len %= entry;
    }
    io->close(io->data, fd);
    ret->has_users = n == 0;
}

void source_host_memory(const struct io *io, const char *root, struct host_details *ret) {
    char text[FILE_SIZE];
    *ret = (struct host_details){0};
    ssize_t n = read_file(io, root, "meminfo", text);
    if (n > 0)
        (void)parse_meminfo(text, (size_t)n, ret);
}

void source_host_details(const struct io *io, const char *root, struct host_details *ret) {
    static const struct {
        const char *file;
        int (*parse)(const char *buf, size_t len, struct host_details *ret);
    } files[] = {{"stat", parse_host_times},
                 {"meminfo", parse_meminfo},
                 {"loadavg", parse_loadavg},
                 {"uptime", parse_uptime}};
    char text[FILE_SIZE];
    *ret = (struct host_details){.tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        ssize_t n = read_file(io, root, files[i].file, text);
        if (n > 0) /* what can't be read or understood is not known */
            (void)files[i].parse(text, (size_t)n, ret);
    }
    count_users(io, ret);
}
