/* SPDX-License-Identifier: MIT */
/* What snapshots hold: that they stay as they were, what they cost, and the processes and
 * the host in them; on a recorded /proc with a clock of its own. */
#include "failing_memory.h"
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define S UINT64_C(1000000000)
#define BOTH (TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST)

static struct recorded shell, worker;

static void setup(void) {
    tree_open();
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh"};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker"};
    tree_put(&shell);
    tree_put(&worker);
}

static const tally_snapshot *collect_at(tally *t, double seconds) {
    clock_set(seconds);
    return tree_collect(t);
}

static tally *keeping(unsigned keep, const char *name, const char *value) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = keep};
    return tree_collector_with(&opts, name, value, NULL);
}

/* Counts, but shows nothing. */
static void collect_hidden_at(tally *t, double seconds) {
    clock_set(seconds);
    ck_assert_int_eq(tally_collect(t, NULL), 0);
}

static size_t index_of(const tally_snapshot *s, pid_t pid) {
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < tally_snapshot_processes(s); i++)
        if (tally_snapshot_process(s, i)->pid == pid)
            found = i;
    ck_assert_msg(found != SIZE_MAX, "process %d is not in the snapshot", (int)pid);
    return found;
}

static const struct tally_process *shown(const tally_snapshot *s, pid_t pid) {
    return tally_snapshot_process(s, index_of(s, pid));
}

static bool process_has(const tally_snapshot *s, pid_t pid, enum metric m) {
    uint64_t value;
    return tally_snapshot_process_value(s, index_of(s, pid), m, &value);
}

static uint64_t process_value(const tally_snapshot *s, pid_t pid, enum metric m) {
    uint64_t value = 0;
    ck_assert_msg(tally_snapshot_process_value(s, index_of(s, pid), m, &value),
                  "process %d has no %s", (int)pid, metric_table[m].metric.id);
    return value;
}

static bool host_has(const tally_snapshot *s, enum metric m) {
    uint64_t value;
    return tally_snapshot_value(s, 0, m, &value);
}

static uint64_t host_value(const tally_snapshot *s, enum metric m) {
    uint64_t value = 0;
    ck_assert_msg(tally_snapshot_value(s, 0, m, &value), "the host has no %s",
                  metric_table[m].metric.id);
    return value;
}

/* All that can be asked of a snapshot, as one text. */
static char *all_of(const tally_snapshot *s) {
    struct buf b;
    tally_text *room;
    const char *text, *key, *value;
    size_t len;
    uint64_t number;
    buf_init(&b, 1 << 26);
    ck_assert_int_eq(tally_text_new(&room), 0);
    buf_printf(&b, "%llu %llu %s\n", (unsigned long long)tally_snapshot_time(s),
               (unsigned long long)tally_snapshot_interval(s), tally_snapshot_measurement(s));
    for (size_t g = 0; g < tally_snapshot_groups(s); g++) {
        buf_printf(&b, "group %s\n", tally_snapshot_group_name(s, g));
        for (size_t i = 0; tally_snapshot_label(s, g, i, &key, &value); i++)
            buf_printf(&b, "%s=%s\n", key, value);
        for (size_t m = 0; tally_metric(m); m++)
            if (tally_snapshot_value(s, g, m, &number))
                buf_printf(&b, "%s=%llu\n", tally_metric(m)->id, (unsigned long long)number);
    }
    for (size_t i = 0; i < tally_snapshot_processes(s); i++) {
        const struct tally_process *p = tally_snapshot_process(s, i);
        buf_printf(&b, "process %d %d %llu %s %s %u %c %u %zu\n", (int)p->pid, (int)p->ppid,
                   (unsigned long long)p->start_ns, p->name, p->user ? p->user : "-",
                   p->user ? p->uid : 0, p->state, p->terminal, p->group);
        for (size_t m = 0; tally_metric(m); m++)
            if (tally_snapshot_process_value(s, i, m, &number))
                buf_printf(&b, "%s=%llu\n", tally_metric(m)->id, (unsigned long long)number);
    }
    ck_assert_int_eq(tally_encode_prometheus(s, room, &text, &len), 0);
    buf_add(&b, text, len);
    ck_assert_int_eq(tally_encode_influx(s, room, &text, &len), 0);
    buf_add(&b, text, len);
    tally_text_free(room);
    ck_assert_int_eq(b.error, 0);
    char *all = strdup(buf_text(&b));
    buf_free(&b);
    return all;
}

/* ---- Kept --------------------------------------------------------------------------- */

/* Groups and processes come and go, a pid is used again, names change; then the collector
 * goes too. */
START_TEST(what_is_kept_stays_as_it_was) {
    enum { ROUNDS = 12 };
    const tally_snapshot *kept[ROUNDS];
    char *before[ROUNDS];
    clock_set(1000);
    tally *t = keeping(BOTH, "expire-after", "0s");
    for (int i = 0; i < ROUNDS; i++) {
        char comm[24];
        snprintf(comm, sizeof(comm), "round%d", i);
        worker.start_ticks = TICKS(1000 + 10 * i) - 5;
        worker.comm = comm;
        worker.utime = (uint64_t)i * 7;
        tree_put(&worker);
        if (i == 8)
            tree_remove(shell.pid);
        kept[i] = tally_snapshot_ref(collect_at(t, 1000 + 10 * i));
        before[i] = all_of(kept[i]);
        for (int j = 0; j <= i; j++) {
            char *now = all_of(kept[j]);
            ck_assert_str_eq(now, before[j]);
            free(now);
        }
    }
    tally_free(t);
    for (int i = 0; i < ROUNDS; i++) {
        char *now = all_of(kept[i]);
        ck_assert_str_eq(now, before[i]);
        free(now);
        free(before[i]);
        ck_assert_ptr_null(tally_snapshot_unref(kept[i]));
    }
    ck_assert_ptr_null(tally_snapshot_unref(NULL));
}
END_TEST

