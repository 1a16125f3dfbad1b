/* SPDX-License-Identifier: MIT */
/* Groups: how they come and go, what their members add up to, and what is known of a
 * group that has none. */
#include "count/tallies.h"

#include "failing_memory.h"
#include "settings.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Help --------------------------------------------------------------------------- */

#define ALL_ORIGINS ((1u << ORIGINS) - 1)

static struct tallies tallies;
static struct tallies_moment moment;

static void open_tallies(size_t limit) {
    ck_assert_int_eq(tallies_init(&tallies, limit, (1u << COLLECTS) - 1, ALL_ORIGINS), 0);
    moment = (struct tallies_moment){
        .interval_ns = 10 * NS_PER_S, .cpus = 1, .expire_after_ns = 60 * NS_PER_S};
}

static void setup(void) {
    open_tallies(1000);
}

static void teardown(void) {
    fail_allocation_at = 0;
    tallies_clear(&tallies);
}

static struct text text_of(const char *s) {
    return (struct text){s, strlen(s)};
}

static struct group_owner owner(uint32_t pid) {
    return (struct group_owner){pid, pid ? 1000 : 0};
}

static struct group *group_of(const char *name, struct group_owner of) {
    uint32_t index = 12345;

    ck_assert_int_eq(tallies_group(&tallies, text_of(name), NULL, false, of, &index), 0);
    ck_assert_uint_lt(index, tallies.end);
    ck_assert_uint_eq(tallies.groups[index]->index, index);
    return tallies.groups[index];
}

static struct group *owned_group(const char *name, uint32_t pid) {
    return group_of(name, owner(pid));
}

static struct group *group(const char *name) {
    return owned_group(name, 0);
}

static const struct group *shown(const char *name) {
    for (size_t i = 0; i < tallies.order_count; i++)
        if (strcmp(tallies.order[i]->texts->name, name) == 0)
            return tallies.order[i];
    return NULL;
}

/* The one before was shown. */
static void begin(void) {
    tallies_shown(&tallies);
    tallies_begin(&tallies);
}

static void end(void) {
    tallies_end(&tallies, &moment);
}

static void member(struct group *g, const struct sample *s) {
    tallies_member(&tallies, g->index, s, 1);
}

static bool is_known(const struct group *g, enum metric m) {
    return g->known & METRIC_SET(m);
}

static void assert_value(const struct group *g, enum metric m, uint64_t value) {
    ck_assert_msg(is_known(g, m), "%s is absent", metric_table[m].metric.id);
    ck_assert_msg(g->value[m] == value, "%s is %llu, expected %llu", metric_table[m].metric.id,
                  (unsigned long long)g->value[m], (unsigned long long)value);
}

static void assert_absent(const struct group *g, enum metric m) {
    ck_assert_msg(!is_known(g, m), "%s is there: %llu", metric_table[m].metric.id,
                  (unsigned long long)g->value[m]);
}

/* ---- Names and labels ------------------------------------------------------------------ */

START_TEST(a_name_is_a_group) {
    struct group *a = group("a"), *b = group("b");

    ck_assert_ptr_ne(a, b);
    ck_assert_ptr_eq(group("a"), a);
    ck_assert_str_eq(a->texts->name, "a");
    ck_assert_uint_ne(a->index, GROUP_LEFT_OUT);
    ck_assert_uint_ne(b->index, GROUP_LEFT_OUT);
    ck_assert_uint_eq(tallies.count, 2);
}
END_TEST

START_TEST(equal_after_cleaning) {
    struct group *g = group("a\x01z");

    ck_assert_str_eq(g->texts->name, "a?z");
    ck_assert_ptr_eq(group("a\x02z"), g);
    ck_assert_ptr_eq(group("a?z"), g);
    g = group("\xff");
    ck_assert_ptr_eq(group("\x80"), g);
    ck_assert_uint_eq(tallies.count, 2);
    /* without a name */
    ck_assert_str_eq(group("")->texts->name, "unnamed");
}
END_TEST

START_TEST(long_names) {
    char name[2 * GROUP_NAME_MAX + 1];

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    name[GROUP_NAME_MAX - 1] = '\\'; /* the last that is kept */
    const char *got = group(name)->texts->name;
    ck_assert_uint_eq(strlen(got), GROUP_NAME_MAX);
    ck_assert_int_eq(got[GROUP_NAME_MAX - 1], '?');
}
END_TEST

/* Those of the first call; no agent tells an empty one from none. */
START_TEST(labels_of_the_first_call) {
    char value[] = "fra1\n";
    struct group_labels first = {3, {{"dc", {value, 5}}, {"none", {"", 0}}, {"x", {"y", 1}}}};
    struct group_labels second = {1, {{"dc", {"other", 5}}}};
    uint32_t index, again;

    ck_assert_int_eq(tallies_group(&tallies, text_of("a"), &first, false, NO_OWNER, &index), 0);
    memset(value, 'z', 4); /* it was copied */
    ck_assert_int_eq(tallies_group(&tallies, text_of("a"), &second, false, NO_OWNER, &again), 0);
    ck_assert_uint_eq(again, index);
    const struct group *g = tallies.groups[index];
    ck_assert_uint_eq(g->texts->label_count, 2);
    ck_assert_str_eq(g->texts->labels[0].key, "dc");
    ck_assert_str_eq(g->texts->labels[0].value, "fra1?");
    ck_assert_str_eq(g->texts->labels[1].key, "x");
    ck_assert_str_eq(g->texts->labels[1].value, "y");
}
END_TEST

/* ---- The number of groups ----------------------------------------------------------------- */

static struct group *group_number(int i) {
    char name[24];

    snprintf(name, sizeof(name), "name-%d", i);
    return group(name);
}

START_TEST(ten_thousand_names) {
    uint32_t index;

    teardown();
    open_tallies(100);
    ck_assert_int_eq(tallies_group(&tallies, text_of("always"), NULL, true, NO_OWNER, &index), 0);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 10000; i++) {
            const struct group *g = group_number(i);
            char name[24];

            snprintf(name, sizeof(name), "name-%d", i);
            /* one place is taken by the literal group */
            ck_assert_str_eq(g->texts->name, i < 99 ? name : "other");
        }
    ck_assert_uint_eq(tallies.count, 100);
    ck_assert_uint_eq(tallies.refused.names, 9901);
    /* a process that calls itself so is in it too, and did not overflow */
    ck_assert_str_eq(group("other")->texts->name, "other");
    ck_assert_uint_eq(tallies.refused.names, 9901);
    ck_assert_str_eq(group("always")->texts->name, "always");

    begin();
    end();
    ck_assert_int_eq(tallies_order(&tallies, 50), 0);
    ck_assert_uint_eq(tallies.order_count, 101);
    for (size_t i = 1; i < tallies.order_count; i++)
        ck_assert_str_lt(tallies.order[i - 1]->texts->name, tallies.order[i]->texts->name);
}
END_TEST

