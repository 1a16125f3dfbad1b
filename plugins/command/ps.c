/* SPDX-License-Identifier: MIT */
/* proctally ps: the processes that there are. */
#include "json.h"
#include "look.h"
#include "table.h"
#include "terminal.h"
#include "text.h"
#include "verb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
/* As much of a command line as ps(1) shows */
#define COMMAND_SIZE (128u << 10)
#define COLUMNS_MAX 64 /* and the command */
/* A deeper tree is drawn no wider. */
#define DEPTH_MAX 40
#define NONE SIZE_MAX

struct ps;

/* What stands in a cell. */
struct value {
    const char *text; /* NULL: it is not known */
    size_t len;
    double number; /* of a column of numbers */
};

struct column {
    const char *name, *alias; /* after -o */
    const char *title;
    enum { TEXT, NUMBER, TIME } kind; /* numbers stand at the right; texts are sorted as such */
    struct value (*get)(struct ps *ps, size_t process);
};

/* A column of the table; one without a row of its own is a metric. */
struct chosen {
    const struct column *column;
    size_t metric;
};

struct row {
    size_t process;
    unsigned depth;
    double number; /* that it is sorted by; or … */
    char *text;
    bool is_known;
};

struct ps {
    struct look look;
    const struct cli *cli;
    struct chosen chosen[COLUMNS_MAX + 1];
    size_t chosen_count;
    struct chosen sort;
    bool has_sort, is_descending;
    uint64_t over_ns;
    bool needs_all; /* what is not read by a brief look */
    size_t cpu_user, cpu_system, cpu_usage, rss, vms, threads, nice; /* metrics */
    uint64_t cpus, memory_bytes; /* of the host; 0: not known */
    struct row *rows;
    size_t row_count;
    /* the terminal that was looked up last */
    uint32_t terminal;
    char terminal_text[TERMINAL_NAME_SIZE];
    char text[COMMAND_SIZE + 64]; /* of the value in hand */
};

/* ---- Values --------------------------------------------------------------------------- */

static const struct tally_process *process_at(const struct ps *ps, size_t i) {
    return tally_snapshot_process(ps->look.snapshot, i);
}

static bool metric_of(const struct ps *ps, size_t i, size_t metric, uint64_t *ret) {
    return tally_snapshot_process_value(ps->look.snapshot, i, metric, ret);
}

static struct value unknown(void) {
    return (struct value){0};
}

static struct value text_value(const char *text) {
    return (struct value){.text = text, .len = text ? strlen(text) : 0};
}

