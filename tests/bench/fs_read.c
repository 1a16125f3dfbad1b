/* SPDX-License-Identifier: MIT */
/* Run by fs.sh: reads the files value00000 and so on of a directory, and for comparison one
 * of the kernel's; microseconds of each step, the least and the median of several rounds. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5

static char buffer[1 << 16];
static const char *directory;
static unsigned long files;

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int open_file(const char *path) {
    const int fd = open(path, O_RDONLY);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static int open_value(unsigned long number) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/value%05lu", directory, number);
    return open_file(path);
}

/* What cat(1) does with each. */
static unsigned long cat_all(void) {
    for (unsigned long i = 0; i < files; i++) {
        const int fd = open_value(i);
        while (read(fd, buffer, sizeof(buffer)) > 0)
            ;
        close(fd);
    }
    return files;
}

static unsigned long open_and_read(const char *path) {
    for (int i = 0; i < 5000; i++) {
        const int fd = open_file(path);
        if (read(fd, buffer, sizeof(buffer)) <= 0)
            exit(1);
        close(fd);
    }
    return 5000;
}

static unsigned long open_and_read_one(void) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/value00000", directory);
    return open_and_read(path);
}

static unsigned long open_and_read_stat(void) {
    return open_and_read("/proc/self/stat");
}

static unsigned long read_again(void) {
    const int fd = open_value(0);
    for (int i = 0; i < 5000; i++)
        if (pread(fd, buffer, sizeof(buffer), 0) <= 0)
            exit(1);
    close(fd);
    return 5000;
}

static unsigned long list(void) {
    DIR *dir = opendir(directory);
    unsigned long n = 0;
    while (dir && readdir(dir))
        n++;
    closedir(dir);
    return n > files ? 1 : 0;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        unsigned long (*run)(void);
    } steps[] = {{"/proc/self/stat", open_and_read_stat}, {"open, read, close", open_and_read_one},
                 {"pread", read_again}, {"each of all files", cat_all}, {"ls", list}};
    if (argc != 3)
        return 2;
    directory = argv[1];
    files = strtoul(argv[2], NULL, 10);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        double us[ROUNDS];
        for (int k = 0; k < ROUNDS; k++) {
            const uint64_t start = now_ns();
            const unsigned long times = steps[i].run();
            us[k] = (double)(now_ns() - start) / 1e3 / (double)times;
        }
        qsort(us, ROUNDS, sizeof(us[0]), by_size);
        printf("%-20s %9.1f us  (median %.1f)\n", steps[i].name, us[0], us[ROUNDS / 2]);
    }
    return 0;
}
