/* SPDX-License-Identifier: MIT */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TYPE "fuse.tally"
#define PATIENCE_MS 5000

__attribute__((format(printf, 3, 4))) static int fail(struct tally_error *error, int r,
                                                      const char *format, ...) {
    if (error) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text, sizeof(error->text), format, args);
        va_end(args);
    }
    return r;
}

static int64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* As read(2), up to this time: then -ETIMEDOUT. */
static ssize_t receive(int fd, void *to, size_t size, int64_t until_ms) {
    for (;;) {
        const int64_t left_ms = until_ms - now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int ready = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;
        const ssize_t n = ready > 0 ? read(fd, to, size) : ready;
        if (ready == 0)
            return -ETIMEDOUT;
        if (n >= 0 || errno != EINTR)
            return n < 0 ? -errno : n;
    }
}

/* ---- What is mounted ------------------------------------------------------------ */

/* A field of mountinfo, in which blanks, tabs, newlines and backslashes are \ooo. */
static bool field_is(const char *field, const char *text) {
    for (; *field && *field != ' '; text++) {
        char c = *field++;
        if (c == '\\' && field[0] && field[1] && field[2]) {
            c = (char)((field[0] - '0') << 6 | (field[1] - '0') << 3 | (field[2] - '0'));
            field += 3;
        }
        if (c != *text)
            return false;
    }
    return *text == '\0';
}

/* From the n-th field on, counted from 0. */
static const char *field(const char *line, unsigned n) {
    while (n-- && line)
        if ((line = strchr(line, ' ')))
            line++;
    return line;
}

/* The last mount on this path, which is the uppermost, if it is of our type: what
 * mountinfo has for its device and its path. */
static bool find_mount(const char *path, char ret_mount[MOUNT_MOST]) {
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return false;
    bool found = false;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, f) > 0) {
        /* ID PARENT MAJOR:MINOR ROOT PATH OPTIONS… - TYPE SOURCE OPTIONS */
        const char *number = field(line, 2), *where = field(line, 4);
        if (!number || !where || !field_is(where, path))
            continue;
        const char *type = strstr(where, " - ");
        found = type && strncmp(type + 3, TYPE " ", strlen(TYPE " ")) == 0;
        const int len = snprintf(ret_mount, MOUNT_MOST, "%.*s %.*s", (int)strcspn(number, " "),
                                 number, (int)strcspn(where, " "), where);
        found = found && len < MOUNT_MOST;
    }
    free(line);
    fclose(f);
    return found;
}

/* The file of a descriptor, for calls that take a path. */
struct fd_path {
    char text[32];
};
static struct fd_path of_fd(int fd) {
    struct fd_path path;
    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}

/* ---- Other programs ------------------------------------------------------------ */

static void close_from(unsigned first) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
#endif
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 1 << 20)
        limit.rlim_cur = 1 << 20;
    for (unsigned fd = first; fd < limit.rlim_cur; fd++)
        close((int)fd);
}

/* For the rest of the program's life the shell needs no right but to unmount, and to find what
 * is below a directory of a user. A service's user would take over by execve(2) what is in
 * the one set, and root all that is in the other; where root may not change that, it stays.
 * Others may need theirs for fusermount3. */
static void drop_rights(void) {
    for (unsigned long right = 0; prctl(PR_CAPBSET_READ, right, 0, 0, 0) >= 0; right++) {
        if (right == CAP_SYS_ADMIN || right == CAP_DAC_READ_SEARCH)
            continue;
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, right, 0, 0);
        if (geteuid() == 0)
            prctl(PR_CAPBSET_DROP, right, 0, 0, 0);
    }
}

/* In a process that shares the memory of a program, maybe one with threads, until it is
 * another program: nothing here allocates or locks. Of the descriptors, -1 is /dev/null, and
 * of the last one nothing. */
