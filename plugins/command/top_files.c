/* SPDX-License-Identifier: MIT */
/* What one process in `proctally top` has open. */
#include "top.h"

#include "holders.h"
#include "sockets.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TEXT_SIZE = 4096,
    MOST_FILES = 4096 /* on the screen; how many there are is said */
};

static int by_number(const void *a, const void *b) {
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* The numbers of the open descriptors, ascending. Returns how many there are, of which
 * MOST_FILES are in `ret`. */
static size_t list_numbers(DIR *dir, int ret[MOST_FILES]) {
    const struct dirent *entry;
    size_t count = 0;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        if (count < MOST_FILES)
            ret[count] = (int)strtol(entry->d_name, NULL, 10);
        count++;
    }
    qsort(ret, count < MOST_FILES ? count : MOST_FILES, sizeof(*ret), by_number);
    return count;
}

/* A socket's link tells only its inode. What it is stands in the tables of its network
 * namespace, which are read when the first one is met. The length; 0: it is not there. */
static size_t describe_socket(struct sockets *sockets, const char *procfs, pid_t pid,
                              uint64_t inode, char *ret, size_t size) {
    char process[24];
    size_t len = 0;
    if (sockets->namespace_count == 0) {
        snprintf(process, sizeof(process), "%ld", (long)pid);
        (void)sockets_add(sockets, procfs, "self"); /* then it is a socket all the same */
        (void)sockets_add(sockets, procfs, process);
        sockets_sort(sockets);
    }
    const struct socket_info *socket = sockets_find(sockets, inode);
    FILE *to = socket ? fmemopen(ret, size, "w") : NULL;
    if (!to)
        return 0;
    fprintf(to, "%s ", socket_protocol(socket));
    if (socket_write(to, socket))
        len = (size_t)ftell(to);
    fclose(to);
    return len < size ? len : size;
}

static void list_files(DIR *dir, const char *procfs, pid_t pid, FILE *to, size_t width) {
    struct sockets sockets = {0};
    int numbers[MOST_FILES];
    char name[16], title[32], text[TEXT_SIZE], socket[TEXT_SIZE];
    const size_t count = list_numbers(dir, numbers);
    int n = snprintf(text, sizeof(text), "%zu", count);
    top_write_text_line(to, "open files: ", text, (size_t)n, width);
    for (size_t i = 0; i < count && i < MOST_FILES; i++) {
        snprintf(name, sizeof(name), "%d", numbers[i]);
        snprintf(title, sizeof(title), "%6d  ", numbers[i]);
        const ssize_t len = readlinkat(dirfd(dir), name, text, sizeof(text));
        if (len < 0) /* it has been closed since */
            continue;
        bool is_pipe;
        uint64_t inode;
        size_t socket_len = 0;
        if (holder_parse(text, (size_t)len, &is_pipe, &inode) && !is_pipe)
            socket_len = describe_socket(&sockets, procfs, pid, inode, socket, sizeof(socket));
        top_write_text_line(to, title, socket_len ? socket : text, socket_len ? socket_len : (size_t)len,
                   width);
    }
    sockets_free(&sockets);
}

void top_write_files(const struct top *top, pid_t pid, size_t process, FILE *to, size_t width) {
    const char *procfs = tally_config_get(top->config, "procfs");
    char path[PATH_MAX], text[TEXT_SIZE];
    snprintf(path, sizeof(path), "%s/%ld/fd", procfs, (long)pid);
    DIR *dir = opendir(path);
    int error = dir ? 0 : errno;
    /* the number may have been given to another process before it was opened */
    if (dir && tally_snapshot_process_text(top->model.now, process, TALLY_PROCESS_CMDLINE, text,
                                           1) == -ESRCH)
        error = ESRCH;
    if (error) {
        int n = snprintf(text, sizeof(text), "- (%s)", strerror(error));
        top_write_text_line(to, "open files: ", text, (size_t)n, width);
    } else {
        list_files(dir, procfs, pid, to, width);
    }
    if (dir)
        closedir(dir);
}
