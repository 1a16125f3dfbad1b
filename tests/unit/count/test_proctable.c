/* SPDX-License-Identifier: MIT */
/* The table of known processes: who is found under a pid that was used before, and
 * that records stay where they are while it grows. */
#include "count/proctable.h"

#include "failing_memory.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>

static struct proctable table;

static void setup(void) {
    proctable_init(&table);
}

static void teardown(void) {
    fail_allocation_at = 0;
    proctable_clear(&table);
}

static process_id add(uint32_t pid, uint64_t start_ticks) {
    process_id id = proctable_add(&table, pid);

    ck_assert_uint_ne(id, NO_PROCESS);
    proctable_at(&table, id)->start_ticks = start_ticks;
    return id;
}

/* ---- Finding ------------------------------------------------------------------------ */

START_TEST(nobody) {
    ck_assert_uint_eq(proctable_find(&table, 1), NO_PROCESS);
    ck_assert_uint_eq(proctable_find_parent(&table, 1, 100), NO_PROCESS);
    ck_assert_uint_eq(proctable_next(&table, 0), NO_PROCESS);
}
END_TEST

START_TEST(found_by_pid) {
    process_id a = add(1, 10), b = add(4194304, 20);

    ck_assert_uint_eq(proctable_find(&table, 1), a);
    ck_assert_uint_eq(proctable_find(&table, 4194304), b);
    ck_assert_uint_eq(proctable_find(&table, 2), NO_PROCESS);
    ck_assert_uint_eq(proctable_find(&table, 0), NO_PROCESS);
    ck_assert_uint_eq(table.count, 2);
}
END_TEST

/* Pids that fall into one chain: the hash has 1024 buckets at first. */
START_TEST(chains_do_not_mix) {
    process_id ids[5];

    for (uint32_t i = 0; i < 5; i++)
        ids[i] = add(7 + 1024 * i, 10 * i);
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert_uint_eq(proctable_find(&table, 7 + 1024 * i), ids[i]);
        ck_assert_uint_eq(proctable_find_parent(&table, 7 + 1024 * i, 1000), ids[i]);
    }
    ck_assert_uint_eq(proctable_find(&table, 7 + 1024 * 5), NO_PROCESS);
    ck_assert_uint_eq(proctable_find_parent(&table, 7 + 1024 * 5, 1000), NO_PROCESS);
    /* the one that started too late has another process behind it */
    ck_assert_uint_eq(proctable_find_parent(&table, 7 + 1024 * 4, 35), NO_PROCESS);
    /* from the middle, from the ends */
    static const uint32_t order[] = {2, 0, 4, 3, 1};
    for (uint32_t gone = 0; gone < 5; gone++) {
        proctable_remove(&table, ids[order[gone]]);
        for (uint32_t i = 0; i < 5; i++)
            ck_assert_uint_eq(proctable_find(&table, 7 + 1024 * order[i]),
                              i <= gone ? NO_PROCESS : ids[order[i]]);
    }
}
END_TEST

START_TEST(the_latest_incarnation_is_found) {
    process_id first = add(7, 100), second = add(7, 200);

    ck_assert_uint_ne(first, second);
    ck_assert_uint_eq(proctable_find(&table, 7), second);
    proctable_remove(&table, second);
    ck_assert_uint_eq(proctable_find(&table, 7), first);
    second = add(7, 300);
    proctable_remove(&table, first); /* the one that is hidden behind the other */
    ck_assert_uint_eq(proctable_find(&table, 7), second);
    ck_assert_uint_eq(table.count, 1);
}
END_TEST

/* A child started when its parent was there: the same tick will do. */
START_TEST(the_parent_is_the_one_of_that_time) {
    process_id first = add(7, 100), second = add(7, 200), third = add(7, 300);

    ck_assert_uint_eq(proctable_find_parent(&table, 7, 99), NO_PROCESS);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, 100), first);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, 199), first);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, 200), second);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, 299), second);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, UINT64_MAX), third);
    ck_assert_uint_eq(proctable_find_parent(&table, 8, UINT64_MAX), NO_PROCESS);
    proctable_remove(&table, second);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, 299), first);
}
END_TEST

/* ---- Records ------------------------------------------------------------------------ */

