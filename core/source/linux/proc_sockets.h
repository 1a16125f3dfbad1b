/* SPDX-License-Identifier: MIT */
/*
 * The sockets of processes, from their descriptors in /proc/PID/fd, and from sock_diag, which
 * tells what each inode is. A process that has slept has the descriptors that it had: these
 * are kept. What its sockets are may have changed meanwhile, so that is asked each time.
 *
 * sock_diag tells of one network namespace. The sockets of a process in another one are not
 * known.
 */
#ifndef PROC_SOCKETS_H
#define PROC_SOCKETS_H

#include "source/linux/proc_files.h"
#include "source/source.h"

struct proc_sockets;

/* -errno. */
int proc_sockets_new(struct proc_dir *dir, struct proc_sockets **ret);
struct proc_sockets *proc_sockets_free(struct proc_sockets *s);

/* One collection: begin; then for each process, measure, or keep if it has slept; then tell. */
void proc_sockets_begin(struct proc_sockets *s);
/* -ESRCH, -ENOMEM, -EMFILE, -ENFILE; what may not be read is remembered as that. */
int proc_sockets_measure(struct proc_sockets *s, const struct sample *sample);
int proc_sockets_keep(struct proc_sockets *s, uint32_t pid);
/* As .sockets of struct source_ops. */
int proc_sockets_tell(struct proc_sockets *s, const struct socket_use *use);
/* Why those of some processes could not be told, the last time; "": they could. */
const struct tally_error *proc_sockets_missing(const struct proc_sockets *s);

#endif
