/* SPDX-License-Identifier: MIT */
/* proctally.so: the tallies as collectd 5 values of the stock types. */
#include "collectd.h"

#include "plugin.h"

#include "instance.h"
#include "proctally.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME "proctally"
#define SAY NAME " plugin: "

/* The type with most data sources has 4; stock ones that we use have 2. */
enum { MOST_SOURCES = 8 };

/* One value list per group: rows of the catalogue with one type and instance. */
struct series {
    size_t rows[MOST_SOURCES], count;
    const char *type;
    const data_set_t *data_set;
};

/* The `processes` plugin's switches, and what they mean here. */
static const struct {
    const char *verb;
    const char *word; /* of the option collect; NULL: nothing */
} switches[] = {
    {"CollectFileDescriptor", "fds"},
    {"CollectContextSwitch", "context-switches"},
    {"CollectDelayAccounting", "delays"},
    {"CollectMemoryMaps", NULL},
};
enum { SWITCHES = sizeof(switches) / sizeof(switches[0]) };

/* A Process (the text is its name) or ProcessMatch. */
struct line {
    char *name, *text;
    regex_t regex;
    bool has_regex;
};

typedef char instance_name[DATA_MAX_NAME_LEN];

struct instance {
    tally_config *config;
    tally *t; /* NULL while /proc has not been readable yet */
    bool refused; /* the configuration has a mistake */

    /* what the blocks hold, until init */
    enum { UNSAID, OFF, ON } switched[SWITCHES];
    bool switched_inside; /* a Collect… stands in a Process block */
    bool has_process, has_group, has_process_names;

    struct line *lines;
    size_t line_count;

    bool percent_of_core;
    struct series *series;
    size_t series_count;

    /* plugin instances of the groups of one collection; kept for the next */
    instance_name *names;
    uint32_t *slots; /* hash table of indices + 1 into names; 0: free */
    bool *left_out; /* another group has the same one */
    size_t names_size, slots_size;
    bool told_left_out;

    bool failing; /* collecting failed, and that was logged */
};

/* collectd's config and init callbacks have no user data. */
static struct instance *the_instance;

static void free_lines(struct instance *in) {
    for (size_t i = 0; i < in->line_count; i++) {
        if (in->lines[i].has_regex)
            regfree(&in->lines[i].regex);
        free(in->lines[i].name);
        free(in->lines[i].text);
    }
    free(in->lines);
    in->lines = NULL;
    in->line_count = 0;
}

static struct instance *free_instance(struct instance *in) {
    if (!in)
        return NULL;
    tally_free(in->t);
    tally_config_free(in->config);
    free_lines(in);
    free(in->series);
    free(in->names);
    free(in->slots);
    free(in->left_out);
    free(in);
    return NULL;
}

static struct instance *get_instance(void) {
    if (!the_instance) {
        struct instance *in = calloc(1, sizeof(*in));
        if (!in || tally_config_new(&in->config) < 0) {
            ERROR(SAY "out of memory");
            return free_instance(in);
        }
        the_instance = in;
    }
    return the_instance;
}

/* ---- Configuration ------------------------------------------------------------ */

/* A value as the YAML file would have it. collectd parses numbers to double;
 * printf would use the locale's decimal point. */
static int value_text(const oconfig_item_t *item, int index, char **ret_text) {
    const oconfig_value_t *value = &item->values[index];
    char number[64];
    const char *text = number;
    double size;
    uint64_t millionths;
    int len;
    switch (value->type) {
    case OCONFIG_TYPE_STRING:
        text = value->value.string;
        break;
    case OCONFIG_TYPE_BOOLEAN:
        text = value->value.boolean ? "true" : "false";
        break;
    case OCONFIG_TYPE_NUMBER:
        size = fabs(value->value.number);
        if (!(size < 1e12)) {
            ERROR(SAY "%s has a number that is too large; expected one below 1e12", item->key);
            return -EINVAL;
        }
        millionths = (uint64_t)(size * 1e6 + 0.5);
        len = snprintf(number, sizeof(number), "%s%" PRIu64 ".%06" PRIu64,
                       value->value.number < 0 ? "-" : "", millionths / 1000000,
                       millionths % 1000000);
        while (number[len - 1] == '0')
            len--;
        if (number[len - 1] == '.')
            len--;
        number[len] = '\0';
        break;
    default:
        ERROR(SAY "%s has a value of unknown type", item->key);
        return -EINVAL;
    }
    *ret_text = strdup(text);
    if (!*ret_text)
        ERROR(SAY "out of memory");
    return *ret_text ? 0 : -ENOMEM;
}

