/* SPDX-License-Identifier: MIT */
/* summary and compare: runs that are over. */
#include "follow.h"
#include "json.h"
#include "look.h"
#include "runs.h"
#include "text.h"
#include "verb.h"
#include "worker.h"
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- summary --------------------------------------------------------------------------- */

static const struct cli_flag summary_flags[] = {
    {.name = "json", .help = "Write a JSON record for each run."},
    {.name = "j", .means = "json"},
};
static const struct cli_program summary_program = {
    .name = "proctally summary",
    .summary = "Makes the summaries of runs from the records that proctally run wrote.",
    .is_verb = true,
    .flags = summary_flags,
    .flag_count = sizeof(summary_flags) / sizeof(summary_flags[0]),
    .arguments = "FILE...",
};

static int summarize(struct cli *cli) {
    struct runs runs = {0};
    struct tally_error error;
    if (cli->argument_count == 0) {
        cli_say(cli->program, 'E', "expected files, as proctally run --out FILE writes them");
        return CLI_MISUSED;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < cli->argument_count; i++)
        r = runs_read(&runs, cli->arguments[i], &error);
    for (size_t i = 0; r == 0 && i < runs.count; i++) {
        if (cli_flag(cli, "json"))
            summary_json(stdout, &runs.items[i]);
        else
            summary_print(stdout, &runs.items[i]);
    }
    runs_clear(&runs);
    if (r < 0) {
        cli_say(cli->program, 'E', "%s", error.text);
        return CLI_FAILED;
    }
    return look_finish_output(cli->program);
}

const struct verb verb_summary = {
    .name = "summary",
    .short_help = "tell of runs that were recorded",
    .program = &summary_program,
    .main = summarize,
};

/* ---- compare ------------------------------------------------------------------------------ */

static const struct cli_flag compare_flags[] = {
    {.name = "runs", .argument = "COUNT",
     .help = "The arguments are commands for the shell: run each of them so many times, in turn."},
    {.name = "json", .help = "Write an object of all figures instead of a table."},
    {.name = "j", .means = "json"},
};
static const struct cli_program compare_program = {
    .name = "proctally compare",
    .summary = "Lays two runs side by side, or the means of many: two files that proctally run "
               "--out has written, or with --runs two commands.",
    .is_verb = true,
    .flags = compare_flags,
    .flag_count = sizeof(compare_flags) / sizeof(compare_flags[0]),
    .arguments = "FILE|COMMAND FILE|COMMAND",
};

enum unit { SECONDS, BYTES, COUNT };

struct aspect {
    const char *key, *name;
    enum unit unit;
    /* False: not known of this run. */
    bool (*value)(const struct summary *s, enum figure figure, double *ret);
    enum figure figure;
};

static bool wall(const struct summary *s, enum figure figure, double *ret) {
    (void)figure;
    *ret = (double)s->wall_ns / 1e9;
    return true;
}

static bool cpu(const struct summary *s, enum figure figure, double *ret) {
    (void)figure;
    *ret = (double)figures_cpu_ns(&s->figures) / 1e9;
    return (s->figures.known & FIGURES_CPU) == FIGURES_CPU;
}

static bool largest(const struct summary *s, enum figure figure, double *ret) {
    (void)figure;
    *ret = (double)s->largest_rss_bytes;
    return s->largest_rss_bytes != 0;
}

static bool cgroup_peak(const struct summary *s, enum figure figure, double *ret) {
    (void)figure;
    *ret = (double)s->cgroup_peak_bytes;
    return s->cgroup_peak_bytes != 0;
}

static bool pss_sum(const struct summary *s, enum figure figure, double *ret) {
    (void)figure;
    *ret = (double)s->pss_peak_bytes;
    return s->pss_peak_bytes != 0;
}

static bool rss_sum(const struct summary *s, enum figure figure, double *ret) {
    (void)figure;
    *ret = (double)s->rss_sum_peak_bytes;
    return s->rss_sum_peak_bytes != 0;
}

static bool one(const struct summary *s, enum figure figure, double *ret) {
    *ret = (double)s->figures.value[figure] / (figure_is_time(figure) ? 1e9 : 1);
    return s->figures.known & FIGURE(figure);
}

/* Of TCP, the figure, and UDP, the next one. */
static bool both_protocols(const struct summary *s, enum figure figure, double *ret) {
    const uint64_t both = FIGURE(figure) | FIGURE(figure + 1);
    *ret = (double)s->figures.value[figure] + (double)s->figures.value[figure + 1];
    return (s->figures.known & both) == both;
}
_Static_assert(FIGURE_RECEIVED_UDP == FIGURE_RECEIVED_TCP + 1 &&
                   FIGURE_SENT_UDP == FIGURE_SENT_TCP + 1,
               "both protocols are neighbours");

