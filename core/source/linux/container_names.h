/* SPDX-License-Identifier: MIT */
/* Names of containers in what runtimes have written: pure, as the parsers of parse.h. */
#ifndef CONTAINER_NAMES_H
#define CONTAINER_NAMES_H

#include "base/json_find.h"
#include "settings.h"

#include <stddef.h>

#define CONTAINER_ID_LEN 64u /* hex digits */
#define CONTAINER_TEXT_SIZE 512u /* longer ones are cut */

struct container_names {
    size_t len[CONTAINER_LABELS]; /* 0: not known */
    char text[CONTAINER_LABELS][CONTAINER_TEXT_SIZE];
};

/* config.json of an OCI bundle (containerd, CRI-O), or config.v2.json of docker. 0 also if
 * it has no names. -EBADMSG. */
int parse_container_config(const char *buf, size_t len, struct container_names *ret);
/* The next container in the storage's list of them (podman): 1, 0: no more, -EBADMSG. */
int parse_next_stored(struct json_array *list, char ret_id[CONTAINER_ID_LEN],
                      struct container_names *ret);
/* The name of a link as kubelet makes it, POD_NAMESPACE_CONTAINER-ID.log. -EBADMSG. */
int parse_log_link(const char *name, size_t len, char ret_id[CONTAINER_ID_LEN],
                   struct container_names *ret);

#endif
