/* SPDX-License-Identifier: MIT */
/* The processes of `proctally run` from sample to sample, and what is recorded of their ends. */
#include "record.h"

#include "script.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATER 101000 /* ticks: after the first collection */

static tally *t;
static struct tree tree;
static const pid_t root_pid = 100;
static struct actor *root, *child;
static char news[256]; /* pids of those that were new, in order */

static void setup(void) {
    const struct tally_new_opts opts = {.size = sizeof(opts),
                                        .keep = TALLY_KEEP_PROCESSES | TALLY_KEEP_ENDED};
    script_open();
    t = with_source(tree_collector_with(&opts, "collect", "memory-details", NULL), "ends");
    root = add_actor((struct actor){.pid = 100, .ppid = 1, .start_ticks = LONG_AGO, .comm = "root",
                                    .use = {.user_ms = 10}});
    child = add_actor((struct actor){.pid = 200, .ppid = 100, .start_ticks = LONG_AGO + 1,
                                     .comm = "child", .use = {.user_ms = 20}});
    tree = (struct tree){.roots = &root_pid, .root_count = 1};
    record_metrics(&tree);
}

static void teardown(void) {
    tree_clear(&tree);
    tally_free(t);
    tree_close();
}

static void note_new(void *data, const tally_snapshot *s, size_t i) {
    (void)data;
    const size_t len = strlen(news);
    snprintf(news + len, sizeof(news) - len, "%ld ", (long)tally_snapshot_process(s, i)->pid);
}

static const tally_snapshot *sample_at(double seconds) {
    const tally_snapshot *s = collect_at(t, seconds);
    news[0] = '\0';
    ck_assert_int_eq(tree_update(&tree, s, note_new, NULL), 0);
    return s;
}

/* What is recorded of the i-th that has ended, from its pid on. */
static const char *end_of(const tally_snapshot *s, size_t i) {
    static char text[1024];
    char *record = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&record, &len);
    const struct tracked ended = tree_ended(&tree, s, tally_snapshot_processes(s) + i);
    record_end(to, &tree, &ended, s, tally_snapshot_processes(s) + i);
    ck_assert_int_eq(fclose(to), 0);
    const char *at = strstr(record, "\"pid\"");
    ck_assert_ptr_nonnull(at);
    snprintf(text, sizeof(text), "%s", at);
    free(record);
    return text;
}

static void check_has(const char *text, const char *part) {
    ck_assert_msg(strstr(text, part) != NULL, "%s is not in %s", part, text);
}

/* Each member of a record is a row of the catalogue, and no two are the same. */
START_TEST(members) {
    for (size_t i = 0; i < tree.metric_count; i++) {
        ck_assert_int_eq(tally_metric(tree.metrics[i])->scope, TALLY_SCOPE_GROUP);
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_ne(tree.metrics[i], tree.metrics[k]);
    }
}
END_TEST

START_TEST(new_ones) {
    sample_at(1010);
    ck_assert_str_eq(news, "200 "); /* the first root is no child */
    child->comm = "changed";
    child->exec_marker++;
    add_actor((struct actor){.pid = 300, .ppid = 200, .start_ticks = LATER, .comm = "young"});
    sample_at(1020);
    ck_assert_str_eq(news, "200 300 ");
    sample_at(1030);
    ck_assert_str_eq(news, "");
    child->exec_marker++; /* another script of the same interpreter */
    sample_at(1035);
    ck_assert_str_eq(news, "200 ");
    /* the number of one that has ended, for another */
    end(child, (struct use){.user_ms = 30});
    add_actor((struct actor){.pid = 200, .ppid = 100, .start_ticks = LATER + 9, .comm = "changed"});
    sample_at(1040);
    ck_assert_str_eq(news, "200 ");
    ck_assert_uint_eq(tree.seen, 4);
}
END_TEST

START_TEST(an_end_that_is_told_at_once) {
    sample_at(1010);
    end(child, (struct use){.user_ms = 30, .read_bytes = 7});
    const tally_snapshot *s = sample_at(1020);
    ck_assert_uint_eq(tally_snapshot_ended(s), 1);
    ck_assert_int_eq(tally_snapshot_process(s, tally_snapshot_processes(s))->state, 'X');
    const char *text = end_of(s, 0);
    check_has(text, "\"pid\":200,\"ppid\":100,\"command\":\"child\"");
    check_has(text, "\"cpu_user_s\":0.03");
    check_has(text, "\"syscall_read_bytes\":7");
    ck_assert_ptr_null(strstr(text, "mem_rss_kb"));
    ck_assert_uint_eq(tree.gone_count, 0);
    s = sample_at(1030);
    ck_assert_uint_eq(tally_snapshot_ended(s), 0);
}
END_TEST

/* The kernel tells of it when the next sample has left it out already: who it was is known
 * for as long as that may take, and no longer. */
START_TEST(an_end_that_is_told_late) {
    sample_at(1010);
    child->gone = true;
    sample_at(1011);
    ck_assert_uint_eq(tree.gone_count, 1);
    tell_end(child, (struct use){.user_ms = 30});
    const tally_snapshot *s = sample_at(1012);
    ck_assert_uint_eq(tally_snapshot_ended(s), 1);
    check_has(end_of(s, 0), "\"pid\":200,\"ppid\":100,\"command\":\"child\"");

    root->gone = true;
    sample_at(1013);
    ck_assert_uint_eq(tree.gone_count, 1);
    sample_at(1029);
    ck_assert_uint_eq(tree.gone_count, 0);
}
END_TEST

START_TEST(what_no_sample_has_shown) {
    sample_at(1010);
    tell_unlisted((struct unlisted){.comm = "short", .pid = 300, .start_ticks = LATER, .ended = 1,
                                    .use = {.user_ms = 3}, .known_pid = 100});
    tell_unlisted((struct unlisted){.comm = "many", .ended = 5, .use = {.user_ms = 50},
                                    .known_pid = 100});
    const tally_snapshot *s = sample_at(1020);
    ck_assert_uint_eq(tally_snapshot_ended(s), 1);
    check_has(end_of(s, 0), "\"pid\":300,\"command\":\"short\"");
    ck_assert_uint_eq(exits_of(t, "many"), 5);
    ck_assert_uint_eq(exits_of(t, "short"), 1);
}
END_TEST

/* Where it was attached to, what was used before does not count. */
START_TEST(since_it_was_attached_to) {
    tree.counts_from_now = true;
    tree.begun_unix_ns = UINT64_MAX;
    sample_at(1010);
    end(child, (struct use){.user_ms = 50});
    const tally_snapshot *s = sample_at(1020);
    check_has(end_of(s, 0), "\"cpu_user_s\":0.03");
}
END_TEST

int main(void) {
    TCase *tc;
    Suite *suite = suite_create("tracking");
    tc = add_case(suite, "tracking");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, members);
    tcase_add_test(tc, new_ones);
    tcase_add_test(tc, an_end_that_is_told_at_once);
    tcase_add_test(tc, an_end_that_is_told_late);
    tcase_add_test(tc, what_no_sample_has_shown);
    tcase_add_test(tc, since_it_was_attached_to);
    return run_suite(suite);
}
