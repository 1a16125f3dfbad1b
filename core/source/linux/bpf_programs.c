/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/bpf_programs.h"

#include "source/linux/bpf_log.h"
#include "source/linux/cgroups.h"
#include "base/error.h"

/* made by bpftool, whose code has warnings of its own */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "source/linux/kernel/proctally.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Items to ask for in one call. A call that meets a bucket with more fails. */
#define BATCH 512u

/* What was taken from maps of one kind. */
struct items {
    unsigned char *at;
    size_t count, size, item_size;
};

enum map { PROCESSES, DYING, ENDED, UNLISTED, UNLISTED_REST, PROGRAMS, ANCESTORS, CGROUPS, DATA, BSS, MAPS };

/* By these names they are pinned. */
static const struct {
    const char *name;
    size_t key_size, value_size;
} map_table[MAPS] = {
    [PROCESSES] = {"processes", sizeof(uint32_t), sizeof(struct entry)},
    [DYING] = {"dying", sizeof(uint32_t), sizeof(struct dying)},
    [ENDED] = {"ended", sizeof(struct ended_key), sizeof(struct ended)},
    [UNLISTED] = {"unlisted", sizeof(uint64_t), sizeof(struct unlisted)},
    [UNLISTED_REST] = {"unlisted_rest", sizeof(uint64_t), sizeof(struct unlisted)},
    [PROGRAMS] = {"programs", sizeof(uint64_t), sizeof(struct program)},
    [ANCESTORS] = {"ancestors", sizeof(uint64_t), sizeof(struct who)},
    [CGROUPS] = {"cgroups", sizeof(uint64_t), sizeof(struct cgroup_path)},
    [DATA] = {"data", sizeof(uint32_t), sizeof(struct proctally_bpf__data)},
    [BSS] = {"bss", sizeof(uint32_t), sizeof(struct proctally_bpf__bss)},
};

/* Where the kernel puts what it hands out. */
struct batch {
    unsigned char keys[BATCH * sizeof(struct ended_key)];
    unsigned char values[BATCH * sizeof(struct unlisted)]; /* the largest that is gathered */
};
_Static_assert(sizeof(struct dying) <= sizeof(struct unlisted) &&
                   sizeof(struct ended) <= sizeof(struct unlisted),
               "there is room for them");

struct bpf_programs {
    struct proctally_bpf *skeleton; /* NULL: they were pinned, and others loaded them */
    int map_fds[MAPS];
    int list_fd; /* link of list_tasks */
    struct proctally_bpf__data *data;
    struct proctally_bpf__bss *bss;
    bool sees_traffic;
    struct tally_error no_traffic; /* why not */
    uint64_t lost; /* told to this reader */
    struct items ended, unlisted;
    size_t ended_taken, unlisted_taken; /* of these: the rest is for the next time */
    struct batch *batch;
};

static uint64_t boot_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Loading ------------------------------------------------------------------------ */

static void set_wants(struct proctally_bpf__bss *bss, const struct bpf_wants *wants) {
    bss->want_program = wants->program;
    bss->want_args = wants->args;
    bss->want_user = wants->user;
    bss->want_cgroup = wants->cgroup;
    bss->want_ancestor = wants->ancestor;
}

/* Items are allocated when they are needed, but for those of the maps that forget the
 * oldest: these are made in full. */
static void size_maps(struct proctally_bpf *s, const struct bpf_wants *wants, bool is_to_stay) {
    const uint32_t most = wants->max_processes > 256 ? wants->max_processes : 256;
    bpf_map__set_max_entries(s->maps.processes, most);
    bpf_map__set_max_entries(s->maps.dying, most);
    bpf_map__set_max_entries(s->maps.ended, most);
    bpf_map__set_max_entries(s->maps.unlisted, most / 4);
    bpf_map__set_max_entries(s->maps.unlisted_rest, most / 16);
    /* a later run can want more of what is pinned */
    bool programs = wants->program || is_to_stay;
    bool ancestors = wants->ancestor || programs;
    bpf_map__set_max_entries(s->maps.programs, programs ? most / 16 : 1);
    s->bss->most_new_programs = most / 16 / 4 * 3;
    bpf_map__set_max_entries(s->maps.ancestors, ancestors ? most / 4 : 1);
    bpf_map__set_max_entries(s->maps.cgroups, wants->cgroup || is_to_stay ? most / 16 : 1);
}

