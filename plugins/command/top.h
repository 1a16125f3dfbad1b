/* SPDX-License-Identifier: MIT */
/* What the parts of `proctally top` share. */
#ifndef TOP_H
#define TOP_H

#include "service.h"
#include "top_model.h"

#include <stdio.h>

struct top {
    struct cli *cli;
    tally_config *config;
    tally *t;
    uint64_t interval_ns;
    struct service_signals signals;
    struct top_model model;
    char group_by[256]; /* as it is shown */
    bool is_on_screen;  /* what is said goes there */
    struct tally_error said; /* the last remark, for the screen; "": none */
};

/* ---- top.c: the collector ---------------------------------------------------------------- */

/* Collects and makes the rows. -errno, with what is to be said in top->said. */
int top_collect(struct top *top);
/* Groups by other keys from now on, without a gap. -errno, and said; the old ones stay. */
int top_regroup(struct top *top, const char *group_by);
/* Takes an interval as the option is written. -errno, and said. */
int top_set_interval(struct top *top, const char *text);

/* ---- top_lines.c: text, cleaned and cut ----------------------------------------------------- */

enum { TOP_HEAD_LINES = 5 };

/* One of the lines above the table. */
void top_write_head(const struct top *top, size_t line, FILE *to, size_t width);
void top_write_titles(const struct top *top, FILE *to, size_t width);
/* With `arguments` a process is shown by its command line. */
void top_write_row(const struct top *top, const struct top_row *row, bool arguments, FILE *to,
                   size_t width);
/* A text, cleaned, in as many columns; whether it is padded to them. */
void top_write_text(FILE *to, const char *text, size_t len, size_t width, bool pads);

/* ---- top_json.c ------------------------------------------------------------------------------ */

/* One object, and a newline. */
void top_write_json(const struct top *top, FILE *to);

/* ---- top_process.c: one process, what it is and what it has open ------------------------- */

/* Lines, the first of which says which process it is. False: it has ended. */
bool top_write_process(const struct top *top, pid_t pid, uint64_t start_ns, FILE *to,
                       size_t width);

/* A title and a text, cleaned and cut. */
void top_write_text_line(FILE *to, const char *title, const char *text, size_t len, size_t width);

/* ---- top_files.c, where a process's files can be told ---------------------------------------- */

/* How many descriptors it has open, and a line for each. */
void top_write_files(const struct top *top, pid_t pid, size_t process, FILE *to, size_t width);

/* ---- top_terminal.c -------------------------------------------------------------------------- */

/* Standard input and output are a terminal, and one of a known type. Says why not. */
bool top_screen_is_possible(const struct cli_program *program);

/* ---- top_screen.c ---------------------------------------------------------------------------- */

/* Shows it there until the user leaves, or so many times unless that is 0. The status to exit
 * with. */
int top_screen(struct top *top, uint64_t count);

#endif
