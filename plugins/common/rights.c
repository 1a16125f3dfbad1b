/* SPDX-License-Identifier: MIT */
#include "rights.h"

#include "build-config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(struct tally_error *error, const char *what, int r) {
    snprintf(error->text, sizeof(error->text), "%s: %s", what, strerror(-r));
    return r;
}

/* ---- What came with the program's file --------------------------------------------- */

static bool is_invokers; /* what came with it was given up */

int rights_check_procfs(const char *procfs, struct tally_error *error) {
    if (is_invokers || !getauxval(AT_SECURE) || strcmp(procfs, "/proc") == 0)
        return 0;
    snprintf(error->text, sizeof(error->text),
             "procfs is %.200s; expected /proc where the program's file has capabilities", procfs);
    return -EPERM;
}

/* ---- Capabilities ---------------------------------------------------------------- */

#ifdef HAVE_CAP
#include <sys/capability.h>

/* When a capability is needed. */
enum need {
    ALWAYS,
    WRITES_IN_OTHERS_DIRECTORY,
    REPLACES_OTHERS_FILE,
};

/* Whoever adds a source that needs more adds a row. */
static const struct right {
    cap_value_t capability;
    enum need need;
} rights[] = {
    /* io, fd, exe, smaps_rollup of processes of other users; hidepid */
    {CAP_SYS_PTRACE, ALWAYS},
    /* the same files: their modes are 0400 and 0500; a configuration that only its
     * owner may read */
    {CAP_DAC_READ_SEARCH, ALWAYS},
    /* taskstats, at each query; counting traffic */
    {CAP_NET_ADMIN, ALWAYS},
    /* source bpf: what its programs gathered, and new ones for a new configuration */
    {CAP_BPF, ALWAYS},
    {CAP_PERFMON, ALWAYS},
    /* an output in a directory of, say, node_exporter's user */
    {CAP_DAC_OVERRIDE, WRITES_IN_OTHERS_DIRECTORY},
    /* what another user wrote last or left behind, in a directory of a third one
     * with the sticky bit */
    {CAP_FOWNER, REPLACES_OTHERS_FILE},
};
#define RIGHTS (sizeof(rights) / sizeof(rights[0]))

#define BIT(n) (UINT64_C(1) << (n))

static int set_capabilities(uint64_t effective, uint64_t permitted) {
    cap_t caps = cap_init(); /* nothing is inheritable, and so nothing ambient */
    if (!caps)
        return -errno;
    int r = 0;
    for (cap_value_t c = 0; c < 64 && r == 0; c++) {
        if (permitted & BIT(c) && cap_set_flag(caps, CAP_PERMITTED, 1, &c, CAP_SET) < 0)
            r = -errno;
        if (effective & BIT(c) && cap_set_flag(caps, CAP_EFFECTIVE, 1, &c, CAP_SET) < 0)
            r = -errno;
    }
    if (r == 0 && cap_set_proc(caps) < 0)
        r = -errno;
    cap_free(caps);
    return r;
}

static int get_permitted(uint64_t *ret) {
    cap_t caps = cap_get_proc();
    if (!caps)
        return -errno;
    uint64_t permitted = 0;
    for (cap_value_t c = 0; c < 64; c++) {
        cap_flag_value_t value;
        if (cap_get_flag(caps, c, CAP_PERMITTED, &value) == 0 && value == CAP_SET)
            permitted |= BIT(c);
    }
    cap_free(caps);
    *ret = permitted;
    return 0;
}

/* May a file be made in the directory with the capabilities that are effective
 * now? Asks the kernel, for there are ACLs. Where it can't tell, or the directory
 * is not there yet: no. */
