/* SPDX-License-Identifier: MIT */
/* The catalogue of options, values, layers, and the configuration file: what is
 * right is taken as written, what is wrong is told with its place. */
#include "config/config_yaml.h"

#include "build-config.h"

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* A mistake in a file must be found in less than this, whatever the file. */
#define PATIENCE_S 5

static char scratch_dir[] = "/tmp/proctally-config-XXXXXX";
static char scratch_file[64];

/* ---- Help ------------------------------------------------------------------- */

static tally_config *new_config(void) {
    tally_config *c;

    ck_assert_int_eq(tally_config_new(&c), 0);
    return c;
}

static void write_scratch(const char *text, size_t len) {
    FILE *f = fopen(scratch_file, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static int load_bytes(tally_config *c, const char *text, size_t len, struct tally_error *error) {
    write_scratch(text, len);
    memset(error, 0, sizeof(*error));
    return tally_config_load(c, scratch_file, error);
}

#ifdef HAVE_YAML
static void load(tally_config *c, const char *text) {
    struct tally_error error;
    int r = load_bytes(c, text, strlen(text), &error);

    ck_assert_msg(r == 0, "\"%s\" is refused: %s", text, error.text);
}
#endif

static void set(tally_config *c, const char *name, const char *value) {
    struct tally_error error = {{0}};
    int r = tally_config_set(c, name, value, &error);

    ck_assert_msg(r == 0, "%s=%s is refused: %s", name, value, error.text);
}

static void assert_one_line(const char *text) {
    size_t len = strlen(text);

    ck_assert_msg(len > 0, "there is no message");
    for (size_t i = 0; i < len; i++)
        ck_assert_msg((unsigned char)text[i] >= 0x20 && text[i] != 0x7f,
                      "control character in \"%s\"", text);
    ck_assert_msg(text[len - 1] != '.', "full stop behind \"%s\"", text);
}

static void assert_mentions(const char *text, const char *part) {
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" does not mention \"%s\"", text, part);
}

static void assert_items(const tally_config *c, enum option option, const char *joined) {
    const struct string_list *items = &c->values[option].items;
    char text[512] = "";
    size_t len = 0;

    for (size_t i = 0; i < items->count; i++) {
        int n = snprintf(text + len, sizeof(text) - len, "%s%s", i ? "|" : "", items->items[i]);
        ck_assert(n >= 0 && (size_t)n < sizeof(text) - len);
        len += (size_t)n;
    }
    ck_assert_str_eq(text, joined);
}

static uint64_t interval_of(const tally_config *c) {
    uint64_t ns = 0;

    tally_config_interval(c, &ns);
    return ns;
}

/* ---- The catalogue ----------------------------------------------------------- */

START_TEST(every_option) {
    size_t count = 0;
    const struct tally_option *options = tally_options(&count), *o = &options[_i];

    ck_assert_uint_eq(count, OPTIONS);
    ck_assert_ptr_nonnull(o->name);
    ck_assert(strlen(o->name) > 0);
    ck_assert_ptr_nonnull(o->argument);
    ck_assert(strlen(o->argument) > 0);
    ck_assert_ptr_nonnull(o->standard);
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

    bool has_choices =
        o->type == TALLY_OPTION_CHOICE || o->type == TALLY_OPTION_WORDS;
    ck_assert_int_eq(o->choices != NULL, has_choices);
    bool is_list = o->type == TALLY_OPTION_WORDS || o->type == TALLY_OPTION_TEXTS ||
                   o->type == TALLY_OPTION_PAIRS || o->type == TALLY_OPTION_RULES;
    ck_assert_int_eq(o->list, is_list);
}
END_TEST

START_TEST(choices_are_taken) {
    size_t count;
    const struct tally_option *o = &tally_options(&count)[_i];

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
    size_t count;
    const struct tally_option *o = &tally_options(&count)[_i];
    tally_config *c = new_config();

    ck_assert_str_eq(tally_config_get(c, o->name), o->standard);
#ifndef HAVE_YAML
    if (o->type != TALLY_OPTION_RULES)
#endif
        set(c, o->name, o->standard);
    tally_config_free(c);
}
END_TEST

/* What of them is no text, which is freed already. */
static struct settings plain_settings_of(const tally_config *c) {
    struct settings s;
    ck_assert_int_eq(config_settings(c, &s), 0);
    const struct settings plain = s;
    settings_free(&s);
    return plain;
}

START_TEST(standard_settings) {
    tally_config *c = new_config(), *given = new_config();
    struct settings s, t;
    size_t count;
    const struct tally_option *options = tally_options(&count);

    for (size_t i = 0; i < count; i++)
        if (options[i].type != TALLY_OPTION_RULES)
            set(given, options[i].name, options[i].standard);
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
    size_t count;
    const struct tally_option *o = &tally_options(&count)[_i];
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
    struct tally_rule rule = {.comm = {comms, 2}};

    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), 0);
    ck_assert_uint_eq(c->rule_count, 1);
    ck_assert_str_eq(c->rules[0].name, "{{.ExeBase}}");
    ck_assert_uint_eq(c->rules[0].selectors[SELECTOR_COMM].count, 2);
    ck_assert_ptr_ne(c->rules[0].selectors[SELECTOR_COMM].items[0], comms[0]);
