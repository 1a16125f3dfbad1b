/* SPDX-License-Identifier: MIT */
/* Rules: which selectors take which process, and what has to be read for them. */
#include "group/rules.h"

#include "build-config.h"
#include "group/group_help.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct rule_text texts[3];
static struct settings settings;
static struct rules rules;

static void setup(void) {
    settings = (struct settings){.rules = texts};
    rules = (struct rules){0};
}

static void teardown(void) {
    rules_free(&rules);
    for (size_t i = 0; i < settings.rule_count; i++)
        rule_text_free(&texts[i]);
}

/* The selectors are lists separated by ';', or NULL. */
static void set_selectors(struct selection *to, const char *const selectors[SELECTORS]) {
    for (size_t s = 0; s < SELECTORS; s++)
        for (const char *at = selectors[s]; at; at = *at ? at + 1 : NULL) {
            size_t len = strcspn(at, ";");
            ck_assert_int_eq(string_list_add(&to->selectors[s], at, len), 0);
            at += len;
        }
}

static void add_rule(const char *name, const char *const selectors[SELECTORS]) {
    struct rule_text *text = &texts[settings.rule_count++];

    ck_assert_uint_le(settings.rule_count, sizeof(texts) / sizeof(texts[0]));
    *text = (struct rule_text){.name = strdup(name)};
    ck_assert_ptr_nonnull(text->name);
    set_selectors(&text->when, selectors);
}

static struct selection *add_inner(struct selection **to) {
    *to = calloc(1, sizeof(**to));
    ck_assert_ptr_nonnull(*to);
    return *to;
}

/* What the rule added last must not have. */
static void add_unless(const char *const selectors[SELECTORS]) {
    set_selectors(add_inner(&texts[settings.rule_count - 1].when.unless), selectors);
}
#define UNLESS(...) add_unless((const char *const[SELECTORS]){__VA_ARGS__})
#define RULE(name, ...) add_rule((name), (const char *const[SELECTORS]){__VA_ARGS__})

static void open_rules(void) {
    ck_assert_int_eq(rules_new(&settings, &rules), 0);
    ck_assert_uint_eq(rules.count, settings.rule_count);
}

static bool matches(const struct rule *rule, const struct identity *id, struct mismatch *ret_why) {
    struct match_time time = {.left_ns = NS_PER_S};

    return rule_matches(rule, id, 0, &time, ret_why);
}

