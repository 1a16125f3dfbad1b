/* SPDX-License-Identifier: MIT */
/* The option metrics: what globs choose, what is switched on and off by that, and what is
 * said where nothing comes of it. */
#include "config/choice.h"

#include "config/config_help.h"
#include "count/metrics.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

static tally_config *c;

static void setup(void) {
    c = new_config();
}

static void teardown(void) {
    tally_config_free(c);
}

static bool sends(enum metric m) {
    return tally_config_has_metric(c, m);
}

static bool collects(enum collect what) {
    return plain_settings_of(c).collect & 1u << what;
}

START_TEST(without_globs_all_is_sent) {
    const struct settings s = plain_settings_of(c);
    ck_assert(s.unsent == 0);
    ck_assert_uint_eq(s.unsent_self, 0);
    ck_assert_uint_eq(s.collect, COLLECT_DEFAULT);
    ck_assert(!s.spares_memory && !s.spares_fd_limits);
    ck_assert(sends(METRIC_CPU_USER) && sends(METRIC_SELF_COVERAGE));
    ck_assert(!sends(METRIC_PSS)); /* not collected */
    ck_assert(!sends(METRIC_HOST_UPTIME) && !sends(METRICS_IN_ALL + 5));
}
END_TEST

START_TEST(only_what_a_glob_matches) {
    set(c, "metrics", "cpu_*,memory_rss");
    ck_assert(sends(METRIC_CPU_USER) && sends(METRIC_CPU_SYSTEM) && sends(METRIC_CPU_USAGE));
    ck_assert(sends(METRIC_RSS) && !sends(METRIC_RSS_PEAK));
    ck_assert(!sends(METRIC_PROCESSES) && !sends(METRIC_UNREADABLE_IO));
    /* those about the collector stay, until they are named */
    ck_assert(sends(METRIC_SELF_DURATION) && sends(METRIC_SELF_COVERAGE));
}
END_TEST

START_TEST(the_last_that_matches_decides) {
    set(c, "metrics", "cpu_*");
    set(c, "metrics", "!cpu_usage");
    ck_assert(sends(METRIC_CPU_USER) && !sends(METRIC_CPU_USAGE));
    set(c, "metrics", "cpu_us*");
    ck_assert(sends(METRIC_CPU_USAGE));
}
END_TEST

START_TEST(begins_with_all_if_the_first_takes_away) {
    set(c, "metrics", "!page_faults_*,!cpu_coverage");
    ck_assert(!sends(METRIC_FAULTS_MINOR) && !sends(METRIC_FAULTS_MAJOR));
    ck_assert(sends(METRIC_PROCESSES) && sends(METRIC_CPU_USER));
    ck_assert(!sends(METRIC_SELF_COVERAGE) && sends(METRIC_SELF_GROUPS));
}
END_TEST

/* What a sum adds up has other names in other agents. */
START_TEST(a_sum_stands_for_its_parts) {
    set(c, "metrics", "page_faults");
    ck_assert(sends(METRIC_FAULTS) && sends(METRIC_FAULTS_MINOR) && sends(METRIC_FAULTS_MAJOR));
    set(c, "metrics", "");
    set(c, "metrics", "!context_switches");
    ck_assert(!sends(METRIC_SWITCHES_VOLUNTARY) && !sends(METRIC_SWITCHES_INVOLUNTARY));
    ck_assert(!collects(COLLECT_CONTEXT_SWITCHES) && collects(COLLECT_DELAYS));
}
END_TEST

/* Threads by name are not there by a glob alone, as all that is off by default. */
START_TEST(threads_by_name) {
    ck_assert(!sends(METRIC_THREAD_CPU_USER));
    set(c, "metrics", "thread_*");
    ck_assert(!sends(METRIC_THREAD_CPU_USER));
    set(c, "metrics", "");
    set(c, "metrics", "thread_cpu_user");
    ck_assert(sends(METRIC_THREAD_CPU_USER) && !sends(METRIC_THREAD_COUNT));
    ck_assert(!sends(METRIC_WAIT_CHANNEL) && !sends(METRIC_CPU_USER));
    ck_assert_uint_eq(plain_settings_of(c).collect, 1u << COLLECT_THREAD_NAMES);
    set(c, "metrics", "");
    set(c, "collect", "thread-names");
    ck_assert(sends(METRIC_THREAD_COUNT) && sends(METRIC_WAIT_CHANNEL));
    set(c, "metrics", "!threads_wchan,!thread_disk_*");
    ck_assert(sends(METRIC_THREAD_COUNT) && sends(METRIC_CPU_USER));
    ck_assert(!sends(METRIC_WAIT_CHANNEL) && !sends(METRIC_THREAD_DISK_READ));
}
END_TEST

