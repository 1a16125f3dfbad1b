/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const group_key_names[GROUP_KEYS + 1] = {
    "name", "user", "cmdline", "exe", "cgroup", "unit", "container", "pid", NULL};
const char *const collect_names[COLLECTS + 1] = {
    "cgroup", "context-switches", "delays", "exits", "fds", "io", "memory-details", "network",
    "pss", "sockets", "states", "thread-names", "threads", NULL};
const char *const container_label_names[CONTAINER_LABELS] = {"pod", "namespace", "container_name",
                                                             "image"};
const char *const kernel_threads_names[] = {"one", "split", "leave-out", NULL};
const char *const source_names[SOURCES + 1] = {"auto", "procfs", "bpf", NULL};
const char *const top_by_names[] = {"cpu", "memory", "io", "network", NULL};
const char *const selector_names[SELECTOR_NAMES] = {
    "comm", "exe", "cmdline", "user", "cgroup", "unit", "gid", "pid_file",
    "kernel", "parent"};

bool selection_is_empty(const struct selection *s) {
    bool is_empty = !s->unless && !s->parent;
    for (size_t i = 0; i < SELECTORS; i++)
        is_empty = is_empty && s->selectors[i].count == 0;
    return is_empty;
}

static void selection_clear(struct selection *s) {
    struct selection *const inner[] = {s->unless, s->parent};
    for (size_t i = 0; i < SELECTORS; i++)
        string_list_free(&s->selectors[i]);
    for (size_t i = 0; i < 2; i++) {
        if (inner[i])
            selection_clear(inner[i]);
        free(inner[i]);
    }
    *s = (struct selection){0};
}

void rule_text_free(struct rule_text *rule) {
    free(rule->name);
    selection_clear(&rule->when);
    *rule = (struct rule_text){0};
}

static int selection_copy(struct selection *to, const struct selection *from);

static int selection_copy_new(struct selection **to, const struct selection *from) {
    if (!from)
        return 0;
    *to = calloc(1, sizeof(**to));
    return *to ? selection_copy(*to, from) : -ENOMEM;
}

/* What was copied so far is in `to` also on failure. */
static int selection_copy(struct selection *to, const struct selection *from) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < SELECTORS; i++)
        r = string_list_copy(&to->selectors[i], &from->selectors[i]);
    if (r == 0)
        r = selection_copy_new(&to->unless, from->unless);
    return r < 0 ? r : selection_copy_new(&to->parent, from->parent);
}

int rule_text_copy(struct rule_text *to, const struct rule_text *from) {
    *to = (struct rule_text){.name = strdup(from->name), .drop = from->drop, .line = from->line};
    int r = to->name ? selection_copy(&to->when, &from->when) : -ENOMEM;
    if (r < 0)
        rule_text_free(to);
    return r;
}

bool settings_group_by_cgroup(const struct settings *s) {
    for (size_t i = 0; i < s->group_by_count; i++)
        switch (s->group_by[i]) {
        case GROUP_CGROUP:
        case GROUP_UNIT:
        case GROUP_CONTAINER:
            break;
        case GROUP_NAME:
        case GROUP_USER:
        case GROUP_CMDLINE:
        case GROUP_EXE:
        case GROUP_PID:
        case GROUP_KEYS:
            return false;
        }
    return s->group_by_count > 0;
}

void settings_free(struct settings *s) {
    for (size_t i = 0; i < s->rule_count; i++)
        rule_text_free(&s->rules[i]);
    free(s->rules);
    string_list_free(&s->include);
    string_list_free(&s->exclude);
    string_list_free(&s->labels);
    free(s->procfs);
    free(s->pin_dir);
    free(s->prefix);
    free(s->self_prefix);
    free(s->measurement);
    free(s->state_file);
    *s = (struct settings){0};
}
