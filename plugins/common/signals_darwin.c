/* SPDX-License-Identifier: MIT */
/* Signals and waiting on macOS, which has neither signalfd(2) nor ppoll(2). A kqueue(2) is
 * told of each signal that is sent, also of blocked ones, and can be polled. */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/event.h>
#include <unistd.h>

static int watch_signal(int queue, int number) {
    struct kevent event;
    EV_SET(&event, (uintptr_t)number, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
    return kevent(queue, &event, 1, NULL, 0, NULL);
}

int service_signals_open(struct service_signals *signals, const int *pokes) {
    static const int stops[] = {SIGTERM, SIGINT, 0};
    const int *const lists[] = {stops, pokes};
    sigset_t set;
    sigemptyset(&set);
    int queue = kqueue();
    if (queue < 0)
        return -errno;
    int r = fcntl(queue, F_SETFD, FD_CLOEXEC);
    for (size_t i = 0; i < 2; i++)
        for (const int *number = lists[i]; r == 0 && *number; number++) {
            sigaddset(&set, *number);
            r = watch_signal(queue, *number);
        }
    if (r < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        r = -errno;
        close(queue);
        return r;
    }
    *signals = (struct service_signals){.fd = queue};
    return 0;
}

void service_signals_take(struct service_signals *signals) {
    const struct timespec at_once = {0};
    struct kevent event;
    while (kevent(signals->fd, NULL, 0, &event, 1, &at_once) == 1) {
        if (event.ident == SIGTERM || event.ident == SIGINT)
            signals->stop = true;
        else
            signals->poke = true;
    }
}

/* In milliseconds, rounded up: not again and again for the last one. */
void service_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns) {
    const uint64_t now_ns = service_now_ns();
    const uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const uint64_t wait_ms = wait_ns / 1000000 + (wait_ns % 1000000 != 0);
    const int timeout = until_ns == UINT64_MAX ? -1 : wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
    if (poll(fds, count, timeout) < 0)
        for (nfds_t i = 0; i < count; i++)
            fds[i].revents = 0;
}
