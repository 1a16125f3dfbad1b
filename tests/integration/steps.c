/* SPDX-License-Identifier: MIT */
/*
 * A process whose use is known. It does what its arguments say, one after another:
 *
 *     burn:MS              uses that much CPU time
 *     threads:N:MS         N threads that use that much each, and end
 *     write:BYTES:PATH     in pieces of 64 KiB; to storage before it goes on
 *     read:BYTES:PATH      the same; from storage, not from memory
 *     user:UID             becomes this user
 *     join:PATH            enters the control group of this directory
 *     wait:PATH            until there is such a file
 *     as:WORD              nothing: it is there to be seen
 *     cpu:PATH             adds a line to this file: the CPU time of the process so far, in ns
 *     orphan               goes on as a child whose parent has ended
 *     exec ARGV...         becomes another program
 *     thread-exec ARGV...  the same, from a thread that is not the first
 *     spawn:N:AT-ONCE[:UID] ARGV...
 *                          N children, each %d of an argument being its number;
 *                          prints what they and theirs used, as wait4(2) says,
 *                          and with it what this process used itself
 *
 * Exit status: 0, or 1 if something did not work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void give_up(const char *what) {
    fprintf(stderr, "steps: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void burn(long ms) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    const long long end = now.tv_sec * 1000000000LL + now.tv_nsec + ms * 1000000LL;
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while (now.tv_sec * 1000000000LL + now.tv_nsec < end);
}

static void *burn_in_thread(void *ms) {
    burn(*(const long *)ms);
    return NULL;
}

static void run_threads(long count, long ms) {
    pthread_t threads[256];
    for (long i = 0; i < count && i < 256; i++)
        if (pthread_create(&threads[i], NULL, burn_in_thread, &ms) != 0)
            give_up("pthread_create");
    for (long i = 0; i < count && i < 256; i++)
        pthread_join(threads[i], NULL);
}

static void nap(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

#define PIECE 65536

static void transfer(const char *path, long bytes, int is_write) {
    static char piece[PIECE];
    int fd = open(path, is_write ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0644);
    if (fd < 0)
        give_up(path);
    if (!is_write)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    while (bytes > 0) {
        size_t size = bytes < PIECE ? (size_t)bytes : PIECE;
        ssize_t n = is_write ? write(fd, piece, size) : read(fd, piece, size);
        if (n <= 0)
            give_up(path);
        bytes -= n;
    }
    if (is_write)
        fsync(fd);
    close(fd);
}

static void join(const char *directory) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, "0", 1) != 1)
        give_up(path);
    close(fd);
}

static void await(const char *path) {
    while (access(path, F_OK) < 0)
        nap(10);
}

static void tell_cpu(const char *path) {
    struct timespec now;
    FILE *file = fopen(path, "a");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    if (!file || fprintf(file, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec) < 0 ||
        fclose(file) != 0)
        give_up(path);
}

static void *exec_in_thread(void *argv) {
    execvp(((char **)argv)[0], argv);
    give_up(((char **)argv)[0]);
    return NULL;
}

static void exec_from_thread(char **argv) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, exec_in_thread, argv) != 0)
        give_up("pthread_create");
    for (;;)
        pause();
}

/* ---- Children ------------------------------------------------------------------ */

static struct rusage used; /* by all of them, and by this process since it began */
static int failed;

static void add_time(struct timeval *to, struct timeval more, int sign) {
    long us = to->tv_usec + sign * more.tv_usec + 1000000;
    to->tv_sec += sign * more.tv_sec + us / 1000000 - 1;
    to->tv_usec = us % 1000000;
}

static void add(const struct rusage *u, int sign) {
    add_time(&used.ru_utime, u->ru_utime, sign);
    add_time(&used.ru_stime, u->ru_stime, sign);
    used.ru_minflt += sign * u->ru_minflt;
    used.ru_majflt += sign * u->ru_majflt;
    used.ru_nvcsw += sign * u->ru_nvcsw;
    used.ru_nivcsw += sign * u->ru_nivcsw;
    used.ru_inblock += sign * u->ru_inblock;
    used.ru_oublock += sign * u->ru_oublock;
}

