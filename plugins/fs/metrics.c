/* SPDX-License-Identifier: MIT */
/* Everything that is registered, for agents: Prometheus text and line protocol. */
#include "files.h"

#include "decimal.h"
#include "series.h"
#include "utf8_text.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

/* What only grows is read once for the whole text, so that all of it is of one moment. */
static void read_series(const struct items *items) {
    for (const struct family *f = items->families; f; f = f->hh.next)
        if (f->shape.type == FAMILY_SUMMARY || f->shape.type == FAMILY_HISTOGRAM)
            for (const struct item *item = f->first; item; item = item->family_next)
                series_read(item->series);
}

static void add_scaled(struct buf *to, unsigned __int128 value, uint64_t per_unit) {
    if (per_unit == 1)
        decimal_add_u128(to, value);
    else
        decimal_add_double(to, (double)value / (double)per_unit);
}

/* The number that an item shows. False: it shows none. */
static bool add_number(struct buf *to, const struct item *item) {
    const size_t start = to->len;
    if (item_value(item, to) < 0) {
        to->len = start;
        return false;
    }
    if (item->type != ITEM_CALLS && item->per_unit == 1)
        return true;
    const char *text = to->data + start;
    const size_t len = to->len - start;
    const double per_unit = (double)item->per_unit;
    uint64_t whole;
    int64_t number;
    double real;
    to->len = start;
    if (decimal_parse_u64(text, len, &whole) == 0)
        add_scaled(to, whole, item->per_unit);
    else if (item->per_unit == 1 && decimal_parse_i64(text, len, &number) == 0)
        decimal_add_i64(to, number);
    else if (decimal_parse_double(text, len, &real) == 0)
        decimal_add_double(to, real / per_unit);
    return to->len > start;
}

/* ---- Prometheus ------------------------------------------------------------------- */

/* One byte that is no UTF-8, or for some a control character, and an agent would refuse all that is there. */
static void add_escaped(struct buf *to, const char *text, bool quotes) {
    for (size_t len = strlen(text), size; len; len -= size, text += size) {
        uint32_t c;
        size = utf8_text_next(text, len, &c);
        if (c == '\\' || (quotes && c == '"'))
            buf_add_char(to, '\\');
        if (c == '\n')
            buf_add_str(to, "\\n");
        else if (c == UTF8_INVALID)
            buf_add_str(to, "\xef\xbf\xbd");
        else if (c < ' ' || (c >= 0x7f && c < 0xa0)) /* a terminal would obey */
            buf_add_char(to, c == '\t' ? ' ' : '?');
        else
            buf_add(to, text, size);
    }
}

static void add_head(struct buf *to, const struct family *family, const char *end,
                     const char *type) {
    if (family->help) {
        buf_add_str(to, "# HELP ");
        buf_add_str(to, family->name);
        buf_add_str(to, end);
        buf_add_char(to, ' ');
        add_escaped(to, family->help, false);
        buf_add_char(to, '\n');
    }
    buf_add_str(to, "# TYPE ");
    buf_add_str(to, family->name);
    buf_add_str(to, end);
    buf_add_char(to, ' ');
    buf_add_str(to, type);
    buf_add_char(to, '\n');
}

/* NAME_END{labels} and a blank. */
static void add_sample(struct buf *to, const struct item *item, const char *end) {
    buf_add(to, item->sample, item->sample_name);
    buf_add_str(to, end);
    buf_add_str(to, item->sample + item->sample_name);
    buf_add_char(to, ' ');
}

/* … with one label more, whose value and closing the caller writes. */
static void begin_label(struct buf *to, const struct item *item, const char *end,
                        const char *label) {
    const char *labels = item->sample + item->sample_name;
    const size_t len = strlen(labels);
    buf_add(to, item->sample, item->sample_name);
    buf_add_str(to, end);
    buf_add_char(to, '{');
    if (len) {
        buf_add(to, labels + 1, len - 2);
        buf_add_char(to, ',');
    }
    buf_add_str(to, label);
    buf_add_str(to, "=\"");
}

