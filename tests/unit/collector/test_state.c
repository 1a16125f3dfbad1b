/* SPDX-License-Identifier: MIT */
/* What is kept over a restart, and what is not believed. */
#include "base/replace_file.h"
#include "collector/state.h"
#include "faulty_io.h"
#include "tree.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define S UINT64_C(1000000000)

/* ---- Help ------------------------------------------------------------------------ */

static char dir[300]; /* for files that are no part of /proc */

static const char *in_dir(const char *name) {
    static char paths[32][600]; /* more than any test asks for */
    static int turn;

    turn = (turn + 1) % COUNT(paths);
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%.280s", dir, name);
    return paths[turn];
}

static void write_file(const char *path, const char *data, size_t len) {
    FILE *f = fopen(path, "w");

    ck_assert_msg(f != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static char *read_file(const char *path, size_t *ret_len) {
    FILE *f = fopen(path, "r");
    char *data = malloc(4 << 20);

    ck_assert_msg(f != NULL, "%s", path);
    ck_assert_ptr_nonnull(data);
    *ret_len = fread(data, 1, 4 << 20, f);
    fclose(f);
    return data;
}

static void assert_content(const char *path, const char *data, size_t len) {
    size_t got_len;
    char *got = read_file(path, &got_len);

    ck_assert_uint_eq(got_len, len);
    ck_assert(memcmp(got, data, len) == 0);
    free(got);
}

static bool exists(const char *path) {
    struct stat st;

    return lstat(path, &st) == 0;
}

static int entries(void) {
    DIR *d = opendir(dir);
    int count = 0;

    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

static struct recorded parent = {.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "parent"};
static struct recorded child = {.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "child"};

static void put(uint64_t utime) {
    parent.utime = utime;
    parent.rchar = 10 * utime;
    parent.voluntary = utime;
    tree_put(&parent);
    child.utime = 2 * utime;
    child.swap_kib = 4;
    tree_put(&child);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void setup(void) {
    const char *tmp = getenv("TMPDIR");

    tree_open();
    snprintf(dir, sizeof(dir), "%s/state-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    put(10);
}

static void teardown(void) {
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    tree_close();
}

static void collect_at(tally *t, double seconds) {
    clock_set(seconds);
    tree_collect(t);
}

static uint64_t cpu_of(tally *t, const char *group) {
    return value_of(t, group, METRIC_CPU_USER);
}

/* How many notices there are to tell, and the last of them. */
static int notices(tally *t, struct tally_error *ret_last) {
    int count = 0;

    while (tally_notice(t, ret_last)) {
        ck_assert_uint_gt(strlen(ret_last->text), 10);
        ck_assert_ptr_null(strchr(ret_last->text, '\n'));
        count++;
    }
    return count;
}

/* ---- The text of a state ----------------------------------------------------------------- */

/* A state with some of everything: births, deaths, owed use, groups that are
 * empty, left-out processes, labels. */
static tally *eventful_collector(void) {
    tally *t = tree_collector("group-by", "name,user", "exclude", "hidden", "max-groups", "5",
                              NULL);
    struct recorded third = {
        .pid = 300, .ppid = 100, .start_ticks = TICKS(1005), .comm = "third", .utime = 3};
    struct recorded hidden = {.pid = 400, .ppid = 1, .start_ticks = 7000, .comm = "hidden"};

    tree_put(&hidden);
    collect_at(t, 1000);
    put(20);
    tree_put(&third);
    collect_at(t, 1010);
    tree_remove(300);
    put(30);
    parent.cutime = 50;
    tree_put(&parent);
    collect_at(t, 1020);
    return t;
}

static void assert_same_values(tally *a, tally *b) {
    size_t groups = tally_snapshot_groups(a->snapshots.current);

    ck_assert_uint_eq(tally_snapshot_groups(b->snapshots.current), groups);
    for (size_t g = 0; g < groups; g++) {
        const char *key, *value, *other_key, *other_value;

        ck_assert_str_eq(tally_snapshot_group_name(a->snapshots.current, g),
                         tally_snapshot_group_name(b->snapshots.current, g));
        for (size_t i = 0; tally_snapshot_label(a->snapshots.current, g, i, &key, &value); i++) {
            ck_assert(tally_snapshot_label(b->snapshots.current, g, i, &other_key, &other_value));
            ck_assert_str_eq(key, other_key);
            ck_assert_str_eq(value, other_value);
        }
        for (size_t m = 0; m < METRICS_OF_GROUP; m++) {
            uint64_t x = 0, y = 0;
            ck_assert_int_eq(tally_snapshot_value(a->snapshots.current, g, m, &x),
                             tally_snapshot_value(b->snapshots.current, g, m, &y));
            ck_assert_msg(x == y, "%s: %llu and %llu", metric_table[m].metric.id, (unsigned long long)x,
                          (unsigned long long)y);
        }
    }
    ck_assert_uint_eq(self_of(a, METRIC_SELF_OVERFLOWED), self_of(b, METRIC_SELF_OVERFLOWED));
}

START_TEST(round_trip) {
    tally *t = eventful_collector();
    ck_assert_int_eq(tree_encode_state(t), 0);

    tally *u = tree_collector("group-by", "name,user", "exclude", "hidden", "max-groups", "5",
                              NULL);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    /* the same bytes again */
    ck_assert_int_eq(tree_encode_state(u), 0);
    ck_assert_uint_eq(u->state.len, t->state.len);
    ck_assert(memcmp(u->state.data, t->state.data, t->state.len) == 0);
    /* and the same numbers from here on */
    put(45);
    collect_at(t, 1030);
    collect_at(u, 1030);
    assert_same_values(t, u);
    ck_assert_uint_gt(cpu_of(u, "parent:root"), 0);
    ck_assert_uint_eq(value_of(u, "third:root", METRIC_EXITS), 1);
    tally_free(t);
    tally_free(u);
}
END_TEST

START_TEST(pss_is_kept) {
    parent.vsize = child.vsize = 4096;
    put(20);
    tree_put_file(100, "smaps_rollup", "Pss: 7 kB\nSwapPss: 5 kB\n");
    tree_put_file(200, "smaps_rollup", "Pss: 9 kB\n");
    tally *t = tree_collector("collect", "pss", NULL);
    collect_at(t, 1000);
    ck_assert_int_eq(tree_encode_state(t), 0);
    tally *u = tree_collector("collect", "pss", NULL);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    tree_refuse(100, "smaps_rollup", ENOENT);
    tree_refuse(200, "smaps_rollup", ENOENT);
    collect_at(u, 1030);
    ck_assert_uint_eq(value_of(u, "parent", METRIC_PSS), 7 * 1024);
    ck_assert_uint_eq(value_of(u, "parent", METRIC_SWAP_PSS), 5 * 1024);
    ck_assert_uint_eq(value_of(u, "parent", METRIC_PSS_AGE), 30 * S);
    ck_assert_uint_eq(value_of(u, "child", METRIC_PSS), 9 * 1024);
    ck_assert(!has_value(u, "child", METRIC_SWAP_PSS));
    tally_free(t);
    tally_free(u);
}
END_TEST

START_TEST(empty_state) {
    tally *t = tree_collector("include", "nobody", NULL);
    ck_assert_int_eq(tree_encode_state(t), 0);
    tally *u = tree_collector("include", "nobody", NULL);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    tally_free(t);
    tally_free(u);
}
END_TEST

/* A copy of exactly that length, so that a sanitizer sees a byte past the end. */
static int decode_copy(tally *t, const char *data, size_t len) {
    char *copy = malloc(len ? len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, len);
    int r = tree_decode_state(t, copy, len);
    free(copy);
    return r;
}

START_TEST(truncated) {
    tally *t = eventful_collector(), *u = tree_collector(NULL, NULL);

    ck_assert_int_eq(tree_encode_state(t), 0);
    for (size_t len = 0; len < t->state.len; len++)
        ck_assert_int_eq(decode_copy(u, t->state.data, len), -EBADMSG);
    tally_free(t);
    tally_free(u);
}
END_TEST

START_TEST(every_byte_damaged) {
    static const unsigned char flips[] = {0x01, 0x80, 0xff, 0x20};
    tally *t = eventful_collector(), *u = tree_collector(NULL, NULL);

    ck_assert_int_eq(tree_encode_state(t), 0);
    for (size_t at = 0; at < t->state.len; at++)
        for (int i = 0; i < COUNT(flips); i++) {
            t->state.data[at] = (char)((unsigned char)t->state.data[at] ^ flips[i]);
            int r = decode_copy(u, t->state.data, t->state.len);
            t->state.data[at] = (char)((unsigned char)t->state.data[at] ^ flips[i]);
            /* the version is looked at before the checksum of another version */
            ck_assert_msg(r == -EBADMSG || (r == -EPROTO && at >= 16 && at < 18), "byte %zu: %d",
                          at, r);
        }
    /* more behind it */
    char *longer = malloc(t->state.len + 1);
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, t->state.data, t->state.len);
    longer[t->state.len] = '\0';
    ck_assert_int_eq(decode_copy(u, longer, t->state.len + 1), -EBADMSG);
    free(longer);
    tally_free(t);
    tally_free(u);
}
END_TEST

static uint64_t next_random(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

START_TEST(random_bytes) {
    tally *u = tree_collector(NULL, NULL);
    uint64_t random = 88172645463325252u;

    for (int round = 0; round < 2000; round++) {
        char data[256];
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = (char)next_random(&random);
        ck_assert_int_eq(decode_copy(u, data, next_random(&random) % sizeof(data)), -EBADMSG);
        memcpy(data, "proctally state 2\n", 18);
        ck_assert_int_eq(decode_copy(u, data, 18 + next_random(&random) % (sizeof(data) - 18)),
                         -EBADMSG);
    }
    tally_free(u);
}
END_TEST

START_TEST(other_versions) {
    static const char *const headers[] = {"proctally state 3\n", "proctally state 0\n",
                                          "proctally state 12", "proctally state 1\r"};
    tally *t = eventful_collector(), *u = tree_collector(NULL, NULL);

    ck_assert_int_eq(tree_encode_state(t), 0);
    memcpy(t->state.data, headers[_i], 18);
    ck_assert_int_eq(decode_copy(u, t->state.data, t->state.len), -EPROTO);
    tally_free(t);
    tally_free(u);
}
END_TEST

START_TEST(other_boot) {
    tally *t = eventful_collector();

    ck_assert_int_eq(tree_encode_state(t), 0);
    tree_set_boot_id("00000000-0000-0000-0000-000000000002");
    tally *u = tree_collector(NULL, NULL);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), -ESTALE);
    tally_free(u);
    /* without a boot id nobody knows */
    tree_set_boot_id("");
    u = tree_collector(NULL, NULL);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), -ENXIO);
    tally_free(u);
    tally_free(t);
}
END_TEST

/* Where no boot id can be read, a clock that is behind tells. */
START_TEST(other_boot_by_the_clock) {
    tree_set_boot_id("");
    tally *t = eventful_collector(), *u = tree_collector(NULL, NULL);

    ck_assert_int_eq(tree_encode_state(t), 0);
    clock_set(1019);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), -ESTALE);
    tally_free(u);
    u = tree_collector(NULL, NULL);
    clock_set(1020);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    tally_free(u);
    tally_free(t);
}
END_TEST

