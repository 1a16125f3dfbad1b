/* SPDX-License-Identifier: MIT */
/* From a process to its group: patterns, templates, rules, the order of it all,
 * names made fit for every agent, and the life of groups. */
#include "config/config.h"
#include "group/grouping.h"

#include "build-config.h"
#include "source/source.h"
#include "base/utf8.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Matches may not take longer than this, even in a sanitizer's hands. */
#define PATIENCE_S 5

/* ---- Help -------------------------------------------------------------------- */

static void assert_bytes(const char *got, size_t got_len, const char *want, size_t want_len) {
    ck_assert_msg(got_len == want_len && memcmp(got_len ? got : "", want, want_len) == 0,
                  "got %zu bytes \"%.*s\", expected %zu bytes \"%.*s\"", got_len, (int)got_len,
                  got_len ? got : "", want_len, (int)want_len, want);
}

static void set(tally_config *c, const char *name, const char *value) {
    struct tally_error error = {{0}};
    int r = tally_config_set(c, name, value, &error);

    ck_assert_msg(r == 0, "%s=%s is refused: %s", name, value, error.text);
}

/* With more time than any match may take. */
static int match(struct pattern *p, const char *text, size_t len) {
    struct match_time time = {.left_ns = NS_PER_S};

    return pattern_match(p, text, len, &time);
}

