/* SPDX-License-Identifier: MIT */
#include "count/tallies.h"

#include "base/buf.h"
#include "count/top.h"
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#undef uthash_nonfatal_oom
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)

/* Most groups of single processes, of which only the top is shown. */
#define OWN_LIMIT 65536u

/* How a member's value gets into a gauge. */
enum how { HOW_NOT, HOW_SUM, HOW_LOWEST, HOW_HIGHEST };

/* Counters: where the increase of a field goes. What reaped children used goes
 * where the process's own use goes. */
static const enum metric counter_metric[FIELD_COUNTERS] = {
    [FIELD_UTIME_NS] = METRIC_CPU_USER,
    [FIELD_STIME_NS] = METRIC_CPU_SYSTEM,
    [FIELD_MINFLT] = METRIC_FAULTS_MINOR,
    [FIELD_MAJFLT] = METRIC_FAULTS_MAJOR,
    [FIELD_VOLUNTARY_SWITCHES] = METRIC_SWITCHES_VOLUNTARY,
    [FIELD_INVOLUNTARY_SWITCHES] = METRIC_SWITCHES_INVOLUNTARY,
    [FIELD_RUN_QUEUE_WAIT_NS] = METRIC_RUN_QUEUE_WAIT,
    [FIELD_BLKIO_DELAY_NS] = METRIC_BLKIO_DELAY,
    [FIELD_CUTIME_NS] = METRIC_CPU_USER,
    [FIELD_CSTIME_NS] = METRIC_CPU_SYSTEM,
    [FIELD_CMINFLT] = METRIC_FAULTS_MINOR,
    [FIELD_CMAJFLT] = METRIC_FAULTS_MAJOR,
    [FIELD_IO_READ_BYTES] = METRIC_IO_READ,
    [FIELD_IO_WRITTEN_BYTES] = METRIC_IO_WRITTEN,
    [FIELD_IO_READS] = METRIC_IO_READS,
    [FIELD_IO_WRITES] = METRIC_IO_WRITES,
    [FIELD_DISK_READ_BYTES] = METRIC_DISK_READ,
    [FIELD_DISK_WRITTEN_BYTES] = METRIC_DISK_WRITTEN,
    [FIELD_SWITCHES] = METRIC_SWITCHES_UNSPLIT,
    [FIELD_UNIX_CALLS] = METRIC_SYSCALLS_UNIX,
    [FIELD_MACH_CALLS] = METRIC_SYSCALLS_MACH,
    [FIELD_MESSAGES_SENT] = METRIC_MESSAGES_SENT,
    [FIELD_MESSAGES_RECEIVED] = METRIC_MESSAGES_RECEIVED,
    [FIELD_COW_FAULTS] = METRIC_COW_FAULTS,
    [FIELD_INSTRUCTIONS] = METRIC_INSTRUCTIONS,
    [FIELD_CYCLES] = METRIC_CYCLES,
    [FIELD_ENERGY_NJ] = METRIC_ENERGY,
};

/* Gauges that are a field of each member, put together. */
static const struct {
    enum metric metric;
    enum field field;
    enum how how;
} gauges[] = {
    {METRIC_THREADS, FIELD_THREADS, HOW_SUM},
    {METRIC_THREADS_RUNNING, FIELD_THREADS_RUNNING, HOW_SUM},
    {METRIC_RSS, FIELD_RSS_BYTES, HOW_SUM},
    {METRIC_RSS_PEAK, FIELD_RSS_PEAK_BYTES, HOW_HIGHEST},
    {METRIC_VMS, FIELD_VMS_BYTES, HOW_SUM},
    {METRIC_SWAP, FIELD_SWAP_BYTES, HOW_SUM},
    {METRIC_FOOTPRINT, FIELD_FOOTPRINT_BYTES, HOW_SUM},
    {METRIC_DATA, FIELD_DATA_BYTES, HOW_SUM},
    {METRIC_STACK, FIELD_STACK_BYTES, HOW_SUM},
    {METRIC_CODE, FIELD_CODE_BYTES, HOW_SUM},
    {METRIC_SHARED, FIELD_SHARED_BYTES, HOW_SUM},
    {METRIC_SHMEM, FIELD_SHMEM_BYTES, HOW_SUM},
    {METRIC_LOCKED, FIELD_LOCKED_BYTES, HOW_SUM},
    {METRIC_PAGE_TABLES, FIELD_PAGE_TABLE_BYTES, HOW_SUM},
    {METRIC_WORST_MAPPINGS, FIELD_MAPPINGS, HOW_HIGHEST},
    {METRIC_WORST_OOM_SCORE, FIELD_OOM_SCORE, HOW_HIGHEST},
    {METRIC_OPEN_FDS, FIELD_OPEN_FDS, HOW_SUM},
    {METRIC_PRIORITY, FIELD_PRIORITY, HOW_LOWEST},
    {METRIC_PRIORITY, FIELD_PRIORITY_UP, HOW_HIGHEST},
    {METRIC_NICE, FIELD_NICE, HOW_LOWEST},
};

