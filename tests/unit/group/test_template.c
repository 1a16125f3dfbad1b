/* SPDX-License-Identifier: MIT */
/* Templates of group names: what they become, and which are refused. */
#include "group/template.h"

#include "build-config.h"
#include "group/group_help.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

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
    {"a \t{{- .Comm -}} \n b", "abashb", false, 0},
    {"a {{- .Comm}} b", "abash b", false, 0},
    {"a {{.Comm -}} b", "a bashb", false, 0},
    {"{{.Comm}}}}", "bash}}", false, 0},
#ifdef HAVE_PCRE2
    {"{{.Matches.Opt}}", "rcfile", false, IDENTITY_CMDLINE},
    {"{{ .Matches.Opt }}-{{.Matches.Both}}", "rcfile-second", false, IDENTITY_CMDLINE},
    /* the last expression has no group without a name: what it matched */
    {"{{.Matches}}", "map[:second Both:second Opt:rcfile]", false, IDENTITY_CMDLINE},
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
    {"{{.ExecBase}}", "perhaps .ExeBase"},
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

int main(void) {
    Suite *suite = suite_create("template");
    TCase *tc;

    tc = add_case(suite, "right");
    tcase_add_loop_test(tc, template_right, 0, COUNT(templates));
    tcase_add_test(tc, template_without_command);
    tc = add_case(suite, "wrong");
    tcase_add_loop_test(tc, template_wrong, 0, COUNT(bad_templates));
    return run_suite(suite);
}
