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
    const tally_snapshot *before = snapshots_before(&round->t->snapshots);
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

static size_t add_same_text(struct buf *to, const char *text) {
    return text ? add_text(to, text, strlen(text)) : NO_TEXT;
}

static void set_terminal(struct snapshot_process *to, uint32_t terminal, bool leads_session,
                         bool in_foreground) {
    to->shown.terminal = terminal;
    to->shown.leads_session = leads_session;
    to->shown.in_foreground = in_foreground;
}

/* It is what it was in the snapshot before, as it slept since. */
static void copy_identity(struct round *round, struct snapshot_process *to,
                          const struct snapshot_process *before) {
    struct buf *texts = &round->snapshot->texts;
    to->name = add_same_text(texts, before->shown.name);
    to->user = add_same_text(texts, before->shown.user);
    to->shown.uid = before->shown.uid;
    set_terminal(to, before->shown.terminal, before->shown.leads_session,
                 before->shown.in_foreground);
}

static void set_identity(struct round *round, struct snapshot_process *to,
                         const struct snapshot_process *before, const struct sample *s) {
    struct tally *t = round->t;
    struct buf *texts = &round->snapshot->texts;
    if (to->is_recalled && before) {
        copy_identity(round, to, before);
        return;
    }
    /* A sleeper that no snapshot has shown yet; or of a source that does not tell the
     * terminal, which a process gets and loses while it is awake. */
    struct sample found = {0};
    if (!s->has_terminal &&
        (source_lookup(&t->io, t->settings.procfs, s->pid, to->is_recalled, &found) < 0 ||
         found.start_ticks != to->start_ticks))
        found = before ? (struct sample){.terminal = before->shown.terminal,
                                         .leads_session = before->shown.leads_session,
                                         .in_foreground = before->shown.in_foreground}
                       : (struct sample){0};
    const struct sample *who = to->is_recalled ? &found : s;
    const struct sample *where = s->has_terminal ? s : &found;
    to->name = add_text(texts, who->comm, who->comm_len);
    set_terminal(to, where->terminal, where->leads_session, where->in_foreground);
    to->user = NO_TEXT;
    if (who->has_credentials) {
        bool is_number; /* which is as good a name */
        const struct text user = users_name(t->users, who->uid, &is_number);
        to->shown.uid = who->uid;
        to->user = add_text(texts, user.at, user.len);
    }
}

/* Was it born after the snapshot before? Then all it has used is of the time since. */
static bool is_new(const struct round *round, const struct process *p) {
    const uint64_t tick_ns = round->t->source->tick_ns;
    return p->from_birth &&
           (p->start_ticks + 1) * tick_ns + round->shown_interval_ns >= round->boot_ns;
}

/* From what it had used by the last snapshot, or since birth. */
static void set_cpu_usage(const struct round *round, struct snapshot_process *to,
                          const struct snapshot_process *before, const struct process *p) {
    const metric_set both = METRIC_SET(METRIC_CPU_USER) | METRIC_SET(METRIC_CPU_SYSTEM);
    if (round->shown_interval_ns == 0 || (to->known & both) != both ||
        (before ? (before->known & both) != both : !is_new(round, p)))
        return;
    const uint64_t now_ns = to->value[METRIC_CPU_USER] + to->value[METRIC_CPU_SYSTEM];
    const uint64_t before_ns =
        before ? before->value[METRIC_CPU_USER] + before->value[METRIC_CPU_SYSTEM] : 0;
    const double cpus = round->t->settings.cpu_mode_core || !round->has_host ? 1 : round->host.cpus;
    to->value[METRIC_CPU_USAGE] = ratio_of(now_ns > before_ns ? (double)(now_ns - before_ns) : 0,
                                           (double)round->shown_interval_ns * cpus);
    to->known |= METRIC_SET(METRIC_CPU_USAGE);
}

/* Those that the kernel keeps apart from its children's. */
#define OWN_COUNTERS ((BIT(FIELD_CUTIME_NS) - 1) | (COUNTER_FIELDS & ~(BIT(FIELD_FOLDED_END) - 1)))

/* The counters that are read of a process. What was inherited or saved may have others. */
static uint64_t counters_read(const struct tally *t) {
    uint64_t fields = OWN_COUNTERS;
    if (!(t->settings.collect & 1u << COLLECT_CONTEXT_SWITCHES))
        fields &= ~(BIT(FIELD_VOLUNTARY_SWITCHES) | BIT(FIELD_INVOLUNTARY_SWITCHES) |
                    BIT(FIELD_SWITCHES));
    if (!(t->settings.collect & 1u << COLLECT_DELAYS))
        fields &= ~(BIT(FIELD_RUN_QUEUE_WAIT_NS) | BIT(FIELD_BLKIO_DELAY_NS));
    return fields;
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
                  .state = s->state,
                  .ignores_children = p->ignores_children,
                  .exec_marker = p->exec_marker},
        .start_ticks = p->start_ticks,
        .inode = round->t->source->marks_by_inode ? p->marker : 0,
        .id = id,
        .group_index = p->group,
        .is_recalled = !s->has_terminal && !s->has_credentials,
        .cmdline = NO_TEXT,
    };
    if (s->cmdline) {
        to->cmdline = round->snapshot->texts.len;
        to->cmdline_len = s->cmdline_len;
        buf_add(&round->snapshot->texts, s->cmdline, s->cmdline_len);
    }
    set_identity(round, to, before, s);
    /* counters as they were counted: also those that this sample does not have */
    struct sample whole = *s;
    const uint64_t have = p->have & counters_read(round->t);
    for (uint64_t left = have; left; left &= left - 1) {
        const enum field f = (enum field)__builtin_ctzll(left);
        sample_set(&whole, f, *proctable_last(&round->t->counting.table, id, f));
    }
    to->known = metrics_of_sample(&whole, start_unix_ns, to->value);
    to->known &= ~round->t->counting.tallies.switched_off;
    if (round->memory_bytes && to->known & METRIC_SET(METRIC_RSS)) {
        to->value[METRIC_MEMORY_USAGE] =
            ratio_of((double)to->value[METRIC_RSS], (double)round->memory_bytes);
        to->known |= METRIC_SET(METRIC_MEMORY_USAGE);
    }
    set_cpu_usage(round, to, before, p);
    return round->snapshot->texts.error;
}