_Static_assert(sizeof(gauges) / sizeof(gauges[0]) <= FIELDS - FIELD_COUNTERS,
               "a row for a field at most");

#define STATE_METRICS                                                                       \
    (METRIC_SET(METRIC_STATE_RUNNING) | METRIC_SET(METRIC_STATE_SLEEPING) | METRIC_SET(METRIC_STATE_DISK_SLEEP) | \
     METRIC_SET(METRIC_STATE_STOPPED) | METRIC_SET(METRIC_STATE_ZOMBIE) | METRIC_SET(METRIC_STATE_IDLE) |         \
     METRIC_SET(METRIC_STATE_OTHER))
#define CPU_METRICS (METRIC_SET(METRIC_CPU_USER) | METRIC_SET(METRIC_CPU_SYSTEM))
/* Known of every group, with or without members. */
#define ALWAYS_METRICS (METRIC_SET(METRIC_PROCESSES) | METRIC_SET(METRIC_STARTS) | METRIC_SET(METRIC_EXITS) | \
                        METRIC_SET(METRIC_UNREADABLE))
/* Known of every group where the source sees it. */
#define TRAFFIC_METRICS \
    (METRIC_SET(METRIC_TRANSMITTED_PACKETS_UDP + 1) - METRIC_SET(METRIC_RECEIVED_BYTES_TCP))
/* Known of a group if they are of one of its members. */
#define SOCKET_METRICS \
    (METRIC_SET(METRIC_UNIX_SOCKETS + 1) - METRIC_SET(METRIC_TCP_ESTABLISHED))
/* What a group without members can't have: nothing to take the extreme of. */
#define EXTREMES                                                                     \
    (METRIC_SET(METRIC_START_TIME) | METRIC_SET(METRIC_PRIORITY) | METRIC_SET(METRIC_NICE) |              \
     METRIC_SET(METRIC_WORST_FD_RATIO) | METRIC_SET(METRIC_PSS_AGE) | METRIC_SET(METRIC_RSS_PEAK) | \
     METRIC_SET(METRIC_WORST_MAPPINGS) | METRIC_SET(METRIC_WORST_OOM_SCORE))

/* What reaped children used is no part of one process's own use. */
#define REAPED_FIELDS (BIT(FIELD_CMAJFLT + 1) - BIT(FIELD_CUTIME_NS))

static bool has_both(uint64_t fields, enum field a, enum field b) {
    const uint64_t both = BIT(a) | BIT(b);
    return (fields & both) == both;
}

static metric_set counter_bits(void) {
    metric_set bits = 0;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (metric_table[m].metric.kind == TALLY_KIND_COUNTER)
            bits |= METRIC_SET(m);
    return bits;
}

/* How gauges of several groups are put together. */
static enum how how_of(enum metric m) {
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        if (gauges[i].metric == m)
            return gauges[i].how;
    if (m == METRIC_CPU_USAGE || m == METRIC_MEMORY_USAGE)
        return HOW_NOT; /* they are derived */
    if (m >= METRIC_CGROUP_MEMORY_PEAK && m <= METRIC_CGROUP_PIDS_LIMIT)
        return HOW_NOT; /* what may be a limit of some is none of all */
    if (m == METRIC_START_TIME)
        return HOW_LOWEST;
    return EXTREMES & METRIC_SET(m) ? HOW_HIGHEST : HOW_SUM;
}

/* ---- Groups ------------------------------------------------------------------ */

static void group_free(struct group *g) {
    group_texts_unref(g->texts);
    thread_names_unref(g->thread_names);
    free(g->standing);
    free(g);
}

