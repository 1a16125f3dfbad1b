/* SPDX-License-Identifier: MIT */
/*
 * Whole collections over a /proc that the input makes and changes. Each part is
 * one step; its first letter says which:
 *
 *   o LINES       options, before all others
 *   g             an embedder's grouper, before all others
 *   p NUMBERS     a process: the numbers below, then a line with its name, then
 *                 its command line
 *   u PID N MORE  one of its numbers goes up
 *   t PID TID STATE VOLUNTARY INVOLUNTARY WAIT   a thread
 *   f PATH        a file, from the next line on
 *   x PATH        a file or a process is gone
 *   e ERROR PATH  a file can't be opened
 *   s SIZE        reads return no more than this
 *   w PATH        the step in the next line is taken when this file is opened
 *   c MS BUSY     time passes, the host was busy: collect
 *   i             go on in another collector
 *   ? PID         explain
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include "memproc.h"
#include "collector/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The numbers of a process, in the order in which a step gives them. */
enum {
    PID, PPID, START, STATE, UTIME, STIME, CUTIME, CSTIME, MINFLT, CMINFLT, MAJFLT, CMAJFLT,
    THREADS, RSS, VSIZE, RCHAR, WCHAR, SYSCR, SYSCW, RBYTES, WBYTES, VOLUNTARY, INVOLUNTARY,
    RUN, WAIT, UID, FDS, FLAGS, CODE, NUMBERS
};

/* Sums of what is below it stay in 64 bits. */
#define MOST UINT64_C(0x7fffffff)
#define RECORDED 64

struct recorded {
    uint64_t number[NUMBERS];
    size_t comm_len, cmdline_len;
    char comm[64], cmdline[256];
};

struct seen {
    char *group;
    metric_set have;
    uint64_t value[METRICS_OF_GROUP];
};

struct run {
    struct memproc *m;
    tally_config *config;
    tally *t;
    struct recorded recorded[RECORDED];
    size_t recorded_count;
    uint64_t busy;
    bool filtered, grouper;
    bool huge; /* a file has numbers that no kernel has: sums wrap around */
    bool lacks_descriptors; /* a file was refused for want of them */
    bool disturbed; /* a step was taken in the middle of the collection */
    char *deferred;
    size_t deferred_len;
    struct seen *seen;
    size_t seen_count;
    uint64_t self[METRICS];
};

/* ---- Files ---------------------------------------------------------------------------- */

#define LLU(i) ((unsigned long long)n[i])

static void put(struct run *run, const char *file, unsigned long long pid, const char *data,
                size_t len) {
    char path[64];
    snprintf(path, sizeof(path), "%llu/%s", pid, file);
    memproc_put(run->m, path, data, len);
}

