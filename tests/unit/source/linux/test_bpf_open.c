/* SPDX-License-Identifier: MIT */
/* Collectors with source bpf that are opened and closed in two threads at the same time, in
 * a program that uses libbpf itself: its print function stays, and hears what is said to
 * it and nothing else. */
#include "build-config.h"
#include "proctally.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_BPF

#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define OPENERS 2
#define ROUNDS 4

static tally *open_collector(struct tally_error *error) {
    tally_config *config;
    tally *t = NULL;
    if (tally_config_new(&config) < 0)
        return NULL;
    if (tally_config_set(config, "source", "bpf", error) == 0 &&
        tally_config_set(config, "collect", "network", error) == 0)
        (void)tally_new(config, NULL, &t, error);
    tally_config_free(config);
    return t;
}

/* ---- A program with a use for libbpf of its own ------------------------------------------- */

static _Thread_local bool speaks; /* this thread makes libbpf say something */
static atomic_uint heard, overheard;

__attribute__((format(printf, 2, 0))) static int programs_print(enum libbpf_print_level level,
                                                                const char *format,
                                                                va_list args) {
    char text[512];
    vsnprintf(text, sizeof(text), format, args);
    if (!speaks)
        atomic_fetch_add(&overheard, 1);
    else if (level == LIBBPF_WARN && strstr(text, "/nowhere/of-the-program"))
        atomic_fetch_add(&heard, 1);
    return 0;
}

/* libbpf warns of a file that can't be opened; once a call. */
static void speak(void) {
    speaks = true;
    struct bpf_object *object = bpf_object__open_file("/nowhere/of-the-program", NULL);
    speaks = false;
    if (object)
        bpf_object__close(object);
}

static libbpf_print_fn_t current_print(void) {
    libbpf_print_fn_t print = libbpf_set_print(NULL);
    libbpf_set_print(print);
    return print;
}

static atomic_uint opening;

static void *open_and_close(void *data) {
    struct tally_error *error = data;
    for (int i = 0; i < ROUNDS && error->text[0] == '\0'; i++) {
        tally *t = open_collector(error);
        const tally_snapshot *snapshot;
        if (t && tally_collect(t, &snapshot) < 0)
            snprintf(error->text, sizeof(error->text), "can't collect");
        else if (!t && error->text[0] == '\0')
            snprintf(error->text, sizeof(error->text), "can't open");
        tally_free(t);
        speak();
    }
    atomic_fetch_sub(&opening, 1);
    return NULL;
}

START_TEST(leaves_the_print_function_alone) {
    struct tally_error errors[OPENERS] = {{{0}}};
    pthread_t threads[OPENERS];
    unsigned spoken = OPENERS * ROUNDS;
    libbpf_print_fn_t before = libbpf_set_print(programs_print);
    atomic_store(&opening, OPENERS);
    for (size_t i = 0; i < OPENERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_close, &errors[i]), 0);
    while (atomic_load(&opening)) {
        speak();
        spoken++;
        usleep(1000);
    }
    for (size_t i = 0; i < OPENERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_str_eq(errors[i].text, "");
    }
    ck_assert(current_print() == programs_print);
    ck_assert_uint_eq(atomic_load(&heard), spoken);
    ck_assert_uint_eq(atomic_load(&overheard), 0);
    libbpf_set_print(before);
}
END_TEST

/* ---- It sets another one while ours is in its place ----------------------------------------- */

static atomic_uint heard_by_other;

__attribute__((format(printf, 2, 0))) static int other_print(enum libbpf_print_level level,
                                                             const char *format, va_list args) {
    (void)level, (void)format, (void)args;
    atomic_fetch_add(&heard_by_other, speaks);
    return 0;
}

START_TEST(leaves_a_new_one_alone) {
    struct tally_error error = {{0}};
    pthread_t thread;
    libbpf_print_fn_t before = libbpf_set_print(programs_print);
    atomic_store(&opening, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_and_close, &error), 0);
    while (current_print() == programs_print && atomic_load(&opening))
        usleep(100);
    libbpf_set_print(other_print);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(error.text, "");
    ck_assert(current_print() == other_print);
    speak();
    ck_assert_uint_ge(atomic_load(&heard_by_other), 1);
    libbpf_set_print(before);
}
END_TEST

int main(void) {
    struct tally_error error = {{0}};
    tally *t = open_collector(&error);
    if (!t) {
        printf("%s\n", error.text);
        return 77;
    }
    tally_free(t);
    Suite *suite = suite_create("bpf_open");
    TCase *cases = tcase_create("threads");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, leaves_the_print_function_alone);
    tcase_add_test(cases, leaves_a_new_one_alone);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}

#else

int main(void) {
    printf("this build has no source bpf\n");
    return 77;
}

#endif
