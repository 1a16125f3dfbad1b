/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The interface between the BPF programs and the code in bpf*.c that reads from them.
 * Both sides are compiled from this file. Pinned programs outlive the process that loaded
 * them, so a newer proctally may find older ones: raise BPF_FORMAT whenever a layout here,
 * a global variable, or the meaning of either changes.
 */
#ifndef SHARED_H
#define SHARED_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define BPF_FORMAT 13

/* What one or more threads used. CPU times are in nanoseconds: RUN is exact, USER and
 * SYSTEM are sampled by the clock tick. */
enum usage_kind {
    USAGE_RUN_NS,
    USAGE_USER_NS,
    USAGE_SYSTEM_NS,
    USAGE_MINFLT,
    USAGE_MAJFLT,
    USAGE_VOLUNTARY_SWITCHES,
    USAGE_INVOLUNTARY_SWITCHES,
    USAGE_RUN_QUEUE_WAIT_NS,
    USAGE_BLKIO_DELAY_NS,
    USAGE_IO_READ_BYTES,
    USAGE_IO_WRITTEN_BYTES,
    USAGE_IO_READS,
    USAGE_IO_WRITES,
    USAGE_DISK_READ_BYTES,
    USAGE_DISK_WRITTEN_BYTES,
    USAGES
};

struct usage {
    __u64 of[USAGES];
};

/* Besides figures, a kernel can lack control groups: then nobody is in one. */
#define LACKS_CGROUPS ((__u64)1 << 63)
/* … and the mark of those it kills for want of memory. */
#define LACKS_OOM_MARK ((__u64)1 << 62)

/* How a process ended: enum ending. */
enum ended_by {
    ENDED_BY_UNKNOWN,
    ENDED_BY_OK,
    ENDED_BY_ERROR,
    ENDED_BY_SIGNAL,
    ENDED_BY_CORE,
    ENDED_BY_OOM,
    ENDED_BYS
};
/* A mask is a bound that the verifier of every kernel follows; Linux 5.10's does not follow a
 * comparison there. */
#define ENDED_BY_SLOTS 8

enum traffic_kind {
    TRAFFIC_RECEIVED_BYTES,
    TRAFFIC_RECEIVED_PACKETS,
    TRAFFIC_TRANSMITTED_BYTES,
    TRAFFIC_TRANSMITTED_PACKETS,
    TRAFFICS
};
enum protocol { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOLS };

struct traffic {
    __u64 of[PROTOCOLS][TRAFFICS];
};

#define COMM_SIZE 16

/* Who a process is, as far as the rules need to know. Fields that no rule asks for stay 0,
 * so that more processes share an identity. */
struct bpf_identity {
    __u64 program;  /* key in the map `programs`, or PROGRAM_UNKNOWN; 0: same as the ancestor's */
    __u64 ancestor; /* known_ancestor(), or key in the map `ancestors`; 0: none */
    __u64 cgroup;   /* id in the unified hierarchy */
    __u32 uid, gid; /* effective */
    char comm[COMM_SIZE];
};
/* The map `programs` was full. */
#define PROGRAM_UNKNOWN 1
/* The ancestor has been listed, or is the process itself (ITSELF). */
#define KNOWN_ANCESTOR ((__u64)1 << 63)
#define ITSELF ((__u64)1 << 62)
/* With the pid (22 bits at most) goes when it started, in milliseconds since boot: a pid
 * alone may by now be another process's. */
#define ANCESTOR_PID_BITS 22
#define ANCESTOR_START_MASK (((__u64)1 << 40) - 1)
static inline __u64 known_ancestor(__u32 pid, __u64 start_ns) {
    return KNOWN_ANCESTOR | (start_ns / 1000000 & ANCESTOR_START_MASK) << ANCESTOR_PID_BITS | pid;
}
static inline __u32 ancestor_pid(__u64 ancestor) {
    return ancestor & (((__u32)1 << ANCESTOR_PID_BITS) - 1);
}
static inline __u64 ancestor_start_ns(__u64 ancestor) {
    return (ancestor >> ANCESTOR_PID_BITS & ANCESTOR_START_MASK) * 1000000;
}

/* Which ancestors of what is not listed matter: none, the nearest one that is listed, or all
 * of them. */
