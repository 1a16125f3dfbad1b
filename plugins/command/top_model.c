/* SPDX-License-Identifier: MIT */
#include "top_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NONE SIZE_MAX
#define BILLION UINT64_C(1000000000)
/* The kernel tells the start of a process in ticks, and the library puts the wall clock's
 * time to it anew each time. */
#define SAME_START_NS UINT64_C(10000000)
/* Less than what shows as 0.1 % is no row of its own. */
#define ENDED_ROW_FROM (BILLION / 2000)

#define IN_GROUPS (1u << TOP_GROUPS)
#define IN_PROCESSES (1u << TOP_PROCESSES)
#define IN_BOTH (IN_GROUPS | IN_PROCESSES)
#define ALIVE (TOP_GROUP | TOP_PROCESS)
#define ANY (TOP_GROUP | TOP_PROCESS | TOP_ENDED)

const struct top_column_info top_columns[TOP_COLUMNS] = {
    [TOP_PID] = {"PID", 7, 0, TOP_COUNT, IN_PROCESSES, TOP_PROCESS},
    [TOP_USER] = {"USER", 8, 40, TOP_TEXT, IN_PROCESSES, TOP_PROCESS},
    [TOP_STATE] = {"S", 1, 30, TOP_TEXT, IN_PROCESSES, TOP_PROCESS},
    [TOP_MEMBERS] = {"PROCS", 5, 30, TOP_COUNT, IN_GROUPS, TOP_GROUP},
    [TOP_THREADS] = {"THR", 5, 90, TOP_COUNT, IN_BOTH, ALIVE},
    [TOP_CPU] = {"CPU%", 6, 0, TOP_PERCENT, IN_BOTH, ANY},
    [TOP_ENDED_CPU] = {"ENDED%", 6, 40, TOP_PERCENT, IN_GROUPS, TOP_GROUP | TOP_ENDED},
    [TOP_CPU_TIME] = {"TIME", 8, 50, TOP_TIME, IN_BOTH, ALIVE},
    [TOP_RSS] = {"RSS", 5, 30, TOP_BYTES, IN_BOTH, ALIVE},
    [TOP_MEMORY_SHARE] = {"MEM%", 5, 90, TOP_PERCENT, IN_BOTH, ALIVE},
    [TOP_READ] = {"READ/s", 6, 70, TOP_BYTES, IN_BOTH, ALIVE},
    [TOP_WRITTEN] = {"WRITE/s", 7, 70, TOP_BYTES, IN_BOTH, ALIVE},
    [TOP_RECEIVED] = {"RECV/s", 6, 120, TOP_BYTES, IN_BOTH, ALIVE},
    [TOP_SENT] = {"SENT/s", 6, 120, TOP_BYTES, IN_BOTH, ALIVE},
    [TOP_GROUP_NAME] = {"GROUP", 20, 100, TOP_TEXT, IN_PROCESSES, ANY},
    [TOP_NAME] = {"NAME", 0, 0, TOP_TEXT, IN_BOTH, ANY},
};

static const char *const metric_ids[TOP_METRICS] = {
    [TOP_M_PROCESSES] = "processes",
    [TOP_M_THREADS] = "threads",
    [TOP_M_CPU_USAGE] = "cpu_usage",
    [TOP_M_CPU_USER] = "cpu_user",
    [TOP_M_CPU_SYSTEM] = "cpu_system",
    [TOP_M_RSS] = "memory_rss",
    [TOP_M_DISK_READ] = "disk_read",
    [TOP_M_DISK_WRITTEN] = "disk_written",
    [TOP_M_RECEIVED_TCP] = "network_receive_bytes_tcp",
    [TOP_M_RECEIVED_UDP] = "network_receive_bytes_udp",
    [TOP_M_SENT_TCP] = "network_transmit_bytes_tcp",
    [TOP_M_SENT_UDP] = "network_transmit_bytes_udp",
    [TOP_M_COVERAGE] = "cpu_coverage",
    [TOP_M_LOST_EVENTS] = "lost_events",
    [TOP_M_UPTIME] = "host_uptime",
    [TOP_M_LOAD_1] = "host_load_1",
    [TOP_M_LOAD_5] = "host_load_5",
    [TOP_M_LOAD_15] = "host_load_15",
    [TOP_M_USERS] = "host_users",
    [TOP_M_CPUS] = "host_cpus",
    [TOP_M_HOST_CPU] = "host_cpu_user",
    [TOP_M_MEMORY_TOTAL] = "host_memory_total",
    [TOP_M_MEMORY_FREE] = "host_memory_free",
    [TOP_M_MEMORY_AVAILABLE] = "host_memory_available",
    [TOP_M_MEMORY_BUFFERS] = "host_memory_buffers",
    [TOP_M_MEMORY_CACHED] = "host_memory_cached",
    [TOP_M_SWAP_TOTAL] = "host_swap_total",
    [TOP_M_SWAP_FREE] = "host_swap_free",
    [TOP_M_TASKS] = "host_tasks",
    [TOP_M_HOST_THREADS] = "host_threads",
    [TOP_M_TASKS_RUNNING] = "host_tasks_running",
    [TOP_M_TASKS_SLEEPING] = "host_tasks_sleeping",
    [TOP_M_TASKS_DISK_SLEEP] = "host_tasks_disk_sleep",
    [TOP_M_TASKS_STOPPED] = "host_tasks_stopped",
    [TOP_M_TASKS_ZOMBIE] = "host_tasks_zombie",
    [TOP_M_TASKS_IDLE] = "host_tasks_idle",
};

