/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
#include <uthash.h>

/* Cgroups are kept after they are removed; when there are this many, all are dropped. */
#define CGROUPS_CEILING 16384
#define DEPTH_MAX 32
#define PATH_SIZE 4096

struct cgroup {
    uint64_t id;
    bool hashed;
    UT_hash_handle hh;
    char path[];
};

struct cgroups {
    struct cgroup *by_id;
    bool searched; /* the tree, in this collection */
    char root[PATH_SIZE];
    char path[PATH_SIZE]; /* of the directory that is being searched */
};

/* It is not always at /sys/fs/cgroup: on hosts that also use v1 hierarchies it is mounted
 * below that. */
static int find_root(struct cgroups *c) {
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    struct mntent mount;
    char line[2 * PATH_SIZE];
    if (!mounts)
        return -errno;
    while (c->root[0] == '\0' && getmntent_r(mounts, &mount, line, sizeof(line)))
        if (strcmp(mount.mnt_type, "cgroup2") == 0 && strlen(mount.mnt_dir) < sizeof(c->root))
            memcpy(c->root, mount.mnt_dir, strlen(mount.mnt_dir) + 1);
    endmntent(mounts);
    return c->root[0] ? 0 : -ENOENT;
}

int cgroups_new(struct cgroups **ret) {
    struct cgroups *c = calloc(1, sizeof(*c));
    int r = c ? find_root(c) : -ENOMEM;
    if (r < 0) {
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

static void reset(struct cgroups *c) {
    struct cgroup *cgroup, *next;
    HASH_ITER(hh, c->by_id, cgroup, next) {
        HASH_DEL(c->by_id, cgroup);
        free(cgroup);
    }
}

struct cgroups *cgroups_free(struct cgroups *c) {
    if (c) {
        reset(c);
        free(c);
    }
    return NULL;
}

const char *cgroups_root(const struct cgroups *c) {
    return c->root;
}

void cgroups_begin(struct cgroups *c) {
    c->searched = false;
}

void cgroups_add(struct cgroups *c, uint64_t id, const char *path) {
    struct cgroup *cgroup;
    HASH_FIND(hh, c->by_id, &id, sizeof(id), cgroup);
    if (cgroup)
        return;
    if (HASH_COUNT(c->by_id) >= CGROUPS_CEILING)
        reset(c);
    size_t len = strlen(path);
    cgroup = malloc(sizeof(*cgroup) + len + 1);
    if (!cgroup)
        return;
    *cgroup = (struct cgroup){.id = id, .hashed = true};
    memcpy(cgroup->path, path, len + 1);
    HASH_ADD(hh, c->by_id, id, sizeof(id), cgroup);
    if (!cgroup->hashed)
        free(cgroup);
}

/* c->path is the directory's path from the root of the hierarchy, `len` long. */
static void search(struct cgroups *c, int dir_fd, const char *name, size_t len, int depth) {
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while (depth < DEPTH_MAX && (entry = readdir(dir))) {
        size_t name_len = strlen(entry->d_name);
        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0 || len + name_len + 2 > sizeof(c->path))
            continue;
        c->path[len] = '/';
        memcpy(c->path + len + 1, entry->d_name, name_len + 1);
        cgroups_add(c, entry->d_ino, c->path);
        search(c, fd, entry->d_name, len + 1 + name_len, depth + 1);
    }
    closedir(dir);
}

struct text cgroups_path(struct cgroups *c, uint64_t id) {
    struct cgroup *cgroup;
    HASH_FIND(hh, c->by_id, &id, sizeof(id), cgroup);
    if (!cgroup && !c->searched) {
        struct stat st;
        c->searched = true;
        if (stat(c->root, &st) == 0)
            cgroups_add(c, st.st_ino, "/");
        search(c, AT_FDCWD, c->root, 0, 0);
        HASH_FIND(hh, c->by_id, &id, sizeof(id), cgroup);
    }
    return cgroup ? (struct text){cgroup->path, strlen(cgroup->path)} : (struct text){"", 0};
}
