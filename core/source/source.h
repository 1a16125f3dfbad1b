/* SPDX-License-Identifier: MIT */
/*
 * Where samples come from. One collection asks a source for the list, then opens one
 * process after another:
 *
 *     list(); for each that is listed { open(); measure(); [identify();] close(); }
 *
 * Most processes sleep, and are as they were when they were measured last: the list says
 * so, or open() finds out before it reads anything.
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

/* How it becomes known what a process used between its last sample and its end. */
enum ends {
    ENDS_BY_FOLDING, /* parents show what children used that they reaped: count/fold.h */
    ENDS_BY_EVENTS   /* the source is told of every end: next_ended(), next_unlisted() */
};

struct source {
    const struct source_ops *ops;
    const char *name;
    enum ends ends;
    /* Of a process from before it was opened, a source may not know all that was used:
     * after a restart of ours its counters can be lower than the ones that were saved. */
    bool restarts_lower;
    /* BIT(field) of the counters that it may know of a process only after several collections,
     * although it had them in its last run. */
    uint64_t known_late;
    /* With ENDS_BY_FOLDING: BIT(field) of what stands in fold.c's run of folded counters, and
     * that this kernel does not add to the parent's. 0: it adds them all. */
    uint64_t keeps_apart;
    const char *full_rights; /* that reading all of each process takes; NULL: those of Linux */
    bool has_darwin_fields;  /* it hands out DARWIN_FIELDS */
    /* Bits of enum collect: what this system has nothing of. It is switched off, and a notice
     * says so. 0: it has some of each. */
    unsigned lacks_collect;
    /* with ENDS_BY_EVENTS: of nothing that was over when it was opened; else of no traffic from
     * before its first list */
    bool tells_from_now_on;
    bool marks_by_inode; /* listed.marker is what tells the process from others of its pid in
                          * source_process_text(), too: the inode of its directory on Linux */
    uint64_t tick_ns;      /* of the times since boot that it hands out */
    uint64_t boot_unix_ns; /* when the host booted, since 1970; known after host() */
    char boot_id[40];      /* of this boot alone; "" where that can't be known */
};

/* user, nice, system, idle, iowait, irq, softirq, steal */
enum { HOST_TIMES = 8 };

/* The host, as far as groups need it. */
struct host_stat {
    uint64_t busy_ticks; /* CPU time that processes can have used */
    /* The first so many, where only a source that goes on can tell them: else they are among
     * the details. */
    uint64_t times_ticks[HOST_TIMES];
    size_t times_known;
    uint32_t cpus;       /* online */
    uint64_t boot_time;  /* seconds since 1970 */
};

/* … and all that is told of it to those who ask. */
enum host_memory {
    HOST_MEMORY_TOTAL,
    HOST_MEMORY_FREE,
    HOST_MEMORY_AVAILABLE,
    HOST_MEMORY_BUFFERS,
    HOST_MEMORY_CACHED,
    HOST_SWAP_TOTAL,
    HOST_SWAP_FREE,
    HOST_MEMORIES
};
struct host_details {
    uint64_t tick_ns;
    uint64_t times_ticks[HOST_TIMES];
    size_t times_known; /* the first so many */
    uint64_t memory_bytes[HOST_MEMORIES];
    unsigned memory_known; /* 1 << enum host_memory */
    uint64_t load_billionths[3]; /* of the last 1, 5 and 15 minutes */
    bool has_load;
    uint64_t uptime_ns;
    bool has_uptime;
    uint64_t users; /* sessions */
    bool has_users;
};

/* A process in the list. */
struct listed {
    uint32_t pid;
    /* Whether it has run since it was measured last. */
    enum listed_state {
        LISTED_UNKNOWN, /* open() finds out */
        LISTED_ASLEEP,  /* it has not, and can't be opened unless list() was called in_full */
        LISTED_ACTIVE
    } state;
    /* Stays the same as long as this is the same process; it may change without
     * need, but is never the same for another process of this pid. 0: not known. */
    uint64_t marker;
};

