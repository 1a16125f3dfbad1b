/* SPDX-License-Identifier: MIT */
/* run and attach. */
#include "child.h"
#include "verb.h"
#include "worker.h"
#include "follow.h"
#include "text.h"
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The flags are denet's as far as it has them. */
#define FLAGS_OF_BOTH                                                                           \
    {.name = "json", .help = "Write samples and summary to standard output as JSON, a record a " \
                             "line; what the command itself writes there goes to standard "      \
                             "error."},                                                          \
    {.name = "jsonl", .means = "json"}, {.name = "j", .means = "json"},                          \
    {.name = "csv", .help = "The same as CSV, without a summary."},                              \
    {.name = "out", .argument = "FILE", .help = "Append the JSON records to this file."},        \
    {.name = "o", .means = "out"},                                                               \
    {.name = "live", .help = "Write a line to standard error for each sample."},                 \
    {.name = "quiet", .help = "No summary on standard error."},                                  \
    {.name = "q", .means = "quiet"},                                                             \
    {.name = "interval", .argument = "DURATION",                                                 \
     .help = "Time between two samples in the first second. A plain number is in milliseconds. " \
             "Default: 100ms"},                                                                  \
    {.name = "i", .means = "interval"},                                                          \
    {.name = "max-interval", .argument = "DURATION",                                             \
     .help = "Time between two samples from the tenth second on. Default: 1s"},                  \
    {.name = "m", .means = "max-interval"},                                                      \
    {.name = "exclude-children",                                                                 \
     .help = "Samples of the process alone. The summary is of all."},                            \
    {.name = "env", .help = "Begin with a record about the host."},                              \
    {.name = "write-env", .means = "env"},                                                       \
    {.name = "control", .argument = "FD",                                                        \
     .help = "For programs: write the records to this socket, and take samples as is asked for "  \
             "there."},                                                                           \
    {.name = "d", .means = "duration"}, {.name = "no-update"}, {.name = "n", .means = "no-update"}, \
    {.name = "no-polling"}

static const struct cli_flag run_flags[] = {
    FLAGS_OF_BOTH,
    {.name = "duration", .argument = "DURATION",
     .help = "End the command and all that it has started after this time: by SIGTERM, and by "
             "SIGKILL 10 seconds later. A plain number is in seconds. The exit status is then 124."},
    {.name = "timeout", .means = "duration"},
    {.name = "cgroup", .argument = "auto|yes|no",
     .help = "Give the command a control group of its own, which tells its CPU time and, below the "
             "topmost group, the peak of its memory: if that may be made, in any case, or never. "
             "Default: auto"},
    {.name = "session", .help = "Give the command a session of its own, without a terminal."},
    {.name = "wait", .help = "Stay until all that the command has started has ended, and not "
                             "only itself."},
    {.name = "since-process-start"}, /* as it is anyway */
};
static const struct cli_program run_program = {
    .name = "proctally run",
    .summary = "Runs a command, and tells what it and all that descends from it have used. The "
               "command has the terminal, and its exit status is passed on.",
    .is_verb = true,
    .flags = run_flags,
    .flag_count = sizeof(run_flags) / sizeof(run_flags[0]),
    .arguments = "[--] COMMAND [ARGUMENT]...",
    .arguments_are_command = true,
};

static const struct cli_flag attach_flags[] = {
    FLAGS_OF_BOTH,
    {.name = "duration", .argument = "DURATION",
     .help = "Stop watching after this time. A plain number is in seconds."},
    {.name = "since-process-start",
     .help = "Count what the processes have used in their whole lives, not only from now on."},
};
static const struct cli_program attach_program = {
    .name = "proctally attach",
    .summary = "Watches processes that run already, and all that descends from them, until they "
               "end or Ctrl-C.",
    .is_verb = true,
    .flags = attach_flags,
    .flag_count = sizeof(attach_flags) / sizeof(attach_flags[0]),
    .arguments = "PID...",
};

/* Reads a duration; a plain number is in units of so many milliseconds. Says what is wrong
 * with it. */
static int read_duration(const struct cli *cli, const char *flag, unsigned unit_ms,
                         uint64_t *ret_ns) {
    const char *value = cli_flag(cli, flag);
    tally_config *config = NULL;
    struct tally_error error;
    char text[64];
    if (!value)
        return 0;
    int r = text_duration(value, unit_ms, text, sizeof(text)) ? tally_config_new(&config) : -EINVAL;
    /* the option of that name reads durations as they are written everywhere else */
    if (r == 0)
        r = tally_config_set(config, "interval", text, &error);
    if (r == 0)
        tally_config_interval(config, ret_ns);
    else
        cli_say(cli->program, 'E',
                "--%s got \"%s\"; expected a duration from 10ms on, as in 500ms or 2s", flag,
                value);
    tally_config_free(config);
    return r;
}

