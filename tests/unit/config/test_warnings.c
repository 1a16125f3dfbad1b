/* SPDX-License-Identifier: MIT */
/* What is taken but hardly meant, is said; what is right, is not. */
#include "config/config_yaml.h"

#include "build-config.h"
#include "config/config_help.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(HAVE_YAML) && defined(HAVE_PCRE2)

static const struct {
    const char *text;
    int line;         /* 0: nothing is wrong with it */
    const char *part; /* of the only warning */
} cases[] = {
    /* names that no process can have */
    {"- comm: gnome-terminal-server\n", 1, "expected \"gnome-terminal-\""},
    {"- comm: gnome-terminal-\n", 0, ""},
    {"- comm: kworker/u8:1-events_unbound\n", 0, ""},
    {"- comm: (sd-pam)\n", 0, ""},
    {"- comm: 'nginx*'\n", 1, "taken as it stands"},
    {"- comm: 'nginx*'\n", 1, "a glob written glob:NAME*"},
    {"- comm: ['glob:nginx*', 'glob:a-very-long-name*']\n", 0, ""},
    {"- {exe: 'glob:/usr/bin/python*', user: 'glob:www-*'}\n", 0, ""},
    {"- {exe: x, kernel: yes}\n", 1, "the rule never matches"},
    {"- {exe: x, kernel: no}\n", 0, ""},
    {"- {comm: 'glob:kworker/*', kernel: true}\n", 0, ""},
    {"- comm: '^nginx$'\n", 1, "taken as it stands"},
    {"- comm: 'a|b'\n", 1, "taken as it stands"},
    {"- comm: /usr/sbin/nginx\n", 1, "is a path"},
    {"- comm: '[kthreadd]'\n", 1, "without brackets: \"kthreadd\""},
    {"- comm: ['']\n", 1, "comm has an empty text, which never matches"},
    {"- exe: ''\n", 1, "exe has an empty text"},
    {"- exe: /usr/bin/python*\n", 1, "exe \"/usr/bin/python*\" is taken as it stands"},
    {"- exe: [/usr/bin/python3, bin/x, c++]\n", 0, ""},
    {"- user: 'www-*'\n", 1, "user \"www-*\""},
    {"- unit: nginx\n", 1, "expected \"nginx.service\""},
    {"- unit: [nginx.service, '*', 'getty@*']\n", 0, ""},
    {"- cgroup: system.slice\n", 1, "expected \"/system.slice\""},
    {"- cgroup: [/system.slice, '*.slice', '[/]x']\n", 0, ""},
    {"- cgroup: ''\n", 1, "matches all processes"},
    /* in what a rule must not have */
    {"- {comm: a, not: {user: 'www-*'}}\n", 1, "user \"www-*\""},
    {"- {comm: a, not: {user: root}}\n", 0, ""},
    {"- {comm: a, parent: {comm: 'a|b'}}\n", 1, "comm \"a|b\""},
    {"- {exe: a, not: {kernel: true}}\n", 0, ""},
    {"- {comm: a, parent: {user: x}}\n- comm: a\n", 0, ""},
    {"- comm: a\n- {comm: a, parent: {user: x}}\n", 2, "takes all"},
    {"- {cmdline: ['.*'], parent: {user: x}}\n- comm: a\n", 0, ""},
    /* names of groups */
    {"- {name: '{{.Matches.X}}', cmdline: ['(?P<X>a)']}\n", 0, ""},
    {"- {name: '{{.Matches.X}}', cmdline: ['(?P<Y>a)']}\n", 1, "(?P<X>...)"},
    {"- {name: '{{.Matches.X}}', comm: a}\n", 1, "(?P<X>...)"},
    {"- {name: '{{.Matches}}', cmdline: [a]}\n", 0, ""},
    /* rules that come too late */
    {"- comm: a\n- comm: [b, a]\n", 0, ""},
    {"- comm: [a, b]\n- comm: b\n", 2, "that of line 1 takes all"},
    {"- comm: [a, b]\n- {comm: b, user: x}\n", 2, "takes all"},
    {"- {comm: b, user: x}\n- comm: [b]\n", 0, ""},
    {"- comm: a\n- {comm: a, not: {user: x}}\n", 2, "takes all"},
    {"- {comm: a, not: {user: x}}\n- comm: a\n", 0, ""},
    {"- {cmdline: ['.*'], not: {user: x}}\n- comm: a\n", 0, ""},
    {"- {drop: true, comm: a}\n- comm: a\n", 2, "takes all"},
    {"- {drop: true, comm: '^a'}\n", 1, "taken as it stands"},
    {"- cmdline: [x]\n- cmdline: [x, y]\n", 2, "takes all"},
    {"- cmdline: [x, y]\n- cmdline: [x]\n", 0, ""},
    {"- cmdline: ['.*']\n- user: root\n", 2, "takes all"},
    {"- cmdline: ['']\n- unit: a.service\n", 2, "takes all"},
    {"- cmdline: ['^.*$']\n- cmdline: x\n", 2, "takes all"},
    {"- cmdline: []\n- cmdline: x\n", 2, "takes all"},
    {"- cmdline: ['.+']\n- comm: nginx\n", 2, "may get nothing"},
    {"- cmdline: [nginx]\n- exe: [nginx, /usr/sbin/nginx]\n", 2, "may get nothing"},
    {"- cmdline: [nginx]\n- exe: [nginx, apache2]\n", 0, ""},
    {"- comm: nginx\n- cmdline: ['.+']\n", 0, ""},
    /* empty lists, as in process-exporter */
    {"- comm: []\n", 1, "comm has an empty list"},
    {"- comm: x\n  exe: []\n", 1, "exe has an empty list"},
    {"- comm: x\n  exe:\n", 0, ""},
    {"- cmdline: []\n", 0, ""},
};

