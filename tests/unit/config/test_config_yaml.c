/* SPDX-License-Identifier: MIT */
/* The configuration file: what is right is taken as written, what is wrong is told
 * with its place, and what wants to stall or fill us is refused. */
#include "config/config_yaml.h"

#include "build-config.h"
#include "config/config_help.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A mistake in a file must be found in less CPU time than this, whatever the file. */
#define PATIENCE_S 5

static char scratch_dir[] = "/tmp/proctally-config-XXXXXX";
static char scratch_file[64];

/* ---- Help ------------------------------------------------------------------- */

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

static void assert_selector(const tally_config *c, size_t rule, enum selector selector,
                            const char *first, size_t count) {
    const struct string_list *list = &c->rules[rule].when.selectors[selector];

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
    ck_assert_str_eq(c->rules[1].when.selectors[SELECTOR_EXE].items[1], "/usr/local/bin/prometheus");
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

START_TEST(rules_that_leave_out) {
    tally_config *c = new_config();

    load(c, "process_names:\n"
            "- {drop: true, user: [root]}\n"
            "- {drop: no, comm: a}\n"
            "- {name: b, comm: b, not: {user: [root, 5], unit: x.service}}\n"
            "- {not: {user: root}, exe: ~}\n"
            "- {kernel: yes}\n"
            "- {parent: {comm: sshd, not: {user: root}}, not: {parent: {comm: cron}}}\n");
    ck_assert_uint_eq(c->rule_count, 6);
    const struct selection *parent = c->rules[5].when.parent;
    ck_assert_str_eq(parent->selectors[SELECTOR_COMM].items[0], "sshd");
    ck_assert_str_eq(parent->unless->selectors[SELECTOR_USER].items[0], "root");
    parent = c->rules[5].when.unless->parent;
    ck_assert_str_eq(parent->selectors[SELECTOR_COMM].items[0], "cron");
    assert_selector(c, 4, SELECTOR_KERNEL, "true", 1);
    ck_assert(c->rules[0].drop && !c->rules[1].drop);
    ck_assert_str_eq(c->rules[0].name, "");
    ck_assert_str_eq(c->rules[1].name, "{{.ExeBase}}");
    ck_assert_ptr_null(c->rules[1].when.unless);
    const struct selection *unless = c->rules[2].when.unless;
    ck_assert_ptr_nonnull(unless);
    ck_assert_uint_eq(unless->selectors[SELECTOR_USER].count, 2);
    ck_assert_str_eq(unless->selectors[SELECTOR_USER].items[1], "5");
    ck_assert_uint_eq(unless->selectors[SELECTOR_UNIT].count, 1);
    ck_assert_uint_eq(unless->selectors[SELECTOR_COMM].count, 0);
    ck_assert_ptr_nonnull(c->rules[3].when.unless);
    tally_config_free(c);
}
END_TEST

START_TEST(too_many_parents) {
    tally_config *c = new_config();
    struct tally_error error;
    char text[4096] = "process_names:\n";

    for (int i = 0; i < 11; i++) /* three each */
        strcat(text, "- {parent: {comm: a, parent: {comm: b}}, not: {parent: {comm: c}}}\n");
    ck_assert_int_eq(load_bytes(c, text, strlen(text), &error), -EINVAL);
    assert_mentions(error.text, ":12: the rules have 33 times parent, expected at most 32");
    ck_assert_uint_eq(c->rule_count, 10);
    tally_config_free(c);

    c = new_config();
    strcpy(text, "process_names:\n- not:\n    pid_file: [/x");
    for (int i = 1; i < 65; i++)
        strcat(text, ", /x");
    strcat(text, "]\n");
    ck_assert_int_eq(load_bytes(c, text, strlen(text), &error), -EINVAL);
    assert_mentions(error.text, "65 entries of pid_file, expected at most 64");
    tally_config_free(c);
}
END_TEST

START_TEST(empty_files) {
    static const char *const texts[] = {"",      "\n\n", "# nothing\n",          "---\n", "---\n...\n",
                                        "{}\n",  "~\n",  "\xef\xbb\xbf# BOM\n", "null\n",
                                        "{}\n---\n", "---\n---\n"};
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

/* Whoever gives an empty list wants no rules: not the file's either. */
START_TEST(no_rules) {
    static const char *const empty[] = {"", "[]", "~"};
    tally_config *c = new_config();

    load(c, "process_names: [{comm: a}]\n");
    ck_assert_uint_eq(c->rule_count, 1);
    set(c, "process_names", empty[_i]);
    ck_assert_uint_eq(c->rule_count, 0);
    load(c, "process_names: [{comm: a}]\n");
    ck_assert_uint_eq(c->rule_count, 0);
    set(c, "process_names", "[{comm: b}]");
    set(c, "process_names", "[{comm: c}]");
    ck_assert_uint_eq(c->rule_count, 2);
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
    {TEXT("collect: [gpu]\n"), 1, "collect is \"gpu\"", "expected cgroup, context-switches", false},
    {TEXT("collect:\n  pss: true\n  gpu: true\n"), 3, "collect", "expected cgroup, context-switches", false},
    {TEXT("collect:\n  pss: perhaps\n"), 2, "collect", "expected true or false", false},
    {TEXT("collect: {pss: [true]}\n"), 1, "collect", "expected true or false", false},
    {TEXT("metrics: [cpu_*, memory_rs]\n"), 1, "metrics", "expected the id memory_rss", false},
    {TEXT("metrics:\n- cpu_*\n- !page_faults\n"), 3, "metrics has !page_faults without quotes",
     "in quotes", false},
    {TEXT("metrics: [cpu_*, !page_*]\n"), 1, "not YAML", "begins with ! needs quotes", false},
    {TEXT("metrics: {cpu_user: true}\n"), 1, "metrics", "expected ids or globs", false},
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
    {TEXT("process_names:\n- comm: ~\n  exe:\n"), 2, "selector", "expected at least one of", false},
    {TEXT("process_names:\n- comm: a\n  comand: b\n"), 3, "comand", "expected name (a text), drop, comm",
     false},
    {TEXT("process_names:\n- comm: a\n  comm: b\n"), 3, "comm", "expected once", false},
    {TEXT("process_names:\n- comm: a\n  name: x\n  name: y\n"), 4, "name", "expected once", false},
    {TEXT("process_names:\n- comm: a\n  drop: x\n"), 3, "drop", "expected true or false", false},
    {TEXT("process_names:\n- comm: a\n  name: b\n  drop: true\n"), 2, "drop", "expected one of",
     false},
    {TEXT("process_names:\n- comm: a\n- pid_file: [/a, x.pid]\n"), 3, "pid_file is \"x.pid\"",
     "expected a path", false},
    {TEXT("process_names:\n- comm: a\n- pid_file: ''\n"), 3, "pid_file is \"\"", "expected a path",
     false},
    {TEXT("process_names:\n- comm: a\n  kernel: x\n"), 2, "kernel is \"x\"",
     "expected true or false", false},
    {TEXT("process_names:\n- drop: true\n"), 2, "selector", "expected at least one of", false},
    {TEXT("process_names:\n- comm: a\n  not: b\n"), 3, "not", "expected a mapping", false},
    {TEXT("process_names:\n- comm: a\n  not:\n    comand: b\n"), 4, "comand", "expected comm, exe",
     false},
    {TEXT("process_names:\n- comm: a\n  not:\n    name: b\n"), 4, "name", "expected comm, exe",
     false},
    {TEXT("process_names:\n- comm: a\n  not: {}\n"), 2, "selector", "expected at least one of",
     false},
    {TEXT("process_names:\n- comm: a\n  not: {comm: []}\n"), 3, "comm", "expected an entry", false},
    {TEXT("process_names:\n- comm: a\n  not: {comm: b, comm: c}\n"), 3, "comm", "expected once",
     false},
    {TEXT("process_names:\n- comm: a\n  not: {not: {comm: b}}\n"), 2, "not", "expected it once",
     false},
    {TEXT("process_names:\n- &a\n  comm: a\n  parent: *a\n"), 2, "parent", "at most 3 deep", false},
    {TEXT("process_names:\n- comm: a\n  parent: [b]\n"), 3, "parent", "expected a mapping", false},
    {TEXT("process_names:\n- comm: a\n  parent: {}\n"), 2, "selector", "expected at least one of",
     false},
    {TEXT("process_names:\n- comm: a\n  parent: {drop: true}\n"), 3, "drop", "expected comm", false},
    {TEXT("process_names:\n- &a\n  comm: a\n  not: *a\n"), 2, "not", "expected", false},
    {TEXT("process_names:\n- comm: {a: b}\n"), 2, "comm", "expected a text or a list", false},
    {TEXT("process_names:\n- comm:\n  - a\n  - [b]\n"), 4, "comm", "expected a text or a list",
     false},
    {TEXT("process_names:\n- comm: a\n  name: [x]\n"), 3, "name", "a text", false},
    {TEXT("process_names:\n- comm: a\n  name: '{{.Nope}}'\n"), 3, "{{.Nope}}", "expected .Comm",
     false},
    {TEXT("process_names:\n- comm: a\n  name: 'x{{.Comm'\n"), 3, "x{{.Comm", "}}", false},
    {TEXT("process_names:\n- comm: a\n\n- cmdline: ['ok', '(']\n"), 4, "cmdline", "parenthes",
     true},
    {TEXT("process_names:\n- comm: a\n  name: {{.Comm}}\n"), 3, "name", "in quotes", false},
    /* more than one */
    {TEXT("top: 5\n---\ntop: 6\n"), 3, "second YAML document", "expected all options", false},
    {TEXT("---\n---\ntop: 6\n"), 3, "second YAML document", "expected all options", false},
    {TEXT("top: 5\n---\n---\n- a\n"), 4, "second YAML document", "expected all options", false},
    {TEXT("top: 5\n---\n{\n"), 4, "not YAML", "", false},
    /* not YAML at all */
    {TEXT("include:\n- *.arg1.*\n"), 2, "not YAML", "needs quotes", false},
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
    {TEXT("\"to\\np\": 1\n"), 1, "option", "expected", false},
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

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    r = load_bytes(c, t->at, t->len, &error);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
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
        char line[160];
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
    assert_mentions(error.text, "larger than 1 MiB");
    tally_config_free(c);
}
END_TEST

/* Nobody writes to it, or somebody could: neither is waited for. */
START_TEST(a_pipe) {
    tally_config *c = new_config();
    struct tally_error error = {{0}};
    char path[128];

    snprintf(path, sizeof(path), "%s/pipe", scratch_dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(tally_config_load(c, path, &error), -EINVAL);
    assert_one_line(error.text);
    assert_mentions(error.text, path);
    assert_mentions(error.text, "pipe");
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    error.text[0] = '\0';
    ck_assert_int_eq(tally_config_load(c, path, &error), -EINVAL);
    assert_mentions(error.text, "pipe");
    close(fd);
    unlink(path);
    ck_assert_int_eq(tally_config_load(c, "/dev/null", &error), 0);
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

int main(void) {
    Suite *suite = suite_create("config_yaml");
    TCase *tc;
    int status;

    if (!mkdtemp(scratch_dir)) {
        perror(scratch_dir);
        return EXIT_FAILURE;
    }
    snprintf(scratch_file, sizeof(scratch_file), "%s/conf.yaml", scratch_dir);

#ifdef HAVE_YAML
#ifdef HAVE_PCRE2
    tc = add_case(suite, "process-exporter");
    tcase_add_test(tc, example_packaged);
    tcase_add_test(tc, example_selectors);
    tcase_add_test(tc, example_workstation);
#endif
    tc = add_case(suite, "right");
    tcase_add_test(tc, rules_that_leave_out);
    tcase_add_test(tc, too_many_parents);
    tcase_add_loop_test(tc, empty_files, 0, 11);
    tcase_add_test(tc, list_forms);
    tcase_add_loop_test(tc, collect_forms, 0, 5);
    tcase_add_test(tc, label_forms);
    tcase_add_test(tc, rule_forms);
    tcase_add_loop_test(tc, no_rules, 0, 3);
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
    tcase_add_test(tc, a_pipe);
    tcase_add_test(tc, damaged);
    tcase_add_test(tc, every_prefix);
#else
    tc = add_case(suite, "no YAML");
    tcase_add_test(tc, no_yaml);
#endif

    status = run_suite(suite);
    unlink(scratch_file);
    rmdir(scratch_dir);
    return status;
}
