/* SPDX-License-Identifier: MIT */
/* A top of groups: which are shown, that they do not come and go, and that nothing is lost
 * or counted twice whatever comes and goes. */
#include "count/top.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tallies tallies;
static struct tallies_moment moment;

static void open_top(size_t top, enum top_by by, size_t limit) {
    ck_assert_int_eq(tallies_init(&tallies, limit, (1u << COLLECTS) - 1, 0), 0);
    tallies.top = top;
    tallies.top_by = by;
    moment = (struct tallies_moment){
        .now_ns = NS_PER_S, .interval_ns = 10 * NS_PER_S, .cpus = 1,
        .expire_after_ns = UINT64_MAX};
}

static void setup(void) {
    open_top(2, TOP_BY_CPU, 1000);
}

static void teardown(void) {
    fail_allocation_at = 0;
    tallies_clear(&tallies);
}

static struct group *group_as(const char *name, bool literal, uint32_t pid) {
    const struct group_owner owner = {pid, pid ? 1000 : 0};
    uint32_t index;
    ck_assert_int_eq(tallies_group(&tallies, (struct text){name, strlen(name)}, NULL, literal,
                                   owner, &index), 0);
    return tallies.groups[index];
}

static struct group *group(const char *name) {
    return group_as(name, false, 0);
}

static void use_cpu(const char *name, uint64_t ns) {
    tallies_credit(&tallies, group(name)->index, FIELD_UTIME_NS, ns);
}

static void member(const char *name, uint64_t rss) {
    struct sample s = {.pid = 1, .state = 'S'};
    sample_set(&s, FIELD_RSS_BYTES, rss);
    sample_set(&s, FIELD_NICE, (uint64_t)(int64_t)(rss % 2 ? -5 : 0));
    tallies_member(&tallies, group(name)->index, &s, 1000 + rss);
}

/* The whole of what is shown of a collection. */
static void show(void) {
    ck_assert_int_eq(top_choose(&tallies), 0);
    tallies_end(&tallies, &moment);
    tallies_expire(&tallies, &moment);
    ck_assert_int_eq(tallies_order(&tallies, 50), 0);
    tallies_shown(&tallies);
    moment.now_ns += 10 * NS_PER_S;
}

static const struct group *shown(const char *name) {
    for (size_t i = 0; i < tallies.order_count; i++)
        if (strcmp(tallies.order[i]->texts->name, name) == 0)
            return tallies.order[i];
    return NULL;
}

static uint64_t cpu_of(const char *name) {
    const struct group *g = shown(name);
    ck_assert_msg(g, "%s is not shown", name);
    return g->value[METRIC_CPU_USER];
}

static void next(void) {
    tallies_begin(&tallies);
}

/* ---- Who is shown ----------------------------------------------------------------------- */

START_TEST(the_first_ones_are_shown_and_the_rest_added_up) {
    use_cpu("a", 50);
    use_cpu("b", 40);
    use_cpu("c", 30);
    use_cpu("d", 20);
    show();
    ck_assert(shown("a") && shown("b") && !shown("c") && !shown("d"));
    ck_assert_uint_eq(tallies.order_count, 3);
    ck_assert_uint_eq(cpu_of("a"), 50);
    ck_assert_uint_eq(cpu_of("b"), 40);
    ck_assert_uint_eq(cpu_of("other"), 50);
    /* who is hidden is where the rest is */
    ck_assert_uint_eq(tallies_position(&tallies, group("c")->index),
                      tallies_position(&tallies, tallies.other));
    ck_assert_uint_ne(tallies_position(&tallies, tallies.other), TALLY_NO_GROUP);
}
END_TEST

START_TEST(literal_groups_take_no_place) {
    group_as("web", true, 0);
    use_cpu("a", 50);
    use_cpu("b", 40);
    use_cpu("c", 30);
    show();
    ck_assert(shown("web") && shown("a") && shown("b") && !shown("c"));
}
END_TEST

