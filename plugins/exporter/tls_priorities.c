/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tls_priorities.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *name;
    gnutls_protocol_t version;
} versions[] = {
    {"TLS10", GNUTLS_TLS1_0},
    {"TLS11", GNUTLS_TLS1_1},
    {"TLS12", GNUTLS_TLS1_2},
    {"TLS13", GNUTLS_TLS1_3},
};

static const struct {
    const char *name;
    gnutls_group_t group;
} curves[] = { /* in the order in which Go likes them */
    {"X25519", GNUTLS_GROUP_X25519},
    {"CurveP256", GNUTLS_GROUP_SECP256R1},
    {"CurveP384", GNUTLS_GROUP_SECP384R1},
    {"CurveP521", GNUTLS_GROUP_SECP521R1},
};
_Static_assert(COUNT(curves) == TLS_CURVES_MAX, "a wish has room for all");

static const struct tls_suite suites[] = {
    {"TLS_AES_128_GCM_SHA256", 0, GNUTLS_CIPHER_AES_128_GCM, GNUTLS_MAC_AEAD},
    {"TLS_AES_256_GCM_SHA384", 0, GNUTLS_CIPHER_AES_256_GCM, GNUTLS_MAC_AEAD},
    {"TLS_CHACHA20_POLY1305_SHA256", 0, GNUTLS_CIPHER_CHACHA20_POLY1305, GNUTLS_MAC_AEAD},
#define WITH(exchange, prefix)                                                                     \
    {prefix "_WITH_AES_128_GCM_SHA256", exchange, GNUTLS_CIPHER_AES_128_GCM, GNUTLS_MAC_AEAD},     \
    {prefix "_WITH_AES_256_GCM_SHA384", exchange, GNUTLS_CIPHER_AES_256_GCM, GNUTLS_MAC_AEAD},     \
    {prefix "_WITH_AES_128_CBC_SHA", exchange, GNUTLS_CIPHER_AES_128_CBC, GNUTLS_MAC_SHA1},        \
    {prefix "_WITH_AES_256_CBC_SHA", exchange, GNUTLS_CIPHER_AES_256_CBC, GNUTLS_MAC_SHA1}
#define WITH_CHACHA20(exchange, prefix)                                                            \
    {prefix "_WITH_CHACHA20_POLY1305_SHA256", exchange, GNUTLS_CIPHER_CHACHA20_POLY1305,           \
     GNUTLS_MAC_AEAD}
    WITH(GNUTLS_KX_ECDHE_ECDSA, "TLS_ECDHE_ECDSA"),
    WITH_CHACHA20(GNUTLS_KX_ECDHE_ECDSA, "TLS_ECDHE_ECDSA"),
    WITH(GNUTLS_KX_ECDHE_RSA, "TLS_ECDHE_RSA"),
    WITH_CHACHA20(GNUTLS_KX_ECDHE_RSA, "TLS_ECDHE_RSA"),
    /* not secure any more for Go since 1.22, whose programs refuse them now */
    WITH(GNUTLS_KX_RSA, "TLS_RSA"),
};
_Static_assert(COUNT(suites) <= TLS_SUITES_MAX, "a wish has room for all");

static const char *const insecure[] = {
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
};

int tls_version_find(const char *name, gnutls_protocol_t *ret) {
    for (size_t i = 0; i < COUNT(versions); i++)
        if (strcmp(versions[i].name, name) == 0) {
            *ret = versions[i].version;
            return 0;
        }
    return -ENOENT;
}

int tls_curve_find(const char *name, gnutls_group_t *ret) {
    for (size_t i = 0; i < COUNT(curves); i++)
        if (strcmp(curves[i].name, name) == 0) {
            *ret = curves[i].group;
            return 0;
        }
    return -ENOENT;
}

int tls_suite_find(const char *name, const struct tls_suite **ret) {
    for (size_t i = 0; i < COUNT(suites); i++)
        if (strcmp(suites[i].name, name) == 0) {
            *ret = &suites[i];
            return 0;
        }
    for (size_t i = 0; i < COUNT(insecure); i++)
        if (strcmp(insecure[i], name) == 0)
            return -EPERM;
    return -ENOENT;
}

