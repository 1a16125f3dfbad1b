/* SPDX-License-Identifier: MIT */
/*
 * What the kernel folds from children into their parents, on process tables made by
 * hand. In these tests nothing has been credited to the groups themselves before: what
 * a group shows afterwards is what fold_settle() gave it. The sums are worked out in
 * the comments: the parent's increase, less what the children were credited before
 * (their last values), is the rest that is shared out.
 */
#include "count/fold.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Help -------------------------------------------------------------------------- */

#define K(field) ((field) - FIELD_FOLDED_FIRST)
#define ALL_KNOWN (BIT(FIELD_FOLDED) - 1)

static struct proctable table;
static struct tallies tallies;
static struct fold fold;
static uint32_t now; /* number of the collection */

/* Who is asked for, and whether he lives. */
static uint32_t asked_for[8];
static int asked;
static bool lives;

static bool is_alive(struct source *s, uint32_t pid, uint64_t start_ticks) {
    (void)s;
    ck_assert_uint_ne(start_ticks, 0);
    ck_assert_int_lt(asked, COUNT(asked_for));
    asked_for[asked++] = pid;
    return lives;
}

static const struct source_ops ops = {.is_alive = is_alive};
static struct source source = {.ops = &ops, .name = "stub", .ends = ENDS_BY_FOLDING, .tick_ns = NS_PER_S / 100};

static void setup(void) {
    proctable_init(&table);
    ck_assert_int_eq(tallies_init(&tallies, 100, ~0u, 0), 0);
    fold = (struct fold){0};
    now = 7;
    asked = 0;
    lives = true;
}

static void teardown(void) {
    fail_allocation_at = 0;
    fold_free(&fold);
    tallies_clear(&tallies);
    proctable_clear(&table);
}

static uint32_t group(const char *name) {
    uint32_t index;

    ck_assert_int_eq(
        tallies_group(&tallies, (struct text){name, strlen(name)}, NULL, false, NO_OWNER, &index), 0);
    return index;
}

static struct process *at(process_id id) {
    return proctable_at(&table, id);
}

/* A process that this collection has seen, with all counters known and 0. */
static process_id add(uint32_t pid, uint32_t ppid, uint64_t start_ticks, const char *name) {
    process_id id = proctable_add(&table, pid);

    ck_assert_uint_ne(id, NO_PROCESS);
    at(id)->ppid = ppid;
    at(id)->start_ticks = start_ticks;
    at(id)->group = group(name);
    at(id)->seen = now;
    at(id)->threads = 1;
    at(id)->have = BIT(FIELD_COUNTERS) - 1;
    return id;
}

static void dies(process_id id) {
    at(id)->seen = now - 1;
}

/* As the collector does it: the last values have gone up already. */
static int try_increase(process_id id, uint64_t known, const uint64_t increase[FIELD_FOLDED]) {
    for (size_t k = 0; k < FIELD_FOLDED; k++)
        at(id)->last[FIELD_FOLDED_FIRST + k] += increase[k];
    return fold_increase(&fold, &table, id, increase, known);
}
#define INCREASE_KNOWN(id, known, ...) \
    ck_assert_int_eq(try_increase(id, known, (const uint64_t[FIELD_FOLDED]){__VA_ARGS__}), 0)
#define INCREASE(id, ...) INCREASE_KNOWN(id, ALL_KNOWN, __VA_ARGS__)

#define INTERVAL (10 * NS_PER_S)
/* When the last samples were taken. */
#define SINCE (100 * NS_PER_S)

static int try_settle(uint64_t length_ns) {
    const struct fold_interval interval = {
        .number = now, .since_boot_ns = SINCE, .length_ns = length_ns};
    return fold_settle(&fold, &table, &tallies, &source, &interval);
}

static void settle(void) {
    ck_assert_int_eq(try_settle(INTERVAL), 0);
}

/* The next collection, which sees all that are left. */
static void next_collection(void) {
    fold_begin(&fold);
    now++;
    for (process_id id = proctable_next(&table, 0); id != NO_PROCESS;
         id = proctable_next(&table, id + 1))
        at(id)->seen = now;
}

static uint64_t credited(const char *name, enum metric metric) {
    return tallies.groups[group(name)]->value[metric];
}

static void assert_user(const char *name, uint64_t ns) {
    ck_assert_msg(credited(name, METRIC_CPU_USER) == ns, "%s got %llu, expected %llu", name,
                  (unsigned long long)credited(name, METRIC_CPU_USER), (unsigned long long)ns);
}

static void assert_exits(const char *name, uint64_t count) {
    ck_assert_uint_eq(credited(name, METRIC_EXITS), count);
}

/* ---- One parent ------------------------------------------------------------------------ */

