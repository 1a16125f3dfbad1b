/* SPDX-License-Identifier: MIT */
#include "files.h"
#include "series.h"
#include "units.h"

#include "base/sized.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MOST (UINT64_C(1) << 30)
#define SCRATCH_MOST 65536 /* that is kept for the next text */

struct tally_fs {
    struct tree *tree;
    pthread_mutex_t lock; /* of the items; a formatter that comes back gets -EDEADLK */
    struct items items;
    struct buf scratch; /* for texts of which only the length matters */

    pthread_mutex_t serving; /* one at a time */
    pthread_mutex_t control; /* of the thread */
    pid_t process;           /* that has the thread, and unmounts: a child may be another */
    pthread_t thread;
    bool has_thread;
    int wake_fd; /* written to when the thread is to end, or has a new interval to know of */
    int stopping;
    bool is_gone; /* unmounted from outside */
};

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* ---- For the tree ------------------------------------------------------------------ */

static int begin(tally_fs *fs) {
    const int r = -pthread_mutex_lock(&fs->lock);
    if (r == 0)
        items_begin_intervals(&fs->items, now_ns());
    return r;
}

static void end(tally_fs *fs) {
    pthread_mutex_unlock(&fs->lock);
}

static int describe(tally_fs *fs, struct place place, struct tree_node *ret) {
    *ret = (struct tree_node){.id = place_id(place),
                              .is_directory = place_is_directory(place),
                              .is_writable = place_is_writable(place)};
    clock_gettime(CLOCK_REALTIME, &ret->changed);
    if (ret->is_directory)
        return 0;
    buf_reset(&fs->scratch);
    /* What can't be read now has a name all the same, and says why when it is read. */
    if (place_text(&fs->items, place, &fs->scratch) == 0)
        ret->size_bytes = fs->scratch.len;
    const int r = fs->scratch.error == -ENOMEM ? -ENOMEM : 0;
    if (fs->scratch.size > SCRATCH_MOST)
        buf_free(&fs->scratch);
    return r;
}

static int fs_lookup(void *provider, uint64_t directory, const char *name,
                     struct tree_node *ret) {
    tally_fs *fs = provider;
    struct place place;
    int r = begin(fs);
    if (r < 0)
        return r;
    /* the kernel asks below directories only */
    if (place_find(&fs->items, directory, &place) && place_is_directory(place) &&
        place_child(&fs->items, place, name, &place))
        r = describe(fs, place, ret);
    else
        r = -ENOENT;
    end(fs);
    return r;
}

static int fs_look(void *provider, uint64_t id, struct tree_node *ret) {
    tally_fs *fs = provider;
    struct place place;
    int r = begin(fs);
    if (r < 0)
        return r;
    if (!place_find(&fs->items, id, &place))
        r = -ENOENT;
    else if (ret)
        r = describe(fs, place, ret);
    end(fs);
    return r;
}

static int fs_text(void *provider, uint64_t id, struct tree_text *ret) {
    tally_fs *fs = provider;
    struct place place;
    struct buf text;
    int r = begin(fs);
    if (r < 0)
        return r;
    buf_init(&text, TEXT_MOST);
    r = place_find(&fs->items, id, &place) ? place_text(&fs->items, place, &text) : -ENOENT;
    end(fs);
    if (r < 0)
        buf_free(&text);
    else
        *ret = (struct tree_text){text.data, text.len, free, text.data, true};
    return r;
}

static int fs_list(void *provider, uint64_t directory, struct tree_list *to) {
    tally_fs *fs = provider;
    struct place place;
    int r = begin(fs);
    if (r < 0)
        return r;
    if (!place_find(&fs->items, directory, &place))
        r = -ENOENT;
    else
        r = place_is_directory(place) ? place_list(place, to) : -ENOTDIR;
    end(fs);
    return r;
}

static int fs_write(void *provider, uint64_t id, const char *text, size_t len) {
    tally_fs *fs = provider;
    struct place place;
    if (memchr(text, '\0', len)) /* who takes it as a string would see half of it */
        return -EINVAL;
    char *copy = strndup(text, len); /* what the kernel gives is not ended by a NUL byte */
    if (!copy)
        return -ENOMEM;
    int r = begin(fs);
    if (r == 0) {
        r = place_find(&fs->items, id, &place)
                ? place_write(&fs->items, place, copy, len, now_ns())
                : -ENOENT;
        end(fs);
    }
    free(copy);
    return r;
}

static const struct tree_ops tree_ops = {fs_lookup, fs_look, fs_text, fs_list, fs_write, false};

/* ---- The mount ------------------------------------------------------------------------ */

