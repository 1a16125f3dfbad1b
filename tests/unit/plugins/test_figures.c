/* SPDX-License-Identifier: MIT */
/* What a command has used: the kernel's account of what was waited for. */
#include "figures.h"

#include "suite.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each is a row of the catalogue, and no two have a key. */
START_TEST(names) {
    for (enum figure f = 0; f < FIGURES; f++) {
        const struct tally_metric *metric = tally_metric(figure_metric(f));
        ck_assert(metric->scope == TALLY_SCOPE_GROUP && metric->kind == TALLY_KIND_COUNTER);
        ck_assert_int_eq(metric->unit == TALLY_UNIT_NS, figure_is_time(f));
        for (enum figure other = 0; other < f; other++) {
            ck_assert_str_ne(figure_key(f), figure_key(other));
            ck_assert_uint_ne(figure_metric(f), figure_metric(other));
        }
    }
}
END_TEST

/* Bytes of a child are those of the child alone, to the byte, whatever we read ourselves. */
START_TEST(waited_io) {
    struct figures before = {0}, after = {0};
    char text[1000];
    ck_assert_int_eq(figures_add_waited_io(&before), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("/dev/zero", O_RDONLY), to = open("/dev/null", O_WRONLY);
        for (int i = 0; i < 7; i++)
            if (read(fd, text, sizeof(text)) != (ssize_t)sizeof(text) || write(to, text, 10) != 10)
                _exit(1);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    int fd = open("/dev/zero", O_RDONLY);
    ck_assert_int_eq(read(fd, text, sizeof(text)), sizeof(text));
    close(fd);
    for (int i = 0; i < 3; i++) {
        after = (struct figures){0};
        ck_assert_int_eq(figures_add_waited_io(&after), 0);
        ck_assert_uint_eq(after.value[FIGURE_IO_READ] - before.value[FIGURE_IO_READ], 7000);
        ck_assert_uint_eq(after.value[FIGURE_IO_WRITTEN] - before.value[FIGURE_IO_WRITTEN], 70);
        ck_assert_uint_eq(after.value[FIGURE_IO_READS] - before.value[FIGURE_IO_READS], 7);
        ck_assert_uint_eq(after.value[FIGURE_IO_WRITES] - before.value[FIGURE_IO_WRITES], 7);
    }
}
END_TEST

START_TEST(alive) {
    struct figures f = {0};
    ck_assert_int_eq(figures_add_alive(&f, getpid()), 0);
    ck_assert_uint_gt(f.value[FIGURE_FAULTS_MINOR], 0);
    ck_assert_uint_gt(f.value[FIGURE_IO_READ], 0);
    ck_assert_uint_eq(f.known & FIGURES_CPU, FIGURES_CPU);
    ck_assert_int_lt(figures_add_alive(&f, 0x3ffffff), 0);
}
END_TEST

START_TEST(the_larger_one) {
    struct figures a = {.value = {[FIGURE_CPU_USER] = 5, [FIGURE_CPU_SYSTEM] = 5,
                                  [FIGURE_IO_READ] = 9},
                        .known = FIGURES_CPU | FIGURE(FIGURE_IO_READ),
                        .exact = FIGURE(FIGURE_IO_READ)};
    const struct figures b = {.value = {[FIGURE_CPU_USER] = 1, [FIGURE_CPU_SYSTEM] = 10,
                                        [FIGURE_IO_READ] = 8, [FIGURE_STARTS] = 3},
                              .known = FIGURES_CPU | FIGURE(FIGURE_IO_READ) |
                                       FIGURE(FIGURE_STARTS),
                              .exact = FIGURES_CPU};
    figures_take_larger(&a, &b);
    /* the two parts of CPU time from the same account */
    ck_assert_uint_eq(a.value[FIGURE_CPU_USER], 1);
    ck_assert_uint_eq(a.value[FIGURE_CPU_SYSTEM], 10);
    ck_assert_uint_eq(a.value[FIGURE_IO_READ], 9);
    ck_assert_uint_eq(a.value[FIGURE_STARTS], 3);
    ck_assert_uint_eq(a.exact, FIGURES_CPU | FIGURE(FIGURE_IO_READ));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("figures");
    TCase *tc = add_case(suite, "figures");

    tcase_add_test(tc, names);
    tcase_add_test(tc, waited_io);
    tcase_add_test(tc, alive);
    tcase_add_test(tc, the_larger_one);
    return run_suite(suite);
}
