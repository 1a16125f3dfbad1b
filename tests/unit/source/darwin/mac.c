/* SPDX-License-Identifier: MIT */
#include "mac.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct mac mac;

/* ---- What its kernel answers ------------------------------------------------------------ */

static struct mac_process *find(uint32_t pid) {
    for (size_t i = mac.count; i-- > 0;)
        if (mac.processes[i].listed.pid == pid && !mac.processes[i].gone)
            return &mac.processes[i];
    return NULL;
}

static bool may_see(const struct mac_process *p) {
    return mac.user == 0 || mac.user == p->listed.uid;
}

static void free_mac(void *data) {
    (void)data;
    mac.freed++;
}

/* The latest first, as the kernel does. */
static ssize_t list(void *data, struct darwin_process *to, size_t room) {
    size_t n = 0;
    (void)data;
    mac.lists++;
    for (size_t i = mac.count; i-- > 0;)
        if (!mac.processes[i].gone && n < room)
            to[n++] = mac.processes[i].listed;
    return (ssize_t)n;
}

static int task(void *data, uint32_t pid, struct darwin_task *ret) {
    const struct mac_process *p = find(pid);
    (void)data;
    if (!p || p->listed.status == DARWIN_ZOMBIE)
        return -ESRCH;
    if (!may_see(p))
        return -EPERM;
    *ret = p->task;
    ret->start_us = p->listed.start_us;
    return 0;
}

static int usage(void *data, uint32_t pid, struct darwin_usage *ret) {
    struct mac_process *p = find(pid);
    (void)data;
    if (p && p->when_used)
        p->when_used(p);
    p = find(pid);
    if (!p)
        return -ESRCH;
    if (!may_see(p))
        return -EPERM;
    *ret = p->usage;
    return 0;
}

static int unique(void *data, uint32_t pid, struct darwin_unique *ret) {
    const struct mac_process *p = find(pid);
    (void)data;
    if (!p)
        return -ESRCH;
    *ret = p->unique;
    return 0;
}

static ssize_t fds(void *data, uint32_t pid, struct darwin_fd *to, size_t room) {
    const struct mac_process *p = find(pid);
    (void)data;
    if (!p || p->listed.status == DARWIN_ZOMBIE)
        return -ESRCH;
    if (!may_see(p))
        return -EPERM;
    const size_t n = p->fds < room ? p->fds : room;
    for (size_t i = 0; i < n; i++)
        to[i] = (struct darwin_fd){.fd = (int32_t)i, .type = 1};
    return (ssize_t)n;
}

static ssize_t path(void *data, uint32_t pid, char *to, size_t size) {
    const struct mac_process *p = find(pid);
    (void)data;
    if (!p || p->listed.status == DARWIN_ZOMBIE)
        return -ESRCH;
    if (!p->path)
        return -ENOENT;
    ck_assert_uint_lt(strlen(p->path), size);
    memcpy(to, p->path, strlen(p->path));
    return (ssize_t)strlen(p->path);
}

static ssize_t arguments(void *data, uint32_t pid, char *to, size_t size) {
    const struct mac_process *p = find(pid);
    (void)data;
    if (!p)
        return -ESRCH;
    if (!p->arguments || !may_see(p) || p->listed.status == DARWIN_ZOMBIE)
        return -EINVAL;
    ck_assert_uint_le(sizeof(p->argument_count) + p->arguments_len, size);
    memcpy(to, &p->argument_count, sizeof(p->argument_count));
    memcpy(to + sizeof(p->argument_count), p->arguments, p->arguments_len);
    return (ssize_t)(sizeof(p->argument_count) + p->arguments_len);
}

static int host(void *data, struct darwin_host *ret) {
    (void)data;
    *ret = mac.host;
    return 0;
}

static int timebase(void *data, struct darwin_timebase *ret) {
    (void)data;
    *ret = mac.timebase;
    return 0;
}

static int boot_id(void *data, char *to, size_t size) {
    (void)data;
    snprintf(to, size, "%s", mac.boot_id);
    return 0;
}

static uint32_t user(void *data) {
    (void)data;
    return mac.user;
}

const struct darwin_calls mac_calls = {
    .free = free_mac,
    .list = list,
    .task = task,
    .usage = usage,
    .unique = unique,
    .fds = fds,
    .path = path,
    .arguments = arguments,
    .host = host,
    .timebase = timebase,
    .boot_id = boot_id,
    .user = user,
};

/* ---- What happens on it ------------------------------------------------------------------- */

struct mac_process *mac_start(uint32_t pid, uint32_t ppid, const char *name, double boot_s) {
    const size_t len = strlen(name) < 16 ? strlen(name) : 16;
    ck_assert_uint_lt(mac.count, 64);
    struct mac_process *p = &mac.processes[mac.count++];
    const int64_t start_s = (int64_t)BOOT_TIME_S + mac.clock_step_s;
    *p = (struct mac_process){
        .listed = {.pid = pid,
                   .ppid = ppid,
                   .start_us = (uint64_t)(start_s * 1000000 + (int64_t)(boot_s * 1e6)),
                   .uid = MAC_USER,
                   .gid = 20,
                   .status = DARWIN_RUNNABLE,
                   .name_len = (uint8_t)len},
        .task = {.threads = 1, .priority = 31},
        .unique = {.number = mac.next_number, .version = (uint32_t)mac.next_number * 2},
    };
    memcpy(p->listed.name, name, len);
    snprintf(p->task.name, sizeof(p->task.name), "%s", name);
    mac.next_number++;
    return p;
}

void mac_end(struct mac_process *p) {
    p->listed.status = DARWIN_ZOMBIE;
}

/* As the kernel does it: CPU time and page-ins alone, and those of its own children. */
void mac_reap(struct mac_process *p) {
    struct mac_process *parent = find(p->listed.ppid);
    p->gone = true;
    if (!parent)
        return;
    parent->usage.child_user_time += p->usage.user_time + p->usage.child_user_time;
    parent->usage.child_system_time += p->usage.system_time + p->usage.child_system_time;
    parent->usage.child_pageins += p->usage.pageins + p->usage.child_pageins;
}

void mac_use(struct mac_process *p, double user_s, double system_s) {
    p->usage.user_time += (uint64_t)(user_s * (double)MAC_SECOND);
    p->usage.system_time += (uint64_t)(system_s * (double)MAC_SECOND);
    p->usage.runnable_time += (uint64_t)((user_s + system_s) * (double)MAC_SECOND);
    p->task.user_time = p->usage.user_time;
    p->task.system_time = p->usage.system_time;
}

void mac_open(void) {
    tree_open();
    mac = (struct mac){.timebase = {MAC_HERTZ, 125, 3},
                       .host = {.cpus = 8},
                       .boot_id = "5E2D9F4C-0E51-4A3B-8B6E-0C4D5A7F1B20",
                       .next_number = 1};
    struct mac_process *kernel = mac_start(0, 0, "kernel_task", MAC_BOOT_S);
    struct mac_process *launchd = mac_start(1, 0, "launchd", MAC_BOOT_S);
    kernel->listed.uid = launchd->listed.uid = 0;
    kernel->listed.is_kernel = true;
}

void mac_close(void) {
    tree_close();
}

tally *on_a_mac(tally *t) {
    struct source *s;
    ck_assert_int_eq(libproc_new(&mac_calls, &tree_io, t->settings.collect, &s), 0);
    t->source->ops->free(t->source);
    t->source = s;
    t->counting.table.keeps_darwin_fields = s->has_darwin_fields;
    return t;
}