static void add_values(struct buf *to, const struct family *family) {
    const size_t start = to->len;
    bool any = false;
    add_head(to, family, "", family->shape.type == FAMILY_COUNTER ? "counter" : "gauge");
    for (const struct item *item = family->first; item; item = item->family_next) {
        const size_t line = to->len;
        if (item->type == ITEM_TEXT) {
            begin_label(to, item, "", "text");
            add_escaped(to, item->text, true);
            buf_add_str(to, "\"} 1\n");
        } else {
            add_sample(to, item, "");
            if (!add_number(to, item)) {
                to->len = line;
                continue;
            }
            buf_add_char(to, '\n');
        }
        any = true;
    }
    if (!any)
        to->len = start;
}

static void add_sum_and_count(struct buf *to, const struct item *item) {
    const struct stats *s = series_ever(item->series);
    add_sample(to, item, "_sum");
    add_scaled(to, s->sum, item->per_unit);
    buf_add_char(to, '\n');
    add_sample(to, item, "_count");
    buf_add_u64(to, s->count);
    buf_add_char(to, '\n');
}

/* A gauge of each series of a family. */
static void add_gauge(struct buf *to, const struct family *family, const char *end,
                      enum part part) {
    bool headed = false;
    for (const struct item *item = family->first; item; item = item->family_next) {
        const struct stats *s = series_since(item->series);
        if (s->count <= (part == PART_STDDEV))
            continue;
        if (!headed)
            add_head(to, family, end, "gauge");
        headed = true;
        add_sample(to, item, end);
        if (part == PART_STDDEV)
            decimal_add_double(to, sqrt(s->squares / (double)(s->count - 1)) /
                                       (double)item->per_unit);
        else
            add_scaled(to, part == PART_MIN ? s->min : part == PART_MAX ? s->max : s->last,
                       item->per_unit);
        buf_add_char(to, '\n');
    }
}

static void add_summaries(struct buf *to, const struct family *family) {
    add_head(to, family, "", "summary");
    for (const struct item *item = family->first; item; item = item->family_next)
        add_sum_and_count(to, item);
    add_gauge(to, family, "_min", PART_MIN);
    add_gauge(to, family, "_max", PART_MAX);
    add_gauge(to, family, "_last", PART_LAST);
    add_gauge(to, family, "_stddev", PART_STDDEV);
}

static void add_histograms(struct buf *to, const struct family *family) {
    uint64_t counts[SERIES_BOUNDS_MOST];
    add_head(to, family, "", "histogram");
    for (const struct item *item = family->first; item; item = item->family_next) {
        series_cumulate(item->series, counts);
        for (size_t i = 0; i < series_bounds(item->series); i++) {
            begin_label(to, item, "_bucket", "le");
            add_scaled(to, series_bound(item->series, i), item->per_unit);
            buf_add_str(to, "\"} ");
            buf_add_u64(to, counts[i]);
            buf_add_char(to, '\n');
        }
        begin_label(to, item, "_bucket", "le");
        buf_add_str(to, "+Inf\"} ");
        buf_add_u64(to, series_ever(item->series)->count);
        buf_add_char(to, '\n');
        add_sum_and_count(to, item);
    }
}

void metrics_write(struct items *items, struct buf *to) {
    read_series(items);
    items_sort_families(items);
    for (const struct family *family = items->families; family; family = family->hh.next)
        switch (family->shape.type) {
        case FAMILY_GAUGE:
        case FAMILY_COUNTER:
            add_values(to, family);
            break;
        case FAMILY_SUMMARY:
            add_summaries(to, family);
            break;
        case FAMILY_HISTOGRAM:
            add_histograms(to, family);
            break;
        }
}

/* ---- Line protocol -------------------------------------------------------------------- */

/* The name of a field, without what all names begin with, and "=". */
static void begin_field(struct buf *to, const struct items *items, const struct item *item,
                        const char *end, char *separator) {
    const size_t first = strlen(items->root->sample) + 1;
    buf_add_char(to, *separator);
    *separator = ',';
    buf_add(to, item->sample + first, item->sample_field - first);
    buf_add_str(to, end);
    buf_add_char(to, '=');
}

