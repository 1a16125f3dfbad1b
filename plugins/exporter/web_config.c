/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "web_config.h"

#include "duration.h"
#include "tls_priorities.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <yaml.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of each file: a hand-written one, a certificate, and a bundle of CAs are smaller. */
#define FILE_CEILING (1u << 20)
/* From this cost on a password takes longer than a scraper likes to wait. */
#define SLOW_COST 15
/* What an Authorization header is taken with leaves room for a password behind it. */
#define USER_BYTES 256

/* ---- The catalogue of keys --------------------------------------------------------------- */

enum key {
    CERT,
    KEY,
    CLIENT_CA,
    CERT_FILE,
    KEY_FILE,
    CLIENT_CA_FILE,
    CLIENT_AUTH_TYPE,
    CLIENT_ALLOWED_SANS,
    MIN_VERSION,
    MAX_VERSION,
    CIPHER_SUITES,
    PREFER_SERVER_CIPHER_SUITES,
    CURVE_PREFERENCES,
    HTTP2,
    HEADERS,
    INTERVAL,
    BURST,
    USERS,
    KEYS
};

#define TLS_SECTION "tls_server_config"
#define HTTP_SECTION "http_server_config"
#define RATE_SECTION "rate_limit"
#define USERS_SECTION "basic_auth_users"

static const struct {
    const char *section;
    const char *name; /* NULL: the section's own value */
} keys[KEYS] = {
    [CERT] = {TLS_SECTION, "cert"},
    [KEY] = {TLS_SECTION, "key"},
    [CLIENT_CA] = {TLS_SECTION, "client_ca"},
    [CERT_FILE] = {TLS_SECTION, "cert_file"},
    [KEY_FILE] = {TLS_SECTION, "key_file"},
    [CLIENT_CA_FILE] = {TLS_SECTION, "client_ca_file"},
    [CLIENT_AUTH_TYPE] = {TLS_SECTION, "client_auth_type"},
    [CLIENT_ALLOWED_SANS] = {TLS_SECTION, "client_allowed_sans"},
    [MIN_VERSION] = {TLS_SECTION, "min_version"},
    [MAX_VERSION] = {TLS_SECTION, "max_version"},
    [CIPHER_SUITES] = {TLS_SECTION, "cipher_suites"},
    [PREFER_SERVER_CIPHER_SUITES] = {TLS_SECTION, "prefer_server_cipher_suites"},
    [CURVE_PREFERENCES] = {TLS_SECTION, "curve_preferences"},
    [HTTP2] = {HTTP_SECTION, "http2"},
    [HEADERS] = {HTTP_SECTION, "headers"},
    [INTERVAL] = {RATE_SECTION, "interval"},
    [BURST] = {RATE_SECTION, "burst"},
    [USERS] = {USERS_SECTION, NULL},
};

static const struct {
    const char *name;
    enum client_auth type;
} client_auth_types[] = {
    {"NoClientCert", CLIENT_AUTH_NONE},
    {"RequestClientCert", CLIENT_AUTH_REQUEST},
    {"RequireAnyClientCert", CLIENT_AUTH_REQUIRE_ANY},
    {"RequireClientCert", CLIENT_AUTH_REQUIRE_ANY}, /* what the toolkit called it at first */
    {"VerifyClientCertIfGiven", CLIENT_AUTH_VERIFY_IF_GIVEN},
    {"RequireAndVerifyClientCert", CLIENT_AUTH_REQUIRE_AND_VERIFY},
};

static const struct {
    const char *name;
    const char *values[2]; /* none: any */
} headers[] = {
    {"Content-Security-Policy", {NULL}},
    {"X-Frame-Options", {"deny", "sameorigin"}},
    {"X-Content-Type-Options", {"nosniff", NULL}},
    {"X-XSS-Protection", {NULL}},
    {"Strict-Transport-Security", {NULL}},
};

struct loader {
    const char *path;
    yaml_document_t document;
    const yaml_node_t *given[KEYS]; /* NULL: not given, or nothing */
    struct web_config *config;
    struct tally_error *error;
};

/* ---- Sentences ------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static int fail(struct loader *l, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(l->error->text, sizeof(l->error->text), format, args);
    va_end(args);
    /* it is promised to be one line, whatever the file holds */
    for (char *c = l->error->text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return -EINVAL;
}

/* "FILE:LINE: " in front of what is in error already. */
static int at_line(struct loader *l, const yaml_node_t *node, int r) {
    if (r == -EINVAL) {
        const struct tally_error inner = *l->error;
        fail(l, "%.200s:%zu: %.280s", l->path, node->start_mark.line + 1, inner.text);
    }
    return r;
}

