/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include "rights.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HELP_WIDTH = 80,
    HELP_INDENT = 27 /* where the texts begin */
};

static const struct cli_flag shared_flags[] = {
    {.name = "config", .argument = "FILE",
     .help = "Read options from a YAML file. Those on the command line win."},
    {.name = "version", .help = "Show the version."},
    {.name = "help", .help = "Show this text."},
    /* From here on verbs do not have them. */
    {.name = "once", .help = "Collect and print once, then leave."},
    {.name = "check-config",
     .help = "Say whether the configuration is valid (status 0) or what is wrong with it "
             "(status 2)."},
    {.name = "explain", .argument = "PID",
     .help = "Tell which filter, rule or ancestor decides about a process, and why the others do "
             "not; or, for other, what is in the group other."},
    {.name = "explain-cost",
     .help = "Measure what each part of the work (see collect) costs here, and show it."},
    {.name = "unpin", .argument = "DIR",
     .help = "Take away what the option pin has left in the kernel at this directory."},
    {.name = "list-metrics", .help = "Show all metrics with their kind, unit and meaning."},
    {.name = "here",
     .help = "With --list-metrics: show which of them this host gives with this configuration, by "
             "which means, and what is missing for the rest."},
};

static size_t shared_flag_count(const struct cli_program *program) {
    return program->is_verb ? 3 : sizeof(shared_flags) / sizeof(shared_flags[0]);
}

const char *cli_source(const tally_snapshot *s) {
    static const char *const rows[] = {"source_procfs", "source_bpf", "source_darwin"};
    for (size_t i = 0; s && i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t metric;
        uint64_t value;
        if (tally_metric_find(rows[i], &metric) == 0 &&
            tally_snapshot_value(s, 0, metric, &value) && value)
            return rows[i] + strlen("source_");
    }
    return NULL;
}

void cli_say(const struct cli_program *program, char level, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0)
        return;
    /* file names and process names may hold anything; a message is one line */
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    if (program->telegraf_messages)
        fprintf(stderr, "%c! %s\n", level, text);
    else
        fprintf(stderr, "%s: %s\n", program->name, text);
}

/* The name of a flag as the tables have it, with '-' for '_'; "" if it is longer than any. */
static void spell(const char *name, size_t len, char *ret, size_t size) {
    size_t i = 0;
    for (; len < size && i < len; i++)
        ret[i] = name[i] == '_' ? '-' : name[i];
    ret[i] = '\0';
}

static const struct cli_flag *find_flag(const struct cli_flag *flags, size_t count,
                                        const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(flags[i].name, name) == 0)
            return &flags[i];
    return NULL;
}

/* A switch may stand alone; what follows it is its value only if it can be. */
static bool is_switch_value(const char *text) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
    for (size_t i = 0; text && i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

/* "true" or "false" for what is behind =, which may be a word of Go's programs as well
 * (strconv.ParseBool); NULL: it is none. */
static const char *switch_word(const char *text) {
    static const char *const on[] = {"true", "yes", "on", "1", "t", "T", "TRUE", "True"};
    static const char *const off[] = {"false", "no", "off", "0", "f", "F", "FALSE", "False"};
    for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++)
        if (strcmp(text, on[i]) == 0)
            return "true";
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
        if (strcmp(text, off[i]) == 0)
            return "false";
    return NULL;
}

const char *cli_flag_nth(const struct cli *cli, const char *name, size_t i) {
    for (size_t k = 0; k < cli->given_count; k++)
        if (!cli->given[k].is_option && strcmp(cli->given[k].name, name) == 0 && i-- == 0)
            return cli->given[k].value;
    return NULL;
}

const char *cli_flag(const struct cli *cli, const char *name) {
    return cli_flag_nth(cli, name, 0);
}

bool cli_switch(const struct cli *cli, const char *name, bool otherwise) {
    const char *value = cli_flag(cli, name);
    return value ? strcmp(value, "true") == 0 : otherwise;
}

