/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "accept.h"
#include "auth.h"
#include "page.h"
#include "rate.h"
#include "service.h"
#include "system.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of a request: its line and all headers. More is answered with 414 or 431. libmicrohttpd wipes
 * all of it after each request, so that this is what an idle connection takes. */
#define REQUEST_BYTES (12u << 10)
/* Nobody has a body to send. */
#define UPLOAD_BYTES (64u << 10)
/* A scraper comes back within this time, or opens a new connection. */
#define IDLE_S 125u
/* Who has connected asks for something within this time, also when the door is being closed: on a
 * busy host that takes a while. When the exporter ends nobody has as much. */
#define FIRST_REQUEST_NS (10 * NS_PER_S)
#define LAST_REQUEST_NS NS_PER_S
/* A handshake that has been begun comes to its end within this time. */
#define HANDSHAKE_NS (NS_PER_S / 50)

/* ---- What there is ------------------------------------------------------------------- */

struct door;

/* One connection, from accept(2) to close(2). */
struct link {
    struct link *prev, *next; /* of all, the one that has been idle for longest first */
    struct door *door;
    int fd;
    uint64_t since_ns; /* CLOCK_MONOTONIC */
    bool has_asked;  /* for anything so far */
    bool is_busy;    /* a request is being answered */
    bool is_waiting; /* … as soon as there is a text */
    bool is_leaving; /* shut down, and libmicrohttpd has not seen it yet */
    bool is_checked; /* the client's certificate is good */
};

/* One request, from its line to the last byte of the answer. */
struct request {
    struct request *next; /* of those that wait */
    struct MHD_Connection *connection;
    struct link *link;
    size_t uploaded;
    enum body body;
    bool has_waited;      /* for a text */
    bool is_paid;         /* it has been taken off the rate */
    bool is_refused;      /* there will be no text */
};

/* One listener of a door. */
struct entrance {
    struct door *door;
    struct MHD_Daemon *daemon;
    size_t entering; /* connections that it was given and has not told of yet */
    int last_fd;     /* behind all that it has not told of yet; -1: there is none */
};

/* The listeners under one web configuration. With a new one they get a new door, and the old
 * one is left by those who are still inside. */
struct door {
    struct door *next; /* one that is older, and being left */
    struct server *server;
    struct web_config *web; /* or NULL */
    struct rate rate;
    struct entrance entrances[LISTENERS_MOST];
    size_t entrance_count;
    size_t links; /* connections that came in here */
    uint64_t closed_ns; /* since then nobody comes in; 0: it is open */
};

struct server {
    struct server_options options;
    struct wake wake;
    struct auth *auth;    /* of the users of the newest door */
    pthread_mutex_t lock; /* for all that follows, and the lists above */
    struct door *door;
    struct link first, last; /* ends of the list */
    size_t link_count;       /* without those that are leaving */

    struct MHD_Response *bodies[BODIES];
    uint64_t fresh_until_ns, duration_ns;
    struct request *waiting;
    size_t waiting_count;
    bool reload;
    bool is_ready;  /* the last collection or look worked */
    bool is_ending; /* nobody waits for anything any more */
    char why[256]; /* there is no text */
    struct MHD_Response *page[2]; /* plain, compressed */
    uint64_t answered[ANSWERED];
};

static void wake(struct server *s) {
    wake_up(&s->wake);
}

/* ---- Answers --------------------------------------------------------------------------- */

/* Headers of each answer: nobody is to guess what it is; and what the web configuration wants. */
static void add_headers(struct MHD_Response *response, const struct web_config *web) {
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; web && i < web->header_count; i++) {
        /* some are there already, and the user's wins */
        const char *own = MHD_get_response_header(response, web->headers[i].name);
        if (own)
            MHD_del_response_header(response, web->headers[i].name, own);
        MHD_add_response_header(response, web->headers[i].name, web->headers[i].value);
    }
}

static enum MHD_Result queue(struct request *r, unsigned status, struct MHD_Response *response) {
    struct server *s = r->link->door->server;
    s->answered[status < 400 ? ANSWERED_2XX : status < 500 ? ANSWERED_4XX : ANSWERED_5XX]++;
    return MHD_queue_response(r->connection, status, response);
}