#define CHILD_FDS 4
_Noreturn static void become(char *const argv[], const int fds[CHILD_FDS], bool is_watcher) {
    /* not the caller's PATH: it may be a daemon's that others chose */
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin:/run/wrappers/bin",
                comm[] = "_FUSE_COMMFD=3", locale[] = "LC_ALL=C";
    static char *const environment[] = {path, comm, locale, NULL};
    const int count = fds[CHILD_FDS - 1] < 0 ? CHILD_FDS - 1 : CHILD_FDS;
    int away[CHILD_FDS];
    for (int i = 0; i < count; i++) {
        int fd = fds[i] < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fds[i];
        away[i] = fcntl(fd, F_DUPFD_CLOEXEC, CHILD_FDS);
    }
    for (int i = 0; i < count; i++)
        if (away[i] < 0 || dup2(away[i], i) < 0)
            _exit(127);
    close_from((unsigned)count);
    /* No handler of the caller's, which would run on its memory; and what ends the caller, or
     * a key at its terminal, is not to end whoever cleans up behind it. */
    setsid();
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    static const int blocked[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    sigset_t mask;
    sigemptyset(&mask);
    for (size_t i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++)
        sigaddset(&mask, blocked[i]);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (is_watcher)
        drop_rights();
    execve(argv[0], argv, environment);
    _exit(127);
}

/* Copies nothing of this process: of a large one, the page tables alone would take a second,
 * and a kernel that does not overcommit would refuse. */
static pid_t start(char *const argv[], const int fds[CHILD_FDS], bool is_watcher) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = vfork();
    if (pid == 0)
        become(argv, fds, is_watcher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* How it ended shows elsewhere: where SIGCHLD is ignored, nobody is told. */
static void await(pid_t pid) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* It is told what was mounted, in the words of mountinfo, and unmounts nothing else: at the
 * path there may be another by then, even one with the same numbers. So, asked for by a word,
 * it sees first that who asked still waits (writing ends it otherwise). If we end without
 * one, it looks: a dead mount can't be looked at. It waits in the background of a shell that
 * ends at once, so that it is nobody's child: our caller may wait for all that it has. */
static char watcher_script[] =
    "cd /\n"
    "exec 3<&0\n"
    "{\n"
    "  echo\n"
    "  read -r mount\n"
    "  read -r word\n"
    "  if [ -n \"$word\" ]; then echo || exit\n"
    "  elif [ -d \"$1\" ]; then exit\n"
    "  fi\n"
    "  while read -r id parent device root path rest; do\n"
    "    [ \"$path\" = \"${mount#* }\" ] && there=\"$device $path\"\n"
    "  done </proc/self/mountinfo\n"
    "  [ -n \"$mount\" ] && [ \"$there\" != \"$mount\" ] && exit\n"
    "  umount -i -l \"$1\" || exec fusermount3 -u -z \"$1\"\n"
    "} <&3 3<&- &\n";

static int start_watcher(char *path, int *ret_fd, struct tally_error *error) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(error, -errno, "socketpair: %m");
    char shell[] = "/bin/sh", name[] = "proctally-unmount", c[] = "-c";
    char *const argv[] = {shell, c, watcher_script, name, path, NULL};
    const int fds[CHILD_FDS] = {ends[1], ends[1], -1, -1};
    const pid_t pid = start(argv, fds, true);
    const int r = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (pid > 0)
        await(pid);
    char hello;
    if (r < 0 || receive(ends[0], &hello, 1, now_ms() + PATIENCE_MS) != 1) {
        close(ends[0]);
        return r < 0 ? fail(error, r, "can't start a process that unmounts %s: %s", path,
                            strerror(-r))
                     : fail(error, -ENOENT,
                            "can't start /bin/sh, which is to unmount %s when this process ends",
                            path);
    }
    *ret_fd = ends[0];
    return 0;
}

static void tell_watcher(int fd, const char *word) {
    char line[MOUNT_MOST + 1];
    const int len = snprintf(line, sizeof(line), "%s\n", word);
    (void)!send(fd, line, (size_t)len, MSG_NOSIGNAL);
}

/* Until it has ended, which is when its end of the socket is closed. One that is stopped, or
 * waits for a file system, may do later what it was to do. */
static void dismiss_watcher(int fd) {
    const int64_t until_ms = now_ms() + PATIENCE_MS;
    char rest[64];
    shutdown(fd, SHUT_WR);
    while (receive(fd, rest, sizeof(rest), until_ms) > 0)
        ;
    close(fd);
}

/* ---- What is mounted already --------------------------------------------------- */

bool mountpoint_is_ours(const struct mountpoint *m) {
    char mount[MOUNT_MOST];
    return find_mount(m->path, mount) && strcmp(mount, m->mount) == 0;
}

/* ---- Before the mount ------------------------------------------------------------- */

/* Whoever looks at a tree waits for its server, which may not answer: so a child looks, and is
 * killed if it takes too long. Its parent may have threads, so it does nothing else. */
static bool is_dead(const char *path) {
    int ends[2], r = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    const pid_t child = fork();
    if (child == 0) {
        struct stat st;
        if (stat(path, &st) < 0)
            r = errno;
        (void)!write(ends[1], &r, sizeof(r));
        _exit(0);
    }
    close(ends[1]);
    const bool answered = child > 0 && receive(ends[0], &r, sizeof(r), now_ms() + PATIENCE_MS) ==
                                           (ssize_t)sizeof(r);
    if (child > 0 && !answered)
        kill(child, SIGKILL);
    /* Nothing ends one whose request the server has taken. */
    if (child > 0 && (answered || receive(ends[0], &r, sizeof(r), now_ms() + PATIENCE_MS) == 0))
        await(child);
    close(ends[0]);
    return answered && (r == ENOTCONN || r == ECONNABORTED);
}

/* 1: one was cleared away. */
static int clear_dead_mount(char *path, struct tally_error *error) {
    char mount[MOUNT_MOST];
    if (!find_mount(path, mount))
        return 0;
    if (!is_dead(path))
        return fail(error, -EBUSY, "%s: another process shows its files there; give each a "
                    "directory of its own", path);
    int watcher = -1, r = start_watcher(path, &watcher, error);
    if (r < 0)
        return r;
    tell_watcher(watcher, mount);
    dismiss_watcher(watcher);
    if (find_mount(path, mount))
        return fail(error, -EBUSY, "%s: what a process that is gone has left there could not be "
                    "unmounted: run \"umount -l %s\" as root", path, path);
    return 1;
}

static int check_empty(int fd, const char *path, struct tally_error *error) {
    const int list = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = list < 0 ? NULL : fdopendir(list);
    if (!dir) {
        const int r = fail(error, -errno, "can't look into %s: %m", path);
        if (list >= 0)
            close(list);
        return r;
    }
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(dir));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(dir);
    return empty ? 0 : fail(error, -ENOTEMPTY, "%s is not empty, and what is in it would be "
                            "hidden: name an empty directory", path);
}

