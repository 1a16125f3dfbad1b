/* SPDX-License-Identifier: MIT */
/* Who a process is, as /proc tells it. */
#ifndef PROC_IDENTITY_H
#define PROC_IDENTITY_H

#include "source/identity.h"
#include "source/linux/proc_files.h"
#include "source/users.h"

/* A command line can have megabytes; no rule needs more than this. */
#define PROC_CMDLINE_SIZE (64u << 10)
#define PROC_EXE_SIZE 4096u
#define PROC_CGROUP_SIZE (16u << 10)

/* The texts of one identity. */
struct proc_identity {
    char cmdline[PROC_CMDLINE_SIZE], command[PROC_CMDLINE_SIZE];
    char exe[PROC_EXE_SIZE];
    char cgroup[PROC_CGROUP_SIZE], joined_cgroups[PROC_CGROUP_SIZE + 2];
};

/* Fills the parts (bits of enum identity_part) that are files of the process, and says in
 * ret->refused if one of them may not be read. The texts stay in `texts`. -ESRCH. */
int proc_identify(struct proc_dir *d, uint32_t pid, unsigned parts, struct proc_identity *texts,
                  struct identity *ret);

/* Sets what the content of /proc/PID/cgroup tells. The content stays the caller's, as does
 * `joined`: len + 2 bytes to write to. -EBADMSG. */
int identity_set_cgroups(struct identity *id, const char *text, size_t len, char *joined);

/* Sets those of the parts that are names of its uid and gid. */
void proc_set_names(struct users *users, struct users *groups, unsigned parts,
                    struct identity *id);

#endif
