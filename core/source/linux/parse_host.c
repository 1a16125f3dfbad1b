/* SPDX-License-Identifier: MIT */
#include "source/linux/parse_host.h"

#include "base/line.h"

#include <errno.h>
#include <string.h>
#include <utmp.h>

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

int parse_host_times(const char *buf, size_t len, struct host_details *ret) {
    const char *at = buf, *end = buf + len, *eol;
    uint64_t ticks[HOST_TIMES];
    size_t count = 0;
    if (len < 4 || memcmp(buf, "cpu ", 4) != 0)
        return -EBADMSG;
    eol = memchr(buf, '\n', len);
    if (eol)
        end = eol;
    for (at = skip_blanks(at + 4, end); at < end && count < HOST_TIMES; at = skip_blanks(at, end))
        if (parse_u64(&at, end, &ticks[count++]) < 0)
            return -EBADMSG;
    if (count < 4)
        return -EBADMSG;
    memcpy(ret->times_ticks, ticks, count * sizeof(ticks[0]));
    ret->times_known = count;
    return 0;
}

int parse_meminfo(const char *buf, size_t len, struct host_details *ret) {
    static const struct {
        const char *key;
        enum host_memory memory;
    } lines[] = {{"MemTotal:", HOST_MEMORY_TOTAL},     {"MemFree:", HOST_MEMORY_FREE},
                 {"MemAvailable:", HOST_MEMORY_AVAILABLE}, {"Buffers:", HOST_MEMORY_BUFFERS},
                 {"Cached:", HOST_MEMORY_CACHED},      {"SwapTotal:", HOST_SWAP_TOTAL},
                 {"SwapFree:", HOST_SWAP_FREE}};
    uint64_t bytes[HOST_MEMORIES] = {0};
    unsigned known = 0;
    const char *end = buf + len;
    const char *cursor = buf, *at, *eol;
    while ((at = take_line(&cursor, end, &eol)) != NULL) {
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
            const size_t key_len = strlen(lines[i].key);
            if ((size_t)(eol - at) <= key_len || memcmp(at, lines[i].key, key_len) != 0)
                continue;
            const char *digits = skip_blanks(at + key_len, eol);
            uint64_t kib;
            if (parse_u64(&digits, eol, &kib) < 0 || kib > UINT64_MAX / 1024)
                return -EBADMSG;
            bytes[lines[i].memory] = kib * 1024;
            known |= 1u << lines[i].memory;
        }
    }
    memcpy(ret->memory_bytes, bytes, sizeof(bytes));
    ret->memory_known = known;
    return 0;
}

/* "1.05" as billionths; the kernel prints two digits. */
static int take_decimal(const char **cursor, const char *end, uint64_t *ret) {
    const char *at = *cursor;
    uint64_t whole, billionths = 0;
    if (parse_u64(&at, end, &whole) < 0 || whole > UINT64_MAX / NS_PER_S / 2)
        return -EBADMSG;
    if (at < end && *at == '.')
        for (uint64_t unit = NS_PER_S / 10; ++at < end && *at >= '0' && *at <= '9'; unit /= 10)
            billionths += unit * (unsigned)(*at - '0');
    if (at < end && *at != ' ' && *at != '\n')
        return -EBADMSG;
    *ret = whole * NS_PER_S + billionths;
    *cursor = at;
    return 0;
}

int parse_loadavg(const char *buf, size_t len, struct host_details *ret) {
    const char *at = buf, *end = buf + len;
    uint64_t loads[3];
    for (size_t i = 0; i < 3; i++) {
        at = skip_blanks(at, end);
        if (take_decimal(&at, end, &loads[i]) < 0)
            return -EBADMSG;
    }
    memcpy(ret->load_billionths, loads, sizeof(loads));
    ret->has_load = true;
    return 0;
}

int parse_uptime(const char *buf, size_t len, struct host_details *ret) {
    const char *at = buf;
    uint64_t uptime_ns;
    if (take_decimal(&at, buf + len, &uptime_ns) < 0)
        return -EBADMSG;
    ret->uptime_ns = uptime_ns;
    ret->has_uptime = true;
    return 0;
}

int parse_cpu_list_end(const char *buf, size_t len, uint64_t *ret) {
    const char *at = buf, *end = buf + len;
    uint64_t number;
    if (len && end[-1] == '\n')
        end--;
    while (parse_u64(&at, end, &number) == 0 && number < UINT32_MAX) {
        if (at == end) {
            *ret = number + 1;
            return 0;
        }
        if (*at != '-' && *at != ',')
            break;
        at++;
    }
    return -EBADMSG;
}

/* What is reclaimed in a control group that has reached its limit is in pgscan_anon and
 * pgscan_file alone (since Linux 5.8), and counted there before it is taken. What a process
 * asks to be swapped out (MADV_PAGEOUT, also of another one) is in pswpout, or with zswap in
 * zswpout; pages of zeros only in swpout_zero. */
int parse_vmstat_moves(const char *buf, size_t len, uint64_t *ret) {
    enum { NEEDED = 2 }; /* the first ones; older kernels lack some of the others */
    static const char *const keys[] = {
        "pgscan_anon", "pgscan_file", "pgsteal_anon",  "pgsteal_file",       "pswpin",
        "pswpout",     "zswpin",      "zswpout",       "swpin_zero",         "swpout_zero",
        "thp_collapse_alloc",         "thp_split_page", "thp_underused_split_page"};
    const char *cursor = buf, *end = buf + len, *at, *eol;
    uint64_t sum = 0;
    unsigned found = 0;
    while ((at = take_line(&cursor, end, &eol)) != NULL) {
        const char *blank = memchr(at, ' ', (size_t)(eol - at));
        size_t i = 0;
        uint64_t value;
        if (!blank || !strchr("pstz", *at)) /* as most of its 200 lines */
            continue;
        while (i < sizeof(keys) / sizeof(keys[0]) &&
               !text_is((struct text){at, (size_t)(blank - at)}, keys[i]))
            i++;
        if (i == sizeof(keys) / sizeof(keys[0]))
            continue;
        at = blank + 1;
        if (parse_u64(&at, eol, &value) < 0)
            return -EBADMSG;
        sum += value; /* it may wrap: it only has to differ */
        found |= 1u << i;
    }
    if ((found & ((1u << NEEDED) - 1)) != (1u << NEEDED) - 1)
        return -EBADMSG;
    *ret = sum;
    return 0;
}

uint64_t parse_utmp_users(const char *buf, size_t len) {
    uint64_t users = 0;
    for (size_t at = 0; at + sizeof(struct utmp) <= len; at += sizeof(struct utmp)) {
        struct utmp entry;
        memcpy(&entry, buf + at, sizeof(entry));
        users += entry.ut_type == USER_PROCESS && entry.ut_user[0] != '\0';
    }
    return users;
}
