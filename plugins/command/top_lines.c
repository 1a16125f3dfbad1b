/* SPDX-License-Identifier: MIT */
/* The lines of `proctally top`, the same on the screen and in a batch. */
#include "top.h"

#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

enum {
    LINE_SIZE = 512,
    CELL_SIZE = 48,
    ARGUMENTS_SIZE = 2048,
    INDENT = 2 /* columns for each level of the tree */
};

/* What a snapshot does not know is this, and never 0. */
#define UNKNOWN "-"

void top_write_text(FILE *to, const char *text, size_t len, size_t width, bool pads) {
    size_t written = text_write(to, text, len, width);
    for (; pads && written < width; written++)
        putc(' ', to);
}

/* ---- Figures ------------------------------------------------------------------------------ */

static void format_value(enum top_form form, uint64_t value, char ret[CELL_SIZE]) {
    char amount[AMOUNT_SIZE];
    switch (form) {
    case TOP_PERCENT:
        snprintf(ret, CELL_SIZE, "%" PRIu64 ".%" PRIu64, (value + 500000) / 10000000,
                 (value + 500000) / 1000000 % 10);
        return;
    case TOP_BYTES:
        snprintf(ret, CELL_SIZE, "%s", amount_bytes(value, amount));
        return;
    case TOP_TIME:
        snprintf(ret, CELL_SIZE, "%s", amount_time(value, amount));
        return;
    case TOP_COUNT:
    case TOP_TEXT:
        snprintf(ret, CELL_SIZE, "%" PRIu64, value);
        return;
    }
}

static const char *figure(bool is_known, enum top_form form, uint64_t value,
                          char ret[CELL_SIZE]) {
    if (is_known)
        format_value(form, value, ret);
    else
        snprintf(ret, CELL_SIZE, UNKNOWN);
    return ret;
}

static const char *metric(const struct top *top, enum top_metric which, enum top_form form,
                          char ret[CELL_SIZE]) {
    uint64_t value = 0;
    const bool is_known = top_model_metric(&top->model, which, &value);
    return figure(is_known, form, value, ret);
}

/* ---- Above the table ------------------------------------------------------------------------ */

/* A line that grows; what does not fit is left out. */
struct line {
    char text[LINE_SIZE];
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct line *line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line->text + line->len, LINE_SIZE - line->len, format, args);
    va_end(args);
    if (len > 0)
        line->len += (size_t)len < LINE_SIZE - line->len ? (size_t)len : LINE_SIZE - line->len - 1;
}

static void add_load(const struct top *top, struct line *line) {
    for (size_t i = 0; i < 3; i++) {
        uint64_t load;
        if (top_model_metric(&top->model, TOP_M_LOAD_1 + (enum top_metric)i, &load))
            add(line, "%s%.2f", i ? ", " : "", (double)load / 1e9);
        else
            add(line, "%s" UNKNOWN, i ? ", " : "");
    }
}

static void head_time(const struct top *top, struct line *line) {
    char cell[CELL_SIZE];
    uint64_t uptime_ns;
    struct tm now = {0};
    const time_t seconds = (time_t)(tally_snapshot_time(top->model.now) / NS_PER_S);
    localtime_r(&seconds, &now);
    add(line, "proctally - %02d:%02d:%02d up ", now.tm_hour, now.tm_min, now.tm_sec);
    if (top_model_metric(&top->model, TOP_M_UPTIME, &uptime_ns)) {
        const uint64_t minutes = uptime_ns / NS_PER_S / 60;
        if (minutes >= 1440)
            add(line, "%" PRIu64 " day%s, ", minutes / 1440, minutes >= 2880 ? "s" : "");
        add(line, "%" PRIu64 ":%02" PRIu64, minutes / 60 % 24, minutes % 60);
    } else {
        add(line, UNKNOWN);
    }
    add(line, ", users: %s, load average: ", metric(top, TOP_M_USERS, TOP_COUNT, cell));
    add_load(top, line);
}

