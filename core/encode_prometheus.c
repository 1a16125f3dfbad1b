/* SPDX-License-Identifier: MIT */
/* Prometheus text format 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "collector.h"
#include "encode.h"

#include <errno.h>

/* Label values: backslash, quote and newline are escaped; HELP: the first and
 * the last. Control characters and invalid UTF-8 can't be here (utf8.h), but
 * the user's own labels may hold anything. */
static void add_escaped(struct buf *to, const char *text, bool quotes) {
    for (; *text; text++) {
        if (*text == '\\' || (*text == '"' && quotes)) {
            buf_add_char(to, '\\');
            buf_add_char(to, *text);
        } else if (*text == '\n') {
            buf_add(to, "\\n", 2);
        } else {
            buf_add_char(to, *text);
        }
    }
}

static void add_label(struct buf *to, bool *first, const char *key, const char *value) {
    buf_add_char(to, *first ? '{' : ',');
    *first = false;
    buf_add_str(to, key);
    buf_add(to, "=\"", 2);
    add_escaped(to, value, true);
    buf_add_char(to, '"');
}

static void add_user_labels(struct buf *to, bool *first, const struct string_list *labels) {
    for (size_t i = 0; i < labels->count; i++) {
        const char *equals = strchr(labels->items[i], '=');
        buf_add_char(to, *first ? '{' : ',');
        *first = false;
        buf_add(to, labels->items[i], (size_t)(equals - labels->items[i]));
        buf_add(to, "=\"", 2);
        add_escaped(to, equals + 1, true);
        buf_add_char(to, '"');
    }
}

struct family {
    const char *prefix;
    const struct tally_metric *metric; /* its first row */
    const struct tally_prometheus_name *name;
};

static void add_head(struct buf *to, const struct family *f) {
    buf_add_str(to, "# HELP ");
    buf_add_str(to, f->prefix);
    buf_add_str(to, f->name->name);
    buf_add_char(to, ' ');
    add_escaped(to, f->name->help ? f->name->help : f->metric->help, false);
    buf_add_str(to, "\n# TYPE ");
    buf_add_str(to, f->prefix);
    buf_add_str(to, f->name->name);
    buf_add_str(to, f->metric->kind == TALLY_COUNTER ? " counter\n" : " gauge\n");
}

static void add_series(struct buf *to, const tally *t, const char *prefix,
                       const struct tally_metric *metric, const struct tally_prometheus_name *name,
                       const struct group *g, uint64_t value) {
    bool first = true;
    buf_add_str(to, prefix);
    buf_add_str(to, name->name);
    if (g) {
        add_label(to, &first, "groupname", g->name);
        /* process-exporter's series have no label but these: dashboards join on them */
        if (t->settings.schema != TALLY_SCHEMA_PROCESS_EXPORTER)
            for (size_t i = 0; i < g->label_count; i++)
                add_label(to, &first, g->labels[i].key, g->labels[i].value);
    }
    if (name->label)
        add_label(to, &first, name->label, name->value);
    add_user_labels(to, &first, &t->labels);
    if (!first)
        buf_add_char(to, '}');
    buf_add_char(to, ' ');
    encode_number(to, tally_present(&t->snapshot, metric, name->form, value));
    buf_add_char(to, '\n');
}

static const char *schema_prefix(const tally *t) {
    if (t->prefix_given)
        return t->prefix;
    switch (t->settings.schema) {
    case TALLY_SCHEMA_PROCESS_EXPORTER:
        return "namedprocess_namegroup_";
    case TALLY_SCHEMA_PROCESS:
        return "process_";
    case TALLY_SCHEMA_NATIVE:
    case TALLY_SCHEMAS:
        break;
    }
    return t->prefix;
}

/* Rows from..to of the catalogue are of one family: all its series, behind its
 * head, which is left out if there is no series. */
static void add_family(struct buf *to, const tally *t, size_t from, size_t end, bool self) {
    enum tally_schema schema = self ? TALLY_SCHEMA_NATIVE : t->settings.schema;
    const struct family f = {self ? t->prefix : schema_prefix(t), &metric_table[from],
                             &metric_table[from].prometheus[schema]};
    size_t groups = self ? 1 : t->tallies.order_count;
    bool headed = false;
    for (size_t i = 0; i < groups; i++) {
        for (size_t m = from; m < end; m++) {
            const struct tally_prometheus_name *name = &metric_table[m].prometheus[schema];
            uint64_t value;
            if (!name->name || !tally_snapshot_value(&t->snapshot, i, m, &value))
                continue;
            if (!headed)
                add_head(to, &f);
            headed = true;
            add_series(to, t, f.prefix, &metric_table[m], name,
                       self ? NULL : t->tallies.order[i], value);
        }
    }
}

int tally_encode_prometheus(tally *t, const char **ret_text, size_t *ret_len) {
    struct buf *to = &t->text;
    buf_reset(to);
    for (size_t from = 0; from < METRICS;) {
        bool self = metric_table[from].about_self;
        enum tally_schema schema = self ? TALLY_SCHEMA_NATIVE : t->settings.schema;
        const char *name = metric_table[from].prometheus[schema].name;
        size_t end = from + 1;
        /* rows without a name in this schema may stand in between */
        for (size_t m = end; name && m < METRICS && metric_table[m].about_self == self; m++) {
            const char *next = metric_table[m].prometheus[schema].name;
            if (next && strcmp(next, name) == 0)
                end = m + 1;
            else if (next)
                break;
        }
        if (name)
            add_family(to, t, from, end, self);
        from = end;
    }
    buf_text(to);
    if (to->error)
        return to->error;
    *ret_text = to->data;
    *ret_len = to->len;
    return 0;
}
