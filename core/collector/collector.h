/* SPDX-License-Identifier: MIT */
/* What a collector is made of, and one round of it. */
#ifndef COLLECTOR_H
#define COLLECTOR_H

#include "base/buf.h"
#include "base/io.h"
#include "collector/notices.h"
#include "collector/snapshot.h"
#include "count/counting.h"
#include "group/grouping.h"
#include "proctally.h"
#include "settings.h"
#include "source/cgroup.h"
#include "source/containers.h"
#include "source/socket_table.h"
#include "source/source.h"

struct pss_order {
    struct pss_turn {
        process_id id;
        uint32_t pss_s; /* of struct process */
    } *turns;
    size_t size;
};

struct tally {
    struct io io;
    struct settings settings;
    unsigned keep;        /* bits of enum tally_keep */
    bool count_lifetimes; /* the first collection shows whole lives */
    bool only_looks;      /* the state file is left alone */

    struct source *source;
    struct cgroup_files *cgroup_files; /* NULL: their figures are not to be collected */
    struct containers *containers;     /* NULL: their names are not to be shown */
    struct tally_error why_not_bpf; /* with source auto; "": it is */
    struct grouping grouping;
    struct counting counting;

    /* What the source said of the memory of sleepers when it was asked last, and when that was
     * not what it had said before. */
    uint64_t memory_moves;
    uint32_t memory_moved_s;
    uint64_t unknown_ends; /* that the source has told, and that are lost for want of a record */
    bool passes_unlisted; /* what is told of it now has been counted by another collector */
    bool wants_all;   /* the next list is to show everybody in full */
    bool state_saved; /* by the last collection */
    struct notices notices;
    struct snapshots snapshots;
    struct users *users; /* names for the processes of snapshots; NULL: they have none */
    struct pss_order pss_order;
    struct socket_table sockets;
    struct buf state;
};

/* Of the time that matching may take of a collection, what went to one user's
 * processes; the last is shared by those who find no room before it. */
#define MATCH_USERS 8
struct match_user {
    uint32_t uid;
    uint64_t used_ns; /* 0: the entry is free */
};

/* One collection. */
struct round {
    struct tally *t;
    tally_snapshot *snapshot; /* that it fills; NULL: none is asked for */
    /* When it began: before the list was made, as what starts meanwhile may not be in it,
     * and is then new in the next one. */
    uint64_t boot_ns, mono_ns, cpu_ns; /* CLOCK_BOOTTIME, _MONOTONIC, _THREAD_CPUTIME_ID */
    uint64_t unix_ns;
    uint32_t boot_s; /* as records keep it */
    uint32_t since_s; /* … and how long ago the one before began, if there was one */
    bool knows_moves;  /* the source was asked about the memory of sleepers */
    uint64_t scan_interval_ns;  /* since the one before; 0: none */
    uint64_t shown_interval_ns; /* since the one before that made a snapshot; 0: none */

    const struct listed *listed;
    size_t listed_count;
    struct host_stat host;
    bool has_host;
    uint64_t memory_bytes; /* of the host, where a share of that is to be told; 0: not known */
    struct source_health health;
    uint64_t partly_unreadable; /* processes with something refused */
    int sockets_error;          /* -errno: none are counted */
    struct match_user match_users[MATCH_USERS + 1];
    enum decided_by decided_by; /* of the process in hand */
    bool unsure; /* the process in hand: a match was given up that may be made the next time */
};

/* tally_new() with the calls and the clock as a parameter. */
int collector_new(const tally_config *config, const struct tally_new_opts *opts,
                  const struct io *io, tally **ret_tally, struct tally_error *error);

static inline uint64_t clock_ns(const struct tally *t, clockid_t clock) {
    return t->io.clock_ns(t->io.data, clock);
}

/* ---- classify.c: which group -------------------------------------------------------- */

/* Can it have become another since it was classified? */
bool needs_identity(const struct round *round, const struct process *p, const struct sample *s);
/* Its cgroup or the name of its user decides about its group, and has not been looked at for
 * long. */
bool has_stale_identity(const struct round *round, const struct process *p);
/* Before the list is made: reads the pid files, and has whom they mean, or meant, looked at. */
void heed_pid_files(struct tally *t);
/* Finds the group of the open process. 1: not yet, as nobody can tell right now what it
 * is going to be; it is not to be counted before. -ESRCH: it has ended; -ENOMEM. */
int classify(struct round *round, struct process *p, struct sample *s);
/* The group of processes that no list has shown. -ENOMEM. */
int classify_unlisted(struct round *round, struct unlisted_usage *usage, uint32_t *ret_group);

/* ---- credit.c: how much, and to whom --------------------------------------------------- */

/* What the counters went up by since the last sample goes to the process's group. -ENOMEM:
 * nothing was taken. */
int credit(struct round *round, process_id id, struct sample *s);
/* The same for its threads, by their names. -ENOMEM: what was taken has been credited. */
int credit_threads(struct round *round, struct process *p, const struct sample *s);
/* What threads used whose ends are told. Before anything else that is counted; and
 * `for_good` when all have been visited: what is unknown by then stays so. -ENOMEM: the rest is
 * left for the next time. */
int credit_thread_ends(struct round *round, bool for_good);
/* It executed a program since the last time. Until then it was who it was. -ENOMEM. */
int credit_until_exec(struct round *round, process_id id, const struct sample *s, bool is_new);
/* Turns exact CPU time into user and system time; p is NULL if it has none from before. */
void divide_cpu_time(const struct process *p, struct sample *s);

/* ---- unseen.c: what has ended, from a source that is told of every end -------------------- */

int credit_ended(struct round *round);
int credit_unlisted(struct round *round);
void forget_ended(struct round *round);

/* ---- The rest ----------------------------------------------------------------------------- */

int collect_pss(struct round *round);    /* pss.c */
void collect_sockets(struct round *round); /* sockets.c */
/* cgroups.c: notes the control group of a process that has been classified. -ENOMEM. */
int note_cgroup(struct round *round, struct process *p, const struct identity *id);
void collect_cgroups(struct round *round);
void describe_self(struct round *round); /* about_self.c */
void raise_notices(struct round *round);
void save_state(struct tally *t); /* collector.c */
/* collector.c: with a source that was just opened; nothing is counted yet. -ENOMEM. */
int begin_counting(struct tally *t);
/* processes.c: puts a process into the snapshot. -ENOMEM. */
int show_process(struct round *round, process_id id, const struct sample *s,
                 uint64_t start_unix_ns);
/* … and one that has ended, as it was counted: known by its record, or with NO_PROCESS only by
 * what the source has told. -ENOMEM. */
int show_ended(struct round *round, process_id id, uint32_t group,
               const struct unlisted_usage *usage, const struct sample *final);
/* Those that the snapshot has, by pid; and one of them, NULL: it has it not. */
void sort_processes(struct round *round);
struct snapshot_process *find_shown(const struct round *round, const struct process *p);
void finish_processes(struct round *round);
void show_host(struct round *round); /* host.c */

#endif