static int set_up(struct proctally_bpf *s, const struct bpf_wants *wants, bool traffic,
                  bool is_to_stay) {
    struct bpf_program *of_packets[] = {s->progs.count_received, s->progs.count_transmitted};
    struct bpf_program *of_users[] = {s->progs.on_send, s->progs.on_receive, s->progs.on_read};
    bool sees_users = libbpf_find_vmlinux_btf_id("sock_recv_length", BPF_TRACE_RAW_TP) > 0;
    s->data->want_all = 1;
    s->bss->format = BPF_FORMAT;
    s->bss->sees_users = sees_users;
    set_wants(s->bss, wants);
    size_maps(s, wants, is_to_stay);
    bool sees_begin = libbpf_find_vmlinux_btf_id("tcp_sendmsg_locked", BPF_TRACE_RAW_TP) > 0;
    for (size_t i = 0; i < 2; i++)
        bpf_program__set_autoload(of_packets[i], traffic);
    for (size_t i = 0; i < 3; i++)
        bpf_program__set_autoload(of_users[i], traffic && sees_users);
    bpf_program__set_autoload(s->progs.on_send_begin, traffic && sees_users && sees_begin);
    bpf_program__set_autoload(s->progs.on_socket, traffic);
    bpf_program__set_autoload(s->progs.on_state, traffic && sees_users);
    bpf_map__set_autocreate(s->maps.sockets, traffic);
    return 0;
}

/* To the root of the hierarchy, beside what others have there. -EBUSY: somebody's
 * program there lets none beside it. (The kernel says EPERM; but had we not the right,
 * the programs would not have been loaded.) */
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
        r = errno == EPERM ? -EBUSY : -errno;
    close(fd);
    return r;
}