static const struct rule_case {
    const char *selectors[SELECTORS];
    struct person person;
    bool matches;
} rule_cases[] = {
    /* comm: exact, any of */
    {{[SELECTOR_COMM] = "bash"}, {.comm = "bash"}, true},
    {{[SELECTOR_COMM] = "zsh;bash"}, {.comm = "bash"}, true},
    {{[SELECTOR_COMM] = "bas"}, {.comm = "bash"}, false},
    {{[SELECTOR_COMM] = "bashx"}, {.comm = "bash"}, false},
    {{[SELECTOR_COMM] = "Bash"}, {.comm = "bash"}, false},
    {{[SELECTOR_COMM] = "b*"}, {.comm = "bash"}, false},
    {{[SELECTOR_COMM] = "a) S 1 (b"}, {.comm = "a) S 1 (b"}, true},
    {{[SELECTOR_COMM] = "x"}, {.comm = ""}, false},
    /* exe: the first argument */
    {{[SELECTOR_EXE] = "postgres"}, {.comm = "x", .arguments = "/usr/bin/postgres|-D"}, true},
    {{[SELECTOR_EXE] = "postgres"}, {.comm = "x", .arguments = "postgres"}, true},
    {{[SELECTOR_EXE] = "postgres"}, {.comm = "postgres", .arguments = "pg|postgres"}, false},
    {{[SELECTOR_EXE] = "postgres"}, {.comm = "x", .arguments = "postgres: writer"}, false},
    {{[SELECTOR_EXE] = "/usr/bin/postgres"}, {.comm = "x", .arguments = "/usr/bin/postgres"}, true},
    {{[SELECTOR_EXE] = "/usr/bin/postgres"}, {.comm = "x", .arguments = "postgres"}, false},
    {{[SELECTOR_EXE] = "/usr/bin/postgres"}, {.comm = "x", .arguments = "/bin/postgres"}, false},
    {{[SELECTOR_EXE] = "a;/b/c;d"}, {.comm = "x", .arguments = "/b/c|-x"}, true},
    {{[SELECTOR_EXE] = "bin/x"}, {.comm = "x", .arguments = "/bin/x"}, false},
    {{[SELECTOR_EXE] = "kthreadd"}, {.comm = "kthreadd"}, false}, /* it has no command line */
    /* what the kernel says it runs is not what it says it is called */
    {{[SELECTOR_EXE] = "real"}, {.comm = "x", .arguments = "shown", .exe = "/bin/real"}, false},
#ifdef HAVE_PCRE2
    /* cmdline: all of */
    {{[SELECTOR_CMDLINE] = "-l"}, {.comm = "x", .arguments = "bash|-l"}, true},
    {{[SELECTOR_CMDLINE] = "^bash -l$"}, {.comm = "x", .arguments = "bash|-l"}, true},
    {{[SELECTOR_CMDLINE] = "bash;-l"}, {.comm = "x", .arguments = "bash|-l"}, true},
    {{[SELECTOR_CMDLINE] = "bash;-m"}, {.comm = "x", .arguments = "bash|-l"}, false},
    {{[SELECTOR_CMDLINE] = ".+"}, {.comm = "x", .arguments = "bash"}, true},
    {{[SELECTOR_CMDLINE] = ".+"}, {.comm = "kthreadd"}, false},
    {{[SELECTOR_CMDLINE] = ".*"}, {.comm = "kthreadd"}, true},
    {{[SELECTOR_CMDLINE] = "^$"}, {.comm = "kthreadd"}, true},
    {{[SELECTOR_COMM] = "x", [SELECTOR_CMDLINE] = "-l"}, {.comm = "x", .arguments = "b|-l"}, true},
    {{[SELECTOR_COMM] = "y", [SELECTOR_CMDLINE] = "-l"}, {.comm = "x", .arguments = "b|-l"}, false},
    {{[SELECTOR_COMM] = "x", [SELECTOR_CMDLINE] = "-m"}, {.comm = "x", .arguments = "b|-l"}, false},
#endif
    /* user: name or number */
    {{[SELECTOR_USER] = "alice"}, {.comm = "x", .user = "alice", .uid = 7}, true},
    {{[SELECTOR_USER] = "7"}, {.comm = "x", .user = "alice", .uid = 7}, true},
    {{[SELECTOR_USER] = "root;7"}, {.comm = "x", .user = "alice", .uid = 7}, true},
    {{[SELECTOR_USER] = "0"}, {.comm = "x", .user = "root"}, true},
    {{[SELECTOR_USER] = "4294967295"}, {.comm = "x", .user = "4294967295", .uid = UINT32_MAX}, true},
    {{[SELECTOR_USER] = "07"}, {.comm = "x", .user = "alice", .uid = 7}, false},
    {{[SELECTOR_USER] = "ali"}, {.comm = "x", .user = "alice", .uid = 7}, false},
    {{[SELECTOR_USER] = "0"}, {.comm = "x", .no_credentials = true}, false},
    /* gid: the same */
    {{[SELECTOR_GID] = "www-data"}, {.comm = "x", .group = "www-data", .gid = 33}, true},
    {{[SELECTOR_GID] = "33"}, {.comm = "x", .group = "www-data", .gid = 33}, true},
    {{[SELECTOR_GID] = "adm;glob:www-*"}, {.comm = "x", .group = "www-data", .gid = 33}, true},
    {{[SELECTOR_GID] = "33"}, {.comm = "x", .group = "adm", .uid = 33, .gid = 4}, false},
    {{[SELECTOR_GID] = "www"}, {.comm = "x", .group = "www-data", .gid = 33}, false},
    {{[SELECTOR_GID] = "0"}, {.comm = "x", .no_credentials = true}, false},
    /* cgroup: itself, what is below, or a glob */
    {{[SELECTOR_CGROUP] = "/a"}, {.comm = "x", .cgroup = "/a"}, true},
    {{[SELECTOR_CGROUP] = "/a"}, {.comm = "x", .cgroup = "/a/b/c"}, true},
    {{[SELECTOR_CGROUP] = "/a/"}, {.comm = "x", .cgroup = "/a"}, true},
    {{[SELECTOR_CGROUP] = "/a/"}, {.comm = "x", .cgroup = "/a/b"}, true},
    {{[SELECTOR_CGROUP] = "/a"}, {.comm = "x", .cgroup = "/ab"}, false},
    {{[SELECTOR_CGROUP] = "/a/b"}, {.comm = "x", .cgroup = "/a"}, false},
    {{[SELECTOR_CGROUP] = "a"}, {.comm = "x", .cgroup = "/a"}, false},
    {{[SELECTOR_CGROUP] = "/"}, {.comm = "x", .cgroup = "/"}, true},
    {{[SELECTOR_CGROUP] = "/"}, {.comm = "x", .cgroup = "/a/b"}, true},
    {{[SELECTOR_CGROUP] = "/a/*.service"}, {.comm = "x", .cgroup = "/a/b.service"}, true},
    {{[SELECTOR_CGROUP] = "/a/*.service"}, {.comm = "x", .cgroup = "/a/b.scope"}, false},
    {{[SELECTOR_CGROUP] = "*docker*"}, {.comm = "x", .cgroup = "/a/docker-1.scope"}, true},
    {{[SELECTOR_CGROUP] = "/x;/a/[bc]"}, {.comm = "x", .cgroup = "/a/c"}, true},
    {{[SELECTOR_CGROUP] = "/a"}, {.comm = "x"}, false}, /* it could not be read */
    {{[SELECTOR_CGROUP] = "/a/*"}, {.comm = "x"}, false},
    {{[SELECTOR_CGROUP] = "/"}, {.comm = "x"}, false},
    /* unit: itself or a glob */
    {{[SELECTOR_UNIT] = "a.service"}, {.comm = "x", .unit = "a.service"}, true},
    {{[SELECTOR_UNIT] = "a.serv"}, {.comm = "x", .unit = "a.service"}, false},
    {{[SELECTOR_UNIT] = "a@*.service"}, {.comm = "x", .unit = "a@1.service"}, true},
    {{[SELECTOR_UNIT] = "b;*.service"}, {.comm = "x", .unit = "a.service"}, true},
    {{[SELECTOR_UNIT] = "*"}, {.comm = "x", .unit = "a.service"}, true},
    {{[SELECTOR_UNIT] = "*"}, {.comm = "x"}, false},
    /* globs, where they are written as such */
    {{[SELECTOR_COMM] = "glob:b*h"}, {.comm = "bash"}, true},
    {{[SELECTOR_COMM] = "glob:b[aeiou]s?"}, {.comm = "bash"}, true},
    {{[SELECTOR_COMM] = "glob:bash"}, {.comm = "bash"}, true},
    {{[SELECTOR_COMM] = "glob:as*"}, {.comm = "bash"}, false},
    {{[SELECTOR_COMM] = "x;glob:*sh"}, {.comm = "bash"}, true},
    {{[SELECTOR_COMM] = "glob:*"}, {.comm = "bash"}, true},
    {{[SELECTOR_COMM] = "glob:"}, {.comm = "bash"}, false},
    {{[SELECTOR_COMM] = "glob:x"}, {.comm = "glob:x"}, true},
    {{[SELECTOR_COMM] = "b*"}, {.comm = "b*"}, true},
    {{[SELECTOR_COMM] = "[x]"}, {.comm = "x"}, false},
    {{[SELECTOR_COMM] = "b?sh"}, {.comm = "bash"}, false},
    {{[SELECTOR_EXE] = "glob:python3*"}, {.comm = "x", .arguments = "/usr/bin/python3.11"}, true},
    {{[SELECTOR_EXE] = "glob:python3*"}, {.comm = "x", .arguments = "/python3/x"}, false},
    {{[SELECTOR_EXE] = "glob:/opt/*/java"}, {.comm = "x", .arguments = "/opt/a/bin/java"}, true},
    {{[SELECTOR_EXE] = "glob:/opt/*/java"}, {.comm = "x", .arguments = "/usr/bin/java"}, false},
    {{[SELECTOR_EXE] = "glob:*"}, {.comm = "kthreadd"}, false},
    {{[SELECTOR_EXE] = "python3*"}, {.comm = "x", .arguments = "/usr/bin/python3.11"}, false},
    {{[SELECTOR_USER] = "glob:www-*"}, {.comm = "x", .user = "www-data"}, true},
    {{[SELECTOR_USER] = "www-*"}, {.comm = "x", .user = "www-data"}, false},
    {{[SELECTOR_USER] = "glob:*"}, {.comm = "x", .no_credentials = true}, false},
    /* the kernel's own threads */
    {{[SELECTOR_KERNEL] = "true"}, {.comm = "kworker/0:1", .is_kernel = true}, true},
    {{[SELECTOR_KERNEL] = "true"}, {.comm = "kworker/0:1", .arguments = "x"}, false},
    {{[SELECTOR_KERNEL] = "false"}, {.comm = "kworker/0:1", .is_kernel = true}, false},
    {{[SELECTOR_KERNEL] = "false"}, {.comm = "bash"}, true},
    /* all that are given */
    {{"x", "y", NULL, "alice", "/a", "u"},
     {.comm = "x", .arguments = "y", .user = "alice", .cgroup = "/a", .unit = "u"},
     true},
    {{"x", "y", NULL, "alice", "/a", "u"},
     {.comm = "w", .arguments = "y", .user = "alice", .cgroup = "/a", .unit = "u"},
     false},
    {{"x", "y", NULL, "alice", "/a", "u"},
     {.comm = "x", .arguments = "w", .user = "alice", .cgroup = "/a", .unit = "u"},
     false},
    {{"x", "y", NULL, "alice", "/a", "u"},
     {.comm = "x", .arguments = "y", .user = "w", .cgroup = "/a", .unit = "u"},
     false},
    {{"x", "y", NULL, "alice", "/a", "u"},
     {.comm = "x", .arguments = "y", .user = "alice", .cgroup = "/w", .unit = "u"},
     false},
    {{"x", "y", NULL, "alice", "/a", "u"},
     {.comm = "x", .arguments = "y", .user = "alice", .cgroup = "/a", .unit = "w"},
     false},
};

