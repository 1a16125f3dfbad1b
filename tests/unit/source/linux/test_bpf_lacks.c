/* SPDX-License-Identifier: MIT */
/* Kernels that were built without something: libbpf is given this kernel's type information
 * with another name for one field, for each field that the programs read. What one can do
 * without costs its own metrics, and is said; what not, leads to /proc, by its name. */
#define _GNU_SOURCE
#include "build-config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_BPF

#include "collector/collector.h"
#include "source/linux/bpf_skeleton.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <elf.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- The kernel's types, with another name in them ------------------------------------- */

static char types_path[64]; /* "": the kernel's own */

int __real_bpf_object__open_skeleton(struct bpf_object_skeleton *s,
                                     const struct bpf_object_open_opts *opts);
int __wrap_bpf_object__open_skeleton(struct bpf_object_skeleton *s,
                                     const struct bpf_object_open_opts *opts);
struct btf *__real_btf__load_vmlinux_btf(void);
struct btf *__wrap_btf__load_vmlinux_btf(void);

int __wrap_bpf_object__open_skeleton(struct bpf_object_skeleton *s,
                                     const struct bpf_object_open_opts *opts) {
    LIBBPF_OPTS(bpf_object_open_opts, with_types, .btf_custom_path = types_path);
    return __real_bpf_object__open_skeleton(s, types_path[0] ? &with_types : opts);
}

struct btf *__wrap_btf__load_vmlinux_btf(void) {
    return types_path[0] ? btf__parse(types_path, NULL) : __real_btf__load_vmlinux_btf();
}

static void write_file(char *template, const void *data, size_t size) {
    int fd = mkstemp(template);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq((size_t)write(fd, data, size), size);
    close(fd);
}

/* The table of strings has each name once, but in the types before it the bytes of a short
 * one may stand by chance. */
static void rename_in_types(const char *name) {
    FILE *f = fopen("/sys/kernel/btf/vmlinux", "rb");
    ck_assert_ptr_nonnull(f);
    const size_t most = 64u << 20, size = strlen(name) + 1;
    char *types = malloc(most);
    ck_assert_ptr_nonnull(types);
    const size_t types_size = fread(types, 1, most, f);
    ck_assert_uint_lt(types_size, most);
    fclose(f);
    const struct btf_header *header = (const void *)types;
    char *at = types + header->hdr_len + header->str_off;
    do {
        at = memmem(at + 1, types_size - (size_t)(at + 1 - types), name, size);
    } while (at && at[-1] != '\0');
    if (at) /* else this kernel does not have it to begin with */
        at[0] = '?';
    snprintf(types_path, sizeof(types_path), "/tmp/proctally-types.XXXXXX");
    write_file(types_path, types, types_size);
    free(types);
}

/* ---- What the programs read, by their relocations ---------------------------------------- */

static char *names[256];
static size_t name_count;

static void add_name(const char *name) {
    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i], name) == 0)
            return;
    if (name_count == sizeof(names) / sizeof(names[0]) || !(names[name_count++] = strdup(name)))
        abort();
}

static const struct btf_type *skip_names(const struct btf *btf, __u32 id) {
    const struct btf_type *type = btf__type_by_id(btf, id);
    while (btf_is_mod(type) || btf_is_typedef(type))
        type = btf__type_by_id(btf, type->type);
    return type;
}

/* The members on the way to a field: "0:3:1" is member 1 of member 3. */
static void add_members(const struct btf *btf, const struct bpf_core_relo *relo) {
    const char *at = btf__str_by_offset(btf, relo->access_str_off);
    const struct btf_type *type = skip_names(btf, relo->type_id);
    if (relo->kind > BPF_CORE_FIELD_RSHIFT_U64)
        return;
    while ((at = strchr(at, ':'))) {
        unsigned long index = strtoul(++at, NULL, 10);
        if (btf_is_array(type)) {
            type = skip_names(btf, btf_array(type)->type);
            continue;
        }
        const struct btf_member *member = &btf_members(type)[index];
        add_name(btf__str_by_offset(btf, member->name_off));
        type = skip_names(btf, member->type);
    }
}

