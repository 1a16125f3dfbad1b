/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "web_config.h"

#include "failing_memory.h"
#include "suite.h"
#include "tls_help.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A directory with a certificate and whatever else a test writes. */
static char dir[64];
static struct certificate ca, server;

static const char *in_dir(const char *name) {
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const char *text) {
    FILE *f = fopen(in_dir(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(in_dir(name), 0600), 0);
}

static const char *const names[] = {"web.yml",     "server.crt", "server.key", "ca.crt",  "other.key",
                                    "expired.crt", "not-yet.crt", "junk",      "empty",   "big",
                                    "fifo",        "rsa.crt",    "rsa.key",    "new.yml", "encrypted.key"};

static void make_old(const char *name) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, in_dir(name), times, 0), 0);
}

static void setup(void) {
    struct certificate other;
    snprintf(dir, sizeof(dir), "/tmp/proctally-web.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    certificate_make(&ca, &(struct certificate_wish){.name = "ca", .is_ca = true});
    certificate_make(&server, &(struct certificate_wish){.name = "server", .issuer = &ca});
    write_file("server.crt", server.cert_pem);
    write_file("server.key", server.key_pem);
    write_file("ca.crt", ca.cert_pem);
    certificate_make(&other, &(struct certificate_wish){
                                 .name = "server", .begins_days = -9, .ends_days = -2});
    write_file("other.key", other.key_pem);
    certificate_free(&other);
    write_file("junk", "-----BEGIN CERTIFICATE-----\nnone\n");
    write_file("empty", "");
}

static void teardown(void) {
    for (int i = 0; i < COUNT(names); i++)
        unlink(in_dir(names[i]));
    rmdir(dir);
    certificate_free(&ca);
    certificate_free(&server);
}

static struct web_config *load(const char *text) {
    struct web_config *config;
    struct tally_error error;
    write_file("web.yml", text);
    int r = web_config_load(in_dir("web.yml"), &config, &error);
    ck_assert_msg(r == 0, "%d: %s", r, error.text);
    return config;
}

/* ---- Good ones -------------------------------------------------------------------------- */

#define PAIR "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
#define HASH "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"

/* docs/web-config.yml of exporter-toolkit */
static const char documented[] =
    "# TLS and basic authentication configuration example.\n"
    "#\n"
    "# Additionally, a certificate and a key file are needed.\n"
    "tls_server_config:\n"
    "  cert_file: server.crt\n"
    "  key_file: server.key\n"
    "\n"
    "# Usernames and passwords required to connect.\n"
    "# Passwords are hashed with bcrypt: https://github.com/prometheus/exporter-toolkit/blob/master/"
    "docs/web-configuration.md#about-bcrypt.\n"
    "basic_auth_users:\n"
    "  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze\n"
    "  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m\n";

START_TEST(reads_the_documented_file) {
    struct web_config *c = load(documented);
    ck_assert(c->tls);
    ck_assert_str_eq(c->cert_pem, server.cert_pem);
    ck_assert_str_eq(c->key_pem, server.key_pem);
    ck_assert_ptr_null(c->client_ca_pem);
    ck_assert_int_eq(c->client_auth, CLIENT_AUTH_NONE);
    ck_assert_uint_eq(c->user_count, 2);
    ck_assert_str_eq(c->users[0].name, "alice");
    ck_assert_str_eq(c->users[0].hash, HASH);
    ck_assert_str_eq(c->users[1].name, "bob");
    ck_assert_uint_eq(c->rate_interval_ns, 0);
    ck_assert_uint_eq(c->header_count, 0);
    ck_assert_uint_eq(c->warning_count, 0);
    ck_assert_uint_eq(c->file_count, 3);
    web_config_free(c);
}
END_TEST

START_TEST(reads_everything) {
    struct web_config *c = load("tls_server_config:\n"
                                "  cert_file: server.crt\n"
                                "  key_file: \"server.key\"\n"
                                "  client_auth_type: RequireAndVerifyClientCert\n"
                                "  client_ca_file: ca.crt\n"
                                "  client_allowed_sans: [prometheus.example, '2001:db8::1']\n"
                                "  min_version: TLS12\n"
                                "  max_version: TLS13\n"
                                "  cipher_suites:\n"
                                "  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n"
                                "  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n"
                                "  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n"
                                "  prefer_server_cipher_suites: false\n"
                                "  curve_preferences: [CurveP384, X25519]\n"
                                "http_server_config:\n"
                                "  http2: true\n"
                                "  headers:\n"
                                "    Content-Security-Policy: default-src 'self'\n"
                                "    X-Frame-Options: deny\n"
                                "    X-Content-Type-Options: nosniff\n"
                                "    X-XSS-Protection:\n"
                                "    Strict-Transport-Security: max-age=31536000; includeSubDomains\n"
                                "basic_auth_users: {alice: " HASH "}\n"
                                "rate_limit: {interval: 1m1.5s, burst: 20}\n");
    ck_assert(c->tls);
    ck_assert_str_eq(c->client_ca_pem, ca.cert_pem);
    ck_assert_int_eq(c->client_auth, CLIENT_AUTH_REQUIRE_AND_VERIFY);
    ck_assert_uint_eq(c->allowed_san_count, 2);
    ck_assert_str_eq(c->allowed_sans[1], "2001:db8::1");
    ck_assert_str_eq(c->priorities,
                     "NORMAL:-VERS-ALL:-KX-ALL:-CIPHER-ALL:-MAC-ALL:-GROUP-ALL:+ECDHE-ECDSA:"
                     "+AES-256-GCM:+AEAD:+AES-128-GCM:+VERS-TLS1.3:+VERS-TLS1.2:+GROUP-SECP384R1:"
                     "+GROUP-X25519");
    ck_assert_uint_eq(c->header_count, 4);
    ck_assert_str_eq(c->headers[0].name, "Content-Security-Policy");
    ck_assert_str_eq(c->headers[0].value, "default-src 'self'");
    ck_assert_str_eq(c->headers[3].value, "max-age=31536000; includeSubDomains");
    ck_assert_uint_eq(c->user_count, 1);
    ck_assert_uint_eq(c->rate_interval_ns, 61500000000);
    ck_assert_uint_eq(c->rate_burst, 20);
    ck_assert_uint_eq(c->warning_count, 0);
    ck_assert_uint_eq(c->file_count, 4);
    web_config_free(c);
}
END_TEST

static const char *const plain[] = {
    "",
    "# nothing\n",
    "---\n...\n",
    "{}",
    "null\n",
    "tls_server_config:\nhttp_server_config:\nrate_limit:\nbasic_auth_users:\n",
    "tls_server_config: {}\nhttp_server_config: {headers: {}}\nrate_limit: {}\nbasic_auth_users: {}\n",
    "rate_limit: {interval: 0, burst: 0}\n",
    "tls_server_config: {cert_file: '', key_file: \"\", client_auth_type: ''}\n",
    "http_server_config: {http2: false, headers: {X-Frame-Options: ''}}\n",
    "basic_auth_users: ~\n",
};

START_TEST(takes_nothing_for_plain_http) {
    struct web_config *c = load(plain[_i]);
    ck_assert(!c->tls);
    ck_assert_uint_eq(c->user_count + c->header_count + c->rate_interval_ns + c->warning_count, 0);
    ck_assert_uint_eq(c->file_count, 1);
    web_config_free(c);
    c = load("");
    web_config_free(c);
    struct tally_error error;
    ck_assert_int_eq(web_config_load("/dev/null", &c, &error), 0);
    ck_assert(!c->tls && !web_config_has_changed(c));
    web_config_free(c);
}
END_TEST

static void append(char *to, size_t size, const char *text, const char *indent) {
    for (const char *at = text, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        const size_t len = strlen(to);
        ck_assert_uint_lt(len + 100, size);
        snprintf(to + len, size - len, "%s%.*s\n", indent, (int)(end - at), at);
    }
}

START_TEST(reads_what_is_inline) {
    static char text[16384];
    strcat(text, "tls_server_config:\n  client_auth_type: VerifyClientCertIfGiven\n  cert: |\n");
    append(text, sizeof(text), server.cert_pem, "    ");
    strcat(text, "  key: |\n");
    append(text, sizeof(text), server.key_pem, "    ");
    strcat(text, "  client_ca: |\n");
    append(text, sizeof(text), ca.cert_pem, "    ");
    struct web_config *c = load(text);
    ck_assert(c->tls);
    ck_assert_str_eq(c->cert_pem, server.cert_pem);
    ck_assert_str_eq(c->key_pem, server.key_pem);
    ck_assert_str_eq(c->client_ca_pem, ca.cert_pem);
    ck_assert_uint_eq(c->warning_count, 0);
    ck_assert_uint_eq(c->file_count, 1);
    web_config_free(c);

    /* and who may read it matters now */
    struct tally_error error;
    ck_assert_int_eq(chmod(in_dir("web.yml"), 0644), 0);
    ck_assert_int_eq(web_config_load(in_dir("web.yml"), &c, &error), 0);
    ck_assert_uint_eq(c->warning_count, 1);
    ck_assert_ptr_nonnull(strstr(c->warnings[0], "web.yml has the private key"));
    web_config_free(c);
}
END_TEST

START_TEST(finds_files_from_the_file) {
    struct tally_error error;
    struct web_config *c;
    write_file("web.yml", PAIR);
    int here = open(".", O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert_int_eq(web_config_load("web.yml", &c, &error), 0);
    ck_assert_str_eq(c->files[1].path, "server.crt");
    web_config_free(c);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(web_config_load(in_dir("web.yml"), &c, &error), 0);
    ck_assert_str_eq(c->files[1].path, in_dir("server.crt"));
    web_config_free(c);
    char text[512];
    const int len = snprintf(text, sizeof(text), "tls_server_config:\n  cert_file: %s/server.crt\n", dir);
    snprintf(text + len, sizeof(text) - (size_t)len, "  key_file: %s/server.key\n", dir);
    web_config_free(load(text));
    ck_assert_int_eq(fchdir(here), 0);
    close(here);
}
END_TEST

static const struct {
    const char *text;
    uint64_t ns;
} durations[] = {
    {"1s", 1000000000},     {"100ms", 100000000},        {"1.5s", 1500000000},
    {".5s", 500000000},     {"1.s", 1000000000},         {"2h45m", 9900000000000},
    {"1h0m0.25s", 3600250000000}, {"10us", 10000},       {"10\u00b5s", 10000},
    {"10\u03bcs", 10000},   {"7ns", 7},                  {"+1s", 1000000000},
    {"0s", 0},              {"0.9999ns", 0},             {"2562047h", 9223369200000000000},
    {"1.0000000019s", 1000000001},
};

START_TEST(reads_durations) {
    char text[128];
    snprintf(text, sizeof(text), "rate_limit: {interval: \"%s\", burst: 3}\n", durations[_i].text);
    struct web_config *c = load(text);
    ck_assert_uint_eq(c->rate_interval_ns, durations[_i].ns);
    ck_assert_uint_eq(c->rate_burst, 3);
    web_config_free(c);
}
END_TEST

/* ---- Bad ones ------------------------------------------------------------------------------ */

#define LIMIT(interval) "rate_limit:\n  burst: 1\n  interval: " interval "\n"
#define USER(hash) "basic_auth_users:\n  alice: " hash "\n"

static const struct {
    const char *text;
    int line;
    const char *says;
} bad[] = {
    {"tls_config: {}\n", 1,
     "tls_config is no key of a web configuration, expected tls_server_config, http_server_config, "
     "rate_limit or basic_auth_users"},
    {"tls_server_config:\n  cert_fil: x\n", 2,
     "tls_server_config has no key cert_fil, expected cert, key, client_ca, cert_file, key_file, "
     "client_ca_file, client_auth_type, client_allowed_sans, min_version, max_version, "
     "cipher_suites, prefer_server_cipher_suites or curve_preferences"},
    {"http_server_config:\n  http3: true\n", 2,
     "http_server_config has no key http3, expected http2 or headers"},
    {"rate_limit:\n  rate: 1\n", 2, "rate_limit has no key rate, expected interval or burst"},
    {"- a\n", 1, "the file is no mapping"},
    {"a text\n", 1, "the file is no mapping"},
    {"rate_limit: 5\n", 1, "rate_limit is no mapping"},
    {"basic_auth_users: [a]\n", 1, "basic_auth_users is no mapping"},
    {"[a]: b\n", 1, "the file has a key that is no text"},
    {"\"a\\0b\": c\n", 1, "the file has a key that is no text"},
    {"{\n", 2, "expected YAML"},
    {"a: b: c\n", 1, "expected YAML"},
    {"rate_limit: {}\nrate_limit: {}\n", 2, "rate_limit is given twice"},
    {"rate_limit: {burst: 1,\n burst: 2}\n", 2, "rate_limit: burst is given twice"},
    {"{}\n---\n{}\n", 3, "a second document begins"},
    {"basic_auth_users: &a\n  x: *a\n", 2, "no bcrypt hash"},

    {"tls_server_config:\n  cert_file: server.crt\n", 2, "has no key_file, expected cert_file and"},
    {"tls_server_config:\n  key_file: server.key\n", 2, "has no cert_file, expected cert_file and"},
    {"tls_server_config:\n  client_auth_type: RequestClientCert\n", 2, "has no cert_file"},
    {"tls_server_config:\n  client_auth_type: NoClientCert\n", 2, "has no cert_file"},
    {PAIR "  cert: x\n", 2, "has both cert and cert_file"},
    {PAIR "  key: x\n", 3, "has both key and key_file"},
    {PAIR "  client_ca: x\n  client_ca_file: ca.crt\n", 5, "has both client_ca and client_ca_file"},
    {"tls_server_config:\n  cert_file: none.crt\n  key_file: server.key\n", 2,
     "none.crt: No such file or directory, expected the server's certificate"},
    {"tls_server_config:\n  cert_file: server.crt\n  key_file: ./\n", 3, "Is a directory"},
    {"tls_server_config:\n  cert_file: server.crt\n  key_file: big\n", 3, "is larger than 1 MiB"},
    {"tls_server_config:\n  cert_file: fifo\n  key_file: server.key\n", 2, "fifo is no file"},
    {"tls_server_config:\n  cert_file: [a]\n  key_file: server.key\n", 2, "cert_file is no text"},
    {"tls_server_config:\n  cert_file: junk\n  key_file: server.key\n", 0,
     "junk: no certificate, expected one in PEM"},
    {"tls_server_config:\n  cert_file: empty\n  key_file: server.key\n", 0, "empty: no certificate"},
    {"tls_server_config:\n  cert_file: server.key\n  key_file: server.key\n", 0,
     "server.key: no certificate"},
    {"tls_server_config:\n  key_file: server.key\n  cert: none\n", 3, "no certificate"},
    {"tls_server_config:\n  cert_file: server.crt\n  key_file: junk\n", 0, "junk: no private key"},
    {"tls_server_config:\n  cert_file: server.crt\n  key_file: server.crt\n", 0,
     "server.crt: no private key, expected one in PEM"},
    {"tls_server_config:\n  cert_file: server.crt\n  key_file: other.key\n", 0,
     "other.key: the key is not that of the certificate in /tmp/"},
    {"tls_server_config:\n  cert_file: server.crt\n  key_file: encrypted.key\n", 0,
     "encrypted.key: the key is encrypted, expected one without a passphrase"},

    {PAIR "  client_auth_type: Require\n", 4, "client_auth_type is \"Require\", expected NoClient"},
    {PAIR "  client_ca_file: ca.crt\n", 4, "clients are not asked for a certificate"},
    {PAIR "  client_auth_type: RequireAndVerifyClientCert\n", 4, "without client_ca_file"},
    {PAIR "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: junk\n", 0,
     "junk: no certificate, expected those of client_ca"},
    {PAIR "  client_allowed_sans: [a]\n", 4, "clients may connect without a certificate"},
    {PAIR "  client_auth_type: RequestClientCert\n  client_allowed_sans: [a]\n", 5,
     "clients may connect without a certificate"},
    {PAIR "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: []\n", 5,
     "client_allowed_sans is empty"},
    {PAIR "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: a\n", 5,
     "client_allowed_sans is no list"},
    {PAIR "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans:\n  - a\n  - [b]\n", 7,
     "client_allowed_sans has an entry that is no text"},

    {PAIR "  min_version: TLS14\n", 4, "min_version is \"TLS14\", expected TLS10, TLS11, TLS12 or"},
    {PAIR "  max_version: tls12\n", 4, "max_version is \"tls12\", expected"},
    {PAIR "  min_version: TLS13\n  max_version: TLS12\n", 5, "min_version is above max_version"},
    {PAIR "  max_version: TLS11\n", 4, "min_version is above max_version"},
    {PAIR "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM]\n", 4,
     "cipher_suites has TLS_ECDHE_RSA_WITH_AES_128_GCM, expected Go's names"},
    {PAIR "  cipher_suites: [TLS_ECDHE_RSA_WITH_RC4_128_SHA]\n", 4, "which is not secure"},
    {PAIR "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", 5,
     "so that nobody could connect"},
    {PAIR "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n", 5,
     "none that goes with a certificate for EC/ECDSA"},
    {PAIR "  prefer_server_cipher_suites: maybe\n", 4, "is \"maybe\", expected true or false"},
    {PAIR "  curve_preferences: [P256]\n", 4, "curve_preferences has P256, expected CurveP256"},

    {"http_server_config:\n  http2: 1\n", 2, "http2 is \"1\", expected true or false"},
    {"http_server_config:\n  headers:\n    Server: x\n", 3, "headers has no Server, expected"},
    {"http_server_config:\n  headers:\n    x-frame-options: deny\n", 3, "has no x-frame-options"},
    {"http_server_config:\n  headers:\n    X-Frame-Options: DENY\n", 3,
     "X-Frame-Options is \"DENY\", expected deny or sameorigin"},
    {"http_server_config:\n  headers:\n    X-Content-Type-Options: sniff\n", 3,
     "X-Content-Type-Options is \"sniff\", expected nosniff"},
    {"http_server_config:\n  headers:\n    X-XSS-Protection: \"1\\r\\nSet-Cookie: a\"\n", 3,
     "X-XSS-Protection has a control character"},
    {"http_server_config:\n  headers:\n    X-XSS-Protection: [a]\n", 3, "is no text"},

    {USER("secret"), 2, "what basic_auth_users has for \"alice\" is no bcrypt hash, expected 60"},
    {USER("[a]"), 2, "no bcrypt hash"},
    {USER(""), 2, "no bcrypt hash"},
    {USER("$apr1$mDwo.lAi$42V2pdJlUprsJPze"), 2, "no bcrypt hash"},
    {USER("$2x$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"), 2, "no bcrypt hash"},
    {USER("$2y$03$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"), 2, "no bcrypt hash"},
    {USER("$2y$32$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"), 2, "no bcrypt hash"},
    {USER("$2y$1a$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"), 2, "no bcrypt hash"},
    {USER("$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPz"), 2, "no bcrypt hash"},
    {USER("$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPz="), 2, "no bcrypt hash"},
    {USER(HASH "x"), 2, "no bcrypt hash"},
    {USER(HASH) "  bob: x\n", 3, "\"bob\" is no bcrypt hash"},
    {USER(HASH) "  alice: " HASH "\n", 3, "alice is given twice"},
    {"basic_auth_users:\n  'a:b': " HASH "\n", 2, "the user \"a:b\" of basic_auth_users could never"},
    {"basic_auth_excluded_paths: [/]\n", 1, "basic_auth_excluded_paths is no key"},

    {LIMIT("5"), 3, "interval of rate_limit is \"5\", expected a time with its unit"},
    {LIMIT("-1s"), 3, "is \"-1s\""},
    {LIMIT("s"), 3, "is \"s\""},
    {LIMIT("1.s.s"), 3, "is \"1.s.s\""},
    {LIMIT("1 s"), 3, "is \"1 s\""},
    {LIMIT("1d"), 3, "is \"1d\""},
    {LIMIT("2562048h"), 3, "is \"2562048h\""},
    {LIMIT("18446744073709551616ns"), 3, "expected a time"},
    {LIMIT("9223372036854775807ns1ns"), 3, "expected a time"},
    {LIMIT("18446744073.70955161599s"), 3, "expected a time"},
    {LIMIT("[1s]"), 3, "interval is no text"},
    {"rate_limit:\n  interval: 1s\n", 2, "has an interval and no burst"},
    {"rate_limit:\n  interval: 1s\n  burst: 0\n", 2, "has an interval and no burst"},
    {"rate_limit:\n  burst: -1\n", 2, "burst of rate_limit is \"-1\", expected a number"},
    {"rate_limit:\n  burst: 4294967297\n", 2, "expected a number from 1"},
    {"rate_limit:\n  burst: 1000000001\n", 2, "expected a number from 1"},
};

static void setup_bad(void) {
    gnutls_datum_t pem;
    setup();
    char *big = malloc((1 << 20) + 2);
    memset(big, '#', (1 << 20) + 1);
    big[(1 << 20) + 1] = 0;
    write_file("big", big);
    free(big);
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    ck_assert_int_eq(gnutls_x509_privkey_export2_pkcs8(server.key, GNUTLS_X509_FMT_PEM, "secret",
                                                       GNUTLS_PKCS_PBES2_AES_256, &pem),
                     0);
    char *text = strndup((const char *)pem.data, pem.size);
    write_file("encrypted.key", text);
    free(text);
    gnutls_free(pem.data);
}

START_TEST(says_what_is_wrong) {
    struct web_config *config;
    struct tally_error error;
    char where[160];
    write_file("web.yml", bad[_i].text);
    ck_assert_int_eq(web_config_load(in_dir("web.yml"), &config, &error), -EINVAL);
    ck_assert_msg(strstr(error.text, bad[_i].says), "\"%s\" has no \"%s\"", error.text,
                  bad[_i].says);
    if (bad[_i].line) {
        snprintf(where, sizeof(where), "%s:%d: ", in_dir("web.yml"), bad[_i].line);
        ck_assert_msg(strncmp(error.text, where, strlen(where)) == 0, "\"%s\" is not at \"%s\"",
                      error.text, where);
    }
    ck_assert_ptr_null(strchr(error.text, '\n'));
    ck_assert_ptr_null(strstr(error.text, "secret\""));
    /* and without anybody to hear it */
    ck_assert_int_eq(web_config_load(in_dir("web.yml"), &config, NULL), -EINVAL);
}
END_TEST

START_TEST(says_why_a_file_is_not_read) {
    struct web_config *config;
    struct tally_error error;
    ck_assert_int_eq(web_config_load(in_dir("none.yml"), &config, &error), -ENOENT);
    ck_assert_ptr_nonnull(strstr(error.text, "none.yml: No such file or directory, expected a web "
                                             "configuration"));
    ck_assert_int_eq(web_config_load(dir, &config, &error), -EISDIR);
    ck_assert_int_eq(web_config_load(in_dir("big"), &config, &error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(error.text, "big is larger than 1 MiB"));
    ck_assert_int_eq(web_config_load(in_dir("fifo"), &config, &error), -EINVAL);
    ck_assert_int_eq(web_config_load("/dev/zero", &config, &error), -E2BIG);
}
END_TEST

/* ---- Warnings -------------------------------------------------------------------------------- */

static void expect_warning(struct web_config *c, const char *says) {
    ck_assert_uint_eq(c->warning_count, 1);
    ck_assert_msg(strstr(c->warnings[0], says), "\"%s\" has no \"%s\"", c->warnings[0], says);
    web_config_free(c);
}

START_TEST(warns) {
    struct certificate expired, later;
    const char *other = "tls_server_config:\n  cert_file: expired.crt\n  key_file: other.key\n";
    certificate_make(&expired, &(struct certificate_wish){
                                   .name = "old", .begins_days = -9, .ends_days = -2});
    certificate_make(&later, &(struct certificate_wish){
                                 .name = "new", .begins_days = 2, .ends_days = 9});
    write_file("expired.crt", expired.cert_pem);
    write_file("other.key", expired.key_pem);
    struct web_config *c = load(other);
    ck_assert(c->tls);
    expect_warning(c, "expired.crt: the certificate has expired on 2");
    write_file("expired.crt", later.cert_pem);
    write_file("other.key", later.key_pem);
    expect_warning(load(other), "expired.crt: the certificate is not valid before 2");
    certificate_free(&expired);
    certificate_free(&later);

    ck_assert_int_eq(chmod(in_dir("server.key"), 0644), 0);
    expect_warning(load(PAIR), "server.key has the private key and can be read by all users");
    ck_assert_int_eq(chmod(in_dir("server.key"), 0640), 0);
    c = load(PAIR);
    ck_assert_uint_eq(c->warning_count, 0);
    web_config_free(c);

    expect_warning(load(USER("$2y$15$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze")),
                   "web.yml:2: the hash of \"alice\" has a cost of 15");
    c = load(USER("$2b$14$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"));
    ck_assert_uint_eq(c->warning_count, 0);
    web_config_free(c);

    c = load("tls_server_config:\n  min_version: TLS13\n");
    ck_assert(!c->tls);
    expect_warning(c, "web.yml:2: tls_server_config has neither cert_file nor key_file");
    c = load(PAIR "  client_auth_type: VerifyClientCertIfGiven\n");
    ck_assert_int_eq(c->client_auth, CLIENT_AUTH_NONE);
    expect_warning(c, "web.yml:4: client_auth_type is VerifyClientCertIfGiven without");
    expect_warning(load(PAIR "  client_auth_type: RequireAnyClientCert\n"
                             "  client_allowed_sans: [a]\n"),
                   "web.yml:5: client_allowed_sans means little");
}
END_TEST

/* ---- Changes ------------------------------------------------------------------------------------ */

START_TEST(sees_a_change) {
    static const char *const read_ones[] = {"web.yml", "server.crt", "server.key", "ca.crt"};
    const char *text = PAIR "  client_ca_file: ca.crt\n  client_auth_type: RequestClientCert\n";
    for (int i = 0; i < COUNT(read_ones); i++) {
        struct web_config *c = load(text);
        ck_assert(!web_config_has_changed(c));
        make_old(read_ones[i]);
        ck_assert(web_config_has_changed(c));
        ck_assert(web_config_has_changed(c));
        web_config_free(c);
        /* read again, it is the one that was read */
        struct tally_error error;
        ck_assert_int_eq(web_config_load(in_dir("web.yml"), &c, &error), 0);
        ck_assert(!web_config_has_changed(c));
        /* another file of the same time and size */
        char *was = i == 1 ? server.cert_pem : i == 2 ? server.key_pem : i == 3 ? ca.cert_pem : NULL;
        write_file("new.yml", was ? was : text);
        make_old("new.yml");
        char from[128];
        snprintf(from, sizeof(from), "%s", in_dir("new.yml"));
        ck_assert_int_eq(rename(from, in_dir(read_ones[i])), 0);
        ck_assert(web_config_has_changed(c));
        web_config_free(c);
    }
}
END_TEST

START_TEST(sees_what_is_gone) {
    struct web_config *c = load(PAIR);
    ck_assert_int_eq(unlink(in_dir("server.key")), 0);
    ck_assert(web_config_has_changed(c));
    web_config_free(c);
}
END_TEST

START_TEST(waits_for_the_whole_file) {
    struct web_config *c = load(PAIR USER(HASH));
    /* truncated, to be written again */
    write_file("web.yml", "");
    make_old("web.yml");
    ck_assert(!web_config_has_changed(c));
    /* still being written: its time is now, or later by a clock that was put back */
    write_file("web.yml", PAIR);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    ck_assert_int_eq(utimensat(AT_FDCWD, in_dir("web.yml"), times, 0), 0);
    ck_assert(!web_config_has_changed(c));
    times[1] = (struct timespec){.tv_sec = time(NULL) + 86400};
    ck_assert_int_eq(utimensat(AT_FDCWD, in_dir("web.yml"), times, 0), 0);
    ck_assert(web_config_has_changed(c));
    make_old("web.yml");
    ck_assert(web_config_has_changed(c));
    web_config_free(c);
    ck_assert_ptr_null(web_config_free(NULL));
}
END_TEST

/* ---- Memory --------------------------------------------------------------------------------------- */

START_TEST(runs_out_of_memory) {
    struct web_config *c = NULL;
    struct tally_error error;
    int r = -ENOMEM;
    write_file("web.yml", PAIR "  client_ca_file: ca.crt\n"
                          "  client_auth_type: RequireAnyClientCert\n"
                          "  client_allowed_sans: [a, b]\n"
                          "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA]\n"
                          "http_server_config: {headers: {X-Frame-Options: deny}}\n" USER(HASH));
    for (int i = 1; r == -ENOMEM; i++) {
        ck_assert_int_lt(i, 1000);
        allocations = 0;
        fail_allocation_at = i;
        r = web_config_load(in_dir("web.yml"), &c, &error);
        fail_allocation_at = 0;
        ck_assert_msg(r == 0 || r == -ENOMEM, "%d: %d %s", i, r, error.text);
        ck_assert_str_eq(error.text, r ? "out of memory" : "");
    }
    ck_assert_int_gt(allocations, 20);
    ck_assert_uint_eq(c->warning_count, 2);
    web_config_free(c);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("web_config");
    TCase *tc = add_case(suite, "good");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, reads_the_documented_file);
    tcase_add_test(tc, reads_everything);
    tcase_add_test(tc, reads_what_is_inline);
    tcase_add_test(tc, finds_files_from_the_file);
    tcase_add_loop_test(tc, takes_nothing_for_plain_http, 0, COUNT(plain));
    tcase_add_loop_test(tc, reads_durations, 0, COUNT(durations));
    tc = add_case(suite, "bad"); /* they change nothing but the file itself */
    tcase_add_unchecked_fixture(tc, setup_bad, teardown);
    tcase_add_loop_test(tc, says_what_is_wrong, 0, COUNT(bad));
    tcase_add_test(tc, says_why_a_file_is_not_read);
    tc = add_case(suite, "changes");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, warns);
    tcase_add_test(tc, sees_a_change);
    tcase_add_test(tc, sees_what_is_gone);
    tcase_add_test(tc, waits_for_the_whole_file);
    tc = add_case(suite, "memory");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, runs_out_of_memory);
    return run_suite(suite);
}
