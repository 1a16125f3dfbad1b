/* SPDX-License-Identifier: MIT */
#include "files.h"

#include "decimal.h"
#include "series.h"

#include <math.h>
#include <stdio.h>

#define CALL_MOST (1u << 20)
#define PARTS 256

static const char *const part_names[] = {
    [PART_ALL] = "all",
    [PART_METRICS] = "metrics",
    [PART_INFLUX] = "influx",
    [PART_COUNT] = "count",
    [PART_SUM] = "sum",
    [PART_MIN] = "min",
    [PART_MAX] = "max",
    [PART_LAST] = "last",
    [PART_MEAN] = "mean",
    [PART_VARIANCE] = "variance",
    [PART_STDDEV] = "stddev",
    [PART_RESET] = "reset",
    [PART_INTERVAL] = "reset_interval_seconds",
};
_Static_assert(sizeof(part_names) / sizeof(part_names[0]) == PART_PERCENTILES, "a name for each");
_Static_assert(PART_PERCENTILES + SERIES_PERCENTILES_MOST <= PARTS, "a number for each");

/* ---- Numbers of nodes -------------------------------------------------------------- */

uint64_t place_id(struct place place) {
    return (place.item->number - 1) * PARTS + (uint64_t)place.part + TREE_ROOT;
}

enum part part_end(const struct item *series) {
    return PART_PERCENTILES + (enum part)series_percentiles(series->series);
}

const char *part_name(const struct item *series, enum part part, char room[static 20]) {
    if (part < PART_PERCENTILES)
        return part_names[part];
    snprintf(room, 20, "p%s", series_percentile_name(series->series, part - PART_PERCENTILES));
    return room;
}

static bool is_known(const struct item *series, enum part part) {
    const uint64_t count = series_since(series->series)->count;
    return part == PART_COUNT || part == PART_SUM || part == PART_RESET ||
           part == PART_INTERVAL || count > (part == PART_VARIANCE || part == PART_STDDEV);
}

/* The series was read. */
static bool is_there(const struct item *item, enum part part) {
    if (part == PART_SELF)
        return true;
    if (part == PART_ALL)
        return item_is_directory(item);
    if (part == PART_METRICS || part == PART_INFLUX)
        return !item->parent;
    return item->type == ITEM_SERIES && part < part_end(item) && is_known(item, part);
}

bool place_find(const struct items *items, uint64_t id, struct place *ret) {
    const struct place place = {.item = items_get(items, (id - TREE_ROOT) / PARTS + 1),
                                .part = (enum part)((id - TREE_ROOT) % PARTS)};
    if (!place.item)
        return false;
    if (place.item->type == ITEM_SERIES)
        series_read(place.item->series);
    *ret = place;
    return is_there(place.item, place.part);
}

bool place_child(const struct items *items, struct place directory, const char *name,
                 struct place *ret) {
    const struct item *item = directory.item;
    struct item *child = items_child(items, item, name, strlen(name));
    if (child) {
        *ret = (struct place){.item = child};
        if (child->type == ITEM_SERIES)
            series_read(child->series);
        return true;
    }
    const enum part end = item->type == ITEM_SERIES ? part_end(item) : PART_INFLUX + 1;
    char room[20];
    for (enum part part = PART_ALL; part < end; part++)
        if (is_there(item, part) && strcmp(part_name(item, part, room), name) == 0) {
            *ret = (struct place){.item = directory.item, .part = part};
            return true;
        }
    return false;
}

bool place_is_directory(struct place place) {
    return place.part == PART_SELF && item_is_directory(place.item);
}

bool place_is_writable(struct place place) {
    return place.part == PART_RESET || place.part == PART_INTERVAL ||
           (place.part == PART_SELF &&
            (place.item->is_parameter ||
             (place.item->type == ITEM_CALLS && place.item->calls.write)));
}

int place_list(struct place directory, struct tree_list *to) {
    struct item *item = directory.item;
    const enum part end = item->type == ITEM_SERIES ? part_end(item) : PART_INFLUX + 1;
    char room[20];
    int r = 0;
    for (enum part part = PART_ALL; r == 0 && part < end; part++)
        if (is_there(item, part))
            r = tree_list_add(to, part_name(item, part, room),
                              place_id((struct place){.item = item, .part = part}), false);
    for (struct item *child = item->first; r == 0 && child; child = child->next)
        r = tree_list_add(to, item_name(child), place_id((struct place){.item = child}),
                          item_is_directory(child));
    return r;
}

