/* SPDX-License-Identifier: MIT */
/* Answers of sysctl kern.procargs2, as the kernel's source says that they are made. */
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

int main(void) {
    Suite *suite = suite_create("darwin/parse");
    TCase *tc = add_case(suite, "arguments");
    tcase_add_loop_test(tc, arguments, 0, COUNT(cases));
    tcase_add_test(tc, no_answers);
    return run_suite(suite);
}
