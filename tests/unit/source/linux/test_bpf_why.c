/* SPDX-License-Identifier: MIT */
/* Why source bpf can't be used: each reason is brought about, in a process of its own, or
 * played where this kernel can't have it, and the sentence names that one and no other. */
#define _GNU_SOURCE
#include "build-config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_BPF

#include "base/io.h"
#include "proctally.h"
#include "source/linux/bpf_load.h"
#include "suite.h"

#include <bpf/btf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define TYPES "/sys/kernel/btf/vmlinux"

static const char *release; /* of the kernel; NULL: the true one */

int __real_uname(struct utsname *ret);
int __wrap_uname(struct utsname *ret);

int __wrap_uname(struct utsname *ret) {
    int r = __real_uname(ret);
    if (release)
        snprintf(ret->release, sizeof(ret->release), "%s", release);
    return r;
}

/* With source bpf and nothing else. */
static int try_to_open(struct tally_error *error) {
    tally_config *config = NULL;
    tally *t = NULL;
    int r = tally_config_new(&config);
    if (r == 0)
        r = tally_config_set(config, "source", "bpf", error);
    if (r == 0)
        r = tally_new(config, NULL, &t, error);
    tally_config_free(config);
    tally_free(t);
    return r;
}

/* … and why not. */
static void fail_to_open(struct tally_error *why) {
    static const char begin[] = "source bpf can't be used: ";
    struct tally_error error = {{0}};
    ck_assert_int_lt(try_to_open(&error), 0);
    ck_assert_int_eq(strncmp(error.text, begin, strlen(begin)), 0);
    snprintf(why->text, sizeof(why->text), "%s", error.text + strlen(begin));
}

static void check_why(const char *why) {
    struct tally_error found;
    fail_to_open(&found);
    ck_assert_str_eq(found.text, why);
}

static void check_why_begins(const char *why) {
    struct tally_error found;
    fail_to_open(&found);
    ck_assert_msg(strncmp(found.text, why, strlen(why)) == 0, "%s", found.text);
}

/* ---- Type information ------------------------------------------------------------------- */

/* Mounts in a namespace of this process alone, which ends with the test. */
static void cover(const char *source, const char *target, const char *type, unsigned long flags) {
    ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_msg(mount(source, target, type, flags, NULL) == 0, "%s", strerror(errno));
}

/* Puts this in place of the kernel's types. */
static void replace_types(const void *data, size_t size) {
    char path[] = "/tmp/proctally-types.XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq((size_t)write(fd, data, size), size);
    close(fd);
    cover(path, TYPES, NULL, MS_BIND);
    unlink(path);
}

START_TEST(no_types) {
    cover("none", "/sys/kernel/btf", "tmpfs", 0);
    check_why("the kernel has no type information (CONFIG_DEBUG_INFO_BTF): " TYPES
              ": No such file or directory");
}
END_TEST

/* So many bytes of them are left; -1: all but one. */
static const int lefts[] = {0, 1, 23, 24, 1000, 1000000, -1};

START_TEST(cut_types) {
    struct btf *btf = btf__load_vmlinux_btf();
    __u32 size;
    const void *data = btf__raw_data(btf, &size);
    replace_types(data, lefts[_i] < 0 ? size - 1 : (size_t)lefts[_i]);
    check_why("the type information in " TYPES " is damaged");
    btf__free(btf);
}
END_TEST

START_TEST(types_of_rubbish) {
    char rubbish[4096];
    memset(rubbish, 0x5a, sizeof(rubbish));
    replace_types(rubbish, sizeof(rubbish));
    check_why("the type information in " TYPES " is damaged");
}
END_TEST

/* All types are there, under other numbers, as in any other kernel's. */
START_TEST(anothers_types) {
    struct btf *own = btf__load_vmlinux_btf(), *moved = btf__new_empty();
    __u32 size;
    ck_assert_int_gt(btf__add_int(moved, "of_another_kernel", 4, 0), 0);
    ck_assert_int_gt(btf__add_btf(moved, own), 0);
    const void *data = btf__raw_data(moved, &size);
    replace_types(data, size);
    if (linux_is_before(5, 11)) /* the kernel does not tell its own there */
        check_why_begins("the kernel refuses a program: ");
    else
        check_why("the type information in " TYPES " is that of another kernel");
    btf__free(moved);
    btf__free(own);
}
END_TEST

/* ---- Rights ------------------------------------------------------------------------------- */

static void keep_capabilities(const int *kept, size_t count) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    for (size_t i = 0; i < count; i++) {
        data[CAP_TO_INDEX(kept[i])].permitted |= CAP_TO_MASK(kept[i]);
        data[CAP_TO_INDEX(kept[i])].effective |= CAP_TO_MASK(kept[i]);
    }
    ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
}

