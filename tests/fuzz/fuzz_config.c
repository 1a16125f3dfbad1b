/* SPDX-License-Identifier: MIT */
/* The configuration file: the bytes are read as a whole file and as the value of
 * process_names. What is accepted can be used. */
#include "fuzz.h"

#include "config/config_yaml.h"

#include <errno.h>

static void load(const char *text, size_t len, bool only_rules) {
    struct tally_error error;
    tally_config *config;
    CHECK(tally_config_new(&config) == 0, "out of memory");
    int r = config_load_text(config, LAYER_FILE, "file", text, len, only_rules, &error);
    CHECK(r == 0 || r == -EINVAL || r == -ENOTSUP, "config_load_text(): %d", r);
    if (r < 0)
        check_error(&error);
    else
        check_config(config);
    for (size_t i = 0; tally_config_warning(config, i, &error); i++)
        check_error(&error);
    /* the caller's values win over the file's, also over a file that is wrong */
    r = tally_config_set(config, "interval", "7s", &error);
    CHECK(r == 0, "setting interval: %s", error.text);
    config_load_text(config, LAYER_FILE, "file", text, len, only_rules, NULL);
    uint64_t interval_ns = 0;
    CHECK(tally_config_interval(config, &interval_ns) == 1 && interval_ns == 7000000000,
          "the file has overruled the caller");
    tally_config_free(config);
}

FUZZ_TARGET(config) {
    load((const char *)data, len, false);
    load((const char *)data, len, true);
    return 0;
}
