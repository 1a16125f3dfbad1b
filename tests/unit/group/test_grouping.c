/* SPDX-License-Identifier: MIT */
/* From a process to its group: the order of the decisions, labels, names made fit,
 * and the groups that come of it. */
#include "group/grouping.h"

#include "build-config.h"
#include "config/config.h"
#include "group/group_help.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Help -------------------------------------------------------------------- */

static void set(tally_config *c, const char *name, const char *value) {
    struct tally_error error = {{0}};
    int r = tally_config_set(c, name, value, &error);

    ck_assert_msg(r == 0, "%s=%s is refused: %s", name, value, error.text);
}

#define ALL_ORIGINS ((1u << ORIGINS) - 1)

static tally_config *config;
static struct settings settings;
static struct grouping grouping;
static struct tallies tallies;
static bool is_open;
static tally_grouper *the_grouper;
static void *grouper_data;

static void setup(void) {
    ck_assert_int_eq(tally_config_new(&config), 0);
    is_open = false;
    the_grouper = NULL;
}

static void teardown(void) {
    if (is_open) {
        grouping_free(&grouping);
        tallies_clear(&tallies);
        settings_free(&settings);
    }
    config = tally_config_free(config);
}

static void open_grouping(void) {
    struct tally_error error = {{0}};

    ck_assert_int_eq(config_settings(config, &settings), 0);
    ck_assert_int_eq(grouping_new(&settings, the_grouper, grouper_data, &grouping, &error), 0);
    ck_assert_int_eq(
        tallies_init(&tallies, settings.max_groups, settings.collect, ALL_ORIGINS), 0);
    ck_assert_int_eq(grouping_add_literals(&grouping, &tallies), 0);
    is_open = true;
}

static void open_with_grouper(tally_grouper *grouper, void *data) {
    the_grouper = grouper;
    grouper_data = data;
    open_grouping();
}

static void reopen_grouping(void) {
    teardown();
    setup();
}

/* The selectors are lists separated by ';', or NULL. */
static void add_rule(const char *name, const char *const selectors[SELECTORS]) {
    static char texts[SELECTORS][256];
    static const char *items[SELECTORS][16];
    struct tally_rule rule = {.size = sizeof(rule), .name = name};
    struct tally_strings *to[SELECTORS] = {&rule.comm, &rule.exe,    &rule.cmdline,
                                           &rule.user, &rule.cgroup, &rule.unit,
                                           &rule.gid,  &rule.pid_file, &rule.kernel};
    struct tally_error error = {{0}};

    for (size_t s = 0; s < SELECTORS; s++) {
        if (!selectors[s])
            continue;
        ck_assert_uint_lt(strlen(selectors[s]), sizeof(texts[s]));
        memcpy(texts[s], selectors[s], strlen(selectors[s]) + 1);
        size_t count = 0;
        for (char *at = texts[s]; at; count++) {
            items[s][count] = at;
            at = strchr(at, ';');
            if (at)
                *at++ = '\0';
        }
        *to[s] = (struct tally_strings){items[s], count};
    }
    int r = tally_config_add_rule(config, &rule, &error);
    ck_assert_msg(r == 0, "%s", error.text);
}
#define RULE(name, ...) add_rule((name), (const char *const[SELECTORS]){__VA_ARGS__})

/* The group, or NULL if the process is left out. */
static const struct group *classify_under(const struct person *p, uint32_t inherited,
                                          uint32_t *ret_lineage, struct buf *why) {
    struct held_identity held;
    const struct lineage ancestors = {.group = inherited};
    uint32_t index = 12345;
    struct match_time time = {.left_ns = NS_PER_S};
    struct decision decision;
    size_t groups = tallies.count;

    ck_assert_int_eq(
        grouping_decide(&grouping, hold(&held, p), ancestors, &time, &decision, why), 0);
    ck_assert_uint_eq(tallies.count, groups); /* deciding makes none */
    ck_assert_int_eq(decision_group(&decision, &tallies, &index), 0);
    ck_assert_uint_lt(index, tallies.end);
    const struct lineage lineage = decision_lineage(&grouping, &decision, ancestors, index);
    ck_assert_uint_lt(lineage.group, tallies.end);
    if (ret_lineage)
        *ret_lineage = lineage.group;
    return index == GROUP_LEFT_OUT ? NULL : tallies.groups[index];
}

