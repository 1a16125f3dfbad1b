/* SPDX-License-Identifier: MIT */
/* The catalogue of metrics where the counting relies on it, and ratios. Names and
 * families, which encoders rely on, are tried in output/test_encode.c. */
#include "count/metrics.h"

#include "base/number.h"
#include "source/cgroup.h"
#include "source/sample.h"
#include "source/source.h"
#include "suite.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static const struct {
    double part, whole;
    uint64_t billionths;
} ratio_cases[] = {
    {1, 2, 500000000},
    {1, 1, 1000000000},
    {3, 2, 1500000000}, /* more than the whole is no mistake here */
    {1, 3, 333333333},
    {2, 3, 666666667}, /* to the nearest */
    {0, 5, 0},
    {1, 4e9, 0},
    {2, 3e9, 1},
    /* nothing to divide by, and nonsense */
    {1, 0, 0},
    {0, 0, 0},
    {1, -1, 0},
    {-1, 1, 0},
    {NAN, 1, 0},
    {1, NAN, 0},
    /* as far as 64 bits go */
    {1e10, 1, UINT64_C(10000000000000000000)},
    {2e10, 1, UINT64_MAX},
    {1, 1e-300, UINT64_MAX},
    {INFINITY, 1, UINT64_MAX},
    {1, INFINITY, 0},
};

START_TEST(ratios) {
    ck_assert_uint_eq(ratio_of(ratio_cases[_i].part, ratio_cases[_i].whole),
                      ratio_cases[_i].billionths);
}
END_TEST

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* They are found by adding to the first of them. */
START_TEST(a_row_for_each_origin) {
    static const char *const origins[ORIGINS] = {
        [ORIGIN_STATUS] = "status", [ORIGIN_IO] = "io",       [ORIGIN_FD] = "fd",
        [ORIGIN_LIMITS] = "limits", [ORIGIN_SCHED] = "sched", [ORIGIN_PSS] = "smaps_rollup",
        [ORIGIN_IDENTITY] = "identity", [ORIGIN_SOCKETS] = "sockets",
    };
    const struct metric_row *m = &metric_table[METRIC_UNREADABLE_STATUS + _i];

    ck_assert_msg(ends_with(m->metric.id, origins[_i]), "%s", m->metric.id);
    ck_assert_str_eq(m->prometheus[TALLY_SCHEMA_NATIVE].value, origins[_i]);
    ck_assert_int_eq(m->metric.kind, TALLY_KIND_GAUGE);
}
END_TEST

/* They are found by adding to the first of them. */
START_TEST(a_row_for_each_kind_of_socket) {
    static const char *const names[SOCKET_KINDS] = {
        [SOCKET_TCP_ESTABLISHED] = "tcp_established",
        [SOCKET_TCP_SYN_SENT] = "tcp_syn_sent",
        [SOCKET_TCP_FIN_WAIT1] = "tcp_fin_wait1",
        [SOCKET_TCP_FIN_WAIT2] = "tcp_fin_wait2",
        [SOCKET_TCP_CLOSE] = "tcp_close",
        [SOCKET_TCP_CLOSE_WAIT] = "tcp_close_wait",
        [SOCKET_TCP_LAST_ACK] = "tcp_last_ack",
        [SOCKET_TCP_LISTEN] = "tcp_listen",
        [SOCKET_TCP_CLOSING] = "tcp_closing",
        [SOCKET_UDP] = "udp_sockets",
        [SOCKET_UNIX] = "unix_sockets",
    };
    const struct metric_row *m = &metric_table[METRIC_TCP_ESTABLISHED + _i];

    ck_assert_str_eq(m->metric.id, names[_i]);
    ck_assert_int_eq(m->metric.kind, TALLY_KIND_GAUGE);
    ck_assert_uint_eq(m->collect, 1u << COLLECT_SOCKETS);
    ck_assert_int_eq(m->by_bpf, _i == SOCKET_TCP_CLOSE);
}
END_TEST

