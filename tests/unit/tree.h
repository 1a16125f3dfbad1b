/* SPDX-License-Identifier: MIT */
/* A recorded /proc, made of plain files, and a clock that stands still until it
 * is told to move: so that a test can play years in milliseconds. */
#ifndef TREE_H
#define TREE_H

#include "collector/collector.h"

#define TICKS(seconds) ((uint64_t)((seconds) * 100))
#define SECONDS(s) ((uint64_t)((s) * 1000000000.0))

/* One process as its files will show it. Fields that are left 0 are 0. */
struct recorded {
    uint32_t pid, ppid;
    uint64_t start_ticks;
    const char *comm;
    size_t comm_len; /* 0: strlen(comm) */
    char state;      /* 0: 'S' */
    uint32_t flags;
    uint64_t utime, stime, cutime, cstime; /* ticks */
    uint64_t minflt, cminflt, majflt, cmajflt;
    uint64_t threads; /* 0: 1 */
    int64_t priority, nice;
    uint64_t rss_pages, vsize;
    uint64_t start_code; /* moves at exec */
    uint32_t uid, gid;
    uint64_t swap_kib, anon_kib;
    uint64_t rss_kib; /* in status; 0: the line is missing */
    const char *status_lines; /* more of it; NULL: none */
    uint64_t voluntary, involuntary;
    bool ignores_children;
    uint64_t rchar, wchar, syscr, syscw, read_bytes, write_bytes;
    uint64_t run_ns; /* 0: made up from the above */
    uint64_t wait_ns;
    bool lacks_schedstat; /* the kernel does not keep these times: 0 0 0 */
    uint64_t fds, fd_limit; /* 0: 1024 */
    const char *cmdline;    /* NULL: empty */
    size_t cmdline_len;
    const char *exe;
    const char *cgroup;
    uint32_t terminal;
};

void tree_open(void);
void tree_close(void);
const char *tree_path(void);
/* Writes the process's files anew. */
void tree_put(const struct recorded *p);
void tree_remove(uint32_t pid);
/* Another file of a process, and one of the host. */
void tree_put_file(uint32_t pid, const char *file, const char *content);
void tree_put_host(const char *file, const char *content);
/* A file of the host elsewhere, as "sys/fs/cgroup/…", with the folders above it; and such a
 * folder with all that is in it. */
void tree_put_beside(const char *file, const char *content);
void tree_remove_beside(const char *dir);
/* The sessions file, one entry for each character: 'U' is a user's. Else there is none. */
void tree_put_utmp(const char *entries);
/* The directory itself can't be read. */
void tree_hide(bool is_hidden);
/* The refusals of a kernel: opens of this file of this pid fail so. 0 ends it. */
void tree_refuse(uint32_t pid, const char *file, int error);
/* One thread of a process: task/TID/{status,schedstat}. */
void tree_put_thread(uint32_t pid, uint32_t tid, char state, uint64_t voluntary,
                     uint64_t involuntary, uint64_t wait_ns);
/* Its name and times, with 7 minor and 3 major page faults: task/TID/stat. */
void tree_put_thread_stat(uint32_t pid, uint32_t tid, const char *name, uint64_t utime,
                          uint64_t start_ticks);
/* Another content for its schedstat. */
void tree_put_schedstat(uint32_t pid, uint32_t tid, const char *text);
void tree_remove_thread(uint32_t pid, uint32_t tid);
/* Something that happens right after a file of a process has been opened. */
void tree_when_opened(uint32_t pid, const char *file, void (*then)(void));

/* The kernel shows where the parts of a process lie: recorded.start_code counts. Before the
 * collector is made. */
void tree_show_layout(void);

void tree_set_boot_id(const char *id);
/* user + nice + system ticks of the host. */
void tree_set_host(uint64_t busy_ticks, unsigned cpus);

/* The clocks: boot and monotonic are the same, real time began at BOOT_TIME_S. */
#define BOOT_TIME_S UINT64_C(1700000000)
void clock_set(double seconds_since_boot);
void clock_step_realtime(int64_t seconds);
extern const struct io tree_io;

/* A collector over the tree; options as NAME, VALUE pairs, ended by NULL. The
 * pair "rule", "GROUP COMM" adds a rule that makes such processes this group, as does
 * "GROUP gid=TEXT", "GROUP pid_file=PATH", or "GROUP parent=COMM" for what descends from such processes. */
tally *tree_collector(const char *name, ...) __attribute__((sentinel));
const tally_snapshot *tree_collect(tally *t);

tally *tree_collector_with(const struct tally_new_opts *opts, const char *name, ...)
    __attribute__((sentinel));
/* The same, going on from another one. */
tally *tree_collector_from(tally *from, const char *name, ...) __attribute__((sentinel));

/* What is known of a process that is in the table. */
struct process *tree_process(tally *t, uint32_t pid);

/* Into t->state, and from such a content. */
int tree_encode_state(tally *t);
int tree_decode_state(tally *t, const char *data, size_t len);
/* Of the last snapshot. The text is valid until the next call of any of these. */
int tree_prometheus(tally *t, const char **ret_text, size_t *ret_len);
int tree_influx(tally *t, const char **ret_text, size_t *ret_len);
int tree_explain(tally *t, pid_t pid, const char **ret_text, size_t *ret_len);

/* The value of a metric of a group in its unit; fails the test if it is absent,
 * or the group is. */
uint64_t value_of(tally *t, const char *group, enum metric metric);
bool has_value(tally *t, const char *group, enum metric metric);
bool has_group(tally *t, const char *group);
uint64_t self_of(tally *t, enum metric metric);

#endif
