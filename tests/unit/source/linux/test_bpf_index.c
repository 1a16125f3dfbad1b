/* SPDX-License-Identifier: MIT */
/* A made-up listing of the source bpf: which records are whose. */
#include "source/linux/bpf_index.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

static struct bpf_index idx;
static struct buf listing;

static void setup(void) {
    idx = (struct bpf_index){.names_threads = false};
    buf_init(&listing, 64u << 20);
}

static void setup_named(void) {
    setup();
    idx.names_threads = true;
}

static void teardown(void) {
    fail_allocation_at = 0;
    bpf_index_free(&idx);
    buf_free(&listing);
}

static void process(uint32_t pid) {
    const struct record_process r = {.kind = RECORD_PROCESS,
                                     .pid = pid,
                                     .start_ns = pid * UINT64_C(1000),
                                     .usage.of[USAGE_RUN_NS] = 1};
    buf_add(&listing, &r, sizeof(r));
}

static void detailed(uint32_t pid) {
    const struct record_detailed r = {
        .process = {.kind = RECORD_DETAILED, .pid = pid, .start_ns = pid * UINT64_C(1000)}};
    buf_add(&listing, &r, sizeof(r));
}

static void same(uint32_t pid) {
    const struct record_same r = {RECORD_SAME, pid, pid * UINT64_C(1000)};
    buf_add(&listing, &r, sizeof(r));
}

static void exec(uint64_t since_exec) {
    const struct record_exec r = {.kind = RECORD_EXEC, .since_exec.of[USAGE_RUN_NS] = since_exec};
    buf_add(&listing, &r, sizeof(r));
}

static void thread(uint32_t pid, uint64_t run_ns, uint32_t state) {
    const struct record_thread r = {
        .kind = RECORD_THREAD, .pid = pid, .state = state, .usage.of[USAGE_RUN_NS] = run_ns};
    buf_add(&listing, &r, sizeof(r));
}

static void named(enum record_kind kind, uint32_t pid, uint32_t tid, uint64_t run_ns) {
    const struct record_named_thread r = {
        .thread = {.kind = kind, .pid = pid, .state = 1, .usage.of[USAGE_RUN_NS] = run_ns},
        .tid = tid};
    buf_add(&listing, &r, sizeof(r));
}

static void make(void) {
    ck_assert(!listing.error);
    ck_assert_int_eq(bpf_index_make(&idx, &listing), 0);
}

static const struct record_process *record_of(uint32_t pid) {
    const struct bpf_place *place = bpf_index_find(&idx, pid);
    ck_assert_msg(place != NULL, "no %u", pid);
    return bpf_index_process(&idx, place);
}

static void check_listed(size_t at, uint32_t pid, enum listed_state state) {
    ck_assert_uint_lt(at, idx.count);
    ck_assert_uint_eq(idx.listed[at].pid, pid);
    ck_assert_int_eq((int)idx.listed[at].state, (int)state);
    ck_assert_uint_eq(idx.listed[at].marker, pid * UINT64_C(1000));
}

/* ---- Processes --------------------------------------------------------------------------- */

START_TEST(processes) {
    ck_assert_ptr_null(bpf_index_find(&idx, 5));
    process(5);
    exec(77);
    process(7);
    process(9);
    same(11);
    exec(88);
    detailed(13);
    detailed(15);
    make();
    ck_assert_uint_eq(idx.count, 6);
    check_listed(0, 5, LISTED_ACTIVE);
    check_listed(1, 7, LISTED_ACTIVE);
    check_listed(2, 9, LISTED_ACTIVE);
    check_listed(3, 11, LISTED_ASLEEP);
    check_listed(4, 13, LISTED_ACTIVE);
    check_listed(5, 15, LISTED_ACTIVE);
    ck_assert_uint_eq(record_of(5)->kind, RECORD_PROCESS);
    ck_assert_uint_eq(record_of(11)->kind, RECORD_SAME);
    ck_assert_uint_eq(record_of(13)->kind, RECORD_DETAILED);
    for (uint32_t pid = 5; pid <= 15; pid += 2) {
        const struct record_exec *e = bpf_index_exec(&idx, bpf_index_find(&idx, pid));
        const uint64_t since_exec = pid == 7 ? 77 : pid == 13 ? 88 : 0;
        ck_assert_uint_eq(e ? e->since_exec.of[USAGE_RUN_NS] : 0, since_exec);
    }
}
END_TEST

/* From each place to each other one, and to those that are not there. */
START_TEST(any_order) {
    enum { LAST = 41 };
    for (uint32_t pid = 3; pid <= LAST; pid += 2)
        process(pid);
    make();
    for (uint32_t from = 3; from <= LAST; from += 2)
        for (uint32_t to = 0; to <= LAST + 2; to++) {
            ck_assert_uint_eq(record_of(from)->pid, from);
            if (to % 2 && to >= 3 && to <= LAST)
                ck_assert_uint_eq(record_of(to)->pid, to);
            else
                ck_assert_ptr_null(bpf_index_find(&idx, to));
        }
}
END_TEST

