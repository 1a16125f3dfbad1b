/* SPDX-License-Identifier: MIT */
/* What a collection says about itself: its own metrics, and what a person should know. */
#include "collector/collector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void describe_coverage(struct round *round) {
    struct counting *c = &round->t->counting;
    const struct progress *before = &c->progress;
    if (round->has_host && before->has_host_busy && before->shown &&
        round->host.busy_ticks > before->host_busy_ticks) {
        uint64_t busy_ns =
            (round->host.busy_ticks - before->host_busy_ticks) * round->t->source->tick_ns;
        self_set(c, METRIC_SELF_COVERAGE, ratio_of((double)c->tallies.cpu_ns, (double)busy_ns));
    } else {
        c->self.known[METRIC_SELF_COVERAGE - METRIC_SELF_FIRST] = false;
    }
}

void describe_self(struct round *round) {
    struct tally *t = round->t;
    struct counting *c = &t->counting;
    const struct source_health *health = &round->health;
    self_set(c, METRIC_SELF_PARTIAL, health->is_partial);
    self_set(c, METRIC_SELF_GROUPS, c->tallies.order_count);
    self_set(c, METRIC_SELF_OVERFLOWED, c->tallies.refused.names);
    self_set(c, METRIC_SELF_THREADS_SKIPPED,
             health->threads_skipped + c->tallies.threads.skipped);
    if (t->source->ends == ENDS_BY_EVENTS)
        self_set(c, METRIC_SELF_LOST_EVENTS, health->lost_events + t->unknown_ends);
    self_set(c, METRIC_SELF_PATTERN_LIMITS, t->grouping.pattern_limits);
    self_set(c, METRIC_SELF_SOURCE_PROCFS, strcmp(t->source->name, "procfs") == 0);
    self_set(c, METRIC_SELF_SOURCE_BPF, strcmp(t->source->name, "bpf") == 0);
    if (strcmp(t->source->name, "darwin") == 0) /* no row where it can't be */
        self_set(c, METRIC_SELF_SOURCE_DARWIN, 1);
    describe_coverage(round);
    self_set(c, METRIC_SELF_DURATION, clock_ns(t, CLOCK_MONOTONIC) - round->mono_ns);
    self_set(c, METRIC_SELF_CPU, clock_ns(t, CLOCK_THREAD_CPUTIME_ID) - round->cpu_ns);
}

/* What comes and goes from one collection to the next has gone away after this. */
#define LAPSE_S 600u

static void add_text(struct tally_error *to, size_t *len, const char *before, const char *text,
                     const char *after) {
    if (*len < sizeof(to->text))
        *len += (size_t)snprintf(to->text + *len, sizeof(to->text) - *len, "%s%s%s", before, text,
                                 after);
}

/* The names with most processes of those that did not fit. */
static void name_largest(const struct refused *refused, struct tally_error *ret) {
    const struct refused_name *largest[3];
    const size_t count = refused_largest(refused, largest, 3);
    size_t len = 0;
    ret->text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char number[40];
        const uint64_t processes = largest[i]->processes - largest[i]->excess;
        snprintf(number, sizeof(number), " (%llu %s)", (unsigned long long)processes,
                 processes == 1 ? "process" : "processes");
        add_text(ret, &len, i ? ", " : "; most of it is ", largest[i]->name, number);
    }
}

/* The processes that came since the last time, and those that were there before. */
static void judge_overflow(struct round *round) {
    struct tally *t = round->t;
    const struct tallies *tallies = &t->counting.tallies;
    const bool is_full = tallies->count - tallies->own_count >= tallies->limit ||
                         tallies->own_count >= tallies->own_limit;
    const bool has_others =
        tallies->other && tallies->groups[tallies->other]->value[METRIC_PROCESSES] > 0;
    const bool refused = tallies->refused.processes != t->notices.refused_before;
    t->notices.refused_before = tallies->refused.processes;
    if (!refused && !(is_full && has_others && notice_is_up(&t->notices, NOTICE_OVERFLOW))) {
        notice_lapse(&t->notices, NOTICE_OVERFLOW, round->boot_s, LAPSE_S);
        return;
    }
    notice_hold(&t->notices, NOTICE_OVERFLOW, round->boot_s);
    struct tally_error largest;
    name_largest(&tallies->refused, &largest);
    notice_raise(&t->notices, NOTICE_OVERFLOW,
                 "there are more groups than max-groups (%llu), the rest is counted in the "
                 "group \"other\"%s",
                 (unsigned long long)t->settings.max_groups, largest.text);
}

/* Without traffic all groups are equal, and the larger ones are shown. */
static void judge_top(struct round *round) {
    struct tally *t = round->t;
    if (t->settings.top_by == TOP_BY_NETWORK && !round->health.sees_traffic)
        notice_raise(&t->notices, NOTICE_TOP,
                     "top goes by network, which is not seen here: the groups that have most "
                     "memory are shown");
    else
        notice_clear(&t->notices, NOTICE_TOP);
}

static void judge_patterns(struct round *round) {
    struct tally *t = round->t;
    const bool gave_up = t->grouping.pattern_limits != t->notices.pattern_limits_before;
    t->notices.pattern_limits_before = t->grouping.pattern_limits;
    if (!gave_up) {
        notice_lapse(&t->notices, NOTICE_PATTERN_LIMIT, round->boot_s, LAPSE_S);
        return;
    }
    notice_hold(&t->notices, NOTICE_PATTERN_LIMIT, round->boot_s);
    notice_raise(&t->notices, NOTICE_PATTERN_LIMIT,
                 "a regular expression took too many steps on a command line and was given up");
}

