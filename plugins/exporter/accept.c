/* SPDX-License-Identifier: MIT */
#include "accept.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Letters, digits and the rest of a token of RFC 9110, and the slash between two. */
static size_t word_len(const char *at) {
    return strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                      "!#$%&'*+-.^_`|~/");
}

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t");
}

static bool is_word(const char *at, size_t len, const char *word) {
    return len == strlen(word) && strncasecmp(at, word, len) == 0;
}

/* Thousandths; what can't be read is 1, as if it were not there. */
static int read_quality(const char *at, size_t len) {
    if (len == 0 || (at[0] != '0' && at[0] != '1') || (len > 1 && at[1] != '.') || len > 5)
        return 1000;
    int thousandths = (at[0] - '0') * 1000;
    for (size_t i = 2, unit = 100; i < len; i++, unit /= 10) {
        if (at[i] < '0' || at[i] > '9')
            return 1000;
        thousandths += (at[i] - '0') * (int)unit;
    }
    return thousandths > 1000 ? 1000 : thousandths;
}

/* One element of a list: what it is about, its version and its q-value. */
struct element {
    const char *word, *version; /* version: NULL if not given */
    size_t word_len, version_len;
    int quality;
};

/* Behind the value of a parameter, quoted or not. */
static const char *read_value(const char *at, const char **ret_value, size_t *ret_len) {
    if (*at != '"') {
        *ret_value = at;
        *ret_len = word_len(at);
        return at + *ret_len;
    }
    *ret_value = ++at;
    while (*at && *at != '"')
        at += at[0] == '\\' && at[1] ? 2 : 1;
    *ret_len = (size_t)(at - *ret_value);
    return *at ? at + 1 : at;
}

/* Reads the element at *at, and moves behind it; false at the end of the list. */
static bool next_element(const char **at, struct element *ret) {
    const char *p = *at + strspn(*at, " \t,");
    if (!*p)
        return false;
    *ret = (struct element){.word = p, .word_len = word_len(p), .quality = 1000};
    p = skip_blanks(p + ret->word_len);
    while (*p == ';') {
        const char *name = skip_blanks(p + 1), *value = name;
        size_t name_len = word_len(name), value_len = 0;
        p = skip_blanks(name + name_len);
        if (*p == '=')
            p = skip_blanks(read_value(skip_blanks(p + 1), &value, &value_len));
        if (is_word(name, name_len, "q")) {
            ret->quality = read_quality(value, value_len);
        } else if (is_word(name, name_len, "version")) {
            ret->version = value;
            ret->version_len = value_len;
        }
    }
    /* what makes no sense goes with its element */
    p += strcspn(p, ",");
    *at = p;
    return true;
}

static bool has_version(const struct element *e, const char *version) {
    return !e->version || is_word(e->version, e->version_len, version);
}

enum text_format accept_format(const char *accept) {
    struct element e;
    enum text_format best = TEXT_FORMAT_PROMETHEUS;
    int best_quality = 0;
    while (accept && next_element(&accept, &e)) {
        enum text_format format = TEXT_FORMAT_PROMETHEUS;
        if (is_word(e.word, e.word_len, "application/openmetrics-text")) {
            if (!has_version(&e, "1.0.0"))
                continue;
            format = TEXT_FORMAT_OPENMETRICS;
        } else if (is_word(e.word, e.word_len, "text/plain")) {
            if (!has_version(&e, "0.0.4"))
                continue;
        } else if (!is_word(e.word, e.word_len, "text/*") &&
                   !is_word(e.word, e.word_len, "*/*")) {
            continue;
        }
        if (e.quality > best_quality) {
            best = format;
            best_quality = e.quality;
        }
    }
    return best;
}

bool accept_gzip(const char *accept_encoding) {
    struct element e;
    bool any = false, is_named = false, named = false;
    while (accept_encoding && next_element(&accept_encoding, &e)) {
        if (is_word(e.word, e.word_len, "gzip") || is_word(e.word, e.word_len, "x-gzip")) {
            is_named = true;
            named = e.quality > 0;
        } else if (is_word(e.word, e.word_len, "*")) {
            any = e.quality > 0;
        }
    }
    return is_named ? named : any;
}
