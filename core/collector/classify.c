/* SPDX-License-Identifier: MIT */
/* Which group a process belongs to, and when to look again. */
#include "base/hash.h"
#include "collector/collector.h"

#include <errno.h>

/* A process can be moved to another cgroup without a trace in the files that
 * are read each time (source bpf tells), and a user without a name get one: look again, where
 * that decides about its group. */
#define IDENTITY_AGE_S 60u
/* The CPU time that long matches may take in one collection for each user. Anybody can
 * have arguments with which they take long, and new names, to be matched again. */
#define MATCHING_NS (50 * UINT64_C(1000000))
/* How far up to follow ancestors that were never listed. */
#define DEPTH_MAX 32
/* An execve(2) takes milliseconds, an end a little longer on a busy host. What is still in
 * the middle of it after this has no arguments for another reason. */
#define UNCLEAR_MOST_S 2u

bool has_stale_identity(const struct round *round, const struct process *p) {
    const unsigned needs = round->t->grouping.needs;
    const bool lacks_cgroup = needs & IDENTITY_CGROUP && !p->cgroups_marker;
    const bool lacks_name = needs & IDENTITY_NAMES && p->lacks_user_name;
    if (!lacks_cgroup && !lacks_name)
        return false;
    /* the pid spreads them: not all are due in the same collection */
    return (lacks_cgroup && !p->cgroup_settled) ||
           (round->boot_s + p->pid) / IDENTITY_AGE_S != (p->identified_s + p->pid) / IDENTITY_AGE_S;
}

bool needs_identity(const struct round *round, const struct process *p, const struct sample *s) {
    if (!p->classified || p->unsure)
        return true;
    if (s->exec_marker == 0) /* nobody can tell what it is now: it stays what it was */
        return false;
    if (p->exec_marker != s->exec_marker || p->comm_hash != hash_bytes(s->comm, s->comm_len))
        return true;
    if (s->has_credentials && (p->uid != s->uid || p->gid != s->gid) &&
        round->t->grouping.needs & (IDENTITY_NAMES | IDENTITY_PID_FILE))
        return true;
    if (p->cgroups_marker != s->cgroups_marker && round->t->grouping.needs & IDENTITY_CGROUP)
        return true;
    return has_stale_identity(round, p);
}

static void look_again(struct proctable *table, uint32_t pid) {
    process_id id = proctable_find(table, pid);
    if (id == NO_PROCESS)
        return;
    proctable_at(table, id)->unsure = true;
    proctable_at(table, id)->asleep = false;
}

void heed_pid_files(struct tally *t) {
    struct pid_files *files = &t->grouping.rules.pid_files;
    pid_files_read(files, &t->io);
    for (const struct pid_file *f = files->first; f; f = f->next)
        if (pid_file_has_changed(f)) {
            look_again(&t->counting.table, f->before.pid);
            look_again(&t->counting.table, f->now.pid);
        }
    t->wants_all |= files->changed;
    pid_files_settle(files);
}

/* ---- Within the time that matching may take ---------------------------------------------- */

static struct match_user *match_user_of(struct round *round, const struct identity *id) {
    struct match_user *user = round->match_users, *shared = user + MATCH_USERS;
    if (!id->has_credentials)
        return shared;
    while (user < shared && user->used_ns && user->uid != id->uid)
        user++;
    user->uid = id->uid;
    return user;
}

/* With group-by pid a group is named by a number, which may have been another process's
 * before: that one's group makes place, so that this one begins with its own labels and
 * with 0. What the other did at last is then nobody's: it can't be shown any more. */
static void retire_namesakes(struct tally *t, struct group_owner owner) {
    const struct proctable *table = &t->counting.table;
    /* a rule may have put the last one elsewhere, so that the one before has the group still */
    for (uint64_t start_ticks = owner.start_ticks; owner.pid && start_ticks;) {
        process_id id = proctable_find_parent(table, owner.pid, start_ticks - 1);
        if (id == NO_PROCESS)
            return;
        struct process *p = proctable_at(table, id);
        const struct group_owner before = {p->pid, p->start_ticks};
        if (tallies_retire(&t->counting.tallies, p->group, before))
            p->group = GROUP_LEFT_OUT;
        start_ticks = p->start_ticks;
    }
}

/* Decides on the group, and creates it if there is none. *ret_lineage is what children
 * inherit. -EAGAIN: the user's matching budget is used up, and the process may be put off
 * until the next collection, which has a fresh one. -ENOMEM. */
