/* SPDX-License-Identifier: MIT */
/* What runtimes write of their containers: what is found in it, and what is none of theirs. */
#include "source/linux/container_names.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct container_names names;

static void is(enum container_label which, const char *text) {
    assert_bytes(names.text[which], names.len[which], text, strlen(text));
}

static const struct {
    const char *document, *pod, *namespace, *name, *image;
} configs[] = {
    /* containerd */
    {"{\"ociVersion\":\"1.1.0\",\"annotations\":{\"io.kubernetes.cri.container-name\":\"nginx\","
     "\"io.kubernetes.cri.container-type\":\"container\",\"io.kubernetes.cri.image-name\":"
     "\"docker.io/library/nginx:1.25\",\"io.kubernetes.cri.sandbox-id\":\"" ID "\","
     "\"io.kubernetes.cri.sandbox-name\":\"web-5d9\",\"io.kubernetes.cri.sandbox-namespace\":"
     "\"shop\"}}",
     "web-5d9", "shop", "nginx", "docker.io/library/nginx:1.25"},
    /* its pause container */
    {"{\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\",\"io.kubernetes.cri.sandbox-"
     "name\":\"web-5d9\",\"io.kubernetes.cri.sandbox-namespace\":\"shop\"}}",
     "web-5d9", "shop", "", ""},
    /* CRI-O */
    {"{\"annotations\":{\"io.kubernetes.container.name\":\"nginx\",\"io.kubernetes.pod.name\":\"web\","
     "\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.cri-o.ImageName\":\"quay.io/nginx\"}}",
     "web", "shop", "nginx", "quay.io/nginx"},
    /* docker, by hand and for kubelet */
    {"{\"State\":{\"Running\":true},\"ID\":\"" ID "\",\"Config\":{\"Hostname\":\"x\",\"Image\":\"redis:7\","
     "\"Labels\":{}},\"Name\":\"/cache\"}",
     "", "", "cache", "redis:7"},
    {"{\"Config\":{\"Image\":\"sha256:1\",\"Labels\":{\"io.kubernetes.container.name\":\"nginx\","
     "\"io.kubernetes.pod.name\":\"web\",\"io.kubernetes.pod.namespace\":\"shop\"}},"
     "\"Name\":\"/k8s_nginx_web_shop_1_0\"}",
     "web", "shop", "nginx", "sha256:1"},
    {"{\"annotations\":{\"nerdctl/name\":\"box\"}}", "", "", "box", ""},
    /* nothing, and wrong types */
    {"{}", "", "", "", ""},
    {"[]", "", "", "", ""},
    {"{\"Name\":[\"/a\"],\"Config\":\"x\",\"annotations\":7}", "", "", "", ""},
    {"{\"Name\":\"/\",\"Config\":{\"Image\":null,\"Labels\":[]}}", "", "", "", ""},
    {"{\"Name\":\"/a\\u001b[2J\\n\"}", "", "", "a\x1b[2J\n", ""}, /* it is made fit where it is shown */
};

START_TEST(of_one) {
    ck_assert_int_eq(parse_container_config(configs[_i].document, strlen(configs[_i].document),
                                            &names), 0);
    is(CONTAINER_POD, configs[_i].pod);
    is(CONTAINER_NAMESPACE, configs[_i].namespace);
    is(CONTAINER_NAME, configs[_i].name);
    is(CONTAINER_IMAGE, configs[_i].image);
}
END_TEST

START_TEST(no_json) {
    static const char *const documents[] = {"", "x", "{\"Name\":\"/a\"", "{\"Name\":\"/a\"}}"};
    for (int i = 0; i < COUNT(documents); i++)
        ck_assert_int_eq(parse_container_config(documents[i], strlen(documents[i]), &names), -EBADMSG);
}
END_TEST

