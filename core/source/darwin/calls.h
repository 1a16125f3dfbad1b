/* SPDX-License-Identifier: MIT */
/*
 * What macOS tells of processes, as calls and types of our own: the source is made of these
 * alone, so that it can be tried out with recorded answers on any system. Each call returns 0
 * (or how many there are) or -errno; values are in the kernel's own units.
 */
#ifndef DARWIN_CALLS_H
#define DARWIN_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum darwin_status {
    DARWIN_BEING_BORN = 1,
    DARWIN_RUNNABLE = 2, /* nearly always, also while all of its threads sleep */
    DARWIN_SLEEPING = 3,
    DARWIN_STOPPED = 4,
    DARWIN_ZOMBIE = 5
};

/* What everybody may know of each process. */
struct darwin_process {
    uint32_t pid, ppid;
    uint64_t start_us; /* since 1970, by the clock as it was then: it never changes */
    uint32_t uid, gid; /* effective */
    uint32_t terminal; /* its device number; 0: none */
    uint8_t status;    /* enum darwin_status */
    int8_t nice;
    bool is_kernel;    /* the kernel's own, without a program */
    bool leads_session, in_foreground;
    uint8_t name_len;
    char name[16];
};

struct darwin_unique {
    uint64_t number;  /* of this process alone, and higher than that of all before it */
    uint32_t version; /* another one after each execve(2) */
};

/* Of the task. Counts stop at INT32_MAX. */
struct darwin_task {
    uint64_t start_us; /* as in struct darwin_process */
    uint64_t virtual_bytes, resident_bytes;
    uint64_t user_time, system_time; /* units of mach_absolute_time() */
    int32_t faults, pageins, cow_faults; /* faults are all of them */
    int32_t messages_sent, messages_received;
    int32_t mach_calls, unix_calls;
    int32_t switches;
    int32_t threads, threads_running;
    int32_t priority; /* the higher is the more favoured */
    char name[32]; /* longer than in struct darwin_process; "": none is given */
};

/* Resources. Of a zombie they are final. Times are in units of mach_absolute_time(). */
struct darwin_usage {
    uint64_t user_time, system_time;
    uint64_t runnable_time; /* that its threads ran or could have */
    uint64_t pageins;
    uint64_t footprint_bytes;
    uint64_t child_user_time, child_system_time, child_pageins; /* of reaped children */
    uint64_t disk_read_bytes, disk_written_bytes;
    uint64_t instructions, cycles;
    uint64_t energy_nj;
    bool has_energy; /* newer systems only */
};

/* What a process has open: as the kernel fills it in. */
struct darwin_fd {
    int32_t fd;
    uint32_t type;
};

/* CPU time of the host in hundredths of a second, which wrap around. */
struct darwin_host {
    uint32_t user, system, idle, nice;
    uint32_t cpus;
};

struct darwin_memory {
    uint64_t total_bytes, free_bytes, cached_bytes;
    uint64_t swap_total_bytes, swap_free_bytes;
};

/* How long a unit of mach_absolute_time() is. */
struct darwin_timebase {
    uint64_t hertz;               /* what the kernel says; 0: it does not */
    uint32_t numerator, denominator; /* to nanoseconds, as this process is told */
};

struct darwin_calls {
    void *data;
    void (*free)(void *data);

    /* All processes, zombies too, in no order; at most `room` of them are filled in. */
    ssize_t (*list)(void *data, struct darwin_process *to, size_t room);
    /* -EPERM: it is another user's, and we are not root; -ESRCH: it is a zombie, or gone. */
    int (*task)(void *data, uint32_t pid, struct darwin_task *ret);
    /* Zombies too. -EPERM as above. */
    int (*usage)(void *data, uint32_t pid, struct darwin_usage *ret);
    /* Of everybody's, zombies too. */
    int (*unique)(void *data, uint32_t pid, struct darwin_unique *ret);
    /* At most `room` are filled in. -EPERM as above. */
    ssize_t (*fds)(void *data, uint32_t pid, struct darwin_fd *to, size_t room);
    /* The path of its program; of everybody's. */
    ssize_t (*path)(void *data, uint32_t pid, char *to, size_t size);
    /* Its arguments, see parse.h. -EINVAL: it has none, or it is another user's and we are
     * not root. */
    ssize_t (*arguments)(void *data, uint32_t pid, char *to, size_t size);

    int (*host)(void *data, struct darwin_host *ret);
    int (*memory)(void *data, struct darwin_memory *ret);
    int (*timebase)(void *data, struct darwin_timebase *ret);
    /* Which boot this is. */
    int (*boot_id)(void *data, char *to, size_t size);
    uint32_t (*user)(void *data); /* who we are, effectively */

    /* Which kernel this is: "24.5.0". */
    int (*release)(void *data, char *to, size_t size);
    /* Network statistics, see network.h: once, before the others. Reading takes one datagram,
     * and does not wait: -EAGAIN. */
    int (*network_open)(void *data);
    int (*network_send)(void *data, const void *message, size_t len);
    ssize_t (*network_read)(void *data, void *to, size_t size);
};

/* Those of the kernel that this runs on (calls.c, on macOS alone). -ENOMEM. */
int darwin_calls_open(struct darwin_calls *ret);

#endif
