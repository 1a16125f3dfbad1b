/* SPDX-License-Identifier: MIT */
/* The table of the metrics that there are here: over a recorded tree, over a source that is
 * made up, and over a kernel without some of the files of /proc. */
#include "script.h"

#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct recorded shell, worker;

static void setup(void) {
    script_open();
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh"};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker"};
    tree_put(&shell);
    tree_put(&worker);
    clock_set(1000);
}

static tally_text *text;

static const char *table_of(tally *t) {
    const char *table;
    size_t len;
    ck_assert_int_eq(tally_text_new(&text), 0);
    ck_assert_int_eq(tally_list_here(t, text, &table, &len), 0);
    ck_assert_uint_eq(strlen(table), len);
    ck_assert_int_eq(strncmp(table, "METRIC ", 7), 0);
    return table;
}

/* The columns behind the name. */
static void check_row(const char *table, const char *id, const char *here, const char *source,
                      const char *missing) {
    char wanted[512], begin[64];
    int len = snprintf(begin, sizeof(begin), "\n%s ", id);
    const char *row = strstr(table, begin);
    ck_assert_msg(row != NULL, "no %s in %s", id, table);
    row += len;
    row += strspn(row, " ");
    if (*missing)
        snprintf(wanted, sizeof(wanted), "%-4s  %-9s  %s\n", here, source, missing);
    else
        snprintf(wanted, sizeof(wanted), "%-4s  %s\n", here, source);
    ck_assert_msg(strncmp(row, wanted, strlen(wanted)) == 0, "%s: got \"%.*s\", expected \"%s\"",
                  id, (int)strcspn(row, "\n"), row, wanted);
}

static void close_all(tally *t) {
    tally_text_free(text);
    tally_free(t);
}

static void check_sockets(const char *table, const char *here, const char *source,
                          const char *missing) {
    check_row(table, "tcp_listen", here, source, missing);
    check_row(table, "unix_sockets", here, source, missing);
}

/* ---- A recorded tree ----------------------------------------------------------------------- */

START_TEST(each_metric_has_its_row) {
    tally *t = tree_collector(NULL, NULL);
    const char *table = table_of(t);
    const struct tally_metric *metric;
    char begin[64];
    for (size_t m = 0; (metric = tally_metric(m)); m++) {
        snprintf(begin, sizeof(begin), "\n%s ", metric->id);
        const char *row = strstr(table, begin);
        ck_assert_msg((row != NULL) == (metric->scope != TALLY_SCOPE_HOST), "%s", metric->id);
        ck_assert_msg(!row || !strstr(row + 1, begin), "%s twice", metric->id);
    }
    check_row(table, "cpu_user", "yes", "procfs", "");
    check_row(table, "io_read", "yes", "procfs", "");
    check_row(table, "collection_cpu", "yes", "proctally", "");
    check_row(table, "network_receive_bytes_tcp", "no", "-", "source: bpf");
    check_row(table, "memory_pss", "no", "-", "collect: [pss]");
    close_all(t);
}
END_TEST

START_TEST(what_is_refused_needs_a_right) {
    tree_refuse(200, "io", EACCES);
    tally *t = tree_collector(NULL, NULL);
    const char *table = table_of(t);
    check_row(table, "io_read", "yes", "procfs",
              "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, for 1 of 2 processes");
    check_row(table, "open_fds", "yes", "procfs", "");
    close_all(t);
    tree_refuse(100, "io", EACCES);
    t = tree_collector(NULL, NULL);
    table = table_of(t);
    check_row(table, "disk_written", "no", "-",
              "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, for 2 of 2 processes");
    close_all(t);
}
END_TEST

START_TEST(what_nobody_has_is_not_here) {
    shell.lacks_schedstat = worker.lacks_schedstat = true;
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    check_row(table_of(t), "run_queue_wait", "no", "-", "a process that has it");
    close_all(t);
}
END_TEST

/* ---- A source that is told of every end --------------------------------------------------------- */

START_TEST(a_part_of_the_kernel_is_named) {
    struct tally_error notice;
    add_actor((struct actor){.pid = 100, .comm = "sh"});
    script.lacks[KERNEL_XACCT] = BIT(FIELD_IO_READS) | BIT(FIELD_IO_WRITES);
    script.lacks[KERNEL_SCHED_INFO] = BIT(FIELD_RUN_QUEUE_WAIT_NS);
    script.lacks_cgroups = true;
    tally *t = ends_collector(NULL, NULL);
    const char *table = table_of(t);
    check_row(table, "io_reads", "no", "-", "CONFIG_TASK_XACCT in the kernel");
    check_row(table, "run_queue_wait", "no", "-", "CONFIG_SCHED_INFO in the kernel");
    check_row(table, "cpu_user", "yes", "ends", "");
    ck_assert(tally_notice(t, &notice));
    ck_assert_str_eq(notice.text,
                     "absent, as this kernel was built without the options in brackets: "
                     "run_queue_wait (CONFIG_SCHED_INFO), io_reads, io_writes "
                     "(CONFIG_TASK_XACCT), groups by cgroup, unit and container (CONFIG_CGROUPS)");
    collect_at(t, 1010);
    ck_assert(!tally_notice(t, &notice));
    close_all(t);
}
END_TEST

