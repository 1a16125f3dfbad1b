/* SPDX-License-Identifier: MIT */
/*
 * Processes that end in a known way.
 *
 *     be WORD [CGROUP]        ends as the word says; of CGROUP if that is given
 *     later WORD [CGROUP]     the same when a line has come in
 *     each COUNT AT-ONCE CGROUP WORD...
 *                             so many of each word, made one after another; prints how they
 *                             ended as wait4(2) says: of CGROUP, or of "-" for none
 *
 * OTHER in the environment is the program that thread-exec executes, if not this one.
 *
 * Words: ok ok-256 error kill term core no-core thread-ok thread-error thread-term
 * leader-first leader-first-alone thread-exec forked oom
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *program;

static void give_up(const char *what) {
    fprintf(stderr, "endings: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void nap_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static void limit_core(rlim_t bytes) {
    const struct rlimit limit = {bytes, bytes};
    if (setrlimit(RLIMIT_CORE, &limit) < 0)
        give_up("setrlimit");
}

static void eat(void) {
    for (;;) {
        char *piece = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (piece == MAP_FAILED)
            give_up("mmap");
        memset(piece, 1, 1 << 20);
    }
}

static void *in_thread(void *data) {
    const char *word = data;
    nap_ms(5);
    if (strcmp(word, "thread-ok") == 0)
        syscall(SYS_exit_group, 0);
    if (strcmp(word, "thread-error") == 0 || strcmp(word, "leader-first") == 0)
        syscall(SYS_exit_group, 3);
    if (strcmp(word, "thread-term") == 0)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGTERM);
    if (strcmp(word, "thread-exec") == 0)
        execl(getenv("OTHER") ? getenv("OTHER") : program, program, "be", "error", NULL);
    syscall(SYS_exit, 0); /* leader-first-alone: its own end, when the leader has ended */
    return NULL;
}

static void be_threads(const char *word) {
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread, NULL, in_thread, i ? (void *)"" : (void *)word) != 0)
            give_up("pthread_create");
    if (strncmp(word, "leader-first", 12) == 0)
        syscall(SYS_exit, 5);
    for (;;)
        pause();
}

static void be(const char *word, const char *cgroup) {
    if (cgroup && strcmp(cgroup, "-") != 0) {
        int fd = open(cgroup, O_WRONLY);
        if (fd < 0 || write(fd, "0", 1) != 1)
            give_up(cgroup);
        close(fd);
    }
    if (strcmp(word, "ok") == 0)
        _exit(0);
    if (strcmp(word, "ok-256") == 0)
        _exit(256); /* which is 0 */
    if (strcmp(word, "error") == 0)
        _exit(3);
    if (strcmp(word, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(word, "term") == 0)
        raise(SIGTERM);
    if (strcmp(word, "core") == 0 || strcmp(word, "no-core") == 0) {
        limit_core(strcmp(word, "core") == 0 ? RLIM_INFINITY : 0);
        raise(SIGSEGV);
    }
    if (strcmp(word, "forked") == 0) {
        /* its child never executes a program, and ends otherwise than it does */
        pid_t child = fork();
        if (child == 0)
            _exit(7);
        waitpid(child, NULL, 0);
        _exit(0);
    }
    if (strcmp(word, "oom") == 0)
        eat();
    be_threads(word);
}

struct counts {
    long ok, error, signal, core, failed;
};

static void count(struct counts *c, int status) {
    if (WIFEXITED(status)) {
        c->ok += WEXITSTATUS(status) == 0;
        c->error += WEXITSTATUS(status) != 0;
        c->failed += WEXITSTATUS(status) == 99;
    } else {
        c->core += WCOREDUMP(status) != 0;
        c->signal += !WCOREDUMP(status);
    }
}

static void await(struct counts *c) {
    int status;
    if (wait(&status) > 0)
        count(c, status);
}

static int each(long number, long at_once, const char *cgroup, char **words) {
    struct counts c = {0};
    long running = 0;
    for (long i = 0; i < number; i++)
        for (char **word = words; *word; word++) {
            for (; running >= at_once; running--)
                await(&c);
            pid_t child = fork();
            if (child < 0)
                give_up("fork");
            if (child == 0) {
                execl(program, program, "be", *word, cgroup, NULL);
                give_up(program);
            }
            running++;
        }
    for (; running; running--)
        await(&c);
    printf("{\"ok\": %ld, \"error\": %ld, \"signal\": %ld, \"core\": %ld, \"failed\": %ld}\n", c.ok,
           c.error, c.signal, c.core, c.failed);
    return 0;
}

int main(int argc, char **argv) {
    char line[16];
    program = argv[0];
    if (argc >= 3 && strcmp(argv[1], "be") == 0)
        be(argv[2], argv[3]);
    if (argc >= 3 && strcmp(argv[1], "later") == 0 && fgets(line, sizeof(line), stdin))
        be(argv[2], argv[3]);
    if (argc >= 6 && strcmp(argv[1], "each") == 0)
        return each(atol(argv[2]), atol(argv[3]), argv[4], argv + 5);
    return 98;
}
