/* SPDX-License-Identifier: MIT */
/*
 * soak COLLECTIONS [SEED]: collects over a recorded /proc that changes all the time,
 * as a kernel would change it: processes are born, rename themselves, exec, change
 * user and cgroup, use what there is to use, end; what they used is folded into who
 * waits for them; their numbers are used again. Files can't be read for a while. The
 * collector goes on from its state file, or under another configuration, or another
 * limit of groups.
 *
 * No counter of any series falls; resident memory and descriptors stay flat; what
 * the groups explain is neither more than what was used nor much less.
 */
#include "../unit/tree.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES 80 /* at most alive, init among them */
#define PIDS 120     /* so that they are soon used again */
#define NAMES 120    /* more than there may be groups */
#define SERIES 400
#define NAME_SIZE 320
/* What may be added after warming up: the set of names that did not fit, 1 MiB, fills
 * page by page; and malloc's holes are not the same each time. */
#define RSS_ROOM_KIB (1024 + 256)
/* Of what was used, in all: nothing is lost, and nothing counted twice. */
#define LEAST_COVERAGE 0.9999999
#define MOST_COVERAGE 1.0000001

struct life {
    struct recorded r; /* pid 0: nobody */
    char comm[16], cmdline[64], cgroup[64];
    bool subreaper;
    unsigned refused; /* collections until its I/O can be read again */
};

struct series {
    char name[NAME_SIZE];
    metric_set have;
    uint64_t value[METRICS_OF_GROUP];
};

static struct life lives[PIDS + 1]; /* by pid */
static unsigned alive;
static uint64_t now_ticks, busy_ticks;
static uint64_t random_state;
static unsigned long collections;

static struct series before[SERIES], after[SERIES];
static size_t before_count;
static uint64_t self_before[METRICS];
static char state_path[512];

static struct {
    unsigned long births, ends, unseen, renames, execs, reloads, restarts, reused, overflowed;
    size_t most_groups;
    double used, explained;
} counted;

/* ---- Chance ----------------------------------------------------------------------- */

static unsigned chance(unsigned below) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % below;
}

static struct life *anybody(void) {
    struct life *l;
    do
        l = &lives[1 + chance(PIDS)];
    while (l->r.pid == 0);
    return l;
}

/* ---- A kernel ----------------------------------------------------------------------- */

static void name(struct life *l) {
    static const char *const odd[] = {"a b", "a\"b", "x) R 1 (y", "n\nl", "\xff\xfe", "\xe2\x80\xae" "rtl",
                                      "a,b=c", "back\\", "other", ""};
    unsigned n = chance(NAMES);
    if (n < sizeof(odd) / sizeof(odd[0]))
        snprintf(l->comm, sizeof(l->comm), "%s", odd[n]);
    else
        snprintf(l->comm, sizeof(l->comm), "prog-%u", n);
    l->r.comm = l->comm;
}

static void exec(struct life *l) {
    name(l);
    l->r.start_code = 4096 * (1 + chance(100000));
    snprintf(l->cmdline, sizeof(l->cmdline), "/usr/bin/%s", l->comm);
    l->r.cmdline = l->cmdline;
    l->r.exe = l->cmdline;
}

static void move(struct life *l) {
    static const char *const units[] = {"a", "b", "c"};
    l->r.uid = chance(4) * 500;
    snprintf(l->cgroup, sizeof(l->cgroup), "0::/system.slice/%s.service\n", units[chance(3)]);
    l->r.cgroup = l->cgroup;
}

static void use(struct life *l) {
    unsigned user = chance(40), system = chance(20);
    l->r.utime += user;
    l->r.stime += system;
    busy_ticks += user + system;
    l->r.minflt += 1 + chance(1000);
    l->r.majflt += chance(3);
    l->r.rchar += chance(100000);
    l->r.wchar += chance(100000);
    l->r.syscr += chance(100);
    l->r.syscw += chance(100);
    l->r.read_bytes += chance(2) * 4096;
    l->r.write_bytes += chance(2) * 4096;
    l->r.voluntary += chance(50);
    l->r.involuntary += chance(10);
    l->r.run_ns += 1 + (user + system) * 10000000;
    l->r.wait_ns += chance(1000000);
    l->r.rss_pages = 10 + chance(1000);
    l->r.fds = chance(6);
}

