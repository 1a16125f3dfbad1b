/* SPDX-License-Identifier: MIT */
/* Files with the number of a process: what is read, what is refused, and who is meant. */
#include "group/pid_files.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *text;
    size_t len; /* 0: all of it */
    int result;
    uint32_t pid;
} texts[] = {
    {"1\n", 0, 0, 1},
    {"4194304", 0, 0, 4194304},
    {"  123\t\n", 0, 0, 123},
    {"00123\r\n", 0, 0, 123},
    {"123\n/var/lib/postgresql\n5432\n", 0, 0, 123},
    {"123 sshd", 0, 0, 123},
    {"", 0, -ENODATA, 0},
    {"\n", 0, -ENODATA, 0},
    {"  ", 0, -ENODATA, 0},
    {"0\n", 0, -EBADMSG, 0},
    {"-1\n", 0, -EBADMSG, 0},
    {"+1\n", 0, -EBADMSG, 0},
    {"4194305\n", 0, -EBADMSG, 0},
    {"4294967297\n", 0, -EBADMSG, 0},
    {"99999999999999999999999999\n", 0, -EBADMSG, 0},
    {"12a\n", 0, -EBADMSG, 0},
    {"pid 12\n", 0, -EBADMSG, 0},
    {"\x7f" "ELF", 0, -EBADMSG, 0},
    {"12\0\n", 4, -EBADMSG, 0},
};

START_TEST(numbers) {
    uint32_t pid = 77;
    size_t len = texts[_i].len ? texts[_i].len : strlen(texts[_i].text);
    /* nothing behind the end is looked at */
    char *exact = malloc(len + 1);

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, texts[_i].text, len);
    exact[len] = '5';
    ck_assert_int_eq(pid_file_parse(exact, len, &pid), texts[_i].result);
    ck_assert_uint_eq(pid, texts[_i].result == 0 ? texts[_i].pid : 77);
    free(exact);
}
END_TEST

/* ---- Files ------------------------------------------------------------------------------ */

static char dir[64], path[128];
static struct pid_files files;
static struct pid_file *file;
static struct io io;
static uid_t owner;    /* that files are shown to have */
static int open_error; /* that each open says; 0: none */

static int fstatat_shown(void *data, int dir_fd, const char *name, struct stat *ret, int flags) {
    int r = io_kernel.fstatat(data, dir_fd, name, ret, flags);

    ret->st_uid = owner;
    return r;
}

static int openat_or_not(void *data, int dir_fd, const char *name, int flags, mode_t mode) {
    if (open_error) {
        errno = open_error;
        return -1;
    }
    return io_kernel.openat(data, dir_fd, name, flags, mode);
}