bool cli_has_option(const struct cli *cli, const char *name) {
    for (size_t i = 0; i < cli->given_count; i++)
        if (cli->given[i].is_option && strcmp(cli->given[i].name, name) == 0)
            return true;
    return false;
}

static int add_given(struct cli *cli, struct cli_given given) {
    if (cli->given_count == cli->given_size) {
        size_t size = cli->given_size ? 2 * cli->given_size : 32;
        struct cli_given *more = realloc(cli->given, size * sizeof(*more));
        if (!more)
            return -ENOMEM;
        cli->given = more;
        cli->given_size = size;
    }
    cli->given[cli->given_count++] = given;
    return 0;
}

int cli_add(struct cli *cli, const char *name, const char *value) {
    struct cli_given given = {
        .name = name, .copy = strdup(value), .is_option = tally_option_find(name) != NULL};
    given.value = given.copy;
    int r = given.copy ? add_given(cli, given) : -ENOMEM;
    if (r < 0)
        free(given.copy);
    return r;
}

/* A flag that was found in the tables. */
struct known {
    const struct cli_flag *flag; /* or else it is an option of the catalogue */
    const char *name, *argument;
    bool is_switch;
};

/* Looks up what begins with one dash, as Telegraf's external plugins take it, or with two.
 * False: there is no such flag. *ret_value is what stands behind '=', or NULL. */
static bool find_known(const struct cli_program *program, const char *string, struct known *ret,
                       const char **ret_value) {
    const char *name = string + (string[1] == '-' ? 2 : 1);
    size_t len = strcspn(name, "=");
    *ret_value = name[len] == '=' ? name + len + 1 : NULL;

    char spelt[64];
    spell(name, len, spelt, sizeof(spelt));
    const struct cli_flag *flag = find_flag(program->flags, program->flag_count, spelt);
    const char *meant = flag && flag->means ? flag->means : spelt;
    if (flag && flag->means)
        flag = find_flag(program->flags, program->flag_count, meant);
    if (!flag)
        flag = find_flag(shared_flags, shared_flag_count(program), meant);
    const struct tally_option *option = flag ? NULL : tally_option_find(meant);
    if (flag)
        *ret = (struct known){flag, flag->name, flag->argument, flag->is_switch};
    else if (option)
        *ret = (struct known){NULL, option->name, option->argument,
                              option->type == TALLY_OPTION_SWITCH};
    return flag || option;
}

/* A flag that stands before another argument: is that its value? */
static bool takes_next(const struct known *known, const char *next) {
    return known->is_switch ? is_switch_value(next) : known->argument != NULL;
}

int cli_flag_length(const struct cli_program *program, char *const *strings) {
    struct known known;
    const char *value;
    if (strings[0][0] != '-' || !find_known(program, strings[0], &known, &value))
        return 0;
    return !value && strings[1] && takes_next(&known, strings[1]) ? 2 : 1;
}

static int add_flag(struct cli *cli, const char *argument, const struct known *known,
                    const char *value) {
    const struct cli_program *program = cli->program;
    if (!value && known->argument && !known->is_switch) {
        cli_say(program, 'E', "%s is the last argument; expected %s behind it", argument,
                known->argument);
        return -EINVAL;
    }
    if (value && !known->argument && !known->is_switch) {
        cli_say(program, 'E', "--%s got the value \"%s\"; expected none", known->name, value);
        return -EINVAL;
    }
    if (!value && known->is_switch)
        value = "true";
    if (known->is_switch) {
        const char *word = switch_word(value);
        if (!word) {
            cli_say(program, 'E', "--%s got \"%s\"; expected true or false", known->name, value);
            return -EINVAL;
        }
        value = word;
    }
    if (known->flag && value && !*value && known->flag->may_be_empty)
        return 0;
    if (known->flag && value && !*value) {
        cli_say(program, 'E', "--%s got an empty value; expected %s", known->name,
                known->argument);
        return -EINVAL;
    }
    if (known->flag && value && !known->flag->is_repeatable && cli_flag(cli, known->name)) {
        cli_say(program, 'E', "--%s is given twice; expected it once", known->name);
        return -EINVAL;
    }
    int r = add_given(cli, (struct cli_given){.name = known->name,
                                              .value = value ? value : "",
                                              .is_option = !known->flag});
    if (r < 0)
        cli_say(program, 'E', "out of memory");
    return r;
}