/* The option whose name is this key without regard to case, '-' and '_'. */
static const struct tally_option *find_option(const char *key) {
    const struct tally_option *option;
    for (size_t i = 0; (option = tally_option(i)); i++) {
        const char *name = option->name, *k = key;
        while (*name || *k) {
            if (*name == '-' || *name == '_')
                name++;
            else if (*k == '_')
                k++;
            else if (tolower((unsigned char)*name) == tolower((unsigned char)*k))
                name++, k++;
            else
                break;
        }
        if (*name == '\0' && *k == '\0')
            return option;
    }
    return NULL;
}

static bool is_key(const oconfig_item_t *item, const char *key) {
    return strcasecmp(item->key, key) == 0;
}

static int config_option(struct instance *in, const oconfig_item_t *item) {
    const struct tally_option *option = find_option(item->key);
    if (!option) {
        ERROR(SAY "there is no option %s; expected one of proctally's options, Config, Group, "
                  "Process, ProcessMatch or one of the Collect switches of the processes plugin",
              item->key);
        return -EINVAL;
    }
    if (strcmp(option->name, "interval") == 0) {
        ERROR(SAY "%s is not set here; expected it as Interval inside of <LoadPlugin " NAME ">, "
                  "because collectd starts the collections",
              item->key);
        return -EINVAL;
    }
    if (item->children_num > 0) {
        ERROR(SAY "%s is a block; expected an option with a value (%s)", item->key,
              option->argument);
        return -EINVAL;
    }
    if (item->values_num < 1 || (item->values_num > 1 && !option->repeatable)) {
        ERROR(SAY "%s has %d values; expected %s (%s)", item->key, item->values_num,
              option->repeatable ? "one or more" : "one", option->argument);
        return -EINVAL;
    }
    if (strcmp(option->name, "labels") == 0)
        WARNING(SAY "%s has no effect here: collectd's values have no labels", item->key);
    in->has_process_names = in->has_process_names || strcmp(option->name, "process_names") == 0;

    for (int i = 0; i < item->values_num; i++) {
        char *text;
        struct tally_error error;
        int r = value_text(item, i, &text);
        if (r < 0)
            return r;
        r = tally_config_set(in->config, option->name, text, &error);
        free(text);
        if (r < 0) {
            ERROR(SAY "%s: %s", item->key, error.text);
            return r;
        }
    }
    return 0;
}

/* Returns 1 if the item is one of the switches. */
static int config_switch(struct instance *in, const oconfig_item_t *item) {
    size_t at = 0;
    while (at < SWITCHES && !is_key(item, switches[at].verb))
        at++;
    if (at == SWITCHES)
        return 0;
    bool on = false, known = item->values_num == 1 && item->children_num == 0;
    if (known && item->values[0].type == OCONFIG_TYPE_BOOLEAN) {
        on = item->values[0].value.boolean;
    } else if (known && item->values[0].type == OCONFIG_TYPE_STRING) {
        on = strcasecmp(item->values[0].value.string, "true") == 0;
        known = on || strcasecmp(item->values[0].value.string, "false") == 0;
    } else {
        known = false;
    }
    if (!known) {
        ERROR(SAY "%s has no such value; expected true or false", item->key);
        return -EINVAL;
    }
    /* the switches are for all groups: on if it is on anywhere */
    if (on || in->switched[at] == UNSAID)
        in->switched[at] = on ? ON : OFF;
    return 1;
}

