/* SPDX-License-Identifier: MIT */
/* The parsers, on what the kernel prints, on what it never should, and on what it
 * prints here and now. Every input stands in a heap block of exactly its size, so
 * that a sanitizer sees a byte read past the end. */
#include "source/linux/parse.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- Buffers of exactly the right size -------------------------------------- */

struct block {
    struct block *next;
    char *bytes;
};
static struct block *blocks;

static void *checked_malloc(size_t size) {
    void *p = malloc(size);

    if (!p && size > 0)
        ck_abort_msg("out of memory");
    return p;
}

/* A copy that lives until release_all(): results point into it. */
static const char *exact(const char *text, size_t len) {
    struct block *b = checked_malloc(sizeof(*b));

    b->bytes = checked_malloc(len);
    if (len > 0)
        memcpy(b->bytes, text, len);
    b->next = blocks;
    blocks = b;
    return b->bytes;
}

static void release_all(void) {
    while (blocks) {
        struct block *b = blocks;

        blocks = b->next;
        free(b->bytes);
        free(b);
    }
}

/* Both arguments of a parser from a string literal, which may hold NUL bytes. */
#define IN(literal) exact((literal), sizeof(literal) - 1), sizeof(literal) - 1

static void assert_bytes(const char *got, size_t got_len, const char *want, size_t want_len) {
    ck_assert_msg(got_len == want_len && memcmp(got, want, want_len) == 0,
                  "got %zu bytes \"%.*s\", expected %zu bytes \"%.*s\"", got_len, (int)got_len,
                  got, want_len, (int)want_len, want);
}
#define ASSERT_TEXT(got, got_len, literal) \
    assert_bytes((got), (got_len), (literal), sizeof(literal) - 1)

/* ---- Samples ---------------------------------------------------------------- */

/* The 52 fields of Linux 6.18. Each differs from its neighbours, so that a shift shows. */
#define STAT_TO_RSS \
    "S 41 43 44 34816 -1 4194560 101 102 103 104 105 106 107 108 20 -5 3 0 109112 4595712 486"
#define STAT_TO_POLICY \
    " 18446744073709551615 201 202 203 204 205 206 207 208 209 210 211 212 -1 214 215 216"
#define STAT_REST " 217 302 303 304 305 306 307 308 309 310 311"
#define STAT(name) "42 (" name ") " STAT_TO_RSS STAT_TO_POLICY STAT_REST "\n"

static const char status_text[] =
    "Name:\tbash\n"
    "Umask:\t0022\n"
    "State:\tS (sleeping)\n"
    "Tgid:\t6479\n"
    "Ngid:\t0\n"
    "Pid:\t6479\n"
    "PPid:\t6478\n"
    "TracerPid:\t0\n"
    "Uid:\t1000\t1001\t1002\t1003\n"
    "Gid:\t2000\t2001\t2002\t2003\n"
    "FDSize:\t256\n"
    "Groups:\t4 24 27 \n"
    "NStgid:\t6479\n"
    "VmPeak:\t    5004 kB\n"
    "VmSize:\t    4488 kB\n"
    "VmLck:\t       0 kB\n"
    "VmPin:\t       0 kB\n"
    "VmHWM:\t    2076 kB\n"
    "VmRSS:\t    2075 kB\n"
    "RssAnon:\t     416 kB\n"
    "RssFile:\t    1660 kB\n"
    "RssShmem:\t       0 kB\n"
    "VmData:\t     432 kB\n"
    "VmStk:\t     132 kB\n"
    "VmExe:\t     772 kB\n"
    "VmLib:\t    1596 kB\n"
    "VmPTE:\t      48 kB\n"
    "VmSwap:\t       7 kB\n"
    "HugetlbPages:\t       0 kB\n"
    "Threads:\t1\n"
    "SigQ:\t0/96365\n"
    "SigPnd:\t0000000000000000\n"
    "SigBlk:\t0000000000010000\n"
    "SigIgn:\t00000000000a1004\n"
    "SigCgt:\t0000000000014002\n"
    "Seccomp:\t0\n"
    "Speculation_Store_Bypass:\tvulnerable\n"
    "Cpus_allowed_list:\t0-1\n"
    "voluntary_ctxt_switches:\t31\n"
    "nonvoluntary_ctxt_switches:\t17\n";

static const char io_text[] =
    "rchar: 15665\nwchar: 1737\nsyscr: 25\nsyscw: 5\nread_bytes: 8192\nwrite_bytes: 4096\n"
    "cancelled_write_bytes: 1\n";

#define LIMITS_BEFORE \
    "Limit                     Soft Limit           Hard Limit           Units     \n" \
    "Max processes             96365                96365                processes \n"
#define LIMITS_AFTER \
    "Max locked memory         8388608              8388608              bytes     \n"
#define LIMITS_FILES \
    "Max open files            1024                 524288               files     \n"
static const char limits_text[] = LIMITS_BEFORE LIMITS_FILES LIMITS_AFTER;

static const char smaps_text[] =
    "5570963d4000-7ffc99fc3000 ---p 00000000 00:00 0                          [rollup]\n"
    "Rss:                2076 kB\n"
    "Pss:                 545 kB\n"
    "Pss_Dirty:           278 kB\n"
    "Swap:                  0 kB\n"
    "SwapPss:               3 kB\n";

static const char host_text[] =
    "cpu  9494 1 5202 201558 832 11 152 26 7 8\n"
    "cpu0 4081 0 2046 102408 36 0 34 10 0 0\n"
    "cpu2 5412 1 3156 99150 796 0 117 16 0 0\n"
    "intr 594157 0 0 0 9\n"
    "ctxt 922319\n"
    "btime 1795160540\n"
    "processes 6489\n"
    "procs_running 1\n"
    "procs_blocked 0\n"
    "softirq 315614 0 34788 5\n";

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
static const char cgroup_text[] =
    "12:cpu,cpuacct:/docker/" HEX64 "\n"
    "3:pids:/system.slice/docker.service\n"
    "1:name=systemd:/docker/" HEX64 "\n"
    "0::/system.slice/containerd.service\n";

/* ---- All parsers alike ------------------------------------------------------- */

/* ck_assert() reports to the parent process each time that it holds, too: far too
 * slow for what runs 100,000 times. */