/* Keeps the sentence that is in error, as a warning. -ENOMEM. */
static int warn(struct loader *l) {
    struct web_config *c = l->config;
    char **warnings = realloc(c->warnings, (c->warning_count + 1) * sizeof(*warnings));
    if (!warnings)
        return -ENOMEM;
    c->warnings = warnings;
    warnings[c->warning_count] = strdup(l->error->text);
    l->error->text[0] = 0;
    return warnings[c->warning_count++] ? 0 : -ENOMEM;
}

/* "a, b or c" of what `name` gives for 0, 1, … until NULL. */
static void list_names(char *text, size_t size, const char *(*name)(size_t i, const void *of),
                       const void *of) {
    text[0] = 0;
    for (size_t i = 0; name(i, of); i++) {
        const size_t len = strlen(text);
        snprintf(text + len, size - len, "%s%s", i == 0 ? "" : name(i + 1, of) ? ", " : " or ",
                 name(i, of));
    }
}

/* ---- Files ------------------------------------------------------------------------------------ */

static void wipe(void *text, size_t len) {
    if (text)
        gnutls_memset(text, 0, len);
    free(text);
}

static void wipe_text(char *text) {
    wipe(text, text ? strlen(text) : 0);
}

/* To the end, with a NUL behind it. */
static int read_all(int fd, char **ret, size_t *ret_len) {
    size_t len = 0;
    /* never moved, so that no copy of a key stays behind */
    char *text = malloc(FILE_CEILING + 2);
    if (!text)
        return -ENOMEM;
    int r = 1;
    while (r > 0 && len <= FILE_CEILING) {
        const ssize_t n = read(fd, text + len, FILE_CEILING + 1 - len);
        if (n >= 0)
            len += (size_t)n;
        r = n > 0 ? 1 : n == 0 ? 0 : errno == EINTR ? 1 : -errno;
    }
    if (r >= 0 && len > FILE_CEILING)
        r = -E2BIG;
    char *exact = r == 0 ? malloc(len + 1) : NULL;
    if (r == 0 && !exact)
        r = -ENOMEM;
    if (r == 0) {
        memcpy(exact, text, len);
        exact[len] = 0;
        *ret = exact;
        *ret_len = len;
    }
    wipe(text, len);
    return r;
}

/* Reads it and keeps in mind which one it was. `what` is for the sentence. */
static int read_file(struct loader *l, const char *path, const char *what, char **ret,
                     size_t *ret_len) {
    struct web_file *file = &l->config->files[l->config->file_count];
    struct stat st = {0};
    /* Never waits, whatever the path names. A pipe is empty the second time, and nobody in
     * it at the first could be a configuration without passwords. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISCHR(st.st_mode)) {
        r = fail(l, "%.300s is no file, expected %s", path, what);
    } else {
        if (r == 0)
            r = read_all(fd, ret, ret_len);
        if (r == -E2BIG)
            fail(l, "%.300s is larger than %u MiB, expected %s", path, FILE_CEILING >> 20, what);
        else if (r < 0 && r != -ENOMEM)
            fail(l, "%.300s: %s, expected %s", path, strerror(-r), what);
    }
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return r;
    file->as_read = st;
    file->path = strdup(path);
    l->config->file_count++;
    return file->path ? 0 : -ENOMEM;
}

/* ---- YAML ---------------------------------------------------------------------------------------- */

static const yaml_node_t *node_at(struct loader *l, int index) {
    return yaml_document_get_node(&l->document, index);
}

static const char *scalar(const yaml_node_t *node) {
    /* a NUL inside would end the text early and hide the rest */
    if (node->type != YAML_SCALAR_NODE ||
        strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
        return NULL;
    return (const char *)node->data.scalar.value;
}

/* As Go has it, an empty text is nothing given. */
static bool is_nothing(const yaml_node_t *node) {
    const char *text = scalar(node);
    return text && (!*text || (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                               (strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0)));
}

/* Each key of a mapping is a text that stands there once. */
static int check_mapping(struct loader *l, const yaml_node_t *map, const char *what) {
    if (map->type != YAML_MAPPING_NODE)
        return at_line(l, map, fail(l, "%s is no mapping, expected keys with values", what));
    const yaml_node_pair_t *first = map->data.mapping.pairs.start;
    for (const yaml_node_pair_t *p = first; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *node = node_at(l, p->key);
        const char *key = scalar(node);
        if (!key)
            return at_line(l, node, fail(l, "%s has a key that is no text", what));
        for (const yaml_node_pair_t *q = first; q < p; q++)
            if (strcmp(key, scalar(node_at(l, q->key))) == 0)
                return at_line(l, node,
                               fail(l, "%s: %.100s is given twice, expected once", what, key));
    }
    return 0;
}

static const char *name_of_key(size_t i, const void *section) {
    for (size_t k = 0; k < KEYS; k++)
        if (strcmp(keys[k].section, section) == 0 && i-- == 0)
            return keys[k].name;
    return NULL;
}

static const char *name_of_section(size_t i, const void *unused) {
    (void)unused;
    for (size_t k = 0; k < KEYS; k++)
        if ((k == 0 || strcmp(keys[k].section, keys[k - 1].section) != 0) && i-- == 0)
            return keys[k].section;
    return NULL;
}

static int read_section(struct loader *l, const char *section, const yaml_node_t *map) {
    int r = check_mapping(l, map, section);
    if (r < 0)
        return r;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *node = node_at(l, p->key), *value = node_at(l, p->value);
        size_t k = 0;
        while (k < KEYS && (strcmp(keys[k].section, section) != 0 || !keys[k].name ||
                            strcmp(keys[k].name, scalar(node)) != 0))
            k++;
        if (k == KEYS) {
            char names[256];
            list_names(names, sizeof(names), name_of_key, section);
            return at_line(l, node, fail(l, "%s has no key %.60s, expected %s", section,
                                         scalar(node), names));
        }
        if (!is_nothing(value))
            l->given[k] = value;
    }
    return 0;
}

static int read_root(struct loader *l, const yaml_node_t *root) {
    int r = check_mapping(l, root, "the file");
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start;
         r == 0 && p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *node = node_at(l, p->key), *value = node_at(l, p->value);
        size_t k = 0;
        while (k < KEYS && strcmp(keys[k].section, scalar(node)) != 0)
            k++;
        if (k == KEYS) {
            char names[256];
            list_names(names, sizeof(names), name_of_section, NULL);
            r = at_line(l, node, fail(l, "%.60s is no key of a web configuration, expected %s",
                                      scalar(node), names));
        } else if (!is_nothing(value) && !keys[k].name) {
            l->given[k] = value;
        } else if (!is_nothing(value)) {
            r = read_section(l, keys[k].section, value);
        }
    }
    return r;
}

