/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* ---- Inputs ---------------------------------------------------------------------- */

bool next_part(const uint8_t **data, size_t *len, bool ended, struct part *ret) {
    if (*len == 0)
        return false;
    const uint8_t *mark = memchr(*data, PART_END, *len);
    size_t part_len = mark ? (size_t)(mark - *data) : *len;
    ret->at = malloc(part_len + ended);
    CHECK(ret->at || part_len + ended == 0, "out of memory");
    ret->len = part_len;
    if (part_len)
        memcpy(ret->at, *data, part_len);
    if (ended)
        ret->at[part_len] = '\0';
    *data += part_len + (mark != NULL);
    *len -= part_len + (mark != NULL);
    return true;
}

void part_free(struct part *part) {
    free(part->at);
    *part = (struct part){0};
}

char *next_line(char **text) {
    char *line = *text;
    if (!line || !*line)
        return NULL;
    char *end = strchr(line, '\n');
    *text = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return line;
}

uint64_t next_number(char **at) {
    uint64_t n = 0;
    while (**at >= '0' && **at <= '9')
        n = n * 10 + (uint64_t)(*(*at)++ - '0');
    while (**at == ' ')
        ++*at;
    return n;
}

void set_options(tally_config *config, char *lines) {
    char *line;
    while ((line = next_line(&lines)) != NULL) {
        struct tally_error error;
        char *equals = strchr(line, '=');
        if (!equals)
            continue;
        *equals = '\0';
        int r = tally_config_set(config, line, equals + 1, &error);
        CHECK(r == 0 || r == -EINVAL || r == -ENOENT || r == -ENOTSUP, "setting %s: %d", line, r);
        if (r < 0)
            check_error(&error);
    }
}

/* ---- Properties -------------------------------------------------------------------- */

static bool in(unsigned char byte, unsigned first, unsigned last) {
    return byte >= first && byte <= last;
}

bool is_utf8(const char *text, size_t len) {
    /* first byte, second byte, and how many of 80..bf follow then */
    static const struct {
        unsigned char first[2], second[2];
        unsigned more;
    } forms[] = {{{0xc2, 0xdf}, {0x80, 0xbf}, 0}, {{0xe0, 0xe0}, {0xa0, 0xbf}, 1},
                 {{0xe1, 0xec}, {0x80, 0xbf}, 1}, {{0xed, 0xed}, {0x80, 0x9f}, 1},
                 {{0xee, 0xef}, {0x80, 0xbf}, 1}, {{0xf0, 0xf0}, {0x90, 0xbf}, 2},
                 {{0xf1, 0xf3}, {0x80, 0xbf}, 2}, {{0xf4, 0xf4}, {0x80, 0x8f}, 2}};
    const unsigned char *at = (const unsigned char *)text, *end = at + len;
    while (at < end) {
        if (*at < 0x80) {
            at++;
            continue;
        }
        size_t f = 0, count = sizeof(forms) / sizeof(forms[0]);
        while (f < count && !in(*at, forms[f].first[0], forms[f].first[1]))
            f++;
        if (f == count || (size_t)(end - at) < 2 + forms[f].more ||
            !in(at[1], forms[f].second[0], forms[f].second[1]))
            return false;
        size_t n = 2;
        for (; n < 2 + forms[f].more; n++)
            if (!in(at[n], 0x80, 0xbf))
                return false;
        at += n;
    }
    return true;
}

static bool has(const char *at, const char *end, const char *bytes, size_t len) {
    return (size_t)(end - at) >= len && memcmp(at, bytes, len) == 0;
}

/* By the bytes that the characters have in UTF-8. */
bool is_harmless(const char *text, size_t len) {
    for (const char *at = text, *end = text + len; at < end; at++) {
        unsigned char byte = (unsigned char)*at, next = at + 1 < end ? (unsigned char)at[1] : 0;
        unsigned char third = at + 2 < end ? (unsigned char)at[2] : 0;
        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && in(next, 0x80, 0x9f)))
            return false;
        if (has(at, end, "\xd8\x9c", 2) || has(at, end, "\xef\xbb\xbf", 3)) /* U+061C, U+FEFF */
            return false;
        /* U+200E, U+200F; U+2028 to U+202E; U+2066 to U+2069 */
        if (byte == 0xe2 && next == 0x80 && (in(third, 0x8e, 0x8f) || in(third, 0xa8, 0xae)))
            return false;
        if (byte == 0xe2 && next == 0x81 && in(third, 0xa6, 0xa9))
            return false;
    }
    return true;
}

