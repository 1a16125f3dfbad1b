/* SPDX-License-Identifier: MIT */
/* What is made of the sockets that a source tells of: once for a group, absent where they
 * are not known, and never part of them in place of all. */
#include "failing_memory.h"
#include "script.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALL_KINDS ((1u << SOCKET_KINDS) - 1)

static const struct actor shell = {.pid = 100, .ppid = 1, .start_ticks = LONG_AGO, .comm = "sh"};
static const struct actor other = {.pid = 150, .ppid = 1, .start_ticks = LONG_AGO, .comm = "sh"};
static const struct actor web = {.pid = 200, .ppid = 1, .start_ticks = LONG_AGO, .comm = "web"};

static struct actor *sh, *sh2, *nginx;

static void setup(void) {
    script_open();
    sh = add_actor(shell);
    sh2 = add_actor(other);
    nginx = add_actor(web);
    script.socket_kinds = ALL_KINDS;
}

static void opens(uint32_t pid, uint64_t inode, enum socket_kind kind) {
    ck_assert_uint_lt(script.socket_count, 128);
    script.sockets[script.socket_count++] = (struct open_socket){pid, inode, kind};
}

static tally *collector(void) {
    return ends_collector("collect", "sockets", NULL);
}

static size_t notices_of(tally *t, const char *begin) {
    struct tally_error notice;
    size_t count = 0;
    while (tally_notice(t, &notice))
        count += strncmp(notice.text, begin, strlen(begin)) == 0;
    return count;
}

static void assert_none_known(tally *t, const char *group) {
    for (size_t k = 0; k < SOCKET_KINDS; k++)
        ck_assert(!has_value(t, group, METRIC_TCP_ESTABLISHED + (enum metric)k));
}

START_TEST(each_kind_in_its_row) {
    tally *t = collector();
    for (unsigned k = 0; k < SOCKET_KINDS; k++)
        for (unsigned i = 0; i <= k; i++)
            opens(200, 1000 + 100 * k + i, (enum socket_kind)k);
    for (int again = 0; again < 3; again++) {
        collect_at(t, 1000 + again);
        for (unsigned k = 0; k < SOCKET_KINDS; k++) {
            ck_assert_uint_eq(value_of(t, "web", METRIC_TCP_ESTABLISHED + (enum metric)k), k + 1);
            ck_assert_uint_eq(value_of(t, "sh", METRIC_TCP_ESTABLISHED + (enum metric)k), 0);
        }
    }
    script.socket_count = 0;
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web", METRIC_TCP_LISTEN), 0);
    tally_free(t);
}
END_TEST

/* All states are one family of Prometheus, none of which may be missing. */
START_TEST(each_kind_is_shown) {
    static const char *const states[] = {"established", "syn_sent",   "fin_wait1",
                                         "fin_wait2",   "close",      "close_wait",
                                         "last_ack",    "listen",     "closing"};
    tally *t = collector();
    const char *text;
    char series[128];
    size_t len;
    for (unsigned k = 0; k < SOCKET_KINDS; k++)
        for (unsigned i = 0; i <= k; i++)
            opens(200, 1000 + 100 * k + i, (enum socket_kind)k);
    collect_at(t, 1000);
    ck_assert_int_eq(tree_prometheus(t, &text, &len), 0);
    for (unsigned k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
        snprintf(series, sizeof(series),
                 "\nproctally_tcp_sockets{groupname=\"web\",state=\"%s\"} %u\n", states[k], k + 1);
        ck_assert_msg(strstr(text, series), "no %s in %s", series, text);
    }
    ck_assert_ptr_nonnull(strstr(text, "\nproctally_udp_sockets{groupname=\"web\"} 10\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nproctally_unix_sockets{groupname=\"web\"} 11\n"));
    ck_assert_int_eq(tree_influx(t, &text, &len), 0);
    ck_assert_ptr_nonnull(strstr(text, ",tcp_established=1i,tcp_syn_sent=2i,tcp_fin_wait1=3i,"
                                       "tcp_fin_wait2=4i,tcp_close=5i,tcp_close_wait=6i,"
                                       "tcp_last_ack=7i,tcp_listen=8i,tcp_closing=9i,"
                                       "udp_socket=10i,unix_socket=11i,"));
    tally_free(t);
}
END_TEST

