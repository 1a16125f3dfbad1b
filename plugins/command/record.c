/* SPDX-License-Identifier: MIT */
#include "record.h"

#include "figures.h"
#include "json.h"
#include "text.h"
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum shape { PLAIN, PERCENT, KIB };

#define KEY_SIZE 32 /* room for ,"KEY": */
static const struct member {
    const char *key, *metric;
    enum shape shape;
    char before[KEY_SIZE]; /* its value in JSON */
} members[] = {
#define MEMBER(key, metric, shape) {key, metric, shape, ",\"" key "\":"}
    MEMBER("cpu_usage", "cpu_usage", PERCENT),
    MEMBER("mem_rss_kb", "memory_rss", KIB),
    MEMBER("mem_vms_kb", "memory_vms", KIB),
    MEMBER("max_rss_kb", "memory_rss_peak", KIB),
    MEMBER("disk_read_bytes", "disk_read", PLAIN),
    MEMBER("disk_write_bytes", "disk_written", PLAIN),
    MEMBER("syscall_read_bytes", "io_read", PLAIN),
    MEMBER("syscall_write_bytes", "io_written", PLAIN),
    MEMBER("page_faults_cached", "page_faults_minor", PLAIN),
    MEMBER("page_faults_disk", "page_faults_major", PLAIN),
    MEMBER("thread_count", "threads", PLAIN),
    MEMBER("cpu_user_s", "cpu_user", PLAIN),
    MEMBER("cpu_system_s", "cpu_system", PLAIN),
    MEMBER("memory_pss_kb", "memory_pss", KIB),
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))
_Static_assert(MEMBERS <= TREE_METRICS, "a base for each");

void record_metrics(struct tree *tree) {
    tree->metric_count = MEMBERS;
    for (size_t i = 0; i < MEMBERS; i++) {
        if (strcmp(members[i].key, "max_rss_kb") == 0)
            tree->peak = i;
        (void)tally_metric_find(members[i].metric, &tree->metrics[i]); /* test_tracking looks
                                                                        * that all are there */
    }
}

/* ---- Values ----------------------------------------------------------------------------- */

/* A process, or the whole tree. */
struct subject {
    const struct tree *tree;
    const tally_snapshot *snapshot;
    const struct tracked *process; /* NULL: the whole tree */
    size_t index;                  /* of the process in the snapshot */
};

static bool value_of(const struct subject *of, size_t member, uint64_t *ret) {
    if (of->process)
        return tree_value(of->tree, of->process, of->snapshot, of->index, member, ret);
    /* the peaks of many are no peak of the whole */
    return member != of->tree->peak && figures_sum(of->snapshot, of->tree->metrics[member], ret);
}

/* The members of one process. There may be hundreds in a sample, and a call of fprintf(3) for
 * each figure would cost as much as to read them all. */
struct line {
    char text[(MEMBERS + 2) * (KEY_SIZE + TALLY_NUMBER_SIZE)];
    size_t len;
};

static void add_text(struct line *to, const char *text) {
    const size_t len = strlen(text);
    memcpy(to->text + to->len, text, len);
    to->len += len;
}

static void add_whole(struct line *to, uint64_t value) {
    to->len += tally_number_text((struct tally_number){.whole = value}, to->text + to->len);
}

/* Two digits behind the point, rounded. */
static void add_hundredths(struct line *to, uint64_t value) {
    add_whole(to, value / 100);
    to->text[to->len++] = '.';
    to->text[to->len++] = (char)('0' + value / 10 % 10);
    to->text[to->len++] = (char)('0' + value % 10);
}

/* Nothing is added if it is not known. */
static void add_member(struct line *to, const struct subject *of, size_t i, const char *before) {
    uint64_t value;
    if (!value_of(of, i, &value))
        return;
    add_text(to, before);
    switch (members[i].shape) {
    case PLAIN:
        to->len += tally_number_text(
            tally_present(of->snapshot, of->tree->metrics[i], TALLY_FORM_NATURAL, value),
            to->text + to->len);
        break;
    case PERCENT: /* of billionths of a core */
        add_hundredths(to, (value + 50000) / 100000);
        break;
    case KIB:
        add_whole(to, value / 1024);
        break;
    }
}

