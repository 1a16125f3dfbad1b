/* SPDX-License-Identifier: MIT */
/* What `proctally top` shows, without a terminal: the rows of a snapshot, chosen, sorted and
 * made a tree, and what stands in their columns. */
#ifndef TOP_MODEL_H
#define TOP_MODEL_H

#include "proctally.h"

enum top_view { TOP_GROUPS, TOP_PROCESSES };

enum top_kind {
    TOP_GROUP = 1 << 0,
    TOP_PROCESS = 1 << 1,
    /* What the processes of a group used that have ended since the snapshot before */
    TOP_ENDED = 1 << 2
};

struct top_row {
    enum top_kind kind;
    size_t index;   /* of the process, or of the group */
    unsigned depth; /* in the tree */
};

enum top_form { TOP_TEXT, TOP_COUNT, TOP_PERCENT, TOP_BYTES, TOP_TIME };

enum top_column {
    TOP_PID,
    TOP_USER,
    TOP_STATE,
    TOP_MEMBERS,
    TOP_THREADS,
    TOP_CPU,
    TOP_ENDED_CPU,
    TOP_CPU_TIME,
    TOP_RSS,
    TOP_MEMORY_SHARE,
    TOP_READ,
    TOP_WRITTEN,
    TOP_RECEIVED,
    TOP_SENT,
    TOP_GROUP_NAME,
    TOP_NAME,
    TOP_COLUMNS
};

struct top_column_info {
    const char *title;
    size_t width;         /* columns of the screen; the last one takes what is left */
    size_t screen_from;   /* how wide a screen has to be to show it */
    enum top_form form;
    unsigned views;       /* bits of 1 << enum top_view */
    unsigned kinds;       /* bits of enum top_kind: the rows that can have one */
};
extern const struct top_column_info top_columns[TOP_COLUMNS];

/* The host's CPU time by what it was spent on, as in the catalogue of metrics */
enum { TOP_CPU_MODES = 8 };

/* Metrics by their number in the catalogue, which top_model_new() looks up. */
enum top_metric {
    TOP_M_PROCESSES,
    TOP_M_THREADS,
    TOP_M_CPU_USAGE,
    TOP_M_CPU_USER,
    TOP_M_CPU_SYSTEM,
    TOP_M_RSS,
    TOP_M_DISK_READ,
    TOP_M_DISK_WRITTEN,
    TOP_M_RECEIVED_TCP,
    TOP_M_RECEIVED_UDP,
    TOP_M_SENT_TCP,
    TOP_M_SENT_UDP,
    TOP_M_COVERAGE,
    TOP_M_LOST_EVENTS,
    TOP_M_UPTIME,
    TOP_M_LOAD_1,
    TOP_M_LOAD_5,
    TOP_M_LOAD_15,
    TOP_M_USERS,
    TOP_M_CPUS,
    TOP_M_HOST_CPU, /* the first of TOP_CPU_MODES, which stand together */
    TOP_M_MEMORY_TOTAL,
    TOP_M_MEMORY_FREE,
    TOP_M_MEMORY_AVAILABLE,
    TOP_M_MEMORY_BUFFERS,
    TOP_M_MEMORY_CACHED,
    TOP_M_SWAP_TOTAL,
    TOP_M_SWAP_FREE,
    TOP_M_TASKS,
    TOP_M_HOST_THREADS,
    TOP_M_TASKS_RUNNING,
    TOP_M_TASKS_SLEEPING,
    TOP_M_TASKS_DISK_SLEEP,
    TOP_M_TASKS_STOPPED,
    TOP_M_TASKS_ZOMBIE,
    TOP_M_TASKS_IDLE,
    TOP_METRICS
};

struct top_model {
    /* What the user chose; top_model_arrange() acts on it. */
    enum top_view view;
    enum top_column sort;
    bool is_reversed;
    bool is_tree;
    char filter[256];    /* a part of a name, in whatever case; "" shows all */
    char only_group[1024]; /* the processes of this group alone; "": of all */

    const struct top_row *rows; /* as arranged */
    size_t row_count;

    const tally_snapshot *now, *before; /* NULL until there is one */

    /* the rest is top_model.c's own */
    size_t metric[TOP_METRICS];
    bool is_regrouped; /* `before` has other groups */
    struct top_share { bool is_known; uint64_t billionths; } *ended; /* for each group */
    size_t ended_size;
    struct top_node *nodes;
    size_t node_count, node_size;
    struct top_row *row_room;
    size_t *order;
};

/* Groups by CPU usage. -ENOENT: the library lacks a metric. */
int top_model_new(struct top_model *model);
void top_model_free(struct top_model *model);

/* The next snapshot, of which it takes a reference. With `is_regrouped` its groups are not
 * those of the one before. -ENOMEM. */
int top_model_take(struct top_model *model, const tally_snapshot *s, bool is_regrouped);
/* Makes the rows. -ENOMEM. */
int top_model_arrange(struct top_model *model);

/* The neighbour of the column that sorts, in the view and its order. */
enum top_column top_model_neighbour(const struct top_model *model, int by);
/* The column of this title, in whatever case. -ENOENT: the view has none. */
int top_model_find(enum top_view view, const char *title, enum top_column *ret);

/* What stands in a column that is no text: billionths of a ratio, bytes, bytes in a second,
 * nanoseconds or a count. False: it is not known, which is not 0. */
bool top_model_value(const struct top_model *model, const struct top_row *row,
                     enum top_column column, uint64_t *ret);
/* A text, which is not cleaned; NULL: it is not known. Valid as long as the snapshot. */
const char *top_model_text(const struct top_model *model, const struct top_row *row,
                           enum top_column column, size_t *ret_len);

/* Of the host or the collector. */
bool top_model_metric(const struct top_model *model, enum top_metric metric, uint64_t *ret);
/* What share of the CPU time between the two snapshots was spent so; mode: 0 for user, … in
 * the catalogue's order. */
bool top_model_cpu_share(const struct top_model *model, size_t mode, uint64_t *ret_billionths);
/* The CPU usage of what has ended, in all groups together. */
bool top_model_ended(const struct top_model *model, uint64_t *ret_billionths);
/* The process with this pid that started then. False: it has ended. */
bool top_model_find_process(const struct top_model *model, pid_t pid, uint64_t start_ns,
                            size_t *ret_index);

#endif
