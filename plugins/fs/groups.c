/* SPDX-License-Identifier: MIT */
#include "groups.h"

#include "instance.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
#include <uthash.h>

struct entry {
    uint64_t number;
    size_t group; /* its index in the snapshot */
    char *name;
    char *directory; /* "": it has none */
    bool hashed;
    UT_hash_handle by_number, by_directory;
};

struct groups {
    struct entry *by_number, *by_directory;
    struct entry **now, **next; /* in the order of the snapshot, which is that of names */
    size_t count, size;
};

int groups_new(struct groups **ret) {
    struct groups *g = calloc(1, sizeof(*g));
    if (!g)
        return -ENOMEM;
    *ret = g;
    return 0;
}

static void free_entry(struct entry *e) {
    free(e->name);
    free(e->directory);
    free(e);
}

static void forget(struct groups *g, struct entry *e) {
    if (*e->directory) {
        HASH_DELETE(by_number, g->by_number, e);
        HASH_DELETE(by_directory, g->by_directory, e);
    }
    free_entry(e);
}

struct groups *groups_free(struct groups *g) {
    for (size_t i = 0; g && i < g->count; i++)
        forget(g, g->now[i]);
    if (g) {
        free(g->now);
        free(g->next);
        free(g);
    }
    return NULL;
}

static struct entry *find_number(const struct groups *g, uint64_t number) {
    struct entry *e;
    HASH_FIND(by_number, g->by_number, &number, sizeof(number), e);
    return e;
}

static struct entry *find_directory(const struct groups *g, const char *directory) {
    struct entry *e;
    HASH_FIND(by_directory, g->by_directory, directory, strlen(directory), e);
    return e;
}

static bool enter(struct groups *g, struct entry *e) {
    e->hashed = true;
    HASH_ADD(by_number, g->by_number, number, sizeof(e->number), e);
    if (!e->hashed)
        return false;
    HASH_ADD_KEYPTR(by_directory, g->by_directory, e->directory, strlen(e->directory), e);
    if (!e->hashed)
        HASH_DELETE(by_number, g->by_number, e);
    return e->hashed;
}

static struct entry *add(struct groups *g, const char *name) {
    char directory[NAME_MAX + 1];
    struct entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->number = instance_number(name) >> (64 - GROUPS_NUMBER_BITS);
    instance_of_directory(name, directory, sizeof(directory));
    if (find_number(g, e->number) || find_directory(g, directory))
        directory[0] = '\0';
    e->name = strdup(name);
    e->directory = strdup(directory);
    if (e->name && e->directory && (!*directory || enter(g, e)))
        return e;
    free_entry(e);
    return NULL;
}

static int reserve(struct groups *g, size_t count) {
    if (count <= g->size)
        return 0;
    size_t size = g->size ? g->size : 64;
    while (size < count)
        size *= 2;
    struct entry **now = realloc(g->now, size * sizeof(*now));
    if (now)
        g->now = now;
    struct entry **next = realloc(g->next, size * sizeof(*next));
    if (next)
        g->next = next;
    if (!now || !next)
        return -ENOMEM;
    g->size = size;
    return 0;
}

int groups_update(struct groups *g, const tally_snapshot *s) {
    const size_t count = tally_snapshot_groups(s);
    if (reserve(g, count) < 0)
        return -ENOMEM;
    /* Those that are gone first: a new one may be called like one of them. */
    size_t kept = 0;
    for (size_t i = 0, k = 0; k < g->count; k++) {
        struct entry *e = g->now[k];
        int order = -1;
        while (i < count && (order = strcmp(tally_snapshot_group_name(s, i), e->name)) < 0)
            i++;
        if (order != 0) {
            forget(g, e);
            continue;
        }
        e->group = i++;
        g->now[kept++] = e;
    }
    size_t made = 0;
    for (size_t i = 0, k = 0; i < count; i++) {
        const bool is_kept = k < kept && g->now[k]->group == i;
        struct entry *e = is_kept ? g->now[k++] : add(g, tally_snapshot_group_name(s, i));
        if (!e)
            continue;
        e->group = i;
        g->next[made++] = e;
    }
    struct entry **before = g->now;
    g->now = g->next;
    g->next = before;
    g->count = made;
    return made == count ? 0 : -ENOMEM;
}

uint64_t groups_number(const struct groups *g, size_t group) {
    return g->now[group]->number;
}

const char *groups_directory(const struct groups *g, size_t group) {
    return g->now[group]->directory;
}

int groups_find_number(const struct groups *g, uint64_t number, size_t *ret_group) {
    const struct entry *e = find_number(g, number);
    if (!e)
        return -ENOENT;
    *ret_group = e->group;
    return 0;
}

int groups_find_directory(const struct groups *g, const char *directory, size_t *ret_group) {
    const struct entry *e = find_directory(g, directory);
    if (!e)
        return -ENOENT;
    *ret_group = e->group;
    return 0;
}