static int add_slot(struct tallies *t, uint32_t *ret_index) {
    size_t index = t->first_free;
    while (index < t->end && t->groups[index])
        index++;
    if (index == t->size) {
        size_t size = t->size ? t->size * 2 : 64;
        struct group **groups = realloc(t->groups, size * sizeof(*groups));
        if (!groups)
            return -ENOMEM;
        t->groups = groups;
        t->size = size;
    }
    if (index == t->end)
        t->groups[t->end++] = NULL;
    t->first_free = index;
    *ret_index = (uint32_t)index;
    return 0;
}

/* Takes over the name, unless it fails. */
static int group_add(struct tallies *t, char *name, const struct group_labels *labels,
                     uint32_t *ret_index) {
    struct group *g = calloc(1, sizeof(*g));
    uint32_t index = 0;
    int r = g ? add_slot(t, &index) : -ENOMEM;
    if (r == 0 && t->top_by != TOP_BY_NONE) {
        g->standing = calloc(1, sizeof(*g->standing));
        r = g->standing ? 0 : -ENOMEM;
    }
    if (r == 0 && g->standing)
        g->standing->is_new = true;
    if (r == 0)
        r = group_texts_new(name, labels, &g->texts);
    if (r == 0) {
        g->hashed = true;
        HASH_ADD_KEYPTR(hh, t->by_name, name, strlen(name), g);
        if (!g->hashed) {
            g->texts->name = NULL; /* the caller's still */
            r = -ENOMEM;
        }
    }
    if (r < 0) {
        if (g)
            group_free(g);
        return r;
    }
    t->groups[index] = g;
    g->index = index;
    t->order_stale = true;
    *ret_index = index;
    return 0;
}

static void group_remove(struct tallies *t, uint32_t index) {
    struct group *g = t->groups[index];
    const bool is_own = g->owner.pid != 0;
    if (g->standing)
        top_leave(t, g);
    t->count -= !g->takes_no_slot;
    HASH_DEL(t->by_name, g);
    group_free(g);
    t->groups[index] = NULL;
    if (index < t->first_free)
        t->first_free = index;
    t->own_count -= is_own;
    t->order_stale = true;
    t->order_count = 0; /* it may be listed */
}

/* A gauge that nobody asks for need not be cleared; but the host's figures have the states. */
static bool is_left_alone(const struct tallies *t, size_t m) {
    return t->switched_off & ~STATE_METRICS & METRIC_SET(m);
}

int tallies_init(struct tallies *t, size_t limit, unsigned collect, unsigned origins) {
    *t = (struct tallies){
        .limit = limit,
        .own_limit = limit > OWN_LIMIT ? limit : OWN_LIMIT,
        .always = ALWAYS_METRICS,
        .counters = counter_bits(),
    };
    for (size_t o = 0; o < ORIGINS; o++)
        if (origins & 1u << o)
            t->always |= METRIC_SET(METRIC_UNREADABLE_STATUS + o);
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (metric_table[m].collect && !(metric_table[m].collect & collect))
            t->switched_off |= METRIC_SET(m);
    for (size_t i = 0; i < PART_METRICS; i++) {
        const struct metric_row *row = &metric_table[METRIC_THREAD_FIRST + i];
        if (row->collect & collect && (row->also_collect & collect) == row->also_collect)
            t->threads.shown |= 1u << i;
    }
    t->unshown = t->switched_off;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (metric_table[m].metric.kind == TALLY_KIND_GAUGE && !is_left_alone(t, m))
            t->gauges[t->gauge_count++] = (uint8_t)m;
    for (size_t k = 0; k < t->gauge_count; k++)
        t->gauge_how[k] = (uint8_t)how_of(t->gauges[k]);
    /* not in the table of names: no process can be called into it */
    struct group *left_out = calloc(1, sizeof(*left_out));
    uint32_t index;
    int r = left_out ? add_slot(t, &index) : -ENOMEM;
    if (r < 0) {
        free(left_out);
        return r;
    }
    t->groups[index] = left_out;
    return 0;
}

void tallies_clear(struct tallies *t) {
    HASH_CLEAR(hh, t->by_name);
    for (size_t i = 0; i < t->end; i++)
        if (t->groups[i])
            group_free(t->groups[i]);
    free(t->groups);
    free(t->order);
    free(t->ranked);
    refused_clear(&t->refused);
    *t = (struct tallies){0};
}

bool tallies_retire(struct tallies *t, uint32_t index, struct group_owner owner) {
    if (owner.pid == 0 || !is_owner(t->groups[index]->owner, owner))
        return false;
    group_remove(t, index);
    return true;
}

