/* SPDX-License-Identifier: MIT */
/* Text that is made fit to be a name, whatever a process calls itself. */
#include "base/utf8.h"

#include "suite.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static const struct {
    const char *in, *out;
} cleanings[] = {
    {"", ""},
    {"bash", "bash"},
    {"a b\"c'd,e=f{g}", "a b\"c'd,e=f{g}"},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    /* controls */
    {"a\nb\rc\td\x01\x1f\x7f", "a?b?c?d???"},
    {"\x1b[31mred", "?[31mred"},
    {"\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0", "???\xc2\xa0"},
    /* direction marks, line separators, byte order mark */
    {"\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "???"},
    {"\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae", "?????"},
    {"\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9", "????"},
    {"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf", "???"},
    {"\xe2\x80\xa7\xe2\x80\xaf", "\xe2\x80\xa7\xe2\x80\xaf"}, /* their neighbours are fine */
    /* no UTF-8 */
    {"\xff", BAD},
    {"\xfe\xff", BAD BAD},
    {"a\x80z", "a" BAD "z"},
    {"\xc3", BAD},
    {"\xc3z", BAD "z"},
    {"\xe2\x82", BAD BAD},
    {"\xe2\x82z", BAD BAD "z"},
    {"\xf0\x9f\x98", BAD BAD BAD},
    {"\xc3\xc3\xa9", BAD "\xc3\xa9"},
    /* overlong: '/' in two, three, four bytes; NUL in two */
    {"\xc0\xaf", BAD BAD},
    {"\xc1\xbf", BAD BAD},
    {"\xe0\x80\xaf", BAD BAD BAD},
    {"\xe0\x9f\xbf", BAD BAD BAD},
    {"\xf0\x80\x80\xaf", BAD BAD BAD BAD},
    {"\xf0\x8f\xbf\xbf", BAD BAD BAD BAD},
    {"\xc0\x80", BAD BAD},
    /* surrogates, and beyond Unicode */
    {"\xed\xa0\x80", BAD BAD BAD},
    {"\xed\xbf\xbf", BAD BAD BAD},
    {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"\xf4\x90\x80\x80", BAD BAD BAD BAD},
    {"\xf5\x80\x80\x80", BAD BAD BAD BAD},
    {"\xf8\x88\x80\x80\x80", BAD BAD BAD BAD BAD},
    /* a backslash at the end can't be told in line protocol */
    {"a\\b", "a\\b"},
    {"a\\", "a?"},
    {"a\\\\\\", "a???"},
    {"\\", "?"},
    {"\\\xff", "\\" BAD},
    {BAD, BAD},
};

START_TEST(cleaned) {
    size_t len = strlen(cleanings[_i].in);
    char *in = malloc(len ? len : 1); /* so that a sanitizer sees a byte past the end */
    struct buf to;

    ck_assert_ptr_nonnull(in);
    memcpy(in, cleanings[_i].in, len);
    buf_init(&to, 4096);
    buf_add_str(&to, "\\"); /* what stood there before is not touched */
    utf8_clean(in, len, 1000, &to);
    ck_assert_int_eq(to.data[0], '\\');
    assert_bytes(to.data + 1, to.len - 1, cleanings[_i].out, strlen(cleanings[_i].out));
    buf_free(&to);
    free(in);
}
END_TEST

START_TEST(cut_between_characters) {
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" "b\\\\c";
    static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 12, 13, 14, 14};

    for (size_t max = 0; max < sizeof(cuts) / sizeof(cuts[0]); max++) {
        struct buf to;
        buf_init(&to, 4096);
        utf8_clean(text, sizeof(text) - 1, max, &to);
        ck_assert_uint_eq(to.len, cuts[max]);
        ck_assert(to.len == 0 || to.data[to.len - 1] != '\\');
        buf_free(&to);
    }
    /* three bytes stand for one that is wrong: they are not cut either */
    for (size_t max = 0; max <= 9; max++) {
        struct buf to;
        buf_init(&to, 4096);
        utf8_clean("\xff\xff\xff", 3, max, &to);
        ck_assert_uint_eq(to.len, max / 3 * 3);
        buf_free(&to);
    }
}
END_TEST

/* An independent look: is it well-formed, by the table in Unicode's chapter 3? */
static bool is_fit(const unsigned char *s, size_t len) {
    size_t i = 0;

    if (len && s[len - 1] == '\\')
        return false;
    while (i < len) {
        unsigned low = 0x80, high = 0xbf;
        size_t more;

        if (s[i] < 0x80) {
            if (s[i] < 0x20 || s[i] == 0x7f)
                return false;
            i++;
            continue;
        }
        if (s[i] >= 0xc2 && s[i] <= 0xdf)
            more = 1;
        else if (s[i] >= 0xe0 && s[i] <= 0xef)
            more = 2;
        else if (s[i] >= 0xf0 && s[i] <= 0xf4)
            more = 3;
        else
            return false;
        if (s[i] == 0xe0)
            low = 0xa0;
        if (s[i] == 0xed)
            high = 0x9f;
        if (s[i] == 0xf0)
            low = 0x90;
        if (s[i] == 0xf4)
            high = 0x8f;
        if (i + more >= len)
            return false;
        if (s[i] == 0xc2 && s[i + 1] < 0xa0)
            return false; /* C1 */
        for (size_t k = 1; k <= more; k++, low = 0x80, high = 0xbf)
            if (s[i + k] < low || s[i + k] > high)
                return false;
        i += more + 1;
    }
    return true;
}

START_TEST(random_bytes_become_fit) {
    static const unsigned char likely[] = {0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0x80, 0x9f, 0xa0,
                                           0xbf, '\\', 'a',  '\n', 0xe2, 0x80, 0xae, 0xff};
    uint64_t random = 88172645463325252u;

    for (int round = 0; round < 20000; round++) {
        char in[24];
        struct buf once, twice;

        for (size_t i = 0; i < sizeof(in); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            in[i] = (char)(round % 2 ? random : likely[random % sizeof(likely)]);
        }
        buf_init(&once, 4096);
        buf_init(&twice, 4096);
        size_t max = (size_t)round % 40;
        utf8_clean(in, sizeof(in), max, &once);
        ck_assert_uint_le(once.len, max);
        ck_assert(is_fit((const unsigned char *)once.data, once.len));
        utf8_clean(once.data, once.len, max, &twice);
        assert_bytes(twice.data, twice.len, once.len ? once.data : "", once.len);
        buf_free(&once);
        buf_free(&twice);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("utf8");
    TCase *tc = add_case(suite, "cleaning");

    tcase_add_loop_test(tc, cleaned, 0, COUNT(cleanings));
    tcase_add_test(tc, cut_between_characters);
    tcase_add_test(tc, random_bytes_become_fit);
    return run_suite(suite);
}
