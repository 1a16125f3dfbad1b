/* SPDX-License-Identifier: MIT */
#include "source/linux/container_names.h"

#include <errno.h>
#include <string.h>

static void set(struct container_names *names, enum container_label which, const char *text,
                size_t len) {
    if (len > CONTAINER_TEXT_SIZE)
        len = CONTAINER_TEXT_SIZE;
    memcpy(names->text[which], text, len);
    names->len[which] = len;
}

static bool is_id(const char *at, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
            return false;
    return len == CONTAINER_ID_LEN;
}

/* ---- One container ---------------------------------------------------------------------------- */

/* Where they stand, the best first. Kubernetes' own are better than what a runtime makes of
 * them. */
static const struct {
    enum container_label which;
    const char *path[JSON_PATH];
} places[] = {
    {CONTAINER_POD, {"annotations", "io.kubernetes.cri.sandbox-name"}},
    {CONTAINER_POD, {"annotations", "io.kubernetes.pod.name"}},
    {CONTAINER_POD, {"Config", "Labels", "io.kubernetes.pod.name"}},
    {CONTAINER_NAMESPACE, {"annotations", "io.kubernetes.cri.sandbox-namespace"}},
    {CONTAINER_NAMESPACE, {"annotations", "io.kubernetes.pod.namespace"}},
    {CONTAINER_NAMESPACE, {"Config", "Labels", "io.kubernetes.pod.namespace"}},
    {CONTAINER_NAME, {"annotations", "io.kubernetes.cri.container-name"}},
    {CONTAINER_NAME, {"annotations", "io.kubernetes.container.name"}},
    {CONTAINER_NAME, {"annotations", "nerdctl/name"}},
    {CONTAINER_NAME, {"Config", "Labels", "io.kubernetes.container.name"}},
    {CONTAINER_NAME, {"Name"}}, /* docker's begins with a slash */
    {CONTAINER_IMAGE, {"annotations", "io.kubernetes.cri.image-name"}},
    {CONTAINER_IMAGE, {"annotations", "io.kubernetes.cri-o.ImageName"}},
    {CONTAINER_IMAGE, {"Config", "Image"}},
};
#define PLACES (sizeof(places) / sizeof(places[0]))
_Static_assert(PLACES <= JSON_TEXTS, "all can be looked for at once");

int parse_container_config(const char *buf, size_t len, struct container_names *ret) {
    char texts[PLACES][CONTAINER_TEXT_SIZE];
    struct json_text wanted[PLACES];
    for (size_t i = 0; i < PLACES; i++) {
        wanted[i] = (struct json_text){.to = texts[i], .size = sizeof(texts[i])};
        memcpy(wanted[i].path, places[i].path, sizeof(places[i].path));
    }
    if (json_find(buf, len, wanted, PLACES) < 0)
        return -EBADMSG;
    memset(ret->len, 0, sizeof(ret->len));
    for (size_t i = 0; i < PLACES; i++) {
        const struct json_text *w = &wanted[i];
        const bool has_slash = w->found && w->len && w->to[0] == '/';
        if (w->found && ret->len[places[i].which] == 0)
            set(ret, places[i].which, w->to + has_slash, w->len - has_slash);
    }
    return 0;
}

/* ---- Lists ---------------------------------------------------------------------------------------- */

/* What podman knows of a container stands as a document in a text. */
int parse_next_stored(struct json_array *list, char ret_id[CONTAINER_ID_LEN],
                      struct container_names *ret) {
    char id[CONTAINER_ID_LEN + 1], metadata[4096];
    const char *at;
    size_t len;
    int r;
    while ((r = json_array_next(list, &at, &len)) == 1) {
        struct json_text outer[] = {
            {.path = {"id"}, .to = id, .size = sizeof(id)},
            {.path = {"metadata"}, .to = metadata, .size = sizeof(metadata)},
        };
        if (json_find(at, len, outer, 2) < 0 || !outer[0].found || !is_id(id, outer[0].len) ||
            !outer[1].found)
            continue;
        struct json_text inner[] = {
            {.path = {"name"}, .to = ret->text[CONTAINER_NAME], .size = CONTAINER_TEXT_SIZE},
            {.path = {"image-name"}, .to = ret->text[CONTAINER_IMAGE], .size = CONTAINER_TEXT_SIZE},
        };
        if (json_find(metadata, outer[1].len, inner, 2) < 0)
            continue;
        memset(ret->len, 0, sizeof(ret->len));
        ret->len[CONTAINER_NAME] = inner[0].found ? inner[0].len : 0;
        ret->len[CONTAINER_IMAGE] = inner[1].found ? inner[1].len : 0;
        memcpy(ret_id, id, CONTAINER_ID_LEN);
        return 1;
    }
    return r;
}

int parse_log_link(const char *name, size_t len, char ret_id[CONTAINER_ID_LEN],
                   struct container_names *ret) {
    static const char end[] = ".log";
    const size_t end_len = sizeof(end) - 1;
    if (len <= CONTAINER_ID_LEN + end_len + 1 || memcmp(name + len - end_len, end, end_len) != 0)
        return -EBADMSG;
    const char *id = name + len - end_len - CONTAINER_ID_LEN;
    const char *pod_end = memchr(name, '_', (size_t)(id - name));
    const char *namespace_end =
        pod_end ? memchr(pod_end + 1, '_', (size_t)(id - pod_end - 1)) : NULL;
    if (!is_id(id, CONTAINER_ID_LEN) || id[-1] != '-' || !namespace_end || pod_end == name ||
        namespace_end == pod_end + 1 || namespace_end + 1 == id - 1)
        return -EBADMSG;
    memset(ret->len, 0, sizeof(ret->len));
    set(ret, CONTAINER_POD, name, (size_t)(pod_end - name));
    set(ret, CONTAINER_NAMESPACE, pod_end + 1, (size_t)(namespace_end - pod_end - 1));
    set(ret, CONTAINER_NAME, namespace_end + 1, (size_t)(id - 1 - namespace_end - 1));
    memcpy(ret_id, id, CONTAINER_ID_LEN);
    return 0;
}