#ifdef HAVE_PCRE2
static time_t now_s(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static struct pattern *regex(const char *text) {
    struct pattern *p;
    struct tally_error error = {{0}};
    int r = pattern_new(text, &p, &error);

    ck_assert_msg(r == 0, "%s", error.text);
    return p;
}
#endif

static struct text text_of(const char *s) {
    return (struct text){s, s ? strlen(s) : 0};
}

/* Who a process is, in short: the arguments are separated by '|'. */
struct person {
    const char *comm, *arguments, *exe, *user, *cgroup, *unit, *container;
    uint32_t pid, ppid, uid, gid;
    bool no_credentials;
};

struct held_identity {
    struct identity id;
    char cmdline[512], command[512];
};

static const struct identity *hold(struct held_identity *h, const struct person *p) {
    size_t len = p->arguments ? strlen(p->arguments) : 0;

    ck_assert_uint_lt(len, sizeof(h->cmdline));
    memset(h, 0, sizeof(*h)); /* compiled patterns look at whole words, also behind the end */
    for (size_t i = 0; i < len; i++) {
        h->cmdline[i] = p->arguments[i] == '|' ? '\0' : p->arguments[i];
        h->command[i] = p->arguments[i] == '|' ? ' ' : p->arguments[i];
    }
    h->id = (struct identity){
        .pid = p->pid,
        .ppid = p->ppid,
        .uid = p->uid,
        .gid = p->gid,
        .has_credentials = !p->no_credentials,
        .comm = text_of(p->comm),
        .cmdline = {len ? h->cmdline : NULL, len},
        .command = {len ? h->command : NULL, len},
        .exe = text_of(p->exe),
        .user = text_of(p->user),
        .cgroup = text_of(p->cgroup),
        .unit = text_of(p->unit),
        .container = text_of(p->container),
    };
    return &h->id;
}

static const struct person bash = {
    .comm = "bash",
    .arguments = "/usr/bin/bash|-l|--rcfile=x",
    .exe = "/usr/bin/bash5",
    .user = "alice",
    .cgroup = "/user.slice/user-7.slice",
    .unit = "session-1.scope",
    .container = "0123abcd",
    .pid = 42,
    .ppid = 41,
    .uid = 7,
    .gid = 8,
};
/* A kernel thread. */
static const struct person kthread = {
    .comm = "kthreadd", .user = "root", .cgroup = "/", .pid = 2};
/* Nothing but a name could be read. */
static const struct person closed = {.comm = "secret", .pid = 99, .no_credentials = true};

/* ---- Patterns ------------------------------------------------------------------ */

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
    {"/^.$/", "\xc3\xa9", 0, true}, /* bytes, not characters */
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

#define LONG_COMMAND (64 << 10)

static const char *const catastrophes[] = {"(a+)+$", "^(a+)+$", "(a|aa)+$", "(a|a)*c", "(.*a){25}c",
                                           "(?:a?){40}a{40}c", "((a*)*)*c", "^(?:(a+)*)*c$",
                                           "(?P<X>(?:a+)+)c"};

START_TEST(catastrophic_backtracking) {
    struct pattern *p = regex(catastrophes[_i]);
    char *text = malloc(LONG_COMMAND);
    time_t start = now_s();
    int r;

    ck_assert_ptr_nonnull(text);
    memset(text, 'a', LONG_COMMAND);
    r = match(p, text, LONG_COMMAND); /* some match, and some are given up */
    ck_assert(r == 0 || r == 1 || r == -E2BIG);
    text[LONG_COMMAND - 1] = 'b';
    r = match(p, text, LONG_COMMAND);
    ck_assert(r == 0 || r == -E2BIG);
    ck_assert_int_lt(now_s() - start, PATIENCE_S);
    free(text);
    pattern_free(p);
}
END_TEST

/* The limit is for patterns that run wild. One whose work grows with the length
 * of the line, as people write them, is to work on the longest. */
START_TEST(honest_pattern_on_long_command) {
    static const char *const honest[] = {"-jar (?P<Jar>\\S+)", "^(\\S+ )+-jar (?P<Jar>\\S+)",
                                         "^(?:\\S+\\s+)*?-jar (?P<Jar>\\S+)",
                                         "^\\S+(\\s\\w+)*\\s-jar\\s(?P<Jar>\\S+)"};
    struct pattern *p = regex(honest[_i]);
    char *text = malloc(LONG_COMMAND);
    size_t len = 0;

    ck_assert_ptr_nonnull(text);
    while (len < LONG_COMMAND - 32) {
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

#endif

/* ---- Templates ------------------------------------------------------------------- */

static const struct {
    const char *text;
    const char *expanded;
    bool literal;
    unsigned needs;
} templates[] = {
    {"plain", "plain", true, 0},
    {"", "", true, 0},
    {"upstart:-user", "upstart:-user", true, 0},
    {"{ } }} {x}", "{ } }} {x}", true, 0},
    {"{{.Comm}}", "bash", false, 0},
    {"{{ .Comm }}", "bash", false, 0},
    {"{{\t.Comm\n}}", "bash", false, 0},
    {"{{.ExeBase}}", "bash", false, IDENTITY_CMDLINE},
    {"{{.ExeFull}}", "/usr/bin/bash", false, IDENTITY_CMDLINE},
    {"{{.Username}}", "alice", false, IDENTITY_USER},
    {"{{.PID}}", "42", false, 0},
    {"{{.StartTime}}", "2001-09-09 01:46:40 +0000 UTC", false, 0},
    {"{{.Cgroups}}", "[/a /b]", false, IDENTITY_CGROUP},
    {"{{.Unit}}", "session-1.scope", false, IDENTITY_CGROUP},
    {"{{.Container}}", "0123abcd", false, IDENTITY_CGROUP},
    {"a{{.Comm}}b{{.PID}}c", "abashb42c", false, 0},
    {"{{.Comm}}{{.Comm}}", "bashbash", false, 0},
    {"{{.Comm}}}}", "bash}}", false, 0},
#ifdef HAVE_PCRE2
    {"{{.Matches.Opt}}", "rcfile", false, IDENTITY_CMDLINE},
    {"{{ .Matches.Opt }}-{{.Matches.Both}}", "rcfile-second", false, IDENTITY_CMDLINE},
    {"{{.Matches.opt}}", "<no value>", false, IDENTITY_CMDLINE},
#endif
    {"{{.Matches.Nobody}}", "<no value>", false, IDENTITY_CMDLINE},
};

START_TEST(template_right) {
    struct held_identity held;
    struct template *t;
    struct tally_error error = {{0}};
    struct pattern *patterns[2] = {NULL, NULL};
    size_t pattern_count = 0;
    struct buf to;
    int r = template_new(templates[_i].text, &t, &error);

    ck_assert_msg(r == 0, "%s: %s", templates[_i].text, error.text);
    hold(&held, &bash);
    held.id.start_time_s = 1000000000;
    held.id.cgroups = text_of("[/a /b]");
#ifdef HAVE_PCRE2
    patterns[0] = regex("--(?P<Opt>\\w+)=(?P<Both>\\w)");
    patterns[1] = regex("(?P<Both>-)l");
    ck_assert_int_eq(match(patterns[0], held.id.command.at, held.id.command.len), 1);
    ck_assert_int_eq(match(patterns[1], "second", 6), 0);
    pattern_free(patterns[1]);
    patterns[1] = regex("(?P<Both>second)");
    ck_assert_int_eq(match(patterns[1], "second", 6), 1);
    pattern_count = 2;
#endif
    buf_init(&to, 1 << 16);
    buf_add_str(&to, ">");
    template_expand(t, &held.id, patterns, pattern_count, &to);
    ck_assert_int_eq(to.error, 0);
    ck_assert_int_eq(to.data[0], '>');
    assert_bytes(to.data + 1, to.len - 1, templates[_i].expanded, strlen(templates[_i].expanded));
    ck_assert_int_eq(template_is_literal(t), templates[_i].literal);
    ck_assert_uint_eq(template_needs(t), templates[_i].needs);
    buf_free(&to);
    template_free(t);
    for (size_t i = 0; i < pattern_count; i++)
        pattern_free(patterns[i]);
}
END_TEST

/* A process without a command line goes by its name. */
START_TEST(template_without_command) {
    struct held_identity held;
    struct template *t;
    struct buf to;

    buf_init(&to, 1 << 16);
    ck_assert_int_eq(template_new("{{.ExeBase}}|{{.ExeFull}}|{{.Unit}}|{{.Container}}|{{.Username}}",
                                  &t, NULL), 0);
    template_expand(t, hold(&held, &closed), NULL, 0, &to);
    assert_bytes(to.data, to.len, "secret|secret|||", 16);
    template_free(t);
    buf_free(&to);
}
END_TEST

static const struct {
    const char *text, *wrong;
} bad_templates[] = {
    {"{{.Nope}}", "{{.Nope}}"},
    {"a{{.comm}}", "{{.comm}}"},
    {"{{Comm}}", "{{Comm}}"},
    {"{{.Commx}}", "{{.Commx}}"},
    {"{{.Com}}", "{{.Com}}"},
    {"{{}}", "{{}}"},
    {"{{.}}", "{{.}}"},
    {"{{.Comm .PID}}", "{{.Comm .PID}}"},
    {"{{.Matches}}", "{{.Matches}}"},
    {"{{.Matches.}}", "{{.Matches.}}"},
    {"{{.Matches.a-b}}", "{{.Matches.a-b}}"},
    {"{{if .Comm}}x{{end}}", "{{if .Comm}}"},
    {"{{.Comm", "without }}"},
    {"x{{", "without }}"},
    {"{{.Comm}", "without }}"},
    {"{{.Comm}}{{", "without }}"},
};

START_TEST(template_wrong) {
    struct template *t = NULL;
    struct tally_error error = {{0}};

    ck_assert_int_eq(template_new(bad_templates[_i].text, &t, &error), -EINVAL);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(error.text, bad_templates[_i].wrong) != NULL, "%s", error.text);
    ck_assert_msg(strstr(error.text, "name template") != NULL, "%s", error.text);
    ck_assert_int_eq(template_new(bad_templates[_i].text, &t, NULL), -EINVAL);
}
END_TEST

/* ---- The whole of it, without a collector --------------------------------------------- */

#define ALL_ORIGINS ((1u << ORIGINS) - 1)

static tally_config *config;
static struct settings settings;
static struct grouping grouping;
static struct tallies tallies;
static bool is_open;

static void setup(void) {
    ck_assert_int_eq(tally_config_new(&config), 0);
    is_open = false;
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
    ck_assert_int_eq(grouping_new(&settings, &grouping, &error), 0);
    ck_assert_int_eq(
        tallies_init(&tallies, settings.max_groups, settings.collect, ALL_ORIGINS), 0);
    ck_assert_int_eq(grouping_add_literals(&grouping, &tallies), 0);
    is_open = true;
}

static void reopen_grouping(void) {
    teardown();
    setup();
}

/* The selectors are lists separated by ';', or NULL. */
static void add_rule(const char *name, const char *const selectors[SELECTORS]) {
    static char texts[SELECTORS][256];
    static const char *items[SELECTORS][16];
    struct tally_rule rule = {.name = name};
    struct tally_strings *to[SELECTORS] = {&rule.comm, &rule.exe,    &rule.cmdline,
                                           &rule.user, &rule.cgroup, &rule.unit};
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
    uint32_t index = 12345, lineage = 12345;

    struct match_time time = {.left_ns = NS_PER_S};

    ck_assert_int_eq(grouping_classify(&grouping, hold(&held, p), inherited, &time, &tallies,
                                       &index, &lineage, why),
                     0);
    ck_assert_uint_lt(index, tallies.end);
    ck_assert_uint_lt(lineage, tallies.end);
    if (ret_lineage)
        *ret_lineage = lineage;
    return index == GROUP_LEFT_OUT ? NULL : tallies.groups[index];
}

static const char *group_name(const struct person *p) {
    const struct group *g = classify_under(p, 0, NULL, NULL);

    return g ? g->name : NULL;
}

static const char *label(const struct group *g, const char *key) {
    const char *value = NULL;

    for (size_t i = 0; i < g->label_count; i++)
        if (strcmp(g->labels[i].key, key) == 0) {
            ck_assert_msg(value == NULL, "label %s is there twice", key);
            value = g->labels[i].value;
        }
    return value;
}

/* ---- Rules ---------------------------------------------------------------------------- */

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

    set(config, "group-by", "");
    add_rule("taken", c->selectors);
    open_grouping();
    const char *name = group_name(&c->person);
    if (c->matches)
        ck_assert_pstr_eq(name, "taken");
    else
        ck_assert_ptr_null(name);
}
END_TEST

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
    uint32_t group, lineage;
    time_t start = now_s();

    ck_assert_ptr_nonnull(line);
    memset(line, 'a', LONG_COMMAND);
    line[LONG_COMMAND - 1] = 'b';
    RULE("never", [SELECTOR_CMDLINE] = "(a+)+$");
    open_grouping();
    const struct identity id = {.comm = text_of("wild"),
                                .cmdline = {line, LONG_COMMAND},
                                .command = {line, LONG_COMMAND}};
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(
            grouping_classify(&grouping, &id, 0, &time, &tallies, &group, &lineage, NULL), 0);
    ck_assert_str_eq(tallies.groups[group]->name, "wild");
    ck_assert_uint_eq(grouping.pattern_limits, 10);
    ck_assert_int_lt(now_s() - start, PATIENCE_S);

    buf_init(&why, 1 << 20);
    ck_assert_int_eq(
        grouping_classify(&grouping, &id, 0, &time, &tallies, &group, &lineage, &why), 0);
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
    open_grouping();
    grouping_set_grouper(&grouping, name_by_pid, &asked);
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
    ck_assert_str_eq(g->name, "mine");
    ck_assert_uint_eq(lineage, g->index);
    ck_assert_int_eq(asked, 1);
    /* a rule, though it would inherit */
    uint32_t mine = g->index;
    g = classify_under(&(struct person){.comm = "cat", .pid = 1}, mine, &lineage, NULL);
    ck_assert_str_eq(g->name, "ruled");
    ck_assert_uint_eq(lineage, g->index);
    /* an ancestor */
    g = classify_under(&(struct person){.comm = "grab", .pid = 1}, mine, &lineage, NULL);
    ck_assert_str_eq(g->name, "mine");
    ck_assert_uint_eq(lineage, mine);
    /* group-by, which is nothing to inherit */
    g = classify_under(&(struct person){.comm = "grab", .pid = 1}, 0, &lineage, NULL);
    ck_assert_str_eq(g->name, "grab");
    ck_assert_uint_eq(lineage, 0);
    /* what is filtered out still hands on what it inherited */
    g = classify_under(&(struct person){.comm = "top"}, mine, &lineage, NULL);
    ck_assert_ptr_null(g);
    ck_assert_uint_eq(lineage, mine);
}
END_TEST