START_TEST(rule_selectors) {
    const struct rule_case *c = &rule_cases[_i];
    struct held_identity held;
    struct mismatch why = {.selector = SELECTORS, .gave_up = true};

    add_rule("taken", c->selectors);
    open_rules();
    ck_assert_int_eq(matches(&rules.items[0], hold(&held, &c->person), &why), c->matches);
    ck_assert(!why.gave_up && !why.is_unless);
    /* the one that is to blame is one of those that were given */
    if (!c->matches)
        ck_assert(why.selector < SELECTORS && c->selectors[why.selector]);
}
END_TEST

/* What a process must not have: of all selectors, any text is enough. */
START_TEST(unless) {
    const struct rule_case *c = &rule_cases[_i];
    struct held_identity held;
    size_t given = 0, entries = 0;
    struct mismatch why;

    for (size_t s = 0; s < SELECTORS; s++)
        if (c->selectors[s]) {
            given++;
            for (const char *at = c->selectors[s]; (at = strchr(at, ';')); at++)
                entries++;
        }
    RULE("taken", NULL);
    add_unless(c->selectors);
    open_rules();
    const bool taken = matches(&rules.items[0], hold(&held, &c->person), &why);
    if (c->matches || (given == 1 && entries == 0))
        ck_assert_int_eq(taken, !c->matches);
    if (!taken)
        ck_assert(why.is_unless && !why.gave_up && c->selectors[why.selector]);
}
END_TEST