/* It is there as soon as somebody calls himself so, and takes nobody's place. */
START_TEST(a_process_called_other) {
    struct group *g = group("other");

    ck_assert(g->literal);
    ck_assert_uint_eq(g->index, tallies.other);
    ck_assert_uint_eq(tallies.count, 0);
    ck_assert_uint_eq(tallies.refused.names, 0);
    ck_assert_ptr_eq(owned_group("other", 42), g); /* it is nobody's own */
    ck_assert_uint_eq(g->owner.pid, 0);
}
END_TEST

/* 64 Ki names are told apart; then the count stands still. */
START_TEST(refused_names_are_counted_once) {
    refused_note_hash(&tallies.refused, 5);
    refused_note_hash(&tallies.refused, 5 + REFUSED_SLOTS); /* would stand in the same place */
    refused_note_hash(&tallies.refused, 5);
    refused_note_hash(&tallies.refused, 5 + REFUSED_SLOTS);
    ck_assert_uint_eq(tallies.refused.names, 2);
    for (uint64_t hash = 1; hash <= REFUSED_SLOTS; hash++)
        refused_note_hash(&tallies.refused, hash * 3);
    ck_assert_uint_eq(tallies.refused.names, REFUSED_SLOTS / 2);
    refused_note_hash(&tallies.refused, 5);
    ck_assert_uint_eq(tallies.refused.names, REFUSED_SLOTS / 2);
}
END_TEST

START_TEST(places_are_given_out_again) {
    struct group *groups[5];
    uint32_t indices[5];

    for (int i = 0; i < 5; i++) {
        groups[i] = owned_group((char[]){(char)('a' + i), '\0'}, 100 + (uint32_t)i);
        indices[i] = groups[i]->index;
    }
    ck_assert(tallies_retire(&tallies, indices[3], owner(103)));
    ck_assert(tallies_retire(&tallies, indices[1], owner(101)));
    ck_assert_uint_eq(tallies.count, 3);
    /* the lowest first, and without anything of who had it before */
    struct group *g = group("new");
    ck_assert_uint_eq(g->index, indices[1]);
    ck_assert_uint_eq(g->owner.pid, 0);
    ck_assert_uint_eq(group("newer")->index, indices[3]);
    ck_assert_uint_eq(group("newest")->index, indices[4] + 1);
    ck_assert_ptr_eq(group("e"), groups[4]);
}
END_TEST

/* ---- A process's own group ------------------------------------------------------------------ */

START_TEST(retired_by_its_owner_alone) {
    struct group *own = owned_group("42", 42), *anybodys = group("a");

    ck_assert(!tallies_retire(&tallies, own->index, owner(43)));
    ck_assert(!tallies_retire(&tallies, anybodys->index, owner(42)));
    ck_assert_uint_eq(tallies.count, 2);
    uint32_t index = own->index;
    ck_assert(tallies_retire(&tallies, index, owner(42)));
    ck_assert_ptr_null(tallies.groups[index]);
    ck_assert_uint_eq(tallies.count, 1);
    /* the name is free for the next */
    ck_assert_uint_eq(owned_group("42", 43)->owner.pid, 43);
}
END_TEST

/* The pid is another process's now: its group begins anew. The one before comes too late. */
START_TEST(a_later_incarnation_takes_the_name) {
    const struct group_owner before = {42, 1000}, after = {42, 2000};
    struct group *g = group_of("42", before);

    tallies_credit(&tallies, g->index, FIELD_UTIME_NS, 7);
    ck_assert_ptr_eq(group_of("42", before), g);
    g = group_of("42", after);
    ck_assert_uint_eq(g->value[METRIC_CPU_USER], 0);
    ck_assert_uint_eq(g->owner.start_ticks, 2000);
    ck_assert_uint_eq(tallies.count, 1);
    ck_assert_uint_eq(tallies.own_count, 1);
    ck_assert(!tallies_retire(&tallies, g->index, before));
    ck_assert_str_eq(group_of("42", before)->texts->name, "other");
    ck_assert_uint_eq(g->owner.start_ticks, 2000);
}
END_TEST

/* Those of processes and those of rules do not take each other's places. */
START_TEST(own_groups_are_counted_apart) {
    tallies_clear(&tallies);
    open_tallies(2);
    for (uint32_t pid = 1; pid <= 9; pid++)
        owned_group((char[]){(char)('0' + pid), '\0'}, pid);
    ck_assert_str_eq(group("a")->texts->name, "a");
    /* a rule's name now: one more of its kind */
    ck_assert_str_eq(group("9")->texts->name, "9");
    ck_assert_uint_eq(tallies.own_count, 8);
    ck_assert_uint_eq(tallies.count, 10);
    ck_assert_str_eq(group("b")->texts->name, "other");
    ck_assert_str_eq(group("8")->texts->name, "other");
    ck_assert_uint_eq(tallies.refused.names, 2);
    ck_assert_str_eq(owned_group("x", 77)->texts->name, "x");
    /* and no room is left to show single ones */
    begin();
    end();
    ck_assert_int_eq(tallies_order(&tallies, 50), 0);
    ck_assert_uint_eq(tallies.order_count, 3);
    ck_assert(tallies_retire(&tallies, owned_group("1", 1)->index, owner(1)));
    ck_assert_uint_eq(tallies.own_count, 8);
}
END_TEST

/* Two processes whose own groups would have one name. */
START_TEST(what_belongs_to_another_is_others) {
    struct group *own = owned_group("x", 42);

    ck_assert_ptr_eq(owned_group("x", 42), own);
    ck_assert_str_eq(owned_group("x", 43)->texts->name, "other");
    ck_assert_str_eq(owned_group("x", 43)->texts->name, "other");
    ck_assert_uint_eq(tallies.refused.names, 1);
    ck_assert_uint_eq(own->owner.pid, 42);
    /* a rule may give it to anybody; from then on it is nobody's own */
    ck_assert_ptr_eq(group("x"), own);
    ck_assert_uint_eq(own->owner.pid, 0);
    ck_assert_str_eq(owned_group("x", 42)->texts->name, "other");
}
END_TEST

/* ---- Gauges ---------------------------------------------------------------------------------- */

