/* SPDX-License-Identifier: MIT */
/*
 * The files in which programs leave the number of their process: the selector pid_file.
 *
 * Whoever can write such a file decides who is meant, and a number stays in it when its
 * process has ended. So a process is meant only if its own user or root has written the
 * file, and not before the process began. The paths may lead anywhere: nothing but a small
 * regular file is opened for reading, so that no device notices and no pipe makes us wait.
 */
#ifndef PID_FILES_H
#define PID_FILES_H

#include "base/io.h"
#include "source/identity.h"

struct pid_file {
    const char *path; /* in the settings */
    struct pid_file *next;
    struct pid_note {
        uint32_t pid;     /* that stands in it; 0: none */
        uint32_t owner;   /* the user that has the file */
        uint64_t written_s; /* since 1970 */
    } now, before; /* before: as of the collection that processes were last sorted by */
    int error;     /* why there is none, if it should be there; 0: it is fine, or missing */
};

struct pid_files {
    struct pid_file *first;
    bool changed; /* some process is meant, or not any more, for the first time */
};

/* The same for each path. The path stays the caller's, and has to live as long. NULL: out of
 * memory. */
struct pid_file *pid_files_add(struct pid_files *files, const char *path);
void pid_files_free(struct pid_files *files);

/* Reads them; what for want of memory or descriptors can't be read stays as it was. Sets
 * `changed`. */
void pid_files_read(struct pid_files *files, const struct io *io);
/* All processes that this concerns are going to be looked at. */
void pid_files_settle(struct pid_files *files);
/* Does it mean another process than before, as far as it tells? */
bool pid_file_has_changed(const struct pid_file *file);

/* Is it the process that the file means? */
bool pid_file_means(const struct pid_file *file, const struct identity *id);

/* The number that such a file begins with, alone in its line. -EBADMSG; -ENODATA: it is
 * empty. */
int pid_file_parse(const char *text, size_t len, uint32_t *ret);

#endif
