/* SPDX-License-Identifier: MIT */
/* What goes out: the catalogue of metrics is sound, and both texts can be read
 * back. The readers below were written from the formats' descriptions and share
 * nothing with the encoders. */
#include "output/present.h"
#include "config/options.h"
#include "tree.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- The catalogue -------------------------------------------------------------- */

/* Types of collectd's types.db (5.0 to 5.12) and their data sources. */
static const struct {
    const char *name;
    unsigned sources;
    bool derive;
} stock_types[] = {
    {"contextswitch", 1, true}, {"derive", 1, true},       {"disk_octets", 2, true},
    {"duration", 1, false},     {"file_handles", 1, false}, {"gauge", 1, false},
    {"if_octets", 2, true},     {"if_packets", 2, true},   {"io_octets", 2, true},
    {"io_ops", 2, true},        {"memory", 1, false},      {"percent", 1, false},
    {"ps_code", 1, false},      {"ps_count", 2, false},    {"ps_cputime", 2, true},
    {"ps_data", 1, false},      {"ps_disk_octets", 2, true}, {"ps_disk_ops", 2, true},
    {"ps_pagefaults", 2, true}, {"ps_rss", 1, false},      {"ps_stacksize", 1, false},
    {"ps_state", 1, false},     {"ps_vm", 1, false},       {"tcp_connections", 1, false},
    {"threads", 1, false},     {"uptime", 1, false},
};

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_made_of(const char *text, const char *letters) {
    return *text && text[strspn(text, letters)] == '\0' && strchr("0123456789", *text) == NULL;
}
#define LOWER "abcdefghijklmnopqrstuvwxyz_0123456789"
#define ANY "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LOWER

START_TEST(every_metric) {
    const size_t count = METRICS;
    const struct metric_row *metrics = metric_table, *m = &metrics[_i];

    ck_assert_ptr_eq(tally_metric((size_t)_i), &m->metric);
    ck_assert_ptr_null(tally_metric(METRICS_IN_ALL));
    ck_assert_ptr_nonnull(m->metric.id);
    ck_assert_msg(is_made_of(m->metric.id, LOWER), "%s", m->metric.id);
    ck_assert_ptr_nonnull(m->metric.help);
    ck_assert(strlen(m->metric.help) > 5);
    ck_assert_ptr_null(strchr(m->metric.help, '\n'));
    ck_assert(!ends_with(m->metric.help, "."));
    ck_assert_int_eq((m->metric.scope == TALLY_SCOPE_SELF), _i >= METRIC_SELF_FIRST);
    for (size_t i = 0; i < count; i++)
        if (i != (size_t)_i)
            ck_assert_str_ne(metrics[i].metric.id, m->metric.id);
    /* shown somewhere */
    bool shown = m->influx.field || m->collectd.type;
    for (int s = 0; s < TALLY_SCHEMAS; s++)
        shown = shown || m->prometheus[s].name;
    ck_assert_msg(shown, "%s", m->metric.id);
    /* what only adds up is no moment and no ratio */
    if (m->metric.kind == TALLY_KIND_COUNTER)
        ck_assert(m->metric.unit == TALLY_UNIT_COUNT || m->metric.unit == TALLY_UNIT_BYTES || m->metric.unit == TALLY_UNIT_NS);
}
END_TEST

/* The names that a row has under a schema; about itself it is always the first. */
static const struct tally_prometheus_name *name_in(const struct metric_row *m, int schema) {
    return &m->prometheus[(m->metric.scope == TALLY_SCOPE_SELF) ? TALLY_SCHEMA_NATIVE : schema];
}

START_TEST(prometheus_names) {
    const size_t count = METRICS_IN_ALL;
    const struct metric_row *metrics = metric_table;
    int schema = _i;

    for (size_t i = 0; i < count; i++) {
        const struct metric_row *m = &metrics[i];
        const struct tally_prometheus_name *n = name_in(m, schema);

        if (!n->name)
            continue;
        ck_assert_msg(is_made_of(n->name, LOWER), "%s", n->name);
        ck_assert_int_eq(ends_with(n->name, "_total"), m->metric.kind == TALLY_KIND_COUNTER);
        ck_assert_int_eq(n->label != NULL, n->value != NULL);
        if (n->label) {
            ck_assert_msg(is_made_of(n->label, ANY), "%s", n->label);
            ck_assert(strncmp(n->label, "__", 2) != 0);
            ck_assert(strlen(n->value) > 0);
            ck_assert_str_ne(n->label, "groupname");
        }
        if (n->help)
            ck_assert(!ends_with(n->help, ".") && !strchr(n->help, '\n'));
        /* the rows of a family are alike, stand together, and differ in one label */
        bool apart = false;
        for (size_t k = i + 1; k < count; k++) {
            const struct metric_row *other = &metrics[k];
            const struct tally_prometheus_name *o = name_in(other, schema);

            if (!o->name)
                continue;
            if (strcmp(o->name, n->name) != 0) {
                apart = true;
                continue;
            }
            ck_assert_msg(!apart, "%s is in two places", n->name);
            ck_assert_int_eq(other->metric.kind, m->metric.kind);
            ck_assert_int_eq(other->metric.unit, m->metric.unit);
            ck_assert_int_eq(other->metric.scope, m->metric.scope);
            ck_assert_int_eq(o->form, n->form);
            ck_assert_ptr_nonnull(n->label);
            ck_assert_pstr_eq(o->label, n->label);
            ck_assert_str_ne(o->value, n->value);
        }
    }
}
END_TEST

/* What promtool remarks upon, of the names that are our own choice. */
START_TEST(native_names_are_idiomatic) {
    static const char *const endings[] = {"_count", "_sum", "_bucket", "_gauge", "_counter",
                                          "_ms",    "_ns",  "_us",     "_s",     "_kb",
                                          "_mb",    "_percent", "_milliseconds", "_minutes",
                                          "_hours", "_kilobytes", "_info", "_created"};
    static const char *const words[] = {"gauge", "counter", "histogram", "summary", "metric",
                                        "__"};
    const size_t count = METRICS;
    const struct metric_row *metrics = metric_table;

    for (size_t i = 0; i < count; i++) {
        const struct metric_row *m = &metrics[i];
        const struct tally_prometheus_name *n = &m->prometheus[TALLY_SCHEMA_NATIVE];
        char base[128];

        if (!n->name)
            continue;
        snprintf(base, sizeof(base), "%s", n->name);
        if (ends_with(base, "_total"))
            base[strlen(base) - 6] = '\0';
        for (int k = 0; k < COUNT(endings); k++)
            ck_assert_msg(!ends_with(base, endings[k]), "%s", n->name);
        for (int k = 0; k < COUNT(words); k++)
            ck_assert_msg(!strstr(base, words[k]), "%s", n->name);
        ck_assert_msg(ends_with(base, "_bytes") == (m->metric.unit == TALLY_UNIT_BYTES), "%s", n->name);
        ck_assert_msg(ends_with(base, "_seconds") ==
                          (m->metric.unit == TALLY_UNIT_NS || m->metric.unit == TALLY_UNIT_UNIX_NS),
                      "%s", n->name);
        ck_assert_msg(ends_with(base, "_ratio") == (m->metric.unit == TALLY_UNIT_RATIO), "%s", n->name);
        ck_assert_int_eq(n->form, TALLY_FORM_NATURAL);
    }
}
END_TEST

/* node_exporter has these names for itself and drops ours. */
START_TEST(default_prefix_is_free) {
    static const char *const taken[] = {"process_", "node_", "go_", "scrape_", "promhttp_"};
    const char *prefix = tally_option(OPTION_PREFIX)->default_value;

    for (int i = 0; i < COUNT(taken); i++)
        ck_assert(strncmp(prefix, taken[i], strlen(taken[i])) != 0);
    ck_assert(ends_with(prefix, "_"));
}
END_TEST

