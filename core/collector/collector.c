/* SPDX-License-Identifier: MIT */
/* The life of a collector. */
#include "collector/collector.h"

#include "base/error.h"
#include "base/replace_file.h"
#include "base/sized.h"
#include "build-config.h"
#include "collector/state.h"
#include "config/config.h"
#include "source/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_CEILING ((size_t)1 << 30)
/* State files that could not be used and are kept. */
#define MOST_ASIDE 9u

const char *tally_version(void) {
    return VERSION;
}

/* ---- Counting --------------------------------------------------------------------- */

/* What is read of each process, and can therefore be refused. */
static unsigned origins_of(const tally *t) {
    unsigned origins = 0;
    for (size_t o = 0; o < ORIGINS; o++) {
        const unsigned collect = metric_table[METRIC_UNREADABLE_STATUS + o].collect;
        if ((collect == 0 || t->settings.collect & collect) &&
            (o != ORIGIN_IDENTITY || t->grouping.needs) &&
            !(o == ORIGIN_STATUS && t->settings.spares_memory) &&
            !(o == ORIGIN_LIMITS && t->settings.spares_fd_limits))
            origins |= 1u << o;
    }
    return origins;
}

static void close_counting(struct counting *c) {
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1))
        thread_list_free(proctable_at(&c->table, id)->thread_list, &c->tallies.threads);
    proctable_clear(&c->table);
    tallies_clear(&c->tallies);
    cgroup_table_clear(&c->cgroups);
    fold_free(&c->fold);
    *c = (struct counting){0};
}

/* Nothing is counted yet, whatever was before. -ENOMEM. */
static int open_counting(tally *t) {
    struct counting *c = &t->counting;
    close_counting(c);
    proctable_init(&c->table);
    c->progress.parent_count = t->grouping.rules.parent_count;
    for (uint32_t i = 0; i < c->progress.parent_count; i++)
        c->progress.parent_keys[i] = rules_parent_key(&t->grouping.rules, i);
    cgroup_table_init(&c->cgroups, t->settings.max_groups);
    c->table.keeps_details = t->settings.collect & 1u << COLLECT_MEMORY_DETAILS;
    c->table.keeps_darwin_fields = t->source->has_darwin_fields;
    self_set(c, METRIC_SELF_VANISHED, 0);
    self_set(c, METRIC_SELF_CMDLINES_CUT, 0);
    if (t->settings.state_file)
        self_set(c, METRIC_SELF_STATE_FAILURES, 0);
    int r = tallies_init(&c->tallies, t->settings.max_groups, t->settings.collect, origins_of(t));
    c->tallies.threads.is_on = t->settings.collect & 1u << COLLECT_THREAD_NAMES;
    c->tallies.threads.ends_are_told = t->source->ops->thread_ends;
    c->tallies.threads.folds = t->settings.fold_thread_names;
    c->tallies.threads.max_names = t->settings.max_thread_names;
    c->tallies.unshown |= t->settings.unsent;
    c->tallies.threads.shown &= ~t->settings.unsent_parts;
    c->tallies.top_by = t->settings.top_by;
    c->tallies.top = t->settings.top;
    return r < 0 || t->settings.drops_empty ? r : grouping_add_literals(&t->grouping, &c->tallies);
}

/* One configuration is for all systems: what this one has nothing of is left out. Nobody has
 * asked for what comes with a schema. */
static void leave_out(tally *t) {
    unsigned lacking = t->settings.collect & t->source->lacks_collect;
    char words[256] = "";
    size_t len = 0;
    t->settings.collect &= ~lacking;
    if (t->settings.schema == TALLY_SCHEMA_PROCESS_EXPORTER)
        lacking &= ~(1u << COLLECT_THREAD_NAMES);
    for (enum collect c = 0; c < COLLECTS; c++)
        if (lacking & 1u << c)
            len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s", len ? ", " : "",
                                    collect_names[c]);
    if (t->settings.container_names && !t->containers)
        len += (size_t)snprintf(words + len, sizeof(words) - len, "%scontainer-names",
                                len ? ", " : "");
    if (len)
        notice_raise(&t->notices, NOTICE_COLLECT,
                     "absent, as this system has nothing of the kind: %s", words);
    else
        notice_clear(&t->notices, NOTICE_COLLECT);
}

int begin_counting(struct tally *t) {
    leave_out(t);
    return open_counting(t);
}

/* ---- The state ------------------------------------------------------------------------ */

static struct state_origin origin_of(const tally *t) {
    return (struct state_origin){.boot_id = t->source->boot_id, .source = t->source->name};
}

