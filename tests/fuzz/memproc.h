/* SPDX-License-Identifier: MIT */
/*
 * A /proc in memory, behind `struct io`: files by their paths, processes that
 * can end and whose numbers can be used again, refusals, short reads, and one
 * change that happens in the middle of a collection. The clock moves only when
 * it is told to, and a microsecond each time somebody looks.
 */
#ifndef MEMPROC_H
#define MEMPROC_H

#include "base/io.h"

#include <stdbool.h>
#include <stddef.h>

#define MEMPROC_ROOT "/p"
#define MEMPROC_BOOT_ID "00000000-0000-0000-0000-000000000001"

struct memproc;

struct memproc *memproc_new(void);
void memproc_free(struct memproc *m);
/* Valid as long as the tree. */
const struct io *memproc_io(const struct memproc *m);

/* Makes or replaces a file, "stat" or "12/status"; the process along with it.
 * False if there is no room. */
bool memproc_put(struct memproc *m, const char *path, const char *data, size_t len);
/* A file, or a process and all of it; then opens below it say ESRCH. */
void memproc_remove(struct memproc *m, const char *path);
void memproc_refuse(struct memproc *m, const char *path, int error); /* 0: no more */
void memproc_set_fds(struct memproc *m, unsigned pid, unsigned count);
void memproc_set_read_size(struct memproc *m, size_t most);
/* Called once, when this file is opened. */
void memproc_when_opened(struct memproc *m, const char *path, void (*then)(void *data), void *data);
void memproc_pass_time(struct memproc *m, uint64_t ns);

size_t memproc_processes(const struct memproc *m);
size_t memproc_open_files(const struct memproc *m);

#endif