static struct life *begin(void) {
    struct life *parent = anybody(), *l;
    do
        l = &lives[1 + chance(PIDS)];
    while (l->r.pid != 0);
    counted.reused += l->r.start_ticks != 0;
    /* the child is a copy; its use begins at 0 */
    *l = (struct life){.r = {.pid = (uint32_t)(l - lives),
                             .ppid = parent->r.pid,
                             .start_ticks = ++now_ticks,
                             .vsize = 1 << 20,
                             .start_code = parent->r.start_code,
                             .uid = parent->r.uid,
                             .run_ns = 1,
                             .minflt = 1}};
    memcpy(l->comm, parent->comm, sizeof(l->comm));
    memcpy(l->cmdline, parent->cmdline, sizeof(l->cmdline));
    memcpy(l->cgroup, parent->cgroup, sizeof(l->cgroup));
    l->r.comm = l->comm;
    l->r.cmdline = l->r.exe = l->cmdline;
    l->r.cgroup = l->cgroup;
    l->subreaper = chance(2) == 0;
    alive++;
    counted.births++;
    return l;
}

static void allow(struct life *l) {
    if (l->refused)
        tree_refuse(l->r.pid, "io", 0);
    l->refused = 0;
}

/* Whoever waits for the children of this one when it has ended. */
static const struct life *reaper_above(const struct life *l) {
    do
        l = &lives[l->r.ppid];
    while (l->r.pid != 1 && !l->subreaper);
    return l;
}

/* It ends, and its parent waits for it. */
static void end(struct life *l, bool is_in_tree) {
    struct recorded *c = &l->r, *p = &lives[c->ppid].r;
    allow(l);
    p->cutime += c->utime + c->cutime;
    p->cstime += c->stime + c->cstime;
    p->cminflt += c->minflt + c->cminflt;
    p->cmajflt += c->majflt + c->cmajflt;
    p->rchar += c->rchar;
    p->wchar += c->wchar;
    p->syscr += c->syscr;
    p->syscw += c->syscw;
    p->read_bytes += c->read_bytes;
    p->write_bytes += c->write_bytes;
    /* waiting is running */
    p->run_ns++;
    p->minflt++;
    if (is_in_tree)
        tree_remove(c->pid);
    const uint32_t reaper = reaper_above(l)->r.pid;
    for (size_t i = 1; i <= PIDS; i++)
        if (lives[i].r.pid && lives[i].r.ppid == c->pid) {
            lives[i].r.ppid = reaper;
            tree_put(&lives[i].r);
        }
    tree_put(p);
    c->pid = 0;
    now_ticks++;
    alive--;
    counted.ends++;
}

static void refuse(struct life *l) {
    unsigned refused = 0;
    for (size_t i = 1; i <= PIDS; i++)
        refused += lives[i].refused != 0;
    if (refused < 8 && !l->refused) {
        l->refused = 1 + chance(4);
        tree_refuse(l->r.pid, "io", EACCES);
    }
}

static void live_on(void) {
    struct life *l = anybody();
    unsigned what = chance(100);
    now_ticks++;
    if (what < 20 && alive < PROCESSES) {
        l = begin();
        if (chance(2))
            exec(l);
        use(l);
        if (chance(4) == 0) { /* nobody has seen it */
            end(l, false);
            counted.unseen++;
            return;
        }
    } else if (what < 38 && l->r.pid != 1) {
        use(l); /* since it was looked at last */
        end(l, true);
        return;
    } else if (what < 45) {
        name(l);
        l->r.run_ns++;
        counted.renames++;
    } else if (what < 52) {
        exec(l);
        l->r.run_ns++;
        counted.execs++;
    } else if (what < 56) {
        move(l);
        l->r.run_ns++;
    } else if (what < 58) {
        refuse(l);
    } else {
        use(l);
    }
    tree_put(&l->r);
}

/* ---- The collector --------------------------------------------------------------------- */

