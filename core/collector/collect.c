/* SPDX-License-Identifier: MIT */
/* One collection, from the list of processes to the snapshot. */
#include "base/hash.h"
#include "collector/collector.h"
#include "count/top.h"
#include "source/turns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A limit on descriptors is seldom changed, and costs a file to read. */
#define FD_LIMIT_AGE_S 60u
/* How far up to go when parents have to be visited before their children. */
#define DEPTH_MAX 32

/* ---- A process that may be asleep ------------------------------------------------------ */

static bool has_turn(const struct round *round, const struct process *p, uint32_t period_s) {
    return is_turn_of(p->pid, round->boot_s, round->since_s, period_s);
}

/* What open() is to compare with, to tell whether the process has run; 0: open it anyway. */
static uint64_t activity_if_asleep(const struct round *round, const struct process *p,
                                   const struct listed *listed) {
    if (!p->asleep || listed->marker == 0 || listed->marker != p->marker ||
        (has_turn(round, p, MEMORY_TURN_S) && has_turn(round, p, TURN_S)) ||
        has_stale_identity(round, p))
        return 0;
    return p->activity;
}

/* Has the kernel taken memory from anybody, or given some, since this process was measured? */
static bool memory_has_moved(struct round *round, const struct process *p) {
    struct tally *t = round->t;
    uint64_t moves = 0;
    if (!round->knows_moves) {
        if (t->source->ops->memory_moves(t->source, &moves) < 0 || moves != t->memory_moves)
            t->memory_moved_s = round->boot_s;
        t->memory_moves = moves;
        round->knows_moves = true;
    }
    return p->measured_s <= t->memory_moved_s;
}

static void recall(const struct proctable *table, process_id id, struct sample *ret) {
    process_recall(proctable_at(table, id), ret);
    if (table->keeps_details)
        proctable_recall_details(table, id, ret);
}

/* The memory of a process that open() said 1 of, if it may be another by now. As open(). */
static int look_at_memory(struct round *round, const struct listed *listed, process_id id,
                          struct sample *s) {
    struct source *source = round->t->source;
    struct proctable *table = &round->t->counting.table;
    struct process *p = proctable_at(table, id);
    if (listed->state != LISTED_UNKNOWN || !has_turn(round, p, MEMORY_TURN_S) ||
        !memory_has_moved(round, p))
        return 1;
    recall(table, id, s);
    if (source->ops->measure_memory(source, listed, s) < 0)
        return source->ops->open(source, listed, 0, s);
    process_remember_memory(p, s, round->boot_s);
    if (table->keeps_details)
        proctable_remember_details(table, id, s);
    return 1;
}

/* Opens a listed process. `known` is the latest record with this pid, or NULL. 1: the
 * process of that record has not run since it was measured, and was not opened. */
static int open_listed(struct round *round, const struct listed *listed,
                       const struct process *known, struct sample *ret) {
    struct source *source = round->t->source;
    uint64_t activity = 0;
    if (known) {
        if (listed->state == LISTED_ASLEEP && listed->marker == known->marker)
            return 1;
        if (listed->state == LISTED_UNKNOWN)
            activity = activity_if_asleep(round, known, listed);
    }
    return source->ops->open(source, listed, activity, ret);
}

/* ---- A process that is new --------------------------------------------------------------- */

/* Did it start after the previous collection began, so that all it used is new? */
static bool is_newborn(const struct tally *t, const struct sample *s) {
    const struct progress *progress = &t->counting.progress;
    if (!progress->started)
        return t->count_lifetimes;
    if (s->seen_from_birth)
        return true;
    /* start times are rounded down to a tick */
    return (s->start_ticks + 1) * t->source->tick_ns >= progress->scan_boot_ns;
}

static process_id admit(struct tally *t, const struct sample *s) {
    process_id id = proctable_add(&t->counting.table, s->pid);
    if (id == NO_PROCESS)
        return id;
    struct process *p = proctable_at(&t->counting.table, id);
    p->start_ticks = s->start_ticks;
    p->ppid = s->ppid;
    p->from_birth = is_newborn(t, s);
    p->start_counted = !(p->from_birth && t->counting.progress.started);
    return id;
}

