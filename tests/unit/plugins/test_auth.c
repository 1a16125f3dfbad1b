/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "auth.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 16, KEPT = 100 };

/* Made elsewhere: by crypt_blowfish's authors, by htpasswd, by Go */
static const struct web_user users[] = {
    {(char[]){"ann"}, (char[]){"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}},
    {(char[]){"bob"}, (char[]){"$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"}},
    {(char[]){""}, (char[]){"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}},
};

static struct auth *begin(size_t count) {
    struct auth *auth;
    ck_assert_int_eq(auth_new(users, count, &auth), 0);
    return auth;
}

/* "Basic …" of bytes. */
static const char *header_of(const char *bytes, size_t len) {
    static char text[4096];
    gnutls_datum_t coded, plain = {(unsigned char *)(uintptr_t)bytes, (unsigned)len};
    ck_assert_int_eq(gnutls_base64_encode2(&plain, &coded), 0);
    snprintf(text, sizeof(text), "Basic %.*s", (int)coded.size, coded.data);
    gnutls_free(coded.data);
    return text;
}

static const char *header(const char *credentials) {
    return header_of(credentials, strlen(credentials));
}

static void post(void *semaphore) {
    sem_post(semaphore);
}

/* The answer, however long it takes. */
static int answer(struct auth *auth, const char *authorization) {
    sem_t done;
    sem_init(&done, 0, 0);
    int r;
    while ((r = auth_ask(auth, authorization, post, &done)) == -EINPROGRESS)
        sem_wait(&done);
    sem_destroy(&done);
    return r;
}

static const struct {
    const char *credentials;
    int answer;
} credentials[] = {
    {"ann:U*U", 1},
    {"bob:fakepassword", 1},
    {":U*U", 1}, /* a user without a name is one here */
    {"ann:U*V", 0},
    {"ann:", 0},
    {"ann:U*U ", 0},
    {"ann:fakepassword", 0},
    {"Ann:U*U", 0},
    {"ann :U*U", 0},
    {"nobody:fakepassword", 0}, /* the slowest hash stands in for nobody's */
    {"ann:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", 0},
};

START_TEST(tells_right_from_wrong) {
    struct auth *auth = begin(COUNT(users));
    /* the first time worked out, then known */
    ck_assert_int_eq(answer(auth, header(credentials[_i].credentials)), credentials[_i].answer);
    ck_assert_int_eq(auth_ask(auth, header(credentials[_i].credentials), NULL, NULL),
                     credentials[_i].answer);
    auth_free(auth);
}
END_TEST

static const char *const malformed[] = {
    "", "Basic", "Basic ", "Basic    ", "Bearer YW5uOlUqVQ==", "BasicYW5uOlUqVQ==",
    "Basic YW5uOlUqVQ", "Basic YW5uOlUqVQ==x", "Basic YW5uOlUqVQ===", "Basic \xff\xfe\x01",
    "Basic YW5u", /* no colon */
    "Basic ====", "\xc3\x28", " Basic YW5uOlUqVQ==",
};

START_TEST(refuses_what_is_malformed) {
    struct auth *auth = begin(1);
    ck_assert_int_eq(auth_ask(auth, malformed[_i], NULL, NULL), 0);
    auth_free(auth);
}
END_TEST

START_TEST(takes_what_others_write) {
    struct auth *auth = begin(1);
    ck_assert_int_eq(answer(auth, "Basic YW5uOlUqVQ=="), 1);
    ck_assert_int_eq(answer(auth, "bASIC YW5uOlUqVQ=="), 1);
    ck_assert_int_eq(answer(auth, "Basic   YW5uOlUqVQ=="), 1);
    ck_assert_int_eq(auth_ask(auth, NULL, NULL, NULL), 0);
    auth_free(auth);
}
END_TEST

START_TEST(refuses_nul_and_too_much) {
    static char text[3000];
    struct auth *auth = begin(1);
    ck_assert_int_eq(auth_ask(auth, header_of("ann:U*U\0x", 9), NULL, NULL), 0);
    ck_assert_int_eq(auth_ask(auth, header_of("ann\0:U*U", 8), NULL, NULL), 0);
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "ann:", 4);
    for (size_t len = 1000; len <= 1023; len++)
        ck_assert_int_eq(answer(auth, header_of(text, len)), 0);
    for (size_t len = 1024; len < sizeof(text); len++)
        ck_assert_int_eq(auth_ask(auth, header_of(text, len), NULL, NULL), 0);
    auth_free(auth);
}
END_TEST

/* ---- With the thread held up in a `done` ------------------------------------------------ */

struct hold {
    sem_t reached, go_on;
};

static void hold(void *data) {
    struct hold *at = data;
    sem_post(&at->reached);
    sem_wait(&at->go_on);
}

static void hold_up(struct auth *auth, struct hold *at) {
    sem_init(&at->reached, 0, 0);
    sem_init(&at->go_on, 0, 0);
    ck_assert_int_eq(auth_ask(auth, header("ann:first"), hold, at), -EINPROGRESS);
    sem_wait(&at->reached);
}

static void count(void *data) {
    atomic_fetch_add((atomic_int *)data, 1);
}

static const char *guess(int i) {
    char text[32];
    snprintf(text, sizeof(text), "ann:guess%d", i);
    return header(text);
}

START_TEST(has_a_bounded_queue) {
    struct auth *auth = begin(1);
    struct hold at;
    atomic_int told = 0;
    hold_up(auth, &at);
    /* who asks for the same shares it */
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), count, &told), -EINPROGRESS);
    for (int i = 1; i < JOBS; i++)
        ck_assert_int_eq(auth_ask(auth, guess(i), count, &told), -EINPROGRESS);
    ck_assert_int_eq(auth_ask(auth, guess(JOBS), count, &told), -EBUSY);
    ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), count, &told), -EINPROGRESS);
    /* what is known is answered all the same */
    ck_assert_int_eq(auth_ask(auth, header("ann:first"), NULL, NULL), 0);
    ck_assert_int_eq(atomic_load(&told), 0);
    sem_post(&at.go_on);
    ck_assert_int_eq(answer(auth, guess(JOBS - 1)), 0);
    ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), NULL, NULL), 1);
    ck_assert_int_eq(answer(auth, guess(JOBS)), 0);
    ck_assert_int_eq(atomic_load(&told), 51 + JOBS - 1);
    auth_free(auth);
}
END_TEST

