/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The few kernel types that the programs look into, each with only the fields
 * that they read. libbpf finds the real offsets when it loads them (CO-RE): what
 * counts here are the names. A name after ___ is another kernel's form of the
 * type, see https://docs.kernel.org/bpf/libbpf/libbpf_overview.html.
 */
#ifndef KERNEL_H
#define KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u16 __sum16;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum bpf_map_type {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_LRU_HASH = 9,
    BPF_MAP_TYPE_SK_STORAGE = 24,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_CLONE = 1 << 9, BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_SK_STORAGE_GET_F_CREATE = 1 };

#define TASK_RUNNING 0
#define EXIT_DEAD 0x10
#define PF_FORKNOEXEC 0x00000040u /* has not called execve(2) since its fork(2) */
#define PF_KTHREAD 0x00200000u
#define SIGNAL_GROUP_EXIT 0x00000004u /* group_exit_code is valid */
#define SIGKILL 9

enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCKFS_MAGIC 0x534f434b
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define RLIMIT_NOFILE 7
#define RLIM_NLIMITS 16

/* These layouts are the kernel's interface to programs (linux/bpf.h). */
struct bpf_sock {
    __u32 bound_dev_if, family, type, protocol, mark, priority;
    __u32 src_ip4, src_ip6[4], src_port;
    __be16 dst_port;
    __u16 : 16;
    __u32 dst_ip4, dst_ip6[4];
    __u32 state;
};
struct __sk_buff {
    __u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto;
    __u32 priority, ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
    __u32 napi_id, family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4];
    __u32 remote_port, local_port, data_meta;
    union {
        void *flow_keys;
        __u64 : 64;
    } __attribute__((aligned(8)));
    __u64 tstamp;
    __u32 wire_len, gso_segs;
    union {
        struct bpf_sock *sk;
        __u64 : 64;
    } __attribute__((aligned(8)));
    __u32 gso_size;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_io_accounting {
    __u64 rchar, wchar, syscr, syscw, read_bytes, write_bytes;
};
struct task_delay_info {
    __u64 blkio_delay;
};
struct sched_info {
    unsigned long long run_delay;
};
struct sched_entity {
    __u64 exec_start, sum_exec_runtime;
};
struct rlimit {
    unsigned long rlim_cur;
};
enum { PIDTYPE_PGID = 2, PIDTYPE_MAX = 4 };
struct pid;
struct tty_driver {
    int major, minor_start;
};
struct tty_control { /* since Linux 5.16 */
    struct pid *pgrp;
};
struct tty_struct {
    struct tty_driver *driver;
    int index;
    struct tty_control ctrl;
};
struct tty_struct___pgrp { /* until 5.15 */
    struct pid *pgrp;
};
struct signal_struct {
    int nr_threads;
    int leader;
    unsigned int flags;
    int group_exit_code;
    short oom_score_adj;
    struct mm_struct *oom_mm; /* it was chosen to be killed for want of memory */
    struct pid *pids[PIDTYPE_MAX];
    struct tty_struct *tty;
    unsigned long maxrss; /* in pages; of all programs that it has executed */
    __u64 utime, stime;
    unsigned long nvcsw, nivcsw, min_flt, maj_flt;
    unsigned long long sum_sched_runtime;
    struct rlimit rlim[RLIM_NLIMITS];
};
typedef struct {
    __s64 counter;
} atomic_long_t;
struct percpu_counter {
    __s64 count;
    __s32 *counters; /* of each CPU: what `count` does not have yet */
};
struct mm_rss_stat { /* until 6.1 */
    atomic_long_t count[NR_MM_COUNTERS];
};
struct qstr {
    const unsigned char *name;
};
struct dentry {
    struct dentry *d_parent;
    struct qstr d_name;
};
struct vfsmount {
    struct dentry *mnt_root;
};
struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};
struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};
struct super_block {
    unsigned long s_magic;
};
struct inode {
    struct super_block *i_sb;
    unsigned long i_ino;
};
struct file {
    struct path f_path;
    struct inode *f_inode;
};
struct mm_struct {
    unsigned long hiwater_rss; /* as of the last time that pages were taken away */
    unsigned long total_vm, data_vm, exec_vm, stack_vm, locked_vm;
    atomic_long_t pgtables_bytes;
    int map_count;
    unsigned long arg_start, arg_end;
    struct percpu_counter rss_stat[NR_MM_COUNTERS];
    struct file *exe_file;
};
struct mm_struct___atomic {
    struct mm_rss_stat rss_stat;
};
struct fdtable {
    unsigned int max_fds;
    unsigned long *open_fds;
};
struct files_struct {
    struct fdtable *fdt;
};
struct kernfs_node {
    __u64 id;
};
struct cgroup_root {
    int hierarchy_id; /* 0: the unified one */
};
struct cgroup {
    struct kernfs_node *kn;
    struct cgroup_root *root;
};
struct css_set {
    struct cgroup *dfl_cgrp;
};
typedef struct {
    __u32 val;
} kuid_t, kgid_t;
struct cred {
    kuid_t euid;
    kgid_t egid;
};
struct task_struct {
    unsigned int __state;
    unsigned int flags;
    int prio, static_prio;
    struct sched_entity se;
    struct sched_info sched_info;
    struct mm_struct *mm;
    int exit_state, exit_code;
    int pid, tgid;
    struct task_struct *real_parent, *group_leader;
    __u64 utime, stime;
    unsigned long nvcsw, nivcsw, min_flt, maj_flt;
    __u64 start_boottime;
    const struct cred *real_cred;
    char comm[16];
    struct files_struct *files;
    struct signal_struct *signal;
    __u64 self_exec_id;
    struct task_io_accounting ioac;
    struct task_delay_info *delays;
    struct css_set *cgroups;
};
struct task_struct___state { /* until 5.13 */
    long state;
};
struct bpf_array {
    void *pptrs[1]; /* of a per-CPU array: the per-CPU pointer of each item */
};
struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
};
struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};
struct bpf_iter__task_file {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
    struct file *file;
};
struct linux_binprm;
struct sock_common {
    __u16 skc_num; /* the local port; 0: none */
    unsigned short skc_family;
    unsigned char skc_state;
};
struct sock {
    struct sock_common __sk_common;
    __u16 sk_protocol;
};
struct tcp_sock {
    bool is_mptcp; /* one of those that MPTCP makes */
};
struct socket {
    struct sock *sk;
};
struct socket_alloc {
    struct socket socket;
    struct inode vfs_inode;
};

#pragma clang attribute pop

#endif
