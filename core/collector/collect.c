/* SPDX-License-Identifier: MIT */
/* One collection, from the list of processes to the snapshot. */
#define _GNU_SOURCE
#include "collector/collector.h"

#include "base/hash.h"
#include "base/replace_file.h"
#include "collector/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* A limit on descriptors is seldom changed, and costs a file to read. */
#define FD_LIMIT_AGE_S 60u
/* How long what was read of a process that does not run is taken to be true. The
 * kernel can change a little of it: swap its memory out, give it to another
 * parent. */
#define REMEMBER_S 60u
/* A process can be moved to another cgroup without a trace in the files that
 * are read each time: look again, where that decides about its group. */
#define CGROUP_AGE_S 60u
/* The time that reading proportional set sizes may take in one collection. One
 * read can take longer by itself; it is then the only one. */
#define PSS_BUDGET_NS (50 * UINT64_C(1000000))
/* The CPU time that long matches may take in one collection for each user. Anybody can
 * have arguments with which they take long, and new names, to be matched again. */
#define MATCHING_NS (50 * UINT64_C(1000000))
/* Chains of new processes whose parents have not been read yet. */
#define DEPTH_MAX 32

static uint64_t clock_ns(const struct tally *t, clockid_t clock) {
    return t->io.clock_ns(t->io.data, clock);
}

/* ---- One process ------------------------------------------------------------------ */

static const struct process *parent_of(const struct tally *t, const struct process *p) {
    process_id id = proctable_find_parent(&t->table, p->ppid, p->start_ticks);
    return id == NO_PROCESS ? NULL : proctable_at(&t->table, id);
}

static bool has_stale_cgroup(const struct tally *t, const struct process *p) {
    return t->grouping.needs & IDENTITY_CGROUP &&
           (!p->cgroup_settled || t->now_boot_s - p->identified_s >= CGROUP_AGE_S);
}

/* Can it have become another since it was classified? */
static bool needs_identity(const struct tally *t, const struct process *p,
                           const struct sample *s) {
    if (!p->classified || p->unsure || p->comm_hash != hash_bytes(s->comm, s->comm_len) ||
        p->exec_marker != s->exec_marker)
        return true;
    if (s->has_credentials && p->uid != s->uid)
        return t->grouping.needs & IDENTITY_USER;
    return has_stale_cgroup(t, p);
}

static struct match_user *match_user_of(struct tally *t, const struct identity *id) {
    struct match_user *user = t->match_users, *shared = user + MATCH_USERS;
    if (!id->has_credentials)
        return shared;
    while (user < shared && user->used_ns && user->uid != id->uid)
        user++;
    user->uid = id->uid;
    return user;
}

/* As grouping_classify(), within the time of the user. One that can wait is left as it
 * is (-EAGAIN), as long as it may have more time in another collection. */
static int classify_in_time(struct tally *t, const struct identity *id, uint32_t inherited,
                            bool can_wait, uint32_t *ret_group, uint32_t *ret_lineage) {
    struct match_user *user = match_user_of(t, id);
    const bool has_all = user->used_ns == 0;
    struct match_time time = {.left_ns = MATCHING_NS - user->used_ns,
                              .can_wait = can_wait && !has_all};
    int r = grouping_classify(&t->grouping, id, inherited, &time, &t->tallies, ret_group,
                              ret_lineage, NULL);
    user->used_ns = MATCHING_NS - time.left_ns;
    t->unsure |= time.ran_out && !has_all;
    return r;
}

/* The rule group that children of such an ancestor inherit; 0: none. -ENOMEM. */
static int find_lineage(struct tally *t, const struct unlisted_use *of, int depth,
                        uint32_t *ret_lineage) {
    *ret_lineage = 0;
    process_id id = of->known_pid ? proctable_find(&t->table, of->known_pid) : NO_PROCESS;
    if (id != NO_PROCESS)
        *ret_lineage = proctable_at(&t->table, id)->lineage;
    struct unlisted_use above = *of;
    if (!t->grouping.children || depth >= DEPTH_MAX ||
        !t->source->ops->ancestor(t->source, t->grouping.needs, &above))
        return 0;
    uint32_t inherited, unused;
    int r = find_lineage(t, &above, depth + 1, &inherited);
    /* looking further up has taken the texts away */
    above = *of;
    if (r == 0 && t->source->ops->ancestor(t->source, t->grouping.needs, &above))
        r = classify_in_time(t, &above.identity, inherited, false, &unused, ret_lineage);
    return r;
}

/* What it has from whoever started it, be that gone. -ENOMEM. */
static int inherit(struct tally *t, struct process *p, const struct sample *s) {
    uint32_t lineage = 0;
    if ((!p->classified || p->unsure) && (s->ancestor_pid || s->ancestor)) {
        const struct unlisted_use of = {.known_pid = s->ancestor_pid, .ancestor = s->ancestor};
        int r = find_lineage(t, &of, 0, &lineage);
        if (r < 0)
            return r;
    }
    /* an orphan keeps what it had: init, which took it in, has nothing to give */
    const struct process *parent = p->orphan ? NULL : parent_of(t, p);
    if (lineage == 0 && parent && parent != p)
        lineage = parent->lineage;
    if (lineage)
        p->inherited = lineage;
    return 0;
}

