/* SPDX-License-Identifier: MIT */
/*
 * The threads of groups by their names.
 *
 *     group ──▶ thread_names: one thread_name for each name, with its counters
 *                    ▲
 *     process ──▶ thread_list: one thread for each that is alive, with what it had used when
 *                              it was looked at last, and the name that its use goes to
 *
 * A name's counters keep what threads used that have ended. How many threads have the name is
 * kept up to date as they come and go, so that a process which has not changed costs nothing.
 */
#ifndef THREAD_NAMES_H
#define THREAD_NAMES_H

#include "count/metrics.h"
#include "source/sample.h"

#include <stddef.h>

/* Longest name in bytes: those of threads have 15, those of the kernel's workers up to 63. */
#define THREAD_NAME_MAX 63u
/* Where names go for which there is no room. */
#define OTHER_THREADS "other"
/* Most threads that are told apart, in all processes. What others use is in nobody's name. */
#define THREADS_MAX (256u << 10)

struct thread_name {
    char text[THREAD_NAME_MAX + 1]; /* clean; "": the slot is free */
    uint32_t threads;    /* alive */
    unsigned known;      /* 1 << thread_field, of the counters that some thread had */
    uint64_t used[THREAD_FIELDS];
    /* With a top, see top.h: */
    uint64_t shown[THREAD_FIELDS]; /* what was used, as it was last shown */
    uint64_t hidden_threads; /* of this name, of the groups that `other` stands for */
    /* When it was first shown without threads, and without use since; 0: not yet. */
    uint64_t emptied_ns;
    uint32_t written_as; /* its number in the state that is being written */
};

/* The names of one group. Lists of processes may outlive the group: it is shared. */
struct thread_names {
    unsigned references;
    struct thread_name *items;
    size_t end, size;   /* slots used so far, and there */
    size_t count;       /* names, `other` not counted */
    uint32_t other;     /* its slot; NO_NAME: none yet */
    uint32_t *table;    /* slots by name; a power of two, twice the size; NO_NAME: free */
    size_t table_size;
    uint32_t *order;    /* slots in the order of the names, for those who show them */
    size_t order_count;
    bool order_stale;
    uint64_t unknown;   /* member processes of which not every thread is known */
    struct thread_names *channels; /* where their threads wait, the same way; NULL: nowhere yet */
};
#define NO_NAME UINT32_MAX

struct thread {
    uint32_t tid;
    uint32_t name; /* slot; NO_NAME: its use goes nowhere */
    uint64_t start_ticks;
    uint64_t comm_hash;
    uint64_t last[THREAD_FIELDS];
    uint32_t channel; /* slot among the channels; NO_NAME: it does not wait, or nobody knows */
    uint8_t have;     /* 1 << thread_field */
    bool seen : 1;       /* since the first part */
    bool stale : 1;      /* it ran since its channel was read */
    bool is_missing : 1; /* it is not there any more, and has no name; its end may be told */
    bool is_told : 1;
    uint16_t missing_s;  /* since when, the lower bits */
};
_Static_assert(THREAD_FIELDS <= 8, "one bit for each");

/* The threads of one process. */
struct thread_list {
    struct thread_names *names; /* of its group; NULL: in none, its threads' use goes nowhere */
    struct thread *items; /* the first `sorted` ascending by tid, then new ones */
    size_t count, sorted, size;
    uint64_t began_ticks; /* when the last reading began, since boot; 0: never */
    uint64_t next_began_ticks;
    /* One that started since then and is not here has not been counted yet, where ends are told;
     * 0: none was read, UINT64_MAX: not until they are. */
    uint64_t known_ticks;
    uint64_t main_hash;   /* of the main thread's name */
    uint32_t read_s;      /* when it was read to the end */
    bool whole;     /* each thread was read once */
    bool overfull;  /* of those of this reading some found no room */
    bool behind;    /* it ran, and was not read since */
    bool stale;     /* some of them are */
    bool has_others; /* or had: its own figures do not speak for its main thread */
};

/* In `shown`: wait channels. */
#define CHANNELS_SHOWN (1u << (METRIC_WAIT_CHANNEL - METRIC_THREAD_FIRST))

