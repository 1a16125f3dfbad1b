/* SPDX-License-Identifier: MIT */
/* When a listing takes a process for one that sleeps, made by a survey and by an iterator: only
 * if it shows all that its threads have used. */
#include "build-config.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_BPF

#include "source/linux/bpf_index.h"
#include "source/linux/bpf_listing.h"
#include "source/linux/bpf_log.h"
#include "source/linux/bpf_skeleton.h"
#include "suite.h"

#include <bpf/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct bpf_handles kernel;
static struct bpf_listing listing;
static struct bpf_index idx;
static pid_t child;

/* ---- A process that sleeps ------------------------------------------------------------------- */

static void *sleep_on(void *unused) {
    for (;;)
        pause();
    return unused;
}

static void wait_for_sleep(void) {
    char path[64], text[512] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
    for (int i = 0; i < 1000 && !strstr(text, ") S"); i++) {
        FILE *f = fopen(path, "r");
        ck_assert_ptr_nonnull(f);
        ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
        fclose(f);
        usleep(10000);
    }
    ck_assert_ptr_nonnull(strstr(text, ") S"));
}

static void start(bool has_thread) {
    pthread_t thread;
    int ready[2];
    char byte = 0;
    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (has_thread && pthread_create(&thread, NULL, sleep_on, NULL) != 0)
            _exit(1);
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        sleep_on(NULL);
    }
    close(ready[1]);
    ck_assert_int_eq((int)read(ready[0], &byte, 1), 1);
    close(ready[0]);
    usleep(50000); /* its thread, too */
    wait_for_sleep();
}

static void teardown(void) {
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    child = 0;
}

/* What the programs know of it: how many of its threads have exited and are not freed yet. */
static void change_unfreed(int more) {
    const int fd = bpf_map__fd(kernel.skeleton->maps.recent_processes);
    const uint32_t pid = (uint32_t)child;
    struct process_entry entry;
    ck_assert_int_eq(bpf_map_lookup_elem(fd, &pid, &entry), 0);
    entry.unfreed += more;
    ck_assert_int_eq(bpf_map_update_elem(fd, &pid, &entry, BPF_EXIST), 0);
}

/* ---- Listings --------------------------------------------------------------------------------- */

/* The kind of its record in another listing. No process has its turn. */
static uint32_t list_by(bool may_survey, bool is_survey) {
    struct bpf_handles used = kernel;
    if (!may_survey)
        used.answers = NULL;
    used.data->list_in_full = 0;
    used.bss->list_ns = boot_ns(0);
    used.bss->list_s = (uint32_t)(used.bss->list_ns / 1000000000);
    used.bss->since_s = 0;
    ck_assert_int_eq(bpf_listing_begin(&listing, &used, false), 0);
    ck_assert_int_eq(bpf_listing_read(&listing, &used), 0);
    ck_assert(listing.is_survey == is_survey);
    bpf_listing_end(&listing);
    kernel.found = used.found;
    kernel.found_mapped = used.found_mapped;
    ck_assert_int_eq(bpf_index_make(&idx, &listing.records), 0);
    const struct bpf_place *place = bpf_index_find(&idx, (uint32_t)child);
    ck_assert_ptr_nonnull(place);
    return bpf_index_process(&idx, place)->kind;
}

/* As of that listing. */
static uint32_t listed_parent(void) {
    return bpf_index_process(&idx, bpf_index_find(&idx, (uint32_t)child))->ppid;
}

static bool by_survey;

static uint32_t list(void) {
    return list_by(by_survey, by_survey);
}

/* A thread has exited, but is not freed yet: what it used is in no listing. */
START_TEST(until_all_are_freed) {
    by_survey = _i;
    if (by_survey && !kernel.answers)
        return;
    start(false);
    change_unfreed(1);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(list(), RECORD_PROCESS);
    change_unfreed(-1);
    ck_assert_uint_eq(list(), RECORD_PROCESS);
    ck_assert_uint_eq(list(), RECORD_SAME);
}
END_TEST

