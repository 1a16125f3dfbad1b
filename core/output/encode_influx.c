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
static inline void add_field_value(struct buf *to, struct tally_number n) {
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

static void add_group_tags(struct buf *to, const struct group_texts *texts) {
    add_tag(to, "groupname", strlen("groupname"), texts->name);
    for (size_t i = 0; i < texts->label_count; i++)
        add_tag(to, texts->labels[i].key, strlen(texts->labels[i].key), texts->labels[i].value);
}

static inline void add_field(struct buf *to, char *separator, const tally_snapshot *s, size_t m,
                      uint64_t value) {
    const struct tally_influx_name *name = &metric_table[m].influx;
    buf_add_char(to, *separator);
    *separator = ',';
    buf_add_str(to, name->field);
    buf_add_char(to, '=');
    add_field_value(to, present(s, &metric_table[m].metric, name->form, value));
}

/* A line that has no field is taken back. */
static void end_line(struct buf *to, size_t start, char separator, uint64_t time_ns) {
    if (separator == ' ') {
        to->len = start;
        return;
    }
    buf_add_char(to, ' ');
    buf_add_u64(to, time_ns);
    buf_add_char(to, '\n');
}

/* Those of from..end that are fields and may be known. */
struct fields {
    size_t count;
    uint8_t metrics[METRICS];
};
_Static_assert(METRICS <= UINT8_MAX, "metrics have numbers of one byte");

static void list_fields(const tally_snapshot *s, size_t from, size_t end, struct fields *ret) {
    ret->count = 0;
    for (size_t m = from; m < end; m++)
        if (metric_table[m].influx.field && (m >= METRIC_SELF_FIRST || s->known & METRIC_SET(m)))
            ret->metrics[ret->count++] = (uint8_t)m;
}

/* The known ones of these fields; nothing is written if there are none. */
static void add_line(struct buf *to, const tally_snapshot *s, size_t group, bool self,
                     const struct fields *fields) {
    size_t start = to->len;
    buf_add_str(to, s->words->measurement);
    if (self)
        buf_add_str(to, "_self");
    add_user_tags(to, &s->words->labels);
    if (!self)
        add_group_tags(to, s->groups[group].texts);
    char separator = ' ';
    for (size_t i = 0; i < fields->count; i++) {
        uint64_t value;
        if (snapshot_value(s, group, fields->metrics[i], &value))
            add_field(to, &separator, s, fields->metrics[i], value);
    }
    end_line(to, start, separator, s->time_ns);
}

/* A line for each of what the group is divided into, of a measurement of its own. */
static void add_part_lines(struct buf *to, const tally_snapshot *s, size_t group,
                           enum part_kind kind) {
    const struct part_row *row = &part_table[kind];
    const struct snapshot_part *part;
    for (size_t i = 0; (part = snapshot_part(s, group, kind, i)); i++) {
        const size_t start = to->len;
        char separator = ' ';
        buf_add_str(to, s->words->measurement);
        buf_add_char(to, '_');
        buf_add_str(to, row->plural);
        add_user_tags(to, &s->words->labels);
        add_group_tags(to, s->groups[group].texts);
        add_tag(to, row->tag, strlen(row->tag), part->name);
        for (size_t m = row->first; m <= row->last; m++) {
            uint64_t value;
            if (metric_table[m].influx.field && snapshot_part_value(part, kind, m, &value))
                add_field(to, &separator, s, m, value);
        }
        end_line(to, start, separator, s->time_ns);
    }
}

int tally_encode_influx(const tally_snapshot *s, tally_text *to, const char **ret_data,
                        size_t *ret_len) {
    struct fields fields;
    buf_reset(&to->data);
    list_fields(s, 0, METRICS_OF_GROUP, &fields);
    for (size_t i = 0; i < s->group_count; i++) {
        add_line(&to->data, s, i, false, &fields);
        for (enum part_kind kind = 0; kind < PARTS; kind++)
            add_part_lines(&to->data, s, i, kind);
    }
    list_fields(s, METRIC_SELF_FIRST, METRIC_SELF_LAST + 1, &fields);
    add_line(&to->data, s, 0, true, &fields);
    return text_finish(to, ret_data, ret_len);
}
