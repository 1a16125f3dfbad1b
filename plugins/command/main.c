/* SPDX-License-Identifier: MIT */
/* proctally: the command for people. */
#include "verb.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb *const verbs[] = {
    &verb_run,
    &verb_attach,
    &verb_summary,
    &verb_compare,
    &verb_top,
    &verb_ps,
    &verb_files,
    &verb_ports,
    &verb_explain,
    &verb_config,
    &verb_metrics,
};
static const size_t verb_count = sizeof(verbs) / sizeof(verbs[0]);

/* For what is wrong before the verb is known. */
static const struct cli_program program = {.name = "proctally", .is_verb = true};

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static bool ends_flags(const char *argument) {
    return strcmp(argument, "--") == 0;
}

/* Flags may stand before the verb, which alone knows what belongs to them; -- may end them. */
static const struct verb *verb_in(int argc, char **argv, int *ret_at) {
    for (size_t i = 0; i < verb_count; i++) {
        int at = 1, len;
        while (at < argc && (len = cli_flag_length(verbs[i]->program, argv + at)) > 0)
            at += len;
        if (at < argc && ends_flags(argv[at]))
            at++;
        if (at < argc && strcmp(argv[at], verbs[i]->name) == 0) {
            *ret_at = at;
            return verbs[i];
        }
    }
    return NULL;
}

static int print_overview(void) {
    puts("Usage: proctally VERB [--FLAG [VALUE]]...\n\n"
         "What did processes and groups of processes on this host use?\n");
    for (size_t i = 0; i < verb_count; i++)
        printf("  proctally %-10s  %s\n", verbs[i]->name, verbs[i]->short_help);
    puts("\nproctally help VERB, or proctally VERB --help, tells all about one of them.");
    return cli_end_output(&program);
}

static int run_verb(const struct verb *verb, int argc, char **argv) {
    struct cli cli;
    if (verb->why_not) {
        cli_say(verb->program, 'E', "%s", verb->why_not);
        return CLI_MISUSED;
    }
    int status = cli_begin(&cli, verb->program, argc, argv);
    if (status < 0)
        status = verb->main(&cli);
    cli_end(&cli);
    return status;
}

static int help(const char *name) {
    const struct verb *verb = name ? find_verb(name) : NULL;
    if (!name)
        return print_overview();
    if (verb)
        return run_verb(verb, 2, (char *[]){(char[]){"proctally"}, (char[]){"--help"}, NULL});
    cli_say(&program, 'E', "there is no verb \"%s\"; expected one that proctally help shows", name);
    return CLI_MISUSED;
}

/* What stands on a command line without a verb. */
static int without_verb(int argc, char **argv) {
    if (argc < 2) {
        print_overview();
        return CLI_MISUSED;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return help(argv[2]);
    if (strcmp(argv[1], "--version") == 0) {
        printf("proctally %s\n", tally_version());
        return cli_end_output(&program);
    }
    int at = 1;
    while (at < argc && argv[at][0] == '-')
        at++;
    if (at < argc && find_verb(argv[at]))
        cli_say(&program, 'E', "%s has no flag %.*s; expected one that proctally help %s shows",
                argv[at], (int)strcspn(argv[1], "="), argv[1], argv[at]);
    else
        cli_say(&program, 'E', "\"%s\" is no verb; expected one that proctally help shows",
                at < argc ? argv[at] : argv[1]);
    return CLI_MISUSED;
}

int main(int argc, char **argv) {
    int at;
    setlocale(LC_CTYPE, ""); /* for the width of characters */
    const struct verb *verb = verb_in(argc, argv, &at);
    if (!verb)
        return without_verb(argc, argv);
    /* it goes, as the program's name does, and what ended the flags: there may be more */
    const int gone = at > 1 && ends_flags(argv[at - 1]) ? 2 : 1;
    for (at -= gone; at >= 0; at--)
        argv[at + gone] = argv[at];
    return run_verb(verb, argc - gone, argv + gone);
}
