/* SPDX-License-Identifier: MIT */
/* The command lines of others: process-exporter's, with Go's own flags (0.8) or kingpin's (newer
 * ones), and that of the exporter for macOS that proctally grew from. */
#ifndef DROP_IN_H
#define DROP_IN_H

#include "cli.h"

/* Rows of struct cli_flag. */
#define DROP_IN_FLAGS                                                                             \
    {.name = "config.path", .argument = "FILE", .may_be_empty = true},                            \
    {.name = "procnames", .argument = "NAME,...", .may_be_empty = true,                           \
     .help = "process-exporter's: a group for each of these process names."},                     \
    {.name = "namemapping", .argument = "NAME,REGEX,...", .may_be_empty = true,                   \
     .help = "process-exporter's: a group for each NAME:TEXT, where TEXT is what the first " \
             "group of the expression captures of the command line that captures any."},          \
    {.name = "once-to-stdout-delay", .argument = "DURATION",                                      \
     .help = "process-exporter's: wait that long, print the metrics once, and leave. 0s: "        \
             "serve."},                                                                           \
    {.name = "threads", .is_switch = true}, {.name = "gather-smaps", .is_switch = true},          \
    {.name = "recheck", .is_switch = true},                                                       \
    {.name = "recheck-with-time-limit", .argument = "DURATION"},                                  \
    {.name = "remove-empty-groups", .is_switch = true}, {.name = "debug", .is_switch = true},     \
    {.name = "no-children"}, {.name = "no-gather-smaps"}, {.name = "no-recheck"},                 \
    {.name = "no-remove-empty-groups"}, {.name = "no-debug"}, {.name = "no-web.systemd-socket"},  \
    {.name = "log.level", .argument = "LEVEL"}, {.name = "log.format", .argument = "FORMAT"},     \
    {.name = "man", .means = "help"}, {.name = "h", .means = "help"},                             \
    {.name = "port", .argument = "PORT"},                                                         \
    {.name = "bind", .argument = "ADDRESS"},                                                      \
    {.name = "path", .argument = "PATH", .means = "web.telemetry-path"},                          \
    {.name = "include-pattern", .argument = "PATTERN", .is_repeatable = true},                    \
    {.name = "exclude-pattern", .argument = "PATTERN", .is_repeatable = true},                    \
    {.name = "no-threads"}, {.name = "no-fd"}

/* What they mean together, as options. Says what has no meaning here, and what is wrong.
 * -EINVAL, -ENOMEM. */
int drop_in_settle(struct cli *cli);

/* Where to listen if --web.listen-address is not given. Returns `to`. */
const char *drop_in_address(const struct cli *cli, char *to, size_t size);

#endif
