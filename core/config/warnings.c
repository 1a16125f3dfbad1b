/* SPDX-License-Identifier: MIT */
/* What is taken but hardly meant: above all rules that can never match. */
#define _GNU_SOURCE
#include "config/config.h"

#include "base/error.h"
#include "base/number.h"
#include "config/choice.h"
#include "count/metrics.h"
#include "group/pattern.h"
#include "group/rules.h"
#include "group/template.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A program's name; those of kernel workers are longer. */
#define COMM_MOST 15
/* Each is compared with all before it. */
#define RULES_MOST 500
#define SHOWN 60

/* How much work the comparing of rules may be: a file that is made for it would take
 * minutes. Then no more warnings of that kind are found. */
#define STEPS_MOST 2000000u
#define STEPS_OF_MATCH 20u
#define MATCHING_NS (NS_PER_S / 5)

struct checked_rule {
    const struct rule_text *text;
    size_t number;
    struct pattern **cmdline;
    size_t cmdline_count;
    struct template *name;
};

int config_remark(tally_config *c, const struct tally_error *text) {
    return string_list_add(&c->remarks, text->text, strlen(text->text));
}

static void place_of(const tally_config *c, const struct checked_rule *rule, char *to,
                     size_t size) {
    if (rule->text->line && c->rules_from)
        snprintf(to, size, "%.200s:%u: ", c->rules_from, rule->text->line);
    else
        snprintf(to, size, "rule %zu (%.60s): ", rule->number,
                 rule->text->drop ? "drop" : rule->text->name);
}

__attribute__((format(printf, 3, 4))) static int warn(tally_config *c,
                                                      const struct checked_rule *rule,
                                                      const char *format, ...) {
    char place[300], text[512];
    struct tally_error whole;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    place_of(c, rule, place, sizeof(place));
    error_set(&whole, "%s%s", place, text);
    return string_list_add(&c->warnings, whole.text, strlen(whole.text));
}

/* ---- Single texts ------------------------------------------------------------------------ */

static bool is_glob(const char *text) {
    return strpbrk(text, "*?") || (strchr(text, '[') && strchr(text, ']'));
}

/* Signs that are hardly ever part of a name. */
static bool is_expression(const char *text) {
    size_t len = strlen(text);
    return strpbrk(text, "*|\\") || text[0] == '^' || (len > 1 && text[len - 1] == '$');
}

static bool is_written_as_glob(const char *text) {
    return strncmp(text, RULE_GLOB, sizeof(RULE_GLOB) - 1) == 0;
}

static int check_comm(tally_config *c, const struct checked_rule *rule, const char *text) {
    size_t len = strlen(text);
    if (is_written_as_glob(text))
        return 0;
    if (text[0] == '[' && text[len - 1] == ']')
        return warn(c, rule, "comm \"%.*s\" never matches, expected the name without brackets: "
                             "\"%.*s\"",
                    SHOWN, text, (int)(len < SHOWN ? len - 2 : SHOWN), text + 1);
    if (text[0] == '/')
        return warn(c, rule, "comm \"%.*s\" is a path and never matches, expected a name, or exe",
                    SHOWN, text);
    if (is_expression(text))
        return warn(c, rule, "comm \"%.*s\" is taken as it stands and matches no usual name, "
                             "expected a whole name, a glob written " RULE_GLOB "NAME*, or a regular "
                             "expression in cmdline",
                    SHOWN, text);
    if (len > COMM_MOST && strncmp(text, "kworker/", 8) != 0)
        return warn(c, rule, "comm \"%.*s\" never matches, as a name has %d bytes at most, expected "
                             "\"%.*s\"",
                    SHOWN, text, COMM_MOST, COMM_MOST, text);
    return 0;
}