int tally_fs_new(const struct tally_fs_options *options, tally_fs **ret_fs,
                 struct tally_error *error) {
    struct tally_fs_options o;
    int r = options ? struct_copy(&o, sizeof(o), options, options->size) : -EINVAL;
    if (r == 0 && !o.mountpoint)
        r = -EINVAL;
    if (r < 0) {
        if (error)
            snprintf(error->text, sizeof(error->text), "%s",
                     r == -E2BIG ? "an option is set that this version of the library lacks"
                                 : "the options lack their size, or a mount point");
        return r;
    }
    tally_fs *fs = calloc(1, sizeof(*fs));
    if (!fs)
        goto no_memory;
    fs->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    buf_init(&fs->scratch, TEXT_MOST);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&fs->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pthread_mutex_init(&fs->serving, NULL);
    pthread_mutex_init(&fs->control, NULL);
    fs->process = getpid();
    if (fs->wake_fd < 0 ||
        items_init(&fs->items, o.name && *o.name ? o.name : program_invocation_short_name) < 0) {
        tally_fs_free(fs);
        goto no_memory;
    }
    const struct tree_options tree_options = {.mountpoint = o.mountpoint,
                                              .allow_other = o.allow_other};
    r = tree_new(&tree_ops, fs, &tree_options, &fs->tree, error);
    if (r < 0)
        tally_fs_free(fs);
    else
        *ret_fs = fs;
    return r;
no_memory:
    if (error)
        snprintf(error->text, sizeof(error->text), "out of memory");
    return -ENOMEM;
}

tally_fs *tally_fs_free(tally_fs *fs) {
    if (!fs)
        return NULL;
    if (fs->process != getpid()) {
        /* It is a parent's, who goes on. The fork may have come in the middle of anything, so
         * this copy of its memory is left as it is. */
        tree_leave(fs->tree);
        close(fs->wake_fd);
        return NULL;
    }
    tally_fs_stop(fs);
    tree_free(fs->tree);
    items_free(&fs->items);
    buf_free(&fs->scratch);
    if (fs->wake_fd >= 0)
        close(fs->wake_fd);
    pthread_mutex_destroy(&fs->lock);
    pthread_mutex_destroy(&fs->serving);
    pthread_mutex_destroy(&fs->control);
    free(fs);
    return NULL;
}

int tally_fs_fd(const tally_fs *fs) {
    return tree_fd(fs->tree);
}

