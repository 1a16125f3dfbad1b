/* SPDX-License-Identifier: MIT */
/* Tables for people. */
#include "table.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct table_column columns[] = {{"NAME", false}, {"SIZE", true}, {"PATH", false}};

static int print(const struct table *t, size_t width, char **ret) {
    size_t len;
    FILE *to = open_memstream(ret, &len);
    ck_assert_ptr_nonnull(to);
    const int r = table_print(t, to, width);
    ck_assert_int_eq(fclose(to), 0);
    return r;
}

static void expect(const struct table *t, size_t width, const char *wanted) {
    char *shown;
    ck_assert_int_eq(print(t, width, &shown), 0);
    ck_assert_str_eq(shown, wanted);
    free(shown);
}

static void fill(struct table *t) {
    table_add_text(t, "Größe");
    table_addf(t, "%d", 7);
    table_add_text(t, "/a\nb");
    table_add(t, "漢字 and more", 6);
    table_add_text(t, NULL);
    table_add_text(t, "/c");
}

START_TEST(cells_stand_below_each_other) {
    struct table *t;
    ck_assert_int_eq(table_new(columns, 3, &t), 0);
    expect(t, SIZE_MAX, "NAME SIZE PATH\n");
    fill(t);
    expect(t, SIZE_MAX,
           "NAME  SIZE PATH\n"
           "Größe    7 /a?b\n"
           "漢字     - /c\n");
    table_add_text(t, "x");
    table_add_text(t, "123456");
    table_add_text(t, "");
    expect(t, SIZE_MAX,
           "NAME    SIZE PATH\n"
           "Größe      7 /a?b\n"
           "漢字       - /c\n"
           "x     123456 \n");
    table_free(t);
}
END_TEST

START_TEST(rows_are_cut) {
    struct table *t;
    ck_assert_int_eq(table_new(columns, 3, &t), 0);
    fill(t);
    expect(t, 12, "NAME  SIZE P\nGröße    7 /\n漢字     - /\n");
    expect(t, 8, "NAME  SI\nGröße   \n漢字    \n");
    expect(t, 3, "NAM\nGrö\n漢\n");
    expect(t, 1, "N\nG\n\n"); /* what has two columns does not fit into one */
    table_free(t);
}
END_TEST

START_TEST(memory_runs_out) {
    bool whole = false;
    for (long at = 1; !whole; at++) {
        struct table *t = NULL;
        char *shown;
        allocations = 0;
        fail_allocation_at = at;
        int r = table_new(columns, 3, &t);
        for (int i = 0; r == 0 && i < 1000; i++)
            fill(t);
        fail_allocation_at = 0;
        whole = allocations < at;
        if (r == 0) {
            r = print(t, SIZE_MAX, &shown);
            ck_assert(whole || shown[0] == '\0'); /* all or nothing */
            free(shown);
        }
        ck_assert_int_eq(r, whole ? 0 : -ENOMEM);
        table_free(t);
    }
}
END_TEST

int main(void) {
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    Suite *suite = suite_create("table");
    TCase *tc = add_case(suite, "table");
    tcase_add_test(tc, cells_stand_below_each_other);
    tcase_add_test(tc, rows_are_cut);
    tcase_add_test(tc, memory_runs_out);
    return run_suite(suite);
}
