/* SPDX-License-Identifier: MIT */
/* Signals and waiting on Linux. */
#include "service.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int service_signals_open(struct service_signals *signals, const int *pokes) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    for (; *pokes; pokes++)
        sigaddset(&set, *pokes);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    *signals = (struct service_signals){.fd = fd};
    return 0;
}

void service_signals_take(struct service_signals *signals) {
    struct signalfd_siginfo info;
    while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            signals->stop = true;
        else
            signals->poke = true;
    }
}

void service_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns) {
    struct timespec wait = {0};
    uint64_t now_ns = service_now_ns();
    if (until_ns > now_ns && until_ns != UINT64_MAX) {
        wait.tv_sec = (time_t)((until_ns - now_ns) / NS_PER_S);
        wait.tv_nsec = (long)((until_ns - now_ns) % NS_PER_S);
    }
    if (ppoll(fds, count, until_ns == UINT64_MAX ? NULL : &wait, NULL) < 0)
        for (nfds_t i = 0; i < count; i++)
            fds[i].revents = 0;
}
