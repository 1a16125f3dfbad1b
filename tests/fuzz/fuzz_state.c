/* SPDX-License-Identifier: MIT */
/*
 * The state file: as it stands, and with its checksum put right, which a mutation
 * would hardly ever hit. What is accepted comes out again as it went in, and can
 * be collected on.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include "memproc.h"
#include "collector/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char stat_line[] = "7 (a) S 1 7 7 0 -1 0 5 5 0 0 9 9 0 0 20 0 1 0 500 4096 1\n";
static const char other_line[] = "1 (b) S 0 7 7 0 -1 0 5 5 0 0 9 9 9 9 20 0 1 0 5 4096 1\n";

static struct memproc *tree(void) {
    struct memproc *m = memproc_new();
    memproc_put(m, "7/stat", stat_line, sizeof(stat_line) - 1);
    memproc_put(m, "1/stat", other_line, sizeof(other_line) - 1);
    /* no state is of the future */
    memproc_pass_time(m, UINT64_C(1000000000000000));
    return m;
}

/* With control groups, pids, or a top, where the state has some: they would be dropped else. */
static bool has_cgroups, has_pids, has_top;

static tally *fresh(const struct memproc *m) {
    struct tally_error error;
    tally_config *config;
    tally *t;
    CHECK(tally_config_new(&config) == 0, "out of memory");
    int r = tally_config_set(config, "procfs", MEMPROC_ROOT, &error);
    CHECK(r == 0, "procfs: %s", error.text);
    if (has_cgroups)
        r = tally_config_set(config, "group-by", "cgroup", &error) +
            tally_config_set(config, "collect", "cgroup", &error);
    else if (has_pids)
        r = tally_config_set(config, "group-by", "name,pid", &error);
    if (r == 0)
        r = tally_config_set(config, "collect", "thread-names", &error);
    if (r == 0 && has_top)
        r = tally_config_set(config, "top", "1 by cpu", &error);
    CHECK(r == 0, "group-by, top and collect: %s", error.text);
    r = collector_new(config, NULL, memproc_io(m), &t, &error);
    CHECK(r == 0, "collector_new(): %s", error.text);
    tally_config_free(config);
    return t;
}

static struct state_origin origin_of(const tally *t) {
    return (struct state_origin){.boot_id = t->source->boot_id, .source = t->source->name};
}

static int encode_state(tally *t) {
    const struct state_origin origin = origin_of(t);
    return state_encode(&t->counting, &origin, &t->state);
}

static int decode_state(tally *t, const char *data, size_t len) {
    const struct state_origin origin = origin_of(t);
    return state_decode(&t->counting, &origin, clock_ns(t, CLOCK_BOOTTIME), data, len);
}

static void encode_again(const struct memproc *m, tally *t) {
    tally *copy = fresh(m);
    int r = encode_state(t);
    CHECK(r == 0, "state_encode(): %d", r);
    r = decode_state(copy, t->state.data, t->state.len);
    CHECK(r == 0, "what was encoded can't be decoded: %d", r);
    r = encode_state(copy);
    CHECK(r == 0, "state_encode(): %d", r);
    CHECK(copy->state.len == t->state.len &&
              memcmp(copy->state.data, t->state.data, t->state.len) == 0,
          "the state is another after writing and reading it");
    tally_free(copy);
}

static void decode(const struct memproc *m, const char *data, size_t len) {
    tally *t = fresh(m);
    int r = decode_state(t, data, len);
    CHECK(r == 0 || r == -EBADMSG || r == -EPROTO || r == -ESTALE || r == -ENXIO,
          "state_decode(): %d", r);
    if (r == 0) {
        const tally_snapshot *s;
        encode_again(m, t);
        r = tally_collect(t, &s);
        CHECK(r == 0, "tally_collect(): %d", r);
        check_groups(t);
        check_encoders(t);
        encode_again(m, t);
    }
    tally_free(t);
}

FUZZ_TARGET(state) {
    struct memproc *m = tree();
    const size_t sum_len = 8;
    has_cgroups = memmem(data, len, "cgroups", strlen("cgroups"));
    has_pids = memmem(data, len, "\003pid", 4);
    has_top = memmem(data, len, "top standing", strlen("top standing"));
    decode(m, (const char *)data, len);
    if (len > sum_len) {
        uint64_t sum = UINT64_C(0xcbf29ce484222325);
        char *fixed = malloc(len);
        CHECK(fixed, "out of memory");
        memcpy(fixed, data, len - sum_len);
        for (size_t i = 0; i < len - sum_len; i++)
            sum = (sum ^ data[i]) * UINT64_C(0x100000001b3);
        for (size_t i = 0; i < sum_len; i++)
            fixed[len - sum_len + i] = (char)(sum >> 8 * i);
        decode(m, fixed, len);
        free(fixed);
    }
    memproc_free(m);
    return 0;
}
