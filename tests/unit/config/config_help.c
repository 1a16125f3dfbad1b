/* SPDX-License-Identifier: MIT */
#include "config/config_help.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

tally_config *new_config(void) {
    tally_config *c;

    ck_assert_int_eq(tally_config_new(&c), 0);
    return c;
}

void set(tally_config *c, const char *name, const char *value) {
    struct tally_error error = {{0}};
    int r = tally_config_set(c, name, value, &error);

    ck_assert_msg(r == 0, "%s=%s is refused: %s", name, value, error.text);
}

void assert_one_line(const char *text) {
    size_t len = strlen(text);

    ck_assert_msg(len > 0, "there is no message");
    for (size_t i = 0; i < len; i++)
        ck_assert_msg((unsigned char)text[i] >= 0x20 && text[i] != 0x7f,
                      "control character in \"%s\"", text);
    ck_assert_msg(text[len - 1] != '.', "full stop behind \"%s\"", text);
}

void assert_mentions(const char *text, const char *part) {
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" does not mention \"%s\"", text, part);
}

void assert_items(const tally_config *c, enum option option, const char *joined) {
    const struct string_list *items = &c->values[option].items;
    char text[512] = "";
    size_t len = 0;

    for (size_t i = 0; i < items->count; i++) {
        int n = snprintf(text + len, sizeof(text) - len, "%s%s", i ? "|" : "", items->items[i]);
        ck_assert(n >= 0 && (size_t)n < sizeof(text) - len);
        len += (size_t)n;
    }
    ck_assert_str_eq(text, joined);
}

uint64_t interval_of(const tally_config *c) {
    uint64_t ns = 0;

    tally_config_interval(c, &ns);
    return ns;
}

struct settings plain_settings_of(const tally_config *c) {
    struct settings s;
    ck_assert_int_eq(config_settings(c, &s), 0);
    const struct settings plain = s;
    settings_free(&s);
    return plain;
}
