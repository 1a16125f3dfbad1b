/* SPDX-License-Identifier: MIT */
/* The filter for system calls: what the programs need works behind it, and what an
 * intruder would begin with does not. The capabilities are looked at in
 * tests/integration/test_rights.py, in the programs themselves. */
#include "rights.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs it behind the filter. What it returns, or -1 if it did not get that far; the
 * signal that ended it as a negative number. 77: there is no filter. */
static int behind_filter(bool serves, int (*body)(void)) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct tally_error error;
        int r = rights_filter(serves, &error);
        if (r < 0)
            fprintf(stderr, "%s\n", r == -ENOTSUP ? "this build has no filter" : error.text);
        _exit(r == -ENOTSUP ? 77 : r < 0 ? 255 : body());
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool is_refused(long result) {
    return result < 0 && errno == ENOSYS;
}

/* 0, or the number of the first that is not refused */
static int intrude(void) {
    char *const argv[] = {(char *)(uintptr_t) "/bin/true", NULL};
    char *const environment[] = {NULL};
    if (!is_refused(execve(argv[0], argv, environment)))
        return 1;
    if (!is_refused(syscall(SYS_execveat, AT_FDCWD, argv[0], argv, environment, 0)))
        return 2;
    if (!is_refused(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)))
        return 3;
    if (!is_refused(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0)))
        return 4;
    if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)) || !is_refused(socket(AF_INET6, SOCK_DGRAM, 0)))
        return 5;
    if (!is_refused(socket(AF_PACKET, SOCK_RAW, 0)))
        return 6;
    if (!is_refused(kill(getppid(), 0)) || !is_refused(syscall(SYS_tgkill, getppid(), getppid(), 0)))
        return 7;
    if (!is_refused(syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L)))
        return 8;
    if (!is_refused(syscall(SYS_mount, "none", "/", "none", 0L, NULL)))
        return 9;
    if (!is_refused(syscall(SYS_setuid, 0)) || !is_refused(syscall(SYS_capset, NULL, NULL)))
        return 10;
    if (!is_refused(syscall(SYS_mkdirat, AT_FDCWD, "/proc/none", 0755)))
        return 11;
    if (!is_refused(listen(0, 1)))
        return 12;
    return 0;
}

START_TEST(refuses_what_is_not_needed) {
    int r = behind_filter(false, intrude);
    if (r != 77)
        ck_assert_int_eq(r, 0);
}
END_TEST

static int work(void) {
    struct tally_error error;
    tally_config *config;
    tally *t;
    const tally_snapshot *snapshot;
    tally_text *room;
    const char *text;
    size_t len;
    char name[] = "/tmp/proctally-rights.XXXXXX";

    if (tally_config_new(&config) < 0 || tally_new(config, NULL, &t, &error) < 0)
        return 1;
    if (tally_collect(t, &snapshot) < 0 || tally_text_new(&room) < 0 ||
        tally_encode_prometheus(snapshot, room, &text, &len) < 0)
        return 2;
    int fd = mkstemp(name);
    if (fd < 0)
        return 3;
    int r = tally_replace_file(name, text, len, 0644, true);
    close(fd);
    unlink(name);
    if (r < 0)
        return 4;
    tally_free(t);
    tally_config_free(config);

    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0)
        return 5;
    int local = socket(AF_UNIX, SOCK_STREAM, 0), netlink = socket(AF_NETLINK, SOCK_RAW, 0);
    if (local < 0 || netlink < 0)
        return 6;
    errno = 0;
    if (getpwuid(0x7ffffff0) || errno == ENOSYS || !getpwuid(0))
        return 7;
    if (isatty(local) || errno == ENOSYS)
        return 8;
    /* libbpf from 1.4 on has one in the place of each map until that is made */
    if (memfd_create("map", MFD_CLOEXEC) < 0)
        return 10;
    return printf("a line\n") == 7 && fflush(stdout) == 0 ? 0 : 9;
}

START_TEST(lets_the_work_be_done) {
    int r = behind_filter(false, work);
    if (r != 77)
        ck_assert_int_eq(r, 0);
}
END_TEST

static void *say_hello(void *fd) {
    return (void *)(intptr_t)write(*(int *)fd, "hello", 5);
}

/* 0, or the number of the first that goes wrong */
static int serve(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(at);
    char text[5];
    void *written;
    pthread_t thread;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    /* a name that the kernel chooses */
    if (bind(listener, (struct sockaddr *)&at, sizeof(sa_family_t)) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) < 0 ||
        connect(client, (struct sockaddr *)&at, len) < 0)
        return 1;
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (accepted < 0)
        return 2;
    if (pthread_create(&thread, NULL, say_hello, &accepted) != 0 ||
        pthread_join(thread, &written) != 0 || (intptr_t)written != 5)
        return 3;
    if (read(client, text, sizeof(text)) != 5)
        return 4;
    /* a thread, but no process */
    if (!is_refused(syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L)))
        return 5;
    if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)))
        return 6;
    return is_refused(prctl(PR_SET_DUMPABLE, 1)) ? 0 : 7;
}

START_TEST(lets_one_serve) {
    int r = behind_filter(true, serve);
    if (r != 77)
        ck_assert_int_eq(r, 0);
}
END_TEST

static int fall(void) {
    abort();
}

START_TEST(lets_it_abort) {
    int r = behind_filter(false, fall);
    if (r != 77)
        ck_assert_int_eq(r, -SIGABRT);
}
END_TEST

int main(void) {
    if (prctl(PR_GET_SECCOMP) < 0) {
        printf("no filters for system calls: %s\n", strerror(errno));
        return 77;
    }
    Suite *suite = suite_create("rights");
    TCase *cases = tcase_create("filter");
    tcase_add_test(cases, refuses_what_is_not_needed);
    tcase_add_test(cases, lets_the_work_be_done);
    tcase_add_test(cases, lets_one_serve);
    tcase_add_test(cases, lets_it_abort);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
