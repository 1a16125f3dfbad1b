/* SPDX-License-Identifier: MIT */
/* Prometheus text format 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * and OpenMetrics 1.0.0, which is the same but for the heads of families and the last line:
 * https://prometheus.io/docs/specs/om/open_metrics_spec/ */
#include "output/present.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Backslash, quote and newline are escaped; in HELP of the text format the first and
 * the last only. Control characters and invalid UTF-8 can't be here (utf8.h), but
 * the user's own labels may hold anything. */
static void add_escaped(struct buf *to, const char *text, bool quotes) {
    for (;;) {
        size_t plain = strcspn(text, quotes ? "\\\"\n" : "\\\n");
        buf_add(to, text, plain);
        text += plain;
        if (!*text)
            return;
        buf_add_char(to, '\\');
        buf_add_char(to, *text == '\n' ? 'n' : *text);
        text++;
    }
}

static void add_label(struct buf *to, size_t start, const char *key, size_t key_len,
                      const char *value) {
    if (to->len > start)
        buf_add_char(to, ',');
    buf_add(to, key, key_len);
    buf_add(to, "=\"", 2);
    add_escaped(to, value, true);
    buf_add_char(to, '"');
}

static void add_user_labels(struct buf *to, size_t start, const struct string_list *labels) {
    for (size_t i = 0; i < labels->count; i++) {
        const char *equals = strchr(labels->items[i], '=');
        add_label(to, start, labels->items[i], (size_t)(equals - labels->items[i]), equals + 1);
    }
}

static void add_group_labels(struct buf *to, const struct group_texts *texts,
                             const struct snapshot_words *words) {
    const size_t start = to->len;
    add_label(to, start, "groupname", strlen("groupname"), texts->name);
    /* process-exporter's series have no label but these: dashboards join on them */
    if (words->schema != TALLY_SCHEMA_PROCESS_EXPORTER)
        for (size_t i = 0; i < texts->label_count; i++)
            add_label(to, start, texts->labels[i].key, strlen(texts->labels[i].key),
                      texts->labels[i].value);
    add_user_labels(to, start, &words->labels);
}

/* The labels of each group are the same in all its series: they are written once, here,
 * and then copied. Behind those of the groups are those about the collector. */
