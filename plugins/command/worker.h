/* SPDX-License-Identifier: MIT */
/* Work in a process of its own: one that has no children from before, whose use and whose end
 * are nobody's business, and no memory that a command would be said to have had. */
#ifndef WORKER_H
#define WORKER_H

/* Runs it, hands signals on to it meanwhile, and returns what it returns: 0 to 255; 125 if
 * there can be no process. */
int worker_run(int (*work)(void *data), void *data);

#endif