static void put_process(struct run *run, const struct recorded *r) {
    static const char states[] = "SRDZTtXxKWPI";
    const uint64_t *n = r->number;
    char text[2048], state = states[n[STATE] % (sizeof(states) - 1)];
    int len = snprintf(text, sizeof(text), "%llu (", LLU(PID));
    memcpy(text + len, r->comm, r->comm_len);
    len += (int)r->comm_len;
    len += snprintf(text + len, sizeof(text) - (size_t)len,
                    ") %c %llu 1 1 0 -1 %llu %llu %llu %llu %llu %llu %llu %llu %llu 20 -5 %llu 0 "
                    "%llu %llu %llu 18446744073709551615 %llu 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 9 0 "
                    "0 0 0 0 0 0 0 0\n",
                    state, LLU(PPID), LLU(FLAGS), LLU(MINFLT), LLU(CMINFLT), LLU(MAJFLT),
                    LLU(CMAJFLT), LLU(UTIME), LLU(STIME), LLU(CUTIME), LLU(CSTIME), LLU(THREADS),
                    LLU(START), LLU(VSIZE), LLU(RSS), LLU(CODE));
    put(run, "stat", LLU(PID), text, (size_t)len);
    len = snprintf(text, sizeof(text),
                   "Name:\tx\nState:\t%c (x)\nUid:\t0\t%llu\t0\t0\nGid:\t0\t0\t0\t0\n"
                   "VmSize:\t4 kB\nRssAnon:\t%llu kB\nVmData:\t8 kB\nVmStk:\t4 kB\nVmExe:\t2 kB\n"
                   "VmLib:\t1 kB\nVmSwap:\t%llu kB\nSigIgn:\t000000000001%c000\n"
                   "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
                   state, LLU(UID), LLU(RSS), LLU(RSS), n[FLAGS] & 1 ? '1' : '0', LLU(VOLUNTARY),
                   LLU(INVOLUNTARY));
    put(run, "status", LLU(PID), text, (size_t)len);
    len = snprintf(text, sizeof(text),
                   "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\nread_bytes: %llu\n"
                   "write_bytes: %llu\ncancelled_write_bytes: 0\n",
                   LLU(RCHAR), LLU(WCHAR), LLU(SYSCR), LLU(SYSCW), LLU(RBYTES), LLU(WBYTES));
    put(run, "io", LLU(PID), text, (size_t)len);
    len = snprintf(text, sizeof(text), "%llu %llu 7\n", LLU(RUN), LLU(WAIT));
    put(run, "schedstat", LLU(PID), text, (size_t)len);
    len = snprintf(text, sizeof(text), "Max open files            %llu 4096 files\n",
                   LLU(FDS) * 2 % 100);
    put(run, "limits", LLU(PID), text, (size_t)len);
    len = snprintf(text, sizeof(text), "0::/user.slice/u%llu.service\n", LLU(UID));
    put(run, "cgroup", LLU(PID), text, (size_t)len);
    len = snprintf(text, sizeof(text), "Rss: 1 kB\nPss: %llu kB\n%s: %llu kB\n", LLU(RSS),
                   n[RSS] % 5 ? "SwapPss" : "Swap", LLU(FDS));
    put(run, "smaps_rollup", LLU(PID), text, (size_t)len);
    put(run, "cmdline", LLU(PID), r->cmdline, r->cmdline_len);
    put(run, "exe", LLU(PID), r->cmdline, strnlen(r->cmdline, r->cmdline_len));
    memproc_set_fds(run->m, (unsigned)n[PID], (unsigned)(n[FDS] % 300));
}

static void step_process(struct run *run, char *at, const char *end) {
    struct recorded r = {.comm_len = 0};
    for (size_t i = 0; i < NUMBERS && *at != '\n' && *at; i++) {
        char *before = at;
        r.number[i] = next_number(&at) & MOST;
        at += at == before;
    }
    const char *line = memchr(at, '\n', (size_t)(end - at));
    if (line) {
        const char *behind = memchr(line + 1, '\n', (size_t)(end - line - 1));
        size_t len = (size_t)((behind ? behind : end) - line - 1);
        r.comm_len = len < sizeof(r.comm) ? len : sizeof(r.comm);
        memcpy(r.comm, line + 1, r.comm_len);
        len = behind ? (size_t)(end - behind - 1) : 0;
        r.cmdline_len = len < sizeof(r.cmdline) ? len : sizeof(r.cmdline);
        if (behind)
            memcpy(r.cmdline, behind + 1, r.cmdline_len);
    }
    size_t i = 0;
    while (i < run->recorded_count && run->recorded[i].number[PID] != r.number[PID])
        i++;
    if (i == RECORDED || r.number[PID] == 0)
        return;
    run->recorded[i] = r;
    run->recorded_count += i == run->recorded_count;
    put_process(run, &r);
}

static void step_up(struct run *run, char *at) {
    uint64_t pid = next_number(&at), which = next_number(&at), more = next_number(&at);
    for (size_t i = 0; i < run->recorded_count; i++) {
        struct recorded *r = &run->recorded[i];
        if (r->number[PID] != pid || which == PID || which >= NUMBERS)
            continue;
        r->number[which] = (r->number[which] + more) & MOST;
        put_process(run, r);
    }
}