#define require(condition) \
    do { \
        if (!(condition)) \
            ck_abort_msg("%s", #condition); \
    } while (0)

static int run_stat(const char *buf, size_t len, void *ret) {
    struct stat_line *s = ret;
    int r = parse_stat(buf, len, s);

    if (r == 0)
        require(s->comm >= buf && s->comm_len < len && s->comm + s->comm_len < buf + len);
    return r;
}

static int run_status(const char *buf, size_t len, void *ret) {
    return parse_status(buf, len, ret);
}

static int run_io(const char *buf, size_t len, void *ret) {
    return parse_io(buf, len, ret);
}

static int run_schedstat(const char *buf, size_t len, void *ret) {
    return parse_schedstat(buf, len, ret);
}

static int run_fd_limit(const char *buf, size_t len, void *ret) {
    return parse_fd_limit(buf, len, ret);
}

static int run_pss(const char *buf, size_t len, void *ret) {
    return parse_pss(buf, len, ret);
}

static int run_host_stat(const char *buf, size_t len, void *ret) {
    return parse_host_stat(buf, len, ret);
}

static int run_cgroup(const char *buf, size_t len, void *ret) {
    struct cgroup_file *f = ret;
    const char *unit;
    int r = parse_cgroup(buf, len, f);

    if (r == 0) {
        require(f->path_len == 0 || (f->path >= buf && f->path + f->path_len <= buf + len));
        require(f->systemd_len == 0 ||
                (f->systemd >= buf && f->systemd + f->systemd_len <= buf + len));
        require(parse_unit(f->systemd, f->systemd_len, &unit) <= f->systemd_len);
    }
    return r;
}

/* These two have no errors, only "none". */
static int run_unit(const char *buf, size_t len, void *ret) {
    size_t n = parse_unit(buf, len, ret);
    const char *unit;

    if (n == 0)
        return -EBADMSG;
    memcpy(&unit, ret, sizeof(unit));
    require(unit >= buf && n <= len && unit + n <= buf + len);
    return 0;
}

static int run_container(const char *buf, size_t len, void *ret) {
    size_t n = parse_container(buf, len, ret);
    const char *id;

    if (n == 0)
        return -EBADMSG;
    memcpy(&id, ret, sizeof(id));
    require(id >= buf && n <= len && id + n <= buf + len);
    return 0;
}

#define SAMPLE(text) (text), sizeof(text) - 1
static const struct parser {
    int (*run)(const char *buf, size_t len, void *ret);
    size_t ret_size;
    const char *sample;
    size_t sample_len;
} parsers[] = {
    {run_stat, sizeof(struct stat_line), SAMPLE(STAT("a) S 1 (b"))},
    {run_status, sizeof(struct status_file), SAMPLE(status_text)},
    {run_io, sizeof(struct io_file), SAMPLE(io_text)},
    {run_schedstat, sizeof(struct schedstat_file), SAMPLE("1064736 77 5\n")},
    {run_fd_limit, sizeof(uint64_t), SAMPLE(limits_text)},
    {run_pss, sizeof(struct pss), SAMPLE(smaps_text)},
    {run_host_stat, sizeof(struct host_stat), SAMPLE(host_text)},
    {run_cgroup, sizeof(struct cgroup_file), SAMPLE(cgroup_text)},
    {run_unit, sizeof(const char *), SAMPLE("/user.slice/user@1000.service/_x.scope")},
    {run_container, sizeof(const char *), SAMPLE(cgroup_text)},
    {run_container, sizeof(const char *), SAMPLE("0::/lxc.payload.web (deleted)\n")},
};

/* Runs a parser and checks that it writes its output on success only. */
static int run_checked(const struct parser *p, const char *text, size_t len) {
    unsigned char *ret = checked_malloc(p->ret_size);
    size_t i;
    int r;

    memset(ret, 0xA5, p->ret_size);
    r = p->run(exact(text, len), len, ret);
    require(r == 0 || r == -EBADMSG);
    for (i = 0; r != 0 && i < p->ret_size; i++)
        require(ret[i] == 0xA5);
    free(ret);
    release_all();
    return r;
}

START_TEST(every_prefix) {
    const struct parser *p = &parsers[_i];
    size_t len;

    for (len = 0; len < p->sample_len; len++)
        run_checked(p, p->sample, len);
    ck_assert_int_eq(run_checked(p, p->sample, p->sample_len), 0);
    /* a tail begins in the middle of anything */
    for (len = 0; len < p->sample_len; len++)
        run_checked(p, p->sample + len, p->sample_len - len);
}
END_TEST

/* Damaged in a few places by the same "random" numbers each time. */
START_TEST(damaged) {
    static const char likely[] = "0123456789 \t\n\r:-()/_.kBVmS\0\377";
    const struct parser *p = &parsers[_i];
    uint64_t random = 88172645463325252u + (uint64_t)_i;
    int round;

    for (round = 0; round < 4000; round++) {
        char *text = checked_malloc(p->sample_len);
        size_t len = p->sample_len, edits;

        memcpy(text, p->sample, len);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        for (edits = 1 + random % 4; edits > 0; edits--) {
            uint64_t dice = random >> (8 * edits);
            size_t at = (size_t)(dice / 64 % len);

            if (dice % 8 == 0 && len > 1) { /* lose a byte */
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            } else {
                text[at] = likely[dice % sizeof(likely)];
            }
        }
        run_checked(p, text, len);
        free(text);
    }
}
END_TEST

/* Each parser reads each other's file. */
START_TEST(wrong_file) {
    int other;

    for (other = 0; other < COUNT(parsers); other++)
        run_checked(&parsers[_i], parsers[other].sample, parsers[other].sample_len);
    run_checked(&parsers[_i], SAMPLE("\0\0\0\0\0\0\0\0"));
    run_checked(&parsers[_i], SAMPLE("\n\n\n\n"));
    run_checked(&parsers[_i], SAMPLE("\xff\xfe\xff\xfe"));
}
END_TEST

/* ---- parse_stat ---------------------------------------------------------------- */

static void assert_stat_fields(const struct stat_line *s) {
    ck_assert_uint_eq(s->pid, 42);
    ck_assert_int_eq(s->state, 'S');
    ck_assert_uint_eq(s->ppid, 41);
    ck_assert_uint_eq(s->flags, 4194560);
    ck_assert_uint_eq(s->minflt, 101);
    ck_assert_uint_eq(s->cminflt, 102);
    ck_assert_uint_eq(s->majflt, 103);
    ck_assert_uint_eq(s->cmajflt, 104);
    ck_assert_uint_eq(s->utime_ticks, 105);
    ck_assert_uint_eq(s->stime_ticks, 106);
    ck_assert_uint_eq(s->cutime_ticks, 107);
    ck_assert_uint_eq(s->cstime_ticks, 108);
    ck_assert_int_eq(s->priority, 20);
    ck_assert_int_eq(s->nice, -5);
    ck_assert_uint_eq(s->threads, 3);
    ck_assert_uint_eq(s->start_ticks, 109112);
    ck_assert_uint_eq(s->vsize_bytes, 4595712);
    ck_assert_uint_eq(s->rss_pages, 486);
}

static void assert_stat_late(const struct stat_line *s) {
    ck_assert_uint_eq(s->start_code, 201);
    ck_assert_uint_eq(s->start_stack, 203);
    ck_assert(s->has_blkio_delay);
    ck_assert_uint_eq(s->blkio_delay_ticks, 217);
    ck_assert_uint_eq(s->start_data, 304);
    ck_assert_uint_eq(s->arg_start, 307);
}

START_TEST(stat_fields) {
    struct stat_line s;
    const char *p;
    int fields = 1;

    for (p = STAT("cat"); *p; p++)
        fields += *p == ' ';
    ck_assert_int_eq(fields, 52);
    ck_assert_int_eq(parse_stat(IN(STAT("cat")), &s), 0);
    assert_stat_fields(&s);
    assert_stat_late(&s);
    ASSERT_TEXT(s.comm, s.comm_len, "cat");
}
END_TEST

static const struct name {
    const char *text;
    size_t len;
} names[] = {
    {SAMPLE("a) S 1 (b")},
    {SAMPLE("")},
    {SAMPLE(" ")},
    {SAMPLE(")")},
    {SAMPLE("(")},
    {SAMPLE("()")},
    {SAMPLE("))))))))))))))))")},
    {SAMPLE("(((((((((((((((")},
    {SAMPLE(") ")},
    {SAMPLE(") Z 1 2 3 4 5 6")},
    {SAMPLE("(sd-pam)")},
    {SAMPLE("new\nline")},
    {SAMPLE("\n")},
    {SAMPLE("\n42 (x) S 1\n")},
    {SAMPLE("\xff\xfe")},
    {SAMPLE("\x1b[31m")},
    {SAMPLE("tmux: server")},
    {SAMPLE("nul\0inside")},
    {SAMPLE("fifteen-bytes-x")},
    {SAMPLE("kworker/u513:123-events_unbound-and-more_of-it_up-to-63-bytes+x")},
    {SAMPLE(HEX64 HEX64 HEX64)},
};

START_TEST(stat_names) {
    static const char behind[] = ") " STAT_TO_RSS STAT_TO_POLICY STAT_REST "\n";
    const struct name *name = &names[_i];
    char text[1024];
    size_t len = 0;
    struct stat_line s;

    memcpy(text, "42 (", 4);
    len += 4;
    memcpy(text + len, name->text, name->len);
    len += name->len;
    memcpy(text + len, behind, sizeof(behind) - 1);
    len += sizeof(behind) - 1;

    ck_assert_int_eq(parse_stat(exact(text, len), len, &s), 0);
    assert_bytes(s.comm, s.comm_len, name->text, name->len);
    assert_stat_fields(&s);
}
END_TEST

START_TEST(stat_missing_late_fields) {
    struct stat_line s;

    ck_assert_int_eq(parse_stat(IN("42 (x) " STAT_TO_RSS), &s), 0);
    assert_stat_fields(&s);
    ck_assert(s.start_code == 0 && s.start_stack == 0 && s.start_data == 0 && s.arg_start == 0);
    ck_assert(!s.has_blkio_delay && s.blkio_delay_ticks == 0);

    ck_assert_int_eq(parse_stat(IN("42 (x) " STAT_TO_RSS "\n"), &s), 0);
    assert_stat_fields(&s);
    ck_assert(!s.has_blkio_delay && s.start_code == 0);

    ck_assert_int_eq(parse_stat(IN("42 (x) " STAT_TO_RSS " 1 201 202 203\n"), &s), 0);
    ck_assert(s.start_code == 201 && s.start_stack == 203);
    ck_assert(!s.has_blkio_delay && s.start_data == 0);

    /* up to field 41 and 42 */
    ck_assert_int_eq(parse_stat(IN("42 (x) " STAT_TO_RSS STAT_TO_POLICY "\n"), &s), 0);
    ck_assert(!s.has_blkio_delay);
    ck_assert_int_eq(parse_stat(IN("42 (x) " STAT_TO_RSS STAT_TO_POLICY " 0\n"), &s), 0);
    ck_assert(s.has_blkio_delay && s.blkio_delay_ticks == 0 && s.arg_start == 0);

    ck_assert_int_eq(parse_stat(IN("42 (x) " STAT_TO_RSS "\r\n"), &s), 0);
    assert_stat_fields(&s);
}
END_TEST

START_TEST(stat_extra_fields) {
    struct stat_line s;

    ck_assert_int_eq(parse_stat(IN("42 (x) " STAT_TO_RSS STAT_TO_POLICY STAT_REST
                                   " 99999999999999999999999 new-kind -7\n"), &s), 0);
    assert_stat_fields(&s);
    assert_stat_late(&s);
}
END_TEST

START_TEST(stat_extremes) {
    struct stat_line s;

    ck_assert_int_eq(
        parse_stat(IN("4294967295 (x) Z 0 -1 -1 0 -1 4294967295 18446744073709551615 0 0 0 0 0 0 0"
                      " -9223372036854775808 9223372036854775807 0 -1 18446744073709551615"
                      " 18446744073709551615 0 99999999999999999999999999 0 0 0 0\n"), &s), 0);
    ck_assert_uint_eq(s.pid, UINT32_MAX);
    ck_assert_uint_eq(s.ppid, 0);
    ck_assert_uint_eq(s.flags, UINT32_MAX);
    ck_assert_uint_eq(s.minflt, UINT64_MAX);
    ck_assert_int_eq(s.priority, INT64_MIN);
    ck_assert_int_eq(s.nice, INT64_MAX);
    ck_assert_uint_eq(s.start_ticks, UINT64_MAX);
    ck_assert_uint_eq(s.vsize_bytes, UINT64_MAX);

    ck_assert_int_eq(
        parse_stat(IN("1 (migration/0) S 2 0 0 0 -1 69238848 0 0 0 0 0 0 0 0 -100 -0 1 0 5 0 0\n"),
                   &s), 0);
    ck_assert_int_eq(s.priority, -100);
    ck_assert_int_eq(s.nice, 0);
    ck_assert_uint_eq(s.flags & 0x00200000, 0x00200000);
    ck_assert(!s.leads_session && !s.in_foreground);

    static const char *const on_terminals[] = {
        "9 (x) S 1 9 9 34816 9 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n",
        "9 (x) S 1 9 9 34816 12 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n",
        "9 (x) S 1 8 7 34816 8 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n",
    };
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(parse_stat(on_terminals[i], strlen(on_terminals[i]), &s), 0);
        ck_assert_int_eq(s.leads_session, i < 2);
        ck_assert_int_eq(s.in_foreground, i != 1);
    }
}
END_TEST

