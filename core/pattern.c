/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "pattern.h"

#include "build-config.h"
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Steps that one match may take. An honest pattern takes a few per byte; the
 * longest command line has 64 KiB. A million is some 10 ms of work. */
#define MATCH_LIMIT 1000000
/* Where matches keep their way back; what the longest command line needs. */
#define JIT_STACK_MOST (512u << 10)
#define HEAP_LIMIT_KIB (16u << 10)
#endif

struct pattern {
    char *text;
    const char *substring; /* into text; NULL: a regular expression */
#ifdef HAVE_PCRE2
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *jit_stack;
    const char *subject; /* of the last match */
#endif
};

void pattern_free(struct pattern *p) {
    if (!p)
        return;
#ifdef HAVE_PCRE2
    pcre2_jit_stack_free(p->jit_stack);
    pcre2_match_context_free(p->context);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
#endif
    free(p->text);
    free(p);
}

#ifdef HAVE_PCRE2
static int compile(struct pattern *p, const char *regex, size_t len, struct tally_error *error) {
    int code;
    PCRE2_SIZE offset;
    p->code = pcre2_compile((PCRE2_SPTR)regex, len, PCRE2_NEVER_UTF, &code, &offset, NULL);
    if (!p->code) {
        PCRE2_UCHAR message[120];
        pcre2_get_error_message(code, message, sizeof(message));
        error_set(error, "regular expression \"%.*s\" is wrong at character %zu: %s",
                  (int)(len < 200 ? len : 200), regex, (size_t)offset + 1, (const char *)message);
        return -EINVAL;
    }
    /* without JIT (some kernels forbid it) matching interprets: slower, no less right */
    bool is_compiled = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
    p->context = pcre2_match_context_create(NULL);
    if (is_compiled)
        p->jit_stack = pcre2_jit_stack_create(32u << 10, JIT_STACK_MOST, NULL);
    if (!p->match || !p->context || (is_compiled && !p->jit_stack)) {
        error_set(error, "out of memory");
        return -ENOMEM;
    }
    pcre2_jit_stack_assign(p->context, NULL, p->jit_stack);
    pcre2_set_match_limit(p->context, MATCH_LIMIT);
    pcre2_set_heap_limit(p->context, HEAP_LIMIT_KIB);
    return 0;
}
#else
static int compile(struct pattern *p, const char *regex, size_t len, struct tally_error *error) {
    (void)p;
    error_set(error, "regular expression \"%.*s\": this build has no PCRE2",
              (int)(len < 200 ? len : 200), regex);
    return -ENOTSUP;
}
#endif

static int pattern_alloc(const char *text, struct pattern **ret, struct tally_error *error) {
    struct pattern *p = calloc(1, sizeof(*p));
    if (p)
        p->text = strdup(text);
    if (!p || !p->text) {
        free(p);
        error_set(error, "out of memory");
        return -ENOMEM;
    }
    *ret = p;
    return 0;
}

int pattern_new(const char *regex, struct pattern **ret, struct tally_error *error) {
    struct pattern *p;
    int r = pattern_alloc(regex, &p, error);
    if (r < 0)
        return r;
    r = compile(p, p->text, strlen(p->text), error);
    if (r < 0) {
        pattern_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

int pattern_new_filter(const char *text, struct pattern **ret, struct tally_error *error) {
    struct pattern *p;
    int r = pattern_alloc(text, &p, error);
    if (r < 0)
        return r;
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '/' && text[len - 1] == '/')
        r = compile(p, p->text + 1, len - 2, error);
    else
        p->substring = p->text;
    if (r < 0) {
        pattern_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

int pattern_match(struct pattern *p, const char *text, size_t len) {
    if (p->substring)
        return memmem(text, len, p->substring, strlen(p->substring)) != NULL;
#ifdef HAVE_PCRE2
    p->subject = text;
    int r = pcre2_match(p->code, (PCRE2_SPTR)text, len, 0, 0, p->match, p->context);
    if (r >= 0)
        return 1;
    return r == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
#else
    return 0;
#endif
}

bool pattern_capture(const struct pattern *p, size_t i, const char **ret_name, const char **ret_at,
                     size_t *ret_len) {
#ifdef HAVE_PCRE2
    uint32_t count, size;
    PCRE2_SPTR table;
    if (p->substring)
        return false;
    pcre2_pattern_info(p->code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(p->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(p->code, PCRE2_INFO_NAMETABLE, &table);
    if (i >= count)
        return false;
    /* an entry: the group's number in two bytes, big-endian, then its name */
    const unsigned char *entry = table + i * size;
    size_t number = (size_t)entry[0] << 8 | entry[1];
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(p->match);
    *ret_name = (const char *)entry + 2;
    *ret_at = p->subject;
    *ret_len = 0;
    if (span[2 * number] != PCRE2_UNSET && span[2 * number + 1] >= span[2 * number]) {
        *ret_at += span[2 * number];
        *ret_len = span[2 * number + 1] - span[2 * number];
    }
    return true;
#else
    (void)p, (void)i, (void)ret_name, (void)ret_at, (void)ret_len;
    return false;
#endif
}

const char *pattern_text(const struct pattern *p) {
    return p->text;
}