START_TEST(what_a_known_child_did_at_last_is_its_groups) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    at(child)->last[FIELD_UTIME_NS] = 30;
    at(child)->last[FIELD_STIME_NS] = 10;
    at(child)->last[FIELD_MINFLT] = 100;
    at(child)->last[FIELD_MAJFLT] = 1;
    dies(child);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 50, [K(FIELD_CSTIME_NS)] = 15,
             [K(FIELD_CMINFLT)] = 130, [K(FIELD_CMAJFLT)] = 3);
    settle();
    /* 50 - 30, 15 - 10, 130 - 100, 3 - 1 */
    ck_assert_uint_eq(credited("child", METRIC_CPU_USER), 20);
    ck_assert_uint_eq(credited("child", METRIC_CPU_SYSTEM), 5);
    ck_assert_uint_eq(credited("child", METRIC_FAULTS_MINOR), 30);
    ck_assert_uint_eq(credited("child", METRIC_FAULTS_MAJOR), 2);
    assert_exits("child", 1);
    for (enum metric m = 0; m < METRICS_OF_GROUP; m++)
        ck_assert_uint_eq(credited("parent", m), 0);
    /* and it is gone */
    ck_assert_uint_eq(table.count, 1);
    ck_assert_uint_eq(proctable_find(&table, 20), NO_PROCESS);
    ck_assert_ptr_null(at(parent)->pending);
    /* both are in the CPU use of the collection */
    ck_assert_uint_eq(tallies.cpu_ns, 25);
}
END_TEST

START_TEST(children_that_nobody_saw_are_the_parents) {
    process_id parent = add(10, 1, 10, "parent");

    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 50, [K(FIELD_CSTIME_NS)] = 15,
             [K(FIELD_CMINFLT)] = 130, [K(FIELD_CMAJFLT)] = 3, [K(FIELD_DISK_READ_BYTES)] = 4096);
    settle();
    ck_assert_uint_eq(credited("parent", METRIC_CPU_USER), 50);
    ck_assert_uint_eq(credited("parent", METRIC_CPU_SYSTEM), 15);
    ck_assert_uint_eq(credited("parent", METRIC_FAULTS_MINOR), 130);
    ck_assert_uint_eq(credited("parent", METRIC_FAULTS_MAJOR), 3);
    ck_assert_uint_eq(credited("parent", METRIC_DISK_READ), 4096);
    assert_exits("parent", 0);
}
END_TEST

/* It can't have run for longer than the interval on each of its threads. */
START_TEST(a_child_gets_no_more_than_it_can_have_used) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    at(child)->threads = 2;
    dies(child);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 60 * NS_PER_S, [K(FIELD_CSTIME_NS)] = 20 * NS_PER_S,
             [K(FIELD_CMINFLT)] = 100);
    settle();
    /* 20 s of 80 s are a quarter, of everything */
    ck_assert_uint_eq(credited("child", METRIC_CPU_USER), 15 * NS_PER_S);
    ck_assert_uint_eq(credited("child", METRIC_CPU_SYSTEM), 5 * NS_PER_S);
    ck_assert_uint_eq(credited("child", METRIC_FAULTS_MINOR), 25);
    ck_assert_uint_eq(credited("parent", METRIC_CPU_USER), 45 * NS_PER_S);
    ck_assert_uint_eq(credited("parent", METRIC_CPU_SYSTEM), 15 * NS_PER_S);
    ck_assert_uint_eq(credited("parent", METRIC_FAULTS_MINOR), 75);
}
END_TEST

/* The number of threads was never read: it had one. A product that is too large for 64
 * bits is no limit. */
START_TEST(odd_limits) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    at(child)->threads = 0;
    dies(child);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 15 * NS_PER_S);
    settle();
    assert_user("child", 10 * NS_PER_S);
    assert_user("parent", 5 * NS_PER_S);

    child = add(21, 10, 21, "many");
    at(child)->threads = 3;
    next_collection();
    dies(child);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 100 * NS_PER_S);
    ck_assert_int_eq(try_settle(UINT64_MAX / 2), 0);
    assert_user("many", 100 * NS_PER_S);
    assert_user("parent", 5 * NS_PER_S);
}
END_TEST

START_TEST(two_children_share) {
    process_id parent = add(10, 1, 10, "parent");
    process_id a = add(20, 10, 20, "a"), b = add(21, 10, 21, "b");

    at(a)->last[FIELD_UTIME_NS] = 30;
    at(b)->last[FIELD_UTIME_NS] = 70;
    dies(a);
    dies(b);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 120, [K(FIELD_CMINFLT)] = 9);
    settle();
    /* 120 - 30 - 70 = 20, for each a half; of 9 faults 4, and 1 is left */
    assert_user("a", 10);
    assert_user("b", 10);
    assert_user("parent", 0);
    ck_assert_uint_eq(credited("a", METRIC_FAULTS_MINOR), 4);
    ck_assert_uint_eq(credited("b", METRIC_FAULTS_MINOR), 4);
    ck_assert_uint_eq(credited("parent", METRIC_FAULTS_MINOR), 1);
}
END_TEST

