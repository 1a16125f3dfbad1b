/* SPDX-License-Identifier: MIT */
/* top: what uses the host now, again and again. */
#include "top.h"

#include "build-config.h"
#include "look.h"
#include "rights.h"
#include "text.h"
#include "verb.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_INTERVAL_S = 1 };

static const struct cli_flag flags[] = {
    {.name = "batch",
     .help = "Print plain text, all rows of it, instead of drawing on the terminal."},
    {.name = "b", .means = "batch", .help = "The same."},
    {.name = "json",
     .help = "Print a JSON object in a line of its own at each refresh: the host, the collector, "
             "all groups and all processes."},
    {.name = "iterations", .argument = "COUNT",
     .help = "Leave after so many refreshes, the first of which comes one interval after the "
             "start."},
    {.name = "n", .argument = "COUNT", .means = "iterations", .help = "The same."},
    {.name = "d", .argument = "DURATION", .means = "interval",
     .help = "The same as --interval, which is 1s here unless it is given. A plain number is in "
             "seconds."},
    {.name = "view", .argument = "groups|processes", .help = "What to show at first. Default: groups"},
    {.name = "sort", .argument = "COLUMN",
     .help = "The title of the column to sort by, with a - before it for the other way round. "
             "Default: cpu%"},
    {.name = "tree",
     .help = "Show processes below their parents, or below their groups."},
};

static const struct cli_program program = {
    .name = "proctally top",
    .summary = "Shows what uses the host now: groups, their processes, and the work of those that "
               "have ended since the last look.",
    .is_verb = true,
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .settle = look_take_seconds,
};

/* ---- The collector ---------------------------------------------------------------------- */

static int set_unless_given(tally_config *config, const char *name, const char *value,
                            struct tally_error *error) {
    return tally_config_is_given(config, name) ? 0 : tally_config_set(config, name, value, error);
}

/* A new configuration; with other keys to group by unless that is NULL. -errno. */
static int configure(const struct top *top, const char *group_by, tally_config **ret_config,
                     struct tally_error *error) {
    tally_config *config;
    int r = cli_configure_look(top->cli, &config, error);
    if (r < 0)
        return r;
    r = set_unless_given(config, "cpu-mode", "core", error);
    if (r >= 0) /* shown once more when its last process has ended */
        r = set_unless_given(config, "expire-after", "0s", error);
    /* what no column shows is not read */
    if (r >= 0 && !cli_flag(top->cli, "json"))
        r = set_unless_given(config, "collect",
                             "no-context-switches,no-delays,no-fds,no-threads", error);
    if (r >= 0 && group_by) /* an empty value empties the list */
        r = tally_config_set(config, "group-by", "", error);
    if (r >= 0 && group_by)
        r = tally_config_set(config, "group-by", group_by, error);
    if (r < 0)
        tally_config_free(config);
    else
        *ret_config = config;
    return r;
}

static int open_collector(const tally_config *config, tally *from, tally **ret,
                          struct tally_error *error) {
    const struct tally_new_opts opts = {
        .size = sizeof(opts),
        .count_lifetimes = true,
        .inherit = from,
        .keep = TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST,
        .only_looks = true,
    };
    return tally_new(config, &opts, ret, error);
}

/* On the screen in its line for that, else on standard error. */
static void say(struct top *top, char level, const char *text) {
    if (top->is_on_screen)
        snprintf(top->said.text, sizeof(top->said.text), "%s", text);
    else
        cli_say(&program, level, "%s", text);
}

static int collect(struct top *top, bool is_regrouped) {
    const tally_snapshot *s;
    struct tally_error text;
    int r = tally_collect(top->t, &s);
    if (r >= 0)
        r = top_model_take(&top->model, s, is_regrouped);
    if (r >= 0)
        r = top_model_arrange(&top->model);
    if (r < 0) {
        snprintf(text.text, sizeof(text.text), "cannot collect: %s", strerror(-r));
        say(top, 'E', text.text);
    }
    while (tally_notice(top->t, &text))
        say(top, 'W', text.text);
    return r;
}

