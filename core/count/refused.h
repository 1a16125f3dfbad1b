/* SPDX-License-Identifier: MIT */
/*
 * What did not fit into max-groups: how many names, and which of them have most processes.
 * However many names there are, the memory for it is bounded. Of the names with most
 * processes a few are kept as in "Efficient computation of frequent and top-k elements in
 * data streams" (Metwally, Agrawal, El Abbadi, 2005): a new name takes the place of the one
 * with the fewest and its count as well, so that a count is never too low, and a name that
 * has more than one of REFUSED_KEPT of all processes is always among them.
 */
#ifndef REFUSED_H
#define REFUSED_H

#include <stddef.h>
#include <stdint.h>

/* Distinct names that are told apart; past half of the slots the count stands still. */
#define REFUSED_SLOTS (128u << 10)
#define REFUSED_KEPT 64u
/* Of each name; what is longer is cut. */
#define REFUSED_NAME_SIZE 64u

struct refused_name {
    uint64_t hash;      /* of the whole name; 0: the entry is free */
    uint64_t processes; /* that were refused under it, at most … */
    uint64_t excess;    /* … and this many of them may be of others */
    char name[REFUSED_NAME_SIZE];
};

struct refused {
    uint64_t names;     /* distinct ones */
    uint64_t processes; /* how often one was refused, since this began */
    uint64_t *hashes;   /* of names: REFUSED_SLOTS, 0: free; or NULL */
    size_t hash_count;
    struct refused_name *kept; /* REFUSED_KEPT; or NULL */
};

void refused_clear(struct refused *r);

/* A process had this clean name. */
void refused_note(struct refused *r, const char *name);
/* A name, by its hash (not 0), from a state: it is counted if it is a new one. */
void refused_note_hash(struct refused *r, uint64_t hash);
/* Those with most processes first; returns how many of the entries are filled, up to `size`.
 * They belong to `r`, and are valid until the next call that notes something. */
size_t refused_largest(const struct refused *r, const struct refused_name **ret, size_t size);

#endif
