/* SPDX-License-Identifier: MIT */
/*
 * The source of macOS on a Mac that is made up. Nothing here has asked a real kernel: it
 * shows that what is documented of its answers, oddities and all, becomes the right numbers.
 */
#include "mac.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MS UINT64_C(1000000)

static const tally_snapshot *collect_at(tally *t, double seconds) {
    clock_set(seconds);
    return tree_collect(t);
}

static uint64_t user_ms(tally *t, const char *group) {
    return value_of(t, group, METRIC_CPU_USER) / MS;
}

/* ---- Time ---------------------------------------------------------------------- */

START_TEST(times_are_in_units_of_the_kernel) {
    struct mac_process *p = mac_start(300, 1, "Safari", 100);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(p, 2, 0.5);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "Safari", METRIC_CPU_USER), 2000 * MS);
    ck_assert_uint_eq(value_of(t, "Safari", METRIC_CPU_SYSTEM), 500 * MS);
    ck_assert_uint_eq(value_of(t, "Safari", METRIC_CPU_USAGE), 1000000000 / 8 / 4);
    tally_free(t);
    ck_assert_uint_eq(mac.freed, 1);
}
END_TEST

/* A translated program is told that a unit is a nanosecond: 41 times too little. */
START_TEST(what_translated_programs_are_told_is_not_believed) {
    struct mac_process *p = mac_start(300, 1, "Safari", 100);
    mac.timebase = (struct darwin_timebase){MAC_HERTZ, 1, 1};
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(p, 3, 0);
    collect_at(t, 1010);
    ck_assert_uint_eq(user_ms(t, "Safari"), 3000);
    tally_free(t);
}
END_TEST

START_TEST(without_the_kernels_word_the_programs_is_taken) {
    struct mac_process *p = mac_start(300, 1, "Safari", 100);
    mac.timebase = (struct darwin_timebase){0, 125, 3};
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(p, 3, 0);
    p->usage.user_time += UINT64_C(1) << 60; /* a century and a half: no overflow on the way */
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "Safari", METRIC_CPU_USER),
                      3000 * MS + (uint64_t)((unsigned __int128)(UINT64_C(1) << 60) * 125 / 3));
    tally_free(t);
}
END_TEST

/* The clock is set, by an hour or by a year, forwards or back, also to before the boot.
 * Everybody stays who they are, and who starts then is new. Nor is
 * it lost who is whose child, though the child seems to have started first. */
START_TEST(a_clock_step) {
    static const int64_t steps[] = {3600, -600, -7200, 31536000, -31536000};
    struct mac_process *p = mac_start(300, 1, "old", 100);
    tally *t = mac_collector(NULL, NULL);
    mac_use(p, 1, 0);
    collect_at(t, 1000);
    mac.clock_step_s = steps[_i];
    clock_step_realtime(steps[_i]);
    mac_use(p, 1, 0);
    struct mac_process *q = mac_start(301, 300, "new", 1005);
    mac_use(q, 0.25, 0);
    collect_at(t, 1010);
    ck_assert_uint_eq(user_ms(t, "old"), 1000);
    ck_assert_uint_eq(user_ms(t, "new"), 250);
    ck_assert_uint_eq(value_of(t, "new", METRIC_STARTS), 1);
    ck_assert_uint_eq(value_of(t, "old", METRIC_EXITS), 0);
    mac_use(q, 0.5, 0);
    mac_reap(q);
    struct mac_process *again = mac_start(301, 300, "new", 1012); /* with the same pid */
    mac_use(again, 0.125, 0);
    collect_at(t, 1020);
    ck_assert_uint_eq(user_ms(t, "new"), 875);
    ck_assert_uint_eq(user_ms(t, "old"), 1000);
    ck_assert_uint_eq(value_of(t, "new", METRIC_EXITS), 1);
    ck_assert_uint_eq(value_of(t, "new", METRIC_STARTS), 2);
    tally_free(t);
}
END_TEST

/* The clock is set back again and again, and later in the list is not later born. */
START_TEST(many_clock_steps) {
    uint32_t pid = 500;
    uint64_t all_ms = 0;
    mac_start(pid, 1, "top", 900);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    for (int i = 0; i < 100; i++) {
        mac.clock_step_s -= i % 7 ? 30 : -5;
        struct mac_process *p = mac_start(pid - 1, pid, "child", 1001 + i);
        mac_use(p, 0.5, 0);
        collect_at(t, 1002 + i);
        mac_use(p, 0.25, 0);
        mac_reap(p);
        mac.count--; /* its place is free */
        all_ms += 750;
        collect_at(t, 1002.5 + i);
        if (i < 60) /* there is an end to it */
            ck_assert_uint_eq(user_ms(t, "child"), all_ms);
    }
    ck_assert_uint_eq(value_of(t, "child", METRIC_STARTS), 100);
    ck_assert_uint_eq(value_of(t, "child", METRIC_EXITS), 100);
    tally_free(t);
}
END_TEST

/* Start times are shown as the kernel has them. */
START_TEST(start_times) {
    mac_start(300, 1, "first", 100.25);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac.clock_step_s = 3600;
    clock_step_realtime(3600);
    mac_start(301, 1, "second", 1005.5);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "first", METRIC_START_TIME),
                      (BOOT_TIME_S + 100) * NS_PER_S + 250 * MS);
    ck_assert_uint_eq(value_of(t, "second", METRIC_START_TIME),
                      (BOOT_TIME_S + 1005 + 3600) * NS_PER_S + 500 * MS);
    tally_free(t);
}
END_TEST

/* The lid was closed for a night: mach_absolute_time() stood still, the clock did not. */
START_TEST(a_night_asleep) {
    struct mac_process *p = mac_start(300, 1, "shell", 100);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(p, 1, 0);
    collect_at(t, 1000 + 8 * 3600);
    ck_assert_uint_eq(user_ms(t, "shell"), 1000);
    struct mac_process *q = mac_start(301, 300, "child", 1000 + 8 * 3600 + 1);
    mac_use(q, 2, 0);
    collect_at(t, 1010 + 8 * 3600);
    ck_assert_uint_eq(user_ms(t, "child"), 2000);
    ck_assert_uint_eq(value_of(t, "child", METRIC_STARTS), 1);
    ck_assert_uint_eq(value_of(t, "shell", METRIC_EXITS), 0);
    tally_free(t);
}
END_TEST

/* ---- Birth, life and end ------------------------------------------------------------------- */

