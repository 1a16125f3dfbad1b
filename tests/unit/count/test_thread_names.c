/* SPDX-License-Identifier: MIT */
/* Threads by name: what goes to which name as threads come, go, and are renamed, and that
 * nothing is counted twice. */
#include "count/thread_names.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct thread_counting counting;
static struct thread_names *names;
static struct thread_list *list;
static struct thread_moment moment;
static struct thread_sample items[64];
static struct thread_samples samples;
static struct sample process;

static void setup(void) {
    counting = (struct thread_counting){.is_on = true, .max_names = 50};
    names = thread_names_new();
    list = thread_list_new();
    ck_assert(names && list);
    ck_assert_int_eq(threads_join(list, &counting, names), 0);
    moment = (struct thread_moment){.now_ticks = 1000, .now_s = 10, .from_birth = true};
    samples = (struct thread_samples){.items = items, .first_part = true, .last_part = true};
    process = (struct sample){.pid = 100, .comm = "main", .comm_len = 4, .threads = &samples};
}

static void teardown(void) {
    fail_allocation_at = 0;
    list = thread_list_free(list, &counting);
    ck_assert_uint_eq(counting.threads, 0);
    names = thread_names_unref(names);
}

/* What the process's threads are this time. */
static void none(void) {
    samples.count = 0;
}

static void thread(uint32_t tid, uint64_t start_ticks, const char *name, uint64_t user,
                   uint64_t switches) {
    struct thread_sample *s = &items[samples.count++];

    *s = (struct thread_sample){.tid = tid, .start_ticks = start_ticks};
    s->comm_len = (uint8_t)strlen(name);
    memcpy(s->comm, name, s->comm_len);
    s->have = 1u << THREAD_UTIME_NS | 1u << THREAD_STIME_NS | 1u << THREAD_VOLUNTARY_SWITCHES;
    s->value[THREAD_UTIME_NS] = user;
    s->value[THREAD_VOLUNTARY_SWITCHES] = switches;
}

static void take(void) {
    ck_assert_int_eq(threads_take(list, &counting, &process, &moment), 0);
    moment.now_ticks += 1000;
    moment.now_s += 10;
    process.value[FIELD_THREADS] = samples.count;
}

static const struct thread_name *name_in(const struct thread_names *in, const char *text) {
    for (size_t i = 0; in && i < in->end; i++)
        if (strcmp(in->items[i].text, text) == 0)
            return &in->items[i];
    return NULL;
}

static const struct thread_name *name_of(const char *text) {
    return name_in(names, text);
}

static void check_name(const char *text, uint32_t threads, uint64_t user, uint64_t switches) {
    const struct thread_name *name = name_of(text);

    ck_assert_msg(name != NULL, "no %s", text);
    ck_assert_uint_eq(name->threads, threads);
    ck_assert_uint_eq(name->used[THREAD_UTIME_NS], user);
    ck_assert_uint_eq(name->used[THREAD_VOLUNTARY_SWITCHES], switches);
}

/* ---- What goes to which name ------------------------------------------------------------ */

START_TEST(increases_add_up) {
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    thread(102, 520, "worker", 30, 3);
    take();
    check_name("main", 1, 10, 1);
    check_name("worker", 2, 50, 5);
    none();
    thread(100, 500, "main", 11, 1);
    thread(101, 510, "worker", 25, 4);
    thread(102, 520, "worker", 30, 3);
    take();
    check_name("main", 1, 11, 1);
    check_name("worker", 2, 55, 7);
    ck_assert_uint_eq(counting.threads, 3);
    /* what none of them had is not known, which is not 0 */
    ck_assert_uint_eq(name_of("worker")->known, items[0].have);
}
END_TEST

/* The worker is read at 1000, and is gone at 2000. */
static void worker_goes(void) {
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    take();
    none();
    thread(100, 500, "main", 10, 1);
    take();
}

START_TEST(ended_ones_stay_counted) {
    worker_goes();
    check_name("worker", 0, 20, 2);
    ck_assert_uint_eq(counting.threads, 1);
    /* its number again, for another thread: all of that is new */
    thread(101, 2500, "worker", 5, 1);
    take();
    check_name("worker", 1, 25, 3);
}
END_TEST

