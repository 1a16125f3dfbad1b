/* SPDX-License-Identifier: MIT */
/* What container runtimes have written: documents as wholes, and arrays by their elements. */
#include "fuzz.h"

#include "source/linux/container_names.h"

#include <errno.h>
#include <string.h>

#define TEXTS 5

static void want(struct json_text wanted[TEXTS], char texts[TEXTS][64], size_t size) {
    static const char *const paths[TEXTS][JSON_PATH] = {
        {"annotations", "io.kubernetes.cri.sandbox-name"}, {"Config", "Labels", "a"}, {"Name"}, {"a"},
        {"a", "b"}};
    for (size_t i = 0; i < TEXTS; i++) {
        wanted[i] = (struct json_text){.to = texts[i], .size = size};
        memcpy(wanted[i].path, paths[i], sizeof(paths[i]));
    }
}

static int find(const char *buf, size_t len) {
    struct json_text wanted[TEXTS], again[TEXTS];
    char texts[TEXTS][64], shorter[TEXTS][64];
    want(wanted, texts, sizeof(texts[0]));
    want(again, shorter, 7);
    int r = json_find(buf, len, wanted, TEXTS);
    CHECK(r == 0 || r == -EBADMSG, "json_find(): %d", r);
    CHECK(json_find(buf, len, again, TEXTS) == r, "the room decides whether it is JSON");
    CHECK(json_find(buf, len, NULL, 0) == r, "what is looked for decides whether it is JSON");
    for (size_t i = 0; i < TEXTS; i++) {
        CHECK(!wanted[i].found || r == 0, "found, and failed");
        CHECK(wanted[i].found == again[i].found, "the room decides what is found");
        if (!wanted[i].found)
            continue;
        CHECK(wanted[i].len <= 64 && again[i].len <= 7, "more than there is room for");
        CHECK(again[i].len <= wanted[i].len && memcmp(texts[i], shorter[i], again[i].len) == 0,
              "what is cut is another text");
        CHECK(wanted[i].len > 7 || again[i].len == wanted[i].len, "cut without need");
        CHECK(!is_utf8(buf, len) || is_utf8(texts[i], wanted[i].len), "a character was cut");
    }
    return r;
}

static void check_names(const struct container_names *names) {
    for (size_t i = 0; i < CONTAINER_LABELS; i++)
        CHECK(names->len[i] <= CONTAINER_TEXT_SIZE, "a text of %zu bytes", names->len[i]);
}

static void check_containers(const char *buf, size_t len) {
    struct container_names names;
    struct json_array list = {.at = buf, .end = buf + len};
    char id[CONTAINER_ID_LEN];
    int r = parse_container_config(buf, len, &names);
    CHECK(r == 0 || r == -EBADMSG, "parse_container_config(): %d", r);
    if (r == 0)
        check_names(&names);
    while ((r = parse_next_stored(&list, id, &names)) == 1)
        check_names(&names);
    CHECK(r == 0 || r == -EBADMSG, "parse_next_stored(): %d", r);
    if (parse_log_link(buf, len, id, &names) == 0)
        check_names(&names);
}

FUZZ_TARGET(json) {
    const char *buf = (const char *)data;
    struct json_array array = {.at = buf, .end = buf + len};
    const char *at, *before = buf;
    size_t element_len;
    int r, whole = find(buf, len);
    while ((r = json_array_next(&array, &at, &element_len)) == 1) {
        CHECK(at >= before && element_len > 0 && at + element_len <= buf + len, "not within the array");
        CHECK(find(at, element_len) == 0, "an element that is no document");
        before = at + element_len;
    }
    CHECK(r == 0 || r == -EBADMSG, "json_array_next(): %d", r);
    CHECK(r < 0 || whole == 0, "an array that is no document");
    check_containers(buf, len);
    return 0;
}