START_TEST(why_there_are_no_sockets) {
    add_actor((struct actor){.pid = 100, .comm = "sh"});
    tally *t = ends_collector(NULL, NULL);
    check_sockets(table_of(t), "no", "-", "collect: [sockets]");
    close_all(t);
    script.sockets_error = -EIO;
    script.no_sockets = "it is too early";
    t = ends_collector("collect", "sockets", NULL);
    const char *table = table_of(t);
    check_sockets(table, "no", "-", "it is too early");
    check_row(table, "tcp_close", "no", "-", "it is too early");
    close_all(t);
    script.sockets_error = 0;
    script.no_sockets = NULL;
    script.socket_kinds = (1u << SOCKET_KINDS) - 1;
    t = ends_collector("collect", "sockets", NULL);
    table = table_of(t);
    check_sockets(table, "yes", "ends", "");
    check_row(table, "tcp_close", "yes", "ends", "");
    close_all(t);
    /* a tree that is no kernel's */
    t = tree_collector("collect", "sockets", NULL);
    table = table_of(t);
    check_sockets(table, "no", "-", "this is no mounted proc file system");
    check_row(table, "tcp_close", "no", "-", "source: bpf");
    close_all(t);
}
END_TEST

START_TEST(why_traffic_is_not_counted) {
    add_actor((struct actor){.pid = 100, .comm = "sh"});
    script.no_traffic = "it is too early";
    tally *t = ends_collector(NULL, NULL);
    const char *table = table_of(t);
    check_row(table, "network_transmit_packets_udp", "no", "-", "it is too early");
    check_row(table, "lost_events", "yes", "proctally", "");
    close_all(t);
    script.no_traffic = NULL;
    script.sees_traffic = true;
    t = ends_collector(NULL, NULL);
    check_row(table_of(t), "network_transmit_packets_udp", "yes", "ends", "");
    close_all(t);
}
END_TEST

/* ---- A kernel without CONFIG_TASK_IO_ACCOUNTING --------------------------------------------------- */

static bool is_missing(const char *path) {
    const char *name = strrchr(path, '/');
    return name && strcmp(name, "/io") == 0;
}

static int open_without_io(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    if (!is_missing(path))
        return io_kernel.openat(data, dir_fd, path, flags, mode);
    errno = ENOENT;
    return -1;
}

static int stat_without_io(void *data, int dir_fd, const char *path, struct stat *ret,
                           int flags) {
    if (!is_missing(path))
        return io_kernel.fstatat(data, dir_fd, path, ret, flags);
    errno = ENOENT;
    return -1;
}

START_TEST(a_kernel_without_io_accounting) {
    static const char *const ids[] = {"io_read",  "io_written", "io_reads",
                                      "io_writes", "disk_read",  "disk_written"};
    struct tally_error text_of_notice = {{0}};
    tally_config *config;
    tally *t;
    bool is_told = false;
    struct io io = io_kernel;
    io.openat = open_without_io;
    io.fstatat = stat_without_io;
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "source", "procfs", &text_of_notice), 0);
    ck_assert_msg(collector_new(config, NULL, &io, &t, &text_of_notice) == 0, "%s",
                  text_of_notice.text);
    tally_config_free(config);
    const char *table = table_of(t);
    for (int i = 0; i < COUNT(ids); i++)
        check_row(table, ids[i], "no", "-", "CONFIG_TASK_IO_ACCOUNTING in the kernel");
    while (tally_notice(t, &text_of_notice))
        is_told |= strcmp(text_of_notice.text,
                          "absent, as this kernel was built without the options in brackets: "
                          "io_read, io_written, io_reads, io_writes, disk_read, disk_written "
                          "(CONFIG_TASK_IO_ACCOUNTING)") == 0;
    ck_assert(is_told);
    close_all(t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("here");
    TCase *tc = add_case(suite, "table");

    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, each_metric_has_its_row);
    tcase_add_test(tc, what_is_refused_needs_a_right);
    tcase_add_test(tc, what_nobody_has_is_not_here);
    tcase_add_test(tc, a_part_of_the_kernel_is_named);
    tcase_add_test(tc, why_there_are_no_sockets);
    tcase_add_test(tc, why_traffic_is_not_counted);
    tcase_add_test(tc, a_kernel_without_io_accounting);
    return run_suite(suite);
}
