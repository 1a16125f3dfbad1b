/* SPDX-License-Identifier: MIT */
/* Protocol versions, ciphers and curves: from the names that Go has for them to a priority
 * string of GnuTLS. */
#ifndef TLS_PRIORITIES_H
#define TLS_PRIORITIES_H

#include "proctally.h"

#include <gnutls/gnutls.h>

enum { TLS_SUITES_MAX = 32, TLS_CURVES_MAX = 4 };

/* One cipher suite by Go's name. */
struct tls_suite {
    const char *name;
    gnutls_kx_algorithm_t exchange; /* 0: one of TLS 1.3, which goes with all */
    gnutls_cipher_algorithm_t cipher;
    gnutls_mac_algorithm_t mac;
};

struct tls_wish {
    gnutls_protocol_t min, max;
    const struct tls_suite *suites[TLS_SUITES_MAX]; /* the first is liked best; none: ours */
    size_t suite_count;
    gnutls_group_t curves[TLS_CURVES_MAX]; /* none: ours */
    size_t curve_count;
    bool prefers_own_order;
    gnutls_pk_algorithm_t key; /* the certificate's: half of the suites go with it */
};

/* "TLS12"; -ENOENT. */
int tls_version_find(const char *name, gnutls_protocol_t *ret);
/* "CurveP256"; -ENOENT. */
int tls_curve_find(const char *name, gnutls_group_t *ret);
/* "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"; -ENOENT, -EPERM: Go has it, and calls it insecure. */
int tls_suite_find(const char *name, const struct tls_suite **ret);

/* `ret`, to be freed, is what MHD_OPTION_HTTPS_PRIORITIES takes. GnuTLS combines key
 * exchanges and ciphers on its own: the suites that nobody asked for and can be chosen
 * nevertheless are in `ret_beyond`, separated by commas (to be freed, NULL: there are none).
 * -EINVAL with a sentence: nothing is left to agree upon, or this GnuTLS lacks one; -ENOMEM. */
int tls_priorities(const struct tls_wish *wish, char **ret, char **ret_beyond,
                   struct tally_error *error);

#endif
