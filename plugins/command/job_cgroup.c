/* SPDX-License-Identifier: MIT */
#include "job_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fail(struct tally_error *error, const char *what, int r) {
    snprintf(error->text, sizeof(error->text), "cannot make a control group: %.300s: %s", what,
             strerror(-r));
    return r;
}

/* The text behind the first line that begins with `start`; false: there is none. */
static bool find_line(const char *path, const char *start, char *ret, size_t size) {
    char line[4096];
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof(line), file)) {
        found = strncmp(line, start, strlen(start)) == 0;
        if (found)
            snprintf(ret, size, "%.*s", (int)strcspn(line + strlen(start), "\n"),
                     line + strlen(start));
    }
    if (file)
        fclose(file);
    return found;
}

/* Where the unified hierarchy is mounted, and what of it. See proc_pid_mountinfo(5). */
static bool find_mount(char *ret_root, char *ret_at, size_t size) {
    char line[8192];
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && !found && fgets(line, sizeof(line), file)) {
        const char *type = strstr(line, " - cgroup2 ");
        char *save = NULL, *word = strtok_r(line, " ", &save);
        for (int i = 0; word && i < 3; i++)
            word = strtok_r(NULL, " ", &save);
        const char *at = word ? strtok_r(NULL, " ", &save) : NULL;
        found = type && at;
        if (found) {
            snprintf(ret_root, size, "%s", word);
            snprintf(ret_at, size, "%s", at);
        }
    }
    if (file)
        fclose(file);
    return found;
}

static int write_file(const char *directory, const char *name, const char *text) {
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int write_pid(const char *directory, pid_t pid) {
    char text[24];
    snprintf(text, sizeof(text), "%ld\n", (long)pid);
    return write_file(directory, "cgroup.procs", text);
}

int job_cgroup_begin(struct job_cgroup *job, pid_t pid, struct tally_error *error) {
    char root[2048], at[2048], own[2048];
    job->path[0] = '\0';
    if (!find_mount(root, at, sizeof(root)) ||
        !find_line("/proc/self/cgroup", "0::", own, sizeof(own)))
        return fail(error, "the unified hierarchy is not mounted", -ENOENT);
    /* a container's mount may show only a part of the hierarchy */
    const size_t hidden = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(own, root, hidden) == 0 ? own + hidden : own;
    char path[sizeof(job->path)];
    const int len = snprintf(path, sizeof(path), "%s%s/proctally-%ld", at,
                             strcmp(below, "/") == 0 ? "" : below, (long)pid);
    if (len < 0 || (size_t)len >= sizeof(path))
        return fail(error, "its path", -ENAMETOOLONG);
    /* one of that name is of a proctally that was killed */
    if (mkdir(path, 0755) < 0 && !(errno == EEXIST && rmdir(path) == 0 && mkdir(path, 0755) == 0))
        return fail(error, path, -errno);
    int r = write_pid(path, pid);
    if (r < 0) {
        rmdir(path);
        return fail(error, path, r);
    }
    memcpy(job->path, path, sizeof(path));
    return 0;
}

static uint64_t number_in(const struct job_cgroup *job, const char *name, const char *start,
                          bool *ret_known) {
    char path[4200], text[64];
    snprintf(path, sizeof(path), "%s/%s", job->path, name);
    *ret_known = find_line(path, start, text, sizeof(text)) && text[0] >= '0' && text[0] <= '9';
    return *ret_known ? strtoull(text, NULL, 10) : 0;
}

void job_cgroup_read(const struct job_cgroup *job, struct job_usage *ret) {
    bool has_user, has_system, has_peak;
    *ret = (struct job_usage){0};
    if (!job->path[0])
        return;
    ret->user_ns = 1000 * number_in(job, "cpu.stat", "user_usec ", &has_user);
    ret->system_ns = 1000 * number_in(job, "cpu.stat", "system_usec ", &has_system);
    ret->has_cpu = has_user && has_system;
    /* Since Linux 5.19. Only below the topmost group: any other with a process in it, and we
     * are in it, can't have its controllers on for those below. */
    ret->peak_bytes = number_in(job, "memory.peak", "", &has_peak);
}

int job_cgroup_kill(const struct job_cgroup *job) {
    return job->path[0] ? write_file(job->path, "cgroup.kill", "1") : -ENOENT;
}

/* Each try misses those that are forked meanwhile. Who forks without end has to stand still for
 * it; others are spared that, as some of their system calls would end with EINTR. */
#define MOVE_TRIES 300
#define MOVE_TRIES_UNFROZEN 10
/* Who is in the middle of fork(2) or exit(2) is not listed, and has to get a CPU first. */
#define MOVE_WAIT_NS 1000000

int job_cgroup_end(struct job_cgroup *job) {
    char path[4200], parent[sizeof(job->path)], line[32];
    int r = 0;
    if (!job->path[0])
        return 0;
    snprintf(parent, sizeof(parent), "%s", job->path);
    *strrchr(parent, '/') = '\0';
    snprintf(path, sizeof(path), "%s/cgroup.procs", job->path);
    for (int i = 0; i < MOVE_TRIES; i++) {
        r = rmdir(job->path) < 0 ? -errno : 0;
        if (r != -EBUSY)
            break;
        if (i == MOVE_TRIES_UNFROZEN) /* since Linux 5.2; with the move they go on */
            (void)write_file(job->path, "cgroup.freeze", "1");
        if (i >= MOVE_TRIES_UNFROZEN)
            nanosleep(&(struct timespec){.tv_nsec = MOVE_WAIT_NS}, NULL);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
            (void)write_pid(parent, (pid_t)strtol(line, NULL, 10));
        if (file)
            fclose(file);
    }
    if (r < 0)
        (void)write_file(job->path, "cgroup.freeze", "0");
    job->path[0] = '\0';
    return r;
}
