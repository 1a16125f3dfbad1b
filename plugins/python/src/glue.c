/* SPDX-License-Identifier: MIT */
/* What Python would call too often, in one call. setup.py shows cffi the lines that begin
 * with GLUE. */
#include "proctally.h"

#include <string.h>

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

/* What is no metric: numbers as columns, and for each process its name and its user, one byte 1
 * where that is not known, with a NUL behind each. Returns the bytes of these texts, of which as
 * many are written as have room. */
GLUE static size_t process_columns(const tally_snapshot *s, int64_t *ret_pids, int64_t *ret_ppids, uint64_t *ret_starts_ns, char *ret_states, size_t *ret_groups, char *texts, size_t size) {
    size_t len = 0;
    for (size_t i = 0; i < tally_snapshot_processes(s); i++) {
        const struct tally_process *p = tally_snapshot_process(s, i);
        ret_pids[i] = p->pid;
        ret_ppids[i] = p->ppid;
        ret_starts_ns[i] = p->start_ns;
        ret_states[i] = p->state;
        ret_groups[i] = p->group;
        const char *const both[] = {p->name, p->user ? p->user : "\1"};
        for (size_t k = 0; k < 2; k++) {
            const size_t room = strlen(both[k]) + 1;
            if (len + room <= size)
                memcpy(texts + len, both[k], room);
            len += room;
        }
    }
    return len;
}
