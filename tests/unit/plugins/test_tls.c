/* SPDX-License-Identifier: MIT */
/* Clients with and without certificates, and the libmicrohttpd that is there: what it does
 * itself is as tls.h says. */
#define _GNU_SOURCE
#include "tls.h"

#include "suite.h"
#include "tls_help.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NONE, GOOD, ANY_PURPOSE, FOR_SERVERS, EXPIRED, FOREIGN, BY_HAND, CLIENTS };

static struct certificate ca, other_ca, server, clients[CLIENTS];

static void setup(void) {
    certificate_make(&ca, &(struct certificate_wish){.name = "ca", .is_ca = true});
    certificate_make(&other_ca, &(struct certificate_wish){.name = "ca", .is_ca = true});
    certificate_make(&server, &(struct certificate_wish){.name = "server", .issuer = &ca});
    const struct certificate_wish wish = {.name = "client",
                                          .issuer = &ca,
                                          .purpose = GNUTLS_KP_TLS_WWW_CLIENT,
                                          .dns = "prometheus.example",
                                          .ip = "2001:db8::1",
                                          .email = "ops@example.org",
                                          .uri = "spiffe://example.org/prometheus"};
    for (int i = GOOD; i < CLIENTS; i++) {
        struct certificate_wish its = wish;
        if (i == ANY_PURPOSE)
            its.purpose = NULL;
        if (i == FOR_SERVERS)
            its.purpose = GNUTLS_KP_TLS_WWW_SERVER;
        if (i == EXPIRED)
            its.begins_days = -9, its.ends_days = -2;
        if (i == FOREIGN)
            its.issuer = &other_ca;
        if (i == BY_HAND)
            its.issuer = NULL, its.ip = "192.0.2.7";
        certificate_make(&clients[i], &its);
    }
}

static void teardown(void) {
    for (int i = GOOD; i < CLIENTS; i++)
        certificate_free(&clients[i]);
    certificate_free(&ca);
    certificate_free(&other_ca);
    certificate_free(&server);
}

/* ---- A server as tls.h wants it --------------------------------------------------------- */

static gnutls_session_t session_of(struct MHD_Connection *connection) {
    return (gnutls_session_t)MHD_get_connection_info(connection,
                                                     MHD_CONNECTION_INFO_GNUTLS_SESSION)
        ->tls_session;
}

static void notify(void *config, struct MHD_Connection *connection, void **context,
                   enum MHD_ConnectionNotificationCode code) {
    (void)context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        tls_begin(session_of(connection), config);
}

static enum MHD_Result answer(void *config, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **context) {
    struct tally_error error = {{0}};
    (void)url, (void)method, (void)version, (void)data, (void)size, (void)context;
    const bool is_let_in = tls_check_client(session_of(connection), config, &error) == 0;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(error.text), error.text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result r = MHD_queue_response(connection, is_let_in ? 200 : 403, response);
    MHD_destroy_response(response);
    return r;
}

static struct MHD_Daemon *start(struct web_config *config, MHD_NotifyConnectionCallback callback) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_OptionItem options[] = {
        {config->client_ca_pem ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0,
         config->client_ca_pem},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, 0, NULL, NULL, answer, config,
        MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_HTTPS_MEM_CERT, server.cert_pem,
        MHD_OPTION_HTTPS_MEM_KEY, server.key_pem, MHD_OPTION_HTTPS_PRIORITIES, "NORMAL",
        MHD_OPTION_NOTIFY_CONNECTION, callback, config, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    ck_assert_ptr_nonnull(daemon);
    return daemon;
}