static int find_group(struct round *round, const struct identity *id, struct lineage ancestors,
                      bool may_defer, uint32_t *ret_group, struct lineage *ret_lineage) {
    struct tally *t = round->t;
    struct match_user *user = match_user_of(round, id);
    const bool has_all = user->used_ns == 0;
    struct match_time time = {.left_ns = MATCHING_NS - user->used_ns,
                              .may_defer = may_defer && !has_all};
    struct decision decision;
    struct identity named;
    if (t->containers) {
        named = *id;
        id = &named;
        /* for want of descriptors as for want of memory: later it may be known */
        if (containers_name(t->containers, &named) < 0)
            return -ENOMEM;
    }
    int r = grouping_decide(&t->grouping, id, ancestors, &time, &decision, NULL);
    user->used_ns = MATCHING_NS - time.left_ns;
    round->unsure |= time.ran_out && !has_all;
    if (r == 0)
        retire_namesakes(t, decision.owner);
    if (r == 0)
        r = decision_group(&decision, &t->counting.tallies, ret_group);
    if (r == 0)
        round->decided_by = decision.by;
    if (r == 0)
        *ret_lineage = decision_lineage(&t->grouping, &decision, ancestors, *ret_group);
    return r;
}

/* ---- Ancestors ------------------------------------------------------------------------------ */

static struct lineage lineage_of(const struct process *p) {
    return (struct lineage){
        .group = p->lineage, .is_followed = p->followed, .parents = p->lineage_parents};
}

/* What a process inherits from ancestors that may have come and gone between two lists.
 * -ENOMEM. */
static int find_lineage(struct round *round, const struct unlisted_usage *of, int depth,
                        struct lineage *ret) {
    struct tally *t = round->t;
    struct proctable *table = &t->counting.table;
    struct lineage above, found = {0};
    uint32_t unused;
    process_id id = proctable_find_known(table, of->known_pid, of->known_start_ticks);
    if (id != NO_PROCESS)
        found = lineage_of(proctable_at(table, id));
    struct unlisted_usage ancestor = *of;
    *ret = found;
    if (!grouping_needs_lineage(&t->grouping) || depth >= DEPTH_MAX ||
        !t->source->ops->ancestor(t->source, t->grouping.needs, &ancestor))
        return 0;
    int r = find_lineage(round, &ancestor, depth + 1, &above);
    /* asking for the ancestor's ancestor has overwritten the texts: ask again */
    ancestor = *of;
    if (r == 0 && t->source->ops->ancestor(t->source, t->grouping.needs, &ancestor))
        r = find_group(round, &ancestor.identity, above, false, &unused, ret);
    return r;
}

/* What it inherits from the process that started it, even if that has ended. *ret_is_early:
 * it may be more once that is known. -ENOMEM. */
static int inherit(struct round *round, struct process *p, const struct sample *s,
                   bool *ret_is_early) {
    const struct proctable *table = &round->t->counting.table;
    struct lineage lineage = {0};
    if ((!p->classified || p->unsure) && (s->ancestor_pid || s->ancestor)) {
        const struct unlisted_usage of = {.known_pid = s->ancestor_pid,
                                          .known_start_ticks = s->ancestor_start_ticks,
                                          .ancestor = s->ancestor};
        int r = find_lineage(round, &of, 0, &lineage);
        if (r < 0)
            return r;
    }
    /* An orphan keeps what it has: it inherits nothing from the process that adopted it. */
    const bool is_orphan = p->orphan || p->adopted || (p->classified && p->ppid != s->ppid);
    process_id id = is_orphan ? NO_PROCESS : proctable_find_parent(table, p->ppid, p->start_ticks);
    const struct process *parent = id == NO_PROCESS ? NULL : proctable_at(table, id);
    if (parent && parent != p) {
        if (lineage.group == 0)
            lineage.group = parent->lineage;
        lineage.is_followed |= parent->followed;
        lineage.parents |= parent->lineage_parents;
        /* after a restart the parent may come later, and be what a new rule asks for */
        *ret_is_early = p->restored && !parent->classified &&
                        round->t->grouping.rules.parent_count;
    }
    p->inherited_parents |= lineage.parents;
    if (lineage.group)
        p->inherited = lineage.group;
    p->followed |= lineage.is_followed ||
                   grouping_begins_with(&round->t->grouping, p->pid, s->ppid, p->start_ticks);
    return 0;
}

/* ---- A process that is listed ----------------------------------------------------------------- */

/* Can nobody tell what it is just now? In the middle of execve(2) a process has its new
 * name but no arguments yet; near its end it has none left. */
