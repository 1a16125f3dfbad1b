/* SPDX-License-Identifier: MIT */
/* One process at one instant: what a source hands to the rest. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "base/number.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The raw values of a process. Order matters: counters first, and among them those that
 * the kernel folds upward (see fold.c) in one run. The state file has counters by their
 * numbers: new ones go to the end of them. */
enum field {
    /* the process's own use, kept apart from its children's by the kernel */
    FIELD_UTIME_NS,
    FIELD_STIME_NS,
    FIELD_MINFLT,
    FIELD_MAJFLT,
    FIELD_VOLUNTARY_SWITCHES,
    FIELD_INVOLUNTARY_SWITCHES,
    FIELD_RUN_QUEUE_WAIT_NS,
    FIELD_BLKIO_DELAY_NS,
    /* what reaped children used, theirs included */
    FIELD_CUTIME_NS,
    FIELD_CSTIME_NS,
    FIELD_CMINFLT,
    FIELD_CMAJFLT,
    /* own use and reaped children's in one number */
    FIELD_IO_READ_BYTES,    /* rchar: bytes through read(2) and its kin */
    FIELD_IO_WRITTEN_BYTES, /* wchar */
    FIELD_IO_READS,         /* syscr */
    FIELD_IO_WRITES,        /* syscw */
    FIELD_DISK_READ_BYTES,  /* read_bytes: fetched from storage */
    FIELD_DISK_WRITTEN_BYTES,
    FIELD_FOLDED_END,
    /* the process's own use, on macOS alone */
    FIELD_SWITCHES = FIELD_FOLDED_END, /* of both kinds, which nobody tells apart there */
    FIELD_UNIX_CALLS,
    FIELD_MACH_CALLS,
    FIELD_MESSAGES_SENT, /* of Mach */
    FIELD_MESSAGES_RECEIVED,
    FIELD_COW_FAULTS, /* among FIELD_MINFLT */
    FIELD_INSTRUCTIONS,
    FIELD_CYCLES,
    FIELD_ENERGY_NJ,
    FIELD_COUNTERS, /* how many counters; gauges from here on */

    /* gauges that stay as they are while the process does not run: kept with it */
    FIELD_SWAP_BYTES = FIELD_COUNTERS,
    FIELD_FOOTPRINT_BYTES, /* private: RssAnon and VmSwap */
    FIELD_DATA_BYTES,
    FIELD_STACK_BYTES,
    FIELD_CODE_BYTES,
    FIELD_OPEN_FDS,
    FIELD_RSS_BYTES,
    FIELD_VMS_BYTES,
    FIELD_CACHED_END,

    FIELD_THREADS = FIELD_CACHED_END,
    FIELD_THREADS_RUNNING,
    FIELD_FD_LIMIT,
    FIELD_PRIORITY, /* int64_t */
    FIELD_PRIORITY_UP, /* the same, where the higher is the more favoured */
    FIELD_NICE,     /* int64_t */

    /* gauges that are kept too, if they are collected */
    FIELD_RSS_PEAK_BYTES, /* highest FIELD_RSS_BYTES since its last execve(2) */
    FIELD_SHARED_BYTES,   /* RssFile + RssShmem */
    FIELD_SHMEM_BYTES,    /* RssShmem */
    FIELD_LOCKED_BYTES,
    FIELD_PAGE_TABLE_BYTES,
    FIELD_MAPPINGS,
    FIELD_OOM_SCORE, /* as in /proc/PID/oom_score */
    FIELDS
};

#define FIELD_CACHED_FIRST FIELD_SWAP_BYTES
#define FIELD_CACHED (FIELD_CACHED_END - FIELD_CACHED_FIRST)
#define FIELD_DETAIL_FIRST FIELD_RSS_PEAK_BYTES
#define FIELD_DETAILS (FIELDS - FIELD_DETAIL_FIRST)
#define FIELD_FOLDED_FIRST FIELD_CUTIME_NS
#define FIELD_FOLDED (FIELD_FOLDED_END - FIELD_FOLDED_FIRST)

/* Counters that no source of Linux has: a process's record has no room for them, see
 * count/proctable.h. */
#define FIELD_DARWIN_FIRST FIELD_SWITCHES
#define FIELD_DARWIN (FIELD_COUNTERS - FIELD_DARWIN_FIRST)

#define COUNTER_FIELDS (BIT(FIELD_COUNTERS) - 1)
#define DARWIN_FIELDS (COUNTER_FIELDS & ~(BIT(FIELD_DARWIN_FIRST) - 1))

_Static_assert(FIELDS <= 64, "one presence bit per field in 64 bits");

/* Where values come from, for `unreadable_processes{file}`. */
enum origin {
    ORIGIN_STATUS,
    ORIGIN_IO,
    ORIGIN_FD,
    ORIGIN_LIMITS,
    ORIGIN_SCHED, /* taskstats, or schedstat and task/ without that right */
    ORIGIN_PSS,   /* smaps_rollup */
    ORIGIN_IDENTITY,
    ORIGIN_SOCKETS, /* fd/, and sock_diag of its network namespace */
    ORIGINS
};

/* What one thread used since it started. In the order of the metrics. */
enum thread_field {
    THREAD_UTIME_NS,
    THREAD_STIME_NS,
    THREAD_DISK_READ_BYTES,
    THREAD_DISK_WRITTEN_BYTES,
    THREAD_MINFLT,
    THREAD_MAJFLT,
    THREAD_VOLUNTARY_SWITCHES,
    THREAD_INVOLUNTARY_SWITCHES,
    THREAD_FIELDS
};

