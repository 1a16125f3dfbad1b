/* SPDX-License-Identifier: MIT */
#include "config/options.h"

#include "base/number.h"

#include <errno.h>
#include <string.h>

static const char *const cpu_modes[] = {"machine", "core", NULL};
static const char *const schemas[] = {"native", "process-exporter", "process", NULL};

static const struct tally_option option_table[OPTIONS] = {
    [OPTION_INTERVAL] = {"interval", "DURATION", "10s", "Time between two collections, from 10ms on.",
                         TALLY_OPTION_DURATION, false, NULL},
    [OPTION_GROUP_BY] =
        {"group-by", "KEY,…", "name",
         "How to group the processes that no rule takes: any of name, user, cmdline (first word), "
         "exe, cgroup, unit, container, pid. Empty: leave them out. With schema process-exporter "
         "the default is empty.",
         TALLY_OPTION_WORDS, true, group_key_names},
    [OPTION_CONTAINER_NAMES] = {"container-names", "true|false", "false",
                                "With group-by container: labels pod, namespace, container_name and "
                                "image, as far as files of container runtimes on the host tell.",
                                TALLY_OPTION_SWITCH, false, NULL},
    [OPTION_KERNEL_THREADS] =
        {"kernel-threads", "one|split|leave-out", "one",
         "What group-by does with the kernel's own threads: one group kernel, groups like those of "
         "any process, or (then rules do not see them either) none.",
         TALLY_OPTION_CHOICE, false, kernel_threads_names},
    [OPTION_INCLUDE] = {"include", "PATTERN", "",
                        "Only processes whose name holds this text, or matches it if written "
                        "/REGEX/. Any of several.",
                        TALLY_OPTION_TEXTS, true, NULL},
    [OPTION_EXCLUDE] = {"exclude", "PATTERN", "",
                        "No processes whose name holds this text, or matches it if written "
                        "/REGEX/. Decides before include.",
                        TALLY_OPTION_TEXTS, true, NULL},
    [OPTION_PROCESS_NAMES] = {"process_names", "YAML", "",
                              "Rules in process-exporter's format; the first that matches names "
                              "the group.",
                              TALLY_OPTION_RULES, true, NULL},
    [OPTION_CHILDREN] = {"children", "true|false", "false",
                         "A process that no rule takes joins the group of its nearest ancestor "
                         "that a rule took. With schema process-exporter the default is true.",
                         TALLY_OPTION_SWITCH, false, NULL},
    [OPTION_COLLECT] =
        {"collect", "WORD,…", "context-switches,delays,fds,io,network,states,threads",
         "Switches parts of the work on (WORD) or off (no-WORD), against the default: "
         "cgroup (limits, pressure and the like of control groups), context-switches, delays, exits "
         "(by how they came, with source bpf), fds, io, memory-details (peak, shared, locked and "
         "others), network (with source bpf), pss (costly), sockets (by state), states, "
         "thread-names, threads (running ones).",
         TALLY_OPTION_WORDS, true, collect_names},
    [OPTION_METRICS] =
        {"metrics", "GLOB,…", "",
         "Only metrics whose id (see --list-metrics) one of these globs matches, and without those "
         "of !GLOB; the last that matches decides. What nobody asks for is not read either. "
         "Without any: all.",
         TALLY_OPTION_WORDS, true, NULL},
    [OPTION_CPU_MODE] = {"cpu-mode", "machine|core", "machine",
                         "CPU usage of 1 (100 %) is the whole machine, or one logical CPU.",
                         TALLY_OPTION_CHOICE, false, cpu_modes},
    [OPTION_MAX_GROUPS] = {"max-groups", "COUNT", "1000",
                           "Most groups to keep; what does not fit goes to the group other.",
                           TALLY_OPTION_COUNT, false, NULL},
    [OPTION_MAX_THREAD_NAMES] = {"max-thread-names", "COUNT", "50",
                                 "Most names of threads to keep for a group, with collect "
                                 "thread-names; what does not fit goes to the name other.",
                                 TALLY_OPTION_COUNT, false, NULL},
    [OPTION_FOLD_THREAD_NAMES] = {"fold-thread-names", "true|false", "false",
                                  "Numbers in names of threads are N: pool-N-thread-N for "
                                  "pool-1-thread-37.",
                                  TALLY_OPTION_SWITCH, false, NULL},
    [OPTION_EXPIRE_AFTER] = {"expire-after", "DURATION", "10m",
                             "How long a group without processes stays; groups with a literal "
                             "name in process_names stay for ever. With schema "
                             "process-exporter all stay by default, and 0s is for all.",
                             TALLY_OPTION_DURATION, false, NULL},
    [OPTION_TOP] = {"top", "COUNT", "50",
                    "\"COUNT by cpu\", memory, io or network: how many groups to show beside those of "
                    "rules with a literal name; the rest is added up in the group other. COUNT "
                    "alone is for group-by pid: how many processes to show, those that use most "
                    "CPU, then most memory.",
                    TALLY_OPTION_TEXT, false, NULL},
    [OPTION_SCHEMA] = {"schema", "NAME", "native",
                       "Which Prometheus names to use: native, process-exporter "
                       "(namedprocess_namegroup_*) or process (process_*).",
                       TALLY_OPTION_CHOICE, false, schemas},
    [OPTION_PREFIX] = {"prefix", "TEXT", "proctally_",
                       "Begins the names of metrics. Without the underscores at its end "
                       "it is the measurement in Telegraf and the plugin in collectd.",
                       TALLY_OPTION_TEXT, false, NULL},
    [OPTION_LABELS] = {"labels", "KEY=VALUE", "", "A label (tag) for every series.",
                       TALLY_OPTION_PAIRS, true, NULL},
    [OPTION_STATE_FILE] = {"state-file", "FILE", "",
                           "Keeps counters and last-seen values, so that counting goes on after "
                           "a restart or at the next cron run.",
                           TALLY_OPTION_TEXT, false, NULL},
    [OPTION_PROCFS] = {"procfs", "DIR", "/proc", "Where the proc file system is mounted.",
                       TALLY_OPTION_TEXT, false, NULL},
    [OPTION_SOURCE] = {"source", "auto|procfs|bpf", "auto",
                       "Where to read from: /proc, or programs in the kernel, which also see what "
                       "is over too soon. auto: bpf where that works, else procfs.",
                       TALLY_OPTION_CHOICE, false, source_names},
    [OPTION_PIN] = {"pin", "DIR", "",
                    "Keeps the programs of source bpf in the kernel between runs, pinned in this "
                    "directory of a bpf file system, so that runs by cron miss nothing. Needs a "
                    "state file.",
                    TALLY_OPTION_TEXT, false, NULL},
    [OPTION_MAX_PROCESSES] = {"max-processes", "COUNT", "65536",
                              "Most processes that source bpf keeps track of at a time, and "
                              "with that most of the kernel's memory that it takes: 500 bytes "
                              "for each.",
                              TALLY_OPTION_COUNT, false, NULL},
};

