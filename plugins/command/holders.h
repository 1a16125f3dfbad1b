/* SPDX-License-Identifier: MIT */
/* Which processes have a pipe, a FIFO or a socket. */
#ifndef HOLDERS_H
#define HOLDERS_H

#include "look.h"

struct holder {
    uint64_t device, inode; /* device: of a FIFO, else 0 */
    bool is_pipe; /* or a FIFO; or else a socket */
    size_t process; /* in the snapshot */
    unsigned fd;
    bool can_read, can_write; /* a pipe or a FIFO */
};

struct holders {
    struct holder *items;
    size_t count, size;
    size_t looked_at, refused; /* processes */
    int error;                 /* why */
};

/* Looks into all processes of the snapshot. -ENOMEM, -EMFILE, -ENFILE.
 *
 * Of FIFOs it finds those whose paths `fifos` has, which it sorts: what a path leads to can only
 * be told by asking its file system, and one that does not answer would keep us for ever. */
int holders_read(struct holders *h, const struct look *look, char **fifos, size_t fifo_count);
void holders_free(struct holders *h);

/* Those that have it, and how many. */
const struct holder *holders_find(const struct holders *h, bool is_pipe, uint64_t device,
                                  uint64_t inode, size_t *ret_count);

/* Whether a link of PID/fd is "pipe:[INODE]" or "socket:[INODE]". */
bool holder_parse(const char *link, size_t len, bool *ret_is_pipe, uint64_t *ret_inode);

/* What the descriptor may be used for, by the mode of its link. */
void holder_access(int fds, const char *name, bool *ret_can_read, bool *ret_can_write);

/* What was refused is said, if anything was. */
void holders_say_refused(const struct holders *h, const struct look *look);

#endif
