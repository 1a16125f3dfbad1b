/* SPDX-License-Identifier: MIT */
/* What proctally-fs shows of a snapshot: each value that is known, in one file, and nothing else;
 * on a recorded /proc with a clock of its own. */
#include "content.h"
#include "failing_memory.h"
#include "names.h"
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOTH (TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST)

static struct recorded shell, worker, other;
static tally *t;
static struct content *content;
static int refused, refreshed;

static int refresh(void *data) {
    (void)data;
    refreshed++;
    return refused;
}

static void collect_at(double seconds) {
    clock_set(seconds);
    ck_assert_int_eq(content_set(content, tree_collect(t)), 0);
}

static void setup(void) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = BOTH};
    tree_open();
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh",
                              .utime = 10, .rss_pages = 7, .fds = 3};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker",
                               .nice = -5, .vsize = 1 << 20};
    other = (struct recorded){.pid = 300, .ppid = 1, .start_ticks = 7000, .comm = "sh"};
    tree_put(&shell);
    tree_put(&worker);
    tree_put(&other);
    t = tree_collector_with(&opts, "group-by", "name,user", "expire-after", "0s", NULL);
    refused = refreshed = 0;
    ck_assert_int_eq(content_new(refresh, NULL, &content), 0);
    collect_at(1000);
    shell.utime = 25;
    tree_put(&shell);
    collect_at(1010);
}

static void teardown(void) {
    content_free(content);
    tally_free(t);
    tree_close();
}

/* ---- As the tree asks --------------------------------------------------------------------- */

struct tree_list {
    size_t count;
    char names[128][300];
    uint64_t ids[128];
    bool are_directories[128];
};

int tree_list_add(struct tree_list *list, const char *name, uint64_t id, bool is_directory) {
    ck_assert_uint_lt(list->count, 128);
    snprintf(list->names[list->count], sizeof(list->names[0]), "%s", name);
    list->are_directories[list->count] = is_directory;
    list->ids[list->count++] = id;
    return 0;
}

/* Each name on the way is looked up. */
static int find(const char *path, struct tree_node *ret) {
    char rest[1024], *at = rest;
    int r = content_ops.look(content, TREE_ROOT, ret);
    snprintf(rest, sizeof(rest), "%s", path);
    for (char *name; r == 0 && (name = strsep(&at, "/"));) {
        const uint64_t directory = ret->id;
        r = *name ? content_ops.lookup(content, directory, name, ret) : 0;
    }
    return r;
}

static uint64_t id_of(const char *path) {
    struct tree_node node = {0};
    ck_assert_msg(find(path, &node) == 0, "no %s", path);
    return node.id;
}

static void done_with(struct tree_text *text) {
    text->release(text->owner);
}

/* Valid until the next call. */
static const char *read_path(const char *path) {
    static char copy[65536];
    struct tree_node node, again;
    struct tree_text text;
    ck_assert_msg(find(path, &node) == 0, "no %s", path);
    ck_assert(!node.is_directory && !node.is_writable);
    ck_assert_int_eq(content_ops.look(content, node.id, &again), 0);
    ck_assert_mem_eq(&node.changed, &again.changed, sizeof(node.changed));
    ck_assert_int_eq(content_ops.text(content, node.id, &text), 0);
    ck_assert_uint_eq(text.len, node.size_bytes);
    ck_assert_uint_eq(text.len, again.size_bytes);
    ck_assert_uint_lt(text.len, sizeof(copy));
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    done_with(&text);
    return copy;
}

static void list_path(const char *path, struct tree_list *ret) {
    *ret = (struct tree_list){0};
    ck_assert_int_eq(content_ops.list(content, id_of(path), ret), 0);
}

static bool is_listed(const struct tree_list *list, const char *name, uint64_t *ret_id) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->names[i], name) == 0) {
            *ret_id = list->ids[i];
            return true;
        }
    return false;
}

/* ---- Files ------------------------------------------------------------------------------------ */

/* What the encoders say of the same value. */
static void shown(const tally_snapshot *s, size_t metric, uint64_t value, char *to, size_t size) {
    const struct tally_number n = tally_present(s, metric, TALLY_FORM_NATURAL, value);
    int len = snprintf(to, size, "%s%" PRIu64 ".%09" PRIu32, n.negative ? "-" : "", n.whole,
                       n.billionths);
    while (to[len - 1] == '0')
        len--;
    if (to[len - 1] == '.')
        len--;
    snprintf(to + len, size - (size_t)len, "\n");
}

