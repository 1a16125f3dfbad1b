/* SPDX-License-Identifier: MIT */
/*
 * Readers of both text formats, written after what Prometheus (expfmt),
 * InfluxDB and Telegraf accept, not after our encoders; then each series that
 * was read is looked for in the snapshot, and the other way round.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS 64

struct number {
    bool negative, is_whole;
    uint64_t whole;
    uint32_t billionths;
};

/* The name, then each label sorted by key, all behind one another: what must be
 * unique. In line protocol the field is part of the name. */
struct series {
    char *key;
    struct number value;
};

struct reading {
    struct series *items;
    size_t count, size;
};

struct labels {
    struct {
        char *key, *value;
    } items[LABELS];
    size_t count;
};

static char *copy(const char *text, size_t len) {
    char *to = strndup(text, len);
    CHECK(to, "out of memory");
    return to;
}

static void labels_add(struct labels *l, char *key, char *value) {
    CHECK(l->count < LABELS, "over %d labels", LABELS);
    for (size_t i = 0; i < l->count; i++)
        CHECK(strcmp(l->items[i].key, key) != 0, "a series has the label %s twice", key);
    l->items[l->count].key = key;
    l->items[l->count++].value = value;
}

static void labels_free(struct labels *l) {
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i].key);
        free(l->items[i].value);
    }
    l->count = 0;
}

static int by_label_key(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void reading_add(struct reading *r, const char *name, struct labels *l,
                        struct number value) {
    qsort(l->items, l->count, sizeof(l->items[0]), by_label_key);
    size_t len = strlen(name) + 1;
    for (size_t i = 0; i < l->count; i++)
        len += strlen(l->items[i].key) + strlen(l->items[i].value) + 2;
    if (r->count == r->size) {
        r->size = r->size ? r->size * 2 : 256;
        r->items = realloc(r->items, r->size * sizeof(*r->items));
        CHECK(r->items, "out of memory");
    }
    char *key = malloc(len), *at;
    CHECK(key, "out of memory");
    at = stpcpy(key, name);
    for (size_t i = 0; i < l->count; i++) {
        *at++ = '\x01';
        at = stpcpy(at, l->items[i].key);
        *at++ = '\x02';
        at = stpcpy(at, l->items[i].value);
    }
    r->items[r->count++] = (struct series){key, value};
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct series *)a)->key, ((const struct series *)b)->key);
}

static void reading_sort(struct reading *r) {
    if (r->count)
        qsort(r->items, r->count, sizeof(*r->items), by_key);
    for (size_t i = 1; i < r->count; i++)
        CHECK(strcmp(r->items[i - 1].key, r->items[i].key) != 0, "a series is there twice: %s",
              r->items[i].key);
}

static void reading_free(struct reading *r) {
    for (size_t i = 0; i < r->count; i++)
        free(r->items[i].key);
    free(r->items);
    *r = (struct reading){0};
}

/* [-]digits[.digits], nothing that a locale or a float would make of it */
static const char *read_number(const char *at, const char *end, struct number *ret) {
    struct number n = {.is_whole = true};
    if (at < end && *at == '-') {
        n.negative = true;
        at++;
    }
    CHECK(at < end && *at >= '0' && *at <= '9', "a value does not begin with a digit");
    CHECK(*at != '0' || at + 1 == end || at[1] < '0' || at[1] > '9', "a value begins with 0");
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        CHECK(!__builtin_mul_overflow(n.whole, 10, &n.whole) &&
                  !__builtin_add_overflow(n.whole, (uint64_t)(*at - '0'), &n.whole),
              "a value is past 64 bits");
    if (at < end && *at == '.') {
        uint32_t unit = 1000000000;
        n.is_whole = false;
        for (at++; at < end && *at >= '0' && *at <= '9'; at++) {
            unit /= 10;
            CHECK(unit > 0, "a value has over nine decimals");
            n.billionths += unit * (uint32_t)(*at - '0');
        }
        CHECK(unit < 1000000000, "a value ends in a point");
    }
    *ret = n;
    return at;
}

static bool is_word(char c, bool first) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && c >= '0' && c <= '9');
}

static size_t word_len(const char *at, const char *end) {
    size_t len = 0;
    while (at + len < end && is_word(at[len], len == 0))
        len++;
    return len;
}

/* ---- Prometheus ----------------------------------------------------------------------- */

struct families {
    char *names[METRICS];
    size_t count;
    char *helped; /* by the line before */
};

