/* SPDX-License-Identifier: MIT */
/* What is asked of macOS outside of the source: open.c, here in place of what Linux has of that,
 * on a Mac that is made up. */
#include "mac.h"

#include "suite.h"

#include <errno.h>
#include <string.h>

int darwin_calls_open(struct darwin_calls *ret) {
    *ret = mac_calls;
    return 0;
}

/* ---- What it is asked for ----------------------------------------------------------------- */

/* What asks for another source asks for what is not there. */
START_TEST(other_sources_are_refused) {
    static char pin[] = "/x";
    static const struct {
        enum source_choice source;
        char *pin;
        const char *why;
    } cases[] = {
        {SOURCE_AUTO, NULL, NULL},
        {SOURCE_PROCFS, NULL, "source procfs is not there on macOS; expected source auto"},
        {SOURCE_BPF, NULL, "source bpf is not there on macOS; expected source auto"},
        {SOURCE_BPF, pin, "source bpf is not there on macOS; expected source auto, without pin"},
        {SOURCE_AUTO, pin, "what pin is for is not there on macOS; expected source auto, without "
                            "pin"},
    };
    struct settings settings = {.source = cases[_i].source, .pin_dir = cases[_i].pin};
    const struct source_needs needs = {0};
    struct tally_error error, why_not;
    struct source *s = NULL;
    int r = source_open(&settings, &tree_io, &needs, &s, &error, &why_not);
    ck_assert_int_eq(r, cases[_i].why ? -ENOTSUP : 0);
    if (cases[_i].why)
        ck_assert_str_eq(error.text, cases[_i].why);
    else
        s->ops->free(s);
}
END_TEST

START_TEST(names_of_containers_are_not_there) {
    struct tally_error text;
    int said = 0;
    tally *t = tree_collector("container-names", "true", "collect", "pss", NULL);
    for (int i = 0; i < 2; i++) {
        clock_set(1000 + 10 * i);
        tree_collect(t);
    }
    while (tally_notice(t, &text))
        said += strcmp(text.text, "absent, as this system has nothing of the kind: pss, "
                                  "container-names") == 0;
    ck_assert_int_eq(said, 1);
    tally_free(t);
}
END_TEST

/* ---- One process ---------------------------------------------------------------------------- */

static struct mac_process *start_after_step(void) {
    struct mac_process *p = mac_start(300, 1, "old", 900);
    mac.clock_step_s = -1800;
    clock_step_realtime(-1800);
    p = mac_start(301, 300, "new", 1005);
    p->path = "/bin/new";
    p->arguments = "/bin/new\0\0/bin/new\0-x\0HOME=/";
    p->arguments_len = 29;
    p->argument_count = 2;
    return p;
}

static const struct tally_process *find_shown_of(const tally_snapshot *s, pid_t pid, size_t *ret) {
    for (*ret = 0; *ret < tally_snapshot_processes(s); ++*ret)
        if (tally_snapshot_process(s, *ret)->pid == pid)
            return tally_snapshot_process(s, *ret);
    return NULL;
}

/* The clock was set back before it started; and who has its pid then is another one. */
START_TEST(texts) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    char text[100];
    size_t at;
    struct mac_process *p = start_after_step();
    tally *t = tree_collector_with(&opts, NULL, NULL);
    clock_set(1010);
    const tally_snapshot *s = tree_collect(t);
    ck_assert_ptr_nonnull(find_shown_of(s, 301, &at));
    ck_assert_int_eq(tally_snapshot_process_text(s, at, TALLY_PROCESS_EXE, text, sizeof(text)), 8);
    ck_assert_mem_eq(text, "/bin/new", 8);
    ck_assert_int_eq(tally_snapshot_process_text(s, at, TALLY_PROCESS_CMDLINE, text, 11), 11);
    ck_assert_mem_eq(text, "/bin/new\0-x", 11);
    ck_assert_int_eq(tally_snapshot_process_text(s, at, TALLY_PROCESS_UNIT, text, 11), 0);
    mac_end(p);
    ck_assert_int_eq(tally_snapshot_process_text(s, at, TALLY_PROCESS_EXE, text, sizeof(text)), 0);
    mac_reap(p);
    ck_assert_int_eq(tally_snapshot_process_text(s, at, TALLY_PROCESS_EXE, text, sizeof(text)),
                     -ESRCH);
    mac_start(301, 1, "another", 1012)->path = "/bin/another";
    ck_assert_int_eq(tally_snapshot_process_text(s, at, TALLY_PROCESS_EXE, text, sizeof(text)),
                     -ESRCH);
    tally_free(t);
}
END_TEST

