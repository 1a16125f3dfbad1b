/* SPDX-License-Identifier: MIT */
/*
 * What a collector is to do, as plain data: what to collect, from where, the keys to
 * group by, the rules as text. Made from the configuration before the first collection,
 * and never changed after that. All stages may read it; none needs to know how the user
 * wrote it down.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "proctally.h"
#include "base/string_list.h"

/* What group-by may name; also the label. In the order of the names. */
enum group_key {
    GROUP_NAME,
    GROUP_USER,
    GROUP_CMDLINE,
    GROUP_EXE,
    GROUP_CGROUP,
    GROUP_UNIT,
    GROUP_CONTAINER,
    GROUP_PID,
    GROUP_KEYS
};
extern const char *const group_key_names[GROUP_KEYS + 1]; /* ended by NULL */

/* The labels that `container-names` adds. In the order of the names. */
enum container_label {
    CONTAINER_POD,
    CONTAINER_NAMESPACE,
    CONTAINER_NAME,
    CONTAINER_IMAGE,
    CONTAINER_LABELS
};
extern const char *const container_label_names[CONTAINER_LABELS];

/* What `collect` switches. In the order of the names. */
enum collect {
    COLLECT_CGROUP,
    COLLECT_CONTEXT_SWITCHES,
    COLLECT_DELAYS,
    COLLECT_EXITS,
    COLLECT_FDS,
    COLLECT_IO,
    COLLECT_MEMORY_DETAILS,
    COLLECT_NETWORK,
    COLLECT_PSS,
    COLLECT_SOCKETS,
    COLLECT_STATES,
    COLLECT_THREAD_NAMES,
    COLLECT_THREADS,
    COLLECTS
};
#define COLLECT_DEFAULT \
    (((1u << COLLECTS) - 1) & \
     ~(1u << COLLECT_CGROUP | 1u << COLLECT_EXITS | 1u << COLLECT_MEMORY_DETAILS | \
       1u << COLLECT_PSS | 1u << COLLECT_SOCKETS | 1u << COLLECT_THREAD_NAMES))
extern const char *const collect_names[COLLECTS + 1];

/* What `kernel-threads` may be. In the order of the names. */
enum kernel_threads { KERNEL_THREADS_ONE, KERNEL_THREADS_SPLIT, KERNEL_THREADS_LEFT_OUT };
extern const char *const kernel_threads_names[];

/* What `source` may be. In the order of the names. */
enum source_choice { SOURCE_AUTO, SOURCE_PROCFS, SOURCE_BPF, SOURCES };
extern const char *const source_names[SOURCES + 1];

/* What `top` may go by. In the order of the names. */
enum top_by { TOP_BY_NONE, TOP_BY_CPU, TOP_BY_MEMORY, TOP_BY_IO, TOP_BY_NETWORK };
extern const char *const top_by_names[]; /* from TOP_BY_CPU on */

/* The selectors of a rule. */
enum selector {
    SELECTOR_COMM,
    SELECTOR_EXE,
    SELECTOR_CMDLINE,
    SELECTOR_USER,
    SELECTOR_CGROUP,
    SELECTOR_UNIT,
    SELECTOR_GID, /* by name or number */
    SELECTOR_PID_FILE,
    SELECTOR_KERNEL, /* "true" or "false" */
    SELECTORS,
    SELECTOR_PARENT = SELECTORS, /* a selection of its own, besides the lists of texts */
    SELECTOR_NAMES
};
extern const char *const selector_names[SELECTOR_NAMES];

/* Selections of ancestors, in all rules together. */
#define RULE_PARENTS_MOST 32
/* Files that are read in each collection. */
#define RULE_PID_FILES_MOST 64

/* What a rule looks for: all that is given has to match. */
struct selection {
    struct string_list selectors[SELECTORS];
    struct selection *unless; /* and nothing of this; NULL: not given */
    struct selection *parent; /* and an ancestor that has all of this; NULL: not given */
};

struct rule_text {
    char *name; /* the template; empty if it leaves out */
    struct selection when;
    bool drop;     /* what it takes is left out */
    unsigned line; /* in the file; 0: not from a file */
};

/* Metrics of groups: METRIC_SET(a) | METRIC_SET(b) … of count/metrics.h. */
typedef unsigned __int128 metric_set;

struct settings {
    /* where from */
    enum source_choice source;
    char *procfs;  /* where the proc file system is mounted */
    char *pin_dir; /* NULL: nothing is pinned */
    uint64_t max_processes;
    unsigned collect; /* bits of 1 << enum collect */
    bool brief;       /* read only the cheapest files of each process */
    /* What has a file of its own, and of which nothing is asked for: status, limits. */
    bool spares_memory, spares_fd_limits;
    bool with_cmdlines; /* and its command line */

    /* into which groups */
    struct string_list include, exclude;
    struct rule_text *rules;
    size_t rule_count;
    bool children;
    enum group_key group_by[GROUP_KEYS];
    size_t group_by_count;
    bool container_names;
    enum kernel_threads kernel_threads;
    uint64_t max_groups, expire_after_ns;
    /* as process-exporter has it: groups without processes stay until others need the room, or
     * all of them go at once, those too that a rule names */
    bool keeps_empty, drops_empty;
    uint64_t max_thread_names; /* of a group */
    bool fold_thread_names;
    uint64_t top;
    enum top_by top_by; /* TOP_BY_NONE: it is for group-by pid alone */

    metric_set unsent; /* what the option metrics leaves out */
    unsigned unsent_parts; /* the same of parts of groups, from METRIC_THREAD_FIRST on */
    uint64_t unsent_self; /* the same about the collector: 1 << number from the first on */

    /* in which words */
    bool cpu_mode_core;
    enum tally_schema schema;
    char *prefix; /* of the groups' series, in this schema */
    char *self_prefix; /* of those about the collector */
    char *measurement; /* that without the underscores at its end */
    struct string_list labels; /* KEY=VALUE */

    char *state_file; /* NULL: none */
};

void settings_free(struct settings *s);

/* No empty lists, and nothing unless. */
bool selection_is_empty(const struct selection *s);
/* Can groups have the figures of control groups? They can where group-by has no other keys
 * than unit, container and cgroup: else several groups would share a control group, and each
 * of them would show all of it. */
bool settings_group_by_cgroup(const struct settings *s);

int rule_text_copy(struct rule_text *to, const struct rule_text *from);
void rule_text_free(struct rule_text *rule);

#endif