/* Without CPU time there is nothing to share faults out by. */
START_TEST(faults_alone_are_shared_evenly) {
    process_id parent = add(10, 1, 10, "parent");
    process_id a = add(20, 10, 20, "a"), b = add(21, 10, 21, "b");

    at(a)->last[FIELD_MINFLT] = 40;
    dies(a);
    dies(b);
    INCREASE(parent, [K(FIELD_CMINFLT)] = 51, [K(FIELD_CMAJFLT)] = 1);
    settle();
    /* 51 - 40 = 11, of which each gets 5; half a major fault is none */
    ck_assert_uint_eq(credited("a", METRIC_FAULTS_MINOR), 5);
    ck_assert_uint_eq(credited("b", METRIC_FAULTS_MINOR), 5);
    ck_assert_uint_eq(credited("parent", METRIC_FAULTS_MINOR), 1);
    ck_assert_uint_eq(credited("parent", METRIC_FAULTS_MAJOR), 1);
}
END_TEST

/* Whatever order they stand in: the one that can take the least comes first. */
START_TEST(who_can_take_least_comes_first) {
    process_id parent = add(10, 1, 10, "parent");
    process_id first = add(20, 10, 20, _i ? "four" : "one");
    process_id second = add(21, 10, 21, _i ? "one" : "four");
    process_id one = _i ? second : first, four = _i ? first : second;

    at(one)->threads = 1;
    at(four)->threads = 4;
    dies(one);
    dies(four);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 20 * NS_PER_S);
    ck_assert_int_eq(try_settle(4 * NS_PER_S), 0);
    assert_user("one", 4 * NS_PER_S);
    assert_user("four", 16 * NS_PER_S);
    assert_user("parent", 0);
}
END_TEST

/* A sleep and an awk that nobody saw: the page faults are those of a program. */
START_TEST(a_sleeper_does_not_get_what_the_unseen_used) {
    process_id parent = add(10, 1, 10, "parent");
    process_id sleeper = add(20, 10, 9950, "sleep"); /* half a second before SINCE */

    at(sleeper)->state = 'S';
    at(sleeper)->last[FIELD_STIME_NS] = 10000000; /* a tick, by chance */
    dies(sleeper);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 1200000000, [K(FIELD_CSTIME_NS)] = 10000000,
             [K(FIELD_CMINFLT)] = 300);
    ck_assert_int_eq(try_settle(NS_PER_S), 0);
    /* not more than ten times as busy as in a second before: 0.1 s */
    assert_user("sleep", 100000000);
    assert_user("parent", 1100000000);
    assert_exits("sleep", 1);
}
END_TEST

/* Nobody else came and went: it was the sleeper after all. */
START_TEST(a_sleeper_that_was_alone_gets_it_all) {
    process_id parent = add(10, 1, 10, "parent"), sleeper = add(20, 10, 20, "sleep");

    at(sleeper)->state = 'S';
    dies(sleeper);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 3 * NS_PER_S, [K(FIELD_CMINFLT)] = 39);
    settle();
    assert_user("sleep", 3 * NS_PER_S);
    assert_user("parent", 0);
}
END_TEST

/* Who ran when it was seen last goes first; a zombie has used all that it ever will. */
START_TEST(who_was_busy_gets_it) {
    process_id parent = add(10, 1, 10, "parent");
    process_id busy = add(20, 10, 20, "busy"), idle = add(21, 10, 21, "idle");
    process_id zombie = add(22, 10, 22, "zombie"), half = add(23, 10, 9000, "half");

    at(busy)->state = 'R';
    at(idle)->state = 'S';
    at(zombie)->state = 'Z';
    at(half)->state = 'S';
    at(half)->last[FIELD_CUTIME_NS] = NS_PER_S / 2; /* of ten: it waits for children */
    dies(busy);
    dies(idle);
    dies(zombie);
    dies(half);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 13 * NS_PER_S + NS_PER_S / 2,
             [K(FIELD_CMINFLT)] = 1000);
    settle();
    /* 13 s: two ticks for the zombie, 5 s (half of the interval) for the half busy one */
    assert_user("zombie", 20000000);
    assert_user("idle", 0);
    assert_user("half", 5 * NS_PER_S);
    assert_user("busy", 13 * NS_PER_S - 5 * NS_PER_S - 20000000);
    assert_user("parent", 0);
}
END_TEST

/* It was seen, but nobody could tell what it was: it was its parent's copy. */
START_TEST(who_was_never_counted_is_its_parents) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    at(child)->group = GROUP_LEFT_OUT;
    at(child)->have = 0;
    dies(child);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 50, [K(FIELD_CMINFLT)] = 90);
    settle();
    assert_user("parent", 50);
    assert_exits("parent", 1);
    ck_assert_uint_eq(credited("parent", METRIC_STARTS), 1);
    ck_assert_uint_eq(tallies.groups[GROUP_LEFT_OUT]->value[METRIC_EXITS], 0);
}
END_TEST

