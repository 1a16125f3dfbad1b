/* SPDX-License-Identifier: MIT */
/* What a binary that stays needs: signals, time, output that cannot hang it,
 * and a collector whose configuration file is watched. */
#ifndef SERVICE_H
#define SERVICE_H

#include "cli.h"
#include "units.h"

#include <poll.h>
#include <sys/stat.h>

/* ---- Signals: blocked from the start, and read from a descriptor --------------- */

struct service_signals {
    int fd;
    bool stop; /* SIGTERM or SIGINT came */
    bool poke; /* one of the program's own signals came; the reader resets it */
};

/* Takes over SIGTERM, SIGINT and the program's own (ended with 0), and ignores SIGPIPE.
 * -errno. */
int service_signals_open(struct service_signals *signals, const int *pokes);
/* Notes what has come; never waits. */
void service_signals_take(struct service_signals *signals);

/* ---- Time, in nanoseconds of CLOCK_MONOTONIC ------------------------------------- */

uint64_t service_now_ns(void);
/* The first beat after now on the grid that `beat` began; late ones are left out. */
uint64_t service_next_beat_ns(uint64_t beat_ns, uint64_t interval_ns, uint64_t now_ns);
/* poll(2) until a moment (UINT64_MAX: without end). After a signal that is not
 * ours no revents are set. */
void service_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns);

/* ---- Output ------------------------------------------------------------------------ */

/* Writes everything. -ECANCELED if a stop signal comes while nobody reads,
 * else -errno. */
int service_write(int fd, const char *data, size_t len, struct service_signals *signals);

/* ---- A collector and its configuration ----------------------------------------------- */

struct service {
    struct cli cli;
    const struct service_work *work;
    struct service_signals signals;
    tally_config *config;
    tally *t; /* NULL while /proc has not been readable yet */
    const tally_snapshot *snapshot; /* of the last service_collect() that went well */
    tally_text *text;               /* for encoders */
    struct stat file; /* the configuration file as it was read */
    bool failing; /* collecting failed, and that was said */
    void *data;   /* of struct service_work */
};

/* What a program does of its own. */
struct service_work {
    const int *pokes; /* signals, ended with 0 */
    void *data;       /* for the functions */
    unsigned keep;    /* what its snapshots hold besides the groups: bits of enum tally_keep */
    /* What takes the rights that the program was started with; or NULL. Says why it fails,
     * and returns 0 or the status to exit with. */
    int (*prepare)(struct service *s);
    int (*run)(struct service *s); /* returns the status to exit with */
    /* A remark of the collector, which has been said; or NULL. */
    void (*told)(struct service *s, const char *remark);
    bool serves; /* it accepts connections, in threads of its own */
};

/* The whole main(): the command line, signals, the collector, then the program's own work.
 * That /proc cannot be read at the start is said and no reason to leave; t is NULL then,
 * and service_collect() tries again. */
int service_main(const struct cli_program *program, const struct service_work *work, int argc,
                 char **argv);

/* In a run that collects only once, without a state file, counters are lifetime values. */
bool service_counts_lifetimes(const struct service *s);

/* Takes up a changed configuration file, once it has been left alone for two seconds and
 * is not empty: until then somebody may be writing it. With `now` reads it whatever it
 * looks like. A file with a mistake is reported once, and the old configuration stays. */
void service_reload(struct service *s, bool now);

/* Collects and says what there is to say. -errno, said once until it works. */
int service_collect(struct service *s);
/* The same without a snapshot: counts what there is to count. */
int service_look(struct service *s);

#endif