/* Dashboards for process-exporter ask for these, and no others exist there. */
START_TEST(process_exporter_names) {
    static const struct {
        const char *name, *label, *value;
    } known[] = {
        {"num_procs", NULL, NULL},
        {"cpu_seconds_total", "mode", "user"},
        {"cpu_seconds_total", "mode", "system"},
        {"read_bytes_total", NULL, NULL},
        {"write_bytes_total", NULL, NULL},
        {"major_page_faults_total", NULL, NULL},
        {"minor_page_faults_total", NULL, NULL},
        {"context_switches_total", "ctxswitchtype", "voluntary"},
        {"context_switches_total", "ctxswitchtype", "nonvoluntary"},
        {"memory_bytes", "memtype", "resident"},
        {"memory_bytes", "memtype", "virtual"},
        {"memory_bytes", "memtype", "swapped"},
        {"memory_bytes", "memtype", "proportionalResident"},
        {"memory_bytes", "memtype", "proportionalSwapped"},
        {"open_filedesc", NULL, NULL},
        {"worst_fd_ratio", NULL, NULL},
        {"oldest_start_time_seconds", NULL, NULL},
        {"num_threads", NULL, NULL},
        {"states", "state", "Running"},
        {"states", "state", "Sleeping"},
        {"states", "state", "Waiting"},
        {"states", "state", "Zombie"},
        {"states", "state", "Other"},
    };
    size_t found = 0;
    const struct metric_row *metrics = metric_table;

    for (size_t i = 0; i < METRICS_OF_GROUP; i++) {
        const struct tally_prometheus_name *n =
            &metrics[i].prometheus[TALLY_SCHEMA_PROCESS_EXPORTER];
        bool is_known = !n->name;

        for (int k = 0; n->name && k < COUNT(known); k++)
            is_known = is_known || (strcmp(n->name, known[k].name) == 0 &&
                                    !n->label == !known[k].label &&
                                    (!n->label || (strcmp(n->label, known[k].label) == 0 &&
                                                   strcmp(n->value, known[k].value) == 0)));
        ck_assert_msg(is_known, "%s", n->name);
        found += n->name != NULL;
    }
    ck_assert_uint_eq(found, COUNT(known));
}
END_TEST

START_TEST(influx_fields) {
    const size_t count = METRICS_IN_ALL;
    const struct metric_row *metrics = metric_table;

    for (size_t i = 0; i < count; i++) {
        const char *field = metrics[i].influx.field;

        if (!field)
            continue;
        ck_assert_msg(is_made_of(field, LOWER), "%s", field);
        ck_assert_str_ne(field, "time");
        for (size_t k = i + 1; k < count; k++)
            if (metrics[k].metric.scope == metrics[i].metric.scope && metrics[k].influx.field)
                ck_assert_str_ne(metrics[k].influx.field, field);
        /* a field of a tag's name can hardly be asked for */
        for (size_t k = 0; k < GROUP_KEYS; k++)
            ck_assert_str_ne(field, group_key_names[k]);
    }
}
END_TEST

START_TEST(collectd_types) {
    const size_t count = METRICS_IN_ALL;
    const struct metric_row *metrics = metric_table;

    for (size_t i = 0; i < count; i++) {
        const struct metric_row *m = &metrics[i];
        int type = 0;
        unsigned rows = 0;

        if (!m->collectd.type)
            continue;
        while (type < COUNT(stock_types) && strcmp(stock_types[type].name, m->collectd.type) != 0)
            type++;
        ck_assert_msg(type < COUNT(stock_types), "%s is no stock type", m->collectd.type);
        ck_assert_uint_lt(m->collectd.index, stock_types[type].sources);
        ck_assert_msg(stock_types[type].derive == (m->metric.kind == TALLY_KIND_COUNTER), "%s", m->metric.id);
        ck_assert_ptr_nonnull(m->collectd.instance);
        if (*m->collectd.instance)
            ck_assert_msg(is_made_of(m->collectd.instance, LOWER), "%s", m->collectd.instance);
        /* what is derived is counted in whole numbers */
        if (m->metric.kind == TALLY_KIND_COUNTER)
            ck_assert(m->collectd.form == TALLY_FORM_MICROSECONDS ||
                      (m->collectd.form == TALLY_FORM_NATURAL && m->metric.unit != TALLY_UNIT_NS));
        /* all values of one list, each once */
        for (size_t k = 0; k < count; k++) {
            const struct metric_row *o = &metrics[k];

            if (o->metric.scope != m->metric.scope || !o->collectd.type ||
                strcmp(o->collectd.type, m->collectd.type) != 0 ||
                strcmp(o->collectd.instance, m->collectd.instance) != 0)
                continue;
            ck_assert_msg(k == i || o->collectd.index != m->collectd.index, "%s and %s", m->metric.id,
                          o->metric.id);
            rows++;
        }
        ck_assert_msg(rows == stock_types[type].sources, "%s has %u of %u values",
                      m->collectd.type, rows, stock_types[type].sources);
    }
}
END_TEST

/* ---- Numbers --------------------------------------------------------------------------- */

static const struct {
    struct tally_number number;
    const char *text;
} numbers[] = {
    {{.whole = 0}, "0"},
    {{.whole = 9}, "9"},
    {{.whole = 10}, "10"},
    {{.whole = 99}, "99"},
    {{.whole = 100}, "100"},
    {{.whole = 101}, "101"},
    {{.whole = 1000000007}, "1000000007"},
    {{.whole = UINT64_MAX}, "18446744073709551615"},
    {{.whole = UINT64_MAX, .billionths = 999999999}, "18446744073709551615.999999999"},
    {{.billionths = 1}, "0.000000001"},
    {{.billionths = 10}, "0.00000001"},
    {{.billionths = 100000000}, "0.1"},
    {{.billionths = 123456789}, "0.123456789"},
    {{.whole = 1, .billionths = 500000000}, "1.5"},
    {{.whole = 1, .billionths = 50000000}, "1.05"},
    {{.whole = 7, .billionths = 900000009}, "7.900000009"},
    {{.negative = true, .whole = 1}, "-1"},
    {{.negative = true, .billionths = 1}, "-0.000000001"},
    {{.negative = true, .whole = UINT64_C(1) << 63}, "-9223372036854775808"},
    {{.negative = true}, "0"}, /* there is no other zero */
    {{.is_whole = true, .whole = 5}, "5"},
};

START_TEST(number_text) {
    struct buf to;

    buf_init(&to, 1 << 16);
    buf_add_str(&to, ">");
    add_number(&to, numbers[_i].number);
    ck_assert_int_eq(to.error, 0);
    ck_assert_str_eq(buf_text(&to) + 1, numbers[_i].text);
    buf_free(&to);
    /* a ceiling is kept */
    buf_init(&to, 8);
    add_number(&to, numbers[_i].number);
    ck_assert_int_eq(to.error, -E2BIG);
    buf_free(&to);

    char text[TALLY_NUMBER_SIZE];
    ck_assert_uint_eq(tally_number_text(numbers[_i].number, text), strlen(numbers[_i].text));
    ck_assert_str_eq(text, numbers[_i].text);
}
END_TEST