/* A row while rows are chosen and sorted */
struct top_node {
    struct top_row row;
    size_t parent;              /* another node; NONE */
    size_t first_child, sibling;
    bool is_kept;
    bool has_key;
    uint64_t key; /* by which it is sorted, or … */
    const char *text;
    size_t text_len;
};

int top_model_new(struct top_model *model) {
    *model = (struct top_model){.view = TOP_GROUPS, .sort = TOP_CPU};
    for (size_t i = 0; i < TOP_METRICS; i++)
        if (tally_metric_find(metric_ids[i], &model->metric[i]) < 0)
            return -ENOENT;
    return 0;
}

void top_model_free(struct top_model *model) {
    tally_snapshot_unref(model->now);
    tally_snapshot_unref(model->before);
    free(model->ended);
    free(model->nodes);
    free(model->row_room);
    free(model->order);
    *model = (struct top_model){0};
}

/* ---- Values ------------------------------------------------------------------------- */

bool top_model_metric(const struct top_model *model, enum top_metric metric, uint64_t *ret) {
    return model->now && tally_snapshot_value(model->now, 0, model->metric[metric], ret);
}

/* Where a process stands among those of a snapshot, which are by ascending pid; NONE. */
static size_t find_pid(const tally_snapshot *s, pid_t pid) {
    size_t from = 0, to = tally_snapshot_processes(s);
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        const pid_t found = tally_snapshot_process(s, middle)->pid;
        if (found == pid)
            return middle;
        if (found < pid)
            from = middle + 1;
        else
            to = middle;
    }
    return NONE;
}

static size_t find_process(const tally_snapshot *s, pid_t pid, uint64_t start_ns) {
    const size_t at = find_pid(s, pid);
    if (at == NONE)
        return NONE;
    const uint64_t found_ns = tally_snapshot_process(s, at)->start_ns;
    const uint64_t apart_ns = found_ns > start_ns ? found_ns - start_ns : start_ns - found_ns;
    return apart_ns <= SAME_START_NS ? at : NONE;
}

bool top_model_find_process(const struct top_model *model, pid_t pid, uint64_t start_ns,
                            size_t *ret_index) {
    const size_t at = model->now ? find_process(model->now, pid, start_ns) : NONE;
    if (at == NONE)
        return false;
    *ret_index = at;
    return true;
}

/* By name, by which they are sorted. */
static size_t find_group(const tally_snapshot *s, const char *name) {
    size_t from = 0, to = tally_snapshot_groups(s);
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        const int order = strcmp(tally_snapshot_group_name(s, middle), name);
        if (order == 0)
            return middle;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NONE;
}

static bool value_in(const struct top_model *model, const tally_snapshot *s, enum top_kind kind,
                     size_t index, enum top_metric metric, uint64_t *ret) {
    return kind == TOP_GROUP ? tally_snapshot_value(s, index, model->metric[metric], ret)
                             : tally_snapshot_process_value(s, index, model->metric[metric], ret);
}