static int check_text(tally_config *c, const struct checked_rule *rule, enum selector selector,
                      const char *text) {
    const char *name = selector_names[selector];
    if (!*text && selector == SELECTOR_CGROUP)
        return warn(c, rule, "cgroup has an empty text, which matches all processes, expected a "
                             "path such as \"/system.slice\"");
    if (!*text)
        return selector == SELECTOR_CMDLINE
                   ? 0
                   : warn(c, rule, "%s has an empty text, which never matches", name);
    switch (selector) {
    case SELECTOR_COMM:
        return check_comm(c, rule, text);
    case SELECTOR_EXE:
    case SELECTOR_USER:
    case SELECTOR_GID:
        if (is_expression(text) && !is_written_as_glob(text))
            return warn(c, rule, "%s \"%.*s\" is taken as it stands, not as a pattern, expected a "
                                 "whole name, or a glob written " RULE_GLOB "NAME*",
                        name, SHOWN, text);
        return 0;
    case SELECTOR_CGROUP:
        if (text[0] != '/' && !strchr("*?[", text[0]))
            return warn(c, rule, "cgroup \"%.*s\" never matches, as paths begin with a slash, "
                                 "expected \"/%.*s\"",
                        SHOWN, text, SHOWN, text);
        return 0;
    case SELECTOR_UNIT:
        if (!strchr(text, '.') && !is_glob(text))
            return warn(c, rule, "unit \"%.*s\" never matches, as names of units have an ending, "
                                 "expected \"%.*s.service\"",
                        SHOWN, text, SHOWN, text);
        return 0;
    case SELECTOR_PID_FILE:
    case SELECTOR_KERNEL:
    case SELECTOR_CMDLINE:
    case SELECTORS:
    case SELECTOR_NAMES:
        break;
    }
    return 0;
}

static int check_texts(tally_config *c, const struct checked_rule *rule,
                       const struct selection *in) {
    int r = 0;
    for (enum selector s = 0; s < SELECTORS; s++)
        for (size_t i = 0; r == 0 && i < in->selectors[s].count; i++)
            r = check_text(c, rule, s, in->selectors[s].items[i]);
    if (r == 0 && in->unless)
        r = check_texts(c, rule, in->unless);
    return r == 0 && in->parent ? check_texts(c, rule, in->parent) : r;
}

static int check_kernel(tally_config *c, const struct checked_rule *rule) {
    const struct string_list *kernel = &rule->text->when.selectors[SELECTOR_KERNEL];
    if (kernel->count != 1 || kernel->items[0][0] != 't' ||
        rule->text->when.selectors[SELECTOR_EXE].count == 0)
        return 0;
    return warn(c, rule, "the rule never matches: a thread of the kernel's own has no command "
                         "line, of which exe is the first word");
}

/* ---- {{.Matches.NAME}} --------------------------------------------------------------------- */

static int check_matches(tally_config *c, const struct checked_rule *rule) {
    struct text name;
    int r = 0;
    for (size_t i = 0; r == 0 && template_match_name(rule->name, i, &name); i++) {
        bool is_known = false;
        for (size_t p = 0; p < rule->cmdline_count; p++)
            is_known |= pattern_has_capture(rule->cmdline[p], name.at, name.len);
        if (!is_known)
            r = warn(c, rule, "the name has {{.Matches.%.*s}}, and no expression of the rule has a "
                              "group (?P<%.*s>...), so that it stands for \"<no value>\"",
                     (int)(name.len < SHOWN ? name.len : SHOWN), name.at,
                     (int)(name.len < SHOWN ? name.len : SHOWN), name.at);
    }
    return r;
}

/* ---- Rules that come too late ---------------------------------------------------------------- */

struct effort {
    size_t steps;
    struct match_time time;
};

static bool is_spent(struct effort *effort, size_t steps) {
    effort->steps += steps;
    return effort->steps > STEPS_MOST;
}

static bool matches(const struct checked_rule *rule, const char *text, struct effort *effort) {
    for (size_t i = 0; i < rule->cmdline_count; i++)
        if (is_spent(effort, STEPS_OF_MATCH) ||
            pattern_match(rule->cmdline[i], text, strlen(text), &effort->time) <= 0)
            return false;
    return true;
}

static bool has_only(const struct checked_rule *rule, enum selector selector) {
    if (rule->text->when.unless || rule->text->when.parent)
        return false;
    for (enum selector s = 0; s < SELECTORS; s++)
        if ((s == selector) != (rule->text->when.selectors[s].count > 0))
            return false;
    return true;
}