/* All metrics of a scope in a directory: a file for each that is known, and for no other. */
static size_t check_files(const char *directory, enum tally_scope scope, size_t fixed,
                          const tally_snapshot *s, size_t group, size_t process) {
    struct names names;
    struct tree_list list;
    char all[8192] = "", path[600], text[64];
    size_t known = 0;
    ck_assert_int_eq(names_new(scope, &names), 0);
    list_path(directory, &list);
    for (size_t m = names.first; m < names.first + names.count; m++) {
        const char *name = names_of(&names, m);
        struct tree_node node;
        uint64_t value, id;
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        const bool is_known = process == SIZE_MAX
                                  ? tally_snapshot_value(s, group, m, &value)
                                  : tally_snapshot_process_value(s, process, m, &value);
        ck_assert_msg(is_listed(&list, name, &id) == is_known, "%s", path);
        ck_assert_int_eq(find(path, &node), is_known ? 0 : -ENOENT);
        if (!is_known)
            continue;
        ck_assert_uint_eq(node.id, id);
        shown(s, m, value, text, sizeof(text));
        ck_assert_str_eq(read_path(path), text);
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s %s", name, text);
        known++;
    }
    snprintf(path, sizeof(path), "%s/all", directory);
    ck_assert_str_eq(read_path(path), all);
    ck_assert_uint_eq(list.count, known + fixed);
    names_free(&names);
    return known;
}

START_TEST(each_known_value_is_a_file) {
    const tally_snapshot *s = tree_collect(t);
    ck_assert_int_eq(content_set(content, s), 0);
    ck_assert_uint_eq(tally_snapshot_groups(s), 2);
    ck_assert_uint_gt(check_files("groups/sh:root", TALLY_SCOPE_GROUP, 3, s, 0, SIZE_MAX), 30);
    ck_assert_uint_gt(check_files("groups/worker:root", TALLY_SCOPE_GROUP, 3, s, 1, SIZE_MAX), 30);
    ck_assert_uint_gt(check_files("self", TALLY_SCOPE_SELF, 1, s, 0, SIZE_MAX), 5);
    ck_assert_uint_gt(check_files("host", TALLY_SCOPE_HOST, 1, s, 0, SIZE_MAX), 5);
    ck_assert_uint_gt(check_files("groups/sh:root/processes/100", TALLY_SCOPE_GROUP, 2, s, 0, 0),
                      20);
    ck_assert_uint_gt(check_files("groups/worker:root/processes/200", TALLY_SCOPE_GROUP, 2, s, 0,
                                  1), 20);
}
END_TEST

START_TEST(values_that_are_known_beforehand) {
    ck_assert_str_eq(read_path("groups/sh:root/cpu_user_seconds"), "0.15\n");
    ck_assert_str_eq(read_path("groups/sh:root/process_count"), "2\n");
    ck_assert_str_eq(read_path("groups/sh:root/processes/100/cpu_user_seconds"), "0.25\n");
    ck_assert_str_eq(read_path("groups/worker:root/nice"), "-5\n");
    ck_assert_str_eq(read_path("groups/worker:root/memory_vms_bytes"), "1048576\n");
    ck_assert_str_eq(read_path("self/groups"), "2\n");
    ck_assert_str_eq(read_path("time"), "1700001010.000000000\n");
    ck_assert_str_eq(read_path("groups/sh:root/labels"),
                     "groupname=sh:root\nname=sh\nuser=root\n");
    ck_assert_str_eq(read_path("groups/worker:root/processes/200/labels"),
                     "pid=200\nppid=100\nname=worker\nuser=root\nstate=S\n"
                     "groupname=worker:root\n");
    struct tree_node node;
    ck_assert_int_eq(find("groups/sh:root/threads", &node), 0);
    ck_assert_int_eq(node.changed.tv_sec, 1700001010);
}
END_TEST

static void put_thread(uint32_t tid, const char *name, uint64_t utime) {
    char file[64];
    tree_put_thread(200, tid, 'S', 4, 1, 0);
    tree_put_thread_stat(200, tid, name, utime, 6000);
    snprintf(file, sizeof(file), "task/%" PRIu32 "/wchan", tid);
    tree_put_file(200, file, "do_sys_poll");
}

