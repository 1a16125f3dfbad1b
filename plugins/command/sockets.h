/* SPDX-License-Identifier: MIT */
/* The sockets of network namespaces, by inode: what a process shows of a socket that it has. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum protocol { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UNIX };

struct socket_end {
    uint8_t address[16]; /* the first 4 bytes without is_ipv6 */
    uint16_t port;       /* 0: any */
};

struct socket_info {
    enum protocol protocol;
    bool is_ipv6;
    unsigned state; /* TCP_ESTABLISHED and so on, whatever the protocol */
    struct socket_end local, remote;
    uint32_t uid; /* of whoever made it; not of PROTOCOL_UNIX */
    uint32_t receive_queue, send_queue; /* bytes; of one that listens: connections, and how many fit */
    bool has_receive_queue, has_send_queue;
    uint64_t inode; /* 0: no process has it any more */
    uint64_t peer;  /* inode of the other end, of PROTOCOL_UNIX; 0: there is none, or it is not known */
    size_t namespace; /* number of its network namespace in those that were read */
    char path[109]; /* of PROTOCOL_UNIX; an abstract one begins with @ */
    size_t path_len;
};

struct sockets {
    struct socket_info *items; /* by inode, when sockets_sort() was called */
    size_t count, size;
    const struct socket_info **by_ends; /* see sockets_peer() */
    uint64_t *namespaces; /* that were read */
    size_t namespace_count, namespace_size;
};

/* Adds those of the network namespace that a process is in, unless they are there; `process`
 * is the name of its directory: a number, or self. They come from NETLINK_SOCK_DIAG, or
 * where that is not to be had from net/tcp and so on. Another one than
 * ours that can't be told is not an error. -ENOMEM, -errno: neither could be read. */
int sockets_add(struct sockets *s, const char *procfs, const char *process);
void sockets_sort(struct sockets *s);
void sockets_free(struct sockets *s);

/* NULL: there is none. */
const struct socket_info *sockets_find(const struct sockets *s, uint64_t inode);

/* The inode of the other end, if that is on this host; 0: it is not, or nobody has it. Of a TCP or
 * UDP socket it is looked for in the same network namespace: in another one the same addresses
 * are another's. To be called after sockets_sort(). */
uint64_t sockets_peer(struct sockets *s, const struct socket_info *socket);

/* "tcp", "udp6", "unix" */
const char *socket_protocol(const struct socket_info *socket);
/* As ss(8) calls it: "LISTEN", "ESTAB" */
const char *socket_state(const struct socket_info *socket);
bool socket_listens(const struct socket_info *socket);
#define SOCKET_END_SIZE 64
/* "127.0.0.1:80", "[::1]:80", "0.0.0.0:*" */
const char *socket_end_text(const struct socket_info *socket, const struct socket_end *end,
                            char ret[SOCKET_END_SIZE]);
/* Its ends or its path, and its state: "127.0.0.1:80 LISTEN". False, and nothing is written, if
 * it has neither. */
bool socket_write(FILE *to, const struct socket_info *socket);

#endif