/* ---- Values ---------------------------------------------------------------------------------------- */

/* A text, NULL if it is not given. */
static int read_text(struct loader *l, enum key key, const char **ret) {
    *ret = NULL;
    if (!l->given[key])
        return 0;
    const char *text = scalar(l->given[key]);
    if (!text)
        return at_line(l, l->given[key], fail(l, "%s is no text, expected one", keys[key].name));
    *ret = text;
    return 0;
}

static int read_switch(struct loader *l, enum key key, bool *to) {
    static const char *const words[2][11] = {
        {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"},
        {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"},
    };
    const char *text;
    int r = read_text(l, key, &text);
    if (r < 0 || !text)
        return r;
    for (size_t on = 0; on < 2; on++)
        for (size_t i = 0; i < COUNT(words[on]); i++)
            if (strcmp(words[on][i], text) == 0) {
                *to = on;
                return 0;
            }
    return at_line(l, l->given[key], fail(l, "%s is \"%.60s\", expected true or false",
                                          keys[key].name, text));
}

/* A list of texts; `take` has each of them. */
static int read_list(struct loader *l, enum key key,
                     int (*take)(struct loader *l, const char *text, void *to), void *to) {
    const yaml_node_t *list = l->given[key];
    if (!list)
        return 0;
    if (list->type != YAML_SEQUENCE_NODE)
        return at_line(l, list, fail(l, "%s is no list, expected one", keys[key].name));
    for (const yaml_node_item_t *i = list->data.sequence.items.start;
         i < list->data.sequence.items.top; i++) {
        const yaml_node_t *node = node_at(l, *i);
        const char *text = scalar(node);
        int r = text && *text ? take(l, text, to)
                              : fail(l, "%s has an entry that is no text", keys[key].name);
        if (r < 0)
            return at_line(l, node, r);
    }
    return 0;
}

static int read_rate(struct loader *l) {
    const char *interval = NULL, *burst = NULL;
    int r = read_text(l, INTERVAL, &interval);
    if (r == 0)
        r = read_text(l, BURST, &burst);
    if (r < 0)
        return r;
    if (interval && !parse_duration(interval, &l->config->rate_interval_ns))
        return at_line(l, l->given[INTERVAL],
                       fail(l, "interval of rate_limit is \"%.60s\", expected a time with its unit "
                               "such as 100ms or 1s, or 0",
                            interval));
    unsigned value = 0;
    for (const char *c = burst ? burst : ""; *c; c++)
        if (*c < '0' || *c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (unsigned)(*c - '0'), &value) || value > 1000000000)
            return at_line(l, l->given[BURST],
                           fail(l, "burst of rate_limit is \"%.60s\", expected a number from 1 to "
                                   "1000000000",
                                burst));
    if (l->config->rate_interval_ns && value == 0)
        return at_line(l, l->given[INTERVAL],
                       fail(l, "rate_limit has an interval and no burst, so that it would refuse "
                               "all requests, expected at least burst: 1"));
    l->config->rate_burst = value;
    return 0;
}

static int read_header(struct loader *l, const yaml_node_t *name_node, const yaml_node_t *node) {
    const char *name = scalar(name_node), *value = scalar(node);
    size_t h = 0;
    while (h < COUNT(headers) && strcmp(headers[h].name, name) != 0)
        h++;
    if (h == COUNT(headers))
        return at_line(l, name_node,
                       fail(l, "headers has no %.60s, expected Content-Security-Policy, "
                               "X-Frame-Options, X-Content-Type-Options, X-XSS-Protection or "
                               "Strict-Transport-Security",
                            name));
    if (!value)
        return at_line(l, node, fail(l, "%s is no text, expected one", name));
    if (is_nothing(node))
        return 0;
    bool is_good = !headers[h].values[0];
    for (size_t i = 0; i < COUNT(headers[h].values) && headers[h].values[i]; i++)
        is_good = is_good || strcmp(headers[h].values[i], value) == 0;
    if (!is_good)
        return at_line(l, node,
                       fail(l, "%s is \"%.60s\", expected %s%s%s", name, value,
                            headers[h].values[0], headers[h].values[1] ? " or " : "",
                            headers[h].values[1] ? headers[h].values[1] : ""));
    /* a line break would begin another header */
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return at_line(l, node, fail(l, "%s has a control character, expected one line of "
                                            "text",
                                         name));
    struct web_header *to = &l->config->headers[l->config->header_count++];
    to->name = strdup(name);
    to->value = strdup(value);
    return to->name && to->value ? 0 : -ENOMEM;
}

static int read_headers(struct loader *l) {
    const yaml_node_t *map = l->given[HEADERS];
    if (!map)
        return 0;
    int r = check_mapping(l, map, "headers");
    if (r < 0)
        return r;
    l->config->headers = calloc(COUNT(headers), sizeof(*l->config->headers));
    if (!l->config->headers)
        return -ENOMEM;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
         r == 0 && p < map->data.mapping.pairs.top; p++)
        r = read_header(l, node_at(l, p->key), node_at(l, p->value));
    return r;
}