START_TEST(once_for_a_group) {
    tally *t = collector();
    opens(100, 7, SOCKET_TCP_LISTEN);
    opens(100, 7, SOCKET_TCP_LISTEN); /* by another descriptor */
    opens(150, 7, SOCKET_TCP_LISTEN);
    opens(150, 8, SOCKET_TCP_LISTEN);
    opens(200, 7, SOCKET_TCP_LISTEN);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_TCP_LISTEN), 2);
    ck_assert_uint_eq(value_of(t, "web", METRIC_TCP_LISTEN), 1);
    tally_free(t);
}
END_TEST

START_TEST(of_one_process) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    tally *t = with_source(tree_collector_with(&opts, "collect", "sockets", NULL), "ends");
    const tally_snapshot *s;
    uint64_t value;
    opens(100, 7, SOCKET_UDP);
    opens(100, 7, SOCKET_UDP);
    opens(100, 9, SOCKET_UDP);
    opens(150, 7, SOCKET_UDP);
    nginx->hides_sockets = true;
    s = collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_UDP_SOCKETS), 2);
    ck_assert_uint_eq(tally_snapshot_processes(s), 3);
    ck_assert(tally_snapshot_process_value(s, 0, METRIC_UDP_SOCKETS, &value));
    ck_assert_uint_eq(value, 2);
    ck_assert(tally_snapshot_process_value(s, 1, METRIC_UDP_SOCKETS, &value));
    ck_assert_uint_eq(value, 1);
    ck_assert(tally_snapshot_process_value(s, 1, METRIC_TCP_LISTEN, &value));
    ck_assert_uint_eq(value, 0);
    ck_assert(!tally_snapshot_process_value(s, 2, METRIC_UDP_SOCKETS, &value));
    /* of none, if not of all */
    script.sockets_error = -EIO;
    s = collect_at(t, 1001);
    ck_assert(!tally_snapshot_process_value(s, 0, METRIC_UDP_SOCKETS, &value));
    tally_free(t);
}
END_TEST

START_TEST(unknown_is_not_0) {
    tally *t = collector();
    opens(100, 7, SOCKET_TCP_LISTEN);
    opens(150, 8, SOCKET_TCP_LISTEN);
    opens(200, 9, SOCKET_TCP_LISTEN);
    sh->hides_sockets = nginx->hides_sockets = true;
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_TCP_LISTEN), 1);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_UNREADABLE_SOCKETS), 1);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_UNREADABLE), 1);
    assert_none_known(t, "web");
    ck_assert_uint_eq(value_of(t, "web", METRIC_UNREADABLE_SOCKETS), 1);
    nginx->hides_sockets = false;
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web", METRIC_TCP_LISTEN), 1);
    ck_assert_uint_eq(value_of(t, "web", METRIC_UNREADABLE_SOCKETS), 0);
    tally_free(t);
}
END_TEST

START_TEST(kinds_that_are_not_told) {
    tally *t = collector();
    script.socket_kinds = 1u << SOCKET_UDP;
    script.no_sockets = "the kernel is too small";
    opens(100, 7, SOCKET_UDP);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_UDP_SOCKETS), 1);
    ck_assert(!has_value(t, "sh", METRIC_TCP_LISTEN));
    ck_assert(!has_value(t, "sh", METRIC_UNIX_SOCKETS));
    ck_assert_uint_eq(notices_of(t, "sockets are missing: the kernel is too small"), 1);
    collect_at(t, 1010);
    ck_assert_uint_eq(notices_of(t, "sockets"), 0);
    tally_free(t);
}
END_TEST

/* The rest of the collection stands, and it is said once. */
START_TEST(an_error_leaves_nothing_but_the_rest) {
    tally *t = collector();
    opens(100, 7, SOCKET_TCP_LISTEN);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_TCP_LISTEN), 1);
    script.sockets_error = -EIO;
    for (int again = 0; again < 3; again++) {
        collect_at(t, 1010 + again);
        assert_none_known(t, "sh");
        assert_none_known(t, "web");
        ck_assert_uint_eq(value_of(t, "sh", METRIC_PROCESSES), 2);
        ck_assert_uint_eq(value_of(t, "sh", METRIC_UNREADABLE), 0);
        ck_assert_uint_eq(notices_of(t, "sockets are missing: "), again == 0);
    }
    script.sockets_error = 0;
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_TCP_LISTEN), 1);
    tally_free(t);
}
END_TEST

