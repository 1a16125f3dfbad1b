/* SPDX-License-Identifier: MIT */
/* Every parser of parse.h, parse_cgroup.h and parse_host.h, and those of macOS, on the same bytes:
 * a seed is a file of the kernel, or an answer of macOS, as it is. */
#include "fuzz.h"

#include "source/darwin/parse.h"
#include "source/linux/parse.h"
#include "group/pid_files.h"
#include "source/linux/parse_cgroup.h"
#include "source/linux/parse_host.h"

#include <errno.h>
#include <string.h>

/* Outputs are written only on success. */
#define UNTOUCHED 0xa5
static bool untouched(const void *object, size_t size) {
    const unsigned char *at = object;
    for (size_t i = 0; i < size; i++)
        if (at[i] != UNTOUCHED)
            return false;
    return true;
}

#define PARSE(parser, object)                                                              \
    do {                                                                                   \
        memset(&(object), UNTOUCHED, sizeof(object));                                      \
        r = parser(buf, len, &(object));                                                   \
        CHECK(r == 0 || r == -EBADMSG, #parser "(): %d", r);                               \
        CHECK(r == 0 || untouched(&(object), sizeof(object)), #parser "() wrote, and failed"); \
    } while (0)

static void check_span(const char *buf, size_t len, const char *at, size_t at_len) {
    if (at_len)
        CHECK(at >= buf && at_len <= len && at <= buf + len - at_len, "a text outside the file");
}

static void check_number(const char *buf, size_t len) {
    const char *cursor = buf, *digits = buf;
    uint64_t n = 1;
    unsigned __int128 value = 0;
    bool too_large = false;
    int r = parse_u64(&cursor, buf + len, &n);
    for (; digits < buf + len && *digits >= '0' && *digits <= '9'; digits++) {
        value = value * 10 + (unsigned)(*digits - '0');
        too_large = too_large || value >> 64;
        value &= UINT64_MAX;
    }
    CHECK(cursor == digits, "parse_u64() stands elsewhere than behind the digits");
    CHECK(r == (digits == buf ? -EBADMSG : too_large ? -ERANGE : 0), "parse_u64(): %d", r);
    CHECK(n == (r == 0 ? (uint64_t)value : 1), "parse_u64() gives %llu", (unsigned long long)n);
}

static void check_stat(const char *buf, size_t len) {
    struct stat_line s;
    int r;
    PARSE(parse_stat, s);
    if (r < 0)
        return;
    check_span(buf, len, s.comm, s.comm_len);
    const char *behind = s.comm + s.comm_len;
    CHECK(s.comm[-1] == '(' && *behind == ')', "the name does not stand in brackets");
    CHECK(!memchr(behind + 1, ')', (size_t)(buf + len - behind - 1)), "not the last bracket");
}

static void check_cgroup(const char *buf, size_t len) {
    struct cgroup_file c;
    const char *unit, *id;
    int r;
    PARSE(parse_cgroup, c);
    if (r == 0) {
        check_span(buf, len, c.path, c.path_len);
        check_span(buf, len, c.systemd, c.systemd_len);
        CHECK(!memchr(c.path, '\n', c.path_len), "a path over several lines");
        size_t unit_len = parse_unit(c.systemd, c.systemd_len, &unit);
        if (unit_len) {
            check_span(c.systemd, c.systemd_len, unit, unit_len);
            CHECK(!memchr(unit, '/', unit_len), "a unit with a slash");
        }
    }
    size_t n = parse_unit(buf, len, &unit);
    if (n)
        check_span(buf, len, unit, n);
    n = parse_container(buf, len, &id);
    if (n) {
        check_span(buf, len, id, n);
        CHECK(!memchr(id, '/', n) && !memchr(id, '\n', n), "an id with a slash or newline");
    }
}

static void check_host(const char *buf, size_t len) {
    struct host_details d;
    uint64_t number;
    int r;
    PARSE(parse_vmstat_moves, number);
    PARSE(parse_cpu_list_end, number);
    CHECK(r < 0 || number > 0, "a list without CPUs");
    PARSE(parse_host_times, d);
    CHECK(r < 0 || (d.times_known >= 4 && d.times_known <= HOST_TIMES), "%zu times", d.times_known);
    PARSE(parse_meminfo, d);
    CHECK(r < 0 || d.memory_known < 1u << HOST_MEMORIES, "more than there is");
    PARSE(parse_loadavg, d);
    PARSE(parse_uptime, d);
    CHECK(r < 0 || d.has_uptime, "it does not say that it found it");
    CHECK(parse_utmp_users(buf, len) <= len, "more users than bytes");
}

/* Of the control group itself. These add to what is there. */
static void check_cgroup_files(const char *buf, size_t len) {
    static int (*const parsers[])(const char *, size_t, struct cgroup_figures *) = {
        parse_cpu_stat, parse_memory_events, parse_cpu_pressure, parse_memory_pressure,
        parse_io_pressure};
    uint64_t number;
    int r;
    PARSE(parse_cgroup_number, number);
    PARSE(parse_cpu_max, number);
    for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
        struct cgroup_figures f = {0};
        r = parsers[i](buf, len, &f);
        CHECK(r == 0 || r == -EBADMSG, "parser %zu: %d", i, r);
        CHECK(r == 0 || f.have == 0, "parser %zu wrote, and failed", i);
        CHECK(f.have >> CGROUP_COUNTERS == 0, "parser %zu found what is no counter", i);
        for (size_t k = 0; k < CGROUP_FIGURES; k++)
            CHECK(f.have >> k & 1 || f.value[k] == 0, "parser %zu wrote what it has not", i);
    }
}

static void check_pid_file(const char *buf, size_t len) {
    uint32_t pid = UINT32_MAX;
    int r = pid_file_parse(buf, len, &pid);
    CHECK(r == 0 || r == -EBADMSG || r == -ENODATA, "pid_file_parse(): %d", r);
    CHECK(r == 0 ? pid > 0 && pid <= 1u << 22 : pid == UINT32_MAX, "the number %u", pid);
}

/* Never more than there are, or the environment would show. */
static void check_arguments(const char *buf, size_t len) {
    struct darwin_arguments a;
    int32_t count;
    size_t found = 1;
    int r;
    PARSE(darwin_parse_arguments, a);
    if (r < 0)
        return;
    check_span(buf, len, a.path, a.path_len);
    check_span(buf, len, a.at, a.len);
    memcpy(&count, buf, sizeof(count));
    for (size_t i = 0; i < a.len; i++)
        found += a.at[i] == '\0';
    CHECK(a.len == 0 || found <= (size_t)count, "%zu arguments, expected %d at most", found,
          (int)count);
    CHECK(a.len == 0 || a.at > a.path + a.path_len, "arguments before the end of the path");
}

/* A datagram, message by message. */
static void check_network(const char *buf, size_t len) {
    static const char *const releases[] = {"19.0", "20.0", "24.0"};
    for (size_t i = 0; i < sizeof(releases) / sizeof(releases[0]); i++) {
        const struct darwin_flow_layout *layout = darwin_flow_layout(releases[i]);
        struct darwin_message m;
        ssize_t taken;
        for (size_t at = 0; at < len; at += (size_t)taken) {
            taken = darwin_parse_network(buf + at, len - at, layout, &m);
            CHECK(taken >= 16 || taken == -EBADMSG || taken == -EPROTO, "%zd", taken);
            CHECK(taken < 0 || (size_t)taken <= len - at, "more than there is");
            if (taken < 0)
                break;
            CHECK(m.flow.name_len <= DARWIN_FLOW_NAME, "a name of %u bytes", m.flow.name_len);
            CHECK(m.kind == DARWIN_MESSAGE_FLOW || m.flow.pid == 0, "a process of no flow");
        }
    }
}

FUZZ_TARGET(parse) {
    const char *buf = (const char *)data;
    struct status_file status;
    struct status_memory memory;
    struct io_file io;
    struct schedstat_file schedstat;
    struct host_stat host;
    uint64_t number;
    struct pss pss;
    int r;
    check_number(buf, len);
    check_network(buf, len);
    check_stat(buf, len);
    PARSE(parse_status, status);
    PARSE(parse_status_memory, memory);
    CHECK(r < 0 || memory.known < 1u << MEMORY_LINES, "more lines than there are");
    PARSE(parse_oom_score, number);
    PARSE(parse_io, io);
    PARSE(parse_schedstat, schedstat);
    PARSE(parse_fd_limit, number);
    PARSE(parse_statm, number);
    PARSE(parse_pss, pss);
    PARSE(parse_host_stat, host);
    CHECK(r < 0 || host.cpus > 0, "a host without CPUs");
    check_cgroup(buf, len);
    check_cgroup_files(buf, len);
    check_host(buf, len);
    check_pid_file(buf, len);
    check_arguments(buf, len);
    return 0;
}
