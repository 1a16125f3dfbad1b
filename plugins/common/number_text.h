/* SPDX-License-Identifier: MIT */
#ifndef NUMBER_TEXT_H
#define NUMBER_TEXT_H

#include "proctally.h"

/* A sign, 20 digits, a point, 9 digits, and the NUL byte. */
enum { NUMBER_TEXT_SIZE = 32 };

/* In decimal, without zeros at the end. The length. */
size_t number_text(struct tally_number number, char ret[static NUMBER_TEXT_SIZE]);

#endif
