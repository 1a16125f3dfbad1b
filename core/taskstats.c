/* SPDX-License-Identifier: MIT */
#include "taskstats.h"

#include "build-config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_MNL
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/taskstats.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct taskstats_socket {
    struct mnl_socket *socket;
    uint16_t family;
    uint32_t sequence;
    uint32_t port;
    size_t size;
    char buffer[8192];
};

static int read_family(const struct nlattr *attr, void *data) {
    if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID && mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
        *(uint16_t *)data = mnl_attr_get_u16(attr);
    return MNL_CB_OK;
}

static int on_family(const struct nlmsghdr *header, void *data) {
    return mnl_attr_parse(header, sizeof(struct genlmsghdr), read_family, data);
}

struct answer {
    struct taskstats_totals *totals;
    int found;
};

/* The kernel's struct grows with its version; one of version 1 has the delays,
 * version 3 put the context switches where they are since. */
#define NEEDED (offsetof(struct taskstats, nivcsw) + sizeof(uint64_t))

static int read_stats(const struct nlattr *attr, void *data) {
    struct answer *answer = data;
    size_t len = mnl_attr_get_payload_len(attr);
    if (mnl_attr_get_type(attr) != TASKSTATS_TYPE_STATS || len < NEEDED)
        return MNL_CB_OK;
    struct taskstats stats = {0};
    memcpy(&stats, mnl_attr_get_payload(attr), len < sizeof(stats) ? len : sizeof(stats));
    *answer->totals = (struct taskstats_totals){
        .voluntary_switches = stats.nvcsw,
        .involuntary_switches = stats.nivcsw,
        .run_queue_wait_ns = stats.cpu_delay_total,
        .blkio_delay_ns = stats.blkio_delay_total,
        .run_ns = stats.cpu_run_virtual_total,
    };
    answer->found = 1;
    return MNL_CB_OK;
}

static int read_group(const struct nlattr *attr, void *data) {
    if (mnl_attr_get_type(attr) == TASKSTATS_TYPE_AGGR_TGID)
        return mnl_attr_parse_nested(attr, read_stats, data);
    return MNL_CB_OK;
}

static int on_stats(const struct nlmsghdr *header, void *data) {
    return mnl_attr_parse(header, sizeof(struct genlmsghdr), read_group, data);
}

/* Sends what stands in the buffer and hands the answer with its sequence number
 * to the callback; answers that came too late for earlier questions are passed
 * over. */
static int exchange(struct taskstats_socket *s, struct nlmsghdr *header, mnl_cb_t callback,
                    void *data) {
    uint32_t sequence = header->nlmsg_seq = ++s->sequence;
    if (mnl_socket_sendto(s->socket, header, header->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s->socket, s->buffer, sizeof(s->buffer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        const struct nlmsghdr *answer = (const void *)s->buffer;
        if (!mnl_nlmsg_ok(answer, (int)n) || answer->nlmsg_seq != sequence)
            continue;
        if (mnl_cb_run(s->buffer, (size_t)n, sequence, s->port, callback, data) < 0)
            return -errno;
        return 0;
    }
}

static struct nlmsghdr *question(struct taskstats_socket *s, uint16_t type, uint8_t command,
                                 uint8_t version) {
    struct nlmsghdr *header = mnl_nlmsg_put_header(s->buffer);
    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST;
    struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
    generic->cmd = command;
    generic->version = version;
    return header;
}

int taskstats_new(struct taskstats_socket **ret) {
    struct taskstats_socket *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int r = 0;
    s->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
    if (!s->socket || mnl_socket_bind(s->socket, 0, MNL_SOCKET_AUTOPID) < 0)
        r = -errno;
    if (r == 0) {
        s->port = mnl_socket_get_portid(s->socket);
        /* a lost answer must not stop the agent for ever */
        struct timeval limit = {.tv_sec = 1};
        setsockopt(mnl_socket_get_fd(s->socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        struct nlmsghdr *header = question(s, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
        mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, TASKSTATS_GENL_NAME);
        r = exchange(s, header, on_family, &s->family);
        if (r == 0 && s->family == 0)
            r = -ENOTSUP;
    }
    struct taskstats_totals totals = {0};
    if (r == 0) /* the right is asked for at each query: see now */
        r = taskstats_query(s, (uint32_t)getpid(), &totals);
    if (r < 0) {
        taskstats_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct taskstats_socket *taskstats_free(struct taskstats_socket *s) {
    if (s) {
        if (s->socket)
            mnl_socket_close(s->socket);
        free(s);
    }
    return NULL;
}

int taskstats_query(struct taskstats_socket *s, uint32_t pid, struct taskstats_totals *ret) {
    struct taskstats_totals totals = {0};
    struct answer answer = {.totals = &totals};
    struct nlmsghdr *header = question(s, s->family, TASKSTATS_CMD_GET, 1);
    mnl_attr_put_u32(header, TASKSTATS_CMD_ATTR_TGID, pid);
    int r = exchange(s, header, on_stats, &answer);
    if (r < 0)
        return r;
    if (!answer.found)
        return -ENOTSUP;
    *ret = totals;
    return 0;
}

#else /* !HAVE_MNL */

int taskstats_new(struct taskstats_socket **ret) {
    (void)ret;
    return -ENOTSUP;
}

struct taskstats_socket *taskstats_free(struct taskstats_socket *s) {
    (void)s;
    return NULL;
}

int taskstats_query(struct taskstats_socket *s, uint32_t pid, struct taskstats_totals *ret) {
    (void)s, (void)pid, (void)ret;
    return -ENOTSUP;
}

#endif