static void judge_rights(struct round *round) {
    struct tally *t = round->t;
    const struct source_health *health = &round->health;
    /* where every right is there, the kernel closes a few all the same: no news */
    const bool lacks_rights = round->partly_unreadable && health->lacks_rights;
    /* one line is enough for both */
    const bool lacks_threads = health->reads_by_thread && !health->lacks_rights;
    if (!lacks_rights && !lacks_threads) {
        notice_lapse(&t->notices, NOTICE_NOT_READABLE, round->boot_s, LAPSE_S);
        return;
    }
    notice_hold(&t->notices, NOTICE_NOT_READABLE, round->boot_s);
    if (lacks_rights)
        notice_raise(&t->notices, NOTICE_NOT_READABLE,
                     "%llu of %llu processes can't be read fully (I/O, file descriptors …): that "
                     "needs %s%s",
                     (unsigned long long)round->partly_unreadable,
                     (unsigned long long)self_now(&t->counting, METRIC_SELF_PROCESSES),
                     t->source->full_rights ? t->source->full_rights
                                            : "root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
                     health->reads_by_thread
                         ? ", and context switches of ended threads CAP_NET_ADMIN"
                         : "");
    else
        notice_raise(&t->notices, NOTICE_NOT_READABLE,
                     "context switches and delays are read thread by thread, and those of ended "
                     "threads are lost: CAP_NET_ADMIN is missing");
}

/* What the kernel was built without, by the metrics that this costs. */
static void judge_kernel(struct round *round) {
    const struct source_health *health = &round->health;
    struct tally_error text = {{0}};
    size_t len = 0;
    for (enum kernel_part part = 0; part < KERNEL_PARTS; part++) {
        for (enum field f = 0; f < FIELD_COUNTERS; f++)
            if (health->lacks[part] & BIT(f))
                add_text(&text, &len, len ? ", " : "",
                         metric_table[metric_of_counter(f)].metric.id, "");
        if (health->lacks[part])
            add_text(&text, &len, " (", kernel_part_name(part), ")");
    }
    if (health->lacks_cgroups)
        add_text(&text, &len, len ? ", " : "",
                 "groups by cgroup, unit and container (CONFIG_CGROUPS)", "");
    if (len)
        notice_raise(&round->t->notices, NOTICE_LACKS,
                     "absent, as this kernel was built without the options in brackets: %s",
                     text.text);
    else
        notice_clear(&round->t->notices, NOTICE_LACKS);
}

static void judge_sockets(struct round *round) {
    struct notices *notices = &round->t->notices;
    struct tally_error why = round->health.no_sockets;
    if (round->sockets_error == -E2BIG)
        snprintf(why.text, sizeof(why.text), "there are more than %u", SOCKETS_MOST);
    else if (round->sockets_error < 0 && !why.text[0])
        snprintf(why.text, sizeof(why.text), "%s", strerror(-round->sockets_error));
    if (!why.text[0]) {
        notice_lapse(notices, NOTICE_SOCKETS, round->boot_s, LAPSE_S);
        return;
    }
    notice_hold(notices, NOTICE_SOCKETS, round->boot_s);
    notice_raise(notices, NOTICE_SOCKETS, "sockets are missing: %s", why.text);
}

static const char *what_is_wrong(int error) {
    switch (error) {
    case -EBADMSG:
        return "it does not begin with the number of a process";
    case -EFBIG:
        return "it is too large for one";
    case -ENOTSUP:
        return "it is no regular file";
    default:
        return strerror(-error);
    }
}

static void judge_pid_files(struct round *round) {
    const struct pid_file *f = round->t->grouping.rules.pid_files.first;
    while (f && f->error == 0)
        f = f->next;
    if (f)
        notice_raise(&round->t->notices, NOTICE_PID_FILE,
                     "the pid file %.300s means nobody: %s; its rule matches no process", f->path,
                     what_is_wrong(f->error));
    else
        notice_clear(&round->t->notices, NOTICE_PID_FILE);
}

void raise_notices(struct round *round) {
    struct notices *notices = &round->t->notices;
    const struct source_health *health = &round->health;
    if (health->no_traffic.text[0])
        notice_raise(notices, NOTICE_TRAFFIC, "network traffic is not counted: %s",
                     health->no_traffic.text);
    else if (health->misses_old_sockets)
        notice_raise(notices, NOTICE_TRAFFIC,
                     "network traffic is not counted of sockets that were there before proctally: "
                     "whose they are could not be told");
    else
        notice_clear(notices, NOTICE_TRAFFIC);
    /* where bpf was to be had and is not, that is said already */
    if (round->t->settings.collect & 1u << COLLECT_EXITS && health->endings == 0 &&
        round->t->why_not_bpf.text[0] == '\0')
        notice_raise(notices, NOTICE_ENDINGS,
                     "how processes end is not counted: that needs source bpf");
    else
        notice_clear(notices, NOTICE_ENDINGS);
    judge_sockets(round);
    judge_kernel(round);
    if (health->is_partial)
        notice_raise(notices, NOTICE_PARTIAL,
                     "the mount options of /proc (hidepid, subset) hide processes from this user, "
                     "so the groups are not complete");
    else
        notice_clear(notices, NOTICE_PARTIAL);
    judge_rights(round);
    judge_overflow(round);
    judge_patterns(round);
    judge_top(round);
    judge_pid_files(round);
}