/* Who was there before us counts from then on; who came after that with all it has used. */
START_TEST(birth) {
    struct mac_process *old = mac_start(300, 1, "old", 999);
    mac_use(old, 9, 0);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(mac_start(301, 1, "young", 1000.5), 3, 0);
    collect_at(t, 1010);
    ck_assert_uint_eq(user_ms(t, "old"), 0);
    ck_assert_uint_eq(value_of(t, "old", METRIC_STARTS), 0);
    ck_assert_uint_eq(user_ms(t, "young"), 3000);
    ck_assert_uint_eq(value_of(t, "young", METRIC_STARTS), 1);
    tally_free(t);
}
END_TEST

/* What a child used after it was seen last shows in its parent, and is the child's. */
START_TEST(an_end) {
    struct mac_process *shell = mac_start(300, 1, "shell", 100);
    struct mac_process *job = mac_start(301, 300, "job", 200);
    mac_use(job, 1, 0);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(job, 1, 0);
    collect_at(t, 1010);
    mac_use(job, 2, 0);
    mac_use(shell, 0.5, 0);
    mac_reap(job);
    collect_at(t, 1020);
    ck_assert_uint_eq(user_ms(t, "job"), 3000);
    ck_assert_uint_eq(user_ms(t, "shell"), 500);
    ck_assert_uint_eq(value_of(t, "job", METRIC_EXITS), 1);
    collect_at(t, 1030);
    ck_assert_uint_eq(user_ms(t, "job"), 3000);
    ck_assert_uint_eq(user_ms(t, "shell"), 500);
    tally_free(t);
}
END_TEST

/* Bytes of storage stay with who moved them: nothing is taken off the parent's. */
START_TEST(what_is_not_folded) {
    struct mac_process *shell = mac_start(300, 1, "shell", 100);
    struct mac_process *job = mac_start(301, 300, "job", 200);
    job->usage.disk_read_bytes = 5000;
    job->task.faults = 700;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(job, 1, 0);
    job->usage.disk_read_bytes += 1000;
    collect_at(t, 1010);
    shell->usage.disk_read_bytes += 300;
    shell->task.faults += 11;
    mac_use(job, 1, 0);
    mac_reap(job);
    for (int again = 0; again < 3; again++) {
        collect_at(t, 1020 + 10 * again);
        ck_assert_uint_eq(value_of(t, "shell", METRIC_DISK_READ), 300);
        ck_assert_uint_eq(value_of(t, "job", METRIC_DISK_READ), 1000);
        ck_assert_uint_eq(value_of(t, "shell", METRIC_FAULTS_MINOR), 11);
        ck_assert_uint_eq(user_ms(t, "job"), 2000);
    }
    ck_assert_ptr_null(tree_process(t, 300)->pending);
    tally_free(t);
}
END_TEST

START_TEST(page_ins_are_folded) {
    struct mac_process *shell = mac_start(300, 1, "shell", 100);
    struct mac_process *job = mac_start(301, 300, "job", 200);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    job->usage.pageins = 40;
    mac_use(job, 1, 0);
    collect_at(t, 1010);
    job->usage.pageins = 50;
    mac_use(job, 1, 0);
    shell->usage.pageins = 3;
    mac_reap(job);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "job", METRIC_FAULTS_MAJOR), 50);
    ck_assert_uint_eq(value_of(t, "shell", METRIC_FAULTS_MAJOR), 3);
    tally_free(t);
}
END_TEST

START_TEST(another_program) {
    struct mac_process *p = mac_start(300, 1, "shell", 100);
    tally *t = mac_collector("group-by", "exe", NULL);
    p->path = "/bin/zsh";
    collect_at(t, 1000);
    mac_use(p, 1, 0);
    collect_at(t, 1010);
    mac_use(p, 2, 0);
    p->path = "/usr/bin/make"; /* the name stays what it was: the version tells */
    p->unique.version += 77;
    collect_at(t, 1020);
    ck_assert_uint_eq(user_ms(t, "/bin/zsh"), 1000);
    ck_assert_uint_eq(user_ms(t, "/usr/bin/make"), 2000);
    ck_assert_uint_eq(value_of(t, "/bin/zsh", METRIC_EXITS), 0);
    /* but a path that is another one without an execve(2) is not looked at */
    p->path = "/renamed";
    collect_at(t, 1030);
    ck_assert(!has_group(t, "/renamed"));
    tally_free(t);
}
END_TEST

START_TEST(a_pid_used_again) {
    struct mac_process *p = mac_start(300, 1, "a", 100);
    tally *t = mac_collector(NULL, NULL);
    mac_use(p, 5, 0);
    collect_at(t, 1000);
    p->gone = true;
    mac_use(mac_start(300, 1, "a", 1001), 7, 0);
    collect_at(t, 1010);
    ck_assert_uint_eq(user_ms(t, "a"), 7000);
    ck_assert_uint_eq(value_of(t, "a", METRIC_EXITS), 1);
    ck_assert_uint_eq(value_of(t, "a", METRIC_STARTS), 1);
    tally_free(t);
}
END_TEST

static void replace(struct mac_process *p) {
    p->when_used = NULL;
    p->gone = true;
    mac_use(mac_start(p->listed.pid, 1, "another", 1009), 50, 0);
}

/* Between the list and what is asked after it: nothing of the one is counted for the other. */
START_TEST(a_pid_used_again_while_it_is_read) {
    struct mac_process *p = mac_start(300, 1, "one", 100);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    p->when_used = replace;
    collect_at(t, 1010);
    ck_assert_uint_eq(user_ms(t, "one"), 0);
    ck_assert(!has_group(t, "another"));
    ck_assert_uint_eq(self_of(t, METRIC_SELF_VANISHED), 1);
    collect_at(t, 1020);
    ck_assert_uint_eq(user_ms(t, "another"), 50000);
    ck_assert_uint_eq(value_of(t, "another", METRIC_STARTS), 1);
    tally_free(t);
}
END_TEST

