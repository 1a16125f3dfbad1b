/* SPDX-License-Identifier: MIT */
/*
 * Catching libbpf's messages. libbpf has one print function for the whole process, and that
 * belongs to the program that embeds us. Between begin and end ours takes its place, so only
 * one thread at a time can be there; messages of other threads are passed on to the
 * program's function, which is back in place afterwards.
 */
#ifndef BPF_LOG_H
#define BPF_LOG_H

#include "proctally.h"

/* Waits until no other thread is between begin and end. From here on messages of this thread
 * are dropped, but see bpf_log_to(). Does not nest. */
void bpf_log_begin(void);
/* The next warning becomes the text of this error, unless it has one. NULL: drops them all. */
void bpf_log_to(struct tally_error *error);
void bpf_log_end(void);

#endif