START_TEST(threads_by_name) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = BOTH};
    struct tree_node node;
    struct tree_list list;
    uint64_t id;
    ck_assert_int_eq(find("groups/worker:root/thread_names", &node), -ENOENT);
    ck_assert_int_eq(find("groups/worker:root/wait_channels", &node), -ENOENT);
    tally_free(t);
    t = tree_collector_with(&opts, "group-by", "name,user", "collect", "thread-names", NULL);
    worker.threads = 2;
    tree_put(&worker);
    put_thread(200, "worker", 100);
    put_thread(201, "to the disk", 7);
    collect_at(1020);
    put_thread(201, "to the disk", 57);
    worker.utime += 50;
    tree_put(&worker);
    collect_at(1030);
    list_path("groups/worker:root", &list);
    ck_assert(is_listed(&list, "thread_names", &id) && is_listed(&list, "wait_channels", &id));
    ck_assert_uint_eq(id, id_of("groups/worker:root/wait_channels"));
    ck_assert_str_eq(read_path("groups/worker:root/thread_names"),
                     "thread_count 1 to the disk\n"
                     "thread_cpu_user_seconds 0.5 to the disk\n"
                     "thread_cpu_system_seconds 0 to the disk\n"
                     "thread_page_faults_minor 0 to the disk\n"
                     "thread_page_faults_major 0 to the disk\n"
                     "thread_context_switches_voluntary 0 to the disk\n"
                     "thread_context_switches_involuntary 0 to the disk\n"
                     "thread_count 1 worker\n"
                     "thread_cpu_user_seconds 0 worker\n"
                     "thread_cpu_system_seconds 0 worker\n"
                     "thread_page_faults_minor 0 worker\n"
                     "thread_page_faults_major 0 worker\n"
                     "thread_context_switches_voluntary 0 worker\n"
                     "thread_context_switches_involuntary 0 worker\n");
    ck_assert_str_eq(read_path("groups/worker:root/wait_channels"), "threads_wchan 2 do_sys_poll\n");
    ck_assert_str_eq(read_path("groups/worker:root/threads"), "2\n");
    list_path("groups/worker:root/processes/200", &list);
    ck_assert(!is_listed(&list, "thread_names", &id));
}
END_TEST

START_TEST(whole_texts_are_the_encoders) {
    const char *text;
    size_t len;
    struct tree_text one, two;
    ck_assert_int_eq(content_set(content, tree_collect(t)), 0);
    ck_assert_int_eq(tree_prometheus(t, &text, &len), 0);
    ck_assert_str_eq(read_path("metrics"), text);
    ck_assert_int_eq(tree_influx(t, &text, &len), 0);
    ck_assert_str_eq(read_path("influx"), text);
    /* made once, and there as long as somebody has it */
    ck_assert_int_eq(content_ops.text(content, id_of("metrics"), &one), 0);
    ck_assert_int_eq(content_ops.text(content, id_of("metrics"), &two), 0);
    ck_assert_ptr_eq(one.data, two.data);
    char *before = strndup(one.data, one.len);
    done_with(&two);
    worker.utime = 999;
    tree_put(&worker);
    collect_at(1020);
    ck_assert_mem_eq(one.data, before, one.len);
    ck_assert_str_ne(read_path("metrics"), before);
    free(before);
    done_with(&one);
}
END_TEST

START_TEST(names_of_files) {
    static const struct {
        enum tally_scope scope;
        const char *id, *name;
    } wanted[] = {
        {TALLY_SCOPE_GROUP, "processes", "process_count"}, /* beside the directory processes */
        {TALLY_SCOPE_GROUP, "threads", "threads"},
        {TALLY_SCOPE_GROUP, "cpu_user", "cpu_user_seconds"},
        {TALLY_SCOPE_GROUP, "cpu_usage", "cpu_usage_ratio"},
        {TALLY_SCOPE_GROUP, "worst_fd_ratio", "worst_fd_ratio"},
        {TALLY_SCOPE_GROUP, "memory_rss", "memory_rss_bytes"},
        {TALLY_SCOPE_GROUP, "disk_read", "disk_read_bytes"},
        {TALLY_SCOPE_GROUP, "network_receive_bytes_tcp", "network_receive_bytes_tcp"},
        {TALLY_SCOPE_GROUP, "start_time", "start_time_seconds"},
        {TALLY_SCOPE_SELF, "processes_seen", "processes_seen"},
        {TALLY_SCOPE_SELF, "collection_duration", "collection_duration_seconds"},
        {TALLY_SCOPE_HOST, "host_load_1", "load_1"},
        {TALLY_SCOPE_HOST, "host_uptime", "uptime_seconds"},
        {TALLY_SCOPE_HOST, "host_memory_total", "memory_total_bytes"},
    };
    struct names names;
    size_t metric, found;
    ck_assert_int_eq(tally_metric_find(wanted[_i].id, &metric), 0);
    ck_assert_int_eq(names_new(wanted[_i].scope, &names), 0);
    ck_assert_str_eq(names_of(&names, metric), wanted[_i].name);
    ck_assert(names_find(&names, wanted[_i].name, &found) && found == metric);
    ck_assert(!names_find(&names, "nothing", &found));
    /* no two are the same, and none is cut */
    for (size_t i = 0; i < names.count; i++) {
        ck_assert(names_find(&names, names.names[i], &found) && found == names.first + i);
        ck_assert_uint_lt(strlen(names.names[i]), sizeof(names.names[i]) - 1);
    }
    names_free(&names);
}
END_TEST

