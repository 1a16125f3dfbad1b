/* SPDX-License-Identifier: MIT */
/* InfluxDB line protocol:
 * https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/ */
#include "base/line_protocol.h"
#include "output/present.h"

#include <errno.h>

static void add_tag(struct buf *to, const char *key, size_t key_len, const char *value) {
    if (!*value)
        return; /* an empty tag value is an error in the protocol */
    buf_add_char(to, ',');
    line_protocol_add_tag(to, key, key_len);
    buf_add_char(to, '=');
    line_protocol_add_tag(to, value, strlen(value));
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
        add_number(to, n);
        buf_add_char(to, 'i');
    } else {
        add_number(to, n);
    }
}

/* The known fields of metrics from..end; nothing is written if there are none. */
static void add_line(struct buf *to, const tally_snapshot *s, size_t group, size_t from,
                     size_t end) {
    const bool self = metric_table[from].metric.scope == TALLY_SCOPE_SELF;
    size_t start = to->len;
    buf_add_str(to, s->words->measurement);
    if (self)
        buf_add_str(to, "_self");
    add_user_tags(to, &s->words->labels);
    if (!self) {
        const struct group_texts *texts = s->groups[group].texts;
        add_tag(to, "groupname", strlen("groupname"), texts->name);
        for (size_t i = 0; i < texts->label_count; i++)
            add_tag(to, texts->labels[i].key, strlen(texts->labels[i].key),
                    texts->labels[i].value);
    }
    char separator = ' ';
    for (size_t m = from; m < end; m++) {
        const struct tally_influx_name *name = &metric_table[m].influx;
        uint64_t value;
        if (!name->field || !snapshot_value(s, group, m, &value))
            continue;
        buf_add_char(to, separator);
        separator = ',';
        buf_add_str(to, name->field);
        buf_add_char(to, '=');
        add_field_value(to, present(s, &metric_table[m].metric, name->form, value));
    }
    if (separator == ' ') {
        to->len = start;
        return;
    }
    buf_add_char(to, ' ');
    buf_add_u64(to, s->time_ns);
    buf_add_char(to, '\n');
}

int tally_encode_influx(const tally_snapshot *s, tally_text *to, const char **ret_data,
                        size_t *ret_len) {
    buf_reset(&to->data);
    for (size_t i = 0; i < s->group_count; i++)
        add_line(&to->data, s, i, 0, METRICS_OF_GROUP);
    add_line(&to->data, s, 0, METRIC_SELF_FIRST, METRIC_SELF_LAST + 1);
    return text_finish(to, ret_data, ret_len);
}
