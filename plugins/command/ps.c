/* SPDX-License-Identifier: MIT */
/* proctally ps: the processes that there are. */
#include "json.h"
#include "look.h"
#include "ps_columns.h"
#include "table.h"
#include "units.h"
#include "verb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 64 /* and the command */
/* A deeper tree is drawn no wider. */
#define DEPTH_MAX 40
#define NONE SIZE_MAX

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
    struct row *rows;
    size_t row_count;
    struct values values;
};

static const struct tally_process *process_at(const struct ps *ps, size_t i) {
    return tally_snapshot_process(ps->look.snapshot, i);
}

/* ---- Columns ---------------------------------------------------------------------------- */

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
        if (!column_find(word, &ps->chosen[ps->chosen_count])) {
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
    for (size_t i = 0; has_usual && i + 1 < COLUMNS_USUAL; i++)
        ps->chosen[ps->chosen_count++] = column_usual(i);
    for (size_t i = 0; status < 0 && (list = cli_flag_nth(ps->cli, "output", i)); i++)
        status = choose(ps, list);
    if (has_usual) /* the command, which is long, stays the last */
        ps->chosen[ps->chosen_count++] = column_usual(COLUMNS_USUAL - 1);
    const char *sort = cli_flag(ps->cli, "sort");
    if (status >= 0 || !sort)
        return status;
    ps->has_sort = true;
    ps->is_descending = *sort == '-';
    sort += *sort == '-' || *sort == '+';
    if (column_find(sort, &ps->sort))
        return -1;
    cli_say(ps->cli->program, 'E', "--sort got \"%s\"; expected a column as for -o, with - before "
                                   "it for the largest first", sort);
    return CLI_MISUSED;
}

static void collect_for(struct ps *ps, const struct chosen *chosen) {
    const char *word = column_collects(chosen);
    ps->needs_all |= !chosen->column;
    if (word)
        look_set(&ps->look, "collect", word);
}

static bool shows_commands(const struct ps *ps) {
    bool found = ps->has_sort && column_is_command(&ps->sort);
    for (size_t i = 0; i < ps->chosen_count; i++)
        found |= column_is_command(&ps->chosen[i]);
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
        const struct value value = values_get(&ps->values, &ps->sort, i);
        row->is_known = value.text;
        row->number = value.number;
        if (value.text && column_is_text(&ps->sort) &&
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
    struct value value = values_get(&ps->values, chosen, row->process);
    if (row->depth > 0 && (column_is_command(chosen) || column_is_name(chosen))) {
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
        column_title(&ps->chosen[i], titles[i], sizeof(titles[i]));
        heads[i] = (struct table_column){titles[i], column_is_right(&ps->chosen[i])};
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

static void json_column(struct ps *ps, size_t i, const char *name) {
    struct chosen column;
    bool is_first = false;
    column_find(name, &column);
    const struct value value = values_get(&ps->values, &column, i);
    if (!value.text)
        return;
    json_key(stdout, &is_first, name);
    json_string(stdout, value.text, value.len);
}

static void json_arguments(struct ps *ps, size_t i) {
    const ssize_t n = values_read(&ps->values, i, TALLY_PROCESS_CMDLINE);
    if (n <= 0)
        return;
    fputs(",\"command\":[", stdout);
    for (size_t at = 0; at < (size_t)n;) {
        const size_t len = strnlen(ps->values.text + at, (size_t)n - at);
        if (at > 0)
            putchar(',');
        json_string(stdout, ps->values.text + at, len);
        at += len + 1;
    }
    putchar(']');
}

static void json_metrics(struct ps *ps, size_t i) {
    const struct tally_metric *metric;
    bool is_first_metric = true;
    uint64_t value;
    fputs(",\"metrics\":{", stdout);
    for (size_t m = 0; (metric = tally_metric(m)); m++)
        if (column_has_processes(metric) &&
            tally_snapshot_process_value(ps->look.snapshot, i, m, &value)) {
            json_key(stdout, &is_first_metric, metric->id);
            json_number(stdout, tally_present(ps->look.snapshot, m, TALLY_FORM_NATURAL, value));
        }
    putchar('}');
}

static void print_json_process(struct ps *ps, size_t i) {
    static const char *const texts[] = {"name",   "user", "stat",      "started", "group",
                                        "cgroup", "unit", "container", "exe"};
    const struct tally_process *p = process_at(ps, i);
    printf("{\"pid\":%ld,\"ppid\":%ld", (long)p->pid, (long)p->ppid);
    if (p->user)
        printf(",\"uid\":%lu", (unsigned long)p->uid);
    if (p->terminal)
        json_column(ps, i, "tty");
    for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
        json_column(ps, i, texts[k]);
    json_arguments(ps, i);
    json_metrics(ps, i);
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
     .help = "Look twice, so long apart: %CPU is that of the time between, not of the whole life. A "
             "plain number is in seconds."},
    {.name = "json", .help = "All that is known of each process, as JSON."},
};
static const struct cli_program program = {
    .name = "proctally ps",
    .summary = "Shows the processes that there are, with their groups if asked for.",
    .is_verb = true,
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .settle = look_take_seconds,
};

/* Says which of the processes that were asked for are not there. */
static int missing(const struct ps *ps) {
    const char *list;
    char word[64];
    int status = CLI_DONE;
    for (size_t k = 0; (list = cli_flag_nth(ps->cli, "pid", k)); k++)
        while (next_word(&list, word, sizeof(word))) {
            const pid_t pid = cli_parse_pid(word, strlen(word));
            if (pid > 0 && look_find(&ps->look, pid) != NONE)
                continue;
            cli_say(ps->cli->program, 'E', "there is no process %s", word);
            status = CLI_FAILED;
        }
    return ps->row_count ? status : CLI_FAILED;
}

static int show(struct ps *ps) {
    values_begin(&ps->values, &ps->look, ps->over_ns > 0);
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
    const int status = look_finish_output(ps->look.program);
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
