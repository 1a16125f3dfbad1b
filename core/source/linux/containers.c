/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/containers.h"

#include "base/buf.h"
#include "source/linux/container_names.h"
#include "source/linux/host_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
#include <uthash.h>

/* To gcc's analyzer what a table keeps is leaked, which it takes minutes to find. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

/* Anybody can make control groups that look like containers. When there are so many, all are
 * dropped. */
#define CONTAINERS_MOST 4096u
/* Those of real containers have some 20 kB. */
#define FILE_MOST ((size_t)1 << 20)
#define LINKS_MOST 16384u
#define PATH_SIZE 4096

struct container {
    char id[CONTAINER_ID_LEN];
    bool hashed;
    UT_hash_handle hh;
    size_t len[CONTAINER_LABELS];
    char texts[]; /* one behind the other */
};

struct containers {
    const struct io *io;
    const char *procfs;
    struct container *by_id;
    bool has_read_lists; /* in this collection */
    struct buf file;
};

int containers_new(const struct io *io, const char *procfs, struct containers **ret) {
    struct containers *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->io = io;
    c->procfs = procfs;
    buf_init(&c->file, 2 * FILE_MOST);
    *ret = c;
    return 0;
}

static void reset(struct containers *c) {
    struct container *container = c->by_id, *next;
    HASH_CLEAR(hh, c->by_id);
    for (; container; container = next) {
        next = container->hh.next;
        free(container);
    }
}

struct containers *containers_free(struct containers *c) {
    if (c) {
        reset(c);
        buf_free(&c->file);
        free(c);
    }
    return NULL;
}

void containers_begin(struct containers *c) {
    c->has_read_lists = false;
}

static struct container *find(const struct containers *c, const char *id) {
    struct container *container;
    HASH_FIND(hh, c->by_id, id, CONTAINER_ID_LEN, container);
    return container;
}

/* -ENOMEM. */
static int keep(struct containers *c, const char *id, const struct container_names *names) {
    size_t size = 0, at = 0;
    if (find(c, id))
        return 0;
    if (HASH_COUNT(c->by_id) >= CONTAINERS_MOST)
        reset(c);
    for (size_t i = 0; i < CONTAINER_LABELS; i++)
        size += names->len[i];
    struct container *container = calloc(1, sizeof(*container) + size);
    if (!container)
        return -ENOMEM;
    container->hashed = true;
    memcpy(container->id, id, CONTAINER_ID_LEN);
    for (size_t i = 0; i < CONTAINER_LABELS; i++) {
        memcpy(container->texts + at, names->text[i], names->len[i]);
        container->len[i] = names->len[i];
        at += names->len[i];
    }
    HASH_ADD(hh, c->by_id, id, CONTAINER_ID_LEN, container);
    if (container->hashed)
        return 0;
    free(container);
    return -ENOMEM;
}

/* ---- Files ------------------------------------------------------------------------------------ */