/* All or nothing: what failed half-way is taken away. */
static int load(const struct bpf_wants *wants, bool traffic, bool is_to_stay,
                struct proctally_bpf **ret) {
    struct proctally_bpf *s = proctally_bpf__open();
    int r = s ? set_up(s, wants, traffic, is_to_stay) : -errno;
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

/* First with traffic, if that is wanted, then without. */
static int load_best(struct bpf_programs *p, const struct bpf_wants *wants, bool is_to_stay,
                     struct tally_error *why) {
    int r = -ENOTSUP;
    if (wants->traffic) {
        bpf_log_to(&p->no_traffic);
        r = load(wants, true, is_to_stay, &p->skeleton);
        p->sees_traffic = r == 0;
        if (r == -EPERM)
            error_set(&p->no_traffic, "it needs CAP_NET_ADMIN");
        else if (r == -EBUSY)
            error_set(&p->no_traffic,
                      "the root control group has a program that lets none beside it");
        else if (r == -ENOENT)
            error_set(&p->no_traffic, "there is no unified cgroup hierarchy");
        else if (r < 0 && p->no_traffic.text[0] == '\0')
            error_set(&p->no_traffic, "%s", strerror(-r));
    }
    bpf_log_to(why);
    if (r < 0)
        r = load(wants, false, is_to_stay, &p->skeleton);
    bpf_log_to(NULL);
    if (r < 0)
        return r;
    const struct bpf_map *maps[MAPS] = {
        [PROCESSES] = p->skeleton->maps.processes,
        [DYING] = p->skeleton->maps.dying,
        [ENDED] = p->skeleton->maps.ended,
        [UNLISTED] = p->skeleton->maps.unlisted,
        [UNLISTED_REST] = p->skeleton->maps.unlisted_rest,
        [PROGRAMS] = p->skeleton->maps.programs,
        [ANCESTORS] = p->skeleton->maps.ancestors,
        [CGROUPS] = p->skeleton->maps.cgroups,
        [DATA] = p->skeleton->maps.data,
        [BSS] = p->skeleton->maps.bss,
    };
    for (size_t i = 0; i < MAPS; i++)
        p->map_fds[i] = bpf_map__fd(maps[i]);
    p->list_fd = bpf_link__fd(p->skeleton->links.list_tasks);
    p->data = p->skeleton->data;
    p->bss = p->skeleton->bss;
    return 0;
}

static void explain(int error, struct tally_error *why) {
    if (error == -EPERM)
        error_set(why, "it needs root, or CAP_BPF and CAP_PERFMON");
    else if (why->text[0] == '\0')
        error_set(why, "%s", strerror(-error));
}

/* ---- Pinning -------------------------------------------------------------------------- */

#define LIST_LINK "list_tasks"
/* If this link is there, so is all that counts traffic. */
#define TRAFFIC_LINK "count_received"

struct pin_path {
    char text[4096 + 64];
};

static const char *path_of(struct pin_path *path, const char *dir, const char *name) {
    snprintf(path->text, sizeof(path->text), "%.4096s/%s", dir, name);
    return path->text;
}

static int pin(struct bpf_programs *p, const char *dir) {
    struct pin_path path;
    uint32_t links = 0;
    int r = 0;
    for (size_t i = 0; i < MAPS && r == 0; i++)
        if (bpf_obj_pin(p->map_fds[i], path_of(&path, dir, map_table[i].name)) < 0)
            r = -errno;
    for (int i = 0; i < p->skeleton->skeleton->prog_cnt && r == 0; i++) {
        const struct bpf_prog_skeleton *program = &p->skeleton->skeleton->progs[i];
        if (!*program->link)
            continue;
        if (bpf_obj_pin(bpf_link__fd(*program->link), path_of(&path, dir, program->name)) < 0)
            r = -errno;
        links++;
    }
    if (r == 0)
        p->bss->pinned_links = links;
    return r;
}

/* A descriptor of what is pinned under this name, -ENOENT, or why it can't be had. */
static int get_pinned(const char *dir, const char *name) {
    struct pin_path path;
    int fd = bpf_obj_get(path_of(&path, dir, name));
    return fd < 0 ? -errno : fd;
}

/* A program whose link is gone does not run any more. -errno. */
static int count_links(const char *dir) {
    struct proctally_bpf *s = proctally_bpf__open(); /* for the names of programs */
    int links = 0, r = s ? 0 : -errno;
    for (int i = 0; r == 0 && i < s->skeleton->prog_cnt; i++) {
        int fd = get_pinned(dir, s->skeleton->progs[i].name);
        if (fd >= 0) {
            close(fd);
            links++;
        } else if (fd != -ENOENT) {
            r = fd;
        }
    }
    proctally_bpf__destroy(s);
    return r < 0 ? r : links;
}

/* Whole pages, as the kernel keeps it. */
static size_t memory_size(enum map map) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (map_table[map].value_size + page - 1) / page * page;
}

static void *map_memory(const struct bpf_programs *p, enum map map) {
    return mmap(NULL, memory_size(map), PROT_READ | PROT_WRITE, MAP_SHARED, p->map_fds[map], 0);
}

/* 0, -ENOENT: nothing is pinned there; -ESTALE: not the whole of what we know. Another
 * error says nothing about what is there. */
