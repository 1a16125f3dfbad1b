/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The sockets of processes: list_sockets is called for each descriptor of each process when
 * bpf_sockets.c reads from its iterator, and writes a record of those that are sockets, in
 * whatever network namespace.
 */
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "shared.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* False: it is of no kind that is counted. */
static __always_inline bool read_socket(struct sock *sk, struct record_socket *r) {
    const __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
    if (family == AF_UNIX) {
        r->family = SOCKET_OF_UNIX;
        return true;
    }
    if (family != AF_INET && family != AF_INET6)
        return false;
    switch (BPF_CORE_READ(sk, sk_protocol)) {
    case IPPROTO_TCP:
    case IPPROTO_MPTCP: /* programs in Go listen with this by default */
        r->family = SOCKET_OF_TCP;
        r->state = BPF_CORE_READ(sk, __sk_common.skc_state);
        return true;
    case IPPROTO_UDP:
        /* one without a port is in no table of the kernel, and not shown by /proc/net/udp */
        r->family = SOCKET_OF_UDP;
        return BPF_CORE_READ(sk, __sk_common.skc_num) != 0;
    }
    return false;
}

SEC("iter/task_file")
int list_sockets(struct bpf_iter__task_file *ctx) {
    struct task_struct *task = ctx->task;
    struct file *file = ctx->file;
    /* Linux before 5.11 comes here for each thread. One that has a table of descriptors to
     * itself is not seen, as in /proc/PID/fd. */
    if (!task || !file || task->pid != task->tgid)
        return 0;
    struct inode *inode = file->f_inode;
    if (inode->i_sb->s_magic != SOCKFS_MAGIC)
        return 0;
    struct socket_alloc *alloc =
        (void *)((char *)inode - bpf_core_field_offset(struct socket_alloc, vfs_inode));
    struct sock *sk = BPF_CORE_READ(alloc, socket.sk);
    struct record_socket r = {
        .start_ns = task->start_boottime, .inode = inode->i_ino, .pid = task->tgid};
    if (sk && read_socket(sk, &r))
        bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
    return 0;
}
