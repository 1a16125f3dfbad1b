/* SPDX-License-Identifier: MIT */
/* The files of control groups, as kernels of both versions print them, and what none would. */
#include "source/linux/parse_cgroup.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

typedef int several(const char *buf, size_t len, struct cgroup_figures *ret);
typedef int one(const char *buf, size_t len, uint64_t *ret);

static struct cgroup_figures figures;

static void setup(void) {
    memset(&figures, 0, sizeof(figures));
}

static void take(several *parse, const char *text) {
    ck_assert_msg(parse(text, strlen(text), &figures) == 0, "\"%s\" was refused", text);
}

static void refuse(several *parse, const char *text) {
    ck_assert_msg(parse(text, strlen(text), &figures) == -EBADMSG, "\"%s\" was taken", text);
    ck_assert_msg(figures.have == 0, "\"%s\" left something", text);
}

static uint64_t get(enum cgroup_figure figure) {
    ck_assert(figures.have & 1u << figure);
    return figures.value[figure];
}

static const struct {
    one *parse;
    const char *text;
    uint64_t value;
    bool is_bad;
} single[] = {
    {parse_cgroup_number, "0\n", 0, false},
    {parse_cgroup_number, "123456789012\n", UINT64_C(123456789012), false},
    {parse_cgroup_number, "7", 7, false},
    {parse_cgroup_number, "max\n", UINT64_MAX, false},
    {parse_cgroup_number, "-1\n", UINT64_MAX, false},
    {parse_cgroup_number, "9223372036854771712\n", UINT64_MAX, false},  /* pages of 4 KiB */
    {parse_cgroup_number, "9223372036854710272\n", UINT64_MAX, false},  /* pages of 64 KiB */
    {parse_cgroup_number, "", 0, true},
    {parse_cgroup_number, "\n", 0, true},
    {parse_cgroup_number, "-2\n", 0, true},
    {parse_cgroup_number, "maximum\n", 0, true},
    {parse_cgroup_number, "1 2\n", 0, true},
    {parse_cgroup_number, "1\n2\n", 0, true},
    {parse_cgroup_number, "18446744073709551616\n", 0, true},
    {parse_cpu_max, "max 100000\n", UINT64_MAX, false},
    {parse_cpu_max, "150000 100000\n", 1500000000, false},
    {parse_cpu_max, "1000 1000000\n", 1000000, false},
    {parse_cpu_max, "20000 100000", 200000000, false},
    {parse_cpu_max, "18446744073709551615 1\n", UINT64_MAX, false},
    {parse_cpu_max, "", 0, true},
    {parse_cpu_max, "max", 0, true},
    {parse_cpu_max, "max \n", 0, true},
    {parse_cpu_max, "100000\n", 0, true},
    {parse_cpu_max, "100000 0\n", 0, true},
    {parse_cpu_max, "100000 -1\n", 0, true},
    {parse_cpu_max, "1 2 3\n", 0, true},
};

START_TEST(numbers) {
    uint64_t value = 4711;
    int r = single[_i].parse(single[_i].text, strlen(single[_i].text), &value);
    ck_assert_msg(r == (single[_i].is_bad ? -EBADMSG : 0), "\"%s\": %d", single[_i].text, r);
    ck_assert_uint_eq(value, single[_i].is_bad ? 4711 : single[_i].value);
}
END_TEST

START_TEST(cpu_stat) {
    take(parse_cpu_stat, "usage_usec 900\nuser_usec 600\nsystem_usec 300\ncore_sched.force_idle_usec 0\n"
                         "nr_periods 12\nnr_throttled 5\nthrottled_usec 70000\nnr_bursts 0\n"
                         "burst_usec 0\n");
    ck_assert_uint_eq(get(CGROUP_CPU_PERIODS), 12);
    ck_assert_uint_eq(get(CGROUP_CPU_THROTTLED_PERIODS), 5);
    ck_assert_uint_eq(get(CGROUP_CPU_THROTTLED_NS), 70000000);
    take(parse_cpu_stat, "nr_periods 1\nnr_throttled 2\nthrottled_time 345");
    ck_assert_uint_eq(get(CGROUP_CPU_THROTTLED_NS), 345);
}
END_TEST

START_TEST(cpu_stat_without_a_controller) {
    take(parse_cpu_stat, "usage_usec 900\nuser_usec 600\nsystem_usec 300\n");
    take(parse_cpu_stat, "");
    ck_assert_uint_eq(figures.have, 0);
}
END_TEST

START_TEST(no_cpu_stat) {
    refuse(parse_cpu_stat, "nr_periods 12\nnr_throttled x\n");
    refuse(parse_cpu_stat, "nr_periods 12\nnr_throttled \n");
    refuse(parse_cpu_stat, "nr_periods 12x\n");
    refuse(parse_cpu_stat, "throttled_usec 18446744073709551615\n"); /* more than 64 bits of ns */
}
END_TEST

START_TEST(memory_events) {
    take(parse_memory_events, "low 9\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 7\n");
    ck_assert_uint_eq(get(CGROUP_MEMORY_HIGH), 1);
    ck_assert_uint_eq(get(CGROUP_MEMORY_MAX), 2);
    ck_assert_uint_eq(get(CGROUP_MEMORY_OOM), 3);
    ck_assert_uint_eq(get(CGROUP_MEMORY_OOM_KILL), 4);
}
END_TEST

START_TEST(oom_control) {
    take(parse_memory_events, "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    ck_assert_uint_eq(figures.have, 1u << CGROUP_MEMORY_OOM_KILL);
    ck_assert_uint_eq(get(CGROUP_MEMORY_OOM_KILL), 3);
}
END_TEST

START_TEST(pressure) {
    take(parse_cpu_pressure, "some avg10=0.00 avg60=1.23 avg300=0.00 total=1234\n"
                             "full avg10=0.00 avg60=0.00 avg300=0.00 total=56\n");
    take(parse_memory_pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                                "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
    take(parse_io_pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=8\n");
    ck_assert_uint_eq(get(CGROUP_CPU_SOME_NS), 1234000);
    ck_assert_uint_eq(get(CGROUP_CPU_FULL_NS), 56000);
    ck_assert_uint_eq(get(CGROUP_MEMORY_SOME_NS), 0);
    ck_assert_uint_eq(get(CGROUP_MEMORY_FULL_NS), 7000);
    ck_assert_uint_eq(get(CGROUP_IO_SOME_NS), 8000);
    ck_assert(!(figures.have & 1u << CGROUP_IO_FULL_NS));
}
END_TEST

START_TEST(no_pressure) {
    refuse(parse_cpu_pressure, "some avg10=0.00 avg60=0.00\n");
    refuse(parse_cpu_pressure, "some avg10=0.00 total=\n");
    refuse(parse_cpu_pressure, "some avg10=0.00 total=12us\n");
    refuse(parse_cpu_pressure, "some total=1\nfull total=18446744073709551615\n");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("parse_cgroup");
    TCase *tc = add_case(suite, "files");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, numbers, 0, COUNT(single));
    tcase_add_test(tc, cpu_stat);
    tcase_add_test(tc, cpu_stat_without_a_controller);
    tcase_add_test(tc, no_cpu_stat);
    tcase_add_test(tc, memory_events);
    tcase_add_test(tc, oom_control);
    tcase_add_test(tc, pressure);
    tcase_add_test(tc, no_pressure);
    return run_suite(suite);
}