/* A failed collection leaves the one that was lent before. */
START_TEST(a_failure_leaves_the_last_one) {
    tally *t = keeping(BOTH, NULL, NULL);
    const tally_snapshot *s = collect_at(t, 1000), *none = NULL;
    char *before = all_of(s);
    s = tally_snapshot_ref(s);
    tree_hide(true);
    ck_assert_int_lt(tally_collect(t, &none), 0);
    ck_assert_ptr_null(none);
    tree_hide(false);
    char *after = all_of(s);
    ck_assert_str_eq(after, before);
    tally_snapshot_unref(s);
    free(before);
    free(after);
    tally_free(t);
}
END_TEST

START_TEST(texts_of_groups_are_shared) {
    tally *t = keeping(0, "group-by", "name,user");
    const tally_snapshot *a = tally_snapshot_ref(collect_at(t, 1000));
    const tally_snapshot *b = tally_snapshot_ref(collect_at(t, 1010));
    const char *key[2], *value[2];
    ck_assert_uint_eq(tally_snapshot_groups(a), 2);
    ck_assert_ptr_ne(a, b);
    for (size_t g = 0; g < 2; g++) {
        ck_assert_ptr_eq(tally_snapshot_group_name(a, g), tally_snapshot_group_name(b, g));
        ck_assert(tally_snapshot_label(a, g, 1, &key[0], &value[0]));
        ck_assert(tally_snapshot_label(b, g, 1, &key[1], &value[1]));
        ck_assert_str_eq(key[0], "user");
        ck_assert_ptr_eq(value[0], value[1]);
    }
    ck_assert(!tally_snapshot_label(a, 0, 2, &key[0], &value[0]));
    tally_snapshot_unref(a);
    tally_snapshot_unref(b);
    tally_free(t);
}
END_TEST

/* ---- What it costs ---------------------------------------------------------------------- */

static void put_many(int round) {
    for (uint32_t pid = 300; pid < 600; pid += round ? 3 : 1) {
        char comm[16];
        snprintf(comm, sizeof(comm), "p%u", pid % 17);
        tree_put(&(struct recorded){.pid = pid,
                                    .ppid = 1,
                                    .start_ticks = 5000,
                                    .comm = comm,
                                    .utime = (uint64_t)round});
    }
}

/* Also if somebody holds each until the next one is there. */
START_TEST(one_that_is_not_kept_costs_no_allocation) {
    const tally_snapshot *held = NULL;
    tree_put_host("meminfo", "MemTotal: 1000 kB\n");
    tree_put_host("loadavg", "1.05 0.50 0.01 1/2 3\n");
    tally *t = keeping(BOTH, NULL, NULL);
    for (int round = 0; round < 7; round++) {
        const tally_snapshot *s;
        put_many(round);
        clock_set(1000 + 10 * round);
        /* the test and libcheck allocate as they like */
        fail_allocation_at = round >= 3 ? LONG_MAX : 0;
        int r = tally_collect(t, &s);
        fail_allocation_at = 0;
        ck_assert_int_eq(r, 0);
        tally_snapshot_unref(held);
        held = tally_snapshot_ref(s);
    }
    ck_assert_int_eq(allocations, 0);
    tally_snapshot_unref(held);
    tally_free(t);
}
END_TEST