/* The same of a process. */
static inline enum field field_of_thread(enum thread_field f) {
    static const enum field fields[THREAD_FIELDS] = {
        [THREAD_UTIME_NS] = FIELD_UTIME_NS,
        [THREAD_STIME_NS] = FIELD_STIME_NS,
        [THREAD_DISK_READ_BYTES] = FIELD_DISK_READ_BYTES,
        [THREAD_DISK_WRITTEN_BYTES] = FIELD_DISK_WRITTEN_BYTES,
        [THREAD_MINFLT] = FIELD_MINFLT,
        [THREAD_MAJFLT] = FIELD_MAJFLT,
        [THREAD_VOLUNTARY_SWITCHES] = FIELD_VOLUNTARY_SWITCHES,
        [THREAD_INVOLUNTARY_SWITCHES] = FIELD_INVOLUNTARY_SWITCHES,
    };
    return fields[f];
}

struct thread_sample {
    uint32_t tid;
    uint64_t start_ticks; /* since boot; tid and this are one thread */
    uint64_t exact_cpu_ns; /* as in struct sample */
    unsigned have;         /* BIT(thread_field) */
    uint64_t value[THREAD_FIELDS];
    uint8_t comm_len;
    char comm[64]; /* raw bytes */
};

/* The threads of a process, as far as they were read this time. */
struct thread_samples {
    const struct thread_sample *items;
    size_t count;
    /* Those of a process that has very many are read in several collections: */
    bool first_part, last_part;
    bool main_only; /* the process's own figures, as it has one thread and had no other */
};

/* How a process ended, as its parent is told by wait(2). */
enum ending {
    ENDING_UNKNOWN,
    ENDING_OK,     /* with exit status 0 */
    ENDING_ERROR,  /* with another one */
    ENDING_SIGNAL, /* killed by a signal … */
    ENDING_CORE,   /* … that left a core dump */
    ENDING_OOM,    /* killed by the kernel for want of memory */
    ENDINGS
};

struct sample {
    uint32_t pid, ppid;
    uint64_t start_ticks; /* since boot; pid and this are one incarnation */
    uint64_t exec_marker; /* differs after execve(2), as far as can be seen; 0: it can't be
                           * told now what the process is, only what it was */
    uint32_t cgroups_marker; /* differs after it was moved to another control group; 0: only its
                              * file tells */
    uint32_t uid, gid;    /* effective; known if has_credentials */
    bool has_credentials;
    bool is_kernel;        /* a thread of the kernel's own */
    bool seen_from_birth;  /* the source saw it begin, or was told */
    bool ignores_children; /* SIGCHLD ignored: children are not folded into it */
    uint8_t ending;        /* enum ending, of one that has ended */
    char state;            /* as in /proc/PID/stat */
    bool has_terminal;
    uint32_t terminal;     /* its device number; 0: none */
    bool leads_session, in_foreground; /* known if has_terminal */
    uint8_t comm_len;
    char comm[64]; /* raw bytes; kernel workers have up to 63 */

    /* Its command line, if a brief look is to tell it: valid until the next process is opened.
     * NULL: not read */
    const char *cmdline;
    size_t cmdline_len;
    /* Its threads, if they are to be told one by one: valid until the next process is opened.
     * NULL: not read this time */
    const struct thread_samples *threads;

    /* Who it was started by, who may be gone by now: a process that was listed, or else
     * what the source's ancestor() is to be asked for. 0: not known. */
    uint32_t ancestor_pid;
    uint64_t ancestor_start_ticks;
    uint64_t ancestor;

    /* A number that differs when the process has run in between; 0: not known. */
    uint64_t activity;
    /* The CPU time, where it is known better than by the clock tick: FIELD_UTIME_NS
     * and FIELD_STIME_NS are then only its shares. 0: they are all there is. */
    uint64_t exact_cpu_ns;
    /* It executed a program since the last sample. Its counters when it did so
     * first: what it used until then is that of who it was. And when it did so
     * last: what it used before was as another, and is counted elsewhere. NULL: not
     * so, or the source can't tell. */
    const struct sample *until_exec, *since_exec;

    uint64_t have;       /* BIT(field) for each value below that is known */
    uint64_t value[FIELDS];
    unsigned unreadable; /* BIT(origin) for what was refused */
};

/* Proportional sizes: each page counts by one n-th if n processes share it. */
struct pss {
    uint64_t bytes;      /* resident */
    uint64_t swap_bytes; /* swapped out */
    bool has_swap;
};

static inline void sample_set(struct sample *s, enum field f, uint64_t value) {
    s->value[f] = value;
    s->have |= BIT(f);
}

/* On Linux descriptors, sockets and memory are those that the main thread has. A process that has
 * outlived it still has its own, but nothing leads to them. */
static inline bool has_outlived_main_thread(char state, uint64_t threads) {
    return state == 'Z' && threads > 1;
}
static inline void sample_drop_main_threads(struct sample *s) {
    if (s->have & BIT(FIELD_THREADS) &&
        has_outlived_main_thread(s->state, s->value[FIELD_THREADS]))
        s->have &= ~((BIT(FIELD_CACHED_END) - BIT(FIELD_CACHED_FIRST)) |
                     (BIT(FIELDS) - BIT(FIELD_DETAIL_FIRST)));
}

#endif
