/* SPDX-License-Identifier: MIT */
/*
 * A collection with the source bpf beside a bare iterator over tasks, which writes 16 bytes of
 * each process and no more:
 *
 *     limit INTERVAL_MS ROUNDS [OPTION VALUE]...
 *
 * Each is done once in an interval, half an interval after the other, so that neither finds the
 * kernel's data in the caches because the other has just read it. Prints µs of CPU per process
 * of both and their ratio, means and medians; a mean counts what is not done each time. Then
 * what it takes to load the programs, and the memory of this process; and for how long a survey
 * of all tasks, which nothing can interrupt where the kernel does not preempt, keeps its CPU.
 */
#define _GNU_SOURCE
#include "bench.h"

#include "limit.skel.h"

#include <bpf/bpf.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MOST 10000u
#define RECORD_BYTES 16u

static char records[64 << 10];

static void sleep_ms(uint64_t ms) {
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        continue;
}

/* How many were listed. */
static uint64_t list_bare(const struct limit_bpf *bare) {
    uint64_t bytes = 0;
    ssize_t n;
    int fd = bpf_iter_create(bpf_link__fd(bare->links.list_bare));
    if (fd < 0)
        bench_die("limit: no iterator");
    while ((n = read(fd, records, sizeof(records))) > 0 || (n < 0 && errno == EAGAIN))
        bytes += n > 0 ? (uint64_t)n : 0;
    if (n < 0)
        bench_die("limit: the iterator can't be read");
    close(fd);
    return bytes / RECORD_BYTES;
}

static double mean(const uint64_t *values, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return (double)sum / (double)count;
}

/* One of the programs that this process holds; below 0: there is none. */
static int own_program(const char *name) {
    for (int fd = 3; fd < 256; fd++) {
        struct bpf_prog_info info = {0};
        __u32 len = sizeof(info);
        char path[32], target[32] = "";
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "bpf-prog") &&
            bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && strcmp(info.name, name) == 0)
            return fd;
    }
    return -1;
}

static struct bpf_prog_info run_time_of(int program) {
    struct bpf_prog_info info = {0};
    __u32 len = sizeof(info);
    if (bpf_obj_get_info_by_fd(program, &info, &len) < 0)
        bench_die("limit: no statistics");
    return info;
}

static unsigned count_tasks(void) {
    char text[128] = "";
    FILE *f = fopen("/proc/loadavg", "re");
    const char *all = f && fgets(text, sizeof(text), f) ? strchr(text, '/') : NULL;
    if (f)
        fclose(f);
    return all ? (unsigned)strtoul(all + 1, NULL, 10) : 0;
}

#define HELD_ROUNDS 40u /* more than those for which a survey in vain is not tried again */
static void show_how_long_it_is_held(tally *t) {
    uint64_t held_ns[HELD_ROUNDS];
    size_t count = 0;
    const int program = own_program("survey"), stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
    if (program < 0 || stats < 0) {
        puts("no survey");
        return;
    }
    for (size_t i = 0; i < HELD_ROUNDS; i++) {
        const struct bpf_prog_info before = run_time_of(program);
        sleep_ms(100);
        bench_collect(t);
        const struct bpf_prog_info after = run_time_of(program);
        if (after.run_cnt != before.run_cnt)
            held_ns[count++] = after.run_time_ns - before.run_time_ns;
    }
    close(stats);
    if (count == 0)
        bench_die("limit: no survey was made");
    const double median = (double)bench_median(held_ns, count); /* sorts them */
    printf("%u tasks, %zu of %u collections by a survey: median %.2f ms in one piece, most %.2f\n",
           count_tasks(), count, HELD_ROUNDS, median / 1e6, (double)held_ns[count - 1] / 1e6);
}

int main(int argc, char **argv) {
    static uint64_t bare_ns[ROUNDS_MOST], whole_ns[ROUNDS_MOST];
    struct tally_error error;
    tally_config *config;
    tally *t;
    tally_text *room;
    if (argc < 3 || argc % 2 == 0)
        bench_die("usage: limit INTERVAL_MS ROUNDS [OPTION VALUE]...");
    const uint64_t interval_ms = strtoull(argv[1], NULL, 10);
    const size_t rounds = strtoul(argv[2], NULL, 10);
    if (rounds == 0 || rounds > ROUNDS_MOST)
        bench_die("limit: that many rounds are not counted");
    struct limit_bpf *bare = limit_bpf__open_and_load();
    if (!bare || limit_bpf__attach(bare) < 0)
        bench_die("limit: no bare iterator; it needs root");
    if (tally_config_new(&config) < 0 || tally_text_new(&room) < 0)
        bench_die("out of memory");
    if (tally_config_set(config, "source", "bpf", &error) < 0)
        bench_die(error.text);
    for (int i = 3; i < argc; i += 2)
        if (tally_config_set(config, argv[i], argv[i + 1], &error) < 0)
            bench_die(error.text);
    const uint64_t before_bytes = bench_resident_bytes(), before_ns = bench_cpu_ns();
    if (collector_new(config, NULL, &io_kernel, &t, &error) < 0)
        bench_die(error.text);
    const uint64_t loading_ns = bench_cpu_ns() - before_ns;
    tally_config_free(config);
    uint64_t processes = 0;
    for (size_t i = 0; i < rounds + 3; i++) { /* those before the third are not like the others */
        const size_t at = i < 3 ? 0 : i - 3;
        const tally_snapshot *snapshot;
        const char *text;
        size_t len;
        sleep_ms(interval_ms / 2);
        uint64_t start = bench_cpu_ns();
        processes = list_bare(bare);
        bare_ns[at] = bench_cpu_ns() - start;
        sleep_ms(interval_ms / 2);
        start = bench_cpu_ns();
        if (tally_collect(t, &snapshot) < 0 ||
            tally_encode_prometheus(snapshot, room, &text, &len) < 0)
            bench_die("limit: no collection");
        whole_ns[at] = bench_cpu_ns() - start;
    }
    const double each = 1000.0 * (double)processes;
    const double bare_mean = mean(bare_ns, rounds), whole_mean = mean(whole_ns, rounds);
    const double bare_median = (double)bench_median(bare_ns, rounds);
    const double whole_median = (double)bench_median(whole_ns, rounds);
    printf("%llu processes, us of CPU for each: bare %.3f (median %.3f), proctally %.3f (%.3f); "
           "ratio %.2f (%.2f)\n", (unsigned long long)processes, bare_mean / each,
           bare_median / each, whole_mean / each, whole_median / each, whole_mean / bare_mean,
           whole_median / bare_median);
    printf("loading %.0f ms of CPU; %.1f MB resident, %.1f before that\n", (double)loading_ns / 1e6,
           (double)bench_resident_bytes() / 1e6, (double)before_bytes / 1e6);
    show_how_long_it_is_held(t);
    tally_text_free(room);
    tally_free(t);
    limit_bpf__destroy(bare);
    return 0;
}
