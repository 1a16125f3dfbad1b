/* SPDX-License-Identifier: MIT */
#include "series.h"

#include "base/sized.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 64 buckets for each power of two, from 64 on; below, one for each value. */
#define FINE_BITS 6
#define FINE (1u << FINE_BITS)
#define BUCKETS ((size_t)(64 - FINE_BITS + 1) * FINE)

/* The gate: bit 0 is set while somebody adds, bit 1 is the part in use. */
#define GATE_CLOSED 1u
#define GATE_PART 2u

struct part {
    struct stats stats;
    uint64_t *buckets; /* NULL: no histogram */
    uint64_t *below;   /* of each bound inside a bucket: those in it that are not larger */
};

struct percentile {
    char name[16]; /* as it was given */
    uint64_t numerator, denominator;
};

struct tally_fs_series {
    _Alignas(64) atomic_uint gate;
    struct part parts[2];

    /* the reader's */
    _Alignas(64) struct part ever;
    struct stats since;
    uint64_t *at_reset; /* the buckets of `ever` then; NULL: there was no reset */
    atomic_bool taken;

    /* a histogram's, from the start on */
    unsigned char *bound_in; /* of a bucket: 1 + the bound inside it, or 0 */
    uint64_t bounds[SERIES_BOUNDS_MOST];
    size_t bound_count, percentile_count;
    struct percentile percentiles[SERIES_PERCENTILES_MOST];
};

/* ---- Statistics ------------------------------------------------------------------ */

/* Welford's way: a difference of two large sums of squares would be noise. */
static inline void stats_add(struct stats *s, uint64_t value) {
    if (s->count == 0 || value < s->min)
        s->min = value;
    if (value > s->max)
        s->max = value;
    s->last = value;
    s->sum += value;
    s->count++;
    const double distance = (double)value - s->mean;
    s->mean += distance / (double)s->count;
    s->squares += distance * ((double)value - s->mean);
}

static void stats_merge(struct stats *to, const struct stats *from) {
    if (from->count == 0)
        return;
    const double a = (double)to->count, b = (double)from->count;
    const double distance = from->mean - to->mean;
    to->squares += from->squares + distance * distance * a * b / (a + b);
    if (to->count == 0 || from->min < to->min)
        to->min = from->min;
    if (from->max > to->max)
        to->max = from->max;
    to->last = from->last;
    to->count += from->count;
    to->sum += from->sum;
    to->mean = (double)to->sum / (double)to->count;
}

/* ---- Buckets ----------------------------------------------------------------------- */

static inline size_t bucket_of(uint64_t value) {
    if (value < FINE)
        return (size_t)value;
    const unsigned shift = 63u - FINE_BITS - (unsigned)__builtin_clzll(value);
    return ((size_t)shift << FINE_BITS) + (size_t)(value >> shift);
}

static uint64_t bucket_end(size_t bucket) {
    if (bucket < FINE)
        return bucket;
    const unsigned shift = (unsigned)(bucket >> FINE_BITS) - 1;
    const uint64_t first = (uint64_t)(FINE + (bucket & (FINE - 1))) << shift;
    return first + ((UINT64_C(1) << shift) - 1);
}

/* ---- Adding -------------------------------------------------------------------------- */

/* Whoever is inside may have lost the CPU there. */
static void wait_a_little(unsigned tries) {
    if (tries < 64) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    } else if (tries < 128) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
}

void tally_fs_series_add(tally_fs_series *series, uint64_t value) {
    unsigned gate = atomic_load_explicit(&series->gate, memory_order_relaxed);
    for (unsigned tries = 0;; tries++) {
        gate &= ~GATE_CLOSED;
        if (atomic_compare_exchange_weak_explicit(&series->gate, &gate, gate | GATE_CLOSED,
                                                  memory_order_acquire, memory_order_relaxed))
            break;
        if (gate & GATE_CLOSED)
            wait_a_little(tries);
    }
    struct part *part = &series->parts[gate / GATE_PART];
    stats_add(&part->stats, value);
    if (part->buckets) {
        const size_t bucket = bucket_of(value);
        part->buckets[bucket]++;
        const unsigned bound = series->bound_in[bucket];
        if (bound && value <= series->bounds[bound - 1])
            part->below[bound - 1]++;
    }
    /* Nobody else changes a closed gate. */
    atomic_store_explicit(&series->gate, gate, memory_order_release);
}

