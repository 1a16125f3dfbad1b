/* SPDX-License-Identifier: MIT */
/* What macOS hands out as bytes. No calls, no memory of its own. */
#ifndef DARWIN_PARSE_H
#define DARWIN_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Most that the kernel lets anybody hand to execve(2), and so the size for sysctl
 * kern.procargs2: a smaller buffer gets the end, which is the environment. */
#define DARWIN_ARGUMENTS_SIZE (1u << 20)

struct darwin_arguments {
    const char *path; /* as it was given to execve(2) */
    size_t path_len;
    const char *at; /* the arguments, with a NUL byte between them, none at the end */
    size_t len;
};

/* An answer of sysctl kern.procargs2: how many arguments there are, the path, NUL bytes up to
 * a multiple of eight, the arguments, and the environment, of which nothing is told.
 * -EBADMSG. */
int darwin_parse_arguments(const char *buf, size_t len, struct darwin_arguments *ret);

/* ---- Network statistics -------------------------------------------------------------------- */

/* What differs from system to system: how long the kernel's description of a flow is. It begins
 * alike in all of them, and a length that is another one is not believed. */
struct darwin_flow_layout {
    unsigned first, last; /* major releases of Darwin: 19 is macOS 10.15, 24 is macOS 15 */
    size_t tcp_size, udp_size;
    size_t tcp_pid, tcp_name, udp_pid, udp_name; /* where these are in it */
};
#define DARWIN_NETWORK_FIRST 19u
#define DARWIN_NETWORK_LAST 24u
/* That of a release such as "24.5.0"; NULL: it is not known. */
const struct darwin_flow_layout *darwin_flow_layout(const char *release);

enum { DARWIN_FLOW_COUNTS = 4 };
#define DARWIN_FLOW_NAME 64
struct darwin_flow {
    uint64_t number; /* of this flow alone */
    uint64_t unique; /* of the process, see struct darwin_unique */
    uint32_t pid;
    bool is_udp;
    bool is_closing; /* these counts are its last */
    uint64_t counts[DARWIN_FLOW_COUNTS]; /* received bytes and packets, sent bytes and packets */
    uint8_t name_len;
    char name[DARWIN_FLOW_NAME]; /* of the process */
};

struct darwin_message {
    enum darwin_message_kind {
        DARWIN_MESSAGE_OTHER,
        DARWIN_MESSAGE_FLOW,
        DARWIN_MESSAGE_REMOVED, /* flow.number alone */
        DARWIN_MESSAGE_DONE     /* the answer to what had this context is complete … */
    } kind;
    uint64_t context;
    bool has_more; /* … or it is not, and is to be asked for again */
    struct darwin_flow flow;
    size_t described; /* with -EPROTO: bytes */
};

/* The first message of what was read. Returns how many bytes it has. -EBADMSG; -EPROTO: a flow
 * that is described in another way than by `layout`. */
ssize_t darwin_parse_network(const char *buf, size_t len, const struct darwin_flow_layout *layout,
                             struct darwin_message *ret);

/* Requests: to hear of all flows of a provider, and to be told of them all now. */
#define DARWIN_SUBSCRIBE_SIZE 56
#define DARWIN_ASK_SIZE 24
void darwin_write_subscribe(char to[DARWIN_SUBSCRIBE_SIZE], uint32_t provider);
void darwin_write_ask(char to[DARWIN_ASK_SIZE], uint64_t context);

#endif
