/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/bpf_programs.h"

#include "source/linux/bpf_listing.h"
#include "source/linux/bpf_log.h"
#include "source/linux/bpf_pins.h"
#include "source/linux/bpf_skeleton.h"
#include "source/linux/parse_host.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Items to ask for in one call. A call fails if a bucket of the hash table has more. */
#define BATCH 512u

/* A queue of what was taken out of maps. */
struct items {
    unsigned char *at;
    size_t count, size, item_size;
    size_t next; /* to be handed out; those before it were */
};

/* What the kernel returns from one call. */
struct batch {
    unsigned char keys[BATCH * sizeof(struct thread_end_key)]; /* the largest as well */
    unsigned char values[BATCH * sizeof(struct unlisted)]; /* the largest that is read this way */
};
_Static_assert(sizeof(struct dying_thread) <= sizeof(struct unlisted) &&
                   sizeof(struct ended) <= sizeof(struct unlisted),
               "any value fits into a batch");

struct bpf_programs {
    struct bpf_handles kernel;
    uint64_t lost_events; /* since this reader opened them, and since the reader before it */
    struct items ended, unlisted, thread_ends;
    uint64_t ended_count; /* of the programs, when they were last taken */
    uint64_t thread_end_count;
    unsigned cpus; /* of `adding` */
    int online_fd; /* the kernel's list of CPUs; below 0: there is none */
    struct batch *batch;
    struct bpf_listing listing;
    bool in_full, memory_moves; /* as of the next listing */
};

/* A reader before this one may have been killed after it took a mark away. */
static void mark_all_used(struct proctally_bpf__bss *bss) {
    bss->dying_is_used = 1;
    for (int side = 0; side < 2; side++)
        bss->unlisted_is_used[side] = bss->unlisted_rest_is_used[side] = 1;
}

/* ---- Opening --------------------------------------------------------------------------- */

int bpf_programs_open(const struct bpf_wants *wants, const char *pin_dir, struct bpf_programs **ret,
                      struct tally_error *why) {
    struct bpf_programs *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    bpf_handles_reset(&p->kernel);
    p->kernel.boot_offset_ns = wants->boot_offset_ns;
    bpf_listing_init(&p->listing);
    p->in_full = true;
    const int cpus = libbpf_num_possible_cpus();
    p->cpus = cpus > 0 && cpus < ADDING_SLOTS ? (unsigned)cpus : ADDING_SLOTS;
    p->online_fd = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
    p->ended_count = p->thread_end_count = UINT64_MAX; /* what others have left is not counted */
    p->batch = calloc(1, sizeof(*p->batch));
    if (!p->batch) {
        bpf_programs_free(p);
        return -ENOMEM;
    }
    p->ended.item_size = sizeof(struct bpf_ended);
    p->unlisted.item_size = sizeof(struct unlisted);
    p->thread_ends.item_size = sizeof(struct bpf_thread_end);
    why->text[0] = '\0';
    bpf_log_begin();
    int r = pin_dir ? bpf_pins_open(&p->kernel, wants, pin_dir, why)
                    : bpf_load(&p->kernel, wants, false, why);
    if (r == 0)
        bpf_keep_handles(&p->kernel);
    bpf_log_end();
    bpf_give_memory_back();
    if (r < 0) {
        bpf_programs_free(p);
        return r;
    }
    mark_all_used(p->kernel.bss);
    *ret = p;
    return 0;
}

bool bpf_programs_are_new(const struct bpf_programs *p) {
    return !p->kernel.is_adopted;
}

bool bpf_programs_see_traffic(const struct bpf_programs *p, struct tally_error *why_not) {
    *why_not = p->kernel.no_traffic;
    return p->kernel.sees_traffic;
}

bool bpf_programs_miss_old_sockets(const struct bpf_programs *p) {
    return p->kernel.misses_old_sockets;
}

struct bpf_programs *bpf_programs_free(struct bpf_programs *p) {
    if (!p)
        return NULL;
    if (p->kernel.skeleton) {
        bpf_unmap_survey(&p->kernel);
        bpf_unmap_places(&p->kernel);
        proctally_bpf__destroy(p->kernel.skeleton);
    } else {
        bpf_close_handles(&p->kernel);
    }
    bpf_listing_free(&p->listing);
    if (p->online_fd >= 0)
        close(p->online_fd);
    free(p->ended.at);
    free(p->unlisted.at);
    free(p->thread_ends.at);
    free(p->batch);
    free(p);
    return NULL;
}

