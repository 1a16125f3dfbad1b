/* SPDX-License-Identifier: MIT */
#include "group/rules.h"

#include "base/buf.h"
#include "base/hash.h"

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
    [SELECTOR_PID_FILE] = IDENTITY_PID_FILE,
};

static bool any_matches(const struct condition *c, enum selector selector,
                        const struct identity *id) {
    const struct string_list *wanted = &c->text->selectors[selector];
    for (size_t i = 0; i < wanted->count; i++)
        if (selector == SELECTOR_PID_FILE ? pid_file_means(c->pid_files[i], id)
                                          : selector_is[selector](id, wanted->items[i]))
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
static bool has_any_of(const struct condition *c, const struct identity *id, uint32_t above,
                       struct match_time *time, struct mismatch *ret_what) {
    *ret_what = (struct mismatch){.selector = SELECTOR_PARENT, .is_unless = true};
    if (c->parent_bit & above)
        return true;
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

static bool has_all_of(const struct condition *c, const struct identity *id, uint32_t above,
                       struct match_time *time, struct mismatch *ret_why) {
    *ret_why = (struct mismatch){.selector = SELECTOR_PARENT};
    if (c->parent && !(c->parent_bit & above))
        return false;
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
    return !c->unless || !has_any_of(c->unless, id, above, time, ret_why);
}

bool rule_matches(const struct rule *rule, const struct identity *id, uint32_t above,
                  struct match_time *time, struct mismatch *ret_why) {
    return has_all_of(&rule->when, id, above, time, ret_why);
}

uint32_t rules_parents(const struct rules *rules, const struct identity *id, uint32_t above,
                       struct match_time *time, unsigned *ret_gave_up) {
    uint32_t parents = above;
    *ret_gave_up = 0;
    for (uint32_t i = 0; i < rules->parent_count; i++) {
        struct mismatch why = {.gave_up = false};
        const uint32_t bit = UINT32_C(1) << i;
        if (!(parents & bit) && has_all_of(rules->parents[i], id, above, time, &why))
            parents |= bit;
        *ret_gave_up += why.gave_up;
    }
    return parents;
}

/* Texts are told apart by their ends, and lists by theirs. */
static uint64_t selection_key(const struct selection *s, uint64_t key) {
    const struct selection *const inner[] = {s->unless, s->parent};
    for (size_t i = 0; i < SELECTORS; i++) {
        for (size_t k = 0; k < s->selectors[i].count; k++) {
            const char *text = s->selectors[i].items[k];
            key = key * 31 + hash_bytes(text, strlen(text) + 1);
        }
        key = key * 31 + i + 1;
    }
    for (size_t i = 0; i < 2; i++)
        key = inner[i] ? selection_key(inner[i], key * 31 + 1) : key * 31;
    return key;
}

uint64_t rules_parent_key(const struct rules *rules, uint32_t i) {
    return selection_key(rules->parents[i]->text, 0);
}

static int condition_open(struct rules *rules, struct condition *c, const struct selection *text);

static int condition_new(struct rules *rules, const struct selection *text,
                         struct condition **ret) {
    if (!text)
        return 0;
    *ret = calloc(1, sizeof(**ret));
    return *ret ? condition_open(rules, *ret, text) : -ENOMEM;
}

static int open_pid_files(struct rules *rules, struct condition *c) {
    const struct string_list *paths = &c->text->selectors[SELECTOR_PID_FILE];
    if (paths->count == 0)
        return 0;
    c->pid_files = calloc(paths->count, sizeof(*c->pid_files));
    for (size_t i = 0; c->pid_files && i < paths->count; i++) {
        c->pid_files[i] = pid_files_add(&rules->pid_files, paths->items[i]);
        if (!c->pid_files[i])
            return -ENOMEM;
    }
    return c->pid_files ? 0 : -ENOMEM;
}

/* What was made so far is in *c also on failure. */
static int condition_open(struct rules *rules, struct condition *c, const struct selection *text) {
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
    if (r == 0)
        r = open_pid_files(rules, c);
    if (r == 0)
        r = condition_new(rules, text->unless, &c->unless);
    if (r == 0)
        r = condition_new(rules, text->parent, &c->parent);
    if (r < 0 || !c->parent)
        return r;
    if (rules->parent_count == RULE_PARENTS_MOST)
        return -EINVAL; /* the configuration has refused that */
    c->parent_bit = UINT32_C(1) << rules->parent_count;
    rules->parents[rules->parent_count++] = c->parent;
    return 0;
}

static void condition_close(struct condition *c) {
    struct condition *const inner[] = {c->unless, c->parent};
    for (size_t i = 0; i < c->cmdline_count; i++)
        pattern_free(c->cmdline[i]);
    free(c->cmdline);
    free(c->pid_files);
    for (size_t i = 0; i < 2; i++) {
        if (inner[i])
            condition_close(inner[i]);
        free(inner[i]);
    }
}

static unsigned condition_needs(const struct condition *c) {
    unsigned needs = c->unless ? condition_needs(c->unless) : 0;
    needs |= c->parent ? condition_needs(c->parent) : 0;
    for (size_t s = 0; s < SELECTORS; s++)
        if (c->text->selectors[s].count)
            needs |= selector_needs[s];
    return needs;
}

/* What was made so far is in *ret also on failure. */
static int rule_new(struct rules *rules, const struct rule_text *text, struct rule *ret) {
    *ret = (struct rule){.text = text};
    int r = text->drop ? 0 : template_new(text->name, &ret->name, NULL);
    return r < 0 ? r : condition_open(rules, &ret->when, &text->when);
}

int rules_new(const struct settings *settings, struct rules *ret) {
    *ret = (struct rules){0};
    if (settings->rule_count == 0)
        return 0;
    ret->items = calloc(settings->rule_count, sizeof(*ret->items));
    int r = ret->items ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < settings->rule_count; i++) {
        r = rule_new(ret, &settings->rules[i], &ret->items[ret->count++]);
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
    pid_files_free(&rules->pid_files);
    *rules = (struct rules){0};
}