/* What all groups have in common. */
struct thread_counting {
    bool is_on;
    bool ends_are_told; /* to threads_take_end(), of each thread */
    bool folds;      /* numbers in names */
    unsigned shown;  /* 1 << (metric - METRIC_THREAD_FIRST), wait channels among them */
    size_t max_names; /* of a group */
    size_t threads;  /* in all lists */
    uint64_t skipped; /* that did not fit, each time that they were seen */
    /* Channels are read one by one: so many more in this collection, of processes from this pid
     * on; the first for whom nothing is left is the first in the next one. */
    uint32_t channels_left, turn, next_turn;
};

/* At some 6 µs each this is 6 ms. */
#define CHANNELS_BUDGET 1000u

/* ---- Names ------------------------------------------------------------------------------ */

/* A copy without its numbers: each run of digits is N. At most THREAD_NAME_MAX bytes. */
size_t fold_thread_name(const char *name, size_t len, char to[THREAD_NAME_MAX]);

struct thread_names *thread_names_new(void); /* NULL: no memory */
struct thread_names *thread_names_ref(struct thread_names *names);
struct thread_names *thread_names_unref(struct thread_names *names); /* takes and returns NULL */
/* The slot of a name, which is made clean; `other` if there is no room. -ENOMEM. */
int thread_names_find(struct thread_names *names, const struct thread_counting *c,
                      const char *name, size_t len, uint32_t *ret_slot);
/* Removes those that have had no threads, and used nothing, for so long. */
void thread_names_expire(struct thread_names *names, uint64_t now_ns, uint64_t expire_after_ns);
/* Brings `order` up to date. -ENOMEM. */
int thread_names_order(struct thread_names *names);

/* What was used since it was last shown goes to the same names of another group; the own
 * counters are what was shown again. With `hides` the threads that are alive, and where they
 * wait, count there as well until thread_names_unhide(). -ENOMEM: what was given is given. */
int thread_names_give(struct thread_names *from, struct thread_names *to,
                      const struct thread_counting *c, bool hides);
void thread_names_unhide(struct thread_names *names);
void thread_names_shown(struct thread_names *names);

/* ---- Threads ---------------------------------------------------------------------------- */

struct thread_moment {
    uint64_t now_ticks; /* when this collection began, since boot */
    uint32_t now_s;
    /* A thread that started since then is new; 0: none is. It was when the collection before
     * began, and counts for processes that have not been read before. */
    uint64_t since_ticks;
    bool from_birth; /* all that the process used is its group's */
};

/* Is all of them to be read? Of the sample it is known how many they are, and what the main
 * one is called; `idle`: that they used no CPU time. */
bool threads_are_due(const struct thread_list *list, const struct sample *s, bool idle,
                     uint32_t now_s);
/* A list for a process that has none. NULL: no memory. */
struct thread_list *thread_list_new(void);
/* Adds a thread as it was in another list of the same names. -ENOMEM. */
int thread_list_restore(struct thread_list *list, struct thread_counting *c,
                        const struct thread *thread);
/* Its threads are not there any more; their ends are still to be told. */
void threads_leave(struct thread_list *list, uint32_t now_s);
/* Its threads have ended, with the process. Takes and returns NULL. */
struct thread_list *thread_list_free(struct thread_list *list, struct thread_counting *c);
/* The process is in the group of these names now; NULL: in none. -ENOMEM. */
int threads_join(struct thread_list *list, struct thread_counting *c, struct thread_names *names);
/* What its threads used since they were looked at last. -ENOMEM: what was taken is taken. */
int threads_take(struct thread_list *list, struct thread_counting *c, const struct sample *s,
                 const struct thread_moment *moment);

/* One has ended, and this is all that it used; tid 0: several of a name that were in no reading,
 * none of which started before that time. -ENOMEM: nothing was taken. */
int threads_take_end(struct thread_list *list, struct thread_counting *c,
                     const struct thread_sample *s);

/* At the start of a collection. */
void channels_begin(struct thread_counting *c);
/* The next thread of process `pid` whose channel is to be read, from the i-th on. NULL: no
 * more, or not now. */
struct thread *channels_next(struct thread_list *list, struct thread_counting *c, uint32_t pid,
                             size_t *i);
/* It waits there; len 0: nowhere, or it is not known. -ENOMEM. */
int channels_set(struct thread_list *list, const struct thread_counting *c,
                 struct thread *thread, const char *channel, size_t len);

/* A value to show; false: it is not known. */
bool thread_name_value(const struct thread_names *names, const struct thread_name *name,
                       enum metric metric, uint64_t *ret);

#endif
