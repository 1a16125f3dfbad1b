/* SPDX-License-Identifier: MIT */
#include "content.h"

#include "cli.h"
#include "groups.h"
#include "names.h"
#include "service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The number of a node is that of what it is about, and a part of that. What it is about:
 *
 *   0, 1, 2       the whole, the collector, the host
 *   with GROUP    a group
 *   with PROCESS  a process: its pid, and the low bits of its start time, in hundredths of a
 *                 second, so that a pid that is used again has another number
 */
enum { ABOUT_ALL, ABOUT_SELF, ABOUT_HOST };
#define GROUP (UINT64_C(1) << GROUPS_NUMBER_BITS)
#define PART_BITS 8
#define PID_BITS 22 /* the most that the kernel gives */
#define PROCESS (UINT64_C(1) << (64 - PART_BITS - 1))
_Static_assert(PROCESS > GROUP, "one is not the other");
#define START_MASK ((PROCESS >> PID_BITS) - 1)
#define PID_MASK ((UINT64_C(1) << PID_BITS) - 1)
#define START_NS (NS_PER_S / 100)

enum part {
    PART_DIRECTORY = 1,
    PART_GROUPS,
    PART_PROCESSES,
    PART_PROMETHEUS,
    PART_INFLUX,
    PART_TIME,
    PART_ALL,
    PART_LABELS,
    PART_THREAD_NAMES,
    PART_WAIT_CHANNELS,
    PART_METRIC = 16 /* and those behind it, as they are in the catalogue */
};
#define NODE(about, part) ((uint64_t)(about) << PART_BITS | (part))
_Static_assert(NODE(ABOUT_ALL, PART_DIRECTORY) == TREE_ROOT, "the root");

/* What has values. */
enum kind { KIND_NONE, KIND_SELF, KIND_HOST, KIND_GROUP, KIND_PROCESS, KINDS };

struct node {
    uint64_t id;
    enum kind kind;
    size_t at; /* a group's or a process's index in the snapshot */
    enum part part;
};

/* A text of the whole snapshot, which may be megabytes: all who read it share it. */
struct whole {
    unsigned references;
    tally_text *text;
    const char *data;
    size_t len;
};

struct content {
    content_refresh *refresh;
    void *data;
    const tally_snapshot *snapshot;
    struct names names[KINDS]; /* those of processes are the groups' */
    struct names thread_names, wait_channels;
    struct groups *groups;
    struct whole *wholes[2]; /* of this snapshot: Prometheus, Influx; NULL: not asked for yet */
    /* The processes by their indices in the snapshot: those of group g are
     * members[begins[g]] to members[begins[g + 1] - 1]. */
    size_t *begins, *members;
    size_t begins_size, members_size;
    bool has_members; /* of this snapshot */
};

/* ---- Begin and end --------------------------------------------------------------------- */

int content_new(content_refresh *refresh, void *data, struct content **ret) {
    struct content *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->refresh = refresh;
    c->data = data;
    int r = groups_new(&c->groups);
    if (r == 0)
        r = names_new(TALLY_SCOPE_SELF, &c->names[KIND_SELF]);
    if (r == 0)
        r = names_new(TALLY_SCOPE_HOST, &c->names[KIND_HOST]);
    if (r == 0)
        r = names_new(TALLY_SCOPE_GROUP, &c->names[KIND_GROUP]);
    if (r == 0)
        r = names_new(TALLY_SCOPE_THREAD_NAME, &c->thread_names);
    if (r == 0)
        r = names_new(TALLY_SCOPE_WAIT_CHANNEL, &c->wait_channels);
    if (r < 0) {
        content_free(c);
        return r;
    }
    c->names[KIND_PROCESS] = c->names[KIND_GROUP];
    *ret = c;
    return 0;
}

static void whole_unref(void *owner) {
    struct whole *w = owner;
    if (w && --w->references == 0) {
        tally_text_free(w->text);
        free(w);
    }
}