static const char *group_name(const struct person *p) {
    const struct group *g = classify_under(p, 0, NULL, NULL);

    return g ? g->texts->name : NULL;
}

static const char *label(const struct group *g, const char *key) {
    const char *value = NULL;

    for (size_t i = 0; i < g->texts->label_count; i++)
        if (strcmp(g->texts->labels[i].key, key) == 0) {
            ck_assert_msg(value == NULL, "label %s is there twice", key);
            value = g->texts->labels[i].value;
        }
    return value;
}

/* ---- Rules ---------------------------------------------------------------------------- */

START_TEST(first_rule_wins) {
    RULE("first", [SELECTOR_COMM] = "bash;sh");
    RULE("second", [SELECTOR_EXE] = "bash");
    RULE(NULL, [SELECTOR_USER] = "alice");
    RULE("never", [SELECTOR_COMM] = "bash");
    open_grouping();
    ck_assert_str_eq(group_name(&bash), "first");
    struct person p = bash;
    p.comm = "renamed";
    ck_assert_str_eq(group_name(&p), "second");
    p.arguments = "/opt/tool|x";
    ck_assert_str_eq(group_name(&p), "tool"); /* the base name of the first argument */
    p.user = "bob";
    ck_assert_str_eq(group_name(&p), "renamed"); /* group-by */
}
END_TEST

#ifdef HAVE_PCRE2
START_TEST(command_line_captures) {
    RULE("{{.ExeFull}}:{{.Matches.Cfgfile}}", [SELECTOR_EXE] = "/usr/local/bin/process-exporter",
         [SELECTOR_CMDLINE] = "-config.path\\s+(?P<Cfgfile>\\S+)");
    RULE("{{.Matches.A}}-{{.Matches.B}}", [SELECTOR_COMM] = "two",
         [SELECTOR_CMDLINE] = "a=(?P<A>\\w+);b=(?P<B>\\w+)|c");
    open_grouping();
    ck_assert_str_eq(
        group_name(&(struct person){
            .comm = "process-exporte",
            .arguments = "/usr/local/bin/process-exporter|-config.path|/etc/x.yml|-v"}),
        "/usr/local/bin/process-exporter:/etc/x.yml");
    /* from one process to the next nothing is carried over */
    ck_assert_str_eq(group_name(&(struct person){.comm = "two", .arguments = "t|a=1|b=2"}), "1-2");
    ck_assert_str_eq(group_name(&(struct person){.comm = "two", .arguments = "t|a=1|c"}), "1-");
    ck_assert_str_eq(group_name(&(struct person){.comm = "two", .arguments = "t|b=2"}), "two");
}
END_TEST

/* The limit is counted, and the process is in a group all the same. */
START_TEST(given_up_is_counted) {
    char *line = malloc(LONG_COMMAND);
    struct match_time time = {.left_ns = NS_PER_S};
    struct buf why;
    const struct lineage none = {0};
    struct decision decision;

    ck_assert_ptr_nonnull(line);
    memset(line, 'a', LONG_COMMAND);
    line[LONG_COMMAND - 1] = 'b';
    RULE("never", [SELECTOR_CMDLINE] = "(a+)+$");
    open_grouping();
    const struct identity id = {.comm = text_of("wild"),
                                .cmdline = {line, LONG_COMMAND},
                                .command = {line, LONG_COMMAND}};
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(grouping_decide(&grouping, &id, none, &time, &decision, NULL), 0);
    assert_bytes(decision.name.at, decision.name.len, "wild", 4);
    ck_assert_uint_eq(grouping.pattern_limits, 10);

    buf_init(&why, 1 << 20);
    ck_assert_int_eq(grouping_decide(&grouping, &id, none, &time, &decision, &why), 0);
    ck_assert_ptr_nonnull(strstr(buf_text(&why), "given up"));
    buf_free(&why);
    free(line);
}
END_TEST
#endif