static void read_comment(struct families *f, const char *at, const char *end) {
    CHECK(end - at > 7 && (memcmp(at, "# HELP ", 7) == 0 || memcmp(at, "# TYPE ", 7) == 0),
          "a comment that is neither HELP nor TYPE");
    bool help = at[2] == 'H';
    at += 7;
    size_t len = word_len(at, end);
    CHECK(len > 0 && at + len < end && at[len] == ' ', "HELP or TYPE without a name");
    char *name = copy(at, len);
    at += len + 1;
    if (help) {
        CHECK(!f->helped, "HELP for %s without TYPE", f->helped);
        for (; at < end; at++)
            if (*at == '\\') {
                at++;
                CHECK(at < end && (*at == '\\' || *at == 'n'), "a wrong escape in HELP");
            }
        f->helped = name;
        return;
    }
    CHECK((end - at == 7 && memcmp(at, "counter", 7) == 0) ||
              (end - at == 5 && memcmp(at, "gauge", 5) == 0),
          "a TYPE that we do not have");
    CHECK(f->helped && strcmp(f->helped, name) == 0, "TYPE of %s without its HELP", name);
    for (size_t i = 0; i < f->count; i++)
        CHECK(strcmp(f->names[i], name) != 0, "the family %s is there twice", name);
    CHECK(f->count < METRICS, "more families than metrics");
    f->names[f->count++] = name;
    free(f->helped);
    f->helped = NULL;
}

static const char *read_label_value(const char *at, const char *end, char *to) {
    CHECK(at < end && *at == '"', "a label value without quotes");
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\') {
            at++;
            CHECK(at < end && (*at == '\\' || *at == '"' || *at == 'n'), "a wrong escape");
            *to++ = *at == 'n' ? '\n' : *at;
        } else {
            *to++ = *at;
        }
    }
    CHECK(at < end, "a label value without an end");
    *to = '\0';
    return at + 1;
}

static void read_sample(struct reading *r, const struct families *f, const char *at,
                        const char *end) {
    struct labels labels = {.count = 0};
    struct number value;
    size_t len = word_len(at, end);
    CHECK(len > 0, "a line without a name");
    char *name = copy(at, len);
    CHECK(!f->helped && f->count && strcmp(f->names[f->count - 1], name) == 0,
          "the series %s is not in its family", name);
    at += len;
    if (at < end && *at == '{') {
        do {
            at++;
            len = word_len(at, end);
            CHECK(len > 0 && at + len < end && at[len] == '=', "a label without a name");
            char *to = malloc((size_t)(end - at) + 1);
            CHECK(to, "out of memory");
            char *key = copy(at, len);
            at = read_label_value(at + len + 1, end, to);
            labels_add(&labels, key, to);
        } while (at < end && *at == ',');
        CHECK(at < end && *at == '}', "labels without an end");
        at++;
    }
    CHECK(at < end && *at == ' ', "no space before the value");
    at = read_number(at + 1, end, &value);
    CHECK(at == end, "something behind the value");
    reading_add(r, name, &labels, value);
    labels_free(&labels);
    free(name);
}

static void read_prometheus(struct reading *r, const char *text, size_t len) {
    struct families families = {.count = 0};
    CHECK(is_utf8(text, len), "the output is not UTF-8");
    CHECK(!memchr(text, '\0', len), "the output has a NUL byte");
    CHECK(len == 0 || text[len - 1] == '\n', "the output does not end in a newline");
    for (const char *at = text, *end; at < text + len; at = end + 1) {
        end = memchr(at, '\n', (size_t)(text + len - at));
        CHECK(end > at, "an empty line");
        if (*at == '#')
            read_comment(&families, at, end);
        else
            read_sample(r, &families, at, end);
    }
    CHECK(!families.helped, "HELP at the end");
    for (size_t i = 0; i < families.count; i++)
        free(families.names[i]);
}

/* ---- Line protocol ----------------------------------------------------------------------- */

/* Where an unescaped comma, space or '=' stands. To InfluxDB and Telegraf a
 * character is escaped if a backslash stands right before it, escaped or not. */
static const char *scan_tag(const char *at, const char *end) {
    CHECK(at < end && *at != ',' && *at != ' ' && *at != '=', "an empty tag key or value");
    for (const char *first = at; at < end; at++) {
        CHECK(*at != '\t' && *at != '\f' && *at != '\r', "white space in a tag");
        if ((*at == ',' || *at == ' ' || *at == '=') && at > first && at[-1] != '\\')
            break;
    }
    CHECK(at < end, "a line ends in its tags");
    return at;
}

