/* SPDX-License-Identifier: MIT */
/*
 * Makes a /proc of regular files.
 *
 *     synthetic DIR PROCESSES [THREADS [NAMES [FEW-FILES]]]
 *
 * DIR must be there. Only stat differs from process to process; the rest are
 * hard links to one file each, kept in DIR/.shared, so that writing there (in
 * place) changes it for all: schedstat says whether they have run. FEW-FILES 1
 * leaves out what is read only to classify a process (cmdline, cgroup, exe).
 * The directories are made backwards: tmpfs lists the newest first.
 */
#define _GNU_SOURCE
#include "content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int root_fd, shared_fd;

static void die(const char *what) {
    fprintf(stderr, "synthetic: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void put(int dir_fd, const char *name, const char *text, size_t len) {
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len)
        die(name);
    close(fd);
}

static void make_dir(int dir_fd, const char *name) {
    if (mkdirat(dir_fd, name, 0755) < 0 && errno != EEXIST)
        die(name);
}

static int open_dir(int dir_fd, const char *name) {
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        die(name);
    return fd;
}

static void share(int dir_fd, const char *name) {
    if (linkat(shared_fd, name, dir_fd, name, 0) < 0)
        die(name);
}

static void make_shared(unsigned threads) {
    char text[CONTENT_SIZE];
    make_dir(root_fd, ".shared");
    shared_fd = open_dir(root_fd, ".shared");
    put(shared_fd, "status", text, content_status(text, threads));
    put(shared_fd, "io", text, content_io(text, 0));
    put(shared_fd, "schedstat", text, content_schedstat(text, 0));
    put(shared_fd, "limits", text, content_limits(text));
    put(shared_fd, "cmdline", text, content_cmdline(text, 0, CONTENT_FIRST_PID, 0));
    put(shared_fd, "cgroup", text, content_cgroup(text, 0));
    put(shared_fd, "stat", text, content_stat(text, CONTENT_FIRST_PID, 0, 1));
    if (symlinkat("/usr/lib/app/bin/server", shared_fd, "exe") < 0)
        die("exe");
    make_dir(root_fd, ".fds");
    int fd = open_dir(root_fd, ".fds");
    for (int i = 0; i < 8; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put(fd, text, "", 0);
    }
    close(fd);
    if (symlinkat("../.fds", shared_fd, "fd") < 0)
        die("fd");
}

static void make_host(void) {
    char text[CONTENT_SIZE];
    static const char boot_id[] = "00000000-0000-0000-0000-000000000001\n";
    put(root_fd, "stat", text, content_host(text));
    make_dir(root_fd, "sys");
    make_dir(root_fd, "sys/kernel");
    make_dir(root_fd, "sys/kernel/random");
    put(root_fd, "sys/kernel/random/boot_id", boot_id, sizeof(boot_id) - 1);
}

/* Threads share one directory of files; each is a link to it. */
static void make_threads(int dir_fd, uint32_t pid, unsigned threads) {
    char name[32];
    make_dir(dir_fd, "task");
    int task_fd = open_dir(dir_fd, "task");
    for (unsigned i = threads; i-- > 0;) {
        snprintf(name, sizeof(name), "%u", pid + i);
        if (linkat(shared_fd, "thread", task_fd, name, 0) < 0)
            die(name);
    }
    close(task_fd);
}

static void make_process(uint32_t pid, unsigned name, unsigned threads, bool few) {
    char text[CONTENT_SIZE];
    snprintf(text, sizeof(text), "%u", pid);
    make_dir(root_fd, text);
    int fd = open_dir(root_fd, text);
    put(fd, "stat", text, content_stat(text, pid, name, threads));
    share(fd, "status");
    share(fd, "io");
    share(fd, "schedstat");
    share(fd, "limits");
    share(fd, "fd");
    if (!few) {
        share(fd, "cmdline");
        share(fd, "cgroup");
        share(fd, "exe");
    }
    if (threads > 1)
        make_threads(fd, pid, threads);
    close(fd);
}

static unsigned long argument(int argc, char **argv, int at, unsigned long standard) {
    char *end;
    if (at >= argc)
        return standard;
    unsigned long value = strtoul(argv[at], &end, 10);
    if (*end || end == argv[at] || value > 100000000) {
        fprintf(stderr, "synthetic: not a number: %s\n", argv[at]);
        exit(2);
    }
    return value;
}

/* A file of one page, two inodes and eight to twelve names, in bytes. */
static void check_space(unsigned long processes, unsigned long threads) {
    struct statfs fs;
    if (fstatfs(root_fd, &fs) < 0)
        die("statfs");
    unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
    unsigned long long need = (page + 4096) * processes;
    unsigned long long inodes = (threads > 1 ? 13 + threads : 12) * (unsigned long long)processes;
    unsigned long long memory = page * (unsigned long long)sysconf(_SC_AVPHYS_PAGES);
    unsigned long long room = (unsigned long long)fs.f_bavail * (unsigned long long)fs.f_bsize;
    bool is_tmpfs = fs.f_type == 0x01021994;
    if (need / 2 > room || (is_tmpfs && need > memory)) {
        fprintf(stderr,
                "synthetic: %lu processes need some %llu MiB, there are %llu MiB free: "
                "choose fewer, or a larger place\n",
                processes, need >> 20, (is_tmpfs && memory < room ? memory : room) >> 20);
        exit(3);
    }
    if (fs.f_files && inodes > fs.f_ffree) {
        fprintf(stderr,
                "synthetic: %lu processes need %llu inodes, there are %llu: mount a tmpfs with "
                "nr_inodes=0\n",
                processes, inodes, (unsigned long long)fs.f_ffree);
        exit(3);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("usage: synthetic DIR PROCESSES [THREADS [NAMES [FEW-FILES]]]\n", stderr);
        return 2;
    }
    unsigned long processes = argument(argc, argv, 2, 0);
    unsigned threads = (unsigned)argument(argc, argv, 3, 1);
    unsigned names = (unsigned)argument(argc, argv, 4, 50);
    bool few = argument(argc, argv, 5, 0) != 0;
    root_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        die(argv[1]);
    check_space(processes, threads);
    make_shared(threads);
    make_host();
    if (threads > 1 && symlinkat("../../.shared", shared_fd, "thread") < 0)
        die("thread");
    for (unsigned long i = processes; i-- > 0;)
        make_process(CONTENT_FIRST_PID + (uint32_t)i, (unsigned)(i % (names ? names : 1)),
                     threads ? threads : 1, few);
    return 0;
}