/* -ESRCH: it has ended. */
static int classify(struct tally *t, struct process *p, struct sample *s) {
    struct identity id;
    int r = t->source->ops->identify(t->source, s, t->grouping.needs, &id);
    if (r < 0)
        return r;
    if (id.refused)
        s->unreadable |= 1u << ORIGIN_IDENTITY;
    if (id.cmdline_cut)
        self_add(t, METRIC_SELF_CMDLINES_CUT, 1);
    /* what is the same as before keeps its group until there is time to look */
    uint32_t group = GROUP_LEFT_OUT, lineage = 0;
    const bool is_same = p->classified && p->exec_marker == s->exec_marker;
    t->unsure = false;
    r = inherit(t, p, s);
    if (r == 0)
        r = classify_in_time(t, &id, p->inherited, is_same, &group, &lineage);
    if (r < 0 && r != -EAGAIN)
        return r;
    p->unsure = t->unsure;
    if (p->unsure && t->source->ops->wake_all)
        t->source->ops->wake_all(t->source);
    if (r == -EAGAIN)
        return 0;
    p->group = group;
    p->lineage = lineage;
    p->cgroup_settled = p->classified;
    p->classified = true;
    p->comm_hash = hash_bytes(s->comm, s->comm_len);
    p->exec_marker = s->exec_marker;
    p->uid = s->uid;
    p->identified_s = t->now_boot_s;
    return 0;
}

/* What a counter went up by since the last sample, or since birth. */
static uint64_t take_increase(struct process *p, const struct sample *s, enum field f,
                              bool lifetimes, bool begins_anew) {
    uint64_t now = s->value[f], increase = 0;
    if (!(p->have & BIT(f))) {
        bool waited_for = f >= FIELD_CUTIME_NS && f <= FIELD_CMAJFLT;
        /* a whole life is the process's own, not that of children long gone */
        if (p->from_birth && !(lifetimes && waited_for))
            increase = now;
        p->last[f] = now;
        p->have |= (uint32_t)BIT(f);
    } else if (now > p->last[f]) {
        increase = now - p->last[f];
        p->last[f] = now;
    } else if (p->restored && (begins_anew || f == FIELD_VOLUNTARY_SWITCHES ||
                              f == FIELD_INVOLUNTARY_SWITCHES || f == FIELD_RUN_QUEUE_WAIT_NS)) {
        /* what is added up thread by thread begins anew with the program */
        p->last[f] = now;
    }
    /* else keep the highest: a value that dips is not counted again */
    return increase;
}

static uint64_t part_of(uint64_t whole, uint64_t share, uint64_t of) {
    return (uint64_t)((unsigned __int128)whole * share / of);
}

/* Where CPU time is known exactly it is divided as the kernel does it for
 * /proc/PID/stat: like the ticks, but so that neither part ever falls. */
static void divide_cpu_time(const struct process *p, struct sample *s) {
    const uint64_t exact = s->exact_cpu_ns;
    if (exact == 0)
        return;
    uint64_t user = s->value[FIELD_UTIME_NS], system = s->value[FIELD_STIME_NS];
    uint64_t user_before = p && p->have & BIT(FIELD_UTIME_NS) ? p->last[FIELD_UTIME_NS] : 0;
    uint64_t system_before = p && p->have & BIT(FIELD_STIME_NS) ? p->last[FIELD_STIME_NS] : 0;
    system = user + system ? part_of(exact, system, user + system) : 0;
    if (exact < user_before + system_before) {
        user = user_before;
        system = system_before;
    } else {
        if (system < system_before)
            system = system_before;
        user = exact - system;
        if (system > exact || user < user_before) {
            user = user_before;
            system = exact - user;
        }
    }
    s->value[FIELD_UTIME_NS] = user;
    s->value[FIELD_STIME_NS] = system;
}