/* Nobody has reaped it: it is there still, and what it used last is known for good. */
START_TEST(zombie) {
    struct mac_process *shell = mac_start(300, 1, "shell", 100);
    struct mac_process *job = mac_start(301, 300, "job", 200);
    job->task.resident_bytes = 4096;
    job->fds = 3;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(job, 4, 0);
    mac_end(job);
    for (int again = 0; again < 2; again++) {
        collect_at(t, 1010 + 10 * again);
        ck_assert_uint_eq(user_ms(t, "job"), 4000);
        ck_assert_uint_eq(value_of(t, "job", METRIC_STATE_ZOMBIE), 1);
        ck_assert_uint_eq(value_of(t, "job", METRIC_RSS), 0);
        ck_assert_uint_eq(value_of(t, "job", METRIC_FOOTPRINT), 0);
        ck_assert_uint_eq(value_of(t, "job", METRIC_OPEN_FDS), 0);
        ck_assert_uint_eq(value_of(t, "job", METRIC_UNREADABLE), 0);
        ck_assert_uint_eq(value_of(t, "job", METRIC_EXITS), 0);
    }
    mac_reap(job);
    mac_use(shell, 1, 0);
    collect_at(t, 1040);
    ck_assert_uint_eq(user_ms(t, "job"), 4000);
    ck_assert_uint_eq(user_ms(t, "shell"), 1000);
    ck_assert_uint_eq(value_of(t, "job", METRIC_EXITS), 1);
    tally_free(t);
}
END_TEST

static void end_now(struct mac_process *p) {
    mac_end(p);
}

static void reap_now(struct mac_process *p) {
    p->when_used = NULL;
    mac_reap(p);
}

START_TEST(an_end_while_it_is_read) {
    mac_start(300, 1, "shell", 100);
    struct mac_process *job = mac_start(301, 300, "job", 200);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(job, 1, 0);
    job->when_used = end_now;
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "job", METRIC_STATE_ZOMBIE), 1);
    ck_assert_uint_eq(user_ms(t, "job"), 1000);
    job->when_used = reap_now;
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "job", METRIC_EXITS), 1);
    collect_at(t, 1030);
    ck_assert_uint_eq(user_ms(t, "job"), 1000);
    ck_assert_uint_eq(user_ms(t, "shell"), 0);
    tally_free(t);
}
END_TEST

/* Where pids have wrapped around the child is read first; it ends, and its parent shows it. */
START_TEST(an_early_child) {
    struct mac_process *parent = mac_start(900, 1, "parent", 100);
    struct mac_process *job = mac_start(301, 900, "job", 200);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(job, 1, 0);
    collect_at(t, 1010);
    mac_use(job, 1, 0);
    parent->when_used = NULL;
    job->when_used = NULL;
    /* seen, then reaped before the parent is read */
    collect_at(t, 1020);
    mac_reap(job);
    collect_at(t, 1030);
    ck_assert_uint_eq(user_ms(t, "job"), 2000);
    ck_assert_uint_eq(user_ms(t, "parent"), 0);
    ck_assert_uint_eq(value_of(t, "job", METRIC_EXITS), 1);
    tally_free(t);
}
END_TEST

/* ---- Who may see what ---------------------------------------------------------------------- */

/* Without root others' processes are there, with what everybody may know, and the rest is
 * absent: not 0. */
START_TEST(other_users_processes) {
    struct mac_process *mine = mac_start(300, 1, "mine", 100);
    struct mac_process *other = mac_start(301, 1, "other", 100);
    other->listed.uid = 502;
    other->task.resident_bytes = other->usage.footprint_bytes = 1 << 20;
    mac.user = MAC_USER;
    tally *t = mac_collector("group-by", "name,cmdline", NULL);
    mine->arguments = other->arguments = "/bin/x\0\0/bin/x\0--secret\0HOME=/";
    mine->arguments_len = other->arguments_len = 31;
    mine->argument_count = other->argument_count = 2;
    collect_at(t, 1000);
    mac_use(mine, 1, 0);
    mac_use(other, 1, 0);
    collect_at(t, 1010);
    ck_assert(has_group(t, "mine:/bin/x"));
    ck_assert_uint_eq(user_ms(t, "mine:/bin/x"), 1000);
    ck_assert_uint_eq(value_of(t, "mine:/bin/x", METRIC_UNREADABLE), 0);
    ck_assert_uint_eq(value_of(t, "other:[other]", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "other:[other]", METRIC_UNREADABLE_STATUS), 1);
    ck_assert_uint_eq(value_of(t, "other:[other]", METRIC_UNREADABLE_IO), 1);
    ck_assert_uint_eq(value_of(t, "other:[other]", METRIC_UNREADABLE_FD), 1);
    static const enum metric absent[] = {METRIC_CPU_USER, METRIC_RSS,       METRIC_FOOTPRINT,
                                         METRIC_THREADS,  METRIC_DISK_READ, METRIC_OPEN_FDS,
                                         METRIC_PRIORITY, METRIC_SWITCHES,  METRIC_FAULTS_MAJOR};
    for (int i = 0; i < COUNT(absent); i++)
        ck_assert_msg(!has_value(t, "other:[other]", absent[i]), "%s",
                      metric_table[absent[i]].metric.id);
    ck_assert(has_value(t, "other:[other]", METRIC_START_TIME));
    /* it becomes ours, or we root: what it used unseen is nobody's, but not lost either */
    mac.user = 0;
    mac_use(other, 1, 0);
    collect_at(t, 1020);
    collect_at(t, 1030);
    mac_use(other, 2, 0);
    collect_at(t, 1040);
    ck_assert_uint_eq(value_of(t, "other:[other]", METRIC_UNREADABLE_STATUS), 0);
    ck_assert_uint_eq(user_ms(t, "other:[other]"), 2000);
    tally_free(t);
}
END_TEST

START_TEST(lack_of_rights_is_said) {
    static const struct {
        uint32_t user;
        bool said;
    } cases[] = {{0, false}, {MAC_USER, true}};
    struct tally_error text;
    bool said = false;
    mac_start(300, 1, "other", 100)->listed.uid = 502;
    mac.user = cases[_i].user;
    tally *t = mac_collector(NULL, NULL);
    while (tally_notice(t, &text)) /* of the source that it had before */
        continue;
    collect_at(t, 1000);
    while (tally_notice(t, &text)) {
        said |= strstr(text.text, "needs root") != NULL;
        ck_assert_ptr_null(strstr(text.text, "CAP_"));
    }
    ck_assert_int_eq(said, cases[_i].said);
    tally_free(t);
}
END_TEST

START_TEST(the_source_has_a_row) {
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_SOURCE_DARWIN), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_SOURCE_PROCFS), 0);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_SOURCE_BPF), 0);
    tally_free(t);
}
END_TEST

/* ---- Network traffic ------------------------------------------------------------ */

static bool says(tally *t, const char *what) {
    struct tally_error text;
    bool said = false;
    while (tally_notice(t, &text))
        said |= strstr(text.text, what) != NULL;
    return said;
}