struct content *content_free(struct content *c) {
    if (!c)
        return NULL;
    for (size_t i = 0; i < sizeof(c->wholes) / sizeof(c->wholes[0]); i++)
        whole_unref(c->wholes[i]);
    tally_snapshot_unref(c->snapshot);
    groups_free(c->groups);
    names_free(&c->names[KIND_SELF]);
    names_free(&c->names[KIND_HOST]);
    names_free(&c->names[KIND_GROUP]);
    names_free(&c->thread_names);
    names_free(&c->wait_channels);
    free(c->begins);
    free(c->members);
    free(c);
    return NULL;
}

int content_set(struct content *c, const tally_snapshot *s) {
    int r = s ? groups_update(c->groups, s) : 0;
    tally_snapshot_unref(c->snapshot);
    c->snapshot = s && r == 0 ? tally_snapshot_ref(s) : NULL;
    for (size_t i = 0; i < sizeof(c->wholes) / sizeof(c->wholes[0]); i++) {
        whole_unref(c->wholes[i]);
        c->wholes[i] = NULL;
    }
    c->has_members = false;
    return r;
}

/* ---- Which node is it? ------------------------------------------------------------------- */

static uint64_t number_of_process(const struct tally_process *p) {
    return PROCESS | (p->start_ns / START_NS & START_MASK) << PID_BITS |
           ((uint64_t)p->pid & PID_MASK);
}

static int find_process(const tally_snapshot *s, uint64_t pid, size_t *ret) {
    size_t from = 0, end = tally_snapshot_processes(s);
    while (from < end) {
        const size_t middle = from + (end - from) / 2;
        const uint64_t found = (uint64_t)tally_snapshot_process(s, middle)->pid;
        if (found == pid) {
            *ret = middle;
            return 0;
        }
        if (found < pid)
            from = middle + 1;
        else
            end = middle;
    }
    return -ENOENT;
}

static bool is_directory(const struct node *node) {
    return node->part <= PART_PROCESSES;
}