/* ---- What comes and goes ------------------------------------------------------------------------ */

static bool is_gone(uint64_t id) {
    struct tree_node node;
    struct tree_text text;
    const int r = content_ops.look(content, id, &node);
    ck_assert_int_eq(content_ops.text(content, id, &text), r == 0 ? -EISDIR : r);
    ck_assert(r == 0 || r == -ENOENT);
    return r != 0;
}

START_TEST(groups_keep_their_numbers) {
    const uint64_t sh = id_of("groups/sh:root"), gone = id_of("groups/worker:root");
    struct tree_node node;
    struct tree_list list;
    ck_assert_uint_ne(sh, gone);
    tree_remove(200);
    collect_at(1020);
    collect_at(1030);
    ck_assert_uint_eq(id_of("groups/sh:root"), sh);
    ck_assert_int_eq(find("groups/worker:root", &node), -ENOENT);
    ck_assert(is_gone(gone));
    list = (struct tree_list){0};
    ck_assert_int_eq(content_ops.list(content, gone, &list), -ENOENT);
    list_path("groups", &list);
    ck_assert_uint_eq(list.count, 1);
    worker.start_ticks = 100000;
    tree_put(&worker);
    struct recorded another = {.pid = 400, .ppid = 1, .start_ticks = 100000, .comm = "a"};
    tree_put(&another);
    collect_at(1040);
    ck_assert_uint_eq(id_of("groups/worker:root"), gone);
    ck_assert_uint_eq(id_of("groups/sh:root"), sh);
    ck_assert_str_eq(read_path("groups/a:root/process_count"), "1\n");
    ck_assert_str_eq(read_path("groups/sh:root/process_count"), "2\n");
}
END_TEST

START_TEST(a_pid_that_is_used_again_is_another_process) {
    const uint64_t before = id_of("groups/worker:root/processes/200");
    worker.start_ticks += 40000;
    worker.utime++;
    tree_put(&worker);
    collect_at(1020);
    ck_assert(is_gone(before));
    ck_assert_uint_ne(id_of("groups/worker:root/processes/200"), before);
}
END_TEST

START_TEST(a_process_is_in_its_group_only) {
    struct tree_list list;
    struct tree_node node;
    list_path("groups/sh:root/processes", &list);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.names[0], "100");
    ck_assert_str_eq(list.names[1], "300");
    ck_assert_uint_eq(list.ids[1], id_of("groups/sh:root/processes/300"));
    static const char *const missing[] = {"200", "0", "1", "0100", "-100", "100x", "", "1000000000000"};
    for (int i = 0; i < COUNT(missing); i++) {
        const uint64_t processes = id_of("groups/sh:root/processes");
        ck_assert_int_eq(content_ops.lookup(content, processes, missing[i], &node), -ENOENT);
    }
    const uint64_t same = id_of("groups/sh:root/processes/300");
    other.comm = "worker";
    other.utime++;
    tree_put(&other);
    collect_at(1020);
    list_path("groups/sh:root/processes", &list);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_uint_eq(id_of("groups/worker:root/processes/300"), same);
    list_path("groups/worker:root/processes", &list);
    ck_assert_uint_eq(list.count, 2);
}
END_TEST

