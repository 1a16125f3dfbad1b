/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t bench_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size) {
    bench_allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    bench_allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    bench_allocations++;
    return __real_realloc(old, size);
}

uint64_t bench_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

uint64_t bench_median(uint64_t *values, size_t count) {
    qsort(values, count, sizeof(*values), by_value);
    return values[count / 2];
}

uint64_t bench_resident_bytes(void) {
    unsigned long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%llu %llu", &size, &resident) != 2)
        bench_die("/proc/self/statm");
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void bench_die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

tally *bench_collector(const struct io *io, const char *procfs, ...) {
    struct tally_error error;
    tally_config *config;
    tally *t;
    va_list args;
    if (tally_config_new(&config) < 0)
        bench_die("out of memory");
    if (tally_config_set(config, "procfs", procfs, &error) < 0)
        bench_die(error.text);
    va_start(args, procfs);
    for (const char *name; (name = va_arg(args, const char *)) != NULL;)
        if (tally_config_set(config, name, va_arg(args, const char *), &error) < 0)
            bench_die(error.text);
    va_end(args);
    if (collector_new(config, NULL, io, &t, &error) < 0)
        bench_die(error.text);
    tally_config_free(config);
    return t;
}

void bench_collect(tally *t) {
    const tally_snapshot *snapshot;
    int r = tally_collect(t, &snapshot);
    if (r < 0)
        bench_die(strerror(-r));
}

uint64_t bench_timed_collect(tally *t) {
    uint64_t start = bench_cpu_ns();
    bench_collect(t);
    return bench_cpu_ns() - start;
}

uint64_t bench_self(tally *t, enum metric metric) {
    uint64_t value;
    return tally_snapshot_value(t->snapshots.current, 0, metric, &value) ? value : 0;
}
