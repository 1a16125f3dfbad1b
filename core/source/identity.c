/* SPDX-License-Identifier: MIT */
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
    size_t at = path.len;
    while (at && path.at[at - 1] != '/')
        at--;
    return at < path.len ? (struct text){path.at + at, path.len - at} : path;
}

bool text_is(struct text text, const char *other) {
    return strlen(other) == text.len && (text.len == 0 || memcmp(text.at, other, text.len) == 0);
}