/* The cost that is in a bcrypt hash; 0: it is none. */
static unsigned bcrypt_cost(const char *hash) {
    /* "$2y$", two digits, "$", 22 characters of salt, 31 of hash */
    static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if (strlen(hash) != 60 || strncmp(hash, "$2", 2) != 0 || !strchr("aby", hash[2]) ||
        hash[3] != '$' || strspn(hash + 4, "0123456789") != 2 || hash[6] != '$' ||
        strspn(hash + 7, alphabet) != 53)
        return 0;
    const unsigned cost = (unsigned)(hash[4] - '0') * 10 + (unsigned)(hash[5] - '0');
    return cost >= 4 && cost <= 31 ? cost : 0;
}

/* What is no hash may be the password itself, so no sentence shows it. */
static int read_user(struct loader *l, const yaml_node_t *name_node, const yaml_node_t *node) {
    const char *name = scalar(name_node), *hash = scalar(node);
    if (strchr(name, ':') || strlen(name) > USER_BYTES)
        return at_line(l, name_node,
                       fail(l, "the user \"%.60s\" of basic_auth_users could never log in, expected "
                               "a name without a colon and of at most %d bytes",
                            name, USER_BYTES));
    const unsigned cost = hash ? bcrypt_cost(hash) : 0;
    if (!cost)
        return at_line(l, name_node,
                       fail(l, "what basic_auth_users has for \"%.60s\" is no bcrypt hash, expected "
                               "60 characters that begin with $2y$, $2b$ or $2a$ (htpasswd -nBC 10 "
                               "\"\" makes one)",
                            name));
    if (cost >= SLOW_COST) {
        fail(l, "%.200s:%zu: the hash of \"%.60s\" has a cost of %u, so that each new connection "
                "may wait seconds for its password; 10 to 12 is usual",
             l->path, name_node->start_mark.line + 1, name, cost);
        if (warn(l) < 0)
            return -ENOMEM;
    }
    struct web_user *to = &l->config->users[l->config->user_count++];
    to->name = strdup(name);
    to->hash = strdup(hash);
    return to->name && to->hash ? 0 : -ENOMEM;
}

static int read_users(struct loader *l) {
    const yaml_node_t *map = l->given[USERS];
    if (!map)
        return 0;
    int r = check_mapping(l, map, USERS_SECTION);
    const size_t count =
        r == 0 ? (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start) : 0;
    if (count == 0)
        return r;
    l->config->users = calloc(count, sizeof(*l->config->users));
    if (!l->config->users)
        return -ENOMEM;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
         r == 0 && p < map->data.mapping.pairs.top; p++)
        r = read_user(l, node_at(l, p->key), node_at(l, p->value));
    return r;
}