static size_t in_use(void) {
#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
    return 0; /* it can't be told there */
#else
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

/* Memory grows by what is kept: all take the same, and when they are let go nothing is
 * left of them. */
START_TEST(memory_grows_by_what_is_kept) {
    enum { KEPT = 64 };
    const tally_snapshot *kept[KEPT];
    size_t used[KEPT + 1];
    put_many(0);
    tally *t = keeping(TALLY_KEEP_PROCESSES, NULL, NULL);
    for (int i = 0; i < 4; i++)
        collect_at(t, 1000 + i);
    const size_t before = in_use();
    used[0] = before;
    for (int i = 0; i < KEPT; i++) {
        kept[i] = tally_snapshot_ref(collect_at(t, 1010 + i));
        used[i + 1] = in_use();
    }
    const size_t each = (used[KEPT] - used[4]) / (KEPT - 4);
    const size_t room = 512 * sizeof(struct snapshot_process) + 64 * sizeof(struct snapshot_group) +
                        sizeof(tally_snapshot) + 302 * 32;
    ck_assert_msg(each <= room, "each that is kept takes %zu bytes, expected at most %zu", each,
                  room);
    for (int i = 4; i < KEPT; i++)
        ck_assert_msg(used[i + 1] - used[i] <= each + each / 4 + 4096, "number %d takes %zu", i,
                      used[i + 1] - used[i]);
    for (int i = 0; i < KEPT; i++)
        tally_snapshot_unref(kept[i]);
    collect_at(t, 1100);
    collect_at(t, 1101);
    /* free blocks in malloc's cache count as in use; since glibc 2.43 large ones are there too */
    const size_t after = in_use();
    ck_assert_msg(after <= before + each / 2, "%zu bytes are left", after - before);
    tally_free(t);
}
END_TEST

/* Groups that are gone take nothing, though the snapshots that are used by turns have had
 * them. */
START_TEST(groups_that_are_gone_take_nothing) {
    tally *t = keeping(0, "expire-after", "0s");
    collect_at(t, 1000);
    collect_at(t, 1001);
    const size_t before = in_use();
    for (uint32_t pid = 1000; pid < 1060; pid++) {
        char comm[16];
        snprintf(comm, sizeof(comm), "short%u", pid);
        tree_put(&(struct recorded){
            .pid = pid, .ppid = 1, .start_ticks = TICKS(1001), .comm = comm});
    }
    const tally_snapshot *s = collect_at(t, 1002);
    ck_assert_uint_eq(tally_snapshot_groups(s), 62);
    collect_at(t, 1003);
    const size_t with = in_use();
    for (uint32_t pid = 1000; pid < 1060; pid++)
        tree_remove(pid);
    for (int i = 0; i < 4; i++)
        s = collect_at(t, 1010 + i);
    ck_assert_uint_eq(tally_snapshot_groups(s), 2);
    const size_t after = in_use();
    /* each group is some 700 bytes; tables keep their size */
    ck_assert_msg(with == 0 || after + 60 * 600 <= with, "%zu before, %zu with them, %zu after",
                  before, with, after);
    tally_free(t);
}
END_TEST

/* ---- Per interval (DESIGN rule 17) -------------------------------------------------------- */

static void use(uint64_t ticks) {
    worker.utime += ticks;
    tree_put(&worker);
}

static uint64_t group_usage(tally *t) {
    return value_of(t, "worker", METRIC_CPU_USAGE);
}

START_TEST(intervals_begin_at_what_was_published) {
    tree_set_host(0, 4);
    tally *t = keeping(BOTH, NULL, NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(tally_snapshot_interval(s), 0);
    ck_assert(!has_value(t, "worker", METRIC_CPU_USAGE));
    ck_assert(!process_has(s, 200, METRIC_CPU_USAGE));

    use(400); /* 4 of 10 s, on one of four CPUs */
    s = collect_at(t, 1010);
    ck_assert_uint_eq(tally_snapshot_interval(s), 10 * S);
    ck_assert_uint_eq(group_usage(t), S / 10);
    ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), S / 10);

    /* hidden ones in between */
    use(300);
    collect_hidden_at(t, 1013);
    use(300);
    collect_hidden_at(t, 1016);
    use(200);
    s = collect_at(t, 1030);
    ck_assert_uint_eq(tally_snapshot_interval(s), 20 * S);
    ck_assert_uint_eq(group_usage(t), S / 10);
    ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), S / 10);

    /* one that failed */
    use(200);
    clock_set(1035);
    tree_hide(true);
    ck_assert_int_lt(tally_collect(t, &s), 0);
    tree_hide(false);
    use(200);
    s = collect_at(t, 1040);
    ck_assert_uint_eq(tally_snapshot_interval(s), 10 * S);
    ck_assert_uint_eq(group_usage(t), S / 10);
    ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), S / 10);

    /* another collector goes on, after a hidden collection of the first */
    use(300);
    collect_hidden_at(t, 1045);
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = BOTH, .inherit = t};
    tally *next = tree_collector_with(&opts, "cpu-mode", "core", NULL);
    tally_free(t);
    use(300);
    s = collect_at(next, 1060);
    ck_assert_uint_eq(tally_snapshot_interval(s), 20 * S);
    ck_assert_uint_eq(group_usage(next), 6 * S / 20);
    ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), 6 * S / 20);
    ck_assert_uint_eq(process_value(s, 100, METRIC_CPU_USAGE), 0);
    tally_free(next);
}
END_TEST

/* The collector that was inherited from collects on as if nothing had been. */
START_TEST(inheriting_changes_nothing_in_the_other) {
    tally *t = keeping(BOTH, "prefix", "one_");
    collect_at(t, 1000);
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = BOTH, .inherit = t};
    tally *next = tree_collector_with(&opts, "prefix", "two_", NULL);
    use(100);
    for (int i = 1; i < 5; i++) {
        const tally_snapshot *s = collect_at(t, 1000 + 10 * i);
        ck_assert_str_eq(tally_snapshot_measurement(s), "one");
        ck_assert_uint_eq(tally_snapshot_interval(s), 10 * S);
        s = collect_at(next, 1000 + 10 * i);
        ck_assert_str_eq(tally_snapshot_measurement(s), "two");
        ck_assert_uint_eq(tally_snapshot_interval(s), 10 * S);
        ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), i == 1 ? S / 40 : 0);
    }
    tally_free(next);
    tally_free(t);
}
END_TEST