#ifdef HAVE_PCRE2
    rule = (struct tally_rule){.name = "{{.Matches.X}}", .cmdline = {regex, 1}};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), 0);
    ck_assert_uint_eq(c->rule_count, 2);
#else
    rule = (struct tally_rule){.cmdline = {regex, 1}};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -ENOTSUP);
#endif
    size_t before = c->rule_count;
    rule = (struct tally_rule){.name = "x"};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "expected at least one of");
    rule = (struct tally_rule){.name = "{{.Nope}}", .comm = {comms, 1}};
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), -EINVAL);
    assert_mentions(error.text, "{{.Nope}}");
    ck_assert_int_eq(tally_config_add_rule(c, &rule, NULL), -EINVAL);
    ck_assert_uint_eq(c->rule_count, before);
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

/* The caller's words win over the file's, whichever comes first; what the caller
 * does not speak of is the file's. */
START_TEST(layers) {
    tally_config *c = new_config();
    bool file_first = _i;

    if (file_first)
        load(c, file_text);
    set(c, "interval", "5s");
    set(c, "include", "c");
    set(c, "include", "d");
    set(c, "labels", "dc=y");
    set(c, "labels", "rack=1");
    set(c, "process_names", "[{comm: from-caller}]");
    if (!file_first)
        load(c, file_text);

    ck_assert_uint_eq(interval_of(c), UINT64_C(5000000000));
    assert_items(c, OPTION_INCLUDE, "c|d");
    assert_items(c, OPTION_LABELS, "dc=y|rack=1");
    assert_items(c, OPTION_COLLECT, "pss");
    ck_assert_str_eq(tally_config_get(c, "max-groups"), "5");
    ck_assert_uint_eq(c->rule_count, 1);
    ck_assert_str_eq(c->rules[0].selectors[SELECTOR_COMM].items[0], "from-caller");
    tally_config_free(c);
}
END_TEST

/* An empty list is an answer too. */
START_TEST(layers_emptied_list) {
    tally_config *c = new_config();

    if (_i)
        load(c, file_text);
    set(c, "include", "");
    if (!_i)
        load(c, file_text);
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
        ck_assert_msg(load_bytes(c, wrong[i], strlen(wrong[i]), &error) == -EINVAL, "%s", wrong[i]);
    }
    assert_items(c, OPTION_GROUP_BY, "user");
    ck_assert_uint_eq(c->rule_count, 1);
    tally_config_free(c);
}
END_TEST

static void assert_selector(const tally_config *c, size_t rule, enum selector selector,
                            const char *first, size_t count) {
    const struct string_list *list = &c->rules[rule].selectors[selector];

    ck_assert_uint_eq(list->count, count);
    if (count)
        ck_assert_str_eq(list->items[0], first);
}

#ifdef HAVE_PCRE2

/* ---- process-exporter's files ------------------------------------------------------ */

static const char *data_file(const char *name) {
    static char path[4096];
    const char *source = getenv("SRC");
    int len = snprintf(path, sizeof(path), "%s/tests/data/process-exporter/%s",
                       source ? source : ".", name);

    ck_assert(len > 0 && (size_t)len < sizeof(path));
    return path;
}

static tally_config *load_example(const char *name, size_t rules) {
    tally_config *c = new_config();
    struct tally_error error = {{0}};
    int r = tally_config_load(c, data_file(name), &error);

    ck_assert_msg(r == 0, "%s: %s", name, error.text);
    ck_assert_uint_eq(c->rule_count, rules);
    return c;
}