START_TEST(nobody_knows) {
    struct tree_node node;
    struct tree_list list = {0};
    struct tree_text text;
    const uint64_t metrics = id_of("metrics"), group = id_of("groups/sh:root"),
                   one = id_of("groups/sh:root/processes/100/threads"),
                   threads = id_of("groups/sh:root/threads");
    for (int i = 0; i < 2; i++) {
        /* first because nobody could ask, then because nothing came of it */
        refused = i == 0 ? -EIO : 0;
        if (i == 1)
            ck_assert_int_eq(content_set(content, NULL), 0);
        ck_assert_int_eq(find("metrics", &node), -EIO);
        ck_assert_int_eq(content_ops.text(content, metrics, &text), -EIO);
        ck_assert_int_eq(content_ops.text(content, threads, &text), -EIO);
        ck_assert_int_eq(content_ops.look(content, one, NULL), -EIO);
        ck_assert_int_eq(content_ops.list(content, group, &list), -EIO);
        ck_assert_uint_eq(list.count, 0);
        ck_assert_int_eq(content_ops.list(content, TREE_ROOT, &list), 0);
        ck_assert_uint_eq(list.count, 6);
        list.count = 0;
    }
    collect_at(1030);
    ck_assert_str_eq(read_path("groups/sh:root/threads"), "2\n");
}
END_TEST

START_TEST(a_look_at_a_directory_collects_nothing) {
    const uint64_t groups = id_of("groups"), group = id_of("groups/sh:root"),
                   file = id_of("groups/sh:root/threads");
    struct tree_node node;
    const int before = refreshed;
    ck_assert_int_eq(content_ops.look(content, groups, &node), 0);
    ck_assert_int_eq(content_ops.look(content, group, &node), 0);
    ck_assert_int_eq(content_ops.look(content, TREE_ROOT, NULL), 0);
    ck_assert_int_eq(refreshed, before);
    ck_assert_int_eq(content_ops.look(content, file, &node), 0);
    ck_assert_int_eq(refreshed, before + 1);
    ck_assert_int_eq(content_ops.lookup(content, file, "x", &node), -ENOTDIR);
    ck_assert_int_eq(content_ops.list(content, file, NULL), -ENOTDIR);
}
END_TEST

/* Whatever there is no memory for is refused, and works the next time. */
START_TEST(memory_runs_out) {
    const tally_snapshot *s = tree_collect(t);
    const uint64_t metrics = id_of("metrics"), threads = id_of("groups/sh:root/threads"),
                   all = id_of("self/all"), processes = id_of("groups/sh:root/processes");
    int failed = 0;
    for (long n = 1;; n++) {
        struct content *c;
        struct tree_text text = {0};
        struct tree_list list = {0};
        allocations = 0;
        fail_allocation_at = n;
        int r = content_new(refresh, NULL, &c);
        if (r < 0) {
            ck_assert_int_eq(r, -ENOMEM);
            fail_allocation_at = 0;
            failed++;
            continue;
        }
        for (int i = 0; i < 5; i++) {
            r = i == 0 ? content_set(c, s)
                : i == 1 ? content_ops.text(c, metrics, &text)
                : i == 2 ? content_ops.text(c, threads, &text)
                : i == 3 ? content_ops.text(c, all, &text)
                         : content_ops.list(c, processes, &list);
            if (r < 0) {
                ck_assert_int_eq(r, -ENOMEM);
                failed++;
                fail_allocation_at = 0;
                i--; /* again */
            } else if (i > 0 && i < 4) {
                done_with(&text);
            }
        }
        const bool is_over = fail_allocation_at != 0;
        fail_allocation_at = 0;
        ck_assert_uint_eq(list.count, 2);
        content_free(c);
        if (is_over)
            break;
    }
    ck_assert_int_gt(failed, 12);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fs_content");
    TCase *tc = add_case(suite, "content");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, each_known_value_is_a_file);
    tcase_add_test(tc, values_that_are_known_beforehand);
    tcase_add_test(tc, threads_by_name);
    tcase_add_test(tc, whole_texts_are_the_encoders);
    tcase_add_loop_test(tc, names_of_files, 0, 14);
    tcase_add_test(tc, groups_keep_their_numbers);
    tcase_add_test(tc, a_pid_that_is_used_again_is_another_process);
    tcase_add_test(tc, a_process_is_in_its_group_only);
    tcase_add_test(tc, nobody_knows);
    tcase_add_test(tc, a_look_at_a_directory_collects_nothing);
    tcase_add_test(tc, memory_runs_out);
    return run_suite(suite);
}