static const struct {
    enum tally_unit unit;
    enum tally_form form;
    uint64_t value;
    struct tally_number number;
} presented[] = {
    {TALLY_UNIT_COUNT, TALLY_FORM_NATURAL, UINT64_MAX, {.is_whole = true, .whole = UINT64_MAX}},
    {TALLY_UNIT_BYTES, TALLY_FORM_NATURAL, 4096, {.is_whole = true, .whole = 4096}},
    {TALLY_UNIT_SIGNED, TALLY_FORM_NATURAL, 20, {.is_whole = true, .whole = 20}},
    {TALLY_UNIT_SIGNED, TALLY_FORM_NATURAL, (uint64_t)-20, {true, true, 20, 0}},
    {TALLY_UNIT_SIGNED, TALLY_FORM_NATURAL, (uint64_t)INT64_MIN, {true, true, UINT64_C(1) << 63, 0}},
    {TALLY_UNIT_NS, TALLY_FORM_NATURAL, 0, {0}},
    {TALLY_UNIT_NS, TALLY_FORM_NATURAL, 1500000000, {.whole = 1, .billionths = 500000000}},
    {TALLY_UNIT_NS, TALLY_FORM_NATURAL, UINT64_MAX, {.whole = UINT64_C(18446744073), .billionths = 709551615}},
    {TALLY_UNIT_NS, TALLY_FORM_MICROSECONDS, 1999, {.is_whole = true, .whole = 1}},
    {TALLY_UNIT_RATIO, TALLY_FORM_NATURAL, 1000000000, {.whole = 1}},
    {TALLY_UNIT_RATIO, TALLY_FORM_NATURAL, 1, {.billionths = 1}},
    {TALLY_UNIT_RATIO, TALLY_FORM_PERCENT, 1000000000, {.whole = 100}},
    {TALLY_UNIT_RATIO, TALLY_FORM_PERCENT, 12345, {.billionths = 1234500}},
    {TALLY_UNIT_RATIO, TALLY_FORM_PERCENT, UINT64_MAX, {.whole = UINT64_C(18446744073), .billionths = 709551615}},
    {TALLY_UNIT_UNIX_NS, TALLY_FORM_NATURAL, UINT64_C(1700000000250000000), {.whole = 1700000000, .billionths = 250000000}},
    {TALLY_UNIT_UNIX_NS, TALLY_FORM_WHOLE_NS, UINT64_C(1700000000250000000), {.is_whole = true, .whole = UINT64_C(1700000000250000000)}},
    {TALLY_UNIT_UNIX_NS, TALLY_FORM_UPTIME, UINT64_C(1700000000250000000), {.is_whole = true, .whole = 99}},
    {TALLY_UNIT_UNIX_NS, TALLY_FORM_UPTIME, UINT64_MAX, {.is_whole = true}}, /* started in the future */
};

START_TEST(presented_number) {
    const struct tally_snapshot s = {.time_ns = UINT64_C(1700000100000000000)};
    const struct tally_metric m = {.unit = presented[_i].unit};
    struct tally_number n = present(&s, &m, presented[_i].form, presented[_i].value);

    ck_assert_int_eq(n.negative, presented[_i].number.negative);
    ck_assert_int_eq(n.is_whole, presented[_i].number.is_whole);
    ck_assert_uint_eq(n.whole, presented[_i].number.whole);
    ck_assert_uint_eq(n.billionths, presented[_i].number.billionths);
}
END_TEST

/* ---- A reader of Prometheus' text format 0.0.4 --------------------------------------------- */

#define LABELS 20

struct label_read {
    char key[32], value[600];
};

struct series {
    char name[400];
    struct label_read labels[LABELS];
    size_t label_count;
    char number[64];
    bool counter;
};

struct document {
    struct series *series;
    size_t count;
};

static bool is_utf8(const char *text, size_t len) {
    const unsigned char *s = (const unsigned char *)text, *end = s + len;

    while (s < end) {
        unsigned long code;
        size_t more = *s < 0x80 ? 0 : *s >> 5 == 6 ? 1 : *s >> 4 == 14 ? 2 : *s >> 3 == 30 ? 3 : 9;

        if (more == 9 || more >= (size_t)(end - s))
            return false;
        code = more ? *s & (0x3fu >> more) : *s;
        for (size_t i = 1; i <= more; i++) {
            if (s[i] >> 6 != 2)
                return false;
            code = code << 6 | (s[i] & 0x3f);
        }
        if ((more == 1 && code < 0x80) || (more == 2 && code < 0x800) ||
            (more == 3 && code < 0x10000) || code > 0x10ffff || (code >> 11) == 0x1b)
            return false;
        s += more + 1;
    }
    return true;
}

/* The next line, without its end; fails the test if it has none. */
static const char *next_line(const char **at, const char *end, size_t *ret_len) {
    const char *line = *at, *newline;

    if (line == end)
        return NULL;
    newline = memchr(line, '\n', (size_t)(end - line));
    ck_assert_msg(newline != NULL, "the last line is not ended");
    *ret_len = (size_t)(newline - line);
    *at = newline + 1;
    return line;
}

static size_t name_len(const char *at, const char *end) {
    const char *start = at;

    while (at < end && *at && strchr(ANY, *at))
        at++;
    ck_assert_msg(at > start && !strchr("0123456789", *start), "no name at \"%.40s\"", start);
    return (size_t)(at - start);
}

static void copy_to(char *to, size_t size, const char *from, size_t len) {
    ck_assert_uint_lt(len, size);
    memcpy(to, from, len);
    to[len] = '\0';
}

/* Digits, perhaps with a sign and a fraction: what both formats take, and no
 * exponent, NaN or Inf, as ours are never so. */
static size_t number_len(const char *at, const char *end) {
    const char *start = at;

    at += at < end && *at == '-';
    ck_assert_msg(at < end && *at >= '0' && *at <= '9', "no number at \"%.40s\"", start);
    ck_assert_msg(*at != '0' || at + 1 == end || at[1] < '0' || at[1] > '9',
                  "leading zero at \"%.40s\"", start);
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        ck_assert_msg(at > fraction && at[-1] != '0', "odd fraction at \"%.40s\"", start);
        ck_assert(at - fraction <= 9);
    }
    return (size_t)(at - start);
}

static const char *read_label(const char *at, const char *end, struct label_read *ret) {
    size_t len = name_len(at, end);

    copy_to(ret->key, sizeof(ret->key), at, len);
    at += len;
    ck_assert(end - at >= 3 && at[0] == '=' && at[1] == '"');
    at += 2;
    for (len = 0; at < end && *at != '"'; at++) {
        char c = *at;
        if (c == '\\') {
            ck_assert_msg(++at < end, "backslash at the end");
            ck_assert_msg(strchr("\\\"n", *at), "unknown escape \\%c", *at);
            c = *at == 'n' ? '\n' : *at;
        }
        ck_assert_uint_lt(len, sizeof(ret->value) - 1);
        ret->value[len++] = c;
    }
    ret->value[len] = '\0';
    ck_assert_msg(at < end, "a label value is not ended");
    return at + 1;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct label_read *)a)->key, ((const struct label_read *)b)->key);
}

static void read_series(const char *line, size_t line_len, struct series *ret) {
    const char *at = line, *end = line + line_len;
    size_t len = name_len(at, end);

    copy_to(ret->name, sizeof(ret->name), at, len);
    at += len;
    ret->label_count = 0;
    if (at < end && *at == '{') {
        do {
            ck_assert_uint_lt(ret->label_count, LABELS);
            at = read_label(at + 1, end, &ret->labels[ret->label_count++]);
            ck_assert(at < end);
        } while (*at == ',');
        ck_assert_msg(*at == '}', "no } in \"%.*s\"", (int)line_len, line);
        at++;
    }
    ck_assert_msg(at < end && *at == ' ', "no value in \"%.*s\"", (int)line_len, line);
    at++;
    len = number_len(at, end);
    /* no timestamp: node_exporter refuses a whole file for one */
    ck_assert_msg(at + len == end, "something behind the number in \"%.*s\"", (int)line_len, line);
    copy_to(ret->number, sizeof(ret->number), at, len);
    /* the order of labels does not matter, a label given twice does */
    qsort(ret->labels, ret->label_count, sizeof(ret->labels[0]), by_key);
    for (size_t i = 1; i < ret->label_count; i++)
        ck_assert_str_ne(ret->labels[i - 1].key, ret->labels[i].key);
}

static int by_series(const void *a, const void *b) {
    const struct series *x = *(const struct series *const *)a, *y = *(const struct series *const *)b;
    int r = strcmp(x->name, y->name);

    for (size_t i = 0; r == 0 && i < x->label_count && i < y->label_count; i++) {
        r = strcmp(x->labels[i].key, y->labels[i].key);
        if (r == 0)
            r = strcmp(x->labels[i].value, y->labels[i].value);
    }
    if (r == 0)
        r = (x->label_count > y->label_count) - (x->label_count < y->label_count);
    return r;
}

static void assert_unique(const struct document *d) {
    const struct series **order = calloc(d->count, sizeof(struct series *));

    ck_assert_ptr_nonnull(order);
    for (size_t i = 0; i < d->count; i++)
        order[i] = &d->series[i];
    qsort(order, d->count, sizeof(*order), by_series);
    for (size_t i = 1; i < d->count; i++)
        ck_assert_msg(by_series(&order[i - 1], &order[i]) != 0, "%s is there twice",
                      order[i]->name);
    free(order);
}

