/* SPDX-License-Identifier: MIT */
/* The catalogue of options, and which values each of them takes. */
#include "config/options.h"

#include "build-config.h"
#include "config/config_help.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

/* ---- The catalogue ----------------------------------------------------------- */

START_TEST(every_option) {
    size_t count = 0;
    while (tally_option(count))
        count++;
    const struct tally_option *options = tally_option(0), *o = &options[_i];

    ck_assert_uint_eq(count, OPTIONS);
    ck_assert_ptr_nonnull(o->name);
    ck_assert(strlen(o->name) > 0);
    ck_assert_ptr_nonnull(o->argument);
    ck_assert(strlen(o->argument) > 0);
    ck_assert_ptr_nonnull(o->default_value);
    ck_assert_ptr_nonnull(o->help);
    ck_assert(strlen(o->help) > 10);
    ck_assert_ptr_null(strchr(o->help, '\n'));
    ck_assert_int_eq(o->help[strlen(o->help) - 1], '.');
    ck_assert(strlen(option_expected((enum option)_i)) > 0);
    for (const char *c = o->name; *c; c++)
        ck_assert_msg((*c >= 'a' && *c <= 'z') || *c == '-' || *c == '_', "%s", o->name);

    /* the index is the enum, under both spellings */
    ck_assert_int_eq(option_find(o->name, strlen(o->name)), _i);
    char other[64];
    ck_assert_uint_lt(strlen(o->name), sizeof(other));
    for (size_t i = 0; i <= strlen(o->name); i++)
        other[i] = o->name[i] == '-' ? '_' : o->name[i] == '_' ? '-' : o->name[i];
    ck_assert_int_eq(option_find(other, strlen(other)), _i);
    ck_assert_int_lt(option_find(o->name, strlen(o->name) - 1), 0);

    for (size_t i = 0; i < count; i++)
        if (i != (size_t)_i)
            ck_assert_str_ne(options[i].name, o->name);

    bool has_choices = o->type == TALLY_OPTION_CHOICE ||
                       (o->type == TALLY_OPTION_WORDS && _i != OPTION_METRICS);
    ck_assert_int_eq(o->choices != NULL, has_choices);
    bool is_list = o->type == TALLY_OPTION_WORDS || o->type == TALLY_OPTION_TEXTS ||
                   o->type == TALLY_OPTION_PAIRS || o->type == TALLY_OPTION_RULES;
    ck_assert_int_eq(o->repeatable, is_list);
}
END_TEST

START_TEST(choices_are_taken) {
    const struct tally_option *o = tally_option((size_t)_i);

    for (size_t i = 0; o->choices && o->choices[i]; i++) {
        tally_config *c = new_config();
        unsigned choice = 0;

        set(c, o->name, o->choices[i]);
        ck_assert_int_eq(
            option_parse_choice((enum option)_i, o->choices[i], strlen(o->choices[i]), &choice), 0);
        ck_assert_uint_eq(choice, i);
        ck_assert_str_eq(tally_config_get(c, o->name), o->choices[i]);
        /* the help and the message about a mistake name it too */
        assert_mentions(option_expected((enum option)_i), o->choices[i]);
        tally_config_free(c);
    }
}
END_TEST

START_TEST(standard_value) {
    const struct tally_option *o = tally_option((size_t)_i);
    tally_config *c = new_config();

    ck_assert_str_eq(tally_config_get(c, o->name), o->default_value);
#ifndef HAVE_YAML
    if (o->type != TALLY_OPTION_RULES)
#endif
        set(c, o->name, o->default_value);
    tally_config_free(c);
}
END_TEST

/* ---- Values ------------------------------------------------------------------- */

