/* SPDX-License-Identifier: MIT */
/*
 * Does the cost per process grow with their number?
 *
 *     scale memory PROCESSES     a tree in memory: the core without the kernel
 *     scale tree DIR             a tree made by synthetic, on a file system
 *
 * Prints one line: processes, then µs of CPU per process when all have run since
 * the last collection, of the calls alone in that case, when one in twenty has,
 * of the calls alone, the bytes of resident memory per tracked process when they
 * slept and after all have run, and the allocations of a collection. "The calls
 * alone" are the same calls that the core makes, without the core.
 */
#define _GNU_SOURCE
#include "bench.h"

#include "content.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Seconds of CPU time for each figure, in this many collections at least. */
#define ENOUGH_NS UINT64_C(1500000000)
#define AT_LEAST 3
#define AT_MOST 200

static const struct io *io;
static const char *root;
static int shared_fd = -1;
static uint64_t runs;
static uint32_t process_count;

/* ---- The recorded calls ------------------------------------------------------------ */

/* What the core asks of the world in one collection, to be asked again without it. */
enum call { CALL_OPEN, CALL_READ, CALL_CLOSE, CALL_GETDENTS, CALL_STAT, CALL_REWIND };

static struct recorded {
    uint8_t call;
    uint8_t slot, dir; /* of descriptors, by the order of their opening */
    int flags;
    uint32_t size;
    uint64_t name; /* offset in `names` */
} *calls;
static size_t call_count, call_size;
static char *names;
static size_t names_len, names_size;
static int slots[256]; /* a real descriptor, or -1 */
static bool recording;

static uint8_t slot_of(int fd) {
    for (size_t i = 0; i < 256; i++)
        if (slots[i] == fd)
            return (uint8_t)i;
    return 255;
}

static uint8_t take_slot(int fd) {
    uint8_t slot = slot_of(-1);
    slots[slot] = fd;
    return slot;
}

static struct recorded *record(enum call call) {
    static struct recorded ignored;
    if (!recording)
        return &ignored;
    if (call_count == call_size) {
        call_size = call_size ? call_size * 2 : 65536;
        calls = realloc(calls, call_size * sizeof(*calls));
        if (!calls)
            bench_die("out of memory");
    }
    struct recorded *c = &calls[call_count++];
    *c = (struct recorded){.call = (uint8_t)call};
    return c;
}

static uint64_t keep_name(const char *name) {
    size_t len = strlen(name) + 1;
    if (!recording)
        return 0;
    if (names_len + len > names_size) {
        names_size = names_size ? names_size * 2 : 1 << 20;
        names = realloc(names, names_size);
        if (!names)
            bench_die("out of memory");
    }
    memcpy(names + names_len, name, len);
    names_len += len;
    return names_len - len;
}

static int spy_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    int fd = io->openat(data, dir_fd, path, flags, mode);
    if (fd >= 0) {
        struct recorded *c = record(CALL_OPEN);
        c->dir = slot_of(dir_fd);
        c->flags = flags;
        c->name = keep_name(path);
        c->slot = take_slot(fd);
    }
    return fd;
}

static int spy_close(void *data, int fd) {
    uint8_t slot = slot_of(fd);
    record(CALL_CLOSE)->slot = slot;
    slots[slot] = -1;
    return io->close(data, fd);
}

static ssize_t spy_read(void *data, int fd, void *to, size_t len) {
    struct recorded *c = record(CALL_READ);
    c->slot = slot_of(fd);
    c->size = (uint32_t)len;
    return io->read(data, fd, to, len);
}

static ssize_t spy_getdents(void *data, int fd, void *to, size_t len) {
    struct recorded *c = record(CALL_GETDENTS);
    c->slot = slot_of(fd);
    c->size = (uint32_t)len;
    return io->getdents(data, fd, to, len);
}

static off_t spy_rewind(void *data, int fd) {
    record(CALL_REWIND)->slot = slot_of(fd);
    return io->rewind(data, fd);
}

static int spy_fstatat(void *data, int dir_fd, const char *path, struct stat *ret, int flags) {
    struct recorded *c = record(CALL_STAT);
    c->dir = slot_of(dir_fd);
    c->flags = flags;
    c->name = keep_name(path);
    return io->fstatat(data, dir_fd, path, ret, flags);
}

