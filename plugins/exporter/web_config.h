/* SPDX-License-Identifier: MIT */
/* The web configuration file: who may scrape, and how the connection is protected. The
 * format is the one that all exporters of Prometheus have (exporter-toolkit). */
#ifndef WEB_CONFIG_H
#define WEB_CONFIG_H

#include "proctally.h"

#include <sys/stat.h>

/* What is asked of a client's certificate. */
enum client_auth {
    CLIENT_AUTH_NONE,        /* none is asked for */
    CLIENT_AUTH_REQUEST,     /* any is taken, and none too */
    CLIENT_AUTH_REQUIRE_ANY, /* there must be one, signed by anybody */
    CLIENT_AUTH_VERIFY_IF_GIVEN,
    CLIENT_AUTH_REQUIRE_AND_VERIFY, /* the only one that says who the client is */
};

struct web_header { /* to be in each response */
    char *name, *value;
};

struct web_user {
    char *name; /* no colon in it */
    char *hash; /* bcrypt: $2a$, $2b$ or $2y$, 60 characters */
};

struct web_file {
    char *path;
    struct stat as_read;
};

/* All of it is owned by the struct, and never changes. */
struct web_config {
    bool tls;                       /* else what follows, up to priorities, is NULL or 0 */
    char *cert_pem;                 /* the server's, with its chain */
    char *key_pem;                  /* its private key */
    char *client_ca_pem;            /* NULL: none given */
    enum client_auth client_auth;   /* what tls_begin() and tls_check_client() go by */
    char **allowed_sans;            /* one of these in the client's certificate; none: any */
    size_t allowed_san_count;
    char *priorities;               /* protocol versions, ciphers and curves for GnuTLS */

    struct web_header *headers;
    size_t header_count;
    struct web_user *users;         /* none: everybody */
    size_t user_count;
    uint64_t rate_interval_ns;      /* 0: no limit */
    unsigned rate_burst;            /* at least 1 with a limit */

    char **warnings; /* what is taken but hardly meant; sentences like an error's */
    size_t warning_count;

    struct web_file files[4]; /* the file itself comes first */
    size_t file_count;
};

/* Reads the file, and the certificate, key and CA that it names, and checks that the
 * certificate is one and belongs to the key. An empty file is plain HTTP for everybody.
 * -EINVAL, with a sentence that has file and line and no secret; of the file itself what
 * open(2) says, and -E2BIG; -ENOMEM. */
int web_config_load(const char *path, struct web_config **ret, struct tally_error *error);

/* Wipes what is secret (GnuTLS does not wipe all that it read of a key). NULL is fine; returns
 * NULL. */
struct web_config *web_config_free(struct web_config *config);

/* Is it worth to load it again? True if one of the files is not the one that was read, and
 * all have been left alone for two seconds and are not empty: half a file would be a server
 * without passwords. Stays true while loading fails, so the server says an error
 * again only if it is another one. */
bool web_config_has_changed(const struct web_config *config);

#endif