static void *grow(void *array, size_t count, size_t item) {
    if ((count & (count - 1)) == 0) { /* full: twice as many */
        array = realloc(array, (count ? 2 * count : 1) * item);
        ck_assert_ptr_nonnull(array);
    }
    return array;
}

static struct document read_prometheus(const char *text, size_t text_len) {
    struct document d = {0};
    char (*families)[400] = NULL;
    size_t family_count = 0, len, in_family = 1;
    const char *at = text, *line;
    bool counter = false;

    ck_assert_uint_eq(strlen(text), text_len);
    ck_assert_msg(is_utf8(text, text_len), "the text is not UTF-8");
    while ((line = next_line(&at, text + text_len, &len)) != NULL) {
        char head[450];

        if (len > 7 && memcmp(line, "# HELP ", 7) == 0) {
            ck_assert_msg(in_family > 0, "a family without series");
            families = grow(families, family_count, sizeof(*families));
            size_t n = name_len(line + 7, line + len);
            copy_to(families[family_count], sizeof(*families), line + 7, n);
            ck_assert_msg(len > 7 + n + 1 && line[7 + n] == ' ', "no help in \"%.*s\"", (int)len,
                          line);
            for (const char *c = line; c < line + len; c++)
                if (*c == '\\')
                    ck_assert(c + 1 < line + len && strchr("\\n", *++c));
            for (size_t i = 0; i < family_count; i++)
                ck_assert_str_ne(families[i], families[family_count]);
            /* TYPE follows at once */
            line = next_line(&at, text + text_len, &len);
            ck_assert_ptr_nonnull(line);
            int head_len = snprintf(head, sizeof(head), "# TYPE %s ", families[family_count]);
            ck_assert_msg(strncmp(line, head, (size_t)head_len) == 0, "\"%.*s\"", (int)len, line);
            counter = len == (size_t)head_len + 7 && memcmp(line + head_len, "counter", 7) == 0;
            ck_assert(counter ||
                      (len == (size_t)head_len + 5 && memcmp(line + head_len, "gauge", 5) == 0));
            ck_assert_msg(ends_with(families[family_count], "_total") == counter, "%s",
                          families[family_count]);
            family_count++;
            in_family = 0;
            continue;
        }
        ck_assert_msg(len > 0 && line[0] != '#', "odd line \"%.*s\"", (int)len, line);
        ck_assert(family_count > 0);
        d.series = grow(d.series, d.count, sizeof(*d.series));
        read_series(line, len, &d.series[d.count]);
        ck_assert_str_eq(d.series[d.count].name, families[family_count - 1]);
        d.series[d.count++].counter = counter;
        in_family++;
    }
    ck_assert_msg(in_family > 0, "a family without series");
    free(families);
    assert_unique(&d);
    return d;
}

/* ---- A reader of line protocol ----------------------------------------------------------------- */

struct field_read {
    char key[64], number[64];
    bool integer;
};

struct point {
    char measurement[400];
    struct label_read tags[LABELS];
    size_t tag_count;
    struct field_read fields[METRICS];
    size_t field_count;
    char time[32];
};

struct points {
    struct point *items;
    size_t count;
};

/* Up to an unescaped one of `ends`: a backslash escapes only what is in `escaped`,
 * and stands for itself otherwise, as InfluxDB reads it. */
static const char *read_escaped(const char *at, const char *end, const char *escaped,
                                const char *ends, char *to, size_t size) {
    size_t len = 0;

    while (at < end && !strchr(ends, *at)) {
        if (*at == '\\' && at + 1 < end && strchr(escaped, at[1]))
            at++;
        ck_assert_uint_lt(len, size - 1);
        to[len++] = *at++;
    }
    to[len] = '\0';
    ck_assert_msg(len > 0, "something empty in line protocol");
    ck_assert_msg(at < end, "a line without fields or time");
    return at;
}

static void read_point(const char *line, size_t line_len, struct point *ret) {
    const char *at = line, *end = line + line_len;

    ret->tag_count = ret->field_count = 0;
    at = read_escaped(at, end, ", ", ", ", ret->measurement, sizeof(ret->measurement));
    while (*at == ',') {
        struct label_read *tag = &ret->tags[ret->tag_count];

        ck_assert_uint_lt(ret->tag_count, LABELS);
        at = read_escaped(at + 1, end, ",= ", ",= ", tag->key, sizeof(tag->key));
        ck_assert_int_eq(*at, '=');
        at = read_escaped(at + 1, end, ",= ", ",= ", tag->value, sizeof(tag->value));
        ck_assert_int_ne(*at, '=');
        ck_assert_msg(at[-1] != '\\', "a backslash ends a tag in \"%.*s\"", (int)line_len, line);
        for (const char *c = tag->value; *c; c++)
            ck_assert(*c != '\n' && *c != '\r' && *c != '\t');
        for (size_t i = 0; i < ret->tag_count; i++)
            ck_assert_str_ne(ret->tags[i].key, tag->key);
        ret->tag_count++;
    }
    do {
        struct field_read *field = &ret->fields[ret->field_count];
        size_t len;

        ck_assert_uint_lt(ret->field_count, METRICS);
        at = read_escaped(at + 1, end, ",= ", ",= ", field->key, sizeof(field->key));
        ck_assert_int_eq(*at, '=');
        at++;
        len = number_len(at, end);
        copy_to(field->number, sizeof(field->number), at, len);
        at += len;
        field->integer = at < end && *at == 'i';
        at += field->integer;
        ck_assert(!field->integer || !strchr(field->number, '.'));
        if (field->integer) { /* it fits into 64 bits with a sign */
            errno = 0;
            strtoll(field->number, NULL, 10);
            ck_assert_msg(errno == 0, "%s=%s", field->key, field->number);
        }
        for (size_t i = 0; i < ret->field_count; i++)
            ck_assert_str_ne(ret->fields[i].key, field->key);
        ret->field_count++;
        ck_assert_msg(at < end, "no time in \"%.*s\"", (int)line_len, line);
    } while (*at == ',');
    ck_assert_int_eq(*at, ' ');
    at++;
    copy_to(ret->time, sizeof(ret->time), at, (size_t)(end - at));
    ck_assert_uint_eq(strspn(ret->time, "0123456789"), strlen(ret->time));
    ck_assert_uint_ge(strlen(ret->time), 19);
}

static struct points read_influx(const char *text, size_t text_len) {
    struct points p = {0};
    const char *at = text, *line;
    size_t len;

    ck_assert_uint_eq(strlen(text), text_len);
    ck_assert_msg(is_utf8(text, text_len), "the text is not UTF-8");
    while ((line = next_line(&at, text + text_len, &len)) != NULL) {
        p.items = grow(p.items, p.count, sizeof(*p.items));
        read_point(line, len, &p.items[p.count++]);
        /* one instant for all */
        ck_assert_str_eq(p.items[p.count - 1].time, p.items[0].time);
    }
    return p;
}

/* ---- A host of odd processes ----------------------------------------------------------------------- */

static const char hostile_comm[] = "a\"b\\c\nd,e=f {g}\xff\xc3\xa9\x01\xe2\x80\xae\\";
/* … as a name */
static const char hostile_name[] = "a\"b\\c?d,e=f {g}\xef\xbf\xbd\xc3\xa9???";