int tally_fs_timeout_ms(tally_fs *fs) {
    if (pthread_mutex_lock(&fs->lock) != 0)
        return -1;
    uint64_t due_ns = UINT64_MAX;
    for (const struct item *item = fs->items.timed; item; item = item->timed_next)
        due_ns = item->due_ns < due_ns ? item->due_ns : due_ns;
    end(fs);
    if (due_ns == UINT64_MAX)
        return -1;
    const uint64_t now = now_ns();
    const uint64_t ms = due_ns > now ? (due_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* In a child, as after daemon(3), there is no thread, and what there is becomes its own. */
static void take_over(tally_fs *fs) {
    const pid_t process = getpid();
    if (fs->process == process)
        return;
    fs->process = process;
    fs->has_thread = false;
}

int tally_fs_serve(tally_fs *fs) {
    int r = begin(fs);
    if (r < 0)
        return r;
    end(fs);
    if (pthread_mutex_trylock(&fs->serving) != 0)
        return 0; /* somebody does it already */
    take_over(fs);
    r = tree_serve(fs->tree);
    pthread_mutex_unlock(&fs->serving);
    return r;
}

static void wake(tally_fs *fs) {
    const uint64_t one = 1;
    (void)!write(fs->wake_fd, &one, sizeof(one));
}

static void *serve(void *data) {
    tally_fs *fs = data;
    struct pollfd fds[] = {{.fd = tree_fd(fs->tree), .events = POLLIN},
                           {.fd = fs->wake_fd, .events = POLLIN}};
    while (!__atomic_load_n(&fs->stopping, __ATOMIC_ACQUIRE)) {
        const int n = poll(fds, 2, tally_fs_timeout_ms(fs));
        uint64_t times;
        if (n > 0 && fds[1].revents)
            (void)!read(fs->wake_fd, &times, sizeof(times));
        if (n < 0 || (n > 0 && !fds[0].revents))
            continue;
        if (tally_fs_serve(fs) != 0) {
            __atomic_store_n(&fs->is_gone, true, __ATOMIC_RELEASE);
            break;
        }
    }
    return NULL;
}

int tally_fs_start(tally_fs *fs) {
    int r = 0;
    sigset_t all, before;
    pthread_mutex_lock(&fs->control);
    take_over(fs);
    if (__atomic_load_n(&fs->is_gone, __ATOMIC_ACQUIRE)) {
        r = -ENOTCONN;
    } else if (!fs->has_thread) {
        fs->stopping = false;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&fs->thread, NULL, serve, fs);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        fs->has_thread = r == 0;
    }
    pthread_mutex_unlock(&fs->control);
    return r;
}

int tally_fs_stop(tally_fs *fs) {
    int r = 0;
    if (fs->process != getpid())
        return 0; /* the thread is a parent's */
    pthread_mutex_lock(&fs->control);
    if (fs->has_thread && pthread_equal(fs->thread, pthread_self())) {
        r = -EDEADLK; /* a formatter, which is called by the thread */
    } else if (fs->has_thread) {
        __atomic_store_n(&fs->stopping, true, __ATOMIC_RELEASE);
        wake(fs);
        r = -pthread_join(fs->thread, NULL);
        fs->has_thread = r < 0;
    }
    pthread_mutex_unlock(&fs->control);
    return r;
}

/* ---- What is shown ----------------------------------------------------------------------- */

static int add(tally_fs *fs, tally_fs_item parent, const char *name, const struct item *like,
               const struct tally_fs_about *about, const char *label, tally_fs_item *ret_item) {
    struct item *item;
    int r = -pthread_mutex_lock(&fs->lock);
    if (r < 0)
        return r;
    r = items_add(&fs->items, parent, name, like, about, label, &item);
    if (r == 0 && ret_item)
        *ret_item = item->number;
    end(fs);
    return r;
}

int tally_fs_add_directory(tally_fs *fs, tally_fs_item parent, const char *name,
                           const char *label, tally_fs_item *ret_item) {
    const struct item like = {.type = ITEM_DIRECTORY};
    return add(fs, parent, name, &like, NULL, label, ret_item);
}

#define VALUE(NAME, TYPE, KIND, BOUND)                                                        \
    int tally_fs_add_##NAME(tally_fs *fs, tally_fs_item parent, const char *name,             \
                            const TYPE *value, const struct tally_fs_about *about,            \
                            tally_fs_item *ret_item) {                                        \
        const struct item like = {.type = KIND, .read = value};                               \
        return value ? add(fs, parent, name, &like, about, NULL, ret_item) : -EINVAL;         \
    }                                                                                         \
    int tally_fs_add_parameter_##NAME(tally_fs *fs, tally_fs_item parent, const char *name,   \
                                      TYPE *value, TYPE min, TYPE max,                        \
                                      const struct tally_fs_about *about,                     \
                                      tally_fs_item *ret_item) {                              \
        const struct item like = {.type = KIND, .write = value, .is_parameter = true,         \
                                  .min.BOUND = min, .max.BOUND = max};                        \
        return value && min <= max ? add(fs, parent, name, &like, about, NULL, ret_item)      \
                                   : -EINVAL;                                                 \
    }

VALUE(u32, uint32_t, ITEM_U32, whole)
VALUE(u64, uint64_t, ITEM_U64, whole)
VALUE(int, int, ITEM_INT, number)
VALUE(i64, int64_t, ITEM_I64, number)
VALUE(double, double, ITEM_DOUBLE, real)

/* `end` first, so that it is read first: what ends in between has begun before. */
static int add_pair(tally_fs *fs, tally_fs_item parent, const char *name, enum item_type type,
                    const void *start, const void *end_of, const struct tally_fs_about *about,
                    tally_fs_item *ret_item) {
    const struct item directory = {.type = ITEM_DIRECTORY};
    const struct item of_start = {.type = type, .read = start};
    const struct item of_end = {.type = type, .read = end_of};
    struct item *pair, *item;
    int r = start && end_of ? -pthread_mutex_lock(&fs->lock) : -EINVAL;
    if (r < 0)
        return r;
    r = items_add(&fs->items, parent, name, &directory, NULL, NULL, &pair);
    if (r == 0) {
        const tally_fs_item number = pair->number;
        r = items_add(&fs->items, number, "end", &of_end, about, NULL, &item);
        if (r == 0)
            r = items_add(&fs->items, number, "start", &of_start, about, NULL, &item);
        if (r < 0)
            items_remove(&fs->items, pair);
        else if (ret_item)
            *ret_item = number;
    }
    end(fs);
    return r;
}

#define PAIR(NAME, TYPE, KIND)                                                                \
    int tally_fs_add_pair_##NAME(tally_fs *fs, tally_fs_item parent, const char *name,        \
                                 const TYPE *start, const TYPE *end,                          \
                                 const struct tally_fs_about *about,                          \
                                 tally_fs_item *ret_item) {                                   \
        return add_pair(fs, parent, name, KIND, start, end, about, ret_item);                 \
    }

PAIR(u32, uint32_t, ITEM_U32)
PAIR(u64, uint64_t, ITEM_U64)

int tally_fs_add_text(tally_fs *fs, tally_fs_item parent, const char *name, const char *text,
                      const struct tally_fs_about *about, tally_fs_item *ret_item) {
    const struct item like = {.type = ITEM_TEXT, .read = text};
    return text ? add(fs, parent, name, &like, about, NULL, ret_item) : -EINVAL;
}