/* What a process used before it could be seen for a while is not of the interval. */
START_TEST(a_process_that_was_not_shown_before) {
    tree_set_host(0, 1);
    tally *t = keeping(BOTH, NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1005);
    use(200);
    const tally_snapshot *s = collect_at(t, 1010);
    ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), S / 5);
    tree_refuse(200, "stat", EACCES);
    use(1);
    s = collect_at(t, 1020);
    ck_assert_uint_eq(tally_snapshot_processes(s), 1);
    tree_refuse(200, "stat", 0);
    use(1);
    s = collect_at(t, 1030);
    ck_assert(!process_has(s, 200, METRIC_CPU_USAGE));
    use(100);
    s = collect_at(t, 1040);
    ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), S / 10);
    tally_free(t);
}
END_TEST

/* ---- Processes ------------------------------------------------------------------------------ */

START_TEST(processes_only_if_asked_for) {
    tally *t = keeping(0, NULL, NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(tally_snapshot_processes(s), 0);
    ck_assert(!host_has(s, METRIC_HOST_CPUS));
    ck_assert(!host_has(s, METRIC_HOST_TASKS));
    tally_free(t);
}
END_TEST

START_TEST(what_a_process_is) {
    worker.state = 'D';
    worker.terminal = 0x8803;
    worker.priority = 20;
    worker.rss_pages = 3;
    worker.utime = 100;
    worker.stime = 50;
    worker.voluntary = 7;
    worker.involuntary = 5;
    worker.minflt = 11;
    worker.majflt = 4;
    worker.threads = 3;
    worker.nice = -5;
    worker.fds = 8;
    worker.fd_limit = 64;
    worker.anon_kib = 40;
    worker.swap_kib = 2;
    tree_put(&worker);
    tally *t = keeping(BOTH, NULL, NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(tally_snapshot_processes(s), 2);
    const struct tally_process *p = shown(s, 200);
    ck_assert_int_eq(p->ppid, 100);
    ck_assert_uint_eq(p->start_ns, (BOOT_TIME_S + 60) * S);
    ck_assert_str_eq(p->name, "worker");
    ck_assert_str_eq(p->user, "root");
    ck_assert_uint_eq(p->uid, 0);
    ck_assert_int_eq(p->state, 'D');
    ck_assert_uint_eq(p->terminal, 0x8803);
    ck_assert_str_eq(tally_snapshot_group_name(s, p->group), "worker");
    ck_assert_uint_eq(shown(s, 100)->terminal, 0);

    const struct {
        enum metric metric;
        uint64_t value;
    } wanted[] = {
        {METRIC_PROCESSES, 1},
        {METRIC_STATE_DISK_SLEEP, 1},
        {METRIC_STATE_SLEEPING, 0},
        {METRIC_CPU_USER, S},
        {METRIC_CPU_SYSTEM, S / 2},
        {METRIC_FAULTS_MINOR, 11},
        {METRIC_FAULTS_MAJOR, 4},
        {METRIC_FAULTS, 15},
        {METRIC_FOOTPRINT, 42 * 1024},
        {METRIC_SWAP, 2 * 1024},
        {METRIC_THREADS, 3},
        {METRIC_NICE, (uint64_t)-5},
        {METRIC_PRIORITY, 20},
        {METRIC_OPEN_FDS, 8},
        {METRIC_WORST_FD_RATIO, S / 8},
        {METRIC_START_TIME, (BOOT_TIME_S + 60) * S},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        ck_assert_msg(process_value(s, 200, wanted[i].metric) == wanted[i].value,
                      "%s is %llu, expected %llu", metric_table[wanted[i].metric].metric.id,
                      (unsigned long long)process_value(s, 200, wanted[i].metric),
                      (unsigned long long)wanted[i].value);
    /* what only a group has, or the host */
    ck_assert(!process_has(s, 200, METRIC_STARTS));
    ck_assert(!process_has(s, 200, METRIC_PSS));
    uint64_t unused;
    ck_assert(!tally_snapshot_process_value(s, 0, METRIC_HOST_CPUS, &unused));
    ck_assert(!tally_snapshot_process_value(s, 0, METRIC_SELF_DURATION, &unused));
    ck_assert(!tally_snapshot_process_value(s, 0, SIZE_MAX, &unused));
    tally_free(t);
}
END_TEST

/* Names are cleaned; a name may be empty, which is not the name before. */
START_TEST(names_of_processes) {
    worker.comm = "a\nb\xff";
    tree_put(&worker);
    tally *t = keeping(TALLY_KEEP_PROCESSES, NULL, NULL);
    ck_assert_str_eq(shown(collect_at(t, 1000), 200)->name, "a?b\xef\xbf\xbd");
    worker.comm = "";
    use(1);
    ck_assert_str_eq(shown(collect_at(t, 1010), 200)->name, "");
    tally_free(t);
}
END_TEST

START_TEST(switched_off_is_absent) {
    tally *t = keeping(TALLY_KEEP_PROCESSES, "collect", "no-io,no-states,no-context-switches");
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert(process_has(s, 200, METRIC_OPEN_FDS));
    ck_assert(!process_has(s, 200, METRIC_IO_READ));
    ck_assert(!process_has(s, 200, METRIC_STATE_SLEEPING));
    ck_assert(!process_has(s, 200, METRIC_SWITCHES));
    ck_assert_int_eq(shown(s, 200)->state, 'S');
    tally_free(t);
}
END_TEST

START_TEST(groups_of_processes) {
    tree_put(&(struct recorded){.pid = 50, .ppid = 1, .start_ticks = 5000, .comm = "hush"});
    tally *t = keeping(TALLY_KEEP_PROCESSES, "exclude", "hush");
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(shown(s, 50)->group, TALLY_NO_GROUP);
    for (size_t i = 0; i < tally_snapshot_processes(s); i++) {
        const struct tally_process *p = tally_snapshot_process(s, i);
        if (p->pid != 50)
            ck_assert_str_eq(tally_snapshot_group_name(s, p->group), p->name);
    }
    tally_free(t);

    /* of single processes only the one that uses most is shown */
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    t = tree_collector_with(&opts, "group-by", "pid", "top", "1", NULL);
    collect_at(t, 1000);
    use(100);
    s = collect_at(t, 1010);
    ck_assert_uint_eq(tally_snapshot_groups(s), 1);
    ck_assert_uint_eq(shown(s, 200)->group, 0);
    ck_assert_uint_eq(shown(s, 100)->group, TALLY_NO_GROUP);
    ck_assert_uint_eq(shown(s, 50)->group, TALLY_NO_GROUP);
    tally_free(t);
}
END_TEST

START_TEST(processes_stand_by_pid) {
    /* the parent with the higher pid is visited first, as its child inherits from it */
    tree_put(&(struct recorded){.pid = 900, .ppid = 1, .start_ticks = 5000, .comm = "up"});
    tree_put(&(struct recorded){.pid = 30, .ppid = 900, .start_ticks = 5100, .comm = "down"});
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    tally *t = tree_collector_with(&opts, "children", "true", "rule", "all up", NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(tally_snapshot_processes(s), 4);
    for (size_t i = 1; i < 4; i++)
        ck_assert_int_lt(tally_snapshot_process(s, i - 1)->pid, tally_snapshot_process(s, i)->pid);
    ck_assert_uint_eq(shown(s, 30)->group, shown(s, 900)->group);
    tally_free(t);
}
END_TEST

/* ---- … that sleep ----------------------------------------------------------------------------- */

/* So that it is remembered: it is not read while its activity stays the same. */
static double put_to_sleep(tally *t) {
    collect_at(t, 1000);
    collect_at(t, 1001);
    collect_at(t, 1002);
    tree_refuse(200, "stat", EIO); /* nobody looks */
    return 1003;
}

START_TEST(a_sleeper_keeps_what_it_is) {
    worker.terminal = 1025;
    worker.uid = 12345;
    worker.run_ns = 1000;
    worker.utime = 100;
    worker.fds = 8;
    worker.anon_kib = 4;
    tree_put(&worker);
    tally *t = keeping(TALLY_KEEP_PROCESSES, NULL, NULL);
    double now = put_to_sleep(t);
    char *before = all_of(t->snapshots.current);
    ck_assert_ptr_nonnull(strstr(before, "process 200"));
    for (int i = 0; i < 4; i++) {
        const tally_snapshot *s = collect_at(t, now++);
        ck_assert_str_eq(shown(s, 200)->name, "worker");
        ck_assert_str_eq(shown(s, 200)->user, "12345");
        ck_assert_uint_eq(shown(s, 200)->uid, 12345);
        ck_assert_uint_eq(shown(s, 200)->terminal, 1025);
        ck_assert_int_eq(shown(s, 200)->ppid, 100);
        ck_assert_int_eq(shown(s, 200)->state, 'S');
        ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USER), S);
        ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USAGE), 0);
        ck_assert_uint_eq(process_value(s, 200, METRIC_OPEN_FDS), 8);
        ck_assert_uint_eq(process_value(s, 200, METRIC_WORST_FD_RATIO), S / 128);
        ck_assert_uint_eq(process_value(s, 200, METRIC_FOOTPRINT), 4096);
        ck_assert_uint_eq(process_value(s, 200, METRIC_SWITCHES), 0);
        collect_hidden_at(t, now++);
    }
    free(before);
    tally_free(t);
}
END_TEST

