/* SPDX-License-Identifier: MIT */
/*
 * Both encoders, with groups made here: whatever they are called, and whatever
 * labels and values they have, the output reads back as what went in. Parts:
 * options, then for each group its name, its labels (each a letter for the key
 * and the value, 0x1d between them), and numbers: metric and value in turn.
 */
#include "fuzz.h"

#include "memproc.h"

#include <stdlib.h>
#include <string.h>

static tally *collector_of(const struct memproc *m, char *options) {
    struct tally_error error;
    tally_config *config;
    tally *t;
    CHECK(tally_config_new(&config) == 0, "out of memory");
    set_options(config, options);
    tally_config_set(config, "state-file", "", &error);
    int r = tally_config_set(config, "procfs", MEMPROC_ROOT, &error);
    CHECK(r == 0, "procfs: %s", error.text);
    r = collector_new(config, NULL, memproc_io(m), &t, &error);
    CHECK(r == 0, "collector_new(): %s", error.text);
    tally_config_free(config);
    return t;
}

static void take_labels(const struct part *part, struct group_labels *ret) {
    static const char *const keys[] = {"name", "user", "cmdline",   "exe", "cgroup", "unit",
                                       "pid",  "ppid", "container", "uid", "gid",    "path"};
    const size_t count = sizeof(keys) / sizeof(keys[0]);
    bool taken[sizeof(keys) / sizeof(keys[0])] = {false};
    for (size_t at = 0; at < part->len;) {
        const char *end = memchr(part->at + at, 0x1d, part->len - at);
        size_t len = end ? (size_t)(end - part->at) - at : part->len - at;
        size_t key = len ? ((size_t)(unsigned char)part->at[at] - 'a') % count : 0;
        if (len && !taken[key]) {
            taken[key] = true;
            ret->items[ret->count].key = keys[key];
            ret->items[ret->count++].value = (struct text){part->at + at + 1, len - 1};
        }
        at += len + 1;
    }
}

FUZZ_TARGET(encode) {
    struct memproc *m = memproc_new();
    struct part options = {0}, name, labels, numbers[64];
    uint32_t groups[64];
    size_t count = 0;
    if (!next_part(&data, &len, true, &options)) {
        memproc_free(m);
        return 0;
    }
    tally *t = collector_of(m, options.at);
    part_free(&options);
    while (count < 64 && next_part(&data, &len, false, &name)) {
        struct group_labels list = {0};
        labels = (struct part){0};
        if (next_part(&data, &len, false, &labels))
            take_labels(&labels, &list);
        int r = tallies_group(&t->counting.tallies, (struct text){name.at, name.len}, &list, false, NO_OWNER,
                              &groups[count]);
        CHECK(r == 0, "tallies_group(): %d", r);
        part_free(&labels);
        part_free(&name);
        if (next_part(&data, &len, true, &numbers[count]))
            count++;
    }
    const struct tallies_moment moment = {.now_ns = 1, .cpus = 1};
    tallies_end(&t->counting.tallies, &moment);
    CHECK(tallies_order(&t->counting.tallies, 1000) == 0, "tallies_order()");
    for (size_t i = 0; i < count; i++) {
        struct group *g = t->counting.tallies.groups[groups[i]];
        for (char *at = numbers[i].at; *at;) {
            char *before = at;
            uint64_t metric = next_number(&at), value = next_number(&at);
            if (metric < METRICS_OF_GROUP) {
                g->value[metric] = value;
                g->known |= METRIC_SET(metric);
            } else if (metric <= METRIC_SELF_LAST) {
                self_set(&t->counting, (enum metric)metric, value);
            }
            at += at == before;
        }
        part_free(&numbers[i]);
    }
    tally_snapshot *s;
    CHECK(snapshots_begin(&t->snapshots, &s) == 0 &&
              snapshot_set_groups(s, &t->counting.tallies) == 0,
          "out of memory");
    s->time_ns = UINT64_C(1700000000123456789);
    snapshot_set_self(s, &t->counting.self, 0);
    snapshots_publish(&t->snapshots, s);
    check_groups(t);
    check_encoders(t);
    tally_free(t);
    memproc_free(m);
    return 0;
}
