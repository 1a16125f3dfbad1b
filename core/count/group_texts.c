/* SPDX-License-Identifier: MIT */
#include "count/group_texts.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>

char *clean_copy(struct text text) {
    struct buf clean;
    buf_init(&clean, GROUP_NAME_MAX + 8);
    utf8_clean(text.at, text.len, GROUP_NAME_MAX, &clean);
    buf_text(&clean);
    if (clean.error) {
        buf_free(&clean);
        return NULL;
    }
    return clean.data;
}

static void free_all(struct group_texts *t) {
    for (size_t i = 0; i < t->label_count; i++)
        free((char *)(uintptr_t)t->labels[i].value);
    free(t->name);
    free(t);
}

int group_texts_new(char *name, const struct group_labels *labels, struct group_texts **ret) {
    struct group_texts *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    atomic_init(&t->references, 1);
    for (size_t i = 0; labels && i < labels->count; i++) {
        if (labels->items[i].value.len == 0)
            continue;
        char *value = clean_copy(labels->items[i].value);
        if (!value) {
            free_all(t);
            return -ENOMEM;
        }
        t->labels[t->label_count++] = (struct label){labels->items[i].key, value};
    }
    t->name = name;
    *ret = t;
    return 0;
}

struct group_texts *group_texts_ref(struct group_texts *t) {
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

struct group_texts *group_texts_unref(struct group_texts *t) {
    if (t && atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) == 1)
        free_all(t);
    return NULL;
}