/* What flows have used before us is not ours. */
START_TEST(traffic) {
    struct mac_process *a = mac_start(300, 1, "a", 100), *b = mac_start(301, 1, "b", 100);
    struct mac_flow *old = mac_flow(2, a);
    old->received_bytes = 1000000;
    old->sent_packets = 500;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(!has_value(t, "a", METRIC_RECEIVED_BYTES_TCP)); /* and all that there will be once */
    ck_assert(!has_value(t, "b", METRIC_TRANSMITTED_PACKETS_UDP));
    ck_assert(!has_value(t, "b", METRIC_TRANSMITTED_BYTES));
    old->received_bytes += 100;
    old->received_packets += 3;
    old->sent_bytes += 20;
    old->sent_packets += 2;
    struct mac_flow *udp = mac_flow(5, a), *quic = mac_flow(8, b);
    udp->received_bytes = 70;
    udp->sent_packets = 1;
    quic->sent_bytes = 9000;
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "a", METRIC_RECEIVED_BYTES_TCP), 100);
    ck_assert_uint_eq(value_of(t, "a", METRIC_RECEIVED_PACKETS_TCP), 3);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 20);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_PACKETS_TCP), 2);
    ck_assert_uint_eq(value_of(t, "a", METRIC_RECEIVED_BYTES_UDP), 70);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_PACKETS_UDP), 1);
    ck_assert_uint_eq(value_of(t, "b", METRIC_TRANSMITTED_BYTES_UDP), 9000);
    ck_assert_uint_eq(value_of(t, "b", METRIC_TRANSMITTED_BYTES_TCP), 0);
    collect_at(t, 1020); /* nothing more */
    ck_assert_uint_eq(value_of(t, "a", METRIC_RECEIVED_BYTES), 170);
    ck_assert(!says(t, "network"));
    tally_free(t);
}
END_TEST

/* The last of it is told as it ends, and counted once; whoever has the number then is new. */
START_TEST(traffic_to_the_end) {
    struct mac_process *a = mac_start(300, 1, "a", 100);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    struct mac_flow *f = mac_flow(2, a);
    f->sent_bytes = 10;
    collect_at(t, 1010);
    f->sent_bytes = 15;
    mac_flow_end(f);
    struct mac_flow *brief = mac_flow(2, a);
    brief->sent_bytes = 100;
    mac_flow_end(brief);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 115);
    mac_flow(2, a)->number = f->number;
    mac.flows[2].sent_bytes = 3;
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 118);
    tally_free(t);
}
END_TEST

/* A process that has ended in between, and one that no list has shown; who started that one
 * nobody can tell, though grouping may ask. */
START_TEST(traffic_of_the_ended) {
    struct mac_process *a = mac_start(300, 1, "a", 100);
    tally *t = mac_collector("children", _i ? "true" : "false", NULL);
    struct mac_flow *f = mac_flow(2, a);
    collect_at(t, 1000);
    f->sent_bytes = 7;
    mac_flow_end(f);
    mac_end(a);
    mac_reap(a);
    struct mac_process *curl = mac_start(302, 1, "curl", 1005);
    struct mac_flow *g = mac_flow(2, curl);
    g->received_bytes = 4096;
    mac_flow_end(g);
    mac_end(curl);
    mac_reap(curl);
    /* another one has that pid by now */
    mac_start(300, 1, "other", 1008);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 7);
    ck_assert_uint_eq(value_of(t, "curl", METRIC_RECEIVED_BYTES_TCP), 4096);
    ck_assert_uint_eq(value_of(t, "other", METRIC_TRANSMITTED_BYTES_TCP), 0);
    tally_free(t);
}
END_TEST

/* More flows than one answer has. Those that are not told of any more are forgotten. */
START_TEST(traffic_in_parts) {
    struct mac_process *a = mac_start(300, 1, "a", 100);
    tally *t = mac_collector(NULL, NULL);
    mac.flows_an_answer = 3;
    for (int i = 0; i < 10; i++)
        mac_flow(2, a);
    collect_at(t, 1000);
    mac.requests = 0;
    for (int i = 0; i < 10; i++)
        mac.flows[i].sent_bytes = 1;
    collect_at(t, 1010);
    ck_assert_uint_eq(mac.requests, 4);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 10);
    mac.flow_count = 5; /* their end was not told */
    collect_at(t, 1020);
    mac.flow_count = 10; /* so that these are new */
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 15);
    tally_free(t);
}
END_TEST

/* Started after the list was made: it is counted once it is listed. */
START_TEST(traffic_before_it_is_listed) {
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    struct mac_process *a = mac_start(300, 1, "a", 1005);
    mac_flow(2, a)->sent_bytes = 50;
    a->gone = true; /* as far as the list knows */
    collect_at(t, 1010);
    a->gone = false;
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 50);
    tally_free(t);
}
END_TEST

static const struct {
    const char *release;
    size_t tcp_size, udp_size, tcp_pid, tcp_name;
} releases[] = {{"19.6.0", 304, 256, 100, 180},
                {"20.6.0", 336, 272, 116, 196},
                {"21.0.0", 344, 280, 116, 196},
                {"24.5.0", 344, 280, 116, 196}};

START_TEST(traffic_by_release) {
    struct mac_process *a = mac_start(300, 1, "a", 100);
    mac.release = releases[_i].release;
    mac.tcp_size = releases[_i].tcp_size;
    mac.udp_size = releases[_i].udp_size;
    mac.tcp_pid = releases[_i].tcp_pid;
    mac.tcp_name = releases[_i].tcp_name;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_flow(2, a)->sent_bytes = 50;
    mac_flow(4, a)->sent_bytes = 60;
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 50);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_UDP), 60);
    tally_free(t);
}
END_TEST

START_TEST(traffic_of_other_systems_is_refused) {
    static const char *const unknown[] = {"25.0.0", "18.7.0", "", "x", "24x"};
    mac.release = unknown[_i];
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(says(t, "network traffic is not counted: what the kernel tells of it is not known"));
    ck_assert(!has_value(t, "launchd", METRIC_RECEIVED_BYTES_TCP));
    ck_assert_uint_eq(mac.requests, 0);
    tally_free(t);
}
END_TEST

