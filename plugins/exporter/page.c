/* SPDX-License-Identifier: MIT */
#include "page.h"

#include "gzip.h"
#include "sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page[] = {
#include "page.inc"
    0};
static const size_t page_len = sizeof(page) - 1;

/* RFC 4648, of a SHA-256. */
static void base64(const unsigned char from[static SHA256_BYTES], char ret[static 45]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (size_t i = 0; i < SHA256_BYTES; i += 3) {
        unsigned bits = (unsigned)from[i] << 16;
        bits |= i + 1 < SHA256_BYTES ? (unsigned)from[i + 1] << 8 : 0;
        bits |= i + 2 < SHA256_BYTES ? from[i + 2] : 0;
        for (int shift = 18; shift >= 0; shift -= 6)
            ret[at++] = digits[bits >> shift & 63];
    }
    ret[43] = '='; /* 32 bytes are two digits and two thirds of one */
    ret[44] = '\0';
}

/* What the browser computes of the text between two tags, of which there is one pair. */
static void hash_between(const char *open, const char *close, char ret[static 45]) {
    unsigned char hash[SHA256_BYTES];
    const char *from = strstr(page, open) + strlen(open);
    sha256(from, (size_t)(strstr(from, close) - from), hash);
    base64(hash, ret);
}

int page_text(bool gzip, struct page_text *ret) {
    static char policy[400], *compressed;
    static size_t compressed_len;
    if (!policy[0]) {
        char script[45], style[45];
        hash_between("<script>", "</script>", script);
        hash_between("<style>", "</style>", style);
        snprintf(policy, sizeof(policy),
                 "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
                 "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'",
                 script, style);
    }
    if (gzip && !compressed) {
        int r = gzip_text(page, page_len, &compressed, &compressed_len);
        if (r < 0)
            return r;
    }
    *ret = (struct page_text){
        .data = gzip ? compressed : page,
        .len = gzip ? compressed_len : page_len,
        .policy = policy,
    };
    return 0;
}