static void put(const char *text, size_t len) {
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static void set_written(time_t when) {
    const struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};

    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool concerns(uint32_t pid) {
    return pid_file_has_changed(file) && (file->now.pid == pid || file->before.pid == pid);
}

static void read_all(void) {
    pid_files_read(&files, &io);
}

static void setup(void) {
    strcpy(dir, "/tmp/proctally-pid-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/x.pid", dir);
    io = io_kernel;
    io.fstatat = fstatat_shown;
    io.openat = openat_or_not;
    owner = 0;
    open_error = 0;
    files = (struct pid_files){0};
    file = pid_files_add(&files, path);
    ck_assert_ptr_nonnull(file);
}

static void teardown(void) {
    pid_files_free(&files);
    if (unlink(path) < 0)
        rmdir(path);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(changes) {
    ck_assert_ptr_eq(pid_files_add(&files, path), file);
    ck_assert_ptr_null(file->next);
    read_all();
    ck_assert(!files.changed && file->now.pid == 0 && file->error == 0); /* it is not running */
    put("100\n", 4);
    set_written(5000);
    read_all();
    ck_assert(files.changed && file->now.pid == 100);
    ck_assert(concerns(100) && !concerns(101));
    /* until it has been heard */
    read_all();
    ck_assert(files.changed);
    pid_files_settle(&files);
    ck_assert(!concerns(100));
    read_all();
    ck_assert(!files.changed);
    put("200\n", 4);
    read_all();
    ck_assert(concerns(100) && concerns(200));
    pid_files_settle(&files);
    set_written(6000); /* it may mean another process of this number */
    read_all();
    ck_assert(concerns(200) && !concerns(100));
    pid_files_settle(&files);
    put("", 0); /* as while it is being written */
    read_all();
    ck_assert(concerns(200) && file->now.pid == 0 && file->error == 0);
    /* for want of descriptors nothing is known to have changed */
    put("300\n", 4);
    read_all();
    pid_files_settle(&files);
    for (size_t i = 0; i < 4; i++) {
        static const int errors[] = {EMFILE, ENFILE, ENOMEM, EINTR};
        open_error = errors[i];
        read_all();
        ck_assert(!files.changed && file->now.pid == 300 && file->error == 0);
    }
    open_error = EACCES;
    read_all();
    ck_assert(files.changed && file->now.pid == 0 && file->error == -EACCES);
}
END_TEST

START_TEST(what_is_no_pid_file) {
    static char large[4097] = "100\n";

    put(large, sizeof(large) - 1);
    read_all();
    ck_assert_int_eq(file->now.pid, 100);
    put(large, sizeof(large));
    read_all();
    ck_assert(file->now.pid == 0 && file->error == -EFBIG);
    put("hello\n", 6);
    read_all();
    ck_assert(file->now.pid == 0 && file->error == -EBADMSG);
    unlink(path);
    /* a pipe that nobody writes to, and that would wake up who waits to */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    read_all();
    ck_assert(file->now.pid == 0 && file->error == -ENOTSUP);
    unlink(path);
    ck_assert_int_eq(symlink("/dev/zero", path), 0);
    read_all();
    ck_assert(file->now.pid == 0 && file->error == -ENOTSUP);
    unlink(path);
    ck_assert_int_eq(symlink(path, path), 0);
    read_all();
    ck_assert(file->now.pid == 0 && file->error == -ELOOP);
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    read_all();
    ck_assert(file->now.pid == 0 && file->error == -ENOTSUP);
    ck_assert_int_eq(rmdir(path), 0);
    /* many programs have their file below /run/NAME, and a link to it */
    ck_assert_int_eq(symlink("none", path), 0);
    read_all();
    ck_assert(file->now.pid == 0 && file->error == 0);
}
END_TEST

START_TEST(who_is_meant) {
    struct identity id = {.pid = 100, .uid = 7, .has_credentials = true, .start_time_s = 4000};

    put("100\n", 4);
    set_written(5000);
    read_all();
    ck_assert(pid_file_means(file, &id));
    id.pid = 101;
    ck_assert(!pid_file_means(file, &id));
    id.pid = 100;
    /* the number was given to another process since */
    id.start_time_s = 5002;
    ck_assert(pid_file_means(file, &id)); /* as far as can be told */
    id.start_time_s = 5003;
    ck_assert(!pid_file_means(file, &id));
    id.start_time_s = 4000;
    /* the process of another user than who wrote the file */
    owner = 8;
    read_all();
    ck_assert(!pid_file_means(file, &id));
    id.uid = 0;
    ck_assert(!pid_file_means(file, &id));
    id.uid = 8;
    ck_assert(pid_file_means(file, &id));
    id.has_credentials = false;
    ck_assert(!pid_file_means(file, &id));
    owner = 0;
    read_all();
    ck_assert(pid_file_means(file, &id));
    /* one that no list has shown has no number, nor has a file that is not there */
    unlink(path);
    read_all();
    id.pid = 0;
    ck_assert(!pid_file_means(file, &id));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pid_files");
    TCase *tc = add_case(suite, "numbers");

    tcase_add_loop_test(tc, numbers, 0, COUNT(texts));
    tc = add_case(suite, "files");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, changes);
    tcase_add_test(tc, what_is_no_pid_file);
    tcase_add_test(tc, who_is_meant);
    return run_suite(suite);
}
