/* SPDX-License-Identifier: MIT */
#include "source/linux/bpf_sockets.h"

#include "base/error.h"
#include "source/linux/bpf_log.h"
#include "source/linux/bpf_skeleton.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than this the kernel does not hand out at a time. */
#define READ_SIZE (32u << 10)

struct bpf_sockets {
    struct proctally_sockets_bpf *skeleton;
    unsigned char data[READ_SIZE];
};

int bpf_sockets_open(struct bpf_sockets **ret, struct tally_error *why) {
    struct bpf_sockets *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    why->text[0] = '\0';
    bpf_log_begin();
    bpf_log_to(why);
    s->skeleton = proctally_sockets_bpf__open();
    int r = s->skeleton ? proctally_sockets_bpf__load(s->skeleton) : -errno;
    if (r == 0)
        r = proctally_sockets_bpf__attach(s->skeleton);
    bpf_log_to(NULL);
    bpf_log_end();
    if (r < 0) {
        if (why->text[0] == '\0')
            error_set(why, "%s", strerror(-r));
        bpf_sockets_free(s);
        return r;
    }
    why->text[0] = '\0'; /* what libbpf warned of on the way it could do without */
    *ret = s;
    return 0;
}

struct bpf_sockets *bpf_sockets_free(struct bpf_sockets *s) {
    if (s && s->skeleton)
        proctally_sockets_bpf__destroy(s->skeleton);
    free(s);
    return NULL;
}

/* The whole records of what has been read; returns how many bytes begin the next one. */
static ssize_t use_records(struct bpf_sockets *s, size_t len, bpf_use_socket *use, void *data) {
    struct record_socket record;
    size_t at = 0;
    for (; len - at >= sizeof(record); at += sizeof(record)) {
        memcpy(&record, s->data + at, sizeof(record));
        const int r = use(data, &record);
        if (r < 0)
            return r;
    }
    memmove(s->data, s->data + at, len - at);
    return (ssize_t)(len - at);
}

int bpf_sockets_walk(struct bpf_sockets *s, bpf_use_socket *use, void *data) {
    const int fd = bpf_iter_create(bpf_link__fd(s->skeleton->links.list_sockets));
    if (fd < 0)
        return -errno;
    ssize_t begun = 0, n;
    do {
        n = read(fd, s->data + begun, sizeof(s->data) - (size_t)begun);
        if (n > 0)
            begun = use_records(s, (size_t)(begun + n), use, data);
        else if (n < 0 && (errno == EINTR || errno == EAGAIN)) /* EAGAIN: a long way to the next */
            n = 1;
        else if (n < 0)
            begun = -errno;
    } while (n > 0 && begun >= 0);
    close(fd);
    return begun < 0 ? (int)begun : 0;
}