/* One group of metrics is left out, and with it what has to be read for it. */
static const struct {
    const char *globs;
    enum collect off;
} offs[] = {
    {"!io_*,!disk_*", COLLECT_IO},
    {"!open_fds,!worst_fd_ratio", COLLECT_FDS},
    {"!network_*", COLLECT_NETWORK},
    {"!context_*", COLLECT_CONTEXT_SWITCHES},
    {"!run_queue_wait,!blkio_delay", COLLECT_DELAYS},
    {"!threads_running", COLLECT_THREADS},
    {"!states_*", COLLECT_STATES},
};

START_TEST(what_is_not_sent_is_not_collected) {
    set(c, "metrics", offs[_i].globs);
    ck_assert_uint_eq(plain_settings_of(c).collect, COLLECT_DEFAULT & ~(1u << offs[_i].off));
}
END_TEST

START_TEST(as_long_as_one_is_left_it_is_collected) {
    set(c, "metrics", "!io_*,!disk_read");
    ck_assert(collects(COLLECT_IO));
    ck_assert(sends(METRIC_DISK_WRITTEN) && !sends(METRIC_IO_READ));
}
END_TEST

START_TEST(files_that_are_spared) {
    set(c, "metrics", "cpu_*");
    ck_assert(plain_settings_of(c).spares_memory && plain_settings_of(c).spares_fd_limits);
    ck_assert_uint_eq(plain_settings_of(c).collect, 0);
    set(c, "metrics", "memory_rss");
    ck_assert(!plain_settings_of(c).spares_memory);
    set(c, "metrics", "");
    set(c, "metrics", "cpu_*,memory_data,open_fds");
    ck_assert(!plain_settings_of(c).spares_memory && plain_settings_of(c).spares_fd_limits);
    set(c, "metrics", "worst_*");
    ck_assert(!plain_settings_of(c).spares_fd_limits);
}
END_TEST

/* A glob can match more than was thought of; what is written out is meant. */
START_TEST(only_a_whole_id_switches_on) {
    set(c, "metrics", "memory_*");
    ck_assert(!collects(COLLECT_PSS) && !collects(COLLECT_MEMORY_DETAILS));
    ck_assert(!sends(METRIC_PSS) && sends(METRIC_RSS));
    set(c, "metrics", "memory_pss");
    ck_assert(collects(COLLECT_PSS) && !collects(COLLECT_MEMORY_DETAILS));
    ck_assert(sends(METRIC_PSS));
    set(c, "metrics", "!memory_pss");
    ck_assert(!sends(METRIC_PSS));
}
END_TEST

START_TEST(collect_can_say_no) {
    set(c, "collect", "no-pss");
    set(c, "metrics", "cpu_user,memory_pss");
    ck_assert(!collects(COLLECT_PSS) && !sends(METRIC_PSS));
    set(c, "collect", "pss");
    ck_assert(collects(COLLECT_PSS) && sends(METRIC_PSS));
    set(c, "metrics", "");
    set(c, "metrics", "cpu_user"); /* wanted, but for nothing */
    ck_assert(!collects(COLLECT_PSS));
}
END_TEST

static const struct {
    const char *word, *expected;
} mistakes[] = {
    {"cpu_usr", "expected the id cpu_user"},
    {"memory_rss_bytes", "expected the id memory_rss"},
    {"proctally_open_fds", "expected the id open_fds"},
    {"namedprocess_namegroup_open_filedesc", "expected the id open_fds"},
    {"num_fds", "expected the id open_fds"},
    {"!num_fds", "expected the id open_fds"},
    {"gpu_*", "such as cpu_*"},
    {"host_*", "such as cpu_*"},
    {"cpu_user memory_rss", "such as cpu_*"},
};

START_TEST(a_glob_that_matches_nothing) {
    struct tally_error error;
    ck_assert_int_eq(tally_config_set(c, "metrics", mistakes[_i].word, &error), -EINVAL);
    assert_one_line(error.text);
    assert_mentions(error.text, mistakes[_i].word);
    assert_mentions(error.text, mistakes[_i].expected);
    ck_assert(sends(METRIC_CPU_USER));
}
END_TEST

