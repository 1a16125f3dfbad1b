/* SPDX-License-Identifier: MIT */
/* Questions in batches: to a made-up kernel that answers, refuses, and loses answers,
 * and with processes that come and go between an answer and its use. */
#include "tree.h"

#include "build-config.h"
#include "source/linux/taskstats.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_MNL

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

/* ---- A kernel ---------------------------------------------------------------------- */

#define FAMILY 77
#define QUEUE 64
#define MESSAGE 1024
/* The three headers need no padding. */
#define HEADER sizeof(struct nlmsghdr)
#define GENERIC sizeof(struct genlmsghdr)
#define ATTR sizeof(struct nlattr)

static struct {
    char text[MESSAGE];
    size_t len;
} queue[QUEUE];
static size_t queued;
static bool overrun; /* what recvmmsg() says next */

static struct {
    uint32_t pid;
    uint64_t switches;
} known[40];
static size_t known_count;

static size_t sends, questions;
static int send_error;          /* of all sends */
static uint32_t lost_pid;       /* the answers about it are dropped … */
static unsigned lost_times;     /* … so often */
static size_t stats_len;        /* of the struct that this kernel has */
static bool lacks_times;        /* it was built without CONFIG_TASK_DELAY_ACCT */
static uint32_t wrong_sequence; /* is added to that of each answer */

static void put_attr(char *to, size_t *len, uint16_t type, const void *value, size_t value_len) {
    struct nlattr attr = {.nla_len = (uint16_t)(ATTR + value_len), .nla_type = type};
    memcpy(to + *len, &attr, sizeof(attr));
    if (value)
        memcpy(to + *len + ATTR, value, value_len);
    *len += (ATTR + value_len + 3) & ~(size_t)3;
}

static void answer(const struct nlmsghdr *question, uint16_t type, const void *payload,
                   size_t payload_len) {
    struct nlmsghdr header = {.nlmsg_len = (uint32_t)(HEADER + payload_len),
                              .nlmsg_type = type,
                              .nlmsg_seq = question->nlmsg_seq + wrong_sequence};
    ck_assert_uint_lt(queued, QUEUE);
    ck_assert_uint_le(header.nlmsg_len, MESSAGE);
    memcpy(queue[queued].text, &header, sizeof(header));
    memcpy(queue[queued].text + HEADER, payload, payload_len);
    queue[queued++].len = header.nlmsg_len;
}

static void answer_family(const struct nlmsghdr *question) {
    char payload[MESSAGE] = {0};
    size_t len = GENERIC;
    put_attr(payload, &len, CTRL_ATTR_FAMILY_ID, &(uint16_t){FAMILY}, sizeof(uint16_t));
    answer(question, GENL_ID_CTRL, payload, len);
}

static void answer_stats(const struct nlmsghdr *question, uint32_t pid) {
    struct taskstats stats = {.version = 3};
    questions++;
    if (pid == lost_pid && lost_times > 0) {
        lost_times--;
        overrun = true;
        return;
    }
    for (size_t i = 0; i < known_count; i++) {
        if (known[i].pid != pid)
            continue;
        char payload[MESSAGE] = {0}, inner[MESSAGE] = {0};
        size_t len = GENERIC, inner_len = 0;
        stats.nvcsw = known[i].switches;
        stats.nivcsw = 2;
        stats.cpu_delay_total = lacks_times ? 0 : 3;
        stats.cpu_run_virtual_total = lacks_times ? 0 : known[i].switches * 1000;
        put_attr(inner, &inner_len, TASKSTATS_TYPE_TGID, &pid, sizeof(pid));
        put_attr(inner, &inner_len, TASKSTATS_TYPE_STATS, &stats, stats_len);
        put_attr(payload, &len, TASKSTATS_TYPE_AGGR_TGID, inner, inner_len);
        answer(question, FAMILY, payload, len);
        return;
    }
    struct nlmsgerr refusal = {.error = -ESRCH, .msg = *question};
    answer(question, NLMSG_ERROR, &refusal, sizeof(refusal));
}

ssize_t __wrap_send(int fd, const void *from, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t len, int flags);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);
int __wrap_fstatfs(int fd, struct statfs *ret);
int __wrap_fstatfs64(int fd, struct statfs *ret);