static const void *section(const char *elf, const char *name) {
    const Elf64_Ehdr *head = (const void *)elf;
    const Elf64_Shdr *sections = (const void *)(elf + head->e_shoff);
    const char *section_names = elf + sections[head->e_shstrndx].sh_offset;
    for (size_t i = 0; i < head->e_shnum; i++)
        if (strcmp(section_names + sections[i].sh_name, name) == 0)
            return elf + sections[i].sh_offset;
    abort();
}

/* As the kernel documents the section .BTF.ext. */
static void find_names(void) {
    struct header {
        __u16 magic;
        __u8 version, flags;
        __u32 size, func_info_at, func_info_size, line_info_at, line_info_size, relos_at,
            relos_size;
    };
    size_t size;
    const char *elf = proctally_bpf__elf_bytes(&size);
    struct proctally_bpf *programs = proctally_bpf__open();
    if (!programs)
        abort();
    const struct btf *btf = bpf_object__btf(programs->obj);
    const struct header *header = section(elf, ".BTF.ext");
    const char *at = (const char *)header + header->size + header->relos_at;
    const char *end = at + header->relos_size;
    const __u32 relo_size = *(const __u32 *)(const void *)at;
    for (at += 4; at < end;) {
        const __u32 count = ((const __u32 *)(const void *)at)[1];
        at += 8;
        for (__u32 i = 0; i < count; i++, at += relo_size)
            add_members(btf, (const void *)at);
    }
    proctally_bpf__destroy(programs);
    add_name("btf_trace_cgroup_mkdir");
    add_name("btf_trace_sock_recv_length");
    add_name("btf_trace_tcp_sendmsg_locked");
    add_name("bpf_sock_from_file");
}

/* ---- One that is missing -------------------------------------------------------------------- */

#define SAID_OF_KERNEL "absent, as this kernel was built without the options in brackets: "
#define SAID_OF_OLD_SOCKETS "network traffic is not counted of sockets that were there"
#define TRAFFIC                                                                    \
    (METRIC_SET(METRIC_TRANSMITTED_PACKETS + 1) - METRIC_SET(METRIC_RECEIVED_BYTES_TCP))

/* without them the score can't be worked out either */
#define PAGE_TABLES (METRIC_SET(METRIC_PAGE_TABLES) | METRIC_SET(METRIC_WORST_OOM_SCORE))

#define LINUX(major, minor) ((major) * 1000 + (minor))
#define OPTIONAL(name_, said_, costs_, ...) \
    {.name = (name_), .said = (said_), .costs = (costs_)__VA_OPT__(, ) __VA_ARGS__}
#define OF_OLD_SOCKETS(name)                                                        \
    OPTIONAL(name, SAID_OF_OLD_SOCKETS, 0, .since = LINUX(5, 11), .before = LINUX(6, 3)), \
    OPTIONAL(name, NULL, 0)