int top_collect(struct top *top) {
    return collect(top, false);
}

int top_regroup(struct top *top, const char *group_by) {
    struct tally_error error;
    tally_config *config = NULL;
    tally *t = NULL;
    int r = configure(top, group_by, &config, &error);
    if (r >= 0)
        r = open_collector(config, top->t, &t, &error);
    if (r < 0) {
        say(top, 'E', error.text);
        tally_config_free(config);
        return r;
    }
    tally_free(top->t);
    tally_config_free(top->config);
    top->t = t;
    top->config = config;
    top->model.only_group[0] = '\0';
    snprintf(top->group_by, sizeof(top->group_by), "%s", *group_by ? group_by : "nothing");
    return collect(top, true);
}

int top_set_interval(struct top *top, const char *text) {
    struct tally_error error;
    tally_config *config;
    char duration[64];
    int r = tally_config_new(&config);
    if (r < 0)
        return r;
    const bool is_duration = text_duration(text, 1000, duration, sizeof(duration));
    r = tally_config_set(config, "interval", is_duration ? duration : text, &error);
    if (r < 0)
        say(top, 'E', error.text);
    else
        (void)tally_config_interval(config, &top->interval_ns);
    tally_config_free(config);
    return r;
}

/* ---- Batch --------------------------------------------------------------------------------- */

static void write_batch(const struct top *top, bool is_first, FILE *to) {
    const size_t width = SIZE_MAX / 2; /* nothing is cut */
    if (!is_first)
        putc('\n', to);
    for (size_t i = 0; i < TOP_HEAD_LINES; i++) {
        top_write_head(top, i, to, width);
        putc('\n', to);
    }
    putc('\n', to);
    top_write_titles(top, to, width);
    putc('\n', to);
    for (size_t i = 0; i < top->model.row_count; i++) {
        top_write_row(top, &top->model.rows[i], false, to, width);
        putc('\n', to);
    }
}

/* -errno; -ECANCELED: asked to stop while nobody reads. */
static int print(struct top *top, bool is_first) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return -ENOMEM;
    if (cli_flag(top->cli, "json"))
        top_write_json(top, to);
    else
        write_batch(top, is_first, to);
    const bool has_failed = ferror(to);
    int r = fclose(to) == 0 && !has_failed
                ? service_write(STDOUT_FILENO, text, len, &top->signals)
                : -ENOMEM;
    free(text);
    return r;
}

/* Without a count it goes on until it is stopped. */
static int batch(struct top *top, uint64_t count) {
    uint64_t beat_ns = service_now_ns();
    if (top_collect(top) < 0)
        return CLI_FAILED;
    for (uint64_t done = 0; count == 0 || done < count; done++) {
        beat_ns = service_next_beat_ns(beat_ns, top->interval_ns, service_now_ns());
        while (!top->signals.stop && service_now_ns() < beat_ns) {
            struct pollfd fd = {.fd = top->signals.fd, .events = POLLIN};
            service_poll(&fd, 1, beat_ns);
            service_signals_take(&top->signals);
        }
        if (top->signals.stop)
            return CLI_DONE;
        if (top_collect(top) < 0)
            return CLI_FAILED;
        int r = print(top, done == 0);
        if (r == -ECANCELED)
            return CLI_DONE;
        if (r < 0) {
            cli_say(&program, 'E', "cannot write to standard output: %s", strerror(-r));
            return CLI_FAILED;
        }
    }
    return CLI_DONE;
}

/* ---- The command line ------------------------------------------------------------------------ */

static int read_count(const struct cli *cli, uint64_t *ret) {
    const char *text = cli_flag(cli, "iterations");
    char *end;
    *ret = 0;
    if (!text)
        return 0;
    errno = 0;
    *ret = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (*ret > 0 && errno == 0 && *end == '\0')
        return 0;
    cli_say(&program, 'E', "--iterations got \"%s\"; expected a count from 1 on", text);
    return -EINVAL;
}

