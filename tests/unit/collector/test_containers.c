/* SPDX-License-Identifier: MIT */
/* Containers by name: from each runtime's files on a recorded host, from none, and from what
 * is there in their place. */
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHORT "0123456789ab"
#define CONTAINERD "run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json"
#define DOCKER "var/lib/docker/containers/" ID "/config.v2.json"
#define STORAGE "var/lib/containers/storage/overlay-containers/"

static struct recorded process;

static void setup(void) {
    tree_open();
    process = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "nginx",
                                .cgroup = "0::/kubepods/burstable/pod1/" ID "\n"};
    tree_put(&process);
}

static tally *collected(void) {
    tally *t = tree_collector("group-by", "container", "container-names", "true", NULL);
    clock_set(1000);
    tree_collect(t);
    return t;
}

/* The labels of the only group, but for its key: "KEY=VALUE …", in their order. */
static const char *labels_of(tally *t) {
    static char text[3000];
    const char *key, *value;
    size_t len = 0;
    text[0] = '\0';
    ck_assert(has_group(t, SHORT));
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 1);
    for (size_t i = 0; tally_snapshot_label(t->snapshots.current, 0, i, &key, &value); i++)
        if (strcmp(key, "container") != 0)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s=%s", len ? " " : "", key,
                                    value);
    return text;
}

static void expect(const char *labels) {
    tally *t = collected();
    ck_assert_str_eq(labels_of(t), labels);
    tally_free(t);
}

static const struct {
    const char *file, *content, *labels;
} hosts[] = {
    {CONTAINERD,
     "{\"annotations\":{\"io.kubernetes.cri.container-name\":\"nginx\",\"io.kubernetes.cri.image-name\":"
     "\"nginx:1.25\",\"io.kubernetes.cri.sandbox-name\":\"web\",\"io.kubernetes.cri.sandbox-namespace\":"
     "\"shop\"}}",
     "pod=web namespace=shop container_name=nginx image=nginx:1.25"},
    {"run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json",
     "{\"annotations\":{\"io.kubernetes.cri.sandbox-name\":\"web\"}}", "pod=web"},
    {"run/containerd/io.containerd.runtime.v2.task/default/" ID "/config.json",
     "{\"annotations\":{\"nerdctl/name\":\"box\"}}", "container_name=box"},
    {"run/containers/storage/overlay-containers/" ID "/userdata/config.json",
     "{\"annotations\":{\"io.kubernetes.container.name\":\"nginx\",\"io.kubernetes.pod.name\":\"web\","
     "\"io.kubernetes.pod.namespace\":\"shop\"}}",
     "pod=web namespace=shop container_name=nginx"},
    {DOCKER, "{\"Config\":{\"Image\":\"redis:7\",\"Labels\":{}},\"Name\":\"/cache\"}",
     "container_name=cache image=redis:7"},
    {STORAGE "containers.json",
     "[{\"id\":\"" ID "\",\"metadata\":\"{\\\"image-name\\\":\\\"postgres:16\\\",\\\"name\\\":\\\"db\\\"}\"}]",
     "container_name=db image=postgres:16"},
    {STORAGE "volatile-containers.json",
     "[{\"id\":\"" ID "\",\"metadata\":\"{\\\"name\\\":\\\"db\\\"}\"}]", "container_name=db"},
    {"var/log/containers/web_shop_nginx-" ID ".log", "", "pod=web namespace=shop container_name=nginx"},
    /* made fit to be shown */
    {DOCKER, "{\"Name\":\"/a\\u001b[2J\\nb\\u202e\\ud800\xff\\\"\"}",
     "container_name=a?[2J?b?\xef\xbf\xbd\xef\xbf\xbd\""},
    {DOCKER, "{\"Name\":\"/a\\u0000b\"}", "container_name=a?b"},
    /* nothing that can be used */
    {DOCKER, "", ""},
    {DOCKER, "no JSON", ""},
    {DOCKER, "{\"Name\":\"/cache\"", ""},
    {DOCKER, "{\"Name\":[\"/cache\"],\"Config\":{\"Image\":7}}", ""},
    {DOCKER "/directory", "", ""},
    {STORAGE "containers.json", "{\"id\":\"" ID "\"}", ""},
    {"var/log/containers/web_shop_nginx-" ID ".log.1", "", ""},
};

START_TEST(by_each_runtime) {
    tree_put_beside(hosts[_i].file, hosts[_i].content);
    expect(hosts[_i].labels);
}
END_TEST

START_TEST(unless_not_asked_for) {
    tree_put_beside(DOCKER, "{\"Name\":\"/cache\"}");
    tally *t = tree_collector("group-by", "container", NULL);
    clock_set(1000);
    tree_collect(t);
    ck_assert_ptr_null(t->containers);
    ck_assert_str_eq(labels_of(t), "");
    tally_free(t);
}
END_TEST

START_TEST(no_container_key_no_labels) {
    tree_put_beside(DOCKER, "{\"Name\":\"/cache\"}");
    tally *t = tree_collector("group-by", "name", "container-names", "true", NULL);
    const char *key, *value;
    clock_set(1000);
    tree_collect(t);
    ck_assert(has_group(t, "nginx"));
    ck_assert(!tally_snapshot_label(t->snapshots.current, 0, 0, &key, &value));
    tally_free(t);
}
END_TEST

/* ---- In place of a file -------------------------------------------------------------------------- */

static const char *path_of(const char *name) {
    static char path[700];
    snprintf(path, sizeof(path), "%s/../%s", tree_path(), name);
    return path;
}

START_TEST(a_link) {
    tree_put_beside("elsewhere", "{\"Name\":\"/cache\"}");
    tree_put_beside(DOCKER ".other", "");
    ck_assert_int_eq(symlink("../../../../../elsewhere", path_of(DOCKER)), 0);
    ck_assert_int_eq(access(path_of(DOCKER), R_OK), 0);
    expect("");
}
END_TEST