/* What the caller knows, so that needless work is left out. */
struct measure_hints {
    bool idle;     /* used no CPU time since it was last measured */
    bool fd_limit; /* read it: it is not known, or long ago */
    /* Its threads one by one: not, if only the main thread can be told without reading it by
     * itself, or all of them. */
    enum threads_wanted { THREADS_UNWANTED, THREADS_MAIN, THREADS_ALL } threads;
    bool left_out; /* nobody asks for its sockets */
};

/* Network traffic: METRIC_RECEIVED_BYTES_TCP and what follows. */
enum { TRAFFIC_COUNTERS = 8 };

/* What was used by processes that no list has shown: they started and ended
 * between two of them, or were another program until one executed this one. */
struct unlisted_usage {
    struct identity identity; /* texts are valid until the next call */
    uint32_t known_pid;       /* what the identity lacks it has from this listed process; 0: none */
    uint64_t known_start_ticks;
    bool is_known;            /* it is known_pid */
    bool forked_only;         /* its program is that of known_pid */
    uint64_t ancestor;        /* for ancestor(); 0: none */
    struct sample counters;
    /* Processes. With identity.pid it is one alone, that may have been listed for all the
     * source knows: then this is its end, and its whole life. If it was not, it counts as
     * unlisted, and not at all with 0 here. */
    uint64_t ended;
    uint64_t ended_by[ENDINGS]; /* of them, if that is to be collected; as is counters.ending */
    uint64_t traffic[TRAFFIC_COUNTERS];
};

/* What is counted of sockets. In the order of METRIC_TCP_ESTABLISHED and what follows. */
enum socket_kind {
    SOCKET_TCP_ESTABLISHED,
    SOCKET_TCP_SYN_SENT,
    SOCKET_TCP_FIN_WAIT1,
    SOCKET_TCP_FIN_WAIT2,
    SOCKET_TCP_CLOSE, /* connected to nobody: not yet, or no more */
    SOCKET_TCP_CLOSE_WAIT,
    SOCKET_TCP_LAST_ACK,
    SOCKET_TCP_LISTEN,
    SOCKET_TCP_CLOSING,
    SOCKET_UDP,
    SOCKET_UNIX,
    SOCKET_KINDS
};

/* By the state as the kernel numbers it. -1: of no kind. A connection that is not established
 * yet (SYN_RECV) or over (TIME_WAIT) is no process's. */
static inline int socket_kind_of_tcp(unsigned state) {
    enum { STATES = 12 };
    static const uint8_t kind_and_1[STATES] = {
        [1] = SOCKET_TCP_ESTABLISHED + 1, [2] = SOCKET_TCP_SYN_SENT + 1,
        [4] = SOCKET_TCP_FIN_WAIT1 + 1,   [5] = SOCKET_TCP_FIN_WAIT2 + 1,
        [7] = SOCKET_TCP_CLOSE + 1,       [8] = SOCKET_TCP_CLOSE_WAIT + 1,
        [9] = SOCKET_TCP_LAST_ACK + 1,    [10] = SOCKET_TCP_LISTEN + 1,
        [11] = SOCKET_TCP_CLOSING + 1,
    };
    return state < STATES ? kind_and_1[state] - 1 : -1;
}

/* Takes what a source tells of sockets. */
struct socket_use {
    /* It turns to a process. Its sockets of these kinds (1 << enum socket_kind) are known; 0:
     * they can't be told. */
    void (*process)(void *data, uint32_t pid, uint64_t start_ticks, unsigned kinds);
    /* That process has this one open, perhaps by several descriptors, as others may. Below 0
     * it ends the telling. */
    int (*socket)(void *data, uint64_t inode, enum socket_kind kind);
    void *data;
};

/* What a thread used that has ended, of a process that is alive or has just ended. */
struct thread_end {
    uint32_t pid; /* of the process */
    uint64_t start_ticks;
    /* tid 0: all threads of that name that no list can have shown. */
    struct thread_sample thread;
};
/* True: it is not to be told of again. */
typedef bool use_thread_end(void *data, const struct thread_end *end);

