/* SPDX-License-Identifier: MIT */
/* Answers of sysctl kern.procargs2, and messages of the network statistics, as the kernel's
 * source says that they are made. */
#include "source/darwin/parse.h"

#include "suite.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In memory of just that size, so that a sanitizer sees a byte too far. */
static int parse(int32_t count, const char *text, size_t len, struct darwin_arguments *ret,
                 char **ret_buf) {
    char *buf = malloc(sizeof(count) + len);
    ck_assert_ptr_nonnull(buf);
    memcpy(buf, &count, sizeof(count));
    memcpy(buf + sizeof(count), text, len);
    *ret_buf = buf;
    return darwin_parse_arguments(buf, sizeof(count) + len, ret);
}

#define TEXT(text) text, sizeof(text) - 1

/* Paths are padded to eight bytes; the environment follows the arguments. */
static const struct {
    int32_t count;
    const char *text;
    size_t len;
    const char *path;
    const char *arguments;
    size_t arguments_len;
} cases[] = {
    {2, TEXT("/bin/sh\0sh\0-c\0HOME=/root\0"), "/bin/sh", TEXT("sh\0-c")},
    {1, TEXT("/bin/zsh\0\0\0\0\0\0\0\0-zsh\0TERM=x\0"), "/bin/zsh", TEXT("-zsh")},
    {3, TEXT("/bin/ls\0ls\0\0x\0A=B\0"), "/bin/ls", TEXT("ls\0\0x")},
    /* empty ones: at the end they can't be told from none; at the beginning they take the
     * place of one each, so that nothing of the environment comes in */
    {3, TEXT("/bin/ls\0ls\0\0\0A=B\0"), "/bin/ls", TEXT("ls")},
    {2, TEXT("/bin/ls\0\0x\0SECRET=1\0"), "/bin/ls", TEXT("\0x")},
    {1, TEXT("/bin/ls\0\0SECRET=1\0"), "/bin/ls", TEXT("")},
    {2, TEXT("/bin/zsh\0\0\0\0\0\0\0\0\0\0SECRET=1\0"), "/bin/zsh", TEXT("")},
    {0, TEXT("/bin/ls\0SECRET=1\0"), "/bin/ls", TEXT("")},
    /* cut short, or made by another kernel: nothing is read beyond the end */
    {2, TEXT("/bin/ls\0ls\0-"), "/bin/ls", TEXT("ls\0-")},
    {9, TEXT("/bin/ls\0ls\0-l\0"), "/bin/ls", TEXT("ls\0-l")},
    {2, TEXT("/bin/zsh\0zsh\0-l\0A=B\0"), "/bin/zsh", TEXT("zsh\0-l")},
    {INT32_MAX, TEXT("/bin/ls\0"), "/bin/ls", TEXT("")},
    {1, TEXT("\0\0\0\0\0\0\0\0x\0"), "", TEXT("x")},
};

START_TEST(arguments) {
    struct darwin_arguments found;
    char *buf;
    ck_assert_int_eq(parse(cases[_i].count, cases[_i].text, cases[_i].len, &found, &buf), 0);
    assert_bytes(found.path, found.path_len, cases[_i].path, strlen(cases[_i].path));
    assert_bytes(found.at, found.len, cases[_i].arguments, cases[_i].arguments_len);
    free(buf);
}
END_TEST

START_TEST(no_answers) {
    struct darwin_arguments found;
    char *buf;
    ck_assert_int_eq(darwin_parse_arguments("", 0, &found), -EBADMSG);
    ck_assert_int_eq(darwin_parse_arguments("\1\0\0", 3, &found), -EBADMSG);
    ck_assert_int_eq(parse(1, TEXT(""), &found, &buf), -EBADMSG);
    free(buf);
    ck_assert_int_eq(parse(1, TEXT("/bin/ls"), &found, &buf), -EBADMSG);
    free(buf);
    ck_assert_int_eq(parse(-1, TEXT("/bin/ls\0ls\0"), &found, &buf), -EBADMSG);
    free(buf);
}
END_TEST

/* ---- Network statistics -------------------------------------------------------------------- */

/* A message that says of itself how long it is, in memory of just that size. */
static char *message(uint32_t type, uint16_t flags, size_t len) {
    char *m = calloc(1, len);
    const uint16_t said = (uint16_t)len;
    const uint64_t context = 77;
    ck_assert_ptr_nonnull(m);
    memcpy(m, &context, sizeof(context));
    memcpy(m + 8, &type, sizeof(type));
    memcpy(m + 12, &said, sizeof(said));
    memcpy(m + 14, &flags, sizeof(flags));
    return m;
}

static void put64(char *at, uint64_t value) {
    memcpy(at, &value, sizeof(value));
}

static void put32(char *at, uint32_t value) {
    memcpy(at, &value, sizeof(value));
}

