/* SPDX-License-Identifier: MIT */
/*
 * The same work each time, for counting instructions: some collections over a
 * tree made by synthetic, each encoded twice. The clock stands still but for a
 * second before each collection; before every third one all processes run.
 *
 *     drive DIR COLLECTIONS
 */
#define _GNU_SOURCE
#include "collector/collector.h"
#include "content.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t now_ns = UINT64_C(100000) * 1000000000;

static uint64_t fake_clock_ns(void *data, clockid_t clock) {
    (void)data;
    return clock == CLOCK_REALTIME ? UINT64_C(1700000000) * 1000000000 + now_ns : now_ns;
}

_Noreturn static void die(const char *what) {
    fprintf(stderr, "drive: %s\n", what);
    exit(1);
}

static void put(const char *dir, const char *name, const char *text, size_t len) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/.shared/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, text, len, 0) != (ssize_t)len)
        die(path);
    close(fd);
}

int main(int argc, char **argv) {
    struct tally_error error;
    tally_config *config;
    tally *t;
    tally_text *room;
    if (argc != 3)
        die("usage: drive DIR COLLECTIONS");
    if (tally_config_new(&config) < 0 ||
        tally_config_set(config, "procfs", argv[1], &error) < 0 ||
        tally_config_set(config, "group-by", "name,user", &error) < 0)
        die("no configuration");
    struct io io = io_kernel;
    io.clock_ns = fake_clock_ns;
    if (tally_text_new(&room) < 0 || collector_new(config, NULL, &io, &t, &error) < 0)
        die(error.text);
    tally_config_free(config);
    size_t total = 0;
    for (uint64_t i = 0; i < strtoul(argv[2], NULL, 10); i++) {
        const tally_snapshot *snapshot;
        const char *text;
        size_t len;
        char content[CONTENT_SIZE];
        now_ns += 1000000000;
        put(argv[1], "schedstat", content, content_schedstat(content, i / 3));
        put(argv[1], "io", content, content_io(content, i / 3));
        if (tally_collect(t, &snapshot) < 0 ||
            tally_encode_prometheus(snapshot, room, &text, &len) < 0)
            die("no collection");
        total += len;
        if (tally_encode_influx(snapshot, room, &text, &len) < 0)
            die("no line protocol");
        total += len;
    }
    printf("%zu bytes\n", total);
    tally_text_free(room);
    tally_free(t);
    return 0;
}
