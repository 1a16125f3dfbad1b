/* SPDX-License-Identifier: MIT */
/*
 * What is known of each process: a record for each incarnation, that is for each pair of
 * pid and start time. Records are found by pid, and the latest incarnation first. A record
 * keeps its index (process_id) as long as it lives.
 */
#ifndef PROCTABLE_H
#define PROCTABLE_H

#include "source/sample.h"

#include <stddef.h>

/* Index of a record; stays the same as long as the record lives. */
typedef uint32_t process_id;
#define NO_PROCESS UINT32_MAX

/* Of what a process's reaped children used: what was credited to them already, but has
 * not shown in the process's own numbers yet. */
struct pending_credit {
    union {
        uint64_t all[FIELD_FOLDED];
        struct pending_credit *next_spare;
    };
    uint64_t via_ancestor[FIELD_FOLDED]; /* of it: what may show further up instead */
};

struct thread_list;

struct process {
    /* First, all that a collection reads of a process that has slept: few lines of cache. */
    uint32_t pid;
    process_id next;    /* chain of the hash, or of free records */
    uint32_t seen;      /* number of the collection that saw it last */
    uint32_t group;     /* index in the tallies */
    uint64_t marker; /* as the source listed it when it was measured last */
    uint64_t start_ticks;

    bool used : 1;
    bool classified : 1;
    bool from_birth : 1; /* all that it ever used belongs to its group */
    bool ignores_children : 1;
    bool asleep : 1; /* had not run between its last two measurements */
    bool cgroup_settled : 1; /* its cgroup was looked at again some time after it started */
    bool restored : 1;       /* read from a state, and not all of its counters seen since */
    bool orphan : 1;         /* its parent has ended; ppid is a living ancestor's for now */
    bool adopted : 1;        /* its parent is not the one that started it */
    bool followed : 1;       /* it, or an ancestor, is followed */
    bool ended : 1;          /* fully counted, and kept for what its children inherit */
    bool is_kernel : 1;      /* a thread of the kernel's own */
    bool lacks_user_name : 1; /* its user had no name when it was identified */
    bool unsure : 1;         /* its group has to be decided again: there was not enough time to
                              * match, or a pid file has changed */
    bool start_counted : 1;  /* in its group's starts; or it started before us */
    bool pss_refused : 1;    /* when it was read last, at pss_s */
    bool has_swap_pss : 1;
    bool counts_threads : 1; /* its samples have FIELD_THREADS_RUNNING */
    bool threads_unseen : 1; /* it was in no group, so that its threads were not looked at */
    uint8_t unreadable;      /* BIT(origin), when it was measured last */
    char state;
    int8_t nice;
    int16_t priority;
    uint32_t threads;
    uint32_t cgroups_marker; /* as of when it was identified; 0: only its file tells */

    uint64_t known;                /* BIT(field) of what the last measurement had */
    uint64_t gauge[FIELD_CACHED];  /* as of the last measurement */
    uint64_t fd_limit; /* soft limit; UINT64_MAX: unlimited */
    struct pending_credit *pending; /* NULL: nothing */
    /* When each was read, in seconds since boot; 0: never. measured_s is that of its memory. */
    uint32_t measured_s, fd_limit_s, identified_s, pss_s;
    uint32_t gone_s;    /* since when it is not listed any more; 0: it is */
    uint32_t unclear_s; /* since when nobody can tell what it is; 0: it is known */
    uint64_t activity;             /* as of the last measurement; 0: not known */

    uint32_t have;                 /* BIT(field) of the counters that have a last value */
    uint32_t ppid;
    uint64_t last[FIELD_DARWIN_FIRST]; /* as of the last sample, each at its highest */
    uint64_t exec_marker;
    uint64_t comm_hash;
    uint32_t uid, gid;  /* effective, as of when it was identified */
    uint32_t inherited; /* rule group of its nearest ancestor that has one; 0: none */
    uint32_t lineage;   /* rule group that its children inherit; 0: none */
    /* What rules ask of ancestors (a mask, see group/rules.h), and one of its own has; the
     * same with itself among them, for its children. */
    uint32_t inherited_parents, lineage_parents;
    uint32_t cgroup;    /* whose figures its group shows, in the table of them; 0: none */
    uint32_t fold;      /* its entry in the fold of this collection */
    struct thread_list *thread_list; /* see thread_names.h; whoever removes it frees it */
    uint64_t pss_bytes, swap_pss_bytes;
};

/* More gauges as of the last measurement, in a table of their own: it is there only if they
 * are collected. */
struct process_details {
    uint64_t have; /* BIT(field) */
    uint64_t value[FIELD_DETAILS];
};

