/* SPDX-License-Identifier: MIT */
#include "source/darwin/parse.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
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

/* ---- Network statistics -------------------------------------------------------------------- */

/* From bsd/net/ntstat.h of xnu 6153, 7195, and 8019 to 11417. */
static const struct darwin_flow_layout layouts[] = {
    {19, 19, 304, 256, 100, 180, 128, 132},
    {20, 20, 336, 272, 116, 196, 128, 132},
    {21, 24, 344, 280, 116, 196, 128, 132},
};

const struct darwin_flow_layout *darwin_flow_layout(const char *release) {
    char *end;
    const unsigned long major = strtoul(release, &end, 10);
    if (end == release || (*end != '.' && *end))
        return NULL;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
        if (major >= layouts[i].first && major <= layouts[i].last)
            return &layouts[i];
    return NULL;
}

/* What all these systems have in common: where things are in a message. */
enum {
    AT_CONTEXT = 0, /* 64 bits */
    AT_TYPE = 8,    /* 32 */
    AT_LENGTH = 12, /* 16 */
    AT_FLAGS = 14,  /* 16 */
    HEAD_SIZE = 16,
    AT_FLOW = 16,   /* 64: its number */
    FLOW_REMOVED_SIZE = 24,
    AT_COUNTS = 32, /* 64 each: received packets, bytes, sent packets, bytes */
    AT_PROVIDER = 144,
    AT_DESCRIPTION = 152, /* which begins with the process's unique number, 64 bits */
    /* of requests */
    AT_FILTER = 16,
    AT_WANTED_PROVIDER = 32
};
enum {
    TYPE_SUCCESS = 0,
    TYPE_ADD_ALL = 1002,
    TYPE_GET_UPDATE = 1007,
    TYPE_REMOVED = 10002,
    TYPE_UPDATE = 10006
};
enum { FLAG_CONTINUATION = 2, FLAG_CLOSING = 4 };
#define FILTER_SUPPRESS_ADDED UINT64_C(0x100000) /* do not tell of each by itself as it begins */
#define ALL_FLOWS UINT64_MAX

static uint64_t get64(const char *at) {
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t get32(const char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint16_t get16(const char *at) {
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static bool is_udp(uint32_t provider) {
    return provider == 4 || provider == 5 || provider == 8; /* QUIC is made of UDP */
}

static bool is_counted(uint32_t provider) {
    return provider == 2 || provider == 3 || is_udp(provider);
}

static int parse_flow(const char *buf, size_t len, const struct darwin_flow_layout *layout,
                      struct darwin_message *ret) {
    struct darwin_flow *flow = &ret->flow;
    if (len < AT_DESCRIPTION)
        return -EBADMSG;
    const uint32_t provider = get32(buf + AT_PROVIDER);
    if (!is_counted(provider))
        return 0;
    /* QUIC is described as TCP is: one struct by two names */
    const bool like_udp = provider == 4 || provider == 5;
    ret->described = len - AT_DESCRIPTION;
    if (ret->described != (like_udp ? layout->udp_size : layout->tcp_size))
        return -EPROTO;
    const char *about = buf + AT_DESCRIPTION;
    const char *name = about + (like_udp ? layout->udp_name : layout->tcp_name);
    *flow = (struct darwin_flow){
        .number = get64(buf + AT_FLOW),
        .unique = get64(about),
        .pid = get32(about + (like_udp ? layout->udp_pid : layout->tcp_pid)),
        .is_udp = is_udp(provider),
        .is_closing = get16(buf + AT_FLAGS) & FLAG_CLOSING,
        .counts = {get64(buf + AT_COUNTS + 8), get64(buf + AT_COUNTS),
                   get64(buf + AT_COUNTS + 24), get64(buf + AT_COUNTS + 16)},
        .name_len = (uint8_t)strnlen(name, DARWIN_FLOW_NAME),
    };
    memcpy(flow->name, name, flow->name_len);
    ret->kind = DARWIN_MESSAGE_FLOW;
    return 0;
}

ssize_t darwin_parse_network(const char *buf, size_t len, const struct darwin_flow_layout *layout,
                             struct darwin_message *ret) {
    int r = 0;
    if (len < HEAD_SIZE)
        return -EBADMSG;
    /* a message alone may not say how long it is */
    const size_t own_len = get16(buf + AT_LENGTH) ? get16(buf + AT_LENGTH) : len;
    if (own_len < HEAD_SIZE || own_len > len)
        return -EBADMSG;
    *ret = (struct darwin_message){.context = get64(buf + AT_CONTEXT)};
    switch (get32(buf + AT_TYPE)) {
    case TYPE_SUCCESS:
        ret->kind = DARWIN_MESSAGE_DONE;
        ret->has_more = get16(buf + AT_FLAGS) & FLAG_CONTINUATION;
        break;
    case TYPE_REMOVED:
        if (own_len < FLOW_REMOVED_SIZE)
            return -EBADMSG;
        ret->kind = DARWIN_MESSAGE_REMOVED;
        ret->flow.number = get64(buf + AT_FLOW);
        break;
    case TYPE_UPDATE:
        r = parse_flow(buf, own_len, layout, ret);
        break;
    default: /* what we did not ask for */
        break;
    }
    return r < 0 ? r : (ssize_t)own_len;
}

static void put_head(char *to, uint64_t context, uint32_t type, uint16_t len, uint16_t flags) {
    memset(to, 0, len);
    memcpy(to + AT_CONTEXT, &context, sizeof(context));
    memcpy(to + AT_TYPE, &type, sizeof(type));
    memcpy(to + AT_LENGTH, &len, sizeof(len));
    memcpy(to + AT_FLAGS, &flags, sizeof(flags));
}

void darwin_write_subscribe(char to[DARWIN_SUBSCRIBE_SIZE], uint32_t provider) {
    const uint64_t filter = FILTER_SUPPRESS_ADDED;
    put_head(to, 0, TYPE_ADD_ALL, DARWIN_SUBSCRIBE_SIZE, 0);
    memcpy(to + AT_FILTER, &filter, sizeof(filter));
    memcpy(to + AT_WANTED_PROVIDER, &provider, sizeof(provider));
}

/* Without that flag the kernel fills the socket's buffer at once, and leaves out the rest. */
void darwin_write_ask(char to[DARWIN_ASK_SIZE], uint64_t context) {
    const uint64_t all = ALL_FLOWS;
    put_head(to, context, TYPE_GET_UPDATE, DARWIN_ASK_SIZE, FLAG_CONTINUATION);
    memcpy(to + AT_FLOW, &all, sizeof(all));
}