/* As the kernel numbers them; those that no process has are of no kind. */
START_TEST(states_of_tcp) {
    static const int kinds[14] = {
        [0] = -1,
        [1] = SOCKET_TCP_ESTABLISHED,
        [2] = SOCKET_TCP_SYN_SENT,
        [3] = -1,
        [4] = SOCKET_TCP_FIN_WAIT1,
        [5] = SOCKET_TCP_FIN_WAIT2,
        [6] = -1,
        [7] = SOCKET_TCP_CLOSE,
        [8] = SOCKET_TCP_CLOSE_WAIT,
        [9] = SOCKET_TCP_LAST_ACK,
        [10] = SOCKET_TCP_LISTEN,
        [11] = SOCKET_TCP_CLOSING,
        [12] = -1,
        [13] = -1,
    };

    for (unsigned state = 0; state < 14; state++)
        ck_assert_int_eq(socket_kind_of_tcp(state), kinds[state]);
    ck_assert_int_eq(socket_kind_of_tcp(UINT_MAX), -1);
}
END_TEST

/* In the order in which sources hand them out. */
START_TEST(a_row_for_each_kind_of_traffic) {
    static const char *const names[TRAFFIC_COUNTERS] = {
        "network_receive_bytes_tcp",    "network_receive_bytes_udp",
        "network_receive_packets_tcp",  "network_receive_packets_udp",
        "network_transmit_bytes_tcp",   "network_transmit_bytes_udp",
        "network_transmit_packets_tcp", "network_transmit_packets_udp",
    };
    const struct metric_row *m = &metric_table[METRIC_RECEIVED_BYTES_TCP + _i];

    ck_assert_str_eq(m->metric.id, names[_i]);
    ck_assert_int_eq(m->metric.kind, TALLY_KIND_COUNTER);
    ck_assert_int_eq(m->metric.unit, strstr(names[_i], "bytes") ? TALLY_UNIT_BYTES : TALLY_UNIT_COUNT);
}
END_TEST

/* In the order in which they are read. */
START_TEST(a_row_for_each_figure_of_cgroups) {
    static const char *const names[CGROUP_FIGURES] = {
        [CGROUP_CPU_PERIODS] = "cgroup_cpu_periods",
        [CGROUP_CPU_THROTTLED_PERIODS] = "cgroup_cpu_throttled_periods",
        [CGROUP_CPU_THROTTLED_NS] = "cgroup_cpu_throttled",
        [CGROUP_CPU_SOME_NS] = "cgroup_cpu_pressure_some",
        [CGROUP_CPU_FULL_NS] = "cgroup_cpu_pressure_full",
        [CGROUP_MEMORY_SOME_NS] = "cgroup_memory_pressure_some",
        [CGROUP_MEMORY_FULL_NS] = "cgroup_memory_pressure_full",
        [CGROUP_IO_SOME_NS] = "cgroup_io_pressure_some",
        [CGROUP_IO_FULL_NS] = "cgroup_io_pressure_full",
        [CGROUP_MEMORY_HIGH] = "cgroup_memory_events_high",
        [CGROUP_MEMORY_MAX] = "cgroup_memory_events_max",
        [CGROUP_MEMORY_OOM] = "cgroup_memory_events_oom",
        [CGROUP_MEMORY_OOM_KILL] = "cgroup_memory_events_oom_kill",
        [CGROUP_MEMORY_BYTES] = "cgroup_memory",
        [CGROUP_SWAP_BYTES] = "cgroup_swap",
        [CGROUP_PIDS] = "cgroup_pids",
        [CGROUP_MEMORY_PEAK_BYTES] = "cgroup_memory_peak",
        [CGROUP_MEMORY_LIMIT_BYTES] = "cgroup_memory_limit",
        [CGROUP_CPU_LIMIT] = "cgroup_cpu_limit",
        [CGROUP_PIDS_LIMIT] = "cgroup_pids_limit",
    };
    ck_assert_str_eq(metric_table[METRIC_CGROUP_FIRST + _i].metric.id, names[_i]);
}
END_TEST

