/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Network traffic. Packets are handled in the context of whatever task happens to run, so
 * each socket remembers its owner: the process that created it, until another one sends or
 * receives on it (after accept(2), fork(2), or passing the descriptor). What an accepted
 * connection receives before it is used is held back, and credited to the first process
 * that uses it; if none ever does, to the owner of the listening socket.
 */
#include "maps.bpf.h"
#include "identity.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct socket_owner {
    __u64 key;    /* hash of the identity; 0: not known */
    __u64 cookie; /* of the socket; differs when this is a clone made for accept(2) */
    __u64 exec_id;
    __u32 pid;
    __u16 is_new; /* an accepted connection that has not been used yet */
    __u16 is_subflow; /* of MPTCP: no process uses it itself */
    struct bpf_identity identity;
    __u64 held_back[TRAFFICS];
};
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
    __type(key, int);
    __type(value, struct socket_owner);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2048); /* both sides, in turns */
    __type(key, __u32);
    __type(value, struct traffic_place);
} traffic_places SEC(".maps");

/* ---- Crediting --------------------------------------------------------------------------- */

/* The counters of the identity with this key; NULL: there is no room. */
static __always_inline __u64 *counters_of(const struct bpf_identity *identity, __u64 key,
                                          __u32 protocol) {
    const __u32 round = unlisted_round;
    const __u32 index = (key & place_mask) << 1 | (round & 1);
    const __u64 stamp = stamp_of(key, round);
    struct traffic_place *place = bpf_map_lookup_elem(&traffic_places, &index);
    if (place && place->stamp == stamp)
        return place->traffic.of[protocol];
    const __u64 side = side_of_round(round);
    __u64 item = key | side;
    struct unlisted *u = bpf_map_lookup_elem(&unlisted, &item);
    if (u)
        return u->traffic.of[protocol];
    struct unlisted none = {0};
    none.identity = *identity;
    /* set_owner() on another CPU may be changing the identity: then give up */
    if (hash_words(&none.identity, sizeof(none.identity)) != key)
        return NULL;
    if (place && (place->stamp == 0 || (place->stamp ^ round) & STAMP_ROUND_MASK)) {
        __u64 claim = index | side;
        none.place = index + 1;
        if (bpf_map_update_elem(&unlisted, &claim, &none, BPF_NOEXIST) == 0) {
            mark_side_used(unlisted_is_used, side);
            zero(&place->traffic, sizeof(place->traffic)); /* not all readers live to do it */
            place->stamp = stamp;
            return place->traffic.of[protocol];
        }
        none.place = 0;
    }
    bpf_map_update_elem(&unlisted, &item, &none, BPF_NOEXIST);
    mark_side_used(unlisted_is_used, side);
    u = bpf_map_lookup_elem(&unlisted, &item);
    if (!u)
        return NULL;
    barrier_var(u); /* the verifier wants the comparison before the addition */
    return u->traffic.of[protocol];
}

/* Without conditions, of which the verifier would follow each combination. */
static __always_inline void credit_held_back(struct socket_owner *owner, __u32 protocol) {
    __u64 traffic[TRAFFICS], any = 0;
    for (int i = 0; i < TRAFFICS; i++) {
        traffic[i] = owner->held_back[i];
        any |= traffic[i];
        __sync_fetch_and_add(&owner->held_back[i], -traffic[i]);
    }
    const __u64 key = owner->key;
    if (!any || !key)
        return;
    __u64 *counters = counters_of(&owner->identity, key, protocol);
    if (!counters) {
        count_lost_event();
        return;
    }
    for (int i = 0; i < TRAFFICS; i++)
        __sync_fetch_and_add(&counters[i], traffic[i]);
}

/* ---- Owners ------------------------------------------------------------------------------ */