static struct value formatted(struct ps *ps, double number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static struct value formatted(struct ps *ps, double number, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(ps->text, sizeof(ps->text), format, args);
    va_end(args);
    return (struct value){.text = ps->text, .len = strlen(ps->text), .number = number};
}

static struct value whole(struct ps *ps, uint64_t number) {
    return formatted(ps, (double)number, "%" PRIu64, number);
}

static struct value get_user(struct ps *ps, size_t i) {
    return text_value(process_at(ps, i)->user);
}

static struct value get_uid(struct ps *ps, size_t i) {
    return process_at(ps, i)->user ? whole(ps, process_at(ps, i)->uid) : unknown();
}

static struct value get_pid(struct ps *ps, size_t i) {
    return whole(ps, (uint64_t)process_at(ps, i)->pid);
}

static struct value get_ppid(struct ps *ps, size_t i) {
    return whole(ps, (uint64_t)process_at(ps, i)->ppid);
}

static bool cpu_time_of(const struct ps *ps, size_t i, uint64_t *ret_ns) {
    uint64_t user_ns, system_ns;
    if (!metric_of(ps, i, ps->cpu_user, &user_ns) || !metric_of(ps, i, ps->cpu_system, &system_ns))
        return false;
    *ret_ns = user_ns + system_ns;
    return true;
}

static uint64_t age_ns(const struct ps *ps, size_t i) {
    const uint64_t now_ns = tally_snapshot_time(ps->look.snapshot);
    const uint64_t start_ns = process_at(ps, i)->start_ns;
    return now_ns > start_ns ? now_ns - start_ns : 0;
}

/* On average over its life, or of the time between the two collections. */
static struct value get_cpu(struct ps *ps, size_t i) {
    uint64_t value;
    double percent;
    if (ps->over_ns) {
        if (!metric_of(ps, i, ps->cpu_usage, &value))
            return unknown();
        percent = (double)value / 1e7;
    } else {
        const uint64_t age = age_ns(ps, i);
        if (age == 0 || ps->cpus == 0 || !cpu_time_of(ps, i, &value))
            return unknown();
        percent = 100.0 * (double)value / (double)age / (double)ps->cpus;
    }
    return formatted(ps, percent, "%.1f", percent);
}

static struct value get_memory(struct ps *ps, size_t i) {
    uint64_t bytes;
    if (ps->memory_bytes == 0 || !metric_of(ps, i, ps->rss, &bytes))
        return unknown();
    const double percent = 100.0 * (double)bytes / (double)ps->memory_bytes;
    return formatted(ps, percent, "%.1f", percent);
}

static struct value kib(struct ps *ps, size_t i, size_t metric) {
    uint64_t bytes;
    return metric_of(ps, i, metric, &bytes) ? whole(ps, bytes / 1024) : unknown();
}

static struct value get_vsz(struct ps *ps, size_t i) {
    return kib(ps, i, ps->vms);
}

static struct value get_rss(struct ps *ps, size_t i) {
    return kib(ps, i, ps->rss);
}

static struct value get_terminal(struct ps *ps, size_t i) {
    const uint32_t terminal = process_at(ps, i)->terminal;
    if (terminal == 0)
        return text_value("?");
    if (terminal != ps->terminal) {
        terminal_name(ps->look.procfs, terminal, ps->terminal_text);
        ps->terminal = terminal;
    }
    return text_value(ps->terminal_text);
}

static struct value get_state(struct ps *ps, size_t i) {
    return formatted(ps, 0, "%c", process_at(ps, i)->state);
}

/* With the marks that ps(1) puts behind it, but L: locked pages take another look. */
static struct value get_stat(struct ps *ps, size_t i) {
    const struct tally_process *p = process_at(ps, i);
    uint64_t nice = 0, threads = 0;
    metric_of(ps, i, ps->nice, &nice);
    metric_of(ps, i, ps->threads, &threads);
    return formatted(ps, 0, "%c%s%s%s%s", p->state,
                     (int64_t)nice < 0 ? "<" : (int64_t)nice > 0 ? "N" : "",
                     p->leads_session ? "s" : "", threads > 1 ? "l" : "",
                     p->in_foreground ? "+" : "");
}

static bool local_time(uint64_t unix_ns, struct tm *ret) {
    const time_t s = (time_t)(unix_ns / NS_PER_S);
    return unix_ns > 0 && localtime_r(&s, ret);
}

/* The time of today, the day of this year, or the year */
static struct value get_start(struct ps *ps, size_t i) {
    struct tm today, then;
    size_t len;
    if (!local_time(tally_snapshot_time(ps->look.snapshot), &today) ||
        !local_time(process_at(ps, i)->start_ns, &then))
        return unknown();
    if (today.tm_year != then.tm_year)
        len = strftime(ps->text, sizeof(ps->text), "%Y", &then);
    else if (today.tm_yday != then.tm_yday)
        len = strftime(ps->text, sizeof(ps->text), "%b%d", &then);
    else
        len = strftime(ps->text, sizeof(ps->text), "%H:%M", &then);
    return (struct value){.text = ps->text, .len = len, .number = (double)process_at(ps, i)->start_ns};
}

static struct value moment(struct ps *ps, uint64_t unix_ns) {
    struct tm then;
    if (!local_time(unix_ns, &then))
        return unknown();
    const size_t len = strftime(ps->text, sizeof(ps->text), "%Y-%m-%dT%H:%M:%S%z", &then);
    return (struct value){.text = ps->text, .len = len, .number = (double)unix_ns};
}

static struct value get_started(struct ps *ps, size_t i) {
    return moment(ps, process_at(ps, i)->start_ns);
}

static struct value get_elapsed(struct ps *ps, size_t i) {
    const uint64_t s = age_ns(ps, i) / NS_PER_S;
    if (s >= 86400)
        return formatted(ps, (double)s, "%" PRIu64 "-%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64,
                         s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    return s < 3600 ? formatted(ps, (double)s, "%02" PRIu64 ":%02" PRIu64, s / 60, s % 60)
                    : formatted(ps, (double)s, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600,
                                s / 60 % 60, s % 60);
}

static struct value get_time(struct ps *ps, size_t i) {
    uint64_t ns;
    if (!cpu_time_of(ps, i, &ns))
        return unknown();
    const uint64_t s = ns / NS_PER_S;
    return formatted(ps, (double)ns, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
}

static struct value get_name(struct ps *ps, size_t i) {
    return text_value(process_at(ps, i)->name);
}

static struct value get_group(struct ps *ps, size_t i) {
    return text_value(look_group(&ps->look, i));
}

static ssize_t read_text(struct ps *ps, size_t i, enum tally_process_text which) {
    return tally_snapshot_process_text(ps->look.snapshot, i, which, ps->text, COMMAND_SIZE);
}

static struct value read_value(struct ps *ps, size_t i, enum tally_process_text which) {
    const ssize_t n = read_text(ps, i, which);
    return n > 0 ? (struct value){.text = ps->text, .len = (size_t)n} : unknown();
}

static struct value get_exe(struct ps *ps, size_t i) {
    return read_value(ps, i, TALLY_PROCESS_EXE);
}

static struct value get_cgroup(struct ps *ps, size_t i) {
    return read_value(ps, i, TALLY_PROCESS_CGROUP);
}

static struct value get_unit(struct ps *ps, size_t i) {
    return read_value(ps, i, TALLY_PROCESS_UNIT);
}

static struct value get_container(struct ps *ps, size_t i) {
    return read_value(ps, i, TALLY_PROCESS_CONTAINER);
}

/* The arguments with blanks between them, and for newlines, as ps(1) shows them; the name of a process that has none, or that has
 * ended meanwhile. */
static struct value get_command(struct ps *ps, size_t i) {
    const struct tally_process *p = process_at(ps, i);
    const ssize_t n = p->state == 'Z' ? 0 : read_text(ps, i, TALLY_PROCESS_CMDLINE);
    if (n <= 0)
        return formatted(ps, 0, "[%s]%s", p->name, p->state == 'Z' ? " <defunct>" : "");
    for (ssize_t k = 0; k < n; k++)
        if (ps->text[k] == '\0' || ps->text[k] == '\n')
            ps->text[k] = ' ';
    return (struct value){.text = ps->text, .len = (size_t)n};
}

/* Any metric of the catalogue, as it reads best. */
static struct value get_metric(struct ps *ps, size_t i, size_t metric) {
    char amount[AMOUNT_SIZE];
    uint64_t value;
    if (!metric_of(ps, i, metric, &value))
        return unknown();
    switch (tally_metric(metric)->unit) {
    case TALLY_UNIT_COUNT:
        return whole(ps, value);
    case TALLY_UNIT_SIGNED:
        return formatted(ps, (double)(int64_t)value, "%" PRId64, (int64_t)value);
    case TALLY_UNIT_BYTES:
        return formatted(ps, (double)value, "%s", amount_bytes(value, amount));
    case TALLY_UNIT_NS:
        return formatted(ps, (double)value, "%s", amount_time(value, amount));
    case TALLY_UNIT_UNIX_NS:
        return moment(ps, value);
    case TALLY_UNIT_RATIO:
        return formatted(ps, (double)value, "%.1f%%", (double)value / 1e7);
    }
    return unknown();
}

static struct value get_value(struct ps *ps, const struct chosen *chosen, size_t i) {
    return chosen->column ? chosen->column->get(ps, i) : get_metric(ps, i, chosen->metric);
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
#define COLUMNS_OF_AUX 11

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
    {"threads_running", "threads"},
};

static bool has_process_scope(const struct tally_metric *metric) {
    return metric->scope == TALLY_SCOPE_GROUP;
}

static bool find_column(const char *name, struct chosen *ret) {
    for (size_t i = 0; i < COLUMNS; i++)
        if (strcmp(columns[i].name, name) == 0 ||
            (columns[i].alias && strcmp(columns[i].alias, name) == 0)) {
            *ret = (struct chosen){.column = &columns[i]};
            return true;
        }
    *ret = (struct chosen){0};
    return tally_metric_find(name, &ret->metric) == 0 &&
           has_process_scope(tally_metric(ret->metric));
}

/* A word of a list that commas divide; advances. False: there are no more. */
static bool next_word(const char **list, char *word, size_t size) {
    if (!**list)
        return false;
    const size_t len = strcspn(*list, ",");
    snprintf(word, size, "%.*s", (int)(len < size ? len : size - 1), *list);
    *list += len + ((*list)[len] == ',');
    return true;
}

static int choose(struct ps *ps, const char *list) {
    char word[64];
    if (*list == '+')
        list++;
    while (next_word(&list, word, sizeof(word))) {
        if (ps->chosen_count == COLUMNS_MAX) {
            cli_say(ps->cli->program, 'E', "-o has too many columns; expected %d at most",
                    COLUMNS_MAX);
            return CLI_MISUSED;
        }
        if (!find_column(word, &ps->chosen[ps->chosen_count])) {
            cli_say(ps->cli->program, 'E',
                    "-o got \"%s\"; expected columns that proctally-ps(1) lists, or metrics that "
                    "proctally metrics lists", word);
            return CLI_MISUSED;
        }
        ps->chosen_count++;
    }
    return -1;
}

static int choose_columns(struct ps *ps) {
    const char *first = cli_flag(ps->cli, "output"), *list;
    int status = -1;
    if (first && cli_flag(ps->cli, "json")) {
        cli_say(ps->cli->program, 'E', "--json and -o are both given; expected one of them: JSON "
                                       "has all that there is");
        return CLI_MISUSED;
    }
    const bool has_usual = !first || *first == '+';
    for (size_t i = 0; has_usual && i + 1 < COLUMNS_OF_AUX; i++)
        ps->chosen[ps->chosen_count++] = (struct chosen){.column = &columns[i]};
    for (size_t i = 0; status < 0 && (list = cli_flag_nth(ps->cli, "output", i)); i++)
        status = choose(ps, list);
    if (has_usual) /* the command, which is long, stays the last */
        ps->chosen[ps->chosen_count++] = (struct chosen){.column = &columns[COLUMNS_OF_AUX - 1]};
    const char *sort = cli_flag(ps->cli, "sort");
    if (status >= 0 || !sort)
        return status;
    ps->has_sort = true;
    ps->is_descending = *sort == '-';
    sort += *sort == '-' || *sort == '+';
    if (find_column(sort, &ps->sort))
        return -1;
    cli_say(ps->cli->program, 'E', "--sort got \"%s\"; expected a column as for -o, with - before "
                                   "it for the largest first", sort);
    return CLI_MISUSED;
}

static void collect_for(struct ps *ps, const struct chosen *chosen) {
    if (chosen->column)
        return;
    ps->needs_all = true;
    const char *id = tally_metric(chosen->metric)->id;
    for (size_t i = 0; i < sizeof(collected) / sizeof(collected[0]); i++)
        if (strncmp(id, collected[i].prefix, strlen(collected[i].prefix)) == 0)
            look_set(&ps->look, "collect", collected[i].word);
}

static bool shows_commands(const struct ps *ps) {
    bool found = ps->has_sort && ps->sort.column && ps->sort.column->get == get_command;
    for (size_t i = 0; i < ps->chosen_count; i++)
        found |= ps->chosen[i].column && ps->chosen[i].column->get == get_command;
    return found;
}

static void configure(struct ps *ps) {
    /* a busy CPU is 100 %, as in ps(1), unless the user wants it otherwise */
    if (!tally_config_is_given(ps->look.config, "cpu-mode"))
        look_set(&ps->look, "cpu-mode", "core");
    if (cli_has_option(ps->cli, "interval"))
        tally_config_interval(ps->look.config, &ps->over_ns);
    ps->needs_all = cli_flag(ps->cli, "json"); /* which shows all that is collected */
    if (ps->needs_all)
        return;
    look_set(&ps->look, "collect", LOOK_AT_LITTLE);
    for (size_t i = 0; i < ps->chosen_count; i++)
        collect_for(ps, &ps->chosen[i]);
    if (ps->has_sort)
        collect_for(ps, &ps->sort);
}

static void find_metrics(struct ps *ps) {
    const struct {
        const char *id;
        size_t *to;
    } wanted[] = {
        {"cpu_user", &ps->cpu_user}, {"cpu_system", &ps->cpu_system}, {"cpu_usage", &ps->cpu_usage},
        {"memory_rss", &ps->rss},    {"memory_vms", &ps->vms},        {"threads", &ps->threads},
        {"nice", &ps->nice},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        tally_metric_find(wanted[i].id, wanted[i].to);
}

static uint64_t of_host(const struct ps *ps, const char *id) {
    size_t metric;
    uint64_t value;
    return tally_metric_find(id, &metric) == 0 &&
                   tally_snapshot_value(ps->look.snapshot, 0, metric, &value)
               ? value
               : 0;
}

/* ---- Rows ---------------------------------------------------------------------------------- */

static bool is_in(const char *list, const char *text) {
    const size_t len = strlen(text);
    for (; *list; list += strcspn(list, ","), list += *list == ',')
        if (strcspn(list, ",") == len && memcmp(list, text, len) == 0)
            return true;
    return false;
}

/* Does one of the flag's values, which are lists, hold the text? Also if it is not given. */
static bool is_wanted(const struct ps *ps, const char *flag, const char *text) {
    const char *list = cli_flag(ps->cli, flag);
    bool found = !list;
    for (size_t k = 0; !found && (list = cli_flag_nth(ps->cli, flag, k)); k++)
        found = text && (is_in(list, text) || strcmp(list, text) == 0);
    return found;
}

static bool is_shown(struct ps *ps, size_t i) {
    const struct tally_process *p = process_at(ps, i);
    char number[24], uid[24];
    snprintf(number, sizeof(number), "%ld", (long)p->pid);
    snprintf(uid, sizeof(uid), "%lu", (unsigned long)p->uid);
    return is_wanted(ps, "pid", number) && is_wanted(ps, "command", p->name) &&
           is_wanted(ps, "group", look_group(&ps->look, i)) &&
           (is_wanted(ps, "user", p->user) || (p->user && is_wanted(ps, "user", uid)));
}

static int add_rows(struct ps *ps) {
    const size_t count = tally_snapshot_processes(ps->look.snapshot);
    ps->rows = calloc(count + 1, sizeof(*ps->rows));
    if (!ps->rows)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (!is_shown(ps, i))
            continue;
        struct row *row = &ps->rows[ps->row_count++];
        *row = (struct row){.process = i};
        if (!ps->has_sort)
            continue;
        const struct value value = get_value(ps, &ps->sort, i);
        row->is_known = value.text;
        row->number = value.number;
        if (value.text && ps->sort.column && ps->sort.column->kind == TEXT &&
            !(row->text = strndup(value.text, value.len)))
            return -ENOMEM;
    }
    return 0;
}

static int by_value(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    int r = x->number < y->number ? -1 : x->number > y->number;
    if (x->text && y->text)
        r = strcmp(x->text, y->text);
    return r ? r : x->process < y->process ? -1 : 1;
}

/* What is not known stands last, in whatever direction. */
static int upwards(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    return x->is_known != y->is_known ? y->is_known - x->is_known : by_value(a, b);
}

static int downwards(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    return x->is_known != y->is_known ? y->is_known - x->is_known : by_value(b, a);
}

/* ---- The tree ------------------------------------------------------------------------------- */

/* The rows anew, each child behind its parent. What is read of several processes is not of
 * one instant: parents that are each other's children stand as if they had none. */
static int make_tree(struct ps *ps) {
    const size_t processes = tally_snapshot_processes(ps->look.snapshot);
    const size_t count = ps->row_count;
    size_t *row_of = calloc(processes + 1, sizeof(*row_of)); /* by process; + 1, 0: not shown */
    size_t *first = calloc(count + 1, sizeof(*first)); /* child, + 1 */
    size_t *next = calloc(count + 1, sizeof(*next));   /* sibling, + 1 */
    size_t *stack = calloc(count + 1, sizeof(*stack));
    bool *is_child = calloc(count + 1, sizeof(*is_child)), *is_done = calloc(count + 1, 1);
    struct row *rows = calloc(count + 1, sizeof(*rows));
    int r = row_of && first && next && stack && is_child && is_done && rows ? 0 : -ENOMEM;
    size_t written = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        row_of[ps->rows[i].process] = i + 1;
    for (size_t i = count; r == 0 && i-- > 0;) {
        const struct tally_process *p = process_at(ps, ps->rows[i].process);
        const size_t parent = look_find(&ps->look, p->ppid);
        if (parent == NONE || p->ppid == p->pid || row_of[parent] == 0)
            continue;
        next[i] = first[row_of[parent] - 1];
        first[row_of[parent] - 1] = i + 1;
        is_child[i] = true;
    }
    /* first the roots with all that is below them, then what no root leads to */
    for (size_t pass = 0; r == 0 && pass < 2; pass++)
        for (size_t i = 0; i < count; i++) {
            size_t height = 0;
            if (is_done[i] || (pass == 0 && is_child[i]))
                continue;
            ps->rows[i].depth = 0;
            is_done[i] = true;
            stack[height++] = i;
            while (height > 0) {
                const size_t at = stack[--height];
                const size_t begin = height;
                rows[written++] = ps->rows[at];
                for (size_t child = first[at]; child; child = next[child - 1])
                    if (!is_done[child - 1]) {
                        is_done[child - 1] = true;
                        ps->rows[child - 1].depth = ps->rows[at].depth + 1;
                        stack[height++] = child - 1;
                    }
                for (size_t low = begin, high = height; low + 1 < high; low++) { /* first on top */
                    const size_t other = stack[--high];
                    stack[high] = stack[low];
                    stack[low] = other;
                }
            }
        }
    if (r == 0) {
        free(ps->rows);
        ps->rows = rows;
    } else {
        free(rows);
    }
    free(row_of);
    free(first);
    free(next);
    free(stack);
    free(is_child);
    free(is_done);
    return r;
}

/* ---- Output ------------------------------------------------------------------------------------ */

static void add_cell(struct ps *ps, struct table *table, const struct chosen *chosen,
                     const struct row *row) {
    struct value value = get_value(ps, chosen, row->process);
    const bool is_command =
        chosen->column && (chosen->column->get == get_command || chosen->column->get == get_name);
    if (is_command && row->depth > 0) {
        const size_t indent = 4 * (size_t)(row->depth < DEPTH_MAX ? row->depth : DEPTH_MAX);
        static char line[COMMAND_SIZE + 4 * DEPTH_MAX];
        const size_t len = value.len < COMMAND_SIZE ? value.len : COMMAND_SIZE;
        memset(line, ' ', indent - 4);
        memcpy(line + indent - 4, " \\_ ", 4);
        memcpy(line + indent, value.text, len);
        table_add(table, line, indent + len);
        return;
    }
    table_add(table, value.text, value.len);
}

static int print_table(struct ps *ps) {
    struct table_column heads[COLUMNS_MAX + 1];
    char titles[COLUMNS_MAX + 1][64];
    struct table *table;
    for (size_t i = 0; i < ps->chosen_count; i++) {
        const struct chosen *chosen = &ps->chosen[i];
        const char *id = chosen->column ? chosen->column->title : tally_metric(chosen->metric)->id;
        snprintf(titles[i], sizeof(titles[i]), "%s", id);
        for (char *c = titles[i]; *c; c++)
            if (*c >= 'a' && *c <= 'z')
                *c = (char)(*c - 'a' + 'A');
        heads[i] = (struct table_column){titles[i], !chosen->column || chosen->column->kind == NUMBER};
    }
    int r = table_new(heads, ps->chosen_count, &table);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ps->row_count; i++)
        for (size_t k = 0; k < ps->chosen_count; k++)
            add_cell(ps, table, &ps->chosen[k], &ps->rows[i]);
    r = table_print(table, stdout, table_room(stdout));
    table_free(table);
    return r;
}

static void json_value(bool *is_first, const char *key, struct value value) {
    if (!value.text)
        return;
    json_key(stdout, is_first, key);
    json_string(stdout, value.text, value.len);
}

static void json_arguments(struct ps *ps, size_t i, bool *is_first) {
    const ssize_t n = read_text(ps, i, TALLY_PROCESS_CMDLINE);
    if (n <= 0)
        return;
    json_key(stdout, is_first, "command");
    putchar('[');
    for (size_t at = 0; at < (size_t)n;) {
        const size_t len = strnlen(ps->text + at, (size_t)n - at);
        if (at > 0)
            putchar(',');
        json_string(stdout, ps->text + at, len);
        at += len + 1;
    }
    putchar(']');
}

static void json_metrics(struct ps *ps, size_t i, bool *is_first) {
    const struct tally_metric *metric;
    bool is_first_metric = true;
    uint64_t value;
    json_key(stdout, is_first, "metrics");
    putchar('{');
    for (size_t m = 0; (metric = tally_metric(m)); m++)
        if (has_process_scope(metric) && metric_of(ps, i, m, &value)) {
            json_key(stdout, &is_first_metric, metric->id);
            json_number(stdout, tally_present(ps->look.snapshot, m, TALLY_FORM_NATURAL, value));
        }
    putchar('}');
}

static void print_json_process(struct ps *ps, size_t i) {
    const struct tally_process *p = process_at(ps, i);
    bool is_first = true;
    printf("{\"pid\":%ld,\"ppid\":%ld", (long)p->pid, (long)p->ppid);
    is_first = false;
    json_value(&is_first, "name", get_name(ps, i));
    if (p->user)
        printf(",\"uid\":%lu", (unsigned long)p->uid);
    json_value(&is_first, "user", get_user(ps, i));
    json_value(&is_first, "stat", get_stat(ps, i));
    if (p->terminal)
        json_value(&is_first, "tty", get_terminal(ps, i));
    json_value(&is_first, "started", get_started(ps, i));
    json_value(&is_first, "group", get_group(ps, i));
    json_value(&is_first, "cgroup", get_cgroup(ps, i));
    json_value(&is_first, "unit", get_unit(ps, i));
    json_value(&is_first, "container", get_container(ps, i));
    json_value(&is_first, "exe", get_exe(ps, i));
    json_arguments(ps, i, &is_first);
    json_metrics(ps, i, &is_first);
    putchar('}');
}

static void print_json(struct ps *ps) {
    const uint64_t now_ns = tally_snapshot_time(ps->look.snapshot);
    printf("{\"time\":%" PRIu64 ".%09" PRIu64 ",\"processes\":[", now_ns / NS_PER_S,
           now_ns % NS_PER_S);
    for (size_t i = 0; i < ps->row_count; i++) {
        fputs(i ? ",\n" : "\n", stdout);
        print_json_process(ps, ps->rows[i].process);
    }
    fputs("\n]}\n", stdout);
}

/* ---- The verb ------------------------------------------------------------------------------------ */

static const struct cli_flag flags[] = {
    {.name = "output", .argument = "COLUMN,…", .is_repeatable = true,
     .help = "Columns, by the names that proctally-ps(1) lists, or metrics that proctally metrics "
             "lists; with + before them, besides the usual ones."},
    {.name = "o", .argument = "COLUMN,…", .means = "output", .help = "The same."},
    {.name = "sort", .argument = "[-]COLUMN",
     .help = "Sort by a column, with - the largest first. Default: by pid."},
    {.name = "pid", .argument = "PID,…", .is_repeatable = true, .help = "Only these processes."},
    {.name = "p", .argument = "PID,…", .means = "pid", .help = "The same."},
    {.name = "user", .argument = "USER,…", .is_repeatable = true,
     .help = "Only processes of these users, by name or number."},
    {.name = "u", .argument = "USER,…", .means = "user", .help = "The same."},
    {.name = "command", .argument = "NAME,…", .is_repeatable = true,
     .help = "Only processes of these names."},
    {.name = "C", .argument = "NAME,…", .means = "command", .help = "The same."},
    {.name = "group", .argument = "NAME,…", .is_repeatable = true,
     .help = "Only processes of these groups."},
    {.name = "tree", .help = "Show children behind their parents."},
    {.name = "over", .argument = "DURATION", .means = "interval",
     .help = "Look twice, so long apart: %CPU is that of the time between, not of the whole life."},
    {.name = "json", .help = "All that is known of each process, as JSON."},
};
static const struct cli_program program = {
    .name = "proctally ps",
    .summary = "Shows the processes that there are, with their groups if asked for.",
    .is_verb = true,
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
};

/* Says which of the processes that were asked for are not there. */
static int missing(const struct ps *ps) {
    const char *list;
    char word[64];
    int status = CLI_DONE;
    for (size_t k = 0; (list = cli_flag_nth(ps->cli, "pid", k)); k++)
        while (next_word(&list, word, sizeof(word))) {
            const pid_t pid = look_parse_pid(word, strlen(word));
            if (pid > 0 && look_find(&ps->look, pid) != NONE)
                continue;
            cli_say(ps->cli->program, 'E', "there is no process %s", word);
            status = CLI_FAILED;
        }
    return ps->row_count ? status : CLI_FAILED;
}

static int show(struct ps *ps) {
    ps->cpus = strcmp(tally_config_get(ps->look.config, "cpu-mode"), "core") == 0
                   ? 1
                   : of_host(ps, "host_cpus");
    ps->memory_bytes = of_host(ps, "host_memory_total");
    int r = add_rows(ps);
    if (r == 0 && ps->has_sort)
        qsort(ps->rows, ps->row_count, sizeof(*ps->rows),
              ps->is_descending ? downwards : upwards);
    if (r == 0 && cli_flag(ps->cli, "tree"))
        r = make_tree(ps);
    if (r == 0 && cli_flag(ps->cli, "json"))
        print_json(ps);
    else if (r == 0)
        r = print_table(ps);
    if (r < 0) {
        cli_say(ps->cli->program, 'E', "out of memory");
        return CLI_FAILED;
    }
    const int status = look_finish_output(&ps->look);
    return status == CLI_DONE ? missing(ps) : status;
}

static int look(struct cli *cli) {
    struct ps *ps = calloc(1, sizeof(*ps));
    if (!ps) {
        cli_say(cli->program, 'E', "out of memory");
        return CLI_FAILED;
    }
    ps->cli = cli;
    int status = choose_columns(ps);
    if (status < 0)
        status = look_begin(&ps->look, cli);
    if (status < 0) {
        find_metrics(ps);
        configure(ps);
        status = look_at(&ps->look,
                         TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST |
                             (shows_commands(ps) ? TALLY_KEEP_CMDLINES : 0),
                         !ps->needs_all, ps->over_ns);
    }
    if (status < 0)
        status = show(ps);
    for (size_t i = 0; i < ps->row_count; i++)
        free(ps->rows[i].text);
    free(ps->rows);
    look_end(&ps->look);
    free(ps);
    return status;
}

const struct verb verb_ps = {
    .name = "ps",
    .short_help = "list the processes",
    .program = &program,
    .main = look,
};
