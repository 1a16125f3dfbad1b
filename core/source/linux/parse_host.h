/* SPDX-License-Identifier: MIT */
/* Parsers of what the kernel prints of the whole host; as those of parse.h. */
#ifndef PARSE_HOST_H
#define PARSE_HOST_H

#include "source/source.h"

/* The first line of /proc/stat. Kernels before 2.6.33 lack the last times. */
int parse_host_times(const char *buf, size_t len, struct host_details *ret);
/* /proc/meminfo; lines that a kernel does not have are not known. */
int parse_meminfo(const char *buf, size_t len, struct host_details *ret);
int parse_loadavg(const char *buf, size_t len, struct host_details *ret);
int parse_uptime(const char *buf, size_t len, struct host_details *ret);
/* /proc/vmstat: a sum that differs once the kernel has looked for memory that processes could
 * do without, on the whole host or in some control group, has swapped, or has given huge pages
 * to one. -EBADMSG: it can't be told from this kernel's. */
int parse_vmstat_moves(const char *buf, size_t len, uint64_t *ret);
/* One more than the highest number in a list of CPUs, such as 0-3,8. */
int parse_cpu_list_end(const char *buf, size_t len, uint64_t *ret);
/* Sessions of users in a utmp file, see utmp(5). */
uint64_t parse_utmp_users(const char *buf, size_t len);

#endif