/* ---- The order of it --------------------------------------------------------------------- */

static size_t name_by_pid(void *data, const struct tally_process_view *v, char *name, size_t size) {
    ++*(int *)data;
    if (v->pid != 42)
        return 0;
    ck_assert_int_eq(v->ppid, 41);
    ck_assert_uint_eq(v->uid, 7);
    ck_assert_str_eq(v->name, "bash");
    ck_assert_str_eq(v->user, "alice");
    ck_assert_str_eq(v->exe, "/usr/bin/bash5");
    ck_assert_str_eq(v->cgroup, "/user.slice/user-7.slice");
    assert_bytes(v->cmdline, v->cmdline_len, "/usr/bin/bash\0-l\0--rcfile=x", 27);
    ck_assert_uint_ge(size, 64);
    memcpy(name, "mine", 4);
    return 4;
}

static size_t name_too_long(void *data, const struct tally_process_view *v, char *name,
                            size_t size) {
    (void)data;
    /* what can't be known is empty, never NULL */
    ck_assert_ptr_nonnull(v->user);
    ck_assert_ptr_nonnull(v->exe);
    ck_assert_ptr_nonnull(v->cgroup);
    ck_assert_ptr_nonnull(v->cmdline);
    memset(name, 'n', size);
    return size + 1000;
}

START_TEST(order_of_decisions) {
    int asked = 0;
    uint32_t lineage;

    set(config, "exclude", "secret");
    set(config, "exclude", "ass");
    set(config, "include", "a");
    set(config, "include", "secret");
    set(config, "children", "true");
    RULE("ruled", [SELECTOR_COMM] = "bash;bass;cat");
    open_with_grouper(name_by_pid, &asked);
    ck_assert_uint_eq(grouping.needs & (IDENTITY_CMDLINE | IDENTITY_EXE | IDENTITY_CGROUP |
                                        IDENTITY_USER),
                      IDENTITY_CMDLINE | IDENTITY_EXE | IDENTITY_CGROUP | IDENTITY_USER);

    /* exclude, though include and a rule would take it */
    ck_assert_ptr_null(group_name(&closed));
    ck_assert_ptr_null(group_name(&(struct person){.comm = "bass"}));
    /* include does not name it */
    ck_assert_ptr_null(group_name(&(struct person){.comm = "top"}));
    ck_assert_int_eq(asked, 0);
    /* the embedder */
    const struct group *g = classify_under(&bash, 0, &lineage, NULL);
    ck_assert_str_eq(g->texts->name, "mine");
    ck_assert_uint_eq(lineage, g->index);
    ck_assert_int_eq(asked, 1);
    /* a rule, though it would inherit */
    uint32_t mine = g->index;
    g = classify_under(&(struct person){.comm = "cat", .pid = 1}, mine, &lineage, NULL);
    ck_assert_str_eq(g->texts->name, "ruled");
    ck_assert_uint_eq(lineage, g->index);
    /* an ancestor */
    g = classify_under(&(struct person){.comm = "grab", .pid = 1}, mine, &lineage, NULL);
    ck_assert_str_eq(g->texts->name, "mine");
    ck_assert_uint_eq(lineage, mine);
    /* group-by, which is nothing to inherit */
    g = classify_under(&(struct person){.comm = "grab", .pid = 1}, 0, &lineage, NULL);
    ck_assert_str_eq(g->texts->name, "grab");
    ck_assert_uint_eq(lineage, 0);
    /* what is filtered out still hands on what it inherited */
    g = classify_under(&(struct person){.comm = "top"}, mine, &lineage, NULL);
    ck_assert_ptr_null(g);
    ck_assert_uint_eq(lineage, mine);
    /* what does not match was not given up */
    ck_assert_uint_eq(grouping.pattern_limits, 0);
}
END_TEST