ssize_t __wrap_send(int fd, const void *from, size_t len, int flags) {
    (void)fd, (void)flags;
    sends++;
    if (send_error) {
        errno = send_error;
        return -1;
    }
    for (size_t at = 0; at < len;) {
        struct nlmsghdr header;
        uint32_t pid;
        memcpy(&header, (const char *)from + at, sizeof(header));
        memcpy(&pid, (const char *)from + at + HEADER + GENERIC + ATTR, sizeof(pid));
        if (header.nlmsg_type == GENL_ID_CTRL)
            answer_family(&header);
        else
            answer_stats(&header, pid);
        at += header.nlmsg_len;
    }
    return (ssize_t)len;
}

/* Only for the family, which is asked for alone. */
ssize_t __wrap_recv(int fd, void *to, size_t len, int flags) {
    (void)fd, (void)flags;
    ck_assert_uint_eq(queued, 1);
    ck_assert_uint_le(queue[0].len, len);
    memcpy(to, queue[0].text, queue[0].len);
    queued = 0;
    return (ssize_t)queue[0].len;
}

/* Three messages at most, so that there is more than one call to a batch. */
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout) {
    (void)fd, (void)timeout;
    ck_assert_int_eq(flags, MSG_DONTWAIT);
    if (overrun || queued == 0) {
        errno = overrun ? ENOBUFS : EAGAIN;
        overrun = false;
        return -1;
    }
    size_t n = queued < 3 ? queued : 3;
    ck_assert_uint_ge(count, n);
    for (size_t i = 0; i < n; i++) {
        struct iovec *part = messages[i].msg_hdr.msg_iov;
        ck_assert_uint_le(queue[i].len, part->iov_len);
        memcpy(part->iov_base, queue[i].text, queue[i].len);
        messages[i].msg_len = (unsigned)queue[i].len;
    }
    queued -= n;
    memmove(queue, queue + n, queued * sizeof(queue[0]));
    return (int)n;
}

/* The recorded tree passes for the kernel's own. */
int __wrap_fstatfs(int fd, struct statfs *ret) {
    (void)fd;
    *ret = (struct statfs){.f_type = PROC_SUPER_MAGIC};
    return 0;
}
/* … by the name that it has where files can be large. */
int __wrap_fstatfs64(int fd, struct statfs *ret) {
    return __wrap_fstatfs(fd, ret);
}

static void set_switches(uint32_t pid, uint64_t switches) {
    size_t i = 0;
    while (i < known_count && known[i].pid != pid)
        i++;
    ck_assert_uint_lt(i, sizeof(known) / sizeof(known[0]));
    known[i].pid = pid;
    known[i].switches = switches;
    if (i == known_count)
        known_count++;
}

static void forget(uint32_t pid) {
    for (size_t i = 0; i < known_count; i++)
        if (known[i].pid == pid)
            known[i].pid = 0;
}

static struct taskstats_socket *taskstats;

static void setup(void) {
    tree_open();
    queued = known_count = sends = questions = 0;
    overrun = false;
    send_error = 0;
    lost_pid = lost_times = wrong_sequence = 0;
    stats_len = sizeof(struct taskstats);
    lacks_times = false;
    set_switches((uint32_t)getpid(), 1);
    char path[300], own[24];
    snprintf(path, sizeof(path), "%s/self", tree_path());
    snprintf(own, sizeof(own), "%d", (int)getpid());
    ck_assert_int_eq(symlink(own, path), 0);
}

static void open_taskstats(void) {
    int r = taskstats_new(&taskstats);
    ck_assert_msg(r == 0, "taskstats_new: %s", strerror(-r));
    sends = questions = 0;
}

static void teardown(void) {
    taskstats = taskstats_free(taskstats);
    tree_close();
}

/* ---- Batches --------------------------------------------------------------------------- */

static struct taskstats_answer answers[TASKSTATS_BATCH];

