/* SPDX-License-Identifier: MIT */
#include "watching.h"

#include "figures.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* CPU time by which another account may be ahead of what was waited for, or behind it, by
 * rounding. More of it is that of processes whose parents ignore SIGCHLD: of them nothing else
 * is known either. */
#define UNWAITED_NS (2 * NS_PER_MS)
/* What the kernel tells of an end arrives a little later (see core/collector/unseen.c). */
#define SETTLE_TRIES 15
#define SETTLE_NS (20 * NS_PER_MS)

static void write_exit(FILE *to, void *data) {
    const struct watch *w = data;
    const struct summary *s = &w->summary;
    fprintf(to, "{\"kind\":\"exit\",\"ts_ms\":%" PRIu64 ",\"pid\":%ld",
            now_ns(CLOCK_REALTIME) / NS_PER_MS, (long)w->tree.roots[0]);
    if (s->has_ended)
        fprintf(to, ",\"exit_code\":%d", s->exit_code);
    if (s->signal_number)
        fprintf(to, ",\"signal\":%d", s->signal_number);
    fprintf(to, ",\"wall_s\":%.6f,\"orphans_left\":%" PRIu64 "}\n",
            (double)s->wall_ns / (double)NS_PER_S, s->orphans_left);
}

static void write_summary(FILE *to, void *data) {
    const struct watch *w = data;
    summary_json(to, &w->summary);
}

static uint64_t count_orphans(struct watch *w, struct figures *alive, bool *ret_all_readable) {
    uint64_t orphans = 0;
    *ret_all_readable = true;
    if (!w->root_ended) /* they still have their parents */
        return 0;
    for (size_t i = 0; i < w->tree.count; i++) {
        const pid_t pid = w->tree.items[i].pid;
        if (tree_begins_with(&w->tree, pid) || (kill(pid, 0) < 0 && errno == ESRCH))
            continue;
        orphans++;
        if (figures_add_alive(alive, pid) < 0)
            *ret_all_readable = false;
    }
    return orphans;
}

static bool is_bpf(const struct watch *w) {
    return strcmp(w->summary.source, "bpf") == 0;
}

/* Did samples see something that nobody waited for? Of that they saw a part at most. Source bpf
 * counts it all, by other rules. */
static bool has_seen_more_than_waited(const struct watch *w) {
    struct figures seen;
    if (is_bpf(w))
        return false;
    figures_of_snapshot(w->snapshot, &seen);
    for (enum figure f = 0; f < FIGURES; f++)
        if (seen.known & w->waited.known & ~FIGURES_CPU & FIGURE(f) &&
            seen.value[f] > w->waited.value[f])
            return true;
    return figures_cpu_ns(&seen) > figures_cpu_ns(&w->waited) + UNWAITED_NS;
}

/* All that was ever in it, whoever waited for it. */
static void settle_cgroup(struct watch *w) {
    struct job_usage usage;
    job_cgroup_read(&w->cgroup, &usage);
    w->summary.cgroup_peak_bytes = usage.peak_bytes;
    if (!usage.has_cpu)
        return;
    const struct figures figures = {
        .value = {[FIGURE_CPU_USER] = usage.user_ns, [FIGURE_CPU_SYSTEM] = usage.system_ns},
        .known = FIGURES_CPU,
        .exact = FIGURES_CPU,
    };
    if (figures_cpu_ns(&figures) > figures_cpu_ns(&w->waited) + UNWAITED_NS) {
        w->has_waited_for_all = false;
        w->waited.exact = 0;
    }
    const bool has_all = figures_cpu_ns(&figures) + UNWAITED_NS >= figures_cpu_ns(&w->waited);
    figures_take_larger(&w->waited, &figures);
    if (has_all) /* whatever was waited for */
        w->waited.exact |= FIGURES_CPU;
}

/* Some kernels drop a few events: of a process that was neither seen to begin nor to end
 * nothing is counted, and nobody says so. But then CPU time is missing. */
static bool has_all_cpu_time(const struct watch *w, const struct figures *figures) {
    return figures_cpu_ns(figures) + w->unfollowed_ns >= figures_cpu_ns(&w->waited);
}

/* What the collector has, and what the kernel says of all that was waited for: neither is
 * ever too much, and together they are all there was, unless it says otherwise. */
