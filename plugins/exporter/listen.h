/* SPDX-License-Identifier: MIT */
/* Sockets that listen. */
#ifndef LISTEN_H
#define LISTEN_H

#include "proctally.h"

#include <sys/socket.h>

struct listener {
    int fd;         /* does not block */
    bool is_unix;   /* a socket in the file system */
    bool is_shared; /* with systemd, which has it go on when we end */
    char name[200]; /* for messages */
};

/* ":9256" and "[::]:9256" are all addresses of both families, "0.0.0.0:9256" all of IPv4,
 * "127.0.0.1:9256", "[::1]:9256", "host:9256" the first of a name that this host has, IPv4 before
 * IPv6, "unix:/run/x.sock" a path, of which a socket that nobody listens on is
 * taken over. -errno, with a sentence. */
int listen_on(const char *address, struct listener *ret, struct tally_error *error);

/* The sockets that systemd has handed over: sd_listen_fds(3). Fills at most `size` and returns
 * how many there are. -errno, with a sentence, also if there is none. */
ssize_t listen_inherited(struct listener *ret, size_t size, struct tally_error *error);

/* At the end: nobody can connect any more. Who has got through already, or is just about to, is
 * not lost, as he would be by closing: listen_accept_last() has him. Nothing happens to a socket
 * that is shared: whoever listens there next will find him. */
void listen_no_more(const struct listener *l);
/* A connection that does not block, and where it comes from. -errno; -EAGAIN: there is none. */
int listen_accept_last(const struct listener *l, struct sockaddr_storage *ret_from,
                       socklen_t *ret_len);

#endif