int tally_fs_add_calls(tally_fs *fs, tally_fs_item parent, const char *name,
                       const struct tally_fs_calls *calls, const struct tally_fs_about *about,
                       tally_fs_item *ret_item) {
    struct item like = {.type = ITEM_CALLS};
    int r = calls ? struct_copy(&like.calls, sizeof(like.calls), calls, calls->size) : -EINVAL;
    if (r == 0 && !like.calls.format)
        r = -EINVAL;
    return r < 0 ? r : add(fs, parent, name, &like, about, NULL, ret_item);
}

int tally_fs_add_series(tally_fs *fs, tally_fs_item parent, const char *name,
                        tally_fs_series *series, const struct tally_fs_about *about,
                        tally_fs_item *ret_item) {
    const struct item like = {.type = ITEM_SERIES, .series = series};
    if (!series)
        return -EINVAL;
    if (!series_take(series))
        return -EBUSY;
    const int r = add(fs, parent, name, &like, about, NULL, ret_item);
    if (r < 0)
        series_give_back(series);
    return r;
}

/* ---- What is done with it ---------------------------------------------------------------- */

/* The item of a number, with the lock. */
static int get(tally_fs *fs, tally_fs_item number, struct item **ret) {
    int r = -pthread_mutex_lock(&fs->lock);
    if (r < 0)
        return r;
    *ret = items_get(&fs->items, number);
    if (*ret)
        return 0;
    end(fs);
    return -ENOENT;
}

static int get_path(tally_fs *fs, tally_fs_item directory, const char *path, struct item **ret) {
    struct item *item;
    /* nothing but slashes would be the directory itself */
    int r = path && path[strspn(path, "/")] ? get(fs, directory, &item) : -EINVAL;
    if (r < 0)
        return r;
    while (item && *path) {
        const size_t len = strcspn(path, "/");
        if (len)
            item = items_child(&fs->items, item, path, len);
        path += len + (path[len] == '/');
    }
    *ret = item;
    if (!item)
        end(fs);
    return item ? 0 : -ENOENT;
}

static int remove_locked(tally_fs *fs, struct item *item) {
    const int r = item->parent ? 0 : -EBUSY;
    if (r == 0)
        items_remove(&fs->items, item);
    end(fs);
    return r;
}

int tally_fs_find(tally_fs *fs, tally_fs_item directory, const char *path,
                  tally_fs_item *ret_item) {
    struct item *item;
    int r = get_path(fs, directory, path, &item);
    if (r < 0)
        return r;
    if (ret_item)
        *ret_item = item->number;
    end(fs);
    return 0;
}

int tally_fs_remove(tally_fs *fs, tally_fs_item number) {
    struct item *item;
    int r = get(fs, number, &item);
    return r < 0 ? r : remove_locked(fs, item);
}

int tally_fs_remove_path(tally_fs *fs, tally_fs_item directory, const char *path) {
    struct item *item;
    int r = get_path(fs, directory, path, &item);
    return r < 0 ? r : remove_locked(fs, item);
}

int tally_fs_remove_children(tally_fs *fs, tally_fs_item directory) {
    struct item *item;
    int r = get(fs, directory, &item);
    if (r < 0)
        return r;
    if (item->type != ITEM_DIRECTORY)
        r = -ENOTDIR;
    while (item->first)
        items_remove(&fs->items, item->first);
    end(fs);
    return r;
}

int tally_fs_set_text(tally_fs *fs, tally_fs_item number, const char *text) {
    struct item *item;
    char *copy = text ? strdup(text) : NULL;
    if (!copy)
        return text ? -ENOMEM : -EINVAL;
    int r = get(fs, number, &item);
    if (r == 0) {
        if (item->type == ITEM_TEXT) {
            char *before = item->text;
            item->text = copy;
            copy = before;
        } else {
            r = -EINVAL;
        }
        end(fs);
    }
    free(copy);
    return r;
}

int tally_fs_reset(tally_fs *fs, tally_fs_item number) {
    struct item *item;
    int r = get(fs, number, &item);
    if (r < 0)
        return r;
    r = item->type == ITEM_SERIES ? series_reset(item->series) : -EINVAL;
    end(fs);
    return r;
}

int tally_fs_set_reset_interval(tally_fs *fs, tally_fs_item number, uint32_t seconds) {
    struct item *item;
    int r = get(fs, number, &item);
    if (r < 0)
        return r;
    if (item->type == ITEM_SERIES)
        r = items_set_interval(&fs->items, item, seconds * NS_PER_S, now_ns());
    else
        r = -EINVAL;
    end(fs);
    wake(fs); /* the thread may have to wake earlier than it knows */
    return r;
}