START_TEST(no_capabilities) {
    keep_capabilities(NULL, 0);
    check_why("it needs root, or CAP_BPF and CAP_PERFMON");
}
END_TEST

START_TEST(half_of_the_capabilities) {
    static const int all[] = {CAP_BPF, CAP_PERFMON};
    static const char *const why[] = {
        "it needs root, or CAP_BPF and CAP_PERFMON (the latter is missing)",
        "it needs root, or CAP_BPF and CAP_PERFMON (the former is missing)"};
    keep_capabilities(&all[_i], 1);
    check_why(why[_i]);
}
END_TEST

START_TEST(enough_capabilities) {
    static const int all[] = {CAP_BPF, CAP_PERFMON};
    struct tally_error error = {{0}};
    keep_capabilities(all, 2);
    ck_assert_msg(try_to_open(&error) == 0, "%s", error.text);
}
END_TEST

START_TEST(root_of_another_namespace) {
    if (unshare(CLONE_NEWUSER) < 0)
        return; /* not allowed here */
    check_why("this is not the host's user namespace: root has no rights to the kernel here");
}
END_TEST

START_TEST(filtered) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
    check_why("no right is missing, but bpf(2) is refused: by a filter for system calls "
              "(seccomp), or a security module");
}
END_TEST

/* The first child is still in the host's and can start nothing else, the second is in its own. */
START_TEST(another_pid_namespace) {
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct tally_error error = {{0}};
        pid_t inside = unshare(CLONE_NEWPID) == 0 ? fork() : -1;
        if (inside == 0)
            _exit(try_to_open(&error) < 0 &&
                          strstr(error.text, "this is not the host's pid namespace") != NULL
                      ? 0
                      : 1);
        _exit(inside > 0 && waitpid(inside, &status, 0) == inside && status == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- What this kernel does not have --------------------------------------------------------- */

static const char *lockdown_text;

/* The kernel's own, but for the state of its lockdown. */
static int open_with_lockdown(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    if (strcmp(path, "/sys/kernel/security/lockdown") != 0)
        return io_kernel.openat(data, dir_fd, path, flags, mode);
    int fd = memfd_create("lockdown", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, lockdown_text, strlen(lockdown_text)) < 0 ||
                    lseek(fd, 0, SEEK_SET) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* As a kernel in lockdown answered a program that reads its memory: the verifier knows no such
 * function then. */
START_TEST(locked_down) {
    static const char refused[] = "the kernel refuses a program: unknown func "
                                  "bpf_probe_read_kernel#113";
    struct io io = io_kernel;
    struct tally_error why = {{0}};
    io.openat = open_with_lockdown;
    for (int error = EPERM; error; error = error == EPERM ? EINVAL : 0) {
        lockdown_text = "none integrity [confidentiality]\n";
        snprintf(why.text, sizeof(why.text), "%s", refused);
        bpf_explain(&io, -error, &why);
        ck_assert_str_eq(why.text, "the kernel is locked down (confidentiality), and lets no "
                                   "program read its memory");
        /* that one lets them read */
        lockdown_text = "none [integrity] confidentiality\n";
        snprintf(why.text, sizeof(why.text), "%s", refused);
        bpf_explain(&io, -error, &why);
        ck_assert_str_eq(why.text, refused);
    }
}
END_TEST

static const char guess[] =
    "libbpf: Error in bpf_object__probe_loading():Operation not permitted(1). Couldn't load "
    "trivial BPF program. Make sure your kernel supports BPF (CONFIG_BPF_SYSCALL=y) and/or that "
    "RLIMIT_MEMLOCK is set to big enough value.";

START_TEST(short_of_memlock) {
    static const struct {
        const char *release;
        rlim_t limit;
        bool is_short;
    } cases[] = {
        {"5.10.0-32-cloud-amd64", 64 << 10, true},
        {"4.19.0", 64 << 10, true},
        {"5.10.0", RLIM_INFINITY, false},
        {"5.11.0", 64 << 10, false},
        {"6.1.0", 64 << 10, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tally_error why = {{0}};
        snprintf(why.text, sizeof(why.text), "%s", guess);
        release = cases[i].release;
        struct rlimit limit;
        ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
        if (cases[i].limit > limit.rlim_max)
            continue; /* not to be had here */
        limit.rlim_cur = cases[i].limit;
        ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
        bpf_explain(&io_kernel, -EPERM, &why);
        ck_assert_str_eq(why.text,
                         cases[i].is_short
                             ? "on a kernel before 5.11 it needs a higher RLIMIT_MEMLOCK (now 64 "
                               "KiB), or CAP_SYS_RESOURCE"
                             : "no right is missing, but bpf(2) is refused: by a filter for system "
                               "calls (seccomp), or a security module");
    }
}
END_TEST

/* Newer kernels do not care. */
START_TEST(little_memlock) {
    const struct rlimit limit = {4096, 4096};
    struct tally_error error = {{0}};
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (linux_is_before(5, 11))
        check_why_begins("on a kernel before 5.11 it needs a higher RLIMIT_MEMLOCK (now 4 KiB)");
    else
        ck_assert_msg(try_to_open(&error) == 0, "%s", error.text);
}
END_TEST

/* ---- Descriptors ------------------------------------------------------------------------ */

/* Leaves so many, and returns the limit. */
static rlim_t leave(unsigned count) {
    rlim_t limit = 0;
    for (; count; limit++)
        count -= fcntl((int)limit, F_GETFD) < 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit, limit}), 0);
    return limit;
}

/* Too few for the maps, for the programs, to attach them. */
START_TEST(few_descriptors) {
    char why[100];
    snprintf(why, sizeof(why), "it needs more free descriptors than RLIMIT_NOFILE (%llu) leaves",
             (unsigned long long)leave(8 + 4 * (unsigned)_i));
    check_why(why);
}
END_TEST

static void send_to_itself(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    ck_assert_int_eq(sendto(fd, "", 1, 0, (struct sockaddr *)&at, size), 1);
    close(fd);
}

/* Where the kernel lacks what a program calls, libbpf opens the types of each while it loads. */
static unsigned count_modules(void) {
    if (!linux_is_before(6, 7))
        return 0;
    DIR *dir = opendir("/sys/kernel/btf");
    unsigned count = 0;
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, "vmlinux") != 0;
    closedir(dir);
    return count;
}

