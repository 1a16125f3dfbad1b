/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/identity.h"

#include <string.h>

struct text identity_argv0(const struct identity *id) {
    if (id->cmdline.len == 0)
        return id->comm;
    return (struct text){id->cmdline.at, strnlen(id->cmdline.at, id->cmdline.len)};
}

struct text identity_first_word(const struct identity *id) {
    struct text word = identity_argv0(id);
    if (id->cmdline.len == 0 || word.len < id->cmdline.len)
        return word; /* a name, or one of several arguments: it may have spaces in it */
    while (word.len && *word.at == ' ')
        word.at++, word.len--;
    const char *space = word.len ? memchr(word.at, ' ', word.len) : NULL;
    if (space)
        word.len = (size_t)(space - word.at);
    return word;
}

struct text text_base_name(struct text path) {
    const char *slash = path.len ? memrchr(path.at, '/', path.len) : NULL;
    if (slash && slash + 1 < path.at + path.len)
        return (struct text){slash + 1, (size_t)(path.at + path.len - slash - 1)};
    return path;
}

bool text_is(struct text text, const char *other) {
    return strlen(other) == text.len && (text.len == 0 || memcmp(text.at, other, text.len) == 0);
}