static void put_processes(uint64_t step) {
    struct recorded odd = {.pid = 10,
                           .ppid = 1,
                           .start_ticks = 5000,
                           .comm = hostile_comm,
                           .utime = 100 + 7 * step,
                           .stime = 3 * step,
                           .rss_pages = 1000 + step,
                           .vsize = 123456789,
                           .priority = -100,
                           .nice = -20,
                           .uid = 4242424,
                           .fds = 3,
                           .rchar = 1000 * step,
                           .voluntary = 5 * step,
                           .wait_ns = 123456789 * step,
                           .cmdline = "/bin/odd\0a b\0\xff",
                           .cmdline_len = 15,
                           .exe = "/opt/a \"b\"\\",
                           .cgroup = "0::/system.slice/a,b=c\\x2d.service\n"};
    struct recorded plain = {.pid = 11,
                             .ppid = 1,
                             .start_ticks = 6000,
                             .comm = "bash",
                             .priority = 20,
                             .cmdline = "bash",
                             .cmdline_len = 5,
                             .exe = "/bin/bash"};
    struct recorded twin = {.pid = 12, .ppid = 1, .start_ticks = 6000, .comm = "bash\x02"};
    struct recorded other_twin = {.pid = 13, .ppid = 1, .start_ticks = 6000, .comm = "bash\x03"};
    struct recorded kernel = {.pid = 14, .ppid = 2, .start_ticks = 1, .comm = "kworker/0:1",
                              .flags = 0x00200000};

    tree_put(&odd);
    tree_put(&plain);
    tree_put(&twin);
    tree_put(&other_twin);
    tree_put(&kernel);
    tree_set_host(1000 + 20 * step, 2);
}

static void setup(void) {
    tree_open();
    put_processes(0);
}

static tally *collector;

static const tally_snapshot *collect(uint64_t step) {
    put_processes(step);
    clock_set(1000 + 10.125 * (double)step);
    return tree_collect(collector);
}

static struct document prometheus(void) {
    const char *text;
    size_t len;

    ck_assert_int_eq(tree_prometheus(collector, &text, &len), 0);
    return read_prometheus(text, len);
}

static struct points influx(void) {
    const char *text;
    size_t len;

    ck_assert_int_eq(tree_influx(collector, &text, &len), 0);
    return read_influx(text, len);
}

static const char *value_in(const struct label_read *labels, size_t count, const char *key) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(labels[i].key, key) == 0)
            return labels[i].value;
    return NULL;
}

/* ---- The texts and the snapshot say the same ----------------------------------------------------------- */

/* A value in its natural form, worked out another way. */
static void natural_text(const struct metric_row *m, uint64_t value, char *to, size_t size) {
    if (m->metric.unit == TALLY_UNIT_COUNT || m->metric.unit == TALLY_UNIT_BYTES) {
        snprintf(to, size, "%llu", (unsigned long long)value);
    } else if (m->metric.unit == TALLY_UNIT_SIGNED) {
        snprintf(to, size, "%lld", (long long)value);
    } else {
        snprintf(to, size, "%llu.%09llu", (unsigned long long)value / 1000000000,
                 (unsigned long long)value % 1000000000);
        size_t len = strlen(to);
        while (to[len - 1] == '0')
            len--;
        to[to[len - 1] == '.' ? len - 1 : len] = '\0';
    }
}

static const struct series *find_series(const struct document *d, const char *name,
                                        const char *group, const char *label, const char *value) {
    for (size_t i = 0; i < d->count; i++) {
        const struct series *s = &d->series[i];
        const char *got_group = value_in(s->labels, s->label_count, "groupname");
        const char *got_value = label ? value_in(s->labels, s->label_count, label) : NULL;

        if (strcmp(s->name, name) == 0 && !got_group == !group &&
            (!group || strcmp(got_group, group) == 0) &&
            (!label || (got_value && strcmp(got_value, value) == 0)))
            return s;
    }
    return NULL;
}

static const char *prefix_of(bool self, int schema, const char *given) {
    if (given)
        return given;
    return self || schema == TALLY_SCHEMA_NATIVE  ? "proctally_"
           : schema == TALLY_SCHEMA_PROCESS       ? "process_"
                                                  : "namedprocess_namegroup_";
}

/* Of threads by name. How many series that makes. */
static size_t assert_same_threads(const tally_snapshot *s, const struct document *d, int schema,
                                  const char *prefix) {
    size_t expected = 0;

    for (size_t m = METRIC_THREAD_FIRST; m <= METRIC_THREAD_LAST; m++) {
        const struct tally_prometheus_name *n = &metric_table[m].prometheus[schema];
        char name[450], text[64];

        if (!n->name)
            continue;
        snprintf(name, sizeof(name), "%s%s", prefix_of(false, schema, prefix), n->name);
        for (size_t g = 0; g < tally_snapshot_groups(s); g++) {
            const size_t threads = tally_snapshot_parts(s, g, TALLY_SCOPE_THREAD_NAME);
            uint64_t value;

            for (size_t i = 0; i < threads; i++) {
                const char *thread = tally_snapshot_part_name(s, g, TALLY_SCOPE_THREAD_NAME, i);
                const struct series *found = NULL;
                for (size_t k = 0; k < d->count; k++) {
                    const struct series *at = &d->series[k];
                    if (strcmp(at->name, name) == 0 &&
                        strcmp(value_in(at->labels, at->label_count, "groupname"),
                               tally_snapshot_group_name(s, g)) == 0 &&
                        strcmp(value_in(at->labels, at->label_count, "threadname"), thread) == 0 &&
                        (!n->label ||
                         strcmp(value_in(at->labels, at->label_count, n->label), n->value) == 0))
                        found = at;
                }
                bool known = tally_snapshot_part_value(s, g, i, m, &value);
                ck_assert_msg(known == (found != NULL), "%s of %s", name, thread);
                if (!known)
                    continue;
                expected++;
                natural_text(&metric_table[m], value, text, sizeof(text));
                ck_assert_str_eq(found->number, text);
            }
            ck_assert_ptr_null(tally_snapshot_part_name(s, g, TALLY_SCOPE_THREAD_NAME, threads));
            ck_assert(!tally_snapshot_part_value(s, g, threads, m, &value));
        }
    }
    return expected;
}

/* Every known value is there once, nothing else is there, and numbers agree. */
static void assert_same_prometheus(const tally_snapshot *s, int schema, const char *prefix) {
    struct document d = prometheus();
    size_t expected = 0;

    for (size_t m = 0; m < METRICS; m++) {
        const struct metric_row *metric = &metric_table[m];
        const struct tally_prometheus_name *n = name_in(metric, schema);
        size_t groups = (metric->metric.scope == TALLY_SCOPE_SELF) ? 1 : tally_snapshot_groups(s);
        char name[450], text[64];

        if (!n->name)
            continue;
        snprintf(name, sizeof(name), "%s%s", prefix_of((metric->metric.scope == TALLY_SCOPE_SELF), schema, prefix),
                 n->name);
        for (size_t g = 0; g < groups; g++) {
            const char *group = (metric->metric.scope == TALLY_SCOPE_SELF) ? NULL : tally_snapshot_group_name(s, g);
            const struct series *found = find_series(&d, name, group, n->label, n->value);
            uint64_t value;
            bool known = tally_snapshot_value(s, g, m, &value);

            ck_assert_msg(known == (found != NULL), "%s of %s", name, group ? group : "itself");
            if (!known)
                continue;
            expected++;
            ck_assert_int_eq(found->counter, metric->metric.kind == TALLY_KIND_COUNTER);
            natural_text(metric, value, text, sizeof(text));
            if (n->form == TALLY_FORM_NATURAL)
                ck_assert_str_eq(found->number, text);
        }
    }
    expected += assert_same_threads(s, &d, schema, prefix);
    ck_assert_uint_eq(d.count, expected);
    free(d.series);
}

/* Behind the line of a group, one for each name of its threads. */
static void assert_threads_follow(const tally_snapshot *s, size_t group, const char *measurement,
                                  const struct points *p, size_t *at) {
    char of_threads[450], text[64];

    snprintf(of_threads, sizeof(of_threads), "%s_threads", measurement);
    for (size_t i = 0; i < tally_snapshot_parts(s, group, TALLY_SCOPE_THREAD_NAME); i++) {
        ck_assert_uint_lt(*at, p->count);
        const struct point *point = &p->items[(*at)++];
        size_t fields = 0;

        ck_assert_str_eq(point->measurement, of_threads);
        ck_assert_str_eq(value_in(point->tags, point->tag_count, "groupname"),
                         tally_snapshot_group_name(s, group));
        ck_assert_str_eq(value_in(point->tags, point->tag_count, "thread_name"),
                         tally_snapshot_part_name(s, group, TALLY_SCOPE_THREAD_NAME, i));
        for (size_t m = METRIC_THREAD_FIRST; m <= METRIC_THREAD_LAST; m++) {
            uint64_t value;
            if (!tally_snapshot_part_value(s, group, i, m, &value))
                continue;
            const struct field_read *field = &point->fields[fields++];
            ck_assert_str_eq(field->key, metric_table[m].influx.field);
            natural_text(&metric_table[m], value, text, sizeof(text));
            ck_assert_str_eq(field->number, text);
        }
        ck_assert_uint_gt(fields, 0);
        ck_assert_uint_eq(point->field_count, fields);
    }
}

