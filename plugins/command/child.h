/* SPDX-License-Identifier: MIT */
/* The command that is run, which is to notice nothing of us. */
#ifndef CHILD_H
#define CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int go_fd;    /* it waits until something is written here */
    int error_fd; /* tells why the program could not be executed */
};

/* How the parent was before it began to take signals, for the command to have it so. */
struct child_surroundings {
    sigset_t mask;
    struct sigaction pipe, child; /* SIGPIPE, SIGCHLD */
    bool output_to_stderr; /* our standard output is for records */
    bool gets_session;     /* it is to lead one of its own */
};

/* SIGCHLD, and the signals that whoever runs a command takes to hand them on. */
void child_signals(sigset_t *ret);
/* Has this process any child, be it one that has ended? */
bool has_children(void);

/* Starts it as far as it goes without the program: it exists, and waits. Its orphans become
 * ours. -errno. */
int child_prepare(struct child *child, char *const *command,
                  const struct child_surroundings *surroundings);
/* Lets it go on. 0, or -errno of execve(2): it has ended then, and is to be waited for. */
int child_go(struct child *child);

#endif
