/* SPDX-License-Identifier: MIT */
/*
 * Sockets by inode, each once for an owner, however many descriptors lead to it. The table is
 * emptied at each collection and keeps its memory.
 */
#ifndef SOCKET_TABLE_H
#define SOCKET_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Most that are kept at a time; that takes 32 MiB. */
#define SOCKETS_MOST (1u << 20)

struct socket_slot {
    uint64_t inode;
    uint32_t owner;
    uint32_t round_and_kind; /* the kind in 8 bits; one of an earlier round is free */
};

/* All zero is an empty one. */
struct socket_table {
    struct socket_slot *slots;
    size_t size; /* a power of two; 0: no memory yet */
    size_t count;
    uint32_t round;
};

/* Empties it. */
void socket_table_begin(struct socket_table *t);
void socket_table_free(struct socket_table *t);
/* 1: it is new; 0: it was there already, and stays as it was; -ENOMEM; -E2BIG: there are
 * SOCKETS_MOST. */
int socket_table_add(struct socket_table *t, uint64_t inode, uint32_t owner, uint8_t kind);
/* The kind that it was added with, or -ENOENT. */
int socket_table_find(const struct socket_table *t, uint64_t inode, uint32_t owner);

#endif