static int credit(struct tally *t, process_id id, struct sample *s) {
    struct process *p = proctable_at(&t->table, id);
    divide_cpu_time(p, s);
    bool lifetimes = t->count_lifetimes && !t->progress.started;
    uint64_t folded[FIELD_FOLDED] = {0};
    uint64_t known = 0, waited_for = 0;
    for (enum field f = 0; f < FIELD_COUNTERS; f++) {
        if (!(s->have & BIT(f)))
            continue;
        uint64_t increase = take_increase(p, s, f, lifetimes, t->source->ops->next_ended);
        if (f >= FIELD_FOLDED_FIRST) {
            folded[f - FIELD_FOLDED_FIRST] = increase;
            known |= BIT(f - FIELD_FOLDED_FIRST);
            if (f <= FIELD_CMAJFLT)
                waited_for |= increase;
        } else if (increase) {
            tallies_credit(&t->tallies, p->group, f, increase);
        }
    }
    /* what is added up thread by thread may take some collections to be known */
    if (s->have & (BIT(FIELD_VOLUNTARY_SWITCHES) | BIT(FIELD_RUN_QUEUE_WAIT_NS)))
        p->restored = false;
    if (waited_for || p->owed)
        return fold_increase(&t->fold, &t->table, id, folded, known);
    /* It has reaped nobody: every child has page faults, which would have become
     * its own. So what it read and wrote was all its own. (Should a child have had
     * none, what was credited to it is owed, and taken off the next time.) */
    for (size_t k = 0; k < FIELD_FOLDED; k++)
        if (folded[k])
            tallies_credit(&t->tallies, p->group, FIELD_FOLDED_FIRST + (enum field)k, folded[k]);
    return 0;
}

static bool is_idle(const struct process *p, const struct sample *s) {
    return p->have & BIT(FIELD_UTIME_NS) && p->last[FIELD_UTIME_NS] == s->value[FIELD_UTIME_NS] &&
           p->last[FIELD_STIME_NS] == s->value[FIELD_STIME_NS];
}

static struct measure_hints hints_for(const struct tally *t, const struct process *p,
                                      const struct sample *s) {
    if (!p)
        return (struct measure_hints){.fd_limit = true};
    return (struct measure_hints){
        .idle = is_idle(p, s),
        .fd_limit = p->fd_limit_s == 0 || t->now_boot_s - p->fd_limit_s >= FD_LIMIT_AGE_S,
    };
}

/* Was it born after the previous collection began, so that all it used is new? */
static bool is_newborn(const struct tally *t, const struct sample *s) {
    if (!t->progress.started)
        return t->count_lifetimes;
    if (s->seen_from_birth)
        return true;
    /* the start time is cut to a whole tick */
    return (s->start_ticks + 1) * t->source->tick_ns >= t->progress.scan_boot_ns;
}

/* With group-by pid the group is named by the number, which now belongs to
 * another process: the old group ends, so that the new one has its own labels. */
static void retire_namesake(struct tally *t, uint32_t pid) {
    process_id id = proctable_find(&t->table, pid);
    if (!t->grouping.by_pid || id == NO_PROCESS)
        return;
    struct process *p = proctable_at(&t->table, id);
    if (tallies_retire(&t->tallies, p->group, pid))
        p->group = GROUP_LEFT_OUT;
}

static process_id admit(struct tally *t, const struct sample *s) {
    retire_namesake(t, s->pid);
    process_id id = proctable_add(&t->table, s->pid);
    if (id == NO_PROCESS)
        return id;
    struct process *p = proctable_at(&t->table, id);
    p->start_ticks = s->start_ticks;
    p->ppid = s->ppid;
    p->from_birth = is_newborn(t, s);
    return id;
}

static void remember(struct tally *t, struct process *p, const struct sample *s, uint64_t marker) {
    for (enum field f = FIELD_CACHED_FIRST; f < FIELD_CACHED_END; f++)
        p->gauge[f - FIELD_CACHED_FIRST] = s->value[f];
    p->known = (uint32_t)s->have & (uint32_t)(BIT(FIELD_CACHED_END) - 1);
    p->unreadable = (uint8_t)s->unreadable;
    p->ppid = s->ppid;
    p->orphan = false;
    p->threads = (uint32_t)s->value[FIELD_THREADS];
    p->state = s->state;
    p->priority = (int16_t)s->value[FIELD_PRIORITY];
    p->nice = (int8_t)s->value[FIELD_NICE];
    p->ignores_children = s->ignores_children;
    p->asleep = s->activity && s->activity == p->activity && s->state != 'R' && !p->unsure;
    p->activity = s->activity;
    p->marker = marker;
    p->measured_s = t->now_boot_s;
    if (s->have & BIT(FIELD_FD_LIMIT)) {
        p->fd_limit = s->value[FIELD_FD_LIMIT];
        p->fd_limit_s = t->now_boot_s;
    }
}

/* The sample that measuring would give again. */
static void recall(const struct tally *t, const struct process *p, struct sample *ret) {
    *ret = (struct sample){
        .pid = p->pid,
        .ppid = p->ppid,
        .start_ticks = p->start_ticks,
        .state = p->state,
        .unreadable = p->unreadable,
        .have = p->known,
    };
    for (enum field f = 0; f < FIELD_COUNTERS; f++)
        ret->value[f] = p->last[f];
    for (enum field f = FIELD_CACHED_FIRST; f < FIELD_CACHED_END; f++)
        ret->value[f] = p->gauge[f - FIELD_CACHED_FIRST];
    sample_set(ret, FIELD_THREADS, p->threads);
    sample_set(ret, FIELD_PRIORITY, (uint64_t)p->priority);
    sample_set(ret, FIELD_NICE, (uint64_t)p->nice);
    if (t->settings.collect & 1u << COLLECT_THREADS)
        sample_set(ret, FIELD_THREADS_RUNNING, 0);
}

