/* SPDX-License-Identifier: MIT */
#include "suite.h"

#include <stdlib.h>
#include <string.h>

TCase *add_case(Suite *suite, const char *name) {
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return tc;
}

int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void assert_bytes(const char *got, size_t got_len, const char *want, size_t want_len) {
    ck_assert_msg(got_len == want_len && memcmp(got_len ? got : "", want, want_len) == 0,
                  "got %zu bytes \"%.*s\", expected %zu bytes \"%.*s\"", got_len, (int)got_len,
                  got_len ? got : "", want_len, (int)want_len, want);
}
