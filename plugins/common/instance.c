/* SPDX-License-Identifier: MIT */
#include "instance.h"

#include "sha256.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* With a simpler hash whoever can start processes could compute a name that is cut to the
 * same instance as another user's. */
uint64_t instance_number(const char *name) {
    unsigned char digest[SHA256_BYTES];
    uint64_t first = 0;
    sha256(name, strlen(name), digest);
    for (size_t i = 0; i < 8; i++)
        first = first << 8 | digest[i];
    return first ? first : 1;
}

static bool has_suffix(const char *name, size_t len) {
    if (len < INSTANCE_SUFFIX)
        return false;
    const char *suffix = name + len - INSTANCE_SUFFIX;
    return *suffix == '~' && strspn(suffix + 1, "0123456789abcdef") == INSTANCE_SUFFIX - 1;
}

static uint64_t change(const char *name, char *to, size_t size) {
    const uint64_t hash = instance_number(name);
    const size_t room = size - 1 - INSTANCE_SUFFIX;
    size_t len = strlen(name);
    if (len > room) {
        len = room;
        while (len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80)
            len--; /* between two characters */
    }
    for (size_t i = 0; i < len; i++)
        to[i] = name[i] == '/' ? '_' : name[i];
    snprintf(to + len, INSTANCE_SUFFIX + 1, "~%016" PRIx64, hash);
    return hash;
}

uint64_t instance_of(const char *name, char *to, size_t size) {
    size_t len = strlen(name);
    if (len >= size || strchr(name, '/') || has_suffix(name, len))
        return change(name, to, size);
    memcpy(to, name, len + 1);
    return 0;
}

uint64_t instance_of_directory(const char *name, char *to, size_t size) {
    if (name[0] != '.')
        return instance_of(name, to, size);
    uint64_t hash = change(name, to, size);
    to[0] = '_';
    return hash;
}