/* Whether it has that part is seen where the part is made. -ENOENT; -EIO: nobody knows. */
static int resolve(const struct content *c, uint64_t id, struct node *ret) {
    const uint64_t about = id >> PART_BITS;
    struct node node = {.id = id, .part = (enum part)(id & ((1u << PART_BITS) - 1))};
    const bool is_fixed = about < GROUP && is_directory(&node);
    int r = c->snapshot || is_fixed ? 0 : -EIO;
    if (r < 0)
        return r;
    if (about & PROCESS) {
        node.kind = KIND_PROCESS;
        r = find_process(c->snapshot, about & PID_MASK, &node.at);
        if (r == 0 && number_of_process(tally_snapshot_process(c->snapshot, node.at)) != about)
            r = -ENOENT;
    } else if (about & GROUP) {
        node.kind = KIND_GROUP;
        r = groups_find_number(c->groups, about ^ GROUP, &node.at);
    } else {
        node.kind = about == ABOUT_SELF ? KIND_SELF : about == ABOUT_HOST ? KIND_HOST : KIND_NONE;
    }
    if (r == 0)
        *ret = node;
    return r;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

static bool value_of(const struct content *c, const struct node *node, size_t metric,
                     uint64_t *ret) {
    return node->kind == KIND_PROCESS
               ? tally_snapshot_process_value(c->snapshot, node->at, metric, ret)
               : tally_snapshot_value(c->snapshot, node->at, metric, ret);
}

static size_t metric_text(const struct content *c, size_t metric, uint64_t value,
                          char to[static TALLY_NUMBER_SIZE]) {
    return tally_number_text(tally_present(c->snapshot, metric, TALLY_FORM_NATURAL, value), to);
}

static void write_all(const struct content *c, const struct node *node, FILE *to) {
    const struct names *names = &c->names[node->kind];
    char text[TALLY_NUMBER_SIZE];
    uint64_t value;
    for (size_t m = names->first; m < names->first + names->count; m++)
        if (value_of(c, node, m, &value)) {
            metric_text(c, m, value, text);
            fprintf(to, "%s %s\n", names_of(names, m), text);
        }
}

/* Is the file about all that a group is divided into? */
static bool is_division(enum part part) {
    return part == PART_THREAD_NAMES || part == PART_WAIT_CHANNELS;
}

static enum tally_scope scope_of(enum part division) {
    return division == PART_THREAD_NAMES ? TALLY_SCOPE_THREAD_NAME : TALLY_SCOPE_WAIT_CHANNEL;
}

static bool is_divided(const struct content *c, const struct node *group, enum part division) {
    return tally_snapshot_parts(c->snapshot, group->at, scope_of(division)) > 0;
}

/* Their names stand last: there may be blanks in them. */
static void write_parts(const struct content *c, const struct node *node, FILE *to) {
    const enum tally_scope scope = scope_of(node->part);
    const struct names *names =
        node->part == PART_THREAD_NAMES ? &c->thread_names : &c->wait_channels;
    char text[TALLY_NUMBER_SIZE];
    const char *name;
    uint64_t value;
    for (size_t i = 0; (name = tally_snapshot_part_name(c->snapshot, node->at, scope, i)); i++)
        for (size_t m = names->first; m < names->first + names->count; m++)
            if (tally_snapshot_part_value(c->snapshot, node->at, i, m, &value)) {
                metric_text(c, m, value, text);
                fprintf(to, "%s %s %s\n", names_of(names, m), text, name);
            }
}

static void write_labels(const struct content *c, const struct node *node, FILE *to) {
    const tally_snapshot *s = c->snapshot;
    const char *key, *value;
    size_t group = node->at;
    if (node->kind == KIND_PROCESS) {
        const struct tally_process *p = tally_snapshot_process(s, node->at);
        fprintf(to, "pid=%ld\nppid=%ld\nname=%s\n", (long)p->pid, (long)p->ppid, p->name);
        if (p->user)
            fprintf(to, "user=%s\n", p->user);
        fprintf(to, "state=%c\n", p->state);
        group = p->group;
    }
    fprintf(to, "groupname=%s\n", tally_snapshot_group_name(s, group));
    for (size_t i = 0; node->kind == KIND_GROUP && tally_snapshot_label(s, group, i, &key, &value);
         i++)
        fprintf(to, "%s=%s\n", key, value);
}

typedef int encode_call(const tally_snapshot *, tally_text *, const char **, size_t *);

static int make_whole(struct content *c, size_t i, struct whole **ret) {
    static encode_call *const encoders[] = {tally_encode_prometheus, tally_encode_influx};
    if (!c->wholes[i]) {
        struct whole *w = calloc(1, sizeof(*w));
        if (!w)
            return -ENOMEM;
        w->references = 1;
        int r = tally_text_new(&w->text);
        if (r == 0)
            r = encoders[i](c->snapshot, w->text, &w->data, &w->len);
        if (r < 0) {
            whole_unref(w);
            return r;
        }
        c->wholes[i] = w;
    }
    *ret = c->wholes[i];
    return 0;
}

/* A metric, or the time. */
static bool is_short(const struct node *node) {
    return node->part >= PART_METRIC || node->part == PART_TIME;
}

/* -ENOENT: there is no such file. */
static int short_text(const struct content *c, const struct node *node,
                      char to[static TALLY_NUMBER_SIZE + 1], size_t *ret_len) {
    const struct names *names = &c->names[node->kind];
    const size_t row = node->part - PART_METRIC;
    uint64_t value;
    if (node->part == PART_TIME) {
        const uint64_t time_ns = tally_snapshot_time(c->snapshot);
        *ret_len = (size_t)snprintf(to, TALLY_NUMBER_SIZE, "%" PRIu64 ".%09" PRIu64 "\n",
                                    time_ns / NS_PER_S, time_ns % NS_PER_S);
        return 0;
    }
    if (row >= names->count || !value_of(c, node, names->first + row, &value))
        return -ENOENT;
    *ret_len = metric_text(c, names->first + row, value, to);
    to[(*ret_len)++] = '\n';
    return 0;
}

/* -ENOENT: there is no such file. */
static int long_text(const struct content *c, const struct node *node, char **ret, size_t *ret_len) {
    if (is_division(node->part) && !is_divided(c, node, node->part))
        return -ENOENT;
    FILE *to = open_memstream(ret, ret_len);
    if (!to)
        return -errno;
    if (node->part == PART_ALL)
        write_all(c, node, to);
    else if (is_division(node->part))
        write_parts(c, node, to);
    else
        write_labels(c, node, to);
    const bool failed = ferror(to);
    if (fclose(to) == 0 && !failed)
        return 0;
    free(*ret);
    return -ENOMEM;
}

/* -ENOENT: there is no such file, or not any more. */
static int make_text(struct content *c, const struct node *node, struct tree_text *ret) {
    char text[TALLY_NUMBER_SIZE + 1], *copy = NULL;
    size_t len = 0;
    int r;
    if (node->part == PART_PROMETHEUS || node->part == PART_INFLUX) {
        struct whole *w;
        r = make_whole(c, node->part - PART_PROMETHEUS, &w);
        if (r < 0)
            return r;
        w->references++;
        *ret = (struct tree_text){w->data, w->len, whole_unref, w, false};
        return 0;
    }
    if (!is_short(node)) {
        r = long_text(c, node, &copy, &len);
    } else {
        r = short_text(c, node, text, &len);
        copy = r == 0 ? malloc(len) : NULL;
        if (copy)
            memcpy(copy, text, len);
        else if (r == 0)
            r = -ENOMEM;
    }
    if (r < 0)
        return r;
    *ret = (struct tree_text){copy, len, free, copy, true};
    return 0;
}

static int size_of_text(struct content *c, const struct node *node, size_t *ret) {
    char text[TALLY_NUMBER_SIZE + 1];
    if (is_short(node))
        return short_text(c, node, text, ret);
    struct tree_text whole = {0};
    int r = make_text(c, node, &whole);
    if (r < 0)
        return r;
    *ret = whole.len;
    whole.release(whole.owner);
    return 0;
}

/* ---- Directories ---------------------------------------------------------------------------- */

/* What stands in the directories beside metrics. */
static const struct {
    enum kind kind;
    const char *name;
    uint64_t about; /* 0: what the directory is about */
    enum part part;
} fixed[] = {
    {KIND_NONE, "groups", 0, PART_GROUPS},
    {KIND_NONE, "host", ABOUT_HOST, PART_DIRECTORY},
    {KIND_NONE, "influx", 0, PART_INFLUX},
    {KIND_NONE, "metrics", 0, PART_PROMETHEUS},
    {KIND_NONE, "self", ABOUT_SELF, PART_DIRECTORY},
    {KIND_NONE, "time", 0, PART_TIME},
    {KIND_SELF, "all", 0, PART_ALL},
    {KIND_HOST, "all", 0, PART_ALL},
    {KIND_GROUP, "all", 0, PART_ALL},
    {KIND_GROUP, "labels", 0, PART_LABELS},
    {KIND_GROUP, "processes", 0, PART_PROCESSES},
    {KIND_GROUP, "thread_names", 0, PART_THREAD_NAMES},
    {KIND_GROUP, "wait_channels", 0, PART_WAIT_CHANNELS},
    {KIND_PROCESS, "all", 0, PART_ALL},
    {KIND_PROCESS, "labels", 0, PART_LABELS},
};
#define FIXED (sizeof(fixed) / sizeof(fixed[0]))

static uint64_t id_of_group(const struct content *c, size_t group) {
    return NODE(GROUP | groups_number(c->groups, group), PART_DIRECTORY);
}

static uint64_t id_of_fixed(const struct node *directory, size_t i) {
    const uint64_t about = fixed[i].about ? fixed[i].about : directory->id >> PART_BITS;
    return NODE(about, fixed[i].part);
}

static uint64_t id_of_metric(const struct content *c, const struct node *directory, size_t metric) {
    return NODE(directory->id >> PART_BITS,
                PART_METRIC + metric - c->names[directory->kind].first);
}

static int find_member(const struct content *c, const struct node *directory, const char *name,
                       uint64_t *ret) {
    size_t at;
    const pid_t pid = cli_parse_pid(name, strlen(name));
    if (pid == 0 || *name == '0' || find_process(c->snapshot, (uint64_t)pid, &at) < 0)
        return -ENOENT;
    const struct tally_process *p = tally_snapshot_process(c->snapshot, at);
    if (p->group != directory->at)
        return -ENOENT;
    *ret = NODE(number_of_process(p), PART_DIRECTORY);
    return 0;
}

static int find_in(const struct content *c, const struct node *directory, const char *name,
                   uint64_t *ret) {
    size_t at;
    if (!is_directory(directory))
        return -ENOTDIR;
    if (directory->part == PART_GROUPS) {
        if (groups_find_directory(c->groups, name, &at) < 0)
            return -ENOENT;
        *ret = id_of_group(c, at);
        return 0;
    }
    if (directory->part == PART_PROCESSES)
        return find_member(c, directory, name, ret);
    for (size_t i = 0; i < FIXED; i++)
        if (fixed[i].kind == directory->kind && strcmp(fixed[i].name, name) == 0) {
            *ret = id_of_fixed(directory, i);
            return 0;
        }
    if (!names_find(&c->names[directory->kind], name, &at))
        return -ENOENT;
    *ret = id_of_metric(c, directory, at);
    return 0;
}

static int list_groups(const struct content *c, struct tree_list *to) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < tally_snapshot_groups(c->snapshot); i++)
        if (*groups_directory(c->groups, i))
            r = tree_list_add(to, groups_directory(c->groups, i),
                              id_of_group(c, i), true);
    return r;
}

