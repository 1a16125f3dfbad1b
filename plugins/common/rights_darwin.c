/* SPDX-License-Identifier: MIT */
/* Rights on macOS: there are root's and none; nothing less than them shows other users'
 * processes, so that whoever has them keeps them. */
#include "rights.h"

#include <errno.h>
#include <unistd.h>

int rights_check_procfs(const char *procfs, struct tally_error *error) {
    (void)procfs, (void)error; /* it is not read */
    return 0;
}

int rights_reduce(const char *const *paths, size_t count, struct tally_error *error) {
    (void)paths, (void)count, (void)error;
    return 0;
}

int rights_filter(bool serves, struct tally_error *error) {
    (void)serves, (void)error;
    return -ENOTSUP;
}

/* The order matters: without the user's rights the group can't be changed any more. */
int rights_of_invoker(void) {
    if (!issetugid())
        return 0;
    if (setgid(getgid()) < 0 || setuid(getuid()) < 0)
        return -errno;
    return geteuid() == getuid() && getegid() == getgid() ? 0 : -EPERM;
}
