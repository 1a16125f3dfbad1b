/* SPDX-License-Identifier: MIT */
/* Everything that can fail fails once: each call of a collection in each way, and
 * each allocation. Nothing may crash, leak or stay open, what was published stays,
 * and the next collection is right. */
#include "failing_memory.h"
#include "tree.h"

#include "build-config.h"
#include "base/replace_file.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- The faults ------------------------------------------------------------------- */

enum fault {
    FAULT_EINTR,
    FAULT_ESRCH,
    FAULT_EACCES,
    FAULT_EMFILE,
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_SHORT, /* a read or write of one byte */
    FAULTS
};
static const int fault_errno[FAULTS] = {EINTR, ESRCH, EACCES, EMFILE, EIO, ENOSPC, 0};

static long calls, fail_at; /* the call that fails; 0: none */
static enum fault fault;
static long opened; /* descriptors that are open */
static bool is_open[1024];
static bool fired;

static bool fails(void) {
    if (++calls != fail_at)
        return false;
    fired = true;
    if (fault == FAULT_SHORT) /* shortened by the caller, where it can be */
        return false;
    errno = fault_errno[fault];
    return true;
}

static bool is_short(void) {
    return calls == fail_at && fault == FAULT_SHORT;
}

static int faulty_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    if (fails())
        return -1;
    int fd = tree_io.openat(data, dir_fd, path, flags, mode);
    if (fd >= 0 && fd < (int)sizeof(is_open)) {
        opened++;
        is_open[fd] = true;
    }
    return fd;
}
static int faulty_close(void *data, int fd) {
    /* Linux closes the descriptor whatever close(2) returns */
    bool failed = fails();
    int error = errno;
    tree_io.close(data, fd);
    if (fd >= 0 && fd < (int)sizeof(is_open)) {
        opened -= is_open[fd]; /* not one that was duplicated from it */
        is_open[fd] = false;
    }
    errno = error;
    return failed ? -1 : 0;
}
static ssize_t faulty_read(void *data, int fd, void *to, size_t len) {
    if (fails())
        return -1;
    return tree_io.read(data, fd, to, is_short() && len ? 1 : len);
}
static ssize_t faulty_write(void *data, int fd, const void *from, size_t len) {
    if (fails())
        return -1;
    return tree_io.write(data, fd, from, is_short() && len ? 1 : len);
}
static ssize_t faulty_getdents(void *data, int fd, void *to, size_t len) {
    return fails() ? -1 : tree_io.getdents(data, fd, to, len);
}
static off_t faulty_rewind(void *data, int fd) {
    return fails() ? -1 : tree_io.rewind(data, fd);
}
static ssize_t faulty_readlinkat(void *data, int dir_fd, const char *path, char *to, size_t len) {
    return fails() ? -1 : tree_io.readlinkat(data, dir_fd, path, to, len);
}
static int faulty_fstatat(void *data, int dir_fd, const char *path, struct stat *ret, int flags) {
    return fails() ? -1 : tree_io.fstatat(data, dir_fd, path, ret, flags);
}
static int faulty_fsync(void *data, int fd) {
    return fails() ? -1 : tree_io.fsync(data, fd);
}
static int faulty_rename(void *data, const char *from, const char *to) {
    return fails() ? -1 : tree_io.rename(data, from, to);
}
static int faulty_unlink(void *data, const char *path) {
    return fails() ? -1 : tree_io.unlink(data, path);
}
static uint64_t faulty_clock(void *data, clockid_t clock) {
    return tree_io.clock_ns(data, clock);
}

static const struct io faulty_io = {
    .openat = faulty_openat,
    .close = faulty_close,
    .read = faulty_read,
    .write = faulty_write,
    .getdents = faulty_getdents,
    .rewind = faulty_rewind,
    .readlinkat = faulty_readlinkat,
    .fstatat = faulty_fstatat,
    .fsync = faulty_fsync,
    .rename = faulty_rename,
    .unlink = faulty_unlink,
    .clock_ns = faulty_clock,
};

/* ---- A small world -------------------------------------------------------------------- */

static char state_path[300], output_path[300];

/* Threads by name, and a top. */
static bool names_threads;

static void put_named_thread(uint32_t tid, const char *name, unsigned second) {
    tree_put_thread_stat(200, tid, name, 10 * second, 6000);
}