static int read_view(const struct cli *cli, struct top_model *model) {
    const char *view = cli_flag(cli, "view"), *sort = cli_flag(cli, "sort");
    if (view && strcmp(view, "processes") == 0) {
        model->view = TOP_PROCESSES;
    } else if (view && strcmp(view, "groups") != 0) {
        cli_say(&program, 'E', "--view got \"%s\"; expected groups or processes", view);
        return -EINVAL;
    }
    model->is_tree = cli_flag(cli, "tree") != NULL;
    if (!sort)
        return 0;
    model->is_reversed = sort[0] == '-';
    if (top_model_find(model->view, sort + model->is_reversed, &model->sort) == 0)
        return 0;
    cli_say(&program, 'E', "--sort got \"%s\"; expected the title of a column, such as rss", sort);
    return -EINVAL;
}

static void name_keys(struct top *top) {
    size_t len = 0;
    top->group_by[0] = '\0';
    for (size_t i = 0; i < top->cli->given_count; i++) {
        const struct cli_given *given = &top->cli->given[i];
        if (given->is_option && strcmp(given->name, "group-by") == 0 &&
            len < sizeof(top->group_by))
            len += (size_t)snprintf(top->group_by + len, sizeof(top->group_by) - len, "%s%s",
                                    len ? "," : "", given->value);
    }
    if (len == 0) /* the library tells the first of several keys only */
        snprintf(top->group_by, sizeof(top->group_by), "%s",
                 tally_config_is_given(top->config, "group-by") ? "the configuration" : "name");
}

/* The status to exit with, or -1. */
static int begin(struct top *top, uint64_t *ret_count) {
    static const int pokes[] = {SIGWINCH, 0};
    struct tally_error error;
    uint64_t interval_ns;
    if (read_count(top->cli, ret_count) < 0 || read_view(top->cli, &top->model) < 0)
        return CLI_MISUSED;
    /* command lines and files hold secrets: show what whoever asks could read as well */
    int r = rights_of_invoker();
    if (r < 0) {
        cli_say(&program, 'E', "cannot give up the rights that the program's file brings: %s",
                strerror(-r));
        return CLI_FAILED;
    }
    if (configure(top, NULL, &top->config, &error) < 0) {
        cli_say(&program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    cli_warn(top->cli, top->config, NULL);
    top->interval_ns = tally_config_interval(top->config, &interval_ns) == 1
                           ? interval_ns
                           : DEFAULT_INTERVAL_S * NS_PER_S;
    name_keys(top);
    r = service_signals_open(&top->signals, pokes);
    if (r < 0) {
        cli_say(&program, 'E', "cannot prepare for signals: %s", strerror(-r));
        return CLI_FAILED;
    }
    r = open_collector(top->config, NULL, &top->t, &error);
    if (r < 0) {
        cli_say(&program, 'E', "%s", error.text);
        return r == -EINVAL ? CLI_MISUSED : CLI_FAILED;
    }
    return -1;
}

static int top_main(struct cli *cli) {
    struct top top = {.cli = cli, .signals.fd = -1};
    const bool is_batch = cli_flag(cli, "batch") || cli_flag(cli, "json");
    uint64_t count;
    if (top_model_new(&top.model) < 0) {
        cli_say(&program, 'E', "this library lacks a metric that it needs");
        return CLI_FAILED;
    }
#ifndef HAVE_NCURSES
    if (!is_batch) {
        cli_say(&program, 'E', "this build has no ncurses to draw with; expected -b or --json");
        return CLI_MISUSED;
    }
#endif
    int status = is_batch || top_screen_is_possible(&program) ? begin(&top, &count) : CLI_MISUSED;
    if (status < 0)
        status = is_batch ? batch(&top, count) : top_screen(&top, count);
    top_model_free(&top.model);
    tally_free(top.t);
    tally_config_free(top.config);
    if (top.signals.fd >= 0)
        close(top.signals.fd);
    return status;
}

const struct verb verb_top = {
    .name = "top",
    .short_help = "show what uses the host now",
    .program = &program,
    .main = top_main,
};