START_TEST(example_packaged) {
    tally_config *c = load_example("packaged.yaml", 1);

    ck_assert_str_eq(c->rules[0].name, "{{.Comm}}");
    assert_selector(c, 0, SELECTOR_CMDLINE, ".+", 1);
    ck_assert_uint_eq(c->rules[0].line, 2);
    tally_config_free(c);
}
END_TEST

START_TEST(example_selectors) {
    tally_config *c = load_example("selectors.yaml", 3);

    assert_selector(c, 0, SELECTOR_COMM, "bash", 1);
    ck_assert_str_eq(c->rules[0].name, "{{.ExeBase}}");
    assert_selector(c, 1, SELECTOR_EXE, "postgres", 2);
    ck_assert_str_eq(c->rules[1].selectors[SELECTOR_EXE].items[1], "/usr/local/bin/prometheus");
    ck_assert_str_eq(c->rules[2].name, "{{.ExeFull}}:{{.Matches.Cfgfile}}");
    assert_selector(c, 2, SELECTOR_EXE, "/usr/local/bin/process-exporter", 1);
    assert_selector(c, 2, SELECTOR_CMDLINE, "-config.path\\s+(?P<Cfgfile>\\S+)", 1);
    tally_config_free(c);
}
END_TEST

START_TEST(example_workstation) {
    tally_config *c = load_example("workstation.yaml", 2);

    assert_selector(c, 0, SELECTOR_COMM, "chromium", 4);
    assert_selector(c, 0, SELECTOR_EXE, "", 0);
    assert_selector(c, 1, SELECTOR_EXE, "/sbin/upstart", 1);
    assert_selector(c, 1, SELECTOR_CMDLINE, "--user", 1);
    ck_assert_str_eq(c->rules[1].name, "upstart:-user");
    tally_config_free(c);
}
END_TEST

#endif

/* ---- Files that are right ---------------------------------------------------------- */

START_TEST(empty_files) {
    static const char *const texts[] = {"",      "\n\n", "# nothing\n",          "---\n", "---\n...\n",
                                        "{}\n",  "~\n",  "\xef\xbb\xbf# BOM\n", "null\n"};
    tally_config *c = new_config();

    load(c, texts[_i]);
    for (int i = 0; i < OPTIONS; i++)
        ck_assert_int_eq(c->values[i].layer, LAYER_DEFAULT);
    ck_assert_uint_eq(c->rule_count, 0);
    tally_config_free(c);
}
END_TEST

START_TEST(list_forms) {
    tally_config *c = new_config();

    load(c, "include: bash\nexclude: [a, 'b,c', \"\\\"d\\u00e9\"]\ngroup-by: user,name\n");
    assert_items(c, OPTION_INCLUDE, "bash");
    assert_items(c, OPTION_EXCLUDE, "a|b,c|\"d\xc3\xa9");
    assert_items(c, OPTION_GROUP_BY, "user|name");
    tally_config_free(c);

    c = new_config();
    load(c, "include:\nexclude: ~\ngroup_by: []\nlabels: null\nprocess_names:\n");
    assert_items(c, OPTION_INCLUDE, "");
    assert_items(c, OPTION_EXCLUDE, "");
    assert_items(c, OPTION_GROUP_BY, "");
    struct settings s;
    s = plain_settings_of(c);
    ck_assert_uint_eq(s.group_by_count, 0);
    tally_config_free(c);

    c = new_config();
    load(c, "group-by:\n- unit\n- name,pid\ninclude: ['~', 'null', '/x']\n");
    assert_items(c, OPTION_GROUP_BY, "unit|name|pid");
    assert_items(c, OPTION_INCLUDE, "~|null|/x");
    tally_config_free(c);
}
END_TEST

START_TEST(collect_forms) {
    static const char *const texts[] = {
        "collect: [pss, no-fds]\n",
        "collect: pss,no-fds\n",
        "collect: {pss: true, fds: false}\n",
        "collect:\n  pss: on\n  fds: no\n  io: yes\n",
        "collect: {io: false, no-io: false, pss: true, fds: false}\n",
    };
    tally_config *c = new_config();
    struct tally_error error;
    struct settings s;

    if (_i == 4) { /* a double negation is nobody's wish */
        ck_assert_int_eq(load_bytes(c, texts[_i], strlen(texts[_i]), &error), -EINVAL);
    } else {
        load(c, texts[_i]);
        s = plain_settings_of(c);
        ck_assert_uint_eq(s.collect, (COLLECT_DEFAULT | 1u << COLLECT_PSS) & ~(1u << COLLECT_FDS));
    }
    tally_config_free(c);
}
END_TEST

