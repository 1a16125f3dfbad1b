/* SPDX-License-Identifier: MIT */
/* Totals over all threads a process ever had: threads that end, come, are missed by
 * a listing, and are read in parts. */
#include "source/linux/thread_totals.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

/* ---- Help ------------------------------------------------------------------------- */

#define PID 100
#define START 5000

static struct thread_totals *totals;

static void setup(void) {
    ck_assert_int_eq(thread_totals_new(&totals), 0);
}

static void teardown(void) {
    fail_allocation_at = 0;
    totals = thread_totals_free(totals);
    ck_assert_ptr_null(totals);
}

/* A thread as it is read; the other two figures are three and ten times the first. */
struct read {
    uint32_t tid;
    uint64_t voluntary;
};

static struct thread_values values_of(uint64_t voluntary) {
    return (struct thread_values){voluntary, 3 * voluntary, 10 * voluntary, true};
}

/* The numbers of threads that are alive though no listing had them; ended by 0. */
static uint32_t hidden[4];

static bool is_hidden(void *data, uint32_t tid) {
    ck_assert_ptr_eq(data, hidden);
    for (int i = 0; hidden[i]; i++)
        if (hidden[i] == tid)
            return true;
    return false;
}

/* One part of a reading. Returns whether the totals are known, and checks them. */
static bool read_part(bool first, bool last, uint64_t total, const struct read *threads,
                      size_t count) {
    struct thread_values got = {0};

    ck_assert_int_eq(thread_totals_begin(totals, PID, START, first), 0);
    for (size_t i = 0; i < count; i++) {
        const struct thread_values values = values_of(threads[i].voluntary);
        ck_assert_int_eq(thread_totals_add(totals, threads[i].tid, &values), 0);
    }
    bool known = thread_totals_end(totals, last ? is_hidden : NULL, hidden, &got);
    ck_assert_uint_eq(got.voluntary_switches, total);
    ck_assert_uint_eq(got.involuntary_switches, 3 * total);
    ck_assert_uint_eq(got.run_queue_wait_ns, 10 * total);
    return known;
}
#define READ_PART(first, last, total, ...)                                             \
    read_part(first, last, total, (const struct read[]){__VA_ARGS__},                  \
              sizeof((const struct read[]){__VA_ARGS__}) / sizeof(struct read))
/* All threads at once. */
#define READ(total, ...) ck_assert(READ_PART(true, true, total, __VA_ARGS__))

/* ---- Totals ------------------------------------------------------------------------ */

START_TEST(increases_add_up) {
    READ(60, {100, 10}, {101, 20}, {102, 30});
    READ(60, {100, 10}, {101, 20}, {102, 30});
    READ(66, {100, 11}, {101, 22}, {102, 33});
}
END_TEST

START_TEST(what_an_ended_thread_did_stays) {
    READ(60, {100, 10}, {101, 20}, {102, 30});
    READ(61, {100, 11}, {102, 30}); /* 101 has ended */
    READ(61, {100, 11});
    READ(70, {100, 20});
}
END_TEST

START_TEST(a_new_thread_counts_whole) {
    READ(10, {100, 10});
    READ(17, {100, 10}, {101, 7});
    /* also between others, and before them */
    READ(22, {99, 2}, {100, 11}, {101, 8}, {150, 1});
    READ(22, {99, 2}, {100, 11}, {101, 8}, {150, 1});
}
END_TEST

/* The kernel gives numbers again, and /proc does not say when a thread started. What
 * is lower than before is another thread's. */
START_TEST(a_number_that_is_given_again) {
    READ(30, {100, 10}, {101, 20});
    READ(35, {100, 10}, {101, 5}); /* another 101: 5 of its own */
    READ(36, {100, 10}, {101, 6});
    /* one that was seen to end has no past */
    READ(36, {100, 10});
    READ(86, {100, 10}, {101, 50});
}
END_TEST

/* Each figure for itself. */
START_TEST(one_figure_alone_is_lower) {
    struct thread_values got, first = {10, 100, 1000, true}, second = {11, 1, 1003, true};

    ck_assert_int_eq(thread_totals_begin(totals, PID, START, true), 0);
    ck_assert_int_eq(thread_totals_add(totals, PID, &first), 0);
    thread_totals_end(totals, is_hidden, hidden, &got);
    ck_assert_int_eq(thread_totals_begin(totals, PID, START, true), 0);
    ck_assert_int_eq(thread_totals_add(totals, PID, &second), 0);
    thread_totals_end(totals, is_hidden, hidden, &got);
    ck_assert_uint_eq(got.voluntary_switches, 11);
    ck_assert_uint_eq(got.involuntary_switches, 101);
    ck_assert_uint_eq(got.run_queue_wait_ns, 1003);
}
END_TEST