START_TEST(a_renamed_one_goes_on_elsewhere) {
    thread(101, 510, "before", 20, 2);
    take();
    none();
    thread(101, 510, "after", 27, 3);
    take();
    check_name("before", 0, 20, 2);
    check_name("after", 1, 7, 1);
}
END_TEST

START_TEST(history_is_not_ours) {
    moment.from_birth = false;
    moment.since_ticks = 600;
    thread(100, 500, "old", 1000, 100);
    thread(101, 700, "new", 30, 3);
    take();
    check_name("old", 1, 0, 0);
    check_name("new", 1, 30, 3);
    none();
    thread(100, 500, "old", 1001, 100);
    thread(101, 700, "new", 30, 3);
    thread(102, 900, "missed", 50, 5); /* it was there, but no reading showed it */
    take();
    check_name("old", 1, 1, 0);
    check_name("missed", 1, 0, 0);
}
END_TEST

START_TEST(lower_is_another) {
    thread(100, 500, "main", 1000, 100);
    take();
    none(); /* execve(2) of another thread: it is the main one now */
    thread(100, 500, "main", 40, 4);
    take();
    check_name("main", 1, 1000, 100);
    none();
    thread(100, 500, "main", 50, 5);
    take();
    check_name("main", 1, 1010, 101);
}
END_TEST

START_TEST(exact_time_is_divided) {
    thread(100, 500, "main", 30, 0);
    items[0].value[THREAD_STIME_NS] = 10;
    items[0].exact_cpu_ns = 80;
    take();
    ck_assert_uint_eq(name_of("main")->used[THREAD_UTIME_NS], 60);
    ck_assert_uint_eq(name_of("main")->used[THREAD_STIME_NS], 20);
    /* the shares change: neither part falls, and the sum is exact */
    items[0].value[THREAD_UTIME_NS] = 30;
    items[0].value[THREAD_STIME_NS] = 90;
    items[0].exact_cpu_ns = 100;
    take();
    ck_assert_uint_eq(name_of("main")->used[THREAD_UTIME_NS], 60);
    ck_assert_uint_eq(name_of("main")->used[THREAD_STIME_NS], 40);
}
END_TEST

START_TEST(in_parts) {
    samples.last_part = false;
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "a", 20, 2);
    take();
    ck_assert(!list->whole);
    none();
    samples.first_part = false;
    samples.last_part = true;
    thread(102, 520, "b", 30, 3);
    take();
    ck_assert(list->whole);
    check_name("a", 1, 20, 2);
    check_name("b", 1, 30, 3);
    none();
    samples.first_part = true;
    thread(100, 500, "main", 10, 1);
    take();
    check_name("a", 0, 20, 2);
    check_name("b", 0, 30, 3);
}
END_TEST

/* ---- Ends that are told ------------------------------------------------------------------- */

static void setup_told(void) {
    setup();
    counting.ends_are_told = true;
}

static void tell_end(uint32_t tid, uint64_t start_ticks, const char *name, uint64_t user,
                     uint64_t switches) {
    none();
    thread(tid, start_ticks, name, user, switches);
    ck_assert_int_eq(threads_take_end(list, &counting, &items[0]), 0);
}

START_TEST(to_its_end) {
    worker_goes();
    check_name("worker", 0, 20, 2);
    tell_end(101, 510, "worker", 27, 4);
    check_name("worker", 0, 27, 4);
    /* its record goes with the next reading */
    ck_assert_uint_eq(counting.threads, 2);
    none();
    thread(100, 500, "main", 10, 1);
    take();
    ck_assert_uint_eq(counting.threads, 1);
    check_name("main", 1, 10, 1);
}
END_TEST

START_TEST(renamed_before_its_end) {
    worker_goes();
    tell_end(101, 510, "late", 27, 4);
    check_name("worker", 0, 20, 2);
    check_name("late", 0, 7, 2);
}
END_TEST

START_TEST(never_read) {
    worker_goes();
    tell_end(102, 1500, "short", 5, 1);
    tell_end(0, 1000, "short", 50, 10); /* several */
    check_name("short", 0, 55, 11);
    /* a tid that had another thread before: what that used is told as well, by and by */
    tell_end(101, 2500, "worker", 3, 1);
    tell_end(101, 510, "worker", 27, 4);
    check_name("worker", 0, 30, 5);
}
END_TEST

