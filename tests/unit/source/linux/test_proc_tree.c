/* SPDX-License-Identifier: MIT */
/* The processes that are followed, of the live kernel. */
#include "source/linux/proc_tree.h"

#include "failing_memory.h"
#include "suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
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

static void list(void) {
    listed_count = 0;
    ck_assert_int_eq(proc_tree_list(tree, note, NULL), 0);
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
        list();
        ck_assert_uint_eq(listed_count, 301);
        ck_assert_int_eq(times_listed(root), 1);
        ck_assert_int_eq(times_listed(beside), 0);
    }
    stop_following();
    kill(beside, SIGKILL);
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
        int r = proc_tree_list(tree, note, NULL);
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
    tcase_add_test(tc, children_of_threads);
    tcase_add_test(tc, what_has_ended_is_not_looked_for_again);
    tcase_add_test(tc, orphans);
    tcase_add_test(tc, memory_runs_out);
    tcase_add_test(tc, nobody_to_follow);
    return run_suite(suite);
}
