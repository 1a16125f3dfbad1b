/* SPDX-License-Identifier: MIT */
#include "group/grouping.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line for --explain, if anybody asks. */
__attribute__((format(printf, 2, 3))) static void explain(struct buf *why, const char *format,
                                                          ...) {
    char line[2048];
    va_list args;
    if (!why)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    /* it goes to a terminal, and processes name themselves */
    utf8_clean(line, strlen(line), sizeof(line) * 3, why);
    buf_add_char(why, '\n');
}

static int patterns_new(const struct string_list *texts, struct pattern ***ret, size_t *ret_count,
                        struct tally_error *error) {
    *ret_count = 0;
    if (texts->count == 0)
        return 0;
    *ret = calloc(texts->count, sizeof(struct pattern *));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < texts->count; i++) {
        int r = pattern_new_filter(texts->items[i], &(*ret)[i], error);
        if (r < 0)
            return r;
        ++*ret_count;
    }
    return 0;
}

static void patterns_free(struct pattern **patterns, size_t count) {
    for (size_t i = 0; i < count; i++)
        pattern_free(patterns[i]);
    free(patterns);
}

/* What a key of group-by has to read. */
static const unsigned key_needs[GROUP_KEYS] = {
    [GROUP_NAME] = 0,
    [GROUP_USER] = IDENTITY_USER,
    [GROUP_CMDLINE] = IDENTITY_CMDLINE,
    [GROUP_EXE] = IDENTITY_EXE,
    [GROUP_CGROUP] = IDENTITY_CGROUP,
    [GROUP_UNIT] = IDENTITY_CGROUP,
    [GROUP_CONTAINER] = IDENTITY_CGROUP,
    [GROUP_PID] = IDENTITY_EXE,
};

int grouping_new(const struct settings *settings, tally_grouper *grouper, void *grouper_data,
                 struct grouping *ret, struct tally_error *error) {
    *ret = (struct grouping){
        .grouper = grouper,
        .grouper_data = grouper_data,
        .children = settings->children,
        .group_by_count = settings->group_by_count,
        .kernel_threads = settings->kernel_threads,
        .representative = settings->schema == TALLY_SCHEMA_PROCESS,
    };
    buf_init(&ret->name, 1 << 20);
    buf_init(&ret->value, 1 << 20);
    memcpy(ret->group_by, settings->group_by, sizeof(ret->group_by));
    int r = patterns_new(&settings->include, &ret->include, &ret->include_count, error);
    if (r == 0)
        r = patterns_new(&settings->exclude, &ret->exclude, &ret->exclude_count, error);
    if (r == 0)
        r = rules_new(settings, &ret->rules);
    if (r < 0) {
        grouping_free(ret);
        return r;
    }
    ret->needs = ret->rules.needs | (ret->representative ? IDENTITY_USER : 0);
    if (grouper)
        ret->needs |= IDENTITY_CMDLINE | IDENTITY_EXE | IDENTITY_CGROUP | IDENTITY_USER;
    for (size_t i = 0; i < ret->group_by_count; i++) {
        ret->needs |= key_needs[ret->group_by[i]];
        ret->by_pid = ret->by_pid || ret->group_by[i] == GROUP_PID;
    }
    return 0;
}

void grouping_free(struct grouping *g) {
    patterns_free(g->include, g->include_count);
    patterns_free(g->exclude, g->exclude_count);
    rules_free(&g->rules);
    buf_free(&g->name);
    buf_free(&g->value);
    *g = (struct grouping){0};
}

/* ---- Filters --------------------------------------------------------------------- */

static const char *find_filter(struct grouping *g, struct pattern *const *patterns, size_t count,
                               struct text name, struct match_time *time) {
    for (size_t i = 0; i < count; i++) {
        int r = pattern_match(patterns[i], name.at, name.len, time);
        g->pattern_limits += r < 0;
        if (r > 0)
            return pattern_text(patterns[i]);
    }
    return NULL;
}

static bool filters_pass(struct grouping *g, const struct identity *id, struct match_time *time,
                         struct buf *why) {
    if (id->is_kernel && g->kernel_threads == KERNEL_THREADS_LEFT_OUT) {
        explain(why, "kernel-threads: it is one of the kernel's own: left out");
        return false;
    }
    const char *pattern = find_filter(g, g->exclude, g->exclude_count, id->comm, time);
    if (pattern) {
        explain(why, "exclude: \"%s\" matches the name: left out", pattern);
        return false;
    }
    if (g->exclude_count)
        explain(why, "exclude: no pattern matches the name");
    if (g->include_count == 0)
        return true;
    pattern = find_filter(g, g->include, g->include_count, id->comm, time);
    if (pattern)
        explain(why, "include: \"%s\" matches the name", pattern);
    else
        explain(why, "include: no pattern matches the name: left out");
    return pattern != NULL;
}

