/* SPDX-License-Identifier: MIT */
/* The state file: what counting needs to go on in another process, or after a
 * change of configuration. It belongs to one boot of one host. */
#ifndef STATE_H
#define STATE_H

#include "collector/collector.h"

/* Into t->state. -ENOMEM, -E2BIG. */
int state_encode(struct tally *t);

/* Into a collector that has not collected yet. -EBADMSG: damaged; -EPROTO: of
 * another version; -ESTALE: of another boot; -ENOMEM. After a failure the
 * collector must be reset by the caller. */
int state_decode(struct tally *t, const char *data, size_t len);

#endif