START_TEST(a_new_record_is_empty) {
    process_id id = add(7, 100);
    struct process *p = proctable_at(&table, id);

    p->have = 0xffff;
    p->known = 0xffff;
    p->last[FIELD_UTIME_NS] = 5;
    p->gauge[0] = 6;
    p->orphan = p->asleep = p->restored = true;
    p->pending = calloc(1, sizeof(*p->pending)); /* which the table frees */
    ck_assert_ptr_nonnull(p->pending);
    proctable_remove(&table, id);
    ck_assert_uint_eq(table.count, 0);

    ck_assert_uint_eq(proctable_add(&table, 8), id); /* its place is used again */
    struct process empty = {.pid = 8, .used = true, .next = NO_PROCESS};
    ck_assert_uint_eq(p->pid, 8);
    ck_assert(p->used && !p->orphan && !p->asleep && !p->restored && !p->classified);
    ck_assert_uint_eq(p->have | p->known, 0);
    ck_assert_uint_eq(p->start_ticks, 0);
    ck_assert_ptr_null(p->pending);
    ck_assert_int_eq(memcmp(p->last, empty.last, sizeof(p->last)), 0);
    ck_assert_int_eq(memcmp(p->gauge, empty.gauge, sizeof(p->gauge)), 0);
    ck_assert_uint_eq(proctable_find(&table, 7), NO_PROCESS);
    ck_assert_uint_eq(proctable_find(&table, 8), id);
    ck_assert_uint_eq(table.end, 1);
}
END_TEST

START_TEST(all_records_in_turn) {
    process_id ids[10], at;

    for (uint32_t i = 0; i < 10; i++)
        ids[i] = add(100 + i, 1);
    proctable_remove(&table, ids[0]);
    proctable_remove(&table, ids[4]);
    proctable_remove(&table, ids[5]);
    proctable_remove(&table, ids[9]);
    static const int left[] = {1, 2, 3, 6, 7, 8};
    at = proctable_next(&table, 0);
    for (int i = 0; i < COUNT(left); i++) {
        ck_assert_uint_eq(at, ids[left[i]]);
        at = proctable_next(&table, at + 1);
    }
    ck_assert_uint_eq(at, NO_PROCESS);
    ck_assert_uint_eq(table.count, 6);
}
END_TEST

/* Walking through and removing go together. */
START_TEST(removed_on_the_way) {
    for (uint32_t i = 0; i < 1000; i++)
        add(1 + i, i);
    for (process_id id = proctable_next(&table, 0); id != NO_PROCESS;
         id = proctable_next(&table, id + 1))
        if (proctable_at(&table, id)->pid % 3)
            proctable_remove(&table, id);
    ck_assert_uint_eq(table.count, 333);
    for (uint32_t pid = 1; pid <= 1000; pid++)
        ck_assert_int_eq(proctable_find(&table, pid) == NO_PROCESS, pid % 3 != 0);
}
END_TEST

/* ---- Growth -------------------------------------------------------------------------- */

START_TEST(growth_keeps_everything) {
    process_id first = add(7, 100), second = add(7, 200), third = add(7, 300);
    const struct process *at = proctable_at(&table, second);
    size_t buckets = table.bucket_count;

    for (uint32_t i = 0; i < 10000; i++)
        add(8 + i, i);
    ck_assert_uint_gt(table.bucket_count, buckets);
    ck_assert_uint_ge(table.bucket_count, table.count / 2); /* chains stay short */
    ck_assert_uint_eq(table.count, 10003);
    /* records are where they were, and a newer one stands before an older */
    ck_assert_ptr_eq(proctable_at(&table, second), at);
    ck_assert_uint_eq(at->start_ticks, 200);
    ck_assert_uint_eq(proctable_find(&table, 7), third);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, 250), second);
    ck_assert_uint_eq(proctable_find_parent(&table, 7, 150), first);
    for (uint32_t i = 0; i < 10000; i++) {
        process_id id = proctable_find(&table, 8 + i);
        ck_assert_uint_ne(id, NO_PROCESS);
        ck_assert_uint_eq(proctable_at(&table, id)->pid, 8 + i);
        ck_assert_uint_eq(proctable_at(&table, id)->start_ticks, i);
    }
}
END_TEST

/* They cost nothing where they are not collected. */
START_TEST(details) {
    struct sample s = {.state = 'S'}, again = {.state = 'S'};
    add(7, 100);
    ck_assert_ptr_null(table.details);
    proctable_clear(&table);
    table.keeps_details = true;
    for (uint32_t i = 0; i < 1000; i++) {
        sample_set(&s, FIELD_LOCKED_BYTES, i);
        sample_set(&s, FIELD_RSS_BYTES, 5); /* which is kept elsewhere */
        proctable_remember_details(&table, add(8 + i, i), &s);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        again = (struct sample){.have = BIT(FIELD_VMS_BYTES)};
        proctable_recall_details(&table, proctable_find(&table, 8 + i), &again);
        ck_assert(again.have == (BIT(FIELD_LOCKED_BYTES) | BIT(FIELD_VMS_BYTES)));
        ck_assert_uint_eq(again.value[FIELD_LOCKED_BYTES], i);
    }
    /* not those of the process that had the place before */
    process_id id = proctable_find(&table, 8);
    proctable_remove(&table, id);
    ck_assert_uint_eq(add(5000, 1), id);
    again = (struct sample){.state = 'S'};
    proctable_recall_details(&table, id, &again);
    ck_assert(again.have == 0);
}
END_TEST