/* A line of text, with one header more if its name is not NULL. */
static enum MHD_Result answer(struct request *r, unsigned status, const char *text,
                              const char *header, const char *value) {
    char line[300];
    int len = snprintf(line, sizeof(line), "%s\n", text);
    if (status == MHD_HTTP_NO_CONTENT)
        len = 0;
    struct MHD_Response *response =
        MHD_create_response_from_buffer((size_t)len, line, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
    if (header)
        MHD_add_response_header(response, header, value);
    add_headers(response, r->link->door->web);
    enum MHD_Result result = queue(r, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Not now: it may work in a second. */
static enum MHD_Result answer_later(struct request *r, const char *why) {
    return answer(r, MHD_HTTP_SERVICE_UNAVAILABLE, why, "Retry-After", "1");
}

static void add_type(struct MHD_Response *response, const char *type, bool is_compressed) {
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Vary", "Accept, Accept-Encoding");
    if (is_compressed)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
}

/* ---- Waiting for a text ------------------------------------------------------------------ */

/* Answers with the text, or has the request wait for it. The lock is held. */
static enum MHD_Result answer_body(struct request *r) {
    struct server *s = r->link->door->server;
    struct MHD_Response *ready = s->bodies[r->body];
    if (!r->is_refused && ready && (r->has_waited || service_now_ns() < s->fresh_until_ns))
        return queue(r, MHD_HTTP_OK, ready);
    if (r->is_refused || s->is_ending)
        return answer_later(r, s->why);
    if (s->options.max_requests && s->waiting_count >= s->options.max_requests)
        return answer_later(r, "too many requests wait already");
    const char *timeout = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND,
                                                      "X-Prometheus-Scrape-Timeout-Seconds");
    double seconds = timeout ? strtod(timeout, NULL) : 0;
    if (seconds > 0 && (double)s->duration_ns > seconds * 1e9)
        return answer_later(r, "a collection takes longer than the scrape may");
    r->next = s->waiting;
    r->has_waited = r->link->is_waiting = true;
    s->waiting = r;
    s->waiting_count++;
    MHD_suspend_connection(r->connection);
    wake(s);
    return MHD_YES;
}

/* Those who wait for one of these bodies go on. The lock is held. */
static void resume(struct server *s, unsigned bodies, bool refused) {
    for (struct request **at = &s->waiting; *at;) {
        struct request *r = *at;
        if (!(bodies & 1u << r->body)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        s->waiting_count--;
        r->is_refused = refused;
        r->link->is_waiting = false;
        MHD_resume_connection(r->connection);
    }
}

/* The lock is held. */
static void refuse(struct server *s, unsigned bodies, const char *why) {
    snprintf(s->why, sizeof(s->why), "%s", why);
    resume(s, bodies, true);
}

/* ---- Whom to answer ---------------------------------------------------------------------- */

/* From the thread that works out passwords. */
static void password_is_known(void *data) {
    struct request *r = data;
    struct server *s = r->link->door->server;
    /* only once the connection has been suspended */
    pthread_mutex_lock(&s->lock);
    MHD_resume_connection(r->connection);
    pthread_mutex_unlock(&s->lock);
}

/* True: the request may be answered. Else *ret says what became of it. The lock is held. */
static bool may_ask(struct request *r, enum MHD_Result *ret) {
    struct door *door = r->link->door;
    struct server *s = door->server;
    if (!r->is_paid && !rate_take(&door->rate, service_now_ns())) {
        *ret = answer(r, MHD_HTTP_TOO_MANY_REQUESTS, "Too Many Requests", "Retry-After", "1");
        return false;
    }
    r->is_paid = true;
    if (door->web && door->web->tls && !r->link->is_checked) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        struct tally_error error;
        if (!info || tls_check_client(info->tls_session, door->web, &error) < 0) {
            *ret = answer(r, MHD_HTTP_FORBIDDEN, info ? error.text : "no TLS", NULL, NULL);
            return false;
        }
        r->link->is_checked = true;
    }
    if (!door->web || !door->web->user_count)
        return true;
    if (s->is_ending) {
        *ret = answer_later(r, s->why);
        return false;
    }
    switch (auth_ask(s->auth,
                     MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Authorization"),
                     password_is_known, r)) {
    case 1:
        return true;
    case 0:
        *ret = answer(r, MHD_HTTP_UNAUTHORIZED, "Unauthorized", "WWW-Authenticate", "Basic");
        return false;
    case -EINPROGRESS:
        MHD_suspend_connection(r->connection);
        *ret = MHD_YES;
        return false;
    default:
        *ret = answer_later(r, "too many passwords are being checked");
        return false;
    }
}

/* ---- Where a request goes ------------------------------------------------------------------ */

/* "http://host/path" is the form for proxies, which all servers have to take. */
static const char *path_of(const char *url) {
    const char *rest = strstr(url, "://");
    if (url[0] == '/' || !rest)
        return url;
    rest = strchr(rest + 3, '/');
    return rest ? rest : "/";
}

static const char *header(const struct request *r, const char *name) {
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

enum place { NOWHERE, METRICS, PAGE, GROUPS, HEALTHY, READY, RELOAD, ICON };

static enum place place_of(const struct server_options *options, const char *path) {
    static const struct {
        const char *path;
        enum place place;
    } places[] = {{"/", PAGE},
                  {"/groups.json", GROUPS},
                  {"/-/healthy", HEALTHY},
                  {"/-/ready", READY},
                  {"/favicon.ico", ICON}};
    if (options->lifecycle && strcmp(path, "/-/reload") == 0)
        return RELOAD;
    if (strcmp(path, options->metrics_path) == 0)
        return METRICS;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (strcmp(path, places[i].path) == 0)
            return places[i].place;
    return NOWHERE;
}

static bool is_method(const char *method, enum place place) {
    if (place == RELOAD)
        return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static enum MHD_Result route(struct request *r, const char *method, const char *path) {
    struct server *s = r->link->door->server;
    const enum place place = place_of(&s->options, path);
    const bool gzip = accept_gzip(header(r, "Accept-Encoding"));
    if (place != NOWHERE && !is_method(method, place))
        return answer(r, MHD_HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed", "Allow",
                      place == RELOAD ? "POST, PUT" : "GET, HEAD");
    switch (place) {
    case NOWHERE:
        break;
    case METRICS:
        r->body = accept_format(header(r, "Accept")) == TEXT_FORMAT_OPENMETRICS
                      ? BODY_OPENMETRICS
                      : BODY_PROMETHEUS;
        r->body += gzip;
        return answer_body(r);
    case GROUPS:
        r->body = gzip ? BODY_JSON_GZIP : BODY_JSON;
        return answer_body(r);
    case PAGE:
        return queue(r, MHD_HTTP_OK, s->page[gzip]);
    case HEALTHY:
        return answer(r, MHD_HTTP_OK, "healthy", NULL, NULL);
    case READY:
        if (s->is_ready && !s->is_ending)
            return answer(r, MHD_HTTP_OK, "ready", NULL, NULL);
        return answer_later(r, s->why[0] ? s->why : "nothing has been collected yet");
    case RELOAD:
        if (s->is_ending)
            return answer_later(r, s->why);
        s->reload = true;
        wake(s);
        return answer(r, MHD_HTTP_OK, "reloading", NULL, NULL);
    case ICON:
        return answer(r, MHD_HTTP_NO_CONTENT, "", NULL, NULL);
    }
    return answer(r, MHD_HTTP_NOT_FOUND, "404 page not found", NULL, NULL);
}

/* The handler of libmicrohttpd: called when the headers are there, again for each part of a
 * body, again when that is over, and again after the connection has been resumed. */
static enum MHD_Result handle(void *data, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **context) {
    struct server *s = ((struct door *)data)->server;
    struct request *r = *context;
    (void)version, (void)upload;
    if (!r) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        if (!info || !info->socket_context || !(r = calloc(1, sizeof(*r))))
            return MHD_NO;
        r->connection = connection;
        r->link = info->socket_context;
        *context = r;
        pthread_mutex_lock(&s->lock);
        r->link->is_busy = r->link->has_asked = true;
        const char *length = header(r, "Content-Length");
        enum MHD_Result result = MHD_YES;
        if (length && strtoull(length, NULL, 10) > UPLOAD_BYTES)
            result = answer(r, MHD_HTTP_CONTENT_TOO_LARGE, "Content Too Large", NULL, NULL);
        pthread_mutex_unlock(&s->lock);
        return result;
    }
    if (*upload_len > 0) {
        r->uploaded += *upload_len;
        *upload_len = 0;
        return r->uploaded > UPLOAD_BYTES ? MHD_NO : MHD_YES;
    }
    enum MHD_Result result = MHD_YES;
    pthread_mutex_lock(&s->lock);
    if (may_ask(r, &result))
        result = r->has_waited ? answer_body(r) : route(r, method, path_of(url));
    pthread_mutex_unlock(&s->lock);
    return result;
}

/* ---- Connections ------------------------------------------------------------------------- */

static void unlink_link(struct link *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

static void link_last(struct server *s, struct link *link) {
    link->prev = s->last.prev;
    link->next = &s->last;
    link->prev->next = link;
    s->last.prev = link;
}

/* libmicrohttpd sees the end of it, and closes it. With SHUT_RD it first answers what has come
 * already. The lock is held. */
static void ask_to_leave(struct server *s, struct link *link, int how) {
    if (!link->is_leaving)
        s->link_count--;
    link->is_leaving = true;
    shutdown(link->fd, how);
}

/* Room for the last one that came: who has had nothing to ask for longest leaves, or, if all
 * are being answered, one who has been reading for long. Otherwise a few hundred idle
 * connections would keep the scraper out. The lock is held. */
static void make_room(struct server *s) {
    struct link *choice = NULL;
    for (struct link *l = s->first.next; l != s->last.prev; l = l->next) {
        if (l->is_leaving || l->is_waiting)
            continue;
        if (!choice)
            choice = l;
        if (!l->is_busy) {
            choice = l;
            break;
        }
    }
    if (choice)
        ask_to_leave(s, choice, SHUT_RDWR);
}

/* The daemon tells of this one, or refuses it. True: it is the last. The lock is held. */
static bool is_told_of(struct entrance *entrance, int fd) {
    if (fd >= 0 && fd == entrance->last_fd) {
        entrance->last_fd = -1;
        return true;
    }
    if (entrance->entering)
        entrance->entering--;
    return false;
}

static void notify_connection(void *data, struct MHD_Connection *connection, void **context,
                              enum MHD_ConnectionNotificationCode code) {
    struct entrance *entrance = data;
    struct door *door = entrance->door;
    struct server *s = door->server;
    pthread_mutex_lock(&s->lock);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        const bool is_last = is_told_of(entrance, fd ? fd->connect_fd : -1);
        struct link *link = fd && !is_last ? calloc(1, sizeof(*link)) : NULL;
        *context = link; /* without it no request is answered */
        if (is_last)
            wake(s);
        if (link) {
            link->fd = fd->connect_fd;
            link->since_ns = service_now_ns();
            link->door = door;
            link_last(s, link);
            door->links++;
            if (++s->link_count > s->options.max_connections)
                make_room(s);
        }
        const union MHD_ConnectionInfo *session =
            door->web && door->web->tls
                ? MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)
                : NULL;
        if (session)
            tls_begin(session->tls_session, door->web);
    } else if (*context) {
        struct link *link = *context;
        unlink_link(link);
        if (!link->is_leaving)
            s->link_count--;
        *context = NULL;
        if (--door->links == 0 && door->closed_ns)
            wake(s);
        free(link);
    }
    pthread_mutex_unlock(&s->lock);
}

static void notify_completed(void *data, struct MHD_Connection *connection, void **context,
                             enum MHD_RequestTerminationCode code) {
    struct server *s = ((struct door *)data)->server;
    struct request *r = *context;
    (void)connection, (void)code;
    if (!r)
        return;
    pthread_mutex_lock(&s->lock);
    struct link *link = r->link;
    link->is_busy = false;
    unlink_link(link);
    link_last(s, link);
    /* who came in by an old door has to come in by the new one; what is sent behind the end is
     * not waited for again and again */
    if (link->door->closed_ns)
        ask_to_leave(s, link, link->is_leaving ? SHUT_RDWR : SHUT_RD);
    pthread_mutex_unlock(&s->lock);
    free(r);
    *context = NULL;
}

/* ---- Doors --------------------------------------------------------------------------------- */

/* What libmicrohttpd says is of interest only while this thread starts a daemon. */
static _Thread_local char *log_to;
enum { LOG_SIZE = 200 };

__attribute__((format(printf, 2, 0))) static void note_log(void *data, const char *format,
                                                           va_list args) {
    (void)data;
    if (!log_to)
        return;
    vsnprintf(log_to, LOG_SIZE, format, args);
    log_to[strcspn(log_to, "\n")] = '\0';
}

static int start_daemon(struct door *door, const struct listener *listener,
                        struct tally_error *error) {
    const struct server_options *options = &door->server->options;
    const struct web_config *web = door->web;
    struct entrance *entrance = &door->entrances[door->entrance_count];
    entrance->door = door;
    entrance->last_fd = -1;
    /* not epoll: while a daemon is quiesced, libmicrohttpd 0.9.75 may find its listener taken out
     * of the set already, and abort */
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[5];
    size_t tls_count = 0;
    if (web && web->tls) {
        flags |= MHD_USE_TLS;
        tls[tls_count++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, web->cert_pem};
        tls[tls_count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, web->key_pem};
        tls[tls_count++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, web->priorities};
        if (web->client_ca_pem)
            tls[tls_count++] =
                (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, web->client_ca_pem};
    }
    tls[tls_count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};

    char log[LOG_SIZE] = "";
    log_to = log;
    /* libmicrohttpd closes its own */
    int fd = fcntl(listener->fd, F_DUPFD_CLOEXEC, 3);
    struct MHD_Daemon *daemon = NULL;
    if (fd >= 0)
        daemon = MHD_start_daemon(
            flags, 0, NULL, NULL, handle, door, MHD_OPTION_EXTERNAL_LOGGER, note_log, NULL,
            MHD_OPTION_ARRAY, tls, MHD_OPTION_LISTEN_SOCKET, fd,
            MHD_OPTION_CONNECTION_LIMIT, options->max_connections + SERVER_LEAVING,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES,
            MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_NOTIFY_CONNECTION,
            notify_connection, entrance, MHD_OPTION_NOTIFY_COMPLETED, notify_completed, door,
            MHD_OPTION_END);
    log_to = NULL;
    if (!daemon) {
        snprintf(error->text, sizeof(error->text), "cannot serve on %s: %s", listener->name,
                 log[0] ? log : strerror(errno));
        if (fd >= 0)
            close(fd);
        return -EINVAL;
    }
    entrance->daemon = daemon;
    door->entrance_count++;
    return 0;
}

/* Who came in by a closed door leaves when he has his answer. One who has not asked for anything
 * yet is about to: nobody connects for less. */
static void see_off(struct door *door) {
    struct server *s = door->server;
    const uint64_t now_ns = service_now_ns();
    pthread_mutex_lock(&s->lock);
    const uint64_t wait_ns = s->is_ending ? LAST_REQUEST_NS : FIRST_REQUEST_NS;
    for (size_t i = 0; i < door->entrance_count; i++)
        if (now_ns - door->closed_ns >= FIRST_REQUEST_NS)
            door->entrances[i].last_fd = -1; /* without memory libmicrohttpd tells of nobody */
    for (struct link *l = s->first.next; l != &s->last; l = l->next)
        if (l->door == door && !l->is_busy && !l->is_leaving &&
            (l->has_asked || now_ns - l->since_ns >= wait_ns))
            ask_to_leave(s, l, SHUT_RD);
    pthread_mutex_unlock(&s->lock);
}

/* How many are inside, or will be in a moment. */
static size_t links_of(struct door *door) {
    pthread_mutex_lock(&door->server->lock);
    size_t links = door->links;
    for (size_t i = 0; i < door->entrance_count; i++)
        links += door->entrances[i].entering;
    pthread_mutex_unlock(&door->server->lock);
    return links;
}

/* Has everybody left a closed door, also those of whom it had not been told? */
static bool is_left(struct door *door) {
    bool has_told = true;
    pthread_mutex_lock(&door->server->lock);
    for (size_t i = 0; i < door->entrance_count; i++)
        has_told &= door->entrances[i].last_fd < 0;
    pthread_mutex_unlock(&door->server->lock);
    return has_told && links_of(door) == 0;
}

static void enter(struct entrance *entrance, int fd, const struct sockaddr_storage *from,
                  socklen_t len) {
    pthread_mutex_t *lock = &entrance->door->server->lock;
    pthread_mutex_lock(lock);
    entrance->entering += fd != entrance->last_fd;
    pthread_mutex_unlock(lock);
    if (MHD_add_connection(entrance->daemon, fd, (const struct sockaddr *)from, len) == MHD_YES)
        return;
    pthread_mutex_lock(lock);
    (void)is_told_of(entrance, fd);
    pthread_mutex_unlock(lock);
}

/* A daemon may have let somebody in of whom it has not told yet. It is given one more, who asks
 * for nothing: by the time it tells of this one, it has told of all. */
static void enter_last(struct entrance *entrance) {
    const struct sockaddr_storage nowhere = {.ss_family = AF_UNIX};
    pthread_mutex_t *lock = &entrance->door->server->lock;
    const int fd = system_left_connection();
    if (fd < 0)
        return;
    pthread_mutex_lock(lock);
    entrance->last_fd = fd;
    pthread_mutex_unlock(lock);
    enter(entrance, fd, &nowhere, sizeof(nowhere));
}

/* Nobody comes in any more, and who does nothing leaves. */
static void door_close(struct door *door) {
    struct server *s = door->server;
    for (size_t i = 0; i < door->entrance_count; i++) {
        int fd = MHD_quiesce_daemon(door->entrances[i].daemon);
        if (fd != MHD_INVALID_SOCKET)
            close(fd);
        enter_last(&door->entrances[i]);
    }
    pthread_mutex_lock(&s->lock);
    door->closed_ns = service_now_ns();
    pthread_mutex_unlock(&s->lock);
    see_off(door);
    wake(s); /* everybody may have left before */
}

/* Whom the kernel has let in for us before the door was closed. */
static void let_in_last(struct door *door) {
    const struct server_options *options = &door->server->options;
    for (size_t i = 0; i < door->entrance_count; i++) {
        struct sockaddr_storage from;
        socklen_t len;
        int fd;
        while (links_of(door) < options->max_connections &&
               (fd = listen_accept_last(&options->listeners[i], &from, &len)) >= 0)
            enter(&door->entrances[i], fd, &from, len);
    }
}

/* Whoever is inside is cut off; nobody may wait for anything, as libmicrohttpd can't stop
 * while a connection is suspended. */
static struct door *door_free(struct door *door) {
    if (!door)
        return NULL;
    for (size_t i = 0; i < door->entrance_count; i++)
        MHD_stop_daemon(door->entrances[i].daemon);
    web_config_free(door->web);
    free(door);
    return NULL;
}

/* Owns `web` in any case. -errno with a sentence; the door is there and closed then, for some
 * of its daemons may have let somebody in. NULL: not even that. */
static int door_new(struct server *s, struct web_config *web, struct door **ret,
                    struct tally_error *error) {
    struct door *door = calloc(1, sizeof(*door));
    *ret = door;
    if (!door) {
        web_config_free(web);
        snprintf(error->text, sizeof(error->text), "out of memory");
        return -ENOMEM;
    }
    door->server = s;
    door->web = web;
    if (web)
        rate_init(&door->rate, web->rate_interval_ns, web->rate_burst);
    for (size_t i = 0; i < s->options.listener_count; i++) {
        int r = start_daemon(door, &s->options.listeners[i], error);
        if (r < 0) {
            door_close(door);
            return r;
        }
    }
    return 0;
}

/* ---- The server ------------------------------------------------------------------------- */

static void drop_pages(struct server *s) {
    for (size_t i = 0; i < 2; i++)
        if (s->page[i])
            MHD_destroy_response(s->page[i]);
    s->page[0] = s->page[1] = NULL;
}

static void drop_bodies(struct server *s) {
    for (size_t i = 0; i < BODIES; i++) {
        if (s->bodies[i])
            MHD_destroy_response(s->bodies[i]); /* once it has been sent */
        s->bodies[i] = NULL;
    }
}

static int make_pages(struct server *s, const struct web_config *web) {
    struct MHD_Response *made[2] = {NULL, NULL};
    for (size_t i = 0; i < 2; i++) {
        struct page_text text;
        if (page_text(i == 1, &text) < 0)
            break;
        made[i] = MHD_create_response_from_buffer(text.len, (void *)(uintptr_t)text.data,
                                                  MHD_RESPMEM_PERSISTENT);
        if (!made[i])
            break;
        add_type(made[i], "text/html; charset=utf-8", i == 1);
        MHD_add_response_header(made[i], "Content-Security-Policy", text.policy);
        MHD_add_response_header(made[i], "Referrer-Policy", "no-referrer");
        add_headers(made[i], web);
    }
    if (!made[1]) {
        if (made[0])
            MHD_destroy_response(made[0]);
        return -ENOMEM;
    }
    drop_pages(s);
    memcpy(s->page, made, sizeof(made));
    return 0;
}

/* From now on nobody waits, and who does gets his answer. */
static void end_waiting(struct server *s) {
    pthread_mutex_lock(&s->lock);
    s->is_ending = true;
    refuse(s, ~0u, "the exporter is ending");
    pthread_mutex_unlock(&s->lock);
}

int server_new(const struct server_options *options, struct web_config *web, struct server **ret,
               struct tally_error *error) {
    struct server *s = calloc(1, sizeof(*s));
    snprintf(error->text, sizeof(error->text), "out of memory");
    if (!s)
        return -ENOMEM;
    s->options = *options;
    s->first.next = &s->last;
    s->last.prev = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    int r = wake_open(&s->wake);
    if (r == 0)
        r = make_pages(s, web);
    if (r == 0)
        r = auth_new(web ? web->users : NULL, web ? web->user_count : 0, &s->auth);
    if (r == 0)
        r = door_new(s, web, &s->door, error);
    else
        web_config_free(web);
    if (r < 0) {
        end_waiting(s);
        auth_free(s->auth);
        door_free(s->door);
        drop_pages(s);
        wake_close(&s->wake);
        pthread_mutex_destroy(&s->lock);
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int server_change(struct server *s, struct web_config *web, struct tally_error *error) {
    struct door *door;
    int r = door_new(s, web, &door, error);
    if (r == 0) {
        r = auth_set_users(s->auth, web->users, web->user_count);
        if (r < 0) {
            snprintf(error->text, sizeof(error->text), "cannot check passwords: %s",
                     strerror(-r));
            door_close(door);
        }
    }
    if (r < 0) {
        if (door) { /* left by whoever came in by it */
            door->next = s->door->next;
            s->door->next = door;
        }
        return r;
    }
    pthread_mutex_lock(&s->lock);
    (void)make_pages(s, web); /* without memory for them the old ones stay */
    drop_bodies(s);           /* their headers may be others now */
    door->next = s->door;
    s->door = door;
    pthread_mutex_unlock(&s->lock);
    door_close(door->next);
    return 0;
}

const struct web_config *server_web(const struct server *s) {
    return s->door->web;
}

int server_fd(const struct server *s) {
    return s->wake.fd;
}

/* Doors by which everybody has left. */
static void free_left_doors(struct server *s) {
    for (struct door **at = &s->door->next; *at;) {
        struct door *door = *at;
        see_off(door);
        if (!is_left(door)) {
            at = &door->next;
            continue;
        }
        *at = door->next;
        door_free(door);
    }
}

struct server_wants server_take_wants(struct server *s) {
    struct server_wants wants = {0};
    wake_taken(&s->wake);
    free_left_doors(s);
    pthread_mutex_lock(&s->lock);
    for (struct request *r = s->waiting; r; r = r->next)
        wants.bodies |= 1u << r->body;
    wants.reload = s->reload;
    s->reload = false;
    pthread_mutex_unlock(&s->lock);
    return wants;
}

void server_begin_snapshot(struct server *s, uint64_t fresh_until_ns) {
    pthread_mutex_lock(&s->lock);
    drop_bodies(s);
    s->fresh_until_ns = fresh_until_ns;
    s->why[0] = '\0';
    pthread_mutex_unlock(&s->lock);
}

void server_publish(struct server *s, enum body body, char *data, size_t len) {
    static const char *const types[] = {
        [BODY_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
        [BODY_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
        [BODY_JSON] = "application/json",
    };
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
    pthread_mutex_lock(&s->lock);
    if (response) {
        const bool is_compressed = body & 1;
        add_type(response, types[body - is_compressed], is_compressed);
        add_headers(response, s->door->web);
        if (s->bodies[body])
            MHD_destroy_response(s->bodies[body]);
        s->bodies[body] = response;
    } else {
        free(data);
        snprintf(s->why, sizeof(s->why), "out of memory");
    }
    resume(s, 1u << body, !response);
    pthread_mutex_unlock(&s->lock);
}

void server_refuse(struct server *s, unsigned bodies, const char *why) {
    pthread_mutex_lock(&s->lock);
    refuse(s, bodies, why);
    pthread_mutex_unlock(&s->lock);
}

void server_end_snapshot(struct server *s, const char *why) {
    pthread_mutex_lock(&s->lock);
    drop_bodies(s);
    s->fresh_until_ns = 0;
    pthread_mutex_unlock(&s->lock);
    server_refuse(s, ~0u, why);
}

void server_set_ready(struct server *s, bool is_ready) {
    pthread_mutex_lock(&s->lock);
    s->is_ready = is_ready;
    pthread_mutex_unlock(&s->lock);
}

void server_set_duration(struct server *s, uint64_t duration_ns) {
    pthread_mutex_lock(&s->lock);
    s->duration_ns = duration_ns;
    pthread_mutex_unlock(&s->lock);
}

void server_answered(struct server *s, uint64_t ret[static ANSWERED]) {
    pthread_mutex_lock(&s->lock);
    memcpy(ret, s->answered, sizeof(s->answered));
    pthread_mutex_unlock(&s->lock);
}

/* Until everybody has left, by whichever door. */
static void see_all_off(struct server *s, uint64_t grace_ns) {
    const uint64_t begun_ns = service_now_ns();
    for (;;) {
        const uint64_t now_ns = service_now_ns();
        bool are_left = true;
        let_in_last(s->door);
        for (struct door *door = s->door; door; door = door->next) {
            see_off(door);
            are_left &= is_left(door);
        }
        if (now_ns >= begun_ns + (are_left ? HANDSHAKE_NS : grace_ns))
            return;
        service_poll(NULL, 0, now_ns + NS_PER_S / 100);
    }
}

struct server *server_free(struct server *s, uint64_t grace_ns) {
    if (!s)
        return NULL;
    end_waiting(s);
    door_close(s->door);
    for (size_t i = 0; i < s->options.listener_count; i++)
        listen_no_more(&s->options.listeners[i]);
    see_all_off(s, grace_ns);
    auth_free(s->auth); /* who waits for a password goes on first */
    while (s->door) {
        struct door *next = s->door->next;
        door_free(s->door);
        s->door = next;
    }
    for (size_t i = 0; i < s->options.listener_count; i++)
        close(s->options.listeners[i].fd);
    drop_bodies(s);
    drop_pages(s);
    wake_close(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}
