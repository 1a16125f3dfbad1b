/* SPDX-License-Identifier: MIT */
#include "follow.h"

#include "child.h"
#include "job_cgroup.h"
#include "json.h"
#include "record.h"
#include "rights.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* Samples are as dense as at first for this long, then rarer and rarer until then. */
#define DENSE_NS NS_PER_S
#define RARE_NS (10 * NS_PER_S)
/* How long a command that is to end has between SIGTERM and SIGKILL. */
#define GRACE_NS (10 * NS_PER_S)
/* What the kernel tells of an end arrives a little later (see core/collector/unseen.c). */
/* CPU time by which another account may be ahead of what was waited for, by rounding. More of
 * it is that of processes whose parents ignore SIGCHLD: of them nothing else is known either. */
#define UNWAITED_NS (2 * NS_PER_MS)
#define SETTLE_TRIES 15
#define SETTLE_NS (20 * NS_PER_MS)

/* Where records go. */
struct sink {
    int fd;
    bool is_csv;
    const char *name;
};

struct watch {
    const struct cli *cli;
    const struct watch_options *options;
    tally *t;
    const tally_snapshot *snapshot; /* the last one; NULL: none yet */
    bool has_failed; /* collecting did, and that was said */
    size_t rss, rss_peak, cpu_user, cpu_system, processes, threads, exits, pss, lost_events; /* metrics */

    int signals_fd;
    struct child_surroundings surroundings;
    int stop_signal; /* that came for us; 0: none */

    bool is_run;
    struct child child;
    struct job_cgroup cgroup;
    /* Of the processes that are attached to: readable when they end. */
    struct pollfd ends[WATCH_MOST];
    size_t end_count;
    bool root_ended, root_waited, root_end_told;
    int requests_fd;   /* the control socket, as long as somebody may ask there; -1 */
    bool is_paused;    /* samples are taken when asked for */
    uint64_t begun_ns, ended_ns, next_ns; /* CLOCK_MONOTONIC; of the next sample */
    uint64_t end_by_ns;          /* then it gets the next signal; UINT64_MAX: never */
    bool was_told_to_end;
    struct figures waited; /* of all that was waited for */
    struct figures waited_before; /* I/O only: in earlier runs */
    uint64_t unfollowed_ns;       /* CPU time of the command before the collector knew it */
    uint64_t waited_rss_bytes;
    bool has_waited_for_all;

    struct tree tree;
    struct sink sinks[3];
    size_t sink_count;
    uint64_t sampled_ns;
    uint64_t last_rss_bytes;
    struct program *largest; /* by name: the largest process of each group so far */
    size_t largest_count;
    struct summary summary;
};

static uint64_t now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- Signals --------------------------------------------------------------------------- */

static int take_signals(struct watch *w) {
    sigset_t set;
    child_signals(&set);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigprocmask(SIG_BLOCK, &set, &w->surroundings.mask) < 0 ||
        sigaction(SIGPIPE, &ignore, &w->surroundings.pipe) < 0)
        return -errno;
    w->signals_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signals_fd < 0 ? -errno : 0;
}

static void give_signals_back(struct watch *w) {
    if (w->signals_fd >= 0)
        close(w->signals_fd);
    sigaction(SIGPIPE, &w->surroundings.pipe, NULL);
    sigprocmask(SIG_SETMASK, &w->surroundings.mask, NULL);
}

static void count_waited(struct watch *w, pid_t pid, int status, const struct rusage *usage) {
    const uint64_t rss_bytes = (uint64_t)usage->ru_maxrss * 1024;
    figures_add_waited(&w->waited, usage);
    if (rss_bytes > w->waited_rss_bytes)
        w->waited_rss_bytes = rss_bytes;
    if (pid != w->child.pid)
        return;
    w->root_waited = true;
    w->summary.has_ended = true;
    w->summary.signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    w->summary.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void note_end(struct watch *w) {
    if (!w->root_ended)
        w->ended_ns = now_ns(CLOCK_MONOTONIC);
    w->root_ended = true;
}

/* Waits for all that has ended. The command itself stays a zombie until it was looked at for
 * the last time. */
static void wait_for_ended(struct watch *w) {
    siginfo_t info = {0};
    struct rusage usage;
    int status;
    pid_t pid;
    if (!w->root_waited &&
        waitid(P_PID, (id_t)w->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
        note_end(w);
    if (w->root_ended && !w->root_waited)
        return;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        if (pid == w->child.pid) /* it has ended just now */
            note_end(w);
        count_waited(w, pid, status, &usage);
    }
}

static void wait_for_command(struct watch *w) {
    struct rusage usage;
    int status;
    if (!w->root_waited && wait4(w->child.pid, &status, 0, &usage) == w->child.pid)
        count_waited(w, w->child.pid, status, &usage);
    wait_for_ended(w);
}

/* Ctrl-Z stops the command; we stop with it, or the shell would wait for us. */
static void stop_with_command(struct watch *w) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)w->child.pid, &info, WSTOPPED | WNOHANG) < 0 || info.si_pid == 0)
        return;
    if (info.si_status == SIGTSTP || info.si_status == SIGTTIN || info.si_status == SIGTTOU) {
        raise(SIGSTOP);
        kill(w->child.pid, SIGCONT);
    }
}