/* ---- Reading ------------------------------------------------------------------------- */

bool part_value(const struct item *item, enum part part, struct buf *to) {
    const struct stats *s = series_since(item->series);
    const double variance = s->count > 1 ? s->squares / (double)(s->count - 1) : 0;
    if (!is_known(item, part) || part == PART_RESET)
        return false;
    if (part >= PART_PERCENTILES)
        buf_add_u64(to, series_percentile(item->series, part - PART_PERCENTILES));
    else if (part == PART_COUNT)
        buf_add_u64(to, s->count);
    else if (part == PART_SUM)
        decimal_add_u128(to, s->sum);
    else if (part == PART_MIN)
        buf_add_u64(to, s->min);
    else if (part == PART_MAX)
        buf_add_u64(to, s->max);
    else if (part == PART_LAST)
        buf_add_u64(to, s->last);
    else if (part == PART_MEAN)
        decimal_add_double(to, s->mean);
    else if (part == PART_VARIANCE)
        decimal_add_double(to, variance);
    else if (part == PART_STDDEV)
        decimal_add_double(to, sqrt(variance));
    else
        buf_add_u64(to, item->interval_ns / NS_PER_S);
    return true;
}

/* To an answer from 512 on, which is no error of a system call, the kernel would not listen,
 * and who waits for it would do so for ever. */
static int error_of(ssize_t r) {
    return r <= -512 ? -EIO : (int)r;
}

/* The program's own text. What it says of the length is not to be trusted. */
static int call(const struct tally_fs_calls *calls, struct buf *to) {
    size_t room = 256;
    for (;;) {
        if (buf_reserve(to, room) < 0)
            return to->error;
        memset(to->data + to->len, 0, room); /* nobody is to see what was here before */
        const ssize_t len = calls->format(calls->data, to->data + to->len, room);
        if (len < 0)
            return error_of(len);
        if ((size_t)len < room) { /* snprintf(3) wants its NUL byte in as well */
            to->len += (size_t)len;
            return 0;
        }
        if ((size_t)len > CALL_MOST)
            return -E2BIG;
        room = (size_t)len + 1;
    }
}

int item_value(const struct item *item, struct buf *to) {
    /* those of a pair in the order in which they are read */
    switch (item->type) {
    case ITEM_U32:
        buf_add_u64(to, __atomic_load_n((const uint32_t *)item->read, __ATOMIC_ACQUIRE));
        break;
    case ITEM_U64:
        buf_add_u64(to, __atomic_load_n((const uint64_t *)item->read, __ATOMIC_ACQUIRE));
        break;
    case ITEM_INT:
        decimal_add_i64(to, __atomic_load_n((const int *)item->read, __ATOMIC_RELAXED));
        break;
    case ITEM_I64:
        decimal_add_i64(to, __atomic_load_n((const int64_t *)item->read, __ATOMIC_RELAXED));
        break;
    case ITEM_DOUBLE: {
        double value;
        __atomic_load((const double *)item->read, &value, __ATOMIC_RELAXED);
        decimal_add_double(to, value);
        break;
    }
    case ITEM_TEXT:
        buf_add_str(to, item->text);
        break;
    case ITEM_CALLS:
        return call(&item->calls, to);
    case ITEM_DIRECTORY:
    case ITEM_SERIES:
        return -EISDIR;
    }
    return to->error;
}

/* In `all` a value is on one line. */
static void end_line(struct buf *to, size_t value_at) {
    while (to->len > value_at && to->data[to->len - 1] == '\n')
        to->len--;
    for (size_t i = value_at; i < to->len; i++)
        if (to->data[i] == '\n')
            to->data[i] = ' ';
    buf_add_char(to, '\n');
}

/* A line is split at its last blank, or its first: in names blanks are as in /proc/mounts. */
static void add_name(struct buf *path, const char *name) {
    for (; *name; name++)
        if (*name == ' ' || *name == '\\')
            buf_add_str(path, *name == ' ' ? "\\040" : "\\134");
        else
            buf_add_char(path, *name);
}

/* All series one behind the other, before the text is made, which takes longer. */
static void read_below(const struct item *directory) {
    for (const struct item *item = directory->first; item; item = item->next)
        if (item->type == ITEM_SERIES)
            series_read(item->series);
        else
            read_below(item);
}

