/* SPDX-License-Identifier: MIT */
/* What the exporter asks of the system, and is not the same everywhere. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <sys/socket.h>

/* A new stream socket, and the next connection of one that listens. They do not block, and are
 * not handed on to other programs. -1, with errno. */
int system_socket(int family);
int system_accept(int fd, struct sockaddr *ret_from, socklen_t *len);

/* A connection whose other side has left already. */
int system_left_connection(void);

/* From now on a listening TCP socket takes from nobody what would begin a connection: the other
 * side tries again, and is refused once the socket is closed, or finds whoever listens there
 * then. A handshake that has begun goes on. */
void system_begin_no_more(int fd);

/* What makes a thread that waits in poll(2) go on. */
struct wake {
    int fd;    /* readable after wake_up() until wake_taken() */
    int to_fd; /* where that is written; it may be the same */
};
int wake_open(struct wake *ret); /* -errno */
void wake_up(const struct wake *w); /* from any thread */
void wake_taken(const struct wake *w);
void wake_close(struct wake *w); /* also of one that is { -1, -1 } */

#endif
