/* SPDX-License-Identifier: MIT */
/* What the user asked for: who said it and who wins, what a refusal leaves as it
 * was, and the settings that come of it. */
#include "config/config.h"

#include "build-config.h"
#include "config/config_help.h"
#include "config/config_yaml.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Settings ------------------------------------------------------------------ */

START_TEST(standard_settings) {
    tally_config *c = new_config(), *given = new_config();
    struct settings s, t;
    const size_t count = OPTIONS;
    const struct tally_option *options = tally_option(0); /* they are one table here */

    for (size_t i = 0; i < count; i++)
        if (options[i].type != TALLY_OPTION_RULES)
            set(given, options[i].name, options[i].default_value);
    s = plain_settings_of(c);
    t = plain_settings_of(given);
    ck_assert_uint_eq(s.group_by_count, 1);
    ck_assert_int_eq(s.group_by[0], GROUP_NAME);
    ck_assert_uint_eq(t.group_by_count, 1);
    ck_assert_int_eq(t.group_by[0], GROUP_NAME);
    ck_assert(!s.children && !t.children);
    ck_assert_uint_eq(s.collect, COLLECT_DEFAULT);
    ck_assert_uint_eq(t.collect, COLLECT_DEFAULT);
    ck_assert(!s.cpu_mode_core && !t.cpu_mode_core);
    ck_assert_uint_eq(s.max_groups, 1000);
    ck_assert_uint_eq(t.max_groups, 1000);
    ck_assert_uint_eq(s.expire_after_ns, 600 * UINT64_C(1000000000));
    ck_assert_uint_eq(t.expire_after_ns, s.expire_after_ns);
    ck_assert_uint_eq(s.max_thread_names, 50);
    ck_assert(!s.fold_thread_names);
    ck_assert_uint_eq(s.top, 50);
    ck_assert_uint_eq(t.top, 50);
    ck_assert_int_eq(s.schema, TALLY_SCHEMA_NATIVE);
    ck_assert_int_eq(t.schema, TALLY_SCHEMA_NATIVE);
    ck_assert_uint_eq(interval_of(c), 10 * UINT64_C(1000000000));
    tally_config_free(c);
    tally_config_free(given);
}
END_TEST

/* Its users' files have no group-by and count on children. */
START_TEST(process_exporter_settings) {
    tally_config *c = new_config();
    struct settings s;

    set(c, "schema", "process-exporter");
    s = plain_settings_of(c);
    ck_assert(s.children);
    ck_assert_uint_eq(s.group_by_count, 0);
    ck_assert_uint_eq(s.collect, COLLECT_DEFAULT | 1u << COLLECT_THREAD_NAMES);
    ck_assert(s.keeps_empty && !s.drops_empty);
    set(c, "expire-after", "10m");
    s = plain_settings_of(c);
    ck_assert(!s.keeps_empty && !s.drops_empty);
    set(c, "expire-after", "0s");
    s = plain_settings_of(c);
    ck_assert(!s.keeps_empty && s.drops_empty);
    set(c, "schema", "native");
    s = plain_settings_of(c);
    ck_assert(!s.keeps_empty && !s.drops_empty);
    set(c, "schema", "process-exporter");
    set(c, "collect", "no-thread-names");
    s = plain_settings_of(c);
    ck_assert_uint_eq(s.collect, COLLECT_DEFAULT);
    set(c, "children", "false");
    set(c, "group-by", "user");
    s = plain_settings_of(c);
    ck_assert(!s.children);
    ck_assert_uint_eq(s.group_by_count, 1);
    ck_assert_int_eq(s.group_by[0], GROUP_USER);
    tally_config_free(c);
}
END_TEST

/* ---- Values ------------------------------------------------------------------- */

START_TEST(long_wrong_value) {
    tally_config *c = new_config();
    struct tally_error error;
    char *value = malloc(100001);

    ck_assert_ptr_nonnull(value);
    memset(value, 'x', 100000);
    value[100000] = '\0';
    ck_assert_int_eq(tally_config_set(c, "interval", value, &error), -EINVAL);
    assert_one_line(error.text);
    assert_mentions(error.text, "expected a duration");
    ck_assert_int_eq(tally_config_set(c, value, "1s", &error), -ENOENT);
    assert_one_line(error.text);
    free(value);
    tally_config_free(c);
}
END_TEST

