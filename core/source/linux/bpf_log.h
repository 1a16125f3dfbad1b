/* SPDX-License-Identifier: MIT */
/*
 * What libbpf says while it works for us. It has one print function for the whole
 * process, which is the program's we are part of: ours stands in for it between begin
 * and end, so only one thread at a time can be there. What libbpf says in other threads
 * meanwhile goes to the program's function.
 */
#ifndef BPF_LOG_H
#define BPF_LOG_H

#include "proctally.h"

/* Waits for other threads that are between begin and end. From here on libbpf says nothing
 * to anybody on behalf of this thread, but see bpf_log_to(). Do not nest. */
void bpf_log_begin(void);
/* Its next warning becomes the text of this error, if that is empty. NULL: of none. */
void bpf_log_to(struct tally_error *error);
void bpf_log_end(void);

#endif
