/* SPDX-License-Identifier: MIT */
#include "watching.h"

#include "record.h"
#include "rights.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Samples are as dense as at first for this long, then rarer and rarer until then. */
#define DENSE_NS NS_PER_S
#define RARE_NS (10 * NS_PER_S)
/* How long a command that is to end has between SIGTERM and SIGKILL. */
#define GRACE_NS (10 * NS_PER_S)
/* How often what is forked meanwhile gets SIGKILL, and how long after the time before. */
#define KILL_TRIES 1000
#define KILL_NS NS_PER_MS

/* ---- Until the end ---------------------------------------------------------------------------- */

static uint64_t interval_after(const struct watch *w, uint64_t since_ns) {
    const uint64_t base_ns = w->options->base_ns, most_ns = w->options->most_ns;
    if (since_ns < DENSE_NS || most_ns <= base_ns)
        return base_ns;
    if (since_ns >= RARE_NS)
        return most_ns;
    return base_ns + (uint64_t)((double)(most_ns - base_ns) * (double)(since_ns - DENSE_NS) /
                                (double)(RARE_NS - DENSE_NS));
}

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
    watch_take_sample(w);
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

/* What is left becomes our child when its parent has ended, if it is not already. This is as
 * quick as can be: whoever does nothing but fork and exit is a process for some 100 us. False:
 * the kernel does not list children. */
static bool kill_children(void) {
    char path[64], *line = NULL, *end;
    size_t size = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    if (getline(&line, &size, file) > 0) /* "123 124 " */
        for (long pid = strtol(line, &end, 10); pid > 0; pid = strtol(end, &end, 10))
            kill((pid_t)pid, SIGKILL);
    free(line);
    fclose(file);
    return true;
}

static void kill_tree(struct watch *w) {
    if (w->kills++ == 0) {
        (void)job_cgroup_kill(&w->cgroup);
        end_tree(w, SIGKILL); /* and who has left the control group, or there is none */
    }
    if (!kill_children())
        end_tree(w, SIGKILL);
}

/* The time is up: of an attached process the watching ends, a command is ended. True: that
 * was it. */
static bool end_in_time(struct watch *w) {
    const uint64_t now = now_ns(CLOCK_MONOTONIC);
    if (now < w->end_by_ns)
        return false;
    if (!w->is_run)
        return true;
    if (w->was_told_to_end) {
        kill_tree(w);
        w->end_by_ns = w->kills < KILL_TRIES ? now + KILL_NS : UINT64_MAX;
    } else {
        end_tree(w, SIGTERM);
        w->end_by_ns = now + GRACE_NS;
    }
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
            watch_take_sample(w);
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
    if (w->end_count && left == 0 && !w->has_unpolled_roots)
        watch_note_end(w);
    w->end_count = left;
}

/* … of those whose end nothing tells but samples: before Linux 5.3, or in a sandbox. */
static void note_ends_in_sample(struct watch *w) {
    if (!w->has_unpolled_roots || !w->snapshot)
        return;
    for (size_t i = 0; i < tally_snapshot_processes(w->snapshot); i++) {
        const struct tally_process *p = tally_snapshot_process(w->snapshot, i);
        if (tree_begins_with(&w->tree, p->pid) && p->state != 'Z')
            return;
    }
    watch_note_end(w);
}

static void watch_until_end(struct watch *w) {
    w->next_ns = w->begun_ns;
    while (!is_over(w)) {
        uint64_t now = now_ns(CLOCK_MONOTONIC);
        if (now >= w->next_ns && !w->is_paused) {
            watch_take_sample(w);
            now = now_ns(CLOCK_MONOTONIC);
            w->next_ns += interval_after(w, now - w->begun_ns);
            if (w->next_ns < now) /* late: the ones between are left out */
                w->next_ns = now;
        }
        note_ends_in_sample(w);
        if (end_in_time(w) || is_over(w))
            return;
        const uint64_t until_ns =
            w->is_paused || w->next_ns > w->end_by_ns ? w->end_by_ns : w->next_ns;
        const uint64_t wait_ns = until_ns > now && !w->has_more_ended ? until_ns - now : 0;
        const struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                      .tv_nsec = (long)(wait_ns % NS_PER_S)};
        struct pollfd fds[2 + WATCH_MOST] = {{.fd = w->signals_fd, .events = POLLIN},
                                             {.fd = w->requests_fd, .events = POLLIN}};
        memcpy(fds + 2, w->ends, w->end_count * sizeof(*fds));
        if (ppoll(fds, 2 + w->end_count, &wait, NULL) < 0)
            continue;
        watch_handle_signals(w);
        note_ends(w, fds + 2);
        if (fds[1].revents)
            take_requests(w);
        if (w->is_run && w->root_ended && !w->root_waited && !is_over(w)) {
            watch_take_sample(w);
            watch_wait_for_command(w);
        }
    }
}