START_TEST(longest_prefix) {
    tally_config *c = new_config();
    struct tally_error error;
    char prefix[102];

    memset(prefix, 'p', sizeof(prefix));
    prefix[101] = '\0';
    ck_assert_int_eq(tally_config_set(c, "prefix", prefix, &error), -EINVAL);
    prefix[100] = '\0';
    ck_assert_int_eq(tally_config_set(c, "prefix", prefix, &error), 0);
    tally_config_free(c);
}
END_TEST

START_TEST(unknown_option) {
    tally_config *c = new_config();
    struct tally_error error;

    ck_assert_int_eq(tally_config_set(c, "intervall", "1s", &error), -ENOENT);
    assert_one_line(error.text);
    assert_mentions(error.text, "intervall");
    ck_assert_int_eq(tally_config_set(c, "", "1s", &error), -ENOENT);
    ck_assert_ptr_null(tally_config_get(c, "intervall"));
    ck_assert_ptr_null(tally_config_get(c, ""));
    tally_config_free(c);
}
END_TEST

/* A value that is refused changes nothing. */
START_TEST(refused_value_keeps_the_old) {
    tally_config *c = new_config();
    struct tally_error error;
    struct settings s;

    set(c, "interval", "3s");
    set(c, "max-groups", "7");
    set(c, "prefix", "x_");
    set(c, "group-by", "user");
    ck_assert_int_eq(tally_config_set(c, "interval", "soon", &error), -EINVAL);
    ck_assert_int_eq(tally_config_set(c, "max-groups", "many", &error), -EINVAL);
    ck_assert_int_eq(tally_config_set(c, "prefix", "?", &error), -EINVAL);
    ck_assert_int_eq(tally_config_set(c, "group-by", "unit,wrong", &error), -EINVAL);
    ck_assert_uint_eq(interval_of(c), UINT64_C(3000000000));
    ck_assert_str_eq(tally_config_get(c, "max-groups"), "7");
    ck_assert_str_eq(tally_config_get(c, "prefix"), "x_");
    assert_items(c, OPTION_GROUP_BY, "user");
    s = plain_settings_of(c);
    ck_assert_uint_eq(s.max_groups, 7);
    tally_config_free(c);
}
END_TEST

START_TEST(lists_add_up) {
    tally_config *c = new_config();
    struct settings s;

    set(c, "include", "a");
    set(c, "include", "b,c");
    assert_items(c, OPTION_INCLUDE, "a|b,c");
    set(c, "include", "");
    assert_items(c, OPTION_INCLUDE, "");
    set(c, "include", "d");
    assert_items(c, OPTION_INCLUDE, "d");

    set(c, "group-by", "user,name");
    set(c, "group-by", "user");
    set(c, "group-by", "pid");
    s = plain_settings_of(c);
    ck_assert_uint_eq(s.group_by_count, 3); /* each once */
    ck_assert_int_eq(s.group_by[0], GROUP_USER);
    ck_assert_int_eq(s.group_by[1], GROUP_NAME);
    ck_assert_int_eq(s.group_by[2], GROUP_PID);
    set(c, "group-by", "");
    s = plain_settings_of(c);
    ck_assert_uint_eq(s.group_by_count, 0);
    ck_assert_str_eq(tally_config_get(c, "group-by"), "");

    set(c, "collect", "pss,no-io");
    set(c, "collect", "io,no-states");
    s = plain_settings_of(c);
    ck_assert_uint_eq(s.collect, (COLLECT_DEFAULT | 1u << COLLECT_PSS) & ~(1u << COLLECT_STATES));

    set(c, "labels", "a=1");
    set(c, "labels", "ab=2");
    struct tally_error error;
    ck_assert_int_eq(tally_config_set(c, "labels", "a=3", &error), -EINVAL);
    assert_mentions(error.text, "used only once");
    assert_items(c, OPTION_LABELS, "a=1|ab=2");
    tally_config_free(c);
}
END_TEST