static void step_thread(struct run *run, char *at) {
    unsigned long long n[6];
    char path[96], text[256];
    for (size_t i = 0; i < 6; i++)
        n[i] = next_number(&at) & MOST;
    if (n[0] == 0)
        return;
    int len = snprintf(text, sizeof(text),
                       "State:\t%c\nvoluntary_ctxt_switches:\t%llu\n"
                       "nonvoluntary_ctxt_switches:\t%llu\n",
                       n[2] & 1 ? 'R' : 'S', n[3], n[4]);
    snprintf(path, sizeof(path), "%llu/task/%llu/status", n[0], n[1]);
    memproc_put(run->m, path, text, (size_t)len);
    len = snprintf(text, sizeof(text), "1 %llu 1\n", n[5]);
    snprintf(path, sizeof(path), "%llu/task/%llu/schedstat", n[0], n[1]);
    memproc_put(run->m, path, text, (size_t)len);
}

static void step_file(struct run *run, const char *path, const char *data, size_t len) {
    size_t digits = 0;
    for (size_t i = 0; i < len; i++) {
        digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
        run->huge = run->huge || digits > 10;
    }
    memproc_put(run->m, path, data, len);
}

/* ---- Collecting ------------------------------------------------------------------------ */

static size_t name_group(void *data, const struct tally_process_view *view, char *name,
                         size_t size) {
    (void)data;
    size_t len = view->cmdline_len < size ? view->cmdline_len : size;
    memcpy(name, view->cmdline, len);
    /* all of it can be read */
    return len + (strlen(view->name) + strlen(view->user) + strlen(view->exe) +
                  strlen(view->cgroup) == SIZE_MAX);
}

static tally *new_collector(struct run *run, tally *from) {
    const struct tally_new_opts opts = {.size = sizeof(opts),
                                        .grouper = run->grouper ? name_group : NULL,
                                        .inherit = from};
    struct tally_error error;
    tally *t;
    int r = collector_new(run->config, &opts, memproc_io(run->m), &t, &error);
    CHECK(r == 0, "collector_new(): %s", error.text);
    memset(run->self, 0, sizeof(run->self));
    return t;
}

static void forget(struct run *run) {
    for (size_t i = 0; i < run->seen_count; i++)
        free(run->seen[i].group);
    free(run->seen);
    run->seen = NULL;
    run->seen_count = 0;
}

static void check_counter(const struct run *run, const char *group, size_t metric,
                          uint64_t before, uint64_t now) {
    if (run->huge)
        return;
    CHECK(now >= before, "%s of %s fell from %llu to %llu", metric_table[metric].metric.id, group,
          (unsigned long long)before, (unsigned long long)now);
    CHECK(now < UINT64_C(1) << 62, "%s of %s is %llu", metric_table[metric].metric.id, group,
          (unsigned long long)now);
}

/* A group without processes can end, and one of a single process does when the pid
 * is given to another: then one of the same name starts anew. */
static bool can_have_ended(const struct run *run, const struct seen *group) {
    return run->t->grouping.by_pid || group->value[METRIC_PROCESSES] == 0;
}