static uint64_t now_ns(const struct bpf_programs *p) {
    return boot_ns(p->kernel.boot_offset_ns);
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

/* After make_room(). */
static void append(struct items *t, const void *item) {
    memcpy(t->at + t->count++ * t->item_size, item, t->item_size);
}

static const void *next_item(struct items *t) {
    return t->next < t->count ? t->at + t->next++ * t->item_size : NULL;
}

static void drop_handed_out(struct items *t) {
    t->count -= t->next;
    if (t->next && t->count)
        memmove(t->at, t->at + t->next * t->item_size, t->count * t->item_size);
    t->next = 0;
}

typedef int batch_call(int fd, void *in, void *out, void *keys, void *values, __u32 *count,
                       const struct bpf_map_batch_opts *opts);

/* Called for an item of a map. -errno. */
typedef int use_item(struct bpf_programs *p, enum map_id map, const void *key, const void *value);

/* For all items of a map. Room is made before the call that may delete them from the map, so
 * that none is lost for want of memory. */
static int for_each(struct bpf_programs *p, enum map_id map, batch_call *call, use_item *use) {
    const size_t key_size = map_shapes[map].key_size, value_size = map_shapes[map].value_size;
    unsigned char *keys = p->batch->keys, *values = p->batch->values;
    uint64_t position = 0;
    bool first = true;
    int r = 0;
    while (r == 0) {
        __u32 count = BATCH;
        r = make_room(&p->ended, BATCH);
        if (r == 0)
            r = make_room(&p->unlisted, BATCH);
        if (r == 0 && map == MAP_THREAD_ENDS)
            r = make_room(&p->thread_ends, BATCH);
        if (r < 0)
            break;
        r = call(p->kernel.map_fds[map], first ? NULL : &position, &position, keys, values, &count,
                 NULL);
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

/* The same, unless nothing was added to the map, or to the side that is read, since the last
 * time. What is added while it is read is marked once it is there. */
static int for_each_if_used(struct bpf_programs *p, enum map_id map, uint32_t *is_used,
                            use_item *use) {
    if (!__atomic_exchange_n(is_used, 0, __ATOMIC_SEQ_CST))
        return 0;
    int r = for_each(p, map, bpf_map_lookup_batch, use);
    if (r < 0)
        *is_used = 1;
    return r;
}

/* ---- Lost exits ---------------------------------------------------------------------- */

/* A zombie is not gone: its exit is still to come. */
static bool is_gone(uint32_t tid) {
    return getpgid((pid_t)tid) < 0 && errno == ESRCH;
}

/* Has list_tasks synthesize the exits that were noted. For the first task it says that this is
 * done, in as many bytes as are read: so the kernel does not go through the others. If that
 * fails they are found again in the next round. */
static int synthesize_noted(struct bpf_programs *p) {
    char unused[EXITS_DONE_SIZE];
    if (p->kernel.bss->lost_exit_count == 0)
        return 0;
    int r = 0, fd = bpf_iter_create(p->kernel.list_fd);
    if (fd < 0) {
        r = -errno;
    } else {
        ssize_t n;
        do
            n = read(fd, unused, sizeof(unused));
        while (n < 0 && (errno == EINTR || errno == EAGAIN));
        r = n < 0 ? -errno : 0;
        close(fd);
    }
    p->kernel.bss->lost_exit_count = 0;
    return r;
}

static int note_lost_exit(struct bpf_programs *p, enum map_id map, const void *key,
                          const void *value) {
    struct proctally_bpf__bss *bss = p->kernel.bss;
    const struct dying_thread *d = value;
    uint32_t tid;
    (void)map;
    bss->dying_is_used = 1; /* it may be looked at again */
    memcpy(&tid, key, sizeof(tid));
    if (now_ns(p) < d->end_ns + LOST_EXIT_AFTER_MS * UINT64_C(1000000) || !is_gone(tid))
        return 0;
    bss->lost_exits[bss->lost_exit_count++] = tid;
    return bss->lost_exit_count == LOST_EXITS_MAX ? synthesize_noted(p) : 0;
}

/* For some exits on_free is called very late, on a very busy host, or never. */
static int synthesize_lost_exits(struct bpf_programs *p) {
    p->kernel.bss->lost_exit_count = 0;
    int r = for_each_if_used(p, MAP_DYING, &p->kernel.bss->dying_is_used, note_lost_exit);
    return r < 0 ? r : synthesize_noted(p);
}

/* ---- Taking ------------------------------------------------------------------------- */

static int take_ended(struct bpf_programs *p, enum map_id map, const void *key,
                      const void *value) {
    struct bpf_ended ended;
    (void)map;
    memcpy(&ended.key, key, sizeof(ended.key));
    memcpy(&ended.value, value, sizeof(ended.value));
    append(&p->ended, &ended);
    return 0;
}

/* Walking an empty table of 65,536 takes some 80 microseconds. */
static int take_all_ended(struct bpf_programs *p) {
    const uint64_t count = __atomic_load_n(&p->kernel.bss->ended_count, __ATOMIC_ACQUIRE);
    if (p->ended_count == count)
        return 0;
    int r = for_each(p, MAP_ENDED, bpf_map_lookup_and_delete_batch, take_ended);
    if (r == 0) /* what is added meanwhile is counted after that: it is taken next time */
        p->ended_count = count;
    return r;
}

/* Whoever gets it next begins it at 0. */
static void take_place(struct bpf_programs *p, uint64_t index, struct traffic *ret) {
    struct traffic_place *place = p->kernel.places + index;
    *ret = place->traffic;
    place->stamp = 0;
}

/* How long to wait for a program that is held up, and in what steps. */
#define HELD_UP_MOST_US 200000
#define HELD_UP_STEP_US 50

/* Has every program that was adding to the side that is left come to its end? One that began
 * since adds to the other side. Nearly always the answer is yes at once. */
static bool have_left_side(const struct bpf_programs *p) {
    const struct proctally_bpf__bss *bss = p->kernel.bss;
    unsigned waited_us = 0;
    for (unsigned cpu = 0; cpu < p->cpus; cpu++)
        while (__atomic_load_n(&bss->adding[cpu][0], __ATOMIC_SEQ_CST)) {
            if (waited_us >= HELD_UP_MOST_US)
                return false;
            usleep(HELD_UP_STEP_US);
            waited_us += HELD_UP_STEP_US;
        }
    return true;
}

/* From the side that the programs have left. */
static int take_unlisted(struct bpf_programs *p, enum map_id map, const void *key,
                         const void *value) {
    struct unlisted u;
    uint64_t item;
    memcpy(&item, key, sizeof(item));
    if ((item & UNLISTED_SIDE) == side_of_round(p->kernel.bss->unlisted_round))
        return 0;
    memcpy(&u, value, sizeof(u));
    if (bpf_map_delete_elem(p->kernel.map_fds[map], &item) < 0)
        return 0;
    if (u.place && u.place <= p->kernel.place_count)
        take_place(p, u.place - 1, &u.traffic);
    append(&p->unlisted, &u);
    return 0;
}

/* The same way. */
static int take_thread_end(struct bpf_programs *p, enum map_id map, const void *key,
                           const void *value) {
    struct bpf_thread_end end = {.is_used = false};
    memcpy(&end.key, key, sizeof(end.key));
    memcpy(&end.usage, value, sizeof(end.usage));
    if (end.key.on_side != (p->kernel.bss->unlisted_round & 1) &&
        bpf_map_delete_elem(p->kernel.map_fds[map], &end.key) == 0)
        append(&p->thread_ends, &end);
    return 0;
}

static int take_thread_ends(struct bpf_programs *p, uint64_t count) {
    if (!p->kernel.bss->want_thread_names || p->thread_end_count == count)
        return 0;
    int r = for_each(p, MAP_THREAD_ENDS, bpf_map_lookup_batch, take_thread_end);
    if (r == 0)
        p->thread_end_count = count;
    return r;
}

/* What was added to the side that the programs have left. */
static int take_side(struct bpf_programs *p, uint64_t thread_end_count) {
    struct proctally_bpf__bss *bss = p->kernel.bss;
    const uint32_t left = (bss->unlisted_round & 1) ^ 1;
    int r = for_each_if_used(p, MAP_UNLISTED, &bss->unlisted_is_used[left], take_unlisted);
    if (r == 0)
        r = for_each_if_used(p, MAP_UNLISTED_REST, &bss->unlisted_rest_is_used[left],
                             take_unlisted);
    return r < 0 ? r : take_thread_ends(p, thread_end_count);
}

static void drop_used(struct items *ends) {
    struct bpf_thread_end *at = (void *)ends->at;
    size_t kept = 0;
    for (size_t i = 0; i < ends->count; i++)
        if (!at[i].is_used)
            at[kept++] = at[i];
    ends->count = kept;
}

/* ---- A round ------------------------------------------------------------------------- */

/* As of now, since CPUs come and go. UINT32_MAX: it can't be told, so all that there can be. */
static uint32_t end_of_online_cpus(const struct bpf_programs *p) {
    char text[256]; /* a longer list is not made use of */
    uint64_t end;
    const ssize_t n = p->online_fd < 0 ? -1 : pread(p->online_fd, text, sizeof(text), 0);
    if (n <= 0 || n == sizeof(text) || parse_cpu_list_end(text, (size_t)n, &end) < 0)
        return UINT32_MAX;
    return (uint32_t)end;
}

/* The ended come first: none of them can be in the listing any more, and whatever ends from
 * here on is for the next round. */
static int begin_listing(struct bpf_programs *p) {
    struct proctally_bpf__bss *bss = p->kernel.bss;
    int r = synthesize_lost_exits(p);
    if (r == 0)
        r = take_all_ended(p);
    if (r < 0)
        return r;
    p->kernel.data->list_in_full = p->in_full;
    const uint32_t before_s = bss->list_s;
    bss->list_ns = now_ns(p);
    bss->list_s = (uint32_t)(bss->list_ns / 1000000000);
    bss->since_s = bss->list_s - before_s;
    if (p->memory_moves)
        bss->moved_s = bss->list_s;
    bss->cpus_end = end_of_online_cpus(p);
    bss->lost_exit_count = 0; /* an earlier reader may have been killed before it did this */
    r = bpf_listing_begin(&p->listing, &p->kernel, p->in_full);
    if (r < 0) {
        bss->list_s = before_s; /* whose turn it is now has it in the next one */
        return r;
    }
    p->in_full = p->memory_moves = false;
    /* until it is complete nobody can tell what it will have shown */
    __atomic_store_n(&bss->listed_until_ns, UINT64_MAX, __ATOMIC_SEQ_CST);
    __atomic_store_n(&bss->unlisted_round, bss->unlisted_round + 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&bss->each_ends, 0, __ATOMIC_RELAXED);
    bss->new_programs = 0;
    return 0;
}

/* The programs consider a process known once it is in a listing: when it ends, they no longer
 * say who it was. So the listing of a failed round is not thrown away: the next round reads
 * on from where it stopped. If that fails as well, a new listing shows all processes. */
int bpf_programs_round(struct bpf_programs *p, bool in_full, bool memory_moves,
                       bpf_use_listing *use, void *data) {
    drop_handed_out(&p->ended);
    drop_handed_out(&p->unlisted);
    drop_used(&p->thread_ends);
    p->in_full |= in_full;
    p->memory_moves |= memory_moves;
    const bool is_second_try = p->listing.is_begun;
    /* what is added from here on may be taken next time only, and is counted again then */
    const uint64_t thread_end_count =
        __atomic_load_n(&p->kernel.bss->thread_end_count, __ATOMIC_ACQUIRE);
    int r = is_second_try ? 0 : begin_listing(p);
    if (r == 0)
        r = bpf_listing_read(&p->listing, &p->kernel);
    if (r == 0)
        __atomic_store_n(&p->kernel.bss->listed_until_ns, now_ns(p), __ATOMIC_SEQ_CST);
    if (r == 0)
        r = use(data, &p->listing.records);
    if (r == 0 && have_left_side(p)) /* else it is taken after it has been left the next time */
        r = take_side(p, thread_end_count);
    if (r == 0 || is_second_try)
        bpf_listing_end(&p->listing);
    if (r < 0 && is_second_try)
        p->in_full = true;
    return r;
}

const struct bpf_ended *bpf_programs_next_ended(struct bpf_programs *p) {
    return next_item(&p->ended);
}

const struct unlisted *bpf_programs_next_unlisted(struct bpf_programs *p) {
    return next_item(&p->unlisted);
}

struct bpf_thread_end *bpf_programs_thread_ends(struct bpf_programs *p, size_t *ret_count) {
    *ret_count = p->thread_ends.count;
    return (void *)p->thread_ends.at;
}

uint64_t bpf_programs_thread_ends_lost(const struct bpf_programs *p) {
    return __atomic_load_n(&p->kernel.bss->thread_ends_lost, __ATOMIC_RELAXED);
}

/* ---- Asking ----------------------------------------------------------------------- */

int bpf_programs_program(struct bpf_programs *p, uint64_t key, struct program *ret) {
    return bpf_map_lookup_elem(p->kernel.map_fds[MAP_PROGRAMS], &key, ret);
}

int bpf_programs_ancestor(struct bpf_programs *p, uint64_t key, struct bpf_identity *ret) {
    return bpf_map_lookup_elem(p->kernel.map_fds[MAP_ANCESTORS], &key, ret);
}

int bpf_programs_cgroup(struct bpf_programs *p, uint64_t id, struct cgroup_path *ret) {
    return bpf_map_lookup_elem(p->kernel.map_fds[MAP_CGROUPS], &id, ret);
}

uint64_t bpf_programs_lacks(const struct bpf_programs *p) {
    return p->kernel.bss->lacks;
}

uint64_t bpf_programs_lost(struct bpf_programs *p) {
    uint64_t lost = __atomic_load_n(&p->kernel.bss->lost_events, __ATOMIC_RELAXED);
    p->lost_events += lost - p->kernel.bss->lost_reported;
    p->kernel.bss->lost_reported = lost;
    return p->lost_events;
}
