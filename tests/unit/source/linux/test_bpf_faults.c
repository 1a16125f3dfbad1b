/* SPDX-License-Identifier: MIT */
/* bpf(2) that fails, each call of those that opening the source makes in its turn; and some of
 * them with all that come after. Whatever is left counts right, says once what is missing, and
 * nothing of the rest stays: no descriptor, and with it no map and no program, and no pin. */
#define _GNU_SOURCE
#include "build-config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_BPF

#include "collector/collector.h"
#include "source/linux/bpf_load.h"
#include "suite.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- bpf(2) ------------------------------------------------------------------------------- */

static unsigned calls, first_refused, last_refused; /* by their numbers; 0: none */
static int refused_with;

/* In place of the C library's, also for libbpf. As that one it takes six arguments, whatever
 * it was called with. */
__attribute__((visibility("default"), no_sanitize_address)) long syscall(long number, ...);
long syscall(long number, ...) {
    static long (*real)(long, ...);
    long a[6];
    va_list args;
    va_start(args, number);
    for (size_t i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_bpf && ++calls >= first_refused && calls <= last_refused) {
        errno = refused_with;
        return -1;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- Somebody to count ----------------------------------------------------------------------- */

static char name[16];
static int commands[2], answers[2];

static uint64_t cpu_ns(clockid_t clock) {
    struct timespec now;
    ck_assert_int_eq(clock_gettime(clock, &now), 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void work(void) {
    char byte;
    struct timespec now;
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(commands[1]);
    while (write(answers[1], "x", 1) == 1 && read(commands[0], &byte, 1) == 1)
        do
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        while (now.tv_nsec < 60000000);
    _exit(0);
}

static pid_t start(void) {
    snprintf(name, sizeof(name), "faults%d", getpid());
    ck_assert_int_eq(pipe(commands), 0);
    ck_assert_int_eq(pipe(answers), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        work();
    char byte;
    ck_assert_int_eq(read(answers[0], &byte, 1), 1);
    return pid;
}

static uint64_t value_of(const tally_snapshot *s, size_t metric) {
    uint64_t value;
    for (size_t g = 0; g < tally_snapshot_groups(s); g++)
        if (strcmp(tally_snapshot_group_name(s, g), name) == 0) {
            ck_assert(tally_snapshot_value(s, g, metric, &value));
            return value;
        }
    ck_abort_msg("there is no group %s", name);
}

static uint64_t cpu_of(const tally_snapshot *s) {
    return value_of(s, METRIC_CPU_USER) + value_of(s, METRIC_CPU_SYSTEM);
}

/* It uses some time, and that is what is counted. */
static void check_counts(tally *t, pid_t pid) {
    const tally_snapshot *snapshot;
    clockid_t clock;
    char byte;
    ck_assert_int_eq(clock_getcpuclockid(pid, &clock), 0);
    const uint64_t used_before = cpu_ns(clock);
    ck_assert_int_eq(tally_collect(t, &snapshot), 0);
    ck_assert_uint_eq(value_of(snapshot, METRIC_PROCESSES), 1);
    ck_assert_uint_ge(value_of(snapshot, METRIC_RSS), 4096);
    const uint64_t counted_before = cpu_of(snapshot);
    ck_assert_int_eq(write(commands[1], "x", 1), 1);
    ck_assert_int_eq(read(answers[0], &byte, 1), 1);
    const uint64_t used = cpu_ns(clock) - used_before;
    ck_assert_int_eq(tally_collect(t, &snapshot), 0);
    const uint64_t counted = cpu_of(snapshot) - counted_before;
    /* the clock ticks of /proc */
    ck_assert_uint_le(counted, used + 20000000);
    ck_assert_uint_ge(counted + 20000000, used);
}

/* ---- A collector --------------------------------------------------------------------------------- */

static tally *open_collector(const char *pin_dir, const char *state) {
    struct tally_error error = {{0}};
    tally_config *config = NULL;
    tally *t = NULL;
    int r = tally_config_new(&config);
    /* whatever else goes on on this host: there is room for it */
    if (r == 0)
        r = tally_config_set(config, "max-groups", "100000", &error);
    if (r == 0 && pin_dir)
        r = tally_config_set(config, "pin", pin_dir, &error);
    if (r == 0 && state)
        r = tally_config_set(config, "state-file", state, &error);
    if (r == 0)
        r = tally_new(config, NULL, &t, &error);
    ck_assert_msg(r == 0, "%s", error.text);
    tally_config_free(config);
    return t;
}

static size_t count_entries(const char *path) {
    DIR *dir = opendir(path);
    size_t count = 0;
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static bool source_is_bpf(tally *t) {
    return strcmp(t->source->name, "bpf") == 0;
}

/* One line for what is missing, and none for what is not. */
static void check_said(tally *t) {
    struct tally_error text;
    bool lacks_traffic = false, lacks_source = false, sees_traffic;
    struct source_health health;
    t->source->ops->health(t->source, &health);
    sees_traffic = health.sees_traffic;
    for (unsigned lines = 0; tally_notice(t, &text);) {
        const char *traffic = "network traffic is not counted: ";
        const char *old_sockets = "network traffic is not counted of sockets that were there";
        if (health.misses_old_sockets && strncmp(text.text, old_sockets, strlen(old_sockets)) == 0)
            continue;
        const char *source = "reading /proc, which misses what is over too soon; not source bpf: ";
        ck_assert_msg(lines++ == 0, "a second line: %s", text.text);
        lacks_traffic = strncmp(text.text, traffic, strlen(traffic)) == 0;
        lacks_source = strncmp(text.text, source, strlen(source)) == 0;
        const char *why = text.text + strlen(lacks_source ? source : traffic);
        ck_assert_msg((lacks_traffic || lacks_source) && strlen(why) > 5, "%s", text.text);
        /* there is nothing wrong with these */
        ck_assert_msg(!strstr(why, "CAP_") && !strstr(why, "MEMLOCK") && !strstr(why, "damaged") &&
                          !strstr(why, "another kernel"),
                      "%s", text.text);
    }
    ck_assert_int_eq(lacks_source, !source_is_bpf(t));
    ck_assert_int_eq(lacks_traffic, source_is_bpf(t) && !sees_traffic);
}

static void refuse(unsigned first, unsigned last) {
    static const int errors[] = {EPERM, ENOMEM, EINVAL, EACCES, E2BIG};
    calls = 0;
    first_refused = first;
    last_refused = last;
    refused_with = errors[first % (sizeof(errors) / sizeof(errors[0]))];
}

static void open_and_check(unsigned first, unsigned last) {
    pid_t pid = start();
    const size_t files = count_entries("/proc/self/fd");
    refuse(first, last);
    tally *t = open_collector(NULL, NULL);
    refuse(0, 0);
    check_counts(t, pid);
    check_said(t);
    tally_free(t);
    ck_assert_uint_eq(count_entries("/proc/self/fd"), files);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(one_call_fails) {
    open_and_check((unsigned)_i, (unsigned)_i);
}
END_TEST

START_TEST(all_calls_fail_from_then_on) {
    open_and_check((unsigned)_i * 7, UINT32_MAX);
}
END_TEST

/* A bpf file system of this process's own, and in it what it leaves pinned. */
START_TEST(pinning_fails) {
    char dir[] = "/tmp/proctally-bpf.XXXXXX", state[] = "/tmp/proctally-state.XXXXXX", pins[64];
    struct tally_error error;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    int fd = mkstemp(state);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(state);
    snprintf(pins, sizeof(pins), "%s/pins", dir);
    ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mount("bpf", dir, "bpf", 0, NULL), 0);
    const size_t entries = count_entries(dir); /* the kernel's own */
    pid_t pid = start();
    const size_t files = count_entries("/proc/self/fd");
    refuse((unsigned)_i * 3, (unsigned)_i * 3);
    tally *t = open_collector(pins, state);
    refuse(0, 0);
    check_counts(t, pid);
    check_said(t);
    const size_t pinned = count_entries(pins);
    if (source_is_bpf(t))
        ck_assert_uint_gt(pinned, MAPS);
    else
        ck_assert_uint_eq(pinned, 0);
    tally_free(t);
    ck_assert_uint_eq(count_entries("/proc/self/fd"), files);
    ck_assert_uint_eq(count_entries(pins), pinned);
    ck_assert_int_eq(tally_unpin(pins, &error), pinned ? 0 : -ENOENT);
    ck_assert_uint_eq(count_entries(dir), entries);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    umount(dir);
    rmdir(dir);
    unlink(state);
}
END_TEST

/* How many calls opening makes, in a process that libbpf has probed nothing in; 0: there is no
 * source bpf here. */
static int count_calls(void) {
    int fds[2], count = 0;
    if (pipe(fds) < 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct tally_error error = {{0}};
        tally_config *config = NULL;
        tally *t = NULL;
        if (tally_config_new(&config) == 0 && tally_new(config, NULL, &t, &error) == 0 &&
            source_is_bpf(t))
            count = (int)calls;
        else if (t && tally_notice(t, &error))
            printf("%s\n", error.text);
        tally_free(t);
        tally_config_free(config);
        (void)!write(fds[1], &count, sizeof(count));
        fflush(stdout);
        _exit(0);
    }
    if (read(fds[0], &count, sizeof(count)) != sizeof(count))
        count = 0;
    waitpid(pid, NULL, 0);
    close(fds[0]);
    close(fds[1]);
    return count;
}

int main(void) {
    const int count = count_calls();
    if (count == 0)
        return 77;
    printf("opening makes %d calls\n", count);
    Suite *suite = suite_create("bpf_faults");
    TCase *cases = tcase_create("opening");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, one_call_fails, 1, count + 2);
    tcase_add_loop_test(cases, all_calls_fail_from_then_on, 1, count / 7 + 2);
    /* the programs, and what comes behind them: a call for each pin */
    tcase_add_loop_test(cases, pinning_fails, count / 6, count / 3 + 15);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}

#else

int main(void) {
    printf("this build has no source bpf\n");
    return 77;
}

#endif