int tallies_other(struct tallies *t, uint32_t *ret_index) {
    if (t->other) {
        *ret_index = t->other;
        return 0;
    }
    char *name = strdup("other");
    int r = name ? group_add(t, name, NULL, &t->other) : -ENOMEM;
    if (r < 0) {
        free(name);
        return r;
    }
    t->groups[t->other]->literal = true;
    *ret_index = t->other;
    return 0;
}

/* A name for which there is no room, or whose group is another's. */
static int refuse(struct tallies *t, const char *name, uint32_t *ret_index) {
    refused_note(&t->refused, name);
    return tallies_other(t, ret_index);
}

static bool has_room(const struct tallies *t, struct group_owner owner) {
    return owner.pid ? t->own_count < t->own_limit : t->count - t->own_count < t->limit;
}

/* Can the group that has this name already be had? 1: no. */
static int join(struct tallies *t, struct group *g, struct group_owner owner) {
    if (is_owner(g->owner, owner))
        return 0;
    if (owner.pid || !has_room(t, NO_OWNER))
        return 1;
    g->owner = NO_OWNER; /* a rule gives it this name: then it is anybody's */
    t->own_count--;
    t->order_stale = true;
    return 0;
}

/* `clean` is taken over by a group that is made. */
static int find_or_add(struct tallies *t, char **clean, const struct group_labels *labels,
                       bool literal, struct group_owner owner, uint32_t *ret_index) {
    struct group *g;
    HASH_FIND(hh, t->by_name, *clean, strlen(*clean), g);
    if (g && owner.pid && g->owner.pid == owner.pid && g->owner.start_ticks < owner.start_ticks) {
        group_remove(t, g->index);
        g = NULL;
    }
    if (g && join(t, g, owner) == 0) {
        g->literal = g->literal || literal;
        *ret_index = g->index;
        return 0;
    }
    if (strcmp(*clean, "other") == 0)
        return tallies_other(t, ret_index);
    const bool takes_no_slot = strcmp(*clean, KERNEL_GROUP) == 0;
    if (g || !(takes_no_slot || has_room(t, owner)))
        return refuse(t, *clean, ret_index);
    int r = group_add(t, *clean, labels, ret_index);
    if (r < 0)
        return r;
    *clean = NULL;
    g = t->groups[*ret_index];
    g->literal = literal;
    g->owner = owner;
    g->takes_no_slot = takes_no_slot;
    t->count += !takes_no_slot;
    t->own_count += owner.pid != 0;
    return 0;
}

int tallies_group(struct tallies *t, struct text name, const struct group_labels *labels,
                  bool literal, struct group_owner owner, uint32_t *ret_index) {
    static const struct text unnamed = {"unnamed", 7};
    char *clean = clean_copy(name.len ? name : unnamed);
    if (!clean)
        return -ENOMEM;
    int r = find_or_add(t, &clean, labels, literal, owner, ret_index);
    free(clean);
    return r;
}

/* ---- One collection ------------------------------------------------------------ */

void tallies_begin(struct tallies *t) {
    for (size_t i = 0; i < t->end; i++) {
        struct group *g = t->groups[i];
        if (!g)
            continue;
        for (size_t k = 0; k < t->gauge_count; k++)
            g->value[t->gauges[k]] = 0;
        g->have &= t->counters;
    }
    t->available = 0;
}

static enum metric state_metric(char state) {
    switch (state) {
    case 'R':
        return METRIC_STATE_RUNNING;
    case 'S':
        return METRIC_STATE_SLEEPING;
    case 'D':
        return METRIC_STATE_DISK_SLEEP;
    case 'Z':
    case 'X':
    case 'x':
        return METRIC_STATE_ZOMBIE;
    case 'T':
    case 't':
        return METRIC_STATE_STOPPED;
    default: /* I; and P, K, W of kernels that park or wake */
        return METRIC_STATE_IDLE;
    }
}

/* For moments, priorities and nice values alike: all fit in 63 bits. */
static void lower_to(uint64_t *lowest, bool first, uint64_t value) {
    if (first || (int64_t)value < (int64_t)*lowest)
        *lowest = value;
}

static void raise_to(uint64_t *highest, uint64_t value) {
    if (value > *highest)
        *highest = value;
}