START_TEST(label_forms) {
    tally_config *c = new_config();

    load(c, "labels:\n  dc: fra1\n  rack: 7\n  quoted: \"a \\\"b\\\"\\n\\\\\"\n  empty:\n");
    assert_items(c, OPTION_LABELS, "dc=fra1|rack=7|quoted=a \"b\"\n\\|empty=");
    tally_config_free(c);
    c = new_config();
    load(c, "labels: [dc=fra1, 'x=a=b']\n");
    assert_items(c, OPTION_LABELS, "dc=fra1|x=a=b");
    tally_config_free(c);
    c = new_config();
    load(c, "labels: dc=fra1\n");
    assert_items(c, OPTION_LABELS, "dc=fra1");
    tally_config_free(c);
}
END_TEST

START_TEST(rule_forms) {
    tally_config *c = new_config();

    load(c, "process_names:\n"
            "- {comm: bash, user: root, cgroup: /system.slice, unit: [a.service, 'b*']}\n"
            "- &r {name: x, exe: [a], cmdline: , user: ~}\n"
            "- *r\n"
            "- name: ''\n"
            "  comm: [c]\n"
            "-\n"
            "  comm: d\r\n");
    ck_assert_uint_eq(c->rule_count, 5);
    assert_selector(c, 0, SELECTOR_COMM, "bash", 1);
    assert_selector(c, 0, SELECTOR_USER, "root", 1);
    assert_selector(c, 0, SELECTOR_CGROUP, "/system.slice", 1);
    assert_selector(c, 0, SELECTOR_UNIT, "a.service", 2);
    assert_selector(c, 1, SELECTOR_CMDLINE, "", 0);
    assert_selector(c, 1, SELECTOR_USER, "", 0);
    ck_assert_str_eq(c->rules[2].name, "x");
    ck_assert_str_eq(c->rules[3].name, "{{.ExeBase}}");
    ck_assert_uint_eq(c->rules[0].line, 2);
    ck_assert_uint_eq(c->rules[3].line, 5);
    assert_selector(c, 4, SELECTOR_COMM, "d", 1);
    tally_config_free(c);
}
END_TEST

START_TEST(rules_as_json) {
    tally_config *c = new_config();
    struct tally_error error;

    set(c, "process_names", "[{\"name\": \"x\", \"comm\": [\"a\", \"b\"]}, {\"exe\": [\"c\"]}]");
    ck_assert_uint_eq(c->rule_count, 2);
    set(c, "process-names", "- comm: d\n");
    ck_assert_uint_eq(c->rule_count, 3);
    ck_assert_int_eq(tally_config_set(c, "process_names", "[{\"name\": \"x\"}]", &error), -EINVAL);
    assert_one_line(error.text);
    assert_mentions(error.text, "process_names:1");
    ck_assert_int_eq(tally_config_set(c, "process_names", "{", &error), -EINVAL);
    assert_mentions(error.text, "not YAML");
    ck_assert_uint_eq(c->rule_count, 3);
    tally_config_free(c);
}
END_TEST

/* ---- Files that are wrong ------------------------------------------------------------ */

#define TEXT(literal) (literal), sizeof(literal) - 1

