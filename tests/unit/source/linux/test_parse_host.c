/* SPDX-License-Identifier: MIT */
/* What the kernel prints of the host, as old and new kernels do, and what it would not. */
#include "source/linux/parse_host.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utmp.h>

#define UNTOUCHED 0xa5

typedef int parser(const char *buf, size_t len, struct host_details *ret);

static struct host_details ret, untouched;

static void setup(void) {
    memset(&ret, UNTOUCHED, sizeof(ret));
    memset(&untouched, UNTOUCHED, sizeof(untouched));
}

static int parse(parser *p, const char *text) {
    return p(text, strlen(text), &ret);
}

static void refuse(parser *p, const char *text) {
    ck_assert_msg(parse(p, text) == -EBADMSG, "\"%s\" was taken", text);
    ck_assert_msg(memcmp(&ret, &untouched, sizeof(ret)) == 0, "\"%s\" left something", text);
}

START_TEST(times) {
    ck_assert_int_eq(parse(parse_host_times, "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 9 9 9 9\n"), 0);
    ck_assert_uint_eq(ret.times_known, 8);
    for (uint64_t i = 0; i < 8; i++)
        ck_assert_uint_eq(ret.times_ticks[i], i + 1);
    /* before 2.6.11, and 2.4 */
    ck_assert_int_eq(parse(parse_host_times, "cpu  1 2 3 4 5 6 7\n"), 0);
    ck_assert_uint_eq(ret.times_known, 7);
    ck_assert_int_eq(parse(parse_host_times, "cpu 4 3 2 18446744073709551615"), 0);
    ck_assert_uint_eq(ret.times_known, 4);
    ck_assert_uint_eq(ret.times_ticks[3], UINT64_MAX);
}
END_TEST

/* What moves is told apart from what does not, on this kernel and on others. */
START_TEST(moves_of_memory) {
    static const char base[] = "nr_free_pages 3894723\npgscan_kswapd 10\npgscan_anon 5\n"
                               "pgscan_file 7\npgsteal_kswapd 8\nthp_split_page_failed 4\n";
    static const char *const moved[] = {"pgsteal_anon 1\n", "pgsteal_file 1\n", "pswpin 1\n",
                                        "pswpout 1\n", "zswpout 1\n", "swpout_zero 1\n",
                                        "thp_collapse_alloc 1\n", "thp_split_page 1\n",
                                        "thp_underused_split_page 1"};
    static const char *const still[] = {"pgfault 1\n", "pgscan_direct 1\n", "zone_reclaim 1\n",
                                        "thp_split_page_failed 1\n", "pswpinx 1\n", "pswp 1\n",
                                        "pswpin\n", " pswpin 1\n", "\n", "p 1\n"};
    uint64_t first, other;
    char text[400];
    ck_assert_int_eq(parse_vmstat_moves(base, strlen(base), &first), 0);
    for (int i = 0; i < COUNT(moved); i++) {
        snprintf(text, sizeof(text), "%s%s", base, moved[i]);
        ck_assert_int_eq(parse_vmstat_moves(text, strlen(text), &other), 0);
        ck_assert_msg(first != other, "%s", moved[i]);
    }
    for (int i = 0; i < COUNT(still); i++) {
        snprintf(text, sizeof(text), "%s%s", base, still[i]);
        ck_assert_int_eq(parse_vmstat_moves(text, strlen(text), &other), 0);
        ck_assert_msg(first == other, "%s", still[i]);
    }
    static const char *const unknown[] = {"", "\n", "pgscan_anon 5\n", "pgscan_file 5\n",
                                          "pgscan_anon x\npgscan_file 1\n",
                                          "pgscan_anon 1\npgscan_anon 1\n"};
    for (int i = 0; i < COUNT(unknown); i++) {
        other = 1234;
        ck_assert_int_eq(parse_vmstat_moves(unknown[i], strlen(unknown[i]), &other), -EBADMSG);
        ck_assert_uint_eq(other, 1234);
    }
}
END_TEST

START_TEST(no_times) {
    static const char *const texts[] = {
        "", "cpu", "cpu ", "cpu0 1 2 3 4\n", "cpu  1 2 3\n4", "cpu  1 2 x 4\n", "cpu  1 2 3 -4\n",
        "cpu  1 2 3 18446744073709551616\n", "ctxt 1\ncpu  1 2 3 4\n", "cpu  1 2 3 4x\n"};
    for (int i = 0; i < COUNT(texts); i++)
        refuse(parse_host_times, texts[i]);
}
END_TEST

START_TEST(memory) {
    ck_assert_int_eq(parse(parse_meminfo, "MemTotal:       16000 kB\nMemFree:  1 kB\n"
                                          "MemAvailable: 2 kB\nBuffers: 3 kB\nCached: 4 kB\n"
                                          "SwapCached: 5 kB\nHugePages_Total:       0\n"
                                          "SwapTotal: 6 kB\nSwapFree: 0 kB"), 0);
    ck_assert_uint_eq(ret.memory_known, (1u << HOST_MEMORIES) - 1);
    static const uint64_t kib[HOST_MEMORIES] = {16000, 1, 2, 3, 4, 6, 0};
    for (int i = 0; i < HOST_MEMORIES; i++)
        ck_assert_uint_eq(ret.memory_bytes[i], kib[i] * 1024);
}
END_TEST

