/* SPDX-License-Identifier: MIT */
#include "group/rules.h"

#include "base/buf.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool text_globs(struct text text, const char *glob) {
    char copy[PATH_MAX];
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    return fnmatch(glob, copy, 0) == 0;
}

static bool comm_is(const struct identity *id, const char *wanted) {
    return text_is(id->comm, wanted);
}

/* argv[0], as in process-exporter; a process without a command line has none */
static bool exe_is(const struct identity *id, const char *wanted) {
    if (id->cmdline.len == 0)
        return false;
    struct text argv0 = identity_argv0(id);
    return text_is(strchr(wanted, '/') ? argv0 : text_base_name(argv0), wanted);
}

static bool user_is(const struct identity *id, const char *wanted) {
    char number[20];
    if (!id->has_credentials)
        return false;
    struct text uid = {number, format_u64(number, id->uid)};
    return text_is(id->user, wanted) || text_is(uid, wanted);
}

static bool cgroup_is(const struct identity *id, const char *wanted) {
    size_t len = strlen(wanted);
    while (len > 1 && wanted[len - 1] == '/')
        len--;
    struct text path = id->cgroup;
    if (path.len && path.len >= len && memcmp(path.at, wanted, len) == 0 &&
        (path.len == len || path.at[len] == '/' || len == 1))
        return true;
    return text_globs(path, wanted);
}

static bool unit_is(const struct identity *id, const char *wanted) {
    return id->unit.len && (text_is(id->unit, wanted) || text_globs(id->unit, wanted));
}

static bool (*const selector_is[SELECTORS])(const struct identity *, const char *) = {
    [SELECTOR_COMM] = comm_is, [SELECTOR_EXE] = exe_is,       [SELECTOR_CMDLINE] = NULL,
    [SELECTOR_USER] = user_is, [SELECTOR_CGROUP] = cgroup_is, [SELECTOR_UNIT] = unit_is,
};

static const unsigned selector_needs[SELECTORS] = {
    [SELECTOR_EXE] = IDENTITY_CMDLINE,   [SELECTOR_CMDLINE] = IDENTITY_CMDLINE,
    [SELECTOR_USER] = IDENTITY_USER,     [SELECTOR_CGROUP] = IDENTITY_CGROUP,
    [SELECTOR_UNIT] = IDENTITY_CGROUP,
};

static bool any_matches(const struct rule *rule, enum selector selector,
                        const struct identity *id) {
    const struct string_list *wanted = &rule->text->selectors[selector];
    for (size_t i = 0; i < wanted->count; i++)
        if (selector_is[selector](id, wanted->items[i]))
            return true;
    return false;
}

bool rule_matches(const struct rule *rule, const struct identity *id, struct match_time *time,
                  enum selector *ret_failed, bool *ret_gave_up) {
    *ret_gave_up = false;
    for (enum selector s = 0; s < SELECTORS; s++) {
        if (s == SELECTOR_CMDLINE || rule->text->selectors[s].count == 0)
            continue;
        if (!any_matches(rule, s, id)) {
            *ret_failed = s;
            return false;
        }
    }
    /* last, as they cost most */
    for (size_t i = 0; i < rule->cmdline_count; i++) {
        int r = pattern_match(rule->cmdline[i], id->command.at ? id->command.at : "",
                              id->command.len, time);
        if (r <= 0) {
            *ret_gave_up = r < 0;
            *ret_failed = SELECTOR_CMDLINE;
            return false;
        }
    }
    return true;
}

static int rule_new(const struct rule_text *text, struct rule *ret) {
    *ret = (struct rule){.text = text};
    const struct string_list *regexes = &text->selectors[SELECTOR_CMDLINE];
    int r = template_new(text->name, &ret->name, NULL);
    if (r < 0 || regexes->count == 0)
        return r;
    ret->cmdline = calloc(regexes->count, sizeof(struct pattern *));
    if (!ret->cmdline)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < regexes->count; i++) {
        r = pattern_new(regexes->items[i], &ret->cmdline[i], NULL);
        ret->cmdline_count += r == 0;
    }
    return r;
}

int rules_new(const struct settings *settings, struct rules *ret) {
    *ret = (struct rules){0};
    if (settings->rule_count == 0)
        return 0;
    ret->items = calloc(settings->rule_count, sizeof(*ret->items));
    int r = ret->items ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < settings->rule_count; i++) {
        r = rule_new(&settings->rules[i], &ret->items[ret->count++]);
        if (r < 0)
            break;
        struct rule *rule = &ret->items[i];
        ret->needs |= template_needs(rule->name);
        for (size_t s = 0; s < SELECTORS; s++)
            if (rule->text->selectors[s].count)
                ret->needs |= selector_needs[s];
    }
    if (r < 0)
        rules_free(ret);
    return r;
}

void rules_free(struct rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        struct rule *rule = &rules->items[i];
        template_free(rule->name);
        for (size_t p = 0; p < rule->cmdline_count; p++)
            pattern_free(rule->cmdline[p]);
        free(rule->cmdline);
    }
    free(rules->items);
    *rules = (struct rules){0};
}