/* In a directory for all, such as /tmp, a link of somebody else is not followed: root would
 * mount wherever that one likes. So the kernel does itself where fs.protected_symlinks is on,
 * which it is not everywhere. Nothing here asks the server of what is mounted there. */
static int open_last(const char *path) {
    char name[MOUNT_MOST];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') /* behind which each link is followed */
        len--;
    if (snprintf(name, sizeof(name), "%.*s", (int)len, path) >= (int)sizeof(name))
        return -ENAMETOOLONG;
    int fd = open(name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 || (errno != ENOTDIR && errno != ELOOP))
        return fd < 0 ? -errno : fd;
    struct stat link, directory;
    if (lstat(name, &link) < 0)
        return -errno;
    if (!S_ISLNK(link.st_mode))
        return -ENOTDIR;
    char *slash = strrchr(name, '/');
    if (slash)
        slash[slash == name] = '\0';
    if (stat(slash ? name : ".", &directory) < 0)
        return -errno;
    const bool is_for_all = directory.st_mode & S_ISVTX && directory.st_mode & S_IWOTH;
    if (is_for_all && link.st_uid != geteuid() && link.st_uid != directory.st_uid)
        return -EACCES;
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* It is found once, and what was found is checked and mounted on. NULL: the error is in place
 * of the descriptor. */
static char *open_directory(const char *path, int *ret_fd, struct tally_error *error) {
    char name[MOUNT_MOST];
    const int fd = open_last(path);
    if (fd < 0) {
        *ret_fd = fd == -ENOTDIR ? fail(error, fd, "%s is not a directory", path)
                                 : fail(error, fd, "can't open the directory %s: %s", path,
                                        strerror(-fd));
        return NULL;
    }
    const ssize_t len = readlink(of_fd(fd).text, name, sizeof(name));
    const int r = len < 0 ? -errno : -ENOMEM;
    char *absolute = len < 0 ? NULL : strndup(name, (size_t)len);
    *ret_fd = fd;
    if (!absolute) {
        close(fd);
        errno = -r;
        *ret_fd = fail(error, r, "can't find %s: %m%s", path, len < 0 ? ": is /proc mounted?" : "");
    }
    return absolute;
}

/* The path, and the descriptor, of an empty directory. NULL: the error in its place. */
static char *prepare(const char *path, int *ret_fd, struct tally_error *error) {
    if (mkdir(path, 0755) < 0 && errno != EEXIST) {
        *ret_fd = fail(error, -errno, "can't make the directory %s: %m", path);
        return NULL;
    }
    char *absolute = open_directory(path, ret_fd, error);
    if (!absolute)
        return NULL;
    int r = clear_dead_mount(absolute, error);
    if (r > 0) { /* it was the root of what is gone now */
        close(*ret_fd);
        free(absolute);
        absolute = open_directory(path, ret_fd, error);
        if (!absolute)
            return NULL;
        r = 0;
    }
    if (r == 0)
        r = check_empty(*ret_fd, absolute, error);
    if (r == 0)
        return absolute;
    close(*ret_fd);
    free(absolute);
    *ret_fd = r;
    return NULL;
}

/* ---- The mount ---------------------------------------------------------------------- */

static int mount_by_kernel(int directory, const char *path, bool read_only, bool allow_other,
                           int *ret_fd, struct tally_error *error) {
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(error, -errno, "can't mount on %s: can't open /dev/fuse: %m%s", path,
                    errno == ENOENT || errno == ENODEV ? "; is the kernel's module fuse there?"
                                                       : "");
    char options[128];
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u%s", fd,
             (unsigned)geteuid(), (unsigned)getegid(), allow_other ? ",allow_other" : "");
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (read_only ? MS_RDONLY : 0);
    if (mount("proctally", of_fd(directory).text, TYPE, flags, options) < 0) {
        const int r = fail(error, -errno, "can't mount on %s: %m", path);
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int receive_fd(int from) {
    char byte;
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t n;
    while ((n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (n <= 0)
        return -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fd = -1;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* The first line that it complains in, without its name in front. */
static void read_complaint(int fd, char *to, size_t size) {
    size_t len = 0;
    for (ssize_t n; len < size - 1 && (n = read(fd, to + len, size - 1 - len)) != 0;) {
        if (n < 0 && errno != EINTR)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    to[len] = '\0';
    to[strcspn(to, "\n")] = '\0';
    const char *colon = strncmp(to, "fusermount", 10) == 0 ? strstr(to, ": ") : NULL;
    if (colon)
        memmove(to, colon + 2, strlen(colon + 2) + 1);
}

static int mount_by_fusermount(char *path, bool read_only, bool allow_other, int *ret_fd,
                               struct tally_error *error) {
    static const char *const places[] = {"/usr/bin/fusermount3", "/bin/fusermount3",
                                         "/usr/local/bin/fusermount3",
                                         "/run/wrappers/bin/fusermount3"};
    const char *program = NULL;
    for (size_t i = 0; !program && i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], X_OK) == 0)
            program = places[i];
    if (!program)
        return fail(error, -EPERM, "can't mount on %s: it takes root, or the program fusermount3 "
                    "(Debian: fuse3)", path);
    int ends[2], complaint[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(error, -errno, "socketpair: %m");
    if (pipe2(complaint, O_CLOEXEC) < 0) {
        int r = fail(error, -errno, "pipe: %m");
        close(ends[0]);
        close(ends[1]);
        return r;
    }
    char options[128], o[] = "-o", dashes[] = "--", name[64];
    snprintf(name, sizeof(name), "%s", program);
    snprintf(options, sizeof(options), "fsname=proctally,subtype=tally,nosuid,nodev,noexec%s%s",
             read_only ? ",ro" : "", allow_other ? ",allow_other" : "");
    char *const argv[] = {name, o, options, dashes, path, NULL};
    const int fds[CHILD_FDS] = {-1, -1, complaint[1], ends[1]};
    const pid_t pid = start(argv, fds, false);
    int r = pid < 0 ? fail(error, -errno, "can't start %s: %m", program) : 0;
    close(ends[1]);
    close(complaint[1]);
    if (pid > 0) {
        int fd = receive_fd(ends[0]);
        char text[256];
        read_complaint(complaint[0], text, sizeof(text));
        await(pid);
        if (fd < 0)
            r = fail(error, -EPERM, "can't mount on %s: %s", path,
                     *text ? text : "fusermount3 did not say why");
        else
            *ret_fd = fd;
    }
    close(complaint[0]);
    close(ends[0]);
    return r;
}

int mountpoint_open(struct mountpoint *m, const char *path, bool read_only, bool allow_other,
                    int *ret_fuse_fd, struct tally_error *error) {
    char mount[MOUNT_MOST];
    int directory, watcher = -1, fd = -1, r;
    char *where = prepare(path, &directory, error);
    if (!where)
        return directory;
    if ((r = start_watcher(where, &watcher, error)) < 0)
        goto out;
    r = mount_by_kernel(directory, where, read_only, allow_other, &fd, error);
    if (r == -EPERM)
        r = mount_by_fusermount(where, read_only, allow_other, &fd, error);
    if (r == 0 && !find_mount(where, mount)) {
        r = fail(error, -ENOENT, "%s was mounted, but /proc/self/mountinfo does not show it: "
                 "is /proc mounted?", where);
        close(fd);
    }
    if (r == 0) {
        tell_watcher(watcher, mount);
        close(directory);
        m->path = where;
        memcpy(m->mount, mount, sizeof(mount));
        m->watcher_fd = watcher;
        *ret_fuse_fd = fd;
        return 0;
    }
    dismiss_watcher(watcher);
out:
    close(directory);
    free(where);
    return r;
}

void mountpoint_close(struct mountpoint *m, bool mounted) {
    /* without rights for it, the watcher has them */
    if (mounted && umount2(m->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        tell_watcher(m->watcher_fd, "unmount");
    dismiss_watcher(m->watcher_fd);
    free(m->path);
}
