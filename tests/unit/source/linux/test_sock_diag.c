/* SPDX-License-Identifier: MIT */
/* Asking for all sockets: a made-up kernel that answers in parts, refuses, lacks modules,
 * and says what it should not. */
#include "source/linux/sock_diag.h"

#include "build-config.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_MNL

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* ---- A kernel ---------------------------------------------------------------------- */

/* What there is. */
static struct made_up {
    unsigned family, protocol, state;
    uint32_t inode;
} sockets[64];
static size_t socket_count;

static struct {
    unsigned family, protocol;
    int error;
} refusals[8];
static size_t refusal_count;

static size_t asked; /* questions */
static size_t per_part;              /* sockets in one answer */
static size_t breaks_off_after;      /* parts; 0: never */
static bool is_short, is_stale, is_interrupted;

static char request[256];
static size_t sent_parts, next_socket;
static bool is_done;

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *s, const void *data, size_t len);
ssize_t __wrap_recv(int fd, void *to, size_t size, int flags);

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *s, const void *data, size_t len) {
    (void)s;
    ck_assert_uint_le(len, sizeof(request));
    memcpy(request, data, len);
    sent_parts = next_socket = 0;
    is_done = false;
    asked++;
    return (ssize_t)len;
}

static const struct nlmsghdr *header_of_request(void) {
    return (const void *)request;
}

static unsigned family_asked(void) {
    return ((const struct inet_diag_req_v2 *)mnl_nlmsg_get_payload(header_of_request()))
        ->sdiag_family;
}

static uint32_t states_asked(void) {
    const struct inet_diag_req_v2 *inet = mnl_nlmsg_get_payload(header_of_request());
    const struct unix_diag_req *local = mnl_nlmsg_get_payload(header_of_request());
    return family_asked() == AF_UNIX ? local->udiag_states : inet->idiag_states;
}

static unsigned protocol_asked(void) {
    const struct inet_diag_req_v2 *inet = mnl_nlmsg_get_payload(header_of_request());
    if (family_asked() == AF_UNIX)
        return 0;
    if (mnl_nlmsg_get_payload_len(header_of_request()) == sizeof(*inet))
        return inet->sdiag_protocol;
    const struct nlattr *attr = mnl_nlmsg_get_payload_offset(header_of_request(), sizeof(*inet));
    ck_assert_uint_eq(mnl_attr_get_type(attr), INET_DIAG_REQ_PROTOCOL);
    ck_assert_uint_eq(inet->sdiag_protocol, 254); /* no protocol that older kernels know */
    return mnl_attr_get_u32(attr);
}

static void put_socket(char *to, const struct made_up *socket, uint32_t sequence, size_t *len) {
    struct nlmsghdr *header = mnl_nlmsg_put_header(to + *len);
    header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    header->nlmsg_flags = NLM_F_MULTI;
    header->nlmsg_seq = sequence;
    if (socket->family == AF_UNIX) {
        struct unix_diag_msg *m = mnl_nlmsg_put_extra_header(header, sizeof(*m));
        m->udiag_family = AF_UNIX;
        m->udiag_ino = socket->inode;
    } else {
        struct inet_diag_msg *m = mnl_nlmsg_put_extra_header(header, sizeof(*m));
        m->idiag_family = (uint8_t)socket->family;
        m->idiag_state = (uint8_t)socket->state;
        m->idiag_inode = socket->inode;
    }
    if (is_short)
        header->nlmsg_len = (uint32_t)mnl_nlmsg_size(8);
    *len += NLMSG_ALIGN(header->nlmsg_len);
}

static size_t put_number(char *to, uint16_t type, int number) {
    struct nlmsghdr *header = mnl_nlmsg_put_header(to);
    header->nlmsg_type = type;
    header->nlmsg_seq = header_of_request()->nlmsg_seq;
    struct nlmsgerr *error = mnl_nlmsg_put_extra_header(header, sizeof(*error));
    error->error = number;
    return header->nlmsg_len;
}

