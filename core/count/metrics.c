/* SPDX-License-Identifier: MIT */
#include "count/metrics.h"

#include "source/cgroup.h"
#include "source/sample.h"
#include "source/source.h"

#include <errno.h>
#include <string.h>

/* One row per value. The columns are the dialects; a dialect that is left out
 * does not have the metric. Short words keep a row readable. */
#define NATIVE(...) .prometheus[TALLY_SCHEMA_NATIVE] = {__VA_ARGS__}
#define PE(...) .prometheus[TALLY_SCHEMA_PROCESS_EXPORTER] = {__VA_ARGS__}
#define PROCESS(...) .prometheus[TALLY_SCHEMA_PROCESS] = {__VA_ARGS__}
#define INFLUX(...) .influx = {__VA_ARGS__}
#define COLLECTD(...) .collectd = {__VA_ARGS__}
#define ROW(name, of_kind, of_unit, text) \
    .metric.id = name, .metric.kind = of_kind, .metric.unit = of_unit, .metric.help = text
#define GAUGE(name, of_unit, text) ROW(name, TALLY_KIND_GAUGE, of_unit, text)
#define COUNTER(name, of_unit, text) ROW(name, TALLY_KIND_COUNTER, of_unit, text)
#define SELF .metric.scope = TALLY_SCOPE_SELF
#define IF(what) .collect = 1u << COLLECT_##what
#define IF_EITHER(what, other) .collect = 1u << COLLECT_##what | 1u << COLLECT_##other
#define READ(file) .origins = 1u << ORIGIN_##file
#define READ_BOTH(file, other) .origins = 1u << ORIGIN_##file | 1u << ORIGIN_##other
#define BY_BPF .by_bpf = true
#define NEEDS(text) .needs = text
#define ON_MACOS .macos_alone = true, NEEDS("macOS")

#define STATES "Processes by the state of their main thread"
#define CPU "CPU time used by the processes of the group"
#define SYSCALLS "Read and write system calls made"
#define SWITCHES "Context switches of all threads"
#define FAULTS "Page faults"
#define EXITS "Processes of the group that were seen to end, by how they ended"
#define TCP_SOCKETS "TCP sockets that processes have open, by state; each counts once for the group"
#define UNREADABLE "Processes of which the file could not be read, so that they are missing in the sums"
#define SOURCE "1 for the source in use, 0 for the others"

/* Of threads by name. What they have is switched off with what processes have of it, too. */
#define THREAD_CPU "CPU time used by threads of this name"
#define THREAD_FAULTS "Page faults of threads of this name"
#define THREAD_SWITCHES "Context switches of threads of this name"
#define OF_THREADS(KIND, name, of_unit, text) \
    KIND("thread_" name, of_unit, text), .metric.scope = TALLY_SCOPE_THREAD_NAME, \
        IF(THREAD_NAMES)
#define ALSO_IF(what) .also_collect = 1u << COLLECT_##what

#define STATE(metric, state, ...)                                                      \
    [metric] = {GAUGE("states_" state, TALLY_UNIT_COUNT, STATES), IF(STATES),          \
                NATIVE("states", "state", state), INFLUX(state),                       \
                COLLECTD("ps_state", state) __VA_OPT__(, ) __VA_ARGS__}

#define EXITS_BY(metric, reason)                                                      \
    [metric] = {COUNTER("exits_" reason, TALLY_UNIT_COUNT, EXITS), IF(EXITS), BY_BPF, \
                NATIVE("process_exits_by_reason_total", "reason", reason),            \
                INFLUX("exits_" reason), COLLECTD("derive", "exits_" reason)}
#define SOCKETS_OF(metric, name, text, ...) \
    [metric] = {GAUGE(name, TALLY_UNIT_COUNT, text), IF(SOCKETS), READ(SOCKETS), __VA_ARGS__}
/* in Telegraf as its plugin netstat calls those of the whole host */
#define TCP_STATE(metric, state, ...)                                                    \
    SOCKETS_OF(metric, "tcp_" state, TCP_SOCKETS, NATIVE("tcp_sockets", "state", state), \
               INFLUX("tcp_" state), COLLECTD("tcp_connections", state)                  \
               __VA_OPT__(, ) __VA_ARGS__)

#define REFUSED(metric, file, instance, ...) \
    [metric] = {GAUGE("unreadable_" instance, TALLY_UNIT_COUNT, UNREADABLE), \
                NATIVE("unreadable_processes", "file", file), \
                COLLECTD("gauge", "unreadable_" instance) __VA_OPT__(, ) __VA_ARGS__}

#define TRAFFIC_OF(metric, name, unit, text, field, type, index, protocol)             \
    [metric] = {COUNTER("network_" name "_" protocol, unit, text), IF(NETWORK), BY_BPF, \
                NATIVE("network_" name "_total", "protocol", protocol),                \
                INFLUX("net_" field "_" protocol), COLLECTD(type, protocol, index)}
