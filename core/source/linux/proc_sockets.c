/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/proc_sockets.h"

#include "base/error.h"
#include "source/linux/sock_diag.h"
#include "source/socket_table.h"

#include <stdio.h>
#include <stdlib.h>

/* Descriptors to look at in one collection: each costs some 4 µs. Where there are more, the
 * processes take turns, and until its turn comes a process has the descriptors that it had. A
 * single process can have more; but not more than LINKS_OF_ONE. */
#define LINKS_MOST (64u << 10)
#define LINKS_OF_ONE (256u << 10)

/* The sockets of a process: `count` inodes from `first` on. */
struct span {
    uint32_t pid;
    uint32_t count;
    uint64_t start_ticks;
    size_t first;
    enum { SPAN_READ, SPAN_REFUSED, SPAN_PUT_OFF, SPAN_TOO_LONG } state;
    enum { PLACE_UNKNOWN, PLACE_OURS, PLACE_OTHER } place; /* its network namespace */
};

/* Of one collection. */
struct spans {
    struct span *at; /* by pid, as far as the processes come so */
    size_t count, size;
    uint64_t *inodes;
    size_t inode_count, inode_size;
    bool is_unsorted;
};

struct proc_sockets {
    struct proc_dir *dir;
    struct sock_diag *diag;
    bool has_place; /* else the kernel has no network namespaces */
    dev_t place_device;
    ino_t place_inode;
    struct spans now, before;
    size_t at; /* where a span was found last */
    /* Whose turn it is: processes before `turn` have had theirs. */
    uint32_t turn, next_turn; /* 0: everybody's */
    size_t links; /* looked at in this collection */
    struct socket_table kinds; /* what sock_diag tells */
    struct tally_error missing;
};

/* ---- Keeping ---------------------------------------------------------------------------- */

static void spans_free(struct spans *s) {
    free(s->at);
    free(s->inodes);
}

static int add_span(struct spans *s, struct span span) {
    if (s->count == s->size) {
        const size_t size = s->size ? 2 * s->size : 256;
        struct span *at = realloc(s->at, size * sizeof(*at));
        if (!at)
            return -ENOMEM;
        s->at = at;
        s->size = size;
    }
    s->is_unsorted |= s->count && s->at[s->count - 1].pid > span.pid;
    s->at[s->count++] = span;
    return 0;
}

/* -E2BIG: no more are kept. */
static int reserve_inodes(struct spans *s, size_t more) {
    size_t size = s->inode_size ? s->inode_size : 1024;
    if (s->inode_count + more > SOCKETS_MOST)
        return -E2BIG;
    while (size < s->inode_count + more)
        size *= 2;
    if (size == s->inode_size)
        return 0;
    uint64_t *inodes = realloc(s->inodes, size * sizeof(*inodes));
    if (!inodes)
        return -ENOMEM;
    s->inodes = inodes;
    s->inode_size = size;
    return 0;
}