static void *end_auth(void *auth) {
    return auth_free(auth);
}

START_TEST(tells_all_when_freed) {
    struct auth *auth = begin(1);
    struct hold at;
    pthread_t thread;
    atomic_int told = 0;
    hold_up(auth, &at);
    for (int i = 0; i < JOBS; i++)
        ck_assert_int_eq(auth_ask(auth, guess(i), count, &told), -EINPROGRESS);
    ck_assert_int_eq(pthread_create(&thread, NULL, end_auth, auth), 0);
    sem_post(&at.go_on);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(atomic_load(&told), JOBS);
    ck_assert_ptr_null(auth_free(NULL));
}
END_TEST

START_TEST(keeps_right_answers_from_wrong_ones) {
    struct auth *auth = begin(1);
    ck_assert_int_eq(answer(auth, header("ann:U*U")), 1);
    for (int i = 0; i < KEPT + 20; i++)
        ck_assert_int_eq(answer(auth, guess(i)), 0);
    ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), NULL, NULL), 1);
    /* of the wrong ones the latest are known */
    ck_assert_int_eq(auth_ask(auth, guess(KEPT + 19), NULL, NULL), 0);
    ck_assert_int_eq(auth_ask(auth, guess(20), NULL, NULL), 0);
    atomic_int told = 0;
    ck_assert_int_eq(auth_ask(auth, guess(19), count, &told), -EINPROGRESS);
    auth_free(auth);
    ck_assert_int_eq(atomic_load(&told), 1);
}
END_TEST

/* ---- Many threads ------------------------------------------------------------------------ */

static void *ask_often(void *data) {
    struct auth *auth = data;
    char text[4][64];
    snprintf(text[0], sizeof(text[0]), "Basic YW5uOlUqVQ==");
    for (int i = 1; i < 4; i++) /* "ann:x1" */
        snprintf(text[i], sizeof(text[i]), "Basic YW5uOng%c", "xyz"[i - 1]);
    long wrong = 0;
    for (int i = 0; i < 2000; i++) {
        int r = answer(auth, text[i % 4]);
        wrong += r != (i % 4 == 0) && r != -EBUSY;
    }
    return (void *)wrong;
}

START_TEST(serves_many_threads) {
    struct auth *auth = begin(1);
    pthread_t threads[8];
    for (int i = 0; i < COUNT(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often, auth), 0);
    for (int i = 0; i < 200; i++) /* ann stays */
        ck_assert_int_eq(auth_set_users(auth, users, 1 + (size_t)i % 2), 0);
    for (int i = 0; i < COUNT(threads); i++) {
        void *wrong;
        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
    auth_free(auth);
}
END_TEST

/* ---- Users ------------------------------------------------------------------------------- */

START_TEST(lets_nobody_in_without_users) {
    struct auth *auth;
    ck_assert_int_eq(auth_new(NULL, 0, &auth), 0);
    ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), NULL, NULL), 0);
    ck_assert_int_eq(auth_set_users(auth, users, 1), 0);
    ck_assert_int_eq(answer(auth, header("ann:U*U")), 1);
    ck_assert_int_eq(auth_set_users(auth, NULL, 0), 0);
    ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), NULL, NULL), 0);
    auth_free(auth);
}
END_TEST