START_TEST(parents_do_not_mix) {
    process_id p = add(10, 1, 10, "p"), q = add(11, 1, 11, "q"), r = add(12, 1, 12, "r");
    process_id a = add(20, 10, 20, "a"), b = add(21, 11, 21, "b"), c = add(22, 10, 22, "c");

    at(a)->last[FIELD_UTIME_NS] = 1;
    at(b)->last[FIELD_UTIME_NS] = 2;
    at(c)->last[FIELD_UTIME_NS] = 4;
    dies(a);
    dies(b);
    dies(c);
    INCREASE(r, [K(FIELD_CUTIME_NS)] = 1000);
    INCREASE(q, [K(FIELD_CUTIME_NS)] = 200);
    INCREASE(p, [K(FIELD_CUTIME_NS)] = 25);
    settle();
    assert_user("a", 10); /* 25 - 1 - 4 = 20, a half */
    assert_user("c", 10);
    assert_user("b", 198); /* 200 - 2 */
    assert_user("r", 1000);
    assert_user("p", 0);
    assert_user("q", 0);
}
END_TEST

/* What was never read was never credited either. */
START_TEST(a_child_that_could_not_be_read) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    at(child)->last[FIELD_UTIME_NS] = 30; /* not valid */
    at(child)->have = 0;
    dies(child);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 50);
    settle();
    assert_user("child", 50);
}
END_TEST

/* ---- I/O ------------------------------------------------------------------------------- */

/* The parent's own and its children's are in one number. */
START_TEST(childrens_io_is_not_counted_twice) {
    static const enum metric metrics[] = {METRIC_IO_READ,  METRIC_IO_WRITTEN, METRIC_IO_READS,
                                          METRIC_IO_WRITES, METRIC_DISK_READ, METRIC_DISK_WRITTEN};
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");
    uint64_t increase[FIELD_FOLDED] = {[K(FIELD_CMINFLT)] = 1};

    for (size_t i = 0; i < 6; i++) {
        at(child)->last[FIELD_IO_READ_BYTES + i] = 1000 + i;
        increase[K(FIELD_IO_READ_BYTES) + i] = 1500 + 2 * i;
    }
    dies(child);
    ck_assert_int_eq(try_increase(parent, ALL_KNOWN, increase), 0);
    settle();
    for (size_t i = 0; i < 6; i++) {
        ck_assert_uint_eq(credited("parent", metrics[i]), 500 + i);
        ck_assert_uint_eq(credited("child", metrics[i]), 0);
    }
}
END_TEST

/* Where the kernel keeps a child's to itself, the parent's number is all its own. */
START_TEST(what_is_kept_apart_is_not_taken_off) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    source.keeps_apart = BIT(FIELD_CMINFLT) | BIT(FIELD_DISK_READ_BYTES);
    at(child)->last[FIELD_UTIME_NS] = 40;
    at(child)->last[FIELD_MINFLT] = 300;
    at(child)->last[FIELD_DISK_READ_BYTES] = 1000;
    dies(child);
    INCREASE_KNOWN(parent, ALL_KNOWN & ~BIT(K(FIELD_CMINFLT)), [K(FIELD_CUTIME_NS)] = 45,
                   [K(FIELD_DISK_READ_BYTES)] = 1500);
    settle();
    assert_user("child", 5);
    ck_assert_uint_eq(credited("parent", METRIC_DISK_READ), 1500);
    ck_assert_uint_eq(credited("parent", METRIC_FAULTS_MINOR), 0);
    ck_assert_ptr_null(at(parent)->pending); /* nothing is waited for */
    source.keeps_apart = 0;
}
END_TEST

/* ---- Chains ----------------------------------------------------------------------------- */

/* All but the first end in one interval. The parent had reaped one before, whose 3 are
 * in its own cutime and go up with it. */
START_TEST(grandchildren_are_in_it_too) {
    process_id above = add(10, 1, 10, "above");
    process_id parent = add(20, 10, 20, "parent"), child = add(30, 20, 30, "child");

    at(parent)->last[FIELD_UTIME_NS] = 7;
    at(parent)->last[FIELD_CUTIME_NS] = 3;
    at(child)->last[FIELD_UTIME_NS] = 5;
    dies(parent);
    dies(child);
    INCREASE(above, [K(FIELD_CUTIME_NS)] = 39);
    settle();
    /* 39 - (7 + 3) - 5 = 24 */
    assert_user("parent", 12);
    assert_user("child", 12);
    assert_user("above", 0);
    ck_assert_uint_eq(table.count, 1);
}
END_TEST