static const struct {
    const char *text;
    size_t len;
    int line;
    const char *option;   /* what is wrong … */
    const char *expected; /* … and what was expected */
    bool needs_pcre2;
} mistakes[] = {
    {TEXT("intervall: 5s\n"), 1, "intervall", "expected", false},
    {TEXT("\n# x\nprocessnames: []\n"), 3, "processnames", "expected", false},
    {TEXT("7: x\n"), 1, "\"7\"", "expected", false},
    {TEXT("[a]: x\n"), 1, "option", "expected", false},
    {TEXT("interval: soon\n"), 1, "interval is \"soon\"", "expected a duration", false},
    {TEXT("top: 5\ninterval:\n"), 2, "interval is \"\"", "expected a duration", false},
    {TEXT("interval: [5s]\n"), 1, "interval", "expected a duration", false},
    {TEXT("interval: {a: 5s}\n"), 1, "interval", "expected a duration", false},
    {TEXT("max-groups: -5\n"), 1, "max-groups", "expected a whole number", false},
    {TEXT("max_groups: 5.0\n"), 1, "max-groups is \"5.0\"", "expected a whole number", false},
    {TEXT("children: maybe\n"), 1, "children", "expected true or false", false},
    {TEXT("schema: openmetrics\n"), 1, "schema", "expected native, process-exporter", false},
    {TEXT("source: ebpf\n"), 1, "source", "expected auto, procfs or bpf", false},
    {TEXT("cpu-mode: [core]\n"), 1, "cpu-mode", "expected machine or core", false},
    {TEXT("prefix: a-b\n"), 1, "prefix", "expected a letter", false},
    {TEXT("procfs: ''\n"), 1, "procfs", "expected a path", false},
    {TEXT("state-file: [x]\n"), 1, "state-file", "expected a path", false},
    {TEXT("group-by:\n- name\n- nobody\n"), 3, "group-by is \"nobody\"", "expected any of", false},
    {TEXT("group-by: {name: true}\n"), 1, "group-by", "expected any of", false},
    {TEXT("group-by: [[name]]\n"), 1, "group-by", "expected any of", false},
    {TEXT("include: {a: b}\n"), 1, "include", "expected a text", false},
    {TEXT("include: [{a: b}]\n"), 1, "include", "expected a text", false},
    {TEXT("exclude:\n- a\n- [b]\n"), 3, "exclude", "expected a text", false},
    {TEXT("include:\n- /(/\n"), 2, "include", "parenthes", true},
    {TEXT("exclude: /[z-a]/\n"), 1, "exclude", "range", true},
    {TEXT("collect: [gpu]\n"), 1, "collect is \"gpu\"", "expected context-switches", false},
    {TEXT("collect:\n  pss: true\n  gpu: true\n"), 3, "collect", "expected context-switches", false},
    {TEXT("collect:\n  pss: perhaps\n"), 2, "collect", "expected true or false", false},
    {TEXT("collect: {pss: [true]}\n"), 1, "collect", "expected true or false", false},
    {TEXT("labels: {a: [b]}\n"), 1, "labels", "expected a text", false},
    {TEXT("labels: {a: {b: c}}\n"), 1, "labels", "expected a text", false},
    {TEXT("labels:\n  a: b\n  pid: c\n"), 3, "labels", "expected KEY=VALUE", false},
    {TEXT("labels:\n  a: b\n  a: c\n"), 3, "labels", "used only once", false},
    {TEXT("labels: [a]\n"), 1, "labels", "expected KEY=VALUE", false},
    {TEXT("labels: [a: b]\n"), 1, "labels", "expected KEY=VALUE", false},
    {TEXT("top: 5\ntop: 6\n"), 2, "top is given twice", "expected once", false},
    {TEXT("max-groups: 5\nmax_groups: 5\n"), 2, "given twice", "expected once", false},
    {TEXT("- a\n"), 1, "not a mapping", "expected", false},
    {TEXT("just words\n"), 1, "not a mapping", "expected", false},
    /* rules */
    {TEXT("process_names: bash\n"), 1, "process_names", "expected a list", false},
    {TEXT("process_names:\n  comm: bash\n"), 2, "process_names", "expected a list", false},
    {TEXT("process_names:\n- bash\n"), 2, "process_names", "expected name and selectors", false},
    {TEXT("process_names:\n- []\n"), 2, "process_names", "expected name and selectors", false},
    {TEXT("process_names:\n- comm: a\n- name: x\n"), 3, "selector", "expected at least one of",
     false},
    {TEXT("process_names:\n- {}\n"), 2, "selector", "expected at least one of", false},
    {TEXT("process_names:\n- comm: []\n"), 2, "selector", "expected at least one of", false},
    {TEXT("process_names:\n- comm: ~\n  exe:\n"), 2, "selector", "expected at least one of", false},
    {TEXT("process_names:\n- comm: a\n  comand: b\n"), 3, "comand", "expected name (a text), comm",
     false},
    {TEXT("process_names:\n- comm: a\n  comm: b\n"), 3, "comm", "expected once", false},
    {TEXT("process_names:\n- comm: a\n  name: x\n  name: y\n"), 4, "name", "expected once", false},
    {TEXT("process_names:\n- comm: {a: b}\n"), 2, "comm", "expected a text or a list", false},
    {TEXT("process_names:\n- comm:\n  - a\n  - [b]\n"), 4, "comm", "expected a text or a list",
     false},
    {TEXT("process_names:\n- comm: a\n  name: [x]\n"), 3, "name", "a text", false},
    {TEXT("process_names:\n- comm: a\n  name: '{{.Nope}}'\n"), 3, "{{.Nope}}", "expected .Comm",
     false},
    {TEXT("process_names:\n- comm: a\n  name: 'x{{.Comm'\n"), 3, "x{{.Comm", "}}", false},
    {TEXT("process_names:\n- comm: a\n\n- cmdline: ['ok', '(']\n"), 4, "cmdline", "parenthes",
     true},
    /* not YAML at all */
    {TEXT("interval: 5s\n top: 5\n"), 2, "not YAML", "", false},
    {TEXT("a: [b\n"), 2, "not YAML", "", false},
    {TEXT("a: \"b\n"), 2, "not YAML", "", false},
    {TEXT("a:\tb\n\t- c\n"), 2, "not YAML", "", false},
    {TEXT("{\n"), 2, "not YAML", "", false},
    {TEXT("a: *nobody\n"), 1, "not YAML", "", false},
    {TEXT("a: \xff\xfe\n"), 1, "not YAML", "", false},
    {TEXT("top: 5\n\0"), 2, "not YAML", "", false},
    {TEXT("\x7f" "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"), 1, "not YAML", "", false},
    /* a NUL byte that YAML lets through, in each place */
    {TEXT("procfs: \"/proc\\0/x\"\n"), 1, "procfs", "expected a path", false},
    {TEXT("include: [\"a\\0b\"]\n"), 1, "include", "expected a text", false},
    {TEXT("\"top\\0\": 5\n"), 1, "option", "expected", false},
    {TEXT("labels: {\"a\\0\": b}\n"), 1, "labels", "expected", false},
    {TEXT("labels: {a: \"b\\0\"}\n"), 1, "labels", "expected", false},
    {TEXT("process_names: [{comm: \"a\\0b\"}]\n"), 1, "comm", "expected a text", false},
    {TEXT("process_names: [{comm: a, name: \"a\\0b\"}]\n"), 1, "name", "a text", false},
    {TEXT("process_names: [{\"comm\\0\": a}]\n"), 1, "rule", "expected name", false},
    /* what the user wrote can't break the line of the message */
    {TEXT("interval: \"a\\nb\\e[31m\"\n"), 1, "interval", "expected a duration", false},
    {TEXT("\"a\\nb\": 1\n"), 1, "option", "expected", false},
};