static void assert_same_influx(const tally_snapshot *s, const char *measurement) {
    struct points p = influx();
    size_t groups = tally_snapshot_groups(s);
    char self[450], time[32], text[64];

    snprintf(self, sizeof(self), "%s_self", measurement);
    snprintf(time, sizeof(time), "%llu", (unsigned long long)tally_snapshot_time(s));
    size_t at = 0;
    for (size_t i = 0; i < groups + 1; i++) {
        ck_assert_uint_lt(at, p.count);
        const struct point *point = &p.items[at++];
        bool about_self = i == groups;
        size_t fields = 0;

        ck_assert_str_eq(point->measurement, about_self ? self : measurement);
        ck_assert_str_eq(point->time, time);
        ck_assert_pstr_eq(value_in(point->tags, point->tag_count, "groupname"),
                          about_self ? NULL : tally_snapshot_group_name(s, i));
        for (size_t m = 0; m < METRICS; m++) {
            const struct metric_row *metric = &metric_table[m];
            uint64_t value;

            if ((metric->metric.scope == TALLY_SCOPE_SELF) != about_self || !metric->influx.field ||
                !tally_snapshot_value(s, about_self ? 0 : i, m, &value))
                continue;
            const struct field_read *field = &point->fields[fields++];
            ck_assert_str_eq(field->key, metric->influx.field);
            natural_text(metric, value, text, sizeof(text));
            if (metric->influx.form == TALLY_FORM_NATURAL)
                ck_assert_str_eq(field->number, text);
            /* the type is the metric's, not the value's */
            bool whole = metric->metric.unit == TALLY_UNIT_COUNT || metric->metric.unit == TALLY_UNIT_BYTES ||
                         metric->metric.unit == TALLY_UNIT_SIGNED || metric->influx.form == TALLY_FORM_WHOLE_NS;
            ck_assert_msg(field->integer == whole, "%s=%s", field->key, field->number);
        }
        ck_assert_uint_eq(point->field_count, fields);
        if (!about_self)
            assert_threads_follow(s, i, measurement, &p, &at);
    }
    ck_assert_uint_eq(at, p.count);
    free(p.items);
}

static const char *const schema_names[] = {"native", "process-exporter", "process"};

START_TEST(texts_agree_with_the_snapshot) {
    collector = tree_collector("schema", schema_names[_i], "group-by", "name,user", "collect",
                               "pss,thread-names", "include", "a", "include", "k", "labels", "dc=fra1",
                               NULL);
    for (uint64_t step = 0; step < 4; step++) {
        const tally_snapshot *s = collect(step);
        ck_assert_uint_gt(tally_snapshot_groups(s), 3);
        assert_same_prometheus(s, _i, NULL);
        assert_same_influx(s, "proctally");
        if (step == 1)
            tree_refuse(11, "io", EACCES); /* values come and go */
        if (step == 2)
            tree_remove(12);
    }
    tally_free(collector);
}
END_TEST

/* The lines that are not about families, of a text of its own. */
static char *series_lines(const char *text) {
    char *lines = calloc(1, strlen(text) + 1);
    ck_assert_ptr_nonnull(lines);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (*line != '#')
            strncat(lines, line, strcspn(line, "\n") + 1);
    return lines;
}

/* OpenMetrics has the series of the text format under other heads. */
START_TEST(openmetrics_differs_in_heads) {
    const char *text, *last = "# EOF\n";
    size_t len;
    tally_text *to;

    collector = tree_collector("schema", schema_names[_i], "group-by", "name,user", NULL);
    const tally_snapshot *s = collect(1);
    ck_assert_int_eq(tally_text_new(&to), 0);
    ck_assert_int_eq(tally_encode_prometheus(s, to, &text, &len), 0);
    char *expected = series_lines(text);
    ck_assert_int_eq(tally_encode_openmetrics(s, to, &text, &len), 0);
    ck_assert_uint_eq(strlen(text), len);
    char *found = series_lines(text);
    ck_assert_str_eq(found, expected);
    ck_assert_str_eq(text + len - strlen(last), last);

    char family[200] = "", type[20] = "", name[200], word[20];
    size_t counters = 0, units = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        size_t n = strlen(family);
        if (sscanf(line, "# TYPE %199s %19s", family, type) == 2) {
            ck_assert_msg(!ends_with(family, "_total"), "%s", family);
            counters += strcmp(type, "counter") == 0;
        } else if (sscanf(line, "# UNIT %199s %19s", name, word) == 2) {
            ck_assert_str_eq(name, family);
            ck_assert_msg(ends_with(family, word), "%s is in %s", family, word);
            units++;
        } else if (sscanf(line, "# HELP %199s", name) == 1) {
            ck_assert_str_eq(name, family);
        } else if (*line != '#') {
            ck_assert_msg(strncmp(line, family, n) == 0, "%s: %.80s", family, line);
            bool is_total = strncmp(line + n, "_total", 6) == 0;
            ck_assert_int_eq(is_total, strcmp(type, "counter") == 0);
        }
    }
    ck_assert_uint_gt(counters, 3);
    ck_assert_uint_gt(units, 3);
    free(expected);
    free(found);
    tally_text_free(to);
    tally_free(collector);
}
END_TEST

START_TEST(json_text) {
    const char *text;
    size_t len;
    tally_text *to;

    /* quote and backslash are escaped, what is not ASCII stands as it is */
    static const char hostile[] =
        "{\"name\":\"a\\\"b\\\\c?d,e=f {g}\xef\xbf\xbd\xc3\xa9???\"";
    collector = tree_collector("group-by", "name", NULL);
    const tally_snapshot *first = tally_snapshot_ref(collect(0));
    const tally_snapshot *s = collect(1);
    ck_assert_int_eq(tally_text_new(&to), 0);
    ck_assert_int_eq(tally_encode_json(first, to, &text, &len), 0);
    ck_assert_ptr_null(strstr(text, "\"interval\""));
    ck_assert_int_eq(tally_encode_json(s, to, &text, &len), 0);
    ck_assert_uint_eq(strlen(text), len);
    ck_assert_ptr_nonnull(strstr(text, "\"interval\":"));
    ck_assert_ptr_nonnull(strstr(text, hostile));

    /* as many values as the snapshot knows, each by its id */
    size_t known = 0, shown = 0;
    uint64_t value;
    for (size_t m = 0; m < METRICS; m++) {
        const struct tally_metric *metric = tally_metric(m);
        char key[100];
        snprintf(key, sizeof(key), "\"%s\":", metric->id);
        for (const char *at = text; (at = strstr(at, key)); at++)
            shown += strncmp(at + strlen(key), "\"", 1) != 0 && at[strlen(key)] != '{';
        for (size_t g = 0; g < (metric->scope == TALLY_SCOPE_SELF ? 1 : tally_snapshot_groups(s)); g++)
            known += tally_snapshot_value(s, g, m, &value);
    }
    /* "groups" is the name of a metric and of the array */
    ck_assert_uint_eq(shown, known + 1);
    tally_snapshot_unref(first);
    tally_text_free(to);
    tally_free(collector);
}
END_TEST

START_TEST(prefix_is_used_everywhere) {
    static const struct {
        const char *prefix, *measurement;
    } cases[] = {{"my_", "my"}, {"my", "my"}, {"my__", "my"}, {"_", "_"}, {"__", "_"}, {"X9", "X9"}};

    collector = tree_collector("schema", schema_names[_i % 3], "prefix", cases[_i / 3].prefix,
                               "group-by", "name", NULL);
    const tally_snapshot *s = collect(1);
    assert_same_prometheus(s, _i % 3, cases[_i / 3].prefix);
    assert_same_influx(s, cases[_i / 3].measurement);
    tally_free(collector);
}
END_TEST