/* Somebody else's FNV-1a: content that is damaged under a checksum that is right. */
static void seal(char *data, size_t len) {
    uint64_t sum = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < len - 8; i++) {
        sum ^= (unsigned char)data[i];
        sum *= UINT64_C(1099511628211);
    }
    for (size_t i = 0; i < 8; i++)
        data[len - 8 + i] = (char)(sum >> (8 * i));
}

/* Taken or not, it does no harm: not now, and not in the collections after it. */
static void assert_harmless(const char *data, size_t len) {
    tally *u = tree_collector("group-by", "name,user", "max-groups", "5", NULL);
    int r = decode_copy(u, data, len);

    ck_assert_msg(r == 0 || r == -EBADMSG || r == -ESTALE || r == -ENXIO || r == -ENOMEM, "%d",
                  r);
    if (r == 0) {
        const char *text;
        size_t text_len;
        collect_at(u, 1030);
        collect_at(u, 1040);
        ck_assert_int_eq(tree_prometheus(u, &text, &text_len), 0);
        ck_assert_int_eq(tree_encode_state(u), 0);
    }
    tally_free(u);
}

/* Of a version whose processes had fewer counters, the same ones first; or more. */
START_TEST(other_counters) {
    tally *t = tree_collector("include", "nobody", NULL), *u = tree_collector(NULL, NULL);

    ck_assert_int_eq(tree_encode_state(t), 0);
    char *data = t->state.data;
    const size_t len = t->state.len, at = len - 8 - 2; /* before the number of processes, 0 */
    ck_assert_uint_eq((unsigned char)data[at], FIELD_COUNTERS);
    data[at] = FIELD_FOLDED_END;
    seal(data, len);
    ck_assert_int_eq(decode_copy(u, data, len), 0);
    data[at] = FIELD_COUNTERS + 1;
    seal(data, len);
    ck_assert_int_eq(decode_copy(u, data, len), -EBADMSG);
    tally_free(t);
    tally_free(u);
}
END_TEST