START_TEST(of_rules) {
    tally_config *c = new_config();
    struct tally_error text = {{0}};
    char place[16];
    int r = config_load_text(c, LAYER_FILE, "f", cases[_i].text, strlen(cases[_i].text), true,
                             &text);

    ck_assert_msg(r == 0, "%s: %s", cases[_i].text, text.text);
    if (cases[_i].line == 0) {
        ck_assert_msg(!tally_config_warning(c, 0, &text), "%s: %s", cases[_i].text, text.text);
    } else {
        ck_assert_msg(tally_config_warning(c, 0, &text), "%s: nothing", cases[_i].text);
        assert_one_line(text.text);
        assert_mentions(text.text, cases[_i].part);
        snprintf(place, sizeof(place), "f:%d: ", cases[_i].line);
        ck_assert_msg(strncmp(text.text, place, strlen(place)) == 0, "%s", text.text);
        ck_assert_msg(!tally_config_warning(c, 1, &text), "%s: %s", cases[_i].text, text.text);
        /* asked again it is the same */
        ck_assert(tally_config_warning(c, 0, &text));
        ck_assert(!tally_config_warning(c, 1, &text));
    }
    tally_config_free(c);
}
END_TEST

/* process-exporter passes over what it does not know. */
START_TEST(of_unknown_keys) {
    static const char text[] = "enabled: true\nservice: {a: b}\ntop: 7 by io\nmonitors:\n- x\n";
    tally_config *c = new_config();
    struct tally_error error = {{0}};
    static const char *const wanted[] = {"f:1: there is no option \"enabled\"", "f:2: ", "f:4: "};

    ck_assert_int_eq(config_load_text(c, LAYER_FILE, "f", text, strlen(text), false, &error), 0);
    ck_assert_str_eq(tally_config_get(c, "top"), "7 by io");
    for (size_t i = 0; i < 3; i++) {
        ck_assert(tally_config_warning(c, i, &error));
        assert_mentions(error.text, wanted[i]);
    }
    ck_assert(!tally_config_warning(c, 3, &error));
    tally_config_free(c);
}
END_TEST

START_TEST(of_a_top_by_nothing) {
    tally_config *c = new_config();
    struct tally_error text;
    ck_assert(!tally_config_warning(c, 0, &text));
    set(c, "top", "10");
    ck_assert(tally_config_warning(c, 0, &text));
    assert_one_line(text.text);
    assert_mentions(text.text, "10 by cpu");
    set(c, "top", "10 by cpu");
    ck_assert(!tally_config_warning(c, 0, &text));
    set(c, "top", "10");
    set(c, "group-by", "user,pid");
    ck_assert(!tally_config_warning(c, 0, &text));
    tally_config_free(c);
}
END_TEST