/* GNU's \< and \> in a regular expression, which the C library of `processes` knows. */
static char *translate_regex(const char *regex) {
    char *to = malloc(4 * strlen(regex) + 1), *at = to;
    bool in_set = false;
    if (!to)
        return NULL;
    for (; *regex; regex++) {
        const bool is_escape = *regex == '\\' && regex[1];
        if (is_escape && !in_set && (regex[1] == '<' || regex[1] == '>')) {
            at = stpcpy(at, regex[1] == '<' ? "[[:<:]]" : "[[:>:]]");
            regex++;
            continue;
        }
        in_set = *regex == '[' || (in_set && *regex != ']');
        *at++ = *regex;
        if (is_escape && !in_set)
            *at++ = *++regex;
    }
    *at = '\0';
    return to;
}

/* Lines that a process can match both of. There it counts in both, here in the first. */
static void tell_overlap(const struct line *a, const struct line *b) {
    const struct line *regex = a->has_regex ? a : b, *other = regex == a ? b : a;
    const char *text = other->has_regex ? other->text : other->name;
    const bool same = !a->has_regex && !b->has_regex && strcmp(a->name, b->name) == 0;
    if (same || (regex->has_regex && regexec(&regex->regex, text, 0, NULL, 0) == 0) ||
        (other->has_regex && regexec(&other->regex, regex->text, 0, NULL, 0) == 0))
        WARNING(SAY "%s \"%s\" and %s \"%s\" can match the same process, which is counted in the "
                    "first of them only",
                a->has_regex ? "ProcessMatch" : "Process", a->name,
                b->has_regex ? "ProcessMatch" : "Process", b->name);
}

static void tell_overlaps(const struct instance *in) {
    for (size_t b = 0; b < in->line_count; b++)
        for (size_t a = 0; a < b; a++)
            tell_overlap(&in->lines[a], &in->lines[b]);
}

/* Only for tell_overlaps(): an expression that the C library does not take, and lines for
 * which there is no memory, are left out. */
static void note_line(struct instance *in, const char *name, const char *regex) {
    struct line *lines = realloc(in->lines, (in->line_count + 1) * sizeof(*lines));
    if (!lines)
        return;
    in->lines = lines;
    struct line *line = &lines[in->line_count];
    *line = (struct line){.name = strdup(name), .text = strdup(regex ? regex : name)};
    if (line->name && line->text && regex)
        line->has_regex = regcomp(&line->regex, regex, REG_EXTENDED | REG_NOSUB) == 0;
    if (line->name && line->text && (!regex || line->has_regex)) {
        in->line_count++;
        return;
    }
    free(line->name);
    free(line->text);
}

struct values {
    char **items;
    size_t count;
};

static void free_values(struct values *values) {
    for (size_t i = 0; i < values->count; i++)
        free(values->items[i]);
    free(values->items);
}

static struct tally_strings as_strings(const struct values *values) {
    return (struct tally_strings){(const char *const *)values->items, values->count};
}

/* Adds the item's values from the one numbered `from` on. */
static int add_values(struct values *values, const oconfig_item_t *item, int from) {
    size_t more = (size_t)(item->values_num - from);
    char **items = realloc(values->items, (values->count + more) * sizeof(*items));
    if (!items) {
        ERROR(SAY "out of memory");
        return -ENOMEM;
    }
    values->items = items;
    for (int i = from; i < item->values_num; i++) {
        int r = value_text(item, i, &items[values->count]);
        if (r < 0)
            return r;
        values->count++;
    }
    return 0;
}

static int add_rule(struct instance *in, const oconfig_item_t *item,
                    const struct tally_rule *rule) {
    struct tally_error error;
    int r = tally_config_add_rule(in->config, rule, &error);
    if (r < 0)
        ERROR(SAY "%s%s%s%s: %s", item->key, rule->name ? " \"" : "", rule->name ? rule->name : "",
              rule->name ? "\"" : "", error.text);
    return r;
}

static const char *const selector_verbs[] = {"Comm", "Exe",     "Cmdline", "User",  "Cgroup",
                                             "Unit", "Gid",     "PidFile", "Kernel"};
