/* SPDX-License-Identifier: MIT */
/* What did not fit: how many names, and which of them have most processes. */
#include "count/refused.h"

#include "failing_memory.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct refused refused;
static const struct refused_name *largest[REFUSED_KEPT];

static void teardown(void) {
    fail_allocation_at = 0;
    refused_clear(&refused);
}

static void note(const char *name, unsigned times) {
    for (unsigned i = 0; i < times; i++)
        refused_note(&refused, name);
}

START_TEST(none) {
    ck_assert_uint_eq(refused_largest(&refused, largest, 3), 0);
    ck_assert_uint_eq(refused.names, 0);
}
END_TEST

START_TEST(a_few_are_exact) {
    note("b", 3);
    note("a", 3);
    note("c", 5);
    note("d", 1);
    ck_assert_uint_eq(refused_largest(&refused, largest, 3), 3);
    ck_assert_str_eq(largest[0]->name, "c");
    ck_assert_str_eq(largest[1]->name, "a");
    ck_assert_str_eq(largest[2]->name, "b");
    ck_assert_uint_eq(largest[0]->processes, 5);
    ck_assert_uint_eq(largest[0]->excess, 0);
    ck_assert_uint_eq(refused_largest(&refused, largest, REFUSED_KEPT), 4);
    ck_assert_uint_eq(refused.names, 4);
    ck_assert_uint_eq(refused.processes, 12);
}
END_TEST

/* In any order: who has more than a 64th is there, and no count is told too high. */
START_TEST(large_ones_among_very_many) {
    enum { SMALL = 3000, LARGE = 5, EACH = 300 };
    unsigned left[LARGE] = {EACH, EACH, EACH, EACH, EACH};
    srandom((unsigned)_i);
    for (int i = 0; i < SMALL; i++) {
        char name[20];
        snprintf(name, sizeof(name), "small%d", i);
        note(name, 1);
        for (int k = 0; k < 2; k++) {
            const size_t of = (size_t)random() % LARGE;
            snprintf(name, sizeof(name), "large%zu", of);
            if (left[of]) {
                note(name, 1);
                left[of]--;
            }
        }
    }
    ck_assert_uint_eq(refused.names, SMALL + LARGE);
    ck_assert_uint_eq(refused_largest(&refused, largest, LARGE), LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        ck_assert_msg(strncmp(largest[i]->name, "large", 5) == 0, "%s", largest[i]->name);
        ck_assert_uint_le(largest[i]->processes - largest[i]->excess, EACH);
        ck_assert_uint_ge(largest[i]->processes, EACH);
    }
}
END_TEST

START_TEST(long_names_are_cut_between_characters) {
    char name[2 * REFUSED_NAME_SIZE] = "x";
    for (size_t i = 1; i + 2 < sizeof(name); i += 2)
        memcpy(name + i, "\xc3\xa9", 2);
    note(name, 1);
    name[sizeof(name) - 3] = 'y'; /* other names, equal where they are shown */
    name[sizeof(name) - 2] = '\0';
    note(name, 1);
    ck_assert_uint_eq(refused.names, 2);
    ck_assert_uint_eq(refused_largest(&refused, largest, 3), 2);
    ck_assert_uint_eq(strlen(largest[0]->name), REFUSED_NAME_SIZE - 1);
    ck_assert_uint_eq((unsigned char)largest[0]->name[REFUSED_NAME_SIZE - 2], 0xa9);
}
END_TEST

START_TEST(without_memory) {
    allocations = 0;
    fail_allocation_at = _i;
    note("a", 2);
    ck_assert_uint_eq(refused.processes, 2);
    ck_assert_uint_le(refused_largest(&refused, largest, 3), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("refused");
    TCase *tc = add_case(suite, "refused");
    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, none);
    tcase_add_test(tc, a_few_are_exact);
    tcase_add_loop_test(tc, large_ones_among_very_many, 0, 10);
    tcase_add_test(tc, long_names_are_cut_between_characters);
    tcase_add_loop_test(tc, without_memory, 1, 3);
    return run_suite(suite);
}
