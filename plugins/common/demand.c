/* SPDX-License-Identifier: MIT */
#include "demand.h"

#include "duration.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How often files are looked at for changes while nobody asks for anything. */
#define WATCH_NS (5 * NS_PER_S)
/* Without a collection for this long, a look of its own: what a process used after its last one
 * is not known to source procfs if its parent has ended as well. A look costs what a collection
 * costs, sleepers aside. Source bpf knows all, but the room in the kernel is not endless. */
#define LOOK_PROCFS_NS (15 * NS_PER_S)
#define LOOK_BPF_NS (60 * NS_PER_S)

int demand_init(struct demand *d, struct service *s) {
    const char *age = cli_flag(&s->cli, "min-age");
    *d = (struct demand){.service = s, .min_age_ns = NS_PER_S, .beat_ns = service_now_ns()};
    if (!age || parse_duration(age, &d->min_age_ns))
        return 0;
    cli_say(s->cli.program, 'E',
            "--min-age got \"%s\"; expected a duration such as 500ms or 1s", age);
    return -EINVAL;
}

bool demand_is_background(const struct demand *d) {
    uint64_t interval_ns;
    return tally_config_interval(d->service->config, &interval_ns) == 1;
}

int demand_collect(struct demand *d) {
    int r = service_collect(d->service);
    d->looked_ns = service_now_ns();
    d->collected_ns = r < 0 ? 0 : d->looked_ns;
    if (r == 0)
        d->source = cli_source(d->service->snapshot);
    return r;
}

bool demand_is_fresh(const struct demand *d) {
    if (!d->service->snapshot || d->collected_ns == 0)
        return false;
    return demand_is_background(d) || service_now_ns() - d->collected_ns < d->min_age_ns;
}

static uint64_t look_after_ns(const struct demand *d) {
    return d->source && strcmp(d->source, "bpf") == 0 ? LOOK_BPF_NS : LOOK_PROCFS_NS;
}

/* When the next collection is due that nobody asks for. */
static uint64_t next_ns(const struct demand *d) {
    if (demand_is_background(d))
        return d->beat_ns;
    return d->looked_ns + look_after_ns(d);
}

uint64_t demand_until_ns(const struct demand *d) {
    const uint64_t next = next_ns(d), watch_ns = d->watched_ns + WATCH_NS;
    return next < watch_ns ? next : watch_ns;
}

bool demand_is_due(const struct demand *d) {
    return service_now_ns() >= next_ns(d);
}

void demand_next_beat(struct demand *d) {
    uint64_t interval_ns;
    tally_config_interval(d->service->config, &interval_ns);
    d->beat_ns = service_next_beat_ns(d->beat_ns, interval_ns, service_now_ns());
}

int demand_look(struct demand *d) {
    int r = service_look(d->service);
    d->looked_ns = service_now_ns();
    return r;
}

bool demand_must_watch(const struct demand *d) {
    return service_now_ns() >= d->watched_ns + WATCH_NS;
}

bool demand_reload(struct demand *d, bool now) {
    const tally *before = d->service->t;
    service_reload(d->service, now);
    d->watched_ns = service_now_ns();
    if (d->service->t == before)
        return false;
    d->collected_ns = 0;
    d->beat_ns = d->watched_ns; /* the interval may be another one */
    return true;
}

void demand_say(const struct demand *d) {
    const char *source = d->source ? d->source : "not known yet";
    const struct service *s = d->service;
    if (demand_is_background(d))
        cli_say(s->cli.program, 'I', "source %s, collecting every %s", source,
                tally_config_get(s->config, "interval"));
    else
        cli_say(s->cli.program, 'I',
                "source %s, collecting when asked, and looking %" PRIu64 " s after the last time",
                source, look_after_ns(d) / NS_PER_S);
}
