/* SPDX-License-Identifier: MIT */
/* Which files there are for what is registered, and what is in them. The number of a node
 * in the tree is that of an item and of a part of it. */
#ifndef FILES_H
#define FILES_H

#include "items.h"
#include "tree.h"

enum part {
    PART_SELF,
    PART_ALL,
    PART_METRICS, /* of the root */
    PART_INFLUX,
    PART_COUNT, /* from here on of series */
    PART_SUM,
    PART_MIN,
    PART_MAX,
    PART_LAST,
    PART_MEAN,
    PART_VARIANCE,
    PART_STDDEV,
    PART_RESET,
    PART_INTERVAL,
    PART_PERCENTILES, /* the first one */
};

struct place {
    struct item *item;
    enum part part;
};

/* False: there is none. */
bool place_find(const struct items *items, uint64_t id, struct place *ret);
bool place_child(const struct items *items, struct place directory, const char *name,
                 struct place *ret);
uint64_t place_id(struct place place);
bool place_is_directory(struct place place);
bool place_is_writable(struct place place);

int place_text(struct items *items, struct place place, struct buf *to);
int place_list(struct place directory, struct tree_list *to);
/* The text is ended by a NUL byte that len does not count. */
int place_write(struct items *items, struct place place, const char *text, size_t len,
                uint64_t now_ns);

/* Of a series that was read: false if it is not known. */
bool part_value(const struct item *series, enum part part, struct buf *to);
/* What comes after the last one. */
enum part part_end(const struct item *series);
/* With the 'p' of percentiles, as long as `room` (20) takes it. */
const char *part_name(const struct item *series, enum part part, char room[static 20]);
/* As it is now, without a newline. */
int item_value(const struct item *item, struct buf *to);

/* All that has a name there. */
void metrics_write(struct items *items, struct buf *to);
void influx_write(struct items *items, struct buf *to);

#endif
