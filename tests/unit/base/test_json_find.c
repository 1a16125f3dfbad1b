/* SPDX-License-Identifier: MIT */
/* Texts out of JSON that others have written: what is found, what is refused, what is cut. */
#include "base/json_find.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char texts[2][16];
static struct json_text wanted[2];

static void setup(void) {
    wanted[0] = (struct json_text){.path = {"a", "b.c"}, .to = texts[0], .size = sizeof(texts[0])};
    wanted[1] = (struct json_text){.path = {"d"}, .to = texts[1], .size = sizeof(texts[1])};
}

/* In memory that ends where the document does. */
static int find(const char *document, size_t len) {
    char *copy = malloc(len ? len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, document, len);
    int r = json_find(copy, len, wanted, 2);
    free(copy);
    return r;
}

static const struct {
    const char *document, *first, *second; /* NULL: not found */
} cases[] = {
    {"{}", NULL, NULL},
    {"[]", NULL, NULL},
    {"\"d\"", NULL, NULL},
    {" { \"d\" : \"x\" } ", NULL, "x"},
    {"{\"a\":{\"b.c\":\"1\",\"b\":\"2\"},\"d\":\"3\"}", "1", "3"},
    {"{\"d\":\"3\",\"a\":{\"x\":[1,{\"b.c\":\"no\"}],\"b.c\":\"1\"}}", "1", "3"},
    {"{\"b.c\":\"no\",\"x\":{\"d\":\"no\"}}", NULL, NULL},
    {"[{\"d\":\"no\"}]", NULL, NULL},
    {"{\"a\":[{\"b.c\":\"no\"}]}", NULL, NULL},
    {"{\"a\":{\"a\":{\"b.c\":\"no\"}}}", NULL, NULL},
    {"{\"a\":\"x\",\"d\":{\"b.c\":\"no\"}}", NULL, NULL},
    {"{\"d\":\"\"}", NULL, ""},
    /* what is no string is not found */
    {"{\"d\":1}", NULL, NULL},
    {"{\"d\":null}", NULL, NULL},
    {"{\"d\":[\"x\"]}", NULL, NULL},
    {"{\"d\":true,\"e\":false}", NULL, NULL},
    /* the last counts */
    {"{\"d\":\"1\",\"d\":\"2\"}", NULL, "2"},
    {"{\"d\":\"1\",\"d\":2}", NULL, NULL},
    {"{\"a\":{\"b.c\":\"1\"},\"a\":{}}", NULL, NULL},
    {"{\"a\":{\"b.c\":\"1\"},\"a\":{\"b.c\":7}}", NULL, NULL},
    /* escapes, in keys as well */
    {"{\"\\u0061\":{\"b\\u002Ec\":\"x\"}}", "x", NULL},
    {"{\"d\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", NULL, "\"\\/\b\f\n\r\t"},
    {"{\"d\":\"\\u00e4\\u20AC\\ud83d\\ude00\"}", NULL, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"{\"d\":\"\\ud83dx\"}", NULL, "\xef\xbf\xbdx"},
    {"{\"d\":\"\\ude00\\ud83d\\u0041\"}", NULL, "\xef\xbf\xbd\xef\xbf\xbd" "A"},
    /* numbers */
    {"{\"x\":[0,-0,1.5,-1e5,2E+7,3e-1,10],\"d\":\"x\"}", NULL, "x"},
    /* cut between characters */
    {"{\"d\":\"0123456789abcdef\"}", NULL, "0123456789abcdef"},
    {"{\"d\":\"0123456789abcdefg\"}", NULL, "0123456789abcdef"},
    {"{\"d\":\"0123456789abcd\xe2\x82\xac!\"}", NULL, "0123456789abcd"},
    {"{\"d\":\"0123456789abcd\\u20ac!\"}", NULL, "0123456789abcd"},
};

static void check_text(const struct json_text *w, const char *expected) {
    ck_assert_msg(w->found == (expected != NULL), "%s", w->path[0]);
    if (expected)
        assert_bytes(w->to, w->len, expected, strlen(expected));
}

START_TEST(documents) {
    ck_assert_int_eq(find(cases[_i].document, strlen(cases[_i].document)), 0);
    check_text(&wanted[0], cases[_i].first);
    check_text(&wanted[1], cases[_i].second);
}
END_TEST

