/* SPDX-License-Identifier: MIT */
/*
 * Parsers of what the kernel prints. Pure: a buffer in, values out; no I/O, no
 * allocation, no globals, no NUL byte needed at the end. They return 0, or
 * -EBADMSG for what the kernel would not print; outputs are written only on
 * success. See proc(5) and Documentation/filesystems/proc.rst.
 */
#ifndef PARSE_H
#define PARSE_H

#include "base/number.h"
#include "source/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* /proc/PID/stat and /proc/PID/task/TID/stat */
struct stat_line {
    uint32_t pid, ppid;
    char state;
    uint32_t terminal; /* device number; 0: none */
    bool leads_session, in_foreground; /* of that terminal */
    uint32_t flags; /* PF_* of the kernel's sched.h */
    uint64_t minflt, cminflt, majflt, cmajflt;
    uint64_t utime_ticks, stime_ticks, cutime_ticks, cstime_ticks;
    int64_t priority, nice;
    uint64_t threads;
    uint64_t start_ticks;
    uint64_t vsize_bytes, rss_pages;
    /* Addresses that a new program image moves; 0 without the right to see them. */
    uint64_t start_code, start_stack, start_data, arg_start;
    uint64_t blkio_delay_ticks;
    bool has_blkio_delay;
    const char *comm; /* into the buffer */
    size_t comm_len;
};
/* The name is what stands between the first '(' and the last ')': it may hold
 * both, and spaces and newlines. Fields up to rss are required; later ones may
 * be missing (0), and more than we know are ignored. */
int parse_stat(const char *buf, size_t len, struct stat_line *ret);
/* The kernel appends to a worker's name what it did last ("kworker/0:1-events"): that is no
 * part of who it is, and would make a new group of every task. The length without it. */
size_t comm_len_of(const struct stat_line *stat);
/* In `flags`: a thread of the kernel's own. */
#define PF_KTHREAD 0x00200000u
/* Of the same line: the signals that are ignored, as in status; but only the first 31. */
int parse_stat_ignored(const char *buf, size_t len, uint64_t *ret_set);

/* /proc/PID/status and /proc/PID/task/TID/status */
struct status_file {
    char state;
    uint32_t uid, gid; /* effective */
    bool has_ids;
    bool has_memory; /* false: no address space (kernel thread, zombie) */
    uint64_t rss_bytes, rss_peak_bytes, anon_bytes, swap_bytes, data_bytes, stack_bytes;
    uint64_t code_bytes; /* VmExe + VmLib, as collectd counts it */
    bool has_rss, has_rss_peak, has_anon, has_swap;
    uint64_t sigign;
    uint64_t voluntary_switches, involuntary_switches; /* of this thread only */
    bool has_switches;
};
int parse_status(const char *buf, size_t len, struct status_file *ret);

/* What else it has of memory. */
enum memory_line {
    MEMORY_LINE_FILE,        /* RssFile */
    MEMORY_LINE_SHMEM,       /* RssShmem */
    MEMORY_LINE_LOCKED,      /* VmLck */
    MEMORY_LINE_PAGE_TABLES, /* VmPTE */
    MEMORY_LINES
};
struct status_memory {
    unsigned known; /* 1 << enum memory_line */
    uint64_t bytes[MEMORY_LINES];
};
int parse_status_memory(const char *buf, size_t len, struct status_memory *ret);

/* /proc/PID/oom_score */
int parse_oom_score(const char *buf, size_t len, uint64_t *ret_score);

/* /proc/PID/io */
struct io_file {
    uint64_t rchar, wchar, syscr, syscw, read_bytes, write_bytes;
};
int parse_io(const char *buf, size_t len, struct io_file *ret);

/* /proc/PID/schedstat, of this thread only */
struct schedstat_file {
    uint64_t run_ns;  /* on a CPU */
    uint64_t wait_ns; /* runnable, waiting for one */
    uint64_t slices;  /* times that it got one */
};
int parse_schedstat(const char *buf, size_t len, struct schedstat_file *ret);
/* Kernels that do not keep these figures (without CONFIG_SCHED_INFO) print "0 0 0". So
 * does any kernel before the first run, when there is as little to know. */
static inline bool schedstat_is_known(const struct schedstat_file *s) {
    return s->run_ns || s->wait_ns || s->slices;
}

/* The soft limit "Max open files" of /proc/PID/limits; UINT64_MAX: unlimited */
int parse_fd_limit(const char *buf, size_t len, uint64_t *ret_limit);

/* Resident memory of /proc/PID/statm: as in status, and unlike stat's */
int parse_statm(const char *buf, size_t len, uint64_t *ret_rss_pages);

/* /proc/PID/smaps_rollup */
int parse_pss(const char *buf, size_t len, struct pss *ret);

/* The host's /proc/stat. Busy is what processes can have used: user, nice and
 * system (guest is inside user); not idle, iowait, irq, softirq, steal. */
int parse_host_stat(const char *buf, size_t len, struct host_stat *ret);

/* /proc/PID/cgroup. Finds one representative path: the unified hierarchy's
 * unless that is "/", else the first of another hierarchy that is not "/".
 * systemd: the path to look for a unit in (unified or name=systemd). */
struct cgroup_file {
    const char *path;
    size_t path_len;
    const char *systemd;
    size_t systemd_len;
};
int parse_cgroup(const char *buf, size_t len, struct cgroup_file *ret);

/* The systemd unit in a cgroup path: the first component that is no slice and
 * has a unit's suffix. Returns its length, 0 if there is none, or only inside of
 * a container. */
size_t parse_unit(const char *path, size_t len, const char **ret_unit);

/* A container id in the text of /proc/PID/cgroup: 64 hex digits standing alone
 * (docker, containerd, CRI-O, podman), of which the first 12 are returned as
 * those programs show them, or the name after "/lxc/" or "/lxc.payload.", or that of
 * a machine of systemd-nspawn (as systemd writes it, with \x2d for a dash).
 * Returns the length, 0 if there is none. */
size_t parse_container(const char *buf, size_t len, const char **ret_id);
/* The path of the control group that has this id in its name: as far as the end of that. */
size_t parse_container_path(const char *buf, size_t len, const char *id, const char **ret_path);

#endif