/* What the terminal sends it sends to our whole process group; but the end of the terminal
 * is told to the first process of the session alone. */
static bool has_it_already(const struct watch *w, const struct signalfd_siginfo *info) {
    return info->ssi_code == SI_KERNEL && info->ssi_signo != SIGHUP &&
           getpgid(w->child.pid) == getpgrp();
}

static void handle_signals(struct watch *w) {
    struct signalfd_siginfo info;
    while (read(w->signals_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        const int signal_number = (int)info.ssi_signo;
        if (signal_number == SIGCHLD) {
            if (w->is_run) {
                stop_with_command(w);
                wait_for_ended(w);
            }
            continue;
        }
        const bool is_end = signal_number == SIGINT || signal_number == SIGTERM ||
                            signal_number == SIGHUP || signal_number == SIGQUIT;
        if (is_end)
            w->stop_signal = signal_number;
        if (w->is_run && !w->root_ended && !has_it_already(w, &info))
            kill(w->child.pid, signal_number);
        if (!w->is_run && signal_number == SIGTSTP)
            raise(SIGSTOP);
    }
}

/* ---- Records ------------------------------------------------------------------------------ */

static void close_sink(struct watch *w, size_t i) {
    if (w->sinks[i].fd != STDOUT_FILENO)
        close(w->sinks[i].fd);
    w->sinks[i] = w->sinks[--w->sink_count];
}

/* Somebody may read slowly, or not at all: signals are still handed on. A reader who has
 * gone ends the records and not the command. */
static void write_out(struct watch *w, size_t sink, const char *data, size_t len) {
    const int fd = w->sinks[sink].fd;
    while (len > 0) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT},
                                {.fd = w->signals_fd, .events = POLLIN}};
        const uint64_t now = now_ns(CLOCK_MONOTONIC);
        const uint64_t wait_ns = w->end_by_ns > now ? w->end_by_ns - now : 0;
        const struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                      .tv_nsec = (long)(wait_ns % NS_PER_S)};
        if (ppoll(fds, 2, w->end_by_ns == UINT64_MAX ? NULL : &wait, NULL) < 0)
            fds[0].revents = 0;
        handle_signals(w);
        /* nobody reads, and we are wanted elsewhere */
        if (!fds[0].revents && (now_ns(CLOCK_MONOTONIC) >= w->end_by_ns ||
                                (w->stop_signal && (w->root_ended || !w->is_run)))) {
            close_sink(w, sink);
            return;
        }
        if (!fds[0].revents)
            continue;
        ssize_t n = write(fd, data, len < PIPE_BUF ? len : PIPE_BUF);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            if (errno != EPIPE && errno != ECONNRESET)
                cli_say(w->cli->program, 'E', "cannot write to %s: %s; going on without",
                        w->sinks[sink].name, strerror(errno));
            close_sink(w, sink);
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

/* What write() says goes to all sinks of that format. */
static void emit(struct watch *w, bool is_csv, void (*write_record)(FILE *, void *), void *data) {
    bool is_wanted = false;
    for (size_t i = 0; i < w->sink_count; i++)
        is_wanted |= w->sinks[i].is_csv == is_csv;
    if (!is_wanted)
        return;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return;
    write_record(to, data);
    if (fclose(to) == 0)
        for (size_t i = w->sink_count; i-- > 0;)
            if (w->sinks[i].is_csv == is_csv)
                write_out(w, i, text, len);
    free(text);
}

static int open_sinks(struct watch *w) {
    const struct watch_options *o = w->options;
    if (o->writes_json || o->writes_csv)
        w->sinks[w->sink_count++] =
            (struct sink){.fd = STDOUT_FILENO, .is_csv = o->writes_csv, .name = "standard output"};
    if (o->control_fd)
        w->sinks[w->sink_count++] =
            (struct sink){.fd = o->control_fd, .name = "the control socket"};
    if (!o->out)
        return 0;
    int fd = open(o->out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        cli_say(w->cli->program, 'E', "cannot open %s: %s", o->out, strerror(errno));
        return -errno;
    }
    w->sinks[w->sink_count++] = (struct sink){.fd = fd, .name = o->out};
    return 0;
}

struct failure {
    int error;
    struct tally_error text;
};