START_TEST(of_all_in_a_list) {
    static const char document[] =
        "[{\"id\":\"" ID "\",\"names\":[\"db\"],\"metadata\":\"{\\\"image-name\\\":\\\"docker.io/"
        "postgres:16\\\",\\\"name\\\":\\\"db\\\",\\\"created-at\\\":1}\"},"
        "7,{},{\"id\":\"short\",\"metadata\":\"{}\"},{\"id\":\"" ID "\"},{\"id\":\"" ID
        "\",\"metadata\":\"{no json\"},{\"id\":\"X" ID "\",\"metadata\":\"{}\"},"
        "{\"id\":\"" ID "\",\"metadata\":\"{\\\"name\\\":7}\"}]";
    struct json_array list = {.at = document, .end = document + sizeof(document) - 1};
    char id[CONTAINER_ID_LEN];
    ck_assert_int_eq(parse_next_stored(&list, id, &names), 1);
    assert_bytes(id, sizeof(id), ID, 64);
    is(CONTAINER_NAME, "db");
    is(CONTAINER_IMAGE, "docker.io/postgres:16");
    is(CONTAINER_POD, "");
    ck_assert_int_eq(parse_next_stored(&list, id, &names), 1);
    is(CONTAINER_NAME, "");
    ck_assert_int_eq(parse_next_stored(&list, id, &names), 0);
}
END_TEST

START_TEST(of_no_list) {
    static const char *const documents[] = {"", "{}", "[", "[{}", "[{\"id\":\"" ID "\"}"};
    for (int i = 0; i < COUNT(documents); i++) {
        struct json_array list = {.at = documents[i], .end = documents[i] + strlen(documents[i])};
        char id[CONTAINER_ID_LEN];
        ck_assert_int_eq(parse_next_stored(&list, id, &names), -EBADMSG);
    }
}
END_TEST

static const struct {
    const char *link, *pod, *namespace, *name; /* NULL: it is none */
} links[] = {
    {"web-5d9-x_shop_nginx-" ID ".log", "web-5d9-x", "shop", "nginx"},
    {"a.b_c_d_e-f-" ID ".log", "a.b", "c", "d_e-f"},
    {"web_shop_nginx-" ID ".log.1", NULL, NULL, NULL},
    {"web_shop_nginx-" ID, NULL, NULL, NULL},
    {"web_shop_nginx_" ID ".log", NULL, NULL, NULL},
    {"web_shop-" ID ".log", NULL, NULL, NULL},
    {"_shop_nginx-" ID ".log", NULL, NULL, NULL},
    {"web__nginx-" ID ".log", NULL, NULL, NULL},
    {"web_shop_-" ID ".log", NULL, NULL, NULL},
    {"-" ID ".log", NULL, NULL, NULL},
    {ID ".log", NULL, NULL, NULL},
    {"web_shop_nginx-0123456789abcdef.log", NULL, NULL, NULL},
    {"web_shop_nginx-" "G123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" ".log",
     NULL, NULL, NULL},
    {".log", NULL, NULL, NULL},
    {"", NULL, NULL, NULL},
};

START_TEST(of_a_link) {
    char id[CONTAINER_ID_LEN];
    int r = parse_log_link(links[_i].link, strlen(links[_i].link), id, &names);
    ck_assert_int_eq(r, links[_i].pod ? 0 : -EBADMSG);
    if (r < 0)
        return;
    assert_bytes(id, sizeof(id), ID, 64);
    is(CONTAINER_POD, links[_i].pod);
    is(CONTAINER_NAMESPACE, links[_i].namespace);
    is(CONTAINER_NAME, links[_i].name);
    is(CONTAINER_IMAGE, "");
}
END_TEST

START_TEST(long_names_are_cut) {
    char document[2000], name[1000];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    int len = snprintf(document, sizeof(document), "{\"Name\":\"%s\"}", name);
    ck_assert_int_eq(parse_container_config(document, (size_t)len, &names), 0);
    ck_assert_uint_eq(names.len[CONTAINER_NAME], CONTAINER_TEXT_SIZE);
    len = snprintf(document, sizeof(document), "%s_b_c-" ID ".log", name);
    char id[CONTAINER_ID_LEN];
    ck_assert_int_eq(parse_log_link(document, (size_t)len, id, &names), 0);
    ck_assert_uint_eq(names.len[CONTAINER_POD], CONTAINER_TEXT_SIZE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("container_names");
    TCase *tc = add_case(suite, "names");
    tcase_add_loop_test(tc, of_one, 0, COUNT(configs));
    tcase_add_test(tc, no_json);
    tcase_add_test(tc, of_all_in_a_list);
    tcase_add_test(tc, of_no_list);
    tcase_add_loop_test(tc, of_a_link, 0, COUNT(links));
    tcase_add_test(tc, long_names_are_cut);
    return run_suite(suite);
}
