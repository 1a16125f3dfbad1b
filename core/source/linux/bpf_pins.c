/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/bpf_pins.h"

#include "base/error.h"
#include "source/linux/bpf_log.h"
#include "source/linux/bpf_skeleton.h"
#include "source/linux/kernel/shared.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LIST_LINK "list_tasks"
/* These are run, not attached, so the programs themselves are pinned. */
#define SURVEY_PROGRAM "survey"
#define SHOW_PROGRAM "show_asked"
/* If this link is pinned, so is everything else that counts traffic. */
#define TRAFFIC_LINK "count_received"

struct pin_path {
    char text[4096 + 64];
};

static const char *path_of(struct pin_path *path, const char *dir, const char *name) {
    snprintf(path->text, sizeof(path->text), "%.4096s/%s", dir, name);
    return path->text;
}

static int pin(struct bpf_handles *h, const char *dir) {
    struct pin_path path;
    uint32_t links = 0;
    int r = 0;
    for (size_t i = 0; i < MAPS && r == 0; i++)
        if (h->map_fds[i] >= 0 && bpf_obj_pin(h->map_fds[i], path_of(&path, dir, map_shapes[i].name)) < 0)
            r = -errno;
    for (int i = 0; i < h->skeleton->skeleton->prog_cnt && r == 0; i++) {
        const struct bpf_prog_skeleton *program = &h->skeleton->skeleton->progs[i];
        if (!*program->link)
            continue;
        if (bpf_obj_pin(bpf_link__fd(*program->link), path_of(&path, dir, program->name)) < 0)
            r = -errno;
        links++;
    }
    if (r == 0 && h->survey_fd >= 0) {
        if (bpf_obj_pin(h->survey_fd, path_of(&path, dir, SURVEY_PROGRAM)) < 0 ||
            bpf_obj_pin(h->show_fd, path_of(&path, dir, SHOW_PROGRAM)) < 0)
            r = -errno;
        links += 2;
    }
    if (r == 0)
        h->bss->pinned_links = links;
    return r;
}

/* A descriptor of what is pinned under this name, or -errno. */
static int get_pinned(const char *dir, const char *name) {
    struct pin_path path;
    int fd = bpf_obj_get(path_of(&path, dir, name));
    return fd < 0 ? -errno : fd;
}

/* How many links are pinned. A program without its link does not run any more. -errno. */
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

/* A map of global variables ends with the last of them, the struct that bpftool makes of them
 * is padded to its alignment. */
static bool is_size_of(size_t of_map, size_t of_struct) {
    return of_map <= of_struct && of_struct - of_map < 8;
}

/* -ENOENT: nothing is pinned at dir; -ESTALE: something incomplete, or of another version.
 * After any other error we don't know what is there. */