/* Of one metric, or with `second` of two together. */
static bool sum_in(const struct top_model *model, const tally_snapshot *s, enum top_kind kind,
                   size_t index, enum top_metric first, enum top_metric second, uint64_t *ret) {
    uint64_t one, other = 0;
    if (!value_in(model, s, kind, index, first, &one) ||
        (second != TOP_METRICS && !value_in(model, s, kind, index, second, &other)))
        return false;
    *ret = one + other;
    return true;
}

/* What a counter (or two together) has risen by in a second. */
static bool rate(const struct top_model *model, const struct top_row *row, enum top_metric first,
                 enum top_metric second, uint64_t *ret) {
    const uint64_t interval_ns = tally_snapshot_interval(model->now);
    uint64_t now, before = 0, usage;
    size_t at = NONE;
    if (!model->before || interval_ns == 0 ||
        !sum_in(model, model->now, row->kind, row->index, first, second, &now))
        return false;
    if (row->kind == TOP_PROCESS) {
        const struct tally_process *p = tally_snapshot_process(model->now, row->index);
        at = find_process(model->before, p->pid, p->start_ns);
        /* of one that was not there then the library knows the usage if it is new */
        if (at == NONE &&
            !value_in(model, model->now, row->kind, row->index, TOP_M_CPU_USAGE, &usage))
            return false;
    } else {
        if (model->is_regrouped)
            return false;
        at = find_group(model->before, tally_snapshot_group_name(model->now, row->index));
    }
    if (at != NONE && !sum_in(model, model->before, row->kind, at, first, second, &before))
        return false;
    *ret = now > before ? (uint64_t)((double)(now - before) * (double)BILLION /
                                     (double)interval_ns)
                        : 0;
    return true;
}

/* `part` by `whole` in billionths */
static uint64_t ratio(uint64_t part, uint64_t whole) {
    return (uint64_t)((unsigned __int128)part * BILLION / whole);
}

static bool ended_value(const struct top_model *model, size_t group, uint64_t *ret) {
    if (!model->ended[group].is_known)
        return false;
    *ret = model->ended[group].billionths;
    return true;
}

bool top_model_value(const struct top_model *model, const struct top_row *row,
                     enum top_column column, uint64_t *ret) {
    const tally_snapshot *s = model->now;
    uint64_t total;
    if (!(top_columns[column].kinds & row->kind))
        return false;
    if (row->kind == TOP_ENDED)
        return ended_value(model, row->index, ret);
    switch (column) {
    case TOP_PID:
        *ret = (uint64_t)tally_snapshot_process(s, row->index)->pid;
        return true;
    case TOP_MEMBERS:
        return value_in(model, s, row->kind, row->index, TOP_M_PROCESSES, ret);
    case TOP_THREADS:
        return value_in(model, s, row->kind, row->index, TOP_M_THREADS, ret);
    case TOP_CPU: /* of groups that are new a part went to the old ones */
        return !(row->kind == TOP_GROUP && model->is_regrouped) &&
               value_in(model, s, row->kind, row->index, TOP_M_CPU_USAGE, ret);
    case TOP_ENDED_CPU:
        return ended_value(model, row->index, ret);
    case TOP_CPU_TIME:
        return sum_in(model, s, row->kind, row->index, TOP_M_CPU_USER, TOP_M_CPU_SYSTEM, ret);
    case TOP_RSS:
        return value_in(model, s, row->kind, row->index, TOP_M_RSS, ret);
    case TOP_MEMORY_SHARE:
        if (!value_in(model, s, row->kind, row->index, TOP_M_RSS, ret) ||
            !top_model_metric(model, TOP_M_MEMORY_TOTAL, &total) || total == 0)
            return false;
        *ret = ratio(*ret, total);
        return true;
    case TOP_READ:
        return rate(model, row, TOP_M_DISK_READ, TOP_METRICS, ret);
    case TOP_WRITTEN:
        return rate(model, row, TOP_M_DISK_WRITTEN, TOP_METRICS, ret);
    case TOP_RECEIVED:
        return rate(model, row, TOP_M_RECEIVED_TCP, TOP_M_RECEIVED_UDP, ret);
    case TOP_SENT:
        return rate(model, row, TOP_M_SENT_TCP, TOP_M_SENT_UDP, ret);
    case TOP_USER:
    case TOP_STATE:
    case TOP_GROUP_NAME:
    case TOP_NAME:
    case TOP_COLUMNS:
        return false;
    }
    return false;
}

