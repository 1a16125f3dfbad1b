/* SPDX-License-Identifier: MIT */
#include "about.h"

#include "server.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static bool is_sent(const tally_config *config, const char *id, size_t *ret_metric) {
    return tally_metric_find(id, ret_metric) == 0 && tally_config_has_metric(config, *ret_metric);
}

void about_count(struct about *about, const tally_snapshot *snapshot, const tally_config *config) {
    const size_t groups = tally_snapshot_groups(snapshot);
    size_t metric;
    uint64_t value;
    about->knows_partly_read = is_sent(config, "unreadable", &metric);
    for (size_t i = 0; about->knows_partly_read && i < groups; i++)
        if (tally_snapshot_value(snapshot, i, metric, &value))
            about->partly_read += value;
    about->knows_not_read = is_sent(config, "processes_hidden", &metric);
    if (about->knows_not_read && tally_snapshot_value(snapshot, 0, metric, &value))
        about->not_read += value;
}

/* ---- Writing ---------------------------------------------------------------------------- */

struct family {
    const char *name; /* as in the text format; a counter's ends in _total where it may */
    const char *help;
    bool is_counter;
};

static void write_head(const struct family *f, bool openmetrics, FILE *to) {
    static const char total[] = "_total";
    size_t len = strlen(f->name);
    const char *type = f->is_counter ? "counter" : "gauge";
    if (openmetrics && f->is_counter) {
        if (len > strlen(total) && strcmp(f->name + len - strlen(total), total) == 0)
            len -= strlen(total);
        else
            type = "unknown"; /* a name of others that OpenMetrics does not take for a counter */
    }
    if (!openmetrics)
        fprintf(to, "# HELP %s %s\n", f->name, f->help);
    fprintf(to, "# TYPE %.*s %s\n", (int)len, f->name, type);
    if (openmetrics)
        fprintf(to, "# HELP %.*s %s\n", (int)len, f->name, f->help);
}

static void write_number(const struct family *f, uint64_t value, bool openmetrics, FILE *to) {
    write_head(f, openmetrics, to);
    fprintf(to, "%s %" PRIu64 "\n", f->name, value);
}

static void write_ns(const struct family *f, uint64_t ns, bool openmetrics, FILE *to) {
    write_head(f, openmetrics, to);
    fprintf(to, "%s %" PRIu64 ".%09" PRIu64 "\n", f->name, ns / 1000000000, ns % 1000000000);
}

static uint64_t ns_of(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_usec * 1000;
}

/* As the client libraries have them. */
static void write_process(const struct about *about, bool openmetrics, FILE *to) {
    struct rusage used;
    struct rlimit files;
    char line[200], *rest;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        write_ns(&(struct family){"process_cpu_seconds_total",
                                  "Total user and system CPU time spent in seconds.", true},
                 ns_of(used.ru_utime) + ns_of(used.ru_stime), openmetrics, to);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        write_number(&(struct family){"process_max_fds",
                                      "Maximum number of open file descriptors.", false},
                     files.rlim_cur, openmetrics, to);
    DIR *dir = opendir("/proc/self/fd");
    if (dir) {
        uint64_t count = 0;
        for (struct dirent *e; (e = readdir(dir));)
            count += e->d_name[0] != '.';
        closedir(dir);
        write_number(&(struct family){"process_open_fds",
                                      "Number of open file descriptors.", false},
                     count - 1 /* the directory */, openmetrics, to);
    }
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm && fgets(line, sizeof(line), statm)) {
        const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        const uint64_t virtual_pages = strtoull(line, &rest, 10);
        const uint64_t resident_pages = strtoull(rest, NULL, 10);
        write_number(&(struct family){"process_virtual_memory_bytes",
                                      "Virtual memory size in bytes.", false},
                     virtual_pages * page, openmetrics, to);
        write_number(&(struct family){"process_resident_memory_bytes",
                                      "Resident memory size in bytes.", false},
                     resident_pages * page, openmetrics, to);
    }
    if (statm)
        fclose(statm);
    write_ns(&(struct family){"process_start_time_seconds",
                              "Start time of the process since unix epoch in seconds.", false},
             about->start_unix_ns, openmetrics, to);
}

void about_write(const struct about *about, enum tally_schema schema, bool openmetrics, FILE *to) {
    static const struct family answers = {
        "proctally_http_answers_total", "Requests answered before this one, by class of status",
        true};
    static const char *const classes[] = {"2xx", "4xx", "5xx"};
    const bool is_drop_in = schema == TALLY_SCHEMA_PROCESS_EXPORTER;
    if (is_drop_in)
        write_number(&(struct family){"namedprocess_scrape_errors",
                                      "Collections that failed", true},
                     about->failed_collections, openmetrics, to);
    if (is_drop_in && about->knows_partly_read)
        write_number(&(struct family){"namedprocess_scrape_partial_errors",
                                      "Processes of which something could not be read, added up "
                                      "over all collections",
                                      true},
                     about->partly_read, openmetrics, to);
    if (is_drop_in && about->knows_not_read)
        write_number(&(struct family){"namedprocess_scrape_procread_errors",
                                      "Processes that could not be read at all, added up over all "
                                      "collections",
                                      true},
                     about->not_read, openmetrics, to);
    const struct family build = {is_drop_in ? "process_exporter_build_info"
                                            : "proctally_exporter_build_info",
                                 "1, and the version of proctally as a label", false};
    write_head(&build, openmetrics, to);
    fprintf(to, "%s{version=\"%s\"} 1\n", build.name, tally_version());

    write_head(&answers, openmetrics, to);
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        fprintf(to, "%s{code=\"%s\"} %" PRIu64 "\n", answers.name, classes[i], about->answered[i]);
    /* in the schema process these are names of groups' series */
    if (schema != TALLY_SCHEMA_PROCESS)
        write_process(about, openmetrics, to);
}