START_TEST(sealed_again_truncated) {
    tally *t = eventful_collector();
    char *data;

    ck_assert_int_eq(tree_encode_state(t), 0);
    data = malloc(t->state.len);
    ck_assert_ptr_nonnull(data);
    for (size_t len = 18 + 8; len < t->state.len; len += 3) {
        tally *u = tree_collector(NULL, NULL);
        memcpy(data, t->state.data, len);
        seal(data, len);
        int r = decode_copy(u, data, len);
        ck_assert_msg(r == -EBADMSG || r == -ESTALE || r == -ENXIO, "%zu bytes: %d", len, r);
        tally_free(u);
    }
    free(data);
    tally_free(t);
}
END_TEST

START_TEST(sealed_again_damaged) {
    static const unsigned char values[] = {0x00, 0x7f, 0x80, 0xff};
    tally *t = eventful_collector();
    char *data;

    ck_assert_int_eq(tree_encode_state(t), 0);
    data = malloc(t->state.len);
    ck_assert_ptr_nonnull(data);
    for (size_t at = 18; at < t->state.len - 8; at++) {
        memcpy(data, t->state.data, t->state.len);
        data[at] = (char)values[(at + (size_t)_i) % sizeof(values)];
        seal(data, t->state.len);
        assert_harmless(data, t->state.len);
    }
    free(data);
    tally_free(t);
}
END_TEST

