/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/bpf_load.h"

#include "base/error.h"
#include "source/linux/bpf_log.h"
#include "source/linux/bpf_skeleton.h"
#include "source/linux/cgroups.h"
#include "source/linux/kernel/shared.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

const struct map_shape map_shapes[MAPS] = {
    [MAP_PROCESSES] = {"processes", sizeof(uint32_t), sizeof(struct process_entry)},
    [MAP_SLOTS] = {"slots", sizeof(uint32_t), sizeof(struct slot)},
    [MAP_DYING] = {"dying", sizeof(uint32_t), sizeof(struct dying_thread)},
    [MAP_ENDED] = {"ended", sizeof(struct process_key), sizeof(struct ended)},
    [MAP_UNLISTED] = {"unlisted", sizeof(uint64_t), sizeof(struct unlisted)},
    [MAP_UNLISTED_REST] = {"unlisted_rest", sizeof(uint64_t), sizeof(struct unlisted)},
    [MAP_PROGRAMS] = {"programs", sizeof(uint64_t), sizeof(struct program)},
    [MAP_ANCESTORS] = {"ancestors", sizeof(uint64_t), sizeof(struct bpf_identity)},
    [MAP_CGROUPS] = {"cgroups", sizeof(uint64_t), sizeof(struct cgroup_path)},
    [MAP_THREAD_ENDS] = {"thread_ends", sizeof(struct thread_end_key), sizeof(struct usage)},
    [MAP_DATA] = {"data", sizeof(uint32_t), sizeof(struct proctally_bpf__data)},
    [MAP_BSS] = {"bss", sizeof(uint32_t), sizeof(struct proctally_bpf__bss)},
    [MAP_FOUND] = {"found", sizeof(uint32_t), sizeof(struct found)},
    [MAP_ANSWERS] = {"answers", sizeof(uint32_t), sizeof(struct answer)},
    [MAP_TRAFFIC_PLACES] = {"traffic_places", sizeof(uint32_t), sizeof(struct traffic_place)},
    [MAP_NAMED] = {"named", sizeof(uint32_t), sizeof(struct record_named_thread)},
};

#define TYPES_PATH "/sys/kernel/btf/vmlinux"
/* Of what survey.bpf.c calls, the kernel has got this last. */
#define SURVEY_NEEDS "bpf_iter_task_new"

uint64_t boot_ns(int64_t boot_offset_ns) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec - boot_offset_ns);
}

void bpf_handles_reset(struct bpf_handles *h) {
    for (size_t i = 0; i < MAPS; i++)
        h->map_fds[i] = -1;
    h->skeleton = NULL;
    h->links = NULL;
    h->link_count = 0;
    h->list_fd = h->survey_fd = h->show_fd = -1;
    h->found = NULL;
    h->found_mapped = 0;
    h->answers = NULL;
    h->places = NULL;
    h->place_count = 0;
    h->named = NULL;
    h->data = NULL;
    h->bss = NULL;
}

void bpf_set_wants(struct proctally_bpf__bss *bss, const struct bpf_wants *wants) {
    bss->want_program = wants->program;
    bss->want_args = wants->args;
    bss->want_user = wants->user;
    bss->want_cgroup = wants->cgroup;
    bss->want_ancestor = wants->ancestor;
    bss->want_terminal = wants->terminal;
    bss->want_thread_names = wants->thread_names;
    bss->want_each_end = wants->each_end;
    bss->want_endings = wants->endings;
    bss->want_memory_details = wants->memory_details;
}

/* The least that is not smaller, for 2 to 2^31. */
static uint32_t power_of_two(uint32_t count) {
    return UINT32_C(1) << (32 - __builtin_clz(count - 1));
}

