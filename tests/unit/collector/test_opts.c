/* SPDX-License-Identifier: MIT */
/* What a program hands over in structs of its own: of older and newer versions, and a
 * grouper that does as it likes. */
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <string.h>

static const struct recorded shell = {.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh"};

static void setup(void) {
    tree_open();
    tree_put(&shell);
}

/* As a later version of the header would have it. */
struct newer_opts {
    struct tally_new_opts known;
    uint64_t more[2];
};
struct newer_rule {
    struct tally_rule known;
    struct tally_strings more;
};

static tally_config *config(void) {
    struct tally_error error;
    tally_config *c;
    ck_assert_int_eq(tally_config_new(&c), 0);
    ck_assert_int_eq(tally_config_set(c, "procfs", tree_path(), &error), 0);
    return c;
}

static void check_sentence(const char *text) {
    size_t len = strlen(text);
    ck_assert_msg(len > 20 && text[len - 1] != '.' && !strchr(text, '\n'), "\"%s\"", text);
}

static int open_with(const void *opts, tally **ret) {
    struct tally_error error = {"not filled"};
    tally_config *c = config();
    int r = collector_new(c, opts, &tree_io, ret, &error);
    if (r < 0)
        check_sentence(error.text);
    tally_config_free(c);
    return r;
}

START_TEST(options_of_a_newer_program) {
    tally *t;
    struct newer_opts opts = {.known.size = sizeof(opts), .known.keep = TALLY_KEEP_PROCESSES};
    ck_assert_int_eq(open_with(&opts, &t), 0);
    ck_assert_uint_eq(tally_snapshot_processes(tree_collect(t)), 1);
    tally_free(t);
    opts.more[1] = (uint64_t)1 << 56;
    ck_assert_int_eq(open_with(&opts, &t), -E2BIG);
    opts.more[1] = 0;
    opts.known.keep = 1u << 31;
    ck_assert_int_eq(open_with(&opts, &t), -E2BIG);
}
END_TEST

/* What it does not know is behind what it has, and not to be read. */
START_TEST(options_of_an_older_program) {
    const struct tally_new_opts all = {.size = offsetof(struct tally_new_opts, keep),
                                       .keep = 1u << 31};
    const size_t least = sizeof(all.size);
    tally *t;
    ck_assert_int_eq(open_with(&all, &t), 0);
    ck_assert_uint_eq(tally_snapshot_processes(tree_collect(t)), 0);
    tally_free(t);
    ck_assert_int_eq(open_with(&least, &t), 0); /* nothing but the size */
    tally_free(t);
}
END_TEST

START_TEST(options_without_a_size) {
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, 1 << 20, SIZE_MAX};
    tally *t;
    for (int i = 0; i < COUNT(sizes); i++) {
        const struct tally_new_opts opts = {.size = sizes[i]};
        ck_assert_int_eq(open_with(&opts, &t), -EINVAL);
    }
    ck_assert_int_eq(open_with(NULL, &t), 0);
    tally_free(t);
}
END_TEST

START_TEST(rules_of_other_versions) {
    static const char *const comm = "sh";
    struct tally_error error;
    struct newer_rule rule = {.known = {.size = sizeof(rule), .name = "shells", .comm = {&comm, 1}}};
    tally_config *c = config();
    ck_assert_int_eq(tally_config_add_rule(c, &rule.known, &error), 0);
    rule.known.size = offsetof(struct tally_rule, exe);
    ck_assert_int_eq(tally_config_add_rule(c, &rule.known, &error), 0);
    rule.known.size = sizeof(rule);
    rule.more.count = 1;
    ck_assert_int_eq(tally_config_add_rule(c, &rule.known, &error), -E2BIG);
    check_sentence(error.text);
    rule.known.size = 0;
    ck_assert_int_eq(tally_config_add_rule(c, &rule.known, &error), -EINVAL);
    check_sentence(error.text);
    tally *t;
    ck_assert_int_eq(collector_new(c, NULL, &tree_io, &t, &error), 0);
    tree_collect(t);
    ck_assert_uint_eq(value_of(t, "shells", METRIC_PROCESSES), 1);
    tally_free(t);
    tally_config_free(c);
}
END_TEST

/* ---- The grouper ---------------------------------------------------------------------- */

static struct answer {
    const char *text;
    size_t len; /* 0: that of the text */
    const char *group;
} answer;

static size_t grouper(void *data, const struct tally_process_view *p, char *name, size_t size) {
    struct answer *a = data;
    size_t len = strlen(a->text);
    ck_assert_int_eq(p->pid, 100);
    ck_assert_str_eq(p->name, "sh");
    ck_assert_uint_ge(size, 256);
    memcpy(name, a->text, len < size ? len : size);
    return a->len ? a->len : len;
}

static char long_name[2000], long_clean[600];

START_TEST(whatever_a_grouper_says_becomes_a_name) {
    memset(long_name, 'x', sizeof(long_name) - 1);
    memset(long_clean, 'x', 512);
    const struct answer answers[] = {
        {.text = "fine", .group = "fine"},
        {.text = "", .group = "sh"}, /* the rules' */
        {.text = "two\nlines", .group = "two?lines"},
        {.text = "\xff\xfe", .group = "\xef\xbf\xbd\xef\xbf\xbd"},
        {.text = "cut \xe2\x82", .group = "cut \xef\xbf\xbd\xef\xbf\xbd"},
        {.text = "NUL", .len = 5, .group = "NUL??"},
        {.text = "back\\", .group = "back?"},
        {.text = "said more", .len = 5000, .group = "said more"},
        {.text = "said most", .len = SIZE_MAX, .group = "said most"},
        {.text = "", .len = SIZE_MAX, .group = "sh"},
        {.text = long_name, .group = long_clean},
    };
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .grouper = grouper, .grouper_data = &answer};
    for (int i = 0; i < COUNT(answers); i++) {
        answer = answers[i];
        tally *t = tree_collector_with(&opts, NULL, NULL);
        const tally_snapshot *s = tree_collect(t);
        ck_assert_uint_eq(tally_snapshot_groups(s), 1);
        ck_assert_str_eq(tally_snapshot_group_name(s, 0), answer.group);
        tally_free(t);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {options_of_a_newer_program, options_of_an_older_program,
                                  options_without_a_size, rules_of_other_versions,
                                  whatever_a_grouper_says_becomes_a_name};
    Suite *suite = suite_create("opts");
    TCase *tc = add_case(suite, "structs");
    tcase_add_checked_fixture(tc, setup, tree_close);
    for (int i = 0; i < COUNT(tests); i++)
        tcase_add_test(tc, tests[i]);
    return run_suite(suite);
}
