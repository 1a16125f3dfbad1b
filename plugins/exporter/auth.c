/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "auth.h"

#include "sha256.h"

#include <crypt.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    JOBS = 16,   /* passwords that wait, or are being worked out */
    KEPT = 100,  /* answers of each kind */
    SECRET_BYTES = 32,
    CREDENTIALS_BYTES = 1024, /* user, colon and password; bcrypt looks at 72 of the latter */
    HASH_BYTES = 60,
};

/* What an answer is found by: a digest, so that no password stays in memory, over a secret of
 * this process, so that nobody can guess one, and the hash, so that it ends with that. */
struct key {
    unsigned char digest[SHA256_BYTES];
};

struct answers {
    struct key keys[KEPT];
    uint64_t used[KEPT]; /* when, in requests; 0: empty */
};

struct waiter {
    void (*done)(void *data);
    void *data;
};

struct job {
    enum { JOB_FREE = 0, JOB_QUEUED, JOB_RUNNING } state;
    uint64_t number; /* the lowest is next */
    struct key key;
    char hash[HASH_BYTES + 1];
    bool is_known; /* else the hash is there to take its time */
    char password[CREDENTIALS_BYTES];
    struct waiter *waiters;
    size_t waiter_count;
};

struct users {
    struct web_user *list;
    size_t count;
    const char *slowest_hash; /* NULL: there is none */
};

struct auth {
    unsigned char secret[SECRET_BYTES];
    pthread_t worker;
    struct crypt_data crypt; /* the worker's */

    pthread_mutex_t mutex; /* for all that follows */
    struct users users;
    pthread_cond_t wake;
    bool stop;
    uint64_t now; /* requests and jobs so far */
    struct answers right, wrong;
    struct job jobs[JOBS];
};

/* ---- Answers --------------------------------------------------------------------------- */

static bool recall(struct auth *auth, struct answers *answers, const struct key *key) {
    for (size_t i = 0; i < KEPT; i++)
        if (answers->used[i] && memcmp(&answers->keys[i], key, sizeof(*key)) == 0) {
            answers->used[i] = ++auth->now;
            return true;
        }
    return false;
}

static void remember(struct auth *auth, struct answers *answers, const struct key *key) {
    size_t oldest = 0;
    for (size_t i = 1; i < KEPT; i++)
        if (answers->used[i] < answers->used[oldest])
            oldest = i;
    answers->keys[oldest] = *key;
    answers->used[oldest] = ++auth->now;
}

/* ---- The thread -------------------------------------------------------------------------- */

static struct job *next_job(struct auth *auth) {
    struct job *next = NULL;
    for (size_t i = 0; i < JOBS; i++)
        if (auth->jobs[i].state == JOB_QUEUED && (!next || auth->jobs[i].number < next->number))
            next = &auth->jobs[i];
    return next;
}

static bool is_right(struct auth *auth, const struct job *job) {
    const char *got = crypt_r(job->password, job->hash, &auth->crypt);
    /* a failure is "*0", which is no hash */
    const bool is_same =
        got && strlen(got) == HASH_BYTES && gnutls_memcmp(got, job->hash, HASH_BYTES) == 0;
    gnutls_memset(&auth->crypt, 0, sizeof(auth->crypt));
    return is_same && job->is_known;
}

/* With the lock held, which is released while those who wait are told. */
static void finish(struct auth *auth, struct job *job) {
    struct waiter *waiters = job->waiters;
    const size_t count = job->waiter_count;
    gnutls_memset(job, 0, sizeof(*job));
    pthread_mutex_unlock(&auth->mutex);
    for (size_t i = 0; i < count; i++)
        waiters[i].done(waiters[i].data);
    free(waiters);
    pthread_mutex_lock(&auth->mutex);
}