/* A known release, and structures that are others all the same. */
START_TEST(traffic_that_is_described_otherwise_is_refused) {
    struct mac_process *a = mac_start(300, 1, "a", 100);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_flow(2, a)->sent_bytes = 50;
    mac.tcp_size = 352;
    collect_at(t, 1010);
    ck_assert(says(t, "network traffic is not counted: the kernel describes a flow in 352 bytes, "
                      "expected 344 for TCP, 280 for UDP"));
    const unsigned requests = mac.requests;
    collect_at(t, 1020);
    ck_assert_uint_eq(mac.requests, requests);
    tally_free(t);
}
END_TEST

START_TEST(traffic_that_may_not_be_asked_for) {
    mac.network_error = -EPERM;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(says(t, "network traffic is not counted: the kernel's statistics can't be asked: "));
    tally_free(t);
    mac.requests = 0;
    mac.network_error = 0;
    t = mac_collector("collect", "no-network", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(mac.requests, 0);
    ck_assert(!says(t, "network"));
    tally_free(t);
}
END_TEST

/* The kernel is process 0, and does not end though it has no task that we may see. */
START_TEST(the_kernel) {
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(&mac.processes[0], 5, 0);
    collect_at(t, 1010);
    ck_assert_uint_eq(user_ms(t, "kernel"), 5000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_VANISHED), 0);
    mac_use(&mac.processes[0], 5, 0);
    mac_end(&mac.processes[0]); /* no task, is what it amounts to */
    mac.processes[0].listed.status = DARWIN_RUNNABLE;
    collect_at(t, 1020);
    ck_assert_uint_eq(user_ms(t, "kernel"), 10000);
    ck_assert_uint_eq(value_of(t, "kernel", METRIC_EXITS), 0);
    tally_free(t);
}
END_TEST

/* ---- Values ---------------------------------------------------------------------- */

START_TEST(gauges) {
    struct mac_process *p = mac_start(300, 1, "a", 100), *q = mac_start(301, 1, "a", 200);
    p->task.resident_bytes = 1000;
    p->task.virtual_bytes = UINT64_C(400) << 30;
    p->usage.footprint_bytes = 700;
    p->task.threads = 5;
    p->task.threads_running = 2;
    p->task.priority = 4;
    p->listed.nice = 10;
    p->fds = 12;
    q->task.resident_bytes = 20;
    q->usage.footprint_bytes = 7;
    q->task.priority = 47; /* the more favoured */
    q->listed.nice = -5;
    q->fds = 5000; /* more than there is room for at first */
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "a", METRIC_PROCESSES), 2);
    ck_assert_uint_eq(value_of(t, "a", METRIC_RSS), 1020);
    ck_assert_uint_eq(value_of(t, "a", METRIC_VMS), UINT64_C(400) << 30);
    ck_assert_uint_eq(value_of(t, "a", METRIC_FOOTPRINT), 707);
    ck_assert_uint_eq(value_of(t, "a", METRIC_THREADS), 6);
    ck_assert_uint_eq(value_of(t, "a", METRIC_THREADS_RUNNING), 2);
    ck_assert_uint_eq(value_of(t, "a", METRIC_STATE_RUNNING), 1);
    ck_assert_uint_eq(value_of(t, "a", METRIC_STATE_SLEEPING), 1);
    ck_assert_uint_eq(value_of(t, "a", METRIC_PRIORITY), 47);
    ck_assert_int_eq((int64_t)value_of(t, "a", METRIC_NICE), -5);
    ck_assert_uint_eq(value_of(t, "a", METRIC_OPEN_FDS), 5012);
    static const enum metric absent[] = {METRIC_SWAP,     METRIC_WORST_FD_RATIO,
                                         METRIC_IO_READ,  METRIC_SWITCHES_VOLUNTARY,
                                         METRIC_DATA,     METRIC_BLKIO_DELAY,
                                         METRIC_RSS_PEAK};
    for (int i = 0; i < COUNT(absent); i++)
        ck_assert_msg(!has_value(t, "a", absent[i]), "%s", metric_table[absent[i]].metric.id);
    tally_free(t);
}
END_TEST

START_TEST(counters) {
    struct mac_process *p = mac_start(300, 1, "a", 100), *q = mac_start(301, 1, "q", 100);
    tally *t = mac_collector(NULL, NULL);
    p->usage.instructions = p->usage.cycles = 1; /* it counts some */
    q->usage.has_energy = true;
    q->usage.energy_nj = 1;
    collect_at(t, 1000);
    p->task.faults = 100;
    p->task.pageins = 10;
    p->usage.pageins = 10;
    p->task.switches = 33;
    p->usage.disk_read_bytes = 4096;
    p->usage.disk_written_bytes = 8192;
    mac_use(p, 1, 1);
    p->usage.runnable_time += MAC_SECOND / 4; /* it waited for a CPU */
    p->task.unix_calls = 11;
    p->task.mach_calls = 12;
    p->task.messages_sent = 13;
    p->task.messages_received = 14;
    p->task.cow_faults = 15;
    p->usage.instructions = UINT64_C(1) << 40;
    p->usage.cycles = UINT64_C(1) << 39;
    q->usage.has_energy = true;
    q->usage.energy_nj = 5000000000;
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "a", METRIC_FAULTS_MINOR), 90);
    ck_assert_uint_eq(value_of(t, "a", METRIC_FAULTS_MAJOR), 10);
    ck_assert_uint_eq(value_of(t, "a", METRIC_FAULTS), 100);
    ck_assert_uint_eq(value_of(t, "a", METRIC_SWITCHES), 33);
    ck_assert_uint_eq(value_of(t, "a", METRIC_DISK_READ), 4096);
    ck_assert_uint_eq(value_of(t, "a", METRIC_DISK_WRITTEN), 8192);
    ck_assert_uint_eq(value_of(t, "a", METRIC_RUN_QUEUE_WAIT), 250 * MS);
    ck_assert_uint_eq(value_of(t, "a", METRIC_SWITCHES_UNSPLIT), 33);
    ck_assert_uint_eq(value_of(t, "a", METRIC_SYSCALLS_UNIX), 11);
    ck_assert_uint_eq(value_of(t, "a", METRIC_SYSCALLS_MACH), 12);
    ck_assert_uint_eq(value_of(t, "a", METRIC_MESSAGES_SENT), 13);
    ck_assert_uint_eq(value_of(t, "a", METRIC_MESSAGES_RECEIVED), 14);
    ck_assert_uint_eq(value_of(t, "a", METRIC_COW_FAULTS), 15);
    ck_assert_uint_eq(value_of(t, "a", METRIC_INSTRUCTIONS), (UINT64_C(1) << 40) - 1);
    ck_assert_uint_eq(value_of(t, "a", METRIC_CYCLES), (UINT64_C(1) << 39) - 1);
    ck_assert_uint_eq(value_of(t, "q", METRIC_ENERGY), 4999999999);
    ck_assert(!has_value(t, "launchd", METRIC_INSTRUCTIONS)); /* none are counted for it */
    ck_assert(!has_value(t, "a", METRIC_ENERGY)); /* an older system */
    tally_free(t);
}
END_TEST