/* The parent ended first, so that not its own parent but init reaped the child. */
START_TEST(an_orphan_is_reaped_by_init) {
    process_id init = add(1, 0, 1, "init"), above = add(10, 1, 10, "above");
    process_id parent = add(20, 10, 20, "parent"), child = add(30, 20, 30, "child");

    at(parent)->last[FIELD_UTIME_NS] = 7;
    at(child)->last[FIELD_UTIME_NS] = 5;
    dies(parent);
    dies(child);
    INCREASE(init, [K(FIELD_CUTIME_NS)] = 6);
    INCREASE(above, [K(FIELD_CUTIME_NS)] = 7);
    settle();
    /* at first both are looked for in `above`: 7 + 5. It shows 7; the 5 that came by
     * way of another are found in init, which shows 6 */
    assert_user("above", 0);
    assert_user("init", 1);
    assert_user("parent", 0);
    assert_user("child", 0);
    ck_assert_ptr_null(at(above)->pending);
    ck_assert_ptr_null(at(init)->pending);
}
END_TEST

/* A subreaper and init each took in a part, the rest is to show yet. */
START_TEST(what_orphans_left_is_spread_upward) {
    process_id init = add(1, 0, 1, "init"), reaper = add(5, 1, 5, "reaper");
    process_id above = add(10, 5, 10, "above"), parent = add(20, 10, 20, "parent");
    process_id child = add(30, 20, 30, "child");

    at(parent)->last[FIELD_UTIME_NS] = 7;
    at(child)->last[FIELD_UTIME_NS] = 9;
    dies(parent);
    dies(child);
    INCREASE(reaper, [K(FIELD_CUTIME_NS)] = 4);
    INCREASE(init, [K(FIELD_CUTIME_NS)] = 3);
    settle();
    /* `above` shows nothing of 7 + 9. Of the 9, which can be further up, 4 and 3 are;
     * 16 - 4 - 3 = 9 are owed, 9 - 4 - 3 = 2 of them perhaps by somebody above */
    assert_user("reaper", 0);
    assert_user("init", 0);
    ck_assert_ptr_nonnull(at(above)->pending);
    ck_assert_uint_eq(at(above)->pending->all[K(FIELD_CUTIME_NS)], 9);
    ck_assert_uint_eq(at(above)->pending->via_ancestor[K(FIELD_CUTIME_NS)], 2);
    next_collection();
    INCREASE(above, [K(FIELD_CUTIME_NS)] = 7);
    INCREASE(init, [K(FIELD_CUTIME_NS)] = 3);
    settle();
    assert_user("above", 0);
    assert_user("init", 1); /* 3 - 2 */
    ck_assert_ptr_null(at(above)->pending);
}
END_TEST

/* What came to a parent directly is not looked for anywhere else. */
START_TEST(a_child_is_not_looked_for_above_its_parent) {
    process_id init = add(1, 0, 1, "init"), parent = add(10, 1, 10, "parent");
    process_id child = add(20, 10, 20, "child");

    at(child)->last[FIELD_UTIME_NS] = 5;
    dies(child);
    INCREASE(init, [K(FIELD_CUTIME_NS)] = 6);
    settle();
    assert_user("init", 6);
    ck_assert_ptr_nonnull(at(parent)->pending);
    ck_assert_uint_eq(at(parent)->pending->all[K(FIELD_CUTIME_NS)], 5);
    ck_assert_uint_eq(at(parent)->pending->via_ancestor[K(FIELD_CUTIME_NS)], 0);
}
END_TEST

START_TEST(whose_parent_nobody_knows_is_inits) {
    process_id init = add(1, 0, 1, "init"), child = add(30, 77, 30, "child");

    at(child)->last[FIELD_UTIME_NS] = 25;
    dies(child);
    INCREASE(init, [K(FIELD_CUTIME_NS)] = 30);
    settle();
    assert_user("child", 5);
    assert_user("init", 0);
}
END_TEST

START_TEST(nobody_is_left_to_take_it_in) {
    process_id child = add(30, 77, 30, "child"), orphan = add(31, 1, 31, "child");

    at(child)->last[FIELD_UTIME_NS] = 25;
    dies(child);
    dies(orphan);
    settle();
    assert_user("child", 0);
    assert_exits("child", 2);
    ck_assert_uint_eq(table.count, 0);
}
END_TEST

/* The pid of the parent belongs to another by now, who takes in nothing. */
START_TEST(a_parent_whose_pid_was_used_again) {
    process_id above = add(5, 1, 5, "above"), parent = add(10, 5, 10, "parent");
    process_id other = add(10, 5, 500, "other"), child = add(30, 10, 200, "child");

    at(parent)->last[FIELD_UTIME_NS] = 7;
    at(child)->last[FIELD_UTIME_NS] = 5;
    dies(parent);
    dies(child);
    INCREASE(above, [K(FIELD_CUTIME_NS)] = 20);
    INCREASE(other, [K(FIELD_CUTIME_NS)] = 2);
    settle();
    /* 20 - 7 - 5 = 8 */
    assert_user("parent", 4);
    assert_user("child", 4);
    assert_user("above", 0);
    assert_user("other", 2);
    ck_assert_uint_eq(proctable_find(&table, 10), other);
}
END_TEST

