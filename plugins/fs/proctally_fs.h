/* SPDX-License-Identifier: MIT */
/*
 * proctally-fs: a program shows its own state as files, for cat, grep and awk, and for
 * any agent.
 *
 *     MOUNTPOINT/metrics     all that is registered, as Prometheus text
 *     MOUNTPOINT/influx      … as line protocol
 *     MOUNTPOINT/DIRECTORY/NAME   one value
 *     MOUNTPOINT/DIRECTORY/all    "NAME VALUE" lines of all below, read in one go; in NAME a
 *                            blank is \040, and a backslash \134
 *
 * Whose memory: yours. The library reads your values where they are, and what you have
 * removed is not read any more when tally_fs_remove() returns, by readers either that have
 * the file open. So: remove, then free.
 *
 * Items are numbers, which are never given twice. One that is gone is -ENOENT, whoever
 * removed it.
 *
 * Threads: every function may be called from any thread at any time; only creating and
 * freeing are for one. No reader ever holds up who adds to a counter or series. Readers,
 * and who registers and removes, wait for each other, so a function of yours that formats
 * must not wait for anybody who registers or removes; to do so itself is -EDEADLK. What
 * adds is not for signal handlers, but for tally_fs_count().
 *
 * A program that reads its own files does so in another thread than the one that serves.
 *
 * Processes: a child after fork(2) has nothing to serve, and while it lives without an
 * exec it keeps a mount of a killed parent hanging. If other threads were at work here when
 * it was forked, it can find their locks held for ever: it must neither register nor add.
 * tally_fs_free() in a child leaves the parent's mount alone. Only where the parent ends, as
 * with daemon(3) between tally_fs_new() and tally_fs_start(), may the child start or serve, and
 * then it is the child's. A thread that serves has to be stopped before: it could take a
 * request with it into its end, whose reader would wait for ever.
 *
 * The library never prints, logs or exits, and touches neither the locale nor signals.
 * Errors are negative errno values; `ret_` parameters are written only on success, and may
 * be NULL where an item is all that comes back. Structs that you fill begin with their
 * size; the rest may be 0.
 */
#ifndef PROCTALLY_FS_H
#define PROCTALLY_FS_H

#include <proctally.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

typedef struct tally_fs tally_fs;
typedef struct tally_fs_series tally_fs_series;
typedef uint64_t tally_fs_item; /* 0 is none */

#define TALLY_FS_ROOT ((tally_fs_item)1)

/* ---- The mount ------------------------------------------------------------------- */

struct tally_fs_options {
    size_t size;            /* sizeof(struct tally_fs_options) */
    const char *mountpoint; /* an empty directory; made if there is none */
    const char *name;       /* what all names in metrics begin with, and the measurement in
                             * influx; NULL: the program's own */
    bool allow_other; /* other users may read; as an ordinary user this takes
                       * user_allow_other in /etc/fuse.conf */
};

/* Mounts. What a killed process has left mounted there is cleared away first. Files can be
 * read once somebody serves: until then readers wait. As another user than root this takes
 * the program fusermount3. A shell is started that unmounts if this process is killed.
 * -EBUSY (another process shows its files there), -ENOTDIR, -ENOTEMPTY, -EPERM, -EACCES
 * (also a link of somebody else's in a directory for all), -ENOENT (also without /bin/sh), …,
 * -EINVAL, -E2BIG, each with error filled. */
int tally_fs_new(const struct tally_fs_options *options, tally_fs **ret_fs,
                 struct tally_error *error);
/* Unmounts, served or not, and forgets all items; your values and series stay. Who still has
 * files open gets ENOTCONN. Without the right to unmount, the shell does it; if that does not
 * get to run for 5 seconds, a dead mount is left, which the next tally_fs_new() clears away. */
tally_fs *tally_fs_free(tally_fs *fs);

/* Serves in a thread of its own, which blocks all signals. 0 also if it runs already.
 * -ENOTCONN: unmounted from outside. */
int tally_fs_start(tally_fs *fs);
/* Ends that thread; readers wait until there is another. 0 also if there is none. -EDEADLK:
 * called by a function that formats or takes what is written; tally_fs_free() must not be
 * called by one at all. */
int tally_fs_stop(tally_fs *fs);