static int prepare_labels(const tally_snapshot *s, tally_text *text) {
    if (text->label_size < s->group_count + 1) {
        size_t size = (s->group_count + 1) * 2;
        size_t *ends = realloc(text->label_ends, size * sizeof(*ends));
        if (!ends)
            return -ENOMEM;
        text->label_ends = ends;
        text->label_size = size;
    }
    buf_reset(&text->labels);
    for (size_t i = 0; i < s->group_count; i++) {
        add_group_labels(&text->labels, s->groups[i].texts, s->words);
        text->label_ends[i] = text->labels.len;
    }
    add_user_labels(&text->labels, text->labels.len, &s->words->labels);
    text->label_ends[s->group_count] = text->labels.len;
    return text->labels.error;
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

static bool ends_with(const char *text, size_t len, const char *end) {
    size_t end_len = strlen(end);
    return len > end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

static void add_about(struct buf *to, const char *what, const char *name, size_t name_len,
                      const char *text, bool quotes) {
    buf_printf(to, "# %s ", what);
    buf_add(to, name, name_len);
    buf_add_char(to, ' ');
    add_escaped(to, text, quotes);
    buf_add_char(to, '\n');
}

static void add_head(struct buf *to, const struct row *first, const char *help) {
    const char *type = first->metric->kind == TALLY_KIND_COUNTER ? "counter" : "gauge";
    add_about(to, "HELP", first->name, first->name_len, help ? help : first->metric->help, false);
    add_about(to, "TYPE", first->name, first->name_len, type, false);
}

/* OpenMetrics: a counter's series end in _total, and its family does not. */
static void add_openmetrics_head(struct buf *to, const struct row *first, const char *help) {
    static const char *const units[] = {"seconds", "bytes", "ratio"};
    const bool is_counter = first->metric->kind == TALLY_KIND_COUNTER;
    const char *name = first->name;
    size_t name_len = first->name_len - (is_counter ? strlen("_total") : 0);
    add_about(to, "TYPE", name, name_len, is_counter ? "counter" : "gauge", true);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (ends_with(name, name_len, units[i]) &&
            name[name_len - strlen(units[i]) - 1] == '_')
            add_about(to, "UNIT", name, name_len, units[i], true);
    add_about(to, "HELP", name, name_len, help ? help : first->metric->help, true);
}

static char *put(char *at, const char *text, size_t len) {
    memcpy(at, text, len);
    return at + len;
}

static void add_series(tally_text *text, const tally_snapshot *s, const struct row *row,
                       size_t group, uint64_t value) {
    struct buf *to = &text->data;
    const size_t first = group ? text->label_ends[group - 1] : 0;
    const char *labels = text->labels.data ? text->labels.data + first : "";
    const size_t labels_len = text->label_ends[group] - first;
    if (buf_reserve(to, row->name_len + labels_len + row->label_len + 4) < 0)
        return;
    char *at = to->data + to->len;
    at = put(at, row->name, row->name_len);
    if (labels_len + row->label_len) {
        *at++ = '{';
        if (labels_len)
            at = put(at, labels, labels_len);
        size_t comma = labels_len == 0; /* nothing to part it from */
        if (row->label_len)
            at = put(at, row->label + comma, row->label_len - comma);
        *at++ = '}';
    }
    *at++ = ' ';
    to->len = (size_t)(at - to->data);
    add_number(to, present(s, row->metric, row->form, value));
    buf_add_char(to, '\n');
}

/* Most rows of one family: states of TCP sockets. */
#define FAMILY_ROWS 9
_Static_assert(ORIGINS <= FAMILY_ROWS && SOCKET_TCP_CLOSING < FAMILY_ROWS,
               "a row for each origin, and for each state");

/* Of a part of a group: threads of one name. */
static void add_part_series(tally_text *text, const tally_snapshot *s, const struct row *row,
                            size_t group, const char *key, const char *part, uint64_t value) {
    struct buf *to = &text->data;
    const size_t first = group ? text->label_ends[group - 1] : 0;
    buf_add(to, row->name, row->name_len);
    buf_add_char(to, '{');
    buf_add(to, text->labels.data + first, text->label_ends[group] - first);
    add_label(to, 0, key, strlen(key), part);
    buf_add(to, row->label, row->label_len);
    buf_add_str(to, "} ");
    add_number(to, present(s, row->metric, row->form, value));
    buf_add_char(to, '\n');
}

struct family {
    struct row rows[FAMILY_ROWS];
    size_t index[FAMILY_ROWS], count;
    const char *help;
    bool headed, openmetrics;
};

static inline void head_once(struct family *f, struct buf *to) {
    if (f->headed)
        return;
    (f->openmetrics ? add_openmetrics_head : add_head)(to, &f->rows[0], f->help);
    f->headed = true;
}

static void add_parts(tally_text *text, const tally_snapshot *s, struct family *f, enum part_kind kind) {
    const struct snapshot_part *part;
    for (size_t g = 0; g < s->group_count; g++)
        for (size_t i = 0; (part = snapshot_part(s, g, kind, i)); i++)
            for (size_t k = 0; k < f->count; k++) {
                uint64_t value;
                if (!snapshot_part_value(part, kind, f->index[k], &value))
                    continue;
                head_once(f, &text->data);
                add_part_series(text, s, &f->rows[k], g, part_table[kind].label, part->name,
                                value);
            }
}

/* Rows from..end of the catalogue are of one family: all its series, behind its
 * head, which is left out if there is no series. */
static void add_family(tally_text *text, const tally_snapshot *s, size_t from, size_t end,
                       bool self, bool openmetrics) {
    const enum tally_schema schema = self ? TALLY_SCHEMA_NATIVE : s->words->schema;
    const char *prefix = self ? s->words->self_prefix : s->words->prefix;
    struct family f; /* its rows are too long to be set to 0 first */
    f.count = 0;
    f.help = metric_table[from].prometheus[schema].help;
    f.headed = false;
    f.openmetrics = openmetrics;
    for (size_t m = from; m < end && f.count < FAMILY_ROWS; m++)
        if (metric_table[m].prometheus[schema].name) {
            f.index[f.count] = m;
            describe_row(&f.rows[f.count++], &metric_table[m].metric,
                         &metric_table[m].prometheus[schema], prefix);
        }
    for (enum part_kind kind = 0; kind < PARTS; kind++)
        if (part_table[kind].scope == metric_table[from].metric.scope) {
            add_parts(text, s, &f, kind);
            return;
        }
    /* the collector stands behind the groups */
    const size_t first = self ? s->group_count : 0, last = s->group_count + self;
    for (size_t i = first; i < last; i++)
        for (size_t k = 0; k < f.count; k++) {
            uint64_t value;
            if (!snapshot_value(s, i, f.index[k], &value))
                continue;
            head_once(&f, &text->data);
            add_series(text, s, &f.rows[k], i, value);
        }
}

/* Of the rows from..most_last. */
static void add_rows(const tally_snapshot *s, tally_text *to, size_t from, size_t most_last,
                     bool openmetrics) {
    while (from <= most_last) {
        const enum tally_scope scope = metric_table[from].metric.scope;
        const bool self = scope == TALLY_SCOPE_SELF;
        const enum tally_schema schema = self ? TALLY_SCHEMA_NATIVE : s->words->schema;
        const char *name = metric_table[from].prometheus[schema].name;
        size_t end = from + 1;
        /* rows without a name in this schema may stand in between */
        for (size_t m = end; name && m <= most_last && metric_table[m].metric.scope == scope; m++) {
            const char *next = metric_table[m].prometheus[schema].name;
            if (next && strcmp(next, name) == 0)
                end = m + 1;
            else if (next)
                break;
        }
        const metric_set rows = METRIC_SET(end - from) - 1;
        if (name && (from >= METRICS_OF_GROUP || s->known & rows << from))
            add_family(to, s, from, end, self, openmetrics);
        from = end;
    }
}

static int add_families(const tally_snapshot *s, tally_text *to, bool openmetrics) {
    int r = prepare_labels(s, to);
    if (r < 0)
        return r;
    buf_reset(&to->data);
    add_rows(s, to, 0, METRIC_SELF_LAST, openmetrics);
    if (s->part_count)
        for (enum part_kind kind = 0; kind < PARTS; kind++)
            add_rows(s, to, part_table[kind].first, part_table[kind].last, openmetrics);
    return 0;
}

int tally_encode_prometheus(const tally_snapshot *s, tally_text *to, const char **ret_data,
                            size_t *ret_len) {
    int r = add_families(s, to, false);
    return r < 0 ? r : text_finish(to, ret_data, ret_len);
}

int tally_encode_openmetrics(const tally_snapshot *s, tally_text *to, const char **ret_data,
                             size_t *ret_len) {
    int r = add_families(s, to, true);
    if (r < 0)
        return r;
    buf_add_str(&to->data, "# EOF\n");
    return text_finish(to, ret_data, ret_len);
}