/* Open descriptors by their limit; both are known. */
static uint64_t fd_ratio(const struct sample *s) {
    const uint64_t limit = s->value[FIELD_FD_LIMIT], fds = s->value[FIELD_OPEN_FDS];
    if (limit == UINT64_MAX || fds == 0)
        return 0;
    return limit == 0 ? 1000000000 : ratio_of((double)fds, (double)limit);
}

/* The metrics that follow from a sample's fields alone. */
static metric_set metrics_of_fields(uint64_t fields) {
    metric_set known = METRIC_SET(METRIC_START_TIME) | STATE_METRICS;
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        if (fields & BIT(gauges[i].field))
            known |= METRIC_SET(gauges[i].metric);
    for (size_t f = 0; f < FIELD_COUNTERS; f++)
        if (fields & BIT(f))
            known |= METRIC_SET(counter_metric[f]);
    if (has_both(fields, FIELD_OPEN_FDS, FIELD_FD_LIMIT))
        known |= METRIC_SET(METRIC_WORST_FD_RATIO);
    return known;
}

static void note_fields(struct tallies *t, uint64_t fields) {
    t->last_fields = fields;
    t->last_metrics = metrics_of_fields(fields);
    t->last_gauge_count = 0;
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        if (fields & BIT(gauges[i].field))
            t->last_gauges[t->last_gauge_count++] = (uint8_t)i;
}

void tallies_member(struct tallies *t, uint32_t index, const struct sample *s,
                    uint64_t start_unix_ns) {
    struct group *g = t->groups[index];
    if (s->have != t->last_fields || t->last_metrics == 0)
        note_fields(t, s->have);
    const metric_set have = t->last_metrics;
    g->had_members = true;
    g->value[METRIC_PROCESSES]++;

    for (size_t k = 0; k < t->last_gauge_count; k++) {
        const size_t i = t->last_gauges[k];
        enum metric m = gauges[i].metric;
        uint64_t value = s->value[gauges[i].field];
        if (gauges[i].how == HOW_SUM)
            g->value[m] += value;
        else if (gauges[i].how == HOW_HIGHEST)
            raise_to(&g->value[m], value);
        else
            lower_to(&g->value[m], !(g->have & METRIC_SET(m)), value);
    }
    g->value[state_metric(s->state)]++;
    lower_to(&g->value[METRIC_START_TIME], !(g->have & METRIC_SET(METRIC_START_TIME)),
             start_unix_ns);
    if (has_both(s->have, FIELD_OPEN_FDS, FIELD_FD_LIMIT))
        raise_to(&g->value[METRIC_WORST_FD_RATIO], fd_ratio(s));
    for (size_t o = 0; o < ORIGINS; o++)
        g->value[METRIC_UNREADABLE_STATUS + o] += s->unreadable >> o & 1;
    g->value[METRIC_UNREADABLE] += s->unreadable != 0;
    g->have |= have;
    t->available |= have;
}

void tallies_pss_refused(struct tallies *t, uint32_t index, bool is_first) {
    struct group *g = t->groups[index];
    g->value[METRIC_UNREADABLE_PSS]++;
    g->value[METRIC_UNREADABLE] += is_first;
}

void tallies_pss(struct tallies *t, uint32_t index, const struct pss *pss, uint64_t age_ns) {
    struct group *g = t->groups[index];
    metric_set have = METRIC_SET(METRIC_PSS) | METRIC_SET(METRIC_PSS_AGE);
    g->value[METRIC_PSS] += pss->bytes;
    if (pss->has_swap) {
        g->value[METRIC_SWAP_PSS] += pss->swap_bytes;
        have |= METRIC_SET(METRIC_SWAP_PSS);
    }
    raise_to(&g->value[METRIC_PSS_AGE], age_ns);
    g->have |= have;
    t->available |= have;
}

void tallies_sockets_known(struct tallies *t, uint32_t index, unsigned kinds) {
    const metric_set have = (metric_set)kinds << METRIC_TCP_ESTABLISHED & SOCKET_METRICS;
    t->groups[index]->have |= have;
    t->available |= have;
}

void tallies_sockets_unknown(struct tallies *t, uint32_t index, bool is_first) {
    struct group *g = t->groups[index];
    g->value[METRIC_UNREADABLE_SOCKETS]++;
    g->value[METRIC_UNREADABLE] += is_first;
}

void tallies_forget_sockets(struct tallies *t) {
    for (size_t i = 0; i < t->end; i++)
        if (t->groups[i])
            t->groups[i]->have &= ~SOCKET_METRICS;
    t->available &= ~SOCKET_METRICS;
}