static int adopt(struct bpf_programs *p, const char *dir) {
    int found = 0;
    for (size_t i = 0; i < MAPS; i++) {
        struct bpf_map_info info = {0};
        __u32 len = sizeof(info);
        p->map_fds[i] = get_pinned(dir, map_table[i].name);
        if (p->map_fds[i] == -ENOENT)
            continue;
        if (p->map_fds[i] < 0)
            return p->map_fds[i];
        if (bpf_obj_get_info_by_fd(p->map_fds[i], &info, &len) < 0)
            return -errno;
        if (info.key_size != map_table[i].key_size || info.value_size != map_table[i].value_size)
            return -ESTALE;
        found++;
    }
    p->list_fd = get_pinned(dir, LIST_LINK);
    if (p->list_fd < 0 && p->list_fd != -ENOENT)
        return p->list_fd;
    if (found == 0 && p->list_fd < 0)
        return -ENOENT;
    if (found < MAPS || p->list_fd < 0)
        return -ESTALE;
    void *data = map_memory(p, DATA);
    void *bss = map_memory(p, BSS);
    p->data = data == MAP_FAILED ? NULL : data;
    p->bss = bss == MAP_FAILED ? NULL : bss;
    if (!p->data || !p->bss)
        return -ENOMEM;
    int fd = get_pinned(dir, TRAFFIC_LINK);
    p->sees_traffic = fd >= 0;
    if (fd >= 0)
        close(fd);
    else if (fd != -ENOENT)
        return fd;
    if (p->bss->format != BPF_FORMAT || p->bss->pinned_links == 0)
        return -ESTALE;
    int links = count_links(dir);
    return links < 0 ? links : (uint32_t)links == p->bss->pinned_links ? 0 : -ESTALE;
}

static void let_go(struct bpf_programs *p) {
    if (p->data)
        munmap(p->data, memory_size(DATA));
    if (p->bss)
        munmap(p->bss, memory_size(BSS));
    for (size_t i = 0; i < MAPS; i++)
        if (p->map_fds[i] >= 0)
            close(p->map_fds[i]);
    if (p->list_fd >= 0)
        close(p->list_fd);
}

static void forget(struct bpf_programs *p) {
    for (size_t i = 0; i < MAPS; i++)
        p->map_fds[i] = -1;
    p->list_fd = -1;
    p->data = NULL;
    p->bss = NULL;
}