/* Linux 3.13 and before can't tell what is available. */
START_TEST(memory_of_an_old_kernel) {
    ck_assert_int_eq(parse(parse_meminfo, "MemTotal: 10 kB\nMemFree: 1 kB\nBuffers: 3 kB\n"), 0);
    ck_assert_uint_eq(ret.memory_known, 1u << HOST_MEMORY_TOTAL | 1u << HOST_MEMORY_FREE |
                                            1u << HOST_MEMORY_BUFFERS);
    ck_assert_int_eq(parse(parse_meminfo, ""), 0);
    ck_assert_uint_eq(ret.memory_known, 0);
    ck_assert_int_eq(parse(parse_meminfo, "MemTotal 5\nXMemTotal: 5 kB\nMemTotal"), 0);
    ck_assert_uint_eq(ret.memory_known, 0);
}
END_TEST

START_TEST(no_memory) {
    refuse(parse_meminfo, "MemTotal: 10 kB\nMemFree: many kB\n");
    refuse(parse_meminfo, "MemTotal: -1 kB\n");
    refuse(parse_meminfo, "MemTotal: 18014398509481984 kB\n"); /* 2^54 kB are 2^64 bytes */
    refuse(parse_meminfo, "MemTotal: 99999999999999999999 kB\n");
    refuse(parse_meminfo, "MemTotal: \n");
}
END_TEST

START_TEST(load) {
    ck_assert_int_eq(parse(parse_loadavg, "1.05 0.50 123.45 1/234 5678\n"), 0);
    ck_assert(ret.has_load);
    ck_assert_uint_eq(ret.load_billionths[0], UINT64_C(1050000000));
    ck_assert_uint_eq(ret.load_billionths[1], UINT64_C(500000000));
    ck_assert_uint_eq(ret.load_billionths[2], UINT64_C(123450000000));
    /* as others print it that imitate a kernel */
    ck_assert_int_eq(parse(parse_loadavg, "1 0.5 0.1234567891"), 0);
    ck_assert_uint_eq(ret.load_billionths[0], UINT64_C(1000000000));
    ck_assert_uint_eq(ret.load_billionths[1], UINT64_C(500000000));
    ck_assert_uint_eq(ret.load_billionths[2], UINT64_C(123456789));
}
END_TEST

START_TEST(no_load) {
    static const char *const texts[] = {"",        "1.05",           "1.05 0.50",
                                        "a b c",   "1.05 0.50 x",    "-1.00 0.00 0.00",
                                        ".5 .5 .5", "1.0x 1.00 1.00", "1.05,0.50,0.10",
                                        "99999999999999999999.00 0.00 0.00"};
    for (int i = 0; i < COUNT(texts); i++)
        refuse(parse_loadavg, texts[i]);
}
END_TEST

START_TEST(uptime) {
    ck_assert_int_eq(parse(parse_uptime, "1234.56 7890.12\n"), 0);
    ck_assert(ret.has_uptime);
    ck_assert_uint_eq(ret.uptime_ns, UINT64_C(1234560000000));
    ck_assert_int_eq(parse(parse_uptime, "0.00 0.00\n"), 0);
    ck_assert_uint_eq(ret.uptime_ns, 0);
    setup();
    refuse(parse_uptime, "");
    refuse(parse_uptime, " 1.00");
    refuse(parse_uptime, "up 3 days");
    refuse(parse_uptime, "9223372037.00 1.00");
}
END_TEST

START_TEST(cpus) {
    static const struct {
        const char *text;
        uint64_t end;
    } lists[] = {{"0\n", 1}, {"0-3\n", 4}, {"0,2-3", 4}, {"0-1,8\n", 9}, {"0-4294967294\n", UINT32_MAX}};
    static const char *const bad[] = {"", "\n", "x\n", "0-\n", "0-3,\n", "0-3 \n", "-1\n", "0--3\n",
                                      "0-4294967295\n", "0-18446744073709551616\n"};
    for (int i = 0; i < COUNT(lists); i++) {
        uint64_t end = 0;
        ck_assert_int_eq(parse_cpu_list_end(lists[i].text, strlen(lists[i].text), &end), 0);
        ck_assert_uint_eq(end, lists[i].end);
    }
    for (int i = 0; i < COUNT(bad); i++) {
        uint64_t end = 7;
        ck_assert_msg(parse_cpu_list_end(bad[i], strlen(bad[i]), &end) == -EBADMSG && end == 7,
                      "\"%s\" was taken", bad[i]);
    }
}
END_TEST

START_TEST(users) {
    struct utmp all[5] = {{.ut_type = BOOT_TIME, .ut_user = "reboot"},
                          {.ut_type = USER_PROCESS, .ut_user = "ann"},
                          {.ut_type = DEAD_PROCESS, .ut_user = "bob"},
                          {.ut_type = USER_PROCESS},
                          {.ut_type = USER_PROCESS, .ut_user = "ann"}};
    const char *bytes = (const char *)all;
    ck_assert_uint_eq(parse_utmp_users(bytes, sizeof(all)), 2);
    /* one that is being written */
    ck_assert_uint_eq(parse_utmp_users(bytes, sizeof(all) - 1), 1);
    ck_assert_uint_eq(parse_utmp_users(bytes, 0), 0);
    ck_assert_uint_eq(parse_utmp_users("short", 5), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("parse_host");
    const TTest *const tests[] = {times,   no_times, memory, memory_of_an_old_kernel,
                                         no_memory, moves_of_memory, load, no_load, uptime,
                                         cpus, users};
    TCase *tc = add_case(suite, "parsers");
    tcase_add_checked_fixture(tc, setup, NULL);
    for (int i = 0; i < COUNT(tests); i++)
        tcase_add_test(tc, tests[i]);
    return run_suite(suite);
}
