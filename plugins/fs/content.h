/* SPDX-License-Identifier: MIT */
/*
 * What is in the mounted tree: the values of a snapshot as files, made when they are asked
 * for.
 *
 *   metrics influx time
 *   self/METRIC host/METRIC
 *   groups/NAME/METRIC
 *   groups/NAME/processes/PID/METRIC
 *
 * and in each of the lower directories `all`, with those of groups and processes `labels`; with
 * those of groups also `thread_names` and `wait_channels`. What is not known has no file.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "tree.h"

struct content;

/* Asked before anything is looked up or read, with the pointer that content_new() was given: it
 * may collect, and set what it found. 0, or -errno for whoever asks. */
typedef int content_refresh(void *data);

/* -ENOMEM. */
int content_new(content_refresh *refresh, void *data, struct content **ret);
struct content *content_free(struct content *c);

/* From now on it shows this snapshot, of which it takes a reference; NULL: it has nothing to
 * show, and says EIO. -ENOMEM: as with NULL. */
int content_set(struct content *c, const tally_snapshot *s);

/* For tree_new(); the provider is the content. */
extern const struct tree_ops content_ops;

#endif
