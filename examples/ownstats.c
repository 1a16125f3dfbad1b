/* SPDX-License-Identifier: MIT */
/* A server that shows what it does as files: it answers each line with its length. However
 * it ends, nothing stays mounted.
 *
 *   cc ownstats.c -o ownstats $(pkg-config --cflags --libs proctally-fs)
 *   ./ownstats /run/ownstats 4711 &
 *   echo hello | nc -N 127.0.0.1 4711
 *   grep -r . /run/ownstats/requests; cat /run/ownstats/metrics
 *   echo 100 >/run/ownstats/line_limit
 */
#include <proctally_fs.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t connections, bytes;
static uint32_t line_limit = 1000;

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void answer(int fd, tally_fs_series *latency) {
    char line[4096];
    for (ssize_t n; (n = read(fd, line, sizeof(line))) > 0;) {
        const uint64_t start_ns = now_ns();
        const ssize_t limit = (ssize_t)__atomic_load_n(&line_limit, __ATOMIC_RELAXED);
        dprintf(fd, "%zd\n", n < limit ? n : limit);
        tally_fs_count(&bytes, (uint64_t)n);
        tally_fs_series_add(latency, now_ns() - start_ns);
    }
    close(fd);
}

int main(int argc, char **argv) {
    const struct tally_fs_options options = {sizeof(options), argc == 3 ? argv[1] : "", NULL, false};
    const struct tally_fs_about accepted = {sizeof(accepted), TALLY_KIND_COUNTER,
                                            "Connections accepted", NULL, 0};
    const struct tally_fs_about got = {sizeof(got), TALLY_KIND_COUNTER, "Bytes read", "bytes", 0};
    const struct tally_fs_about taken = {sizeof(taken), TALLY_KIND_GAUGE, "Time for an answer",
                                         "seconds", 1000000000};
    const struct tally_fs_histogram percentiles = {sizeof(percentiles), "50 99 99.9", NULL, 0};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct tally_error error = {"usage: ownstats MOUNTPOINT PORT"};
    tally_fs *fs;
    tally_fs_item requests;
    tally_fs_series *latency;
    if (argc != 3 || tally_fs_new(&options, &fs, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int r = tally_fs_series_new(&percentiles, &latency);
    r = r ? r : tally_fs_add_u64(fs, TALLY_FS_ROOT, "connections", &connections, &accepted, NULL);
    r = r ? r : tally_fs_add_parameter_u32(fs, TALLY_FS_ROOT, "line_limit", &line_limit, 1, 4096,
                                           NULL, NULL);
    r = r ? r : tally_fs_add_directory(fs, TALLY_FS_ROOT, "requests", NULL, &requests);
    r = r ? r : tally_fs_add_u64(fs, requests, "read", &bytes, &got, NULL);
    r = r ? r : tally_fs_add_series(fs, requests, "latency", latency, &taken, NULL);
    r = r ? r : tally_fs_start(fs);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
    address.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    if (r < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 10) < 0)
        fprintf(stderr, "cannot serve: %s\n", r < 0 ? strerror(-r) : "is the port in use?");
    else
        while ((fd = accept(listener, NULL, NULL)) >= 0) {
            tally_fs_count(&connections, 1);
            answer(fd, latency);
        }
    tally_fs_free(fs);
    return 1;
}
