/* SPDX-License-Identifier: MIT */
/*
 * How fast do the encoders write?
 *
 *     encode [GROUPS [ROUNDS]]
 *
 * Prints the series per second and the allocations, for each text format; for
 * line protocol a series is a field.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_prometheus(const char *text) {
    size_t count = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        count += *line != '#';
    return count;
}

/* No name or label here has a space, comma or equals sign. */
static size_t count_influx(const char *text) {
    size_t count = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        for (const char *at = strchr(line, ' ') + 1; *at != ' '; at++)
            count += *at == '=';
    return count;
}

typedef int encoder(const tally_snapshot *, tally_text *, const char **, size_t *);

static void measure(const tally_snapshot *s, const char *name, encoder *encode,
                    size_t (*count)(const char *), size_t rounds) {
    uint64_t taken[1000];
    tally_text *room;
    const char *text;
    size_t len;
    if (tally_text_new(&room) < 0 || encode(s, room, &text, &len) < 0)
        bench_die("encode: failed");
    size_t series = count(text);
    uint64_t before = bench_allocations;
    for (size_t i = 0; i < rounds; i++) {
        uint64_t start = bench_cpu_ns();
        if (encode(s, room, &text, &len) < 0)
            bench_die("encode: failed");
        taken[i] = bench_cpu_ns() - start;
    }
    double ns = (double)bench_median(taken, rounds);
    printf("%-14s %6.2f million series per second, %.0f ns and %.0f bytes each, %llu allocations "
           "in %zu encodings of %zu series\n",
           name, (double)series / ns * 1000, ns / (double)series, (double)len / (double)series,
           (unsigned long long)(bench_allocations - before), rounds, series);
    tally_text_free(room);
}

int main(int argc, char **argv) {
    size_t groups = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000;
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 50;
    if (groups < 1 || groups > 1000000 || rounds < 1 || rounds > 1000) {
        fputs("usage: encode [GROUPS [ROUNDS]]\n", stderr);
        return 2;
    }
    const struct memory_tree tree = {.processes = (uint32_t)groups,
                                     .threads = 1,
                                     .names = (unsigned)groups,
                                     .fds = 8};
    if (!memory_new(&tree))
        bench_die("encode: out of memory");
    tally *t = bench_collector(&memory_io, MEMORY_ROOT, "max-groups", "1000000", NULL);
    for (int i = 0; i < 3; i++) {
        memory_run(1);
        memory_pass(10);
        bench_collect(t);
    }
    memory_run(1);
    memory_pass(10);
    uint64_t before = bench_allocations;
    bench_collect(t);
    printf("%zu groups, %llu allocations in a collection\n", tally_snapshot_groups(t->snapshots.current),
           (unsigned long long)(bench_allocations - before));
    measure(t->snapshots.current, "prometheus", tally_encode_prometheus, count_prometheus, rounds);
    measure(t->snapshots.current, "line protocol", tally_encode_influx, count_influx, rounds);
    tally_free(t);
    memory_free();
    return 0;
}
