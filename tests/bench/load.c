/* SPDX-License-Identifier: MIT */
/*
 * Processes to be measured.
 *
 *     load SLEEPING BUSY [THREADS]
 *
 * Starts that many processes of 50 names. The sleeping ones do nothing, the busy
 * ones wake up about each second and do a little work. With THREADS each process
 * has that many threads, which sleep. Prints "ready" when all are there. For each
 * line on standard input every sleeping process runs a little, then "woken" is
 * printed. When standard input ends all processes are ended; they also end if
 * this one is killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAMES 50

static struct shared {
    _Atomic uint32_t call; /* goes up at each call to run */
    _Atomic uint32_t done; /* who has followed it */
    _Atomic uint32_t ready;
} *shared;

static pid_t *children;
static long child_count;

static void wait_while(_Atomic uint32_t *word, uint32_t value) {
    while (atomic_load(word) == value)
        syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void work(int null_fd) {
    struct timespec from, to;
    (void)!write(null_fd, "x", 1);
    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &to);
    while ((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec < 20000);
}

static void *sleep_for_ever(void *unused) {
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static void start_threads(long count) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)(PTHREAD_STACK_MIN > 32768 ? PTHREAD_STACK_MIN
                                                                         : 32768));
    for (long i = 1; i < count; i++) {
        pthread_t thread;
        int r = pthread_create(&thread, &attr, sleep_for_ever, NULL);
        if (r != 0) {
            fprintf(stderr, "load: only %ld threads: %s\n", i, strerror(r));
            break;
        }
    }
    pthread_attr_destroy(&attr);
}

_Noreturn static void live(long number, bool busy, long threads) {
    char name[16];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(name, sizeof(name), "load-%02ld", number % NAMES);
    prctl(PR_SET_NAME, name);
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    uint32_t seen = atomic_load(&shared->call);
    start_threads(threads);
    atomic_fetch_add(&shared->ready, 1);
    syscall(SYS_futex, &shared->ready, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    while (busy) {
        /* not all at the same moment */
        struct timespec pause = {.tv_nsec = 900000000L + number % 100 * 1000000L};
        nanosleep(&pause, NULL);
        work(null_fd);
    }
    for (;;) {
        wait_while(&shared->call, seen);
        seen = atomic_load(&shared->call);
        work(null_fd);
        atomic_fetch_add(&shared->done, 1);
        syscall(SYS_futex, &shared->done, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

static void end_all(void) {
    for (long i = 0; i < child_count; i++)
        kill(children[i], SIGKILL);
    for (long i = 0; i < child_count; i++)
        waitpid(children[i], NULL, 0);
}

static void wait_for(_Atomic uint32_t *word, uint32_t value) {
    for (;;) {
        uint32_t now = atomic_load(word);
        if (now == value)
            return;
        wait_while(word, now);
    }
}

int main(int argc, char **argv) {
    long sleeping = argc > 2 ? strtol(argv[1], NULL, 10) : -1;
    long busy = argc > 2 ? strtol(argv[2], NULL, 10) : -1;
    long threads = argc > 3 ? strtol(argv[3], NULL, 10) : 1;
    char line[256];
    if (sleeping < 0 || busy < 0 || sleeping + busy > 1000000 || threads < 1) {
        fputs("usage: load SLEEPING BUSY [THREADS]\n", stderr);
        return 2;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    children = calloc((size_t)(sleeping + busy) + 1, sizeof(*children));
    if (shared == MAP_FAILED || !children) {
        perror("load");
        return 1;
    }
    for (long i = 0; i < sleeping + busy; i++) {
        pid_t pid = fork();
        if (pid == 0)
            live(i, i >= sleeping, threads);
        if (pid < 0) {
            fprintf(stderr, "load: only %ld processes: %s\n", i, strerror(errno));
            end_all();
            return 1;
        }
        children[child_count++] = pid;
    }
    wait_for(&shared->ready, (uint32_t)child_count);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        atomic_store(&shared->done, 0);
        atomic_fetch_add(&shared->call, 1);
        syscall(SYS_futex, &shared->call, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        wait_for(&shared->done, (uint32_t)sleeping);
        puts("woken");
        fflush(stdout);
    }
    end_all();
    free(children);
    return 0;
}