START_TEST(without_children_nothing_is_inherited) {
    uint32_t lineage;

    RULE("ruled", [SELECTOR_COMM] = "bash");
    open_grouping();
    const struct group *g = classify_under(&bash, 0, &lineage, NULL);
    ck_assert_str_eq(g->name, "ruled");
    ck_assert_uint_eq(lineage, 0);
    g = classify_under(&closed, g->index, &lineage, NULL);
    ck_assert_str_eq(g->name, "secret");
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
    open_grouping();
    grouping_set_grouper(&grouping, name_too_long, NULL);
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
    ck_assert_uint_eq(g->label_count, count);
}

START_TEST(group_by) {
    set(config, "group-by", group_bys[_i].keys);
    open_grouping();
    const struct group *g = classify_under(group_bys[_i].person, 0, NULL, NULL);
    ck_assert_ptr_nonnull(g);
    ck_assert_str_eq(g->name, group_bys[_i].name);
    assert_labels(g, group_bys[_i].labels);
    ck_assert_int_eq(g->owner != 0, strstr(group_bys[_i].keys, "pid") != NULL);
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
    ck_assert_str_eq(g->name, "of alice");
    assert_labels(g, "name=bash;user=alice");
    /* the first member stays the representative */
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "zsh", .user = "alice"}, 0, NULL, NULL),
                     g);
    assert_labels(g, "name=bash;user=alice");
    /* a group that is shown before it has a member has none: its series must not
     * become others when one comes */
    g = classify_under(&(struct person){.comm = "dash", .user = "bob"}, 0, NULL, NULL);
    ck_assert_str_eq(g->name, "shells");
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
    ck_assert_str_eq(g->name, "a?b\\:/x\xef\xbf\xbd??");
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
    open_grouping();
    grouping_set_grouper(&grouping, name_by_pid, &asked);
    ASSERT_EXPLAINED(&closed, 0, "exclude: \"secr\" matches the name: left out");
    ASSERT_EXPLAINED(&kthread, 0, "exclude: no pattern matches", "include: \"a\" matches",
                     "grouper: leaves it", "rule 1 (line 0): comm does not match",
                     "rule 2 (line 0): exe does not match", "children: no rule took an ancestor",
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
}
END_TEST

