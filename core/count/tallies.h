/* SPDX-License-Identifier: MIT */
/* The groups: their counters since they exist, and their gauges now. */
#ifndef TALLIES_H
#define TALLIES_H

#include "count/group_texts.h"
#include "count/metrics.h"
#include "count/refused.h"
#include "count/thread_names.h"
#include "source/identity.h"
#include "source/sample.h"

#include <stdbool.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Whose own group it is, with group-by pid: that of one incarnation of a process. */
struct group_owner {
    uint32_t pid; /* 0: nobody's */
    uint64_t start_ticks;
};
#define NO_OWNER ((struct group_owner){0})
static inline bool is_owner(struct group_owner a, struct group_owner b) {
    return a.pid == b.pid && a.start_ticks == b.start_ticks;
}
#define CGROUPS_TOO_MANY UINT32_MAX

/* With a top: where a group is, and was. */
struct standing {
    bool is_new;    /* it has had no rank yet */
    bool is_hidden; /* it is part of `other` */
    bool gives;     /* its increase of this interval is that of `other`: it is hidden, or was */
    uint64_t score;
    uint64_t shown[METRICS_OF_GROUP]; /* counters as they were last shown */
};

struct group {
    struct group_texts *texts;
    struct thread_names *thread_names; /* NULL: none yet */
    uint32_t index;
    bool hashed;
    bool takes_no_slot; /* of max-groups */
    bool literal;     /* named in the configuration: never expires */
    /* The only process in it. Such a group is shown if it is among the top, and gone when
     * its process is. NO_OWNER: any number of processes. */
    struct group_owner owner;
    size_t position; /* among those that are shown; TALLY_NO_GROUP: it is not */
    bool had_members;
    uint64_t emptied_ns; /* when it was first seen without processes; 0: it has some */
    uint64_t cpu_ns; /* credited since it was last shown */
    uint32_t cgroups; /* whose figures it shows; CGROUPS_TOO_MANY: not all are known */
    uint32_t written_as; /* its number in the state that is being written */
    metric_set have;  /* what members gave */
    metric_set known; /* to show: those, and what is 0 without members */
    uint64_t value[METRICS_OF_GROUP];
    struct standing *standing; /* NULL: there is no top */
    UT_hash_handle hh;
};

/* Index 0 is what filters or an empty group-by leave out: counted for the
 * coverage, never shown. */
#define GROUP_LEFT_OUT 0u

struct tallies {
    struct group **groups; /* by index; NULL: free */
    size_t end, size;
    size_t first_free; /* no index below it is free */
    struct group *by_name;
    size_t limit;     /* most groups that are nobody's own, `other` not counted */
    size_t own_limit; /* most groups that are a process's own */
    size_t count;     /* groups that take a slot: not left-out, other and kernel */
    size_t own_count; /* of them those that are a process's own */
    uint32_t other;     /* its index; 0: none yet */
    struct refused refused; /* what did not fit */
    metric_set available; /* some process of the host has it */
    metric_set counters;
    metric_set always; /* known of every group, members or not */
    metric_set switched_off; /* not collected */
    metric_set unshown; /* those, and what is not to be sent */
    uint8_t gauges[METRICS_OF_GROUP]; /* the others; not those that nobody asked for */
    uint8_t gauge_how[METRICS_OF_GROUP]; /* they are put together */
    size_t gauge_count;
    /* Most samples have the same fields: what follows from these is worked out once. */
    uint64_t last_fields;
    metric_set last_metrics; /* 0: not yet */
    uint8_t last_gauges[FIELDS - FIELD_COUNTERS]; /* rows of the table of gauges in tallies.c */
    size_t last_gauge_count;
    uint64_t cpu_ns;    /* credited since they were last shown, to all groups */
    struct thread_counting threads;

    enum top_by top_by; /* see top.h */
    size_t top;
    uint64_t hidden_cpu_ns; /* credited since they were last shown, to those that are hidden now */
    struct group **ranked;
    size_t ranked_size;

    struct group **order; /* shown groups by name */
    size_t order_count, order_size;
    bool order_stale;
};

/* `collect` has bits of enum collect; `origins` of what is read. */
int tallies_init(struct tallies *t, size_t limit, unsigned collect, unsigned origins);
void tallies_clear(struct tallies *t);

/* What the kernel's own threads are in by default, and takes no slot. */
#define KERNEL_GROUP "kernel"