/* ---- The beginning --------------------------------------------------------------------------- */

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
    int r = cli_configure_look(w->cli, &config, error);
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

static void begin(struct watch *w) {
    /* so that the first sample that is asked for has a time to be of */
    if (w->options->control_fd)
        (void)watch_collect(w);
    w->begun_ns = now_ns(CLOCK_MONOTONIC);
    w->tree.begun_unix_ns = now_ns(CLOCK_REALTIME);
    w->end_by_ns = w->options->duration_ns ? w->begun_ns + w->options->duration_ns : UINT64_MAX;
}

static void close_watch(struct watch *w) {
    int r = job_cgroup_end(&w->cgroup);
    if (r < 0)
        cli_say(w->cli->program, 'W', "the control group of the command stays: %s", strerror(-r));
    watch_close_sinks(w);
    watch_give_signals_back(w);
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
    w->surroundings.output_to_stderr = options->writes_json || options->writes_csv ||
                                       options->output_is_ours;
    w->surroundings.gets_session = options->gets_session;
    w->tree.excludes_children = options->excludes_children;
    record_metrics(&w->tree);
    w->summary.source = "procfs";
    find_metrics(w);
    /* nobody is to see by what the program's file brings, nor to run a command with it */
    int r = rights_of_invoker();
    if (r == 0)
        r = watch_take_signals(w);
    if (r < 0)
        cli_say(cli->program, 'E', "cannot prepare for signals and rights: %s", strerror(-r));
    return r < 0 ? r : watch_open_sinks(w);
}

static void watch(struct watch *w, char *const *command) {
    struct beginning beginning = {.watch = w, .command = command};
    watch_emit(w, false, write_beginning, &beginning);
    watch_emit(w, true, write_csv_beginning, NULL);
    watch_until_end(w);
    /* who reads slowly still gets the rest, unless the time is up */
    w->end_by_ns = w->options->duration_ns ? now_ns(CLOCK_MONOTONIC) + GRACE_NS : UINT64_MAX;
    watch_finish(w);
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
        watch_say_failure(&w, r, "cannot start a process: %s", strerror(-r));
        goto end;
    }
    r = open_tally(&w, &w.child.pid, 1, &error);
    if (r < 0) {
        watch_say_failure(&w, r, "%s", error.text);
        kill(w.child.pid, SIGKILL);
        goto end;
    }
    w.unfollowed_ns = run_time_ns(w.child.pid); /* it has been waiting since */
    if (options->cgroup != CGROUP_NO)
        r = job_cgroup_begin(&w.cgroup, w.child.pid, &error);
    if (r < 0 && options->cgroup == CGROUP_YES) {
        watch_say_failure(&w, r, "%s", error.text);
        kill(w.child.pid, SIGKILL);
        goto end;
    }
    begin(&w);
    r = child_go(&w.child);
    if (r < 0) {
        watch_say_failure(&w, r, "cannot run %s: %s", command[0], strerror(-r));
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

/* Says what is wrong: the numbers of threads are found in /proc as well. -EINVAL. */
static int refuse_threads(struct watch *w, const pid_t *pids, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char path[64], line[256];
        long leader = pids[i];
        snprintf(path, sizeof(path), "/proc/%ld/status", (long)pids[i]);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
            if (strncmp(line, "Tgid:", 5) == 0)
                leader = strtol(line + 5, NULL, 10);
        if (file)
            fclose(file);
        if (leader == pids[i])
            continue;
        watch_say_failure(w, -EINVAL, "%ld is a thread of process %ld; expected a process",
                          (long)pids[i], leader);
        return -EINVAL;
    }
    return 0;
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
    if (r == 0)
        r = refuse_threads(&w, pids, count);
    /* before they are looked for: what is found then is what these stand for */
    for (size_t i = 0; r == 0 && i < count && i < WATCH_MOST; i++) {
        int fd = (int)syscall(SYS_pidfd_open, pids[i], 0);
        if (fd >= 0)
            w.ends[w.end_count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        else
            w.has_unpolled_roots = true;
    }
    if (r == 0)
        r = open_tally(&w, pids, count, &error);
    if (r < 0) {
        if (error.text[0])
            watch_say_failure(&w, r, "%s", error.text);
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
