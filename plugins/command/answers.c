/* SPDX-License-Identifier: MIT */
/* explain, config and metrics: what the agents' programs answer by flags. */
#include "verb.h"

#include <string.h>

/* ---- explain ---------------------------------------------------------------------- */

static const struct cli_program explain_program = {
    .name = "proctally explain",
    .summary = "Tells which filter, rule or ancestor decides about a process, and why the others "
               "do not; or what is in the group other.",
    .is_verb = true,
    .arguments = "PID|other",
};

static int explain(struct cli *cli) {
    if (cli->argument_count == 1)
        return cli_explain(cli, cli->arguments[0]);
    cli_say(cli->program, 'E', "expected the number of one process, as in proctally explain 1");
    return CLI_MISUSED;
}

const struct verb verb_explain = {
    .name = "explain",
    .short_help = "tell why a process is in its group",
    .program = &explain_program,
    .main = explain,
};

/* ---- config ------------------------------------------------------------------------- */

static const struct cli_program config_program = {
    .name = "proctally config",
    .summary = "Says whether the configuration is valid (status 0) or what is wrong with it "
               "(status 2).",
    .is_verb = true,
    .arguments = "check",
};

static int config(struct cli *cli) {
    if (cli->argument_count == 1 && strcmp(cli->arguments[0], "check") == 0)
        return cli_check_config(cli);
    cli_say(cli->program, 'E', "expected proctally config check --config FILE");
    return CLI_MISUSED;
}

const struct verb verb_config = {
    .name = "config",
    .short_help = "check a configuration file",
    .program = &config_program,
    .main = config,
};

/* ---- metrics ------------------------------------------------------------------------- */

static const struct cli_flag metrics_flags[] = {
    {.name = "here",
     .help = "Show which of them this host gives, by which means, and what is missing for the "
             "rest."},
};
static const struct cli_program metrics_program = {
    .name = "proctally metrics",
    .summary = "Shows all metrics with their kind, unit and meaning.",
    .is_verb = true,
    .flags = metrics_flags,
    .flag_count = sizeof(metrics_flags) / sizeof(metrics_flags[0]),
};

static int metrics(struct cli *cli) {
    return cli_list_metrics(cli, cli_flag(cli, "here") != NULL);
}

const struct verb verb_metrics = {
    .name = "metrics",
    .short_help = "list the metrics, or those of this host",
    .program = &metrics_program,
    .main = metrics,
};
