/* SPDX-License-Identifier: MIT */
#include "script.h"

#include "failing_memory.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct script script;

static struct text hand_out(char to[static 64], const char *text) {
    memset(to, '#', 64);
    memcpy(to, text, strlen(text));
    return (struct text){to, strlen(text)};
}

/* Of the last actor with that pid. */
static uint64_t start_of(uint32_t pid) {
    for (size_t i = script.actor_count; i-- > 0;)
        if (script.actors[i].pid == pid)
            return script.actors[i].start_ticks;
    return 0;
}

static void set_use(const struct use *use, struct sample *ret) {
    sample_set(ret, FIELD_UTIME_NS, use->user_ms * MS);
    sample_set(ret, FIELD_STIME_NS, use->system_ms * MS);
    sample_set(ret, FIELD_MINFLT, use->faults);
    sample_set(ret, FIELD_IO_READ_BYTES, use->read_bytes);
    if (!script.lacks_switches)
        sample_set(ret, FIELD_VOLUNTARY_SWITCHES, use->switches);
    if (use->wait_ms)
        sample_set(ret, FIELD_RUN_QUEUE_WAIT_NS, use->wait_ms * MS);
    ret->exact_cpu_ns = use->exact_ms * MS;
}

static struct source *ends_free(struct source *s) {
    (void)s;
    script.freed++;
    return NULL;
}

static int ends_list(struct source *s, bool in_full, const struct listed **ret_listed,
                     size_t *ret_count) {
    size_t count = 0;
    (void)s;
    for (size_t i = 0; i < script.actor_count; i++) {
        struct actor *a = &script.actors[i];
        if (a->gone)
            continue;
        size_t at = count++;
        for (; at > 0 && script.listed[at - 1].pid > a->pid; at--)
            script.listed[at] = script.listed[at - 1];
        script.listed[at] = (struct listed){
            a->pid, a->asleep && !in_full ? LISTED_ASLEEP : LISTED_ACTIVE, a->start_ticks};
        a->is_same = script.listed[at].state == LISTED_ASLEEP;
        a->shows_exec = a->executed;
        a->executed = false;
    }
    *ret_listed = script.listed;
    *ret_count = count;
    return 0;
}

static struct actor *find_actor(uint32_t pid) {
    for (size_t i = 0; i < script.actor_count; i++)
        if (script.actors[i].pid == pid && !script.actors[i].gone)
            return &script.actors[i];
    return NULL;
}

static int ends_open(struct source *s, const struct listed *listed, uint64_t activity,
                     struct sample *ret) {
    const uint32_t pid = listed->pid;
    struct actor *a = find_actor(pid);
    (void)s, (void)activity;
    if (!a)
        return -ESRCH;
    if (a->error)
        return a->error;
    if (a->is_same)
        return -EAGAIN;
    a->opened++;
    script.open = a;
    *ret = (struct sample){
        .pid = a->pid,
        .ppid = a->ppid,
        .start_ticks = a->start_ticks,
        .exec_marker = 2 * a->exec_marker + 1, /* always known */
        .uid = a->uid,
        .has_credentials = true,
        .is_kernel = a->is_kernel,
        .seen_from_birth = a->from_birth,
        .state = 'S',
        .comm_len = (uint8_t)strlen(a->comm),
        .ancestor_pid = a->ancestor_pid,
        .ancestor_start_ticks = start_of(a->ancestor_pid),
        .ancestor = a->ancestor,
    };
    memcpy(ret->comm, a->comm, ret->comm_len);
    set_use(&a->use, ret);
    sample_set(ret, FIELD_RSS_BYTES, a->rss_bytes);
    if (!a->shows_exec)
        return 0;
    script.since = (struct sample){.pid = pid};
    set_use(&a->since, &script.since);
    ret->since_exec = &script.since;
    if (a->was_listed) {
        script.until = (struct sample){.pid = pid};
        set_use(&a->until, &script.until);
        ret->until_exec = &script.until;
    }
    return 0;
}

