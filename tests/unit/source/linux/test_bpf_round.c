/* SPDX-License-Identifier: MIT */
/* Rounds that fail: each call that a round makes is refused once, while processes come and
 * go. Each of these is told of once, in the round that failed or in a later one. */
#include "build-config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_BPF

#include "source/linux/bpf_programs.h"
#include "source/linux/bpf_skeleton.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Calls that are refused ------------------------------------------------------------- */

static unsigned calls, refused; /* the number of the call that is refused; 0: none */

static bool is_refused(void) {
    if (refused == 0 || ++calls != refused)
        return false;
    errno = ENOMEM;
    return true;
}

ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __real_bpf_iter_create(int fd);
int __wrap_bpf_iter_create(int fd);
int __real_bpf_map_delete_elem(int fd, const void *key);
int __wrap_bpf_map_delete_elem(int fd, const void *key);
typedef int batch_call(int fd, void *in, void *out, void *keys, void *values, __u32 *count,
                       const struct bpf_map_batch_opts *opts);
batch_call __real_bpf_map_lookup_batch, __wrap_bpf_map_lookup_batch;
batch_call __real_bpf_map_lookup_and_delete_batch, __wrap_bpf_map_lookup_and_delete_batch;

ssize_t __wrap_read(int fd, void *buf, size_t size) {
    return is_refused() ? -1 : __real_read(fd, buf, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return is_refused() ? NULL : __real_realloc(old, size);
}

int __wrap_bpf_iter_create(int fd) {
    return is_refused() ? -ENOMEM : __real_bpf_iter_create(fd);
}

int __wrap_bpf_map_delete_elem(int fd, const void *key) {
    return is_refused() ? -ENOMEM : __real_bpf_map_delete_elem(fd, key);
}

int __wrap_bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values,
                                __u32 *count, const struct bpf_map_batch_opts *opts) {
    if (is_refused()) {
        *count = 0;
        return -ENOMEM;
    }
    return __real_bpf_map_lookup_batch(fd, in, out, keys, values, count, opts);
}

int __wrap_bpf_map_lookup_and_delete_batch(int fd, void *in, void *out, void *keys, void *values,
                                           __u32 *count, const struct bpf_map_batch_opts *opts) {
    if (is_refused()) {
        *count = 0;
        return -ENOMEM;
    }
    return __real_bpf_map_lookup_and_delete_batch(fd, in, out, keys, values, count, opts);
}

/* ---- Processes ------------------------------------------------------------------------------ */

#define SHORT 3    /* processes a round that nobody lists */
#define LISTED 999 /* more than it takes to refuse each call of a round */

static struct bpf_programs *programs;
static char name[32]; /* of this process and, from their start, of those; the kernel keeps COMM_SIZE */
static pid_t listed_pids[LISTED];
static unsigned listed_ended[LISTED];
static size_t listed_count;
static unsigned long short_started, short_ended, listed_killed;

/* One that stays, or one that ends at once. */
static pid_t start(bool stays) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        while (stays)
            pause();
        _exit(0);
    }
    return pid;
}