void tallies_credit(struct tallies *t, uint32_t index, enum field counter, uint64_t amount) {
    struct group *g = t->groups[index];
    enum metric m = counter_metric[counter];
    g->value[m] += amount;
    g->have |= METRIC_SET(m);
    if (CPU_METRICS & METRIC_SET(m)) {
        g->cpu_ns += amount;
        t->cpu_ns += amount;
    }
}

void tallies_add(struct tallies *t, uint32_t index, enum metric counter, uint64_t amount) {
    t->groups[index]->value[counter] += amount;
}

void tallies_ended(struct tallies *t, uint32_t index, const struct sample *final) {
    struct group *g = t->groups[index];
    if (!(final->have & BIT(FIELD_RSS_PEAK_BYTES)))
        return;
    raise_to(&g->value[METRIC_RSS_PEAK], final->value[FIELD_RSS_PEAK_BYTES]);
    g->have |= METRIC_SET(METRIC_RSS_PEAK);
}

void tallies_add_endings(struct tallies *t, uint32_t index, enum ending ending, uint64_t count) {
    if (ending != ENDING_UNKNOWN)
        t->groups[index]->value[METRIC_EXITS_OK + (int)ending - (int)ENDING_OK] += count;
}

void tallies_add_gauges(const struct tallies *t, struct group *to, const struct group *from) {
    metric_set have = from->have;
    for (size_t k = 0; k < t->gauge_count; k++) {
        const enum metric m = t->gauges[k];
        switch (t->gauge_how[k]) {
        case HOW_NOT:
            have &= ~METRIC_SET(m);
            break;
        case HOW_SUM:
            to->value[m] += from->value[m];
            break;
        case HOW_LOWEST:
            if (from->have & METRIC_SET(m))
                lower_to(&to->value[m], !(to->have & METRIC_SET(m)), from->value[m]);
            break;
        case HOW_HIGHEST:
            raise_to(&to->value[m], from->value[m]);
            break;
        }
    }
    to->have |= have;
    to->had_members |= from->had_members;
}

void tallies_passed_by(struct tallies *t, uint32_t index) {
    t->groups[index]->emptied_ns = 0;
}

/* ---- The end of it ---------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(struct group *const *)a)->texts->name,
                  (*(struct group *const *)b)->texts->name);
}

static int by_use(const void *a, const void *b) {
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    if (x->cpu_ns != y->cpu_ns)
        return x->cpu_ns < y->cpu_ns ? 1 : -1;
    if (x->value[METRIC_RSS] != y->value[METRIC_RSS])
        return x->value[METRIC_RSS] < y->value[METRIC_RSS] ? 1 : -1;
    return strcmp(x->texts->name, y->texts->name);
}

/* Rows that only add up others. */
static const struct {
    enum metric sum, parts[2];
} sums[] = {
    {METRIC_STATE_OTHER, {METRIC_STATE_STOPPED, METRIC_STATE_IDLE}},
    {METRIC_SWITCHES, {METRIC_SWITCHES_VOLUNTARY, METRIC_SWITCHES_INVOLUNTARY}},
    {METRIC_FAULTS, {METRIC_FAULTS_MINOR, METRIC_FAULTS_MAJOR}},
    {METRIC_RECEIVED_BYTES, {METRIC_RECEIVED_BYTES_TCP, METRIC_RECEIVED_BYTES_UDP}},
    {METRIC_RECEIVED_PACKETS, {METRIC_RECEIVED_PACKETS_TCP, METRIC_RECEIVED_PACKETS_UDP}},
    {METRIC_TRANSMITTED_BYTES, {METRIC_TRANSMITTED_BYTES_TCP, METRIC_TRANSMITTED_BYTES_UDP}},
    {METRIC_TRANSMITTED_PACKETS,
     {METRIC_TRANSMITTED_PACKETS_TCP, METRIC_TRANSMITTED_PACKETS_UDP}},
};
#define COUNT_OF_SUMS (sizeof(sums) / sizeof(sums[0]))

metric_set metric_parts(enum metric sum) {
    metric_set parts = sum == METRIC_SWITCHES ? METRIC_SET(METRIC_SWITCHES_UNSPLIT) : 0;
    for (size_t i = 0; i < COUNT_OF_SUMS; i++)
        if (sums[i].sum == sum)
            parts |= METRIC_SET(sums[i].parts[0]) | METRIC_SET(sums[i].parts[1]);
    return parts;
}

