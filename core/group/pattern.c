/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "group/pattern.h"

#include "build-config.h"
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Any user chooses the command lines that patterns are matched with, and PCRE2's
 * own limits do not bound the work: they are counted anew from each character that
 * a match could start at, and by JIT not within repeats of one character. So JIT,
 * which is fast, gets short texts and few steps, with which neither matters much;
 * the rest is interpreted, with a look at the clock every few steps. */
#define JIT_MOST 512u
#define JIT_STEPS 1000
#define MATCH_NS (20 * UINT64_C(1000000))
#define STEPS_BETWEEN_LOOKS 64u
/* In a step one item of the pattern goes over all of the text, at the most. What the clock
 * says beyond that is not the match's: while a hypervisor runs others, or an emulator
 * translates, the clock of the thread that it has stopped goes on. */
#define STEP_NS_MOST 1000u
#define STEP_NS_PER_BYTE_MOST 10u
/* Interpreting takes some 25 ns for each byte with patterns as people write them. */
#define FREE_NS_PER_BYTE 100u
#define FREE_NS_MOST UINT64_C(1000000)
#define HEAP_LIMIT_KIB (16u << 10)
#endif

struct pattern {
    char *text;
    const char *substring; /* into text; NULL: a regular expression */
#ifdef HAVE_PCRE2
    /* The regular expression twice: on characters, for text in UTF-8, and on bytes, for what
     * is plain ASCII (where it is the same, and faster) or not UTF-8 at all. One of them may
     * be missing: \x{20ac} is no byte. */
    struct code {
        pcre2_code *fast, *guarded; /* the same, the latter with a callout at each step */
    } on_bytes, on_characters;
    pcre2_match_data *match;
    pcre2_match_context *fast_context, *guarded_context;
    /* of the match that goes on */
    uint64_t steps, looked_ns, between_ns_most, taken_ns, limit_ns;
    const char *subject; /* of the last match */
#endif
};

void pattern_free(struct pattern *p) {
    if (!p)
        return;
#ifdef HAVE_PCRE2
    pcre2_match_context_free(p->fast_context);
    pcre2_match_context_free(p->guarded_context);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->on_bytes.fast);
    pcre2_code_free(p->on_bytes.guarded);
    pcre2_code_free(p->on_characters.fast);
    pcre2_code_free(p->on_characters.guarded);
#endif
    free(p->text);
    free(p);
}

#ifdef HAVE_PCRE2
static uint64_t cpu_ns(void) {
    struct timespec t = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int look_at_clock(pcre2_callout_block *block, void *data) {
    struct pattern *p = data;
    (void)block;
    if (++p->steps % STEPS_BETWEEN_LOOKS != 0)
        return 0;
    const uint64_t now_ns = cpu_ns(), since_ns = now_ns - p->looked_ns;
    p->looked_ns = now_ns;
    p->taken_ns += since_ns < p->between_ns_most ? since_ns : p->between_ns_most;
    return p->taken_ns < p->limit_ns ? 0 : PCRE2_ERROR_CALLOUT; /* gives the match up */
}

static int match_guarded(struct pattern *p, const struct code *code, const char *text, size_t len,
                         struct match_time *time) {
    uint64_t free_ns = len * FREE_NS_PER_BYTE;
    if (free_ns > FREE_NS_MOST)
        free_ns = FREE_NS_MOST;
    if (time->left_ns == 0 && time->may_defer)
        free_ns = 0;
    p->limit_ns = free_ns + time->left_ns;
    const bool is_short_of_time = p->limit_ns < MATCH_NS;
    if (!is_short_of_time)
        p->limit_ns = MATCH_NS;
    p->between_ns_most = STEPS_BETWEEN_LOOKS * (STEP_NS_MOST + STEP_NS_PER_BYTE_MOST * len);
    p->steps = 0;
    p->taken_ns = 0; /* so few steps as not to be looked at cost nothing */
    int r = PCRE2_ERROR_CALLOUT;
    if (p->limit_ns) {
        p->looked_ns = cpu_ns();
        r = pcre2_match(code->guarded, (PCRE2_SPTR)text, len, 0, 0, p->match, p->guarded_context);
    }
    uint64_t counted_ns = p->taken_ns > free_ns ? p->taken_ns - free_ns : 0;
    time->left_ns -= counted_ns < time->left_ns ? counted_ns : time->left_ns;
    if (r == PCRE2_ERROR_CALLOUT && is_short_of_time)
        time->ran_out = true;
    return r;
}

static pcre2_code *compile_with(const char *regex, size_t len, uint32_t options,
                                struct tally_error *error) {
    int code;
    PCRE2_SIZE offset;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)regex, len, options, &code, &offset, NULL);
    if (!compiled) {
        PCRE2_UCHAR message[120];
        pcre2_get_error_message(code, message, sizeof(message));
        error_set(error, "regular expression \"%.*s\" is wrong at character %zu: %s",
                  (int)(len < 200 ? len : 200), regex, (size_t)offset + 1, (const char *)message);
    }
    return compiled;
}

/* PCRE2's way to say that it is not UTF-8, by the kind of mistake. */
static bool is_not_utf8(int r) {
    return r <= PCRE2_ERROR_UTF8_ERR1 && r >= PCRE2_ERROR_UTF8_ERR21;
}