/* A process's own group is removed when another process has its pid: nobody else may be in it. */
START_TEST(others_in_a_process_own_group) {
    tally *t = tree_collector("group-by", "name,pid", NULL);
    tally *u = tree_collector("group-by", "name,pid", NULL);

    put(20);
    collect_at(t, 1000);
    struct process *other = tree_process(t, 200), *owner = tree_process(t, 100);
    ck_assert_uint_ne(owner->group, other->group);
    other->group = other->inherited = other->lineage = owner->group;
    owner->lineage = owner->group;
    ck_assert_int_eq(tree_encode_state(t), 0);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    other = tree_process(u, 200);
    owner = tree_process(u, 100);
    ck_assert_uint_eq(other->group, GROUP_LEFT_OUT);
    ck_assert_uint_eq(other->inherited, 0);
    ck_assert_uint_eq(other->lineage, 0);
    ck_assert_uint_ne(owner->group, GROUP_LEFT_OUT);
    ck_assert_uint_eq(owner->lineage, 0);
    tally_free(t);
    tally_free(u);
}
END_TEST

START_TEST(sealed_again_random) {
    tally *t = eventful_collector();
    uint64_t random = 88172645463325252u + (uint64_t)_i;
    char *data;

    ck_assert_int_eq(tree_encode_state(t), 0);
    data = malloc(t->state.len);
    ck_assert_ptr_nonnull(data);
    for (int round = 0; round < 300; round++) {
        memcpy(data, t->state.data, t->state.len);
        for (int edits = 0; edits < 1 + round % 8; edits++)
            data[18 + next_random(&random) % (t->state.len - 26)] = (char)next_random(&random);
        seal(data, t->state.len);
        assert_harmless(data, t->state.len);
    }
    free(data);
    tally_free(t);
}
END_TEST

