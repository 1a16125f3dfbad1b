/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_PROCESS 125

static int wait_for(pid_t pid, const sigset_t *set) {
    siginfo_t info;
    for (;;) {
        const int signal_number = sigwaitinfo(set, &info);
        if (signal_number < 0)
            continue;
        if (signal_number != SIGCHLD) {
            /* what the terminal sends it has sent to all of us */
            if (info.si_code != SI_KERNEL || signal_number == SIGHUP)
                kill(pid, signal_number);
            continue;
        }
        siginfo_t how = {0};
        while (waitid(P_PID, (id_t)pid, &how, WEXITED | WSTOPPED | WNOHANG) == 0 && how.si_pid) {
            if (how.si_code == CLD_EXITED)
                return how.si_status;
            if (how.si_code != CLD_STOPPED)
                return 128 + how.si_status;
            raise(SIGSTOP);
            kill(pid, SIGCONT);
            how = (siginfo_t){0};
        }
    }
}

int worker_run(int (*work)(void *data), void *data) {
    sigset_t set, before;
    child_signals(&set);
    if (fflush(stdout) != 0 || sigprocmask(SIG_BLOCK, &set, &before) < 0)
        return NO_PROCESS;
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        int status = work(data);
        fflush(stdout);
        _exit(status);
    }
    const int status = pid < 0 ? NO_PROCESS : wait_for(pid, &set);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}