START_TEST(changes_its_users) {
    struct web_user others[] = {users[1], users[0]};
    struct auth *auth = begin(2);
    ck_assert_int_eq(answer(auth, header("ann:U*U")), 1);
    ck_assert_int_eq(answer(auth, header("bob:fakepassword")), 1);
    ck_assert_int_eq(answer(auth, header("bob:U*U")), 0);
    /* what is the same is still known, right or wrong */
    ck_assert_int_eq(auth_set_users(auth, others, 2), 0);
    ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), NULL, NULL), 1);
    ck_assert_int_eq(auth_ask(auth, header("bob:U*U"), NULL, NULL), 0);
    /* with another password the first is not good any more */
    others[0].hash = users[0].hash;
    ck_assert_int_eq(auth_set_users(auth, others, 2), 0);
    ck_assert_int_eq(answer(auth, header("bob:fakepassword")), 0);
    ck_assert_int_eq(answer(auth, header("bob:U*U")), 1);
    /* nor for who is not there any more, though somebody has the same hash */
    ck_assert_int_eq(auth_set_users(auth, others, 1), 0);
    ck_assert_int_eq(answer(auth, header("ann:U*U")), 0);
    ck_assert_int_eq(auth_set_users(auth, users, 1), 0);
    ck_assert_int_eq(answer(auth, header("ann:U*U")), 1);
    ck_assert_int_eq(auth_set_users(auth, others, 1), 0);
    /* a hash that is none changes nothing */
    others[1].hash = (char[]){"secret"};
    ck_assert_int_eq(auth_set_users(auth, others, 2), -EINVAL);
    ck_assert_int_eq(auth_ask(auth, header("bob:U*U"), NULL, NULL), 1);
    auth_free(auth);
}
END_TEST

START_TEST(changes_them_while_one_is_worked_out) {
    struct auth *auth = begin(1);
    struct hold at;
    atomic_int told = 0;
    struct web_user other = {users[0].name, users[1].hash};
    hold_up(auth, &at);
    ck_assert_int_eq(auth_ask(auth, header("ann:U*U"), count, &told), -EINPROGRESS);
    ck_assert_int_eq(auth_set_users(auth, &other, 1), 0);
    sem_post(&at.go_on);
    ck_assert_int_eq(answer(auth, header("ann:U*U")), 0);
    ck_assert_int_eq(answer(auth, header("ann:fakepassword")), 1);
    ck_assert_int_eq(atomic_load(&told), 1);
    auth_free(auth);
}
END_TEST

START_TEST(runs_out_of_memory) {
    struct auth *auth = NULL;
    int r = -ENOMEM;
    long i;
    for (i = 1; r == -ENOMEM; i++) {
        allocations = 0;
        fail_allocation_at = i;
        r = auth_new(users, COUNT(users), &auth);
        fail_allocation_at = 0;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(i, 2 * COUNT(users));
    for (i = 1; i <= 2; i++) { /* all or nothing */
        allocations = 0;
        fail_allocation_at = i;
        r = auth_set_users(auth, users, 1);
        fail_allocation_at = 0;
        ck_assert_int_eq(r, -ENOMEM);
    }
    /* who can't wait is not told, and the next one is */
    struct hold at;
    atomic_int told = 0;
    hold_up(auth, &at);
    const char *text = header("ann:U*U");
    allocations = 0;
    fail_allocation_at = 1;
    r = auth_ask(auth, text, count, &told);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_int_eq(auth_ask(auth, text, count, &told), -EINPROGRESS);
    sem_post(&at.go_on);
    ck_assert_int_eq(answer(auth, header("ann:U*U")), 1);
    auth_free(auth);
    ck_assert_int_eq(atomic_load(&told), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("auth");
    TCase *tc = add_case(suite, "answers");
    tcase_add_loop_test(tc, tells_right_from_wrong, 0, COUNT(credentials));
    tcase_add_loop_test(tc, refuses_what_is_malformed, 0, COUNT(malformed));
    tcase_add_test(tc, takes_what_others_write);
    tcase_add_test(tc, refuses_nul_and_too_much);
    tc = add_case(suite, "work");
    tcase_add_test(tc, has_a_bounded_queue);
    tcase_add_test(tc, tells_all_when_freed);
    tcase_add_test(tc, keeps_right_answers_from_wrong_ones);
    tcase_add_test(tc, serves_many_threads);
    tcase_add_test(tc, lets_nobody_in_without_users);
    tcase_add_test(tc, changes_its_users);
    tcase_add_test(tc, changes_them_while_one_is_worked_out);
    tcase_add_test(tc, runs_out_of_memory);
    return run_suite(suite);
}
