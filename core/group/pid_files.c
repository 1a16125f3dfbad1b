/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "group/pid_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif

/* Some programs write more lines than that of the number: PostgreSQL eight. */
#define SIZE_MOST 4096
/* The first line. */
#define LINE_BYTES 64u
#define PID_MOST (UINT32_C(1) << 22)
/* Start times are rounded, and the time of boot that they count from by up to a second. */
#define SLACK_S 2u

/* A file is looked at before it is opened to be read, as devices and pipes would take notice. On
 * macOS that can't be done. */
#ifdef __linux__
#define OPEN_TO_LOOK (O_PATH | O_CLOEXEC)
static bool is_privileged(void) {
    return getauxval(AT_SECURE);
}
#else
#define OPEN_TO_LOOK (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define st_mtim st_mtimespec
static bool is_privileged(void) {
    return issetugid();
}
#endif

struct pid_file *pid_files_add(struct pid_files *files, const char *path) {
    for (struct pid_file *f = files->first; f; f = f->next)
        if (strcmp(f->path, path) == 0)
            return f;
    struct pid_file *f = calloc(1, sizeof(*f));
    if (f) {
        f->path = path;
        f->next = files->first;
        files->first = f;
    }
    return f;
}

void pid_files_free(struct pid_files *files) {
    while (files->first) {
        struct pid_file *next = files->first->next;
        free(files->first);
        files->first = next;
    }
}

int pid_file_parse(const char *text, size_t len, uint32_t *ret) {
    size_t at = 0;
    uint32_t pid = 0;
    while (at < len && (text[at] == ' ' || text[at] == '\t'))
        at++;
    if (at == len || text[at] == '\n')
        return -ENODATA;
    for (; at < len && text[at] >= '0' && text[at] <= '9'; at++) {
        pid = pid * 10 + (uint32_t)(text[at] - '0');
        if (pid > PID_MOST)
            return -EBADMSG;
    }
    if (pid == 0 || (at < len && (text[at] == '\0' || !strchr(" \t\r\n", text[at]))))
        return -EBADMSG;
    *ret = pid;
    return 0;
}

/* A path that is open only as such is opened to be read, once it is known to be harmless: by
 * the link to it, which leads nowhere else. */
static int read_line(const struct io *io, int path_fd, char *to, size_t size) {
#ifdef __linux__
    char link[40];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
    int fd = io->openat(io->data, AT_FDCWD, link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return -errno;
    ssize_t n = io_read_all(io, fd, to, size, NULL);
    io->close(io->data, fd);
    return (int)n;
#else
    return (int)io_read_all(io, path_fd, to, size, NULL);
#endif
}

static int read_opened(const struct io *io, int path_fd, struct pid_note *ret) {
    char line[LINE_BYTES] = "";
    struct stat st;
    if (io->fstatat(io->data, path_fd, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ENOTSUP;
    if (st.st_size > SIZE_MOST)
        return -EFBIG;
    /* a copy with file capabilities must not read for whoever may start it */
    if (is_privileged() && !(st.st_mode & S_IROTH))
        return -EACCES;
    int n = read_line(io, path_fd, line, sizeof(line));
    if (n < 0)
        return n;
    uint32_t pid = 0;
    int r = pid_file_parse(line, (size_t)n, &pid);
    if (r == 0)
        *ret = (struct pid_note){pid, st.st_uid, (uint64_t)st.st_mtim.tv_sec};
    return r;
}

static int read_note(const struct io *io, const char *path, struct pid_note *ret) {
    int fd = io->openat(io->data, AT_FDCWD, path, OPEN_TO_LOOK, 0);
    if (fd < 0)
        return -errno;
    int r = read_opened(io, fd, ret);
    io->close(io->data, fd);
    return r;
}

bool pid_file_has_changed(const struct pid_file *file) {
    const struct pid_note *a = &file->now, *b = &file->before;
    return a->pid != b->pid || a->owner != b->owner || a->written_s != b->written_s;
}

void pid_files_read(struct pid_files *files, const struct io *io) {
    files->changed = false;
    for (struct pid_file *f = files->first; f; f = f->next) {
        struct pid_note note = {0};
        int r = read_note(io, f->path, &note);
        if (r != -ENOMEM && r != -EMFILE && r != -ENFILE && r != -EINTR) {
            f->now = note;
            /* the program is not running, or has just begun to write the file */
            f->error = r == -ENOENT || r == -ENOTDIR || r == -ENODATA ? 0 : r;
        }
        files->changed |= pid_file_has_changed(f);
    }
}

void pid_files_settle(struct pid_files *files) {
    for (struct pid_file *f = files->first; f; f = f->next)
        f->before = f->now;
    files->changed = false;
}

bool pid_file_means(const struct pid_file *file, const struct identity *id) {
    const struct pid_note *note = &file->now;
    return note->pid && note->pid == id->pid &&
           (note->owner == 0 || (id->has_credentials && note->owner == id->uid)) &&
           id->start_time_s <= note->written_s + SLACK_S;
}
