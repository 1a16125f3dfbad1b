/* SPDX-License-Identifier: MIT */
/* Files that are whole at any moment: replaced or left as they were, whatever fails
 * and whoever stands in the way. */
#include "base/replace_file.h"

#include "faulty_io.h"
#include "proctally.h"
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Help ------------------------------------------------------------------------ */

static char dir[300];

static const char *in_dir(const char *name) {
    static char paths[32][600]; /* more than any test asks for */
    static int turn;

    turn = (turn + 1) % COUNT(paths);
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%.280s", dir, name);
    return paths[turn];
}

static void write_file(const char *path, const char *data, size_t len) {
    FILE *f = fopen(path, "w");

    ck_assert_msg(f != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static char *read_file(const char *path, size_t *ret_len) {
    FILE *f = fopen(path, "r");
    char *data = malloc(4 << 20);

    ck_assert_msg(f != NULL, "%s", path);
    ck_assert_ptr_nonnull(data);
    *ret_len = fread(data, 1, 4 << 20, f);
    fclose(f);
    return data;
}

static void assert_content(const char *path, const char *data, size_t len) {
    size_t got_len;
    char *got = read_file(path, &got_len);

    ck_assert_uint_eq(got_len, len);
    ck_assert(memcmp(got, data, len) == 0);
    free(got);
}

static bool exists(const char *path) {
    struct stat st;

    return lstat(path, &st) == 0;
}

static int entries(void) {
    DIR *d = opendir(dir);
    int count = 0;

    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void setup(void) {
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/replace-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void) {
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Tests ------------------------------------------------------------------------ */

static const char temporary[] = ".out.prom.tmp";

START_TEST(replaced) {
    const char *path = in_dir("out.prom");
    struct stat st;
    mode_t mask = umask(077);

    /* whatever the umask is */
    ck_assert_int_eq(tally_replace_file(path, "one", 3, 0644, true), 0);
    assert_content(path, "one", 3);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0644);
    ino_t first = st.st_ino;
    FILE *old = fopen(path, "r");
    ck_assert_ptr_nonnull(old);

    ck_assert_int_eq(tally_replace_file(path, "second", 6, 0600, false), 0);
    assert_content(path, "second", 6);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_uint_ne(st.st_ino, first);
    /* who reads the old one can read it to its end */
    char text[8];
    ck_assert_uint_eq(fread(text, 1, sizeof(text), old), 3);
    fclose(old);

    ck_assert_int_eq(tally_replace_file(path, "", 0, 0644, false), 0);
    assert_content(path, "", 0);
    ck_assert_int_eq(entries(), 1);
    umask(mask);
}
END_TEST

START_TEST(replaced_in_pieces) {
    const char *path = in_dir("out.prom");
    struct io io = faulty_io(&io_kernel);
    size_t len = 100000;
    char *data = malloc(len);

    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 31 + i / 256);
    fault.at_most = 777;
    fault.interrupted = true;
    ck_assert_int_eq(replace_file(&io, path, data, len, 0644, true), 0);
    assert_content(path, data, len);
    ck_assert_int_eq(fault.syncs, 1);
    ck_assert_int_eq(replace_file(&io, path, data, 5, 0644, false), 0);
    ck_assert_int_eq(fault.syncs, 1);
    assert_content(path, data, 5);
    free(data);
}
END_TEST

static const struct {
    enum call call;
    int error, after;
    int result; /* 0: the error */
} replace_faults[] = {
    {CALL_OPEN, EACCES, 0, 0},    {CALL_OPEN, ENOSPC, 0, 0},   {CALL_OPEN, EMFILE, 0, 0},
    {CALL_WRITE, ENOSPC, 0, 0},   {CALL_WRITE, ENOSPC, 1, 0},  {CALL_WRITE, EIO, 3, 0},
    {CALL_WRITE, EDQUOT, 5, 0},   {CALL_WRITE, -1, 0, -EIO},   {CALL_WRITE, -1, 2, -EIO},
    {CALL_FSYNC, EIO, 0, 0},      {CALL_FSYNC, ENOSPC, 0, 0},  {CALL_RENAME, EXDEV, 0, 0},
    {CALL_RENAME, EACCES, 0, 0},  {CALL_CLOSE, EIO, 0, 0},
};

START_TEST(failure_leaves_the_old_file) {
    const char *path = in_dir("out.prom");
    struct io io = faulty_io(&io_kernel);
    int result = replace_faults[_i].result ? replace_faults[_i].result : -replace_faults[_i].error;

    for (int there = 0; there < 2; there++) {
        if (there)
            write_file(path, "old", 3);
        io = faulty_io(&io_kernel);
        fault.at_most = 2;
        fault.call = replace_faults[_i].call;
        fault.error = replace_faults[_i].error;
        fault.after = replace_faults[_i].after;
        ck_assert_int_eq(replace_file(&io, path, "a longer text", 13, 0644, true), result);
        if (there)
            assert_content(path, "old", 3);
        ck_assert_int_eq(exists(path), there);
        ck_assert_int_eq(entries(), there);
    }
    /* and the next time it works */
    io = faulty_io(&io_kernel);
    ck_assert_int_eq(replace_file(&io, path, "new", 3, 0644, true), 0);
    assert_content(path, "new", 3);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

/* It may be somebody else's thing, so it stays as it is. */
START_TEST(temporary_that_can_not_be_looked_at) {
    const char *path = in_dir("out.prom");
    struct io io = faulty_io(&io_kernel);

    write_file(path, "old", 3);
    write_file(in_dir(temporary), "left behind", 11);
    fault.call = CALL_STAT;
    fault.error = EIO;
    ck_assert_int_eq(replace_file(&io, path, "new", 3, 0644, true), -EIO);
    assert_content(path, "old", 3);
    assert_content(in_dir(temporary), "left behind", 11);
    io = faulty_io(&io_kernel);
    ck_assert_int_eq(replace_file(&io, path, "new", 3, 0644, true), 0);
    assert_content(path, "new", 3);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

START_TEST(places_that_can_not_be) {
    char name[PATH_MAX + 10];

    ck_assert_int_eq(tally_replace_file(in_dir("missing/out"), "x", 1, 0644, false), -ENOENT);
    ck_assert_int_eq(tally_replace_file(in_dir(""), "x", 1, 0644, false), -EISDIR);
    ck_assert_int_eq(tally_replace_file("", "x", 1, 0644, false), -EISDIR);
    write_file(in_dir("file"), "x", 1);
    ck_assert_int_eq(tally_replace_file(in_dir("file/out"), "x", 1, 0644, false), -ENOTDIR);
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    ck_assert_int_eq(tally_replace_file(in_dir(name), "x", 1, 0644, false), -ENAMETOOLONG);
    name[255] = 'n';
    name[sizeof(name) - 1] = '\0';
    ck_assert_int_eq(tally_replace_file(name, "x", 1, 0644, false), -ENAMETOOLONG);
    /* a name without a directory */
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert_int_eq(tally_replace_file("here", "x", 1, 0644, false), 0);
    assert_content(in_dir("here"), "x", 1);
    ck_assert_int_eq(entries(), 2);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* What is no file is not replaced by one, and nothing is left beside it. */
START_TEST(odd_targets_stay) {
    struct stat before, after;

    ck_assert_int_eq(mkdir(in_dir("directory"), 0700), 0);
    ck_assert_int_eq(mkfifo(in_dir("pipe"), 0600), 0);
    write_file(in_dir("file"), "precious", 8);
    ck_assert_int_eq(symlink("file", in_dir("link")), 0);
    ck_assert_int_eq(symlink("nowhere", in_dir("dangling")), 0);
    static const char *const names[] = {"directory", "pipe", "link", "dangling"};
    for (int i = 0; i < COUNT(names); i++) {
        ck_assert_int_eq(lstat(in_dir(names[i]), &before), 0);
        ck_assert_int_eq(tally_replace_file(in_dir(names[i]), "x", 1, 0644, false), -ENOTSUP);
        ck_assert_int_eq(lstat(in_dir(names[i]), &after), 0);
        ck_assert_uint_eq(before.st_ino, after.st_ino);
    }
    assert_content(in_dir("file"), "precious", 8);
    ck_assert_int_eq(entries(), 5);
}
END_TEST

/* What a SIGKILL left behind, longer than what is written now. */
START_TEST(stale_temporary_is_used_up) {
    const char *path = in_dir("out.prom");
    struct stat st;

    write_file(in_dir(temporary), "left behind by somebody who was killed", 38);
    ck_assert_int_eq(chmod(in_dir(temporary), 0600), 0);
    ck_assert_int_eq(tally_replace_file(path, "new", 3, 0644, false), 0);
    assert_content(path, "new", 3);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0644);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

/* Somebody who may write to the directory can't make us write elsewhere. */
START_TEST(symlink_is_refused) {
    const char *path = in_dir("out.prom"), *victim = in_dir("victim");

    write_file(victim, "precious", 8);
    ck_assert_int_eq(symlink(_i ? "nowhere" : victim, in_dir(temporary)), 0);
    ck_assert_int_lt(tally_replace_file(path, "new", 3, 0644, false), 0);
    assert_content(victim, "precious", 8);
    ck_assert(!exists(path));
    ck_assert(!exists(in_dir("nowhere")));
    ck_assert_int_eq(entries(), 2);
}
END_TEST

START_TEST(hard_link_is_refused) {
    const char *path = in_dir("out.prom"), *victim = in_dir("victim");
    struct stat before, after;

    write_file(victim, "precious", 8);
    ck_assert_int_eq(chmod(victim, 0600), 0);
    ck_assert_int_eq(stat(victim, &before), 0);
    ck_assert_int_eq(link(victim, in_dir(temporary)), 0);
    ck_assert_int_lt(tally_replace_file(path, "new", 3, 0644, false), 0);
    assert_content(victim, "precious", 8);
    ck_assert_int_eq(stat(victim, &after), 0);
    ck_assert_uint_eq(after.st_mode, before.st_mode);
    ck_assert(!exists(path));
}
END_TEST

START_TEST(directory_is_refused) {
    ck_assert_int_eq(mkdir(in_dir(temporary), 0700), 0);
    ck_assert_int_lt(tally_replace_file(in_dir("out.prom"), "new", 3, 0644, false), 0);
    ck_assert(exists(in_dir(temporary)));
    ck_assert(!exists(in_dir("out.prom")));
}
END_TEST

/* Nobody reads this pipe: to wait for a reader is to wait for ever. */
START_TEST(pipe_is_refused) {
    ck_assert_int_eq(mkfifo(in_dir(temporary), 0600), 0);
    ck_assert_int_lt(tally_replace_file(in_dir("out.prom"), "new", 3, 0644, false), 0);
    ck_assert(exists(in_dir(temporary)));
    ck_assert(!exists(in_dir("out.prom")));
}
END_TEST

START_TEST(two_writers_exclude_each_other) {
    const char *path = in_dir("out.prom");
    int held = open(in_dir(temporary), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    write_file(path, "old", 3);
    ck_assert_int_ge(held, 0);
    ck_assert_int_eq(write(held, "half", 4), 4);
    ck_assert_int_eq(flock(held, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(tally_replace_file(path, "new", 3, 0644, false), -EBUSY);
    assert_content(path, "old", 3);
    assert_content(in_dir(temporary), "half", 4);
    close(held);
    ck_assert_int_eq(tally_replace_file(path, "new", 3, 0644, false), 0);
    assert_content(path, "new", 3);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

static void publish(void) {
    ck_assert_int_eq(rename(in_dir(temporary), in_dir("out.prom")), 0);
}

/* The other writer renames between our open(2) and our lock: what we then hold is
 * the published file, and it is not to be written over in its place. */
START_TEST(published_file_is_not_written_over) {
    const char *path = in_dir("out.prom");
    struct io io = faulty_io(&io_kernel);
    char text[16];

    write_file(in_dir(temporary), "published", 9);
    FILE *reader = fopen(in_dir(temporary), "r");
    ck_assert_ptr_nonnull(reader);
    fault.when_opened = publish;
    ck_assert_int_eq(replace_file(&io, path, "new", 3, 0644, false), 0);
    assert_content(path, "new", 3);
    ck_assert_uint_eq(fread(text, 1, sizeof(text), reader), 9);
    ck_assert_int_eq(memcmp(text, "published", 9), 0);
    fclose(reader);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

/* Two processes at once; a third looks, and never sees a part of a file. */
START_TEST(two_processes_at_once) {
    const char *path = in_dir("out.prom");
    pid_t pids[2];

    ck_assert_int_eq(tally_replace_file(path, "a", 1, 0644, false), 0);
    for (int p = 0; p < 2; p++) {
        pids[p] = fork();
        ck_assert_int_ge(pids[p], 0);
        if (pids[p] == 0) {
            static char data[20000];
            memset(data, 'a' + p, sizeof(data));
            for (size_t done = 0; done < 100;) {
                int r = tally_replace_file(path, data, 1 + done * 197, 0644, false);
                if (r < 0 && r != -EBUSY)
                    _exit(1);
                done += r == 0;
                if (r == -EBUSY)
                    usleep(50);
            }
            _exit(0);
        }
    }
    for (int left = 2; left > 0;) {
        size_t len;
        char *data = read_file(path, &len);
        ck_assert_uint_gt(len, 0);
        for (size_t i = 1; i < len; i++)
            ck_assert_int_eq(data[i], data[0]);
        free(data);
        int status;
        while (left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
            ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            left--;
        }
    }
    ck_assert_int_eq(entries(), 1);
}
END_TEST

int main(void) {
    char scratch_dir[] = "/tmp/proctally-replace-XXXXXX";
    Suite *suite = suite_create("replace_file");
    TCase *tc;
    int status;

    /* what a test that failed left behind goes with it */
    if (!mkdtemp(scratch_dir) || setenv("TMPDIR", scratch_dir, 1) < 0) {
        perror(scratch_dir);
        return EXIT_FAILURE;
    }

    tc = add_case(suite, "replaced");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, replaced);
    tcase_add_test(tc, replaced_in_pieces);
    tc = add_case(suite, "faults");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, failure_leaves_the_old_file, 0, COUNT(replace_faults));
    tcase_add_test(tc, places_that_can_not_be);
    tcase_add_test(tc, temporary_that_can_not_be_looked_at);
    tc = add_case(suite, "in the way");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, odd_targets_stay);
    tcase_add_test(tc, stale_temporary_is_used_up);
    tcase_add_loop_test(tc, symlink_is_refused, 0, 2);
    tcase_add_test(tc, hard_link_is_refused);
    tcase_add_test(tc, directory_is_refused);
    tc = add_case(suite, "writers");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, two_writers_exclude_each_other);
    tcase_add_test(tc, published_file_is_not_written_over);
    tcase_add_test(tc, two_processes_at_once);
    tc = add_case(suite, "pipe");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 5); /* it would wait for ever */
    tcase_add_test(tc, pipe_is_refused);

    status = run_suite(suite);
    nftw(scratch_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
