/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char path[300];

static void write_file(const char *text, time_t age_s) {
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - age_s}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void setup(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%s/watch-XXXXXX", tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void teardown(void) {
    unlink(path);
}

START_TEST(versions) {
    write_file("one", 100);
    const struct stat first = watch_look(path), again = watch_look(path);
    ck_assert(watch_is_same(&first, &again));
    write_file("two", 50);
    const struct stat second = watch_look(path);
    ck_assert(!watch_is_same(&first, &second));
    write_file("three", 50);
    const struct stat third = watch_look(path);
    ck_assert(!watch_is_same(&second, &third));
    unlink(path);
    const struct stat gone = watch_look(path), still_gone = watch_look(path);
    ck_assert(!watch_is_same(&third, &gone));
    ck_assert(watch_is_same(&gone, &still_gone));
}
END_TEST

START_TEST(being_written) {
    write_file("one", 100);
    struct stat st = watch_look(path);
    ck_assert(!watch_is_being_written(&st));
    /* just now, and by a clock that has been set back since */
    st.st_mtim.tv_sec = time(NULL);
    ck_assert(watch_is_being_written(&st));
    st.st_mtim.tv_sec += 86400;
    ck_assert(!watch_is_being_written(&st));
    write_file("", 100);
    st = watch_look(path);
    ck_assert(watch_is_being_written(&st));
    /* neither what is not there nor a device is waited for */
    st = watch_look("/dev/null");
    ck_assert(!watch_is_being_written(&st));
    unlink(path);
    st = watch_look(path);
    ck_assert(!watch_is_being_written(&st));
}
END_TEST

START_TEST(emptied) {
    write_file("one", 100);
    const struct stat full = watch_look(path);
    write_file("", 50);
    const struct stat empty = watch_look(path);
    ck_assert(watch_is_emptied(&empty, &full));
    ck_assert(!watch_is_emptied(&full, &empty));
    ck_assert(!watch_is_emptied(&empty, &empty));
    unlink(path);
    const struct stat gone = watch_look(path);
    ck_assert(!watch_is_emptied(&gone, &full));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("watch");
    TCase *tc = add_case(suite, "files");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, versions);
    tcase_add_test(tc, being_written);
    tcase_add_test(tc, emptied);
    return run_suite(suite);
}
