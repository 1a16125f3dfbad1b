/* SPDX-License-Identifier: MIT */
#include "system.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int system_socket(int family) {
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int system_accept(int fd, struct sockaddr *ret_from, socklen_t *len) {
    return accept4(fd, ret_from, len, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* poll(2) says that somebody has left where nobody ever came. */
int system_left_connection(void) {
    return system_socket(AF_UNIX);
}

void system_begin_no_more(int fd) {
    enum { FLAGS_AT = 13, SYN = 0x02 }; /* in the head of a segment */
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog no_more = {sizeof(steps) / sizeof(steps[0]), steps};
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &no_more, sizeof(no_more));
}

int wake_open(struct wake *ret) {
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *ret = (struct wake){fd, fd};
    return fd < 0 ? -errno : 0;
}

void wake_up(const struct wake *w) {
    (void)!write(w->to_fd, &(uint64_t){1}, sizeof(uint64_t));
}

void wake_taken(const struct wake *w) {
    uint64_t count;
    (void)!read(w->fd, &count, sizeof(count));
}

void wake_close(struct wake *w) {
    if (w->fd >= 0)
        close(w->fd);
    *w = (struct wake){-1, -1};
}
