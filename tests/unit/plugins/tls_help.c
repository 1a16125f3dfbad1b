/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tls_help.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GOES_WELL(call)                                                                            \
    do {                                                                                           \
        int goes_ = (call);                                                                        \
        ck_assert_msg(goes_ >= 0, "%s: %s", #call, gnutls_strerror(goes_));                        \
    } while (0)

static void add_name(gnutls_x509_crt_t crt, gnutls_x509_subject_alt_name_t type, const char *name) {
    unsigned char address[16];
    if (!name)
        return;
    if (type != GNUTLS_SAN_IPADDRESS) {
        GOES_WELL(gnutls_x509_crt_set_subject_alt_name(crt, type, name, (unsigned)strlen(name),
                                                       GNUTLS_FSAN_APPEND));
        return;
    }
    const int family = strchr(name, ':') ? AF_INET6 : AF_INET;
    ck_assert_int_eq(inet_pton(family, name, address), 1);
    GOES_WELL(gnutls_x509_crt_set_subject_alt_name(crt, type, address, family == AF_INET ? 4 : 16,
                                                   GNUTLS_FSAN_APPEND));
}

static char *copy_text(gnutls_datum_t *from) {
    char *text = strndup((const char *)from->data, from->size);
    ck_assert_ptr_nonnull(text);
    gnutls_free(from->data);
    return text;
}

void certificate_make(struct certificate *ret, const struct certificate_wish *wish) {
    static unsigned char serial = 0;
    const gnutls_pk_algorithm_t algorithm = wish->algorithm ? wish->algorithm : GNUTLS_PK_ECDSA;
    const bool has_days = wish->begins_days || wish->ends_days;
    gnutls_datum_t pem;
    GOES_WELL(gnutls_x509_privkey_init(&ret->key));
    GOES_WELL(gnutls_x509_privkey_generate(
        ret->key, algorithm,
        algorithm == GNUTLS_PK_RSA     ? 2048
        : algorithm == GNUTLS_PK_ECDSA ? GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)
                                       : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519),
        0));
    GOES_WELL(gnutls_x509_crt_init(&ret->crt));
    GOES_WELL(gnutls_x509_crt_set_version(ret->crt, 3));
    serial++;
    GOES_WELL(gnutls_x509_crt_set_serial(ret->crt, &serial, 1));
    GOES_WELL(gnutls_x509_crt_set_dn_by_oid(ret->crt, GNUTLS_OID_X520_COMMON_NAME, 0, wish->name,
                                            (unsigned)strlen(wish->name)));
    const time_t now = time(NULL);
    GOES_WELL(gnutls_x509_crt_set_activation_time(
        ret->crt, now + 86400 * (has_days ? wish->begins_days : -1)));
    GOES_WELL(gnutls_x509_crt_set_expiration_time(ret->crt,
                                                  now + 86400 * (has_days ? wish->ends_days : 1)));
    GOES_WELL(gnutls_x509_crt_set_ca_status(ret->crt, wish->is_ca));
    if (wish->purpose)
        GOES_WELL(gnutls_x509_crt_set_key_purpose_oid(ret->crt, wish->purpose, 0));
    add_name(ret->crt, GNUTLS_SAN_DNSNAME, wish->dns);
    add_name(ret->crt, GNUTLS_SAN_IPADDRESS, wish->ip);
    add_name(ret->crt, GNUTLS_SAN_RFC822NAME, wish->email);
    add_name(ret->crt, GNUTLS_SAN_URI, wish->uri);
    GOES_WELL(gnutls_x509_crt_set_key(ret->crt, ret->key));
    /* EdDSA has a digest of its own */
    const gnutls_x509_privkey_t signer = wish->issuer ? wish->issuer->key : ret->key;
    GOES_WELL(gnutls_x509_crt_sign2(
        ret->crt, wish->issuer ? wish->issuer->crt : ret->crt, signer,
        gnutls_x509_privkey_get_pk_algorithm(signer) == GNUTLS_PK_EDDSA_ED25519 ? GNUTLS_DIG_SHA512
                                                                               : GNUTLS_DIG_SHA256,
        0));
    GOES_WELL(gnutls_x509_crt_export2(ret->crt, GNUTLS_X509_FMT_PEM, &pem));
    ret->cert_pem = copy_text(&pem);
    GOES_WELL(gnutls_x509_privkey_export2_pkcs8(ret->key, GNUTLS_X509_FMT_PEM, NULL,
                                                GNUTLS_PKCS_PLAIN, &pem));
    ret->key_pem = copy_text(&pem);
}

void certificate_free(struct certificate *certificate) {
    gnutls_x509_crt_deinit(certificate->crt);
    gnutls_x509_privkey_deinit(certificate->key);
    free(certificate->cert_pem);
    free(certificate->key_pem);
}

void end_open(struct end *end, unsigned flags, const char *priorities, const struct certificate *own,
              const struct certificate *ca, int fd) {
    GOES_WELL(gnutls_certificate_allocate_credentials(&end->credentials));
    if (own) {
        gnutls_x509_crt_t chain[] = {own->crt};
        GOES_WELL(gnutls_certificate_set_x509_key(end->credentials, chain, 1, own->key));
    }
    if (ca) {
        gnutls_x509_crt_t list[] = {ca->crt};
        GOES_WELL(gnutls_certificate_set_x509_trust(end->credentials, list, 1));
    }
    GOES_WELL(gnutls_init(&end->session, flags | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT));
    GOES_WELL(gnutls_priority_set_direct(end->session, priorities, NULL));
    GOES_WELL(gnutls_credentials_set(end->session, GNUTLS_CRD_CERTIFICATE, end->credentials));
    gnutls_transport_set_int(end->session, fd);
}

void end_close(struct end *end) {
    gnutls_deinit(end->session);
    gnutls_certificate_free_credentials(end->credentials);
}

/* True while there is more to come. */
static bool shake(struct end *end, int *result) {
    if (*result != GNUTLS_E_AGAIN)
        return false;
    do
        *result = gnutls_handshake(end->session);
    while (*result < 0 && *result != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(*result));
    if (*result < 0 && *result != GNUTLS_E_AGAIN)
        gnutls_alert_send_appropriate(end->session, *result);
    return *result == GNUTLS_E_AGAIN;
}

void shake_hands(struct end *server, struct end *client, int *ret_server, int *ret_client) {
    *ret_server = *ret_client = GNUTLS_E_AGAIN;
    bool server_goes_on = true, client_goes_on = true;
    while (server_goes_on || client_goes_on) {
        client_goes_on = shake(client, ret_client);
        server_goes_on = shake(server, ret_server);
        /* the other one has said why it gave up, or never will */
        if (server_goes_on != client_goes_on && (*ret_server < 0) && (*ret_client < 0)) {
            shake(client, ret_client);
            shake(server, ret_server);
            break;
        }
    }
}