static uint64_t uptime_s(const struct subject *of) {
    const uint64_t now_ns = tally_snapshot_time(of->snapshot);
    const uint64_t since_ns = of->process ? of->process->start_ns : of->tree->begun_unix_ns;
    return now_ns > since_ns ? (now_ns - since_ns) / NS_PER_S : 0;
}

/* The members of an object. */
static void write_members(FILE *to, const struct subject *of) {
    struct line line;
    line.len = 0;
    add_text(&line, "\"ts_ms\":");
    add_whole(&line, tally_snapshot_time(of->snapshot) / NS_PER_MS);
    for (size_t i = 0; i < MEMBERS; i++)
        add_member(&line, of, i, members[i].before);
    if (!of->process || of->process->gone_ns == 0) {
        add_text(&line, ",\"uptime_secs\":");
        add_whole(&line, uptime_s(of));
    }
    fwrite(line.text, 1, line.len, to);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void write_command(FILE *to, const char *text, size_t len) {
    putc('[', to);
    for (size_t at = 0; at < len;) {
        const size_t size = strnlen(text + at, len - at);
        if (at > 0)
            putc(',', to);
        json_string(to, text + at, size);
        at += size + 1;
    }
    putc(']', to);
}

/* ,"cmd":[…],"exe":… of what can be read; nothing of the rest. */
static void write_texts(FILE *to, const tally_snapshot *s, size_t i, const char *exe_key) {
    char text[16384];
    ssize_t len = tally_snapshot_process_text(s, i, TALLY_PROCESS_CMDLINE, text, sizeof(text));
    if (len > 0) {
        fputs(",\"cmd\":", to);
        write_command(to, text, (size_t)len);
    }
    len = tally_snapshot_process_text(s, i, TALLY_PROCESS_EXE, text, sizeof(text));
    if (len > 0) {
        fprintf(to, ",\"%s\":", exe_key);
        json_string(to, text, (size_t)len);
    }
}

void record_child(FILE *to, const tally_snapshot *s, size_t i) {
    const struct tally_process *p = tally_snapshot_process(s, i);
    fprintf(to, "{\"kind\":\"child\",\"ts_ms\":%" PRIu64 ",\"pid\":%ld,\"ppid\":%ld",
            tally_snapshot_time(s) / NS_PER_MS, (long)p->pid, (long)p->ppid);
    write_texts(to, s, i, "exe");
    fputs("}\n", to);
}

static void write_process(FILE *to, const struct subject *of) {
    putc('{', to);
    write_members(to, of);
    putc('}', to);
}

void record_sample(FILE *to, const struct tree *tree, const tally_snapshot *s) {
    const size_t processes = tally_snapshot_processes(s);
    const struct subject whole = {.tree = tree, .snapshot = s};
    size_t at = 0;
    bool is_first = true;
    if (tree->excludes_children) {
        for (size_t i = 0; i < processes; i++)
            if (tree_has(tree, s, i)) {
                const struct subject root = {tree, s, &tree->items[at++], i};
                fputs("{\"kind\":\"sample\",", to);
                write_members(to, &root);
                fputs("}\n", to);
            }
        return;
    }
    fprintf(to, "{\"kind\":\"tree\",\"ts_ms\":%" PRIu64, tally_snapshot_time(s) / NS_PER_MS);
    for (size_t i = 0; i < processes; i++) {
        const struct tally_process *p = tally_snapshot_process(s, i);
        if (!tree_has(tree, s, i))
            continue;
        const struct subject one = {tree, s, &tree->items[at++], i};
        if (p->pid == tree->roots[0]) {
            fputs(",\"parent\":", to);
            write_process(to, &one);
        }
    }
    fputs(",\"children\":[", to);
    at = 0;
    for (size_t i = 0; i < processes; i++) {
        const struct tally_process *p = tally_snapshot_process(s, i);
        if (!tree_has(tree, s, i))
            continue;
        const struct subject one = {tree, s, &tree->items[at++], i};
        if (p->pid == tree->roots[0])
            continue;
        fprintf(to, "%s{\"pid\":%ld,\"command\":", is_first ? "" : ",", (long)p->pid);
        is_first = false;
        json_text(to, p->name);
        fputs(",\"metrics\":", to);
        write_process(to, &one);
        putc('}', to);
    }
    fputs("],\"aggregated\":{", to);
    write_members(to, &whole);
    fprintf(to, ",\"process_count\":%zu}}\n", tree->count);
}

void record_end(FILE *to, const struct tree *tree, const struct tracked *ended,
                const tally_snapshot *s, size_t i) {
    const struct subject of = {tree, s, ended, i};
    fprintf(to, "{\"kind\":\"end\",\"ts_ms\":%" PRIu64 ",\"pid\":%ld",
            tally_snapshot_time(s) / NS_PER_MS, (long)ended->pid);
    if (ended->ppid)
        fprintf(to, ",\"ppid\":%ld", (long)ended->ppid);
    if (ended->name[0]) {
        fputs(",\"command\":", to);
        json_text(to, ended->name);
    }
    fputs(",\"metrics\":", to);
    write_process(to, &of);
    fputs("}\n", to);
}

void record_metadata(FILE *to, const struct tree *tree, char *const *command) {
    char text[16384], path[64];
    fprintf(to, "{\"kind\":\"metadata\",\"pid\":%ld", (long)tree->roots[0]);
    snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)tree->roots[0]);
    FILE *file = command ? NULL : fopen(path, "re");
    const size_t size = file ? fread(text, 1, sizeof(text), file) : 0;
    if (file)
        fclose(file);
    if (command || size > 0)
        fputs(",\"cmd\":", to);
    if (size > 0)
        write_command(to, text, size);
    if (command) {
        for (size_t i = 0; command[i]; i++) {
            putc(i > 0 ? ',' : '[', to);
            json_text(to, command[i]);
        }
        putc(']', to);
    }
    snprintf(path, sizeof(path), "/proc/%ld/exe", (long)tree->roots[0]);
    const ssize_t len = readlink(path, text, sizeof(text));
    if (len > 0) {
        fputs(",\"executable\":", to);
        json_string(to, text, (size_t)len);
    } else if (command) { /* it has ended already */
        fputs(",\"executable\":", to);
        json_text(to, command[0]);
    }
    fprintf(to, ",\"t0_ms\":%" PRIu64 "}\n", tree->begun_unix_ns / NS_PER_MS);
}