/* The status of a request; 0: the connection is refused. `ret_text` has room for 512 bytes. */
static int scrape(struct MHD_Daemon *daemon, const char *priorities, int client, char *ret_text) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 30};
    struct end end;
    int status = 0, r;
    address.sin_port = htons(MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    end_open(&end, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL, priorities,
             client == NONE ? NULL : &clients[client], NULL, fd);
    ret_text[0] = 0;
    do
        r = gnutls_handshake(end.session);
    while (r < 0 && !gnutls_error_is_fatal(r) && r != GNUTLS_E_AGAIN);
    if (r == 0 && gnutls_record_send(end.session, request, sizeof(request) - 1) > 0) {
        char text[2048];
        size_t len = 0;
        while (len < sizeof(text) - 1) {
            ssize_t n = gnutls_record_recv(end.session, text + len, sizeof(text) - 1 - len);
            if (n == GNUTLS_E_INTERRUPTED || (n < 0 && n != GNUTLS_E_AGAIN &&
                                              !gnutls_error_is_fatal((int)n)))
                continue;
            if (n <= 0)
                break;
            len += (size_t)n;
        }
        text[len] = 0;
        if (strncmp(text, "HTTP/1.1 ", 9) == 0) {
            status = (int)strtol(text + 9, NULL, 10);
            const char *body = strstr(text, "\r\n\r\n");
            snprintf(ret_text, 512, "%s", body ? body + 4 : "");
        }
    }
    end_close(&end);
    close(fd);
    return status;
}

static const char *const protocols[] = {"NORMAL:-VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.3"};

/* ---- Who is let in --------------------------------------------------------------------------- */

enum { YES = 200, NO = 403, AT_ONCE = 0 };

static const struct {
    enum client_auth auth;
    bool has_ca;
    const char *sans[3];
    int status[CLIENTS];
} cases[] = {
    {CLIENT_AUTH_NONE, false, {NULL}, {YES, YES, YES, YES, YES, YES, YES}},
    {CLIENT_AUTH_REQUEST, false, {NULL}, {YES, YES, YES, YES, YES, YES, YES}},
    {CLIENT_AUTH_REQUEST, true, {NULL}, {YES, YES, YES, YES, YES, YES, YES}},
    {CLIENT_AUTH_REQUIRE_ANY, false, {NULL}, {AT_ONCE, YES, YES, YES, YES, YES, YES}},
    {CLIENT_AUTH_REQUIRE_ANY, true, {NULL}, {AT_ONCE, YES, YES, YES, YES, YES, YES}},
    {CLIENT_AUTH_REQUIRE_ANY, false, {"192.0.2.7"}, {AT_ONCE, NO, NO, NO, NO, NO, YES}},
    {CLIENT_AUTH_VERIFY_IF_GIVEN, true, {NULL}, {YES, YES, YES, NO, NO, NO, NO}},
    {CLIENT_AUTH_REQUIRE_AND_VERIFY, true, {NULL}, {AT_ONCE, YES, YES, NO, NO, NO, NO}},
#define VERIFY(...)                                                                                \
    {CLIENT_AUTH_REQUIRE_AND_VERIFY, true, {__VA_ARGS__}, {AT_ONCE, YES, YES, NO, NO, NO, NO}}
    VERIFY("prometheus.example"),
    VERIFY("nobody", "2001:db8::1"),
    VERIFY("2001:0DB8:0::1"),
    VERIFY("a", "b", "ops@example.org"),
    VERIFY("spiffe://example.org/prometheus"),
#define REFUSE(...)                                                                                \
    {CLIENT_AUTH_REQUIRE_AND_VERIFY, true, {__VA_ARGS__}, {AT_ONCE, NO, NO, NO, NO, NO, NO}}
    REFUSE("prometheus.exampl"),
    REFUSE("prometheus.example."),
    REFUSE("Prometheus.example"),
    REFUSE("*.example", "client", "192.0.2.7"),
    REFUSE("example.org", "ops", "spiffe://example.org/"),
};

