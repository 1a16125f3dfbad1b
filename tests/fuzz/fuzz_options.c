/* SPDX-License-Identifier: MIT */
/* Options as a command line gives them: names and values in turn, each a part. */
#include "fuzz.h"

#include <errno.h>

FUZZ_TARGET(options) {
    struct part name, value;
    tally_config *config;
    CHECK(tally_config_new(&config) == 0, "out of memory");
    while (next_part(&data, &len, true, &name)) {
        struct tally_error error;
        if (!next_part(&data, &len, true, &value)) {
            part_free(&name);
            break;
        }
        int r = tally_config_set(config, name.at, value.at, &error);
        CHECK(r == 0 || r == -EINVAL || r == -ENOENT || r == -ENOTSUP, "tally_config_set(): %d", r);
        if (r < 0)
            check_error(&error);
        CHECK((r == -ENOENT) == !tally_config_get(config, name.at),
              "set and get differ about whether there is an option %s", name.at);
        part_free(&name);
        part_free(&value);
    }
    check_config(config);
    tally_config_free(config);
    return 0;
}
