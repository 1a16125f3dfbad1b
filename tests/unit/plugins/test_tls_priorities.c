/* SPDX-License-Identifier: MIT */
/* What a priority string means is what two ends of GnuTLS agree upon. */
#define _GNU_SOURCE
#include "tls_priorities.h"

#include "suite.h"
#include "tls_help.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A client that takes all there is */
#define ALL "NORMAL:+VERS-ALL:+ECDHE-RSA:+RSA:+SHA1:+AES-128-CBC:+AES-256-CBC:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1:" \
            "%VERIFY_ALLOW_SIGN_WITH_SHA1"

enum { RSA, ECDSA, EDDSA, KINDS };
static struct certificate certificates[KINDS];

static void setup(void) {
    static const gnutls_pk_algorithm_t algorithms[KINDS] = {GNUTLS_PK_RSA, GNUTLS_PK_ECDSA,
                                                            GNUTLS_PK_EDDSA_ED25519};
    for (int i = 0; i < KINDS; i++)
        certificate_make(&certificates[i], &(struct certificate_wish){
                                               .name = "server", .algorithm = algorithms[i]});
}

static void teardown(void) {
    for (int i = 0; i < KINDS; i++)
        certificate_free(&certificates[i]);
}

static void add_suite(struct tls_wish *wish, const char *name) {
    ck_assert_int_eq(tls_suite_find(name, &wish->suites[wish->suite_count++]), 0);
}

static struct tls_wish wish_for(int kind) {
    return (struct tls_wish){
        .min = GNUTLS_TLS1_2,
        .max = GNUTLS_TLS1_3,
        .key = (gnutls_pk_algorithm_t)gnutls_x509_privkey_get_pk_algorithm(certificates[kind].key),
        .prefers_own_order = true};
}

struct agreed {
    int result; /* of the server: 0 or an error of GnuTLS */
    gnutls_protocol_t version;
    gnutls_kx_algorithm_t exchange;
    gnutls_cipher_algorithm_t cipher;
    gnutls_mac_algorithm_t mac;
    gnutls_group_t group;
};

static struct agreed agree_by(const char *server_has, const char *client_has, int kind) {
    struct end server, client;
    struct agreed agreed;
    int fds[2], result;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    end_open(&server, GNUTLS_SERVER, server_has, &certificates[kind], NULL, fds[0]);
    end_open(&client, GNUTLS_CLIENT, client_has, NULL, NULL, fds[1]);
    shake_hands(&server, &client, &agreed.result, &result);
    agreed.version = gnutls_protocol_get_version(server.session);
    agreed.exchange = gnutls_kx_get(server.session);
    agreed.cipher = gnutls_cipher_get(server.session);
    agreed.mac = gnutls_mac_get(server.session);
    agreed.group = gnutls_group_get(server.session);
    end_close(&server);
    end_close(&client);
    close(fds[0]);
    close(fds[1]);
    return agreed;
}

/* The server's string is made from the wish; `ret_beyond` is to be freed. */
static struct agreed agree(const struct tls_wish *wish, const char *client_has, int kind,
                           char **ret_beyond) {
    struct tally_error error;
    char *text, *beyond;
    int r = tls_priorities(wish, &text, &beyond, &error);
    ck_assert_msg(r == 0, "%d: %s", r, error.text);
    struct agreed agreed = agree_by(text, client_has, kind);
    free(text);
    if (ret_beyond)
        *ret_beyond = beyond;
    else
        free(beyond);
    return agreed;
}