/* ---- The file of a collector ------------------------------------------------------------------- */

static tally *with_state(const struct io *io, const char *path) {
    tally_config *config;
    struct tally_error error = {{0}};
    tally *t;

    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", tree_path(), &error), 0);
    ck_assert_int_eq(tally_config_set(config, "state-file", path, &error), 0);
    int r = collector_new(config, NULL, io, &t, &error);
    ck_assert_msg(r == 0, "%s", error.text);
    tally_config_free(config);
    return t;
}

/* Two collections, 0.1 s of CPU time between them. */
static void make_state(const char *path) {
    tally *t = with_state(&tree_io, path);

    collect_at(t, 1000);
    put(20);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "parent"), S / 10);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_STATE_FAILURES), 0);
    tally_free(t);
}

START_TEST(state_is_kept) {
    const char *path = in_dir("state");
    struct tally_error notice;
    struct stat st;

    make_state(path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(entries(), 1);
    put(30);
    tally *t = with_state(&tree_io, path);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "parent"), S / 5);
    ck_assert_int_eq(notices(t, &notice), 0);
    tally_free(t);
}
END_TEST

static void damage_cut(const char *path) {
    struct stat st;

    make_state(path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
}

static void damage_flip(const char *path) {
    size_t len;

    make_state(path);
    char *data = read_file(path, &len);
    data[len / 2] = (char)(data[len / 2] ^ 1);
    write_file(path, data, len);
    free(data);
}

static void damage_empty(const char *path) {
    write_file(path, "", 0);
}

static void damage_random(const char *path) {
    char data[5000];
    uint64_t random = 1234567;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)next_random(&random);
    write_file(path, data, sizeof(data));
}

static void damage_newer(const char *path) {
    size_t len;

    make_state(path);
    char *data = read_file(path, &len);
    memcpy(data, "proctally state 3\n", 18);
    write_file(path, data, len);
    free(data);
}

static const struct {
    const char *what, *reason;
    void (*make)(const char *path);
} damages[] = {
    {"cut", "damaged", damage_cut},       {"flipped", "damaged", damage_flip},
    {"empty", "damaged", damage_empty},   {"random", "damaged", damage_random},
    {"newer", "version", damage_newer},
};

START_TEST(damaged_state_is_set_aside) {
    const char *path = in_dir("state"), *aside = in_dir("state.rejected.2");
    struct tally_error notice;
    size_t len;

    write_file(in_dir("state.rejected"), "older", 5);
    damages[_i].make(path);
    put(20);
    char *damaged = read_file(path, &len);

    tally *t = with_state(&tree_io, path);
    ck_assert_int_eq(notices(t, &notice), 1);
    ck_assert_msg(strstr(notice.text, path) != NULL, "%s", notice.text);
    ck_assert_msg(strstr(notice.text, aside) != NULL, "%s", notice.text);
    ck_assert_msg(strstr(notice.text, damages[_i].reason) != NULL, "%s", notice.text);
    assert_content(aside, damaged, len);
    assert_content(in_dir("state.rejected"), "older", 5); /* somebody keeps it */
    ck_assert(!exists(path));
    free(damaged);

    /* counting starts afresh, and is kept again */
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "parent"), 0);
    ck_assert_uint_eq(value_of(t, "parent", METRIC_PROCESSES), 1);
    put(30);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "parent"), S / 10);
    ck_assert_int_eq(notices(t, &notice), 0);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_STATE_FAILURES), 0);
    tally_free(t);
    put(40);
    t = with_state(&tree_io, path);
    ck_assert_int_eq(notices(t, &notice), 0);
    collect_at(t, 1040);
    ck_assert_uint_eq(cpu_of(t, "parent"), S / 5);
    tally_free(t);
}
END_TEST

