/* SPDX-License-Identifier: MIT */
/* InfluxDB line protocol:
 * https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/ */
#include "collector/collector.h"
#include "output/encode.h"

#include <errno.h>

/* In tag keys and values comma, '=' and space are escaped, and a backslash can't
 * stand at the end; tab, newline and CR have no escape and are written as two
 * characters. */
static void add_tag_text(struct buf *to, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        switch (text[i]) {
        case ',':
        case '=':
        case ' ':
            buf_add_char(to, '\\');
            buf_add_char(to, text[i]);
            break;
        case '"': /* Telegraf takes a backslash before it off */
            if (i > 0 && text[i - 1] == '\\')
                buf_add_char(to, '\\');
            buf_add_char(to, '"');
            break;
        case '\n':
            buf_add(to, "\\n", 2);
            break;
        case '\r':
            buf_add(to, "\\r", 2);
            break;
        case '\t':
            buf_add(to, "\\t", 2);
            break;
        case '\\':
            buf_add_char(to, i + 1 < len ? '\\' : '?');
            break;
        default:
            buf_add_char(to, text[i]);
        }
    }
}

static void add_tag(struct buf *to, const char *key, size_t key_len, const char *value) {
    if (!*value)
        return; /* an empty tag value is an error in the protocol */
    buf_add_char(to, ',');
    add_tag_text(to, key, key_len);
    buf_add_char(to, '=');
    add_tag_text(to, value, strlen(value));
}

static void add_user_tags(struct buf *to, const struct string_list *labels) {
    for (size_t i = 0; i < labels->count; i++) {
        const char *equals = strchr(labels->items[i], '=');
        add_tag(to, labels->items[i], (size_t)(equals - labels->items[i]), equals + 1);
    }
}

/* A field keeps its type for ever: whole ones are integers, all others floats,
 * also when they happen to be whole. */
static void add_field_value(struct buf *to, struct tally_number n) {
    if (n.is_whole) {
        uint64_t most = (uint64_t)INT64_MAX;
        if (n.whole > most)
            n.whole = most;
        encode_number(to, n);
        buf_add_char(to, 'i');
    } else {
        encode_number(to, n);
    }
}

/* The known fields of metrics from..end; nothing is written if there are none. */
static void add_line(struct buf *to, const tally *t, size_t group, size_t from, size_t end) {
    bool self = metric_table[from].about_self;
    const struct group *g = self ? NULL : t->tallies.order[group];
    size_t start = to->len;
    buf_add_str(to, t->settings.measurement);
    if (self)
        buf_add_str(to, "_self");
    add_user_tags(to, &t->settings.labels);
    if (g) {
        add_tag(to, "groupname", strlen("groupname"), g->name);
        for (size_t i = 0; i < g->label_count; i++)
            add_tag(to, g->labels[i].key, strlen(g->labels[i].key), g->labels[i].value);
    }
    char separator = ' ';
    for (size_t m = from; m < end; m++) {
        const struct tally_influx_name *name = &metric_table[m].influx;
        uint64_t value;
        if (!name->field || !tally_snapshot_value(&t->snapshot, group, m, &value))
            continue;
        buf_add_char(to, separator);
        separator = ',';
        buf_add_str(to, name->field);
        buf_add_char(to, '=');
        add_field_value(to, tally_present(&t->snapshot, &metric_table[m], name->form, value));
    }
    if (separator == ' ') {
        to->len = start;
        return;
    }
    buf_add_char(to, ' ');
    buf_add_u64(to, t->snapshot.time_ns);
    buf_add_char(to, '\n');
}

int tally_encode_influx(tally *t, const char **ret_text, size_t *ret_len) {
    struct buf *to = &t->text;
    buf_reset(to);
    for (size_t i = 0; i < t->tallies.order_count; i++)
        add_line(to, t, i, 0, METRICS_OF_GROUP);
    add_line(to, t, 0, METRIC_SELF_FIRST, METRICS);
    buf_text(to);
    if (to->error)
        return to->error;
    *ret_text = to->data;
    *ret_len = to->len;
    return 0;
}