/* The sample of a process whose group is known goes where it belongs. */
static int account(struct tally *t, process_id id, struct sample *s) {
    struct process *p = proctable_at(&t->table, id);
    if (p->fd_limit_s)
        sample_set(s, FIELD_FD_LIMIT, p->fd_limit);
    p->seen = t->number;
    tallies_member(&t->tallies, p->group, s,
                   t->source->boot_unix_ns + p->start_ticks * t->source->tick_ns);
    t->not_fully_read += s->unreadable != 0;
    self_add(t, METRIC_SELF_PROCESSES, 1);
    return credit(t, id, s);
}

/* It executed a program since the last time. Until then it was who it was. */
static int settle_exec(struct tally *t, process_id id, const struct sample *s, bool born) {
    struct process *p = proctable_at(&t->table, id);
    struct sample since = *s->since_exec;
    if (s->until_exec && !born) {
        struct sample until = *s->until_exec;
        int r = credit(t, id, &until);
        if (r < 0)
            return r;
    }
    divide_cpu_time(p, &since);
    for (enum field f = 0; f < FIELD_COUNTERS; f++)
        if (since.have & BIT(f) && (!(p->have & BIT(f)) || since.value[f] > p->last[f])) {
            p->last[f] = since.value[f];
            p->have |= (uint32_t)BIT(f);
        }
    return 0;
}

/* Has it not run since it was measured? `age_s` is how long that may be ago. */
static bool is_asleep(const struct tally *t, const struct process *p, const struct listed *listed,
                      uint32_t age_s) {
    uint64_t activity;
    if (listed->marker == 0 || listed->marker != p->marker)
        return false;
    if (!t->source->ops->activity)
        return listed->asleep;
    return p->asleep && t->now_boot_s - p->measured_s < age_s && !has_stale_cgroup(t, p) &&
           t->source->ops->activity(t->source, p->pid, &activity) == 0 && activity == p->activity;
}

/* A process that slept when it was measured last, and has not run since, is as
 * it was then: no file is opened. 1: it was so, and the process is done with. */
static int visit_asleep(struct tally *t, const struct listed *listed) {
    process_id id = proctable_find(&t->table, listed->pid);
    if (id == NO_PROCESS)
        return 0;
    const struct process *p = proctable_at(&t->table, id);
    /* not all of them are measured again in the same collection */
    if (p->seen == t->number || !is_asleep(t, p, listed, REMEMBER_S - p->pid % 32))
        return 0;
    struct sample s;
    recall(t, p, &s);
    int r = account(t, id, &s);
    return r < 0 ? r : 1;
}

static int visit(struct tally *t, const struct listed *listed, int depth);

/* A child inherits from its parent, which stands before it in the list, unless
 * pids have wrapped around since it was started: then the parent's turn is now.
 * 1: it was taken, and the child is no longer the open process. */
static int visit_parent_first(struct tally *t, const struct sample *s, int depth) {
    if (!t->grouping.children || depth >= DEPTH_MAX || s->ppid <= s->pid)
        return 0;
    process_id id = proctable_find_parent(&t->table, s->ppid, s->start_ticks);
    /* One that is known has a lineage already. It can have changed; but a parent that
     * sleeps is not to be opened, and only its own turn will tell if it does. */
    if (id != NO_PROCESS && (proctable_at(&t->table, id)->seen == t->number ||
                             !t->source->ops->activity))
        return 0;
    int r = visit(t, &(struct listed){.pid = s->ppid}, depth + 1);
    return r < 0 ? r : 1;
}

static process_id find_incarnation(const struct tally *t, const struct sample *s) {
    /* another one may have had that number, or may have it now */
    process_id id = proctable_find_parent(&t->table, s->pid, s->start_ticks);
    if (id != NO_PROCESS && (proctable_at(&t->table, id)->start_ticks != s->start_ticks ||
                             proctable_at(&t->table, id)->ended))
        return NO_PROCESS;
    return id;
}

/* It is there, but can't be read, for now or for good. If it is known it is not
 * taken for dead: what it does meanwhile counts when it can be read again. */
static void skip_hidden(struct tally *t, uint32_t pid) {
    self_add(t, METRIC_SELF_HIDDEN, 1);
    process_id id = proctable_find(&t->table, pid);
    if (id != NO_PROCESS)
        proctable_at(&t->table, id)->seen = t->number;
}