/* The longest that is allowed. */
START_TEST(long_prefix) {
    char prefix[101];

    memset(prefix, 'p', sizeof(prefix));
    prefix[sizeof(prefix) - 1] = '\0';
    collector = tree_collector("schema", schema_names[_i], "prefix", prefix, "group-by", "name",
                               NULL);
    const tally_snapshot *s = collect(1);
    assert_same_prometheus(s, _i, prefix);
    assert_same_influx(s, prefix);
    tally_free(collector);
}
END_TEST

/* ---- Texts that want to break out ------------------------------------------------------------------------ */

START_TEST(hostile_names_come_back) {
    collector = tree_collector("group-by", "name,cmdline,exe,cgroup,unit", NULL);
    const tally_snapshot *s = collect(1);
    struct document d = prometheus();
    struct points p = influx();
    bool found = false;

    for (size_t g = 0; g < tally_snapshot_groups(s); g++) {
        const char *name = tally_snapshot_group_name(s, g), *key, *value;
        const struct series *series = find_series(&d, "proctally_processes", name, NULL, NULL);
        const struct point *point = &p.items[g];

        ck_assert_ptr_nonnull(series);
        ck_assert_pstr_eq(value_in(point->tags, point->tag_count, "groupname"), name);
        size_t labels = 0;
        for (; tally_snapshot_label(s, g, labels, &key, &value); labels++) {
            ck_assert(strlen(value) > 0);
            ck_assert_pstr_eq(value_in(series->labels, series->label_count, key), value);
            ck_assert_pstr_eq(value_in(point->tags, point->tag_count, key), value);
        }
        ck_assert_uint_eq(series->label_count, labels + 1);
        ck_assert_uint_eq(point->tag_count, labels + 1);
        value = value_in(series->labels, series->label_count, "name");
        if (value && strcmp(value, hostile_name) == 0) {
            found = true;
            ck_assert_pstr_eq(value_in(series->labels, series->label_count, "exe"),
                              "/opt/a \"b\"?");
            ck_assert_pstr_eq(value_in(series->labels, series->label_count, "cgroup"),
                              "/system.slice/a,b=c\\x2d.service");
        }
    }
    ck_assert(found);
    free(d.series);
    free(p.items);
    tally_free(collector);
}
END_TEST

/* Names that become equal are one series, of both. */
START_TEST(twins_are_one_series) {
    collector = tree_collector(NULL, NULL);
    collect(1);
    struct document d = prometheus();
    const struct series *twins = find_series(&d, "proctally_processes", "bash?", NULL, NULL);

    ck_assert_ptr_nonnull(twins);
    ck_assert_str_eq(twins->number, "2");
    ck_assert_str_eq(find_series(&d, "proctally_processes", "bash", NULL, NULL)->number, "1");
    free(d.series);
    tally_free(collector);
}
END_TEST

/* A number that is given to another process: what is shown of it is that one's. */
START_TEST(reused_pid_is_labelled_anew) {
    struct recorded p = {
        .pid = 50, .ppid = 1, .start_ticks = TICKS(500), .comm = "old", .exe = "/bin/old"};

    tree_put(&p);
    collector = tree_collector("group-by", "pid", NULL);
    collect(0);
    p = (struct recorded){
        .pid = 50, .ppid = 11, .start_ticks = TICKS(1005), .comm = "new", .exe = "/bin/new"};
    tree_put(&p);
    collect(1);
    struct document d = prometheus();
    const struct series *s = find_series(&d, "proctally_processes", "50", "pid", "50");
    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(s->number, "1");
    ck_assert_pstr_eq(value_in(s->labels, s->label_count, "path"), "/bin/new");
    ck_assert_pstr_eq(value_in(s->labels, s->label_count, "ppid"), "11");
    free(d.series);
    tally_free(collector);
}
END_TEST

START_TEST(user_labels_come_back) {
    static const struct {
        const char *pair, *key, *prometheus, *influx; /* NULL: not there */
    } labels[] = {
        {"plain=fra1", "plain", "fra1", "fra1"},
        {"quote=say \"hi\"", "quote", "say \"hi\"", "say \"hi\""},
        {"backslash=a\\b\\\\c", "backslash", "a\\b\\\\c", "a\\b\\\\c"},
        {"end=a\\", "end", "a\\", "a?"}, /* line protocol can't say it */
        {"newline=a\nb", "newline", "a\nb", "a\\nb"},
        {"blank=a\tb\rc", "blank", NULL, "a\\tb\\rc"},
        {"marks=,a= b,c =d", "marks", ",a= b,c =d", ",a= b,c =d"},
        {"escape=\\,x\\ y\\=", "escape", "\\,x\\ y\\=", "\\,x\\ y\\="},
        {"braces={}\"}", "braces", "{}\"}", "{}\"}"},
        {"accent=\xc3\xa9\xf0\x9f\x98\x80", "accent", "\xc3\xa9\xf0\x9f\x98\x80",
         "\xc3\xa9\xf0\x9f\x98\x80"},
        {"empty=", "empty", "", NULL},
    };
    struct tally_error error;
    tally_config *config;

    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", tree_path(), &error), 0);
    for (int i = 0; i < COUNT(labels); i++)
        ck_assert_int_eq(tally_config_set(config, "labels", labels[i].pair, &error), 0);
    ck_assert_int_eq(collector_new(config, NULL, &tree_io, &collector, &error), 0);
    tally_config_free(config);
    collect(1);
    struct document d = prometheus();
    struct points p = influx();
    for (int i = 0; i < COUNT(labels); i++) {
        for (size_t k = 0; k < d.count; k++) /* about itself too */
            if (labels[i].prometheus)
                ck_assert_pstr_eq(
                    value_in(d.series[k].labels, d.series[k].label_count, labels[i].key),
                    labels[i].prometheus);
        for (size_t k = 0; k < p.count; k++)
            ck_assert_pstr_eq(value_in(p.items[k].tags, p.items[k].tag_count, labels[i].key),
                              labels[i].influx);
    }
    free(d.series);
    free(p.items);
    tally_free(collector);
}
END_TEST

/* A label from a command line can be any bytes. Refused or cleaned, but one of
 * them must not make node_exporter throw away the whole file. */
START_TEST(user_labels_stay_valid) {
    static const char *const pairs[] = {"x=\xff", "x=a\xc3", "x=\xed\xa0\x80", "x=\xc0\xaf"};
    struct tally_error error;
    tally_config *config;

    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", tree_path(), &error), 0);
    int r = tally_config_set(config, "labels", pairs[_i], &error);
    ck_assert(r == 0 || r == -EINVAL);
    ck_assert_int_eq(collector_new(config, NULL, &tree_io, &collector, &error), 0);
    tally_config_free(config);
    collect(1);
    free(prometheus().series);
    free(influx().items);
    tally_free(collector);
}
END_TEST

/* ---- Over time ------------------------------------------------------------------------------------------- */

/* A field that changed its type would be refused by the database from then on. */
START_TEST(field_types_are_stable) {
    struct {
        char key[500];
        bool integer;
    } seen[2 * METRICS];
    size_t seen_count = 0;

    collector = tree_collector("collect", "pss", NULL);
    for (uint64_t step = 0; step < 6; step++) {
        /* whole seconds, fractions, nothing */
        put_processes(step == 3 ? 100 : step);
        clock_set(1000 + (double)step * (step % 2 ? 10 : 10.1234567));
        tree_collect(collector);
        struct points p = influx();
        for (size_t i = 0; i < p.count; i++)
            for (size_t f = 0; f < p.items[i].field_count; f++) {
                char key[500];
                size_t k = 0;

                snprintf(key, sizeof(key), "%s.%s", p.items[i].measurement,
                         p.items[i].fields[f].key);
                while (k < seen_count && strcmp(seen[k].key, key) != 0)
                    k++;
                if (k == seen_count) {
                    ck_assert_int_lt((int)k, COUNT(seen));
                    memcpy(seen[k].key, key, sizeof(key));
                    seen[seen_count++].integer = p.items[i].fields[f].integer;
                }
                ck_assert_msg(seen[k].integer == p.items[i].fields[f].integer, "%s", key);
            }
        free(p.items);
    }
    ck_assert_uint_gt(seen_count, 40);
    tally_free(collector);
}
END_TEST