/* One that can't even be moved is left there, and everything goes on. */
START_TEST(damaged_state_that_stays) {
    const char *path = in_dir("state");
    struct io io = faulty_io(&tree_io);
    struct tally_error notice;

    damage_random(path);
    fault.call = CALL_RENAME;
    fault.error = EACCES;
    tally *t = with_state(&io, path);
    fault.call = CALL_NONE;
    ck_assert_int_eq(notices(t, &notice), 1);
    ck_assert_msg(strstr(notice.text, "kept") == NULL, "%s", notice.text);
    ck_assert(exists(path));
    ck_assert(!exists(in_dir("state.rejected")));
    collect_at(t, 1000);
    tally_free(t);
}
END_TEST

START_TEST(state_that_can_not_be_opened) {
    const char *path = in_dir("state");
    struct io io = faulty_io(&tree_io);
    struct tally_error notice;

    make_state(path);
    fault.call = CALL_OPEN;
    fault.error = EACCES;
    fault.path = path;
    tally *t = with_state(&io, path);
    ck_assert_int_eq(notices(t, &notice), 1);
    ck_assert_msg(strstr(notice.text, "Permission denied") != NULL, "%s", notice.text);
    ck_assert_msg(strstr(notice.text, "kept") != NULL, "%s", notice.text);
    ck_assert(exists(in_dir("state.rejected")));
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "parent"), 0);
    tally_free(t);
}
END_TEST

static void assert_unsaved(const struct io *io, const char *path) {
    struct tally_error notice;
    tally *t = with_state(io, path);

    for (int i = 1; i <= 3; i++) {
        put(10 + (uint64_t)i);
        collect_at(t, 1000 + 10 * i);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_STATE_FAILURES), (uint64_t)i);
    }
    ck_assert_uint_eq(cpu_of(t, "parent"), S / 50);
    /* told once, in words that name the file */
    ck_assert_int_eq(notices(t, &notice), 1);
    ck_assert_msg(strstr(notice.text, path) != NULL, "%s", notice.text);
    ck_assert_msg(strstr(notice.text, "can't be saved") != NULL, "%s", notice.text);
    collect_at(t, 1100);
    ck_assert_int_eq(notices(t, &notice), 0);
    tally_free(t);
}

START_TEST(state_in_a_missing_directory) {
    assert_unsaved(&tree_io, in_dir("missing/state"));
    ck_assert_int_eq(entries(), 0);
}
END_TEST

START_TEST(state_below_a_file) {
    write_file(in_dir("file"), "x", 1);
    assert_unsaved(&tree_io, in_dir("file/state"));
    ck_assert_int_eq(entries(), 1);
}
END_TEST

static const struct {
    enum call call;
    int error;
} save_faults[] = {{CALL_OPEN, EROFS},   {CALL_OPEN, EACCES},  {CALL_WRITE, ENOSPC},
                   {CALL_WRITE, EDQUOT}, {CALL_RENAME, EROFS}, {CALL_RENAME, EXDEV}};

START_TEST(state_that_can_not_be_saved) {
    const char *path = in_dir("state");
    struct io io = faulty_io(&tree_io);
    struct tally_error notice;
    size_t len;

    make_state(path);
    put(10);
    char *before = read_file(path, &len);
    tally *t = with_state(&io, path);
    fault.call = save_faults[_i].call;
    fault.error = save_faults[_i].error;
    put(30);
    collect_at(t, 1020);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "parent"), S / 5);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_STATE_FAILURES), 2);
    ck_assert_int_eq(notices(t, &notice), 1);
    ck_assert_msg(strstr(notice.text, strerror(save_faults[_i].error)) != NULL, "%s", notice.text);
    /* what was saved last is still whole */
    assert_content(path, before, len);
    ck_assert_int_eq(entries(), 1);
    free(before);

    /* it goes away, and comes back: then it is news again */
    fault.call = CALL_NONE;
    collect_at(t, 1040);
    ck_assert_int_eq(notices(t, &notice), 0);
    fault.call = save_faults[_i].call;
    fault.after = 0;
    collect_at(t, 1050);
    ck_assert_int_eq(notices(t, &notice), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_STATE_FAILURES), 3);
    tally_free(t);
}
END_TEST