/* The current process owns the socket from now on. */
static __always_inline void set_owner(struct socket_owner *owner, struct task_struct *task,
                                      __u32 pid, __u64 exec_id) {
    const struct process_entry *e = find_process(pid);
    struct bpf_identity identity = {0};
    if (e) {
        identity.program = e->identity.program;
        identity.ancestor = e->identity.ancestor;
    }
    if (!e || e->listed)
        identity.ancestor =
            ITSELF |
            known_ancestor(pid, e ? e->start_ns
                                  : BPF_CORE_READ(task, group_leader, start_boottime));
    BPF_CORE_READ_INTO(&identity.comm, task, group_leader, comm);
    if (want_user) {
        identity.uid = BPF_CORE_READ(task, real_cred, euid.val);
        identity.gid = BPF_CORE_READ(task, real_cred, egid.val);
    }
    if (want_cgroup && has_cgroups())
        identity.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
    owner->key = 0;
    barrier();
    owner->identity = identity;
    owner->pid = pid;
    owner->exec_id = exec_id;
    owner->is_new = 0;
    barrier();
    owner->key = hash_words(&identity, sizeof(identity));
}

SEC("cgroup/sock_create")
int on_socket(struct bpf_sock *sk) {
    if (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_UDP)
        return 1;
    struct socket_owner *owner =
        bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    struct task_struct *task = (void *)bpf_get_current_task();
    if (owner) {
        owner->cookie = bpf_get_socket_cookie(sk);
        set_owner(owner, task, bpf_get_current_pid_tgid() >> 32, BPF_CORE_READ(task, self_exec_id));
    }
    return 1;
}

static __always_inline int protocol_index(__u32 protocol) {
    return protocol == IPPROTO_TCP ? PROTOCOL_TCP : protocol == IPPROTO_UDP ? PROTOCOL_UDP : -1;
}

static __always_inline int count_packet(struct __sk_buff *skb, enum traffic_kind bytes,
                                        enum traffic_kind packets) {
    struct bpf_sock *sk = skb->sk;
    if (!sk)
        return 1;
    sk = bpf_sk_fullsock(sk);
    if (!sk)
        return 1;
    int protocol = protocol_index(sk->protocol);
    if (protocol < 0)
        return 1;
    struct socket_owner *owner =
        bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!owner)
        return 1;
    /* Connections begin with a copy of what their listener has: it must have nothing that is held
     * back, or each of them would be credited with that. */
    const bool listens = sk->state == TCP_LISTEN;
    __u64 cookie = bpf_get_socket_cookie(skb);
    if (owner->cookie != cookie) {
        owner->cookie = cookie;
        owner->is_new = sees_owners && !owner->is_subflow && !listens;
        owner->pid = 0;
        for (int i = 0; i < TRAFFICS; i++)
            owner->held_back[i] = 0;
    }
    __u64 count = skb->gso_segs > 1 ? skb->gso_segs : 1;
    const __u64 key = owner->key;
    if (key == 0 && listens)
        return 1;
    __u64 *counters = owner->is_new || key == 0 ? owner->held_back
                                                : counters_of(&owner->identity, key, protocol);
    if (!counters) {
        owner->pid = 0; /* two processes may have set it at once: the next that uses it is to */
        count_lost_event();
        return 1;
    }
    __sync_fetch_and_add(&counters[bytes], skb->len);
    __sync_fetch_and_add(&counters[packets], count);
    return 1;
}

SEC("cgroup_skb/ingress")
int count_received(struct __sk_buff *skb) {
    return count_packet(skb, TRAFFIC_RECEIVED_BYTES, TRAFFIC_RECEIVED_PACKETS);
}

SEC("cgroup_skb/egress")
int count_transmitted(struct __sk_buff *skb) {
    return count_packet(skb, TRAFFIC_TRANSMITTED_BYTES, TRAFFIC_TRANSMITTED_PACKETS);
}