void check_error(const struct tally_error *error) {
    const char *end = memchr(error->text, '\0', sizeof(error->text));
    CHECK(end, "an error without an end");
    CHECK(end > error->text, "an error without a text");
    for (const char *c = error->text; c < end; c++)
        CHECK((unsigned char)*c >= 0x20 && *c != 0x7f, "a control character in an error: %s",
              error->text);
}

static void classify_one(struct grouping *grouping, const struct settings *settings) {
    static const char comm[] = "a) S 1\n(b\xff", cmdline[] = "/usr/bin/x\0--y={{.Comm}}\0\xe2\x80";
    static const char command[] = "/usr/bin/x --y={{.Comm}} \xe2\x80";
    static const char cgroup[] = "/system.slice/x.service";
    const struct identity id = {
        .pid = 7,
        .ppid = 1,
        .has_credentials = true,
        .comm = {comm, sizeof(comm) - 1},
        .cmdline = {cmdline, sizeof(cmdline) - 1},
        .command = {command, sizeof(command) - 1},
        .user = {"root", 4},
        .cgroup = {cgroup, sizeof(cgroup) - 1},
        .unit = {cgroup + 14, 9},
    };
    struct tallies tallies;
    struct match_time time = {.left_ns = NS_PER_S};
    struct decision decision;
    uint32_t group;
    int r = tallies_init(&tallies, settings->max_groups, settings->collect, 0);
    CHECK(r == 0, "tallies_init(): %d", r);
    r = grouping_add_literals(grouping, &tallies);
    CHECK(r == 0, "grouping_add_literals(): %d", r);
    r = grouping_decide(grouping, &id, (struct lineage){0}, &time, &decision, NULL);
    CHECK(r == 0 || r == -E2BIG, "grouping_decide(): %d", r);
    r = r == 0 ? decision_group(&decision, &tallies, &group) : 0;
    CHECK(r == 0, "decision_group(): %d", r);
    tallies_clear(&tallies);
}

void check_config(const tally_config *config) {
    struct settings settings;
    struct tally_error error;
    struct grouping grouping;
    const size_t count = OPTIONS;
    uint64_t interval_ns = 0;
    const struct tally_option *options = tally_option(0);
    for (size_t i = 0; i < count; i++) {
        const char *value = tally_config_get(config, options[i].name);
        CHECK(value, "option %s has no value", options[i].name);
        /* what was accepted once is accepted again, the default too */
        tally_config *again;
        if (options[i].type == TALLY_OPTION_RULES)
            continue;
        CHECK(tally_config_new(&again) == 0, "out of memory");
        int r = tally_config_set(again, options[i].name, value, &error);
        CHECK(r == 0, "option %s does not take back \"%s\": %s", options[i].name, value,
              error.text);
        tally_config_free(again);
    }
    tally_config_interval(config, &interval_ns);
    CHECK(interval_ns >= 10000000 && interval_ns <= INT64_MAX / 2, "an interval of %llu ns",
          (unsigned long long)interval_ns);
    int r = config_settings(config, &settings);
    CHECK(r == 0, "config_settings(): %d", r);
    CHECK(settings.max_groups >= 1 && settings.max_groups <= 1000000 && settings.top >= 1 &&
              settings.group_by_count <= GROUP_KEYS && settings.schema < TALLY_SCHEMAS &&
              settings.collect >> COLLECTS == 0,
          "settings out of their bounds");
    r = grouping_new(&settings, NULL, NULL, &grouping, &error);
    CHECK(r == 0, "an accepted configuration can't be used: %d", r);
    classify_one(&grouping, &settings);
    grouping_free(&grouping);
    settings_free(&settings);
}

static void check_name(const char *what, const char *text) {
    size_t len = strlen(text);
    CHECK(len > 0, "an empty %s", what);
    CHECK(len <= GROUP_NAME_MAX, "a %s of %zu bytes", what, len);
    CHECK(is_utf8(text, len), "a %s that is not UTF-8: %s", what, text);
    CHECK(is_harmless(text, len), "a %s with control or direction marks: %s", what, text);
}

void check_groups(const tally *t) {
    const tally_snapshot *s = t->snapshots.current;
    /* the groups other and kernel take no slot */
    size_t count = tally_snapshot_groups(s), most = t->counting.tallies.limit + 2;
    CHECK(count <= most, "%zu groups, at most %zu", count, most);
    for (size_t i = 0; i < count; i++) {
        const char *name = tally_snapshot_group_name(s, i), *key, *value;
        check_name("name", name);
        CHECK(i == 0 || strcmp(tally_snapshot_group_name(s, i - 1), name) < 0,
              "groups are not sorted, or one is there twice: %s", name);
        for (size_t l = 0; tally_snapshot_label(s, i, l, &key, &value); l++)
            check_name("label", value);
    }
}
