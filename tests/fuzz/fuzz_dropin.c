/* SPDX-License-Identifier: MIT */
/* The command lines of others that the exporter takes: each part is an argument that begins with
 * one of their flags. What is taken can be used, and what is not is said. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "drop_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS = 32 };

static const struct cli_flag flags[] = {DROP_IN_FLAGS};
static const struct cli_program program = {.name = "proctally-exporter",
                                           .flags = flags,
                                           .flag_count = sizeof(flags) / sizeof(flags[0]),
                                           .settle = drop_in_settle};

/* One that neither reads a file nor ends in a text about all flags. */
static bool is_flag(const char *argument) {
    const size_t len = strcspn(argument, "=");
    for (size_t i = 0; i < program.flag_count; i++)
        if (strlen(flags[i].name) == len && strncmp(flags[i].name, argument, len) == 0)
            return strcmp(flags[i].name, "config.path") != 0 &&
                   (!flags[i].means || strcmp(flags[i].means, "help") != 0);
    return false;
}

/* Each message is one line that begins with the program's name. */
static void check_said(char *said) {
    for (char *line; (line = next_line(&said)) != NULL;) {
        CHECK(strncmp(line, "proctally-exporter: ", 20) == 0 && line[20], "a message: %s", line);
        for (const char *c = line; *c; c++)
            CHECK((unsigned char)*c >= ' ', "a control character in a message");
    }
}

FUZZ_TARGET(dropin) {
    static char name[] = "proctally-exporter";
    char *argv[ARGUMENTS + 2] = {name};
    int argc = 1;
    struct part part;
    while (argc <= ARGUMENTS && next_part(&data, &len, true, &part)) {
        if (is_flag(part.at) && asprintf(&argv[argc], "-%s", part.at) > 0)
            argc++;
        part_free(&part);
    }
    argv[argc] = NULL;

    char *said = NULL;
    size_t said_len;
    FILE *const heard = open_memstream(&said, &said_len), *const before = stderr;
    CHECK(heard, "out of memory");
    stderr = heard;
    struct cli cli;
    int status = cli_begin(&cli, &program, argc, argv);
    stderr = before;
    fclose(heard);
    CHECK(status == -1 || status == CLI_MISUSED, "cli_begin(): %d", status);
    CHECK(status == -1 || said_len, "it is refused without a word");
    check_said(said);
    free(said);

    tally_config *config;
    struct tally_error error;
    if (status == -1 && cli_configure(&cli, &config, &error) < 0) {
        check_error(&error);
    } else if (status == -1) {
        check_config(config);
        tally_config_free(config);
    }
    char address[300];
    drop_in_address(&cli, address, sizeof(address));
    cli_end(&cli);
    while (--argc > 0)
        free(argv[argc]);
    return 0;
}
