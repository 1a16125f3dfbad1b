/* SPDX-License-Identifier: MIT */
/* What follow.c and its parts know of a watch: signals.c, sinks.c, sampling.c, settle.c. */
#ifndef WATCHING_H
#define WATCHING_H

#include "child.h"
#include "follow.h"
#include "job_cgroup.h"
#include "tracking.h"
#include "units.h"

#include <poll.h>
#include <time.h>

/* Where records go. */
struct sink {
    int fd;
    bool is_csv;
    bool is_file; /* which takes any length without waiting for a reader */
    const char *name;
};

struct watch {
    const struct cli *cli;
    const struct watch_options *options;
    tally *t;
    const tally_snapshot *snapshot; /* the last one; NULL: none yet */
    bool has_failed; /* collecting did, and that was said */
    size_t rss, rss_peak, cpu_user, cpu_system, processes, threads, exits, pss, lost_events; /* metrics */

    int signals_fd;
    struct child_surroundings surroundings;
    int stop_signal; /* that came for us; 0: none */

    bool is_run;
    struct child child;
    struct job_cgroup cgroup;
    /* Of the processes that are attached to: readable when they end. */
    struct pollfd ends[WATCH_MOST];
    size_t end_count;
    bool has_unpolled_roots; /* not each of them is among those */
    bool root_ended, root_waited, root_end_told;
    int requests_fd;   /* the control socket, as long as somebody may ask there; -1 */
    bool is_paused;    /* samples are taken when asked for */
    uint64_t begun_ns, ended_ns, next_ns; /* CLOCK_MONOTONIC; of the next sample */
    uint64_t end_by_ns;          /* then it gets the next signal; UINT64_MAX: never */
    bool was_told_to_end;
    bool has_more_ended; /* … than were waited for */
    int kills; /* how often it got SIGKILL */
    struct figures waited; /* of all that was waited for */
    struct figures waited_before; /* I/O only: in earlier runs */
    uint64_t unfollowed_ns;       /* CPU time of the command before the collector knew it */
    uint64_t waited_rss_bytes;
    bool ignores_children; /* a process of it does, as a sample saw */
    bool has_waited_for_all;

    struct tree tree;
    struct sink sinks[3];
    size_t sink_count;
    uint64_t sampled_ns;
    uint64_t last_rss_bytes;
    struct program *largest; /* by name: the largest process of each group so far */
    size_t largest_count;
    struct summary summary;
};

static inline uint64_t now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- signals.c: those that come for us, and the ends of what we wait for -------------------- */

/* -errno. */
int watch_take_signals(struct watch *w);
void watch_give_signals_back(struct watch *w);
/* Hands them on to the command, and waits for all that has ended. */
void watch_handle_signals(struct watch *w);
void watch_note_end(struct watch *w);
/* … and for the command itself, which stays a zombie until then. */
void watch_wait_for_command(struct watch *w);

/* ---- sinks.c: where records go ------------------------------------------------------------ */

/* -errno, which was said. */
int watch_open_sinks(struct watch *w);
void watch_close_sinks(struct watch *w);
/* What write_record() writes goes to all sinks of that format; it is not called if there are
 * none. */
void watch_emit(struct watch *w, bool is_csv, void (*write_record)(FILE *to, void *data), void *data);
/* There is nothing to watch: tells the user, or the program that watches by ours. */
__attribute__((format(printf, 3, 4))) void watch_say_failure(struct watch *w, int r,
                                                             const char *format, ...);

/* ---- sampling.c --------------------------------------------------------------------------- */

/* -errno: there is none this time, which was said. */
int watch_collect(struct watch *w);
/* … and tells who has come and gone. -errno: there is no sample this time. */
int watch_take_changes(struct watch *w);
/* … and the figures. */
void watch_take_sample(struct watch *w);
/* The largest process of the group of that name; NULL: it is not known. */
struct program *watch_largest(const struct watch *w, const char *name);

/* ---- settle.c ----------------------------------------------------------------------------- */

/* The last sample; then makes the summary, and tells it. */
void watch_finish(struct watch *w);

#endif