/* A rule for all but one user, and for none of their processes a group. */
START_TEST(rules_that_leave_out) {
    static const char *const alice = "alice", *const shell = "bash";
    const struct tally_rule unless = {.size = sizeof(unless), .user = {&alice, 1}};
    const struct tally_rule drop = {
        .size = sizeof(drop), .comm = {&shell, 1}, .unless = &unless, .drop = true};
    struct tally_error error;
    struct person p = bash;
    uint32_t lineage;

    set(config, "children", "true");
    ck_assert_int_eq(tally_config_add_rule(config, &drop, &error), 0);
    RULE("shells", [SELECTOR_COMM] = "bash");
    open_grouping();
    ck_assert_int_eq(grouping_add_literals(&grouping, &tallies), 0);
    ck_assert_uint_eq(tallies.count, 1); /* what is left out has no group to show */
    const struct group *g = classify_under(&bash, 0, &lineage, NULL);
    ck_assert_str_eq(g->texts->name, "shells");
    p.user = "bob";
    ck_assert_ptr_null(group_name(&p));
    /* not even with an ancestor in a group, which its children inherit all the same */
    ck_assert_ptr_null(classify_under(&p, lineage, &lineage, NULL));
    ck_assert_uint_eq(lineage, g->index);
}
END_TEST

START_TEST(without_children_nothing_is_inherited) {
    uint32_t lineage;

    RULE("ruled", [SELECTOR_COMM] = "bash");
    open_grouping();
    const struct group *g = classify_under(&bash, 0, &lineage, NULL);
    ck_assert_str_eq(g->texts->name, "ruled");
    ck_assert_uint_eq(lineage, 0);
    g = classify_under(&closed, g->index, &lineage, NULL);
    ck_assert_str_eq(g->texts->name, "secret");
    ck_assert_uint_eq(lineage, 0);
}
END_TEST

START_TEST(empty_group_by_leaves_out) {
    set(config, "group-by", "");
    open_grouping();
    ck_assert_ptr_null(group_name(&bash));
    ck_assert_uint_eq(tallies.count, 0);
}
END_TEST

START_TEST(grouper_with_a_long_name) {
    open_with_grouper(name_too_long, NULL);
    const char *name = group_name(&closed);
    ck_assert_ptr_nonnull(name);
    ck_assert_uint_eq(strlen(name), GROUP_NAME_MAX);
    ck_assert_uint_eq(strspn(name, "n"), GROUP_NAME_MAX);
}
END_TEST

/* ---- group-by -------------------------------------------------------------------------------- */

static const struct {
    const char *keys;
    const struct person *person;
    const char *name;
    const char *labels; /* "key=value;…" in any order, and no others */
} group_bys[] = {
    {"name", &bash, "bash", ""},
    {"user", &bash, "alice", "user=alice"},
    {"cmdline", &bash, "/usr/bin/bash", "cmdline=/usr/bin/bash"},
    {"cmdline", &(const struct person){.comm = "postgres", .pid = 1,
                                       .arguments = "postgres: app shop 10.0.0.1(53411) idle   "},
     "postgres:", "cmdline=postgres:"},
    {"cmdline", &(const struct person){.comm = "x", .arguments = "  x   ", .pid = 1}, "x",
     "cmdline=x"},
    /* its name is its own affair, spaces and all */
    {"cmdline", &(const struct person){.comm = "x", .arguments = "/opt/My App/x|-v", .pid = 1},
     "/opt/My App/x", "cmdline=/opt/My App/x"},
    {"exe", &bash, "/usr/bin/bash5", "exe=/usr/bin/bash5"},
    {"cgroup", &bash, "/user.slice/user-7.slice", "cgroup=/user.slice/user-7.slice"},
    {"unit", &bash, "session-1.scope", "unit=session-1.scope"},
    {"container", &bash, "0123abcd", "container=0123abcd"},
    {"pid", &bash, "42", "pid=42;ppid=41;uid=7;gid=8;path=/usr/bin/bash5"},
    {"name,user", &bash, "bash:alice", "name=bash;user=alice"},
    {"user,name", &bash, "alice:bash", "name=bash;user=alice"},
    {"pid,name", &bash, "42:bash", "name=bash;pid=42;ppid=41;uid=7;gid=8;path=/usr/bin/bash5"},
    {"name,user,cmdline,exe,cgroup,unit,container,pid", &bash,
     "bash:alice:/usr/bin/bash:/usr/bin/bash5:/user.slice/user-7.slice:session-1.scope:0123abcd:42",
     "name=bash;user=alice;cmdline=/usr/bin/bash;exe=/usr/bin/bash5;"
     "cgroup=/user.slice/user-7.slice;unit=session-1.scope;container=0123abcd;"
     "pid=42;ppid=41;uid=7;gid=8;path=/usr/bin/bash5"},
    {"name", &kthread, "kthreadd", ""},
    {"cmdline", &kthread, "[kthreadd]", "cmdline=[kthreadd]"},
    {"exe", &kthread, "[kthreadd]", "exe=[kthreadd]"},
    {"cmdline,exe", &kthread, "[kthreadd]:[kthreadd]", "cmdline=[kthreadd];exe=[kthreadd]"},
    {"cgroup", &kthread, "/", "cgroup=/"},
    {"unit", &kthread, "none", ""},
    {"container,unit", &kthread, "none:none", ""},
    {"user", &closed, "none", ""},
    {"cgroup", &closed, "none", ""},
    {"pid", &closed, "99", "pid=99;ppid=0"},
    {"user,pid,name", &closed, "none:99:secret", "pid=99;ppid=0;name=secret"},
};

