/* SPDX-License-Identifier: MIT */
/* The catalogue of metrics: names for the numbers of tally_metric(), and its rows. */
#ifndef METRICS_H
#define METRICS_H

#include "proctally.h"
#include "settings.h"
#include "source/sample.h"

/* A ratio in the unit of TALLY_UNIT_RATIO: billionths, as far as 64 bits go. */
static inline uint64_t ratio_of(double part, double whole) {
    double billionths = whole > 0 && part >= 0 ? part / whole * 1e9 + 0.5 : 0;
    return billionths < 0x1p64 ? (uint64_t)billionths : UINT64_MAX;
}

enum metric {
    METRIC_PROCESSES,
    METRIC_THREADS,
    METRIC_THREADS_RUNNING,
    METRIC_STATE_RUNNING,
    METRIC_STATE_SLEEPING,
    METRIC_STATE_DISK_SLEEP,
    METRIC_STATE_ZOMBIE,
    METRIC_STATE_OTHER, /* derived: stopped + idle, for process-exporter's names */
    METRIC_STATE_STOPPED,
    METRIC_STATE_IDLE,
    METRIC_CPU_USER,
    METRIC_CPU_SYSTEM,
    METRIC_CPU_USAGE,
    METRIC_RSS,
    METRIC_RESIDENT, /* derived: the same by another name of the `process` schema */
    METRIC_RSS_PEAK,
    METRIC_VMS,
    METRIC_SWAP,
    METRIC_PSS,
    METRIC_SWAP_PSS,
    METRIC_PSS_AGE,
    METRIC_FOOTPRINT,
    METRIC_DATA,
    METRIC_STACK,
    METRIC_CODE,
    METRIC_MEMORY_USAGE,
    METRIC_SHARED,
    METRIC_SHMEM,
    METRIC_LOCKED,
    METRIC_PAGE_TABLES,
    METRIC_WORST_MAPPINGS,
    METRIC_WORST_OOM_SCORE,
    METRIC_OPEN_FDS,
    METRIC_WORST_FD_RATIO,
    METRIC_TCP_ESTABLISHED, /* one for each enum socket_kind, in its order */
    METRIC_TCP_SYN_SENT,
    METRIC_TCP_FIN_WAIT1,
    METRIC_TCP_FIN_WAIT2,
    METRIC_TCP_CLOSE,
    METRIC_TCP_CLOSE_WAIT,
    METRIC_TCP_LAST_ACK,
    METRIC_TCP_LISTEN,
    METRIC_TCP_CLOSING,
    METRIC_UDP_SOCKETS,
    METRIC_UNIX_SOCKETS,
    METRIC_DISK_READ,
    METRIC_DISK_WRITTEN,
    METRIC_IO_READ,
    METRIC_IO_WRITTEN,
    METRIC_IO_READS,
    METRIC_IO_WRITES,
    METRIC_SWITCHES, /* derived: both kinds, for the `process` schema */
    METRIC_SWITCHES_VOLUNTARY,
    METRIC_SWITCHES_INVOLUNTARY,
    METRIC_SWITCHES_UNSPLIT, /* of macOS, which does not tell them apart */
    METRIC_FAULTS, /* derived: both kinds, for the `process` schema */
    METRIC_FAULTS_MINOR,
    METRIC_FAULTS_MAJOR,
    METRIC_RUN_QUEUE_WAIT,
    METRIC_BLKIO_DELAY,
    METRIC_RECEIVED_BYTES_TCP, /* traffic: for each kind one row per protocol */
    METRIC_RECEIVED_BYTES_UDP,
    METRIC_RECEIVED_PACKETS_TCP,
    METRIC_RECEIVED_PACKETS_UDP,
    METRIC_TRANSMITTED_BYTES_TCP,
    METRIC_TRANSMITTED_BYTES_UDP,
    METRIC_TRANSMITTED_PACKETS_TCP,
    METRIC_TRANSMITTED_PACKETS_UDP,
    METRIC_RECEIVED_BYTES, /* derived: both protocols, for the `process` schema */
    METRIC_RECEIVED_PACKETS,
    METRIC_TRANSMITTED_BYTES,
    METRIC_TRANSMITTED_PACKETS,
    METRIC_CGROUP_CPU_PERIODS, /* one for each enum cgroup_figure, in its order */
    METRIC_CGROUP_CPU_THROTTLED_PERIODS,
    METRIC_CGROUP_CPU_THROTTLED,
    METRIC_CGROUP_CPU_PRESSURE_SOME,
    METRIC_CGROUP_CPU_PRESSURE_FULL,
    METRIC_CGROUP_MEMORY_PRESSURE_SOME,
    METRIC_CGROUP_MEMORY_PRESSURE_FULL,
    METRIC_CGROUP_IO_PRESSURE_SOME,
    METRIC_CGROUP_IO_PRESSURE_FULL,
    METRIC_CGROUP_MEMORY_EVENTS_HIGH,
    METRIC_CGROUP_MEMORY_EVENTS_MAX,
    METRIC_CGROUP_MEMORY_EVENTS_OOM,
    METRIC_CGROUP_MEMORY_EVENTS_OOM_KILL,
    METRIC_CGROUP_MEMORY,
    METRIC_CGROUP_SWAP,
    METRIC_CGROUP_PIDS,
    METRIC_CGROUP_MEMORY_PEAK,
    METRIC_CGROUP_MEMORY_LIMIT,
    METRIC_CGROUP_CPU_LIMIT,
    METRIC_CGROUP_PIDS_LIMIT,
    METRIC_SYSCALLS_UNIX, /* what macOS alone has */
    METRIC_SYSCALLS_MACH,
    METRIC_MESSAGES_SENT,
    METRIC_MESSAGES_RECEIVED,
    METRIC_COW_FAULTS,
    METRIC_INSTRUCTIONS,
    METRIC_CYCLES,
    METRIC_ENERGY,
    METRIC_START_TIME,
    METRIC_PRIORITY,
    METRIC_NICE,
    METRIC_STARTS,
    METRIC_EXITS,
    METRIC_EXITS_OK, /* one for each enum ending, in its order */
    METRIC_EXITS_ERROR,
    METRIC_EXITS_SIGNAL,
    METRIC_EXITS_CORE,
    METRIC_EXITS_OOM,
    METRIC_UNREADABLE, /* members of which anything was refused */
    METRIC_UNREADABLE_STATUS, /* one for each enum origin, in its order */
    METRIC_UNREADABLE_IO,
    METRIC_UNREADABLE_FD,
    METRIC_UNREADABLE_LIMITS,
    METRIC_UNREADABLE_SCHED,
    METRIC_UNREADABLE_PSS,
    METRIC_UNREADABLE_IDENTITY,
    METRIC_UNREADABLE_SOCKETS,
    METRIC_GROUP_LAST = METRIC_UNREADABLE_SOCKETS,

