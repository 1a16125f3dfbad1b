/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Packets come and go where the current task is anybody, so the socket has to tell
 * whose they are. It is the process that made it, until another one sends or
 * receives on it: after accept(2), fork(2), or when its descriptor was passed on.
 * What a connection receives before anybody has used it waits, and goes to who does
 * so first. If nobody ever does, it is the listener's.
 */
#include "maps.bpf.h"
#include "who.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct user {
    __u64 key;    /* hash of who; 0: not known */
    __u64 cookie; /* of the socket: another one in a copy, which accept(2) makes */
    __u64 exec_id;
    __u32 pid;
    __u32 is_new; /* nobody has used this connection yet */
    struct who who;
    __u64 waiting[TRAFFICS];
};
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
    __type(key, int);
    __type(value, struct user);
} sockets SEC(".maps");

static __always_inline void count_for(const struct who *who, __u64 key, __u32 protocol,
                                      const __u64 *traffic) {
    __u64 item = key | side;
    struct unlisted *u = bpf_map_lookup_elem(&unlisted, &item);
    if (!u) {
        struct unlisted none = {0};
        none.who = *who;
        /* another CPU may be changing it right now: then not this time */
        if (hash_words(&none.who, sizeof(none.who)) == key)
            bpf_map_update_elem(&unlisted, &item, &none, BPF_NOEXIST);
        u = bpf_map_lookup_elem(&unlisted, &item);
    }
    if (!u) {
        count_lost();
        return;
    }
    for (int i = 0; i < TRAFFICS; i++)
        if (traffic[i])
            __sync_fetch_and_add(&u->traffic.of[protocol][i], traffic[i]);
}

static __always_inline void flush(struct user *user, __u32 protocol) {
    __u64 traffic[TRAFFICS];
    bool any = false;
    for (int i = 0; i < TRAFFICS; i++) {
        traffic[i] = user->waiting[i];
        if (traffic[i]) {
            any = true;
            __sync_fetch_and_add(&user->waiting[i], -traffic[i]);
        }
    }
    if (any && user->key)
        count_for(&user->who, user->key, protocol, traffic);
}

/* The current process uses it from now on. */
static __always_inline void take_over(struct user *user, struct task_struct *task, __u32 pid,
                                      __u64 exec_id) {
    const struct entry *e = bpf_map_lookup_elem(&processes, &pid);
    struct who who = {0};
    if (e) {
        who.program = e->who.program;
        who.ancestor = e->who.ancestor;
    }
    if (!e || e->listed)
        who.ancestor = KNOWN_ANCESTOR | ITSELF | pid;
    BPF_CORE_READ_INTO(&who.comm, task, group_leader, comm);
    if (want_user) {
        who.uid = BPF_CORE_READ(task, real_cred, euid.val);
        who.gid = BPF_CORE_READ(task, real_cred, egid.val);
    }
    if (want_cgroup)
        who.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
    user->key = 0;
    user->who = who;
    user->pid = pid;
    user->exec_id = exec_id;
    user->is_new = 0;
    user->key = hash_words(&who, sizeof(who));
}

SEC("cgroup/sock_create")
int on_socket(struct bpf_sock *sk) {
    if (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_UDP)
        return 1;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    struct task_struct *task = (void *)bpf_get_current_task();
    if (user) {
        user->cookie = bpf_get_socket_cookie(sk);
        take_over(user, task, bpf_get_current_pid_tgid() >> 32, BPF_CORE_READ(task, self_exec_id));
    }
    return 1;
}

static __always_inline int protocol_index(__u32 protocol) {
    return protocol == IPPROTO_TCP ? PROTOCOL_TCP : protocol == IPPROTO_UDP ? PROTOCOL_UDP : -1;
}

static __always_inline int count_packet(struct __sk_buff *skb, int bytes, int packets) {
    struct bpf_sock *sk = skb->sk;
    if (!sk)
        return 1;
    sk = bpf_sk_fullsock(sk);
    if (!sk)
        return 1;
    int protocol = protocol_index(sk->protocol);
    if (protocol < 0)
        return 1;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!user)
        return 1;
    __u64 cookie = bpf_get_socket_cookie(skb);
    if (user->cookie != cookie) {
        user->cookie = cookie;
        user->is_new = sees_users;
        user->pid = 0;
        for (int i = 0; i < TRAFFICS; i++)
            user->waiting[i] = 0;
    }
    __u64 count = skb->gso_segs > 1 ? skb->gso_segs : 1;
    if (user->is_new || user->key == 0) {
        __sync_fetch_and_add(&user->waiting[bytes & 3], skb->len);
        __sync_fetch_and_add(&user->waiting[packets & 3], count);
        return 1;
    }
    __u64 traffic[TRAFFICS] = {0};
    traffic[bytes & 3] = skb->len;
    traffic[packets & 3] = count;
    count_for(&user->who, user->key, protocol, traffic);
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

static __always_inline int used_by_current(struct sock *sk) {
    int protocol = protocol_index(sk->sk_protocol);
    if (protocol < 0)
        return 0;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    __u32 pid = bpf_get_current_pid_tgid() >> 32;
    if (!user)
        return 0;
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 exec_id = BPF_CORE_READ(task, self_exec_id);
    if (user->pid == pid && user->exec_id == exec_id && !user->is_new)
        return 0;
    take_over(user, task, pid, exec_id);
    flush(user, protocol);
    return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int length, int flags) {
    return used_by_current(sk);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int length, int flags) {
    return used_by_current(sk);
}

/* Those two come when a call is over, and one that sends may take minutes. This comes
 * before anything is sent (since Linux 6.16). */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(on_send_begin, struct sock *sk) {
    return used_by_current(sk);
}

/* splice(2) from a socket shows in nothing but this. The kernel calls it for itself too,
 * in whatever task it is: it tells who uses a connection only if nobody else does. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_read, struct sock *sk) {
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, 0);
    return user && user->is_new ? used_by_current(sk) : 0;
}

/* Nobody has used it, and nobody will. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int from, int to) {
    int protocol = protocol_index(sk->sk_protocol);
    if (to != TCP_CLOSE || protocol < 0)
        return 0;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, 0);
    if (user)
        flush(user, protocol);
    return 0;
}
