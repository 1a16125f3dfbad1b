/* SPDX-License-Identifier: MIT */
/* JSON of texts of any bytes, and of numbers. */
#include "json.h"

#include "suite.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text, *json;
} strings[] = {
    {"", "\"\""},
    {"a \"b\" \\c/", "\"a \\\"b\\\" \\\\c/\""},
    {"\x1b[31m\n\x7f", "\"\\u001b[31m\\u000a\\u007f\""},
    {"Größe \xe2\x82\xac \xf0\x9f\x90\xa7", "\"Größe \xe2\x82\xac \xf0\x9f\x90\xa7\""},
    /* alone, cut short, too long, half a pair, past the end */
    {"\x80z", "\"\\ufffdz\""},
    {"\xe2\x82", "\"\\ufffd\\ufffd\""},
    {"\xc0\xaf", "\"\\ufffd\\ufffd\""},
    {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
    {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
    {"\xff", "\"\\ufffd\""},
};

static const struct {
    struct tally_number number;
    const char *json;
} numbers[] = {
    {{.whole = 0}, "0"},
    {{.whole = UINT64_MAX}, "18446744073709551615"},
    {{.negative = true, .whole = 20}, "-20"},
    {{.whole = 1, .billionths = 500000000}, "1.5"},
    {{.whole = 0, .billionths = 1}, "0.000000001"},
};

static FILE *to;
static char *text;
static size_t len;

static void setup(void) {
    to = open_memstream(&text, &len);
    ck_assert(to != NULL);
}

static void teardown(void) {
    free(text);
}

START_TEST(a_string) {
    json_text(to, strings[_i].text);
    ck_assert(fclose(to) == 0);
    ck_assert_str_eq(text, strings[_i].json);
}
END_TEST

START_TEST(a_nul) {
    json_string(to, "a\0b", 3);
    ck_assert(fclose(to) == 0);
    ck_assert_str_eq(text, "\"a\\u0000b\"");
}
END_TEST

START_TEST(a_number) {
    json_number(to, numbers[_i].number);
    ck_assert(fclose(to) == 0);
    ck_assert_str_eq(text, numbers[_i].json);
}
END_TEST

START_TEST(keys) {
    bool is_first = true;
    json_key(to, &is_first, "a");
    json_key(to, &is_first, "b");
    ck_assert(fclose(to) == 0);
    ck_assert_str_eq(text, "\"a\":,\"b\":");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json");
    TCase *tc = add_case(suite, "json");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_string, 0, COUNT(strings));
    tcase_add_test(tc, a_nul);
    tcase_add_loop_test(tc, a_number, 0, COUNT(numbers));
    tcase_add_test(tc, keys);
    return run_suite(suite);
}