    METRIC_SELF_DURATION,
    METRIC_SELF_CPU,
    METRIC_SELF_PROCESSES,
    METRIC_SELF_HIDDEN,
    METRIC_SELF_VANISHED,
    METRIC_SELF_PARTIAL,
    METRIC_SELF_GROUPS,
    METRIC_SELF_OVERFLOWED,
    METRIC_SELF_COVERAGE,
    METRIC_SELF_LOST_EVENTS,
    METRIC_SELF_THREADS_SKIPPED,
    METRIC_SELF_PATTERN_LIMITS,
    METRIC_SELF_CMDLINES_CUT,
    METRIC_SELF_STATE_FAILURES,
    METRIC_SELF_SOURCE_PROCFS,
    METRIC_SELF_SOURCE_BPF,
    METRIC_SELF_SOURCE_DARWIN,
    METRIC_SELF_LAST = METRIC_SELF_SOURCE_DARWIN,
    METRICS, /* that agents show */

    METRIC_HOST_FIRST = METRICS,
    METRIC_HOST_UPTIME = METRIC_HOST_FIRST,
    METRIC_HOST_LOAD_1,
    METRIC_HOST_LOAD_5,
    METRIC_HOST_LOAD_15,
    METRIC_HOST_USERS,
    METRIC_HOST_CPUS,
    METRIC_HOST_CPU_USER, /* one for each time of struct host_details, in its order */
    METRIC_HOST_CPU_NICE,
    METRIC_HOST_CPU_SYSTEM,
    METRIC_HOST_CPU_IDLE,
    METRIC_HOST_CPU_IOWAIT,
    METRIC_HOST_CPU_IRQ,
    METRIC_HOST_CPU_SOFTIRQ,
    METRIC_HOST_CPU_STEAL,
    METRIC_HOST_MEMORY_TOTAL, /* one for each enum host_memory, in its order */
    METRIC_HOST_MEMORY_FREE,
    METRIC_HOST_MEMORY_AVAILABLE,
    METRIC_HOST_MEMORY_BUFFERS,
    METRIC_HOST_MEMORY_CACHED,
    METRIC_HOST_SWAP_TOTAL,
    METRIC_HOST_SWAP_FREE,
    METRIC_HOST_TASKS,
    METRIC_HOST_THREADS,
    METRIC_HOST_TASKS_RUNNING, /* one for each state */
    METRIC_HOST_TASKS_SLEEPING,
    METRIC_HOST_TASKS_DISK_SLEEP,
    METRIC_HOST_TASKS_STOPPED,
    METRIC_HOST_TASKS_ZOMBIE,
    METRIC_HOST_TASKS_IDLE,
    METRIC_HOST_LAST = METRIC_HOST_TASKS_IDLE,

