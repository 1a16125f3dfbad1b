/* SPDX-License-Identifier: MIT */
/* Parsers of the files of a control group, of both versions; as those of parse.h. See
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel. */
#ifndef PARSE_CGROUP_H
#define PARSE_CGROUP_H

#include "source/cgroup.h"

/* A number alone. "max" is UINT64_MAX, and so is what version 1 has in its place: -1, or a
 * number of bytes that no machine has. */
int parse_cgroup_number(const char *buf, size_t len, uint64_t *ret);
/* cpu.max: a time in a period, as billionths of a CPU. UINT64_MAX: "max". */
int parse_cpu_max(const char *buf, size_t len, uint64_t *ret);
/* The same in two numbers of microseconds, as version 1 has it. */
uint64_t cpu_limit(uint64_t quota_us, uint64_t period_us);

/* These add to what `ret` has; lines that a kernel does not have stay absent, and other
 * lines are passed over. */
int parse_cpu_stat(const char *buf, size_t len, struct cgroup_figures *ret);
/* memory.events; and memory.oom_control of version 1 */
int parse_memory_events(const char *buf, size_t len, struct cgroup_figures *ret);
int parse_cpu_pressure(const char *buf, size_t len, struct cgroup_figures *ret);
int parse_memory_pressure(const char *buf, size_t len, struct cgroup_figures *ret);
int parse_io_pressure(const char *buf, size_t len, struct cgroup_figures *ret);

#endif