static void *work(void *data) {
    struct auth *auth = data;
    struct job *job;
    pthread_mutex_lock(&auth->mutex);
    while (!auth->stop) {
        job = next_job(auth);
        if (!job) {
            pthread_cond_wait(&auth->wake, &auth->mutex);
            continue;
        }
        job->state = JOB_RUNNING;
        pthread_mutex_unlock(&auth->mutex);
        const bool right = is_right(auth, job);
        pthread_mutex_lock(&auth->mutex);
        remember(auth, right ? &auth->right : &auth->wrong, &job->key);
        finish(auth, job);
    }
    while ((job = next_job(auth)))
        finish(auth, job);
    pthread_mutex_unlock(&auth->mutex);
    return NULL;
}

/* ---- Asking --------------------------------------------------------------------------------- */

/* "Basic BASE64" to "user:password", with a NUL behind it. False if it is not that. */
static bool decode(const char *authorization, char to[static CREDENTIALS_BYTES]) {
    static const char scheme[] = "Basic ";
    gnutls_datum_t plain;
    if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return false;
    authorization += sizeof(scheme) - 1;
    authorization += strspn(authorization, " ");
    size_t len = strlen(authorization);
    if (len == 0 || len > (size_t)CREDENTIALS_BYTES / 3 * 4)
        return false;
    const gnutls_datum_t coded = {(unsigned char *)(uintptr_t)authorization, (unsigned)len};
    if (gnutls_base64_decode2(&coded, &plain) < 0)
        return false;
    /* crypt(3) would take a password up to a NUL for the whole of it */
    const bool is_good = plain.size < CREDENTIALS_BYTES && !memchr(plain.data, 0, plain.size) &&
                         memchr(plain.data, ':', plain.size);
    if (is_good) {
        memcpy(to, plain.data, plain.size);
        to[plain.size] = 0;
    }
    gnutls_memset(plain.data, 0, plain.size);
    gnutls_free(plain.data);
    return is_good;
}

/* A user who was somebody must not be taken for that when only the hash is in use. */
static void make_key(const struct auth *auth, const char *hash, bool is_known,
                     const char *credentials, struct key *ret) {
    struct {
        unsigned char secret[SECRET_BYTES];
        char hash[HASH_BYTES];
        unsigned char is_known;
        char credentials[CREDENTIALS_BYTES];
    } text = {.is_known = is_known};
    memcpy(text.secret, auth->secret, sizeof(text.secret));
    memcpy(text.hash, hash, sizeof(text.hash));
    memcpy(text.credentials, credentials, strlen(credentials));
    sha256(&text, sizeof(text), ret->digest);
    gnutls_memset(&text, 0, sizeof(text));
}

/* The one for this key, or one that is free; NULL if all are taken. */
static struct job *find_job(struct auth *auth, const struct key *key) {
    struct job *job = NULL;
    for (size_t i = 0; i < JOBS; i++) {
        struct job *at = &auth->jobs[i];
        if (at->state == JOB_FREE)
            job = at;
        else if (memcmp(&at->key, key, sizeof(*key)) == 0)
            return at;
    }
    return job;
}

/* With the lock held. */
static int look_up(struct auth *auth, const char *credentials, const struct waiter *waiter) {
    const char *password = strchr(credentials, ':') + 1;
    const size_t name_len = (size_t)(password - credentials) - 1;
    /* nobody's password takes the time of somebody's */
    const char *hash = auth->users.slowest_hash;
    bool is_known = false;
    struct key key;
    for (size_t i = 0; i < auth->users.count; i++) {
        const struct web_user *user = &auth->users.list[i];
        if (strlen(user->name) == name_len && memcmp(user->name, credentials, name_len) == 0) {
            hash = user->hash;
            is_known = true;
        }
    }
    if (!hash)
        return 0;
    make_key(auth, hash, is_known, credentials, &key);
    if (recall(auth, &auth->right, &key))
        return 1;
    if (recall(auth, &auth->wrong, &key))
        return 0;
    struct job *job = find_job(auth, &key);
    if (!job)
        return -EBUSY;
    struct waiter *waiters = realloc(job->waiters, (job->waiter_count + 1) * sizeof(*waiters));
    if (!waiters)
        return -ENOMEM;
    waiters[job->waiter_count++] = *waiter;
    job->waiters = waiters;
    if (job->state == JOB_FREE) {
        job->state = JOB_QUEUED;
        job->number = ++auth->now;
        job->key = key;
        job->is_known = is_known;
        snprintf(job->hash, sizeof(job->hash), "%s", hash);
        snprintf(job->password, sizeof(job->password), "%s", password);
        pthread_cond_signal(&auth->wake);
    }
    return -EINPROGRESS;
}