START_TEST(history_that_ends) {
    moment.from_birth = false;
    moment.since_ticks = 600;
    worker_goes();
    check_name("main", 1, 0, 0);
    tell_end(102, 520, "short", 5, 1); /* older than the first reading */
    check_name("short", 0, 0, 0);
    tell_end(101, 510, "worker", 27, 4);
    check_name("worker", 0, 7, 2);
}
END_TEST

static void check_name_is(const char *text, uint64_t user) {
    ck_assert_msg(name_of(text) != NULL, "no %s", text);
    ck_assert_uint_eq(name_of(text)->used[THREAD_UTIME_NS], user);
}

/* Then its record is gone, and with it how much of it was counted. */
START_TEST(told_too_late) {
    worker_goes();
    for (int i = 0; i < 8; i++) {
        none();
        thread(100, 500, "main", 10, 1);
        take();
    }
    ck_assert_uint_eq(counting.threads, 1);
    tell_end(101, 510, "worker", 27, 4);
    check_name("worker", 0, 20, 2);
    tell_end(102, 1500, "short", 5, 1); /* but of this one nothing was counted ever */
    check_name_is("short", 5);
}
END_TEST

START_TEST(ends_of_a_gone_process) {
    worker_goes();
    threads_leave(list, moment.now_s);
    check_name("main", 0, 10, 1);
    threads_leave(list, moment.now_s + 1);
    check_name("main", 0, 10, 1);
    tell_end(100, 500, "main", 12, 1);
    check_name("main", 0, 12, 1);
    tell_end(101, 510, "worker", 27, 4);
    check_name("worker", 0, 27, 4);
}
END_TEST

/* While the process was in no group, its threads were nobody's. */
START_TEST(left_out_in_between) {
    worker_goes();
    ck_assert_int_eq(threads_join(list, &counting, NULL), 0);
    ck_assert_int_eq(threads_join(list, &counting, names), 0);
    tell_end(101, 510, "worker", 27, 4);
    tell_end(102, 1500, "worker", 5, 1);
    check_name("worker", 0, 20, 2);
    none();
    thread(100, 500, "main", 15, 1);
    take(); /* at 3000 */
    tell_end(103, 3500, "worker", 5, 1);
    check_name("worker", 0, 25, 3);
}
END_TEST

START_TEST(ends_without_room) {
    counting.threads = THREADS_MAX - 1;
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    take();
    ck_assert_uint_eq(counting.skipped, 1);
    tell_end(101, 510, "worker", 27, 4); /* nobody knows what was counted of it */
    check_name("worker", 0, 0, 0);
    counting.threads -= THREADS_MAX - 1;
}
END_TEST

/* ---- Groups ------------------------------------------------------------------------------- */

START_TEST(moves_to_another_group) {
    struct thread_names *other = thread_names_new(), *first = names;

    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    take();
    ck_assert_int_eq(threads_join(list, &counting, other), 0);
    check_name("worker", 0, 20, 2);
    none();
    thread(100, 500, "main", 15, 1);
    thread(101, 510, "worker", 26, 2);
    take();
    names = other;
    check_name("main", 1, 5, 0);
    check_name("worker", 1, 6, 0);
    thread_names_unref(first);
}
END_TEST

START_TEST(what_was_left_out_is_nobodys) {
    thread(100, 500, "main", 10, 1);
    take();
    ck_assert_int_eq(threads_join(list, &counting, NULL), 0);
    check_name("main", 0, 10, 1);
    ck_assert_int_eq(threads_join(list, &counting, names), 0);
    ck_assert(!list->whole);
    none();
    thread(100, 500, "main", 1000, 100);
    thread(101, 1500, "main", 1000, 100); /* of the meantime, too */
    take();
    check_name("main", 2, 10, 1);
    none();
    thread(100, 500, "main", 1001, 100);
    thread(101, 1500, "main", 1002, 100);
    take();
    check_name("main", 2, 13, 1);
}
END_TEST

/* ---- Names ---------------------------------------------------------------------------------- */

