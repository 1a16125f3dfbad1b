/* SPDX-License-Identifier: MIT */
#include "base/json_find.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* Longer keys than this are none that anybody looks for. */
#define KEY_SIZE 128

struct parser {
    const char *at, *end;
    struct json_text *wanted;
    size_t count;
};

static void skip_blanks(struct parser *p) {
    while (p->at < p->end && strchr(" \t\n\r", *p->at) && *p->at)
        p->at++;
}

static bool take(struct parser *p, char c) {
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static bool take_word(struct parser *p, const char *word) {
    const size_t len = strlen(word);
    if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
        return false;
    p->at += len;
    return true;
}

/* ---- Strings ------------------------------------------------------------------------------- */

/* Where a string goes to; NULL: nowhere. */
struct target {
    char *to;
    size_t size, len;
    bool full; /* something did not fit: nothing behind it is to come in either */
};

static void put(struct target *t, const char *bytes, size_t len) {
    if (!t || t->full)
        return;
    if (t->size - t->len < len) {
        t->full = true;
        return;
    }
    memcpy(t->to + t->len, bytes, len);
    t->len += len;
}

static void put_character(struct target *t, uint32_t code) {
    char b[4];
    size_t len;
    if (code < 0x80) {
        b[0] = (char)code;
        len = 1;
    } else if (code < 0x800) {
        b[0] = (char)(0xc0 | code >> 6);
        b[1] = (char)(0x80 | (code & 0x3f));
        len = 2;
    } else if (code < 0x10000) {
        b[0] = (char)(0xe0 | code >> 12);
        b[1] = (char)(0x80 | (code >> 6 & 0x3f));
        b[2] = (char)(0x80 | (code & 0x3f));
        len = 3;
    } else {
        b[0] = (char)(0xf0 | code >> 18);
        b[1] = (char)(0x80 | (code >> 12 & 0x3f));
        b[2] = (char)(0x80 | (code >> 6 & 0x3f));
        b[3] = (char)(0x80 | (code & 0x3f));
        len = 4;
    }
    put(t, b, len);
}

/* Four digits behind "\u". */
static bool take_code(struct parser *p, uint32_t *ret) {
    uint32_t code = 0;
    if (p->end - p->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        const char c = *p->at++;
        if (c >= '0' && c <= '9')
            code = code << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            code = code << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    *ret = code;
    return true;
}

/* A character beyond the first 65536 is two codes; half of one is U+FFFD. */
static bool take_unicode(struct parser *p, struct target *t) {
    uint32_t code, low;
    if (!take_code(p, &code))
        return false;
    if (code >= 0xd800 && code < 0xdc00 && take_word(p, "\\u")) {
        if (!take_code(p, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000) {
            put_character(t, 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00)));
            return true;
        }
        put_character(t, 0xfffd);
        code = low;
    }
    put_character(t, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return true;
}

static bool take_escape(struct parser *p, struct target *t) {
    static const char names[] = "\"\\/bfnrt", characters[] = "\"\\/\b\f\n\r\t";
    if (p->at == p->end)
        return false;
    const char c = *p->at++;
    if (c == 'u')
        return take_unicode(p, t);
    const char *name = c ? strchr(names, c) : NULL;
    if (!name)
        return false;
    put(t, &characters[name - names], 1);
    return true;
}

/* As many bytes as belong to the character that begins here, if it is one: it is cut as a
 * whole. What is none is left to whoever shows it. */
static size_t character_len(const struct parser *p) {
    const unsigned char first = (unsigned char)*p->at;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    for (size_t i = 1; i < len; i++)
        if (p->at + i == p->end || ((unsigned char)p->at[i] & 0xc0) != 0x80)
            return 1;
    return len;
}

static bool take_string(struct parser *p, struct target *t) {
    if (!take(p, '"'))
        return false;
    while (p->at < p->end) {
        const unsigned char c = (unsigned char)*p->at;
        if (c == '"') {
            p->at++;
            return true;
        }
        if (c < 0x20)
            return false;
        if (c == '\\') {
            p->at++;
            if (!take_escape(p, t))
                return false;
            continue;
        }
        const size_t len = character_len(p);
        put(t, p->at, len);
        p->at += len;
    }
    return false;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool take_digits(struct parser *p) {
    const char *first = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > first;
}

static bool take_number(struct parser *p) {
    (void)take(p, '-');
    if (!take(p, '0') && !take_digits(p))
        return false;
    if (take(p, '.') && !take_digits(p))
        return false;
    if (p->at < p->end && (*p->at | 0x20) == 'e') {
        p->at++;
        if (!take(p, '+'))
            (void)take(p, '-');
        return take_digits(p);
    }
    return true;
}

/* `alive`: those that are looked for whose first `keys` keys lead here. */
static bool take_value(struct parser *p, unsigned depth, size_t keys, uint32_t alive);

static uint32_t with_key(const struct parser *p, size_t keys, uint32_t alive,
                         const struct target *key) {
    uint32_t left = 0;
    for (size_t i = 0; i < p->count; i++) {
        const char *wanted = alive & 1u << i ? p->wanted[i].path[keys] : NULL;
        if (wanted && !key->full && strlen(wanted) == key->len &&
            memcmp(wanted, key->to, key->len) == 0)
            left |= 1u << i;
    }
    return left;
}

static bool take_member(struct parser *p, unsigned depth, size_t keys, uint32_t alive) {
    char text[KEY_SIZE];
    struct target key = {.to = text, .size = sizeof(text)};
    skip_blanks(p);
    if (!take_string(p, alive ? &key : NULL))
        return false;
    skip_blanks(p);
    return take(p, ':') &&
           take_value(p, depth + 1, keys + 1, alive ? with_key(p, keys, alive, &key) : 0);
}

/* What stands between the brackets of an object or an array, and the closing one. */
static bool take_members(struct parser *p, unsigned depth, bool is_object, size_t keys,
                         uint32_t alive) {
    const char closing = is_object ? '}' : ']';
    skip_blanks(p);
    if (take(p, closing))
        return true;
    do {
        if (!(is_object ? take_member(p, depth, keys, alive) : take_value(p, depth + 1, 0, 0)))
            return false;
        skip_blanks(p);
    } while (take(p, ','));
    return take(p, closing);
}

static bool take_text(struct parser *p, size_t keys, uint32_t alive) {
    for (size_t i = 0; i < p->count; i++)
        if (alive & 1u << i && !p->wanted[i].path[keys]) {
            struct json_text *w = &p->wanted[i];
            struct parser again = *p;
            struct target t = {.to = w->to, .size = w->size};
            w->found = take_string(&again, &t);
            w->len = t.len;
        }
    return take_string(p, NULL);
}

/* What was found under the same key before is no longer so. */
static void forget(struct parser *p, uint32_t alive) {
    for (size_t i = 0; i < p->count; i++)
        if (alive & 1u << i)
            p->wanted[i].found = false;
}

static bool take_value(struct parser *p, unsigned depth, size_t keys, uint32_t alive) {
    skip_blanks(p);
    if (depth > JSON_DEPTH || p->at == p->end)
        return false;
    forget(p, alive);
    switch (*p->at) {
    case '{':
    case '[': {
        const bool is_object = *p->at++ == '{';
        return take_members(p, depth, is_object, keys, is_object ? alive : 0);
    }
    case '"':
        return take_text(p, keys, alive);
    case 't':
        return take_word(p, "true");
    case 'f':
        return take_word(p, "false");
    case 'n':
        return take_word(p, "null");
    default:
        return take_number(p);
    }
}

int json_find(const char *buf, size_t len, struct json_text *wanted, size_t count) {
    struct parser p = {.at = buf, .end = buf + len, .wanted = wanted, .count = count};
    const uint32_t all = count >= JSON_TEXTS ? UINT32_MAX : (1u << count) - 1;
    bool ok = count <= JSON_TEXTS && take_value(&p, 0, 0, all);
    skip_blanks(&p);
    if (ok && p.at == p.end)
        return 0;
    for (size_t i = 0; i < count; i++)
        wanted[i].found = false;
    return -EBADMSG;
}

int json_array_next(struct json_array *array, const char **ret_at, size_t *ret_len) {
    struct parser p = {.at = array->at, .end = array->end};
    skip_blanks(&p);
    if (!take(&p, array->begun ? ',' : '[')) {
        if (!array->begun || !take(&p, ']'))
            return -EBADMSG;
        skip_blanks(&p);
        return p.at == p.end ? 0 : -EBADMSG;
    }
    skip_blanks(&p);
    if (!array->begun && take(&p, ']')) {
        skip_blanks(&p);
        return p.at == p.end ? 0 : -EBADMSG;
    }
    const char *first = p.at;
    if (!take_value(&p, 1, 0, 0))
        return -EBADMSG;
    *ret_at = first;
    *ret_len = (size_t)(p.at - first);
    array->at = p.at;
    array->begun = true;
    return 1;
}