/* Its main thread does not tell an iterator whether the other one has run. */
START_TEST(with_another_thread) {
    by_survey = _i;
    if (by_survey && !kernel.answers)
        return;
    start(true);
    ck_assert_uint_eq(list(), RECORD_PROCESS);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(list(), by_survey ? RECORD_SAME : RECORD_PROCESS);
}
END_TEST

/* In `child`; a process between us and it. */
static pid_t start_below_another(void) {
    int told[2];
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ck_assert_int_eq(pipe(told), 0);
    const pid_t between = fork();
    ck_assert_int_ge(between, 0);
    if (between == 0) {
        const pid_t below = fork();
        if (below == 0)
            sleep_on(NULL);
        if (write(told[1], &below, sizeof(below)) != (ssize_t)sizeof(below))
            _exit(1);
        sleep_on(NULL);
    }
    ck_assert_int_eq((int)read(told[0], &child, sizeof(child)), (int)sizeof(child));
    close(told[0]);
    close(told[1]);
    wait_for_sleep();
    return between;
}

/* Its parent ends while it sleeps: the kernel gives it another one. */
START_TEST(with_another_parent) {
    by_survey = _i;
    if (by_survey && !kernel.answers)
        return;
    const pid_t between = start_below_another();
    ck_assert_uint_eq(list(), RECORD_PROCESS);
    ck_assert_uint_eq(listed_parent(), (uint32_t)between);
    ck_assert_uint_eq(list(), RECORD_SAME);
    ck_assert_int_eq(kill(between, SIGKILL), 0);
    ck_assert_int_eq(waitpid(between, NULL, 0), between);
    ck_assert_uint_eq(list(), RECORD_PROCESS);
    ck_assert_uint_eq(listed_parent(), (uint32_t)getpid());
    ck_assert_uint_eq(list(), RECORD_SAME);
}
END_TEST

/* A survey gives up after so many tasks, and the next ones are not even begun. */
START_TEST(more_tasks_than_are_surveyed) {
    if (!kernel.answers)
        return;
    start(false);
    kernel.skeleton->data->surveyed_most = 10;
    ck_assert_uint_eq(list_by(true, false), RECORD_PROCESS);
    ck_assert_uint_eq(kernel.skeleton->bss->surveyed.tasks, 11);
    kernel.skeleton->bss->surveyed.tasks = 0;
    list_by(true, false);
    for (int i = 1; i < 15; i++) /* it is listed all the same, as one that sleeps */
        ck_assert_uint_eq(list_by(true, false), RECORD_SAME);
    ck_assert_uint_eq(kernel.skeleton->bss->surveyed.tasks, 0);
    list_by(true, false);
    ck_assert_uint_eq(kernel.skeleton->bss->surveyed.tasks, 11);
    kernel.skeleton->data->surveyed_most = SURVEYED_MOST;
    for (int i = 0; i < 15; i++)
        list_by(true, false);
    list_by(true, true);
    ck_assert_uint_gt(kernel.skeleton->bss->surveyed.tasks, 11);
    ck_assert_uint_eq(list_by(true, true), RECORD_SAME);
}
END_TEST

int main(void) {
    const struct bpf_wants wants = {.max_processes = 65536};
    struct tally_error why = {{0}};
    bpf_handles_reset(&kernel);
    bpf_log_begin();
    int r = bpf_load(&kernel, &wants, false, &why);
    bpf_log_end();
    if (r < 0) {
        printf("%s\n", why.text);
        return 77;
    }
    bpf_listing_init(&listing);
    Suite *s = suite_create("bpf_listing");
    TCase *c = add_case(s, "sleepers");
    tcase_add_checked_fixture(c, NULL, teardown);
    tcase_add_loop_test(c, until_all_are_freed, 0, 2);
    tcase_add_loop_test(c, with_another_thread, 0, 2);
    tcase_add_loop_test(c, with_another_parent, 0, 2);
    tcase_add_test(c, more_tasks_than_are_surveyed);
    const int status = run_suite(s);
    bpf_index_free(&idx);
    bpf_listing_free(&listing);
    bpf_unmap_survey(&kernel);
    bpf_unmap_places(&kernel);
    proctally_bpf__destroy(kernel.skeleton);
    return status;
}

#else

int main(void) {
    printf("this build has no source bpf\n");
    return 77;
}

#endif