/* With SIGCHLD ignored the kernel folds nothing: what the parent shows is of another
 * child, which it waited for before it came to that. */
START_TEST(a_parent_that_ignores_its_children) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    at(parent)->ignores_children = true;
    at(child)->last[FIELD_UTIME_NS] = 30;
    dies(child);
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 50);
    settle();
    assert_user("parent", 50);
    assert_user("child", 0);
    assert_exits("child", 1);
    ck_assert_ptr_null(at(parent)->pending);
}
END_TEST

/* ---- From one collection to the next ------------------------------------------------------ */

static process_id one_that_is_owed(void) {
    process_id parent = add(10, 1, 10, "parent"), child = add(20, 10, 20, "child");

    at(child)->last[FIELD_UTIME_NS] = 30;
    at(child)->last[FIELD_IO_READ_BYTES] = 1000;
    dies(child);
    settle(); /* the child ended when the parent had been read already */
    ck_assert_ptr_nonnull(at(parent)->pending);
    ck_assert_uint_eq(at(parent)->pending->all[K(FIELD_CUTIME_NS)], 30);
    ck_assert_uint_eq(at(parent)->pending->all[K(FIELD_IO_READ_BYTES)], 1000);
    ck_assert_uint_eq(at(parent)->pending->all[K(FIELD_CSTIME_NS)], 0);
    next_collection();
    return parent;
}

START_TEST(what_is_owed_shows_the_next_time) {
    process_id parent = one_that_is_owed();

    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 35, [K(FIELD_IO_READ_BYTES)] = 1500);
    settle();
    assert_user("parent", 5);
    ck_assert_uint_eq(credited("parent", METRIC_IO_READ), 500);
    ck_assert_ptr_null(at(parent)->pending);
}
END_TEST

/* Not more than once: if it does not show, the kernel never folded it. */
START_TEST(what_is_owed_is_forgotten) {
    process_id parent = one_that_is_owed();

    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 10);
    settle();
    assert_user("parent", 0);
    ck_assert_ptr_null(at(parent)->pending);
    next_collection();
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 35);
    settle();
    assert_user("parent", 35);
}
END_TEST

/* It could not be read, so it could not show either. */
START_TEST(what_is_owed_waits_until_it_is_read) {
    process_id parent = one_that_is_owed();

    INCREASE_KNOWN(parent, 0, 0);
    settle();
    ck_assert_ptr_nonnull(at(parent)->pending);
    ck_assert_uint_eq(at(parent)->pending->all[K(FIELD_CUTIME_NS)], 30);
    next_collection();
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 35, [K(FIELD_IO_READ_BYTES)] = 1500);
    settle();
    assert_user("parent", 5);
    ck_assert_uint_eq(credited("parent", METRIC_IO_READ), 500);
}
END_TEST

START_TEST(what_is_owed_goes_up_with_its_debtor) {
    process_id above = add(5, 1, 5, "above"), parent = one_that_is_owed();

    at(parent)->ppid = 5;
    at(parent)->last[FIELD_UTIME_NS] = 7;
    dies(parent);
    INCREASE(above, [K(FIELD_CUTIME_NS)] = 40);
    settle();
    assert_user("parent", 3); /* 40 - 7 - 30 */
    assert_user("above", 0);
}
END_TEST

START_TEST(orphans_get_another_parent) {
    process_id above = add(10, 1, 10, "above"), parent = add(20, 10, 20, "parent");
    process_id child = add(30, 20, 30, "child"), other = add(40, 10, 40, "other");

    at(child)->asleep = at(other)->asleep = true;
    dies(parent);
    settle();
    ck_assert_uint_eq(at(child)->ppid, at(above)->pid);
    ck_assert(at(child)->orphan);
    ck_assert(!at(child)->asleep); /* it is read again, which shows who it is */
    ck_assert_uint_eq(at(other)->ppid, 10);
    ck_assert(!at(other)->orphan);
    ck_assert(at(other)->asleep);

    /* nobody known is left above */
    next_collection();
    dies(above);
    settle();
    ck_assert_uint_eq(at(child)->ppid, 1);
    ck_assert_uint_eq(at(other)->ppid, 1);
    ck_assert(at(other)->orphan);
}
END_TEST

/* It is said to be a child of its nearest living ancestor, but who reaps it may stand
 * above that. */
START_TEST(an_orphan_that_ends_later) {
    process_id init = add(1, 0, 1, "init"), above = add(10, 1, 10, "above");
    process_id parent = add(20, 10, 20, "parent"), child = add(30, 20, 30, "child");

    at(child)->last[FIELD_UTIME_NS] = 5;
    dies(parent);
    settle();
    next_collection();
    dies(child);
    INCREASE(init, [K(FIELD_CUTIME_NS)] = 6);
    settle();
    assert_user("init", 1); /* 6 - 5 */
    ck_assert_ptr_null(at(above)->pending);
}
END_TEST