START_TEST(names_are_bounded) {
    char text[24];

    counting.max_names = 3;
    for (int i = 0; i < 60; i++) {
        snprintf(text, sizeof(text), "name-%d", i);
        thread(100 + (uint32_t)i, 500, text, 1, 1);
    }
    take();
    ck_assert_uint_eq(names->count, 3);
    check_name("name-2", 1, 1, 1);
    check_name("other", 57, 57, 57);
    /* once a name is gone there is room again, but who is in `other` stays there */
    none();
    for (int i = 1; i < 60; i++) {
        snprintf(text, sizeof(text), "name-%d", i);
        thread(100 + (uint32_t)i, 500, text, 2, 1);
    }
    take();
    thread_names_expire(names, 1000, 100);
    ck_assert_ptr_nonnull(name_of("name-0"));
    thread_names_expire(names, 1099, 100);
    ck_assert_ptr_nonnull(name_of("name-0"));
    thread_names_expire(names, 1100, 100);
    ck_assert_ptr_null(name_of("name-0"));
    thread(300, 2500, "another", 4, 1);
    take();
    check_name("another", 1, 4, 1);
    check_name("other", 57, 114, 57);
    ck_assert_int_eq(thread_names_order(names), 0);
    ck_assert_uint_eq(names->order_count, 4);
    for (size_t i = 1; i < names->order_count; i++)
        ck_assert_str_lt(names->items[names->order[i - 1]].text,
                         names->items[names->order[i]].text);
}
END_TEST

/* A thread for each request: at no look is there one, and there is always something new. */
START_TEST(what_is_used_between_looks_is_shown) {
    uint64_t now_ns = 1000;
    counting.ends_are_told = true;
    thread(100, 500, "main", 10, 1);
    take();
    for (uint64_t i = 1; i <= 10; i++) {
        tell_end(1000 + (uint32_t)i, moment.now_ticks, "request", 5, 1);
        thread_names_expire(names, now_ns, _i ? 100 : 0);
        check_name("request", 0, 5 * i, i);
        now_ns += 60;
    }
    thread_names_expire(names, now_ns, _i ? 100 : 0);
    ck_assert(!name_of("request") == !_i);
    thread_names_expire(names, now_ns + 100, _i ? 100 : 0);
    ck_assert_ptr_null(name_of("request"));
}
END_TEST

START_TEST(names_are_clean) {
    thread(100, 500, "a\nb\x1b", 1, 1);
    thread(101, 500, "\xff\xfe", 1, 1);
    thread(102, 500, "", 1, 1);
    thread(103, 500, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1, 1);
    take();
    check_name("a?b?", 1, 1, 1);
    check_name("\xef\xbf\xbd\xef\xbf\xbd", 1, 1, 1);
    check_name("unnamed", 1, 1, 1);
    ck_assert_uint_eq(names->count, 4);
}
END_TEST

START_TEST(numbers_fold) {
    static const struct {
        const char *from, *to;
    } cases[] = {{"pool-1-thread-37", "pool-N-thread-N"}, {"kworker/0:1H", "kworker/N:NH"},
                 {"main", "main"},                        {"7", "N"},
                 {"", ""},                                {"a1b22", "aNbN"}};

    for (int i = 0; i < COUNT(cases); i++) {
        char to[THREAD_NAME_MAX];
        size_t len = fold_thread_name(cases[i].from, strlen(cases[i].from), to);
        assert_bytes(to, len, cases[i].to, strlen(cases[i].to));
    }
    counting.folds = true;
    thread(100, 500, "w-1", 1, 1);
    thread(101, 500, "w-2", 2, 2);
    take();
    check_name("w-N", 2, 3, 3);
}
END_TEST

/* ---- When they are read ------------------------------------------------------------------------ */

START_TEST(due) {
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    ck_assert(threads_are_due(NULL, &process, true, 10));
    ck_assert(threads_are_due(list, &process, true, 10));
    take();
    ck_assert(!threads_are_due(list, &process, true, 20));
    ck_assert(threads_are_due(list, &process, false, 20));
    ck_assert(threads_are_due(list, &process, true, 100));
    process.value[FIELD_THREADS] = 3;
    ck_assert(threads_are_due(list, &process, true, 20));
    process.value[FIELD_THREADS] = 2;
    process.comm[0] = 'M';
    ck_assert(threads_are_due(list, &process, true, 20));
    process.comm[0] = 'm';
    list->behind = true;
    ck_assert(threads_are_due(list, &process, true, 20));
}
END_TEST

