/* SPDX-License-Identifier: MIT */
/* What Python would call too often, in one call. setup.py shows cffi the lines that begin
 * with GLUE. */
#include "proctally.h"

/* The program, where the package does not bring its own; else "". */
GLUE static const char *program_path(void) {
    return PROGRAM;
}

/* Values of one group, of the host or the collector. */
GLUE static void group_values(const tally_snapshot *s, size_t group, const size_t *metrics, size_t count, uint64_t *ret, bool *ret_known) {
    for (size_t i = 0; i < count; i++)
        ret_known[i] = tally_snapshot_value(s, group, metrics[i], ret + i);
}

/* The same of process after process. */
GLUE static void process_values(const tally_snapshot *s, size_t process, size_t processes, const size_t *metrics, size_t count, uint64_t *ret, bool *ret_known) {
    for (size_t p = process; p < process + processes; p++)
        for (size_t i = 0; i < count; i++, ret++, ret_known++)
            *ret_known = tally_snapshot_process_value(s, p, metrics[i], ret);
}