static void assert_labels(const struct group *g, const char *wanted) {
    size_t count = 0;

    for (const char *at = wanted; *at;) {
        size_t len = strcspn(at, ";"), key_len = strcspn(at, "=");
        char key[32], value[128];

        snprintf(key, sizeof(key), "%.*s", (int)key_len, at);
        snprintf(value, sizeof(value), "%.*s", (int)(len - key_len - 1), at + key_len + 1);
        ck_assert_pstr_eq(label(g, key), value);
        count++;
        at += len + (at[len] == ';');
    }
    ck_assert_uint_eq(g->texts->label_count, count);
}

START_TEST(group_by) {
    set(config, "group-by", group_bys[_i].keys);
    open_grouping();
    const struct group *g = classify_under(group_bys[_i].person, 0, NULL, NULL);
    ck_assert_ptr_nonnull(g);
    ck_assert_str_eq(g->texts->name, group_bys[_i].name);
    assert_labels(g, group_bys[_i].labels);
    ck_assert_int_eq(g->owner.pid != 0, strstr(group_bys[_i].keys, "pid") != NULL);
}
END_TEST

START_TEST(labels_are_frozen) {
    set(config, "group-by", "user");
    open_grouping();
    const struct group *g = classify_under(&bash, 0, NULL, NULL);
    struct person p = bash;
    p.uid = 9;
    p.comm = "other-name";
    ck_assert_ptr_eq(classify_under(&p, 0, NULL, NULL), g);
    assert_labels(g, "user=alice");
}
END_TEST

START_TEST(representative_labels) {
    set(config, "schema", "process");
    RULE("shells", [SELECTOR_COMM] = "dash");
    RULE("of {{.Username}}", [SELECTOR_USER] = "alice");
    open_grouping();
    const struct group *g = classify_under(&bash, 0, NULL, NULL);
    ck_assert_str_eq(g->texts->name, "of alice");
    assert_labels(g, "name=bash;user=alice");
    /* the first member stays the representative */
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "zsh", .user = "alice"}, 0, NULL, NULL),
                     g);
    assert_labels(g, "name=bash;user=alice");
    /* a group that is shown before it has a member has none: its series must not
     * become others when one comes */
    g = classify_under(&(struct person){.comm = "dash", .user = "bob"}, 0, NULL, NULL);
    ck_assert_str_eq(g->texts->name, "shells");
    assert_labels(g, "");

    reopen_grouping();
    set(config, "schema", "process");
    set(config, "group-by", "name,user,pid");
    open_grouping();
    g = classify_under(&bash, 0, NULL, NULL);
    assert_labels(g, "name=bash;user=alice;pid=42;ppid=41;uid=7;gid=8;path=/usr/bin/bash5");
}
END_TEST

