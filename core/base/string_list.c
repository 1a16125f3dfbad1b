/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/string_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int string_list_add(struct string_list *s, const char *text, size_t len) {
    char **items = realloc(s->items, (s->count + 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    s->items = items;
    items[s->count] = strndup(text, len);
    if (!items[s->count])
        return -ENOMEM;
    s->count++;
    return 0;
}

int string_list_copy(struct string_list *to, const struct string_list *from) {
    *to = (struct string_list){0};
    for (size_t i = 0; i < from->count; i++) {
        int r = string_list_add(to, from->items[i], strlen(from->items[i]));
        if (r < 0) {
            string_list_free(to);
            return r;
        }
    }
    return 0;
}

int string_list_move(struct string_list *to, struct string_list *from) {
    if (from->count == 0)
        return 0;
    char **items = realloc(to->items, (to->count + from->count) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    memcpy(items + to->count, from->items, from->count * sizeof(*items));
    to->items = items;
    to->count += from->count;
    from->count = 0;
    string_list_free(from);
    return 0;
}

void string_list_free(struct string_list *s) {
    for (size_t i = 0; i < s->count; i++)
        free(s->items[i]);
    free(s->items);
    *s = (struct string_list){0};
}
