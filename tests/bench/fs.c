/* SPDX-License-Identifier: MIT */
/*
 * Run by fs.sh.
 *
 *   fs add                   nanoseconds for adding to a counter, a series and a histogram:
 *                            alone, while somebody reads all the time, and the longest
 *                            single time in each case
 *   fs serve DIRECTORY COUNT a mount with that many values; ends at the end of its input
 */
#include <proctally_fs.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20000000
#define TIMED 2000000

static uint64_t counter;
static tally_fs_series *series;

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t cpu_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void add(uint64_t value) {
    if (series)
        tally_fs_series_add(series, value);
    else
        tally_fs_count(&counter, 1);
}

/* Of the CPU, so that others on the machine do not count. */
static double each_ns(void) {
    const uint64_t start = cpu_ns();
    uint64_t value = 1;
    for (int i = 0; i < ROUNDS; i++) {
        value = value * 6364136223846793005 + 1442695040888963407;
        add(value >> (value & 31) >> 24);
    }
    return (double)(cpu_ns() - start) / ROUNDS;
}

static int by_size(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* How long single adds take: half of them, and one of 10,000, at most. */
static void print_spread(void) {
    static uint32_t took[TIMED];
    for (size_t i = 0; i < TIMED; i++) {
        const uint64_t start = now_ns();
        add(i);
        took[i] = (uint32_t)(now_ns() - start);
    }
    qsort(took, TIMED, sizeof(took[0]), by_size);
    printf("  %10u %10u", took[TIMED / 2], took[TIMED - TIMED / 10000]);
}

struct reading {
    const char *path;
    int stop;
    unsigned long times;
};

static void *read_on(void *data) {
    struct reading *r = data;
    static char text[1 << 16];
    FILE *f = fopen(r->path, "r");
    while (f && !__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
        rewind(f);
        if (fread(text, 1, sizeof(text), f) > 0)
            r->times++;
    }
    if (f)
        fclose(f);
    return NULL;
}

static int measure(tally_fs *fs, const char *path, const char *what) {
    struct reading reading = {.path = path};
    pthread_t thread;
    const double alone = each_ns();
    printf("%-10s %8.1f", what, alone);
    print_spread();
    if (tally_fs_start(fs) < 0 || pthread_create(&thread, NULL, read_on, &reading) != 0)
        return 1;
    printf("  %8.1f", each_ns());
    print_spread();
    __atomic_store_n(&reading.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    printf("  %8lu\n", reading.times);
    return 0;
}

static int measure_adds(const char *directory) {
    const struct tally_fs_options options = {sizeof(options), directory, "bench", false};
    const struct tally_fs_histogram histogram = {.size = sizeof(histogram)};
    struct tally_error error;
    char path[4096];
    tally_fs *fs;
    if (tally_fs_new(&options, &fs, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    snprintf(path, sizeof(path), "%s/all", directory);
    printf("%-10s %8s  %10s %10s  %8s  %10s %10s  %8s\n", "ns", "alone", "half", "99.99 %",
           "read", "half", "99.99 %", "readings");
    int r = tally_fs_add_u64(fs, TALLY_FS_ROOT, "counter", &counter, NULL, NULL);
    r = r ? r : measure(fs, path, "counter");
    r = r ? r : tally_fs_series_new(NULL, &series);
    r = r ? r : tally_fs_add_series(fs, TALLY_FS_ROOT, "series", series, NULL, NULL);
    r = r ? r : measure(fs, path, "series");
    r = r ? r : tally_fs_remove_path(fs, TALLY_FS_ROOT, "series");
    tally_fs_series_free(series);
    r = r ? r : tally_fs_series_new(&histogram, &series);
    r = r ? r : tally_fs_add_series(fs, TALLY_FS_ROOT, "histogram", series, NULL, NULL);
    r = r ? r : measure(fs, path, "histogram");
    tally_fs_free(fs);
    tally_fs_series_free(series);
    return r != 0;
}

static int serve(const char *directory, unsigned long count) {
    const struct tally_fs_options options = {sizeof(options), directory, "bench", false};
    struct tally_error error;
    tally_fs *fs;
    char name[32], byte;
    if (tally_fs_new(&options, &fs, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const uint64_t start = now_ns();
    int r = 0;
    for (unsigned long i = 0; r == 0 && i < count; i++) {
        snprintf(name, sizeof(name), "value%05lu", i);
        r = tally_fs_add_u64(fs, TALLY_FS_ROOT, name, &counter, NULL, NULL);
    }
    const uint64_t took = now_ns() - start;
    r = r ? r : tally_fs_start(fs);
    if (r == 0) {
        printf("%lu values registered in %.1f ms\n", count, (double)took / 1e6);
        fflush(stdout);
        while (read(0, &byte, 1) > 0)
            ;
    }
    tally_fs_free(fs);
    return r != 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "add") == 0)
        return measure_adds(argv[2]);
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], strtoul(argv[3], NULL, 10));
    fprintf(stderr, "usage: fs add DIRECTORY | fs serve DIRECTORY COUNT\n");
    return 2;
}