START_TEST(a_word_of_any_length) {
    struct tally_error error;
    char word[5000];
    memset(word, 'x', sizeof(word));
    word[sizeof(word) - 1] = '\0';
    ck_assert_int_eq(tally_config_set(c, "metrics", word, &error), -EINVAL);
    assert_one_line(error.text);
    memset(word, '*', sizeof(word) - 1);
    ck_assert_int_eq(tally_config_set(c, "metrics", word, &error), -EINVAL);
}
END_TEST

/* What nothing comes of is a mistake that only the whole tells. */
static const char *const nothing[] = {"!*", "memory_pss_*", "source_bpf", "unreadable_io"};

START_TEST(a_choice_of_nothing) {
    struct tally_error error;
    tally *t;
    ck_assert_int_eq(tally_config_check(c, &error), 0);
    set(c, "metrics", nothing[_i]);
    ck_assert_int_eq(tally_config_check(c, &error), -EINVAL);
    assert_one_line(error.text);
    assert_mentions(error.text, "metrics");
    error.text[0] = '\0';
    ck_assert_int_eq(tally_new(c, NULL, &t, &error), -EINVAL);
    assert_mentions(error.text, "metrics");
    ck_assert_int_eq(tally_config_check(c, NULL), -EINVAL);
}
END_TEST

/* What a top goes by is collected, whatever is sent; but not against the option collect. */
START_TEST(what_a_top_goes_by) {
    struct tally_error error;
    set(c, "metrics", "cpu_*");
    set(c, "top", "5 by io");
    ck_assert_uint_eq(plain_settings_of(c).collect, 1u << COLLECT_IO);
    ck_assert_int_eq(plain_settings_of(c).top_by, TOP_BY_IO);
    ck_assert_uint_eq(plain_settings_of(c).top, 5);
    set(c, "top", "5 by network");
    ck_assert_uint_eq(plain_settings_of(c).collect, 1u << COLLECT_NETWORK);
    set(c, "top", "5 by memory");
    ck_assert_uint_eq(plain_settings_of(c).collect, 0);
    ck_assert(!plain_settings_of(c).spares_memory);
    ck_assert_int_eq(tally_config_check(c, &error), 0);
    set(c, "collect", "no-io");
    set(c, "top", "5 by io");
    ck_assert_int_eq(tally_config_check(c, &error), -EINVAL);
    assert_one_line(error.text);
    assert_mentions(error.text, "no-io");
}
END_TEST

START_TEST(a_word_of_which_nothing_comes) {
    struct tally_error text;
    set(c, "metrics", "cpu_*,memory_pss*,memory_*");
    ck_assert(tally_config_warning(c, 0, &text));
    assert_one_line(text.text);
    assert_mentions(text.text, "\"memory_pss*\"");
    assert_mentions(text.text, "collect: [pss]");
    ck_assert(!tally_config_warning(c, 1, &text));
    set(c, "collect", "pss");
    ck_assert(!tally_config_warning(c, 0, &text));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("choice");
    TCase *tc = add_case(suite, "choice");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, without_globs_all_is_sent);
    tcase_add_test(tc, only_what_a_glob_matches);
    tcase_add_test(tc, the_last_that_matches_decides);
    tcase_add_test(tc, begins_with_all_if_the_first_takes_away);
    tcase_add_test(tc, a_sum_stands_for_its_parts);
    tcase_add_test(tc, threads_by_name);
    tcase_add_loop_test(tc, what_is_not_sent_is_not_collected, 0, COUNT(offs));
    tcase_add_test(tc, as_long_as_one_is_left_it_is_collected);
    tcase_add_test(tc, files_that_are_spared);
    tcase_add_test(tc, only_a_whole_id_switches_on);
    tcase_add_test(tc, collect_can_say_no);
    tcase_add_loop_test(tc, a_glob_that_matches_nothing, 0, COUNT(mistakes));
    tcase_add_test(tc, a_word_of_any_length);
    tcase_add_loop_test(tc, a_choice_of_nothing, 0, COUNT(nothing));
    tcase_add_test(tc, what_a_top_goes_by);
    tcase_add_test(tc, a_word_of_which_nothing_comes);
    return run_suite(suite);
}