/* ---- Names that fit ------------------------------------------------------------------------------ */

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static const struct {
    const char *in, *out;
} cleanings[] = {
    {"", ""},
    {"bash", "bash"},
    {"a b\"c'd,e=f{g}", "a b\"c'd,e=f{g}"},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    /* controls */
    {"a\nb\rc\td\x01\x1f\x7f", "a?b?c?d???"},
    {"\x1b[31mred", "?[31mred"},
    {"\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0", "???\xc2\xa0"},
    /* direction marks, line separators, byte order mark */
    {"\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "???"},
    {"\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae", "?????"},
    {"\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9", "????"},
    {"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf", "???"},
    {"\xe2\x80\xa7\xe2\x80\xaf", "\xe2\x80\xa7\xe2\x80\xaf"}, /* their neighbours are fine */
    /* no UTF-8 */
    {"\xff", BAD},
    {"\xfe\xff", BAD BAD},
    {"a\x80z", "a" BAD "z"},
    {"\xc3", BAD},
    {"\xc3z", BAD "z"},
    {"\xe2\x82", BAD BAD},
    {"\xe2\x82z", BAD BAD "z"},
    {"\xf0\x9f\x98", BAD BAD BAD},
    {"\xc3\xc3\xa9", BAD "\xc3\xa9"},
    /* overlong: '/' in two, three, four bytes; NUL in two */
    {"\xc0\xaf", BAD BAD},
    {"\xc1\xbf", BAD BAD},
    {"\xe0\x80\xaf", BAD BAD BAD},
    {"\xe0\x9f\xbf", BAD BAD BAD},
    {"\xf0\x80\x80\xaf", BAD BAD BAD BAD},
    {"\xf0\x8f\xbf\xbf", BAD BAD BAD BAD},
    {"\xc0\x80", BAD BAD},
    /* surrogates, and beyond Unicode */
    {"\xed\xa0\x80", BAD BAD BAD},
    {"\xed\xbf\xbf", BAD BAD BAD},
    {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"\xf4\x90\x80\x80", BAD BAD BAD BAD},
    {"\xf5\x80\x80\x80", BAD BAD BAD BAD},
    {"\xf8\x88\x80\x80\x80", BAD BAD BAD BAD BAD},
    /* a backslash at the end can't be told in line protocol */
    {"a\\b", "a\\b"},
    {"a\\", "a?"},
    {"a\\\\\\", "a???"},
    {"\\", "?"},
    {"\\\xff", "\\" BAD},
    {BAD, BAD},
};

START_TEST(cleaned) {
    size_t len = strlen(cleanings[_i].in);
    char *in = malloc(len ? len : 1); /* so that a sanitizer sees a byte past the end */
    struct buf to;

    ck_assert_ptr_nonnull(in);
    memcpy(in, cleanings[_i].in, len);
    buf_init(&to, 4096);
    buf_add_str(&to, "\\"); /* what stood there before is not touched */
    utf8_clean(in, len, 1000, &to);
    ck_assert_int_eq(to.data[0], '\\');
    assert_bytes(to.data + 1, to.len - 1, cleanings[_i].out, strlen(cleanings[_i].out));
    buf_free(&to);
    free(in);
}
END_TEST

START_TEST(cut_between_characters) {
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" "b\\\\c";
    static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 12, 13, 14, 14};

    for (size_t max = 0; max < sizeof(cuts) / sizeof(cuts[0]); max++) {
        struct buf to;
        buf_init(&to, 4096);
        utf8_clean(text, sizeof(text) - 1, max, &to);
        ck_assert_uint_eq(to.len, cuts[max]);
        ck_assert(to.len == 0 || to.data[to.len - 1] != '\\');
        buf_free(&to);
    }
    /* three bytes stand for one that is wrong: they are not cut either */
    for (size_t max = 0; max <= 9; max++) {
        struct buf to;
        buf_init(&to, 4096);
        utf8_clean("\xff\xff\xff", 3, max, &to);
        ck_assert_uint_eq(to.len, max / 3 * 3);
        buf_free(&to);
    }
}
END_TEST

