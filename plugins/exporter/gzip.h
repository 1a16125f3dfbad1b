/* SPDX-License-Identifier: MIT */
#ifndef GZIP_H
#define GZIP_H

#include <stddef.h>

/* RFC 1952, fast rather than small. *ret is from malloc(3). -ENOMEM, -E2BIG past 2 GiB. */
int gzip_text(const char *data, size_t len, char **ret, size_t *ret_len);

#endif
