/* SPDX-License-Identifier: MIT */
/* The page for people, page.html, which is inside of the program. */
#ifndef PAGE_H
#define PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct page_text {
    const char *data; /* lives as long as the program */
    size_t len;
    const char *policy; /* its Content-Security-Policy: its own script and style, no others */
};

/* -ENOMEM. For one thread at a time. */
int page_text(bool gzip, struct page_text *ret);

#endif