START_TEST(sums_over_members) {
    static const struct {
        enum field field;
        enum metric metric;
    } sums[] = {
        {FIELD_THREADS, METRIC_THREADS},       {FIELD_THREADS_RUNNING, METRIC_THREADS_RUNNING},
        {FIELD_RSS_BYTES, METRIC_RSS},         {FIELD_VMS_BYTES, METRIC_VMS},
        {FIELD_SWAP_BYTES, METRIC_SWAP},       {FIELD_DATA_BYTES, METRIC_DATA},
        {FIELD_STACK_BYTES, METRIC_STACK},     {FIELD_CODE_BYTES, METRIC_CODE},
        {FIELD_OPEN_FDS, METRIC_OPEN_FDS},     {FIELD_FOOTPRINT_BYTES, METRIC_FOOTPRINT},
        {FIELD_SHARED_BYTES, METRIC_SHARED},   {FIELD_SHMEM_BYTES, METRIC_SHMEM},
        {FIELD_LOCKED_BYTES, METRIC_LOCKED},   {FIELD_PAGE_TABLE_BYTES, METRIC_PAGE_TABLES},
    };
    struct sample a = {.state = 'S'}, b = {.state = 'S'};
    struct group *g = group("g");

    for (int i = 0; i < COUNT(sums); i++) {
        sample_set(&a, sums[i].field, 100 + (uint64_t)i);
        sample_set(&b, sums[i].field, 1000);
    }
    for (int round = 0; round < 2; round++) { /* the second does not add to the first */
        begin();
        member(g, &a);
        member(g, &b);
        member(g, &(struct sample){.state = 'S'}); /* of which nothing could be read */
        end();
        assert_value(g, METRIC_PROCESSES, 3);
        for (int i = 0; i < COUNT(sums); i++)
            assert_value(g, sums[i].metric, 1100 + (uint64_t)i);
    }
    begin();
    member(g, &(struct sample){.state = 'S'});
    end();
    for (int i = 0; i < COUNT(sums); i++)
        assert_absent(g, sums[i].metric);
}
END_TEST

START_TEST(extremes) {
    struct sample a = {.state = 'S'}, b = {.state = 'S'};
    struct group *g = group("g");

    sample_set(&a, FIELD_PRIORITY, 20);
    sample_set(&a, FIELD_NICE, 0);
    sample_set(&b, FIELD_PRIORITY, (uint64_t)INT64_C(-51)); /* a real-time process */
    sample_set(&b, FIELD_NICE, (uint64_t)INT64_C(-20));
    for (int turned = 0; turned < 2; turned++) {
        begin();
        tallies_member(&tallies, g->index, turned ? &b : &a, turned ? 700 : 900);
        tallies_member(&tallies, g->index, turned ? &a : &b, turned ? 900 : 700);
        end();
        assert_value(g, METRIC_PRIORITY, (uint64_t)INT64_C(-51));
        assert_value(g, METRIC_NICE, (uint64_t)INT64_C(-20));
        assert_value(g, METRIC_START_TIME, 700);
    }
    /* not kept from before: the lowest of those that are there now */
    begin();
    tallies_member(&tallies, g->index, &a, 900);
    end();
    assert_value(g, METRIC_PRIORITY, 20);
    assert_value(g, METRIC_START_TIME, 900);
}
END_TEST

/* Where priorities go the other way the highest is the most favoured. */
START_TEST(priorities_that_go_up) {
    struct sample a = {.state = 'S'}, b = {.state = 'S'};
    struct group *g = group("g");

    sample_set(&a, FIELD_PRIORITY_UP, 31);
    sample_set(&b, FIELD_PRIORITY_UP, 4);
    for (int turned = 0; turned < 2; turned++) {
        begin();
        member(g, turned ? &b : &a);
        member(g, turned ? &a : &b);
        end();
        assert_value(g, METRIC_PRIORITY, 31);
    }
}
END_TEST

START_TEST(highest_of_members) {
    static const struct {
        enum field field;
        enum metric metric;
    } highest[] = {{FIELD_RSS_PEAK_BYTES, METRIC_RSS_PEAK},
                   {FIELD_MAPPINGS, METRIC_WORST_MAPPINGS},
                   {FIELD_OOM_SCORE, METRIC_WORST_OOM_SCORE}};
    struct sample a = {.state = 'S'}, b = {.state = 'S'};
    struct group *g = group("g"), *empty = group("empty");
    for (int i = 0; i < COUNT(highest); i++) {
        sample_set(&a, highest[i].field, 100 + (uint64_t)i);
        sample_set(&b, highest[i].field, 50);
    }
    begin();
    member(g, &b);
    member(g, &a);
    member(g, &b);
    end();
    for (int i = 0; i < COUNT(highest); i++) {
        assert_value(g, highest[i].metric, 100 + (uint64_t)i);
        assert_absent(empty, highest[i].metric); /* nothing to take the highest of */
    }
}
END_TEST

START_TEST(memory_usage) {
    struct sample s = {.state = 'S'};
    struct group *g = group("g"), *empty = group("empty");
    sample_set(&s, FIELD_RSS_BYTES, 300);
    begin();
    member(g, &s);
    member(g, &s);
    end();
    assert_absent(g, METRIC_MEMORY_USAGE);
    moment.memory_bytes = 2400;
    end();
    assert_value(g, METRIC_MEMORY_USAGE, 250000000);
    assert_value(empty, METRIC_MEMORY_USAGE, 0);
    /* what it is made of need not be sent */
    tallies.unshown = METRIC_SET(METRIC_RSS);
    end();
    assert_absent(g, METRIC_RSS);
    assert_value(g, METRIC_MEMORY_USAGE, 250000000);
    tallies.unshown = METRIC_SET(METRIC_MEMORY_USAGE);
    end();
    assert_absent(g, METRIC_MEMORY_USAGE);
    tallies.unshown = 0;
    begin();
    member(g, &(struct sample){.state = 'S'});
    end();
    assert_absent(g, METRIC_MEMORY_USAGE);
    assert_absent(empty, METRIC_MEMORY_USAGE);
}
END_TEST

START_TEST(footprint) {
    struct sample whole = {.state = 'S'}, unknown = {.state = 'S'};
    struct group *g = group("g"), *h = group("h");

    sample_set(&whole, FIELD_FOOTPRINT_BYTES, 120);
    sample_set(&unknown, FIELD_SWAP_BYTES, 8);
    begin();
    member(g, &whole);
    member(g, &whole);
    member(g, &unknown);
    member(h, &unknown);
    end();
    assert_value(g, METRIC_FOOTPRINT, 240);
    assert_absent(h, METRIC_FOOTPRINT);
}
END_TEST