static tally *open_collector(tally *from) {
    static const char *const keys[] = {"name", "name,user", "unit"};
    static const char *const limits[] = {"30", "60", "90", "40"};
    static const char *const rules[] = {
        "[{name: \"{{.Comm}}\", comm: [prog-20, prog-21]}, {name: fixed, comm: [prog-22]}]",
        "[{name: fixed, comm: [prog-22, prog-23]}]", "[]"};
    unsigned which = (unsigned)counted.reloads;
    return tree_collector_from(from, "group-by", keys[which % 3], "max-groups", limits[which % 4], "children",
                          which % 2 ? "true" : "false", "process_names", rules[which % 5 % 3],
                          "expire-after", "40s", "state-file", state_path, NULL);
}

static void check_restored(tally *t) {
    struct tally_error notice;
    while (tally_notice(t, &notice))
        ck_assert_msg(!strstr(notice.text, "state"), "%s", notice.text);
}

static tally *go_on(tally *t) {
    if (chance(60) == 0) { /* a restart */
        tally_free(t);
        t = open_collector(NULL);
        check_restored(t);
        counted.restarts++;
    } else if (chance(80) == 0) { /* another configuration */
        counted.reloads++;
        tally *next = open_collector(t);
        check_restored(next);
        tally_free(t);
        t = next;
    }
    return t;
}

/* ---- What must hold ---------------------------------------------------------------------- */

static void check_counters(const tally *t) {
    const tally_snapshot *s = t->snapshots.current;
    size_t count = tally_snapshot_groups(s), b = 0;
    ck_assert_uint_lt(count, SERIES);
    for (size_t i = 0; i < count; i++) {
        const char *group = tally_snapshot_group_name(s, i);
        after[i].have = 0;
        ck_assert_uint_lt(strlen(group), NAME_SIZE);
        snprintf(after[i].name, NAME_SIZE, "%s", group);
        /* both are sorted */
        while (b < before_count && strcmp(before[b].name, group) < 0)
            b++;
        bool same = b < before_count && strcmp(before[b].name, group) == 0;
        for (size_t m = 0; m < METRICS_OF_GROUP; m++) {
            uint64_t value;
            if (metric_table[m].metric.kind != TALLY_KIND_COUNTER || !tally_snapshot_value(s, i, m, &value))
                continue;
            after[i].have |= METRIC_SET(m);
            after[i].value[m] = value;
            ck_assert_msg(!same || !(before[b].have & METRIC_SET(m)) || value >= before[b].value[m],
                          "collection %lu: %s of %s fell from %llu to %llu", collections,
                          metric_table[m].metric.id, group, (unsigned long long)before[b].value[m],
                          (unsigned long long)value);
            ck_assert_msg(value < UINT64_C(1) << 60, "%s of %s is out of bounds",
                          metric_table[m].metric.id, group);
        }
    }
    memcpy(before, after, count * sizeof(*after));
    before_count = count;
    for (size_t m = METRIC_SELF_FIRST; m < METRICS; m++) {
        uint64_t value;
        if (metric_table[m].metric.kind != TALLY_KIND_COUNTER || !tally_snapshot_value(s, 0, m, &value))
            continue;
        ck_assert_msg(value >= self_before[m], "%s fell", metric_table[m].metric.id);
        self_before[m] = value;
    }
    if (count > counted.most_groups)
        counted.most_groups = count;
    ck_assert_uint_le(count, t->settings.max_groups + 2);
}

static void check_members(const tally *t) {
    uint64_t members = 0, value;
    for (size_t i = 0; i < tally_snapshot_groups(t->snapshots.current); i++)
        if (tally_snapshot_value(t->snapshots.current, i, METRIC_PROCESSES, &value))
            members += value;
    ck_assert_uint_eq(members, alive);
}

static void add_coverage(const tally *t, uint64_t ticks) {
    uint64_t ratio;
    if (!tally_snapshot_value(t->snapshots.current, 0, METRIC_SELF_COVERAGE, &ratio))
        return;
    counted.used += (double)ticks;
    counted.explained += (double)ratio / 1e9 * (double)ticks;
}

