/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const group_key_names[GROUP_KEYS + 1] = {
    "name", "user", "cmdline", "exe", "cgroup", "unit", "container", "pid", NULL};
const char *const collect_names[COLLECTS + 1] = {
    "context-switches", "delays", "fds", "io", "memory-details", "network", "pss", "states", "threads", NULL};
const char *const kernel_threads_names[] = {"one", "split", "leave-out", NULL};
const char *const source_names[SOURCES + 1] = {"auto", "procfs", "bpf", NULL};
const char *const selector_names[SELECTORS] = {"comm", "exe", "cmdline", "user", "cgroup", "unit"};

void rule_text_free(struct rule_text *rule) {
    free(rule->name);
    for (size_t s = 0; s < SELECTORS; s++)
        string_list_free(&rule->selectors[s]);
    *rule = (struct rule_text){0};
}

int rule_text_copy(struct rule_text *to, const struct rule_text *from) {
    *to = (struct rule_text){.name = strdup(from->name), .line = from->line};
    int r = to->name ? 0 : -ENOMEM;
    for (size_t s = 0; r == 0 && s < SELECTORS; s++)
        r = string_list_copy(&to->selectors[s], &from->selectors[s]);
    if (r < 0)
        rule_text_free(to);
    return r;
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
