/* SPDX-License-Identifier: MIT */
/* bare PORT FILE: what libmicrohttpd can do: a server that sends the same bytes to all who
 * ask, in one thread as the exporter's. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct MHD_Response *response;

static enum MHD_Result answer(void *data, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **context) {
    static int seen;
    (void)data, (void)url, (void)method, (void)version, (void)upload, (void)upload_len;
    if (!*context) {
        *context = &seen;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

int main(int argc, char **argv) {
    const size_t most = (size_t)64 << 20;
    struct sockaddr_in at = {.sin_family = AF_INET};
    char *text = malloc(most);
    FILE *file = argc == 3 ? fopen(argv[2], "r") : NULL;
    if (!file || !text) {
        fprintf(stderr, "usage: bare PORT FILE\n");
        return 2;
    }
    size_t len = fread(text, 1, most, file);
    response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4");
    at.sin_port = htons((uint16_t)atoi(argv[1]));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, NULL,
                          MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_CONNECTION_LIMIT, 1000u,
                          MHD_OPTION_END))
        return 1;
    for (;;)
        pause();
}
