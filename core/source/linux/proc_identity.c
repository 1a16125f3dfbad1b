/* SPDX-License-Identifier: MIT */
#include "source/linux/proc_identity.h"

#include "source/linux/parse.h"

#include <errno.h>
#include <string.h>

static int identify_cmdline(struct proc_dir *d, uint32_t pid, struct proc_identity *texts,
                            struct identity *id) {
    int cut = 0;
    ssize_t n = io_read_file(d->io, d->fd, proc_path(d, pid, "cmdline"), texts->cmdline,
                             sizeof(texts->cmdline), &cut);
    if (n < 0)
        return (int)n;
    size_t len = (size_t)n;
    while (len && texts->cmdline[len - 1] == '\0')
        len--;
    for (size_t i = 0; i < len; i++)
        texts->command[i] = texts->cmdline[i] ? texts->cmdline[i] : ' ';
    id->cmdline = (struct text){texts->cmdline, len};
    id->command = (struct text){texts->command, len};
    id->cmdline_cut = cut;
    id->lacks_arguments = len == 0;
    return 0;
}

static int identify_exe(struct proc_dir *d, uint32_t pid, struct proc_identity *texts,
                        struct identity *id) {
    static const char deleted[] = " (deleted)";
    ssize_t n = d->io->readlinkat(d->io->data, d->fd, proc_path(d, pid, "exe"), texts->exe,
                                  sizeof(texts->exe));
    if (n < 0)
        /* kernel threads and zombies have none; to readlink(2) any process has none from
         * the moment it ends */
        return errno == ENOENT ? 0 : -errno;
    size_t len = (size_t)n, suffix = sizeof(deleted) - 1;
    if (len > suffix && memcmp(texts->exe + len - suffix, deleted, suffix) == 0)
        len -= suffix; /* the program was replaced, by an upgrade perhaps */
    id->exe = (struct text){texts->exe, len};
    return 0;
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
    if (id->unit.len)
        id->unit_cgroup = (struct text){
            cgroup.systemd, (size_t)(id->unit.at + id->unit.len - cgroup.systemd)};
    id->container.len = parse_container(text, len, &id->container.at);
    if (id->container.len)
        id->container_cgroup.len =
            parse_container_path(text, len, id->container.at, &id->container_cgroup.at);
    return 0;
}

static int identify_cgroup(struct proc_dir *d, uint32_t pid, struct proc_identity *texts,
                           struct identity *id) {
    ssize_t n = io_read_file(d->io, d->fd, proc_path(d, pid, "cgroup"), texts->cgroup,
                             sizeof(texts->cgroup), NULL);
    return n < 0 ? (int)n
                 : identity_set_cgroups(id, texts->cgroup, (size_t)n, texts->joined_cgroups);
}

void proc_set_names(struct users *users, struct users *groups, unsigned parts,
                    struct identity *id) {
    bool is_number = false;
    if (parts & IDENTITY_USER)
        id->user = users_name(users, id->uid, &id->lacks_user_name);
    if (parts & IDENTITY_GROUP)
        id->group = users_name(groups, id->gid, &is_number);
    id->lacks_user_name |= is_number;
}

int proc_identify(struct proc_dir *d, uint32_t pid, unsigned parts, struct proc_identity *texts,
                  struct identity *ret) {
    static const struct {
        unsigned part;
        int (*read)(struct proc_dir *, uint32_t, struct proc_identity *, struct identity *);
    } readers[] = {{IDENTITY_CMDLINE, identify_cmdline},
                   {IDENTITY_EXE, identify_exe},
                   {IDENTITY_CGROUP, identify_cgroup}};
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        if (!(parts & readers[i].part))
            continue;
        int r = readers[i].read(d, pid, texts, ret);
        if (r == -ESRCH)
            return r;
        if (r < 0 && r != -ENOENT)
            ret->refused = true;
    }
    return 0;
}