ssize_t __wrap_recv(int fd, void *to, size_t size, int flags) {
    const uint32_t sequence = header_of_request()->nlmsg_seq;
    size_t len = 0, put = 0;
    (void)fd;
    ck_assert_int_eq(flags, MSG_DONTWAIT);
    ck_assert_uint_ge(size, 8192);
    if (is_interrupted) {
        is_interrupted = false;
        errno = EINTR;
        return -1;
    }
    if (is_done || (breaks_off_after && sent_parts == breaks_off_after)) {
        errno = EAGAIN;
        return -1;
    }
    for (size_t i = 0; i < refusal_count; i++)
        if (refusals[i].family == family_asked() && refusals[i].protocol == protocol_asked()) {
            is_done = true;
            return (ssize_t)put_number(to, NLMSG_ERROR, refusals[i].error);
        }
    if (is_stale) /* of a question before */
        put_socket(to, &(struct made_up){AF_INET, IPPROTO_TCP, 1, 999}, sequence - 1, &len);
    for (; next_socket < socket_count && put < per_part; next_socket++) {
        const struct made_up *s = &sockets[next_socket];
        if (s->family != family_asked() || s->protocol != protocol_asked() ||
            !(states_asked() >> s->state & 1))
            continue;
        put_socket(to, s, sequence, &len);
        put++;
    }
    sent_parts++;
    if (put < per_part) {
        len += put_number((char *)to + len, NLMSG_DONE, 0);
        is_done = true;
    }
    return (ssize_t)len;
}

static void there_is(unsigned family, unsigned protocol, unsigned state, uint32_t inode) {
    ck_assert_uint_lt(socket_count, 64);
    sockets[socket_count++] = (struct made_up){family, protocol, state, inode};
}

static void refuses(unsigned family, unsigned protocol, int error) {
    refusals[refusal_count].family = family;
    refusals[refusal_count].protocol = protocol;
    refusals[refusal_count++].error = error;
}

/* ---- What comes of it ------------------------------------------------------------------- */

static struct sock_diag *diag;
static int kind_of[1000]; /* by inode; -1: it was not told */
static size_t told;
static unsigned kinds;
static int stop_with;

static int use(void *data, uint64_t inode, enum socket_kind kind) {
    (void)data;
    ck_assert_uint_lt(inode, 1000);
    kind_of[inode] = (int)kind;
    told++;
    return stop_with;
}

static int dump(void) {
    told = 0;
    kinds = 0;
    for (size_t i = 0; i < 1000; i++)
        kind_of[i] = -1;
    return sock_diag_dump(diag, use, NULL, &kinds);
}

static void setup(void) {
    socket_count = refusal_count = asked = breaks_off_after = 0;
    is_short = is_stale = is_interrupted = false;
    per_part = 3;
    stop_with = 0;
    ck_assert_int_eq(sock_diag_new(&diag), 0);
}

static void teardown(void) {
    diag = sock_diag_free(diag);
}

#define ALL_KINDS (((1u << SOCKET_KINDS) - 1) & ~(1u << SOCKET_TCP_CLOSE))

START_TEST(all_kinds) {
    for (unsigned state = 1; state <= 13; state++)
        there_is(state % 2 ? AF_INET : AF_INET6, IPPROTO_TCP, state, 100 + state);
    there_is(AF_INET, 262, 10, 120);
    there_is(AF_INET6, 262, 1, 121);
    there_is(AF_INET, IPPROTO_UDP, 7, 130);
    there_is(AF_INET6, IPPROTO_UDP, 1, 131);
    there_is(AF_UNIX, 0, 1, 140);
    there_is(AF_UNIX, 0, 7, 141);
    there_is(AF_INET, IPPROTO_TCP, 4, 0); /* nobody's */
    is_interrupted = is_stale = true;
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(dump(), 0);
        ck_assert_uint_eq(kinds, ALL_KINDS);
        for (unsigned state = 1; state <= 13; state++)
            ck_assert_int_eq(kind_of[100 + state], state == 7 ? -1 : socket_kind_of_tcp(state));
        ck_assert_int_eq(kind_of[120], SOCKET_TCP_LISTEN);
        ck_assert_int_eq(kind_of[121], SOCKET_TCP_ESTABLISHED);
        ck_assert_int_eq(kind_of[130], SOCKET_UDP);
        ck_assert_int_eq(kind_of[131], SOCKET_UDP);
        ck_assert_int_eq(kind_of[140], SOCKET_UNIX);
        ck_assert_int_eq(kind_of[141], SOCKET_UNIX);
        ck_assert_int_eq(kind_of[999], -1);
        ck_assert_uint_eq(told, 8 + 6);
    }
}
END_TEST

