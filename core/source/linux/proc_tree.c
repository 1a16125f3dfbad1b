/* SPDX-License-Identifier: MIT */
#include "source/linux/proc_tree.h"

#include <stdio.h>
#include <stdlib.h>

/* Pids, in the order in which they were found, and a hash table of where they stand. */
struct found {
    uint32_t *pids; /* 0: it has ended */
    size_t count, size;
    uint32_t *places; /* index + 1; 0: free */
    size_t places_size; /* a power of two, at least twice the count */
};

struct proc_tree {
    struct proc_dir *dir;
    const struct followed *roots;
    struct found now, before;
    uint32_t of; /* the process whose threads are being listed */
};

static size_t place_of(const struct found *f, uint32_t pid) {
    size_t at = (size_t)pid * 2654435769u & (f->places_size - 1);
    while (f->places[at] && f->pids[f->places[at] - 1] != pid)
        at = (at + 1) & (f->places_size - 1);
    return at;
}

static int grow(struct found *f) {
    const size_t size = f->size ? 2 * f->size : 64;
    uint32_t *pids = realloc(f->pids, size * sizeof(*pids));
    if (pids)
        f->pids = pids;
    uint32_t *places = pids ? calloc(2 * size, sizeof(*places)) : NULL;
    if (!places)
        return -ENOMEM;
    free(f->places);
    f->places = places;
    f->places_size = 2 * size;
    f->size = size;
    for (size_t i = 0; i < f->count; i++)
        if (f->pids[i])
            f->places[place_of(f, f->pids[i])] = (uint32_t)i + 1;
    return 0;
}

static int add(struct found *f, uint32_t pid) {
    int r = f->count == f->size ? grow(f) : 0;
    if (r < 0)
        return r;
    const size_t at = place_of(f, pid);
    if (f->places[at])
        return 0;
    f->pids[f->count++] = pid;
    f->places[at] = (uint32_t)f->count;
    return 0;
}

/* It has ended, or is not ours to see. */
static bool is_no_matter(int error) {
    return error == -ENOENT || error == -ESRCH || error == -EACCES || error == -EPERM;
}

/* The children that one thread has: numbers with a space behind each. There may be more of
 * them than one read(2) returns. */
static int add_children_of_thread(void *data, uint32_t tid, uint64_t inode) {
    struct proc_tree *tree = data;
    const struct io *io = tree->dir->io;
    char path[64];
    (void)inode;
    snprintf(path, sizeof(path), "%u/task/%u/children", tree->of, tid);
    int fd = io->openat(io->data, tree->dir->fd, path, O_RDONLY | O_CLOEXEC, 0);
    int r = fd < 0 ? -errno : 0;
    uint32_t pid = 0;
    while (r == 0) {
        char text[4096];
        ssize_t n = io->read(io->data, fd, text, sizeof(text));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            r = n < 0 ? -errno : 0;
            break;
        }
        for (ssize_t i = 0; r == 0 && i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (uint32_t)(text[i] - '0');
            } else if (pid) {
                r = add(&tree->now, pid);
                pid = 0;
            }
        }
    }
    if (fd >= 0)
        io->close(io->data, fd);
    return is_no_matter(r) ? 0 : r;
}

static int add_children(struct proc_tree *tree, uint32_t pid) {
    const struct io *io = tree->dir->io;
    struct stat st;
    tree->of = pid;
    /* two links, and one for each thread: as a rule there is nothing to list */
    if (io->fstatat(io->data, tree->dir->fd, proc_path(tree->dir, pid, "task"), &st, 0) == 0 &&
        st.st_nlink == 3)
        return add_children_of_thread(tree, pid, 0);
    int fd = proc_open(tree->dir, pid, "task", O_DIRECTORY);
    if (fd < 0)
        return is_no_matter(fd) ? 0 : fd;
    int r = proc_list_numbers(tree->dir, fd, UINT64_MAX, add_children_of_thread, tree);
    io->close(io->data, fd);
    return is_no_matter(r) ? 0 : r;
}

int proc_tree_list(struct proc_tree *tree,
                   int (*each)(void *data, uint32_t pid, uint64_t inode), void *data) {
    const struct io *io = tree->dir->io;
    const struct found before = tree->now;
    tree->now = tree->before;
    tree->before = before;
    tree->now.count = 0;
    if (tree->now.places)
        memset(tree->now.places, 0, tree->now.places_size * sizeof(*tree->now.places));
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < tree->roots->count; i++)
        r = add(&tree->now, tree->roots->roots[i].pid);
    if (r == 0 && tree->roots->adopter)
        r = add_children(tree, tree->roots->adopter);
    /* whom somebody else has adopted since is below no root any more */
    for (size_t i = 0; r == 0 && i < before.count; i++)
        if (before.pids[i])
            r = add(&tree->now, before.pids[i]);
    for (size_t i = 0; r == 0 && i < tree->now.count; i++) {
        const uint32_t pid = tree->now.pids[i];
        char name[16];
        struct stat st;
        snprintf(name, sizeof(name), "%u", pid);
        if (io->fstatat(io->data, tree->dir->fd, name, &st, 0) < 0) {
            r = is_no_matter(-errno) ? 0 : -errno;
            tree->now.pids[i] = 0;
            continue;
        }
        r = add_children(tree, pid);
        if (r == 0)
            r = each(data, pid, st.st_ino);
    }
    return r;
}

int proc_tree_new(struct proc_dir *dir, const struct followed *roots, struct proc_tree **ret) {
    char path[64];
    if (roots->count == 0)
        return -ENOTSUP;
    snprintf(path, sizeof(path), "%u/task/%u/children", roots->roots[0].pid,
             roots->roots[0].pid);
    int fd = dir->io->openat(dir->io->data, dir->fd, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -ENOTSUP;
    dir->io->close(dir->io->data, fd);
    struct proc_tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return -ENOMEM;
    tree->dir = dir;
    tree->roots = roots;
    *ret = tree;
    return 0;
}

void proc_tree_free(struct proc_tree *tree) {
    if (!tree)
        return;
    free(tree->now.pids);
    free(tree->now.places);
    free(tree->before.pids);
    free(tree->before.places);
    free(tree);
}