/* With blanks, as people write lists; a mistake names the word. */
START_TEST(words_with_blanks) {
    tally_config *c = new_config();
    struct tally_error error;

    set(c, "group-by", " user ,  name ");
    assert_items(c, OPTION_GROUP_BY, "user|name");
    set(c, "metrics", "cpu_*, !cpu_user");
    assert_items(c, OPTION_METRICS, "cpu_*|!cpu_user");
    ck_assert_int_eq(tally_config_set(c, "collect", "io, fda, pss", &error), -EINVAL);
    assert_mentions(error.text, "collect has \"fda\", expected");
    ck_assert_int_eq(tally_config_set(c, "collect", "fda", &error), -EINVAL);
    assert_mentions(error.text, "collect is \"fda\", expected");
    ck_assert_int_eq(tally_config_set(c, "collect", "fda, pss", NULL), -EINVAL);
    for (const char *const *at = (const char *const[]){"user, ", ",user", "user,,name", " ", NULL};
         *at; at++)
        ck_assert_msg(tally_config_set(c, "group-by", *at, &error) == -EINVAL, "\"%s\"", *at);
    tally_config_free(c);
}
END_TEST

START_TEST(scalars_replace) {
    tally_config *c = new_config();
    uint64_t ns = 0;

    ck_assert_int_eq(tally_config_interval(c, &ns), 0);
    set(c, "interval", "1s");
    set(c, "interval", "2s");
    ck_assert_int_eq(tally_config_interval(c, &ns), 1);
    ck_assert_uint_eq(ns, UINT64_C(2000000000));
    ck_assert_str_eq(tally_config_get(c, "interval"), "2s");
    tally_config_free(c);
}
END_TEST

/* ---- Rules from a program --------------------------------------------------------- */

START_TEST(rule_by_call) {
    static const char *const comms[] = {"a", "b"};
    static const char *const regex[] = {"(?P<X>.)"};
    tally_config *c = new_config();
    struct tally_error error;
    struct tally_rule rule = {.size = sizeof(rule), .comm = {comms, 2}};

    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), 0);
    ck_assert_uint_eq(c->rule_count, 1);
    ck_assert_str_eq(c->rules[0].name, "{{.ExeBase}}");
    ck_assert_uint_eq(c->rules[0].when.selectors[SELECTOR_COMM].count, 2);
    ck_assert_ptr_ne(c->rules[0].when.selectors[SELECTOR_COMM].items[0], comms[0]);
#ifdef HAVE_PCRE2
    rule = (struct tally_rule){.size = sizeof(struct tally_rule), .name = "{{.Matches.X}}", .cmdline = {regex, 1}};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), 0);
    ck_assert_uint_eq(c->rule_count, 2);
#else
    rule = (struct tally_rule){.size = sizeof(rule), .cmdline = {regex, 1}};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -ENOTSUP);
#endif
    size_t before = c->rule_count;
    rule = (struct tally_rule){.size = sizeof(struct tally_rule), .name = "x"};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "expected at least one of");
    rule = (struct tally_rule){.size = sizeof(struct tally_rule), .name = "{{.Nope}}", .comm = {comms, 1}};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "{{.Nope}}");
    ck_assert_int_eq(tally_config_add_rule(c, &rule, NULL), -EINVAL);
    rule = (struct tally_rule){
        .size = sizeof(struct tally_rule), .name = "x", .comm = {comms, 1}, .drop = true};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "expected one of them");
    ck_assert_uint_eq(c->rule_count, before);
    tally_config_free(c);
}
END_TEST

START_TEST(rule_within_a_rule) {
    static const char *const comms[] = {"a", "b"};
    tally_config *c = new_config();
    struct tally_error error;
    struct tally_rule inner = {.size = sizeof(inner), .user = {comms, 2}};
    struct tally_rule rule = {
        .size = sizeof(rule), .comm = {comms, 1}, .unless = &inner, .drop = true};

    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), 0);
    ck_assert_uint_eq(c->rule_count, 1);
    ck_assert(c->rules[0].drop);
    ck_assert_uint_eq(c->rules[0].when.unless->selectors[SELECTOR_USER].count, 2);
    /* it has no name, no fate of its own, a size, and an end */
    inner.name = "x";
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "expected only these");
    inner = (struct tally_rule){.size = sizeof(inner), .user = {comms, 2}, .drop = true};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    inner = (struct tally_rule){.user = {comms, 2}};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "sizeof(struct tally_rule)");
    inner = (struct tally_rule){.size = sizeof(inner), .comm = {comms, 1}};
    inner.unless = &inner;
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    inner = (struct tally_rule){.size = sizeof(inner)};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "expected at least one of");
    ck_assert_uint_eq(c->rule_count, 1);
    tally_config_free(c);
}
END_TEST