enum { SELECTOR_VERBS = sizeof(selector_verbs) / sizeof(selector_verbs[0]) };

/* What the selectors of a block ask for, and those of the blocks in it. */
struct selection {
    struct values values[SELECTOR_VERBS];
    struct selection *unless, *parent;
    struct tally_rule rule; /* made of these */
};

static void free_selection(struct selection *s) {
    if (!s)
        return;
    for (size_t i = 0; i < SELECTOR_VERBS; i++)
        free_values(&s->values[i]);
    free_selection(s->unless);
    free_selection(s->parent);
    free(s);
}

static int read_selection(const oconfig_item_t *block, struct selection **ret);

/* One selector: a verb with its values, or a block. */
static int read_selector(const oconfig_item_t *block, const oconfig_item_t *item,
                         struct selection *s) {
    size_t at = 0;
    struct selection **inner = is_key(item, "Not") ? &s->unless
                               : is_key(item, "Parent") ? &s->parent
                                                        : NULL;
    if (inner && (item->values_num > 0 || *inner)) {
        ERROR(SAY "%s has %s in another way; expected one block <%s>", block->key, item->key,
              item->key);
        return -EINVAL;
    }
    if (inner)
        return read_selection(item, inner);
    while (at < SELECTOR_VERBS && !is_key(item, selector_verbs[at]))
        at++;
    if (at == SELECTOR_VERBS) {
        ERROR(SAY "%s has %s; expected Comm, Exe, Cmdline, User, Cgroup, Unit, Gid, PidFile, "
                  "Kernel, <Parent> or <Not>",
              block->key, item->key);
        return -EINVAL;
    }
    if (item->values_num < 1 || item->children_num > 0) {
        ERROR(SAY "%s: %s has no value; expected one or more", block->key, item->key);
        return -EINVAL;
    }
    return add_values(&s->values[at], item, 0);
}

/* What was read so far is in *ret also on failure. */
static int read_selection(const oconfig_item_t *block, struct selection **ret) {
    struct selection *s = calloc(1, sizeof(*s));
    if (!s) {
        ERROR(SAY "out of memory");
        return -ENOMEM;
    }
    *ret = s;
    int r = 0;
    for (int i = 0; r >= 0 && i < block->children_num; i++)
        r = read_selector(block, &block->children[i], s);
    s->rule = (struct tally_rule){
        .size = sizeof(struct tally_rule),
        .comm = as_strings(&s->values[0]),
        .exe = as_strings(&s->values[1]),
        .cmdline = as_strings(&s->values[2]),
        .user = as_strings(&s->values[3]),
        .cgroup = as_strings(&s->values[4]),
        .unit = as_strings(&s->values[5]),
        .gid = as_strings(&s->values[6]),
        .pid_file = as_strings(&s->values[7]),
        .kernel = as_strings(&s->values[8]),
        .unless = s->unless ? &s->unless->rule : NULL,
        .parent = s->parent ? &s->parent->rule : NULL,
    };
    return r;
}

/* <Group "NAME-TEMPLATE"> Comm "a" "b" … </Group>, and <Drop> … </Drop> for what is left out. */
static int config_group(struct instance *in, const oconfig_item_t *item, bool drop) {
    if (drop ? item->values_num != 0
             : item->values_num != 1 || item->values[0].type != OCONFIG_TYPE_STRING) {
        ERROR(SAY "%s %s; expected <%s>", item->key, drop ? "has a name" : "needs a name",
              drop ? "Drop" : "Group \"NAME\"");
        return -EINVAL;
    }
    struct selection *s = NULL;
    int r = read_selection(item, &s);
    if (r >= 0) {
        s->rule.name = drop ? NULL : item->values[0].value.string;
        s->rule.drop = drop;
        r = add_rule(in, item, &s->rule);
    }
    in->has_group |= !drop;
    free_selection(s);
    return r;
}