static bool is_writable(const char *directory) {
#ifdef SYS_faccessat2
    return syscall(SYS_faccessat2, AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0;
#else
    (void)directory;
    return false;
#endif
}

static bool is_others_file(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && st.st_uid != geteuid();
}

/* What tally_replace_file() needs for this path. */
static bool path_needs(const char *path, enum need need) {
    char directory[PATH_MAX], left_behind[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    int len = (int)(name - path);
    struct stat st;
    if (tally_temporary_name(path, left_behind, sizeof(left_behind)) < 0)
        return false; /* no file can be made there */
    if (len > 0)
        snprintf(directory, sizeof(directory), "%.*s", len, path);
    else
        snprintf(directory, sizeof(directory), ".");
    switch (need) {
    case ALWAYS:
        return true;
    case WRITES_IN_OTHERS_DIRECTORY:
        return !is_writable(directory) || is_others_file(left_behind);
    case REPLACES_OTHERS_FILE:
        return (is_others_file(left_behind) || is_others_file(path)) &&
               stat(directory, &st) == 0 && st.st_mode & S_ISVTX && st.st_uid != geteuid();
    }
    return false;
}

static bool is_needed(enum need need, const char *const *paths, size_t count) {
    if (need == ALWAYS)
        return true;
    for (size_t i = 0; i < count; i++)
        if (paths[i] && *paths[i] && strcmp(paths[i], "-") != 0 && path_needs(paths[i], need))
            return true;
    return false;
}

/* Without CAP_SETPCAP nothing is done: no program that could use what is in the
 * bounding set can be started any more. */
static void reduce_bounding_set(uint64_t keep) {
    for (cap_value_t c = 0; c < 64 && cap_get_bound(c) >= 0; c++)
        if (!(keep & BIT(c)))
            (void)cap_drop_bound(c);
}

static int reduce_capabilities(const char *const *paths, size_t count) {
    uint64_t permitted = 0, always = 0, keep = 0;
    int r = get_permitted(&permitted);
    for (size_t i = 0; i < RIGHTS; i++)
        if (rights[i].need == ALWAYS)
            always |= BIT(rights[i].capability);
    /* what the others are good for is seen without them */
    if (r == 0)
        r = set_capabilities(permitted & always, permitted);
    if (r < 0)
        return r;
    for (size_t i = 0; i < RIGHTS; i++)
        if (is_needed(rights[i].need, paths, count))
            keep |= BIT(rights[i].capability);
    if (permitted & BIT(CAP_SETPCAP)) {
        r = set_capabilities(BIT(CAP_SETPCAP), permitted);
        if (r < 0)
            return r;
        reduce_bounding_set(keep);
    }
    return set_capabilities(permitted & keep, permitted & keep);
}

int rights_of_invoker(void) {
    if (!getauxval(AT_SECURE))
        return 0;
    if (setresgid(getgid(), getgid(), getgid()) < 0 || setresuid(getuid(), getuid(), getuid()) < 0)
        return -errno;
    int r = getuid() == 0 ? 0 : set_capabilities(0, 0);
    is_invokers = r == 0;
    return r;
}

#else /* !HAVE_CAP */

static int reduce_capabilities(const char *const *paths, size_t count) {
    (void)paths, (void)count;
    return 0;
}

int rights_of_invoker(void) {
    return getauxval(AT_SECURE) ? -ENOTSUP : 0;
}

#endif

int rights_reduce(const char *const *paths, size_t count, struct tally_error *error) {
    int r = reduce_capabilities(paths, count);
    if (r < 0)
        return fail(error, "cannot give up capabilities", r);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(error, "cannot refuse new privileges", -errno);
    return 0;
}

/* ---- System calls ------------------------------------------------------------------ */

#ifdef HAVE_SECCOMP
#include <asm/termbits.h>
#include <seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* clone(2)'s flags stand elsewhere there. */
#if defined(__s390__)
#define THREAD_FLAGS_ARGUMENT 1
#else
#define THREAD_FLAGS_ARGUMENT 0
#endif

/* What the rest of a run takes: collecting, writing, a configuration read anew,
 * and user names, for which the C library may load modules and ask daemons.
 * Names, not numbers: some are not there on each architecture, in each version of
 * the library, or have a second form for 64-bit time. What is missing on purpose:
 * all that starts a program or a process, looks into or signals another one, or
 * changes rights, mounts, clocks or the kernel. */
static const char *const allowed[] = {
    /* files */
    "openat", "open", "openat2", "close", "close_range", "read", "readv", "pread64", "write",
    "writev", "lseek", "_llseek", "getdents64", "readlinkat", "readlink", "fstat", "fstat64",
    "stat", "stat64", "lstat", "lstat64", "newfstatat", "fstatat64", "statx", "statfs",
    "statfs64", "fstatfs", "fstatfs64", "access", "faccessat", "faccessat2", "getcwd", "fcntl",
    "fcntl64", "dup", "dup3",
    /* replacing a file */
    "flock", "fchmod", "ftruncate", "ftruncate64", "fsync", "fdatasync", "rename", "renameat",
    "renameat2", "unlink", "unlinkat", "umask",
    /* waiting and time */
    "poll", "ppoll", "ppoll_time64", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
    "epoll_pwait2", "eventfd2", "signalfd4", "timerfd_create", "timerfd_settime",
    "timerfd_settime64", "clock_gettime", "clock_gettime64", "clock_getres",
    "clock_getres_time64", "clock_nanosleep", "clock_nanosleep_time64", "nanosleep",
    "gettimeofday", "time", "restart_syscall",
    /* memory; the compiler of regular expressions makes some of it executable */
    "brk", "mmap", "mmap2", "mprotect", "mremap", "munmap", "madvise", "cacheflush",
    "riscv_flush_icache", "futex", "futex_time64", "membarrier",
    /* netlink and local sockets; socket(2) itself is below */
    "bind", "connect", "getpeername", "getsockname", "getsockopt", "setsockopt", "send", "sendto",
    "sendmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64",
    "shutdown",
    /* source bpf; libbpf from 1.4 on puts a memory file where a map is to be */
    "bpf", "perf_event_open", "memfd_create", "getpgid",
    /* about ourselves */
    "getpid", "getppid", "gettid", "getuid", "getuid32", "geteuid", "geteuid32", "getgid",
    "getgid32", "getegid", "getegid32", "capget", "getrusage", "getrlimit", "ugetrlimit",
    "prlimit64", "sched_getaffinity", "sched_yield", "getcpu", "sysinfo", "uname", "getrandom",
    "rseq", "set_robust_list",
    /* signals, and the end */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "exit",
    "exit_group",
};

/* To whom a program that serves speaks, on sockets that it has had before. clone3(2) is
 * missing, as a filter can't see its flags: the C library then takes clone(2). */
static const char *const serving[] = {
    "accept", "accept4", "listen", "sendfile", "sendfile64", "sendmmsg", "dup2", "pipe2",
};

static int allow(scmp_filter_ctx filter, const char *name, const struct scmp_arg_cmp *condition) {
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        return 0; /* the library does not know it: then it is refused */
    int r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, condition ? 1 : 0, condition);
    return r == -EDOM ? 0 : r; /* not on this architecture */
}

static int fill(scmp_filter_ctx filter, bool serves) {
    const struct {
        const char *name;
        struct scmp_arg_cmp condition;
    } with_argument[] = {
        {"socket", SCMP_A0(SCMP_CMP_EQ, AF_NETLINK)},
        {"socket", SCMP_A0(SCMP_CMP_EQ, AF_UNIX)},
        {"ioctl", SCMP_A1(SCMP_CMP_EQ, TCGETS)}, /* is the output a terminal? */
#ifdef TCGETS2
        {"ioctl", SCMP_A1(SCMP_CMP_EQ, TCGETS2)}, /* the same since glibc 2.42 */
#endif
        {"ioctl", SCMP_A1(SCMP_CMP_EQ, TIOCGWINSZ)},
        {"tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())}, /* abort(3) */
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
        r = allow(filter, allowed[i], NULL);
    for (size_t i = 0; r == 0 && i < sizeof(with_argument) / sizeof(with_argument[0]); i++)
        r = allow(filter, with_argument[i].name, &with_argument[i].condition);
    if (!serves)
        return r;
    /* threads, and no processes */
    const struct scmp_arg_cmp is_thread =
        SCMP_CMP(THREAD_FLAGS_ARGUMENT, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
    const struct scmp_arg_cmp is_name = SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME);
    for (size_t i = 0; r == 0 && i < sizeof(serving) / sizeof(serving[0]); i++)
        r = allow(filter, serving[i], NULL);
    if (r == 0)
        r = allow(filter, "clone", &is_thread);
    if (r == 0)
        r = allow(filter, "prctl", &is_name);
    return r;
}

/* The answer to everything else is ENOSYS, "this kernel does not have it". A C
 * library that is newer than this list tries its new system calls first, takes that
 * answer as that of an old kernel, and goes on with those that are listed; EPERM
 * would be an error to it, and to be killed is no way to end for a program that
 * has worked for years until an update of the system. */
int rights_filter(bool serves, struct tally_error *error) {
    /* Where a filter is in force already, it may well kill whoever calls seccomp(2),
     * as systemd's @system-service does. prctl(2) can set one as well: level 1. */
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 0)
        (void)seccomp_api_set(1);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r = filter ? fill(filter, serves) : -ENOMEM;
    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1); /* the kernel's errno */
    if (r == 0) {
        /* a tree instead of a list: kernels before 5.11 go through it at each call */
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        /* Nothing foreign runs in this process: no need to slow its memory down, as
         * kernels before 5.16 do for whoever has a filter. It takes seccomp(2). */
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    }
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? fail(error, "cannot set a filter for system calls", r) : 0;
}

#else /* !HAVE_SECCOMP */

int rights_filter(bool serves, struct tally_error *error) {
    (void)serves, (void)error;
    return -ENOTSUP;
}

#endif
