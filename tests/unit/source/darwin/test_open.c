/* SPDX-License-Identifier: MIT */
/* What is asked of macOS outside of the source: open.c, here in place of what Linux has of that,
 * on a Mac that is made up. */
#include "mac.h"

#include "suite.h"

#include <errno.h>
#include <string.h>

int darwin_calls_open(struct darwin_calls *ret) {
    *ret = mac_calls;
    return 0;
}

/* ---- What it is asked for ----------------------------------------------------------------- */

/* What asks for another source asks for what is not there. */
START_TEST(other_sources_are_refused) {
    static char pin[] = "/x";
    static const struct {
        enum source_choice source;
        char *pin;
        const char *why;
    } cases[] = {
        {SOURCE_AUTO, NULL, NULL},
        {SOURCE_PROCFS, NULL, "source procfs is not there on macOS; expected source auto"},
        {SOURCE_BPF, NULL, "source bpf is not there on macOS; expected source auto"},
        {SOURCE_BPF, pin, "source bpf is not there on macOS; expected source auto, without pin"},
        {SOURCE_AUTO, pin, "what pin is for is not there on macOS; expected source auto, without "
                            "pin"},
    };
    struct settings settings = {.source = cases[_i].source, .pin_dir = cases[_i].pin};
    const struct source_needs needs = {0};
    struct tally_error error, why_not;
    struct source *s = NULL;
    int r = source_open(&settings, &tree_io, &needs, &s, &error, &why_not);
    ck_assert_int_eq(r, cases[_i].why ? -ENOTSUP : 0);
    if (cases[_i].why)
        ck_assert_str_eq(error.text, cases[_i].why);
    else
        s->ops->free(s);
}
END_TEST

START_TEST(names_of_containers_are_not_there) {
    struct tally_error text;
    int said = 0;
    tally *t = tree_collector("container-names", "true", "collect", "pss", NULL);
    for (int i = 0; i < 2; i++) {
        clock_set(1000 + 10 * i);
        tree_collect(t);
    }
    while (tally_notice(t, &text))
        said += strcmp(text.text, "absent, as this system has nothing of the kind: pss, "
                                  "container-names") == 0;
    ck_assert_int_eq(said, 1);
    tally_free(t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("darwin_open");
    TCase *tc = add_case(suite, "asked for");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_loop_test(tc, other_sources_are_refused, 0, 5);
    tcase_add_test(tc, names_of_containers_are_not_there);
    return run_suite(suite);
}
