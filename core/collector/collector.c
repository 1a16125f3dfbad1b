/* SPDX-License-Identifier: MIT */
/* The life of a collector. */
#define _GNU_SOURCE
#include "collector/collector.h"
#include "collector/state.h"
#include "base/error.h"

#include "build-config.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_CEILING ((size_t)1 << 30)
/* Groups of single processes, of which only the top is shown. */
#define SINGLES_LIMIT 65536u

const char *tally_version(void) {
    return VERSION;
}

static void close_tallies(tally *t) {
    proctable_clear(&t->table);
    tallies_clear(&t->tallies);
    t->progress = (struct progress){0};
    memset(t->self_before, 0, sizeof(t->self_before));
}

/* What is read of each process, and can therefore be refused. */
static unsigned origins_of(const tally *t) {
    const unsigned collect = t->settings.collect;
    unsigned origins = 1u << ORIGIN_STATUS;
    if (collect & 1u << COLLECT_IO)
        origins |= 1u << ORIGIN_IO;
    if (collect & 1u << COLLECT_FDS)
        origins |= 1u << ORIGIN_FD | 1u << ORIGIN_LIMITS;
    if (collect & (1u << COLLECT_CONTEXT_SWITCHES | 1u << COLLECT_DELAYS))
        origins |= 1u << ORIGIN_SCHED;
    if (collect & 1u << COLLECT_PSS)
        origins |= 1u << ORIGIN_PSS;
    if (t->grouping.needs)
        origins |= 1u << ORIGIN_IDENTITY;
    return origins;
}

static int open_tallies(tally *t) {
    size_t limit = t->settings.max_groups;
    if (t->grouping.by_pid && limit < SINGLES_LIMIT)
        limit = SINGLES_LIMIT;
    proctable_init(&t->table);
    int r = tallies_init(&t->tallies, limit, t->settings.collect, origins_of(t));
    return r < 0 ? r : grouping_add_literals(&t->grouping, &t->tallies);
}

/* Why a state was not taken, for the user. */
static const char *rejection(int error) {
    switch (error) {
    case -EBADMSG:
        return "it is damaged";
    case -EPROTO:
        return "it was written by another version";
    case -ESTALE:
        return "it is of an earlier boot or of another host";
    case -E2BIG:
        return "it is too large";
    default:
        return strerror(-error);
    }
}

