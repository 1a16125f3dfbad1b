/* SPDX-License-Identifier: MIT */
/*
 * A mounted tree of small texts, behind libfuse's low level API. What is in it is the
 * business of a provider: the library with what a program has registered, proctally-fs
 * with the snapshot of its last collection. The tree holds nothing but the descriptors
 * that are open, and asks the provider for everything by the number of a node.
 *
 * Numbers are never used again, and are never addresses: the kernel may keep one for as
 * long as it likes, and whoever lists the tree learns nothing of our memory. The provider
 * says -ENOENT for one that is gone.
 *
 * What a reader sees: a file is as large as the text that it has now. A descriptor gets the
 * text of one moment at its first read, and that of a new moment whenever it reads from
 * offset 0 again, as in sysfs; so a loop of pread(fd, …, 0) sees news, and a file that takes
 * many reads is never mixed of two moments. Pages are not cached (what goes around read(2),
 * that is sendfile(2) and mmap(2), may mix moments). A directory is listed as it was when
 * it was opened, or rewound. All that would change the tree is refused with EROFS.
 *
 * One thread at a time serves a tree. It calls the provider without holding anything.
 */
#ifndef FS_TREE_H
#define FS_TREE_H

#include "proctally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Whoever may read could have us keep a text for each file that is open: above this there is
 * none for another. */
#define TREE_HELD_MOST (64u << 20)
#define TREE_WRITE_MOST 65536 /* bytes of one text that is written */
#define TREE_ROOT 1 /* the number of the root; the provider chooses the others */

struct tree;

struct tree_node {
    uint64_t id;
    bool is_directory;
    bool is_writable;       /* a file that takes texts */
    size_t size_bytes;      /* of the text that a read would get now; 0 for a directory */
    struct timespec changed;
    /* For how long the kernel may take the name, and for a directory what is here, as
     * known. A name that goes and comes back with another number in that time cannot be
     * opened until it is over. */
    double known_for_s;
};

/* What a descriptor holds: a text of its own, or a view into something that is kept until
 * release() was called. Both are for the provider to choose. */
struct tree_text {
    const char *data;
    size_t len;
    void (*release)(void *owner); /* NULL: nothing to release */
    void *owner;
    bool is_own; /* nobody else has it in memory */
};

/* What a directory holds, in one piece of memory. */
struct tree_list;
/* 0, -ENOMEM. Without "." and "..". */
int tree_list_add(struct tree_list *list, const char *name, uint64_t id, bool is_directory);

/* Each gets the pointer that tree_new() was given, and answers 0 or -errno, which goes to
 * whoever made the system call. */
struct tree_ops {
    int (*lookup)(void *provider, uint64_t directory, const char *name, struct tree_node *ret);
    /* `ret` is NULL where only it matters whether there still is such a node. */
    int (*look)(void *provider, uint64_t id, struct tree_node *ret);
    int (*text)(void *provider, uint64_t id, struct tree_text *ret);
    int (*list)(void *provider, uint64_t directory, struct tree_list *to);
    /* One write(2) is one text, of up to TREE_WRITE_MOST bytes, not ended by a NUL byte. NULL:
     * nothing is writable. */
    int (*write)(void *provider, uint64_t id, const char *text, size_t len);
    /* poll(2) waits for tree_changed(). Otherwise a file can always be read. */
    bool announces;
};

struct tree_options {
    const char *mountpoint;
    bool allow_other; /* other users may look, too */
};

/* Mounts. A directory that is missing is made, and stays; one that is not empty, or in
 * which another tree is mounted, is refused. A mount of ours whose server is gone is
 * cleared away first.
 *
 * As root this takes CAP_SYS_ADMIN, and as another user the program fusermount3; both
 * only now. A shell is started that waits for our end, however it comes, and then unmounts:
 * so the tree ends well after SIGKILL, and after all rights were given up.
 * -errno, with a sentence. */
int tree_new(const struct tree_ops *ops, void *provider, const struct tree_options *options,
             struct tree **ret_tree, struct tally_error *error);

/* Readable when there is something to serve. */
int tree_fd(const struct tree *tree);
/* Serves one request, if there is one, and never waits (but for 10 ms when there is no memory
 * to take it). 1: the tree was unmounted from outside, and there will be no more; -errno: the
 * connection broke, and who waits for an answer has been told. */
int tree_serve(struct tree *tree);
/* From any thread: there are new texts. Wakes who polls. */
void tree_changed(struct tree *tree);

/* Unmounts, whoever may still have files open: they get ENOTCONN. Nobody may be serving.
 * NULL is fine, and is what comes back. */
struct tree *tree_free(struct tree *tree);
/* In a child after fork(2), whose parent goes on: closes the descriptors, and no more. */
void tree_leave(struct tree *tree);

#endif