/* ---- Names ------------------------------------------------------------------------ */

static const char *ended(struct text text) {
    return text.len ? text.at : "";
}

static bool ask_grouper(struct grouping *g, const struct identity *id, struct buf *why) {
    char name[GROUP_NAME_MAX] = {0}, texts[4][4200];
    if (!g->grouper)
        return false;
    const struct text sources[4] = {id->comm, id->user, id->exe, id->cgroup};
    for (size_t i = 0; i < 4; i++) {
        size_t len = sources[i].len < sizeof(texts[i]) - 1 ? sources[i].len : sizeof(texts[i]) - 1;
        memcpy(texts[i], ended(sources[i]), len);
        texts[i][len] = '\0';
    }
    const struct tally_process_view view = {
        .pid = (pid_t)id->pid,
        .ppid = (pid_t)id->ppid,
        .uid = id->uid,
        .name = texts[0],
        .user = texts[1],
        .exe = texts[2],
        .cgroup = texts[3],
        .cmdline = ended(id->cmdline),
        .cmdline_len = id->cmdline.len,
    };
    size_t len = g->grouper(g->grouper_data, &view, name, sizeof(name));
    if (len >= sizeof(name)) /* as snprintf(3) says it: it would have been that long */
        len = strnlen(name, sizeof(name));
    buf_reset(&g->name);
    buf_add(&g->name, name, len);
    explain(why, "grouper: %s", len ? "gives it a group" : "leaves it to the rules");
    return len > 0;
}

static const struct rule *find_rule(struct grouping *g, const struct identity *id, uint32_t above,
                                    struct match_time *time, struct buf *why) {
    for (size_t i = 0; i < g->rules.count; i++) {
        const struct rule *rule = &g->rules.items[i];
        struct mismatch miss;
        if (rule_matches(rule, id, above, time, &miss)) {
            explain(why, "rule %zu (line %u): matches%s", i + 1, rule->text->line,
                    rule->text->drop ? ": left out" : "");
            return rule;
        }
        g->pattern_limits += miss.gave_up;
        const bool lacks_words = id->cmdline.len == 0 && (miss.selector == SELECTOR_EXE ||
                                                          miss.selector == SELECTOR_CMDLINE);
        explain(why, "rule %zu (line %u): %s%s %s%s", i + 1, rule->text->line,
                miss.is_unless ? "not: " : "", selector_names[miss.selector],
                miss.gave_up && miss.is_unless ? "may match"
                : miss.is_unless              ? "matches"
                                             : "does not match",
                miss.gave_up   ? " (took too many steps, given up)"
                : miss.selector == SELECTOR_PARENT && !miss.is_unless
                    ? " (no ancestor that is known has all of it)"
                : lacks_words && !miss.is_unless
                    ? " (there is no command line, as of zombies and kernel threads)"
                    : "");
    }
    return NULL;
}

/* What stands for a process whose program can't be told: its name as ps(1)
 * shows such a process. */
static struct text bracketed(struct grouping *g, const struct identity *id) {
    buf_reset(&g->value);
    buf_add_char(&g->value, '[');
    buf_add(&g->value, id->comm.at, id->comm.len);
    buf_add_char(&g->value, ']');
    return (struct text){g->value.data, g->value.len};
}

static struct text or_none(struct text text) {
    return text.len ? text : (struct text){"none", 4};
}

static struct text key_text(struct grouping *g, enum group_key key, const struct identity *id,
                            char number[static 20]) {
    switch (key) {
    case GROUP_NAME:
        return id->comm;
    case GROUP_USER:
        return or_none(id->user);
    case GROUP_CMDLINE:
        return id->cmdline.len ? identity_first_word(id) : bracketed(g, id);
    case GROUP_EXE:
        return id->exe.len ? id->exe : bracketed(g, id);
    case GROUP_CGROUP:
        return or_none(id->cgroup);
    case GROUP_UNIT:
        return or_none(id->unit);
    case GROUP_CONTAINER:
        return or_none(id->container);
    case GROUP_PID:
        return (struct text){number, format_u64(number, id->pid)};
    case GROUP_KEYS:
        break;
    }
    return (struct text){0};
}