/* All that the exporters for macOS have that use these names, each by their labels. */
START_TEST(process_schema) {
    static const struct {
        const char *name, *more;
        const char *value;
    } series[] = {{"num_procs", "", "1"},
                  {"threads", ",state=\"total\"", "5"},
                  {"threads", ",state=\"running\"", "2"},
                  {"cpu_seconds_total", ",mode=\"user\"", "1.5"},
                  {"cpu_seconds_total", ",mode=\"system\"", "0.25"},
                  {"memory_rss_bytes", "", "1000"},
                  {"resident_memory_bytes", "", "1000"},
                  {"memory_vms_bytes", "", "5000"},
                  {"phys_footprint_bytes", "", "700"},
                  {"open_fds", "", "3"},
                  {"diskio_bytes_read_total", "", "4096"},
                  {"diskio_bytes_write_total", "", "8192"},
                  {"context_switches_total", "", "33"},
                  {"faults_total", "", "100"},
                  {"pageins_total", "", "10"},
                  {"syscalls_unix_total", "", "11"},
                  {"syscalls_mach_total", "", "12"},
                  {"messages_sent_total", "", "13"},
                  {"messages_received_total", "", "14"},
                  {"cow_faults_total", "", "15"},
                  {"net_receive_bytes_total", "", "170"},
                  {"net_receive_packets_total", "", "3"},
                  {"net_transmit_bytes_total", "", "20"},
                  {"net_transmit_packets_total", "", "3"},
                  {"priority", "", "31"}};
    struct mac_process *p = mac_start(300, 1, "a", 100);
    struct mac_flow *tcp, *udp;
    const char *text;
    size_t len;
    p->path = "/Applications/A \"B\"";
    tally *t = mac_collector("schema", "process", "group-by", "pid", NULL);
    collect_at(t, 1000);
    mac_use(p, 1.5, 0.25);
    p->task.resident_bytes = 1000;
    p->task.virtual_bytes = 5000;
    p->task.faults = 100;
    p->task.pageins = 10;
    p->task.cow_faults = 15;
    p->task.messages_sent = 13;
    p->task.messages_received = 14;
    p->task.mach_calls = 12;
    p->task.unix_calls = 11;
    p->task.switches = 33;
    p->task.threads = 5;
    p->task.threads_running = 2;
    p->usage.pageins = 10;
    p->usage.footprint_bytes = 700;
    p->usage.disk_read_bytes = 4096;
    p->usage.disk_written_bytes = 8192;
    p->fds = 3;
    tcp = mac_flow(2, p);
    tcp->received_bytes = 100;
    tcp->received_packets = 3;
    tcp->sent_bytes = 20;
    tcp->sent_packets = 2;
    udp = mac_flow(5, p);
    udp->received_bytes = 70;
    udp->sent_packets = 1;
    collect_at(t, 1010);
    ck_assert_int_eq(tree_prometheus(t, &text, &len), 0);
    for (int i = 0; i < COUNT(series); i++) {
        char line[300];
        snprintf(line, sizeof(line),
                 "process_%s{groupname=\"300\",pid=\"300\",ppid=\"1\",uid=\"%u\",gid=\"20\","
                 "path=\"/Applications/A \\\"B\\\"\",name=\"a\",user=\"%u\"%s} %s\n",
                 series[i].name, MAC_USER, MAC_USER, series[i].more, series[i].value);
        ck_assert_msg(memmem(text, len, line, strlen(line)), "no %s", line);
    }
    tally_free(t);
}
END_TEST

/* A kernel that does not keep that time, or keeps it a little late. */
START_TEST(no_time_runnable) {
    struct mac_process *p = mac_start(300, 1, "a", 100);
    mac_use(p, 1, 0);
    p->usage.runnable_time = 0;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(!has_value(t, "a", METRIC_RUN_QUEUE_WAIT));
    tally_free(t);
}
END_TEST

/* These counts stop at the end of 31 bits: from there on they are not known. */
START_TEST(saturation) {
    struct mac_process *p = mac_start(300, 1, "a", 100);
    p->task.faults = INT32_MAX - 100;
    p->task.switches = INT32_MAX - 1;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    p->task.faults = INT32_MAX;
    p->task.switches = INT32_MAX;
    p->task.pageins = INT32_MAX;
    p->usage.pageins = UINT64_C(5000000000); /* has no such end */
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "a", METRIC_FAULTS_MINOR), 0);
    ck_assert_uint_eq(value_of(t, "a", METRIC_SWITCHES), 0);
    ck_assert_uint_eq(value_of(t, "a", METRIC_FAULTS_MAJOR), UINT64_C(5000000000));
    mac_start(301, 1, "b", 1011);
    mac.processes[mac.count - 1].task = p->task;
    collect_at(t, 1020);
    ck_assert(!has_value(t, "b", METRIC_FAULTS_MINOR));
    ck_assert(!has_value(t, "b", METRIC_SWITCHES));
    tally_free(t);
}
END_TEST

/* What is not asked for is not read. */
START_TEST(not_collected) {
    struct mac_process *p = mac_start(300, 1, "a", 100);
    p->fds = 3;
    tally *t = mac_collector("collect", "no-fds,no-context-switches,no-io,no-delays,no-threads", NULL);
    collect_at(t, 1000);
    static const enum metric absent[] = {METRIC_OPEN_FDS, METRIC_SWITCHES, METRIC_DISK_READ,
                                         METRIC_RUN_QUEUE_WAIT, METRIC_THREADS_RUNNING};
    for (int i = 0; i < COUNT(absent); i++)
        ck_assert_msg(!has_value(t, "a", absent[i]), "%s", metric_table[absent[i]].metric.id);
    ck_assert(has_value(t, "a", METRIC_CPU_USER));
    tally_free(t);
}
END_TEST

/* One configuration for Macs and others: what is of Linux alone is absent here, and that is
 * said once; unless it only came with a schema. */