/* ---- The string ------------------------------------------------------------------------- */

static bool goes_with_key(const struct tls_suite *suite, gnutls_pk_algorithm_t key) {
    const bool is_rsa = key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS;
    switch ((int)suite->exchange) {
    case 0:
        return true;
    case GNUTLS_KX_RSA: /* the key decrypts, for which one of RSA-PSS is not made */
        return key == GNUTLS_PK_RSA;
    case GNUTLS_KX_ECDHE_RSA:
        return is_rsa;
    default:
        return !is_rsa;
    }
}

/* What we serve to who has no wish: with forward secrecy, and ciphers that authenticate,
 * which the oldest protocols do not have. */
static bool is_ours(const struct tls_suite *suite, gnutls_protocol_t min) {
    return suite->exchange != GNUTLS_KX_RSA &&
           (suite->mac == GNUTLS_MAC_AEAD || min < GNUTLS_TLS1_2);
}

static bool goes_with_versions(const struct tls_suite *suite, const struct tls_wish *wish) {
    if (suite->exchange == 0)
        return wish->max >= GNUTLS_TLS1_3;
    return wish->min <= GNUTLS_TLS1_2 &&
           (suite->mac != GNUTLS_MAC_AEAD || wish->max >= GNUTLS_TLS1_2);
}

/* In the order of the wish, without what can't be agreed upon. */
static size_t select_suites(const struct tls_wish *wish,
                            const struct tls_suite *ret[static TLS_SUITES_MAX]) {
    const size_t all = wish->suite_count ? wish->suite_count : COUNT(suites);
    size_t count = 0;
    for (size_t i = 0; i < all; i++) {
        const struct tls_suite *suite = wish->suite_count ? wish->suites[i] : &suites[i];
        if ((wish->suite_count || is_ours(suite, wish->min)) && goes_with_key(suite, wish->key) &&
            goes_with_versions(suite, wish))
            ret[count++] = suite;
    }
    return count;
}

/* ":+NAME" once; the string's room is bounded by the tables. */
static void add(char *text, size_t size, const char *kind, const char *name) {
    char word[64];
    const size_t len = strlen(text);
    const int word_len = snprintf(word, sizeof(word), ":+%s%s", kind, name);
    for (const char *at = text; (at = strstr(at, word)); at++)
        if (at[word_len] == ':' || !at[word_len])
            return;
    snprintf(text + len, size - len, "%s", word);
}

/* Can it be agreed upon? */
static bool has_suite(gnutls_priority_t cache, const struct tls_suite *suite) {
    unsigned index;
    for (unsigned i = 0;; i++) {
        int r = gnutls_priority_get_cipher_suite_index(cache, i, &index);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return false;
        gnutls_kx_algorithm_t exchange;
        gnutls_cipher_algorithm_t cipher;
        gnutls_mac_algorithm_t mac;
        gnutls_protocol_t version;
        if (r == 0 && gnutls_cipher_suite_info(index, NULL, &exchange, &cipher, &mac, &version) &&
            cipher == suite->cipher && mac == suite->mac &&
            (version == GNUTLS_TLS1_3 ? suite->exchange == 0 : exchange == suite->exchange))
            return true;
    }
}

/* The names of what can be agreed upon and is not in the list. -ENOMEM. */
static int list_beyond(gnutls_priority_t cache, const struct tls_suite *const *list, size_t count,
                       char **ret) {
    char *text = NULL;
    for (size_t i = 0; i < COUNT(suites); i++) {
        char *longer;
        /* the list is about older protocols only, as with Go */
        bool is_expected = suites[i].exchange == 0 || !has_suite(cache, &suites[i]);
        for (size_t j = 0; j < count; j++)
            is_expected = is_expected || &suites[i] == list[j];
        if (is_expected)
            continue;
        if (asprintf(&longer, "%s%s%s", text ? text : "", text ? ", " : "", suites[i].name) < 0) {
            free(text);
            return -ENOMEM;
        }
        free(text);
        text = longer;
    }
    *ret = text;
    return 0;
}