/* What processes have used after `second` seconds: all of it countable. */
static void put_world(unsigned second) {
    tree_put(&(struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh",
                                .utime = 10 * second, .rchar = 100 * second, .cmdline = "sh\0-c",
                                .exe = "/bin/sh", .fds = 3,
                                .cgroup = "0::/system.slice/a.service\n"});
    tree_put(&(struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker",
                                .utime = 20 * second, .threads = 2, .cmdline = "worker",
                                .exe = "/bin/worker", .cgroup = "0::/system.slice/b.service\n"});
    tree_put_thread(200, 200, 'S', 10 + second, 1, 5);
    tree_put_thread(200, 201, 'S', 20 + second, 2, 6);
    if (names_threads) {
        put_named_thread(200, "worker", second);
        put_named_thread(201, "helper", second);
    }
    /* so many that they are read in parts */
    tree_put(&(struct recorded){.pid = 300, .ppid = 1, .start_ticks = 7000, .comm = "many",
                                .threads = 5000, .exe = "/bin/many"});
    tree_put_thread(300, 300, 'S', 10 + second, 1, 5);
}

static void setup(void) {
    tree_open();
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    snprintf(output_path, sizeof(output_path), "%s/out.prom", tree_path());
    calls = fail_at = opened = 0;
    allocations = fail_allocation_at = 0;
}

static tally_config *world_config(void) {
    struct tally_error error;
    tally_config *c;
    ck_assert_int_eq(tally_config_new(&c), 0);
    ck_assert_int_eq(tally_config_set(c, "procfs", tree_path(), &error), 0);
    ck_assert_int_eq(tally_config_set(c, "state-file", state_path, &error), 0);
    ck_assert_int_eq(tally_config_set(c, "group-by", "exe,unit,user", &error), 0);
    ck_assert_int_eq(tally_config_set(c, "children", "true", &error), 0);
    if (names_threads) {
        ck_assert_int_eq(tally_config_set(c, "collect", "thread-names", &error), 0);
        ck_assert_int_eq(tally_config_set(c, "top", "1 by cpu", &error), 0);
    }
    static const char *const sh = "sh";
    struct tally_rule rule = {.size = sizeof(rule), .name = "{{.Comm}}", .comm = {&sh, 1}, .exe = {&sh, 1}};
#ifdef HAVE_PCRE2
    rule.cmdline = rule.comm;
#endif
    ck_assert_int_eq(tally_config_add_rule(c, &rule, &error), 0);
    return c;
}

/* The sum over all groups: no fault may lose or double what was used. */
static uint64_t total_of(tally *t, enum metric metric) {
    uint64_t total = 0, value;
    for (size_t i = 0; i < tally_snapshot_groups(t->snapshots.current); i++)
        if (tally_snapshot_value(t->snapshots.current, i, metric, &value))
            total += value;
    return total;
}

/* … and over all names of threads, of those that have any. */
static uint64_t total_of_threads(tally *t, enum metric metric) {
    const tally_snapshot *s = t->snapshots.current;
    uint64_t total = 0, value;
    for (size_t g = 0; g < tally_snapshot_groups(s); g++)
        for (size_t i = 0; i < tally_snapshot_parts(s, g, TALLY_SCOPE_THREAD_NAME); i++)
            if (tally_snapshot_part_value(s, g, i, metric, &value))
                total += value;
    return total;
}

static bool is_whole(const char *path) {
    char text[1 << 16];
    FILE *f = fopen(path, "r");
    if (!f)
        return errno == ENOENT;
    size_t len = fread(text, 1, sizeof(text), f);
    fclose(f);
    return len > 0 && text[len - 1] == '\n' && memmem(text, len, "proctally_source{", 17);
}

static size_t leftovers(void) {
    size_t count = 0;
    DIR *dir = opendir(tree_path());
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        count += e->d_name[0] == '.' && strlen(e->d_name) > 2;
    closedir(dir);
    return count;
}

/* One collection and one write of the output, as a front end does it. */
static int collect_and_write(tally *t, double second) {
    const tally_snapshot *s;
    const char *text;
    size_t len;
    clock_set(1000 + second);
    int r = tally_collect(t, &s);
    if (r == 0)
        r = tree_prometheus(t, &text, &len);
    if (r == 0)
        r = replace_file(&t->io, output_path, text, len, 0644, true);
    return r;
}

/* The same story each time: a collection, a second one in which something fails,
 * and a third by which all must be as if nothing had been. */