START_TEST(stat_refused) {
#define MIDDLE " 41 43 44 34816 -1 4194560 101 102 103 104 105 106 107 108 "
    static const struct name bad[] = {
        {SAMPLE("")},
        {SAMPLE("\n")},
        {SAMPLE("42")},
        {SAMPLE("42 ")},
        {SAMPLE("42 (")},
        {SAMPLE("42 ()")},
        {SAMPLE("42 (x")},
        {SAMPLE("42 (x)")},
        {SAMPLE("42 (x) ")},
        {SAMPLE("42 (x) S")},
        {SAMPLE("42 )x( " STAT_TO_RSS "\n")},
        {SAMPLE("42 x " STAT_TO_RSS "\n")},
        {SAMPLE("(x) " STAT_TO_RSS "\n")},
        {SAMPLE("-42 (x) " STAT_TO_RSS "\n")},
        {SAMPLE("42  (x) " STAT_TO_RSS "\n")},
        {SAMPLE("42 (x)" STAT_TO_RSS "\n")},
        {SAMPLE("42 (x) 7" MIDDLE "20 0 3 0 109112 4595712 486\n")},
        {SAMPLE("4294967296 (x) " STAT_TO_RSS "\n")},                /* pid */
        {SAMPLE("18446744073709551658 (x) " STAT_TO_RSS "\n")},      /* 2^64 + 42 */
        {SAMPLE("42 (x) S 4294967296 43 44 0 -1 0 1 2 3 4 5 6 7 8 20 0 3 0 1 2 3\n")},
        {SAMPLE("42 (x) S -1 43 44 0 -1 0 1 2 3 4 5 6 7 8 20 0 3 0 1 2 3\n")},
        {SAMPLE("42 (x) S 1 43 44 0 -1 -4 1 2 3 4 5 6 7 8 20 0 3 0 1 2 3\n")},
        {SAMPLE("42 (x) S 1 43 44 0 - 0 1 2 3 4 5 6 7 8 20 0 3 0 1 2 3\n")},
        {SAMPLE("42 (x) S 1 43 44 0 -1 0 1 2 3 4 5 6 7 8 --20 0 3 0 1 2 3\n")},
        {SAMPLE("42 (x) S 1 43 44 0 -1 0 1 2 3 4 5 6 7 8 - 0 3 0 1 2 3\n")},
        {SAMPLE("42 (x) S" MIDDLE "9223372036854775808 0 3 0 1 2 3\n")}, /* priority */
        {SAMPLE("42 (x) S" MIDDLE "-9223372036854775809 0 3 0 1 2 3\n")},
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 18446744073709551616 2 3\n")}, /* start */
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1 2\n")},                 /* no rss */
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1 2 -3\n")},
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1 2\n3\n")},
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1  2 3\n")},
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1 2 3 x\n")},
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1 2 3x 4 5\n")},
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1 2 3 4 18446744073709551616\n")}, /* startcode */
        {SAMPLE("42 (x) S" MIDDLE "20 0 3 0 1 2 3 4 -5\n")},
    };
    int i;

    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(run_checked(&parsers[0], bad[i].text, bad[i].len) == -EBADMSG,
                      "accepted \"%.*s\"", (int)bad[i].len, bad[i].text);
#undef MIDDLE
}
END_TEST

/* ---- parse_status --------------------------------------------------------------- */

static void assert_status_fields(const struct status_file *s) {
    ck_assert_int_eq(s->state, 'S');
    ck_assert(s->has_ids && s->uid == 1001 && s->gid == 2001);
    ck_assert(s->has_memory && s->has_rss && s->has_anon && s->has_swap);
    ck_assert_uint_eq(s->rss_bytes, 2075 * 1024);
    ck_assert_uint_eq(s->anon_bytes, 416 * 1024);
    ck_assert_uint_eq(s->swap_bytes, 7 * 1024);
    ck_assert_uint_eq(s->data_bytes, 432 * 1024);
    ck_assert_uint_eq(s->stack_bytes, 132 * 1024);
    ck_assert_uint_eq(s->code_bytes, (772 + 1596) * 1024);
    ck_assert_uint_eq(s->sigign, 0xa1004);
    ck_assert(s->has_switches);
    ck_assert_uint_eq(s->voluntary_switches, 31);
    ck_assert_uint_eq(s->involuntary_switches, 17);
}

START_TEST(status_fields) {
    struct status_file s;
    size_t len = sizeof(status_text) - 1;

    ck_assert_int_eq(parse_status(exact(status_text, len), len, &s), 0);
    assert_status_fields(&s);
    /* without the last newline */
    ck_assert_int_eq(parse_status(exact(status_text, len - 1), len - 1, &s), 0);
    assert_status_fields(&s);
}
END_TEST

START_TEST(status_crlf) {
    char text[2 * sizeof(status_text)];
    const char *p;
    size_t len = 0;
    struct status_file s;

    for (p = status_text; *p; p++) {
        if (*p == '\n')
            text[len++] = '\r';
        text[len++] = *p;
    }
    ck_assert_int_eq(parse_status(exact(text, len), len, &s), 0);
    assert_status_fields(&s);
}
END_TEST

/* Kernel threads and zombies have no address space, hence no Vm lines. */
START_TEST(status_without_memory) {
    struct status_file s;

    ck_assert_int_eq(parse_status(IN("Name:\tkthreadd\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\n"
                                     "Gid:\t0\t0\t0\t0\nGroups:\t \nKthread:\t1\nThreads:\t1\n"
                                     "SigIgn:\tffffffffffffffff\n"
                                     "voluntary_ctxt_switches:\t9\n"
                                     "nonvoluntary_ctxt_switches:\t8\n"), &s), 0);
    ck_assert(!s.has_memory && !s.has_rss && !s.has_anon && !s.has_swap);
    ck_assert(s.anon_bytes == 0 && s.data_bytes == 0 && s.code_bytes == 0);
    ck_assert(s.has_ids && s.uid == 0 && s.gid == 0);
    ck_assert(s.sigign == UINT64_MAX);
    ck_assert(s.has_switches);
}
END_TEST