START_TEST(gauges_of_the_rest) {
    tallies_clear(&tallies);
    open_top(1, TOP_BY_MEMORY, 1000);
    next();
    member("a", 500);
    member("b", 300);
    member("b", 101);
    member("c", 200);
    group("d");
    use_cpu("b", 2 * NS_PER_S);
    use_cpu("c", 1 * NS_PER_S);
    show();
    const struct group *other = shown("other");
    ck_assert_ptr_nonnull(other);
    ck_assert(shown("a") && !shown("b") && !shown("c"));
    ck_assert_uint_eq(other->value[METRIC_RSS], 601);
    ck_assert_uint_eq(other->value[METRIC_PROCESSES], 3);
    ck_assert_uint_eq(other->value[METRIC_STATE_SLEEPING], 3);
    ck_assert_int_eq((int64_t)other->value[METRIC_NICE], -5);
    ck_assert_uint_eq(other->value[METRIC_START_TIME], 1101);
    ck_assert_uint_eq(other->value[METRIC_CPU_USAGE], 300000000);
    ck_assert(other->known & METRIC_SET(METRIC_RSS) && other->known & METRIC_SET(METRIC_NICE));
    ck_assert(!(other->known & METRIC_SET(METRIC_SWAP))); /* nobody could tell */
    next();
    show();
    ck_assert_uint_eq(shown("other")->value[METRIC_RSS], 0);
    ck_assert_uint_eq(shown("other")->value[METRIC_CPU_USAGE], 0);
}
END_TEST

START_TEST(by_io_and_by_traffic) {
    static const enum field io[] = {FIELD_DISK_READ_BYTES, FIELD_DISK_WRITTEN_BYTES};
    tallies_clear(&tallies);
    open_top(1, TOP_BY_IO, 1000);
    use_cpu("busy", 1000);
    tallies_credit(&tallies, group("disk")->index, io[_i], 1);
    show();
    ck_assert(shown("disk") && !shown("busy"));
    tallies_clear(&tallies);
    open_top(1, TOP_BY_NETWORK, 1000);
    use_cpu("busy", 1000);
    tallies_add(&tallies, group("net")->index,
                _i ? METRIC_TRANSMITTED_BYTES_UDP : METRIC_RECEIVED_BYTES_TCP, 7);
    show();
    ck_assert(shown("net") && !shown("busy"));
}
END_TEST

/* max-groups is the most that are shown, too; processes are groups like others. */
START_TEST(a_top_of_processes) {
    tallies_clear(&tallies);
    open_top(10, TOP_BY_CPU, 4);
    for (uint32_t pid = 1; pid <= 20; pid++) {
        char name[8];
        snprintf(name, sizeof(name), "p%02u", pid);
        tallies_credit(&tallies, group_as(name, false, pid)->index, FIELD_UTIME_NS, pid);
    }
    show();
    ck_assert_uint_eq(tallies.order_count, 5);
    ck_assert(shown("p20") && shown("p17"));
    ck_assert_uint_eq(cpu_of("other"), 16 * 17 / 2);
}
END_TEST

/* ---- Coming and going --------------------------------------------------------------------- */

/* The increase of a group that was hidden until now, or is from now on, is not in its own
 * series: rate() would not see it there. */
START_TEST(a_group_goes_and_comes_back) {
    use_cpu("a", 50);
    use_cpu("b", 40);
    show();
    ck_assert_uint_eq(cpu_of("other"), 0);
    next();
    use_cpu("c", 1000);
    use_cpu("d", 900);
    use_cpu("e", 800);
    use_cpu("b", 3);
    show();
    ck_assert(shown("c") && shown("d") && !shown("e") && !shown("b") && !shown("a"));
    ck_assert_uint_eq(cpu_of("c"), 1000);
    ck_assert_uint_eq(cpu_of("other"), 803);
    next();
    use_cpu("b", 500000);
    use_cpu("c", 5000);
    use_cpu("a", 2);
    show();
    ck_assert_uint_eq(cpu_of("b"), 40); /* as it was last shown */
    ck_assert_uint_eq(cpu_of("c"), 6000);
    ck_assert_uint_eq(cpu_of("other"), 803 + 500000 + 2);
    next();
    use_cpu("b", 7);
    show();
    ck_assert_uint_eq(cpu_of("b"), 47);
}
END_TEST