#define TRAFFIC(metric, ...) \
    TRAFFIC_OF(metric##_TCP, __VA_ARGS__, "tcp"), TRAFFIC_OF(metric##_UDP, __VA_ARGS__, "udp")

#define TRAFFIC_SUM(metric, name, unit, text) \
    [metric] = {COUNTER("network_" name, unit, text), IF(NETWORK), BY_BPF, \
                PROCESS("net_" name "_total")}
#define OF_CGROUP(row, name, KIND, of_unit, text, ...) \
    [row] = {KIND(name, of_unit, text), IF(CGROUP), \
             NEEDS("a group-by of unit, container or cgroup alone, and such a control group"), \
             INFLUX(name), __VA_ARGS__}
#define PRESSURE_OF(row, resource, what, kind)                                         \
    OF_CGROUP(row, "cgroup_" resource "_pressure_" kind, COUNTER, TALLY_UNIT_NS,       \
              "Time that some or all tasks of the control group waited for " what,     \
              NATIVE("cgroup_" resource "_pressure_seconds_total", "type", kind),      \
              COLLECTD("derive", "cgroup_" resource "_pressure_" kind "_us", 0,        \
                       TALLY_FORM_MICROSECONDS))
#define PRESSURE(row, ...) \
    PRESSURE_OF(row##_SOME, __VA_ARGS__, "some"), PRESSURE_OF(row##_FULL, __VA_ARGS__, "full")
#define MEMORY_EVENT(row, event)                                                       \
    OF_CGROUP(row, "cgroup_memory_events_" event, COUNTER, TALLY_UNIT_COUNT,           \
              "How often the memory of the control group came to a limit, or killed a process", \
              NATIVE("cgroup_memory_events_total", "type", event),                     \
              COLLECTD("derive", "cgroup_memory_events_" event))

#define ABOUT_SELF(name, collectd_type) \
    SELF, NATIVE(name), INFLUX(name), COLLECTD(collectd_type, name)
#define ABOUT_SELF_TOTAL(name) \
    SELF, NATIVE(name "_total"), INFLUX(name), COLLECTD("derive", name)

/* Of the host: they have no name in any agent's dialect. */
#define LOAD "Tasks that ran or waited, on average over the last "
#define HOST(row, name, KIND, of_unit, text) \
    [row] = {KIND("host_" name, of_unit, text), .metric.scope = TALLY_SCOPE_HOST}
#define HOST_CPU(row, mode) \
    HOST(row, "cpu_" mode, COUNTER, TALLY_UNIT_NS, "CPU time of the host by what it was spent on")
#define HOST_MEMORY(row, name, text) HOST(row, name, GAUGE, TALLY_UNIT_BYTES, text)
#define HOST_STATE(row, state) \
    HOST(row, "tasks_" state, GAUGE, TALLY_UNIT_COUNT, "Processes of the host by their state")

const struct metric_row metric_table[METRICS_IN_ALL] = {
    [METRIC_PROCESSES] = {GAUGE("processes", TALLY_UNIT_COUNT, "Processes in the group"),
                          NATIVE("processes"), PE("num_procs"), PROCESS("num_procs"),
                          INFLUX("num_procs"), COLLECTD("ps_count", "", 0)},
    [METRIC_THREADS] = {GAUGE("threads", TALLY_UNIT_COUNT, "Threads of the group's processes"),
                        NATIVE("threads"), PE("num_threads"), PROCESS("threads", "state", "total"),
                        INFLUX("num_threads"), COLLECTD("ps_count", "", 1)},
    [METRIC_THREADS_RUNNING] = {GAUGE("threads_running", TALLY_UNIT_COUNT,
                                      "Threads that run or wait for a CPU"), IF(THREADS),
                                NATIVE("threads_running"),
                                PROCESS("threads", "state", "running"),
                                INFLUX("num_threads_running"), COLLECTD("threads", "running")},
    STATE(METRIC_STATE_RUNNING, "running", PE("states", "state", "Running")),
    STATE(METRIC_STATE_SLEEPING, "sleeping", PE("states", "state", "Sleeping")),
    STATE(METRIC_STATE_DISK_SLEEP, "disk_sleep", PE("states", "state", "Waiting")),
    STATE(METRIC_STATE_ZOMBIE, "zombie", PE("states", "state", "Zombie")),
    [METRIC_STATE_OTHER] = {GAUGE("states_other", TALLY_UNIT_COUNT, STATES), IF(STATES),
                            PE("states", "state", "Other")},
    STATE(METRIC_STATE_STOPPED, "stopped"),
    STATE(METRIC_STATE_IDLE, "idle"),
    [METRIC_CPU_USER] = {COUNTER("cpu_user", TALLY_UNIT_NS, CPU),
                         NATIVE("cpu_seconds_total", "mode", "user"),
                         PE("cpu_seconds_total", "mode", "user"),
                         PROCESS("cpu_seconds_total", "mode", "user"), INFLUX("cpu_time_user"),
                         COLLECTD("ps_cputime", "", 0, TALLY_FORM_MICROSECONDS)},
    [METRIC_CPU_SYSTEM] = {COUNTER("cpu_system", TALLY_UNIT_NS, CPU),
                           NATIVE("cpu_seconds_total", "mode", "system"),
                           PE("cpu_seconds_total", "mode", "system"),
                           PROCESS("cpu_seconds_total", "mode", "system"),
                           INFLUX("cpu_time_system"),
                           COLLECTD("ps_cputime", "", 1, TALLY_FORM_MICROSECONDS)},
    [METRIC_CPU_USAGE] = {GAUGE("cpu_usage", TALLY_UNIT_RATIO,
                                "CPU use since the previous collection; 1 is the whole machine, or "
                                "one CPU with cpu-mode core"),
                          NATIVE("cpu_usage_ratio"),
                          PROCESS("cpu_usage_percent", .form = TALLY_FORM_PERCENT,
                                  .help = "CPU use since the previous collection in percent"),
                          INFLUX("cpu_usage", TALLY_FORM_PERCENT),
                          COLLECTD("percent", "cpu", 0, TALLY_FORM_PERCENT)},
    [METRIC_RSS] = {GAUGE("memory_rss", TALLY_UNIT_BYTES,
                          "Resident memory, shared pages counted once for each process"),
                    NATIVE("memory_rss_bytes"),
                    PE("memory_bytes", "memtype", "resident", .help = "Memory in use, by type"),
                    PROCESS("memory_rss_bytes"), INFLUX("memory_rss"), COLLECTD("ps_rss", "")},
    [METRIC_RESIDENT] = {GAUGE("memory_resident", TALLY_UNIT_BYTES,
                               "Resident memory, shared pages counted once for each process"),
                         PROCESS("resident_memory_bytes")},
    [METRIC_RSS_PEAK] = {GAUGE("memory_rss_peak", TALLY_UNIT_BYTES,
                               "Highest resident memory that one of the processes has had"),
                         IF(MEMORY_DETAILS), READ(STATUS), NATIVE("memory_rss_peak_bytes"),
                         INFLUX("memory_rss_peak"), COLLECTD("memory", "rss_peak")},
    [METRIC_VMS] = {GAUGE("memory_vms", TALLY_UNIT_BYTES, "Virtual memory"),
                    NATIVE("memory_vms_bytes"), PE("memory_bytes", "memtype", "virtual"),
                    PROCESS("memory_vms_bytes"), INFLUX("memory_vms"), COLLECTD("ps_vm", "")},
    [METRIC_SWAP] = {GAUGE("memory_swap", TALLY_UNIT_BYTES, "Memory swapped out"), READ(STATUS),
                     NATIVE("memory_swap_bytes"), PE("memory_bytes", "memtype", "swapped"),
                     INFLUX("memory_swap"), COLLECTD("memory", "swap")},
    [METRIC_PSS] = {GAUGE("memory_pss", TALLY_UNIT_BYTES,
                          "Proportional set size: each shared page divided by its users"),
                    IF(PSS), READ(PSS),
                    NATIVE("memory_pss_bytes"),
                    PE("memory_bytes", "memtype", "proportionalResident"), INFLUX("memory_pss"),
                    COLLECTD("memory", "pss")},
    [METRIC_SWAP_PSS] = {GAUGE("memory_swap_pss", TALLY_UNIT_BYTES,
                               "Memory swapped out, each shared page divided by its users"),
                         IF(PSS), READ(PSS),
                         NATIVE("memory_swap_pss_bytes"),
                         PE("memory_bytes", "memtype", "proportionalSwapped"),
                         INFLUX("memory_swap_pss"), COLLECTD("memory", "swap_pss")},
    [METRIC_PSS_AGE] = {GAUGE("memory_pss_age", TALLY_UNIT_NS,
                              "How long ago the oldest part of the PSS was read"),
                        IF(PSS), READ(PSS),
                        NATIVE("memory_pss_age_seconds"), INFLUX("memory_pss_age"),
                        COLLECTD("duration", "memory_pss_age")},
    [METRIC_FOOTPRINT] = {GAUGE("memory_footprint", TALLY_UNIT_BYTES,
                                "Private memory: anonymous resident and swapped pages"),
                          READ(STATUS),
                          NATIVE("memory_footprint_bytes"), PROCESS("phys_footprint_bytes"),
                          INFLUX("memory_footprint"), COLLECTD("memory", "footprint")},
    [METRIC_DATA] = {GAUGE("memory_data", TALLY_UNIT_BYTES, "Size of the data segments"),
                     READ(STATUS),
                     NATIVE("memory_data_bytes"), INFLUX("memory_data"), COLLECTD("ps_data", "")},
    [METRIC_STACK] = {GAUGE("memory_stack", TALLY_UNIT_BYTES, "Size of the main threads' stacks"),
                      READ(STATUS),
                      NATIVE("memory_stack_bytes"), INFLUX("memory_stack"),
                      COLLECTD("ps_stacksize", "")},
    [METRIC_CODE] = {GAUGE("memory_code", TALLY_UNIT_BYTES, "Size of executable code and libraries"),
                     READ(STATUS),
                     NATIVE("memory_code_bytes"), INFLUX("memory_code"), COLLECTD("ps_code", "")},
    [METRIC_MEMORY_USAGE] = {GAUGE("memory_usage", TALLY_UNIT_RATIO,
                                   "Resident memory by the memory of the host"),
                             IF(MEMORY_DETAILS), NATIVE("memory_usage_ratio"),
                             INFLUX("memory_usage", TALLY_FORM_PERCENT),
                             COLLECTD("percent", "memory", 0, TALLY_FORM_PERCENT)},
    [METRIC_SHARED] = {GAUGE("memory_shared", TALLY_UNIT_BYTES,
                             "Resident memory that others can have too: files and shared memory, "
                             "counted once for each process"),
                       IF(MEMORY_DETAILS), READ(STATUS), NATIVE("memory_shared_bytes"),
                       INFLUX("memory_shared"), COLLECTD("memory", "shared")},
    [METRIC_SHMEM] = {GAUGE("memory_shmem", TALLY_UNIT_BYTES,
                            "Resident shared memory that is of no file, counted once for each "
                            "process"),
                      IF(MEMORY_DETAILS), READ(STATUS), NATIVE("memory_shmem_bytes"),
                      INFLUX("memory_shmem"), COLLECTD("memory", "shmem")},
    [METRIC_LOCKED] = {GAUGE("memory_locked", TALLY_UNIT_BYTES,
                             "Memory that may not be swapped out, by mlock(2)"),
                       IF(MEMORY_DETAILS), READ(STATUS), NATIVE("memory_locked_bytes"),
                       INFLUX("memory_locked"), COLLECTD("memory", "locked")},
    [METRIC_PAGE_TABLES] = {GAUGE("memory_page_tables", TALLY_UNIT_BYTES,
                                  "Memory of the kernel's that the page tables take"),
                            IF(MEMORY_DETAILS), READ(STATUS), NATIVE("memory_page_tables_bytes"),
                            INFLUX("memory_page_tables"), COLLECTD("memory", "page_tables")},
    [METRIC_WORST_MAPPINGS] = {GAUGE("worst_mappings", TALLY_UNIT_COUNT,
                                     "Most memory mappings that one of the processes has; its "
                                     "limit is the sysctl vm.max_map_count"),
                               IF(MEMORY_DETAILS), BY_BPF, NATIVE("worst_mappings"),
                               INFLUX("worst_mappings"), COLLECTD("gauge", "worst_mappings")},
    [METRIC_WORST_OOM_SCORE] = {GAUGE("worst_oom_score", TALLY_UNIT_COUNT,
                                      "Highest score by which the kernel chooses whom to kill for "
                                      "want of memory"),
                                IF(MEMORY_DETAILS), READ(STATUS), NATIVE("worst_oom_score"),
                                INFLUX("worst_oom_score"), COLLECTD("gauge", "worst_oom_score")},
    [METRIC_OPEN_FDS] = {GAUGE("open_fds", TALLY_UNIT_COUNT, "Open file descriptors"),
                         IF(FDS), READ(FD),
                         NATIVE("open_fds"), PE("open_filedesc"), PROCESS("open_fds"),
                         INFLUX("num_fds"), COLLECTD("file_handles", "")},
    [METRIC_WORST_FD_RATIO] = {GAUGE("worst_fd_ratio", TALLY_UNIT_RATIO,
                                     "Open file descriptors by the soft limit, of the process "
                                     "that is nearest to it"), IF(FDS), READ_BOTH(FD, LIMITS),
                               NATIVE("worst_fd_ratio"), PE("worst_fd_ratio"),
                               INFLUX("worst_fd_ratio"),
                               COLLECTD("percent", "worst_fd", 0, TALLY_FORM_PERCENT)},
    TCP_STATE(METRIC_TCP_ESTABLISHED, "established"),
    TCP_STATE(METRIC_TCP_SYN_SENT, "syn_sent"),
    TCP_STATE(METRIC_TCP_FIN_WAIT1, "fin_wait1"),
    TCP_STATE(METRIC_TCP_FIN_WAIT2, "fin_wait2"),
    TCP_STATE(METRIC_TCP_CLOSE, "close", BY_BPF),
    TCP_STATE(METRIC_TCP_CLOSE_WAIT, "close_wait"),
    TCP_STATE(METRIC_TCP_LAST_ACK, "last_ack"),
    TCP_STATE(METRIC_TCP_LISTEN, "listen"),
    TCP_STATE(METRIC_TCP_CLOSING, "closing"),
    SOCKETS_OF(METRIC_UDP_SOCKETS, "udp_sockets",
               "UDP sockets with a port that processes have open; each counts once for the group",
               NATIVE("udp_sockets"), INFLUX("udp_socket"), COLLECTD("gauge", "udp_sockets")),
    SOCKETS_OF(METRIC_UNIX_SOCKETS, "unix_sockets",
               "Local (unix) sockets that processes have open; each counts once for the group",
               NATIVE("unix_sockets"), INFLUX("unix_socket"), COLLECTD("gauge", "unix_sockets")),
    [METRIC_DISK_READ] = {COUNTER("disk_read", TALLY_UNIT_BYTES, "Bytes fetched from storage"),
                          IF(IO), READ(IO),
                          NATIVE("disk_read_bytes_total"), PE("read_bytes_total"),
                          PROCESS("diskio_bytes_read_total"), INFLUX("disk_read_bytes"),
                          COLLECTD("disk_octets", "", 0)},
    [METRIC_DISK_WRITTEN] = {COUNTER("disk_written", TALLY_UNIT_BYTES, "Bytes to be sent to storage"),
                             IF(IO), READ(IO),
                             NATIVE("disk_written_bytes_total"), PE("write_bytes_total"),
                             PROCESS("diskio_bytes_write_total"), INFLUX("disk_write_bytes"),
                             COLLECTD("disk_octets", "", 1)},
    [METRIC_IO_READ] = {COUNTER("io_read", TALLY_UNIT_BYTES,
                                "Bytes that read calls returned, cached and non-file ones too"),
                        IF(IO), READ(IO),
                        NATIVE("io_read_bytes_total"), INFLUX("read_bytes"),
                        COLLECTD("io_octets", "", 0)},
    [METRIC_IO_WRITTEN] = {COUNTER("io_written", TALLY_UNIT_BYTES,
                                   "Bytes that write calls took, cached and non-file ones too"),
                           IF(IO), READ(IO),
                           NATIVE("io_written_bytes_total"), INFLUX("write_bytes"),
                           COLLECTD("io_octets", "", 1)},
    [METRIC_IO_READS] = {COUNTER("io_reads", TALLY_UNIT_COUNT, SYSCALLS), IF(IO), READ(IO),
                         NATIVE("io_syscalls_total", "op", "read"), INFLUX("read_count"),
                         COLLECTD("io_ops", "", 0)},
    [METRIC_IO_WRITES] = {COUNTER("io_writes", TALLY_UNIT_COUNT, SYSCALLS), IF(IO), READ(IO),
                          NATIVE("io_syscalls_total", "op", "write"), INFLUX("write_count"),
                          COLLECTD("io_ops", "", 1)},
    [METRIC_SWITCHES] = {COUNTER("context_switches", TALLY_UNIT_COUNT, SWITCHES),
                         IF(CONTEXT_SWITCHES), READ(SCHED),
                         PROCESS("context_switches_total")},
    [METRIC_SWITCHES_VOLUNTARY] =
        {COUNTER("context_switches_voluntary", TALLY_UNIT_COUNT, SWITCHES),
         IF(CONTEXT_SWITCHES), READ(SCHED),
         NATIVE("context_switches_total", "type", "voluntary"),
         PE("context_switches_total", "ctxswitchtype", "voluntary"),
         INFLUX("voluntary_context_switches"), COLLECTD("contextswitch", "voluntary")},
    [METRIC_SWITCHES_INVOLUNTARY] =
        {COUNTER("context_switches_involuntary", TALLY_UNIT_COUNT, SWITCHES),
         IF(CONTEXT_SWITCHES), READ(SCHED),
         NATIVE("context_switches_total", "type", "involuntary"),
         PE("context_switches_total", "ctxswitchtype", "nonvoluntary"),
         INFLUX("involuntary_context_switches"), COLLECTD("contextswitch", "involuntary")},
    [METRIC_FAULTS] = {COUNTER("page_faults", TALLY_UNIT_COUNT, FAULTS), PROCESS("faults_total")},
    [METRIC_FAULTS_MINOR] = {COUNTER("page_faults_minor", TALLY_UNIT_COUNT, FAULTS),
                             NATIVE("page_faults_total", "type", "minor"),
                             PE("minor_page_faults_total"), INFLUX("minor_faults"),
                             COLLECTD("ps_pagefaults", "", 0)},
    [METRIC_FAULTS_MAJOR] = {COUNTER("page_faults_major", TALLY_UNIT_COUNT, FAULTS),
                             NATIVE("page_faults_total", "type", "major"),
                             PE("major_page_faults_total"), PROCESS("pageins_total"),
                             INFLUX("major_faults"), COLLECTD("ps_pagefaults", "", 1)},
    [METRIC_RUN_QUEUE_WAIT] = {COUNTER("run_queue_wait", TALLY_UNIT_NS,
                                       "Time that runnable threads waited for a CPU"),
                               IF(DELAYS), READ(SCHED),
                               NATIVE("run_queue_wait_seconds_total"), INFLUX("run_queue_wait"),
                               COLLECTD("derive", "run_queue_wait_us", 0, TALLY_FORM_MICROSECONDS)},
    [METRIC_BLKIO_DELAY] = {COUNTER("blkio_delay", TALLY_UNIT_NS,
                                    "Time that threads waited for block I/O (needs the sysctl "
                                    "kernel.task_delayacct)"),
                            IF(DELAYS), READ(SCHED), NEEDS("the sysctl kernel.task_delayacct=1"),
                            NATIVE("blkio_delay_seconds_total"), INFLUX("blkio_delay"),
                            COLLECTD("derive", "blkio_delay_us", 0, TALLY_FORM_MICROSECONDS)},
    TRAFFIC(METRIC_RECEIVED_BYTES, "receive_bytes", TALLY_UNIT_BYTES,
            "Bytes received, from the IP header on; on macOS the payload", "recv_bytes",
            "if_octets", 0),
    TRAFFIC(METRIC_RECEIVED_PACKETS, "receive_packets", TALLY_UNIT_COUNT, "Packets received",
            "recv_packets", "if_packets", 0),
    TRAFFIC(METRIC_TRANSMITTED_BYTES, "transmit_bytes", TALLY_UNIT_BYTES,
            "Bytes sent, from the IP header on; on macOS the payload", "sent_bytes", "if_octets",
            1),
    TRAFFIC(METRIC_TRANSMITTED_PACKETS, "transmit_packets", TALLY_UNIT_COUNT, "Packets sent",
            "sent_packets", "if_packets", 1),
    TRAFFIC_SUM(METRIC_RECEIVED_BYTES, "receive_bytes", TALLY_UNIT_BYTES,
                "Bytes received, from the IP header on; on macOS the payload"),
    TRAFFIC_SUM(METRIC_RECEIVED_PACKETS, "receive_packets", TALLY_UNIT_COUNT, "Packets received"),
    TRAFFIC_SUM(METRIC_TRANSMITTED_BYTES, "transmit_bytes", TALLY_UNIT_BYTES,
                "Bytes sent, from the IP header on; on macOS the payload"),
    TRAFFIC_SUM(METRIC_TRANSMITTED_PACKETS, "transmit_packets", TALLY_UNIT_COUNT, "Packets sent"),
    OF_CGROUP(METRIC_CGROUP_CPU_PERIODS, "cgroup_cpu_periods", COUNTER, TALLY_UNIT_COUNT,
              "Periods of its CPU limit in which the control group had something to run",
              NATIVE("cgroup_cpu_periods_total"), COLLECTD("derive", "cgroup_cpu_periods")),
    OF_CGROUP(METRIC_CGROUP_CPU_THROTTLED_PERIODS, "cgroup_cpu_throttled_periods", COUNTER,
              TALLY_UNIT_COUNT, "Periods in which the control group was held up by its CPU limit",
              NATIVE("cgroup_cpu_throttled_periods_total"),
              COLLECTD("derive", "cgroup_cpu_throttled_periods")),
    OF_CGROUP(METRIC_CGROUP_CPU_THROTTLED, "cgroup_cpu_throttled", COUNTER, TALLY_UNIT_NS,
              "Time that the control group was held up by its CPU limit",
              NATIVE("cgroup_cpu_throttled_seconds_total"),
              COLLECTD("derive", "cgroup_cpu_throttled_us", 0, TALLY_FORM_MICROSECONDS)),
    PRESSURE(METRIC_CGROUP_CPU_PRESSURE, "cpu", "a CPU"),
    PRESSURE(METRIC_CGROUP_MEMORY_PRESSURE, "memory", "memory"),
    PRESSURE(METRIC_CGROUP_IO_PRESSURE, "io", "I/O"),
    MEMORY_EVENT(METRIC_CGROUP_MEMORY_EVENTS_HIGH, "high"),
    MEMORY_EVENT(METRIC_CGROUP_MEMORY_EVENTS_MAX, "max"),
    MEMORY_EVENT(METRIC_CGROUP_MEMORY_EVENTS_OOM, "oom"),
    MEMORY_EVENT(METRIC_CGROUP_MEMORY_EVENTS_OOM_KILL, "oom_kill"),
    OF_CGROUP(METRIC_CGROUP_MEMORY, "cgroup_memory", GAUGE, TALLY_UNIT_BYTES,
              "Memory that is charged to the control group, page cache included",
              NATIVE("cgroup_memory_bytes"), COLLECTD("memory", "cgroup")),
    OF_CGROUP(METRIC_CGROUP_SWAP, "cgroup_swap", GAUGE, TALLY_UNIT_BYTES,
              "Swap space that is charged to the control group",
              NATIVE("cgroup_swap_bytes"), COLLECTD("memory", "cgroup_swap")),
    OF_CGROUP(METRIC_CGROUP_PIDS, "cgroup_pids", GAUGE, TALLY_UNIT_COUNT,
              "Processes and threads in the control group",
              NATIVE("cgroup_pids"), COLLECTD("gauge", "cgroup_pids")),
    OF_CGROUP(METRIC_CGROUP_MEMORY_PEAK, "cgroup_memory_peak", GAUGE, TALLY_UNIT_BYTES,
              "Most memory that was charged to the control group so far",
              NATIVE("cgroup_memory_peak_bytes"), COLLECTD("memory", "cgroup_peak")),
    OF_CGROUP(METRIC_CGROUP_MEMORY_LIMIT, "cgroup_memory_limit", GAUGE, TALLY_UNIT_BYTES,
              "Most memory that may be charged to the control group; absent without a limit",
              NATIVE("cgroup_memory_limit_bytes"), COLLECTD("memory", "cgroup_limit")),
    OF_CGROUP(METRIC_CGROUP_CPU_LIMIT, "cgroup_cpu_limit", GAUGE, TALLY_UNIT_RATIO,
              "Most CPUs that the control group may use at a time (1 is one CPU); absent without a limit",
              NATIVE("cgroup_cpu_limit_ratio"), COLLECTD("gauge", "cgroup_cpu_limit")),
    OF_CGROUP(METRIC_CGROUP_PIDS_LIMIT, "cgroup_pids_limit", GAUGE, TALLY_UNIT_COUNT,
              "Most processes and threads in the control group; absent without a limit",
              NATIVE("cgroup_pids_limit"), COLLECTD("gauge", "cgroup_pids_limit")),
    [METRIC_SWITCHES_UNSPLIT] = {COUNTER("context_switches_unsplit", TALLY_UNIT_COUNT, SWITCHES),
                                 IF(CONTEXT_SWITCHES), READ(STATUS), ON_MACOS,
                                 NATIVE("context_switches_total", "type", "any"),
                                 INFLUX("context_switches"), COLLECTD("contextswitch", "any")},
    [METRIC_SYSCALLS_UNIX] = {COUNTER("syscalls_unix", TALLY_UNIT_COUNT, "System calls made"),
                              READ(STATUS), ON_MACOS,
                              NATIVE("system_calls_total", "kind", "unix"),
                              PROCESS("syscalls_unix_total"), INFLUX("syscalls_unix"),
                              COLLECTD("derive", "syscalls_unix")},
    [METRIC_SYSCALLS_MACH] = {COUNTER("syscalls_mach", TALLY_UNIT_COUNT, "System calls made"),
                              READ(STATUS), ON_MACOS,
                              NATIVE("system_calls_total", "kind", "mach"),
                              PROCESS("syscalls_mach_total"), INFLUX("syscalls_mach"),
                              COLLECTD("derive", "syscalls_mach")},
    [METRIC_MESSAGES_SENT] = {COUNTER("messages_sent", TALLY_UNIT_COUNT, "Mach messages sent"),
                              READ(STATUS), ON_MACOS, NATIVE("messages_sent_total"),
                              PROCESS("messages_sent_total"), INFLUX("messages_sent"),
                              COLLECTD("derive", "messages_sent")},
    [METRIC_MESSAGES_RECEIVED] = {COUNTER("messages_received", TALLY_UNIT_COUNT,
                                          "Mach messages received"),
                                  READ(STATUS), ON_MACOS, NATIVE("messages_received_total"),
                                  PROCESS("messages_received_total"), INFLUX("messages_received"),
                                  COLLECTD("derive", "messages_received")},
    [METRIC_COW_FAULTS] = {COUNTER("cow_faults", TALLY_UNIT_COUNT,
                                   "Page faults that copied a page, which are minor ones"),
                           READ(STATUS), ON_MACOS, NATIVE("cow_faults_total"),
                           PROCESS("cow_faults_total"), INFLUX("cow_faults"),
                           COLLECTD("derive", "cow_faults")},
    [METRIC_INSTRUCTIONS] = {COUNTER("instructions", TALLY_UNIT_COUNT, "Instructions executed"),
                             READ(STATUS), ON_MACOS, NATIVE("instructions_total"),
                             INFLUX("instructions"), COLLECTD("derive", "instructions")},
    [METRIC_CYCLES] = {COUNTER("cycles", TALLY_UNIT_COUNT, "Cycles of CPUs"),
                       READ(STATUS), ON_MACOS, NATIVE("cycles_total"),
                       INFLUX("cycles"), COLLECTD("derive", "cycles")},
    [METRIC_ENERGY] = {COUNTER("energy", TALLY_UNIT_COUNT, "Energy used by CPUs, in nanojoules"),
                       READ(STATUS), ON_MACOS, NATIVE("energy_nanojoules_total"),
                       INFLUX("energy_nj"), COLLECTD("derive", "energy_nj")},
    [METRIC_START_TIME] = {GAUGE("start_time", TALLY_UNIT_UNIX_NS,
                                 "When the oldest process of the group started, since 1970"),
                           NATIVE("start_time_seconds"), PE("oldest_start_time_seconds"),
                           PROCESS("start_time_seconds"), INFLUX("created_at", TALLY_FORM_WHOLE_NS),
                           COLLECTD("uptime", "", 0, TALLY_FORM_UPTIME)},
    [METRIC_PRIORITY] = {GAUGE("priority", TALLY_UNIT_SIGNED,
                               "Most favoured scheduling priority in the group: the lowest "
                               "number; on macOS the highest"),
                         NATIVE("priority"), PROCESS("priority"), INFLUX("priority"),
                         COLLECTD("gauge", "priority")},
    [METRIC_NICE] = {GAUGE("nice", TALLY_UNIT_SIGNED, "Lowest (most favoured) nice value in the group"),
                     NATIVE("nice"), INFLUX("nice"), COLLECTD("gauge", "nice")},
    [METRIC_STARTS] = {COUNTER("starts", TALLY_UNIT_COUNT, "Processes that were seen to join by starting"),
                       NATIVE("process_starts_total"), INFLUX("starts"),
                       COLLECTD("derive", "starts")},
    [METRIC_EXITS] = {COUNTER("exits", TALLY_UNIT_COUNT, "Processes of the group that were seen to end"),
                      NATIVE("process_exits_total"), INFLUX("exits"), COLLECTD("derive", "exits")},
    EXITS_BY(METRIC_EXITS_OK, "ok"),
    EXITS_BY(METRIC_EXITS_ERROR, "error"),
    EXITS_BY(METRIC_EXITS_SIGNAL, "signal"),
    EXITS_BY(METRIC_EXITS_CORE, "core"),
    EXITS_BY(METRIC_EXITS_OOM, "oom"),
    [METRIC_UNREADABLE] = {GAUGE("unreadable", TALLY_UNIT_COUNT,
                                 "Processes of which something could not be read"),
                           INFLUX("unreadable")},
    REFUSED(METRIC_UNREADABLE_STATUS, "status", "status"),
    REFUSED(METRIC_UNREADABLE_IO, "io", "io", IF(IO)),
    REFUSED(METRIC_UNREADABLE_FD, "fd", "fd", IF(FDS)),
    REFUSED(METRIC_UNREADABLE_LIMITS, "limits", "limits", IF(FDS)),
    REFUSED(METRIC_UNREADABLE_SCHED, "sched", "sched", IF_EITHER(CONTEXT_SWITCHES, DELAYS)),
    REFUSED(METRIC_UNREADABLE_PSS, "smaps_rollup", "smaps_rollup", IF(PSS)),
    REFUSED(METRIC_UNREADABLE_IDENTITY, "identity", "identity",
            NEEDS("a rule or a group-by that asks for more than the name")),
    REFUSED(METRIC_UNREADABLE_SOCKETS, "sockets", "sockets", IF(SOCKETS)),

    [METRIC_SELF_DURATION] = {GAUGE("collection_duration", TALLY_UNIT_NS,
                                    "How long the last finished collection took"),
                              ABOUT_SELF("collection_duration_seconds", "duration")},
    [METRIC_SELF_CPU] = {GAUGE("collection_cpu", TALLY_UNIT_NS,
                               "CPU time that the last finished collection took"),
                         ABOUT_SELF("collection_cpu_seconds", "duration")},
    [METRIC_SELF_PROCESSES] = {GAUGE("processes_seen", TALLY_UNIT_COUNT,
                                     "Processes seen, filtered ones included"),
                               ABOUT_SELF("processes_seen", "gauge")},
    [METRIC_SELF_HIDDEN] = {GAUGE("processes_hidden", TALLY_UNIT_COUNT,
                                  "Processes listed that may not be read at all (hidepid)"),
                            ABOUT_SELF("processes_hidden", "gauge")},
    [METRIC_SELF_VANISHED] = {COUNTER("processes_vanished", TALLY_UNIT_COUNT,
                                      "Processes that ended while they were being read"),
                              ABOUT_SELF_TOTAL("processes_vanished")},
    [METRIC_SELF_PARTIAL] = {GAUGE("partial_visibility", TALLY_UNIT_COUNT,
                                   "1 if the mount options of /proc hide processes from us"),
                             ABOUT_SELF("partial_visibility", "gauge")},
    [METRIC_SELF_GROUPS] = {GAUGE("groups", TALLY_UNIT_COUNT, "Groups shown"),
                            ABOUT_SELF("groups", "gauge")},
    [METRIC_SELF_OVERFLOWED] = {COUNTER("groups_overflowed", TALLY_UNIT_COUNT,
                                        "Group names that did not fit (max-groups) and were "
                                        "counted in the group other"),
                                ABOUT_SELF_TOTAL("groups_overflowed")},
    [METRIC_SELF_COVERAGE] = {GAUGE("cpu_coverage", TALLY_UNIT_RATIO,
                                    "CPU time found in processes by the host's, since the "
                                    "previous collection"),
                              ABOUT_SELF("cpu_coverage_ratio", "gauge")},
    [METRIC_SELF_LOST_EVENTS] = {COUNTER("lost_events", TALLY_UNIT_COUNT,
                                         "Events that the kernel had to drop"), BY_BPF,
                                 ABOUT_SELF_TOTAL("lost_events")},
    [METRIC_SELF_THREADS_SKIPPED] = {COUNTER("threads_skipped", TALLY_UNIT_COUNT,
                                             "Threads not read because the budget was used up"),
                                     ABOUT_SELF_TOTAL("threads_skipped")},
    [METRIC_SELF_PATTERN_LIMITS] = {COUNTER("pattern_limits", TALLY_UNIT_COUNT,
                                            "Matches given up because a regular expression took "
                                            "too many steps"),
                                    ABOUT_SELF_TOTAL("pattern_limits")},
    [METRIC_SELF_CMDLINES_CUT] = {COUNTER("cmdlines_cut", TALLY_UNIT_COUNT,
                                          "Command lines of which only the first 64 KiB were used"),
                                  ABOUT_SELF_TOTAL("cmdlines_cut")},
    [METRIC_SELF_STATE_FAILURES] = {COUNTER("state_failures", TALLY_UNIT_COUNT,
                                            "Times that the state file could not be saved"),
                                    NEEDS("state-file"),
                                    ABOUT_SELF_TOTAL("state_failures")},
    [METRIC_SELF_SOURCE_PROCFS] = {GAUGE("source_procfs", TALLY_UNIT_COUNT, SOURCE), SELF,
                                   NATIVE("source", "source", "procfs"),
                                   INFLUX("source_procfs"), COLLECTD("gauge", "source_procfs")},
    [METRIC_SELF_SOURCE_BPF] = {GAUGE("source_bpf", TALLY_UNIT_COUNT, SOURCE), SELF,
                                NATIVE("source", "source", "bpf"), INFLUX("source_bpf"),
                                COLLECTD("gauge", "source_bpf")},
    [METRIC_SELF_SOURCE_DARWIN] = {GAUGE("source_darwin", TALLY_UNIT_COUNT, SOURCE), SELF,
                                   ON_MACOS, NATIVE("source", "source", "darwin"),
                                   INFLUX("source_darwin"), COLLECTD("gauge", "source_darwin")},

    HOST(METRIC_HOST_UPTIME, "uptime", GAUGE, TALLY_UNIT_NS, "Time since the host booted"),
    HOST(METRIC_HOST_LOAD_1, "load_1", GAUGE, TALLY_UNIT_RATIO, LOAD "minute"),
    HOST(METRIC_HOST_LOAD_5, "load_5", GAUGE, TALLY_UNIT_RATIO, LOAD "5 minutes"),
    HOST(METRIC_HOST_LOAD_15, "load_15", GAUGE, TALLY_UNIT_RATIO, LOAD "15 minutes"),
    HOST(METRIC_HOST_USERS, "users", GAUGE, TALLY_UNIT_COUNT, "Sessions of users who are logged in"),
    HOST(METRIC_HOST_CPUS, "cpus", GAUGE, TALLY_UNIT_COUNT, "Logical CPUs online"),
    HOST_CPU(METRIC_HOST_CPU_USER, "user"),
    HOST_CPU(METRIC_HOST_CPU_NICE, "nice"),
    HOST_CPU(METRIC_HOST_CPU_SYSTEM, "system"),
    HOST_CPU(METRIC_HOST_CPU_IDLE, "idle"),
    HOST_CPU(METRIC_HOST_CPU_IOWAIT, "iowait"),
    HOST_CPU(METRIC_HOST_CPU_IRQ, "irq"),
    HOST_CPU(METRIC_HOST_CPU_SOFTIRQ, "softirq"),
    HOST_CPU(METRIC_HOST_CPU_STEAL, "steal"),
    HOST_MEMORY(METRIC_HOST_MEMORY_TOTAL, "memory_total", "Memory of the host"),
    HOST_MEMORY(METRIC_HOST_MEMORY_FREE, "memory_free", "Memory that nothing uses"),
    HOST_MEMORY(METRIC_HOST_MEMORY_AVAILABLE, "memory_available",
                "Memory that programs can have without swapping"),
    HOST_MEMORY(METRIC_HOST_MEMORY_BUFFERS, "memory_buffers", "Buffers of block devices"),
    HOST_MEMORY(METRIC_HOST_MEMORY_CACHED, "memory_cached", "Contents of files, and shared memory"),
    HOST_MEMORY(METRIC_HOST_SWAP_TOTAL, "swap_total", "Swap space of the host"),
    HOST_MEMORY(METRIC_HOST_SWAP_FREE, "swap_free", "Swap space that nothing uses"),
    HOST(METRIC_HOST_TASKS, "tasks", GAUGE, TALLY_UNIT_COUNT, "Processes of the host"),
    HOST(METRIC_HOST_THREADS, "threads", GAUGE, TALLY_UNIT_COUNT, "Threads of these processes"),
    HOST_STATE(METRIC_HOST_TASKS_RUNNING, "running"),
    HOST_STATE(METRIC_HOST_TASKS_SLEEPING, "sleeping"),
    HOST_STATE(METRIC_HOST_TASKS_DISK_SLEEP, "disk_sleep"),
    HOST_STATE(METRIC_HOST_TASKS_STOPPED, "stopped"),
    HOST_STATE(METRIC_HOST_TASKS_ZOMBIE, "zombie"),
    HOST_STATE(METRIC_HOST_TASKS_IDLE, "idle"),

    [METRIC_THREAD_COUNT] = {OF_THREADS(GAUGE, "count", TALLY_UNIT_COUNT, "Threads of this name"),
                             NATIVE("thread_count"), PE("thread_count"), INFLUX("num_threads"),
                             COLLECTD("threads", "thread")},
    [METRIC_THREAD_CPU_USER] = {OF_THREADS(COUNTER, "cpu_user", TALLY_UNIT_NS, THREAD_CPU),
                                NATIVE("thread_cpu_seconds_total", "mode", "user"),
                                PE("thread_cpu_seconds_total", "mode", "user"),
                                INFLUX("cpu_time_user"),
                                COLLECTD("ps_cputime", "thread", 0, TALLY_FORM_MICROSECONDS)},
    [METRIC_THREAD_CPU_SYSTEM] = {OF_THREADS(COUNTER, "cpu_system", TALLY_UNIT_NS, THREAD_CPU),
                                  NATIVE("thread_cpu_seconds_total", "mode", "system"),
                                  PE("thread_cpu_seconds_total", "mode", "system"),
                                  INFLUX("cpu_time_system"),
                                  COLLECTD("ps_cputime", "thread", 1, TALLY_FORM_MICROSECONDS)},
    [METRIC_THREAD_DISK_READ] = {OF_THREADS(COUNTER, "disk_read", TALLY_UNIT_BYTES,
                                            "Bytes that threads of this name fetched from storage"),
                                 ALSO_IF(IO), READ(IO), NATIVE("thread_disk_read_bytes_total"),
                                 PE("thread_io_bytes_total", "iomode", "read",
                                    .help = "Bytes that threads of this name read and wrote"),
                                 INFLUX("disk_read_bytes"), COLLECTD("disk_octets", "thread", 0)},
    [METRIC_THREAD_DISK_WRITTEN] = {OF_THREADS(COUNTER, "disk_written", TALLY_UNIT_BYTES,
                                               "Bytes that threads of this name sent to storage"),
                                    ALSO_IF(IO), READ(IO),
                                    NATIVE("thread_disk_written_bytes_total"),
                                    PE("thread_io_bytes_total", "iomode", "write"),
                                    INFLUX("disk_write_bytes"),
                                    COLLECTD("disk_octets", "thread", 1)},
    [METRIC_THREAD_FAULTS_MINOR] = {OF_THREADS(COUNTER, "page_faults_minor", TALLY_UNIT_COUNT,
                                               THREAD_FAULTS),
                                    NATIVE("thread_page_faults_total", "type", "minor"),
                                    PE("thread_minor_page_faults_total"), INFLUX("minor_faults"),
                                    COLLECTD("ps_pagefaults", "thread", 0)},
    [METRIC_THREAD_FAULTS_MAJOR] = {OF_THREADS(COUNTER, "page_faults_major", TALLY_UNIT_COUNT,
                                               THREAD_FAULTS),
                                    NATIVE("thread_page_faults_total", "type", "major"),
                                    PE("thread_major_page_faults_total"), INFLUX("major_faults"),
                                    COLLECTD("ps_pagefaults", "thread", 1)},
    [METRIC_THREAD_SWITCHES_VOLUNTARY] =
        {OF_THREADS(COUNTER, "context_switches_voluntary", TALLY_UNIT_COUNT, THREAD_SWITCHES),
         ALSO_IF(CONTEXT_SWITCHES), READ(SCHED),
         NATIVE("thread_context_switches_total", "type", "voluntary"),
         PE("thread_context_switches_total", "ctxswitchtype", "voluntary"),
         INFLUX("voluntary_context_switches"), COLLECTD("contextswitch", "voluntary_thread")},
    [METRIC_THREAD_SWITCHES_INVOLUNTARY] =
        {OF_THREADS(COUNTER, "context_switches_involuntary", TALLY_UNIT_COUNT, THREAD_SWITCHES),
         ALSO_IF(CONTEXT_SWITCHES), READ(SCHED),
         NATIVE("thread_context_switches_total", "type", "involuntary"),
         PE("thread_context_switches_total", "ctxswitchtype", "nonvoluntary"),
         INFLUX("involuntary_context_switches"), COLLECTD("contextswitch", "involuntary_thread")},
    [METRIC_WAIT_CHANNEL] = {GAUGE("threads_wchan", TALLY_UNIT_COUNT,
                                   "Threads that wait in this function of the kernel"),
                             .metric.scope = TALLY_SCOPE_WAIT_CHANNEL, IF(THREAD_NAMES),
                             NATIVE("threads_wchan"), PE("threads_wchan"), INFLUX("num_threads"),
                             COLLECTD("threads", "wchan")},
};

const struct part_row part_table[PARTS] = {
    [PART_THREAD_NAME] = {TALLY_SCOPE_THREAD_NAME, METRIC_THREAD_FIRST, METRIC_THREAD_LAST,
                          "threadname", "thread_name", "threads"},
    [PART_WAIT_CHANNEL] = {TALLY_SCOPE_WAIT_CHANNEL, METRIC_WAIT_CHANNEL, METRIC_WAIT_CHANNEL,
                           "wchan", "wchan", "wait_channels"},
};

_Static_assert(METRIC_HOST_CPU_STEAL - METRIC_HOST_CPU_USER + 1 == HOST_TIMES &&
                   METRIC_HOST_SWAP_FREE - METRIC_HOST_MEMORY_TOTAL + 1 == HOST_MEMORIES,
               "one row for each");
_Static_assert(METRIC_CGROUP_PIDS_LIMIT - METRIC_CGROUP_FIRST + 1 == (int)CGROUP_FIGURES,
               "one row for each figure");
_Static_assert(METRIC_EXITS_OK + (int)ENDINGS - (int)ENDING_OK - 1 == METRIC_EXITS_OOM,
               "one row for each way to end that can be known");
_Static_assert(METRIC_UNREADABLE_STATUS + (int)ORIGINS - 1 == METRIC_UNREADABLE_SOCKETS,
               "one row for each origin");
_Static_assert(METRIC_TCP_ESTABLISHED + (int)SOCKET_KINDS - 1 == METRIC_UNIX_SOCKETS,
               "one row for each kind of socket");

const struct tally_metric *tally_metric(size_t number) {
    return number < METRICS_IN_ALL ? &metric_table[number].metric : NULL;
}

int tally_metric_find(const char *id, size_t *ret_number) {
    for (size_t m = 0; m < METRICS_IN_ALL; m++)
        if (strcmp(metric_table[m].metric.id, id) == 0) {
            *ret_number = m;
            return 0;
        }
    return -ENOENT;
}

const struct tally_prometheus_name *tally_metric_prometheus(size_t metric,
                                                            enum tally_schema schema) {
    if (metric >= METRICS_IN_ALL || (unsigned)schema >= TALLY_SCHEMAS)
        return NULL;
    const struct metric_row *row = &metric_table[metric];
    if (row->metric.scope == TALLY_SCOPE_SELF)
        schema = TALLY_SCHEMA_NATIVE;
    return row->prometheus[schema].name ? &row->prometheus[schema] : NULL;
}

const struct tally_influx_name *tally_metric_influx(size_t metric) {
    return metric < METRICS_IN_ALL && metric_table[metric].influx.field ? &metric_table[metric].influx
                                                                 : NULL;
}

const struct tally_collectd_name *tally_metric_collectd(size_t metric) {
    return metric < METRICS_IN_ALL && metric_table[metric].collectd.type ? &metric_table[metric].collectd
                                                                  : NULL;
}