/* Items are allocated on demand, except in LRU maps, which are allocated in full. */
static void size_maps(struct proctally_bpf *s, const struct bpf_wants *wants, bool will_be_pinned) {
    const uint32_t most = wants->max_processes > 256 ? wants->max_processes : 256;
    const uint32_t slots = power_of_two(most);
    bpf_map__set_max_entries(s->maps.processes, most);
    bpf_map__set_max_entries(s->maps.slots, slots);
    bpf_map__set_max_entries(s->maps.found, most);
    s->bss->slot_mask = slots - 1;
    const uint32_t places = slots / 128 > 64 ? slots / 128 : 64;
    bpf_map__set_max_entries(s->maps.traffic_places, 2 * places);
    s->bss->place_mask = places - 1;
    bpf_map__set_max_entries(s->maps.recent_processes, most > 2048 ? most / 32 : 64);
    /* few die at a time; what has no room there is only not looked for if it gets lost */
    bpf_map__set_max_entries(s->maps.dying, most > 4096 ? most / 16 : 256);
    bpf_map__set_max_entries(s->maps.ended, most);
    bpf_map__set_max_entries(s->maps.unlisted, most / 4 + (wants->each_end ? most : 0));
    s->bss->max_each_ends = most / 2; /* on each of its two sides */
    bpf_map__set_max_entries(s->maps.unlisted_rest, most / 16);
    /* what is pinned may be asked for more by a later run */
    bool programs = wants->program || will_be_pinned;
    bool ancestors = wants->ancestor == WANT_ANCESTORS || programs;
    bpf_map__set_max_entries(s->maps.programs, programs ? most / 16 : 1);
    s->bss->max_new_programs = most / 16 / 4 * 3;
    bpf_map__set_max_entries(s->maps.ancestors, ancestors ? most / 4 : 1);
    bpf_map__set_max_entries(s->maps.cgroups, wants->cgroup || will_be_pinned ? most / 16 : 1);
    bpf_map__set_max_entries(s->maps.thread_ends, s->rodata->may_name_threads ? most : 1);
}

/* Of the kernel, for programs. */
static bool has_function(const struct btf *types, const char *name) {
    return btf__find_by_name_kind(types, name, BTF_KIND_FUNC) > 0;
}

static bool has_tracepoint(const struct btf *types, const char *name) {
    char type[64];
    snprintf(type, sizeof(type), "btf_trace_%s", name);
    return btf__find_by_name_kind(types, type, BTF_KIND_TYPEDEF) > 0;
}

/* What is called and the kernel does not have, libbpf looks for in all modules, once, also for
 * programs that are not to be loaded. Only CAP_SYS_ADMIN may do that, and libbpf (1.1 to 1.6 at
 * least) then loads nothing. So it is made to look here, in vain, where a failure is no matter. */
static void look_through_modules(struct proctally_bpf *s) {
    (void)bpf_program__set_attach_target(s->progs.survey, 0, SURVEY_NEEDS);
}

/* What can be left out, and is where the kernel lacks it. */
struct bpf_parts {
    bool traffic, survey;
    bool finds_owners; /* of sockets that are older than the programs */
};