/* A directory given by mistake, with all that is in it, stays where it is. */
START_TEST(state_that_is_a_directory) {
    const char *path = in_dir("data");
    struct tally_error notice;

    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_file(in_dir("data/precious"), "x", 1);
    tally *t = with_state(&tree_io, path);
    ck_assert_msg(exists(in_dir("data/precious")), "the directory was moved away");
    ck_assert_int_ge(notices(t, &notice), 1);
    collect_at(t, 1000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_STATE_FAILURES), 1);
    ck_assert(exists(in_dir("data/precious")));
    tally_free(t);
}
END_TEST

/* Without a state file there is nothing to fail. */
START_TEST(no_state_file) {
    tally *t = tree_collector(NULL, NULL);
    uint64_t value;

    collect_at(t, 1000);
    ck_assert(!tally_snapshot_value(t->snapshots.current, 0, METRIC_SELF_STATE_FAILURES, &value));
    ck_assert_int_eq(entries(), 0);
    tally_free(t);
}
END_TEST

/* Names that did not fit are counted once, not once more after each restart. */
START_TEST(overflow_after_a_restart) {
    const char *path = in_dir("state");

    for (uint32_t i = 0; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%u", i);
        tree_put(&(struct recorded){.pid = 1000 + i, .ppid = 1, .start_ticks = 1, .comm = name});
    }
    for (int run = 0; run < 3; run++) {
        tally *t = tree_collector("max-groups", "4", "state-file", path, NULL);
        collect_at(t, 1000 + 10 * run);
        collect_at(t, 1005 + 10 * run);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_OVERFLOWED), 6);
        tally_free(t);
    }
}
END_TEST

static TCase *add_case(Suite *suite, const char *name, double timeout_s) {
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, timeout_s);
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void) {
    char scratch_dir[] = "/tmp/proctally-state-XXXXXX";
    Suite *suite = suite_create("state");
    SRunner *runner;
    TCase *tc;
    int failed;

    /* what a test that failed left behind goes with it */
    if (!mkdtemp(scratch_dir) || setenv("TMPDIR", scratch_dir, 1) < 0) {
        perror(scratch_dir);
        return EXIT_FAILURE;
    }

    tc = add_case(suite, "text", 60);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, pss_is_kept);
    tcase_add_test(tc, empty_state);
    tcase_add_test(tc, truncated);
    tcase_add_test(tc, every_byte_damaged);
    tcase_add_test(tc, random_bytes);
    tcase_add_loop_test(tc, other_versions, 0, 4);
    tcase_add_test(tc, other_boot);
    tcase_add_test(tc, other_boot_by_the_clock);
    tcase_add_test(tc, other_counters);
    tcase_add_test(tc, sealed_again_truncated);
    tcase_add_loop_test(tc, sealed_again_damaged, 0, 2);
    tcase_add_test(tc, others_in_a_process_own_group);
    tcase_add_loop_test(tc, sealed_again_random, 0, 2);
    tc = add_case(suite, "file", 60);
    tcase_add_test(tc, state_is_kept);
    tcase_add_loop_test(tc, damaged_state_is_set_aside, 0, COUNT(damages));
    tcase_add_test(tc, damaged_state_that_stays);
    tcase_add_test(tc, state_that_can_not_be_opened);
    tcase_add_test(tc, state_in_a_missing_directory);
    tcase_add_test(tc, state_below_a_file);
    tcase_add_loop_test(tc, state_that_can_not_be_saved, 0, COUNT(save_faults));
    tcase_add_test(tc, state_that_is_a_directory);
    tcase_add_test(tc, no_state_file);
    tcase_add_test(tc, overflow_after_a_restart);

    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    nftw(scratch_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