/* Against the snapshot before, then in its place. */
static void check_counters(struct run *run) {
    const tally_snapshot *s = run->t->snapshots.current;
    size_t count = tally_snapshot_groups(s);
    struct seen *now = calloc(count + 1, sizeof(*now));
    CHECK(now, "out of memory");
    for (size_t i = 0, b = 0; i < count; i++) {
        now[i].group = strdup(tally_snapshot_group_name(s, i));
        CHECK(now[i].group, "out of memory");
        /* both are sorted */
        while (b < run->seen_count && strcmp(run->seen[b].group, now[i].group) < 0)
            b++;
        const struct seen *before =
            b < run->seen_count && strcmp(run->seen[b].group, now[i].group) == 0 ? &run->seen[b]
                                                                                 : NULL;
        if (before && can_have_ended(run, before))
            before = NULL;
        tally_snapshot_value(s, i, METRIC_PROCESSES, &now[i].value[METRIC_PROCESSES]);
        for (size_t m = 0; m < METRICS_OF_GROUP; m++) {
            if (metric_table[m].metric.kind != TALLY_KIND_COUNTER ||
                !tally_snapshot_value(s, i, m, &now[i].value[m]))
                continue;
            now[i].have |= METRIC_SET(m);
            check_counter(run, now[i].group, m,
                          before && before->have & METRIC_SET(m) ? before->value[m] : 0,
                          now[i].value[m]);
        }
    }
    forget(run);
    run->seen = now;
    run->seen_count = count;
    for (size_t m = METRIC_SELF_FIRST; m < METRICS; m++) {
        uint64_t value;
        if (metric_table[m].metric.kind != TALLY_KIND_COUNTER || !tally_snapshot_value(s, 0, m, &value))
            continue;
        check_counter(run, "the collector", m, run->self[m], value);
        run->self[m] = value;
    }
}

/* Everyone who was seen is in one group. */
static void check_members(const struct run *run, size_t processes) {
    const tally_snapshot *s = run->t->snapshots.current;
    uint64_t seen = 0, members = 0, value;
    CHECK(tally_snapshot_value(s, 0, METRIC_SELF_PROCESSES, &seen), "no processes_seen");
    CHECK(seen <= processes + (run->disturbed ? 2 : 0), "%llu processes seen, there are %zu",
          (unsigned long long)seen, processes);
    if (run->filtered || run->t->grouping.by_pid || run->t->settings.group_by_count == 0)
        return;
    for (size_t i = 0; i < tally_snapshot_groups(s); i++)
        if (tally_snapshot_value(s, i, METRIC_PROCESSES, &value))
            members += value;
    CHECK(members == seen, "%llu processes seen, %llu in groups", (unsigned long long)seen,
          (unsigned long long)members);
}

static void collect(struct run *run, uint64_t ms, uint64_t busy) {
    const tally_snapshot *s;
    char text[128];
    run->busy += busy & MOST;
    int len = snprintf(text, sizeof(text), "cpu  %llu 0 0 5\ncpu0 1\ncpu1 1\nbtime 1700000000\n",
                       (unsigned long long)run->busy);
    memproc_put(run->m, "stat", text, (size_t)len);
    memproc_pass_time(run->m, (ms & 0xfffffff) * 1000000);
    size_t processes = memproc_processes(run->m);
    run->disturbed = false;
    int r = tally_collect(run->t, &s);
    CHECK(r == 0 || (r == -EMFILE && run->lacks_descriptors), "tally_collect(): %d", r);
    CHECK(memproc_open_files(run->m) == 1, "%zu descriptors are open after a collection",
          memproc_open_files(run->m));
    if (r < 0)
        return;
    check_groups(run->t);
    check_members(run, processes);
    check_counters(run);
    check_encoders(run->t);
    struct tally_error notice;
    while (tally_notice(run->t, &notice))
        check_error(&notice);
}

static void go_on(struct run *run) {
    tally *next = new_collector(run, run->t);
    tally_free(run->t);
    run->t = next;
}

static void explain(struct run *run, uint64_t pid) {
    const char *text;
    size_t len;
    tally_text *room;
    CHECK(tally_text_new(&room) == 0, "out of memory");
    int r = tally_explain(run->t, (pid_t)(pid & MOST), room, &text, &len);
    CHECK(r == 0 || r == -ESRCH || r == -EBADMSG || r == -EACCES || r == -EPERM || r == -EIO ||
              r == -EMFILE || r == -ENOENT,
          "tally_explain(): %d", r);
    for (const char *at = text, *end; r == 0 && at < text + len; at = end + 1) {
        end = memchr(at, '\n', (size_t)(text + len - at));
        CHECK(end && is_utf8(at, (size_t)(end - at)) && is_harmless(at, (size_t)(end - at)),
              "an explanation that is not fit for a terminal");
    }
    tally_text_free(room);
}