/* 0 also for a process that has vanished or is hidden. */
static int visit(struct tally *t, const struct listed *listed, int depth) {
    const uint32_t pid = listed->pid;
    const struct source_ops *ops = t->source->ops;
    struct sample s;
    process_id id = NO_PROCESS;
    int r = visit_asleep(t, listed);
    if (r != 0)
        return r < 0 ? r : 0;
    r = ops->open(t->source, pid, &s);
    if (r == 0) {
        id = find_incarnation(t, &s);
        if (id != NO_PROCESS && proctable_at(&t->table, id)->seen == t->number) {
            ops->close(t->source);
            return 0; /* a child has called for it before */
        }
    }
    if (r == 0 && id == NO_PROCESS) {
        r = visit_parent_first(t, &s, depth);
        if (r > 0)
            r = ops->open(t->source, pid, &s);
    }
    bool born = id == NO_PROCESS;
    if (r == 0)
        r = ops->measure(t->source, &s,
                         hints_for(t, born ? NULL : proctable_at(&t->table, id), &s));
    if (r == 0 && born) {
        id = admit(t, &s);
        r = id == NO_PROCESS ? -ENOMEM : 0;
    }
    if (r == 0 && s.since_exec)
        r = settle_exec(t, id, &s, born);
    if (r == 0 && needs_identity(t, proctable_at(&t->table, id), &s)) {
        r = classify(t, proctable_at(&t->table, id), &s);
        /* for want of memory it is the next time's; but where it began to count is
         * not told again */
        if (r < 0 && born && !(r == -ENOMEM && s.since_exec))
            proctable_remove(&t->table, id);
    }
    if (r == 0) {
        struct process *p = proctable_at(&t->table, id);
        const bool is_first = p->known == 0 && !p->restored;
        remember(t, p, &s, listed->marker);
        if (is_first && p->from_birth && t->progress.started)
            tallies_add(&t->tallies, p->group, METRIC_STARTS, 1);
        r = account(t, id, &s);
    }
    ops->close(t->source);

    if (r == -ENOMEM)
        return r;
    if (r == -ESRCH)
        self_add(t, METRIC_SELF_VANISHED, 1);
    else if (r < 0)
        skip_hidden(t, pid);
    return 0;
}

/* ---- Processes that have ended ------------------------------------------------------- */

/* For a source that sees every end. (Else fold.c works out what the ended used.) */
static int credit_ended(struct tally *t) {
    struct sample s;
    int r = 0;
    while (r == 0 && t->source->ops->next_ended(t->source, &s)) {
        process_id id = find_incarnation(t, &s);
        if (id == NO_PROCESS)
            continue; /* listed, but not admitted: there was no memory for it */
        r = credit(t, id, &s);
        struct process *p = proctable_at(&t->table, id);
        tallies_add(&t->tallies, p->group, METRIC_EXITS, 1);
        /* what its children did unlisted may be told later */
        p->ended = true;
        p->gone_s = t->now_boot_s;
    }
    return r;
}

/* A process that was only forked is what the process was that it was forked from,
 * as far as it shows. */
static bool is_like(const struct process *p, const struct unlisted_use *use, unsigned needs) {
    return p->classified &&
           p->comm_hash == hash_bytes(use->identity.comm.at, use->identity.comm.len) &&
           (!(needs & IDENTITY_USER) || p->uid == use->identity.uid);
}

static int group_of_unlisted(struct tally *t, struct unlisted_use *use, uint32_t *ret_group) {
    process_id id = use->known_pid ? proctable_find(&t->table, use->known_pid) : NO_PROCESS;
    const struct process *from = id == NO_PROCESS ? NULL : proctable_at(&t->table, id);
    uint32_t inherited, unused;
    if (use->is_known && from) {
        *ret_group = from->group;
        return 0;
    }
    if (use->forked_only && from && is_like(from, use, t->grouping.needs)) {
        *ret_group = from->group;
        return 0;
    }
    int r = find_lineage(t, use, 0, &inherited);
    if (r == 0)
        r = classify_in_time(t, &use->identity, inherited, false, ret_group, &unused);
    return r;
}

/* Where there is no memory for a group, the rest is counted all the same. -ENOMEM. */
static int credit_unlisted(struct tally *t) {
    struct unlisted_use use;
    int r = 0;
    while (t->source->ops->next_unlisted(t->source, t->grouping.needs, &use)) {
        uint32_t group = GROUP_LEFT_OUT;
        int e = group_of_unlisted(t, &use, &group);
        if (e < 0) {
            r = e;
            continue;
        }
        divide_cpu_time(NULL, &use.counters);
        for (enum field f = 0; f < FIELD_COUNTERS; f++)
            if (use.counters.have & BIT(f))
                tallies_credit(&t->tallies, group, f, use.counters.value[f]);
        for (size_t i = 0; i < TRAFFIC_COUNTERS; i++)
            if (use.traffic[i])
                tallies_add(&t->tallies, group, METRIC_RECEIVED_BYTES_TCP + (enum metric)i,
                            use.traffic[i]);
        tallies_add(&t->tallies, group, METRIC_STARTS, use.ended);
        tallies_add(&t->tallies, group, METRIC_EXITS, use.ended);
        tallies_passed_by(&t->tallies, group);
    }
    return r;
}

