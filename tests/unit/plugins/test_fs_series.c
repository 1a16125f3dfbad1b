/* SPDX-License-Identifier: MIT */
/* Series and histograms of the library in plugins/fs: their numbers, and many threads. */
#include "series.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

static tally_fs_series *series;

static void make(const struct tally_fs_histogram *histogram) {
    ck_assert_int_eq(tally_fs_series_new(histogram, &series), 0);
}

static void teardown(void) {
    series = tally_fs_series_free(series);
}

static void add_all(const uint64_t *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        tally_fs_series_add(series, values[i]);
    series_read(series);
}

static double variance(void) {
    const struct stats *s = series_since(series);
    return s->squares / (double)(s->count - 1);
}

START_TEST(sums) {
    make(NULL);
    series_read(series);
    ck_assert_uint_eq(series_since(series)->count, 0);
    add_all((const uint64_t[]){1, 3}, 2);
    ck_assert_double_eq_tol(variance(), 2, 1e-12);
    add_all((const uint64_t[]){10}, 1);
    const struct stats *s = series_since(series);
    ck_assert_uint_eq(s->count, 3);
    ck_assert(s->sum == 14);
    ck_assert_uint_eq(s->min, 1);
    ck_assert_uint_eq(s->max, 10);
    ck_assert_uint_eq(s->last, 10);
    ck_assert_double_eq_tol(s->mean, 14.0 / 3, 1e-12);
    ck_assert_double_eq_tol(variance(), 67.0 / 3, 1e-9);
}
END_TEST

/* What integers of 64 bits lose. */
START_TEST(large_and_uneven) {
    make(NULL);
    for (int i = 0; i < 1000; i++) {
        tally_fs_series_add(series, i % 2 ? 3000000000 : 1000000000);
        if (i % 7 == 0)
            series_read(series); /* in pieces */
    }
    series_read(series);
    ck_assert_double_eq_tol(variance() / 1e18, 1000.0 / 999, 1e-9);

    teardown();
    make(NULL);
    tally_fs_series_add(series, 0);
    for (int i = 1; i < 100000; i++)
        tally_fs_series_add(series, 100);
    series_read(series);
    ck_assert_double_eq_tol(series_since(series)->mean, 99.999, 1e-9);

    teardown();
    make(NULL);
    add_all((const uint64_t[]){UINT64_MAX, UINT64_MAX, 0}, 3);
    ck_assert(series_since(series)->sum == (unsigned __int128)UINT64_MAX * 2);
    ck_assert_uint_eq(series_since(series)->max, UINT64_MAX);
}
END_TEST

START_TEST(values_close_together) {
    make(NULL);
    for (uint64_t i = 0; i < 1000; i++) {
        tally_fs_series_add(series, UINT64_C(1000000000000) + i % 2);
        if (i % 10 == 0)
            series_read(series);
    }
    series_read(series);
    ck_assert_double_eq_tol(variance(), 0.25 * 1000 / 999, 1e-4);
}
END_TEST

START_TEST(percentiles) {
    const struct tally_fs_histogram h = {sizeof(h), "0 10 60 90 99 99.99 100", NULL, 0};
    const uint64_t exact[] = {0, 99999, 599999, 899999, 989999, 999899, 999999};
    make(&h);
    for (uint64_t i = 0; i < 1000000; i++)
        tally_fs_series_add(series, i);
    series_read(series);
    ck_assert(series_since(series)->sum == UINT64_C(499999500000));
    ck_assert_uint_eq(series_percentiles(series), 7);
    for (size_t i = 0; i < 7; i++) {
        const uint64_t p = series_percentile(series, i);
        ck_assert_msg(p >= exact[i] && p <= exact[i] + exact[i] / 64, "%s: %lu",
                      series_percentile_name(series, i), (unsigned long)p);
    }
    ck_assert_uint_eq(series_percentile(series, 6), 999999);
}
END_TEST

/* Below 128 each value has its own bucket. The order in which they are asked for is no
 * matter. */
START_TEST(exact_percentiles) {
    const struct tally_fs_histogram h = {sizeof(h), "99 50 100 1 99.9", NULL, 0};
    make(&h);
    for (uint64_t i = 100; i >= 1; i--)
        tally_fs_series_add(series, i);
    series_read(series);
    const uint64_t wanted[] = {99, 50, 100, 1, 100};
    for (size_t i = 0; i < 5; i++)
        ck_assert_uint_eq(series_percentile(series, i), wanted[i]);
}
END_TEST

