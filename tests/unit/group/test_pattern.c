/* SPDX-License-Identifier: MIT */
/* Filters and regular expressions: what matches, what is refused, what is captured,
 * and that none can stall the agent. */
#include "group/pattern.h"

#include "build-config.h"
#include "group/group_help.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What each look at the clock of CPU time finds to have passed beside the match's own. */
static long stolen_ns_per_look;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret) {
    static long stolen_ns;
    int r = __real_clock_gettime(clock, ret);
    if (clock == CLOCK_THREAD_CPUTIME_ID) {
        stolen_ns += stolen_ns_per_look;
        ret->tv_sec += stolen_ns / 1000000000;
        ret->tv_nsec += stolen_ns % 1000000000;
        ret->tv_sec += ret->tv_nsec / 1000000000;
        ret->tv_nsec %= 1000000000;
    }
    return r;
}

static const struct {
    const char *filter, *text;
    int matches;
    bool is_regex;
} filters[] = {
    {"bash", "bash", 1, false},
    {"as", "bash", 1, false},
    {"AS", "bash", 0, false},
    {"bash5", "bash", 0, false},
    {"", "bash", 1, false},
    {"", "", 1, false},
    {"x", "", 0, false},
    {"b.sh", "bash", 0, false},
    {"/", "kworker/0:1", 1, false},
    {"/", "bash", 0, false},
    {"/ba", "bash", 0, false},
    {"ba/", "bash", 0, false},
    {"\xff", "a\xff", 1, false},
    {"//", "bash", 1, true},
    {"/b.sh/", "bash", 1, true},
    {"/^ash/", "bash", 0, true},
    {"/^(ba|z)sh$/", "zsh", 1, true},
    {"/^BASH$/", "bash", 0, true},
    {"/(?i)^BASH$/", "bash", 1, true},
    {"/a/b/", "xa/bx", 1, true},
    /* characters, where it is UTF-8 */
    {"/^.$/", "\xc3\xa9", 1, true},
    {"/^..$/", "\xc3\xa9", 0, true},
    {"/(?i)^\xc3\x84RGER$/", "\xc3\xa4rger", 1, true},
    {"/^\\p{L}+$/", "\xd0\xb6\xd0\xb8", 1, true},
    {"/^\\x{e4}$/", "\xc3\xa4", 1, true},
    {"/^\\x{20ac}$/", "\xe2\x82\xac", 1, true},
    {"/^\\x{20ac}$/", "a", 0, true},
    {"/^[^\\x{20ac}]$/", "a", 1, true},
    {"/^[\xc3\xa4]$/", "\xc3\xa4", 1, true},
    {"/^\\w$/", "\xc3\xa4", 0, true}, /* as in Go */
    /* and bytes where it is not */
    {"/^..$/", "\xc3\xff", 1, true},
    {"/^.$/", "\xe9", 1, true},
    {"/^\\C\\C$/", "\xc3\xa9", 1, true},
    {"/^\\x{20ac}$/", "\xff", 0, true},
    {"/\\xff/", "a\xff", 1, true},
    {"/^kworker\\/\\d+/", "kworker/0:1", 1, true},
};

START_TEST(filter) {
    struct pattern *p;
    struct tally_error error = {{0}};
    size_t len = strlen(filters[_i].text);
    char *text = malloc(len ? len : 1); /* so that a sanitizer sees a byte past the end */
    int r = pattern_new_filter(filters[_i].filter, &p, &error);

    ck_assert_ptr_nonnull(text);
    memcpy(text, filters[_i].text, len);
#ifndef HAVE_PCRE2
    if (filters[_i].is_regex) {
        ck_assert_int_eq(r, -ENOTSUP);
        free(text);
        return;
    }
#endif
    ck_assert_msg(r == 0, "%s: %s", filters[_i].filter, error.text);
    ck_assert_int_eq(match(p, text, len), filters[_i].matches);
    ck_assert_str_eq(pattern_text(p), filters[_i].filter);
    pattern_free(p);
    free(text);
}
END_TEST

#ifdef HAVE_PCRE2