START_TEST(too_many) {
    tally *t = collector();
    opens(100, 7, SOCKET_TCP_LISTEN);
    script.sockets_error = -E2BIG;
    collect_at(t, 1000);
    assert_none_known(t, "sh");
    ck_assert_uint_eq(notices_of(t, "sockets are missing: there are more than 1048576"), 1);
    tally_free(t);
}
END_TEST

START_TEST(nobody_has_none) {
    tally *t = ends_collector("collect", "sockets", "rule", "none x", NULL);
    opens(100, 7, SOCKET_TCP_LISTEN);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "none", METRIC_TCP_LISTEN), 0);
    nginx->gone = true;
    tell_end(nginx, (struct use){0});
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web", METRIC_TCP_LISTEN), 0);
    tally_free(t);
}
END_TEST

START_TEST(not_asked_for) {
    tally *t = ends_collector(NULL, NULL);
    opens(100, 7, SOCKET_TCP_LISTEN);
    collect_at(t, 1000);
    assert_none_known(t, "sh");
    ck_assert(!has_value(t, "sh", METRIC_UNREADABLE_SOCKETS));
    ck_assert_uint_eq(t->sockets.size, 0);
    tally_free(t);
}
END_TEST

START_TEST(what_is_left_out_is_not_counted) {
    tally *t = ends_collector("collect", "sockets", "exclude", "web", NULL);
    opens(200, 7, SOCKET_TCP_LISTEN);
    nginx->hides_sockets = false;
    collect_at(t, 1000);
    ck_assert(!has_group(t, "web"));
    ck_assert_uint_eq(t->sockets.count, 0);
    tally_free(t);
}
END_TEST

START_TEST(no_memory_in_the_steady_state) {
    tally *t = collector();
    for (uint64_t i = 0; i < 60; i++)
        opens(200, i + 1, SOCKET_TCP_LISTEN);
    for (int i = 0; i < 4; i++)
        collect_at(t, 1000 + i);
    const tally_snapshot *s;
    clock_set(1010);
    allocations = 0;
    fail_allocation_at = 1000000;
    const int r = tally_collect(t, &s); /* libcheck allocates as it likes */
    fail_allocation_at = 0;
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(allocations, 0);
    tally_free(t);
}
END_TEST

/* Without memory for them they are missing; the rest is not. */
START_TEST(no_memory_at_first) {
    tally *t = collector();
    opens(200, 7, SOCKET_TCP_LISTEN);
    collect_at(t, 1000);
    collect_at(t, 1001);
    socket_table_free(&t->sockets);
    const tally_snapshot *s;
    clock_set(1010);
    allocations = 0;
    fail_allocation_at = 1;
    const int r = tally_collect(t, &s); /* libcheck allocates as it likes */
    fail_allocation_at = 0;
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(allocations, 1);
    assert_none_known(t, "web");
    ck_assert_uint_eq(value_of(t, "web", METRIC_PROCESSES), 1);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "web", METRIC_TCP_LISTEN), 1);
    tally_free(t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sockets");
    TCase *tc = add_case(suite, "sockets");

    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, each_kind_in_its_row);
    tcase_add_test(tc, each_kind_is_shown);
    tcase_add_test(tc, once_for_a_group);
    tcase_add_test(tc, of_one_process);
    tcase_add_test(tc, unknown_is_not_0);
    tcase_add_test(tc, kinds_that_are_not_told);
    tcase_add_test(tc, an_error_leaves_nothing_but_the_rest);
    tcase_add_test(tc, too_many);
    tcase_add_test(tc, nobody_has_none);
    tcase_add_test(tc, not_asked_for);
    tcase_add_test(tc, what_is_left_out_is_not_counted);
    tcase_add_test(tc, no_memory_in_the_steady_state);
    tcase_add_test(tc, no_memory_at_first);
    return run_suite(suite);
}