/* Telegraf takes the backslash off before a quote, too; InfluxDB leaves it. */
static char *unescape(const char *at, const char *end, bool telegraf) {
    char *text = malloc((size_t)(end - at) + 1), *to = text;
    CHECK(text, "out of memory");
    for (; at < end; at++) {
        if (*at == '\\' && at + 1 < end &&
            (at[1] == ',' || at[1] == ' ' || at[1] == '=' || (telegraf && at[1] == '"')))
            at++;
        *to++ = *at;
    }
    *to = '\0';
    return text;
}

static void read_line(struct reading *r, const char *at, const char *end, uint64_t time_ns,
                      bool telegraf) {
    struct labels labels = {.count = 0};
    struct number value;
    size_t len = word_len(at, end);
    CHECK(len > 0, "a line without a measurement");
    const char *name = at;
    size_t name_len = len;
    at += len;
    while (at < end && *at == ',') {
        const char *equals = scan_tag(at + 1, end);
        CHECK(*equals == '=', "a tag without a value");
        const char *stop = scan_tag(equals + 1, end);
        CHECK(*stop != '=', "a tag with two '='");
        char *key = unescape(at + 1, equals, telegraf);
        CHECK(strcmp(key, "time") != 0, "a tag called time, which InfluxDB refuses");
        labels_add(&labels, key, unescape(equals + 1, stop, telegraf));
        at = stop;
    }
    CHECK(at < end && *at == ' ', "no space before the fields");
    do {
        char series[256];
        len = word_len(++at, end);
        CHECK(len > 0 && at + len < end && at[len] == '=', "a field without a name or value");
        int n = snprintf(series, sizeof(series), "%.*s %.*s", (int)name_len, name, (int)len, at);
        if (n < 0 || (size_t)n >= sizeof(series)) /* a long prefix */
            n = 0;
        at = read_number(at + len + 1, end, &value);
        value.is_whole = at < end && *at == 'i';
        if (value.is_whole) {
            CHECK(value.billionths == 0 && value.whole <= (uint64_t)INT64_MAX,
                  "not an integer of 64 bits");
            at++;
        }
        if (n > 0)
            reading_add(r, series, &labels, value);
    } while (at < end && *at == ',');
    labels_free(&labels);
    CHECK(at < end && *at == ' ', "no space before the time");
    at = read_number(at + 1, end, &value);
    CHECK(at == end && value.is_whole && !value.negative && value.whole == time_ns,
          "a wrong time");
}

static void read_influx(struct reading *r, const char *text, size_t len, uint64_t time_ns,
                        bool telegraf) {
    CHECK(!memchr(text, '\0', len), "the output has a NUL byte");
    CHECK(len == 0 || text[len - 1] == '\n', "the output does not end in a newline");
    for (const char *at = text, *end; at < text + len; at = end + 1) {
        end = memchr(at, '\n', (size_t)(text + len - at));
        read_line(r, at, end, time_ns, telegraf);
    }
}

/* ---- What should be there -------------------------------------------------------------------- */

static struct number expected(const struct metric_row *metric, enum tally_form form,
                              uint64_t value, uint64_t time_ns) {
    struct number n = {.whole = value};
    unsigned __int128 billionths = value;
    switch (form) {
    case TALLY_FORM_NATURAL:
        n.is_whole = metric->metric.unit == TALLY_UNIT_COUNT || metric->metric.unit == TALLY_UNIT_BYTES ||
                     metric->metric.unit == TALLY_UNIT_SIGNED;
        n.negative = metric->metric.unit == TALLY_UNIT_SIGNED && value >> 63;
        if (n.negative)
            n.whole = ~value + 1;
        if (n.is_whole)
            return n;
        break;
    case TALLY_FORM_PERCENT:
        billionths *= 100;
        if (billionths >> 64)
            billionths = UINT64_MAX;
        break;
    case TALLY_FORM_MICROSECONDS:
        n.is_whole = true;
        n.whole = value / 1000;
        return n;
    case TALLY_FORM_WHOLE_NS:
        n.is_whole = true;
        return n;
    case TALLY_FORM_UPTIME:
        n.is_whole = true;
        n.whole = time_ns > value ? (time_ns - value) / 1000000000 : 0;
        return n;
    }
    n.whole = (uint64_t)(billionths / 1000000000);
    n.billionths = (uint32_t)(billionths % 1000000000);
    return n;
}

