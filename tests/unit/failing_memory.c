/* SPDX-License-Identifier: MIT */
#include "failing_memory.h"

#include <stdbool.h>
#include <stddef.h>

long allocations, fail_allocation_at;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

static bool allocation_fails(void) {
    return fail_allocation_at && ++allocations == fail_allocation_at;
}

void *__wrap_malloc(size_t size) {
    return allocation_fails() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
    return allocation_fails() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size) {
    return allocation_fails() ? NULL : __real_realloc(old, size);
}
char *__wrap_strdup(const char *text) {
    return allocation_fails() ? NULL : __real_strdup(text);
}
char *__wrap_strndup(const char *text, size_t len) {
    return allocation_fails() ? NULL : __real_strndup(text, len);
}
