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

/* A name as it stands, or a glob where it is written so: names with a star in them are in
 * process-exporter's files, and mean the star. */
static bool is_named(struct text text, const char *wanted) {
    static const char glob[] = RULE_GLOB;
    return text_is(text, wanted) || (strncmp(wanted, glob, sizeof(glob) - 1) == 0 &&
                                     text_globs(text, wanted + sizeof(glob) - 1));
}

static bool comm_is(const struct identity *id, const char *wanted) {
    return is_named(id->comm, wanted);
}

/* argv[0], as in process-exporter; a process without a command line has none */
static bool exe_is(const struct identity *id, const char *wanted) {
    if (id->cmdline.len == 0)
        return false;
    struct text argv0 = identity_argv0(id);
    return is_named(strchr(wanted, '/') ? argv0 : text_base_name(argv0), wanted);
}

/* Of the effective user or group: by its name or its number. */
static bool owner_is(const struct identity *id, struct text name, uint32_t number,
                     const char *wanted) {
    char digits[20];
    if (!id->has_credentials)
        return false;
    struct text written = {digits, format_u64(digits, number)};
    return is_named(name, wanted) || text_is(written, wanted);
}

static bool user_is(const struct identity *id, const char *wanted) {
    return owner_is(id, id->user, id->uid, wanted);
}

static bool gid_is(const struct identity *id, const char *wanted) {
    return owner_is(id, id->group, id->gid, wanted);
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

static bool kernel_is(const struct identity *id, const char *wanted) {
    return id->is_kernel == (wanted[0] == 't');
}

static bool (*const selector_is[SELECTORS])(const struct identity *, const char *) = {
    [SELECTOR_COMM] = comm_is, [SELECTOR_EXE] = exe_is,       [SELECTOR_CMDLINE] = NULL,
    [SELECTOR_USER] = user_is, [SELECTOR_CGROUP] = cgroup_is, [SELECTOR_UNIT] = unit_is,
    [SELECTOR_GID] = gid_is,   [SELECTOR_KERNEL] = kernel_is,
};

static const unsigned selector_needs[SELECTORS] = {
    [SELECTOR_EXE] = IDENTITY_CMDLINE,   [SELECTOR_CMDLINE] = IDENTITY_CMDLINE,
    [SELECTOR_USER] = IDENTITY_USER,     [SELECTOR_CGROUP] = IDENTITY_CGROUP,
    [SELECTOR_UNIT] = IDENTITY_CGROUP,   [SELECTOR_GID] = IDENTITY_GROUP,
};

static bool any_matches(const struct condition *c, enum selector selector,
                        const struct identity *id) {
    const struct string_list *wanted = &c->text->selectors[selector];
    for (size_t i = 0; i < wanted->count; i++)
        if (selector_is[selector](id, wanted->items[i]))
            return true;
    return false;
}

/* As pattern_match(), of one of the expressions. */
static int cmdline_matches(const struct condition *c, size_t i, const struct identity *id,
                           struct match_time *time) {
    return pattern_match(c->cmdline[i], id->command.at ? id->command.at : "", id->command.len,
                         time);
}

/* Does it have anything of this? */
static bool has_any_of(const struct condition *c, const struct identity *id,
                       struct match_time *time, struct mismatch *ret_what) {
    *ret_what = (struct mismatch){.is_unless = true};
    for (enum selector s = 0; s < SELECTORS; s++)
        if (s != SELECTOR_CMDLINE && any_matches(c, s, id)) {
            ret_what->selector = s;
            return true;
        }
    for (size_t i = 0; i < c->cmdline_count; i++) {
        int r = cmdline_matches(c, i, id, time);
        if (r != 0) { /* else anybody could get past it by arguments that take long */
            ret_what->selector = SELECTOR_CMDLINE;
            ret_what->gave_up = r < 0;
            return true;
        }
    }
    return false;
}

static bool has_all_of(const struct condition *c, const struct identity *id,
                       struct match_time *time, struct mismatch *ret_why) {
    *ret_why = (struct mismatch){0};
    for (enum selector s = 0; s < SELECTORS; s++) {
        if (s == SELECTOR_CMDLINE || c->text->selectors[s].count == 0)
            continue;
        if (!any_matches(c, s, id)) {
            ret_why->selector = s;
            return false;
        }
    }
    /* late, as they cost most */
    for (size_t i = 0; i < c->cmdline_count; i++) {
        int r = cmdline_matches(c, i, id, time);
        if (r <= 0) {
            *ret_why = (struct mismatch){.selector = SELECTOR_CMDLINE, .gave_up = r < 0};
            return false;
        }
    }
    return !c->unless || !has_any_of(c->unless, id, time, ret_why);
}

bool rule_matches(const struct rule *rule, const struct identity *id, struct match_time *time,
                  struct mismatch *ret_why) {
    return has_all_of(&rule->when, id, time, ret_why);
}

static int condition_open(struct condition *c, const struct selection *text) {
    const struct string_list *regexes = &text->selectors[SELECTOR_CMDLINE];
    int r = 0;
    c->text = text;
    c->cmdline = calloc(regexes->count + 1, sizeof(struct pattern *));
    if (!c->cmdline)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < regexes->count; i++) {
        r = pattern_new(regexes->items[i], &c->cmdline[i], NULL);
        c->cmdline_count += r == 0;
    }
    if (r < 0 || !text->unless)
        return r;
    c->unless = calloc(1, sizeof(*c->unless));
    return c->unless ? condition_open(c->unless, text->unless) : -ENOMEM;
}

static void condition_close(struct condition *c) {
    for (size_t i = 0; i < c->cmdline_count; i++)
        pattern_free(c->cmdline[i]);
    free(c->cmdline);
    if (c->unless)
        condition_close(c->unless);
    free(c->unless);
}

static unsigned condition_needs(const struct condition *c) {
    unsigned needs = c->unless ? condition_needs(c->unless) : 0;
    for (size_t s = 0; s < SELECTORS; s++)
        if (c->text->selectors[s].count)
            needs |= selector_needs[s];
    return needs;
}

/* What was made so far is in *ret also on failure. */
static int rule_new(const struct rule_text *text, struct rule *ret) {
    *ret = (struct rule){.text = text};
    int r = text->drop ? 0 : template_new(text->name, &ret->name, NULL);
    return r < 0 ? r : condition_open(&ret->when, &text->when);
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
        ret->needs |= rule->name ? template_needs(rule->name) : 0;
        ret->needs |= condition_needs(&rule->when);
    }
    if (r < 0)
        rules_free(ret);
    return r;
}

void rules_free(struct rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        template_free(rules->items[i].name);
        condition_close(&rules->items[i].when);
    }
    free(rules->items);
    *rules = (struct rules){0};
}