const struct tally_option *tally_option(size_t number) {
    return number < OPTIONS ? &option_table[number] : NULL;
}

const struct tally_option *tally_option_find(const char *name) {
    int option = option_find(name, strlen(name));
    return option < 0 ? NULL : &option_table[option];
}

static char fold_dash(char c) {
    return c == '_' ? '-' : c;
}

int option_find(const char *name, size_t len) {
    for (int i = 0; i < OPTIONS; i++) {
        const char *known = option_table[i].name;
        size_t at = 0;
        while (at < len && known[at] && fold_dash(known[at]) == fold_dash(name[at]))
            at++;
        if (at == len && !known[at])
            return i;
    }
    return -1;
}

const char *option_expected(enum option option) {
    switch (option) {
    case OPTION_INTERVAL:
        return "a duration from 10ms on, such as 15s, 500ms or 1h";
    case OPTION_EXPIRE_AFTER:
        return "a duration such as 15s, 500ms or 1h";
    case OPTION_GROUP_BY:
        return "any of name, user, cmdline, exe, cgroup, unit, container, pid";
    case OPTION_KERNEL_THREADS:
        return "one, split or leave-out";
    case OPTION_INCLUDE:
    case OPTION_EXCLUDE:
        return "a text, or a regular expression written /REGEX/";
    case OPTION_PROCESS_NAMES:
        return "a list of rules";
    case OPTION_CHILDREN:
    case OPTION_CONTAINER_NAMES:
    case OPTION_FOLD_THREAD_NAMES:
        return "true or false";
    case OPTION_COLLECT:
        return "cgroup, context-switches, delays, exits, fds, io, memory-details, network, pss, "
               "sockets, states, thread-names or threads, or one of them after no-";
    case OPTION_METRICS:
        return "ids or globs of metrics as --list-metrics shows them, such as cpu_*, or after ! "
               "those to leave out";
    case OPTION_CPU_MODE:
        return "machine or core";
    case OPTION_MAX_GROUPS:
    case OPTION_MAX_PROCESSES:
    case OPTION_MAX_THREAD_NAMES:
        return "a whole number from 1 to 1000000";
    case OPTION_TOP:
        return "a whole number from 1 to 1000000, alone or before \" by cpu\", \" by memory\", "
               "\" by io\" or \" by network\"";
    case OPTION_SCHEMA:
        return "native, process-exporter or process";
    case OPTION_PREFIX:
        return "a letter or underscore, then letters, digits and underscores, at most 100";
    case OPTION_LABELS:
        return "KEY=VALUE in UTF-8 without control characters, with a key of letters, digits and underscores that is used "
               "only once and not by proctally itself";
    case OPTION_STATE_FILE:
    case OPTION_PROCFS:
    case OPTION_PIN:
        return "a path";
    case OPTION_SOURCE:
        return "auto, procfs or bpf";
    case OPTIONS:
        break;
    }
    return "";
}

