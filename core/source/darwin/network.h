/* SPDX-License-Identifier: MIT */
/*
 * Who sent and received how much, as the kernel counts it for each flow (a connection, or a
 * socket of UDP): it is asked through a socket of its own, com.apple.network.statistics. No
 * header of it is public, and what it says of a flow changes with the system; so only those
 * systems are asked whose structures are known.
 */
#ifndef DARWIN_NETWORK_H
#define DARWIN_NETWORK_H

#include "base/error.h"
#include "source/darwin/calls.h"
#include "source/darwin/parse.h"
#include "source/source.h"

struct network;

/* To collect from now on what is sent and received. -ENOMEM. Whether it can be told is known
 * then: network_why_not(). */
int network_new(const struct darwin_calls *calls, struct network **ret);
struct network *network_free(struct network *n);

/* "": it is told. */
const struct tally_error *network_why_not(const struct network *n);

/* Which listed process that is: its start, in ticks since boot. False: none. */
typedef bool network_resolver(void *data, uint32_t pid, uint64_t unique, uint64_t *ret_start_ticks);
/* Asks for all there is. -ENOMEM: the rest comes next time. */
int network_poll(struct network *n, network_resolver *resolve, void *data);
/* What was found, a flow at a time. The text is valid until the next call. */
bool network_next(struct network *n, struct unlisted_usage *ret);

#endif