/* ---- Where they wait ---------------------------------------------------------------------------- */

/* Reads them all; how many there were to read. */
static size_t look(uint32_t pid, const char *channel) {
    size_t at = 0, count = 0;
    struct thread *found;

    while ((found = channels_next(list, &counting, pid, &at))) {
        ck_assert_int_eq(channels_set(list, &counting, found, channel, strlen(channel)), 0);
        count++;
    }
    return count;
}

static uint32_t waiting(const char *channel) {
    const struct thread_name *name = name_in(names->channels, channel);
    return name ? name->threads : 0;
}

START_TEST(channels_of_those_that_ran) {
    channels_begin(&counting);
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    take();
    ck_assert_uint_eq(look(100, "futex_wait"), 2);
    ck_assert_uint_eq(waiting("futex_wait"), 2);
    ck_assert_uint_eq(look(100, "nowhere"), 0);
    none(); /* one has run, the other has a new name and waits where it did */
    thread(100, 500, "main", 10, 2);
    thread(101, 510, "renamed", 20, 2);
    take();
    ck_assert_uint_eq(look(100, "do_poll"), 1);
    ck_assert_uint_eq(waiting("do_poll"), 1);
    ck_assert_uint_eq(waiting("futex_wait"), 1);
    none();
    thread(100, 500, "main", 11, 2);
    take();
    ck_assert_uint_eq(look(100, ""), 1); /* it runs */
    ck_assert_uint_eq(waiting("do_poll"), 0);
    ck_assert_uint_eq(waiting("futex_wait"), 0);
    thread_names_expire(names->channels, 1, 0);
    thread_names_expire(names->channels, 2, 0);
    ck_assert_uint_eq(names->channels->count, 0);
}
END_TEST

START_TEST(channels_move_with_the_group) {
    struct thread_names *other = thread_names_new(), *first = names;

    channels_begin(&counting);
    thread(100, 500, "main", 10, 1);
    take();
    look(100, "futex_wait");
    ck_assert_int_eq(threads_join(list, &counting, other), 0);
    ck_assert_uint_eq(waiting("futex_wait"), 0);
    names = other;
    ck_assert_uint_eq(look(100, "futex_wait"), 1);
    ck_assert_uint_eq(waiting("futex_wait"), 1);
    thread_names_unref(first);
}
END_TEST

/* Who is left out is the first the next time. */
START_TEST(channels_have_a_budget) {
    channels_begin(&counting);
    counting.channels_left = 1;
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    take();
    ck_assert_uint_eq(look(100, "a"), 1);
    ck_assert_uint_eq(counting.next_turn, 100);
    channels_begin(&counting);
    ck_assert_uint_eq(look(99, "b"), 0);
    ck_assert_uint_eq(look(100, "b"), 1);
    ck_assert_uint_eq(waiting("a") + waiting("b"), 2);
    channels_begin(&counting);
    ck_assert_uint_eq(counting.turn, 0);
}
END_TEST

/* ---- Limits ------------------------------------------------------------------------------------- */

START_TEST(no_room_for_threads) {
    counting.threads = THREADS_MAX - 1;
    thread(100, 500, "main", 10, 1);
    thread(101, 510, "worker", 20, 2);
    take();
    ck_assert_uint_eq(counting.skipped, 1);
    ck_assert(!list->whole); /* so that nobody takes the number for all */
    check_name("main", 1, 10, 1);
    counting.threads -= THREADS_MAX - 1;
}
END_TEST

/* Each with a name of its own. */
START_TEST(very_many) {
    enum { THREADS = 300000 };
    struct thread_sample *many = calloc(THREADS, sizeof(*many));

    ck_assert_ptr_nonnull(many);
    for (uint32_t i = 0; i < THREADS; i++) {
        many[i] = (struct thread_sample){.tid = i + 1, .start_ticks = 500};
        many[i].comm_len = (uint8_t)snprintf(many[i].comm, sizeof(many[i].comm), "t-%u", i);
        many[i].have = 1u << THREAD_UTIME_NS;
        many[i].value[THREAD_UTIME_NS] = 1;
    }
    samples.items = many;
    samples.count = THREADS;
    take();
    ck_assert_uint_eq(counting.threads, THREADS_MAX);
    ck_assert_uint_eq(counting.skipped, THREADS - THREADS_MAX);
    ck_assert_uint_eq(names->count, 50);
    check_name("other", THREADS_MAX - 50, THREADS_MAX - 50, 0);
    take(); /* nothing twice */
    check_name("other", THREADS_MAX - 50, THREADS_MAX - 50, 0);
    free(many);
}
END_TEST

