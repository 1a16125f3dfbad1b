/* SPDX-License-Identifier: MIT */
/*
 * Series and histograms: many threads add, one at a time reads.
 *
 * There are two parts that can be added to, and one of them is in use. Whoever adds locks
 * the gate for some nanoseconds, and waits for nobody but others who add. A reader changes
 * the parts over, at a moment when the gate is open: what was in use until then is whole and
 * lies still, and the reader adds it to the totals, which are its own. So a reading is of
 * one moment, however long it takes, and however much is being added.
 */
#ifndef SERIES_H
#define SERIES_H

#include "proctally_fs.h"

#define SERIES_PERCENTILES_MOST 20
#define SERIES_BOUNDS_MOST 100

struct stats {
    uint64_t count, min, max, last;
    unsigned __int128 sum;
    double mean;
    double squares; /* of the distances from the mean */
};

/* Whatever is asked below is as of the last of these. The caller sees to it that there is
 * one reader at a time. */
void series_read(tally_fs_series *series);

/* Never reset, and since the last reset. */
const struct stats *series_ever(const tally_fs_series *series);
const struct stats *series_since(const tally_fs_series *series);
/* -ENOMEM: a copy of the buckets is needed, once; after the first it is there. */
int series_prepare_reset(tally_fs_series *series);
int series_reset(tally_fs_series *series);

/* Of those added since the last reset, if there are any, this percentage (or a little more)
 * is not larger than what comes back. */
size_t series_percentiles(const tally_fs_series *series);
const char *series_percentile_name(const tally_fs_series *series, size_t i);
uint64_t series_percentile(const tally_fs_series *series, size_t i);

bool series_is_histogram(const tally_fs_series *series);
/* How many were ever added that are not larger than the bound. */
size_t series_bounds(const tally_fs_series *series);
uint64_t series_bound(const tally_fs_series *series, size_t i);
/* For all bounds at once, from the first to the last. */
void series_cumulate(const tally_fs_series *series, uint64_t *ret_counts);

/* False: it is registered already. */
bool series_take(tally_fs_series *series);
void series_give_back(tally_fs_series *series);

#endif
