/* SPDX-License-Identifier: MIT */
/* A collector for those who ask when they like. With the option interval it collects in the
 * background, and they get the last snapshot; else it collects when it is asked, and looks by
 * itself in between. */
#ifndef DEMAND_H
#define DEMAND_H

#include "service.h"

/* The times are those of service_now_ns(). */
struct demand {
    struct service *service;
    uint64_t min_age_ns;   /* a snapshot that is not older will do, unless in the background */
    uint64_t collected_ns; /* when the last snapshot was taken; 0: there is none that will do */
    uint64_t looked_ns;    /* when processes were looked at last */
    uint64_t watched_ns;   /* when files were looked at last */
    uint64_t beat_ns;      /* of the next collection in the background */
    const char *source;    /* what the last snapshot came from; NULL: there was none */
};

/* Reads the flag --min-age. -EINVAL, with a sentence said. */
int demand_init(struct demand *d, struct service *s);

bool demand_is_background(const struct demand *d);

/* A new snapshot. -errno, said once until it works; the last one will not do then. */
int demand_collect(struct demand *d);

/* Is the last snapshot good enough for who asks now? */
bool demand_is_fresh(const struct demand *d);

/* When there is something to do that nobody asks for: to collect or look, or to see whether
 * files have changed. */
uint64_t demand_until_ns(const struct demand *d);

/* Is it time to collect in the background, or to look? Whoever then collects moves the beat on
 * by demand_next_beat(). */
bool demand_is_due(const struct demand *d);
void demand_next_beat(struct demand *d);

/* Counts what there is to count, without a snapshot. -errno, said once until it works. */
int demand_look(struct demand *d);

/* Is it time to see whether files have changed? */
bool demand_must_watch(const struct demand *d);

/* Takes up a changed configuration, with `now` in any case. True: the collector is another one,
 * and what it replaces is no answer any more. */
bool demand_reload(struct demand *d, bool now);

/* Tells people what was chosen, after the first collection. */
void demand_say(const struct demand *d);

#endif
