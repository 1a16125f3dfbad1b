/* SPDX-License-Identifier: MIT */
/* The web configuration file, which may name others by numbers of open descriptors. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "web_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_web(const struct web_config *web) {
    CHECK(!web->tls == !web->cert_pem && !web->tls == !web->key_pem && !web->tls == !web->priorities,
          "TLS by halves");
    CHECK(web->client_auth == CLIENT_AUTH_NONE || web->tls, "clients' certificates without TLS");
    CHECK(web->client_auth < CLIENT_AUTH_VERIFY_IF_GIVEN || web->client_ca_pem,
          "nothing to verify clients by");
    for (size_t i = 0; i < web->header_count; i++)
        for (const char *c = web->headers[i].value; *c; c++)
            CHECK((unsigned char)*c >= ' ' && *c != 0x7f, "a control character in a header");
    for (size_t i = 0; i < web->user_count; i++) {
        CHECK(web->users[i].name[0] && !strchr(web->users[i].name, ':'), "a user \"%s\"",
              web->users[i].name);
        CHECK(strlen(web->users[i].hash) == 60 && strncmp(web->users[i].hash, "$2", 2) == 0,
              "the hash of %s", web->users[i].name);
    }
    CHECK(web->rate_interval_ns == 0 || web->rate_burst >= 1, "nobody may ask");
    CHECK(web->file_count >= 1 && web->files[0].path, "it has forgotten its own file");
}

FUZZ_TARGET(web) {
    char path[50];
    int fd = memfd_create("web", MFD_CLOEXEC);
    CHECK(fd >= 0, "memfd_create(): %s", strerror(errno));
    CHECK(write(fd, data, len) == (ssize_t)len, "write(): %s", strerror(errno));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct web_config *web = NULL;
    struct tally_error error;
    int r = web_config_load(path, &web, &error);
    CHECK(r == 0 || r == -EINVAL || (r < 0 && !web), "web_config_load(): %d", r);
    if (r < 0) {
        check_error(&error);
    } else {
        check_web(web);
        for (size_t i = 0; i < web->warning_count; i++) {
            snprintf(error.text, sizeof(error.text), "%s", web->warnings[i]);
            check_error(&error);
        }
        (void)web_config_has_changed(web);
    }
    web_config_free(web);
    close(fd);
    return 0;
}