/* Returns those that are known too. */
static metric_set add_sums(uint64_t value[METRICS_OF_GROUP], metric_set known) {
    metric_set more = 0;
    for (size_t i = 0; i < COUNT_OF_SUMS; i++) {
        const enum metric *parts = sums[i].parts;
        if (!(known & METRIC_SET(parts[0]) && known & METRIC_SET(parts[1])))
            continue;
        value[sums[i].sum] = value[parts[0]] + value[parts[1]];
        more |= METRIC_SET(sums[i].sum);
    }
    if (known & METRIC_SET(METRIC_SWITCHES_UNSPLIT)) {
        value[METRIC_SWITCHES] = value[METRIC_SWITCHES_UNSPLIT];
        more |= METRIC_SET(METRIC_SWITCHES);
    }
    value[METRIC_RESIDENT] = value[METRIC_RSS];
    if (known & METRIC_SET(METRIC_RSS))
        more |= METRIC_SET(METRIC_RESIDENT);
    return more;
}

static void derive(struct tallies *t, struct group *g, const struct tallies_moment *moment) {
    bool empty = g->value[METRIC_PROCESSES] == 0;
    g->known = g->have | t->always;
    if (empty) /* the sum over nobody is 0, if it can be known at all */
        g->known |= t->available & ~EXTREMES & (g->had_members ? ~t->counters : ~(metric_set)0);
    if (moment->interval_ns) {
        g->value[METRIC_CPU_USAGE] =
            ratio_of((double)g->cpu_ns, (double)moment->interval_ns * moment->cpus);
        g->known |= METRIC_SET(METRIC_CPU_USAGE);
    }
    if (moment->memory_bytes && g->known & METRIC_SET(METRIC_RSS)) {
        g->value[METRIC_MEMORY_USAGE] =
            ratio_of((double)g->value[METRIC_RSS], (double)moment->memory_bytes);
        g->known |= METRIC_SET(METRIC_MEMORY_USAGE);
    }
    g->known |= add_sums(g->value, g->known);
    g->known &= ~t->unshown;
    if (!empty)
        g->emptied_ns = 0;
    else if (g->emptied_ns == 0)
        g->emptied_ns = moment->now_ns ? moment->now_ns : 1;
}

void tallies_end(struct tallies *t, const struct tallies_moment *moment) {
    if (moment->sees_traffic)
        t->always |= TRAFFIC_METRICS;
    if (moment->endings)
        t->always |= (metric_set)(moment->endings >> ENDING_OK) << METRIC_EXITS_OK;
    for (size_t i = 1; i < t->end; i++)
        if (t->groups[i])
            derive(t, t->groups[i], moment);
    if (t->top_by != TOP_BY_NONE && moment->interval_ns) {
        struct group *other = t->groups[t->other];
        other->value[METRIC_CPU_USAGE] =
            ratio_of((double)(other->cpu_ns + t->hidden_cpu_ns),
                     (double)moment->interval_ns * moment->cpus);
    }
}

static bool is_over(const struct group *g, const struct tallies_moment *moment) {
    if (g->literal || g->emptied_ns == 0)
        return false;
    /* a clock of another boot may be behind */
    uint64_t empty_ns = moment->now_ns > g->emptied_ns ? moment->now_ns - g->emptied_ns : 0;
    /* what its last processes used is shown once, however soon it expires */
    return empty_ns > 0 && (g->owner.pid || empty_ns >= moment->expire_after_ns);
}

size_t tallies_expire(struct tallies *t, const struct tallies_moment *moment) {
    size_t count = 0;
    /* an eighth is kept free for new groups: how many a collection brings is not known before */
    const bool has_plenty = t->count - t->own_count < t->limit - t->limit / 8;
    const bool keeps_empty = moment->keeps_empty && has_plenty;
    for (uint32_t i = 1; i < t->end; i++)
        if (t->groups[i] && is_over(t->groups[i], moment) &&
            (t->groups[i]->owner.pid || !keeps_empty)) {
            group_remove(t, i);
            count++;
        }
    return count;
}