START_TEST(out_of_memory) {
    bool done = false;

    for (long at = 1; !done; at++) {
        teardown();
        setup();
        thread(100, 500, "main", 10, 1);
        for (uint32_t i = 1; i < 20; i++)
            thread(100 + i, 500 + i, "worker", 20, 2);
        allocations = 0;
        fail_allocation_at = at;
        int r = threads_take(list, &counting, &process, &moment);
        done = r == 0;
        ck_assert(r == 0 || r == -ENOMEM);
        fail_allocation_at = 0;
        take(); /* once more: each is counted once */
        check_name("main", 1, 10, 1);
        check_name("worker", 19, 380, 38);
    }
}
END_TEST

/* ---- With a top ------------------------------------------------------------------------- */

static struct thread_name shown_of(const struct thread_names *in, const char *text) {
    const struct thread_name *name = name_in(in, text);
    return name ? *name : (struct thread_name){0};
}

START_TEST(given_to_the_rest) {
    struct thread_names *rest = thread_names_new();
    none();
    thread(100, 500, "main", 10, 1);
    thread(101, 500, "worker", 20, 2);
    thread(102, 500, "idle", 0, 0);
    take();
    names->unknown = 1;
    thread_names_shown(names);
    none();
    thread(100, 500, "main", 13, 1);
    thread(101, 500, "worker", 20, 2);
    take();
    ck_assert_int_eq(thread_names_give(names, rest, &counting, false), 0);
    ck_assert_uint_eq(rest->count, 1); /* of the others there is nothing to tell */
    ck_assert_uint_eq(shown_of(rest, "main").used[THREAD_UTIME_NS], 3);
    ck_assert_uint_eq(shown_of(rest, "main").hidden_threads, 0);
    check_name("main", 1, 10, 1);
    uint64_t value;
    ck_assert(thread_name_value(rest, &rest->items[0], METRIC_THREAD_CPU_USER, &value));
    ck_assert(!thread_name_value(rest, &rest->items[0], METRIC_THREAD_DISK_READ, &value));

    for (uint64_t twice = 0; twice < 2; twice++) {
        ck_assert_int_eq(thread_names_give(names, rest, &counting, true), 0);
        ck_assert_uint_eq(shown_of(rest, "main").hidden_threads, 1);
        ck_assert_uint_eq(shown_of(rest, "worker").hidden_threads, 1);
        ck_assert_uint_eq(shown_of(rest, "main").used[THREAD_UTIME_NS], 3);
        /* not every thread is known: neither is their number */
        ck_assert_uint_eq(rest->unknown, twice + 1);
        ck_assert(!thread_name_value(rest, &rest->items[0], METRIC_THREAD_COUNT, &value));
        /* who has hidden threads only stays */
        thread_names_expire(rest, 1, 0);
        thread_names_expire(rest, 2, 0);
        ck_assert_uint_eq(rest->count, 2);
        thread_names_unhide(rest);
    }
    thread_names_expire(rest, 3, 0);
    thread_names_expire(rest, 4, 0);
    ck_assert_uint_eq(rest->count, 0);
    thread_names_unref(rest);
}
END_TEST

START_TEST(the_rest_is_bounded_too) {
    struct thread_names *rest = thread_names_new();
    char name[16];
    none();
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "worker-%u", i);
        thread(100 + i, 500, name, 10, 1);
    }
    take();
    counting.max_names = 5;
    ck_assert_int_eq(thread_names_give(names, rest, &counting, true), 0);
    ck_assert_uint_eq(rest->count, 5);
    ck_assert_uint_eq(shown_of(rest, OTHER_THREADS).used[THREAD_UTIME_NS], 150);
    ck_assert_uint_eq(shown_of(rest, OTHER_THREADS).hidden_threads, 15);
    thread_names_unref(rest);
}
END_TEST

