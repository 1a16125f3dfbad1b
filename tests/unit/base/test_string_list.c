/* SPDX-License-Identifier: MIT */
/* Lists of texts: each owns its own, also when memory runs out half way. */
#include "base/string_list.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

static struct string_list list, other;

static void setup(void) {
    list = other = (struct string_list){0};
}

static void teardown(void) {
    fail_allocation_at = 0;
    string_list_free(&list);
    string_list_free(&other);
}

static void add(struct string_list *s, const char *text) {
    ck_assert_int_eq(string_list_add(s, text, strlen(text)), 0);
}

/* The texts with '|' between them. */
static void assert_texts(const struct string_list *s, const char *joined) {
    for (size_t i = 0; i < s->count; i++) {
        size_t len = strlen(s->items[i]);
        ck_assert_msg(strncmp(joined, s->items[i], len) == 0 &&
                          joined[len] == (i + 1 < s->count ? '|' : '\0'),
                      "\"%s\" where \"%s\" is expected", s->items[i], joined);
        joined += len + (joined[len] == '|');
    }
    ck_assert_str_eq(joined, "");
}

START_TEST(texts_are_copied) {
    char text[] = "abcdef";

    ck_assert_int_eq(string_list_add(&list, text, 3), 0); /* a part of it */
    ck_assert_int_eq(string_list_add(&list, text + 3, 3), 0);
    ck_assert_int_eq(string_list_add(&list, text, 0), 0);
    memset(text, 'x', 6);
    ck_assert_uint_eq(list.count, 3);
    assert_texts(&list, "abc|def|");
}
END_TEST

START_TEST(many) {
    for (int i = 0; i < 1000; i++)
        add(&list, i % 2 ? "odd" : "even");
    ck_assert_uint_eq(list.count, 1000);
    for (size_t i = 0; i < 1000; i++)
        ck_assert_str_eq(list.items[i], i % 2 ? "odd" : "even");
}
END_TEST

START_TEST(a_copy_is_another) {
    add(&list, "a");
    add(&list, "b");
    ck_assert_int_eq(string_list_copy(&other, &list), 0);
    assert_texts(&other, "a|b");
    ck_assert_ptr_ne(other.items, list.items);
    ck_assert_ptr_ne(other.items[0], list.items[0]);
    add(&other, "c");
    string_list_free(&list);
    assert_texts(&other, "a|b|c");
}
END_TEST

START_TEST(a_copy_of_nothing) {
    ck_assert_int_eq(string_list_copy(&other, &list), 0);
    ck_assert_uint_eq(other.count, 0);
}
END_TEST

START_TEST(moved_to_the_end) {
    add(&list, "a");
    add(&other, "b");
    add(&other, "c");
    const char *b = other.items[0];
    ck_assert_int_eq(string_list_move(&list, &other), 0);
    assert_texts(&list, "a|b|c");
    ck_assert_ptr_eq(list.items[1], b); /* not another copy */
    ck_assert_uint_eq(other.count, 0);
    ck_assert_ptr_null(other.items);
    /* from nothing, and to nothing */
    ck_assert_int_eq(string_list_move(&list, &other), 0);
    assert_texts(&list, "a|b|c");
    ck_assert_int_eq(string_list_move(&other, &list), 0);
    assert_texts(&other, "a|b|c");
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(freed_it_is_empty) {
    add(&list, "a");
    string_list_free(&list);
    ck_assert_uint_eq(list.count, 0);
    string_list_free(&list);
    add(&list, "b");
    assert_texts(&list, "b");
}
END_TEST

/* The text that failed is not there, and the others are. */
START_TEST(no_memory_to_add) {
    add(&list, "a");
    allocations = 0;
    fail_allocation_at = 1 + _i;
    int r = string_list_add(&list, "b", 1);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    assert_texts(&list, "a");
    add(&list, "c");
    assert_texts(&list, "a|c");
}
END_TEST

/* All or nothing: four allocations for two texts. */
START_TEST(no_memory_to_copy) {
    add(&list, "a");
    add(&list, "b");
    allocations = 0;
    fail_allocation_at = 1 + _i;
    int r = string_list_copy(&other, &list);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_uint_eq(other.count, 0);
    ck_assert_ptr_null(other.items);
    assert_texts(&list, "a|b");
}
END_TEST

START_TEST(no_memory_to_move) {
    add(&list, "a");
    add(&other, "b");
    allocations = 0;
    fail_allocation_at = 1;
    int r = string_list_move(&list, &other);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    assert_texts(&list, "a");
    assert_texts(&other, "b");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("string_list");
    TCase *tc = add_case(suite, "string_list");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, texts_are_copied);
    tcase_add_test(tc, many);
    tcase_add_test(tc, a_copy_is_another);
    tcase_add_test(tc, a_copy_of_nothing);
    tcase_add_test(tc, moved_to_the_end);
    tcase_add_test(tc, freed_it_is_empty);
    tcase_add_loop_test(tc, no_memory_to_add, 0, 2);
    tcase_add_loop_test(tc, no_memory_to_copy, 0, 4);
    tcase_add_test(tc, no_memory_to_move);
    return run_suite(suite);
}