static void write_failure(FILE *to, void *data) {
    const struct failure *f = data;
    fprintf(to, "{\"kind\":\"error\",\"errno\":%d,\"error\":", f->error);
    json_text(to, f->text.text);
    fputs("}\n", to);
}

/* There is nothing to watch. Whoever is at the control socket speaks to the user. */
__attribute__((format(printf, 3, 4))) static void say_failure(struct watch *w, int r, const char *format, ...) {
    struct failure failure = {.error = -r};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure.text.text, sizeof(failure.text.text), format, arguments);
    va_end(arguments);
    if (w->options->control_fd)
        emit(w, false, write_failure, &failure);
    else
        cli_say(w->cli->program, 'E', "%s", failure.text.text);
}

struct beginning {
    const struct watch *watch;
    char *const *command;
};

static void write_beginning(FILE *to, void *data) {
    const struct beginning *b = data;
    if (b->watch->options->writes_env)
        record_env(to);
    record_metadata(to, &b->watch->tree, b->command);
}

static void write_csv_beginning(FILE *to, void *data) {
    (void)data;
    record_csv_header(to);
}

static void write_sample(FILE *to, void *data) {
    const struct watch *w = data;
    record_sample(to, &w->tree, w->snapshot);
}

static void write_csv_sample(FILE *to, void *data) {
    const struct watch *w = data;
    record_csv(to, &w->tree, w->snapshot);
}

/* What a sample has besides the figures: who is new, and who has ended. */
struct changes {
    struct watch *watch;
    FILE *to; /* NULL: nobody wants to read of them */
    int error;
};

static void write_child(void *data, const tally_snapshot *s, size_t i) {
    const struct changes *c = data;
    if (c->to)
        record_child(c->to, s, i);
}

static void write_changes(FILE *to, void *data) {
    struct changes *c = data;
    const tally_snapshot *s = c->watch->snapshot;
    const size_t alive = tally_snapshot_processes(s);
    c->to = to;
    c->error = tree_update(&c->watch->tree, s, write_child, c);
    for (size_t i = alive; c->error == 0 && i < alive + tally_snapshot_ended(s); i++) {
        if (tally_snapshot_process(s, i)->pid == c->watch->tree.roots[0])
            c->watch->root_end_told = true;
        if (to && tree_has(&c->watch->tree, s, i))
            record_end(to, &c->watch->tree, s, i);
    }
}

static void write_exit(FILE *to, void *data) {
    const struct watch *w = data;
    const struct summary *s = &w->summary;
    fprintf(to, "{\"kind\":\"exit\",\"ts_ms\":%" PRIu64 ",\"pid\":%ld",
            now_ns(CLOCK_REALTIME) / NS_PER_MS, (long)w->tree.roots[0]);
    if (s->has_ended)
        fprintf(to, ",\"exit_code\":%d", s->exit_code);
    if (s->signal_number)
        fprintf(to, ",\"signal\":%d", s->signal_number);
    fprintf(to, ",\"wall_s\":%.6f,\"orphans_left\":%" PRIu64 "}\n",
            (double)s->wall_ns / (double)NS_PER_S, s->orphans_left);
}

static void write_summary(FILE *to, void *data) {
    const struct watch *w = data;
    summary_json(to, &w->summary);
}

/* ---- Samples -------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b) {
    const struct program *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static struct program *find_largest(const struct watch *w, const char *name) {
    const struct program key = {.name = (char *)(uintptr_t)name};
    return w->largest_count ? bsearch(&key, w->largest, w->largest_count, sizeof(*w->largest),
                                      compare_names)
                            : NULL;
}

/* Of the processes of each group that are alive, or have ended since the sample before. */
static int note_largest(struct watch *w) {
    const tally_snapshot *s = w->snapshot;
    for (size_t i = 0; i < tally_snapshot_groups(s); i++) {
        const char *name = tally_snapshot_group_name(s, i);
        uint64_t rss;
        if (!tally_snapshot_value(s, i, w->rss_peak, &rss))
            continue;
        struct program *found = find_largest(w, name);
        if (!found) {
            struct program *more =
                realloc(w->largest, (w->largest_count + 1) * sizeof(*w->largest));
            char *copy = strdup(name);
            if (more)
                w->largest = more;
            if (!more || !copy) {
                free(copy);
                return -ENOMEM;
            }
            w->largest[w->largest_count++] = (struct program){.name = copy};
            qsort(w->largest, w->largest_count, sizeof(*w->largest), compare_names);
            found = find_largest(w, name);
        }
        if (found)
            note_most(&found->largest_rss_bytes, rss);
        note_most(&w->summary.largest_rss_bytes, rss);
    }
    return 0;
}

static uint64_t sum_of(const tally_snapshot *s, size_t metric) {
    uint64_t sum;
    (void)figures_sum(s, metric, &sum); /* 0 if it is not known */
    return sum;
}