enum want_ancestor { WANT_NO_ANCESTOR, WANT_LISTED_ANCESTOR, WANT_ANCESTORS };

/* An executed program: its file and the beginning of its arguments. */
#define EXE_SIZE_MAX 512
#define NAME_SIZE_MAX 256 /* of one path component, with its NUL */
#define ARGS_SIZE_MAX 1024
struct program {
    __u32 exe_len;    /* path components from the file up to the root, each with a NUL */
    __u32 args_len;   /* as in memory, each argument with a NUL */
    __u32 args_total; /* their full length, of which args may hold only the beginning */
    __u32 pad;
    char exe[EXE_SIZE_MAX + NAME_SIZE_MAX]; /* the last component may extend past EXE_SIZE_MAX */
    char args[ARGS_SIZE_MAX];
};

/* The path of a cgroup, recorded when it is created: it may be removed before anybody
 * looks. Longer paths are not kept. */
#define CGROUP_PATH_SIZE 512
struct cgroup_path {
    char text[CGROUP_PATH_SIZE];
};

/* One incarnation. */
struct process_key {
    __u64 start_ns; /* since boot */
    __u32 pid;
    __u32 pad;
};

/* What was used by processes of one identity that no listing can show any more, because
 * they have exited or have executed another program. Also the traffic of all processes of
 * that identity, which is not kept per process. */
struct unlisted {
    struct bpf_identity identity;
    struct usage usage;
    struct traffic traffic;
    __u64 ended; /* processes that started and exited without being listed … */
    __u64 ended_by[ENDED_BY_SLOTS]; /* … by how that came; with want_endings */
    __u64 peak_pages; /* the most that one of them had resident; 0: not known */
    __u64 place; /* its traffic is in `traffic_places`, at this less 1; 0: it is in `traffic` */
    /* pid 0: as above. Else one process alone: over its whole life, if it had no entry at its
     * end, because the map `processes` was full; it may have been listed, only the reader
     * knows. Or as the last program that it executed, with want_each_end. */
    struct process_key process;
};

/* Programs keep adding to `unlisted` while it is being read, so it is double-buffered: this
 * bit of a key says which side the item is on. The reader switches the programs to the
 * other side, by counting up a round, and waits until none is `adding` to the side they left. */
#define UNLISTED_SIDE ((__u64)1 << 63)
static inline __u64 side_of_round(__u32 round) {
    return (__u64)round << 63;
}

/* Where packets are counted that processes of one identity send and receive, so that none needs
 * to be looked up in a hash table. Which place that is the identity's key tells, and the side.
 * The first of several identities with the same place in a round has it, and an item of
 * `unlisted`, whose key is the number of the place, with its side; packets of the others are
 * counted in `unlisted`. */
struct traffic_place {
    __u64 stamp;  /* stamp_of() whose it is; what is left from another round counts for nothing */
    __u64 pad[7]; /* several CPUs write the next cache line, all only read this one */
    struct traffic traffic; /* since it was last taken */
};
/* The lower bits of a stamp are those of the round, the other ones those of the key. */
#define STAMP_ROUND_MASK ((__u64)0xffff)
static inline __u64 stamp_of(__u64 key, __u32 round) {
    return (key & ~STAMP_ROUND_MASK) | (round & STAMP_ROUND_MASK);
}

/* How many programs on a CPU are adding to an item of `unlisted`, `unlisted_rest` or
 * `thread_ends`: from before they look for it until that is done. Interrupts can hold them up there
 * for milliseconds, and so can a host whose virtual CPU this is. The reader takes items only once
 * it has seen nobody on any CPU: what is added to an item that was taken is lost. Packets are not
 * worth that: of those whose program is held up, one may be lost. */
#define ADDING_SLOTS 1024 /* CPUs beyond that share them */
#define ADDING_STRIDE 16  /* a cache line for each */

/* A process that was listed and has exited since, or has executed another program. */
struct ended {
    struct usage usage; /* over its lifetime, or up to its first exec since it was listed */
    __u64 peak_pages;   /* … as the program that it was; 0: not known */
    __u64 ended_by;     /* with want_endings */
};

/* A thread that has ended, of a process that had others: whose the usage in `thread_ends` is. */
struct thread_end_key {
    struct process_key process;
    __u64 start_ns; /* since boot; 0: all threads of this name that no listing can have shown */
    __u32 tid;      /* 0: the same */
    __u32 on_side;  /* lowest bit of the round */
    char comm[COMM_SIZE]; /* at its end */
};

