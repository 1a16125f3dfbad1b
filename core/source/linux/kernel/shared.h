/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the programs in the kernel and source_bpf.c tell each other. Both sides
 * are built from this file; FORMAT is raised with every change of it, since
 * programs can stay pinned while proctally is replaced.
 */
#ifndef SHARED_H
#define SHARED_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define BPF_FORMAT 2

/* What a thread used, or several. CPU times are in nanoseconds; RUN is exact, USER
 * and SYSTEM are sampled by the clock tick. */
enum usage {
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

struct usages {
    __u64 of[USAGES];
};

enum traffic {
    TRAFFIC_RECEIVED_BYTES,
    TRAFFIC_RECEIVED_PACKETS,
    TRAFFIC_TRANSMITTED_BYTES,
    TRAFFIC_TRANSMITTED_PACKETS,
    TRAFFICS
};
enum protocol { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOLS };

struct traffics {
    __u64 of[PROTOCOLS][TRAFFICS];
};

#define COMM_SIZE 16

/* Who a process is, as far as rules ask for it: what they do not ask for is 0,
 * so that fewer of these differ. */
struct who {
    __u64 program;  /* key in the map of programs, or PROGRAM_UNKNOWN; 0: that of the ancestor */
    __u64 ancestor; /* KNOWN_ANCESTOR | pid, or key in the map of ancestors; 0: none */
    __u64 cgroup;   /* its id in the unified hierarchy */
    __u32 uid, gid; /* effective */
    char comm[COMM_SIZE];
};
/* There was no room for it. */
#define PROGRAM_UNKNOWN 1
/* The ancestor is a process that was listed, or it is this process itself. */
#define KNOWN_ANCESTOR ((__u64)1 << 63)
#define ITSELF ((__u64)1 << 62)

/* A program that was executed: its file and the beginning of its arguments. */
#define EXE_SIZE_MAX 512
#define NAME_SIZE_MAX 256 /* of a file or directory, with its NUL */
#define ARGS_SIZE_MAX 1024
struct program {
    __u32 exe_len;    /* names from the file up to the root, a NUL after each */
    __u32 args_len;   /* as in memory, a NUL after each */
    __u32 args_total; /* how long they are in truth */
    __u32 pad;
    char exe[EXE_SIZE_MAX + NAME_SIZE_MAX]; /* the last name may stick out */
    char args[ARGS_SIZE_MAX];
};

/* The path of a control group that was made while we were there: it may be gone
 * before anybody looks. Longer ones are not kept. */
#define CGROUP_PATH_SIZE 512
struct cgroup_path {
    char text[CGROUP_PATH_SIZE];
};

/* The items of struct unlisted are taken while programs add to them. So there are two
 * sides: their keys have this bit, or do not. The programs turn to the other side, and a
 * while later nobody adds to this one any more. */
#define OTHER_SIDE ((__u64)1 << 63)

/* What was used by processes of one identity that no listing can show any more:
 * they have ended, or have become another by execve(2). And the traffic of all
 * processes, which is not kept apart by process. */
struct unlisted {
    struct who who;
    struct usages usage;
    struct traffics traffic;
    __u64 ended; /* processes that started and ended unseen */
};

/* A process that was listed and is not any more. */
struct ended_key {
    __u64 start_ns; /* since boot */
    __u32 pid;
    __u32 pad;
};
struct ended {
    struct usages usage; /* over its life; if it became another: until then */
};

/* What the programs know of a process. */
struct entry {
    __u64 start_ns; /* since boot: with the pid it is one incarnation */
    /* Words of their own, since several CPUs write them. */
    __u32 found;    /* it was there before us: that is how many threads is a guess */
    __u32 listed;   /* since it began, or since it last executed a program */
    __u32 execed;   /* since it was listed: until_exec has a meaning */
    __u32 rebased;  /* since_exec has a meaning */
    __u32 leader_gone;
    __u32 unnoted; /* threads that have ended while there was no room for a note of it */
    __s64 threads; /* not freed yet */
    __u64 activity; /* when it was last listed in full */
    __u64 shown_ns; /* when that was, since boot */
    __u64 found_ns; /* since when we know it, if it was found */
    struct who who; /* at its fork or last exec */
    struct usages gone;       /* of threads that were freed */
    struct usages until_exec; /* its total at the first exec since it was listed */
    struct usages since_exec; /* its total at the last exec */
};

/* A task is freed some hundredths of a second after its end; on a busy host it has
 * taken seconds. */
#define MISSED_AFTER_MS 5000
/* So many are made up for at once. */
#define MISSED_MAX 512

/* A thread that has ended and was not freed yet: what it had used by then. */
struct dying {
    __u32 pid; /* of its process */
    __u32 cpu;
    __u64 task; /* its address */
    __u64 start_ns, end_ns; /* since boot */
    __u64 run_end_ns; /* by the scheduler's clock: up to when its run time is known */
    __u64 run_ns;     /* that */
    struct usages usage; /* run time up to end_ns */
    __u64 unknown;       /* its beginning was missed: who it is stands here */
    struct who who;
};

/* The listing is a sequence of these. Each begins with its kind. */
enum record_kind { RECORD_PROCESS = 1, RECORD_SAME, RECORD_THREAD, RECORD_EXEC };

/* A process that is as it was when it was last listed in full. */
struct record_same {
    __u32 kind;
    __u32 pid;
    __u64 start_ns; /* since boot */
};

struct record_thread {
    __u32 kind;
    __u32 pid; /* of its process */
    __u32 state;
    __u32 exit_state;
    struct usages usage;
};

/* The process of the next record executed a program since it was last listed. */
struct record_exec {
    __u32 kind;
    __u32 was_listed;       /* until_exec has a meaning */
    struct usages until_exec; /* when it did so first: belongs to who it was */
    struct usages since_exec; /* when it did so last: what came before is not its own */
};

enum process_flags {
    PROCESS_KTHREAD = 1,
    PROCESS_FORKED_ONLY = 2,
    PROCESS_HAS_MEMORY = 4, /* an address space */
    PROCESS_HAS_FDS = 8,    /* fds are counted */
    PROCESS_MANY_FDS = 16,  /* too many to count here */
    PROCESS_FROM_BIRTH = 32, /* its beginning was seen */
    PROCESS_UNTRACKED = 64  /* no room for it: its end will not be seen */
};

struct record_process {
    __u32 kind;
    __u32 pid, ppid;
    __u32 flags;
    __u64 start_ns; /* since boot */
    __u64 exec_id;
    __u64 program, cgroup, ancestor; /* as in struct who */
    struct usages usage; /* of its main thread and of those that ended */
    __u64 file_pages, anon_pages, swap_pages, shmem_pages;
    __u64 total_pages, data_pages, stack_pages, code_pages;
    __u64 fd_limit;
    __u32 fds;
    __u32 threads, running; /* running: of its main thread, 0 or 1 */
    __u32 pad;
    __u32 uid, gid;
    __s32 priority, static_priority;
    __u32 state, exit_state;
    char comm[COMM_SIZE];
};

#endif