/* A user's label as line protocol can carry it. */
static char *influx_text(const char *text) {
    size_t len = strlen(text);
    char *copied = malloc(2 * len + 1), *to = copied;
    CHECK(copied, "out of memory");
    for (size_t i = 0; i < len; i++) {
        const char *escaped = text[i] == '\n' ? "\\n" : text[i] == '\r' ? "\\r" : "\\t";
        if (text[i] == '\n' || text[i] == '\r' || text[i] == '\t')
            to = stpcpy(to, escaped);
        else
            *to++ = text[i] == '\\' && i + 1 == len ? '?' : text[i];
    }
    *to = '\0';
    return copied;
}

static void add_labels(struct labels *to, const tally *t, const struct group *g, bool influx,
                       bool only_name) {
    for (size_t i = 0; i < t->settings.labels.count; i++) {
        const char *equals = strchr(t->settings.labels.items[i], '=');
        char *value = influx ? influx_text(equals + 1) : copy(equals + 1, strlen(equals + 1));
        if (influx && !*value)
            free(value);
        else
            labels_add(to, copy(t->settings.labels.items[i], (size_t)(equals - t->settings.labels.items[i])), value);
    }
    if (!g)
        return;
    labels_add(to, copy("groupname", 9), copy(g->texts->name, strlen(g->texts->name)));
    for (size_t i = 0; i < g->texts->label_count && !only_name; i++)
        labels_add(to, copy(g->texts->labels[i].key, strlen(g->texts->labels[i].key)),
                   copy(g->texts->labels[i].value, strlen(g->texts->labels[i].value)));
}

static void expect_prometheus(struct reading *r, const tally *t) {
    enum tally_schema schema = t->settings.schema;
    for (size_t i = 0; i <= t->counting.tallies.order_count; i++) {
        const struct group *g = i < t->counting.tallies.order_count ? t->counting.tallies.order[i] : NULL;
        for (size_t m = 0; m < METRICS; m++) {
            const struct metric_row *metric = &metric_table[m];
            const struct tally_prometheus_name *name =
                &metric->prometheus[g ? schema : TALLY_SCHEMA_NATIVE];
            uint64_t value;
            struct labels labels = {.count = 0};
            if ((metric->metric.scope == TALLY_SCOPE_SELF) == (g != NULL) || !name->name ||
                !tally_snapshot_value(t->snapshots.current, i, m, &value))
                continue;
            const char *prefix = g ? t->settings.prefix : t->settings.self_prefix;
            char *whole = malloc(strlen(prefix) + strlen(name->name) + 1);
            CHECK(whole, "out of memory");
            stpcpy(stpcpy(whole, prefix), name->name);
            add_labels(&labels, t, g, false, schema == TALLY_SCHEMA_PROCESS_EXPORTER);
            if (name->label)
                labels_add(&labels, copy(name->label, strlen(name->label)),
                           copy(name->value, strlen(name->value)));
            reading_add(r, whole, &labels,
                        expected(metric, name->form, value, t->snapshots.current->time_ns));
            labels_free(&labels);
            free(whole);
        }
    }
}

static void expect_influx(struct reading *r, const tally *t) {
    const char *prefix = t->settings.self_prefix;
    size_t name_len = strlen(prefix);
    while (name_len > 1 && prefix[name_len - 1] == '_')
        name_len--;
    for (size_t i = 0; i <= t->counting.tallies.order_count; i++) {
        const struct group *g = i < t->counting.tallies.order_count ? t->counting.tallies.order[i] : NULL;
        struct labels labels = {.count = 0};
        add_labels(&labels, t, g, true, false);
        for (size_t m = 0; m < METRICS; m++) {
            const struct tally_influx_name *name = &metric_table[m].influx;
            uint64_t value;
            char series[256];
            if ((metric_table[m].metric.scope == TALLY_SCOPE_SELF) == (g != NULL) || !name->field ||
                !tally_snapshot_value(t->snapshots.current, i, m, &value))
                continue;
            const char *of_self = g ? "" : "_self";
            int len = snprintf(series, sizeof(series), "%.*s%s %s", (int)name_len, prefix, of_self,
                               name->field);
            if (len < 0 || (size_t)len >= sizeof(series))
                continue;
            struct number n = expected(&metric_table[m], name->form, value, t->snapshots.current->time_ns);
            if (n.is_whole && n.whole > (uint64_t)INT64_MAX)
                n.whole = (uint64_t)INT64_MAX;
            reading_add(r, series, &labels, n);
        }
        labels_free(&labels);
    }
}

