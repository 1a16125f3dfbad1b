/* SPDX-License-Identifier: MIT */
/*
 * What any local user can do to the one who counts processes:
 *
 *     hostile crowd UID PREFIX COUNT PADDING   COUNT processes with names and command
 *                                              lines made by chance out of what does harm
 *     hostile restless UID PREFIX COUNT PADDING   COUNT processes, PADDING one of the arguments
 *                                              of each, that rename themselves 10 times a second
 *     hostile rename UID PREFIX                one that renames itself 1,000 times a second
 *     hostile reuse UID PREFIX                 one after another, all with the same pid
 *
 * Prints a line when all is there. A byte on standard input ends what goes on; then
 * it prints the CPU seconds that it and its children have used. All of them end with
 * standard input, or when this process is killed. PADDING is a long argument: for a crowd
 * the room for other command lines. Exit status 77: no right to choose a pid.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t random_state = 88172645463325252u;

static unsigned chance(unsigned below) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % below;
}

static void drop_rights(uid_t uid) {
    if (geteuid() == 0 && uid != 0 && (setgid(uid) < 0 || setuid(uid) < 0))
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Fills `to` with pieces, the last one cut wherever the room ends. */
static void make_text(char *to, size_t size) {
    static const char *const pieces[] = {
        "\"", "\\", "\n", "\r", "\t", "\x1b[31m", "\x1b]0;x\a", "{}", "#", ",", "=", " ", "/",
        "'", "`", "$(x)", "\x7f", "\xc2\x9b", "\xe2\x80\xae", "\xe2\x80\x8f", "\xe2\x81\xa6",
        "\xe2\x80\xa8", "\xef\xbb\xbf", "\xf0\x9f\x98\x80", "\xe6\xbc\xa2", "\xff", "\xc3", "\xed\xa0\x80",
        "other", "# HELP x", "proctally_self", "i 1", ") R 1 (", "%n%s", "..", "\x01"};
    size_t at = 0;
    while (at < size) {
        char plain[2] = {(char)('a' + chance(26)), '\0'};
        const char *piece = chance(2) ? plain : pieces[chance(sizeof(pieces) / sizeof(pieces[0]))];
        size_t len = strlen(piece) < size - at ? strlen(piece) : size - at;
        memcpy(to + at, piece, len);
        at += len;
    }
}

static void set_any_name(const char *prefix) {
    char name[16] = "";
    make_text(name, sizeof(name) - 1);
    if (chance(64) == 0) /* the name of somebody else's process */
        snprintf(name, sizeof(name), "%s", prefix);
    prctl(PR_SET_NAME, name);
}

static double used_seconds(void) {
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
                    children.ru_stime.tv_sec) +
           (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
                    children.ru_stime.tv_usec) / 1e6;
}

static void say(const char *key, double value) {
    printf("{\"%s\": %.6f}\n", key, value);
    fflush(stdout);
}

static bool is_told_to_stop(void) {
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

static void wait_for_input(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
        ;
}

/* ---- A crowd ------------------------------------------------------------------------ */

_Noreturn static void rename_now_and_then(const char *prefix) {
    for (unsigned number = 0;; number++) {
        char name[16];
        snprintf(name, sizeof(name), "%.12s-%u", prefix, number % 7);
        prctl(PR_SET_NAME, name);
        usleep(100000);
    }
}

/* No room: they are restless. */
static int crowd(uid_t uid, const char *prefix, long count, char *room, size_t room_size) {
    _Atomic long *ready = mmap(NULL, sizeof(*ready), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long made = 0;
    if (ready == MAP_FAILED)
        return 1;
    for (; made < count; made++) {
        random_state += UINT64_C(0x9e3779b97f4a7c15);
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid > 0)
            continue;
        drop_rights(uid);
        atomic_fetch_add(ready, !room);
        if (!room)
            rename_now_and_then(prefix);
        set_any_name(prefix);
        make_text(room, room_size - 1);
        atomic_fetch_add(ready, 1);
        for (;;)
            pause();
    }
    while (atomic_load(ready) < made)
        usleep(1000);
    say("processes", (double)made);
    wait_for_input();
    say("used", used_seconds());
    wait_for_input();
    return 0;
}

/* ---- One that renames itself ------------------------------------------------------------ */

static int rename_often(uid_t uid, const char *prefix) {
    unsigned count = 0;
    drop_rights(uid);
    say("ready", 1);
    for (; !is_told_to_stop(); count++) {
        char name[16];
        snprintf(name, sizeof(name), "%.7s%x", prefix, count);
        prctl(PR_SET_NAME, name);
        usleep(1000);
    }
    wait_for_input();
    say("renames", count);
    wait_for_input();
    return 0;
}

/* ---- One pid for many ---------------------------------------------------------------------- */

_Noreturn static void live_briefly(uid_t uid, const char *prefix, unsigned number, unsigned ms) {
    char name[16];
    struct timespec now;
    drop_rights(uid);
    snprintf(name, sizeof(name), "%.12s-%u", prefix, number % 5);
    prctl(PR_SET_NAME, name);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < ms);
    _exit(0);
}

static int reuse(uid_t uid, const char *prefix) {
    pid_t pid = 0;
    unsigned reused = 0;
    for (unsigned number = 0; !is_told_to_stop(); number++) {
        struct clone_args args = {.exit_signal = SIGCHLD,
                                  .set_tid = pid ? (uint64_t)(uintptr_t)&pid : 0,
                                  .set_tid_size = pid != 0};
        unsigned ms = chance(15); /* many of them begin in the same clock tick */
        long r = syscall(SYS_clone3, &args, sizeof(args));
        if (r == 0)
            live_briefly(uid, prefix, number, ms);
        if (r < 0 && errno == EEXIST) { /* somebody else was given it */
            pid = 0;
            continue;
        }
        if (r < 0)
            return errno == EPERM || errno == ENOSYS || errno == EINVAL ? 77 : 1;
        reused += pid != 0;
        pid = (pid_t)r;
        if (number == 0)
            say("ready", 1);
        waitpid(pid, NULL, 0);
    }
    wait_for_input();
    say("reused", reused);
    say("used", used_seconds());
    wait_for_input();
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    uid_t uid = (uid_t)strtoul(argv[2], NULL, 10);
    if (strcmp(argv[1], "rename") == 0)
        return rename_often(uid, argv[3]);
    if (strcmp(argv[1], "reuse") == 0)
        return reuse(uid, argv[3]);
    if (argc < 6)
        return 2;
    if (strcmp(argv[1], "restless") == 0)
        return crowd(uid, argv[3], strtol(argv[4], NULL, 10), NULL, 0);
    /* the arguments stand one behind the other */
    char *room = argv[0];
    size_t room_size = (size_t)(argv[5] + strlen(argv[5]) + 1 - room);
    char *prefix = strdup(argv[3]);
    return prefix ? crowd(uid, prefix, strtol(argv[4], NULL, 10), room, room_size) : 1;
}