/* argv ends with NULL. */
static int parse_arguments(struct cli *cli, int argc, char **argv) {
    const struct cli_program *program = cli->program;
    bool flags_ended = false;
    if (program->arguments) {
        cli->arguments = calloc((size_t)argc + 1, sizeof(*cli->arguments));
        if (!cli->arguments) {
            cli_say(program, 'E', "out of memory");
            return -ENOMEM;
        }
    }
    for (int i = 1; i < argc; i++) {
        char *argument = argv[i];
        const bool is_plain = flags_ended || argument[0] != '-' || argument[1] == '\0';
        if (is_plain && program->arguments) {
            cli->arguments[cli->argument_count++] = argument;
            flags_ended |= program->arguments_are_command;
            continue;
        }
        if (is_plain) {
            cli_say(program, 'E', "unexpected argument \"%s\"; expected flags as --help shows",
                    argument);
            return -EINVAL;
        }
        if (program->arguments && strcmp(argument, "--") == 0) {
            flags_ended = true;
            continue;
        }
        struct known known;
        const char *value;
        if (!find_known(program, argument, &known, &value)) {
            cli_say(program, 'E', "unknown flag %.*s; expected one that --help shows",
                    (int)strcspn(argument, "="), argument);
            return -EINVAL;
        }
        if (!value && i + 1 < argc && takes_next(&known, argv[i + 1]))
            value = argv[++i];
        int r = add_flag(cli, argument, &known, value);
        if (r < 0)
            return r;
    }
    return program->settle ? program->settle(cli) : 0;
}

int cli_configure(const struct cli *cli, tally_config **ret_config, struct tally_error *error) {
    tally_config *config = NULL;
    error->text[0] = '\0';
    int r = tally_config_new(&config);
    for (size_t i = 0; r >= 0 && i < cli->given_count; i++)
        if (cli->given[i].is_option)
            r = tally_config_set(config, cli->given[i].name, cli->given[i].value, error);
    const char *path = cli_flag(cli, "config");
    if (r >= 0 && path)
        r = tally_config_load(config, path, error);
    if (r >= 0)
        r = tally_config_check(config, error);
    if (r >= 0)
        r = rights_check_procfs(tally_config_get(config, "procfs"), error);
    if (r < 0) {
        if (error->text[0] == '\0')
            snprintf(error->text, sizeof(error->text), "cannot read the configuration: %s",
                     strerror(-r));
        tally_config_free(config);
        return r;
    }
    *ret_config = config;
    return 0;
}

int cli_configure_look(const struct cli *cli, tally_config **ret_config,
                       struct tally_error *error) {
    tally_config *config;
    int r = cli_configure(cli, &config, error);
    if (r < 0)
        return r;
    r = tally_config_set(config, "metrics", "", error);
    if (r >= 0 && strchr(tally_config_get(config, "top"), ' '))
        r = tally_config_set(config, "top", tally_option_find("top")->default_value, error);
    if (r < 0)
        tally_config_free(config);
    else
        *ret_config = config;
    return r;
}

void cli_warn(const struct cli *cli, tally_config *config, tally_config *before) {
    struct tally_error text, other;
    for (size_t i = 0; tally_config_warning(config, i, &text); i++) {
        bool is_known = false;
        for (size_t k = 0; before && !is_known && tally_config_warning(before, k, &other); k++)
            is_known = strcmp(text.text, other.text) == 0;
        if (!is_known)
            cli_say(cli->program, 'W', "%s", text.text);
    }
}

bool cli_stays(const struct cli *cli, const tally_config *config) {
    uint64_t interval_ns;
    return !cli_flag(cli, "once") && (!cli->program->once_without_interval ||
                                      tally_config_interval(config, &interval_ns) == 1);
}

