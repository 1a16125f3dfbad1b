/* SPDX-License-Identifier: MIT */
/* The calls themselves: the only file that needs Apple's headers, and that nothing but a Mac
 * can run. So there is as little in it as can be. */
#include "source/darwin/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/mach_time.h>
#include <stdlib.h>
#include <string.h>
#include <sys/proc.h>
#include <sys/proc_info.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#include <sys/ioctl.h>
#include <sys/kern_control.h>
#include <sys/socket.h>
#include <unistd.h>

/* The header for this one is not public. */
#define PIDUNIQIDENTIFIERINFO 17
struct unique_info {
    uint8_t uuid[16];
    uint64_t unique_id, parent_unique_id;
    int32_t version, parent_version;
    uint64_t reserved[2];
};

/* What these calls have been like since the first system that this is for. */
_Static_assert(sizeof(struct kinfo_proc) == 648, "sysctl kern.proc");
_Static_assert(sizeof(struct proc_taskallinfo) == 232, "PROC_PIDTASKALLINFO");
_Static_assert(sizeof(struct proc_bsdinfo) == 136 && sizeof(struct proc_taskinfo) == 96,
               "its two parts");
_Static_assert(sizeof(struct unique_info) == 56, "PROC_PIDUNIQIDENTIFIERINFO");
_Static_assert(sizeof(struct rusage_info_v4) == 296 && sizeof(struct rusage_info_v6) == 464,
               "proc_pid_rusage()");
_Static_assert(offsetof(struct rusage_info_v6, ri_runnable_time) ==
                   offsetof(struct rusage_info_v4, ri_runnable_time),
               "the later one begins like the earlier");
_Static_assert(sizeof(struct proc_fdinfo) == sizeof(struct darwin_fd) &&
                   offsetof(struct darwin_fd, type) == offsetof(struct proc_fdinfo, proc_fdtype),
               "descriptors go through as they are");

struct kernel {
    struct kinfo_proc *list;
    size_t size; /* in bytes */
    mach_port_t host;
    int rusage_version;
    int network_fd; /* -1: not asked for */
};

static void kernel_free(void *data) {
    struct kernel *k = data;
    free(k->list);
    mach_port_deallocate(mach_task_self(), k->host);
    if (k->network_fd >= 0)
        close(k->network_fd);
    free(k);
}

/* ---- The list ---------------------------------------------------------------------------- */

static uint64_t start_us(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void convert(const struct kinfo_proc *from, struct darwin_process *to) {
    const struct extern_proc *p = &from->kp_proc;
    const struct eproc *e = &from->kp_eproc;
    *to = (struct darwin_process){
        .pid = (uint32_t)p->p_pid,
        .ppid = (uint32_t)e->e_ppid,
        .start_us = start_us(p->p_starttime),
        .uid = e->e_ucred.cr_uid,
        .gid = e->e_ucred.cr_groups[0],
        .terminal = e->e_tdev == NODEV ? 0 : (uint32_t)e->e_tdev,
        .status = (uint8_t)p->p_stat,
        .nice = (int8_t)p->p_nice,
        .is_kernel = p->p_flag & P_SYSTEM,
        .leads_session = e->e_flag & EPROC_SLEADER,
        .in_foreground = e->e_tdev != NODEV && e->e_pgid == e->e_tpgid,
        .name_len = (uint8_t)strnlen(p->p_comm, sizeof(to->name)),
    };
    memcpy(to->name, p->p_comm, to->name_len);
}

/* Asked without room the kernel says how much it would take, with some to spare. */
static int read_list(struct kernel *k, size_t *ret_bytes) {
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_ALL};
    for (int attempt = 0; attempt < 10; attempt++) {
        size_t bytes = k->size;
        if (bytes && sysctl(name, 3, k->list, &bytes, NULL, 0) == 0) {
            *ret_bytes = bytes;
            return 0;
        }
        if (bytes && errno != ENOMEM)
            return -errno;
        if (sysctl(name, 3, NULL, &bytes, NULL, 0) < 0)
            return -errno;
        bytes += bytes / 4;
        struct kinfo_proc *list = realloc(k->list, bytes);
        if (!list)
            return -ENOMEM;
        k->list = list;
        k->size = bytes;
    }
    return -EAGAIN;
}

static ssize_t kernel_list(void *data, struct darwin_process *to, size_t room) {
    struct kernel *k = data;
    size_t bytes;
    int r = read_list(k, &bytes);
    if (r < 0)
        return r;
    size_t count = bytes / sizeof(*k->list);
    if (count > room)
        count = room;
    for (size_t i = 0; i < count; i++)
        convert(&k->list[i], &to[i]);
    return (ssize_t)count;
}

/* ---- One process --------------------------------------------------------------------------- */

/* The library returns how much was filled in: 0, with errno, for an error. */
static int info(uint32_t pid, int flavor, uint64_t arg, void *to, int size) {
    errno = 0;
    int n = proc_pidinfo((int)pid, flavor, arg, to, size);
    if (n == size)
        return 0;
    return errno ? -errno : -ESRCH;
}