/* Whatever the file: looking at it takes no longer than reading it. */
START_TEST(of_many_rules) {
    static char text[1 << 20];
    size_t len = 0;
    struct timespec begin, end;
    tally_config *c = new_config();
    struct tally_error error;

    for (int i = 0; i < 249; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "- cmdline: ['(a*)*b|^%d']\n", i);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "- comm: [");
        for (int k = 0; k < 300; k++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "aaaaa%d,", 1000 * i + k);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "]\n");
        ck_assert_uint_lt(len, sizeof(text) - 4096);
    }
    ck_assert_int_eq(config_load_text(c, LAYER_FILE, "f", text, len, true, &error), 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (size_t i = 0; tally_config_warning(c, i, &error); i++)
        ;
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_int_lt(end.tv_sec - begin.tv_sec, 10);
    tally_config_free(c);
}
END_TEST

/* A selector that matches everybody is what was written. */
START_TEST(an_empty_list_of_expressions) {
    tally_config *c = new_config();

    set(c, "process_names", "[{cmdline: []}, {comm: []}]");
    ck_assert_uint_eq(c->rule_count, 1);
    ck_assert_uint_eq(c->rules[0].when.selectors[SELECTOR_CMDLINE].count, 1);
    ck_assert_str_eq(c->rules[0].when.selectors[SELECTOR_CMDLINE].items[0], "");
    tally_config_free(c);
}
END_TEST

#endif

static const struct {
    const char *group_by;
    bool fits;
} keys[] = {{"unit", true},          {"cgroup,container,unit", true}, {"name", false},
            {"unit,name", false},    {"pid", false},                  {"", false}};

START_TEST(of_figures_of_cgroups_that_no_group_has) {
    tally_config *c = new_config();
    struct tally_error text;

    set(c, "group-by", keys[_i].group_by);
    ck_assert(!tally_config_warning(c, 0, &text));
    set(c, "collect", "cgroup");
    ck_assert(tally_config_warning(c, 0, &text) == !keys[_i].fits);
    if (!keys[_i].fits)
        assert_mentions(text.text, "collect has cgroup");
    tally_config_free(c);
}
END_TEST

START_TEST(of_names_of_containers_that_no_group_has) {
    tally_config *c = new_config();
    struct tally_error text;

    set(c, "container-names", "true");
    ck_assert(tally_config_warning(c, 0, &text));
    assert_mentions(text.text, "container-names has no effect");
    set(c, "group-by", "unit,container");
    ck_assert(!tally_config_warning(c, 0, &text));
    tally_config_free(c);
}
END_TEST

/* Rules without lines are called by their number and name. */
START_TEST(of_rules_that_a_program_gave) {
    static const char *const name[] = {"much-too-long-a-name"};
    const struct tally_rule rule = {
        .size = sizeof(rule), .name = "mine", .comm = {.items = name, .count = 1}};
    tally_config *c = new_config();
    struct tally_error text;

    ck_assert(!tally_config_warning(c, 0, &text));
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &text), 0);
    ck_assert(tally_config_warning(c, 0, &text));
    assert_mentions(text.text, "rule 1 (mine): comm \"much-too-long-a-name\"");
    tally_config_free(c);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("warnings");
    TCase *tc = add_case(suite, "warnings");

#if defined(HAVE_YAML) && defined(HAVE_PCRE2)
    tcase_add_loop_test(tc, of_rules, 0, COUNT(cases));
    tcase_add_test(tc, of_unknown_keys);
    tcase_add_test(tc, of_a_top_by_nothing);
    tcase_add_test(tc, of_many_rules);
    tcase_add_test(tc, an_empty_list_of_expressions);
#endif
    tcase_add_loop_test(tc, of_figures_of_cgroups_that_no_group_has, 0, COUNT(keys));
    tcase_add_test(tc, of_names_of_containers_that_no_group_has);
    tcase_add_test(tc, of_rules_that_a_program_gave);
    return run_suite(suite);
}
