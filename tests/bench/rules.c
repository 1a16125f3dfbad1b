/* SPDX-License-Identifier: MIT */
/*
 * What do many regular expressions cost?
 *
 *     rules [RULES [PROCESSES]]
 *
 * Each rule has an expression for the command line; a process matches one of
 * them, or none (one in five). Prints the CPU time of the first collection and
 * of those that follow, with rules and without.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 15

static uint64_t following(tally *t) {
    uint64_t taken[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        memory_run(1);
        memory_pass(10);
        taken[i] = bench_timed_collect(t);
    }
    return bench_median(taken, ROUNDS);
}

static void measure(const char *name, const char *rules, unsigned processes) {
    tally *t = bench_collector(&memory_io, MEMORY_ROOT, "process_names", rules, NULL);
    uint64_t first = bench_timed_collect(t), later = following(t);
    printf("%-12s first collection %8.1f ms, the following %6.1f ms; %.2f and %.2f us per process; "
           "%zu groups\n",
           name, (double)first / 1e6, (double)later / 1e6, (double)first / 1e3 / processes,
           (double)later / 1e3 / processes, tally_snapshot_groups(t->snapshots.current));
    tally_free(t);
}

int main(int argc, char **argv) {
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200;
    unsigned processes = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 20000;
    if (count < 1 || count > 10000 || processes < 1) {
        fputs("usage: rules [RULES [PROCESSES]]\n", stderr);
        return 2;
    }
    const struct memory_tree tree = {.processes = processes,
                                     .threads = 1,
                                     .names = 50,
                                     .roles = count + count / 4,
                                     .fds = 8};
    struct buf rules;
    if (!memory_new(&tree))
        bench_die("rules: out of memory");
    buf_init(&rules, 1 << 24);
    for (unsigned i = 0; i < count; i++)
        buf_printf(&rules,
                   "- name: \"role-{{.Matches.Role}}\"\n"
                   "  cmdline:\n"
                   "  - '--listen=\\S+:\\d+.*--role=(?P<Role>role%03u)-\\w'\n",
                   i);
    const char *text = buf_text(&rules);
    if (rules.error)
        bench_die("rules: out of memory");
    printf("%u rules, %u processes\n", count, processes);
    measure("no rules", "[]", processes);
    measure("with rules", text, processes);
    buf_free(&rules);
    memory_free();
    return 0;
}
