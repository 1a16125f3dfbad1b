/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *unit_of(const struct tally_metric *metric) {
    switch (metric->unit) {
    case TALLY_UNIT_COUNT:
    case TALLY_UNIT_SIGNED:
        return "";
    case TALLY_UNIT_BYTES:
        return "bytes";
    case TALLY_UNIT_NS:
    case TALLY_UNIT_UNIX_NS:
        return "seconds";
    case TALLY_UNIT_RATIO: /* of the host it is a load average, which is a count with a fraction */
        return metric->scope == TALLY_SCOPE_HOST ? "" : "ratio";
    }
    return "";
}

/* Is the word in the name already, as in network_receive_bytes_tcp? */
static bool has_word(const char *name, const char *word) {
    const size_t len = strlen(word);
    for (const char *at = name; (at = strstr(at, word)); at += len)
        if ((at == name || at[-1] == '_') && (at[len] == '_' || at[len] == '\0'))
            return true;
    return false;
}

static void set_name(const struct tally_metric *metric, char *to, size_t size) {
    static const char host[] = "host_"; /* as their directory is called */
    const char *id = metric->id, *unit = unit_of(metric);
    if (strncmp(id, host, sizeof(host) - 1) == 0)
        id += sizeof(host) - 1;
    /* a directory beside it is called processes */
    if (metric->scope == TALLY_SCOPE_GROUP && strcmp(id, "processes") == 0)
        id = "process_count";
    const bool is_bare = *unit == '\0' || has_word(id, unit);
    snprintf(to, size, "%s%s%s", id, is_bare ? "" : "_", is_bare ? "" : unit);
}

int names_new(enum tally_scope scope, struct names *ret) {
    const struct tally_metric *metric;
    *ret = (struct names){0};
    for (size_t m = 0; (metric = tally_metric(m)); m++)
        if (metric->scope == scope && ret->count++ == 0)
            ret->first = m;
    ret->names = calloc(ret->count, sizeof(*ret->names));
    if (!ret->names)
        return -ENOMEM;
    for (size_t i = 0; i < ret->count; i++)
        set_name(tally_metric(ret->first + i), ret->names[i], sizeof(ret->names[i]));
    return 0;
}

void names_free(struct names *names) {
    free(names->names);
    *names = (struct names){0};
}

bool names_find(const struct names *names, const char *name, size_t *ret_metric) {
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], name) == 0) {
            *ret_metric = names->first + i;
            return true;
        }
    return false;
}