#ifdef HAVE_YAML

/* ---- Layers ------------------------------------------------------------------------ */

static const char file_text[] = "interval: 20s\n"
                                "include: [a, b]\n"
                                "labels: {dc: x}\n"
                                "collect: [pss]\n"
                                "max-groups: 5\n"
                                "process_names:\n"
                                "- comm: from-file\n";

static void load_file(tally_config *c) {
    struct tally_error error = {{0}};
    int r = config_load_text(c, LAYER_FILE, "file", file_text, strlen(file_text), false, &error);

    ck_assert_msg(r == 0, "%s", error.text);
}

/* The caller's words win over the file's, whichever comes first; what the caller
 * does not speak of is the file's. */
START_TEST(layers) {
    tally_config *c = new_config();
    bool file_first = _i;

    if (file_first)
        load_file(c);
    set(c, "interval", "5s");
    set(c, "include", "c");
    set(c, "include", "d");
    set(c, "labels", "dc=y");
    set(c, "labels", "rack=1");
    set(c, "process_names", "[{comm: from-caller}]");
    if (!file_first)
        load_file(c);

    ck_assert_uint_eq(interval_of(c), UINT64_C(5000000000));
    assert_items(c, OPTION_INCLUDE, "c|d");
    assert_items(c, OPTION_LABELS, "dc=y|rack=1");
    assert_items(c, OPTION_COLLECT, "pss");
    ck_assert_str_eq(tally_config_get(c, "max-groups"), "5");
    ck_assert_uint_eq(c->rule_count, 1);
    ck_assert_str_eq(c->rules[0].when.selectors[SELECTOR_COMM].items[0], "from-caller");
    tally_config_free(c);
}
END_TEST

/* An empty list is an answer too. */
START_TEST(layers_emptied_list) {
    tally_config *c = new_config();

    if (_i)
        load_file(c);
    set(c, "include", "");
    if (!_i)
        load_file(c);
    assert_items(c, OPTION_INCLUDE, "");
    tally_config_free(c);
}
END_TEST

/* What is overruled has to be right all the same. */
START_TEST(overruled_is_checked) {
    static const char *const wrong[] = {"interval: soon\n", "include: [/(/]\n",
                                        "labels: {9: x}\n", "group-by: [nobody]\n",
                                        "process_names: [{name: x}]\n"};
    tally_config *c = new_config();
    struct tally_error error;

    set(c, "interval", "5s");
    set(c, "include", "c");
    set(c, "labels", "dc=y");
    set(c, "group-by", "user");
    set(c, "process_names", "[{comm: from-caller}]");
    for (int i = 0; i < COUNT(wrong); i++) {
#ifndef HAVE_PCRE2
        if (i == 1)
            continue;
#endif
        ck_assert_msg(config_load_text(c, LAYER_FILE, "file", wrong[i], strlen(wrong[i]), false,
                                       &error) == -EINVAL,
                      "%s", wrong[i]);
    }
    assert_items(c, OPTION_GROUP_BY, "user");
    ck_assert_uint_eq(c->rule_count, 1);
    tally_config_free(c);
}
END_TEST

#endif

int main(void) {
    Suite *suite = suite_create("config");
    TCase *tc;

    tc = add_case(suite, "settings");
    tcase_add_test(tc, standard_settings);
    tcase_add_test(tc, process_exporter_settings);
    tc = add_case(suite, "values");
    tcase_add_test(tc, long_wrong_value);
    tcase_add_test(tc, longest_prefix);
    tcase_add_test(tc, unknown_option);
    tcase_add_test(tc, refused_value_keeps_the_old);
    tcase_add_test(tc, lists_add_up);
    tcase_add_test(tc, words_with_blanks);
    tcase_add_test(tc, scalars_replace);
    tcase_add_test(tc, rule_by_call);
    tcase_add_test(tc, rule_within_a_rule);
#ifdef HAVE_YAML
    tc = add_case(suite, "layers");
    tcase_add_loop_test(tc, layers, 0, 2);
    tcase_add_loop_test(tc, layers_emptied_list, 0, 2);
    tcase_add_test(tc, overruled_is_checked);
#endif
    return run_suite(suite);
}
