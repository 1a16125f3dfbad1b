/* SPDX-License-Identifier: MIT */
#include "source/linux/sock_diag.h"

#include "build-config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_MNL
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* The kernel fills messages of up to this size, if there is room for them. */
#define ANSWER_SIZE (32u << 10)

#define MPTCP_PROTOCOL 262u
/* For the byte that a protocol of more than 8 bits does not fit into: a kernel that does not
 * look further must not take it for one that it knows. */
#define NO_PROTOCOL 254u

#define ALL_TCP (((1u << (SOCKET_TCP_CLOSING + 1)) - 1) & ~(1u << SOCKET_TCP_CLOSE))

/* What is asked for, one after another. */
static const struct question {
    uint16_t family, protocol;
    unsigned kinds; /* that are known if it is answered */
} questions[] = {
    {AF_INET, IPPROTO_TCP, ALL_TCP},
    {AF_INET6, IPPROTO_TCP, 0},
    {AF_INET, MPTCP_PROTOCOL, 0}, /* programs in Go listen with this by default */
    {AF_INET6, MPTCP_PROTOCOL, 0},
    {AF_INET, IPPROTO_UDP, 1u << SOCKET_UDP},
    {AF_INET6, IPPROTO_UDP, 0},
    {AF_UNIX, 0, 1u << SOCKET_UNIX},
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

struct sock_diag {
    struct mnl_socket *socket; /* NULL: to be opened again */
    uint32_t sequence;
    /* The kernel was built without. Asked again it would start modprobe(8) each time. */
    bool is_lacking[QUESTIONS];
    char answer[ANSWER_SIZE] __attribute__((aligned(8)));
};

static int open_socket(struct sock_diag *d) {
    d->socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
    if (!d->socket)
        return -errno;
    return mnl_socket_bind(d->socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
}

/* It may have more to say to a question that we gave up. */
static void close_socket(struct sock_diag *d) {
    if (d->socket)
        mnl_socket_close(d->socket);
    d->socket = NULL;
}

/* The states that a socket of a process can be in and that tell anything: those of
 * connections that are over (TIME_WAIT) are many, and nobody's. */
static uint32_t wanted_states(const struct question *q) {
    uint32_t states = 0;
    if (q->protocol != IPPROTO_TCP && q->protocol != MPTCP_PROTOCOL)
        return UINT32_MAX;
    for (unsigned state = 0; state < 32; state++)
        if (socket_kind_of_tcp(state) >= 0 && socket_kind_of_tcp(state) != SOCKET_TCP_CLOSE)
            states |= UINT32_C(1) << state;
    return states;
}

static int ask(struct sock_diag *d, const struct question *q) {
    char buffer[256] __attribute__((aligned(8))) = {0}; /* padding goes to the kernel, too */
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    header->nlmsg_seq = ++d->sequence;
    if (q->family == AF_UNIX) {
        struct unix_diag_req *request = mnl_nlmsg_put_extra_header(header, sizeof(*request));
        request->sdiag_family = AF_UNIX;
        request->udiag_states = wanted_states(q);
    } else {
        struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(header, sizeof(*request));
        request->sdiag_family = (uint8_t)q->family;
        request->sdiag_protocol = (uint8_t)(q->protocol > 255 ? NO_PROTOCOL : q->protocol);
        request->idiag_states = wanted_states(q);
        if (q->protocol > 255)
            mnl_attr_put_u32(header, INET_DIAG_REQ_PROTOCOL, q->protocol);
    }
    return mnl_socket_sendto(d->socket, header, header->nlmsg_len) < 0 ? -errno : 0;
}

/* 1: it is of nobody, or of no kind that is counted. */
static int read_socket(const struct question *q, const struct nlmsghdr *header,
                       uint64_t *ret_inode, enum socket_kind *ret_kind) {
    if (q->family == AF_UNIX) {
        const struct unix_diag_msg *message = mnl_nlmsg_get_payload(header);
        if (mnl_nlmsg_get_payload_len(header) < sizeof(*message))
            return -EBADMSG;
        *ret_inode = message->udiag_ino;
        *ret_kind = SOCKET_UNIX;
    } else {
        const struct inet_diag_msg *message = mnl_nlmsg_get_payload(header);
        if (mnl_nlmsg_get_payload_len(header) < sizeof(*message))
            return -EBADMSG;
        const int kind =
            q->protocol == IPPROTO_UDP ? SOCKET_UDP : socket_kind_of_tcp(message->idiag_state);
        if (kind < 0)
            return 1;
        *ret_inode = message->idiag_inode;
        *ret_kind = (enum socket_kind)kind;
    }
    return *ret_inode == 0; /* nobody has it yet, or any more */
}

/* One message. 1: it was the last one. */
static int take(const struct question *q, const struct nlmsghdr *header, sock_diag_use *use,
                void *data) {
    const struct nlmsgerr *refusal = mnl_nlmsg_get_payload(header);
    uint64_t inode = 0;
    enum socket_kind kind = SOCKET_UNIX;
    if (header->nlmsg_type == NLMSG_DONE)
        return 1;
    if (header->nlmsg_type == NLMSG_ERROR)
        return mnl_nlmsg_get_payload_len(header) >= sizeof(*refusal) && refusal->error < 0
                   ? refusal->error
                   : -EBADMSG;
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return 0;
    int r = read_socket(q, header, &inode, &kind);
    if (r != 0)
        return r < 0 ? r : 0;
    r = use(data, inode, kind);
    return r < 0 ? r : 0;
}

/* The kernel writes the next part of an answer when the one before it is taken, so that
 * nothing has to be waited for. */
static int receive(struct sock_diag *d, const struct question *q, sock_diag_use *use,
                   void *data) {
    for (;;) {
        const ssize_t n =
            recv(mnl_socket_get_fd(d->socket), d->answer, sizeof(d->answer), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        int left = (int)n;
        for (const struct nlmsghdr *header = (const void *)d->answer; mnl_nlmsg_ok(header, left);
             header = mnl_nlmsg_next(header, &left)) {
            if (header->nlmsg_seq != d->sequence)
                continue;
            const int r = take(q, header, use, data);
            if (r != 0)
                return r < 0 ? r : 0;
        }
    }
}

int sock_diag_dump(struct sock_diag *d, sock_diag_use *use, void *data, unsigned *ret_kinds) {
    unsigned kinds = 0;
    int r = d->socket ? 0 : open_socket(d);
    for (size_t i = 0; r == 0 && i < QUESTIONS; i++) {
        if (d->is_lacking[i])
            continue;
        r = ask(d, &questions[i]);
        if (r == 0)
            r = receive(d, &questions[i], use, data);
        if (r == 0)
            kinds |= questions[i].kinds;
        d->is_lacking[i] = r == -ENOENT;
        if (r == -ENOENT)
            r = 0;
    }
    if (r < 0) {
        close_socket(d);
        return r;
    }
    *ret_kinds = kinds;
    return 0;
}

int sock_diag_new(struct sock_diag **ret) {
    struct sock_diag *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    const int r = open_socket(d);
    if (r < 0) {
        sock_diag_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

struct sock_diag *sock_diag_free(struct sock_diag *d) {
    if (d)
        close_socket(d);
    free(d);
    return NULL;
}

#else /* !HAVE_MNL */

int sock_diag_new(struct sock_diag **ret) {
    (void)ret;
    return -ENOTSUP;
}

struct sock_diag *sock_diag_free(struct sock_diag *d) {
    (void)d;
    return NULL;
}

int sock_diag_dump(struct sock_diag *d, sock_diag_use *use, void *data, unsigned *ret_kinds) {
    (void)d, (void)use, (void)data, (void)ret_kinds;
    return -ENOTSUP;
}

#endif
