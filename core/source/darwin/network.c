/* SPDX-License-Identifier: MIT */
#include "source/darwin/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    MESSAGE_SIZE = 65536, /* a datagram is never longer */
    ANSWERS_MOST = 1000,  /* parts of one answer, of some hundred flows each */
    FLOWS_MOST = 1 << 16
};

struct flow {
    uint64_t number;
    uint64_t last[DARWIN_FLOW_COUNTS]; /* what was handed out of it */
    uint32_t round;                    /* that it was told of last */
    uint32_t pid;                      /* of the process that was resolved last; 0: none yet */
    uint64_t unique, start_ticks;
    UT_hash_handle hh;
};

/* What a process used of a flow. */
struct piece {
    uint32_t pid;
    uint64_t start_ticks;
    bool is_known, is_udp;
    uint8_t name_len;
    char name[DARWIN_FLOW_NAME];
    uint64_t counts[DARWIN_FLOW_COUNTS];
};

struct network {
    struct darwin_calls calls;
    const struct darwin_flow_layout *layout;
    struct tally_error why_not;
    struct flow *flows;
    uint32_t round;
    bool has_begun; /* all flows are known: one that is not is new, else it is from before us */
    bool is_full;   /* some flow had no room in this round */
    struct piece *pieces;
    size_t count, size, handed_out;
    char message[MESSAGE_SIZE];
};

const struct tally_error *network_why_not(const struct network *n) {
    return &n->why_not;
}

static void remove_flow(struct network *n, struct flow *f) {
    HASH_DEL(n->flows, f);
    free(f);
}

struct network *network_free(struct network *n) {
    if (n)
        while (n->flows)
            remove_flow(n, n->flows);
    if (n)
        free(n->pieces);
    free(n);
    return NULL;
}

/* ---- Asking ------------------------------------------------------------------------------ */

/* TCP and UDP of the kernel's, and of programs that have the protocol in themselves; and QUIC,
 * which they have, too. A flow is of one kind alone. */
static const uint32_t providers[] = {2, 3, 4, 5, 8};

static int subscribe(struct network *n) {
    char message[DARWIN_SUBSCRIBE_SIZE];
    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
        darwin_write_subscribe(message, providers[i]);
        int r = n->calls.network_send(n->calls.data, message, sizeof(message));
        if (r < 0)
            return r;
    }
    return 0;
}

int network_new(const struct darwin_calls *calls, struct network **ret) {
    struct network *n = calloc(1, sizeof(*n));
    char release[32] = "";
    if (!n)
        return -ENOMEM;
    n->calls = *calls;
    int r = calls->release(calls->data, release, sizeof(release));
    release[sizeof(release) - 1] = '\0';
    n->layout = r < 0 ? NULL : darwin_flow_layout(release);
    if (!n->layout) {
        error_set(&n->why_not,
                  "what the kernel tells of it is not known for Darwin %s; expected Darwin "
                  "%u to %u", release, DARWIN_NETWORK_FIRST, DARWIN_NETWORK_LAST);
    } else {
        r = calls->network_open(calls->data);
        if (r == 0)
            r = subscribe(n);
        if (r < 0)
            error_set(&n->why_not, "the kernel's statistics can't be asked: %s", strerror(-r));
    }
    *ret = n;
    return 0;
}

/* ---- What it answers ------------------------------------------------------------------------ */

static int make_room(struct network *n) {
    if (n->count < n->size)
        return 0;
    const size_t size = n->size ? n->size * 2 : 64;
    struct piece *pieces = realloc(n->pieces, size * sizeof(*pieces));
    if (!pieces)
        return -ENOMEM;
    n->pieces = pieces;
    n->size = size;
    return 0;
}

/* What one has used while there was no room for it is not counted. */
static int find_flow(struct network *n, const struct darwin_flow *told, struct flow **ret) {
    struct flow *f;
    HASH_FIND(hh, n->flows, &told->number, sizeof(told->number), f);
    *ret = f;
    if (f)
        return 0;
    n->is_full |= HASH_COUNT(n->flows) >= FLOWS_MOST;
    if (HASH_COUNT(n->flows) >= FLOWS_MOST)
        return 0;
    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->number = told->number;
    const unsigned count = HASH_COUNT(n->flows);
    HASH_ADD(hh, n->flows, number, sizeof(f->number), f);
    if (HASH_COUNT(n->flows) == count) {
        free(f);
        return -ENOMEM;
    }
    if (!n->has_begun)
        memcpy(f->last, told->counts, sizeof(f->last));
    *ret = f;
    return 0;
}