START_TEST(in_any_order) {
    READ(60, {102, 30}, {100, 10}, {101, 20});
    READ(63, {101, 21}, {102, 31}, {100, 11});
    READ(63, {100, 11}, {101, 21}, {102, 31});
}
END_TEST

START_TEST(thousands) {
    struct thread_values got, one = values_of(1), two = values_of(2);

    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(thread_totals_begin(totals, PID, START, true), 0);
        for (uint32_t tid = 1; tid <= 5000; tid++)
            ck_assert_int_eq(thread_totals_add(totals, tid, round ? &two : &one), 0);
        ck_assert(thread_totals_end(totals, is_hidden, hidden, &got));
        ck_assert_uint_eq(got.voluntary_switches, round ? 10000 : 5000);
    }
}
END_TEST

/* ---- In parts ------------------------------------------------------------------------ */

/* Not before each thread was read once; then they are whole at any moment. */
START_TEST(parts_are_known_when_all_were_read) {
    ck_assert(!READ_PART(true, false, 10, {100, 10}));
    ck_assert(thread_totals_is_due(totals, PID, START));
    ck_assert(!READ_PART(false, false, 30, {101, 20}));
    ck_assert(READ_PART(false, true, 60, {102, 30}));
    ck_assert(!thread_totals_is_due(totals, PID, START));
    /* the next round: known all the time */
    ck_assert(READ_PART(true, false, 61, {100, 11}));
    ck_assert(READ_PART(false, true, 62, {102, 31}));
    /* 101 was in no part and has ended: it has no past when it comes back */
    READ(67, {100, 11}, {101, 5}, {102, 31});
}
END_TEST

/* A listing can miss one thread while another ends. */
START_TEST(who_was_missed_but_lives_is_not_new) {
    READ(60, {100, 10}, {101, 20}, {102, 30});
    hidden[0] = 101;
    READ(60, {100, 10}); /* 102 has ended */
    hidden[0] = 0;
    READ(62, {100, 11}, {101, 21});
}
END_TEST

/* What was read in an earlier part of the round is not asked about. */
START_TEST(parts_of_a_round_belong_together) {
    READ(30, {100, 10}, {101, 20});
    ck_assert(READ_PART(true, false, 31, {100, 11}));
    ck_assert(READ_PART(false, true, 32, {101, 21}));
    READ(34, {100, 12}, {101, 22});
}
END_TEST

/* ---- Processes ------------------------------------------------------------------------ */

START_TEST(who_is_kept) {
    struct thread_values got = {0};

    ck_assert(!thread_totals_has(totals, PID, START));
    ck_assert(thread_totals_is_due(totals, PID, START));
    ck_assert(!thread_totals_keep(totals, PID, START, true, &got));
    READ(10, {100, 10});
    ck_assert(thread_totals_has(totals, PID, START));
    ck_assert(!thread_totals_is_due(totals, PID, START));
    ck_assert(thread_totals_keep(totals, PID, START, false, &got));
    ck_assert_uint_eq(got.voluntary_switches, 10);
    ck_assert_uint_eq(got.involuntary_switches, 30);
    ck_assert_uint_eq(got.run_queue_wait_ns, 100);
    ck_assert(!thread_totals_is_due(totals, PID, START));
    /* it ran and was not read; that it sleeps later changes nothing about it */
    ck_assert(thread_totals_keep(totals, PID, START, true, &got));
    ck_assert(thread_totals_is_due(totals, PID, START));
    ck_assert(thread_totals_keep(totals, PID, START, false, &got));
    ck_assert(thread_totals_is_due(totals, PID, START));
    READ(11, {100, 11});
    ck_assert(!thread_totals_is_due(totals, PID, START));
}
END_TEST

START_TEST(kept_but_never_read_whole) {
    struct thread_values got = {0};

    ck_assert(!READ_PART(true, false, 10, {100, 10}));
    ck_assert(!thread_totals_keep(totals, PID, START, false, &got));
    ck_assert(thread_totals_has(totals, PID, START));
}
END_TEST

