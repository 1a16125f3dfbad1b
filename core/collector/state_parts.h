/* SPDX-License-Identifier: MIT */
/* What the parts of the state file have in common. For state*.c alone. */
#ifndef STATE_PARTS_H
#define STATE_PARTS_H

#include "base/buf.h"
#include "count/counting.h"

/* ---- Numbers and texts: see state.c ------------------------------------------------- */

void put_number(struct buf *to, uint64_t value);
void put_text(struct buf *to, const char *text);

struct reader {
    unsigned version;
    const char *at, *end;
    bool bad; /* what was read since it became so is 0 and "" */
};

uint64_t get_number(struct reader *r);
uint32_t get_number32(struct reader *r);
struct text get_text(struct reader *r);

/* ---- Groups ------------------------------------------------------------------------- */

#define COUNTERS_MOST (2 * METRICS_OF_GROUP + 2)
#define THREAD_NUMBERS_MOST (2 * (size_t)THREAD_FIELDS) /* of a name */

/* With a top: how much of a counter was not shown yet. Its id is the counter's behind a word,
 * which is taken off here; false: it is not one of these. */
void put_unshown_id(struct buf *to, const char *counter);
bool take_unshown(struct text *id);

/* What the file calls group or counter 0, 1, 2 … is here: */
struct translation {
    uint32_t *groups;
    size_t group_count;
    struct counter_place {
        enum { PLACE_NONE, PLACE_VALUE, PLACE_UNSHOWN, PLACE_STANDING, PLACE_SCORE } what;
        enum metric metric;
    } counters[COUNTERS_MOST];
    size_t counter_count;
    bool same_source;
    struct thread_place {
        enum thread_field field; /* THREAD_FIELDS: of a version that had it */
        bool is_unshown;
    } thread_places[THREAD_NUMBERS_MOST];
    size_t thread_field_count;
    struct thread_slots { /* by the file's group: where its names of threads are */
        uint32_t *slots;
        size_t count;
    } *thread_groups; /* as many as group_count; NULL: none */
};

/* The number that a group has in the file. */
void put_group_number(struct buf *to, const struct tallies *t, uint32_t group);
/* Reads such a number. The group it is here; r->bad if there is none. */
uint32_t translate(const struct translation *names, struct reader *r);

/* ---- Parts that only some states have: -EBADMSG, -ENOMEM --------------------------- */

void put_cgroups(struct buf *to, const struct counting *c);
int get_cgroups(struct reader *r, struct counting *c, const struct translation *names);

void put_threads(struct buf *to, const struct counting *c);
int get_threads(struct reader *r, struct counting *c, struct translation *names);
/* What is not known of the threads of processes from before is not counted. */
void forget_threads(struct counting *c);

#endif