/* A program whose tracepoint the kernel does not have would keep it from all of them. */
static void set_up(struct proctally_bpf *s, const struct bpf_wants *wants, const struct btf *types,
                   struct bpf_parts *parts, bool will_be_pinned) {
    const bool traffic = parts->traffic;
    const bool has_iterator = has_function(types, SURVEY_NEEDS);
    const bool survey = parts->survey && has_iterator &&
                        has_function(types, "bpf_task_from_pid") && !linux_is_before(6, 10);
    parts->survey = survey;
    if (!has_iterator)
        look_through_modules(s);
    struct bpf_program *of_packets[] = {s->progs.count_received, s->progs.count_transmitted};
    struct bpf_program *of_owners[] = {s->progs.on_send, s->progs.on_receive, s->progs.on_read};
    bool sees_owners = has_tracepoint(types, "sock_recv_length");
    s->data->list_in_full = 1;
    s->bss->format = BPF_FORMAT;
    s->bss->sees_owners = sees_owners;
    s->rodata->may_name_threads = wants->thread_names || will_be_pinned;
    s->rodata->cpus = (uint32_t)libbpf_num_possible_cpus();
    bpf_set_wants(s->bss, wants);
    size_maps(s, wants, will_be_pinned);
    bool sees_begin = has_tracepoint(types, "tcp_sendmsg_locked");
    parts->finds_owners = parts->finds_owners && traffic && !sees_owners &&
                          has_function(types, "bpf_sock_from_file");
    bpf_program__set_autoload(s->progs.on_cgroup_mkdir, has_tracepoint(types, "cgroup_mkdir"));
    for (size_t i = 0; i < 2; i++)
        bpf_program__set_autoload(of_packets[i], traffic);
    for (size_t i = 0; i < 3; i++)
        bpf_program__set_autoload(of_owners[i], traffic && sees_owners);
    bpf_program__set_autoload(s->progs.on_send_begin, traffic && sees_owners && sees_begin);
    bpf_program__set_autoload(s->progs.on_socket, traffic);
    bpf_program__set_autoload(s->progs.find_owners, parts->finds_owners);
    bpf_program__set_autoattach(s->progs.find_owners, false);
    bpf_program__set_autoload(s->progs.on_state,
                              (traffic && sees_owners) || parts->finds_owners);
    bpf_map__set_autocreate(s->maps.sockets, traffic);
    bpf_map__set_autocreate(s->maps.traffic_places, traffic);
    bpf_program__set_autoload(s->progs.survey, survey);
    bpf_program__set_autoload(s->progs.show_asked, survey);
    bpf_map__set_autocreate(s->maps.found, survey);
    bpf_map__set_autocreate(s->maps.answers, survey);
    bpf_map__set_autocreate(s->maps.named, survey);
    if (!s->rodata->may_name_threads)
        bpf_map__set_max_entries(s->maps.named, 1);
}

/* Attaches to the root cgroup, next to the programs that others have there. -EBUSY: one of
 * those allows no others next to it. (The kernel says EPERM for that; but if it was rights
 * that we lack, loading would have failed before.) */
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

/* Whose the sockets are that were made before. */
static int find_owners(const struct proctally_bpf *s) {
    struct bpf_link *link = bpf_program__attach_iter(s->progs.find_owners, NULL);
    if (!link)
        return -errno;
    char nothing[16];
    const int fd = bpf_iter_create(bpf_link__fd(link));
    int r = fd < 0 ? -errno : -EAGAIN;
    while (fd >= 0 && (r == -EAGAIN || r == -EINTR)) /* EAGAIN: there are many files */
        r = read(fd, nothing, sizeof(nothing)) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    bpf_link__destroy(link);
    return r;
}