/* ---- TLS ------------------------------------------------------------------------------------------ */

/* A PEM text, and where it stands, for sentences. */
struct pem {
    char where[320];
    const char *text;
};

/* One of a text in the file and a file of its own. */
static int read_pem(struct loader *l, enum key inline_key, enum key file_key, const char *what,
                    char **to, struct pem *ret) {
    const char *text = NULL, *name = NULL;
    int r = read_text(l, inline_key, &text);
    if (r == 0)
        r = read_text(l, file_key, &name);
    if (r < 0)
        return r;
    if (text && name)
        return at_line(l, l->given[file_key],
                       fail(l, TLS_SECTION " has both %s and %s, expected one of them",
                            keys[inline_key].name, keys[file_key].name));
    if (text) {
        *to = strdup(text);
        snprintf(ret->where, sizeof(ret->where), "%.200s:%zu", l->path,
                 l->given[inline_key]->start_mark.line + 1);
        r = *to ? 0 : -ENOMEM;
    } else if (name) {
        size_t len;
        const char *slash = *name == '/' ? NULL : strrchr(l->path, '/');
        char *path;
        if (asprintf(&path, "%.*s%s", slash ? (int)(slash - l->path) + 1 : 0, l->path, name) < 0)
            return -ENOMEM;
        r = read_file(l, path, what, to, &len);
        if (r < 0 && r != -ENOMEM)
            r = at_line(l, l->given[file_key], -EINVAL);
        snprintf(ret->where, sizeof(ret->where), "%.300s", path);
        free(path);
    }
    ret->text = *to;
    return r;
}

static gnutls_datum_t datum(const char *text) {
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
}

/* GnuTLS says no. */
static int fail_pem(struct loader *l, const struct pem *pem, const char *expected, int r) {
    if (r == GNUTLS_E_MEMORY_ERROR)
        return -ENOMEM;
    return fail(l, "%s: %s (%s)", pem->where, expected, gnutls_strerror(r));
}

static int warn_times(struct loader *l, const struct pem *pem, gnutls_x509_crt_t certificate) {
    const time_t now = time(NULL), begin = gnutls_x509_crt_get_activation_time(certificate),
                 end = gnutls_x509_crt_get_expiration_time(certificate);
    struct tm tm;
    char day[32] = "";
    if (now >= begin && now <= end)
        return 0;
    const time_t *limit = now > end ? &end : &begin;
    if (gmtime_r(limit, &tm))
        strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S UTC", &tm);
    fail(l, now > end ? "%s: the certificate has expired on %s, so that clients refuse it"
                      : "%s: the certificate is not valid before %s, so that clients refuse it",
         pem->where, day);
    return warn(l);
}

