/* SPDX-License-Identifier: MIT */
/* Names fit for every output, whatever bytes they are made of. */
#include "fuzz.h"

#include "base/utf8.h"

#include <string.h>

static void check_clean(const char *text, size_t len, size_t max) {
    static const char before[] = "before\\";
    struct buf once, twice;
    buf_init(&once, 1 << 24);
    buf_init(&twice, 1 << 24);
    buf_add_str(&once, before);
    utf8_clean(text, len, max, &once);
    CHECK(once.error == 0, "utf8_clean(): %d", once.error);
    CHECK(memcmp(once.data, before, sizeof(before) - 1) == 0, "what stood before was changed");
    const char *clean = once.data + sizeof(before) - 1;
    size_t clean_len = once.len - (sizeof(before) - 1);
    CHECK(clean_len <= max, "%zu bytes, at most %zu", clean_len, max);
    CHECK(is_utf8(clean, clean_len), "not UTF-8");
    CHECK(is_harmless(clean, clean_len), "control or direction marks are left");
    CHECK(clean_len == 0 || clean[clean_len - 1] != '\\', "a backslash at the end");
    CHECK(clean_len > 0 || len == 0 || max < 4, "nothing is left of %zu bytes", len);

    utf8_clean(clean, clean_len, max, &twice);
    CHECK(twice.len == clean_len && (clean_len == 0 || memcmp(twice.data, clean, clean_len) == 0),
          "what is clean is changed by cleaning");
    if (len <= max && is_utf8(text, len) && is_harmless(text, len) &&
        (len == 0 || text[len - 1] != '\\'))
        CHECK(clean_len == len && (len == 0 || memcmp(clean, text, len) == 0),
              "what needed no cleaning was changed");
    buf_free(&once);
    buf_free(&twice);
}

FUZZ_TARGET(utf8) {
    const char *text = (const char *)data;
    check_clean(text, len, 3);
    check_clean(text, len, 17);
    check_clean(text, len, GROUP_NAME_MAX);
    check_clean(text, len, 3 * len);
    /* each place by itself, against the independent checker */
    for (size_t at = 0; at < len; at++) {
        uint32_t code;
        size_t n = utf8_char(text + at, len - at, &code);
        CHECK(n <= 4 && n <= len - at, "a character of %zu bytes", n);
        CHECK(n == 0 || is_utf8(text + at, n), "no character at %zu", at);
        for (size_t shorter = 1; n == 0 && shorter <= 4 && shorter <= len - at; shorter++)
            CHECK(!is_utf8(text + at, shorter), "a character at %zu that was not seen", at);
    }
    return 0;
}