static void fd_member(struct group *g, uint64_t fds, uint64_t limit) {
    struct sample s = {.state = 'S'};

    sample_set(&s, FIELD_OPEN_FDS, fds);
    sample_set(&s, FIELD_FD_LIMIT, limit);
    member(g, &s);
}

START_TEST(worst_fd_ratio) {
    static const struct {
        uint64_t fds, limit, ratio;
    } cases[] = {
        {256, 1024, 250000000},
        {1, 3, 333333333},
        {2, 3, 666666667},
        {0, 1024, 0},
        {5, UINT64_MAX, 0}, /* unlimited */
        {5, 0, 1000000000}, /* none is allowed: it can't be worse */
        {0, 0, 0},
        {2048, 1024, 2000000000}, /* the limit was lowered */
    };
    struct group *g = group("g"), *all = group("all"), *unknown = group("unknown");

    for (int i = 0; i < COUNT(cases); i++) {
        begin();
        fd_member(g, cases[i].fds, cases[i].limit);
        end();
        assert_value(g, METRIC_WORST_FD_RATIO, cases[i].ratio);
    }
    struct sample half = {.state = 'S'};
    sample_set(&half, FIELD_OPEN_FDS, 5);
    begin();
    for (int i = 0; i < 4; i++)
        fd_member(all, cases[i].fds, cases[i].limit);
    member(unknown, &half);
    end();
    assert_value(all, METRIC_WORST_FD_RATIO, 666666667);
    assert_absent(unknown, METRIC_WORST_FD_RATIO);
}
END_TEST

START_TEST(states) {
    static const struct {
        char state;
        enum metric metric;
    } cases[] = {
        {'R', METRIC_STATE_RUNNING}, {'S', METRIC_STATE_SLEEPING}, {'D', METRIC_STATE_DISK_SLEEP},
        {'Z', METRIC_STATE_ZOMBIE},  {'X', METRIC_STATE_ZOMBIE},   {'x', METRIC_STATE_ZOMBIE},
        {'T', METRIC_STATE_STOPPED}, {'t', METRIC_STATE_STOPPED},  {'I', METRIC_STATE_IDLE},
        {'P', METRIC_STATE_IDLE},    {'K', METRIC_STATE_IDLE},     {'\0', METRIC_STATE_IDLE},
    };
    struct group *g = group("g");

    begin();
    for (int i = 0; i < COUNT(cases); i++)
        member(g, &(struct sample){.state = cases[i].state});
    end();
    assert_value(g, METRIC_STATE_RUNNING, 1);
    assert_value(g, METRIC_STATE_SLEEPING, 1);
    assert_value(g, METRIC_STATE_DISK_SLEEP, 1);
    assert_value(g, METRIC_STATE_ZOMBIE, 3);
    assert_value(g, METRIC_STATE_STOPPED, 2);
    assert_value(g, METRIC_STATE_IDLE, 4);
    assert_value(g, METRIC_STATE_OTHER, 6); /* for process-exporter: stopped and idle */
    for (int i = 0; i < COUNT(cases); i++) {
        begin();
        member(g, &(struct sample){.state = cases[i].state});
        end();
        assert_value(g, cases[i].metric, 1);
    }
}
END_TEST

START_TEST(states_switched_off) {
    teardown();
    ck_assert_int_eq(tallies_init(&tallies, 10, COLLECT_DEFAULT & ~(1u << COLLECT_STATES), 0), 0);
    struct group *g = group("g");
    begin();
    member(g, &(struct sample){.state = 'R'});
    end();
    assert_absent(g, METRIC_STATE_RUNNING);
    assert_absent(g, METRIC_STATE_OTHER);
    assert_value(g, METRIC_PROCESSES, 1);
}
END_TEST

START_TEST(unreadable) {
    struct group *g = group("g");

    begin();
    member(g, &(struct sample){.state = 'S', .unreadable = 1u << ORIGIN_IO | 1u << ORIGIN_FD});
    member(g, &(struct sample){.state = 'S', .unreadable = 1u << ORIGIN_IO});
    member(g, &(struct sample){.state = 'S'});
    end();
    assert_value(g, METRIC_UNREADABLE, 2); /* processes, not files */
    assert_value(g, METRIC_UNREADABLE_IO, 2);
    assert_value(g, METRIC_UNREADABLE_FD, 1);
    assert_value(g, METRIC_UNREADABLE_STATUS, 0);
    /* what this configuration does not read can't be refused */
    teardown();
    ck_assert_int_eq(tallies_init(&tallies, 10, COLLECT_DEFAULT, 1u << ORIGIN_IO), 0);
    g = group("g");
    begin();
    end();
    assert_value(g, METRIC_UNREADABLE, 0);
    assert_value(g, METRIC_UNREADABLE_IO, 0);
    assert_absent(g, METRIC_UNREADABLE_FD);
}
END_TEST

START_TEST(pss) {
    struct group *g = group("g"), *h = group("h");

    begin();
    member(g, &(struct sample){.state = 'S'});
    tallies_pss(&tallies, g->index, &(struct pss){1000, 4, true}, 5);
    tallies_pss(&tallies, g->index, &(struct pss){200, 99, false}, 9);
    tallies_pss(&tallies, g->index, &(struct pss){30, 1, true}, 7);
    tallies_pss_refused(&tallies, g->index, true);
    member(h, &(struct sample){.state = 'S'});
    tallies_pss_refused(&tallies, h->index, false); /* nor something else */
    end();
    assert_value(g, METRIC_PSS, 1230);
    assert_value(g, METRIC_SWAP_PSS, 5);
    assert_value(g, METRIC_PSS_AGE, 9); /* of the oldest part */
    assert_value(g, METRIC_UNREADABLE_PSS, 1);
    assert_value(g, METRIC_UNREADABLE, 1);
    assert_absent(h, METRIC_PSS);
    assert_absent(h, METRIC_SWAP_PSS);
    assert_absent(h, METRIC_PSS_AGE);
    assert_value(h, METRIC_UNREADABLE_PSS, 1);
    assert_value(h, METRIC_UNREADABLE, 0);
}
END_TEST

/* ---- Counters ---------------------------------------------------------------------------------- */