/* The sums that the summary is made of. */
static void note_sums(struct watch *w) {
    struct summary *s = &w->summary;
    const uint64_t now = now_ns(CLOCK_MONOTONIC), rss = sum_of(w->snapshot, w->rss);
    /* as if it had gone from the one to the other in a straight line; a zombie has no memory,
     * but had it until then */
    if (w->sampled_ns)
        s->rss_sum_byte_s +=
            ((double)(w->root_ended ? w->last_rss_bytes : rss) + (double)w->last_rss_bytes) / 2 *
            (double)(now - w->sampled_ns) / (double)NS_PER_S;
    w->sampled_ns = now;
    w->last_rss_bytes = rss;
    s->samples++;
    note_most(&s->rss_sum_peak_bytes, rss);
    note_most(&s->pss_peak_bytes, sum_of(w->snapshot, w->pss));
    note_most(&s->most_processes, sum_of(w->snapshot, w->processes));
    note_most(&s->most_threads, sum_of(w->snapshot, w->threads));
}

static void say_notices(struct watch *w) {
    struct tally_error text;
    while (tally_notice(w->t, &text))
        /* of a zombie less can be read, which is no news */
        if (!w->options->is_quiet && !w->root_ended)
            cli_say(w->cli->program, 'W', "%s", text.text);
}

/* -errno: there is none this time. */
static int collect(struct watch *w) {
    int r = tally_collect(w->t, &w->snapshot);
    if (r < 0 && !w->has_failed)
        cli_say(w->cli->program, 'E', "cannot collect: %s", strerror(-r));
    w->has_failed = r < 0;
    say_notices(w);
    return r;
}

/* Who has come and gone. -errno: the sample is lost. */
static int take_changes(struct watch *w) {
    struct changes changes = {.watch = w, .error = 1};
    int r = collect(w);
    if (r < 0)
        return r;
    emit(w, false, write_changes, &changes);
    if (changes.error == 1)
        write_changes(NULL, &changes);
    r = changes.error < 0 ? changes.error : note_largest(w);
    if (r < 0)
        cli_say(w->cli->program, 'E', "a sample is lost: %s", strerror(-r));
    return r;
}

static void take_sample(struct watch *w) {
    if (take_changes(w) < 0)
        return;
    note_sums(w);
    emit(w, false, write_sample, w);
    emit(w, true, write_csv_sample, w);
    if (w->options->is_live) {
        record_live(stderr, w->snapshot, w->tree.begun_unix_ns,
                    isatty(STDERR_FILENO) && !getenv("NO_COLOR"));
    }
}

static uint64_t interval_after(const struct watch *w, uint64_t since_ns) {
    const uint64_t base_ns = w->options->base_ns, most_ns = w->options->most_ns;
    if (since_ns < DENSE_NS || most_ns <= base_ns)
        return base_ns;
    if (since_ns >= RARE_NS)
        return most_ns;
    return base_ns + (uint64_t)((double)(most_ns - base_ns) * (double)(since_ns - DENSE_NS) /
                                (double)(RARE_NS - DENSE_NS));
}

/* ---- Until the end ---------------------------------------------------------------------------- */

static bool is_over(const struct watch *w) {
    if (!w->is_run && w->stop_signal)
        return true;
    return w->root_ended &&
           (w->stop_signal || (w->was_told_to_end && w->end_by_ns == UINT64_MAX) ||
            (w->root_waited && !has_children()) || /* orphans become ours */
            !(w->options->waits_for_orphans || w->was_told_to_end));
}

/* All that is alive of it: to end a shell alone would leave behind what it waits for. */
static void end_tree(struct watch *w, int signal_number) {
    take_sample(w);
    if (!w->root_ended)
        kill(w->child.pid, signal_number);
    /* the numbers in an old one may have been given to others by now */
    for (size_t i = 0; !w->has_failed && i < tally_snapshot_processes(w->snapshot); i++) {
        const struct tally_process *p = tally_snapshot_process(w->snapshot, i);
        if (p->group == TALLY_NO_GROUP || p->state == 'Z')
            continue;
        if (p->pid != w->child.pid)
            kill(p->pid, signal_number);
        kill(p->pid, SIGCONT); /* it may have been stopped */
    }
}

/* The time is up: of an attached process the watching ends, a command is ended. True: that
 * was it. */
static bool end_in_time(struct watch *w) {
    const uint64_t now = now_ns(CLOCK_MONOTONIC);
    if (now < w->end_by_ns)
        return false;
    if (!w->is_run)
        return true;
    end_tree(w, w->was_told_to_end ? SIGKILL : SIGTERM);
    w->end_by_ns = w->was_told_to_end ? UINT64_MAX : now + GRACE_NS;
    w->was_told_to_end = true;
    return false;
}