static void add_own(int sign) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    add(&u, sign);
}

static void reap(void) {
    struct rusage u;
    int status;
    if (wait4(-1, &status, 0, &u) < 0)
        give_up("wait4");
    failed += status != 0;
    add(&u, 1);
}

static void start_child(long number, long uid, char **argv) {
    static char texts[64][4096];
    char *own[65];
    int count = 0;
    for (; argv[count] && count < 64; count++) {
        const char *at = strstr(argv[count], "%d");
        own[count] = argv[count];
        if (!at)
            continue;
        snprintf(texts[count], sizeof(texts[count]), "%.*s%ld%s", (int)(at - argv[count]),
                 argv[count], number, at + 2);
        own[count] = texts[count];
    }
    own[count] = NULL;
    pid_t pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid > 0)
        return;
    if (uid >= 0 && (setgid((gid_t)uid) < 0 || setuid((uid_t)uid) < 0))
        give_up("setuid");
    execvp(own[0], own);
    give_up(own[0]);
}

static int spawn(const char *how, char **argv) {
    long count = 0, at_once = 1, uid = -1;
    if (sscanf(how, "%ld:%ld:%ld", &count, &at_once, &uid) < 2)
        give_up(how);
    add_own(-1);
    for (long i = 0; i < count; i++) {
        if (i >= at_once)
            reap();
        start_child(i, uid, argv);
    }
    for (long i = 0; i < count && i < at_once; i++)
        reap();
    add_own(1);
    printf("{\"count\": %ld, \"failed\": %d, \"cpu\": %ld.%06ld, \"minor\": %ld, \"major\": %ld, "
           "\"voluntary\": %ld, \"involuntary\": %ld, \"disk_read\": %ld, \"disk_written\": %ld}\n",
           count, failed,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec +
               (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000000,
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) % 1000000, used.ru_minflt,
           used.ru_majflt, used.ru_nvcsw, used.ru_nivcsw, used.ru_inblock * 512,
           used.ru_oublock * 512);
    return 0;
}

/* ---- One after another ------------------------------------------------------------- */

static const char *after(const char *step, const char *name) {
    size_t len = strlen(name);
    return strncmp(step, name, len) == 0 ? step + len : NULL;
}

static long number(const char **at) {
    char *end;
    long value = strtol(*at, &end, 10);
    *at = *end == ':' ? end + 1 : end;
    return value;
}

static void take(const char *step) {
    const char *at;
    if ((at = after(step, "burn:"))) {
        burn(number(&at));
    } else if ((at = after(step, "threads:"))) {
        long count = number(&at);
        run_threads(count, number(&at));
    } else if ((at = after(step, "write:"))) {
        long bytes = number(&at);
        transfer(at, bytes, 1);
    } else if ((at = after(step, "read:"))) {
        long bytes = number(&at);
        transfer(at, bytes, 0);
    } else if ((at = after(step, "user:"))) {
        if (setuid((uid_t)number(&at)) < 0)
            give_up(step);
    } else if ((at = after(step, "join:"))) {
        join(at);
    } else if ((at = after(step, "wait:"))) {
        await(at);
    } else if ((at = after(step, "cpu:"))) {
        tell_cpu(at);
    } else if (strcmp(step, "orphan") == 0) {
        pid_t parent = getpid();
        if (fork() != 0)
            _exit(0);
        while (getppid() == parent)
            nap(1);
    } else if (!after(step, "as:")) {
        errno = EINVAL;
        give_up(step);
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *how = after(argv[i], "spawn:");
        if (how)
            return spawn(how, argv + i + 1);
        if (strcmp(argv[i], "exec") == 0)
            exec_in_thread(argv + i + 1);
        if (strcmp(argv[i], "thread-exec") == 0)
            exec_from_thread(argv + i + 1);
        take(argv[i]);
    }
    return 0;
}