static void write_cpus(FILE *to) {
    cpu_set_t set;
    bool is_first = true;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return;
    fputs(",\"affinity\":[", to);
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) {
            fprintf(to, "%s%u", is_first ? "" : ",", i);
            is_first = false;
        }
    putc(']', to);
}

static void write_cgroup(FILE *to) {
    char line[4096];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "0::", 3) == 0) {
            fputs(",\"cgroup\":", to);
            json_string(to, line + 3, strcspn(line + 3, "\n"));
        }
    if (file)
        fclose(file);
}

static unsigned numa_nodes(void) {
    unsigned nodes = 0;
    char path[64];
    do
        snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", nodes);
    while (access(path, F_OK) == 0 && ++nodes < 1024);
    return nodes;
}

void record_env(FILE *to) {
    struct utsname host;
    fputs("{\"kind\":\"env\",\"proctally\":", to);
    json_text(to, tally_version());
    if (uname(&host) == 0) {
        fputs(",\"host\":", to);
        json_text(to, host.nodename);
        fputs(",\"system\":", to);
        json_text(to, host.sysname);
        fputs(",\"kernel\":", to);
        json_text(to, host.release);
        fputs(",\"machine\":", to);
        json_text(to, host.machine);
    }
    fprintf(to, ",\"cpus\":%ld,\"memory_kb\":%ld", sysconf(_SC_NPROCESSORS_ONLN),
            sysconf(_SC_PHYS_PAGES) * (sysconf(_SC_PAGESIZE) / 1024));
    if (numa_nodes())
        fprintf(to, ",\"numa_nodes\":%u", numa_nodes());
    write_cpus(to);
    write_cgroup(to);
    fputs("}\n", to);
}