static int adopt(struct bpf_handles *h, const struct bpf_wants *wants, const char *dir) {
    size_t found = 0;
    for (size_t i = 0; i < MAPS; i++) {
        struct bpf_map_info info = {0};
        __u32 len = sizeof(info);
        h->map_fds[i] = get_pinned(dir, map_shapes[i].name);
        if (h->map_fds[i] == -ENOENT)
            continue;
        if (h->map_fds[i] < 0)
            return h->map_fds[i];
        if (bpf_obj_get_info_by_fd(h->map_fds[i], &info, &len) < 0)
            return -errno;
        if (info.key_size != map_shapes[i].key_size ||
            !is_size_of(info.value_size, map_shapes[i].value_size))
            return -ESTALE;
        found += i < MAPS_ALWAYS;
    }
    h->list_fd = get_pinned(dir, LIST_LINK);
    if (h->list_fd < 0 && h->list_fd != -ENOENT)
        return h->list_fd;
    if (found == 0 && h->list_fd < 0)
        return -ENOENT;
    if (found < MAPS_ALWAYS || h->list_fd < 0)
        return -ESTALE;
    h->data = bpf_map_memory(h->map_fds[MAP_DATA], MAP_DATA);
    h->bss = bpf_map_memory(h->map_fds[MAP_BSS], MAP_BSS);
    if (!h->data || !h->bss)
        return -ENOMEM;
    int fd = get_pinned(dir, TRAFFIC_LINK);
    h->sees_traffic = fd >= 0;
    if (fd >= 0)
        close(fd);
    else if (fd != -ENOENT)
        return fd;
    if (h->bss->format != BPF_FORMAT || h->bss->pinned_links == 0)
        return -ESTALE;
    int links = count_links(dir);
    h->survey_fd = get_pinned(dir, SURVEY_PROGRAM);
    h->show_fd = get_pinned(dir, SHOW_PROGRAM);
    if (h->survey_fd < 0 && h->survey_fd != -ENOENT)
        return h->survey_fd;
    if (h->show_fd < 0 && h->show_fd != -ENOENT)
        return h->show_fd;
    const bool can_survey = h->survey_fd >= 0;
    if ((h->show_fd >= 0) != can_survey || (h->map_fds[MAP_FOUND] >= 0) != can_survey ||
        (h->map_fds[MAP_ANSWERS] >= 0) != can_survey ||
        (h->map_fds[MAP_NAMED] >= 0) != can_survey)
        return -ESTALE;
    if ((h->map_fds[MAP_TRAFFIC_PLACES] >= 0) != h->sees_traffic)
        return -ESTALE;
    int r = bpf_map_places(h);
    if (r < 0)
        return r;
    bpf_map_survey(h, wants->thread_names);
    return links < 0 ? links : (uint32_t)links == h->bss->pinned_links ? 0 : -ESTALE;
}

static bool is_bpf_file_system(const char *dir) {
    struct statfs fs;
    return statfs(dir, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

static int remove_pins(const char *dir) {
    struct pin_path path;
    /* on another file system these names may be somebody's files */
    if (!is_bpf_file_system(dir))
        return -ENOENT;
    struct proctally_bpf *s = proctally_bpf__open(); /* for the names of programs */
    int r = s ? 0 : -errno, removed = 0;
    for (size_t i = 0; i < MAPS && r == 0; i++)
        removed += unlink(path_of(&path, dir, map_shapes[i].name)) == 0;
    for (int i = 0; r == 0 && i < s->skeleton->prog_cnt; i++)
        removed += unlink(path_of(&path, dir, s->skeleton->progs[i].name)) == 0;
    proctally_bpf__destroy(s);
    if (r == 0 && rmdir(dir) < 0 && errno != ENOTEMPTY)
        r = -errno;
    return r < 0 ? r : removed > 0 ? 0 : -ENOENT;
}

int bpf_pins_remove(const char *dir) {
    bpf_log_begin();
    int r = remove_pins(dir);
    bpf_log_end();
    return r;
}

/* Creates the directory if there is none. */
static int prepare_dir(const char *dir, struct tally_error *why) {
    struct statfs fs;
    bool is_ours = false;
    /* only if there is none: after a reload of the configuration a sandbox may no longer
     * allow it */
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

int bpf_pins_open(struct bpf_handles *h, const struct bpf_wants *wants, const char *dir,
                  struct tally_error *why) {
    int r = prepare_dir(dir, why);
    if (r < 0)
        return r;
    r = adopt(h, wants, dir);
    if (r == 0) {
        h->is_adopted = true;
        bpf_set_wants(h->bss, wants);
        if (wants->traffic && !h->sees_traffic)
            error_set(&h->no_traffic, "the programs pinned at %.200s do not count it", dir);
        return 0;
    }
    bpf_close_handles(h);
    if (r != -ENOENT && r != -ESTALE) {
        error_set(why, "what is pinned at %.200s can't be used: %s", dir, strerror(-r));
        return r;
    }
    /* of another version, or pinning it was interrupted */
    remove_pins(dir);
    r = prepare_dir(dir, why);
    if (r == 0)
        r = bpf_load(h, wants, true, why);
    if (r == 0)
        r = pin(h, dir);
    if (r < 0)
        remove_pins(dir);
    return r;
}