/* The final figures of a process come a little after it has left the listing, on a
 * busy host some seconds, as do those of its children. */
#define WAIT_FOR_END_S 15u

static void forget_missing(struct tally *t) {
    for (process_id id = proctable_next(&t->table, 0); id != NO_PROCESS;
         id = proctable_next(&t->table, id + 1)) {
        struct process *p = proctable_at(&t->table, id);
        if (p->seen == t->number && !p->ended) {
            p->gone_s = 0;
            continue;
        }
        if (p->gone_s == 0)
            p->gone_s = t->now_boot_s;
        if (t->now_boot_s - p->gone_s < WAIT_FOR_END_S)
            continue;
        if (!p->ended)
            tallies_add(&t->tallies, p->group, METRIC_EXITS, 1);
        proctable_remove(&t->table, id);
    }
}

/* ---- Proportional set size ------------------------------------------------------------ */

static int by_pss_age(const void *a, const void *b, void *table) {
    const struct process *x = proctable_at(table, *(const process_id *)a);
    const struct process *y = proctable_at(table, *(const process_id *)b);
    return x->pss_s < y->pss_s ? -1 : x->pss_s > y->pss_s;
}

static int list_by_pss_age(struct tally *t, size_t *ret_count) {
    struct pss_order *order = &t->pss_order;
    size_t count = 0;
    if (order->size < t->table.count) {
        process_id *ids = realloc(order->ids, t->table.count * 2 * sizeof(*ids));
        if (!ids)
            return -ENOMEM;
        order->ids = ids;
        order->size = t->table.count * 2;
    }
    for (process_id id = proctable_next(&t->table, 0); id != NO_PROCESS;
         id = proctable_next(&t->table, id + 1))
        if (proctable_at(&t->table, id)->seen == t->number)
            order->ids[count++] = id;
    if (count)
        qsort_r(order->ids, count, sizeof(*order->ids), by_pss_age, &t->table);
    *ret_count = count;
    return 0;
}

/* Reads the oldest values anew as far as the budget goes, then adds up all. */
static int collect_pss(struct tally *t) {
    size_t count;
    int r = list_by_pss_age(t, &count);
    if (r < 0)
        return r;
    uint64_t start_ns = clock_ns(t, CLOCK_MONOTONIC);
    bool spent = false;
    for (size_t i = 0; i < count; i++) {
        struct process *p = proctable_at(&t->table, t->pss_order.ids[i]);
        bool has_memory = p->gauge[FIELD_VMS_BYTES - FIELD_CACHED_FIRST] > 0;
        if (!has_memory) { /* a kernel thread or a zombie */
            p->pss_bytes = 0;
            p->pss_s = t->now_boot_s;
        } else if (!spent && p->group != GROUP_LEFT_OUT) {
            if (t->source->ops->pss(t->source, p->pid, &p->pss_bytes) == 0)
                p->pss_s = t->now_boot_s;
            spent = clock_ns(t, CLOCK_MONOTONIC) - start_ns >= PSS_BUDGET_NS;
        }
        tallies_pss(&t->tallies, p->group, p->pss_s != 0, p->pss_bytes,
                    (t->now_boot_s - p->pss_s) * NS_PER_S);
    }
    return 0;
}

/* ---- About itself ------------------------------------------------------------------------ */

static void describe_coverage(struct tally *t) {
    if (t->has_host && t->progress.has_host_busy && t->progress.started &&
        t->host.busy_ticks > t->progress.host_busy_ticks) {
        uint64_t busy_ns = (t->host.busy_ticks - t->progress.host_busy_ticks) * t->source->tick_ns;
        self_set(t, METRIC_SELF_COVERAGE, ratio_of((double)t->tallies.cpu_ns, (double)busy_ns));
    } else {
        t->self_known[METRIC_SELF_COVERAGE - METRIC_SELF_FIRST] = false;
    }
}