/* What a kernel can be built without. */
enum kernel_part {
    KERNEL_SCHED_INFO,
    KERNEL_DELAY_ACCT,
    KERNEL_XACCT,
    KERNEL_IO_ACCOUNTING,
    KERNEL_PARTS
};
/* The option of its configuration. */
static inline const char *kernel_part_name(enum kernel_part part) {
    switch (part) {
    case KERNEL_SCHED_INFO:
        return "CONFIG_SCHED_INFO";
    case KERNEL_DELAY_ACCT:
        return "CONFIG_TASK_DELAY_ACCT";
    case KERNEL_XACCT:
        return "CONFIG_TASK_XACCT";
    case KERNEL_IO_ACCOUNTING:
        return "CONFIG_TASK_IO_ACCOUNTING";
    case KERNEL_PARTS:
        break;
    }
    return "";
}

/* How well the source can do its work. */
struct source_health {
    bool is_partial;       /* the way /proc is mounted hides some processes from us */
    bool lacks_rights;     /* we do not have every right that reading all of a process needs */
    bool by_taskstats;     /* that tells switches and delays of all threads */
    bool reads_by_thread;  /* they are read one by one, for want of a right */
    uint64_t threads_skipped; /* so far, as the budget for that was used up */
    uint64_t lost_events;     /* so far; ENDS_BY_EVENTS */
    bool sees_traffic;
    bool sees_later_traffic; /* … that is not from before its first list */
    bool misses_old_sockets; /* … but not that of sockets from before it began to */
    unsigned endings; /* 1 << enum ending: those that it can tell, if they are to be collected */
    /* BIT(field) of what is to be collected, and is not to be had without that part */
    uint64_t lacks[KERNEL_PARTS];
    bool lacks_cgroups;    /* that groups are to be told by */
    struct tally_error no_traffic; /* why not, if it is to be collected; else "" */
    /* why the sockets of all or of some processes can't be told, if they are to be collected
     * and rights are not what is missing; else "" */
    struct tally_error no_sockets;
};

struct source_ops {
    struct source *(*free)(struct source *s);

    /* The processes there are, by ascending pid. The array is valid until the
     * next list(). Starts a collection. in_full: nobody is LISTED_ASLEEP. -errno. */
    int (*list)(struct source *s, bool in_full, const struct listed **ret_listed,
                size_t *ret_count);
    /* Turns to a process and fills what identifies it, and what came with that.
     * `activity` is that of its last sample if it slept then and that sample would still
     * do, else 0: 1 is returned if it is the same now; then no process is open.
     * -ESRCH: it is gone; -EACCES, -EPERM: it is hidden; -EAGAIN: it is LISTED_ASLEEP. */
    int (*open)(struct source *s, const struct listed *listed, uint64_t activity,
                struct sample *ret);
    /* The rest, of the process that is open. -ESRCH: it has ended meanwhile, and
     * the sample is not to be used. */
    int (*measure)(struct source *s, struct sample *sample, struct measure_hints hints);
    /* Those that open() says 1 of have both of these; where it never does they may be NULL.
     * Into a sample, what others can have changed of the process that open() just said that of,
     * although it slept: its memory. What does not change without it is left as it is. Below 0:
     * it is to be opened after all, with 0 for its activity. */
    int (*measure_memory)(struct source *s, const struct listed *listed, struct sample *ret);
    /* A number that is another one once the kernel may have taken memory from processes that
     * sleep, or given them some. -errno: it can't be told. */
    int (*memory_moves)(struct source *s, uint64_t *ret);
    /* Who the open process is. Texts are valid until close(). -ESRCH. */
    int (*identify)(struct source *s, const struct sample *sample, unsigned parts,
                    struct identity *ret);
    void (*close)(struct source *s);
    /* May take long. -ESRCH, -EACCES … */
    int (*pss)(struct source *s, uint32_t pid, struct pss *ret);
    /* The function of the kernel that a thread waits in, as far as it fits. 0: it does not wait,
     * or the right to see it is lacking. */
    ssize_t (*wait_channel)(struct source *s, uint32_t pid, uint32_t tid, char *to, size_t size);
    /* With COLLECT_SOCKETS only, when all processes have had their turn: tells of each what it
     * has. -errno, and what was told does not count. */
    int (*sockets)(struct source *s, const struct socket_use *use);
    int (*host)(struct source *s, struct host_stat *ret);
    void (*health)(struct source *s, struct source_health *ret);