START_TEST(unless_any_of_it) {
    struct person p = {.comm = "x", .arguments = "y", .user = "u"};
    struct held_identity held;
    struct mismatch why;

    RULE("all", [SELECTOR_COMM] = "x");
    UNLESS([SELECTOR_EXE] = "a;b", [SELECTOR_USER] = "root;w");
    open_rules();
    ck_assert(matches(&rules.items[0], hold(&held, &p), &why));
    p.arguments = "b";
    ck_assert(!matches(&rules.items[0], hold(&held, &p), &why));
    ck_assert(why.is_unless && why.selector == SELECTOR_EXE);
    p.arguments = "y";
    p.user = "w";
    ck_assert(!matches(&rules.items[0], hold(&held, &p), &why));
    ck_assert(why.is_unless && why.selector == SELECTOR_USER);
    /* what it must have comes first */
    p.comm = "z";
    ck_assert(!matches(&rules.items[0], hold(&held, &p), &why));
    ck_assert(!why.is_unless && why.selector == SELECTOR_COMM);
}
END_TEST

START_TEST(who_is_to_blame) {
    struct person p = {.comm = "x", .arguments = "y", .user = "u", .cgroup = "/c", .unit = "n"};
    struct held_identity held;
    struct mismatch why;

    RULE("all", "x", "y", NULL, "u", "/c", "n");
    open_rules();
    ck_assert(matches(&rules.items[0], hold(&held, &p), &why));
    p.unit = "other";
    ck_assert(!matches(&rules.items[0], hold(&held, &p), &why));
    ck_assert_int_eq(why.selector, SELECTOR_UNIT);
    /* the first of them, if there are several */
    p.arguments = "other";
    ck_assert(!matches(&rules.items[0], hold(&held, &p), &why));
    ck_assert_int_eq(why.selector, SELECTOR_EXE);
}
END_TEST