/* The value of a key as a label: empty where there is none of it. */
static struct text key_label(enum group_key key, struct text text, const struct identity *id) {
    switch (key) {
    case GROUP_USER:
        return id->user;
    case GROUP_CGROUP:
        return id->cgroup;
    case GROUP_UNIT:
        return id->unit;
    case GROUP_CONTAINER:
        return id->container;
    case GROUP_NAME:
    case GROUP_CMDLINE:
    case GROUP_EXE:
    case GROUP_PID:
    case GROUP_KEYS:
        break;
    }
    return text;
}

struct text grouping_cgroup(const struct grouping *g, const struct identity *id) {
    struct text found = {"", 0};
    for (size_t i = 0; i < g->group_by_count; i++) {
        struct text path = g->group_by[i] == GROUP_UNIT        ? id->unit_cgroup
                           : g->group_by[i] == GROUP_CONTAINER ? id->container_cgroup
                           : g->group_by[i] == GROUP_CGROUP    ? id->cgroup
                                                               : found;
        if (path.len > found.len)
            found = path;
    }
    return found;
}

static void add_label(struct group_labels *labels, const char *key, struct text value) {
    for (size_t i = 0; i < labels->count; i++)
        if (strcmp(labels->items[i].key, key) == 0)
            return;
    labels->items[labels->count].key = key;
    labels->items[labels->count++].value = value;
}

static void add_process_labels(struct decision *d, const struct identity *id) {
    const struct {
        const char *key;
        uint32_t value;
        bool known;
    } numbers[] = {{"pid", id->pid, true},
                   {"ppid", id->ppid, true},
                   {"uid", id->uid, id->has_credentials},
                   {"gid", id->gid, id->has_credentials}};
    for (size_t i = 0; i < 4; i++) {
        struct text text = {d->numbers[i], format_u64(d->numbers[i], numbers[i].value)};
        if (numbers[i].known)
            add_label(&d->labels, numbers[i].key, text);
    }
    add_label(&d->labels, "path", id->exe);
}

/* The keys of group-by, joined by ':', into g->name; and as labels. */
static void join_keys(struct grouping *g, const struct identity *id, struct decision *d) {
    char number[20];
    buf_reset(&g->name);
    for (size_t i = 0; i < g->group_by_count; i++) {
        enum group_key key = g->group_by[i];
        struct text text = key_text(g, key, id, number);
        if (i > 0)
            buf_add_char(&g->name, ':');
        buf_add(&g->name, text.at, text.len);
    }
    if (g->by_pid)
        add_process_labels(d, id);
    for (size_t i = 0; i < g->group_by_count; i++) {
        enum group_key key = g->group_by[i];
        struct text text = key_text(g, key, id, number);
        /* what is in brackets stands in the scratch buffer: the same for both keys */
        bool is_groupname = key == GROUP_NAME && g->group_by_count == 1;
        if (key != GROUP_PID && !is_groupname)
            add_label(&d->labels, group_key_names[key], key_label(key, text, id));
        for (size_t k = 0; key == GROUP_CONTAINER && k < CONTAINER_LABELS; k++)
            if (id->container_texts[k].len)
                add_label(&d->labels, container_label_names[k], id->container_texts[k]);
    }
}

/* ---- The whole --------------------------------------------------------------------- */

int grouping_add_literals(const struct grouping *g, struct tallies *tallies) {
    struct buf name;
    buf_init(&name, 1 << 20);
    int r = 0;
    for (size_t i = 0; r == 0 && i < g->rules.count; i++) {
        static const struct identity nobody;
        const struct template *literal = g->rules.items[i].name;
        if (!literal || !template_is_literal(literal))
            continue;
        buf_reset(&name);
        template_expand(literal, &nobody, NULL, 0, &name);
        uint32_t index;
        r = name.error ? name.error
                       : tallies_group(tallies, (struct text){name.data, name.len}, NULL, true,
                                       NO_OWNER, &index);
    }
    buf_free(&name);
    return r;
}

static bool must_defer(const struct match_time *time) {
    return time->ran_out && time->may_defer;
}

static bool is_followed(const struct grouping *g, const struct identity *id,
                        struct lineage ancestors, struct buf *why) {
    if (g->followed.count == 0 || ancestors.is_followed ||
        is_followed_root(&g->followed, id->pid, id->start_ticks))
        return true;
    explain(why, "follow: it does not descend from process %u%s: left out",
            g->followed.roots[0].pid, g->followed.count > 1 ? " or another one" : "");
    return false;
}