/* ---- Children that were read before their parents ------------------------------------------ */

/* Where pids have wrapped around. The child was seen alive, then the parent that had
 * reaped it. */
START_TEST(an_early_child_is_looked_at_again) {
    process_id child = add(15, 40, 200, "child"), parent = add(40, 1, 100, "parent");
    process_id late = add(50, 40, 300, "late");

    at(child)->last[FIELD_UTIME_NS] = 30;
    lives = _i;
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 50, [K(FIELD_CMINFLT)] = 1);
    settle();
    /* the one with the higher pid was read later: it was not reaped before */
    ck_assert_int_eq(asked, 1);
    ck_assert_uint_eq(asked_for[0], 15);
    ck_assert_uint_eq(proctable_find(&table, 50), late);
    if (lives) {
        assert_user("parent", 50);
        assert_exits("child", 0);
    } else {
        assert_user("child", 20);
        assert_user("parent", 0);
        assert_exits("child", 1);
    }
}
END_TEST

/* Every process has page faults: none of its children was reaped. */
START_TEST(nobody_is_asked_without_need) {
    add(15, 40, 200, "child");
    process_id parent = add(40, 1, 100, "parent");

    INCREASE(parent, [K(FIELD_IO_READ_BYTES)] = 50);
    settle();
    ck_assert_int_eq(asked, 0);
    next_collection();
    settle();
    ck_assert_int_eq(asked, 0);
}
END_TEST

/* ---- When a collection fails ----------------------------------------------------------------- */

START_TEST(undone) {
    process_id parent = add(10, 1, 10, "parent"), other = add(11, 1, 11, "other");

    at(parent)->last[FIELD_CUTIME_NS] = 1000;
    at(parent)->last[FIELD_IO_READ_BYTES] = 2000;
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 50, [K(FIELD_IO_READ_BYTES)] = 60);
    INCREASE(other, [K(FIELD_CMINFLT)] = 70);
    fold_undo(&fold, &table);
    ck_assert_uint_eq(at(parent)->last[FIELD_CUTIME_NS], 1000);
    ck_assert_uint_eq(at(parent)->last[FIELD_IO_READ_BYTES], 2000);
    ck_assert_uint_eq(at(other)->last[FIELD_CMINFLT], 0);
    settle();
    ck_assert_uint_eq(credited("parent", METRIC_CPU_USER), 0);
    ck_assert_uint_eq(credited("other", METRIC_FAULTS_MINOR), 0);
    /* and it is seen anew the next time */
    next_collection();
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 55);
    settle();
    assert_user("parent", 55);
}
END_TEST

START_TEST(what_is_owed_survives_an_undone_collection) {
    process_id parent = one_that_is_owed();

    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 35);
    fold_undo(&fold, &table);
    next_collection();
    INCREASE(parent, [K(FIELD_CUTIME_NS)] = 35, [K(FIELD_IO_READ_BYTES)] = 1500);
    settle();
    assert_user("parent", 5);
    ck_assert_uint_eq(credited("parent", METRIC_IO_READ), 500);
}
END_TEST

/* Whatever allocation fails: nothing is credited and nobody is removed, and when there
 * is memory again the figures are as they should be. */
START_TEST(all_or_nothing) {
    int failed = 0;

    for (long fail_at = 1;; fail_at++) {
        teardown();
        setup();
        process_id init = add(1, 0, 1, "init"), above = add(10, 1, 10, "above");
        process_id parent = add(20, 10, 20, "parent"), child = add(30, 20, 30, "child");
        at(parent)->last[FIELD_UTIME_NS] = 7;
        at(child)->last[FIELD_UTIME_NS] = 5;
        dies(parent);
        dies(child);
        INCREASE(init, [K(FIELD_CUTIME_NS)] = 6);
        /* `above` has no entry: it is made */
        allocations = 0;
        fail_allocation_at = fail_at;
        int r = try_settle(INTERVAL);
        bool done = allocations < fail_at;
        fail_allocation_at = 0;
        if (r == -ENOMEM) {
            failed++;
            ck_assert_uint_eq(table.count, 4);
            ck_assert_uint_eq(tallies.cpu_ns, 0);
            assert_exits("child", 0);
            fold_undo(&fold, &table);
            ck_assert_uint_eq(at(init)->last[FIELD_CUTIME_NS], 0);
            /* the next collection sees the same, and what `above` took in meanwhile */
            INCREASE(init, [K(FIELD_CUTIME_NS)] = 6);
            INCREASE(above, [K(FIELD_CUTIME_NS)] = 7);
            settle();
        } else {
            ck_assert_int_eq(r, 0);
        }
        assert_user("init", 1); /* 6 - 5 */
        assert_user("above", 0);
        assert_user("parent", 0);
        assert_user("child", 0);
        assert_exits("parent", 1);
        assert_exits("child", 1);
        ck_assert_uint_eq(table.count, 2);
        if (done)
            break;
    }
    ck_assert_int_gt(failed, 0);
}
END_TEST