/* What a process can have less of later is no counter, and the other way round. */
START_TEST(kinds) {
    static const enum metric counters[] = {
        METRIC_CPU_USER,
        METRIC_CPU_SYSTEM,
        METRIC_DISK_READ,
        METRIC_DISK_WRITTEN,
        METRIC_IO_READ,
        METRIC_IO_WRITTEN,
        METRIC_IO_READS,
        METRIC_IO_WRITES,
        METRIC_SWITCHES,
        METRIC_SWITCHES_VOLUNTARY,
        METRIC_SWITCHES_INVOLUNTARY,
        METRIC_FAULTS,
        METRIC_FAULTS_MINOR,
        METRIC_FAULTS_MAJOR,
        METRIC_RUN_QUEUE_WAIT,
        METRIC_BLKIO_DELAY,
        METRIC_RECEIVED_BYTES,
        METRIC_RECEIVED_PACKETS,
        METRIC_TRANSMITTED_BYTES,
        METRIC_TRANSMITTED_PACKETS,
        METRIC_SWITCHES_UNSPLIT,
        METRIC_SYSCALLS_UNIX,
        METRIC_SYSCALLS_MACH,
        METRIC_MESSAGES_SENT,
        METRIC_MESSAGES_RECEIVED,
        METRIC_COW_FAULTS,
        METRIC_INSTRUCTIONS,
        METRIC_CYCLES,
        METRIC_ENERGY,
        METRIC_STARTS,
        METRIC_EXITS,
        METRIC_EXITS_OK,
        METRIC_EXITS_ERROR,
        METRIC_EXITS_SIGNAL,
        METRIC_EXITS_CORE,
        METRIC_EXITS_OOM,
    };
    metric_set wanted = 0, found = 0;

    for (int i = 0; i < COUNT(counters); i++)
        wanted |= METRIC_SET(counters[i]);
    for (int i = 0; i < TRAFFIC_COUNTERS; i++)
        wanted |= METRIC_SET(METRIC_RECEIVED_BYTES_TCP + i);
    for (int f = 0; f < CGROUP_COUNTERS; f++)
        wanted |= METRIC_SET(METRIC_CGROUP_FIRST + f);
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (metric_table[m].metric.kind == TALLY_KIND_COUNTER)
            found |= METRIC_SET(m);
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        ck_assert_msg(((wanted ^ found) & METRIC_SET(m)) == 0, "%s", metric_table[m].metric.id);
}
END_TEST

/* ratio_of() gives billionths, which is what this unit means. */
START_TEST(ratios_have_that_unit) {
    static const enum metric metrics[] = {METRIC_CPU_USAGE, METRIC_WORST_FD_RATIO,
                                          METRIC_MEMORY_USAGE, METRIC_CGROUP_CPU_LIMIT,
                                          METRIC_SELF_COVERAGE};

    for (size_t m = 0; m < METRICS; m++) {
        bool is_ratio = false;
        for (int i = 0; i < COUNT(metrics); i++)
            is_ratio = is_ratio || metrics[i] == m;
        ck_assert_msg((metric_table[m].metric.unit == TALLY_UNIT_RATIO) == is_ratio, "%s", metric_table[m].metric.id);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("metrics");
    TCase *tc;

    tc = add_case(suite, "ratios");
    tcase_add_loop_test(tc, ratios, 0, COUNT(ratio_cases));
    tcase_add_test(tc, ratios_have_that_unit);
    tc = add_case(suite, "rows");
    tcase_add_loop_test(tc, a_row_for_each_origin, 0, ORIGINS);
    tcase_add_loop_test(tc, a_row_for_each_kind_of_socket, 0, SOCKET_KINDS);
    tcase_add_test(tc, states_of_tcp);
    tcase_add_loop_test(tc, a_row_for_each_kind_of_traffic, 0, TRAFFIC_COUNTERS);
    tcase_add_loop_test(tc, a_row_for_each_figure_of_cgroups, 0, CGROUP_FIGURES);
    tcase_add_test(tc, kinds);
    return run_suite(suite);
}