/* -EISDIR and what read(2) says; what state_decode() says is about a content. */
static int read_state(tally *t, int fd) {
    struct stat st;
    buf_reset(&t->state);
    if (t->io.fstatat(t->io.data, fd, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP;
    for (;;) {
        if (buf_reserve(&t->state, 65536) < 0)
            return t->state.error;
        ssize_t n = t->io.read(t->io.data, fd, t->state.data + t->state.len,
                               t->state.size - t->state.len);
        if (n > 0)
            t->state.len += (size_t)n;
        else if (n == 0)
            return 0;
        else if (errno != EINTR)
            return -errno;
    }
}

/* Short of something at the moment: soon it may be there. */
static bool is_passing(int error) {
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EINTR;
}

/* Goes on from the state file. One that can't be used is set aside, so that somebody
 * can look at it, and so that it is not overwritten unseen. */
static int load_state(tally *t, struct tally_error *error) {
    /* not waiting, should a pipe be in its place */
    int fd = t->io.openat(t->io.data, AT_FDCWD, t->settings.state_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                          0);
    int r = fd < 0 ? -errno : read_state(t, fd);
    bool was_read = r == 0;
    if (fd >= 0)
        t->io.close(t->io.data, fd);
    if (r == 0)
        r = state_decode(t, t->state.data, t->state.len);
    if (r == 0 || r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (is_passing(r)) {
        error_set(error, "can't read the state file %.200s: %s", t->settings.state_file, strerror(-r));
        return r;
    }

    char aside[4096 + 16];
    struct stat st;
    close_tallies(t);
    snprintf(aside, sizeof(aside), "%.4096s.rejected", t->settings.state_file);
    bool is_file = was_read || (t->io.fstatat(t->io.data, AT_FDCWD, t->settings.state_file, &st,
                                              AT_SYMLINK_NOFOLLOW) == 0 &&
                                S_ISREG(st.st_mode));
    bool moved = is_file && t->io.rename(t->io.data, t->settings.state_file, aside) == 0;
    notice_raise(&t->notices, NOTICE_STATE_REJECTED,
                 "the state file %.150s was not used: %s; counting starts anew%s%.160s",
                 t->settings.state_file, rejection(r), moved ? "; it is kept as " : "", moved ? aside : "");
    return open_tallies(t);
}

int collector_new(const tally_config *config, const struct io *io, tally **ret_tally,
                  struct tally_error *error) {
    tally *t = calloc(1, sizeof(*t));
    if (!t) {
        error_set(error, "out of memory");
        return -ENOMEM;
    }
    if (error)
        error->text[0] = '\0';
    t->io = *io;
    buf_init(&t->text, TEXT_CEILING);
    buf_init(&t->state, TEXT_CEILING);
    buf_init(&t->self_labels, 1 << 20);
    self_set(t, METRIC_SELF_VANISHED, 0);
    self_set(t, METRIC_SELF_CMDLINES_CUT, 0);
    struct tally_error why_not_bpf = {{0}};
    int r = config_settings(config, &t->settings);
    if (r == 0 && t->settings.pin_dir && !t->settings.state_file) {
        error_set(error, "pin is given without state-file; expected both, or what was counted "
                         "between two runs would have nothing to be added to");
        r = -EINVAL;
    }
    if (r == 0)
        r = grouping_new(&t->settings, &t->grouping, error);
    if (r == 0)
        r = open_tallies(t);
    if (r == 0)
        r = source_open(&t->settings, &t->io, t->grouping.needs, &t->source, error, &why_not_bpf);
    if (r == 0 && why_not_bpf.text[0])
        notice_raise(&t->notices, NOTICE_SOURCE,
                     "reading /proc, which misses what is over too soon; not source bpf: %s",
                     why_not_bpf.text);
    if (r == 0 && t->settings.state_file) {
        self_set(t, METRIC_SELF_STATE_FAILURES, 0);
        r = load_state(t, error);
    }
    if (r < 0) {
        if (error && !error->text[0])
            error_set(error, "%s", r == -ENOMEM ? "out of memory" : strerror(-r));
        tally_free(t);
        return r;
    }
    *ret_tally = t;
    return 0;
}

int tally_new(const tally_config *config, tally **ret_tally, struct tally_error *error) {
    return collector_new(config, &io_kernel, ret_tally, error);
}

tally *tally_free(tally *t) {
    if (!t)
        return NULL;
    close_tallies(t);
    fold_free(&t->fold);
    free(t->pss_order.ids);
    if (t->source)
        t->source->ops->free(t->source);
    grouping_free(&t->grouping);
    buf_free(&t->text);
    buf_free(&t->state);
    buf_free(&t->self_labels);
    settings_free(&t->settings);
    free(t);
    return NULL;
}

bool tally_state_is_saved(const tally *t) {
    return t->state_saved;
}

void tally_count_lifetimes(tally *t) {
    t->count_lifetimes = true;
}

int tally_inherit(tally *t, const tally *from) {
    if (t->collected)
        return -EBUSY;
    /* the state belongs to the boot, and both live in this one */
    struct tally view = *from;
    buf_init(&view.state, TEXT_CEILING);
    int r = state_encode(&view);
    if (r == 0) {
        /* what the state file gave it is older than what `from` knows */
        close_tallies(t);
        r = open_tallies(t);
    }
    if (r == 0)
        r = state_decode(t, view.state.data, view.state.len);
    if (r < 0) {
        close_tallies(t);
        int again = open_tallies(t);
        r = again < 0 ? again : r;
    }
    buf_free(&view.state);
    return r;
}

void tally_set_grouper(tally *t, tally_grouper *grouper, void *data) {
    grouping_set_grouper(&t->grouping, grouper, data);
}