/* A field keeps its type for ever. */
static void add_integer(struct buf *to, unsigned __int128 value, uint64_t per_unit) {
    if (per_unit != 1) {
        add_scaled(to, value, per_unit);
        return;
    }
    buf_add_u64(to, value > INT64_MAX ? INT64_MAX : (uint64_t)value);
    buf_add_char(to, 'i');
}

static void add_series_fields(struct buf *to, const struct items *items, const struct item *item,
                              char *separator) {
    const struct stats *ever = series_ever(item->series), *since = series_since(item->series);
    const double per_unit = (double)item->per_unit;
    begin_field(to, items, item, "_count", separator);
    add_integer(to, ever->count, 1);
    begin_field(to, items, item, "_sum", separator);
    add_integer(to, ever->sum, item->per_unit);
    if (since->count == 0)
        return;
    const struct {
        const char *end;
        uint64_t value;
    } gauges[] = {{"_min", since->min}, {"_max", since->max}, {"_last", since->last}};
    for (size_t i = 0; i < 3; i++) {
        begin_field(to, items, item, gauges[i].end, separator);
        add_integer(to, gauges[i].value, item->per_unit);
    }
    begin_field(to, items, item, "_mean", separator);
    decimal_add_double(to, since->mean / per_unit);
    if (since->count > 1) {
        begin_field(to, items, item, "_stddev", separator);
        decimal_add_double(to, sqrt(since->squares / (double)(since->count - 1)) / per_unit);
    }
    for (size_t i = 0; i < series_percentiles(item->series); i++) {
        char end[24];
        snprintf(end, sizeof(end), "_p%s", series_percentile_name(item->series, i));
        begin_field(to, items, item, end, separator);
        add_integer(to, series_percentile(item->series, i), item->per_unit);
    }
}

static void add_field(struct buf *to, const struct items *items, const struct item *item,
                      char *separator) {
    const size_t start = to->len;
    const char before = *separator;
    if (item->type == ITEM_SERIES) {
        add_series_fields(to, items, item, separator);
        return;
    }
    begin_field(to, items, item, "", separator);
    const size_t value_at = to->len;
    if (item->type == ITEM_TEXT) {
        buf_add_char(to, '"');
        add_escaped(to, item->text, true);
        buf_add_char(to, '"');
    } else if (!add_number(to, item) || to->error || to->data[to->len - 1] == 'N' ||
               to->data[to->len - 1] == 'f') {
        to->len = start; /* none, NaN or Inf, which the protocol does not have */
        *separator = before;
    } else if (item->type != ITEM_CALLS && item->type != ITEM_DOUBLE && item->per_unit == 1) {
        uint64_t whole;
        if (decimal_parse_u64(to->data + value_at, to->len - value_at, &whole) == 0 &&
            whole > INT64_MAX) {
            to->len = value_at;
            buf_add_u64(to, INT64_MAX);
        }
        buf_add_char(to, 'i');
    }
}

/* Of what has the labels of this directory, and no more. */
static void add_fields(struct buf *to, const struct items *items, const struct item *directory,
                       char *separator) {
    for (const struct item *item = directory->first; item; item = item->next)
        if (item->sample && item->type != ITEM_DIRECTORY)
            add_field(to, items, item, separator);
        else if (item->type == ITEM_DIRECTORY && !item->is_label)
            add_fields(to, items, item, separator);
}

static void add_lines(struct buf *to, const struct items *items, const struct item *directory,
                      uint64_t unix_ns) {
    if (directory->is_label || !directory->parent) {
        const size_t start = to->len;
        char separator = ' ';
        buf_add_str(to, items->root->sample);
        buf_add_str(to, directory->tags);
        add_fields(to, items, directory, &separator);
        buf_add_char(to, ' ');
        buf_add_u64(to, unix_ns);
        buf_add_char(to, '\n');
        if (separator == ' ')
            to->len = start;
    }
    for (const struct item *item = directory->first; item; item = item->next)
        if (item->type == ITEM_DIRECTORY)
            add_lines(to, items, item, unix_ns);
}

void influx_write(struct items *items, struct buf *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    read_series(items);
    add_lines(to, items, items->root,
              (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
}
