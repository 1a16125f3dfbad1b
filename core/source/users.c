/* SPDX-License-Identifier: MIT */
#include "source/users.h"

#include "base/buf.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->uid_hashed = false)
#include <uthash.h>

/* Enough for any host's users; what a user namespace makes up must not grow it
 * without end. */
#define USERS_CEILING 65536

struct user {
    uint32_t uid;
    bool uid_hashed;
    size_t len;
    char name[64];
    UT_hash_handle hh;
};

struct users {
    struct user *by_uid;
    struct user spare; /* where a name stands that could not be kept */
};

int users_new(struct users **ret) {
    struct users *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    *ret = u;
    return 0;
}

static void forget_all(struct users *u) {
    struct user *user, *next;
    HASH_ITER(hh, u->by_uid, user, next) {
        HASH_DEL(u->by_uid, user);
        free(user);
    }
}

struct users *users_free(struct users *u) {
    if (u) {
        forget_all(u);
        free(u);
    }
    return NULL;
}

static void look_up(struct user *user, uint32_t uid) {
    struct passwd entry, *found = NULL;
    char buffer[4096];
    user->uid = uid;
    if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found &&
        found->pw_name[0]) {
        user->len = strlen(found->pw_name);
        if (user->len > sizeof(user->name))
            user->len = sizeof(user->name);
        memcpy(user->name, found->pw_name, user->len);
    } else {
        user->len = format_u64(user->name, uid);
    }
}

struct text users_name(struct users *u, uint32_t uid) {
    struct user *user;
    HASH_FIND(hh, u->by_uid, &uid, sizeof(uid), user);
    if (!user) {
        if (HASH_COUNT(u->by_uid) >= USERS_CEILING)
            forget_all(u);
        user = calloc(1, sizeof(*user));
        if (!user)
            user = &u->spare;
        look_up(user, uid);
        if (user != &u->spare) {
            user->uid_hashed = true;
            HASH_ADD(hh, u->by_uid, uid, sizeof(user->uid), user);
            if (!user->uid_hashed) {
                u->spare = *user;
                free(user);
                user = &u->spare;
            }
        }
    }
    return (struct text){user->name, user->len};
}