/* ---- Steps -------------------------------------------------------------------------------- */

static void take_step(struct run *run, char *at, size_t len, bool inside);

static void take_deferred(void *data) {
    struct run *run = data;
    char *step = run->deferred;
    run->deferred = NULL;
    run->disturbed = true;
    take_step(run, step, run->deferred_len, true);
    free(step);
}

static void step_when_opened(struct run *run, const char *path, const char *step, size_t len) {
    free(run->deferred);
    run->deferred = malloc(len + 1);
    CHECK(run->deferred, "out of memory");
    memcpy(run->deferred, step, len);
    run->deferred[len] = '\0';
    run->deferred_len = len;
    memproc_when_opened(run->m, path, take_deferred, run);
}

static void step_refuse(struct run *run, char *at) {
    static const int errors[] = {0, EACCES, EPERM, ESRCH, ENOENT, EIO, EMFILE};
    uint64_t which = next_number(&at) % (sizeof(errors) / sizeof(errors[0]));
    memproc_refuse(run->m, at, errors[which]);
    run->lacks_descriptors = run->lacks_descriptors || errors[which] == EMFILE;
}

/* `at` is ended by a NUL byte; `inside` a collection. */
static void take_step(struct run *run, char *at, size_t len, bool inside) {
    char *end = at + len, *line = memchr(at, '\n', len), *arguments = at + 1;
    if (len == 0)
        return;
    while (*arguments == ' ')
        arguments++;
    size_t behind = line ? (size_t)(end - line - 1) : 0;
    if (strchr("fxwe", *at) && line)
        *line = '\0';
    switch (*at) {
    case 'p':
        step_process(run, arguments, end);
        break;
    case 'u':
        step_up(run, arguments);
        break;
    case 't':
        step_thread(run, arguments);
        break;
    case 'f':
        if (line)
            step_file(run, arguments, line + 1, behind);
        break;
    case 'x':
        memproc_remove(run->m, arguments);
        break;
    case 'e':
        step_refuse(run, arguments);
        break;
    case 's':
        memproc_set_read_size(run->m, next_number(&arguments));
        break;
    case 'w':
        if (line && !inside)
            step_when_opened(run, arguments, line + 1, behind);
        break;
    case 'c':
        if (!inside) {
            uint64_t ms = next_number(&arguments);
            collect(run, ms, next_number(&arguments));
        }
        break;
    case 'i':
        if (!inside)
            go_on(run);
        break;
    case '?':
        if (!inside)
            explain(run, next_number(&arguments));
        break;
    }
}

/* The steps that come before all others. */
static bool take_first(struct run *run, const struct part *part) {
    if (part->len > 0 && part->at[0] == 'g')
        run->grouper = true;
    else if (part->len > 0 && part->at[0] == 'o')
        set_options(run->config, part->at + 1 + strspn(part->at + 1, " "));
    else
        return false;
    return true;
}

FUZZ_TARGET(collect) {
    struct run run = {.m = memproc_new()};
    struct tally_error error;
    struct part part;
    bool first = true;
    CHECK(tally_config_new(&run.config) == 0, "out of memory");
    while (next_part(&data, &len, true, &part)) {
        if (!(first && take_first(&run, &part))) {
            if (first) {
                tally_config_set(run.config, "state-file", "", &error);
                tally_config_set(run.config, "procfs", MEMPROC_ROOT, &error);
                run.filtered = run.config->values[OPTION_INCLUDE].items.count ||
                               run.config->values[OPTION_EXCLUDE].items.count;
                run.t = new_collector(&run, NULL);
            }
            first = false;
            take_step(&run, part.at, part.len, false);
        }
        part_free(&part);
    }
    if (run.t)
        collect(&run, 10000, 100);
    forget(&run);
    tally_free(run.t);
    tally_config_free(run.config);
    memproc_free(run.m);
    free(run.deferred);
    return 0;
}