static bool is_unclear(const struct round *round, struct process *p, const struct sample *s,
                       const struct identity *id) {
    const bool is_zombie = s->state == 'Z' || s->state == 'X';
    /* a source that tells of ends counts it as known from now on: no second chance */
    const bool must_tell = round->t->source->ends == ENDS_BY_EVENTS && !p->classified;
    if (is_zombie || must_tell || !(s->exec_marker == 0 || id->lacks_arguments)) {
        p->unclear_s = 0;
        return false;
    }
    /* in the first collection this is believed of young processes only, or a run by cron
     * would leave out what has no arguments for good */
    const uint64_t born_ns = p->start_ticks * round->t->source->tick_ns;
    if (!round->t->counting.progress.started &&
        born_ns + UNCLEAR_MOST_S * NS_PER_S < round->boot_ns)
        return false;
    if (p->unclear_s == 0)
        p->unclear_s = round->boot_s;
    return round->boot_s - p->unclear_s < UNCLEAR_MOST_S;
}

int classify(struct round *round, struct process *p, struct sample *s) {
    struct tally *t = round->t;
    struct identity id;
    bool is_early = false;
    int r = t->source->ops->identify(t->source, s, t->grouping.needs, &id);
    if (r < 0)
        return r;
    /* before all else: its children may be asked about next */
    r = inherit(round, p, s, &is_early);
    if (r < 0)
        return r;
    if (is_unclear(round, p, s, &id)) {
        t->wants_all = true; /* it is looked at again though it may sleep */
        /* one that was restored may have been pending then: in no group is not left out */
        return p->classified || (p->restored && p->group != GROUP_LEFT_OUT) ? 0 : 1;
    }
    if (id.refused)
        s->unreadable |= 1u << ORIGIN_IDENTITY;
    if (id.cmdline_cut)
        self_add(&t->counting, METRIC_SELF_CMDLINES_CUT, 1);
    /* the same program as before keeps its group until there is time to match again */
    uint32_t group = GROUP_LEFT_OUT;
    struct lineage lineage = {0};
    const bool is_same = p->classified && p->exec_marker == s->exec_marker;
    round->unsure = false;
    r = find_group(round, &id, (struct lineage){p->inherited, p->followed, p->inherited_parents},
                   is_same, &group, &lineage);
    if (r < 0 && r != -EAGAIN)
        return r;
    p->unsure = round->unsure || is_early;
    t->wants_all |= p->unsure;
    if (r == -EAGAIN)
        return 0;
    p->group = group;
    if (t->cgroup_files && note_cgroup(round, p, &id) < 0)
        return -ENOMEM;
    p->lineage = lineage.group;
    p->lineage_parents = lineage.parents;
    p->followed = lineage.is_followed;
    p->cgroup_settled = p->classified;
    p->classified = true;
    p->comm_hash = hash_bytes(s->comm, s->comm_len);
    p->exec_marker = s->exec_marker;
    p->cgroups_marker = s->cgroups_marker;
    p->uid = s->uid;
    p->gid = s->gid;
    p->is_kernel = s->is_kernel;
    p->lacks_user_name = id.lacks_user_name;
    p->identified_s = round->boot_s;
    return 0;
}

/* ---- Processes that no list has shown ------------------------------------------------------------ */

/* A process that was only forked is what the process was that it was forked from,
 * as far as it shows. */
static bool is_like(const struct process *p, const struct unlisted_usage *usage, unsigned needs) {
    return p->classified &&
           p->comm_hash == hash_bytes(usage->identity.comm.at, usage->identity.comm.len) &&
           (!(needs & IDENTITY_USER) || p->uid == usage->identity.uid) &&
           (!(needs & IDENTITY_GROUP) || p->gid == usage->identity.gid);
}

int classify_unlisted(struct round *round, struct unlisted_usage *usage, uint32_t *ret_group) {
    const struct tally *t = round->t;
    const struct proctable *table = &t->counting.table;
    process_id id = proctable_find_known(table, usage->known_pid, usage->known_start_ticks);
    const struct process *from = id == NO_PROCESS ? NULL : proctable_at(table, id);
    struct lineage ancestors, unused;
    if (from && (usage->is_known ||
                 (usage->forked_only && is_like(from, usage, t->grouping.needs)))) {
        *ret_group = from->group;
        return 0;
    }
    /* what a kernel thread forked and has not executed anything is one as well */
    usage->identity.is_kernel = from && usage->forked_only && from->is_kernel;
    /* looking for ancestors takes the texts away, but not this */
    if (usage->identity.cmdline_cut)
        self_add(&round->t->counting, METRIC_SELF_CMDLINES_CUT, usage->ended ? usage->ended : 1);
    int r = find_lineage(round, usage, 0, &ancestors);
    struct identity identity = usage->identity;
    identity.pid = 0; /* nobody's any more, nor has it a group of its own */
    if (r == 0)
        r = find_group(round, &identity, ancestors, false, ret_group, &unused);
    return r;
}