static int ends_measure(struct source *s, struct sample *sample, struct measure_hints hints) {
    (void)s, (void)sample, (void)hints;
    return 0;
}

static struct text user_of(uint32_t uid) {
    static const struct text root = {"root", 4}, other = {"somebody", 8};
    return uid ? other : root;
}

static int ends_identify(struct source *s, const struct sample *sample, unsigned parts,
                         struct identity *ret) {
    (void)s, (void)parts;
    *ret = (struct identity){
        .pid = sample->pid,
        .ppid = sample->ppid,
        .start_ticks = sample->start_ticks,
        .uid = sample->uid,
        .has_credentials = true,
        .is_kernel = sample->is_kernel,
        .comm = hand_out(script.text_open, script.open->comm),
        .exe = {"/bin/it", 7}, /* no other has one */
        .user = user_of(sample->uid),
    };
    return 0;
}

static void ends_close(struct source *s) {
    (void)s;
}

static bool ends_next_ended(struct source *s, struct sample *ret) {
    (void)s;
    if (script.ended_at == script.ended_count)
        return false;
    const struct ended *e = &script.ended[script.ended_at++];
    *ret = (struct sample){
        .pid = e->pid, .start_ticks = e->start_ticks, .ending = (uint8_t)e->ending};
    set_use(&e->use, ret);
    return true;
}

static bool ends_next_unlisted(struct source *s, unsigned parts, struct unlisted_usage *ret) {
    (void)s;
    if (script.unlisted_at == script.unlisted_count)
        return false;
    const struct unlisted *u = &script.unlisted[script.unlisted_at++];
    *ret = (struct unlisted_usage){
        .identity = {.pid = u->pid,
                     .start_ticks = u->start_ticks,
                     .uid = u->uid,
                     .has_credentials = parts & IDENTITY_USER,
                     .comm = hand_out(script.text, u->comm),
                     .user = user_of(u->uid)},
        .known_pid = u->known_pid,
        .known_start_ticks = u->known_start_ticks ? u->known_start_ticks : start_of(u->known_pid),
        .is_known = u->is_known,
        .forked_only = u->forked_only,
        .ancestor = u->ancestor,
        .ended = u->ended,
    };
    set_use(&u->use, &ret->counters);
    ret->counters.ending = (uint8_t)u->ending;
    memcpy(ret->ended_by, u->ended_by, sizeof(ret->ended_by));
    memcpy(ret->traffic, u->traffic, sizeof(ret->traffic));
    return true;
}

static bool ends_ancestor(struct source *s, unsigned parts, struct unlisted_usage *ret) {
    (void)s, (void)parts;
    for (size_t i = 0; i < script.above_count; i++) {
        const struct above *a = &script.above[i];
        if (ret->ancestor == 0 || a->number != ret->ancestor)
            continue;
        *ret = (struct unlisted_usage){
            .identity = {.comm = hand_out(script.text_above, a->comm), .user = user_of(0)},
            .known_pid = a->known_pid,
            .known_start_ticks = start_of(a->known_pid),
            .ancestor = a->ancestor,
        };
        return true;
    }
    return false;
}

static void ends_health(struct source *s, struct source_health *ret) {
    (void)s;
    *ret = (struct source_health){.lost_events = script.lost,
                                  .sees_traffic = script.sees_traffic,
                                  .misses_old_sockets = script.misses_old_sockets,
                                  .endings = script.endings,
                                  .lacks_cgroups = script.lacks_cgroups};
    memcpy(ret->lacks, script.lacks, sizeof(ret->lacks));
    if (script.no_sockets)
        snprintf(ret->no_sockets.text, sizeof(ret->no_sockets.text), "%s", script.no_sockets);
    if (script.no_traffic)
        snprintf(ret->no_traffic.text, sizeof(ret->no_traffic.text), "%s", script.no_traffic);
}

static int ends_pss(struct source *s, uint32_t pid, struct pss *ret) {
    (void)s, (void)pid, (void)ret;
    return -ESRCH;
}

