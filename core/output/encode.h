/* SPDX-License-Identifier: MIT */
#ifndef ENCODE_H
#define ENCODE_H

#include "base/buf.h"
#include "proctally.h"

/* A number without the locale: all digits that it has, no more. */
void encode_number(struct buf *to, struct tally_number n);

#endif
