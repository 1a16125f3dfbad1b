/* SPDX-License-Identifier: MIT */
/*
 * Where samples come from. One collection asks a source for the list, then
 * opens one process after another:
 *
 *     list(); for each pid { activity(); or open(); measure(); [identify();] close(); }
 *
 * Counters that a source hands out never fall during the life of a process.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "source/identity.h"
#include "base/io.h"
#include "base/number.h"
#include "proctally.h"
#include "source/sample.h"
#include "settings.h"

struct source {
    const struct source_ops *ops;
    uint64_t tick_ns;      /* of the times since boot that it hands out */
    uint64_t boot_unix_ns; /* when the host booted, since 1970; known after host() */
    char boot_id[40];      /* of this boot alone; "" where that can't be known */
};

/* The host, as far as groups need it. */
struct host_stat {
    uint64_t busy_ticks; /* CPU time that processes can have used */
    uint32_t cpus;       /* online */
    uint64_t boot_time;  /* seconds since 1970 */
};

/* A process in the list. */
struct listed {
    uint32_t pid;
    /* Stays the same as long as this is the same process; it may change without
     * need, but is never the same for another process of this pid. 0: not known. */
    uint64_t marker;
    /* It has not run since it was sampled last, and is not to be opened. Only of a
     * source that knows without being asked for the activity of each. */
    bool asleep;
};

/* What the caller knows, so that needless work is left out. */
struct measure_hints {
    bool idle;     /* used no CPU time since it was last measured */
    bool fd_limit; /* read it: it is not known, or long ago */
};

/* Network traffic: METRIC_RECEIVED_BYTES_TCP and what follows. */
enum { TRAFFIC_COUNTERS = 8 };

/* What was used by processes that no list has shown: they started and ended
 * between two of them, or were another program until one executed this one. */
struct unlisted_use {
    struct identity identity; /* texts are valid until the next call */
    uint32_t known_pid;       /* what the identity lacks it has from this listed process; 0: none */
    bool is_known;            /* it is known_pid */
    bool forked_only;         /* its program is that of known_pid */
    uint64_t ancestor;        /* for ancestor(); 0: none */
    struct sample counters;
    uint64_t ended; /* processes */
    uint64_t traffic[TRAFFIC_COUNTERS];
};

struct source_ops {
    const char *name;
    struct source *(*free)(struct source *s);

    /* The processes there are, by ascending pid. The array is valid until the
     * next list(). Starts a collection. -errno. */
    int (*list)(struct source *s, const struct listed **ret_listed, size_t *ret_count);
    /* The next list is to say of nobody that he is asleep. NULL: none does. */
    void (*wake_all)(struct source *s);

    /* The number that measure() puts into a sample's activity, and nothing else,
     * in the cheapest way. NULL: the list has said who is asleep. */
    int (*activity)(struct source *s, uint32_t pid, uint64_t *ret);
    /* Turns to a process and fills what identifies it, and what came with
     * that. -ESRCH: it is gone; -EACCES, -EPERM: it is hidden; -EAGAIN: it is
     * asleep, and the next list will show all that are. */
    int (*open)(struct source *s, uint32_t pid, struct sample *ret);
    /* The rest, of the process that is open. -ESRCH: it has ended meanwhile, and
     * the sample is not to be used. */
    int (*measure)(struct source *s, struct sample *sample, struct measure_hints hints);
    /* Who the open process is. Texts are valid until close(). -ESRCH. */
    int (*identify)(struct source *s, const struct sample *sample, unsigned parts,
                    struct identity *ret);
    void (*close)(struct source *s);

    /* A source that sees every end has these; they are NULL in others, where
     * fold.c has to work out what the ended used.
     *
     * The next process that was listed once and has ended, with its final counters
     * (or those until it executed another program); to be called until it says
     * false, after list() and before anything is opened. */
    bool (*next_ended)(struct source *s, struct sample *ret);
    /* The next of what was used unlisted; the same way, but when all that are listed
     * have had their turn: it may be theirs. Parts as in identify(). */
    bool (*next_unlisted)(struct source *s, unsigned parts, struct unlisted_use *ret);
    /* Who an ancestor was that has not been listed either, and its own ancestor. */
    bool (*ancestor)(struct source *s, unsigned parts, struct unlisted_use *ret);
    uint64_t (*lost_events)(struct source *s);
    /* If not although it is to be collected, why_not says why. */
    bool (*sees_traffic)(struct source *s, struct tally_error *why_not);

    /* Proportional set size; may take long. -ESRCH, -EACCES … */
    int (*pss)(struct source *s, uint32_t pid, uint64_t *ret_bytes);
    bool (*is_alive)(struct source *s, uint32_t pid, uint64_t start_ticks);
    int (*host)(struct source *s, struct host_stat *ret);
    /* Some processes are hidden from us by the way /proc is mounted. */
    bool (*is_partial)(struct source *s);
    /* We do not have every right that reading all of a process needs. */
    bool (*lacks_rights)(struct source *s);
    /* Threads are read one by one, for want of a right. NULL: never. */
    bool (*lacks_thread_totals)(struct source *s);
    /* Threads left out so far because the budget was used up. */
    uint64_t (*threads_skipped)(struct source *s);
};

/* Opens the source that the settings ask for; they and io stay the caller's, and have
 * to live as long. `needs` has bits of enum identity_part. With source auto, why_not says
 * in one sentence why it is not bpf, if it is not. -errno, with error filled. */
int source_open(const struct settings *settings, const struct io *io, unsigned needs,
                struct source **ret, struct tally_error *error, struct tally_error *why_not);

#endif
