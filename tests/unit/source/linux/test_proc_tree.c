/* SPDX-License-Identifier: MIT */
/* The processes that are followed, of the live kernel. */
#include "source/linux/proc_tree.h"

#include "source/linux/parse.h"

#include "failing_memory.h"
#include "suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 4096

static struct proc_dir dir;
static struct followed roots;
static struct proc_tree *tree;
static uint32_t listed[MOST];
static size_t listed_count;

static int note(void *data, uint32_t pid, uint64_t inode) {
    (void)data;
    ck_assert(inode != 0 && listed_count < MOST);
    listed[listed_count++] = pid;
    return 0;
}

static unsigned asked; /* processes */

static void ask(void *data, const uint32_t *pids, size_t count, struct proc_run *ret) {
    struct schedstat_file sched;
    (void)data;
    ck_assert(count > 0 && count <= PROC_TREE_BATCH);
    for (size_t i = 0; i < count; i++) {
        const ssize_t n = proc_read(&dir, pids[i], "schedstat");
        if (n > 0 && parse_schedstat(dir.record, (size_t)n, &sched) == 0)
            ret[i] = (struct proc_run){.activity = sched.run_ns + 1, .slices = sched.slices};
    }
    asked += (unsigned)count;
}

static void list(void) {
    listed_count = 0;
    ck_assert_int_eq(proc_tree_list(tree, ask, note, NULL), 0);
}

static int times_listed(pid_t pid) {
    int times = 0;
    for (size_t i = 0; i < listed_count; i++)
        times += listed[i] == (uint32_t)pid;
    return times;
}