/* The same pid, started at another time. */
START_TEST(a_pid_that_is_used_again) {
    struct thread_values got, values = values_of(3);

    READ(10, {100, 10});
    ck_assert(!thread_totals_keep(totals, PID, START + 1, false, &got));
    ck_assert_int_eq(thread_totals_begin(totals, PID, START + 1, true), 0);
    ck_assert_int_eq(thread_totals_add(totals, PID, &values), 0);
    ck_assert(thread_totals_end(totals, is_hidden, hidden, &got));
    ck_assert_uint_eq(got.voluntary_switches, 3);
    ck_assert(thread_totals_has(totals, PID, START + 1));
}
END_TEST

START_TEST(processes_are_told_apart) {
    struct thread_values got, values = values_of(3);

    READ(10, {100, 10});
    ck_assert_int_eq(thread_totals_begin(totals, PID + 1, START, true), 0);
    ck_assert_int_eq(thread_totals_add(totals, PID + 1, &values), 0);
    ck_assert(thread_totals_end(totals, is_hidden, hidden, &got));
    ck_assert_uint_eq(got.voluntary_switches, 3);
    READ(11, {100, 11});
}
END_TEST

START_TEST(swept) {
    struct thread_values got;

    READ(10, {100, 10});
    thread_totals_sweep(totals);
    ck_assert(thread_totals_has(totals, PID, START)); /* it was read */
    ck_assert(thread_totals_keep(totals, PID, START, false, &got));
    thread_totals_sweep(totals);
    ck_assert(thread_totals_has(totals, PID, START)); /* it was kept */
    thread_totals_sweep(totals);
    ck_assert(!thread_totals_has(totals, PID, START));
    READ(12, {100, 12}); /* nothing is left of it */
}
END_TEST

/* ---- Without memory --------------------------------------------------------------------- */

/* With half a list the other half would be counted anew, so nothing is kept. */
START_TEST(no_memory_forgets_the_process) {
    struct thread_values got, values = values_of(1);
    int r = 0;
    uint32_t added = 0;

    READ(10, {100, 10});
    ck_assert_int_eq(thread_totals_begin(totals, PID, START, true), 0);
    allocations = 0;
    fail_allocation_at = 1;
    while (r == 0 && added < 100)
        r = thread_totals_add(totals, 200 + added++, &values);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert(!thread_totals_has(totals, PID, START));
    ck_assert(!thread_totals_keep(totals, PID, START, false, &got));
    READ(12, {100, 12});
}
END_TEST

START_TEST(no_memory_for_a_process) {
    for (long at = 1; at <= 3; at++) {
        allocations = 0;
        fail_allocation_at = at;
        int r = thread_totals_begin(totals, PID, START, true);
        fail_allocation_at = 0;
        ck_assert_int_eq(r, -ENOMEM);
        ck_assert(!thread_totals_has(totals, PID, START));
    }
    struct thread_totals *none = NULL;
    allocations = 0;
    fail_allocation_at = 1;
    int r = thread_totals_new(&none);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_ptr_null(none);
    READ(10, {100, 10});
}
END_TEST

static TCase *add_open_case(Suite *suite, const char *name) {
    TCase *tc = add_case(suite, name);

    tcase_add_checked_fixture(tc, setup, teardown);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("thread_totals");
    TCase *tc;

    tc = add_open_case(suite, "totals");
    tcase_add_test(tc, increases_add_up);
    tcase_add_test(tc, what_an_ended_thread_did_stays);
    tcase_add_test(tc, a_new_thread_counts_whole);
    tcase_add_test(tc, a_number_that_is_given_again);
    tcase_add_test(tc, one_figure_alone_is_lower);
    tcase_add_test(tc, in_any_order);
    tcase_add_test(tc, thousands);
    tc = add_open_case(suite, "parts");
    tcase_add_test(tc, parts_are_known_when_all_were_read);
    tcase_add_test(tc, who_was_missed_but_lives_is_not_new);
    tcase_add_test(tc, parts_of_a_round_belong_together);
    tc = add_open_case(suite, "processes");
    tcase_add_test(tc, who_is_kept);
    tcase_add_test(tc, kept_but_never_read_whole);
    tcase_add_test(tc, a_pid_that_is_used_again);
    tcase_add_test(tc, processes_are_told_apart);
    tcase_add_test(tc, swept);
    tc = add_open_case(suite, "memory");
    tcase_add_test(tc, no_memory_forgets_the_process);
    tcase_add_test(tc, no_memory_for_a_process);
    return run_suite(suite);
}
