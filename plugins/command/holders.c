/* SPDX-License-Identifier: MIT */
#include "holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool holder_parse(const char *link, size_t len, bool *ret_is_pipe, uint64_t *ret_inode) {
    static const char pipe[] = "pipe:[", socket[] = "socket:[";
    const bool is_pipe = len > sizeof(pipe) && memcmp(link, pipe, sizeof(pipe) - 1) == 0;
    if (!is_pipe && (len <= sizeof(socket) || memcmp(link, socket, sizeof(socket) - 1) != 0))
        return false;
    const size_t at = is_pipe ? sizeof(pipe) - 1 : sizeof(socket) - 1;
    uint64_t inode = 0;
    for (size_t i = at; i + 1 < len; i++) {
        if (link[i] < '0' || link[i] > '9')
            return false; /* no path that begins so is absolute, as those of files are */
        inode = inode * 10 + (uint64_t)(link[i] - '0');
    }
    *ret_is_pipe = is_pipe;
    *ret_inode = inode;
    return link[len - 1] == ']';
}

void holder_access(int fds, const char *name, bool *ret_can_read, bool *ret_can_write) {
    struct stat st;
    const bool is_there = fstatat(fds, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    *ret_can_read = is_there && st.st_mode & S_IRUSR;
    *ret_can_write = is_there && st.st_mode & S_IWUSR;
}

static int add(struct holders *h, struct holder holder) {
    if (h->count == h->size) {
        const size_t size = h->size ? 2 * h->size : 256;
        struct holder *items = realloc(h->items, size * sizeof(*items));
        if (!items)
            return -ENOMEM;
        h->items = items;
        h->size = size;
    }
    h->items[h->count++] = holder;
    return 0;
}

static int by_path(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int of_path(const void *path, const void *fifo) {
    return strcmp(path, *(char *const *)fifo);
}

/* Is the descriptor one of a FIFO that is looked for? */
static bool is_fifo(int fds, const char *name, const char *link, char *const *fifos,
                    size_t fifo_count, struct holder *ret) {
    struct stat st;
    if (link[0] != '/' || !fifo_count || !bsearch(link, fifos, fifo_count, sizeof(*fifos), of_path) ||
        fstatat(fds, name, &st, AT_NO_AUTOMOUNT) < 0 || !S_ISFIFO(st.st_mode))
        return false;
    ret->is_pipe = true;
    ret->device = st.st_dev;
    ret->inode = st.st_ino;
    return true;
}

static int read_process(struct holders *h, const struct look *look, size_t process,
                        char *const *fifos, size_t fifo_count) {
    char path[PATH_MAX], link[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%ld/fd", look->procfs,
             (long)tally_snapshot_process(look->snapshot, process)->pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    const struct dirent *entry;
    int r = 0;
    while (r == 0 && (entry = readdir(dir))) {
        struct holder holder = {.process = process};
        if (entry->d_name[0] == '.')
            continue;
        const ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        if (n > 0 && (holder_parse(link, (size_t)n, &holder.is_pipe, &holder.inode) ||
                      is_fifo(dirfd(dir), entry->d_name, link, fifos, fifo_count, &holder))) {
            holder.fd = (unsigned)strtoul(entry->d_name, NULL, 10);
            if (holder.is_pipe)
                holder_access(dirfd(dir), entry->d_name, &holder.can_read, &holder.can_write);
            r = add(h, holder);
        }
    }
    closedir(dir);
    return r;
}

static int by_what(const void *a, const void *b) {
    const struct holder *x = a, *y = b;
    if (x->is_pipe != y->is_pipe)
        return x->is_pipe - y->is_pipe;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    return x->fd < y->fd ? -1 : x->fd > y->fd;
}

int holders_read(struct holders *h, const struct look *look, char **fifos, size_t fifo_count) {
    size_t vms;
    if (fifo_count)
        qsort(fifos, fifo_count, sizeof(*fifos), by_path);
    tally_metric_find("memory_vms", &vms);
    for (size_t i = 0; i < tally_snapshot_processes(look->snapshot); i++) {
        uint64_t bytes;
        /* the kernel's own threads and zombies have nothing open */
        if (tally_snapshot_process_value(look->snapshot, i, vms, &bytes) && bytes == 0)
            continue;
        const int r = read_process(h, look, i, fifos, fifo_count);
        if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
            return r;
        if (r == -ENOENT || r == -ESRCH)
            continue;
        h->looked_at++;
        if (r < 0) {
            h->refused++;
            h->error = r;
        }
    }
    if (h->count)
        qsort(h->items, h->count, sizeof(*h->items), by_what);
    return 0;
}

void holders_free(struct holders *h) {
    free(h->items);
    *h = (struct holders){0};
}

const struct holder *holders_find(const struct holders *h, bool is_pipe, uint64_t device,
                                  uint64_t inode, size_t *ret_count) {
    size_t low = 0, high = h->count;
    const struct holder key = {.is_pipe = is_pipe, .device = device, .inode = inode};
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (by_what(&h->items[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t count = 0;
    while (low + count < h->count && h->items[low + count].is_pipe == is_pipe &&
           h->items[low + count].device == device && h->items[low + count].inode == inode)
        count++;
    *ret_count = count;
    return count ? &h->items[low] : NULL;
}

void holders_say_refused(const struct holders *h, const struct look *look) {
    if (h->refused)
        cli_say(look->program, 'W',
                "%zu of %zu processes could not be looked into: %s; what they have open is not "
                "known", h->refused, h->looked_at, strerror(-h->error));
}
