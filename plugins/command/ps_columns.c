/* SPDX-License-Identifier: MIT */
#include "ps_columns.h"

#include "text.h"
#include "units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct column {
    const char *name, *alias; /* after -o */
    const char *title;
    enum { TEXT, NUMBER, TIME } kind; /* numbers stand at the right; texts are sorted as such */
    struct value (*get)(struct values *v, size_t process);
};

/* ---- Values --------------------------------------------------------------------------- */

static const struct tally_process *process_at(const struct values *v, size_t i) {
    return tally_snapshot_process(v->look->snapshot, i);
}

static bool metric_of(const struct values *v, size_t i, size_t metric, uint64_t *ret) {
    return tally_snapshot_process_value(v->look->snapshot, i, metric, ret);
}

static struct value unknown(void) {
    return (struct value){0};
}

static struct value text_value(const char *text) {
    return (struct value){.text = text, .len = text ? strlen(text) : 0};
}

static struct value formatted(struct values *v, double number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static struct value formatted(struct values *v, double number, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(v->text, sizeof(v->text), format, args);
    va_end(args);
    return (struct value){.text = v->text, .len = strlen(v->text), .number = number};
}

static struct value whole(struct values *v, uint64_t number) {
    return formatted(v, (double)number, "%" PRIu64, number);
}

static struct value get_user(struct values *v, size_t i) {
    return text_value(process_at(v, i)->user);
}

static struct value get_uid(struct values *v, size_t i) {
    return process_at(v, i)->user ? whole(v, process_at(v, i)->uid) : unknown();
}

static struct value get_pid(struct values *v, size_t i) {
    return whole(v, (uint64_t)process_at(v, i)->pid);
}

static struct value get_ppid(struct values *v, size_t i) {
    return whole(v, (uint64_t)process_at(v, i)->ppid);
}

static bool cpu_time_of(const struct values *v, size_t i, uint64_t *ret_ns) {
    uint64_t user_ns, system_ns;
    if (!metric_of(v, i, v->cpu_user, &user_ns) || !metric_of(v, i, v->cpu_system, &system_ns))
        return false;
    *ret_ns = user_ns + system_ns;
    return true;
}

static uint64_t age_ns(const struct values *v, size_t i) {
    const uint64_t now_ns = tally_snapshot_time(v->look->snapshot);
    const uint64_t start_ns = process_at(v, i)->start_ns;
    return now_ns > start_ns ? now_ns - start_ns : 0;
}

/* On average over its life, or of the time between the two collections. */
static struct value get_cpu(struct values *v, size_t i) {
    uint64_t value;
    double percent;
    if (v->of_interval) {
        if (!metric_of(v, i, v->cpu_usage, &value))
            return unknown();
        percent = (double)value / 1e7;
    } else {
        const uint64_t age = age_ns(v, i);
        if (age == 0 || v->cpus == 0 || !cpu_time_of(v, i, &value))
            return unknown();
        percent = 100.0 * (double)value / (double)age / (double)v->cpus;
    }
    return formatted(v, percent, "%.1f", percent);
}

static struct value get_memory(struct values *v, size_t i) {
    uint64_t bytes;
    if (v->memory_bytes == 0 || !metric_of(v, i, v->rss, &bytes))
        return unknown();
    const double percent = 100.0 * (double)bytes / (double)v->memory_bytes;
    return formatted(v, percent, "%.1f", percent);
}

static struct value kib(struct values *v, size_t i, size_t metric) {
    uint64_t bytes;
    return metric_of(v, i, metric, &bytes) ? whole(v, bytes / 1024) : unknown();
}

static struct value get_vsz(struct values *v, size_t i) {
    return kib(v, i, v->vms);
}

static struct value get_rss(struct values *v, size_t i) {
    return kib(v, i, v->rss);
}

static struct value get_terminal(struct values *v, size_t i) {
    const uint32_t terminal = process_at(v, i)->terminal;
    if (terminal == 0)
        return text_value("?");
    if (terminal != v->terminal) {
        terminal_name(v->look->procfs, terminal, v->terminal_text);
        v->terminal = terminal;
    }
    return text_value(v->terminal_text);
}

static struct value get_state(struct values *v, size_t i) {
    return formatted(v, 0, "%c", process_at(v, i)->state);
}

/* With the marks that ps(1) puts behind it, but L: locked pages take another look. */
static struct value get_stat(struct values *v, size_t i) {
    const struct tally_process *p = process_at(v, i);
    uint64_t nice = 0, threads = 0;
    metric_of(v, i, v->nice, &nice);
    metric_of(v, i, v->threads, &threads);
    return formatted(v, 0, "%c%s%s%s%s", p->state,
                     (int64_t)nice < 0 ? "<" : (int64_t)nice > 0 ? "N" : "",
                     p->leads_session ? "s" : "", threads > 1 ? "l" : "",
                     p->in_foreground ? "+" : "");
}

static bool local_time(uint64_t unix_ns, struct tm *ret) {
    const time_t s = (time_t)(unix_ns / NS_PER_S);
    return unix_ns > 0 && localtime_r(&s, ret);
}

/* The time of today, the day of this year, or the year */
static struct value get_start(struct values *v, size_t i) {
    struct tm today, then;
    size_t len;
    if (!local_time(tally_snapshot_time(v->look->snapshot), &today) ||
        !local_time(process_at(v, i)->start_ns, &then))
        return unknown();
    if (today.tm_year != then.tm_year)
        len = strftime(v->text, sizeof(v->text), "%Y", &then);
    else if (today.tm_yday != then.tm_yday)
        len = strftime(v->text, sizeof(v->text), "%b%d", &then);
    else
        len = strftime(v->text, sizeof(v->text), "%H:%M", &then);
    return (struct value){.text = v->text, .len = len, .number = (double)process_at(v, i)->start_ns};
}

static struct value moment(struct values *v, uint64_t unix_ns) {
    struct tm then;
    if (!local_time(unix_ns, &then))
        return unknown();
    const size_t len = strftime(v->text, sizeof(v->text), "%Y-%m-%dT%H:%M:%S%z", &then);
    return (struct value){.text = v->text, .len = len, .number = (double)unix_ns};
}

static struct value get_started(struct values *v, size_t i) {
    return moment(v, process_at(v, i)->start_ns);
}

static struct value get_elapsed(struct values *v, size_t i) {
    const uint64_t s = age_ns(v, i) / NS_PER_S;
    if (s >= 86400)
        return formatted(v, (double)s, "%" PRIu64 "-%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64,
                         s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    return s < 3600 ? formatted(v, (double)s, "%02" PRIu64 ":%02" PRIu64, s / 60, s % 60)
                    : formatted(v, (double)s, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600,
                                s / 60 % 60, s % 60);
}

static struct value get_time(struct values *v, size_t i) {
    uint64_t ns;
    if (!cpu_time_of(v, i, &ns))
        return unknown();
    const uint64_t s = ns / NS_PER_S;
    return formatted(v, (double)ns, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
}

static struct value get_name(struct values *v, size_t i) {
    return text_value(process_at(v, i)->name);
}

static struct value get_group(struct values *v, size_t i) {
    return text_value(look_group(v->look, i));
}

ssize_t values_read(struct values *v, size_t i, enum tally_process_text which) {
    return tally_snapshot_process_text(v->look->snapshot, i, which, v->text, COMMAND_SIZE);
}

static struct value read_value(struct values *v, size_t i, enum tally_process_text which) {
    const ssize_t n = values_read(v, i, which);
    return n > 0 ? (struct value){.text = v->text, .len = (size_t)n} : unknown();
}

static struct value get_exe(struct values *v, size_t i) {
    return read_value(v, i, TALLY_PROCESS_EXE);
}

static struct value get_cgroup(struct values *v, size_t i) {
    return read_value(v, i, TALLY_PROCESS_CGROUP);
}

static struct value get_unit(struct values *v, size_t i) {
    return read_value(v, i, TALLY_PROCESS_UNIT);
}

static struct value get_container(struct values *v, size_t i) {
    return read_value(v, i, TALLY_PROCESS_CONTAINER);
}

/* The arguments with blanks between them, and for newlines, as ps(1) shows them; the name of a process that has none, or that has
 * ended meanwhile. */
static struct value get_command(struct values *v, size_t i) {
    const struct tally_process *p = process_at(v, i);
    const ssize_t n = p->state == 'Z' ? 0 : values_read(v, i, TALLY_PROCESS_CMDLINE);
    if (n <= 0)
        return formatted(v, 0, "[%s]%s", p->name, p->state == 'Z' ? " <defunct>" : "");
    for (ssize_t k = 0; k < n; k++)
        if (v->text[k] == '\0' || v->text[k] == '\n')
            v->text[k] = ' ';
    return (struct value){.text = v->text, .len = (size_t)n};
}

/* Any metric of the catalogue, as it reads best. */
static struct value get_metric(struct values *v, size_t i, size_t metric) {
    char amount[AMOUNT_SIZE];
    uint64_t value;
    if (!metric_of(v, i, metric, &value))
        return unknown();
    switch (tally_metric(metric)->unit) {
    case TALLY_UNIT_COUNT:
        return whole(v, value);
    case TALLY_UNIT_SIGNED:
        return formatted(v, (double)(int64_t)value, "%" PRId64, (int64_t)value);
    case TALLY_UNIT_BYTES:
        return formatted(v, (double)value, "%s", amount_bytes(value, amount));
    case TALLY_UNIT_NS:
        return formatted(v, (double)value, "%s", amount_time(value, amount));
    case TALLY_UNIT_UNIX_NS:
        return moment(v, value);
    case TALLY_UNIT_RATIO:
        return formatted(v, (double)value, "%.1f%%", (double)value / 1e7);
    }
    return unknown();
}

struct value values_get(struct values *v, const struct chosen *chosen, size_t i) {
    return chosen->column ? chosen->column->get(v, i) : get_metric(v, i, chosen->metric);
}

/* ---- Columns ---------------------------------------------------------------------------- */

static const struct column columns[] = {
    {"user", "euser", "USER", TEXT, get_user},
    {"pid", NULL, "PID", NUMBER, get_pid},
    {"%cpu", "pcpu", "%CPU", NUMBER, get_cpu},
    {"%mem", "pmem", "%MEM", NUMBER, get_memory},
    {"vsz", "vsize", "VSZ", NUMBER, get_vsz},
    {"rss", "rssize", "RSS", NUMBER, get_rss},
    {"tty", "tt", "TTY", TEXT, get_terminal},
    {"stat", NULL, "STAT", TEXT, get_stat},
    {"start", "stime", "START", TIME, get_start},
    {"time", "cputime", "TIME", NUMBER, get_time},
    {"command", "args", "COMMAND", TEXT, get_command},
    /* so far those of ps aux */
    {"ppid", NULL, "PPID", NUMBER, get_ppid},
    {"uid", "euid", "UID", NUMBER, get_uid},
    {"name", "comm", "NAME", TEXT, get_name},
    {"state", "s", "S", TEXT, get_state},
    {"started", NULL, "STARTED", TIME, get_started},
    {"elapsed", "etime", "ELAPSED", NUMBER, get_elapsed},
    {"group", NULL, "GROUP", TEXT, get_group},
    {"unit", NULL, "UNIT", TEXT, get_unit},
    {"container", NULL, "CONTAINER", TEXT, get_container},
    {"cgroup", NULL, "CGROUP", TEXT, get_cgroup},
    {"exe", NULL, "EXE", TEXT, get_exe},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))
_Static_assert(COLUMNS >= COLUMNS_USUAL, "those of ps aux are the first");

/* What the metrics of these names take to be collected. */
static const struct {
    const char *prefix, *word;
} collected[] = {
    {"open_fds", "fds"},
    {"worst_fd_ratio", "fds"},
    {"disk_", "io"},
    {"io_", "io"},
    {"context_switches", "context-switches"},
    {"run_queue_wait", "delays"},
    {"blkio_delay", "delays"},
    {"network_", "network"},
    {"memory_pss", "pss"},
    {"states_", "states"},
    {"tcp_", "sockets"},
    {"udp_sockets", "sockets"},
    {"unix_sockets", "sockets"},
    {"threads_running", "threads"},
};

bool column_has_processes(const struct tally_metric *metric) {
    return metric->scope == TALLY_SCOPE_GROUP;
}

bool column_find(const char *name, struct chosen *ret) {
    for (size_t i = 0; i < COLUMNS; i++)
        if (strcmp(columns[i].name, name) == 0 ||
            (columns[i].alias && strcmp(columns[i].alias, name) == 0)) {
            *ret = (struct chosen){.column = &columns[i]};
            return true;
        }
    *ret = (struct chosen){0};
    return tally_metric_find(name, &ret->metric) == 0 &&
           column_has_processes(tally_metric(ret->metric));
}

struct chosen column_usual(size_t i) {
    return (struct chosen){.column = &columns[i]};
}

void column_title(const struct chosen *chosen, char *ret, size_t size) {
    snprintf(ret, size, "%s",
             chosen->column ? chosen->column->title : tally_metric(chosen->metric)->id);
    for (char *c = ret; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
}

bool column_is_text(const struct chosen *chosen) {
    return chosen->column && chosen->column->kind == TEXT;
}

bool column_is_right(const struct chosen *chosen) {
    return !chosen->column || chosen->column->kind == NUMBER;
}

bool column_is_command(const struct chosen *chosen) {
    return chosen->column && chosen->column->get == get_command;
}

bool column_is_name(const struct chosen *chosen) {
    return chosen->column && chosen->column->get == get_name;
}

const char *column_collects(const struct chosen *chosen) {
    if (chosen->column)
        return NULL;
    const char *id = tally_metric(chosen->metric)->id;
    for (size_t i = 0; i < sizeof(collected) / sizeof(collected[0]); i++)
        if (strncmp(id, collected[i].prefix, strlen(collected[i].prefix)) == 0)
            return collected[i].word;
    return NULL;
}

/* ---- The look ------------------------------------------------------------------------------ */

static uint64_t of_host(const struct values *v, const char *id) {
    size_t metric;
    uint64_t value;
    return tally_metric_find(id, &metric) == 0 &&
                   tally_snapshot_value(v->look->snapshot, 0, metric, &value)
               ? value
               : 0;
}

void values_begin(struct values *v, const struct look *look, bool of_interval) {
    const struct {
        const char *id;
        size_t *to;
    } wanted[] = {
        {"cpu_user", &v->cpu_user}, {"cpu_system", &v->cpu_system}, {"cpu_usage", &v->cpu_usage},
        {"memory_rss", &v->rss},    {"memory_vms", &v->vms},        {"threads", &v->threads},
        {"nice", &v->nice},
    };
    v->look = look;
    v->of_interval = of_interval;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        tally_metric_find(wanted[i].id, wanted[i].to);
    v->cpus = strcmp(tally_config_get(look->config, "cpu-mode"), "core") == 0
                  ? 1
                  : of_host(v, "host_cpus");
    v->memory_bytes = of_host(v, "host_memory_total");
}