static uint64_t replay(void) {
    static char to[1 << 20];
    struct stat st;
    uint64_t start = bench_cpu_ns();
    for (size_t i = 0; i < call_count; i++) {
        const struct recorded *c = &calls[i];
        switch ((enum call)c->call) {
        case CALL_OPEN:
            slots[c->slot] = io->openat(io->data, slots[c->dir], names + c->name, c->flags, 0);
            break;
        case CALL_READ:
            io->read(io->data, slots[c->slot], to, c->size);
            break;
        case CALL_CLOSE:
            io->close(io->data, slots[c->slot]);
            slots[c->slot] = -1;
            break;
        case CALL_GETDENTS:
            io->getdents(io->data, slots[c->slot], to, c->size);
            break;
        case CALL_STAT:
            io->fstatat(io->data, slots[c->dir], names + c->name, &st, c->flags);
            break;
        case CALL_REWIND:
            io->rewind(io->data, slots[c->slot]);
            break;
        }
    }
    return bench_cpu_ns() - start;
}

/* ---- Running ------------------------------------------------------------------------- */

static void write_shared(const char *name, const char *text, size_t len) {
    int fd = openat(shared_fd, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, text, len, 0) != (ssize_t)len)
        bench_die("can't write to .shared");
    close(fd);
}

/* All processes run; or some of them, which a tree of shared files can't tell:
 * there, then, none. */
static void let_run(bool all) {
    char text[CONTENT_SIZE];
    if (io == &memory_io) {
        memory_run(all ? 1 : 20);
        memory_pass(1);
    } else if (all) {
        runs++;
        write_shared("schedstat", text, content_schedstat(text, runs));
        write_shared("io", text, content_io(text, runs));
    }
}

static double per_process(uint64_t *values, size_t count) {
    return (double)bench_median(values, count) / 1000 / (double)process_count;
}

struct figures {
    double whole, calls;
    uint64_t allocations;
};

static struct figures measure(tally *t, bool all) {
    uint64_t taken[AT_MOST], alone[AT_MOST], total = 0;
    size_t count = 0;
    for (int i = all ? 2 : 0; i < 3; i++) { /* who sleeps is known after two */
        let_run(all);
        bench_collect(t);
    }
    uint64_t before = bench_allocations;
    while (count < AT_MOST && (count < AT_LEAST || total < ENOUGH_NS)) {
        let_run(all);
        taken[count] = bench_timed_collect(t);
        total += taken[count++];
    }
    struct figures f = {.whole = per_process(taken, count),
                        .allocations = (bench_allocations - before) / count};
    let_run(all);
    call_count = names_len = 0;
    recording = true;
    bench_collect(t);
    recording = false;
    for (size_t i = 0; i < count; i++)
        alone[i] = replay();
    f.calls = per_process(alone, count);
    return f;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "memory") == 0) {
        const struct memory_tree tree = {.processes = (uint32_t)strtoul(argv[2], NULL, 10),
                                         .threads = 1,
                                         .names = 50,
                                         .fds = 8};
        if (tree.processes == 0 || !memory_new(&tree))
            bench_die("scale: no memory for so many");
        io = &memory_io;
        root = MEMORY_ROOT;
    } else if (argc == 3 && strcmp(argv[1], "tree") == 0) {
        char shared[4096];
        snprintf(shared, sizeof(shared), "%s/.shared", argv[2]);
        shared_fd = open(shared, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (shared_fd < 0)
            bench_die("scale: this is no tree that synthetic made");
        io = &io_kernel;
        root = argv[2];
    } else {
        fputs("usage: scale memory PROCESSES | scale tree DIR\n", stderr);
        return 2;
    }
    struct io spy = *io;
    spy.openat = spy_openat;
    spy.close = spy_close;
    spy.read = spy_read;
    spy.getdents = spy_getdents;
    spy.rewind = spy_rewind;
    spy.fstatat = spy_fstatat;
    for (size_t i = 0; i < 256; i++)
        slots[i] = -1;

    uint64_t before = bench_resident_bytes();
    tally *t = bench_collector(&spy, root, NULL);
    bench_collect(t);
    bench_collect(t);
    process_count = (uint32_t)bench_self(t, METRIC_SELF_PROCESSES);
    if (process_count == 0)
        bench_die("scale: there are no processes");
    uint64_t slept = bench_resident_bytes() - before;
    let_run(true);
    bench_collect(t);
    uint64_t ran = bench_resident_bytes() - before;
    struct figures awake = measure(t, true), idle = measure(t, false);
    printf("%u %.3f %.3f %.3f %.3f %llu %llu %llu\n", process_count, awake.whole, awake.calls,
           idle.whole, idle.calls, (unsigned long long)(slept / process_count),
           (unsigned long long)(ran / process_count),
           (unsigned long long)(awake.allocations + idle.allocations));
    tally_free(t);
    free(calls);
    free(names);
    memory_free();
    return 0;
}
