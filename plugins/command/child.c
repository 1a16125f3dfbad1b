/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void child_signals(sigset_t *ret) {
    static const int signals[] = {SIGCHLD, SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT,
                                  SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};
    sigemptyset(ret);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(ret, signals[i]);
}

bool has_children(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void become_command(int go_fd, int error_fd, char *const *command,
                           const struct child_surroundings *surroundings) {
    char go;
    int error = ECANCELED;
    if (read(go_fd, &go, 1) == 1) { /* else the parent has gone */
        if (surroundings->gets_session)
            setsid();
        if (surroundings->output_to_stderr)
            dup2(STDERR_FILENO, STDOUT_FILENO);
        sigaction(SIGPIPE, &surroundings->pipe, NULL);
        sigaction(SIGCHLD, &surroundings->child, NULL);
        sigprocmask(SIG_SETMASK, &surroundings->mask, NULL);
        execvp(command[0], command);
        error = errno;
    }
    (void)!write(error_fd, &error, sizeof(error));
    _exit(127);
}

int child_prepare(struct child *child, char *const *command,
                  const struct child_surroundings *surroundings) {
    int go[2], error[2];
    /* what was started in the background comes back to be waited for */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return -errno;
    int r = pipe2(error, O_CLOEXEC) < 0 ? -errno : 0;
    if (r < 0) {
        close(go[0]);
        close(go[1]);
        return r;
    }
    /* not vfork(2): then our own size would be the least that the command is said to have had */
    pid_t pid = fork();
    r = pid < 0 ? -errno : 0;
    if (pid == 0) {
        close(go[1]);
        become_command(go[0], error[1], command, surroundings);
    }
    close(go[0]);
    close(error[1]);
    if (r < 0) {
        close(go[1]);
        close(error[0]);
        return r;
    }
    *child = (struct child){.pid = pid, .go_fd = go[1], .error_fd = error[0]};
    return 0;
}

int child_go(struct child *child) {
    int error = 0;
    (void)!write(child->go_fd, "", 1);
    close(child->go_fd);
    ssize_t n;
    do /* the end of file: execve(2) has closed it */
        n = read(child->error_fd, &error, sizeof(error));
    while (n < 0 && errno == EINTR);
    close(child->error_fd);
    return n == (ssize_t)sizeof(error) ? -error : 0;
}