/* What the programs know about a live process. */
#define LEADER_UNFREED ((__s64)1 << 32)
struct process_entry {
    __u64 start_ns; /* since boot; with the pid it identifies one incarnation */
    /* A word each, because several CPUs write them. */
    __u32 found_late;  /* its fork was not seen */
    __u32 listed;      /* since its fork or its last exec */
    __u32 execed;      /* since it was listed: until_exec is valid */
    __u32 rebased;     /* since_exec is valid */
    __u32 unrecorded;  /* threads that exited when the map `dying` was full */
    __u32 ended_by;    /* since its main thread exited, with want_endings */
    /* Threads that have exited since there is this entry and are not freed yet; and
     * LEADER_UNFREED until the main thread is freed, before which all others have exited. One
     * word, so that of two that are freed at once one at least finds that all are. */
    __s64 unfreed;
    __u64 in_exec_ns;  /* since when it is not listed for being in the middle of an exec */
    /* The highest resident size that it ever had: at its last exec, and at its end. The kernel
     * keeps only one number for all programs: that of the last is known if it is higher than
     * what came before. */
    __u64 exec_peak_pages, end_peak_pages;
    __u64 until_exec_peak_pages;  /* of what it was at its first exec since it was listed */
    struct bpf_identity identity; /* as of its fork or last exec */
    struct usage freed_threads;   /* of threads that were freed */
    struct usage until_exec;      /* total at its first exec since it was listed */
    struct usage since_exec;      /* total at its last exec: what is its own began there */
};

/* A process as it was when it was last listed in full, if it slept. They are
 * looked up by pid, of which only the lower bits count: where two processes get the same slot,
 * each costs the other a full record. */
struct slot {
    __u64 mark;    /* mark_of() */
    __u32 shown_s; /* when that was, since boot */
    __u32 pad;
};

/* A task is usually freed some hundredths of a second after its exit; on a very busy host it
 * has taken seconds. After this time the event counts as lost. */
#define LOST_EXIT_AFTER_MS 5000
/* How many lost exits are handled at a time. */
#define LOST_EXITS_MAX 512
#define EXITS_DONE_SIZE 16 /* as many bytes say that they have been synthesized */

/* A thread that has exited but has not been freed yet. */
struct dying_thread {
    __u32 pid; /* of its process */
    __u32 cpu;
    __u64 task;             /* address of its task_struct */
    __u64 start_ns, end_ns; /* since boot */
    __u64 process_start_ns; /* of a process that has no entry */
    __u64 run_end_ns;       /* up to when its run time is accounted, by the scheduler's clock */
    __u64 run_ns;           /* run time up to run_end_ns */
    struct usage usage;     /* at its exit; RUN is extrapolated to end_ns */
    __u32 missed_birth;     /* its fork was not seen, so its identity is kept here; else only
                             * comm, with want_thread_names */
    __u32 ended_by;         /* its process, of which it is the main thread */
    __u32 counted;          /* in `unfreed` of its process */
    __u32 pad;
    struct bpf_identity identity;
};

/* The listing is a sequence of records. Each starts with its kind. */
enum record_kind {
    RECORD_PROCESS = 1,
    RECORD_SAME,
    RECORD_THREAD,
    RECORD_EXEC,
    RECORD_DETAILED,     /* in place of RECORD_PROCESS, with want_memory_details */
    RECORD_NAMED_THREAD, /* in place of RECORD_THREAD, with want_thread_names */
    RECORD_MAIN_THREAD,  /* of the process of the next record, besides; the same way */
    RECORD_SUMMED_THREAD /* a RECORD_NAMED_THREAD whose usage that of its process includes */
};

/* A process that has not changed since it was last listed in full. */
struct record_same {
    __u32 kind;
    __u32 pid;
    __u64 start_ns; /* since boot */
};

/* A thread other than the main thread. */
struct record_thread {
    __u32 kind;
    __u32 pid; /* of its process */
    __u32 state;
    __u32 exit_state;
    struct usage usage;
};

/* With what tells threads apart, for those who count them by name. */
struct record_named_thread {
    struct record_thread thread;
    __u64 start_ns; /* since boot */
    __u32 tid;
    __u32 pad;
    char comm[COMM_SIZE];
};

