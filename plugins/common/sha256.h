/* SPDX-License-Identifier: MIT */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>

enum { SHA256_BYTES = 32 };

/* FIPS 180-4. */
void sha256(const void *data, size_t len, unsigned char ret[static SHA256_BYTES]);

#endif