static int by_pid(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* Of the collection before. Most are looked up in order. NULL: there is none. */
static const struct span *find_before(struct proc_sockets *s, uint32_t pid) {
    const struct spans *before = &s->before;
    for (size_t i = s->at; i < before->count && i < s->at + 2; i++)
        if (before->at[i].pid == pid) {
            s->at = i;
            return &before->at[i];
        }
    const struct span key = {.pid = pid};
    const struct span *found =
        before->count ? bsearch(&key, before->at, before->count, sizeof(key), by_pid) : NULL;
    if (found)
        s->at = (size_t)(found - before->at);
    return found;
}

static int keep(struct proc_sockets *s, const struct span *old) {
    struct spans *now = &s->now;
    struct span span = *old;
    int r = reserve_inodes(now, old->count);
    if (r == -E2BIG) {
        span.state = SPAN_TOO_LONG;
        span.count = 0;
    } else if (r < 0) {
        return r;
    }
    span.first = now->inode_count;
    if (span.count)
        memcpy(now->inodes + now->inode_count, s->before.inodes + old->first,
               span.count * sizeof(*now->inodes));
    r = add_span(now, span);
    if (r == 0)
        now->inode_count += span.count;
    return r;
}

void proc_sockets_begin(struct proc_sockets *s) {
    struct spans spare = s->before;
    s->before = s->now;
    s->now = spare;
    s->now.count = s->now.inode_count = 0;
    s->now.is_unsorted = false;
    if (s->before.is_unsorted)
        qsort(s->before.at, s->before.count, sizeof(*s->before.at), by_pid);
    s->at = 0;
    s->links = 0;
    s->turn = s->next_turn;
    s->next_turn = 0;
}

/* ---- Descriptors ------------------------------------------------------------------------ */

/* "socket:[123]" */
static bool parse_socket_link(const char *link, size_t len, uint64_t *ret_inode) {
    static const char begin[] = "socket:[";
    const size_t at = sizeof(begin) - 1;
    if (len <= at || memcmp(link, begin, at) != 0)
        return false;
    const char *digits = link + at, *end = link + len;
    return parse_u64(&digits, end, ret_inode) == 0 && digits + 1 == end && *digits == ']';
}

struct reading {
    struct proc_sockets *s;
    int fd; /* of the directory */
    size_t links;
};

static int read_link(void *data, uint32_t number, uint64_t unused) {
    struct reading *reading = data;
    struct proc_sockets *s = reading->s;
    struct spans *now = &s->now;
    char name[24], link[40];
    uint64_t inode;
    (void)unused;
    if (++reading->links > LINKS_OF_ONE)
        return -E2BIG;
    name[format_u64(name, number)] = '\0';
    const ssize_t n =
        s->dir->io->readlinkat(s->dir->io->data, reading->fd, name, link, sizeof(link));
    /* it may have been closed meanwhile; and what does not fit is no socket */
    if (n <= 0 || (size_t)n == sizeof(link) || !parse_socket_link(link, (size_t)n, &inode))
        return 0;
    const int r = reserve_inodes(now, 1);
    if (r == 0)
        now->inodes[now->inode_count++] = inode;
    return r;
}

static int read_links(struct proc_sockets *s, uint32_t pid) {
    struct reading reading = {.s = s, .fd = proc_open(s->dir, pid, "fd", O_DIRECTORY)};
    if (reading.fd < 0)
        return reading.fd;
    int r = read_link(&reading, 0, 0); /* 0 is not among the numbers listed */
    if (r == 0)
        r = proc_list_numbers(s->dir, reading.fd, UINT64_MAX, read_link, &reading);
    s->dir->io->close(s->dir->io->data, reading.fd);
    s->links += reading.links;
    return r;
}

/* Its turn has not come, as there are too many descriptors. */
static bool is_put_off(struct proc_sockets *s, const struct span *old, uint32_t pid) {
    if (s->links >= LINKS_MOST) {
        if (s->next_turn == 0)
            s->next_turn = pid;
        return true;
    }
    return old && pid < s->turn;
}

int proc_sockets_measure(struct proc_sockets *s, const struct sample *sample) {
    struct spans *now = &s->now;
    struct span span = {
        .pid = sample->pid, .start_ticks = sample->start_ticks, .first = now->inode_count};
    const struct span *old = find_before(s, sample->pid);
    if (old && (old->start_ticks != sample->start_ticks || old->state == SPAN_PUT_OFF))
        old = NULL;
    if (sample->is_kernel)
        return add_span(now, span); /* it has none */
    if (is_put_off(s, old, sample->pid)) {
        span.state = SPAN_PUT_OFF;
        return old ? keep(s, old) : add_span(now, span);
    }
    const int r = read_links(s, sample->pid);
    if (r == -ESRCH || r == -ENOMEM || r == -EMFILE || r == -ENFILE) {
        now->inode_count = span.first;
        return r;
    }
    if (r < 0) {
        now->inode_count = span.first;
        span.state = r == -E2BIG ? SPAN_TOO_LONG : SPAN_REFUSED;
    }
    span.count = (uint32_t)(now->inode_count - span.first);
    return add_span(now, span);
}

int proc_sockets_keep(struct proc_sockets *s, uint32_t pid) {
    const struct span *old = find_before(s, pid);
    if (!old)
        return 0;
    if (old->state != SPAN_PUT_OFF)
        return keep(s, old);
    const int r =
        proc_sockets_measure(s, &(struct sample){.pid = pid, .start_ticks = old->start_ticks});
    return r == -ESRCH ? 0 : r;
}

/* ---- What they are ---------------------------------------------------------------------- */

static int note_kind(void *data, uint64_t inode, enum socket_kind kind) {
    struct proc_sockets *s = data;
    return socket_table_add(&s->kinds, inode, 0, (uint8_t)kind);
}

/* sock_diag knows all its sockets, of the kinds that it tells. Then those of other kinds may
 * be in any namespace. */
static bool has_unknown(const struct proc_sockets *s, const struct span *span) {
    for (size_t i = 0; i < span->count; i++)
        if (socket_table_find(&s->kinds, s->now.inodes[span->first + i], 0) < 0)
            return true;
    return false;
}

static void find_place(struct proc_sockets *s, struct span *span) {
    const struct io *io = s->dir->io;
    struct stat st;
    if (!s->has_place)
        span->place = PLACE_OURS;
    else if (io->fstatat(io->data, s->dir->fd, proc_path(s->dir, span->pid, "ns/net"), &st, 0) == 0)
        span->place = st.st_dev == s->place_device && st.st_ino == s->place_inode ? PLACE_OURS
                                                                                 : PLACE_OTHER;
}

/* Whether all its sockets can be told. */
static bool is_known(struct proc_sockets *s, struct span *span) {
    if (span->state != SPAN_READ)
        return false;
    if (span->place == PLACE_UNKNOWN && has_unknown(s, span))
        find_place(s, span);
    return span->place == PLACE_OURS || !has_unknown(s, span);
}

static int tell_span(const struct proc_sockets *s, const struct span *span,
                     const struct socket_use *use) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < span->count; i++) {
        const uint64_t inode = s->now.inodes[span->first + i];
        const int kind = socket_table_find(&s->kinds, inode, 0);
        if (kind >= 0)
            r = use->socket(use->data, inode, (enum socket_kind)kind);
    }
    return r < 0 ? r : 0;
}