static const char *text_of(const struct top_model *model, const struct top_row *row,
                           enum top_column column) {
    const struct tally_process *p =
        row->kind == TOP_PROCESS ? tally_snapshot_process(model->now, row->index) : NULL;
    const size_t group = p ? p->group : row->index;
    if (column == TOP_USER)
        return p ? p->user : NULL;
    if (column == TOP_NAME && p)
        return p->name;
    if (column == TOP_NAME && row->kind == TOP_ENDED)
        return "(ended)";
    return group == TALLY_NO_GROUP ? NULL : tally_snapshot_group_name(model->now, group);
}

const char *top_model_text(const struct top_model *model, const struct top_row *row,
                           enum top_column column, size_t *ret_len) {
    if (!(top_columns[column].kinds & row->kind))
        return NULL;
    if (column == TOP_STATE) {
        *ret_len = 1;
        return &tally_snapshot_process(model->now, row->index)->state;
    }
    const char *text = text_of(model, row, column);
    *ret_len = text ? strlen(text) : 0;
    return text;
}

bool top_model_cpu_share(const struct top_model *model, size_t mode, uint64_t *ret_billionths) {
    uint64_t sum = 0, wanted = 0;
    bool is_known = false;
    for (size_t i = 0; model->before && i < TOP_CPU_MODES; i++) {
        const size_t metric = model->metric[TOP_M_HOST_CPU] + i;
        uint64_t now, before;
        if (!tally_snapshot_value(model->now, 0, metric, &now) ||
            !tally_snapshot_value(model->before, 0, metric, &before))
            continue;
        /* the time that is waited for I/O may fall */
        const uint64_t more = now > before ? now - before : 0;
        sum += more;
        if (i == mode) {
            wanted = more;
            is_known = true;
        }
    }
    if (!is_known || sum == 0)
        return false;
    *ret_billionths = ratio(wanted, sum);
    return true;
}

/* ---- Work of what has ended ---------------------------------------------------------- */

static int find_ended(struct top_model *model) {
    const tally_snapshot *s = model->now;
    const size_t groups = tally_snapshot_groups(s), processes = tally_snapshot_processes(s);
    if (groups > model->ended_size) {
        struct top_share *more = realloc(model->ended, groups * sizeof(*more));
        if (!more)
            return -ENOMEM;
        model->ended = more;
        model->ended_size = groups;
    }
    for (size_t g = 0; g < groups; g++) {
        struct top_share *ended = &model->ended[g];
        ended->is_known = !model->is_regrouped &&
                          value_in(model, s, TOP_GROUP, g, TOP_M_CPU_USAGE, &ended->billionths);
    }
    for (size_t i = 0; i < processes; i++) {
        const size_t group = tally_snapshot_process(s, i)->group;
        uint64_t usage;
        if (group == TALLY_NO_GROUP || !model->ended[group].is_known)
            continue;
        struct top_share *ended = &model->ended[group];
        /* one of which nobody knows what it used may have used all of it */
        ended->is_known = value_in(model, s, TOP_PROCESS, i, TOP_M_CPU_USAGE, &usage);
        /* more than the group: it used the rest in another one */
        ended->billionths -= ended->is_known && usage < ended->billionths ? usage
                                                                          : ended->billionths;
    }
    return 0;
}

bool top_model_ended(const struct top_model *model, uint64_t *ret_billionths) {
    const size_t groups = model->now ? tally_snapshot_groups(model->now) : 0;
    bool is_known = false;
    *ret_billionths = 0;
    for (size_t g = 0; g < groups; g++)
        if (model->ended[g].is_known) {
            is_known = true;
            *ret_billionths += model->ended[g].billionths;
        }
    return is_known;
}

int top_model_take(struct top_model *model, const tally_snapshot *s, bool is_regrouped) {
    tally_snapshot_unref(model->before);
    model->before = model->now;
    model->now = tally_snapshot_ref(s);
    model->is_regrouped = is_regrouped;
    model->rows = NULL;
    model->row_count = 0;
    return find_ended(model);
}

/* ---- Rows ------------------------------------------------------------------------------ */

static int ensure_room(struct top_model *model, size_t count) {
    if (count <= model->node_size)
        return 0;
    const size_t size = count + count / 4 + 64;
    free(model->nodes);
    free(model->row_room);
    free(model->order);
    model->node_size = 0;
    model->nodes = malloc(size * sizeof(*model->nodes));
    model->row_room = malloc(size * sizeof(*model->row_room));
    model->order = malloc(size * sizeof(*model->order));
    if (!model->nodes || !model->row_room || !model->order)
        return -ENOMEM;
    model->node_size = size;
    return 0;
}

