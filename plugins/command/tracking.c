/* SPDX-License-Identifier: MIT */
#include "tracking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The end of a process is told a little after samples have ceased to show it; core/ gives it
 * up after as long. */
#define GONE_NS UINT64_C(15000000000)

bool tree_begins_with(const struct tree *tree, pid_t pid) {
    for (size_t i = 0; i < tree->root_count; i++)
        if (tree->roots[i] == pid)
            return true;
    return false;
}

bool tree_has(const struct tree *tree, const tally_snapshot *s, size_t i) {
    const struct tally_process *p = tally_snapshot_process(s, i);
    return p->group != TALLY_NO_GROUP && (!tree->excludes_children || tree_begins_with(tree, p->pid));
}

static void set_base(const struct tree *tree, struct tracked *to, const tally_snapshot *s,
                     size_t i) {
    for (size_t k = 0; k < tree->metric_count; k++)
        if ((tally_metric(tree->metrics[k])->kind != TALLY_KIND_COUNTER && k != tree->peak) ||
            !tally_snapshot_process_value(s, i, tree->metrics[k], &to->base[k]))
            to->base[k] = 0;
}

bool tree_value(const struct tree *tree, const struct tracked *process, const tally_snapshot *s,
                size_t i, size_t k, uint64_t *ret) {
    const uint64_t base = process->base[k];
    if (!tally_snapshot_process_value(s, i, tree->metrics[k], ret))
        return false;
    if (k == tree->peak)
        return base == 0 || *ret > base;
    *ret -= base < *ret ? base : *ret;
    return true;
}

static struct tracked tracked_of(const struct tally_process *p) {
    struct tracked to = {.pid = p->pid, .ppid = p->ppid, .start_ns = p->start_ns,
                         .exec_marker = p->exec_marker};
    strncpy(to.name, p->name, sizeof(to.name) - 1);
    return to;
}

static int reserve(struct tree *tree, size_t processes) {
    if (processes > tree->size) {
        struct tracked *items = realloc(tree->items, processes * sizeof(*items));
        if (items)
            tree->items = items;
        struct tracked *spare = realloc(tree->spare, processes * sizeof(*spare));
        if (spare)
            tree->spare = spare;
        if (!items || !spare)
            return -ENOMEM;
        tree->size = processes;
    }
    if (tree->gone_count + tree->count > tree->gone_size) {
        const size_t size = 2 * (tree->gone_count + tree->count);
        struct tracked *gone = realloc(tree->gone, size * sizeof(*gone));
        if (!gone)
            return -ENOMEM;
        tree->gone = gone;
        tree->gone_size = size;
    }
    return 0;
}

static void note_gone(struct tree *tree, const struct tracked *one, uint64_t now_ns) {
    struct tracked *to = &tree->gone[tree->gone_count++];
    *to = *one;
    to->gone_ns = now_ns;
}

static void forget_gone(struct tree *tree, uint64_t now_ns) {
    size_t left = 0;
    for (size_t i = 0; i < tree->gone_count; i++)
        if (now_ns - tree->gone[i].gone_ns < GONE_NS)
            tree->gone[left++] = tree->gone[i];
    tree->gone_count = left;
}

int tree_update(struct tree *tree, const tally_snapshot *s,
                void (*each_new)(void *data, const tally_snapshot *s, size_t i), void *data) {
    const size_t processes = tally_snapshot_processes(s);
    const uint64_t now_ns = tally_snapshot_time(s);
    size_t count = 0, before = 0;
    int r = reserve(tree, processes);
    if (r < 0)
        return r;
    forget_gone(tree, now_ns);
    for (size_t i = 0; i < processes; i++) {
        const struct tally_process *p = tally_snapshot_process(s, i);
        if (!tree_has(tree, s, i))
            continue;
        for (; before < tree->count && tree->items[before].pid < p->pid; before++)
            note_gone(tree, &tree->items[before], now_ns);
        const struct tracked *known =
            before < tree->count && tree->items[before].pid == p->pid ? &tree->items[before++]
                                                                      : NULL;
        struct tracked *now = &tree->spare[count++];
        const bool is_same = known && known->start_ns == p->start_ns;
        *now = tracked_of(p);
        if (is_same) {
            memcpy(now->base, known->base, sizeof(now->base));
            if (!now->exec_marker) /* it may be in the middle of execve(2) */
                now->exec_marker = known->exec_marker;
        } else {
            if (known)
                note_gone(tree, known, now_ns);
            if (tree->counts_from_now && p->start_ns < tree->begun_unix_ns)
                set_base(tree, now, s, i);
            tree->seen++;
        }
        /* the same name may be that of another script */
        const bool is_same_program = is_same && known->exec_marker == now->exec_marker &&
                                     strcmp(known->name, now->name) == 0;
        if (p->pid != tree->roots[0] && !is_same_program)
            each_new(data, s, i);
    }
    for (; before < tree->count; before++)
        note_gone(tree, &tree->items[before], now_ns);
    struct tracked *const old = tree->items;
    tree->items = tree->spare;
    tree->spare = old;
    tree->count = count;
    return 0;
}

struct tracked tree_ended(struct tree *tree, const tally_snapshot *s, size_t i) {
    const struct tally_process *p = tally_snapshot_process(s, i);
    for (size_t k = 0; k < tree->gone_count; k++)
        if (tree->gone[k].pid == p->pid && tree->gone[k].start_ns == p->start_ns) {
            const struct tracked found = tree->gone[k];
            tree->gone[k] = tree->gone[--tree->gone_count];
            return found;
        }
    struct tracked unseen = tracked_of(p);
    unseen.gone_ns = tally_snapshot_time(s);
    return unseen;
}

void tree_clear(struct tree *tree) {
    free(tree->items);
    free(tree->spare);
    free(tree->gone);
    *tree = (struct tree){0};
}
