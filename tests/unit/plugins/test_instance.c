/* SPDX-License-Identifier: MIT */
/* What collectd or a file system is told as a group's name: taken as it is where they can have
 * it, and else with a suffix, so that no two groups are called the same. */
#include "instance.h"
#include "suite.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
enum { FIELD = 128 };

static const char *const ordinary[] = {
    "nginx", "a_b", "_usr_sbin_sshd", "x-1.2", "with blank", " ", "~", "~0123456789abcde",
    "x~012345", "x~0123456789abcdeg", "x~0123456789ABCDEF", "x~0123456789abcdef ", "n\xc3\xa9",
    "a\"b\\c", "%s%n"};

START_TEST(ordinary_names_stay) {
    char to[FIELD];
    ck_assert_uint_eq(instance_of(ordinary[_i], to, sizeof(to)), 0);
    ck_assert_str_eq(to, ordinary[_i]);
}
END_TEST

/* The digits are those of printf %s NAME | sha256sum. */
static const struct {
    const char *name, *instance;
} changed[] = {
    {"/", "_~8a5edab282632443"},
    {"a/b", "a_b~c14cddc033f64b9d"},
    {"/usr/sbin/victimd", "_usr_sbin_victimd~099c509c279d5030"},
    /* nobody gets another's instance by being called so */
    {"a_b~c14cddc033f64b9d", "a_b~c14cddc033f64b9d~290bec97cc6a0bfc"},
    {"x~0123456789abcdef", "x~0123456789abcdef~a1352948bd541d89"},
};

START_TEST(others_get_a_suffix) {
    char to[FIELD];
    uint64_t suffix = instance_of(changed[_i].name, to, sizeof(to));
    ck_assert_str_eq(to, changed[_i].instance);
    ck_assert_uint_eq(suffix, strtoull(strrchr(to, '~') + 1, NULL, 16));
}
END_TEST

/* A '/' and so many 'x': around the edges of the hash's blocks, and of the field. */
static const struct {
    size_t count;
    uint64_t suffix;
} lengths[] = {
    {54, 0x3db130aada4a8307},  {55, 0x67d833e1aafa5c4a},  {62, 0x94ee4c65eb657954},
    {63, 0xe56f785f6e1de965},  {64, 0x9e7620845fa0b80e},  {118, 0x250ffc3d804feef0},
    {119, 0xd92fc55d61c5ea4b}, {511, 0x9a4f5423b6f1fa64},
};

START_TEST(every_length) {
    char name[513] = "/", to[FIELD], expected[64];
    const size_t count = lengths[_i].count, room = FIELD - 1 - INSTANCE_SUFFIX;
    memset(name + 1, 'x', count);
    ck_assert_uint_eq(instance_of(name, to, sizeof(to)), lengths[_i].suffix);
    snprintf(expected, sizeof(expected), "~%016" PRIx64, lengths[_i].suffix);
    ck_assert_uint_eq(strlen(to), (count + 1 < room ? count + 1 : room) + INSTANCE_SUFFIX);
    ck_assert_str_eq(strchr(to, '~'), expected);
}
END_TEST

START_TEST(long_names_are_cut_between_characters) {
    char name[160] = {0}, to[FIELD];
    memset(name, 'x', FIELD - 1);
    ck_assert_uint_eq(instance_of(name, to, sizeof(to)), 0);
    ck_assert_str_eq(to, name);
    name[FIELD - 1] = 'x';
    ck_assert_uint_eq(instance_of(name, to, sizeof(to)), UINT64_C(0x24da1b81d0b16df6));
    ck_assert_uint_eq(strlen(to), FIELD - 1);
    ck_assert_str_eq(to + FIELD - 1 - INSTANCE_SUFFIX, "~24da1b81d0b16df6");
    memset(name, 'x', 141);
    memcpy(name + 109, "\xc3\xa9", 2); /* only its first byte would fit */
    ck_assert_uint_eq(instance_of(name, to, sizeof(to)), UINT64_C(0x170ca92d767cddf6));
    ck_assert_uint_eq(strlen(to), 109 + INSTANCE_SUFFIX);
    ck_assert_str_eq(to + 109, "~170ca92d767cddf6");
}
END_TEST

/* What ls and * would not show. */
static const struct {
    const char *name, *directory;
} hidden[] = {
    {".", "_~cdb4ee2aea69cc6a"},
    {"..", "_.~5ec1f7e700f37c3d"},
    {".nginx-wrapped", "_nginx-wrapped~a4597892abf0901b"},
    {"./x", "__x~fd9c8a6a70586ed2"},
};

START_TEST(directories_are_seen) {
    char to[FIELD];
    ck_assert_uint_eq(instance_of_directory("a.b", to, sizeof(to)), 0);
    ck_assert_str_eq(to, "a.b");
    instance_of_directory("a/b", to, sizeof(to));
    ck_assert_str_eq(to, "a_b~c14cddc033f64b9d");
    uint64_t suffix = instance_of_directory(hidden[_i].name, to, sizeof(to));
    ck_assert_str_eq(to, hidden[_i].directory);
    ck_assert_uint_eq(suffix, strtoull(strrchr(to, '~') + 1, NULL, 16));
}
END_TEST

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

/* All names of up to 7 of these characters. */
START_TEST(no_two_are_the_same) {
    static const char letters[] = "/_~";
    static char all[4000][FIELD];
    size_t count = 0;
    for (size_t len = 1; len <= 7; len++) {
        size_t names = 1;
        for (size_t i = 0; i < len; i++)
            names *= 3;
        for (size_t n = 0; n < names; n++) {
            char name[8] = {0};
            size_t rest = n;
            for (size_t i = 0; i < len; i++, rest /= 3)
                name[i] = letters[rest % 3];
            instance_of(name, all[count++], FIELD);
        }
    }
    qsort(all, count, FIELD, by_text);
    for (size_t i = 1; i < count; i++)
        ck_assert_str_ne(all[i - 1], all[i]);
}
END_TEST

/* Found by trying 2.4e9 names: that one's own two are the same is all that can be had. */
START_TEST(a_collision) {
#define SAME "/collision/collision/collision/collision/collision" \
             "/collision/collision/collision/collision/collision"
    char one[FIELD], two[FIELD];
    ck_assert_uint_eq(instance_of(SAME "_/////__/_yrndCMY32", one, FIELD),
                      instance_of(SAME "__/_______ca2tW3Quy", two, FIELD));
    ck_assert_str_eq(one, two);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("instance");
    TCase *tc = tcase_create("instance");
    tcase_add_loop_test(tc, ordinary_names_stay, 0, COUNT(ordinary));
    tcase_add_loop_test(tc, others_get_a_suffix, 0, COUNT(changed));
    tcase_add_loop_test(tc, every_length, 0, COUNT(lengths));
    tcase_add_test(tc, long_names_are_cut_between_characters);
    tcase_add_loop_test(tc, directories_are_seen, 0, COUNT(hidden));
    tcase_add_test(tc, no_two_are_the_same);
    tcase_add_test(tc, a_collision);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