START_TEST(unknown_record) {
    const uint32_t kind = 99;
    process(5);
    buf_add(&listing, &kind, sizeof(kind));
    ck_assert_int_eq(bpf_index_make(&idx, &listing), -EBADMSG);
}
END_TEST

/* ---- Threads ------------------------------------------------------------------------------- */

/* They need not come behind the process that they belong to. */
START_TEST(threads_add_up) {
    process(5);
    thread(5, 10, 1);
    thread(5, 100, 0);
    same(6);
    thread(6, 1000, 0);
    thread(7, 1000, 0); /* it has come since */
    process(8);
    thread(5, 1000, 0);
    make();
    make(); /* the round failed later on, and is resumed */
    bpf_index_add_threads_up(&idx);
    ck_assert_uint_eq(idx.count, 3);
    ck_assert_uint_eq(record_of(5)->usage.of[USAGE_RUN_NS], 1111);
    ck_assert_uint_eq(record_of(5)->running, 2);
    ck_assert_uint_eq(record_of(6)->kind, RECORD_SAME);
    ck_assert_uint_eq(record_of(8)->usage.of[USAGE_RUN_NS], 1);
    ck_assert_uint_eq(record_of(8)->running, 0);
}
END_TEST

static uint32_t tids[8];
static size_t tid_count, tids_most;

static int note(void *data, const struct record_named_thread *r) {
    ck_assert_ptr_eq(data, &listing);
    if (tid_count == tids_most)
        return -ENOMEM;
    tids[tid_count++] = r->tid;
    return 0;
}

static int walk(uint32_t pid, size_t most) {
    tid_count = 0;
    tids_most = most;
    return bpf_index_threads(&idx, bpf_index_find(&idx, pid), note, &listing);
}

START_TEST(threads_by_name) {
    named(RECORD_MAIN_THREAD, 5, 5, 1);
    process(5);
    named(RECORD_NAMED_THREAD, 5, 51, 10);
    named(RECORD_NAMED_THREAD, 5, 52, 100);
    process(6); /* there was no room for its threads */
    named(RECORD_MAIN_THREAD, 7, 7, 1);
    exec(77);
    process(7);
    named(RECORD_SUMMED_THREAD, 7, 71, 10);
    named(RECORD_NAMED_THREAD, 5, 53, 1000);
    named(RECORD_MAIN_THREAD, 8, 8, 1);
    process(8);
    make();
    bpf_index_add_threads_up(&idx);
    ck_assert_int_eq(walk(5, 8), 0);
    ck_assert_uint_eq(tid_count, 4);
    ck_assert(tids[0] == 5 && tids[1] == 51 && tids[2] == 52 && tids[3] == 53);
    ck_assert_uint_eq(record_of(5)->usage.of[USAGE_RUN_NS], 1111);
    ck_assert_int_eq(walk(6, 8), 0);
    ck_assert_uint_eq(tid_count, 0);
    ck_assert_int_eq(walk(7, 8), 0);
    ck_assert_uint_eq(tid_count, 2);
    ck_assert(tids[0] == 7 && tids[1] == 71);
    ck_assert_uint_eq(record_of(7)->usage.of[USAGE_RUN_NS], 1); /* it has them already */
    ck_assert_int_eq(walk(8, 8), 0);
    ck_assert_uint_eq(tid_count, 1);
    for (size_t most = 0; most < 4; most++) {
        ck_assert_int_eq(walk(5, most), -ENOMEM);
        ck_assert_uint_eq(tid_count, most);
    }
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Each call fails once; then the same listing is gone through again. */
START_TEST(out_of_memory) {
    enum { PROCESSES = 1500 };
    bool done = false;

    for (uint32_t pid = 1; pid <= PROCESSES; pid++) {
        named(RECORD_MAIN_THREAD, pid, pid, 1);
        process(pid);
        named(RECORD_SUMMED_THREAD, pid, PROCESSES + pid, 1);
    }
    for (long at = 1; !done; at++) {
        bpf_index_free(&idx);
        idx = (struct bpf_index){.names_threads = true};
        allocations = 0;
        fail_allocation_at = at;
        int r = bpf_index_make(&idx, &listing);
        done = r == 0;
        ck_assert_int_eq(r, done ? 0 : -ENOMEM);
        fail_allocation_at = 0;
        make();
        bpf_index_add_threads_up(&idx);
        ck_assert_uint_eq(idx.count, PROCESSES);
        ck_assert_int_eq(walk(PROCESSES, 8), 0);
        ck_assert(tid_count == 2 && tids[0] == PROCESSES && tids[1] == 2 * PROCESSES);
        /* and from then on it allocates nothing */
        allocations = 0;
        fail_allocation_at = 1;
        r = bpf_index_make(&idx, &listing);
        fail_allocation_at = 0;
        ck_assert_int_eq(r, 0);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("bpf_index");
    TCase *c = add_case(s, "processes");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, processes);
    tcase_add_test(c, any_order);
    tcase_add_test(c, unknown_record);
    tcase_add_test(c, threads_add_up);
    c = add_case(s, "named");
    tcase_add_checked_fixture(c, setup_named, teardown);
    tcase_add_test(c, threads_by_name);
    tcase_add_test(c, out_of_memory);
    return run_suite(s);
}