/* Numbers each selection of ancestors; who has all of one hands its bit on. */
START_TEST(parents) {
    struct person p = {.comm = "x", .user = "u"};
    struct held_identity held;
    struct match_time time = {.left_ns = NS_PER_S};
    unsigned gave_up;
    struct mismatch why;
    const char *const x[SELECTORS] = {[SELECTOR_COMM] = "x"}, *const y[SELECTORS] = {[SELECTOR_COMM] = "y"},
                     *const u[SELECTORS] = {[SELECTOR_USER] = "u"};

    RULE("below x", [SELECTOR_USER] = "u");
    set_selectors(add_inner(&texts[0].when.parent), x);
    RULE("not below y", NULL);
    add_unless((const char *const[SELECTORS]){NULL});
    set_selectors(add_inner(&texts[1].when.unless->parent), y);
    RULE("below u, but itself below x", NULL);
    set_selectors(add_inner(&texts[2].when.parent), u);
    set_selectors(add_inner(&texts[2].when.parent->parent), x);
    open_rules();
    ck_assert_uint_eq(rules.parent_count, 4);
    ck_assert_uint_eq(rules.needs, IDENTITY_USER);
    const uint32_t below_x = rules.items[0].when.parent_bit,
                   below_y = rules.items[1].when.unless->parent_bit,
                   below_u = rules.items[2].when.parent_bit,
                   u_below_x = rules.items[2].when.parent->parent_bit;
    ck_assert_uint_eq(below_x | below_y | below_u | u_below_x, 0xf);

    const struct identity *id = hold(&held, &p);
    /* itself is none of its ancestors */
    ck_assert(!rule_matches(&rules.items[0], id, 0, &time, &why));
    ck_assert(why.selector == SELECTOR_PARENT && !why.is_unless);
    ck_assert(rule_matches(&rules.items[0], id, below_x, &time, &why));
    ck_assert(!rule_matches(&rules.items[0], id, below_y, &time, &why));
    ck_assert(rule_matches(&rules.items[1], id, below_x, &time, &why));
    ck_assert(!rule_matches(&rules.items[1], id, below_y | below_x, &time, &why));
    ck_assert(why.selector == SELECTOR_PARENT && why.is_unless);

    uint32_t handed_on = rules_parents(&rules, id, 0, &time, &gave_up);
    ck_assert_uint_eq(handed_on, below_x | u_below_x);
    handed_on = rules_parents(&rules, id, handed_on, &time, &gave_up);
    ck_assert_uint_eq(handed_on, below_x | u_below_x | below_u);
    p.comm = "other";
    p.user = "other";
    ck_assert_uint_eq(rules_parents(&rules, hold(&held, &p), below_y, &time, &gave_up), below_y);
    ck_assert_uint_eq(gave_up, 0);
    /* two that ask the same have one number, and others have others */
    ck_assert_uint_eq(rules_parent_key(&rules, 0), rules_parent_key(&rules, 2));
    ck_assert_uint_ne(rules_parent_key(&rules, 0), rules_parent_key(&rules, 1));
    ck_assert_uint_ne(rules_parent_key(&rules, 0), rules_parent_key(&rules, 3));
}
END_TEST

#ifdef HAVE_PCRE2
/* A match that was given up is none, and says so; where it must not match, it is one: else
 * anybody could get into the group by arguments that take long. */