/* What the groups are divided into. */
static void expect_parts(struct reading *r, const tally *t, bool influx) {
    static const struct {
        enum tally_scope scope;
        const char *label, *tag, *measurement;
    } kinds[] = {{TALLY_SCOPE_THREAD_NAME, "threadname", "thread_name", "_threads"},
                 {TALLY_SCOPE_WAIT_CHANNEL, "wchan", "wchan", "_wait_channels"}};
    const tally_snapshot *s = t->snapshots.current;
    const enum tally_schema schema = t->settings.schema;
    const char *measurement = tally_snapshot_measurement(s), *part;
    for (size_t g = 0; g < t->counting.tallies.order_count; g++)
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
            for (size_t i = 0; (part = tally_snapshot_part_name(s, g, kinds[k].scope, i)); i++)
                for (size_t m = 0; m < METRICS_IN_ALL; m++) {
                    const struct metric_row *metric = &metric_table[m];
                    const struct tally_prometheus_name *name = &metric->prometheus[schema];
                    struct labels labels = {.count = 0};
                    uint64_t value;
                    char series[512];
                    if (metric->metric.scope != kinds[k].scope || (!influx && !name->name) ||
                        !tally_snapshot_part_value(s, g, i, m, &value))
                        continue;
                    add_labels(&labels, t, t->counting.tallies.order[g], influx,
                               !influx && schema == TALLY_SCHEMA_PROCESS_EXPORTER);
                    const char *key = influx ? kinds[k].tag : kinds[k].label;
                    labels_add(&labels, copy(key, strlen(key)), copy(part, strlen(part)));
                    if (!influx && name->label)
                        labels_add(&labels, copy(name->label, strlen(name->label)),
                                   copy(name->value, strlen(name->value)));
                    snprintf(series, sizeof(series), "%s%s%s%s", influx ? measurement : "",
                             influx ? kinds[k].measurement : t->settings.prefix,
                             influx ? " " : "", influx ? metric->influx.field : name->name);
                    struct number n =
                        expected(metric, TALLY_FORM_NATURAL, value, tally_snapshot_time(s));
                    if (influx && n.is_whole && n.whole > (uint64_t)INT64_MAX)
                        n.whole = (uint64_t)INT64_MAX;
                    reading_add(r, series, &labels, n);
                    labels_free(&labels);
                }
}

static void compare(struct reading *read, struct reading *wanted, bool types) {
    reading_sort(read);
    reading_sort(wanted);
    for (size_t i = 0; i < read->count && i < wanted->count; i++) {
        const struct number *a = &read->items[i].value, *b = &wanted->items[i].value;
        CHECK(strcmp(read->items[i].key, wanted->items[i].key) == 0,
              "read the series %s where %s was expected", read->items[i].key,
              wanted->items[i].key);
        CHECK(a->whole == b->whole && a->billionths == b->billionths &&
                  (a->negative == b->negative || (a->whole == 0 && a->billionths == 0)),
              "the value of %s is another", read->items[i].key);
        CHECK(!types || a->is_whole == b->is_whole, "the type of %s is another",
              read->items[i].key);
    }
    CHECK(read->count == wanted->count, "%zu series, expected %zu", read->count, wanted->count);
}

void check_encoders(tally *t) {
    const tally_snapshot *s = t->snapshots.current;
    tally_text *room;
    struct reading read = {0}, wanted = {0};
    const char *text;
    size_t len;
    CHECK(tally_text_new(&room) == 0, "out of memory");
    int r = tally_encode_prometheus(s, room, &text, &len);
    CHECK(r == 0, "tally_encode_prometheus(): %d", r);
    read_prometheus(&read, text, len);
    expect_prometheus(&wanted, t);
    expect_parts(&wanted, t, false);
    compare(&read, &wanted, false);
    reading_free(&read);
    reading_free(&wanted);

    r = tally_encode_influx(s, room, &text, &len);
    CHECK(r == 0, "tally_encode_influx(): %d", r);
    /* Telegraf is who reads it, */
    read_influx(&read, text, len, t->snapshots.current->time_ns, true);
    expect_influx(&wanted, t);
    expect_parts(&wanted, t, true);
    compare(&read, &wanted, true);
    reading_free(&read);
    reading_free(&wanted);

    /* and to InfluxDB no two of them may be the same either. */
    read_influx(&read, text, len, t->snapshots.current->time_ns, false);
    reading_sort(&read);
    reading_free(&read);
    tally_text_free(room);
}
