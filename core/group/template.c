/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "group/template.h"

#include "base/error.h"
#include "base/near.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum variable {
    VARIABLE_NONE, /* plain text */
    VARIABLE_COMM,
    VARIABLE_EXE_BASE,
    VARIABLE_EXE_FULL,
    VARIABLE_USERNAME,
    VARIABLE_PID,
    VARIABLE_START_TIME,
    VARIABLE_CGROUPS,
    VARIABLE_UNIT,
    VARIABLE_CONTAINER,
    VARIABLE_MATCH,
    VARIABLE_MATCHES /* all of them, as Go prints a map */
};

static const struct {
    const char *name;
    enum variable variable;
    unsigned needs;
} variables[] = {{"Comm", VARIABLE_COMM, 0},
                 {"ExeBase", VARIABLE_EXE_BASE, IDENTITY_CMDLINE},
                 {"ExeFull", VARIABLE_EXE_FULL, IDENTITY_CMDLINE},
                 {"Username", VARIABLE_USERNAME, IDENTITY_USER},
                 {"PID", VARIABLE_PID, 0},
                 {"StartTime", VARIABLE_START_TIME, 0},
                 {"Cgroups", VARIABLE_CGROUPS, IDENTITY_CGROUP},
                 {"Matches", VARIABLE_MATCHES, IDENTITY_CMDLINE},
                 {"Unit", VARIABLE_UNIT, IDENTITY_CGROUP},
                 {"Container", VARIABLE_CONTAINER, IDENTITY_CGROUP}};

struct piece {
    enum variable variable;
    struct text text; /* plain text, or the name of a match */
};

struct template {
    char *text;
    struct piece *pieces;
    size_t count;
    unsigned needs;
    bool has_variable;
};

static int add_piece(struct template *t, enum variable variable, const char *at, size_t len) {
    struct piece *pieces = realloc(t->pieces, (t->count + 1) * sizeof(*pieces));
    if (!pieces)
        return -ENOMEM;
    t->pieces = pieces;
    pieces[t->count++] = (struct piece){variable, {at, len}};
    return 0;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What stands between {{ and }}. */
static int add_action(struct template *t, const char *at, size_t len, struct tally_error *error) {
    while (len && is_blank(*at))
        at++, len--;
    while (len && is_blank(at[len - 1]))
        len--;
    if (len > 9 && memcmp(at, ".Matches.", 9) == 0) {
        bool plain = true;
        for (size_t i = 9; i < len; i++)
            plain = plain && ((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'z') ||
                              (at[i] >= 'A' && at[i] <= 'Z') || at[i] == '_');
        if (plain) {
            t->has_variable = true;
            t->needs |= IDENTITY_CMDLINE;
            return add_piece(t, VARIABLE_MATCH, at + 9, len - 9);
        }
    }
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        if (len == strlen(variables[i].name) + 1 && at[0] == '.' &&
            memcmp(at + 1, variables[i].name, len - 1) == 0) {
            t->has_variable = true;
            t->needs |= variables[i].needs;
            return add_piece(t, variables[i].variable, NULL, 0);
        }
    }
    const char *meant = NULL;
    for (size_t i = 0; len > 1 && i < sizeof(variables) / sizeof(variables[0]); i++)
        if (at[0] == '.' && is_near(at + 1, len - 1, variables[i].name))
            meant = variables[i].name;
    error_set(error,
              "name template \"%.200s\" has {{%.*s}}, expected .Comm, .ExeBase, .ExeFull, "
              ".Username, .PID, .StartTime, .Cgroups, .Unit, .Container, .Matches or .Matches.NAME%s%s",
              t->text, (int)(len < 100 ? len : 100), at, meant ? "; perhaps ." : "",
              meant ? meant : "");
    return -EINVAL;
}

static int parse(struct template *t, struct tally_error *error) {
    const char *at = t->text;
    int r = 0;
    while (r == 0 && *at) {
        const char *open = strstr(at, "{{");
        size_t plain = open ? (size_t)(open - at) : strlen(at);
        const bool trims_before = open && open[2] == '-' && is_blank(open[3]);
        while (trims_before && plain && is_blank(at[plain - 1]))
            plain--;
        if (plain)
            r = add_piece(t, VARIABLE_NONE, at, plain);
        if (r < 0 || !open)
            break;
        const char *close = strstr(open + 2, "}}");
        if (!close) {
            error_set(error, "name template \"%.200s\" has {{ without }}", t->text);
            return -EINVAL;
        }
        const char *inner = open + 2 + trims_before, *end = close;
        const bool trims_behind = end - inner >= 2 && end[-1] == '-' && is_blank(end[-2]);
        end -= trims_behind;
        r = add_action(t, inner, (size_t)(end - inner), error);
        for (at = close + 2; trims_behind && is_blank(*at); at++)
            ;
    }
    return r;
}