static void play(long at, long allocation_at) {
    struct tally_error error;
    tally_config *config = world_config();
    tally *t;
    unlink(state_path);
    unlink(output_path);
    put_world(0);
    ck_assert_int_eq(collector_new(config, NULL, &faulty_io, &t, &error), 0);
    tally_config_free(config);
    ck_assert_int_eq(collect_and_write(t, 0), 0);
    ck_assert_int_eq(collect_and_write(t, 5), 0);
    const long opened_before = opened;

    put_world(10);
    calls = allocations = 0;
    fired = false;
    fail_at = at;
    fail_allocation_at = allocation_at;
    collect_and_write(t, 10);
    fail_at = 0;
    fail_allocation_at = 0;
    ck_assert_msg(opened == opened_before || opened == opened_before - 1,
                  "fault %d at call %ld: %ld descriptors stay open", fault, at,
                  opened - opened_before);
    ck_assert_msg(is_whole(output_path), "fault %d at call %ld, allocation %ld: torn output", fault,
                  at, allocation_at);

    put_world(20);
    ck_assert_int_eq(collect_and_write(t, 20), 0);
    put_world(30);
    ck_assert_int_eq(collect_and_write(t, 30), 0);
    uint64_t cpu = total_of(t, METRIC_CPU_USER);
    /* 10 + 20 ticks each second for 30 seconds. A process that seemed to have
     * ended in the faulty collection is known anew from the next one on: what it
     * used in between is missing then, but never there twice. */
    uint64_t least = fault == FAULT_ESRCH && at ? 3 : 9;
    ck_assert_msg(cpu <= 9 * UINT64_C(1000000000) && cpu >= least * UINT64_C(1000000000),
                  "fault %d at call %ld, allocation %ld: %llu ns", fault, at, allocation_at,
                  (unsigned long long)cpu);
    ck_assert_msg(!names_threads || total_of_threads(t, METRIC_THREAD_CPU_USER) == cpu,
                  "fault %d, allocation %ld: %llu of %llu ns by names of threads", fault,
                  allocation_at, (unsigned long long)total_of_threads(t, METRIC_THREAD_CPU_USER),
                  (unsigned long long)cpu);
    /* the other counters: nothing twice. No thread has waited since the beginning. */
    ck_assert_msg(total_of(t, METRIC_RUN_QUEUE_WAIT) == 0 &&
                      total_of(t, METRIC_IO_READ) <= 3000 &&
                      total_of(t, METRIC_SWITCHES_VOLUNTARY) <= 90,
                  "fault %d at call %ld, allocation %ld: %llu ns waited, %llu bytes, %llu switches",
                  fault, at, allocation_at,
                  (unsigned long long)total_of(t, METRIC_RUN_QUEUE_WAIT),
                  (unsigned long long)total_of(t, METRIC_IO_READ),
                  (unsigned long long)total_of(t, METRIC_SWITCHES_VOLUNTARY));
    ck_assert_uint_eq(leftovers(), 0);
    tally_free(t);
    ck_assert_int_eq(opened, 0);

    /* the state can be read, and counting goes on */
    config = world_config();
    ck_assert_int_eq(collector_new(config, NULL, &faulty_io, &t, &error), 0);
    tally_config_free(config);
    ck_assert(!tally_notice(t, &error));
    put_world(40);
    ck_assert_int_eq(collect_and_write(t, 40), 0);
    ck_assert_uint_eq(total_of(t, METRIC_CPU_USER), cpu + 3 * UINT64_C(1000000000));
    if (names_threads)
        ck_assert_uint_eq(total_of_threads(t, METRIC_THREAD_CPU_USER),
                          total_of(t, METRIC_CPU_USER));
    tally_free(t);
}

START_TEST(each_call_fails_once) {
    fault = (enum fault)_i;
    long count = 0;
    do {
        opened = 0;
        play(++count, 0);
    } while (fired);
    ck_assert_int_gt(count, 30);
}
END_TEST

/* A program that begins takes up the state. Whatever fails then, what was counted is
 * not lost: counting goes on, now or when it begins again, or the file is kept and
 * that is said. */