static bool is_bpf_file_system(const char *dir) {
    struct statfs fs;
    return statfs(dir, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

static int unpin(const char *dir) {
    struct pin_path path;
    /* elsewhere a file called data is somebody's data */
    if (!is_bpf_file_system(dir))
        return -ENOENT;
    struct proctally_bpf *s = proctally_bpf__open(); /* for the names of programs */
    int r = s ? 0 : -errno, removed = 0;
    for (size_t i = 0; i < MAPS && r == 0; i++)
        removed += unlink(path_of(&path, dir, map_table[i].name)) == 0;
    for (int i = 0; r == 0 && i < s->skeleton->prog_cnt; i++)
        removed += unlink(path_of(&path, dir, s->skeleton->progs[i].name)) == 0;
    proctally_bpf__destroy(s);
    if (r == 0 && rmdir(dir) < 0 && errno != ENOTEMPTY)
        r = -errno;
    return r < 0 ? r : removed > 0 ? 0 : -ENOENT;
}

int bpf_programs_unpin(const char *dir) {
    bpf_log_begin();
    int r = unpin(dir);
    bpf_log_end();
    return r;
}

/* The directory is made if there is none. */
static int prepare_dir(const char *dir, struct tally_error *why) {
    struct statfs fs;
    bool is_ours = false;
    /* made only if need be: later on, when the configuration has changed, a sandbox may
     * not let us */
    if (statfs(dir, &fs) < 0 && errno == ENOENT) {
        is_ours = mkdir(dir, 0700) == 0;
        if (!is_ours && errno != EEXIST) {
            error_set(why, "the directory %.300s can't be made: %s", dir, strerror(errno));
            return -errno;
        }
    }
    if (!is_bpf_file_system(dir)) {
        if (is_ours)
            rmdir(dir);
        error_set(why, "%.300s is not on a bpf file system (mount -t bpf bpf /sys/fs/bpf)", dir);
        return -ENOTSUP;
    }
    return 0;
}

static int open_pinned(struct bpf_programs *p, const struct bpf_wants *wants, const char *dir,
                       struct tally_error *why) {
    int r = prepare_dir(dir, why);
    if (r < 0)
        return r;
    r = adopt(p, dir);
    if (r == 0) {
        set_wants(p->bss, wants);
        if (wants->traffic && !p->sees_traffic)
            error_set(&p->no_traffic, "the programs pinned at %.200s do not count it", dir);
        return 0;
    }
    let_go(p);
    forget(p);
    if (r != -ENOENT && r != -ESTALE) {
        error_set(why, "what is pinned at %.200s can't be used: %s", dir, strerror(-r));
        return r;
    }
    /* of another version, or left half-way when it was set up */
    unpin(dir);
    r = prepare_dir(dir, why);
    if (r == 0)
        r = load_best(p, wants, true, why);
    if (r == 0)
        r = pin(p, dir);
    if (r < 0)
        unpin(dir);
    return r;
}

/* ---- Opening --------------------------------------------------------------------------- */

int bpf_programs_open(const struct bpf_wants *wants, const char *pin_dir, struct bpf_programs **ret,
                      struct tally_error *why) {
    struct bpf_programs *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    forget(p);
    p->batch = calloc(1, sizeof(*p->batch));
    if (!p->batch) {
        bpf_programs_free(p);
        return -ENOMEM;
    }
    p->ended.item_size = sizeof(struct bpf_ended);
    p->unlisted.item_size = sizeof(struct unlisted);
    why->text[0] = '\0';
    bpf_log_begin();
    int r = pin_dir ? open_pinned(p, wants, pin_dir, why) : load_best(p, wants, false, why);
    bpf_log_end();
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
    if (p->skeleton)
        proctally_bpf__destroy(p->skeleton);
    else
        let_go(p);
    free(p->ended.at);
    free(p->unlisted.at);
    free(p->batch);
    free(p);
    return NULL;
}

int bpf_programs_list(struct bpf_programs *p, bool all_in_full) {
    p->data->want_all = all_in_full;
    p->bss->missed_count = 0; /* if a reader before us was killed meanwhile */
    int fd = bpf_iter_create(p->list_fd);
    return fd < 0 ? -errno : fd;
}

/* ---- Reading maps ------------------------------------------------------------------ */

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

/* There has to be room. */
static void append(struct items *t, const void *item) {
    memcpy(t->at + t->count++ * t->item_size, item, t->item_size);
}

static void drop_first(struct items *t, size_t count) {
    t->count -= count;
    if (count && t->count)
        memmove(t->at, t->at + count * t->item_size, t->count * t->item_size);
}

static void hand_out(struct bpf_programs *p, struct bpf_taken *ret) {
    p->ended_taken = p->ended.count;
    p->unlisted_taken = p->unlisted.count;
    *ret = (struct bpf_taken){(const void *)p->ended.at, p->ended.count,
                              (const void *)p->unlisted.at, p->unlisted.count};
}

typedef int batch_call(int fd, void *in, void *out, void *keys, void *values, __u32 *count,
                       const struct bpf_map_batch_opts *opts);

/* What to do with an item of a map. -errno. */
typedef int use_item(struct bpf_programs *p, enum map map, const void *key, const void *value);

/* For all items of a map. What is taken out of it with the call has room among what was
 * taken before it is. */
static int for_each(struct bpf_programs *p, enum map map, batch_call *call, use_item *use) {
    const size_t key_size = map_table[map].key_size, value_size = map_table[map].value_size;
    unsigned char *keys = p->batch->keys, *values = p->batch->values;
    uint64_t position = 0;
    bool first = true;
    int r = 0;
    while (r == 0) {
        __u32 count = BATCH;
        r = make_room(&p->ended, BATCH);
        if (r == 0)
            r = make_room(&p->unlisted, BATCH);
        if (r < 0)
            break;
        r = call(p->map_fds[map], first ? NULL : &position, &position, keys, values, &count, NULL);
        if (r < 0 && r != -ENOENT)
            break;
        first = false;
        for (size_t i = 0; i < count; i++) {
            int e = use(p, map, keys + i * key_size, values + i * value_size);
            r = e < 0 ? e : r;
        }
    }
    return r == -ENOENT ? 0 : r;
}

/* ---- Ends that were missed ------------------------------------------------------------ */

/* Is there no task of this number, not even one that nobody has waited for? */
static bool is_gone(uint32_t tid) {
    return getpgid((pid_t)tid) < 0 && errno == ESRCH;
}

/* Has the programs make up for the threads in `missed`. */
static int make_up(struct bpf_programs *p) {
    char unused[16];
    ssize_t n;
    if (p->bss->missed_count == 0)
        return 0;
    int fd = bpf_iter_create(p->list_fd);
    if (fd < 0)
        return -errno;
    do
        n = read(fd, unused, sizeof(unused));
    while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
    int r = n < 0 ? -errno : 0;
    close(fd);
    p->bss->missed_count = 0;
    return r;
}

static int note_missed(struct bpf_programs *p, enum map map, const void *key, const void *value) {
    const struct dying *d = value;
    uint32_t tid;
    (void)map;
    memcpy(&tid, key, sizeof(tid));
    if (boot_ns() < d->end_ns + MISSED_AFTER_MS * UINT64_C(1000000) || !is_gone(tid))
        return 0;
    p->bss->missed[p->bss->missed_count++] = tid;
    return p->bss->missed_count == MISSED_MAX ? make_up(p) : 0;
}

/* Some ends the kernel tells late, on a very busy host, or never. */
static int make_up_missed(struct bpf_programs *p) {
    p->bss->missed_count = 0;
    int r = for_each(p, DYING, bpf_map_lookup_batch, note_missed);
    return r < 0 ? r : make_up(p);
}

/* ---- Taking ------------------------------------------------------------------------- */

static int take_ended(struct bpf_programs *p, enum map map, const void *key, const void *value) {
    struct bpf_ended ended;
    (void)map;
    memcpy(&ended.key, key, sizeof(ended.key));
    memcpy(&ended.value, value, sizeof(ended.value));
    append(&p->ended, &ended);
    return 0;
}

/* Of the two sides that to which nobody adds any more: the listing has taken longer than
 * a program runs that had begun before it. */
static int take_unlisted(struct bpf_programs *p, enum map map, const void *key, const void *value) {
    uint64_t item;
    memcpy(&item, key, sizeof(item));
    if ((item & OTHER_SIDE) != p->bss->side && bpf_map_delete_elem(p->map_fds[map], &item) == 0)
        append(&p->unlisted, value);
    return 0;
}

int bpf_programs_take(struct bpf_programs *p, struct bpf_taken *ret) {
    /* what was not used, because a collection failed, is handed out again */
    drop_first(&p->ended, p->ended_taken - ret->ended_count);
    drop_first(&p->unlisted, p->unlisted_taken - ret->unlisted_count);
    p->ended_taken = p->unlisted_taken = 0;
    int r = make_up_missed(p);
    if (r == 0)
        r = for_each(p, ENDED, bpf_map_lookup_and_delete_batch, take_ended);
    if (r < 0)
        return r;
    __atomic_store_n(&p->bss->side, p->bss->side ^ OTHER_SIDE, __ATOMIC_SEQ_CST);
    p->bss->new_programs = 0;
    hand_out(p, ret);
    return 0;
}

int bpf_programs_take_unlisted(struct bpf_programs *p, struct bpf_taken *taken) {
    int r = for_each(p, UNLISTED, bpf_map_lookup_batch, take_unlisted);
    if (r == 0)
        r = for_each(p, UNLISTED_REST, bpf_map_lookup_batch, take_unlisted);
    hand_out(p, taken);
    return r;
}

/* ---- Asking ----------------------------------------------------------------------- */

int bpf_programs_program(struct bpf_programs *p, uint64_t key, struct program *ret) {
    return bpf_map_lookup_elem(p->map_fds[PROGRAMS], &key, ret);
}

int bpf_programs_ancestor(struct bpf_programs *p, uint64_t key, struct who *ret) {
    return bpf_map_lookup_elem(p->map_fds[ANCESTORS], &key, ret);
}

int bpf_programs_cgroup(struct bpf_programs *p, uint64_t id, struct cgroup_path *ret) {
    return bpf_map_lookup_elem(p->map_fds[CGROUPS], &id, ret);
}

uint64_t bpf_programs_lost(struct bpf_programs *p) {
    uint64_t lost = __atomic_load_n(&p->bss->lost, __ATOMIC_RELAXED);
    p->lost += lost - p->bss->lost_told;
    p->bss->lost_told = lost;
    return p->lost;
}