static bool is_within(const struct string_list *all, const struct string_list *in,
                      struct effort *effort) {
    for (size_t i = 0; i < all->count; i++) {
        bool found = false;
        if (is_spent(effort, in->count))
            return false;
        for (size_t k = 0; !found && k < in->count; k++)
            found = strcmp(all->items[i], in->items[k]) == 0;
        if (!found)
            return false;
    }
    return true;
}

/* Does the one take all that the other could? */
static bool takes_all_of(const struct checked_rule *first, const struct checked_rule *other,
                         struct effort *effort) {
    /* an expression that matches nothing at all, and anything, matches always */
    if (has_only(first, SELECTOR_CMDLINE) && matches(first, "", effort) &&
        matches(first, "\x01", effort))
        return true;
    if (first->text->when.unless || first->text->when.parent)
        return false;
    for (enum selector s = 0; s < SELECTORS; s++) {
        const struct string_list *a = &first->text->when.selectors[s], *b = &other->text->when.selectors[s];
        if (a->count == 0)
            continue;
        /* any of a list, but all expressions */
        if (b->count == 0 ||
            !(s == SELECTOR_CMDLINE ? is_within(a, b, effort) : is_within(b, a, effort)))
            return false;
    }
    return true;
}

/* Does it match the names that the other looks for, so that it is likely to match their
 * command lines? */
static bool matches_names_of(const struct checked_rule *first, const struct checked_rule *other,
                             struct effort *effort) {
    const struct string_list *comm = &other->text->when.selectors[SELECTOR_COMM],
                             *exe = &other->text->when.selectors[SELECTOR_EXE];
    if (!has_only(first, SELECTOR_CMDLINE) || comm->count + exe->count == 0)
        return false;
    for (size_t i = 0; i < comm->count; i++)
        if (!matches(first, comm->items[i], effort))
            return false;
    for (size_t i = 0; i < exe->count; i++)
        if (!matches(first, exe->items[i], effort))
            return false;
    return true;
}

static int check_order(tally_config *c, const struct checked_rule *rules, size_t at,
                       struct effort *effort) {
    for (size_t i = 0; i < at && !is_spent(effort, 1); i++) {
        char first[40];
        if (rules[i].text->line)
            snprintf(first, sizeof(first), "that of line %u", rules[i].text->line);
        else
            snprintf(first, sizeof(first), "rule %zu", rules[i].number);
        if (takes_all_of(&rules[i], &rules[at], effort))
            return warn(c, &rules[at], "the rule never matches: %s takes all that it could", first);
        if (matches_names_of(&rules[i], &rules[at], effort))
            return warn(c, &rules[at], "the rule may get nothing: %s comes first, and matches its "
                                       "names as well",
                        first);
    }
    return 0;
}

/* ---- Options that have no effect -------------------------------------------------------------- */

static int check_effect(tally_config *c) {
    struct settings s;
    int r = config_settings(c, &s);
    if (r < 0)
        return r;
    if (s.collect & 1u << COLLECT_CGROUP && !settings_group_by_cgroup(&s)) {
        static const char text[] = "collect has cgroup, which has no effect with this group-by, "
                                   "expected no other keys than unit, container and cgroup";
        r = string_list_add(&c->warnings, text, sizeof(text) - 1);
    }
    bool by_container = false;
    for (size_t i = 0; i < s.group_by_count; i++)
        by_container |= s.group_by[i] == GROUP_CONTAINER;
    if (r == 0 && s.container_names && !by_container) {
        static const char text[] = "container-names has no effect with this group-by, expected "
                                   "container among its keys";
        r = string_list_add(&c->warnings, text, sizeof(text) - 1);
    }
    settings_free(&s);
    return r;
}

/* ---- The whole --------------------------------------------------------------------------------- */

static void free_checked(struct checked_rule *rules, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (size_t p = 0; p < rules[i].cmdline_count; p++)
            pattern_free(rules[i].cmdline[p]);
        free(rules[i].cmdline);
        template_free(rules[i].name);
    }
    free(rules);
}