static void play_start(long at, long allocation_at) {
    struct tally_error error;
    char aside[sizeof(state_path) + 16];
    tally_config *config = world_config();
    tally *t = NULL;
    snprintf(aside, sizeof(aside), "%s.rejected", state_path);
    unlink(state_path);
    unlink(aside);
    put_world(0);
    ck_assert_int_eq(collector_new(config, NULL, &faulty_io, &t, &error), 0);
    ck_assert_int_eq(collect_and_write(t, 0), 0);
    put_world(10);
    ck_assert_int_eq(collect_and_write(t, 10), 0);
    t = tally_free(t);
    put_world(20);

    calls = allocations = 0;
    fired = false;
    error.text[0] = '\0';
    fail_at = at;
    fail_allocation_at = allocation_at;
    int r = collector_new(config, NULL, &faulty_io, &t, &error);
    fail_at = 0;
    fail_allocation_at = 0;
    const char *what = r < 0 ? error.text : "";
    if (r < 0) {
        ck_assert_int_eq(opened, 0);
        ck_assert_msg(*what, "fault %d at call %ld, allocation %ld: no reason", fault, at,
                      allocation_at);
        ck_assert_int_eq(collector_new(config, NULL, &faulty_io, &t, &error), 0);
    }
    bool said = tally_notice(t, &error);
    ck_assert_int_eq(collect_and_write(t, 20), 0);
    uint64_t cpu = total_of(t, METRIC_CPU_USER);
    bool is_kept = access(aside, F_OK) == 0;
    ck_assert_msg(said == is_kept && (is_kept || cpu == 6 * UINT64_C(1000000000)),
                  "fault %d at call %ld, allocation %ld: %llu ns, %s, %s %s", fault, at,
                  allocation_at, (unsigned long long)cpu, is_kept ? "kept" : "not kept", what,
                  said ? error.text : "nothing said");
    /* it must be all of it */
    ck_assert_msg(!is_kept || rename(aside, state_path) == 0, "it can't be put back");
    tally_free(t);
    ck_assert_int_eq(opened, 0);
    ck_assert_int_eq(collector_new(config, NULL, &faulty_io, &t, &error), 0);
    ck_assert(!tally_notice(t, &error));
    put_world(30);
    ck_assert_int_eq(collect_and_write(t, 30), 0);
    ck_assert_uint_eq(total_of(t, METRIC_CPU_USER), 9 * UINT64_C(1000000000));
    tally_free(t);
    tally_config_free(config);
}

START_TEST(each_call_of_a_start_fails_once) {
    fault = (enum fault)_i;
    long count = 0;
    do {
        opened = 0;
        play_start(++count, 0);
    } while (fired);
    ck_assert_int_gt(count, 8);
}
END_TEST

START_TEST(each_allocation_of_a_start_fails_once) {
    fault = FAULT_EIO;
    long at = 0;
    do {
        opened = 0;
        play_start(0, ++at);
    } while (allocations >= at);
    ck_assert_int_gt(at, 20);
}
END_TEST

/* In a collection that has births and growing buffers. */
START_TEST(each_allocation_of_a_collection_fails_once) {
    fault = FAULT_EIO;
    names_threads = _i;
    long at = 0;
    do {
        opened = 0;
        play(0, ++at);
    } while (allocations >= at);
}
END_TEST

/* ---- Children that are reaped while memory runs out ---------------------------------------- */

#define CHILDREN 4

/* At 10 s the children end, each with 5 s more than was seen of it, and others begin; one
 * came and went unseen. At 20 s those have ended as well. */
static void put_families(unsigned second) {
    const unsigned tens = second / 10;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        char comm[16];
        snprintf(comm, sizeof(comm), "p%u", i);
        struct recorded parent = {.pid = 1000 + i, .ppid = 1, .start_ticks = 5000, .comm = comm};
        parent.utime = 3 * second;
        parent.cutime = tens == 0 ? 0 : 700 * tens;
        parent.cminflt = 500 * tens;
        parent.rchar = 900 * tens;
        tree_put(&parent);
        if (tens > 0)
            tree_remove(2000 + 100 * (tens - 1) + i);
        if (tens > 1)
            continue;
        snprintf(comm, sizeof(comm), "c%u-%u", tens, i);
        tree_put(&(struct recorded){.pid = 2000 + 100 * tens + i,
                                    .ppid = 1000 + i,
                                    .start_ticks = tens ? TICKS(1007) : 6000,
                                    .comm = comm,
                                    .utime = 30,
                                    .minflt = 100,
                                    .rchar = 200});
    }
}

enum { SUMS = 6 };
static const enum metric summed[SUMS] = {METRIC_CPU_USER, METRIC_CPU_SYSTEM,
                                         METRIC_FAULTS_MINOR, METRIC_IO_READ,
                                         METRIC_STARTS, METRIC_EXITS};