/* More counters as of the last sample, likewise: on macOS. */
struct process_darwin {
    uint64_t last[FIELD_DARWIN]; /* process.have tells which are valid */
};

_Static_assert(FIELD_COUNTERS <= 32, "counters have a bit each in 32 bits");
_Static_assert(ORIGINS <= 8, "origins have a bit each in 8 bits");

/* Keeps the gauges of a sample, and what tells whether the next one can differ. */
void process_remember(struct process *p, const struct sample *s, uint64_t marker, uint32_t now_s);
/* Of a sample that was recalled, and in which the memory was measured again. */
void process_remember_memory(struct process *p, const struct sample *s, uint32_t now_s);
/* The sample that measuring would give again, of a process that has not run since. */
void process_recall(const struct process *p, struct sample *ret);
/* As much of it as its group's gauges take: of the counters, which have not changed, only that
 * they are known. The rest of the sample is left as it is. */
void process_recall_gauges(const struct process *p, struct sample *ret);

/* Records lie in chunks, so that they keep their place while the table grows. */
#define CHUNK_BITS 8
#define CHUNK_RECORDS (1u << CHUNK_BITS)

struct proctable {
    bool keeps_details, keeps_darwin_fields; /* to be set before there are records */
    struct process **chunks;
    struct process_details **details; /* of the records of each chunk, if they are kept */
    struct process_darwin **darwin;   /* likewise */
    size_t chunk_count;
    process_id *buckets; /* by pid; a power of two */
    size_t bucket_count;
    process_id free;
    size_t count; /* records in use */
    size_t end;   /* one past the highest index ever used */
};

void proctable_init(struct proctable *t);
void proctable_clear(struct proctable *t);

static inline struct process *proctable_at(const struct proctable *t, process_id id) {
    return &t->chunks[id >> CHUNK_BITS][id & (CHUNK_RECORDS - 1)];
}

/* Where the last value of a counter is kept; NULL: not at all. */
static inline uint64_t *proctable_last(const struct proctable *t, process_id id, enum field f) {
    if (f < FIELD_DARWIN_FIRST)
        return &proctable_at(t, id)->last[f];
    return t->keeps_darwin_fields
               ? &t->darwin[id >> CHUNK_BITS][id & (CHUNK_RECORDS - 1)].last[f - FIELD_DARWIN_FIRST]
               : NULL;
}

/* Pids come in runs: their low bits spread well enough. */
static inline size_t proctable_bucket(const struct proctable *t, uint32_t pid) {
    return pid & (t->bucket_count - 1);
}

#define CACHE_LINE 64u /* or more */

/* Starts to fetch what a visit to this pid will read of its record: after ten seconds none of it
 * is in the CPU's caches any more. (gcc drops calls of a function that only prefetches.) */
static inline __attribute__((always_inline)) void
proctable_prefetch(const struct proctable *t, uint32_t pid) {
    const process_id id = t->bucket_count ? t->buckets[proctable_bucket(t, pid)] : NO_PROCESS;
    if (id == NO_PROCESS)
        return;
    const char *at = (const char *)proctable_at(t, id);
    for (size_t i = 0; i < offsetof(struct process, activity); i += CACHE_LINE)
        __builtin_prefetch(at + i);
}

/* The latest incarnation with this pid, or NO_PROCESS. */
process_id proctable_find(const struct proctable *t, uint32_t pid);
/* The latest incarnation that can have been the parent of a process that
 * started then. */
process_id proctable_find_parent(const struct proctable *t, uint32_t ppid, uint64_t start_ticks);
/* The record of just this incarnation, as long as it has not ended. */
process_id proctable_find_incarnation(const struct proctable *t, uint32_t pid,
                                      uint64_t start_ticks);
/* The record of just this incarnation, also if it has ended. */
process_id proctable_find_known(const struct proctable *t, uint32_t pid, uint64_t start_ticks);
/* A new record, zeroed but for pid; found from now on in place of an older one
 * with the same pid. NO_PROCESS: out of memory. */
process_id proctable_add(struct proctable *t, uint32_t pid);
void proctable_remove(struct proctable *t, process_id id);

/* Keeps the details of a sample, and adds them to one that was recalled. */
void proctable_remember_details(struct proctable *t, process_id id, const struct sample *s);
void proctable_recall_details(const struct proctable *t, process_id id, struct sample *s);

/* All records: for (id = proctable_next(t, 0); id != NO_PROCESS;
 *                   id = proctable_next(t, id + 1)) */
process_id proctable_next(const struct proctable *t, process_id from);

#endif