/* The process of the next record has executed a program since it was last listed. */
struct record_exec {
    __u32 kind;
    __u32 was_listed;        /* until_exec is valid */
    struct usage until_exec; /* total at the first exec: belongs to what it was before */
    struct usage since_exec; /* total at the last exec: what came before is not its own */
};

enum process_flags {
    PROCESS_KTHREAD = 1,
    PROCESS_FORKED_ONLY = 2,
    PROCESS_HAS_MEMORY = 4,  /* it has an address space */
    PROCESS_HAS_FDS = 8,     /* `fds` is valid */
    PROCESS_MANY_FDS = 16,   /* too many to count in the kernel */
    PROCESS_FROM_BIRTH = 32, /* its fork was seen */
    PROCESS_IN_EXEC = 64,    /* in the middle of execve(2): it can't be told who it is */
    PROCESS_LEADS_SESSION = 128,
    PROCESS_IN_FOREGROUND = 256 /* its process group is that which the terminal listens to */
};

struct record_process {
    __u32 kind;
    __u32 pid, ppid;
    __u32 flags;
    __u64 start_ns; /* since boot */
    __u32 exec_id;     /* the low half */
    __u32 cgroups_mark; /* differs when it was moved in any hierarchy; 0: not known */
    __u64 program, cgroup, ancestor; /* as in struct bpf_identity */
    struct usage usage;              /* of its main thread and of threads that were freed */
    __u64 file_pages, anon_pages, swap_pages, shmem_pages;
    __u64 total_pages, data_pages, stack_pages, code_pages;
    __u64 peak_pages; /* the most that it had resident since its last exec */
    __u64 fd_limit;
    __u32 fds;
    __u32 threads, running; /* running: the main thread only, 0 or 1 */
    __u32 terminal; /* its device number as in /proc/PID/stat; 0: none */
    __u32 uid, gid;
    __s32 priority, static_priority;
    __u32 state, exit_state;
    char comm[COMM_SIZE];
};

/* A descriptor that is a socket's (sockets.bpf.c, which is loaded by itself and never pinned). */
enum socket_family { SOCKET_OF_TCP, SOCKET_OF_UDP, SOCKET_OF_UNIX };
struct record_socket {
    __u64 start_ns; /* of the process, since boot */
    __u64 inode;
    __u32 pid;
    __u16 family;
    __u16 state; /* of SOCKET_OF_TCP: TCP_ESTABLISHED and so on */
};

/* With want_memory_details: a RECORD_DETAILED in place of a RECORD_PROCESS. */
enum memory_details {
    MEMORY_LOCKED = 1,
    MEMORY_PAGE_TABLES = 2,
    MEMORY_MAPPINGS = 4,
    MEMORY_OOM_ADJUSTMENT = 8
};
struct record_detailed {
    struct record_process process;
    __u32 known; /* bits of enum memory_details */
    __s32 oom_adjustment; /* as in /proc/PID/oom_score_adj */
    __u64 locked_pages, page_table_bytes, mappings;
};

/* What a listing shows of one process. */
struct shown {
    struct record_exec exec; /* kind 0: none */
    struct record_detailed process; /* or only its record_process */
    __u32 settles; /* once it has been shown its entry is up to date */
    __u32 pad;
};

/* So many tasks take a survey 10 ms. */
#define SURVEYED_MOST 50000
#define FOUND_TOO_MANY 0xffffffffu
/* What a survey finds of a process: a RECORD_SAME, or that it is awake. */
#define FOUND_AWAKE 0
struct found {
    union {
        struct record_same same;
        struct {
            __u32 kind, pid;
            __u64 mark; /* mark_of() before it is described */
        };
    };
};

/* A question for show_asked, and the answer. */
#define ASKED_MOST 64
struct answer {
    __u64 mark; /* of `found` */
    __u32 pid;
    __u32 is_there; /* shown is valid */
    __s64 threads;
    /* With want_thread_names, where they are in the map `named`, the main thread first. Fewer
     * than `threads`: there was no room for all. */
    __u32 first_named, named;
    struct shown shown;
};
/* Threads that one call has room for. A survey gives up where a process that is awake has more. */
#define NAMED_MOST 2048

#endif