    /* With ENDS_BY_FOLDING only. Has this process, which was opened, not ended yet? */
    bool (*is_alive)(struct source *s, uint32_t pid, uint64_t start_ticks);

    /* With ENDS_BY_EVENTS only. The next process that was listed once and has ended, with
     * its final counters (or those until it executed another program); to be called until
     * it says false, after list() and before anything is opened. */
    bool (*next_ended)(struct source *s, struct sample *ret);
    /* The next of what was used unlisted; the same way, but when all that are listed
     * have had their turn: it may be theirs. Parts as in identify(). With ENDS_BY_FOLDING it is
     * traffic alone, and this may be NULL. */
    bool (*next_unlisted)(struct source *s, unsigned parts, struct unlisted_usage *ret);
    /* Those that had ended when the last list began, and are still to be told of; may be called
     * several times after list(). NULL: it knows of none, and what threads use between the last
     * list that has shown them and their end is known only as part of their process. */
    void (*thread_ends)(struct source *s, use_thread_end *use, void *data);
    /* Who an ancestor was that has not been listed either, and its own ancestor. False: it can't
     * be told. Who has next_unlisted() has this. */
    bool (*ancestor)(struct source *s, unsigned parts, struct unlisted_usage *ret);
};

/* Those who are counted with all their descendants, and nobody else; none: everybody is. */
#define FOLLOWED_MAX 64
struct followed {
    uint32_t count;
    uint32_t adopter; /* whose children are orphans of theirs; 0: nobody's */
    struct followed_root {
        uint32_t pid;
        uint64_t start_ticks;
    } roots[FOLLOWED_MAX];
};

static inline bool is_followed_root(const struct followed *f, uint32_t pid, uint64_t start_ticks) {
    for (uint32_t i = 0; i < f->count; i++)
        if (f->roots[i].pid == pid && f->roots[i].start_ticks == start_ticks)
            return true;
    return false;
}

/* What grouping asks about processes, also about those that no list will show. */
enum ancestors {
    ANCESTORS_NONE,
    ANCESTORS_LISTED, /* the nearest one that a list has shown */
    ANCESTORS_ALL
};
struct source_needs {
    unsigned identity; /* bits of enum identity_part */
    enum ancestors ancestors;
    const struct followed *followed; /* has to live as long as the source */
    bool terminals; /* with ENDS_BY_EVENTS, of each process that is listed … */
    bool each_end;  /* … and each that ended unlisted by itself, as far as there is room */
};

/* Opens the source that the settings ask for; they and io stay the caller's, and have
 * to live as long. With source auto, why_not says in one sentence why it is not bpf, if it
 * is not. -errno, with error filled. */
int source_open(const struct settings *settings, const struct io *io,
                const struct source_needs *needs, struct source **ret, struct tally_error *error,
                struct tally_error *why_not);

/* Of one process of the proc file system at `root`, outside of any collection: what
 * identifies it, its name, state and terminal, its user if asked for (as far as it can be
 * read), and texts about it: of the one that started then, to be recognised by the inode of
 * its directory, if that is not 0; on macOS by its start as the kernel has it, which its source
 * marks it with as if that were an inode. -ESRCH, and what reading says. */
int source_lookup(const struct io *io, const char *root, uint32_t pid, bool with_user,
                  struct sample *ret);
/* What is not known is not an error. */
void source_host_memory(const struct io *io, const char *root, struct host_details *ret);
void source_host_details(const struct io *io, const char *root, struct host_details *ret);
ssize_t source_process_text(const struct io *io, const char *root, uint32_t pid,
                            uint64_t start_ticks, uint64_t inode, enum tally_process_text which, char *to,
                            size_t size);

#endif