/* ---- CSV (RFC 4180, but for LF as the end of lines) -------------------------------------------- */

void record_csv_header(FILE *to) {
    fputs("ts_ms", to);
    for (size_t i = 0; i < MEMBERS; i++)
        fprintf(to, ",%s", members[i].key);
    fputs(",uptime_secs,process_count,pid,command\n", to);
}

static void write_csv_members(FILE *to, const struct subject *of) {
    struct line line;
    line.len = 0;
    add_whole(&line, tally_snapshot_time(of->snapshot) / NS_PER_MS);
    for (size_t i = 0; i < MEMBERS; i++) {
        add_text(&line, ",");
        add_member(&line, of, i, "");
    }
    add_text(&line, ",");
    add_whole(&line, uptime_s(of));
    fwrite(line.text, 1, line.len, to);
}

static void write_csv_text(FILE *to, const char *text) {
    putc('"', to);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', to);
        putc(*text, to);
    }
    putc('"', to);
}

/* The row of the whole tree has neither pid nor command. */
void record_csv(FILE *to, const struct tree *tree, const tally_snapshot *s) {
    const struct subject whole = {.tree = tree, .snapshot = s};
    size_t at = 0;
    if (!tree->excludes_children) {
        write_csv_members(to, &whole);
        fprintf(to, ",%zu,,\n", tree->count);
    }
    for (size_t i = 0; i < tally_snapshot_processes(s); i++) {
        if (!tree_has(tree, s, i))
            continue;
        const struct subject one = {tree, s, &tree->items[at++], i};
        write_csv_members(to, &one);
        fprintf(to, ",,%ld,", (long)one.process->pid);
        write_csv_text(to, tally_snapshot_process(s, i)->name);
        putc('\n', to);
    }
}

/* ---- For people ----------------------------------------------------------------------------------- */

static bool sum_of(const tally_snapshot *s, const char *id, uint64_t *ret) {
    size_t metric;
    return tally_metric_find(id, &metric) == 0 && figures_sum(s, metric, ret);
}

static void write_amount(FILE *to, const tally_snapshot *s, const char *name, const char *id) {
    char text[AMOUNT_SIZE];
    uint64_t value;
    fprintf(to, "  %s %6s", name, sum_of(s, id, &value) ? amount_bytes(value, text) : "-");
}

void record_live(FILE *to, const tally_snapshot *s, uint64_t begun_unix_ns, bool has_colour) {
    const uint64_t now_ns = tally_snapshot_time(s);
    uint64_t cpu, processes = 0;
    char text[AMOUNT_SIZE];
    fprintf(to, "%s%8s%s", has_colour ? "\033[2m" : "",
            amount_time(now_ns > begun_unix_ns ? now_ns - begun_unix_ns : 0, text),
            has_colour ? "\033[0m" : "");
    if (sum_of(s, "cpu_usage", &cpu))
        fprintf(to, "  cpu %s%6.1f%%%s", has_colour ? cpu > 900000000 ? "\033[31m" : "\033[32m" : "",
                (double)cpu / 1e7, has_colour ? "\033[0m" : "");
    else
        fputs("  cpu       -", to);
    write_amount(to, s, "rss", "memory_rss");
    write_amount(to, s, "read", "io_read");
    write_amount(to, s, "written", "io_written");
    sum_of(s, "processes", &processes);
    fprintf(to, "  processes %" PRIu64 "\n", processes);
}