START_TEST(credits_go_to_their_rows) {
    static const enum metric rows[FIELD_COUNTERS] = {
        [FIELD_UTIME_NS] = METRIC_CPU_USER,
        [FIELD_STIME_NS] = METRIC_CPU_SYSTEM,
        [FIELD_MINFLT] = METRIC_FAULTS_MINOR,
        [FIELD_MAJFLT] = METRIC_FAULTS_MAJOR,
        [FIELD_VOLUNTARY_SWITCHES] = METRIC_SWITCHES_VOLUNTARY,
        [FIELD_INVOLUNTARY_SWITCHES] = METRIC_SWITCHES_INVOLUNTARY,
        [FIELD_RUN_QUEUE_WAIT_NS] = METRIC_RUN_QUEUE_WAIT,
        [FIELD_BLKIO_DELAY_NS] = METRIC_BLKIO_DELAY,
        [FIELD_CUTIME_NS] = METRIC_CPU_USER,
        [FIELD_CSTIME_NS] = METRIC_CPU_SYSTEM,
        [FIELD_CMINFLT] = METRIC_FAULTS_MINOR,
        [FIELD_CMAJFLT] = METRIC_FAULTS_MAJOR,
        [FIELD_IO_READ_BYTES] = METRIC_IO_READ,
        [FIELD_IO_WRITTEN_BYTES] = METRIC_IO_WRITTEN,
        [FIELD_IO_READS] = METRIC_IO_READS,
        [FIELD_IO_WRITES] = METRIC_IO_WRITES,
        [FIELD_DISK_READ_BYTES] = METRIC_DISK_READ,
        [FIELD_DISK_WRITTEN_BYTES] = METRIC_DISK_WRITTEN,
        [FIELD_SWITCHES] = METRIC_SWITCHES_UNSPLIT,
        [FIELD_UNIX_CALLS] = METRIC_SYSCALLS_UNIX,
        [FIELD_MACH_CALLS] = METRIC_SYSCALLS_MACH,
        [FIELD_MESSAGES_SENT] = METRIC_MESSAGES_SENT,
        [FIELD_MESSAGES_RECEIVED] = METRIC_MESSAGES_RECEIVED,
        [FIELD_COW_FAULTS] = METRIC_COW_FAULTS,
        [FIELD_INSTRUCTIONS] = METRIC_INSTRUCTIONS,
        [FIELD_CYCLES] = METRIC_CYCLES,
        [FIELD_ENERGY_NJ] = METRIC_ENERGY,
    };
    struct group *g = group("g");
    uint64_t before = g->value[rows[_i]];

    begin();
    tallies_credit(&tallies, g->index, (enum field)_i, 5);
    tallies_credit(&tallies, g->index, (enum field)_i, 2);
    end();
    assert_value(g, rows[_i], before + 7);
    for (enum metric m = METRIC_RSS; m < METRICS_OF_GROUP; m++)
        if (m != rows[_i] && tallies.counters & METRIC_SET(m) && m != METRIC_FAULTS &&
            m != METRIC_SWITCHES)
            ck_assert_uint_eq(g->value[m], 0);
    bool is_cpu = rows[_i] == METRIC_CPU_USER || rows[_i] == METRIC_CPU_SYSTEM;
    ck_assert_uint_eq(g->cpu_ns, is_cpu ? 7 : 0);
    ck_assert_uint_eq(tallies.cpu_ns, is_cpu ? 7 : 0);
}
END_TEST

START_TEST(counters_go_on) {
    struct group *g = group("g");

    for (uint64_t round = 1; round <= 3; round++) {
        begin();
        tallies_credit(&tallies, g->index, FIELD_UTIME_NS, 100);
        tallies_add(&tallies, g->index, METRIC_STARTS, 2);
        end();
        assert_value(g, METRIC_CPU_USER, 100 * round);
        assert_value(g, METRIC_STARTS, 2 * round);
        ck_assert_uint_eq(g->cpu_ns, 100); /* of this collection */
        ck_assert_uint_eq(tallies.cpu_ns, 100);
    }
}
END_TEST

/* Both kinds, or the sum is not known. */
START_TEST(derived_sums) {
    struct group *g = group("g"), *h = group("h");
    struct sample both = {.state = 'S'}, one = {.state = 'S'};

    sample_set(&both, FIELD_VOLUNTARY_SWITCHES, 0);
    sample_set(&both, FIELD_INVOLUNTARY_SWITCHES, 0);
    sample_set(&one, FIELD_VOLUNTARY_SWITCHES, 0);
    begin();
    member(g, &both);
    member(h, &one);
    tallies_credit(&tallies, g->index, FIELD_VOLUNTARY_SWITCHES, 30);
    tallies_credit(&tallies, g->index, FIELD_INVOLUNTARY_SWITCHES, 4);
    tallies_credit(&tallies, g->index, FIELD_MINFLT, 500);
    tallies_credit(&tallies, g->index, FIELD_CMAJFLT, 6);
    end();
    assert_value(g, METRIC_SWITCHES, 34);
    assert_value(g, METRIC_FAULTS, 506);
    assert_absent(h, METRIC_SWITCHES);
    assert_value(h, METRIC_SWITCHES_VOLUNTARY, 0);
}
END_TEST

/* For the schema `process`: traffic of both protocols, and resident memory by another name. */
START_TEST(sums_for_a_schema) {
    struct group *g = group("g"), *h = group("h");
    struct sample s = {.state = 'S'};

    sample_set(&s, FIELD_RSS_BYTES, 4096);
    begin();
    member(g, &s);
    member(h, &(struct sample){.state = 'S'});
    tallies_add(&tallies, g->index, METRIC_RECEIVED_BYTES_TCP, 100);
    tallies_add(&tallies, g->index, METRIC_RECEIVED_BYTES_UDP, 20);
    tallies_add(&tallies, g->index, METRIC_TRANSMITTED_PACKETS_UDP, 3);
    end();
    assert_value(g, METRIC_RESIDENT, 4096);
    assert_absent(h, METRIC_RESIDENT);
    assert_absent(g, METRIC_RECEIVED_BYTES); /* this source does not see it */
    moment.sees_traffic = true;
    begin();
    member(g, &s);
    end();
    assert_value(g, METRIC_RECEIVED_BYTES, 120);
    assert_value(g, METRIC_RECEIVED_PACKETS, 0);
    assert_value(g, METRIC_TRANSMITTED_BYTES, 0);
    assert_value(g, METRIC_TRANSMITTED_PACKETS, 3);
}
END_TEST

/* A kernel that does not tell the kinds apart gives the whole. */
START_TEST(switches_as_a_whole) {
    struct group *g = group("g");
    struct sample s = {.state = 'S'};

    sample_set(&s, FIELD_SWITCHES, 0);
    for (uint64_t round = 1; round <= 2; round++) {
        begin();
        member(g, &s);
        tallies_credit(&tallies, g->index, FIELD_SWITCHES, 12);
        end();
        assert_value(g, METRIC_SWITCHES, 12 * round);
        assert_value(g, METRIC_SWITCHES_UNSPLIT, 12 * round);
        assert_absent(g, METRIC_SWITCHES_VOLUNTARY);
    }
}
END_TEST

