/* SPDX-License-Identifier: MIT */
/* How much a process has used since its last sample, and which group gets it. */
#include "collector/collector.h"

#include <errno.h>

/* What a counter went up by since the last sample, or since birth. */
static uint64_t take_increase(struct process *p, uint64_t *last, const struct sample *s,
                              enum field f, bool lifetimes, bool restarts_lower) {
    uint64_t now = s->value[f], increase = 0;
    if (!(p->have & BIT(f))) {
        bool waited_for = f >= FIELD_CUTIME_NS && f <= FIELD_CMAJFLT;
        /* a lifetime is that of the process, not of children that are long gone */
        if (p->from_birth && !(lifetimes && waited_for))
            increase = now;
        *last = now;
        p->have |= (uint32_t)BIT(f);
    } else if (now > *last) {
        increase = now - *last;
        *last = now;
    } else if (p->restored && (restarts_lower || f == FIELD_VOLUNTARY_SWITCHES ||
                               f == FIELD_INVOLUNTARY_SWITCHES || f == FIELD_RUN_QUEUE_WAIT_NS)) {
        /* sums over threads begin again at 0 when we do */
        *last = now;
    }
    /* otherwise keep the highest: after a dip nothing may be counted twice */
    return increase;
}

static uint64_t part_of(uint64_t whole, uint64_t share, uint64_t of) {
    return (uint64_t)((unsigned __int128)whole * share / of);
}

/* As the kernel does it for /proc/PID/stat: like the ticks, but so that neither part ever
 * falls. */
