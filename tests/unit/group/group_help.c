/* SPDX-License-Identifier: MIT */
#include "group/group_help.h"

#include "base/number.h"

#include <check.h>
#include <string.h>

struct pattern *regex(const char *text) {
    struct pattern *p;
    struct tally_error error = {{0}};
    int r = pattern_new(text, &p, &error);

    ck_assert_msg(r == 0, "%s", error.text);
    return p;
}

int match(struct pattern *p, const char *text, size_t len) {
    struct match_time time = {.left_ns = NS_PER_S};

    return pattern_match(p, text, len, &time);
}

struct text text_of(const char *s) {
    return (struct text){s, s ? strlen(s) : 0};
}

const struct identity *hold(struct held_identity *h, const struct person *p) {
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
        .is_kernel = p->is_kernel,
        .comm = text_of(p->comm),
        .cmdline = {len ? h->cmdline : NULL, len},
        .command = {len ? h->command : NULL, len},
        .exe = text_of(p->exe),
        .user = text_of(p->user),
        .cgroup = text_of(p->cgroup),
        .unit = text_of(p->unit),
        .container = text_of(p->container),
        .group = text_of(p->group),
    };
    return &h->id;
}

const struct person bash = {
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
const struct person kthread = {
    .comm = "kthreadd", .user = "root", .cgroup = "/", .pid = 2};
const struct person closed = {.comm = "secret", .pid = 99, .no_credentials = true};