START_TEST(all_64_bits) {
    const struct tally_fs_histogram h = {sizeof(h), "50", NULL, 0};
    for (unsigned bit = 0; bit < 64; bit++)
        for (int of = -1; of <= 1; of++) {
            const uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)of;
            make(&h);
            add_all((const uint64_t[]){value, value, UINT64_MAX}, 3);
            const uint64_t p = series_percentile(series, 0);
            ck_assert_msg(p >= value && p - value <= value / 64, "%lu: %lu", (unsigned long)value,
                          (unsigned long)p);
            teardown();
        }
}
END_TEST

START_TEST(bounds) {
    const uint64_t given[] = {0, 1, 63, 100, 1000, 1023, 100000000, UINT64_MAX};
    const struct tally_fs_histogram h = {sizeof(h), NULL, given, 8};
    const uint64_t values[] = {0, 0, 1, 2, 63, 64, 100, 101, 999, 1000, 1001, 1008, 1023, 1024,
                               99999999, 100000000, 100000001, UINT64_MAX};
    uint64_t counts[SERIES_BOUNDS_MOST];
    make(&h);
    ck_assert(series_is_histogram(series));
    add_all(values, COUNT(values));
    ck_assert_uint_eq(series_bounds(series), 8);
    series_cumulate(series, counts);
    for (size_t i = 0; i < 8; i++) {
        uint64_t wanted = 0;
        for (int k = 0; k < COUNT(values); k++)
            wanted += values[k] <= given[i];
        ck_assert_uint_eq(series_bound(series, i), given[i]);
        ck_assert_msg(counts[i] == wanted, "le %lu: %lu, not %lu", (unsigned long)given[i],
                      (unsigned long)counts[i], (unsigned long)wanted);
    }
}
END_TEST

START_TEST(default_bounds) {
    const struct tally_fs_histogram h = {.size = sizeof(h)};
    uint64_t counts[SERIES_BOUNDS_MOST];
    make(&h);
    add_all((const uint64_t[]){1, 10, 11, 100, UINT64_MAX}, 5);
    ck_assert_uint_eq(series_bounds(series), 20);
    series_cumulate(series, counts);
    const uint64_t first[] = {1, 2, 4, 4};
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(counts[i], first[i]);
    ck_assert_uint_eq(counts[19], 4);
    ck_assert_uint_eq(series_bound(series, 19), UINT64_C(10000000000000000000));
}
END_TEST

/* What metrics show goes on. */
START_TEST(reset) {
    const struct tally_fs_histogram h = {sizeof(h), "50", NULL, 0};
    make(&h);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            tally_fs_series_add(series, 1000);
        ck_assert_int_eq(series_reset(series), 0);
        ck_assert_uint_eq(series_since(series)->count, 0);
        add_all((const uint64_t[]){5, 5, 7}, 3);
        ck_assert_uint_eq(series_since(series)->count, 3);
        ck_assert_uint_eq(series_since(series)->max, 7);
        ck_assert_uint_eq(series_percentile(series, 0), 5);
        ck_assert_uint_eq(series_ever(series)->count, 103u * (unsigned)(round + 1));
        ck_assert_uint_eq(series_ever(series)->max, 1000);
    }
}
END_TEST

static const char *const bad_percentiles[] = {"101", "-1", "a", "50 50", "5.", ".5", "1.2.3",
                                              "100.0001", "12345678901234567890123",
                                              "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21"};

START_TEST(refused_percentiles) {
    const struct tally_fs_histogram h = {sizeof(h), bad_percentiles[_i], NULL, 0};
    ck_assert_int_eq(tally_fs_series_new(&h, &series), -EINVAL);
}
END_TEST

