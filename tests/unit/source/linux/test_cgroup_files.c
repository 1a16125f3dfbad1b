/* SPDX-License-Identifier: MIT */
/* Where control groups are looked for, and what is read of one: recorded trees of the unified
 * hierarchy, of version 1, and of both beside each other. */
#include "source/cgroup.h"
#include "source/linux/host_root.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[200], procfs[210];
static struct cgroup_files *files;
static struct cgroup_figures figures;
static int opened, closed;

/* ---- The tree ------------------------------------------------------------------------------- */

static int count_open(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    int fd = io_kernel.openat(data, dir_fd, path, flags, mode);
    opened += fd >= 0;
    return fd;
}

static int count_close(void *data, int fd) {
    closed++;
    return io_kernel.close(data, fd);
}

static struct io io;

static void setup(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof(root), "%s/proctally-cgroup-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(procfs, sizeof(procfs), "%s/proc", root);
    io = io_kernel;
    io.openat = count_open;
    io.close = count_close;
    opened = closed = 0;
    files = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void teardown(void) {
    files = cgroup_files_free(files);
    ck_assert_int_eq(opened, closed);
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Below sys/fs/cgroup; the folders above are made too. */
static void put(const char *name, const char *content) {
    char path[600];
    snprintf(path, sizeof(path), "%s/sys/fs/cgroup/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(content, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static int read_path(const char *path) {
    if (!files)
        ck_assert_int_eq(cgroup_files_new(&io, procfs, &files), 0);
    return cgroup_files_read(files, (struct text){path, strlen(path)}, &figures);
}

static void is(enum cgroup_figure figure, uint64_t value) {
    ck_assert_msg(figures.have & 1u << figure, "figure %d is absent", (int)figure);
    ck_assert_msg(figures.value[figure] == value, "figure %d is %llu", (int)figure,
                  (unsigned long long)figures.value[figure]);
    figures.have &= ~(1u << figure);
}

/* ---- The unified hierarchy ---------------------------------------------------------------------- */

#define UNIT "system.slice/web.service/"

static void put_unified(const char *prefix) {
    static const char *const all[][2] = {
        {UNIT "memory.current", "1000\n"},
        {UNIT "memory.peak", "2000\n"},
        {UNIT "memory.max", "3000\n"},
        {UNIT "memory.swap.current", "400\n"},
        {UNIT "memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n"},
        {UNIT "cpu.max", "250000 100000\n"},
        {UNIT "cpu.stat", "usage_usec 1\nnr_periods 5\nnr_throttled 6\nthrottled_usec 7\n"},
        {UNIT "pids.current", "8\n"},
        {UNIT "pids.max", "9\n"},
        {UNIT "cpu.pressure", "some avg10=0.00 total=10\nfull avg10=0.00 total=11\n"},
        {UNIT "memory.pressure", "some avg10=0.00 total=12\nfull avg10=0.00 total=13\n"},
        {UNIT "io.pressure", "some avg10=0.00 total=14\nfull avg10=0.00 total=15\n"},
    };
    char name[200];
    for (int i = 0; i < COUNT(all); i++) {
        snprintf(name, sizeof(name), "%s%s", prefix, all[i][0]);
        put(name, all[i][1]);
    }
}

static void expect_pressure(void) {
    is(CGROUP_CPU_SOME_NS, 10000);
    is(CGROUP_CPU_FULL_NS, 11000);
    is(CGROUP_MEMORY_SOME_NS, 12000);
    is(CGROUP_MEMORY_FULL_NS, 13000);
    is(CGROUP_IO_SOME_NS, 14000);
    is(CGROUP_IO_FULL_NS, 15000);
}

START_TEST(unified) {
    put("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
    put_unified("");
    ck_assert_int_eq(read_path("/system.slice/web.service"), 0);
    is(CGROUP_MEMORY_BYTES, 1000);
    is(CGROUP_MEMORY_PEAK_BYTES, 2000);
    is(CGROUP_MEMORY_LIMIT_BYTES, 3000);
    is(CGROUP_SWAP_BYTES, 400);
    is(CGROUP_MEMORY_HIGH, 1);
    is(CGROUP_MEMORY_MAX, 2);
    is(CGROUP_MEMORY_OOM, 3);
    is(CGROUP_MEMORY_OOM_KILL, 4);
    is(CGROUP_CPU_LIMIT, 2500000000);
    is(CGROUP_CPU_PERIODS, 5);
    is(CGROUP_CPU_THROTTLED_PERIODS, 6);
    is(CGROUP_CPU_THROTTLED_NS, 7000);
    is(CGROUP_PIDS, 8);
    is(CGROUP_PIDS_LIMIT, 9);
    expect_pressure();
    ck_assert_uint_eq(figures.have, 0);
    for (int part = 0; part < CGROUP_PARTS; part++) {
        ck_assert_uint_eq(figures.inode[part], figures.inode[0]);
        ck_assert_uint_ne(figures.inode[part], 0);
        ck_assert_uint_ne(figures.made_unix_ns[part], 0);
    }
}
END_TEST

/* "max" is no limit, and so no figure; nor is what the kernel does not have or print. */
START_TEST(absent) {
    put("cgroup.controllers", "memory cpu pids\n");
    put(UNIT "memory.current", "1000\n");
    put(UNIT "memory.max", "max\n");
    put(UNIT "cpu.max", "max 100000\n");
    put(UNIT "pids.max", "max\n");
    put(UNIT "pids.current", "many\n");
    put(UNIT "cpu.stat", "");
    ck_assert_int_eq(read_path("/system.slice/web.service"), 0);
    is(CGROUP_MEMORY_BYTES, 1000);
    ck_assert_uint_eq(figures.have, 0);
}
END_TEST

/* ---- Version 1, and both ---------------------------------------------------------------------------- */

static void put_v1(void) {
    put("memory/" UNIT "memory.usage_in_bytes", "1000\n");
    put("memory/" UNIT "memory.max_usage_in_bytes", "2000\n");
    put("memory/" UNIT "memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/" UNIT "memory.failcnt", "2\n");
    put("memory/" UNIT "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
    put("cpu,cpuacct/" UNIT "cpu.cfs_quota_us", "50000\n");
    put("cpu,cpuacct/" UNIT "cpu.cfs_period_us", "100000\n");
    put("cpu,cpuacct/" UNIT "cpu.stat", "nr_periods 5\nnr_throttled 6\nthrottled_time 7\n");
    put("pids/" UNIT "pids.current", "8\n");
    put("pids/" UNIT "pids.max", "max\n");
}

static void expect_v1(void) {
    is(CGROUP_MEMORY_BYTES, 1000);
    is(CGROUP_MEMORY_PEAK_BYTES, 2000);
    is(CGROUP_MEMORY_MAX, 2);
    is(CGROUP_MEMORY_OOM_KILL, 4);
    is(CGROUP_CPU_LIMIT, 500000000);
    is(CGROUP_CPU_PERIODS, 5);
    is(CGROUP_CPU_THROTTLED_PERIODS, 6);
    is(CGROUP_CPU_THROTTLED_NS, 7);
    is(CGROUP_PIDS, 8);
}

START_TEST(version_1) {
    put_v1();
    ck_assert_int_eq(read_path("/system.slice/web.service"), 0);
    expect_v1();
    ck_assert_uint_eq(figures.have, 0);
    ck_assert_uint_ne(figures.inode[CGROUP_MEMORY], figures.inode[CGROUP_CPU]);
    ck_assert_uint_eq(figures.inode[CGROUP_PRESSURE], 0);
}
END_TEST

START_TEST(no_quota_in_version_1) {
    put_v1();
    put("cpu,cpuacct/" UNIT "cpu.cfs_quota_us", "-1\n");
    ck_assert_int_eq(read_path("/system.slice/web.service"), 0);
    ck_assert(!(figures.have & 1u << CGROUP_CPU_LIMIT));
}
END_TEST

/* The unified hierarchy has no controllers then; pressure is told there all the same. */
START_TEST(both) {
    put("unified/cgroup.controllers", "\n");
    put_unified("unified/");
    put_v1();
    put("memory/" UNIT "memory.limit_in_bytes", "3000\n");
    ck_assert_int_eq(read_path("/system.slice/web.service"), 0);
    is(CGROUP_MEMORY_LIMIT_BYTES, 3000);
    expect_v1();
    expect_pressure();
    ck_assert_uint_eq(figures.have, 0);
}
END_TEST

/* A process is in its unit's directory of some of the hierarchies only. */
START_TEST(in_one_hierarchy) {
    put("pids/" UNIT "pids.current", "8\n");
    put("memory/memory.usage_in_bytes", "1\n");
    ck_assert_int_eq(read_path("/system.slice/web.service"), 0);
    is(CGROUP_PIDS, 8);
    ck_assert_uint_eq(figures.have, 0);
}
END_TEST

/* ---- None -------------------------------------------------------------------------------------------- */

START_TEST(none_at_all) {
    ck_assert_int_eq(read_path("/system.slice/web.service"), -ENOENT);
}
END_TEST

static const char *const elsewhere[] = {
    "/", "", "system.slice/web.service", "/system.slice/gone.service", "/../system.slice/web.service",
    "/..", "/system.slice/..", "/system.slice/../system.slice/web.service"};

START_TEST(not_there) {
    put("cgroup.controllers", "memory\n");
    put("memory.current", "1\n");
    put_unified("");
    ck_assert_int_eq(read_path(elsewhere[_i]), -ENOENT);
    ck_assert_int_eq(read_path("/system.slice/web.service"), 0);
}
END_TEST

START_TEST(dots_in_a_name) {
    put("cgroup.controllers", "memory\n");
    put("a..b/..c/memory.current", "5\n");
    ck_assert_int_eq(read_path("/a..b/..c"), 0);
    is(CGROUP_MEMORY_BYTES, 5);
}
END_TEST

START_TEST(a_path_that_is_too_long) {
    static char path[5000];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    put("cgroup.controllers", "memory\n");
    ck_assert_int_eq(read_path(path), -ENOENT);
}
END_TEST

static const struct {
    const char *procfs, *path;
} places[] = {
    {"/proc", "/sys"},
    {"/proc/", "/sys"},
    {"/host/proc", "/host/sys"},
    {"/host/proc//", "/host/sys"},
    {"recorded/proc", "recorded/sys"},
    {"proc", "./sys"},
    {"/", "/sys"},
};

START_TEST(beside_the_proc_file_system) {
    char path[64];
    ck_assert_int_eq(host_path(places[_i].procfs, "/sys", path, sizeof(path)), 0);
    ck_assert_str_eq(path, places[_i].path);
    ck_assert_int_eq(host_path(places[_i].procfs, "/sys", path, 3), -ENAMETOOLONG);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cgroup_files");
    TCase *tc = add_case(suite, "files");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, unified);
    tcase_add_test(tc, absent);
    tcase_add_test(tc, version_1);
    tcase_add_test(tc, no_quota_in_version_1);
    tcase_add_test(tc, both);
    tcase_add_test(tc, in_one_hierarchy);
    tcase_add_test(tc, none_at_all);
    tcase_add_loop_test(tc, not_there, 0, COUNT(elsewhere));
    tcase_add_test(tc, dots_in_a_name);
    tcase_add_test(tc, a_path_that_is_too_long);
    tc = add_case(suite, "root");
    tcase_add_loop_test(tc, beside_the_proc_file_system, 0, COUNT(places));
    return run_suite(suite);
}
