/* SPDX-License-Identifier: MIT */
/* Whose sockets are whose: a recorded /proc with descriptors, and a made-up sock_diag that
 * says what they are. */
#include "source/linux/proc_sockets.h"

#include "failing_memory.h"
#include "source/linux/sock_diag.h"
#include "suite.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- A recorded /proc ------------------------------------------------------------------- */

static char root[] = "/tmp/proctally-test-XXXXXX";
static char made[PATH_MAX];
static struct io io;
static struct proc_dir dir;
static int open_error, link_error; /* of all calls; 0: none */

static int faulty_openat(void *data, int at, const char *path, int flags, mode_t mode) {
    if (open_error) {
        errno = open_error;
        return -1;
    }
    return io_kernel.openat(data, at, path, flags, mode);
}

static ssize_t faulty_readlinkat(void *data, int at, const char *path, char *to, size_t size) {
    if (link_error) {
        errno = link_error;
        return -1;
    }
    return io_kernel.readlinkat(data, at, path, to, size);
}

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...) {
    char command[PATH_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    ck_assert_int_eq(system(command), 0);
}

static void put_link(uint32_t pid, unsigned fd, const char *target) {
    shell("mkdir -p %s/%u/fd && ln -snf '%s' %s/%u/fd/%u", made, pid, target, made, pid, fd);
}

static void put_socket(uint32_t pid, unsigned fd, unsigned inode) {
    char target[32];
    snprintf(target, sizeof(target), "socket:[%u]", inode);
    put_link(pid, fd, target);
}

static void put_place(uint32_t pid, const char *target) {
    shell("mkdir -p %s/%u/ns && ln -snf %s %s/%u/ns/net", made, pid, target, made, pid);
}
#define OURS "/proc/self/ns/net"
#define ANOTHER "/dev/null"

/* ---- A sock_diag ------------------------------------------------------------------------ */

static struct {
    uint64_t inode;
    enum socket_kind kind;
} known[32];
static size_t known_count;
static unsigned known_kinds;
static int dump_error;

int __wrap_sock_diag_new(struct sock_diag **ret);
struct sock_diag *__wrap_sock_diag_free(struct sock_diag *d);
int __wrap_sock_diag_dump(struct sock_diag *d, sock_diag_use *use, void *data,
                          unsigned *ret_kinds);

int __wrap_sock_diag_new(struct sock_diag **ret) {
    *ret = (void *)known;
    return 0;
}

struct sock_diag *__wrap_sock_diag_free(struct sock_diag *d) {
    (void)d;
    return NULL;
}

int __wrap_sock_diag_dump(struct sock_diag *d, sock_diag_use *use, void *data,
                          unsigned *ret_kinds) {
    (void)d;
    for (size_t i = 0; i < known_count; i++) {
        const int r = use(data, known[i].inode, known[i].kind);
        if (r < 0)
            return r;
    }
    if (dump_error == 0)
        *ret_kinds = known_kinds;
    return dump_error;
}

static void knows(uint64_t inode, enum socket_kind kind) {
    known[known_count].inode = inode;
    known[known_count++].kind = kind;
}

/* ---- What is told ----------------------------------------------------------------------- */

static struct proc_sockets *sockets;
static struct told {
    uint32_t pid;
    uint64_t start_ticks;
    unsigned kinds;
    unsigned of[SOCKET_KINDS];
} told[16];
static size_t told_count;

static void turn_to(void *data, uint32_t pid, uint64_t start_ticks, unsigned kinds) {
    (void)data;
    if (told_count == 16) /* libcheck would allocate */
        abort();
    told[told_count++] = (struct told){.pid = pid, .start_ticks = start_ticks, .kinds = kinds};
}

static int count_socket(void *data, uint64_t inode, enum socket_kind kind) {
    (void)data, (void)inode;
    told[told_count - 1].of[kind]++;
    return 0;
}

static int tell(void) {
    told_count = 0;
    return proc_sockets_tell(sockets, &(struct socket_use){turn_to, count_socket, NULL});
}

static const struct told *told_of(uint32_t pid) {
    const struct told *found = NULL;
    for (size_t i = 0; i < told_count; i++)
        if (told[i].pid == pid) {
            ck_assert_ptr_null(found);
            found = &told[i];
        }
    return found;
}

static void assert_listening(uint32_t pid, unsigned count) {
    ck_assert_ptr_nonnull(told_of(pid));
    ck_assert_uint_eq(told_of(pid)->kinds, known_kinds);
    ck_assert_uint_eq(told_of(pid)->of[SOCKET_TCP_LISTEN], count);
}

static void assert_unknown(uint32_t pid) {
    ck_assert_ptr_nonnull(told_of(pid));
    ck_assert_uint_eq(told_of(pid)->kinds, 0);
    for (size_t k = 0; k < SOCKET_KINDS; k++)
        ck_assert_uint_eq(told_of(pid)->of[k], 0);
}

static int measure(uint32_t pid) {
    return proc_sockets_measure(sockets, &(struct sample){.pid = pid, .start_ticks = pid + 5000});
}

static void setup(void) {
    snprintf(made, sizeof(made), "%s", root);
    ck_assert_ptr_nonnull(mkdtemp(made));
    io = io_kernel;
    io.openat = faulty_openat;
    io.readlinkat = faulty_readlinkat;
    open_error = link_error = dump_error = 0;
    known_count = 0;
    known_kinds = (1u << SOCKET_KINDS) - 1;
    allocations = fail_allocation_at = 0;
    ck_assert_int_eq(proc_dir_open(&dir, made, &io), 0);
    ck_assert_int_eq(proc_sockets_new(&dir, &sockets), 0);
    for (unsigned i = 1; i <= 9; i++)
        knows(i, SOCKET_TCP_LISTEN);
    proc_sockets_begin(sockets);
}

static void teardown(void) {
    fail_allocation_at = 0;
    sockets = proc_sockets_free(sockets);
    proc_dir_close(&dir);
    shell("rm -rf %s", made);
}

/* ---- Descriptors ------------------------------------------------------------------------ */

START_TEST(sockets_among_others) {
    static const char *const links[] = {
        "/dev/null", "pipe:[4]", "anon_inode:[eventpoll]", "socket:[", "socket:[]", "socket:[4",
        "socket:[4]x", "socket:[x4]", "socket:[-4]", "socket:[99999999999999999999]", "sock",
        "/socket:[4]", "socket:[4] (deleted)", "socket:[0000000000000000000000000000004]"};
    for (unsigned i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        put_link(100, 10 + i, links[i]);
    put_socket(100, 0, 1);
    put_socket(100, 5, 2);
    put_socket(100, 1000, 3);
    put_place(100, OURS);
    knows(50, SOCKET_UDP);
    put_socket(100, 6, 50);
    ck_assert_int_eq(measure(100), 0);
    ck_assert_int_eq(tell(), 0);
    ck_assert_uint_eq(told_count, 1);
    ck_assert_uint_eq(told[0].start_ticks, 5100);
    assert_listening(100, 3);
    ck_assert_uint_eq(told_of(100)->of[SOCKET_UDP], 1);
    ck_assert_str_eq(proc_sockets_missing(sockets)->text, "");
}
END_TEST

START_TEST(a_sleeper_has_what_it_had) {
    put_socket(100, 3, 1);
    put_socket(100, 4, 2);
    put_socket(200, 3, 3);
    ck_assert_int_eq(measure(200), 0); /* out of turn */
    ck_assert_int_eq(measure(100), 0);
    ck_assert_int_eq(tell(), 0);
    assert_listening(100, 2);
    assert_listening(200, 1);
    put_socket(100, 5, 4);
    put_socket(200, 5, 5);
    for (int again = 0; again < 3; again++) {
        proc_sockets_begin(sockets);
        ck_assert_int_eq(proc_sockets_keep(sockets, 100), 0);
        ck_assert_int_eq(measure(200), 0);
        ck_assert_int_eq(tell(), 0);
        assert_listening(100, 2);
        assert_listening(200, 2);
    }
    /* what they are is asked anew */
    known_count = 1;
    put_place(100, OURS);
    put_place(200, OURS);
    ck_assert_int_eq(tell(), 0);
    assert_listening(100, 1);
    assert_listening(200, 0);
    /* and one that is not there any more is forgotten */
    proc_sockets_begin(sockets);
    ck_assert_int_eq(measure(200), 0);
    proc_sockets_begin(sockets);
    ck_assert_int_eq(proc_sockets_keep(sockets, 100), 0);
    ck_assert_int_eq(tell(), 0);
    ck_assert_ptr_null(told_of(100));
}
END_TEST

START_TEST(the_kernels_own_have_none) {
    put_socket(2, 3, 1);
    ck_assert_int_eq(proc_sockets_measure(sockets, &(struct sample){.pid = 2, .is_kernel = true}),
                     0);
    ck_assert_int_eq(tell(), 0);
    assert_listening(2, 0);
}
END_TEST

/* ---- What may not be read, or fails ----------------------------------------------------- */

START_TEST(refused) {
    put_socket(100, 3, 1);
    open_error = EACCES;
    ck_assert_int_eq(measure(100), 0);
    ck_assert_int_eq(tell(), 0);
    assert_unknown(100);
    ck_assert_str_eq(proc_sockets_missing(sockets)->text, ""); /* rights are another matter */
    open_error = 0;
    proc_sockets_begin(sockets);
    ck_assert_int_eq(measure(100), 0);
    ck_assert_int_eq(tell(), 0);
    assert_listening(100, 1);
}
END_TEST

START_TEST(no_collection) {
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ESRCH};
    put_socket(100, 3, 1);
    open_error = errors[_i];
    ck_assert_int_eq(measure(100), -errors[_i]);
    ck_assert_int_eq(tell(), 0);
    ck_assert_uint_eq(told_count, 0);
}
END_TEST

START_TEST(closed_meanwhile) {
    put_socket(100, 3, 1);
    link_error = ENOENT;
    ck_assert_int_eq(measure(100), 0);
    ck_assert_int_eq(tell(), 0);
    assert_listening(100, 0);
}
END_TEST

START_TEST(sock_diag_fails) {
    put_socket(100, 3, 1);
    ck_assert_int_eq(measure(100), 0);
    dump_error = -EPERM;
    ck_assert_int_eq(tell(), -EPERM);
    dump_error = 0;
    ck_assert_int_eq(tell(), 0);
    assert_listening(100, 1);
}
END_TEST

START_TEST(sock_diag_lacks_kinds) {
    known_kinds = 1u << SOCKET_UDP;
    put_socket(100, 3, 1);
    ck_assert_int_eq(measure(100), 0);
    ck_assert_int_eq(tell(), 0);
    ck_assert_uint_eq(told_of(100)->kinds, 1u << SOCKET_UDP);
    ck_assert_str_eq(proc_sockets_missing(sockets)->text,
                     "the kernel lacks tcp_diag, unix_diag");
}
END_TEST

/* ---- Network namespaces ----------------------------------------------------------------- */

START_TEST(other_namespaces) {
    put_socket(100, 3, 77); /* of a kind that is not told */
    put_place(100, OURS);
    put_socket(200, 3, 78);
    put_place(200, ANOTHER);
    put_link(300, 3, "/dev/null"); /* has none, wherever it is */
    put_place(300, ANOTHER);
    put_socket(400, 3, 1); /* has only some of ours */
    put_place(400, ANOTHER);
    put_socket(500, 3, 79); /* where it is can't be told */
    for (uint32_t pid = 100; pid <= 500; pid += 100)
        ck_assert_int_eq(measure(pid), 0);
    ck_assert_int_eq(tell(), 0);
    assert_listening(100, 0);
    assert_unknown(200);
    assert_listening(300, 0);
    assert_listening(400, 1);
    assert_unknown(500);
    ck_assert_str_eq(proc_sockets_missing(sockets)->text,
                     "those of processes in other network namespaces (1 now), which source bpf "
                     "can see");
}
END_TEST

/* ---- Memory ----------------------------------------------------------------------------- */

START_TEST(no_memory) {
    put_socket(100, 3, 1);
    put_socket(100, 4, 2);
    put_socket(200, 3, 3);
    for (long at = 1; at < 20; at++) {
        proc_sockets_free(sockets);
        ck_assert_int_eq(proc_sockets_new(&dir, &sockets), 0);
        allocations = 0;
        fail_allocation_at = at;
        proc_sockets_begin(sockets);
        const int r = measure(100), q = measure(200), o = tell();
        const bool has_failed = allocations >= at;
        fail_allocation_at = 0;
        ck_assert(r == 0 || r == -ENOMEM);
        ck_assert(q == 0 || q == -ENOMEM);
        ck_assert(o == 0 || o == -ENOMEM);
        ck_assert_int_eq(has_failed, r < 0 || q < 0 || o < 0);
        proc_sockets_begin(sockets);
        ck_assert_int_eq(measure(100), 0);
        ck_assert_int_eq(measure(200), 0);
        ck_assert_int_eq(tell(), 0);
        assert_listening(100, 2);
        assert_listening(200, 1);
        if (!has_failed)
            return;
    }
    ck_abort_msg("it allocates without end");
}
END_TEST

START_TEST(the_steady_state_allocates_nothing) {
    put_socket(100, 3, 1);
    put_socket(200, 3, 3);
    for (int round = 0; round < 6; round++) {
        allocations = 0;
        fail_allocation_at = round >= 3 ? LONG_MAX : 0;
        proc_sockets_begin(sockets);
        const int r = measure(100), q = proc_sockets_keep(sockets, 200), o = tell();
        const long count = allocations;
        fail_allocation_at = 0;
        ck_assert(r == 0 && q == 0 && o == 0);
        if (round >= 3)
            ck_assert_int_eq(count, 0);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("proc_sockets");
    TCase *tc = add_case(suite, "proc_sockets");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, sockets_among_others);
    tcase_add_test(tc, a_sleeper_has_what_it_had);
    tcase_add_test(tc, the_kernels_own_have_none);
    tcase_add_test(tc, refused);
    tcase_add_loop_test(tc, no_collection, 0, 4);
    tcase_add_test(tc, closed_meanwhile);
    tcase_add_test(tc, sock_diag_fails);
    tcase_add_test(tc, sock_diag_lacks_kinds);
    tcase_add_test(tc, other_namespaces);
    tcase_add_test(tc, no_memory);
    tcase_add_test(tc, the_steady_state_allocates_nothing);
    return run_suite(suite);
}