/* Short of something at the moment: what can't be read now may be read later. */
static bool is_passing(int error) {
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

static int read_whole(struct containers *c, int fd) {
    struct stat st;
    if (c->io->fstatat(c->io->data, fd, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ENOTSUP;
    for (;;) {
        if (buf_reserve(&c->file, 65536) < 0)
            return c->file.error;
        ssize_t n = c->io->read(c->io->data, fd, c->file.data + c->file.len,
                                c->file.size - c->file.len);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        c->file.len += n > 0 ? (size_t)n : 0;
        if (c->file.len > FILE_MOST)
            return -E2BIG;
    }
}

static int open_on_host(const struct containers *c, const char *name, int flags) {
    char path[PATH_SIZE];
    int r = host_path(c->procfs, name, path, sizeof(path));
    if (r < 0)
        return r;
    int fd = c->io->openat(c->io->data, AT_FDCWD, path, flags | O_RDONLY | O_CLOEXEC | O_NOFOLLOW,
                           0);
    return fd < 0 ? -errno : fd;
}

/* Into c->file. Whatever is there in its place: no link is followed, and no pipe waited for. */
static int read_file(struct containers *c, const char *name) {
    buf_reset(&c->file);
    int fd = open_on_host(c, name, O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    int r = read_whole(c, fd);
    c->io->close(c->io->data, fd);
    return r;
}

/* What runtimes keep of a container by its id. */
static const struct {
    const char *before, *behind;
} places[] = {
    {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/", "/config.json"},
    {"/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/", "/config.json"},
    {"/run/containerd/io.containerd.runtime.v2.task/default/", "/config.json"}, /* nerdctl */
    {"/run/containers/storage/overlay-containers/", "/userdata/config.json"},   /* CRI-O */
    {"/var/lib/docker/containers/", "/config.v2.json"},
};

/* 1: found, and kept. */
static int read_places(struct containers *c, const char *id) {
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char name[256];
        struct container_names names = {0};
        snprintf(name, sizeof(name), "%s%.*s%s", places[i].before, (int)CONTAINER_ID_LEN, id,
                 places[i].behind);
        int r = read_file(c, name);
        if (r == 0)
            r = parse_container_config(c->file.data, c->file.len, &names);
        if (is_passing(r))
            return r;
        if (r < 0 || (names.len[CONTAINER_NAME] == 0 && names.len[CONTAINER_POD] == 0))
            continue;
        r = keep(c, id, &names);
        return r < 0 ? r : 1;
    }
    return 0;
}

/* ---- Lists of all containers --------------------------------------------------------------------- */

static int read_stored(struct containers *c, const char *name) {
    char id[CONTAINER_ID_LEN];
    struct container_names names;
    int r = read_file(c, name);
    if (r < 0)
        return is_passing(r) ? r : 0;
    struct json_array list = {.at = c->file.data, .end = c->file.data + c->file.len};
    while (parse_next_stored(&list, id, &names) == 1) {
        r = keep(c, id, &names);
        if (r < 0)
            return r;
    }
    return 0;
}

static int keep_link(struct containers *c, const char *name) {
    char id[CONTAINER_ID_LEN];
    struct container_names names;
    return parse_log_link(name, strlen(name), id, &names) == 0 ? keep(c, id, &names) : 0;
}

/* Kubelet's links tell names by their own: they are not followed. */
static int read_links(struct containers *c) {
    _Alignas(struct directory_entry) char entries[32768];
    int r = 0;
    int fd = open_on_host(c, "/var/log/containers", O_DIRECTORY);
    if (fd < 0)
        return is_passing(fd) ? fd : 0;
    for (size_t count = 0; r == 0 && count < LINKS_MOST;) {
        ssize_t n = c->io->getdents(c->io->data, fd, entries, sizeof(entries));
        if (n <= 0)
            break;
        for (ssize_t at = 0; r == 0 && at < n; count++) {
            const struct directory_entry *entry = (const void *)(entries + at);
            r = keep_link(c, entry->name);
            at += entry->length;
        }
    }
    c->io->close(c->io->data, fd);
    return r;
}

static int read_lists(struct containers *c) {
    static const char *const stored[] = {
        "/var/lib/containers/storage/overlay-containers/containers.json",
        "/var/lib/containers/storage/overlay-containers/volatile-containers.json",
    };
    int r = 0;
    if (c->has_read_lists)
        return 0;
    c->has_read_lists = true;
    for (size_t i = 0; r == 0 && i < sizeof(stored) / sizeof(stored[0]); i++)
        r = read_stored(c, stored[i]);
    return r < 0 ? r : read_links(c);
}

/* ---- The whole -------------------------------------------------------------------------------------- */

/* Where nothing is known, that is kept. */
static int look_up(struct containers *c, const char *id) {
    static const struct container_names none;
    int r = read_places(c, id);
    if (r == 0)
        r = read_lists(c);
    buf_free(&c->file);
    return r < 0 ? r : keep(c, id, &none);
}

/* What is shown of an id are its first digits; NULL: it is called by another name. */
static const char *whole_id(const struct identity *id) {
    const char *at = id->container.at, *end = id->container_cgroup.at + id->container_cgroup.len;
    if (id->container.len == 0 || id->container_cgroup.len == 0 ||
        (size_t)(end - at) < CONTAINER_ID_LEN)
        return NULL;
    for (size_t i = 0; i < CONTAINER_ID_LEN; i++)
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
            return NULL;
    return at;
}

int containers_name(struct containers *c, struct identity *id) {
    const char *whole = whole_id(id);
    if (!whole)
        return 0;
    const struct container *container = find(c, whole);
    if (!container) {
        int r = look_up(c, whole);
        if (r < 0)
            return r;
        container = find(c, whole);
    }
    const char *at = container ? container->texts : "";
    for (size_t i = 0; container && i < CONTAINER_LABELS; i++) {
        id->container_texts[i] = (struct text){at, container->len[i]};
        at += container->len[i];
    }
    return 0;
}
