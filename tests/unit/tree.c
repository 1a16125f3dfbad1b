/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include "collector/state.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utmp.h>

static char host[256], root[264];
static double now_s;
static int64_t realtime_step_s;
static bool root_is_hidden;

static struct {
    char path[64];
    int error;
} refusals[8];

static struct {
    char path[64];
    void (*then)(void);
} trigger;

/* ---- Files ---------------------------------------------------------------------- */

static void put_file(const char *name, const char *data, size_t len) {
    char path[1280];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    ck_assert_msg(f != NULL, "can't write %s", path);
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static void make_dir(const char *name) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void tree_open(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(host, sizeof(host), "%s/proctally-tree-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(host));
    snprintf(root, sizeof(root), "%s/proc", host);
    ck_assert_int_eq(mkdir(root, 0700), 0);
    memset(refusals, 0, sizeof(refusals));
    memset(&trigger, 0, sizeof(trigger));
    now_s = 1000;
    realtime_step_s = 0;
    root_is_hidden = false;
    make_dir("sys");
    make_dir("sys/kernel");
    make_dir("sys/kernel/random");
    tree_set_boot_id("00000000-0000-0000-0000-000000000001");
    tree_set_host(0, 4);
}

void tree_close(void) {
    nftw(host, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *tree_path(void) {
    return root;
}

void tree_show_layout(void) {
    const char text[] = "9 (self) R 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 4096 1 9 4194304 0 0\n";
    make_dir("self");
    put_file("self/stat", text, sizeof(text) - 1);
}

void tree_set_boot_id(const char *id) {
    char text[64];
    int len = snprintf(text, sizeof(text), "%s\n", id);
    put_file("sys/kernel/random/boot_id", text, (size_t)len);
}

void tree_set_host(uint64_t busy_ticks, unsigned cpus) {
    char text[4096];
    int len = snprintf(text, sizeof(text), "cpu  %llu 0 0 5000 0 0 0 0 0 0\n",
                       (unsigned long long)busy_ticks);
    for (unsigned i = 0; i < cpus; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "cpu%u 0 0 0 0 0 0 0 0 0 0\n", i);
    len += snprintf(text + len, sizeof(text) - (size_t)len, "btime %llu\n",
                    (unsigned long long)BOOT_TIME_S);
    put_file("stat", text, (size_t)len);
}

void tree_put_host(const char *file, const char *content) {
    put_file(file, content, strlen(content));
}

void tree_put_beside(const char *file, const char *content) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", host, file);
    for (char *at = path + strlen(host) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
    snprintf(path, sizeof(path), "../%s", file);
    put_file(path, content, strlen(content));
}

void tree_remove_beside(const char *dir) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", host, dir);
    ck_assert_int_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void tree_put_file(uint32_t pid, const char *file, const char *content) {
    char name[64];
    snprintf(name, sizeof(name), "%u/%s", pid, file);
    put_file(name, content, strlen(content));
}

void tree_put_utmp(const char *entries) {
    struct utmp all[16] = {0};
    size_t count = strlen(entries);
    ck_assert_uint_le(count, 16);
    for (size_t i = 0; i < count; i++) {
        all[i].ut_type = entries[i] == 'U' ? USER_PROCESS : DEAD_PROCESS;
        memcpy(all[i].ut_user, "somebody", 8);
    }
    put_file("utmp", (const char *)all, count * sizeof(all[0]));
}

void tree_hide(bool is_hidden) {
    root_is_hidden = is_hidden;
}

static void put_stat(const struct recorded *p) {
    char name[64], text[2048];
    size_t comm_len = p->comm_len ? p->comm_len : strlen(p->comm);
    size_t len = (size_t)snprintf(text, sizeof(text), "%u (", p->pid);
    memcpy(text + len, p->comm, comm_len);
    len += comm_len;
    len += (size_t)snprintf(
        text + len, sizeof(text) - len,
        ") %c %u 1 1 %u -1 %u %llu %llu %llu %llu %llu %llu %llu %llu %lld %lld %llu 0 %llu %llu "
        "%llu 18446744073709551615 %llu 0 0 0 0 0 0 %llu 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        p->state ? p->state : 'S', p->ppid, p->terminal, p->flags, (unsigned long long)p->minflt,
        (unsigned long long)p->cminflt, (unsigned long long)p->majflt,
        (unsigned long long)p->cmajflt, (unsigned long long)p->utime,
        (unsigned long long)p->stime, (unsigned long long)p->cutime,
        (unsigned long long)p->cstime, (long long)p->priority, (long long)p->nice,
        (unsigned long long)(p->threads ? p->threads : 1), (unsigned long long)p->start_ticks,
        (unsigned long long)p->vsize, (unsigned long long)p->rss_pages,
        (unsigned long long)p->start_code, p->ignores_children ? 1ULL << 16 : 0ULL);
    snprintf(name, sizeof(name), "%u/stat", p->pid);
    put_file(name, text, len);
}

static void put_status(const struct recorded *p) {
    char name[64], text[2048];
    int len = snprintf(text, sizeof(text),
                       "Name:\tx\nState:\t%c (x)\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n"
                       "VmSize:\t%llu kB\nRssAnon:\t%llu kB\nVmData:\t8 kB\nVmStk:\t4 kB\n"
                       "VmExe:\t2 kB\nVmLib:\t1 kB\nVmSwap:\t%llu kB\nSigIgn:\t%016llx\n"
                       "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
                       p->state ? p->state : 'S', p->uid, p->uid, p->uid, p->uid, p->gid, p->gid,
                       p->gid, p->gid, (unsigned long long)(p->vsize / 1024),
                       (unsigned long long)p->anon_kib, (unsigned long long)p->swap_kib,
                       p->ignores_children ? 1ULL << 16 : 0ULL, (unsigned long long)p->voluntary,
                       (unsigned long long)p->involuntary);
    if (p->rss_kib)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "VmRSS:\t%llu kB\n",
                        (unsigned long long)p->rss_kib);
    if (p->status_lines)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "%s", p->status_lines);
    snprintf(name, sizeof(name), "%u/status", p->pid);
    put_file(name, text, (size_t)len);
}

static void put_io(const struct recorded *p) {
    char name[64], text[1024];
    int len = snprintf(text, sizeof(text),
                       "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\nread_bytes: %llu\n"
                       "write_bytes: %llu\ncancelled_write_bytes: 0\n",
                       (unsigned long long)p->rchar, (unsigned long long)p->wchar,
                       (unsigned long long)p->syscr, (unsigned long long)p->syscw,
                       (unsigned long long)p->read_bytes, (unsigned long long)p->write_bytes);
    snprintf(name, sizeof(name), "%u/io", p->pid);
    put_file(name, text, (size_t)len);
}

static void put_fds(const struct recorded *p) {
    char name[64], text[256];
    snprintf(name, sizeof(name), "%u/fd", p->pid);
    make_dir(name);
    for (uint64_t i = 0; i < 64; i++) {
        char path[512];
        snprintf(name, sizeof(name), "%u/fd/%llu", p->pid, (unsigned long long)i);
        snprintf(path, sizeof(path), "%s/%s", root, name);
        if (i < p->fds)
            put_file(name, "", 0);
        else if (unlink(path) < 0)
            break;
    }
    int len = snprintf(text, sizeof(text),
                       "Limit                     Soft Limit           Hard Limit           Units\n"
                       "Max open files            %-20llu 4096                 files\n",
                       (unsigned long long)(p->fd_limit ? p->fd_limit : 1024));
    snprintf(name, sizeof(name), "%u/limits", p->pid);
    put_file(name, text, (size_t)len);
}

void tree_put(const struct recorded *p) {
    char name[64], text[128], path[512];
    snprintf(name, sizeof(name), "%u", p->pid);
    make_dir(name);
    put_stat(p);
    put_status(p);
    put_io(p);
    put_fds(p);
    /* who did anything has run */
    uint64_t run_ns = p->run_ns ? p->run_ns
                                : (p->utime + p->stime) * 10000000 + p->rchar + p->wchar +
                                      p->read_bytes + p->cminflt + p->cutime + p->voluntary;
    int len = snprintf(text, sizeof(text), "%llu %llu 7\n", (unsigned long long)run_ns,
                       (unsigned long long)p->wait_ns);
    if (p->lacks_schedstat)
        len = snprintf(text, sizeof(text), "0 0 0\n");
    snprintf(name, sizeof(name), "%u/schedstat", p->pid);
    put_file(name, text, (size_t)len);
    snprintf(name, sizeof(name), "%u/cmdline", p->pid);
    put_file(name, p->cmdline ? p->cmdline : "",
             p->cmdline_len ? p->cmdline_len : p->cmdline ? strlen(p->cmdline) + 1 : 0);
    snprintf(name, sizeof(name), "%u/cgroup", p->pid);
    put_file(name, p->cgroup ? p->cgroup : "0::/\n", strlen(p->cgroup ? p->cgroup : "0::/\n"));
    snprintf(path, sizeof(path), "%s/%u/exe", root, p->pid);
    unlink(path);
    if (p->exe)
        ck_assert_int_eq(symlink(p->exe, path), 0);
    snprintf(name, sizeof(name), "%u/task", p->pid);
    make_dir(name);
}

void tree_remove(uint32_t pid) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%u", root, pid);
    ck_assert_int_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void tree_put_thread(uint32_t pid, uint32_t tid, char state, uint64_t voluntary,
                     uint64_t involuntary, uint64_t wait_ns) {
    char name[96], text[512];
    snprintf(name, sizeof(name), "%u/task/%u", pid, tid);
    make_dir(name);
    int len = snprintf(text, sizeof(text),
                       "Name:\tt\nState:\t%c (x)\nvoluntary_ctxt_switches:\t%llu\n"
                       "nonvoluntary_ctxt_switches:\t%llu\n",
                       state, (unsigned long long)voluntary, (unsigned long long)involuntary);
    snprintf(name, sizeof(name), "%u/task/%u/status", pid, tid);
    put_file(name, text, (size_t)len);
    len = snprintf(text, sizeof(text), "1 %llu 1\n", (unsigned long long)wait_ns);
    snprintf(name, sizeof(name), "%u/task/%u/schedstat", pid, tid);
    put_file(name, text, (size_t)len);
}

void tree_put_thread_stat(uint32_t pid, uint32_t tid, const char *name, uint64_t utime,
                          uint64_t start_ticks) {
    char file[96], text[256];
    snprintf(file, sizeof(file), "%u/task/%u/stat", pid, tid);
    const int len = snprintf(
        text, sizeof(text), "%u (%s) S 1 50 50 0 -1 0 7 0 3 0 %llu 2 0 0 20 0 2 0 %llu 1 1 1\n",
        tid, name, (unsigned long long)utime, (unsigned long long)start_ticks);
    put_file(file, text, (size_t)len);
}

void tree_put_schedstat(uint32_t pid, uint32_t tid, const char *text) {
    char name[96];
    snprintf(name, sizeof(name), "%u/task/%u/schedstat", pid, tid);
    put_file(name, text, strlen(text));
}

void tree_remove_thread(uint32_t pid, uint32_t tid) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%u/task/%u", root, pid, tid);
    ck_assert_int_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void tree_refuse(uint32_t pid, const char *file, int error) {
    char path[64];
    size_t free_slot = 8;
    snprintf(path, sizeof(path), "%u/%s", pid, file);
    for (size_t i = 0; i < 8; i++) {
        if (strcmp(refusals[i].path, path) == 0) {
            free_slot = i;
            break;
        }
        if (!refusals[i].error && free_slot == 8)
            free_slot = i;
    }
    ck_assert_uint_lt(free_slot, 8);
    memcpy(refusals[free_slot].path, path, sizeof(path));
    refusals[free_slot].error = error;
}

void tree_when_opened(uint32_t pid, const char *file, void (*then)(void)) {
    snprintf(trigger.path, sizeof(trigger.path), "%u/%s", pid, file);
    trigger.then = then;
}

/* ---- Calls ------------------------------------------------------------------------ */

/* Which of the tree's files an openat() is about: "PID/file". */
static void name_of(int dir_fd, const char *path, char *ret, size_t size) {
    char link[64], dir[512] = "";
    const size_t root_len = strlen(root);
    if (strncmp(path, root, root_len) == 0 && path[root_len] == '/') {
        snprintf(ret, size, "%s", path + root_len + 1);
        return;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
    ssize_t n = dir_fd == AT_FDCWD ? 0 : readlink(link, dir, sizeof(dir) - 1);
    dir[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(dir, '/');
    if (n > 0 && strcmp(dir, root) != 0)
        snprintf(ret, size, "%.40s/%s", slash ? slash + 1 : dir, path);
    else
        snprintf(ret, size, "%s", path);
}

static int tree_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    char name[600];
    name_of(dir_fd, path, name, sizeof(name));
    for (size_t i = 0; i < 8; i++)
        if (refusals[i].error && strcmp(refusals[i].path, name) == 0) {
            errno = refusals[i].error;
            return -1;
        }
    char utmp[sizeof(root) + 8];
    snprintf(utmp, sizeof(utmp), "%s/utmp", root);
    int fd = io_kernel.openat(data, dir_fd, strcmp(path, "/run/utmp") == 0 ? utmp : path, flags,
                              mode);
    if (trigger.then && strcmp(trigger.path, name) == 0) {
        void (*then)(void) = trigger.then;
        trigger.then = NULL;
        then();
    }
    return fd;
}

static int tree_close_fd(void *data, int fd) {
    return io_kernel.close(data, fd);
}
static ssize_t tree_read(void *data, int fd, void *to, size_t len) {
    return io_kernel.read(data, fd, to, len);
}
static ssize_t tree_write(void *data, int fd, const void *from, size_t len) {
    return io_kernel.write(data, fd, from, len);
}
static ssize_t tree_getdents(void *data, int fd, void *to, size_t len) {
    if (root_is_hidden) {
        errno = EIO;
        return -1;
    }
    return io_kernel.getdents(data, fd, to, len);
}
static off_t tree_rewind(void *data, int fd) {
    return io_kernel.rewind(data, fd);
}
static ssize_t tree_readlinkat(void *data, int dir_fd, const char *path, char *to, size_t len) {
    return io_kernel.readlinkat(data, dir_fd, path, to, len);
}
static int tree_fstatat(void *data, int dir_fd, const char *path, struct stat *ret, int flags) {
    return io_kernel.fstatat(data, dir_fd, path, ret, flags);
}
static int tree_fsync(void *data, int fd) {
    return io_kernel.fsync(data, fd);
}
static int tree_rename(void *data, const char *from, const char *to) {
    return io_kernel.rename(data, from, to);
}
static int tree_unlink(void *data, const char *path) {
    return io_kernel.unlink(data, path);
}

static uint64_t tree_clock(void *data, clockid_t clock) {
    (void)data;
    if (clock == CLOCK_REALTIME)
        return (uint64_t)((int64_t)BOOT_TIME_S + realtime_step_s) * 1000000000 + SECONDS(now_s);
    return SECONDS(now_s);
}

const struct io tree_io = {
    .openat = tree_openat,
    .close = tree_close_fd,
    .read = tree_read,
    .write = tree_write,
    .getdents = tree_getdents,
    .rewind = tree_rewind,
    .readlinkat = tree_readlinkat,
    .fstatat = tree_fstatat,
    .fsync = tree_fsync,
    .rename = tree_rename,
    .unlink = tree_unlink,
    .clock_ns = tree_clock,
};

void clock_set(double seconds_since_boot) {
    now_s = seconds_since_boot;
}

void clock_step_realtime(int64_t seconds) {
    realtime_step_s += seconds;
}

/* ---- Collecting ---------------------------------------------------------------------- */

/* Not as process_names: not every build reads YAML. */
static int add_rule(tally_config *config, const char *text, struct tally_error *error) {
    char group[64];
    const char *wanted = strchr(text, ' ') + 1, *entry = wanted;
    struct tally_rule rule = {.size = sizeof(rule), .name = group};
    struct tally_rule parent = {.size = sizeof(parent)};
    const struct {
        const char *begin;
        struct tally_strings *list;
    } selectors[] = {{"gid=", &rule.gid}, {"parent=", &parent.comm}, {"pid_file=", &rule.pid_file}};
    struct tally_strings *list = &rule.comm;
    snprintf(group, sizeof(group), "%.*s", (int)(wanted - text) - 1, text);
    for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
        if (strncmp(wanted, selectors[i].begin, strlen(selectors[i].begin)) == 0) {
            entry = wanted + strlen(selectors[i].begin);
            list = selectors[i].list;
        }
    *list = (struct tally_strings){&entry, 1};
    rule.parent = parent.comm.count ? &parent : NULL;
    return tally_config_add_rule(config, &rule, error);
}

static tally *open_collector(const struct tally_new_opts *opts, const char *name, va_list args) {
    struct tally_error error;
    tally_config *config;
    tally *t;
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", root, &error), 0);
    while (name) {
        const char *value = va_arg(args, const char *);
        int r = strcmp(name, "rule") == 0 ? add_rule(config, value, &error)
                                          : tally_config_set(config, name, value, &error);
        ck_assert_msg(r == 0, "%s", error.text);
        name = va_arg(args, const char *);
    }
    int r = collector_new(config, opts, &tree_io, &t, &error);
    ck_assert_msg(r == 0, "%s", error.text);
    tally_config_free(config);
    return t;
}

tally *tree_collector(const char *name, ...) {
    va_list args;
    va_start(args, name);
    tally *t = open_collector(NULL, name, args);
    va_end(args);
    return t;
}

tally *tree_collector_with(const struct tally_new_opts *opts, const char *name, ...) {
    va_list args;
    va_start(args, name);
    tally *t = open_collector(opts, name, args);
    va_end(args);
    return t;
}

tally *tree_collector_from(tally *from, const char *name, ...) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .inherit = from};
    va_list args;
    va_start(args, name);
    tally *t = open_collector(&opts, name, args);
    va_end(args);
    return t;
}

static struct state_origin origin_of(const tally *t) {
    return (struct state_origin){.boot_id = t->source->boot_id, .source = t->source->name};
}

struct process *tree_process(tally *t, uint32_t pid) {
    struct proctable *table = &t->counting.table;
    const process_id id = proctable_find(table, pid);
    ck_assert_uint_ne(id, NO_PROCESS);
    return proctable_at(table, id);
}

int tree_encode_state(tally *t) {
    const struct state_origin origin = origin_of(t);
    return state_encode(&t->counting, &origin, &t->state);
}

int tree_decode_state(tally *t, const char *data, size_t len) {
    const struct state_origin origin = origin_of(t);
    return state_decode(&t->counting, &origin, tree_clock(NULL, CLOCK_BOOTTIME), data, len);
}

static tally_text *text(void) {
    static tally_text *the_text;
    if (!the_text)
        ck_assert_int_eq(tally_text_new(&the_text), 0);
    return the_text;
}

int tree_prometheus(tally *t, const char **ret_text, size_t *ret_len) {
    return tally_encode_prometheus(t->snapshots.current, text(), ret_text, ret_len);
}

int tree_influx(tally *t, const char **ret_text, size_t *ret_len) {
    return tally_encode_influx(t->snapshots.current, text(), ret_text, ret_len);
}

int tree_explain(tally *t, pid_t pid, const char **ret_text, size_t *ret_len) {
    return tally_explain(t, pid, text(), ret_text, ret_len);
}

const tally_snapshot *tree_collect(tally *t) {
    const tally_snapshot *s;
    ck_assert_int_eq(tally_collect(t, &s), 0);
    return s;
}

static bool find_group(tally *t, const char *group, size_t *ret_index) {
    for (size_t i = 0; i < tally_snapshot_groups(t->snapshots.current); i++)
        if (strcmp(tally_snapshot_group_name(t->snapshots.current, i), group) == 0) {
            *ret_index = i;
            return true;
        }
    return false;
}

bool has_group(tally *t, const char *group) {
    size_t index;
    return find_group(t, group, &index);
}

bool has_value(tally *t, const char *group, enum metric metric) {
    size_t index;
    uint64_t value;
    ck_assert_msg(find_group(t, group, &index), "there is no group %s", group);
    return tally_snapshot_value(t->snapshots.current, index, metric, &value);
}

uint64_t value_of(tally *t, const char *group, enum metric metric) {
    size_t index;
    uint64_t value = 0;
    ck_assert_msg(find_group(t, group, &index), "there is no group %s", group);
    ck_assert_msg(tally_snapshot_value(t->snapshots.current, index, metric, &value),
                  "group %s has no %s", group, metric_table[metric].metric.id);
    return value;
}

uint64_t self_of(tally *t, enum metric metric) {
    uint64_t value = 0;
    ck_assert_msg(tally_snapshot_value(t->snapshots.current, 0, metric, &value), "there is no %s",
                  metric_table[metric].metric.id);
    return value;
}