/* Or in your own loop: serve when the descriptor is readable, or after this many
 * milliseconds (-1: no need to), which is when an interval of a series is over. */
int tally_fs_fd(const tally_fs *fs);
int tally_fs_timeout_ms(tally_fs *fs);
/* One request, if there is one; never waits. 0 also if another thread serves at the moment.
 * 1: unmounted from outside, and there will be no more; so it is after -errno, when the
 * kernel's connection broke. */
int tally_fs_serve(tally_fs *fs);

/* ---- Directories, and finding things ------------------------------------------------ */

/* Names have 1 to 255 bytes of UTF-8 without '/' and control characters, and are not "."
 * or "..": else -EINVAL. -EEXIST: the name is taken, as "all" is in each directory and
 * "metrics" and "influx" at the top, or what becomes of it in metrics or influx is (there
 * the path joined by '_' is the name, and what is no letter or digit is '_', too). So are
 * the names of what belongs to a series (NAME_count, NAME_mean, NAME_p50, …) and "time"; and
 * what has one name there, and differs in its labels, is of one kind, unit and per_unit, and
 * all whole numbers or none.
 * Further -ENOENT (no such parent), -ENOTDIR, -ENAMETOOLONG (over 1000 bytes in metrics),
 * -EINVAL and -E2BIG (of a struct), -ENOMEM. */

/* With a label, the directory's own name is no part of the names in metrics but the label's
 * value: clients/ann/requests, with the label "client" for ann, is
 * NAME_clients_requests{client="ann"}. NULL: none. */
int tally_fs_add_directory(tally_fs *fs, tally_fs_item parent, const char *name,
                           const char *label, tally_fs_item *ret_item);

/* By a path below a directory: "clients/ann". -EINVAL: it is empty. */
int tally_fs_find(tally_fs *fs, tally_fs_item directory, const char *path,
                  tally_fs_item *ret_item);
/* With all that is below. When this returns, nobody reads the values any more. -EBUSY: the
 * root can't be removed. */
int tally_fs_remove(tally_fs *fs, tally_fs_item item);
int tally_fs_remove_path(tally_fs *fs, tally_fs_item directory, const char *path);
/* Only what is below. -ENOTDIR: a value. */
int tally_fs_remove_children(tally_fs *fs, tally_fs_item directory);

/* ---- Values ---------------------------------------------------------------------------- */

/* What metrics tell of a value beside its name. NULL for all this: a gauge. */
struct tally_fs_about {
    size_t size;
    enum tally_kind kind;
    const char *help;
    const char *unit;  /* "seconds", "bytes": ends the name in metrics */
    uint64_t per_unit; /* how many of the value are one such: 1000000000 for nanoseconds that
                        * are to be seconds; 0 is 1. The files show the value as it is. */
};

/* The value is read, atomically, whenever a file is. A counter never falls, and one of 32 bits
 * soon overflows: rather take 64. */