START_TEST(equal_groups_do_not_come_and_go) {
    for (int round = 0; round < 20; round++) {
        next();
        for (int i = 0; i < 10; i++) {
            char name[4] = {'a', (char)('0' + (i + round) % 10), 0};
            use_cpu(name, 100);
        }
        show();
        ck_assert_uint_eq(tallies.order_count, 3);
        ck_assert(shown("a0") && shown("a1"));
    }
}
END_TEST

/* Two change places again and again: both stay. */
START_TEST(a_quarter_of_patience) {
    tallies_clear(&tallies);
    open_top(4, TOP_BY_MEMORY, 1000);
    for (int round = 0; round < 10; round++) {
        next();
        member("a", 900);
        member("b", 800);
        member("c", 700);
        member("d", round % 2 ? 500 : 400);
        member("e", round % 2 ? 400 : 500);
        member("f", 10);
        show();
        ck_assert(shown("a") && shown("b") && shown("c") && !shown("f"));
        ck_assert(shown(round % 2 ? "d" : "e"));
        if (round > 0)
            ck_assert(shown("d") && shown("e"));
    }
    next();
    member("g", 600);
    member("h", 600);
    for (char name[2] = "a"; *name <= 'c'; (*name)++)
        member(name, 1000);
    show();
    ck_assert(!shown("e") && !shown("d")); /* clearly out */
}
END_TEST

/* What was used in one interval only is soon forgotten, and one lull is none. */
START_TEST(use_is_remembered_for_a_while) {
    tallies_clear(&tallies);
    open_top(1, TOP_BY_CPU, 1000);
    use_cpu("steady", 100);
    show();
    for (int i = 0; i < 4; i++) {
        next();
        use_cpu("steady", 100);
        show();
    }
    next();
    use_cpu("one", 60);
    use_cpu("two", 50);
    show(); /* it paused */
    ck_assert(shown("steady"));
    for (int i = 0; i < 10; i++) {
        next();
        use_cpu("one", 60);
        use_cpu("two", 50);
        show();
    }
    ck_assert(!shown("steady") && shown("one"));
}
END_TEST

START_TEST(a_group_that_ends_leaves_all_behind) {
    use_cpu("a", 50);
    use_cpu("b", 40);
    use_cpu("c", 1);
    show();
    next();
    use_cpu("c", 5);
    tallies_credit(&tallies, group_as("p", false, 9)->index, FIELD_UTIME_NS, 7);
    /* its number is given to another in the middle of it */
    ck_assert(tallies_retire(&tallies, group_as("p", false, 9)->index,
                             (struct group_owner){9, 1000}));
    show();
    ck_assert_uint_eq(cpu_of("other"), 13);
    moment.expire_after_ns = 10 * NS_PER_S;
    next();
    show();
    ck_assert_uint_eq(tallies.order_count, 1);
    ck_assert_uint_eq(cpu_of("other"), 13);
}
END_TEST

/* Without memory nothing is changed, and the next time all is there. */
START_TEST(without_memory) {
    for (int at = 1; at < 6; at++) {
        use_cpu("a", 50);
        use_cpu("b", 40);
        use_cpu("c", 30);
        allocations = 0;
        fail_allocation_at = at;
        const int r = top_choose(&tallies);
        const bool failed = allocations >= at;
        fail_allocation_at = 0;
        ck_assert_int_eq(r, failed ? -ENOMEM : 0);
        show();
        ck_assert_uint_eq(cpu_of("other"), 30);
        teardown();
        setup();
    }
}
END_TEST

/* ---- Anything ------------------------------------------------------------------------------- */

#define NAMES 12

/* What a reader of the series sees. */
struct seen {
    bool before, now;
    uint64_t value_before, value_now;
};

