/* SPDX-License-Identifier: MIT */
/* A source that sees every end, as the one with programs in the kernel does, and that is
 * made up: so that every order of events can be had, on any host. Over a recorded tree. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "tree.h"

#define MS UINT64_C(1000000)
#define LONG_AGO 5000 /* ticks: before the first collection */

struct use {
    uint64_t user_ms, system_ms;
    uint64_t exact_ms; /* 0: the two above are */
    uint64_t faults, read_bytes, switches;
    uint64_t wait_ms; /* 0: not known */
};

/* A process as the source would list it. */
struct actor {
    uint32_t pid, ppid;
    uint64_t start_ticks;
    const char *comm;
    uint32_t uid;
    uint64_t exec_marker;
    bool gone;
    bool asleep;
    int error; /* of open() */
    bool from_birth, is_kernel;
    uint32_t ancestor_pid;
    uint64_t ancestor;
    struct use use;
    /* It executed another program: shown once, as by the kernel. */
    bool executed, was_listed;
    struct use until, since;
    uint64_t rss_bytes;
    bool hides_sockets; /* they can't be told */

    bool shows_exec, is_same; /* as listed */
    unsigned opened; /* how many times */
};

struct ended {
    uint32_t pid;
    uint64_t start_ticks;
    struct use use;
    enum ending ending;
};

struct unlisted {
    const char *comm;
    uint32_t uid;
    uint32_t known_pid;
    uint64_t known_start_ticks; /* 0: of the last actor with that pid */
    bool is_known, forked_only;
    uint64_t ancestor;
    struct use use;
    uint64_t ended;
    uint64_t ended_by[ENDINGS];
    enum ending ending; /* of one alone */
    uint64_t traffic[TRAFFIC_COUNTERS];
    uint32_t pid; /* one alone */
    uint64_t start_ticks;
};

/* A descriptor that is a socket's. */
struct open_socket {
    uint32_t pid;
    uint64_t inode;
    enum socket_kind kind;
};

struct above {
    uint64_t number;
    const char *comm;
    uint32_t known_pid;
    uint64_t ancestor;
};

extern struct script {
    struct source source;
    struct actor actors[16];
    size_t actor_count;
    struct listed listed[16];
    struct ended ended[16];
    size_t ended_count, ended_at;
    struct unlisted unlisted[16];
    size_t unlisted_count, unlisted_at;
    struct above above[64];
    size_t above_count;
    bool sees_traffic;
    unsigned endings; /* 1 << enum ending: those that it tells */
    const char *no_traffic; /* why */
    bool misses_old_sockets;
    struct open_socket sockets[128];
    size_t socket_count;
    unsigned socket_kinds; /* that can be told */
    int sockets_error;
    const char *no_sockets; /* why */
    uint64_t lacks[KERNEL_PARTS];
    bool lacks_cgroups;
    bool lacks_switches; /* nothing is known of them */
    uint64_t lost;
    unsigned freed;
    const struct actor *open;
    struct sample until, since;
    /* Texts that a call has handed out are gone at the next one of it. */
    char text[64], text_above[64], text_open[64];
} script;

/* Opens the tree; nobody is there. */
void script_open(void);
/* A collector with this source in place of its own. */
tally *with_source(tally *t, const char *name);
#define ends_collector(...) with_source(tree_collector(__VA_ARGS__), "ends")

struct actor *add_actor(struct actor a);
void tell_end(const struct actor *a, struct use use);
/* It leaves the list, and its final figures are told. */
void end(struct actor *a, struct use use);
void tell_unlisted(struct unlisted u);
void add_above(struct above a);

const tally_snapshot *collect_at(tally *t, double seconds);
/* 0 if it is not known: nobody has had any */
uint64_t count_of(tally *t, const char *group, enum metric metric);
uint64_t cpu_ns_of(tally *t, const char *group);
/* in milliseconds */
uint64_t cpu_of(tally *t, const char *group);
uint64_t starts_of(tally *t, const char *group);
uint64_t exits_of(tally *t, const char *group);

#endif
