/* SPDX-License-Identifier: MIT */
#include "look.h"

#include "rights.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int look_begin(struct look *look, const struct cli *cli) {
    struct tally_error error;
    *look = (struct look){.program = cli->program};
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    int r = rights_of_invoker();
    if (r < 0) {
        cli_say(cli->program, 'E', "cannot give up the rights that the program's file brings: %s",
                strerror(-r));
        return CLI_FAILED;
    }
    if (cli_configure_look(cli, &look->config, &error) < 0) {
        cli_say(cli->program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    look->procfs = tally_config_get(look->config, "procfs");
    /* source bpf takes longer to load than /proc to be read once */
    cli_prefer_procfs(look->config);
    return -1;
}

void look_set(struct look *look, const char *name, const char *value) {
    struct tally_error unused;
    tally_config_set(look->config, name, value, &unused);
}

int look_take_seconds(struct cli *cli) {
    char text[64];
    for (size_t i = 0; i < cli->given_count; i++) {
        struct cli_given *given = &cli->given[i];
        if (!given->is_option || strcmp(given->name, "interval") != 0 ||
            !text_duration(given->value, 1000, text, sizeof(text)))
            continue; /* what is wrong with it the option says */
        char *copy = strdup(text);
        if (!copy) {
            cli_say(cli->program, 'E', "out of memory");
            return -ENOMEM;
        }
        free(given->copy);
        given->value = given->copy = copy;
    }
    return 0;
}

static void wait_ns(uint64_t ns) {
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

/* With hidepid=2 nothing but our own processes is listed. */
static void say_hidden(const struct look *look) {
    size_t metric;
    uint64_t is_partial;
    if (tally_metric_find("partial_visibility", &metric) == 0 &&
        tally_snapshot_value(look->snapshot, 0, metric, &is_partial) && is_partial)
        cli_say(look->program, 'W',
                "the options that %s is mounted with (hidepid) hide processes of other users, "
                "which are missing here", look->procfs);
}

int look_at(struct look *look, unsigned keep, bool brief, uint64_t over_ns) {
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .only_looks = true, .count_lifetimes = true, .keep = keep,
        .brief = brief};
    struct tally_error error;
    int r = tally_new(look->config, &opts, &look->t, &error);
    if (r < 0) {
        cli_say(look->program, 'E', "%s", error.text);
        return r == -EINVAL ? CLI_MISUSED : CLI_FAILED;
    }
    r = tally_collect(look->t, &look->snapshot);
    if (r == 0 && over_ns) {
        wait_ns(over_ns);
        r = tally_collect(look->t, &look->snapshot);
    }
    if (r < 0) {
        cli_say(look->program, 'E', "cannot read the processes below %s: %s", look->procfs,
                strerror(-r));
        return CLI_FAILED;
    }
    say_hidden(look);
    return -1;
}

void look_end(struct look *look) {
    tally_free(look->t);
    tally_config_free(look->config);
}

size_t look_find(const struct look *look, pid_t pid) {
    size_t low = 0, high = tally_snapshot_processes(look->snapshot);
    const size_t count = high;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (tally_snapshot_process(look->snapshot, middle)->pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && tally_snapshot_process(look->snapshot, low)->pid == pid ? low : SIZE_MAX;
}

const char *look_group(const struct look *look, size_t process) {
    const size_t group = tally_snapshot_process(look->snapshot, process)->group;
    return group == TALLY_NO_GROUP ? NULL : tally_snapshot_group_name(look->snapshot, group);
}

int look_finish_output(const struct cli_program *program) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CLI_DONE;
    if (errno != EPIPE)
        cli_say(program, 'E', "cannot write to standard output: %s", strerror(errno));
    return CLI_FAILED;
}