static const struct {
    const char *text;
    uint64_t ns; /* 0: wrong, but for "0s" */
} durations[] = {
    {"15s", UINT64_C(15000000000)},
    {"500ms", 500000000},
    {"1h", UINT64_C(3600000000000)},
    {"1h30m", UINT64_C(5400000000000)},
    {"2d", UINT64_C(172800000000000)},
    {"1m", UINT64_C(60000000000)},
    {"1m1ms", UINT64_C(60001000000)},
    {"0s", 0},
    {"1s1s", UINT64_C(2000000000)},
    {"007s", UINT64_C(7000000000)},
    {"53375d", UINT64_C(53375) * 86400 * UINT64_C(1000000000)},
    {"", 0},
    {"15", 0},
    {"s", 0},
    {"15 s", 0},
    {" 15s", 0},
    {"15s ", 0},
    {"-15s", 0},
    {"+15s", 0},
    {"1.5s", 0},
    {"15S", 0},
    {"15sec", 0},
    {"15us", 0},
    {"15s,", 0},
    {"15s3", 0},
    {"1e3s", 0},
    {"0x10s", 0},
    {"53376d", 0},
    {"18446744073709551616s", 0},
    {"18446744073709551615ms", 0},
    {"99999999999999999999999999d", 0},
    {"50000d50000d", 0},
};

START_TEST(duration) {
    const char *text = durations[_i].text;
    bool right = durations[_i].ns || strcmp(text, "0s") == 0;
    uint64_t ns = 12345;
    int r = option_parse_duration(text, &ns);
    tally_config *c = new_config();
    struct tally_error error = {{0}};

    ck_assert_msg(r == (right ? 0 : -EINVAL), "\"%s\" gives %d", text, r);
    ck_assert_uint_eq(ns, right ? durations[_i].ns : 12345);

    /* an interval has a least value */
    r = tally_config_set(c, "interval", text, &error);
    ck_assert_int_eq(r, right && durations[_i].ns >= 10000000 ? 0 : -EINVAL);
    ck_assert_int_eq(tally_config_set(c, "expire-after", text, &error), right ? 0 : -EINVAL);
    if (!right) {
        assert_one_line(error.text);
        assert_mentions(error.text, "expire-after");
        assert_mentions(error.text, "expected a duration");
    }
    tally_config_free(c);
}
END_TEST

static const struct {
    const char *name, *value;
    bool right;
} values[] = {
    {"interval", "10ms", true},
    {"interval", "9ms", false},
    {"interval", "0s", false},
    {"max-groups", "1", true},
    {"max-groups", "1000000", true},
    {"max_groups", "100", true},
    {"max-groups", "0", false},
    {"max-groups", "1000001", false},
    {"max-groups", "-1", false},
    {"max-groups", "10 ", false},
    {"max-groups", "", false},
    {"max-groups", "ten", false},
    {"max-groups", "18446744073709551617", false},
    {"top", "3", true},
    {"top", "3.0", false},
    {"top", "3 by cpu", true},
    {"top", "1000000 by network", true},
    {"top", "1000001 by io", false},
    {"top", "0 by memory", false},
    {"top", "3 by", false},
    {"top", "3 by ", false},
    {"top", "3 by name", false},
    {"top", "3 by cpu ", false},
    {"top", "3by cpu", false},
    {"top", "by cpu", false},
    {"top", "", false},
    {"children", "true", true},
    {"children", "yes", true},
    {"children", "on", true},
    {"children", "false", true},
    {"children", "no", true},
    {"children", "off", true},
    {"children", "1", false},
    {"children", "", false},
    {"children", "truee", false},
    {"cpu-mode", "core", true},
    {"cpu-mode", "cores", false},
    {"cpu-mode", "cor", false},
    {"cpu-mode", "", false},
    {"schema", "process-exporter", true},
    {"schema", "process", true},
    {"schema", "process-", false},
    {"source", "procfs", true},
    {"source", "bpf", true},
    {"source", "ebpf", false},
    {"prefix", "x_", true},
    {"prefix", "_", true},
    {"prefix", "", false},
    {"prefix", "1x", false},
    {"prefix", "x-y", false},
    {"prefix", "x y", false},
    {"prefix", "\xc3\xa9", false},
    {"prefix", "x\n", false},
    {"procfs", "/host/proc", true},
    {"procfs", "", false},
    {"state-file", "", true},
    {"state-file", "/a/b c", true},
    {"group-by", "name,user", true},
    {"group-by", "name,name", true},
    {"group-by", "", true},
    {"group-by", "name,", false},
    {"group-by", ",name", false},
    {"group-by", "name,,user", false},
    {"group-by", "name user", false},
    {"group-by", "Name", false},
    {"collect", "pss,no-fds", true},
    {"collect", "no-", false},
    {"collect", "no-no-pss", false},
    {"collect", "nopss", false},
    {"collect", "context_switches", false},
    {"metrics", "cpu_*,memory_rss,!page_faults_*", true},
    {"metrics", "!io_*", true},
    {"metrics", "", true},
    {"metrics", "cpu_*,", false},
    {"metrics", "!", false},
    {"metrics", "!!io_*", false},
    {"metrics", "CPU_user", false},
    {"metrics", "host_uptime", false},
    {"include", "bash", true},
    {"include", "/", true},
    {"include", "/a", true},
#ifdef HAVE_PCRE2
    {"include", "/^ba(sh|t)$/", true},
    {"include", "//", true},
    {"include", "/(/", false},
    {"exclude", "/[/", false},
#endif
    {"labels", "dc=fra1", true},
    {"labels", "dc=", true},
    {"labels", "dc=a=b", true},
    {"labels", "_x9=1", true},
    {"labels", "dc", false},
    {"labels", "=x", false},
    {"labels", "9a=x", false},
    {"labels", "a-b=x", false},
    {"labels", "a b=x", false},
    {"labels", "__x=1", false},
    {"labels", "groupname=x", false},
    {"labels", "user=x", false},
    {"labels", "mode=x", false},
};

