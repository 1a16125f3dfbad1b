/* SPDX-License-Identifier: MIT */
/* What gets to a terminal. */
#include "text.h"

#include "suite.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    size_t room, width; /* width: of the whole */
    const char *shown;
} cases[] = {
    {"", 5, 0, ""},
    {"plain", 9, 5, "plain"},
    {"plain", 3, 5, "pla"},
    {"\x1b[31mred\n", 99, 9, "?[31mred?"},
    {"Größe", 4, 5, "Größ"},
    {"\xff\xfe", 9, 2, "??"},
    {"漢字", 4, 4, "漢字"},
    {"漢字", 3, 4, "漢"}, /* the second has two columns */
    {"e\xcc\x81!", 2, 2, "e\xcc\x81!"}, /* an accent has none */
    {"\xc2\x9b" "31m", 9, 4, "?31m"},    /* the escape in one character */
};

START_TEST(a_text) {
    char *shown;
    size_t len;
    FILE *to = open_memstream(&shown, &len);
    const char *text = cases[_i].text;

    ck_assert(to != NULL);
    ck_assert_uint_eq(text_width(text, strlen(text)), cases[_i].width);
    size_t written = text_write(to, text, strlen(text), cases[_i].room);
    ck_assert(fclose(to) == 0);
    ck_assert_str_eq(shown, cases[_i].shown);
    ck_assert_uint_eq(written, text_width(shown, len));
    free(shown);
}
END_TEST

static const struct {
    uint64_t amount;
    const char *text;
} bytes[] = {
    {0, "0"},          {999, "999"},           {1000, "1.0K"},         {1024, "1.0K"},
    {102348, "99.9K"}, {102400, "100K"},       {1023 * 1024, "1023K"}, {1048063, "1023K"},
    {1048064, "1.0M"}, {UINT64_MAX, "16.0E"},
}, times[] = {
    {0, "0.000s"},
    {999999999, "0.999s"},
    {9999999999, "9.99s"},
    {10000000000, "0:10.0"},
    {3599999999999, "59:59.9"},
    {3600000000000, "1:00:00"},
    {86399999999999, "23:59:59"},
    {97200000000000, "1d03h"},
};

START_TEST(an_amount_of_bytes) {
    char text[AMOUNT_SIZE];
    ck_assert_str_eq(amount_bytes(bytes[_i].amount, text), bytes[_i].text);
}
END_TEST

START_TEST(an_amount_of_time) {
    char text[AMOUNT_SIZE];
    ck_assert_str_eq(amount_time(times[_i].amount, text), times[_i].text);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("text");
    TCase *tc = add_case(suite, "text");

    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    tcase_add_loop_test(tc, a_text, 0, COUNT(cases));
    tcase_add_loop_test(tc, an_amount_of_bytes, 0, COUNT(bytes));
    tcase_add_loop_test(tc, an_amount_of_time, 0, COUNT(times));
    return run_suite(suite);
}
