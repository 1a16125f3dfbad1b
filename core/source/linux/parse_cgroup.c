/* SPDX-License-Identifier: MIT */
#include "source/linux/parse_cgroup.h"

#include "base/line.h"

#include <errno.h>
#include <string.h>

/* Version 1 prints the largest number of pages there can be: 2^63 less a page. */
#define NO_LIMIT (UINT64_C(1) << 62)

/* What has come to its end, but for the newline. */
static bool is_end(const char *at, const char *end) {
    return at == end || (*at == '\n' && at + 1 == end);
}

int parse_cgroup_number(const char *buf, size_t len, uint64_t *ret) {
    const char *at = buf, *end = buf + len;
    uint64_t n;
    if (len >= 3 && memcmp(at, "max", 3) == 0 && is_end(at + 3, end)) {
        *ret = UINT64_MAX;
        return 0;
    }
    if (len >= 2 && memcmp(at, "-1", 2) == 0 && is_end(at + 2, end)) {
        *ret = UINT64_MAX;
        return 0;
    }
    if (parse_u64(&at, end, &n) < 0 || !is_end(at, end))
        return -EBADMSG;
    *ret = n >= NO_LIMIT ? UINT64_MAX : n;
    return 0;
}

uint64_t cpu_limit(uint64_t quota_us, uint64_t period_us) {
    unsigned __int128 billionths = (unsigned __int128)quota_us * NS_PER_S;
    if (quota_us == UINT64_MAX || period_us == 0 || billionths / period_us >= UINT64_MAX)
        return UINT64_MAX;
    return (uint64_t)(billionths / period_us);
}

int parse_cpu_max(const char *buf, size_t len, uint64_t *ret) {
    const char *at = buf, *end = buf + len;
    uint64_t quota_us = UINT64_MAX, period_us;
    if (len >= 3 && memcmp(at, "max", 3) == 0)
        at += 3;
    else if (parse_u64(&at, end, &quota_us) < 0)
        return -EBADMSG;
    if (at == end || *at++ != ' ' || parse_u64(&at, end, &period_us) < 0 || period_us == 0 ||
        !is_end(at, end))
        return -EBADMSG;
    *ret = cpu_limit(quota_us, period_us);
    return 0;
}

/* ---- Lines of a key and a number -------------------------------------------------------- */

struct key {
    const char *name;
    enum cgroup_figure figure;
    uint64_t unit; /* what one of them is, in that of the figure */
};

static int parse_keys(const char *buf, size_t len, const struct key *keys, size_t count,
                      struct cgroup_figures *ret) {
    const char *end = buf + len;
    struct cgroup_figures found = {0};
    const char *cursor = buf, *at, *eol;
    while ((at = take_line(&cursor, end, &eol)) != NULL) {
        for (size_t i = 0; i < count; i++) {
            const size_t key_len = strlen(keys[i].name);
            uint64_t n;
            if ((size_t)(eol - at) <= key_len || memcmp(at, keys[i].name, key_len) != 0 ||
                at[key_len] != ' ')
                continue;
            const char *digits = at + key_len + 1;
            if (parse_u64(&digits, eol, &n) < 0 || digits != eol ||
                __builtin_mul_overflow(n, keys[i].unit, &n))
                return -EBADMSG;
            cgroup_set(&found, keys[i].figure, n);
        }
    }
    for (size_t i = 0; i < count; i++)
        if (found.have & 1u << keys[i].figure)
            cgroup_set(ret, keys[i].figure, found.value[keys[i].figure]);
    return 0;
}

#define PARSE_KEYS(buf, len, keys, ret) \
    parse_keys(buf, len, keys, sizeof(keys) / sizeof((keys)[0]), ret)

int parse_cpu_stat(const char *buf, size_t len, struct cgroup_figures *ret) {
    static const struct key keys[] = {
        {"nr_periods", CGROUP_CPU_PERIODS, 1},
        {"nr_throttled", CGROUP_CPU_THROTTLED_PERIODS, 1},
        {"throttled_usec", CGROUP_CPU_THROTTLED_NS, 1000},
        {"throttled_time", CGROUP_CPU_THROTTLED_NS, 1}, /* version 1 */
    };
    return PARSE_KEYS(buf, len, keys, ret);
}

int parse_memory_events(const char *buf, size_t len, struct cgroup_figures *ret) {
    static const struct key keys[] = {
        {"high", CGROUP_MEMORY_HIGH, 1},
        {"max", CGROUP_MEMORY_MAX, 1},
        {"oom", CGROUP_MEMORY_OOM, 1},
        {"oom_kill", CGROUP_MEMORY_OOM_KILL, 1},
    };
    return PARSE_KEYS(buf, len, keys, ret);
}

/* ---- Pressure ---------------------------------------------------------------------------- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345", in microseconds, and the same with
 * "full"; before 5.13 cpu.pressure had no such line. */
static int parse_pressure(const char *buf, size_t len, enum cgroup_figure some,
                          struct cgroup_figures *ret) {
    static const char total[] = " total=";
    const char *end = buf + len;
    struct cgroup_figures found = {0};
    const char *cursor = buf, *at, *eol;
    while ((at = take_line(&cursor, end, &eol)) != NULL) {
        const bool is_some = eol - at > 5 && memcmp(at, "some ", 5) == 0;
        const bool is_full = eol - at > 5 && memcmp(at, "full ", 5) == 0;
        if (is_some || is_full) {
            const size_t total_len = sizeof(total) - 1;
            const char *digits = at;
            uint64_t us;
            while ((size_t)(eol - digits) > total_len && memcmp(digits, total, total_len) != 0)
                digits++;
            if ((size_t)(eol - digits) <= total_len)
                return -EBADMSG;
            digits += total_len;
            if (parse_u64(&digits, eol, &us) < 0 || digits != eol || us > UINT64_MAX / 1000)
                return -EBADMSG;
            cgroup_set(&found, is_some ? some : some + 1, us * 1000);
        }
    }
    for (enum cgroup_figure f = some; f <= some + 1; f++)
        if (found.have & 1u << f)
            cgroup_set(ret, f, found.value[f]);
    return 0;
}

int parse_cpu_pressure(const char *buf, size_t len, struct cgroup_figures *ret) {
    return parse_pressure(buf, len, CGROUP_CPU_SOME_NS, ret);
}

int parse_memory_pressure(const char *buf, size_t len, struct cgroup_figures *ret) {
    return parse_pressure(buf, len, CGROUP_MEMORY_SOME_NS, ret);
}

int parse_io_pressure(const char *buf, size_t len, struct cgroup_figures *ret) {
    return parse_pressure(buf, len, CGROUP_IO_SOME_NS, ret);
}
