/* SPDX-License-Identifier: MIT */
/* macOS takes no flags where a descriptor is made, and has neither eventfd(2) nor filters for
 * sockets. The exporter starts no other programs, so that nothing gets hold of a descriptor
 * before it is marked. */
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The descriptor, or -1. */
static int prepare(int fd) {
    if (fd < 0)
        return fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int system_socket(int family) {
    return prepare(socket(family, SOCK_STREAM, 0));
}

int system_accept(int fd, struct sockaddr *ret_from, socklen_t *len) {
    return prepare(accept(fd, ret_from, len));
}

int system_left_connection(void) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return -1;
    close(fds[1]);
    return prepare(fds[0]);
}

/* There is nothing like it: who connects between the last accept(2) and the end is reset. */
void system_begin_no_more(int fd) {
    (void)fd;
}

int wake_open(struct wake *ret) {
    int fds[2];
    *ret = (struct wake){-1, -1};
    if (pipe(fds) < 0)
        return -errno;
    *ret = (struct wake){fds[0], fds[1]};
    for (int i = 0; i < 2; i++)
        if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0) {
            const int r = -errno;
            wake_close(ret);
            return r;
        }
    return 0;
}

/* A full pipe wakes as well. */
void wake_up(const struct wake *w) {
    (void)!write(w->to_fd, "", 1);
}

void wake_taken(const struct wake *w) {
    char bytes[256];
    while (read(w->fd, bytes, sizeof(bytes)) > 0)
        ;
}

void wake_close(struct wake *w) {
    if (w->fd >= 0) {
        close(w->fd);
        close(w->to_fd);
    }
    *w = (struct wake){-1, -1};
}