START_TEST(cpu_usage) {
    struct group *g = group("g");

    moment.cpus = 4;
    begin();
    tallies_credit(&tallies, g->index, FIELD_UTIME_NS, 1500000000);
    tallies_credit(&tallies, g->index, FIELD_CSTIME_NS, 500000000);
    end();
    assert_value(g, METRIC_CPU_USAGE, 50000000); /* 2 s of 4 * 10 s */
    begin();
    end();
    assert_value(g, METRIC_CPU_USAGE, 0);
    /* the first collection: there is no interval */
    moment.interval_ns = 0;
    begin();
    tallies_credit(&tallies, g->index, FIELD_UTIME_NS, 1);
    end();
    assert_absent(g, METRIC_CPU_USAGE);
}
END_TEST

/* What is shown per interval is of all collections since the one that was shown last. */
START_TEST(cpu_usage_since_it_was_shown) {
    struct group *g = group("g");

    begin();
    tallies_credit(&tallies, g->index, FIELD_UTIME_NS, NS_PER_S);
    tallies_begin(&tallies); /* nobody saw that */
    tallies_credit(&tallies, g->index, FIELD_UTIME_NS, NS_PER_S);
    moment = (struct tallies_moment){.now_ns = NS_PER_S, .interval_ns = 4 * NS_PER_S, .cpus = 1};
    end();
    assert_value(g, METRIC_CPU_USAGE, 500000000);
    ck_assert_uint_eq(tallies.cpu_ns, 2 * NS_PER_S);
    begin();
    end();
    assert_value(g, METRIC_CPU_USAGE, 0);
    ck_assert_uint_eq(tallies.cpu_ns, 0);
}
END_TEST

/* What the source sees at all is 0 for a group that had none. */
START_TEST(traffic) {
    struct group *g = group("g");

    begin();
    end();
    for (enum metric m = METRIC_RECEIVED_BYTES_TCP; m <= METRIC_TRANSMITTED_PACKETS_UDP; m++)
        assert_absent(g, m);
    begin();
    tallies_add(&tallies, g->index, METRIC_RECEIVED_BYTES_UDP, 7);
    moment.sees_traffic = true;
    end();
    for (enum metric m = METRIC_RECEIVED_BYTES_TCP; m <= METRIC_TRANSMITTED_PACKETS_UDP; m++)
        assert_value(g, m, m == METRIC_RECEIVED_BYTES_UDP ? 7 : 0);
    assert_absent(g, METRIC_RSS);
}
END_TEST

/* ---- Absent is not 0 ----------------------------------------------------------------------------- */

/* The sum over nobody is 0, if anybody on this host has it. */
START_TEST(a_group_without_members) {
    struct group *empty = group("empty"), *full = group("full");
    struct sample s = {.state = 'S'};

    begin();
    end();
    assert_value(empty, METRIC_PROCESSES, 0);
    assert_value(empty, METRIC_STARTS, 0);
    assert_value(empty, METRIC_EXITS, 0);
    assert_absent(empty, METRIC_RSS);
    assert_absent(empty, METRIC_CPU_USER);
    assert_absent(empty, METRIC_STATE_RUNNING);

    sample_set(&s, FIELD_RSS_BYTES, 4096);
    sample_set(&s, FIELD_UTIME_NS, 5);
    sample_set(&s, FIELD_NICE, 0);
    begin();
    member(full, &s);
    fd_member(full, 1, 2);
    tallies_pss(&tallies, full->index, &(struct pss){.bytes = 1}, 1);
    end();
    assert_value(empty, METRIC_RSS, 0);
    assert_value(empty, METRIC_CPU_USER, 0);
    assert_value(empty, METRIC_STATE_RUNNING, 0);
    assert_value(empty, METRIC_PSS, 0);
    assert_absent(empty, METRIC_SWAP_PSS);
    assert_absent(empty, METRIC_SWAP); /* nobody has it */
    /* there is nothing to take the extreme of */
    assert_absent(empty, METRIC_NICE);
    assert_absent(empty, METRIC_PRIORITY);
    assert_absent(empty, METRIC_START_TIME);
    assert_absent(empty, METRIC_WORST_FD_RATIO);
    assert_absent(empty, METRIC_PSS_AGE);
    /* and now nobody has it any more */
    begin();
    end();
    assert_absent(empty, METRIC_RSS);
    assert_absent(empty, METRIC_CPU_USER);
}
END_TEST

/* What its members used is not known, and did not become 0 because they ended. */
START_TEST(a_group_whose_members_could_not_be_read) {
    struct group *g = group("g"), *h = group("h");
    struct sample closed = {.state = 'S', .unreadable = 1u << ORIGIN_IO}, open = {.state = 'S'};

    sample_set(&open, FIELD_IO_READ_BYTES, 0);
    sample_set(&open, FIELD_RSS_BYTES, 1);
    for (int i = 0; i < 2; i++) {
        begin();
        if (i == 0)
            member(g, &closed);
        member(h, &open);
        end();
        assert_absent(g, METRIC_IO_READ);
        assert_value(h, METRIC_IO_READ, 0);
    }
    assert_value(g, METRIC_RSS, 0); /* a gauge of nobody is 0 */
}
END_TEST

START_TEST(a_counter_that_was_known_stays) {
    struct group *g = group("g");
    struct sample s = {.state = 'S'}, closed = {.state = 'S'};

    sample_set(&s, FIELD_IO_READ_BYTES, 0);
    begin();
    member(g, &s);
    tallies_credit(&tallies, g->index, FIELD_IO_READ_BYTES, 500);
    end();
    begin();
    member(g, &closed);
    end();
    assert_value(g, METRIC_IO_READ, 500);
    begin();
    end();
    assert_value(g, METRIC_IO_READ, 500);
}
END_TEST

/* ---- How groups end -------------------------------------------------------------------------------- */

/* One collection, with one member in each of these groups. */
static void collect(uint64_t now_s_since_boot, const struct group *const *members, size_t count) {
    moment.now_ns = now_s_since_boot * NS_PER_S;
    begin();
    for (size_t i = 0; i < count; i++) {
        struct sample s = {.pid = 1, .state = 'S'};
        sample_set(&s, FIELD_THREADS, 1);
        sample_set(&s, FIELD_RSS_BYTES, 100 - i);
        sample_set(&s, FIELD_UTIME_NS, 0);
        tallies_member(&tallies, members[i]->index, &s, 1);
    }
    end();
    tallies_expire(&tallies, &moment);
    ck_assert_int_eq(tallies_order(&tallies, 2), 0);
}