/* An independent look: is it well-formed, by the table in Unicode's chapter 3? */
static bool is_fit(const unsigned char *s, size_t len) {
    size_t i = 0;

    if (len && s[len - 1] == '\\')
        return false;
    while (i < len) {
        unsigned low = 0x80, high = 0xbf;
        size_t more;

        if (s[i] < 0x80) {
            if (s[i] < 0x20 || s[i] == 0x7f)
                return false;
            i++;
            continue;
        }
        if (s[i] >= 0xc2 && s[i] <= 0xdf)
            more = 1;
        else if (s[i] >= 0xe0 && s[i] <= 0xef)
            more = 2;
        else if (s[i] >= 0xf0 && s[i] <= 0xf4)
            more = 3;
        else
            return false;
        if (s[i] == 0xe0)
            low = 0xa0;
        if (s[i] == 0xed)
            high = 0x9f;
        if (s[i] == 0xf0)
            low = 0x90;
        if (s[i] == 0xf4)
            high = 0x8f;
        if (i + more >= len)
            return false;
        if (s[i] == 0xc2 && s[i + 1] < 0xa0)
            return false; /* C1 */
        for (size_t k = 1; k <= more; k++, low = 0x80, high = 0xbf)
            if (s[i + k] < low || s[i + k] > high)
                return false;
        i += more + 1;
    }
    return true;
}

