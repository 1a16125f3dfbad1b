/* SPDX-License-Identifier: MIT */
#include "config/choice.h"

#include "base/error.h"
#include "base/near.h"
#include "count/tallies.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

/* Longer than any id, and than any glob that is meant. */
#define WORD_SIZE 100

static bool is_glob(const char *word) {
    return strpbrk(word, "*?[\\");
}

static bool matches(const char *glob, size_t m) {
    return fnmatch(glob, metric_table[m].metric.id, 0) == 0;
}

/* A metric that only adds up others stands for all of them: who wants or does not want
 * page faults need not know which agent tells them apart. */
metric_set choice_of_word(const char *word) {
    metric_set found = 0;
    for (enum metric m = 0; m < METRICS_OF_GROUP; m++)
        if (matches(word, m))
            found |= METRIC_SET(m) | metric_parts(m);
    return found;
}

static uint64_t self_of_word(const char *word) {
    uint64_t found = 0;
    for (size_t m = METRIC_SELF_FIRST; m <= METRIC_SELF_LAST; m++)
        if (matches(word, m))
            found |= UINT64_C(1) << (m - METRIC_SELF_FIRST);
    return found;
}

unsigned choice_parts_of_word(const char *word) {
    unsigned found = 0;
    for (size_t i = 0; i < PART_METRICS; i++)
        if (matches(word, METRIC_THREAD_FIRST + i))
            found |= 1u << i;
    return found;
}

/* The bits that switch these metrics on. */
static unsigned collect_of(metric_set metrics, unsigned parts) {
    unsigned collect = 0;
    for (size_t i = 0; i < PART_METRICS; i++)
        if (parts >> i & 1)
            collect |= metric_table[METRIC_THREAD_FIRST + i].collect;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (metrics & METRIC_SET(m))
            collect |= metric_table[m].collect;
    return collect;
}

void choice_make(const struct string_list *words, struct choice *ret) {
    const bool begins_empty = words->count > 0 && words->items[0][0] != '!';
    *ret = (struct choice){
        .groups = begins_empty ? 0 : ~(metric_set)0,
        /* about the collector: a few of each host, that alerts are made of */
        .self = UINT64_MAX,
        .parts = begins_empty ? 0 : ~0u,
    };
    metric_set named = 0;
    unsigned named_parts = 0;
    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->items[i];
        const bool takes_away = word[0] == '!';
        word += takes_away;
        const metric_set groups = choice_of_word(word);
        const uint64_t self = self_of_word(word);
        const unsigned parts = choice_parts_of_word(word);
        ret->parts = takes_away ? ret->parts & ~parts : ret->parts | parts;
        ret->groups = takes_away ? ret->groups & ~groups : ret->groups | groups;
        ret->self = takes_away ? ret->self & ~self : ret->self | self;
        if (!takes_away && !is_glob(word)) {
            named |= groups;
            named_parts |= parts;
        }
    }
    ret->named = collect_of(named & ret->groups, named_parts & ret->parts);
}

/* ---- A word that stands for nothing ------------------------------------------------------ */

/* The host's have no name in any agent. */
static size_t next_sent(size_t m) {
    return m + 1 == METRIC_HOST_FIRST ? METRIC_THREAD_FIRST : m + 1;
}

/* Without the prefix that the series have by default. */
static bool is_called(const char *word, const char *name) {
    static const char *const prefixes[] = {"", "proctally_", "namedprocess_namegroup_"};
    for (size_t i = 0; name && i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        const size_t len = strlen(prefixes[i]);
        if (strncmp(word, prefixes[i], len) == 0 && strcmp(word + len, name) == 0)
            return true;
    }
    return false;
}

/* The id of the metric that has this name in an agent's dialect, or nearly this id. */
static const char *meant_by(const char *word) {
    for (size_t m = 0; m < METRICS_IN_ALL; m = next_sent(m)) {
        const struct metric_row *row = &metric_table[m];
        bool is_it = is_called(word, row->influx.field);
        for (size_t s = 0; s < TALLY_SCHEMAS; s++)
            is_it |= is_called(word, row->prometheus[s].name);
        if (is_it)
            return row->metric.id;
    }
    for (size_t m = 0; m < METRICS_IN_ALL; m = next_sent(m))
        if (is_near(word, strlen(word), metric_table[m].metric.id))
            return metric_table[m].metric.id;
    return NULL;
}

int choice_check(const char *word, size_t len, struct tally_error *error) {
    char copy[WORD_SIZE] = "";
    const bool takes_away = len > 0 && word[0] == '!';
    if (len - takes_away > 0 && len - takes_away < sizeof(copy))
        memcpy(copy, word + takes_away, len - takes_away);
    if (copy[0] && (choice_of_word(copy) || self_of_word(copy) || choice_parts_of_word(copy)))
        return 0;
    const char *meant = meant_by(copy);
    if (meant)
        error_set(error, "metrics has \"%.*s\", expected the id %s", (int)len, word, meant);
    return -EINVAL;
}
