/* SPDX-License-Identifier: MIT */
#include "drop_in.h"

#include "duration.h"
#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rules of -procnames and -namemapping ------------------------------------------------- */

/* What is behind a class such as [](] or [^[:space:](], which begins at regex[i]. */
static size_t skip_class(const char *regex, size_t len, size_t i) {
    i++;
    i += i < len && regex[i] == '^';
    i += i < len && regex[i] == ']';
    for (; i < len && regex[i] != ']'; i++)
        if (regex[i] == '\\') {
            i++;
        } else if (regex[i] == '[' && i + 1 < len && regex[i + 1] == ':') {
            const char *end = memmem(regex + i + 2, len - i - 2, ":]", 2);
            i = end ? (size_t)(end - regex) + 1 : i;
        }
    return i + 1;
}

/* Is the bracket at regex[i] one that captures: (, (?P<NAME> or (?<NAME>? */
static bool captures(const char *regex, size_t len, size_t i) {
    const char *at = regex + i + 1;
    const size_t left = len - i - 1;
    if (left == 0 || (at[0] != '?' && at[0] != '*'))
        return true;
    return (left > 2 && memcmp(at, "?P<", 3) == 0) ||
           (left > 2 && memcmp(at, "?<", 2) == 0 && at[2] != '=' && at[2] != '!');
}

static size_t count_captures(const char *regex, size_t len) {
    size_t count = 0, i = 0;
    while (i < len)
        if (regex[i] == '[') {
            i = skip_class(regex, len, i);
        } else if (regex[i] == '\\' && i + 1 < len && regex[i + 1] == 'Q') {
            const char *end = memmem(regex + i, len - i, "\\E", 2);
            i = end ? (size_t)(end - regex) + 2 : len;
        } else if (regex[i] == '\\') {
            i += 2;
        } else {
            count += regex[i] == '(' && captures(regex, len, i);
            i++;
        }
    return count;
}

/* A template can only have a group of the expression by its name, and process-exporter takes the
 * first one that has captured something. So the expression becomes one that looks ahead for its
 * match, and then, for the first capture that is not empty, finds that text anywhere and gives
 * it a name:
 *
 *   ^(?=(?s:.*?)(?:REGEX))(?|(?!(?s:.*+)\g{1})(?s:.*?)(?P<namemapping>\g{1})|…)
 *
 * At the end, which .*+ does not give back, only an empty capture can follow. A reference to what
 * has captured nothing matches nowhere. */
static char *name_capture(const char *regex, size_t len, size_t count) {
    char *named = NULL;
    size_t size;
    FILE *to = open_memstream(&named, &size);
    if (!to)
        return NULL;
    fprintf(to, "^(?=(?s:.*?)(?:%.*s))(?|", (int)len, regex);
    for (size_t i = 1; i <= count; i++)
        fprintf(to, "%s(?!(?s:.*+)\\g{%zu})(?s:.*?)(?P<namemapping>\\g{%zu})", i > 1 ? "|" : "", i,
                i);
    putc(')', to);
    if (fclose(to) == 0)
        return named;
    free(named);
    return NULL;
}

static const char *next_part(const char **list, size_t *ret_len) {
    const char *part = *list;
    *ret_len = strcspn(part, ",");
    *list = part + *ret_len + (part[*ret_len] == ',');
    return part;
}

/* The rules as YAML, which JSON is. */
static int write_mapping(const struct cli *cli, const char *list, FILE *to) {
    while (*list) {
        size_t name_len, regex_len;
        const char *name = next_part(&list, &name_len);
        const char *regex = next_part(&list, &regex_len);
        if (name_len == 0 || regex_len == 0) {
            cli_say(cli->program, 'E',
                    "-namemapping ends with \"%.*s\"; expected names and expressions in turn",
                    (int)name_len, name);
            return -EINVAL;
        }
        const size_t captures = count_captures(regex, regex_len);
        if (captures == 0) {
            cli_say(cli->program, 'E',
                    "-namemapping has \"%.*s\" for %.*s; expected an expression with (...), which "
                    "names the group",
                    (int)regex_len, regex, (int)name_len, name);
            return -EINVAL;
        }
        char *named = name_capture(regex, regex_len, captures);
        if (!named)
            return -ENOMEM;
        fputs("{\"name\":\"{{.Comm}}:{{.Matches.namemapping}}\",\"comm\":[", to);
        json_string(to, name, name_len);
        fputs("],\"cmdline\":[", to);
        json_string(to, named, strlen(named));
        fputs("]},", to);
        free(named);
    }
    return 0;
}

/* -errno; what is wrong has been said. */
static int add_rules(struct cli *cli) {
    char *rules = NULL;
    const char *mapping = cli_flag(cli, "namemapping"), *names = cli_flag(cli, "procnames");
    size_t size;
    if (!mapping && !names)
        return 0;
    FILE *to = open_memstream(&rules, &size);
    if (!to)
        return -ENOMEM;
    putc('[', to);
    int r = mapping ? write_mapping(cli, mapping, to) : 0;
    while (r == 0 && names && *names) {
        size_t len;
        const char *name = next_part(&names, &len);
        if (len == 0)
            continue;
        fputs("{\"name\":\"{{.Comm}}\",\"comm\":[", to);
        json_string(to, name, len);
        fputs("]},", to);
    }
    putc(']', to);
    if (fclose(to) != 0)
        r = -ENOMEM;
    if (r == 0)
        r = cli_add(cli, "process_names", rules);
    free(rules);
    return r;
}

/* ---- Switches -------------------------------------------------------------------------------- */

