/* SPDX-License-Identifier: MIT */
/* What can stand in a column of proctally ps. */
#ifndef PS_COLUMNS_H
#define PS_COLUMNS_H

#include "look.h"
#include "terminal.h"

/* As much of a command line as ps(1) shows */
#define COMMAND_SIZE (128u << 10)

/* What stands in a cell. */
struct value {
    const char *text; /* NULL: it is not known; valid until the next one is asked for */
    size_t len;
    double number; /* that it is sorted by, unless the column is of text */
};

/* A column: one of the table in ps_columns.c, or a metric. */
struct column;
struct chosen {
    const struct column *column; /* NULL: a metric */
    size_t metric;
};

/* The first of the table are those of ps aux; the last of these is the command. */
#define COLUMNS_USUAL 11
struct chosen column_usual(size_t i);
/* By its name, or the metric's. */
bool column_find(const char *name, struct chosen *ret);
/* In capitals. */
void column_title(const struct chosen *chosen, char *ret, size_t size);
bool column_is_text(const struct chosen *chosen);
bool column_is_right(const struct chosen *chosen);
bool column_is_command(const struct chosen *chosen);
bool column_is_name(const struct chosen *chosen);
/* The word of the option collect that it takes; NULL: none. */
const char *column_collects(const struct chosen *chosen);
/* Is it a metric that processes have? */
bool column_has_processes(const struct tally_metric *metric);

/* The values of the processes of a look. */
struct values {
    const struct look *look;
    bool of_interval; /* CPU is that of the time between two collections */
    size_t cpu_user, cpu_system, cpu_usage, rss, vms, threads, nice; /* metrics */
    uint64_t cpus, memory_bytes; /* of the host; 0: not known */
    /* the terminal that was looked up last */
    uint32_t terminal;
    char terminal_text[TERMINAL_NAME_SIZE];
    char text[COMMAND_SIZE + 64]; /* of the value in hand */
};

void values_begin(struct values *v, const struct look *look, bool of_interval);
struct value values_get(struct values *v, const struct chosen *chosen, size_t process);
/* As tally_snapshot_process_text(), into v->text. */
ssize_t values_read(struct values *v, size_t process, enum tally_process_text which);

#endif