static void *grown(void *array, size_t *size, size_t count, size_t of) {
    if (count <= *size && array)
        return array;
    void *more = realloc(array, (count + count / 2 + 64) * of);
    if (more)
        *size = count + count / 2 + 64;
    return more;
}

/* Sorts the processes by their groups, once for each snapshot of which somebody asks. */
static int sort_members(struct content *c) {
    const tally_snapshot *s = c->snapshot;
    const size_t groups = tally_snapshot_groups(s), processes = tally_snapshot_processes(s);
    if (c->has_members)
        return 0;
    size_t *begins = grown(c->begins, &c->begins_size, groups + 1, sizeof(*begins));
    if (begins)
        c->begins = begins;
    size_t *members = grown(c->members, &c->members_size, processes, sizeof(*members));
    if (members)
        c->members = members;
    if (!begins || !members)
        return -ENOMEM;
    memset(begins, 0, (groups + 1) * sizeof(*begins));
    for (size_t i = 0; i < processes; i++) {
        const size_t group = tally_snapshot_process(s, i)->group;
        if (group != TALLY_NO_GROUP)
            begins[group]++;
    }
    for (size_t g = 1; g <= groups; g++)
        begins[g] += begins[g - 1];
    /* so far where each ends; going backwards, that moves down to where it begins */
    for (size_t i = processes; i-- > 0;) {
        const size_t group = tally_snapshot_process(s, i)->group;
        if (group != TALLY_NO_GROUP)
            members[--begins[group]] = i;
    }
    c->has_members = true;
    return 0;
}