int tally_fs_add_u32(tally_fs *fs, tally_fs_item parent, const char *name, const uint32_t *value,
                     const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_u64(tally_fs *fs, tally_fs_item parent, const char *name, const uint64_t *value,
                     const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_int(tally_fs *fs, tally_fs_item parent, const char *name, const int *value,
                     const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_i64(tally_fs *fs, tally_fs_item parent, const char *name, const int64_t *value,
                     const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_double(tally_fs *fs, tally_fs_item parent, const char *name, const double *value,
                        const struct tally_fs_about *about, tally_fs_item *ret_item);

/* Adds to such a value; for many threads at once. */
static inline void tally_fs_count(uint64_t *counter, uint64_t by) {
    __atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

/* A value, but no counter (-EINVAL), that its owner and root may also write: "echo 5 >FILE".
 * The whole text must be one number from min to max, else EINVAL or ERANGE and the value is
 * as it was. */
int tally_fs_add_parameter_u32(tally_fs *fs, tally_fs_item parent, const char *name,
                               uint32_t *value, uint32_t min, uint32_t max,
                               const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_parameter_u64(tally_fs *fs, tally_fs_item parent, const char *name,
                               uint64_t *value, uint64_t min, uint64_t max,
                               const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_parameter_int(tally_fs *fs, tally_fs_item parent, const char *name, int *value,
                               int min, int max, const struct tally_fs_about *about,
                               tally_fs_item *ret_item);
int tally_fs_add_parameter_i64(tally_fs *fs, tally_fs_item parent, const char *name,
                               int64_t *value, int64_t min, int64_t max,
                               const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_parameter_double(tally_fs *fs, tally_fs_item parent, const char *name,
                                  double *value, double min, double max,
                                  const struct tally_fs_about *about, tally_fs_item *ret_item);

/* A text, which is copied. In metrics it is the label `text` of NAME_info, which is 1. */
int tally_fs_add_text(tally_fs *fs, tally_fs_item parent, const char *name, const char *text,
                      const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_set_text(tally_fs *fs, tally_fs_item item, const char *text);

/* What has begun and what has ended: a directory with the files `start` and `end`. In one text
 * no more have ended than begun, if you count the beginning first. */
int tally_fs_add_pair_u32(tally_fs *fs, tally_fs_item parent, const char *name,
                          const uint32_t *start, const uint32_t *end,
                          const struct tally_fs_about *about, tally_fs_item *ret_item);
int tally_fs_add_pair_u64(tally_fs *fs, tally_fs_item parent, const char *name,
                          const uint64_t *start, const uint64_t *end,
                          const struct tally_fs_about *about, tally_fs_item *ret_item);

/* Text of your own. */
struct tally_fs_calls {
    size_t size;
    /* As snprintf(3): writes up to `room` bytes, the NUL byte at the end among them, and
     * returns the length of the whole text; if it did not fit, it is called again with room
     * enough. Up to 1 MiB. -errno: for whoever reads. Called for whoever asks for the size,
     * too, as ls(1) does. Must not look at files of this mount, which would wait for it. */
    ssize_t (*format)(void *data, char *to, size_t room);
    /* NULL: can't be written. Gets the text of one write(2), up to 64 KiB, ended by a NUL byte
     * that len does not count, and in which there is none: else EINVAL. 0 or -errno. As a
     * formatter it gets -EDEADLK from all that takes a tally_fs. */
    int (*write)(void *data, const char *text, size_t len);
    void *data;
};
/* With `about`, a text that is one number is in metrics as well. */
int tally_fs_add_calls(tally_fs *fs, tally_fs_item parent, const char *name,
                       const struct tally_fs_calls *calls, const struct tally_fs_about *about,
                       tally_fs_item *ret_item);

/* ---- Series and histograms ---------------------------------------------------------------- */

/* A series is a directory: count, sum, min, max, last, mean, variance, stddev (of a sample),
 * reset ("echo 1 >reset" begins anew) and reset_interval_seconds (the same again and again;
 * 0: never). What is not known yet has no file. A histogram is a series that also counts by
 * size, over all 64 bits and to 1/64 of the value: with a file p50, p99 and so on for each
 * percentile.
 *
 * In metrics, where nothing is ever reset, a series is a summary with gauges, a histogram a
 * histogram.
 *
 * Sum, count and all the rest of one series in a text are of one moment, and the series of
 * one text of moments close together: they are read before all else. */

struct tally_fs_histogram {
    size_t size;
    const char *percentiles; /* up to 20, from 0 to 100: "50 99 99.9"; NULL: "50 90 99" */
    /* The bounds of the histogram in metrics, rising, and counted exactly; up to 100, and not
     * closer together than 1/64. None: powers of ten. */
    const uint64_t *bounds;
    size_t bound_count;
};

/* A histogram if such is given. Belongs to you, registered or not. -EINVAL, -E2BIG,
 * -ENOMEM. */
int tally_fs_series_new(const struct tally_fs_histogram *histogram, tally_fs_series **ret_series);
/* Remove it from the files before. */
tally_fs_series *tally_fs_series_free(tally_fs_series *series);
void tally_fs_series_add(tally_fs_series *series, uint64_t value);

/* -EBUSY: it is registered already. */
int tally_fs_add_series(tally_fs *fs, tally_fs_item parent, const char *name,
                        tally_fs_series *series, const struct tally_fs_about *about,
                        tally_fs_item *ret_item);
/* As the files of those names. -EINVAL: no series. */
int tally_fs_reset(tally_fs *fs, tally_fs_item item);
int tally_fs_set_reset_interval(tally_fs *fs, tally_fs_item item, uint32_t seconds);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