/* It slept already when the first snapshot was made: it is looked up. */
START_TEST(a_sleeper_that_no_snapshot_has_shown) {
    worker.terminal = 1025;
    worker.uid = 12345;
    worker.run_ns = 1000;
    tree_put(&worker);
    tally *t = keeping(TALLY_KEEP_PROCESSES, NULL, NULL);
    for (int i = 0; i < 3; i++)
        collect_hidden_at(t, 1000 + i);
    const tally_snapshot *s = collect_at(t, 1003);
    ck_assert_str_eq(shown(s, 200)->name, "worker");
    ck_assert_ptr_nonnull(shown(s, 200)->user);
    ck_assert_uint_eq(shown(s, 200)->uid, 12345);
    ck_assert_uint_eq(shown(s, 200)->terminal, 1025);
    tally_free(t);
}
END_TEST

/* Its parent has ended meanwhile; it has not run. */
START_TEST(a_sleeper_whose_parent_ends) {
    worker.run_ns = 1000;
    tree_put(&worker);
    tally *t = keeping(TALLY_KEEP_PROCESSES, NULL, NULL);
    for (int i = 0; i < 3; i++)
        collect_at(t, 1000 + i);
    tree_remove(100);
    worker.ppid = 1;
    tree_put(&worker);
    ck_assert_int_eq(shown(collect_at(t, 1003), 200)->ppid, 1);
    ck_assert_int_eq(shown(collect_at(t, 1004), 200)->ppid, 1);
    tally_free(t);
}
END_TEST