static void settle_figures(struct watch *w) {
    struct figures alive = {0};
    uint64_t lost;
    bool all_readable;
    w->summary.orphans_left = count_orphans(w, &alive, &all_readable);
    if (w->is_run) {
        (void)figures_add_waited_io(&w->waited);
        for (enum figure f = 0; f < FIGURES; f++)
            w->waited.value[f] -= w->waited_before.value[f];
        for (enum figure f = 0; f < FIGURES; f++)
            if (alive.known & FIGURE(f)) {
                w->waited.value[f] += alive.value[f];
                w->waited.known |= FIGURE(f);
            }
        /* what is left may have forked since it was looked at */
        if (all_readable && !has_children() && !w->ignores_children &&
            !has_seen_more_than_waited(w))
            w->waited.exact = w->waited.known;
    }
    w->has_waited_for_all = w->waited.exact != 0;
    const uint64_t waited_ns = figures_cpu_ns(&w->waited);
    settle_cgroup(w);
    struct figures *figures = &w->summary.figures;
    for (int i = 0;; i++) {
        figures_of_snapshot(w->snapshot, figures);
        if (!is_bpf(w) || !w->root_ended || i == SETTLE_TRIES ||
            (w->root_end_told && (!w->is_run || has_all_cpu_time(w, figures))))
            break;
        nanosleep(&(struct timespec){.tv_nsec = (long)SETTLE_NS}, NULL);
        if (watch_take_changes(w) < 0)
            break;
    }
    if (w->is_run && figures->known & FIGURE(FIGURE_STARTS))
        figures->value[FIGURE_STARTS]++; /* the command itself, which was there before */
    if (is_bpf(w) && (!w->is_run || has_all_cpu_time(w, figures)) &&
        (!tally_snapshot_value(w->snapshot, 0, w->lost_events, &lost) || lost == 0)) {
        figures->exact = figures->known;
        w->summary.programs_are_exact = true;
    }
    if (w->is_run && figures_cpu_ns(figures) > waited_ns + UNWAITED_NS)
        w->has_waited_for_all = false;
    if (w->is_run) {
        figures_take_larger(figures, &w->waited);
        /* it is all there was: a collector that saw as much saw all */
        for (enum figure f = 0; f < FIGURES; f++)
            if (w->waited.exact & FIGURE(f) && w->waited.value[f] >= figures->value[f])
                figures->exact |= FIGURE(f);
    }
}

static int by_cpu(const void *a, const void *b) {
    const struct program *x = a, *y = b;
    return x->cpu_ns != y->cpu_ns ? x->cpu_ns < y->cpu_ns ? 1 : -1
           : x->count != y->count ? x->count < y->count ? 1 : -1
                                  : strcmp(x->name, y->name);
}

static void list_programs(struct watch *w) {
    const tally_snapshot *s = w->snapshot;
    const size_t groups = tally_snapshot_groups(s);
    w->summary.programs = calloc(groups ? groups : 1, sizeof(*w->summary.programs));
    for (size_t group = 0; w->summary.programs && group < groups; group++) {
        uint64_t user = 0, system = 0, exits = 0, alive = 0;
        tally_snapshot_value(s, group, w->cpu_user, &user);
        tally_snapshot_value(s, group, w->cpu_system, &system);
        tally_snapshot_value(s, group, w->exits, &exits);
        tally_snapshot_value(s, group, w->processes, &alive);
        if (exits + alive + user + system == 0)
            continue;
        const struct program *largest = watch_largest(w, tally_snapshot_group_name(s, group));
        char *name = strdup(tally_snapshot_group_name(s, group));
        if (!name)
            break;
        w->summary.programs[w->summary.program_count++] = (struct program){
            .name = name,
            .count = exits + alive,
            .cpu_ns = user + system,
            .largest_rss_bytes = largest ? largest->largest_rss_bytes : 0,
        };
    }
    if (w->summary.programs)
        qsort(w->summary.programs, w->summary.program_count, sizeof(*w->summary.programs),
              by_cpu);
}

/* "bpf" or "procfs", as the metrics about the collector have it. */
void watch_finish(struct watch *w) {
    struct summary *s = &w->summary;
    if (!w->root_ended || w->options->waits_for_orphans)
        w->ended_ns = now_ns(CLOCK_MONOTONIC);
    watch_take_sample(w);
    if (w->is_run)
        watch_wait_for_command(w);
    for (int i = 0; w->has_more_ended && i < 100; i++)
        watch_wait_for_command(w);
    if (!w->snapshot)
        return;
    s->source = cli_source(w->snapshot);
    if (!s->source)
        s->source = "procfs"; /* nothing was seen of it */
    settle_figures(w);
    list_programs(w);
    s->wall_ns = w->ended_ns - w->begun_ns;
    s->processes_seen = w->tree.seen;
    s->largest_rss_is_exact = w->is_run && w->has_waited_for_all;
    /* samples may see a little more: the kernel counts pages by CPU, and adds up in steps */
    if (s->largest_rss_is_exact)
        s->largest_rss_bytes = w->waited_rss_bytes;
    else
        note_most(&s->largest_rss_bytes, w->waited_rss_bytes);
    s->own_cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    watch_emit(w, false, write_exit, w);
    watch_emit(w, false, write_summary, w);
    if (!w->options->is_quiet)
        summary_print(stderr, s);
}