START_TEST(refused_bounds) {
    const uint64_t falling[] = {10, 9}, same[] = {10, 10}, close[] = {100000, 100001};
    const uint64_t *const bad[] = {falling, same, close};
    uint64_t many[SERIES_BOUNDS_MOST + 1];
    for (size_t i = 0; i < 3; i++) {
        const struct tally_fs_histogram h = {sizeof(h), NULL, bad[i], 2};
        ck_assert_int_eq(tally_fs_series_new(&h, &series), -EINVAL);
    }
    for (size_t i = 0; i <= SERIES_BOUNDS_MOST; i++)
        many[i] = i;
    struct tally_fs_histogram h = {sizeof(h), NULL, many, SERIES_BOUNDS_MOST + 1};
    ck_assert_int_eq(tally_fs_series_new(&h, &series), -EINVAL);
    h.size = 0;
    ck_assert_int_eq(tally_fs_series_new(&h, &series), -EINVAL);
}
END_TEST

START_TEST(names_as_given) {
    const struct tally_fs_histogram h = {sizeof(h), "99.999  99.9999 50.0", NULL, 0};
    make(&h);
    ck_assert_str_eq(series_percentile_name(series, 0), "99.999");
    ck_assert_str_eq(series_percentile_name(series, 1), "99.9999");
    ck_assert_str_eq(series_percentile_name(series, 2), "50.0");
}
END_TEST

START_TEST(no_memory) {
    const struct tally_fs_histogram h = {.size = sizeof(h)};
    for (fail_allocation_at = 1;; fail_allocation_at++) {
        allocations = 0;
        int r = tally_fs_series_new(&h, &series);
        if (r == 0)
            break;
        ck_assert_int_eq(r, -ENOMEM);
    }
    ck_assert_int_gt(fail_allocation_at, 3);
    tally_fs_series_add(series, 1);
    allocations = 0;
    fail_allocation_at = 1;
    ck_assert_int_eq(series_reset(series), -ENOMEM);
    fail_allocation_at = 0;
    ck_assert_uint_eq(series_since(series)->count, 0); /* not read, and nothing lost */
    series_read(series);
    ck_assert_uint_eq(series_since(series)->count, 1);
}
END_TEST

/* ---- Threads --------------------------------------------------------------------- */

#define WRITERS 4
#define READINGS 3000

static bool enough;

static void *add_sevens(void *data) {
    uint64_t *added = data;
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED) || *added < 1000) {
        tally_fs_series_add(series, 7);
        ++*added;
    }
    return NULL;
}

/* Sum and count of one reading belong together, and so do the buckets. */
START_TEST(threads) {
    const uint64_t bound[] = {6, 7};
    const struct tally_fs_histogram h = {sizeof(h), "50", bound, 2};
    pthread_t writers[WRITERS];
    uint64_t added[WRITERS] = {0}, total = 0, before = 0;
    make(_i ? &h : NULL);
    enough = false;
    for (size_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&writers[i], NULL, add_sevens, &added[i]), 0);
    for (int i = 0; i < READINGS; i++) {
        uint64_t counts[SERIES_BOUNDS_MOST];
        series_read(series);
        const struct stats *s = series_ever(series);
        ck_assert(s->sum == (unsigned __int128)s->count * 7);
        ck_assert_uint_ge(s->count, before);
        before = s->count;
        if (!_i)
            continue;
        series_cumulate(series, counts);
        ck_assert_uint_eq(counts[0], 0);
        ck_assert_uint_eq(counts[1], s->count);
        if (i % 100 == 0)
            ck_assert_int_eq(series_reset(series), 0);
    }
    __atomic_store_n(&enough, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], NULL);
        total += added[i];
    }
    series_read(series);
    ck_assert_uint_eq(series_ever(series)->count, total);
    ck_assert_double_eq_tol(series_ever(series)->mean, 7, 1e-9);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fs_series");
    TCase *tc = add_case(suite, "fs_series");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, sums);
    tcase_add_test(tc, large_and_uneven);
    tcase_add_test(tc, values_close_together);
    tcase_add_test(tc, percentiles);
    tcase_add_test(tc, exact_percentiles);
    tcase_add_test(tc, all_64_bits);
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, default_bounds);
    tcase_add_test(tc, reset);
    tcase_add_loop_test(tc, refused_percentiles, 0, COUNT(bad_percentiles));
    tcase_add_test(tc, refused_bounds);
    tcase_add_test(tc, names_as_given);
    tcase_add_test(tc, no_memory);
    tcase_add_loop_test(tc, threads, 0, 2);
    return run_suite(suite);
}