void save_state(struct tally *t) {
    const struct state_origin origin = origin_of(t);
    int r = state_encode(&t->counting, &origin, &t->state);
    /* not fsynced: a crash of the host ends the boot that the state belongs to */
    if (r == 0)
        r = replace_file(&t->io, t->settings.state_file, t->state.data, t->state.len, 0600, false);
    t->state_saved = r == 0;
    if (r == 0) {
        notice_clear(&t->notices, NOTICE_STATE_UNSAVED);
        return;
    }
    self_add(&t->counting, METRIC_SELF_STATE_FAILURES, 1);
    notice_raise(&t->notices, NOTICE_STATE_UNSAVED,
                 "the state file %.200s can't be saved: %s; counting goes on, but a restart would "
                 "lose it",
                 t->settings.state_file, strerror(-r));
}

/* Why a state was not taken, for the user. */
static const char *rejection(int error) {
    switch (error) {
    case -EBADMSG:
        return "it is damaged";
    case -EPROTO:
        return "it was written by another version";
    case -ENXIO:
        return "nobody can tell whether it is of this boot";
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

/* Beside the file, but never over what somebody keeps there. Empty: it can't be moved, or
 * there are enough already. */
static void set_aside(const tally *t, const char *path, char *aside, size_t size) {
    struct stat st;
    for (unsigned i = 1; i <= MOST_ASIDE; i++) {
        int len = snprintf(aside, size, "%.4096s.rejected", path);
        if (i > 1)
            snprintf(aside + len, size - (size_t)len, ".%u", i);
        if (t->io.fstatat(t->io.data, AT_FDCWD, aside, &st, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        if (errno == ENOENT && t->io.rename(t->io.data, path, aside) == 0)
            return;
        break;
    }
    aside[0] = '\0';
}

/* Goes on from the state file. One that can't be used is set aside, so that somebody
 * can look at it, and so that it is not overwritten unseen; that of an earlier boot is
 * only of no use any more. */
static int load_state(tally *t, struct tally_error *error) {
    const char *path = t->settings.state_file;
    const struct state_origin origin = origin_of(t);
    /* not waiting, should a pipe be in its place */
    int fd = t->io.openat(t->io.data, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    int r = fd < 0 ? -errno : read_state(t, fd);
    bool was_read = r == 0;
    if (fd >= 0)
        t->io.close(t->io.data, fd);
    if (r == 0)
        r = state_decode(&t->counting, &origin, clock_ns(t, CLOCK_BOOTTIME), t->state.data,
                         t->state.len);
    if (r == 0 || r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (is_passing(r)) {
        error_set(error, "can't read the state file %.200s: %s", path, strerror(-r));
        return r;
    }

    if (r == -ESTALE)
        return open_counting(t);

    char aside[4096 + 16] = "";
    struct stat st;
    bool is_file =
        was_read || (t->io.fstatat(t->io.data, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                     S_ISREG(st.st_mode));
    if (is_file)
        set_aside(t, path, aside, sizeof(aside));
    notice_raise(&t->notices, NOTICE_STATE_REJECTED,
                 "the state file %.150s was not used: %s; counting starts anew%s%.160s", path,
                 rejection(r), aside[0] ? "; it is kept as " : "", aside);
    return open_counting(t);
}

/* As if through a state file that nothing can damage. -ENOMEM, -E2BIG. */
static int inherit(tally *t, const tally *from, struct tally_error *error) {
    const struct state_origin origin = origin_of(from);
    int r = state_encode(&from->counting, &origin, &t->state);
    if (r == 0) {
        /* the boot is the same, whatever is known of it here and there */
        const struct state_origin same_boot = {.boot_id = origin.boot_id,
                                               .source = t->source->name};
        r = state_decode(&t->counting, &same_boot, UINT64_MAX, t->state.data, t->state.len);
    }
    if (r < 0) {
        error_set(error, "can't take over what was counted: %s", strerror(-r));
        return r;
    }
    snapshots_inherit(&t->snapshots, &from->snapshots);
    return 0;
}

/* What came and went since the last time is known to the other one alone. Loading programs takes
 * most of a second, so it counts for the last time when they are there; but those that are pinned
 * may be its own as well, and do what the new one wants from then on. */
static void collect_before_open(const tally *t, tally *from) {
    if (from && t->settings.pin_dir)
        (void)tally_collect(from, NULL);
}
static void collect_after_open(const tally *t, tally *from) {
    if (!t->settings.pin_dir || t->source->tells_from_now_on)
        (void)tally_collect(from, NULL);
}

/* The first collection after that, at once: from then on the source tells the end of all that are
 * alive, or of their traffic. What came and went since it was opened the other one has counted, up
 * to a moment ago. (Where a program in the kernel is held up just now, bpf_programs_round() can't
 * take all of that yet. What it tells later of this short time is then counted once more.) */
static int go_on(tally *t) {
    t->passes_unlisted = true;
    int r = tally_collect(t, NULL);
    t->passes_unlisted = false;
    return r;
}

/* ---- Begin and end ------------------------------------------------------------------------ */

static int not_followed(const tally *t, pid_t pid, int why, struct tally_error *error) {
    if (why == -ESRCH)
        error_set(error, "can't follow process %ld: there is none in %.200s", (long)pid,
                  t->settings.procfs);
    else
        error_set(error, "can't follow process %ld: %s", (long)pid, strerror(-why));
    return why;
}

/* -ESRCH: one of them is not there. */
static int find_followed(tally *t, const struct tally_new_opts *opts, struct tally_error *error) {
    struct followed *followed = &t->grouping.followed;
    if (opts->follow_count > FOLLOWED_MAX) {
        error_set(error, "%zu processes are to be followed, expected at most %d",
                  opts->follow_count, FOLLOWED_MAX);
        return -EINVAL;
    }
    for (size_t i = 0; i < opts->follow_count; i++) {
        const pid_t pid = opts->follow[i];
        struct sample s;
        int r = pid > 0 ? source_lookup(&t->io, t->settings.procfs, (uint32_t)pid, false, &s)
                        : -ESRCH;
        if (r < 0)
            return not_followed(t, pid, r, error);
        followed->roots[followed->count++] = (struct followed_root){(uint32_t)pid, s.start_ticks};
    }
    followed->adopter = followed->count && opts->adopter > 0 ? (uint32_t)opts->adopter : 0;
    return 0;
}

/* Are they still there, now that they were looked at? -ESRCH. */
static int check_followed(const tally *t, struct tally_error *error) {
    const struct followed *followed = &t->grouping.followed;
    for (uint32_t i = 0; i < followed->count; i++)
        if (proctable_find_incarnation(&t->counting.table, followed->roots[i].pid,
                                       followed->roots[i].start_ticks) == NO_PROCESS)
            return not_followed(t, (pid_t)followed->roots[i].pid, -ESRCH, error);
    return 0;
}

/* -EINVAL, -E2BIG. */
static int take_opts(const struct tally_new_opts *given, struct tally_new_opts *ret,
                     struct tally_error *error) {
    int r = struct_copy(ret, sizeof(*ret), given, given->size);
    if (r == -EINVAL)
        error_set(error, "options of tally_new have a size of %zu, expected %zu: "
                         "sizeof(struct tally_new_opts)",
                  given->size, sizeof(*ret));
    if (r == 0 && ret->keep & ~(unsigned)(TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST | TALLY_KEEP_CMDLINES |
                                         TALLY_KEEP_ENDED))
        r = -E2BIG;
    if (r == -E2BIG)
        error_set(error, "options of tally_new ask for something that is not known to this "
                         "library, proctally %s",
                  tally_version());
    return r;
}

/* Who is followed is known from before, if it is the same tree. */
static void take_followed(tally *t) {
    struct counting *c = &t->counting;
    struct progress *progress = &c->progress;
    const struct followed *now = &t->grouping.followed, *before = &progress->followed;
    bool is_same = before->count == now->count;
    for (uint32_t i = 0; i < now->count; i++)
        is_same &= is_followed_root(before, now->roots[i].pid, now->roots[i].start_ticks);
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1))
        proctable_at(&c->table, id)->followed &= is_same;
    progress->followed = *now;
}

static enum ancestors wanted_ancestors(const tally *t, size_t follow_count) {
    if (t->settings.children || t->grouping.rules.parent_count)
        return ANCESTORS_ALL;
    return follow_count ? ANCESTORS_LISTED : ANCESTORS_NONE;
}

/* A series can't have a label twice. -EINVAL. */
static int check_labels(const struct settings *settings, struct tally_error *error) {
    for (size_t i = 0; i < settings->labels.count; i++)
        for (size_t k = 0; k < CONTAINER_LABELS; k++) {
            const char *label = settings->labels.items[i], *own = container_label_names[k];
            const size_t len = strlen(own);
            if (strncmp(label, own, len) != 0 || label[len] != '=')
                continue;
            error_set(error, "labels has \"%s\", expected another key, as container-names gives "
                             "groups a label of this name",
                      own);
            return -EINVAL;
        }
    return 0;
}

int collector_new(const tally_config *config, const struct tally_new_opts *given,
                  const struct io *io, tally **ret_tally, struct tally_error *error) {
    struct tally_new_opts opts = {0};
    if (error)
        error->text[0] = '\0';
    tally *t = calloc(1, sizeof(*t));
    if (!t) {
        error_set(error, "out of memory");
        return -ENOMEM;
    }
    t->io = *io;
    buf_init(&t->state, STATE_CEILING);
    int r = given ? take_opts(given, &opts, error) : 0;
    t->count_lifetimes = opts.count_lifetimes;
    t->keep = opts.keep;
    t->only_looks = opts.only_looks;
    if (r == 0)
        r = tally_config_check(config, error);
    if (r == 0)
        r = config_settings(config, &t->settings);
    if (r == 0 && t->settings.container_names)
        r = check_labels(&t->settings, error);
    t->settings.brief = opts.brief;
    t->settings.with_cmdlines = opts.keep & TALLY_KEEP_CMDLINES;
    if (t->only_looks) {
        free(t->settings.pin_dir);
        t->settings.pin_dir = NULL;
    }
    if (r == 0)
        r = snapshots_init(&t->snapshots, &t->settings);
    if (r == 0)
        r = grouping_new(&t->settings, opts.grouper, opts.grouper_data, &t->grouping, error);
    if (r == 0)
        r = find_followed(t, &opts, error);
    if (r == 0)
        collect_before_open(t, opts.inherit);
    if (r == 0)
        r = source_open(&t->settings, &t->io,
                        &(struct source_needs){.identity = t->grouping.needs,
                                               .ancestors = wanted_ancestors(t, opts.follow_count),
                                               .followed = &t->grouping.followed,
                                               .terminals = t->keep & TALLY_KEEP_PROCESSES,
                                               .each_end = t->keep & TALLY_KEEP_ENDED},
                        &t->source, error, &t->why_not_bpf);
    if (r == 0 && opts.inherit)
        notices_inherit(&t->notices, &opts.inherit->notices);
    if (r == 0 && !t->why_not_bpf.text[0])
        notice_clear(&t->notices, NOTICE_SOURCE);
    else if (r == 0)
        notice_raise(&t->notices, NOTICE_SOURCE,
                     "reading /proc, which misses what is over too soon; not source bpf: %s",
                     t->why_not_bpf.text);
    if (r == 0 && t->keep & TALLY_KEEP_PROCESSES)
        r = users_new(&t->io, &t->users);
    if (r == 0 && t->settings.collect & 1u << COLLECT_CGROUP &&
        settings_group_by_cgroup(&t->settings))
        r = cgroup_files_new(&t->io, t->settings.procfs, &t->cgroup_files);
    if (r == 0 && t->settings.container_names)
        r = containers_new(&t->io, t->settings.procfs, &t->containers);
    if (r == 0)
        r = begin_counting(t);
    if (r == 0 && opts.inherit) {
        collect_after_open(t, opts.inherit);
        r = inherit(t, opts.inherit, error);
    } else if (r == 0 && t->settings.state_file && !t->only_looks) {
        r = load_state(t, error);
    }
    if (!t->cgroup_files) /* of a time when it was switched on */
        cgroup_table_clear(&t->counting.cgroups);
    take_followed(t);
    if (r == 0 && opts.inherit && t->source->tells_from_now_on)
        r = go_on(t);
    /* Descendants are known by their parents, so that these have to be seen: from now on. */
    else if (r == 0 && opts.follow_count)
        r = tally_collect(t, NULL);
    if (r == 0)
        r = check_followed(t, error);
    if (r < 0) {
        if (error && !error->text[0])
            error_set(error, "%s", r == -ENOMEM ? "out of memory" : strerror(-r));
        tally_free(t);
        return r;
    }
    *ret_tally = t;
    return 0;
}

int tally_new(const tally_config *config, const struct tally_new_opts *opts, tally **ret_tally,
              struct tally_error *error) {
    return collector_new(config, opts, &io_kernel, ret_tally, error);
}

tally *tally_free(tally *t) {
    if (!t)
        return NULL;
    close_counting(&t->counting);
    snapshots_clear(&t->snapshots);
    users_free(t->users);
    free(t->pss_order.turns);
    socket_table_free(&t->sockets);
    cgroup_files_free(t->cgroup_files);
    containers_free(t->containers);
    if (t->source)
        t->source->ops->free(t->source);
    grouping_free(&t->grouping);
    buf_free(&t->state);
    settings_free(&t->settings);
    free(t);
    return NULL;
}

bool tally_state_is_saved(const tally *t) {
    return t->state_saved;
}
