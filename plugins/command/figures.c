/* SPDX-License-Identifier: MIT */
#include "figures.h"
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *key, *metric;
    bool is_time;
} rows[FIGURES] = {
    [FIGURE_CPU_USER] = {"cpu_user_s", "cpu_user", true},
    [FIGURE_CPU_SYSTEM] = {"cpu_system_s", "cpu_system", true},
    [FIGURE_FAULTS_MINOR] = {"page_faults_minor", "page_faults_minor"},
    [FIGURE_FAULTS_MAJOR] = {"page_faults_major", "page_faults_major"},
    [FIGURE_SWITCHES_VOLUNTARY] = {"context_switches_voluntary", "context_switches_voluntary"},
    [FIGURE_SWITCHES_INVOLUNTARY] = {"context_switches_involuntary",
                                     "context_switches_involuntary"},
    [FIGURE_IO_READ] = {"total_syscall_read_bytes", "io_read"},
    [FIGURE_IO_WRITTEN] = {"total_syscall_write_bytes", "io_written"},
    [FIGURE_IO_READS] = {"io_reads", "io_reads"},
    [FIGURE_IO_WRITES] = {"io_writes", "io_writes"},
    [FIGURE_DISK_READ] = {"total_disk_read_bytes", "disk_read"},
    [FIGURE_DISK_WRITTEN] = {"total_disk_write_bytes", "disk_written"},
    [FIGURE_RECEIVED_TCP] = {"network_receive_bytes_tcp", "network_receive_bytes_tcp"},
    [FIGURE_RECEIVED_UDP] = {"network_receive_bytes_udp", "network_receive_bytes_udp"},
    [FIGURE_SENT_TCP] = {"network_transmit_bytes_tcp", "network_transmit_bytes_tcp"},
    [FIGURE_SENT_UDP] = {"network_transmit_bytes_udp", "network_transmit_bytes_udp"},
    [FIGURE_STARTS] = {"processes_started", "starts"},
};

const char *figure_key(enum figure f) {
    return rows[f].key;
}

bool figure_is_time(enum figure f) {
    return rows[f].is_time;
}

size_t figure_metric(enum figure f) {
    size_t metric = 0;
    (void)tally_metric_find(rows[f].metric, &metric); /* test_figures looks that all are there */
    return metric;
}

static void set(struct figures *to, enum figure f, uint64_t value) {
    to->value[f] = value;
    to->known |= FIGURE(f);
}

static void add(struct figures *to, enum figure f, uint64_t value) {
    set(to, f, to->value[f] + value);
}

bool figures_sum(const tally_snapshot *s, size_t metric, uint64_t *ret) {
    bool is_known = false;
    uint64_t value;
    *ret = 0;
    for (size_t group = 0; group < tally_snapshot_groups(s); group++)
        if (tally_snapshot_value(s, group, metric, &value)) {
            *ret += value;
            is_known = true;
        }
    return is_known;
}

void figures_of_snapshot(const tally_snapshot *s, struct figures *ret) {
    uint64_t value;
    *ret = (struct figures){0};
    for (enum figure f = 0; f < FIGURES; f++)
        if (figures_sum(s, figure_metric(f), &value))
            set(ret, f, value);
}

static uint64_t ns_of(struct timeval t) {
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_usec * 1000;
}

void figures_add_waited(struct figures *to, const struct rusage *usage) {
    add(to, FIGURE_CPU_USER, ns_of(usage->ru_utime));
    add(to, FIGURE_CPU_SYSTEM, ns_of(usage->ru_stime));
    add(to, FIGURE_FAULTS_MINOR, (uint64_t)usage->ru_minflt);
    add(to, FIGURE_FAULTS_MAJOR, (uint64_t)usage->ru_majflt);
    add(to, FIGURE_SWITCHES_VOLUNTARY, (uint64_t)usage->ru_nvcsw);
    add(to, FIGURE_SWITCHES_INVOLUNTARY, (uint64_t)usage->ru_nivcsw);
}