/* Without which the kernel does not tell of some. */
static bool explain_modules(struct proc_sockets *s, unsigned kinds) {
    static const struct {
        enum socket_kind kind;
        const char *name;
    } modules[] = {
        {SOCKET_TCP_LISTEN, "tcp_diag"}, {SOCKET_UDP, "udp_diag"}, {SOCKET_UNIX, "unix_diag"}};
    char names[64] = "";
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
        if (!(kinds & 1u << modules[i].kind)) {
            const size_t len = strlen(names);
            snprintf(names + len, sizeof(names) - len, "%s%s", len ? ", " : "", modules[i].name);
        }
    if (names[0])
        error_set(&s->missing, "the kernel lacks %s", names);
    return names[0];
}

static void explain_missing(struct proc_sockets *s, unsigned kinds, size_t elsewhere,
                            size_t too_long) {
    s->missing.text[0] = '\0';
    if (explain_modules(s, kinds))
        return;
    if (elsewhere)
        error_set(&s->missing, "those of processes in other network namespaces (%zu now), which "
                               "source bpf can see",
                  elsewhere);
    else if (too_long)
        error_set(&s->missing, "those of processes with more than %u descriptors (%zu now), which "
                               "source bpf can see",
                  LINKS_OF_ONE, too_long);
}

int proc_sockets_tell(struct proc_sockets *s, const struct socket_use *use) {
    size_t elsewhere = 0, too_long = 0;
    unsigned kinds = 0;
    socket_table_begin(&s->kinds);
    int r = sock_diag_dump(s->diag, note_kind, s, &kinds);
    if (r < 0) {
        s->missing.text[0] = '\0';
        return r;
    }
    for (size_t i = 0; r == 0 && i < s->now.count; i++) {
        struct span *span = &s->now.at[i];
        const bool is_told = is_known(s, span);
        use->process(use->data, span->pid, span->start_ticks, is_told ? kinds : 0);
        if (is_told)
            r = tell_span(s, span, use);
        elsewhere += span->place == PLACE_OTHER && !is_told;
        too_long += span->state == SPAN_TOO_LONG;
    }
    explain_missing(s, kinds, elsewhere, too_long);
    return r;
}

const struct tally_error *proc_sockets_missing(const struct proc_sockets *s) {
    return &s->missing;
}

int proc_sockets_new(struct proc_dir *dir, struct proc_sockets **ret) {
    struct proc_sockets *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    struct stat st;
    s->dir = dir;
    int r = sock_diag_new(&s->diag);
    /* ours, whatever tree is read: the netlink socket is of that one */
    if (r == 0 && dir->io->fstatat(dir->io->data, AT_FDCWD, "/proc/self/ns/net", &st, 0) == 0) {
        s->has_place = true;
        s->place_device = st.st_dev;
        s->place_inode = st.st_ino;
    } else if (r == 0 && errno != ENOENT) {
        r = -errno;
    }
    if (r < 0) {
        proc_sockets_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct proc_sockets *proc_sockets_free(struct proc_sockets *s) {
    if (!s)
        return NULL;
    sock_diag_free(s->diag);
    socket_table_free(&s->kinds);
    spans_free(&s->now);
    spans_free(&s->before);
    free(s);
    return NULL;
}
