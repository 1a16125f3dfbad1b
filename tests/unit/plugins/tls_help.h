/* SPDX-License-Identifier: MIT */
/* Certificates, and the two ends of a connection in one thread. */
#ifndef TLS_HELP_H
#define TLS_HELP_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>

struct certificate {
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    char *cert_pem, *key_pem;
};

struct certificate_wish {
    const char *name;
    const struct certificate *issuer; /* NULL: signs itself */
    gnutls_pk_algorithm_t algorithm;  /* 0: ECDSA */
    bool is_ca;
    const char *purpose;              /* an OID of GnuTLS; NULL: any */
    int begins_days, ends_days;       /* from now; both 0: yesterday and tomorrow */
    const char *dns, *ip, *email, *uri;
};

void certificate_make(struct certificate *ret, const struct certificate_wish *wish);
void certificate_free(struct certificate *certificate);

/* One end. `own` may be NULL for a client, `ca` for both. */
struct end {
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
};
void end_open(struct end *end, unsigned flags, const char *priorities, const struct certificate *own,
              const struct certificate *ca, int fd);
void end_close(struct end *end);

/* Until both are done, or one has failed. What they say: 0 or an error of GnuTLS. */
void shake_hands(struct end *server, struct end *client, int *ret_server, int *ret_client);

#endif