/* ---- Suites ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int kind;
    gnutls_kx_algorithm_t exchange;
    gnutls_cipher_algorithm_t cipher;
    gnutls_mac_algorithm_t mac;
} suites[] = {
#define FOR(name, kind, exchange)                                                                  \
    {name "_WITH_AES_128_GCM_SHA256", kind, exchange, GNUTLS_CIPHER_AES_128_GCM, GNUTLS_MAC_AEAD}, \
    {name "_WITH_AES_256_GCM_SHA384", kind, exchange, GNUTLS_CIPHER_AES_256_GCM, GNUTLS_MAC_AEAD}, \
    {name "_WITH_AES_128_CBC_SHA", kind, exchange, GNUTLS_CIPHER_AES_128_CBC, GNUTLS_MAC_SHA1},    \
    {name "_WITH_AES_256_CBC_SHA", kind, exchange, GNUTLS_CIPHER_AES_256_CBC, GNUTLS_MAC_SHA1}
#define CHACHA20(name, kind, exchange)                                                             \
    {name, kind, exchange, GNUTLS_CIPHER_CHACHA20_POLY1305, GNUTLS_MAC_AEAD}
    FOR("TLS_ECDHE_ECDSA", ECDSA, GNUTLS_KX_ECDHE_ECDSA),
    FOR("TLS_ECDHE_ECDSA", EDDSA, GNUTLS_KX_ECDHE_ECDSA),
    FOR("TLS_ECDHE_RSA", RSA, GNUTLS_KX_ECDHE_RSA),
    FOR("TLS_RSA", RSA, GNUTLS_KX_RSA),
    CHACHA20("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", ECDSA, GNUTLS_KX_ECDHE_ECDSA),
    CHACHA20("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", RSA, GNUTLS_KX_ECDHE_RSA),
};

START_TEST(agrees_on_the_only_suite) {
    struct tls_wish wish = wish_for(suites[_i].kind);
    char *beyond;
    wish.max = GNUTLS_TLS1_2;
    add_suite(&wish, suites[_i].name);
    const struct agreed agreed = agree(&wish, ALL, suites[_i].kind, &beyond);
    ck_assert_msg(agreed.result == 0, "%s: %s", suites[_i].name, gnutls_strerror(agreed.result));
    ck_assert_int_eq(agreed.version, GNUTLS_TLS1_2);
    ck_assert_int_eq(agreed.exchange, suites[_i].exchange);
    ck_assert_int_eq(agreed.cipher, suites[_i].cipher);
    ck_assert_int_eq(agreed.mac, suites[_i].mac);
    ck_assert_ptr_null(beyond);
}
END_TEST

static const struct {
    const char *name;
    gnutls_cipher_algorithm_t cipher;
} suites13[] = {
    {"TLS_AES_128_GCM_SHA256", GNUTLS_CIPHER_AES_128_GCM},
    {"TLS_AES_256_GCM_SHA384", GNUTLS_CIPHER_AES_256_GCM},
    {"TLS_CHACHA20_POLY1305_SHA256", GNUTLS_CIPHER_CHACHA20_POLY1305},
};

START_TEST(agrees_on_the_only_suite_of_tls13) {
    for (int kind = 0; kind < KINDS; kind++) {
        struct tls_wish wish = wish_for(kind);
        add_suite(&wish, suites13[_i].name);
        struct agreed agreed = agree(&wish, ALL, kind, NULL);
        ck_assert_int_eq(agreed.result, 0);
        ck_assert_int_eq(agreed.version, GNUTLS_TLS1_3);
        ck_assert_int_eq(agreed.cipher, suites13[_i].cipher);
        /* and older protocols have none */
        ck_assert_int_lt(agree(&wish, ALL ":-VERS-TLS1.3", kind, NULL).result, 0);
    }
}
END_TEST

