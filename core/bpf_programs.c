/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bpf_programs.h"

#include "cgroups.h"
#include "config.h"

/* made by bpftool, whose code has warnings of its own */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/proctally.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Items to ask for in one call. A call that meets a bucket with more fails. */
#define BATCH 512u
/* A task is freed some hundredths of a second after its end; on a busy host it has
 * taken seconds. */
#define MISSED_AFTER_NS (5 * UINT64_C(1000000000))

/* What was taken from maps of one kind. */
struct items {
    unsigned char *at;
    size_t count, size, item_size;
};

struct dying_item {
    struct dying value;
    uint32_t tid;
};

struct bpf_programs {
    struct proctally_bpf *skeleton;
    bool sees_traffic;
    struct tally_error no_traffic; /* why not */
    struct items ended, unlisted;
    size_t ended_taken, unlisted_taken; /* of these: the rest is for the next time */
    struct items dying;
};

/* libbpf speaks to standard error; the last warning is what a user needs. It has
 * no other way to hand us a context than this. */
static _Thread_local struct tally_error *listener;

static int hear(enum libbpf_print_level level, const char *format, va_list args) {
    if (level != LIBBPF_WARN || !listener || listener->text[0])
        return 0;
    vsnprintf(listener->text, sizeof(listener->text), format, args);
    listener->text[strcspn(listener->text, "\n")] = '\0';
    return 0;
}

static uint64_t boot_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Loading ------------------------------------------------------------------------ */

static int set_up(struct proctally_bpf *s, const struct bpf_wants *wants, bool traffic) {
    struct bpf_program *of_packets[] = {s->progs.count_received, s->progs.count_transmitted};
    struct bpf_program *of_users[] = {s->progs.on_send, s->progs.on_receive};
    bool sees_users = libbpf_find_vmlinux_btf_id("sock_recv_length", BPF_TRACE_RAW_TP) > 0;
    s->data->want_all = 1;
    s->bss->want_program = wants->program;
    s->bss->want_user = wants->user;
    s->bss->want_cgroup = wants->cgroup;
    s->bss->want_ancestor = wants->ancestor;
    s->bss->sees_users = sees_users;
    if (!wants->program)
        bpf_map__set_max_entries(s->maps.programs, 1);
    if (!wants->cgroup)
        bpf_map__set_max_entries(s->maps.cgroups, 1);
    if (!wants->ancestor && !wants->program)
        bpf_map__set_max_entries(s->maps.ancestors, 1);
    for (size_t i = 0; i < 2; i++) {
        bpf_program__set_autoload(of_packets[i], traffic);
        bpf_program__set_autoload(of_users[i], traffic && sees_users);
    }
    bpf_program__set_autoload(s->progs.on_socket, traffic);
    bpf_program__set_autoload(s->progs.on_state, traffic);
    bpf_map__set_autocreate(s->maps.sockets, traffic);
    return 0;
}

