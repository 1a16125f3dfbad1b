/* SPDX-License-Identifier: MIT */
/* Which source there is to read from on Linux. */
#include "base/error.h"
#include "source/source.h"

#include "build-config.h"

#include "source/linux/procfs.h"
#ifdef HAVE_BPF
#include "source/linux/bpf.h"
#include "source/linux/bpf_pins.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Another tree than /proc is recorded, or another host's as seen from a container:
 * it goes with no kernel that we could ask. */
static int open_bpf(const struct settings *settings, const struct io *io,
                    const struct source_needs *needs, struct source **ret, struct tally_error *error, struct tally_error *why_not) {
    const bool is_must = settings->source == SOURCE_BPF;
    struct tally_error why = {{0}};
    int r;
    if (settings->source == SOURCE_PROCFS)
        return -ENOTSUP;
    if (strcmp(settings->procfs, "/proc") != 0) {
        if (is_must)
            error_set(error, "source is bpf and procfs is %.200s; expected only one of them",
                      settings->procfs);
        return -EINVAL;
    }
#ifdef HAVE_BPF
    r = bpf_new(settings, io, needs, ret, &why);
#else
    (void)io, (void)needs, (void)ret;
    error_set(&why, "this proctally was built without libbpf");
    r = -ENOTSUP;
#endif
    if (r < 0)
        error_set(is_must ? error : why_not, "%s%s",
                  is_must ? "source bpf can't be used: " : "",
                  why.text[0] ? why.text : strerror(-r));
    return r;
}

/* Not there with subset=pid, or closed to us for good: the state's clock then has to tell
 * boots apart. For any other reason it may be there the next time, and a state without it
 * would be of another boot then. */
static int read_boot_id(const char *root, const struct io *io, struct source *s,
                        struct tally_error *error) {
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/sys/kernel/random/boot_id", root);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        error_set(error, "procfs is too long a path");
        return -ENAMETOOLONG;
    }
    ssize_t n =
        io_read_file(io, AT_FDCWD, path, s->boot_id, sizeof(s->boot_id) - 1, NULL);
    s->boot_id[n > 0 ? n : 0] = '\0';
    s->boot_id[strcspn(s->boot_id, "\n")] = '\0';
    if (n >= 0 || n == -ENOENT || n == -ENOTDIR || n == -EACCES || n == -EPERM)
        return 0;
    error_set(error, "can't read %.200s: %s", path, strerror((int)-n));
    return (int)n;
}

int source_open(const struct settings *settings, const struct io *io,
                const struct source_needs *needs, struct source **ret, struct tally_error *error,
                struct tally_error *why_not) {
    struct source *s;
    int r = open_bpf(settings, io, needs, &s, error, why_not);
    if (r < 0 && settings->source == SOURCE_BPF)
        return r;
    if (r < 0) {
        const struct procfs_wants wants = {.collect = settings->collect,
                                           .brief = settings->brief,
                                           .with_cmdlines = settings->with_cmdlines,
                                           .spares_memory = settings->spares_memory,
                                           .spares_fd_limits = settings->spares_fd_limits,
                                           .followed = needs->followed};
        r = procfs_new(settings->procfs, io, &wants, &s);
        if (r < 0) {
            error_set(error, "can't open %.200s: %s, expected a mounted proc file system",
                      settings->procfs, strerror(-r));
            return r;
        }
    }
    r = read_boot_id(settings->procfs, io, s, error);
    if (r < 0) {
        s->ops->free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int tally_unpin(const char *dir, struct tally_error *error) {
#ifdef HAVE_BPF
    int r = bpf_pins_remove(dir);
    if (r == -ENOENT)
        error_set(error, "nothing of proctally is pinned at %.300s", dir);
    else if (r < 0)
        error_set(error, "what is pinned at %.300s can't be removed: %s", dir, strerror(-r));
    return r;
#else
    error_set(error, "this proctally was built without libbpf: it can't have pinned %.300s", dir);
    return -ENOTSUP;
#endif
}
