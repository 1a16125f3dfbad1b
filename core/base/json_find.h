/* SPDX-License-Identifier: MIT */
/*
 * Texts out of a JSON document (RFC 8259) that somebody else has written. Pure: no I/O, no
 * allocation, nothing kept. Anything may stand in the document; what is not looked for is
 * only checked. -EBADMSG: it is no JSON, or nested deeper than JSON_DEPTH.
 */
#ifndef JSON_FIND_H
#define JSON_FIND_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_DEPTH 64
#define JSON_PATH 3

struct json_text {
    const char *path[JSON_PATH + 1]; /* keys of objects, from the outermost on; NULL behind them */
    char *to;                        /* what stands there, in UTF-8, if it is a string */
    size_t size;                     /* more than that is cut, between characters */
    size_t len;
    bool found;
};
#define JSON_TEXTS 32 /* most that can be looked for at once */

/* Of a key that is there twice the last counts. Nothing is found if it fails. */
int json_find(const char *buf, size_t len, struct json_text *wanted, size_t count);

/* The elements of a document that is an array, one after the other. */
struct json_array {
    const char *at, *end;
    bool begun;
};
/* 1: the next one, as a document of its own; 0: that was the last. */
int json_array_next(struct json_array *array, const char **ret_at, size_t *ret_len);

#endif
