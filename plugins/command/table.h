/* SPDX-License-Identifier: MIT */
/* A table for people: each column as wide as its widest cell. Cells come row by row, and hold
 * what processes and files are called, so they are cleaned as they are written. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table_column {
    const char *title; /* has to live as long as the table */
    bool is_right;     /* numbers stand at the right */
};

struct table;

/* The columns are copied. -ENOMEM. */
int table_new(const struct table_column *columns, size_t count, struct table **ret);
struct table *table_free(struct table *t);

/* The next cell. NULL: it is not known, and shows as "-". That memory ran out is told by
 * table_print(). */
void table_add(struct table *t, const char *text, size_t len);
void table_add_text(struct table *t, const char *text); /* the same of a whole one */
void table_addf(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The titles and all rows, each cut to `width` columns. -ENOMEM: a cell was lost, and nothing
 * is written. */
int table_print(const struct table *t, FILE *to, size_t width);

/* The columns of the terminal that it is; SIZE_MAX: it is none, or nobody knows. */
size_t table_room(FILE *to);

#endif
