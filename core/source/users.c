/* SPDX-License-Identifier: MIT */
#include "source/users.h"

#include "base/buf.h"
#include "base/number.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->uid_hashed = false)
#include <uthash.h>

/* Enough for any host's users; what a user namespace makes up must not grow it
 * without end. */
#define USERS_CEILING 65536
/* An entry of the user database, comment and all. */
#define ENTRY_BYTES 4096u
#define ENTRY_BYTES_MOST (1u << 20)
/* When to ask again. Who has no name may get one (the directory service is up by then); an
 * answer that does not come may take its time, so that is asked for less and less often. */
#define UNKNOWN_NS (300 * NS_PER_S)
#define FAILED_FIRST_NS (10 * NS_PER_S)

struct user {
    uint32_t uid;
    bool uid_hashed;
    char *name; /* len bytes; NULL: it has none, and its number stands for it */
    size_t len;
    char number[20];
    uint64_t again_ns, wait_ns; /* without a name: when to ask again, and how long that was */
    UT_hash_handle hh;
};

struct users {
    const struct io *io;
    int (*ask)(uint32_t id, char *buffer, size_t size, const char **ret); /* errno */
    struct user *by_uid;
    struct user spare; /* who could not be kept; the name is in buffer then */
    char *buffer;
    size_t size;
};

static int ask_user(uint32_t uid, char *buffer, size_t size, const char **ret) {
    struct passwd entry, *found = NULL;
    int e = getpwuid_r(uid, &entry, buffer, size, &found);
    *ret = e == 0 && found && found->pw_name[0] ? found->pw_name : NULL;
    return e;
}

/* Its members stand in the buffer, too. */
static int ask_group(uint32_t gid, char *buffer, size_t size, const char **ret) {
    struct group entry, *found = NULL;
    int e = getgrgid_r(gid, &entry, buffer, size, &found);
    *ret = e == 0 && found && found->gr_name[0] ? found->gr_name : NULL;
    return e;
}

int users_new(const struct io *io, struct users **ret) {
    struct users *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->io = io;
    u->ask = ask_user;
    u->buffer = malloc(ENTRY_BYTES);
    if (!u->buffer) {
        free(u);
        return -ENOMEM;
    }
    u->size = ENTRY_BYTES;
    *ret = u;
    return 0;
}

int users_new_of_groups(const struct io *io, struct users **ret) {
    int r = users_new(io, ret);
    if (r == 0)
        (*ret)->ask = ask_group;
    return r;
}

static void user_free(struct user *user) {
    free(user->name);
    free(user);
}

static void forget_all(struct users *u) {
    struct user *user, *next;
    HASH_ITER(hh, u->by_uid, user, next) {
        HASH_DEL(u->by_uid, user);
        user_free(user);
    }
}

struct users *users_free(struct users *u) {
    if (u) {
        forget_all(u);
        free(u->buffer);
        free(u);
    }
    return NULL;
}

/* The name, which stands in u->buffer; NULL: it has none. -errno: nobody could tell. */
static int ask(struct users *u, uint32_t uid, const char **ret) {
    int e;
    while ((e = u->ask(uid, u->buffer, u->size, ret)) == ERANGE && u->size < ENTRY_BYTES_MOST) {
        char *buffer = realloc(u->buffer, u->size * 2);
        if (!buffer)
            return -ENOMEM;
        u->buffer = buffer;
        u->size *= 2;
    }
    /* some say so that there is no such user */
    return e == ENOENT || e == ESRCH ? 0 : -e;
}

/* False if the name could not be kept: then it is to be had until the next call. */
static bool look_up(struct users *u, struct user *user, uint64_t now_ns) {
    const char *name = NULL;
    int r = ask(u, user->uid, &name);
    if (name) {
        user->len = strlen(name);
        user->name = malloc(user->len);
        if (user->name)
            memcpy(user->name, name, user->len);
        return user->name != NULL;
    }
    user->len = format_u64(user->number, user->uid);
    user->wait_ns = r == 0               ? UNKNOWN_NS
                    : user->wait_ns == 0 ? FAILED_FIRST_NS
                                         : 2 * user->wait_ns;
    if (user->wait_ns > UNKNOWN_NS)
        user->wait_ns = UNKNOWN_NS;
    user->again_ns = now_ns + user->wait_ns;
    return true;
}

/* One that can't be kept is the spare. */
static struct user *add(struct users *u, uint32_t uid, uint64_t now_ns) {
    if (HASH_COUNT(u->by_uid) >= USERS_CEILING)
        forget_all(u);
    struct user *user = calloc(1, sizeof(*user));
    if (user) {
        user->uid = uid;
        if (look_up(u, user, now_ns)) {
            user->uid_hashed = true;
            HASH_ADD(hh, u->by_uid, uid, sizeof(user->uid), user);
            if (user->uid_hashed)
                return user;
        }
        user_free(user);
    }
    const char *name = NULL;
    u->spare = (struct user){.uid = uid};
    (void)ask(u, uid, &name);
    u->spare.len = name ? strlen(name) : format_u64(u->spare.number, uid);
    u->spare.name = name ? (char *)(uintptr_t)name : NULL;
    return &u->spare;
}

struct text users_name(struct users *u, uint32_t uid, bool *ret_is_number) {
    struct user *user;
    const uint64_t now_ns = u->io->clock_ns(u->io->data, CLOCK_BOOTTIME);
    HASH_FIND(hh, u->by_uid, &uid, sizeof(uid), user);
    if (!user)
        user = add(u, uid, now_ns);
    else if (!user->name && now_ns >= user->again_ns && !look_up(u, user, now_ns))
        user->len = format_u64(user->number, uid); /* it is asked again the next time */
    *ret_is_number = !user->name;
    return (struct text){user->name ? user->name : user->number, user->len};
}