/* The index of the group with this name (cleaned first), created if there is none. `other`
 * if there is no room, or if it is to be a process's own but belongs to another already:
 * names are cut, and values of several keys can be such that they join to the same text.
 * But the group of a process that had this pid before makes place: nobody may be in it any
 * more, see tallies_retire(). Labels are those of the first call. */
int tallies_group(struct tallies *t, struct text name, const struct group_labels *labels,
                  bool literal, struct group_owner owner, uint32_t *ret_index);

/* The group `other`, created if there is none. -ENOMEM. */
int tallies_other(struct tallies *t, uint32_t *ret_index);
/* Adds the gauges of one group to those of another, as if its members were that one's. */
void tallies_add_gauges(const struct tallies *t, struct group *to, const struct group *from);

/* A process's own group is to make place: the pid belongs to another now. Returns
 * whether it is gone; it is not if it is not this one's own. */
bool tallies_retire(struct tallies *t, uint32_t index, struct group_owner owner);

/* One collection: begin, then for each member … ; and if the groups are to be shown, end,
 * expire, order, and shown when they have been. */
void tallies_begin(struct tallies *t);
/* Adds the gauges of a member. Its counters are known from now on, even if they are 0. */
void tallies_member(struct tallies *t, uint32_t group, const struct sample *s,
                    uint64_t start_unix_ns);
void tallies_pss(struct tallies *t, uint32_t group, const struct pss *pss, uint64_t age_ns);
/* A member's PSS may not be read; is that the first of it that may not be read? */
void tallies_pss_refused(struct tallies *t, uint32_t group, bool is_first);
/* A member's sockets of these kinds (1 << enum socket_kind) are known: tallies_add() counts
 * them. Or they can't be told; is that the first of it that can't be? */
void tallies_sockets_known(struct tallies *t, uint32_t group, unsigned kinds);
void tallies_sockets_unknown(struct tallies *t, uint32_t group, bool is_first);
/* Those of nobody are known after all. */
void tallies_forget_sockets(struct tallies *t);
/* An increase of a counter. */
void tallies_credit(struct tallies *t, uint32_t group, enum field counter, uint64_t amount);
void tallies_add(struct tallies *t, uint32_t group, enum metric counter, uint64_t amount);
/* A process has ended, with these final values. */
void tallies_ended(struct tallies *t, uint32_t group, const struct sample *final);
/* So many processes have ended that way. */
void tallies_add_endings(struct tallies *t, uint32_t group, enum ending ending, uint64_t count);
/* It had members since the previous collection, though it may have none now. */
void tallies_passed_by(struct tallies *t, uint32_t group);

struct tallies_moment {
    uint64_t now_ns;      /* of the clock that expiry is measured with */
    uint64_t interval_ns; /* since they were last shown; 0: never */
    uint32_t cpus;        /* that CPU usage of 1 stands for */
    uint64_t expire_after_ns;
    bool keeps_empty; /* groups expire only when others may soon need the room */
    bool sees_traffic;
    unsigned endings; /* 1 << enum ending: those that are told of */
    uint64_t memory_bytes; /* that memory usage of 1 stands for; 0: it is not told */
};
/* Works out what is derived. */
void tallies_end(struct tallies *t, const struct tallies_moment *moment);
/* Removes the groups that have been empty for too long, and returns how many. Their
 * indices are free to be given out again. */
size_t tallies_expire(struct tallies *t, const struct tallies_moment *moment);
/* Lists the groups to show: all that top_choose() shows, or without it all, but of those that
 * are a process's own the first few, and no more than the limit leaves room for. -ENOMEM: none are shown. */
int tallies_order(struct tallies *t, size_t top);
/* Where a group, or the one that it is part of, stands among those that are shown;
 * TALLY_NO_GROUP: it is not. */
size_t tallies_position(const struct tallies *t, uint32_t group);
void tallies_shown(struct tallies *t);

/* The names of the group's threads, made if there are none. NULL: no memory. */
struct thread_names *tallies_thread_names(struct tallies *t, uint32_t group);
/* Where threads are told apart, at the begin and, with the groups that are shown, the end. */
void tallies_begin_threads(struct tallies *t);
int tallies_end_threads(struct tallies *t, const struct tallies_moment *moment);

/* What one process has of a group's metrics: returns those that `value` is
 * filled for. Counters are those of its own life. */
metric_set metrics_of_sample(const struct sample *s, uint64_t start_unix_ns,
                             uint64_t value[METRICS_OF_GROUP]);
/* What a metric that only adds up others adds up; nothing of any other. */
metric_set metric_parts(enum metric sum);
/* Which metric a counter of a process adds to. */
enum metric metric_of_counter(enum field counter);

#endif
