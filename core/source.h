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

#include "identity.h"
#include "io.h"
#include "parse.h"
#include "sample.h"

struct source {
    const struct source_ops *ops;
    uint64_t tick_ns;      /* of the times since boot that it hands out */
    uint64_t boot_unix_ns; /* when the host booted, since 1970; known after host() */
};

/* A process in the list. */
struct listed {
    uint32_t pid;
    /* Stays the same as long as this is the same process; it may change without
     * need, but is never the same for another process of this pid. 0: not known. */
    uint64_t marker;
};

/* What the caller knows, so that needless work is left out. */
struct measure_hints {
    bool idle;     /* used no CPU time since it was last measured */
    bool fd_limit; /* read it: it is not known, or long ago */
};

struct source_ops {
    const char *name;
    struct source *(*free)(struct source *s);

    /* The processes there are, by ascending pid. The array is valid until the
     * next list(). Starts a collection. -errno. */
    int (*list)(struct source *s, const struct listed **ret_listed, size_t *ret_count);

    /* The number that measure() puts into a sample's activity, and nothing else,
     * in the cheapest way. */
    int (*activity)(struct source *s, uint32_t pid, uint64_t *ret);
    /* Turns to a process and fills what identifies it, and what came with
     * that. -ESRCH: it is gone; -EACCES, -EPERM: it is hidden. */
    int (*open)(struct source *s, uint32_t pid, struct sample *ret);
    /* The rest, of the process that is open. -ESRCH: it has ended meanwhile, and
     * the sample is not to be used. */
    int (*measure)(struct source *s, struct sample *sample, struct measure_hints hints);
    /* Who the open process is. Texts are valid until close(). -ESRCH. */
    int (*identify)(struct source *s, const struct sample *sample, unsigned parts,
                    struct identity *ret);
    void (*close)(struct source *s);

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

#define NS_PER_S UINT64_C(1000000000)

/* source_procfs.c: reads the tree at `root`. `collect` has bits of enum
 * collect. -ENOENT, -ENOTDIR, -EACCES, -ENOMEM. */
int source_procfs_new(const char *root, const struct io *io, unsigned collect,
                      struct source **ret);

#endif