START_TEST(without_some) {
    static const struct {
        unsigned family, protocol, lacking;
    } lacks[] = {
        {AF_INET, IPPROTO_TCP, ALL_KINDS & ~(1u << SOCKET_UDP | 1u << SOCKET_UNIX)},
        {AF_INET6, IPPROTO_TCP, 0},
        {AF_INET, 262, 0},
        {AF_INET6, IPPROTO_UDP, 0},
        {AF_INET, IPPROTO_UDP, 1u << SOCKET_UDP},
        {AF_UNIX, 0, 1u << SOCKET_UNIX},
    };
    there_is(AF_INET, IPPROTO_TCP, 1, 1);
    there_is(AF_INET, IPPROTO_UDP, 7, 2);
    there_is(AF_UNIX, 0, 1, 3);
    refuses(lacks[_i].family, lacks[_i].protocol, -ENOENT);
    for (int again = 0; again < 3; again++) {
        asked = 0;
        ck_assert_int_eq(dump(), 0);
        ck_assert_uint_eq(kinds, ALL_KINDS & ~lacks[_i].lacking);
        ck_assert_uint_eq(told, lacks[_i].lacking ? 2 : 3);
        /* a kernel that lacks it would look for a module each time */
        ck_assert_uint_eq(asked, again == 0 ? 7 : 6);
    }
}
END_TEST

START_TEST(a_refusal_is_not_for_good) {
    there_is(AF_UNIX, 0, 1, 3);
    refuses(AF_INET, IPPROTO_UDP, -EPERM);
    ck_assert_int_eq(dump(), -EPERM);
    ck_assert_uint_eq(kinds, 0);
    refusal_count = 0;
    ck_assert_int_eq(dump(), 0);
    ck_assert_uint_eq(kinds, ALL_KINDS);
    ck_assert_int_eq(kind_of[3], SOCKET_UNIX);
}
END_TEST

START_TEST(half_an_answer_is_none) {
    for (uint32_t i = 0; i < 10; i++)
        there_is(AF_INET, IPPROTO_TCP, 1, 100 + i);
    breaks_off_after = 2;
    ck_assert_int_eq(dump(), -EAGAIN);
    ck_assert_uint_eq(kinds, 0);
    breaks_off_after = 0;
    ck_assert_int_eq(dump(), 0);
    ck_assert_uint_eq(told, 10);
}
END_TEST

START_TEST(what_is_too_short) {
    there_is(_i ? AF_UNIX : AF_INET, _i ? 0 : IPPROTO_TCP, 1, 1);
    is_short = true;
    ck_assert_int_eq(dump(), -EBADMSG);
    ck_assert_uint_eq(told, 0);
}
END_TEST

START_TEST(an_error_that_is_none) {
    refuses(AF_INET, IPPROTO_TCP, 0);
    ck_assert_int_eq(dump(), -EBADMSG);
}
END_TEST

START_TEST(the_user_may_stop_it) {
    there_is(AF_INET, IPPROTO_TCP, 1, 1);
    there_is(AF_INET, IPPROTO_TCP, 1, 2);
    stop_with = -E2BIG;
    ck_assert_int_eq(dump(), -E2BIG);
    ck_assert_uint_eq(told, 1);
    stop_with = 0;
    ck_assert_int_eq(dump(), 0);
    ck_assert_uint_eq(told, 2);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sock_diag");
    TCase *tc = add_case(suite, "sock_diag");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, all_kinds);
    tcase_add_loop_test(tc, without_some, 0, 6);
    tcase_add_test(tc, a_refusal_is_not_for_good);
    tcase_add_test(tc, half_an_answer_is_none);
    tcase_add_loop_test(tc, what_is_too_short, 0, 2);
    tcase_add_test(tc, an_error_that_is_none);
    tcase_add_test(tc, the_user_may_stop_it);
    return run_suite(suite);
}

#else /* !HAVE_MNL */

int main(void) {
    puts("built without libmnl");
    return 77;
}

#endif
