/* SPDX-License-Identifier: MIT */
/* The name and the labels of a group. They never change, and are shared by the group and
 * the snapshots that show it, which may be read by other threads and outlive it. */
#ifndef GROUP_TEXTS_H
#define GROUP_TEXTS_H

#include "source/identity.h"

#include <stdatomic.h>

/* Longest name of a group or value of a label, in bytes. */
#define GROUP_NAME_MAX 512
/* The keys of group-by, and those that pid and container bring along. */
#define LABELS_MAX 20

struct label {
    const char *key; /* constant text */
    const char *value;
};

struct group_texts {
    atomic_uint references;
    size_t label_count;
    struct label labels[LABELS_MAX];
    char *name;
};

/* Labels as they are asked for: raw bytes. */
struct group_labels {
    size_t count;
    struct {
        const char *key; /* constant text */
        struct text value;
    } items[LABELS_MAX];
};

/* A copy that is fit to be shown (utf8_clean()), ended by a NUL byte; NULL: no memory.
 * It is the caller's. */
char *clean_copy(struct text text);

/* With one reference. Takes over the name, which is clean, unless it fails. Empty labels
 * are left out, as no agent tells them from none. -ENOMEM. */
int group_texts_new(char *name, const struct group_labels *labels, struct group_texts **ret);
struct group_texts *group_texts_ref(struct group_texts *t);
struct group_texts *group_texts_unref(struct group_texts *t); /* accepts and returns NULL */

#endif