START_TEST(layouts_by_release) {
    static const struct {
        const char *release;
        size_t tcp_size; /* 0: not known */
    } of[] = {{"19.0.0", 304}, {"20.1", 336}, {"21", 344}, {"24.6.0", 344}, {"18.9.9", 0},
              {"25.0.0", 0}, {"", 0}, {".", 0}, {"24x", 0}, {"-24.0", 0}, {"224.0.0", 0}};
    for (int i = 0; i < COUNT(of); i++) {
        const struct darwin_flow_layout *l = darwin_flow_layout(of[i].release);
        ck_assert_msg((l ? l->tcp_size : 0) == of[i].tcp_size, "%s", of[i].release);
    }
    ck_assert_ptr_null(darwin_flow_layout("18.0.0"));
    ck_assert_ptr_nonnull(darwin_flow_layout("19.0.0"));
    ck_assert_uint_eq(DARWIN_NETWORK_FIRST, darwin_flow_layout("19.0")->first);
    ck_assert_uint_eq(DARWIN_NETWORK_LAST, darwin_flow_layout("24.0")->last);
}
END_TEST

/* A name of 64 bytes has no NUL byte behind it. */
START_TEST(flow) {
    const struct darwin_flow_layout *layout = darwin_flow_layout("24.0.0");
    const size_t len = 152 + (_i ? layout->udp_size : layout->tcp_size);
    char *m = message(10006, 4, len);
    struct darwin_message got;
    put64(m + 16, 5);
    for (size_t i = 0; i < 4; i++)
        put64(m + 32 + 8 * i, 10 + i);
    put32(m + 144, _i ? 4 : 8);
    put64(m + 152, 1234567);
    put32(m + 152 + (_i ? 128 : 116), 300);
    memset(m + 152 + (_i ? 132 : 196), 'n', 64);
    ck_assert_int_eq(darwin_parse_network(m, len, layout, &got), (ssize_t)len);
    ck_assert_int_eq(got.kind, DARWIN_MESSAGE_FLOW);
    ck_assert_uint_eq(got.flow.number, 5);
    ck_assert_uint_eq(got.flow.unique, 1234567);
    ck_assert_uint_eq(got.flow.pid, 300);
    ck_assert(got.flow.is_udp && got.flow.is_closing);
    static const uint64_t counts[] = {11, 10, 13, 12};
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(got.flow.counts[i], counts[i]);
    ck_assert_uint_eq(got.flow.name_len, 64);
    /* a byte is missing, or is one too many */
    put32(m + 12, (uint32_t)(len - 1));
    ck_assert_int_eq(darwin_parse_network(m, len - 1, layout, &got), -EPROTO);
    ck_assert_uint_eq(got.described, len - 1 - 152);
    put32(m + 12, (uint32_t)(len + 1));
    ck_assert_int_eq(darwin_parse_network(m, len, layout, &got), -EBADMSG);
    free(m);
}
END_TEST

START_TEST(other_messages) {
    const struct darwin_flow_layout *layout = darwin_flow_layout("24.0.0");
    struct darwin_message got;
    char *m = message(0, 2, 16);
    ck_assert_int_eq(darwin_parse_network(m, 16, layout, &got), 16);
    ck_assert_int_eq(got.kind, DARWIN_MESSAGE_DONE);
    ck_assert(got.has_more);
    ck_assert_uint_eq(got.context, 77);
    memset(m + 12, 0, 2); /* one that stands alone may not say how long it is */
    ck_assert_int_eq(darwin_parse_network(m, 16, layout, &got), 16);
    for (size_t len = 0; len < 16; len++)
        ck_assert_int_eq(darwin_parse_network(m, len, layout, &got), -EBADMSG);
    free(m);
    m = message(10002, 0, 24);
    put64(m + 16, 9);
    ck_assert_int_eq(darwin_parse_network(m, 24, layout, &got), 24);
    ck_assert_int_eq(got.kind, DARWIN_MESSAGE_REMOVED);
    ck_assert_uint_eq(got.flow.number, 9);
    put32(m + 12, 23);
    ck_assert_int_eq(darwin_parse_network(m, 24, layout, &got), -EBADMSG);
    free(m);
    m = message(10006, 0, 300); /* of an interface, or what else there is */
    put32(m + 144, 6);
    ck_assert_int_eq(darwin_parse_network(m, 300, layout, &got), 300);
    ck_assert_int_eq(got.kind, DARWIN_MESSAGE_OTHER);
    put32(m + 12, 151);
    ck_assert_int_eq(darwin_parse_network(m, 300, layout, &got), -EBADMSG);
    free(m);
}
END_TEST

START_TEST(requests) {
    char subscribe[DARWIN_SUBSCRIBE_SIZE], ask[DARWIN_ASK_SIZE];
    uint64_t value;
    darwin_write_subscribe(subscribe, 3);
    darwin_write_ask(ask, 99);
    ck_assert_mem_eq(subscribe + 8, "\xea\x03\0\0\x38\0\0\0\0\0\x10\0\0\0\0\0", 16);
    ck_assert_mem_eq(subscribe + 32, "\3\0\0\0\0\0\0\0", 8);
    ck_assert_mem_eq(ask, "\x63\0\0\0\0\0\0\0\xef\x03\0\0\x18\0\2\0", 16);
    memcpy(&value, ask + 16, sizeof(value));
    ck_assert_uint_eq(value, UINT64_MAX);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("darwin/parse");
    TCase *tc = add_case(suite, "arguments");
    tcase_add_loop_test(tc, arguments, 0, COUNT(cases));
    tcase_add_test(tc, no_answers);

    tc = add_case(suite, "network statistics");
    tcase_add_test(tc, layouts_by_release);
    tcase_add_loop_test(tc, flow, 0, 2);
    tcase_add_test(tc, other_messages);
    tcase_add_test(tc, requests);
    return run_suite(suite);
}
