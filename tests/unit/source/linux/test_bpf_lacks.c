/* SPDX-License-Identifier: MIT */
/* Kernels that were built without something: libbpf is given this kernel's type information
 * with another name for one field. The programs load all the same, and tell what is missing. */
#define _GNU_SOURCE
#include "build-config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_BPF

#include "source/linux/bpf_programs.h"

#include <bpf/libbpf.h>
#include <string.h>
#include <unistd.h>

static char types_path[64]; /* "": the kernel's own */

int __real_bpf_object__open_skeleton(struct bpf_object_skeleton *s,
                                     const struct bpf_object_open_opts *opts);
int __wrap_bpf_object__open_skeleton(struct bpf_object_skeleton *s,
                                     const struct bpf_object_open_opts *opts);

int __wrap_bpf_object__open_skeleton(struct bpf_object_skeleton *s,
                                     const struct bpf_object_open_opts *opts) {
    LIBBPF_OPTS(bpf_object_open_opts, with_types, .btf_custom_path = types_path);
    return __real_bpf_object__open_skeleton(s, types_path[0] ? &with_types : opts);
}

static char *types;
static size_t types_size;

static void read_types(void) {
    FILE *f = fopen("/sys/kernel/btf/vmlinux", "rb");
    ck_assert_ptr_nonnull(f);
    const size_t most = 64u << 20;
    types = malloc(most);
    ck_assert_ptr_nonnull(types);
    types_size = fread(types, 1, most, f);
    ck_assert_uint_lt(types_size, most);
    fclose(f);
}

/* The table of strings has each name once. */
static void rename_field(const char *name) {
    size_t size = strlen(name) + 1;
    char *at = types;
    do {
        ck_assert_msg((at = memmem(at + 1, types_size - (size_t)(at + 1 - types), name, size)) != NULL,
                      "%s is in no type", name);
    } while (at[-1] != '\0');
    at[0] = '_';
}

static void write_types(void) {
    snprintf(types_path, sizeof(types_path), "/tmp/proctally-types.XXXXXX");
    int fd = mkstemp(types_path);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq((size_t)write(fd, types, types_size), types_size);
    close(fd);
}

static int use(void *data, struct buf *listing) {
    size_t *len = data;
    *len = listing->len;
    return 0;
}

static const struct {
    const char *name;
    uint64_t lacks;
} fields[] = {
    {"run_delay", 1 << USAGE_RUN_QUEUE_WAIT_NS},
    {"delays", 1 << USAGE_BLKIO_DELAY_NS},
    {"blkio_delay", 1 << USAGE_BLKIO_DELAY_NS},
    {"rchar", 1 << USAGE_IO_READ_BYTES | 1 << USAGE_IO_WRITTEN_BYTES | 1 << USAGE_IO_READS |
                  1 << USAGE_IO_WRITES},
    {"read_bytes", 1 << USAGE_DISK_READ_BYTES | 1 << USAGE_DISK_WRITTEN_BYTES},
    {"cgroups", 0},
};

START_TEST(costs_its_figure_only) {
    const struct bpf_wants wants = {.max_processes = 256, .cgroup = true, .traffic = true};
    struct bpf_programs *programs;
    struct tally_error why = {{0}};
    size_t len = 0;
    read_types();
    rename_field(fields[_i].name);
    write_types();
    int r = bpf_programs_open(&wants, NULL, &programs, &why);
    unlink(types_path);
    types_path[0] = '\0';
    free(types);
    ck_assert_msg(r == 0, "without %s: %s", fields[_i].name, why.text);
    ck_assert_int_eq(bpf_programs_round(programs, true, use, &len), 0);
    ck_assert_uint_gt(len, 0);
    ck_assert_uint_eq(bpf_programs_lacks(programs), fields[_i].lacks);
    bpf_programs_free(programs);
}
END_TEST

/* The kernel's own words say why, not that loading failed. */
START_TEST(what_can_not_be_done_without_is_named) {
    const struct bpf_wants wants = {.max_processes = 256};
    struct bpf_programs *programs;
    struct tally_error why = {{0}};
    read_types();
    rename_field("sum_exec_runtime");
    write_types();
    int r = bpf_programs_open(&wants, NULL, &programs, &why);
    unlink(types_path);
    types_path[0] = '\0';
    free(types);
    ck_assert_int_lt(r, 0);
    ck_assert_msg(strstr(why.text, "sum_exec_runtime") != NULL, "%s", why.text);
    ck_assert_msg(strstr(why.text, "the kernel refuses a program: ") == why.text, "%s", why.text);
}
END_TEST

int main(void) {
    const struct bpf_wants wants = {.max_processes = 256};
    struct bpf_programs *programs;
    struct tally_error why = {{0}};
    if (bpf_programs_open(&wants, NULL, &programs, &why) < 0) {
        printf("%s\n", why.text);
        return 77;
    }
    bpf_programs_free(programs);
    Suite *suite = suite_create("bpf_lacks");
    TCase *fields_case = tcase_create("fields");
    tcase_set_timeout(fields_case, 60);
    tcase_add_loop_test(fields_case, costs_its_figure_only, 0,
                        sizeof(fields) / sizeof(fields[0]));
    tcase_add_test(fields_case, what_can_not_be_done_without_is_named);
    suite_add_tcase(suite, fields_case);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#else

int main(void) {
    printf("this build has no source bpf\n");
    return 77;
}

#endif