static void end(pid_t pid, bool stays) {
    if (stays)
        kill(pid, SIGKILL);
    listed_killed += stays;
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static int use(void *data, struct buf *listing) {
    (void)data, (void)listing;
    return is_refused() ? -ENOMEM : 0;
}

/* Of what was taken all, or only the first: the collection that asks for it fails as well. */
static void take(bool only_one) {
    const struct bpf_ended *ended;
    const struct unlisted *unlisted;
    while ((ended = bpf_programs_next_ended(programs))) {
        for (size_t i = 0; i < listed_count; i++)
            listed_ended[i] += (uint32_t)listed_pids[i] == ended->key.pid;
        if (only_one)
            return;
    }
    while ((unlisted = bpf_programs_next_unlisted(programs))) {
        if (strncmp(unlisted->identity.comm, name, COMM_SIZE - 1) == 0)
            short_ended += unlisted->ended;
        if (only_one)
            return;
    }
}

/* Is everybody accounted for? Nobody may ever be twice. One that was to be listed can be
 * told among the others: a round that goes on with the listing of a failed one does not
 * show what has begun since with a lower pid than it had come to. */
static bool is_complete(void) {
    unsigned long told = short_ended;
    for (size_t i = 0; i < listed_count; i++) {
        ck_assert_uint_le(listed_ended[i], 1);
        told += listed_ended[i];
    }
    ck_assert_uint_le(told, short_started + listed_killed);
    return told == short_started + listed_killed;
}

static unsigned long told_listed(void) {
    unsigned long told = 0;
    for (size_t i = 0; i < listed_count; i++)
        told += listed_ended[i];
    return told;
}

/* A round whose call number n is refused, if it makes so many. */
static bool round_fails(unsigned n, bool in_full) {
    calls = 0;
    refused = n;
    int r = bpf_programs_round(programs, in_full, false, use, NULL);
    refused = 0;
    ck_assert(r == 0 || (r == -ENOMEM && calls >= n));
    if (r == 0)
        take(n % 3 == 0);
    (void)is_complete();
    return calls >= n;
}

/* The kernel drops an event now and then, which is made up for after five seconds. */
static void complete(void) {
    for (int i = 0; i < 150 && (i < 3 || !is_complete()); i++) {
        ck_assert_int_eq(bpf_programs_round(programs, false, false, use, NULL), 0);
        take(false);
        usleep(100000);
    }
    ck_assert_msg(is_complete(), "of %lu short ones %lu were told, of %lu listed ones %lu; lost %llu",
                  short_started, short_ended, listed_killed, told_listed(),
                  (unsigned long long)bpf_programs_lost(programs));
}

START_TEST(loses_nothing) {
    bool has_failed = true;
    ck_assert_int_eq(bpf_programs_round(programs, true, false, use, NULL), 0);
    take(false);
    /* until a round needs fewer calls than that */
    for (unsigned n = 1; has_failed; n++) {
        /* and right after it one that may give up what the first had begun */
        for (unsigned again = 0; again <= 4; again++) {
            ck_assert_uint_lt(listed_count, LISTED);
            pid_t listed = start(true);
            listed_pids[listed_count++] = listed;
            ck_assert_int_eq(bpf_programs_round(programs, n % 2, false, use, NULL), 0);
            take(n % 3 == 0);
            for (int i = 0; i < SHORT; i++, short_started++)
                end(start(false), false);
            has_failed = round_fails(n, n % 5 == 0);
            end(listed, true);
            if (again)
                round_fails(again, false);
        }
    }
    complete();
}
END_TEST

/* ---- Programs that are held up ---------------------------------------------------------- */

/* The variables of the programs. */
static struct proctally_bpf__bss *map_bss(void) {
    for (int fd = 0; fd < 1024; fd++) {
        struct bpf_map_info info = {0};
        __u32 size = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && strstr(info.name, ".bss"))
            return mmap(NULL, sizeof(struct proctally_bpf__bss), PROT_READ | PROT_WRITE, MAP_SHARED,
                        fd, 0);
    }
    return MAP_FAILED;
}

static void *go_on(void *held_up) {
    usleep(20000);
    __sync_fetch_and_add((__u32 *)held_up, -1);
    return NULL;
}

/* Nothing that it might be adding to is taken until it goes on, and all of it after that. */
START_TEST(waits_for_held_up) {
    struct proctally_bpf__bss *bss = map_bss();
    ck_assert_ptr_ne(bss, MAP_FAILED);
    __u32 *held_up = &bss->adding[0][0];
    ck_assert_int_eq(bpf_programs_round(programs, true, false, use, NULL), 0);
    take(false);
    const unsigned long before = short_ended;
    __sync_fetch_and_add(held_up, 1);
    for (int i = 0; i < SHORT; i++, short_started++)
        end(start(false), false);
    for (int i = 0; i < 3; i++) {
        usleep(200000); /* the kernel frees them a little later */
        ck_assert_int_eq(bpf_programs_round(programs, false, false, use, NULL), 0);
        take(false);
        ck_assert_uint_eq(short_ended, before);
    }
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, go_on, held_up), 0);
    complete();
    pthread_join(thread, NULL);
    munmap(bss, sizeof(*bss));
}
END_TEST

int main(void) {
    const struct bpf_wants wants = {.max_processes = 65536};
    struct tally_error why = {{0}};
    snprintf(name, sizeof(name), "round-%ld", (long)getpid());
    prctl(PR_SET_NAME, name);
    if (bpf_programs_open(&wants, NULL, &programs, &why) < 0) {
        printf("%s\n", why.text);
        return 77;
    }
    Suite *suite = suite_create("bpf_round");
    TCase *cases = tcase_create("failing");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, waits_for_held_up);
    tcase_add_test(cases, loses_nothing);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    bpf_programs_free(programs);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

int main(void) {
    printf("this build has no source bpf\n");
    return 77;
}

#endif