static bool has_right(int capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return true; /* not known: then that is not what we blame */
    return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

/* All or nothing. What libbpf says of a failure goes to `why`. */
static int load(const struct bpf_wants *wants, struct bpf_parts *parts, bool will_be_pinned,
                struct proctally_bpf **ret, struct tally_error *why) {
    struct btf *types = btf__load_vmlinux_btf();
    if (!types)
        return errno == ENOMEM ? -ENOMEM : -EBADMSG;
    struct proctally_bpf *s = proctally_bpf__open();
    int r = s ? 0 : -errno;
    if (r == 0)
        set_up(s, wants, types, parts, will_be_pinned);
    btf__free(types);
    bpf_log_to(why);
    if (r == 0)
        r = proctally_bpf__load(s);
    /* where it finds that the kernel has no such maps, libbpf goes on without them */
    if (r == 0 && !(s->data && s->bss)) {
        error_set(why, "the variables of the programs can't be mapped");
        r = -ENOTSUP;
    }
    if (r == 0 && parts->traffic)
        r = attach_traffic(s);
    if (r == 0)
        r = proctally_bpf__attach(s);
    if (r == 0 && parts->finds_owners)
        parts->finds_owners = find_owners(s) == 0;
    bpf_log_to(NULL);
    if (r < 0) {
        proctally_bpf__destroy(s);
        return r;
    }
    s->bss->attached_ns = boot_ns(wants->boot_offset_ns);
    *ret = s;
    return 0;
}

/* A survey only saves time, and new sockets count without the old ones: a kernel that refuses these
 * is not to lack the rest. */
static int load_most(struct bpf_handles *h, const struct bpf_wants *wants, bool traffic,
                     bool will_be_pinned, struct tally_error *why) {
    struct bpf_parts parts = {.traffic = traffic, .survey = true, .finds_owners = true};
    int r = load(wants, &parts, will_be_pinned, &h->skeleton, why);
    if (r < 0 && (parts.survey || parts.finds_owners) && r != -EPERM && r != -EBUSY &&
        r != -ENOENT) {
        parts.survey = parts.finds_owners = false;
        why->text[0] = '\0';
        r = load(wants, &parts, will_be_pinned, &h->skeleton, why);
    }
    h->sees_traffic = r == 0 && traffic;
    h->misses_old_sockets =
        h->sees_traffic && !h->skeleton->bss->sees_owners && !parts.finds_owners;
    return r;
}

static void *map_values(int fd, size_t size, int protection) {
    void *at = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Values of an array are one after the other, each padded to 8 bytes. */
_Static_assert(sizeof(struct found) % 8 == 0 && sizeof(struct answer) % 8 == 0 &&
                   sizeof(struct record_named_thread) % 8 == 0,
               "no padding");

static void unmap_found(struct bpf_handles *h) {
    if (h->found)
        munmap((void *)(uintptr_t)h->found, h->found_mapped * sizeof(struct found));
    h->found = NULL;
    h->found_mapped = 0;
}

const struct found *bpf_found(struct bpf_handles *h, size_t count) {
    const size_t room = count + count / 4 < h->found_most ? count + count / 4 : h->found_most;
    if (count <= h->found_mapped)
        return h->found;
    unmap_found(h);
    h->found = map_values(h->map_fds[MAP_FOUND], room * sizeof(struct found), PROT_READ);
    h->found_mapped = h->found ? room : 0;
    return h->found;
}

void bpf_unmap_survey(struct bpf_handles *h) {
    unmap_found(h);
    if (h->answers)
        munmap(h->answers, ASKED_MOST * sizeof(struct answer));
    if (h->named)
        munmap((void *)(uintptr_t)h->named, NAMED_MOST * sizeof(*h->named));
    h->answers = NULL;
    h->named = NULL;
}

void bpf_map_survey(struct bpf_handles *h, bool names_threads) {
    struct bpf_map_info info = {0};
    __u32 len = sizeof(info);
    if (h->survey_fd < 0 || h->show_fd < 0 || h->map_fds[MAP_FOUND] < 0 ||
        h->map_fds[MAP_ANSWERS] < 0 || h->map_fds[MAP_NAMED] < 0 ||
        bpf_obj_get_info_by_fd(h->map_fds[MAP_FOUND], &info, &len) < 0)
        return;
    h->found_most = info.max_entries;
    h->answers = map_values(h->map_fds[MAP_ANSWERS], ASKED_MOST * sizeof(struct answer),
                            PROT_READ | PROT_WRITE);
    if (names_threads)
        h->named = map_values(h->map_fds[MAP_NAMED], NAMED_MOST * sizeof(*h->named), PROT_READ);
}

_Static_assert(sizeof(struct traffic_place) == 128, "two cache lines");

void bpf_unmap_places(struct bpf_handles *h) {
    if (h->places)
        munmap(h->places, h->place_count * sizeof(struct traffic_place));
    h->places = NULL;
    h->place_count = 0;
}

int bpf_map_places(struct bpf_handles *h) {
    if (h->map_fds[MAP_TRAFFIC_PLACES] < 0)
        return 0;
    const size_t count = 2 * ((size_t)h->bss->place_mask + 1);
    h->places = map_values(h->map_fds[MAP_TRAFFIC_PLACES], count * sizeof(struct traffic_place),
                           PROT_READ | PROT_WRITE);
    h->place_count = h->places ? count : 0;
    return h->places ? 0 : -ENOMEM;
}

int bpf_load(struct bpf_handles *h, const struct bpf_wants *wants, bool will_be_pinned,
             struct tally_error *why) {
    int r = -ENOTSUP;
    if (wants->traffic) {
        r = load_most(h, wants, true, will_be_pinned, &h->no_traffic);
        if (r == 0) /* what libbpf warned of on the way it could do without */
            h->no_traffic.text[0] = '\0';
        else if (r == -EPERM && !has_right(CAP_NET_ADMIN) && !has_right(CAP_SYS_ADMIN))
            error_set(&h->no_traffic, "it needs CAP_NET_ADMIN");
        else if (r == -EBUSY)
            error_set(&h->no_traffic,
                      "the root control group has a program that lets none beside it");
        else if (r == -ENOENT)
            error_set(&h->no_traffic, "there is no unified cgroup hierarchy");
        else if (h->no_traffic.text[0] == '\0')
            error_set(&h->no_traffic, "%s", strerror(-r));
    }
    if (r < 0)
        r = load_most(h, wants, false, will_be_pinned, why);
    if (r < 0)
        return r;
    const struct bpf_map *maps[MAPS] = {
        [MAP_PROCESSES] = h->skeleton->maps.processes,
        [MAP_SLOTS] = h->skeleton->maps.slots,
        [MAP_DYING] = h->skeleton->maps.dying,
        [MAP_ENDED] = h->skeleton->maps.ended,
        [MAP_UNLISTED] = h->skeleton->maps.unlisted,
        [MAP_UNLISTED_REST] = h->skeleton->maps.unlisted_rest,
        [MAP_PROGRAMS] = h->skeleton->maps.programs,
        [MAP_ANCESTORS] = h->skeleton->maps.ancestors,
        [MAP_CGROUPS] = h->skeleton->maps.cgroups,
        [MAP_THREAD_ENDS] = h->skeleton->maps.thread_ends,
        [MAP_DATA] = h->skeleton->maps.data,
        [MAP_BSS] = h->skeleton->maps.bss,
        [MAP_FOUND] = h->skeleton->maps.found,
        [MAP_ANSWERS] = h->skeleton->maps.answers,
        [MAP_TRAFFIC_PLACES] = h->skeleton->maps.traffic_places,
        [MAP_NAMED] = h->skeleton->maps.named,
    };
    for (size_t i = 0; i < MAPS; i++)
        h->map_fds[i] = bpf_map__fd(maps[i]);
    h->list_fd = bpf_link__fd(h->skeleton->links.list_tasks);
    if (bpf_program__autoload(h->skeleton->progs.survey)) {
        h->survey_fd = bpf_program__fd(h->skeleton->progs.survey);
        h->show_fd = bpf_program__fd(h->skeleton->progs.show_asked);
    }
    bpf_map_survey(h, wants->thread_names);
    h->data = h->skeleton->data;
    h->bss = h->skeleton->bss;
    return bpf_map_places(h);
}

/* ---- Without libbpf -------------------------------------------------------------------- */

/* The kernel rounds it up to whole pages. */
static size_t memory_size(enum map_id map) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (map_shapes[map].value_size + page - 1) / page * page;
}

void *bpf_map_memory(int fd, enum map_id map) {
    return map_values(fd, memory_size(map), PROT_READ | PROT_WRITE);
}

static void close_if_open(int fd) {
    if (fd >= 0)
        close(fd);
}

void bpf_close_handles(struct bpf_handles *h) {
    if (h->data)
        munmap(h->data, memory_size(MAP_DATA));
    if (h->bss)
        munmap(h->bss, memory_size(MAP_BSS));
    for (size_t i = 0; i < MAPS; i++)
        close_if_open(h->map_fds[i]);
    bpf_unmap_survey(h);
    bpf_unmap_places(h);
    close_if_open(h->list_fd);
    close_if_open(h->survey_fd);
    close_if_open(h->show_fd);
    for (size_t i = 0; i < h->link_count; i++)
        close_if_open(h->links[i]);
    free(h->links);
    bpf_handles_reset(h);
}

/* Another descriptor of the same. What is not there stays so. */
static int own(int fd, bool *failed) {
    if (fd < 0)
        return fd;
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    *failed |= copy < 0;
    return copy;
}

void bpf_keep_handles(struct bpf_handles *h) {
    struct proctally_bpf *s = h->skeleton;
    struct bpf_handles kept = {0}; /* without what is mapped of h, which stays */
    bool failed = false;
    if (!s)
        return;
    bpf_handles_reset(&kept);
    kept.links = calloc((size_t)s->skeleton->prog_cnt, sizeof(*kept.links));
    failed = !kept.links;
    for (int i = 0; kept.links && i < s->skeleton->prog_cnt; i++)
        if (*s->skeleton->progs[i].link)
            kept.links[kept.link_count++] = own(bpf_link__fd(*s->skeleton->progs[i].link), &failed);
    for (size_t i = 0; i < MAPS; i++)
        kept.map_fds[i] = own(h->map_fds[i], &failed);
    kept.list_fd = own(h->list_fd, &failed);
    kept.survey_fd = own(h->survey_fd, &failed);
    kept.show_fd = own(h->show_fd, &failed);
    kept.data = bpf_map_memory(h->map_fds[MAP_DATA], MAP_DATA);
    kept.bss = bpf_map_memory(h->map_fds[MAP_BSS], MAP_BSS);
    if (failed || !kept.data || !kept.bss) {
        bpf_close_handles(&kept);
        return;
    }
    proctally_bpf__destroy(s); /* a link ends with its last descriptor */
    h->skeleton = NULL;
    h->links = kept.links;
    h->link_count = kept.link_count;
    memcpy(h->map_fds, kept.map_fds, sizeof(h->map_fds));
    h->list_fd = kept.list_fd;
    h->survey_fd = kept.survey_fd;
    h->show_fd = kept.show_fd;
    h->data = kept.data;
    h->bss = kept.bss;
}

void bpf_give_memory_back(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static bool is_locked_down(const struct io *io) {
    char text[128] = "";
    return io_read_file(io, AT_FDCWD, "/sys/kernel/security/lockdown", text, sizeof(text) - 1,
                        NULL) > 0 &&
           strstr(text, "[confidentiality]");
}

/* Where root is another user's, and its capabilities count for nothing of the host's. */
static bool is_hosts_user_namespace(const struct io *io) {
    static const char initial[] = "user:[4026531837]"; /* PROC_USER_INIT_INO */
    char target[32];
    ssize_t n = io->readlinkat(io->data, AT_FDCWD, "/proc/self/ns/user", target, sizeof(target));
    return n < 0 || (n == (ssize_t)sizeof(initial) - 1 && memcmp(target, initial, (size_t)n) == 0);
}

static int open_types(const struct io *io) {
    int fd = io->openat(io->data, AT_FDCWD, TYPES_PATH, O_RDONLY | O_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* Is the file not what the kernel itself works with? Only CAP_SYS_ADMIN may ask for that. */
static bool are_anothers_types(const struct io *io) {
    struct bpf_btf_info info = {0};
    struct stat file;
    __u32 len = sizeof(info);
    int fd = bpf_btf_get_fd_by_id(1); /* the kernel's own come before those of its modules */
    bool is_known = fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.kernel_btf &&
                    io->fstatat(io->data, AT_FDCWD, TYPES_PATH, &file, 0) == 0;
    if (fd >= 0)
        close(fd);
    return is_known && (uint64_t)file.st_size != info.btf_size;
}

bool linux_is_before(unsigned major, unsigned minor) {
    struct utsname host;
    char *end;
    if (uname(&host) < 0)
        return false;
    const unsigned long running = strtoul(host.release, &end, 10);
    return running < major ||
           (running == major && *end == '.' && strtoul(end + 1, NULL, 10) < minor);
}

/* Before Linux 5.11 maps count towards this limit. libbpf raises it, if it may. */
static bool is_short_of_memlock(uint64_t *ret_kib) {
    struct rlimit limit;
    if (!linux_is_before(5, 11) || getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return false;
    *ret_kib = limit.rlim_cur >> 10;
    return limit.rlim_cur != RLIM_INFINITY;
}

/* Loading opens one for each map, two for each program, and on some kernels one for each module.
 * Where one can't be had, libbpf may take that for something the kernel does not know, and go on
 * without it; then so many were free at most. */
#define FEW_DESCRIPTORS 32

static bool is_short_of_descriptors(uint64_t *ret_limit) {
    struct rlimit limit;
    unsigned free_count = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    *ret_limit = limit.rlim_cur;
    for (int fd = 0; (rlim_t)fd < limit.rlim_cur && free_count < FEW_DESCRIPTORS; fd++)
        free_count += fcntl(fd, F_GETFD) < 0;
    return free_count < FEW_DESCRIPTORS;
}

/* libbpf finds that it can load no program at all, and can only guess why. */
static bool is_guess(const struct tally_error *why) {
    return strstr(why->text, "probe_loading") != NULL;
}

void bpf_explain(const struct io *io, int error, struct tally_error *why) {
    const bool has_bpf = has_right(CAP_BPF) || has_right(CAP_SYS_ADMIN);
    const bool has_perfmon = has_right(CAP_PERFMON) || has_right(CAP_SYS_ADMIN);
    const bool is_refused = error == -EPERM || error == -EACCES;
    uint64_t kib = 0, descriptors = 0;
    int types = open_types(io);
    if (types >= 0)
        io->close(io->data, types);
    if (is_refused && !(has_bpf && has_perfmon))
        error_set(why, "it needs root, or CAP_BPF and CAP_PERFMON%s",
                  has_bpf       ? " (the latter is missing)"
                  : has_perfmon ? " (the former is missing)"
                                : "");
    else if (is_refused && !is_hosts_user_namespace(io))
        error_set(why, "this is not the host's user namespace: root has no rights to the kernel "
                       "here");
    else if (!is_refused && (is_short_of_descriptors(&descriptors) || error == -EMFILE))
        error_set(why, "it needs more free descriptors than RLIMIT_NOFILE (%llu) leaves",
                  (unsigned long long)descriptors);
    else if (types < 0)
        error_set(why, "the kernel has no type information (CONFIG_DEBUG_INFO_BTF): " TYPES_PATH
                       ": %s", strerror(-types));
    else if (error == -EBADMSG)
        error_set(why, "the type information in " TYPES_PATH " is damaged");
    else if (is_locked_down(io))
        error_set(why, "the kernel is locked down (confidentiality), and lets no program read "
                       "its memory");
    else if (error == -EPERM && is_short_of_memlock(&kib))
        error_set(why, "on a kernel before 5.11 it needs a higher RLIMIT_MEMLOCK (now %llu KiB), "
                       "or CAP_SYS_RESOURCE", (unsigned long long)kib);
    else if (are_anothers_types(io))
        error_set(why, "the type information in " TYPES_PATH " is that of another kernel");
    else if (is_refused && is_guess(why))
        error_set(why, "no right is missing, but bpf(2) is refused: by a filter for system calls "
                       "(seccomp), or a security module");
    else if (why->text[0] == '\0' || is_guess(why))
        error_set(why, "%s", strerror(-error));
}
