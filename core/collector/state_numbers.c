/* SPDX-License-Identifier: MIT */
/* Numbers and texts of the state file, and the groups that numbers stand for. */
#include "collector/state_parts.h"

#include <string.h>

void put_number(struct buf *to, uint64_t value) {
    if (buf_reserve(to, 10) < 0)
        return;
    while (value >= 0x80) {
        to->data[to->len++] = (char)(value | 0x80);
        value >>= 7;
    }
    to->data[to->len++] = (char)value;
}

void put_text(struct buf *to, const char *text) {
    size_t len = strlen(text);
    put_number(to, len);
    buf_add(to, text, len);
}

uint64_t get_number(struct reader *r) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end)
            break;
        unsigned char byte = (unsigned char)*r->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    r->bad = true;
    return 0;
}

uint32_t get_number32(struct reader *r) {
    uint64_t value = get_number(r);
    if (value > UINT32_MAX)
        r->bad = true;
    return (uint32_t)value;
}

struct text get_text(struct reader *r) {
    uint64_t len = get_number(r);
    if (r->bad || len > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return (struct text){"", 0};
    }
    struct text text = {r->at, (size_t)len};
    r->at += len;
    return text;
}

void put_group_number(struct buf *to, const struct tallies *t, uint32_t group) {
    put_number(to, t->groups[group]->written_as);
}

uint32_t translate(const struct translation *names, struct reader *r) {
    uint32_t index = get_number32(r);
    if (index >= names->group_count || names->groups[index] == UINT32_MAX) {
        r->bad = true;
        return GROUP_LEFT_OUT;
    }
    return names->groups[index];
}

static const char unshown[] = "unshown ";

void put_unshown_id(struct buf *to, const char *counter) {
    put_number(to, strlen(unshown) + strlen(counter));
    buf_add_str(to, unshown);
    buf_add_str(to, counter);
}

bool take_unshown(struct text *id) {
    const size_t len = strlen(unshown);
    if (id->len <= len || memcmp(id->at, unshown, len) != 0)
        return false;
    *id = (struct text){id->at + len, id->len - len};
    return true;
}
