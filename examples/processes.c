/* SPDX-License-Identifier: MIT */
/* The ten processes that used most CPU within a second. Build it with
 *
 *   cc processes.c -o processes $(pkg-config --cflags --libs proctally)
 */
#include <proctally.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct usage {
    size_t process;
    uint64_t cpu; /* billionths of a CPU */
};

static int by_cpu(const void *a, const void *b) {
    const struct usage *x = a, *y = b;
    return x->cpu < y->cpu ? 1 : x->cpu > y->cpu ? -1 : 0;
}

static void show(const tally_snapshot *s, struct usage usage) {
    const struct tally_process *p = tally_snapshot_process(s, usage.process);
    char line[60];
    ssize_t len = tally_snapshot_process_text(s, usage.process, TALLY_PROCESS_CMDLINE, line,
                                              sizeof(line));
    for (ssize_t i = 0; i < len; i++) /* anything can be in it, and NUL bytes are */
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = ' ';
    printf("%7ld %-10s %c %5.1f %%  %.*s\n", (long)p->pid, p->user ? p->user : "?", p->state,
           (double)usage.cpu / 1e7, len > 0 ? (int)len : (int)strlen(p->name),
           len > 0 ? line : p->name);
}

static void show_ten(const tally_snapshot *s) {
    size_t metric, count = 0, processes = tally_snapshot_processes(s);
    struct usage *usages = calloc(processes + 1, sizeof(*usages));
    if (!usages || tally_metric_find("cpu_usage", &metric) < 0)
        return;
    for (size_t i = 0; i < processes; i++) /* of those that were there a second ago, or began */
        if (tally_snapshot_process_value(s, i, metric, &usages[count].cpu))
            usages[count++].process = i;
    qsort(usages, count, sizeof(*usages), by_cpu);
    for (size_t i = 0; i < count && i < 10; i++)
        show(s, usages[i]);
    free(usages);
}

int main(void) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    struct tally_error error = {"out of memory"};
    const tally_snapshot *s;
    tally_config *config = NULL;
    tally *t = NULL;
    int r = tally_config_new(&config);
    r = r < 0 ? r : tally_config_set(config, "cpu-mode", "core", &error);
    r = r < 0 ? r : tally_new(config, &opts, &t, &error);
    tally_config_free(config);
    if (r < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    r = tally_collect(t, &s);
    sleep(1);
    r = r < 0 ? r : tally_collect(t, &s);
    if (r < 0)
        fprintf(stderr, "cannot collect: %s\n", strerror(-r));
    else
        show_ten(s);
    tally_free(t);
    return r < 0;
}