/* Processes 1 to TASKSTATS_BATCH, of which 5 is not there. */
static void ask_all(void) {
    uint32_t pids[TASKSTATS_BATCH];
    for (uint32_t i = 0; i < TASKSTATS_BATCH; i++) {
        pids[i] = i + 1;
        if (pids[i] != 5)
            set_switches(pids[i], 100 + i);
    }
    taskstats_query(taskstats, pids, TASKSTATS_BATCH, answers);
}

static void check_all(uint32_t without) {
    for (uint32_t i = 0; i < TASKSTATS_BATCH; i++) {
        if (i + 1 == without)
            continue;
        ck_assert_int_eq(answers[i].error, i + 1 == 5 ? -ESRCH : 0);
        ck_assert_uint_eq(answers[i].voluntary_switches, i + 1 == 5 ? 0 : 100 + i);
    }
}

START_TEST(a_batch_is_one_call) {
    open_taskstats();
    ask_all();
    check_all(0);
    ck_assert_uint_eq(answers[0].involuntary_switches, 2);
    ck_assert_uint_eq(answers[0].run_queue_wait_ns, 3);
    ck_assert_uint_eq(answers[0].run_ns, 100000);
    ck_assert_uint_eq(sends, 1);
}
END_TEST

START_TEST(a_lost_answer_is_asked_for_again) {
    open_taskstats();
    lost_pid = 9;
    lost_times = 1;
    ask_all();
    check_all(0);
    ck_assert_uint_eq(sends, 2);
    ck_assert_uint_eq(questions, TASKSTATS_BATCH + 1);
}
END_TEST

START_TEST(an_answer_that_never_comes_is_an_error) {
    open_taskstats();
    lost_pid = 9;
    lost_times = 2;
    ask_all();
    check_all(9);
    ck_assert_int_eq(answers[8].error, -ENOBUFS);
    ck_assert_uint_eq(sends, 2);
}
END_TEST

START_TEST(late_answers_are_passed_over) {
    open_taskstats();
    lost_pid = 9;
    lost_times = 2;
    wrong_sequence = TASKSTATS_BATCH; /* as if to other questions */
    ask_all();
    for (size_t i = 0; i < TASKSTATS_BATCH; i++)
        ck_assert_int_eq(answers[i].error, -ENOBUFS);
    wrong_sequence = 0;
    ask_all();
    check_all(0);
}
END_TEST

START_TEST(what_can_not_be_sent_is_an_error) {
    open_taskstats();
    send_error = ENOBUFS;
    ask_all();
    for (size_t i = 0; i < TASKSTATS_BATCH; i++)
        ck_assert_int_eq(answers[i].error, -ENOBUFS);
}
END_TEST

START_TEST(a_kernel_that_says_less_is_not_believed) {
    stats_len = offsetof(struct taskstats, nivcsw);
    ck_assert_int_eq(taskstats_new(&taskstats), -ENOTSUP);
    forget((uint32_t)getpid());
    ck_assert_int_eq(taskstats_new(&taskstats), -ESRCH);
}
END_TEST

/* ---- Answers that were asked for ahead ---------------------------------------------------- */

static struct recorded shell, worker;

static void put_both(void) {
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh"};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker"};
    tree_put(&shell);
    tree_put(&worker);
    set_switches(100, 10);
    set_switches(200, 1000000);
}

static void collect_at(tally *t, double seconds) {
    clock_set(seconds);
    tree_collect(t);
}

/* Nothing tells of a process that runs on and on without a switch: it is read each time. */
START_TEST(a_kernel_that_keeps_no_times) {
    lacks_times = true;
    put_both();
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    collect_at(t, 1010);
    collect_at(t, 1020);
    worker.utime = 100;
    tree_put(&worker);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), NS_PER_S);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 0);
    ck_assert(!has_value(t, "worker", METRIC_RUN_QUEUE_WAIT));
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 0);
    tally_free(t);
}
END_TEST

START_TEST(a_collection_asks_in_batches) {
    put_both();
    tally *t = tree_collector(NULL, NULL);
    sends = 0;
    collect_at(t, 1000);
    ck_assert_uint_eq(sends, 1);
    set_switches(100, 14);
    set_switches(200, 1000005);
    collect_at(t, 1010);
    ck_assert_uint_eq(sends, 2);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_SWITCHES_VOLUNTARY), 4);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 5);
    tally_free(t);
}
END_TEST