/* Process "name" and ProcessMatch "name" "regex", also as blocks. */
static int config_process(struct instance *in, const oconfig_item_t *item, bool match) {
    bool fits = item->values_num == (match ? 2 : 1);
    for (int i = 0; i < item->values_num; i++)
        fits = fits && item->values[i].type == OCONFIG_TYPE_STRING;
    if (!fits) {
        ERROR(SAY "%s has other values; expected %s %s", item->key, item->key,
              match ? "\"NAME\" \"REGEX\"" : "\"NAME\"");
        return -EINVAL;
    }
    for (int i = 0; i < item->children_num; i++) {
        int r = config_switch(in, &item->children[i]);
        if (r == 0)
            ERROR(SAY "%s \"%s\" has %s; expected a Collect switch of the processes plugin",
                  item->key, item->values[0].value.string, item->children[i].key);
        if (r <= 0)
            return -EINVAL;
        in->switched_inside = true;
    }
    in->has_process = true;
    struct values values = {0};
    int r = add_values(&values, item, match ? 1 : 0);
    if (r >= 0)
        note_line(in, item->values[0].value.string, match ? values.items[0] : NULL);
    if (r >= 0 && match) {
        char *translated = translate_regex(values.items[0]);
        r = translated ? 0 : -ENOMEM;
        if (translated) {
            free(values.items[0]);
            values.items[0] = translated;
        } else {
            ERROR(SAY "out of memory");
        }
    }
    if (r >= 0) {
        struct tally_rule rule = {.size = sizeof(rule), .name = item->values[0].value.string};
        *(match ? &rule.cmdline : &rule.comm) = as_strings(&values);
        r = add_rule(in, item, &rule);
    }
    free_values(&values);
    return r;
}

/* Config "FILE": the YAML file that the other agents read; what stands in the
 * block wins. */
static int config_file(struct instance *in, const oconfig_item_t *item) {
    struct tally_error error;
    if (item->values_num != 1 || item->values[0].type != OCONFIG_TYPE_STRING ||
        item->children_num > 0) {
        ERROR(SAY "%s has other values; expected the name of one YAML file", item->key);
        return -EINVAL;
    }
    int r = tally_config_load(in->config, item->values[0].value.string, &error);
    if (r < 0)
        ERROR(SAY "%s: %s", item->key, error.text);
    return r;
}

static int config_item(struct instance *in, const oconfig_item_t *item) {
    if (is_key(item, "Config"))
        return config_file(in, item);
    if (is_key(item, "Group"))
        return config_group(in, item, false);
    if (is_key(item, "Drop"))
        return config_group(in, item, true);
    if (is_key(item, "Process"))
        return config_process(in, item, false);
    if (is_key(item, "ProcessMatch"))
        return config_process(in, item, true);
    int r = config_switch(in, item);
    return r ? r : config_option(in, item);
}

static int config_callback(oconfig_item_t *block) {
    struct instance *in = get_instance();
    if (!in)
        return -1;
    for (int i = 0; !in->refused && i < block->children_num; i++)
        in->refused = config_item(in, &block->children[i]) < 0;
    return in->refused ? -1 : 0;
}

/* What only the whole configuration tells. */
static int finish_config(struct instance *in) {
    struct tally_error error;
    int r = 0;
    if (in->switched_inside)
        INFO(SAY "Collect switches inside of Process blocks apply to all groups");
    for (size_t i = 0; r >= 0 && i < SWITCHES; i++) {
        char word[64];
        if (in->switched[i] == UNSAID)
            continue;
        if (!switches[i].word) {
            WARNING(SAY "%s has no effect: there is no such metric", switches[i].verb);
            continue;
        }
        snprintf(word, sizeof(word), "%s%s", in->switched[i] == ON ? "" : "no-", switches[i].word);
        r = tally_config_set(in->config, "collect", word, &error);
    }
    /* users of `processes` expect the groups that they name, and no others */
    if (r >= 0 && in->has_process && !in->has_group && !in->has_process_names &&
        !tally_config_is_given(in->config, "group-by"))
        r = tally_config_set(in->config, "group-by", "", &error);
    if (r < 0) {
        ERROR(SAY "%s", error.text);
        return r;
    }
    tell_overlaps(in);
    free_lines(in);
    for (size_t i = 0; tally_config_warning(in->config, i, &error); i++)
        WARNING(SAY "%s", error.text);
    if (tally_config_check(in->config, &error) < 0) {
        ERROR(SAY "%s", error.text);
        return -EINVAL;
    }
    in->percent_of_core = strcmp(tally_config_get(in->config, "cpu-mode"), "core") == 0;
    return 0;
}