START_TEST(given_up) {
    char *line = malloc(LONG_COMMAND);
    struct mismatch why;

    ck_assert_ptr_nonnull(line);
    memset(line, 'a', LONG_COMMAND);
    line[LONG_COMMAND - 1] = 'b';
    const struct identity id = {.comm = text_of("wild"), .command = {line, LONG_COMMAND}};
    RULE("never", [SELECTOR_CMDLINE] = "(a+)+$");
    RULE("never", [SELECTOR_COMM] = "wild");
    UNLESS([SELECTOR_CMDLINE] = "(a+)+$");
    open_rules();
    for (size_t i = 0; i < 2; i++) {
        ck_assert(!matches(&rules.items[i], &id, &why));
        ck_assert(why.gave_up && why.is_unless == (i == 1));
        ck_assert_int_eq(why.selector, SELECTOR_CMDLINE);
    }
    free(line);
}
END_TEST
#endif

START_TEST(what_each_selector_reads) {
    static const unsigned needs[SELECTORS] = {
        [SELECTOR_COMM] = 0,
        [SELECTOR_EXE] = IDENTITY_CMDLINE,
        [SELECTOR_CMDLINE] = IDENTITY_CMDLINE,
        [SELECTOR_USER] = IDENTITY_USER,
        [SELECTOR_CGROUP] = IDENTITY_CGROUP,
        [SELECTOR_UNIT] = IDENTITY_CGROUP,
        [SELECTOR_GID] = IDENTITY_GROUP,
        [SELECTOR_PID_FILE] = IDENTITY_PID_FILE,
        [SELECTOR_KERNEL] = 0,
    };
    const char *selectors[SELECTORS] = {NULL};

#ifndef HAVE_PCRE2
    if (_i == SELECTOR_CMDLINE)
        return;
#endif
    selectors[_i] = "x";
    add_rule("literal", selectors);
    open_rules();
    ck_assert_uint_eq(rules.needs, needs[_i]);
}
END_TEST

START_TEST(needs_add_up) {
    RULE("x", [SELECTOR_COMM] = "a");
    RULE("{{.Unit}}", [SELECTOR_COMM] = "a");
    RULE("x", [SELECTOR_USER] = "b");
    open_rules();
    ck_assert_uint_eq(rules.needs, IDENTITY_CGROUP | IDENTITY_USER);
}
END_TEST

START_TEST(unless_reads_as_well) {
    RULE("x", [SELECTOR_COMM] = "a");
    UNLESS([SELECTOR_USER] = "b", [SELECTOR_UNIT] = "c");
    open_rules();
    ck_assert_uint_eq(rules.needs, IDENTITY_CGROUP | IDENTITY_USER);
}
END_TEST

/* Its name is none, and reads nothing. */
START_TEST(a_rule_that_leaves_out) {
    RULE("{{.Nope}}", [SELECTOR_COMM] = "a");
    texts[0].drop = true;
    open_rules();
    ck_assert_ptr_null(rules.items[0].name);
    ck_assert_uint_eq(rules.needs, 0);
}
END_TEST

START_TEST(no_rules) {
    open_rules();
    ck_assert_uint_eq(rules.count, 0);
    ck_assert_uint_eq(rules.needs, 0);
}
END_TEST

/* Nothing of the rules before it is left. */
START_TEST(a_rule_that_can_not_be) {
    RULE("fine", [SELECTOR_COMM] = "a");
    RULE("{{.Nope}}", [SELECTOR_COMM] = "a");
    ck_assert_int_eq(rules_new(&settings, &rules), -EINVAL);
    ck_assert_uint_eq(rules.count, 0);
    ck_assert_ptr_null(rules.items);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("rules");
    TCase *tc = add_case(suite, "selectors");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, rule_selectors, 0, COUNT(rule_cases));
    tcase_add_loop_test(tc, unless, 0, COUNT(rule_cases));
    tcase_add_test(tc, unless_any_of_it);
    tcase_add_test(tc, who_is_to_blame);
    tcase_add_test(tc, parents);
#ifdef HAVE_PCRE2
    tcase_add_test(tc, given_up);
#endif
    tc = add_case(suite, "all of them");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, what_each_selector_reads, 0, SELECTORS);
    tcase_add_test(tc, needs_add_up);
    tcase_add_test(tc, unless_reads_as_well);
    tcase_add_test(tc, a_rule_that_leaves_out);
    tcase_add_test(tc, no_rules);
    tcase_add_test(tc, a_rule_that_can_not_be);
    return run_suite(suite);
}