START_TEST(status_partial) {
    struct status_file s;

    ck_assert_int_eq(parse_status(IN("State:\tZ"), &s), 0);
    ck_assert_int_eq(s.state, 'Z');
    ck_assert(!s.has_ids && !s.has_memory && !s.has_switches);

    /* an old kernel: neither RssAnon nor VmSwap */
    ck_assert_int_eq(parse_status(IN("State:\tR (running)\nUid:\t5\t4294967295\t5\t5\n"
                                     "VmSize:\t9 kB\nVmData:\t8 kB\nVmStk:\t7 kB\n"
                                     "VmExe:\t6 kB\nVmLib:\t5 kB\n"
                                     "voluntary_ctxt_switches:\t1\n"), &s), 0);
    ck_assert(s.has_memory && !s.has_anon && !s.has_swap);
    ck_assert_uint_eq(s.code_bytes, 11 * 1024);
    ck_assert(!s.has_ids && !s.has_switches);

    /* 128 signals, as on MIPS: the lower half counts */
    ck_assert_int_eq(
        parse_status(IN("State:\tS (sleeping)\nSigIgn:\tffffffffffffffff0000000000020000\n"), &s),
        0);
    ck_assert_uint_eq(s.sigign, 0x20000);
}
END_TEST

/* The kernel escapes newline and backslash in this file. */
START_TEST(status_names) {
    struct status_file s;

    ck_assert_int_eq(parse_status(IN("Name:\tx\\nUid:\t7\t7\t7\t7\nState:\tS (sleeping)\n"
                                     "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"), &s), 0);
    ck_assert(s.has_ids && s.uid == 2 && s.gid == 6);
    ck_assert_int_eq(parse_status(IN("Name:\tState:\tZ\\nVmData:\t1 kB\nState:\tS (sleeping)\n"),
                                  &s), 0);
    ck_assert(s.state == 'S' && !s.has_memory);
    ck_assert_int_eq(parse_status(IN("Name:\t\nState:\tS (sleeping)\n"), &s), 0);
    ck_assert_int_eq(parse_status(IN("Name:\t\xff\xfe\x1b\\\\\nState:\tS (sleeping)\n"), &s), 0);
    /* keys begin their lines, are whole, and are not the beginnings of others */
    ck_assert_int_eq(parse_status(IN("State:\tS\n VmData:\t1 kB\nXVmData:\t1 kB\nUids:\t1\n"
                                     "Uid\nGidX:\t1\nVm\nV\nSigIgnored:\tx\nRssAnonymous: x\n"
                                     "Virtual: 1 kB\nv\nnon\n\nStateless:\t7\n"), &s), 0);
    ck_assert(!s.has_memory && !s.has_ids && !s.has_anon && !s.has_switches);
}
END_TEST