START_TEST(lets_in_whom_it_should) {
    struct web_config config = {.tls = true, .client_auth = cases[_i].auth};
    char *sans[3];
    char text[512];
    config.client_ca_pem = cases[_i].has_ca ? ca.cert_pem : NULL;
    config.allowed_sans = sans;
    for (int i = 0; i < COUNT(sans) && cases[_i].sans[i]; i++)
        sans[config.allowed_san_count++] = strdup(cases[_i].sans[i]);
    struct MHD_Daemon *daemon = start(&config, notify);
    for (int p = 0; p < COUNT(protocols); p++)
        for (int client = NONE; client < CLIENTS; client++) {
            const int status = scrape(daemon, protocols[p], client, text);
            ck_assert_msg(status == cases[_i].status[client], "client %d, %s: %d %s", client,
                          protocols[p], status, text);
            ck_assert((status == 403) == (text[0] != 0));
        }
    MHD_stop_daemon(daemon);
    for (size_t i = 0; i < config.allowed_san_count; i++)
        free(sans[i]);
}
END_TEST

static void notify_nothing(void *config, struct MHD_Connection *connection, void **context,
                           enum MHD_ConnectionNotificationCode code) {
    (void)config, (void)connection, (void)context, (void)code;
}

START_TEST(says_why) {
    struct web_config config = {.tls = true, .client_auth = CLIENT_AUTH_REQUIRE_AND_VERIFY};
    char san[] = "other.example", *sans[] = {san};
    char text[512];
    config.client_ca_pem = ca.cert_pem;
    config.allowed_sans = sans;
    config.allowed_san_count = 1;
    /* without tls_begin() libmicrohttpd asks, and lets everybody come as far as here */
    struct MHD_Daemon *daemon = start(&config, notify_nothing);
    for (int p = 0; p < COUNT(protocols); p++) {
        ck_assert_int_eq(scrape(daemon, protocols[p], NONE, text), 403);
        ck_assert_str_eq(text, "the client has no certificate");
        ck_assert_int_eq(scrape(daemon, protocols[p], FOREIGN, text), 403);
        ck_assert_str_eq(text, "the client's certificate is not valid for client_ca");
        ck_assert_int_eq(scrape(daemon, protocols[p], GOOD, text), 403);
        ck_assert_str_eq(text, "the client's certificate has none of client_allowed_sans");
    }
    MHD_stop_daemon(daemon);
    /* and without a CA it does not ask */
    config.client_ca_pem = NULL;
    config.client_auth = CLIENT_AUTH_REQUIRE_ANY;
    daemon = start(&config, notify_nothing);
    for (int p = 0; p < COUNT(protocols); p++) {
        ck_assert_int_eq(scrape(daemon, protocols[p], GOOD, text), 403);
        ck_assert_str_eq(text, "the client has no certificate");
    }
    MHD_stop_daemon(daemon);
}
END_TEST

/* A name with a NUL in it is not what stands before the NUL. */
START_TEST(compares_whole_names) {
    struct web_config config = {.tls = true, .client_auth = CLIENT_AUTH_REQUIRE_ANY};
    char san[] = "prometheus.example", *sans[] = {san};
    char text[512];
    /* GnuTLS would not write it */
    static const char der[] = "\x30\x22\x82\x20prometheus.example\0.evil.example";
    certificate_free(&clients[BY_HAND]);
    certificate_make(&clients[BY_HAND], &(struct certificate_wish){.name = "client"});
    gnutls_x509_crt_t crt = clients[BY_HAND].crt;
    config.allowed_sans = sans;
    config.allowed_san_count = 1;
    ck_assert_int_eq(gnutls_x509_crt_set_extension_by_oid(crt, GNUTLS_X509EXT_OID_SAN, der,
                                                          sizeof(der) - 1, 0),
                     0);
    ck_assert_int_eq(gnutls_x509_crt_sign2(crt, crt, clients[BY_HAND].key, GNUTLS_DIG_SHA256, 0), 0);
    struct MHD_Daemon *daemon = start(&config, notify);
    ck_assert_int_eq(scrape(daemon, protocols[1], BY_HAND, text), 403);
    ck_assert_int_eq(scrape(daemon, protocols[1], GOOD, text), 200);
    MHD_stop_daemon(daemon);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tls");
    TCase *tc = add_case(suite, "clients");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, lets_in_whom_it_should, 0, COUNT(cases));
    tcase_add_test(tc, says_why);
    tcase_add_test(tc, compares_whole_names);
    return run_suite(suite);
}
