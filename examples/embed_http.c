/* SPDX-License-Identifier: MIT */
/* A program with an HTTP server of its own that shows proctally's metrics there: what is
 * yours to add is a server, here libmicrohttpd, and a lock. Build it with
 *
 *   cc embed_http.c $(pkg-config --cflags --libs proctally libmicrohttpd) -pthread
 */
#include <proctally.h>

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tally *collector;
static tally_text *text;
/* one object is used by one thread at a time */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static enum MHD_Result answer(void *data, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **context) {
    static int seen;
    (void)data, (void)version, (void)upload;
    if (!*context || *upload_len) { /* the headers, a part of a body: not yet */
        *context = &seen;
        *upload_len = 0;
        return MHD_YES;
    }
    const tally_snapshot *snapshot;
    const char *body = "see /metrics\n";
    size_t len = strlen(body);
    unsigned status = strcmp(url, "/metrics") != 0 ? 404 : strcmp(method, "GET") != 0 ? 405 : 200;

    pthread_mutex_lock(&lock);
    if (status == 200 && (tally_collect(collector, &snapshot) < 0 ||
                          tally_encode_prometheus(snapshot, text, &body, &len) < 0))
        status = 503;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    pthread_mutex_unlock(&lock);
    MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4");
    enum MHD_Result r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

int main(int argc, char **argv) {
    struct tally_error error = {"out of memory"};
    tally_config *config = NULL;
    int r = tally_config_new(&config);
    r = r < 0 ? r : tally_new(config, NULL, &collector, &error);
    r = r < 0 ? r : tally_text_new(&text);
    tally_config_free(config);
    if (r < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const uint16_t port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 9256);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, port, NULL, NULL, answer, NULL,
                         MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "cannot listen on port %u\n", port);
        return 1;
    }
    printf("http://localhost:%u/metrics, until the end of input\n", port);
    while (getchar() != EOF) {
    }
    MHD_stop_daemon(daemon);
    tally_text_free(text);
    tally_free(collector);
    return 0;
}
