/* SPDX-License-Identifier: MIT */
#include "runs.h"

#include "build-config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

int runs_add(struct runs *runs, struct summary *summary) {
    struct summary *more = realloc(runs->items, (runs->count + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    runs->items = more;
    runs->items[runs->count++] = *summary;
    *summary = (struct summary){0};
    return 0;
}

void runs_clear(struct runs *runs) {
    for (size_t i = 0; i < runs->count; i++)
        summary_clear(&runs->items[i]);
    free(runs->items);
    *runs = (struct runs){0};
}

#ifdef HAVE_JANSSON
#include <jansson.h>

#define NS_PER_S 1e9
#define NS_PER_MS 1e6

/* ---- Members --------------------------------------------------------------------------- */

static bool get_number(const json_t *from, const char *key, double *ret) {
    const json_t *value = json_object_get(from, key);
    *ret = json_is_number(value) ? json_number_value(value) : 0;
    return json_is_number(value) && *ret >= 0;
}

static uint64_t get_whole(const json_t *from, const char *key, double unit) {
    double value;
    return get_number(from, key, &value) && value * unit < 1.8e19 ? (uint64_t)(value * unit + 0.5)
                                                                 : 0;
}

static int signal_of(const json_t *record) {
    const uint64_t number = get_whole(record, "signal", 1);
    return number < NSIG ? (int)number : 0;
}

static const char *get_text(const json_t *from, const char *key) {
    const char *text = json_string_value(json_object_get(from, key));
    return text ? text : "";
}

static bool is_among(const json_t *list, const char *text) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) if (json_is_string(item) &&
                                          strcmp(json_string_value(item), text) == 0) return true;
    return false;
}

/* ---- A summary ---------------------------------------------------------------------------- */

static int read_programs(const json_t *list, struct summary *s) {
    size_t i;
    const json_t *item;
    s->programs = calloc(json_array_size(list) + 1, sizeof(*s->programs));
    if (!s->programs)
        return -ENOMEM;
    json_array_foreach(list, i, item) {
        char *name = strdup(get_text(item, "name"));
        if (!name)
            return -ENOMEM;
        s->programs[s->program_count++] = (struct program){
            .name = name,
            .count = get_whole(item, "count", 1),
            .cpu_ns = get_whole(item, "cpu_s", NS_PER_S),
            .largest_rss_bytes = get_whole(item, "max_rss_kb", 1024),
        };
    }
    return 0;
}

static int read_summary(const json_t *record, struct summary *s) {
    const json_t *exact = json_object_get(record, "exact");
    const char *peak_source = get_text(record, "peak_memory_source");
    double value;
    s->has_ended = get_number(record, "exit_code", &value);
    s->exit_code = value < 256 ? (int)value : 255;
    s->signal_number = signal_of(record);
    s->wall_ns = get_whole(record, "wall_s", NS_PER_S);
    for (enum figure f = 0; f < FIGURES; f++) {
        const double unit = figure_is_time(f) ? NS_PER_S : 1;
        if (!get_number(record, figure_key(f), &value))
            continue;
        s->figures.value[f] = get_whole(record, figure_key(f), unit);
        s->figures.known |= FIGURE(f);
        if (is_among(exact, figure_key(f)))
            s->figures.exact |= FIGURE(f);
    }
    s->largest_rss_bytes = get_whole(record, "max_rss_largest_process_kb", 1024);
    s->largest_rss_is_exact = is_among(exact, "max_rss_largest_process_kb");
    s->programs_are_exact = is_among(exact, "programs");
    s->rss_sum_peak_bytes = get_whole(record, "peak_mem_rss_kb", 1024);
    s->rss_sum_byte_s =
        (double)get_whole(record, "avg_mem_rss_kb", 1024) * (double)s->wall_ns / NS_PER_S;
    const uint64_t peak_bytes = get_whole(record, "peak_memory_kb", 1024);
    s->cgroup_peak_bytes = strcmp(peak_source, "memory.peak") == 0 ? peak_bytes : 0;
    s->pss_peak_bytes = get_whole(record, "peak_mem_pss_kb", 1024);
    s->most_processes = get_whole(record, "max_processes", 1);
    s->most_threads = get_whole(record, "max_threads", 1);
    s->processes_seen = get_whole(record, "processes_seen", 1);
    s->orphans_left = get_whole(record, "orphans_left", 1);
    s->samples = get_whole(record, "samples", 1);
    s->own_cpu_ns = get_whole(record, "own_cpu_s", NS_PER_S);
    s->source = strcmp(get_text(record, "source"), "bpf") == 0 ? "bpf" : "procfs";
    return read_programs(json_object_get(record, "programs"), s);
}

/* ---- Samples, where there is no summary ---------------------------------------------------- */

struct reading {
    struct runs *runs;
    struct summary run; /* the one in hand */
    bool has_run, has_summary;
    double first_ms, last_ms, last_rss_bytes, cpu_ms;
};