/* Reads by one system call, which is how its own reading can be told from the rest. */
static ssize_t read_file(const char *path, char *to, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t len = read(fd, to, size - 1);
    int error = errno;
    close(fd);
    if (len < 0)
        return -error;
    to[len] = '\0';
    return len;
}

/* The lines of /proc/PID/io in their order. */
static const enum figure io_figures[] = {FIGURE_IO_READ,  FIGURE_IO_WRITTEN, FIGURE_IO_READS,
                                         FIGURE_IO_WRITES, FIGURE_DISK_READ,  FIGURE_DISK_WRITTEN};
#define IO_FIGURES (sizeof(io_figures) / sizeof(io_figures[0]))

/* Returns how many bytes were read. -errno. */
static ssize_t read_io(const char *path, uint64_t ret[IO_FIGURES]) {
    char text[512];
    ssize_t len = read_file(path, text, sizeof(text));
    const char *at = text;
    for (size_t i = 0; len >= 0 && i < IO_FIGURES; i++) {
        at = strstr(at, ": ");
        if (!at)
            return -EIO;
        ret[i] = strtoull(at + 2, NULL, 10);
        at += 2;
    }
    return len;
}

int figures_add_waited_io(struct figures *to) {
    char path[64];
    uint64_t own[IO_FIGURES], all[IO_FIGURES];
    snprintf(path, sizeof(path), "/proc/self/task/%ld/io", (long)getpid());
    ssize_t own_len = read_io(path, own);
    ssize_t len = own_len < 0 ? own_len : read_io("/proc/self/io", all);
    if (len < 0)
        return (int)len;
    own[0] += (uint64_t)own_len; /* what reading the first of the two files added */
    own[2]++;
    for (size_t i = 0; i < IO_FIGURES; i++)
        add(to, io_figures[i], all[i] > own[i] ? all[i] - own[i] : 0);
    return 0;
}

int figures_add_alive(struct figures *to, pid_t pid) {
    /* minflt cminflt majflt cmajflt utime stime cutime cstime: from the tenth on */
    static const enum figure figures[] = {
        FIGURE_FAULTS_MINOR, FIGURE_FAULTS_MINOR, FIGURE_FAULTS_MAJOR, FIGURE_FAULTS_MAJOR,
        FIGURE_CPU_USER,     FIGURE_CPU_SYSTEM,   FIGURE_CPU_USER,     FIGURE_CPU_SYSTEM};
    const uint64_t tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
    char path[64], text[2048];
    uint64_t io[IO_FIGURES];
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    ssize_t len = read_file(path, text, sizeof(text));
    if (len < 0)
        return (int)len;
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    for (int i = 2; at && i < 10; i++) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    for (size_t i = 0; at && i < sizeof(figures) / sizeof(figures[0]); i++) {
        char *end;
        const uint64_t value = strtoull(at, &end, 10);
        add(to, figures[i], rows[figures[i]].is_time ? value * tick_ns : value);
        at = end;
    }
    snprintf(path, sizeof(path), "/proc/%ld/io", (long)pid);
    len = read_io(path, io);
    if (len < 0)
        return (int)len;
    for (size_t i = 0; i < IO_FIGURES; i++)
        add(to, io_figures[i], io[i]);
    return 0;
}

void figures_take_larger(struct figures *to, const struct figures *other) {
    /* the two parts of the CPU time belong together */
    const bool cpu_is_larger = figures_cpu_ns(other) > figures_cpu_ns(to);
    for (enum figure f = 0; f < FIGURES; f++) {
        if (!(other->known & FIGURE(f)))
            continue;
        if (!(to->known & FIGURE(f)) ||
            (FIGURE(f) & FIGURES_CPU ? cpu_is_larger : other->value[f] > to->value[f])) {
            set(to, f, other->value[f]);
            to->exact &= ~FIGURE(f);
            to->exact |= other->exact & FIGURE(f);
        }
    }
}
