/* SPDX-License-Identifier: MIT */
/*
 * The sockets that processes have, in all network namespaces, from a BPF program that walks
 * their descriptors (kernel/sockets.bpf.c). It keeps nothing between two walks, and runs only
 * while it is read from; so it is not pinned with the others.
 */
#ifndef BPF_SOCKETS_H
#define BPF_SOCKETS_H

#include "proctally.h"
#include "source/linux/kernel/shared.h"

struct bpf_sockets;

/* -errno, and why. */
int bpf_sockets_open(struct bpf_sockets **ret, struct tally_error *why);
struct bpf_sockets *bpf_sockets_free(struct bpf_sockets *s);

/* What it returns below 0 ends the walk. */
typedef int bpf_use_socket(void *data, const struct record_socket *socket);
/* Calls back for each descriptor that is a socket's, by ascending pid of its process. -errno. */
int bpf_sockets_walk(struct bpf_sockets *s, bpf_use_socket *use, void *data);

#endif
