/* SPDX-License-Identifier: MIT */
/* Slips of the pen, and words that are others. */
#include "base/near.h"

#include "suite.h"

#include <string.h>

static const struct {
    const char *word, *meant;
    bool near;
} cases[] = {
    {"interval", "interval", true}, {"intervall", "interval", true},
    {"intervl", "interval", true},  {"inetrval", "interval", true},
    {"interim", "interval", false}, {"tpo", "top", false},
    {"to", "top", true},            {"log", "top", false},
    {"pni", "pin", false},          {"", "top", false},
    {"processnames", "process_names", true},
    {"metrics", "include", false},  {"service", "source", false},
    {"enabled", "labels", false},
};

START_TEST(near) {
    ck_assert_int_eq(is_near(cases[_i].word, strlen(cases[_i].word), cases[_i].meant),
                     cases[_i].near);
}
END_TEST

START_TEST(long_words) {
    char word[1000];

    memset(word, 'a', sizeof(word));
    ck_assert(!is_near(word, sizeof(word), "aaa"));
    ck_assert(!is_near(word, 64, "aaa"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("near");
    TCase *tc = add_case(suite, "near");

    tcase_add_loop_test(tc, near, 0, COUNT(cases));
    tcase_add_test(tc, long_words);
    return run_suite(suite);
}