static bool holds(const char *text, const char *part) {
    return text && strcasestr(text, part);
}

/* The filter looks at all that names a row. */
static bool matches(const struct top_model *model, const struct top_row *row) {
    char pid[24];
    if (model->filter[0] == '\0')
        return true;
    if (holds(text_of(model, row, TOP_NAME), model->filter) ||
        holds(text_of(model, row, TOP_GROUP_NAME), model->filter))
        return true;
    if (row->kind != TOP_PROCESS)
        return false;
    const struct tally_process *p = tally_snapshot_process(model->now, row->index);
    size_t at = sizeof(pid);
    pid[--at] = '\0';
    for (pid_t rest = p->pid; rest > 0 && at > 0; rest /= 10)
        pid[--at] = (char)('0' + rest % 10);
    return holds(p->user, model->filter) || strcmp(pid + at, model->filter) == 0;
}

static size_t add_node(struct top_model *model, enum top_kind kind, size_t index, size_t parent) {
    struct top_node *node = &model->nodes[model->node_count];
    *node = (struct top_node){.row = {.kind = kind, .index = index},
                              .parent = parent,
                              .first_child = NONE,
                              .sibling = NONE};
    node->is_kept = matches(model, &node->row);
    if (top_columns[model->sort].form == TOP_TEXT) {
        node->text = top_model_text(model, &node->row, model->sort, &node->text_len);
        node->has_key = node->text != NULL;
    } else {
        node->has_key = top_model_value(model, &node->row, model->sort, &node->key);
    }
    return model->node_count++;
}

static void add_ended(struct top_model *model, size_t group, size_t parent) {
    if (model->ended[group].is_known && model->ended[group].billionths >= ENDED_ROW_FROM)
        add_node(model, TOP_ENDED, group, parent);
}

/* In a tree of groups these have their processes below them. */
static void add_groups(struct top_model *model) {
    const size_t groups = tally_snapshot_groups(model->now);
    for (size_t g = 0; g < groups; g++) {
        struct top_node *node = &model->nodes[add_node(model, TOP_GROUP, g, NONE)];
        uint64_t members;
        if (model->is_regrouped && /* one of before, which is about to go */
            value_in(model, model->now, TOP_GROUP, g, TOP_M_PROCESSES, &members) && members == 0)
            node->is_kept = false;
    }
    if (!model->is_tree)
        return;
    for (size_t g = 0; g < groups; g++)
        add_ended(model, g, g);
    for (size_t i = 0; i < tally_snapshot_processes(model->now); i++) {
        const size_t group = tally_snapshot_process(model->now, i)->group;
        if (group != TALLY_NO_GROUP)
            add_node(model, TOP_PROCESS, i, group);
    }
}

/* A parent began before its child: what has the parent's number now may be another process.
 * It also keeps circles out. */
static bool can_be_parent(const struct tally_process *parent, const struct tally_process *child) {
    return parent->start_ns < child->start_ns ||
           (parent->start_ns == child->start_ns && parent->pid < child->pid);
}

/* All nodes are processes, and like these by ascending pid. */
static void find_parents(struct top_model *model) {
    for (size_t i = 0; i < model->node_count; i++) {
        struct top_node *node = &model->nodes[i];
        const struct tally_process *child = tally_snapshot_process(model->now, node->row.index);
        const size_t index = find_pid(model->now, child->ppid);
        if (index == NONE || !can_be_parent(tally_snapshot_process(model->now, index), child))
            continue;
        size_t from = 0, to = model->node_count;
        while (from < to) {
            const size_t middle = from + (to - from) / 2, found = model->nodes[middle].row.index;
            if (found == index)
                node->parent = middle;
            if (found < index)
                from = middle + 1;
            else
                to = middle;
        }
    }
}

static void add_processes(struct top_model *model) {
    const tally_snapshot *s = model->now;
    const size_t groups = tally_snapshot_groups(s);
    const size_t only = model->only_group[0] ? find_group(s, model->only_group) : NONE;
    const bool shows_all = model->only_group[0] == '\0';
    for (size_t i = 0; i < tally_snapshot_processes(s); i++)
        if (shows_all || (only != NONE && tally_snapshot_process(s, i)->group == only))
            add_node(model, TOP_PROCESS, i, NONE);
    if (model->is_tree)
        find_parents(model);
    for (size_t g = 0; g < groups; g++)
        if (shows_all || g == only)
            add_ended(model, g, NONE);
}