START_TEST(hostile_label_values) {
    set(config, "group-by", "name,exe");
    open_grouping();
    const struct group *g = classify_under(
        &(struct person){.comm = "a\nb\\", .exe = "/x\xff\xe2\x80\xae\\"}, 0, NULL, NULL);
    ck_assert_str_eq(g->texts->name, "a?b\\:/x\xef\xbf\xbd??");
    ck_assert_str_eq(label(g, "name"), "a?b?");
    ck_assert_str_eq(label(g, "exe"), "/x\xef\xbf\xbd??");
}
END_TEST

START_TEST(what_is_read) {
    static const struct {
        const char *keys;
        unsigned needs;
    } cases[] = {{"name", 0},
                 {"user", IDENTITY_USER},
                 {"cmdline", IDENTITY_CMDLINE},
                 {"exe", IDENTITY_EXE},
                 {"cgroup", IDENTITY_CGROUP},
                 {"unit,container", IDENTITY_CGROUP},
                 {"pid", IDENTITY_EXE},
                 {"", 0}};

    set(config, "group-by", cases[_i].keys);
    open_grouping();
    ck_assert_uint_eq(grouping.needs, cases[_i].needs);
}
END_TEST

START_TEST(what_rules_read) {
    RULE("x", [SELECTOR_COMM] = "a");
    open_grouping();
    ck_assert_uint_eq(grouping.needs, 0);
    reopen_grouping();
    RULE("{{.Unit}}", [SELECTOR_COMM] = "a", [SELECTOR_USER] = "b");
    open_grouping();
    ck_assert_uint_eq(grouping.needs, IDENTITY_CGROUP | IDENTITY_USER);
    reopen_grouping();
    RULE(NULL, [SELECTOR_COMM] = "a");
    open_grouping();
    ck_assert_uint_eq(grouping.needs, IDENTITY_CMDLINE);
}
END_TEST

/* ---- Explaining -------------------------------------------------------------------------------- */