static const struct {
    const char *regex, *wrong;
} bad_regexes[] = {
    {"(", "parenthes"},   {"[a", "]"},          {"a**+*", "quantifier"}, {"(?P<a>.)(?P<a>.)", "same"},
    {"\\", "\\"},         {"(?P<1a>.)", "digit"}, {"a{2,1}", "quantifier"}, {"(?R", "("},
};

START_TEST(bad_regex) {
    struct pattern *p = NULL;
    struct tally_error error = {{0}};
    char quoted[64];

    ck_assert_int_eq(pattern_new(bad_regexes[_i].regex, &p, &error), -EINVAL);
    ck_assert_ptr_null(p);
    snprintf(quoted, sizeof(quoted), "\"%s\"", bad_regexes[_i].regex);
    ck_assert_msg(strstr(error.text, quoted) != NULL, "%s", error.text);
    ck_assert_msg(strstr(error.text, bad_regexes[_i].wrong) != NULL, "%s", error.text);
    ck_assert_msg(strstr(error.text, "character") != NULL, "%s", error.text);
    ck_assert_int_eq(pattern_new(bad_regexes[_i].regex, &p, NULL), -EINVAL);
}
END_TEST

/* The message shows what was written, not a part of it that looks odd. */
START_TEST(bad_filter) {
    struct pattern *p = NULL;
    struct tally_error error = {{0}};

    ck_assert_int_eq(pattern_new_filter("/a(b/", &p, &error), -EINVAL);
    ck_assert_ptr_null(p);
    ck_assert_msg(strstr(error.text, "\"/a(b/\"") || strstr(error.text, "\"a(b\""), "%s",
                  error.text);
}
END_TEST

static void assert_capture(const struct pattern *p, const char *name, const char *value) {
    const char *got_name, *at;
    size_t len;

    for (size_t i = 0; pattern_capture(p, i, &got_name, &at, &len); i++)
        if (strcmp(got_name, name) == 0) {
            assert_bytes(at, len, value, strlen(value));
            return;
        }
    ck_abort_msg("no capture %s", name);
}

/* Two letters are four bytes. */
START_TEST(captures_are_whole_characters) {
    static const char word[] = "\xd1\x81\xd0\xbb\xd0\xbe";
    struct pattern *p = regex("(?P<Two>..)");

    ck_assert_int_eq(match(p, word, sizeof(word) - 1), 1);
    assert_capture(p, "Two", "\xd1\x81\xd0\xbb");
    pattern_free(p);
}
END_TEST

/* What Go's map has under the empty name. */
START_TEST(unnamed_groups) {
    static const struct {
        const char *regex, *value;
    } cases[] = {{"b+", "bb"}, {"(?P<A>a)b", "ab"}, {"(a)(b)", "b"}, {"(a)(?P<B>b)", "a"},
                 {"(a)|(x)", ""}};
    struct pattern *p = regex(cases[_i].regex);
    const char *at;
    size_t len;

    ck_assert_int_eq(match(p, "abb", 3), 1);
    pattern_unnamed(p, &at, &len);
    assert_bytes(at, len, cases[_i].value, strlen(cases[_i].value));
    pattern_free(p);
}
END_TEST

START_TEST(captures) {
    struct pattern *p = regex("(?P<First>\\w+)-(\\w+)(?:-(?<Third>\\w+))?(?P<Empty>)");
    const char *name, *at;
    size_t len, count = 0;

    ck_assert_int_eq(match(p, "a-b-c", 5), 1);
    assert_capture(p, "First", "a");
    assert_capture(p, "Third", "c");
    assert_capture(p, "Empty", "");
    while (pattern_capture(p, count, &name, &at, &len))
        count++;
    ck_assert_uint_eq(count, 3); /* the one without a name is not among them */
    /* a group that took no part is empty, not what it was before */
    ck_assert_int_eq(match(p, "x-y", 3), 1);
    assert_capture(p, "First", "x");
    assert_capture(p, "Third", "");
    pattern_free(p);

    p = regex("x\\Ky(?=(?P<Ahead>z))");
    ck_assert_int_eq(match(p, "xyz", 3), 1);
    assert_capture(p, "Ahead", "z");
    pattern_free(p);
}
END_TEST

