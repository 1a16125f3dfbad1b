/* SPDX-License-Identifier: MIT */
/* What a program has registered: directories with values in them, each with its number and
 * its name in metrics. The lock is library.c's. */
#ifndef ITEMS_H
#define ITEMS_H

#include "proctally_fs.h"

#include "base/buf.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum item_type {
    ITEM_DIRECTORY,
    ITEM_U32,
    ITEM_U64,
    ITEM_INT,
    ITEM_I64,
    ITEM_DOUBLE,
    ITEM_TEXT,
    ITEM_CALLS,
    ITEM_SERIES
};

/* How Prometheus sees it. One name has one of these. */
enum family_type {
    FAMILY_GAUGE,
    FAMILY_COUNTER,
    FAMILY_SUMMARY,
    FAMILY_HISTOGRAM
};

/* How line protocol sees it: a field keeps its type for ever. */
enum value_type {
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_TEXT
};

/* The items that have one name in metrics, and one shape, and differ in their labels. */
struct family {
    char *name;
    char *help; /* NULL: nobody gave one */
    struct family_shape {
        enum family_type type;
        enum value_type values;
        uint64_t per_unit;
        size_t field_len; /* of the name's beginning that is the field's in line protocol */
    } shape;
    struct item *first, *last;
    UT_hash_handle hh, hh_field;
    bool unhashed;
};

union item_bound {
    uint64_t whole; /* of U32 and U64 */
    int64_t number; /* of INT and I64 */
    double real;
};

struct item {
    tally_fs_item number;
    enum item_type type;
    struct item *parent;
    struct item *next, *previous, *first, *last; /* among its siblings, and its children */

    union {
        const void *read; /* a value of the program */
        void *write;      /* … that is a parameter */
        char *text;
        struct tally_fs_calls calls;
        tally_fs_series *series;
    };
    bool is_parameter;
    union item_bound min, max;
    uint64_t per_unit;
    /* of a series that is reset again and again; monotonic time */
    uint64_t interval_ns, due_ns;
    struct item *timed_next;

    /* In metrics. */
    char *sample;        /* NAME{labels}; NULL: it is in none. Of a directory: how the names
                          * of what is in it begin */
    size_t sample_name;  /* the length of NAME */
    size_t sample_field; /* … without what only counters have at the end */
    char *labels, *tags; /* of a directory: key="value", and ,key=value in line protocol */
    bool is_label;       /* a directory that has a label to itself */
    struct family *family;
    struct item *family_next, *family_previous;

    UT_hash_handle hh_number, hh_name, hh_sample;
    bool unhashed; /* there was no memory for a table */
    size_t key_len;
    char key[]; /* the parent's number in 8 bytes, and the name */
};

struct items {
    struct item *root;
    tally_fs_item given; /* the last number */
    struct item *by_number, *by_name, *by_sample;
    struct family *families, *by_field;
    bool unsorted;      /* the families */
    struct item *timed; /* the series that have an interval */
};

/* What is in common to all kinds: checked and put into the tree; 0 or what proctally_fs.h
 * says. `like` has the type and what belongs to it, and is copied. */
int items_add(struct items *items, tally_fs_item parent, const char *name,
              const struct item *like, const struct tally_fs_about *about, const char *label,
              struct item **ret_item);
void items_remove(struct items *items, struct item *item);

struct item *items_get(const struct items *items, tally_fs_item number);
struct item *items_child(const struct items *items, const struct item *directory,
                         const char *name, size_t len);
static inline const char *item_name(const struct item *item) {
    return item->key + sizeof(tally_fs_item);
}
static inline bool item_is_directory(const struct item *item) {
    return item->type == ITEM_DIRECTORY || item->type == ITEM_SERIES;
}

/* 0: it is not reset any more. -ENOMEM. */
int items_set_interval(struct items *items, struct item *item, uint64_t interval_ns,
                        uint64_t now_ns);
/* Resets the series whose interval is over. */
void items_begin_intervals(struct items *items, uint64_t now_ns);

/* By name. */
void items_sort_families(struct items *items);

int items_init(struct items *items, const char *name);
void items_free(struct items *items);

#endif
