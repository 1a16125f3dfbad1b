/* SPDX-License-Identifier: MIT */
/* Text of unknown origin, such as a command line, read as UTF-8. */
#ifndef UTF8_TEXT_H
#define UTF8_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_INVALID UINT32_MAX

/* The character at the beginning of a text that is not empty, and how many bytes it has. Of
 * what is no valid UTF-8 one byte is taken: UTF8_INVALID. */
size_t utf8_text_next(const char *text, size_t len, uint32_t *ret);

#endif