static void raise_notices(struct tally *t) {
    const struct source_ops *ops = t->source->ops;
    bool by_thread = ops->lacks_thread_totals && ops->lacks_thread_totals(t->source);
    if (ops->is_partial(t->source))
        notice_raise(&t->notices, NOTICE_PARTIAL,
                     "the mount options of /proc (hidepid, subset) hide processes from this user, "
                     "so the groups are not complete");
    uint64_t seen = t->self_value[METRIC_SELF_PROCESSES - METRIC_SELF_FIRST];
    /* where every right is there, the kernel closes a few all the same: no news */
    if (t->not_fully_read && ops->lacks_rights(t->source))
        notice_raise(&t->notices, NOTICE_NOT_READABLE,
                     "%llu of %llu processes can't be read fully (I/O, file descriptors …): that "
                     "needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH%s",
                     (unsigned long long)t->not_fully_read, (unsigned long long)seen,
                     by_thread ? ", and context switches of ended threads CAP_NET_ADMIN" : "");
    else if (by_thread && !ops->lacks_rights(t->source)) /* one line is enough for both */
        notice_raise(&t->notices, NOTICE_NOT_READABLE,
                     "context switches and delays are read thread by thread, and those of ended "
                     "threads are lost: CAP_NET_ADMIN is missing");
    if (t->tallies.overflowed)
        notice_raise(&t->notices, NOTICE_OVERFLOW,
                     "there are more groups than max-groups (%llu), the rest is counted in the "
                     "group \"other\"",
                     (unsigned long long)t->settings.max_groups);
    if (t->grouping.pattern_limits)
        notice_raise(&t->notices, NOTICE_PATTERN_LIMIT,
                     "a regular expression took too many steps on a command line and was given up");
}

static void describe_self(struct tally *t, uint64_t start_ns, uint64_t start_cpu_ns) {
    self_set(t, METRIC_SELF_PARTIAL, t->source->ops->is_partial(t->source));
    self_set(t, METRIC_SELF_GROUPS, t->tallies.order_count);
    self_set(t, METRIC_SELF_OVERFLOWED, t->tallies.overflowed);
    self_set(t, METRIC_SELF_THREADS_SKIPPED, t->source->ops->threads_skipped(t->source));
    if (t->source->ops->lost_events)
        self_set(t, METRIC_SELF_LOST_EVENTS, t->source->ops->lost_events(t->source));
    self_set(t, METRIC_SELF_PATTERN_LIMITS, t->grouping.pattern_limits);
    self_set(t, METRIC_SELF_SOURCE_PROCFS, strcmp(t->source->ops->name, "procfs") == 0);
    self_set(t, METRIC_SELF_SOURCE_BPF, strcmp(t->source->ops->name, "bpf") == 0);
    describe_coverage(t);
    raise_notices(t);
    self_set(t, METRIC_SELF_DURATION, clock_ns(t, CLOCK_MONOTONIC) - start_ns);
    self_set(t, METRIC_SELF_CPU, clock_ns(t, CLOCK_THREAD_CPUTIME_ID) - start_cpu_ns);
}

/* ---- The whole ---------------------------------------------------------------------------- */

static struct tallies_moment moment_of(const struct tally *t) {
    return (struct tallies_moment){
        .now_ns = t->now_boot_ns,
        .interval_ns = t->interval_ns,
        .cpus = t->settings.cpu_mode_core || !t->has_host ? 1 : t->host.cpus,
        .expire_after_ns = t->settings.expire_after_ns,
    };
}

static void expire_groups(struct tally *t, const struct tallies_moment *moment) {
    uint32_t gone;
    while ((gone = tallies_expire(&t->tallies, moment)) != 0) {
        for (process_id id = proctable_next(&t->table, 0); id != NO_PROCESS;
             id = proctable_next(&t->table, id + 1)) {
            struct process *p = proctable_at(&t->table, id);
            if (p->inherited == gone)
                p->inherited = 0;
            if (p->lineage == gone)
                p->lineage = 0;
            if (p->group == gone) { /* hidden for so long that it seemed empty */
                p->group = GROUP_LEFT_OUT;
                p->classified = false;
            }
        }
    }
}

static void begin(struct tally *t, uint64_t start_ns, uint64_t start_boot_ns) {
    t->number++;
    t->now_boot_ns = start_boot_ns;
    t->now_boot_s = (uint32_t)(t->now_boot_ns / NS_PER_S);
    t->snapshot = (struct tally_snapshot){t, clock_ns(t, CLOCK_REALTIME)};
    t->interval_ns =
        t->progress.started && start_ns > t->progress.scan_mono_ns
            ? start_ns - t->progress.scan_mono_ns
            : 0;
    t->has_host = t->source->ops->host(t->source, &t->host) == 0;
    if (!t->has_host && t->source->boot_unix_ns == 0) /* hidden by subset=pid */
        t->source->boot_unix_ns = t->snapshot.time_ns - t->now_boot_ns;
    t->not_fully_read = 0;
    memset(t->match_users, 0, sizeof(t->match_users));
    self_set(t, METRIC_SELF_PROCESSES, 0);
    self_set(t, METRIC_SELF_HIDDEN, 0);
    struct tally_error no_traffic = {{0}};
    bool sees_traffic = t->source->ops->sees_traffic &&
                        t->source->ops->sees_traffic(t->source, &no_traffic);
    if (no_traffic.text[0])
        notice_raise(&t->notices, NOTICE_TRAFFIC, "network traffic is not counted: %s",
                     no_traffic.text);
    tallies_begin(&t->tallies, sees_traffic);
    fold_begin(&t->fold);
}