START_TEST(random_bytes_become_fit) {
    static const unsigned char likely[] = {0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0x80, 0x9f, 0xa0,
                                           0xbf, '\\', 'a',  '\n', 0xe2, 0x80, 0xae, 0xff};
    uint64_t random = 88172645463325252u;

    for (int round = 0; round < 20000; round++) {
        char in[24];
        struct buf once, twice;

        for (size_t i = 0; i < sizeof(in); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            in[i] = (char)(round % 2 ? random : likely[random % sizeof(likely)]);
        }
        buf_init(&once, 4096);
        buf_init(&twice, 4096);
        size_t max = (size_t)round % 40;
        utf8_clean(in, sizeof(in), max, &once);
        ck_assert_uint_le(once.len, max);
        ck_assert(is_fit((const unsigned char *)once.data, once.len));
        utf8_clean(once.data, once.len, max, &twice);
        assert_bytes(twice.data, twice.len, once.len ? once.data : "", once.len);
        buf_free(&once);
        buf_free(&twice);
    }
}
END_TEST

START_TEST(equal_after_cleaning) {
    open_grouping();
    const struct group *g = classify_under(&(struct person){.comm = "a\x01z"}, 0, NULL, NULL);
    ck_assert_str_eq(g->name, "a?z");
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "a\x02z"}, 0, NULL, NULL), g);
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "a?z"}, 0, NULL, NULL), g);
    g = classify_under(&(struct person){.comm = "\xff"}, 0, NULL, NULL);
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "\x80"}, 0, NULL, NULL), g);
    ck_assert_uint_eq(tallies.count, 2);
    /* without a name */
    ck_assert_str_eq(group_name(&(struct person){.comm = ""}), "unnamed");
}
END_TEST

START_TEST(long_names) {
    char name[2 * GROUP_NAME_MAX + 1];

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    name[GROUP_NAME_MAX - 1] = '\\'; /* the last that is kept */
    open_grouping();
    const char *got = group_name(&(struct person){.comm = name});
    ck_assert_uint_eq(strlen(got), GROUP_NAME_MAX);
    ck_assert_int_eq(got[GROUP_NAME_MAX - 1], '?');
}
END_TEST

/* ---- The number of groups ------------------------------------------------------------------------- */

static const struct group *group_number(int i) {
    char name[24];

    snprintf(name, sizeof(name), "name-%d", i);
    return classify_under(&(struct person){.comm = name}, 0, NULL, NULL);
}

