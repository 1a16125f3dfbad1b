/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* As many as the kernel may hold back for us at most, in the usual configuration. */
#define BACKLOG 4096

static int fail(struct tally_error *error, const char *address, int r) {
    snprintf(error->text, sizeof(error->text), "cannot listen on %.200s: %s%s", address,
             strerror(-r),
             r == -EACCES ? "; ports below 1024 need CAP_NET_BIND_SERVICE, sockets in the file "
                            "system a directory that may be written to"
             : r == -EADDRINUSE ? "; another program listens there"
                                : "");
    return r;
}

static int expected(struct tally_error *error, const char *address) {
    snprintf(error->text, sizeof(error->text),
             "cannot listen on \"%.200s\": expected [HOST]:PORT, [ADDRESS]:PORT for IPv6, or "
             "unix:PATH",
             address);
    return -EINVAL;
}

/* ---- In the file system ------------------------------------------------------------- */

/* One that a program left behind when it was killed: nobody answers there. */
static bool is_abandoned(const struct sockaddr_un *at, socklen_t len) {
    struct stat st;
    if (lstat(at->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = system_socket(AF_UNIX);
    if (fd < 0)
        return false;
    bool abandoned = connect(fd, (const struct sockaddr *)at, len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return abandoned;
}

static int listen_unix(const char *address, const char *path, struct listener *ret,
                       struct tally_error *error) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t path_len = strlen(path);
    if (path_len == 0)
        return expected(error, address);
    if (path_len >= sizeof(at.sun_path))
        return fail(error, address, -ENAMETOOLONG);
    memcpy(at.sun_path, path, path_len + 1);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len + 1);

    int fd = system_socket(AF_UNIX);
    if (fd < 0)
        return fail(error, address, -errno);
    int r = bind(fd, (struct sockaddr *)&at, len) < 0 ? -errno : 0;
    if (r == -EADDRINUSE && is_abandoned(&at, len) && unlink(path) == 0)
        r = bind(fd, (struct sockaddr *)&at, len) < 0 ? -errno : 0;
    if (r == 0 && listen(fd, BACKLOG) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return fail(error, address, r);
    }
    ret->fd = fd;
    ret->is_unix = true;
    return 0;
}

/* ---- TCP ------------------------------------------------------------------------------ */

static int listen_at(const struct addrinfo *at, bool both_families) {
    const int on = 1, v6_only = !both_families;
    int fd = system_socket(at->ai_family);
    if (fd < 0)
        return -errno;
    int r = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (r == 0 && at->ai_family == AF_INET6)
        r = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
    if (r == 0)
        r = bind(fd, at->ai_addr, at->ai_addrlen);
    if (r == 0)
        r = listen(fd, BACKLOG);
    if (r == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

static bool is_any_v6(const struct addrinfo *at) {
    const struct sockaddr_in6 *v6 = (const void *)at->ai_addr;
    return at->ai_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

/* At the first address of a name that this host has; of both families IPv4 is what clients of a
 * name such as localhost expect. What fails for another reason, such as that another program
 * listens there, must not end at an address that nobody looks for. */
static int listen_at_first(const struct addrinfo *found) {
    static const int families[] = {AF_INET, AF_INET6};
    int first = -EADDRNOTAVAIL;
    bool is_first = true;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        for (const struct addrinfo *at = found; at; at = at->ai_next) {
            if (at->ai_family != families[i])
                continue;
            /* :: is all addresses of both families, as in Go's programs */
            int fd = listen_at(at, is_any_v6(at));
            if (fd != -EADDRNOTAVAIL && fd != -EAFNOSUPPORT)
                return fd;
            first = is_first ? fd : first;
            is_first = false;
        }
    return first;
}

static int resolve(const char *host, const char *port, int family, struct addrinfo **ret) {
    const struct addrinfo hints = {
        .ai_family = family,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    return getaddrinfo(host, port, &hints, ret);
}

int listen_on(const char *address, struct listener *ret, struct tally_error *error) {
    struct addrinfo *found;
    char host[200], *end;
    *ret = (struct listener){.fd = -1};
    snprintf(ret->name, sizeof(ret->name), "%s", address);
    if (strncmp(address, "unix:", 5) == 0)
        return listen_unix(address, address + 5, ret, error);

    const char *colon = strrchr(address, ':');
    if (!colon)
        return expected(error, address);
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || port > 65535)
        return expected(error, address);
    size_t len = (size_t)(colon - address);
    bool is_bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
    if (is_bracketed)
        len -= 2;
    else if (memchr(address, ':', len)) /* ::1:9256 can be read in two ways */
        return expected(error, address);
    if (len >= sizeof(host))
        return expected(error, address);
    memcpy(host, address + is_bracketed, len);
    host[len] = '\0';

    int r = resolve(len ? host : NULL, colon + 1, len ? AF_UNSPEC : AF_INET6, &found);
    if (r == 0) {
        ret->fd = listen_at_first(found);
        freeaddrinfo(found);
    }
    /* a kernel without IPv6 */
    if (len == 0 && (r != 0 || ret->fd == -EAFNOSUPPORT || ret->fd == -EADDRNOTAVAIL)) {
        r = resolve(NULL, colon + 1, AF_INET, &found);
        if (r == 0) {
            ret->fd = listen_at(found, false);
            freeaddrinfo(found);
        }
    }
    if (r != 0) {
        snprintf(error->text, sizeof(error->text), "cannot listen on %.200s: %s", address,
                 gai_strerror(r));
        return -EINVAL;
    }
    return ret->fd < 0 ? fail(error, address, ret->fd) : 0;
}

/* ---- From systemd -------------------------------------------------------------------- */

#define FIRST_INHERITED 3

ssize_t listen_inherited(struct listener *ret, size_t size, struct tally_error *error) {
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    size_t count = 0;
    if (pid && fds && strtol(pid, NULL, 10) == (long)getpid())
        count = strtoul(fds, NULL, 10);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (count == 0 || count > size) {
        snprintf(error->text, sizeof(error->text),
                 "systemd has handed over %zu sockets, expected 1 to %zu; start the socket unit",
                 count, size);
        return -EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_storage at = {0};
        socklen_t len = sizeof(at);
        int fd = FIRST_INHERITED + (int)i, listens = 0;
        socklen_t listens_len = sizeof(listens);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len) < 0 || !listens ||
            getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
            snprintf(error->text, sizeof(error->text),
                     "descriptor %d from systemd is no socket that listens, expected one from "
                     "ListenStream=",
                     fd);
            return -EINVAL;
        }
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
            return fail(error, "a socket from systemd", -errno);
        ret[i] = (struct listener){.fd = fd, .is_unix = at.ss_family == AF_UNIX,
                                   .is_shared = true};
        snprintf(ret[i].name, sizeof(ret[i].name), "socket %zu of systemd", i + 1);
    }
    return (ssize_t)count;
}

/* ---- The end -------------------------------------------------------------------------- */

/* To close a socket resets all connections that nobody has accepted yet, and so does shutdown(2)
 * of TCP's; with backlog 0 one more gets in. */
void listen_no_more(const struct listener *l) {
    if (l->is_shared)
        return;
    if (l->is_unix) /* those that wait can be accepted all the same */
        (void)shutdown(l->fd, SHUT_RD);
    else
        system_begin_no_more(l->fd);
}

int listen_accept_last(const struct listener *l, struct sockaddr_storage *ret_from,
                       socklen_t *ret_len) {
    *ret_len = sizeof(*ret_from);
    if (l->is_shared)
        return -EAGAIN;
    int fd = system_accept(l->fd, (struct sockaddr *)ret_from, ret_len);
    return fd < 0 ? -errno : fd;
}