/* A process that is not listed yet will be next time, unless the flow ends before. */
static int take_flow(struct network *n, const struct darwin_flow *told, network_resolver *resolve,
                     void *data) {
    struct flow *f = NULL;
    uint64_t more = 0;
    int r = make_room(n);
    if (r == 0)
        r = find_flow(n, told, &f);
    if (r < 0 || !f)
        return r;
    f->round = n->round;
    if (f->unique != told->unique || f->pid == 0) {
        f->unique = told->unique;
        f->pid = resolve(data, told->pid, told->unique, &f->start_ticks) ? told->pid : 0;
    }
    if (f->pid == 0 && !told->is_closing)
        return 0;
    struct piece *p = &n->pieces[n->count];
    *p = (struct piece){.pid = f->pid,
                        .start_ticks = f->start_ticks,
                        .is_known = f->pid != 0,
                        .is_udp = told->is_udp,
                        .name_len = told->name_len};
    memcpy(p->name, told->name, told->name_len);
    for (size_t i = 0; i < DARWIN_FLOW_COUNTS; i++) {
        p->counts[i] = told->counts[i] > f->last[i] ? told->counts[i] - f->last[i] : 0;
        f->last[i] += p->counts[i];
        more |= p->counts[i];
    }
    n->count += more != 0;
    return 0;
}

static void forget_flow(struct network *n, uint64_t number) {
    struct flow *f;
    HASH_FIND(hh, n->flows, &number, sizeof(number), f);
    if (f)
        remove_flow(n, f);
}

/* Those whose end was told while the socket had no room. */
static void forget_untold(struct network *n) {
    struct flow *f, *next;
    HASH_ITER(hh, n->flows, f, next)
        if (f->round != n->round)
            remove_flow(n, f);
}

/* The messages of a datagram. 1: the answer is complete; 2: there is more to ask for. */
static int take_datagram(struct network *n, size_t len, network_resolver *resolve, void *data) {
    struct darwin_message m;
    int state = 0;
    for (size_t at = 0; at < len;) {
        const ssize_t taken = darwin_parse_network(n->message + at, len - at, n->layout, &m);
        if (taken == -EPROTO)
            error_set(&n->why_not,
                      "the kernel describes a flow in %zu bytes, expected %zu for TCP, %zu for UDP",
                      m.described, n->layout->tcp_size, n->layout->udp_size);
        if (taken < 0)
            return taken == -EPROTO ? -EPROTO : state; /* nonsense: the next datagram */
        at += (size_t)taken;
        int r = 0;
        switch (m.kind) {
        case DARWIN_MESSAGE_FLOW:
            r = take_flow(n, &m.flow, resolve, data);
            break;
        case DARWIN_MESSAGE_REMOVED:
            forget_flow(n, m.flow.number);
            break;
        case DARWIN_MESSAGE_DONE:
            if (m.context == n->round)
                state = m.has_more ? 2 : 1;
            break;
        case DARWIN_MESSAGE_OTHER:
            break;
        }
        if (r < 0)
            return r;
    }
    return state;
}

/* What is there: the kernel answers before the call that asks returns. */
static int take_answer(struct network *n, network_resolver *resolve, void *data) {
    int state = 0;
    for (;;) {
        const ssize_t len = n->calls.network_read(n->calls.data, n->message, sizeof(n->message));
        if (len <= 0)
            return len == 0 || len == -EAGAIN ? state : (int)len;
        const int r = take_datagram(n, (size_t)len, resolve, data);
        if (r < 0)
            return r;
        state = r ? r : state;
    }
}

static int ask(struct network *n, network_resolver *resolve, void *data) {
    char message[DARWIN_ASK_SIZE];
    darwin_write_ask(message, n->round);
    for (int i = 0; i < ANSWERS_MOST; i++) {
        int r = n->calls.network_send(n->calls.data, message, sizeof(message));
        if (r == 0)
            r = take_answer(n, resolve, data);
        if (r != 2)
            return r;
    }
    return 0;
}

int network_poll(struct network *n, network_resolver *resolve, void *data) {
    if (n->why_not.text[0])
        return 0;
    n->round++;
    n->is_full = false;
    int r = ask(n, resolve, data);
    if (r == 1 && !n->is_full)
        forget_untold(n);
    n->has_begun = (n->has_begun || r == 1) && !n->is_full;
    if (r < 0 && r != -ENOMEM && !n->why_not.text[0])
        error_set(&n->why_not, "the kernel's statistics can't be read: %s", strerror(-r));
    return r == -ENOMEM ? r : 0;
}

bool network_next(struct network *n, struct unlisted_usage *ret) {
    if (n->handed_out == n->count) {
        n->count = n->handed_out = 0;
        return false;
    }
    const struct piece *p = &n->pieces[n->handed_out++];
    *ret = (struct unlisted_usage){.identity.comm = {p->name, p->name_len},
                                   .known_pid = p->is_known ? p->pid : 0,
                                   .known_start_ticks = p->start_ticks,
                                   .is_known = p->is_known};
    /* in the order of METRIC_RECEIVED_BYTES_TCP and what follows: each of both protocols */
    for (size_t i = 0; i < DARWIN_FLOW_COUNTS; i++)
        ret->traffic[2 * i + p->is_udp] = p->counts[i];
    return true;
}
