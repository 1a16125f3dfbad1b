/* SPDX-License-Identifier: MIT */
#include "collector/collector.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

void notice_raise(struct notices *n, enum notice which, const char *format, ...) {
    if (n->items[which].pending || n->items[which].told)
        return;
    char text[sizeof(n->items[which].text.text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    error_set(&n->items[which].text, "%s", text);
    n->items[which].pending = true;
}

void notice_clear(struct notices *n, enum notice which) {
    n->items[which].pending = false;
    n->items[which].told = false;
}

void notice_lapse(struct notices *n, enum notice which, uint32_t now_s, uint32_t after_s) {
    if (now_s - n->items[which].held_s >= after_s)
        notice_clear(n, which);
}

void notices_inherit(struct notices *n, const struct notices *from) {
    for (size_t i = 0; i < NOTICES; i++) {
        if (from->items[i].told) {
            n->items[i].told = true;
            n->items[i].pending = false;
        } else if (from->items[i].pending && !n->items[i].pending) {
            n->items[i].pending = true;
            n->items[i].text = from->items[i].text;
        }
        n->items[i].held_s = from->items[i].held_s;
    }
}

bool tally_notice(tally *t, struct tally_error *ret_text) {
    for (size_t i = 0; i < NOTICES; i++) {
        if (!t->notices.items[i].pending)
            continue;
        *ret_text = t->notices.items[i].text;
        t->notices.items[i].pending = false;
        t->notices.items[i].told = true;
        return true;
    }
    return false;
}
