/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/identity.h"

#include "source/linux/parse.h"

#include <string.h>

struct text identity_argv0(const struct identity *id) {
    if (id->cmdline.len == 0)
        return id->comm;
    return (struct text){id->cmdline.at, strnlen(id->cmdline.at, id->cmdline.len)};
}

struct text text_base_name(struct text path) {
    const char *slash = path.len ? memrchr(path.at, '/', path.len) : NULL;
    if (slash && slash + 1 < path.at + path.len)
        return (struct text){slash + 1, (size_t)(path.at + path.len - slash - 1)};
    return path;
}

bool text_is(struct text text, const char *other) {
    return strlen(other) == text.len && (text.len == 0 || memcmp(text.at, other, text.len) == 0);
}

/* The paths as process-exporter prints them: "[/a /b]". */
static struct text join_cgroups(const char *text, size_t len, char *to) {
    size_t at = 0;
    to[at++] = '[';
    for (size_t from = 0; from < len;) {
        const char *line = text + from;
        const char *end = memchr(line, '\n', len - from);
        size_t line_len = end ? (size_t)(end - line) : len - from;
        const char *first = memchr(line, ':', line_len);
        const char *second =
            first ? memchr(first + 1, ':', (size_t)(line + line_len - first - 1)) : NULL;
        if (second) {
            size_t path_len = (size_t)(line + line_len - second - 1);
            if (at > 1)
                to[at++] = ' ';
            memcpy(to + at, second + 1, path_len);
            at += path_len;
        }
        from += line_len + 1;
    }
    to[at++] = ']';
    return (struct text){to, at};
}

int identity_set_cgroups(struct identity *id, const char *text, size_t len, char *joined) {
    struct cgroup_file cgroup;
    int r = parse_cgroup(text, len, &cgroup);
    if (r < 0)
        return r;
    id->cgroups = join_cgroups(text, len, joined);
    id->cgroup = (struct text){cgroup.path, cgroup.path_len};
    id->unit.len = parse_unit(cgroup.systemd, cgroup.systemd_len, &id->unit.at);
    id->container.len = parse_container(text, len, &id->container.at);
    return 0;
}