static const struct aspect aspects[] = {
    {"wall_s", "wall", SECONDS, wall, 0},
    {"cpu_s", "cpu", SECONDS, cpu, 0},
    {"cpu_user_s", "  user", SECONDS, one, FIGURE_CPU_USER},
    {"cpu_system_s", "  system", SECONDS, one, FIGURE_CPU_SYSTEM},
    {"max_rss_largest_process_bytes", "largest process", BYTES, largest, 0},
    {"cgroup_peak_memory_bytes", "memory.peak", BYTES, cgroup_peak, 0},
    {"peak_mem_pss_bytes", "sum of PSS", BYTES, pss_sum, 0},
    {"peak_mem_rss_bytes", "sum of RSS", BYTES, rss_sum, 0},
    {"disk_read_bytes", "disk read", BYTES, one, FIGURE_DISK_READ},
    {"disk_write_bytes", "disk written", BYTES, one, FIGURE_DISK_WRITTEN},
    {"syscall_read_bytes", "calls read", BYTES, one, FIGURE_IO_READ},
    {"syscall_write_bytes", "calls written", BYTES, one, FIGURE_IO_WRITTEN},
    {"network_receive_bytes", "received", BYTES, both_protocols, FIGURE_RECEIVED_TCP},
    {"network_transmit_bytes", "sent", BYTES, both_protocols, FIGURE_SENT_TCP},
    {"processes_started", "processes", COUNT, one, FIGURE_STARTS},
    {"page_faults_minor", "minor faults", COUNT, one, FIGURE_FAULTS_MINOR},
    {"page_faults_major", "major faults", COUNT, one, FIGURE_FAULTS_MAJOR},
};
#define ASPECTS (sizeof(aspects) / sizeof(aspects[0]))

struct spread {
    size_t count; /* of runs in which it is known */
    double mean, deviation;
};

static struct spread spread_of(const struct runs *runs, const struct aspect *aspect) {
    struct spread s = {0};
    double squares = 0, value;
    for (size_t i = 0; i < runs->count; i++) { /* Welford's */
        if (!aspect->value(&runs->items[i], aspect->figure, &value))
            continue;
        s.count++;
        const double off = value - s.mean;
        s.mean += off / (double)s.count;
        squares += off * (value - s.mean);
    }
    s.deviation = s.count > 1 ? sqrt(squares / (double)(s.count - 1)) : 0;
    return s;
}

static const char *amount(enum unit unit, double value, char ret[AMOUNT_SIZE]) {
    switch (unit) {
    case SECONDS:
        snprintf(ret, AMOUNT_SIZE, "%.3fs", value);
        return ret;
    case BYTES:
        return amount_bytes((uint64_t)value, ret);
    case COUNT:
        snprintf(ret, AMOUNT_SIZE, "%.0f", value);
        return ret;
    }
    return "";
}

static void print_spread(const struct aspect *aspect, const struct spread *s) {
    char mean[AMOUNT_SIZE], deviation[AMOUNT_SIZE], text[2 * AMOUNT_SIZE + 8];
    if (s->count > 1)
        snprintf(text, sizeof(text), "%s +-%s", amount(aspect->unit, s->mean, mean),
                 amount(aspect->unit, s->deviation, deviation));
    else
        snprintf(text, sizeof(text), "%s", s->count ? amount(aspect->unit, s->mean, mean) : "-");
    printf("  %20s", text);
}

static void print_table(const struct runs sides[2]) {
    for (int side = 0; side < 2; side++) {
        const struct runs *runs = &sides[side];
        const char *command = runs->items[0].command ? runs->items[0].command : "";
        printf("%c: ", 'A' + side);
        text_write(stdout, command, strlen(command), 60);
        printf(" (%zu run%s)\n", runs->count, runs->count == 1 ? "" : "s");
    }
    printf("\n%-15s  %20s  %20s  %8s\n", "", "A", "B", "B : A");
    for (size_t i = 0; i < ASPECTS; i++) {
        const struct spread a = spread_of(&sides[0], &aspects[i]);
        const struct spread b = spread_of(&sides[1], &aspects[i]);
        if (a.count + b.count == 0)
            continue;
        printf("%-15s", aspects[i].name);
        print_spread(&aspects[i], &a);
        print_spread(&aspects[i], &b);
        if (a.count && b.count && a.mean > 0)
            printf("  %8.3f\n", b.mean / a.mean);
        else
            printf("  %8s\n", "-");
    }
}