    METRIC_THREAD_FIRST, /* of a group's threads by name */
    METRIC_THREAD_COUNT = METRIC_THREAD_FIRST,
    METRIC_THREAD_CPU_USER,
    METRIC_THREAD_CPU_SYSTEM,
    METRIC_THREAD_DISK_READ,
    METRIC_THREAD_DISK_WRITTEN,
    METRIC_THREAD_FAULTS_MINOR,
    METRIC_THREAD_FAULTS_MAJOR,
    METRIC_THREAD_SWITCHES_VOLUNTARY,
    METRIC_THREAD_SWITCHES_INVOLUNTARY,
    METRIC_THREAD_LAST = METRIC_THREAD_SWITCHES_INVOLUNTARY,

    METRIC_WAIT_CHANNEL, /* of a group's threads by where they wait */
    METRICS_IN_ALL
};

#define METRIC_SELF_FIRST METRIC_SELF_DURATION
#define METRIC_CGROUP_FIRST METRIC_CGROUP_CPU_PERIODS
#define HOST_METRICS (METRIC_HOST_LAST - METRIC_HOST_FIRST + 1)
#define METRICS_OF_GROUP ((size_t)METRIC_SELF_FIRST)
#define THREAD_METRICS (METRIC_THREAD_LAST - METRIC_THREAD_FIRST + 1)
#define PART_METRICS ((size_t)(METRICS_IN_ALL - METRIC_THREAD_FIRST)) /* with wait channels */

/* What a group is divided into, and the words for that. */
enum part_kind {
    PART_THREAD_NAME,
    PART_WAIT_CHANNEL,
    PARTS
};
struct part_row {
    enum tally_scope scope;
    enum metric first, last;
    const char *label; /* Prometheus: the part's name */
    const char *tag;   /* line protocol: the same */
    const char *plural; /* line protocol: behind the measurement; JSON: the array's name */
};
extern const struct part_row part_table[PARTS];

#define METRIC_SET(metric) ((metric_set)1 << (metric))

_Static_assert(METRICS_OF_GROUP <= 8 * sizeof(metric_set), "one bit for each metric of groups");

struct metric_row {
    struct tally_metric metric;
    unsigned collect;  /* bits of enum collect, one of which switches it on; 0: always on */
    unsigned also_collect; /* … and has to be on as well; 0: nothing */
    unsigned origins;  /* 1 << enum origin: a process that refuses one of these lacks it */
    bool by_bpf;       /* source procfs can't have it */
    bool macos_alone;  /* Linux has nothing of it */
    const char *needs; /* what else has to be there, in words; NULL: nothing */
    struct tally_prometheus_name prometheus[TALLY_SCHEMAS]; /* about the collector: native only */
    struct tally_influx_name influx;
    struct tally_collectd_name collectd;
};
extern const struct metric_row metric_table[METRICS_IN_ALL];

#endif