/* Nor what only macOS counts, on Linux. */
START_TEST(darwin_fields) {
    process_id id = add(7, 100);
    ck_assert_ptr_null(table.darwin);
    ck_assert_ptr_null(proctable_last(&table, id, FIELD_ENERGY_NJ));
    ck_assert_ptr_eq(proctable_last(&table, id, FIELD_UTIME_NS),
                     &proctable_at(&table, id)->last[FIELD_UTIME_NS]);
    proctable_clear(&table);
    table.keeps_darwin_fields = true;
    for (uint32_t i = 0; i < 1000; i++) {
        id = add(8 + i, i);
        *proctable_last(&table, id, FIELD_SWITCHES) = i;
        *proctable_last(&table, id, FIELD_ENERGY_NJ) = 1000 + i;
    }
    for (uint32_t i = 0; i < 1000; i++) {
        id = proctable_find(&table, 8 + i);
        ck_assert_uint_eq(*proctable_last(&table, id, FIELD_SWITCHES), i);
        ck_assert_uint_eq(*proctable_last(&table, id, FIELD_ENERGY_NJ), 1000 + i);
    }
}
END_TEST

START_TEST(places_are_used_again) {
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 300; i++)
            add(1 + 300 * round + i, 1);
        for (process_id id = proctable_next(&table, 0); id != NO_PROCESS;
             id = proctable_next(&table, id + 1))
            proctable_remove(&table, id);
    }
    ck_assert_uint_eq(table.count, 0);
    ck_assert_uint_eq(table.end, 300);
    ck_assert_uint_eq(table.bucket_count, 1024);
}
END_TEST

START_TEST(cleared_it_can_be_used_again) {
    process_id id = add(7, 100);
    proctable_at(&table, id)->pending = calloc(1, sizeof(struct pending_credit));
    proctable_clear(&table);
    ck_assert_uint_eq(table.count, 0);
    ck_assert_uint_eq(proctable_find(&table, 7), NO_PROCESS);
    ck_assert_uint_eq(proctable_next(&table, 0), NO_PROCESS);
    id = add(7, 200);
    ck_assert_uint_eq(proctable_find(&table, 7), id);
}
END_TEST

/* ---- Without memory -------------------------------------------------------------------- */

START_TEST(no_memory_for_the_first) {
    long at = 0;
    process_id id;
    table.keeps_details = _i & 1;
    table.keeps_darwin_fields = _i & 2;

    do {
        allocations = 0;
        fail_allocation_at = ++at;
        id = proctable_add(&table, 7);
        fail_allocation_at = 0;
        ck_assert_uint_eq(table.count, id != NO_PROCESS);
        ck_assert_uint_eq(proctable_find(&table, 7), id);
    } while (id == NO_PROCESS);
    ck_assert_int_gt(at, 1);
    ck_assert_uint_eq(proctable_next(&table, 0), id);
}
END_TEST

/* Longer chains are slow; a process that is left out would be wrong. */
START_TEST(no_memory_for_a_larger_hash) {
    for (uint32_t i = 0; i < 1024; i++)
        add(1 + i, 1);
    ck_assert_uint_eq(table.count, table.bucket_count);
    allocations = 0;
    fail_allocation_at = 1;
    process_id id = proctable_add(&table, 3000);
    fail_allocation_at = 0;
    ck_assert_uint_ne(id, NO_PROCESS);
    ck_assert_uint_eq(table.bucket_count, 1024);
    ck_assert_uint_eq(proctable_find(&table, 3000), id);
    add(3001, 1);
    ck_assert_uint_eq(table.bucket_count, 2048);
    ck_assert_uint_eq(proctable_find(&table, 3000), id);
}
END_TEST

static TCase *add_open_case(Suite *suite, const char *name) {
    TCase *tc = add_case(suite, name);

    tcase_add_checked_fixture(tc, setup, teardown);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("proctable");
    TCase *tc;

    tc = add_open_case(suite, "finding");
    tcase_add_test(tc, nobody);
    tcase_add_test(tc, found_by_pid);
    tcase_add_test(tc, chains_do_not_mix);
    tcase_add_test(tc, the_latest_incarnation_is_found);
    tcase_add_test(tc, the_parent_is_the_one_of_that_time);
    tc = add_open_case(suite, "records");
    tcase_add_test(tc, a_new_record_is_empty);
    tcase_add_test(tc, all_records_in_turn);
    tcase_add_test(tc, removed_on_the_way);
    tc = add_open_case(suite, "growth");
    tcase_add_test(tc, growth_keeps_everything);
    tcase_add_test(tc, places_are_used_again);
    tcase_add_test(tc, details);
    tcase_add_test(tc, darwin_fields);
    tcase_add_test(tc, cleared_it_can_be_used_again);
    tc = add_open_case(suite, "memory");
    tcase_add_loop_test(tc, no_memory_for_the_first, 0, 4);
    tcase_add_test(tc, no_memory_for_a_larger_hash);
    return run_suite(suite);
}