START_TEST(groups_expire) {
    uint32_t index;

    teardown();
    open_tallies(3);
    ck_assert_int_eq(tallies_group(&tallies, text_of("literal"), NULL, true, NO_OWNER, &index), 0);
    const struct group *a = group_number(1), *b = group_number(2);
    const struct group *other = group_number(3);
    ck_assert_str_eq(other->texts->name, "other");
    const struct group *all[] = {a, b, other};

    collect(100, all, 3);
    ck_assert_ptr_nonnull(shown("name-1"));
    collect(110, all, 1); /* from here on b is empty */
    ck_assert_ptr_nonnull(shown("name-2"));
    ck_assert_uint_eq(shown("name-2")->value[METRIC_PROCESSES], 0);
    collect(169, all, 1);
    ck_assert_ptr_nonnull(shown("name-2"));
    ck_assert_uint_eq(tallies.count, 3);
    collect(170, all, 1);
    ck_assert_ptr_null(shown("name-2"));
    ck_assert_uint_eq(tallies.count, 2);
    ck_assert_ptr_nonnull(shown("name-1"));
    ck_assert_ptr_nonnull(shown("other"));
    ck_assert_ptr_nonnull(shown("literal"));
    /* there is room again, and its place is free to be given out */
    const struct group *c = group_number(4);
    ck_assert_str_eq(c->texts->name, "name-4");
    ck_assert_uint_eq(tallies.count, 3);
    const struct group *two[] = {a, c};
    collect(180, two, 2);
    ck_assert_ptr_nonnull(shown("name-4"));
    /* the clock starts anew with each member */
    collect(190, all, 1);
    collect(230, two, 2);
    collect(240, all, 1);
    collect(299, all, 1);
    ck_assert_ptr_nonnull(shown("name-4"));
    collect(300, all, 1);
    ck_assert_ptr_null(shown("name-4"));
}
END_TEST

/* As process-exporter has it; what needs the room can have it. */
START_TEST(empty_groups_are_kept) {
    const struct group *one;

    tallies_clear(&tallies);
    open_tallies(8);
    moment.keeps_empty = true;
    one = group("one");
    owned_group("single", 1);
    collect(100, &one, 1);
    collect(110, NULL, 0);
    collect(120, NULL, 0);
    ck_assert_ptr_null(shown("single"));
    collect(1000000, NULL, 0);
    ck_assert_ptr_nonnull(shown("one"));
    for (unsigned i = 0; i < 5; i++)
        group((const char *[]){"a", "b", "c", "d", "e"}[i]);
    collect(1000010, NULL, 0);
    ck_assert_ptr_nonnull(shown("one"));
    ck_assert_uint_eq(tallies.count, 6);
    /* seven of eight: those leave that have been empty for long, and not more */
    group("f");
    collect(1000020, NULL, 0);
    ck_assert_ptr_null(shown("one"));
    ck_assert_ptr_nonnull(shown("a"));
    ck_assert_uint_eq(tallies.count, 6);
    moment.keeps_empty = false;
    collect(1000100, NULL, 0);
    ck_assert_uint_eq(tallies.count, 0);
}
END_TEST

/* Members came and went between two collections. */
/* All go in one collection, and each is looked at once: the names and places that are
 * given out afterwards are the lowest, so that nothing has to be searched for. */
START_TEST(many_groups_expire_at_once) {
    enum { MANY = 20000 };
    char name[16];

    tallies_clear(&tallies);
    open_tallies(MANY);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "g%u", i);
        group(name);
    }
    collect(100, NULL, 0);
    ck_assert_uint_eq(tallies.count, MANY);
    moment.now_ns = 200 * NS_PER_S;
    tallies_begin(&tallies);
    tallies_end(&tallies, &moment);
    ck_assert_uint_eq(tallies_expire(&tallies, &moment), MANY);
    ck_assert_uint_eq(tallies.count, 0);
    ck_assert_uint_eq(tallies_expire(&tallies, &moment), 0);
    ck_assert_uint_eq(group("new")->index, 1);
}
END_TEST

START_TEST(passed_by) {
    const struct group *g = group("g");

    collect(100, NULL, 0);
    collect(150, NULL, 0);
    tallies_passed_by(&tallies, g->index);
    collect(161, NULL, 0);
    collect(220, NULL, 0);
    ck_assert_ptr_nonnull(shown("g")); /* empty since 161 */
    collect(221, NULL, 0);
    ck_assert_ptr_null(shown("g"));
}
END_TEST

START_TEST(a_clock_that_is_behind) {
    group_number(1);
    collect(1000000, NULL, 0);
    collect(5, NULL, 0);
    ck_assert_ptr_nonnull(shown("name-1"));
}
END_TEST

START_TEST(named_in_the_configuration) {
    uint32_t index;

    /* whoever was first: from now on it stays */
    group("g");
    ck_assert_int_eq(tallies_group(&tallies, text_of("g"), NULL, true, NO_OWNER, &index), 0);
    collect(100, NULL, 0);
    collect(100000, NULL, 0);
    collect(200000, NULL, 0);
    ck_assert_ptr_nonnull(shown("g"));
    ck_assert_uint_eq(shown("g")->index, index);
}
END_TEST

START_TEST(single_processes) {
    const struct group *all[4];

    for (uint32_t i = 0; i < 4; i++)
        all[i] = owned_group((char[]){'1', (char)('0' + i), '\0'}, 10 + i);
    collect(100, all, 4);
    /* two at most: those with most memory, as none used the CPU */
    ck_assert_uint_eq(tallies.order_count, 2);
    ck_assert_ptr_nonnull(shown("10"));
    ck_assert_ptr_nonnull(shown("11"));
    /* gone as soon as they are empty */
    collect(101, all, 1);
    collect(102, all, 1);
    ck_assert_uint_eq(tallies.order_count, 1);
    ck_assert_uint_eq(tallies.count, 1);
}
END_TEST