/* For compare(): the arguments of qsort_r(3) are in another order on macOS. */
static const struct top_model *sorted;

/* Numbers fall and texts rise, unless reversed; what is not known comes last. */
static int compare(const void *a, const void *b) {
    const struct top_model *model = sorted;
    const size_t i = *(const size_t *)a, k = *(const size_t *)b;
    const struct top_node *x = &model->nodes[i], *y = &model->nodes[k];
    int order = 0;
    if (x->has_key != y->has_key)
        return x->has_key ? -1 : 1;
    if (x->has_key && x->text) {
        const size_t len = x->text_len < y->text_len ? x->text_len : y->text_len;
        order = memcmp(x->text, y->text, len);
        if (order == 0)
            order = (x->text_len > y->text_len) - (x->text_len < y->text_len);
    } else if (x->has_key) {
        order = (y->key > x->key) - (y->key < x->key);
        if (model->sort == TOP_PID)
            order = -order;
    }
    if (order == 0)
        return (i > k) - (i < k);
    return model->is_reversed ? -order : order;
}

/* Each node behind its parent. Nothing is deeper than the nodes are many. */
static void put_tree(struct top_model *model) {
    size_t first_root = NONE;
    for (size_t i = 0; i < model->node_count; i++) /* what holds a match is kept */
        for (size_t at = i; model->nodes[i].is_kept && at != NONE; at = model->nodes[at].parent) {
            if (at != i && model->nodes[at].is_kept)
                break;
            model->nodes[at].is_kept = true;
        }
    for (size_t i = model->node_count; i-- > 0;) {
        struct top_node *node = &model->nodes[model->order[i]];
        size_t *list = node->parent == NONE ? &first_root : &model->nodes[node->parent].first_child;
        node->sibling = *list;
        *list = model->order[i];
    }
    unsigned depth = 0;
    for (size_t at = first_root; at != NONE;) {
        struct top_node *node = &model->nodes[at];
        if (node->is_kept) {
            node->row.depth = depth;
            model->row_room[model->row_count++] = node->row;
        }
        if (node->first_child != NONE) {
            at = node->first_child;
            depth++;
            continue;
        }
        while (at != NONE && model->nodes[at].sibling == NONE) {
            at = model->nodes[at].parent;
            depth -= at != NONE;
        }
        if (at != NONE)
            at = model->nodes[at].sibling;
    }
}

int top_model_arrange(struct top_model *model) {
    model->rows = NULL;
    model->row_count = model->node_count = 0;
    if (!model->now)
        return 0;
    if (!(top_columns[model->sort].views & 1u << model->view))
        model->sort = TOP_CPU;
    int r = ensure_room(model, 2 * tally_snapshot_groups(model->now) +
                                   tally_snapshot_processes(model->now));
    if (r < 0)
        return r;
    if (model->view == TOP_GROUPS)
        add_groups(model);
    else
        add_processes(model);
    size_t count = 0;
    for (size_t i = 0; i < model->node_count; i++)
        if (model->nodes[i].is_kept || model->is_tree)
            model->order[count++] = i;
    sorted = model;
    qsort(model->order, count, sizeof(*model->order), compare);
    model->rows = model->row_room;
    if (model->is_tree) {
        put_tree(model);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        model->row_room[model->row_count++] = model->nodes[model->order[i]].row;
    return 0;
}

/* ---- Columns ----------------------------------------------------------------------------- */

enum top_column top_model_neighbour(const struct top_model *model, int by) {
    for (int at = (int)model->sort + by; at >= 0 && at < TOP_COLUMNS; at += by)
        if (top_columns[at].views & 1u << model->view)
            return (enum top_column)at;
    return model->sort;
}

int top_model_find(enum top_view view, const char *title, enum top_column *ret) {
    for (int at = 0; at < TOP_COLUMNS; at++)
        if (top_columns[at].views & 1u << view && strcasecmp(top_columns[at].title, title) == 0) {
            *ret = (enum top_column)at;
            return 0;
        }
    return -ENOENT;
}