START_TEST(what_is_of_linux_alone) {
    static const struct {
        const char *words, *schema, *said;
    } cases[] = {
        {"sockets,io", "native", "nothing of the kind: sockets"},
        {"cgroup,exits,memory-details,pss,sockets,thread-names", "native",
         "nothing of the kind: cgroup, exits, memory-details, pss, sockets, thread-names"},
        {"io", "process-exporter", NULL},
        {"pss", "process-exporter", "nothing of the kind: pss"},
    };
    static const enum metric absent[] = {METRIC_TCP_ESTABLISHED, METRIC_UNIX_SOCKETS,
                                         METRIC_PSS, METRIC_RSS_PEAK, METRIC_EXITS_OK};
    const char *said = cases[_i].said;
    struct tally_error text;
    int notices = 0;
    mac_start(300, 1, "a", 100);
    tally *t = mac_collector("collect", cases[_i].words, "schema", cases[_i].schema, "group-by",
                             "name", NULL);
    for (int i = 0; i < 3; i++)
        collect_at(t, 1000 + 10 * i);
    while (tally_notice(t, &text)) {
        ck_assert_ptr_null(strstr(text.text, "bpf"));
        if (!strstr(text.text, "nothing of the kind"))
            continue;
        notices++;
        ck_assert_ptr_nonnull(said);
        ck_assert_str_eq(strstr(text.text, "nothing of the kind"), said);
    }
    ck_assert_int_eq(notices, said != NULL);
    for (int i = 0; i < COUNT(absent); i++)
        ck_assert_msg(!has_value(t, "a", absent[i]), "%s", metric_table[absent[i]].metric.id);
    ck_assert(has_value(t, "a", METRIC_DISK_READ));
    tally_free(t);
}
END_TEST

START_TEST(names) {
    mac_start(300, 1, "com.apple.WebKit.WebContent", 100);
    struct mac_process *p = mac_start(301, 1, "sixteen letters!", 100);
    snprintf(p->task.name, sizeof(p->task.name), "something else altogether");
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(has_group(t, "com.apple.WebKit.WebContent"));
    ck_assert(has_group(t, "sixteen letters!"));
    tally_free(t);
}
END_TEST

/* The 32 bits of the kernel's hundredths turn over. */
START_TEST(coverage) {
    struct mac_process *p = mac_start(300, 1, "a", 100);
    mac.host.user = UINT32_MAX - 50;
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac.host.user += 150;
    mac.host.system += 50;
    mac_use(p, 1, 0);
    collect_at(t, 1010);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_COVERAGE), 500000000);
    tally_free(t);
}
END_TEST

/* ---- The collector around it ----------------------------------------------------------------- */

/* A run that goes on from another one's state, after a step of the clock in between. */
START_TEST(restart) {
    struct mac_process *p = mac_start(300, 1, "a", 100);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac_use(p, 1, 0);
    p->task.unix_calls = 100;
    collect_at(t, 1010);
    ck_assert_int_eq(tree_encode_state(t), 0);
    mac.clock_step_s = -1800;
    mac_use(p, 2, 0);
    p->task.unix_calls = 140;
    mac_use(mac_start(301, 1, "b", 1015), 3, 0);
    tally *u = mac_collector(NULL, NULL);
    clock_set(1020);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    collect_at(u, 1020);
    ck_assert_uint_eq(user_ms(u, "a"), 3000);
    ck_assert_uint_eq(value_of(u, "a", METRIC_SYSCALLS_UNIX), 140);
    ck_assert_uint_eq(value_of(u, "a", METRIC_EXITS), 0);
    /* by the clock as it is now it was there before: it counts from now on */
    ck_assert_uint_eq(user_ms(u, "b"), 0);
    ck_assert_uint_eq(value_of(u, "b", METRIC_STARTS), 0);
    mac_use(&mac.processes[mac.count - 1], 5, 0);
    collect_at(u, 1030);
    ck_assert_uint_eq(user_ms(u, "b"), 5000);
    tally_free(t);
    tally_free(u);
}
END_TEST

/* After a step the times are made up, and by another run from others: the one whose time was
 * the last before the step has ended meanwhile. Something is lost then, and nothing is
 * counted twice. */
START_TEST(restart_long_after_a_clock_step) {
    mac_start(300, 1, "a", 100);
    struct mac_process *last = mac_start(301, 1, "last", 900);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    mac.clock_step_s = -1800;
    struct mac_process *p = mac_start(302, 1, "p", 1005);
    mac_use(p, 1, 0);
    collect_at(t, 1010);
    mac_reap(last);
    mac_use(p, 2, 0);
    collect_at(t, 1020);
    ck_assert_uint_eq(user_ms(t, "p"), 3000);
    ck_assert_int_eq(tree_encode_state(t), 0);
    mac_use(p, 4, 0);
    tally *u = mac_collector(NULL, NULL);
    clock_set(1030);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    collect_at(u, 1030);
    ck_assert_uint_eq(user_ms(u, "p"), 3000);
    ck_assert_uint_eq(value_of(u, "p", METRIC_EXITS), 1);
    ck_assert_uint_eq(value_of(u, "p", METRIC_STARTS), 1);
    mac_use(p, 8, 0);
    collect_at(u, 1040);
    ck_assert_uint_eq(user_ms(u, "p"), 11000);
    tally_free(t);
    tally_free(u);
}
END_TEST

/* What Linux has no room for is passed over there. */
START_TEST(state_of_macos_on_linux) {
    struct mac_process *p = mac_start(300, 1, "a", 100);
    tally *t = mac_collector(NULL, NULL);
    p->task.unix_calls = 100;
    mac_use(p, 1, 0);
    collect_at(t, 1000);
    ck_assert_int_eq(tree_encode_state(t), 0);
    tally *u = tree_collector(NULL, NULL);
    memcpy(u->source->boot_id, t->source->boot_id, sizeof(u->source->boot_id));
    clock_set(1020);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    const struct process *read = tree_process(u, 300);
    ck_assert_uint_eq(read->have & DARWIN_FIELDS, 0);
    ck_assert_uint_eq(read->last[FIELD_UTIME_NS], 1000 * MS);
    tally_free(t);
    tally_free(u);
}
END_TEST