/* A process with `children` children of its own, all of which wait to be killed. */
static pid_t start(int children, int group) {
    int ready[2];
    char text;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, group);
        for (int i = 0; i < children; i++)
            if (fork() == 0)
                break;
        (void)!write(ready[1], "", 1);
        for (;;)
            pause();
    }
    ck_assert_int_gt(pid, 0);
    for (int i = 0; i <= children; i++)
        ck_assert_int_eq(read(ready[0], &text, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void end(pid_t pid) {
    kill(-pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static char state_of(pid_t pid) {
    char path[64], text[256] = "";
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    const size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    const char *at = n ? strrchr(text, ')') : NULL;
    return at && at[1] ? at[2] : '?';
}

static void on_signal(int number) {
    (void)number;
}

static void pause_until_signalled(void) {
    signal(SIGUSR1, on_signal);
    pause();
}

static void follow(pid_t pid, pid_t adopter) {
    roots = (struct followed){
        .count = 1, .adopter = (uint32_t)adopter, .roots = {{.pid = (uint32_t)pid}}};
    ck_assert_int_eq(proc_dir_open(&dir, "/proc", &io_kernel), 0);
    ck_assert_int_eq(proc_tree_new(&dir, &roots, &tree), 0);
}

static void stop_following(void) {
    proc_tree_free(tree);
    proc_dir_close(&dir);
}

START_TEST(root_and_children) {
    pid_t root = start(300, 0), beside = start(0, 0);
    follow(root, 0);
    for (int i = 0; i < 2; i++) {
        asked = 0;
        list();
        ck_assert_uint_eq(listed_count, 301);
        ck_assert_uint_eq(asked, 301); /* each once, in whichever batches */
        ck_assert_int_eq(times_listed(root), 1);
        ck_assert_int_eq(times_listed(beside), 0);
    }
    stop_following();
    kill(beside, SIGKILL);
    end(root);
}
END_TEST

/* Bytes that a reader has asked for, by reading with io_kernel. */
static unsigned children_read;

static int counting_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    const size_t len = strlen(path);
    children_read += len > 9 && strcmp(path + len - 9, "/children") == 0;
    return io_kernel.openat(data, dir_fd, path, flags, mode);
}

/* A process that sleeps gets no children; one that forks has run. */
START_TEST(sleepers_are_left_alone) {
    int wake[2], born[2];
    pid_t child = 0;
    char text = 0;
    struct io io = io_kernel;
    io.openat = counting_openat;
    ck_assert_int_eq(pipe(wake), 0);
    ck_assert_int_eq(pipe(born), 0);
    pid_t root = fork();
    if (root == 0) {
        setpgid(0, 0);
        while (read(wake[0], &text, 1) == 1) {
            pid_t one = fork();
            if (one == 0)
                for (;;)
                    pause();
            (void)!write(born[1], &one, sizeof(one));
        }
        _exit(0);
    }
    roots = (struct followed){.count = 1, .roots = {{.pid = (uint32_t)root}}};
    ck_assert_int_eq(proc_dir_open(&dir, "/proc", &io), 0);
    ck_assert_int_eq(proc_tree_new(&dir, &roots, &tree), 0);
    for (size_t i = 0; i < 40; i++) {
        ck_assert_int_eq(write(wake[1], &text, 1), 1);
        ck_assert_int_eq(read(born[0], &child, sizeof(child)), sizeof(child));
        list();
        ck_assert_uint_eq(listed_count, i + 2);
        ck_assert_int_eq(times_listed(child), 1);
        while (state_of(root) != 'S' || state_of(child) != 'S')
            usleep(1000);
        list(); /* reads its run time after the last run */
        proc_tree_note_asleep(tree, (uint32_t)root);
        for (size_t k = 0; k < listed_count; k++)
            proc_tree_note_asleep(tree, listed[k]);
    }
    /* each has its turn once in 16 listings, whatever pids they have got */
    children_read = 0;
    for (size_t i = 0; i < 16; i++) {
        list();
        ck_assert_uint_eq(listed_count, 41);
    }
    ck_assert_uint_eq(children_read, 41);
    stop_following();
    end(root);
}
END_TEST

/* One that sleeps can be given a child that another has left, without running. */
START_TEST(sleepers_adopt) {
    int ready[2];
    pid_t pids[2];
    ck_assert_int_eq(pipe(ready), 0);
    pid_t root = fork();
    if (root == 0) {
        setpgid(0, 0);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        pid_t parent = fork();
        if (parent == 0) {
            pause_until_signalled();
            pid_t orphan = fork();
            if (orphan == 0)
                for (;;)
                    pause();
            (void)!write(ready[1], &orphan, sizeof(orphan));
            _exit(0);
        }
        (void)!write(ready[1], &parent, sizeof(parent));
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ready[0], &pids[0], sizeof(pids[0])), sizeof(pids[0]));
    follow(root, 0);
    while (state_of(root) != 'S' || state_of(pids[0]) != 'S')
        usleep(1000);
    list();
    ck_assert_uint_eq(listed_count, 2);
    for (size_t k = 0; k < listed_count; k++)
        proc_tree_note_asleep(tree, listed[k]);
    ck_assert_int_eq(kill(pids[0], SIGUSR1), 0);
    ck_assert_int_eq(read(ready[0], &pids[1], sizeof(pids[1])), sizeof(pids[1]));
    while (state_of(pids[0]) != 'Z')
        usleep(1000);
    int tries = 0;
    do
        list();
    while (!times_listed(pids[1]) && ++tries < 20);
    ck_assert_int_le(tries, 16);
    stop_following();
    kill(pids[1], SIGKILL);
    end(root);
}
END_TEST

static void *fork_one(void *ret) {
    *(pid_t *)ret = fork();
    if (*(pid_t *)ret == 0)
        for (;;)
            pause();
    return NULL;
}

struct forker {
    pthread_barrier_t *wait;
    pid_t *pid;
};

static void *fork_and_wait(void *data) {
    const struct forker *f = data;
    fork_one(f->pid);
    pthread_barrier_wait(f->wait);
    pthread_barrier_wait(f->wait);
    return NULL;
}

/* Children belong to the thread that forked them, while that is there. */
START_TEST(children_of_threads) {
    pthread_t thread;
    pid_t own = 0, of_thread = 0;
    pthread_barrier_t wait;
    fork_one(&own);
    ck_assert_int_eq(pthread_barrier_init(&wait, NULL, 2), 0);
    struct forker forker = {.wait = &wait, .pid = &of_thread};
    ck_assert_int_eq(pthread_create(&thread, NULL, fork_and_wait, &forker), 0);
    pthread_barrier_wait(&wait);
    follow(getpid(), 0);
    list();
    ck_assert_int_eq(times_listed(own), 1);
    ck_assert_int_eq(times_listed(of_thread), 1);
    stop_following();
    pthread_barrier_wait(&wait);
    pthread_join(thread, NULL);
    kill(own, SIGKILL);
    kill(of_thread, SIGKILL);
}
END_TEST

START_TEST(what_has_ended_is_not_looked_for_again) {
    pid_t root = start(0, 0);
    follow(root, 0);
    list();
    ck_assert_uint_eq(listed_count, 1);
    end(root);
    list();
    ck_assert_uint_eq(listed_count, 0);
    list();
    ck_assert_uint_eq(listed_count, 0);
    stop_following();
}
END_TEST

/* Who has been listed stays so when its parent ends, whoever adopts it. */
START_TEST(orphans) {
    pid_t root = start(3, 0);
    follow(root, 0);
    list();
    ck_assert_uint_eq(listed_count, 4);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    kill(root, SIGKILL);
    ck_assert_int_eq(waitpid(root, NULL, 0), root);
    list();
    ck_assert_uint_eq(listed_count, 3);
    stop_following();
    /* one that begins only now knows them by the adopter */
    follow(getpid(), getpid());
    list();
    ck_assert_uint_eq(listed_count, 4);
    stop_following();
    end(root);
}
END_TEST

START_TEST(memory_runs_out) {
    pid_t root = start(200, 0);
    follow(root, 0);
    for (long failing = 1;; failing++) {
        listed_count = 0;
        allocations = 0;
        fail_allocation_at = failing;
        int r = proc_tree_list(tree, ask, note, NULL);
        fail_allocation_at = 0;
        if (r == 0)
            break;
        ck_assert_int_eq(r, -ENOMEM);
    }
    ck_assert_uint_eq(listed_count, 201);
    list();
    ck_assert_uint_eq(listed_count, 201);
    stop_following();
    end(root);
}
END_TEST

START_TEST(nobody_to_follow) {
    roots = (struct followed){0};
    ck_assert_int_eq(proc_dir_open(&dir, "/proc", &io_kernel), 0);
    ck_assert_int_eq(proc_tree_new(&dir, &roots, &tree), -ENOTSUP);
    proc_dir_close(&dir);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("proc_tree");
    TCase *tc = add_case(suite, "tree");

    tcase_add_test(tc, root_and_children);
    tcase_add_test(tc, sleepers_are_left_alone);
    tcase_add_test(tc, sleepers_adopt);
    tcase_add_test(tc, children_of_threads);
    tcase_add_test(tc, what_has_ended_is_not_looked_for_again);
    tcase_add_test(tc, orphans);
    tcase_add_test(tc, memory_runs_out);
    tcase_add_test(tc, nobody_to_follow);
    return run_suite(suite);
}
