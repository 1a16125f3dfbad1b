/* SPDX-License-Identifier: MIT */
/* Numbers as text, both ways. What is read stands in a heap block of exactly its
 * size, so that a sanitizer sees a byte read past the end. */
#include "base/number.h"

#include "suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---------------------------------------------------------------------- */

static int parse(const char *text, size_t len, uint64_t *ret, size_t *ret_used) {
    char *exact = malloc(len ? len : 1);
    const char *cursor = exact;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, text, len);
    int r = parse_u64(&cursor, exact + len, ret);
    ck_assert(cursor >= exact && cursor <= exact + len);
    *ret_used = (size_t)(cursor - exact);
    free(exact);
    return r;
}

static int number(const char *text, uint64_t *ret, size_t *ret_used) {
    return parse(text, strlen(text), ret, ret_used);
}

START_TEST(numbers) {
    uint64_t n = 99;
    size_t used;

    ck_assert_int_eq(number("0", &n, &used), 0);
    ck_assert(n == 0 && used == 1);
    ck_assert_int_eq(number("123 4", &n, &used), 0);
    ck_assert(n == 123 && used == 3);
    ck_assert_int_eq(number("9999999999999999999", &n, &used), 0);
    ck_assert(n == UINT64_C(9999999999999999999) && used == 19);
    ck_assert_int_eq(number("18446744073709551615x", &n, &used), 0);
    ck_assert(n == UINT64_MAX && used == 20);
    ck_assert_int_eq(number("0000000000000000000000000007", &n, &used), 0);
    ck_assert(n == 7 && used == 28);
}
END_TEST

START_TEST(numbers_refused) {
    static const char *const none[] = {"", "-1", "+1", " 1", "x", "\xb2", ":", "/"};
    static const char *const large[] = {
        "18446744073709551616", "18446744073709551620", "20000000000000000000",
        "99999999999999999999", "36893488147419103232", "184467440737095516150",
        "340282366920938463463374607431768211456",
    };
    uint64_t n = 99;
    size_t used;

    for (int i = 0; i < COUNT(none); i++) {
        ck_assert_int_eq(number(none[i], &n, &used), -EBADMSG);
        ck_assert(n == 99 && used == 0);
    }
    for (int i = 0; i < COUNT(large); i++) {
        ck_assert_int_eq(number(large[i], &n, &used), -ERANGE);
        ck_assert(n == 99 && used == strlen(large[i]));
    }
}
END_TEST

START_TEST(every_prefix) {
    static const char whole[] = "18446744073709551615";
    uint64_t wanted = 99; /* what was there stays where there is no number */

    for (size_t len = 0; len < sizeof(whole); len++) {
        uint64_t n = 99;
        size_t used;

        ck_assert_int_eq(parse(whole, len, &n, &used), len ? 0 : -EBADMSG);
        ck_assert_uint_eq(used, len);
        if (len)
            wanted = (len > 1 ? wanted * 10 : 0) + (uint64_t)(whole[len - 1] - '0');
        ck_assert_uint_eq(n, wanted);
    }
}
END_TEST

/* Against the C library, which says the same in another way. */
START_TEST(like_strtoull) {
    static const char likely[] = "0123456789012345678901234567890123456789 -+x\xff";
    uint64_t random = 88172645463325252u;

    for (int round = 0; round < 50000; round++) {
        char text[32];
        size_t len = (size_t)round % sizeof(text), digits, used;

        for (size_t i = 0; i < len; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text[i] = likely[random % (sizeof(likely) - 1)];
        }
        text[len] = '\0';
        digits = strspn(text, "0123456789");
        uint64_t n = 99;
        int r = parse(text, len, &n, &used);
        errno = 0;
        uint64_t wanted = strtoull(text, NULL, 10);
        bool is_large = errno == ERANGE;
        ck_assert_uint_eq(used, digits);
        ck_assert_msg(r == (digits == 0 ? -EBADMSG : is_large ? -ERANGE : 0), "%s", text);
        ck_assert_uint_eq(n, r == 0 ? wanted : 99);
    }
}
END_TEST

/* ---- Writing ---------------------------------------------------------------------- */

static void assert_written(uint64_t value) {
    char wanted[24], got[24];
    int len = snprintf(wanted, sizeof(wanted), "%" PRIu64, value);

    memset(got, '#', sizeof(got));
    size_t got_len = format_u64(got, value);
    assert_bytes(got, got_len, wanted, (size_t)len);
    ck_assert_int_eq(got[got_len], '#'); /* and not a byte more */
}

START_TEST(written) {
    uint64_t power = 1;

    for (uint64_t n = 0; n < 100000; n++)
        assert_written(n);
    for (int i = 0; i < 19; i++, power *= 10)
        for (int off = -1; off <= 1; off++)
            assert_written(power + (uint64_t)off);
    assert_written(power - 1);
    assert_written(power);
    for (int i = 0; i < 64; i++)
        assert_written(BIT(i));
    assert_written(UINT64_MAX - 1);
    assert_written(UINT64_MAX);
}
END_TEST

START_TEST(written_and_read_again) {
    uint64_t random = 88172645463325252u;

    for (int round = 0; round < 50000; round++) {
        char text[20];
        uint64_t n;
        size_t used;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint64_t value = random >> round % 64;
        size_t len = format_u64(text, value);
        ck_assert_int_eq(parse(text, len, &n, &used), 0);
        ck_assert_uint_eq(n, value);
        ck_assert_uint_eq(used, len);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("number");
    TCase *tc;

    tc = add_case(suite, "reading");
    tcase_add_test(tc, numbers);
    tcase_add_test(tc, numbers_refused);
    tcase_add_test(tc, every_prefix);
    tcase_add_test(tc, like_strtoull);
    tc = add_case(suite, "writing");
    tcase_add_test(tc, written);
    tcase_add_test(tc, written_and_read_again);
    return run_suite(suite);
}