/* The collector takes an increase only if there is room for it. */
START_TEST(no_memory_for_an_increase) {
    process_id parent = add(10, 1, 10, "parent");
    static const uint64_t increase[FIELD_FOLDED] = {50};

    for (long fail_at = 1; fail_at <= 2; fail_at++) { /* entries, credits */
        allocations = 0;
        fail_allocation_at = fail_at;
        int r = fold_reserve(&fold);
        fail_allocation_at = 0;
        ck_assert_int_eq(r, -ENOMEM);
        ck_assert_uint_eq(fold.count, 0);
        fold_undo(&fold, &table);
        ck_assert_uint_eq(at(parent)->last[FIELD_CUTIME_NS], 0);
    }
    ck_assert_int_eq(fold_reserve(&fold), 0);
    allocations = 0;
    fail_allocation_at = 1;
    int r = try_increase(parent, ALL_KNOWN, increase);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(allocations, 0);
    ck_assert_uint_eq(at(parent)->last[FIELD_CUTIME_NS], 50);
    settle();
    assert_user("parent", 50);
}
END_TEST

/* More than there is room for at first. */
START_TEST(many_parents) {
    for (uint32_t i = 0; i < 500; i++) {
        process_id parent = add(1000 + 2 * i, 1, 10, "parents");
        process_id child = add(1001 + 2 * i, 1000 + 2 * i, 20, "children");
        at(child)->last[FIELD_UTIME_NS] = i;
        dies(child);
        INCREASE(parent, [K(FIELD_CUTIME_NS)] = 2 * i + 1);
    }
    settle();
    /* 2i + 1 - i, from 1 to 500 */
    assert_user("children", 500 * 501 / 2);
    assert_user("parents", 0);
    assert_exits("children", 500);
    ck_assert_uint_eq(table.count, 500);
}
END_TEST

static TCase *add_open_case(Suite *suite, const char *name) {
    TCase *tc = add_case(suite, name);

    tcase_add_checked_fixture(tc, setup, teardown);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("fold");
    TCase *tc;

    tc = add_open_case(suite, "one parent");
    tcase_add_test(tc, what_a_known_child_did_at_last_is_its_groups);
    tcase_add_test(tc, children_that_nobody_saw_are_the_parents);
    tcase_add_test(tc, a_child_gets_no_more_than_it_can_have_used);
    tcase_add_test(tc, odd_limits);
    tcase_add_test(tc, two_children_share);
    tcase_add_test(tc, faults_alone_are_shared_evenly);
    tcase_add_loop_test(tc, who_can_take_least_comes_first, 0, 2);
    tcase_add_test(tc, a_sleeper_does_not_get_what_the_unseen_used);
    tcase_add_test(tc, a_sleeper_that_was_alone_gets_it_all);
    tcase_add_test(tc, who_was_busy_gets_it);
    tcase_add_test(tc, who_was_never_counted_is_its_parents);
    tcase_add_test(tc, parents_do_not_mix);
    tcase_add_test(tc, a_child_that_could_not_be_read);
    tcase_add_test(tc, childrens_io_is_not_counted_twice);
    tcase_add_test(tc, what_is_kept_apart_is_not_taken_off);
    tc = add_open_case(suite, "chains");
    tcase_add_test(tc, grandchildren_are_in_it_too);
    tcase_add_test(tc, an_orphan_is_reaped_by_init);
    tcase_add_test(tc, what_orphans_left_is_spread_upward);
    tcase_add_test(tc, a_child_is_not_looked_for_above_its_parent);
    tcase_add_test(tc, whose_parent_nobody_knows_is_inits);
    tcase_add_test(tc, nobody_is_left_to_take_it_in);
    tcase_add_test(tc, a_parent_whose_pid_was_used_again);
    tcase_add_test(tc, a_parent_that_ignores_its_children);
    tc = add_open_case(suite, "over time");
    tcase_add_test(tc, what_is_owed_shows_the_next_time);
    tcase_add_test(tc, what_is_owed_is_forgotten);
    tcase_add_test(tc, what_is_owed_waits_until_it_is_read);
    tcase_add_test(tc, what_is_owed_goes_up_with_its_debtor);
    tcase_add_test(tc, orphans_get_another_parent);
    tcase_add_test(tc, an_orphan_that_ends_later);
    tc = add_open_case(suite, "early children");
    tcase_add_loop_test(tc, an_early_child_is_looked_at_again, 0, 2);
    tcase_add_test(tc, nobody_is_asked_without_need);
    tc = add_open_case(suite, "failures");
    tcase_add_test(tc, undone);
    tcase_add_test(tc, what_is_owed_survives_an_undone_collection);
    tcase_add_test(tc, all_or_nothing);
    tcase_add_test(tc, no_memory_for_an_increase);
    tcase_add_test(tc, many_parents);
    return run_suite(suite);
}