/* What a program wants that watches by ours: a letter each. */
static void take_requests(struct watch *w) {
    char request;
    ssize_t n;
    while ((n = recv(w->requests_fd, &request, 1, MSG_DONTWAIT)) == 1)
        switch (request) {
        case 's':
            take_sample(w);
            break;
        case 'r':
            w->is_paused = false;
            w->next_ns = now_ns(CLOCK_MONOTONIC);
            break;
        case 'p':
            w->is_paused = true;
            break;
        case 'e': /* as if the time were up; again, as if the grace were over */
            w->end_by_ns = now_ns(CLOCK_MONOTONIC);
            if (w->is_run)
                (void)end_in_time(w);
            break;
        }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* it has gone: the command does not mind, and else there is nothing left to do */
    w->requests_fd = -1;
    if (!w->is_run)
        w->end_by_ns = now_ns(CLOCK_MONOTONIC);
}

/* Attached processes that have ended; with the last of them it is over. */
static void note_ends(struct watch *w, const struct pollfd *polled) {
    size_t left = 0;
    for (size_t i = 0; i < w->end_count; i++) {
        if (polled[i].revents)
            close(polled[i].fd);
        else
            w->ends[left++] = (struct pollfd){.fd = polled[i].fd, .events = POLLIN};
    }
    if (w->end_count && left == 0)
        note_end(w);
    w->end_count = left;
}

static void watch_until_end(struct watch *w) {
    w->next_ns = w->begun_ns;
    while (!is_over(w)) {
        uint64_t now = now_ns(CLOCK_MONOTONIC);
        if (now >= w->next_ns && !w->is_paused) {
            take_sample(w);
            now = now_ns(CLOCK_MONOTONIC);
            w->next_ns += interval_after(w, now - w->begun_ns);
            if (w->next_ns < now) /* late: the ones between are left out */
                w->next_ns = now;
        }
        if (end_in_time(w))
            return;
        const uint64_t until_ns =
            w->is_paused || w->next_ns > w->end_by_ns ? w->end_by_ns : w->next_ns;
        const uint64_t wait_ns = until_ns > now ? until_ns - now : 0;
        const struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                      .tv_nsec = (long)(wait_ns % NS_PER_S)};
        struct pollfd fds[2 + WATCH_MOST] = {{.fd = w->signals_fd, .events = POLLIN},
                                             {.fd = w->requests_fd, .events = POLLIN}};
        memcpy(fds + 2, w->ends, w->end_count * sizeof(*fds));
        if (ppoll(fds, 2 + w->end_count, &wait, NULL) < 0)
            continue;
        handle_signals(w);
        note_ends(w, fds + 2);
        if (fds[1].revents)
            take_requests(w);
        if (w->is_run && w->root_ended && !w->root_waited && !is_over(w)) {
            take_sample(w);
            wait_for_command(w);
        }
    }
}

/* ---- The summary -------------------------------------------------------------------------------- */

static uint64_t count_orphans(struct watch *w, struct figures *alive, bool *ret_all_readable) {
    uint64_t orphans = 0;
    *ret_all_readable = true;
    if (!w->root_ended) /* they still have their parents */
        return 0;
    for (size_t i = 0; i < w->tree.count; i++) {
        const pid_t pid = w->tree.items[i].pid;
        if (tree_begins_with(&w->tree, pid) || (kill(pid, 0) < 0 && errno == ESRCH))
            continue;
        orphans++;
        if (figures_add_alive(alive, pid) < 0)
            *ret_all_readable = false;
    }
    return orphans;
}

/* The first number of /proc/PID/schedstat; where there is none, the most that it can be. */
static uint64_t run_time_ns(pid_t pid) {
    char path[64], line[128];
    snprintf(path, sizeof(path), "/proc/%ld/schedstat", (long)pid);
    FILE *file = fopen(path, "re");
    const bool is_known = file && fgets(line, sizeof(line), file);
    if (file)
        fclose(file);
    return is_known ? strtoull(line, NULL, 10) : 200000;
}

static bool is_bpf(const struct watch *w) {
    return strcmp(w->summary.source, "bpf") == 0;
}

/* All that was ever in it, whoever waited for it. */
static void settle_cgroup(struct watch *w) {
    struct job_usage usage;
    job_cgroup_read(&w->cgroup, &usage);
    w->summary.cgroup_peak_bytes = usage.peak_bytes;
    if (!usage.has_cpu)
        return;
    const struct figures figures = {
        .value = {[FIGURE_CPU_USER] = usage.user_ns, [FIGURE_CPU_SYSTEM] = usage.system_ns},
        .known = FIGURES_CPU,
        .exact = FIGURES_CPU,
    };
    if (figures_cpu_ns(&figures) > figures_cpu_ns(&w->waited) + UNWAITED_NS) {
        w->has_waited_for_all = false;
        w->waited.exact = 0;
    }
    figures_take_larger(&w->waited, &figures);
}

