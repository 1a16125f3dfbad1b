/* SPDX-License-Identifier: MIT */
/* "1m30s", "1.5h", as Go's programs take a duration, in the flags of process-exporter and in the
 * web configuration. False if it is none, or none from now on. */
#ifndef DURATION_H
#define DURATION_H

#include <stdbool.h>
#include <stdint.h>

bool parse_duration(const char *text, uint64_t *ret_ns);

#endif
