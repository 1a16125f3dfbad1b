/* SPDX-License-Identifier: MIT */
#include "source/darwin/parse.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* The kernel pads the path to a multiple of this. */
#define PADDING 8u

/* NUL bytes behind the path: all that padding takes, and one for each empty argument that
 * comes first. These count, or the environment would be taken for what is missing. */
static size_t leading_empty(size_t path_len, size_t nuls) {
    const size_t padded = (path_len + 1 + PADDING - 1) / PADDING * PADDING;
    const size_t padding = padded - path_len;
    return nuls > padding ? nuls - padding : 0;
}

int darwin_parse_arguments(const char *buf, size_t len, struct darwin_arguments *ret) {
    int32_t count;
    if (len < sizeof(count))
        return -EBADMSG;
    memcpy(&count, buf, sizeof(count));
    const char *at = buf + sizeof(count), *end = buf + len;
    const char *nul = memchr(at, '\0', (size_t)(end - at));
    if (count < 0 || !nul)
        return -EBADMSG;
    *ret = (struct darwin_arguments){.path = at, .path_len = (size_t)(nul - at)};
    for (at = nul; at < end && *at == '\0';)
        at++;
    size_t left = (size_t)count;
    const size_t empty = leading_empty(ret->path_len, (size_t)(at - nul));
    if (empty >= left) /* all of them, or it is the environment that comes next */
        return 0;
    left -= empty;
    ret->at = at - empty;
    while (left && at < end) {
        nul = memchr(at, '\0', (size_t)(end - at));
        at = nul ? nul + 1 : end;
        left--;
    }
    ret->len = (size_t)(at - ret->at);
    while (ret->len && ret->at[ret->len - 1] == '\0') /* as of /proc/PID/cmdline */
        ret->len--;
    return 0;
}