static unsigned long resident_kib(void) {
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    const char *at = strstr(text, "VmRSS:");
    ck_assert_ptr_nonnull(at);
    return strtoul(at + 6, NULL, 10);
}

static unsigned descriptors(void) {
    unsigned count = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* ---- The whole ------------------------------------------------------------------------------ */

static unsigned long wanted = 1000;

static tally *collect(tally *t, uint64_t *busy_seen) {
    const char *text;
    size_t len;
    tree_set_host(busy_ticks, 4);
    clock_set((double)now_ticks / 100);
    tally_collect(t, &(const tally_snapshot *){NULL});
    collections++;
    ck_assert_msg(tally_state_is_saved(t), "the state was not saved");
    check_counters(t);
    check_members(t);
    add_coverage(t, busy_ticks - *busy_seen);
    *busy_seen = busy_ticks;
    ck_assert_int_eq(tree_prometheus(t, &text, &len), 0);
    ck_assert_int_eq(tree_influx(t, &text, &len), 0);
    check_restored(t);
    for (size_t i = 1; i <= PIDS; i++)
        if (lives[i].refused && --lives[i].refused == 0)
            tree_refuse(lives[i].r.pid, "io", 0);
    return go_on(t);
}

START_TEST(soak) {
    unsigned long rss_kib[4] = {0}; /* the most in each quarter */
    unsigned fds = 0;
    uint64_t busy_seen = 0;
    tree_open();
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    now_ticks = TICKS(1000);
    lives[1].r = (struct recorded){.pid = 1, .start_ticks = 1, .vsize = 1 << 20, .run_ns = 1};
    alive = 1;
    exec(&lives[1]);
    move(&lives[1]);
    tree_put(&lives[1].r);
    tally *t = open_collector(NULL);
    while (collections < wanted) {
        for (unsigned events = 1 + chance(30); events > 0; events--)
            live_on();
        now_ticks += 1 + chance(1000);
        if (chance(50) == 0)
            clock_step_realtime((int64_t)chance(7200) - 3600);
        t = collect(t, &busy_seen);

        unsigned long rss = resident_kib(), quarter = (collections - 1) * 4 / wanted;
        if (rss > rss_kib[quarter])
            rss_kib[quarter] = rss;
        unsigned open = descriptors();
        if (fds == 0)
            fds = open;
        ck_assert_msg(open == fds, "collection %lu: %u descriptors are open, there were %u",
                      collections, open, fds);
    }
    tally_free(t);
    tree_close();

    double coverage = counted.explained / counted.used;
    printf("%lu collections: %lu births (%lu of them unseen, %lu with a number used before), %lu "
           "ends, %lu renames, %lu execs, %lu restarts, %lu reloads, at most %zu groups\n",
           collections, counted.births, counted.unseen, counted.reused, counted.ends,
           counted.renames, counted.execs, counted.restarts, counted.reloads,
           counted.most_groups);
    printf("resident KiB at most, in four quarters: %lu %lu %lu %lu; descriptors: %u; coverage: "
           "%.9f\n",
           rss_kib[0], rss_kib[1], rss_kib[2], rss_kib[3], fds - 3, coverage);
    fflush(stdout);
    for (size_t i = 1; i < 4; i++)
        ck_assert_msg(rss_kib[i] <= rss_kib[0] + RSS_ROOM_KIB, "resident memory has grown");
    ck_assert_msg(coverage >= LEAST_COVERAGE && coverage <= MOST_COVERAGE,
                  "coverage is out of bounds");
}
END_TEST

int main(int argc, char **argv) {
    if (argc > 1)
        wanted = strtoul(argv[1], NULL, 10);
    random_state = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    if (wanted < 100) {
        fputs("usage: soak COLLECTIONS [SEED], at least 100\n", stderr);
        return 2;
    }
    /* what is freed goes back at once, so that what stays is what is held */
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    mallopt(M_TRIM_THRESHOLD, 64 << 10);
    Suite *s = suite_create("soak");
    TCase *tc = tcase_create("soak");
    tcase_add_test(tc, soak);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
