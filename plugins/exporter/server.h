/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server, on libmicrohttpd: a thread for each address takes connections, and answers
 * from texts that are made once for all who ask. It never collects: a request for what is not
 * there, or too old, waits until the main thread has made it.
 *
 *   main thread                                   threads of the server
 *   poll() on server_fd()          <- wakes -     a request for a text waits
 *   server_wanted(), collects, encodes
 *   server_publish()               - resumes ->   it is answered, as are all who wait for it
 */
#ifndef SERVER_H
#define SERVER_H

#include "listen.h"
#include "web_config.h"

/* The texts, each plain and compressed. */
enum body {
    BODY_PROMETHEUS,
    BODY_PROMETHEUS_GZIP,
    BODY_OPENMETRICS,
    BODY_OPENMETRICS_GZIP,
    BODY_JSON,
    BODY_JSON_GZIP,
    BODIES
};

enum {
    LISTENERS_MOST = 16,
    /* what the server needs besides listeners and connections: those that were asked to leave,
     * and those of libmicrohttpd for each thread */
    SERVER_LEAVING = 64,
    SERVER_DESCRIPTORS_ASIDE = SERVER_LEAVING + 4 * LISTENERS_MOST
};

struct server_options {
    const char *metrics_path;  /* "/metrics" */
    bool lifecycle;            /* POST /-/reload */
    unsigned max_connections;  /* open at a time; the idlest has to leave for one more */
    unsigned max_requests;     /* that wait for a text; 0: no limit */
    struct listener listeners[LISTENERS_MOST];
    size_t listener_count;
};

struct server;

/* Answers on all listeners, which are the server's from now on, as `web` says (NULL: plain,
 * for everybody), which is the server's too, also if this fails. Starts threads. -errno, with a
 * sentence. */
int server_new(const struct server_options *options, struct web_config *web, struct server **ret,
               struct tally_error *error);

/* Goes on under another web configuration, which is the server's, also if this fails: who is
 * being answered or has just connected is answered, all other connections end. -errno, with a
 * sentence, and then everything is as before. */
int server_change(struct server *s, struct web_config *web, struct tally_error *error);
/* The configuration in force. */
const struct web_config *server_web(const struct server *s);

/* Ends: whoever has connected by now is answered, for `grace_ns` at most. NULL is fine; returns
 * NULL. */
struct server *server_free(struct server *s, uint64_t grace_ns);

/* Becomes readable when somebody waits for a text or has asked for a reload. */
int server_fd(const struct server *s);

struct server_wants {
    unsigned bodies; /* bits of enum body */
    bool reload;     /* a POST to /-/reload */
};
/* What was asked for since the last call. Also ends what a change of configuration has left
 * behind. */
struct server_wants server_take_wants(struct server *s);

/* Texts of an earlier snapshot are not handed out from now on; those of the new one are, as
 * they come, up to this moment of CLOCK_MONOTONIC (UINT64_MAX: until there is a newer one). */
void server_begin_snapshot(struct server *s, uint64_t fresh_until_ns);
/* A text of that snapshot, for which malloc(3) made the room, and which is the server's now. */
void server_publish(struct server *s, enum body body, char *data, size_t len);
/* There will be no such text (bits of enum body): who waits gets status 503 with this sentence. */
void server_refuse(struct server *s, unsigned bodies, const char *why);
/* There is no snapshot any more, for this reason: who waits gets status 503 with it. */
void server_end_snapshot(struct server *s, const char *why);
/* Did the last collection, or the last look in between, work? That is what /-/ready says. */
void server_set_ready(struct server *s, bool is_ready);
/* How long a collection takes: who says that he can't wait for so long is told at once. */
void server_set_duration(struct server *s, uint64_t duration_ns);

/* Answers by status, for the metrics of the exporter itself. */
enum answered { ANSWERED_2XX, ANSWERED_4XX, ANSWERED_5XX, ANSWERED };
void server_answered(struct server *s, uint64_t ret[static ANSWERED]);

#endif