static void read_sample(struct reading *r, const json_t *record) {
    static const struct {
        enum figure figure;
        const char *key;
        double unit;
    } totals[] = {{FIGURE_CPU_USER, "cpu_user_s", NS_PER_S},
                  {FIGURE_CPU_SYSTEM, "cpu_system_s", NS_PER_S},
                  {FIGURE_IO_READ, "syscall_read_bytes", 1},
                  {FIGURE_IO_WRITTEN, "syscall_write_bytes", 1},
                  {FIGURE_DISK_READ, "disk_read_bytes", 1},
                  {FIGURE_DISK_WRITTEN, "disk_write_bytes", 1},
                  {FIGURE_FAULTS_MINOR, "page_faults_cached", 1},
                  {FIGURE_FAULTS_MAJOR, "page_faults_disk", 1}};
    struct summary *s = &r->run;
    const json_t *whole = json_object_get(record, "aggregated");
    double at_ms, cpu, value;
    if (!whole)
        whole = record;
    if (!get_number(whole, "ts_ms", &at_ms))
        return;
    if (s->samples == 0)
        r->first_ms = r->last_ms = at_ms;
    const double since_ms = at_ms > r->last_ms ? at_ms - r->last_ms : 0;
    const double rss_bytes = (double)get_whole(whole, "mem_rss_kb", 1024);
    if (get_number(whole, "cpu_usage", &cpu))
        r->cpu_ms += cpu / 100 * since_ms;
    s->rss_sum_byte_s += (rss_bytes + r->last_rss_bytes) / 2 * since_ms / 1000;
    r->last_rss_bytes = rss_bytes;
    r->last_ms = at_ms;
    s->samples++;
    note_most(&s->rss_sum_peak_bytes, (uint64_t)rss_bytes);
    note_most(&s->most_threads, get_whole(whole, "thread_count", 1));
    note_most(&s->most_processes, get_whole(whole, "process_count", 1));
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++)
        if (get_number(whole, totals[i].key, &value)) {
            note_most(&s->figures.value[totals[i].figure],
                      get_whole(whole, totals[i].key, totals[i].unit));
            s->figures.known |= FIGURE(totals[i].figure);
        }
}

static char *command_of(const json_t *metadata) {
    char *text = NULL;
    size_t len = 0, i;
    const json_t *word;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return NULL;
    json_array_foreach(json_object_get(metadata, "cmd"), i, word)
        fprintf(to, "%s%s", i ? " " : "", json_is_string(word) ? json_string_value(word) : "");
    return fclose(to) == 0 ? text : NULL;
}

/* The run in hand is complete. */
static int finish_run(struct reading *r) {
    struct summary *s = &r->run;
    int error = 0;
    if (r->has_run && (s->samples || r->has_summary)) {
        if (!r->has_summary) {
            s->source = "a file";
            s->wall_ns = (uint64_t)((r->last_ms - r->first_ms) * NS_PER_MS);
            if (!(s->figures.known & FIGURES_CPU)) { /* denet does not tell the two apart */
                s->figures.value[FIGURE_CPU_USER] = (uint64_t)(r->cpu_ms * NS_PER_MS);
                s->figures.known |= FIGURES_CPU;
            }
        }
        error = runs_add(r->runs, s);
    }
    summary_clear(s);
    *r = (struct reading){.runs = r->runs};
    return error;
}

static int read_record(struct reading *r, const json_t *record) {
    const char *kind = get_text(record, "kind");
    int error = 0;
    if (strcmp(kind, "metadata") == 0) {
        error = finish_run(r);
        r->has_run = true;
        r->run.command = command_of(record);
    } else if (strcmp(kind, "tree") == 0 || strcmp(kind, "sample") == 0) {
        r->has_run = true;
        read_sample(r, record);
    } else if (strcmp(kind, "exit") == 0) {
        double code;
        r->run.has_ended = get_number(record, "exit_code", &code);
        r->run.exit_code = code < 256 ? (int)code : 255;
        r->run.signal_number = signal_of(record);
    } else if (strcmp(kind, "summary") == 0) {
        summary_clear(&r->run);
        r->has_run = r->has_summary = true;
        r->run.command = strdup(get_text(record, "command"));
        error = read_summary(record, &r->run);
        if (error == 0)
            error = finish_run(r);
    }
    return error;
}

int runs_read(struct runs *runs, const char *path, struct tally_error *error) {
    struct reading reading = {.runs = runs};
    const size_t before = runs->count;
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int r = 0;
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(error->text, sizeof(error->text), "cannot open %.300s: %s", path,
                 strerror(errno));
        return -errno;
    }
    errno = 0;
    while (r == 0 && (len = getline(&line, &size, file)) >= 0) {
        json_t *record = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, NULL);
        if (json_is_object(record))
            r = read_record(&reading, record);
        json_decref(record);
    }
    if (r == 0 && ferror(file))
        r = -errno;
    if (r == 0)
        r = finish_run(&reading);
    summary_clear(&reading.run);
    free(line);
    fclose(file);
    if (r == 0 && runs->count == before)
        r = -EINVAL;
    if (r == -EINVAL)
        snprintf(error->text, sizeof(error->text),
                 "%.300s has no record of a run, expected JSON lines as proctally run --out "
                 "writes them", path);
    else if (r < 0)
        snprintf(error->text, sizeof(error->text), "cannot read %.300s: %s", path, strerror(-r));
    return r;
}

#else

int runs_read(struct runs *runs, const char *path, struct tally_error *error) {
    (void)runs;
    snprintf(error->text, sizeof(error->text),
             "cannot read %.300s: this proctally was built without jansson", path);
    return -ENOTSUP;
}

#endif
