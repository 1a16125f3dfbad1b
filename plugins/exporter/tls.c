/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

/* the length of the longest text that can be asked for, and more than a name needs */
enum { SAN_BYTES = 1024 };

void tls_begin(gnutls_session_t session, const struct web_config *config) {
    gnutls_certificate_request_t request = GNUTLS_CERT_IGNORE;
    switch (config->client_auth) {
    case CLIENT_AUTH_NONE:
        break;
    case CLIENT_AUTH_REQUEST:
    case CLIENT_AUTH_VERIFY_IF_GIVEN:
        request = GNUTLS_CERT_REQUEST;
        break;
    case CLIENT_AUTH_REQUIRE_ANY:
    case CLIENT_AUTH_REQUIRE_AND_VERIFY:
        request = GNUTLS_CERT_REQUIRE;
        break;
    }
    gnutls_certificate_server_set_request(session, request);
}

static int refuse(struct tally_error *error, const char *why) {
    if (error)
        snprintf(error->text, sizeof(error->text), "%s", why);
    return -EACCES;
}

static bool verify(gnutls_session_t session) {
    /* a server's certificate from the same CA is nobody's that may scrape */
    gnutls_typed_vdata_st client = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                    .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned status;
    return gnutls_certificate_verify_peers(session, &client, 1, &status) == 0 && status == 0;
}

/* An address may be written in more than one way. */
static bool is_address(const char *text, const unsigned char *san, size_t len) {
    unsigned char address[sizeof(struct in6_addr)];
    return (len == 4 && inet_pton(AF_INET, text, address) == 1 && memcmp(san, address, 4) == 0) ||
           (len == 16 && inet_pton(AF_INET6, text, address) == 1 && memcmp(san, address, 16) == 0);
}

static bool is_allowed(const struct web_config *config, unsigned type, const unsigned char *san,
                       size_t len) {
    for (size_t i = 0; i < config->allowed_san_count; i++) {
        const char *allowed = config->allowed_sans[i];
        switch (type) {
        case GNUTLS_SAN_DNSNAME:
        case GNUTLS_SAN_RFC822NAME:
        case GNUTLS_SAN_URI:
            if (strlen(allowed) == len && memcmp(allowed, san, len) == 0)
                return true;
            break;
        case GNUTLS_SAN_IPADDRESS:
            if (is_address(allowed, san, len))
                return true;
            break;
        default: /* of GnuTLS: names of other kinds */
            break;
        }
    }
    return false;
}

static bool has_allowed_san(const struct web_config *config, const gnutls_datum_t *der) {
    gnutls_x509_crt_t certificate;
    if (gnutls_x509_crt_init(&certificate) < 0)
        return false;
    bool found = false;
    if (gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) == 0)
        for (unsigned i = 0; !found; i++) {
            unsigned char san[SAN_BYTES];
            size_t len = sizeof(san);
            unsigned type = 0;
            int r = gnutls_x509_crt_get_subject_alt_name2(certificate, i, san, &len, &type, NULL);
            if (r >= 0)
                found = is_allowed(config, (unsigned)r, san, len);
            else if (r != GNUTLS_E_SHORT_MEMORY_BUFFER)
                break;
        }
    gnutls_x509_crt_deinit(certificate);
    return found;
}

int tls_check_client(gnutls_session_t session, const struct web_config *config,
                     struct tally_error *error) {
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    const bool has_one = chain && count > 0;
    switch (config->client_auth) {
    case CLIENT_AUTH_NONE:
    case CLIENT_AUTH_REQUEST:
        return 0;
    case CLIENT_AUTH_VERIFY_IF_GIVEN:
        if (has_one && !verify(session))
            return refuse(error, "the client's certificate is not valid for client_ca");
        return 0;
    case CLIENT_AUTH_REQUIRE_ANY:
    case CLIENT_AUTH_REQUIRE_AND_VERIFY:
        break;
    }
    if (!has_one)
        return refuse(error, "the client has no certificate");
    if (config->client_auth == CLIENT_AUTH_REQUIRE_AND_VERIFY && !verify(session))
        return refuse(error, "the client's certificate is not valid for client_ca");
    if (config->allowed_san_count > 0 && !has_allowed_san(config, &chain[0]))
        return refuse(error, "the client's certificate has none of client_allowed_sans");
    return 0;
}