/* Between two runs by cron somebody starts. */
START_TEST(born_between_two_runs) {
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_int_eq(tree_encode_state(t), 0);
    mac_use(mac_start(301, 1, "b", 1000.5), 3, 0);
    tally *u = mac_collector(NULL, NULL);
    clock_set(1020);
    ck_assert_int_eq(tree_decode_state(u, t->state.data, t->state.len), 0);
    collect_at(u, 1020);
    ck_assert_uint_eq(user_ms(u, "b"), 3000);
    ck_assert_uint_eq(value_of(u, "b", METRIC_STARTS), 1);
    tally_free(t);
    tally_free(u);
}
END_TEST

START_TEST(no_memory_is_taken_in_the_steady_state) {
    for (uint32_t i = 0; i < 50; i++)
        mac_flow(2, mac_start(300 + i, 1, "many", 100));
    tally *t = mac_collector("group-by", "name,user", NULL);
    collect_at(t, 1000);
    collect_at(t, 1010);
    const long before = (long)allocations;
    for (int i = 0; i < 5; i++) {
        for (size_t k = 0; k < mac.count; k++)
            mac_use(&mac.processes[k], 0.1, 0);
        for (size_t k = 0; k < mac.flow_count; k++)
            mac.flows[k].sent_bytes += 10;
        collect_at(t, 1020 + 10 * i);
    }
    ck_assert_int_eq((long)allocations, before);
    ck_assert_uint_eq(value_of(t, "many:501", METRIC_TRANSMITTED_BYTES_TCP), 50 * 5 * 10);
    tally_free(t);
}
END_TEST

/* What could not be taken for want of memory is taken the next time, and nothing twice. */
START_TEST(traffic_without_memory) {
    struct mac_process *a = mac_start(300, 1, "a", 100);
    tally *t = mac_collector(NULL, NULL);
    collect_at(t, 1000);
    for (int i = 0; i < 40; i++)
        mac_flow(2, a)->sent_bytes = 10;
    for (unsigned i = 1; i < 100; i++) {
        clock_set(1000 + i);
        allocations = 0;
        fail_allocation_at = i;
        const int r = tally_collect(t, NULL);
        fail_allocation_at = 0;
        ck_assert(r == 0 || r == -ENOMEM);
        mac.told_at = mac.told_count = 0;
    }
    collect_at(t, 1200);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 400);
    tally_free(t);
}
END_TEST

/* Then flows from before us are still that. */
START_TEST(traffic_that_begins_without_memory) {
    struct mac_process *a = mac_start(300, 1, "a", 100);
    for (int i = 0; i < 40; i++)
        mac_flow(2, a)->sent_bytes = 1000;
    for (unsigned i = 1; i < 150; i += 3) {
        tally *t = mac_collector(NULL, NULL);
        clock_set(1000);
        allocations = 0;
        fail_allocation_at = i;
        const int r = tally_collect(t, NULL);
        fail_allocation_at = 0;
        ck_assert(r == 0 || r == -ENOMEM);
        mac.told_at = mac.told_count = 0;
        collect_at(t, 1010);
        /* nothing is shown by a collection that failed, so that this can be the first */
        if (has_value(t, "a", METRIC_TRANSMITTED_BYTES_TCP))
            ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 0);
        mac.flows[0].sent_bytes += 5;
        collect_at(t, 1020);
        ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 5);
        tally_free(t);
    }
}
END_TEST

START_TEST(without_memory) {
    struct source *s;
    mac_start(300, 1, "a", 100);
    for (unsigned i = 1; i < 20; i++) {
        allocations = 0;
        fail_allocation_at = i;
        const unsigned freed = mac.freed;
        int r = libproc_new(&mac_calls, &tree_io, ~0u, &s);
        fail_allocation_at = 0;
        if (r == 0)
            s->ops->free(s);
        else
            ck_assert_int_eq(r, -ENOMEM);
        ck_assert_uint_eq(mac.freed, freed + 1);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("darwin");
    TCase *tc = add_case(suite, "time");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, times_are_in_units_of_the_kernel);
    tcase_add_test(tc, what_translated_programs_are_told_is_not_believed);
    tcase_add_test(tc, without_the_kernels_word_the_programs_is_taken);
    tcase_add_loop_test(tc, a_clock_step, 0, 5);
    tcase_add_test(tc, many_clock_steps);
    tcase_add_test(tc, start_times);
    tcase_add_test(tc, a_night_asleep);

    tc = add_case(suite, "life");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, birth);
    tcase_add_test(tc, an_end);
    tcase_add_test(tc, what_is_not_folded);
    tcase_add_test(tc, page_ins_are_folded);
    tcase_add_test(tc, another_program);
    tcase_add_test(tc, a_pid_used_again);
    tcase_add_test(tc, a_pid_used_again_while_it_is_read);
    tcase_add_test(tc, zombie);
    tcase_add_test(tc, an_end_while_it_is_read);
    tcase_add_test(tc, an_early_child);

    tc = add_case(suite, "rights");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, other_users_processes);
    tcase_add_loop_test(tc, lack_of_rights_is_said, 0, 2);
    tcase_add_test(tc, the_source_has_a_row);
    tcase_add_test(tc, traffic);
    tcase_add_test(tc, traffic_to_the_end);
    tcase_add_loop_test(tc, traffic_of_the_ended, 0, 2);
    tcase_add_test(tc, traffic_in_parts);
    tcase_add_test(tc, traffic_before_it_is_listed);
    tcase_add_loop_test(tc, traffic_by_release, 0, COUNT(releases));
    tcase_add_loop_test(tc, traffic_of_other_systems_is_refused, 0, 5);
    tcase_add_test(tc, traffic_that_is_described_otherwise_is_refused);
    tcase_add_test(tc, traffic_that_may_not_be_asked_for);
    tcase_add_test(tc, the_kernel);

    tc = add_case(suite, "values");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, gauges);
    tcase_add_test(tc, counters);
    tcase_add_test(tc, process_schema);
    tcase_add_test(tc, no_time_runnable);
    tcase_add_test(tc, saturation);
    tcase_add_test(tc, not_collected);
    tcase_add_loop_test(tc, what_is_of_linux_alone, 0, 4);
    tcase_add_test(tc, names);
    tcase_add_test(tc, coverage);

    tc = add_case(suite, "collector");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, restart);
    tcase_add_test(tc, restart_long_after_a_clock_step);
    tcase_add_test(tc, state_of_macos_on_linux);
    tcase_add_test(tc, born_between_two_runs);
    tcase_add_test(tc, no_memory_is_taken_in_the_steady_state);
    tcase_add_test(tc, traffic_without_memory);
    tcase_add_test(tc, traffic_that_begins_without_memory);
    tcase_add_test(tc, without_memory);
    return run_suite(suite);
}
