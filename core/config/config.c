/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "config/config.h"

#include "base/error.h"
#include "config/choice.h"
#include "count/metrics.h"
#include "group/pattern.h"
#include "group/template.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Long enough for any real value, short enough for one line of a message. */
#define SHOWN 200

int tally_config_new(tally_config **ret_config) {
    tally_config *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    *ret_config = c;
    return 0;
}

static void rules_clear(tally_config *c) {
    for (size_t i = 0; i < c->rule_count; i++)
        rule_text_free(&c->rules[i]);
    free(c->rules);
    c->rules = NULL;
    c->rule_count = 0;
}

tally_config *tally_config_free(tally_config *c) {
    if (c) {
        for (size_t i = 0; i < OPTIONS; i++)
            string_list_free(&c->values[i].items);
        rules_clear(c);
        string_list_free(&c->remarks);
        string_list_free(&c->warnings);
        free(c->rules_from);
        free(c);
    }
    return NULL;
}

static bool is_name(const char *text, size_t len) {
    if (len == 0 || isdigit((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= 'A' && text[i] <= 'Z') &&
            !(text[i] >= '0' && text[i] <= '9') && text[i] != '_')
            return false;
    return true;
}

/* Label names that a series may already carry, in any schema. */
static bool is_own_label(const char *text, size_t len) {
    static const char *const own[] = {"groupname", "name",  "user", "cmdline", "exe",
                                      "cgroup",    "unit",  "container", "pid", "ppid",
                                      "uid",       "gid",   "path", "mode", "state",
                                      "type",      "op",    "file", "source", "memtype", "protocol",
                                      "ctxswitchtype", "time", "threadname", "thread_name",
                                      "iomode", "wchan"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strlen(own[i]) == len && memcmp(own[i], text, len) == 0)
            return true;
    return len >= 2 && memcmp(text, "__", 2) == 0; /* Prometheus keeps these for itself */
}

static int check_label(const tally_config *c, bool other_layer, const char *text) {
    const char *equals = strchr(text, '=');
    if (!equals)
        return -EINVAL;
    size_t len = (size_t)(equals - text);
    if (!is_name(text, len) || is_own_label(text, len))
        return -EINVAL;
    for (const char *at = equals + 1; *at;) {
        uint32_t code = 0;
        size_t n = utf8_char(at, strlen(at), &code);
        bool is_control = (code < 0x20 && code != '\t' && code != '\n' && code != '\r') ||
                          code == 0x7f;
        if (n == 0 || is_control) /* one such byte would spoil the whole output */
            return -EINVAL;
        at += n;
    }
    const struct string_list *labels = &c->values[OPTION_LABELS].items;
    for (size_t i = 0; !other_layer && i < labels->count; i++)
        if (strncmp(labels->items[i], text, len + 1) == 0)
            return -EINVAL;
    return 0;
}

static int check_pattern(enum option option, const char *text, struct tally_error *error) {
    struct pattern *p;
    int r = pattern_new_filter(text, &p, error);
    if (r == 0)
        pattern_free(p);
    else
        error_about(error, tally_option(option)->name);
    return r;
}

/* Checks a value of an option that is neither WORDS nor RULES. -EINVAL without
 * a text in error means: not what option_expected() says. */
static int check_value(const tally_config *c, bool other_layer, enum option option,
                       const char *value, struct tally_error *error) {
    uint64_t number;
    bool on;
    unsigned choice;
    enum top_by by;
    switch (tally_option(option)->type) {
    case TALLY_OPTION_DURATION:
        if (option_parse_duration(value, &number) < 0)
            return -EINVAL;
        return option == OPTION_INTERVAL && number < 10000000 ? -EINVAL : 0;
    case TALLY_OPTION_COUNT:
        if (option_parse_count(value, &number) < 0)
            return -EINVAL;
        return number >= 1 && number <= 1000000 ? 0 : -EINVAL;
    case TALLY_OPTION_SWITCH:
        return option_parse_switch(value, &on);
    case TALLY_OPTION_CHOICE:
        return option_parse_choice(option, value, strlen(value), &choice);
    case TALLY_OPTION_TEXT:
        if (option == OPTION_PREFIX)
            return is_name(value, strlen(value)) && strlen(value) <= 100 ? 0 : -EINVAL;
        if (option == OPTION_PROCFS)
            return value[0] ? 0 : -EINVAL;
        if (option == OPTION_TOP)
            return option_parse_top(value, &number, &by);
        return 0;
    case TALLY_OPTION_TEXTS:
        return check_pattern(option, value, error);
    case TALLY_OPTION_PAIRS:
        return check_label(c, other_layer, value);
    case TALLY_OPTION_WORDS:
    case TALLY_OPTION_RULES:
        break;
    }
    return -EINVAL;
}

static int check_word(enum option option, const char *word, size_t len,
                      struct tally_error *error) {
    enum collect what;
    unsigned choice;
    bool on;
    if (option == OPTION_METRICS)
        return choice_check(word, len, error);
    return option == OPTION_COLLECT ? option_parse_collect(word, len, &what, &on)
                                    : option_parse_choice(option, word, len, &choice);
}

/* As people write them: with blanks after commas. */
static int split_words(enum option option, const char *value, struct string_list *to,
                       struct tally_error *error) {
    for (const char *word = value; *word;) {
        word += strspn(word, " ");
        const size_t end = strcspn(word, ",");
        size_t len = end;
        while (len > 0 && word[len - 1] == ' ')
            len--;
        int r = check_word(option, word, len, error);
        if (r == 0)
            r = string_list_add(to, word, len);
        if (r == -EINVAL && error && !error->text[0] && strchr(value, ','))
            error_set(error, "%s has \"%.*s\", expected %s", tally_option(option)->name,
                      len < SHOWN ? (int)len : SHOWN, word, option_expected(option));
        if (r < 0)
            return r;
        word += end;
        if (*word == ',' && !*++word)
            return -EINVAL;
    }
    return 0;
}

int config_set(tally_config *c, enum layer layer, enum option option, const char *value,
               struct tally_error *error) {
    const struct tally_option *row = tally_option(option);
    struct config_value *v = &c->values[option];
    struct string_list fresh = {0};
    bool replaces = v->layer < layer || !row->repeatable || !*value;
    int r = 0;
    if (error)
        error->text[0] = '\0';
    if (!*value && row->repeatable) {
        /* an empty list */
    } else if (row->type == TALLY_OPTION_WORDS) {
        r = split_words(option, value, &fresh, error);
    } else {
        r = check_value(c, v->layer != layer, option, value, error);
        if (r == 0)
            r = string_list_add(&fresh, value, strlen(value));
    }
    if (r == 0 && v->layer <= layer) { /* else it is right, but overruled */
        if (replaces)
            string_list_free(&v->items);
        r = string_list_move(&v->items, &fresh);
        v->layer = layer;
    }
    string_list_free(&fresh);
    if (r == -ENOMEM)
        error_set(error, "out of memory");
    else if (r < 0 && error && !error->text[0])
        error_set(error, "%s is \"%.*s\", expected %s", row->name, SHOWN, value,
                  option_expected(option));
    return r;
}

int config_check_cmdline(const char *regex, struct tally_error *error) {
    struct pattern *p;
    int r = pattern_new(regex, &p, error);
    if (r < 0)
        error_about(error, selector_names[SELECTOR_CMDLINE]);
    else
        pattern_free(p);
    return r;
}

int config_check_name(const char *template, struct tally_error *error) {
    struct template *t;
    int r = template_new(template, &t, error);
    if (r == 0)
        template_free(t);
    return r;
}

/* Switches can be written in several ways. */
static int settle_kernel(struct string_list *list, struct tally_error *error) {
    for (size_t i = 0; i < list->count; i++) {
        bool on = false;
        if (option_parse_switch(list->items[i], &on) < 0) {
            error_set(error, "kernel is \"%.*s\", expected true or false", SHOWN, list->items[i]);
            return -EINVAL;
        }
        char *text = strdup(on ? "true" : "false");
        if (!text)
            return -ENOMEM;
        free(list->items[i]);
        list->items[i] = text;
    }
    return 0;
}

static int check_paths(const struct string_list *paths, struct tally_error *error) {
    for (size_t i = 0; i < paths->count; i++)
        if (paths->items[i][0] != '/') {
            error_set(error, "pid_file is \"%.*s\", expected a path that begins with a slash",
                      SHOWN, paths->items[i]);
            return -EINVAL;
        }
    return 0;
}

/* One selection, and those in it. */
static int check_selection(struct selection *s, bool is_unless, struct tally_error *error) {
    const struct string_list *regexes = &s->selectors[SELECTOR_CMDLINE];
    if (selection_is_empty(s)) {
        error_set(error, "a rule has no selector, expected at least one of " CONFIG_SELECTORS);
        return -EINVAL;
    }
    if (is_unless && s->unless) {
        error_set(error, "not stands within not in a rule, expected it once");
        return -EINVAL;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < regexes->count; i++)
        r = config_check_cmdline(regexes->items[i], error);
    if (r == 0)
        r = settle_kernel(&s->selectors[SELECTOR_KERNEL], error);
    if (r == 0)
        r = check_paths(&s->selectors[SELECTOR_PID_FILE], error);
    if (r == 0 && s->unless)
        r = check_selection(s->unless, true, error);
    return r == 0 && s->parent ? check_selection(s->parent, false, error) : r;
}

/* What costs something in each collection, or has a bit of its own. */
struct limited {
    size_t parents, pid_files;
};

static void count_limited(const struct selection *s, struct limited *ret) {
    ret->pid_files += s->selectors[SELECTOR_PID_FILE].count;
    ret->parents += s->parent != NULL;
    if (s->unless)
        count_limited(s->unless, ret);
    if (s->parent)
        count_limited(s->parent, ret);
}

/* All rules together must not have too many. */
static int check_limits(const tally_config *c, const struct rule_text *rule,
                        struct tally_error *error) {
    struct limited all = {0};
    count_limited(&rule->when, &all);
    for (size_t i = 0; all.parents + all.pid_files && i < c->rule_count; i++)
        count_limited(&c->rules[i].when, &all);
    if (all.parents <= RULE_PARENTS_MOST && all.pid_files <= RULE_PID_FILES_MOST)
        return 0;
    if (all.parents > RULE_PARENTS_MOST)
        error_set(error, "the rules have %zu times parent, expected at most %d", all.parents,
                  RULE_PARENTS_MOST);
    else
        error_set(error, "the rules have %zu entries of pid_file, expected at most %d",
                  all.pid_files, RULE_PID_FILES_MOST);
    return -EINVAL;
}

static int check_rule(struct rule_text *rule, struct tally_error *error) {
    int r = check_selection(&rule->when, false, error);
    if (r == 0 && rule->drop && rule->name) {
        error_set(error, "a rule has both a name and drop, expected one of them: what it takes is "
                         "in a group, or left out");
        r = -EINVAL;
    }
    if (r == 0 && rule->name)
        r = config_check_name(rule->name, error);
    if (r < 0 || rule->name)
        return r;
    rule->name = strdup(rule->drop ? "" : "{{.ExeBase}}");
    return rule->name ? 0 : -ENOMEM;
}

int config_take_rule(tally_config *c, enum layer layer, struct rule_text *rule,
                     struct tally_error *error) {
    if (c->rule_layer < layer) {
        rules_clear(c);
        c->rule_layer = layer;
    }
    int r = check_rule(rule, error);
    if (r == 0)
        r = check_limits(c, rule, error);
    struct rule_text *rules = NULL;
    if (r == 0 && c->rule_layer <= layer) { /* else it is right, but overruled */
        rules = realloc(c->rules, (c->rule_count + 1) * sizeof(*rules));
        r = rules ? 0 : -ENOMEM;
    }
    if (rules) {
        c->rules = rules;
        rules[c->rule_count++] = *rule;
        *rule = (struct rule_text){0};
    }
    if (r == -ENOMEM)
        error_set(error, "out of memory");
    rule_text_free(rule);
    return r;
}

void config_clear_rules(tally_config *c, enum layer layer) {
    if (c->rule_layer <= layer) {
        rules_clear(c);
        c->rule_layer = layer;
    }
}

bool tally_config_is_given(const tally_config *c, const char *name) {
    int option = option_find(name, strlen(name));
    if (option == OPTION_PROCESS_NAMES)
        return c->rule_layer != LAYER_DEFAULT;
    return option >= 0 && c->values[option].layer != LAYER_DEFAULT;
}

static const char *value_of(const tally_config *c, enum option option) {
    const struct config_value *v = &c->values[option];
    if (v->layer == LAYER_DEFAULT)
        return tally_option(option)->default_value;
    return v->items.count ? v->items.items[0] : "";
}

const char *tally_config_get(const tally_config *c, const char *name) {
    int option = option_find(name, strlen(name));
    return option < 0 ? NULL : value_of(c, (enum option)option);
}

int tally_config_interval(const tally_config *c, uint64_t *ret_ns) {
    option_parse_duration(value_of(c, OPTION_INTERVAL), ret_ns);
    return c->values[OPTION_INTERVAL].layer != LAYER_DEFAULT;
}

/* The choice of an option that has been checked. */
static unsigned choice_of(const tally_config *c, enum option option) {
    const char *value = value_of(c, option);
    unsigned choice = 0;
    option_parse_choice(option, value, strlen(value), &choice);
    return choice;
}

static void set_group_by(const tally_config *c, bool is_empty_by_default, struct settings *to) {
    const struct string_list *keys = &c->values[OPTION_GROUP_BY].items;
    for (size_t i = 0; i < keys->count; i++) {
        unsigned key = 0;
        option_parse_choice(OPTION_GROUP_BY, keys->items[i], strlen(keys->items[i]), &key);
        bool twice = false;
        for (size_t k = 0; k < to->group_by_count; k++)
            twice = twice || to->group_by[k] == (enum group_key)key;
        if (!twice)
            to->group_by[to->group_by_count++] = (enum group_key)key;
    }
    if (c->values[OPTION_GROUP_BY].layer == LAYER_DEFAULT && !is_empty_by_default)
        to->group_by[to->group_by_count++] = GROUP_NAME;
}

/* Returns the bits that were switched off in words. */
static unsigned set_collect(const tally_config *c, struct settings *to) {
    const struct string_list *words = &c->values[OPTION_COLLECT].items;
    unsigned refused = 0;
    to->collect = COLLECT_DEFAULT;
    if (choice_of(c, OPTION_SCHEMA) == TALLY_SCHEMA_PROCESS_EXPORTER)
        to->collect |= 1u << COLLECT_THREAD_NAMES;
    for (size_t i = 0; i < words->count; i++) {
        enum collect word = 0;
        bool on = false;
        option_parse_collect(words->items[i], strlen(words->items[i]), &word, &on);
        to->collect = on ? to->collect | 1u << word : to->collect & ~(1u << word);
        refused = on ? refused & ~(1u << word) : refused | 1u << word;
    }
    return refused;
}

/* What could not be read is told of what is read. */
static bool is_about_reading(size_t m) {
    return m >= METRIC_UNREADABLE_STATUS && m < METRIC_UNREADABLE_STATUS + (size_t)ORIGINS;
}

/* What a top goes by, beside CPU time. */
static const struct {
    unsigned collect;
    bool memory;
} needed_by[] = {
    [TOP_BY_NONE] = {0},
    [TOP_BY_MEMORY] = {.memory = true},
    [TOP_BY_IO] = {.collect = 1u << COLLECT_IO},
    [TOP_BY_NETWORK] = {.collect = 1u << COLLECT_NETWORK},
};

static bool is_of_here(size_t m) {
#ifdef __APPLE__
    (void)m;
    return true;
#else
    return !metric_table[m].macos_alone;
#endif
}

/* What to collect, and what of it to send: of that nobody asks for nothing is read, as far as
 * it can be left out by itself. */
static void set_what(const tally_config *c, struct settings *to) {
    const struct string_list *words = &c->values[OPTION_METRICS].items;
    const unsigned refused = set_collect(c, to);
    struct choice choice;
    unsigned wanted = needed_by[to->top_by].collect, origins = 0;
    if (words->count == 0)
        return;
    choice_make(words, &choice);
    to->collect |= choice.named & ~refused;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (choice.groups & METRIC_SET(m) && !is_about_reading(m) && is_of_here(m)) {
            wanted |= metric_table[m].collect;
            origins |= metric_table[m].origins;
        }
    for (size_t i = 0; i < PART_METRICS; i++)
        if (choice.parts >> i & 1 && to->collect & metric_table[METRIC_THREAD_FIRST + i].collect) {
            wanted |= metric_table[METRIC_THREAD_FIRST + i].collect;
            wanted |= metric_table[METRIC_THREAD_FIRST + i].also_collect;
        }
    to->collect &= wanted;
    to->spares_memory = !(origins & 1u << ORIGIN_STATUS) && !needed_by[to->top_by].memory &&
                        !(choice.groups & METRIC_SET(METRIC_RSS)); /* stat's is less exact */
    to->spares_fd_limits = !(origins & 1u << ORIGIN_LIMITS);
    to->unsent = ~choice.groups;
    to->unsent_parts = ~choice.parts;
    to->unsent_self = ~choice.self;
}

static bool sends(const struct settings *s, size_t metric) {
    const unsigned collect = metric_table[metric].collect;
    if (metric >= METRIC_THREAD_FIRST)
        return s->collect & collect &&
               !(s->unsent_parts >> (metric - METRIC_THREAD_FIRST) & 1);
    if (metric >= METRIC_SELF_FIRST)
        return !(s->unsent_self >> (metric - METRIC_SELF_FIRST) & 1);
    return (collect == 0 || s->collect & collect) && !(s->unsent & METRIC_SET(metric));
}

bool tally_config_has_metric(const tally_config *c, size_t metric) {
    struct settings s = {0};
    set_what(c, &s);
    return (metric < METRICS || (metric >= METRIC_THREAD_FIRST && metric < METRICS_IN_ALL)) &&
           sends(&s, metric);
}

int tally_config_check(const tally_config *c, struct tally_error *error) {
    struct settings s = {0};
    bool any = false;
    if (error)
        error->text[0] = '\0';
    option_parse_top(value_of(c, OPTION_TOP), &s.top, &s.top_by);
    set_what(c, &s);
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        any |= sends(&s, m) && !is_about_reading(m);
    for (size_t m = METRIC_THREAD_FIRST; m < METRICS_IN_ALL; m++)
        any |= sends(&s, m);
    if (!any) {
        error_set(error, "metrics leaves no metric of groups, expected at least one that is "
                         "collected (see --list-metrics --here)");
        return -EINVAL;
    }
    const unsigned lacking = needed_by[s.top_by].collect & ~s.collect;
    if (lacking) {
        error_set(error, "top is \"%s\", and collect switches that off, expected it without no-%s",
                  value_of(c, OPTION_TOP), collect_names[__builtin_ctz(lacking)]);
        return -EINVAL;
    }
    if (value_of(c, OPTION_PIN)[0] && !value_of(c, OPTION_STATE_FILE)[0]) {
        error_set(error, "pin is given without state-file; expected both, or what was counted "
                         "between two runs would have nothing to be added to");
        return -EINVAL;
    }
    return 0;
}

static const char *default_prefix(enum tally_schema schema, const char *native) {
    switch (schema) {
    case TALLY_SCHEMA_PROCESS_EXPORTER:
        return "namedprocess_namegroup_";
    case TALLY_SCHEMA_PROCESS:
        return "process_";
    case TALLY_SCHEMA_NATIVE:
    case TALLY_SCHEMAS:
        break;
    }
    return native;
}

/* NULL for an option that is empty: not given. */
static int copy_text(const char *text, char **ret) {
    *ret = text[0] ? strdup(text) : NULL;
    return *ret || !text[0] ? 0 : -ENOMEM;
}

static int copy_texts(const tally_config *c, struct settings *to) {
    const char *prefix = value_of(c, OPTION_PREFIX);
    const bool is_given = c->values[OPTION_PREFIX].layer != LAYER_DEFAULT;
    int r = copy_text(prefix, &to->self_prefix);
    if (r == 0)
        r = copy_text(prefix, &to->measurement);
    size_t len = to->measurement ? strlen(to->measurement) : 0;
    for (; len > 1 && to->measurement[len - 1] == '_'; len--)
        to->measurement[len - 1] = '\0';
    if (r == 0)
        r = copy_text(is_given ? prefix : default_prefix(to->schema, prefix), &to->prefix);
    if (r == 0)
        r = copy_text(value_of(c, OPTION_PROCFS), &to->procfs);
    if (r == 0)
        r = copy_text(value_of(c, OPTION_PIN), &to->pin_dir);
    if (r == 0)
        r = copy_text(value_of(c, OPTION_STATE_FILE), &to->state_file);
    if (r == 0)
        r = string_list_copy(&to->include, &c->values[OPTION_INCLUDE].items);
    if (r == 0)
        r = string_list_copy(&to->exclude, &c->values[OPTION_EXCLUDE].items);
    if (r == 0)
        r = string_list_copy(&to->labels, &c->values[OPTION_LABELS].items);
    return r;
}

static int copy_rules(const tally_config *c, struct settings *to) {
    if (c->rule_count == 0)
        return 0;
    to->rules = calloc(c->rule_count, sizeof(*to->rules));
    if (!to->rules)
        return -ENOMEM;
    for (size_t i = 0; i < c->rule_count; i++) {
        int r = rule_text_copy(&to->rules[i], &c->rules[i]);
        if (r < 0)
            return r;
        to->rule_count++;
    }
    return 0;
}

/* Values were checked when they were set, so that parsing can't fail here. */
int config_settings(const tally_config *c, struct settings *ret) {
    struct settings s = {
        .source = (enum source_choice)choice_of(c, OPTION_SOURCE),
        .schema = (enum tally_schema)choice_of(c, OPTION_SCHEMA),
        .kernel_threads = (enum kernel_threads)choice_of(c, OPTION_KERNEL_THREADS),
        .cpu_mode_core = choice_of(c, OPTION_CPU_MODE) == 1,
    };
    option_parse_count(value_of(c, OPTION_MAX_GROUPS), &s.max_groups);
    option_parse_top(value_of(c, OPTION_TOP), &s.top, &s.top_by);
    option_parse_count(value_of(c, OPTION_MAX_THREAD_NAMES), &s.max_thread_names);
    option_parse_switch(value_of(c, OPTION_FOLD_THREAD_NAMES), &s.fold_thread_names);
    option_parse_count(value_of(c, OPTION_MAX_PROCESSES), &s.max_processes);
    option_parse_duration(value_of(c, OPTION_EXPIRE_AFTER), &s.expire_after_ns);
    option_parse_switch(value_of(c, OPTION_CHILDREN), &s.children);
    option_parse_switch(value_of(c, OPTION_CONTAINER_NAMES), &s.container_names);
    /* process-exporter has no group-by and follows children: with its names,
     * its users' file alone has to give them its groups */
    const bool like_process_exporter = s.schema == TALLY_SCHEMA_PROCESS_EXPORTER;
    if (c->values[OPTION_CHILDREN].layer == LAYER_DEFAULT && like_process_exporter)
        s.children = true;
    s.keeps_empty =
        like_process_exporter && c->values[OPTION_EXPIRE_AFTER].layer == LAYER_DEFAULT;
    s.drops_empty = like_process_exporter && s.expire_after_ns == 0;
    set_group_by(c, like_process_exporter, &s);
    set_what(c, &s);
    int r = copy_texts(c, &s);
    if (r == 0)
        r = copy_rules(c, &s);
    if (r < 0) {
        settings_free(&s);
        return r;
    }
    *ret = s;
    return 0;
}