/* ---- Reading ---------------------------------------------------------------------------- */

void series_read(tally_fs_series *series) {
    unsigned gate = atomic_load_explicit(&series->gate, memory_order_relaxed);
    for (unsigned tries = 0;; tries++) {
        gate &= ~GATE_CLOSED;
        if (atomic_compare_exchange_weak_explicit(&series->gate, &gate, gate ^ GATE_PART,
                                                  memory_order_acq_rel, memory_order_relaxed))
            break;
        if (gate & GATE_CLOSED)
            wait_a_little(tries);
    }
    struct part *part = &series->parts[gate / GATE_PART];
    if (part->stats.count == 0)
        return;
    stats_merge(&series->ever.stats, &part->stats);
    stats_merge(&series->since, &part->stats);
    if (part->buckets) {
        const size_t last = bucket_of(part->stats.max);
        for (size_t i = bucket_of(part->stats.min); i <= last; i++) {
            series->ever.buckets[i] += part->buckets[i];
            part->buckets[i] = 0;
        }
        for (size_t i = 0; i < series->bound_count; i++) {
            series->ever.below[i] += part->below[i];
            part->below[i] = 0;
        }
    }
    part->stats = (struct stats){0};
}

const struct stats *series_ever(const tally_fs_series *series) {
    return &series->ever.stats;
}

const struct stats *series_since(const tally_fs_series *series) {
    return &series->since;
}

int series_prepare_reset(tally_fs_series *series) {
    if (series->ever.buckets && !series->at_reset) {
        series->at_reset = calloc(BUCKETS, sizeof(uint64_t)); /* as if there was none */
        if (!series->at_reset)
            return -ENOMEM;
    }
    return 0;
}

int series_reset(tally_fs_series *series) {
    int r = series_prepare_reset(series);
    if (r < 0)
        return r;
    series_read(series);
    series->since = (struct stats){0};
    if (series->at_reset)
        memcpy(series->at_reset, series->ever.buckets, BUCKETS * sizeof(uint64_t));
    return 0;
}

size_t series_percentiles(const tally_fs_series *series) {
    return series->percentile_count;
}

const char *series_percentile_name(const tally_fs_series *series, size_t i) {
    return series->percentiles[i].name;
}

uint64_t series_percentile(const tally_fs_series *series, size_t i) {
    const struct percentile *p = &series->percentiles[i];
    const unsigned __int128 share = (unsigned __int128)series->since.count * p->numerator;
    uint64_t rank = (uint64_t)((share + p->denominator - 1) / p->denominator), before = 0;
    const size_t last = bucket_of(series->since.max);
    size_t bucket = bucket_of(series->since.min);
    for (; bucket < last; bucket++) {
        before += series->ever.buckets[bucket] -
                  (series->at_reset ? series->at_reset[bucket] : 0);
        if (before >= rank && before > 0)
            break;
    }
    const uint64_t end = bucket_end(bucket);
    return end < series->since.max ? end : series->since.max;
}

bool series_is_histogram(const tally_fs_series *series) {
    return series->ever.buckets;
}

size_t series_bounds(const tally_fs_series *series) {
    return series->bound_count;
}

uint64_t series_bound(const tally_fs_series *series, size_t i) {
    return series->bounds[i];
}

void series_cumulate(const tally_fs_series *series, uint64_t *ret_counts) {
    uint64_t before = 0;
    size_t bucket = 0;
    for (size_t i = 0; i < series->bound_count; i++) {
        const size_t of_bound = bucket_of(series->bounds[i]);
        for (; bucket < of_bound; bucket++)
            before += series->ever.buckets[bucket];
        ret_counts[i] = before + (series->bound_in[of_bound] == i + 1
                                      ? series->ever.below[i]
                                      : series->ever.buckets[of_bound]);
    }
}

bool series_take(tally_fs_series *series) {
    return !atomic_exchange(&series->taken, true);
}