static void assert_explained(const struct person *p, uint32_t inherited, const char *const *lines) {
    struct buf why;
    const char *at;

    buf_init(&why, 1 << 20);
    classify_under(p, inherited, NULL, &why);
    at = buf_text(&why);
    for (; *lines; lines++) {
        size_t len = strcspn(at, "\n");
        ck_assert_msg(at[len] == '\n', "line missing: \"%s\"", *lines);
        ck_assert_msg(len >= strlen(*lines) && memmem(at, len, *lines, strlen(*lines)),
                      "\"%.*s\" does not say \"%s\"", (int)len, at, *lines);
        at += len + 1;
    }
    ck_assert_str_eq(at, "");
    buf_free(&why);
}
#define ASSERT_EXPLAINED(person, inherited, ...) \
    assert_explained(person, inherited, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(explained) {
    int asked = 0;

    set(config, "exclude", "secr");
    set(config, "include", "a");
    set(config, "include", "o");
    set(config, "children", "true");
    RULE("one", [SELECTOR_COMM] = "bash", [SELECTOR_USER] = "root");
    RULE("two", [SELECTOR_EXE] = "bash");
    open_with_grouper(name_by_pid, &asked);
    ASSERT_EXPLAINED(&closed, 0, "exclude: \"secr\" matches the name: left out");
    ASSERT_EXPLAINED(&kthread, 0, "exclude: no pattern matches", "include: \"a\" matches",
                     "grouper: leaves it", "rule 1 (line 0): comm does not match",
                     "rule 2 (line 0): exe does not match (there is no command line",
                     "children: no rule took an ancestor",
                     "group-by: takes");
    ASSERT_EXPLAINED(&(struct person){.comm = "init"}, 0, "exclude: no pattern matches",
                     "include: no pattern matches the name: left out");
    ASSERT_EXPLAINED(&bash, 0, "exclude:", "include: \"a\"", "grouper: gives it a group");
    struct person p = bash;
    p.pid = 7;
    ASSERT_EXPLAINED(&p, 0, "exclude:", "include: \"a\"", "grouper: leaves",
                     "rule 1 (line 0): user does not match", "rule 2 (line 0): matches");
    ASSERT_EXPLAINED(&kthread, 1, "exclude:", "include:", "grouper:", "rule 1", "rule 2",
                     "children: joins the group of its nearest ancestor");
    reopen_grouping();
    set(config, "group-by", "");
    open_grouping();
    ASSERT_EXPLAINED(&bash, 0, "group-by: empty: left out");
    reopen_grouping();
    static const char *const name = "alice", *const comm = "bash";
    const struct tally_rule unless = {.size = sizeof(unless), .user = {&name, 1}};
    struct tally_rule rule = {.size = sizeof(rule), .comm = {&comm, 1}, .unless = &unless};
    struct tally_error error;
    ck_assert_int_eq(tally_config_add_rule(config, &rule, &error), 0);
    rule.unless = NULL;
    rule.drop = true;
    ck_assert_int_eq(tally_config_add_rule(config, &rule, &error), 0);
    open_grouping();
    ASSERT_EXPLAINED(&bash, 0, "rule 1 (line 0): not: user matches",
                     "rule 2 (line 0): matches: left out");
}
END_TEST

/* ---- Groups that are named in the configuration -------------------------------------------------- */

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static void collect_nothing(uint64_t now_s_since_boot) {
    const struct tallies_moment moment = {.now_ns = now_s_since_boot * NS_PER_S,
                                          .interval_ns = 10 * NS_PER_S,
                                          .cpus = 1,
                                          .expire_after_ns = 60 * NS_PER_S};

    tallies_begin(&tallies);
    tallies_end(&tallies, &moment);
    tallies_expire(&tallies, &moment);
    ck_assert_int_eq(tallies_order(&tallies, 2), 0);
    tallies_shown(&tallies);
}

static const struct group *shown(const char *name) {
    for (size_t i = 0; i < tallies.order_count; i++)
        if (strcmp(tallies.order[i]->texts->name, name) == 0)
            return tallies.order[i];
    return NULL;
}

START_TEST(literal_groups_are_always_shown) {
    RULE("literal", [SELECTOR_COMM] = "x");
    RULE("lite\xff", [SELECTOR_COMM] = "y");
    RULE("{{.Comm}}", [SELECTOR_COMM] = "z");
    RULE("literal", [SELECTOR_COMM] = "w");
    open_grouping();
    collect_nothing(100);
    ck_assert_uint_eq(tallies.order_count, 2);
    const struct group *g = shown("literal");
    ck_assert_ptr_nonnull(g);
    ck_assert_ptr_nonnull(shown("lite" BAD));
    ck_assert_uint_eq(g->value[METRIC_PROCESSES], 0);
    ck_assert(g->known & METRIC_SET(METRIC_PROCESSES));
    ck_assert(!(g->known & METRIC_SET(METRIC_START_TIME)));
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "x"}, 0, NULL, NULL), g);
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "w"}, 0, NULL, NULL), g);
    collect_nothing(100000);
    collect_nothing(200000);
    ck_assert_ptr_eq(shown("literal"), g);
}
END_TEST

/* Titles are padded up to where the arguments ended. */
START_TEST(padding_is_no_part_of_a_name) {
    RULE("{{.ExeBase}}", [SELECTOR_COMM] = "postgres");
    open_grouping();
    const struct person idle = {.comm = "postgres", .arguments = "postgres: app idle    "};
    ck_assert_str_eq(group_name(&idle), "postgres: app idle");
}
END_TEST

/* ---- The kernel's own threads ---------------------------------------------------------------- */

static const struct person kworker = {.comm = "kworker/0:1", .user = "root", .cgroup = "/",
                                      .pid = 17, .is_kernel = true};
/* It only calls itself so. */
static const struct person impostor = {.comm = "kworker/0:1", .arguments = "./x", .user = "eve",
                                       .pid = 4711};

