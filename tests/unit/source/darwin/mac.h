/* SPDX-License-Identifier: MIT */
/* A Mac that is made up: what its kernel answers is recorded here, and the clock is that of
 * tree.h. */
#ifndef MAC_H
#define MAC_H

#include "source/darwin/libproc.h"
#include "tree.h"

#define MAC_HERTZ UINT64_C(24000000) /* of Apple's processors */
#define MAC_SECOND MAC_HERTZ
#define MAC_USER 501 /* who we are if not root */
/* launchd starts so long after the clock since boot. */
#define MAC_BOOT_S 5

struct mac_process {
    struct darwin_process listed;
    struct darwin_task task;
    struct darwin_usage usage;
    struct darwin_unique unique;
    size_t fds;
    const char *path;
    const char *arguments; /* as of sysctl kern.procargs2, without the count */
    size_t arguments_len;
    int32_t argument_count;
    bool gone;
    void (*when_used)(struct mac_process *p); /* before its resources are told */
};

/* Of which the kernel's network statistics tell. */
struct mac_flow {
    uint64_t number;
    uint32_t provider; /* 2, 3: TCP; 4, 5: UDP; 8: QUIC */
    uint32_t pid;
    uint64_t unique;
    const char *name;
    uint64_t received_packets, received_bytes, sent_packets, sent_bytes;
    bool ended; /* told already */
};

extern struct mac {
    struct mac_process processes[64];
    size_t count;
    uint32_t user;
    struct darwin_timebase timebase;
    struct darwin_host host;
    const char *boot_id;
    int64_t clock_step_s; /* of the wall clock */
    uint64_t next_number;
    unsigned freed, lists;

    const char *release;
    struct mac_flow flows[64];
    size_t flow_count;
    size_t tcp_size, udp_size, tcp_pid, tcp_name; /* of this release */
    size_t flows_an_answer; /* then it has to be asked for the rest */
    int network_error;      /* of opening */
    char told[64][1024];    /* what waits to be read */
    size_t told_len[64], told_count, told_at;
    unsigned requests;
} mac;

/* launchd and the kernel are there, and we are root. */
void mac_open(void);
void mac_close(void);
/* Somebody starts, so many seconds after boot. */
struct mac_process *mac_start(uint32_t pid, uint32_t ppid, const char *name, double boot_s);
/* It ends, and nobody has reaped it yet; then its parent does. */
void mac_end(struct mac_process *p);
void mac_reap(struct mac_process *p);
void mac_use(struct mac_process *p, double user_s, double system_s);

/* A flow of this process; and its end, which the kernel tells of at once. */
struct mac_flow *mac_flow(uint32_t provider, const struct mac_process *p);
void mac_flow_end(struct mac_flow *f);

extern const struct darwin_calls mac_calls;
/* Gives a collector of the tree the source of that Mac in place of its own. */
tally *on_a_mac(tally *t);
#define mac_collector(...) on_a_mac(tree_collector(__VA_ARGS__))

#endif