/* Some kernels drop a few events: of a process that was neither seen to begin nor to end
 * nothing is counted, and nobody says so. But then CPU time is missing. */
static bool has_all_cpu_time(const struct watch *w, const struct figures *figures) {
    return figures_cpu_ns(figures) + w->unfollowed_ns >= figures_cpu_ns(&w->waited);
}

/* What the collector has, and what the kernel says of all that was waited for: neither is
 * ever too much, and together they are all there was, unless it says otherwise. */
static void settle_figures(struct watch *w) {
    struct figures alive = {0};
    uint64_t lost;
    bool all_readable;
    w->summary.orphans_left = count_orphans(w, &alive, &all_readable);
    if (w->is_run) {
        (void)figures_add_waited_io(&w->waited);
        for (enum figure f = 0; f < FIGURES; f++)
            w->waited.value[f] -= w->waited_before.value[f];
        for (enum figure f = 0; f < FIGURES; f++)
            if (alive.known & FIGURE(f)) {
                w->waited.value[f] += alive.value[f];
                w->waited.known |= FIGURE(f);
            }
        /* what is left may have forked since it was looked at */
        if (all_readable && !has_children())
            w->waited.exact = w->waited.known;
    }
    w->has_waited_for_all = w->waited.exact != 0;
    const uint64_t waited_ns = figures_cpu_ns(&w->waited);
    settle_cgroup(w);
    struct figures *figures = &w->summary.figures;
    for (int i = 0;; i++) {
        figures_of_snapshot(w->snapshot, figures);
        if (!is_bpf(w) || !w->root_ended || i == SETTLE_TRIES ||
            (w->root_end_told && (!w->is_run || has_all_cpu_time(w, figures))))
            break;
        nanosleep(&(struct timespec){.tv_nsec = (long)SETTLE_NS}, NULL);
        if (take_changes(w) < 0)
            break;
    }
    if (w->is_run && figures->known & FIGURE(FIGURE_STARTS))
        figures->value[FIGURE_STARTS]++; /* the command itself, which was there before */
    if (is_bpf(w) && (!w->is_run || has_all_cpu_time(w, figures)) &&
        (!tally_snapshot_value(w->snapshot, 0, w->lost_events, &lost) || lost == 0)) {
        figures->exact = figures->known;
        w->summary.programs_are_exact = true;
    }
    if (w->is_run && figures_cpu_ns(figures) > waited_ns + UNWAITED_NS)
        w->has_waited_for_all = false;
    if (w->is_run) {
        figures_take_larger(figures, &w->waited);
        /* it is all there was: a collector that saw as much saw all */
        for (enum figure f = 0; f < FIGURES; f++)
            if (w->waited.exact & FIGURE(f) && w->waited.value[f] >= figures->value[f])
                figures->exact |= FIGURE(f);
    }
}

static int by_cpu(const void *a, const void *b) {
    const struct program *x = a, *y = b;
    return x->cpu_ns != y->cpu_ns ? x->cpu_ns < y->cpu_ns ? 1 : -1
           : x->count != y->count ? x->count < y->count ? 1 : -1
                                  : strcmp(x->name, y->name);
}

static void list_programs(struct watch *w) {
    const tally_snapshot *s = w->snapshot;
    const size_t groups = tally_snapshot_groups(s);
    w->summary.programs = calloc(groups ? groups : 1, sizeof(*w->summary.programs));
    for (size_t group = 0; w->summary.programs && group < groups; group++) {
        uint64_t user = 0, system = 0, exits = 0, alive = 0;
        tally_snapshot_value(s, group, w->cpu_user, &user);
        tally_snapshot_value(s, group, w->cpu_system, &system);
        tally_snapshot_value(s, group, w->exits, &exits);
        tally_snapshot_value(s, group, w->processes, &alive);
        if (exits + alive + user + system == 0)
            continue;
        const struct program *largest = find_largest(w, tally_snapshot_group_name(s, group));
        char *name = strdup(tally_snapshot_group_name(s, group));
        if (!name)
            break;
        w->summary.programs[w->summary.program_count++] = (struct program){
            .name = name,
            .count = exits + alive,
            .cpu_ns = user + system,
            .largest_rss_bytes = largest ? largest->largest_rss_bytes : 0,
        };
    }
    if (w->summary.programs)
        qsort(w->summary.programs, w->summary.program_count, sizeof(*w->summary.programs),
              by_cpu);
}

/* "bpf" or "procfs", as the metrics about the collector have it. */
static const char *source_of(const tally_snapshot *s) {
    size_t metric;
    uint64_t value;
    return s && tally_metric_find("source_bpf", &metric) == 0 &&
                   tally_snapshot_value(s, 0, metric, &value) && value
               ? "bpf"
               : "procfs";
}