/* The worker ends after it was asked about, and its number is given again. */
static void replace_worker(void) {
    tree_remove(200);
    tree_put(&(struct recorded){.pid = 200, .ppid = 100, .start_ticks = TICKS(1010),
                                .comm = "other"});
    set_switches(200, 5);
}

START_TEST(an_answer_is_not_taken_for_the_next_with_that_pid) {
    put_both();
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    set_switches(200, 1000007);
    set_switches(100, 11);
    tree_when_opened(100, "io", replace_worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "other", METRIC_SWITCHES_VOLUNTARY), 5);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 0);
    tally_free(t);
}
END_TEST

/* It was not there when it was asked about. */
static void start_worker(void) {
    tree_put(&worker);
    set_switches(200, 5);
}

START_TEST(who_was_not_found_is_asked_about_again) {
    put_both();
    forget(200);
    tally *t = tree_collector("collect", "no-delays", NULL);
    tree_when_opened(100, "io", start_worker);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_SCHED), 0);
    tally_free(t);
}
END_TEST

/* The worker sleeps when it is asked about, and is reaped before its parent is read. */
static void reap_worker(void) {
    tree_remove(200);
    forget(200);
    shell.cutime = 70;
    shell.cminflt = 1;
    tree_put(&shell);
}

START_TEST(a_sleeper_that_is_reaped_meanwhile_is_counted_once) {
    put_both();
    worker.utime = 20;
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.utime = 50;
    tree_put(&worker);
    set_switches(200, 1000001);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 300000000);
    collect_at(t, 1020); /* now both sleep */
    set_switches(100, 11);
    tree_when_opened(100, "stat", reap_worker);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 500000000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_USER), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_EXITS), 1);
    tally_free(t);
}
END_TEST

/* Others that sleep are not opened for all that. */
START_TEST(a_sleeper_behind_one_that_runs_stays_closed) {
    put_both();
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    collect_at(t, 1001);
    tree_refuse(200, "stat", EACCES); /* it would be hidden */
    set_switches(100, 11);
    collect_at(t, 1002);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 0);
    tally_free(t);
}
END_TEST

int main(void) {
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
#define T(name) {#name, name}
        T(a_batch_is_one_call),
        T(a_lost_answer_is_asked_for_again),
        T(an_answer_that_never_comes_is_an_error),
        T(late_answers_are_passed_over),
        T(what_can_not_be_sent_is_an_error),
        T(a_kernel_that_says_less_is_not_believed),
        T(a_kernel_that_keeps_no_times),
        T(a_collection_asks_in_batches),
        T(an_answer_is_not_taken_for_the_next_with_that_pid),
        T(who_was_not_found_is_asked_about_again),
        T(a_sleeper_that_is_reaped_meanwhile_is_counted_once),
        T(a_sleeper_behind_one_that_runs_stays_closed),
#undef T
    };
    /* The socket is a real one, which emulators of a processor alone do not have. */
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
    if (s < 0) {
        printf("no generic netlink: %s\n", strerror(errno));
        return 77;
    }
    close(s);
    Suite *suite = suite_create("taskstats");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *tc = tcase_create(tests[i].name);
        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_test(tc, tests[i].test);
        tcase_set_timeout(tc, 60);
        suite_add_tcase(suite, tc);
    }
    return run_suite(suite);
}

#else /* !HAVE_MNL */

#include <sys/vfs.h>

/* It is linked like the other: what the core calls all the same goes to the kernel. */
int __real_fstatfs(int fd, struct statfs *ret);
int __wrap_fstatfs(int fd, struct statfs *ret);
int __real_fstatfs64(int fd, struct statfs *ret);
int __wrap_fstatfs64(int fd, struct statfs *ret);

int __wrap_fstatfs(int fd, struct statfs *ret) {
    return __real_fstatfs(fd, ret);
}
int __wrap_fstatfs64(int fd, struct statfs *ret) {
    return __real_fstatfs64(fd, ret);
}

int main(void) {
    puts("built without libmnl");
    return 77;
}

#endif
