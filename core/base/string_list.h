/* SPDX-License-Identifier: MIT */
/* A list of strings, which it owns. */
#ifndef STRING_LIST_H
#define STRING_LIST_H

#include <stddef.h>

struct string_list {
    char **items;
    size_t count;
};

int string_list_add(struct string_list *s, const char *text, size_t len);
/* A copy of all texts; to is empty before. -ENOMEM, and is empty then. */
int string_list_copy(struct string_list *to, const struct string_list *from);
/* Appends the texts of another list, which is empty afterwards; or is as it was,
 * with -ENOMEM. */
int string_list_move(struct string_list *to, struct string_list *from);
void string_list_free(struct string_list *s);

#endif