void cli_prefer_procfs(tally_config *config) {
#ifdef __APPLE__ /* which has neither, but its own */
    (void)config;
#else
    struct tally_error error;
    if (strcmp(tally_config_get(config, "source"), "auto") == 0)
        tally_config_set(config, "source", "procfs", &error);
#endif
}

void cli_choose_source(const struct cli *cli, tally_config *config) {
    if (!cli_stays(cli, config) && tally_config_get(config, "pin")[0] == '\0')
        cli_prefer_procfs(config);
}

/* ---- Help -------------------------------------------------------------------- */

/* Columns on the screen: bytes that begin a UTF-8 character. */
static size_t columns(const char *text, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* Prints words from column `at` on, going on in new lines at `indent`. */
static void print_wrapped(const char *text, size_t at, size_t indent) {
    bool first = true;
    while (*text) {
        size_t len = strcspn(text, " ");
        size_t width = columns(text, len);
        if (!first && at + 1 + width > HELP_WIDTH) {
            printf("\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            putchar(' ');
            at++;
        }
        fwrite(text, 1, len, stdout);
        at += width;
        first = false;
        text += len;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_flag(const char *name, const char *argument, const char *help,
                       const char *default_value) {
    char left[128], right[1024];
    int len = snprintf(left, sizeof(left), "  %s%s%s%s", name[1] ? "--" : "-", name,
                       argument ? " " : "",
                       argument ? argument : "");
    fputs(left, stdout);
    size_t at = columns(left, (size_t)len);
    if (at + 1 >= HELP_INDENT)
        printf("\n%*s", HELP_INDENT, "");
    else
        printf("%*s", (int)(HELP_INDENT - at), "");
    if (default_value && *default_value)
        snprintf(right, sizeof(right), "%s Default: %s", help, default_value);
    else
        snprintf(right, sizeof(right), "%s", help);
    print_wrapped(right, HELP_INDENT, HELP_INDENT);
}

static void print_help(const struct cli_program *program) {
    const struct tally_option *option;
    printf("Usage: %s [--FLAG [VALUE]]...%s%s\n\n", program->name, program->arguments ? " " : "",
           program->arguments ? program->arguments : "");
    print_wrapped(program->summary, 0, 0);
    putchar('\n');
    for (size_t i = 0; i < program->flag_count; i++)
        if (program->flags[i].help)
            print_flag(program->flags[i].name, program->flags[i].argument, program->flags[i].help,
                       NULL);
    for (size_t i = 0; i < shared_flag_count(program); i++)
        print_flag(shared_flags[i].name, shared_flags[i].argument, shared_flags[i].help, NULL);
    if (program->is_verb) {
        putchar('\n');
        print_wrapped("The options of proctally.yaml(5), such as --group-by and --source, are flags "
                      "as well.", 0, 0);
        return;
    }
    fputs("\nOptions, also in the file:\n\n", stdout);
    for (size_t i = 0; (option = tally_option(i)); i++)
        print_flag(option->name, option->argument, option->help, option->default_value);
    putchar('\n');
    print_wrapped("A flag is written --NAME VALUE or --NAME=VALUE, with one dash or two; - and _ "
                  "are the same in names. Durations are written 15s, 500ms, 1h. Exit status: 0 "
                  "success, 1 could not collect or write, 2 a mistake in the command line or the "
                  "configuration.",
                  0, 0);
}

static const char *unit_name(enum tally_unit unit) {
    switch (unit) {
    case TALLY_UNIT_COUNT:
    case TALLY_UNIT_SIGNED:
        return "count";
    case TALLY_UNIT_BYTES:
        return "bytes";
    case TALLY_UNIT_NS:
    case TALLY_UNIT_UNIX_NS:
        return "seconds";
    case TALLY_UNIT_RATIO:
        return "ratio";
    }
    return "";
}

static const char *kind_name(enum tally_kind kind) {
    switch (kind) {
    case TALLY_KIND_GAUGE:
        return "gauge";
    case TALLY_KIND_COUNTER:
        return "counter";
    }
    return "";
}

static void print_metrics(void) {
    const struct tally_metric *metric;
    size_t widest = strlen("METRIC");
    for (size_t i = 0; (metric = tally_metric(i)); i++)
        if (strlen(metric->id) > widest)
            widest = strlen(metric->id);
    printf("%-*s  %-7s  %-7s  %s\n", (int)widest, "METRIC", "KIND", "UNIT", "MEANING");
    for (size_t i = 0; (metric = tally_metric(i)); i++)
        if (metric->scope != TALLY_SCOPE_HOST) /* agents have their own */
            printf("%-*s  %-7s  %-7s  %s\n", (int)widest, metric->id, kind_name(metric->kind),
                   unit_name(metric->unit), metric->help);
}

int cli_end_output(const struct cli_program *program) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CLI_DONE;
    cli_say(program, 'E', "cannot write to standard output: %s", strerror(errno));
    return CLI_FAILED;
}

/* Says why not. */
static bool becomes_invoker(const struct cli_program *program) {
    int r = rights_of_invoker();
    if (r < 0)
        cli_say(program, 'E', "cannot give up the rights that the program's file brings: %s",
                strerror(-r));
    return r == 0;
}

/* ---- Looking ------------------------------------------------------------------- */

/* Writes what a person asks for. */
typedef int answer_call(tally *t, pid_t pid, tally_text *to, const char **ret_data,
                        size_t *ret_len);

static int list_here(tally *t, pid_t pid, tally_text *to, const char **ret_data,
                     size_t *ret_len) {
    (void)pid;
    return tally_list_here(t, to, ret_data, ret_len);
}

/* A collector that only looks; its configuration is freed. The status to exit with. */
static int answer(const struct cli_program *program, tally_config *config, answer_call *call,
                  pid_t pid, const char *what) {
    /* what was used in a life is what there is to tell the top by */
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .only_looks = true, .count_lifetimes = true};
    struct tally_error error;
    tally *t = NULL;
    tally_text *text = NULL;
    int r = tally_new(config, &opts, &t, &error);
    tally_config_free(config);
    if (r < 0) {
        cli_say(program, 'E', "%s", error.text);
        return r == -EINVAL ? CLI_MISUSED : CLI_FAILED;
    }
    const char *data = NULL;
    size_t len = 0;
    int status;
    r = tally_text_new(&text);
    if (r == 0)
        r = call(t, pid, text, &data, &len);
    if (r == -ESRCH) {
        cli_say(program, 'E', "there is no process %ld", (long)pid);
        status = CLI_FAILED;
    } else if (r < 0) {
        cli_say(program, 'E', "cannot %s: %s", what, strerror(-r));
        status = CLI_FAILED;
    } else {
        fwrite(data, 1, len, stdout);
        status = cli_end_output(program);
    }
    tally_text_free(text);
    tally_free(t);
    return status;
}

pid_t cli_parse_pid(const char *text, size_t len) {
    long pid = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || pid > INT_MAX / 10)
            return 0;
        pid = pid * 10 + (text[i] - '0');
    }
    return pid > INT_MAX ? 0 : (pid_t)pid;
}

