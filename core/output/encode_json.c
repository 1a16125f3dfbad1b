/* SPDX-License-Identifier: MIT */
/* JSON (RFC 8259) with the catalogue's own names. */
#include "output/present.h"

#include <string.h>

/* Names and labels are valid UTF-8 (utf8.h). */
static void add_string(struct buf *to, const char *text) {
    buf_add_char(to, '"');
    for (;;) {
        size_t plain = 0;
        while ((unsigned char)text[plain] >= ' ' && text[plain] != '"' && text[plain] != '\\')
            plain++;
        buf_add(to, text, plain);
        text += plain;
        if (!*text)
            break;
        if (*text == '"' || *text == '\\') {
            buf_add_char(to, '\\');
            buf_add_char(to, *text);
        } else {
            buf_printf(to, "\\u%04x", (unsigned char)*text);
        }
        text++;
    }
    buf_add_char(to, '"');
}

static void add_key(struct buf *to, bool *is_first, const char *key) {
    if (!*is_first)
        buf_add_char(to, ',');
    *is_first = false;
    add_string(to, key);
    buf_add_char(to, ':');
}

/* What is known of the metrics from..last, as an object. */
static void add_metrics(struct buf *to, const tally_snapshot *s, size_t group, size_t from,
                        size_t last) {
    bool is_first = true;
    buf_add_char(to, '{');
    for (size_t m = from; m <= last; m++) {
        const struct tally_metric *metric = &metric_table[m].metric;
        uint64_t value;
        if (!snapshot_value(s, group, m, &value))
            continue;
        add_key(to, &is_first, metric->id);
        add_number(to, present(s, metric, TALLY_FORM_NATURAL, value));
    }
    buf_add_char(to, '}');
}

/* What the group is divided into, if it is. */
static void add_parts(struct buf *to, const tally_snapshot *s, size_t group, enum part_kind kind) {
    const struct part_row *row = &part_table[kind];
    const struct snapshot_part *part;
    for (size_t i = 0; (part = snapshot_part(s, group, kind, i)); i++) {
        bool is_first = true;
        if (i == 0)
            buf_printf(to, ",\"%s\":[", row->plural);
        buf_add_str(to, i == 0 ? "{\"name\":" : ",{\"name\":");
        add_string(to, part->name);
        buf_add_str(to, ",\"metrics\":{");
        for (size_t m = row->first; m <= row->last; m++) {
            const struct tally_metric *metric = &metric_table[m].metric;
            uint64_t value;
            if (!snapshot_part_value(part, kind, m, &value))
                continue;
            add_key(to, &is_first, metric->id);
            add_number(to, present(s, metric, TALLY_FORM_NATURAL, value));
        }
        buf_add_str(to, "}}");
    }
    if (snapshot_part(s, group, kind, 0))
        buf_add_char(to, ']');
}

static void add_group(struct buf *to, const tally_snapshot *s, size_t group) {
    const struct group_texts *texts = s->groups[group].texts;
    bool is_first = true;
    buf_add_str(to, "{\"name\":");
    add_string(to, texts->name);
    buf_add_str(to, ",\"labels\":{");
    for (size_t i = 0; i < texts->label_count; i++) {
        add_key(to, &is_first, texts->labels[i].key);
        add_string(to, texts->labels[i].value);
    }
    buf_add_str(to, "},\"metrics\":");
    add_metrics(to, s, group, 0, METRIC_GROUP_LAST);
    for (enum part_kind kind = 0; kind < PARTS; kind++)
        add_parts(to, s, group, kind);
    buf_add_char(to, '}');
}

static void add_time(struct buf *to, uint64_t ns) {
    add_number(to, (struct tally_number){.whole = ns / NS_PER_S,
                                         .billionths = (uint32_t)(ns % NS_PER_S)});
}

int tally_encode_json(const tally_snapshot *s, tally_text *to, const char **ret_data,
                      size_t *ret_len) {
    struct buf *data = &to->data;
    buf_reset(data);
    buf_add_str(data, "{\"time\":");
    add_time(data, s->time_ns);
    if (s->interval_ns) {
        buf_add_str(data, ",\"interval\":");
        add_time(data, s->interval_ns);
    }
    buf_add_str(data, ",\"self\":");
    add_metrics(data, s, 0, METRIC_SELF_FIRST, METRIC_SELF_LAST);
    buf_add_str(data, ",\"groups\":[");
    for (size_t i = 0; i < s->group_count; i++) {
        if (i > 0)
            buf_add_char(data, ',');
        buf_add_char(data, '\n');
        add_group(data, s, i);
    }
    buf_add_str(data, "]}\n");
    return text_finish(to, ret_data, ret_len);
}
