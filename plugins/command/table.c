/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct cell {
    size_t at, len; /* in the texts */
    size_t width;   /* in columns */
};

struct table {
    struct table_column *columns;
    size_t *widths; /* of the widest cells */
    size_t column_count;
    struct cell *cells;
    size_t cell_count, cell_size;
    char *texts;
    size_t text_len, text_size;
    bool lost_some; /* for want of memory */
};

int table_new(const struct table_column *columns, size_t count, struct table **ret) {
    struct table *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->columns = calloc(count, sizeof(*columns));
    t->widths = calloc(count, sizeof(*t->widths));
    if (!t->columns || !t->widths) {
        table_free(t);
        return -ENOMEM;
    }
    memcpy(t->columns, columns, count * sizeof(*columns));
    t->column_count = count;
    for (size_t i = 0; i < count; i++)
        t->widths[i] = strlen(columns[i].title);
    *ret = t;
    return 0;
}

struct table *table_free(struct table *t) {
    if (!t)
        return NULL;
    free(t->columns);
    free(t->widths);
    free(t->cells);
    free(t->texts);
    free(t);
    return NULL;
}

/* Room for `more` elements behind the first `count`. */
static bool grow(void **array, size_t *size, size_t count, size_t more, size_t element) {
    size_t want = *size ? *size : 1024;
    while (want - count < more)
        want *= 2;
    if (want == *size)
        return true;
    void *grown = realloc(*array, want * element);
    if (!grown)
        return false;
    *array = grown;
    *size = want;
    return true;
}

/* What stands at the left in the last column needs no width: nothing stands behind it. */
static bool needs_width(const struct table *t, size_t column) {
    return t->columns[column].is_right || column + 1 < t->column_count;
}

void table_add(struct table *t, const char *text, size_t len) {
    const size_t column = t->cell_count % t->column_count;
    if (!text) {
        text = "-";
        len = 1;
    }
    if (t->lost_some ||
        !grow((void **)&t->cells, &t->cell_size, t->cell_count, 1, sizeof(*t->cells)) ||
        !grow((void **)&t->texts, &t->text_size, t->text_len, len, 1)) {
        t->lost_some = true;
        return;
    }
    struct cell *cell = &t->cells[t->cell_count++];
    *cell = (struct cell){.at = t->text_len, .len = len};
    memcpy(t->texts + t->text_len, text, len);
    t->text_len += len;
    if (!needs_width(t, column))
        return;
    cell->width = text_width(text, len);
    if (cell->width > t->widths[column])
        t->widths[column] = cell->width;
}

void table_add_text(struct table *t, const char *text) {
    table_add(t, text, text ? strlen(text) : 0);
}

void table_addf(struct table *t, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table_add_text(t, text);
}

static void print_blanks(FILE *to, size_t count) {
    for (; count > 0; count--)
        putc(' ', to);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static void print_row(const struct table *t, const struct cell *cells, FILE *to, size_t room) {
    for (size_t i = 0; i < t->column_count && room > 0; i++) {
        const struct table_column *column = &t->columns[i];
        const char *text = cells ? t->texts + cells[i].at : column->title;
        const size_t len = cells ? cells[i].len : strlen(column->title);
        const size_t width = cells ? cells[i].width : len;
        const bool is_last = i + 1 == t->column_count;
        const size_t before = smaller(room, column->is_right ? t->widths[i] - width : 0);
        print_blanks(to, before);
        room -= before;
        const size_t written = text_write(to, text, len, room);
        room -= written;
        if (is_last || written < width)
            break;
        const size_t behind =
            smaller(room, 1 + (column->is_right ? 0 : t->widths[i] - width));
        print_blanks(to, behind);
        room -= behind;
    }
    putc('\n', to);
}

int table_print(const struct table *t, FILE *to, size_t width) {
    if (t->lost_some)
        return -ENOMEM;
    print_row(t, NULL, to, width);
    for (size_t i = 0; i + t->column_count <= t->cell_count; i += t->column_count)
        print_row(t, t->cells + i, to, width);
    return 0;
}

size_t table_room(FILE *to) {
    struct winsize size;
    return ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : SIZE_MAX;
}