int auth_ask(struct auth *auth, const char *authorization, void (*done)(void *data), void *data) {
    char credentials[CREDENTIALS_BYTES];
    if (!decode(authorization, credentials))
        return 0;
    pthread_mutex_lock(&auth->mutex);
    int r = look_up(auth, credentials, &(struct waiter){done, data});
    pthread_mutex_unlock(&auth->mutex);
    gnutls_memset(credentials, 0, sizeof(credentials));
    return r;
}

/* ---- From new to free ------------------------------------------------------------------------ */

static void free_users(struct users *users) {
    for (size_t i = 0; i < users->count; i++) {
        free(users->list[i].name);
        if (users->list[i].hash)
            gnutls_memset(users->list[i].hash, 0, HASH_BYTES);
        free(users->list[i].hash);
    }
    free(users->list);
}

static int copy_users(const struct web_user *from, size_t count, struct users *ret) {
    struct users to = {.list = calloc(count ? count : 1, sizeof(*to.list))};
    int r = to.list ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct web_user *user = &to.list[to.count];
        if (strlen(from[i].hash) != HASH_BYTES) {
            r = -EINVAL;
            break;
        }
        to.count++;
        user->name = strdup(from[i].name);
        user->hash = strdup(from[i].hash);
        if (!user->name || !user->hash)
            r = -ENOMEM;
        /* "$2y$10$": the cost is two digits */
        else if (!to.slowest_hash || strncmp(user->hash + 4, to.slowest_hash + 4, 2) > 0)
            to.slowest_hash = user->hash;
    }
    if (r < 0)
        free_users(&to);
    else
        *ret = to;
    return r;
}

int auth_set_users(struct auth *auth, const struct web_user *users, size_t count) {
    struct users to, before;
    int r = copy_users(users, count, &to);
    if (r < 0)
        return r;
    pthread_mutex_lock(&auth->mutex);
    before = auth->users;
    auth->users = to;
    pthread_mutex_unlock(&auth->mutex);
    free_users(&before);
    return 0;
}

static void free_memory(struct auth *auth) {
    free_users(&auth->users);
    gnutls_memset(auth, 0, sizeof(*auth));
    free(auth);
}

int auth_new(const struct web_user *users, size_t count, struct auth **ret) {
    struct auth *auth = calloc(1, sizeof(*auth));
    if (!auth)
        return -ENOMEM;
    int r = copy_users(users, count, &auth->users);
    if (r == 0 && gnutls_rnd(GNUTLS_RND_KEY, auth->secret, sizeof(auth->secret)) < 0)
        r = -EIO;
    if (r == 0) {
        sigset_t all, before;
        pthread_mutex_init(&auth->mutex, NULL);
        pthread_cond_init(&auth->wake, NULL);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&auth->worker, NULL, work, auth);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0) {
            pthread_cond_destroy(&auth->wake);
            pthread_mutex_destroy(&auth->mutex);
        }
    }
    if (r < 0) {
        free_memory(auth);
        return r;
    }
    *ret = auth;
    return 0;
}

struct auth *auth_free(struct auth *auth) {
    if (!auth)
        return NULL;
    pthread_mutex_lock(&auth->mutex);
    auth->stop = true;
    pthread_cond_signal(&auth->wake);
    pthread_mutex_unlock(&auth->mutex);
    pthread_join(auth->worker, NULL);
    pthread_cond_destroy(&auth->wake);
    pthread_mutex_destroy(&auth->mutex);
    free_memory(auth);
    return NULL;
}
