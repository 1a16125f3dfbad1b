/* SPDX-License-Identifier: MIT */
/* How dialects show a value, and the room that they write it to. */
#include "output/present.h"

#include <errno.h>
#include <stdlib.h>

#define TEXT_CEILING ((size_t)1 << 30)

int tally_text_new(tally_text **ret_text) {
    tally_text *text = calloc(1, sizeof(*text));
    if (!text)
        return -ENOMEM;
    buf_init(&text->data, TEXT_CEILING);
    buf_init(&text->labels, TEXT_CEILING);
    *ret_text = text;
    return 0;
}

tally_text *tally_text_free(tally_text *text) {
    if (text) {
        buf_free(&text->data);
        buf_free(&text->labels);
        free(text->label_ends);
        free(text);
    }
    return NULL;
}

int text_finish(tally_text *text, const char **ret_data, size_t *ret_len) {
    buf_text(&text->data);
    if (text->data.error)
        return text->data.error;
    *ret_data = text->data.data;
    *ret_len = text->data.len;
    return 0;
}

struct tally_number present(const tally_snapshot *s, const struct tally_metric *metric,
                            enum tally_form form, uint64_t value) {
    struct tally_number n = {0};
    uint64_t billionths = value; /* of the unit that is shown */
    switch (form) {
    case TALLY_FORM_NATURAL:
        if (metric->unit == TALLY_UNIT_COUNT || metric->unit == TALLY_UNIT_BYTES) {
            n.is_whole = true;
            n.whole = value;
            return n;
        }
        if (metric->unit == TALLY_UNIT_SIGNED) {
            n.is_whole = true;
            n.negative = (int64_t)value < 0;
            n.whole = n.negative ? -value : value;
            return n;
        }
        break;
    case TALLY_FORM_PERCENT:
        if (__builtin_mul_overflow(value, 100, &billionths))
            billionths = UINT64_MAX;
        break;
    case TALLY_FORM_MICROSECONDS:
        n.is_whole = true;
        n.whole = value / 1000;
        return n;
    case TALLY_FORM_WHOLE_NS:
        n.is_whole = true;
        n.whole = value;
        return n;
    case TALLY_FORM_UPTIME:
        n.is_whole = true;
        n.whole = s->time_ns > value ? (s->time_ns - value) / NS_PER_S : 0;
        return n;
    }
    n.whole = billionths / NS_PER_S;
    n.billionths = (uint32_t)(billionths % NS_PER_S);
    return n;
}

struct tally_number tally_present(const tally_snapshot *s, size_t metric, enum tally_form form,
                                  uint64_t value) {
    return present(s, &metric_table[metric].metric, form, value);
}

/* Returns where it ends. */
static inline char *write_number(char *at, struct tally_number n) {
    if (n.negative && (n.whole || n.billionths))
        *at++ = '-';
    at += format_u64(at, n.whole);
    if (n.billionths) {
        uint32_t digits = n.billionths;
        int count = 9;
        while (digits % 10 == 0) {
            digits /= 10;
            count--;
        }
        *at = '.';
        for (int i = count; i > 0; i--) {
            at[i] = (char)('0' + digits % 10);
            digits /= 10;
        }
        at += count + 1;
    }
    return at;
}

size_t tally_number_text(struct tally_number number, char *ret) {
    char *end = write_number(ret, number);
    *end = '\0';
    return (size_t)(end - ret);
}

void add_number(struct buf *to, struct tally_number n) {
    if (buf_reserve(to, TALLY_NUMBER_SIZE) < 0)
        return;
    to->len = (size_t)(write_number(to->data + to->len, n) - to->data);
}