START_TEST(ten_thousand_names) {
    set(config, "max-groups", "100");
    RULE("always", [SELECTOR_COMM] = "nobody");
    open_grouping();
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 10000; i++) {
            const struct group *g = group_number(i);
            char name[24];

            snprintf(name, sizeof(name), "name-%d", i);
            /* one place is taken by the literal group */
            ck_assert_str_eq(g->name, i < 99 ? name : "other");
        }
    ck_assert_uint_eq(tallies.count, 100);
    ck_assert_uint_eq(tallies.overflowed, 9901);
    /* a process that calls itself so is in it too, and did not overflow */
    ck_assert_str_eq(group_name(&(struct person){.comm = "other"}), "other");
    ck_assert_uint_eq(tallies.overflowed, 9901);
    ck_assert_str_eq(group_name(&(struct person){.comm = "nobody"}), "always");

    struct tallies_moment moment = {.now_ns = 1000, .cpus = 1};
    tallies_begin(&tallies, false);
    tallies_end(&tallies, &moment);
    ck_assert_int_eq(tallies_order(&tallies, 50), 0);
    ck_assert_uint_eq(tallies.order_count, 101);
    for (size_t i = 1; i < tallies.order_count; i++)
        ck_assert_str_lt(tallies.order[i - 1]->name, tallies.order[i]->name);
}
END_TEST

/* ---- The life of groups ------------------------------------------------------------------------------ */

#define SECOND UINT64_C(1000000000)

/* One collection at a time, with one member in each of these groups. */
static void collect(uint64_t now_s_since_boot, const struct group *const *members, size_t count) {
    struct tallies_moment moment = {.now_ns = now_s_since_boot * SECOND,
                                    .interval_ns = 10 * SECOND,
                                    .cpus = 1,
                                    .expire_after_ns = 60 * SECOND};

    tallies_begin(&tallies, false);
    for (size_t i = 0; i < count; i++) {
        struct sample s = {.pid = 1, .state = 'S'};
        sample_set(&s, FIELD_THREADS, 1);
        sample_set(&s, FIELD_RSS_BYTES, 100 - i);
        sample_set(&s, FIELD_UTIME_NS, 0);
        tallies_member(&tallies, members[i]->index, &s, 1);
    }
    tallies_end(&tallies, &moment);
    while (tallies_expire(&tallies, &moment) != 0)
        ;
    ck_assert_int_eq(tallies_order(&tallies, 2), 0);
}

static const struct group *shown(const char *name) {
    for (size_t i = 0; i < tallies.order_count; i++)
        if (strcmp(tallies.order[i]->name, name) == 0)
            return tallies.order[i];
    return NULL;
}

START_TEST(literal_groups_are_always_shown) {
    RULE("literal", [SELECTOR_COMM] = "x");
    RULE("lite\xff", [SELECTOR_COMM] = "y");
    RULE("{{.Comm}}", [SELECTOR_COMM] = "z");
    RULE("literal", [SELECTOR_COMM] = "w");
    open_grouping();
    collect(100, NULL, 0);
    ck_assert_uint_eq(tallies.order_count, 2);
    const struct group *g = shown("literal");
    ck_assert_ptr_nonnull(g);
    ck_assert_ptr_nonnull(shown("lite" BAD));
    ck_assert_uint_eq(g->value[METRIC_PROCESSES], 0);
    ck_assert(g->known & BIT(METRIC_PROCESSES));
    ck_assert(!(g->known & BIT(METRIC_START_TIME)));
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "x"}, 0, NULL, NULL), g);
    ck_assert_ptr_eq(classify_under(&(struct person){.comm = "w"}, 0, NULL, NULL), g);
    collect(100000, NULL, 0);
    collect(200000, NULL, 0);
    ck_assert_ptr_eq(shown("literal"), g);
}
END_TEST

START_TEST(groups_expire) {
    RULE("literal", [SELECTOR_COMM] = "x");
    set(config, "max-groups", "3");
    open_grouping();
    const struct group *a = group_number(1), *b = group_number(2);
    const struct group *other = group_number(3);
    ck_assert_str_eq(other->name, "other");
    const struct group *all[] = {a, b, other};

    collect(100, all, 3);
    ck_assert_ptr_nonnull(shown("name-1"));
    collect(110, all, 1); /* from here on b is empty */
    ck_assert_ptr_nonnull(shown("name-2"));
    ck_assert_uint_eq(shown("name-2")->value[METRIC_PROCESSES], 0);
    collect(169, all, 1);
    ck_assert_ptr_nonnull(shown("name-2"));
    ck_assert_uint_eq(tallies.count, 3);
    collect(170, all, 1);
    ck_assert_ptr_null(shown("name-2"));
    ck_assert_uint_eq(tallies.count, 2);
    ck_assert_ptr_nonnull(shown("name-1"));
    ck_assert_ptr_nonnull(shown("other"));
    ck_assert_ptr_nonnull(shown("literal"));
    /* there is room again, and its place is free to be given out */
    const struct group *c = group_number(4);
    ck_assert_str_eq(c->name, "name-4");
    ck_assert_uint_eq(tallies.count, 3);
    const struct group *two[] = {a, c};
    collect(180, two, 2);
    ck_assert_ptr_nonnull(shown("name-4"));
    /* the clock starts anew with each member */
    collect(190, all, 1);
    collect(230, two, 2);
    collect(240, all, 1);
    collect(299, all, 1);
    ck_assert_ptr_nonnull(shown("name-4"));
    collect(300, all, 1);
    ck_assert_ptr_null(shown("name-4"));
}
END_TEST

