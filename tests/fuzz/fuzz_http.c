/* SPDX-License-Identifier: MIT */
/* Raw bytes on a connection to the server, up to the half close: the first byte of the input
 * chooses the server, '1' the one with a password. Whatever comes, the connection ends, nothing is
 * told without the password, and the next honest request is answered. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HASH "$2b$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW" /* of "pw" */
#define TEXT "what may be told "
#define PATIENCE_MS 60000

enum { OPEN, GUARDED, SERVERS };
static struct {
    struct server *server;
    struct sockaddr_un at;
    socklen_t at_len;
} servers[SERVERS];

static void end_servers(void) {
    for (size_t i = 0; i < SERVERS; i++)
        server_free(servers[i].server, 0);
}

static struct web_config *make_web(void) {
    struct web_config *web = calloc(1, sizeof(*web));
    CHECK(web, "out of memory");
    web->users = calloc(1, sizeof(*web->users));
    web->headers = calloc(1, sizeof(*web->headers));
    CHECK(web->users && web->headers, "out of memory");
    web->users[web->user_count++] = (struct web_user){strdup("ann"), strdup(HASH)};
    web->headers[web->header_count++] =
        (struct web_header){strdup("Content-Security-Policy"), strdup("default-src 'none'")};
    return web;
}

static void start_servers(void) {
    for (size_t i = 0; i < SERVERS; i++) {
        struct server_options options = {.metrics_path = "/metrics",
                                         .lifecycle = i == OPEN,
                                         .max_connections = 8,
                                         .max_requests = 2,
                                         .listener_count = 1};
        struct listener *listener = &options.listeners[0];
        struct tally_error error = {{0}};
        *listener = (struct listener){
            .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), .name = "fuzz"};
        servers[i].at.sun_family = AF_UNIX;
        servers[i].at_len = sizeof(servers[i].at);
        /* a name of the kernel's choice, in no directory */
        CHECK(listener->fd >= 0 &&
                  bind(listener->fd, (struct sockaddr *)&servers[i].at, sizeof(sa_family_t)) == 0 &&
                  listen(listener->fd, 100) == 0 &&
                  getsockname(listener->fd, (struct sockaddr *)&servers[i].at,
                              &servers[i].at_len) == 0,
              "a socket: %s", strerror(errno));
        int r = server_new(&options, i == GUARDED ? make_web() : NULL, &servers[i].server, &error);
        CHECK(r == 0, "server_new(): %s", error.text);
    }
    atexit(end_servers);
}

/* What the main thread of the exporter does. */
static void serve(struct server *s) {
    const struct server_wants wants = server_take_wants(s);
    for (enum body body = 0; body < BODIES; body++)
        if (wants.bodies & 1u << body) {
            char *text = strdup(TEXT);
            CHECK(text, "out of memory");
            server_publish(s, body, text, strlen(text));
        }
}

/* Everything that comes back, ended by NUL. */
static char *ask(size_t which, const void *request, size_t len, size_t *ret_len) {
    struct server *s = servers[which].server;
    size_t size = 1u << 16, got = 0;
    char *answer = malloc(size);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(answer && fd >= 0 &&
              connect(fd, (struct sockaddr *)&servers[which].at, servers[which].at_len) == 0,
          "a connection: %s", strerror(errno));
    /* all of it fits into the socket */
    ssize_t sent = send(fd, request, len, MSG_NOSIGNAL);
    CHECK(sent == (ssize_t)len || (sent < 0 && errno == EPIPE), "send(): %s", strerror(errno));
    shutdown(fd, SHUT_WR);
    for (;;) {
        struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                               {.fd = server_fd(s), .events = POLLIN}};
        int r = poll(fds, 2, PATIENCE_MS);
        CHECK(r > 0 || (r < 0 && errno == EINTR), "the connection does not end");
        if (r < 0)
            continue;
        if (fds[1].revents)
            serve(s);
        if (!fds[0].revents)
            continue;
        if (size - got < 2 && !(answer = realloc(answer, size *= 2)))
            CHECK(false, "out of memory");
        ssize_t n = recv(fd, answer + got, size - got - 1, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    answer[got] = '\0';
    *ret_len = got;
    return answer;
}

static bool has_word(const char *text, size_t len, const char *word) {
    for (size_t i = 0; i + strlen(word) <= len; i++)
        if (strncasecmp(text + i, word, strlen(word)) == 0)
            return true;
    return false;
}

FUZZ_TARGET(http) {
    static const char honest[] = "GET /-/healthy HTTP/1.0\r\n\r\n";
    if (len == 0)
        return 0;
    if (!servers[0].server)
        start_servers();
    const size_t which = data[0] == '1' ? GUARDED : OPEN;
    char *request = calloc(1, len);
    size_t got;
    CHECK(request, "out of memory");
    memcpy(request, data + 1, len - 1);

    server_begin_snapshot(servers[which].server, 0); /* a text is made for each who asks */
    char *answer = ask(which, request, len - 1, &got);
    CHECK(got == 0 || strncmp(answer, "HTTP/1.", 7) == 0, "no answer of HTTP: %.100s", answer);
    CHECK(got == 0 || strncmp(answer + 9, "500", 3) != 0, "status 500");
    if (which == GUARDED && !has_word(request, len, "basic"))
        CHECK(!memmem(answer, got, TEXT, strlen(TEXT)), "it is told without the password");
    free(answer);
    free(request);

    answer = ask(which, honest, strlen(honest), &got);
    CHECK(strstr(answer, which == OPEN ? " 200 " : " 401 "), "to an honest request: %.100s", answer);
    free(answer);
    return 0;
}