static int ends_sockets(struct source *s, const struct socket_use *use) {
    (void)s;
    for (size_t i = 0; i < script.actor_count; i++) {
        const struct actor *a = &script.actors[i];
        if (a->gone)
            continue;
        use->process(use->data, a->pid, a->start_ticks,
                     a->hides_sockets ? 0 : script.socket_kinds);
        for (size_t k = 0; k < script.socket_count; k++) {
            const struct open_socket *o = &script.sockets[k];
            const int r = o->pid == a->pid && !a->hides_sockets
                              ? use->socket(use->data, o->inode, o->kind)
                              : 0;
            if (r < 0)
                return r;
        }
    }
    return script.sockets_error;
}

static int ends_host(struct source *s, struct host_stat *ret) {
    *ret = (struct host_stat){.cpus = 4};
    s->boot_unix_ns = BOOT_TIME_S * NS_PER_S;
    return 0;
}

static const struct source_ops ends_ops = {
    .free = ends_free,
    .list = ends_list,
    .open = ends_open,
    .measure = ends_measure,
    .identify = ends_identify,
    .close = ends_close,
    .pss = ends_pss,
    .sockets = ends_sockets,
    .host = ends_host,
    .health = ends_health,
    .next_ended = ends_next_ended,
    .next_unlisted = ends_next_unlisted,
    .ancestor = ends_ancestor,
};

/* ---- Telling the story ----------------------------------------------------------- */

void script_open(void) {
    tree_open();
    script = (struct script){0};
    allocations = fail_allocation_at = 0;
}

tally *with_source(tally *t, const char *name) {
    script.source = (struct source){.ops = &ends_ops,
                                     .name = name,
                                     .ends = ENDS_BY_EVENTS,
                                     .restarts_lower = true,
                                     .tick_ns = 10 * MS};
    memcpy(script.source.boot_id, t->source->boot_id, sizeof(script.source.boot_id));
    t->source->ops->free(t->source);
    t->source = &script.source;
    return t;
}

struct actor *add_actor(struct actor a) {
    ck_assert_uint_lt(script.actor_count, 16);
    script.actors[script.actor_count] = a;
    return &script.actors[script.actor_count++];
}

void tell_end(const struct actor *a, struct use use) {
    ck_assert_uint_lt(script.ended_count, 16);
    script.ended[script.ended_count++] =
        (struct ended){a->pid, a->start_ticks, use, ENDING_UNKNOWN};
}

void end(struct actor *a, struct use use) {
    a->gone = true;
    tell_end(a, use);
}

void tell_unlisted(struct unlisted u) {
    ck_assert_uint_lt(script.unlisted_count, 16);
    script.unlisted[script.unlisted_count++] = u;
}

void add_above(struct above a) {
    ck_assert_uint_lt(script.above_count, 64);
    script.above[script.above_count++] = a;
}

const tally_snapshot *collect_at(tally *t, double seconds) {
    clock_set(seconds);
    const tally_snapshot *s = tree_collect(t);
    /* all of it was asked for; and there is room for more */
    ck_assert_uint_eq(script.ended_at, script.ended_count);
    ck_assert_uint_eq(script.unlisted_at, script.unlisted_count);
    script.ended_at = script.ended_count = script.unlisted_at = script.unlisted_count = 0;
    return s;
}

uint64_t count_of(tally *t, const char *group, enum metric metric) {
    return has_value(t, group, metric) ? value_of(t, group, metric) : 0;
}

uint64_t cpu_ns_of(tally *t, const char *group) {
    return count_of(t, group, METRIC_CPU_USER) + count_of(t, group, METRIC_CPU_SYSTEM);
}

uint64_t cpu_of(tally *t, const char *group) {
    uint64_t ns = cpu_ns_of(t, group);
    ck_assert_uint_eq(ns % MS, 0);
    return ns / MS;
}

uint64_t starts_of(tally *t, const char *group) {
    return value_of(t, group, METRIC_STARTS);
}
uint64_t exits_of(tally *t, const char *group) {
    return value_of(t, group, METRIC_EXITS);
}
