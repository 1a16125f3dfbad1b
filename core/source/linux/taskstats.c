/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/taskstats.h"

#include "build-config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_MNL
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/taskstats.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* An answer has some 500 bytes today; the kernel's struct grows with its version. */
#define ANSWER_SIZE 2048u

struct question {
    struct nlmsghdr header;
    struct genlmsghdr generic;
    struct nlattr attr;
    uint32_t pid;
};

_Static_assert(sizeof(struct question) % NLMSG_ALIGNTO == 0, "questions follow one another");

struct taskstats_socket {
    struct mnl_socket *socket;
    uint16_t family;
    uint32_t sequence; /* of the last question */
    struct question questions[TASKSTATS_BATCH];
    struct mmsghdr messages[TASKSTATS_BATCH];
    struct iovec parts[TASKSTATS_BATCH];
    char answers[TASKSTATS_BATCH][ANSWER_SIZE] __attribute__((aligned(8)));
};

/* The kernel's struct of version 1 has the delays, version 3 put the context
 * switches where they are since. */
#define NEEDED (offsetof(struct taskstats, nivcsw) + sizeof(uint64_t))

static int read_stats(const struct nlattr *attr, void *data) {
    struct taskstats_answer *answer = data;
    struct taskstats stats;
    if (mnl_attr_get_type(attr) != TASKSTATS_TYPE_STATS || mnl_attr_get_payload_len(attr) < NEEDED)
        return MNL_CB_OK;
    memcpy(&stats, mnl_attr_get_payload(attr), NEEDED);
    *answer = (struct taskstats_answer){
        .voluntary_switches = stats.nvcsw,
        .involuntary_switches = stats.nivcsw,
        .run_queue_wait_ns = stats.cpu_delay_total,
        .blkio_delay_ns = stats.blkio_delay_total,
        .run_ns = stats.cpu_run_virtual_total,
        .slices = stats.cpu_count,
    };
    return MNL_CB_OK;
}

static int read_group(const struct nlattr *attr, void *data) {
    if (mnl_attr_get_type(attr) == TASKSTATS_TYPE_AGGR_TGID)
        return mnl_attr_parse_nested(attr, read_stats, data);
    return MNL_CB_OK;
}

static void read_answer(const struct nlmsghdr *header, struct taskstats_answer *ret) {
    const struct nlmsgerr *refusal = mnl_nlmsg_get_payload(header);
    if (header->nlmsg_type == NLMSG_ERROR && header->nlmsg_len >= mnl_nlmsg_size(sizeof(*refusal)))
        ret->error = refusal->error < 0 ? refusal->error : -ENOTSUP;
    else if (mnl_attr_parse(header, sizeof(struct genlmsghdr), read_group, ret) < 0)
        ret->error = -ENOTSUP;
}

/* Answers until now say "lost"; returns how many did not come. */
static size_t receive(struct taskstats_socket *s, uint32_t first, size_t count,
                      struct taskstats_answer *ret) {
    size_t missing = count;
    while (missing > 0) {
        int n = recvmmsg(mnl_socket_get_fd(s->socket), s->messages, TASKSTATS_BATCH, MSG_DONTWAIT,
                         NULL);
        /* ENOBUFS is said once when answers had to be dropped; the others follow */
        if (n < 0 && (errno == EINTR || errno == ENOBUFS))
            continue;
        if (n <= 0)
            break;
        for (int i = 0; i < n; i++) {
            const struct nlmsghdr *header = (const void *)s->answers[i];
            if (!mnl_nlmsg_ok(header, (int)s->messages[i].msg_len))
                continue;
            /* an answer to an earlier question came too late */
            size_t at = header->nlmsg_seq - first;
            if (at >= count || ret[at].error != -ENOBUFS)
                continue;
            ret[at].error = -ENOTSUP; /* unless it says what is asked for */
            read_answer(header, &ret[at]);
            missing--;
        }
    }
    return missing;
}

/* The kernel answers each question of a batch before send(2) returns, so that no
 * answer has to be waited for: what is not there then will never be. */
