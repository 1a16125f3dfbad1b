/* SPDX-License-Identifier: MIT */
/* Getting a FUSE file system mounted, and unmounted whatever becomes of us. libfuse can do
 * it too, but says why it could not on stderr, and its auto_unmount does nothing for
 * ordinary users before 3.17. */
#ifndef MOUNTPOINT_H
#define MOUNTPOINT_H

#include "proctally.h"

#include <stdbool.h>

#define MOUNT_MOST 4200 /* of a device's numbers and a path */

struct mountpoint {
    char *path; /* absolute, without links */
    char mount[MOUNT_MOST]; /* what we mounted: its device and path in mountinfo */
    int watcher_fd; /* the shell that unmounts */
};

/* See tree_new(). Gives the descriptor of the connection to the kernel, which is the
 * caller's. */
int mountpoint_open(struct mountpoint *m, const char *path, bool read_only, bool allow_other,
                    int *ret_fuse_fd, struct tally_error *error);
/* Is it still ours that is mounted there? */
bool mountpoint_is_ours(const struct mountpoint *m);
/* Unmounts what is there, or (not `mounted`) nothing; where it takes another process, that may
 * not have done it yet if it does not get to run for 5 seconds. Nobody serves any more, and the
 * descriptor of the connection is closed: else who looks at the path would wait for us. */
void mountpoint_close(struct mountpoint *m, bool mounted);

#endif