static void add_all(const struct item *directory, struct buf *path, struct buf *to) {
    const size_t path_len = path->len;
    char room[20];
    if (directory->type == ITEM_SERIES)
        for (enum part part = PART_COUNT; part < part_end(directory); part++) {
            const size_t start = to->len;
            buf_add(to, path->data, path->len);
            buf_add_str(to, part_name(directory, part, room));
            buf_add_char(to, ' ');
            if (part_value(directory, part, to))
                buf_add_char(to, '\n');
            else
                to->len = start;
        }
    for (const struct item *item = directory->first; item; item = item->next) {
        const size_t start = to->len;
        add_name(path, item_name(item));
        if (item_is_directory(item)) {
            buf_add_char(path, '/');
            add_all(item, path, to);
        } else {
            buf_add(to, path->data, path->len);
            buf_add_char(to, ' ');
            const size_t value_at = to->len;
            if (item_value(item, to) < 0)
                to->len = start; /* a formatter could not say */
            else
                end_line(to, value_at);
        }
        path->len = path_len;
    }
}

static int all_text(const struct item *directory, struct buf *to) {
    struct buf path;
    buf_init(&path, CALL_MOST);
    read_below(directory);
    add_all(directory, &path, to);
    const int r = path.error;
    buf_free(&path);
    return r < 0 ? r : to->error;
}

int place_text(struct items *items, struct place place, struct buf *to) {
    int r;
    if (place_is_directory(place))
        return -EISDIR;
    switch (place.part) {
    case PART_SELF:
        r = item_value(place.item, to);
        if (r == 0 && place.item->type != ITEM_CALLS)
            buf_add_char(to, '\n');
        return r < 0 ? r : to->error;
    case PART_ALL:
        return all_text(place.item, to);
    case PART_METRICS:
        metrics_write(items, to);
        return to->error;
    case PART_INFLUX:
        influx_write(items, to);
        return to->error;
    default: /* of a series */
        if (part_value(place.item, place.part, to))
            buf_add_char(to, '\n');
        return to->error;
    }
}

/* ---- Writing --------------------------------------------------------------------------- */

static int set_whole(const struct item *item, const char *text, size_t len) {
    uint64_t value;
    int r = decimal_parse_u64(text, len, &value);
    if (r < 0)
        return r;
    if (value < item->min.whole || value > item->max.whole)
        return -ERANGE;
    if (item->type == ITEM_U32)
        __atomic_store_n((uint32_t *)item->write, (uint32_t)value, __ATOMIC_RELAXED);
    else
        __atomic_store_n((uint64_t *)item->write, value, __ATOMIC_RELAXED);
    return 0;
}

static int set_number(const struct item *item, const char *text, size_t len) {
    int64_t value;
    int r = decimal_parse_i64(text, len, &value);
    if (r < 0)
        return r;
    if (value < item->min.number || value > item->max.number)
        return -ERANGE;
    if (item->type == ITEM_INT)
        __atomic_store_n((int *)item->write, (int)value, __ATOMIC_RELAXED);
    else
        __atomic_store_n((int64_t *)item->write, value, __ATOMIC_RELAXED);
    return 0;
}

static int set_real(const struct item *item, const char *text, size_t len) {
    double value;
    int r = decimal_parse_double(text, len, &value);
    if (r < 0)
        return r;
    if (!(value >= item->min.real && value <= item->max.real))
        return -ERANGE;
    __atomic_store((double *)item->write, &value, __ATOMIC_RELAXED);
    return 0;
}

static int write_series(struct items *items, struct place place, const char *text, size_t len,
                        uint64_t now_ns) {
    uint64_t value;
    int r = decimal_parse_u64(text, len, &value);
    if (r < 0)
        return r;
    if (place.part == PART_RESET)
        return value == 1 ? series_reset(place.item->series) : -EINVAL;
    if (value > UINT32_MAX)
        return -ERANGE;
    return items_set_interval(items, place.item, value * NS_PER_S, now_ns);
}

int place_write(struct items *items, struct place place, const char *text, size_t len,
                uint64_t now_ns) {
    const struct item *item = place.item;
    if (!place_is_writable(place))
        return -EROFS;
    if (place.part != PART_SELF)
        return write_series(items, place, text, len, now_ns);
    if (item->type == ITEM_CALLS) {
        const int r = item->calls.write(item->calls.data, text, len);
        return r >= 0 ? 0 : error_of(r);
    }
    if (item->type == ITEM_U32 || item->type == ITEM_U64)
        return set_whole(item, text, len);
    return item->type == ITEM_DOUBLE ? set_real(item, text, len) : set_number(item, text, len);
}