START_TEST(a_pipe) {
    tree_put_beside(DOCKER ".other", "");
    ck_assert_int_eq(mkfifo(path_of(DOCKER), 0600), 0);
    expect(""); /* and does not wait */
}
END_TEST

static void put_padded(size_t len) {
    static const char document[] = "{\"Name\":\"/cache\"}";
    char *text = malloc(len + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, ' ', len);
    memcpy(text, document, sizeof(document) - 1);
    text[len] = '\0';
    tree_put_beside(DOCKER, text);
    free(text);
}

START_TEST(a_large_one) {
    put_padded((1 << 20) + 1);
    expect("");
    put_padded(1 << 20);
    expect("container_name=cache");
}
END_TEST

/* ---- Over time --------------------------------------------------------------------------------------- */

static int opened;
static int counting_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    opened += strstr(path, "config.v2.json") != NULL;
    return tree_io.openat(data, dir_fd, path, flags, mode);
}

/* However many processes it has, and however often they are looked at. */
START_TEST(it_is_read_once) {
    tree_put_beside(DOCKER, "{\"Name\":\"/cache\"}");
    tally *t = tree_collector("group-by", "container", "container-names", "true", NULL);
    t->io.openat = counting_openat;
    opened = 0;
    for (int i = 0; i < 10; i++) {
        process.pid = 200 + (uint32_t)i;
        process.start_ticks = TICKS(1000 + 100 * i);
        tree_put(&process);
        clock_set(1001 + 100 * i);
        tree_collect(t);
    }
    ck_assert_uint_eq(value_of(t, SHORT, METRIC_PROCESSES), 11);
    ck_assert_int_eq(opened, 1);
    ck_assert_str_eq(labels_of(t), "container_name=cache");
    tally_free(t);
}
END_TEST

static int failing_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    if (strstr(path, "config.v2.json")) {
        errno = EMFILE;
        return -1;
    }
    return tree_io.openat(data, dir_fd, path, flags, mode);
}

START_TEST(for_want_of_descriptors_it_is_no_collection) {
    tree_put_beside(DOCKER, "{\"Name\":\"/cache\"}");
    tally *t = tree_collector("group-by", "container", "container-names", "true", NULL);
    const tally_snapshot *s;
    t->io.openat = failing_openat;
    clock_set(1000);
    ck_assert_int_eq(tally_collect(t, &s), -ENOMEM);
    t->io.openat = tree_io.openat;
    ck_assert_int_eq(tally_collect(t, &s), 0);
    ck_assert_str_eq(labels_of(t), "container_name=cache");
    tally_free(t);
}
END_TEST

START_TEST(labels_last_over_a_restart) {
    char state[300];
    snprintf(state, sizeof(state), "%s/state", tree_path());
    tree_put_beside(DOCKER, "{\"Name\":\"/cache\",\"Config\":{\"Image\":\"redis\"}}");
    for (int i = 0; i < 2; i++) {
        tally *t = tree_collector("group-by", "container", "container-names", "true", "state-file",
                                  state, NULL);
        clock_set(1000 + i);
        tree_collect(t);
        ck_assert_str_eq(labels_of(t), "container_name=cache image=redis");
        tally_free(t);
        tree_put_beside(DOCKER, "{\"Name\":\"/renamed\"}");
    }
}
END_TEST

/* Fake ones: all that looks like a container is looked up, and nothing is kept for ever. */
START_TEST(many) {
    tally *t = tree_collector("group-by", "container", "container-names", "true", "max-groups", "10",
                              NULL);
    char line[200];
    tree_put_beside(DOCKER, "{\"Name\":\"/cache\"}");
    for (int i = 0; i < 300; i++) {
        process.pid = 1000 + (uint32_t)i;
        snprintf(line, sizeof(line), "0::/x/%064x\n", (unsigned)i);
        process.cgroup = line;
        tree_put(&process);
    }
    clock_set(1000);
    tree_collect(t);
    ck_assert_uint_le(tally_snapshot_groups(t->snapshots.current), 11);
    tally_free(t);
}
END_TEST

START_TEST(a_label_of_ones_own) {
    struct tally_error error;
    tally_config *config;
    tally *t;
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", tree_path(), &error), 0);
    ck_assert_int_eq(tally_config_set(config, "labels", "podium=1", &error), 0);
    ck_assert_int_eq(tally_config_set(config, "labels", "namespace=lab", &error), 0);
    ck_assert_int_eq(collector_new(config, NULL, &tree_io, &t, &error), 0);
    tally_free(t);
    ck_assert_int_eq(tally_config_set(config, "container-names", "true", &error), 0);
    ck_assert_int_eq(collector_new(config, NULL, &tree_io, &t, &error), -EINVAL);
    ck_assert_msg(strstr(error.text, "labels has \"namespace\""), "%s", error.text);
    tally_config_free(config);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("containers");
    TCase *tc = add_case(suite, "names");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_loop_test(tc, by_each_runtime, 0, COUNT(hosts));
    tcase_add_test(tc, unless_not_asked_for);
    tcase_add_test(tc, no_container_key_no_labels);
    tc = add_case(suite, "in place of a file");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, a_link);
    tcase_add_test(tc, a_pipe);
    tcase_add_test(tc, a_large_one);
    tc = add_case(suite, "over time");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, it_is_read_once);
    tcase_add_test(tc, for_want_of_descriptors_it_is_no_collection);
    tcase_add_test(tc, labels_last_over_a_restart);
    tcase_add_test(tc, many);
    tcase_add_test(tc, a_label_of_ones_own);
    return run_suite(suite);
}