/* What is kept of the ended: the rest was true only while they lived. */
static metric_set metrics_at_end(const struct round *round) {
    const struct tallies *tallies = &round->t->counting.tallies;
    return (tallies->counters | METRIC_SET(METRIC_RSS_PEAK)) & ~tallies->switched_off;
}

int show_ended(struct round *round, process_id id, uint32_t group,
               const struct unlisted_usage *usage, const struct sample *final) {
    const struct tally *t = round->t;
    struct buf *texts = &round->snapshot->texts;
    const struct process *p = id == NO_PROCESS ? NULL : proctable_at(&t->counting.table, id);
    const struct snapshot_process *before = p ? find_before(round, p) : NULL;
    const uint64_t start_ticks = p ? p->start_ticks : usage->identity.start_ticks;
    const uint64_t start_unix_ns = t->source->boot_unix_ns + start_ticks * t->source->tick_ns;
    struct snapshot_process *to = snapshot_add_ended(round->snapshot);
    if (!to)
        return -ENOMEM;
    *to = (struct snapshot_process){
        .shown = {.pid = (pid_t)(p ? p->pid : usage->identity.pid),
                  .ppid = (pid_t)(p ? p->ppid : 0),
                  .start_ns = start_unix_ns,
                  .state = 'X'},
        .start_ticks = start_ticks,
        .id = id,
        .group_index = group,
        .cmdline = NO_TEXT,
        .user = NO_TEXT,
    };
    if (before) {
        to->name = add_same_text(texts, before->shown.name);
        to->user = add_same_text(texts, before->shown.user);
        to->shown.uid = before->shown.uid;
    } else {
        to->name = p ? add_text(texts, "", 0)
                     : add_text(texts, usage->identity.comm.at, usage->identity.comm.len);
    }
    to->known = metrics_of_sample(final, start_unix_ns, to->value) & metrics_at_end(round);
    return texts->error;
}

/* Of one that slept since, the parent may have ended meanwhile: nobody has looked. */
static void update_parent(const struct round *round, struct snapshot_process *to,
                          const struct process *p) {
    const struct tally *t = round->t;
    const struct proctable *table = &t->counting.table;
    struct sample found;
    if (!to->is_recalled || to->shown.ppid == 0)
        return;
    process_id id = proctable_find_parent(table, p->ppid, p->start_ticks);
    if (!p->orphan && id != NO_PROCESS && proctable_at(table, id)->seen == t->counting.number)
        return;
    if (source_lookup(&t->io, t->settings.procfs, p->pid, false, &found) == 0 &&
        found.start_ticks == p->start_ticks)
        to->shown.ppid = (pid_t)found.ppid;
}

static void finish_process(struct round *round, struct snapshot_process *to) {
    const char *texts = round->snapshot->texts.data;
    to->shown.name = texts + to->name;
    to->shown.user = to->user == NO_TEXT ? NULL : texts + to->user;
    to->shown.group = tallies_position(&round->t->counting.tallies, to->group_index);
}

/* Their parents may have been visited out of turn. */
void sort_processes(struct round *round) {
    tally_snapshot *s = round->snapshot;
    for (size_t i = 1; i < s->process_count; i++)
        if (s->processes[i - 1].shown.pid > s->processes[i].shown.pid) {
            qsort(s->processes, s->process_count, sizeof(*s->processes), by_pid);
            break;
        }
}

struct snapshot_process *find_shown(const struct round *round, const struct process *p) {
    const tally_snapshot *s = round->snapshot;
    const struct snapshot_process key = {.shown = {.pid = (pid_t)p->pid}};
    struct snapshot_process *found = NULL;
    if (s->process_count)
        found = bsearch(&key, s->processes, s->process_count, sizeof(key), by_pid);
    return found && found->start_ticks == p->start_ticks ? found : NULL;
}

/* When all of them, and their groups, are there. */
void finish_processes(struct round *round) {
    tally_snapshot *s = round->snapshot;
    const struct counting *c = &round->t->counting;
    for (size_t i = 0; i < s->ended_count; i++)
        finish_process(round, &s->ended[i]);
    for (size_t i = 0; i < s->process_count; i++) {
        struct snapshot_process *to = &s->processes[i];
        const struct process *p = proctable_at(&c->table, to->id);
        finish_process(round, to);
        update_parent(round, to, p);
        if (p->pss_s && !p->pss_refused && round->t->settings.collect & 1u << COLLECT_PSS) {
            to->value[METRIC_PSS] = p->pss_bytes;
            to->value[METRIC_SWAP_PSS] = p->swap_pss_bytes;
            to->value[METRIC_PSS_AGE] = (round->boot_s - p->pss_s) * NS_PER_S;
            to->known |= METRIC_SET(METRIC_PSS) | METRIC_SET(METRIC_PSS_AGE);
            if (p->has_swap_pss)
                to->known |= METRIC_SET(METRIC_SWAP_PSS);
        }
    }
    sort_processes(round);
}