static void look(struct seen *seen, const char *name) {
    const struct group *g = shown(name);
    seen->before = seen->now;
    seen->value_before = seen->value_now;
    seen->now = g != NULL;
    if (!g)
        return;
    ck_assert_uint_ge(g->value[METRIC_CPU_USER], seen->value_now);
    seen->value_now = g->value[METRIC_CPU_USER];
}

START_TEST(whatever_happens_it_adds_up) {
    uint64_t whole = 0, truth[NAMES] = {0};
    struct seen seen[NAMES + 1] = {0};
    srandom((unsigned)_i);
    tallies_clear(&tallies);
    open_top(1 + (size_t)_i % 5, TOP_BY_CPU, 1000);
    for (int round = 0; round < 60; round++) {
        uint64_t sum = 0;
        next();
        for (int use = 0; use < 8; use++) {
            const size_t i = (size_t)random() % NAMES;
            const uint64_t ns = (uint64_t)random() % 3 ? (uint64_t)random() % 1000 : 0;
            const char name[2] = {(char)('a' + i), 0};
            use_cpu(name, ns);
            truth[i] += ns;
            whole += ns;
        }
        if (random() % 4 == 0) /* one that is not shown */
            continue;
        if (random() % 8 == 0) { /* one that failed when it had chosen already */
            ck_assert_int_eq(top_choose(&tallies), 0);
            tallies_begin(&tallies);
        }
        show();
        ck_assert_uint_le(tallies.order_count - 1, tallies.top + (tallies.top + 3) / 4);
        for (size_t i = 0; i <= NAMES; i++) {
            const char name[2] = {(char)('a' + i), 0};
            look(&seen[i], i < NAMES ? name : "other");
            sum += seen[i].now ? seen[i].value_now : 0;
            ck_assert(i == NAMES || !seen[i].now || seen[i].value_now <= truth[i]);
        }
        /* all that is shown, and what those that are hidden have kept from when they were */
        for (size_t i = 0; i < NAMES; i++)
            if (!seen[i].now)
                sum += seen[i].value_now;
        ck_assert_uint_eq(sum, whole);
    }
}
END_TEST

/* The rates of all series add up to the rate of the whole. */
START_TEST(rates_add_up) {
    struct seen seen[NAMES + 1] = {0};
    srandom((unsigned)_i + 1000);
    for (int round = 0; round < 60; round++) {
        uint64_t whole = 0, rates = 0;
        next();
        for (size_t i = 0; i < NAMES; i++) {
            const uint64_t ns = round && random() % 2 ? (uint64_t)random() % 1000 : 0;
            const char name[2] = {(char)('a' + i), 0};
            use_cpu(name, ns);
            whole += ns;
        }
        show();
        for (size_t i = 0; i <= NAMES; i++) {
            const char name[2] = {(char)('a' + i), 0};
            look(&seen[i], i < NAMES ? name : "other");
            if (seen[i].before && seen[i].now)
                rates += seen[i].value_now - seen[i].value_before;
        }
        ck_assert_uint_eq(rates, whole);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("top");
    TCase *tc = add_case(suite, "top");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_first_ones_are_shown_and_the_rest_added_up);
    tcase_add_test(tc, literal_groups_take_no_place);
    tcase_add_test(tc, gauges_of_the_rest);
    tcase_add_loop_test(tc, by_io_and_by_traffic, 0, 2);
    tcase_add_test(tc, a_top_of_processes);
    tcase_add_test(tc, a_group_goes_and_comes_back);
    tcase_add_test(tc, equal_groups_do_not_come_and_go);
    tcase_add_test(tc, a_quarter_of_patience);
    tcase_add_test(tc, use_is_remembered_for_a_while);
    tcase_add_test(tc, a_group_that_ends_leaves_all_behind);
    tcase_add_test(tc, without_memory);
    tcase_add_loop_test(tc, whatever_happens_it_adds_up, 0, 40);
    tcase_add_loop_test(tc, rates_add_up, 0, 40);
    return run_suite(suite);
}
