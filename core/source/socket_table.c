/* SPDX-License-Identifier: MIT */
#include "source/socket_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_AT_FIRST 1024u
#define ROUND_MOST ((1u << 24) - 1)

_Static_assert(sizeof(struct socket_slot) == 16, "four in a cache line");

void socket_table_begin(struct socket_table *t) {
    t->count = 0;
    if (t->round++ < ROUND_MOST)
        return;
    /* the numbers come again */
    if (t->size)
        memset(t->slots, 0, t->size * sizeof(*t->slots));
    t->round = 1;
}

void socket_table_free(struct socket_table *t) {
    free(t->slots);
    *t = (struct socket_table){0};
}

static bool is_taken(const struct socket_table *t, const struct socket_slot *slot) {
    return slot->round_and_kind >> 8 == t->round;
}

/* Inodes are given in order, in runs for each CPU. */
static size_t first_slot(const struct socket_table *t, uint64_t inode, uint32_t owner) {
    uint64_t h = (inode ^ (uint64_t)owner << 32) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 32) & (t->size - 1);
}

/* Where it is, or the free slot where it would be. There is one: half of them are free. */
static struct socket_slot *slot_of(const struct socket_table *t, uint64_t inode, uint32_t owner) {
    size_t at = first_slot(t, inode, owner);
    while (is_taken(t, &t->slots[at]) &&
           (t->slots[at].inode != inode || t->slots[at].owner != owner))
        at = (at + 1) & (t->size - 1);
    return &t->slots[at];
}

static int grow(struct socket_table *t) {
    struct socket_table larger = {.size = t->size ? t->size * 2 : SIZE_AT_FIRST,
                                  .count = t->count,
                                  .round = t->round};
    larger.slots = calloc(larger.size, sizeof(*larger.slots));
    if (!larger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < t->size; i++)
        if (is_taken(t, &t->slots[i]))
            *slot_of(&larger, t->slots[i].inode, t->slots[i].owner) = t->slots[i];
    free(t->slots);
    *t = larger;
    return 0;
}

int socket_table_add(struct socket_table *t, uint64_t inode, uint32_t owner, uint8_t kind) {
    if (2 * t->count >= t->size && t->count < SOCKETS_MOST) {
        int r = grow(t);
        if (r < 0)
            return r;
    }
    struct socket_slot *slot = slot_of(t, inode, owner);
    if (is_taken(t, slot))
        return 0;
    if (t->count == SOCKETS_MOST)
        return -E2BIG;
    *slot = (struct socket_slot){inode, owner, t->round << 8 | kind};
    t->count++;
    return 1;
}

int socket_table_find(const struct socket_table *t, uint64_t inode, uint32_t owner) {
    if (t->size == 0)
        return -ENOENT;
    const struct socket_slot *slot = slot_of(t, inode, owner);
    return is_taken(t, slot) ? (int)(slot->round_and_kind & 0xff) : -ENOENT;
}