static void assert_place(const char *text, int line) {
    char place[128];

    snprintf(place, sizeof(place), "%s:%d: ", scratch_file, line);
    ck_assert_msg(strncmp(text, place, strlen(place)) == 0, "\"%s\" does not begin with \"%s\"",
                  text, place);
}

START_TEST(mistake) {
    tally_config *c = new_config();
    struct tally_error error;
    int r;

#ifndef HAVE_PCRE2
    if (mistakes[_i].needs_pcre2) {
        tally_config_free(c);
        return;
    }
#endif
    r = load_bytes(c, mistakes[_i].text, mistakes[_i].len, &error);
    ck_assert_msg(r == -EINVAL, "\"%s\" gives %d", mistakes[_i].text, r);
    assert_one_line(error.text);
    assert_place(error.text, mistakes[_i].line);
    assert_mentions(error.text + strlen(scratch_file), mistakes[_i].option);
    assert_mentions(error.text, mistakes[_i].expected);
    /* nobody has to take the message */
    ck_assert_int_eq(tally_config_load(c, scratch_file, NULL), -EINVAL);
    tally_config_free(c);
}
END_TEST

START_TEST(no_file) {
    tally_config *c = new_config();
    struct tally_error error = {{0}};
    char path[128];

    snprintf(path, sizeof(path), "%s/missing.yaml", scratch_dir);
    ck_assert_int_eq(tally_config_load(c, path, &error), -ENOENT);
    assert_one_line(error.text);
    assert_mentions(error.text, path);
    assert_mentions(error.text, "expected a configuration file");
    ck_assert_int_eq(tally_config_load(c, scratch_dir, &error), -EISDIR);
    assert_one_line(error.text);
    assert_mentions(error.text, scratch_dir);
    write_scratch("", 0);
    snprintf(path, sizeof(path), "%s/x", scratch_file);
    ck_assert_int_eq(tally_config_load(c, path, &error), -ENOTDIR);
    tally_config_free(c);
}
END_TEST

/* ---- Files that want to stall or fill us ------------------------------------------------ */

struct text {
    char *at;
    size_t len, size;
};

static void add(struct text *t, const char *more) {
    size_t len = strlen(more);

    if (t->len + len + 1 > t->size) {
        t->size = (t->len + len + 1) * 2;
        t->at = realloc(t->at, t->size);
        ck_assert_ptr_nonnull(t->at);
    }
    memcpy(t->at + t->len, more, len + 1);
    t->len += len;
}

