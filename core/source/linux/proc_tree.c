/* SPDX-License-Identifier: MIT */
#include "source/linux/proc_tree.h"

#include <stdio.h>
#include <stdlib.h>

/* A process that sleeps gets no children, unless it adopts them (see PR_SET_CHILD_SUBREAPER in
 * prctl(2)) or a child of its own gives it one (CLONE_PARENT in clone(2)): one listing in so
 * many looks all the same. */
#define SLEEPERS_EVERY 16

struct member {
    uint32_t pid; /* 0: it has ended */
    bool has_threads, is_asleep;
    struct proc_run run; /* asked for before its children */
    uint64_t inode;
};

/* In the order in which they were found, and a hash table of where they stand. */
struct found {
    struct member *members;
    size_t count, size;
    uint32_t *places; /* index + 1; 0: free */
    size_t places_size; /* a power of two, at least twice the count */
};

struct proc_tree {
    struct proc_dir *dir;
    const struct followed *roots;
    struct found now, before;
    uint32_t of; /* the process whose threads are being listed */
    unsigned listings;
};

static size_t place_of(const struct found *f, uint32_t pid) {
    size_t at = (size_t)pid * 2654435769u & (f->places_size - 1);
    while (f->places[at] && f->members[f->places[at] - 1].pid != pid)
        at = (at + 1) & (f->places_size - 1);
    return at;
}

static struct member *find(const struct found *f, uint32_t pid) {
    const size_t at = f->places_size ? f->places[place_of(f, pid)] : 0;
    return at ? &f->members[at - 1] : NULL;
}

static int grow(struct found *f) {
    const size_t size = f->size ? 2 * f->size : 64;
    struct member *members = realloc(f->members, size * sizeof(*members));
    if (members)
        f->members = members;
    uint32_t *places = members ? calloc(2 * size, sizeof(*places)) : NULL;
    if (!places)
        return -ENOMEM;
    free(f->places);
    f->places = places;
    f->places_size = 2 * size;
    f->size = size;
    for (size_t i = 0; i < f->count; i++)
        if (f->members[i].pid)
            f->places[place_of(f, f->members[i].pid)] = (uint32_t)i + 1;
    return 0;
}

static int add(struct found *f, uint32_t pid) {
    int r = f->count == f->size ? grow(f) : 0;
    if (r < 0)
        return r;
    const size_t at = place_of(f, pid);
    if (f->places[at])
        return 0;
    f->members[f->count++] = (struct member){.pid = pid};
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

static int add_children(struct proc_tree *tree, struct member *of) {
    const struct io *io = tree->dir->io;
    const uint32_t pid = of->pid;
    struct stat st;
    tree->of = pid;
    /* two links, and one for each thread: as a rule there is nothing to list */
    if (io->fstatat(io->data, tree->dir->fd, proc_path(tree->dir, pid, "task"), &st, 0) == 0 &&
        st.st_nlink == 3)
        return add_children_of_thread(tree, pid, 0);
    of->has_threads = true;
    int fd = proc_open(tree->dir, pid, "task", O_DIRECTORY);
    if (fd < 0)
        return is_no_matter(fd) ? 0 : fd;
    int r = proc_list_numbers(tree->dir, fd, UINT64_MAX, add_children_of_thread, tree);
    io->close(io->data, fd);
    return is_no_matter(r) ? 0 : r;
}

/* Asks the members from there on, as many as go into one batch; returns where the next one
 * begins. Of the threads of one that has several, nothing is known. */
static size_t ask_from(struct proc_tree *tree, size_t from, proc_tree_ask *ask, void *data) {
    uint32_t pids[PROC_TREE_BATCH];
    struct proc_run runs[PROC_TREE_BATCH] = {{0}};
    struct member *asked[PROC_TREE_BATCH];
    size_t i, count = 0;
    for (i = from; i < tree->now.count && count < PROC_TREE_BATCH; i++) {
        struct member *m = &tree->now.members[i];
        const struct member *before = find(&tree->before, m->pid);
        if (before && before->has_threads)
            continue;
        asked[count] = m;
        pids[count++] = m->pid;
    }
    if (count > 0)
        ask(data, pids, count, runs);
    for (size_t k = 0; k < count; k++)
        asked[k]->run = runs[k];
    return i;
}

/* Does it sleep as it did the last time? */
static bool sleeps_on(struct proc_tree *tree, struct member *m) {
    const struct member *before = find(&tree->before, m->pid);
    if (!before || !before->is_asleep || !m->run.activity ||
        m->run.activity != before->run.activity || m->run.slices != before->run.slices)
        return false;
    m->inode = before->inode;
    m->is_asleep = true;
    return true;
}

/* Its directory, and its children. -errno. */
static int look_at(struct proc_tree *tree, struct member *m) {
    const struct io *io = tree->dir->io;
    const uint32_t pid = m->pid;
    char name[16];
    struct stat st;
    if (sleeps_on(tree, m) && (tree->listings + pid) % SLEEPERS_EVERY)
        return 0;
    snprintf(name, sizeof(name), "%u", pid);
    if (io->fstatat(io->data, tree->dir->fd, name, &st, 0) < 0) {
        m->pid = 0;
        return is_no_matter(-errno) ? 0 : -errno;
    }
    m->inode = st.st_ino;
    return add_children(tree, m);
}

int proc_tree_list(struct proc_tree *tree, proc_tree_ask *ask,
                   int (*each)(void *data, uint32_t pid, uint64_t inode), void *data) {
    const struct found before = tree->now;
    size_t asked = 0;
    tree->listings++;
    tree->now = tree->before;
    tree->before = before;
    tree->now.count = 0;
    if (tree->now.places)
        memset(tree->now.places, 0, tree->now.places_size * sizeof(*tree->now.places));
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < tree->roots->count; i++)
        r = add(&tree->now, tree->roots->roots[i].pid);
    if (r == 0 && tree->roots->adopter)
        r = add_children(tree, &(struct member){.pid = tree->roots->adopter});
    /* whom somebody else has adopted since is below no root any more */
    for (size_t i = 0; r == 0 && i < before.count; i++)
        if (before.members[i].pid)
            r = add(&tree->now, before.members[i].pid);
    for (size_t i = 0; r == 0 && i < tree->now.count; i++) {
        if (i == asked)
            asked = ask_from(tree, i, ask, data);
        struct member m = tree->now.members[i]; /* more are added, and move the others */
        r = look_at(tree, &m);
        tree->now.members[i] = m;
        if (r == 0 && m.pid)
            r = each(data, m.pid, m.inode);
    }
    return r;
}

void proc_tree_note_asleep(struct proc_tree *tree, uint32_t pid) {
    struct member *m = find(&tree->now, pid);
    if (m)
        m->is_asleep = true;
}

uint64_t proc_tree_activity(const struct proc_tree *tree, uint32_t pid) {
    const struct member *m = find(&tree->now, pid);
    return m ? m->run.activity : 0;
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
    free(tree->now.members);
    free(tree->now.places);
    free(tree->before.members);
    free(tree->before.places);
    free(tree);
}