static void head_tasks(const struct top *top, struct line *line) {
    static const struct {
        enum top_metric metric;
        const char *text;
    } states[] = {{TOP_M_TASKS_RUNNING, "running"}, {TOP_M_TASKS_SLEEPING, "sleeping"},
                  {TOP_M_TASKS_IDLE, "idle"},       {TOP_M_TASKS_DISK_SLEEP, "disk"},
                  {TOP_M_TASKS_STOPPED, "stopped"}, {TOP_M_TASKS_ZOMBIE, "zombie"},
                  {TOP_M_HOST_THREADS, "threads"}};
    char cell[CELL_SIZE];
    add(line, "Tasks: %s", metric(top, TOP_M_TASKS, TOP_COUNT, cell));
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        add(line, ", %s %s", metric(top, states[i].metric, TOP_COUNT, cell), states[i].text);
}

static void head_cpu(const struct top *top, struct line *line) {
    /* in the order of top(1), by the catalogue's */
    static const struct {
        size_t mode;
        const char *text;
    } modes[TOP_CPU_MODES] = {{0, "us"}, {2, "sy"}, {1, "ni"}, {3, "id"},
                              {4, "wa"}, {5, "hi"}, {6, "si"}, {7, "st"}};
    char cell[CELL_SIZE];
    add(line, "%%CPU:");
    for (size_t i = 0; i < TOP_CPU_MODES; i++) {
        uint64_t share = 0;
        const bool is_known = top_model_cpu_share(&top->model, modes[i].mode, &share);
        add(line, "%s %s %s", i ? "," : "", figure(is_known, TOP_PERCENT, share, cell),
            modes[i].text);
    }
    add(line, "; CPUs: %s", metric(top, TOP_M_CPUS, TOP_COUNT, cell));
}

static void head_memory(const struct top *top, struct line *line) {
    char cell[CELL_SIZE];
    uint64_t buffers, cached, total, free_bytes;
    const bool has_cache = top_model_metric(&top->model, TOP_M_MEMORY_BUFFERS, &buffers) &&
                           top_model_metric(&top->model, TOP_M_MEMORY_CACHED, &cached);
    const bool has_swap = top_model_metric(&top->model, TOP_M_SWAP_TOTAL, &total) &&
                          top_model_metric(&top->model, TOP_M_SWAP_FREE, &free_bytes) &&
                          free_bytes <= total;
    add(line, "Memory: %s", metric(top, TOP_M_MEMORY_TOTAL, TOP_BYTES, cell));
    add(line, ", %s available", metric(top, TOP_M_MEMORY_AVAILABLE, TOP_BYTES, cell));
    add(line, ", %s free", metric(top, TOP_M_MEMORY_FREE, TOP_BYTES, cell));
    add(line, ", %s cache", figure(has_cache, TOP_BYTES, has_cache ? buffers + cached : 0, cell));
    add(line, "; swap: %s", metric(top, TOP_M_SWAP_TOTAL, TOP_BYTES, cell));
    add(line, ", %s used", figure(has_swap, TOP_BYTES, has_swap ? total - free_bytes : 0, cell));
}

/* What top(1) can't tell: how much of the host's work the table explains. */
static void head_found(const struct top *top, struct line *line) {
    const struct top_model *model = &top->model;
    char cell[CELL_SIZE];
    uint64_t ended;
    const bool has_ended = top_model_ended(model, &ended);
    const char *source = cli_source(model->now);
    add(line, "Found: %s%% of CPU time", metric(top, TOP_M_COVERAGE, TOP_PERCENT, cell));
    add(line, ", ended %s%%", figure(has_ended, TOP_PERCENT, ended, cell));
    add(line, ", source %s", source ? source : UNKNOWN);
    add(line, ", lost %s", metric(top, TOP_M_LOST_EVENTS, TOP_COUNT, cell));
    add(line, "; %zu groups by %s", tally_snapshot_groups(model->now), top->group_by);
}

void top_write_head(const struct top *top, size_t which, FILE *to, size_t width) {
    static void (*const lines[TOP_HEAD_LINES])(const struct top *, struct line *) = {
        head_time, head_tasks, head_cpu, head_memory, head_found};
    struct line line = {.len = 0};
    if (!top->model.now)
        return;
    lines[which](top, &line);
    top_write_text(to, line.text, line.len, width, false);
}

/* ---- The table -------------------------------------------------------------------------------- */

static bool is_shown(const struct top_model *model, enum top_column column, size_t width) {
    const struct top_column_info *info = &top_columns[column];
    return info->views & 1u << model->view && width >= info->screen_from;
}

