/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <stdint.h>
#include <time.h>

#ifdef __APPLE__ /* which has it by the name from before POSIX */
#define st_mtim st_mtimespec
#endif

#define SETTLED_NS INT64_C(2000000000)

struct stat watch_look(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0)
        return (struct stat){0};
    return st;
}

static int64_t as_ns(struct timespec t) {
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool watch_is_same(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           as_ns(a->st_mtim) == as_ns(b->st_mtim);
}

bool watch_is_being_written(const struct stat *file) {
    struct timespec now = {0};
    if (!S_ISREG(file->st_mode))
        return false;
    if (file->st_size == 0)
        return true;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t age_ns = as_ns(now) - as_ns(file->st_mtim);
    /* a time to come is no sign: the clock has been set */
    return age_ns >= 0 && age_ns < SETTLED_NS;
}

bool watch_is_emptied(const struct stat *file, const struct stat *before) {
    return S_ISREG(file->st_mode) && file->st_size == 0 && before->st_size > 0;
}