/* The certificate is one, and its key is the other's. */
static int check_pair(struct loader *l, const struct pem *cert, const struct pem *key,
                      gnutls_pk_algorithm_t *ret_algorithm) {
    gnutls_x509_crt_t *chain;
    gnutls_certificate_credentials_t credentials;
    gnutls_privkey_t private;
    unsigned count;
    gnutls_datum_t cert_datum = datum(cert->text), key_datum = datum(key->text);
    int r = gnutls_x509_crt_list_import2(&chain, &count, &cert_datum, GNUTLS_X509_FMT_PEM, 0);
    if (r < 0)
        return fail_pem(l, cert, "no certificate, expected one in PEM", r);
    *ret_algorithm = (gnutls_pk_algorithm_t)gnutls_x509_crt_get_pk_algorithm(chain[0], NULL);
    int result = warn_times(l, cert, chain[0]);
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
    if (result < 0)
        return result;

    r = gnutls_privkey_init(&private);
    if (r < 0)
        return -ENOMEM;
    r = gnutls_privkey_import_x509_raw(private, &key_datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_privkey_deinit(private);
    if (r == GNUTLS_E_DECRYPTION_FAILED || strstr(key->text, "ENCRYPTED"))
        return fail(l, "%s: the key is encrypted, expected one without a passphrase", key->where);
    if (r < 0)
        return fail_pem(l, key, "no private key, expected one in PEM", r);

    r = gnutls_certificate_allocate_credentials(&credentials);
    if (r < 0)
        return -ENOMEM;
    r = gnutls_certificate_set_x509_key_mem(credentials, &cert_datum, &key_datum,
                                            GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(credentials);
    if (r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return fail(l, "%.230s: the key is not that of the certificate in %.230s", key->where,
                    cert->where);
    return r < 0 ? fail_pem(l, cert, "the certificate can't be used", r) : 0;
}

static int check_ca(struct loader *l, const struct pem *ca) {
    gnutls_x509_crt_t *list;
    unsigned count;
    gnutls_datum_t ca_datum = datum(ca->text);
    int r = gnutls_x509_crt_list_import2(&list, &count, &ca_datum, GNUTLS_X509_FMT_PEM, 0);
    if (r < 0)
        return fail_pem(l, ca, "no certificate, expected those of client_ca in PEM", r);
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return 0;
}

/* Who may read what holds the key? */
static int warn_readable(struct loader *l) {
    const char *name;
    int r = read_text(l, KEY_FILE, &name);
    /* the key's file was read after the certificate's, if that is one */
    const struct web_file *file = r == 0 && name ? &l->config->files[l->config->file_count - 1]
                                                 : &l->config->files[0];
    if (r < 0 || !(file->as_read.st_mode & S_IROTH))
        return r;
    fail(l, "%.300s has the private key and can be read by all users, expected mode 0600 or 0640",
         file->path);
    return warn(l);
}

static int take_san(struct loader *l, const char *text, void *unused) {
    struct web_config *c = l->config;
    (void)unused;
    char **sans = realloc(c->allowed_sans, (c->allowed_san_count + 1) * sizeof(*sans));
    if (!sans)
        return -ENOMEM;
    c->allowed_sans = sans;
    sans[c->allowed_san_count] = strdup(text);
    return sans[c->allowed_san_count++] ? 0 : -ENOMEM;
}

/* client_auth_type, and what goes with it. */
static int read_client_auth(struct loader *l) {
    struct web_config *c = l->config;
    struct pem ca = {.text = NULL};
    const char *type = NULL;
    int r = read_pem(l, CLIENT_CA, CLIENT_CA_FILE, "certificates of a CA", &c->client_ca_pem, &ca);
    if (r == 0 && ca.text)
        r = check_ca(l, &ca);
    if (r == 0)
        r = read_text(l, CLIENT_AUTH_TYPE, &type);
    if (r < 0)
        return r;
    size_t t = 0;
    while (type && t < COUNT(client_auth_types) && strcmp(client_auth_types[t].name, type) != 0)
        t++;
    if (t == COUNT(client_auth_types))
        return at_line(l, l->given[CLIENT_AUTH_TYPE],
                       fail(l, "client_auth_type is \"%.60s\", expected NoClientCert, "
                               "RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven "
                               "or RequireAndVerifyClientCert",
                            type));
    c->client_auth = client_auth_types[t].type;
    const yaml_node_t *ca_node = l->given[l->given[CLIENT_CA_FILE] ? CLIENT_CA_FILE : CLIENT_CA],
                      *sans = l->given[CLIENT_ALLOWED_SANS];
    if (ca.text && c->client_auth == CLIENT_AUTH_NONE)
        return at_line(l, ca_node,
                       fail(l, "client_ca is given and clients are not asked for a certificate, "
                               "expected client_auth_type: RequireAndVerifyClientCert"));
    if (!ca.text && c->client_auth == CLIENT_AUTH_REQUIRE_AND_VERIFY)
        return at_line(l, l->given[CLIENT_AUTH_TYPE],
                       fail(l, "client_auth_type is %s without client_ca_file or client_ca, "
                               "expected the CA that signs the clients' certificates",
                            type));
    if (!ca.text && c->client_auth == CLIENT_AUTH_VERIFY_IF_GIVEN) {
        fail(l, "%.200s:%zu: client_auth_type is %s without client_ca_file or client_ca, so that "
                "clients are not asked for a certificate",
             l->path, l->given[CLIENT_AUTH_TYPE]->start_mark.line + 1, type);
        c->client_auth = CLIENT_AUTH_NONE;
        r = warn(l);
    }
    if (r == 0)
        r = read_list(l, CLIENT_ALLOWED_SANS, take_san, NULL);
    if (r == 0 && sans && c->allowed_san_count == 0)
        return at_line(l, sans, fail(l, "client_allowed_sans is empty, so that no client could "
                                        "connect, expected at least one name"));
    if (r == 0 && sans && c->client_auth != CLIENT_AUTH_REQUIRE_ANY &&
        c->client_auth != CLIENT_AUTH_REQUIRE_AND_VERIFY)
        return at_line(l, sans, fail(l, "client_allowed_sans is given and clients may connect "
                                        "without a certificate, expected client_auth_type: "
                                        "RequireAndVerifyClientCert"));
    if (r == 0 && sans && c->client_auth == CLIENT_AUTH_REQUIRE_ANY) {
        fail(l, "%.200s:%zu: client_allowed_sans means little with client_auth_type %s: anybody "
                "can make a certificate with these names; RequireAndVerifyClientCert asks who "
                "signed it",
             l->path, sans->start_mark.line + 1, type);
        r = warn(l);
    }
    return r;
}

static int take_suite(struct loader *l, const char *text, void *to) {
    struct tls_wish *wish = to;
    const struct tls_suite *suite;
    int r = tls_suite_find(text, &suite);
    if (r == -EPERM)
        return fail(l, "cipher_suites has %s, which is not secure, and Go's exporters refuse it",
                    text);
    if (r < 0)
        return fail(l, "cipher_suites has %.60s, expected Go's names, such as "
                       "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                    text);
    for (size_t i = 0; i < wish->suite_count; i++)
        if (wish->suites[i] == suite)
            return 0;
    wish->suites[wish->suite_count++] = suite;
    return 0;
}

static int take_curve(struct loader *l, const char *text, void *to) {
    struct tls_wish *wish = to;
    gnutls_group_t group;
    if (tls_curve_find(text, &group) < 0)
        return fail(l, "curve_preferences has %.60s, expected CurveP256, CurveP384, CurveP521 or "
                       "X25519",
                    text);
    for (size_t i = 0; i < wish->curve_count; i++)
        if (wish->curves[i] == group)
            return 0;
    wish->curves[wish->curve_count++] = group;
    return 0;
}

static int read_version(struct loader *l, enum key key, gnutls_protocol_t *to) {
    const char *text;
    int r = read_text(l, key, &text);
    if (r == 0 && text && tls_version_find(text, to) < 0)
        return at_line(l, l->given[key], fail(l, "%s is \"%.60s\", expected TLS10, TLS11, TLS12 or "
                                                 "TLS13",
                                              keys[key].name, text));
    return r;
}

/* What is wished for; the key of the certificate comes later. */
static int read_wish(struct loader *l, struct tls_wish *wish) {
    int r = read_version(l, MIN_VERSION, &wish->min);
    if (r == 0)
        r = read_version(l, MAX_VERSION, &wish->max);
    if (r == 0 && wish->min > wish->max)
        r = at_line(l, l->given[l->given[MAX_VERSION] ? MAX_VERSION : MIN_VERSION],
                    fail(l, "min_version is above max_version (by default TLS12 and TLS13), so "
                            "that nobody could connect"));
    if (r == 0)
        r = read_list(l, CIPHER_SUITES, take_suite, wish);
    if (r == 0)
        r = read_list(l, CURVE_PREFERENCES, take_curve, wish);
    if (r == 0)
        r = read_switch(l, PREFER_SERVER_CIPHER_SUITES, &wish->prefers_own_order);
    return r;
}

static int make_priorities(struct loader *l, const struct tls_wish *wish) {
    const yaml_node_t *node = NULL; /* a key that the trouble is about, in most cases */
    static const enum key about[] = {CIPHER_SUITES, MAX_VERSION, MIN_VERSION, CURVE_PREFERENCES};
    char *beyond;
    for (size_t i = 0; !node && i < COUNT(about); i++)
        node = l->given[about[i]];
    int r = tls_priorities(wish, &l->config->priorities, &beyond, l->error);
    if (r < 0)
        return node ? at_line(l, node, r) : r;
    if (beyond && node) {
        fail(l, "%.200s:%zu: cipher_suites also lets clients use %s, as GnuTLS combines key "
                "exchanges and ciphers on its own",
             l->path, node->start_mark.line + 1, beyond);
        r = warn(l);
    }
    free(beyond);
    return r;
}

static int read_tls(struct loader *l) {
    struct web_config *c = l->config;
    struct pem cert = {.text = NULL}, key = {.text = NULL};
    struct tls_wish wish = {.min = GNUTLS_TLS1_2, .max = GNUTLS_TLS1_3, .prefers_own_order = true};
    const yaml_node_t *first = NULL; /* of the section */
    for (size_t k = 0; k < KEYS; k++)
        if (l->given[k] && strcmp(keys[k].section, TLS_SECTION) == 0 &&
            (!first || l->given[k]->start_mark.line < first->start_mark.line))
            first = l->given[k];
    if (!first)
        return 0;
    int r = read_wish(l, &wish);
    if (r == 0)
        r = read_pem(l, CERT, CERT_FILE, "the server's certificate", &c->cert_pem, &cert);
    if (r == 0)
        r = read_pem(l, KEY, KEY_FILE, "the certificate's private key", &c->key_pem, &key);
    if (r == 0 && key.text)
        r = warn_readable(l);
    if (r == 0)
        r = read_client_auth(l);
    if (r < 0)
        return r;
    const bool has_client_auth = c->client_ca_pem || l->given[CLIENT_AUTH_TYPE];
    if (!cert.text && !key.text && !has_client_auth) { /* the toolkit goes without a word */
        fail(l, "%.200s:%zu: " TLS_SECTION " has neither cert_file nor key_file, so that "
                "connections are not encrypted",
             l->path, first->start_mark.line + 1);
        return warn(l);
    }
    if (!cert.text || !key.text)
        return at_line(l, first, fail(l, TLS_SECTION " has no %s, expected cert_file and key_file",
                                      cert.text ? "key_file" : "cert_file"));
    r = check_pair(l, &cert, &key, &wish.key);
    if (r == 0)
        r = make_priorities(l, &wish);
    c->tls = r == 0;
    return r;
}

/* ---- The whole ------------------------------------------------------------------------------------ */

static int read_document(struct loader *l) {
    const yaml_node_t *root = yaml_document_get_root_node(&l->document);
    bool http2; /* HTTP/1.1 is what we speak, and a client that could do more takes it */
    if (!root || is_nothing(root))
        return 0;
    int r = read_root(l, root);
    if (r == 0)
        r = read_tls(l);
    if (r == 0)
        r = read_switch(l, HTTP2, &http2);
    if (r == 0)
        r = read_headers(l);
    if (r == 0)
        r = read_users(l);
    if (r == 0)
        r = read_rate(l);
    return r;
}

/* A key may stand in the file itself. */
static void wipe_document(yaml_document_t *document) {
    for (yaml_node_t *n = document->nodes.start; n < document->nodes.top; n++)
        if (n->type == YAML_SCALAR_NODE)
            gnutls_memset(n->data.scalar.value, 0, n->data.scalar.length);
    yaml_document_delete(document);
}

static int fail_yaml(struct loader *l, const yaml_parser_t *parser) {
    if (parser->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    return fail(l, "%.200s:%zu: %s, expected YAML", l->path,
                (parser->problem_mark.line ? parser->problem_mark.line
                                           : parser->context_mark.line) + 1,
                parser->problem ? parser->problem : "not readable");
}

static int read_yaml(struct loader *l, const char *text, size_t len) {
    yaml_parser_t parser;
    yaml_document_t next;
    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    int r;
    if (!yaml_parser_load(&parser, &l->document)) {
        r = fail_yaml(l, &parser);
    } else {
        r = read_document(l);
        const bool is_end = !yaml_document_get_root_node(&l->document);
        wipe_document(&l->document);
        if (r == 0 && !is_end && !yaml_parser_load(&parser, &next)) {
            r = fail_yaml(l, &parser);
        } else if (r == 0 && !is_end) {
            const yaml_node_t *root = yaml_document_get_root_node(&next);
            if (root)
                r = at_line(l, root, fail(l, "a second document begins, expected one"));
            wipe_document(&next);
        }
    }
    gnutls_memset(parser.raw_buffer.start, 0,
                  (size_t)(parser.raw_buffer.end - parser.raw_buffer.start));
    gnutls_memset(parser.buffer.start, 0, (size_t)(parser.buffer.end - parser.buffer.start));
    yaml_parser_delete(&parser);
    return r;
}

int web_config_load(const char *path, struct web_config **ret, struct tally_error *error) {
    struct tally_error unused = {{0}};
    struct loader l = {.path = path, .error = error ? error : &unused};
    char *text = NULL;
    size_t len = 0;
    l.config = calloc(1, sizeof(*l.config));
    int r = l.config ? read_file(&l, path, "a web configuration", &text, &len) : -ENOMEM;
    if (r == 0)
        r = read_yaml(&l, text, len);
    wipe(text, len);
    if (r == -ENOMEM)
        fail(&l, "out of memory");
    if (r < 0) {
        web_config_free(l.config);
        return r;
    }
    l.error->text[0] = 0;
    *ret = l.config;
    return 0;
}

struct web_config *web_config_free(struct web_config *c) {
    if (!c)
        return NULL;
    wipe_text(c->key_pem);
    free(c->cert_pem);
    free(c->client_ca_pem);
    free(c->priorities);
    for (size_t i = 0; i < c->allowed_san_count; i++)
        free(c->allowed_sans[i]);
    free(c->allowed_sans);
    for (size_t i = 0; i < c->header_count; i++) {
        free(c->headers[i].name);
        free(c->headers[i].value);
    }
    free(c->headers);
    for (size_t i = 0; i < c->user_count; i++) {
        free(c->users[i].name);
        wipe_text(c->users[i].hash);
    }
    free(c->users);
    for (size_t i = 0; i < c->warning_count; i++)
        free(c->warnings[i]);
    free(c->warnings);
    for (size_t i = 0; i < c->file_count; i++)
        free(c->files[i].path);
    free(c);
    return NULL;
}

bool web_config_has_changed(const struct web_config *c) {
    bool has_changed = false;
    for (size_t i = 0; i < c->file_count; i++) {
        const struct stat now = watch_look(c->files[i].path);
        if (watch_is_same(&now, &c->files[i].as_read))
            continue;
        if (watch_is_being_written(&now))
            return false;
        has_changed = true;
    }
    return has_changed;
}