int option_parse_duration(const char *text, uint64_t *ret_ns) {
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ms", 1000000},
                 {"s", 1000000000},
                 {"m", 60 * UINT64_C(1000000000)},
                 {"h", 3600 * UINT64_C(1000000000)},
                 {"d", 86400 * UINT64_C(1000000000)}};
    const char *end = text + strlen(text);
    uint64_t total = 0;
    if (text == end)
        return -EINVAL;
    while (text < end) {
        uint64_t number;
        if (parse_u64(&text, end, &number) < 0)
            return -EINVAL;
        size_t letters = 0;
        while (text + letters < end && text[letters] >= 'a' && text[letters] <= 'z')
            letters++;
        uint64_t unit_ns = 0;
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
            if (strlen(units[i].name) == letters && memcmp(units[i].name, text, letters) == 0)
                unit_ns = units[i].ns;
        text += letters;
        uint64_t part_ns;
        if (unit_ns == 0 || __builtin_mul_overflow(number, unit_ns, &part_ns) ||
            __builtin_add_overflow(total, part_ns, &total))
            return -EINVAL;
    }
    /* half the range, so that sums with a clock cannot wrap */
    if (total > INT64_MAX / 2)
        return -EINVAL;
    *ret_ns = total;
    return 0;
}

int option_parse_count(const char *text, uint64_t *ret) {
    const char *end = text + strlen(text);
    uint64_t number;
    if (parse_u64(&text, end, &number) < 0 || text != end)
        return -EINVAL;
    *ret = number;
    return 0;
}

int option_parse_top(const char *text, uint64_t *ret_count, enum top_by *ret_by) {
    static const char between[] = " by ";
    const char *by = strstr(text, between);
    const char *end = by ? by : text + strlen(text);
    enum top_by found = TOP_BY_NONE;
    uint64_t count;
    for (size_t i = 0; by && top_by_names[i]; i++)
        if (strcmp(by + strlen(between), top_by_names[i]) == 0)
            found = TOP_BY_CPU + (enum top_by)i;
    if (parse_u64(&text, end, &count) < 0 || text != end || count < 1 || count > 1000000 ||
        (by && found == TOP_BY_NONE))
        return -EINVAL;
    *ret_count = count;
    *ret_by = found;
    return 0;
}

int option_parse_switch(const char *text, bool *ret) {
    /* YAML 1.1's words, which process-exporter's users write too */
    static const char *const on[] = {"true", "yes", "on"};
    static const char *const off[] = {"false", "no", "off"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, on[i]) == 0) {
            *ret = true;
            return 0;
        }
        if (strcmp(text, off[i]) == 0) {
            *ret = false;
            return 0;
        }
    }
    return -EINVAL;
}

int option_parse_choice(enum option option, const char *text, size_t len, unsigned *ret) {
    const char *const *choices = option_table[option].choices;
    for (unsigned i = 0; choices[i]; i++) {
        if (strlen(choices[i]) == len && memcmp(choices[i], text, len) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

int option_parse_collect(const char *text, size_t len, enum collect *ret, bool *ret_on) {
    bool on = true;
    unsigned choice;
    if (len > 3 && memcmp(text, "no-", 3) == 0) {
        on = false;
        text += 3;
        len -= 3;
    }
    if (option_parse_choice(OPTION_COLLECT, text, len, &choice) < 0)
        return -EINVAL;
    *ret = (enum collect)choice;
    *ret_on = on;
    return 0;
}
