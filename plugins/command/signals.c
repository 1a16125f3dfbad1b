/* SPDX-License-Identifier: MIT */
#include "watching.h"

#include "figures.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of so many that have ended at a time: whoever does nothing but fork and exit may do it faster
 * than they are waited for, and samples and the end of the time are not to wait for that. */
#define WAITS_AT_A_TIME 1000

int watch_take_signals(struct watch *w) {
    sigset_t set;
    child_signals(&set);
    const struct sigaction ignore = {.sa_handler = SIG_IGN}, standard = {.sa_handler = SIG_DFL};
    /* whoever ignores SIGCHLD, or was begun by such a one, is told of no end */
    if (sigprocmask(SIG_BLOCK, &set, &w->surroundings.mask) < 0 ||
        sigaction(SIGPIPE, &ignore, &w->surroundings.pipe) < 0 ||
        sigaction(SIGCHLD, &standard, &w->surroundings.child) < 0)
        return -errno;
    w->signals_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signals_fd < 0 ? -errno : 0;
}

void watch_give_signals_back(struct watch *w) {
    if (w->signals_fd >= 0)
        close(w->signals_fd);
    sigaction(SIGPIPE, &w->surroundings.pipe, NULL);
    sigaction(SIGCHLD, &w->surroundings.child, NULL);
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

void watch_note_end(struct watch *w) {
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
    w->has_more_ended = false;
    if (!w->root_waited &&
        waitid(P_PID, (id_t)w->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
        watch_note_end(w);
    if (w->root_ended && !w->root_waited)
        return;
    for (int i = 0; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0; i++) {
        if (pid == w->child.pid) /* it has ended just now */
            watch_note_end(w);
        count_waited(w, pid, status, &usage);
        if (i == WAITS_AT_A_TIME) {
            w->has_more_ended = true;
            return;
        }
    }
}

void watch_wait_for_command(struct watch *w) {
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

void watch_handle_signals(struct watch *w) {
    struct signalfd_siginfo info;
    bool has_ended = w->has_more_ended;
    while (read(w->signals_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        const int signal_number = (int)info.ssi_signo;
        if (signal_number == SIGCHLD) {
            has_ended = true;
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
    if (w->is_run && has_ended) {
        stop_with_command(w);
        wait_for_ended(w);
    }
}