void divide_cpu_time(const struct process *p, struct sample *s) {
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

/* What only macOS tells: own use, all of it. */
static void credit_darwin(struct round *round, process_id id, const struct sample *s) {
    struct counting *c = &round->t->counting;
    struct process *p = proctable_at(&c->table, id);
    for (uint64_t left = s->have & DARWIN_FIELDS; left; left &= left - 1) {
        const enum field f = (enum field)__builtin_ctzll(left);
        uint64_t *last = proctable_last(&c->table, id, f);
        tallies_credit(&c->tallies, p->group, f, take_increase(p, last, s, f, false, false));
    }
}

int credit(struct round *round, process_id id, struct sample *s) {
    const struct tally *t = round->t;
    struct counting *c = &round->t->counting;
    struct process *p = proctable_at(&c->table, id);
    /* first of all: once increases are taken they must be credited */
    int r = fold_reserve(&c->fold);
    if (r < 0)
        return r;
    divide_cpu_time(p, s);
    const bool lifetimes = t->count_lifetimes && !c->progress.started;
    const uint64_t known = s->have >> FIELD_FOLDED_FIRST & (BIT(FIELD_FOLDED) - 1);
    uint64_t folded[FIELD_FOLDED] = {0}, waited_for = 0;
    if (c->table.keeps_darwin_fields)
        credit_darwin(round, id, s);
    for (uint64_t left = s->have & COUNTER_FIELDS & ~DARWIN_FIELDS; left; left &= left - 1) {
        const enum field f = (enum field)__builtin_ctzll(left);
        if (p->have & BIT(f) && p->last[f] == s->value[f])
            continue; /* as most are, of most processes */
        const uint64_t increase =
            take_increase(p, &p->last[f], s, f, lifetimes, t->source->restarts_lower);
        if (f < FIELD_FOLDED_FIRST) {
            if (increase)
                tallies_credit(&c->tallies, p->group, f, increase);
            continue;
        }
        folded[f - FIELD_FOLDED_FIRST] = increase;
        if (f <= FIELD_CMAJFLT)
            waited_for |= increase;
    }
    /* from now on a dip is one, and no new beginning: of all that does not come late */
    if (p->restored && !(t->source->known_late & p->have & ~s->have))
        p->restored = false;
    if (waited_for || p->pending)
        return fold_increase(&c->fold, &c->table, id, folded, known);
    /* It has reaped nobody: every child has page faults, which would have become
     * its own. So what it read and wrote was all its own. (Should a child have had
     * none, what was credited to it is pending, and taken off the next time.) */
    for (size_t k = 0; k < FIELD_FOLDED; k++)
        if (folded[k])
            tallies_credit(&c->tallies, p->group, FIELD_FOLDED_FIRST + (enum field)k, folded[k]);
    return 0;
}

int credit_until_exec(struct round *round, process_id id, const struct sample *s, bool is_new) {
    struct process *p = proctable_at(&round->t->counting.table, id);
    struct sample since = *s->since_exec;
    if (s->until_exec && !is_new) {
        struct sample until = *s->until_exec;
        int r = credit(round, id, &until);
        if (r < 0)
            return r;
    }
    divide_cpu_time(p, &since);
    for (enum field f = 0; f < FIELD_DARWIN_FIRST; f++)
        if (since.have & BIT(f) && (!(p->have & BIT(f)) || since.value[f] > p->last[f])) {
            p->last[f] = since.value[f];
            p->have |= (uint32_t)BIT(f);
        }
    return 0;
}

/* ---- Threads by name -------------------------------------------------------------------- */

/* Of those that ran. Where a thread waits stays the same while it does. */
static int read_channels(struct round *round, struct process *p) {
    struct source *source = round->t->source;
    struct thread_counting *c = &round->t->counting.tallies.threads;
    struct thread *thread;
    char channel[THREAD_NAME_MAX];
    size_t at = 0;
    int r = 0;
    while (r == 0 && (thread = channels_next(p->thread_list, c, p->pid, &at))) {
        const ssize_t n = source->ops->wait_channel(source, p->pid, thread->tid, channel,
                                                    sizeof(channel));
        r = channels_set(p->thread_list, c, thread, channel, n > 0 ? (size_t)n : 0);
    }
    return r;
}

static struct thread_moment moment_of(const struct round *round, const struct process *p) {
    const struct progress *progress = &round->t->counting.progress;
    const uint64_t tick_ns = round->t->source->tick_ns;
    return (struct thread_moment){
        .now_ticks = round->boot_ns / tick_ns,
        .now_s = round->boot_s,
        .since_ticks = progress->started ? progress->scan_boot_ns / tick_ns : 0,
        .from_birth = p->from_birth && !p->threads_unseen,
    };
}

int credit_threads(struct round *round, struct process *p, const struct sample *s) {
    struct tallies *tallies = &round->t->counting.tallies;
    const struct thread_moment moment = moment_of(round, p);
    if (p->group == GROUP_LEFT_OUT) {
        p->threads_unseen = true;
        return p->thread_list ? threads_join(p->thread_list, &tallies->threads, NULL) : 0;
    }
    struct thread_names *names = tallies_thread_names(tallies, p->group);
    if (names && !p->thread_list)
        p->thread_list = thread_list_new();
    if (!names || !p->thread_list)
        return -ENOMEM;
    int r = threads_join(p->thread_list, &tallies->threads, names);
    if (r == 0 && s->threads)
        r = threads_take(p->thread_list, &tallies->threads, s, &moment);
    names->unknown += !p->thread_list->whole;
    return r == 0 && tallies->threads.shown & CHANNELS_SHOWN ? read_channels(round, p) : r;
}

struct thread_ends {
    struct round *round;
    bool for_good;
    int r;
};

/* At first it is the turn of processes that were read before this collection: such a one is in
 * the group that it was in then, and may have ended. One that is new is known later. */
static bool credit_thread_end(void *data, const struct thread_end *end) {
    struct thread_ends *ends = data;
    struct counting *c = &ends->round->t->counting;
    struct thread_sample thread = end->thread;
    const process_id id = proctable_find_incarnation(&c->table, end->pid, end->start_ticks);
    const struct process *p = id == NO_PROCESS ? NULL : proctable_at(&c->table, id);
    if (ends->r < 0 || !p || !p->thread_list || (!p->thread_list->began_ticks && !ends->for_good))
        return ends->r == 0 && ends->for_good;
    if (thread.tid == 0) /* since the list before; of a new process who knows */
        thread.start_ticks = ends->for_good ? 0 : moment_of(ends->round, p).since_ticks;
    ends->r = threads_take_end(p->thread_list, &c->tallies.threads, &thread);
    return ends->r == 0;
}

int credit_thread_ends(struct round *round, bool for_good) {
    struct source *source = round->t->source;
    struct thread_ends ends = {.round = round, .for_good = for_good};
    if (round->t->counting.tallies.threads.is_on && source->ops->thread_ends)
        source->ops->thread_ends(source, credit_thread_end, &ends);
    return ends.r;
}