static size_t exchange(struct taskstats_socket *s, const uint32_t *pids, size_t count,
                       struct taskstats_answer *ret) {
    const uint32_t first = s->sequence + 1;
    for (size_t i = 0; i < count; i++) {
        s->questions[i].header.nlmsg_seq = ++s->sequence;
        s->questions[i].pid = pids[i];
        ret[i] = (struct taskstats_answer){.error = -ENOBUFS};
    }
    ssize_t n;
    do
        n = send(mnl_socket_get_fd(s->socket), s->questions, count * sizeof(s->questions[0]), 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? count : receive(s, first, count, ret);
}

void taskstats_query(struct taskstats_socket *s, const uint32_t *pids, size_t count,
                     struct taskstats_answer *ret) {
    if (exchange(s, pids, count, ret) == 0 || count == 1)
        return;
    for (size_t i = 0; i < count; i++)
        if (ret[i].error == -ENOBUFS)
            exchange(s, &pids[i], 1, &ret[i]);
}

static int read_family(const struct nlattr *attr, void *data) {
    if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
        mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
        *(uint16_t *)data = mnl_attr_get_u16(attr);
    return MNL_CB_OK;
}

static int on_family(const struct nlmsghdr *header, void *data) {
    return mnl_attr_parse(header, sizeof(struct genlmsghdr), read_family, data);
}

static int find_family(struct taskstats_socket *s) {
    char buffer[4096] __attribute__((aligned(8))) = {0}; /* padding goes to the kernel, too */
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    header->nlmsg_type = GENL_ID_CTRL;
    header->nlmsg_flags = NLM_F_REQUEST;
    header->nlmsg_seq = ++s->sequence;
    struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
    generic->cmd = CTRL_CMD_GETFAMILY;
    generic->version = 1;
    mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, TASKSTATS_GENL_NAME);
    int fd = mnl_socket_get_fd(s->socket);
    if (send(fd, header, header->nlmsg_len, 0) < 0)
        return -errno;
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 || mnl_cb_run(buffer, (size_t)n, s->sequence, mnl_socket_get_portid(s->socket),
                            on_family, &s->family) < 0)
        return -errno;
    return s->family == 0 ? -ENOTSUP : 0;
}

static void prepare(struct taskstats_socket *s) {
    for (size_t i = 0; i < TASKSTATS_BATCH; i++) {
        s->questions[i] = (struct question){
            .header = {.nlmsg_len = sizeof(s->questions[i]),
                       .nlmsg_type = s->family,
                       .nlmsg_flags = NLM_F_REQUEST},
            .generic = {.cmd = TASKSTATS_CMD_GET, .version = 1},
            .attr = {.nla_len = sizeof(struct nlattr) + sizeof(uint32_t),
                     .nla_type = TASKSTATS_CMD_ATTR_TGID},
        };
        s->parts[i] = (struct iovec){s->answers[i], ANSWER_SIZE};
        s->messages[i].msg_hdr = (struct msghdr){.msg_iov = &s->parts[i], .msg_iovlen = 1};
    }
}

int taskstats_new(struct taskstats_socket **ret) {
    struct taskstats_socket *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int r = 0;
    s->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
    if (!s->socket || mnl_socket_bind(s->socket, 0, MNL_SOCKET_AUTOPID) < 0)
        r = -errno;
    if (r == 0)
        r = find_family(s);
    if (r == 0) { /* the right is asked for at each query: see now */
        struct taskstats_answer answer = {0};
        prepare(s);
        taskstats_query(s, &(uint32_t){(uint32_t)getpid()}, 1, &answer);
        r = answer.error;
    }
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

/* ---- Ended threads ------------------------------------------------------------------------ */

static void *switch_some_times(void *data) {
    (void)data;
    for (int i = 0; i < 8; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1}, NULL);
    return NULL;
}

/* A thread that comes and goes, and takes no signals of the program meanwhile. */
static int run_a_thread(void) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    int r = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (r == 0) {
        r = pthread_create(&thread, NULL, switch_some_times, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (r == 0)
        r = pthread_join(thread, NULL);
    return -r;
}

static bool try_out(struct taskstats_socket *s) {
    struct rusage usage;
    struct taskstats_answer answer;
    if (run_a_thread() < 0)
        return true; /* reading thread by thread is right in any case */
    /* in this order: the numbers only rise, and the first one has all threads */
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        return true;
    taskstats_query(s, &(uint32_t){(uint32_t)getpid()}, 1, &answer);
    return answer.error || answer.voluntary_switches < (uint64_t)usage.ru_nvcsw;
}

bool taskstats_forget_switches(struct taskstats_socket *s) {
    /* 0: not tried out yet. A filter for system calls may come later, and refuse threads. */
    static atomic_int known;
    if (atomic_load(&known) == 0)
        atomic_store(&known, try_out(s) ? 1 : -1);
    return atomic_load(&known) > 0;
}

#else /* !HAVE_MNL */

bool taskstats_forget_switches(struct taskstats_socket *s) {
    (void)s;
    return true;
}

int taskstats_new(struct taskstats_socket **ret) {
    (void)ret;
    return -ENOTSUP;
}

struct taskstats_socket *taskstats_free(struct taskstats_socket *s) {
    (void)s;
    return NULL;
}

void taskstats_query(struct taskstats_socket *s, const uint32_t *pids, size_t count,
                     struct taskstats_answer *ret) {
    (void)s, (void)pids;
    for (size_t i = 0; i < count; i++)
        ret[i].error = -ENOTSUP;
}

#endif