/* ---- Values: all that a collectd with another data model would change ------------ */

/* CPU use by core can be over 100, which the type percent turns to NaN. */
static const char *type_of(const struct instance *in, size_t metric) {
    return in->percent_of_core && strcmp(tally_metric(metric)->id, "cpu_usage") == 0
               ? "gauge"
               : tally_metric_collectd(metric)->type;
}

static bool same_series(const struct instance *in, size_t a, size_t b) {
    const struct tally_collectd_name *x = tally_metric_collectd(a), *y = tally_metric_collectd(b);
    return x && y && tally_metric(a)->scope == tally_metric(b)->scope &&
           strcmp(type_of(in, a), type_of(in, b)) == 0 && strcmp(x->instance, y->instance) == 0;
}

/* Has an earlier row of the catalogue begun the value list that this one is part of? */
static bool is_in_series(const struct instance *in, size_t row) {
    for (size_t i = 0; i < row; i++)
        if (same_series(in, i, row))
            return true;
    return false;
}

/* A value list goes as a whole: of a counter there is no value that says "not known". */
static void tell_halves(const struct instance *in, const struct series *series) {
    const struct tally_metric *without = NULL;
    if (series->data_set->ds[0].type == DS_TYPE_GAUGE)
        return;
    for (size_t i = 0; i < series->count; i++)
        if (!tally_config_has_metric(in->config, series->rows[i]))
            without = tally_metric(series->rows[i]);
    for (size_t i = 0; without && i < series->count; i++)
        if (tally_config_has_metric(in->config, series->rows[i]))
            WARNING(SAY "%s is not sent: the type %s has %s as well; expected both in Metrics",
                    tally_metric(series->rows[i])->id, series->type, without->id);
}

static bool is_chosen(const struct instance *in, const struct series *series) {
    for (size_t i = 0; i < series->count; i++)
        if (tally_config_has_metric(in->config, series->rows[i]))
            return true;
    return false;
}