/* Lists the first of those that are a process's own. */
static size_t list_singles(struct tallies *t, size_t top) {
    const size_t shared = t->count - t->own_count;
    const size_t room = shared < t->limit ? t->limit - shared : 0;
    if (top > room)
        top = room;
    size_t singles = 0;
    for (size_t i = 1; i < t->end; i++)
        if (t->groups[i] && t->groups[i]->owner.pid)
            t->order[singles++] = t->groups[i];
    if (singles <= top)
        return singles;
    qsort(t->order, singles, sizeof(*t->order), by_use);
    return top;
}

int tallies_order(struct tallies *t, size_t top) {
    if (!t->order_stale)
        return 0;
    if (t->order_size < t->end) {
        struct group **order = realloc(t->order, t->size * sizeof(*order));
        if (!order)
            return -ENOMEM;
        t->order = order;
        t->order_size = t->size;
    }
    const size_t singles = t->top_by == TOP_BY_NONE ? list_singles(t, top) : 0;
    size_t count = singles;
    for (size_t i = 1; i < t->end; i++)
        if (t->groups[i] && (!t->groups[i]->owner.pid || t->top_by != TOP_BY_NONE) &&
            !is_hidden(t->groups[i]))
            t->order[count++] = t->groups[i];
    if (count)
        qsort(t->order, count, sizeof(*t->order), by_name);
    for (size_t i = 0; i < t->end; i++)
        if (t->groups[i])
            t->groups[i]->position = TALLY_NO_GROUP;
    for (size_t i = 0; i < count; i++)
        t->order[i]->position = i;
    for (size_t i = 1; i < t->end && t->top_by != TOP_BY_NONE; i++)
        if (t->groups[i] && is_hidden(t->groups[i]))
            t->groups[i]->position = t->groups[t->other]->position;
    t->order_count = count;
    t->order_stale = singles > 0; /* use changes each time */
    return 0;
}

size_t tallies_position(const struct tallies *t, uint32_t group) {
    return t->groups[group]->position;
}

void tallies_shown(struct tallies *t) {
    for (size_t i = 0; i < t->end; i++)
        if (t->groups[i])
            t->groups[i]->cpu_ns = 0;
    t->cpu_ns = 0;
    if (t->top_by != TOP_BY_NONE)
        top_shown(t);
}

/* ---- Threads by name ------------------------------------------------------------------ */

struct thread_names *tallies_thread_names(struct tallies *t, uint32_t index) {
    struct group *g = t->groups[index];
    if (!g->thread_names)
        g->thread_names = thread_names_new();
    return g->thread_names;
}

void tallies_begin_threads(struct tallies *t) {
    channels_begin(&t->threads);
    for (size_t i = 0; i < t->end; i++)
        if (t->groups[i] && t->groups[i]->thread_names) {
            t->groups[i]->thread_names->unknown = 0;
            if (i == t->other)
                thread_names_unhide(t->groups[i]->thread_names);
        }
}

int tallies_end_threads(struct tallies *t, const struct tallies_moment *moment) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < t->end; i++)
        if (t->groups[i] && t->groups[i]->thread_names) {
            struct thread_names *names = t->groups[i]->thread_names;
            thread_names_expire(names, moment->now_ns, moment->expire_after_ns);
            r = thread_names_order(names);
            if (r == 0 && names->channels) { /* where nobody waits nothing has to be kept */
                thread_names_expire(names->channels, moment->now_ns, 0);
                r = thread_names_order(names->channels);
            }
        }
    return r;
}

/* ---- One process ------------------------------------------------------------------- */

enum metric metric_of_counter(enum field counter) {
    return counter_metric[counter];
}

metric_set metrics_of_sample(const struct sample *s, uint64_t start_unix_ns,
                             uint64_t value[METRICS_OF_GROUP]) {
    value[METRIC_PROCESSES] = 1;
    value[METRIC_START_TIME] = start_unix_ns;
    value[state_metric(s->state)] = 1;
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        if (s->have & BIT(gauges[i].field))
            value[gauges[i].metric] = s->value[gauges[i].field];
    const uint64_t own = s->have & ~REAPED_FIELDS;
    for (enum field f = 0; f < FIELD_COUNTERS; f++)
        if (own & BIT(f))
            value[counter_metric[f]] = s->value[f];
    if (has_both(s->have, FIELD_OPEN_FDS, FIELD_FD_LIMIT))
        value[METRIC_WORST_FD_RATIO] = fd_ratio(s);
    const metric_set known = METRIC_SET(METRIC_PROCESSES) | metrics_of_fields(own);
    return known | add_sums(value, known);
}