static void write_text(const struct tls_wish *wish, const struct tls_suite *const *chosen,
                       size_t count, char *text, size_t size) {
    bool has_older = false, has_aead = false;
    snprintf(text, size, "NORMAL:-VERS-ALL:-KX-ALL:-CIPHER-ALL:-MAC-ALL:-GROUP-ALL");
    for (size_t i = 0; i < count; i++) {
        if (chosen[i]->exchange)
            add(text, size, "", gnutls_kx_get_name(chosen[i]->exchange));
        add(text, size, "", gnutls_cipher_get_name(chosen[i]->cipher));
        add(text, size, "", gnutls_mac_get_name(chosen[i]->mac));
        has_older = has_older || chosen[i]->exchange != 0;
        has_aead = has_aead || chosen[i]->mac == GNUTLS_MAC_AEAD;
    }
    for (size_t i = COUNT(versions); i-- > 0;)
        if (versions[i].version >= wish->min && versions[i].version <= wish->max &&
            (has_older || versions[i].version == GNUTLS_TLS1_3))
            add(text, size, "VERS-", gnutls_protocol_get_name(versions[i].version));
    /* TLS 1.3 has no other ciphers, and Go serves it whatever the list says */
    if (!has_aead && wish->max >= GNUTLS_TLS1_3) {
        add(text, size, "", gnutls_cipher_get_name(GNUTLS_CIPHER_AES_128_GCM));
        add(text, size, "", gnutls_mac_get_name(GNUTLS_MAC_AEAD));
    }
    for (size_t i = 0; i < (wish->curve_count ? wish->curve_count : COUNT(curves)); i++)
        add(text, size, "GROUP-",
            gnutls_group_get_name(wish->curve_count ? wish->curves[i] : curves[i].group));
    if (wish->prefers_own_order)
        strncat(text, ":%SERVER_PRECEDENCE", size - strlen(text) - 1);
}

int tls_priorities(const struct tls_wish *wish, char **ret, char **ret_beyond,
                   struct tally_error *error) {
    const struct tls_suite *chosen[TLS_SUITES_MAX];
    const size_t count = select_suites(wish, chosen);
    char text[1024], *beyond = NULL, *copy = NULL;
    gnutls_priority_t cache;
    if (count == 0 && wish->max < GNUTLS_TLS1_3) {
        snprintf(error->text, sizeof(error->text),
                 "cipher_suites has none that goes with a certificate for %s and these protocol "
                 "versions, so that nobody could connect",
                 gnutls_pk_algorithm_get_name(wish->key));
        return -EINVAL;
    }
    write_text(wish, chosen, count, text, sizeof(text));
    int r = gnutls_priority_init(&cache, text, NULL);
    if (r == GNUTLS_E_MEMORY_ERROR)
        return -ENOMEM;
    if (r < 0) {
        snprintf(error->text, sizeof(error->text),
                 "GnuTLS refuses what tls_server_config asks for (%s)", gnutls_strerror(r));
        return -EINVAL;
    }
    r = 0;
    for (size_t i = 0; r == 0 && wish->suite_count && i < count; i++)
        if (!has_suite(cache, chosen[i])) { /* the administrator's configuration of GnuTLS */
            snprintf(error->text, sizeof(error->text),
                     "cipher_suites has %s, which GnuTLS does not offer on this host",
                     chosen[i]->name);
            r = -EINVAL;
        }
    if (r == 0 && wish->suite_count)
        r = list_beyond(cache, chosen, count, &beyond);
    gnutls_priority_deinit(cache);
    if (r == 0) {
        copy = strdup(text);
        r = copy ? 0 : -ENOMEM;
    }
    if (r < 0) {
        free(beyond);
        return r;
    }
    *ret = copy;
    *ret_beyond = beyond;
    return 0;
}
