/* SPDX-License-Identifier: MIT */
/* The command line that the programs share: flags from the catalogue of
 * options, and messages. */
#ifndef CLI_H
#define CLI_H

#include "proctally.h"

/* A flag that is no option of the catalogue, or another name for one. */
struct cli_flag {
    const char *name;
    const char *argument; /* what it takes, for --help; NULL: nothing */
    const char *means;    /* NULL, or the option or shared flag that it is another name of */
    const char *help;     /* NULL: taken for the sake of others' command lines, and not shown */
    bool is_switch;       /* its value is true or false, and may be left out: true */
    bool is_repeatable;
    bool may_be_empty; /* which means that it is not given */
};

struct cli;

struct cli_program {
    const char *name;
    const char *summary;
    bool telegraf_messages; /* "E! sentence" instead of "NAME: sentence" */
    bool once_without_interval; /* stays only if the option interval is given */
    bool is_verb; /* of the command proctally, where what the programs answer has verbs of its own */
    /* What may stand beside the flags, for --help: "[PID]..."; NULL: nothing. */
    const char *arguments;
    bool arguments_are_command; /* from the first of them on all belongs to another command */
    const struct cli_flag *flags; /* its own, shown before the shared ones */
    size_t flag_count;
    /* What its own flags mean together, before any of them is acted upon; or NULL. Says
     * what is wrong. -errno. */
    int (*settle)(struct cli *cli);
};

struct cli_given {
    const char *name; /* the catalogue's spelling */
    const char *value;
    char *copy; /* NULL, or what value points to, and is freed with it */
    bool is_option;
};

struct cli {
    const struct cli_program *program;
    struct cli_given *given; /* in the order of the command line */
    size_t given_count, given_size;
    char **arguments; /* ended by NULL, in the order of the command line; NULL: there are none */
    size_t argument_count;
};

/* Exit statuses of the programs. */
enum {
    CLI_DONE = 0,
    CLI_FAILED = 1, /* could not collect or write */
    CLI_MISUSED = 2 /* command line or configuration */
};

/* Parses the arguments and does what is the same for all programs: --help,
 * --version, --list-metrics, --check-config, --explain. Returns the status to
 * exit with, or -1 if the program shall start its own work. */
int cli_begin(struct cli *cli, const struct cli_program *program, int argc, char **argv);
void cli_end(struct cli *cli);

/* How many of the strings the flag at their beginning takes up: 1, or 2 with its value; 0: it
 * is none that the program knows. */
int cli_flag_length(const struct cli_program *program, char *const *strings);

/* All that was printed is out: status 0. If not, says so and returns status 1. */
int cli_end_output(const struct cli_program *program);

/* A number of a process, as an argument; 0: it is none. */
pid_t cli_parse_pid(const char *text, size_t len);

/* What the programs answer by flags, and the command by verbs. The status to exit with. */
int cli_check_config(const struct cli *cli);
int cli_explain(const struct cli *cli, const char *pid);
int cli_list_metrics(const struct cli *cli, bool here);

/* The value of a flag ("" if it takes none), NULL if it was not given. */
const char *cli_flag(const struct cli *cli, const char *name);
/* The same for the i-th of a flag that is repeatable. */
const char *cli_flag_nth(const struct cli *cli, const char *name, size_t i);
/* A flag whose value is true or false; `otherwise` if it was not given. */
bool cli_switch(const struct cli *cli, const char *name, bool otherwise);
/* Is this option of the catalogue on the command line? */
bool cli_has_option(const struct cli *cli, const char *name);
/* As if an option of the catalogue, or a flag, had been given. `name` must outlive the command
 * line. -ENOMEM. */
int cli_add(struct cli *cli, const char *name, const char *value);

/* A new configuration from the command line and the file that it names. */
int cli_configure(const struct cli *cli, tally_config **ret_config, struct tally_error *error);
/* The same for a person who looks, and to whom it does not matter which metrics and how many
 * groups an agent is sent. */
int cli_configure_look(const struct cli *cli, tally_config **ret_config,
                       struct tally_error *error);

/* Says what is taken but hardly meant, and was not in the configuration before (or NULL). */
void cli_warn(const struct cli *cli, tally_config *config, tally_config *before);

/* Does this run stay, or collect only once? */
bool cli_stays(const struct cli *cli, const tally_config *config);
/* A run that looks only once reads /proc, unless source bpf is asked for or pinned: what that
 * sees, it sees while it runs. */
void cli_choose_source(const struct cli *cli, tally_config *config);

/* The same for a run that is known to look only once. */
void cli_prefer_procfs(tally_config *config);

/* The source that a snapshot comes from, by name; NULL: there is no snapshot. */
const char *cli_source(const tally_snapshot *s);

/* One line on stderr; level is 'E', 'W' or 'I'. */
void cli_say(const struct cli_program *program, char level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
