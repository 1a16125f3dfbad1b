/* SPDX-License-Identifier: MIT */
#include "mac.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

static int memory(void *data, struct darwin_memory *ret) {
    (void)data;
    *ret = (struct darwin_memory){.total_bytes = UINT64_C(16) << 30};
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

/* ---- Its network statistics ------------------------------------------------------------------ */

static int release(void *data, char *to, size_t size) {
    (void)data;
    snprintf(to, size, "%s", mac.release);
    return 0;
}

static void put(char *to, const void *value, size_t size) {
    memcpy(to, value, size);
}
#define PUT(message, at, type, value) put((message) + (at), &(type){value}, sizeof(type))

/* Room for a message, which waits to be read. NULL: the buffer is full. */
static char *tell(uint64_t context, uint32_t type, size_t len, uint16_t flags) {
    if (mac.told_count == sizeof(mac.told_len) / sizeof(mac.told_len[0]))
        return NULL;
    char *m = mac.told[mac.told_count];
    mac.told_len[mac.told_count++] = len;
    memset(m, 0, sizeof(mac.told[0]));
    PUT(m, 0, uint64_t, context);
    PUT(m, 8, uint32_t, type);
    PUT(m, 12, uint16_t, (uint16_t)len);
    PUT(m, 14, uint16_t, flags);
    return m;
}

static void tell_flow(const struct mac_flow *f, uint64_t context, uint16_t flags) {
    const bool udp = f->provider == 4 || f->provider == 5;
    char *m = tell(context, 10006, 152 + (udp ? mac.udp_size : mac.tcp_size), flags);
    if (!m)
        return;
    PUT(m, 16, uint64_t, f->number);
    PUT(m, 32, uint64_t, f->received_packets);
    PUT(m, 40, uint64_t, f->received_bytes);
    PUT(m, 48, uint64_t, f->sent_packets);
    PUT(m, 56, uint64_t, f->sent_bytes);
    PUT(m, 144, uint32_t, f->provider);
    PUT(m, 152, uint64_t, f->unique);
    PUT(m, 152 + (udp ? 128 : mac.tcp_pid), uint32_t, f->pid);
    put(m + 152 + (udp ? 132 : mac.tcp_name), f->name, strlen(f->name));
}

static int network_open(void *data) {
    (void)data;
    return mac.network_error;
}

static int network_send(void *data, const void *message, size_t len) {
    static size_t at;
    uint64_t context;
    uint32_t type;
    (void)data;
    memcpy(&context, message, sizeof(context));
    memcpy(&type, (const char *)message + 8, sizeof(type));
    mac.requests++;
    /* no assertions of the library's, which take memory while there may be none */
    if (len != (type == 1002 ? 56 : 24) || (type != 1002 && type != 1007))
        abort();
    if (type == 1002) {
        tell(context, 0, 16, 0);
        at = 0;
        return 0;
    }
    for (size_t n = 0; at < mac.flow_count && n < mac.flows_an_answer; at++)
        if (!mac.flows[at].ended) {
            tell_flow(&mac.flows[at], context, 0);
            n++;
        }
    tell(context, 0, 16, at < mac.flow_count ? 2 : 0);
    at = at < mac.flow_count ? at : 0;
    return 0;
}

static ssize_t network_read(void *data, void *to, size_t size) {
    (void)data;
    if (mac.told_at == mac.told_count) {
        mac.told_at = mac.told_count = 0;
        return -EAGAIN;
    }
    const size_t len = mac.told_len[mac.told_at];
    if (len > size)
        abort();
    memcpy(to, mac.told[mac.told_at++], len);
    return (ssize_t)len;
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
    .memory = memory,
    .timebase = timebase,
    .boot_id = boot_id,
    .user = user,
    .release = release,
    .network_open = network_open,
    .network_send = network_send,
    .network_read = network_read,
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

struct mac_flow *mac_flow(uint32_t provider, const struct mac_process *p) {
    ck_assert_uint_lt(mac.flow_count, 64);
    struct mac_flow *f = &mac.flows[mac.flow_count++];
    *f = (struct mac_flow){.number = 1000 + mac.flow_count,
                           .provider = provider,
                           .pid = p->listed.pid,
                           .unique = p->unique.number,
                           .name = p->task.name};
    return f;
}

void mac_flow_end(struct mac_flow *f) {
    tell_flow(f, 0, 4);
    char *m = tell(0, 10002, 24, 0);
    if (m)
        PUT(m, 16, uint64_t, f->number);
    f->ended = true;
}

void mac_open(void) {
    tree_open();
    mac = (struct mac){.timebase = {MAC_HERTZ, 125, 3},
                       .host = {.cpus = 8},
                       .boot_id = "5E2D9F4C-0E51-4A3B-8B6E-0C4D5A7F1B20",
                       .next_number = 1,
                       .release = "24.5.0",
                       .tcp_size = 344,
                       .udp_size = 280,
                       .tcp_pid = 116,
                       .tcp_name = 196,
                       .flows_an_answer = 64};
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
    ck_assert_int_eq(begin_counting(t), 0);
    return t;
}