START_TEST(status_long_lines) {
    static const char head[] = "Name:\tx\nState:\tS (sleeping)\nGroups:\t";
    static const char tail[] = "\nVmData:\t     432 kB\nvoluntary_ctxt_switches:\t1\n"
                               "nonvoluntary_ctxt_switches:\t2\n";
    const size_t groups = 65536 * 7; /* NGROUPS_MAX of them */
    size_t len = sizeof(head) - 1 + groups + sizeof(tail) - 1, i;
    char *text = checked_malloc(len);
    struct status_file s;

    memcpy(text, head, sizeof(head) - 1);
    for (i = 0; i < groups; i++)
        text[sizeof(head) - 1 + i] = "100000 "[i % 7];
    memcpy(text + len - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
    ck_assert_int_eq(parse_status(exact(text, len), len, &s), 0);
    free(text);
    ck_assert_uint_eq(s.data_bytes, 432 * 1024);
    ck_assert(s.has_switches && s.involuntary_switches == 2);
}
END_TEST

/* 2^64 / 1024 = 18014398509481984 */
START_TEST(status_kib_overflow) {
    struct status_file s;

    ck_assert_int_eq(parse_status(IN("State:\tS\nVmData:\t18014398509481983 kB\n"), &s), 0);
    ck_assert_uint_eq(s.data_bytes, UINT64_MAX - 1023);
    ck_assert_int_eq(parse_status(IN("State:\tS\nVmExe:\t18014398509481983 kB\nVmLib:\t0 kB\n"),
                                  &s), 0);
    ck_assert_uint_eq(s.code_bytes, UINT64_MAX - 1023);
}
END_TEST

START_TEST(status_memory) {
    struct status_memory m;
    const size_t len = sizeof(status_text) - 1;
    ck_assert_int_eq(parse_status_memory(exact(status_text, len), len, &m), 0);
    ck_assert_uint_eq(m.known, (1u << MEMORY_LINES) - 1);
    ck_assert_uint_eq(m.bytes[MEMORY_LINE_FILE], 1660 * 1024);
    ck_assert_uint_eq(m.bytes[MEMORY_LINE_SHMEM], 0);
    ck_assert_uint_eq(m.bytes[MEMORY_LINE_LOCKED], 0);
    ck_assert_uint_eq(m.bytes[MEMORY_LINE_PAGE_TABLES], 48 * 1024);
    /* what is not there is not known, and a name is no line */
    ck_assert_int_eq(parse_status_memory(IN("Name:\tVmLck:\nVmLckx: 1 kB\nVmPTE:\t7 kB"), &m), 0);
    ck_assert_uint_eq(m.known, 1u << MEMORY_LINE_PAGE_TABLES);
    ck_assert_uint_eq(m.bytes[MEMORY_LINE_PAGE_TABLES], 7 * 1024);
    ck_assert_int_eq(parse_status_memory(IN(""), &m), 0);
    ck_assert_uint_eq(m.known, 0);
    ck_assert_int_eq(parse_status_memory(IN("VmLck:\t-1 kB\n"), &m), -EBADMSG);
    ck_assert_int_eq(parse_status_memory(IN("RssFile:\t18446744073709551615 kB\n"), &m), -EBADMSG);
}
END_TEST

START_TEST(oom_score) {
    uint64_t score = 7;
    ck_assert_int_eq(parse_oom_score(IN("667\n"), &score), 0);
    ck_assert_uint_eq(score, 667);
    ck_assert_int_eq(parse_oom_score(IN("0"), &score), 0);
    ck_assert_uint_eq(score, 0);
    ck_assert_int_eq(parse_oom_score(IN(""), &score), -EBADMSG);
    ck_assert_int_eq(parse_oom_score(IN("-1\n"), &score), -EBADMSG);
    ck_assert_int_eq(parse_oom_score(IN("6 7\n"), &score), -EBADMSG);
    ck_assert_int_eq(parse_oom_score(IN("18446744073709551616\n"), &score), -EBADMSG);
}
END_TEST

START_TEST(status_refused) {
    static const struct name bad[] = {
        {SAMPLE("")},
        {SAMPLE("Name:\tx\nUid:\t1\t1\t1\t1\n")}, /* no State */
        {SAMPLE("State:")},
        {SAMPLE("State:\t")},
        {SAMPLE("State:\t\n")},
        {SAMPLE("State:\t1\n")},
        {SAMPLE("State:\tS\nVmData:\t18014398509481984 kB\n")},
        {SAMPLE("State:\tS\nVmStk:\t18446744073709551615 kB\n")},
        {SAMPLE("State:\tS\nVmSwap:\t18446744073709551616 kB\n")},
        {SAMPLE("State:\tS\nRssAnon:\t99999999999999999999999 kB\n")},
        {SAMPLE("State:\tS\nVmExe:\t18014398509481983 kB\nVmLib:\t1 kB\n")},
        {SAMPLE("State:\tS\nVmData:\t12\n")},
        {SAMPLE("State:\tS\nVmData:\t12 MB\n")},
        {SAMPLE("State:\tS\nVmData:\t12 k")},
        {SAMPLE("State:\tS\nVmData:\t-12 kB\n")},
        {SAMPLE("State:\tS\nVmData:\t kB\n")},
        {SAMPLE("State:\tS\nVmData:\n")},
        {SAMPLE("State:\tS\nUid:\t1\n")},
        {SAMPLE("State:\tS\nUid:\n1\t2\t3\t4\n")},
        {SAMPLE("State:\tS\nUid:\t1\t4294967296\t1\t1\n")},
        {SAMPLE("State:\tS\nGid:\t1\t-1\t1\t1\n")},
        {SAMPLE("State:\tS\nSigIgn:\t\n")},
        {SAMPLE("State:\tS\nSigIgn:\t000000000000000\n")},
        {SAMPLE("State:\tS\nSigIgn:\t00000000000000000\n")},
        {SAMPLE("State:\tS\nSigIgn:\t000000000000000x\n")},
        {SAMPLE("State:\tS\nvoluntary_ctxt_switches:\t\n")},
        {SAMPLE("State:\tS\nvoluntary_ctxt_switches:\t18446744073709551616\n")},
        {SAMPLE("State:\tS\nnonvoluntary_ctxt_switches:\t-3\n")},
    };
    int i;

    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(run_checked(&parsers[1], bad[i].text, bad[i].len) == -EBADMSG,
                      "accepted \"%.*s\"", (int)bad[i].len, bad[i].text);
}
END_TEST

/* ---- The other files of a process ------------------------------------------------ */

START_TEST(io_fields) {
    struct io_file s;

    ck_assert_int_eq(parse_io(exact(io_text, sizeof(io_text) - 1), sizeof(io_text) - 1, &s), 0);
    ck_assert(s.rchar == 15665 && s.wchar == 1737 && s.syscr == 25 && s.syscw == 5);
    ck_assert(s.read_bytes == 8192 && s.write_bytes == 4096);

    /* another order, a new line in between, the last one cut, CRLF */
    ck_assert_int_eq(parse_io(IN("write_bytes: 6\r\nread_bytes: 5\r\nrchar2: x\r\n"
                                 "cancelled_write_bytes: 9\r\nsyscw: 4\r\nsyscr: 3\r\n"
                                 "wchar: 2\r\nrchar: 18446744073709551615"), &s), 0);
    ck_assert(s.rchar == UINT64_MAX && s.wchar == 2 && s.syscr == 3 && s.syscw == 4);
    ck_assert(s.read_bytes == 5 && s.write_bytes == 6);
}
END_TEST

START_TEST(io_refused) {
    struct io_file s;

    ck_assert_int_eq(parse_io(IN(""), &s), -EBADMSG);
    ck_assert_int_eq(parse_io(IN("rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\n"
                                 "cancelled_write_bytes: 6\n"), &s), -EBADMSG);
    ck_assert_int_eq(parse_io(IN("rchar: 18446744073709551616\nwchar: 2\nsyscr: 3\nsyscw: 4\n"
                                 "read_bytes: 5\nwrite_bytes: 6\n"), &s), -EBADMSG);
    ck_assert_int_eq(parse_io(IN("rchar: -1\nwchar: 2\nsyscr: 3\nsyscw: 4\n"
                                 "read_bytes: 5\nwrite_bytes: 6\n"), &s), -EBADMSG);
    ck_assert_int_eq(parse_io(IN("rchar:\nwchar: 2\nsyscr: 3\nsyscw: 4\n"
                                 "read_bytes: 5\nwrite_bytes: 6\n"), &s), -EBADMSG);
}
END_TEST

START_TEST(schedstat) {
    struct schedstat_file s = {.wait_ns = 99};

    ck_assert_int_eq(parse_schedstat(IN("1064736 77 5\n"), &s), 0);
    ck_assert_uint_eq(s.run_ns, 1064736);
    ck_assert_uint_eq(s.wait_ns, 77);
    ck_assert_uint_eq(s.slices, 5);
    ck_assert_int_eq(parse_schedstat(IN("0 18446744073709551615 0"), &s), 0);
    ck_assert_uint_eq(s.wait_ns, UINT64_MAX);

    s.wait_ns = 99;
    ck_assert_int_eq(parse_schedstat(IN(""), &s), -EBADMSG);
    ck_assert_int_eq(parse_schedstat(IN("1 2"), &s), -EBADMSG);
    ck_assert_int_eq(parse_schedstat(IN("1 2\n3"), &s), -EBADMSG);
    ck_assert_int_eq(parse_schedstat(IN("1 18446744073709551616 3\n"), &s), -EBADMSG);
    ck_assert_int_eq(parse_schedstat(IN("1 -2 3\n"), &s), -EBADMSG);
    ck_assert_uint_eq(s.wait_ns, 99);
}
END_TEST

START_TEST(fd_limit) {
    uint64_t n = 99;

    ck_assert_int_eq(parse_fd_limit(exact(limits_text, sizeof(limits_text) - 1),
                                    sizeof(limits_text) - 1, &n), 0);
    ck_assert_uint_eq(n, 1024);
    ck_assert_int_eq(
        parse_fd_limit(IN("Max open files            unlimited            unlimited  files\n"), &n),
        0);
    ck_assert_uint_eq(n, UINT64_MAX);
    ck_assert_int_eq(parse_fd_limit(IN("Max open files 7 8 files"), &n), 0);
    ck_assert_uint_eq(n, 7);

    n = 99;
    ck_assert_int_eq(parse_fd_limit(IN(""), &n), -EBADMSG);
    ck_assert_int_eq(parse_fd_limit(IN(LIMITS_BEFORE LIMITS_AFTER), &n), -EBADMSG);
    ck_assert_int_eq(parse_fd_limit(IN("x" LIMITS_FILES), &n), -EBADMSG);
    ck_assert_int_eq(parse_fd_limit(IN("Max open files            10"), &n), -EBADMSG);
    ck_assert_int_eq(parse_fd_limit(IN("Max open files            unlim"), &n), -EBADMSG);
    ck_assert_int_eq(parse_fd_limit(IN("Max open files            -1  -1 files\n"), &n), -EBADMSG);
    ck_assert_int_eq(parse_fd_limit(IN("Max open files  18446744073709551616  1\n"), &n), -EBADMSG);
    ck_assert_int_eq(parse_fd_limit(IN("Max open files\n1024 1024\n"), &n), -EBADMSG);
    ck_assert_uint_eq(n, 99);
}
END_TEST

START_TEST(statm) {
    uint64_t n = 99;

    ck_assert_int_eq(parse_statm(IN("1410 1119 812 264 0 366 0\n"), &n), 0);
    ck_assert_uint_eq(n, 1119);
    ck_assert_int_eq(parse_statm(IN("0 0 0 0 0 0 0\n"), &n), 0);
    ck_assert_uint_eq(n, 0);

    n = 99;
    ck_assert_int_eq(parse_statm(IN(""), &n), -EBADMSG);
    ck_assert_int_eq(parse_statm(IN("1410\n"), &n), -EBADMSG);
    ck_assert_int_eq(parse_statm(IN("1410 11"), &n), -EBADMSG);
    ck_assert_int_eq(parse_statm(IN("1410 -1 812"), &n), -EBADMSG);
    ck_assert_int_eq(parse_statm(IN("1410 18446744073709551616 812"), &n), -EBADMSG);
    ck_assert_uint_eq(n, 99);
}
END_TEST

START_TEST(pss) {
    struct pss found = {0};

    ck_assert_int_eq(parse_pss(exact(smaps_text, sizeof(smaps_text) - 1), sizeof(smaps_text) - 1,
                               &found), 0);
    ck_assert_uint_eq(found.bytes, 545 * 1024);
    ck_assert(found.has_swap);
    ck_assert_uint_eq(found.swap_bytes, 3 * 1024);
    ck_assert_int_eq(parse_pss(IN("Pss_Dirty: 1 kB\nPss: 18014398509481983 kB"), &found), 0);
    ck_assert_uint_eq(found.bytes, UINT64_MAX - 1023);
    ck_assert(!found.has_swap); /* which is not 0 */

    found = (struct pss){.bytes = 99};
    ck_assert_int_eq(parse_pss(IN(""), &found), -EBADMSG);
    ck_assert_int_eq(parse_pss(IN("Rss: 1 kB\nPss_Dirty: 1 kB\nSwapPss: 1 kB\n"), &found), -EBADMSG);
    ck_assert_int_eq(parse_pss(IN("Pss: 18014398509481984 kB\n"), &found), -EBADMSG);
    ck_assert_int_eq(parse_pss(IN("Pss: 18446744073709551616 kB\n"), &found), -EBADMSG);
    ck_assert_int_eq(parse_pss(IN("Pss: 54"), &found), -EBADMSG);
    ck_assert_int_eq(parse_pss(IN("Pss: 1 kB\nSwapPss: 54"), &found), -EBADMSG);
    ck_assert_uint_eq(found.bytes, 99);
    ck_assert(!found.has_swap);
}
END_TEST

/* ---- parse_host_stat ---------------------------------------------------------------- */

START_TEST(host_fields) {
    struct host_stat s;

    ck_assert_int_eq(parse_host_stat(exact(host_text, sizeof(host_text) - 1),
                                     sizeof(host_text) - 1, &s), 0);
    ck_assert_uint_eq(s.busy_ticks, 9494 + 1 + 5202);
    ck_assert_uint_eq(s.cpus, 2);
    ck_assert_uint_eq(s.boot_time, 1795160540);
    ck_assert_int_eq(parse_host_stat(IN("cpu  1 2 3\ncpu0 1 2 3\nbtime 4"), &s), 0);
    ck_assert(s.busy_ticks == 6 && s.cpus == 1 && s.boot_time == 4);
    ck_assert_int_eq(parse_host_stat(IN("cpu  1 2 3\r\ncpu0 1 2 3\r\nbtime 4\r\n"), &s), 0);
    ck_assert(s.busy_ticks == 6 && s.cpus == 1 && s.boot_time == 4);
}
END_TEST

START_TEST(host_many_cpus) {
    const size_t size = 1u << 20;
    char *text = checked_malloc(size);
    size_t len = 0;
    struct host_stat s;
    int i;

    len += (size_t)snprintf(text, size, "cpu  1000 200 30 4 5 6 7 8 9 10\n");
    for (i = 0; i < 1024; i++)
        len += (size_t)snprintf(text + len, size - len,
                                "cpu%d 123456789 2345678 34567890 4567890123 0 0 0 0 0 0\n", i);
    len += (size_t)snprintf(text + len, size - len, "intr 594157");
    for (i = 0; i < 100000; i++)
        len += (size_t)snprintf(text + len, size - len, " %d", i % 10);
    len += (size_t)snprintf(text + len, size - len, "\nctxt 1\nbtime 1700000000\n");
    ck_assert_uint_lt(len, size - 1);

    ck_assert_int_eq(parse_host_stat(exact(text, len), len, &s), 0);
    free(text);
    ck_assert_uint_eq(s.cpus, 1024);
    ck_assert_uint_eq(s.busy_ticks, 1230);
    ck_assert_uint_eq(s.boot_time, 1700000000);
}
END_TEST

START_TEST(host_refused) {
    static const struct name bad[] = {
        {SAMPLE("")},
        {SAMPLE("cpu0 1 2 3\nbtime 4\n")},
        {SAMPLE("cpu  1 2 3\nbtime 4\n")},
        {SAMPLE("cpu  1 2 3\ncpu0 1 2 3\n")},
        {SAMPLE("cpu\ncpu0 1 2 3\nbtime 4\n")},
        {SAMPLE("cpu  1 2\ncpu0 1 2 3\nbtime 4\n")},
        {SAMPLE("cpu  1 -2 3\ncpu0 1 2 3\nbtime 4\n")},
        {SAMPLE("cpu  18446744073709551616 2 3\ncpu0 1 2 3\nbtime 4\n")},
        {SAMPLE("cpu  18446744073709551615 0 1\ncpu0 1 2 3\nbtime 4\n")},
        {SAMPLE("cpu  1 2 3\ncpu0 1 2 3\nbtime \n")},
        {SAMPLE("cpu  1 2 3\ncpu0 1 2 3\nbtime 18446744073709551616\n")},
        {SAMPLE("cpu  1 2 3\ncpu0 1 2 3\nxbtime 4\n")},
    };
    struct host_stat s;
    int i;

    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(parse_host_stat(exact(bad[i].text, bad[i].len), bad[i].len, &s) == -EBADMSG,
                      "accepted \"%.*s\"", (int)bad[i].len, bad[i].text);
}
END_TEST

/* ---- parse_cgroup, parse_unit, parse_container ---------------------------------------- */

static const struct cgroup_case {
    const char *text, *path, *systemd, *unit, *container;
} cgroups[] = {
    {"0::/system.slice/nginx.service\n", "/system.slice/nginx.service",
     "/system.slice/nginx.service", "nginx.service", ""},
    {"0::/init.scope\n", "/init.scope", "/init.scope", "init.scope", ""},
    {"0::/\n", "/", "/", "", ""},
    {"0::/", "/", "/", "", ""},
    {"", "", "", "", ""},
    {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.scope\n",
     "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.scope",
     "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.scope",
     "user@1000.service", ""},
    {"0::/user.slice/user-1000.slice/session-3.scope\n",
     "/user.slice/user-1000.slice/session-3.scope", "/user.slice/user-1000.slice/session-3.scope",
     "session-3.scope", ""},
    /* hybrid: both alike */
    {"12:pids:/system.slice/cron.service\n1:name=systemd:/system.slice/cron.service\n"
     "0::/system.slice/cron.service\n",
     "/system.slice/cron.service", "/system.slice/cron.service", "cron.service", ""},
    /* legacy, the unified one unused */
    {"11:cpuset:/\n10:memory:/system.slice/cron.service\n9:cpu,cpuacct:/batch\n"
     "1:name=systemd:/system.slice/cron.service\n0::/\n",
     "/system.slice/cron.service", "/system.slice/cron.service", "cron.service", ""},
    {"2:memory:/jobs/7\n1:name=systemd:/system.slice/cron.service\n", "/jobs/7",
     "/system.slice/cron.service", "cron.service", ""},
    {"9:name=systemd:/\n8:pids:/\n4:memory:/runner/1\n3:cpuset:/x\n0::/\n", "/runner/1", "/", "",
     ""},
    {"2:cpuset:/\n1:cpu:/\n", "/", "", "", ""},
    /* another named hierarchy, and one whose name begins like systemd's */
    {"2:name=elogind:/c1\n1:name=systemd2:/a.service\n", "/c1", "", "", ""},
    /* colons in the path, spaces, bytes that are no text */
    {"0::/a:b/c::d.service\n", "/a:b/c::d.service", "/a:b/c::d.service", "c::d.service", ""},
    {"0::/my cgroup/\xff\xfe\n", "/my cgroup/\xff\xfe", "/my cgroup/\xff\xfe", "", ""},
    {"0::/../../system.slice/x.mount\n", "/../../system.slice/x.mount",
     "/../../system.slice/x.mount", "x.mount", ""},
    /* removed behind a zombie's back */
    {"0::/system.slice/gone.service (deleted)\n", "/system.slice/gone.service",
     "/system.slice/gone.service", "gone.service", ""},
    {"1:name=systemd:/gone.scope (deleted)", "/gone.scope", "/gone.scope", "gone.scope", ""},
    /* containers */
    {"0::/system.slice/docker-" HEX64 ".scope\n", "/system.slice/docker-" HEX64 ".scope",
     "/system.slice/docker-" HEX64 ".scope", "docker-" HEX64 ".scope", "0123456789ab"},
    {"3:memory:/docker/" HEX64 "\n1:name=systemd:/docker/" HEX64 "\n"
     "0::/system.slice/containerd.service\n",
     "/system.slice/containerd.service", "/system.slice/containerd.service", "containerd.service",
     "0123456789ab"},
    {"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podabc_1.slice/"
     "cri-containerd-" HEX64 ".scope\n",
     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podabc_1.slice/"
     "cri-containerd-" HEX64 ".scope",
     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podabc_1.slice/"
     "cri-containerd-" HEX64 ".scope",
     "cri-containerd-" HEX64 ".scope", "0123456789ab"},
    {"5:cpu:/kubepods/besteffort/pod0d5c6f5c-8c4d-4c5e-9b0a-000000000000/" HEX64 "\n",
     "/kubepods/besteffort/pod0d5c6f5c-8c4d-4c5e-9b0a-000000000000/" HEX64, "", "",
     "0123456789ab"},
    {"0::/kubepods.slice/crio-" HEX64 ".scope/container\n",
     "/kubepods.slice/crio-" HEX64 ".scope/container",
     "/kubepods.slice/crio-" HEX64 ".scope/container", "crio-" HEX64 ".scope", "0123456789ab"},
    {"0::/machine.slice/libpod-" HEX64 ".scope/container\n",
     "/machine.slice/libpod-" HEX64 ".scope/container",
     "/machine.slice/libpod-" HEX64 ".scope/container", "libpod-" HEX64 ".scope", "0123456789ab"},
    {"4:pids:/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" HEX64 "\n",
     "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" HEX64, "", "",
     "0123456789ab"},
    {"0::/default/" HEX64 "\n", "/default/" HEX64, "/default/" HEX64, "", "0123456789ab"},
    /* the container's monitor is not in it */
    {"0::/machine.slice/libpod-conmon-" HEX64 ".scope\n",
     "/machine.slice/libpod-conmon-" HEX64 ".scope", "/machine.slice/libpod-conmon-" HEX64 ".scope",
     "libpod-conmon-" HEX64 ".scope", ""},
    {"0::/lxc.payload.web-1/system.slice/ssh.service\n",
     "/lxc.payload.web-1/system.slice/ssh.service", "/lxc.payload.web-1/system.slice/ssh.service",
     "", "web-1"},
    {"0::/lxc/101/ns/init.scope\n", "/lxc/101/ns/init.scope", "/lxc/101/ns/init.scope",
     "", "101"},
    /* units of the systemd in there, which have the same names as the host's */
    {"4:pids:/docker/" HEX64 "/system.slice/cron.service\n",
     "/docker/" HEX64 "/system.slice/cron.service", "", "", "0123456789ab"},
    {"0::/docker/" HEX64 "/system.slice/cron.service\n",
     "/docker/" HEX64 "/system.slice/cron.service", "/docker/" HEX64 "/system.slice/cron.service",
     "", "0123456789ab"},
    {"0::/system.slice/docker-" HEX64 ".scope/system.slice/cron.service\n",
     "/system.slice/docker-" HEX64 ".scope/system.slice/cron.service",
     "/system.slice/docker-" HEX64 ".scope/system.slice/cron.service",
     "docker-" HEX64 ".scope", "0123456789ab"},
    {"0::/machine.slice/machine-web.scope/payload/system.slice/cron.service\n",
     "/machine.slice/machine-web.scope/payload/system.slice/cron.service",
     "/machine.slice/machine-web.scope/payload/system.slice/cron.service", "machine-web.scope",
     "web"},
    {"0::/machine.slice/machine-my\\x2dct.scope/payload\n",
     "/machine.slice/machine-my\\x2dct.scope/payload",
     "/machine.slice/machine-my\\x2dct.scope/payload", "machine-my\\x2dct.scope", "my\\x2dct"},
    {"0::/machine.slice/systemd-nspawn@web.service/payload/init.scope\n",
     "/machine.slice/systemd-nspawn@web.service/payload/init.scope",
     "/machine.slice/systemd-nspawn@web.service/payload/init.scope", "systemd-nspawn@web.service",
     "web"},
    {"0::/machine.slice/systemd-nspawn@web.service/supervisor\n",
     "/machine.slice/systemd-nspawn@web.service/supervisor",
     "/machine.slice/systemd-nspawn@web.service/supervisor", "systemd-nspawn@web.service", ""},
    {"0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator\n",
     "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
     "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
     "machine-qemu\\x2d1\\x2dvm.scope", ""},
    {"0::/machine-.scope/payload\n", "/machine-.scope/payload", "/machine-.scope/payload",
     "machine-.scope", ""},
    {"0::/machine-x.scope/payloads\n", "/machine-x.scope/payloads", "/machine-x.scope/payloads",
     "machine-x.scope", ""},
    {"2:pids:/lxc/db\n0::/\n", "/lxc/db", "/", "", "db"},
    {"0::/lxc.payload.db (deleted)\n", "/lxc.payload.db", "/lxc.payload.db", "", "db"},
    {"0::/lxc.monitor.web-1\n", "/lxc.monitor.web-1", "/lxc.monitor.web-1", "", ""},
    {"0::/lxc/\n", "/lxc/", "/lxc/", "", ""},
    {"0::/lxc\n", "/lxc", "/lxc", "", ""},
    {"0::/lxc.payload.\n", "/lxc.payload.", "/lxc.payload.", "", ""},
    {"0::/lxc/vm/docker/" HEX64 "\n", "/lxc/vm/docker/" HEX64, "/lxc/vm/docker/" HEX64, "",
     "0123456789ab"},
    /* not 64 digits, not only digits, not alone */
    {"0::/docker/" HEX64 "0\n", "/docker/" HEX64 "0", "/docker/" HEX64 "0", "", ""},
    {"0::/docker/0123\n", "/docker/0123", "/docker/0123", "", ""},
    {"0::/x" HEX64 "\n", "/x" HEX64, "/x" HEX64, "", ""},
    {"0::/" HEX64 "x\n", "/" HEX64 "x", "/" HEX64 "x", "", ""},
    {"0::/" HEX64 HEX64 "/" HEX64 "\n", "/" HEX64 HEX64 "/" HEX64, "/" HEX64 HEX64 "/" HEX64, "",
     "0123456789ab"},
    {"0::/0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n",
     "/0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF",
     "/0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", "", ""},
};

START_TEST(cgroup_cases) {
    const struct cgroup_case *c = &cgroups[_i];
    size_t len = strlen(c->text), n;
    const char *buf = exact(c->text, len), *found = "";
    struct cgroup_file f;

    ck_assert_int_eq(parse_cgroup(buf, len, &f), 0);
    assert_bytes(f.path, f.path_len, c->path, strlen(c->path));
    assert_bytes(f.systemd, f.systemd_len, c->systemd, strlen(c->systemd));
    n = parse_unit(exact(f.systemd, f.systemd_len), f.systemd_len, &found);
    assert_bytes(found, n, c->unit, strlen(c->unit));
    found = "";
    n = parse_container(buf, len, &found);
    assert_bytes(found, n, c->container, strlen(c->container));
}
END_TEST

START_TEST(cgroup_refused) {
    static const struct name bad[] = {
        {SAMPLE("\n")},
        {SAMPLE("0")},
        {SAMPLE("0:")},
        {SAMPLE("0::")},
        {SAMPLE("0::\n")},
        {SAMPLE("0::x\n")},
        {SAMPLE("0:/\n")},
        {SAMPLE("::/\n")},
        {SAMPLE("x::/\n")},
        {SAMPLE("-1::/\n")},
        {SAMPLE("18446744073709551616::/\n")},
        {SAMPLE("0::/a\nb\n")},
        {SAMPLE("0::/a\n\n")},
        {SAMPLE("2:cpu\n:/a\n")},
    };
    int i;

    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(run_checked(&parsers[7], bad[i].text, bad[i].len) == -EBADMSG,
                      "accepted \"%.*s\"", (int)bad[i].len, bad[i].text);
}
END_TEST

static const struct unit_case {
    const char *path, *unit;
} units[] = {
    {"", ""},
    {"/", ""},
    {"///", ""},
    {"/a.slice", ""},
    {"/a.slice/b.service", "b.service"},
    {"a.service", "a.service"},
    {"/a.slice/b.scope/c.service", "b.scope"},
    {"/x/y/z.socket", "z.socket"},
    {"/a.mount", "a.mount"},
    {"/a.automount", "a.automount"},
    {"/a.swap", "a.swap"},
    {"/a.timer", "a.timer"},
    {"/a.path", "a.path"},
    {"/a.target", "a.target"},
    {"/a.device/", "a.device"},
    {"/a.services", ""},
    {"/a.service.d", ""},
    {"/aservice", ""},
    {"/.service", ""},
    {"/_.service", ""},
    {"/_cgroup.service", "cgroup.service"},
    {"/__x.service", "_x.service"},
    {"/_a.slice/_b.service", "b.service"},
    {"/_", ""},
    {"/_/a.scope", "a.scope"},
    {"/dev-disk-by\\x2duuid.swap", "dev-disk-by\\x2duuid.swap"},
    {"/A.SERVICE", ""},
};

START_TEST(unit_cases) {
    const struct unit_case *c = &units[_i];
    size_t len = strlen(c->path), n;
    const char *unit = "";

    n = parse_unit(exact(c->path, len), len, &unit);
    assert_bytes(unit, n, c->unit, strlen(c->unit));
}
END_TEST

/* ---- This machine ----------------------------------------------------------------------- */

/* The whole file in an exact block, or NULL if it can't be read: /proc may be
 * restricted, and kernels are built without some of these files. */
static const char *slurp(const char *path, size_t *ret_len) {
    size_t size = 4096, len = 0;
    char *text = checked_malloc(size);
    const char *copy = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (fd >= 0) {
        ssize_t n = read(fd, text + len, size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (n == 0) {
            copy = exact(text, len);
            break;
        }
        len += (size_t)n;
        if (len == size) {
            size *= 2;
            text = realloc(text, size);
            ck_assert_ptr_nonnull(text);
        }
    }
    if (fd >= 0)
        close(fd);
    free(text);
    *ret_len = len;
    return copy;
}

START_TEST(live_stat) {
    static const struct name live[] = {
        {SAMPLE("test_parse")}, {SAMPLE("a) S 1 (b")}, {SAMPLE("")},
        {SAMPLE("new\nline")},  {SAMPLE("\xff\xfe")},  {SAMPLE("))))))))))))))))")},
    };
    const char *buf;
    size_t len, i;
    struct stat_line s;

    for (i = 0; i < sizeof(live) / sizeof(live[0]); i++) {
        ck_assert_int_eq(prctl(PR_SET_NAME, live[i].text, 0, 0, 0), 0);
        buf = slurp("/proc/self/stat", &len);
        ck_assert_ptr_nonnull(buf);
        ck_assert_int_eq(parse_stat(buf, len, &s), 0);
        assert_bytes(s.comm, s.comm_len, live[i].text, live[i].len > 15 ? 15 : live[i].len);
        ck_assert_int_eq((pid_t)s.pid, getpid());
        ck_assert_int_eq((pid_t)s.ppid, getppid());
        ck_assert_int_eq(s.state, 'R');
        ck_assert_uint_eq(s.flags & 0x00200000, 0);
        ck_assert_int_eq(s.nice, getpriority(PRIO_PROCESS, 0));
        ck_assert_uint_ge(s.threads, 1);
        ck_assert(s.minflt > 0 && s.start_ticks > 0);
        ck_assert(s.rss_pages > 0 && s.vsize_bytes / 512 > s.rss_pages);
        ck_assert(s.has_blkio_delay);
        ck_assert(s.start_code != 0 && s.start_stack != 0 && s.start_data != 0 && s.arg_start != 0);
    }
}
END_TEST

START_TEST(live_status) {
    const char *buf;
    size_t len;
    struct status_file s;

    ck_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    buf = slurp("/proc/self/status", &len);
    signal(SIGCHLD, SIG_DFL);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(parse_status(buf, len, &s), 0);
    ck_assert_int_eq(s.state, 'R');
    ck_assert(s.has_ids && s.uid == geteuid() && s.gid == getegid());
    ck_assert(s.has_memory && s.has_anon && s.anon_bytes > 0);
    ck_assert(s.data_bytes > 0 && s.stack_bytes > 0 && s.code_bytes > 0);
    ck_assert(s.has_switches);
    ck_assert_uint_ne(s.sigign & (UINT64_C(1) << (SIGCHLD - 1)), 0);

    buf = slurp("/proc/self/status", &len);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(parse_status(buf, len, &s), 0);
    ck_assert_uint_eq(s.sigign & (UINT64_C(1) << (SIGCHLD - 1)), 0);
}
END_TEST

START_TEST(live_zombie) {
    char path[64];
    const char *buf;
    size_t len;
    struct stat_line stat;
    struct status_file status;
    siginfo_t info;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
    buf = slurp(path, &len);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(parse_stat(buf, len, &stat), 0);
    ck_assert_int_eq((pid_t)stat.pid, child);
    ck_assert_int_eq((pid_t)stat.ppid, getpid());
    ck_assert(stat.state == 'Z' && stat.rss_pages == 0 && stat.vsize_bytes == 0);

    snprintf(path, sizeof(path), "/proc/%d/status", (int)child);
    buf = slurp(path, &len);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(parse_status(buf, len, &status), 0);
    ck_assert(status.state == 'Z' && !status.has_memory && !status.has_anon && !status.has_swap);
    ck_assert(status.has_ids && status.uid == geteuid());
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

START_TEST(live_other_files) {
    const char *buf, *found;
    size_t len;
    uint64_t n, rss;
    struct io_file io;
    struct rlimit limit;
    struct cgroup_file cgroup;
    struct stat_line stat;

    /* A new process has read nothing; what it reads is counted once it has it. */
    buf = slurp("/proc/self/stat", &len);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(parse_stat(buf, len, &stat), 0);
    n = len;
    if ((buf = slurp("/proc/self/io", &len)) != NULL) {
        ck_assert_int_eq(parse_io(buf, len, &io), 0);
        ck_assert(io.rchar >= n && io.syscr >= 2);
    }
    if ((buf = slurp("/proc/self/schedstat", &len)) != NULL) {
        struct schedstat_file sched;
        ck_assert_int_eq(parse_schedstat(buf, len, &sched), 0);
        ck_assert_uint_lt(sched.wait_ns, UINT64_C(1000000000) * 86400);
        ck_assert_uint_gt(sched.run_ns, 0);
        ck_assert_uint_gt(sched.slices, 0);
    }

    buf = slurp("/proc/self/limits", &len);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(parse_fd_limit(buf, len, &n), 0);
    if (limit.rlim_cur == RLIM_INFINITY)
        ck_assert_uint_eq(n, UINT64_MAX);
    else /* valgrind keeps a few for itself */
        ck_assert(n >= limit.rlim_cur && n - limit.rlim_cur < 64);

    if ((buf = slurp("/proc/self/smaps_rollup", &len)) != NULL) {
        struct pss rollup;
        ck_assert_int_eq(parse_pss(buf, len, &rollup), 0);
        ck_assert(rollup.has_swap);
        /* rss lags: each CPU, and before Linux 6.2 each thread, keeps some pages of each
         * kind to itself */
        rss = stat.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
        ck_assert(rollup.bytes > 0 && rollup.bytes < rss + rss / 2 + (1 << 20));
    }
    if ((buf = slurp("/proc/self/cgroup", &len)) != NULL) {
        ck_assert_int_eq(parse_cgroup(buf, len, &cgroup), 0);
        ck_assert(len == 0 || (cgroup.path_len > 0 && cgroup.path[0] == '/'));
        ck_assert_uint_le(parse_unit(cgroup.systemd, cgroup.systemd_len, &found),
                          cgroup.systemd_len);
        ck_assert_uint_le(parse_container(buf, len, &found), len);
    }
}
END_TEST

START_TEST(live_host) {
    size_t len;
    const char *buf = slurp("/proc/stat", &len);
    struct host_stat s;

    if (!buf)
        return; /* mounted with subset=pid */
    ck_assert_int_eq(parse_host_stat(buf, len, &s), 0);
    ck_assert_int_ge(s.cpus, 1);
    ck_assert_int_le(s.cpus, sysconf(_SC_NPROCESSORS_CONF));
    ck_assert_uint_gt(s.busy_ticks, 0);
    ck_assert(s.boot_time > 0 && s.boot_time <= (uint64_t)time(NULL) + 60);
}
END_TEST

/* ---- Running them ------------------------------------------------------------------------ */

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, NULL, release_all);
    tcase_set_timeout(tc, 120); /* valgrind */
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("parse");
    TCase *tc;
    SRunner *runner;
    int failed;

    tc = add_case(suite, "all");
    tcase_add_loop_test(tc, every_prefix, 0, COUNT(parsers));
    tcase_add_loop_test(tc, damaged, 0, COUNT(parsers));
    tcase_add_loop_test(tc, wrong_file, 0, COUNT(parsers));
    tc = add_case(suite, "stat");
    tcase_add_test(tc, stat_fields);
    tcase_add_test(tc, stat_missing_late_fields);
    tcase_add_test(tc, stat_extra_fields);
    tcase_add_test(tc, stat_extremes);
    tcase_add_test(tc, stat_refused);
    tc = add_case(suite, "names");
    tcase_add_loop_test(tc, stat_names, 0, COUNT(names));
    tc = add_case(suite, "status");
    tcase_add_test(tc, status_fields);
    tcase_add_test(tc, status_crlf);
    tcase_add_test(tc, status_without_memory);
    tcase_add_test(tc, status_partial);
    tcase_add_test(tc, status_names);
    tcase_add_test(tc, status_long_lines);
    tcase_add_test(tc, status_kib_overflow);
    tcase_add_test(tc, status_refused);
    tcase_add_test(tc, status_memory);
    tcase_add_test(tc, oom_score);
    tc = add_case(suite, "files");
    tcase_add_test(tc, io_fields);
    tcase_add_test(tc, io_refused);
    tcase_add_test(tc, schedstat);
    tcase_add_test(tc, fd_limit);
    tcase_add_test(tc, pss);
    tcase_add_test(tc, statm);
    tc = add_case(suite, "host");
    tcase_add_test(tc, host_fields);
    tcase_add_test(tc, host_many_cpus);
    tcase_add_test(tc, host_refused);
    tc = add_case(suite, "cgroup");
    tcase_add_loop_test(tc, cgroup_cases, 0, COUNT(cgroups));
    tcase_add_test(tc, cgroup_refused);
    tc = add_case(suite, "unit");
    tcase_add_loop_test(tc, unit_cases, 0, COUNT(units));
    tc = add_case(suite, "live");
    tcase_add_test(tc, live_stat);
    tcase_add_test(tc, live_status);
    tcase_add_test(tc, live_zombie);
    tcase_add_test(tc, live_other_files);
    tcase_add_test(tc, live_host);

    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