static void write_json(const struct runs sides[2]) {
    bool is_first = true;
    putchar('{');
    for (size_t i = 0; i < ASPECTS; i++) {
        const struct spread a = spread_of(&sides[0], &aspects[i]);
        const struct spread b = spread_of(&sides[1], &aspects[i]);
        bool first = true;
        json_key(stdout, &is_first, aspects[i].key);
        putchar('{');
        for (int side = 0; side < 2; side++) {
            const struct spread *s = side ? &b : &a;
            if (s->count == 0)
                continue;
            json_key(stdout, &first, side ? "b" : "a");
            printf("{\"runs\":%zu,\"mean\":%.9g", s->count, s->mean);
            if (s->count > 1)
                printf(",\"deviation\":%.9g", s->deviation);
            putchar('}');
        }
        putchar('}');
    }
    puts("}");
}

/* One run, in a process of its own: else what it leaves behind would count for the next one,
 * and the size that we have grown to for each of them. */
struct turn {
    const struct cli *cli;
    const char *command;
    int fd; /* where its summary goes, without what that points to */
};

static int take_turn(void *data) {
    const struct turn *turn = data;
    const struct watch_options options = {.is_quiet = true,
                                          .output_is_ours = true,
                                          .base_ns = 100 * NS_PER_MS,
                                          .most_ns = 1000 * NS_PER_MS};
    char *command[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char *)(uintptr_t)turn->command,
                       NULL};
    struct summary summary;
    int status = watch_command(turn->cli, &options, command, &summary);
    struct summary bare = summary;
    bare.command = NULL;
    bare.programs = NULL;
    bare.program_count = 0;
    bare.source = "";
    if (write(turn->fd, &bare, sizeof(bare)) != (ssize_t)sizeof(bare))
        status = status ? status : WATCH_FAILED;
    summary_clear(&summary);
    return status;
}

/* Says what is wrong. The status to exit with. */
static int run_once(const struct cli *cli, const char *command, struct runs *runs) {
    int fds[2];
    struct summary summary;
    if (pipe(fds) < 0) {
        cli_say(cli->program, 'E', "cannot start a process: %s", strerror(errno));
        return CLI_FAILED;
    }
    struct turn turn = {cli, command, fds[1]};
    int status = worker_run(take_turn, &turn);
    close(fds[1]);
    const bool has_summary = read(fds[0], &summary, sizeof(summary)) == (ssize_t)sizeof(summary);
    close(fds[0]);
    if (status != 0 || !has_summary) {
        cli_say(cli->program, 'E', "%s left with %d, expected 0", command, status);
        return status > 128 ? status : CLI_FAILED;
    }
    summary.source = "";
    summary.command = strdup(command);
    if (!summary.command || runs_add(runs, &summary) < 0) {
        cli_say(cli->program, 'E', "out of memory");
        free(summary.command);
        return CLI_FAILED;
    }
    return CLI_DONE;
}

static int run_in_turn(const struct cli *cli, unsigned long count, struct runs sides[2]) {
    int status = CLI_DONE;
    for (unsigned long i = 0; status == CLI_DONE && i < count; i++)
        for (int side = 0; status == CLI_DONE && side < 2; side++)
            status = run_once(cli, cli->arguments[side], &sides[side]);
    return status;
}

static int compare(struct cli *cli) {
    struct runs sides[2] = {{0}, {0}};
    struct tally_error error;
    const char *text = cli_flag(cli, "runs");
    char *end = NULL;
    const unsigned long count = text && text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (cli->argument_count != 2) {
        cli_say(cli->program, 'E', "expected two files, or two commands and --runs");
        return CLI_MISUSED;
    }
    if (text && (count == 0 || *end || count > 100000)) {
        cli_say(cli->program, 'E', "--runs got \"%s\"; expected 1 to 100000", text);
        return CLI_MISUSED;
    }
    int status = text ? run_in_turn(cli, count, sides) : CLI_DONE;
    for (int side = 0; !text && status == CLI_DONE && side < 2; side++)
        if (runs_read(&sides[side], cli->arguments[side], &error) < 0) {
            cli_say(cli->program, 'E', "%s", error.text);
            status = CLI_FAILED;
        }
    if (status == CLI_DONE) {
        if (cli_flag(cli, "json"))
            write_json(sides);
        else
            print_table(sides);
        status = look_finish_output(cli->program);
    }
    runs_clear(&sides[0]);
    runs_clear(&sides[1]);
    return status;
}

const struct verb verb_compare = {
    .name = "compare",
    .short_help = "lay two recorded runs, or two commands, side by side",
    .program = &compare_program,
    .main = compare,
};
