/* SPDX-License-Identifier: MIT */
/* Names of terminals. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdint.h>

#define TERMINAL_NAME_SIZE 64

/* As below /dev: "pts/0", "ttyS0"; "MAJOR:MINOR" of one that is not there. `device` is not 0. */
void terminal_name(const char *procfs, uint32_t device, char ret[TERMINAL_NAME_SIZE]);

#endif