static const struct listed *find_listed(const struct round *round, uint32_t pid) {
    size_t low = 0, high = round->listed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (round->listed[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < round->listed_count && round->listed[low].pid == pid ? &round->listed[low] : NULL;
}

static int visit(struct round *round, const struct listed *listed, int depth);

/* A child inherits from its parent. The list is sorted by pid, so the parent usually comes
 * first; but pids wrap around, and then the parent is visited now. 1: it was, and the child
 * is no longer the open process. */
static int visit_parent_first(struct round *round, const struct sample *s, int depth) {
    const struct proctable *table = &round->t->counting.table;
    if (!grouping_needs_lineage(&round->t->grouping) || depth >= DEPTH_MAX || s->ppid <= s->pid)
        return 0;
    process_id id = proctable_find_parent(table, s->ppid, s->start_ticks);
    const struct listed *parent = find_listed(round, s->ppid);
    if (!parent || (id != NO_PROCESS && proctable_at(table, id)->seen == round->t->counting.number))
        return 0;
    int r = visit(round, parent, depth + 1);
    return r < 0 ? r : 1;
}

/* ---- Any process --------------------------------------------------------------------------- */

static bool is_idle(const struct process *p, const struct sample *s) {
    return p->have & BIT(FIELD_UTIME_NS) && p->last[FIELD_UTIME_NS] == s->value[FIELD_UTIME_NS] &&
           p->last[FIELD_STIME_NS] == s->value[FIELD_STIME_NS];
}

/* A process with one thread that never had others is read as a whole. */
static enum threads_wanted threads_wanted(const struct round *round, const struct process *p,
                                          const struct sample *s) {
    const struct thread_list *list = p ? p->thread_list : NULL;
    if (!round->t->counting.tallies.threads.is_on ||
        (p && p->group == GROUP_LEFT_OUT && p->classified))
        return THREADS_UNWANTED;
    if (s->value[FIELD_THREADS] <= 1 && !(list && list->has_others))
        return THREADS_MAIN;
    return threads_are_due(list, s, p && is_idle(p, s), round->boot_s) ? THREADS_ALL
                                                                       : THREADS_UNWANTED;
}

static struct measure_hints hints_for(const struct round *round, const struct process *p,
                                      const struct sample *s) {
    if (!p)
        return (struct measure_hints){.fd_limit = true,
                                      .threads = threads_wanted(round, NULL, s)};
    return (struct measure_hints){
        .threads = threads_wanted(round, p, s),
        .idle = is_idle(p, s),
        .fd_limit = p->fd_limit_s == 0 || round->boot_s - p->fd_limit_s >= FD_LIMIT_AGE_S ||
                    (p->asleep && has_turn(round, p, TURN_S)), /* its next is minutes away */
        .left_out = p->group == GROUP_LEFT_OUT,
    };
}

/* Adds a member to its group, with the gauges of its sample. */
static void add_member(struct round *round, struct process *p, const struct sample *s,
                       uint64_t start_unix_ns) {
    struct counting *c = &round->t->counting;
    p->seen = c->number;
    self_add(c, METRIC_SELF_PROCESSES, 1);
    tallies_member(&c->tallies, p->group, s, start_unix_ns);
    if (!p->start_counted)
        tallies_add(&c->tallies, p->group, METRIC_STARTS, 1);
    p->start_counted = true;
    /* of what nobody wants to know nothing is missing */
    round->partly_unreadable += s->unreadable != 0 && p->group != GROUP_LEFT_OUT;
}

static uint64_t start_of(const struct source *source, const struct process *p) {
    return source->boot_unix_ns + p->start_ticks * source->tick_ns;
}

static bool is_to_be_shown(const struct round *round, const struct process *p) {
    const struct tally *t = round->t;
    return round->snapshot && t->keep & TALLY_KEEP_PROCESSES &&
           (t->grouping.followed.count == 0 || p->followed);
}

/* Adds the sample of a process to its group. */
static int account(struct round *round, process_id id, struct sample *s) {
    struct counting *c = &round->t->counting;
    struct process *p = proctable_at(&c->table, id);
    const uint64_t start_unix_ns = start_of(round->t->source, p);
    int r = credit(round, id, s);
    if (r < 0)
        return r;
    if (p->fd_limit_s)
        sample_set(s, FIELD_FD_LIMIT, p->fd_limit);
    add_member(round, p, s, start_unix_ns);
    if (c->tallies.threads.is_on)
        r = credit_threads(round, p, s);
    return r == 0 && is_to_be_shown(round, p) ? show_process(round, id, s, start_unix_ns) : r;
}

/* The same for one that has not run since it was measured: its group has had all it used. */
static int account_asleep(struct round *round, process_id id, struct sample *s) {
    struct counting *c = &round->t->counting;
    struct process *p = proctable_at(&c->table, id);
    if (p->pending || p->restored || c->tallies.threads.is_on || is_to_be_shown(round, p)) {
        recall(&c->table, id, s);
        return account(round, id, s);
    }
    process_recall_gauges(p, s);
    if (c->table.keeps_details)
        proctable_recall_details(&c->table, id, s);
    add_member(round, p, s, start_of(round->t->source, p));
    return 0;
}

/* The rest of the visit to the process that is open. id is its record, or NO_PROCESS. */
static int visit_open(struct round *round, const struct listed *listed, process_id id,
                      struct sample *s) {
    struct tally *t = round->t;
    struct proctable *table = &t->counting.table;
    const bool is_new = id == NO_PROCESS;
    const struct measure_hints hints =
        hints_for(round, is_new ? NULL : proctable_at(table, id), s);
    int r = t->source->ops->measure(t->source, s, hints);
    if (r == 0 && is_new) {
        id = admit(t, s);
        r = id == NO_PROCESS ? -ENOMEM : 0;
    }
    if (r == 0 && s->since_exec)
        r = credit_until_exec(round, id, s, is_new);
    if (r == 0 && needs_identity(round, proctable_at(table, id), s)) {
        r = classify(round, proctable_at(table, id), s);
        /* Out of memory: as if it had not been seen yet. But what it used before an exec
         * is told only once, so then the record stays. */
        if (r < 0 && is_new && !(r == -ENOMEM && s->since_exec))
            proctable_remove(table, id);
        if (r > 0) {
            /* Pending: it counts as seen, in its group, once it has one. */
            proctable_at(table, id)->seen = t->counting.number;
            return 0;
        }
    }
    if (r < 0)
        return r;
    if (hints.threads == THREADS_ALL && !s->threads && proctable_at(table, id)->thread_list)
        proctable_at(table, id)->thread_list->behind = true;
    process_remember(proctable_at(table, id), s, listed->marker, round->boot_s);
    if (table->keeps_details)
        proctable_remember_details(table, id, s);
    return account(round, id, s);
}

/* It exists but can't be read, for now or for good. If it is known it is not taken for
 * dead: what it uses in the meantime is counted when it can be read again. */
static void skip_hidden(struct round *round, uint32_t pid) {
    struct counting *c = &round->t->counting;
    self_add(c, METRIC_SELF_HIDDEN, 1);
    process_id id = proctable_find(&c->table, pid);
    if (id != NO_PROCESS)
        proctable_at(&c->table, id)->seen = c->number;
}

/* 0 also for a process that has vanished or is hidden. */
static int visit(struct round *round, const struct listed *listed, int depth) {
    struct tally *t = round->t;
    struct proctable *table = &t->counting.table;
    struct sample s;
    process_id id = proctable_find(table, listed->pid);
    const struct process *known = id == NO_PROCESS ? NULL : proctable_at(table, id);
    if (known && known->seen == t->counting.number && !known->ended)
        return 0; /* it was visited before one of its children */
    int r = open_listed(round, listed, known, &s);
    if (r == 1) {
        r = look_at_memory(round, listed, id, &s);
        if (r == 1)
            return account_asleep(round, id, &s);
    }
    if (r == 0) {
        id = proctable_find_incarnation(table, listed->pid, s.start_ticks);
        if (id == NO_PROCESS) {
            r = visit_parent_first(round, &s, depth);
            if (r > 0)
                r = t->source->ops->open(t->source, listed, 0, &s);
        }
    }
    if (r == 0)
        r = visit_open(round, listed, id, &s);
    t->source->ops->close(t->source);

    /* for want of memory or descriptors it is not gone: this collection is not one */
    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
        return r;
    if (r == -EAGAIN) /* the source thinks that we know it; let it show everybody in full */
        t->wants_all = true;
    if (r == -ESRCH)
        self_add(&t->counting, METRIC_SELF_VANISHED, 1);
    else if (r < 0)
        skip_hidden(round, listed->pid);
    return 0;
}

/* ---- The whole ---------------------------------------------------------------------------- */

static uint64_t since(bool is_known, uint64_t now_ns, uint64_t before_ns) {
    return is_known && now_ns > before_ns ? now_ns - before_ns : 0;
}

/* 0: not known. */
static uint64_t memory_of_host(const struct tally *t) {
    struct host_details host;
    source_host_memory(&t->io, t->settings.procfs, &host);
    return host.memory_known & 1u << HOST_MEMORY_TOTAL ? host.memory_bytes[HOST_MEMORY_TOTAL] : 0;
}

static void begin(struct round *round) {
    struct tally *t = round->t;
    struct counting *c = &t->counting;
    const struct progress *progress = &c->progress;
    c->number++;
    round->boot_s = (uint32_t)(round->boot_ns / NS_PER_S);
    round->since_s = round->boot_s - (uint32_t)(progress->scan_boot_ns / NS_PER_S);
    round->unix_ns = clock_ns(t, CLOCK_REALTIME);
    round->scan_interval_ns = since(progress->started, round->mono_ns, progress->scan_mono_ns);
    round->shown_interval_ns = since(progress->shown, round->mono_ns, progress->shown_mono_ns);
    round->has_host = t->source->ops->host(t->source, &round->host) == 0;
    if (!round->has_host && t->source->boot_unix_ns == 0) /* hidden by subset=pid */
        t->source->boot_unix_ns = round->unix_ns - round->boot_ns;
    if (t->settings.collect & 1u << COLLECT_MEMORY_DETAILS)
        round->memory_bytes = memory_of_host(t);
    self_set(c, METRIC_SELF_PROCESSES, 0);
    self_set(c, METRIC_SELF_HIDDEN, 0);
    if (t->containers)
        containers_begin(t->containers);
    tallies_begin(&c->tallies);
    if (c->tallies.threads.is_on)
        tallies_begin_threads(&c->tallies);
    fold_begin(&c->fold);
}

/* While one process is visited the record of that many later on its list is fetched. */
#define AHEAD 8u

/* Visits all processes, and counts what has ended. A source that tells of ends tells of
 * each only once: there everything is heard out, even if memory runs out for some of it. */
static int scan(struct round *round) {
    struct tally *t = round->t;
    struct counting *c = &t->counting;
    const bool is_told_once = t->source->ends == ENDS_BY_EVENTS;
    const struct fold_interval interval = {
        .number = c->number,
        .since_boot_ns = c->progress.scan_boot_ns,
        .length_ns = round->scan_interval_ns ? round->scan_interval_ns : NS_PER_S,
    };
    /* From /proc each visit makes system calls, beside which a fetch from memory is nothing. */
    const size_t ahead = is_told_once ? AHEAD : round->listed_count;
    int r = credit_thread_ends(round, false);
    if (is_told_once) {
        int e = credit_ended(round);
        r = r < 0 ? r : e;
    }
    for (size_t i = 0; (r == 0 || is_told_once) && i < round->listed_count; i++) {
        if (i + ahead < round->listed_count)
            proctable_prefetch(&c->table, round->listed[i + ahead].pid);
        int e = visit(round, &round->listed[i], 0);
        r = r < 0 ? r : e;
    }
    if (t->source->ops->next_unlisted) {
        int e = credit_unlisted(round);
        r = r < 0 ? r : e;
    }
    if (r == 0)
        r = credit_thread_ends(round, true);
    if (r == 0 && t->settings.collect & 1u << COLLECT_PSS)
        r = collect_pss(round);
    if (r == 0 && t->settings.collect & 1u << COLLECT_SOCKETS && round->snapshot)
        collect_sockets(round);
    if (r == 0)
        switch (t->source->ends) {
        case ENDS_BY_EVENTS:
            forget_ended(round);
            break;
        case ENDS_BY_FOLDING:
            r = fold_settle(&c->fold, &c->table, &c->tallies, t->source, &interval);
            break;
        }
    if (r < 0)
        fold_undo(&c->fold, &c->table);
    return r;
}

static void expire_groups(struct tally *t, const struct tallies_moment *moment) {
    struct proctable *table = &t->counting.table;
    struct tallies *tallies = &t->counting.tallies;
    if (tallies_expire(tallies, moment) == 0)
        return;
    cgroup_table_forget_groups(&t->counting.cgroups, tallies);
    for (process_id id = proctable_next(table, 0); id != NO_PROCESS;
         id = proctable_next(table, id + 1)) {
        struct process *p = proctable_at(table, id);
        if (!tallies->groups[p->inherited])
            p->inherited = 0;
        if (!tallies->groups[p->lineage])
            p->lineage = 0;
        if (!tallies->groups[p->group]) { /* hidden for so long that it seemed empty */
            p->group = GROUP_LEFT_OUT;
            p->classified = false;
        }
    }
}

/* Where traffic is known only from the first list on, a run that collects once knows none. */
static bool knows_traffic(const struct round *round) {
    const struct source_health *health = &round->health;
    return health->sees_traffic &&
           (!health->sees_later_traffic || snapshots_before(&round->t->snapshots));
}

/* Works out what is shown, and fills the snapshot with it. */
static int show(struct round *round) {
    struct tally *t = round->t;
    struct tallies *tallies = &t->counting.tallies;
    const struct settings *settings = &t->settings;
    const struct tallies_moment moment = {
        .now_ns = round->boot_ns,
        .interval_ns = round->shown_interval_ns,
        .cpus = settings->cpu_mode_core || !round->has_host ? 1 : round->host.cpus,
        .expire_after_ns = settings->expire_after_ns,
        .keeps_empty = settings->keeps_empty,
        .sees_traffic = knows_traffic(round),
        .endings = round->health.endings,
        .memory_bytes = round->memory_bytes,
    };
    tallies_end(tallies, &moment);
    expire_groups(t, &moment);
    int r = tallies_order(tallies, settings->top);
    if (r == 0 && tallies->threads.is_on)
        r = tallies_end_threads(tallies, &moment);
    if (r == 0)
        r = snapshot_set_groups(round->snapshot, tallies);
    if (r < 0)
        return r;
    if (t->keep & TALLY_KEEP_HOST)
        show_host(round);
    finish_processes(round);
    describe_self(round);
    round->snapshot->time_ns = round->unix_ns;
    round->snapshot->interval_ns = round->shown_interval_ns;
    return 0;
}

static void note_progress(struct round *round) {
    struct progress *progress = &round->t->counting.progress;
    progress->started = true;
    progress->scan_boot_ns = round->boot_ns;
    progress->scan_mono_ns = round->mono_ns;
    if (!round->snapshot)
        return;
    progress->shown = true;
    progress->shown_mono_ns = round->mono_ns;
    progress->host_busy_ticks = round->host.busy_ticks;
    progress->has_host_busy = round->has_host;
    tallies_shown(&round->t->counting.tallies);
}

int tally_collect(tally *t, const tally_snapshot **ret_snapshot) {
    struct round round = {
        .t = t,
        .boot_ns = clock_ns(t, CLOCK_BOOTTIME),
        .mono_ns = clock_ns(t, CLOCK_MONOTONIC),
        .cpu_ns = clock_ns(t, CLOCK_THREAD_CPUTIME_ID),
    };
    int r = ret_snapshot ? snapshots_begin(&t->snapshots, &round.snapshot) : 0;
    if (t->grouping.needs & IDENTITY_PID_FILE)
        heed_pid_files(t);
    if (r == 0)
        r = t->source->ops->list(t->source, t->wants_all, &round.listed, &round.listed_count);
    if (r < 0)
        return r;
    t->wants_all = false;

    begin(&round);
    r = scan(&round);
    if (r == 0)
        t->source->ops->health(t->source, &round.health);
    if (r == 0 && round.snapshot && t->settings.top_by != TOP_BY_NONE)
        r = top_choose(&t->counting.tallies);
    if (r == 0 && t->cgroup_files)
        collect_cgroups(&round);
    if (r == 0 && round.snapshot)
        r = show(&round);
    if (r < 0)
        return r;
    raise_notices(&round);
    note_progress(&round);
    if (t->settings.state_file && !t->only_looks)
        save_state(t);
    if (ret_snapshot) {
        snapshot_set_self(round.snapshot, &t->counting.self, t->settings.unsent_self);
        snapshots_publish(&t->snapshots, round.snapshot);
        *ret_snapshot = round.snapshot;
    }
    return 0;
}