/* Enough to load, but not for what it then keeps in place of libbpf's. */
START_TEST(not_enough_descriptors_to_keep_others) {
    struct tally_error error = {{0}};
    tally_config *config = NULL;
    tally *t = NULL;
    const tally_snapshot *snapshot;
    leave(62 + 6 * (unsigned)_i + count_modules());
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "source", "bpf", &error), 0);
    ck_assert_int_eq(tally_config_set(config, "collect", "network,thread-names", &error), 0);
    ck_assert_msg(tally_new(config, NULL, &t, &error) == 0, "%s", error.text);
    for (int i = 0; i < 3; i++) {
        send_to_itself();
        ck_assert_int_eq(tally_collect(t, &snapshot), 0);
    }
    tally_config_free(config);
    tally_free(t);
}
END_TEST

/* What libbpf guesses is not handed on. */
START_TEST(a_guess_is_no_reason) {
    struct tally_error why = {{0}};
    snprintf(why.text, sizeof(why.text), "%s", guess);
    bpf_explain(&io_kernel, -ENOMEM, &why);
    ck_assert_str_eq(why.text, strerror(ENOMEM));
    snprintf(why.text, sizeof(why.text), "the kernel refuses a program: R1 is bad");
    bpf_explain(&io_kernel, -EACCES, &why);
    ck_assert_str_eq(why.text, "the kernel refuses a program: R1 is bad");
}
END_TEST

int main(void) {
    struct tally_error error = {{0}};
    if (try_to_open(&error) < 0) {
        printf("%s\n", error.text);
        return 77;
    }
    Suite *suite = suite_create("bpf_why");
    TCase *types = tcase_create("types"), *rights = tcase_create("rights");
    TCase *played = tcase_create("played");
    tcase_set_timeout(types, 60);
    tcase_add_test(types, no_types);
    tcase_add_loop_test(types, cut_types, 0, sizeof(lefts) / sizeof(lefts[0]));
    tcase_add_test(types, types_of_rubbish);
    tcase_add_test(types, anothers_types);
    suite_add_tcase(suite, types);
    tcase_set_timeout(rights, 60);
    tcase_add_test(rights, no_capabilities);
    tcase_add_loop_test(rights, half_of_the_capabilities, 0, 2);
    tcase_add_test(rights, enough_capabilities);
    tcase_add_test(rights, root_of_another_namespace);
    tcase_add_test(rights, filtered);
    tcase_add_test(rights, another_pid_namespace);
    suite_add_tcase(suite, rights);
    tcase_set_timeout(played, 60);
    tcase_add_test(played, locked_down);
    tcase_add_test(played, short_of_memlock);
    tcase_add_test(played, little_memlock);
    tcase_add_loop_test(played, few_descriptors, 0, 6);
    tcase_add_loop_test(played, not_enough_descriptors_to_keep_others, 0, 6);
    tcase_add_test(played, a_guess_is_no_reason);
    suite_add_tcase(suite, played);
    return run_suite(suite);
}

#else

int main(void) {
    printf("this build has no source bpf\n");
    return 77;
}

#endif