static void finish_summary(struct watch *w) {
    struct summary *s = &w->summary;
    if (!w->root_ended || w->options->waits_for_orphans)
        w->ended_ns = now_ns(CLOCK_MONOTONIC);
    take_sample(w);
    if (w->is_run)
        wait_for_command(w);
    if (!w->snapshot)
        return;
    s->source = source_of(w->snapshot);
    settle_figures(w);
    list_programs(w);
    s->wall_ns = w->ended_ns - w->begun_ns;
    s->processes_seen = w->tree.seen;
    s->largest_rss_is_exact = w->is_run && w->has_waited_for_all;
    /* samples may see a little more: the kernel counts pages by CPU, and adds up in steps */
    if (s->largest_rss_is_exact)
        s->largest_rss_bytes = w->waited_rss_bytes;
    else
        note_most(&s->largest_rss_bytes, w->waited_rss_bytes);
    s->own_cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    emit(w, false, write_exit, w);
    emit(w, false, write_summary, w);
    if (!w->options->is_quiet)
        summary_print(stderr, s);
}

/* ---- The beginning ---------------------------------------------------------------------------------- */

static int set_default(tally_config *config, const char *name, const char *value,
                       struct tally_error *error) {
    return tally_config_is_given(config, name) ? 0 : tally_config_set(config, name, value, error);
}

static int open_tally(struct watch *w, const pid_t *roots, size_t count,
                      struct tally_error *error) {
    const struct tally_new_opts opts = {
        .size = sizeof(opts),
        .count_lifetimes = w->options->from_process_start,
        .follow = roots,
        .follow_count = count,
        .adopter = w->is_run ? getpid() : 0,
        .keep = TALLY_KEEP_PROCESSES | TALLY_KEEP_ENDED,
        .only_looks = true,
    };
    tally_config *config = NULL;
    w->tree.roots = roots;
    w->tree.root_count = count;
    int r = cli_configure(w->cli, &config, error);
    if (r == 0)
        r = set_default(config, "cpu-mode", "core", error); /* as records have it */
    if (r == 0) /* groups hold what the processes that have ended used */
        r = set_default(config, "expire-after", "876000h", error);
    if (r == 0)
        r = set_default(config, "collect", "no-fds,no-states,no-threads,memory-details", error);
    if (r == 0 && geteuid() != 0 && strcmp(tally_config_get(config, "source"), "auto") == 0)
        r = tally_config_set(config, "source", "procfs", error);
    const bool may_choose = r == 0 && strcmp(tally_config_get(config, "source"), "auto") == 0;
    if (r == 0)
        r = tally_new(config, &opts, &w->t, error);
    /* some machines keep a process from the iterators that source bpf lists by */
    if (r == -ESRCH && may_choose && tally_config_set(config, "source", "procfs", error) == 0)
        r = tally_new(config, &opts, &w->t, error);
    tally_config_free(config);
    return r;
}

static void find_metrics(struct watch *w) {
    const struct {
        const char *id;
        size_t *to;
    } wanted[] = {{"memory_rss", &w->rss},   {"memory_rss_peak", &w->rss_peak},
                  {"cpu_user", &w->cpu_user},
                  {"cpu_system", &w->cpu_system}, {"processes", &w->processes},
                  {"threads", &w->threads},  {"exits", &w->exits},
                  {"memory_pss", &w->pss},   {"lost_events", &w->lost_events}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        (void)tally_metric_find(wanted[i].id, wanted[i].to);
}

static char *joined(char *const *command) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    for (size_t i = 0; to && command[i]; i++)
        fprintf(to, "%s%s", i ? " " : "", command[i]);
    if (!to || fclose(to) != 0)
        return NULL;
    return text;
}

static void begin(struct watch *w) {
    /* so that the first sample that is asked for has a time to be of */
    if (w->options->control_fd)
        (void)collect(w);
    w->begun_ns = now_ns(CLOCK_MONOTONIC);
    w->tree.begun_unix_ns = now_ns(CLOCK_REALTIME);
    w->end_by_ns = w->options->duration_ns ? w->begun_ns + w->options->duration_ns : UINT64_MAX;
}

static void close_watch(struct watch *w) {
    int r = job_cgroup_end(&w->cgroup);
    if (r < 0)
        cli_say(w->cli->program, 'W', "the control group of the command stays: %s", strerror(-r));
    while (w->sink_count)
        close_sink(w, w->sink_count - 1);
    give_signals_back(w);
    for (size_t i = 0; i < w->end_count; i++)
        close(w->ends[i].fd);
    tree_clear(&w->tree);
    for (size_t i = 0; i < w->largest_count; i++)
        free(w->largest[i].name);
    free(w->largest);
    tally_free(w->t);
}