/* Finds the value lists of the catalogue that are sent, and their types. */
static int find_series(struct instance *in) {
    size_t count = 0;
    while (tally_metric(count))
        count++;
    in->series = calloc(count, sizeof(*in->series));
    if (!in->series) {
        ERROR(SAY "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        if (!tally_metric_collectd(i) || is_in_series(in, i))
            continue;
        struct series series = {.type = type_of(in, i)};
        series.data_set = plugin_get_ds(series.type);
        bool fits = series.data_set && series.data_set->ds_num <= MOST_SOURCES;
        for (size_t m = i; fits && m < count; m++) {
            if (!same_series(in, i, m))
                continue;
            fits = tally_metric_collectd(m)->index < series.data_set->ds_num &&
                   series.count < MOST_SOURCES;
            if (fits)
                series.rows[series.count++] = m;
        }
        if (fits && is_chosen(in, &series)) {
            in->series[in->series_count++] = series;
            tell_halves(in, &series);
        }
        if (!fits)
            WARNING(SAY "%s is not sent: types.db has no type %s that fits", tally_metric(i)->id,
                    series.type);
    }
    return 0;
}

static value_t present(const tally_snapshot *s, size_t metric, int ds_type, bool is_percent,
                       uint64_t raw) {
    struct tally_number n = tally_present(s, metric, tally_metric_collectd(metric)->form, raw);
    uint64_t positive = n.negative ? 0 : n.whole;
    value_t value = {.gauge = NAN};
    switch (ds_type) {
    case DS_TYPE_COUNTER:
        value.counter = positive;
        break;
    case DS_TYPE_DERIVE:
        value.derive = positive > INT64_MAX ? INT64_MAX : (derive_t)positive;
        break;
    case DS_TYPE_ABSOLUTE:
        value.absolute = positive;
        break;
    default:
        value.gauge = (gauge_t)n.whole + (gauge_t)n.billionths / 1e9;
        if (n.negative)
            value.gauge = -value.gauge;
        /* the clocks of two readings differ a little, and over 100.1 is NaN */
        if (is_percent && value.gauge > 100)
            value.gauge = 100;
        break;
    }
    return value;
}

/* `part`: the number of what the group is divided into, if the series is about that. */
static bool value_of(const tally_snapshot *s, size_t group, size_t part, size_t metric,
                     uint64_t *ret) {
    return tally_snapshot_value(s, group, metric, ret) ||
           tally_snapshot_part_value(s, group, part, metric, ret);
}

static void dispatch_series(const tally_snapshot *s, const struct series *series, size_t group,
                            size_t part, const char *plugin_instance) {
    const data_set_t *data_set = series->data_set;
    bool is_percent = strcmp(series->type, "percent") == 0;
    bool known[MOST_SOURCES] = {false};
    bool any = false;
    value_t values[MOST_SOURCES];
    for (size_t i = 0; i < series->count; i++) {
        const size_t m = series->rows[i];
        uint64_t raw;
        if (!value_of(s, group, part, m, &raw))
            continue;
        unsigned at = tally_metric_collectd(m)->index;
        values[at] = present(s, m, data_set->ds[at].type, is_percent, raw);
        known[at] = true;
        any = true;
    }
    for (size_t i = 0; any && i < data_set->ds_num; i++) {
        if (known[i])
            continue;
        /* only a gauge can say that it is not known */
        any = data_set->ds[i].type == DS_TYPE_GAUGE;
        values[i].gauge = NAN;
    }
    if (!any)
        return;

    value_list_t list = VALUE_LIST_INIT;
    list.values = values;
    list.values_len = data_set->ds_num;
    snprintf(list.plugin, sizeof(list.plugin), "%s", tally_snapshot_measurement(s));
    snprintf(list.plugin_instance, sizeof(list.plugin_instance), "%s", plugin_instance);
    snprintf(list.type, sizeof(list.type), "%s", series->type);
    const size_t row = series->rows[0];
    const char *name = tally_snapshot_part_name(s, group, tally_metric(row)->scope, part);
    instance_name clean = "";
    if (name)
        (void)instance_of(name, clean, sizeof(clean));
    snprintf(list.type_instance, sizeof(list.type_instance), "%s%s%.100s",
             tally_metric_collectd(row)->instance, name ? "-" : "", clean);
    plugin_dispatch_values(&list);
}

/* One value list for a group; of what it is divided into, one for each part. */
static void dispatch_group(const struct instance *in, const tally_snapshot *s,
                           const struct series *series, size_t group) {
    const enum tally_scope scope = tally_metric(series->rows[0])->scope;
    const size_t parts =
        scope == TALLY_SCOPE_GROUP ? 1 : tally_snapshot_parts(s, group, scope);
    for (size_t part = 0; part < parts; part++)
        dispatch_series(s, series, group, part, in->names[group]);
}

static void dispatch(const struct instance *in, const tally_snapshot *s) {
    const size_t groups = tally_snapshot_groups(s);
    for (size_t i = 0; i < in->series_count; i++) {
        const struct series *series = &in->series[i];
        if (tally_metric(series->rows[0])->scope == TALLY_SCOPE_SELF)
            dispatch_series(s, series, 0, 0, "");
        else
            for (size_t group = 0; group < groups; group++)
                if (!in->left_out[group])
                    dispatch_group(in, s, series, group);
    }
}

/* ---- Plugin instances: the groups' names as collectd can have them ----------------- */

/* The slot of a name with this suffix, or the free one where it belongs. */
static uint32_t *find_slot(struct instance *in, const char *name, uint64_t suffix) {
    size_t at = suffix & (in->slots_size - 1);
    while (in->slots[at] && strcmp(in->names[in->slots[at] - 1], name) != 0)
        at = (at + 1) & (in->slots_size - 1);
    return &in->slots[at];
}

static int reserve_names(struct instance *in, size_t groups) {
    if (groups <= in->names_size && in->slots)
        return 0;
    size_t size = 64;
    while (size < groups)
        size *= 2;
    size_t slots_size = 2 * size;
    instance_name *names = realloc(in->names, size * sizeof(*names));
    if (names)
        in->names = names;
    bool *left_out = realloc(in->left_out, size * sizeof(*left_out));
    if (left_out)
        in->left_out = left_out;
    uint32_t *slots = realloc(in->slots, slots_size * sizeof(*slots));
    if (slots)
        in->slots = slots;
    if (!names || !left_out || !slots)
        return -ENOMEM;
    in->names_size = size;
    in->slots_size = slots_size;
    return 0;
}

/* Two groups with one identifier would mix their values. Somebody who wants that can
 * find two such names, but none for the name of somebody else: all but the first are
 * left out. */
static int name_instances(struct instance *in, const tally_snapshot *s) {
    size_t groups = tally_snapshot_groups(s);
    int r = reserve_names(in, groups);
    if (r < 0)
        return r;
    memset(in->slots, 0, in->slots_size * sizeof(*in->slots));
    for (size_t i = 0; i < groups; i++) {
        const char *name = tally_snapshot_group_name(s, i);
        uint64_t suffix = instance_of(name, in->names[i], sizeof(in->names[i]));
        in->left_out[i] = false;
        if (suffix == 0)
            continue;
        uint32_t *slot = find_slot(in, in->names[i], suffix);
        in->left_out[i] = *slot != 0;
        if (*slot == 0) {
            *slot = (uint32_t)i + 1;
        } else if (!in->told_left_out) {
            WARNING(SAY "another group is already called %s: left out is \"%s\"", in->names[i],
                    name);
            in->told_left_out = true;
        }
    }
    return 0;
}

/* ---- Callbacks ---------------------------------------------------------------------- */

/* Logged once until collecting works again. */
static int failed(struct instance *in, const char *text) {
    if (!in->failing)
        ERROR(SAY "%s", text);
    in->failing = true;
    /* collectd would double the interval with each failure */
    return 0;
}

static int read_callback(user_data_t *data) {
    struct instance *in = data->data;
    const tally_snapshot *snapshot;
    struct tally_error text;
    if (!in->t && tally_new(in->config, NULL, &in->t, &text) < 0)
        return failed(in, text.text);
    int r = tally_collect(in->t, &snapshot);
    struct tally_error notice;
    while (tally_notice(in->t, &notice))
        WARNING(SAY "%s", notice.text);
    if (r < 0) {
        snprintf(text.text, sizeof(text.text), "cannot collect: %s", strerror(-r));
        return failed(in, text.text);
    }
    if (name_instances(in, snapshot) < 0)
        return failed(in, "out of memory");
    if (in->failing)
        NOTICE(SAY "collecting works again");
    in->failing = false;
    dispatch(in, snapshot);
    return 0;
}

static int init_callback(void) {
    struct instance *in = get_instance();
    struct tally_error error;
    if (!in || in->refused || finish_config(in) < 0 || find_series(in) < 0)
        return -1;
    int r = tally_new(in->config, NULL, &in->t, &error);
    if (r == -EINVAL) {
        ERROR(SAY "%s", error.text);
        return -1;
    }
    if (r < 0)
        failed(in, error.text);
    return plugin_register_complex_read(NULL, NAME, read_callback, 0,
                                        &(user_data_t){.data = in});
}

/* Reading has ended before collectd calls this. */
static int shutdown_callback(void) {
    the_instance = free_instance(the_instance);
    return 0;
}

__attribute__((visibility("default"))) void module_register(void) {
    plugin_register_complex_config(NAME, config_callback);
    plugin_register_init(NAME, init_callback);
    plugin_register_shutdown(NAME, shutdown_callback);
}