static int prepare(const struct rule_text *text, size_t number, struct checked_rule *ret) {
    const struct string_list *regexes = &text->when.selectors[SELECTOR_CMDLINE];
    *ret = (struct checked_rule){.text = text, .number = number};
    ret->cmdline = calloc(regexes->count + 1, sizeof(*ret->cmdline));
    if (!ret->cmdline)
        return -ENOMEM;
    int r = text->drop ? 0 : template_new(text->name, &ret->name, NULL);
    for (size_t i = 0; r == 0 && i < regexes->count; i++) {
        r = pattern_new(regexes->items[i], &ret->cmdline[i], NULL);
        ret->cmdline_count += r == 0;
    }
    return r;
}

/* A word of `metrics` all of which is switched off: no metric comes of it. */
static int check_choice(tally_config *c) {
    const struct string_list *words = &c->values[OPTION_METRICS].items;
    struct tally_error text;
    int r = 0;
    for (size_t i = 0; r == 0 && i < words->count; i++) {
        const bool takes_away = words->items[i][0] == '!';
        const metric_set found = takes_away ? 0 : choice_of_word(words->items[i]);
        const unsigned parts = takes_away ? 0 : choice_parts_of_word(words->items[i]);
        unsigned collect = 0;
        bool is_on = false;
        for (size_t m = 0; m < METRICS_OF_GROUP; m++)
            if (found & METRIC_SET(m)) {
                collect |= metric_table[m].collect;
                is_on |= metric_table[m].collect == 0 || tally_config_has_metric(c, m);
            }
        for (size_t k = 0; k < PART_METRICS; k++)
            if (parts >> k & 1) {
                collect |= metric_table[METRIC_THREAD_FIRST + k].collect;
                is_on |= tally_config_has_metric(c, METRIC_THREAD_FIRST + k);
            }
        if (collect == 0 || is_on)
            continue;
        error_set(&text, "metrics has \"%.*s\", which is not collected, expected collect: [%s] as "
                         "well",
                  SHOWN, words->items[i], collect_names[__builtin_ctz(collect)]);
        r = string_list_add(&c->warnings, text.text, strlen(text.text));
    }
    return r;
}

/* A number without what to go by does nothing for groups of several processes. */
static int check_top(tally_config *c) {
    static const char text[] = "top is a number, which is for group-by pid alone, expected what to "
                               "go by as well, such as \"10 by cpu\"";
    struct settings s = {0};
    bool by_pid = false;
    const struct string_list *keys = &c->values[OPTION_GROUP_BY].items;
    for (size_t i = 0; i < keys->count; i++)
        by_pid |= strcmp(keys->items[i], group_key_names[GROUP_PID]) == 0;
    const char *top = tally_config_get(c, "top");
    const bool is_given = strcmp(top, tally_option(OPTION_TOP)->default_value) != 0;
    (void)option_parse_top(top, &s.top, &s.top_by);
    return is_given && s.top_by == TOP_BY_NONE && !by_pid
               ? string_list_add(&c->warnings, text, strlen(text))
               : 0;
}

static int find_warnings(tally_config *c) {
    const size_t count = c->rule_count < RULES_MOST ? c->rule_count : RULES_MOST;
    string_list_free(&c->warnings);
    int r = string_list_copy(&c->warnings, &c->remarks);
    if (r == 0)
        r = check_choice(c);
    if (r == 0)
        r = check_top(c);
    if (r == 0)
        r = check_effect(c);
    struct checked_rule *rules = calloc(count + 1, sizeof(*rules));
    if (!rules)
        return -ENOMEM;
    struct effort effort = {.time = {.left_ns = MATCHING_NS}};
    size_t prepared = 0;
    for (; r == 0 && prepared < count; prepared++) {
        struct checked_rule *rule = &rules[prepared];
        r = prepare(&c->rules[prepared], prepared + 1, rule);
        if (r == 0)
            r = check_texts(c, rule, &rule->text->when);
        if (r == 0)
            r = check_kernel(c, rule);
        if (r == 0)
            r = rule->name ? check_matches(c, rule) : 0;
        if (r == 0)
            r = check_order(c, rules, prepared, &effort);
    }
    free_checked(rules, prepared);
    return r;
}

bool tally_config_warning(tally_config *c, size_t i, struct tally_error *ret_text) {
    if (i == 0)
        (void)find_warnings(c); /* for want of memory there are fewer of them */
    if (i >= c->warnings.count)
        return false;
    error_set(ret_text, "%s", c->warnings.items[i]);
    return true;
}
