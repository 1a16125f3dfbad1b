/* SPDX-License-Identifier: MIT */
/* The processes of a snapshot, where they are kept. */
#include "base/utf8.h"
#include "collector/collector.h"
#include "source/users.h"

#include <errno.h>
#include <stdlib.h>

static int by_pid(const void *a, const void *b) {
    const struct snapshot_process *x = a, *y = b;
    return x->shown.pid < y->shown.pid ? -1 : x->shown.pid > y->shown.pid;
}

/* The same process in the snapshot before; NULL: it was not there. */
static const struct snapshot_process *find_before(const struct round *round,
                                                  const struct process *p) {
    const tally_snapshot *before = round->t->snapshots.current;
    const struct snapshot_process key = {.shown = {.pid = (pid_t)p->pid}}, *found = NULL;
    if (before && before->process_count)
        found = bsearch(&key, before->processes, before->process_count, sizeof(key), by_pid);
    return found && found->start_ticks == p->start_ticks ? found : NULL;
}

/* A cleaned text among those of the snapshot: where it stands. */
static size_t add_text(struct buf *to, const char *text, size_t len) {
    const size_t at = to->len;
    utf8_clean(text, len, GROUP_NAME_MAX, to);
    buf_add_char(to, '\0');
    return at;
}

/* What a sample does not have when the process slept, or has another source. */
static void set_identity(struct round *round, struct snapshot_process *to,
                         const struct snapshot_process *before, const struct sample *s) {
    struct tally *t = round->t;
    struct buf *texts = &round->snapshot->texts;
    struct sample found;
    bool has_found = false;
    if (!before && (s->comm_len == 0 || !s->has_terminal))
        has_found = source_lookup(&t->io, t->settings.procfs, s->pid, &found) == 0 &&
                    found.start_ticks == to->start_ticks;
    if (s->comm_len)
        to->name = add_text(texts, s->comm, s->comm_len);
    else if (before)
        to->name = add_text(texts, before->shown.name, strlen(before->shown.name));
    else
        to->name = add_text(texts, has_found ? found.comm : "", has_found ? found.comm_len : 0);

    if (s->has_terminal)
        to->shown.terminal = s->terminal;
    else
        to->shown.terminal = before ? before->shown.terminal : has_found ? found.terminal : 0;

    to->user = NO_TEXT;
    if (s->has_credentials) {
        bool is_number; /* which is as good a name */
        const struct text user = users_name(t->users, s->uid, &is_number);
        to->shown.uid = s->uid;
        to->user = add_text(texts, user.at, user.len);
    } else if (before && before->shown.user) {
        to->shown.uid = before->shown.uid;
        to->user = add_text(texts, before->shown.user, strlen(before->shown.user));
    }
}

/* From what it had used by the last snapshot, or since birth. */
static void set_cpu_usage(const struct round *round, struct snapshot_process *to,
                          const struct snapshot_process *before, bool from_birth) {
    const uint64_t both = BIT(METRIC_CPU_USER) | BIT(METRIC_CPU_SYSTEM);
    if (round->shown_interval_ns == 0 || (to->known & both) != both ||
        (before ? (before->known & both) != both : !from_birth))
        return;
    const uint64_t now_ns = to->value[METRIC_CPU_USER] + to->value[METRIC_CPU_SYSTEM];
    const uint64_t before_ns =
        before ? before->value[METRIC_CPU_USER] + before->value[METRIC_CPU_SYSTEM] : 0;
    const double cpus = round->t->settings.cpu_mode_core || !round->has_host ? 1 : round->host.cpus;
    to->value[METRIC_CPU_USAGE] = ratio_of(now_ns > before_ns ? (double)(now_ns - before_ns) : 0,
                                           (double)round->shown_interval_ns * cpus);
    to->known |= BIT(METRIC_CPU_USAGE);
}

int show_process(struct round *round, process_id id, const struct sample *s,
                 uint64_t start_unix_ns) {
    const struct process *p = proctable_at(&round->t->counting.table, id);
    const struct snapshot_process *before = find_before(round, p);
    struct snapshot_process *to = snapshot_add_process(round->snapshot);
    if (!to)
        return -ENOMEM;
    *to = (struct snapshot_process){
        .shown = {.pid = (pid_t)p->pid,
                  .ppid = (pid_t)s->ppid,
                  .start_ns = start_unix_ns,
                  .state = s->state},
        .start_ticks = p->start_ticks,
        .id = id,
        .group_index = p->group,
    };
    set_identity(round, to, before, s);
    to->known = metrics_of_sample(s, start_unix_ns, to->value);
    /* of those that its last sample did not have, as it slept, too */
    for (enum field f = 0; f < FIELD_CUTIME_NS; f++)
        if (p->have & BIT(f)) {
            to->value[metric_of_counter(f)] = p->last[f];
            to->known |= BIT(metric_of_counter(f));
        }
    to->known &= ~round->t->counting.tallies.switched_off;
    set_cpu_usage(round, to, before, p->from_birth);
    return round->snapshot->texts.error;
}

/* When all of them, and their groups, are there. */
void finish_processes(struct round *round) {
    tally_snapshot *s = round->snapshot;
    const struct counting *c = &round->t->counting;
    for (size_t i = 0; i < s->process_count; i++) {
        struct snapshot_process *to = &s->processes[i];
        const struct process *p = proctable_at(&c->table, to->id);
        to->shown.name = s->texts.data + to->name;
        to->shown.user = to->user == NO_TEXT ? NULL : s->texts.data + to->user;
        to->shown.group = tallies_position(&c->tallies, to->group_index);
        if (p->pss_s) {
            to->value[METRIC_PSS] = p->pss_bytes;
            to->value[METRIC_PSS_AGE] = (round->boot_s - p->pss_s) * NS_PER_S;
            to->known |= BIT(METRIC_PSS) | BIT(METRIC_PSS_AGE);
        }
    }
    for (size_t i = 1; i < s->process_count; i++)
        if (s->processes[i - 1].shown.pid > s->processes[i].shown.pid) {
            qsort(s->processes, s->process_count, sizeof(*s->processes), by_pid);
            break;
        }
}