/* ---- … and their PSS ------------------------------------------------------------------------------ */

START_TEST(pss_of_processes) {
    worker.vsize = 4096 * 100;
    tree_put(&worker);
    tree_put_file(200, "smaps_rollup", "Rss: 8 kB\nPss: 6 kB\nSwapPss: 2 kB\n");
    shell.vsize = 4096;
    tree_put(&shell);
    tree_refuse(100, "smaps_rollup", EACCES);
    tally *t = keeping(TALLY_KEEP_PROCESSES, "collect", "pss");
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(process_value(s, 200, METRIC_PSS), 6 * 1024);
    ck_assert_uint_eq(process_value(s, 200, METRIC_SWAP_PSS), 2 * 1024);
    ck_assert(!process_has(s, 100, METRIC_PSS)); /* refused */
    ck_assert_uint_eq(process_value(s, 200, METRIC_PSS_AGE), 0);
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES, .inherit = t};
    tally *next = tree_collector_with(&opts, "collect", "no-pss,no-context-switches", NULL);
    ck_assert(process_has(s, 200, METRIC_SWITCHES));
    s = collect_at(next, 1010);
    ck_assert(!process_has(s, 200, METRIC_PSS));
    ck_assert(!process_has(s, 200, METRIC_SWITCHES));
    tally_free(next);
    tally_free(t);
}
END_TEST

/* ---- Texts on demand ---------------------------------------------------------------------------- */

static void expect_text(const tally_snapshot *s, pid_t pid, enum tally_process_text which,
                        const char *want, size_t want_len) {
    char text[256];
    ssize_t n = tally_snapshot_process_text(s, index_of(s, pid), which, text, sizeof(text));
    ck_assert_msg(n >= 0, "text %d: %zd", (int)which, n);
    assert_bytes(text, (size_t)n, want, want_len);
}

static int text_error(const tally_snapshot *s, pid_t pid, enum tally_process_text which) {
    char text[256];
    return (int)tally_snapshot_process_text(s, index_of(s, pid), which, text, sizeof(text));
}

START_TEST(texts_are_read_when_asked_for) {
    static const char argv[] = "worker\0-v\0two words";
    char text[4];
    worker.cmdline = argv;
    worker.cmdline_len = sizeof(argv);
    worker.exe = "/usr/bin/worker";
    worker.cgroup = "0::/system.slice/worker.service\n";
    tree_put(&worker);
    tally *t = keeping(TALLY_KEEP_PROCESSES, NULL, NULL);
    const tally_snapshot *s = tally_snapshot_ref(collect_at(t, 1000));
    tally_free(t);
    expect_text(s, 200, TALLY_PROCESS_CMDLINE, argv, sizeof(argv) - 1);
    expect_text(s, 200, TALLY_PROCESS_EXE, "/usr/bin/worker", 15);
    expect_text(s, 200, TALLY_PROCESS_CGROUP, "/system.slice/worker.service", 28);
    expect_text(s, 200, TALLY_PROCESS_UNIT, "worker.service", 14);
    expect_text(s, 200, TALLY_PROCESS_CONTAINER, "", 0);
    /* one that has none */
    expect_text(s, 100, TALLY_PROCESS_CMDLINE, "", 0);
    expect_text(s, 100, TALLY_PROCESS_EXE, "", 0);
    expect_text(s, 100, TALLY_PROCESS_CGROUP, "/", 1);
    expect_text(s, 100, TALLY_PROCESS_UNIT, "", 0);
    for (size_t size = 0; size <= sizeof(text); size++) {
        memset(text, '#', sizeof(text));
        ck_assert_int_eq(tally_snapshot_process_text(s, index_of(s, 200), TALLY_PROCESS_CGROUP,
                                                     text, size),
                         (ssize_t)size);
        ck_assert(size == sizeof(text) || text[size] == '#');
        ck_assert_int_eq(tally_snapshot_process_text(s, index_of(s, 200), TALLY_PROCESS_CMDLINE,
                                                     text, size),
                         (ssize_t)size);
        ck_assert_int_eq(tally_snapshot_process_text(s, index_of(s, 200), TALLY_PROCESS_EXE, text,
                                                     size),
                         (ssize_t)size);
        ck_assert(size == sizeof(text) || text[size] == '#');
    }
    ck_assert_int_eq(text_error(s, 200, (enum tally_process_text)99), -EINVAL);
    tally_snapshot_unref(s);
}
END_TEST

