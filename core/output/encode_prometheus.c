/* SPDX-License-Identifier: MIT */
/* Prometheus text format 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/ */
#define _GNU_SOURCE
#include "collector/collector.h"
#include "output/encode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

static void add_label(struct buf *to, const char *key, size_t key_len, const char *value) {
    if (to->len > 0)
        buf_add_char(to, ',');
    buf_add(to, key, key_len);
    buf_add(to, "=\"", 2);
    add_escaped(to, value, true);
    buf_add_char(to, '"');
}

static void add_user_labels(struct buf *to, const struct string_list *labels) {
    for (size_t i = 0; i < labels->count; i++) {
        const char *equals = strchr(labels->items[i], '=');
        add_label(to, labels->items[i], (size_t)(equals - labels->items[i]), equals + 1);
    }
}

/* Labels never change during the life of a group: they are written out once. */
static int encode_labels(const tally *t, struct group *g) {
    struct buf to;
    buf_init(&to, 1 << 20);
    add_label(&to, "groupname", strlen("groupname"), g->name);
    /* process-exporter's series have no label but these: dashboards join on them */
    if (t->settings.schema != TALLY_SCHEMA_PROCESS_EXPORTER)
        for (size_t i = 0; i < g->label_count; i++)
            add_label(&to, g->labels[i].key, strlen(g->labels[i].key), g->labels[i].value);
    add_user_labels(&to, &t->settings.labels);
    if (to.error) {
        int r = to.error;
        buf_free(&to);
        return r;
    }
    g->encoded = to.data;
    g->encoded_len = to.len;
    return 0;
}

/* What differs from row to row of the catalogue: the name, and its own label. */
struct row {
    const struct tally_metric *metric;
    enum tally_form form;
    char name[200];   /* with the prefix */
    size_t name_len;
    char label[100];  /* ,key="value" */
    size_t label_len;
};

static void describe_row(struct row *row, const struct tally_metric *metric,
                         const struct tally_prometheus_name *name, const char *prefix) {
    *row = (struct row){.metric = metric, .form = name->form};
    int len = snprintf(row->name, sizeof(row->name), "%.120s%s", prefix, name->name);
    row->name_len = (size_t)len;
    if (name->label) {
        len = snprintf(row->label, sizeof(row->label), ",%s=\"%s\"", name->label, name->value);
        row->label_len = (size_t)len;
    }
}

static void add_head(struct buf *to, const struct row *first, const char *help) {
    buf_add_str(to, "# HELP ");
    buf_add(to, first->name, first->name_len);
    buf_add_char(to, ' ');
    add_escaped(to, help ? help : first->metric->help, false);
    buf_add_str(to, "\n# TYPE ");
    buf_add(to, first->name, first->name_len);
    buf_add_str(to, first->metric->kind == TALLY_COUNTER ? " counter\n" : " gauge\n");
}

static void add_series(struct buf *to, const tally *t, const struct row *row, const char *labels,
                       size_t labels_len, uint64_t value) {
    if (buf_reserve(to, row->name_len + labels_len + row->label_len + 4) < 0)
        return;
    char *at = to->data + to->len;
    at = mempcpy(at, row->name, row->name_len);
    if (labels_len + row->label_len) {
        *at++ = '{';
        if (labels_len)
            at = mempcpy(at, labels, labels_len);
        size_t comma = labels_len == 0; /* nothing to part it from */
        if (row->label_len)
            at = mempcpy(at, row->label + comma, row->label_len - comma);
        *at++ = '}';
    }
    *at++ = ' ';
    to->len = (size_t)(at - to->data);
    encode_number(to, tally_present(&t->snapshot, row->metric, row->form, value));
    buf_add_char(to, '\n');
}

/* Most rows of one family: what could not be read. */
#define FAMILY_ROWS 8
_Static_assert(ORIGINS <= FAMILY_ROWS, "a row for each origin");

/* Rows from..end of the catalogue are of one family: all its series, behind its
 * head, which is left out if there is no series. */
static void add_family(struct buf *to, const tally *t, size_t from, size_t end, bool self) {
    enum tally_schema schema = self ? TALLY_SCHEMA_NATIVE : t->settings.schema;
    const char *prefix = self ? t->settings.self_prefix : t->settings.prefix;
    struct row rows[FAMILY_ROWS];
    size_t index[FAMILY_ROWS], count = 0;
    for (size_t m = from; m < end && count < FAMILY_ROWS; m++)
        if (metric_table[m].prometheus[schema].name) {
            index[count] = m;
            describe_row(&rows[count++], &metric_table[m], &metric_table[m].prometheus[schema],
                         prefix);
        }
    size_t groups = self ? 1 : t->tallies.order_count;
    bool headed = false;
    for (size_t i = 0; i < groups; i++) {
        const struct group *g = self ? NULL : t->tallies.order[i];
        for (size_t k = 0; k < count; k++) {
            uint64_t value;
            if (!tally_snapshot_value(&t->snapshot, i, index[k], &value))
                continue;
            if (!headed)
                add_head(to, &rows[0], metric_table[from].prometheus[schema].help);
            headed = true;
            if (g)
                add_series(to, t, &rows[k], g->encoded, g->encoded_len, value);
            else
                add_series(to, t, &rows[k], t->self_labels.data, t->self_labels.len, value);
        }
    }
}

static int prepare_labels(tally *t) {
    for (size_t i = 0; i < t->tallies.order_count; i++) {
        struct group *g = t->tallies.order[i];
        int r = g->encoded ? 0 : encode_labels(t, g);
        if (r < 0)
            return r;
    }
    buf_reset(&t->self_labels);
    add_user_labels(&t->self_labels, &t->settings.labels);
    return t->self_labels.error;
}

int tally_encode_prometheus(tally *t, const char **ret_text, size_t *ret_len) {
    struct buf *to = &t->text;
    int r = prepare_labels(t);
    if (r < 0)
        return r;
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