START_TEST(channels_of_the_rest) {
    struct thread_names *rest = thread_names_new();
    none();
    thread(100, 500, "main", 10, 1);
    thread(101, 500, "worker", 20, 2);
    take();
    channels_begin(&counting);
    look(100, "futex_wait");
    ck_assert_int_eq(thread_names_give(names, rest, &counting, true), 0);
    ck_assert_uint_eq(shown_of(rest->channels, "futex_wait").hidden_threads, 2);
    uint64_t value;
    ck_assert(thread_name_value(rest->channels, &rest->channels->items[0], METRIC_WAIT_CHANNEL,
                                &value));
    ck_assert_uint_eq(value, 2);
    thread_names_unhide(rest);
    ck_assert_uint_eq(shown_of(rest->channels, "futex_wait").hidden_threads, 0);
    thread_names_unref(rest);
}
END_TEST

START_TEST(given_without_memory) {
    for (int at = 1, r = -ENOMEM; r < 0; at++) {
        struct thread_names *rest = thread_names_new();
        char name[16];
        none();
        for (uint32_t i = 0; i < 9; i++) {
            snprintf(name, sizeof(name), "worker-%u", i);
            thread(100 + i, 500, name, 10 * (uint64_t)at, 1);
        }
        take();
        channels_begin(&counting);
        look(100, "futex_wait");
        allocations = 0;
        fail_allocation_at = at;
        r = thread_names_give(names, rest, &counting, true);
        fail_allocation_at = 0;
        ck_assert(r == 0 || r == -ENOMEM);
        ck_assert(r == 0 || allocations == at);
        thread_names_unhide(rest);
        ck_assert_int_eq(thread_names_give(names, rest, &counting, true), 0);
        for (uint32_t i = 0; i < 9; i++) { /* each once */
            snprintf(name, sizeof(name), "worker-%u", i);
            ck_assert_uint_eq(shown_of(rest, name).used[THREAD_UTIME_NS], 10);
            ck_assert_uint_eq(shown_of(rest, name).hidden_threads, 1);
        }
        ck_assert_uint_eq(shown_of(rest->channels, "futex_wait").hidden_threads, 9);
        thread_names_unref(rest);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("thread_names");
    TCase *c = add_case(s, "use");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, increases_add_up);
    tcase_add_test(c, ended_ones_stay_counted);
    tcase_add_test(c, a_renamed_one_goes_on_elsewhere);
    tcase_add_test(c, history_is_not_ours);
    tcase_add_test(c, lower_is_another);
    tcase_add_test(c, exact_time_is_divided);
    tcase_add_test(c, in_parts);
    c = add_case(s, "ends");
    tcase_add_checked_fixture(c, setup_told, teardown);
    tcase_add_test(c, to_its_end);
    tcase_add_test(c, renamed_before_its_end);
    tcase_add_test(c, never_read);
    tcase_add_test(c, history_that_ends);
    tcase_add_test(c, told_too_late);
    tcase_add_test(c, ends_of_a_gone_process);
    tcase_add_test(c, left_out_in_between);
    tcase_add_test(c, ends_without_room);
    c = add_case(s, "groups");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, moves_to_another_group);
    tcase_add_test(c, what_was_left_out_is_nobodys);
    c = add_case(s, "names");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, names_are_bounded);
    tcase_add_loop_test(c, what_is_used_between_looks_is_shown, 0, 2);
    tcase_add_test(c, names_are_clean);
    tcase_add_test(c, numbers_fold);
    tcase_add_test(c, due);
    c = add_case(s, "channels");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, channels_of_those_that_ran);
    tcase_add_test(c, channels_move_with_the_group);
    tcase_add_test(c, channels_have_a_budget);
    c = add_case(s, "top");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, given_to_the_rest);
    tcase_add_test(c, the_rest_is_bounded_too);
    tcase_add_test(c, channels_of_the_rest);
    tcase_add_test(c, given_without_memory);
    c = add_case(s, "limits");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, no_room_for_threads);
    tcase_add_test(c, very_many);
    tcase_add_test(c, out_of_memory);
    return run_suite(s);
}