static int kernel_task(void *data, uint32_t pid, struct darwin_task *ret) {
    struct proc_taskallinfo all;
    (void)data;
    int r = info(pid, PROC_PIDTASKALLINFO, 0, &all, sizeof(all));
    if (r < 0)
        return r;
    const struct proc_taskinfo *t = &all.ptinfo;
    *ret = (struct darwin_task){
        .start_us = all.pbsd.pbi_start_tvsec * 1000000 + all.pbsd.pbi_start_tvusec,
        .virtual_bytes = t->pti_virtual_size,
        .resident_bytes = t->pti_resident_size,
        .user_time = t->pti_total_user,
        .system_time = t->pti_total_system,
        .faults = t->pti_faults,
        .pageins = t->pti_pageins,
        .cow_faults = t->pti_cow_faults,
        .messages_sent = t->pti_messages_sent,
        .messages_received = t->pti_messages_received,
        .mach_calls = t->pti_syscalls_mach,
        .unix_calls = t->pti_syscalls_unix,
        .switches = t->pti_csw,
        .threads = t->pti_threadnum,
        .threads_running = t->pti_numrunning,
        .priority = t->pti_priority,
    };
    _Static_assert(sizeof(ret->name) == sizeof(all.pbsd.pbi_name), "a whole name");
    memcpy(ret->name, all.pbsd.pbi_name, sizeof(ret->name));
    return 0;
}

/* An older system knows only the fourth version. */
static int kernel_usage(void *data, uint32_t pid, struct darwin_usage *ret) {
    struct kernel *k = data;
    struct rusage_info_v6 u = {0};
    int r = proc_pid_rusage((int)pid, k->rusage_version, (rusage_info_t *)(void *)&u);
    if (r < 0 && errno == EINVAL && k->rusage_version != RUSAGE_INFO_V4) {
        k->rusage_version = RUSAGE_INFO_V4;
        r = proc_pid_rusage((int)pid, k->rusage_version, (rusage_info_t *)(void *)&u);
    }
    if (r < 0)
        return errno ? -errno : -ESRCH;
    *ret = (struct darwin_usage){
        .user_time = u.ri_user_time,
        .system_time = u.ri_system_time,
        .runnable_time = u.ri_runnable_time,
        .pageins = u.ri_pageins,
        .footprint_bytes = u.ri_phys_footprint,
        .child_user_time = u.ri_child_user_time,
        .child_system_time = u.ri_child_system_time,
        .child_pageins = u.ri_child_pageins,
        .disk_read_bytes = u.ri_diskio_bytesread,
        .disk_written_bytes = u.ri_diskio_byteswritten,
        .instructions = u.ri_instructions,
        .cycles = u.ri_cycles,
        .energy_nj = u.ri_energy_nj,
        .has_energy = k->rusage_version == RUSAGE_INFO_V6,
    };
    return 0;
}

static int kernel_unique(void *data, uint32_t pid, struct darwin_unique *ret) {
    struct unique_info unique;
    (void)data;
    int r = info(pid, PIDUNIQIDENTIFIERINFO, 1, &unique, sizeof(unique)); /* 1: zombies too */
    if (r == 0)
        *ret = (struct darwin_unique){unique.unique_id, (uint32_t)unique.version};
    return r;
}

static ssize_t kernel_fds(void *data, uint32_t pid, struct darwin_fd *to, size_t room) {
    (void)data;
    errno = 0;
    int n = proc_pidinfo((int)pid, PROC_PIDLISTFDS, 0, to, (int)(room * sizeof(*to)));
    if (n <= 0 && errno)
        return -errno;
    return n / (ssize_t)sizeof(*to);
}

static ssize_t kernel_path(void *data, uint32_t pid, char *to, size_t size) {
    (void)data;
    errno = 0;
    int n = proc_pidpath((int)pid, to, (uint32_t)size);
    return n > 0 ? n : errno ? -errno : -ESRCH;
}

static ssize_t kernel_arguments(void *data, uint32_t pid, char *to, size_t size) {
    int name[] = {CTL_KERN, KERN_PROCARGS2, (int)pid};
    (void)data;
    return sysctl(name, 3, to, &size, NULL, 0) < 0 ? -errno : (ssize_t)size;
}

/* ---- The host -------------------------------------------------------------------------------- */

static int kernel_host(void *data, struct darwin_host *ret) {
    const struct kernel *k = data;
    host_cpu_load_info_data_t load;
    mach_msg_type_number_t count = HOST_CPU_LOAD_INFO_COUNT;
    int cpus = 0;
    size_t size = sizeof(cpus);
    if (host_statistics(k->host, HOST_CPU_LOAD_INFO, (host_info_t)(void *)&load, &count) !=
        KERN_SUCCESS)
        return -EIO;
    if (sysctlbyname("hw.logicalcpu", &cpus, &size, NULL, 0) < 0)
        return -errno;
    *ret = (struct darwin_host){.user = load.cpu_ticks[CPU_STATE_USER],
                                .system = load.cpu_ticks[CPU_STATE_SYSTEM],
                                .idle = load.cpu_ticks[CPU_STATE_IDLE],
                                .nice = load.cpu_ticks[CPU_STATE_NICE],
                                .cpus = (uint32_t)cpus};
    return 0;
}