START_TEST(counters_do_not_fall) {
    struct document before = {0};

    collector = tree_collector(NULL, NULL);
    for (uint64_t step = 0; step < 5; step++) {
        collect(step);
        struct document now = prometheus();
        for (size_t i = 0; i < before.count; i++) {
            const struct series *old = &before.series[i], *found = NULL;
            for (size_t k = 0; k < now.count && !found; k++)
                if (by_series(&old, &(const struct series *){&now.series[k]}) == 0)
                    found = &now.series[k];
            if (old->counter) {
                ck_assert_msg(found != NULL, "%s is gone", old->name);
                ck_assert_msg(strtod(found->number, NULL) >= strtod(old->number, NULL),
                              "%s fell from %s to %s", old->name, old->number, found->number);
            }
        }
        free(before.series);
        before = now;
    }
    free(before.series);
    tally_free(collector);
}
END_TEST

START_TEST(largest_numbers) {
    collector = tree_collector(NULL, NULL);
    collect(0);
    tree_put(&(struct recorded){.pid = 500,
                                .ppid = 1,
                                .start_ticks = TICKS(1005),
                                .comm = "huge",
                                .priority = INT64_MIN + 1,
                                .read_bytes = UINT64_MAX,
                                .rchar = UINT64_C(1) << 63});
    collect(1);
    struct document d = prometheus();
    struct points p = influx();
    const char *group = "huge";

    ck_assert_str_eq(
        find_series(&d, "proctally_disk_read_bytes_total", group, NULL, NULL)->number,
        "18446744073709551615");
    ck_assert_str_eq(find_series(&d, "proctally_priority", group, NULL, NULL)->number,
                     "-9223372036854775807");
    for (size_t i = 0; i < p.count; i++) {
        const char *name = value_in(p.items[i].tags, p.items[i].tag_count, "groupname");
        if (!name || strcmp(name, group) != 0)
            continue;
        size_t seen = 0;
        for (size_t f = 0; f < p.items[i].field_count; f++) {
            const struct field_read *field = &p.items[i].fields[f];
            if (strcmp(field->key, "disk_read_bytes") == 0 || strcmp(field->key, "read_bytes") == 0) {
                ck_assert_str_eq(field->number, "9223372036854775807");
                seen++;
            }
        }
        ck_assert_uint_eq(seen, 2);
    }
    free(d.series);
    free(p.items);
    tally_free(collector);
}
END_TEST

/* A group of which something could not be read lacks it, and only it. */
START_TEST(absent_values_are_absent) {
    tree_refuse(11, "io", EACCES);
    collector = tree_collector(NULL, NULL);
    collect(0);
    collect(1);
    struct document d = prometheus();
    ck_assert_ptr_null(find_series(&d, "proctally_io_read_bytes_total", "bash", NULL, NULL));
    ck_assert_ptr_nonnull(find_series(&d, "proctally_io_read_bytes_total", "bash?", NULL, NULL));
    ck_assert_ptr_nonnull(find_series(&d, "proctally_processes", "bash", NULL, NULL));
    ck_assert_str_eq(
        find_series(&d, "proctally_unreadable_processes", "bash", "file", "io")->number, "1");
    free(d.series);
    tally_free(collector);
}
END_TEST

START_TEST(nothing_to_show) {
    collector = tree_collector("include", "nobody is called so", NULL);
    const tally_snapshot *s = collect(1);
    ck_assert_uint_eq(tally_snapshot_groups(s), 0);
    assert_same_prometheus(s, TALLY_SCHEMA_NATIVE, NULL);
    assert_same_influx(s, "proctally");
    tally_free(collector);
}
END_TEST

START_TEST(many_groups) {
    for (uint32_t i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", i);
        tree_put(&(struct recorded){.pid = 1000 + i, .ppid = 1, .start_ticks = 1, .comm = name});
    }
    collector = tree_collector("max-groups", "100", NULL);
    const tally_snapshot *s = collect(1);
    ck_assert_uint_eq(tally_snapshot_groups(s), 102); /* and other, and kernel */
    struct document d = prometheus();
    ck_assert_str_eq(find_series(&d, "proctally_groups", NULL, NULL, NULL)->number, "102");
    ck_assert_ptr_nonnull(find_series(&d, "proctally_processes", "other", NULL, NULL));
    free(d.series);
    tally_free(collector);
}
END_TEST

/* The host program may have set a locale that writes 1,5. Where none such is
 * installed this shows nothing. */
START_TEST(the_locale_does_not_matter) {
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "es_ES.UTF-8",
                                          "ru_RU.UTF-8", "pl_PL.UTF-8", "nl_NL.UTF-8",
                                          "pt_BR.UTF-8", "de_DE",       "fr_FR"};
    const char *text;
    size_t len;

    collector = tree_collector("group-by", "name,user", NULL);
    collect(1);
    for (int format = 0; format < 2; format++) {
        ck_assert_int_eq(format ? tree_influx(collector, &text, &len)
                                : tree_prometheus(collector, &text, &len),
                         0);
        char *plain = strdup(text);
        ck_assert_ptr_nonnull(plain);
        for (int i = 0; i < COUNT(locales); i++) {
            if (!setlocale(LC_ALL, locales[i]))
                continue;
            ck_assert_int_eq(format ? tree_influx(collector, &text, &len)
                                    : tree_prometheus(collector, &text, &len),
                             0);
            ck_assert_str_eq(text, plain);
        }
        ck_assert_ptr_nonnull(setlocale(LC_ALL, "C"));
        free(plain);
    }
    tally_free(collector);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return tc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int main(void) {
    char scratch_dir[] = "/tmp/proctally-encode-XXXXXX";
    Suite *suite = suite_create("encode");
    SRunner *runner;
    TCase *tc;
    int failed;

    /* what a test that failed left behind goes with it */
    if (!mkdtemp(scratch_dir) || setenv("TMPDIR", scratch_dir, 1) < 0) {
        perror(scratch_dir);
        return EXIT_FAILURE;
    }

    tc = add_case(suite, "catalogue");
    tcase_add_loop_test(tc, every_metric, 0, METRICS);
    tcase_add_loop_test(tc, prometheus_names, 0, TALLY_SCHEMAS);
    tcase_add_test(tc, native_names_are_idiomatic);
    tcase_add_test(tc, default_prefix_is_free);
    tcase_add_test(tc, process_exporter_names);
    tcase_add_test(tc, influx_fields);
    tcase_add_test(tc, collectd_types);
    tc = add_case(suite, "numbers");
    tcase_add_loop_test(tc, number_text, 0, COUNT(numbers));
    tcase_add_loop_test(tc, presented_number, 0, COUNT(presented));
    tc = add_case(suite, "texts");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_loop_test(tc, texts_agree_with_the_snapshot, 0, TALLY_SCHEMAS);
    tcase_add_loop_test(tc, openmetrics_differs_in_heads, 0, TALLY_SCHEMAS);
    tcase_add_test(tc, json_text);
    tcase_add_loop_test(tc, prefix_is_used_everywhere, 0, 6 * TALLY_SCHEMAS);
    tcase_add_loop_test(tc, long_prefix, 0, TALLY_SCHEMAS);
    tcase_add_test(tc, hostile_names_come_back);
    tcase_add_test(tc, twins_are_one_series);
    tcase_add_test(tc, reused_pid_is_labelled_anew);
    tcase_add_test(tc, user_labels_come_back);
    tcase_add_loop_test(tc, user_labels_stay_valid, 0, 4);
    tcase_add_test(tc, field_types_are_stable);
    tcase_add_test(tc, counters_do_not_fall);
    tcase_add_test(tc, largest_numbers);
    tcase_add_test(tc, absent_values_are_absent);
    tcase_add_test(tc, nothing_to_show);
    tcase_add_test(tc, many_groups);
    tcase_add_test(tc, the_locale_does_not_matter);

    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    nftw(scratch_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