START_TEST(says_what_else_can_be_used) {
    struct tls_wish wish = wish_for(RSA);
    char *beyond;
    add_suite(&wish, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    add_suite(&wish, "TLS_RSA_WITH_AES_256_CBC_SHA");
    agree(&wish, ALL, RSA, &beyond);
    ck_assert_str_eq(beyond,
                     "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, TLS_RSA_WITH_AES_128_GCM_SHA256");
    free(beyond);
    /* with the other certificate the second can't be agreed upon */
    wish = wish_for(ECDSA);
    add_suite(&wish, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    add_suite(&wish, "TLS_RSA_WITH_AES_256_CBC_SHA");
    ck_assert_int_eq(agree(&wish, ALL, ECDSA, &beyond).result, 0);
    ck_assert_ptr_null(beyond);
}
END_TEST

START_TEST(has_tls13_whatever_the_list_says) {
    struct tls_wish wish = wish_for(ECDSA);
    char *beyond;
    add_suite(&wish, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA");
    struct agreed agreed = agree(&wish, ALL, ECDSA, &beyond);
    ck_assert_int_eq(agreed.result, 0);
    ck_assert_int_eq(agreed.version, GNUTLS_TLS1_3);
    ck_assert_str_eq(beyond, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    free(beyond);
    agreed = agree(&wish, ALL ":-VERS-TLS1.3:-AES-128-GCM", ECDSA, NULL);
    ck_assert_int_eq(agreed.result, 0);
    ck_assert_int_eq(agreed.cipher, GNUTLS_CIPHER_AES_256_CBC);
}
END_TEST

START_TEST(refuses_when_nothing_is_left) {
    struct tls_wish wish = wish_for(ECDSA);
    struct tally_error error;
    char *text, *beyond;
    wish.max = GNUTLS_TLS1_2;
    add_suite(&wish, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    ck_assert_int_eq(tls_priorities(&wish, &text, &beyond, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.text, "certificate for EC/ECDSA"));
    wish.max = GNUTLS_TLS1_3; /* else its own suites do */
    ck_assert_int_eq(agree(&wish, ALL, ECDSA, NULL).version, GNUTLS_TLS1_3);
}
END_TEST

/* As in Go: what a version has no use for is passed over. */
START_TEST(leaves_out_what_no_version_has) {
    struct tls_wish wish = wish_for(ECDSA);
    struct tally_error error;
    char *text, *beyond;
    add_suite(&wish, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    add_suite(&wish, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA");
    wish.min = GNUTLS_TLS1_3;
    ck_assert_int_eq(agree(&wish, ALL, ECDSA, &beyond).version, GNUTLS_TLS1_3);
    ck_assert_ptr_null(beyond);
    wish.min = GNUTLS_TLS1_0;
    wish.max = GNUTLS_TLS1_1;
    const struct agreed agreed = agree(&wish, ALL, ECDSA, NULL);
    ck_assert_int_eq(agreed.version, GNUTLS_TLS1_1);
    ck_assert_int_eq(agreed.cipher, GNUTLS_CIPHER_AES_128_CBC);
    wish.suite_count = 1;
    ck_assert_int_eq(tls_priorities(&wish, &text, &beyond, &error), -EINVAL);
}
END_TEST

START_TEST(goes_by_one_order_or_the_other) {
    struct tls_wish wish = wish_for(ECDSA);
    const char *client = "NORMAL:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:-VERS-TLS1.3";
    add_suite(&wish, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    add_suite(&wish, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    ck_assert_int_eq(agree(&wish, client, ECDSA, NULL).cipher, GNUTLS_CIPHER_AES_256_GCM);
    wish.prefers_own_order = false;
    ck_assert_int_eq(agree(&wish, client, ECDSA, NULL).cipher, GNUTLS_CIPHER_AES_128_GCM);
}
END_TEST

START_TEST(knows_the_names) {
    const struct tls_suite *suite;
    gnutls_protocol_t version;
    gnutls_group_t curve;
    ck_assert_int_eq(tls_suite_find("TLS_RSA_WITH_RC4_128_SHA", &suite), -EPERM);
    ck_assert_int_eq(tls_suite_find("TLS_RSA_WITH_3DES_EDE_CBC_SHA", &suite), -EPERM);
    ck_assert_int_eq(tls_suite_find("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", &suite), -ENOENT);
    ck_assert_int_eq(tls_suite_find("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", &suite), -ENOENT);
    ck_assert_int_eq(tls_suite_find("", &suite), -ENOENT);
    ck_assert_int_eq(tls_version_find("SSL30", &version), -ENOENT);
    ck_assert_int_eq(tls_curve_find("CurveP224", &curve), -ENOENT);
}
END_TEST

/* ---- Ours -------------------------------------------------------------------------------- */

START_TEST(has_safe_suites_by_default) {
    static const char *const unsafe[] = {
        "NORMAL:-KX-ALL:+RSA:-VERS-TLS1.3",
        "NORMAL:-KX-ALL:+DHE-RSA:-VERS-TLS1.3",
        "NORMAL:-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC:-VERS-TLS1.3",
        "NORMAL:-CIPHER-ALL:+3DES-CBC:-VERS-TLS1.3",
        "NORMAL:-VERS-ALL:+VERS-TLS1.1:+SHA1",
        "NORMAL:-VERS-ALL:+VERS-TLS1.0:+SHA1",
    };
    for (int kind = 0; kind < KINDS; kind++) {
        struct tls_wish wish = wish_for(kind);
        char *beyond;
        ck_assert_int_eq(agree(&wish, ALL, kind, &beyond).version, GNUTLS_TLS1_3);
        ck_assert_ptr_null(beyond);
        const struct agreed agreed = agree(&wish, ALL ":-VERS-TLS1.3", kind, NULL);
        ck_assert_int_eq(agreed.result, 0);
        ck_assert_int_eq(agreed.mac, GNUTLS_MAC_AEAD);
        for (int i = 0; i < COUNT(unsafe); i++)
            ck_assert_int_lt(agree(&wish, unsafe[i], kind, NULL).result, 0);
    }
}
END_TEST

/* ---- Versions and curves -------------------------------------------------------------------- */

START_TEST(keeps_to_the_versions) {
    static const struct {
        const char *name, *client_has;
    } versions[] = {
        {"TLS10", ALL ":-VERS-ALL:+VERS-TLS1.0"},
        {"TLS11", ALL ":-VERS-ALL:+VERS-TLS1.1"},
        {"TLS12", ALL ":-VERS-ALL:+VERS-TLS1.2"},
        {"TLS13", ALL ":-VERS-ALL:+VERS-TLS1.3"},
    };
    const int min = _i / COUNT(versions), max = _i % COUNT(versions);
    if (min > max)
        return;
    for (int kind = 0; kind < KINDS; kind++) {
        struct tls_wish wish = wish_for(kind);
        ck_assert_int_eq(tls_version_find(versions[min].name, &wish.min), 0);
        ck_assert_int_eq(tls_version_find(versions[max].name, &wish.max), 0);
        for (int v = 0; v < COUNT(versions); v++) {
            const int result = agree(&wish, versions[v].client_has, kind, NULL).result;
            /* EdDSA came with TLS 1.2 */
            const bool can = v >= min && v <= max && (v >= 2 || kind != EDDSA);
            ck_assert_msg((result == 0) == can, "%s to %s, kind %d, client of %s: %s",
                          versions[min].name, versions[max].name, kind, versions[v].name,
                          gnutls_strerror(result));
        }
    }
}
END_TEST

START_TEST(keeps_to_the_curves) {
    static const struct {
        const char *name;
        gnutls_group_t group;
    } curves[] = {
        {"CurveP256", GNUTLS_GROUP_SECP256R1},
        {"CurveP384", GNUTLS_GROUP_SECP384R1},
        {"CurveP521", GNUTLS_GROUP_SECP521R1},
        {"X25519", GNUTLS_GROUP_X25519},
    };
    for (int kind = 0; kind < KINDS; kind++) {
        struct tls_wish wish = wish_for(kind);
        wish.curve_count = 1;
        ck_assert_int_eq(tls_curve_find(curves[_i].name, &wish.curves[0]), 0);
        struct agreed agreed = agree(&wish, ALL, kind, NULL);
        ck_assert_int_eq(agreed.result, 0);
        ck_assert_int_eq(agreed.group, curves[_i].group);
        agreed = agree(&wish, ALL ":-VERS-TLS1.3", kind, NULL);
        ck_assert_msg(agreed.result == 0, "%s, kind %d: %s", curves[_i].name, kind,
                      gnutls_strerror(agreed.result));
        ck_assert_int_eq(agreed.group, curves[_i].group);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tls_priorities");
    TCase *tc = add_case(suite, "suites");
    tcase_add_unchecked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, agrees_on_the_only_suite, 0, COUNT(suites));
    tcase_add_loop_test(tc, agrees_on_the_only_suite_of_tls13, 0, COUNT(suites13));
    tcase_add_test(tc, says_what_else_can_be_used);
    tcase_add_test(tc, has_tls13_whatever_the_list_says);
    tcase_add_test(tc, refuses_when_nothing_is_left);
    tcase_add_test(tc, leaves_out_what_no_version_has);
    tcase_add_test(tc, goes_by_one_order_or_the_other);
    tcase_add_test(tc, knows_the_names);
    tcase_add_test(tc, has_safe_suites_by_default);
    tcase_add_loop_test(tc, keeps_to_the_versions, 0, 16);
    tcase_add_loop_test(tc, keeps_to_the_curves, 0, 4);
    return run_suite(suite);
}
