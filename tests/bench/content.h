/* SPDX-License-Identifier: MIT */
/* What the files of a made-up process say. Shared by the tree of files
 * (synthetic.c) and the one in memory (memory.c). Each function writes at most
 * CONTENT_SIZE bytes and returns how many. */
#ifndef CONTENT_H
#define CONTENT_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CONTENT_SIZE 2048
#define CONTENT_FIRST_PID 1000u

static inline size_t content_stat(char *to, uint32_t pid, unsigned name, unsigned threads) {
    return (size_t)snprintf(
        to, CONTENT_SIZE,
        "%u (app-%u) S 1 %u %u 0 -1 4194304 %u 0 12 0 %u %u 0 0 20 0 %u 0 %u 233209856 3561 "
        "18446744073709551615 94371840 94896128 140732920755200 0 0 0 0 4096 134234626 0 0 0 17 1 "
        "0 0 0 0 0 95105024 95136768 108789760 140732920759296 140732920759327 140732920759327 "
        "140732920762337 0\n",
        pid, name, pid, pid, 2000 + pid % 977, 100 + pid % 89, 30 + pid % 31, threads,
        500 + pid % 400);
}

static inline size_t content_status(char *to, unsigned threads) {
    return (size_t)snprintf(
        to, CONTENT_SIZE,
        "Name:\tapp\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t1000\nNgid:\t0\nPid:\t1000\n"
        "PPid:\t1\nTracerPid:\t0\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\n"
        "FDSize:\t64\nGroups:\t4 20 24 27 1000 \nNStgid:\t1000\nNSpid:\t1000\nNSpgid:\t1000\n"
        "NSsid:\t1000\nKthread:\t0\nVmPeak:\t  227744 kB\nVmSize:\t  227744 kB\n"
        "VmLck:\t       0 kB\n"
        "VmPin:\t       0 kB\nVmHWM:\t   14244 kB\nVmRSS:\t   14244 kB\nRssAnon:\t    4820 kB\n"
        "RssFile:\t    9424 kB\nRssShmem:\t       0 kB\nVmData:\t   21580 kB\nVmStk:\t     132 kB\n"
        "VmExe:\t     512 kB\nVmLib:\t    9960 kB\nVmPTE:\t     112 kB\nVmSwap:\t       0 kB\n"
        "HugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\n"
        "untag_mask:\t0x7fffffffffffffff\n"
        "Threads:\t%u\nSigQ:\t0/96365\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000108014a07\n"
        "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
        "CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\n"
        "Seccomp_filters:\t0\nSpeculation_Store_Bypass:\tthread vulnerable\n"
        "SpeculationIndirectBranch:\tconditional enabled\nCpus_allowed:\tff\n"
        "Cpus_allowed_list:\t0-7\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
        "voluntary_ctxt_switches:\t15432\nnonvoluntary_ctxt_switches:\t78\n",
        threads);
}

/* `run` is how often the processes have run: what it reads goes up with it. */
static inline size_t content_io(char *to, uint64_t run) {
    return (size_t)snprintf(to, CONTENT_SIZE,
                            "rchar: %012llu\nwchar: %012llu\nsyscr: 4711\nsyscw: 815\n"
                            "read_bytes: 1232896\nwrite_bytes: 40960\ncancelled_write_bytes: 0\n",
                            (unsigned long long)(1937483 + run * 100),
                            (unsigned long long)(283746 + run * 10));
}

static inline size_t content_schedstat(char *to, uint64_t run) {
    return (size_t)snprintf(to, CONTENT_SIZE, "%012llu %012llu 15510\n",
                            (unsigned long long)(1873645362 + run * 50000),
                            (unsigned long long)(18374645 + run * 1000));
}

static inline size_t content_limits(char *to) {
    return (size_t)snprintf(
        to, CONTENT_SIZE,
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max cpu time              unlimited            unlimited            seconds   \n"
        "Max file size             unlimited            unlimited            bytes     \n"
        "Max processes             96365                96365                processes \n"
        "Max open files            1024                 524288               files     \n"
        "Max locked memory         8388608              8388608              bytes     \n");
}

static inline size_t content_cmdline(char *to, unsigned name, uint32_t pid, unsigned role) {
    int len = snprintf(to, CONTENT_SIZE,
                       "/usr/lib/app-%u/bin/server%c--config%c/etc/app/server.conf%c"
                       "--listen=127.0.0.1:%u%c--role=role%03u-x%c",
                       name, 0, 0, 0, 10000 + pid % 50000, 0, role, 0);
    return (size_t)len;
}

static inline size_t content_cgroup(char *to, unsigned name) {
    return (size_t)snprintf(to, CONTENT_SIZE, "0::/system.slice/app-%u.service\n", name);
}

static inline size_t content_host(char *to) {
    return (size_t)snprintf(to, CONTENT_SIZE,
                            "cpu  1000000 0 400000 90000000 1000 0 100 0 0 0\n"
                            "cpu0 500000 0 200000 45000000 500 0 50 0 0 0\n"
                            "cpu1 500000 0 200000 45000000 500 0 50 0 0 0\n"
                            "intr 1\nctxt 1\nbtime 1700000000\nprocesses 1\nprocs_running 1\n"
                            "procs_blocked 0\n");
}

#endif