static void assert_name(const struct person *p, const char *wanted) {
    const struct group *g = classify_under(p, 0, NULL, NULL);
    ck_assert_int_eq(g != NULL, wanted != NULL);
    if (g)
        ck_assert_str_eq(g->texts->name, wanted);
}

START_TEST(kernel_threads_are_one_group) {
    static const char *const keys[] = {"name", "user", "unit,name", "exe", "cmdline"};
    set(config, "group-by", keys[_i]);
    open_grouping();
    assert_name(&kworker, "kernel");
    const struct group *g = classify_under(&kworker, 0, NULL, NULL);
    ck_assert(g->literal);
    ck_assert_uint_eq(g->texts->label_count, 0);
    ck_assert_ptr_ne(classify_under(&impostor, 0, NULL, NULL), g);
}
END_TEST

/* Programs get all the slots, whoever comes first. */
START_TEST(kernel_threads_take_no_slot) {
    set(config, "max-groups", "2");
    open_grouping();
    assert_name(&kworker, "kernel");
    assert_name(&bash, "bash");
    assert_name(&impostor, "kworker/0:1");
    assert_name(&closed, "other");
    ck_assert_uint_eq(tallies.count, 2);
    reopen_grouping();
    set(config, "max-groups", "2");
    open_grouping();
    assert_name(&bash, "bash");
    assert_name(&impostor, "kworker/0:1");
    assert_name(&kworker, "kernel");
    ck_assert_uint_eq(tallies.refused.names, 0);
}
END_TEST

START_TEST(kernel_threads_otherwise) {
    set(config, "kernel-threads", "split");
    open_grouping();
    assert_name(&kworker, "kworker/0:1");
    reopen_grouping();
    set(config, "kernel-threads", "leave-out");
    RULE("all", [SELECTOR_COMM] = "kworker/0:1;bash");
    open_grouping();
    assert_name(&kworker, NULL);
    assert_name(&impostor, "all");
    reopen_grouping();
    RULE("workers", [SELECTOR_COMM] = "kworker/0:1");
    set(config, "group-by", "");
    open_grouping();
    assert_name(&kworker, "workers");
    reopen_grouping();
    set(config, "group-by", "");
    open_grouping();
    assert_name(&kworker, NULL);
    reopen_grouping();
    set(config, "group-by", "pid");
    open_grouping();
    assert_name(&kworker, "17");
}
END_TEST

static TCase *add_open_case(Suite *suite, const char *name) {
    TCase *tc = add_case(suite, name);

    tcase_add_checked_fixture(tc, setup, teardown);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("grouping");
    TCase *tc;

    tc = add_open_case(suite, "rules");
    tcase_add_test(tc, first_rule_wins);
#ifdef HAVE_PCRE2
    tcase_add_test(tc, command_line_captures);
    tcase_add_test(tc, given_up_is_counted);
#endif
    tc = add_open_case(suite, "order");
    tcase_add_test(tc, order_of_decisions);
    tcase_add_test(tc, rules_that_leave_out);
    tcase_add_test(tc, without_children_nothing_is_inherited);
    tcase_add_test(tc, empty_group_by_leaves_out);
    tcase_add_test(tc, grouper_with_a_long_name);
    tc = add_open_case(suite, "group-by");
    tcase_add_loop_test(tc, group_by, 0, COUNT(group_bys));
    tcase_add_test(tc, labels_are_frozen);
    tcase_add_test(tc, padding_is_no_part_of_a_name);
    tcase_add_test(tc, representative_labels);
    tcase_add_test(tc, hostile_label_values);
    tcase_add_loop_test(tc, what_is_read, 0, 8);
    tcase_add_test(tc, what_rules_read);
    tc = add_open_case(suite, "kernel");
    tcase_add_loop_test(tc, kernel_threads_are_one_group, 0, 5);
    tcase_add_test(tc, kernel_threads_take_no_slot);
    tcase_add_test(tc, kernel_threads_otherwise);
    tc = add_open_case(suite, "explain");
    tcase_add_test(tc, explained);
    tc = add_open_case(suite, "literal");
    tcase_add_test(tc, literal_groups_are_always_shown);
    return run_suite(suite);
}