/* What the source can do without. */
static const struct optional {
    const char *name;
    const char *said;       /* NULL: nothing */
    metric_set costs;
    unsigned since, before; /* Linux; 0: any */
    const char *listed;     /* what the table names as missing; NULL: an option of the kernel */
} optional[] = {
    OPTIONAL("sched_info", SAID_OF_KERNEL "run_queue_wait (CONFIG_SCHED_INFO)",
             METRIC_SET(METRIC_RUN_QUEUE_WAIT)),
    OPTIONAL("run_delay", SAID_OF_KERNEL "run_queue_wait (CONFIG_SCHED_INFO)",
             METRIC_SET(METRIC_RUN_QUEUE_WAIT)),
    OPTIONAL("delays", SAID_OF_KERNEL "blkio_delay (CONFIG_TASK_DELAY_ACCT)",
             METRIC_SET(METRIC_BLKIO_DELAY)),
    OPTIONAL("blkio_delay", SAID_OF_KERNEL "blkio_delay (CONFIG_TASK_DELAY_ACCT)",
             METRIC_SET(METRIC_BLKIO_DELAY)),
    OPTIONAL("ioac",
             SAID_OF_KERNEL "io_read, io_written, io_reads, io_writes (CONFIG_TASK_XACCT), "
                            "disk_read, disk_written (CONFIG_TASK_IO_ACCOUNTING)",
             METRIC_SET(METRIC_IO_READ) | METRIC_SET(METRIC_IO_WRITTEN) |
                 METRIC_SET(METRIC_IO_READS) | METRIC_SET(METRIC_IO_WRITES) |
                 METRIC_SET(METRIC_DISK_READ) | METRIC_SET(METRIC_DISK_WRITTEN)),
    OPTIONAL("rchar", SAID_OF_KERNEL "io_read (CONFIG_TASK_XACCT)", METRIC_SET(METRIC_IO_READ)),
    OPTIONAL("wchar", SAID_OF_KERNEL "io_written (CONFIG_TASK_XACCT)",
             METRIC_SET(METRIC_IO_WRITTEN)),
    OPTIONAL("syscr", SAID_OF_KERNEL "io_reads (CONFIG_TASK_XACCT)", METRIC_SET(METRIC_IO_READS)),
    OPTIONAL("syscw", SAID_OF_KERNEL "io_writes (CONFIG_TASK_XACCT)", METRIC_SET(METRIC_IO_WRITES)),
    OPTIONAL("read_bytes", SAID_OF_KERNEL "disk_read (CONFIG_TASK_IO_ACCOUNTING)",
             METRIC_SET(METRIC_DISK_READ)),
    OPTIONAL("write_bytes", SAID_OF_KERNEL "disk_written (CONFIG_TASK_IO_ACCOUNTING)",
             METRIC_SET(METRIC_DISK_WRITTEN)),
    OPTIONAL("oom_mm", NULL, METRIC_SET(METRIC_EXITS_OOM),
             .listed = "a kernel that marks those it kills for want of memory"),
    OPTIONAL("cgroups", SAID_OF_KERNEL "groups by cgroup, unit and container (CONFIG_CGROUPS)", 0),
    /* of a socket that changes hands, or that is older than the programs: the oldest kernels tell
     * neither, and the newer ones nothing of the latter */
    OPTIONAL("sk_protocol", "network traffic is not counted: ", TRAFFIC, .since = LINUX(6, 3)),
    OF_OLD_SOCKETS("sk_protocol"),
    OF_OLD_SOCKETS("sk"),
    OF_OLD_SOCKETS("__sk_common"),
    OF_OLD_SOCKETS("skc_family"),
    /* what has another name on the other side of that version */
    OPTIONAL("ctrl", NULL, 0, .before = LINUX(5, 16)),
    OPTIONAL("state", NULL, 0, .since = LINUX(5, 14)),
    OPTIONAL("__state", NULL, 0, .before = LINUX(5, 14)),
    OPTIONAL("counter", NULL, PAGE_TABLES, .since = LINUX(6, 2), .listed = ""),
    OPTIONAL("pgtables_bytes", NULL, PAGE_TABLES, .listed = ""),
    OPTIONAL("locked_vm", NULL, METRIC_SET(METRIC_LOCKED), .listed = ""),
    OPTIONAL("map_count", NULL, METRIC_SET(METRIC_WORST_MAPPINGS), .listed = ""),
    OPTIONAL("oom_score_adj", NULL, METRIC_SET(METRIC_WORST_OOM_SCORE), .listed = ""),
    OPTIONAL("counters", NULL, 0, .before = LINUX(6, 2)),
    /* memory then lacks what CPUs keep to themselves */
    OPTIONAL("pptrs", NULL, 0),
    /* without them less is seen of who uses sockets, and of cgroups that are soon gone */
    OPTIONAL("btf_trace_cgroup_mkdir", NULL, 0),
    OPTIONAL("btf_trace_sock_recv_length", NULL, 0),
    OPTIONAL("btf_trace_tcp_sendmsg_locked", NULL, 0),
    OF_OLD_SOCKETS("bpf_sock_from_file"),
    /* a kernel without MPTCP */
    OPTIONAL("is_mptcp", NULL, 0),
};

static unsigned running_linux(void) {
    struct utsname host;
    char *end;
    ck_assert_int_eq(uname(&host), 0);
    const unsigned long major = strtoul(host.release, &end, 10);
    ck_assert(*end == '.');
    return (unsigned)LINUX(major, strtoul(end + 1, NULL, 10));
}

static const struct optional *find_optional(const char *name) {
    const unsigned running = running_linux();
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
        if (strcmp(optional[i].name, name) == 0 && running >= optional[i].since &&
            (!optional[i].before || running < optional[i].before))
            return &optional[i];
    return NULL;
}

