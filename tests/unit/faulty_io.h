/* SPDX-License-Identifier: MIT */
/* Faults of the kernel: an io whose calls on the file that is written fail as they are told. */
#ifndef FAULTY_IO_H
#define FAULTY_IO_H

#include "base/io.h"

#include <stdbool.h>

enum call { CALL_NONE, CALL_OPEN, CALL_STAT, CALL_WRITE, CALL_FSYNC, CALL_RENAME, CALL_CLOSE };

struct fault {
    enum call call;
    int error;       /* -1: the call does nothing and says so */
    int after;       /* so many succeed first */
    size_t at_most;  /* bytes of a write; 0: all */
    bool interrupted; /* every other write(2) is */
    int syncs, writes;
    const char *path; /* only opens of this; NULL: those that write */
    void (*when_opened)(void);
    int fd;
};

/* Which calls fail, and what was seen of them. faulty_io() resets it. */
extern struct fault fault;

/* The calls of `real`, which has to live as long, with the fault. */
struct io faulty_io(const struct io *real);

#endif
