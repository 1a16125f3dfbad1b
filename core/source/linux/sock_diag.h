/* SPDX-License-Identifier: MIT */
/*
 * Asking the kernel, over a netlink socket, for all sockets of our network namespace: by
 * inode, as descriptors in /proc show it. Needs no right. See sock_diag(7).
 */
#ifndef SOCK_DIAG_H
#define SOCK_DIAG_H

#include "source/source.h"

struct sock_diag;

/* -errno; -ENOTSUP: built without libmnl. */
int sock_diag_new(struct sock_diag **ret);
struct sock_diag *sock_diag_free(struct sock_diag *d);

/* What it returns below 0 ends the dump. */
typedef int sock_diag_use(void *data, uint64_t inode, enum socket_kind kind);
/* Calls back for each socket that can be a process's; for some more than once. Fills the kinds
 * that were told (1 << enum socket_kind): the kernel may lack what tells some, and never tells
 * SOCKET_TCP_CLOSE. -errno: so far it is not all. */
int sock_diag_dump(struct sock_diag *d, sock_diag_use *use, void *data, unsigned *ret_kinds);

#endif