int template_new(const char *text, struct template **ret, struct tally_error *error) {
    struct template *t = calloc(1, sizeof(*t));
    int r = -ENOMEM;
    if (t) {
        t->text = strdup(text);
        r = t->text ? parse(t, error) : -ENOMEM;
    }
    if (r < 0) {
        if (r == -ENOMEM)
            error_set(error, "out of memory");
        template_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void template_free(struct template *t) {
    if (t) {
        free(t->pieces);
        free(t->text);
        free(t);
    }
}

bool template_is_literal(const struct template *t) {
    return !t->has_variable;
}

bool template_match_name(const struct template *t, size_t i, struct text *ret) {
    for (size_t p = 0; p < t->count; p++)
        if (t->pieces[p].variable == VARIABLE_MATCH && i-- == 0) {
            *ret = t->pieces[p].text;
            return true;
        }
    return false;
}

unsigned template_needs(const struct template *t) {
    return t->needs;
}

/* As Go prints a time: process-exporter's users have it in group names. */
static void add_start_time(const struct identity *id, struct buf *to) {
    struct tm tm;
    time_t seconds = (time_t)id->start_time_s;
    char text[64];
    if (gmtime_r(&seconds, &tm)) {
        int len = snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d:%02d +0000 UTC",
                           tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                           tm.tm_sec);
        buf_add(to, text, len > 0 && (size_t)len < sizeof(text) ? (size_t)len : 0);
    }
}

static void add_match(const struct piece *piece, struct pattern *const *patterns,
                      size_t pattern_count, struct buf *to) {
    for (size_t p = pattern_count; p-- > 0;) {
        const char *name, *at;
        size_t len;
        for (size_t i = 0; pattern_capture(patterns[p], i, &name, &at, &len); i++) {
            if (strlen(name) == piece->text.len && memcmp(name, piece->text.at, piece->text.len) == 0) {
                buf_add(to, at, len);
                return;
            }
        }
    }
    /* what Go prints for a key that a map does not have */
    buf_add_str(to, "<no value>");
}

/* The least name behind `last` (NULL: of all), and what it matched in the last pattern that
 * has it. */
static bool next_match(struct pattern *const *patterns, size_t pattern_count, const char *last,
                       const char **ret_name, struct text *ret_text) {
    const char *name, *at;
    size_t len;
    *ret_name = NULL;
    for (size_t p = 0; p < pattern_count; p++)
        for (size_t i = 0; pattern_capture(patterns[p], i, &name, &at, &len); i++)
            if ((!last || strcmp(name, last) > 0) &&
                (!*ret_name || strcmp(name, *ret_name) <= 0)) {
                *ret_name = name;
                *ret_text = (struct text){at, len};
            }
    return *ret_name != NULL;
}

/* process-exporter's users have this in group names, with what matched as a whole under
 * the empty name. */
static void add_matches(struct pattern *const *patterns, size_t pattern_count, struct buf *to) {
    buf_add_str(to, "map[");
    if (pattern_count) {
        const char *at;
        size_t len;
        pattern_unnamed(patterns[pattern_count - 1], &at, &len);
        buf_add_char(to, ':');
        buf_add(to, at, len);
    }
    const char *name;
    struct text text;
    for (const char *last = NULL; next_match(patterns, pattern_count, last, &name, &text);
         last = name) {
        buf_add_char(to, ' ');
        buf_add_str(to, name);
        buf_add_char(to, ':');
        buf_add(to, text.at, text.len);
    }
    buf_add_char(to, ']');
}

void template_expand(const struct template *t, const struct identity *id,
                     struct pattern *const *patterns, size_t pattern_count, struct buf *to) {
    for (size_t i = 0; i < t->count; i++) {
        const struct piece *piece = &t->pieces[i];
        struct text text = {0};
        switch (piece->variable) {
        case VARIABLE_NONE:
            text = piece->text;
            break;
        case VARIABLE_COMM:
            text = id->comm;
            break;
        case VARIABLE_EXE_BASE:
            text = text_base_name(identity_argv0(id));
            break;
        case VARIABLE_EXE_FULL:
            text = identity_argv0(id);
            break;
        case VARIABLE_USERNAME:
            text = id->user;
            break;
        case VARIABLE_PID:
            buf_add_u64(to, id->pid);
            break;
        case VARIABLE_START_TIME:
            add_start_time(id, to);
            break;
        case VARIABLE_CGROUPS:
            text = id->cgroups;
            break;
        case VARIABLE_UNIT:
            text = id->unit;
            break;
        case VARIABLE_CONTAINER:
            text = id->container;
            break;
        case VARIABLE_MATCH:
            add_match(piece, patterns, pattern_count, to);
            break;
        case VARIABLE_MATCHES:
            add_matches(patterns, pattern_count, to);
            break;
        }
        buf_add(to, text.at, text.len);
    }
}