void series_give_back(tally_fs_series *series) {
    atomic_store(&series->taken, false);
}

/* ---- Making ------------------------------------------------------------------------------- */

/* "99.9": exact, so that the 99.9th of 1000 is the 999th. */
static int take_percentile(struct percentile *p, const char *text, size_t len) {
    uint64_t digits = 0, scale = 1;
    bool point = false, any = false;
    if (len == 0 || len >= sizeof(p->name))
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && !point && any) {
            point = true;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || digits > UINT64_MAX / 1000)
            return -EINVAL;
        any = true;
        digits = digits * 10 + (uint64_t)(text[i] - '0');
        scale *= point ? 10 : 1;
    }
    if (text[len - 1] == '.' || digits > 100 * scale)
        return -EINVAL;
    memcpy(p->name, text, len);
    p->name[len] = '\0';
    p->numerator = digits;
    p->denominator = 100 * scale;
    return 0;
}

static int take_percentiles(tally_fs_series *series, const char *text) {
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        const size_t len = strcspn(text, " ");
        if (series->percentile_count == SERIES_PERCENTILES_MOST)
            return -EINVAL;
        struct percentile *p = &series->percentiles[series->percentile_count];
        int r = take_percentile(p, text, len);
        for (size_t i = 0; r == 0 && i < series->percentile_count; i++)
            if (strcmp(series->percentiles[i].name, p->name) == 0)
                r = -EINVAL;
        if (r < 0)
            return r;
        series->percentile_count++;
        text += len;
    }
    return 0;
}

static int take_bounds(tally_fs_series *series, const uint64_t *bounds, size_t count) {
    if (count > SERIES_BOUNDS_MOST)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        const size_t bucket = bucket_of(bounds[i]);
        if (i && bucket <= bucket_of(bounds[i - 1]))
            return -EINVAL;
        series->bounds[i] = bounds[i];
        if (bounds[i] != bucket_end(bucket))
            series->bound_in[bucket] = (unsigned char)(i + 1);
    }
    series->bound_count = count;
    return 0;
}

static int make_histogram(tally_fs_series *series, const struct tally_fs_histogram *given) {
    struct tally_fs_histogram h;
    int r = struct_copy(&h, sizeof(h), given, given->size);
    if (r < 0)
        return r;
    struct part *const parts[] = {&series->parts[0], &series->parts[1], &series->ever};
    for (size_t i = 0; i < 3; i++) {
        parts[i]->buckets = calloc(BUCKETS, sizeof(uint64_t));
        parts[i]->below = calloc(SERIES_BOUNDS_MOST, sizeof(uint64_t));
        if (!parts[i]->buckets || !parts[i]->below)
            return -ENOMEM;
    }
    series->bound_in = calloc(BUCKETS, 1);
    if (!series->bound_in)
        return -ENOMEM;
    uint64_t powers[20] = {1};
    for (size_t i = 1; i < 20; i++)
        powers[i] = powers[i - 1] * 10;
    r = take_percentiles(series, h.percentiles ? h.percentiles : "50 90 99");
    if (r == 0 && h.bound_count)
        return take_bounds(series, h.bounds, h.bound_count);
    return r < 0 ? r : take_bounds(series, powers, 20);
}

int tally_fs_series_new(const struct tally_fs_histogram *histogram, tally_fs_series **ret_series) {
    tally_fs_series *series;
    if (posix_memalign((void **)&series, _Alignof(tally_fs_series), sizeof(*series)) != 0)
        return -ENOMEM;
    memset(series, 0, sizeof(*series));
    int r = histogram ? make_histogram(series, histogram) : 0;
    if (r < 0)
        tally_fs_series_free(series);
    else
        *ret_series = series;
    return r;
}

tally_fs_series *tally_fs_series_free(tally_fs_series *series) {
    if (!series)
        return NULL;
    struct part *const parts[] = {&series->parts[0], &series->parts[1], &series->ever};
    for (size_t i = 0; i < 3; i++) {
        free(parts[i]->buckets);
        free(parts[i]->below);
    }
    free(series->at_reset);
    free(series->bound_in);
    free(series);
    return NULL;
}