/* The current process uses the socket. */
static __always_inline int claim_socket(struct sock *sk) {
    int protocol = protocol_index(sk->sk_protocol);
    if (protocol < 0)
        return 0;
    struct socket_owner *owner =
        bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!owner)
        return 0;
    /* since Linux 5.11, as is storage of sockets in this kind of program */
    struct task_struct *task = bpf_get_current_task_btf();
    const __u32 pid = task->tgid;
    const __u64 exec_id = task->self_exec_id;
    if (owner->pid == pid && owner->exec_id == exec_id && !owner->is_new)
        return 0;
    set_owner(owner, task, pid, exec_id);
    credit_held_back(owner, protocol);
    return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int length, int flags) {
    return claim_socket(sk);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int length, int flags) {
    return claim_socket(sk);
}

/* Those two tracepoints are reached at the end of a call, and sending may take minutes. This
 * one is reached before anything is sent (since Linux 6.16). */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(on_send_begin, struct sock *sk) {
    return claim_socket(sk);
}

/* The only tracepoint that splice(2) from a socket reaches. The kernel also gets here by
 * itself, in the context of any task, so this decides only for a connection that is new. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_read, struct sock *sk) {
    struct socket_owner *owner = bpf_sk_storage_get(&sockets, sk, NULL, 0);
    return owner && owner->is_new ? claim_socket(sk) : 0;
}

/* Where nothing tells who uses a socket, those that are older than these programs are asked for
 * once: the process with the lowest pid that has it open owns it. Storage of sockets in this kind
 * of program, and the socket of a file, are to be had since Linux 5.11. A thread gets here if its
 * files are not those of the main one, which may have exited. */
SEC("iter/task_file")
int find_owners(struct bpf_iter__task_file *ctx) {
    struct task_struct *task = ctx->task;
    struct file *file = ctx->file;
    if (!task || !file)
        return 0;
    struct socket *socket = bpf_sock_from_file(file);
    if (!socket)
        return 0;
    struct sock *sk = socket->sk;
    if (!sk)
        return 0;
    const __u16 family = sk->__sk_common.skc_family; /* others have such protocol numbers, too */
    const int protocol = protocol_index(sk->sk_protocol);
    if ((family != AF_INET && family != AF_INET6) || protocol < 0)
        return 0;
    struct socket_owner *owner =
        bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (owner && owner->key == 0) {
        set_owner(owner, task, task->tgid, task->self_exec_id);
        credit_held_back(owner, protocol);
    }
    return 0;
}

static __always_inline bool is_subflow(const struct sock *sk) {
    const struct tcp_sock *tcp = (const void *)sk;
    return bpf_core_field_exists(tcp->is_mptcp) && BPF_CORE_READ(tcp, is_mptcp);
}

/* A socket of TCP that MPTCP has made is nobody's creation, and nobody sends on it or receives:
 * it belongs to the process that listens or connects, and so do the connections it accepts. */
static __always_inline void own_subflow(struct socket_owner *owner, int protocol, int to) {
    struct task_struct *task = bpf_get_current_task_btf();
    owner->is_subflow = to != TCP_LISTEN; /* it accepts plain TCP as well */
    owner->is_new = 0;
    /* the other states are reached in the context of any task; further subflows the kernel makes */
    if (owner->key == 0 && to != TCP_ESTABLISHED && !(task->flags & PF_KTHREAD))
        set_owner(owner, task, task->tgid, task->self_exec_id);
    credit_held_back(owner, protocol);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int from, int to) {
    int protocol = protocol_index(sk->sk_protocol);
    const bool begins = to == TCP_LISTEN || to == TCP_SYN_SENT || to == TCP_ESTABLISHED;
    if (protocol != PROTOCOL_TCP || !(to == TCP_CLOSE || (begins && is_subflow(sk))))
        return 0;
    struct socket_owner *owner =
        bpf_sk_storage_get(&sockets, sk, NULL, begins ? BPF_SK_STORAGE_GET_F_CREATE : 0);
    if (owner && begins)
        own_subflow(owner, protocol, to);
    else if (owner) /* it is closed: if nobody has used it, nobody will */
        credit_held_back(owner, protocol);
    return 0;
}