static bool is_like_process_exporter(const struct cli *cli) {
    static const char *const theirs[] = {
        "config.path", "procnames", "namemapping", "threads", "gather-smaps", "no-gather-smaps",
        "recheck", "no-recheck", "recheck-with-time-limit", "remove-empty-groups",
        "no-remove-empty-groups", "no-children", "once-to-stdout-delay",
    };
    for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
        if (cli_flag(cli, theirs[i]))
            return true;
    for (size_t i = 0; i < cli->given_count; i++)
        if (cli->given[i].is_option && strcmp(cli->given[i].name, "schema") == 0)
            return strcmp(cli->given[i].value, "process-exporter") == 0;
    return false;
}

/* --no-recheck and the like, which kingpin has for each switch. */
static int add_negated(struct cli *cli) {
    static const char *const negated[] = {"no-children", "no-gather-smaps", "no-recheck",
                                          "no-remove-empty-groups", "no-debug",
                                          "no-web.systemd-socket"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(negated) / sizeof(negated[0]); i++) {
        const char *name = negated[i] + strlen("no-");
        if (!cli_flag(cli, negated[i]))
            continue;
        if (cli_flag(cli, name) || cli_has_option(cli, name)) {
            cli_say(cli->program, 'E', "--%s and --%s are given; expected one of them", name,
                    negated[i]);
            return -EINVAL;
        }
        r = cli_add(cli, name, "false");
    }
    return r;
}

/* --no-threads is a switch of both: in the seed it leaves out what threads are counted by, with
 * process-exporter's names the series of each thread. */
static int add_threads(struct cli *cli, bool is_like) {
    const bool are_off = cli_flag(cli, "no-threads");
    if (are_off && cli_flag(cli, "threads")) {
        cli_say(cli->program, 'E', "--threads and --no-threads are given; expected one of them");
        return -EINVAL;
    }
    if (are_off)
        return cli_add(cli, "collect", is_like ? "no-thread-names" : "no-threads");
    if (!cli_flag(cli, "threads"))
        return 0;
    return cli_add(cli, "collect",
                   cli_switch(cli, "threads", true) ? "thread-names" : "no-thread-names");
}

/* ---- The rest -------------------------------------------------------------------------------- */

/* No delay, its default, is to serve. */
static int add_once(struct cli *cli) {
    const char *delay = cli_flag(cli, "once-to-stdout-delay");
    uint64_t delay_ns;
    if (!delay)
        return 0;
    if (!parse_duration(delay, &delay_ns)) {
        cli_say(cli->program, 'E',
                "--once-to-stdout-delay got \"%s\"; expected a duration such as 10s", delay);
        return -EINVAL;
    }
    return delay_ns ? cli_add(cli, "once", "") : 0;
}

/* Of the seed: expressions, which the options include and exclude have between slashes. */
static int add_patterns(struct cli *cli, const char *flag, const char *option) {
    const char *pattern;
    for (size_t i = 0; (pattern = cli_flag_nth(cli, flag, i)); i++) {
        char *text;
        if (asprintf(&text, "/%s/", pattern) < 0)
            return -ENOMEM;
        int r = cli_add(cli, option, text);
        free(text);
        if (r < 0)
            return r;
    }
    return 0;
}

const char *drop_in_address(const struct cli *cli, char *to, size_t size) {
    const char *bind = cli_flag(cli, "bind"), *port = cli_flag(cli, "port");
    const bool is_v6 = bind && strchr(bind, ':') && bind[0] != '[';
    /* with --bind 0.0.0.0, as with none, IPv6 as well would do no harm, but was not asked for */
    snprintf(to, size, is_v6 ? "[%s]:%s" : "%s:%s", bind ? bind : "", port ? port : "9256");
    return to;
}

int drop_in_settle(struct cli *cli) {
    static const struct {
        const char *flag, *why;
    } without_meaning[] = {
        {"recheck", "a process that changes its name or program is always looked at again"},
        {"recheck-with-time-limit",
         "a process that changes its name or program is always looked at again"},
        {"debug", "--explain PID tells why a process is in its group"},
        {"log.level", "all messages are of interest to whoever runs it"},
        {"log.format", "each message is one line of plain text on standard error"},
    };
    const bool is_like = is_like_process_exporter(cli);
    int r = add_negated(cli);
    for (size_t i = 0; i < sizeof(without_meaning) / sizeof(without_meaning[0]); i++) {
        const char *flag = without_meaning[i].flag, *value = cli_flag(cli, flag);
        if (value && strcmp(value, "false") != 0)
            cli_say(cli->program, 'I', "-%s has no meaning here: %s", flag,
                    without_meaning[i].why);
    }
    if (r == 0 && is_like && !cli_has_option(cli, "schema"))
        r = cli_add(cli, "schema", "process-exporter");
    if (r == 0 && cli_flag(cli, "config.path"))
        r = cli_add(cli, "config", cli_flag(cli, "config.path"));
    else if (r == 0)
        r = add_rules(cli);
    if (r == 0)
        r = add_once(cli);
    if (r == 0 && cli_switch(cli, "gather-smaps", false))
        r = cli_add(cli, "collect", "pss");
    if (r == 0)
        r = add_threads(cli, is_like);
    if (r == 0 && cli_switch(cli, "remove-empty-groups", false))
        r = cli_add(cli, "expire-after", "0s");
    if (r == 0 && cli_flag(cli, "no-fd"))
        r = cli_add(cli, "collect", "no-fds");
    if (r == 0)
        r = add_patterns(cli, "include-pattern", "include");
    if (r == 0)
        r = add_patterns(cli, "exclude-pattern", "exclude");
    if (r == -ENOMEM)
        cli_say(cli->program, 'E', "out of memory");
    return r;
}