static int list_processes(struct content *c, const struct node *directory, struct tree_list *to) {
    int r = sort_members(c);
    for (size_t i = r == 0 ? c->begins[directory->at] : 0;
         r == 0 && i < c->begins[directory->at + 1]; i++) {
        const struct tally_process *p = tally_snapshot_process(c->snapshot, c->members[i]);
        char name[16];
        snprintf(name, sizeof(name), "%ld", (long)p->pid);
        r = tree_list_add(to, name, NODE(number_of_process(p), PART_DIRECTORY), true);
    }
    return r;
}

static int list_files(const struct content *c, const struct node *directory, struct tree_list *to) {
    const struct names *names = &c->names[directory->kind];
    uint64_t value;
    int r = 0;
    for (size_t i = 0; r == 0 && i < FIXED; i++)
        if (fixed[i].kind == directory->kind &&
            (!is_division(fixed[i].part) || is_divided(c, directory, fixed[i].part)))
            r = tree_list_add(to, fixed[i].name, id_of_fixed(directory, i),
                              fixed[i].part <= PART_PROCESSES);
    for (size_t m = names->first; r == 0 && m < names->first + names->count; m++)
        if (value_of(c, directory, m, &value))
            r = tree_list_add(to, names_of(names, m), id_of_metric(c, directory, m), false);
    return r;
}