START_TEST(value_of_each_type) {
    tally_config *c = new_config();
    struct tally_error error = {{0}};
    int r = tally_config_set(c, values[_i].name, values[_i].value, &error);

    ck_assert_msg(r == (values[_i].right ? 0 : -EINVAL), "%s=\"%s\" gives %d: %s", values[_i].name,
                  values[_i].value, r, error.text);
    if (r < 0)
        assert_one_line(error.text);
    /* nobody has to take the message */
    r = tally_config_set(c, values[_i].name, values[_i].right ? "" : values[_i].value, NULL);
    ck_assert(values[_i].right || r == -EINVAL);
    tally_config_free(c);
}
END_TEST

/* Every wrong value names the option, itself and what was expected. */
START_TEST(wrong_value_message) {
    const struct tally_option *o = tally_option((size_t)_i);
    tally_config *c = new_config();
    struct tally_error error = {{0}};
    const char *wrong = o->type == TALLY_OPTION_TEXTS ? NULL
                        : o->type == TALLY_OPTION_TEXT ? (_i == OPTION_STATE_FILE || _i == OPTION_PIN ? NULL
                                                          : _i == OPTION_PROCFS   ? ""
                                                                                  : "?")
                                                       : "wrong\nvalue";
    if (wrong && o->type != TALLY_OPTION_RULES) {
        ck_assert_int_eq(tally_config_set(c, o->name, wrong, &error), -EINVAL);
        assert_one_line(error.text);
        ck_assert_int_eq(strncmp(error.text, o->name, strlen(o->name)), 0);
        assert_mentions(error.text, "expected ");
        assert_mentions(error.text, option_expected((enum option)_i));
    }
    tally_config_free(c);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("options");
    TCase *tc;

    tc = add_case(suite, "catalogue");
    tcase_add_loop_test(tc, every_option, 0, OPTIONS);
    tcase_add_loop_test(tc, choices_are_taken, 0, OPTIONS);
    tcase_add_loop_test(tc, standard_value, 0, OPTIONS);
    tc = add_case(suite, "values");
    tcase_add_loop_test(tc, duration, 0, COUNT(durations));
    tcase_add_loop_test(tc, value_of_each_type, 0, COUNT(values));
    tcase_add_loop_test(tc, wrong_value_message, 0, OPTIONS);
    return run_suite(suite);
}