/* The collection of second 10 fails at this allocation; 0: none does. */
static void play_families(long allocation_at, uint64_t ret_sums[SUMS]) {
    struct tally_error error;
    const tally_snapshot *s;
    tally_config *config;
    tally *t;
    tree_close();
    tree_open();
    put_families(0);
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", tree_path(), &error), 0);
    ck_assert_int_eq(collector_new(config, NULL, &tree_io, &t, &error), 0);
    tally_config_free(config);
    clock_set(1000);
    ck_assert_int_eq(tally_collect(t, &s), 0);
    put_families(10);
    clock_set(1010);
    allocations = 0;
    fail_allocation_at = allocation_at;
    int r = tally_collect(t, &s);
    fail_allocation_at = 0;
    ck_assert_msg(r == 0 || r == -ENOMEM, "allocation %ld: %d", allocation_at, r);
    const long reached = allocations;
    if (r < 0) { /* for a moment only */
        clock_set(1011);
        ck_assert_int_eq(tally_collect(t, &s), 0);
    }
    put_families(20);
    clock_set(1020);
    ck_assert_int_eq(tally_collect(t, &s), 0);
    for (size_t i = 0; i < SUMS; i++)
        ret_sums[i] = total_of(t, summed[i]);
    tally_free(t);
    allocations = reached;
}

START_TEST(what_children_used_survives_each_failed_allocation) {
    uint64_t wanted[SUMS], found[SUMS];
    play_families(0, wanted);
    /* of each: 20 times 3 ticks of its own, and 1400 of children, of which 30 were history */
    ck_assert_uint_eq(wanted[0], CHILDREN * (60 + 1400 - 30) * UINT64_C(10000000));
    ck_assert_uint_eq(wanted[2], CHILDREN * (1000 - 100));
    ck_assert_uint_eq(wanted[5], 2 * CHILDREN);
    long at = 0;
    do {
        play_families(++at, found);
        for (size_t i = 0; i < SUMS; i++)
            ck_assert_msg(found[i] == wanted[i], "allocation %ld: %s is %llu, expected %llu", at,
                          metric_table[summed[i]].metric.id, (unsigned long long)found[i],
                          (unsigned long long)wanted[i]);
    } while (allocations >= at);
    ck_assert_int_gt(at, 10);
}
END_TEST

START_TEST(each_allocation_fails_once) {
    fault = FAULT_EIO;
    fail_at = 0;
    struct tally_error error;
    /* from nothing to the first encoding: every allocation there is */
    put_world(0);
    for (long at = 1; at < 100000; at++) {
        tally_config *config = world_config();
        tally *t = NULL;
        unlink(state_path);
        allocations = 0;
        fail_allocation_at = at;
        opened = 0;
        int r = collector_new(config, NULL, &faulty_io, &t, &error);
        if (r == 0)
            r = collect_and_write(t, 10);
        bool done = allocations < at;
        fail_allocation_at = 0;
        /* users' names fall back to numbers without memory for them */
        ck_assert_msg(r == 0 || r == -ENOMEM, "allocation %ld: %d", at, r);
        if (t)
            ck_assert_int_eq(collect_and_write(t, 20), 0);
        tally_free(t);
        ck_assert_int_eq(opened, 0);
        tally_config_free(config);
        if (done) {
            ck_assert_int_gt(at, 20);
            return;
        }
    }
    ck_abort_msg("it never ended");
}
END_TEST

#ifdef HAVE_PCRE2
#define FILTER "/a.*b/"
#define CMDLINE ", cmdline: ['x(?P<n>.*)y']"
#else
#define FILTER "a.*b"
#define CMDLINE ""
#endif

/* A new configuration while memory runs out: the old one goes on. */
START_TEST(each_allocation_of_a_configuration_fails_once) {
    struct tally_error error;
    for (long at = 1; at < 100000; at++) {
        tally_config *config = NULL;
        allocations = 0;
        fail_allocation_at = at;
        int r = tally_config_new(&config);
        if (r == 0)
            r = tally_config_set(config, "labels", "a=b", &error);
        if (r == 0)
            r = tally_config_set(config, "include", FILTER, &error);
#ifdef HAVE_YAML
        if (r == 0)
            r = tally_config_set(config, "process_names",
                                 "[{name: 'x{{.Comm}}', comm: [a, b]" CMDLINE "}]", &error);
#endif
        bool done = allocations < at;
        fail_allocation_at = 0;
        ck_assert_msg(r == 0 || r == -ENOMEM, "allocation %ld: %d %s", at, r, error.text);
        tally_config_free(config);
        if (done)
            return;
    }
    ck_abort_msg("it never ended");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("faults");
    TCase *tc = tcase_create("faults");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, each_call_fails_once, 0, FAULTS);
    tcase_add_loop_test(tc, each_call_of_a_start_fails_once, 0, FAULTS);
    tcase_add_test(tc, each_allocation_of_a_start_fails_once);
    tcase_add_loop_test(tc, each_allocation_of_a_collection_fails_once, 0, 2);
    tcase_add_test(tc, what_children_used_survives_each_failed_allocation);
    tcase_add_test(tc, each_allocation_fails_once);
    tcase_add_test(tc, each_allocation_of_a_configuration_fails_once);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
