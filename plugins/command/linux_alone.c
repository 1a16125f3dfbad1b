/* SPDX-License-Identifier: MIT */
/* On macOS: what is made of Linux' own calls, and is not there. */
#include "follow.h"
#include "top.h"
#include "verb.h"
#include "worker.h"

#include <string.h>

/* It takes a process that inherits orphans, signals that can be read, and /proc. */
#define NO_WATCHING "commands can't be watched on macOS: that takes calls that Linux alone has"
#define NO_HOLDERS "what processes have open can't be told on macOS; lsof tells it there"

/* NAME of the verb and its variable */
#define LACKING(word, text)                                                                     \
    static const struct cli_program word##_program = {.name = "proctally " #word, .is_verb = true}; \
    const struct verb verb_##word = {                                                           \
        .name = #word, .short_help = "not on macOS", .program = &word##_program, .why_not = text}

LACKING(run, NO_WATCHING);
LACKING(attach, NO_WATCHING);
LACKING(files, NO_HOLDERS);
LACKING(ports, NO_HOLDERS);

int worker_run(int (*work)(void *data), void *data) {
    return work(data);
}

/* For compare, which reads files as well. */
int watch_command(const struct cli *cli, const struct watch_options *options, char *const *command,
                  struct summary *ret_summary) {
    (void)options, (void)command;
    *ret_summary = (struct summary){0};
    cli_say(cli->program, 'E', NO_WATCHING);
    return WATCH_FAILED;
}

void top_write_files(const struct top *top, pid_t pid, size_t process, FILE *to, size_t width) {
    static const char text[] = "- (lsof tells them on macOS)";
    (void)top, (void)pid, (void)process;
    top_write_text_line(to, "open files: ", text, strlen(text), width);
}