/* By CPU time, then by memory, then by name; the others are always shown. */
START_TEST(the_top_of_single_processes) {
    struct group *a = owned_group("a", 1), *b = owned_group("b", 2), *c = owned_group("c", 3);
    struct group *m = group("m");
    struct sample small = {.state = 'S'}, large = {.state = 'S'};

    sample_set(&small, FIELD_RSS_BYTES, 1);
    sample_set(&large, FIELD_RSS_BYTES, 2);
    begin();
    member(a, &small);
    member(b, &large);
    member(c, &small);
    tallies_credit(&tallies, c->index, FIELD_UTIME_NS, 1);
    end();
    ck_assert_int_eq(tallies_order(&tallies, 2), 0);
    ck_assert_uint_eq(tallies.order_count, 3);
    ck_assert_ptr_eq(tallies.order[0], b);
    ck_assert_ptr_eq(tallies.order[1], c);
    ck_assert_ptr_eq(tallies.order[2], m);
    begin(); /* others are in front the next time */
    member(a, &small);
    member(b, &small);
    member(c, &small);
    end();
    ck_assert_int_eq(tallies_order(&tallies, 2), 0);
    ck_assert_ptr_eq(tallies.order[0], a);
    ck_assert_ptr_eq(tallies.order[1], b);
    ck_assert_int_eq(tallies_order(&tallies, 0), 0);
    ck_assert_uint_eq(tallies.order_count, 1);
}
END_TEST

/* ---- Without memory -------------------------------------------------------------------------------- */

START_TEST(no_memory_for_a_group) {
    const struct group_labels labels = {2, {{"a", {"x", 1}}, {"b", {"y", 1}}}};
    long at = 0;
    int r;

    group("first");
    do {
        uint32_t index = 12345;
        allocations = 0;
        fail_allocation_at = ++at;
        r = tallies_group(&tallies, text_of("g"), &labels, false, NO_OWNER, &index);
        fail_allocation_at = 0;
        ck_assert(r == 0 || r == -ENOMEM);
        ck_assert_uint_eq(tallies.count, r == 0 ? 2 : 1);
        if (r == 0)
            ck_assert_uint_eq(tallies.groups[index]->texts->label_count, 2);
        collect(100, NULL, 0); /* what is left can be worked with */
        ck_assert_uint_eq(tallies.order_count, r == 0 ? 2 : 1);
    } while (r < 0);
    ck_assert_int_gt(at, 4);
}
END_TEST

/* In `other` or an error; and the name is counted as soon as there is memory. */
START_TEST(no_memory_for_other) {
    int failed = 0;
    bool done = false;

    for (long at = 1; !done; at++) {
        uint32_t index = 12345;

        teardown();
        open_tallies(1);
        group("first");
        allocations = 0;
        fail_allocation_at = at;
        int r = tallies_group(&tallies, text_of("second"), NULL, false, NO_OWNER, &index);
        done = allocations < at;
        fail_allocation_at = 0;
        ck_assert(r == 0 || r == -ENOMEM);
        failed += r < 0;
        if (r == 0)
            ck_assert_str_eq(tallies.groups[index]->texts->name, "other");
        ck_assert_str_eq(group("second")->texts->name, "other");
        ck_assert_uint_eq(tallies.refused.names, 1);
        ck_assert_uint_eq(tallies.count, 1);
    }
    ck_assert_int_gt(failed, 1);
}
END_TEST

START_TEST(no_memory_at_the_start) {
    long at = 0;
    int r;

    do {
        teardown();
        allocations = 0;
        fail_allocation_at = ++at;
        r = tallies_init(&tallies, 10, COLLECT_DEFAULT, ALL_ORIGINS);
        fail_allocation_at = 0;
        ck_assert(r == 0 || r == -ENOMEM);
    } while (r < 0);
    ck_assert_int_gt(at, 2);
}
END_TEST

static TCase *add_open_case(Suite *suite, const char *name) {
    TCase *tc = add_case(suite, name);

    tcase_add_checked_fixture(tc, setup, teardown);
    return tc;
}

int main(void) {
    Suite *suite = suite_create("tallies");
    TCase *tc;

    tc = add_open_case(suite, "names");
    tcase_add_test(tc, a_name_is_a_group);
    tcase_add_test(tc, equal_after_cleaning);
    tcase_add_test(tc, long_names);
    tcase_add_test(tc, labels_of_the_first_call);
    tc = add_open_case(suite, "number");
    tcase_add_test(tc, ten_thousand_names);
    tcase_add_test(tc, a_process_called_other);
    tcase_add_test(tc, refused_names_are_counted_once);
    tcase_add_test(tc, places_are_given_out_again);
    tc = add_open_case(suite, "own groups");
    tcase_add_test(tc, retired_by_its_owner_alone);
    tcase_add_test(tc, a_later_incarnation_takes_the_name);
    tcase_add_test(tc, own_groups_are_counted_apart);
    tcase_add_test(tc, what_belongs_to_another_is_others);
    tc = add_open_case(suite, "gauges");
    tcase_add_test(tc, sums_over_members);
    tcase_add_test(tc, extremes);
    tcase_add_test(tc, priorities_that_go_up);
    tcase_add_test(tc, highest_of_members);
    tcase_add_test(tc, memory_usage);
    tcase_add_test(tc, footprint);
    tcase_add_test(tc, worst_fd_ratio);
    tcase_add_test(tc, states);
    tcase_add_test(tc, states_switched_off);
    tcase_add_test(tc, unreadable);
    tcase_add_test(tc, pss);
    tc = add_open_case(suite, "counters");
    tcase_add_loop_test(tc, credits_go_to_their_rows, 0, FIELD_COUNTERS);
    tcase_add_test(tc, counters_go_on);
    tcase_add_test(tc, derived_sums);
    tcase_add_test(tc, sums_for_a_schema);
    tcase_add_test(tc, switches_as_a_whole);
    tcase_add_test(tc, cpu_usage);
    tcase_add_test(tc, cpu_usage_since_it_was_shown);
    tcase_add_test(tc, traffic);
    tc = add_open_case(suite, "absent");
    tcase_add_test(tc, a_group_without_members);
    tcase_add_test(tc, a_group_whose_members_could_not_be_read);
    tcase_add_test(tc, a_counter_that_was_known_stays);
    tc = add_open_case(suite, "life");
    tcase_add_test(tc, groups_expire);
    tcase_add_test(tc, empty_groups_are_kept);
    tcase_add_test(tc, many_groups_expire_at_once);
    tcase_add_test(tc, passed_by);
    tcase_add_test(tc, a_clock_that_is_behind);
    tcase_add_test(tc, named_in_the_configuration);
    tcase_add_test(tc, single_processes);
    tcase_add_test(tc, the_top_of_single_processes);
    tc = add_open_case(suite, "memory");
    tcase_add_test(tc, no_memory_for_a_group);
    tcase_add_test(tc, no_memory_for_other);
    tcase_add_test(tc, no_memory_at_the_start);
    return run_suite(suite);
}