/* ---- For the tree ------------------------------------------------------------------------------ */

/* For so long the kernel may take names as known, which saves a third of all requests. A pid can
 * be another process's by then. */
#define KNOWN_FOR_S 1.0

static int describe(struct content *c, const struct node *node, struct tree_node *ret) {
    const uint64_t time_ns = c->snapshot ? tally_snapshot_time(c->snapshot) : 0;
    *ret = (struct tree_node){
        .id = node->id,
        .is_directory = is_directory(node),
        .changed = {.tv_sec = (time_t)(time_ns / NS_PER_S), .tv_nsec = (long)(time_ns % NS_PER_S)},
    };
    if (node->kind != KIND_PROCESS)
        ret->known_for_s = KNOWN_FOR_S;
    return ret->is_directory ? 0 : size_of_text(c, node, &ret->size_bytes);
}

static int content_look(void *provider, uint64_t id, struct tree_node *ret) {
    struct content *c = provider;
    struct tree_node unused;
    struct node node = {.part = (enum part)(id & ((1u << PART_BITS) - 1))};
    int r = is_directory(&node) ? 0 : c->refresh(c->data);
    if (r == 0)
        r = resolve(c, id, &node);
    return r < 0 ? r : describe(c, &node, ret ? ret : &unused);
}

static int content_lookup(void *provider, uint64_t directory, const char *name,
                          struct tree_node *ret) {
    struct content *c = provider;
    struct node in = {0}, node = {0};
    uint64_t id = 0;
    int r = c->refresh(c->data);
    if (r == 0)
        r = resolve(c, directory, &in);
    if (r == 0)
        r = find_in(c, &in, name, &id);
    if (r == 0)
        r = resolve(c, id, &node);
    return r < 0 ? r : describe(c, &node, ret);
}

static int content_text(void *provider, uint64_t id, struct tree_text *ret) {
    struct content *c = provider;
    struct node node = {0};
    int r = c->refresh(c->data);
    if (r == 0)
        r = resolve(c, id, &node);
    if (r < 0)
        return r;
    return is_directory(&node) ? -EISDIR : make_text(c, &node, ret);
}

static int content_list(void *provider, uint64_t directory, struct tree_list *to) {
    struct content *c = provider;
    struct node node = {0};
    int r = directory == TREE_ROOT ? 0 : c->refresh(c->data);
    if (r == 0)
        r = resolve(c, directory, &node);
    if (r < 0)
        return r;
    switch (node.part) {
    case PART_GROUPS:
        return list_groups(c, to);
    case PART_PROCESSES:
        return list_processes(c, &node, to);
    case PART_DIRECTORY:
        return list_files(c, &node, to);
    case PART_PROMETHEUS:
    case PART_INFLUX:
    case PART_TIME:
    case PART_ALL:
    case PART_LABELS:
    case PART_THREAD_NAMES:
    case PART_WAIT_CHANNELS:
    case PART_METRIC:
        break;
    }
    return -ENOTDIR;
}

const struct tree_ops content_ops = {
    .lookup = content_lookup,
    .look = content_look,
    .text = content_text,
    .list = content_list,
    .announces = true,
};
