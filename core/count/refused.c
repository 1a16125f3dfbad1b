/* SPDX-License-Identifier: MIT */
#include "count/refused.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

void refused_clear(struct refused *r) {
    free(r->hashes);
    free(r->kept);
    *r = (struct refused){0};
}

void refused_note_hash(struct refused *r, uint64_t hash) {
    if (!r->hashes)
        r->hashes = calloc(REFUSED_SLOTS, sizeof(*r->hashes));
    if (!r->hashes || hash == 0)
        return;
    size_t slot = hash & (REFUSED_SLOTS - 1);
    while (r->hashes[slot] && r->hashes[slot] != hash)
        slot = (slot + 1) & (REFUSED_SLOTS - 1);
    if (r->hashes[slot] || r->hash_count == REFUSED_SLOTS / 2)
        return;
    r->hashes[slot] = hash;
    r->hash_count++;
    r->names++;
}

/* Cut between characters. */
static void copy_name(char to[REFUSED_NAME_SIZE], const char *name) {
    size_t len = 0, more;
    uint32_t code;
    while (name[len] && (more = utf8_char(name + len, strlen(name + len), &code)) > 0 &&
           len + more < REFUSED_NAME_SIZE)
        len += more;
    memcpy(to, name, len);
    to[len] = '\0';
}

/* The entry of a name, or else the one with the fewest processes. */
static struct refused_name *find_kept(struct refused *r, uint64_t hash) {
    struct refused_name *least = r->kept;
    for (size_t i = 0; i < REFUSED_KEPT; i++) {
        if (r->kept[i].hash == hash)
            return &r->kept[i];
        if (r->kept[i].processes < least->processes)
            least = &r->kept[i];
    }
    return least;
}

void refused_note(struct refused *r, const char *name) {
    uint64_t hash = hash_bytes(name, strlen(name));
    hash = hash ? hash : 1;
    r->processes++;
    refused_note_hash(r, hash);
    if (!r->kept)
        r->kept = calloc(REFUSED_KEPT, sizeof(*r->kept));
    if (!r->kept) /* for want of memory nobody is told */
        return;
    struct refused_name *kept = find_kept(r, hash);
    if (kept->hash != hash) {
        kept->hash = hash;
        kept->excess = kept->processes;
        copy_name(kept->name, name);
    }
    kept->processes++;
}

/* By what is certain, then by name. */
static int by_size(const void *a, const void *b) {
    const struct refused_name *x = *(const struct refused_name *const *)a,
                              *y = *(const struct refused_name *const *)b;
    const uint64_t p = x->processes - x->excess, q = y->processes - y->excess;
    return p != q ? (p < q ? 1 : -1) : strcmp(x->name, y->name);
}

size_t refused_largest(const struct refused *r, const struct refused_name **ret, size_t size) {
    const struct refused_name *all[REFUSED_KEPT] = {NULL};
    size_t count = 0;
    for (size_t i = 0; r->kept && i < REFUSED_KEPT; i++)
        if (r->kept[i].hash)
            all[count++] = &r->kept[i];
    if (count == 0)
        return 0;
    qsort(all, count, sizeof(all[0]), by_size);
    if (count > size)
        count = size;
    memcpy(ret, all, count * sizeof(all[0]));
    return count;
}
