/* SPDX-License-Identifier: MIT */
/*
 * A program that does with the library in plugins/fs what a good one does not, or not often.
 * Its arguments are the mount point and a case; what it prints is checked by
 * test_fs_library.py. Whoever may hang ends by itself.
 */
#include <proctally_fs.h>

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *mountpoint;
static tally_fs *fs;
static uint64_t value = 5;
static int enough;

static void make(void) {
    const struct tally_fs_options options = {sizeof(options), mountpoint, "prog", false};
    struct tally_error error = {""};
    int r = tally_fs_new(&options, &fs, &error);
    r = r ? r : tally_fs_add_u64(fs, TALLY_FS_ROOT, "n", &value, NULL, NULL);
    if (r < 0) {
        printf("%d %s\n", r, error.text);
        exit(1);
    }
}

/* What a command of the shell in the mounted directory prints. */
static void shell(const char *script) {
    char command[1000];
    snprintf(command, sizeof(command), "cd '%s' && timeout -s KILL 20 sh -c '%s' 2>&1", mountpoint,
             script);
    fflush(stdout);
    if (system(command) != 0)
        printf("failed\n");
}

static void *serve(void *data) {
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        struct pollfd p = {.fd = tally_fs_fd(fs), .events = POLLIN};
        poll(&p, 1, 50);
        if (tally_fs_serve(fs) != 0)
            break;
    }
    return data;
}

static void two_serve(void) {
    pthread_t threads[2];
    make();
    for (int i = 0; i < 200; i++) {
        char name[20];
        snprintf(name, sizeof(name), "f%d", i);
        tally_fs_add_u64(fs, TALLY_FS_ROOT, name, &value, NULL, NULL);
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, serve, NULL);
    shell("for i in 1 2 3 4; do (for j in 1 2 3; do cat f*; done | sort | uniq -c) & done; wait");
    __atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void free_in_a_child(void) {
    make();
    tally_fs_start(fs);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        tally_fs_free(fs);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    printf("child %d\n", status);
    shell("cat n");
}

/* daemon(3), which is this without the directory, between two threads that serve. */
static void in_the_background(void) {
    make();
    tally_fs_start(fs);
    tally_fs_stop(fs);
    if (fork() > 0)
        _exit(0);
    alarm(60);
    printf("start %d\n", tally_fs_start(fs));
    shell("cat n");
    printf("stop %d\n", tally_fs_stop(fs));
    fs = tally_fs_free(fs);
    shell("ls");
    printf("end\n");
}

static ssize_t stop(void *data, char *to, size_t room) {
    (void)data;
    return snprintf(to, room, "%d\n", tally_fs_stop(fs));
}

static void stop_by_a_formatter(void) {
    const struct tally_fs_calls calls = {sizeof(calls), stop, NULL, NULL};
    make();
    tally_fs_start(fs);
    tally_fs_add_calls(fs, TALLY_FS_ROOT, "stop", &calls, NULL, NULL);
    shell("cat stop; cat n");
    printf("start %d\n", tally_fs_start(fs));
    shell("cat n");
}

static void nothing_given(void) {
    struct tally_error error = {""};
    printf("new %d %s\n", tally_fs_new(NULL, &fs, &error), error.text);
    make();
    printf("find %d\n", tally_fs_find(fs, TALLY_FS_ROOT, "n", NULL));
    printf("add_calls %d\n", tally_fs_add_calls(fs, TALLY_FS_ROOT, "c", NULL, NULL, NULL));
}

static void odd_paths(void) {
    tally_fs_item directory = 0, item = 0;
    make();
    tally_fs_add_directory(fs, TALLY_FS_ROOT, "d", NULL, &directory);
    tally_fs_add_u64(fs, directory, "n", &value, NULL, &item);
    for (const char *const *path = (const char *const[]){"", "/", "//", NULL}; *path; path++)
        printf("%d %d\n", tally_fs_find(fs, directory, *path, &item),
               tally_fs_remove_path(fs, directory, *path));
    printf("children of a value %d\n", tally_fs_remove_children(fs, item));
    printf("still there %d\n", tally_fs_find(fs, TALLY_FS_ROOT, "/d//n/", NULL));
}

static int show(void *data, const char *text, size_t len) {
    (void)data;
    printf("written %zu %.10s\n", len, text);
    return 0;
}

static ssize_t say_less(void *data, char *to, size_t room) {
    (void)data;
    return snprintf(to, room, "less\n");
}

static void odd_writes(void) {
    const struct tally_fs_calls calls = {sizeof(calls), say_less, show, NULL};
    make();
    tally_fs_start(fs);
    tally_fs_add_calls(fs, TALLY_FS_ROOT, "own", &calls, NULL, NULL);
    shell("printf \"5\\0rubbish\" | dd of=own status=none 2>/dev/null || echo refused");
    shell("head -c 3000000 /dev/zero | tr \"\\0\" a >../long");
    shell("dd if=../long bs=3000000 of=own status=none conv=notrunc 2>/dev/null || echo refused");
    shell("dd if=../long bs=65537 count=1 of=own status=none 2>/dev/null || echo refused");
    shell("printf \"plain\" | dd of=own status=none");
    shell("dd if=../long bs=65536 count=1 of=own status=none");
}

static ssize_t fail(void *data, char *to, size_t room) {
    (void)to;
    (void)room;
    return -(ssize_t)*(const int *)data;
}

static int fail_too(void *data, const char *text, size_t len) {
    (void)text;
    (void)len;
    return -*(const int *)data;
}

static void odd_errors(void) {
    static const int errors[] = {EPERM, 511, 512, 600, 2000, 5000, 2147483647};
    make();
    tally_fs_start(fs);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        int error = errors[i];
        const struct tally_fs_calls calls = {sizeof(calls), fail, fail_too, &error};
        tally_fs_add_calls(fs, TALLY_FS_ROOT, "own", &calls, NULL, NULL);
        shell("cat own || :");
        shell("echo 1 | dd of=own status=none || :");
        tally_fs_remove_path(fs, TALLY_FS_ROOT, "own");
    }
}

/* Stands before libfuse's: what a kernel without memory, or one that broke off, would say. */
static int broken;
int fuse_session_receive_buf(void *session, void *to) {
    static int (*real)(void *, void *);
    const int r = __atomic_load_n(&broken, __ATOMIC_RELAXED);
    if (!real)
        real = dlsym(RTLD_NEXT, "fuse_session_receive_buf");
    if (r == -ENOMEM)
        __atomic_store_n(&broken, 0, __ATOMIC_RELAXED);
    return r ? r : real(session, to);
}

static void broken_connection(void) {
    make();
    broken = -ENOMEM;
    tally_fs_start(fs);
    shell("cat n");
    __atomic_store_n(&broken, -EIO, __ATOMIC_RELAXED);
    struct stat st;
    const bool is_told = stat(mountpoint, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
    printf("%s\n", is_told ? "told" : "not told");
    while (tally_fs_start(fs) == 0)
        usleep(10000);
    printf("start %d\n", tally_fs_start(fs));
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"two_serve", two_serve},
    {"free_in_a_child", free_in_a_child},
    {"in_the_background", in_the_background},
    {"stop_by_a_formatter", stop_by_a_formatter},
    {"nothing_given", nothing_given},
    {"odd_paths", odd_paths},
    {"odd_writes", odd_writes},
    {"odd_errors", odd_errors},
    {"broken_connection", broken_connection},
};

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    mountpoint = argv[1];
    alarm(60);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (strcmp(cases[i].name, argv[2]) == 0) {
            cases[i].run();
            tally_fs_free(fs);
            return 0;
        }
    return 2;
}