/* What is known where nothing is missing. */
static metric_set all;

static size_t count_open_files(void) {
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;
    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static tally *open_collector(struct tally_error *error) {
    tally_config *config = NULL;
    tally *t = NULL;
    /* whatever else goes on on this host: there is room for it */
    if (tally_config_new(&config) == 0 &&
        tally_config_set(config, "group-by", "name,cgroup", error) == 0 &&
        tally_config_set(config, "max-groups", "100000", error) == 0 &&
        tally_config_set(config, "collect", "exits,memory-details", error) == 0)
        (void)tally_new(config, NULL, &t, error);
    tally_config_free(config);
    return t;
}

static bool has_value(const tally_snapshot *s, size_t metric) {
    uint64_t value;
    for (size_t g = 0; g < tally_snapshot_groups(s); g++)
        if (tally_snapshot_value(s, g, metric, &value))
            return true;
    return false;
}

/* What any group has, in the second collection. */
static metric_set known(tally *t, const tally_snapshot **ret_snapshot) {
    metric_set bits = 0;
    if (tally_collect(t, NULL) < 0 || tally_collect(t, ret_snapshot) < 0)
        return 0;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (has_value(*ret_snapshot, m))
            bits |= METRIC_SET(m);
    return bits;
}

static bool source_is_bpf(const tally_snapshot *s) {
    uint64_t value;
    return tally_snapshot_value(s, 0, METRIC_SELF_SOURCE_BPF, &value) && value;
}

/* No encoder shows it under any name. */
static void check_not_shown(const tally_snapshot *s, size_t metric) {
    const struct tally_prometheus_name *prometheus =
        tally_metric_prometheus(metric, TALLY_SCHEMA_NATIVE);
    const struct tally_influx_name *influx = tally_metric_influx(metric);
    tally_text *text;
    const char *data;
    char wanted[128];
    size_t len;
    ck_assert_int_eq(tally_text_new(&text), 0);
    ck_assert_int_eq(tally_encode_prometheus(s, text, &data, &len), 0);
    for (const char *at = data; (at = memmem(at, len - (size_t)(at - data), "\nproctally_", 11));) {
        at += 11;
        size_t line = strcspn(at, "\n"), name = strcspn(at, "{ ");
        snprintf(wanted, sizeof(wanted), "%s=\"%s\"", prometheus->label ? prometheus->label : "",
                 prometheus->value ? prometheus->value : "");
        ck_assert_msg(strlen(prometheus->name) != name ||
                          strncmp(at, prometheus->name, name) != 0 ||
                          (prometheus->label && !memmem(at, line, wanted, strlen(wanted))),
                      "%.*s", (int)line, at);
    }
    ck_assert_int_eq(tally_encode_influx(s, text, &data, &len), 0);
    snprintf(wanted, sizeof(wanted), ",%s=", influx->field);
    ck_assert_msg(!memmem(data, len, wanted, strlen(wanted)), "%s is shown", influx->field);
    wanted[0] = ' ';
    ck_assert_msg(!memmem(data, len, wanted, strlen(wanted)), "%s is shown", influx->field);
    tally_text_free(text);
}

/* Nor does the table say that it is there. */
static void check_listed(const char *table, const struct optional *o) {
    char begin[64];
    for (size_t m = 0; m < METRICS_OF_GROUP; m++) {
        if (!(o->costs & METRIC_SET(m)))
            continue;
        int len = snprintf(begin, sizeof(begin), "\n%s ", metric_table[m].metric.id);
        const char *line = strstr(table, begin);
        ck_assert_msg(line != NULL, "no %s in %s", metric_table[m].metric.id, table);
        line += len;
        line += strspn(line, " ");
        size_t rest = strcspn(line, "\n");
        ck_assert_msg(strncmp(line, "no ", 3) == 0, "%.*s", (int)rest, line);
        const char *missing = o->costs == TRAFFIC ? o->name : o->listed ? o->listed : "CONFIG_";
        ck_assert_msg(memmem(line, rest, missing, strlen(missing)), "%.*s", (int)rest, line);
    }
}

/* Of Linux before 5.11 that is said anyway. */
static bool next_notice(tally *t, struct tally_error *ret) {
    const bool speaks = tally_notice(t, ret);
    const bool is_usual = speaks && running_linux() < LINUX(5, 11) &&
                          strncmp(ret->text, SAID_OF_OLD_SOCKETS, strlen(SAID_OF_OLD_SOCKETS)) == 0;
    return is_usual ? tally_notice(t, ret) : speaks;
}

START_TEST(costs_what_is_its_own) {
    const char *name = names[_i];
    const struct optional *o = find_optional(name);
    const tally_snapshot *snapshot;
    struct tally_error error = {{0}}, notice = {{0}}, another;
    const size_t files = count_open_files();
    rename_in_types(name);
    tally *t = open_collector(&error);
    unlink(types_path);
    types_path[0] = '\0';
    ck_assert_msg(t != NULL, "without %s: %s", name, error.text);
    const metric_set rest = known(t, &snapshot);
    ck_assert(rest != 0);
    const bool speaks = next_notice(t, &notice);
    ck_assert_msg(!next_notice(t, &another), "without %s: %s", name, another.text);
    if (o) {
        ck_assert_msg(source_is_bpf(snapshot), "without %s: %s", name, notice.text);
        for (size_t m = 0; m < METRICS_OF_GROUP; m++)
            ck_assert_msg(((rest ^ (all & ~o->costs)) & METRIC_SET(m)) == 0, "without %s: %s", name,
                          metric_table[m].metric.id);
        for (size_t m = 0; m < METRICS_OF_GROUP; m++)
            if (o->costs & METRIC_SET(m) && tally_metric_influx(m))
                check_not_shown(snapshot, m);
        ck_assert_msg(speaks == (o->said != NULL), "without %s: %s", name, notice.text);
        ck_assert_msg(!speaks || strncmp(notice.text, o->said, strlen(o->said)) == 0,
                      "without %s: %s", name, notice.text);
        tally_text *text;
        const char *table;
        size_t len;
        ck_assert_int_eq(tally_text_new(&text), 0);
        ck_assert_int_eq(tally_list_here(t, text, &table, &len), 0);
        check_listed(table, o);
        tally_text_free(text);
    } else {
        ck_assert_msg(!source_is_bpf(snapshot), "without %s", name);
        /* before 5.18 it refuses what is tried in place of these, whose name it says then */
        const bool names_another = running_linux() < LINUX(5, 18) && strstr(notice.text, "func") &&
                                   (strcmp(name, "rss_stat") == 0 || strcmp(name, "count") == 0);
        ck_assert_msg(strstr(notice.text, "not source bpf: the kernel refuses a program: ") &&
                          (names_another || strstr(notice.text, name)),
                      "without %s: %s", name, notice.text);
    }
    tally_free(t);
    ck_assert_uint_eq(count_open_files(), files);
}
END_TEST

/* Else one of them is not tried at all. */
START_TEST(all_that_is_optional_is_read) {
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
        bool is_read = false;
        for (size_t n = 0; n < name_count; n++)
            is_read |= strcmp(names[n], optional[i].name) == 0;
        ck_assert_msg(is_read, "no program reads %s", optional[i].name);
    }
    ck_assert_uint_ge(name_count, 60);
}
END_TEST

int main(void) {
    const tally_snapshot *snapshot;
    struct tally_error error = {{0}};
    tally *t = open_collector(&error);
    all = t ? known(t, &snapshot) : 0;
    if (!all || !source_is_bpf(snapshot)) {
        if (t)
            tally_notice(t, &error);
        printf("%s\n", error.text);
        tally_free(t);
        return 77;
    }
    tally_free(t);
    find_names();
    Suite *suite = suite_create("bpf_lacks");
    TCase *fields_case = tcase_create("fields");
    tcase_set_timeout(fields_case, 60);
    tcase_add_test(fields_case, all_that_is_optional_is_read);
    tcase_add_loop_test(fields_case, costs_what_is_its_own, 0, (int)name_count);
    suite_add_tcase(suite, fields_case);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    for (size_t i = 0; i < name_count; i++)
        free(names[i]);
    return failed ? 1 : 0;
}

#else

int main(void) {
    printf("this build has no source bpf\n");
    return 77;
}

#endif
