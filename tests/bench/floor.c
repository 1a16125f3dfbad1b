/* SPDX-License-Identifier: MIT */
/*
 * The floor: what the kernel itself charges for the files of every process.
 * Opens, reads and closes exactly what a collector needs (stat, status, io, and
 * the number of open descriptors), and looks at none of it.
 *
 *     floor [-p DIR] [-t] [-r ROUNDS] [-i]
 *
 * -t asks taskstats about each process as well. Prints the median; with -i it
 * does one round for each line on standard input, and prints one line for it:
 * the number of processes and the nanoseconds of CPU time.
 */
#define _GNU_SOURCE
#include "source/linux/taskstats.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char content[65536];
static char listing[32768] __attribute__((aligned(8)));
static int root_fd;
static bool counts_fds; /* st_size of fd/ is the number of descriptors */
static struct taskstats_socket *taskstats;

struct listed {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The name is that of a process's directory, with room behind it. */
static void take(char *name, size_t len, const char *file) {
    memcpy(name + len, file, strlen(file) + 1);
    int fd = openat(root_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!read(fd, content, sizeof(content));
    close(fd);
}

static void count_fds(char *name, size_t len) {
    struct stat st;
    memcpy(name + len, "/fd", sizeof("/fd"));
    if (counts_fds) {
        (void)!fstatat(root_fd, name, &st, 0);
        return;
    }
    int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    while (syscall(SYS_getdents64, fd, content, sizeof(content)) > 0)
        ;
    close(fd);
}

/* In batches, as proctally does. */
static void ask(const char *pid) {
    static uint32_t pids[TASKSTATS_BATCH];
    static size_t count;
    struct taskstats_answer answers[TASKSTATS_BATCH];
    pids[count++] = (uint32_t)strtoul(pid, NULL, 10);
    if (count == TASKSTATS_BATCH) {
        taskstats_query(taskstats, pids, count, answers);
        count = 0;
    }
}

static void take_all(const char *pid) {
    char name[64];
    size_t len = strlen(pid);
    if (len > 16)
        return;
    memcpy(name, pid, len);
    if (taskstats)
        ask(pid);
    take(name, len, "/stat");
    take(name, len, "/status");
    take(name, len, "/io");
    count_fds(name, len);
}

static size_t take_round(void) {
    size_t count = 0;
    lseek(root_fd, 0, SEEK_SET);
    for (;;) {
        long n = syscall(SYS_getdents64, root_fd, listing, sizeof(listing));
        if (n <= 0)
            return count;
        for (long at = 0; at < n;) {
            const struct listed *entry = (const void *)(listing + at);
            at += entry->length;
            if (!isdigit((unsigned char)entry->name[0]))
                continue;
            take_all(entry->name);
            count++;
        }
    }
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    const char *root = "/proc";
    bool interactive = false;
    long rounds = 15;
    struct stat st;
    int option;
    while ((option = getopt(argc, argv, "p:tr:i")) != -1) {
        switch (option) {
        case 'p':
            root = optarg;
            break;
        case 't': {
            int r = taskstats_new(&taskstats);
            if (r < 0) {
                fprintf(stderr, "floor: no taskstats: %s\n", strerror(-r));
                return 77;
            }
            break;
        }
        case 'r':
            rounds = strtol(optarg, NULL, 10);
            break;
        case 'i':
            interactive = true;
            break;
        default:
            fputs("usage: floor [-p DIR] [-t] [-r ROUNDS] [-i]\n", stderr);
            return 2;
        }
    }
    if (rounds < 1 || rounds > 1000)
        rounds = 15;
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) {
        fprintf(stderr, "floor: %s: %s\n", root, strerror(errno));
        return 1;
    }
    counts_fds = strcmp(root, "/proc") == 0 && stat("/proc/self/fd", &st) == 0 && st.st_size > 0;
    size_t count = take_round();

    if (interactive) {
        while (fgets(content, sizeof(content), stdin)) {
            uint64_t start = cpu_ns();
            count = take_round();
            printf("%zu %llu\n", count, (unsigned long long)(cpu_ns() - start));
            fflush(stdout);
        }
    } else {
        uint64_t taken[1000];
        for (long i = 0; i < rounds; i++) {
            uint64_t start = cpu_ns();
            count = take_round();
            taken[i] = cpu_ns() - start;
        }
        qsort(taken, (size_t)rounds, sizeof(taken[0]), by_value);
        double median = (double)taken[rounds / 2] / 1000;
        printf("%zu processes, %.1f ms, %.2f us per process (median of %ld)\n", count,
               median / 1000, count ? median / (double)count : 0, rounds);
    }
    taskstats_free(taskstats);
    return 0;
}
