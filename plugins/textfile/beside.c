/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "beside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of each file that much is looked at: the collector's series stand at the end. */
#define TAIL_BYTES (64 << 10)

static bool has_line(const char *text, size_t len, const char *begin, size_t begin_len) {
    for (const char *at = text, *end = text + len; at < end;) {
        if ((size_t)(end - at) >= begin_len && memcmp(at, begin, begin_len) == 0)
            return true;
        at = memchr(at, '\n', (size_t)(end - at));
        if (!at)
            break;
        at++;
    }
    return false;
}

static bool file_has(int dir_fd, const char *name, const char *series, size_t len, char *buffer) {
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    bool found = false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
        ssize_t n = pread(fd, buffer, TAIL_BYTES, from);
        found = n > 0 && has_line(buffer, (size_t)n, series, len);
    }
    close(fd);
    return found;
}

static bool is_prom(const char *name) {
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".prom") == 0;
}

bool beside_find(const char *output, const char *series, size_t len, char *to, size_t size) {
    const char *slash = strrchr(output, '/');
    const char *own = slash ? slash + 1 : output;
    char *directory = slash ? strndup(output, (size_t)(slash - output) + 1) : strdup(".");
    char *buffer = malloc(TAIL_BYTES);
    DIR *dir = directory && buffer && is_prom(own) ? opendir(directory) : NULL;
    bool found = false;
    for (const struct dirent *entry; dir && !found && (entry = readdir(dir));)
        if (is_prom(entry->d_name) && strcmp(entry->d_name, own) != 0 &&
            file_has(dirfd(dir), entry->d_name, series, len, buffer)) {
            snprintf(to, size, "%s%s", slash ? directory : "", entry->d_name);
            found = true;
        }
    if (dir)
        closedir(dir);
    free(buffer);
    free(directory);
    return found;
}

bool beside_own_series(const char *text, size_t len, const char *prefix, const char **ret_series,
                       size_t *ret_len) {
    char name[256];
    size_t metric;
    if (tally_metric_find("groups", &metric) < 0)
        return false;
    int name_len = snprintf(name, sizeof(name), "\n%s%s", prefix,
                            tally_metric_prometheus(metric, TALLY_SCHEMA_NATIVE)->name);
    if (name_len < 0 || (size_t)name_len >= sizeof(name))
        return false;
    for (const char *at = text, *end = text + len;
         (at = memmem(at, (size_t)(end - at), name, (size_t)name_len)); at++) {
        const char *behind = at + name_len;
        const char *line_end = memchr(behind, '\n', (size_t)(end - behind));
        if (!line_end || (*behind != '{' && *behind != ' '))
            continue;
        const char *space = line_end;
        while (*space != ' ' && space > behind)
            space--;
        if (*space != ' ')
            continue;
        *ret_series = at + 1;
        *ret_len = (size_t)(space - at);
        return true;
    }
    return false;
}