static int load_quickly(struct text *t) {
    tally_config *c = new_config();
    struct tally_error error;
    struct timespec before, after;
    int r;

    clock_gettime(CLOCK_MONOTONIC, &before);
    r = load_bytes(c, t->at, t->len, &error);
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_lt(after.tv_sec - before.tv_sec, PATIENCE_S);
    if (r < 0)
        assert_one_line(error.text);
    tally_config_free(c);
    free(t->at);
    return r;
}

/* Each line holds the one before nine times: 9^30 texts, if anybody unfolds it. */
START_TEST(alias_bomb) {
    struct text t = {0};

    add(&t, "include: [");
    for (int i = 0; i < 30; i++) {
        char line[128];
        if (i == 0)
            snprintf(line, sizeof(line), "&a0 [x,x,x,x,x,x,x,x,x],\n");
        else
            snprintf(line, sizeof(line), "&a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d],\n",
                     i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        add(&t, line);
    }
    add(&t, "x]\n");
    ck_assert_int_eq(load_quickly(&t), -EINVAL);
}
END_TEST

START_TEST(alias_of_itself) {
    static const char *const texts[] = {
        "include: &a [*a]\n",
        "&a {interval: *a}\n",
        "&a {*a : 5}\n",
        "labels: &a {x: *a}\n",
        "process_names: &a [*a]\n",
        "process_names:\n- &a {comm: *a}\n",
        "process_names:\n- {comm: &a [*a]}\n",
    };
    struct text t = {0};

    add(&t, texts[_i]);
    ck_assert_int_eq(load_quickly(&t), -EINVAL);
}
END_TEST

START_TEST(deep_nesting) {
    static const char *const starts[] = {"include: ", "a: ", "process_names: ", ""};
    static const char *const nests[] = {"[", "{", "{a: ", "- "};
    struct text t = {0};

    add(&t, starts[_i % 4]);
    for (int i = 0; i < 3000; i++)
        add(&t, nests[_i / 4]);
    ck_assert_int_eq(load_quickly(&t), -EINVAL);
}
END_TEST

START_TEST(many_values) {
    struct text t = {0};

    add(&t, "include:\n");
    for (int i = 0; i < 3000; i++)
        add(&t, "- some-process\n");
    ck_assert_int_eq(load_quickly(&t), 0);
}
END_TEST

START_TEST(many_rules) {
    struct text t = {0};

    add(&t, "process_names:\n");
    for (int i = 0; i < 1000; i++)
        add(&t, "- comm: [a, b]\n  name: '{{.Comm}}'\n");
    ck_assert_int_eq(load_quickly(&t), 0);
}
END_TEST

START_TEST(too_many_in_a_selector) {
    struct text t = {0};

    add(&t, "process_names:\n- comm:\n");
    for (int i = 0; i < 5000; i++)
        add(&t, "  - a\n");
    ck_assert_int_eq(load_quickly(&t), -EINVAL);
}
END_TEST

START_TEST(too_large) {
    tally_config *c = new_config();
    struct tally_error error = {{0}};
    FILE *f = fopen(scratch_file, "w");

    ck_assert_ptr_nonnull(f);
    /* a hole: it takes no space */
    ck_assert_int_eq(ftruncate(fileno(f), 64 << 20), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_lt(tally_config_load(c, scratch_file, &error), 0);
    assert_one_line(error.text);
    assert_mentions(error.text, scratch_file);
    tally_config_free(c);
}
END_TEST

/* Damaged in a few places by the same "random" numbers each time. */
START_TEST(damaged) {
    static const char whole[] = "interval: 5s\ncollect: {pss: true}\nlabels: {a: b}\n"
                                "include: [a, /b+/]\nprocess_names:\n- name: \"{{.Comm}}\"\n"
                                "  cmdline: ['.+', &x y]\n- {comm: *x, user: [root]}\n";
    static const char likely[] = "{}[]&*!|>'\"%@`#,:-?\n\t ax\\/\0\377\302\205";
    uint64_t random = 88172645463325252u;

    for (int round = 0; round < 3000; round++) {
        char text[sizeof(whole)];
        size_t len = sizeof(whole) - 1;
        tally_config *c = new_config();
        struct tally_error error = {{0}};

        memcpy(text, whole, sizeof(whole));
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        for (unsigned edit = 0; edit <= random % 3; edit++) {
            uint64_t dice = random >> (16 * edit);
            text[dice / 64 % len] = likely[dice % (sizeof(likely) - 1)];
        }
        if (config_load_text(c, LAYER_FILE, "f", text, len, false, &error) < 0) {
            assert_one_line(error.text);
            ck_assert_msg(strncmp(error.text, "f:", 2) == 0, "%s", error.text);
        }
        tally_config_free(c);
    }
}
END_TEST

START_TEST(every_prefix) {
    static const char whole[] = "interval: 5s\ncollect: {pss: true}\ninclude: [a, /b+/]\n"
                                "process_names:\n- name: \"{{.Comm}}\"\n  cmdline: ['.+']\n";

    for (size_t len = 0; len < sizeof(whole); len++) {
        tally_config *c = new_config();
        struct tally_error error = {{0}};
        char *copy = malloc(len ? len : 1); /* so that a sanitizer sees a byte past the end */

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, whole, len);
        if (config_load_text(c, LAYER_FILE, "f", copy, len, false, &error) < 0)
            assert_one_line(error.text);
        free(copy);
        tally_config_free(c);
    }
}
END_TEST

#else

START_TEST(no_yaml) {
    tally_config *c = new_config();
    struct tally_error error;

    ck_assert_int_eq(load_bytes(c, "top: 5\n", 7, &error), -ENOTSUP);
    assert_one_line(error.text);
    tally_config_free(c);
}
END_TEST

#endif

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("config");
    SRunner *runner;
    TCase *tc;
    int failed;

    if (!mkdtemp(scratch_dir)) {
        perror(scratch_dir);
        return EXIT_FAILURE;
    }
    snprintf(scratch_file, sizeof(scratch_file), "%s/conf.yaml", scratch_dir);

    tc = add_case(suite, "catalogue");
    tcase_add_loop_test(tc, every_option, 0, OPTIONS);
    tcase_add_loop_test(tc, choices_are_taken, 0, OPTIONS);
    tcase_add_loop_test(tc, standard_value, 0, OPTIONS);
    tcase_add_test(tc, standard_settings);
    tcase_add_test(tc, process_exporter_settings);
    tc = add_case(suite, "values");
    tcase_add_loop_test(tc, duration, 0, COUNT(durations));
    tcase_add_loop_test(tc, value_of_each_type, 0, COUNT(values));
    tcase_add_loop_test(tc, wrong_value_message, 0, OPTIONS);
    tcase_add_test(tc, long_wrong_value);
    tcase_add_test(tc, longest_prefix);
    tcase_add_test(tc, unknown_option);
    tcase_add_test(tc, refused_value_keeps_the_old);
    tcase_add_test(tc, lists_add_up);
    tcase_add_test(tc, scalars_replace);
    tcase_add_test(tc, rule_by_call);
#ifdef HAVE_YAML
    tc = add_case(suite, "layers");
    tcase_add_loop_test(tc, layers, 0, 2);
    tcase_add_loop_test(tc, layers_emptied_list, 0, 2);
    tcase_add_test(tc, overruled_is_checked);
#ifdef HAVE_PCRE2
    tc = add_case(suite, "process-exporter");
    tcase_add_test(tc, example_packaged);
    tcase_add_test(tc, example_selectors);
    tcase_add_test(tc, example_workstation);
#endif
    tc = add_case(suite, "right");
    tcase_add_loop_test(tc, empty_files, 0, 9);
    tcase_add_test(tc, list_forms);
    tcase_add_loop_test(tc, collect_forms, 0, 5);
    tcase_add_test(tc, label_forms);
    tcase_add_test(tc, rule_forms);
    tcase_add_test(tc, rules_as_json);
    tc = add_case(suite, "wrong");
    tcase_add_loop_test(tc, mistake, 0, COUNT(mistakes));
    tcase_add_test(tc, no_file);
    tc = add_case(suite, "hostile");
    tcase_add_test(tc, alias_bomb);
    tcase_add_loop_test(tc, alias_of_itself, 0, 7);
    tcase_add_loop_test(tc, deep_nesting, 0, 16);
    tcase_add_test(tc, many_values);
    tcase_add_test(tc, many_rules);
    tcase_add_test(tc, too_many_in_a_selector);
    tcase_add_test(tc, too_large);
    tcase_add_test(tc, damaged);
    tcase_add_test(tc, every_prefix);
#else
    tc = add_case(suite, "no YAML");
    tcase_add_test(tc, no_yaml);
#endif

    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    unlink(scratch_file);
    rmdir(scratch_dir);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
