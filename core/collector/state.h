/* SPDX-License-Identifier: MIT */
/* The state file: what it takes to carry on counting in another process, or under another
 * configuration. It is valid for one boot of one host. */
#ifndef STATE_H
#define STATE_H

#include "base/buf.h"
#include "count/counting.h"

/* Where the figures come from: two sources count some of them differently. */
struct state_origin {
    const char *boot_id; /* "" where that can't be known */
    const char *source;
};

/* Replaces the content of `to`. -ENOMEM, -E2BIG. */
int state_encode(const struct counting *c, const struct state_origin *origin, struct buf *to);

/* Into a counting that has counted nothing yet, but for groups that exist from the start.
 * now_boot_ns is the time since boot. -EBADMSG: damaged; -EPROTO: of another version;
 * -ESTALE: of another boot; -ENXIO: nobody can tell which; -ENOMEM. After a failure the
 * caller must reset the counting. */
int state_decode(struct counting *c, const struct state_origin *origin, uint64_t now_boot_ns,
                 const char *data, size_t len);

#endif