static const char *const bad[] = {
    "", " ", "x", "{", "}", "{\"d\"}", "{\"d\":}", "{\"d\":\"x\",}", "{,}", "{d:1}", "{'d':'x'}",
    "{\"d\":\"x\"", "{\"d\":\"x\"}}", "{\"d\":\"x\"} {}", "{\"d\":\"x\"}x", "{\"d\":\"x", "[1,]", "[1 2]",
    "[1}", "{\"d\":\"x\"]", "tru", "nul", "True", "NaN", "-", "01", "1.", ".5", "1e", "1e+", "+1", "0x1",
    "\"\n\"", "\"\t\"", "\"\\x\"", "\"\\", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud83d\\u12\"",
    "{\"d\":\"x\" /* */}", "\xef\xbb\xbf{}", "{\"d\":\"x\",\"e\":\"\x01\"}", "{\"d\":\"x\"}\f"};

START_TEST(no_documents) {
    ck_assert_int_eq(find(bad[_i], strlen(bad[_i])), -EBADMSG);
    ck_assert(!wanted[0].found && !wanted[1].found);
}
END_TEST

START_TEST(with_nul_bytes) {
    static const char inside[] = "{\"d\":\"x\0y\"}", behind[] = "{\"d\":\"x\"}\0";
    static const char escaped[] = "{\"d\":\"x\\u0000y\"}";
    ck_assert_int_eq(find(inside, sizeof(inside) - 1), -EBADMSG);
    ck_assert_int_eq(find(behind, sizeof(behind) - 1), -EBADMSG);
    ck_assert_int_eq(find(escaped, sizeof(escaped) - 1), 0);
    assert_bytes(wanted[1].to, wanted[1].len, "x\0y", 3);
}
END_TEST

static int nested(size_t depth) {
    static char document[4096];
    memset(document, '[', depth);
    memset(document + depth, ']', depth);
    return find(document, 2 * depth);
}

START_TEST(depth) {
    ck_assert_int_eq(nested(JSON_DEPTH), 0);
    ck_assert_int_eq(nested(JSON_DEPTH + 2), -EBADMSG);
    ck_assert_int_eq(nested(2000), -EBADMSG);
}
END_TEST

START_TEST(every_beginning_is_refused) {
    static const char document[] =
        "{\"a\":{\"b.c\":\"\\u00e4\\n\"},\"x\":[1.5e-3,true,false,null,{}],\"d\":\"\xc3\xa4\"}";
    for (size_t len = 0; len < sizeof(document) - 1; len++)
        ck_assert_int_eq(find(document, len), -EBADMSG);
    ck_assert_int_eq(find(document, sizeof(document) - 1), 0);
}
END_TEST

START_TEST(a_long_key) {
    char document[400], key[300];
    memset(key, 'd', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    int len = snprintf(document, sizeof(document), "{\"%s\":\"no\",\"d\":\"x\"}", key);
    ck_assert_int_eq(find(document, (size_t)len), 0);
    check_text(&wanted[1], "x");
}
END_TEST

static const struct {
    const char *document;
    int count, end;
} arrays[] = {
    {"[]", 0, 0},         {" [ ] ", 0, 0},   {"[1]", 1, 0},          {"[ {\"a\":[1]} , \"]\" ]\n", 2, 0},
    {"", 0, -EBADMSG},    {"{}", 0, -EBADMSG}, {"[", 0, -EBADMSG},   {"[1", 1, -EBADMSG},
    {"[1,]", 1, -EBADMSG}, {"[1]]", 1, -EBADMSG}, {"[] x", 0, -EBADMSG}, {"[1 2]", 1, -EBADMSG},
    {"[,1]", 0, -EBADMSG},
};

START_TEST(elements) {
    struct json_array array = {.at = arrays[_i].document,
                               .end = arrays[_i].document + strlen(arrays[_i].document)};
    const char *at;
    size_t len;
    int count = 0, r;
    while ((r = json_array_next(&array, &at, &len)) == 1) {
        count++;
        ck_assert_int_eq(find(at, len), 0);
    }
    ck_assert_int_eq(count, arrays[_i].count);
    ck_assert_int_eq(r, arrays[_i].end);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json_find");
    TCase *tc = add_case(suite, "documents");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, documents, 0, COUNT(cases));
    tcase_add_loop_test(tc, no_documents, 0, COUNT(bad));
    tcase_add_test(tc, with_nul_bytes);
    tcase_add_test(tc, depth);
    tcase_add_test(tc, every_beginning_is_refused);
    tcase_add_test(tc, a_long_key);
    tcase_add_loop_test(tc, elements, 0, COUNT(arrays));
    return run_suite(suite);
}