START_TEST(texts_of_nobody_else) {
    tally *t = keeping(TALLY_KEEP_PROCESSES, NULL, NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    worker.start_ticks++;
    worker.cmdline = "secret of another";
    tree_put(&worker);
    ck_assert_int_eq(text_error(s, 200, TALLY_PROCESS_CMDLINE), -ESRCH);
    ck_assert_int_eq(text_error(s, 200, TALLY_PROCESS_EXE), -ESRCH);
    ck_assert_int_eq(text_error(s, 200, TALLY_PROCESS_CGROUP), -ESRCH);
    tree_remove(200);
    ck_assert_int_eq(text_error(s, 200, TALLY_PROCESS_CMDLINE), -ESRCH);
    tally_free(t);
}
END_TEST

/* ---- A brief look ------------------------------------------------------------------------------- */

START_TEST(what_a_brief_look_shows) {
    const struct tally_new_opts opts = {.size = sizeof(opts),
                                        .keep = TALLY_KEEP_PROCESSES | TALLY_KEEP_CMDLINES,
                                        .only_looks = true,
                                        .count_lifetimes = true,
                                        .brief = true};
    static const char argv[] = "worker\0-v\0two words";
    const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    char path[4096], text[4];
    struct stat st;
    worker.vsize = 1 << 20;
    worker.cmdline = argv;
    worker.cmdline_len = sizeof(argv);
    worker.rss_pages = 1; /* stat's lags behind */
    worker.rss_kib = 99;
    worker.utime = 7;
    worker.threads = 3;
    worker.swap_kib = 5;
    tree_put(&worker);
    tree_put_file(200, "statm", "620 305 276 1 0 89 0\n");
    tree_refuse(200, "status", EACCES); /* it is not even tried */
    tally *t = tree_collector_with(&opts, "collect", "no-context-switches,no-delays,no-io", NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    snprintf(path, sizeof(path), "%s/200", tree_path());
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_ptr_nonnull(shown(s, 200)->user);
    ck_assert_uint_eq(shown(s, 200)->uid, st.st_uid);
    ck_assert_uint_eq(process_value(s, 200, METRIC_RSS), 305 * page_bytes);
    ck_assert_uint_eq(process_value(s, 200, METRIC_VMS), 1 << 20);
    ck_assert_uint_eq(process_value(s, 200, METRIC_THREADS), 3);
    ck_assert_uint_eq(process_value(s, 200, METRIC_CPU_USER), 70000000);
    ck_assert(!process_has(s, 200, METRIC_SWAP));
    ck_assert(!process_has(s, 200, METRIC_FOOTPRINT));
    ck_assert(!process_has(s, 200, METRIC_IO_READ));
    ck_assert(!process_has(s, 200, METRIC_SWITCHES));
    /* without an address space there is nothing to read */
    ck_assert_uint_eq(process_value(s, 100, METRIC_RSS), 0);

    tree_refuse(200, "status", 0);
    tree_remove(200);
    /* it is told as it was */
    expect_text(s, 200, TALLY_PROCESS_CMDLINE, argv, sizeof(argv) - 1);
    ck_assert_int_eq(tally_snapshot_process_text(s, index_of(s, 200), TALLY_PROCESS_CMDLINE, text, 4), 4);
    ck_assert_int_eq(text_error(s, 200, TALLY_PROCESS_EXE), -ESRCH);
    expect_text(s, 100, TALLY_PROCESS_CMDLINE, "", 0);
    s = collect_at(t, 1001);
    ck_assert_uint_eq(tally_snapshot_processes(s), 1);
    tally_free(t);
}
END_TEST

/* ---- The host --------------------------------------------------------------------------------------- */

START_TEST(the_host) {
    tree_put_host("stat", "cpu  100 20 300 4000 50 6 7 8 9 10\ncpu0 0 0 0 0\ncpu1 0 0 0 0\n"
                          "btime 1700000000\n");
    tree_put_host("meminfo", "MemTotal:  1000 kB\nMemFree: 200 kB\nMemAvailable: 500 kB\n"
                             "Buffers: 30 kB\nCached: 100 kB\nSwapCached: 9 kB\n"
                             "SwapTotal: 2000 kB\nSwapFree: 1500 kB\n");
    tree_put_host("loadavg", "1.05 0.50 12.34 1/234 5678\n");
    tree_put_host("uptime", "1234.56 7890.12\n");
    tree_put_utmp("..U.UU");
    shell.state = 'T';
    worker.threads = 5;
    worker.state = 'R';
    tree_put(&shell);
    tree_put(&worker);
    tree_put(&(struct recorded){
        .pid = 300, .ppid = 1, .start_ticks = 5000, .comm = "gone", .state = 'Z'});
    /* one of them in no group */
    tally *t = keeping(TALLY_KEEP_HOST, "exclude", "worker");
    const tally_snapshot *s = collect_at(t, 1000);
    const struct {
        enum metric metric;
        uint64_t value;
    } wanted[] = {
        {METRIC_HOST_UPTIME, 123456 * (S / 100)},
        {METRIC_HOST_LOAD_1, 105 * (S / 100)},
        {METRIC_HOST_LOAD_5, S / 2},
        {METRIC_HOST_LOAD_15, 1234 * (S / 100)},
        {METRIC_HOST_USERS, 3},
        {METRIC_HOST_CPUS, 2},
        {METRIC_HOST_CPU_USER, S},
        {METRIC_HOST_CPU_NICE, S / 5},
        {METRIC_HOST_CPU_SYSTEM, 3 * S},
        {METRIC_HOST_CPU_IDLE, 40 * S},
        {METRIC_HOST_CPU_IOWAIT, S / 2},
        {METRIC_HOST_CPU_IRQ, 6 * (S / 100)},
        {METRIC_HOST_CPU_SOFTIRQ, 7 * (S / 100)},
        {METRIC_HOST_CPU_STEAL, 8 * (S / 100)},
        {METRIC_HOST_MEMORY_TOTAL, 1000 * 1024},
        {METRIC_HOST_MEMORY_FREE, 200 * 1024},
        {METRIC_HOST_MEMORY_AVAILABLE, 500 * 1024},
        {METRIC_HOST_MEMORY_BUFFERS, 30 * 1024},
        {METRIC_HOST_MEMORY_CACHED, 100 * 1024},
        {METRIC_HOST_SWAP_TOTAL, 2000 * 1024},
        {METRIC_HOST_SWAP_FREE, 1500 * 1024},
        {METRIC_HOST_TASKS, 3},
        {METRIC_HOST_THREADS, 7},
        {METRIC_HOST_TASKS_RUNNING, 1},
        {METRIC_HOST_TASKS_SLEEPING, 0},
        {METRIC_HOST_TASKS_DISK_SLEEP, 0},
        {METRIC_HOST_TASKS_STOPPED, 1},
        {METRIC_HOST_TASKS_ZOMBIE, 1},
        {METRIC_HOST_TASKS_IDLE, 0},
    };
    ck_assert_uint_eq(sizeof(wanted) / sizeof(wanted[0]), HOST_METRICS);
    for (size_t i = 0; i < HOST_METRICS; i++)
        ck_assert_msg(host_value(s, wanted[i].metric) == wanted[i].value,
                      "%s is %llu, expected %llu", metric_table[wanted[i].metric].metric.id,
                      (unsigned long long)host_value(s, wanted[i].metric),
                      (unsigned long long)wanted[i].value);
    tally_free(t);
}
END_TEST

START_TEST(of_the_host_what_is_not_there_is_not_known) {
    tree_put_host("meminfo", "MemTotal: 1000 kB\nMemFree: 200 kB\nCached: 1 kB\n");
    tree_put_host("loadavg", "so so\n");
    tree_put_host("stat", "cpu  100 20 300 4000 50\ncpu0 0 0 0 0\nbtime 1700000000\n");
    tally *t = keeping(TALLY_KEEP_HOST, NULL, NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(host_value(s, METRIC_HOST_MEMORY_TOTAL), 1000 * 1024);
    static const enum metric unknown[] = {
        METRIC_HOST_UPTIME,       METRIC_HOST_LOAD_1,    METRIC_HOST_LOAD_15,
        METRIC_HOST_USERS,        METRIC_HOST_CPU_IRQ,   METRIC_HOST_MEMORY_AVAILABLE,
        METRIC_HOST_SWAP_TOTAL,   METRIC_HOST_CPU_STEAL, METRIC_HOST_MEMORY_BUFFERS,
    };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        ck_assert_msg(!host_has(s, unknown[i]), "%s is known",
                      metric_table[unknown[i]].metric.id);
    ck_assert_uint_eq(host_value(s, METRIC_HOST_CPU_IOWAIT), S / 2);
    /* and what was known is not kept when it goes */
    tree_put_host("meminfo", "");
    tree_put_host("stat", "nothing of it\n");
    s = collect_at(t, 1010);
    ck_assert(!host_has(s, METRIC_HOST_MEMORY_TOTAL));
    ck_assert(!host_has(s, METRIC_HOST_CPU_USER));
    ck_assert(!host_has(s, METRIC_HOST_CPUS));
    ck_assert_uint_eq(host_value(s, METRIC_HOST_TASKS), 2);
    tally_free(t);

    /* what groups do not show is the host's all the same */
    t = keeping(TALLY_KEEP_HOST, "collect", "no-states,no-threads");
    s = collect_at(t, 1020);
    ck_assert_uint_eq(host_value(s, METRIC_HOST_TASKS_SLEEPING), 2);
    ck_assert_uint_eq(host_value(s, METRIC_HOST_THREADS), 2);
    tally_free(t);
}
END_TEST

int main(void) {
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
#define T(name) {#name, name}
        T(what_is_kept_stays_as_it_was),
        T(a_failure_leaves_the_last_one),
        T(texts_of_groups_are_shared),
        T(one_that_is_not_kept_costs_no_allocation),
        T(memory_grows_by_what_is_kept),
        T(groups_that_are_gone_take_nothing),
        T(intervals_begin_at_what_was_published),
        T(inheriting_changes_nothing_in_the_other),
        T(a_process_that_was_not_shown_before),
        T(processes_only_if_asked_for),
        T(what_a_process_is),
        T(names_of_processes),
        T(switched_off_is_absent),
        T(groups_of_processes),
        T(processes_stand_by_pid),
        T(a_sleeper_keeps_what_it_is),
        T(a_sleeper_that_no_snapshot_has_shown),
        T(a_sleeper_whose_parent_ends),
        T(pss_of_processes),
        T(what_a_brief_look_shows),
        T(texts_are_read_when_asked_for),
        T(texts_of_nobody_else),
        T(the_host),
        T(of_the_host_what_is_not_there_is_not_known),
#undef T
    };
    Suite *suite = suite_create("snapshot");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *tc = add_case(suite, tests[i].name);
        tcase_add_checked_fixture(tc, setup, tree_close);
        tcase_add_test(tc, tests[i].test);
    }
    return run_suite(suite);
}
