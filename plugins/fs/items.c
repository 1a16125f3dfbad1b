/* SPDX-License-Identifier: MIT */
#include "items.h"

#include "series.h"
#include "utf8_text.h"

#include "base/line_protocol.h"
#include "base/sized.h"

#include <stdio.h>
#include <stdlib.h>

#undef uthash_nonfatal_oom
#define uthash_nonfatal_oom(entry) ((entry)->unhashed = true)

#define NAME_MOST 255
#define TEXT_MOST (1u << 20)
/* A name in metrics, and all labels: what is longer helps nobody. */
#define SAMPLE_MOST 1000

/* ---- Names ----------------------------------------------------------------------- */

static bool is_name(const char *name) {
    const size_t len = name ? strnlen(name, NAME_MOST + 1) : 0;
    if (len == 0 || len > NAME_MOST || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        i += utf8_text_next(name + i, len - i, &c);
        if (c == UTF8_INVALID || c == '/' || c < ' ' || (c >= 0x7f && c < 0xa0))
            return false;
    }
    return true;
}

/* What the library itself shows there. */
static bool is_taken(const struct item *directory, const char *name) {
    return strcmp(name, "all") == 0 ||
           (!directory->parent && (strcmp(name, "metrics") == 0 || strcmp(name, "influx") == 0));
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void add_words(struct buf *to, const char *text) {
    for (; *text; text++)
        buf_add_char(to, is_word(*text) ? *text : '_');
}

static bool is_label(const char *label) {
    if (*label >= '0' && *label <= '9')
        return false;
    for (const char *c = label; *c; c++)
        if (!is_word(*c))
            return false;
    return *label && strncmp(label, "__", 2) != 0 && strcmp(label, "le") != 0 &&
           strcmp(label, "text") != 0 && strcmp(label, "time") != 0 /* of line protocol */;
}

static bool ends_with(const char *text, size_t len, const char *end) {
    const size_t end_len = strlen(end);
    return len > end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* "_END", if it is not there yet. */
static void add_end(struct buf *to, const char *end) {
    if (ends_with(to->data, to->len, end) && to->data[to->len - strlen(end) - 1] == '_')
        return;
    buf_add_char(to, '_');
    buf_add_str(to, end);
}

/* The memory of a buffer that held up to here, as a text. */
static char *finish(struct buf *b) {
    buf_text(b);
    char *text = b->error ? NULL : realloc(b->data, b->len + 1);
    if (!text)
        buf_free(b);
    return text;
}

static int label_directory(struct item *directory, const char *label, const char *value) {
    const struct item *parent = directory->parent;
    struct buf name, labels, tags;
    buf_init(&name, TEXT_MOST);
    buf_init(&labels, TEXT_MOST);
    buf_init(&tags, TEXT_MOST);
    buf_add_str(&name, parent->sample);
    buf_add_str(&labels, parent->labels);
    buf_add_str(&tags, parent->tags);
    if (label) {
        buf_printf(&labels, "%s%s=\"", *parent->labels ? "," : "", label);
        buf_printf(&tags, ",%s=", label);
        for (const char *c = value; *c; c++) {
            if (*c == '"' || *c == '\\')
                buf_add_char(&labels, '\\');
            buf_add_char(&labels, *c);
        }
        line_protocol_add_tag(&tags, value, strlen(value));
        buf_add_char(&labels, '"');
    } else {
        buf_add_char(&name, '_');
        add_words(&name, value);
    }
    const bool too_long = name.len > SAMPLE_MOST || labels.len > SAMPLE_MOST;
    directory->is_label = label;
    directory->sample = finish(&name);
    directory->labels = finish(&labels);
    directory->tags = finish(&tags);
    if (!directory->sample || !directory->labels || !directory->tags)
        return -ENOMEM;
    return too_long ? -ENAMETOOLONG : 0;
}

static int name_sample(struct item *item, const struct tally_fs_about *about) {
    const struct item *parent = item->parent;
    struct buf b;
    buf_init(&b, TEXT_MOST);
    buf_add_str(&b, parent->sample);
    buf_add_char(&b, '_');
    add_words(&b, item_name(item));
    const bool counts = about->kind == TALLY_KIND_COUNTER && item->type != ITEM_SERIES &&
                        item->type != ITEM_TEXT;
    if (counts && b.error == 0 && ends_with(b.data, b.len, "_total"))
        b.len -= strlen("_total");
    if (about->unit && b.error == 0)
        add_end(&b, about->unit);
    item->sample_field = b.len;
    if (counts)
        buf_add_str(&b, "_total");
    if (item->type == ITEM_TEXT)
        buf_add_str(&b, "_info");
    item->sample_name = b.len;
    const bool too_long = b.len > SAMPLE_MOST;
    if (*parent->labels)
        buf_printf(&b, "{%s}", parent->labels);
    item->sample = finish(&b);
    if (!item->sample)
        return -ENOMEM;
    return too_long ? -ENAMETOOLONG : 0;
}

/* ---- Families -------------------------------------------------------------------------- */

static struct family_shape shape_of(const struct item *item, const struct tally_fs_about *about) {
    struct family_shape shape = {.type = FAMILY_GAUGE, .values = VALUE_REAL,
                                 .per_unit = about->per_unit, .field_len = item->sample_field};
    if (item->type == ITEM_SERIES)
        shape.type = series_is_histogram(item->series) ? FAMILY_HISTOGRAM : FAMILY_SUMMARY;
    else if (about->kind == TALLY_KIND_COUNTER && item->type != ITEM_TEXT)
        shape.type = FAMILY_COUNTER;
    if (item->type == ITEM_TEXT)
        shape.values = VALUE_TEXT;
    else if (item->type != ITEM_DOUBLE && item->type != ITEM_CALLS && about->per_unit == 1)
        shape.values = VALUE_INTEGER;
    return shape;
}

static bool same_shape(const struct family_shape *a, const struct family_shape *b) {
    return a->type == b->type && a->values == b->values && a->per_unit == b->per_unit &&
           a->field_len == b->field_len;
}

static bool is_series(const struct family *family) {
    return family &&
           (family->shape.type == FAMILY_SUMMARY || family->shape.type == FAMILY_HISTOGRAM);
}

static struct family *find_family(const struct items *items, const char *name, size_t len) {
    struct family *family;
    HASH_FIND(hh, items->families, name, len, family);
    return family;
}

static struct family *find_field(const struct items *items, const char *name, size_t len) {
    struct family *family;
    HASH_FIND(hh_field, items->by_field, name, len, family);
    return family;
}

/* The samples and fields of a series have names of their own, which no other may have. */
static const char *const series_ends[] = {"_sum", "_count", "_bucket", "_min",
                                          "_max", "_last",  "_mean",   "_stddev"};
#define SERIES_ENDS (sizeof(series_ends) / sizeof(series_ends[0]))

static bool is_of_series(const struct items *items, const char *name, size_t len) {
    for (size_t i = 0; i < SERIES_ENDS; i++)
        if (ends_with(name, len, series_ends[i]) &&
            is_series(find_family(items, name, len - strlen(series_ends[i]))))
            return true;
    /* a percentile: _p50 */
    size_t digits = 0;
    while (digits < len && name[len - 1 - digits] >= '0' && name[len - 1 - digits] <= '9')
        digits++;
    if (digits == 0 || len < digits + 3 || memcmp(name + len - digits - 2, "_p", 2) != 0)
        return false;
    const struct family *of = find_family(items, name, len - digits - 2);
    return of && of->shape.type == FAMILY_HISTOGRAM;
}

static bool is_given(const struct items *items, const struct item *series, const char *end) {
    char name[SAMPLE_MOST + 32];
    const int len = snprintf(name, sizeof(name), "%.*s%s", (int)series->sample_name,
                             series->sample, end);
    return find_family(items, name, (size_t)len) || find_field(items, name, (size_t)len);
}

/* Of a new name, or of a series whose percentiles may be new. */
static bool collides(const struct items *items, const struct item *item, bool is_new) {
    /* line protocol has a time of its own */
    const size_t root = strlen(items->root->sample) + 1;
    if (item->sample_field == root + 4 && memcmp(item->sample + root, "time", 4) == 0)
        return true;
    if (is_new && (find_field(items, item->sample, item->sample_field) ||
                   is_of_series(items, item->sample, item->sample_name) ||
                   is_of_series(items, item->sample, item->sample_field)))
        return true;
    if (item->type != ITEM_SERIES)
        return false;
    for (size_t i = 0; is_new && i < SERIES_ENDS; i++)
        if (is_given(items, item, series_ends[i]))
            return true;
    for (size_t i = 0; i < series_percentiles(item->series); i++) {
        char end[24];
        snprintf(end, sizeof(end), "_p%s", series_percentile_name(item->series, i));
        if (is_given(items, item, end))
            return true;
    }
    return false;
}

static void free_family(struct items *items, struct family *family) {
    if (!family->unhashed) {
        HASH_DEL(items->families, family);
        HASH_DELETE(hh_field, items->by_field, family);
    }
    free(family->name);
    free(family->help);
    free(family);
}

static int new_family(struct items *items, const struct item *item,
                      const struct family_shape *shape, struct family **ret) {
    struct family *family = calloc(1, sizeof(*family));
    if (!family || !(family->name = strndup(item->sample, item->sample_name))) {
        free(family);
        return -ENOMEM;
    }
    family->shape = *shape;
    HASH_ADD_KEYPTR(hh, items->families, family->name, item->sample_name, family);
    if (!family->unhashed) {
        HASH_ADD_KEYPTR(hh_field, items->by_field, family->name, shape->field_len, family);
        if (family->unhashed)
            HASH_DEL(items->families, family);
    }
    if (family->unhashed) {
        free_family(items, family);
        return -ENOMEM;
    }
    items->unsorted = true;
    *ret = family;
    return 0;
}

static int join_family(struct items *items, struct item *item,
                       const struct tally_fs_about *about) {
    const struct family_shape shape = shape_of(item, about);
    struct item *other;
    HASH_FIND(hh_sample, items->by_sample, item->sample, strlen(item->sample), other);
    struct family *family = find_family(items, item->sample, item->sample_name);
    if (other || (family && !same_shape(&family->shape, &shape)) ||
        collides(items, item, !family))
        return -EEXIST;
    int r = family ? 0 : new_family(items, item, &shape, &family);
    if (r < 0)
        return r;
    HASH_ADD_KEYPTR(hh_sample, items->by_sample, item->sample, strlen(item->sample), item);
    char *help = about->help && !family->help ? strdup(about->help) : NULL;
    if (item->unhashed || (about->help && !family->help && !help)) {
        if (!item->unhashed)
            HASH_DELETE(hh_sample, items->by_sample, item);
        if (!family->first)
            free_family(items, family);
        free(help);
        return -ENOMEM;
    }
    if (help)
        family->help = help;
    item->family = family;
    item->family_previous = family->last;
    *(family->last ? &family->last->family_next : &family->first) = item;
    family->last = item;
    return 0;
}

static void leave_family(struct items *items, struct item *item) {
    struct family *family = item->family;
    if (!family)
        return;
    HASH_DELETE(hh_sample, items->by_sample, item);
    *(item->family_previous ? &item->family_previous->family_next : &family->first) =
        item->family_next;
    *(item->family_next ? &item->family_next->family_previous : &family->last) =
        item->family_previous;
    if (!family->first)
        free_family(items, family);
}

static int by_name(const struct family *a, const struct family *b) {
    return strcmp(a->name, b->name);
}

void items_sort_families(struct items *items) {
    if (items->unsorted)
        HASH_SORT(items->families, by_name);
    items->unsorted = false;
}

/* ---- The tree ---------------------------------------------------------------------------- */

struct item *items_get(const struct items *items, tally_fs_item number) {
    struct item *item;
    HASH_FIND(hh_number, items->by_number, &number, sizeof(number), item);
    return item;
}

struct item *items_child(const struct items *items, const struct item *directory,
                         const char *name, size_t len) {
    char key[sizeof(tally_fs_item) + NAME_MOST];
    if (len > NAME_MOST)
        return NULL;
    memcpy(key, &directory->number, sizeof(tally_fs_item));
    memcpy(key + sizeof(tally_fs_item), name, len);
    struct item *item;
    HASH_FIND(hh_name, items->by_name, key, sizeof(tally_fs_item) + len, item);
    return item;
}

static void free_item(struct item *item) {
    if (item->type == ITEM_TEXT)
        free(item->text);
    free(item->sample);
    free(item->labels);
    free(item->tags);
    free(item);
}

static struct item *new_item(struct item *parent, const char *name, const struct item *like) {
    const size_t len = strlen(name);
    struct item *item = calloc(1, sizeof(*item) + sizeof(tally_fs_item) + len + 1);
    if (!item)
        return NULL;
    *item = *like;
    item->parent = parent;
    item->key_len = sizeof(tally_fs_item) + len;
    const tally_fs_item of_parent = parent ? parent->number : 0;
    memcpy(item->key, &of_parent, sizeof(of_parent));
    memcpy(item->key + sizeof(of_parent), name, len + 1);
    if (item->type == ITEM_TEXT && !(item->text = strdup(like->read))) {
        free(item);
        return NULL;
    }
    return item;
}

/* Into the tables, and behind its siblings. */
static int link_item(struct items *items, struct item *item) {
    item->number = items->given + 1;
    HASH_ADD(hh_number, items->by_number, number, sizeof(item->number), item);
    if (item->unhashed)
        return -ENOMEM;
    HASH_ADD_KEYPTR(hh_name, items->by_name, item->key, item->key_len, item);
    if (item->unhashed) {
        HASH_DELETE(hh_number, items->by_number, item);
        return -ENOMEM;
    }
    items->given++;
    struct item *parent = item->parent;
    if (parent) {
        item->previous = parent->last;
        *(parent->last ? &parent->last->next : &parent->first) = item;
        parent->last = item;
    }
    return 0;
}

static int take_about(struct tally_fs_about *ret, const struct tally_fs_about *given) {
    *ret = (struct tally_fs_about){.per_unit = 1};
    int r = given ? struct_copy(ret, sizeof(*ret), given, given->size) : 0;
    if (r < 0)
        return r;
    if (ret->per_unit == 0)
        ret->per_unit = 1;
    for (const char *c = ret->unit; c && *c; c++)
        if (!is_word(*c))
            return -EINVAL;
    if (ret->unit && !*ret->unit)
        ret->unit = NULL;
    return ret->kind == TALLY_KIND_GAUGE || ret->kind == TALLY_KIND_COUNTER ? 0 : -EINVAL;
}

int items_add(struct items *items, tally_fs_item parent, const char *name,
              const struct item *like, const struct tally_fs_about *given, const char *label,
              struct item **ret_item) {
    struct item *directory = items_get(items, parent);
    struct tally_fs_about about;
    int r = take_about(&about, given);
    if (r < 0)
        return r;
    if (!directory)
        return -ENOENT;
    if (directory->type != ITEM_DIRECTORY)
        return -ENOTDIR;
    if (!is_name(name) || (label && !is_label(label)))
        return -EINVAL;
    if (like->is_parameter && about.kind == TALLY_KIND_COUNTER)
        return -EINVAL;
    if (is_taken(directory, name) || items_child(items, directory, name, strlen(name)))
        return -EEXIST;
    if (label) {
        char key[300];
        if (snprintf(key, sizeof(key), "%.250s=\"", label) > 252)
            return -EINVAL;
        for (const char *there = directory->labels; (there = strstr(there, key)); there++)
            if (there == directory->labels || there[-1] == ',')
                return -EEXIST;
    }
    struct item *item = new_item(directory, name, like);
    if (!item)
        return -ENOMEM;
    item->per_unit = about.per_unit;
    if (item->type == ITEM_DIRECTORY)
        r = label_directory(item, label, name);
    else if (item->type != ITEM_CALLS || given)
        r = name_sample(item, &about);
    if (r == 0 && item->sample && item->type != ITEM_DIRECTORY)
        r = join_family(items, item, &about);
    if (r == 0 && (r = link_item(items, item)) < 0)
        leave_family(items, item);
    if (r < 0)
        free_item(item);
    else
        *ret_item = item;
    return r;
}

void items_remove(struct items *items, struct item *item) {
    while (item->first)
        items_remove(items, item->first);
    if (item->type == ITEM_SERIES) {
        (void)items_set_interval(items, item, 0, 0); /* which needs no memory */
        series_give_back(item->series);
    }
    struct item *parent = item->parent;
    if (parent) {
        *(item->previous ? &item->previous->next : &parent->first) = item->next;
        *(item->next ? &item->next->previous : &parent->last) = item->previous;
    }
    leave_family(items, item);
    HASH_DELETE(hh_number, items->by_number, item);
    HASH_DELETE(hh_name, items->by_name, item);
    free_item(item);
}

int items_set_interval(struct items *items, struct item *item, uint64_t interval_ns,
                       uint64_t now_ns) {
    int r = interval_ns ? series_prepare_reset(item->series) : 0;
    if (r < 0)
        return r;
    if (item->interval_ns) {
        struct item **at = &items->timed;
        while (*at != item)
            at = &(*at)->timed_next;
        *at = item->timed_next;
    }
    if (interval_ns) {
        item->timed_next = items->timed;
        items->timed = item;
    }
    item->interval_ns = interval_ns;
    item->due_ns = now_ns + interval_ns;
    return 0;
}

void items_begin_intervals(struct items *items, uint64_t now_ns) {
    for (struct item *item = items->timed; item; item = item->timed_next)
        /* there is memory for it since the interval was set */
        if (now_ns >= item->due_ns && series_reset(item->series) == 0)
            item->due_ns += ((now_ns - item->due_ns) / item->interval_ns + 1) * item->interval_ns;
}

int items_init(struct items *items, const char *name) {
    *items = (struct items){0};
    const struct item like = {.type = ITEM_DIRECTORY};
    struct item *root = new_item(NULL, "", &like);
    if (!root)
        return -ENOMEM;
    struct buf b;
    buf_init(&b, TEXT_MOST);
    if (*name >= '0' && *name <= '9')
        buf_add_char(&b, '_');
    add_words(&b, name);
    root->sample = finish(&b);
    root->labels = strdup("");
    root->tags = strdup("");
    if (!root->sample || !root->labels || !root->tags || link_item(items, root) < 0) {
        free_item(root);
        return -ENOMEM;
    }
    items->root = root;
    return 0;
}

void items_free(struct items *items) {
    if (items->root)
        items_remove(items, items->root);
}
