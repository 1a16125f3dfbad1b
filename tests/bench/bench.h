/* SPDX-License-Identifier: MIT */
/* What the benchmarks of the core share. */
#ifndef BENCH_H
#define BENCH_H

#include "collector/collector.h"
#include "memory.h"

/* Programs are linked with --wrap for malloc, calloc and realloc. */
extern uint64_t bench_allocations;

uint64_t bench_cpu_ns(void);
/* Of `count` values, which are sorted. */
uint64_t bench_median(uint64_t *values, size_t count);
uint64_t bench_resident_bytes(void);
_Noreturn void bench_die(const char *what);

/* A collector over `procfs`; options as NAME, VALUE pairs, ended by NULL. */
tally *bench_collector(const struct io *io, const char *procfs, ...) __attribute__((sentinel));
void bench_collect(tally *t);
/* A collection's CPU time. */
uint64_t bench_timed_collect(tally *t);
/* Of the last collection; 0 if it is not known. */
uint64_t bench_self(tally *t, enum metric metric);

#endif