/* It is nobody else's: the command does not get it. Says what is wrong. */
static int read_control(const struct cli *cli, int *ret_fd) {
    const char *value = cli_flag(cli, "control");
    if (!value)
        return 0;
    char *end;
    const long fd = strtol(value, &end, 10);
    struct stat info;
    if (*end || fd <= STDERR_FILENO || fd > INT_MAX || fstat((int)fd, &info) < 0 || !S_ISSOCK(info.st_mode)) {
        cli_say(cli->program, 'E', "--control got \"%s\"; expected the number of an open socket",
                value);
        return -EINVAL;
    }
    *ret_fd = (int)fd;
    return fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/* Says what is wrong. -errno. */
static int read_options(const struct cli *cli, struct watch_options *ret) {
    *ret = (struct watch_options){
        .excludes_children = cli_flag(cli, "exclude-children"),
        .from_process_start = cli_flag(cli, "since-process-start"),
        .waits_for_orphans = cli_flag(cli, "wait"),
        .is_live = cli_flag(cli, "live"),
        .is_quiet = cli_flag(cli, "quiet"),
        .writes_env = cli_flag(cli, "env"),
        .writes_json = cli_flag(cli, "json"),
        .writes_csv = cli_flag(cli, "csv"),
        .out = cli_flag(cli, "out"),
        .gets_session = cli_flag(cli, "session"),
        .base_ns = 100 * NS_PER_MS,
        .most_ns = 1000 * NS_PER_MS,
    };
    int r = read_duration(cli, "interval", 1, &ret->base_ns);
    if (r == 0)
        r = read_duration(cli, "max-interval", 1, &ret->most_ns);
    if (r == 0)
        r = read_duration(cli, "duration", 1000, &ret->duration_ns);
    if (r == 0 && ret->writes_json && ret->writes_csv) {
        cli_say(cli->program, 'E', "--json and --csv are both given; expected one of them");
        r = -EINVAL;
    }
    const char *cgroup = cli_flag(cli, "cgroup");
    if (cgroup && strcmp(cgroup, "yes") == 0)
        ret->cgroup = CGROUP_YES;
    else if (cgroup && strcmp(cgroup, "no") == 0)
        ret->cgroup = CGROUP_NO;
    else if (r == 0 && cgroup && strcmp(cgroup, "auto") != 0) {
        cli_say(cli->program, 'E', "--cgroup got \"%s\"; expected auto, yes or no", cgroup);
        r = -EINVAL;
    }
    if (r == 0)
        r = read_control(cli, &ret->control_fd);
    if (ret->most_ns < ret->base_ns)
        ret->most_ns = ret->base_ns;
    return r;
}

struct job {
    const struct cli *cli;
    const struct watch_options *options;
};

static int do_job(void *data) {
    const struct job *job = data;
    struct summary summary;
    int status = watch_command(job->cli, job->options, job->cli->arguments, &summary);
    summary_clear(&summary);
    return status;
}

static int run(struct cli *cli) {
    struct watch_options options;
    if (read_options(cli, &options) < 0)
        return WATCH_FAILED;
    options.from_process_start = false; /* what it was before the command is ours */
    if (cli->argument_count == 0) {
        cli_say(cli->program, 'E', "expected a command, as in proctally run sleep 1");
        return WATCH_FAILED;
    }
    struct job job = {cli, &options};
    return has_children() ? worker_run(do_job, &job) : do_job(&job);
}

/* Whoever is at the control socket may be what is watched, and we are no part of that: not its
 * child any more, nor is what we were when it has waited for that, which it does at once. */
static int leave_parent(void) {
    const pid_t before = getpid(), pid = fork();
    if (pid > 0)
        _exit(CLI_DONE);
    for (int tries = 1000; pid == 0 && tries > 0 && kill(before, 0) == 0; tries--)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return pid;
}

static int attach(struct cli *cli) {
    struct watch_options options;
    struct summary summary;
    if (read_options(cli, &options) < 0)
        return CLI_MISUSED;
    pid_t pids[WATCH_MOST];
    for (size_t i = 0; i < cli->argument_count && i < WATCH_MOST; i++) {
        const char *text = cli->arguments[i];
        pids[i] = cli_parse_pid(text, strlen(text));
        if (pids[i] == 0) {
            cli_say(cli->program, 'E', "got \"%s\"; expected the number of a process", text);
            return CLI_MISUSED;
        }
    }
    if (cli->argument_count == 0 || cli->argument_count > WATCH_MOST) {
        cli_say(cli->program, 'E',
                "got %zu processes; expected the numbers of 1 to %d, as in proctally attach 1",
                cli->argument_count, WATCH_MOST);
        return CLI_MISUSED;
    }
    if (options.control_fd && leave_parent() < 0) {
        cli_say(cli->program, 'E', "cannot start a process: %s", strerror(errno));
        return CLI_FAILED;
    }
    int status = watch_processes(cli, &options, pids, cli->argument_count, &summary);
    summary_clear(&summary);
    return status;
}

const struct verb verb_run = {
    .name = "run",
    .short_help = "run a command, and tell what it used with all that it started",
    .program = &run_program,
    .main = run,
};

const struct verb verb_attach = {
    .name = "attach",
    .short_help = "the same of processes that run already",
    .program = &attach_program,
    .main = attach,
};