static void write_cell(FILE *to, const struct top_column_info *info, const char *text, size_t len,
                       size_t *width) {
    const bool is_last = info->width == 0;
    if (*width == 0)
        return;
    const size_t room = is_last || *width < info->width ? *width : info->width;
    const size_t used = text_width(text, len);
    if (info->form == TOP_TEXT) {
        top_write_text(to, text, len, room, !is_last);
    } else {
        for (size_t i = used; i < room; i++)
            putc(' ', to);
        /* a figure is never cut: it would be another one */
        text_write(to, text, len, used > room ? *width : room);
    }
    *width -= info->form != TOP_TEXT && used > room ? (used < *width ? used : *width) : room;
    if (!is_last && *width > 0) {
        putc(' ', to);
        --*width;
    }
}

void top_write_titles(const struct top *top, FILE *to, size_t width) {
    const size_t screen = width;
    for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
        char title[CELL_SIZE];
        if (!is_shown(&top->model, c, screen))
            continue;
        const bool is_group = c == TOP_NAME && top->model.view == TOP_GROUPS;
        snprintf(title, sizeof(title), "%s%s", is_group ? "GROUP" : top_columns[c].title,
                 c != top->model.sort         ? ""
                 : top_columns[c].width == 1  ? ""
                 : top->model.is_reversed     ? "^"
                                              : "*");
        write_cell(to, &top_columns[c], title, strlen(title), &width);
    }
}

static size_t read_arguments(const struct top *top, size_t process, char *to, size_t size) {
    ssize_t len = tally_snapshot_process_text(top->model.now, process, TALLY_PROCESS_CMDLINE, to,
                                              size);
    while (len > 0 && to[len - 1] == '\0')
        len--;
    for (ssize_t i = 0; i < len; i++)
        if (to[i] == '\0')
            to[i] = ' ';
    return len > 0 ? (size_t)len : 0;
}

static void write_name(const struct top *top, const struct top_row *row, bool arguments, FILE *to,
                       size_t width) {
    char text[ARGUMENTS_SIZE];
    size_t len = 0;
    const size_t wanted = (size_t)row->depth * INDENT;
    const size_t indent = wanted < width / 2 ? wanted : width / 2;
    for (size_t i = 0; i < indent; i++)
        putc(' ', to);
    width -= indent;
    if (row->kind == TOP_PROCESS && top->model.view == TOP_GROUPS) { /* it has no column there */
        const struct tally_process *p = tally_snapshot_process(top->model.now, row->index);
        int n = snprintf(text, sizeof(text), "%ld ", (long)p->pid);
        width -= text_write(to, text, (size_t)n, width);
    }
    if (arguments && row->kind == TOP_PROCESS)
        len = read_arguments(top, row->index, text, sizeof(text));
    if (row->kind == TOP_ENDED && top->model.view == TOP_PROCESSES) { /* whose? */
        const char *group = top_model_text(&top->model, row, TOP_GROUP_NAME, &len);
        width -= text_write(to, group, len, width);
        width -= text_write(to, " ", 1, width);
        len = 0;
    }
    const char *name = len ? text : top_model_text(&top->model, row, TOP_NAME, &len);
    text_write(to, name ? name : UNKNOWN, name ? len : 1, width);
}

void top_write_row(const struct top *top, const struct top_row *row, bool arguments, FILE *to,
                   size_t width) {
    const struct top_model *model = &top->model;
    const size_t screen = width;
    for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
        const struct top_column_info *info = &top_columns[c];
        char cell[CELL_SIZE];
        uint64_t value = 0;
        size_t len = 0;
        if (!is_shown(model, c, screen))
            continue;
        if (c == TOP_NAME) {
            write_name(top, row, arguments, to, width);
            continue;
        }
        const char *text = cell;
        if (!(info->kinds & row->kind)) {
            text = "";
        } else if (info->form == TOP_TEXT) {
            text = top_model_text(model, row, c, &len);
            if (!text) {
                text = UNKNOWN;
                len = 1;
            }
        } else {
            const bool is_known = top_model_value(model, row, c, &value);
            len = strlen(figure(is_known, info->form, value, cell));
        }
        write_cell(to, info, text, len, &width);
    }
}