static int explain_other(tally *t, pid_t pid, tally_text *to, const char **ret_data,
                         size_t *ret_len) {
    (void)pid;
    return tally_explain_other(t, to, ret_data, ret_len);
}

int cli_explain(const struct cli *cli, const char *text) {
    const struct cli_program *program = cli->program;
    struct tally_error error;
    char what[64];
    const bool is_other = strcmp(text, "other") == 0;
    const pid_t pid = cli_parse_pid(text, strlen(text));
    if (pid == 0 && !is_other) {
        cli_say(program, 'E', "%s \"%s\"; expected the number of a process, or other",
                program->is_verb ? "got" : "--explain got", text);
        return CLI_MISUSED;
    }

    /* command lines hold secrets: show what whoever asks could read as well */
    if (!becomes_invoker(program))
        return CLI_FAILED;
    tally_config *config;
    if (cli_configure(cli, &config, &error) < 0) {
        cli_say(program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    cli_prefer_procfs(config);
    if (is_other)
        return answer(program, config, explain_other, 0, "explain other");
    snprintf(what, sizeof(what), "explain process %ld", (long)pid);
    return answer(program, config, tally_explain, pid, what);
}

int cli_list_metrics(const struct cli *cli, bool here) {
    struct tally_error error;
    tally_config *config;
    if (!here) {
        print_metrics();
        return cli_end_output(cli->program);
    }
    /* with the rights and the source of the run that the other flags ask for */
    if (cli_configure(cli, &config, &error) < 0) {
        cli_say(cli->program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    cli_choose_source(cli, config);
    return answer(cli->program, config, list_here, 0, "tell which metrics there are here");
}

static int explain_cost(const struct cli *cli) {
    struct tally_error error;
    tally_config *config;
    tally_text *text = NULL;
    const char *data = "";
    size_t len = 0;
    if (cli_configure(cli, &config, &error) < 0) {
        cli_say(cli->program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    cli_choose_source(cli, config);
    int r = tally_text_new(&text);
    snprintf(error.text, sizeof(error.text), "out of memory");
    if (r == 0)
        r = tally_explain_cost(config, text, &data, &len, &error);
    if (r < 0)
        cli_say(cli->program, 'E', "%s", error.text);
    else
        fwrite(data, 1, len, stdout);
    tally_text_free(text);
    tally_config_free(config);
    return r < 0 ? CLI_FAILED : cli_end_output(cli->program);
}

int cli_check_config(const struct cli *cli) {
    tally_config *config;
    struct tally_error error;
    /* what is wrong is quoted */
    if (!becomes_invoker(cli->program))
        return CLI_FAILED;
    if (cli_configure(cli, &config, &error) < 0) {
        cli_say(cli->program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    cli_warn(cli, config, NULL);
    tally_config_free(config);
    puts("configuration ok");
    return cli_end_output(cli->program);
}

/* ---- Begin and end --------------------------------------------------------------- */

/* A closed descriptor 0, 1 or 2 would be given to the next file that is opened,
 * and output would go there. The stand-ins refuse what the closed ones did. */
static void keep_standard_descriptors(void) {
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", modes[fd]);
}

int cli_begin(struct cli *cli, const struct cli_program *program, int argc, char **argv) {
    keep_standard_descriptors();
    *cli = (struct cli){.program = program};
    int r = parse_arguments(cli, argc, argv);
    if (r < 0)
        return r == -ENOMEM ? CLI_FAILED : CLI_MISUSED;

    if (cli_flag(cli, "help")) {
        print_help(program);
        return cli_end_output(program);
    }
    if (cli_flag(cli, "version")) {
        printf("%s %s\n", program->name, tally_version());
        return cli_end_output(program);
    }
    if (program->is_verb)
        return -1;
    if (cli_flag(cli, "list-metrics"))
        return cli_list_metrics(cli, cli_flag(cli, "here") != NULL);
    if (cli_flag(cli, "here")) {
        cli_say(program, 'E', "--here is given without --list-metrics; expected both");
        return CLI_MISUSED;
    }
    if (cli_flag(cli, "explain-cost"))
        return explain_cost(cli);
    if (cli_flag(cli, "check-config"))
        return cli_check_config(cli);
    const char *pinned = cli_flag(cli, "unpin");
    if (pinned) {
        struct tally_error error;
        r = tally_unpin(pinned, &error);
        if (r < 0)
            cli_say(program, 'E', "%s", error.text);
        return r < 0 ? CLI_FAILED : CLI_DONE;
    }
    const char *pid = cli_flag(cli, "explain");
    return pid ? cli_explain(cli, pid) : -1;
}

void cli_end(struct cli *cli) {
    for (size_t i = 0; i < cli->given_count; i++)
        free(cli->given[i].copy);
    free(cli->given);
    free(cli->arguments);
    *cli = (struct cli){0};
}