START_TEST(a_clock_that_is_behind) {
    open_grouping();
    group_number(1);
    collect(1000000, NULL, 0);
    collect(5, NULL, 0);
    ck_assert_ptr_nonnull(shown("name-1"));
}
END_TEST

START_TEST(single_processes) {
    set(config, "group-by", "pid");
    open_grouping();
    const struct group *all[4];
    for (uint32_t i = 0; i < 4; i++)
        all[i] = classify_under(&(struct person){.comm = "x", .pid = 10 + i}, 0, NULL, NULL);
    collect(100, all, 4);
    /* two at most: those with most memory, as none used the CPU */
    ck_assert_uint_eq(tallies.order_count, 2);
    ck_assert_ptr_nonnull(shown("10"));
    ck_assert_ptr_nonnull(shown("11"));
    /* gone as soon as they are empty */
    collect(101, all, 1);
    collect(102, all, 1);
    ck_assert_uint_eq(tallies.order_count, 1);
    ck_assert_uint_eq(tallies.count, 1);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return tc;
}

static TCase *add_open_case(Suite *suite, const char *name) {
    TCase *tc = add_case(suite, name);

    tcase_add_checked_fixture(tc, setup, teardown);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("grouping");
    SRunner *runner;
    TCase *tc;
    int failed;

    tc = add_case(suite, "patterns");
    tcase_add_loop_test(tc, filter, 0, COUNT(filters));
#ifdef HAVE_PCRE2
    tcase_add_loop_test(tc, bad_regex, 0, COUNT(bad_regexes));
    tcase_add_test(tc, bad_filter);
    tcase_add_test(tc, captures);
    tcase_add_loop_test(tc, catastrophic_backtracking, 0, COUNT(catastrophes));
    tcase_add_loop_test(tc, honest_pattern_on_long_command, 0, 4);
#endif
    tc = add_case(suite, "templates");
    tcase_add_loop_test(tc, template_right, 0, COUNT(templates));
    tcase_add_test(tc, template_without_command);
    tcase_add_loop_test(tc, template_wrong, 0, COUNT(bad_templates));
    tc = add_open_case(suite, "rules");
    tcase_add_loop_test(tc, rule_selectors, 0, COUNT(rule_cases));
    tcase_add_test(tc, first_rule_wins);
#ifdef HAVE_PCRE2
    tcase_add_test(tc, command_line_captures);
    tcase_add_test(tc, given_up_is_counted);
#endif
    tc = add_open_case(suite, "order");
    tcase_add_test(tc, order_of_decisions);
    tcase_add_test(tc, without_children_nothing_is_inherited);
    tcase_add_test(tc, empty_group_by_leaves_out);
    tcase_add_test(tc, grouper_with_a_long_name);
    tc = add_open_case(suite, "group-by");
    tcase_add_loop_test(tc, group_by, 0, COUNT(group_bys));
    tcase_add_test(tc, labels_are_frozen);
    tcase_add_test(tc, representative_labels);
    tcase_add_test(tc, hostile_label_values);
    tcase_add_loop_test(tc, what_is_read, 0, 8);
    tcase_add_test(tc, what_rules_read);
    tc = add_open_case(suite, "explain");
    tcase_add_test(tc, explained);
    tc = add_case(suite, "cleaning");
    tcase_add_loop_test(tc, cleaned, 0, COUNT(cleanings));
    tcase_add_test(tc, cut_between_characters);
    tcase_add_test(tc, random_bytes_become_fit);
    tc = add_open_case(suite, "names");
    tcase_add_test(tc, equal_after_cleaning);
    tcase_add_test(tc, long_names);
    tcase_add_test(tc, ten_thousand_names);
    tc = add_open_case(suite, "life");
    tcase_add_test(tc, literal_groups_are_always_shown);
    tcase_add_test(tc, groups_expire);
    tcase_add_test(tc, a_clock_that_is_behind);
    tcase_add_test(tc, single_processes);

    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