/* 1: it has a rule group, whose name is in g->name, or a rule leaves it out. */
static int find_rule_group(struct grouping *g, const struct identity *id, uint32_t above,
                           struct match_time *time, struct decision *ret, struct buf *why) {
    if (ask_grouper(g, id, why)) {
        ret->by = BY_GROUPER;
        return 1;
    }
    const struct rule *rule = find_rule(g, id, above, time, why);
    if (must_defer(time))
        return -EAGAIN;
    if (!rule)
        return 0;
    buf_reset(&g->name);
    if (rule->text->drop)
        return 1;
    ret->by = BY_RULE;
    template_expand(rule->name, id, rule->when.cmdline, rule->when.cmdline_count, &g->name);
    return 1;
}

/* What no rule took. */
static void decide_the_rest(struct grouping *g, const struct identity *id,
                            struct lineage ancestors, struct decision *ret, struct buf *why) {
    if (g->children && ancestors.group) {
        explain(why, "children: joins the group of its nearest ancestor that a rule took");
        ret->by = BY_ANCESTOR;
        return;
    }
    if (g->children)
        explain(why, "children: no rule took an ancestor");
    if (g->group_by_count == 0) {
        explain(why, "group-by: empty: left out");
        return;
    }
    /* by pid they take no more slots than others */
    if (id->is_kernel && g->kernel_threads == KERNEL_THREADS_ONE && !g->by_pid) {
        explain(why, "kernel-threads: it is one of the kernel's own");
        ret->by = BY_KERNEL;
        buf_reset(&g->name);
        buf_add_str(&g->name, KERNEL_GROUP);
        return;
    }
    explain(why, "group-by: takes what no rule took");
    if (g->by_pid && id->pid == 0) {
        ret->by = BY_OVERFLOW;
        return;
    }
    ret->by = BY_KEYS;
    if (g->by_pid)
        ret->owner = (struct group_owner){id->pid, id->start_ticks};
    join_keys(g, id, ret);
}

int grouping_decide(struct grouping *g, const struct identity *id, struct lineage ancestors,
                    struct match_time *time, struct decision *ret, struct buf *why) {
    ret->by = BY_NOBODY;
    ret->is_followed = is_followed(g, id, ancestors, why);
    ret->ancestors_group = ancestors.group;
    ret->parents = 0;
    ret->owner = NO_OWNER;
    ret->labels.count = 0;
    if (g->rules.parent_count) {
        unsigned gave_up;
        ret->parents = rules_parents(&g->rules, id, ancestors.parents, time, &gave_up);
        g->pattern_limits += gave_up;
        if (must_defer(time))
            return -EAGAIN;
    }
    if (!ret->is_followed)
        return 0;
    bool passes = filters_pass(g, id, time, why);
    if (must_defer(time))
        return -EAGAIN;
    if (!passes)
        return 0;
    int r = find_rule_group(g, id, ancestors.parents, time, ret, why);
    if (r < 0)
        return r;
    if (r == 0)
        decide_the_rest(g, id, ancestors, ret, why);
    if (g->representative) {
        add_label(&ret->labels, "name", id->comm);
        add_label(&ret->labels, "user", id->user);
    }
    /* titles that programs give themselves are padded */
    while (g->name.len && g->name.data[g->name.len - 1] == ' ')
        g->name.len--;
    ret->name = (struct text){g->name.data, g->name.len};
    return g->name.error;
}

int decision_group(const struct decision *d, struct tallies *tallies, uint32_t *ret_group) {
    static const struct text other = {"other", 5};
    switch (d->by) {
    case BY_NOBODY:
        *ret_group = GROUP_LEFT_OUT;
        return 0;
    case BY_ANCESTOR:
        *ret_group = d->ancestors_group;
        return 0;
    case BY_OVERFLOW:
        return tallies_group(tallies, other, NULL, true, NO_OWNER, ret_group);
    case BY_KERNEL:
        return tallies_group(tallies, d->name, &d->labels, true, NO_OWNER, ret_group);
    case BY_GROUPER:
    case BY_RULE:
    case BY_KEYS:
        break;
    }
    return tallies_group(tallies, d->name, &d->labels, false, d->owner, ret_group);
}

struct lineage decision_lineage(const struct grouping *g, const struct decision *d,
                                struct lineage ancestors, uint32_t group) {
    const bool has_rule_group = d->by == BY_RULE || d->by == BY_GROUPER;
    return (struct lineage){
        .group = !g->children ? 0 : has_rule_group ? group : ancestors.group,
        .is_followed = g->followed.count && d->is_followed,
        .parents = d->parents,
    };
}