static void save_state(struct tally *t) {
    int r = state_encode(t);
    /* not fsynced: a crash of the host ends the boot that the state belongs to */
    if (r == 0)
        r = replace_file(&t->io, t->settings.state_file, t->state.data, t->state.len, 0600, false);
    t->state_saved = r == 0;
    if (r == 0) {
        notice_clear(&t->notices, NOTICE_STATE_UNSAVED);
        return;
    }
    self_add(t, METRIC_SELF_STATE_FAILURES, 1);
    notice_raise(&t->notices, NOTICE_STATE_UNSAVED,
                 "the state file %.200s can't be saved: %s; counting goes on, but a restart would "
                 "lose it",
                 t->settings.state_file, strerror(-r));
}

static int scan(struct tally *t, const struct listed *listed, size_t count) {
    const bool sees_ends = t->source->ops->next_ended;
    int r = sees_ends ? credit_ended(t) : 0;
    /* what ended, was executed or never listed is told once: all of it is heard, be
     * there no memory for some */
    for (size_t i = 0; (r == 0 || sees_ends) && i < count; i++) {
        int e = visit(t, &listed[i], 0);
        r = r < 0 ? r : e;
    }
    if (sees_ends) {
        int e = credit_unlisted(t);
        r = r < 0 ? r : e;
    }
    if (r == 0 && t->settings.collect & 1u << COLLECT_PSS)
        r = collect_pss(t);
    if (r == 0 && sees_ends)
        forget_missing(t);
    else if (r == 0)
        r = fold_settle(&t->fold, &t->table, &t->tallies, t->source, t->number,
                        t->interval_ns ? t->interval_ns : NS_PER_S);
    if (r < 0)
        fold_undo(&t->fold, &t->table);
    return r;
}

int tally_collect(tally *t, const tally_snapshot **ret_snapshot) {
    /* before the list: what starts while that is made may not be in it, and is then
     * new in the next one */
    const uint64_t start_boot_ns = clock_ns(t, CLOCK_BOOTTIME);
    const uint64_t start_ns = clock_ns(t, CLOCK_MONOTONIC);
    const uint64_t start_cpu_ns = clock_ns(t, CLOCK_THREAD_CPUTIME_ID);
    const struct listed *listed;
    size_t count;
    int r = t->source->ops->list(t->source, &listed, &count);
    if (r < 0)
        return r;

    begin(t, start_ns, start_boot_ns);
    r = scan(t, listed, count);
    if (r < 0)
        return r;
    const struct tallies_moment moment = moment_of(t);
    tallies_end(&t->tallies, &moment);
    expire_groups(t, &moment);
    r = tallies_order(&t->tallies, t->settings.top < t->settings.max_groups
                                       ? t->settings.top
                                       : t->settings.max_groups);
    if (r < 0)
        return r;
    describe_self(t, start_ns, start_cpu_ns);

    t->collected = true;
    t->progress = (struct progress){
        .started = true,
        .scan_boot_ns = t->now_boot_ns,
        .scan_mono_ns = start_ns,
        .host_busy_ticks = t->host.busy_ticks,
        .has_host_busy = t->has_host,
    };
    if (t->settings.state_file)
        save_state(t);
    *ret_snapshot = &t->snapshot;
    return 0;
}

int tally_explain(tally *t, pid_t pid, const char **ret_text, size_t *ret_len) {
    const tally_snapshot *unused;
    struct sample s;
    struct identity id;
    int r = tally_collect(t, &unused);
    if (r < 0)
        return r;
    if (pid <= 0)
        return -ESRCH;
    r = t->source->ops->open(t->source, (uint32_t)pid, &s);
    if (r == -EAGAIN) { /* it sleeps, and the next list shows it */
        r = tally_collect(t, &unused);
        if (r == 0)
            r = t->source->ops->open(t->source, (uint32_t)pid, &s);
    }
    if (r == 0)
        r = t->source->ops->measure(t->source, &s, (struct measure_hints){.idle = true});
    if (r == 0)
        r = t->source->ops->identify(t->source, &s, t->grouping.needs, &id);
    process_id found = r == 0 ? proctable_find(&t->table, (uint32_t)pid) : NO_PROCESS;
    if (r == 0 && found == NO_PROCESS)
        r = -ESRCH;
    if (r == 0) {
        uint32_t group, lineage;
        struct match_time time = {.left_ns = MATCHING_NS};
        buf_reset(&t->text);
        r = grouping_classify(&t->grouping, &id, proctable_at(&t->table, found)->inherited, &time,
                              &t->tallies, &group, &lineage, &t->text);
        if (r == 0)
            buf_printf(&t->text, group == GROUP_LEFT_OUT ? "in no group\n" : "group: %s\n",
                       t->tallies.groups[group]->name);
    }
    t->source->ops->close(t->source);
    if (r == 0 && t->text.error)
        r = t->text.error;
    if (r < 0)
        return r;
    *ret_text = buf_text(&t->text);
    *ret_len = t->text.len;
    return 0;
}