/* Pages that were read ahead are among the free ones there. */
static int kernel_memory(void *data, struct darwin_memory *ret) {
    const struct kernel *k = data;
    vm_statistics64_data_t vm;
    mach_msg_type_number_t count = HOST_VM_INFO64_REV1_COUNT;
    struct xsw_usage swap;
    uint64_t total = 0;
    size_t total_size = sizeof(total), swap_size = sizeof(swap);
    if (host_statistics64(k->host, HOST_VM_INFO64, (host_info64_t)(void *)&vm, &count) !=
        KERN_SUCCESS)
        return -EIO;
    if (sysctlbyname("hw.memsize", &total, &total_size, NULL, 0) < 0 ||
        sysctlbyname("vm.swapusage", &swap, &swap_size, NULL, 0) < 0)
        return -errno;
    *ret = (struct darwin_memory){
        .total_bytes = total,
        .free_bytes = (uint64_t)(vm.free_count - vm.speculative_count) * vm_kernel_page_size,
        .cached_bytes = (uint64_t)vm.external_page_count * vm_kernel_page_size,
        .swap_total_bytes = swap.xsu_total,
        .swap_free_bytes = swap.xsu_avail,
    };
    return 0;
}

static int kernel_timebase(void *data, struct darwin_timebase *ret) {
    mach_timebase_info_data_t base = {0};
    uint64_t hertz = 0;
    size_t size = sizeof(hertz);
    (void)data;
    if (sysctlbyname("hw.tbfrequency", &hertz, &size, NULL, 0) < 0)
        hertz = 0;
    if (mach_timebase_info(&base) != KERN_SUCCESS)
        base = (mach_timebase_info_data_t){0};
    *ret = (struct darwin_timebase){hertz, base.numer, base.denom};
    return 0;
}

static int kernel_boot_id(void *data, char *to, size_t size) {
    (void)data;
    return sysctlbyname("kern.bootsessionuuid", to, &size, NULL, 0) < 0 ? -errno : 0;
}

static uint32_t kernel_user(void *data) {
    (void)data;
    return geteuid();
}

/* ---- Network statistics ----------------------------------------------------------------------- */

static int kernel_release(void *data, char *to, size_t size) {
    (void)data;
    return sysctlbyname("kern.osrelease", to, &size, NULL, 0) < 0 ? -errno : 0;
}

#define NETWORK_CONTROL "com.apple.network.statistics"
/* What flows that end between two collections need; the kernel gives as much as it may. */
#define NETWORK_BUFFER (2 << 20)
#ifndef SYSPROTO_CONTROL /* their header is not in every SDK */
#define SYSPROTO_CONTROL 2
#endif
#ifndef AF_SYS_CONTROL
#define AF_SYS_CONTROL 2
#endif

static int connect_network(int fd) {
    struct ctl_info info = {.ctl_name = NETWORK_CONTROL};
    const int buffer = NETWORK_BUFFER;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || ioctl(fd, CTLIOCGINFO, &info) < 0)
        return -errno;
    const struct sockaddr_ctl at = {.sc_len = sizeof(at),
                                    .sc_family = AF_SYSTEM,
                                    .ss_sysaddr = AF_SYS_CONTROL,
                                    .sc_id = info.ctl_id};
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    return 0;
}

static int kernel_network_open(void *data) {
    struct kernel *k = data;
    const int fd = socket(PF_SYSTEM, SOCK_DGRAM, SYSPROTO_CONTROL);
    int r = fd < 0 ? -errno : connect_network(fd);
    if (r == 0)
        k->network_fd = fd;
    else if (fd >= 0)
        close(fd);
    return r;
}

static int kernel_network_send(void *data, const void *message, size_t len) {
    const struct kernel *k = data;
    return send(k->network_fd, message, len, 0) < 0 ? -errno : 0;
}

static ssize_t kernel_network_read(void *data, void *to, size_t size) {
    const struct kernel *k = data;
    const ssize_t n = recv(k->network_fd, to, size, 0);
    return n < 0 ? -errno : n;
}

int darwin_calls_open(struct darwin_calls *ret) {
    struct kernel *k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    k->host = mach_host_self();
    k->rusage_version = RUSAGE_INFO_V6;
    k->network_fd = -1;
    *ret = (struct darwin_calls){
        .data = k,
        .free = kernel_free,
        .list = kernel_list,
        .task = kernel_task,
        .usage = kernel_usage,
        .unique = kernel_unique,
        .fds = kernel_fds,
        .path = kernel_path,
        .arguments = kernel_arguments,
        .host = kernel_host,
        .memory = kernel_memory,
        .timebase = kernel_timebase,
        .boot_id = kernel_boot_id,
        .user = kernel_user,
        .release = kernel_release,
        .network_open = kernel_network_open,
        .network_send = kernel_network_send,
        .network_read = kernel_network_read,
    };
    return 0;
}