static const char *const catastrophes[] = {"(a+)+$", "^(a+)+$", "(a|aa)+$", "(a|a)*c", "(.*a){25}c",
                                           "(?:a?){40}a{40}c", "((a*)*)*c", "^(?:(a+)*)*c$",
                                           "(?P<X>(?:a+)+)c"};

START_TEST(catastrophic_backtracking) {
    struct pattern *p = regex(catastrophes[_i]);
    char *text = malloc(LONG_COMMAND);
    int r;

    ck_assert_ptr_nonnull(text);
    memset(text, 'a', LONG_COMMAND);
    r = match(p, text, LONG_COMMAND); /* some match, and some are given up */
    ck_assert(r == 0 || r == 1 || r == -E2BIG);
    text[LONG_COMMAND - 1] = 'b';
    r = match(p, text, LONG_COMMAND);
    ck_assert(r == 0 || r == -E2BIG);
    free(text);
    pattern_free(p);
}
END_TEST

/* The limit is CPU time: on a machine of which check is told that it is so many times slower,
 * that part of the longest line. */
static size_t longest_for_this_machine(void) {
    const char *slower = getenv("CK_TIMEOUT_MULTIPLIER");
    const unsigned long times = slower ? strtoul(slower, NULL, 10) : 1;
    return LONG_COMMAND / (times > 1 && times <= 100 ? times : 1);
}

/* The limit is for patterns that run wild. One whose work grows with the length
 * of the line, as people write them, is to work on the longest. */
START_TEST(honest_pattern_on_long_command) {
    static const char *const honest[] = {"-jar (?P<Jar>\\S+)", "^(\\S+ )+-jar (?P<Jar>\\S+)",
                                         "^(?:\\S+\\s+)*?-jar (?P<Jar>\\S+)",
                                         "^\\S+(\\s\\w+)*\\s-jar\\s(?P<Jar>\\S+)"};
    struct pattern *p = regex(honest[_i]);
    const size_t longest = longest_for_this_machine();
    char *text = malloc(longest);
    size_t len = 0;

    ck_assert_ptr_nonnull(text);
    while (len < longest - 32) {
        memcpy(text + len, "argument ", 9);
        len += 9;
    }
    memcpy(text + len, "-jar app.jar", 12);
    len += 12;
    ck_assert_int_eq(match(p, text, len), 1);
    assert_capture(p, "Jar", "app.jar");
    free(text);
    pattern_free(p);
}
END_TEST

/* On a virtual machine whose host is busy a thread may be charged for what others run. */
START_TEST(time_of_others) {
    char text[3000] = "";
    struct pattern *p = regex("kept = .*mark"), *wild = regex("(a+)+$");

    memset(text, 'x', sizeof(text));
    memcpy(text + 1000, "kept = ", 7);
    memcpy(text + sizeof(text) - 200, "mark", 4); /* some steps back from the end */
    stolen_ns_per_look = 30000000; /* more than any match may take */
    ck_assert_int_eq(match(p, text, sizeof(text)), 1);
    /* but one that goes on is given up */
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    ck_assert_int_eq(match(wild, text, sizeof(text)), -E2BIG);
    stolen_ns_per_look = 0;
    pattern_free(p);
    pattern_free(wild);
}
END_TEST

#endif

int main(void) {
    Suite *suite = suite_create("pattern");
    TCase *tc;

    tc = add_case(suite, "filters");
    tcase_add_loop_test(tc, filter, 0, COUNT(filters));
#ifdef HAVE_PCRE2
    tcase_add_test(tc, bad_filter);
    tc = add_case(suite, "regular expressions");
    tcase_add_loop_test(tc, bad_regex, 0, COUNT(bad_regexes));
    tcase_add_test(tc, captures);
    tcase_add_test(tc, captures_are_whole_characters);
    tcase_add_loop_test(tc, unnamed_groups, 0, 5);
    tcase_add_loop_test(tc, catastrophic_backtracking, 0, COUNT(catastrophes));
    tcase_add_test(tc, time_of_others);
    tcase_add_loop_test(tc, honest_pattern_on_long_command, 0, 4);
#endif
    return run_suite(suite);
}