static int open_watch(struct watch *w, const struct cli *cli, const struct watch_options *options) {
    *w = (struct watch){.cli = cli, .options = options, .signals_fd = -1, .requests_fd = -1};
    if (options->control_fd)
        w->requests_fd = options->control_fd;
    w->is_paused = options->control_fd;
    w->surroundings.output_to_stderr = options->writes_json || options->writes_csv;
    w->surroundings.gets_session = options->gets_session;
    w->tree.excludes_children = options->excludes_children;
    record_metrics(&w->tree);
    w->summary.source = "procfs";
    find_metrics(w);
    /* nobody is to see by what the program's file brings, nor to run a command with it */
    int r = rights_of_invoker();
    if (r == 0)
        r = take_signals(w);
    if (r < 0)
        cli_say(cli->program, 'E', "cannot prepare for signals and rights: %s", strerror(-r));
    return r < 0 ? r : open_sinks(w);
}

static void watch(struct watch *w, char *const *command) {
    struct beginning beginning = {.watch = w, .command = command};
    emit(w, false, write_beginning, &beginning);
    emit(w, true, write_csv_beginning, NULL);
    watch_until_end(w);
    /* who reads slowly still gets the rest, unless the time is up */
    w->end_by_ns = w->options->duration_ns ? now_ns(CLOCK_MONOTONIC) + GRACE_NS : UINT64_MAX;
    finish_summary(w);
}

int watch_command(const struct cli *cli, const struct watch_options *options, char *const *command,
                  struct summary *ret_summary) {
    struct watch w;
    struct tally_error error = {""};
    int status = WATCH_FAILED;
    *ret_summary = (struct summary){0};
    int r = open_watch(&w, cli, options);
    if (r < 0)
        goto end;
    w.is_run = true;
    w.tree.counts_from_now = false; /* it begins now */
    (void)figures_add_waited_io(&w.waited_before);
    /* before all that needs memory, which would be said to be the command's */
    r = child_prepare(&w.child, command, &w.surroundings);
    if (r < 0) {
        say_failure(&w, r, "cannot start a process: %s", strerror(-r));
        goto end;
    }
    r = open_tally(&w, &w.child.pid, 1, &error);
    if (r < 0) {
        say_failure(&w, r, "%s", error.text);
        kill(w.child.pid, SIGKILL);
        goto end;
    }
    w.unfollowed_ns = run_time_ns(w.child.pid); /* it has been waiting since */
    if (options->cgroup != CGROUP_NO)
        r = job_cgroup_begin(&w.cgroup, w.child.pid, &error);
    if (r < 0 && options->cgroup == CGROUP_YES) {
        say_failure(&w, r, "%s", error.text);
        kill(w.child.pid, SIGKILL);
        goto end;
    }
    begin(&w);
    r = child_go(&w.child);
    if (r < 0) {
        say_failure(&w, r, "cannot run %s: %s", command[0], strerror(-r));
        status = r == -ENOENT ? WATCH_NOT_FOUND : WATCH_NOT_EXECUTABLE;
        goto end;
    }
    w.summary.command = joined(command);
    watch(&w, command);
    status = w.was_told_to_end ? WATCH_TIMED_OUT : w.summary.exit_code;
    *ret_summary = w.summary;
    w.summary = (struct summary){0};
end:
    summary_clear(&w.summary);
    close_watch(&w);
    return status;
}

static char *name_of(const pid_t *pids, size_t count) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return NULL;
    fputs(count > 1 ? "processes" : "process", to);
    for (size_t i = 0; i < count; i++)
        fprintf(to, " %ld", (long)pids[i]);
    return fclose(to) == 0 ? text : NULL;
}

int watch_processes(const struct cli *cli, const struct watch_options *options, const pid_t *pids,
                    size_t count, struct summary *ret_summary) {
    struct watch w;
    struct tally_error error = {""};
    int status = CLI_FAILED;
    *ret_summary = (struct summary){0};
    int r = open_watch(&w, cli, options);
    /* before they are looked for: what is found then is what these stand for */
    for (size_t i = 0; r == 0 && i < count && i < WATCH_MOST; i++) {
        int fd = (int)syscall(SYS_pidfd_open, pids[i], 0);
        if (fd >= 0)
            w.ends[w.end_count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    if (r == 0)
        r = open_tally(&w, pids, count, &error);
    if (r < 0) {
        if (error.text[0])
            say_failure(&w, r, "%s", error.text);
        goto end;
    }
    w.tree.counts_from_now = !options->from_process_start;
    w.summary.is_of_lifetimes = options->from_process_start;
    w.summary.command = name_of(pids, count);
    begin(&w);
    watch(&w, NULL);
    status = w.stop_signal && w.stop_signal != SIGINT ? 128 + w.stop_signal : CLI_DONE;
    *ret_summary = w.summary;
    w.summary = (struct summary){0};
end:
    summary_clear(&w.summary);
    close_watch(&w);
    return status;
}