START_TEST(following) {
    const pid_t pid = 301;
    const struct tally_new_opts opts = {.size = sizeof(opts), .follow = &pid, .follow_count = 1};
    clock_set(1010);
    start_after_step();
    tally *t = tree_collector_with(&opts, NULL, NULL);
    mac_start(302, 301, "child", 1011);
    clock_set(1020);
    tree_collect(t);
    ck_assert(has_group(t, "new"));
    ck_assert(has_group(t, "child"));
    ck_assert(!has_group(t, "old"));
    tally_free(t);
    const unsigned freed = mac.freed;
    struct sample s;
    ck_assert_int_eq(source_lookup(&tree_io, "", 999, false, &s), -ESRCH);
    ck_assert_uint_eq(mac.freed, freed + 1);
}
END_TEST

/* ---- The host ------------------------------------------------------------------------------- */

static uint64_t host_ms(const tally_snapshot *s, const char *id) {
    size_t metric;
    uint64_t value;
    ck_assert_int_eq(tally_metric_find(id, &metric), 0);
    ck_assert(tally_snapshot_value(s, 0, metric, &value));
    return value / 1000000;
}

/* The kernel's hundredths of a second wrap around: what is shown goes on. */
START_TEST(host_times) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_HOST};
    mac.host.idle = UINT32_MAX - 50;
    mac.host.user = 500;
    mac.host.system = 300;
    mac.host.nice = 100;
    tally *t = tree_collector_with(&opts, NULL, NULL);
    clock_set(1000);
    const tally_snapshot *s = tree_collect(t);
    ck_assert_uint_eq(host_ms(s, "host_cpu_user"), 5000);
    ck_assert_uint_eq(host_ms(s, "host_cpu_nice"), 1000);
    ck_assert_uint_eq(host_ms(s, "host_cpu_system"), 3000);
    ck_assert_uint_eq(host_ms(s, "host_cpu_idle"), (UINT64_C(1) << 32) * 10 - 510);
    mac.host.idle += 150;
    mac.host.user += 10;
    clock_set(1010);
    s = tree_collect(t);
    ck_assert_uint_eq(host_ms(s, "host_cpu_user"), 5100);
    ck_assert_uint_eq(host_ms(s, "host_cpu_idle"), (UINT64_C(1) << 32) * 10 - 510 + 1500);
    mac.host.idle--; /* a little back */
    clock_set(1020);
    s = tree_collect(t);
    ck_assert_uint_eq(host_ms(s, "host_cpu_idle"), (UINT64_C(1) << 32) * 10 - 510 + 1500);
    tally_free(t);
}
END_TEST

/* ---- Another collector goes on -------------------------------------------------------------- */

/* Traffic of the time since the last collection, and from before a first list of the new one:
 * nothing of it is lost, nor counted by both. */
START_TEST(inherit) {
    struct mac_process *a = mac_start(300, 1, "a", 900);
    struct mac_flow *f = mac_flow(2, a);
    tally *t = tree_collector(NULL, NULL);
    f->sent_bytes = 1000000;
    clock_set(1000);
    tree_collect(t);
    f->sent_bytes += 100;
    clock_set(1010);
    tree_collect(t);
    ck_assert_uint_eq(value_of(t, "a", METRIC_TRANSMITTED_BYTES_TCP), 100);
    f->sent_bytes += 20;
    mac_flow(2, a)->sent_bytes = 5000;
    clock_set(1015);
    tally *u = tree_collector_from(t, NULL, NULL);
    tally_free(t);
    f->sent_bytes += 3;
    clock_set(1020);
    tree_collect(u);
    ck_assert_uint_eq(value_of(u, "a", METRIC_TRANSMITTED_BYTES_TCP), 5123);
    f->sent_bytes += 1;
    clock_set(1030);
    tree_collect(u);
    ck_assert_uint_eq(value_of(u, "a", METRIC_TRANSMITTED_BYTES_TCP), 5124);
    tally_free(u);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("darwin_open");
    TCase *tc = add_case(suite, "asked for");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_loop_test(tc, other_sources_are_refused, 0, 5);
    tcase_add_test(tc, names_of_containers_are_not_there);

    tc = add_case(suite, "one process");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, texts);
    tcase_add_test(tc, following);

    tc = add_case(suite, "host");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, host_times);

    tc = add_case(suite, "another collector");
    tcase_add_checked_fixture(tc, mac_open, mac_close);
    tcase_add_test(tc, inherit);
    return run_suite(suite);
}