/* To the root of the hierarchy, beside what others have there. */
static int attach_traffic(struct proctally_bpf *s) {
    struct cgroups *cgroups;
    int r = cgroups_new(&cgroups);
    if (r < 0)
        return r;
    int fd = open(cgroups_root(cgroups), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = fd < 0 ? -errno : 0;
    cgroups_free(cgroups);
    if (r < 0)
        return r;
    s->links.on_socket = bpf_program__attach_cgroup(s->progs.on_socket, fd);
    s->links.count_received = bpf_program__attach_cgroup(s->progs.count_received, fd);
    s->links.count_transmitted = bpf_program__attach_cgroup(s->progs.count_transmitted, fd);
    if (!s->links.on_socket || !s->links.count_received || !s->links.count_transmitted)
        r = -errno;
    close(fd);
    return r;
}

/* All or nothing: what failed half-way is taken away. */
static int load(const struct bpf_wants *wants, bool traffic, struct proctally_bpf **ret) {
    struct proctally_bpf *s = proctally_bpf__open();
    int r = s ? set_up(s, wants, traffic) : -errno;
    if (r == 0)
        r = proctally_bpf__load(s);
    if (r == 0 && traffic)
        r = attach_traffic(s);
    if (r == 0)
        r = proctally_bpf__attach(s);
    if (r < 0) {
        proctally_bpf__destroy(s);
        return r;
    }
    s->bss->attached_ns = boot_ns();
    *ret = s;
    return 0;
}

static void explain(int error, struct tally_error *why) {
    if (error == -EPERM)
        error_set(why, "it needs root, or CAP_BPF and CAP_PERFMON");
    else if (why->text[0] == '\0')
        error_set(why, "%s", strerror(-error));
}

int bpf_programs_load(const struct bpf_wants *wants, struct bpf_programs **ret,
                      struct tally_error *why) {
    struct bpf_programs *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->ended.item_size = sizeof(struct bpf_ended);
    p->unlisted.item_size = sizeof(struct unlisted);
    p->dying.item_size = sizeof(struct dying_item);
    libbpf_print_fn_t before = libbpf_set_print(hear);
    int r = -ENOTSUP;
    if (wants->traffic) {
        listener = &p->no_traffic;
        r = load(wants, true, &p->skeleton);
        p->sees_traffic = r == 0;
        if (r == -EPERM)
            error_set(&p->no_traffic, "it needs CAP_NET_ADMIN");
        else if (r == -ENOENT)
            error_set(&p->no_traffic, "there is no unified cgroup hierarchy");
        else if (r < 0 && p->no_traffic.text[0] == '\0')
            error_set(&p->no_traffic, "%s", strerror(-r));
    }
    why->text[0] = '\0';
    listener = why;
    if (!p->skeleton)
        r = load(wants, false, &p->skeleton);
    libbpf_set_print(before);
    listener = NULL;
    if (r < 0) {
        explain(r, why);
        bpf_programs_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

bool bpf_programs_see_traffic(const struct bpf_programs *p, struct tally_error *why_not) {
    *why_not = p->no_traffic;
    return p->sees_traffic;
}

struct bpf_programs *bpf_programs_free(struct bpf_programs *p) {
    if (!p)
        return NULL;
    proctally_bpf__destroy(p->skeleton);
    free(p->ended.at);
    free(p->unlisted.at);
    free(p->dying.at);
    free(p);
    return NULL;
}

int bpf_programs_list(struct bpf_programs *p, bool all_in_full) {
    p->skeleton->data->want_all = all_in_full;
    int fd = bpf_iter_create(bpf_link__fd(p->skeleton->links.list_tasks));
    return fd < 0 ? -errno : fd;
}

/* ---- Taking ---------------------------------------------------------------------- */

static int make_room(struct items *t, size_t more) {
    if (t->count + more <= t->size)
        return 0;
    size_t size = t->size * 2 + more;
    unsigned char *items = realloc(t->at, size * t->item_size);
    if (!items)
        return -ENOMEM;
    t->at = items;
    t->size = size;
    return 0;
}

/* Without memory it is lost. */
static void append(struct items *t, const void *item) {
    if (make_room(t, 1) == 0)
        memcpy(t->at + t->count++ * t->item_size, item, t->item_size);
}

static void drop_first(struct items *t, size_t count) {
    t->count -= count;
    if (count && t->count)
        memmove(t->at, t->at + count * t->item_size, t->count * t->item_size);
}

typedef int batch_call(int fd, void *in, void *out, void *keys, void *values, __u32 *count,
                       const struct bpf_map_batch_opts *opts);

/* Adds all items of a map: of each its key at key_at (SIZE_MAX: it is not kept),
 * and its value at value_at. */
static int gather(const struct bpf_map *map, batch_call *call, struct items *t, size_t key_at,
                  size_t value_at) {
    const size_t key_size = bpf_map__key_size(map), value_size = bpf_map__value_size(map);
    unsigned char keys[BATCH * sizeof(struct ended_key)];
    unsigned char *values = malloc(BATCH * value_size);
    uint64_t position;
    bool first = true;
    int r = values ? 0 : -ENOMEM;
    while (r == 0) {
        __u32 count = BATCH;
        r = make_room(t, BATCH);
        if (r < 0)
            break;
        r = call(bpf_map__fd(map), first ? NULL : &position, &position, keys, values, &count, NULL);
        if (r < 0 && r != -ENOENT)
            break;
        first = false;
        for (size_t i = 0; i < count; i++) {
            unsigned char *item = t->at + (t->count + i) * t->item_size;
            if (key_at != SIZE_MAX)
                memcpy(item + key_at, keys + i * key_size, key_size);
            memcpy(item + value_at, values + i * value_size, value_size);
        }
        t->count += count;
    }
    free(values);
    return r == -ENOENT ? 0 : r;
}

int bpf_programs_take(struct bpf_programs *p, struct bpf_taken *ret) {
    const struct proctally_bpf *s = p->skeleton;
    drop_first(&p->ended, p->ended_taken);
    drop_first(&p->unlisted, p->unlisted_taken);
    p->ended_taken = p->unlisted_taken = 0;
    int r = gather(s->maps.ended, bpf_map_lookup_and_delete_batch, &p->ended,
                   offsetof(struct bpf_ended, key), offsetof(struct bpf_ended, value));
    if (r == 0)
        r = gather(s->maps.unlisted, bpf_map_lookup_and_delete_batch, &p->unlisted, SIZE_MAX, 0);
    if (r == 0)
        r = gather(s->maps.unlisted_rest, bpf_map_lookup_and_delete_batch, &p->unlisted, SIZE_MAX, 0);
    if (r < 0)
        return r;
    p->ended_taken = p->ended.count;
    p->unlisted_taken = p->unlisted.count;
    *ret = (struct bpf_taken){(const void *)p->ended.at, p->ended.count,
                              (const void *)p->unlisted.at, p->unlisted.count};
    return 0;
}

/* ---- Ends that were missed ------------------------------------------------------------ */

/* As finish() in bpf/proctally.bpf.c. */
static void finish(struct bpf_programs *p, uint32_t pid, struct entry *e) {
    if (bpf_map_delete_elem(bpf_map__fd(p->skeleton->maps.processes), &pid) < 0)
        return;
    if (e->listed || e->execed) {
        struct bpf_ended ended = {.key = {.start_ns = e->start_ns, .pid = pid},
                                  .value.usage = e->execed ? e->until_exec : e->gone};
        append(&p->ended, &ended);
    }
    if (e->listed)
        return;
    struct unlisted left = {.who = e->who, .usage = e->gone, .ended = !e->execed};
    for (size_t i = 0; e->rebased && i < USAGES; i++)
        left.usage.of[i] -= e->since_exec.of[i];
    append(&p->unlisted, &left);
}

static void make_up(struct bpf_programs *p, uint32_t tid, const struct dying *d) {
    int processes = bpf_map__fd(p->skeleton->maps.processes);
    struct entry e;
    if (bpf_map_delete_elem(bpf_map__fd(p->skeleton->maps.dying), &tid) < 0 ||
        bpf_map_lookup_elem(processes, &d->pid, &e) < 0 || e.start_ns > d->start_ns)
        return;
    __atomic_fetch_add(&p->skeleton->bss->lost, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < USAGES; i++)
        e.gone.of[i] += d->usage.of[i];
    e.threads--;
    e.leader_gone = e.leader_gone || tid == d->pid;
    if (e.leader_gone && (e.threads <= 0 || e.found))
        finish(p, d->pid, &e);
    else
        bpf_map_update_elem(processes, &d->pid, &e, BPF_EXIST);
}

void bpf_programs_make_up(struct bpf_programs *p, bool (*is_listed)(void *data, uint32_t pid),
                          void *data) {
    const uint64_t now_ns = boot_ns();
    p->dying.count = 0;
    if (gather(p->skeleton->maps.dying, bpf_map_lookup_batch, &p->dying,
               offsetof(struct dying_item, tid), offsetof(struct dying_item, value)) < 0)
        return; /* the next time, then */
    for (size_t i = 0; i < p->dying.count; i++) {
        const struct dying_item *item = (const void *)(p->dying.at + i * p->dying.item_size);
        const struct dying *d = &item->value;
        bool is_zombie = item->tid == d->pid && is_listed(data, d->pid);
        if (now_ns > d->end_ns + MISSED_AFTER_NS && !is_zombie)
            make_up(p, item->tid, d);
    }
}

/* ---- Asking ----------------------------------------------------------------------- */

int bpf_programs_program(struct bpf_programs *p, uint64_t key, struct program *ret) {
    return bpf_map_lookup_elem(bpf_map__fd(p->skeleton->maps.programs), &key, ret);
}

int bpf_programs_ancestor(struct bpf_programs *p, uint64_t key, struct who *ret) {
    return bpf_map_lookup_elem(bpf_map__fd(p->skeleton->maps.ancestors), &key, ret);
}

int bpf_programs_cgroup(struct bpf_programs *p, uint64_t id, struct cgroup_path *ret) {
    return bpf_map_lookup_elem(bpf_map__fd(p->skeleton->maps.cgroups), &id, ret);
}

uint64_t bpf_programs_lost(struct bpf_programs *p) {
    return __atomic_load_n(&p->skeleton->bss->lost, __ATOMIC_RELAXED);
}