static bool compile_code(const char *regex, size_t len, uint32_t options, struct code *ret,
                         struct tally_error *error) {
    ret->fast = compile_with(regex, len, options, error);
    if (ret->fast)
        ret->guarded = compile_with(regex, len, options | PCRE2_AUTO_CALLOUT, error);
    /* without JIT (some kernels forbid it) matching interprets: slower, no less right */
    if (ret->guarded)
        pcre2_jit_compile(ret->fast, PCRE2_JIT_COMPLETE);
    return ret->guarded != NULL;
}

static int compile(struct pattern *p, const char *regex, size_t len, struct tally_error *error) {
    struct tally_error unused;
    const bool on_bytes =
        compile_code(regex, len, PCRE2_NEVER_UTF, &p->on_bytes, error ? error : &unused);
    /* \C is a byte even there */
    const bool on_characters = compile_code(regex, len, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C,
                                            &p->on_characters, &unused);
    if (!on_bytes && !on_characters)
        return -EINVAL;
    if (error)
        error->text[0] = '\0';
    const pcre2_code *either = on_bytes ? p->on_bytes.fast : p->on_characters.fast;
    p->match = pcre2_match_data_create_from_pattern(either, NULL);
    p->fast_context = pcre2_match_context_create(NULL);
    p->guarded_context = pcre2_match_context_create(NULL);
    if (!p->match || !p->fast_context || !p->guarded_context) {
        error_set(error, "out of memory");
        return -ENOMEM;
    }
    pcre2_set_match_limit(p->fast_context, JIT_STEPS);
    pcre2_set_heap_limit(p->fast_context, HEAP_LIMIT_KIB);
    pcre2_set_heap_limit(p->guarded_context, HEAP_LIMIT_KIB);
    pcre2_set_callout(p->guarded_context, look_at_clock, p);
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

#ifdef HAVE_PCRE2
static bool is_ascii(const char *text, size_t len) {
    unsigned char all = 0;
    for (size_t i = 0; i < len; i++)
        all |= (unsigned char)text[i];
    return all < 0x80;
}

static int match_code(struct pattern *p, const struct code *code, const char *text, size_t len,
                      struct match_time *time) {
    int r = PCRE2_ERROR_MATCHLIMIT;
    if (len <= JIT_MOST)
        r = pcre2_match(code->fast, (PCRE2_SPTR)text, len, 0, 0, p->match, p->fast_context);
    if (r < 0 && r != PCRE2_ERROR_NOMATCH && !is_not_utf8(r))
        r = match_guarded(p, code, text, len, time);
    return r;
}
#endif

int pattern_match(struct pattern *p, const char *text, size_t len, struct match_time *time) {
    if (p->substring)
        return memmem(text, len, p->substring, strlen(p->substring)) != NULL;
#ifdef HAVE_PCRE2
    p->subject = text;
    int r = PCRE2_ERROR_UTF8_ERR1;
    if (p->on_characters.guarded && (!p->on_bytes.guarded || !is_ascii(text, len)))
        r = match_code(p, &p->on_characters, text, len, time);
    if (is_not_utf8(r))
        r = p->on_bytes.guarded ? match_code(p, &p->on_bytes, text, len, time)
                                : PCRE2_ERROR_NOMATCH;
    if (r >= 0)
        return 1;
    return r == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
#else
    (void)time;
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
    /* numbers and names are the same in both */
    const pcre2_code *code = p->on_bytes.guarded ? p->on_bytes.fast : p->on_characters.fast;
    pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
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

bool pattern_has_capture(const struct pattern *p, const char *name, size_t len) {
#ifdef HAVE_PCRE2
    uint32_t count, size;
    PCRE2_SPTR table;
    if (p->substring)
        return false;
    const pcre2_code *code = p->on_bytes.guarded ? p->on_bytes.fast : p->on_characters.fast;
    pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
    for (uint32_t i = 0; i < count; i++) {
        const char *known = (const char *)table + (size_t)i * size + 2;
        if (strlen(known) == len && memcmp(known, name, len) == 0)
            return true;
    }
#else
    (void)p, (void)name, (void)len;
#endif
    return false;
}

void pattern_unnamed(const struct pattern *p, const char **ret_at, size_t *ret_len) {
    *ret_at = "";
    *ret_len = 0;
#ifdef HAVE_PCRE2
    uint32_t count, names, size;
    PCRE2_SPTR table;
    if (p->substring)
        return;
    const pcre2_code *code = p->on_bytes.guarded ? p->on_bytes.fast : p->on_characters.fast;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &count);
    pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &names);
    pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
    for (bool has_name = true; count > 0; count--) {
        has_name = false;
        PCRE2_SPTR entry = table;
        for (uint32_t i = 0; i < names; i++, entry += size)
            has_name |= ((uint32_t)entry[0] << 8 | entry[1]) == count;
        if (!has_name)
            break;
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(p->match) + 2 * (size_t)count;
    if (span[0] != PCRE2_UNSET && span[1] >= span[0]) {
        *ret_at = p->subject + span[0];
        *ret_len = span[1] - span[0];
    }
#else
    (void)p;
#endif
}

const char *pattern_text(const struct pattern *p) {
    return p->text;
}
